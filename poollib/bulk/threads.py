"""Lanes sent by threads of this process, all through one manager: how it goes without an executor."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .backlog import Lane
from .requests import Result
from .worker import Settings, Worker

#: How long ``stop`` waits for requests under way, which end soon unless a server is silent.
STOP_S = 5.0
START_S = 0.2  # the same for one that may have been started, or not


class Event(NamedTuple):
    """Results that are there, and the lanes that are at their end with them; ``unsent``: what these have not sent."""

    results: Sequence[Result]
    ended: Sequence[Lane] = ()
    error: BaseException | None = None  # nothing can be sent any more
    unsent: Sequence[Lane] = ()


class Engine(Protocol):
    """What sends lanes."""

    def room(self) -> int:
        """How many lanes may be started now."""

    def start(self, lanes: list[Lane]) -> None:
        """Send these lanes."""

    def next_event(self, timeout_s: float | None) -> Event | None:
        """What comes of them next, waited for; None if there was nothing in time, or nothing that counts."""

    def stop(self) -> None:
        """End soon, leaving nothing half-written."""


class Threads:
    """Up to ``count`` lanes side by side; threads are started as lanes come."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._worker = Worker(settings)
        self._count = count
        self._jobs: queue.SimpleQueue[Lane | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._begun = 0  # threads
        self._ended = threading.Semaphore(0)  # one for each of them
        self._under_way = 0

    def room(self) -> int:
        """As Engine says."""
        return self._count - self._under_way

    def start(self, lanes: list[Lane]) -> None:
        """As Engine says."""
        for lane in lanes:
            self._under_way += 1
            self._jobs.put(lane)
            if self._begun < self._under_way:
                # Daemons: a silent server must not keep a program from its end.
                thread = threading.Thread(target=self._run, name=f"bulk-{len(self._threads) + 1}", daemon=True)
                self._begun += 1
                thread.start()
                self._threads.append(thread)  # not before: one whose start Ctrl-C has cut short can't be joined

    def next_event(self, timeout_s: float | None) -> Event | None:
        """As Engine says."""
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._under_way -= len(event.ended)
        return event

    def stop(self) -> None:
        """As Engine says; threads whose server is silent for longer than 5 s end later, by themselves."""
        for _ in range(self._begun):
            self._jobs.put(None)
        self._worker.stop()
        limit = time.monotonic() + STOP_S
        for thread in self._threads:
            self._ended.acquire(timeout=max(0.0, limit - time.monotonic()))
            thread.join(max(0.0, limit - time.monotonic()))
        if self._begun > len(self._threads):  # a start was cut short, and it may run and be writing a file
            self._ended.acquire(timeout=START_S)

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.release()

    def _work(self) -> None:
        while (lane := self._jobs.get()) is not None:
            try:
                for results in self._worker.run(lane):
                    self._events.put(Event(results))
            except BaseException as error:  # of this module's own; the caller would wait for ever
                self._events.put(Event((), (lane,), error))
            else:
                self._events.put(Event((), (lane,)))
