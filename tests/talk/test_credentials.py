"""Where credentials go when a server sends the client elsewhere.

RFC 9110 section 15.4 and promise 7: credentials stay with their origin (scheme, host, port) over all hops; stripped
once they are gone for the chain. CVE-2018-20060, CVE-2023-43804, CVE-2024-37891, curl CVE-2022-27774 and Go
CVE-2024-45336 were other rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from poollib import HTTPConnectionPool, PoolManager, Retry
from poollib.exceptions import HostChangedError, HTTPError, InsecureRedirectError, LocationValueError, URLSchemeUnknown
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response

SECRETS = {"Authorization": "Bearer t", "cookie": "c=1", "Proxy-Authorization": "Basic x"}
NAMES = ("authorization", "cookie", "proxy-authorization")
LOCAL = {name: ["127.0.0.1"] for name in ("a.example", "b.example", "a.example.")}


@dataclass
class Hops:
    """Three origins; a request for /go?URL is sent to that URL."""

    plain: Httpd
    other: Httpd
    secure: Httpd

    def go(self, *urls: str) -> str:
        """A URL at `plain` that leads over all of these."""
        path = ""
        for url in reversed(urls):
            path = f"{url}?{path}" if path else url
        return path

    def held(self, server: Httpd) -> list[set[str]]:
        """The secrets of each request that a server saw."""
        return [{name.lower() for name, _ in request.headers} & set(NAMES) for request in server.requests]


def go(request: Request) -> Response:
    _, _, location = request.target.partition("?")
    status = int(request.header("X-Status") or 302)
    return Response(b"end") if not location else Response(status=status, headers={"Location": location})


@pytest.fixture
def hops() -> Iterator[Hops]:
    routes: dict[str, Callable[[Request], Response]] = {"/go": go}
    with Httpd(routes) as plain, Httpd(routes) as other, Httpd(routes, tls=certs().server()) as secure:
        yield Hops(plain, other, secure)


def manager(**kw: Any) -> PoolManager:
    return PoolManager(ca_certs=certs().ca_file, resolve=LOCAL, **kw)


# The table: where from, where to, whether credentials follow.


@pytest.mark.parametrize(
    ("start", "target", "follows"),
    [
        ("http://127.0.0.1:{plain}", "/go", True),
        ("http://127.0.0.1:{plain}", "http://127.0.0.1:{plain}/go", True),
        ("http://a.example:{plain}", "http://A.EXAMPLE:{plain}/go", True),
        ("http://a.example:{plain}", "http://a.example.:{plain}/go", True),
        ("http://a.example:{plain}", "http://me:pw@a.example:{plain}/go", True),
        ("http://a.example:{plain}", "http://b.example:{plain}/go", False),
        ("http://127.0.0.1:{plain}", "http://127.0.0.1:{other}/go", False),
        ("http://127.0.0.1:{plain}", "//127.0.0.1:{other}/go", False),
        ("http://127.0.0.1:{plain}", "http://localhost:{plain}/go", False),
        ("http://127.0.0.1:{plain}", "https://127.0.0.1:{secure}/go", False),
        ("https://127.0.0.1:{secure}", "http://127.0.0.1:{plain}/go", False),
        ("https://127.0.0.1:{secure}", "https://localhost:{secure}/go", False),
        ("https://127.0.0.1:{secure}", "/go", True),
    ],
)
@pytest.mark.parametrize("where", ["request", "manager"])
def test_credentials_follow_to_the_same_origin_alone(
    start: str, target: str, follows: bool, where: str, hops: Hops
) -> None:
    ports = {"plain": hops.plain.port, "other": hops.other.port, "secure": hops.secure.port}
    start, target = start.format(**ports), target.format(**ports)
    given = {"headers": SECRETS}
    with manager(**(given if where == "manager" else {})) as client:
        extra = given if where == "request" else {}
        assert client.request("GET", f"{start}/go?{target}", **extra).data == b"end"
    all_held = [held for server in (hops.plain, hops.other, hops.secure) for held in hops.held(server)]
    assert len(all_held) == 2
    assert sorted(map(len, all_held)) == ([3, 3] if follows else [0, 3])


def test_credentials_do_not_come_back_with_the_way_back(hops: Hops) -> None:
    """Stripped once, they are gone for the chain (Go CVE-2024-45336)."""
    way = f"{hops.plain.url}/go?{hops.other.url}/go?{hops.plain.url}/go"
    with manager() as client:
        assert client.request("GET", way, headers=SECRETS).data == b"end"
    assert hops.held(hops.plain) == [set(NAMES), set()]
    assert hops.held(hops.other) == [set()]


def test_a_host_field_of_the_callers_stays_with_its_origin(hops: Hops) -> None:
    with manager() as client:
        client.request("GET", f"{hops.plain.url}/go?{hops.other.url}/go", headers={"Host": "virtual.example"})
    assert hops.plain.requests[0].header("Host") == "virtual.example"
    assert hops.other.requests[0].header("Host") == f"127.0.0.1:{hops.other.port}"


def test_a_userinfo_in_a_location_is_not_turned_into_credentials(hops: Hops) -> None:
    location = f"http://me:secret@127.0.0.1:{hops.other.port}/go"
    with manager() as client:
        assert client.request("GET", f"{hops.plain.url}/go?{location}").data == b"end"
        assert client.request("GET", location).data == b"end"
    for request in hops.other.requests:
        assert request.target == "/go"
        assert request.header("Authorization") is None
        assert "secret" not in str(request.headers)


def test_a_fragment_is_not_sent(hops: Hops) -> None:
    with manager() as client:
        client.request("GET", f"{hops.plain.url}/go?/go%23x#y")
        client.request("GET", f"{hops.plain.url}/go", headers={"X-Status": "302"})
    assert [request.target for request in hops.plain.requests][-1] == "/go"
    assert not any("#" in request.target for request in hops.plain.requests)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_redirect_status_obeys_the_rule(status: int, hops: Hops) -> None:
    with manager() as client:
        headers = {**SECRETS, "X-Status": str(status)}
        client.request("POST", f"{hops.plain.url}/go?{hops.other.url}/go", headers=headers, body=b"x")
    (request,) = hops.other.requests
    assert hops.held(hops.other) == [set()]
    assert (request.method, request.body) == (("GET", b"") if status == 303 else ("POST", b"x"))


def test_which_fields_follow_can_be_chosen_but_never_from_https_to_http(hops: Hops) -> None:
    keep_all = Retry(remove_headers_on_redirect=[])
    with manager(retries=keep_all) as client:
        client.request("GET", f"{hops.plain.url}/go?{hops.other.url}/go", headers=SECRETS)
        client.request("GET", f"{hops.secure.url}/go?{hops.plain.url}/go", headers=SECRETS)
    assert hops.held(hops.other) == [set(NAMES)]
    assert hops.held(hops.plain)[1:] == [set()]
    own = Retry(remove_headers_on_redirect=["X-API-KEY"])
    with manager(retries=own) as client:
        client.request("GET", f"{hops.plain.url}/go?{hops.other.url}/go", headers={"x-api-key": "k", "X-Other": "o"})
    assert hops.other.requests[-1].header("X-Api-Key") is None
    assert hops.other.requests[-1].header("X-Other") == "o"


def test_a_downgrade_is_followed_unless_it_is_refused(hops: Hops) -> None:
    way = f"{hops.secure.url}/go?http://me:pw@127.0.0.1:{hops.plain.port}/go"
    with manager(maxsize=1, block=True) as client:
        assert client.request("GET", way).data == b"end"
        for preload in (True, False):
            with pytest.raises(InsecureRedirectError, match="https to http") as refused:
                client.request("GET", way, retries=Retry(allow_downgrade=False), preload_content=preload)
            assert isinstance(refused.value, HTTPError)
            assert "pw" not in refused.value.location
        assert client.connection_from_url(hops.secure.url)._endpoint_pool.leased == 0
        up = f"{hops.plain.url}/go?{hops.secure.url}/go"
        assert client.request("GET", up, retries=Retry(allow_downgrade=False)).data == b"end"
    assert len(hops.plain.requests) == 2


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "javascript:alert(1)",
        "data:text/plain,x",
        "http+unix://%2Frun%2Fdocker.sock/",
        "gopher://127.0.0.1:70/x",
    ],
)
@pytest.mark.parametrize("preload", [True, False])
def test_redirects_to_other_schemes_are_refused_and_cost_no_slot(location: str, preload: bool, hops: Hops) -> None:
    """CVE-2011-1521, CVE-2019-9948: only web addresses are followed."""
    with manager(maxsize=1, block=True) as client:
        with pytest.raises((URLSchemeUnknown, LocationValueError)) as refused:
            client.request("GET", f"{hops.plain.url}/go?{location}", preload_content=preload)
        assert isinstance(refused.value, URLSchemeUnknown)
        assert client.connection_from_url(hops.plain.url)._endpoint_pool.leased == 0
        untouched = client.request("GET", f"{hops.plain.url}/go?{location}", redirect=False)
        assert untouched.headers["Location"] == location


def test_a_pool_refuses_to_leave_its_host_and_keeps_credentials_on_it(hops: Hops) -> None:
    with HTTPConnectionPool("127.0.0.1", hops.plain.port, maxsize=1, block=True) as pool:
        assert pool.request("GET", "/go?/go", headers=SECRETS).data == b"end"
        for location in (f"{hops.other.url}/go", "file:///etc/passwd", "//b.example/"):
            for preload in (True, False):
                with pytest.raises((HostChangedError, URLSchemeUnknown)):
                    pool.request("GET", f"/go?{location}", headers=SECRETS, preload_content=preload)
        assert pool._endpoint_pool.leased == 0
    assert hops.held(hops.plain)[:2] == [set(NAMES), set(NAMES)]
    assert not hops.other.requests


def test_credentials_are_remembered_by_the_connection_they_travel_on_and_no_longer() -> None:
    """The bytes of a request's fields are kept for the next one like it: with credentials only on their connection."""
    from poollib.connection import HTTPConnection
    from poollib.http1 import request_head

    class Lying(str):
        """Equals what it is not, and is sent as what it is."""

        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            return True

    with Httpd() as server:
        conn = HTTPConnection("127.0.0.1", server.port)
        for login in ("alice", "alice", "bob", Lying("carol"), None, "alice"):
            conn.request("GET", "/", headers={} if login is None else {"Authorization": login})
            assert conn.getresponse().data
        told = [request.header("Authorization") for request in server.requests]
        assert told == ["alice", "alice", "bob", "carol", None, "alice"]
        assert conn._private is not None
        conn.close()
        assert conn._private is None
    assert not [key for key in request_head._memo if "Authorization" in dict(key)]
