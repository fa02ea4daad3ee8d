"""What is said to SOCKS proxies and what is made of their answers: byte tables over a socket pair."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from poollib.base.endpoint import ProxyHop
from poollib.exceptions import NewConnectionError
from poollib.net import socks_tunnel
from tests.support.proxy_end import OneByOne, ProxyEnd

HOST, PORT = "target.example", 443


@pytest.fixture(params=["whole", "byte by byte"])
def through(request: pytest.FixtureRequest) -> Callable[[socket.socket], Any]:
    """Every answer is read whole and byte by byte."""
    return (lambda sock: sock) if request.param == "whole" else OneByOne


# SOCKS 4


def socks4(sock: Any, host: str = "127.0.0.2", **arguments: Any) -> None:
    socks_tunnel.socks4(sock, host, PORT, **arguments)


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
    with ProxyEnd(GRANTED + b"target") as proxy:
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
    with ProxyEnd(answer) as proxy:
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
    with ProxyEnd(GRANTED) as proxy:
        with pytest.raises(ValueError, match=named):
            socks4(proxy.near, **arguments)
        assert proxy.told() == b""


# SOCKS 5


def socks5(sock: Any, host: str = HOST, **arguments: Any) -> None:
    socks_tunnel.socks5(sock, host, PORT, **arguments)


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
    with ProxyEnd(b"\5\0" + BOUND + b"target") as proxy:
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
    with ProxyEnd(b"\5\0" + bound + b"target") as proxy:
        socks5(through(proxy.near))
        assert proxy.left() == b"target"


def test_a_login_is_sent_if_the_proxy_picks_it() -> None:
    """RFC 1929 section 2."""
    with ProxyEnd(b"\5\2" + b"\1\0" + BOUND) as proxy:
        socks5(proxy.near, login=("ann", "pässword"))
        assert proxy.told() == b"\5\2\0\2" + b"\1\3ann\x09" + "pässword".encode() + ASK_NAME
    with ProxyEnd(b"\5\2" + b"\1\0" + BOUND) as proxy:
        socks5(proxy.near, login=("ann", ""))
        assert proxy.told() == b"\5\2\0\2" + b"\1\3ann\0" + ASK_NAME
    with ProxyEnd(b"\5\0" + BOUND) as proxy:
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
    with ProxyEnd(answer) as proxy:
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
    with ProxyEnd(b"\5\0" + BOUND) as proxy:
        with pytest.raises(ValueError, match=named):
            socks5(proxy.near, **arguments)
        assert proxy.told() == b""


# A hop


def resolving(*addresses: str) -> Callable[[str, int], list[Any]]:
    """As `dns.addresses` answers."""
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
    with ProxyEnd(GRANTED if scheme.startswith("socks4") else b"\5\0" + BOUND) as proxy:
        socks_tunnel.socks_connect(proxy.near, hop, HOST, PORT, resolve=resolving("127.0.0.9"))
        assert proxy.told() == told


def test_an_address_is_not_resolved_and_no_login_is_offered_without_a_user() -> None:
    hop = ProxyHop("socks5", "proxy.example", 1080)
    with ProxyEnd(b"\5\0" + BOUND) as proxy:
        socks_tunnel.socks_connect(proxy.near, hop, "127.0.0.2", PORT, resolve=resolving())
        assert proxy.told() == b"\5\1\0" + b"\5\1\0\1\x7f\0\0\2\x01\xbb"


def test_socks4_takes_the_first_ipv4_address_and_socks5_the_first() -> None:
    for scheme, address in (("socks4", b"\x7f\0\0\x09"), ("socks5", b"\4" + b"\0" * 15 + b"\1")):
        with ProxyEnd(GRANTED if scheme == "socks4" else b"\5\0" + BOUND) as proxy:
            hop = ProxyHop(scheme, "proxy.example", 1080)
            socks_tunnel.socks_connect(proxy.near, hop, HOST, PORT, resolve=resolving("::1", "127.0.0.9"))
            assert address in proxy.told()
    with (
        ProxyEnd(b"") as proxy,
        pytest.raises(NewConnectionError, match=r"target\.example has no address for a socks4"),
    ):
        socks_tunnel.socks_connect(proxy.near, ProxyHop("socks4", "p", 1), HOST, PORT, resolve=resolving("::1"))


def test_another_scheme_is_refused() -> None:
    with ProxyEnd(b"") as proxy, pytest.raises(ValueError, match="scheme: 'socks6' is none of socks4, socks4a"):
        socks_tunnel.socks_connect(proxy.near, ProxyHop("socks6", "p", 1), HOST, PORT)


def test_the_proxy_is_greeted_before_a_name_is_looked_up() -> None:
    """As PySocks does it: where the proxy lets nobody in, nobody learns the name, and the error is the proxy's."""

    def resolve(host: str, port: int) -> list[Any]:
        raise AssertionError("looked up for a proxy that lets nobody in")

    with ProxyEnd(b"\5\xff") as proxy, pytest.raises(NewConnectionError, match="authentication methods were rejected"):
        socks_tunnel.socks_connect(proxy.near, ProxyHop("socks5", "p", 1), HOST, PORT, resolve=resolve)


def test_a_name_without_an_address_is_told_after_the_greeting() -> None:
    with ProxyEnd(b"\5\0") as proxy:
        with pytest.raises(NewConnectionError, match="has no address"):
            socks_tunnel.socks_connect(proxy.near, ProxyHop("socks5", "p", 1), HOST, PORT, resolve=resolving())
        assert proxy.told() == b"\5\1\0"
