"""From the events of requests to measurements: what was done, for which pool, in how many seconds.

:class:`Observer` is the listener that every exporter here is made from: it overrides the measurements that it wants,
and :func:`attach` has a manager tell it everything.  How a measurement is named and kept is the exporter's business.
What becomes a label is bounded here: method, status, error and reason come out of fixed lists, pools out of a limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from ..base import after_fork
from ..base.endpoint import Endpoint
from ..base.loggers import logger
from ..base.trace import RequestInfo, Trace
from ..base.url import bracketed
from ..base_url_client import BaseUrlClient
from ..exceptions import (
    BlockedHostError,
    CircuitOpenError,
    ClosedPoolError,
    ConnectTimeoutError,
    DeadlineExceededError,
    DecodeError,
    EmptyPoolError,
    IncompleteRead,
    InvalidChunkLength,
    InvalidHeader,
    LocationValueError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    RateLimitError,
    ReadTimeoutError,
    ResponseTooLargeError,
    SSLError,
    TooManyWaitingError,
    WriteTimeoutError,
)
from ..exchange.transport import ConnectionState
from ..poolmanager import PoolManager

log = logger(__name__)

#: what stands for all that a bounded label does not name
OTHER = "other"
#: RFC 9110 section 9, RFC 5789, RFC 10008
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
#: why poollib itself closes a connection
REASONS = frozenset(
    {
        "closed",
        "dead",
        "dead when asked for",
        "dead when probed",
        "detached",
        "discarded",
        "drained",
        "exit",
        "health check failed",
        "idle timeout",
        "interrupted",
        "keep-alive limit",
        "made room",
        "max lifetime",
        "on_acquire failed",
        "on_release failed",
        "pool closed",
        "pool full",
        "refreshed",
        "replaced through the queue",
        "resized",
        "settings changed",
        "the pool is closed",
        "the pool is full",
        *(f"given back while {state.value}" for state in ConnectionState),
    }
)
#: the first class that an error belongs to names it
ERROR_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (TooManyWaitingError, "too_many_waiting"),
    (RateLimitError, "rate_limited"),
    (EmptyPoolError, "pool_timeout"),
    (ClosedPoolError, "pool_closed"),
    (CircuitOpenError, "circuit_open"),
    (BlockedHostError, "blocked"),
    (DeadlineExceededError, "deadline"),
    (NameResolutionError, "dns"),
    (NewConnectionError, "connect"),
    (ConnectTimeoutError, "connect_timeout"),
    (WriteTimeoutError, "write_timeout"),
    (ReadTimeoutError, "read_timeout"),
    (SSLError, "tls"),
    (ProxyError, "proxy"),
    (DecodeError, "decode"),
    (ResponseTooLargeError, "too_large"),
    (IncompleteRead, "protocol"),
    (InvalidChunkLength, "protocol"),
    (ProtocolError, "protocol"),
    (MaxRetryError, "too_many_retries"),
    (InvalidHeader, "invalid_request"),
    (LocationValueError, "invalid_request"),
    (ValueError, "invalid_request"),
    (TypeError, "invalid_request"),
)


def error_kind(error: BaseException | None) -> str:
    """One word for what went wrong, out of ``ERROR_KINDS``; empty where nothing did. MaxRetryError is its reason."""
    if error is None:
        return ""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        reason = error_kind(error.reason)
        return "too_many_retries" if reason == OTHER else reason
    return next((kind for class_, kind in ERROR_KINDS if isinstance(error, class_)), OTHER)


def pool_name(endpoint: object) -> str:
    """``scheme://host:port``, as ``stats()`` names a pool; empty where no pool is known."""
    return f"{endpoint.scheme}://{bracketed(endpoint.host)}:{endpoint.port}" if isinstance(endpoint, Endpoint) else ""


class PoolNames:
    """The first ``limit`` pools by name; later ones are all ``other``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known = {""}

    def label(self, name: str) -> str:
        """The name, or ``other``."""
        if name not in self._known:
            if len(self._known) > self._limit:
                return OTHER
            self._known.add(name)
        return name


#: Of so many endpoints the label is kept.
_KEPT_LABELS = 512


class Observer(Trace):
    """A listener with one empty method per measurement; seconds throughout, ``pool`` is a bounded label."""

    def __init__(self, max_pools: int) -> None:
        if max_pools < 1:
            raise ValueError(f"max_pools must be at least 1, not {max_pools!r}")
        self._names = PoolNames(max_pools)
        self._start_clocks()
        self._handlers: Mapping[str, Callable[..., None]] = {
            "request_ended": self._on_end,
            "connection_waited": self._on_wait,
            "connection_wait_timed_out": self._on_wait_timeout,
            "connection_wait_refused": self._on_wait_refused,
            "rate_waited": self._on_rate_wait,
            "connection_opened": self._on_open,
            "connection_reused": self._on_reuse,
            "connection_returned": self._on_return,
            "connection_closed": self._on_close,
            "retried": self._on_repeat("retried"),
            "resent": self._on_repeat("resent"),
            "redirected": self._on_repeat("redirected"),
            **{f"{step}_started": self._on_step_start(step) for step in STEPS},
            **{f"{step}_done": self._on_step_end(step) for step in STEPS},
        }

        self.wanted_events = frozenset(self._handlers)
        self._labels: dict[int, tuple[object, str]] = {}  # of endpoints, by their id, with themselves
        after_fork.remember(self)

    def __reduce__(self) -> tuple[type[Trace], tuple[()]]:
        """A manager that travels to another process is not measured there until somebody asks for it."""
        return Trace, ()

    def _start_clocks(self) -> None:
        # By id(connection), when its leases began that are not told to have ended; of two, one ends as this is told.
        self._leased: dict[int, list[float]] = {}
        self._here = _Clocks()

    def _reset_after_fork(self) -> None:
        """In a forked child: the parent's requests and connections are not its own."""
        self._start_clocks()

    # -- measurements --

    def request_measured(
        self, pool: str, request: RequestInfo, status: int | None, error: BaseException | None, took_s: float
    ) -> None:
        """A request came to its end, redirects and repetitions included."""

    def acquire_measured(self, pool: str, waited_s: float) -> None:
        """A request got a connection, after so many seconds of waiting; 0 where one was free."""

    def acquire_timed_out(self, pool: str) -> None:
        """A request gave up waiting for a connection."""

    def acquire_refused(self, pool: str) -> None:
        """A request was refused since as many as may waited for a connection."""

    def rate_wait_measured(self, pool: str, waited_s: float) -> None:
        """A request waited for its turn."""

    def usage_measured(self, pool: str, used_s: float) -> None:
        """A request gave its connection back, or away."""

    def step_measured(self, pool: str, step: str, took_s: float, error: BaseException | None) -> None:
        """A step of making a connection is done: dns (a part of dial), dial, tunnel, tls."""

    def connection_counted(self, pool: str, event: str, connection: object, reason: str) -> None:
        """A connection was opened, reused, returned or closed (``reason``: out of ``REASONS``, or ``other``)."""

    def repeat_counted(self, pool: str, event: str) -> None:
        """A request was retried, resent or redirected."""

    # -- events --

    def dispatch(self, request: RequestInfo | None, event: str, arguments: tuple[object, ...]) -> None:
        handler = self._handlers.get(event)
        if handler is not None:
            handler(request, *arguments)

    def _label(self, request: RequestInfo | None, endpoint: object = None) -> str:
        if endpoint is None and request is not None:
            endpoint = request.endpoint
        known = self._labels.get(id(endpoint))
        if known is not None and known[0] is endpoint:
            return known[1]
        label = self._names.label(pool_name(endpoint))
        if len(self._labels) >= _KEPT_LABELS:
            self._labels.clear()
        self._labels[id(endpoint)] = endpoint, label
        return label

    def _on_end(
        self, _: RequestInfo | None, request: RequestInfo, status: int | None, error: BaseException | None
    ) -> None:
        self.request_measured(self._label(request), request, status, error, time.monotonic() - request.started_at)

    def _on_wait(self, request: RequestInfo | None, endpoint: object, waited_s: float) -> None:
        self._here.waited_s = waited_s

    def _on_wait_timeout(self, request: RequestInfo | None, endpoint: object, waited_s: float) -> None:
        self.acquire_timed_out(self._label(request, endpoint))

    def _on_wait_refused(self, request: RequestInfo | None, endpoint: object, waiting: int) -> None:
        self.acquire_refused(self._label(request, endpoint))

    def _on_rate_wait(self, request: RequestInfo | None, endpoint: object, waited_s: float) -> None:
        self.rate_wait_measured(self._label(request, endpoint), waited_s)

    def _on_open(self, request: RequestInfo | None, endpoint: object, connection: object) -> None:
        self._on_lease(request, endpoint, connection, "opened")

    def _on_reuse(self, request: RequestInfo | None, endpoint: object, connection: object) -> None:
        self._on_lease(request, endpoint, connection, "reused")

    def _on_lease(self, request: RequestInfo | None, endpoint: object, connection: object, event: str) -> None:
        pool = self._label(request, endpoint)
        self.connection_counted(pool, event, connection, "")
        if request is not None:  # else it was opened ahead of demand
            self._leased.setdefault(id(connection), []).append(time.monotonic())
            waited_s, self._here.waited_s = self._here.waited_s, 0.0
            self.acquire_measured(pool, waited_s)

    def _on_return(self, request: RequestInfo | None, endpoint: object, connection: object) -> None:
        self._on_release(self._label(request, endpoint), connection, "returned", "")

    def _on_close(self, request: RequestInfo | None, endpoint: object, connection: object, reason: str) -> None:
        bounded = reason if reason in REASONS else OTHER
        self._on_release(self._label(request, endpoint), connection, "closed", bounded)

    def _on_release(self, pool: str, connection: object, event: str, reason: str) -> None:
        # A connection may be leased again before its return is told, so the lease that ends is the oldest.
        find = self._leased.get if event == "returned" else self._leased.pop
        began = find(id(connection), None)
        while began:
            self.usage_measured(pool, time.monotonic() - began.pop(0))
            if event == "returned":
                break
        self.connection_counted(pool, event, connection, reason)

    def _on_repeat(self, event: str) -> Callable[..., None]:
        def count(request: RequestInfo | None, *_: object) -> None:
            self.repeat_counted(self._label(request), event)

        return count

    def _on_step_start(self, step: str) -> Callable[..., None]:
        def start(*_: object) -> None:
            self._here.steps[step] = time.monotonic()

        return start

    def _on_step_end(self, step: str) -> Callable[..., None]:
        def end(request: RequestInfo | None, *arguments: object) -> None:
            now = time.monotonic()
            error = arguments[-1]
            took_s = now - self._here.steps.pop(step, now)
            self.step_measured(self._label(request), step, took_s, error if isinstance(error, BaseException) else None)

        return end


#: how a connection is made; the name's look-up is a part of the dial
STEPS = ("dial", "dns", "tunnel", "tls")


class _Clocks(threading.local):
    """What is under way in this thread: each step of making a connection, and the wait before it."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self.waited_s = 0.0


class Listeners(Trace):
    """Several listeners as one; the failure of one keeps nothing from the others."""

    def __init__(self, *listeners: Trace) -> None:
        self.listeners = listeners
        wanted = [listener.wanted_events for listener in listeners]
        if None not in wanted:
            self.wanted_events = frozenset().union(*(names for names in wanted if names is not None))

    def dispatch(self, request: RequestInfo | None, event: str, arguments: tuple[object, ...]) -> None:
        for listener in self.listeners:
            try:
                listener.dispatch(request, event, arguments)
            except Exception:
                log.exception("trace listener %r failed in %s", listener, event)


def attach(manager: PoolManager | BaseUrlClient, observer: Observer) -> PoolManager:
    """Have a manager's requests told to the observer, beside its ``trace``; the manager (a client's own).

    It holds for pools and clients that are made from now on. A request with a ``trace`` of its own tells that alone.
    """
    found = manager.manager if isinstance(manager, BaseUrlClient) else manager
    if not isinstance(found, PoolManager):
        raise TypeError(f"manager must be a PoolManager or a Client, not {manager!r}")
    present = found.connection_pool_kw.get("trace")
    found.connection_pool_kw["trace"] = observer if present is None else Listeners(present, observer)
    return found
