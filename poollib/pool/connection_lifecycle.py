"""Opening, checking and closing a pool's connections once it is decided, with no lock held.

It calls the factory, closes what is too old, reports leaks, and lets threads wait; ``endpoint_pool`` makes a pool's
methods of these.  Every decision stands in ``state``; here the lock is taken only to note what was done.
"Decide under the lock, return what is to be closed, do I/O outside" is httpcore's habit; opening ahead with growing
pauses after failures is psycopg_pool's.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Generic, cast

from ..base.exact_values import mark_shared
from ..base.loggers import logger
from ..base.trace import Trace, notify
from .entry import EVICTED, GONE, Entry, Permit
from .factory import Factory, on_full_of, warm_of
from .settings import Settings
from .shared_limit import SharedLimit
from .state import POOL_FULL, Connection, Endpoint, PoolState
from .waiter import Waiter

log = logger(__name__)

#: ``max_lifetime`` is shortened by up to this share, so that connections opened together do not end together
#: (psycopg_pool shortens by up to 5 % as well).
LIFETIME_JITTER = 0.05
#: Opening ahead of demand may take this long; the housekeeper serves all pools and must not hang on one.
WARM_TIMEOUT_S = 5.0
#: After a failure to open ahead of demand: the first pause, doubled each time up to the last.
WARM_PAUSE_S, WARM_LONGEST_PAUSE_S = 1.0, 60.0
#: The housekeeper sweeps at least once an hour.
LONGEST_PAUSE_S = 3600.0
#: Before any reading of the clock; a constant, for ``-inf`` would be an object of its own each time.
NEVER = -inf
#: How much of the stack a leak report shows; what matters is near its end.
LEAK_FRAMES = 20


class ConnectionLifecycle(PoolState[Endpoint, Connection]):
    """What a pool does with its connections."""

    __slots__ = ("_on_full", "_warm_after", "_warm_pause_s", "factory", "trace")

    def __init__(
        self,
        endpoint: Endpoint,
        factory: Factory[Endpoint, Connection],
        settings: Settings,
        shared_limit: SharedLimit | None,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(endpoint, settings, shared_limit, clock)
        self.factory = factory
        mark_shared(factory)
        self.trace: Trace | None = None
        self._on_full: Callable[[Connection], object] | None = None
        self._warm_after = NEVER  # no opening ahead of demand before this
        self._warm_pause_s = WARM_PAUSE_S

    # -- opening and checking ----------------------------------------------------------------------------------

    def _is_usable(self, entry: Entry[Connection], now: float) -> bool:
        """Whether an entry may be leased: young enough, and the factory finds it usable.  No lock is held."""
        if now >= entry.stale_at:
            return False
        if now - entry.idle_since >= self._idle_timeout and len(self._idle) >= self._settings.min_idle:
            return False
        try:
            usable = self.factory.usable
            return usable(entry.connection)
        except Exception:
            log.debug("checking %r failed", entry.connection, exc_info=True)
            return False

    def _connect(self, timeout_s: float | None) -> Entry[Connection]:
        """A new connection's entry, in no table yet."""
        generation = self._generation
        try:
            connection = self.factory.connect(self.endpoint, timeout_s)
            if connection is None:
                raise TypeError(f"connect() of {self.factory!r} returned None, not a connection")
        except Exception:
            with self._shared, self._lock:
                self._connect_errors += 1
            raise
        return self._entry_for(connection, generation)

    def _entry_for(self, connection: Connection, generation: int) -> Entry[Connection]:
        """An entry for a connection that is open, with the length of its life."""
        max_lifetime = self._settings.max_lifetime
        now = self._clock()
        ends_at = now + inf  # its own: to count the references to one that all share takes longer than to compare it
        if max_lifetime is not None:
            ends_at = now + max_lifetime * (1.0 - LIFETIME_JITTER * random.random())
        return Entry(connection, self._self_ref, now, ends_at, generation)

    def _connect_warm(self) -> Entry[Connection] | None:
        """A connection that is really open, in no table yet; None if that failed, which is logged."""
        try:
            entry = self._connect(WARM_TIMEOUT_S)
        except Exception:
            log.warning("opening ahead of demand failed for %r", self, exc_info=True)
            return None
        warm = warm_of(self.factory)
        try:
            if warm is not None:
                warm(entry.connection, WARM_TIMEOUT_S)
        except BaseException as error:
            self._close_uncounted(entry)
            if not isinstance(error, Exception):
                raise
            with self._shared, self._lock:
                self._connect_errors += 1
            log.warning("opening ahead of demand failed for %r", self, exc_info=True)
            return None
        if self.trace is not None:
            notify(self.trace, "connection_opened", self.endpoint, entry.connection)
        return entry

    def report_leaks(self, now: float) -> float:
        """Log every lease that lasts too long, once; when to look again (``inf``: nobody asked)."""
        leak_timeout = self._settings.leak_timeout
        if leak_timeout is None:
            return inf
        with self._shared, self._lock:
            leaked = self._leaked_locked(now, leak_timeout)
            next_at = min((e.leased_at for e in self.leases.values() if not e.is_leak_reported), default=now)
        for connection, held_s, stack in leaked:
            taken_by = "  unknown\n" if stack is None else "".join(stack.format())
            log.warning("%r is held for %.3g s from %r; taken by:\n%s", connection, held_s, self, taken_by)
        return min(next_at, now) + leak_timeout

    def _report_all_leaks(self, now: float) -> None:
        """Have the leaks of all pools reported that share the limit: each may be what others wait for."""
        shared_limit = self._shared
        shared_limit.leaks_at = inf
        next_at = min((pool.report_leaks(now) for pool in shared_limit.leak_reporters()), default=inf)
        shared_limit.leaks_at = min(shared_limit.leaks_at, next_at)

    # -- closing and waiting ------------------------------------------------------------------------------------

    def _run_pending(self, now: float) -> None:
        """Close what is to be closed and what became too old by ``now``; make deferred returns."""
        shared_limit = self._shared
        if now >= shared_limit.expire_at:
            with self._shared, self._lock:
                pools = self._expire_oldest_locked(now)
            for pool in pools:
                pool.close_pending()
        self.close_pending()
        if shared_limit.deferred:
            shared_limit.run_deferred()

    def close_pending(self) -> None:
        """Close what is to be closed, one after the other; what another thread adds meanwhile, that one closes."""
        while self._to_close:
            self._close_one_pending()
            if self._shared.deferred:
                self._shared.run_deferred()

    def _close_one_pending(self) -> None:
        """Close one connection that is to be closed, if there is one, and free its slot."""
        entry: Entry[Connection] | None = None
        try:
            with self._shared, self._lock:
                if self._to_close:
                    entry = self._to_close[-1]
                    del self._to_close[-1]
            if entry is not None:
                self.close_connection(entry)
        except BaseException:
            if entry is not None:
                with suppress(Exception):
                    self.factory.close(entry.connection)  # again, for nobody knows how far it came
            raise
        finally:
            if entry is not None:
                try:
                    self._count_closed(entry)
                except BaseException:  # it may have been interrupted while it waited for the lock
                    self._count_closed(entry)
                    raise

    def _count_closed(self, entry: Entry[Connection]) -> None:
        """Free the slot of a connection that was to be closed, and is; a second call changes nothing."""
        with self._shared, self._lock:
            if entry.generation == EVICTED:
                entry.generation = GONE
                if self.evicted:  # not so in a pool that was finalised, and in a forked child
                    self.evicted -= 1
                    self._closing -= 1
                    self._shared.evicting -= 1
            elif entry.generation != GONE:
                entry.generation = GONE
                self._closing -= 1
                self._shared.used -= 1
            self._slot_freed_locked()

    def reclaim(self, connection: Connection, lease: int | None) -> None:
        """Close a connection whose user was interrupted, unless it was given back: it may be leased to another now.

        ``lease``: the ``reuses`` of its entry when it was leased; None: no attempt was made to give it back.
        """
        with self._shared, self._lock:
            entry = self.leases.get(id(connection))
            if entry is not None and lease in (None, entry.reuses):
                self._discard_leased_locked(entry, "interrupted")
        self._settle()

    def _settle(self) -> None:
        """After an interrupt: wake who can be served, and close what is to be closed."""
        with self._shared, self._lock:
            self._slot_freed_locked()
        self._run_pending(-inf)

    def _close_unless_here(self, entry: Entry[Connection]) -> None:
        """Close a new connection that was not leased, unless it is one that the pool has already."""
        with self._shared, self._lock:
            is_here = self._is_here_locked(entry)
        if not is_here:
            self._close_uncounted(entry)

    def _close_victim(self, permit: Permit) -> None:
        """Close the connection that made room for a permit, so that its peer is free before a new one is asked."""
        entry = permit.victim
        if entry is not None and entry.generation != GONE:
            pool = entry.pool_ref()
            if pool is not None:
                pool.close_evicted(entry)
            else:  # gone; pools that share a limit mostly share a factory
                self.close_connection(cast("Entry[Connection]", entry))
        permit.victim = None

    def close_evicted(self, entry: Entry[Connection]) -> None:
        """Close a connection that made room for another, and free its place here; no lock is held."""
        try:
            self.close_connection(entry)
        except BaseException:
            with suppress(Exception):
                self.factory.close(entry.connection)  # again, for nobody knows how far it came
            raise
        finally:
            try:
                self._count_closed(entry)
            except BaseException:  # it may have been interrupted while it waited for the lock
                self._count_closed(entry)
                raise

    def close_connection(self, entry: Entry[Connection]) -> None:
        """Close it, and tell the listener; nobody else has it any more.  Errors are logged."""
        reason = entry.reason or "interrupted"
        try:
            if reason == POOL_FULL:
                self._call_on_full(entry.connection)
        except Exception:
            log.exception("on_full failed for %r", entry.connection)
        self._close_uncounted(entry)
        if self.trace is not None:
            notify(self.trace, "connection_closed", self.endpoint, entry.connection, reason)

    def _close_uncounted(self, entry: Entry[Connection]) -> None:
        """Close it; of one that never was counted and told as opened nothing else is told.  Errors are logged."""
        try:
            self.factory.close(entry.connection)
        except Exception:
            log.warning("closing %r failed", entry.connection, exc_info=True)

    def _call_on_full(self, connection: Connection) -> None:
        """Tell whoever wants to know that a connection is closed because the pool is full."""
        on_full = self._on_full or on_full_of(self.factory)
        if on_full is not None:
            on_full(connection)

    def _wait_until(self, is_true_locked: Callable[[], bool], timeout_s: float | None) -> bool:
        """Whether something became true within ``timeout_s`` seconds; None: wait as long as it takes."""
        give_up_at = None if timeout_s is None else self._clock() + timeout_s
        left_s = timeout_s
        while True:
            waiter: Waiter[Connection] = Waiter(self, 0.0)
            waiter.prepare_to_wait()
            with self._shared, self._lock:
                if is_true_locked():
                    return True
                if left_s is not None and left_s <= 0:
                    return False
                if self._drain_waiters is None:
                    self._drain_waiters = []
                self._drain_waiters.append(waiter)
            if not waiter.wait(left_s):
                left_s = 0.0
            elif give_up_at is not None:
                left_s = give_up_at - self._clock()


class OrphanedConnections(Generic[Connection]):
    """What a finalised pool leaves: a number of connections in the shared limit, and those to be closed."""

    __slots__ = ("_close", "_count", "_entries", "_shared")

    def __init__(self, shared_limit: SharedLimit, close: Callable[[Connection], object]) -> None:
        self._shared = shared_limit
        self._close = close
        self._entries: list[Entry[Connection]] | None = None
        self._count = 0

    def take_over(self, entries: list[Entry[Connection]], count: int) -> None:
        """Be in charge of these from now on; a second call changes nothing."""
        if self._entries is None:
            self._count = count
            self._entries = entries

    def free_slots_locked(self) -> None:
        """Free their slots for who waits; a second call goes on where the first was interrupted."""
        shared_limit = self._shared
        count, self._count = self._count, 0
        shared_limit.used -= count
        if shared_limit.is_shrinking and not shared_limit.is_exceeded:
            shared_limit.is_shrinking = False
        if shared_limit.idle_order is not None:
            for entry in self._entries or ():
                shared_limit.idle_order.pop(entry.key, None)
        shared_limit.serve_waiters_locked()

    def release(self) -> None:
        """Free their slots, and close what nobody else can; called again after an interrupt, it goes on."""
        with self._shared, self._shared.lock:
            self.free_slots_locked()
        while self._entries:
            try:
                self._close(self._entries[-1].connection)
            except Exception:
                log.warning("closing %r failed", self._entries[-1].connection, exc_info=True)
            del self._entries[-1]


def stack_of_acquirer() -> traceback.StackSummary:
    """The frames of who called ``acquire``, without the source lines: those are looked up when it is told."""
    frames = list(traceback.walk_stack(sys._getframe(3)))[:LEAK_FRAMES]
    return traceback.StackSummary.extract(reversed(frames), lookup_lines=False)
