"""Requests through SOCKS proxies: microsocks and dante.

RFC 1928, RFC 1929, and the memos on SOCKS 4 and 4A. With ``socks5h`` and ``socks4a`` the proxy resolves names, else
this side does; every kind is followed by TLS with the target like a direct connection.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from poollib import HTTPConnectionPool, PoolManager, ProxyManager, Timeout
from poollib.contrib.socks import SOCKSProxyManager
from poollib.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, SSLError
from tests.support.certs import certs
from tests.support.httpd import Httpd
from tests.support.proxies import PASSWORD, USER, Dante, Microsocks, find, why_skipped
from tests.support.script import ScriptServer, expect, expect_request, respond, send, stall

needs_microsocks = pytest.mark.skipif(find("microsocks") is None, reason=why_skipped("microsocks"))
needs_dante = pytest.mark.skipif(find("danted") is None, reason=why_skipped("danted"))

SCHEMES = ("socks4", "socks4a", "socks5", "socks5h")
# Dante 1.4.2 refuses names in SOCKS 4 (91); tests/talk/test_tunnel_talk.py holds those bytes.
NOT_DANTES = ("socks4a", "localhost")
LOGIN = f"{USER}:{PASSWORD.replace(' ', '%20')}"


@pytest.fixture
def plain() -> Iterator[Httpd]:
    with Httpd() as server:
        yield server


@pytest.fixture
def secure() -> Iterator[Httpd]:
    with Httpd(tls=certs().server()) as server:
        yield server


def through(url: str, **kw: Any) -> SOCKSProxyManager:
    return SOCKSProxyManager(url, **{"ca_certs": certs().ca_file, "timeout": 5.0, "retries": False, **kw})


def assert_served(manager: PoolManager, plain: Httpd, secure: Httpd, host: str = "127.0.0.1") -> None:
    """Two requests each, over one connection each."""
    for scheme, server in (("http", plain), ("https", secure)):
        for _ in range(2):
            assert manager.request("GET", f"{scheme}://{host}:{server.port}/").status == 200
        assert server.opened == 1


@needs_dante
@pytest.mark.parametrize(
    ("scheme", "host"),
    [(scheme, host) for scheme in SCHEMES for host in ("127.0.0.1", "localhost") if (scheme, host) != NOT_DANTES],
)
def test_every_scheme_reaches_http_and_https(
    scheme: str, host: str, plain: Httpd, secure: Httpd, tmp_path: pathlib.Path
) -> None:
    with Dante(tmp_path) as proxy, through(f"{scheme}://127.0.0.1:{proxy.port}") as manager:
        assert_served(manager, plain, secure, host)


@needs_microsocks
@pytest.mark.parametrize("given", ["in the URL", "as arguments"])
def test_a_login_opens_the_proxy(given: str, plain: Httpd, secure: Httpd, tmp_path: pathlib.Path) -> None:
    with Microsocks(tmp_path, login=True) as proxy:
        url, kw = f"socks5h://{LOGIN}@127.0.0.1:{proxy.port}", {}
        if given == "as arguments":
            url, kw = f"socks5h://127.0.0.1:{proxy.port}", {"username": USER, "password": PASSWORD}
        with through(url, **kw) as manager:
            assert_served(manager, plain, secure)


@needs_microsocks
@pytest.mark.parametrize("login", ["", f"{USER}:wrong@"])
def test_without_the_right_login_no_connection_is_made(login: str, plain: Httpd, tmp_path: pathlib.Path) -> None:
    with Microsocks(tmp_path, login=True) as proxy:
        with through(f"socks5://{login}127.0.0.1:{proxy.port}", maxsize=1, block=True) as manager:
            for _ in range(2):
                with pytest.raises(NewConnectionError, match="SOCKS5") as refused:
                    manager.request("GET", plain.url)
                assert "wrong" not in str(refused.value)
    assert not plain.requests


@needs_microsocks
def test_the_proxy_resolves_for_socks5h_and_this_side_for_socks5(plain: Httpd, tmp_path: pathlib.Path) -> None:
    """A name that only this side knows tells who resolved it."""
    resolve = {"here.example": ["127.0.0.1"]}
    url = f"http://here.example:{plain.port}/"
    with Microsocks(tmp_path) as proxy:
        with through(f"socks5://127.0.0.1:{proxy.port}", resolve=resolve) as manager:
            assert manager.request("GET", url).status == 200
        with through(f"socks5h://127.0.0.1:{proxy.port}", resolve=resolve) as manager:
            with pytest.raises(NewConnectionError):
                manager.request("GET", url)
        with through(f"socks5://127.0.0.1:{proxy.port}", resolver=no_names) as manager:
            with pytest.raises(NameResolutionError):
                manager.request("GET", "http://nowhere.example/")


def no_names(host: str, port: int) -> list[str]:
    return [] if host.endswith(".example") else [host]


@needs_microsocks
@pytest.mark.parametrize("kind", ["ProxyManager", "proxies", "environment"])
def test_other_managers_take_socks_urls_too(kind: str, plain: Httpd, secure: Httpd, tmp_path: pathlib.Path) -> None:
    with Microsocks(tmp_path, login=True) as proxy:
        url, kw = f"socks5h://{LOGIN}@127.0.0.1:{proxy.port}", {"ca_certs": certs().ca_file}
        makers = {
            "ProxyManager": lambda: ProxyManager(url, **kw),
            "proxies": lambda: PoolManager(proxies={"all": url}, **kw),
            "environment": lambda: PoolManager.from_env({"ALL_PROXY": url}, **kw),
        }
        with makers[kind]() as manager:
            assert_served(manager, plain, secure)
        for server in (plain, secure):
            assert not any(PASSWORD in str(request) for request in server.requests)


@needs_microsocks
def test_tls_wishes_hold_behind_a_socks_proxy(secure: Httpd, tmp_path: pathlib.Path) -> None:
    """undici CVE-2026-9697: the same TLS settings with every kind of proxy."""
    with Microsocks(tmp_path) as proxy:
        with through(f"socks5h://127.0.0.1:{proxy.port}", ca_certs=certs().stranger_file) as manager:
            with pytest.raises(SSLError, match="verify failed"):
                manager.request("GET", secure.url)


@needs_microsocks
def test_sockets_are_not_shared_over_origins(plain: Httpd, tmp_path: pathlib.Path) -> None:
    """undici CVE-2026-6734."""
    with Httpd() as other, Microsocks(tmp_path) as proxy, through(f"socks5://127.0.0.1:{proxy.port}") as manager:
        for server in (plain, other, plain, other):
            manager.request("GET", server.url)
        assert [server.opened for server in (plain, other)] == [1, 1]
        assert len(plain.requests) == len(other.requests) == 2


@needs_microsocks
def test_a_refusal_behind_the_proxy_is_told_and_costs_no_slot(tmp_path: pathlib.Path) -> None:
    with Httpd() as gone:
        pass
    with Microsocks(tmp_path) as proxy:
        with through(f"socks5://127.0.0.1:{proxy.port}", maxsize=1, block=True) as manager:
            for _ in range(2):
                with pytest.raises(NewConnectionError, match="SOCKS5 proxy: 0x0"):
                    manager.request("POST", gone.url)
            pool = manager.connection_from_url(gone.url)
            assert isinstance(pool, HTTPConnectionPool)
            assert pool._endpoint_pool.leased == 0


def test_a_proxy_that_never_answers_ends_at_the_connect_timeout() -> None:
    """A busy machine may add to it, but not each time."""

    def spent_s() -> float:
        with (
            ScriptServer([stall()]) as proxy,
            through(f"socks5://127.0.0.1:{proxy.port}", timeout=Timeout(connect=0.1)) as manager,
        ):
            start = time.monotonic()
            with pytest.raises(ConnectTimeoutError) as caught:
                manager.request("GET", "http://127.0.0.1:1/")
            assert not isinstance(caught.value, NewConnectionError)
            return time.monotonic() - start

    assert any(spent_s() < 0.3 for _ in range(5))


def test_a_name_goes_to_a_socks4a_proxy() -> None:
    """The address 0.0.0.1 says that a name follows; behind the answer the target speaks."""
    granted = b"\0\x5a" + bytes(6)
    with ScriptServer(
        [expect(b"\x04\x01\0\x50\0\0\0\x01me\0target.example\0"), send(granted), expect_request(), respond(b"ok")]
    ) as proxy:
        with SOCKSProxyManager(f"socks4a://me@127.0.0.1:{proxy.port}") as manager:
            assert manager.request("GET", "http://target.example/x").data == b"ok"
