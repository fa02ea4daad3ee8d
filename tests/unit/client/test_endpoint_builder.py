"""From a pool's settings to its Endpoint: which pools of a manager are one, field by field.

Promise 8: every TLS and proxy setting is part of what decides sharing. CVE-2024-35195, curl CVE-2016-5420,
CVE-2022-27782, CVE-2026-3784. No socket is opened here.
"""

from __future__ import annotations

import pathlib
import pickle
import ssl
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from poollib.base.endpoint import Endpoint
from poollib.client.endpoint_builder import (
    blame_proxy,
    connection_requires_http_tunnel,
    proxy_keywords,
)
from poollib.connection import HTTPConnection
from poollib.contrib.socks import SOCKSHTTPConnectionPool, SOCKSProxyManager
from poollib.exceptions import ConnectTimeoutError, DeadlineExceededError, NewConnectionError, ProxyError
from poollib.policy.proxy_rules import Proxy


def endpoint(manager: PoolManager, url: str = "https://host.example/") -> Endpoint:
    found: Endpoint = manager.connection_from_url(url)._endpoint_pool.endpoint
    return found


CONTEXT, OTHER_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def resolver(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


# Each row differs from the manager without keywords, and from every other row.
ROWS: dict[str, dict[str, Any]] = {
    "cert_reqs": {"cert_reqs": "CERT_NONE"},
    "ca_certs": {"ca_certs": "a.pem"},
    "other ca_certs": {"ca_certs": "A.pem"},
    "ca_cert_dir": {"ca_cert_dir": "a"},
    "ca_cert_data": {"ca_cert_data": "a"},
    "cert_file": {"cert_file": "a"},
    "cert in memory": {"cert_file": b"a"},
    "key_file": {"cert_file": "a", "key_file": "b"},
    "key_password": {"cert_file": "a", "key_file": "b", "key_password": "c"},
    "ssl_version": {"ssl_version": ssl.PROTOCOL_TLSv1_2},
    "ssl_minimum_version": {"ssl_minimum_version": ssl.TLSVersion.TLSv1_3},
    "ssl_maximum_version": {"ssl_maximum_version": ssl.TLSVersion.TLSv1_2},
    "assert_hostname": {"assert_hostname": "other.example"},
    "assert no hostname": {"assert_hostname": False},
    "assert_fingerprint": {"assert_fingerprint": "aa" * 32},
    "two fingerprints": {"assert_fingerprint": ["aa" * 32, "bb" * 32]},
    "server_hostname": {"server_hostname": "other.example"},
    "ssl_context": {"ssl_context": CONTEXT},
    "other ssl_context": {"ssl_context": OTHER_CONTEXT},
    "source_address": {"source_address": ("127.0.0.1", 0)},
    "socket_options": {"socket_options": [(6, 1, 0)]},
    "uds": {"uds": "/a"},
    "resolver": {"resolver": resolver},
    "http proxy": {"proxies": {"https": "http://p:1"}},
    "https proxy": {"proxies": {"https": "https://p:1"}},
    "proxy's port": {"proxies": {"https": "http://p:2"}},
    "proxy's user": {"proxies": {"https": "http://a:x@p:1"}},
    "proxy's password": {"proxies": {"https": "http://a:y@p:1"}},
    "proxy's headers": {"proxies": {"https": Proxy("http://p:1", headers={"X": "1"})}},
    "proxy's context": {"proxies": {"https": Proxy("https://p:1", ssl_context=CONTEXT)}},
    "proxy's name": {"proxies": {"https": Proxy("https://p:1", assert_hostname="q")}},
    "proxy's pins": {"proxies": {"https": Proxy("https://p:1", assert_fingerprint=["aa" * 32])}},
    "forwarded": {"proxies": {"https": Proxy("https://p:1", use_forwarding_for_https=True)}},
    "socks5": {"proxies": {"all": "socks5://p:1"}},
    "socks5h": {"proxies": {"all": "socks5h://p:1"}},
    "socks4": {"proxies": {"all": "socks4://p:1"}},
    "socks user": {"proxies": {"all": "socks5://a:x@p:1"}},
    "socks password": {"proxies": {"all": "socks5://a:y@p:1"}},
}


@pytest.mark.parametrize("row", ROWS)
def test_every_setting_makes_an_endpoint_and_a_pool_of_its_own(row: str) -> None:
    keywords = ROWS[row]
    mine = endpoint(PoolManager(**keywords))
    assert mine == endpoint(PoolManager(**keywords))
    assert mine != endpoint(PoolManager())
    for other, its_keywords in ROWS.items():
        assert other == row or mine != endpoint(PoolManager(**its_keywords)), f"{row} and {other} share"


@pytest.mark.parametrize("row", [row for row in ROWS if "proxies" not in ROWS[row] and row != "resolver"])
def test_one_manager_keeps_a_pool_per_setting(row: str) -> None:
    manager = PoolManager()
    plain = manager.connection_from_url("https://h/")
    mine = manager.connection_from_url("https://h/", pool_kwargs=ROWS[row])
    assert mine is not plain
    assert manager.connection_from_url("https://h/", pool_kwargs=dict(ROWS[row])) is mine


def test_settings_that_are_not_of_the_socket_make_no_other_endpoint() -> None:
    for keywords in ({"timeout": 1.0}, {"retries": 1}, {"headers": {"X": "1"}}, {"cert_reqs": "REQUIRED"}):
        assert endpoint(PoolManager(**keywords)) == endpoint(PoolManager())


def test_no_endpoint_shows_a_secret() -> None:
    keywords = {"cert_file": "a", "key_file": "b", "key_password": "secret"}
    for proxy in ("http://me:secret@p:1", "socks5://me:secret@p:1"):
        manager = PoolManager(proxies=proxy, **keywords)
        shown = repr(endpoint(manager)) + repr(manager.connection_from_url("https://h/")) + repr(manager)
        assert "secret" not in shown


def test_managers_and_pools_with_proxies_pickle() -> None:
    for manager in (
        ProxyManager("http://u:p@h:1"),
        ProxyManager("socks5://u:p@h:1"),
        SOCKSProxyManager("socks4a://h"),
        PoolManager(proxies={"https": "http://u:p@h:1"}),
        PoolManager(resolve={"host.example": ["127.0.0.1"]}, dns_cache=1.0),
    ):
        there = pickle.loads(pickle.dumps(manager))
        assert repr(endpoint(there)).partition("resolver")[0] == repr(endpoint(manager)).partition("resolver")[0]


def test_a_manager_with_one_proxy_takes_it_for_everything_whatever_the_environment_says() -> None:
    environ = {"ALL_PROXY": "http://env:1", "NO_PROXY": "*"}
    manager = ProxyManager.from_env(environ, proxy_url="http://own:1")
    hop = endpoint(manager).proxy
    assert hop is not None
    assert hop.host == "own"


@pytest.mark.parametrize(
    ("proxy", "forwarding", "scheme", "tunnels"),
    [
        ("http", False, "http", False),
        ("http", False, "https", True),
        ("http", True, "https", True),
        ("https", False, "https", True),
        ("https", True, "https", False),
        ("https", True, "http", False),
    ],
)
def test_a_tunnel_is_for_https_unless_an_https_proxy_is_trusted(
    proxy: str, forwarding: bool, scheme: str, tunnels: bool
) -> None:
    settled = proxy_keywords(Proxy(f"{proxy}://p", use_forwarding_for_https=forwarding))
    assert connection_requires_http_tunnel(settled["_proxy"], settled["_proxy_config"], scheme) is tunnels
    assert connection_requires_http_tunnel(None, None, scheme) is False


class Reached:
    def __init__(self, has_connected_to_proxy: bool) -> None:
        self.has_connected_to_proxy = has_connected_to_proxy


@pytest.mark.parametrize("error", [OSError(5), NewConnectionError(None, "no"), ConnectTimeoutError(None, "slow")])
def test_what_fails_before_the_proxy_is_reached_is_the_proxys(error: Exception) -> None:
    with pytest.raises(ProxyError) as blamed:
        blame_proxy(Reached(False), error)
    assert blamed.value.original_error is error
    blame_proxy(Reached(True), error)


@pytest.mark.parametrize("error", [DeadlineExceededError("m", "connecting"), ProxyError("m", OSError()), ValueError()])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    blame_proxy(Reached(False), error)


def test_a_wish_that_cannot_be_meant_is_told_when_the_pool_is_made() -> None:
    with pytest.raises(ValueError, match="cert_reqs"):
        HTTPSConnectionPool("h", cert_reqs="PERHAPS")
    with pytest.raises(ValueError, match="cert_reqs"):
        PoolManager(cert_reqs="PERHAPS").connection_from_url("https://h/")
    assert HTTPConnectionPool("h")._endpoint_pool.endpoint.tls is None


def test_the_example_of_the_docs_makes_managers(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/ways.rst, as it stands there; no socket is opened."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    page = (pathlib.Path(__file__).parents[3] / "docs/ways.rst").read_text()
    _, _, rest = page.partition(".. code-block:: python\n")
    example = textwrap.dedent(rest.split("\n``http`` URLs are forwarded", 1)[0])
    made: dict[str, Any] = {}
    exec(example.replace("PoolManager(proxies={", "manager = PoolManager(proxies={"), made)
    manager = made["manager"]
    assert endpoint(manager).proxy is not None
    assert endpoint(manager, "https://a.internal.example/").proxy is None
    assert endpoint(manager, "https://[fd00::1]/").proxy is None
    hop = endpoint(manager, "https://api.example:8443/").proxy
    assert hop is not None
    assert hop.scheme == "socks5h"


def test_the_login_of_a_proxys_url_is_kept_as_a_header_alone() -> None:
    """What is stored, shown and compared is the URL without it (curl CVE-2020-8169)."""
    settled = proxy_keywords(Proxy("http://user:secret@p:3128"))
    assert settled["_proxy"].url == "http://p:3128"
    assert settled["_proxy_headers"] == {"Proxy-Authorization": "Basic dXNlcjpzZWNyZXQ="}


def test_a_unix_sockets_path_may_be_a_path_object() -> None:
    assert HTTPConnectionPool("localhost", uds=pathlib.Path("/run/a.sock"))._endpoint_pool.endpoint.uds == "/run/a.sock"


def test_private_keywords_of_a_programs_own_classes_go_to_them_unread() -> None:
    """yt-dlp's ``_socks_options`` are a dict of its own: "KeyError: 'socks_version'"."""

    class Connection(HTTPConnection):
        def __init__(self, _socks_options: Any, **kw: Any) -> None:
            self.options_seen = _socks_options
            super().__init__(**kw)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    own = {"proxy_type": 2, "addr": "p.example", "port": 1080, "rdns": True}
    manager = PoolManager(_socks_options=own)
    manager.pool_classes_by_scheme = {"http": Pool, "https": Pool}
    pool = manager.connection_from_url("http://h.example/")
    assert pool._new_conn().options_seen == own


def test_an_unpickled_manager_still_leads_through_its_socks_proxy() -> None:
    for manager in (
        ProxyManager("socks5://h:1"),
        SOCKSProxyManager("socks5://h:1"),
        PoolManager(proxies="socks5://h:1"),
    ):
        there = pickle.loads(pickle.dumps(manager))
        assert isinstance(there.connection_from_url("http://x/"), SOCKSHTTPConnectionPool)


def test_what_was_changed_in_place_is_seen_once() -> None:
    """The first look notes; one that finds a change gives the pool another endpoint, and so no kept connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with HTTPSConnectionPool("host.example", 443, ssl_context=context) as pool:
        lending = pool._endpoint_pool
        pool._look_for_changes()
        first = lending.endpoint
        pool._look_for_changes()
        assert lending.endpoint is first
        context.check_hostname = False
        pool._look_for_changes()
        second = lending.endpoint
        assert second is not first
        pool._look_for_changes()
        assert lending.endpoint is second


def test_the_default_block_size_said_and_unsaid_is_one_pool() -> None:
    """urllib3's: 16 KiB."""
    with PoolManager() as manager:
        usual = manager.connection_from_url("http://host.example/")
        assert manager.connection_from_url("http://host.example/", {"blocksize": 16384}) is usual
        assert manager.connection_from_url("http://host.example/", {"blocksize": 16385}) is not usual


def test_proxy_fields_that_were_changed_in_place_are_seen() -> None:
    """They may hold a login: a kept tunnel belongs to who asked for it."""
    with ProxyManager("http://proxy.example:3128", proxy_headers={"Proxy-Authorization": "a"}) as manager:
        pool = manager.connection_from_url("https://host.example/")
        pool._look_for_changes()
        first = pool._endpoint_pool.endpoint
        pool.proxy_headers["Proxy-Authorization"] = "b"
        pool._look_for_changes()
        assert pool._endpoint_pool.endpoint is not first


def test_a_connection_made_by_other_settings_is_outdated_and_an_unknown_one_is_not() -> None:
    with HTTPConnectionPool("host.example") as pool, HTTPConnectionPool("other.example") as other:
        put_in: Any = SimpleNamespace(made_for=None)
        made_here: Any = SimpleNamespace(made_for=pool._endpoint_pool.endpoint)
        made_there: Any = SimpleNamespace(made_for=other._endpoint_pool.endpoint)
        assert [pool._is_outdated(one) for one in (made_here, made_there, put_in)] == [False, True, False]
