"""What is said to proxies and what is made of their answers: byte tables over a socket pair, no threads."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest

from poollib.base.endpoint import ProxyHop
from poollib.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.net import proxy_tunnel

HOST, PORT = "target.example", 443
Say = Callable[..., None]


class Proxy:
    """The far end: its whole answer is sent in advance; what it was told is read afterwards."""

    def __init__(self, answer: bytes, *, ends: bool = True) -> None:
        self.near, self.far = socket.socketpair()
        self.near.settimeout(3)
        self.far.sendall(answer)
        if ends:
            self.far.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.near.close()
        self.far.close()

    def told(self) -> bytes:
        self.far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            return self.far.recv(65536)
        return b""

    def left(self) -> bytes:
        """What stands behind the answer: the target's first bytes."""
        return self.near.recv(65536)


class OneByOne:
    """The same socket, a byte at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def recv(self, most: int) -> bytes:
        return self._sock.recv(min(most, 1))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@pytest.fixture(params=["whole", "byte by byte"])
def through(request: pytest.FixtureRequest) -> Callable[[socket.socket], Any]:
    """Every answer is read whole and byte by byte."""
    return (lambda sock: sock) if request.param == "whole" else OneByOne


# CONNECT


def connect(sock: Any, headers: Any = (), host: str = HOST, **arguments: Any) -> None:
    proxy_tunnel.http_connect(sock, host, PORT, headers, **arguments)


OK = b"HTTP/1.1 200 Connection established\r\n\r\n"
OPENED = [
    OK,
    b"HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 299\r\n\r\n",
    # RFC 9110 section 9.3.6: Content-Length and Transfer-Encoding in a 2xx to CONNECT mean nothing.
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nContent-Length:\r\n\r\n" + OK,
    b"HTTP/1.2 200 OK\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK,
    b"HTTP/1.1 100 Continue\r\n\r\n" * DEFAULT_LIMITS.interim_responses + OK,
]


@pytest.mark.parametrize("answer", OPENED, ids=lambda answer: repr(answer[:40]))
def test_a_2xx_opens_the_tunnel(answer: bytes, through: Callable[[socket.socket], Any]) -> None:
    with Proxy(answer, ends=False) as proxy:
        connect(through(proxy.near), timeout_s=2)
        assert proxy.near.gettimeout() == 3
        assert proxy.told() == b"CONNECT target.example:443 HTTP/1.1\r\nHost: target.example:443\r\n\r\n"


def test_headers_are_the_proxys_and_host_may_be_given() -> None:
    with Proxy(OK, ends=False) as proxy:
        connect(proxy.near, {"Proxy-Authorization": "Basic YTpi", "host": "other:1"})
        assert proxy.told() == (
            b"CONNECT target.example:443 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\nhost: other:1\r\n\r\n"
        )


@pytest.mark.parametrize("host", ["::1", "[::1]", "::1%eth0"])
def test_an_ipv6_target_stands_in_brackets_without_its_zone(host: str) -> None:
    with Proxy(OK, ends=False) as proxy:
        connect(proxy.near, host=host)
        assert proxy.told().startswith(b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n")


CLOSED = [
    (
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno",
        "Tunnel connection failed: 407 Proxy Authentication Required",
    ),
    (b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n", "Tunnel connection failed: 401 Unauthorized"),
    (b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", "Tunnel connection failed: 302 Found"),
    (b"HTTP/1.1 503\r\n\r\n", "Tunnel connection failed: 503"),
    (b"HTTP/1.1 403 No\r\nContent-Length: -1\r\n\r\n", "Tunnel connection failed: 403 No"),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101 without having been asked for"),
    (OK + b"\x16\x03\x01", "3 bytes behind the 200 of the proxy"),
    (OK + OK, "bytes behind the 200 of the proxy"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * (DEFAULT_LIMITS.interim_responses + 1) + OK, "interim responses"),
    (b"", "closed"),
    (b"HTTP/1.1 200 OK\r\n", "closed"),
    (b"SSH-2.0-OpenSSH\r\n\r\n", ""),
    (b"HTTP/1.1 200 OK\r\nbad line\r\n\r\n", ""),
    (b"\x15\x03\x01\x00\x02\x02\x46", ""),
]


@pytest.mark.parametrize(("answer", "text"), CLOSED, ids=lambda value: repr(value[:40]))
def test_anything_else_is_a_proxy_error(answer: bytes, text: str) -> None:
    """CVE-2023-40217 (bytes behind the head), CVE-2026-86414 (401 is the proxy's, not the target's)."""
    with Proxy(answer) as proxy:
        with pytest.raises(ProxyError) as caught:
            connect(proxy.near, timeout_s=2)
        assert caught.value.args[0] == "Unable to connect to proxy"
        assert isinstance(caught.value.original_error, (OSError, HTTPError))
        assert text in str(caught.value.original_error)


def test_bytes_that_come_with_the_head_only_sometimes_are_refused_when_seen() -> None:
    """Read byte by byte nothing is read beyond the head: what follows is then the target's, in TLS's hands."""
    with Proxy(OK + b"x", ends=False) as proxy:
        connect(OneByOne(proxy.near))
        assert proxy.left() == b"x"


BAD_ASKS: list[tuple[dict[str, Any], str]] = [
    ({"host": "a b"}, "host"),
    ({"host": "a\r\nX: y"}, "host"),
    ({"host": ""}, "host"),
    ({"host": "a/b"}, "host"),
    ({"host": "user@a"}, "host"),
    ({"host": "a:b"}, "host"),
    ({"host": "bücher.example"}, "host"),
    ({"headers": {"X": "a\r\nY: b"}}, "X"),
    ({"headers": {"X\r\nY": "b"}}, "X"),
]


@pytest.mark.parametrize(("ask", "named"), BAD_ASKS)
def test_what_cannot_be_asked_is_a_value_error_and_nothing_is_sent(ask: dict[str, Any], named: str) -> None:
    """CVE-2026-1502: CR and LF in the target and the headers of CONNECT."""
    with Proxy(OK, ends=False) as proxy:
        with pytest.raises(ValueError, match=named):
            connect(proxy.near, **ask)
        assert proxy.told() == b""


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_is_named(port: int) -> None:
    with pytest.raises(ValueError, match="port"):
        proxy_tunnel.authority("a", port)


# SOCKS 4


def socks4(sock: Any, host: str = "127.0.0.2", **arguments: Any) -> None:
    proxy_tunnel.socks4(sock, host, PORT, **arguments)


GRANTED = b"\0\x5a\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("host", "user", "told"),
    [
        ("127.0.0.2", "", b"\4\1\x01\xbb\x7f\0\0\2\0"),
        ("127.0.0.2", "ann", b"\4\1\x01\xbb\x7f\0\0\2ann\0"),
        (HOST, "ann", b"\4\1\x01\xbb\0\0\0\1ann\0target.example\0"),
    ],
)
def test_socks4_asks_by_address_and_socks4a_by_name(
    host: str, user: str, told: bytes, through: Callable[[socket.socket], Any]
) -> None:
    with Proxy(GRANTED + b"target") as proxy:
        socks4(through(proxy.near), host, user_id=user, timeout_s=2)
        assert proxy.told() == told
        assert proxy.left() == b"target"


SOCKS4_REFUSED = [
    (b"\0\x5b\0\0\0\0\0\0", "SOCKS4 proxy: 91: request rejected or failed"),
    (b"\0\x5c\0\0\0\0\0\0", "92"),
    (b"\0\x5d\0\0\0\0\0\0", "93"),
    (b"\0\0\0\0\0\0\0\0", "0: unknown answer"),
    (b"\4\x5a\0\0\0\0\0\0", "version 4"),
    (b"HTTP/1.1", "version 72"),
    (GRANTED[:7], "1 bytes short"),
    (b"", "8 bytes short"),
]


@pytest.mark.parametrize(("answer", "text"), SOCKS4_REFUSED)
def test_a_socks4_refusal_is_a_connection_that_could_not_be_made(answer: bytes, text: str) -> None:
    with Proxy(answer) as proxy:
        with pytest.raises(NewConnectionError, match=r"Failed to establish a new connection: .+") as caught:
            socks4(proxy.near, owner="me")
        assert text in str(caught.value)
        assert f"127.0.0.2:{PORT}" in str(caught.value)
        assert caught.value.conn == "me"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"host": "::1"}, "SOCKS 4 cannot connect to the IPv6 address"),
        ({"host": "a\0b"}, "host"),
        ({"host": "a" * 256}, "host"),
        ({"host": ""}, "host"),
        ({"user_id": "a\0b"}, "username"),
    ],
)
def test_what_socks4_cannot_say_is_a_value_error(arguments: dict[str, Any], named: str) -> None:
    with Proxy(GRANTED) as proxy:
        with pytest.raises(ValueError, match=named):
            socks4(proxy.near, **arguments)
        assert proxy.told() == b""


# SOCKS 5


def socks5(sock: Any, host: str = HOST, **arguments: Any) -> None:
    proxy_tunnel.socks5(sock, host, PORT, **arguments)


BOUND = b"\5\0\0\1\x7f\0\0\1\x01\xbb"
ASK_NAME = b"\5\1\0\3\x0etarget.example\x01\xbb"


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        (HOST, ASK_NAME),
        ("127.0.0.2", b"\5\1\0\1\x7f\0\0\2\x01\xbb"),
        ("::1", b"\5\1\0\4" + b"\0" * 15 + b"\1\x01\xbb"),
        ("[::1]", b"\5\1\0\4" + b"\0" * 15 + b"\1\x01\xbb"),
    ],
)
def test_socks5_asks_by_name_and_by_address(host: str, asked: bytes, through: Callable[[socket.socket], Any]) -> None:
    with Proxy(b"\5\0" + BOUND + b"target") as proxy:
        socks5(through(proxy.near), host, timeout_s=2)
        assert proxy.told() == b"\5\1\0" + asked
        assert proxy.left() == b"target"


@pytest.mark.parametrize(
    "bound",
    [BOUND, b"\5\0\0\4" + b"\0" * 18, b"\5\0\0\3\x05proxy\0\0", b"\5\0\0\3\0\0\0"],
    ids=["ipv4", "ipv6", "name", "empty name"],
)
def test_the_bound_address_is_read_to_its_end_whatever_its_kind(
    bound: bytes, through: Callable[[socket.socket], Any]
) -> None:
    with Proxy(b"\5\0" + bound + b"target") as proxy:
        socks5(through(proxy.near))
        assert proxy.left() == b"target"


def test_a_login_is_sent_if_the_proxy_picks_it() -> None:
    """RFC 1929 section 2."""
    with Proxy(b"\5\2" + b"\1\0" + BOUND) as proxy:
        socks5(proxy.near, login=("ann", "pässword"))
        assert proxy.told() == b"\5\2\0\2" + b"\1\3ann\x09" + "pässword".encode() + ASK_NAME
    with Proxy(b"\5\2" + b"\1\0" + BOUND) as proxy:
        socks5(proxy.near, login=("ann", ""))
        assert proxy.told() == b"\5\2\0\2" + b"\1\3ann\0" + ASK_NAME
    with Proxy(b"\5\0" + BOUND) as proxy:
        socks5(proxy.near, login=("ann", "password"))
        assert proxy.told() == b"\5\2\0\2" + ASK_NAME


SOCKS5_REFUSED: list[tuple[bytes, tuple[str, str] | None, str]] = [
    (b"\5\xff", None, "all offered authentication methods were rejected: the proxy wants a login"),
    (b"\5\xff", ("a", "b"), "all offered authentication methods were rejected"),
    (b"\5\2\1\0", None, "method 2 was not offered"),
    (b"\5\1", ("a", "b"), "method 1 was not offered"),
    (b"\4\0", None, "version 4 in its greeting"),
    (b"HTTP/1.1 400", None, "version 72 in its greeting"),
    (b"\5\2\1\1", ("a", "b"), "SOCKS5 authentication failed"),
    (b"\5\2\5\0", ("a", "b"), "version 5 in its login reply"),
    *((b"\5\0\5" + bytes([code]) + b"\0\1" + b"\0" * 6, None, f"0x{code:02x}: ") for code in range(1, 10)),
    (b"\5\0\5\5\0\1" + b"\0" * 6, None, "0x05: Connection refused"),
    (b"\5\0\5\5\0", None, "0x05: Connection refused"),  # and no more comes
    (b"\5\0\5\xfe\0\1" + b"\0" * 6, None, "0xfe: Unknown error"),
    (b"\5\0\4\0\0\1" + b"\0" * 6, None, "version 4 in its reply"),
    (b"\5\0\5\0\1\1" + b"\0" * 6, None, "1 where 0 is reserved"),
    (b"\5\0\5\0\0\2" + b"\0" * 6, None, "address type 2"),
    *((b"\5\0" + BOUND[:size], None, "bytes short of its reply") for size in range(len(BOUND))),
    (b"\5", None, "1 bytes short of its reply"),
    (b"", None, "2 bytes short of its reply"),
]


@pytest.mark.parametrize(("answer", "login", "text"), SOCKS5_REFUSED)
def test_a_socks5_refusal_is_a_connection_that_could_not_be_made(
    answer: bytes, login: tuple[str, str] | None, text: str
) -> None:
    with Proxy(answer) as proxy:
        with pytest.raises(NewConnectionError, match=r"Failed to establish a new connection: .+") as caught:
            socks5(proxy.near, login=login, owner="me")
        assert text in str(caught.value)
        assert f"{HOST}:{PORT}" in str(caught.value)
        assert "a:b" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"host": "a" * 256}, "host"),
        ({"host": "a\r\n"}, "host"),
        ({"login": ("", "b")}, "username: 0 bytes"),
        ({"login": ("a", "b" * 256)}, "password: 256 bytes"),
        ({"login": ("a" * 256, "b")}, "username: 256 bytes"),
    ],
)
def test_what_socks5_cannot_say_is_a_value_error(arguments: dict[str, Any], named: str) -> None:
    with Proxy(b"\5\0" + BOUND) as proxy:
        with pytest.raises(ValueError, match=named):
            socks5(proxy.near, **arguments)
        assert proxy.told() == b""


# What all have in common


@pytest.mark.parametrize(
    ("say", "beginning"),
    [
        (connect, b""),
        (connect, b"HTTP/1.1 200 OK\r\n"),
        (socks4, b""),
        (socks4, GRANTED[:7]),
        (socks5, b""),
        (socks5, b"\5"),
        (socks5, b"\5\0" + BOUND[:-1]),
    ],
)
def test_a_silent_proxy_times_out_and_the_sockets_timeout_is_restored(say: Say, beginning: bytes) -> None:
    with Proxy(beginning, ends=False) as proxy:
        with pytest.raises(
            ConnectTimeoutError, match=r"through the proxy timed out\. \(connect timeout=0.01\)"
        ) as caught:
            say(proxy.near, timeout_s=0.01)
        assert not isinstance(caught.value, NewConnectionError)
        assert proxy.near.gettimeout() == 3


def test_the_timeout_is_one_for_the_whole_conversation() -> None:
    """However often a byte comes: no later step gets more than what is left."""
    with Proxy(b"\5\0", ends=False) as proxy:
        waits: list[float | None] = []

        class Recording(OneByOne):
            def settimeout(self, value: float | None) -> None:
                waits.append(value)
                self._sock.settimeout(value)

        with pytest.raises(ConnectTimeoutError):
            socks5(Recording(proxy.near), timeout_s=0.02)
        assert [wait for wait in waits[:-1] if wait is None or wait > 0.02] == []
        assert waits[-1] == 3
        assert len(waits) > 4


def test_without_a_timeout_the_sockets_own_holds() -> None:
    with Proxy(b"", ends=False) as proxy:
        proxy.near.settimeout(0.01)
        with pytest.raises(ConnectTimeoutError):
            socks5(proxy.near)
        assert proxy.near.gettimeout() == 0.01


# A hop


def resolving(*addresses: str) -> Callable[[str, int], list[Any]]:
    """As `dial.addresses` answers."""
    return lambda host, port: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in addresses]


@pytest.mark.parametrize(
    ("scheme", "told"),
    [
        ("socks4", b"\4\1\x01\xbb\x7f\0\0\x09ann\0"),
        ("socks4a", b"\4\1\x01\xbb\0\0\0\1ann\0target.example\0"),
        ("socks5", b"\5\2\0\2\5\1\0\1\x7f\0\0\x09\x01\xbb"),
        ("socks5h", b"\5\2\0\2" + ASK_NAME),
    ],
)
def test_the_scheme_of_the_hop_decides_who_resolves(scheme: str, told: bytes) -> None:
    hop = ProxyHop(scheme, "proxy.example", 1080, username="ann", password="secret")
    with Proxy(GRANTED if scheme.startswith("socks4") else b"\5\0" + BOUND) as proxy:
        proxy_tunnel.socks_connect(proxy.near, hop, HOST, PORT, resolve=resolving("127.0.0.9"))
        assert proxy.told() == told


def test_an_address_is_not_resolved_and_no_login_is_offered_without_a_user() -> None:
    hop = ProxyHop("socks5", "proxy.example", 1080)
    with Proxy(b"\5\0" + BOUND) as proxy:
        proxy_tunnel.socks_connect(proxy.near, hop, "127.0.0.2", PORT, resolve=resolving())
        assert proxy.told() == b"\5\1\0" + b"\5\1\0\1\x7f\0\0\2\x01\xbb"


def test_socks4_takes_the_first_ipv4_address_and_socks5_the_first() -> None:
    for scheme, address in (("socks4", b"\x7f\0\0\x09"), ("socks5", b"\4" + b"\0" * 15 + b"\1")):
        with Proxy(GRANTED if scheme == "socks4" else b"\5\0" + BOUND) as proxy:
            hop = ProxyHop(scheme, "proxy.example", 1080)
            proxy_tunnel.socks_connect(proxy.near, hop, HOST, PORT, resolve=resolving("::1", "127.0.0.9"))
            assert address in proxy.told()
    with Proxy(b"") as proxy, pytest.raises(NewConnectionError, match=r"target\.example has no address for a socks4"):
        proxy_tunnel.socks_connect(proxy.near, ProxyHop("socks4", "p", 1), HOST, PORT, resolve=resolving("::1"))


def test_another_scheme_is_refused() -> None:
    with Proxy(b"") as proxy, pytest.raises(ValueError, match="scheme: 'socks6' is none of socks4, socks4a"):
        proxy_tunnel.socks_connect(proxy.near, ProxyHop("socks6", "p", 1), HOST, PORT)


def test_time_that_is_over_before_a_word_was_said_is_a_timeout() -> None:
    """What dialling left of it was nothing."""
    with Proxy(b"") as proxy:
        with pytest.raises(ConnectTimeoutError, match=r"timed out\. \(connect timeout=0\.0\)"):
            proxy_tunnel.http_connect(proxy.near, HOST, PORT, {}, timeout_s=0.0)
        assert proxy.told() == b""
