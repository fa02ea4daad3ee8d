"""Finding: the long way to a connection, where none lies idle that is fit: replace, open, or wait in line.

``endpoint_pool`` comes here when the newest idle connection will not do; what is granted to whom is decided in ``state``.
All that an acquire has got so far stands in its ``Claim``; whoever is interrupted gives back what is in there.
Standing in line with a time-out, and giving up late, follow psycopg_pool's WaitingClient.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ..base.exact_values import seconds
from ..base.trace import tell
from . import housekeeper
from .entry import Entry
from .lifecycle import LONGEST_PAUSE_S, WARM_LONGEST_PAUSE_S, WARM_PAUSE_S, Handling, stack_of_borrower
from .state import IDLE_TIMEOUT, Connection, Endpoint, State
from .waiter import Claim, Permit, lined_up


class Finding(Handling[Endpoint, Connection]):
    """A pool's ways to find a connection for who asks, and to open one ahead of demand."""

    __slots__ = ("_is_watched", "_on_acquire")

    _is_watched: bool
    _on_acquire: Callable[[Connection], object] | None

    def ask_collector(self) -> None:
        """Be swept from now on, if the settings want it."""
        is_wanted = self._settings.wants_collector and self._state is State.OPEN
        if is_wanted and not (self._is_watched and housekeeper.is_running()):
            self._is_watched = housekeeper.watch(self)

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
        with self._budget, self._lock:
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
            with self._budget, self._lock:
                self._refuse_unless_open_locked(0.0)
        left_s = None if timeout_s is None else max(0.0, timeout_s - (self._clock() - claim.since))
        entry = self._connect(left_s)
        try:
            with self._lock:
                self._lease_new_locked(claim, permit, entry)
                if len(self._leased) > self._most_leased:
                    self._most_leased = len(self._leased)
                self._refuse_unless_open_locked(0.0)
        except BaseException:
            if claim.grant is permit:
                self._close_unless_here(entry)
            raise
        if self.trace is not None:
            tell(self.trace, "connection_opened", self.endpoint, entry.connection)
        return entry

    def _lend_this(self, claim: Claim, connection: Connection) -> None:
        """Put the entry of a connection into the claim, leased, if it still lies idle."""
        with self._budget, self._lock:
            for place, entry in enumerate(self._idle):
                if entry.connection is connection:
                    self._leased[entry.key] = entry
                    claim.grant = entry
                    if self._budget.order is not None:
                        del self._budget.order[entry.key]
                    del self._idle[place]
                    entry.reuses += 1
                    claim.lease = entry.reuses
                    return

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
                self._end_lease(entry, "on_acquire failed")
                raise
        if self.trace is not None and entry.reuses:
            tell(self.trace, "connection_reused", self.endpoint, entry.connection)

    def _rescue(self, claim: Claim | None, entry: Entry[Connection] | None) -> None:
        """An acquire failed or was interrupted: what it got so far is given back, or closed if it was in use."""
        if claim is not None:
            self._withdraw(claim)
        is_held = claim is None or claim.grant is None  # else what is in the claim has taken the entry's place
        if is_held and entry is not None:
            self._end_lease(entry, "interrupted")

    def _end_lease(self, entry: Entry[Connection], reason: str) -> None:
        """Close the connection of a failed acquire."""
        with self._budget, self._lock:
            if self._leased.get(entry.key) is entry:
                self._doom_leased_locked(entry, reason)
        self._tidy(-inf)

    def _withdraw(self, claim: Claim) -> None:
        """Give back what an abandoned claim holds: the next in line gets it."""
        with self._budget, self._lock:
            self._leave_line_locked(claim)
            grant = claim.grant
            if isinstance(grant, Permit):
                self._give_up_locked(grant)
            elif grant is not None and self._leased.get(grant.key) is grant and claim.lease in (None, grant.reuses):
                if grant.reason:
                    self._doom_leased_locked(grant, grant.reason)
                else:
                    self._note_age_locked(grant, None)
                    self._take_back_locked(grant, self._clock())
        if isinstance(grant, Permit):
            self._close_victim(grant)
        self._tidy(-inf)

    # -- ahead of demand ---------------------------------------------------------------------------------------

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

    def _open_ahead(self, now: float) -> float:
        """Open one connection if ``min_idle`` lacks one; when to do so again (``inf``: nothing lacks)."""
        if not self._settings.min_idle:
            return inf
        if now < self._warm_after:
            return self._warm_after
        claim = Claim(self, now)
        try:
            if not self._may_open_ahead(claim):
                return inf
            is_open = self._fill_ahead(claim)
            self._withdraw(claim)
        except BaseException:
            self._withdraw(claim)
            raise
        if not is_open:
            self._warm_after = now + self._warm_pause_s
            self._warm_pause_s = min(2 * self._warm_pause_s, WARM_LONGEST_PAUSE_S)
            return self._warm_after
        self._warm_pause_s = WARM_PAUSE_S
        return now

    def _may_open_ahead(self, claim: Claim) -> bool:
        """Whether the claim holds a permit now."""
        permit = Permit(is_ahead=True)
        with self._budget, self._lock:
            if not self._lacks_idle_locked():
                return False
            claim.grant = permit
            self._budget.used += 1
            self._opening += 1
            self._warming += 1
        return True

    def _fill_ahead(self, claim: Claim) -> bool:
        """Whether a new connection has taken the place of the claim's permit; ``_withdraw`` lays it down."""
        permit, entry = claim.grant, None
        assert isinstance(permit, Permit)
        try:
            entry = self._connect_warm()
            if entry is None:
                return False
            with self._lock:
                self._lease_new_locked(claim, permit, entry)
        except BaseException:
            if entry is not None and claim.grant is permit:
                self._close_unless_here(entry)
            raise
        return True
