"""Behind poollib.testing: requests in pieces, a socket in memory, a connection that was kept for too long."""

from __future__ import annotations

import http.client
import socket

import pytest

import poollib
from poollib.connection import HTTPConnection
from poollib.testing import Answer, FakeTransport, refused
from poollib.testing.answers import End, Step
from poollib.testing.memory_socket import MemorySocket
from poollib.testing.recorded_requests import RequestHead, RequestReader
from poollib.testing.server_end import ServerEnd

URL = "http://a.example/x"
REQUESTS = (
    b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    b"PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\nTrailer: 1\r\n\r\n"
    b"GET /c HTTP/1.1\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(REQUESTS)])
def test_requests_are_read_from_pieces_of_any_length(size: int) -> None:
    reader = RequestReader()
    found: list[RequestHead | bytes] = []
    for at in range(0, len(REQUESTS), size):
        found += reader.feed(REQUESTS[at : at + size])
    assert [part if isinstance(part, bytes) else part.target for part in found] == [
        *("/a", b"abc"),
        *("/b", b"def"),
        *("/c", b""),
    ]


def test_what_is_no_request_is_named() -> None:
    with pytest.raises(ValueError, match="no request line"):
        list(RequestReader().feed(b"\x05\x01\x00\r\n\r\n"))  # a SOCKS greeting


def steps_of(fake: FakeTransport, data: bytes) -> list[Step]:
    return list(ServerEnd(fake, "http", "a.example", 80, 1).receive(data))


def test_a_body_that_waits_is_asked_for() -> None:
    fake = FakeTransport(lambda request: Answer(204))
    head = b"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    assert steps_of(fake, head) == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    assert len(steps_of(fake, head + b"a")) == 2


def test_a_connection_is_closed_where_either_side_says_so() -> None:
    fake = FakeTransport(lambda request: Answer(204, headers={} if request.url == URL else {"Connection": "close"}))
    assert steps_of(fake, b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")[-1] is End.CLOSE
    assert steps_of(fake, b"GET /y HTTP/1.1\r\n\r\n")[-1] is End.CLOSE
    assert End.CLOSE not in steps_of(fake, b"GET /x HTTP/1.1\r\n\r\n")


def test_a_request_on_a_connection_that_is_to_fail_is_not_recorded() -> None:
    fake = FakeTransport()
    row = fake.add("GET", URL, refused(), Answer())
    assert steps_of(fake, b"GET /x HTTP/1.1\r\n\r\n") == [End.CLOSE]
    assert (fake.requests, row.given) == ([], 0)


def test_what_is_looked_at_can_be_received_still() -> None:
    sock = MemorySocket(lambda data: [b"abc", End.CLOSE])
    sock.sendall(b"x")
    assert sock.recv(2, socket.MSG_PEEK) == b"ab"
    assert sock.pending() == 3
    assert (sock.recv(2), sock.recv(2), sock.recv(2)) == (b"ab", b"c", b"")


def test_nothing_is_sent_to_a_closed_end() -> None:
    sock = MemorySocket(lambda data: [End.CLOSE])
    sock.sendall(b"x")
    with pytest.raises(BrokenPipeError):
        sock.sendall(b"y")
    sock.close()
    for call in (lambda: sock.recv(1), lambda: sock.send(b"z"), lambda: sock.shutdown(socket.SHUT_WR)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()


def test_a_manager_that_has_pools_forgets_them() -> None:
    with FakeTransport() as first:
        first.add("GET", URL, Answer(body="first"))
        manager = poollib.PoolManager()
        manager.request("GET", URL)
        second = FakeTransport(lambda request: Answer(body="second"))
        assert second.attach(manager).request("GET", URL).data == b"second"


def test_a_connection_used_by_hand_as_http_client_s_is_answered() -> None:
    with FakeTransport() as fake:
        fake.add("PUT", URL, Answer(201))
        connection: http.client.HTTPConnection = HTTPConnection("a.example")
        connection.putrequest("PUT", "/x")
        connection.putheader("Content-Length", "2")
        connection.endheaders(b"ok")
        assert connection.getresponse().status == 201
        connection.close()
    assert fake.requests[0].body == b"ok"
