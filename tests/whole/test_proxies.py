"""Requests through proxies: tinyproxy, stunnel before it, and listeners that tell what a proxy gets to see.

RFC 9110 section 9.3.6 (CONNECT), RFC 9112 section 3.2.2 (forwarding), RFC 7617 (Basic). Promise 7: the proxy's
credentials stay with the proxy, the target's with the target; each hop has TLS settings of its own.
"""

from __future__ import annotations

import json
import pathlib
import ssl
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

import poollib
from poollib import HTTPSConnectionPool, PoolManager, ProxyManager, Timeout
from poollib.base.url import parse_url
from poollib.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from poollib.exceptions import (
    ConnectTimeoutError,
    InsecureRequestWarning,
    MaxRetryError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from poollib.net.certificates import key_pin
from poollib.policy.proxy_rules import Proxy
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response
from tests.support.proxies import USER, Listener, Stunnel, Tinyproxy, find, tls_proxy, why_skipped
from tests.support.script import ScriptServer, expect_request, send, stall

LOGIN = f"{USER}:{Tinyproxy.PASSWORD}"
BASIC = "Basic " + b64encode(LOGIN.encode()).decode()

needs_tinyproxy = pytest.mark.skipif(find("tinyproxy") is None, reason=why_skipped("tinyproxy"))
needs_stunnel = pytest.mark.skipif(
    find("tinyproxy") is None or find("stunnel") is None, reason="tinyproxy or stunnel is not installed"
)


@pytest.fixture
def plain() -> Iterator[Httpd]:
    with Httpd() as server:
        yield server


@pytest.fixture
def secure() -> Iterator[Httpd]:
    with Httpd(tls=certs().server()) as server:
        yield server


def through(url: str, **kw: Any) -> ProxyManager:
    return ProxyManager(url, **{"ca_certs": certs().ca_file, "timeout": 5.0, "retries": False, **kw})


def seen(response: Any) -> dict[str, Any]:
    """What the server said it was asked."""
    asked: dict[str, Any] = json.loads(response.data)
    return asked


# tinyproxy


@needs_tinyproxy
def test_http_is_forwarded_and_https_tunnelled(plain: Httpd, secure: Httpd, tmp_path: pathlib.Path) -> None:
    with Tinyproxy(tmp_path) as proxy, through(f"http://127.0.0.1:{proxy.port}") as manager:
        assert seen(manager.request("GET", f"{plain.url}/a?b=c"))["target"] == "/a?b=c"
        answers = [seen(manager.request("POST", f"{secure.url}/x", body=b"body")) for _ in range(3)]
        assert [answer["body"] for answer in answers] == ["body"] * 3
        assert {answer["connection"] for answer in answers} == {0}, "the tunnel is kept"
        conn = manager.connection_from_url(secure.url).pool.get()
        assert conn.is_verified
        assert conn.proxy_is_verified is False, "known not to be, since it speaks no TLS"
        conn.close()


@needs_tinyproxy
@pytest.mark.parametrize("given", ["in the URL", "as a header"])
def test_a_login_opens_the_proxy(given: str, plain: Httpd, secure: Httpd, tmp_path: pathlib.Path) -> None:
    with Tinyproxy(tmp_path, login=True) as proxy:
        place = f"127.0.0.1:{proxy.port}"
        url, kw = (f"http://{LOGIN}@{place}", {})
        if given == "as a header":
            url, kw = f"http://{place}", {"proxy_headers": poollib.make_headers(proxy_basic_auth=LOGIN)}
        with through(url, **kw) as manager:
            for server in (plain, secure):
                asked = seen(manager.request("GET", f"{server.url}/"))
                assert "proxy-authorization" not in asked["headers"]


@needs_tinyproxy
def test_without_a_login_407_is_an_answer_when_forwarded_and_a_proxy_error_when_tunnelled(
    plain: Httpd, secure: Httpd, tmp_path: pathlib.Path
) -> None:
    with Tinyproxy(tmp_path, login=True) as proxy, through(f"http://127.0.0.1:{proxy.port}") as manager:
        assert manager.request("GET", plain.url).status == 407
        with pytest.raises(ProxyError, match="407") as refused:
            manager.request("GET", secure.url)
        assert "Basic" in str(refused.value), "what the proxy wants to be shown"
        with pytest.raises(MaxRetryError) as given_up:
            manager.request("GET", secure.url, retries=2)
        assert isinstance(given_up.value.reason, ProxyError)
    assert not plain.requests
    assert not secure.requests


@needs_stunnel
def test_an_https_proxy_forwards_and_tunnels_tls_in_tls(plain: Httpd, secure: Httpd, tmp_path: pathlib.Path) -> None:
    pair = certs().pair()
    with tls_proxy(tmp_path, pair.cert_file, pair.key_file) as port, through(f"https://127.0.0.1:{port}") as manager:
        assert seen(manager.request("GET", f"{plain.url}/a"))["target"] == "/a"
        big = "x" * 300_000
        answers = [seen(manager.request("POST", f"{secure.url}/b", body=big)) for _ in range(2)]
        assert [answer["body"] == big for answer in answers] == [True, True]
        assert {answer["connection"] for answer in answers} == {0}
        conn = manager.connection_from_url(secure.url).pool.get()
        assert conn.is_verified
        assert conn.proxy_is_verified
        conn.close()


@needs_stunnel
def test_each_hop_is_verified_by_its_own_wishes(secure: Httpd, tmp_path: pathlib.Path) -> None:
    """CVE-2026-97687: the target's settings do not decide what is believed of the proxy, nor the other way round."""
    pair = certs().pair(stranger=True)
    own = ssl.create_default_context(cafile=certs().stranger_file)
    with tls_proxy(tmp_path, pair.cert_file, pair.key_file) as port:
        url = f"https://127.0.0.1:{port}"
        with through(url, proxy_ssl_context=own) as manager:
            assert manager.request("GET", secure.url).status == 200
        with through(url, proxy_ssl_context=own, ca_certs=certs().stranger_file) as manager:
            with pytest.raises(SSLError, match="verify failed"):
                manager.request("GET", secure.url)
        with through(url) as manager, pytest.raises(ProxyError, match="verify failed"):
            manager.request("GET", secure.url)
        with through(url, cert_reqs="CERT_NONE", ca_certs=None) as manager, pytest.raises(ProxyError):
            manager.request("GET", secure.url)


@needs_stunnel
def test_a_proxy_is_verified_by_name_and_by_pin(plain: Httpd, secure: Httpd, tmp_path: pathlib.Path) -> None:
    """CVE-2021-28363: the name on an https proxy's certificate counts."""
    pair = certs().pair("elsewhere.example")
    with Tinyproxy(tmp_path) as inner, Stunnel(tmp_path, inner.port, pair.cert_file, pair.key_file) as proxy:
        url = f"https://127.0.0.1:{proxy.port}"
        for target in (plain.url, secure.url):
            with through(url) as manager, pytest.raises(ProxyError, match=r"127\.0\.0\.1"):
                manager.request("GET", target)
            with through(url, proxy_assert_hostname="elsewhere.example") as manager:
                assert manager.request("GET", target).status == 200
            with through(url, proxy_assert_fingerprint="00" * 32) as manager:
                with pytest.raises(ProxyError, match="Fingerprints did not match"):  # and not for the name
                    manager.request("GET", target)
            with through(url, proxy_assert_fingerprint=key_pin(pair.der)) as manager:
                assert manager.request("GET", target).status == 200
    assert len(plain.requests) == len(secure.requests) == 2


# Who gets to see what


def test_what_is_for_the_proxy_and_what_is_for_the_target_do_not_mix(secure: Httpd) -> None:
    """CVE-2015-3153, CVE-2023-32681."""
    with Listener() as proxy:
        url = f"http://{LOGIN}@127.0.0.1:{proxy.port}"
        with through(url, proxy_headers={"X-For-Proxy": "1"}) as manager:
            headers = {"Authorization": "Bearer t", "Cookie": "c=1", "X-For-Target": "1"}
            asked = seen(manager.request("GET", secure.url, headers=headers))
        (head,) = proxy.heads
        assert f"proxy-authorization: {BASIC}".lower().encode() in head.lower()
        assert b"X-For-Proxy: 1" in head
        assert not any(word in head.lower() for word in (b"bearer", b"cookie", b"x-for-target"))
        assert not {"proxy-authorization", "x-for-proxy"} & asked["headers"].keys()
        assert asked["headers"]["authorization"] == "Bearer t"


def test_what_a_pool_says_by_default_is_for_the_target(secure: Httpd) -> None:
    with Listener() as proxy:
        way = {"_proxy": parse_url(f"http://127.0.0.1:{proxy.port}"), "_proxy_headers": {"X-For-Proxy": "1"}}
        own = {"Authorization": "Bearer t", "Cookie": "c=1"}
        with HTTPSConnectionPool(secure.host, secure.port, headers=own, ca_certs=certs().ca_file, **way) as pool:
            assert seen(pool.request("GET", "/"))["headers"]["authorization"] == "Bearer t"
        (head,) = proxy.heads
    assert b"X-For-Proxy: 1" in head
    assert not any(word in head.lower() for word in (b"bearer", b"cookie"))


def test_a_forwarded_request_names_the_whole_url_without_its_userinfo() -> None:
    """RFC 9110 section 4.2.4: a userinfo is not sent."""
    with Httpd() as proxy, through(f"http://{LOGIN}@127.0.0.1:{proxy.port}") as manager:
        asked = seen(manager.request("GET", "http://me:secret@target.example:8080/p?q#f"))
        assert asked["target"] == "http://target.example:8080/p?q"
        assert asked["headers"]["host"] == "target.example:8080"
        assert asked["headers"]["proxy-authorization"] == BASIC
        assert "secret" not in json.dumps(asked)
        assert "authorization" not in asked["headers"]
        assert "password" not in repr(manager.proxy)
        assert manager.proxy.auth is None


def test_an_https_proxy_that_is_trusted_forwards_https_too() -> None:
    with Httpd(tls=certs().server()) as proxy:
        with through(proxy.url, use_forwarding_for_https=True) as manager:
            asked = seen(manager.request("GET", "https://target.example/p"))
    assert asked["target"] == "https://target.example/p"
    assert asked["headers"]["host"] == "target.example"


def test_a_forwarded_redirect_keeps_the_proxys_login_and_drops_the_targets() -> None:
    def answer(request: Request) -> Response:
        if "one.example" in request.target:
            return Response(status=302, headers={"Location": "http://two.example/"})
        return Response(b"ok")

    with Httpd({"/": answer}) as proxy, through(f"http://{LOGIN}@127.0.0.1:{proxy.port}", retries=3) as manager:
        headers = {"Authorization": "Bearer t", "Host": "one.example"}
        assert manager.request("GET", "http://one.example/", headers=headers).data == b"ok"
        first, second = proxy.requests
        assert first.header("Authorization") == "Bearer t"
        assert second.header("Authorization") is None
        assert [r.header("Proxy-Authorization") for r in (first, second)] == [BASIC, BASIC]
        assert second.header("Host") == "two.example"


def test_a_pool_of_a_proxy_follows_redirects_without_the_targets_credentials() -> None:
    """CVE-2026-44431: the rule holds in the pool, too, not only in the manager."""

    def answer(request: Request) -> Response:
        if "one.example" in request.target:
            return Response(status=302, headers={"Location": "http://two.example/"})
        return Response(b"ok")

    with Httpd({"/": answer}) as proxy, through(f"http://{LOGIN}@127.0.0.1:{proxy.port}", retries=3) as manager:
        pool = manager.connection_from_url("http://one.example/")
        headers = {"Authorization": "Bearer t", "Cookie": "c=1"}
        response = pool.urlopen("GET", "http://one.example/", headers=headers, assert_same_host=False)
        assert response.data == b"ok"
        second = proxy.requests[1]
        assert second.target == "http://two.example/"
        assert second.header("Authorization") is None
        assert second.header("Cookie") is None
        assert second.header("Proxy-Authorization") == BASIC


def test_tunnels_of_different_logins_are_not_shared(secure: Httpd) -> None:
    """curl CVE-2026-3784."""
    with Listener() as proxy:
        for user in ("a", "b"):
            rules = {"all": f"http://{user}:x@127.0.0.1:{proxy.port}"}
            with PoolManager(proxies=rules, ca_certs=certs().ca_file) as manager:
                manager.request("GET", secure.url)
        keys = set()
        manager = PoolManager(ca_certs=certs().ca_file)
        for user in ("a", "b", "a"):
            keys.add(manager.connection_from_host("h", 1, "https", {"_proxy_headers": {"Proxy-Authorization": user}}))
        assert proxy.accepted == 2
        assert len(keys) == 2


# What goes wrong


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", "407.*Basic"),
        (b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n", "401"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello", "403"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\n\r\n", "302"),
        (b"SSH-2.0-OpenSSH\r\n", "proxy"),
        (b"", "proxy"),
    ],
    ids=["407", "401", "403", "302", "not HTTP", "closed"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_tunnel_is_a_proxy_error_and_costs_no_slot(answer: bytes, told: str, method: str) -> None:
    """curl CVE-2026-86414: a 401 to CONNECT draws out no credentials. A POST may be tried again: nothing was sent."""
    with Listener(answer=answer) as proxy:
        with through(f"http://127.0.0.1:{proxy.port}", maxsize=1, block=True) as manager:
            for _ in range(2):
                with pytest.raises(ProxyError, match=told):
                    manager.request(method, "https://target.example/", headers={"Authorization": "Bearer t"})
            with pytest.raises(MaxRetryError):
                manager.request(method, "https://target.example/", retries=1)
        assert proxy.accepted == 4
        assert not any(b"Bearer" in head for head in proxy.heads)


def test_a_proxy_that_is_not_there_is_a_proxy_error_and_counts_as_not_connected(plain: Httpd) -> None:
    with Listener() as gone:
        port = gone.port
    for target in ("http://target.example/", "https://target.example/"):
        with through(f"http://127.0.0.1:{port}") as manager:
            with pytest.raises(ProxyError) as caught:
                manager.request("GET", target)
            assert isinstance(caught.value.original_error, NewConnectionError)
            with pytest.raises(MaxRetryError) as given_up:
                manager.request("POST", target, retries=poollib.Retry(total=5, connect=1))
            assert isinstance(given_up.value.reason, ProxyError)


def test_a_proxy_that_never_answers_ends_at_the_connect_timeout() -> None:
    """One limit for dialling, tunnel and TLS together."""
    with ScriptServer([expect_request(), stall()]) as proxy:
        with through(f"http://127.0.0.1:{proxy.port}", timeout=Timeout(connect=0.1)) as manager:
            with pytest.raises(ProxyError) as caught:
                manager.request("GET", "https://target.example/")
    assert isinstance(caught.value.original_error, ConnectTimeoutError)


def test_a_plain_proxy_named_as_https_is_told_apart() -> None:
    with ScriptServer([send(b"HTTP/1.1 400 Bad Request\r\n\r\n")]) as proxy:
        with through(f"https://127.0.0.1:{proxy.port}") as manager, pytest.raises(ProxyError, match="http://"):
            manager.request("GET", "https://target.example/")


def test_an_unverified_target_is_warned_of_behind_a_verified_proxy(secure: Httpd) -> None:
    with Listener(tls=certs().server()) as proxy:
        with through(f"https://127.0.0.1:{proxy.port}", cert_reqs="CERT_NONE") as manager:
            with pytest.warns(InsecureRequestWarning):
                manager.request("GET", secure.url)


# Which proxy


def test_a_proxy_per_scheme_and_host(plain: Httpd, secure: Httpd) -> None:
    with Httpd() as forward, Listener() as tunnel:
        rules = {
            "http": forward.url,
            "https": Proxy(f"http://127.0.0.1:{tunnel.port}", headers={"X-Proxy": "1"}),
            "all://direct.example": None,
            "no_proxy": "127.0.0.2",
        }
        resolve = {"direct.example": ["127.0.0.1"]}
        with PoolManager(proxies=rules, resolve=resolve, ca_certs=certs().ca_file) as manager:
            assert seen(manager.request("GET", plain.url))["target"] == f"{plain.url}/"
            assert seen(manager.request("GET", f"http://direct.example:{plain.port}/d"))["target"] == "/d"
            assert manager.request("GET", secure.url).status == 200
        assert [r.target for r in forward.requests] == [f"{plain.url}/"]
        assert len(plain.requests) == len(secure.requests) == 1
        assert b"X-Proxy: 1" in tunnel.heads[0]


@needs_tinyproxy
def test_the_environment_names_the_proxies(plain: Httpd, secure: Httpd, tmp_path: pathlib.Path) -> None:
    with Tinyproxy(tmp_path, login=True) as proxy:
        environ = {"ALL_PROXY": f"http://{LOGIN}@127.0.0.1:{proxy.port}", "NO_PROXY": "localhost"}
        with PoolManager.from_env(environ, ca_certs=certs().ca_file) as manager:
            assert "via" in seen(manager.request("GET", plain.url))["headers"], "tinyproxy says so"
            assert manager.request("GET", secure.url).status == 200
            direct = manager.request("GET", f"http://localhost:{plain.port}/")
            assert "via" not in seen(direct)["headers"]


def test_the_environment_of_the_process_is_read_when_asked_for(plain: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", plain.url)
    with PoolManager(proxies="env") as asked, PoolManager() as not_asked:
        assert seen(asked.request("GET", "http://target.example/"))["target"] == "http://target.example/"
        assert not_asked.connection_from_url("http://target.example/").proxy is None


def test_a_pool_for_a_base_url_goes_through_its_proxy() -> None:
    with Httpd() as proxy, PoolManager(proxies={"http": proxy.url}) as manager:
        pool = manager.pool_for("http://target.example/api")
        assert seen(pool.request("GET", "/api/x?y"))["target"] == "http://target.example/api/x?y"
        assert pool.host == "target.example"


@pytest.mark.parametrize("outer", ["http", "https"])
def test_a_connection_of_ones_own_tunnels_as_in_http_client(outer: str, plain: Httpd, secure: Httpd) -> None:
    """``set_tunnel``'s scheme is the proxy's, as in urllib3; closing and asking again opens another tunnel."""
    with Listener(tls=certs().server() if outer == "https" else None) as proxy:
        for server in (plain, secure):
            kind, settings = (HTTPSConnection, {"ca_certs": certs().ca_file}) if server.tls else (HTTPConnection, {})
            config = ProxyConfig(ssl.create_default_context(cafile=certs().ca_file), False, None, None)
            conn = kind("127.0.0.1", proxy.port, timeout=5.0, proxy_config=config, **settings)
            conn.set_tunnel("127.0.0.1", server.port, {"X-For-Proxy": "1"}, scheme=outer)
            for _ in range(2):
                conn.request("GET", "/x")
                asked = json.loads(conn.getresponse().data)
                assert asked["headers"]["host"] == f"127.0.0.1:{server.port}"
                assert "x-for-proxy" not in asked["headers"]
                conn.close()
        assert [head.split(b" ")[0] for head in proxy.heads] == [b"CONNECT"] * 4
