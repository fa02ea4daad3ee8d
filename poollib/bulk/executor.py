"""Lanes sent by other processes or machines: anything with ``submit``, as ``concurrent.futures`` has it.

Lanes go out in batches, a bounded number at a time. A worker keeps one manager for its life and sends a batch's lanes
side by side, each host's share of which was settled when they were handed out (see ``backlog``), so workers need not
know of each other. A batch whose worker was lost is sent again; only the results of one of its futures ever count,
and those come whole or not at all.
"""

from __future__ import annotations

import pickle
import queue
import signal
import time
import uuid
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, cast, runtime_checkable

from ..exceptions import HTTPError
from .backlog import Lane
from .requests import Result
from .threads import Event
from .worker import Settings, Worker

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

LANE_S = 10.0  # after this long nothing more of a lane is sent
LANES_A_BATCH = 8  # each has a thread of its own in the worker
TRIES = 5  # how often a batch is sent before its requests are given up: one of them may be what kills workers
KEPT_WORKERS = 4  # the managers that a process keeps, one for each run that it works for

#: What a batch's function gives: for each lane the results of its first requests, or of all.
_Answer: TypeAlias = "list[list[Result]]"


@runtime_checkable
class Executor(Protocol):
    """What runs a function elsewhere: a process pool's, loky's, Dask's ``client.get_executor()``."""

    def submit(
        self, fn: Callable[[str, bytes, list[Lane]], _Answer], run: str, settings: bytes, lanes: list[Lane], /
    ) -> Future[_Answer]:
        """A future for what the function gives there."""


class _Batch(NamedTuple):
    lanes: list[Lane]
    tries: int = 1


class Batches:
    """Sends lanes through an executor; ``count`` batches are out at a time.

    ``executor``: a callable makes it, and makes it anew when it is broken; such a one is shut down in the end.
    """

    def __init__(self, settings: Settings, executor: Executor | Callable[[], Executor], count: int) -> None:
        self._settings = pickle.dumps(settings)
        self._run = uuid.uuid4().hex
        is_made = isinstance(executor, Executor) and not isinstance(executor, type)  # a class makes one
        self._make = None if is_made else cast("Callable[[], Executor]", executor)
        self._executor = cast(Executor, executor) if self._make is None else self._make()
        self._count = count
        self._out: dict[Future[_Answer], tuple[_Batch, Executor]] = {}
        self._done: queue.SimpleQueue[Future[_Answer]] = queue.SimpleQueue()

    def room(self) -> int:
        """How many lanes may be started now."""
        return (self._count - len(self._out)) * LANES_A_BATCH

    def start(self, lanes: list[Lane]) -> None:
        """Send these lanes, spread over as many batches as may go."""
        size = -(-len(lanes) // max(1, self._count - len(self._out)))
        for start in range(0, len(lanes), size):
            self._submit(_Batch(lanes[start : start + size]))

    def next_event(self, timeout_s: float | None) -> Event | None:
        """What came of the next batch; None if that is nothing yet."""
        try:
            future = self._done.get(timeout=timeout_s)
        except queue.Empty:
            return None
        batch, executor = self._out.pop(future)
        try:
            answer = future.result()
        except Exception as error:
            return self._after_loss(batch, executor, error)
        unsent = [lane.behind(len(results)) for lane, results in zip(batch.lanes, answer, strict=True)]
        return Event([result for results in answer for result in results], batch.lanes, unsent=unsent)

    def stop(self) -> None:
        """What has not begun is not sent; what has is left to itself."""
        was_busy = bool(self._out)
        for future in self._out:
            future.cancel()
        if (worker := _workers.pop(self._run, None)) is not None:  # the executor's threads are this process's
            worker.stop()
        if self._make is not None:
            _shut_down(self._executor, wait=not was_busy)

    def _submit(self, batch: _Batch) -> None:
        try:
            future = self._executor.submit(run_batch, self._run, self._settings, batch.lanes)
        except BrokenExecutor:  # found out at this moment: nothing was sent
            if self._make is None:
                raise
            self._renew(self._executor)
            future = self._executor.submit(run_batch, self._run, self._settings, batch.lanes)
        self._out[future] = batch, self._executor
        future.add_done_callback(self._done.put)

    def _after_loss(self, batch: _Batch, executor: Executor, error: Exception) -> Event | None:
        if batch.tries >= TRIES:
            return Event(
                [Result(request, error=error) for lane in batch.lanes for request in lane.requests], batch.lanes
            )
        if isinstance(error, BrokenExecutor):
            if self._make is None:
                return Event((), batch.lanes, error)
            self._renew(executor)
        self._submit(_Batch(batch.lanes, batch.tries + 1))
        return None

    def _renew(self, broken: Executor) -> None:
        """Another executor in the place of a broken one, made once however many batches were on it."""
        if self._executor is broken and self._make is not None:
            _shut_down(broken, wait=False)
            self._executor = self._make()


def _shut_down(executor: Executor, wait: bool) -> None:
    if hasattr(executor, "shutdown"):  # nothing else is asked of an executor than submit
        executor.shutdown(wait=wait)


# -- where the worker is --

_workers: dict[str, Worker] = {}  # by run; changed by single operations only, as a worker may have threads


def stop_on_interrupt() -> None:
    """Let Ctrl-C end this worker's requests soon, without a traceback; an ``initializer`` for process pools."""
    signal.signal(signal.SIGINT, _stop_all)
    if hasattr(signal, "pthread_sigmask"):  # see started_quietly
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def started_quietly(executor: ProcessPoolExecutor, count: int) -> ProcessPoolExecutor:
    """The executor, whose initializer is ``stop_on_interrupt``, with its processes started.

    They begin with Ctrl-C blocked, as their parent has it meanwhile: one that dies of it while it imports breaks the
    pool, which kills the others in the middle of a file.
    """
    block = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if block else set()
    try:
        for _ in range(count):
            executor.submit(int)
    finally:
        if block:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return executor


def _stop_all(*_: object) -> None:
    for run in list(_workers):
        if (worker := _workers.pop(run, None)) is not None:  # what comes afterwards gets another one
            worker.stop()


def run_batch(run: str, settings: bytes, lanes: list[Lane]) -> _Answer:
    """The results of each of a batch's lanes, sent side by side."""
    worker = _workers.get(run)
    if worker is None:
        worker = _workers.setdefault(run, Worker(pickle.loads(settings)))
        for old in list(_workers)[:-KEPT_WORKERS]:
            if (former := _workers.pop(old, None)) is not None:
                former.settings.manager.clear()
    if len(lanes) == 1:
        return [_results(worker, lanes[0])]
    with ThreadPoolExecutor(len(lanes)) as threads:
        return list(threads.map(_results, [worker] * len(lanes), lanes))


def _results(worker: Worker, lane: Lane) -> list[Result]:
    """The results of a lane's requests, at least of the first, as many as there is time for."""
    limit = time.monotonic() + LANE_S
    done: list[Result] = []
    for results in worker.run(lane):
        done += (result if result.error is None else _portable(result, result.error) for result in results)
        if time.monotonic() > limit:
            break
    return done


def _portable(result: Result, error: Exception) -> Result:
    """The result, its error in words if it can't travel."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return result.with_error(HTTPError(f"{type(error).__name__}: {error}"))
    return result
