"""What waits to be sent, by host: as much as may be read ahead, handed out in lanes.

A lane is some requests to one host that are sent one after the other. At most ``per_host`` lanes of a host are out at a
time, so there are never more requests to it side by side, whichever thread, process or machine has them; no lock and
no talk between these is needed. Time comes in as an argument.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..policy.rate_limit import RateLimit
from .requests import BulkRequest


class Politeness(NamedTuple):
    """What one host has to bear.

    ``gap_s``: between two lanes' starts, 0: none, ``burst``: how many of these may be saved up; ``lane_gap_s``: between
    a lane's requests.
    """

    per_host: int
    gap_s: float
    lane_least: int  # requests in a lane, if that many wait
    lane_most: int
    lane_gap_s: float = 0.0
    burst: int = 1


class Host:
    """The requests to one host that wait, and how many of its lanes are out."""

    __slots__ = ("due", "is_offered", "lanes", "name", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: deque[BulkRequest] = deque()
        self.lanes = 0
        self.due = 0.0  # when the next lane may go
        self.is_offered = False  # whether it stands among those that have a lane to give


class Lane(NamedTuple):
    """Requests to one host, for one thread. ``gap_s``: what the thread waits before each of them."""

    host: str
    requests: list[BulkRequest]
    gap_s: float = 0.0

    def behind(self, count: int) -> Lane:
        """The lane without its first requests."""
        return self._replace(requests=self.requests[count:])


class Backlog:
    """Requests by host. ``requests``: pairs of host and request, taken when there is room; None for what needs none."""

    def __init__(self, requests: Iterable[tuple[str, BulkRequest] | None], politeness: Politeness, window: int) -> None:
        self._source: Iterator[tuple[str, BulkRequest] | None] | None = iter(requests)
        self._politeness = politeness
        self._rate = RateLimit(1 / politeness.gap_s, politeness.burst) if politeness.gap_s else None
        self._window = window
        self.hosts: dict[str, Host] = {}
        self._ready: deque[Host] = deque()
        self._later: list[tuple[float, str, Host]] = []  # a heap of those whose time has not come
        self.waiting = 0
        self.error: Exception | None = None  # what the iterable raised

    @property
    def is_at_end(self) -> bool:
        """Whether there is nothing to hand out any more."""
        return self._source is None and not self.waiting

    def read(self) -> bool:
        """Read one item; False if there is no room, or none is left."""
        if self._source is None or self.waiting >= self._window:
            return False
        try:
            pair = next(self._source)
        except StopIteration:
            self._source = None
            return False
        except Exception as error:  # raised to the caller when what is under way is done
            self._source, self.error = None, error
            return False
        if pair is None:
            return True
        name, request = pair
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(name)
        host.waiting.append(request)
        self.waiting += 1
        self._offer(host)
        return True

    def take(self, now: float) -> Lane | None:
        """A lane that may be sent at ``now``, or None."""
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        if not self._ready:
            return None
        host = self._ready.popleft()
        host.is_offered = False
        count = self._lane_length(host)
        requests = [host.waiting.popleft() for _ in range(count)]
        self.waiting -= count
        host.lanes += 1
        if self._rate is not None:
            self._rate.take(host.name, now)
            host.due = self._rate.next_at(host.name)
        self._offer(host)
        return Lane(host.name, requests, self._politeness.lane_gap_s)

    def put_back(self, lane: Lane) -> None:
        """Requests of a lane that is still out were not sent: they go first when it is their host's turn."""
        self.hosts[lane.host].waiting.extendleft(reversed(lane.requests))
        self.waiting += len(lane.requests)

    def give_back(self, lane: Lane, now: float) -> None:
        """A lane's requests are done."""
        host = self.hosts[lane.host]
        host.lanes -= 1
        if host.waiting:
            self._offer(host)
        elif not host.lanes and host.due <= now:
            del self.hosts[lane.host]
        if len(self.hosts) > 2 * self._window:  # hosts whose only request is done, kept for their rate
            idle = [name for name, host in self.hosts.items() if not (host.waiting or host.lanes or host.due > now)]
            for name in idle:
                del self.hosts[name]

    def due_in(self, now: float) -> float | None:
        """Seconds until a host's time comes that has something to send; None if none waits for that."""
        return max(0.0, self._later[0][0] - now) if self._later else None

    def _offer(self, host: Host) -> None:
        if host.is_offered or not host.waiting or host.lanes >= self._politeness.per_host:
            return
        host.is_offered = True
        if self._rate is not None:
            heapq.heappush(self._later, (host.due, host.name, host))
        else:
            self._ready.append(host)

    def _lane_length(self, host: Host) -> int:
        """A fair share of what waits, so that a host's lanes end at about the same time."""
        waiting, politeness = len(host.waiting), self._politeness
        share = -(-waiting // (politeness.per_host - host.lanes))
        return min(waiting, politeness.lane_most, max(share, politeness.lane_least))
