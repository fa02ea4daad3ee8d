"""connectionpool: what is refused before anything is opened, and what a pool says of itself."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Retry, connection_from_url
from poollib.connection import HTTPConnection
from poollib.exceptions import (
    EmptyPoolError,
    HostChangedError,
    LocationParseError,
    LocationValueError,
    URLSchemeUnknown,
)
from poollib.pool.settings import Settings
from tests.support.liars import Index
from tests.support.script import ScriptServer, expect_request, respond, send


@pytest.mark.parametrize("port", [-1, 65536, 99999, "65536", "1000000", "-1", "+80", "8 0", "http", "\u0663", "", 8.0])
def test_a_port_out_of_range_is_refused(port: Any) -> None:
    """It would wrap around to another one."""
    with pytest.raises(LocationValueError, match="port must be None or a number from 0 to 65535"):
        HTTPConnectionPool("localhost", port)


def test_a_port_may_be_text_as_in_a_url() -> None:
    with HTTPConnectionPool("localhost", "8080") as pool:  # type: ignore[arg-type]
        assert pool.port == 8080


@pytest.mark.parametrize("pool_class", [HTTPConnectionPool, HTTPSConnectionPool])
def test_a_url_as_host_fails_when_the_pool_makes_a_connection(pool_class: type[HTTPConnectionPool]) -> None:
    """As in urllib3, where such a pool can be made and compared; the error says what to do instead."""
    with pool_class("http://example.com/") as pool:
        assert not pool.is_same_host("http://example.com/")
        with pytest.raises(LocationParseError, match=r"'http://example.com/' is a URL.*connection_from_url\(\)"):
            pool.request("GET", "/")
        assert pool.num_requests == 0


def test_a_url_as_host_goes_to_no_proxy() -> None:
    with ProxyManager("http://127.0.0.1:1") as manager:
        pool = manager.connection_from_host("http://example.com/", scheme="https")
        with pytest.raises(LocationParseError, match="is a URL"):
            pool.request("GET", "/")


def test_a_url_with_a_password_as_host_is_refused_at_once() -> None:
    """A pool shows its host."""
    with pytest.raises(LocationParseError) as caught:
        HTTPConnectionPool("http://user:secret@example.com/")
    assert "secret" not in str(caught.value)


TIMES = ["idle_timeout", "max_lifetime", "acquire_timeout", "leak_timeout", "dns_cache", "health_check_interval"]


@pytest.mark.parametrize("name", ["maxsize", "min_idle", "dispose_batch_size", *TIMES])
@pytest.mark.parametrize("value", [-1, "a", float("nan")])
def test_a_bad_setting_is_refused_by_its_name(name: str, value: Any) -> None:
    """Whatever kind of bad it is. A kept DNS answer was good for ever with NaN, and for -1 seconds."""
    with pytest.raises((TypeError, ValueError), match=name):
        HTTPConnectionPool("localhost", 1, block=True, **{name: value})


@pytest.mark.parametrize("name", ["maxsize", "dispose_batch_size", "retries", "port"])
def test_whole_numbers_of_other_packages_are_taken(name: str) -> None:
    """numpy's are no int."""
    with HTTPConnectionPool("localhost", **{"port": 1, "maxsize": 3, name: Index(2)}, timeout=0.1) as pool:
        assert pool.num_connections == 0
        if name == "retries":
            assert Retry.from_int(pool.retries).total == 2


def test_a_least_number_of_idle_connections_may_be_of_another_package() -> None:
    assert Settings(min_idle=cast(int, Index(0)), maxsize=cast(int, Index(2))).checked() == Settings(maxsize=2)


@pytest.mark.parametrize("name", [*TIMES, "timeout"])
@pytest.mark.parametrize("value", [Decimal("2.5"), Fraction(5, 2)])
def test_times_are_numbers_of_every_kind(name: str, value: Any) -> None:
    """These types do not mix with the clock's floats: it was found out in the collector's thread, or at a failure."""
    with HTTPConnectionPool("localhost", 1, **{name: value}) as pool:
        if pool._health is not None:
            assert pool._health.settings == (2.5, None)
        elif name not in ("dns_cache", "timeout"):
            settled = getattr(pool._endpoint_pool._settings, name)
            assert (type(settled), settled) == (float, 2.5)


@pytest.mark.parametrize("value", [Decimal("0.001"), Fraction(1, 1000), 0])
def test_a_pool_timeout_is_a_number_of_every_kind(value: Any) -> None:
    with HTTPConnectionPool("localhost", 1, maxsize=1, block=True) as pool:
        taken = pool._get_conn()
        with pytest.raises(EmptyPoolError, match="1 of 1 leased"):
            pool.request("GET", "/", pool_timeout=value, retries=False)
        with pytest.raises(EmptyPoolError):
            pool._endpoint_pool.acquire(value)
        pool._put_conn(taken)


@pytest.mark.parametrize("value", [-1, float("nan"), Decimal("NaN"), "1", True])
def test_a_pool_timeout_that_nobody_can_wait_for_is_refused(value: Any) -> None:
    with HTTPConnectionPool("localhost", 1) as pool, pytest.raises(ValueError, match="pool_timeout"):
        pool.request("GET", "/", pool_timeout=value)


@pytest.mark.parametrize("maxsize", [0, -1])
def test_a_maxsize_below_one_is_no_limit_as_to_a_queue(maxsize: int) -> None:
    """urllib3's pool is a queue, which takes -1 as it takes 0."""
    with HTTPConnectionPool("localhost", 1, maxsize=maxsize) as pool:
        assert pool._endpoint_pool.maxsize is None


@pytest.mark.parametrize("limit", [float("nan"), 2.5, "2"])
def test_a_limit_of_all_connections_is_a_whole_number(limit: Any) -> None:
    """NaN was no limit, since nothing is more than it."""
    with pytest.raises(TypeError, match="total_maxsize"):
        PoolManager(total_maxsize=limit)


def test_a_number_of_pools_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="num_pools"):
        PoolManager(num_pools=cast(int, float("nan")))


@pytest.mark.parametrize("value", [float("nan"), -1, True, "5"])
def test_a_size_that_bounds_nothing_is_refused(value: Any) -> None:
    with HTTPConnectionPool("localhost", 1) as pool, pytest.raises(ValueError, match="max_response_size"):
        pool.request("GET", "/", max_response_size=value)


def test_a_blocksize_is_a_whole_number() -> None:
    with HTTPConnectionPool("localhost", 1, blocksize=cast(int, float("nan"))) as pool:
        with pytest.raises(TypeError, match="blocksize"):
            pool.request("POST", "/", body=[b"1"])


def test_an_unknown_keyword_of_a_request_is_refused_by_its_name() -> None:
    """Before a connection is taken."""
    with HTTPConnectionPool("localhost", 1) as pool:
        with pytest.raises(TypeError, match="'fast'"):
            pool.urlopen("GET", "/", fast=True)
        assert pool.num_connections == 0


@pytest.mark.parametrize("host", ["", None])
def test_no_host_is_refused(host: Any) -> None:
    """As in urllib3."""
    with pytest.raises(LocationValueError, match="No host"):
        HTTPConnectionPool(host)


@pytest.mark.parametrize(
    ("method", "url", "headers", "text"),
    [
        ("GE T", "/", {}, "method"),
        ("GET\r\n", "/", {}, "method"),
        ("GET", "/", {"X": "a\r\nY: b"}, "'X'"),
        ("GET", "/", {"X\r\nY": "b"}, "header name"),
        ("GET", "/", {"X": "a\0b"}, "'X'"),
        ("GET", "/", {"Content-Length": "5", "Transfer-Encoding": "chunked"}, "both"),
        ("GET", "/", {"X": "\u20ac"}, "bytes"),
    ],
)
def test_nothing_can_be_smuggled_into_a_request(
    method: str, url: str, headers: dict[str, str], text: str | None
) -> None:
    """A ValueError names it, no byte is sent, no slot is lost."""
    with HTTPConnectionPool("localhost", 1, block=True) as pool:
        with pytest.raises(ValueError, match=text):
            pool.urlopen(method, url, headers=headers, retries=False)
        assert (pool._endpoint_pool.leased, pool.stats()["bytes_sent"]) == (0, 0)


@pytest.mark.parametrize(
    ("url", "is_same"),
    [
        ("/path", True),
        ("http://localhost/x", True),
        ("http://LOCALHOST:80/", True),
        ("http://localhost:81/", False),
        ("https://localhost/", False),
        ("http://other/", False),
    ],
)
def test_a_pool_knows_its_own_host(url: str, is_same: bool) -> None:
    """Scheme, host and port together."""
    with HTTPConnectionPool("localhost") as pool:
        assert pool.is_same_host(url) is is_same
        if not is_same:
            with pytest.raises(HostChangedError):
                pool.urlopen("GET", url)


def test_a_pool_is_found_by_url() -> None:
    """connection_from_url: scheme and port decide the class."""
    with connection_from_url("https://example.com/") as secure, connection_from_url("http://example.com:81") as plain:
        assert (type(secure), secure.host, secure.port) == (HTTPSConnectionPool, "example.com", 443)
        assert (type(plain), plain.port, str(plain)) == (
            HTTPConnectionPool,
            81,
            "HTTPConnectionPool(host='example.com', port=81)",
        )
    with pytest.raises(LocationValueError):
        connection_from_url("/no/host")


def test_another_scheme_is_refused() -> None:
    """Only http and https are spoken."""
    with pytest.raises(URLSchemeUnknown, match="ftp"):
        connection_from_url("ftp://example.com/")


def test_the_keywords_of_new_connections_may_be_looked_at_and_changed() -> None:
    """By programs that know urllib3's ``conn_kw``; each pool has its own."""
    with HTTPConnectionPool("localhost", 1) as pool, HTTPConnectionPool("localhost", 1) as other:
        pool.conn_kw["blocksize"] = 4096
        assert (pool._new_conn().blocksize, other._new_conn().blocksize) == (4096, 16384)
        pool.conn_kw = {"blocksize": 8192}
        assert pool._new_conn().blocksize == 8192


def test_no_guard_stands_where_none_is_wished_for() -> None:
    """None says so, as leaving the keyword away does."""
    with HTTPConnectionPool("127.0.0.1", 1, allowed_hosts=None, blocked_networks=None) as pool:
        assert pool._guard is None
        assert pool.is_same_host("http://127.0.0.1:1/")


def test_a_pool_may_have_a_scheme_of_its_own() -> None:
    """As those of programs that speak through something else than TCP: the host may be a socket's path."""

    class UnixPool(HTTPConnectionPool):
        scheme = "http+unix"

    with UnixPool("%2Frun%2FA.sock") as pool:
        assert pool.is_same_host("http+unix://%2Frun%2FA.sock/path")
        assert not pool.is_same_host("http+unix://%2Frun%2Fa.sock/path")


def test_port_0_is_the_same_host_as_port_0_alone() -> None:
    with connection_from_url("http://a.example:0") as pool:
        assert pool.port == 0
        assert pool.is_same_host("http://a.example:0/")
        assert not pool.is_same_host("http://a.example/")
    with HTTPConnectionPool("a.example") as pool:
        assert not pool.is_same_host("http://a.example:0/")


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_is_the_same_host_with_brackets_and_without(host: str) -> None:
    """Programs take it from ``urlsplit(...).hostname``, which has none."""
    with HTTPSConnectionPool(host, 443) as pool:
        assert pool.is_same_host("https://[::1]/")
        assert not pool.is_same_host("https://[::2]/")
        assert (pool.host, pool._get_conn().host) == ("::1", "::1")  # as http.client and urllib3 have it


def test_a_response_says_which_pool_it_came_from_however_its_body_arrived() -> None:
    """By urllib3's private name: it was None where the body came with the head."""
    cut = send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    script = [expect_request(), respond(b"ok"), expect_request(), respond(b""), expect_request(), cut, send(b"ok")]
    with ScriptServer(script) as server, HTTPConnectionPool(server.host, server.port) as pool:
        for _ in range(3):
            assert pool.request("GET", "/")._pool is pool  # type: ignore[attr-defined]


BOTH = [HTTPConnectionPool("127.0.0.1", 1), PoolManager()]
ASK = {HTTPConnectionPool: "/", PoolManager: "http://127.0.0.1:1/"}


@pytest.mark.parametrize("client", BOTH, ids=["pool", "manager"])
@pytest.mark.parametrize("name", ["method", "url"])
@pytest.mark.parametrize("value", [None, b"/x", 3])
@pytest.mark.parametrize("call", ["request", "urlopen"])
def test_a_method_or_url_that_is_no_text_is_refused_by_its_name(client: Any, name: str, value: Any, call: str) -> None:
    """They failed deep inside, with a word about ``upper`` or about patterns."""
    arguments = {"method": "GET", "url": ASK[type(client)], name: value}
    with pytest.raises(TypeError, match=f"^{name} must be a str, not {re.escape(repr(value))}$"):
        getattr(client, call)(**arguments)


@pytest.mark.parametrize("client", BOTH, ids=["pool", "manager"])
@pytest.mark.parametrize("headers", [["Authorization: secret"], "Authorization: secret", [("A", "secret")]])
@pytest.mark.parametrize("more", [{}, {"json": {}}, {"fields": {"a": "b"}}])
def test_headers_that_are_no_mapping_are_refused_and_not_shown(client: Any, headers: Any, more: Any) -> None:
    """curl's way of writing them, and pairs: urllib3 takes neither."""
    with pytest.raises(
        TypeError, match=f"headers must be a mapping of names to values, not a {type(headers).__name__}"
    ):
        client.request("POST", ASK[type(client)], headers=headers, retries=False, **more)


@pytest.mark.parametrize("client", BOTH, ids=["pool", "manager"])
@pytest.mark.parametrize(("name", "kind"), [("limits", "Limits"), ("trace", "a Trace")])
def test_a_trace_or_limits_of_another_kind_are_refused(client: Any, name: str, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be {kind}, not 3$"):
        client.request("GET", ASK[type(client)], **{name: 3})
    with pytest.raises(TypeError, match=f"^{name} must be {kind}, not 3$"):
        HTTPConnectionPool("127.0.0.1", **{name: 3})


@pytest.mark.parametrize(
    "make",
    [
        lambda: HTTPConnectionPool("localhost", foo=1),
        lambda: HTTPSConnectionPool("localhost", foo=1),
        lambda: connection_from_url("http://localhost", foo=1),
    ],
)
def test_a_keyword_that_no_connection_takes_is_refused_when_the_pool_is_made(make: Any) -> None:
    """The first request said it, with the name of a class that no user knows."""
    with pytest.raises(TypeError, match=r"no keyword of pools for https?: 'foo'"):
        make()


@pytest.mark.parametrize(
    ("keyword", "hint"),
    [
        ("idle_timout", "did you mean idle_timeout"),
        ("max_size", "did you mean maxsize"),
        ("verify", "use ca_certs="),
        ("progress", "give it to each request"),
    ],
)
def test_what_an_unknown_keyword_was_meant_to_be_is_said(keyword: str, hint: str) -> None:
    for make in (HTTPConnectionPool, HTTPSConnectionPool):
        with pytest.raises(TypeError, match=f"'{keyword}': {hint}"):
            make("localhost", **{keyword: 1})


def test_a_connection_class_of_somebodys_own_takes_keywords_of_its_own() -> None:
    class Own(HTTPConnection):
        def __init__(self, *args: Any, foo: int, **kw: Any) -> None:
            super().__init__(*args, **kw)
            self.foo = foo

    class Pool(HTTPConnectionPool):
        ConnectionCls = Own

    class Maker(HTTPConnectionPool):
        def _new_conn(self) -> Any:
            return self.conn_kw["foo"]

    assert Pool("localhost", foo=1)._new_conn().foo == 1
    assert Maker("localhost", foo=1)._new_conn() == 1
