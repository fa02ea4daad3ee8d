"""How many requests a host gets in a second: :class:`RateLimit`, and the waiting for a turn.

A pool takes a turn for each attempt (:class:`Turns`), repetitions and redirects included, before it leases a
connection; ``bulk`` takes one for each request that it hands out.  Turns are given in the order of arrival: each is a
moment, a gap behind the one before, so that nobody is woken to compete, and no thread works in the background.
Who leaves early (an interrupt, a pool that is closed) leaves their turn to those behind.
The arithmetic is the generic cell rate algorithm (ITU-T I.371), a leaky bucket that needs one number for a host::

    next_at     when the next turn would be if all turns were a gap apart: each turn moves it by one gap
    a turn's    next_at - (burst - 1) gaps, or now: so many turns may be ahead of that pace
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from ..base import after_fork
from ..base.exact_values import number, seconds, whole
from ..exceptions import DeadlineExceededError, RateLimitError

if TYPE_CHECKING:
    from ..base.timeout import Deadline

#: Hosts beyond so many are looked through for those whose turns are long over.
MANY_HOSTS = 1024

#: the phase that errors name
WAITING_FOR_A_TURN = "waiting for a turn"


class Turn:
    """A place in a host's queue; what changes is written under the lock."""

    __slots__ = ("at", "owner", "span_s", "wakeup")

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.at = -inf  # when it comes
        self.span_s = 0.0  # how far it keeps those behind: a gap for each request
        self.wakeup = threading.Event()


class _Host:
    __slots__ = ("next_at", "waiting")

    def __init__(self) -> None:
        self.next_at = -inf
        self.waiting: deque[Turn] = deque()  # those whose time has not come; others go when somebody looks

    def forget_past(self, now: float) -> None:
        """Let go of turns whose time has come."""
        while self.waiting and self.waiting[0].at <= now:
            self.waiting.popleft()


class RateLimit:
    """``per_second`` requests to each host, of which ``burst`` may go at once after a pause.

    A host is a name, whatever scheme and port. Pools, managers and threads that are given the same ``RateLimit`` share
    it, and each process has its own: it pickles as its numbers, and a forked child begins anew. ValueError for a
    ``per_second`` that is not above 0, a ``burst`` below 1, and a burst that would take for ever to be earned.
    """

    __slots__ = ("__weakref__", "_hosts", "_look_at", "burst", "gap_s", "lock", "per_second")

    def __init__(self, per_second: float, burst: int = 1) -> None:
        self.per_second = number("rate", per_second)
        if isinstance(per_second, bool) or not 0 < self.per_second < inf:
            raise ValueError(f"rate must be more than 0 requests a second, not {per_second!r}")
        self.burst = whole("burst", burst)
        if self.burst < 1:
            raise ValueError(f"burst must be 1 request or more, not {burst!r}")
        self.gap_s = 1.0 / self.per_second
        if self.burst > sys.float_info.max or not self.burst * self.gap_s < inf:
            raise ValueError(f"burst must be a number of requests that the rate brings in finite time, not {burst!r}")
        self._reset_after_fork()
        after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        """All turns free: at the start, and in a forked child, where the threads that wait are not there."""
        self.lock = threading.RLock()  # guards the hosts and what is in them
        self._hosts: dict[str, _Host] = {}
        self._look_at = MANY_HOSTS

    def wait(self, host: str = "", timeout: float | None = None) -> float:
        """Wait for a host's next turn and take it; how many seconds that took.

        For rates of a program's own; pools do it by themselves. RateLimitError at once if the turn is later than in
        ``timeout`` seconds, and no turn is taken then.
        """
        return Turns(self).take(host, 1, None if timeout is None else seconds("timeout", timeout))

    def next_at(self, host: str) -> float:
        """When a host's next turn comes, by the clock that its turns were taken by; none is taken."""
        with self.lock:
            known = self._hosts.get(host)
            return -inf if known is None else self._turn_at(known)

    def take(self, host: str, now: float) -> bool:
        """Whether a host's turn was there at ``now`` and is taken; nobody waits."""
        with self.lock:
            known = self._known_locked(host, now)
            if self._turn_at(known) > now:
                return False
            known.next_at = max(known.next_at, now) + self.gap_s
            return True

    def join(self, host: str, count: int, turn: Turn, now: float, most_s: float) -> None:
        """Give the turn its time, for ``count`` requests that leave together. RateLimitError if that is too late."""
        with self.lock:
            known = self._known_locked(host, now)
            at = self._turn_at(known)
            if at - now > most_s:
                raise self._refusal(host, at - now, most_s, len(known.waiting))
            turn.span_s = count * self.gap_s
            turn.at = at
            if at > now:
                known.waiting.append(turn)
            known.next_at = max(known.next_at, now) + turn.span_s

    def leave(self, is_leaving: Callable[[Turn], bool]) -> None:
        """Take turns whose time has not come out of the queues, and let those behind come so much sooner."""
        with self.lock:
            now = monotonic()
            for host in self._hosts.values():
                host.forget_past(now)
                saved_s, staying = 0.0, deque[Turn]()
                for turn in host.waiting:
                    if is_leaving(turn):
                        saved_s += turn.span_s
                    else:
                        turn.at -= saved_s
                        staying.append(turn)
                    if saved_s:
                        turn.wakeup.set()
                host.waiting = staying
                host.next_at -= saved_s

    def _refusal(self, host: str, wait_s: float, most_s: float, waiting: int) -> RateLimitError:
        text = (
            f"the next turn for {host or 'a request'} comes in {wait_s:.3g} s, and there are {most_s:.3g} s to wait:"
            f" {self.per_second:g} requests a second, burst {self.burst}, {waiting} waiting"
        )
        return RateLimitError(self, text, wait_s, waiting=waiting)

    def _turn_at(self, host: _Host) -> float:
        return host.next_at - (self.burst - 1) * self.gap_s

    def _known_locked(self, name: str, now: float) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= self._look_at:
                self._hosts = {name: host for name, host in self._hosts.items() if host.next_at > now}
                self._look_at = max(MANY_HOSTS, 2 * len(self._hosts))
            host = self._hosts[name] = _Host()
        host.forget_past(now)
        return host

    def __reduce__(self) -> tuple[type[RateLimit], tuple[float, int]]:
        return RateLimit, (self.per_second, self.burst)

    def __repr__(self) -> str:
        return f"RateLimit({self.per_second:g}, burst={self.burst})"


class Turns:
    """The turns of one pool: what it waited for them, and the end of all waits when it is closed."""

    __slots__ = ("__weakref__", "_limit", "is_closed", "wait_s", "waited", "waiting")

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self.is_closed = False
        self._reset_after_fork()

    def _reset_after_fork(self) -> None:
        """Nothing counted: at the start, and in a forked child."""
        self.waiting = 0  # requests that wait now
        self.waited = 0  # times that a request had to wait
        self.wait_s = 0.0  # seconds of that in sum

    def take(
        self, host: str, count: int = 1, timeout_s: float | None = None, deadline: Deadline | None = None
    ) -> float:
        """Seconds that were waited for a turn of ``count`` requests, 0 if it was there; none if the pool is closed.

        ``timeout_s``: how long the caller may wait, None: no limit beside the deadline. At once where the turn comes
        too late: RateLimitError, DeadlineExceededError.
        """
        if self.is_closed:  # whoever leases a connection says so
            return 0.0
        limit, turn, start = self._limit, Turn(self), monotonic()
        left_s = inf if deadline is None else deadline.remaining_s(WAITING_FOR_A_TURN, start)
        try:
            limit.join(host, count, turn, start, left_s if timeout_s is None else min(timeout_s, left_s))
            return 0.0 if turn.at <= start else self._wait(turn, start)
        except RateLimitError as error:
            if error.retry_in_s > left_s:
                text = f"the deadline ends before a turn comes: {error.retry_in_s:.3g} s"
                raise DeadlineExceededError(text, WAITING_FOR_A_TURN) from None
            raise
        except BaseException:
            limit.leave(lambda other: other is turn)
            raise

    def _wait(self, turn: Turn, start: float) -> float:
        """Sleep until the turn comes, or the pool is closed."""
        with self._limit.lock:
            self.waiting += 1
        try:
            while not self.is_closed and (left_s := turn.at - monotonic()) > 0:
                turn.wakeup.wait(min(left_s, threading.TIMEOUT_MAX))
                turn.wakeup.clear()
        finally:
            waited_s = monotonic() - start
            if self.is_closed:
                self._limit.leave(lambda other: other is turn)
            with self._limit.lock:
                self.waiting -= 1
                self.waited += 1
                self.wait_s += waited_s
        return waited_s

    def close(self) -> None:
        """Nobody waits on behalf of this pool any more."""
        self.is_closed = True
        self._limit.leave(lambda turn: turn.owner is self)


def rate_from(rate: RateLimit | float) -> RateLimit:
    """The limit for a keyword: a number means so many requests a second, one at a time."""
    return rate if isinstance(rate, RateLimit) else RateLimit(rate)
