"""Where a pool's connections come from, how those of other classes are adapted, and what they have counted.

The lending core asks a factory to make, judge, warm and close connections; :class:`ConnectionFactory` is the one of an
``HTTPConnectionPool``.  It hands out connections that dial when they are first used, and keeps the counts of those that
close.  When and why is the core's business, how to dial the connection's.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Final, Protocol, cast

from ..base import after_fork
from ..base.loggers import logger
from ..exchange.transport import Transport

if TYPE_CHECKING:
    import queue

    from ..base.endpoint import Endpoint
    from ..exchange.base_response import BaseHTTPResponse
    from ..exchange.request_value import Request
    from ..policy.retry import Retry
    from .lease import Connection

log = logger("poollib.connectionpool")  # users know the pool's logger


class ConnectionSource(Protocol):
    """What the factory needs of a pool."""

    host: str

    def _new_conn(self) -> Connection:
        """A connection that dials when it is first used."""

    @property
    def pool(self) -> queue.Queue[object] | queue.Queue[Connection | None] | None:
        """The idle connections as a queue; None once the pool is closed."""


#: What a connection of somebody else's class may lack: nothing is known of it, so it is taken for a new one.
_FACTS: Final[dict[str, object]] = {
    "sock": None,
    "request_options": None,
    "is_outdated": False,
    "made_for": None,
    "requests_sent": 0,
    "exchange_count": 0,
    "has_answered": True,
    "bytes_sent": 0,
    "bytes_received": 0,
    "idle_limit_s": None,
    "has_connected_to_proxy": True,
    "proxy_is_verified": None,
}


def adapt(connection: object) -> Connection:
    """The connection itself, with the facts that one of somebody else's class lacks.

    For those that come from a subclass's method, from a program by the pool's queue, or from a recorder or mock.
    """
    if not isinstance(connection, Transport):
        for name, value in _FACTS.items():
            if not hasattr(connection, name):
                setattr(connection, name, value)
    return cast("Connection", connection)


class _Stub(Protocol):
    """A response of somebody else's class, that a recorder or a subclass has put in the response's place."""

    retries: Retry | None
    _pool: object
    _connection: object


def adapt_response(response: object, pool: object, retries: Retry, connection: Connection | None) -> None:
    """Let a response of somebody else's class know what ours know: its pool, and the connection if it holds that."""
    stub = cast("_Stub", response)
    stub.retries = retries
    stub._pool = pool
    if connection is not None:
        stub._connection = connection


def request_by(
    make: Callable[..., BaseHTTPResponse],
    connection: Connection,
    request: Request,
    headers: Mapping[str, str] | None,
) -> BaseHTTPResponse:
    """An exchange by ``_make_request`` as urllib3 calls it: somebody has their own of that or of what it calls."""
    wanted = request.wanted
    if not wanted.enforce_content_length:
        make = partial(make, enforce_content_length=False)
    return make(
        connection,
        request.method,
        request.target,
        body=request.body,
        headers=headers,
        retries=request.retries,
        timeout=request.timeout,
        chunked=request.chunked,
        preload_content=wanted.preload_content,
        decode_content=wanted.decode_content,
    )


#: urllib3's words, and what to do
FULL = (
    "Connection pool is full, discarding connection: %s. Connection pool size: %s"
    " (raise maxsize, or set block=True; said once for this pool)"
)
COUNTED = ("requests", "bytes_sent", "bytes_received")


class ConnectionFactory:
    """How a pool's connections are made, judged and closed; holds the pool weakly, so that no ring is made.

    Only who leases a connection writes to its counts; those of closed ones are summed up here, guarded by the lock.
    """

    __slots__ = ("_pool", "_received", "_requests", "_sent", "_told", "_told_of_full", "errors", "opened")

    # One for all: it is held for a sum, and 88 bytes for each would be more than the sums. Re-entrant, because the
    # garbage collector may close a lost response's connection in the very thread that holds it.
    _lock = threading.RLock()

    def __init__(self, pool: ConnectionSource) -> None:
        self._pool = weakref.ref(pool)
        self._start_counting()

    def _start_counting(self) -> None:
        self._requests = self._sent = self._received = 0  # of those that are closed
        self._told: dict[str, int] | None = None  # what growing_totals told last
        self.errors = 0
        self.opened = 0
        self._told_of_full = False

    def reset_after_fork(self) -> None:
        """In a forked child: nothing counted yet, and a lock that nobody holds."""
        self._unlock()
        self._start_counting()

    @classmethod
    def _unlock(cls) -> None:
        cls._lock = threading.RLock()

    def count_error(self) -> None:
        """One more request failed."""
        with self._lock:
            self.errors += 1

    def count_connection(self) -> int:
        """One more connection was made; how many there were."""
        with self._lock:
            self.opened += 1
            return self.opened

    def totals(self, connections: list[Connection]) -> dict[str, int]:
        """The counts of all connections there are (``connections``) and were, by name."""
        with self._lock:
            sums = _NOTHING
            for connection in connections:
                sums = _added(sums, connection)
            requests, sent, received = sums
            sums = requests + self._requests, sent + self._sent, received + self._received
        return dict(zip(COUNTED, sums, strict=True))

    def growing_totals(self, connections: list[Connection]) -> dict[str, int]:
        """The same, never less than before.

        One that is just being closed is neither there nor closed: what it counted is missing for a moment.
        """
        totals = self.totals(connections)
        with self._lock:
            told = self._told or totals
            self._told = {name: max(count, told[name]) for name, count in totals.items()}
            return dict(self._told)

    def connect(self, endpoint: Endpoint, timeout: float | None) -> Connection:
        """A connection that dials when it is first used."""
        pool = self._pool()
        if pool is None:
            raise ReferenceError("the pool is gone")
        connection = adapt(pool._new_conn())
        connection.made_for = endpoint  # read before the settings were: a change in between makes it outdated
        return connection

    #: ``usable(connection)``: whether nothing came on the idle connection, no byte, no end. Without a frame of its own.
    usable: Callable[[Connection], bool] = staticmethod(methodcaller("is_reusable"))

    def warm(self, connection: Connection, timeout: float | None) -> None:
        """Dial ahead of demand."""
        if timeout is not None:
            connection.timeout = timeout
        connection.connect()

    def forget(self, connection: Connection) -> None:
        """In a forked child: let go of the parent's socket without a word on it."""
        sock, connection.sock = connection.sock, None
        connection.close()
        if sock is not None:
            after_fork.drop_descriptor(sock)

    def close(self, connection: Connection) -> None:
        """Close it, and keep what it counted."""
        connection.close()
        self.on_detach(connection)

    def on_detach(self, connection: Connection) -> None:
        """Keep what a connection counted that leaves the pool."""
        requests, sent, received = _added(_NOTHING, connection)
        with self._lock:
            self._requests += requests
            self._sent += sent
            self._received += received
            connection.requests_sent = connection.bytes_sent = connection.bytes_received = 0

    def on_full(self, connection: Connection) -> None:
        """Log that a connection is closed because the pool has its number of idle ones: once, then at DEBUG.

        The line begins with urllib3's words, which programs look for.
        """
        pool = self._pool()
        idle = None if pool is None else pool.pool
        if pool is not None and idle is not None:
            with self._lock:
                level = logging.DEBUG if self._told_of_full else logging.WARNING
                self._told_of_full = True
            log.log(level, FULL, pool.host, idle.maxsize)


_NOTHING = (0, 0, 0)


def _added(sums: tuple[int, int, int], connection: Connection) -> tuple[int, int, int]:
    """The sums with what a connection has counted."""
    requests, sent, received = sums
    return requests + connection.requests_sent, sent + connection.bytes_sent, received + connection.bytes_received
