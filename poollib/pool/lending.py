"""EndpointPool: lends the connections to one endpoint, of any kind, and takes them back.

A factory makes, checks and closes connections; borrowers get one from ``acquire`` and end with exactly one of
``release`` (clean), ``discard`` (not to be used again) and ``detach`` (it is theirs now).
What a connection speaks is unknown here: the room could lend integers.  What is decided under the lock stands in
``ledger``, what is done to connections without it in ``handling``; this room makes the verbs of these.
The models are psycopg_pool (hand-over, what is told), HikariCP (the entry beside the connection) and Go's net/http.

A return that arrives in a thread which holds the lock already (a finaliser the garbage collector runs) is put aside
and carried out when the lock is free.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any

from poollib.exceptions import FullPoolError
from poollib.pool import collector, forks
from poollib.pool.budget import Budget
from poollib.pool.entry import Entry
from poollib.pool.handling import LONGEST_PAUSE_S, Factory, Handling, bury, stack_of_borrower
from poollib.pool.ledger import IDLE_TIMEOUT, POOL_CLOSED, Connection, Endpoint, State
from poollib.pool.settings import DISPOSE_BATCH_SIZE, Settings, check_limit
from poollib.pool.waiters import Claim, Permit, lined_up
from poollib.trace import Trace, tell
from poollib.values import seconds

from ..logs import logger

log = logger(__name__)


class EndpointPool(Handling[Endpoint, Connection]):
    """Lends connections to ``endpoint`` made by ``factory``.  Thread-safe.

    ``maxsize`` to ``leak_timeout`` are explained in the table of ``Settings``.  ``budget`` is shared with other pools:
    its limit holds for all together, also where ``block`` is False.  ``clock`` returns seconds, of which only
    differences count.  ``trace`` hears connection_waited, _opened, _reused, _returned and _closed.  ``on_full`` is
    called with a connection that will be closed because ``maxsize`` others lie idle.

    It pickles as endpoint, factory and settings.  In a forked child it starts empty.
    """

    __slots__ = (
        "_ceremony",
        "_inherited",
        "_is_watched",
        "_on_acquire",
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
        budget: Budget | None = None,
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
        )
        super().__init__(endpoint, factory, settings, budget, clock)
        self.trace = trace
        self._on_acquire: Callable[[Connection], object] | None = getattr(factory, "on_acquire", None)
        self._on_release: Callable[[Connection], object] | None = getattr(factory, "on_release", None)
        self._on_full = on_full
        is_told = trace is not None or leak_timeout is not None
        self._ceremony = self._on_acquire is not None or is_told or self._settings.min_idle > 0
        self._inherited: dict[int, Entry[Connection]] | None = None  # what a forked child must not use
        self._is_watched = False
        self._me = forks.remember(self)
        if not self._budget.held():  # else who holds the lock asks when it is free
            self.ask_collector()

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
        claim: Claim | None = None
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
                claim = Claim(self, now)
                entry = self._find(claim, entry, timeout)
            if self._ceremony:
                self._hand_out(entry)
            if budget.late or self._doomed or now >= budget.trim_at:
                self._tidy(now)
            return entry.connection
        except BaseException:
            self._rescue(claim, entry)
            raise

    def release(self, connection: Connection, *, idle_limit: float | None = None) -> None:
        """Give a clean connection back; it is lent again, or closed if it is too old or there is no room.

        ``idle_limit``: seconds after which the peer will close it (``Keep-Alive: timeout=``); None: not announced.
        Safe in finalisers.  Raises FullPoolError for a second return, ValueError for what was not lent here.
        """
        budget = self._budget
        if budget.held():
            budget.put_off(partial(self.release, connection, idle_limit=idle_limit))
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
                entry.leased_at = inf
                if idle_limit is not None or self._ages:
                    self._note_age_locked(entry, idle_limit)
                kept = self._take_back_locked(entry, now)
                self._returned += kept
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
            budget.put_off(partial(self.discard, connection, reason))
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

    def reclaim(self, connection: Connection, lease: int | None) -> None:
        """Close a connection whose borrower was interrupted, unless it was given back: it may be lent to another now.

        ``lease``: the ``reuses`` of its entry when it was lent; None: no attempt was made to give it back.
        """
        with self._budget, self._lock:
            entry = self._leased.get(id(connection))
            if entry is not None and lease in (None, entry.reuses):
                self._doom_leased_locked(entry, "interrupted")
            self._serve_locked()  # what came free when it was interrupted
        self._tidy(-inf)

    def detach(self, connection: Connection) -> Connection:
        """The connection itself, now the caller's own: the pool forgets it without closing it.

        For sockets that changed hands (101, CONNECT).  Raises ValueError for what was not lent here.
        """
        with self._budget, self._lock:
            entry = self._leased.get(id(connection))
            if entry is not None:
                self._count_drop_locked("detached")
                del self._leased[entry.key]
                self._budget.used -= 1
                self._slot_freed_locked()
        if entry is None:
            self._complain(connection)
        self._tidy(-inf)
        return connection

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Connection]:
        """A connection for the length of a ``with`` block: released at its end, discarded if the block raised."""
        connection = self.acquire(timeout)
        try:
            yield connection
        except BaseException as error:
            if id(connection) in self._leased:
                self.discard(connection, type(error).__name__)
            raise
        if id(connection) in self._leased:  # else the block detached or discarded it
            self.release(connection)

    def adopt(self, connection: Connection) -> None:
        """Take in a connection made elsewhere, as the newest idle one.

        FullPoolError if there is no room for it, ClosedPoolError, ValueError if it is here already.
        """
        entry = self._entry_for(connection, self._generation)
        with self._budget, self._lock:
            self._refuse_unless_open_locked(0.0)
            if entry.key in self._leased or any(idle.connection is connection for idle in self._idle):
                raise ValueError(f"{connection!r} belongs to {self!r} already")
            if self._budget.is_spent or self._total_locked() >= self._maxsize:
                raise FullPoolError(self, f"there is no room for {connection!r}", **self._numbers_locked(None))
            self._budget.used += 1
            self._leased[entry.key] = entry
            self._note_age_locked(entry, None)
            self._take_back_locked(entry, entry.idle_since)

    # -- the pool as a whole -----------------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> bool:
        """True once all connections are closed: idle ones now, lent ones when they come back.

        Nothing is lent from now on; everybody in line gets ClosedPoolError at once.  Waits up to ``timeout``
        seconds for what is lent; None: does not wait.  Calling it again is fine.
        """
        with self._budget, self._lock:
            if self._state is State.OPEN:
                self._state = State.CLOSING
            while self._line:
                self._send_away_locked(next(iter(self._line)))
        self.drop_idle(POOL_CLOSED)
        if self._is_watched:
            collector.hasten(self._me, 0.0)  # so that it lets go of the pool
        return self.wait_closed(0.0 if timeout is None else timeout)

    def drain(self, timeout: float | None = None) -> bool:
        """True once every connection that exists now is closed: idle ones now, lent ones when they come back.

        The pool stays open and opens new ones meanwhile.  ``timeout``: seconds to wait; None: as long as it takes.
        """
        with self._budget, self._lock:
            self._generation += 1
        self.drop_idle("drained")
        return self.wait_drained(timeout)

    def wait_closed(self, timeout: float | None) -> bool:
        """Whether all connections of a closed pool are gone within ``timeout`` seconds; None: wait for it."""
        return self._wait_until(self._is_over_locked, timeout)

    def wait_drained(self, timeout: float | None) -> bool:
        """Whether all connections older than the last drain are gone in ``timeout`` seconds; None: wait for it."""
        return self._wait_until(self._is_drained_locked, timeout)

    def drop_idle(self, reason: str = "refreshed") -> int:
        """How many idle connections were closed: all there were."""
        with self._budget, self._lock:
            count = len(self._idle)
            while self._idle:
                self._doom_idle_locked(self._idle[0], reason)
            self._settle_locked()
        self._tidy(-inf)
        return count

    def drop_unusable(self, reason: str = "dead") -> int:
        """How many idle connections the factory no longer finds usable; they are closed.

        Each is lent to this call while it is looked at, one at a time, the longest idle first.
        """
        count = 0
        for connection in self.idle_connections():
            entry = self._lend_this(connection)
            if entry is None:
                continue
            is_fit = False
            try:
                is_fit = self._is_fit(entry, self._clock())
            finally:
                with self._budget, self._lock:
                    if is_fit:
                        self._take_back_locked(entry, self._clock())
                    else:
                        self._doom_leased_locked(entry, reason)
                count += not is_fit
                self._tidy(-inf)
        return count

    def resize(self, maxsize: int | None) -> None:
        """Change the limit.  Smaller: the longest idle are closed now, lent ones on return, until it holds."""
        maxsize = check_limit("maxsize", maxsize)
        limit = sys.maxsize if maxsize is None else maxsize
        with self._budget, self._lock:
            self._maxsize = limit
            while self._idle and self._alive_locked() > limit:
                self._doom_idle_locked(self._idle[0], "resized")
            self._excess = self.block and self._total_locked() > limit
            self._serve_locked()
        self._tidy(-inf)

    def look_again(self) -> None:
        """After the budget was changed from outside: serve who can be served, close what is to be closed."""
        with self._budget, self._lock:
            self._serve_locked()
        self._tidy(-inf)

    def ask_collector(self) -> None:
        """Be swept from now on, if the settings want it."""
        is_wanted = self._settings.wants_collector and self._state is State.OPEN
        if is_wanted and not (self._is_watched and collector.is_running()):
            self._is_watched = collector.watch(self)

    def sweep(self, now: float) -> float | None:
        """Close all that is too old, tell of leaks, open what ``min_idle`` lacks; seconds until the next call.

        None: never again, the pool is closed.  The collector calls this; without one, anybody may.  One connection at
        most is opened in one call, within WARM_TIMEOUT_S, so that no pool keeps the others waiting.
        """
        with self._budget, self._lock:
            if self._state is not State.OPEN:
                self._is_watched = False
                return None
            self._look_at = inf
            next_at = self._cull_locked(now)
        self._tidy(-inf)
        next_at = min(next_at, self._tell_leaks(now), self._open_ahead(now))
        with self._budget, self._lock:
            self._look_at = min(self._look_at, next_at)
        return min(max(0.0, next_at - now), LONGEST_PAUSE_S)

    def start_afresh(self) -> None:
        """In a forked child: empty, with new locks; inherited connections are dropped without touching the peer."""
        if self._lock is self._budget.lock:  # the first of those that share it
            self._budget.reset()
        inherited = [*self._remains_locked(), *self._leased.values()]
        self._inherited = {**(self._inherited or {}), **self._leased}  # their borrowers may still return them
        if self._state is not State.OPEN:
            self._state = State.CLOSED
        self._is_watched = False
        self._clear()
        forget = getattr(self.factory, "forget", forks.forget)
        for entry in inherited:
            try:
                forget(entry.connection)
            except Exception:
                log.warning("forgetting %r failed", entry.connection, exc_info=True)
        start_afresh = getattr(self.factory, "start_afresh", None)
        if start_afresh is not None:
            start_afresh()

    def __reduce__(self) -> tuple[Any, ...]:
        settings = self._settings._replace(maxsize=self.maxsize)
        return _make, (type(self), self.endpoint, self.factory, settings._asdict())

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        """Close what nobody else can; at the exit, where even ``sys`` may be None here, leave it to the system."""
        if is_finalizing() or not hasattr(self, "_is_watched"):
            return
        budget = self._budget
        if budget.held():  # the garbage collector runs in the middle of another pool's decision
            budget.put_off(partial(bury, budget, self._remains_locked(), self._alive_locked(), self.factory))
            return
        with self._budget, self._lock:
            remains = self._remains_locked()
            count = self._total_locked()
            self._clear()
            bury(budget, remains, count, None)
        bury(budget, remains, 0, self.factory)

    # -- finding a connection ----------------------------------------------------------------------------------

    def _find(self, claim: Claim, unfit: Entry[Connection] | None, timeout: float | None) -> Entry[Connection]:
        """A fit entry, leased: the long way of acquire.  ``unfit`` is leased already and gets replaced.

        If this is interrupted, ``claim`` holds what is to be given back.
        """
        timeout_s = self._settings.acquire_timeout if timeout is None else seconds("a timeout", timeout)
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

    def _stake(self, claim: Claim, timeout_s: float | None) -> None:
        """Put a grant into the claim, after standing in line for it if need be."""
        if self._settings.wants_collector:
            self.ask_collector()
        with self._lock:  # acquire looks for late returns at its end
            self._refuse_unless_open_locked(0.0)
            if not self._grant_locked(claim):
                claim.lie_down()
                self._line = lined_up(self._line, claim)
                if self._budget.is_shared:
                    self._budget.line = lined_up(self._budget.line, claim)
        if claim.grant is None:
            self._await(claim, timeout_s)

    def _await(self, claim: Claim, timeout_s: float | None) -> None:
        """Sleep in line until the claim holds a grant.  EmptyPoolError in time, ClosedPoolError at once."""
        self._tell_leaks(claim.since)
        claim.sleep(timeout_s)
        if claim.grant is None:
            with self._budget, self._lock:
                if claim.grant is None:
                    waited_s = self._clock() - claim.since
                    self._wait_s += waited_s
                    self._waited += 1
                    self._refuse_unless_open_locked(waited_s)
                    self._timeouts += 1
                    raise self._empty_locked(waited_s)
        if self.trace is not None:
            tell(self.trace, "connection_waited", self.endpoint, self._clock() - claim.since)

    def _replace(self, claim: Claim) -> None:
        """Close the unfit entry in the claim, and put another idle one or a permit in its place.

        A permit, too, if the newest lay idle too long, for the others lay longer; and after a few misses, so that
        no caller pays for a crowd of dead connections.
        """
        entry = claim.grant
        assert isinstance(entry, Entry)
        entry.reason = self._age_of(entry, self._clock()) or "dead"
        self._close_connection(entry)
        permit = Permit()
        with self._budget, self._lock:
            self._reused -= 1
            self._count_drop_locked(entry.reason)
            self._opening += 1  # the entry's slot becomes the permit's
            claim.grant = permit
            del self._leased[entry.key]
            claim.misses += 1
            if self._idle and entry.reason != IDLE_TIMEOUT and claim.misses < self._settings.dispose_batch_size:
                newest = self._idle[-1]
                self._leased[newest.key] = newest
                claim.grant = newest
                if self._budget.order is not None:
                    del self._budget.order[newest.key]
                del self._idle[-1]
                newest.reuses += 1
                self._reused += 1
                permit.pending = False
                self._opening -= 1
                self._budget.used -= 1
                self._slot_freed_locked()

    def _open(self, claim: Claim, timeout_s: float | None) -> Entry[Connection]:
        """A new entry, leased, in place of the claim's permit."""
        permit = claim.grant
        assert isinstance(permit, Permit)
        if permit.victim is not None:
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
                if len(self._leased) > self._most_leased:
                    self._most_leased = len(self._leased)
                self._refuse_unless_open_locked(0.0)
        except BaseException:
            if claim.grant is permit:
                self._close_connection(entry)
            raise
        if self.trace is not None:
            tell(self.trace, "connection_opened", self.endpoint, entry.connection)
        return entry

    def _lend_this(self, connection: Connection) -> Entry[Connection] | None:
        """The entry of a connection, leased, if it still lies idle."""
        with self._budget, self._lock:
            for place, entry in enumerate(self._idle):
                if entry.connection is connection:
                    self._leased[entry.key] = entry
                    if self._budget.order is not None:
                        del self._budget.order[entry.key]
                    del self._idle[place]
                    entry.reuses += 1
                    return entry
        return None

    def _hand_out(self, entry: Entry[Connection]) -> None:
        """What only some pools do with every lending: hooks, listeners, leak reports, opening ahead."""
        if self._settings.leak_timeout is not None:
            entry.is_reported = False
            entry.taker = stack_of_borrower()
            entry.leased_at = self._clock()
        if len(self._idle) < self._settings.min_idle:
            with self._budget, self._lock:
                if self._look_at > entry.idle_since and self._lacks_idle_locked():
                    self._call_collector(0.0)
        if self._on_acquire is not None:
            try:
                self._on_acquire(entry.connection)
            except BaseException:
                self.discard(entry.connection, "on_acquire failed")
                raise
        if self.trace is not None and entry.reuses:
            tell(self.trace, "connection_reused", self.endpoint, entry.connection)

    def _rescue(self, claim: Claim | None, entry: Entry[Connection] | None) -> None:
        """An acquire failed or was interrupted: what it got so far is given back, or closed if it was in use."""
        if claim is not None:
            self._withdraw(claim)
        is_held = claim is None or claim.grant is None  # else what is in the claim has taken the entry's place
        if is_held and entry is not None and self._leased.get(entry.key) is entry:
            self.discard(entry.connection, "interrupted")

    def _withdraw(self, claim: Claim) -> None:
        """Give back what an abandoned claim holds: the next in line gets it."""
        with self._budget, self._lock:
            self._leave_line_locked(claim)
            grant = claim.grant
            if isinstance(grant, Permit):
                self._give_up_locked(grant)
            elif grant is not None and self._leased.get(grant.key) is grant:
                if grant.reason:
                    self._doom_leased_locked(grant, grant.reason)
                else:
                    self._note_age_locked(grant, None)
                    self._take_back_locked(grant, self._clock())
        if isinstance(grant, Permit):
            self._close_victim(grant)
        self._tidy(-inf)

    # -- with no lock held -------------------------------------------------------------------------------------

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
        """Raise what fits a connection that came back but was not lent; nothing for one inherited in a fork."""
        if self._inherited is not None and self._inherited.pop(id(connection), None) is not None:
            return
        with self._budget, self._lock:
            lies_idle = any(entry.connection is connection for entry in self._idle)
            numbers = self._numbers_locked(None)
        if lies_idle:
            raise FullPoolError(self, f"{connection!r} was returned twice", **numbers)
        raise ValueError(f"{connection!r} is not lent by {self!r}")


def _make(
    cls: type[EndpointPool[Any, Any]], endpoint: Any, factory: Any, settings: dict[str, Any]
) -> EndpointPool[Any, Any]:
    """What a pickled pool unpickles to: a new one with the same settings."""
    return cls(endpoint, factory, **settings)
