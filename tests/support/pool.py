"""Fakes for the lending core: a factory that counts, and a clock that is set by hand."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any


class Thing:
    """A connection of the counting factory: it knows its number and whether it is open."""

    def __init__(self, number: int, endpoint: Any) -> None:
        self.number = number
        self.endpoint = endpoint
        self.is_open = True
        self.is_quiet = True

    def __repr__(self) -> str:
        return f"<Thing {self.number}>"


class CountingFactory:
    """Makes Things and remembers all of them.

    ``failures`` are raised by ``connect``, one at each call, before it succeeds again; ``before_connect`` and
    ``before_close`` are called first and may block, raise, or call back into the pool.
    """

    def __init__(self) -> None:
        self.made: list[Thing] = []
        self.failures: list[BaseException] = []
        self.timeouts: list[float | None] = []
        self.closed: list[Thing] = []
        self.checked = 0
        self.before_connect: Callable[[], object] | None = None
        self.before_close: Callable[[], object] | None = None
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.most_open = 0

    def connect(self, endpoint: Any, timeout: float | None) -> Thing:
        self.timeouts.append(timeout)
        if self.before_connect is not None:
            self.before_connect()
        if self.failures:
            raise self.failures.pop(0)
        thing = Thing(next(self._numbers), endpoint)
        with self._lock:
            self.made.append(thing)
            self.most_open = max(self.most_open, len(self.made) - len(self.closed))
        return thing

    def usable(self, connection: Thing) -> bool:
        self.checked += 1
        return connection.is_open and connection.is_quiet

    def close(self, connection: Thing) -> None:
        if self.before_close is not None:
            self.before_close()
        with self._lock:
            if connection.is_open:
                self.closed.append(connection)
            connection.is_open = False

    @property
    def open(self) -> list[Thing]:
        """The connections that were made and not closed."""
        return [thing for thing in self.made if thing.is_open]


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def interrupted(*_: Any) -> None:
    """In a method's place: Ctrl-C comes when it is called."""
    raise KeyboardInterrupt


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until ``condition()`` holds, looking every millisecond; AssertionError if it never does."""
    pause = threading.Event()
    for _ in range(int(seconds * 1000)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it did not come true in time")
