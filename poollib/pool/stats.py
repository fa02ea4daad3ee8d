"""PoolStats: what a pool counts, at one moment.

A pool takes the snapshot under its lock and hands it to whoever asks: tests, health endpoints, error texts.
Nothing here changes while a pool lives on; ``sum_of`` adds several snapshots up for a pool of pools.
The choice of figures follows psycopg_pool's ``get_stats`` and Apache HttpClient's ``PoolStats``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: Mapping[str, int] = MappingProxyType({})


class PoolStats(NamedTuple):
    """The figures of one pool, or of several in sum; frozen.

    Up to ``maxsize`` they say how things are now, behind it what happened since the pool was made.

    ================ ===================================================================================
    idle             connections that could be leased at once
    leased           connections that are leased
    opening          connections being opened
    closing          connections being closed; they still count against the limits
    waiting          threads that wait for a connection
    maxsize          the limit; None: no limit (in a sum: the limit of the whole)
    most_leased      the most connections that were leased at one time (in a sum: the sum of these)
    opened           connections opened
    reused           times an idle connection was leased
    returned         times a connection came back and was kept
    dropped          connections that left the pool, by reason
    expired          those of them that left because of age (idle too long, lifetime over)
    waited           times a thread had to wait
    wait_s           seconds spent waiting, in sum
    timeouts         times a thread gave up waiting, with EmptyPoolError
    refused          times a thread was refused since ``max_waiting`` others waited, with TooManyWaitingError
    connect_errors   times the factory's connect failed
    leaks            leases reported as held longer than ``leak_timeout``
    ================ ===================================================================================
    """

    idle: int = 0
    leased: int = 0
    opening: int = 0
    closing: int = 0
    waiting: int = 0
    maxsize: int | None = None
    most_leased: int = 0
    opened: int = 0
    reused: int = 0
    returned: int = 0
    dropped: Mapping[str, int] = _NOTHING
    expired: int = 0
    waited: int = 0
    wait_s: float = 0.0
    timeouts: int = 0
    refused: int = 0
    connect_errors: int = 0
    leaks: int = 0

    def with_idle(self, idle: int, most_leased: int) -> PoolStats:
        """The same where so many of the leased ones are idle in truth."""
        return self._replace(idle=idle, leased=self.leased - idle, most_leased=most_leased)

    def by_name(self) -> dict[str, Any]:
        """All figures by their names."""
        return {**self._asdict(), "dropped": dict(self.dropped)}

    @property
    def total(self) -> int:
        """How many connections exist or are about to: what the limits are compared with."""
        return self.idle + self.leased + self.opening + self.closing


def sum_of(snapshots: Iterable[PoolStats], maxsize: int | None) -> PoolStats:
    """All ``snapshots`` added up, reasons by reason; ``maxsize`` is the limit of the whole."""
    every = list(snapshots)
    dropped: dict[str, int] = {}
    for snapshot in every:
        for reason, count in snapshot.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    figures = [snapshot.by_name() for snapshot in every]
    sums = {
        name: sum(by_name[name] for by_name in figures)
        for name in PoolStats().by_name()
        if name not in ("dropped", "maxsize")
    }
    return PoolStats(**sums, dropped=MappingProxyType(dropped), maxsize=maxsize)
