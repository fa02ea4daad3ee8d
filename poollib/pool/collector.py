"""The collector: the one background thread of all pools in a process.

Whoever wants to be looked after calls ``watch(self)``: the thread starts with the first, holds them all weakly, asks
each to ``sweep(now)`` and sleeps until the earliest wants to be asked again.  It ends when the last one is gone or
wants nothing more, so that a program that closed its pools has no thread left.
What is done in a sweep belongs to the pools; an error in one is logged and touches no other.
All news reach the thread through a ``queue.SimpleQueue``, whose ``put`` may be called from finalisers and signal
handlers; the thread alone owns the timetable, so it needs no lock.  HikariCP's housekeeper is the model.
"""

from __future__ import annotations

import os
import sys
import time
from heapq import heappop, heappush
from itertools import count
from math import inf
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Protocol
from weakref import ref

from ..logs import logger

log = logger(__name__)

#: A pool whose sweep failed is asked again after this many seconds.
PAUSE_AFTER_ERROR_S = 30.0
#: The thread looks at the clock at least once a day; far longer waits overflow the system's timers.
LONGEST_PAUSE_S = 86_400.0
LATEST = sys.float_info.max
THREAD_NAME = "poollib-collector"


class Sweepable(Protocol):
    """What can be watched; it must be hashable by identity and take weak references."""

    def sweep(self, now: float) -> float | None:
        """Do what is due; seconds until the next call, None: nothing any more.  ``now`` is time.monotonic()."""


class Collector:
    """A timetable and the thread that follows it.  The module keeps one of them for the process."""

    def __init__(self) -> None:
        self._news: SimpleQueue[tuple[ref[Any], float | None]] = SimpleQueue()
        self._start_lock = Lock()  # guards _thread
        self._thread: Thread | None = None
        self._due: dict[ref[Any], float] = {}  # every watched one, and when it is asked next
        self._own: dict[ref[Any], ref[Any]] = {}  # any reference to a watched one -> the one that tells its end
        self._timetable: list[tuple[float, int, ref[Any]]] = []  # a heap; rows that _due contradicts are void
        self._row = count()

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        return self._thread is not None

    def watch(self, target: Sweepable) -> None:
        """Ask ``target`` to sweep from now on, first at once; the thread starts if it does not run."""
        self._news.put((ref(target, self._forget), 0.0))
        with self._start_lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()

    def hasten(self, target: ref[Any], delay_s: float) -> None:
        """Ask a watched target again in ``delay_s`` seconds, if it was not to be asked sooner.  Never blocks."""
        self._news.put((target, delay_s))

    def _forget(self, target: ref[Any]) -> None:
        self._news.put((target, None))

    def _run(self) -> None:
        while True:
            self._read_news()
            while self._due and self._timetable and self._timetable[0][0] <= time.monotonic():
                at, _, target = heappop(self._timetable)
                if self._due.get(target) == at:
                    self._sweep(target)
            if not self._due:
                with self._start_lock:
                    if self._news.empty():
                        self._timetable.clear()
                        self._thread = None
                        return

    def _read_news(self) -> None:
        """Sleep until news come or somebody is due, and enter all news into the timetable."""
        pause_s = min(LONGEST_PAUSE_S, self._timetable[0][0] - time.monotonic()) if self._due else 0.0
        try:
            self._enter(*self._news.get(timeout=max(0.0, pause_s)))
            while True:
                self._enter(*self._news.get_nowait())
        except Empty:
            return

    def _enter(self, target: ref[Any], delay_s: float | None) -> None:
        """Note that ``target`` is to be asked in ``delay_s`` seconds, if not sooner; None: it has vanished."""
        if delay_s is None:
            self._due.pop(target, None)
        elif target() is not None:
            at = min(time.monotonic() + delay_s, LATEST)
            if at < self._due.get(target, inf):
                self._due[target] = at  # the key stays the first one, whose callback tells when the target vanishes
                heappush(self._timetable, (at, next(self._row), target))

    def _sweep(self, reference: ref[Any]) -> None:
        target = reference()
        if target is None:
            self._enter(reference, None)
            return
        try:
            pause_s = target.sweep(time.monotonic())
        except Exception:
            log.exception("sweeping %r failed", target)
            pause_s = PAUSE_AFTER_ERROR_S
        if pause_s is None:
            self._due.pop(reference, None)
        else:
            self._due[reference] = inf
            self._enter(reference, max(0.0, pause_s))


_collector = Collector()


def watch(target: Sweepable) -> None:
    """Have the process's collector ask ``target`` to ``sweep``, first at once.  ``target`` is held weakly."""
    _collector.watch(target)


def hasten(target: ref[Any], delay_s: float) -> None:
    """Have a watched target asked in ``delay_s`` seconds at the latest.  Never blocks; safe in finalisers."""
    _collector.hasten(target, delay_s)


def is_running() -> bool:
    """Whether the background thread lives."""
    return _collector.is_running


def _start_afresh() -> None:
    """A forked child has no collector until somebody asks for one."""
    global _collector
    _collector = Collector()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
