"""Dial, tunnel and TLS in the order in which a connection uses them, against a proxy that follows a script."""

from __future__ import annotations

import contextlib
import functools
import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poollib import ProxyManager
from poollib.base.endpoint import ProxyHop, TlsSettings
from poollib.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, ProxyError, SSLError
from poollib.net import dial, dns, http_tunnel, socks_tunnel, tls
from tests.support.certs import certs
from tests.support.script import (
    ScriptServer,
    Step,
    close,
    cut,
    expect,
    expect_end,
    expect_head,
    expect_request,
    reset,
    respond,
    send,
    send_slowly,
    stall,
    start_tls,
)

TARGET = "target.example"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
ASK_NAME = b"\5\1\0\3\x0etarget.example\x01\xbb"
BOUND = b"\5\0\0\1\x7f\0\0\1\x01\xbb"

Opener = Callable[[Any], None]


def by_connect(sock: Any) -> None:
    http_tunnel.http_connect(sock, TARGET, 443, {"Proxy-Authorization": "Basic YTpi"}, timeout_s=4)


def by_socks(scheme: str) -> Opener:
    hop = ProxyHop(scheme, "127.0.0.1", 1080, username="ann", password="secret")
    resolve = functools.partial(dns.addresses, resolver=lambda host, port: ["127.0.0.9"])
    return lambda sock: socks_tunnel.socks_connect(sock, hop, TARGET, 443, timeout_s=4, resolve=resolve)


def trusting() -> TlsSettings:
    return TlsSettings(ca_certs=certs().ca_file)


def target_steps() -> list[Step]:
    """The target behind the proxy: TLS in its own name, one exchange."""
    return [start_tls(certs().server(TARGET)), expect(b"ping"), send(b"pong"), close()]


WAYS: dict[str, tuple[Opener, list[Step]]] = {
    "CONNECT": (by_connect, [expect_head(), send(ESTABLISHED)]),
    "CONNECT after an interim response": (
        by_connect,
        [expect_head(), send(b"HTTP/1.1 100 Continue\r\n\r\n"), send_slowly(ESTABLISHED, 7)],
    ),
    "socks4": (by_socks("socks4"), [expect(b"\4\1\x01\xbb\x7f\0\0\x09ann\0"), send(b"\0\x5a" + b"\0" * 6)]),
    "socks4a": (
        by_socks("socks4a"),
        [expect(b"\4\1\x01\xbb\0\0\0\1ann\0target.example\0"), send_slowly(b"\0\x5a" + b"\0" * 6)],
    ),
    "socks5": (
        by_socks("socks5"),
        [expect(b"\5\2\0\2"), send(b"\5\0"), expect(b"\5\1\0\1\x7f\0\0\x09\x01\xbb"), send(BOUND)],
    ),
    "socks5h with a login": (
        by_socks("socks5h"),
        [
            expect(b"\5\2\0\2"),
            send(b"\5\2"),
            expect(b"\1\3ann\6secret"),
            send(b"\1\0"),
            expect(ASK_NAME),
            send_slowly(BOUND),
        ],
    ),
}


@contextlib.contextmanager
def dialled(proxy: ScriptServer) -> Iterator[Any]:
    with dial.connect("127.0.0.1", proxy.port, timeout_s=5) as sock:
        yield sock


@pytest.mark.parametrize("name", WAYS)
def test_tls_to_the_target_goes_through(name: str) -> None:
    """The target is verified by its own name, not the proxy's."""
    way, steps = WAYS[name]
    with ScriptServer([*steps, *target_steps()]) as proxy, dialled(proxy) as sock:
        way(sock)
        with tls.wrap(sock, trusting(), TARGET, timeout_s=4).sock as secured:
            secured.sendall(b"ping")
            assert secured.recv(4) == b"pong"
            assert secured.recv(4) == b""


@pytest.mark.parametrize("name", WAYS)
def test_a_target_of_another_name_is_refused(name: str) -> None:
    """undici CVE-2026-9697: verification was lost behind SOCKS."""
    way, steps = WAYS[name]
    other = [start_tls(certs().server("proxy.example"))]
    with contextlib.suppress(ssl.SSLError), ScriptServer([*steps, *other]) as proxy, dialled(proxy) as sock:
        way(sock)
        with pytest.raises(SSLError, match=r"Hostname mismatch.*target\.example"):
            tls.wrap(sock, trusting(), TARGET, timeout_s=4)
        assert sock.fileno() == -1


@pytest.mark.parametrize(
    ("scheme", "steps"),
    [
        ("http", [expect_head(), send(ESTABLISHED)]),
        ("socks4a", [expect(b"\4\1\x01\xbb\0\0\0\1\0target.example\0"), send(b"\0\x5a" + b"\0" * 6)]),
        ("socks5h", [expect(b"\5\1\0"), send(b"\5\0"), expect(ASK_NAME), send(BOUND)]),
    ],
    ids=["CONNECT", "socks4a", "socks5h"],
)
def test_a_request_through_a_proxy_is_for_the_target_of_that_name_alone(scheme: str, steps: list[Step]) -> None:
    """The name that is asked for and verified is the target's: a certificate for the proxy's address is no use."""
    for shown in (TARGET, "127.0.0.1"):
        target = [start_tls(certs().server(shown)), expect_request(), respond(b"ok")]
        with contextlib.suppress(ssl.SSLError), ScriptServer([*steps, *target]) as proxy:
            url = f"{scheme}://127.0.0.1:{proxy.port}"
            with ProxyManager(url, ca_certs=certs().ca_file, retries=False, timeout=4) as manager:
                with contextlib.nullcontext() if shown == TARGET else pytest.raises(SSLError, match="mismatch"):
                    assert manager.request("GET", f"https://{TARGET}/").data == b"ok"


def test_the_debug_level_prints_what_the_proxy_answered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As http.client prints it, line end and all."""
    answer = b"HTTP/1.1 200 Connection established\r\nVia: a proxy\r\n\r\n"
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with ScriptServer([expect_head(), send(answer), close()]) as proxy, ProxyManager(proxy.url) as manager:
        with pytest.raises((SSLError, ProtocolError)):
            manager.request("GET", f"https://{TARGET}/", retries=False)
    assert "header: Via: a proxy\r\n\n" in capsys.readouterr().out


def test_proxy_headers_stay_with_the_proxy() -> None:
    """CVE-2023-32681: Proxy-Authorization reached the target."""
    with ScriptServer([expect_head(), send(ESTABLISHED), expect(b"plain")]) as proxy:
        with dialled(proxy) as sock:
            by_connect(sock)
            sock.sendall(b"plain")
    assert proxy.received[0] == (
        b"CONNECT target.example:443 HTTP/1.1\r\nHost: target.example:443\r\n"
        b"Proxy-Authorization: Basic YTpi\r\n\r\nplain"
    )


def test_a_proxy_that_wants_a_login_is_an_error_with_its_status() -> None:
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"
    with ScriptServer([expect_head(), send(answer), expect_end()]) as proxy, dialled(proxy) as sock:
        with pytest.raises(ProxyError, match="407 Proxy Authentication Required"):
            by_connect(sock)


def test_a_target_that_speaks_first_is_refused_behind_connect() -> None:
    """CVE-2023-40217: what stands behind the head would be taken for what came through TLS."""
    with ScriptServer([expect_head(), send(ESTABLISHED + b"220 ready\r\n"), expect_end()]) as proxy:
        with dialled(proxy) as sock, pytest.raises(ProxyError, match="11 bytes behind the 200"):
            by_connect(sock)


@pytest.mark.parametrize("ending", [cut(), reset()], ids=["closed", "reset"])
def test_a_proxy_that_hangs_up_is_an_error(ending: Step) -> None:
    with ScriptServer([expect_head(), ending]) as proxy, dialled(proxy) as sock:
        with pytest.raises(ProxyError):
            by_connect(sock)
    with ScriptServer([expect(b"\5\2\0\2"), ending]) as proxy, dialled(proxy) as sock:
        with pytest.raises(NewConnectionError, match="Failed to establish a new connection"):
            by_socks("socks5h")(sock)


def test_a_proxy_that_trickles_is_given_up_in_time() -> None:
    """Each byte comes in time, the answer does not: a head, and a SOCKS reply, of which there is no end."""
    done = threading.Event()
    trickle = send_slowly(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 30, 1, 0.003)
    with ScriptServer([expect_head(), trickle, stall(done)]) as proxy, dialled(proxy) as sock:
        with pytest.raises(ConnectTimeoutError, match=r"connect timeout=0.03"):
            http_tunnel.http_connect(sock, TARGET, 443, timeout_s=0.03)
        done.set()


def test_an_https_proxy_is_spoken_to_in_tls_first() -> None:
    """Both hops have settings of their own; what the proxy reads is the CONNECT."""
    with ScriptServer([expect_head(), send(ESTABLISHED), close()], tls=certs().server("proxy.example")) as proxy:
        with dialled(proxy) as sock:
            hop = tls.wrap(sock, trusting(), "proxy.example", timeout_s=4)
            assert hop.is_verified
            by_connect(hop.sock)
            hop.sock.close()
    assert proxy.received[0].startswith(b"CONNECT target.example:443 HTTP/1.1\r\n")
