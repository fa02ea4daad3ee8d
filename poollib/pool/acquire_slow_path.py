"""The slow path of ``acquire``, where no idle connection is usable: replace one, open one, or wait for one.

``endpoint_pool`` comes here when the newest idle connection will not do; what is granted to whom is decided in
``state``. All that an acquire has got so far is in its ``Waiter``; whoever is interrupted gives back what is in
there. Waiting with a timeout, and giving up late, follow psycopg_pool's WaitingClient.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

from ..base.exact_values import seconds
from ..base.loggers import logger
from ..base.trace import notify
from ..exceptions import EmptyPoolError
from . import housekeeper
from .connection_lifecycle import (
    LONGEST_PAUSE_S,
    WARM_LONGEST_PAUSE_S,
    WARM_PAUSE_S,
    ConnectionLifecycle,
    stack_of_acquirer,
)
from .entry import IDLE_TIMEOUT, Entry, Permit
from .state import Connection, Endpoint, State
from .waiter import Waiter, enqueued

log = logger(__name__)

#: What ``connect`` gets at least, in seconds: to a socket 0 means not to block, which no connect survives.
SHORTEST_CONNECT_S = 0.001


class AcquireSlowPath(ConnectionLifecycle[Endpoint, Connection]):
    """A pool's way to a connection that is not at hand, and to one opened ahead of demand."""

    __slots__ = ("_is_watched", "_on_acquire")

    _is_watched: bool
    _on_acquire: Callable[[Connection], object] | None

    def start_housekeeping(self) -> None:
        """Be swept from now on, if the settings want it."""
        is_wanted = self.needs_housekeeper and self._state is State.OPEN
        if is_wanted and not (self._is_watched and housekeeper.is_running()):
            self._is_watched = housekeeper.watch(self)

    def _acquire_slow_path(
        self, waiter: Waiter[Connection], unusable: Entry[Connection] | None, timeout: float | None
    ) -> Entry[Connection]:
        """A usable entry, leased.  ``unusable``: one that is leased already and gets replaced.

        If this is interrupted, ``waiter`` holds what is to be given back.
        """
        timeout_s = self._settings.acquire_timeout if timeout is None else seconds("a timeout", timeout)
        if unusable is None:
            self._request_grant(waiter, timeout_s)
        else:
            waiter.grant = unusable
            waiter.lease = unusable.reuses
            self._replace_unusable(waiter, timeout_s)
        while isinstance(waiter.grant, Entry) and not self._is_usable(waiter.grant, self._clock()):
            self._replace_unusable(waiter, timeout_s)
        entry = waiter.grant if isinstance(waiter.grant, Entry) else self._open_connection(waiter, timeout_s)
        if self.meter is not None:
            entry.leased_at = self._clock()
            self.meter.acquired(entry.reuses, waiter.waited_s)
        return entry

    def _request_grant(self, waiter: Waiter[Connection], timeout_s: float | None) -> None:
        """Put a grant into the waiter, after waiting for it if need be."""
        if self.needs_housekeeper:
            self.start_housekeeping()
        with self._shared, self._lock:
            self._raise_unless_open_locked(0.0)
            is_granted = self._grant_locked(waiter)
            refusal = None if is_granted else self._refusal_locked()
            if not is_granted and refusal is None:
                waiter.prepare_to_wait()
                self._waiters = enqueued(self._waiters, waiter)
                if self._shared.is_shared:
                    self._shared.waiters = enqueued(self._shared.waiters, waiter)
        if refusal is not None:
            if self.trace is not None:
                notify(self.trace, "connection_wait_refused", self.endpoint, refusal.waiting)
            raise refusal
        if not is_granted:
            self._wait_for_grant(waiter, timeout_s)

    def _wait_for_grant(self, waiter: Waiter[Connection], timeout_s: float | None) -> None:
        """Sleep until the waiter holds a grant.  EmptyPoolError when the time is over, ClosedPoolError at once.

        Unless woken, look at the grant under the lock alone: a thread that holds it may be about to make room for a
        permit, or to take it back.
        """
        self._report_all_leaks(waiter.since)
        if not waiter.wait(timeout_s) or waiter.grant is None:
            try:
                self._give_up_unless_granted(waiter)
            except EmptyPoolError as error:
                if places := self.untold_holders():
                    log.warning("%r: connections are held at %s: read these responses or close them", self, places)
                if self.trace is not None:
                    notify(self.trace, "connection_wait_timed_out", self.endpoint, error.waited_s)
                raise
        if self.trace is not None:
            waiter.waited_s = self._clock() - waiter.since
            notify(self.trace, "connection_waited", self.endpoint, waiter.waited_s)

    def _give_up_unless_granted(self, waiter: Waiter[Connection]) -> None:
        """Raise for a waiter whose time is over, unless it holds a grant after all.

        Then whoever granted it was interrupted before waking it, and it is in the queue yet.
        """
        with self._shared, self._lock:
            if waiter.grant is None:
                waited_s = self._clock() - waiter.since
                self._wait_s += waited_s
                self._waited += 1
                self._raise_unless_open_locked(waited_s)
                self._timeouts += 1
                try:
                    raise self._empty_error_locked(waited_s)
                finally:  # so that nothing is granted to it while the error is on its way
                    self._remove_waiter_locked(waiter)
            self._remove_waiter_locked(waiter)

    def _replace_unusable(self, waiter: Waiter[Connection], timeout_s: float | None) -> None:
        """Close the unusable entry in the waiter, and put another idle one or a permit in its place.

        A permit, too, if the newest was idle too long, for the others are idle for longer; and after a few misses or
        when the time is over, so that no caller pays for many dead connections, or for a silent peer with each.
        """
        entry = waiter.grant
        assert isinstance(entry, Entry)
        entry.reason = self.expiry_reason(entry, self._clock()) or "dead"
        self.close_connection(entry)
        waiter.misses += 1
        is_to_look_on = (
            entry.reason != IDLE_TIMEOUT
            and waiter.misses < self._settings.dispose_batch_size
            and self._time_left(waiter, timeout_s) > 0
        )
        permit = Permit()
        with self._shared, self._lock:
            self._not_reused += 1
            self._count_drop_locked(entry.reason)
            if self._idle and is_to_look_on:
                waiter.grant = None
                self._gone_reuses += entry.reuses
                del self.leases[entry.key]
                self._shared.used -= 1
                self._lease_idle_locked(waiter)
                self._slot_freed_locked()
            else:
                self._opening += 1  # the entry's slot becomes the permit's
                waiter.grant = permit
                self._gone_reuses += entry.reuses
                del self.leases[entry.key]
                if self._drain_waiters:  # it may be the last one that a drain() waits for
                    self._notify_drain_waiters_locked()

    def _time_left(self, waiter: Waiter[Connection], timeout_s: float | None) -> float:
        """The seconds that are left of an acquire's time; ``inf``: no limit."""
        return inf if timeout_s is None else timeout_s - (self._clock() - waiter.since)

    def _open_connection(self, waiter: Waiter[Connection], timeout_s: float | None) -> Entry[Connection]:
        """A new entry, leased, in place of the waiter's permit."""
        permit = waiter.grant
        assert isinstance(permit, Permit)
        if permit.victim is not None:
            self._close_victim(permit)
            with self._shared, self._lock:
                self._raise_unless_open_locked(0.0)
        left_s = None if timeout_s is None else max(SHORTEST_CONNECT_S, self._time_left(waiter, timeout_s))
        entry = self._connect(left_s)
        try:
            with self._shared, self._lock:
                self._lease_new_locked(waiter, permit, entry)
                if len(self.leases) > self._most_leased:
                    self._most_leased = len(self.leases)
                is_open = self._state is State.OPEN
        except BaseException:
            if waiter.grant is permit:
                self._close_unless_here(entry)
            raise
        if self.trace is not None:
            notify(self.trace, "connection_opened", self.endpoint, entry.connection)
        if not is_open:
            with self._shared, self._lock:
                self._raise_unless_open_locked(0.0)
        return entry

    def _lease_if_idle(self, waiter: Waiter[Connection], connection: Connection) -> None:
        """Put the entry of a connection into the waiter, leased, if it is still idle; no reuse is counted."""
        with self._shared, self._lock:
            for place, entry in enumerate(self._idle):
                if entry.connection is connection:
                    self._not_reused += 1
                    self._lease_idle_locked(waiter, place)
                    entry.is_checked = True  # it counts as no reuse already
                    return

    def _run_acquire_hooks(self, entry: Entry[Connection]) -> None:
        """What only some pools do with every lease: hooks, listeners, leak reports, opening ahead."""
        if self._settings.leak_timeout is not None:
            entry.is_leak_reported = False
            entry.acquired_by = stack_of_acquirer()
            now = entry.leased_at = self._clock()
            if now >= self._shared.leaks_at:
                self._report_all_leaks(now)
            self._shared.leaks_at = min(self._shared.leaks_at, now + self._settings.leak_timeout)
        if len(self._idle) < self._settings.min_idle:
            with self._shared, self._lock:
                if self._sweep_at > entry.idle_since and self._lacks_idle_locked():
                    self._wake_housekeeper(0.0)
        if self._on_acquire is not None:
            try:
                self._on_acquire(entry.connection)
            except BaseException:
                self._end_lease(entry, "on_acquire failed")
                raise
        if self.trace is not None and entry.reuses:
            notify(self.trace, "connection_reused", self.endpoint, entry.connection)

    def _undo_acquire(self, waiter: Waiter[Connection] | None, entry: Entry[Connection] | None) -> None:
        """An acquire failed or was interrupted: what it got so far is given back, or closed if it was in use."""
        if waiter is not None:
            self._cancel_waiter(waiter)
        is_held = waiter is None or waiter.grant is None  # else what is in the waiter has taken the entry's place
        if is_held and entry is not None:
            self._end_lease(entry, "interrupted")

    def _end_lease(self, entry: Entry[Connection], reason: str) -> None:
        """Close the connection of a failed acquire."""
        with self._shared, self._lock:
            if self.leases.get(entry.key) is entry:
                self._discard_leased_locked(entry, reason)
        self._settle()

    def _cancel_waiter(self, waiter: Waiter[Connection]) -> None:
        """Give back what an abandoned waiter holds: the next waiter gets it."""
        with self._shared, self._lock:
            self._remove_waiter_locked(waiter)
            grant = waiter.grant
            if isinstance(grant, Permit):
                self._cancel_permit_locked(grant)
            elif grant is not None and self.leases.get(grant.key) is grant and waiter.lease in (None, grant.reuses):
                if grant.reason:
                    self._discard_leased_locked(grant, grant.reason)
                else:
                    self._schedule_expiry_locked(grant, None)
                    kept = self._return_locked(grant, self._clock())
                    self._not_returned += kept  # which the call may have changed: what came back made room at once
            else:
                self._slot_freed_locked()  # what came free when it was interrupted
        if isinstance(grant, Permit):
            self._close_victim(grant)
        self._run_pending(-inf)

    # -- ahead of demand ---------------------------------------------------------------------------------------

    def sweep(self, now: float) -> float | None:
        """Close all that is too old, report leaks, open what ``min_idle`` lacks; seconds until the next call.

        None: never again, the pool is closed.  The housekeeper calls this; without it, anybody may.  One connection at
        most is opened in one call, within WARM_TIMEOUT_S, so that no pool keeps the others waiting.  ``now`` is
        ``time.monotonic()``'s: a pool with another clock reads its own.
        """
        if self._clock is not time.monotonic:
            now = self._clock()
        with self._shared, self._lock:
            if self._state is not State.OPEN:
                self._is_watched = False
                return None
            self._sweep_at = inf
            next_at = self._expire_idle_locked(now)
        self._run_pending(-inf)
        next_at = min(next_at, self.report_leaks(now), self._open_ahead(now))
        with self._shared, self._lock:
            self._sweep_at = min(self._sweep_at, next_at)
        return min(max(0.0, next_at - now), LONGEST_PAUSE_S)

    def _open_ahead(self, now: float) -> float:
        """Open one connection if ``min_idle`` lacks one; when to do so again (``inf``: nothing lacks)."""
        if not self._settings.min_idle:
            return inf
        if now < self._warm_after:
            return self._warm_after
        waiter: Waiter[Connection] = Waiter(self, now)
        try:
            if not self._may_open_ahead(waiter):
                return inf
            is_open = self._fill_ahead(waiter)
            self._cancel_waiter(waiter)
        except BaseException:
            self._cancel_waiter(waiter)
            raise
        if not is_open:
            self._warm_after = now + self._warm_pause_s
            self._warm_pause_s = min(2 * self._warm_pause_s, WARM_LONGEST_PAUSE_S)
            return self._warm_after
        self._warm_pause_s = WARM_PAUSE_S
        return now

    def _may_open_ahead(self, waiter: Waiter[Connection]) -> bool:
        """Whether the waiter holds a permit now."""
        permit = Permit(is_ahead=True)
        with self._shared, self._lock:
            if not self._lacks_idle_locked():
                return False
            waiter.grant = permit
            self._shared.used += 1
            self._opening += 1
            self._warming += 1
        return True

    def _fill_ahead(self, waiter: Waiter[Connection]) -> bool:
        """Whether a new connection has taken the place of the waiter's permit; ``_cancel_waiter`` makes it idle."""
        permit, entry = waiter.grant, None
        assert isinstance(permit, Permit)
        try:
            entry = self._connect_warm()
            if entry is None:
                return False
            with self._shared, self._lock:
                self._lease_new_locked(waiter, permit, entry)
        except BaseException:
            if entry is not None and waiter.grant is permit:
                self._close_unless_here(entry)
            raise
        return True
