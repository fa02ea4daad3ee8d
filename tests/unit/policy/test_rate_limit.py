"""RateLimit: turns in the order of arrival, a gap apart, so many at once after a pause; who leaves gives it back."""

from __future__ import annotations

import pickle
import threading
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import inf, nan
from time import monotonic
from typing import Any

import pytest

from poollib import RateLimit
from poollib.exceptions import DeadlineExceededError, EmptyPoolError, RateLimitError
from poollib.policy import rate_limit
from poollib.policy.rate_limit import MANY_HOSTS, Turn, Turns, rate_from
from tests.support.forks import in_child


def joined(limit: RateLimit, now: float, *, host: str = "h", owner: object = None, count: int = 1) -> Turn:
    """A turn as somebody waits for it."""
    turn = Turn(owner)
    limit.join(host, count, turn, now, inf)
    return turn


def times(limit: RateLimit, *arrivals: float) -> list[float]:
    """When the turns of those that arrive at these times come; the clock begins at 1000."""
    return [max(at, joined(limit, 1000 + at).at - 1000) for at in arrivals]


@pytest.mark.parametrize(
    ("burst", "arrivals", "expected"),
    [
        (1, [0, 0, 0], [0, 0.5, 1]),
        (1, [0, 0, 5, 5], [0, 0.5, 5, 5.5]),
        (3, [0, 0, 0, 0, 0], [0, 0, 0, 0.5, 1]),
        (3, [0, 0, 0, 0.5, 0.5], [0, 0, 0, 0.5, 1]),
        (3, [0, 0, 0, 10, 10, 10, 10], [0, 0, 0, 10, 10, 10, 10.5]),
    ],
)
def test_turns_come_a_gap_apart_and_so_many_at_once_after_a_pause(
    burst: int, arrivals: list[float], expected: list[float]
) -> None:
    assert times(RateLimit(2, burst), *arrivals) == expected


def test_in_any_stretch_of_time_there_are_no_more_than_the_burst_and_what_the_rate_brings() -> None:
    limit = RateLimit(10, 4)
    arrivals = [number * 0.037 + (number % 7) * 0.9 for number in range(200)]
    found = sorted(times(limit, *sorted(arrivals)))
    for first in range(len(found)):
        for last in range(first, len(found)):
            assert last - first + 1 <= 4 + (found[last] - found[first]) * 10 + 1e-6


def test_turns_are_given_in_the_order_of_arrival() -> None:
    limit = RateLimit(100, 2)
    turns = [joined(limit, 1000.0) for _ in range(50)]
    assert all(first.at < second.at for first, second in pairwise(turns))


def test_hosts_are_counted_by_themselves() -> None:
    limit = RateLimit(1)
    assert limit.take("a", 5.0)
    assert not limit.take("a", 5.5)
    assert limit.take("b", 5.5)
    assert limit.take("a", 6.0)
    assert (limit.next_at("a"), limit.next_at("b"), limit.next_at("c")) == (7.0, 6.5, -inf)


def test_those_behind_who_leaves_move_up_and_are_woken() -> None:
    limit, mine, other = RateLimit(1), object(), object()
    joined(limit, 1e9)  # goes at once
    turns = [joined(limit, 1e9, owner=owner) for owner in (mine, other, mine, other)]
    limit.leave(lambda turn: turn.owner is mine)
    assert [turn.at - 1e9 for turn in turns if turn.owner is other] == [1, 2]
    assert all(turn.wakeup.is_set() for turn in turns)
    assert joined(limit, 1e9).at - 1e9 == 3


def test_several_that_leave_together_go_at_the_first_ones_turn_and_the_next_waits_for_all() -> None:
    limit = RateLimit(10)
    assert joined(limit, 1000.0, count=16).at <= 1000.0
    assert joined(limit, 1000.0).at == pytest.approx(1001.6)


def test_an_interrupt_gives_the_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def wait(self, timeout: float) -> bool:
            raise KeyboardInterrupt

        def set(self) -> None:
            pass

    limit = RateLimit(0.001)
    limit.wait("h")
    before = limit.next_at("h")
    monkeypatch.setattr(rate_limit.threading, "Event", Interrupted)
    turns = Turns(limit)
    with pytest.raises(KeyboardInterrupt):
        turns.take("h")
    assert limit.next_at("h") == before
    assert turns.waiting == 0


def test_a_turn_that_comes_too_late_is_refused_at_once_and_stays_for_others() -> None:
    limit = RateLimit(0.01, burst=2)
    for _ in range(2):
        assert limit.wait("h") == 0.0
    before = limit.next_at("h")
    with pytest.raises(RateLimitError, match=r"next turn for h comes in .*0\.01 requests a second, burst 2") as caught:
        limit.wait("h", timeout=5)
    assert isinstance(caught.value, EmptyPoolError)
    assert caught.value.phase == "waiting for a turn"
    assert 90 < caught.value.retry_in_s <= 100
    assert limit.next_at("h") == before


def test_a_deadline_is_named_where_it_is_what_ends_first() -> None:
    from poollib.base.timeout import Deadline

    turns = Turns(RateLimit(0.01))
    turns.take("h")
    with pytest.raises(DeadlineExceededError, match="deadline") as caught:
        turns.take("h", timeout_s=None, deadline=Deadline(5))
    assert caught.value.phase == "waiting for a turn"
    with pytest.raises(RateLimitError):
        turns.take("h", timeout_s=2, deadline=Deadline(500))


def test_who_waits_waits_for_as_long_as_it_says_and_is_counted() -> None:
    turns = Turns(RateLimit(50))
    begun = monotonic()
    waited = [turns.take("h") for _ in range(3)]
    assert monotonic() - begun >= 2 / 50
    assert waited[0] == 0.0
    assert (turns.waiting, turns.waited) == (0, len([waited_s for waited_s in waited if waited_s]))
    assert turns.wait_s == pytest.approx(sum(waited))


def test_closing_wakes_those_who_wait_and_nobody_waits_any_more() -> None:
    limit = RateLimit(0.001)
    turns, others = Turns(limit), Turns(limit)
    turns.take("h")
    threads = [threading.Thread(target=turns.take, args=("h",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while turns.waiting < 3:
        threads[0].join(0.001)
    turns.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert turns.take("h") == 0.0
    with pytest.raises(RateLimitError) as caught:  # what they gave up is the next one's
        others.take("h", timeout_s=1)
    assert caught.value.retry_in_s <= 1000


@pytest.mark.parametrize("wrong", [0, -1, nan, inf, True, "5", None, []])
def test_a_rate_that_cant_be_meant_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(ValueError, match="rate must be"):
        RateLimit(wrong)


def test_a_burst_that_cant_be_meant_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="burst must be 1 request or more, not 0"):
        RateLimit(1, 0)
    with pytest.raises(TypeError, match="burst must be a whole number"):
        RateLimit(1, 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "burst"), [(5e-324, 1), (1e-308, 10), (1, 10**400)], ids=range(3))
def test_a_burst_that_is_never_earned_is_refused(rate: float, burst: int) -> None:
    """Turns at infinity, or none at all: the arithmetic would let every request pass."""
    with pytest.raises(ValueError, match="burst must be a number of requests that the rate brings in finite time"):
        RateLimit(rate, burst)


@pytest.mark.parametrize("number", [2, 2.0, Fraction(2), Decimal(2)])
def test_numbers_of_any_kind_are_rates(number: Any) -> None:
    assert rate_from(number).gap_s == 0.5
    limit = RateLimit(3)
    assert rate_from(limit) is limit


def test_it_travels_as_its_numbers() -> None:
    limit = RateLimit(0.001, 3)
    for _ in range(3):
        limit.wait("h")
    copy = pickle.loads(pickle.dumps(limit))
    assert (copy.per_second, copy.burst, repr(copy)) == (0.001, 3, "RateLimit(0.001, burst=3)")
    assert copy.wait("h", timeout=0) == 0.0


def test_a_forked_child_begins_anew_also_while_a_thread_holds_the_lock() -> None:
    limit, held, done = RateLimit(0.001), threading.Event(), threading.Event()
    limit.wait("h")

    def hold() -> None:
        with limit.lock:
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    assert in_child(lambda: limit.wait("h", timeout=0)) == "0.0"
    done.set()
    thread.join(60)
    assert limit.next_at("h") > 0


def test_hosts_whose_turns_are_over_are_forgotten() -> None:
    limit = RateLimit(1)
    for number in range(20 * MANY_HOSTS):
        assert limit.take(f"h{number}", float(number))
    assert len(limit._hosts) <= 2 * MANY_HOSTS
