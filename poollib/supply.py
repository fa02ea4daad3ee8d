"""Where a pool's connections come from, and what they have counted.

The lending core asks a factory to make, judge, warm and close connections; :class:`Supply` is the one of an
``HTTPConnectionPool``.  It hands out connections that dial when they are first used, and keeps the counts of those that
close in a :class:`Tally`.  When and why is the core's business, how to dial the connection's.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, Protocol

from .pool import forks


class Tally:
    """What connections have counted. Only who leases a connection writes to it; closed ones are summed up here.

    The lock guards the sums.
    """

    COUNTED = ("requests", "bytes_sent", "bytes_received")

    def __init__(self) -> None:
        self.start_afresh()
        forks.remember(self)

    def start_afresh(self) -> None:
        """Nothing counted yet; called in a forked child, too."""
        self._lock = threading.Lock()
        self._retired = dict.fromkeys(self.COUNTED, 0)
        self.errors = 0
        self.opened = 0

    def retire(self, connection: Any) -> None:
        """Keep a closed connection's counts, once."""
        with self._lock:
            for name in self.COUNTED:
                self._retired[name] += getattr(connection, name, 0)
                setattr(connection, name, 0)

    def count_error(self) -> None:
        """One more request failed."""
        with self._lock:
            self.errors += 1

    def count_connection(self) -> int:
        """One more connection was made; how many there were."""
        with self._lock:
            self.opened += 1
            return self.opened

    def total(self, name: str, connections: list[Any]) -> int:
        """The count of all connections there are and were."""
        with self._lock:
            return self._retired[name] + sum(getattr(connection, name, 0) for connection in connections)


class Supplied(Protocol):
    """What Supply needs of a pool."""

    _tally: Tally

    def _new_conn(self) -> Any:
        """A connection that dials when it is first used."""


class Supply:
    """How a pool's connections are made, judged and closed; holds the pool weakly, so that no ring is made."""

    __slots__ = ("_pool",)

    def __init__(self, pool: Supplied) -> None:
        self._pool = weakref.ref(pool)

    def connect(self, endpoint: Any, timeout: float | None) -> Any:
        """A connection that dials when it is first used."""
        pool = self._pool()
        if pool is None:
            raise ReferenceError("the pool is gone")
        return pool._new_conn()

    def usable(self, connection: Any) -> bool:
        """Whether nothing came on the idle connection: no byte, no end."""
        return bool(connection.is_reusable())

    def warm(self, connection: Any, timeout: float | None) -> None:
        """Dial ahead of demand."""
        if timeout is not None:
            connection.timeout = timeout
        connection.connect()

    def forget(self, connection: Any) -> None:
        """In a forked child: let go of the parent's socket without a word on it."""
        sock, connection.sock = connection.sock, None
        connection.close()
        if sock is not None:
            forks.forget(sock)

    def close(self, connection: Any) -> None:
        """Close it, and keep what it counted."""
        connection.close()
        pool = self._pool()
        if pool is not None:
            pool._tally.retire(connection)
