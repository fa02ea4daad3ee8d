"""What poollib, h11 and llhttp (by httptools) make of the same bytes, read as the answer to a GET before the end.

Each function takes all bytes of a connection, which ends behind them, and gives a `Verdict`.
Which answers to ask for and what a difference means is left to the tests.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import h11
import httptools

from poollib.exceptions import HTTPError
from poollib.http1.body_reader import body_reader
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.http1.response_head import complete_head
from tests.bytes.feeds import Feed

REFUSED, CUT, WHOLE = "refused", "cut", "whole"


class Verdict(NamedTuple):
    """`what`: REFUSED, CUT (more bytes would have to come) or WHOLE; then the final status and the body."""

    what: str
    status: int = 0
    body: bytes = b""
    why: str = ""


def poollib_says(data: bytes) -> Verdict:
    """As `connection` reads: interim heads are passed over, 101 is nobody's wish."""
    rest = [data]

    def receive(limit: int) -> bytes:
        return rest.pop() if rest else b""

    try:
        received, head, end = complete_head(receive, b"", DEFAULT_LIMITS)
        while head.status < 200:
            if head.status == 101:
                return Verdict(REFUSED, why="101 unasked")
            received, head, end = complete_head(receive, received[end:], DEFAULT_LIMITS)
        incoming = Feed(receive, lambda view: 0)
        incoming.data, incoming.at = (received, end) if end < len(received) else (b"", 0)
        body = body_reader(incoming, head.body_length("GET"), head.keep_alive)
        return Verdict(WHOLE, head.status, body.read_all())
    except HTTPError as error:
        return Verdict(CUT if "losed" in str(error) or "IncompleteRead" in str(error) else REFUSED, why=str(error))


def h11_says(data: bytes) -> Verdict:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(data)
        is_ended = False
        while True:
            event: Any = connection.next_event()
            if type(event) is h11.Response:
                status = event.status_code
            elif type(event) is h11.Data:
                body += bytes(event.data)
            elif type(event) is h11.EndOfMessage:
                return Verdict(WHOLE, status, body)
            elif event is h11.PAUSED:
                return Verdict(REFUSED, why="paused: 101 unasked")
            elif event is h11.NEED_DATA:
                if is_ended:
                    return Verdict(CUT)
                connection.receive_data(b"")
                is_ended = True
            elif type(event) is h11.ConnectionClosed:
                return Verdict(CUT)
    except h11.RemoteProtocolError as error:
        text = str(error)
        return Verdict(CUT if "closed" in text or "without sending complete" in text else REFUSED, why=text)


class _Heard:
    """The first final message that llhttp tells of."""

    def __init__(self) -> None:
        self.parser: Any = httptools.HttpResponseParser(self)
        self.status = 0
        self.body = b""
        self.is_framed = False
        self.has_head = self.is_whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_whole:
            self.is_framed = self.is_framed or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        if not self.is_whole:
            self.status = self.parser.get_status_code()
            self.has_head = self.status >= 200 or self.status == 101

    def on_body(self, data: bytes) -> None:
        if not self.is_whole:
            self.body += data

    def on_message_complete(self) -> None:
        if self.has_head:
            self.is_whole = True
        else:
            self.is_framed = False


def llhttp_says(data: bytes) -> Verdict:
    heard = _Heard()
    try:
        heard.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return Verdict(REFUSED, why="upgrade")
    except httptools.HttpParserError as error:
        if not heard.is_whole:
            return Verdict(REFUSED, why=str(error))
    if heard.status == 101:
        return Verdict(REFUSED, why="101 unasked")
    until_close = heard.has_head and not heard.is_framed
    if heard.is_whole or until_close:
        return Verdict(WHOLE, heard.status, heard.body)
    return Verdict(CUT)
