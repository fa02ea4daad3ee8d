"""A connection and its socket: one that a program put there, one that is gone, one that is handed over over TLS."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from poollib.base.trace import Trace
from poollib.connection import HTTPConnection
from poollib.exceptions import (
    DeadlineExceededError,
    InvalidResponseError,
    ProtocolError,
    ReadTimeoutError,
    WriteTimeoutError,
)
from tests.support.certs import certs
from tests.support.httpd import Httpd
from tests.support.script import (
    ScriptServer,
    close,
    expect,
    expect_end,
    expect_head,
    expect_request,
    respond,
    send,
    signal,
    stall,
)

OK = respond(b"ok")


def connected(server: Any, **options: Any) -> HTTPConnection:
    connection = HTTPConnection(server.host, server.port, timeout=5, **options)
    connection.connect()
    return connection


@pytest.fixture
def through_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent has wrapped one of http.client's methods."""
    usual = http.client.HTTPConnection.putrequest
    monkeypatch.setattr(
        http.client.HTTPConnection, "putrequest", lambda self, *words, **named: usual(self, *words, **named)
    )


@pytest.fixture(params=["direct", "hooks"])
def either_way(request: pytest.FixtureRequest) -> str:
    """Requests go the direct way, and through http.client's methods."""
    if request.param == "hooks":
        request.getfixturevalue("through_hooks")
    return str(request.param)


# A socket that a program put there


@pytest.mark.usefixtures("either_way")
def test_a_request_goes_to_the_socket_that_is_there() -> None:
    """Whoever replaces ``sock`` decides where it goes; what was known of the old one is forgotten."""
    with Httpd() as first, Httpd() as second:
        connection = connected(first)
        connection.sock.close()
        connection.sock = socket.create_connection((second.host, second.port))
        assert connection.is_reusable()
        connection.request("GET", "/here")
        assert connection.getresponse().status == 200
        assert connection.is_connected
        assert connection.is_connected  # asked twice, the kept way
        connection.close()
        assert not connection.is_connected
    assert [request.target for request in second.requests] == ["/here"]
    assert not first.requests


@pytest.mark.usefixtures("either_way")
def test_a_socket_put_there_without_a_look_is_used_as_well() -> None:
    with Httpd() as first, Httpd() as second:
        for through in ("request", "getresponse"):
            connection = connected(first)
            connection.sock.close()
            connection.sock = socket.create_connection((second.host, second.port))
            if through == "request":
                connection.request("GET", "/")
            else:
                connection.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                connection.has_answered = False
            assert connection.getresponse().status == 200
            connection.close()
    assert len(second.requests) == 2


def test_whether_it_is_connected_is_seen_on_the_socket() -> None:
    """A server that said goodbye is one that something waits to be read from: its end."""
    done = threading.Event()
    with ScriptServer([expect_request(), OK, stall(done), close()]) as server:
        connection = connected(server)
        connection.request("GET", "/")
        assert connection.getresponse().data == b"ok"
        assert connection.is_connected
        done.set()
        end = time.monotonic() + 5
        while connection.is_connected and time.monotonic() < end:
            time.sleep(0.001)
        assert not connection.is_connected
        connection.close()


# A socket that is gone


@pytest.mark.usefixtures("either_way")
def test_a_second_request_before_the_first_was_answered_is_refused() -> None:
    """RFC 9112 section 9.3.2: nothing is pipelined; the first goes on."""
    with ScriptServer([expect_request(), OK, expect_end()]) as server:
        connection = connected(server)
        connection.request("GET", "/one")
        with pytest.raises(http.client.CannotSendRequest, match="awaiting"):
            connection.request("GET", "/two")
        assert connection.getresponse().data == b"ok"
        connection.close()
    assert b"/two" not in server.received[0]


def test_an_answer_of_a_closed_connection_is_not_waited_for() -> None:
    with ScriptServer([expect_request(), expect_end()]) as server:
        connection = connected(server)
        connection.request("GET", "/")
        connection.close()
        with pytest.raises(ProtocolError, match="connection is closed"):
            connection.getresponse()


@pytest.mark.parametrize("how", ["read", "readinto", "readinto1"])
def test_a_body_of_a_closed_connection_is_not_read_on(how: str) -> None:
    """Never a part as if it were the whole."""
    with ScriptServer(
        [expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n"), stall()]
    ) as server:
        connection = connected(server)
        connection.request("GET", "/", preload_content=False)
        response = connection.getresponse()
        connection.close()
        with pytest.raises(ProtocolError, match="closed before the response was read"):
            response.read() if how == "read" else getattr(response, how)(bytearray(500_000))


def test_only_known_schemes_lead_to_a_proxy() -> None:
    connection = HTTPConnection("127.0.0.1", 1)
    with pytest.raises(ValueError, match="'socks5'"):
        connection.set_tunnel("target", scheme="socks5")
    assert not connection.proxy_is_tunneling
    connection.set_tunnel("target", scheme="https")
    assert connection.proxy_is_tunneling


@pytest.mark.parametrize(
    ("read_timeout", "limit_s", "error"), [(0.02, 5.0, ReadTimeoutError), (None, 0.02, DeadlineExceededError)]
)
def test_a_hurried_receive_ends_at_the_shorter_limit(
    read_timeout: float | None, limit_s: float, error: type[Exception]
) -> None:
    """The limit of what is thrown away shortens a read timeout and never lengthens one; it ends with its block."""
    with ScriptServer([expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), stall()]) as server:
        connection = connected(server)
        connection.request("GET", "/")
        response = connection.getresponse()
        connection.read_timeout = read_timeout
        with pytest.raises(error), connection.cap_read_timeout(limit_s):
            response.read()
        assert connection.request_options is None
        connection.close()


# Sending that goes wrong


def huge() -> Iterator[bytes]:
    while True:
        yield bytes(1 << 20)


@pytest.mark.usefixtures("through_hooks")
@pytest.mark.parametrize("limit", ["write", "deadline"])
def test_a_server_that_takes_no_bytes_is_left_in_time(limit: str) -> None:
    """Through http.client's methods as well."""
    done = threading.Event()
    wish: dict[str, Any] = {"deadline": 0.05} if limit == "deadline" else {"write": 0.02, "connect": 5, "read": 5}
    with ScriptServer([expect_head(), stall(done)]) as server:
        with HTTPConnectionPool(server.host, server.port, timeout=Timeout(**wish), retries=False) as pool:
            with pytest.raises(WriteTimeoutError if limit == "write" else DeadlineExceededError):
                pool.request("POST", "/", body=huge())
            assert pool._endpoint_pool.leased == 0
        done.set()


@pytest.mark.usefixtures("through_hooks")
@pytest.mark.parametrize("answers", [True, False])
def test_an_answer_before_the_server_stopped_reading_is_returned(answers: bool) -> None:
    """RFC 9112 section 9.5, through http.client's methods as well: the send fails, the 413 is there."""
    answered = threading.Event()
    early = send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno" if answers else b"")

    def pieces() -> Iterator[bytes]:
        yield b"x"
        assert answered.wait(5)
        yield from huge()

    def stop_reading(connection: Any) -> None:
        connection.sock.shutdown(socket.SHUT_RDWR)

    script = [expect_head(), expect(b"1\r\nx\r\n"), early, stop_reading, signal(answered), stall()]
    with ScriptServer(script) as server:
        with HTTPConnectionPool(server.host, server.port, timeout=5, retries=False) as pool:
            if answers:
                assert pool.request("POST", "/", body=pieces()).status == 413
            else:
                with pytest.raises(ProtocolError):
                    pool.request("POST", "/", body=pieces())
            assert pool._endpoint_pool.leased == 0
            assert pool._endpoint_pool.idle == 0


def test_nonsense_while_the_body_is_being_sent_ends_the_sending() -> None:
    """It is no answer, and told as what it is."""
    script = [expect_head(), send(b"HTTP/9.9 what\r\n\r\n"), stall(threading.Event())]
    with ScriptServer(script) as server:
        with HTTPConnectionPool(server.host, server.port, timeout=5, retries=False) as pool:
            with pytest.raises(InvalidResponseError):
                pool.request("POST", "/", body=huge())
            assert pool._endpoint_pool.leased == 0


def test_waiting_for_100_continue_ends_at_the_deadline() -> None:
    """However long the body was willing to wait."""
    start = time.monotonic()
    with ScriptServer([expect_head(), stall()]) as server:
        with HTTPConnectionPool(server.host, server.port, timeout=Timeout(deadline=0.05), retries=False) as pool:
            with pytest.raises(DeadlineExceededError):
                pool.request("POST", "/", body=b"x", expect_continue=30)
    assert time.monotonic() - start < 3


def test_a_request_that_was_answered_before_it_was_sent_gets_that_answer() -> None:
    """A server that says 408 to an idle connection and closes: RFC 9110 section 15.5.9."""
    answered = threading.Event()

    class Late(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            assert answered.wait(5)
            self.sock.shutdown(socket.SHUT_WR)  # so that sending fails at once

    script = [send(b"HTTP/1.1 408 Slow\r\nContent-Length: 3\r\n\r\nbye"), signal(answered), stall()]
    with ScriptServer(script) as server:
        connection = Late(server.host, server.port, timeout=5)
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.status, response.data) == (408, b"bye")
        assert connection.is_closed


class Closing(socket.socket):
    """A socket that another thread closes just when something has come."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        self.close()
        return data


def test_what_was_heard_before_the_socket_was_closed_is_the_answer() -> None:
    """While the body still waited for 100 Continue, or was being sent."""

    class Own(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return Closing(fileno=super()._new_conn().detach())

    for wish in ({"Expect": "100-continue"}, {}):
        heard = threading.Event()

        def pieces(heard: threading.Event = heard) -> Iterator[bytes]:
            yield b"x"
            assert heard.wait(5)
            time.sleep(0.011)  # the socket is looked at every 10 ms
            yield b"y" * 100_000

        with ScriptServer([expect_head(), respond(b"no", "417 No"), signal(heard), stall()]) as server:
            connection = Own(server.host, server.port, timeout=5)
            connection.request("POST", "/", body=pieces(), headers=wish)
            response = connection.getresponse()
            assert (response.status, response.data) == (417, b"no")
            assert connection.is_closed


# A socket that is handed over over TLS


class Heads(Trace):
    def __init__(self) -> None:
        self.heard: list[int] = []

    def head_read(self, status: int, reason: str) -> None:
        self.heard.append(status)


def test_101_over_tls_hands_the_tls_socket_over() -> None:
    """RFC 9110 section 7.8; what came behind the head comes with it, and a listener hears of the head."""
    listener = Heads()
    head = b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"
    script = [expect_request(), send(head + b"first"), expect(b"ping"), send(b"pong"), expect_end()]
    with ScriptServer(script, tls=certs().server()) as server:
        with HTTPSConnectionPool(server.host, server.port, ca_certs=certs().ca_file, timeout=5) as pool:
            fields = {"Upgrade": "x", "Connection": "upgrade"}
            response: Any = pool.request("GET", "/", headers=fields, trace=listener)
            sock, data = response.detach()
            with sock:
                assert isinstance(sock, ssl.SSLSocket)
                while len(data) < 5:
                    data += sock.recv(5 - len(data))
                assert data == b"first"
                sock.sendall(b"ping")
                assert sock.recv(4) == b"pong"
            assert pool._endpoint_pool.leased == 0
    assert listener.heard == [101]


# One clock for the body


@pytest.mark.parametrize(("how", "delivered"), [("readinto", 0), ("readinto1", 100_000)])
def test_a_large_body_is_read_into_a_buffer_within_the_deadline(how: str, delivered: int) -> None:
    """Bytes that go straight into the caller's memory obey it, too; readinto1 gives what came before."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"
    with ScriptServer([expect_request(), send(head + bytes(100_000)), stall()]) as server:
        with HTTPConnectionPool(server.host, server.port, timeout=Timeout(deadline=0.05), retries=False) as pool:
            response = pool.request("GET", "/", preload_content=False)
            view, at = memoryview(bytearray(300_000)), 0
            with pytest.raises(DeadlineExceededError) as caught:
                while at < len(view):
                    at += getattr(response, how)(view[at:])
            assert (at, caught.value.phase) == (delivered, "reading the body")
            assert pool._endpoint_pool.leased == 0


@pytest.mark.parametrize("size", [3, 100_000])
@pytest.mark.parametrize("how", ["read", "read1", "readinto", "readinto1"])
def test_a_response_reads_nothing_off_the_next_connection(how: str, size: int) -> None:
    """A connection that was closed and dialled anew belongs to its next response; the one before is cut short."""
    cut_short = [expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\nabc"), expect_end()]
    with ScriptServer(cut_short, [expect_request(), respond(b"second")]) as server:
        connection = HTTPConnection(server.host, server.port, timeout=5)
        connection.request("GET", "/1")
        first = connection.getresponse()
        assert first.read(3) == b"abc"
        connection.close()
        connection.request("GET", "/2")
        with pytest.raises(ProtocolError, match="closed before"):
            getattr(first, how)(bytearray(size) if "into" in how else size)
        second = connection.getresponse()
        assert (second.status, second.data) == (200, b"second")
        connection.close()


@pytest.mark.parametrize("end", ["drop", "close", "read what came"])
def test_a_response_closes_nothing_but_its_own_connection(end: str) -> None:
    """Neither when it is dropped, closed or read does it touch the exchange that its connection is used for now."""
    whole = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: x\r\nContent-Length: 3\r\n\r\nabc"
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\nabc"
    first_steps = [expect_request(), send(whole if end == "read what came" else short), expect_end()]
    with ScriptServer(first_steps, [expect_request(), respond(b"second")]) as server:
        connection = HTTPConnection(server.host, server.port, timeout=5)
        connection.request("GET", "/1", preload_content=False)
        response: Any = connection.getresponse()
        connection.close()
        connection.request("GET", "/2")
        if end == "drop":
            response = None
        elif end == "close":
            response.close()
        else:
            assert response.read(decode_content=False) == b"abc"
        second = connection.getresponse()
        assert (second.status, second.data) == (200, b"second")
        connection.close()


class ToldSocket:
    """A socket of somebody else's class, with what http.client asks of one and no more."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.told: list[float | None] = []
        self.sendall, self.makefile, self.close, self.fileno = sock.sendall, sock.makefile, sock.close, sock.fileno

    def settimeout(self, value: float | None) -> None:
        self.told.append(value)
        self._sock.settimeout(value)


def test_a_socket_of_another_class_is_told_the_timeouts_of_each_request() -> None:
    """As urllib3 does, which never asks for the one that is set: to connect (and send) first, then to read."""
    with ScriptServer([*[expect_request(), OK] * 3]) as server, HTTPConnectionPool(server.host, server.port) as pool:
        assert pool.request("GET", "/").data == b"ok"
        conn = pool._get_conn()
        conn.sock = told = ToldSocket(conn.sock)
        pool._put_conn(conn)
        for _ in range(2):
            assert pool.request("GET", "/", timeout=Timeout(connect=5, read=4)).data == b"ok"
            assert told.told[-2:] == [5, 4]
