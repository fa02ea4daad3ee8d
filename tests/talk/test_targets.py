"""What stands in a request's first line, and in its length where there is no body.

Source: RFC 9112 section 3.2.4 ("*"), RFC 9110 section 8.6 (Content-Length: 0); what urllib3 2.8 sends for each method.
"""

from __future__ import annotations

import http.client
from typing import Any

import pytest

from poollib import HTTPConnectionPool, PoolManager, ProxyManager, Retry
from poollib.connection import HTTPConnection
from poollib.exceptions import HostChangedError, MaxRetryError
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, expect_request, respond


@pytest.mark.parametrize("assert_same_host", [True, False])
def test_options_asks_for_the_server_as_a_whole(assert_same_host: bool) -> None:
    """It was asked for ``/``, or refused as another host's URL."""
    with ScriptServer([expect_request(), respond()]) as server:
        with HTTPConnectionPool(server.host, server.port) as pool:
            pool.urlopen("OPTIONS", "*", assert_same_host=assert_same_host)
            assert pool.is_same_host("*")
            with pytest.raises(HostChangedError):
                pool.urlopen("OPTIONS", "*.example")
    assert server.received[0].startswith(f"OPTIONS * HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n".encode())


def test_a_forwarding_proxy_is_asked_for_a_url_without_a_path() -> None:
    """RFC 9112 section 3.2.4: the last proxy on the way makes "*" of it. "*" itself is the proxy's own."""
    once = [expect_request(), respond()]
    with ScriptServer(once, once * 2) as proxy, ProxyManager(proxy.url) as manager:
        manager.connection_from_url("http://target.example/").urlopen("OPTIONS", "*")
        with HTTPConnectionPool("target.example", 8080, _proxy=manager.proxy) as pool:
            pool.urlopen("OPTIONS", "*")
            pool.urlopen("OPTIONS", "/a")
    lines = [data.split(b"\r\n")[0] for connection in proxy.received for data in connection.split(b"OPTIONS")[1:]]
    assert lines == [b" * HTTP/1.1", b" http://target.example:8080 HTTP/1.1", b" http://target.example:8080/a HTTP/1.1"]


@pytest.mark.parametrize("location", ["/new", "new", "http://{}/new"])
def test_a_redirect_of_the_server_as_a_whole_stays_on_its_host(location: str) -> None:
    """With its credentials, as from one path to another."""
    asked: list[Any] = []

    def policy(url: str, location: str) -> bool:
        asked.append((url, location))
        return True

    def moved(request: Request) -> Response:
        return Response(status=307, headers={"Location": location.format(f"{server.host}:{server.port}")})

    with Httpd({"*": moved}) as server, HTTPConnectionPool(server.host, server.port) as pool:
        pool.urlopen("OPTIONS", "*", headers={"Authorization": "Basic x"}, retries=Retry(1, redirect_policy=policy))
        assert [request.target for request in server.requests] == ["*", "/new"]
        assert server.requests[1].header("Authorization") == "Basic x"
        assert asked == [(server.url, f"{server.url}/new")]


SILENT = ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "get", "Delete"]
TOLD = ["POST", "PUT", "PATCH", "PROPFIND", "LOCK", "REPORT", "PURGE", "MKCOL", "QUERY", "X", "post"]


@pytest.mark.parametrize("hooks", [False, True], ids=["direct", "through hooks"])
@pytest.mark.parametrize("method", SILENT + TOLD)
def test_a_request_without_a_body_tells_its_length_where_one_is_expected(
    method: str, hooks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers ask for it: a PROPFIND without it may have a body that is still to come."""
    if hooks:
        send = http.client.HTTPConnection.send
        monkeypatch.setattr(HTTPConnection, "send", lambda self, data: send(self, data))
    with Httpd() as server, PoolManager() as manager:
        for options in ({}, {"trace": None}, {"expect_continue": False, "max_response_size": 10_000}):
            manager.urlopen(method, server.url, **options)
            lengths = [value for name, value in server.requests[-1].headers if name.lower() == "content-length"]
            assert lengths == ([] if method in SILENT else ["0"])
            assert not server.requests[-1].header("Transfer-Encoding")


def test_a_whole_url_of_the_pools_host_is_the_path_in_the_request_line_alone() -> None:
    """RFC 9112 section 3.2.1. Overrides, errors and responses know it whole, as in urllib3."""
    seen: list[str] = []

    class Pool(HTTPConnectionPool):
        def _make_request(self, conn: Any, method: str, url: str, **named: Any) -> Any:
            seen.append(url)
            return super()._make_request(conn, method, url, **named)

    for made in (Pool, HTTPConnectionPool):
        steps = [expect_request(), respond(status="302 Found", headers=["Location: /b#c"]), expect_request(), respond()]
        with ScriptServer([*steps, *steps[2:], *steps[:2]]) as server, made(server.host, server.port) as pool:
            base = f"http://{server.host}:{server.port}"
            response = pool.urlopen("GET", f"{base}/a?x=1#d")
            assert response.retries is not None
            assert response.geturl() == "/b#c"
            assert pool.urlopen("GET", f"{base}/f").geturl() == f"{base}/f"
            assert [turn.url for turn in response.retries.history] == [f"{base}/a?x=1"]
            with pytest.raises(MaxRetryError) as caught:
                pool.urlopen("GET", f"{base}/e", retries=0)
            assert caught.value.url == f"{base}/e"
        lines = [line for line in server.received[0].split(b"\r\n") if line.startswith(b"GET")]
        assert lines == [b"GET /a?x=1 HTTP/1.1", b"GET /b HTTP/1.1", b"GET /f HTTP/1.1", b"GET /e HTTP/1.1"]
        if made is Pool:
            assert seen == [f"{base}/a?x=1", "/b", f"{base}/f", f"{base}/e"]


def test_a_whole_url_is_the_path_in_a_pipelines_request_line_too() -> None:
    with ScriptServer([expect_request(), respond()]) as server, HTTPConnectionPool(server.host, server.port) as pool:
        assert [response.status for response in pool.pipeline([f"http://{server.host}:{server.port}/a"])] == [200]
    assert server.received[0].startswith(b"GET /a HTTP/1.1\r\n")
