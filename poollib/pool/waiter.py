"""Claim: what one call of ``acquire`` has got so far, and the bed it sleeps in while it has nothing.

The pool puts an entry (a connection, already leased) or a permit (leave to open one) into the waiter, always
under its lock, and wakes the thread; whoever leaves early gives back what the waiter holds at that moment.
Who is served when is decided in ``state``; nothing here takes the pool's lock.
Handing over instead of waking to compete follows psycopg_pool's WaitingClient and Go's wantConn.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Final

from .entry import Entry


class Permit:
    """Leave to open one connection; it is counted as ``connect_timer`` until it is spent.

    ``victim`` is an idle connection that made module: whoever holds the permit closes it before dialling, so that
    the peers never see one connection more than the limit allows.  ``is_ahead``: nobody waits for the connection.
    """

    __slots__ = ("is_ahead", "pending", "victim")

    def __init__(self, is_ahead: bool = False) -> None:
        self.victim: Entry[Any] | None = None
        self.is_ahead = is_ahead
        self.pending = True


class Waiter:
    """One acquire under way.  ``grant`` is None while there is nothing for it; written under the pool's lock."""

    __slots__ = ("grant", "lease", "misses", "pool", "since", "wakeup")

    def __init__(self, pool: Any, since: float) -> None:
        self.pool = pool
        self.since = since
        self.misses = 0  # unfit connections it was given
        self.grant: Entry[Any] | Permit | None = None
        self.lease: int | None = None  # which lease of the entry it is, where it may be given back twice
        self.wakeup: Any = None

    def prepare_to_wait(self) -> None:
        """Make the waiter ready to sleep; who holds the pool's lock wakes it with ``bed.release()``, once."""
        self.wakeup = threading.Lock()  # looked up now: gevent and eventlet may have replaced it after the import
        self.wakeup.acquire()

    def wait(self, seconds: float | None) -> bool:
        """True once woken; False when ``seconds`` passed first.  ``None`` sleeps as long as it takes."""
        limit_s = -1 if seconds is None else min(seconds, threading.TIMEOUT_MAX)
        return bool(self.wakeup.acquire(True, limit_s))


#: The line of all pools where nobody waits: each is without a line of its own (128 bytes) until somebody does.
NO_WAITERS: Final[OrderedDict[Waiter, None]] = OrderedDict()


def enqueued(line: OrderedDict[Waiter, None], waiter: Waiter) -> OrderedDict[Waiter, None]:
    """The line with one more waiter at its end."""
    if line is NO_WAITERS:
        line = OrderedDict()
    line[waiter] = None
    return line
