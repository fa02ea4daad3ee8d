"""EndpointPool: leases the connections to one endpoint, of any kind, and takes them back.

A factory makes, checks and closes connections; callers get one from ``acquire`` and end with exactly one of
``release`` (clean), ``discard`` (not to be used again) and ``detach`` (it is theirs now).
What a connection speaks is unknown here: the pool could lease integers.  What is decided under the lock is in
``state``, what is done to connections without it in ``connection_lifecycle``, the slow path to one in
``acquire_slow_path``; this module makes the pool's methods of these.
The models are psycopg_pool (hand-over, errors with numbers), HikariCP (the entry beside the connection) and Go's
net/http.

A return that comes in a thread which holds the lock already (a finaliser the garbage collector runs) is deferred
until the lock is free.

A lease is told from the next one of the same connection by its entry's ``reuses``.  Whatever ends a lease and is
interrupted ends it nevertheless (``reclaim``), and no other.
"""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from math import inf
from typing import Protocol

from ..base import after_fork
from ..base.loggers import logger
from ..base.trace import PoolMeter, Trace, notify
from ..exceptions import FullPoolError
from . import housekeeper
from .acquire_slow_path import AcquireSlowPath
from .connection_lifecycle import OrphanedConnections
from .entry import Connection_contra, Entry
from .factory import (
    Factory,
    check_methods,
    forget_of,
    on_acquire_of,
    on_detach_of,
    on_release_of,
    reset_after_fork_of,
)
from .settings import DISPOSE_BATCH_SIZE, Settings, check_limit
from .shared_limit import SharedLimit
from .state import DETACHED, POOL_CLOSED, Connection, Endpoint, State
from .waiter import Waiter

log = logger(__name__)


class EndpointPool(AcquireSlowPath[Endpoint, Connection]):
    """Leases connections to ``endpoint`` made by ``factory``.  Thread-safe.

    ``maxsize`` to ``max_waiting`` are explained in the table of ``Settings``.  ``shared_limit`` is shared with other
    pools: its limit holds for all together, also where ``block`` is False.  ``clock`` returns seconds, of which only
    differences count.  ``trace`` is told connection_waited, _opened, _reused, _returned and _closed; a ``PoolMeter``
    of all leases by calls of its own, in place of _reused and _returned.  ``on_full`` is called with a connection that
    will be closed because ``maxsize`` others are idle.

    It pickles as endpoint, factory and settings.  In a forked child it starts empty, its counts at 0.
    """

    __slots__ = (
        "_has_acquire_hooks",
        "_inherited",
        "_on_release",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        factory: Factory[Endpoint, Connection],
        *,
        maxsize: int | None = 1,
        block: bool = False,
        idle_timeout: float | None = None,
        max_lifetime: float | None = None,
        min_idle: int = 0,
        background_collector: bool = False,
        dispose_batch_size: int = DISPOSE_BATCH_SIZE,
        acquire_timeout: float | None = None,
        leak_timeout: float | None = None,
        max_waiting: int | None = None,
        shared_limit: SharedLimit | None = None,
        clock: Callable[[], float] = time.monotonic,
        trace: Trace | None = None,
        on_full: Callable[[Connection], object] | None = None,
    ) -> None:
        settings = Settings(
            maxsize,
            block,
            idle_timeout,
            max_lifetime,
            min_idle,
            background_collector,
            dispose_batch_size,
            acquire_timeout,
            leak_timeout,
            max_waiting,
        )
        check_methods(factory)
        super().__init__(endpoint, factory, settings, shared_limit, clock)
        self.trace = trace
        self._on_acquire = on_acquire_of(factory)
        self._on_release = on_release_of(factory)
        self._on_full = on_full
        self.meter = trace if isinstance(trace, PoolMeter) else None
        is_observed = (trace is not None and self.meter is None) or leak_timeout is not None
        self._has_acquire_hooks = self._on_acquire is not None or is_observed or self._settings.min_idle > 0
        self._inherited: dict[int, Entry[Connection]] | None = None  # what a forked child must not use
        self._is_watched = False
        self._self_ref = after_fork.remember(self)
        if leak_timeout is not None:
            self._shared.add_leak_reporter(self)
        if not self._shared.is_held():  # else who holds the lock does so when it is free
            self.start_housekeeping()

    # -- leasing ----------------------------------------------------------------------------------------------

    def acquire(self, timeout: float | None = None) -> Connection:
        """A connection that is open, fresh and quiet; the caller owes one release, discard or detach.

        The newest idle connection, else a new one, else (``block``, or a shared limit that is full) the first that
        becomes free once those who have waited longer have theirs.  ``timeout`` in seconds covers waiting, and what is
        left of it is passed to the factory's ``connect``; None: ``acquire_timeout``.  Raises EmptyPoolError with the
        pool's numbers (TooManyWaitingError at once where ``max_waiting`` wait), ClosedPoolError, or what ``connect`` or
        ``on_acquire`` raised.
        """
        # What stands in a slot is called by a local name: CPython looks for a method on the class before (20 ns each).
        shared_limit, clock, is_held = self._shared, self._clock, self._shared.is_held
        if not after_fork.same_process[0]:
            after_fork.check()
        if is_held():
            raise RuntimeError(f"acquire from inside {self}: by a finaliser or signal handler that interrupted it")
        entry: Entry[Connection] | None = None
        waiter: Waiter[Connection] | None = None
        now = clock()
        try:
            with self._lock:
                # As _lease_idle_locked: a waiter for it costs 0.2 us; without, an interrupt behind it loses the entry.
                if idle := self._idle:  # no waiter can use it: see serve_waiters_locked
                    entry, leases = idle[-1], self.leases
                    leases[entry.key] = entry
                    del idle[-1]
                    if shared_limit.idle_order is not None:
                        del shared_limit.idle_order[entry.key]
                    entry.is_checked = False
                    entry.reuses += 1
                    if len(leases) > self._most_leased:
                        self._most_leased = len(leases)
            if entry is None or not self._is_usable(entry, now):
                waiter = Waiter(self, now)
                entry = self._acquire_slow_path(waiter, entry, timeout)
            elif self.meter is not None:
                entry.leased_at = now
                self.meter.taken(0.0)
            entry.is_checked = True
            if self._has_acquire_hooks:
                self._run_acquire_hooks(entry)
            if shared_limit.deferred or self._to_close or now >= shared_limit.expire_at:
                self._run_pending(now)
            return entry.connection
        except BaseException:
            try:
                self._undo_acquire(waiter, entry)
            except BaseException:  # an interrupt, while a failed connect is tidied up after
                self._undo_acquire(waiter, entry)
                raise
            raise

    def release(self, connection: Connection, *, idle_limit: float | None = None) -> None:
        """Give a clean connection back; it is leased again, or closed if it is too old or there is no room.

        ``idle_limit``: seconds after which the peer will close it (``Keep-Alive: timeout=``); None: not announced.
        Safe in finalisers.  Raises FullPoolError for a second return, ValueError for what was not leased here.
        """
        shared_limit, lease = self._shared, None
        try:
            is_held, clock = shared_limit.is_held, self._clock
            if is_held():
                self._defer_return(connection, idle_limit, None)
                return
            if self._on_release is not None and not self._run_release_hook(connection):
                return
            now = leased_at = clock()
            key, kept = id(connection), False
            with self._lock:
                entry = self.leases.get(key)
                if entry is not None:
                    lease = entry.reuses
                    entry.idle_since = now
                    entry.stale_at = entry.ends_at
                    if self.meter is not None or self._has_acquire_hooks:  # else it is not noted
                        leased_at, entry.leased_at = entry.leased_at, inf
                    if idle_limit is not None or self._ages:
                        self._schedule_expiry_locked(entry, idle_limit)
                    kept = self._return_locked(entry, now)
            if self.trace is not None:
                if self.meter is not None and entry is not None:
                    self.meter.lease_ended(now - leased_at, kept)
                elif kept:
                    notify(self.trace, "connection_returned", self.endpoint, connection)
            if shared_limit.deferred or self._to_close or now >= shared_limit.expire_at:
                self._run_pending(now)
        except BaseException:
            self.reclaim(connection, lease)
            raise
        if entry is None:
            self._raise_not_leased(connection)

    def discard(self, connection: Connection, reason: str = "discarded") -> None:
        """Close a connection that must not be used again; its slot is free once it is closed.

        ``reason`` is one short phrase; it is counted in the stats and told to the listener.  Safe in finalisers.
        Raises FullPoolError for a connection that is idle already, ValueError for what was not leased here.
        """
        lease = None
        try:
            if self._shared.is_held():
                self._defer_return(connection, None, reason)
                return
            with self._lock:
                entry = self.leases.get(id(connection))
                if entry is not None:
                    lease = entry.reuses
                    self._discard_leased_locked(entry, reason)
            self._run_pending(-inf)
        except BaseException:
            self.reclaim(connection, lease)
            raise
        if entry is None:
            self._raise_not_leased(connection)

    def detach(self, connection: Connection) -> Connection:
        """The connection itself, now the caller's own: the pool forgets it without closing it.

        For sockets that changed hands (101, CONNECT); a listener is told that it is closed, by the reason "detached".
        Raises ValueError for what was not leased here.
        """
        lease = None
        try:
            with self._shared, self._lock:
                entry = self.leases.get(id(connection))
                if entry is not None:
                    lease = entry.reuses
                    self._tell_lease_ended_locked(entry)
                    self._count_drop_locked(DETACHED)
                    self._gone_reuses += entry.reuses
                    del self.leases[entry.key]
                    self._shared.used -= 1
                    self._slot_freed_locked()
            if entry is not None:
                self._tell_detached(connection)
            self._run_pending(-inf)
        except BaseException:
            self.reclaim(connection, lease)
            raise
        if entry is None:
            self._raise_not_leased(connection)
        return connection

    def connection(self, timeout: float | None = None) -> AbstractContextManager[Connection]:
        """A connection for the length of a ``with`` block: released at its end, discarded if the block raised."""
        return connection_block(
            self, lambda: self.acquire(timeout), lambda _: self, lambda _, lent, lease: self.reclaim(lent, lease)
        )

    def while_leased(self, connection: Connection, lease: int, action: Callable[[], object]) -> bool:
        """Whether this lease goes on, and ``action`` was done while it could not end; it must not wait for anything."""
        with self._shared, self._lock:
            if self.lease_of(connection) != lease:
                return False
            action()
        return True

    def lease_of(self, connection: Connection) -> int:
        """Which of its leases a connection is in; -1: it is not leased."""
        entry = self.leases.get(id(connection))
        return -1 if entry is None else entry.reuses

    def add_idle(self, connection: Connection) -> None:
        """Add a connection made elsewhere, as the newest idle one.

        FullPoolError if there is no room for it, ClosedPoolError, ValueError if it is here already.
        """
        entry = self._entry_for(connection, self._generation)
        with self._shared, self._lock:
            self._raise_unless_open_locked(0.0)
            if entry.key in self.leases or any(idle.connection is connection for idle in self._idle):
                raise ValueError(f"{connection!r} belongs to {self!r} already")
            if self._shared.is_full or self._total_locked() >= self._maxsize:
                raise self._error_locked(FullPoolError, f"there is no room for {connection!r}")
            self._shared.used += 1
            self.leases[entry.key] = entry
            self._schedule_expiry_locked(entry, None)
            kept = self._return_locked(entry, entry.idle_since)
            self._not_returned += kept

    # -- the pool as a whole -----------------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> bool:
        """True once all connections are closed: idle ones now, leased ones when they come back.

        Nothing is leased from now on; everybody who waits gets ClosedPoolError at once.  Waits up to ``timeout``
        seconds for what is leased; None: does not wait.  Calling it again is fine.
        """
        try:
            self._start_closing()
        except BaseException:
            self._start_closing()  # nobody else would wake them
            raise
        self.drop_idle(POOL_CLOSED)
        if self.needs_housekeeper:  # also where a thread is about to note that the pool is watched
            housekeeper.hasten(self._self_ref, 0.0)  # so that it lets go of the pool
        return self.wait_closed(0.0 if timeout is None else timeout)

    def drain(self, timeout: float | None = None) -> bool:
        """True once every connection that exists now is closed: idle ones now, leased ones when they come back.

        The pool stays open and opens new ones meanwhile.  ``timeout``: seconds to wait; None: as long as it takes.
        """
        with self._shared, self._lock:
            self._generation += 1
        self.drop_idle("drained")
        return self.wait_drained(timeout)

    def wait_closed(self, timeout: float | None) -> bool:
        """Whether all connections of a closed pool are gone within ``timeout`` seconds; None: wait for it."""
        return self._wait_until(self._is_closed_locked, timeout)

    def wait_drained(self, timeout: float | None) -> bool:
        """Whether all connections older than the last drain are gone in ``timeout`` seconds; None: wait for it."""
        return self._wait_until(self._is_drained_locked, timeout)

    def drop_idle(self, reason: str = "refreshed") -> int:
        """How many idle connections were closed: all there were."""
        try:
            with self._shared, self._lock:
                count = len(self._idle)
                while self._idle:
                    self.discard_idle_locked(self._idle[0], reason)
                self._notify_drain_waiters_locked()
            self._run_pending(-inf)
        except BaseException:
            self._settle()
            raise
        return count

    def drop_unusable(self, reason: str = "dead") -> int:
        """How many idle connections the factory no longer finds usable; they are closed.

        Each is leased to this call while it is looked at, one at a time, the longest idle first.
        """
        return sum(not self._check_idle(connection, reason) for connection in self.idle_connections())

    def resize(self, maxsize: int | None) -> None:
        """Change the limit.  Smaller: the longest idle are closed now, leased ones on return, until it holds."""
        maxsize = check_limit("maxsize", maxsize)
        limit = sys.maxsize if maxsize is None else maxsize
        try:
            with self._shared, self._lock:
                self._maxsize = limit
                while self._idle and self._alive_locked() > limit:
                    self.discard_idle_locked(self._idle[0], "resized")
                self._is_shrinking = self.block and self._total_locked() > limit
                self.serve_waiters_locked()
            self._run_pending(-inf)
        except BaseException:
            self._settle()  # the limit may have changed, and nobody else would wake who waits
            raise

    def serve_waiters(self) -> None:
        """After the shared limit was changed: serve who can be served, close what is to be closed."""
        with self._shared, self._lock:
            self.serve_waiters_locked()
        self._run_pending(-inf)

    def _reset_after_fork(self) -> None:
        """In a forked child: empty, with new locks; inherited connections are dropped and their peers hear nothing."""
        if not self._shared.is_shared:
            self._shared.reset()
        inherited = [*self._unclosed_locked(), *self.leases.values()]
        self._inherited = {**(self._inherited or {}), **self.leases}  # they may still be returned
        if self._state is not State.OPEN:
            self._state = State.CLOSED
        self._is_watched = False
        self._start_counting()
        self._clear()
        forget = forget_of(self.factory) or after_fork.drop_descriptor
        for entry in inherited:
            try:
                forget(entry.connection)
            except Exception:
                log.warning("forgetting %r failed", entry.connection, exc_info=True)
        reset = reset_after_fork_of(self.factory)
        if reset is not None:
            reset()

    def __reduce__(self) -> tuple[object, ...]:
        return _make, (type(self), self.endpoint, self.factory, self.settings)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        """Close what nobody else can; at the exit, where even ``sys`` may be None here, leave it to the system."""
        orphaned: OrphanedConnections[Connection] | None = None
        try:
            if is_finalizing() or not hasattr(self, "_is_watched"):
                return
            orphaned = OrphanedConnections(self._shared, self.factory.close)
            self._leave_limit(orphaned)
        except BaseException:  # a finaliser is not run again
            self._leave_limit(orphaned or OrphanedConnections(self._shared, self.factory.close))
            raise

    # -- helpers -----------------------------------------------------------------------------------------------

    def _leave_limit(self, orphaned: OrphanedConnections[Connection]) -> None:
        """Leave the shared limit and close what is left; called again after an interrupt, it goes on.

        A weak reference still leads to a pool whose finaliser runs because its last reference went: the housekeeper
        may come, and another pool may evict from here.  So the tables are emptied in the lock that frees their slots.
        """
        is_held = self._shared.is_held()  # the garbage collector runs in the middle of another pool's decision
        with self._shared, self._lock:
            orphaned.take_over(self._unclosed_locked(), self._total_locked() - self.evicted)
            self._shared.evicting -= self.evicted
            self.evicted = 0
            self._state = State.CLOSED
            self._clear()
            if not is_held:
                orphaned.free_slots_locked()
        if is_held:
            self._shared.defer(orphaned.release)
        else:
            orphaned.release()

    def _tell_detached(self, connection: Connection) -> None:
        """Tell factory and listener of a connection that left the pool."""
        on_detach = on_detach_of(self.factory)
        try:
            if on_detach is not None:
                on_detach(connection)
        except Exception:
            log.exception("on_detach failed for %r", connection)
        if self.trace is not None:
            notify(self.trace, "connection_closed", self.endpoint, connection, DETACHED)

    def _defer_return(self, connection: Connection, idle_limit: float | None, reason: str | None) -> None:
        """Have a lease ended as soon as the lock is free, which this thread holds; ``reason``: by closing it."""
        entry = self.leases.get(id(connection))
        if entry is None:
            self._shared.defer(partial(self._raise_not_leased, connection))
        else:
            self._shared.defer(partial(self._run_deferred_return, entry, entry.reuses, idle_limit, reason))

    def _run_deferred_return(
        self, entry: Entry[Connection], lease: int, idle_limit: float | None, reason: str | None
    ) -> None:
        """End a lease whose end was deferred; nothing if it was ended since: an interrupt has this called again."""
        if self.leases.get(entry.key) is not entry or entry.reuses != lease:
            return
        if reason is None:
            self.release(entry.connection, idle_limit=idle_limit)
        else:
            self.discard(entry.connection, reason)

    def _start_closing(self) -> None:
        """Nothing is leased from now on; who waits is woken."""
        with self._shared, self._lock:
            if self._state is State.OPEN:
                self._state = State.CLOSING
            while self._waiters:
                self._wake_locked(next(iter(self._waiters)))

    def _check_idle(self, connection: Connection, reason: str) -> bool:
        """Whether an idle connection is usable, or no longer idle; else it is closed.  It is leased meanwhile."""
        waiter: Waiter[Connection] = Waiter(self, 0.0)
        try:
            self._lease_if_idle(waiter, connection)
            entry = waiter.grant
            if not isinstance(entry, Entry):
                return True
            entry.reason = reason
            is_usable = self._is_usable(entry, self._clock())
            if is_usable:
                entry.reason = ""
            self._cancel_waiter(waiter)
            return is_usable
        except BaseException:
            self._cancel_waiter(waiter)
            raise

    def _run_release_hook(self, connection: Connection) -> bool:
        """Whether on_release found nothing wrong; else the connection is discarded."""
        if id(connection) not in self.leases:
            return True  # release() complains
        try:
            assert self._on_release is not None
            self._on_release(connection)
        except BaseException as error:
            self.discard(connection, "on_release failed")
            if not isinstance(error, Exception):
                raise
            log.warning("on_release failed for %r", connection, exc_info=True)
            return False
        return True

    def _raise_not_leased(self, connection: Connection) -> None:
        """Raise what fits a connection that came back but was not leased; nothing for one inherited in a fork."""
        if self._inherited is not None and self._inherited.pop(id(connection), None) is not None:
            return
        with self._shared, self._lock:
            if any(entry.connection is connection for entry in self._idle):
                raise self._error_locked(FullPoolError, f"{connection!r} was returned twice")
        raise ValueError(f"{connection!r} is not lent by {self!r}")


class Lender(Protocol[Connection_contra]):
    """What a block asks of the pool that it has its connection from."""

    def release(self, connection: Connection_contra) -> None:
        """Take a clean connection back."""

    def discard(self, connection: Connection_contra, reason: str) -> None:
        """Close it."""


@contextmanager
def connection_block(
    lender: Lender[Connection],
    acquire: Callable[[], Connection],
    owner_of: Callable[[Connection], EndpointPool[Endpoint, Connection]],
    reclaim: Callable[[EndpointPool[Endpoint, Connection] | None, Connection, int | None], None],
) -> Iterator[Connection]:
    """The ``with`` block of a pool's ``connection``; ``owner_of`` knows its leases, None of them is lost by interrupts.

    What the block has detached or given back by itself is left alone, also if it was leased again since. ``acquire``
    is a function of Python's: behind a call of any other, ``partial`` too, CPython looks for interrupts.
    """
    connection = acquire()
    owner: EndpointPool[Endpoint, Connection] | None = None
    lease: int | None = None
    try:
        owner = owner_of(connection)
        lease = owner.lease_of(connection)
        try:
            yield connection
        except BaseException as error:
            if owner.lease_of(connection) == lease:
                lender.discard(connection, type(error).__name__)
            raise
        if owner.lease_of(connection) == lease:
            lender.release(connection)
    except BaseException:
        reclaim(owner, connection, lease)
        raise


def close_idle_at_exit() -> None:
    """At the exit, as urllib3 does: a pool that is kept to the end need not be closed, and no socket warns."""
    for pool in after_fork.remembered():
        if isinstance(pool, EndpointPool):
            with suppress(Exception):
                pool.drop_idle("exit")


atexit.register(close_idle_at_exit)


def _make(
    cls: type[EndpointPool[Endpoint, Connection]],
    endpoint: Endpoint,
    factory: Factory[Endpoint, Connection],
    settings: Settings,
) -> EndpointPool[Endpoint, Connection]:
    """What a pickled pool unpickles to: a new one with the same settings."""
    return cls(endpoint, factory, **settings.keywords())
