"""What is said to an HTTP proxy and what is made of its answer: byte tables over a socket pair."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from poollib.exceptions import HTTPError, ProxyError
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.net import http_tunnel
from tests.support.proxy_end import OneByOne, ProxyEnd

HOST, PORT = "target.example", 443


@pytest.fixture(params=["whole", "byte by byte"])
def through(request: pytest.FixtureRequest) -> Callable[[socket.socket], Any]:
    """Every answer is read whole and byte by byte."""
    return (lambda sock: sock) if request.param == "whole" else OneByOne


def connect(sock: Any, headers: Any = (), host: str = HOST, **arguments: Any) -> None:
    http_tunnel.http_connect(sock, host, PORT, headers, **arguments)


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
    with ProxyEnd(answer, ends=False) as proxy:
        connect(through(proxy.near), timeout_s=2)
        assert proxy.near.gettimeout() == 3
        assert proxy.told() == b"CONNECT target.example:443 HTTP/1.1\r\nHost: target.example:443\r\n\r\n"


def test_headers_are_the_proxys_and_host_may_be_given() -> None:
    with ProxyEnd(OK, ends=False) as proxy:
        connect(proxy.near, {"Proxy-Authorization": "Basic YTpi", "host": "other:1"})
        assert proxy.told() == (
            b"CONNECT target.example:443 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\nhost: other:1\r\n\r\n"
        )


@pytest.mark.parametrize("host", ["::1", "[::1]", "::1%eth0"])
def test_an_ipv6_target_stands_in_brackets_without_its_zone(host: str) -> None:
    with ProxyEnd(OK, ends=False) as proxy:
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
    with ProxyEnd(answer) as proxy:
        with pytest.raises(ProxyError) as caught:
            connect(proxy.near, timeout_s=2)
        assert caught.value.args[0] == "Unable to connect to proxy"
        assert isinstance(caught.value.original_error, (OSError, HTTPError))
        assert text in str(caught.value.original_error)


def test_bytes_that_come_with_the_head_only_sometimes_are_refused_when_seen() -> None:
    """Read byte by byte nothing is read beyond the head: what follows is then the target's, in TLS's hands."""
    with ProxyEnd(OK + b"x", ends=False) as proxy:
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
    with ProxyEnd(OK, ends=False) as proxy:
        with pytest.raises(ValueError, match=named):
            connect(proxy.near, **ask)
        assert proxy.told() == b""


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_is_named(port: int) -> None:
    with pytest.raises(ValueError, match="port"):
        http_tunnel.authority("a", port)


@pytest.mark.parametrize("host", ["a b", "a\r\nX", "a\x7f"])
def test_a_host_with_control_characters_is_told_what_is_wrong(host: str) -> None:
    """http.client's words."""
    with pytest.raises(ValueError, match="can't contain control characters"):
        http_tunnel.authority(host, 80)


@pytest.mark.parametrize(("status", "is_told"), [(b"407 Login", True), (b"403 No", False)])
def test_only_who_lacks_a_login_is_told_how_to_give_one(status: bytes, is_told: bool) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"
    with ProxyEnd(answer) as proxy, pytest.raises(ProxyError) as caught:
        connect(proxy.near, timeout_s=2)
    assert ("the proxy offers Basic realm=x; user and password" in str(caught.value.original_error)) is is_told


def test_who_sent_a_login_is_told_that_it_was_refused() -> None:
    """It was told to give one, as if none had come."""
    with ProxyEnd(b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic realm=x\r\n\r\n") as proxy:
        with pytest.raises(ProxyError, match="refuses the login that was sent; it offers Basic realm=x"):
            connect(proxy.near, headers={"proxy-authorization": "Basic eDp5"}, timeout_s=2)
