"""A circuit breaker: an endpoint that can't be connected to is left alone for a while.

``connectionpool`` makes its attempts through a :class:`Circuit`, which a :class:`CircuitBreaker` describes.  It counts
failures to connect alone (lookup, dialling, tunnel, TLS): a server that answers badly is there.
The pattern is Michael Nygard's ("Release It!"); time comes in as an argument.

::

    CLOSED ── N failures to connect in a row ──> OPEN ── pause over, one asks ──> PROBING
      ^                                           ^                                 │
      └──────────── it got through ───────────────┼─────────────────────────────────┤
                                                  └── it failed ────────────────────┘
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, TypedDict, TypeVar

from ..base.coercion import number, whole
from ..exceptions import BlockedHostError, CircuitOpenError, ProtocolError, ReadTimeoutError, is_nothing_sent

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class CircuitBreaker(NamedTuple):
    """After ``failures`` failures to connect in a row, requests fail at once for ``pause`` seconds; then one tries."""

    failures: int = 5
    pause: float = 30.0


class CircuitState(enum.Enum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class CircuitReport(TypedDict):
    """How a circuit stands, ready for JSON: the text of a CircuitState, and counts."""

    state: str
    consecutive_failures: int
    opened: int
    refused: int


class Circuit:
    """The circuit of one endpoint. The lock guards all that changes."""

    __slots__ = ("__weakref__", "_failures", "_lock", "_open_until", "opened", "refused", "settings", "state")

    def __init__(self, breaker: CircuitBreaker) -> None:
        settings = CircuitBreaker(whole("failures", breaker.failures), number("pause", breaker.pause))
        if settings.failures < 1 or settings.pause < 0:
            raise ValueError(f"a circuit breaker opens after 1 failure or more, for 0 s or more; not {breaker!r}")
        self.settings = settings
        self._reset_after_fork()

    def _reset_after_fork(self) -> None:
        """Closed, nothing counted: at the start, and in a forked child."""
        self._lock = threading.RLock()
        self.state = CircuitState.CLOSED
        self.opened = 0  # how often it opened
        self.refused = 0  # attempts that were not made
        self._failures = 0
        self._open_until = 0.0

    def wrap(
        self, attempt: Callable[[_Request], _Response], owner: object, clock: Callable[[], float] = monotonic
    ) -> Callable[[_Request], _Response]:
        """``attempt``, made only where the circuit allows it, with its outcome counted. CircuitOpenError.

        ``owner``: the pool, for the error.
        """

        def guarded(request: _Request) -> _Response:
            wait_s = self.wait_s(clock())
            if wait_s is not None:
                raise self._refusal(owner, wait_s)
            try:
                response = attempt(request)
            except BaseException as error:
                if isinstance(error, BlockedHostError) or not isinstance(error, Exception):
                    self.gave_up()
                elif is_nothing_sent(error):
                    self.failed(clock())
                elif isinstance(error, (ReadTimeoutError, ProtocolError)):
                    self.got_through()
                else:
                    self.gave_up()
                raise
            self.got_through()
            return response

        return guarded

    def wait_s(self, now: float) -> float | None:
        """None if an attempt may be made; else the seconds until the next that may. Who gets None is the probe."""
        with self._lock:
            if self.state is CircuitState.CLOSED:
                return None
            if self.state is CircuitState.OPEN and now >= self._open_until:
                self.state = CircuitState.PROBING
                return None
            self.refused += 1
            return max(0.0, self._open_until - now)

    def check_again(self, owner: object, now: float) -> None:
        """CircuitOpenError if the circuit has opened since ``wait_s`` let this attempt pass."""
        if self.state is CircuitState.OPEN and (wait_s := self.wait_s(now)) is not None:
            raise self._refusal(owner, wait_s)

    def _refusal(self, owner: object, wait_s: float) -> CircuitOpenError:
        return CircuitOpenError(owner, f"no connection could be made; next try in {wait_s:.3g} s", wait_s)

    def got_through(self) -> None:
        """A connection was made, or one was there."""
        if self.state is CircuitState.CLOSED and not self._failures:
            return
        with self._lock:
            self.state, self._failures = CircuitState.CLOSED, 0

    def failed(self, now: float) -> None:
        """No connection could be made."""
        with self._lock:
            self._failures += 1
            if self.state is CircuitState.PROBING or self._failures >= self.settings.failures:
                self.opened += self.state is CircuitState.CLOSED
                self.state, self._open_until = CircuitState.OPEN, now + self.settings.pause

    def gave_up(self) -> None:
        """An attempt ended before it tried to connect (no slot, an interrupt, a guard): the next one may probe."""
        with self._lock:
            if self.state is CircuitState.PROBING:
                self.state, self._open_until = CircuitState.OPEN, 0.0

    def report(self) -> CircuitReport:
        """State, failures in a row, how often it opened and what it refused; ready for JSON."""
        with self._lock:
            return {
                "state": self.state.value,
                "consecutive_failures": self._failures,
                "opened": self.opened,
                "refused": self.refused,
            }


def circuit_from(breaker: CircuitBreaker | int) -> Circuit:
    """The circuit for a pool's keyword: a number means so many failures."""
    return Circuit(breaker if isinstance(breaker, CircuitBreaker) else CircuitBreaker(breaker))
