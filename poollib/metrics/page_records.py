"""What a debug page remembers: the last minutes' rates, the last errors, the connections there are.

All of it is bounded, and nothing of it holds a path, a query, a header field or the text of an error: these may hold
secrets.  The page itself is ``page_html``, the figures of now come from the manager's ``stats()`` and ``health()``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import NamedTuple, TypedDict

from ..base.trace import RequestInfo
from .observer import METHODS, OTHER, Observer, error_kind

#: seconds that a plot shows
PLOTTED_S = 120
#: errors that are remembered; connections that are
MOST_ERRORS, MOST_CONNECTIONS = 20, 1000


class Second(TypedDict):
    """What ended in one second."""

    requests: int
    errors: int
    mean_ms: float


class ErrorRecord(TypedDict):
    """One request that failed. ``at``: seconds since 1970."""

    at: float
    pool: str
    method: str
    kind: str
    error: str
    attempts: int


class ConnectionRecord(TypedDict):
    """One connection: idle or active, and for how long; how old; how many requests it was leased for."""

    pool: str
    state: str
    state_for_s: float
    age_s: float
    leases: int


class PoolView(TypedDict):
    """One pool as the page shows it. ``refused``: too many waited for a connection; ``rate_*``: None without a rate."""

    name: str
    state: str
    failures: int
    circuit: str | None
    idle: int
    active: int
    opening: int
    waiting: int
    maxsize: int | None
    requests: int
    errors: int
    timeouts: int
    refused: int
    rate_waiting: int | None
    rate_waited: int | None
    rate_wait_s: float | None


class View(TypedDict):
    """All that the page shows; the JSON beside it."""

    status: str
    pools: list[PoolView]
    connections: list[ConnectionRecord]
    errors: list[ErrorRecord]
    seconds: list[Second]


class _Tally:
    """What ended in one second, while it is counted."""

    __slots__ = ("errors", "requests", "second", "took_s")

    def __init__(self, second: int) -> None:
        self.second = second
        self.requests = self.errors = 0
        self.took_s = 0.0


class _Known(NamedTuple):
    pool: str
    state: str
    opened_at: float
    since: float
    leases: int


class PageRecords(Observer):
    """The listener of a debug page."""

    def __init__(self, max_pools: int) -> None:
        super().__init__(max_pools)
        self._forget()

    def _reset_after_fork(self) -> None:
        super()._reset_after_fork()
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()  # guards the three below
        self._seconds: deque[_Tally] = deque(maxlen=PLOTTED_S)
        self._errors: deque[ErrorRecord] = deque(maxlen=MOST_ERRORS)
        self._connections: dict[int, _Known] = {}

    def request_measured(
        self, pool: str, request: RequestInfo, status: int | None, error: BaseException | None, took_s: float
    ) -> None:
        with self._lock:
            second = int(time.monotonic())
            if not self._seconds or self._seconds[-1].second != second:
                self._seconds.append(_Tally(second))
            tally = self._seconds[-1]
            tally.requests += 1
            tally.took_s += took_s
            if error is None:
                return
            tally.errors += 1
            self._errors.append(
                {
                    "at": round(time.time(), 3),
                    "pool": pool,
                    "method": request.method if request.method in METHODS else OTHER,
                    "kind": error_kind(error),
                    "error": type(error).__name__,
                    "attempts": request.attempt,
                }
            )

    def connection_counted(self, pool: str, event: str, connection: object, reason: str) -> None:
        now, key = time.monotonic(), id(connection)
        with self._lock:
            known = self._connections.pop(key, None)
            if event == "closed" or len(self._connections) >= MOST_CONNECTIONS:
                return
            state = "idle" if event == "returned" else "active"
            if known is None or event == "opened":
                known = _Known(pool, state, now, now, 0)
            leases = known.leases + (state == "active")
            self._connections[key] = _Known(known.pool, state, known.opened_at, now, leases)

    def seconds(self) -> list[Second]:
        """The last ``PLOTTED_S`` whole seconds, the oldest first."""
        with self._lock:
            tallies = {tally.second: tally for tally in self._seconds}
        end = int(time.monotonic())
        return [_second(tallies.get(second)) for second in range(end - PLOTTED_S, end)]

    def errors(self) -> list[ErrorRecord]:
        """The last errors, the newest first."""
        with self._lock:
            return list(reversed(self._errors))

    def connections(self) -> list[ConnectionRecord]:
        """All connections, by pool, the oldest first."""
        now = time.monotonic()
        with self._lock:
            known = sorted(self._connections.values(), key=lambda each: (each.pool, each.opened_at))
        return [
            {
                "pool": each.pool,
                "state": each.state,
                "state_for_s": round(now - each.since, 3),
                "age_s": round(now - each.opened_at, 3),
                "leases": each.leases,
            }
            for each in known
        ]


def _second(tally: _Tally | None) -> Second:
    if tally is None:
        return {"requests": 0, "errors": 0, "mean_ms": 0.0}
    mean_ms = round(1000 * tally.took_s / tally.requests, 3)
    return {"requests": tally.requests, "errors": tally.errors, "mean_ms": mean_ms}
