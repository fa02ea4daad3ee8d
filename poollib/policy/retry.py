"""What may be tried again, how often, and how long to wait before it: :class:`Retry`, an immutable value.

``request_loop`` asks :meth:`Retry.is_retry` and :meth:`Retry.increment` after each attempt and passes the new Retry to
the next one; a caller makes one and may share it.  Sending, redirecting and draining are left to ``request_loop``, as
is the question whether a body can be sent twice.  Behaviour follows urllib3 2.8; methods that may be repeated
follow RFC 9110 section 9.2.2, Retry-After its sections 10.2.3 and 5.6.7.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, ClassVar, Final, NamedTuple, NoReturn, Protocol, TypeAlias, cast

from ..base import deprecations
from ..base.exact_values import number, whole
from ..base.loggers import logger, shown_url
from ..exceptions import (
    ConnectTimeoutError,
    DeadlineExceededError,
    IncompleteRead,
    InvalidChunkLength,
    InvalidHeader,
    MaxRetryError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    ResponseError,
    is_nothing_sent,
)
from .retry_budget import RetryBudget

log = logger(__name__)

#: Names from "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
_JITTERS: Final = ("full", "equal", "decorrelated")
_BEYOND: Final = ("jitter", "retry_on", "redirect_policy", "budget")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLOCK: Final = r"([0-9]{2}):([0-9]{2}):([0-9]{2})"
# RFC 9110 section 5.6.7: IMF-fixdate and rfc850-date in one, then asctime-date.  Servers in the field leave the
# weekday out, write one digit for the day, "UTC" for "GMT" or an offset; all of that still means one moment.
# Compiled when the first one is read: most programs never see one, and all would pay 0.4 ms for the import.
_HTTP_DATE: Final = (
    rf"(?:[A-Za-z]{{3,9}},? +)?([0-9]{{1,2}})[ -]([A-Z][a-z]{{2}})[ -]([0-9]{{4}}|[0-9]{{2}}) {_CLOCK}"
    r" (?:GMT|UTC|([+-][0-9]{2})([0-9]{2}))"
)
_ASCTIME: Final = rf"[A-Z][a-z]{{2}} ([A-Z][a-z]{{2}}) ([0-9 ][0-9]) {_CLOCK} ([0-9]{{4}})"
_SECONDS: Final = "0*([0-9]{1,12})"


#: ``retry_on(method, outcome)``: the outcome is an exception or a response.
#: In the place of a verdict: ``retry_on`` was not asked of this error.
NOT_ASKED: Final = object()
RetryOn: TypeAlias = Callable[[str, Any], "bool | None"]
RedirectPolicy: TypeAlias = Callable[[str, str], bool]


class Headed(Protocol):
    """What is read of a response: its status and fields, without its body."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def get_redirect_location(self) -> str | bool | None: ...


class RequestHistory(NamedTuple):
    """One failed or redirected attempt: what was asked, and the error, status or new location it met."""

    method: str | None
    url: str | None
    error: Exception | None
    status: int | None
    redirect_location: str | None

    def __repr__(self) -> str:
        shown = self._replace(url=_shown(self.url), redirect_location=_shown(self.redirect_location))
        return f"RequestHistory({', '.join(f'{n}={value!r}' for n, value in zip(self._fields, shown, strict=True))})"


def _shown(url: str | None) -> str | None:
    return None if url is None else shown_url(url)


class Retry:
    """How often a request may be tried again; each use gives a new Retry with less left.

    ``total`` caps all kinds together and wins; ``connect``, ``read``, ``redirect``, ``status`` and ``other`` cap
    one kind each.  ``None`` is no limit of this kind, 0 none allowed (MaxRetryError), ``False`` raise the error
    itself, or return the redirect.  ``allowed_methods`` and ``status_forcelist`` say which statuses are tried
    again; ``None`` allows every method, an empty collection none.  ``backoff_factor``, ``backoff_max``,
    ``backoff_jitter`` and ``retry_after_max`` are seconds.  With ``raise_on_redirect`` or ``raise_on_status``
    off, the last response is returned when retries are used up.  ``remove_headers_on_redirect``, names or one
    name, do not follow to another origin; ``allow_downgrade=False`` refuses redirects from https to http.

    Beyond urllib3's: ``jitter`` spreads the backoff, "full" over all of it, "equal" over its upper half, "decorrelated"
    between ``backoff_factor`` and three times the last wait; with one of them the first repetition waits, too.
    ``retry_on(method, outcome)`` judges each error and response: True to try again, False not to, None for the usual
    rules. ``redirect_policy(url, location)`` is asked before a redirect is followed; False lets the response stand.
    ``budget``: a RetryBudget, shared by all requests with this Retry, without whose tokens nothing is tried again.
    """

    #: Idempotent methods (RFC 9110 section 9.2.2).
    DEFAULT_ALLOWED_METHODS: ClassVar[frozenset[str]] = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"})
    #: Statuses that come with a Retry-After worth waiting for.
    RETRY_AFTER_STATUS_CODES: ClassVar[frozenset[int]] = frozenset({413, 429, 503})
    #: Credentials stay with their origin (RFC 9110 section 15.4).
    DEFAULT_REMOVE_HEADERS_ON_REDIRECT: ClassVar[frozenset[str]] = frozenset(
        {"Authorization", "Cookie", "Proxy-Authorization"}
    )
    DEFAULT_BACKOFF_MAX: ClassVar[float] = 120
    DEFAULT_RETRY_AFTER_MAX: ClassVar[int] = 21600
    DEFAULT: ClassVar[Retry]

    allow_downgrade = True
    jitter: str | None = None
    retry_on: RetryOn | None = None
    redirect_policy: RedirectPolicy | None = None
    budget: RetryBudget | None = None
    previous_wait_s = 0.0  # with jitter: the backoff before the attempt that this Retry was made after
    _drawn_s: float | None = None  # with jitter: the backoff before the next attempt, once drawn

    def __init__(
        self,
        total: bool | int | None = 10,
        connect: int | None = None,
        read: int | None = None,
        redirect: bool | int | None = None,
        status: int | None = None,
        other: int | None = None,
        allowed_methods: Collection[str] | None = DEFAULT_ALLOWED_METHODS,
        status_forcelist: Collection[int] | None = None,
        backoff_factor: float = 0,
        backoff_max: float = DEFAULT_BACKOFF_MAX,
        raise_on_redirect: bool = True,
        raise_on_status: bool = True,
        history: tuple[RequestHistory, ...] | None = None,
        respect_retry_after_header: bool = True,
        remove_headers_on_redirect: Collection[str] = DEFAULT_REMOVE_HEADERS_ON_REDIRECT,
        backoff_jitter: float = 0.0,
        retry_after_max: int = DEFAULT_RETRY_AFTER_MAX,
        *,
        allow_downgrade: bool = True,
        jitter: str | None = None,
        retry_on: RetryOn | None = None,
        redirect_policy: RedirectPolicy | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self.total = _count(total, "total")
        self.connect = _count(connect, "connect")
        self.read = _count(read, "read")
        self.status = _count(status, "status")
        self.other = _count(other, "other")
        if redirect is False or total is False:
            redirect = 0
            raise_on_redirect = False
        self.redirect = _count(redirect, "redirect")
        self.status_forcelist = _statuses(status_forcelist)
        if not allowed_methods and isinstance(allowed_methods, Collection):
            deprecations.warn_as_urllib3(
                "Using an empty collection for 'allowed_methods' option to retry on any verb is deprecated and will"
                " skip retries for all verbs in urllib3 v3.0. Instead use Retry(..., allowed_methods=None)."
            )
        self.allowed_methods = allowed_methods
        self.backoff_factor = number("backoff_factor", backoff_factor)
        self.backoff_max = number("backoff_max", backoff_max)
        self.retry_after_max = number("retry_after_max", retry_after_max)
        self.raise_on_redirect = raise_on_redirect
        self.raise_on_status = raise_on_status
        self.history = tuple(history or ())
        self.respect_retry_after_header = respect_retry_after_header
        if isinstance(remove_headers_on_redirect, str):  # one name; its letters would let every field through
            remove_headers_on_redirect = (remove_headers_on_redirect,)
        self.remove_headers_on_redirect = frozenset(name.lower() for name in remove_headers_on_redirect)
        self.backoff_jitter = number("backoff_jitter", backoff_jitter)
        self.allow_downgrade = allow_downgrade
        if jitter is not None and jitter not in _JITTERS:
            raise ValueError(f"jitter is one of {', '.join(_JITTERS)}, not {jitter!r}")
        # Few use these: where one is not set, the class's None stands for it.
        if jitter is not None:
            self.jitter = jitter
        if retry_on is not None:
            self.retry_on = retry_on
        if redirect_policy is not None:
            self.redirect_policy = redirect_policy
        if budget is not None:
            self.budget = budget

    def new(self, **kw: Any) -> Retry:
        """Another Retry of the same class that differs in ``kw``; subclasses add their own arguments here."""
        params: dict[str, Any] = {
            "total": self.total,
            "connect": self.connect,
            "read": self.read,
            "redirect": self.redirect,
            "status": self.status,
            "other": self.other,
            "allowed_methods": self.allowed_methods,
            "status_forcelist": self.status_forcelist,
            "backoff_factor": self.backoff_factor,
            "backoff_max": self.backoff_max,
            "retry_after_max": self.retry_after_max,
            "raise_on_redirect": self.raise_on_redirect,
            "raise_on_status": self.raise_on_status,
            "history": self.history,
            "respect_retry_after_header": self.respect_retry_after_header,
            "remove_headers_on_redirect": self.remove_headers_on_redirect,
            "backoff_jitter": self.backoff_jitter,
        }
        if not self.allow_downgrade:  # not passed by default: subclasses written for urllib3 do not know it
            params["allow_downgrade"] = False
        params.update((name, self.__dict__[name]) for name in _BEYOND if name in self.__dict__)
        params.update(kw)
        return type(self)(**params)

    @classmethod
    def from_int(
        cls,
        retries: Retry | bool | int | None,
        redirect: bool | int | None = True,
        default: Retry | bool | int | None = None,
    ) -> Retry:
        """``retries`` as a Retry: ``None`` means ``default`` or ``Retry.DEFAULT``, a number the total.

        ``redirect`` false forbids redirects, unless ``retries`` already is a Retry.
        """
        if retries is None:
            retries = cls.DEFAULT if default is None else default
        if isinstance(retries, Retry):
            return retries
        new = cls(retries, redirect=None if redirect else False)
        log.debug("Converted retries value: %r -> %r", retries, new)
        return new

    # -- may it be tried again --

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Whether a response of this status is worth another attempt: forced, or announced by Retry-After."""
        if not self._is_method_retryable(method):
            return False
        if status_code in self.status_forcelist:
            return True
        return bool(
            self.total
            and self.respect_retry_after_header
            and has_retry_after
            and status_code in self.RETRY_AFTER_STATUS_CODES
        )

    def verdict(self, method: str, outcome: object) -> bool | None:
        """What ``retry_on`` says of an error or a response; None where it leaves that to the usual rules."""
        return None if self.retry_on is None else self.retry_on(method, outcome)

    def is_exhausted(self) -> bool:
        """Whether a count has gone below zero."""
        counts = (self.total, self.connect, self.read, self.redirect, self.status, self.other)
        return any(count is not None and count < 0 for count in counts)

    def may_repeat_unseen(self, error: Exception) -> bool:
        """Whether ``error`` says that the request certainly did not reach the server."""
        return self._is_connection_error(error)

    def may_repeat_seen(self, method: str, error: Exception | None = None) -> bool:
        """Whether a request may be repeated that the server may have seen; a read error is judged by ``increment``."""
        return (error is not None and self._is_read_error(error)) or self._is_method_retryable(method)

    def _is_connection_error(self, err: Exception) -> bool:
        """Whether the request certainly did not reach the server."""
        if isinstance(err, ProxyError):
            err = err.original_error  # type: ignore[assignment]
        return isinstance(err, ConnectTimeoutError)

    def _is_read_error(self, err: Exception) -> bool:
        """Whether the server may have begun to act on the request."""
        return isinstance(err, (ReadTimeoutError, ProtocolError, IncompleteRead, InvalidChunkLength))

    def _is_method_retryable(self, method: str) -> bool:
        """Whether ``method`` may be repeated after the server may have seen it."""
        allowed = self.allowed_methods
        if allowed is None or allowed is False:  # type: ignore[comparison-overlap]  # False: an old spelling
            return True
        if not allowed and deprecations.is_urllib3:
            return True
        return method.upper() in allowed

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,  # subclasses that override this name a class of responses, which is less than Headed
        error: Exception | None = None,
        _pool: object = None,
        _stacktrace: TracebackType | None = None,
    ) -> Retry:
        """The Retry that is left after one more ``error``, or one more ``response`` to retry or redirect.

        Raises ``error`` itself where it must not be repeated, MaxRetryError when the retries are used up.
        """
        kind = "total" if error is None else self._kind_of_error(error, method, _stacktrace, NOT_ASKED)
        return self._left(kind, method, url, response, error, _pool)

    def after_error(self, method: str, url: str, error: Exception, pool: object, verdict: bool | None) -> Retry:
        """As ``increment``; ``verdict`` is what ``retry_on`` has said of the error, which is not asked again."""
        if type(self).increment is not Retry.increment:  # a subclass's may know urllib3's arguments alone
            return self.increment(method, url, error=error, _pool=pool, _stacktrace=error.__traceback__)
        kind = self._kind_of_error(error, method, error.__traceback__, verdict)
        return self._left(kind, method, url, None, error, pool)

    def _left(
        self, kind: str, method: str | None, url: str | None, response: Any, error: Exception | None, pool: object
    ) -> Retry:
        """What is left when one more of this kind is used up; MaxRetryError."""
        cause = ResponseError.GENERIC_ERROR
        status: int | None = None
        location: str | bool | None = None
        if error is None and response is not None:
            location = response.get_redirect_location() or None
            status = response.status or None
            if location is not None:
                kind, cause = "redirect", "too many redirects"
            elif status is not None:
                kind, cause = "status", ResponseError.SPECIFIC_ERROR.format(status_code=status)

        entry = RequestHistory(method, url, error, status, cast("str | None", location))
        retry = self.new(**self._counts_after(kind), history=(*self.history, entry))
        if self.jitter is not None:
            retry.previous_wait_s = self.get_backoff_time()
        if retry.is_exhausted():
            reason = error or ResponseError(cause)
            raise MaxRetryError(pool, url, reason) from reason
        log.debug("Incremented Retry for (url='%s'): %r", shown_url(url), retry)
        return retry

    def _counts_after(self, kind: str) -> dict[str, int | None]:
        """The six counts when one more of this kind is used up, which ``total`` counts as well."""
        counts = {
            "total": self.total,
            "connect": self.connect,
            "read": self.read,
            "redirect": self.redirect,
            "status": self.status,
            "other": self.other,
        }
        return {
            name: count if count is None or name not in ("total", kind) else count - 1 for name, count in counts.items()
        }

    def _kind_of_error(
        self, error: Exception, method: str | None, stacktrace: TracebackType | None, verdict: object
    ) -> str:
        """Which count ``error`` uses up: "connect", "read" or "other"; raises it if it must not be repeated."""
        if self.total is False or isinstance(error, DeadlineExceededError):
            _reraise(error, stacktrace)
        if self._is_connection_error(error):
            if self.connect is False:
                _reraise(error, stacktrace)
            return "connect"
        if self._is_read_error(error):
            may = method is not None and (
                is_nothing_sent(error)  # as where TLS breaks off before the request: any method may go out again
                or self._is_method_retryable(method)
                or (self.verdict(method, error) if verdict is NOT_ASKED else verdict)
            )
            if self.read is False or not may:
                _reraise(error, stacktrace)
            return "read"
        return "other"

    # -- how long to wait --

    def wait_s(self, response: Headed | None = None) -> float:
        """Seconds to wait before the next attempt: the response's Retry-After, else the backoff.

        InvalidHeader if the server's Retry-After is none.
        """
        if self.respect_retry_after_header and response is not None:
            after = self.get_retry_after(response)
            if after:
                return after
        return self.get_backoff_time()

    def get_backoff_time(self) -> float:
        """Seconds of backoff: 0 before the first repetition, then doubling; redirects start anew."""
        failures = 0
        for entry in reversed(self.history):
            if entry.redirect_location is not None:
                break
            failures += 1
        if self.jitter is not None:
            return self._jittered_s(failures)
        if failures <= 1:
            return 0
        value = self.backoff_factor * 2.0 ** min(failures - 1, 1000)
        if self.backoff_jitter != 0.0:
            from random import random

            value += random() * self.backoff_jitter
        return max(0.0, min(float(self.backoff_max), value))

    def _jittered_s(self, failures: int) -> float:
        """The backoff after so many failures, drawn once: asked again, it is the same."""
        if not failures:
            return 0.0
        if self._drawn_s is None:
            from random import uniform

            factor, cap = float(self.backoff_factor), float(self.backoff_max)
            value = min(cap, factor * 2.0 ** min(failures - 1, 1000))
            if self.jitter == "decorrelated":
                drawn = min(cap, uniform(factor, max(factor, 3 * self.previous_wait_s)))
            else:
                drawn = uniform(value / 2 if self.jitter == "equal" else 0.0, value)
            self._drawn_s = drawn
        return self._drawn_s

    def get_retry_after(self, response: Any) -> float | None:
        """Seconds that the response's Retry-After asks for, ``None`` without one; InvalidHeader if it is bad."""
        value = response.headers.get("Retry-After")
        return None if value is None else self.parse_retry_after(value)

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds of a Retry-After value, digits or an HTTP date, at most ``retry_after_max``.

        InvalidHeader for everything else; a date in the past is 0.
        """
        text = str(retry_after).strip(" \t\r\n")
        if text.isascii() and text.isdigit():
            match = re.fullmatch(_SECONDS, text)
            seconds: float = self.retry_after_max if match is None else int(match[1])
        else:
            moment = _unix_time(text) if len(text) <= 64 else None
            if moment is None:
                raise InvalidHeader(f"Invalid Retry-After header: {str(retry_after)[:100]}")
            seconds = moment - time.time()
        return max(0, min(seconds, self.retry_after_max))

    def sleep(self, response: Any = None) -> None:
        """Wait as long as ``wait_s`` says: first what the response's Retry-After asks for, else the backoff."""
        if not self._has_own_sleep():
            _sleep(self.wait_s(response))
        elif not (self.respect_retry_after_header and response is not None and self.sleep_for_retry(response)):
            self._sleep_backoff()

    def sleep_for_retry(self, response: Headed) -> bool:
        """Wait as the response's Retry-After asks; whether it asked for any waiting."""
        after = self.get_retry_after(response)
        if not after:
            return False
        _sleep(after)
        return True

    def _sleep_backoff(self) -> None:
        _sleep(self.get_backoff_time())

    def _has_own_sleep(self) -> bool:
        """Whether a subclass or a patch waits in a way of its own, which ``wait_s`` cannot predict."""
        cls = type(self)
        return (cls.sleep, cls.sleep_for_retry, cls._sleep_backoff) != cls._PLAIN_SLEEP

    #: The methods that wait, as they stand here; a function in a tuple is not bound.
    _PLAIN_SLEEP: ClassVar = (sleep, sleep_for_retry, _sleep_backoff)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(total={self.total}, connect={self.connect}, read={self.read}, "
            f"redirect={self.redirect}, status={self.status})"
        )


def _statuses(wish: Collection[int] | None) -> Collection[int]:
    if wish is not None and not isinstance(wish, Collection):
        raise TypeError(f"status_forcelist must be a collection of statuses, not {wish!r}")
    return wish or set()


def _count(value: int | None, name: str) -> int | None:
    """``value`` if it can count retries; otherwise TypeError naming the argument, ValueError for a NaN."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):  # infinity, mostly
        return cast(int, number(name, value))
    try:
        return whole(name, value)
    except TypeError:
        raise TypeError(f"{name} must be an int, a bool or None, not {value!r}") from None


def _reraise(error: Exception, stacktrace: TracebackType | None) -> NoReturn:
    raise error.with_traceback(stacktrace or error.__traceback__)


def _sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)


def _unix_time(text: str) -> float | None:
    """The moment of an HTTP date in Unix time; ``None`` if ``text`` is none (RFC 9110 section 5.6.7)."""
    from datetime import datetime, timedelta, timezone

    hours = minutes = None
    if match := re.fullmatch(_HTTP_DATE, text, re.ASCII):
        day, month, year, hour, minute, second, hours, minutes = match.groups()
    elif match := re.fullmatch(_ASCTIME, text, re.ASCII):
        month, day, hour, minute, second, year = match.groups()
    else:
        return None
    try:
        moment = datetime(
            _full_year(year),
            _MONTHS.index(month) + 1,
            int(day),
            int(hour),
            int(minute),
            min(int(second), 59) if second == "60" else int(second),  # a leap second
            tzinfo=timezone.utc,
        )
        offset = timedelta(hours=int(hours or 0), minutes=int((hours or "+")[0] + (minutes or "0")))
        return moment.timestamp() - offset.total_seconds()
    except ValueError:
        return None


def _full_year(year: str) -> int:
    """Two digits mean the year of that ending that is at most 50 years ahead (RFC 9110 section 5.6.7)."""
    if len(year) == 4:
        return int(year)
    this_year = time.gmtime().tm_year
    full = this_year - this_year % 100 + int(year)
    return full - 100 if full > this_year + 50 else full


Retry.DEFAULT = Retry(3)
