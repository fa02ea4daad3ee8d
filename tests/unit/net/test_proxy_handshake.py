"""What speaking to HTTP and SOCKS proxies has in common: one timeout for all of it, and the errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from poollib.exceptions import ConnectTimeoutError, NewConnectionError
from poollib.net import http_tunnel, socks_tunnel
from tests.support.proxy_end import OneByOne, ProxyEnd

HOST, PORT = "target.example", 443
Say = Callable[..., None]


def connect(sock: Any, **arguments: Any) -> None:
    http_tunnel.http_connect(sock, HOST, PORT, **arguments)


def socks4(sock: Any, **arguments: Any) -> None:
    socks_tunnel.socks4(sock, "127.0.0.2", PORT, **arguments)


def socks5(sock: Any, **arguments: Any) -> None:
    socks_tunnel.socks5(sock, HOST, PORT, **arguments)


GRANTED = b"\0\x5a\0\0\0\0\0\0"
BOUND = b"\5\0\0\1\x7f\0\0\1\x01\xbb"


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
    with ProxyEnd(beginning, ends=False) as proxy:
        with pytest.raises(
            ConnectTimeoutError, match=r"through the proxy timed out\. \(connect timeout=0.01\)"
        ) as caught:
            say(proxy.near, timeout_s=0.01)
        assert not isinstance(caught.value, NewConnectionError)
        assert proxy.near.gettimeout() == 3


def test_the_timeout_is_one_for_the_whole_conversation() -> None:
    """However often a byte comes: no later step gets more than what is left."""
    with ProxyEnd(b"\5\0", ends=False) as proxy:
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
    with ProxyEnd(b"", ends=False) as proxy:
        proxy.near.settimeout(0.01)
        with pytest.raises(ConnectTimeoutError):
            socks5(proxy.near)
        assert proxy.near.gettimeout() == 0.01


def test_time_that_is_over_before_a_word_was_said_is_a_timeout() -> None:
    """What dialling left of it was nothing."""
    with ProxyEnd(b"") as proxy:
        with pytest.raises(ConnectTimeoutError, match=r"timed out\. \(connect timeout=0\.0\)"):
            http_tunnel.http_connect(proxy.near, HOST, PORT, {}, timeout_s=0.0)
        assert proxy.told() == b""
