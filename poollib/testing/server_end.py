"""The server's end of one connection in memory: requests are read, recorded and answered.

``memory_socket`` hands over what the client sends and plays the steps that come back. Proxies are played as well: a
CONNECT opens a tunnel unless a row answers it, and a request with an absolute URL is recorded by that.
Follows RFC 9112 section 3.2, RFC 9110 sections 9.3.6 and 10.1.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from .answers import Answer, End, Step
from .connect_faults import ConnectFault
from .recorded_requests import RecordedRequest, RequestHead, RequestReader
from .table import Table, host_and_port, normal_url, origin_of

_TUNNEL_IS_OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Answering(Protocol):
    """What a connection asks of the fake transport."""

    table: Table

    def answer_to(self, request: RecordedRequest) -> Answer | ConnectFault:
        """The answer to a request, which is recorded. UnexpectedRequest: there is none."""


class ServerEnd:
    """What a server knows of one connection; ``number``: which one it is, from 1."""

    def __init__(self, server: Answering, scheme: str, host: str, port: int, number: int) -> None:
        self._server = server
        self._scheme = scheme
        self._host, self._port = host, port
        self._number = number
        self._reader = RequestReader()
        self._head: RequestHead | None = None

    def is_wanted(self) -> bool:
        """Whether the idle connection stays open: not if the next one to the same server is to fail."""
        return not self._server.table.fault_is_due(self._host, self._port)

    def receive(self, data: bytes) -> Iterator[Step]:
        """What the server sends upon these bytes. UnexpectedRequest; ValueError for what is no request."""
        for part in self._reader.feed(data):
            if isinstance(part, RequestHead):
                self._head = part
                if part.expects_continue:
                    yield _CONTINUE
            elif self._head is not None:
                yield from self._answered(self._head, part)

    def _answered(self, head: RequestHead, body: bytes) -> Iterator[Step]:
        if head.method == "CONNECT" and not self._server.table.has_row("CONNECT", head.target):
            self._host, self._port = host_and_port(head.target)
            yield _TUNNEL_IS_OPEN
            return
        request = RecordedRequest(head.method, self._url(head), head.headers, body, self._number)
        answer = self._server.answer_to(request)
        if isinstance(answer, ConnectFault):  # it needs a new connection
            yield End.CLOSE
            return
        yield from answer.steps(head.method)
        if head.headers.get("connection", "").lower() == "close":
            yield End.CLOSE

    def _url(self, head: RequestHead) -> str:
        if head.target.startswith("/"):
            return f"{origin_of(self._scheme, self._host, self._port)}{head.target}"
        return head.target if head.method == "CONNECT" or head.target == "*" else normal_url(head.target)
