"""How a pool is doing: its counts and its health, as pools and managers tell them.

A pool's users ask here what it has counted (:meth:`PoolStatistics.stats`), whether its endpoint answers, and to have
its idle connections looked at or dropped. The counting is done where things happen: by ``connection_factory``, by
``pool/state``, by ``circuit_breaker``; what requests have met is noted in ``health``. ``docs/pooling.rst`` says what
each figure means; the choice follows psycopg_pool's ``get_stats``."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, cast

from ..base.url import bracketed
from ..exceptions import PoolError, is_from_body, name_pool
from ..pool.stats import PoolStats
from .connection_factory import COUNTED, ConnectionFactory
from .endpoint_health_check import CheckedPool, EndpointHealth, HealthCheck
from .request_loop import RETRYABLE

if TYPE_CHECKING:
    from typing import Literal

    from ..policy.circuit_breaker import Circuit, CircuitReport
    from ..policy.rate_limit import Turns
    from .lease import HTTPEndpointPool


class _Stats(TypedDict):
    idle: int
    leased: int
    opening: int
    closing: int
    waiting: int
    maxsize: int | None
    most_leased: int
    opened: int
    reused: int
    returned: int
    dropped: dict[str, int]
    expired: int
    waited: int
    wait_s: float
    timeouts: int
    refused: int
    connect_errors: int
    leaks: int
    requests: int
    bytes_sent: int
    bytes_received: int
    errors: int


class HTTPPoolStats(_Stats, total=False):
    """The figures of one pool, or of several in sum; those of a circuit and of a rate where there is one."""

    circuit_opened: int
    circuit_refused: int
    rate_waiting: int
    rate_waited: int
    rate_wait_s: float


class ManagerStats(TypedDict):
    """The figures of a manager's pools, by name and in sum."""

    pools: dict[str, HTTPPoolStats]
    total: HTTPPoolStats


class _PoolCounts(TypedDict):
    pool: str
    idle: int
    leased: int
    waiting: int


class PoolHealth(EndpointHealth, _PoolCounts, total=False):
    """What is known of a pool's endpoint, and the figures that a reader of it wants."""

    circuit: CircuitReport


class ManagerHealth(TypedDict):
    """Failing: every pool that was asked anything failed last; degraded: some did."""

    status: Literal["ok", "degraded", "failing"]
    pools: dict[str, PoolHealth]


class PoolStatistics:
    """What a pool tells of itself; the pool sets what is declared here."""

    _endpoint_pool: HTTPEndpointPool
    _factory: ConnectionFactory
    _circuit: Circuit | None = None
    _turns: Turns | None = None
    _health: HealthCheck | None = None  # made when it is first needed, by one dict.setdefault

    @property
    def num_connections(self) -> int:
        """How many connections were made."""
        return self._factory.opened

    @property
    def num_requests(self) -> int:
        """How many requests were sent, repeated ones included."""
        return self._counts()["requests"]

    def stats(self) -> HTTPPoolStats:
        """All figures of this pool; ``docs/pooling.rst`` says what each means."""
        return _all_figures(self._endpoint_pool, self._factory, self._circuit, self._turns)

    def health(self) -> PoolHealth:
        """What is known of the endpoint (see ``health``), with the figures a reader of it wants; JSON-ready."""
        pool = self._endpoint_pool
        check = self._health_check()
        if check.is_unknown and self.num_requests:
            check.note_success()
        counts = {"pool": pool.state.value, "idle": pool.idle, "leased": pool.leased, "waiting": pool.waiting}
        report = cast(PoolHealth, {**check.report(), **counts})
        if self._circuit is not None:
            report["circuit"] = self._circuit.report()
        return report

    def probe_idle(self) -> int:
        """How many idle connections turned out dead; they are closed."""
        return self._endpoint_pool.drop_unusable("dead when probed")

    def refresh(self, reason: str = "refreshed") -> int:
        """Close all idle connections, so that new ones are opened; leased ones are not touched. How many there were."""
        return self._endpoint_pool.drop_idle(reason)

    def _note(self, error: BaseException, url: str) -> None:
        """Count an error, and let it name this pool."""
        if is_from_body(error):
            return
        if isinstance(error, PoolError):
            name_pool(error, self, url)
        if isinstance(error, Exception):
            self._factory.count_error()
            if isinstance(error, RETRYABLE):
                self._health_check().note_error(error)

    def _figures_reader(self) -> Callable[[], HTTPPoolStats]:
        """What reads all that this pool has counted, nothing of now; it holds what is counted, not the pool."""
        return partial(_figures_of, self._endpoint_pool, self._factory, self._circuit, self._turns)

    def _counts(self) -> dict[str, int]:
        return self._factory.growing_totals(self._endpoint_pool.connections())

    def _health_check(self) -> HealthCheck:
        """The notes on the endpoint's health; made when there is something to note."""
        return self._health or self.__dict__.setdefault("_health", HealthCheck(cast(CheckedPool, self)))


#: what is so now; of a pool that its manager has let go only what it has counted adds to the manager's sums
_OF_NOW = frozenset({"idle", "leased", "opening", "closing", "waiting", "maxsize", "rate_waiting"})


class PastPools:
    """What the pools that a manager has let go have counted, so that its sums never go backwards.

    Such a pool may be in use for a while; its place holds what it counts by, and when it is gone its last figures.
    These hold no pool: its idle connections close when nobody uses it any more. ``parent``: hears of these pools, too.
    """

    def __init__(self, parent: PastPools | None = None) -> None:
        self._parent = parent
        self.reset()

    def reset(self) -> None:
        """Nothing counted yet, as in a forked child."""
        self._figures: dict[int, Callable[[], HTTPPoolStats]] = {}
        self._watched: dict[int, weakref.ref[object]] = {}
        self._sum: HTTPPoolStats | None = None  # of pools that are gone
        self._lock = threading.Lock()  # of _sum; no finaliser takes it

    def add(self, pool: object) -> None:
        """A pool leaves its manager; one of another kind counts nothing."""
        if not isinstance(pool, PoolStatistics):
            return
        key = id(pool)
        with self._lock:
            self._fold_locked()  # another pool that is gone may have had this id
            if key not in self._figures:
                self._figures[key] = pool._figures_reader()
                # No weakref.finalize: the first one of a process fails in a finaliser at its exit.
                self._watched[key] = weakref.ref(pool, lambda _: self._settle(key))
        if self._parent is not None:
            self._parent.add(pool)

    def _settle(self, key: int, is_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        """A pool is gone; runs in the middle of anything, so that one assignment must do.

        At the interpreter's exit nobody counts any more, and this module's names are gone: hence the default.
        """
        self._watched.pop(key, None)
        if key in self._figures and not is_exit():
            self._figures[key] = _Last(self._figures[key]())
            self._fold()

    def _fold(self) -> None:
        """Add the last figures up, unless that is being done."""
        if self._lock.acquire(blocking=False):
            try:
                self._fold_locked()
            finally:
                self._lock.release()

    def _fold_locked(self) -> None:
        gone = {key: last for key, last in list(self._figures.items()) if isinstance(last, _Last)}
        if gone:
            kept = [] if self._sum is None else [self._sum]
            self._sum = total_of([*kept, *(last.figures for last in gone.values())])
            for key, last in gone.items():
                if self._figures.get(key) is last:
                    del self._figures[key]

    def figures(self, present: Iterable[object]) -> list[HTTPPoolStats]:
        """What was counted by all of them but those in ``present``, which came back."""
        back = {id(pool) for pool in present}
        with self._lock:
            self._fold_locked()
            counted = [read() for key, read in list(self._figures.items()) if key not in back]
            return counted if self._sum is None else [self._sum, *counted]


class _Last:
    """The last figures of a pool that is gone."""

    def __init__(self, figures: HTTPPoolStats) -> None:
        self.figures = figures

    def __call__(self) -> HTTPPoolStats:
        return self.figures


def _figures_of(
    endpoint_pool: HTTPEndpointPool, factory: ConnectionFactory, circuit: Circuit | None, turns: Turns | None
) -> HTTPPoolStats:
    """All that a pool has counted; nothing of now."""
    figures = _all_figures(endpoint_pool, factory, circuit, turns)
    return cast(HTTPPoolStats, {**figures, **dict.fromkeys(_OF_NOW & figures.keys(), 0)})


def _all_figures(
    endpoint_pool: HTTPEndpointPool, factory: ConnectionFactory, circuit: Circuit | None, turns: Turns | None
) -> HTTPPoolStats:
    connections = endpoint_pool.stats()
    figures = connections.by_name()
    if circuit is not None:
        figures["circuit_opened"], figures["circuit_refused"] = circuit.opened, circuit.refused
    if turns is not None:
        figures.update(rate_waiting=turns.waiting, rate_waited=turns.waited, rate_wait_s=turns.wait_s)
    counts = factory.growing_totals(endpoint_pool.connections())
    return cast(HTTPPoolStats, {**figures, **counts, "errors": factory.errors})


def total_of(every: Iterable[HTTPPoolStats]) -> HTTPPoolStats:
    """The figures in sum, name by name; ``maxsize`` is None where one pool has no limit. Zeros where there are none."""
    total: dict[str, Any] = {**PoolStats(maxsize=0).by_name(), **dict.fromkeys(COUNTED, 0), "errors": 0}
    for figures in every:
        for name, value in figures.items():
            total[name] = _added(total.get(name, 0), value)
    return cast(HTTPPoolStats, total)


def _added(sum_: Any, value: Any) -> Any:
    """Two figures in sum: numbers added, counts by name added name by name, None where one has no limit."""
    if isinstance(value, dict):
        return {name: sum_.get(name, 0) + value.get(name, 0) for name in {**sum_, **value}}
    return None if value is None or sum_ is None else sum_ + value


def worst_of(reports: Iterable[PoolHealth]) -> Literal["ok", "degraded", "failing"]:
    """What several pools' health comes to; those that were asked nothing yet don't count."""
    states = [report["state"] for report in reports if report["state"] != "unknown"]
    failing = states.count("failing")
    return "ok" if not failing else "failing" if failing == len(states) else "degraded"


class _Named(Protocol):
    """What is asked of a pool that gets a name."""

    host: str
    port: int | None

    @property
    def scheme(self) -> str | None: ...


P = TypeVar("P", bound=_Named)


def by_origin(pools: Iterable[P]) -> dict[str, P]:
    """The pools by scheme, host and port, and a number where that does not tell them apart."""
    names: dict[str, P] = {}
    for pool in pools:
        name = base = f"{pool.scheme}://{bracketed(pool.host)}:{pool.port}"
        while name in names:
            name = f"{base}#{len(names) + 1}"
        names[name] = pool
    return names
