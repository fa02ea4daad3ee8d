"""EndpointPool: lends the connections to one endpoint, of any kind, and takes them back.

A factory makes, checks and closes connections; borrowers get one from ``acquire`` and end with exactly one of
``release`` (clean), ``discard`` (not to be used again) and ``detach`` (it is theirs now).
What a connection speaks is unknown here: the room could lend integers.  It imports exceptions and trace alone.
Who is served follows psycopg_pool and Go's net/http (first come, first served, by hand-over), the entry beside the
connection HikariCP, "decide under the lock, do I/O outside" httpcore.

A connection's way, and what counts against ``maxsize``::

    acquire -> opening -> leased -> release -> idle -> acquire -> leased ...
                 |           |                   |
              (error)     discard, too old    too old, makes room, close()
                 v           v                   v
               gone       closing -> gone     closing -> gone          detach: leased -> gone

Locking: one re-entrant lock (the budget's) guards all fields.  It is never held while the factory, a hook, a
listener or the log is called.  A return that arrives in a thread that already holds it (a finaliser run by the
garbage collector) is put aside and carried out when the lock is free.  Under the lock an entry is written into its
new place before it leaves the old one, with no call in between, so that no interrupt can lose it.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from enum import Enum
from functools import partial
from itertools import islice
from math import inf
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar
from weakref import ref

from poollib.exceptions import ClosedPoolError, EmptyPoolError, FullPoolError
from poollib.pool.budget import Budget
from poollib.pool.entry import Entry
from poollib.pool.stats import PoolStats
from poollib.pool.waiters import Claim, Permit
from poollib.trace import Trace, tell

log = logging.getLogger(__name__)

Endpoint = TypeVar("Endpoint")
Connection = TypeVar("Connection")
_E = TypeVar("_E", contravariant=True)
_C = TypeVar("_C")

#: At most this many idle connections are closed for their age in one acquire or release, so that no caller pays for
#: a crowd (generic-connection-pool's ``dispose_batch_size`` has no default to follow; a close costs about 10 us).
DISPOSE_BATCH_SIZE = 4
#: ``max_lifetime`` is shortened by up to this share, so that connections opened together do not end together
#: (psycopg_pool shortens by up to 5 % as well).
LIFETIME_JITTER = 0.05


class Factory(Protocol[_E, _C]):
    """How connections are made, checked and closed.  The three methods here are required.

    Optional, looked up once when the pool is made:

    ================================ ==================================================================
    ``on_acquire(connection)``       called before every lending; an error discards the connection and is raised
    ``on_release(connection)``       called before a connection is laid back; an error discards it and is logged
    ``warm(connection, timeout)``    called after ``connect`` when the pool opens ahead of demand (``min_idle``), for
                                     factories whose ``connect`` puts off the work
    ``forget(connection)``           called in a forked child instead of ``close``: drop the inherited connection
                                     without touching the peer
    ================================ ==================================================================
    """

    def connect(self, endpoint: _E, timeout: float | None) -> _C:
        """A new connection, within ``timeout`` seconds (None: no limit); any error goes to the borrower."""

    def usable(self, connection: _C) -> bool:
        """Whether an idle connection may be lent; an error means no."""

    def close(self, connection: _C) -> None:
        """Close it; errors are logged."""


#: Reasons for closing a connection for its age; PoolStats sums them up as ``expired``.
IDLE_TIMEOUT, MAX_LIFETIME, PEER_LIMIT = "idle timeout", "max lifetime", "keep-alive limit"
POOL_FULL, POOL_CLOSED = "pool full", "pool closed"


class State(Enum):
    """A pool's life.

    ::

        OPEN --close()--> CLOSING --the last lent connection is back--> CLOSED
          \\______________close(), nothing lent____________________________/
    """

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class EndpointPool(Generic[Endpoint, Connection]):
    """Lends connections to ``endpoint`` made by ``factory``.  Thread-safe.

    ==================== ==============================================================================
    maxsize              the most connections at a time; None: no limit of its own
    block                True: a borrower waits when all are lent.  False: never; beyond ``maxsize`` connections are
                         opened, and on return those are closed for which there is no room among ``maxsize`` idle
    idle_timeout         seconds after which an idle connection is closed, down to ``min_idle``; None: never
    max_lifetime         seconds after which any connection is closed (less up to 5 %), on return if lent; None: never
    dispose_batch_size   the most connections closed for their age in one acquire or release
    acquire_timeout      seconds ``acquire`` waits if not told otherwise; None: for ever
    budget               shared with other pools: their limit holds for all together, also where ``block`` is False
    clock                returns seconds; only differences count
    trace                hears connection_waited, _opened, _reused, _returned, _closed
    on_full              called with a connection that is about to be closed because ``maxsize`` others lie idle
    ==================== ==============================================================================
    """

    __slots__ = (
        "__weakref__",
        "_acquire_timeout",
        "_ages",
        "_budget",
        "_ceremony",
        "_clock",
        "_closing",
        "_connect_errors",
        "_dispose_batch_size",
        "_doomed",
        "_dropped",
        "_excess",
        "_generation",
        "_idle",
        "_idle_timeout",
        "_leased",
        "_line",
        "_lock",
        "_max_lifetime",
        "_maxsize",
        "_me",
        "_most_leased",
        "_on_acquire",
        "_on_full",
        "_on_release",
        "_opened",
        "_opening",
        "_returned",
        "_reused",
        "_state",
        "_timeouts",
        "_usable",
        "_wait_s",
        "_waited",
        "_watchers",
        "block",
        "endpoint",
        "factory",
        "trace",
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
        dispose_batch_size: int = DISPOSE_BATCH_SIZE,
        acquire_timeout: float | None = None,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.monotonic,
        trace: Trace | None = None,
        on_full: Callable[[Connection], object] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.factory = factory
        self.block = block
        self.trace = trace
        self._maxsize = _limit(maxsize)
        self._idle_timeout = inf if idle_timeout is None else idle_timeout
        self._max_lifetime = inf if max_lifetime is None else max_lifetime
        self._ages = idle_timeout is not None or max_lifetime is not None
        self._dispose_batch_size = dispose_batch_size
        self._acquire_timeout = acquire_timeout
        self._budget = Budget(shared=False) if budget is None else budget
        self._lock = self._budget.lock
        self._clock = clock
        self._usable = factory.usable
        self._on_acquire: Callable[[Connection], object] | None = getattr(factory, "on_acquire", None)
        self._on_release: Callable[[Connection], object] | None = getattr(factory, "on_release", None)
        self._on_full = on_full
        self._ceremony = self._on_acquire is not None or trace is not None
        self._me = ref(self)
        self._state = State.OPEN
        self._excess = False  # resize() made the limit smaller than what exists
        self._generation = 0  # drain() calls so far
        self._idle: deque[Entry[Connection]] = deque()  # the newest on the right
        self._leased: dict[int, Entry[Connection]] = {}  # the single truth about what is lent
        self._opening = 0
        self._closing = 0  # those in _doomed, and those whose close() is running
        self._doomed: list[Entry[Connection]] = []  # to be closed as soon as the lock is free
        self._line: OrderedDict[Claim, None] = OrderedDict()  # the oldest first
        self._watchers: list[Claim] = []  # threads in drain() and close()
        self._dropped: dict[str, int] = {}
        self._most_leased = self._opened = self._reused = self._returned = 0
        self._waited = self._timeouts = self._connect_errors = 0
        self._wait_s = 0.0

    # -- borrowing ---------------------------------------------------------------------------------------------

    def acquire(self, timeout: float | None = None) -> Connection:
        """A connection that is open, fresh and quiet; the caller owes one release, discard or detach.

        The newest idle connection, else a new one, else (``block``, or a shared budget that is spent) the first that
        becomes free for this place in the line.  ``timeout`` in seconds covers waiting, and what is left of it is
        passed to the factory's ``connect``; None: ``acquire_timeout``.  Raises EmptyPoolError with the pool's
        numbers, ClosedPoolError, or what ``connect`` or ``on_acquire`` raised.
        """
        budget = self._budget
        if budget.held():
            raise RuntimeError(f"acquire from inside {self}: by a finaliser or signal handler that interrupted it")
        entry: Entry[Connection] | None = None
        now = self._clock()
        try:
            with self._lock:
                if self._idle:  # nobody in line can use it: see _serve_locked
                    entry = self._idle[-1]
                    self._leased[entry.key] = entry
                    del self._idle[-1]
                    if budget.order is not None:
                        del budget.order[entry.key]
                    entry.reuses += 1
                    self._reused += 1
                    if len(self._leased) > self._most_leased:
                        self._most_leased = len(self._leased)
            if entry is None or not self._is_fit(entry, now):
                entry = self._find(entry, timeout, now)
            if self._ceremony:
                self._hand_out(entry)
        except BaseException:
            self._rescue(entry)
            raise
        if budget.late or self._doomed or now >= budget.trim_at:
            self._tidy(now)
        return entry.connection

    def release(self, connection: Connection, *, idle_limit: float | None = None) -> None:
        """Give a clean connection back; it is lent again, or closed if it is too old or there is no room.

        ``idle_limit``: seconds after which the peer will close it (``Keep-Alive: timeout=``); None: not announced.
        Safe in finalisers.  Raises FullPoolError for a second return, ValueError for what was not lent here.
        """
        budget = self._budget
        if budget.held():
            budget.late.append(partial(self.release, connection, idle_limit=idle_limit))
            return
        if self._on_release is not None and not self._reset(connection):
            return
        now = self._clock()
        kept = False
        with self._lock:
            entry = self._leased.get(id(connection))
            if entry is not None:
                entry.idle_since = now
                entry.stale_at = entry.ends_at
                if idle_limit is not None or self._ages:
                    self._note_age_locked(entry, idle_limit)
                kept = self._take_back_locked(entry, now)
        if entry is None:
            self._complain(connection)
        if kept and self.trace is not None:
            tell(self.trace, "connection_returned", self.endpoint, connection)
        if budget.late or self._doomed or now >= budget.trim_at:
            self._tidy(now)

    def discard(self, connection: Connection, reason: str = "discarded") -> None:
        """Close a connection that must not be used again; its slot is free once it is closed.

        ``reason`` is one short phrase; it is counted in the stats and told to the listener.  Safe in finalisers.
        Raises FullPoolError for a connection that lies idle already, ValueError for what was not lent here.
        """
        budget = self._budget
        if budget.held():
            budget.late.append(partial(self.discard, connection, reason))
            return
        try:
            with self._lock:
                entry = self._leased.get(id(connection))
                if entry is not None:
                    self._doom_leased_locked(entry, reason)
        finally:
            self._tidy(-inf)
        if entry is None:
            self._complain(connection)

    def detach(self, connection: Connection) -> Connection:
        """The connection itself, now the caller's own: the pool forgets it without closing it.

        For sockets that changed hands (101, CONNECT).  Raises ValueError for what was not lent here.
        """
        with self._lock:
            entry = self._leased.get(id(connection))
            if entry is not None:
                self._count_drop_locked("detached")
                del self._leased[entry.key]
                self._free_slot_locked()
        if entry is None:
            self._complain(connection)
        self._tidy(-inf)
        return connection

    # -- the pool as a whole -----------------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> bool:
        """True once all connections are closed: idle ones now, lent ones when they come back.

        Nothing is lent from now on; everybody in line gets ClosedPoolError at once.  Waits up to ``timeout``
        seconds for what is lent; None: does not wait.  Calling it again is fine.
        """
        with self._lock:
            if self._state is State.OPEN:
                self._state = State.CLOSING
            while self._line:
                self._send_away_locked(next(iter(self._line)))
        self.drop_idle(POOL_CLOSED)
        return self._wait_until(self._is_over_locked, 0.0 if timeout is None else timeout)

    def drain(self, timeout: float | None = None) -> bool:
        """True once every connection that exists now is closed: idle ones now, lent ones when they come back.

        The pool stays open and opens new ones meanwhile.  ``timeout``: seconds to wait; None: as long as it takes.
        """
        with self._lock:
            self._generation += 1
        self.drop_idle("drained")
        return self._wait_until(self._is_drained_locked, timeout)

    def drop_idle(self, reason: str = "refreshed") -> int:
        """How many idle connections were closed: all there were."""
        with self._lock:
            count = len(self._idle)
            while self._idle:
                self._doom_idle_locked(self._idle[0], reason)
            self._settle_locked()
        self._tidy(-inf)
        return count

    def resize(self, maxsize: int | None) -> None:
        """Change the limit.  Smaller: the longest idle are closed now, lent ones on return, until it holds."""
        limit = _limit(maxsize)
        with self._lock:
            self._maxsize = limit
            while self._idle and self._alive_locked() > limit:
                self._doom_idle_locked(self._idle[0], "resized")
            self._excess = self.block and self._total_locked() > limit
            self._serve_locked()
        self._tidy(-inf)

    # -- looking -----------------------------------------------------------------------------------------------

    @property
    def maxsize(self) -> int | None:
        """The limit; None: no limit of its own."""
        return None if self._maxsize == sys.maxsize else self._maxsize

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

    def idle_connections(self) -> list[Connection]:
        """The connections that lie idle, the longest idle first; a copy."""
        with self._lock:
            return [entry.connection for entry in self._idle]

    def stats(self) -> PoolStats:
        """All figures of one moment; PoolStats explains each."""
        with self._lock:
            dropped = dict(self._dropped)
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
            )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.endpoint!r} {self._state.value}: {len(self._idle)} idle,"
            f" {len(self._leased)} leased, {self._opening} opening, {len(self._line)} waiting,"
            f" maxsize {self.maxsize}>"
        )

    def check(self) -> None:
        """Assert everything that must hold between any two calls; for tests."""
        with self._lock:
            keys = {entry.key for entry in self._idle}
            assert len(keys) == len(self._idle), "a connection lies idle twice"
            assert keys.isdisjoint(self._leased), "a connection is idle and lent at once"
            assert self._opening >= 0, "more openings ended than began"
            assert self._closing >= len(self._doomed), "a connection to be closed is not counted"
            total = self._total_locked()
            assert self._excess or not self.block or total <= self._maxsize, f"{total} of {self._maxsize}"
            assert len(self._idle) <= self._maxsize, "more idle than maxsize"
            assert self._state is State.OPEN or not (self._idle or self._line), "closed, but not empty"
            assert not (self._idle and self._line), "a connection lies idle while a thread waits for it"
            self._budget.check_locked()

    # -- finding a connection ----------------------------------------------------------------------------------

    def _find(self, unfit: Entry[Connection] | None, timeout: float | None, now: float) -> Entry[Connection]:
        """A fit entry, leased: the long way of acquire.  ``unfit`` is leased already and gets replaced."""
        timeout_s = self._acquire_timeout if timeout is None else timeout
        claim = Claim(self, now)
        try:
            if unfit is None:
                self._stake(claim, timeout_s)
            else:
                claim.grant = unfit
                self._replace(claim)
            while isinstance(claim.grant, Entry):
                if self._is_fit(claim.grant, self._clock()):
                    return claim.grant
                self._replace(claim)
            return self._open(claim, timeout_s)
        except BaseException:
            self._withdraw(claim)
            raise

    def _stake(self, claim: Claim, timeout_s: float | None) -> None:
        """Put a grant into the claim, after standing in line for it if need be."""
        with self._lock:
            self._refuse_unless_open_locked(0.0)
            if not self._grant_locked(claim):
                claim.lie_down()
                self._line[claim] = None
                if self._budget.is_limited:
                    self._budget.line[claim] = None
        if claim.grant is None:
            self._await(claim, timeout_s)

    def _await(self, claim: Claim, timeout_s: float | None) -> None:
        """Sleep in line until the claim holds a grant.  EmptyPoolError in time, ClosedPoolError at once."""
        claim.sleep(timeout_s)
        waited_s = self._clock() - claim.since
        with self._lock:
            self._waited += 1
            self._wait_s += waited_s
            if claim.grant is None:
                self._refuse_unless_open_locked(waited_s)
                self._timeouts += 1
                raise self._empty_locked(waited_s)
        if self.trace is not None:
            tell(self.trace, "connection_waited", self.endpoint, waited_s)

    def _is_fit(self, entry: Entry[Connection], now: float) -> bool:
        """Whether an entry may be lent: young enough, and the factory finds it usable.  No lock is held."""
        if now >= entry.stale_at or now - entry.idle_since >= self._idle_timeout:
            return False
        try:
            return self._usable(entry.connection)
        except Exception:
            log.debug("checking %r failed", entry.connection, exc_info=True)
            return False

    def _age_of(self, entry: Entry[Connection], now: float) -> str | None:
        """Why an idle entry is too old, or None."""
        if now >= entry.ends_at:
            return MAX_LIFETIME
        if now >= entry.stale_at:
            return PEER_LIMIT
        return IDLE_TIMEOUT if now - entry.idle_since >= self._idle_timeout else None

    def _replace(self, claim: Claim) -> None:
        """Close the unfit entry in the claim, and put another idle one or a permit in its place."""
        entry = claim.grant
        assert isinstance(entry, Entry)
        entry.reason = self._age_of(entry, self._clock()) or "dead"
        self._close_connection(entry)
        permit = Permit()
        with self._lock:
            self._reused -= 1
            self._count_drop_locked(entry.reason)
            self._opening += 1  # the entry's slot becomes the permit's
            claim.grant = permit
            del self._leased[entry.key]
            if self._idle:
                self._grant_locked(claim)
                self._give_up_locked(permit)

    def _open(self, claim: Claim, timeout_s: float | None) -> Entry[Connection]:
        """A new entry, leased, in place of the claim's permit."""
        permit = claim.grant
        assert isinstance(permit, Permit)
        self._close_victim(permit)
        with self._lock:
            self._refuse_unless_open_locked(0.0)
        left_s = None if timeout_s is None else max(0.0, timeout_s - (self._clock() - claim.since))
        entry = self._connect(left_s)
        try:
            with self._lock:
                self._leased[entry.key] = entry
                claim.grant = entry
                permit.pending = False
                self._opening -= 1
                self._opened += 1
                self._most_leased = max(self._most_leased, len(self._leased))
                self._refuse_unless_open_locked(0.0)
        except BaseException:
            if claim.grant is permit:
                self._close_connection(entry)
            raise
        if self.trace is not None:
            tell(self.trace, "connection_opened", self.endpoint, entry.connection)
        return entry

    def _connect(self, timeout_s: float | None) -> Entry[Connection]:
        """A new connection's entry, in no table yet."""
        generation = self._generation
        try:
            connection = self.factory.connect(self.endpoint, timeout_s)
        except Exception:
            with self._lock:
                self._connect_errors += 1
            raise
        lifetime_s = self._max_lifetime * (1.0 - LIFETIME_JITTER * random.random())
        entry = Entry(connection, self._me, self._clock(), lifetime_s)
        entry.generation = generation
        return entry

    def _hand_out(self, entry: Entry[Connection]) -> None:
        """What hooks and listeners get to see of a lending."""
        if self._on_acquire is not None:
            try:
                self._on_acquire(entry.connection)
            except BaseException:
                self.discard(entry.connection, "on_acquire failed")
                raise
        if self.trace is not None and entry.reuses:
            tell(self.trace, "connection_reused", self.endpoint, entry.connection)

    def _rescue(self, entry: Entry[Connection] | None) -> None:
        """An acquire was interrupted: its connection, if it still has one, is closed."""
        if entry is not None and self._leased.get(entry.key) is entry:
            self.discard(entry.connection, "interrupted")

    def _withdraw(self, claim: Claim) -> None:
        """Give back what an abandoned claim holds: the next in line gets it."""
        with self._lock:
            self._leave_line_locked(claim)
            grant = claim.grant
            if isinstance(grant, Permit):
                self._give_up_locked(grant)
            elif grant is not None and self._leased.get(grant.key) is grant:
                if grant.reason:
                    self._doom_leased_locked(grant, grant.reason)
                else:
                    self._take_back_locked(grant, self._clock())
        if isinstance(grant, Permit):
            self._close_victim(grant)
        self._tidy(-inf)

    # -- decisions under the lock ------------------------------------------------------------------------------

    def _alive_locked(self) -> int:
        return len(self._leased) + len(self._idle) + self._opening

    def _total_locked(self) -> int:
        """Everything that counts against the limits."""
        return len(self._leased) + len(self._idle) + self._opening + self._closing

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
        if self.block and self._total_locked() >= self._maxsize:
            return False
        permit = Permit()
        if not budget.is_spent:
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
            home: EndpointPool[Any, Any] | None = entry.home()
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
        unservable: set[EndpointPool[Any, Any]] = set()
        for claim in budget.line:
            pool: EndpointPool[Any, Any] = claim.pool
            if pool not in unservable:
                if pool._serve_claim_locked(claim):
                    return True
                unservable.add(pool)
        return False

    def _serve_claim_locked(self, claim: Claim) -> bool:
        """Whether this claim in line was granted something; its thread is awake then."""
        if not self._grant_locked(claim):
            return False
        self._send_away_locked(claim)
        return True

    def _send_away_locked(self, claim: Claim) -> None:
        """Take a sleeping claim out of the line and wake it, with what it holds."""
        del self._line[claim]
        if self._budget.is_limited:
            del self._budget.line[claim]
        claim.bed.release()

    def _leave_line_locked(self, claim: Claim) -> None:
        self._line.pop(claim, None)
        self._budget.line.pop(claim, None)

    def _lay_down_locked(self, entry: Entry[Connection]) -> None:
        """Lend the connection to the first in line, or lay it among the idle as the newest."""
        self._idle.append(entry)
        if self._budget.order is not None:
            self._budget.order[entry.key] = entry
        if self._line or self._budget.line:
            self._serve_locked()

    def _take_back_locked(self, entry: Entry[Connection], now: float) -> bool:
        """Whether a returned connection is kept; else it is to be closed."""
        if self._state is not State.OPEN:
            reason = POOL_CLOSED
        elif now >= entry.ends_at:
            reason = MAX_LIFETIME
        elif entry.generation != self._generation:
            reason = "drained"
        elif self._excess:
            reason = "resized"
        elif len(self._idle) >= self._maxsize:
            reason = POOL_FULL
        else:
            del self._leased[entry.key]
            self._lay_down_locked(entry)
            self._returned += 1
            return True
        self._doom_leased_locked(entry, reason)
        return False

    def _doom_leased_locked(self, entry: Entry[Connection], reason: str) -> None:
        """Have a lent connection closed; until that is done it counts as closing."""
        self._count_drop_locked(reason)
        entry.reason = reason
        del self._leased[entry.key]
        self._closing += 1
        self._doomed.append(entry)

    def _doom_idle_locked(self, entry: Entry[Connection], reason: str) -> None:
        """Have an idle connection closed; until that is done it counts as closing."""
        self._count_drop_locked(reason)
        entry.reason = reason
        order = self._budget.order
        if order is not None:
            del order[entry.key]
        if self._idle[0] is entry:
            del self._idle[0]
        else:
            self._idle.remove(entry)
        self._closing += 1
        self._doomed.append(entry)

    def _give_up_locked(self, permit: Permit) -> None:
        """A permit that is not used: its slot is free for the next."""
        if permit.pending:
            permit.pending = False
            self._opening -= 1
            self._free_slot_locked()

    def _free_slot_locked(self) -> None:
        """One connection less, of this pool and of the budget."""
        self._budget.used -= 1
        self._settle_locked()
        self._serve_locked()

    def _settle_locked(self) -> None:
        """Notice what became true with a connection's end, and wake who waits for that."""
        if self._excess and self._total_locked() <= self._maxsize:
            self._excess = False
        if self._state is State.CLOSING and self._total_locked() == 0:
            self._state = State.CLOSED
        while self._watchers:
            self._watchers.pop().bed.release()

    def _count_drop_locked(self, reason: str) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def _note_age_locked(self, entry: Entry[Connection], idle_limit: float | None) -> None:
        """Write down until when a connection that goes idle now may be lent."""
        if idle_limit is not None:
            entry.stale_at = min(entry.ends_at, entry.idle_since + idle_limit)
        until = self._lendable_until(entry)
        if until < self._budget.trim_at:
            self._budget.trim_at = until

    def _lendable_until(self, entry: Entry[Connection]) -> float:
        return min(entry.stale_at, entry.idle_since + self._idle_timeout)

    def _trim_locked(self, now: float) -> set[EndpointPool[Any, Any]]:
        """Doom the longest idle that are too old, a batch at most; the pools that have to close some."""
        budget = self._budget
        oldest: Any = self._idle if budget.order is None else budget.order.values()
        due: list[tuple[EndpointPool[Any, Any], Entry[Any], str]] = []
        budget.trim_at = inf
        for entry in islice(oldest, self._dispose_batch_size + 1):
            home: EndpointPool[Any, Any] | None = entry.home()
            if home is None:
                continue
            age = home._age_of(entry, now)
            if age is None or len(due) == self._dispose_batch_size:
                budget.trim_at = home._lendable_until(entry)
                break
            due.append((home, entry, age))
        for home, entry, age in due:
            home._doom_idle_locked(entry, age)
        return {home for home, _, _ in due}

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

    # -- doing, with no lock held ------------------------------------------------------------------------------

    def _tidy(self, now: float) -> None:
        """Close what is to be closed, trim what became too old by ``now``, carry out late returns."""
        budget = self._budget
        pools: set[EndpointPool[Any, Any]] = {self}
        if now >= budget.trim_at:
            with self._lock:
                pools |= self._trim_locked(now)
        for pool in pools:
            while pool._close_one_doomed():
                pass
        budget.carry_out_late()

    def _close_one_doomed(self) -> bool:
        """Whether there was a doomed connection; it is closed, and its slot is free."""
        entry: Entry[Connection] | None = None
        try:
            with self._lock:
                if self._doomed:
                    entry = self._doomed[-1]
                    del self._doomed[-1]
            if entry is not None:
                self._close_connection(entry)
        finally:
            if entry is not None:
                with self._lock:
                    self._closing -= 1
                    self._free_slot_locked()
        return entry is not None

    def _close_victim(self, permit: Permit) -> None:
        """Close the connection that made room for a permit, so that its peer is free before a new one is asked."""
        entry, permit.victim = permit.victim, None
        if entry is not None:
            home: EndpointPool[Any, Any] | None = entry.home()
            (home or self)._close_connection(entry)

    def _close_connection(self, entry: Entry[Connection]) -> None:
        """Close it, and tell; nobody else has it any more.  Errors are logged."""
        reason = entry.reason or "interrupted"
        try:
            if self._on_full is not None and reason == POOL_FULL:
                self._on_full(entry.connection)
        except Exception:
            log.exception("on_full failed for %r", entry.connection)
        try:
            self.factory.close(entry.connection)
        except Exception:
            log.warning("closing %r failed", entry.connection, exc_info=True)
        if self.trace is not None:
            tell(self.trace, "connection_closed", self.endpoint, entry.connection, reason)

    def _reset(self, connection: Connection) -> bool:
        """Whether on_release found nothing wrong; else the connection is discarded."""
        if id(connection) not in self._leased:
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

    def _complain(self, connection: Connection) -> None:
        """Raise what fits a connection that came back but was not lent."""
        with self._lock:
            lies_idle = any(entry.connection is connection for entry in self._idle)
            numbers = self._numbers_locked(None)
        if lies_idle:
            raise FullPoolError(self, f"{connection!r} was returned twice", **numbers)
        raise ValueError(f"{connection!r} is not lent by {self!r}")

    def _wait_until(self, is_true_locked: Callable[[], bool], timeout_s: float | None) -> bool:
        """Whether something became true within ``timeout_s`` seconds; None: wait as long as it takes."""
        give_up_at = None if timeout_s is None else self._clock() + timeout_s
        left_s = timeout_s
        while True:
            claim = Claim(self, 0.0)
            claim.lie_down()
            with self._lock:
                if is_true_locked():
                    return True
                if left_s is not None and left_s <= 0:
                    return False
                self._watchers.append(claim)
            if not claim.sleep(left_s):
                left_s = 0.0
            elif give_up_at is not None:
                left_s = give_up_at - self._clock()

    def _is_over_locked(self) -> bool:
        return self._state is State.CLOSED

    def _is_drained_locked(self) -> bool:
        return not self._closing and all(e.generation == self._generation for e in self._leased.values())


def _limit(maxsize: int | None) -> int:
    """``maxsize`` as a number to compare with."""
    if maxsize is None:
        return sys.maxsize
    if maxsize < 1:
        raise ValueError(f"maxsize must be at least 1 or None, not {maxsize}")
    return maxsize
