"""How many repetitions a service can bear: :class:`RetryBudget`, shared by all requests of a manager.

``Retry(budget=...)`` carries it; ``request_loop`` adds to it with each request and draws a token for each repetition.
Without a token nothing is repeated. What may be repeated otherwise is ``retry``'s to say.
Repetitions multiply an outage: without a budget three of them are four times the load on a server that fails already.
The model is Finagle's RetryBudget and the ten per cent of "Site Reliability Engineering", chapter 21.
"""

from __future__ import annotations

import threading

from ..base import after_fork
from ..base.exact_values import number


class RetryBudget:
    """A bucket of tokens: a request puts ``ratio`` in, a repetition takes one out.

    ``ratio``: repetitions per request in the long run. ``reserve``: how many are there at the start and how many can be
    saved up, so that few requests may be repeated, too. Threads share it; it pickles as its settings, full.
    """

    __slots__ = ("__weakref__", "_lock", "_tokens", "ratio", "refused", "reserve")

    def __init__(self, ratio: float = 0.1, reserve: float = 10.0) -> None:
        ratio, reserve = number("ratio", ratio), number("reserve", reserve)
        if not (0 <= ratio <= 1 and reserve >= 0):
            raise ValueError(f"a ratio from 0 to 1 and a reserve of at least 0, not {ratio!r} and {reserve!r}")
        self.ratio = ratio
        self.reserve = reserve
        self.refused = 0  # repetitions that there was no token for
        self._tokens = float(reserve)
        self._reset_after_fork()
        after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        """A free lock: at the start, and in the child of a fork, where the thread that held it is not there."""
        self._lock = threading.RLock()  # guards _tokens and refused

    @property
    def tokens(self) -> float:
        """How many repetitions there may be now."""
        return self._tokens

    def pay_in(self) -> None:
        """A request begins."""
        with self._lock:
            self._tokens = min(self.reserve, self._tokens + self.ratio)

    def draw(self) -> bool:
        """Whether a request may be repeated."""
        with self._lock:
            is_there = self._tokens >= 1.0
            if is_there:
                self._tokens -= 1.0
            else:
                self.refused += 1
        return is_there

    def __reduce__(self) -> tuple[type[RetryBudget], tuple[float, float]]:
        return RetryBudget, (self.ratio, self.reserve)

    def __repr__(self) -> str:
        return f"RetryBudget(ratio={self.ratio}, reserve={self.reserve}): {self._tokens:.1f} left"
