"""What ``threading``, ``time`` and ``queue`` offer, by a scheduler: put in these modules' places for a run.

They behave as CPython's, with one freedom more: who of several that wait for a lock gets it is a choice.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

from .scheduler import Abandoned, Scheduler, Task


class Primitives:
    """Makes locks, threads and clocks of one scheduler; an attribute it lacks is the real module's."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.threading = Namespace(
            threading,
            Lock=lambda: Lock(scheduler),
            RLock=lambda: RLock(scheduler),
            Condition=lambda lock=None: Condition(scheduler, lock),
            Event=lambda: Event(scheduler),
            Semaphore=lambda value=1: Semaphore(scheduler, value),
            Thread=lambda *args, **kw: Thread(scheduler, *args, **kw),
            current_thread=lambda: current_thread(scheduler),
            get_ident=lambda: -1 if scheduler.current is None else scheduler.current.number,
        )
        self.time = Namespace(time, monotonic=self.monotonic, time=self.monotonic, sleep=scheduler.sleep)
        self.queue = Namespace(queue, SimpleQueue=lambda: SimpleQueue(scheduler))

    def monotonic(self) -> float:
        """The simulated time."""
        return self.scheduler.now


class Namespace:
    """A module with some of its names replaced."""

    def __init__(self, module: object, **replaced: Callable[..., Any]) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class Lock:
    """A ``threading.Lock``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_locked = False
        self._waiting: list[Task] = []

    def __repr__(self) -> str:
        return "a lock"

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = self._scheduler
        scheduler.point()
        until = inf if timeout < 0 else scheduler.now + timeout
        while self._is_locked:
            if (not blocking or not _wait(scheduler, self, self._waiting, until)) and self._is_locked:
                return False
        self._is_locked = True
        return True

    def release(self) -> None:
        if not self._is_locked:
            raise RuntimeError("release unlocked lock")
        self._is_locked = False
        _wake_all(self._scheduler, self._waiting)
        self._scheduler.point()

    def locked(self) -> bool:
        return self._is_locked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class RLock:
    """A ``threading.RLock``. Outside of a run its owner is None as well; ``depth`` tells."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.owner: Task | None = None
        self.depth = 0
        self._waiting: list[Task] = []

    def __repr__(self) -> str:
        return f"a lock that {self.owner} holds"

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = self._scheduler
        if self.depth and self.owner is scheduler.current:
            self.depth += 1
            return True
        scheduler.point()
        until = inf if timeout < 0 else scheduler.now + timeout
        while self.depth:
            if (not blocking or not _wait(scheduler, self, self._waiting, until)) and self.depth:
                return False
        self.owner = scheduler.current
        self.depth = 1
        return True

    def release(self) -> None:
        if not self.depth or self.owner is not self._scheduler.current:
            raise RuntimeError("cannot release un-acquired lock")
        self.depth -= 1
        if not self.depth:
            self.owner = None
            _wake_all(self._scheduler, self._waiting)
            self._scheduler.step()

    def _is_owned(self) -> bool:
        return self.depth > 0 and self.owner is self._scheduler.current

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class Condition:
    """A ``threading.Condition`` on a re-entrant lock."""

    def __init__(self, scheduler: Scheduler, lock: RLock | None = None) -> None:
        self._scheduler = scheduler
        self._lock = RLock(scheduler) if lock is None else lock
        self._sleepers: list[Lock] = []

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        sleeper = Lock(self._scheduler)
        sleeper.acquire()
        self._sleepers.append(sleeper)
        depth, self._lock.depth = self._lock.depth, 1
        self._lock.release()
        try:
            is_woken = sleeper.acquire(True, -1 if timeout is None else timeout)
        finally:
            if not self._scheduler.is_over:
                self._lock.acquire()
                self._lock.depth = depth
                if sleeper in self._sleepers:
                    self._sleepers.remove(sleeper)
        return is_woken

    def notify(self, count: int = 1) -> None:
        for sleeper in self._sleepers[:count]:
            self._sleepers.remove(sleeper)
            sleeper.release()

    def notify_all(self) -> None:
        self.notify(len(self._sleepers))


class Event:
    """A ``threading.Event``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False
        self._waiting: list[Task] = []

    def __repr__(self) -> str:
        return "an event"

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        _wake_all(self._scheduler, self._waiting)
        self._scheduler.point()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        self._scheduler.point()
        until = inf if timeout is None else self._scheduler.now + timeout
        while not self._is_set and _wait(self._scheduler, self, self._waiting, until):
            pass
        return self._is_set


class Semaphore:
    """A ``threading.Semaphore``."""

    def __init__(self, scheduler: Scheduler, value: int = 1) -> None:
        self._scheduler = scheduler
        self._value = value
        self._waiting: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        self._scheduler.point()
        until = inf if timeout is None else self._scheduler.now + timeout
        while not self._value:
            if (not blocking or not _wait(self._scheduler, self, self._waiting, until)) and not self._value:
                return False
        self._value -= 1
        return True

    def release(self, n: int = 1) -> None:
        self._value += n
        _wake_all(self._scheduler, self._waiting)
        self._scheduler.point()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class SimpleQueue:
    """A ``queue.SimpleQueue``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()
        self._waiting: list[Task] = []

    def __repr__(self) -> str:
        return "an item in a queue"

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._items.append(item)
        _wake_all(self._scheduler, self._waiting)
        if not self._scheduler.is_over:  # finalisers put something there, too
            self._scheduler.point()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self._scheduler.point()
        until = inf if timeout is None else self._scheduler.now + timeout
        while not self._items:
            if (not block or not _wait(self._scheduler, self, self._waiting, until)) and not self._items:
                raise queue.Empty
        return self._items.popleft()

    def get_nowait(self) -> Any:
        return self.get(False)

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)


class Thread:
    """A ``threading.Thread``: another task of the run."""

    def __init__(
        self,
        scheduler: Scheduler,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str = "thread",
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs or {})
        self.name = name
        self.daemon = bool(daemon)
        self.task: Task | None = None
        self.prepare: Callable[[Task], object] | None = None  # called with the task before it runs

    def start(self) -> None:
        self.task = self._scheduler.spawn(self.name, self.run)
        self.task.thread = self
        if self.prepare is not None:
            self.prepare(self.task)
        self._scheduler.point()

    def run(self) -> None:
        try:
            if self._target is not None:
                self._target(*self._args, **self._kwargs)
        finally:
            del self._target, self._args, self._kwargs

    def is_alive(self) -> bool:
        return self.task is not None and not self.task.is_done

    def join(self, timeout: float | None = None) -> None:
        scheduler, task = self._scheduler, self.task
        assert task is not None, "join() of a thread that was not started"
        until = inf if timeout is None else scheduler.now + timeout
        while not task.is_done and _wait(scheduler, f"the end of {task}", task.joining, until):
            pass


def current_thread(scheduler: Scheduler) -> object:
    """The thread that runs."""
    return threading.current_thread() if scheduler.current is None else scheduler.current.thread


def _wait(scheduler: Scheduler, what: object, waiting: list[Task], until: float) -> bool:
    """Whether something happened to what is waited for; False once the time is over."""
    task = scheduler.current
    if task is None:
        raise RuntimeError(f"nothing runs that could end the wait for {what}")
    waiting.append(task)
    try:
        return scheduler.block(what, max(0.0, until - scheduler.now))
    finally:
        if task in waiting:
            waiting.remove(task)


def _wake_all(scheduler: Scheduler, waiting: list[Task]) -> None:
    while waiting:
        scheduler.wake(waiting.pop(0))


__all__ = ["Abandoned", "Primitives"]
