"""connectionpool: what is refused before anything is opened, and what a pool says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, connection_from_url
from poollib.exceptions import HostChangedError, LocationValueError, URLSchemeUnknown


@pytest.mark.parametrize("port", [-1, 65536, 99999, "80", 8.0])
def test_a_port_out_of_range_is_refused(port: Any) -> None:
    """It would wrap around to another one."""
    with pytest.raises(LocationValueError, match="port must be None or a number from 0 to 65535"):
        HTTPConnectionPool("localhost", port)


@pytest.mark.parametrize("name", ["maxsize", "min_idle", "idle_timeout", "max_lifetime", "dispose_batch_size"])
@pytest.mark.parametrize("value", [-1, "a"])
def test_a_bad_setting_is_refused_by_its_name(name: str, value: Any) -> None:
    """Whatever kind of bad it is."""
    with pytest.raises((TypeError, ValueError), match=name):
        HTTPConnectionPool("localhost", 1, **{name: value})


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
        ("GET", "/a\r\nX: y", {}, None),
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
        assert (pool._lending.leased, pool.stats()["bytes_sent"]) == (0, 0)


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
