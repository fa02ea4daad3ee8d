"""Counters and histograms as Prometheus has them, and what every request adds to, a lock and an addition each.

``for_prometheus`` makes them for one process and hands their families to the registry when it asks; prometheus-client's
own children check labels and values again at each call, and take several locks (1 to 1.5 us a call, these 0.2; CPython
3.11).  Where several processes are read as one, the client's own write to its files, and these are not used.
What one event adds to several cells is added up in a tally, and handed over to the cells when they are read.

The locks are reentrant: a finaliser or a signal's handler that gives a connection back may come at any step.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Generic, TypeVar, cast

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from ..base import after_fork

#: So many values are kept at most until somebody hands them over.
MOST_VALUES = 1000


class CounterCell:
    """One counter; its lock makes it right in any number of threads, also where they run side by side."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self.renew_lock()
        self.value = 0

    def renew_lock(self) -> None:
        """In a forked child: whoever held it is not there."""
        self._lock = threading.RLock()

    def inc(self, amount: int = 1) -> None:
        """So many more."""
        with self._lock:
            self.value += amount


class HistogramCell:
    """One histogram: how many values were at most each of ``bounds``, and above all of them; and their sum."""

    __slots__ = ("_lock", "bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.renew_lock()
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def renew_lock(self) -> None:
        """In a forked child: whoever held it is not there."""
        self._lock = threading.RLock()

    def observe(self, value: float) -> None:
        """One more value."""
        place = bisect_left(self.bounds, value)
        with self._lock:
            self.counts[place] += 1
            self.sum += value

    def add(self, counts: Iterable[int], total: float) -> None:
        """More values: how many in each bucket, the lowest first, and their sum."""
        with self._lock:
            for place, count in enumerate(counts):
                self.counts[place] += count
            self.sum += total

    def cumulated(self) -> tuple[list[tuple[str, float]], float]:
        """The number of values up to each bound, ``+Inf`` last, and their sum: all of one moment."""
        with self._lock:
            counts, total = list(self.counts), self.sum
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(counts)), strict=True)), total


class Tally:
    """Values on their way to a histogram, appended to ``values`` by whoever has one.

    ``list.append`` is whole in itself: nothing is lost in any number of threads, and it takes a fifth of a lock.
    """

    __slots__ = ("_histogram", "_lock", "values")

    def __init__(self, histogram: HistogramCell) -> None:
        self.values: list[float] = []
        self._histogram = histogram
        self.renew_lock()

    def renew_lock(self) -> None:
        """In a forked child: whoever held it is not there."""
        self._lock = threading.RLock()  # of those who take values out; others come at the end meanwhile

    def hand_over(self) -> None:
        """Add all to the cells."""
        with self._lock:
            values = taken_out(self.values)
        values.sort()  # a third of the time of finding each one's bucket
        places = [bisect_right(values, bound) for bound in self._histogram.bounds]
        self._histogram.add([end - start for start, end in pairwise([0, *places, len(values)])], sum(values))
        self._counted(len(values))

    def _counted(self, number: int) -> None:
        """So many values were handed to the histogram."""
        raise NotImplementedError


def taken_out(values: list[float]) -> list[float]:
    """Those that are there now, taken out; a lock keeps others who do so away."""
    taken = values[:]
    del values[: len(taken)]
    return taken


class RequestTally(Tally):
    """Requests of one pool, method and outcome: their times, whose number is theirs."""

    __slots__ = ("_requests",)

    def __init__(self, durations: HistogramCell, requests: CounterCell) -> None:
        super().__init__(durations)
        self._requests = requests

    def _counted(self, number: int) -> None:
        self._requests.inc(number)


class LeaseTally(Tally):
    """Leases of one pool's connections: how long those were that ended with the connection kept.

    ``waits``: of those that began with an idle connection. All others are rare, and go to the cells at once.
    """

    __slots__ = ("_acquire", "_returned", "_reused", "waits")

    def __init__(
        self, usage: HistogramCell, acquire: HistogramCell, reused: CounterCell, returned: CounterCell
    ) -> None:
        super().__init__(usage)
        self._acquire, self._reused, self._returned = acquire, reused, returned
        self.waits: list[float] = []

    def acquired(self, reuses: int, waited_s: float) -> None:
        """As of a ``PoolMeter``."""
        self._reused.inc(reuses > 0)
        self._acquire.observe(waited_s)

    def lease_ended(self, used_s: float, is_kept: bool) -> None:
        """As of a ``PoolMeter``."""
        if not is_kept:
            self._histogram.observe(used_s)
            return
        values = self.values
        values.append(used_s)
        if len(values) >= MOST_VALUES:
            self.hand_over()

    def _counted(self, number: int) -> None:
        self._returned.inc(number)
        with self._lock:
            waits = len(taken_out(self.waits))
        self._reused.inc(waits)
        self._acquire.add((waits,), 0.0)


class Tallies:
    """The tallies of all pools and outcomes, by their labels' values; they stay as long as the registry does."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, ...], Tally] = {}
        after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        for tally in self._tallies.values():
            tally.renew_lock()

    def add(self, tally: AnyTally, *values: str) -> AnyTally:
        """The tally of these values: this one, or the one that came before."""
        return cast(AnyTally, self._tallies.setdefault(values, tally))

    def hand_over(self) -> None:
        """Bring all cells up to date."""
        for tally in list(self._tallies.values()):
            tally.hand_over()


AnyTally = TypeVar("AnyTally", bound=Tally)
Cell = TypeVar("Cell", CounterCell, HistogramCell)


class _Cells(Generic[Cell]):
    """Cells of one name, by their labels' values; they stay as long as the registry does."""

    def __init__(self, name: str, text: str, labels: Iterable[str]) -> None:
        self.name, self.text, self.names = name, text, tuple(labels)
        self._cells: dict[tuple[str, ...], Cell] = {}
        after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        for cell in self._cells.values():
            cell.renew_lock()

    def _made(self) -> Cell:
        raise NotImplementedError

    def labels(self, *values: str) -> Cell:
        """The one of these values; whoever comes second gets the first one's."""
        return self._cells.get(values) or self._cells.setdefault(values, self._made())

    def items(self) -> list[tuple[tuple[str, ...], Cell]]:
        """All there are now."""
        return list(self._cells.items())


class CounterCells(_Cells[CounterCell]):
    """Counters of one name."""

    def _made(self) -> CounterCell:
        return CounterCell()

    def family(self) -> CounterMetricFamily:
        """As a registry wants them."""
        family = CounterMetricFamily(self.name, self.text, labels=self.names)
        for values, cell in self.items():
            family.add_metric(values, cell.value)
        return family


class HistogramCells(_Cells[HistogramCell]):
    """Histograms of one name and the same bounds."""

    def __init__(self, name: str, text: str, labels: Iterable[str], bounds: Iterable[float]) -> None:
        super().__init__(name, text, labels)
        self._bounds = tuple(bounds)

    def _made(self) -> HistogramCell:
        return HistogramCell(self._bounds)

    def family(self) -> HistogramMetricFamily:
        """As a registry wants them."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.names)
        for values, cell in self.items():
            buckets, total = cell.cumulated()
            family.add_metric(values, buckets, total)
        return family
