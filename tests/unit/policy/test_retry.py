"""Retry by tables: what may be tried again, what each attempt uses up, and how long to wait."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import random
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from poollib import exceptions as e
from poollib.base.headers import HTTPHeaderDict
from poollib.policy.retry import RequestHistory, Retry, _full_year
from tests.support.liars import Index, LyingInt
from tests.support.sleeps import own_sleeps

COUNTS = ("total", "connect", "read", "redirect", "status", "other")
NOW = 1_559_561_400.0  # Mon, 03 Jun 2019 11:30:00 GMT


class Answer:
    """A response as Retry sees one."""

    def __init__(self, status: int = 503, retry_after: str | None = None, location: str | None = None) -> None:
        self.status = status
        self.headers = HTTPHeaderDict({} if retry_after is None else {"retry-after": retry_after})
        self.location = location

    def get_redirect_location(self) -> Any:
        return self.location if self.location is not None else False


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every sleep, none of which takes time."""
    return own_sleeps(monkeypatch)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(time, "time", lambda: NOW)
    return NOW


def read_timeout() -> e.ReadTimeoutError:
    return e.ReadTimeoutError("POOL", "/u", "slow")


def after_failures(number: int, **wish: Any) -> Retry:
    """A Retry that has seen so many read timeouts."""
    retry = Retry(2000, **wish)
    for _ in range(number):
        retry = retry.increment("GET", "/", error=read_timeout())
    return retry


def left(retry: Retry) -> dict[str, Any]:
    return {name: getattr(retry, name) for name in COUNTS if getattr(retry, name) is not None}


# -- making one --


def test_the_signature_is_urllib3s_with_keywords_behind_it() -> None:
    """Positional order and defaults are part of the interface."""
    parameters = inspect.signature(Retry.__init__).parameters
    assert list(parameters)[1:] == [
        *COUNTS[:3],
        "redirect",
        "status",
        "other",
        "allowed_methods",
        "status_forcelist",
        "backoff_factor",
        "backoff_max",
        "raise_on_redirect",
        "raise_on_status",
        "history",
        "respect_retry_after_header",
        "remove_headers_on_redirect",
        "backoff_jitter",
        "retry_after_max",
        "allow_downgrade",
        "jitter",
        "retry_on",
        "redirect_policy",
        "budget",
    ]
    retry = Retry()
    assert left(retry) == {"total": 10}
    assert (retry.backoff_factor, retry.backoff_max, retry.backoff_jitter) == (0, 120, 0.0)
    assert (retry.history, retry.status_forcelist, retry.retry_after_max) == ((), set(), 21600)
    assert retry.raise_on_redirect is retry.raise_on_status is retry.respect_retry_after_header is True
    assert retry.allow_downgrade is True


def test_class_constants_are_urllib3s() -> None:
    """Programs read and override them."""
    assert frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"}) == Retry.DEFAULT_ALLOWED_METHODS
    assert frozenset({413, 429, 503}) == Retry.RETRY_AFTER_STATUS_CODES
    assert {"Authorization", "Cookie", "Proxy-Authorization"} == Retry.DEFAULT_REMOVE_HEADERS_ON_REDIRECT
    assert (Retry.DEFAULT_BACKOFF_MAX, Retry.DEFAULT_RETRY_AFTER_MAX) == (120, 21600)
    assert left(Retry.DEFAULT) == {"total": 3}


@pytest.mark.parametrize(
    ("arguments", "expected", "raises_on_redirect"),
    [
        ((3,), {"total": 3}, True),
        ((None,), {"total": 3}, True),
        ((0,), {"total": 0}, True),
        ((True,), {"total": True}, True),
        ((False,), {"total": False, "redirect": 0}, False),
        ((3, False), {"total": 3, "redirect": 0}, False),
        ((3, None), {"total": 3, "redirect": 0}, False),
        ((3, 2), {"total": 3}, True),
        ((None, True, 7), {"total": 7}, True),
        ((None, True, Retry(8)), {"total": 8}, True),
        ((None, False), {"total": 3}, True),
        ((Retry(4), False), {"total": 4}, True),
    ],
)
def test_from_int_settles_every_kind_of_retries_argument(
    arguments: tuple[Any, ...], expected: dict[str, Any], raises_on_redirect: bool
) -> None:
    """retries= of urlopen; False also forbids redirects, a ready Retry is taken as it is."""
    retry = Retry.from_int(*arguments)
    assert left(retry) == expected
    assert retry.raise_on_redirect is raises_on_redirect


@pytest.mark.parametrize("wish", [{"total": False}, {"redirect": False}])
def test_false_for_redirects_means_return_them(wish: dict[str, Any]) -> None:
    """0 raises, False returns the redirect."""
    assert Retry(**wish).redirect == 0
    assert Retry(**wish).raise_on_redirect is False
    assert Retry(redirect=0).raise_on_redirect is True


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("bad", ["3", [3], {}])
def test_a_count_that_is_no_number_is_refused_by_name(name: str, bad: Any) -> None:
    """urllib3 takes it and fails later."""
    with pytest.raises(TypeError, match=f"{name} must be an int"):
        Retry(**{name: bad})


def test_header_names_to_remove_compare_without_case() -> None:
    """CVE-2018-25091."""
    assert Retry(remove_headers_on_redirect=["X-A", "COOKIE"]).remove_headers_on_redirect == {"x-a", "cookie"}
    assert Retry().remove_headers_on_redirect == {"authorization", "cookie", "proxy-authorization"}


def test_repr_is_urllib3s() -> None:
    """It stands in log lines."""
    assert repr(Retry(3, 2, 1)) == "Retry(total=3, connect=2, read=1, redirect=None, status=None)"
    assert repr(Derived(3)).startswith("Derived(total=3")


def test_new_differs_in_what_is_given_only() -> None:
    """Retry is immutable: each change makes another one."""
    retry = Retry(5, 1, 2, 3, 4, 6, {"POST"}, {500}, 0.5, 9, False, False, None, False, ["X"], 0.25, 7)
    twin = retry.new(total=1)
    assert {**vars(twin), "total": 5} == vars(retry)
    assert (twin.total, retry.total) == (1, 5)
    with pytest.raises(TypeError, match="zz"):
        retry.new(zz=1)


def test_allow_downgrade_lasts() -> None:
    """poollib's own keyword is handed on, and only where it was given: see the next test."""
    assert Retry(3, allow_downgrade=False).increment("GET", "/", response=Answer(500)).allow_downgrade is False


class Derived(Retry):
    """Written for urllib3: it mirrors new() and has an argument of its own."""

    def __init__(self, *args: Any, mine: int = 5, **kw: Any) -> None:
        self.mine = mine
        super().__init__(*args, **kw)

    def new(self, **kw: Any) -> Retry:
        return super().new(mine=self.mine, **kw)


class Mirrored(Retry):
    """As above, with urllib3's keywords spelled out and no others."""

    def __init__(self, total: Any = 10, connect: Any = None, read: Any = None, redirect: Any = None,
                 status: Any = None, other: Any = None, allowed_methods: Any = None, status_forcelist: Any = None,
                 backoff_factor: Any = 0, backoff_max: Any = 120, retry_after_max: Any = 21600,
                 raise_on_redirect: Any = True, raise_on_status: Any = True, history: Any = None,
                 respect_retry_after_header: Any = True, remove_headers_on_redirect: Any = (),
                 backoff_jitter: Any = 0.0) -> None:  # fmt: skip
        super().__init__(total, connect, read, redirect, status, other, allowed_methods, status_forcelist,
                         backoff_factor, backoff_max, raise_on_redirect, raise_on_status, history,
                         respect_retry_after_header, remove_headers_on_redirect, backoff_jitter,
                         retry_after_max)  # fmt: skip


@pytest.mark.parametrize("made", [Derived(3, mine=9), Mirrored(3)])
def test_subclasses_written_for_urllib3_live_through_increments(made: Retry) -> None:
    """databricks, kubernetes and pip derive from Retry."""
    retry = made.increment("GET", "/", error=read_timeout()).increment("GET", "/", response=Answer(500))
    assert type(retry) is type(made)
    assert retry.total == 1
    assert len(retry.history) == 2
    assert getattr(retry, "mine", 9) == 9


def test_retries_pickle_and_copy() -> None:
    """Pools pickle as their settings; history with its errors comes along."""
    retry = after_failures(1, status_forcelist=[500], allow_downgrade=False)
    twin = pickle.loads(pickle.dumps(retry))
    assert {**vars(twin), "history": None} == {**vars(retry), "history": None}
    assert [type(entry.error) for entry in twin.history] == [e.ReadTimeoutError]
    assert vars(copy.copy(retry)) == vars(retry)
    assert pickle.loads(pickle.dumps(Derived(3, mine=8))).mine == 8


# -- is_retry, is_exhausted --


@pytest.mark.parametrize(
    ("wish", "method", "status", "has_retry_after", "expected"),
    [
        ({}, "GET", 500, False, False),
        ({}, "GET", 503, False, False),
        ({}, "GET", 503, True, True),
        ({}, "get", 503, True, True),
        ({}, "GET", 413, True, True),
        ({}, "GET", 429, True, True),
        ({}, "GET", 500, True, False),
        ({}, "POST", 503, True, False),
        ({"total": 0}, "GET", 503, True, False),
        ({"total": False}, "GET", 503, True, False),
        ({"total": None}, "GET", 503, True, False),
        ({"respect_retry_after_header": False}, "GET", 503, True, False),
        ({"status_forcelist": [500]}, "GET", 500, False, True),
        ({"status_forcelist": range(500, 600)}, "GET", 599, False, True),
        ({"status_forcelist": [500]}, "POST", 500, False, False),
        ({"status_forcelist": [500], "allowed_methods": ["POST"]}, "POST", 500, False, True),
        ({"status_forcelist": [500], "allowed_methods": ["POST"]}, "GET", 500, False, False),
        ({"status_forcelist": [500], "allowed_methods": None}, "PATCH", 500, False, True),
        ({"status_forcelist": [500], "allowed_methods": False}, "PATCH", 500, False, True),
        # an empty collection means none (urllib3 2 still takes it for all; cf. CVE-2024-2004)
        ({"status_forcelist": [500], "allowed_methods": ()}, "GET", 500, False, False),
        ({"total": 0, "status_forcelist": [500]}, "GET", 500, False, True),
    ],
)
def test_which_statuses_are_worth_another_attempt(
    wish: dict[str, Any], method: str, status: int, has_retry_after: bool, expected: bool
) -> None:
    """Forced by the caller, or announced by the server for an idempotent method."""
    assert Retry(**wish).is_retry(method, status, has_retry_after) is expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0,), False),
        ((None,), False),
        ((False,), False),
        ((-1,), True),
        ((None, -1, 0, 0, 0, 0), True),
        ((5, 1, 1, -1, 1, 1), True),
        ((5, 1, 1, 1, -1, 1), True),
        ((None, 1, 1, 1, 1, -1), True),
        ((0, 0, 0, 0, 0, 0), False),
    ],
)
def test_exhausted_means_below_zero(counts: tuple[Any, ...], expected: bool) -> None:
    """0 left is still the attempt under way."""
    assert Retry(*counts).is_exhausted() is expected


# -- increment: errors --

NEW = e.NewConnectionError("c", "refused")

KINDS: list[tuple[Exception, str]] = [
    (e.ConnectTimeoutError(None, "ct"), "connect"),
    (NEW, "connect"),
    (e.NameResolutionError("h", "c", OSError(1, "x")), "connect"),
    (e.ProxyError("p", NEW), "connect"),
    (read_timeout(), "read"),
    (e.WriteTimeoutError("POOL", "/u", "w"), "read"),
    (e.ProtocolError("reset"), "read"),
    (e.InvalidResponseError("no status line"), "read"),
    (e.IncompleteRead(1, 2), "read"),
    (e.ProxyError("p", read_timeout()), "other"),
    (e.ProxyError("p", OSError("x")), "other"),
    (e.SSLError("s"), "other"),
    (e.InvalidHeader("h"), "other"),
    (e.InvalidFramingError("two lengths"), "other"),
    (e.DecodeError("d"), "other"),
    (e.TimeoutError("t"), "other"),
    (ValueError("v"), "other"),
]


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=repr)
def test_each_error_uses_up_the_total_and_its_own_kind(error: Exception, kind: str) -> None:
    """urllib3's classification."""
    retry = Retry(5, 5, 5, 5, 5, 5).increment("GET", "/u", error=error)
    assert left(retry) == {name: 4 if name in ("total", kind) else 5 for name in COUNTS}
    assert retry.history == (RequestHistory("GET", "/u", error, None, None),)
    assert Retry()._is_connection_error(error) is (kind == "connect")
    assert Retry()._is_read_error(error) is (kind == "read")


def test_an_error_before_a_byte_left_may_be_repeated_by_any_method() -> None:
    """It is certain that the server has not seen the request, whatever kind of error it is."""
    error = e.ProtocolError("reset")
    with pytest.raises(e.ProtocolError):
        Retry(3).increment("POST", "/u", error=error)
    e.mark_nothing_sent(error)
    assert Retry(3).increment("POST", "/u", error=error).total == 2
    with pytest.raises(e.ProtocolError):
        Retry(3, read=False).increment("POST", "/u", error=error)


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=repr)
@pytest.mark.parametrize("which", ["total", "kind"])
def test_a_count_of_zero_ends_in_max_retry_error(error: Exception, kind: str, which: str) -> None:
    """The reason is the last error, for people (cause) and programs (reason)."""
    with pytest.raises(e.MaxRetryError) as caught:
        Retry(**{"total" if which == "total" else kind: 0}).increment("GET", "/u", error=error, _pool="POOL")
    assert caught.value.reason is caught.value.__cause__ is error
    assert (caught.value.pool, caught.value.url) == ("POOL", "/u")


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=repr)
def test_no_count_at_all_never_ends(error: Exception, kind: str) -> None:
    """None is no limit."""
    assert left(Retry(None).increment("GET", "/u", error=error)) == {}


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=repr)
def test_total_false_raises_the_error_itself(error: Exception, kind: str) -> None:
    """retries=False of urlopen."""
    with pytest.raises(type(error)) as caught:
        Retry(False).increment("GET", "/u", error=error)
    assert caught.value is error


@pytest.mark.parametrize(("wish", "error"), [({"connect": False}, NEW), ({"read": False}, e.ProtocolError("reset"))])
def test_false_for_a_kind_raises_that_kind_itself(wish: dict[str, Any], error: Exception) -> None:
    """Other kinds go on."""
    with pytest.raises(type(error)):
        Retry(**wish).increment("GET", "/u", error=error)
    assert Retry(**wish).increment("GET", "/u", error=e.SSLError("s")).total == 9


@pytest.mark.parametrize(("method", "is_raised"), [("POST", True), ("PATCH", True), (None, True), ("put", False)])
def test_a_read_error_of_a_method_that_must_not_repeat_is_raised(method: str | None, is_raised: bool) -> None:
    """RFC 9110 section 9.2.2; a connection error may be repeated for any method: nothing was sent."""
    assert Retry().increment(method, "/u", error=NEW).total == 9
    if is_raised:
        with pytest.raises(e.ProtocolError):
            Retry().increment(method, "/u", error=e.ProtocolError("reset"))
    else:
        assert Retry().increment(method, "/u", error=e.ProtocolError("reset")).total == 9


def test_a_spent_deadline_is_never_tried_again() -> None:
    """No kind covers it, whatever the Retry says."""
    error = e.DeadlineExceededError("m", "connecting")
    assert not Retry()._is_connection_error(error)
    assert not Retry()._is_read_error(error)
    with pytest.raises(e.DeadlineExceededError):
        Retry(None, allowed_methods=None).increment("GET", "/u", error=error)


def test_a_raised_error_keeps_its_traceback() -> None:
    """Where it happened is what a reader wants to see."""
    try:
        raise read_timeout()
    except e.ReadTimeoutError as caught:
        error = caught
    with pytest.raises(e.ReadTimeoutError) as again:
        Retry(False).increment("GET", "/u", error=error, _stacktrace=error.__traceback__)
    assert any(entry.name == "test_a_raised_error_keeps_its_traceback" for entry in again.traceback[1:])


# -- increment: responses --


@pytest.mark.parametrize(
    ("answer", "kind", "entry"),
    [
        (Answer(302, location="/l"), "redirect", RequestHistory("GET", "/u", None, 302, "/l")),
        (Answer(302), "status", RequestHistory("GET", "/u", None, 302, None)),
        (Answer(500), "status", RequestHistory("GET", "/u", None, 500, None)),
        (Answer(0), "total", RequestHistory("GET", "/u", None, None, None)),
        (None, "total", RequestHistory("GET", "/u", None, None, None)),
    ],
)
def test_each_response_uses_up_its_own_kind(answer: Any, kind: str, entry: RequestHistory) -> None:
    """A redirect counts as redirect, any other answer as status."""
    retry = Retry(5, 5, 5, 5, 5, 5).increment("GET", "/u", response=answer)
    assert left(retry) == {name: 4 if name in ("total", kind) else 5 for name in COUNTS}
    assert retry.history == (entry,)


@pytest.mark.parametrize(
    ("wish", "answer", "reason"),
    [
        ({"total": 0}, Answer(302, location="/l"), "too many redirects"),
        ({"redirect": 0}, Answer(302, location="/l"), "too many redirects"),
        ({"redirect": False}, Answer(302, location="/l"), "too many redirects"),
        ({"total": 0}, Answer(500), "too many 500 error responses"),
        ({"status": 0}, Answer(429), "too many 429 error responses"),
        ({"total": False}, Answer(500), "too many 500 error responses"),
        ({"total": 0}, None, "too many error responses"),
    ],
)
def test_responses_use_retries_up_with_a_reason(wish: dict[str, Any], answer: Any, reason: str) -> None:
    """MaxRetryError(ResponseError(...)), texts as urllib3's."""
    with pytest.raises(e.MaxRetryError) as caught:
        Retry(**wish).increment("GET", "/u", response=answer, _pool="POOL")
    assert type(caught.value.reason) is e.ResponseError
    assert str(caught.value.reason) == reason
    assert str(caught.value).startswith("POOL: Max retries exceeded with url: /u (Caused by")


def test_an_error_counts_before_a_response() -> None:
    """When both are given."""
    retry = Retry(3, read=3, status=3).increment("GET", "/u", response=Answer(500), error=read_timeout())
    assert left(retry) == {"total": 2, "read": 2, "status": 3}


def test_increment_leaves_the_retry_as_it_was() -> None:
    """It may be shared by threads."""
    retry = Retry(3)
    before = dict(vars(retry))
    retry.increment("GET", "/u", response=Answer(500))
    assert vars(retry) == before


def test_increments_are_logged_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    """Logger poollib.policy.retry, urllib3's lines."""
    with caplog.at_level(logging.DEBUG, "poollib.policy.retry"):
        Retry.from_int(2).increment("GET", "/u", response=Answer(500))
    assert caplog.messages == [
        "Converted retries value: 2 -> Retry(total=2, connect=None, read=None, redirect=None, status=None)",
        "Incremented Retry for (url='/u'): Retry(total=1, connect=None, read=None, redirect=None, status=None)",
    ]


# -- waiting --


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ({}, [0, 0, 0, 0]),
        ({"backoff_factor": 0.2}, [0, 0, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 120, 120]),
        ({"backoff_factor": 1, "backoff_max": 5}, [0, 0, 2, 4, 5, 5]),
        ({"backoff_factor": 1, "backoff_max": 0}, [0, 0, 0, 0]),
        ({"backoff_factor": -1}, [0, 0, 0, 0]),
    ],
)
def test_backoff_doubles_from_the_second_failure_up_to_its_maximum(wish: dict[str, Any], seconds: list[float]) -> None:
    """urllib3's schedule: the first repetition is immediate."""
    assert [after_failures(n, **wish).get_backoff_time() for n in range(len(seconds))] == pytest.approx(seconds)


def test_backoff_of_a_thousand_failures_is_still_a_number() -> None:
    """No overflow."""
    entry = RequestHistory("GET", "/", None, 500, None)
    assert Retry(backoff_factor=0.1, history=(entry,) * 5000).get_backoff_time() == 120


def test_jitter_adds_up_to_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet does not come back at once; never above backoff_max, never on the first repetition."""
    for chance in (0.0, 0.5, 0.999):
        monkeypatch.setattr(random, "random", lambda chance=chance: chance)
        assert after_failures(3, backoff_factor=1, backoff_jitter=2).get_backoff_time() == 4 + 2 * chance
        assert after_failures(3, backoff_factor=1, backoff_jitter=900).get_backoff_time() <= 120
        assert after_failures(1, backoff_jitter=1).get_backoff_time() == 0


def test_a_redirect_starts_the_backoff_anew() -> None:
    """Only failures in a row count."""
    retry = after_failures(3, backoff_factor=1).increment("GET", "/", response=Answer(302, location="/x"))
    assert retry.get_backoff_time() == 0
    retry = retry.increment("GET", "/", response=Answer(500))
    assert retry.get_backoff_time() == 0
    assert retry.increment("GET", "/", response=Answer(500)).get_backoff_time() == 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        ("120", 120),
        (" 5 ", 5),
        ("\t5", 5),
        ("007", 7),
        ("99999999", 21600),
        ("1" * 5000, 21600),
        # the three forms of RFC 9110 section 5.6.7
        ("Mon, 03 Jun 2019 12:00:00 GMT", 1800),
        ("Monday, 03-Jun-19 12:00:00 GMT", 1800),
        ("Mon Jun  3 12:00:00 2019", 1800),
        # seen in the field
        ("Mon, 3 Jun 2019 12:00:00 UTC", 1800),
        ("03 Jun 2019 12:00:00 GMT", 1800),
        ("Mon, 03 Jun 2019 13:30:00 +0130", 1800),
        ("Mon, 03 Jun 2019 10:30:00 -0130", 1800),
        ("Mon, 03 Jun 2019 11:30:60 GMT", 59),
        ("Mon, 03 Jun 2019 11:30:00 GMT", 0),
        ("Mon, 03 Jun 2019 11:00:00 GMT", 0),
        ("Sunday, 03-Jun-94 12:00:00 GMT", 0),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 21600),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 21600),
    ],
)
@pytest.mark.usefixtures("now")
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    """RFC 9110 section 10.2.3; at most retry_after_max, at least 0."""
    retry = Retry()
    assert retry.parse_retry_after(value) == seconds
    assert retry.get_retry_after(Answer(retry_after=value)) == seconds


BAD_RETRY_AFTER = [
    "", " ", "-1", "+5", "1.5", "1e3", "0x5", "1_0", "5 5", "5,5", "\u0661", "\u00b2", "abc", "1 s",
    "Mon, 32 Jan 2011 11:12:13 GMT", "Mon, 30 Feb 2011 11:12:13 GMT", "Mon, 00 Jan 2011 11:12:13 GMT",
    "Mon, 03 Foo 2011 11:12:13 GMT", "Mon, 03 Jan 2011 24:12:13 GMT", "Mon, 03 Jan 2011 11:60:13 GMT",
    "Mon, 03 Jan 2011 11:12:61 GMT", "Mon, 03 Jan 2011", "Mon, 03 Jan 2011 11:12:13",
    "Mon, 03 Jan 99999 11:12:13 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "2011-01-03T11:12:13Z",
    "Mon, 03 Jan 2011 11:12:13 GMT GMT", "Mon, \u0660\u0663 Jan 2011 11:12:13 GMT", "9" * 50 + "x",
    "Mon, 03 Jan 2011 11:12:13 GMT" + " " * 9000 + "x", "Mon," + " " * 9000,
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_RETRY_AFTER, ids=lambda value: repr(value[:40]))
def test_a_bad_retry_after_is_an_invalid_header_and_nothing_else(value: str) -> None:
    """A server's text never ends in ValueError, OverflowError or a long computation."""
    with pytest.raises(e.InvalidHeader, match="Invalid Retry-After header"):
        Retry().parse_retry_after(value)


def test_no_retry_after_is_none() -> None:
    """Plain dicts do as headers, too."""
    assert Retry().get_retry_after(Answer()) is None
    answer = Answer()
    answer.headers = {"Retry-After": "7"}  # type: ignore[assignment]
    assert Retry().get_retry_after(answer) == 7


WAITS: list[tuple[str, Callable[[], Retry], Answer | None, list[float]]] = [
    ("backoff", lambda: after_failures(3, backoff_factor=1), None, [4]),
    ("backoff without a header", lambda: after_failures(3, backoff_factor=1), Answer(), [4]),
    ("header first", lambda: after_failures(3, backoff_factor=1), Answer(retry_after="3"), [3]),
    ("header of zero", lambda: after_failures(3, backoff_factor=1), Answer(retry_after="0"), [4]),
    (
        "header not respected",
        lambda: after_failures(3, backoff_factor=1, respect_retry_after_header=False),
        Answer(retry_after="abc"),
        [4],
    ),
    ("capped", lambda: after_failures(3, retry_after_max=2), Answer(retry_after="99"), [2]),
    ("nothing to wait for", lambda: after_failures(1, backoff_factor=1), None, []),
]


@pytest.mark.parametrize(("name", "make", "answer", "expected"), WAITS, ids=[wait[0] for wait in WAITS])
def test_sleep_sleeps_what_wait_s_foretells(
    name: str, make: Callable[[], Retry], answer: Answer | None, expected: list[float], slept: list[float]
) -> None:
    """Retry-After first, else the backoff; a wait of nothing does not sleep at all."""
    retry = make()
    assert retry.wait_s(answer) == sum(expected)
    retry.sleep(answer)
    assert slept == expected


def test_sleep_for_retry_tells_whether_it_slept(slept: list[float]) -> None:
    """Subclasses override and call it."""
    assert Retry().sleep_for_retry(Answer(retry_after="3")) is True
    assert Retry().sleep_for_retry(Answer(retry_after="0")) is False
    assert Retry().sleep_for_retry(Answer()) is False
    assert slept == [3]


def test_a_bad_retry_after_stops_the_wait(slept: list[float]) -> None:
    """As in urllib3: the caller learns of it."""
    for wait in (Retry().sleep, Retry().wait_s, Retry().sleep_for_retry):
        with pytest.raises(e.InvalidHeader):
            wait(Answer(retry_after="soon"))
    assert slept == []


class Impatient(Retry):
    def sleep_for_retry(self, response: Any) -> bool:
        return True


class Counting(Retry):
    naps = 0

    def _sleep_backoff(self) -> None:
        Counting.naps += 1


def test_a_subclass_that_sleeps_its_own_way_is_asked_to(slept: list[float]) -> None:
    """sleep() still goes through what it overrides, and the loop can tell."""
    assert not Retry()._has_own_sleep()
    assert not Derived()._has_own_sleep()
    assert Impatient()._has_own_sleep()
    assert Counting()._has_own_sleep()
    Impatient(backoff_factor=1).sleep(Answer(retry_after="9"))
    Counting().sleep(Answer())
    Counting().sleep()
    assert (slept, Counting.naps) == ([], 2)


def test_a_patched_sleep_counts_as_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of other packages replace Retry.sleep and expect the call."""
    monkeypatch.setattr(Retry, "sleep", lambda self, response=None: None)
    assert Retry()._has_own_sleep()


def test_a_subclass_may_sleep_its_own_way_and_fall_back_to_ours(slept: list[float]) -> None:
    """Who overrides one of the two ways to sleep gets the usual one of the other."""

    class Own(Retry):
        def sleep_for_retry(self, response: Any) -> bool:
            return False

    retry = Own(backoff_factor=0.5, history=(RequestHistory("GET", "/", None, 503, None),) * 2)
    retry.sleep(Answer(retry_after="9"))
    assert slept == [1.0]


@pytest.mark.parametrize("name", ["backoff_factor", "backoff_max", "backoff_jitter", "retry_after_max"])
@pytest.mark.parametrize("number", [Decimal("0.5"), Fraction(1, 2)])
@pytest.mark.parametrize("jitter", [None, "full", "decorrelated"])
def test_waits_are_numbers_of_every_kind(name: str, number: Any, jitter: str | None) -> None:
    """A Decimal was a TypeError at the second failure, in the place of the error that was to be tried again."""
    retry = Retry(5, jitter=jitter, **{"backoff_factor": 0.01, name: number})
    for _ in range(3):
        retry = retry.increment("GET", "/", error=e.ProtocolError("broken"))
    assert 0 <= retry.get_backoff_time() < 15
    assert type(retry.parse_retry_after("3")) in (int, float)


@pytest.mark.parametrize("name", ["backoff_factor", "backoff_max", "backoff_jitter", "retry_after_max"])
@pytest.mark.parametrize("value", [float("nan"), Decimal("NaN"), "1", None])
def test_a_wait_that_is_no_number_is_refused_when_it_is_given(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Retry(5, **{name: value})


def test_counts_may_be_whole_numbers_of_other_packages_and_no_nan() -> None:
    """With NaN nothing was ever used up."""
    assert Retry.from_int(Index(2), default=None).total == 2  # type: ignore[arg-type]
    assert type(Retry(LyingInt(2)).total) is int
    with pytest.raises(ValueError, match="total must be a number"):
        Retry(float("nan"))  # type: ignore[arg-type]


def test_one_field_that_is_not_to_follow_may_be_given_as_a_text() -> None:
    """Its letters, which urllib3 makes of it, name no field: the credentials would follow to every origin."""
    assert Retry(remove_headers_on_redirect="X-Api-Key").new().remove_headers_on_redirect == {"x-api-key"}


def test_one_status_in_place_of_a_collection_is_refused() -> None:
    """The first response said it, as a TypeError about ``in``."""
    with pytest.raises(TypeError, match="status_forcelist must be a collection of statuses, not 503"):
        Retry(status_forcelist=503)  # type: ignore[arg-type]
    assert 503 in Retry(status_forcelist=range(500, 600)).status_forcelist


def test_decorrelated_waits_grow_from_the_wait_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is drawn between the factor and three times the one before, as in AWS's "Exponential Backoff And Jitter"."""
    drawn: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", longest)
    retry = Retry(5, backoff_factor=1, jitter="decorrelated")
    for _ in range(3):
        retry = retry.increment("GET", "/", error=e.ProtocolError("broken"))
        retry.get_backoff_time()
    assert drawn == [(1, 1), (1, 3), (1, 9)]


@pytest.mark.parametrize(("years", "expected"), [(0, 0), (50, 50), (51, -49), (99, -1)])
def test_a_year_of_two_digits_is_at_most_50_years_ahead(years: int, expected: int) -> None:
    """RFC 9110 section 5.6.7."""
    this_year = time.gmtime().tm_year
    assert _full_year(f"{(this_year + years) % 100:02}") == this_year + expected
    assert _full_year("1994") == 1994
