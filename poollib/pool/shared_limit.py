"""What the pools of several endpoints share, so that one limit can hold for all of them.

It is one lock, one count of all connections with its limit, one queue of everybody who waits, and one order of all
idle connections from the longest idle to the newest; an ``EndpointPool`` that stands alone has one of its own.
The pools read and write these fields under the lock; who is served and what is closed is decided in ``state``, but for
what concerns all: which is the longest idle of them, and which are too old.
One lock for all, rather than one for each endpoint and one above, leaves no order of locks to get wrong, and it is
held for less than a microsecond; the order is an ``OrderedDict`` because its first item is found in O(1) after any
number of removals (a plain dict's is not).
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from heapq import heapify, heappop
from itertools import islice
from math import inf
from typing import Any, Final
from weakref import ref

from ..base import after_fork
from ..base.exact_values import mark_shared
from ..base.loggers import logger
from .entry import IDLE_TIMEOUT, Entry, EntryPool, Permit
from .settings import check_limit
from .waiter import NO_WAITERS, Waiter

log = logger(__name__)


class SharedLimit:
    """``limit``: the most connections of all pools together; None: no limit.

    ``shared`` is False for the limit of a pool that stands alone: its own queue is order enough.
    """

    __slots__ = (
        "__weakref__",
        "_leak_reporters",
        "_running_deferred",
        "deferred",
        "evicting",
        "expire_at",
        "expiring",
        "idle_order",
        "is_held",
        "is_shrinking",
        "leaks_at",
        "limit",
        "lock",
        "relist_at",
        "serving",
        "used",
        "waiters",
    )

    def __init__(self, limit: int | None = None, *, shared: bool = True) -> None:
        self.limit = check_limit("total_maxsize", limit)
        self.idle_order: OrderedDict[int, Entry[object]] | None = OrderedDict() if shared else None
        mark_shared(self.idle_order)
        self._leak_reporters: tuple[ref[EntryPool[Any]], ...] = ()
        self.reset()
        if shared:  # another's is reset by its pool
            after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        """In a forked child: a new lock and nothing counted; the pools that share it are reset after it."""
        self.reset()

    def reset(self) -> None:
        """Start with a new lock and nothing counted; the limit stays."""
        #: Guards everything here and every field of the pools that share it.  Re-entrant, because the garbage
        #: collector may run a finaliser that returns a connection in the very thread that holds it.
        self.lock = threading.RLock()
        #: Whether this thread holds the lock (the method ``threading.Condition`` relies on, too).
        self.is_held: Callable[[], bool] = self.lock._is_owned  # type: ignore[attr-defined]
        mark_shared(self, self.lock, self.is_held)
        #: Returns that came while their own thread held the lock; they are made as soon as it is free.
        self.deferred: deque[Callable[[], object]] | None = None
        self._running_deferred: set[int] = NOT_RUNNING  # the threads that make such returns now
        #: Connections of all pools: leased, idle, opening and closing.
        self.used = 0
        #: Connections that are being closed besides, whose slots others have already, who dial once they are closed.
        self.evicting = 0
        #: Whether the limit was made smaller than what exists; returned connections are closed until it holds.
        self.is_shrinking = False
        #: When the next lease may have become a leak; looked at in acquire.
        self.leaks_at = inf
        #: When the next idle connection may have become too old; looked at in acquire and release.
        self.expire_at = inf
        #: A heap of what was idle when it was made: until when it may be leased, its key, itself. What was leased since
        #: is still in it; what became idle since is not, and the first of that has ``relist_at`` for its time.
        self.expiring: list[tuple[float, int, ref[Entry[object]]]] = NOTHING_EXPIRING
        self.relist_at = inf
        self.waiters: OrderedDict[Waiter[object], None] = NO_WAITERS
        #: Who is being served; left here by an interrupt, so that the next one who serves goes on with it.
        self.serving: Waiter[object] | None = None
        if self.idle_order is not None:
            self.idle_order.clear()

    @property
    def is_limited(self) -> bool:
        """Whether a connection of one endpoint can stand in the way of another's."""
        return self.limit is not None

    @property
    def is_shared(self) -> bool:
        """Whether there are several pools, so that the queue and the order of all count."""
        return self.idle_order is not None

    @property
    def is_exceeded(self) -> bool:
        """Whether more connections exist than may."""
        return self.limit is not None and self.used > self.limit

    @property
    def is_full(self) -> bool:
        """Whether no further connection may be opened before another is gone."""
        return self.limit is not None and self.used >= self.limit

    def __reduce__(self) -> tuple[type[SharedLimit], tuple[int | None]]:
        return type(self), (self.limit,)

    def check_locked(self) -> None:
        """Assert what must hold between any two calls; for tests."""
        assert self.used >= 0, "more connections gone than opened"
        assert self.evicting >= 0, "more evicted connections closed than there were"
        assert self.is_shrinking or not self.is_exceeded, f"{self.used} of {self.limit}"

    def add_leak_reporter(self, pool: EntryPool[Any]) -> None:
        """A pool that looks for leaks is asked to by all that wait; it is held weakly."""
        with self, self.lock:
            alive = (known for known in self._leak_reporters if known() is not None)
            self._leak_reporters = (*alive, ref(pool))

    def leak_reporters(self) -> list[EntryPool[Any]]:
        """The pools that look for leaks."""
        return [pool for known in self._leak_reporters if (pool := known()) is not None]

    def resize(self, limit: int | None) -> None:
        """Change the limit: who waits is served, and what must go is to be closed by its pool."""
        with self, self.lock:
            self.limit = limit
            self.shrink_locked()
            self.serve_waiters_locked()

    def shrink_locked(self) -> None:
        """Have the longest idle connections of any endpoint closed until the limit holds; leased ones on return."""
        self.is_shrinking = self.is_exceeded
        excess = 0 if self.limit is None else self.used - self.limit
        oldest = () if self.idle_order is None else self.idle_order.values()
        for entry in list(islice(oldest, max(0, excess))):
            pool = entry.pool_ref()
            if pool is not None:
                pool.discard_idle_locked(entry, "resized")

    def serve_waiters_locked(self) -> None:
        """Hand what is free to those who have waited longest, whatever pool they wait in."""
        for pool in dict.fromkeys(waiter.pool for waiter in self.waiters):  # each, where no limit is left
            pool.serve_waiters_locked()

    def evict_oldest_locked(self, permit: Permit) -> bool:
        """Whether the longest idle connection of any endpoint made room for the permit, which has a slot already."""
        while self.idle_order:
            entry = next(iter(self.idle_order.values()))
            pool = entry.pool_ref()
            if pool is not None and pool.evict_locked(entry, permit):
                return True
            del self.idle_order[entry.key]  # its pool is being finalised and closes it
        return False

    def expire_oldest_locked(self, now: float, most: int, own: Iterable[Entry[object]]) -> set[EntryPool[object]]:
        """Have idle connections that are too old closed, ``most`` at once; the pools that have to close some.

        ``own``: what is idle, where the limit is a single pool's. Pools differ in their limits, and so do peers: no
        order of the idle tells which is next. So a heap of all is made, at most once in the shortest time that one of
        them may be idle, and only its top is looked at.
        """
        if now >= self.relist_at:
            self._list_expiring_locked(own if self.idle_order is None else self.idle_order.values())
        heap = self.expiring
        due: list[tuple[EntryPool[object], Entry[object], str]] = []
        while heap and heap[0][0] <= now and len(due) < most:
            entry = heappop(heap)[2]()
            pool = None if entry is None else entry.pool_ref()
            if entry is None or pool is None or not pool.is_idle_locked(entry) or pool.usable_until(entry) > now:
                continue  # gone, leased, or idle anew
            due.append((pool, entry, pool.expiry_reason(entry, now) or IDLE_TIMEOUT))
        self.expire_at = min(heap[0][0] if heap else inf, self.relist_at)
        for pool, entry, reason in due:
            pool.discard_idle_locked(entry, reason)
        return {pool for pool, _, _ in due}

    def _list_expiring_locked(self, idle: Iterable[Entry[object]]) -> None:
        """Make the heap of all idle connections anew, but for those that the housekeeper looks after."""
        self.expiring = [
            (pool.usable_until(entry), entry.key, ref(entry))
            for entry, pool in ((entry, entry.pool_ref()) for entry in idle)
            if pool is not None and not pool.needs_housekeeper
        ]
        heapify(self.expiring)
        self.relist_at = inf

    def __enter__(self) -> None:
        """``with shared_limit, shared_limit.lock:`` is the way to take the lock: deferred returns are made at its end.

        Whoever takes the lock alone (the quick ways to a connection and back) looks for them itself.

        The lock is taken by its own ``with``, for that cannot be interrupted between taking it and guarding it.
        """

    def __exit__(self, *exc_info: object) -> None:
        if self.deferred and not self.is_held():
            self.run_deferred()

    def defer(self, action: Callable[[], object]) -> None:
        """Have something done as soon as the lock is free, which this thread holds."""
        if self.deferred is None:
            self.deferred, self._running_deferred = deque(), set()
        self.deferred.append(action)

    def run_deferred(self) -> None:
        """Make the returns that came while the lock was held by the thread that made them, one after the other.

        An action that is interrupted is done again, so it must find out whether it was done.  A return made by one of
        them comes by here again: it leaves the rest to the loop that runs already.
        """
        me = threading.get_ident()
        if me in self._running_deferred or self.is_held():
            return
        try:
            self._running_deferred.add(me)
            while self.deferred:
                self._run_one_deferred()
        finally:
            self._running_deferred.discard(me)

    def _run_one_deferred(self) -> None:
        action: Callable[[], object] | None = None
        try:
            with self.lock:
                if self.deferred:
                    action = self.deferred[0]
                    del self.deferred[0]
            if action is not None:
                action()
        except Exception:
            log.exception("a connection could not be returned from a finaliser")
        except BaseException:
            if action is not None:
                self.defer(action)
            raise


#: For all limits that had no such return.
NOT_RUNNING: Final[set[int]] = set()
#: For all limits whose idle connections were not listed yet.
NOTHING_EXPIRING: Final[list[tuple[float, int, ref[Entry[object]]]]] = []
