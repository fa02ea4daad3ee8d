"""Ledger: the books of one pool, and every decision that is taken under its lock.

It knows which connections are idle, lent, being opened and being closed, who stands in line, and what is counted;
``lifecycle`` and ``endpoint_pool`` call it with the lock held, and afterwards, without the lock, do what was decided:
dial, close, call hooks.
Nothing in here calls a factory, a hook, a listener or the log, and nothing waits.
First come, first served by hand-over follows psycopg_pool and Go's net/http; "decide under the lock, do I/O outside"
is httpcore's habit.

A connection's way, and what counts against the limits::

    (permit) opening ---> leased ---> idle ---> leased ...
                |           |           |
             (error)    too old,    too old, makes module,
                |       discarded   close()
                v           v           v
              gone       closing --> gone              detached: leased ---> gone

An interrupt may end a method at any call (KeyboardInterrupt), and a finaliser may run there.  So an entry is moved from
one table to the next, and a count changed with it, in a straight line without calls in between, and what is to be
closed is put into ``_to_close``, where the next one who comes by finds it.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, MutableSequence
from enum import Enum
from itertools import islice
from math import inf
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from weakref import ref

from ..exceptions import ClosedPoolError, EmptyPoolError
from . import housekeeper
from .entry import Entry
from .settings import Settings, shared
from .shared_limit import SharedLimit
from .stats import PoolStats
from .waiter import NO_WAITERS, Permit, Waiter

Endpoint = TypeVar("Endpoint")
Connection = TypeVar("Connection")

#: Reasons for closing a connection because of its age; PoolStats sums them up as ``expired``.
IDLE_TIMEOUT, MAX_LIFETIME, PEER_LIMIT = "idle timeout", "max lifetime", "keep-alive limit"
POOL_FULL, POOL_CLOSED = "pool full", "pool closed"


class State(Enum):
    """A pool's life.

    ::

        OPEN --close()--> CLOSING --the last connection is gone--> CLOSED
    """

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


#: Up to so many idle connections lie in a list: an empty deque takes 0.7 KiB, taking the oldest of 64 off a list 50 ns.
FEW_CONNECTIONS = 64


class LockedState(Generic[Endpoint, Connection]):
    """The books of the pool for ``endpoint``; its shared_limit's lock guards every field that changes."""

    __slots__ = (
        "__weakref__",
        "_ages",
        "_clock",
        "_closing",
        "_connect_errors",
        "_dropped",
        "_excess",
        "_generation",
        "_idle",
        "_idle_timeout",
        "_leaks",
        "_leased",
        "_lock",
        "_maxsize",
        "_me",
        "_most_leased",
        "_opened",
        "_opening",
        "_returned",
        "_reused",
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
        "_watchers",
        "endpoint",
    )

    _me: ref[Any]  # weak; made when the pool is whole

    def __init__(
        self, endpoint: Endpoint, settings: Settings, shared_limit: SharedLimit | None, clock: Callable[[], float]
    ) -> None:
        self.endpoint = endpoint
        self._settings = shared(settings.checked())
        self._maxsize = sys.maxsize if settings.maxsize is None else settings.maxsize
        self._idle_timeout = inf if settings.idle_timeout is None else settings.idle_timeout
        self._ages = settings.idle_timeout is not None or settings.max_lifetime is not None
        self._shared = SharedLimit(shared=False) if shared_limit is None else shared_limit
        self._clock = clock
        self._state = State.OPEN
        self._dropped: dict[str, int] | None = None  # connections that left the pool, by reason
        self._most_leased = self._opened = self._reused = self._returned = self._leaks = 0
        self._waited = self._timeouts = self._connect_errors = 0
        self._wait_s = 0.0
        self._generation = 0  # drain() calls so far
        self._clear()

    def _clear(self) -> None:
        """Empty books: for a new pool, and for one that a fork copied."""
        self._lock = self._shared.lock
        few = self._maxsize <= FEW_CONNECTIONS
        self._idle: MutableSequence[Entry[Connection]] = [] if few else deque()  # the newest on the right
        self._leased: dict[int, Entry[Connection]] = {}  # the single truth about what is lent
        self._opening = 0  # permits out
        self._warming = 0  # those of them that nobody waits for
        self._to_close: list[Entry[Connection]] | None = None  # to be closed as soon as the lock is free
        self._closing = 0  # those, and those whose close() is running
        self._waiters: OrderedDict[Waiter, None] = NO_WAITERS  # the oldest first
        self._watchers: list[Waiter] | None = None  # threads in drain() and close()
        self._excess = False  # resize() made the limit smaller than what exists
        self._sweep_at = inf  # when the collector comes by next, where it does

    # -- looking -----------------------------------------------------------------------------------------------

    @property
    def maxsize(self) -> int | None:
        """The limit; None: no limit of its own."""
        return None if self._maxsize == sys.maxsize else self._maxsize

    @property
    def block(self) -> bool:
        """Whether borrowers wait when ``maxsize`` connections are lent."""
        return self._settings.block

    @property
    def state(self) -> State:
        """Where the pool is in its life."""
        return self._state

    @property
    def idle(self) -> int:
        """How many connections could be lent at once."""
        return len(self._idle)

    @property
    def leased(self) -> int:
        """How many connections are lent."""
        return len(self._leased)

    @property
    def opening(self) -> int:
        """How many connections are being opened."""
        return self._opening

    @property
    def waiting(self) -> int:
        """How many threads stand in line."""
        return len(self._waiters)

    def connections(self) -> list[Connection]:
        """All connections there are, lent or idle; a copy."""
        with self._shared, self._lock:
            return [entry.connection for entry in (*self._leased.values(), *self._idle)]

    def idle_connections(self) -> list[Connection]:
        """The connections that lie idle, the longest idle first; a copy."""
        with self._shared, self._lock:
            return [entry.connection for entry in self._idle]

    def stats(self) -> PoolStats:
        """All figures of one moment; PoolStats explains each."""
        with self._shared, self._lock:
            dropped = dict(self._dropped or {})
            return PoolStats(
                idle=len(self._idle),
                leased=len(self._leased),
                opening=self._opening,
                closing=self._closing,
                waiting=len(self._waiters),
                maxsize=self.maxsize,
                most_leased=self._most_leased,
                opened=self._opened,
                reused=self._reused,
                returned=self._returned,
                dropped=MappingProxyType(dropped),
                expired=sum(dropped.get(age, 0) for age in (IDLE_TIMEOUT, MAX_LIFETIME, PEER_LIMIT)),
                waited=self._waited,
                wait_s=self._wait_s,
                timeouts=self._timeouts,
                connect_errors=self._connect_errors,
                leaks=self._leaks,
            )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.endpoint!r} {self._state.value}: {len(self._idle)} idle,"
            f" {len(self._leased)} leased, {self._opening} opening, {len(self._waiters)} waiting,"
            f" maxsize {self.maxsize}>"
        )

    def check(self) -> None:
        """Assert everything that must hold between any two calls; for tests."""
        with self._shared, self._lock:
            keys = {entry.key for entry in self._idle}
            assert len(keys) == len(self._idle), "a connection lies idle twice"
            assert keys.isdisjoint(self._leased), "a connection is idle and lent at once"
            assert self._opening >= 0, "more openings ended than began"
            assert self._closing >= len(self._to_close or ()), "a connection to be closed is not counted"
            total = self._total_locked()
            assert self._excess or not self.block or total <= self._maxsize, f"{total} of {self._maxsize}"
            assert len(self._idle) <= self._maxsize, "more idle than maxsize"
            assert self._state is State.OPEN or not (self._idle or self._waiters), "closed, but not empty"
            assert not (self._idle and self._waiters), "a connection lies idle while a thread waits for it"
            self._shared.check_locked()

    # -- granting ----------------------------------------------------------------------------------------------

    def _total_locked(self) -> int:
        """Everything that counts against the limits."""
        return len(self._leased) + len(self._idle) + self._opening + self._closing

    def _remains_locked(self) -> list[Entry[Connection]]:
        """What only the pool holds: nobody else will close it."""
        return [*self._idle, *(self._to_close or ())]

    def _alive_locked(self) -> int:
        return len(self._leased) + len(self._idle) + self._opening

    def _grant_locked(self, waiter: Waiter) -> bool:
        """Whether the waiter now holds something: the newest idle connection, or leave to open one."""
        shared_limit = self._shared
        if self._idle:
            entry = self._idle[-1]
            self._leased[entry.key] = entry
            waiter.grant = entry
            del self._idle[-1]
            if shared_limit.order is not None:
                del shared_limit.order[entry.key]
            entry.reuses += 1
            self._reused += 1
            self._most_leased = max(self._most_leased, len(self._leased))
            return True
        if self._settings.block and (len(self._leased) >= self._maxsize or self._total_locked() >= self._maxsize):
            return False
        permit = Permit()
        if shared_limit.limit is None or not shared_limit.is_spent:
            shared_limit.used += 1
        elif not self._evict_locked(permit):
            return False
        self._opening += 1
        waiter.grant = permit
        return True

    def _evict_locked(self, permit: Permit) -> bool:
        """Whether the longest idle connection of any endpoint makes room for the permit."""
        order = self._shared.order
        while order:
            entry: Entry[Any] = next(iter(order.values()))
            home: LockedState[Any, Any] | None = entry.home()
            if home is not None and home._idle and home._idle[0] is entry:
                home._count_drop_locked("made room")
                entry.reason = "made room"
                permit.victim = entry
                del home._idle[0]
                del order[entry.key]
                return True
            del order[entry.key]  # its pool is being finalised and closes it
        return False

    def _serve_locked(self) -> None:
        """Hand what is free to those who have waited longest among those who can use it.

        Called whenever something became free, so that between any two calls nothing is free that anybody in line
        could use; therefore a newcomer may take what it finds without looking at the line.
        """
        if self._shared.is_limited:
            while self._serve_one_shared_locked():
                pass
        else:
            while self._waiters and self._serve_waiter_locked(next(iter(self._waiters))):
                pass

    def _serve_one_shared_locked(self) -> bool:
        """Whether somebody in the line of the shared shared_limit was served."""
        shared_limit = self._shared
        if not shared_limit.line or (shared_limit.is_spent and not shared_limit.order):
            return False
        unservable: set[LockedState[Any, Any]] = set()
        for waiter in shared_limit.line:
            pool: LockedState[Any, Any] = waiter.pool
            if pool not in unservable:
                if pool._serve_waiter_locked(waiter):
                    return True
                unservable.add(pool)
        return False

    def _serve_waiter_locked(self, waiter: Waiter) -> bool:
        """Whether this waiter in line was granted something; its thread is awake then."""
        if waiter.grant is None and not self._grant_locked(waiter):  # it holds something if waking it was interrupted
            return False
        self._wake_locked(waiter)
        return True

    def _wake_locked(self, waiter: Waiter) -> None:
        """Take a sleeping waiter out of the line and wake it, with what it holds."""
        if waiter.grant is not None:
            self._wait_s += self._clock() - waiter.since
            self._waited += 1
        del self._waiters[waiter]
        if self._shared.order is not None:
            del self._shared.line[waiter]
        waiter.wakeup.release()

    def _remove_waiter_locked(self, waiter: Waiter) -> None:
        self._waiters.pop(waiter, None)
        self._shared.line.pop(waiter, None)

    # -- taking back -------------------------------------------------------------------------------------------

    def _take_back_locked(self, entry: Entry[Connection], now: float) -> bool:
        """Whether a returned connection is kept, lent to the first in line or as the newest idle one; else close it."""
        if self._state is not State.OPEN:
            reason = POOL_CLOSED
        elif now >= entry.ends_at:
            reason = MAX_LIFETIME
        elif entry.generation != self._generation:
            reason = "drained"
        elif self._excess or self._shared.excess:
            reason = "resized"
        elif len(self._idle) >= self._maxsize:
            reason = POOL_FULL
        elif self._waiters and not self._idle and self._shared.limit is None:
            self._hand_over_locked(entry)
            return True
        else:
            del self._leased[entry.key]
            self._idle += (entry,)
            if self._shared.order is not None:
                self._shared.order[entry.key] = entry
            if self._waiters or self._shared.line:
                self._serve_locked()
            return True
        self._discard_leased_locked(entry, reason)
        return False

    def _hand_over_locked(self, entry: Entry[Connection]) -> None:
        """Lend a returned connection to the first in line, without laying it down before."""
        waiter = next(iter(self._waiters))
        waiter.grant = entry
        entry.reuses += 1
        self._reused += 1
        self._wake_locked(waiter)

    def _discard_leased_locked(self, entry: Entry[Connection], reason: str) -> None:
        """Have a lent connection closed; until that is done it counts as closing."""
        self._count_drop_locked(reason)
        entry.reason = reason
        if self._to_close is None:
            self._to_close = []
        del self._leased[entry.key]
        self._closing += 1
        self._to_close.append(entry)

    def _discard_idle_locked(self, entry: Entry[Connection], reason: str) -> None:
        """Have an idle connection closed; until that is done it counts as closing."""
        self._count_drop_locked(reason)
        entry.reason = reason
        place = self._place_locked(entry)
        order = self._shared.order
        if self._to_close is None:
            self._to_close = []
        if order is not None:
            del order[entry.key]
        del self._idle[place]
        self._closing += 1
        self._to_close.append(entry)

    def _place_locked(self, entry: Entry[Connection]) -> int:
        """Where an entry stands in the idle queue; found at once if it is the longest idle."""
        return 0 if self._idle[0] is entry else self._idle.index(entry)

    def _cancel_permit_locked(self, permit: Permit) -> None:
        """A permit that is not used: its slot is free for the next."""
        if permit.pending:
            permit.pending = False
            self._opening -= 1
            self._warming -= permit.is_ahead
            self._shared.used -= 1
            self._slot_freed_locked()

    def _is_here_locked(self, entry: Entry[Connection]) -> bool:
        """Whether the connection is in the tables, or idle in a pool beside this one, by another entry."""
        if entry.key in self._leased or entry.key in (self._shared.order or ()):
            return True
        return entry.key in [other.key for other in (*self._idle, *(self._to_close or ()))]

    def _lease_new_locked(self, waiter: Waiter, permit: Permit, entry: Entry[Connection]) -> None:
        """A new connection is lent, in place of the waiter's permit.

        RuntimeError if the factory gave it before, and the pool still has it.
        """
        if self._is_here_locked(entry):
            raise RuntimeError(
                f"connect() made {entry.connection!r}, which {self!r} has already; it must make a new one"
            )
        self._leased[entry.key] = entry
        waiter.grant = entry
        permit.pending = False
        self._opening -= 1
        self._warming -= permit.is_ahead
        self._opened += 1

    def _slot_freed_locked(self) -> None:
        """What follows from one connection less, of this pool and of the shared_limit; both counts are down already."""
        shared_limit = self._shared
        if shared_limit.excess and not shared_limit.is_over:
            shared_limit.excess = False
        if self._excess or self._watchers or self._state is State.CLOSING:
            self._notify_watchers_locked()
        if self._waiters or shared_limit.line:
            self._serve_locked()

    def _notify_watchers_locked(self) -> None:
        """Notice what became true with a connection's end, and wake who waits for that."""
        if self._excess and self._total_locked() <= self._maxsize:
            self._excess = False
        if self._state is State.CLOSING and self._total_locked() == 0:
            self._state = State.CLOSED
        while self._watchers:
            waiter = self._watchers[-1]
            del self._watchers[-1]
            waiter.wakeup.release()

    def _count_drop_locked(self, reason: str) -> None:
        if self._dropped is None:
            self._dropped = {}
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def _is_over_locked(self) -> bool:
        return self._state is State.CLOSED

    def _is_drained_locked(self) -> bool:
        if self._closing:
            return False
        for entry in self._leased.values():  # noqa: SIM110 - a generator could be interrupted while it is dropped
            if entry.generation != self._generation:
                return False
        return True

    def retire_locked(self) -> bool:
        """Whether the pool is empty and not needed; it is closed then."""
        if self._total_locked() or self._waiters or self._settings.min_idle:
            return False
        self._state = State.CLOSED
        return True

    # -- age ---------------------------------------------------------------------------------------------------

    def _expiry_reason(self, entry: Entry[Connection], now: float) -> str | None:
        """Why an idle entry is too old, or None."""
        if now >= entry.ends_at:
            return MAX_LIFETIME
        if now >= entry.stale_at:
            return PEER_LIMIT
        return IDLE_TIMEOUT if now - entry.idle_since >= self._idle_timeout else None

    def _usable_until(self, entry: Entry[Connection]) -> float:
        return min(entry.stale_at, entry.idle_since + self._idle_timeout)

    def _schedule_expiry_locked(self, entry: Entry[Connection], idle_limit: float | None) -> None:
        """Write down until when a connection that goes idle now may be lent, and see to it that somebody looks."""
        if idle_limit is not None:
            entry.stale_at = min(entry.ends_at, entry.idle_since + idle_limit)
        until = self._usable_until(entry)
        if self._settings.wants_collector:
            if until < self._sweep_at:
                self._wake_housekeeper(until - entry.idle_since)
        elif until < self._shared.trim_at:
            self._shared.trim_at = until

    def _wake_housekeeper(self, delay_s: float) -> None:
        """Have the collector come by in ``delay_s`` seconds, not later."""
        self._sweep_at = self._clock() + delay_s
        housekeeper.hasten(self._me, delay_s)

    def _expire_oldest_locked(self, now: float) -> set[LockedState[Any, Any]]:
        """Doom the longest idle that are too old, a batch at most; the pools that have to close some."""
        shared_limit = self._shared
        idle: Any = self._idle if shared_limit.order is None else shared_limit.order.values()
        due: list[tuple[LockedState[Any, Any], Entry[Any], str]] = []
        next_at = inf
        for entry in idle:  # all: pools differ in their limits, and so do peers
            home: LockedState[Any, Any] | None = entry.home()
            if home is None or home._settings.wants_collector:
                continue
            age = home._expiry_reason(entry, now)
            if age is None or len(due) == self._settings.dispose_batch_size:
                next_at = min(next_at, home._usable_until(entry))
                if age is not None:
                    break  # the next one who comes by finds the rest
            else:
                due.append((home, entry, age))
        shared_limit.trim_at = next_at
        for home, entry, age in due:
            home._discard_idle_locked(entry, age)
        return {home for home, _, _ in due}

    def _expire_idle_locked(self, now: float) -> float:
        """Doom all idle connections that are too old; when the next one will be (``inf``: not foreseen).

        ``idle_timeout`` spares the newest ``min_idle``; lifetime and the peer's limit spare nobody.
        """
        next_at = inf
        spare = len(self._idle) - self._settings.min_idle
        for entry in list(self._idle):
            age = self._expiry_reason(entry, now)
            if age is None or (age is IDLE_TIMEOUT and spare <= 0):
                next_at = min(next_at, entry.stale_at if age else self._usable_until(entry))
            else:
                self._discard_idle_locked(entry, age)
                spare -= 1
        return next_at

    def _lacks_idle_locked(self) -> bool:
        """Whether a connection ought to be opened ahead of demand, and may be."""
        return (
            len(self._idle) + self._warming < self._settings.min_idle
            and self._total_locked() < self._maxsize
            and self._state is State.OPEN
            and not self._waiters
            and not self._shared.is_spent
        )

    def _leaked_locked(self, now: float, leak_timeout: float) -> list[Entry[Connection]]:
        """The leases that are held longer than ``leak_timeout`` seconds and were not told of yet."""
        leaked = [
            entry for entry in self._leased.values() if not entry.is_reported and now - entry.leased_at >= leak_timeout
        ]
        for entry in leaked:
            entry.is_reported = True
        self._leaks += len(leaked)
        return leaked

    # -- what errors tell --------------------------------------------------------------------------------------

    def _raise_unless_open_locked(self, waited_s: float) -> None:
        if self._state is not State.OPEN:
            raise ClosedPoolError(self, f"the pool is {self._state.value}", **self._error_figures_locked(waited_s))

    def _empty_error_locked(self, waited_s: float) -> EmptyPoolError:
        numbers = self._error_figures_locked(waited_s)
        text = "no connection became free in {waited_s:.3g} s: {leased} of {limit} leased, {idle} idle, "
        text += "{opening} opening, {waiting} waiting"
        shared_limit = self._shared
        if shared_limit.is_limited:
            text += f", {shared_limit.used} of {shared_limit.limit} in all pools together"
        return EmptyPoolError(self, text.format_map(numbers), **numbers)

    def _error_figures_locked(self, waited_s: float | None) -> dict[str, Any]:
        """What errors tell of the pool."""
        return {
            "waited_s": waited_s,
            "leased": len(self._leased),
            "idle": len(self._idle),
            "opening": self._opening,
            "waiting": len(self._waiters),
            "limit": self.maxsize,
        }


def shrink_locked(shared_limit: SharedLimit) -> None:
    """Doom the longest idle connections of any endpoint until the shared_limit's limit holds; lent ones go on
    return."""
    shared_limit.excess = shared_limit.is_over
    excess = shared_limit.used - shared_limit.limit if shared_limit.limit is not None else 0
    oldest = shared_limit.order.values() if shared_limit.order is not None else ()
    for entry in list(islice(oldest, max(0, excess))):
        home: LockedState[Any, Any] | None = entry.home()
        if home is not None:
            home._discard_idle_locked(entry, "resized")
