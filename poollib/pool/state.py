"""What one pool holds, and every decision that is taken under its lock.

It knows which connections are idle, leased, being opened and being closed, who waits, and what is counted;
``connection_lifecycle`` and ``endpoint_pool`` call it with the lock held, and afterwards, without the lock, do what
was decided: dial, close, call hooks.
Nothing in here calls a factory, a hook, a listener or the log, and nothing waits; a meter alone is told of leases.
First come, first served by hand-over follows psycopg_pool and Go's net/http; "decide under the lock, do I/O outside"
is httpcore's habit.

The states of a connection, all of which but the last count against the limits::

    (permit) opening ---> leased ---> idle ---> leased ...
                |           |           |
             (error)    too old,    too old, evicted,
                |       discarded   close()
                v           v           v
              gone       closing --> gone              detached: leased ---> gone

An interrupt may end a method at any call (KeyboardInterrupt), and a finaliser may run there.  So an entry is moved from
one table to the next, and a count changed with it, in a straight line without calls in between, and what is to be
closed is put into ``_to_close``, where the next call finds it.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, MutableSequence
from enum import Enum
from math import inf
from traceback import StackSummary
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from weakref import ref

from ..base.exact_values import mark_shared
from ..base.trace import PoolMeter
from ..exceptions import ClosedPoolError, EmptyPoolError, PoolError, TooManyWaitingError
from . import housekeeper
from .entry import EVICTED, IDLE_TIMEOUT, MAX_LIFETIME, PEER_LIMIT, Entry, EntryPool, Holder, Permit, shown_places
from .settings import Settings, interned
from .shared_limit import SharedLimit
from .stats import PoolStats
from .waiter import NO_WAITERS, Waiter, WaiterPool

Endpoint = TypeVar("Endpoint")
Connection = TypeVar("Connection")
Error = TypeVar("Error", bound=PoolError)

POOL_FULL, POOL_CLOSED, DETACHED = "pool full", "pool closed", "detached"


class State(Enum):
    """A pool's life.

    ::

        OPEN --close()--> CLOSING --the last connection is gone--> CLOSED
    """

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


_OPEN = State.OPEN  # a look at the enumeration costs 0.05 us
mark_shared(*State, NO_WAITERS)


#: Up to so many idle connections are kept in a list: an empty deque takes 0.7 KiB, the oldest of 64 leaves a list in
#: 50 ns.
FEW_CONNECTIONS = 64


class PoolState(Generic[Endpoint, Connection]):
    """What the pool for ``endpoint`` holds; the lock of its shared limit guards every field that changes."""

    __slots__ = (
        "__weakref__",
        "_ages",
        "_clock",
        "_closing",
        "_connect_errors",
        "_drain_waiters",
        "_dropped",
        "_generation",
        "_gone_reuses",
        "_holders",
        "_idle",
        "_idle_timeout",
        "_is_shrinking",
        "_leaks",
        "_lock",
        "_maxsize",
        "_most_leased",
        "_not_returned",
        "_not_reused",
        "_opened",
        "_opening",
        "_refused",
        "_self_ref",
        "_settings",
        "_shared",
        "_state",
        "_sweep_at",
        "_timeouts",
        "_to_close",
        "_wait_s",
        "_waited",
        "_waiters",
        "_warming",
        "endpoint",
        "evicted",
        "leases",
        "meter",
    )

    _self_ref: ref[Any]  # to this pool; made when it is whole. What its entries and the housekeeper ask of it differs

    def __init__(
        self, endpoint: Endpoint, settings: Settings, shared_limit: SharedLimit | None, clock: Callable[[], float]
    ) -> None:
        self.endpoint = endpoint
        self._settings = interned(settings.checked())
        self._maxsize = sys.maxsize if settings.maxsize is None else settings.maxsize
        self._idle_timeout = inf if settings.idle_timeout is None else settings.idle_timeout
        self._ages = settings.idle_timeout is not None or settings.max_lifetime is not None
        self._shared = SharedLimit(shared=False) if shared_limit is None else shared_limit
        self._clock = clock
        self._state = State.OPEN
        self._generation = 0  # drain() calls so far
        self.meter: PoolMeter | None = None
        self._start_counting()
        self._clear()

    def _start_counting(self) -> None:
        """Nothing counted yet: a new pool, and one that a fork copied."""
        self._dropped: dict[str, int] | None = None  # connections that left the pool, by reason
        self._most_leased = self._opened = self._leaks = 0
        # What is reused and returned is found out when it is asked for: a number that all threads write costs more than
        # all else under the lock, where there is no GIL. Entries count their reuses; those that are gone did so often.
        self._gone_reuses = 0
        self._not_reused = 0  # reuses that are none: the connection was found unusable, or was only looked at
        self._not_returned = 0  # times one became idle that nobody gave back, less those that left while idle
        self._waited = self._timeouts = self._refused = self._connect_errors = 0
        self._wait_s = 0.0

    def _clear(self) -> None:
        """Hold nothing: a new pool, and one that a fork copied."""
        self._lock = self._shared.lock
        few = self._maxsize <= FEW_CONNECTIONS
        self._idle: MutableSequence[Entry[Connection]] = [] if few else deque()  # the newest on the right
        self.leases: dict[int, Entry[Connection]] = {}  # the single truth about what is leased
        mark_shared(self._idle, self.leases)
        self._opening = 0  # permits out
        self._warming = 0  # those of them that nobody waits for
        self._to_close: list[Entry[Connection]] | None = None  # to be closed as soon as the lock is free
        self._closing = 0  # those, and those whose close() is running
        self.evicted = 0  # those of them whose slot in the shared limit is another's already
        self._waiters: OrderedDict[Waiter[Connection], None] = NO_WAITERS  # the oldest first
        self._drain_waiters: list[Waiter[Connection]] | None = None  # threads in drain() and close()
        self._is_shrinking = False  # resize() made the limit smaller than what exists
        self._sweep_at = inf  # when the housekeeper sweeps next, where it does
        self._holders: dict[int, Holder] | None = None  # where in the program leased ones are held, by key

    # -- looking -----------------------------------------------------------------------------------------------

    @property
    def maxsize(self) -> int | None:
        """The limit; None: no limit of its own."""
        return None if self._maxsize == sys.maxsize else self._maxsize

    @property
    def block(self) -> bool:
        """Whether ``acquire`` waits when ``maxsize`` connections are leased."""
        return self._settings.block

    @property
    def settings(self) -> Settings:
        """The numbers it is run by."""
        return self._settings.with_maxsize(self.maxsize)

    @property
    def needs_housekeeper(self) -> bool:
        """Whether the background thread closes what is too old, not whoever acquires and releases."""
        return self._settings.needs_housekeeper

    @property
    def state(self) -> State:
        """Where the pool is in its life."""
        return self._state

    @property
    def idle(self) -> int:
        """How many connections could be leased at once."""
        return len(self._idle)

    @property
    def leased(self) -> int:
        """How many connections are leased."""
        return len(self.leases)

    @property
    def opening(self) -> int:
        """How many connections are being opened."""
        return self._opening

    @property
    def waiting(self) -> int:
        """How many threads wait for a connection."""
        return len(self._waiters)

    def connections(self) -> list[Connection]:
        """All connections there are, leased or idle; a copy."""
        with self._shared, self._lock:
            return [entry.connection for entry in (*self.leases.values(), *self._idle)]

    def idle_connections(self) -> list[Connection]:
        """The idle connections, the longest idle first; a copy."""
        with self._shared, self._lock:
            return [entry.connection for entry in self._idle]

    def stats(self) -> PoolStats:
        """All figures of one moment; PoolStats explains each."""
        with self._shared, self._lock:
            dropped = dict(self._dropped or {})
            reuses = self._reuses_locked()
            return PoolStats(
                idle=len(self._idle),
                leased=len(self.leases),
                opening=self._opening,
                closing=self._closing,
                waiting=len(self._waiters),
                maxsize=self.maxsize,
                most_leased=self._most_leased,
                opened=self._opened,
                reused=reuses - self._not_reused - sum(not entry.is_checked for entry in self.leases.values()),
                returned=reuses + len(self._idle) - self._not_returned,
                dropped=MappingProxyType(dropped),
                expired=sum(dropped.get(age, 0) for age in (IDLE_TIMEOUT, MAX_LIFETIME, PEER_LIMIT)),
                waited=self._waited,
                wait_s=self._wait_s,
                timeouts=self._timeouts,
                refused=self._refused,
                connect_errors=self._connect_errors,
                leaks=self._leaks,
            )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.endpoint!r} {self._state.value}: {len(self._idle)} idle,"
            f" {len(self.leases)} leased, {self._opening} opening, {len(self._waiters)} waiting,"
            f" maxsize {self.maxsize}>"
        )

    def check(self) -> None:
        """Assert everything that must hold between any two calls; for tests."""
        with self._shared, self._lock:
            keys = {entry.key for entry in self._idle}
            assert len(keys) == len(self._idle), "a connection is idle twice"
            assert keys.isdisjoint(self.leases), "a connection is idle and leased at once"
            assert self._opening >= 0, "more openings ended than began"
            assert self._closing >= len(self._to_close or ()), "a connection to be closed is not counted"
            total = self._total_locked()
            assert self._is_shrinking or not self.block or total <= self._maxsize, f"{total} of {self._maxsize}"
            assert len(self._idle) <= self._maxsize, "more idle than maxsize"
            assert self._state is State.OPEN or not (self._idle or self._waiters), "closed, but not empty"
            assert not (self._idle and self._waiters), "a connection is idle while a thread waits for it"
            self._shared.check_locked()

    # -- granting ----------------------------------------------------------------------------------------------

    def _total_locked(self) -> int:
        """Everything that counts against the limits."""
        return len(self.leases) + len(self._idle) + self._opening + self._closing

    def _reuses_locked(self) -> int:
        """The sum of what all entries have counted."""
        return self._gone_reuses + sum([entry.reuses for entry in (*self.leases.values(), *self._idle)])

    def _unclosed_locked(self) -> list[Entry[Connection]]:
        """What only the pool holds: nobody else will close it."""
        return [*self._idle, *(self._to_close or ())]

    def _alive_locked(self) -> int:
        return len(self.leases) + len(self._idle) + self._opening

    def _lease_idle_locked(self, waiter: Waiter[Connection], place: int = -1) -> None:
        """Put an idle entry into the waiter, leased: the newest, or the one at ``place``.

        ``acquire`` has a copy of this that needs no waiter; what that saves is said there.
        """
        entry = self._idle[place]
        order = self._shared.idle_order
        waiter.lease = entry.reuses + 1
        self.leases[entry.key] = entry
        waiter.grant = entry
        del self._idle[place]
        if order is not None:
            del order[entry.key]
        entry.is_checked = False
        entry.reuses += 1

    def _grant_locked(self, waiter: Waiter[Connection]) -> bool:
        """Whether the waiter now holds something: the newest idle connection, or a permit to open one."""
        shared_limit = self._shared
        if self._state is not State.OPEN:  # an interrupt may have come before close() woke all
            return False
        if self._idle:
            self._lease_idle_locked(waiter)
            self._most_leased = max(self._most_leased, len(self.leases))
            return True
        if self._settings.block and (len(self.leases) >= self._maxsize or self._total_locked() >= self._maxsize):
            return False
        permit = Permit()
        shared_limit.used += 1
        self._opening += 1
        waiter.grant = permit
        return self._make_room_locked(waiter, permit)

    def _make_room_locked(self, waiter: Waiter[Connection], permit: Permit) -> bool:
        """Whether the shared limit bears the waiter's permit, with what was evicted for it; else it is taken back."""
        shared_limit = self._shared
        if not shared_limit.is_exceeded or shared_limit.evict_oldest_locked(permit):
            return True
        permit.pending = False
        waiter.grant = None
        self._opening -= 1
        shared_limit.used -= 1
        return False

    def evict_locked(self, entry: Entry[Connection], permit: Permit) -> bool:
        """Whether an entry is the longest idle one here, and now the permit's victim, which has left it the slot."""
        shared_limit = self._shared
        order = shared_limit.idle_order
        if order is None or not self._idle or self._idle[0] is not entry:
            return False
        self._count_drop_locked("made room")
        entry.reason = "made room"
        entry.generation = EVICTED
        permit.victim = entry
        self._gone_reuses += entry.reuses
        self._not_returned -= 1
        del self._idle[0]
        del order[entry.key]
        shared_limit.used -= 1
        shared_limit.evicting += 1
        self.evicted += 1
        self._closing += 1
        return True

    def serve_waiters_locked(self) -> None:
        """Hand what is free to those who have waited longest among those who can use it.

        Called whenever something became free, so that between any two calls nothing is free that any waiter could use;
        therefore a newcomer may take what it finds without looking at the waiters.
        """
        if self._shared.is_limited:
            while self._serve_one_shared_locked():
                pass
        else:
            while self._waiters and self.serve_waiter_locked(next(iter(self._waiters))):
                pass

    def _serve_one_shared_locked(self) -> bool:
        """Whether somebody in the queue of all pools that share the limit was served."""
        shared_limit = self._shared
        waiter = shared_limit.serving
        if waiter is not None:  # whoever served it was interrupted
            shared_limit.serving = None
            if waiter in shared_limit.waiters and waiter.pool.serve_waiter_locked(waiter):
                return True
        if not shared_limit.waiters or (shared_limit.is_full and not shared_limit.idle_order):
            return False
        unservable: set[WaiterPool[object]] = set()
        for waiter in shared_limit.waiters:
            pool = waiter.pool
            if pool not in unservable:
                shared_limit.serving = waiter
                if pool.serve_waiter_locked(waiter):
                    shared_limit.serving = None
                    return True
                shared_limit.serving = None
                unservable.add(pool)
        return False

    def serve_waiter_locked(self, waiter: Waiter[Connection]) -> bool:
        """Whether this waiter was granted something; its thread is awake then."""
        grant = waiter.grant
        if grant is None:
            is_granted = self._grant_locked(waiter)
        else:  # whoever granted it something was interrupted before waking it
            is_granted = isinstance(grant, Entry) or self._make_room_locked(waiter, grant)
        if is_granted:
            self._wake_locked(waiter)
        return is_granted

    def _wake_locked(self, waiter: Waiter[Connection]) -> None:
        """Take a sleeping waiter out of the queue and wake it, with what it holds."""
        if waiter.grant is not None:
            self._wait_s += self._clock() - waiter.since
            self._waited += 1
        self._remove_waiter_locked(waiter)  # one that was interrupted may be in one of its two queues
        waiter.wakeup.release()  # in C: an interrupt in a function would leave it asleep and in no queue

    def _remove_waiter_locked(self, waiter: Waiter[Connection]) -> None:
        self._waiters.pop(waiter, None)
        self._shared.waiters.pop(waiter, None)

    # -- returning --------------------------------------------------------------------------------------------

    def _return_locked(self, entry: Entry[Connection], now: float) -> bool:
        """Whether a returned connection is kept, leased to the first waiter or as the newest idle one; else closed."""
        idle, shared_limit = self._idle, self._shared
        if self._state is not _OPEN:
            reason = POOL_CLOSED
        elif now >= entry.ends_at:
            reason = MAX_LIFETIME
        elif entry.generation != self._generation:
            reason = "drained"
        elif self._is_shrinking or shared_limit.is_shrinking:
            reason = "resized"
        elif len(idle) >= self._maxsize:
            reason = POOL_FULL
        elif self._waiters and not idle and shared_limit.limit is None:
            self._hand_over_locked(entry)
            return True
        else:
            del self.leases[entry.key]
            idle += (entry,)
            if shared_limit.idle_order is not None:
                shared_limit.idle_order[entry.key] = entry
            if not entry.reuses and not self.leases:  # an empty dict keeps 160 bytes; much is asked but once
                self.leases.clear()
            if self._waiters or shared_limit.waiters:
                self.serve_waiters_locked()
            return True
        self._discard_leased_locked(entry, reason)
        return False

    def _hand_over_locked(self, entry: Entry[Connection]) -> None:
        """Lease a returned connection to the first waiter, without making it idle before."""
        waiter = next(iter(self._waiters))
        waiter.lease = entry.reuses + 1
        waiter.grant = entry
        entry.is_checked = False
        entry.reuses += 1
        self._wake_locked(waiter)

    def _discard_leased_locked(self, entry: Entry[Connection], reason: str) -> None:
        """Have a leased connection closed; until that is done it counts as closing."""
        self._tell_lease_ended_locked(entry)
        self._count_drop_locked(reason)
        entry.reason = reason
        if self._to_close is None:
            self._to_close = []
        self._gone_reuses += entry.reuses
        del self.leases[entry.key]
        self._closing += 1
        self._to_close.append(entry)

    def _tell_lease_ended_locked(self, entry: Entry[Connection]) -> None:
        """Tell the meter of a lease that ends without a return; of a return release() tells."""
        if self.meter is not None and entry.leased_at != inf:
            leased_at, entry.leased_at = entry.leased_at, inf
            self.meter.lease_ended(self._clock() - leased_at, False)

    def discard_idle_locked(self, entry: Entry[Connection], reason: str) -> None:
        """Have an idle connection closed; until that is done it counts as closing."""
        self._count_drop_locked(reason)
        entry.reason = reason
        place = self._place_locked(entry)
        assert place is not None
        order = self._shared.idle_order
        if self._to_close is None:
            self._to_close = []
        if order is not None:
            del order[entry.key]
        self._gone_reuses += entry.reuses
        self._not_returned -= 1
        del self._idle[place]
        self._closing += 1
        self._to_close.append(entry)

    def _place_locked(self, entry: Entry[Connection]) -> int | None:
        """The place of an entry in the idle queue, None: it is not idle; found at once if it is the longest idle."""
        if self._idle and self._idle[0] is entry:
            return 0
        try:
            return self._idle.index(entry)
        except ValueError:
            return None

    def _cancel_permit_locked(self, permit: Permit) -> None:
        """A permit that is not used: its slot is free for the next, once what made room for it is closed."""
        victim = permit.victim
        pool = None if victim is None else victim.pool_ref()
        if permit.pending:
            if victim is not None and pool is not None and pool.evicted and victim.generation == EVICTED:
                victim.generation = 0  # it has the slot again: closed, it frees that as well
                pool.evicted -= 1
                self._shared.evicting -= 1
            else:
                self._shared.used -= 1
            permit.pending = False
            self._opening -= 1
            self._warming -= permit.is_ahead
        self._slot_freed_locked()  # also if it was spent: the call that did so may have been interrupted here

    def _is_here_locked(self, entry: Entry[Connection]) -> bool:
        """Whether the connection is in the tables, or idle in a pool beside this one, by another entry."""
        if entry.key in self.leases or entry.key in (self._shared.idle_order or ()):
            return True
        return entry.key in [other.key for other in (*self._idle, *(self._to_close or ()))]

    def _lease_new_locked(self, waiter: Waiter[Connection], permit: Permit, entry: Entry[Connection]) -> None:
        """Lease a new connection, in place of the waiter's permit.

        RuntimeError if the factory gave it before, and the pool still has it.
        """
        if self._is_here_locked(entry):
            raise RuntimeError(
                f"connect() made {entry.connection!r}, which {self!r} has already; it must make a new one"
            )
        waiter.lease = entry.reuses
        self.leases[entry.key] = entry
        waiter.grant = entry
        permit.pending = False
        self._opening -= 1
        self._warming -= permit.is_ahead
        self._opened += 1

    def _slot_freed_locked(self) -> None:
        """What follows from one connection less, of this pool and of the shared limit; both counts are down already."""
        shared_limit = self._shared
        if shared_limit.is_shrinking and not shared_limit.is_exceeded:
            shared_limit.is_shrinking = False
        if self._is_shrinking or self._drain_waiters or self._state is State.CLOSING:
            self._notify_drain_waiters_locked()
        if self._waiters or shared_limit.waiters:
            self.serve_waiters_locked()

    def _notify_drain_waiters_locked(self) -> None:
        """See what became true with a connection's end, and wake who waits for that."""
        if self._is_shrinking and self._total_locked() <= self._maxsize:
            self._is_shrinking = False
        if self._state is State.CLOSING and self._total_locked() == 0:
            self._state = State.CLOSED
        while self._drain_waiters:
            waiter = self._drain_waiters[-1]
            del self._drain_waiters[-1]
            waiter.wakeup.release()

    def _count_drop_locked(self, reason: str) -> None:
        if self._dropped is None:
            self._dropped = {}
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def _is_closed_locked(self) -> bool:
        return self._state is State.CLOSED

    def _is_drained_locked(self) -> bool:
        if self._closing:
            return False
        for entry in self.leases.values():  # noqa: SIM110 - a generator could be interrupted while it is dropped
            if entry.generation != self._generation:
                return False
        return True

    def close_if_empty_locked(self) -> bool:
        """Whether the pool is empty and not needed; it is closed then."""
        if self._total_locked() or self._waiters or self._settings.min_idle:
            return False
        self._state = State.CLOSED
        return True

    # -- age ---------------------------------------------------------------------------------------------------

    def expiry_reason(self, entry: Entry[Connection], now: float) -> str | None:
        """Why an idle entry is too old, or None."""
        if now >= entry.ends_at:
            return MAX_LIFETIME
        if now >= entry.stale_at:
            return PEER_LIMIT
        # The very sum of usable_until(): where rounding told them apart, the housekeeper would come again and again
        # until the clock goes on, which takes 16 ms on some systems.
        return IDLE_TIMEOUT if now >= entry.idle_since + self._idle_timeout else None

    def usable_until(self, entry: Entry[Connection]) -> float:
        """When an idle entry will be too old."""
        return min(entry.stale_at, entry.idle_since + self._idle_timeout)

    def _schedule_expiry_locked(self, entry: Entry[Connection], idle_limit: float | None) -> None:
        """Note until when a connection that becomes idle now may be leased, and have it looked at then."""
        if idle_limit is not None:
            entry.stale_at = min(entry.ends_at, entry.idle_since + idle_limit)
        until = self.usable_until(entry)
        if self.needs_housekeeper:
            if until < self._sweep_at:
                self._wake_housekeeper(until - entry.idle_since)
        elif until < self._shared.relist_at:
            self._shared.relist_at = until
            self._shared.expire_at = min(until, self._shared.expire_at)

    def _wake_housekeeper(self, delay_s: float) -> None:
        """Have the housekeeper sweep in ``delay_s`` seconds, not later."""
        self._sweep_at = self._clock() + delay_s
        housekeeper.hasten(self._self_ref, delay_s)

    def _expire_oldest_locked(self, now: float) -> set[EntryPool[object]]:
        """Have idle connections that are too old closed, a batch at most; the pools that have to close some."""
        return self._shared.expire_oldest_locked(now, self._settings.dispose_batch_size, self._idle)

    def is_idle_locked(self, entry: Entry[Connection]) -> bool:
        """Whether the entry is among the idle."""
        return self._place_locked(entry) is not None

    def _expire_idle_locked(self, now: float) -> float:
        """Have all idle connections that are too old closed; when the next one will be (``inf``: not foreseen).

        ``idle_timeout`` spares the newest ``min_idle``; lifetime and the peer's limit spare nobody.
        """
        next_at = inf
        spare = len(self._idle) - self._settings.min_idle
        for entry in list(self._idle):
            reason = self.expiry_reason(entry, now)
            if reason is None or (reason is IDLE_TIMEOUT and spare <= 0):
                next_at = min(next_at, entry.stale_at if reason else self.usable_until(entry))
            else:
                self.discard_idle_locked(entry, reason)
                spare -= 1
        return next_at

    def _lacks_idle_locked(self) -> bool:
        """Whether a connection ought to be opened ahead of demand, and may be."""
        return (
            len(self._idle) + self._warming < self._settings.min_idle
            and self._total_locked() < self._maxsize
            and self._state is State.OPEN
            and not self._waiters
            and not self._shared.is_full
        )

    def _leaked_locked(self, now: float, leak_timeout: float) -> list[tuple[Connection, float, StackSummary | None]]:
        """What is leased for longer than ``leak_timeout`` and was not reported yet, for how many seconds, and by whom.

        All of it is read here: the lease may end before it is told.
        """
        leaked = [
            entry
            for entry in self.leases.values()
            if not entry.is_leak_reported and now - entry.leased_at >= leak_timeout
        ]
        for entry in leaked:
            entry.is_leak_reported = True
        self._leaks += len(leaked)
        return [(entry.connection, now - entry.leased_at, entry.acquired_by) for entry in leaked]

    # -- errors with the numbers of the pool --------------------------------------------------------------------

    def note_holder(self, connection: Connection, lease: int, place: str) -> None:
        """A leased connection stays with the program, which took it at this place, until that gives it back."""
        with self._shared, self._lock:
            kept = {key: holder for key, holder in (self._holders or {}).items() if key in self.leases}
            self._holders = {**kept, id(connection): Holder(lease, place)}

    def _held_locked(self) -> list[Holder]:
        """What the program holds now."""
        leases = ((self.leases.get(key), holder) for key, holder in (self._holders or {}).items())
        return [holder for entry, holder in leases if entry is not None and entry.reuses == holder.lease]

    def untold_holders(self) -> str:
        """The places at which connections are held that nobody was told of yet; they count as told from now on."""
        with self._shared, self._lock:
            untold = [holder for holder in self._held_locked() if not holder.is_told]
            for holder in untold:
                holder.is_told = True
        return shown_places(untold)

    def _raise_unless_open_locked(self, waited_s: float) -> None:
        if self._state is not State.OPEN:
            raise self._error_locked(ClosedPoolError, f"the pool is {self._state.value}", waited_s)

    def _refusal_locked(self) -> TooManyWaitingError | None:
        """The error for who must not wait since so many do already, counted; None for who may."""
        most = self._settings.max_waiting
        if most is None or len(self._waiters) < most:
            return None
        self._refused += 1
        return self._queue_error_locked(TooManyWaitingError, f"no more than {most} may wait for a connection", 0.0)

    def _empty_error_locked(self, waited_s: float) -> EmptyPoolError:
        return self._queue_error_locked(EmptyPoolError, f"no connection became free in {waited_s:.3g} s", waited_s)

    def _queue_error_locked(self, kind: type[Error], text: str, waited_s: float) -> Error:
        text += (
            f": {len(self.leases)} of {self.maxsize} leased, {len(self._idle)} idle, {self._opening} opening,"
            f" {len(self._waiters)} waiting"
        )
        if held := self._held_locked():
            text += f"; held by what is not read to its end or closed, taken at {shown_places(held)}"
        shared_limit = self._shared
        if shared_limit.is_limited:
            text += f", {shared_limit.used} of {shared_limit.limit} in all pools together"
        return self._error_locked(kind, text, waited_s)

    def _error_locked(self, kind: type[Error], text: str, waited_s: float | None = None) -> Error:
        """An error with the numbers of this moment."""
        return kind(
            self,
            text,
            waited_s=waited_s,
            leased=len(self.leases),
            idle=len(self._idle),
            opening=self._opening,
            waiting=len(self._waiters),
            limit=self.maxsize,
        )
