"""Ledger: the books of one pool, and every decision that is taken under its lock.

It knows which connections are idle, lent, being opened and being closed, who stands in line, and what is counted;
``lifecycle`` and ``endpoint_pool`` call it with the lock held, and afterwards, without the lock, do what was decided: dial,
close, call hooks.
Nothing in here calls a factory, a hook, a listener or the log, and nothing waits.
First come, first served by hand-over follows psycopg_pool and Go's net/http; "decide under the lock, do I/O outside"
is httpcore's habit.

A connection's way, and what counts against the limits::

    (permit) opening ---> leased ---> idle ---> leased ...
                |           |           |
             (error)    too old,    too old, makes room,
                |       discarded   close()
                v           v           v
              gone       closing --> gone              detached: leased ---> gone

An interrupt may end a method at any call (KeyboardInterrupt), and a finaliser may run there.  So an entry is moved from
one table to the next, and a count changed with it, in a straight line without calls in between, and what is to be
closed is put into ``_doomed``, where the next one who comes by finds it.
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
from .shared_limit import Budget
from .stats import PoolStats
from .waiter import NOBODY, Claim, Permit

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


class Ledger(Generic[Endpoint, Connection]):
    """The books of the pool for ``endpoint``; its budget's lock guards every field that changes."""

    __slots__ = (
        "__weakref__",
        "_ages",
        "_budget",
        "_clock",
        "_closing",
        "_connect_errors",
        "_doomed",
        "_dropped",
        "_excess",
        "_generation",
        "_idle",
        "_idle_timeout",
        "_leaks",
        "_leased",
        "_line",
        "_lock",
        "_look_at",
        "_maxsize",
        "_me",
        "_most_leased",
        "_opened",
        "_opening",
        "_returned",
        "_reused",
        "_settings",
        "_state",
        "_timeouts",
        "_wait_s",
        "_waited",
        "_warming",
        "_watchers",
        "endpoint",
    )

    _me: ref[Any]  # weak; made when the pool is whole

    def __init__(
        self, endpoint: Endpoint, settings: Settings, budget: Budget | None, clock: Callable[[], float]
    ) -> None:
        self.endpoint = endpoint
        self._settings = shared(settings.checked())
        self._maxsize = sys.maxsize if settings.maxsize is None else settings.maxsize
        self._idle_timeout = inf if settings.idle_timeout is None else settings.idle_timeout
        self._ages = settings.idle_timeout is not None or settings.max_lifetime is not None
        self._budget = Budget(shared=False) if budget is None else budget
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
        self._lock = self._budget.lock
        few = self._maxsize <= FEW_CONNECTIONS
        self._idle: MutableSequence[Entry[Connection]] = [] if few else deque()  # the newest on the right
        self._leased: dict[int, Entry[Connection]] = {}  # the single truth about what is lent
        self._opening = 0  # permits out
        self._warming = 0  # those of them that nobody waits for
        self._doomed: list[Entry[Connection]] | None = None  # to be closed as soon as the lock is free
        self._closing = 0  # those, and those whose close() is running
        self._line: OrderedDict[Claim, None] = NOBODY  # the oldest first
        self._watchers: list[Claim] | None = None  # threads in drain() and close()
        self._excess = False  # resize() made the limit smaller than what exists
        self._look_at = inf  # when the collector comes by next, where it does

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
        return len(self._line)

    def connections(self) -> list[Connection]:
        """All connections there are, lent or idle; a copy."""
        with self._budget, self._lock:
            return [entry.connection for entry in (*self._leased.values(), *self._idle)]

    def idle_connections(self) -> list[Connection]:
        """The connections that lie idle, the longest idle first; a copy."""
        with self._budget, self._lock:
            return [entry.connection for entry in self._idle]

    def stats(self) -> PoolStats:
        """All figures of one moment; PoolStats explains each."""
        with self._budget, self._lock:
            dropped = dict(self._dropped or {})
            return PoolStats(
                idle=len(self._idle),
                leased=len(self._leased),
                opening=self._opening,
                closing=self._closing,
                waiting=len(self._line),
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
            f" {len(self._leased)} leased, {self._opening} opening, {len(self._line)} waiting,"
            f" maxsize {self.maxsize}>"
        )

    def check(self) -> None:
        """Assert everything that must hold between any two calls; for tests."""
        with self._budget, self._lock:
            keys = {entry.key for entry in self._idle}
            assert len(keys) == len(self._idle), "a connection lies idle twice"
            assert keys.isdisjoint(self._leased), "a connection is idle and lent at once"
            assert self._opening >= 0, "more openings ended than began"
            assert self._closing >= len(self._doomed or ()), "a connection to be closed is not counted"
            total = self._total_locked()
            assert self._excess or not self.block or total <= self._maxsize, f"{total} of {self._maxsize}"
            assert len(self._idle) <= self._maxsize, "more idle than maxsize"
            assert self._state is State.OPEN or not (self._idle or self._line), "closed, but not empty"
            assert not (self._idle and self._line), "a connection lies idle while a thread waits for it"
            self._budget.check_locked()

    # -- granting ----------------------------------------------------------------------------------------------

    def _total_locked(self) -> int:
        """Everything that counts against the limits."""
        return len(self._leased) + len(self._idle) + self._opening + self._closing

    def _remains_locked(self) -> list[Entry[Connection]]:
        """What only the pool holds: nobody else will close it."""
        return [*self._idle, *(self._doomed or ())]

    def _alive_locked(self) -> int:
        return len(self._leased) + len(self._idle) + self._opening

    def _grant_locked(self, claim: Claim) -> bool:
        """Whether the claim now holds something: the newest idle connection, or leave to open one."""
        budget = self._budget
        if self._idle:
            entry = self._idle[-1]
            self._leased[entry.key] = entry
            claim.grant = entry
            del self._idle[-1]
            if budget.order is not None:
                del budget.order[entry.key]
            entry.reuses += 1
            self._reused += 1
            self._most_leased = max(self._most_leased, len(self._leased))
            return True
        if self._settings.block and (len(self._leased) >= self._maxsize or self._total_locked() >= self._maxsize):
            return False
        permit = Permit()
        if budget.limit is None or not budget.is_spent:
            budget.used += 1
        elif not self._evict_locked(permit):
            return False
        self._opening += 1
        claim.grant = permit
        return True

    def _evict_locked(self, permit: Permit) -> bool:
        """Whether the longest idle connection of any endpoint makes room for the permit."""
        order = self._budget.order
        while order:
            entry: Entry[Any] = next(iter(order.values()))
            home: Ledger[Any, Any] | None = entry.home()
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
        if self._budget.is_limited:
            while self._serve_one_of_all_locked():
                pass
        else:
            while self._line and self._serve_claim_locked(next(iter(self._line))):
                pass

    def _serve_one_of_all_locked(self) -> bool:
        """Whether somebody in the line of the shared budget was served."""
        budget = self._budget
        if not budget.line or (budget.is_spent and not budget.order):
            return False
        unservable: set[Ledger[Any, Any]] = set()
        for claim in budget.line:
            pool: Ledger[Any, Any] = claim.pool
            if pool not in unservable:
                if pool._serve_claim_locked(claim):
                    return True
                unservable.add(pool)
        return False

    def _serve_claim_locked(self, claim: Claim) -> bool:
        """Whether this claim in line was granted something; its thread is awake then."""
        if claim.grant is None and not self._grant_locked(claim):  # it holds something if waking it was interrupted
            return False
        self._send_away_locked(claim)
        return True

    def _send_away_locked(self, claim: Claim) -> None:
        """Take a sleeping claim out of the line and wake it, with what it holds."""
        if claim.grant is not None:
            self._wait_s += self._clock() - claim.since
            self._waited += 1
        del self._line[claim]
        if self._budget.order is not None:
            del self._budget.line[claim]
        claim.bed.release()

    def _leave_line_locked(self, claim: Claim) -> None:
        self._line.pop(claim, None)
        self._budget.line.pop(claim, None)

    # -- taking back -------------------------------------------------------------------------------------------

    def _take_back_locked(self, entry: Entry[Connection], now: float) -> bool:
        """Whether a returned connection is kept, lent to the first in line or as the newest idle one; else close it."""
        if self._state is not State.OPEN:
            reason = POOL_CLOSED
        elif now >= entry.ends_at:
            reason = MAX_LIFETIME
        elif entry.generation != self._generation:
            reason = "drained"
        elif self._excess or self._budget.excess:
            reason = "resized"
        elif len(self._idle) >= self._maxsize:
            reason = POOL_FULL
        elif self._line and not self._idle and self._budget.limit is None:
            self._hand_over_locked(entry)
            return True
        else:
            del self._leased[entry.key]
            self._idle += (entry,)
            if self._budget.order is not None:
                self._budget.order[entry.key] = entry
            if self._line or self._budget.line:
                self._serve_locked()
            return True
        self._doom_leased_locked(entry, reason)
        return False

    def _hand_over_locked(self, entry: Entry[Connection]) -> None:
        """Lend a returned connection to the first in line, without laying it down before."""
        claim = next(iter(self._line))
        claim.grant = entry
        entry.reuses += 1
        self._reused += 1
        self._send_away_locked(claim)

    def _doom_leased_locked(self, entry: Entry[Connection], reason: str) -> None:
        """Have a lent connection closed; until that is done it counts as closing."""
        self._count_drop_locked(reason)
        entry.reason = reason
        if self._doomed is None:
            self._doomed = []
        del self._leased[entry.key]
        self._closing += 1
        self._doomed.append(entry)

    def _doom_idle_locked(self, entry: Entry[Connection], reason: str) -> None:
        """Have an idle connection closed; until that is done it counts as closing."""
        self._count_drop_locked(reason)
        entry.reason = reason
        place = self._place_locked(entry)
        order = self._budget.order
        if self._doomed is None:
            self._doomed = []
        if order is not None:
            del order[entry.key]
        del self._idle[place]
        self._closing += 1
        self._doomed.append(entry)

    def _place_locked(self, entry: Entry[Connection]) -> int:
        """Where an entry stands in the idle queue; found at once if it is the longest idle."""
        return 0 if self._idle[0] is entry else self._idle.index(entry)

    def _give_up_locked(self, permit: Permit) -> None:
        """A permit that is not used: its slot is free for the next."""
        if permit.pending:
            permit.pending = False
            self._opening -= 1
            self._warming -= permit.is_ahead
            self._budget.used -= 1
            self._slot_freed_locked()

    def _is_here_locked(self, entry: Entry[Connection]) -> bool:
        """Whether the connection is in the tables, or idle in a pool beside this one, by another entry."""
        if entry.key in self._leased or entry.key in (self._budget.order or ()):
            return True
        return entry.key in [other.key for other in (*self._idle, *(self._doomed or ()))]

    def _lease_new_locked(self, claim: Claim, permit: Permit, entry: Entry[Connection]) -> None:
        """A new connection is lent, in place of the claim's permit.

        RuntimeError if the factory gave it before, and the pool still has it.
        """
        if self._is_here_locked(entry):
            raise RuntimeError(
                f"connect() made {entry.connection!r}, which {self!r} has already; it must make a new one"
            )
        self._leased[entry.key] = entry
        claim.grant = entry
        permit.pending = False
        self._opening -= 1
        self._warming -= permit.is_ahead
        self._opened += 1

    def _slot_freed_locked(self) -> None:
        """What follows from one connection less, of this pool and of the budget; both counts are down already."""
        budget = self._budget
        if budget.excess and not budget.is_over:
            budget.excess = False
        if self._excess or self._watchers or self._state is State.CLOSING:
            self._settle_locked()
        if self._line or budget.line:
            self._serve_locked()

    def _settle_locked(self) -> None:
        """Notice what became true with a connection's end, and wake who waits for that."""
        if self._excess and self._total_locked() <= self._maxsize:
            self._excess = False
        if self._state is State.CLOSING and self._total_locked() == 0:
            self._state = State.CLOSED
        while self._watchers:
            claim = self._watchers[-1]
            del self._watchers[-1]
            claim.bed.release()

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
        if self._total_locked() or self._line or self._settings.min_idle:
            return False
        self._state = State.CLOSED
        return True

    # -- age ---------------------------------------------------------------------------------------------------

    def _age_of(self, entry: Entry[Connection], now: float) -> str | None:
        """Why an idle entry is too old, or None."""
        if now >= entry.ends_at:
            return MAX_LIFETIME
        if now >= entry.stale_at:
            return PEER_LIMIT
        return IDLE_TIMEOUT if now - entry.idle_since >= self._idle_timeout else None

    def _lendable_until(self, entry: Entry[Connection]) -> float:
        return min(entry.stale_at, entry.idle_since + self._idle_timeout)

    def _note_age_locked(self, entry: Entry[Connection], idle_limit: float | None) -> None:
        """Write down until when a connection that goes idle now may be lent, and see to it that somebody looks."""
        if idle_limit is not None:
            entry.stale_at = min(entry.ends_at, entry.idle_since + idle_limit)
        until = self._lendable_until(entry)
        if self._settings.wants_collector:
            if until < self._look_at:
                self._call_collector(until - entry.idle_since)
        elif until < self._budget.trim_at:
            self._budget.trim_at = until

    def _call_collector(self, delay_s: float) -> None:
        """Have the collector come by in ``delay_s`` seconds, not later."""
        self._look_at = self._clock() + delay_s
        housekeeper.hasten(self._me, delay_s)

    def _trim_locked(self, now: float) -> set[Ledger[Any, Any]]:
        """Doom the longest idle that are too old, a batch at most; the pools that have to close some."""
        budget = self._budget
        idle: Any = self._idle if budget.order is None else budget.order.values()
        due: list[tuple[Ledger[Any, Any], Entry[Any], str]] = []
        next_at = inf
        for entry in idle:  # all: pools differ in their limits, and so do peers
            home: Ledger[Any, Any] | None = entry.home()
            if home is None or home._settings.wants_collector:
                continue
            age = home._age_of(entry, now)
            if age is None or len(due) == self._settings.dispose_batch_size:
                next_at = min(next_at, home._lendable_until(entry))
                if age is not None:
                    break  # the next one who comes by finds the rest
            else:
                due.append((home, entry, age))
        budget.trim_at = next_at
        for home, entry, age in due:
            home._doom_idle_locked(entry, age)
        return {home for home, _, _ in due}

    def _cull_locked(self, now: float) -> float:
        """Doom all idle connections that are too old; when the next one will be (``inf``: not foreseen).

        ``idle_timeout`` spares the newest ``min_idle``; lifetime and the peer's limit spare nobody.
        """
        next_at = inf
        spare = len(self._idle) - self._settings.min_idle
        for entry in list(self._idle):
            age = self._age_of(entry, now)
            if age is None or (age is IDLE_TIMEOUT and spare <= 0):
                next_at = min(next_at, entry.stale_at if age else self._lendable_until(entry))
            else:
                self._doom_idle_locked(entry, age)
                spare -= 1
        return next_at

    def _lacks_idle_locked(self) -> bool:
        """Whether a connection ought to be opened ahead of demand, and may be."""
        return (
            len(self._idle) + self._warming < self._settings.min_idle
            and self._total_locked() < self._maxsize
            and self._state is State.OPEN
            and not self._line
            and not self._budget.is_spent
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

    def _refuse_unless_open_locked(self, waited_s: float) -> None:
        if self._state is not State.OPEN:
            raise ClosedPoolError(self, f"the pool is {self._state.value}", **self._numbers_locked(waited_s))

    def _empty_locked(self, waited_s: float) -> EmptyPoolError:
        numbers = self._numbers_locked(waited_s)
        text = "no connection became free in {waited_s:.3g} s: {leased} of {limit} leased, {idle} idle, "
        text += "{opening} opening, {waiting} waiting"
        budget = self._budget
        if budget.is_limited:
            text += f", {budget.used} of {budget.limit} in all pools together"
        return EmptyPoolError(self, text.format_map(numbers), **numbers)

    def _numbers_locked(self, waited_s: float | None) -> dict[str, Any]:
        """What errors tell of the pool."""
        return {
            "waited_s": waited_s,
            "leased": len(self._leased),
            "idle": len(self._idle),
            "opening": self._opening,
            "waiting": len(self._line),
            "limit": self.maxsize,
        }


def shrink_locked(budget: Budget) -> None:
    """Doom the longest idle connections of any endpoint until the budget's limit holds; lent ones go on return."""
    budget.excess = budget.is_over
    excess = budget.used - budget.limit if budget.limit is not None else 0
    oldest = budget.order.values() if budget.order is not None else ()
    for entry in list(islice(oldest, max(0, excess))):
        home: Ledger[Any, Any] | None = entry.home()
        if home is not None:
            home._doom_idle_locked(entry, "resized")
