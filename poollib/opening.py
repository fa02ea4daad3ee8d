"""Making a connection step by step: one limit for all steps, and each step told to the trace.

A connection starts an :class:`Opening` when it has no socket and asks it, before each step (dialling, TLS with a proxy,
the tunnel, TLS with the target), how much time that step may take.
The steps themselves are those of ``dial``, ``tunnel`` and ``tls``; their order is the connection's.
It follows what ``Timeout`` promises: the connect timeout covers lookup, dialling, tunnel and TLS together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from .exceptions import ConnectTimeoutError, TimeoutError
from .timeout import Deadline
from .trace import Trace, tell

#: a step as the trace names it -> as errors name it
PHASES = {"dial": "connecting", "tunnel": "tunnelling", "tls": "tls handshake"}


class Opening:
    """The running clock of a connection that is being made.

    ``timeout_s``: for all steps together, counted from the first; None for no limit. ``owner``: the connection that
    errors point at.
    """

    __slots__ = ("deadline", "owner", "timeout_s", "trace", "until")

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

    @contextmanager
    def step(self, name: str, *told: object) -> Iterator[float | None]:
        """The time for one step, given to the block that takes it.

        The trace hears ``NAME_started(*told)`` and ``NAME_done(*told, error)``. A timeout that was the deadline's
        becomes DeadlineExceededError.
        """
        trace, phase = self.trace, PHASES[name]
        if trace is not None:
            tell(trace, f"{name}_started", *told)
        error: BaseException | None = None
        try:
            yield self.left_s(phase)
        except BaseException as caught:
            error = caught
            if self.deadline is not None and isinstance(caught, TimeoutError):
                looked_up = getattr(caught, "phase", None) == "resolving"
                self.deadline.remaining_s("resolving" if looked_up else phase)
            raise
        finally:
            if trace is not None:
                tell(trace, f"{name}_done", *told, error)
