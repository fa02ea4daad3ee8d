"""FakeTransport: what a program's requests meet in its tests, in the place of sockets.

A test says what is answered, by rows or by a function, and looks at what was asked. The parts: ``answers`` and
``connect_faults`` are the values a test orders, ``table`` finds the one that is due, ``memory_connections`` puts
``memory_socket`` where a pool's connections dial, ``server_end`` reads, records and answers on the other side of it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

from ..base_url_client import BaseUrlClient
from ..connectionpool import HTTPConnectionPool
from ..poolmanager import PoolManager
from .answers import Answer
from .connect_faults import ConnectFault
from .memory_connections import installed, installed_in, methods, sleep_really
from .memory_socket import MemorySocket
from .recorded_requests import RecordedRequest
from .server_end import ServerEnd
from .table import Reply, Row, Table, UrlPattern

Target = TypeVar("Target", BaseUrlClient, PoolManager, HTTPConnectionPool)


class FakeTransport:
    """Answers in memory. ``with`` it, every pool of poollib's uses it; ``attach`` gives it to one.

    ``answer``: asked for what no row answers; None is no answer. ``connect``: asked for host and port of each new
    connection what it fails with, None for nothing. ``real_time``: a stall takes the caller's timeout, and waits
    between attempts take place; otherwise both are over at once, and ``pauses`` has the waits.
    """

    def __init__(
        self,
        answer: Callable[[RecordedRequest], Answer | None] | None = None,
        *,
        connect: Callable[[str, int], ConnectFault | None] | None = None,
        real_time: bool = False,
    ) -> None:
        self.table = Table()
        self.requests: list[RecordedRequest] = []
        self.connections = 0
        self.pauses: list[float] = []
        self._answer = answer
        self._connect = connect
        self._real_time = real_time
        self._lock = threading.Lock()  # guards requests, connections, and the sockets
        self._sockets: weakref.WeakSet[MemorySocket] = weakref.WeakSet()
        self._stack = ExitStack()

    # -- what is answered --

    def add(
        self, method: str | None, url: UrlPattern, *replies: Reply, times: int | None = None, optional: bool = False
    ) -> Row:
        """A row that answers requests by this method (None: any) to this URL with each reply in turn, then the last.

        ``url``: with its query, a compiled pattern for all of it, or a function. ``times``: how often in all, then
        later rows come; None: for ever. ``check`` wants each reply to have been given, unless it is ``optional``.
        ValueError, TypeError.
        """
        return self.table.add(Row(method, url, replies or (Answer(),), times, optional))

    def check(self) -> None:
        """AssertionError if a reply was not given, or a request came that was not expected."""
        self.table.check()

    # -- who uses it --

    def attach(self, target: Target) -> Target:
        """The same client, manager or pool, whose connections are this transport's from now on.

        A manager's pools are closed; a pool must not have opened a connection yet (ValueError).
        """
        if isinstance(target, (PoolManager, HTTPConnectionPool)):
            installed_in(target, methods(self))
        elif isinstance(manager := target.manager, PoolManager):
            installed_in(manager, methods(self))
        else:
            raise TypeError(f"{type(manager).__name__} is no PoolManager of poollib's")
        return target

    def __enter__(self) -> FakeTransport:
        self._stack.enter_context(installed(methods(self), self._sleep))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self._stack.close()
        self.close()
        if error is None:
            self.check()

    def close(self) -> None:
        """Close the server's end of every connection, so that no pool uses one again."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            sock.hang_up()

    def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.pauses.append(seconds)
        if self._real_time:
            sleep_really(seconds)

    # -- what connections ask --

    def open(self, scheme: str, host: str, port: int) -> MemorySocket | ConnectFault:
        """A connected socket, or what the connection fails with."""
        fault = self.table.take_fault(host, port, in_tls=False)
        if fault is None and self._connect is not None:
            fault = self._connect(host, port)
        if fault is not None and fault.alert is None:
            return fault
        with self._lock:
            self.connections += 1
            end = ServerEnd(self, scheme, host, port, self.connections)
            sock = MemorySocket(end.receive, end.is_wanted, real_time=self._real_time)
            self._sockets.add(sock)
        return sock

    def tls_fault(self, host: str, port: int) -> ConnectFault | None:
        """The alert that the TLS handshake with this server ends with; None: it goes well."""
        fault = self.table.take_fault(host, port, in_tls=True)
        if fault is None and self._connect is not None:
            fault = self._connect(host, port)
        return fault

    def answer_to(self, request: RecordedRequest) -> Answer | ConnectFault:
        """The answer to a request, which is recorded. UnexpectedRequest: there is none."""
        with self._lock:
            self.requests.append(request)
        reply: object = self.table.reply_to(request)
        if isinstance(reply, ConnectFault):
            self._forget(request)
            return reply
        if reply is None and self._answer is not None:
            reply = self._answer
        if callable(reply):
            reply = reply(request)
        if reply is None:
            raise self.table.unexpected(request)
        if not isinstance(reply, Answer):
            raise TypeError(f"the answer to {request} is an Answer, not {type(reply).__name__}")
        return reply

    def _forget(self, request: RecordedRequest) -> None:
        """Take a request back that came on a connection which was to be closed."""
        with self._lock:
            self.requests.remove(request)
