"""IdleQueue: a pool's idle connections, seen as the ``queue.LifoQueue`` that recorders and SDKs know from urllib3.

``HTTPConnectionPool.pool`` is one of these.  It holds nothing of its own: what it shows and hands out is what the
``EndpointPool`` holds, so the two can't disagree.  ``get`` leases a connection (an idle one, or a new one that has not
dialled yet, where urllib3's queue holds ``None`` for a free slot); ``put`` gives it back, or takes in one that was made
elsewhere.  Behaviour at the edges (``Empty``, ``Full``) is ``queue``'s.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from typing import TYPE_CHECKING

from ..base import after_fork
from ..base.endpoint import Endpoint
from ..exceptions import ClosedPoolError, EmptyPoolError, FullPoolError
from ..pool import EndpointPool, State
from ..pool.stats import PoolStats
from .connection_factory import ConnectionFactory, adapt
from .lease import Connection, HTTPEndpointPool

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .keyword_types import LendingSettings


class IdleQueue(queue.LifoQueue[object]):
    """The queue's interface over an EndpointPool; its size is the number of slots that are not leased."""

    def __init__(self, endpoint_pool: HTTPEndpointPool) -> None:
        super().__init__(endpoint_pool.maxsize or 0)
        self._endpoint_pool = endpoint_pool
        #: Leased through get() and not put back, by id; one operation of the dict at a time.
        self._leased_by_get: dict[int, Connection] = {}
        after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        """In a forked child: nothing is leased, and the thread that held the lock is not there."""
        self.mutex = threading.Lock()
        self._leased_by_get = {}

    def qsize(self) -> int:
        """How many connections can be had without waiting."""
        return max(0, (self._endpoint_pool.maxsize or 0) - self._endpoint_pool.leased)

    def empty(self) -> bool:
        return not self.qsize()

    def full(self) -> bool:
        return not self._endpoint_pool.leased

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """A leased connection; ``queue.Empty`` if none comes free in time."""
        if not block and self.empty():
            raise queue.Empty
        try:
            connection = self._endpoint_pool.acquire(timeout)
        except (EmptyPoolError, ClosedPoolError) as error:
            raise queue.Empty from error
        self._leased_by_get[id(connection)] = connection
        return connection

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Give a connection back, or take in a foreign one (None: a slot only); ``queue.Full`` if there is no room."""
        own = self._leased_by_get.pop(id(item), None)
        spare = None if own is not None else self._any_leased_by_get()
        if own is not None:
            self._endpoint_pool.release(own)
            return
        if spare is not None:
            self._endpoint_pool.discard(spare, "replaced through the queue")
        if item is None:
            return
        try:
            self._endpoint_pool.add_idle(adapt(item))
        except (FullPoolError, ClosedPoolError) as error:
            raise queue.Full from error

    def _any_leased_by_get(self) -> Connection | None:
        """One that was leased through get(), put back by this; None if there is none."""
        try:
            return self._leased_by_get.popitem()[1]
        except KeyError:
            return None

    def get_nowait(self) -> object:
        return self.get(block=False)

    def put_nowait(self, item: object) -> None:
        self.put(item, block=False)

    @property
    def queue(self) -> list[object]:
        """What the queue holds: None for each slot without a connection, then the idle connections, newest last."""
        idle = self._endpoint_pool.idle_connections()
        return [*[None] * max(0, self.qsize() - len(idle)), *idle]

    @queue.setter
    def queue(self, value: object) -> None:
        """``queue.Queue.__init__`` sets its store; there is none here."""


class CustomQueuePool(EndpointPool[Endpoint, Connection]):
    """A pool that leases in the order of a queue that a program has chosen by ``QueueCls``, as in urllib3.

    Of the EndpointPool below only making, counting and closing of connections is used: to it all that the queue holds
    is leased, which ``_queued`` tells apart. So nothing ages, and waiting is the queue's.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        factory: ConnectionFactory,
        *,
        maxsize: int,
        block: bool,
        chosen: queue.Queue[Connection | None],
        **kw: Unpack[LendingSettings],
    ) -> None:
        if kw.get("max_waiting") is not None:
            raise ValueError("max_waiting: with a QueueCls of its own a pool's requests wait in that queue, uncounted")
        super().__init__(endpoint, factory, maxsize=None, **kw)
        self._is_blocking, self._slots = block, maxsize
        self._fill(chosen)

    def _fill(self, chosen: queue.Queue[Connection | None]) -> None:
        """Use this queue from now on; each of its places is for a connection that is still to be made."""
        self._queued: set[int] = set()  # keys of the connections in the queue; changed under the lock
        self._peak_leased = 0
        self.queue = chosen
        for _ in range(self._slots):
            chosen.put(None)

    # -- looking --

    @property
    def idle(self) -> int:
        return len(self._queued)

    @property
    def leased(self) -> int:
        return len(self.leases) - len(self._queued)

    def idle_connections(self) -> list[Connection]:
        with self._shared, self._lock:
            return [entry.connection for entry in self.leases.values() if entry.key in self._queued]

    def stats(self) -> PoolStats:
        stats = super().stats()
        return stats.with_idle(min(self.idle, stats.leased), self._peak_leased)

    def _note_leased(self, connection: Connection) -> None:
        """A connection of the queue, or a new one, is leased."""
        with self._shared, self._lock:
            if (key := id(connection)) in self._queued:
                self._queued.discard(key)
                self._not_reused -= 1
                if self._settings.leak_timeout is not None:
                    self.leases[key].leased_at = self._clock()
            self._peak_leased = max(self._peak_leased, self.leased)

    def _note_queued(self, connection: Connection) -> None:
        """It is in the queue, or is about to be: its lease is over, nobody can be interrupted in it any more.

        FullPoolError for a second return: the queue would give the connection to two.
        """
        with self._shared, self._lock:
            entry = self.leases.get(id(connection))
            if entry is None:
                return
            if entry.key in self._queued:
                raise self._error_locked(FullPoolError, f"{connection!r} was returned twice")
            self._queued.add(entry.key)
            self._not_reused += 1  # until it is leased
            entry.leased_at, entry.is_leak_reported = math.inf, False
            entry.reuses += 1

    # -- leasing --

    def acquire(self, timeout: float | None = None) -> Connection:
        """What the queue gives, if it is still good, else a new connection. EmptyPoolError, ClosedPoolError."""
        if not after_fork.same_process[0]:
            after_fork.check()
        try:
            is_open = self.state is State.OPEN
            connection = self.queue.get(block=self._is_blocking, timeout=timeout) if is_open else None
        except queue.Empty:
            if self._is_blocking:
                text = "Pool is empty and a new connection can't be opened due to blocking mode."
                raise EmptyPoolError(self, text) from None
            connection = None
        try:
            if self.state is not State.OPEN:
                self._raise_unless_open()
            if connection is not None and not self.factory.usable(connection):
                self._drop(connection, "dead when asked for")
                connection = None
            if connection is None:
                connection = super().acquire(timeout)
            self._note_leased(connection)
            if (now := self._clock()) >= self._shared.leaks_at:
                self._report_all_leaks(now)
            return connection
        except BaseException:  # what came out of the queue, or the place that did, must not be lost
            if connection is None:
                self._free_slot()
            else:
                self.reclaim(connection, None)
            raise

    def _raise_unless_open(self) -> None:
        with self._shared, self._lock:
            self._raise_unless_open_locked(0.0)

    def release(self, connection: Connection, *, idle_limit: float | None = None) -> None:
        """Put it into the queue; if that is full, close it and warn, or FullPoolError."""
        if self._shared.is_held():  # a finaliser in the middle of a decision
            self._defer_return(connection, idle_limit, None)
            return
        if self.state is not State.OPEN:
            self._drop(connection, "the pool is closed")
            return
        self._note_queued(connection)
        try:
            self.queue.put(connection, block=False)
        except queue.Full:
            self._refuse_return(connection)
        if self.state is not State.OPEN:  # it was closed meanwhile, and may have looked into the queue before
            self._empty("the pool is closed")

    def _refuse_return(self, connection: Connection) -> None:
        """The queue is full: of a pool that was closed meanwhile, or by a program's own doing."""
        is_open = self.state is State.OPEN
        self._drop(connection, "the pool is full" if is_open else "the pool is closed")
        if not is_open:
            return
        if self._is_blocking:
            raise FullPoolError(self, "Pool reached maximum size and no more connections are allowed.")
        self._call_on_full(connection)

    def _drop(self, connection: Connection, reason: str) -> None:
        """Close it; its place in the queue is somebody else's already."""
        self._queued.discard(id(connection))
        super().discard(connection, reason)

    def discard(self, connection: Connection, reason: str = "discarded") -> None:
        if self._shared.is_held():
            self._defer_return(connection, None, reason)
            return
        self._drop(connection, reason)
        self._free_slot()

    def reclaim(self, connection: Connection, lease: int | None) -> None:
        was_ours = id(connection) in self.leases
        super().reclaim(connection, lease)
        if was_ours and id(connection) not in self.leases:
            self._queued.discard(id(connection))
            self._free_slot()

    def detach(self, connection: Connection) -> Connection:
        self._queued.discard(id(connection))
        super().detach(connection)
        self._free_slot()
        return connection

    def drop_idle(self, reason: str = "refreshed") -> int:
        """How many connections of the queue were closed: all there were; their places stay."""
        count = self._empty(reason)
        for _ in range(count):
            self._free_slot()
        return count

    def _empty(self, reason: str) -> int:
        """How many connections were taken out of the queue and closed."""
        taken: list[Connection | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                taken.append(self.queue.get(block=False))
        connections = [connection for connection in taken if connection is not None]
        for connection in connections:
            self._drop(connection, reason)
        for _ in range(len(taken) - len(connections)):
            self._free_slot()
        return len(connections)

    def _free_slot(self) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put(None, block=False)

    def close(self, timeout: float | None = None) -> bool:
        """As of any pool. The state comes first: who returns one from now on closes it, or finds it in the queue."""
        self._start_closing()
        self._empty("the pool is closed")
        closed = super().close(timeout)
        self._free_slot()
        return closed

    def _reset_after_fork(self) -> None:
        """In a forked child: with a new queue, which holds nothing of the parent's and whose lock is free."""
        super()._reset_after_fork()
        self._fill(type(self.queue)(self._slots))
