"""dial where something of the system's is missing, or a program has put its own in its place."""

from __future__ import annotations

import _socket
import io
import socket
from pathlib import Path
from typing import Any

import pytest

from poollib import HTTPConnectionPool
from poollib.connection import HTTPConnection
from poollib.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from poollib.net import dial, dns


@pytest.mark.parametrize(
    ("error", "wanted", "text"),
    [
        (socket.gaierror(-2, "unknown"), NameResolutionError, "Failed to resolve 'a.invalid'"),
        (TimeoutError("slow"), ConnectTimeoutError, "Connection to a.invalid:81 timed out"),
        (ConnectionRefusedError("no"), NewConnectionError, "no .*a.invalid:81"),
    ],
)
def test_errors_of_another_create_connection_are_told_as_ours(
    error: Exception, wanted: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs replace it to choose where a name leads."""
    asked: list[Any] = []

    def own(address: Any, *words: Any, **named: Any) -> socket.socket:
        asked.append((address, named["socket_options"]))
        raise error

    monkeypatch.setattr(dial, "create_connection", own)
    with HTTPConnectionPool("a.invalid", 81, timeout=3) as pool:
        with pytest.raises(wanted, match=text) as caught:
            pool.request("GET", "/", retries=False)
        assert caught.value.__cause__ is error
        assert pool._endpoint_pool.leased == 0
    assert asked == [(("a.invalid", 81), [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)])]


def test_socket_options_are_set_by_their_private_name() -> None:
    """As urllib3 has it; None sets nothing."""
    with socket.socket() as sock:
        dial._set_socket_options(sock, None)
        assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        dial._set_socket_options(sock, [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)])
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


class PlayingSocket:
    """A mock's as httpretty has it: what was sent is answered by ``makefile``, and other ways in lead nowhere."""

    __module__ = "httpretty.core"

    def __init__(self, *words: Any) -> None:
        self.sent: list[bytes] = []
        self.other = _socket.socket()  # which is not connected, and poll calls that readable

    def connect(self, address: Any) -> None:
        assert address == ("mock.test", 80)

    def setsockopt(self, *words: Any) -> None: ...

    def settimeout(self, timeout_s: float | None) -> None: ...

    def gettimeout(self) -> None: ...

    def fileno(self) -> int:
        return self.other.fileno()

    def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def makefile(self, mode: str) -> io.BytesIO:
        length = len(b"".join(self.sent).partition(b"\r\n\r\n")[2]) + 200_000
        return io.BytesIO(b"HTTP/1.1 200 OK\ncontent-length: %d\nconnection: close\n\r\n" % length + b"x" * length)

    def close(self) -> None:
        self.other.close()


@pytest.mark.parametrize("preload", [True, False])
def test_a_mock_that_answers_by_makefile_alone_is_read(preload: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its resolver gives the name itself, twice."""
    monkeypatch.setattr(socket, "socket", PlayingSocket)
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_: [(2, 1, 6, "", (host, port))] * 2)
    with HTTPConnectionPool("mock.test", timeout=1) as pool:
        for body in (b"12", b"y" * 70_000, iter([b"a", b"b"])):
            response = pool.request("POST", "/", body=body, preload_content=preload, retries=False)
            assert response.data.strip(b"x") == b""
            assert len(response.data) > 200_000


class Least:
    """All that http.client asks of a socket, as wsgi-intercept and many tests have it."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def makefile(self, mode: str) -> io.BytesIO:
        head, _, body = self.sent.partition(b"\r\n\r\n")
        return io.BytesIO(b"HTTP/1.0 200 OK\nX-Line: %b\n\n%b" % (head.split(b"\r\n")[0], body))

    def close(self) -> None: ...


class OwnConnect(HTTPConnection):
    def connect(self) -> None:
        self.sock = Least()


class OwnNewConn(HTTPConnection):
    def _new_conn(self) -> Any:
        return Least()


class OwnSock(HTTPConnection):
    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.sock = Least()


@pytest.mark.parametrize("kind", [OwnConnect, OwnNewConn, OwnSock])
@pytest.mark.parametrize("timeout", [None, 1.0])
def test_a_double_that_can_send_and_give_a_file_is_enough(
    kind: type[HTTPConnection], timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AttributeError: it has no gettimeout, no recv, no fileno."""
    monkeypatch.setattr(HTTPConnectionPool, "ConnectionCls", kind)
    with HTTPConnectionPool("mock.test", timeout=timeout, retries=False) as pool:
        for body in (b"12", b"y" * 200_000):
            response = pool.request("PUT", "/x", body=body)
            assert (response.data, response.headers["X-Line"]) == (body, "PUT /x HTTP/1.1")
        streamed = pool.request("GET", "/y", preload_content=False)
        assert streamed.read() == b""
        assert pool.stats()["leased"] == 0


# What a system may lack


def test_macos_calls_the_idle_time_keepalive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_KEEPIDLE", raising=False)
    monkeypatch.setattr(socket, "TCP_KEEPALIVE", 16, raising=False)
    options = dial._keepalive_options()
    assert options[0] == (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert (socket.IPPROTO_TCP, 16, 60) in options


def test_without_unix_sockets_a_path_is_a_connection_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    path = str(tmp_path / "s")
    with pytest.raises(NewConnectionError, match=f"no Unix sockets here .*{path}"):
        dial.connect("localhost", 80, uds=path, timeout_s=1)


def test_without_ipv6_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_ipv6", False)
    assert not dns._has_ipv6("::1")


def test_an_answer_without_addresses_is_not_kept() -> None:
    """Who has none now may have one at the next call."""
    answers: list[list[str]] = [[], ["192.0.2.1"]]
    names = dns.CachingResolver(lambda host, port: answers.pop(0), lifetime_s=60)
    assert [list(names("a.example", 80)) for _ in range(3)] == [[], ["192.0.2.1"], ["192.0.2.1"]]


def test_another_create_connection_gets_an_ipv6_address_without_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system's functions take it."""
    asked: list[Any] = []

    def own(address: Any, *words: Any, **named: Any) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError("no")

    monkeypatch.setattr(dial, "create_connection", own)
    with HTTPConnectionPool("[fe80::1%25eth0]", 81) as pool, pytest.raises(NewConnectionError):
        pool.request("GET", "/", retries=False)
    assert asked == [("fe80::1%eth0", 81)]
