"""A network that leads nowhere: whoever dials is written down, and answers come from a list.

Pools of `Nowhere.manager` are the usual ones, down to the socket; no byte leaves the process.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from poollib.connection import HTTPConnection, HTTPSConnection

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Visit:
    """One connection: what was dialled, and what was sent on it."""

    def __init__(self, scheme: str, host: str, port: int, uds: str | None) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.uds = uds
        self.sent = b""

    @property
    def lines(self) -> list[bytes]:
        """The lines of the one request that was sent; anything else fails."""
        lines = self.sent.split(b"\r\n")
        assert lines[-2:] == [b"", b""], self.sent
        assert all(lines[:-2]), self.sent
        assert not set(self.sent.replace(b"\r\n", b"")) & {0, 10, 13}, self.sent
        return lines[:-2]

    @property
    def target(self) -> bytes:
        """The request's target: visible ASCII alone, between two single blanks."""
        method, target, version = self.lines[0].split(b" ")
        assert (method, version) == (b"GET", b"HTTP/1.1"), self.sent
        assert target
        assert all(0x21 <= byte <= 0x7E for byte in target), target
        return target

    @property
    def fields(self) -> dict[str, str]:
        """The request's fields by name in lower case; none comes twice."""
        pairs = [line.decode("latin-1").split(": ", 1) for line in self.lines[1:]]
        fields = {name.lower(): value for name, value in pairs}
        assert len(fields) == len(pairs), self.sent
        return fields


class Nowhere:
    """Gives one answer per connection, the last one for ever."""

    def __init__(self) -> None:
        self._pools = {"http": self._http(), "https": self._https()}
        self.expect()

    def expect(self, answers: Iterable[bytes] = ()) -> None:
        """Begin anew, with these answers and then `OK`."""
        self.answers = [*answers, OK]
        self.visits: list[Visit] = []

    def dial(self, connection: Any) -> Any:
        visit = Visit(connection.scheme, connection._dns_host, connection.port, connection.uds)
        self.visits.append(visit)
        return _Socket(visit, self.answers[min(len(self.visits), len(self.answers)) - 1])

    def manager(self, **kw: Any) -> PoolManager:
        """A manager whose connections are made here."""
        manager = PoolManager(**kw)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def _http(self) -> type[HTTPConnectionPool]:
        network = self

        class Connection(HTTPConnection):
            def _new_conn(self) -> Any:
                return network.dial(self)

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        return Pool

    def _https(self) -> type[HTTPSConnectionPool]:
        network = self

        class Connection(HTTPSConnection):
            def _new_conn(self) -> Any:
                return network.dial(self)

            def _secure(self) -> None:
                self.is_verified = True

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        return Pool


class _Socket:
    """As much of a socket as a connection that closes after its answer asks for."""

    def __init__(self, visit: Visit, answer: bytes) -> None:
        self._visit = visit
        self._answer = answer

    def sendall(self, data: bytes) -> None:
        self._visit.sent += data

    def recv(self, limit: int, flags: int = 0) -> bytes:
        data, self._answer = self._answer[:limit], self._answer[limit:]
        return data

    def recv_into(self, view: memoryview) -> int:
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)

    def settimeout(self, seconds: float | None) -> None:
        pass

    def gettimeout(self) -> float | None:
        return None

    def fileno(self) -> int:
        return -1

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        pass

    def close(self) -> None:
        pass
