"""One call of ``acquire`` that has not got its connection yet.

The pool puts an entry (a connection, already leased) or a permit into the waiter, always under its lock, and wakes the
thread; whoever leaves early gives back what the waiter holds at that moment.
Who is served when is decided in ``state``; nothing here takes the pool's lock.
Handing over instead of waking threads to compete follows psycopg_pool's WaitingClient and Go's wantConn.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Final, Generic, Protocol, TypeVar

from ..base.exact_values import mark_shared
from .entry import Connection_co, Connection_contra, Entry, Permit

Connection = TypeVar("Connection")


class WaiterPool(Protocol[Connection_contra]):
    """What pools that share a limit ask of each other for a waiter; the lock, one for all, is held."""

    def serve_waiter_locked(self, waiter: Waiter[Connection_contra]) -> bool:
        """Whether this waiter of the pool was granted something."""

    def serve_waiters_locked(self) -> None:
        """Hand what is free to those who have waited longest among those who can use it."""


class Waiter(Generic[Connection_co]):
    """One acquire under way.  ``grant`` is None while there is nothing for it; written under the pool's lock."""

    __slots__ = ("grant", "lease", "misses", "pool", "since", "waited_s", "wakeup")

    wakeup: threading.Lock

    def __init__(self, pool: WaiterPool[Connection_co], since: float) -> None:
        self.pool = pool
        self.since = since
        self.waited_s = 0.0
        self.misses = 0  # unusable connections it was given
        self.grant: Entry[Connection_co] | Permit | None = None
        self.lease: int | None = (
            None  # which lease of the entry it is: what gives it back may be interrupted and done again
        )

    def prepare_to_wait(self) -> None:
        """Make the waiter ready to sleep; who holds the pool's lock releases ``wakeup``, once."""
        self.wakeup = threading.Lock()  # looked up now: gevent and eventlet may have replaced it after the import
        self.wakeup.acquire()

    def wait(self, seconds: float | None) -> bool:
        """True once woken; False when ``seconds`` passed first.  ``None`` sleeps as long as it takes."""
        limit_s = -1 if seconds is None else min(seconds, threading.TIMEOUT_MAX)
        return self.wakeup.acquire(True, limit_s)


#: The queue of waiters of all pools where nobody waits: each has none of its own (128 bytes) until somebody does.
NO_WAITERS: Final[OrderedDict[Waiter[Any], None]] = OrderedDict()


def enqueued(
    waiters: OrderedDict[Waiter[Connection], None], waiter: Waiter[Connection]
) -> OrderedDict[Waiter[Connection], None]:
    """The queue with one more waiter at its end."""
    if waiters is NO_WAITERS:
        waiters = OrderedDict()
        mark_shared(waiters)
    waiters[waiter] = None
    return waiters
