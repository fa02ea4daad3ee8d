"""IdleQueue: a pool's idle connections, seen as the ``queue.LifoQueue`` that recorders and SDKs know from urllib3.

``HTTPConnectionPool.pool`` is one of these.  It holds nothing of its own: what it shows and hands out is what the
lending core holds, so the two can't disagree.  ``get`` leases a connection (an idle one, or a new one that has not
dialled yet, where urllib3's queue holds ``None`` for a free slot); ``put`` gives it back, or takes in one that was made
elsewhere.  Behaviour at the edges (``Empty``, ``Full``) is ``queue``'s.
"""

from __future__ import annotations

import queue
from typing import Any

from .exceptions import ClosedPoolError, EmptyPoolError, FullPoolError
from .pool.core import EndpointPool


class IdleQueue(queue.LifoQueue[Any]):
    """The queue's interface over an EndpointPool; its size is the number of slots that are not lent."""

    def __init__(self, lending: EndpointPool[Any, Any]) -> None:
        super().__init__(lending.maxsize or 0)
        self._lending = lending
        self._out: dict[int, Any] = {}  # leased through get() and not put back; guarded by self.mutex

    def qsize(self) -> int:
        """How many connections can be had without waiting."""
        return max(0, (self._lending.maxsize or 0) - self._lending.leased)

    def empty(self) -> bool:
        return not self.qsize()

    def full(self) -> bool:
        return not self._lending.leased

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """A leased connection; ``queue.Empty`` if none comes free in time."""
        if not block and self.empty():
            raise queue.Empty
        try:
            connection = self._lending.acquire(timeout)
        except EmptyPoolError as error:
            raise queue.Empty from error
        with self.mutex:
            self._out[id(connection)] = connection
        return connection

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Give a connection back, or take in a foreign one (None: a slot only); ``queue.Full`` if there is no room."""
        with self.mutex:
            own = self._out.pop(id(item), None)
            spare = None if own is not None or not self._out else self._out.popitem()[1]
        if own is not None:
            self._lending.release(own)
            return
        if spare is not None:
            self._lending.discard(spare, "replaced through the queue")
        if item is None:
            return
        try:
            self._lending.adopt(item)
        except (FullPoolError, ClosedPoolError) as error:
            raise queue.Full from error

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def put_nowait(self, item: Any) -> None:
        self.put(item, block=False)

    @property
    def queue(self) -> list[Any]:
        """What the queue holds: None for each slot without a connection, then the idle connections, newest last."""
        idle = self._lending.idle_connections()
        return [None] * max(0, self.qsize() - len(idle)) + idle

    @queue.setter
    def queue(self, value: Any) -> None:
        """``queue.Queue.__init__`` sets its store; there is none here."""
