"""Timeout and Deadline: what is accepted, what each step may take, and when time is up."""

from __future__ import annotations

import copy
import pickle
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from poollib.base.timeout import _DEFAULT_TIMEOUT, _TYPE_DEFAULT, LONGEST_S, Deadline, Timeout
from poollib.exceptions import DeadlineExceededError, TimeoutStateError

NAMES = ["total", "connect", "read", "write", "pool", "deadline"]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture
def seven_seconds_by_default() -> Iterator[None]:
    socket.setdefaulttimeout(7)
    yield
    socket.setdefaulttimeout(None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, 1, 2.5, 1e-9, LONGEST_S, Fraction(1, 2)])
def test_positive_numbers_and_none_are_accepted(name: str, value: Any) -> None:
    """Seconds of any numeric type."""
    assert Timeout(**{name: value})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "to 0, but the timeout cannot be set to a value less than or equal to 0"),
        (0.0, "less than or equal to 0"),
        (-1, "less than or equal to 0"),
        (float("-inf"), "less than or equal to 0"),
        (True, "cannot be a boolean value"),
        (False, "cannot be a boolean value"),
        ("1", "must be an int, float or None"),
        (b"1", "must be an int, float or None"),
        ([1], "must be an int, float or None"),
        (object, "must be an int, float or None"),
        (float("nan"), "must be an int, float or None"),
        (10**400, "must be an int, float or None"),
        (float("inf"), "use None for no limit"),
        (LONGEST_S + 1, "use None for no limit"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_argument(name: str, value: Any, message: str) -> None:
    """urllib3's messages, and NaN and infinity as well, which would fail later in a socket."""
    with pytest.raises(ValueError, match=message) as caught:
        Timeout(**{name: value})
    assert name in str(caught.value)


def test_the_longest_timeout_is_one_a_socket_takes() -> None:
    """The limit is the socket's own."""
    with socket.socket() as sock:
        sock.settimeout(LONGEST_S)
        assert sock.gettimeout() == LONGEST_S


UNSET: Any = _DEFAULT_TIMEOUT

# total, connect, read -> connect_timeout, read_timeout before and 1 s after the start (urllib3 2.8.0)
TABLE: list[tuple[dict[str, Any], Any, Any, Any]] = [
    ({}, UNSET, None, None),
    ({"total": None, "connect": None, "read": None}, None, None, None),
    ({"connect": 3}, 3, None, None),
    ({"read": 3}, UNSET, 3, 3),
    ({"total": 5}, 5, TimeoutStateError, 4),
    ({"total": 5, "connect": None, "read": None}, 5, TimeoutStateError, 4),
    ({"total": 5, "connect": 10, "read": 1}, 5, 1, 1),
    ({"total": 5, "connect": 1, "read": 10}, 1, 10, 4),
    ({"total": 5, "read": 3}, 5, 3, 3),
    ({"total": 0.5, "read": 3}, 0.5, 3, 0),
    ({"total": UNSET}, UNSET, None, None),
    ({"total": UNSET, "connect": 3, "read": None}, 3, None, None),
]


@pytest.mark.parametrize(("wish", "connect", "before", "after"), TABLE, ids=str)
def test_connect_and_read_follow_urllib3(
    wish: dict[str, Any], connect: Any, before: Any, after: Any, clock: Clock
) -> None:
    """The smaller of a step's own limit and what is left of the total."""
    timeout = Timeout(**wish)
    assert timeout.connect_timeout == connect
    if before is TimeoutStateError:
        with pytest.raises(TimeoutStateError, match="not started"):
            _ = timeout.read_timeout
    else:
        assert timeout.read_timeout == before
    timeout.start_connect()
    clock.now += 1
    assert timeout.read_timeout == after


@pytest.mark.usefixtures("seven_seconds_by_default")
def test_what_is_not_given_is_the_sockets_default() -> None:
    """socket.setdefaulttimeout() counts, as in urllib3; None does not mean it."""
    assert Timeout().read_timeout == 7
    assert Timeout().write_timeout == 7
    assert Timeout(read=None).read_timeout is None
    assert Timeout.resolve_default_timeout(_DEFAULT_TIMEOUT) == 7
    assert Timeout.resolve_default_timeout(None) is None
    assert Timeout.resolve_default_timeout(3) == 3


@pytest.mark.parametrize(
    ("wish", "write"),
    [
        ({}, None),
        ({"connect": 3}, 3),
        ({"connect": 3, "write": None}, None),
        ({"connect": 3, "write": 9}, 9),
        ({"total": 4, "write": 9}, 4),
        ({"total": 4, "write": 1}, 1),
        ({"total": 4, "write": None}, 4),
        ({"total": 4}, 4),
    ],
    ids=str,
)
def test_sending_takes_write_or_else_the_connect_timeout(wish: dict[str, Any], write: float | None) -> None:
    """urllib3 sends under the connect timeout; write replaces that."""
    assert Timeout(**wish).write_timeout == write


def test_waiting_for_a_connection_has_no_limit_unless_given() -> None:
    """As pool_timeout in urllib3."""
    assert Timeout(total=1).pool_timeout is None
    assert Timeout(pool=2).pool_timeout == 2
    assert Timeout(pool=None).pool_timeout is None


def test_the_clock_starts_once(clock: Clock) -> None:
    """A Timeout that has begun is not begun again."""
    timeout = Timeout(3)
    with pytest.raises(TimeoutStateError, match="not started"):
        timeout.get_connect_duration()
    assert timeout.start_connect() == 100.0
    clock.now += 2
    assert timeout.get_connect_duration() == 2
    with pytest.raises(TimeoutStateError, match="already been started"):
        timeout.start_connect()


def test_a_clone_has_the_same_wish_and_a_clock_of_its_own() -> None:
    """Requests share a Timeout and clone it."""
    timeout = Timeout(1, 2, 3, write=4, pool=5, deadline=6)
    timeout.start_connect()
    twin = timeout.clone()
    assert twin == timeout
    assert (twin._connect, twin._read, twin._start_connect) == (2, 3, None)
    assert type(Derived(3).clone()) is Derived


class Derived(Timeout):
    pass


def test_a_number_means_connect_and_read() -> None:
    """timeout=4 anywhere in urllib3."""
    assert Timeout.from_float(4) == Timeout(connect=4, read=4)
    assert Timeout.from_float(None) == Timeout(connect=None, read=None)
    assert Timeout.from_float(_DEFAULT_TIMEOUT) == Timeout()
    with pytest.raises(ValueError, match="connect"):
        Timeout.from_float(Timeout(1))  # type: ignore[arg-type]


def test_timeouts_are_values() -> None:
    """Equal settings are equal, hash alike, and differ where any part differs."""
    assert Timeout(1, read=2) == Timeout(1, read=2)
    assert len({Timeout(1), Timeout(1), Timeout(2)}) == 2
    assert Timeout(1) != Timeout(1, write=1)
    assert Timeout(deadline=1) != Timeout()
    assert Timeout(1) != 1


def test_timeouts_pickle_and_copy() -> None:
    """Pools pickle as their settings."""
    timeout = Timeout(1, write=2, deadline=3)
    assert pickle.loads(pickle.dumps(timeout)) == timeout
    assert copy.deepcopy(timeout) == timeout
    assert pickle.loads(pickle.dumps(_DEFAULT_TIMEOUT)) is _DEFAULT_TIMEOUT


def test_repr_shows_urllib3s_three_and_the_others_when_given() -> None:
    """As urllib3 prints it."""
    assert repr(Timeout(connect=1, read=2)) == "Timeout(connect=1, read=2, total=None)"
    assert str(Timeout(3)) == f"Timeout(connect={UNSET!r}, read={UNSET!r}, total=3)"
    assert str(Timeout(None, 1, 1, write=2, pool=3, deadline=4)).endswith("total=None, write=2, pool=3, deadline=4)")


def test_the_token_is_urllib3s() -> None:
    """Programs import it to say "not given"."""
    assert _TYPE_DEFAULT.token is _DEFAULT_TIMEOUT is Timeout.DEFAULT_TIMEOUT
    assert _DEFAULT_TIMEOUT.value == -1


def test_a_deadline_counts_down_and_names_the_phase_it_ends_in() -> None:
    """One clock for the whole exchange; time comes in as an argument."""
    deadline = Deadline(2.0, now=10.0)
    assert deadline.at == 12.0
    assert deadline.remaining_s("sending", now=11.5) == 0.5
    with pytest.raises(DeadlineExceededError, match=r"2 s exceeded by 0\.500 s.*tls handshake") as caught:
        deadline.remaining_s("tls handshake", now=12.5)
    assert caught.value.phase == "tls handshake"
    with pytest.raises(DeadlineExceededError):
        deadline.remaining_s("sending", now=12.0)


@pytest.mark.parametrize(("wish", "capped"), [(None, 2.0), (1.0, 1.0), (3.0, 2.0)])
def test_a_deadline_caps_a_wish(wish: float | None, capped: float) -> None:
    """The smaller of the two; no wish is no limit."""
    assert Deadline(2.0, now=10.0).cap_s(wish, "connecting", now=10.0) == capped


def test_a_spent_deadline_caps_nothing() -> None:
    """It raises as remaining_s does."""
    with pytest.raises(DeadlineExceededError):
        Deadline(2.0, now=10.0).cap_s(1.0, "connecting", now=13.0)


def test_a_deadline_without_a_moment_starts_now(clock: Clock) -> None:
    """Production code gives none."""
    deadline = Deadline(5)
    clock.now += 1
    assert deadline.remaining_s("sending") == 4
    assert deadline.cap_s(9, "sending") == 4
    assert repr(deadline) == "Deadline(5, left=4.000)"


def test_a_timeout_starts_its_deadline_or_passes_a_running_one_on(clock: Clock) -> None:
    """Nested loops share one clock."""
    started = Timeout(deadline=3).start_deadline()
    assert started is not None
    assert started.at == 103.0
    assert Timeout(deadline=started).start_deadline() is started
    assert Timeout().start_deadline() is None


def test_a_running_deadline_pickles_as_what_is_left(clock: Clock) -> None:
    """Another process has another monotonic clock."""
    deadline = Deadline(5)
    clock.now += 2
    assert pickle.loads(pickle.dumps(deadline)).remaining_s("sending") == 3


def test_a_deadline_is_a_number_of_every_kind() -> None:
    """It was checked as a float, and kept as it came: a TypeError at the first request."""
    deadline = Timeout(deadline=Decimal("2.5")).start_deadline(now=1.0)  # type: ignore[arg-type]
    assert deadline is not None
    assert (deadline.limit_s, deadline.at) == (2.5, 3.5)
