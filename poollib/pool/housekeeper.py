"""The one background thread of all pools in a process, which closes what is idle for too long and opens ``min_idle``.

Whoever wants to be swept calls ``watch(self)``: the thread starts with the first, holds them all weakly, asks
each to ``sweep(now)`` and sleeps until the earliest wants to be asked again.  It ends when the last one is gone or
wants nothing more, so that a program that closed its pools has no thread left.
What is done in a sweep belongs to the pools; an error in one is logged and touches no other.
All requests reach the thread through a ``queue.SimpleQueue``, whose ``put`` may be called from finalisers and signal
handlers; the thread alone owns the schedule, so it needs no lock.  HikariCP's housekeeper is the model.
No exception ends the thread before its time.  Where it can't be started (a thread limit, an interpreter on its way
out), ``watch`` says so, and who wants to be watched asks again later.
Names of ``threading`` and ``queue`` are looked up when they are used: gevent and eventlet replace them any time.
"""

from __future__ import annotations

import atexit
import queue
import sys
import threading
import time
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Protocol
from weakref import ref

from ..base import after_fork
from ..base.loggers import logger

log = logger(__name__)

#: A pool whose sweep failed is asked again after this many seconds.
PAUSE_AFTER_ERROR_S = 30.0
#: After an error of the schedule itself, so that one which comes again does not occupy a processor.
PAUSE_AFTER_FAULT_S = 1.0
#: The thread looks at the clock at least once a day; far longer waits overflow the system's timers.
LONGEST_PAUSE_S = 86_400.0
LATEST = sys.float_info.max
#: For so long an exit waits for a sweep that is under way.
PATIENCE_AT_EXIT_S = 1.0
THREAD_NAME = "poollib-collector"


class Sweepable(Protocol):
    """What can be watched; it must be hashable by identity and take weak references."""

    def sweep(self, now: float) -> float | None:
        """Do what is due; seconds until the next call, None: nothing any more.  ``now`` is time.monotonic()."""


class Housekeeper:
    """A schedule and the thread that follows it.  The module keeps one of them for the process."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[tuple[ref[Sweepable], float | None]] = queue.SimpleQueue()
        #: Guards _thread.  Re-entrant, for a finaliser that runs in the thread which holds it may ask, too.
        self._start_lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_ending = False
        self._due: dict[ref[Sweepable], float] = {}  # every watched one, and when it is asked next
        self._schedule: list[tuple[float, int, ref[Sweepable]]] = []  # a heap; rows that _due contradicts are void
        self._row = count()

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def watch(self, target: Sweepable) -> bool:
        """Whether ``target`` is asked to sweep from now on, first at once; False: the thread could not be started."""
        self._requests.put((ref(target, self._forget), 0.0))
        with self._start_lock:
            if self.is_running:
                return True
            if self._is_ending or sys.is_finalizing():  # start() waits for a thread that never runs (3.10, 3.11)
                return False
            try:
                thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                thread.start()
            except RuntimeError:  # a thread limit, an exit under way, a subinterpreter without daemon threads
                log.warning("the thread that looks after idle connections could not be started", exc_info=True)
                return False
            self._thread = thread
            return True

    def hasten(self, target: ref[Sweepable], delay_s: float) -> None:
        """Ask a watched target again in ``delay_s`` seconds, if it was not to be asked sooner.  Never blocks."""
        self._requests.put((target, delay_s))

    def end(self) -> None:
        """Let the thread end and wait for it, for a moment; it is not started again."""
        self._is_ending = True
        thread = self._thread
        if thread is not None:
            self._requests.put((ref(_Nobody()), None))
            thread.join(PATIENCE_AT_EXIT_S)

    def _forget(self, target: ref[Sweepable]) -> None:
        self._requests.put((target, None))

    def _run(self) -> None:
        me = threading.current_thread()
        with self._start_lock:
            if self._thread is not me and self.is_running:
                return  # a finaliser asked while the other one was being started
            self._thread = me
        while not self._is_over():
            try:
                self._read_requests()
                self._sweep_the_due()
            except BaseException:
                _log_fault("the timetable of the pools failed")
                time.sleep(PAUSE_AFTER_FAULT_S)

    def _is_over(self) -> bool:
        """Whether there is nobody to be swept any more; the thread is forgotten then."""
        if self._is_ending:
            return True
        if self._due or not self._requests.empty():
            return False
        with self._start_lock:
            if not self._requests.empty():
                return False
            self._schedule.clear()
            self._thread = None
            return True

    def _read_requests(self) -> None:
        """Sleep until a request comes or somebody is due, and enter all requests into the schedule."""
        next_at = self._schedule[0][0] if self._schedule else inf
        try:
            self._enter(*self._requests.get(timeout=max(0.0, min(LONGEST_PAUSE_S, next_at - time.monotonic()))))
            while True:
                self._enter(*self._requests.get_nowait())
        except queue.Empty:
            return

    def _enter(self, reference: ref[Sweepable], delay_s: float | None) -> None:
        """Note that a target is to be asked in ``delay_s`` seconds, if not sooner; None: it has vanished."""
        target = reference()  # held until the end: from its death on an equal reference is not found
        if target is None:
            with suppress(TypeError):  # whose hash nobody asked for in time can't be in there
                self._due.pop(reference, None)
        elif delay_s is not None:
            at = min(time.monotonic() + delay_s, self._due.get(reference, LATEST))
            if reference.__callback__ == self._forget:
                self._due.pop(reference, None)  # this one becomes the key: its callback tells when the target is gone
            if at != self._due.get(reference):
                self._due[reference] = at
                heappush(self._schedule, (at, next(self._row), reference))

    def _sweep_the_due(self) -> None:
        while self._schedule and self._schedule[0][0] <= time.monotonic():
            at, _, reference = heappop(self._schedule)
            if self._due.get(reference) == at:
                self._sweep(reference)

    def _sweep(self, reference: ref[Sweepable]) -> None:
        target = reference()
        if target is None:
            self._due.pop(reference, None)
            return
        self._due[reference] = inf
        pause_s: float | None = PAUSE_AFTER_ERROR_S
        try:
            pause_s = target.sweep(time.monotonic())
        except BaseException:  # whatever a factory or hook raises: the others count on this thread
            _log_fault("sweeping %r failed", target)
        if pause_s is None:
            self._due.pop(reference, None)
        else:
            self._enter(reference, max(0.0, pause_s))


class _Nobody:
    """A target that is gone already: a request for it only wakes the thread."""

    def sweep(self, now: float) -> None: ...


def _log_fault(text: str, *args: object) -> None:
    with suppress(Exception):  # a handler of the program's may raise
        log.exception(text, *args)


_of_process: list[Housekeeper] = []  # the first is the process's, made when it is first asked for
after_fork.register(_of_process.clear)  # a child has no thread until somebody asks for one


def _end_at_exit() -> None:
    """A subinterpreter must have no thread left: else CPython ends the whole process (``Py_EndInterpreter``)."""
    for one in _of_process:
        one.end()


atexit.register(_end_at_exit)


def _the_housekeeper() -> Housekeeper:
    after_fork.check()
    if not _of_process:
        _of_process.append(Housekeeper())  # of two threads that come here at once, the first one's counts for both
    return _of_process[0]


def watch(target: Sweepable) -> bool:
    """Whether the process's housekeeper asks ``target`` to ``sweep``, first at once.  ``target`` is held weakly.

    False: its thread can't be started now; ask again later.
    """
    return _the_housekeeper().watch(target)


def hasten(target: ref[Sweepable], delay_s: float) -> None:
    """Have a watched target asked in ``delay_s`` seconds at the latest.  Never blocks; safe in finalisers.

    Where nothing is watched yet, ``watch`` asks at once.  No fork is noticed here: pools call this under their lock.
    """
    if _of_process and after_fork.same_process[0]:
        _of_process[0].hasten(target, delay_s)


def is_running() -> bool:
    """Whether the background thread lives."""
    return _the_housekeeper().is_running
