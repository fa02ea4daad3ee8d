"""The interim responses (1xx) to one request: which are kept, and how many may come.

``connection`` and ``net/http_tunnel`` note each one here before they read on. A server that works for hours may send
them all the time, so what is limited is their rate, and no more of them are kept than may come at once.
Source: RFC 9110 section 15.2; Go bounds the bytes of all together, curl nothing.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ..exceptions import InvalidResponseError
from .grammar import Limits
from .response_head import Head

#: How many a second may follow the ``Limits.interim_responses`` that may come at once. Reading one takes some 10 us.
INTERIM_PER_S: Final = 10.0


class InterimResponses:
    """The interim responses to one request, from the first one on, which came at ``now`` (on any clock)."""

    __slots__ = ("_count", "_since", "is_continued", "kept")

    def __init__(self, now: float) -> None:
        self.kept: list[tuple[int, list[tuple[str, str]]]] = []
        self.is_continued = False  # whether 100 Continue was among them
        self._count = 0
        self._since = now

    def note(self, head: Head, limits: Limits, now: float) -> None:
        """Count one more. InvalidResponseError when they come too fast, from then on each time."""
        most = limits.interim_responses
        self._count += 1
        if self._count > most + (now - self._since) * INTERIM_PER_S:
            self._since = inf
            raise InvalidResponseError(
                f"more than {most} interim responses (1xx) at once and {INTERIM_PER_S:g} a second"
            )
        self.is_continued = self.is_continued or head.status == 100
        if len(self.kept) < most:
            self.kept.append((head.status, head.pairs()))
