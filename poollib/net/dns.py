"""Lookups that are waited for no longer than a limit: in threads of their own, few of them, or in the caller's.

``dial`` hands in what asks the system for a name; it can't be interrupted, so a thread does it where there is a limit.
Requests for the same name share one such lookup, no more than MOST_THREADS run at once, and where no thread can be
had (at a limit of the system, in a subinterpreter, at the interpreter's exit) the caller's own does the work, as in
urllib3. What may be looked up, and what an answer means, is ``dial``'s; resolvers that a program brings are called
there, in the caller's thread. Sharing follows the singleflight group of Go's net.Resolver.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Hashable
from contextvars import copy_context
from typing import Any, Final, Generic, TypeVar

from ..base import after_fork

Answer = TypeVar("Answer")

#: So many lookups run at once; who comes then waits for one to end, within its own limit. Go allows 500, libuv 4.
MOST_THREADS: Final = 64
#: A lookup that has run for so long is joined by nobody: a new one finds a network that has come back sooner. It is
#: how long the resolvers of most systems wait for a server (resolv.conf(5), "timeout").
JOIN_WITHIN_S: Final = 5.0


class LookupTimedOut(Exception):
    """There was no answer in time. No OSError, which a resolver might raise itself."""


class _Lookup(Generic[Answer]):
    """One lookup under way: ``answer`` and ``error`` are None as long as it runs, and after it was given up."""

    def __init__(self, key: Hashable, look_up: Callable[[], Answer], owner: _Lookups) -> None:
        self.key = key
        self.look_up = look_up
        self.owner = owner
        self.since = time.monotonic()
        self.done = threading.Event()
        self.answer: Answer | None = None
        self.error: BaseException | None = None

    def start(self) -> None:
        """Run in a new thread, else here: then it is over when this returns."""
        if sys.is_finalizing():  # a thread starts, but never runs, and Thread.start waits for it (CPython 3.10, 3.11)
            self.run()
            return
        try:
            run = copy_context().run
            threading.Thread(target=run, args=(self.run,), name="poollib-lookup", daemon=True).start()
        except (RuntimeError, MemoryError):  # no daemons in this interpreter, no further thread, no thread at exit
            self.run()

    def run(self) -> None:
        """Do it, and tell all who wait."""
        try:
            self.answer = self.look_up()
        except BaseException as error:
            self.error = error.with_traceback(None)  # which would hold this frame, and that the error
        finally:
            self.owner.end(self)


class _Lookups:
    """Those under way. The lock is re-entrant, for the garbage collector may run a finaliser that looks a name up."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # guards all below
        self.free = threading.Condition(self.lock)
        self.running: set[_Lookup[Any]] = set()
        self.by_key: dict[Hashable, _Lookup[Any]] = {}  # the newest for each key

    def enter(self, new: _Lookup[Answer], until: float) -> _Lookup[Answer]:
        """The lookup to wait for: one that is under way, else ``new``, which is to be started. LookupTimedOut."""
        with self.lock:
            while (lookup := self._to_join(new.key)) is None and len(self.running) >= MOST_THREADS:
                if not self.free.wait(max(0.0, until - time.monotonic())):
                    raise LookupTimedOut
            if lookup is None:
                lookup = self.by_key[new.key] = new
                self.running.add(new)
        return lookup

    def _to_join(self, key: Hashable) -> _Lookup[Any] | None:
        lookup = self.by_key.get(key)
        if lookup is None or lookup.done.is_set() or time.monotonic() - lookup.since >= JOIN_WITHIN_S:
            return None
        return lookup

    def end(self, lookup: _Lookup[Any]) -> None:
        """The lookup is over, or nobody's any longer; calling it again is fine.

        It is told first: who waits for it may be a finaliser that interrupted the holder of the lock.
        """
        lookup.done.set()
        with self.lock:
            self.running.discard(lookup)
            if self.by_key.get(lookup.key) is lookup:
                del self.by_key[lookup.key]
            self.free.notify()


_lookups = _Lookups()


def within(limit_s: float, key: Hashable, look_up: Callable[[], Answer]) -> Answer:
    """What ``look_up()`` gives, in ``limit_s`` seconds; what another call with an equal ``key`` asks for is shared.

    It runs in a copy of the caller's context. LookupTimedOut; what it raises. Where no thread can be had there is no
    limit.
    """
    until = time.monotonic() + limit_s
    while True:
        new = _Lookup(key, look_up, _lookups)
        try:
            lookup = new.owner.enter(new, until)
            if lookup is new:
                new.start()
        except BaseException:  # interrupted: whether a thread runs is not known, and nobody needs it
            new.owner.end(new)
            raise
        if not lookup.done.wait(max(0.0, until - time.monotonic())):
            raise LookupTimedOut
        if lookup.answer is not None:
            return lookup.answer
        error = lookup.error
        if error is not None and (lookup is new or isinstance(error, Exception)):
            raise error if lookup is new else _copied(error)
        # Whoever began it was interrupted: ask again.


def _copied(error: BaseException) -> BaseException:
    """The error for a second thread, which adds a traceback of its own; itself where it can't be copied."""
    from copy import copy

    try:
        return copy(error)
    except Exception:
        return error


def _reset_after_fork() -> None:
    """In a forked child: the threads are not there."""
    global _lookups
    _lookups = _Lookups()


after_fork.register(_reset_after_fork)
