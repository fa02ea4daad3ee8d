"""``prometheus(manager)``: a manager's figures for Prometheus, by prometheus-client (extra ``prometheus``).

Counters and histograms are written where things happen; gauges are read from ``stats()`` when Prometheus asks.  A pool
tells of its leases, and a manager of its requests, by few plain calls (:class:`PrometheusPool`); what is rarer, and all
where the manager has other listeners as well, comes as events.  With ``PROMETHEUS_MULTIPROC_DIR`` set nobody asks the
process itself: all comes as events then, and gauges are written as pools change.  Every manager
of a registry shares its families and differs by the label ``manager``.  ``docs/metrics.rst`` has the table of names.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, cast

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

from ..base.exact_values import exact_text
from ..base.trace import Meter, PoolMeter, RequestInfo
from .cells import (
    MOST_VALUES,
    CounterCell,
    CounterCells,
    HistogramCell,
    HistogramCells,
    LeaseTally,
    RequestTally,
    Tallies,
)
from .observer import METHODS, OTHER, REASONS, Observer, attach, error_kind

if TYPE_CHECKING:
    from ..base_url_client import BaseUrlClient
    from ..client.pool_status import HTTPPoolStats
    from ..poolmanager import PoolManager

#: seconds; the advice of OpenTelemetry's HTTP conventions, and three steps below it for services nearby
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
#: seconds; waiting for a free connection is nothing or long
ACQUIRE_BUCKETS = (0.0001, 0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30)

_POOL = ("manager", "pool")
#: gauges: name -> what it says, labels
GAUGES = {
    "poollib_connections": ("Connections by state: idle, active, opening, closing.", (*_POOL, "state")),
    "poollib_connections_max": ("The most connections that are kept, or that exist with block=True.", _POOL),
    "poollib_connections_pending": ("Threads that wait for a connection.", _POOL),
}
#: how ``stats()`` names what has a state
_STATES = {"idle": "idle", "active": "leased", "opening": "opening", "closing": "closing"}


class Sample(NamedTuple):
    """One value of a gauge."""

    gauge: str
    labels: tuple[str, ...]
    value: float


def prometheus(
    manager: PoolManager | BaseUrlClient,
    *,
    name: str = "default",
    registry: CollectorRegistry | None = None,
    max_pools: int = 100,
) -> None:
    """Measure a manager's (or client's) requests and connections, before it sends the first one.

    ``name``: the label ``manager``; ValueError if the registry has a living manager of that name, or for a text that is
    no Unicode, TypeError for no text: a scrape would fail by it. ``registry``: prometheus-client's own if None.
    ``max_pools``: how many pools get a label of their own; the others are ``other``.
    """
    try:
        name = exact_text("name", name)
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"name must be Unicode text, not {name!r}") from None
    families = _families_of(REGISTRY if registry is None else registry)
    observer = (PrometheusObserver if families.gauges else PrometheusMeter)(families, name, max_pools)
    families.add(name, observer)
    observer.watch(attach(manager, observer))


class Families:
    """The metrics of one registry, and the managers that are measured there."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._cells: list[CounterCells | HistogramCells] = []
        self.tallies = Tallies()
        is_one_process = "PROMETHEUS_MULTIPROC_DIR" not in os.environ

        def counter(name: str, text: str, *labels: str) -> Counter | CounterCells:
            if not is_one_process:
                return Counter(f"poollib_{name}", text, (*_POOL, *labels), registry=registry)
            self._cells.append(cells := CounterCells(f"poollib_{name}", text, (*_POOL, *labels)))
            return cells

        def histogram(name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram | HistogramCells:
            if not is_one_process:
                return Histogram(f"poollib_{name}", text, (*_POOL, *labels), registry=registry, buckets=tuple(buckets))
            self._cells.append(cells := HistogramCells(f"poollib_{name}", text, (*_POOL, *labels), buckets))
            return cells

        self.requests = counter("requests", "Requests that came to an end.", "method", "status", "error")
        self.repeats = counter("repeats", "Requests sent again: retried, resent, redirected.", "event")
        self.connections = counter("connection_events", "Connections opened, reused, returned.", "event")
        self.closed = counter("connections_closed", "Connections closed, by reason.", "reason")
        self.timeouts = counter("acquire_timeouts", "Times that no connection came free in time.")
        self.refusals = counter("acquire_refusals", "Times that too many waited for a connection already.")
        self.failed = counter("connect_errors", "Steps of making a connection that failed.", "step")
        self.duration = histogram("request_duration_seconds", "From call to response.", REQUEST_BUCKETS, "method")
        self.acquire = histogram("connection_acquire_seconds", "Waiting for a connection.", ACQUIRE_BUCKETS)
        self.rate_wait = histogram("rate_wait_seconds", "Waiting for a turn.", ACQUIRE_BUCKETS)
        self.creation = histogram("connection_creation_seconds", "Making a connection.", REQUEST_BUCKETS, "step")
        self.usage = histogram("connection_usage_seconds", "From lease to return.", REQUEST_BUCKETS)
        self.gauges: dict[str, Gauge] = {}
        self._observers: weakref.WeakValueDictionary[str, PrometheusObserver] = weakref.WeakValueDictionary()
        if not is_one_process:
            self.gauges = {
                gauge: Gauge(gauge, text, labels, registry=registry, multiprocess_mode="livesum")
                for gauge, (text, labels) in GAUGES.items()
            }
        else:
            registry.register(self)

    def add(self, name: str, observer: PrometheusObserver) -> None:
        """One more manager; ValueError if there is one of that name."""
        if name in self._observers:
            raise ValueError(f"name: a manager named {name!r} is measured in this registry already")
        self._observers[name] = observer

    def lease_tally(self, manager: str, pool: str) -> LeaseTally:
        """What a pool's leases are counted by, where this process alone is read."""
        cells = _PoolMetrics(self, manager, pool)
        usage, acquire = cast(HistogramCell, cells.usage), cast(HistogramCell, cells.acquire)
        reused, returned = (cast(CounterCell, cells.events[event]) for event in ("reused", "returned"))
        return self.tallies.add(LeaseTally(usage, acquire, reused, returned), manager, pool)

    def request_tally(self, *labels: str) -> RequestTally:
        """What requests of these labels are counted by, likewise."""
        duration = cast(HistogramCell, self.duration.labels(*labels[:3]))
        return self.tallies.add(RequestTally(duration, cast(CounterCell, self.requests.labels(*labels))), *labels)

    def describe(self) -> Iterator[Metric]:
        """All without values, as a registry wants them."""
        for cells in self._cells:
            yield cells.family()
        yield from self._empty_gauges()

    def _empty_gauges(self) -> Iterator[GaugeMetricFamily]:
        for gauge, (text, labels) in GAUGES.items():
            yield GaugeMetricFamily(gauge, text, labels=labels)

    def collect(self) -> Iterator[Metric]:
        """All as they are now; called by the registry."""
        self.tallies.hand_over()
        for cells in self._cells:
            yield cells.family()
        samples = [sample for observer in list(self._observers.values()) for sample in observer.samples()]
        for family in self._empty_gauges():
            for sample in samples:
                if sample.gauge == family.name:
                    family.add_metric(sample.labels, sample.value)
            yield family


_families: weakref.WeakKeyDictionary[CollectorRegistry, Families] = weakref.WeakKeyDictionary()
_lock = threading.Lock()  # guards _families


def _families_of(registry: CollectorRegistry) -> Families:
    with _lock:
        families = _families.get(registry)
        if families is None:
            families = _families[registry] = Families(registry)
        elif not families.gauges:
            with suppress(ValueError):  # it is registered, unless somebody has cleared the registry
                registry.register(families)
        return families


class PrometheusObserver(Observer):
    """What one manager's measurements become."""

    def __init__(self, families: Families, name: str, max_pools: int) -> None:
        super().__init__(max_pools)
        self.families = families
        self._name = name
        self._manager: weakref.ref[PoolManager] | None = None
        # prometheus-client checks labels and takes a lock to find a child; here each is found once.
        self._requests: dict[tuple[str, str, str, str], tuple[Counter | CounterCell, Histogram | HistogramCell]] = {}
        self._pools: dict[str, _PoolMetrics] = {}

    def watch(self, manager: PoolManager) -> None:
        """Read the gauges from this manager, as long as it lives."""
        self._manager = weakref.ref(manager)

    def samples(self) -> list[Sample]:
        """The gauges of all pools; pools of one name, or beyond the limit, in sum."""
        manager = None if self._manager is None else self._manager()
        if manager is None:
            return []
        sums: dict[tuple[str, tuple[str, ...]], float] = {}
        for name, figures in manager.stats()["pools"].items():
            pool = self._names.label(name.partition("#")[0])
            for gauge, labels, value in _samples_of(self._name, pool, figures):
                sums[gauge, labels] = sums.get((gauge, labels), 0.0) + value
        return [Sample(gauge, labels, value) for (gauge, labels), value in sums.items()]

    def _write_gauges(self) -> None:
        """Where several processes are read by their files: the gauges as they are now."""
        for gauge, labels, value in self.samples():
            self.families.gauges[gauge].labels(*labels).set(value)

    def _pool(self, pool: str) -> _PoolMetrics:
        return self._pools.get(pool) or self._pools.setdefault(pool, _PoolMetrics(self.families, self._name, pool))

    def request_measured(
        self, pool: str, request: RequestInfo, status: int | None, error: BaseException | None, took_s: float
    ) -> None:
        method = request.method if request.method in METHODS else OTHER
        key = pool, method, "" if status is None else f"{status // 100}xx", error_kind(error)
        found = self._requests.get(key)
        if found is None:
            duration = self.families.duration.labels(self._name, *key[:2])
            found = self._requests[key] = self.families.requests.labels(self._name, *key), duration
        found[0].inc()
        found[1].observe(took_s)
        if self.families.gauges:
            self._write_gauges()

    def acquire_measured(self, pool: str, waited_s: float) -> None:
        self._pool(pool).acquire.observe(waited_s)

    def acquire_timed_out(self, pool: str) -> None:
        self._pool(pool).timeouts.inc()

    def acquire_refused(self, pool: str) -> None:
        self._pool(pool).refusals.inc()

    def rate_wait_measured(self, pool: str, waited_s: float) -> None:
        self.families.rate_wait.labels(self._name, pool).observe(waited_s)

    def usage_measured(self, pool: str, used_s: float) -> None:
        self._pool(pool).usage.observe(used_s)

    def step_measured(self, pool: str, step: str, took_s: float, error: BaseException | None) -> None:
        if error is None:
            self.families.creation.labels(self._name, pool, step).observe(took_s)
        else:
            self.families.failed.labels(self._name, pool, step).inc()

    def connection_counted(self, pool: str, event: str, connection: object, reason: str) -> None:
        if event == "closed":
            self.families.closed.labels(self._name, pool, reason).inc()
        else:
            self._pool(pool).events[event].inc()
        if self.families.gauges and event != "reused":
            self._write_gauges()

    def repeat_counted(self, pool: str, event: str) -> None:
        self.families.repeats.labels(self._name, pool, event).inc()


class PrometheusMeter(PrometheusObserver, Meter):
    """The same, where this process alone is read: its pools and requests need not tell it by events."""

    def __init__(self, families: Families, name: str, max_pools: int) -> None:
        super().__init__(families, name, max_pools)
        Meter.__init__(self)
        self._metered: dict[str, PrometheusPool] = {}

    def of_pool(self, endpoint: object) -> PrometheusPool:
        pool = self._label(None, endpoint)
        return self._metered.get(pool) or self._metered.setdefault(
            pool, PrometheusPool(self, self._name, pool, endpoint)
        )


class PrometheusPool(PoolMeter):
    """What the pools of one label tell; of each request and lease a number is appended to a tally."""

    def __init__(self, meter: PrometheusMeter, manager: str, pool: str, endpoint: object) -> None:
        self.meter: PrometheusMeter = meter
        self.wanted_events = (meter.wanted_events or frozenset()) - _COUNTED_WITHOUT_EVENTS
        self._families, self._labels = meter.families, (manager, pool)
        self._request = RequestInfo(0, "", "", endpoint)  # whose pool is known, and nothing else
        self._tallies: dict[str, dict[int, RequestTally]] = {method: {} for method in METHODS}
        leases = self._families.lease_tally(manager, pool)
        self.taken, self.acquired, self.lease_ended = leases.waits.append, leases.acquired, leases.lease_ended

    def answered(self, method: str, status: int, took_s: float) -> None:
        try:
            tally = self._tallies[method][status]
        except KeyError:
            tally = self._tally(method, status)
        values = tally.values
        values.append(took_s)
        if len(values) >= MOST_VALUES:
            tally.hand_over()

    def failed(self, method: str, error: BaseException, took_s: float) -> None:
        tally = self._tally_of(method, "", error_kind(error))
        tally.values.append(took_s)
        tally.hand_over()

    def _tally(self, method: str, status: int) -> RequestTally:
        tally = self._tally_of(method, f"{status // 100}xx", "")
        if method in METHODS:
            self._tallies[method][status] = tally
        return tally

    def _tally_of(self, method: str, status: str, error: str) -> RequestTally:
        return self._families.request_tally(*self._labels, method if method in METHODS else OTHER, status, error)

    def dispatch(self, request: RequestInfo | None, event: str, arguments: tuple[object, ...]) -> None:
        """Where a connection is opened or closed, its lease is told of apart."""
        if event == "connection_opened":
            self.meter.connection_counted(self._labels[1], "opened", arguments[1], "")
        elif event == "connection_closed":
            reason = str(arguments[2])
            self.meter.connection_counted(
                self._labels[1], "closed", arguments[1], reason if reason in REASONS else OTHER
            )
        else:
            self.meter.dispatch(self._request, event, arguments)


_COUNTED_WITHOUT_EVENTS = frozenset({"request_ended", "connection_waited", "connection_reused", "connection_returned"})


class _PoolMetrics:
    """What a pool's every request writes to."""

    def __init__(self, families: Families, manager: str, pool: str) -> None:
        self.acquire = families.acquire.labels(manager, pool)
        self.usage = families.usage.labels(manager, pool)
        self.timeouts = families.timeouts.labels(manager, pool)
        self.refusals = families.refusals.labels(manager, pool)
        events = ("opened", "reused", "returned")
        self.events = {event: families.connections.labels(manager, pool, event) for event in events}


def _samples_of(manager: str, pool: str, figures: HTTPPoolStats) -> Iterator[Sample]:
    numbers: dict[str, int] = {state: figures[key] for state, key in _STATES.items()}  # type: ignore[literal-required]
    for state, number in numbers.items():
        yield Sample("poollib_connections", (manager, pool, state), number)
    maxsize = figures["maxsize"]
    yield Sample("poollib_connections_max", (manager, pool), math.inf if maxsize is None else maxsize)
    yield Sample("poollib_connections_pending", (manager, pool), figures["waiting"])
