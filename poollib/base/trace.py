"""Trace: the events of a request's life, for whoever listens.

A listener subclasses :class:`Trace` and overrides the events it wants; every event is an empty method here.
Modules read the listener into a local and ask ``if trace is not None``, so nobody pays who does not listen.
Events are told through :func:`notify`, with no lock held; a listener's exception is logged and never breaks a
request.  The order in which events come is the tree in the class's docstring; ``docs/events.rst`` explains each.
:class:`RequestTrace` is a listener together with the request it listens to, so that each event can say whose it is;
:class:`Timer` reads from the events where the time of a request went.  A listener that only counts is a
:class:`Meter`: what happens at every request comes to it by few plain calls, not by events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from itertools import count
from operator import attrgetter
from time import monotonic
from typing import Final, NamedTuple, Protocol, TypeVar

from .endpoint import Endpoint
from .loggers import logger, shown_url
from .url import bracketed

log = logger(__name__)


class RequestInfo(NamedTuple):
    """Which request an event belongs to.

    ``id``: a number that no other request of this process has. ``url``: absolute, without user and password, as the
    caller asked for it. ``endpoint``: the pool's, as connection events have it; None before the pool is known.
    ``attempt``: how many times it has been sent out, that of now included; 0 before the first. ``started_at``: when it
    was asked for.
    """

    id: int
    method: str
    url: str
    endpoint: object = None
    attempt: int = 0
    started_at: float = 0.0

    def next_attempt(self, endpoint: object) -> RequestInfo:
        """The same, sent out once more to this endpoint."""
        id, method, url, _, attempt, started_at = self
        return RequestInfo(id, method, url, endpoint, attempt + 1, started_at)  # _replace takes three times as long


class Trace:
    """One empty method per event.

    ::

        request_started
        ├ rate_waited                a turn did not come at once
        ├ connection_waited | connection_wait_timed_out | connection_wait_refused      a slot was not free at once
        ├ connection_opened | connection_reused
        │ ├ dial_started, dial_done
        │ │ └ dns_started, dns_done      where there is a name to look up
        │ ├ tunnel_started, tunnel_done
        │ └ tls_started, tls_done, tls_established
        ├ head_sent, body_sent
        ├ first_byte | read_timed_out
        ├ interim_read               each 1xx response
        ├ head_read, body_ended | read_timed_out
        ├ connection_returned | connection_closed
        ├ resent | retried | redirected       and all but the first line starts anew
        └ request_ended              the response goes up, its body perhaps unread, or the error does

    Times are seconds of ``time.monotonic``'s clock or differences of it. ``connection`` is only there to be told
    apart from others; a listener must not use it. All events come through :meth:`dispatch`, which knows whose they are.
    """

    #: The names of the events that this listener wants; None: all. Where a request's listener wants none of
    #: ``EXCHANGE_EVENTS``, by this or because it overrides none of them, exchanges go on as if nobody listened.
    wanted_events: frozenset[str] | None = None

    def dispatch(self, request: RequestInfo | None, event: str, arguments: tuple[object, ...]) -> None:
        """Call the method named ``event``; override it to know the request that each event belongs to.

        ``request`` is None where there is none: connections opened ahead or closed for their age, a pipeline's lease.
        """
        getattr(self, event)(*arguments)

    def request_started(self, request: RequestInfo) -> None:
        """A request was asked for; redirects and repetitions belong to it."""

    def request_ended(self, request: RequestInfo, status: int | None, error: BaseException | None) -> None:
        """The caller gets a response of that ``status``, or ``error``; ``phase_of(error)`` is what it met it in.

        ``request.attempt`` is how many attempts it took.
        """

    def rate_waited(self, endpoint: object, waited_s: float) -> None:
        """The turn that ``rate`` gives came after ``waited_s`` seconds; ended early where the pool was closed."""

    def connection_waited(self, endpoint: object, waited_s: float) -> None:
        """A connection was handed over after ``waited_s`` seconds of waiting."""

    def connection_wait_timed_out(self, endpoint: object, waited_s: float) -> None:
        """No connection came free in ``waited_s`` seconds: EmptyPoolError."""

    def connection_wait_refused(self, endpoint: object, waiting: int) -> None:
        """No slot was free, and as many as ``max_waiting`` allows waited already: TooManyWaitingError."""

    def connection_opened(self, endpoint: object, connection: object) -> None:
        """A new connection object was made; it dials when it is first used."""

    def connection_reused(self, endpoint: object, connection: object) -> None:
        """An idle connection was taken, fresh and quiet."""

    def connection_returned(self, endpoint: object, connection: object) -> None:
        """The connection is idle again."""

    def connection_closed(self, endpoint: object, connection: object, reason: str) -> None:
        """The connection left the pool for good; ``reason`` is one short phrase."""

    def dial_started(self, host: str, port: int | None) -> None:
        """Resolving and connecting begin."""

    def dial_done(self, host: str, port: int | None, error: BaseException | None) -> None:
        """The socket is connected, or ``error`` says why not."""

    def dns_started(self, host: str, port: int | None) -> None:
        """A name is looked up; not told of addresses and Unix sockets."""

    def dns_done(self, host: str, port: int | None, addresses: list[str], error: BaseException | None) -> None:
        """The name's addresses in the order in which they are tried, or ``error``; a part of the dial."""

    def tunnel_started(self, host: str, port: int | None) -> None:
        """A proxy is asked for a way to ``host``."""

    def tunnel_done(self, host: str, port: int | None, error: BaseException | None) -> None:
        """The proxy agreed, or ``error`` says why not."""

    def tls_started(self, host: str) -> None:
        """The TLS handshake begins."""

    def tls_done(self, host: str, error: BaseException | None) -> None:
        """The TLS handshake succeeded, or ``error`` says why not."""

    def tls_established(self, host: str, version: str | None, cipher: str | None, resumed: bool) -> None:
        """What the handshake came to, as ``ssl`` names it; ``resumed``: from a session of before."""

    def head_sent(self, method: str, target: str) -> None:
        """Request line and header fields left (a small body with them)."""

    def body_sent(self, method: str, target: str) -> None:
        """The last byte of the request's body left."""

    def first_byte(self, method: str, target: str) -> None:
        """The first bytes of an answer arrived."""

    def read_timed_out(self, method: str, target: str, timeout_s: float | None, phase: str) -> None:
        """Nothing came for ``timeout_s`` seconds; ``phase``: waiting for the head or reading the body."""

    def interim_read(self, status: int, fields: list[tuple[str, str]]) -> None:
        """An interim response (1xx) was read, for example 103 Early Hints."""

    def head_read(self, status: int, reason: str) -> None:
        """The head of the final response was read."""

    def body_ended(self, reusable: bool) -> None:
        """The framing's end was reached; ``reusable`` says whether the connection may serve again."""

    def retried(self, method: str, target: str, reason: object, wait_s: float) -> None:
        """The request is tried again after ``wait_s`` seconds; ``reason`` is an error or a status."""

    def resent(self, method: str, target: str, error: BaseException) -> None:
        """The request goes out on another connection, and no retry is spent.

        A kept connection died unanswered, or one ended by no fault before a pipelined request's turn.
        """

    def redirected(self, method: str, target: str, status: int, location: str) -> None:
        """The request goes on at ``location``."""


#: What happens on a connection that is open already.
EXCHANGE_EVENTS: Final = frozenset(
    {"head_sent", "body_sent", "first_byte", "interim_read", "head_read", "body_ended", "read_timed_out"}
)


_exchange_methods: Final = attrgetter(*sorted(EXCHANGE_EVENTS))
_NO_EXCHANGES: Final = _exchange_methods(Trace)


def hears_exchanges(listener: Trace) -> bool:
    """Whether a listener can do anything with one of EXCHANGE_EVENTS."""
    if not isinstance(listener, Trace):
        return True
    wanted, kind = listener.wanted_events, type(listener)
    if wanted is not None:  # by a class that makes up its attributes as they are asked for, anything
        return not isinstance(wanted, frozenset) or not wanted.isdisjoint(EXCHANGE_EVENTS)
    if kind.__getattribute__ is not object.__getattribute__:
        return True
    if kind is Trace:
        return not EXCHANGE_EVENTS.isdisjoint(vars(listener))
    if kind.dispatch is not Trace.dispatch or vars(listener).keys() & {*EXCHANGE_EVENTS, "dispatch"}:
        return True
    return _exchange_methods(kind) != _NO_EXCHANGES


class _Answer(Protocol):
    status: int
    timer: Timer | None


Answer = TypeVar("Answer", bound=_Answer)


class Meter(Trace):
    """A listener that only counts: what happens at every request it hears by plain calls, all else by events.

    A manager with a meter measures each request by ``measured``; each of its pools has a ``PoolMeter``.
    """

    def __init__(self) -> None:
        self.measured = Measured(self)

    def of_pool(self, endpoint: object) -> PoolMeter:
        """What the pool of this endpoint tells; None: no pool is known (yet)."""
        raise NotImplementedError


class PoolMeter(Trace):
    """What one pool tells ``meter``: leases and requests by these callables, all else as events.

    They get seconds, and may be called in any thread, with the pool's lock held, and in a finaliser that interrupts
    another of them.
    """

    meter: Meter
    #: an idle connection was leased without a wait, of 0 seconds
    taken: Callable[[float], None]
    #: a connection was leased otherwise: how often before (0: it is new), and how long the wait was
    acquired: Callable[[int, float], None]
    #: a lease is over: how long it was, and whether the connection was kept, not closed
    lease_ended: Callable[[float, bool], None]

    def answered(self, method: str, status: int, took_s: float) -> None:
        """A request's response goes up to the caller."""
        raise NotImplementedError

    def failed(self, method: str, error: BaseException, took_s: float) -> None:
        """A request's error does."""
        raise NotImplementedError


class MeteredPool(Protocol):
    """What is asked of a pool that a measured request went to; one of somebody's own may lack it."""

    meter: PoolMeter | None


class Measured(Trace):
    """What a pool is given as the listener of a request that a manager measures; one for all requests."""

    wanted_events: frozenset[str] | None = frozenset()  # pools tell their own

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def to_be_followed(self, pool: MeteredPool) -> MeasuredRedirects:
        """The same for a request that goes on elsewhere from this pool."""
        return MeasuredRedirects(self.meter, pool)

    def answered(self, pool: MeteredPool, method: str, response: _Answer, began: float) -> None:
        """The response to a request goes up to the caller; ``began``: when it was asked for."""
        took_s, status = monotonic() - began, response.status
        try:
            try:
                pool.meter.answered(method, status, took_s)  # type: ignore[union-attr]  # None is rare as well
            except AttributeError:
                self.meter.of_pool(None).answered(method, status, took_s)
        except Exception:
            log.exception("%r failed to count a response", self.meter)

    def failed(self, pool: MeteredPool | None, method: str, error: BaseException, began: float) -> None:
        """Its error does; ``pool``: None before one was found."""
        took_s = monotonic() - began
        try:
            try:
                pool.meter.failed(method, error, took_s)  # type: ignore[union-attr]
            except AttributeError:
                self.meter.of_pool(None).failed(method, error, took_s)
        except Exception:
            log.exception("%r failed to count an error", self.meter)


class MeasuredRedirects(Measured):
    """One measured request that was redirected; it counts for the ``pool`` that it came to at last."""

    wanted_events = frozenset({"redirected"})

    def __init__(self, meter: Meter, pool: MeteredPool) -> None:
        super().__init__(meter)
        self.pool = pool

    def dispatch(self, request: RequestInfo | None, event: str, arguments: tuple[object, ...]) -> None:
        if self.pool.meter is not None:
            self.pool.meter.dispatch(request, event, arguments)

    def answered(self, pool: MeteredPool, method: str, response: _Answer, began: float) -> None:
        super().answered(self.pool, method, response, began)

    def failed(self, pool: MeteredPool | None, method: str, error: BaseException, began: float) -> None:
        super().failed(self.pool, method, error, began)


#: the requests of this process so far
_ids = count(1)
#: the request whose call is under way here; pools below know of none
_running: ContextVar[RequestTrace | None] = ContextVar("poollib_request", default=None)


class Timings(NamedTuple):
    """Where the seconds of a request went, or of one attempt; None for what did not happen (yet).

    ``queue``: until there was a connection to use; ``dns``, ``connect`` (a proxy's tunnel included) and ``tls``: making
    a new one; ``send``: the request; ``first_byte``: waiting for the answer; ``body``: from its first byte to its last,
    as they were read; ``total``: from the start to the last event, waits between attempts included. ``attempts``: each
    by itself.
    """

    queue: float | None = None
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    send: float | None = None
    first_byte: float | None = None
    body: float | None = None
    total: float | None = None
    attempts: tuple[Timings, ...] = ()


#: event -> the phase that the time since the event before belongs to; what is not here belongs to none
_PHASES: Final = {
    "leased": "queue",
    "dns_started": "connect",
    "dns_done": "dns",
    "dial_done": "connect",
    "tunnel_done": "connect",
    "tls_done": "tls",
    "body_sent": "send",
    "first_byte": "first_byte",
    "body_ended": "body",
}
_TIMED: Final = frozenset({*_PHASES, "dial_started", "tunnel_started", "tls_started", "tls_established"})


class Timer:
    """The running clock of one request; ``timings`` is what it has measured so far."""

    def __init__(self) -> None:
        self._start = self._at = self._attempt_start = monotonic()
        self._attempts: list[dict[str, float]] = []

    def begin_attempt(self) -> None:
        """What comes belongs to a further attempt."""
        self._at = self._attempt_start = monotonic()
        self._attempts.append({})

    def note(self, event: str) -> None:
        """Something happened now."""
        if event not in _TIMED or not self._attempts:
            return
        now, attempt = monotonic(), self._attempts[-1]
        if phase := _PHASES.get(event):
            attempt[phase] = attempt.get(phase, 0.0) + now - self._at
        self._at = now
        attempt["total"] = now - self._attempt_start

    @property
    def timings(self) -> Timings:
        """All attempts in sum, and each."""
        sums: dict[str, float] = {}
        for attempt in self._attempts:
            for phase, seconds in attempt.items():
                sums[phase] = sums.get(phase, 0.0) + seconds
        sums["total"] = self._at - self._start
        each = tuple(Timings(**attempt, attempts=()) for attempt in self._attempts)
        return Timings(**sums, attempts=each)


class TimedTrace(Trace):
    """A listener, or none, of a request that asks for its timings; ``RequestTrace`` takes its place."""

    def __init__(self, listener: Trace | None) -> None:
        self.listener = listener

    def dispatch(self, request: RequestInfo | None, event: str, arguments: tuple[object, ...]) -> None:
        if self.listener is not None:
            notify(self.listener, event, *arguments)


class RequestTrace(Trace):
    """A listener, a timer, or both, and the one request; ``request`` is replaced as attempts go by.

    ``is_quiet``: nothing is to be told of what happens on open connections.
    """

    def __init__(self, trace: Trace, method: str, url: str, endpoint: object = None) -> None:
        is_timed = isinstance(trace, TimedTrace)
        self.listener = trace.listener if isinstance(trace, TimedTrace) else trace
        self.timer = Timer() if is_timed else None
        self.is_quiet = self.timer is None and self.listener is not None and not hears_exchanges(self.listener)
        self.request = RequestInfo(next(_ids), method, shown_url(url), endpoint, 0, monotonic())
        self._before = _running.get()

    def count_attempt(self, endpoint: object) -> None:
        """The request is about to be sent out once more, to this endpoint."""
        self.request = self.request.next_attempt(endpoint)
        if self.timer is not None:
            self.timer.begin_attempt()

    def begin_now(self) -> None:
        """Its time counts from now on: a pipeline has made it before it is sent."""
        id, method, url, endpoint, attempt, _ = self.request
        self.request = RequestInfo(id, method, url, endpoint, attempt, monotonic())
        self.timer = None if self.timer is None else Timer()

    def run(self, send: Callable[[], Answer]) -> Answer:
        """What ``send`` returns or raises; the listener hears of the beginning and the end."""
        try:
            self.begin()
            answer = send()
        except BaseException as error:
            self.failed(None, "", error, 0.0)
            raise
        self.answered(None, "", answer, 0.0)
        return answer

    def begin(self) -> None:
        """Tell that the request is asked for; until it has ended, the thread is busy with it."""
        _running.set(self)  # no token: an interrupt may come before it is in hand
        notify(self, "request_started", self.request)

    # What a manager calls of any listener's; Measured wants to know what is known here already.

    def to_be_followed(self, pool: object) -> RequestTrace:
        """The same, wherever the request goes on."""
        return self

    def answered(self, pool: object, method: str, response: _Answer, began: float) -> None:
        """Tell that the response goes up to the caller."""
        try:
            notify(self, "request_ended", self.request, response.status, None)
            if self.timer is not None:
                response.timer = self.timer
        finally:
            _running.set(self._before)

    def failed(self, pool: object, method: str, error: BaseException, began: float) -> None:
        """Tell that its error does."""
        try:
            notify(self, "request_ended", self.request, None, error)
        finally:
            _running.set(self._before)


class RequestLogFilter(logging.Filter):
    """A logging filter that tells which request a record belongs to; it lets all of them through.

    ``record.request_id`` and ``record.pool`` (scheme, host and port) are those of the request that the thread is busy
    with, and "-" outside one. Only requests with a listener or with ``timings=True`` have ids.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        running = _running.get()
        record.request_id = "-" if running is None else running.request.id
        record.pool = "-" if running is None else _origin_of(running.request)
        return True


def _origin_of(request: RequestInfo) -> str:
    """Scheme, host and port of the pool that a request is at; of its URL before it has come to one."""
    endpoint = request.endpoint
    if isinstance(endpoint, Endpoint):
        return f"{endpoint.scheme}://{bracketed(endpoint.host)}:{endpoint.port}"
    return "/".join(request.url.split("/", 3)[:3])


def listener_of(trace: Trace) -> Trace | None:
    """The caller's own listener; None where only the time is wanted."""
    return trace.listener if isinstance(trace, (RequestTrace, TimedTrace)) else trace


def notify(trace: Trace, event: str, *arguments: object) -> None:
    """Call one event of a listener; what it raises is logged, not passed on."""
    request: RequestTrace | None
    if type(trace) is RequestTrace:
        request, listener = trace, trace.listener
        if trace.timer is not None:
            trace.timer.note(event)
    else:
        request, listener = _running.get(), listener_of(trace)
    if listener is None:
        return
    try:
        if not isinstance(listener, Trace):  # somebody's own class, with the events it wants
            if not hasattr(listener, event):
                return
        elif isinstance(wanted := listener.wanted_events, frozenset) and event not in wanted:
            return
        elif type(listener).dispatch is not Trace.dispatch:
            listener.dispatch(None if request is None else request.request, event, arguments)
            return
        getattr(listener, event)(*arguments)
    except Exception:
        log.exception("trace listener %r failed in %s", listener, event)
