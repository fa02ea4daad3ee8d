"""Advisories against other clients that belong to no other file's theme; docs/security.rst has them all."""

from __future__ import annotations

import gzip

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Retry, Timeout
from poollib.base.url import parse_url
from poollib.connection import HTTPConnection
from poollib.exceptions import DecodeError, HTTPError, MaxRetryError, ProtocolError
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_request, respond


def loop(request: Request) -> Response:
    return Response(status=302, headers={"Location": "/loop"})


@pytest.mark.parametrize(("retries", "sent"), [(0, 1), (2, 3), (Retry(redirect=1), 2), (Retry(5, redirect=0), 1)])
def test_a_managers_retries_govern_redirects(retries: Retry | int, sent: int) -> None:
    """urllib3 CVE-2025-50181: those of the manager were not heard."""
    with Httpd({"/loop": loop}) as server, PoolManager(retries=retries) as manager:
        with pytest.raises(MaxRetryError, match="too many redirects"):
            manager.request("GET", f"{server.url}/loop")
        assert len(server.requests) == sent


@pytest.mark.parametrize("retries", [False, Retry(redirect=False)])
def test_a_manager_that_follows_no_redirect_shows_it(retries: Retry | bool) -> None:
    with Httpd({"/loop": loop}) as server, PoolManager(retries=retries) as manager:
        assert manager.request("GET", f"{server.url}/loop").status == 302
        assert len(server.requests) == 1


def test_an_empty_collection_of_methods_repeats_none() -> None:
    """curl CVE-2024-2004: an empty list allowed all."""
    with ScriptServer([expect_request(), close()]) as server, HTTPConnectionPool(server.host, server.port) as pool:
        with pytest.raises(ProtocolError):
            pool.request("GET", "/", retries=Retry(3, allowed_methods=()))
        assert len(server.connections) == 1
    assert not Retry(3, allowed_methods=(), status_forcelist={503}).is_retry("GET", 503)
    assert Retry(remove_headers_on_redirect=()).remove_headers_on_redirect == frozenset()


CODED = {"Location": "/end", "Content-Encoding": "gzip"}


@pytest.mark.parametrize("status", [302, 503])
def test_what_is_thrown_away_is_not_decoded(status: int) -> None:
    """urllib3 CVE-2026-21441, CVE-2026-44432: bombs in bodies that nobody looks at. Decoding this one is an error."""

    def bomb(request: Request) -> Response:
        code = status if len(server.requests) == 1 else 200
        return Response(b"no gzip" if code == status else b"", status=code, headers=CODED if code == status else {})

    retries = Retry(1, status_forcelist={503})
    with Httpd({"/bomb": bomb, "/end": bomb}) as server, HTTPConnectionPool(server.host, server.port) as pool:
        assert pool.request("GET", "/bomb", retries=retries).status == 200
        server.requests.clear()
        pool.request("GET", "/bomb", redirect=False, retries=False, preload_content=False).drain_conn()
        assert pool.request("GET", "/").status == 200
        assert server.opened == 1


def test_the_body_of_a_redirect_that_is_not_followed_is_decoded_when_asked_for() -> None:
    answer = Response([gzip.compress(b"x" * 1000)], status=302, headers=CODED)
    with (
        Httpd({"/": lambda request: answer}) as server,
        HTTPConnectionPool(server.host, server.port, maxsize=1, block=True) as pool,
    ):
        response = pool.request("GET", "/", redirect=False)
        assert pool._endpoint_pool.idle == 1
        assert (response.data, response.read(), response.data) == (b"x" * 1000, b"", b"x" * 1000)
        assert list(pool.request("GET", "/", redirect=False).stream(400)) == [b"x" * 400, b"x" * 400, b"x" * 200]
        damaged = Response(b"no gzip", status=302, headers=CODED)
        server.routes["/"] = lambda request: damaged
        with pytest.raises(DecodeError):
            assert pool.request("GET", "/", redirect=False).data
        pool.request("GET", "/", redirect=False).close()
        pool.request("GET", "/", redirect=False).drain_conn()
        assert (pool._endpoint_pool.leased, server.opened) == (0, 1)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET\r\nA: b", "/", {}),
        ("", "/", {}),
        ("GET", "/", {"A\r\nB": "c"}),
        ("GET", "/", {"A B": "c"}),
        ("GET", "/", {"A": "b\r\nC: d"}),
        ("GET", "/", {"A": "\0"}),
        ("GET", "/", {"Host": "a\r\nb"}),
        ("GET", "/", {"Content-Length": "+1"}),
    ],
)
def test_what_can_not_be_sent_opens_no_socket(method: str, target: str, headers: dict[str, str]) -> None:
    """It is an error before anything is looked up or dialled, and no proxy or server sees any of it."""
    with ScriptServer() as server, HTTPConnectionPool(server.host, server.port) as pool:
        with pytest.raises(ValueError, match=r"method|URL|URI|[Hh]eader"):
            pool.request(method, target, headers=headers)
        connection = HTTPConnection(server.host, server.port)
        with pytest.raises(ValueError, match=r"method|URL|URI|[Hh]eader"):
            connection.request(method, target, headers=headers)
        assert (server.opened, connection.sock, pool._endpoint_pool.leased) == (0, None, 0)


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/a HTTP/1.1\r\nHost: b\r\n\r\n", b"/a%20HTTP/1.1%0D%0AHost:%20b%0D%0A%0D%0A"),
        ("/\x7f?\0 #\r\n", b"/%7F?%00%20"),
    ],
)
def test_a_target_stays_one_word_of_the_request_line(target: str, sent: bytes) -> None:
    """urllib3's CVE-2019-11236: CR and LF in a path began another field."""
    with ScriptServer([expect_request(), respond(b""), expect_request(), respond(b"")]) as server:
        with PoolManager() as manager:
            manager.request("GET", server.url + target)
            manager.connection_from_url(server.url).request("GET", target)
    lines = [line for head in server.received for line in head.split(b"\r\n") if line.startswith(b"GET")]
    assert lines == [b"GET %b HTTP/1.1" % sent] * 2


def test_a_path_that_begins_with_two_slashes_names_no_other_host() -> None:
    """undici CVE-2022-35949: ``//host`` as a path was taken for one."""
    with Httpd() as server, Httpd() as other, HTTPConnectionPool(server.host, server.port) as pool:
        target = f"//{other.host}:{other.port}/x"
        pool.request("GET", target)
        with PoolManager() as manager:
            manager.request("GET", server.url + target)
        assert [request.target for request in server.requests] == [target, target]
        assert not other.requests


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_request_leaves_nothing_to_the_next(tls: bool) -> None:
    """curl CVE-2026-6253 and its kin: fields, login, limits and clocks of one request were still there for another."""
    kind, keywords = (HTTPSConnectionPool, {"ca_certs": certs().ca_file}) if tls else (HTTPConnectionPool, {})
    with (
        Httpd(tls=certs().server() if tls else None) as server,
        kind(server.host, server.port, maxsize=1, block=True, **keywords) as pool,
    ):
        pool.request("GET", "/")
        given = {"Authorization": "Basic x", "Cookie": "a", "Host": "virtual.example", "Referer": "r", "Proxy-X": "y"}
        timeout = Timeout(connect=1, read=1, write=1, deadline=2)
        pool.request("POST", "/", headers=given, body=b"x", timeout=timeout, max_response_size=10_000, retries=False)
        with pytest.raises(HTTPError):
            pool.request("GET", "/?again", headers=given, max_response_size=1, retries=False)
        timeout = Timeout(connect=1, read=1, write=1, deadline=2)
        pool.request("PUT", "/", headers=given, body=iter([b"x"]), timeout=timeout, decode_content=False)
        pool.request("GET", "/")
        assert server.requests[-1].connection == server.requests[-2].connection
        first, last = server.requests[0], server.requests[-1]
        assert (first.headers, first.target, first.body) == (last.headers, last.target, last.body)
        connection = pool._get_conn()
        assert connection.request_options is None
        assert connection.sock.gettimeout() is None
        pool._put_conn(connection)


def test_a_host_given_once_goes_out_once_also_behind_a_request_without_one() -> None:
    """What a connection puts in front of most requests is left out where the caller has it, whatever its case."""
    script = [step for _ in range(3) for step in (expect_request(), respond(b""))]
    with ScriptServer(script) as server, HTTPConnectionPool(server.host, server.port) as pool:
        for headers in ({}, {"hOST": "virtual.example", "accept-encoding": "br", "User-agent": "mine"}, {}):
            pool.request("GET", "/", headers=headers)
    first, second, third = (head.lower() for head in bytes(server.received[0]).split(b"GET /")[1:])
    assert first == third
    for name in (b"host:", b"accept-encoding:", b"user-agent:"):
        assert second.count(name) == 1
    assert b"virtual.example" in second


def test_a_connection_that_was_to_close_once_is_kept_the_next_time() -> None:
    scripts = [[expect_request(), respond(b""), close()], [*[expect_request(), respond(b"")] * 2]]
    with ScriptServer(*scripts) as server:
        connection = HTTPConnection(server.host, server.port)
        for headers in ({"Connection": "close"}, {}, {}):
            connection.request("GET", "/", headers=headers)
            connection.getresponse().read()
        connection.close()
    assert server.opened == 2


def test_a_final_dot_is_the_same_host_for_tls_and_in_the_field_host() -> None:
    """curl CVE-2022-30115 and CVE-2022-42916: an odd spelling of a host was another one."""
    with (
        Httpd(tls=certs().server()) as server,
        PoolManager(ca_certs=certs().ca_file, resolve={"localhost.": ["127.0.0.1"]}) as manager,
    ):
        for host in ("localhost.", "LOCALHOST."):
            assert manager.request("GET", f"https://{host}:{server.port}/").status == 200
        assert {request.header("Host") for request in server.requests} == {f"localhost:{server.port}"}
        assert server.opened == 1


def test_a_zone_stays_on_this_machine() -> None:
    """RFC 6874 section 4: it went to a forwarding proxy, in the request line and in Host."""
    with ScriptServer([expect_request(), respond(b"1"), expect_request(), respond(b"2")]) as proxy:
        with ProxyManager(proxy.url) as manager:
            manager.request("GET", "http://[fe80::1%25eth0]/a?b")
            manager.request("GET", "http://[fe80::1%eth0]:81/")
    heads = [head.split(b"\r\n")[:2] for head in proxy.received[0].split(b"\r\n\r\n")[:2]]
    assert heads == [
        [b"GET http://[fe80::1]/a?b HTTP/1.1", b"Host: [fe80::1]"],
        [b"GET http://[fe80::1]:81/ HTTP/1.1", b"Host: [fe80::1]:81"],
    ]


def test_a_zone_of_a_pools_host_stays_on_this_machine() -> None:
    with ScriptServer([expect_request(), respond(b"1")]) as proxy:
        with HTTPConnectionPool("fe80::1%eth0", _proxy=parse_url(proxy.url)) as pool:
            pool.request("GET", "/x")
    assert proxy.received[0].startswith(b"GET http://[fe80::1]/x HTTP/1.1\r\nHost: [fe80::1]\r\n")


def test_a_zone_of_a_connections_own_target_is_not_in_its_host_field() -> None:
    with ScriptServer([expect_request(), respond(b"1")]) as server:
        connection = HTTPConnection(server.host, server.port)
        connection.request("GET", "http://[fe80::1%eth0]:81/")
        connection.getresponse()
        connection.close()
    assert b"\r\nHost: [fe80::1]:81\r\n" in server.received[0]
