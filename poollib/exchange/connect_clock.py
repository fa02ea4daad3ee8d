"""Making a connection step by step: one limit for all steps, and an event of the trace for each.

A connection starts a :class:`ConnectClock` when it has no socket and asks it, before each step (dialling, TLS with a
proxy, the tunnel, TLS with the target), how much time that step may take.
The steps themselves are those of ``dial``, ``http_tunnel`` and ``tls``; their order is ``transport``'s.
It follows what ``Timeout`` promises: the connect timeout covers lookup, dialling, tunnel and TLS together.
"""

from __future__ import annotations

from time import monotonic

from ..base.timeout import Deadline
from ..base.trace import Trace, notify
from ..exceptions import ConnectTimeoutError, TimeoutError, name_phase, phase_of

#: a step as the trace names it -> as errors name it
PHASES = {"dial": "connecting", "tunnel": "tunnelling", "tls": "tls handshake"}


class ConnectClock:
    """The running clock of a connection that is being made.

    ``timeout_s``: for all steps together, counted from the first; None for no limit. ``owner``: the connection that
    errors point at.
    """

    __slots__ = ("_arguments", "_name", "deadline", "owner", "timeout_s", "trace", "until")

    _name: str  # of the step under way
    _arguments: tuple[object, ...]

    def __init__(self, owner: object, timeout_s: float | None, deadline: Deadline | None, trace: Trace | None) -> None:
        self.owner = owner
        self.timeout_s = timeout_s
        self.deadline = deadline
        self.trace = trace
        self.until: float | None = None

    def left_s(self, phase: str) -> float | None:
        """Seconds that the step may take; None for no limit. ConnectTimeoutError, DeadlineExceededError."""
        left_s = self.timeout_s
        if left_s is not None:
            if self.until is None:
                self.until = monotonic() + left_s
            elif (left_s := self.until - monotonic()) <= 0:
                raise ConnectTimeoutError(self.owner, f"Timed out while {phase}. (connect timeout={self.timeout_s})")
        return left_s if self.deadline is None else self.deadline.cap_s(left_s, phase)

    def step(self, name: str, *arguments: object) -> ConnectClock:
        """``with opening.step("dial", host, port) as timeout_s:`` gives one step its time; one step at a time.

        The trace gets ``NAME_started(*arguments)`` and ``NAME_done(*arguments, error)``. The step becomes the phase of
        an error; a timeout that was the deadline's becomes DeadlineExceededError.
        """
        self._name, self._arguments = name, arguments
        return self

    def __enter__(self) -> float | None:
        if self.trace is not None:
            notify(self.trace, f"{self._name}_started", *self._arguments)
        try:
            return self.left_s(PHASES[self._name])
        except BaseException as error:
            name_phase(error, PHASES[self._name])
            self._done(error)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: object) -> None:
        if error is None:
            if self.trace is not None:
                self._done(None)
            return
        name_phase(error, PHASES[self._name])
        try:
            if self.deadline is not None and isinstance(error, TimeoutError):
                looked_up = phase_of(error) == "resolving"
                self.deadline.remaining_s("resolving" if looked_up else PHASES[self._name])
        finally:
            self._done(error)

    def _done(self, error: BaseException | None) -> None:
        if self.trace is not None:
            notify(self.trace, f"{self._name}_done", *self._arguments, error)
