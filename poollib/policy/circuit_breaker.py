"""A circuit breaker: an endpoint that fails again and again is left alone for a while.

``connectionpool`` makes its attempts through a :class:`Circuit`, which a :class:`CircuitBreaker` describes; there it
says what counts.  The pattern is Michael Nygard's ("Release It!"); time comes in as an argument.

::

    CLOSED ── N failures in a row ──> OPEN ── pause over, one asks ──> PROBING
      ^                                ^                                 │
      └──────────── it got through ────┼─────────────────────────────────┤
                                       └── it failed ────────────────────┘
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, NamedTuple, Protocol, TypedDict, TypeVar, runtime_checkable

from ..base.exact_values import number, whole
from ..exceptions import (
    BlockedHostError,
    CircuitOpenError,
    ClosedPoolError,
    EmptyPoolError,
    ProtocolError,
    ReadTimeoutError,
    is_from_body,
    is_nothing_sent,
)

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class CircuitBreaker(NamedTuple):
    """After ``failures`` failed attempts in a row, requests fail at once for ``pause`` seconds; then one tries.

    Each attempt counts, repetitions and redirects too. A failure is what keeps a connection from being made: the name's
    look-up, dialling, a proxy's tunnel, TLS. Any response, whatever its status, an answer that breaks off and a
    time-out while waiting for one are none: the server is there, and the count is 0 again. What ends an attempt on this
    side says nothing: no free connection, an interrupt, a body of the caller's that fails; nor does a kept connection
    that was dead, for the request goes out on another one. An error while the body of a response is read comes too late
    to count.

    ``failure(outcome)`` judges an attempt's response (its body not read yet) or error in place of that: True for a
    failure, False for a success, None for the usual rules. ``lambda outcome: getattr(outcome, "status", 0) in (502,
    503, 504) or None`` counts these statuses as well. What it raises reaches the caller.
    """

    failures: int = 5
    pause: float = 30.0
    failure: Callable[[Any], bool | None] | None = None


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None:
        """Let go of the connection."""


#: errors by which an attempt ends on this side
_OURS = (BlockedHostError, CircuitOpenError, ClosedPoolError, EmptyPoolError)


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

    __slots__ = (
        "__weakref__",
        "_failures",
        "_lock",
        "_open_until",
        "_prober",
        "opened",
        "refused",
        "settings",
        "state",
    )

    def __init__(self, breaker: CircuitBreaker) -> None:
        settings = CircuitBreaker(whole("failures", breaker.failures), number("pause", breaker.pause), breaker.failure)
        if settings.failures < 1 or settings.pause < 0:
            raise ValueError(f"a circuit breaker opens after 1 failure or more, for 0 s or more; not {breaker!r}")
        if settings.failure is not None and not callable(settings.failure):
            raise TypeError(f"failure must be a callable (outcome), not {settings.failure!r}")
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
        self._prober = 0  # the thread that probes

    def wrap(
        self,
        attempt: Callable[[_Request], _Response],
        owner: object,
        clock: Callable[[], float] = monotonic,
        answers_of: Callable[[_Request], Iterable[object]] | None = None,
        unseen: tuple[type[BaseException], ...] = (),
    ) -> Callable[[_Request], _Response]:
        """``attempt``, made only where the circuit allows it, with its outcome counted. CircuitOpenError.

        ``owner``: the pool, for the error. ``answers_of``: the responses to what an attempt sends, where that is more
        than one request; none: nothing was sent. ``unseen``: errors that ask for another attempt, and say nothing.
        """

        def guarded(request: _Request) -> _Response:
            wait_s = self.wait_s(clock())
            if wait_s is not None:
                raise self._refusal(owner, wait_s)
            try:
                response = attempt(request)
            except BaseException as error:
                if answers_of is not None:
                    self._judge(None, answers_of(request), clock())
                self._count(None if isinstance(error, unseen) else self._is_failure_of(error), clock())
                raise
            if not self._judge(response, (response,) if answers_of is None else answers_of(request), clock()):
                self.gave_up()
            return response

        return guarded

    def _count(self, is_failure: bool | None, now: float) -> None:
        """One attempt's outcome; None: it says nothing of the endpoint."""
        if is_failure is None:
            self.gave_up()
        elif is_failure:
            self.failed(now)
        else:
            self.got_through()

    def _is_failure_of(self, error: BaseException) -> bool | None:
        """Whether the endpoint failed, None if the error is not its doing."""
        if isinstance(error, _OURS) or not isinstance(error, Exception) or is_from_body(error):
            return None
        verdict = self._asked(error)
        if verdict is not None:
            return verdict
        if is_nothing_sent(error):
            return True
        return False if isinstance(error, (ReadTimeoutError, ProtocolError)) else None

    def _judge(self, held: object, responses: Iterable[object], now: float) -> bool:
        """Count responses one by one; whether there was any. If ``failure`` raises, ``held`` frees its connection."""
        was_answered = False
        try:
            for response in responses:
                was_answered = True
                self._count(bool(self._asked(response)), now)
            return was_answered
        except BaseException:
            if isinstance(held, _Closable):
                held.close()
            raise

    def _asked(self, outcome: object) -> bool | None:
        """What ``failure`` says; None where it leaves that to the usual rules."""
        failure = self.settings.failure
        if failure is None:
            return None
        try:
            verdict = failure(outcome)
        except BaseException:
            self.gave_up()
            raise
        return None if verdict is None else bool(verdict)

    def wait_s(self, now: float) -> float | None:
        """None if an attempt may be made; else the seconds until the next that may. Who gets None is the probe."""
        with self._lock:
            if self.state is CircuitState.CLOSED:
                return None
            if self.state is CircuitState.OPEN and now >= self._open_until:
                self.state, self._prober = CircuitState.PROBING, threading.get_ident()
                return None
            self.refused += 1
            return max(0.0, self._open_until - now)

    def check_again(self, owner: object, now: float) -> None:
        """CircuitOpenError if the circuit has opened since ``wait_s`` let this attempt pass."""
        if self.state is CircuitState.OPEN and (wait_s := self.wait_s(now)) is not None:
            raise self._refusal(owner, wait_s)

    def _refusal(self, owner: object, wait_s: float) -> CircuitOpenError:
        what = "no connection could be made" if self.settings.failure is None else "it failed again and again"
        return CircuitOpenError(owner, f"{what}; next try in {wait_s:.3g} s", wait_s)

    def got_through(self) -> None:
        """A connection was made, or one was there."""
        if self.state is CircuitState.CLOSED and not self._failures:
            return
        with self._lock:
            self.state, self._failures = CircuitState.CLOSED, 0

    def failed(self, now: float) -> None:
        """An attempt failed."""
        with self._lock:
            self._failures += 1
            if self.state is CircuitState.PROBING or self._failures >= self.settings.failures:
                self.opened += self.state is CircuitState.CLOSED
                self.state, self._open_until = CircuitState.OPEN, now + self.settings.pause

    def gave_up(self) -> None:
        """An attempt ended before it tried to connect (no slot, an interrupt, a guard): the next one may probe.

        Not where it began before the circuit opened, and another thread probes.
        """
        with self._lock:
            if self.state is CircuitState.PROBING and self._prober == threading.get_ident():
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
