"""Health: does a pool's endpoint answer, as seen by the requests and by probes of its own.

A :class:`HealthCheck` belongs to one pool: it notes what the pool's requests meet, probes idle connections and, given a
path, sends a real request at intervals; when that fails it refreshes the pool (its idle connections are dropped and
opened anew) and logs the event.  The housekeeper tells it when; the probe itself runs in a thread of its own, so that
a server that does not answer holds up nobody else's.  What it reports is a plain dict, ready for JSON.
In a forked child probes begin with its first request, or when somebody asks how the endpoint is.
"""

from __future__ import annotations

import enum
import sys
import threading
import time
import weakref
from typing import Literal, Protocol, TypedDict

from ..base import after_fork
from ..base.exact_values import number
from ..base.loggers import logger
from ..exceptions import CircuitOpenError, ClosedPoolError, EmptyPoolError, HTTPError
from ..exchange.base_response import BaseHTTPResponse
from ..pool import housekeeper

log = logger(__name__)

PROBE_TIMEOUT_S = 5.0  # a health endpoint that takes longer is not healthy
#: What keeps a probe from being sent: it says nothing about the endpoint.
NOT_ASKED = (EmptyPoolError, ClosedPoolError, CircuitOpenError)


class HealthState(enum.Enum):
    """What is known of an endpoint. UNKNOWN: nothing was asked of it yet."""

    UNKNOWN = "unknown"
    OK = "ok"
    FAILING = "failing"


class EndpointHealth(TypedDict):
    """What is known of an endpoint, ready for JSON: the text of a HealthState, seconds, counts, an error as text."""

    state: Literal["unknown", "ok", "failing"]
    state_for_s: float
    consecutive_failures: int
    last_error: str | None
    probes: int


class CheckedPool(Protocol):
    """What a check needs of a pool."""

    def probe_idle(self) -> int:
        """How many idle connections turned out dead; they are closed."""

    def refresh(self, reason: str) -> int:
        """How many idle connections were dropped."""

    def urlopen(
        self, method: str, url: str, *, retries: bool, redirect: bool, timeout: float, pool_timeout: float | None
    ) -> BaseHTTPResponse:
        """The response to a request."""


def checked_interval(interval_s: float) -> float:
    """The seconds between probes; ValueError for what is none."""
    interval_s = number("health_check_interval", interval_s)
    if interval_s <= 0:
        raise ValueError(f"health_check_interval must be above 0 seconds, not {interval_s!r}")
    return interval_s


class HealthCheck:
    """The health of one pool. ``interval_s``: seconds between probes; ``path``: what to ask for, None: no request.

    One lock guards the notes; it is never held while a probe runs. It is re-entrant, for a request made by a finaliser
    may want to note something in the very thread that holds it.
    """

    __slots__ = (
        "__weakref__",
        "_asking_thread",
        "_failures",
        "_interval_s",
        "_is_on",
        "_is_watched",
        "_last_error",
        "_lock",
        "_next_at",
        "_path",
        "_pool",
        "_prober",
        "_probes",
        "_since",
        "_state",
    )

    def __init__(self, pool: CheckedPool, interval_s: float | None = None, path: str | None = None) -> None:
        self._pool = weakref.ref(pool)
        self._interval_s = None if interval_s is None else checked_interval(interval_s)
        self._path = path
        self._is_on = self._is_watched = False  # whether probes are wanted; whether the housekeeper knows
        self._reset_after_fork()
        after_fork.remember(self)

    def start(self) -> None:
        """Have the housekeeper tell when it is time, if there is an interval."""
        self._is_on = self._interval_s is not None
        self._be_watched()

    def _be_watched(self) -> None:
        """See to it that the housekeeper knows of this check: at the start, in a forked child, after a failed start."""
        if self._is_on and not (self._is_watched and housekeeper.is_running()):
            self._is_watched = housekeeper.watch(self)

    def _reset_after_fork(self) -> None:
        """Nothing is known yet and no probe runs: at the start, and in a forked child."""
        self._lock = threading.RLock()
        self._is_watched = False
        self._state = HealthState.UNKNOWN
        self._failures = 0
        self._last_error: str | None = None
        self._since = time.monotonic()
        self._probes = 0
        self._asking_thread: int | None = None  # in which a probe's request is under way: its answer is judged here
        self._next_at: float | None = None
        self._prober: threading.Thread | None = None  # the last one; whether it is at work, it tells itself

    def note_error(self, error: BaseException) -> None:
        """A request or probe failed for a reason that lies with the endpoint."""
        if self._asking_thread == threading.get_ident():
            return
        with self._lock:
            self._failures += 1
            self._last_error = f"{type(error).__name__}: {error}"
            self._change_locked(HealthState.FAILING)
        self._be_watched()

    def note_success(self) -> None:
        """A request or probe was answered."""
        if self._asking_thread == threading.get_ident():
            return
        with self._lock:
            self._failures = 0
            self._change_locked(HealthState.OK)
        self._be_watched()

    def _change_locked(self, state: HealthState) -> None:
        if state is not self._state:
            self._state, self._since = state, time.monotonic()

    @property
    def settings(self) -> tuple[float | None, str | None]:
        """Interval and path, for a pickled pool."""
        return self._interval_s, self._path

    @property
    def is_unknown(self) -> bool:
        """Whether nothing was noted yet."""
        return self._state is HealthState.UNKNOWN

    @property
    def is_ok(self) -> bool:
        """Whether the last thing that was tried was answered."""
        return self._state is HealthState.OK

    def report(self) -> EndpointHealth:
        """State and for how long (seconds), consecutive failures, last error (text) and the number of probes."""
        self._be_watched()
        with self._lock:
            return {
                "state": self._state.value,
                "state_for_s": round(time.monotonic() - self._since, 3),
                "consecutive_failures": self._failures,
                "last_error": self._last_error,
                "probes": self._probes,
            }

    def sweep(self, now: float) -> float | None:
        """Start a probe if it is time; seconds until the next. Called by the housekeeper."""
        interval_s = self._interval_s
        if interval_s is None:
            return None
        with self._lock:
            due = self._next_at is not None and now >= self._next_at and not self._is_probing()
            if self._next_at is None or due:
                self._next_at = now + interval_s
            wait_s = max(0.001, self._next_at - now)
        if due:
            self._start_probe()
        return wait_s if not self._is_probing() else interval_s

    def _is_probing(self) -> bool:
        return self._prober is not None and self._prober.is_alive()

    def _start_probe(self) -> None:
        """Probe in a thread of its own; if none can be had, next time."""
        if sys.is_finalizing():  # Thread.start would wait for ever (CPython 3.10, 3.11)
            return
        try:
            self._prober = threading.Thread(target=self.probe, name="poollib-health", daemon=True)
            self._prober.start()
        except RuntimeError:
            log.warning("no thread could be started for a health check", exc_info=True)

    def stop(self) -> None:
        """Probe no more: the pool was closed."""
        if self._interval_s is not None:
            self._interval_s = None
            self._is_on = False
            housekeeper.hasten(weakref.ref(self), 0.0)

    def probe(self) -> bool:
        """Whether the endpoint is healthy: look at the idle connections, and ask for the path if there is one."""
        pool = self._pool()
        if pool is None:
            return False
        try:
            error = self._probe_error(pool)
        finally:
            with self._lock:
                self._probes += 1
        if error is None:
            return True
        self.note_error(error)
        dropped = pool.refresh("health check failed")
        log.warning("health check of %s failed (%s): %d idle connections dropped", pool, error, dropped)
        return False

    def _probe_error(self, pool: CheckedPool) -> BaseException | None:
        pool.probe_idle()
        if self._path is None:
            return None
        self._asking_thread = threading.get_ident()
        try:
            response = pool.urlopen(
                "GET", self._path, retries=False, redirect=False, timeout=PROBE_TIMEOUT_S, pool_timeout=PROBE_TIMEOUT_S
            )
        except NOT_ASKED as error:
            log.debug("health check of %s was not sent (%s)", pool, error)
            return None
        except (HTTPError, OSError) as error:
            return error
        finally:
            self._asking_thread = None
        if response.status >= 500:
            return HTTPError(f"status {response.status}")
        self.note_success()
        return None
