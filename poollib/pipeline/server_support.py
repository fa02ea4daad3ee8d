"""What a pool has learnt of its endpoint's pipelining: whether requests may be sent before the answers are in.

There are servers and middleboxes that answer the first request and drop the others, close, or mix answers up (RFC 9112
section 9.3.2 lets a client expect it). One :class:`PipeliningRecord` for each pool is told by ``pipeline`` how batches
went; two that failed with nothing to show for it, or answers that were mixed up once, end pipelining for a while.
"""

from __future__ import annotations

from typing import Final

MOST_FAILURES: Final = 2
FORGET_S: Final = 600.0  # servers are restarted and replaced; one failure after this, and it lasts as long again


class PipeliningRecord:
    """How an endpoint has taken batches. Changed by any thread without a lock: what is lost is a count."""

    __slots__ = ("_answers", "_failures", "_until")

    def __init__(self) -> None:
        self._answers = 0  # to requests that were sent behind others, since the last failure
        self._failures = 0
        self._until = 0.0

    def allows(self, now: float) -> bool:
        """Whether requests may be pipelined, on ``time.monotonic()``."""
        return self._failures < MOST_FAILURES or now >= self._until

    def went_well(self, answers: int) -> None:
        """A batch was answered whole; so many of its requests had been sent behind others."""
        self._answers += answers

    def failed(self, answers: int, requests: int, now: float) -> None:
        """A connection ended with ``answers`` to the ``requests`` of a batch that were sent behind others.

        Servers may end a connection at any time, so it counts only where it has not answered a batch's worth before.
        """
        if self._answers + answers < requests:
            self._failures += 1
            self._until = now + FORGET_S
        else:
            self._failures = 0
        self._answers = 0

    def mixed_up(self, now: float) -> None:
        """It can't be known which answer belongs to which request."""
        self._failures, self._answers, self._until = MOST_FAILURES, 0, now + FORGET_S
