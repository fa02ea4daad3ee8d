"""What a request becomes when it goes out again, and what is heard of that: retries, redirects, their waits.

Source: RFC 9110 section 15.4; DESIGN, "The loop".
"""

from __future__ import annotations

import io
import time
from typing import Any

import pytest

from poollib import HTTPConnectionPool, PoolManager, Retry, Timeout
from poollib.base.trace import Trace
from poollib.exceptions import DeadlineExceededError, ProtocolError
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_request, respond


def pool_for(server: Any, **options: Any) -> HTTPConnectionPool:
    return HTTPConnectionPool(server.host, server.port, maxsize=1, block=True, **options)


class Listener(Trace):
    """Writes down each retry and redirect."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def retried(self, method: str, target: str, reason: object, wait_s: float) -> None:
        self.heard.append(("retried", method, target, reason, wait_s))

    def redirected(self, method: str, target: str, status: int, location: str) -> None:
        self.heard.append(("redirected", method, target, status, location))


def moved(status: str, to: str, *more: str) -> Any:
    return respond(status=status, headers=[f"Location: {to}", *more])


# Redirects


@pytest.mark.parametrize("owner", ["pool", "manager"])
def test_a_303_takes_trailers_and_expectations_with_the_body(owner: str) -> None:
    """RFC 9110 section 15.4.4: a GET that announces no content; a 307 keeps all of it."""
    script = [expect_request(), moved("307 Here", "/b"), expect_request(), moved("303 See", "/c")]
    with ScriptServer([*script, expect_request(), respond(b"ok")]) as server, PoolManager() as manager:
        ask, base = (manager, server.url) if owner == "manager" else (manager.connection_from_url(server.url), "")
        answer = ask.request("POST", base + "/a", body=b"body", trailers={"X-Sum": "1"}, expect_continue=0.001)
        assert answer.data == b"ok"
    first, second, third = server.received[0].split(b" HTTP/1.1\r\n")[1:]
    for request in (first, second):
        assert b"4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n" in request
        assert b"Expect: 100-continue" in request
    assert second.endswith(b"GET /c")
    for word in (b"Trailer", b"Transfer-Encoding", b"Expect", b"Content-Length", b"X-Sum"):
        assert word not in third


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "4", "Content-Type": "a/b", "Content-Encoding": "gzip", "Content-Language": "en"},
        {"Transfer-Encoding": "chunked", "Content-Location": "/here", "Digest": "sha-256=x", "Trailer": "X-Sum"},
        {
            "Last-Modified": "Sat, 21 Nov 2026 09:00:00 GMT",
            "Expect": "200-ok",
            "Content-MD5": "eB5eJF1ptWaXm4bijSPyxw==",
        },
        {"Content-Digest": "md5=:eA==:", "Repr-Digest": "md5=:eA==:", "Content-Range": "bytes 0-3/4"},
        {"Content-Disposition": "attachment"},
    ],
)
def test_a_303_takes_every_field_that_tells_of_the_body(headers: dict[str, str]) -> None:
    """RFC 9110 section 15.4.4 and its list in section 15.4; whatever the case of their names."""
    small = {name.lower(): value for name, value in headers.items()}
    with ScriptServer([expect_request(), moved("303 See", "/b"), expect_request(), respond(b"ok")]) as server:
        with pool_for(server) as pool:
            assert pool.request("POST", "/a", body=b"body", headers={**small, "X-Kept": "1"}).data == b"ok"
    first, second = server.received[0].split(b"GET /b HTTP/1.1\r\n")
    assert b"X-Kept: 1" in second
    for name in small:
        assert name.encode() in first.lower()
        assert name.encode() not in second.lower()


@pytest.mark.parametrize("owner", ["pool", "manager"])
def test_a_redirect_too_many_stands_where_it_is_no_error(owner: str) -> None:
    """``raise_on_redirect=False``: the last redirect is the answer, and its connection serves on."""
    with ScriptServer(
        [expect_request(), moved("302 A", "/b"), expect_request(), moved("302 B", "/c"), expect_request(), respond(b"")]
    ) as server:
        with PoolManager(maxsize=1, block=True) as manager:
            pool = manager.connection_from_url(server.url)
            ask, base = (pool, "") if owner == "pool" else (manager, server.url)
            response = ask.request("GET", base + "/a", retries=Retry(redirect=1, raise_on_redirect=False))
            assert (response.status, response.headers["Location"]) == (302, "/c")
            assert ask.request("GET", base + "/").status == 200
    assert server.opened == 1


def test_a_status_at_the_end_of_a_redirect_to_another_host_is_the_answer() -> None:
    with Httpd({"/gone": lambda request: Response(b"no", status=410)}) as other:
        to = f"{other.url}/gone"
        with Httpd({"/": lambda request: Response(status=302, headers={"Location": to})}) as server:
            with PoolManager() as manager:
                response = manager.request("GET", server.url + "/")
                assert (response.status, response.data, response.geturl()) == (410, b"no", to)


def test_a_listener_hears_of_redirects_and_retries() -> None:
    """The reason, the wait, and where the request goes on."""
    listener = Listener()
    script = [expect_request(), respond(status="503 Busy"), expect_request(), moved("302 Found", "/b")]
    with ScriptServer([expect_request(), close()], [*script, expect_request(), respond(b"ok")]) as server:
        with pool_for(server) as pool:
            retries = Retry(3, status_forcelist=[503], backoff_factor=0.001)
            assert pool.request("GET", "/a", trace=listener, retries=retries).data == b"ok"
    by_error, by_status, by_location = listener.heard
    assert by_error[:3] == by_status[:3] == ("retried", "GET", "/a")
    assert isinstance(by_error[3], ProtocolError)
    assert by_status[3] == 503
    assert by_error[4] == 0.0
    assert by_status[4] == pytest.approx(0.002)
    assert by_location == ("redirected", "GET", "/a", 302, "/b")


def test_a_wait_before_a_redirect_never_outlasts_the_deadline() -> None:
    """Retry-After counts before a redirect as well (RFC 9110 section 10.2.3); told at once, not after the wait."""
    start = time.monotonic()
    with ScriptServer([expect_request(), moved("302 Later", "/b", "Retry-After: 60")], repeat=True) as server:
        with pool_for(server, timeout=Timeout(deadline=5)) as pool:
            with pytest.raises(DeadlineExceededError) as caught:
                pool.request("GET", "/a")
            assert caught.value.phase == "waiting before a retry"
            assert pool._endpoint_pool.leased == 0
    assert time.monotonic() - start < 4


def test_within_the_deadline_the_wait_before_a_redirect_is_kept() -> None:
    script = [expect_request(), moved("302 Soon", "/b", "Retry-After: 0"), expect_request(), respond(b"ok")]
    with ScriptServer(script) as server, pool_for(server, timeout=Timeout(deadline=5)) as pool:
        assert pool.request("GET", "/a").data == b"ok"


def test_a_rewindable_body_goes_out_whole_after_the_kept_connection_died() -> None:
    """The server closes the kept connection just when the next request comes: no retry is spent, no byte is lost."""
    script = [expect_request(), respond(b"one"), expect_request(), close()]
    with ScriptServer(script, [expect_request(), respond(b"two")]) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"one"
        body = io.BytesIO(b"-- a body")
        body.seek(3)
        response = pool.request("PUT", "/", body=body, retries=1)
        assert (response.data, response.retries.history) == (b"two", ())
    assert server.received[0].endswith(b"\r\n\r\na body")
    assert server.received[1].endswith(b"\r\n\r\na body")


# Errors


def test_another_error_than_the_one_that_was_met_comes_through() -> None:
    """A Retry of somebody's own may raise what it likes."""

    class Own(Retry):
        def increment(self, *words: Any, **named: Any) -> Any:
            raise ConnectionResetError("mine")

    with ScriptServer([expect_request(), close()]) as server, pool_for(server) as pool:
        with pytest.raises(ConnectionResetError, match="mine") as caught:
            pool.request("GET", "/", retries=Own(3))
        assert isinstance(caught.value.__context__, ProtocolError)
        assert pool._endpoint_pool.leased == 0


# What a pool takes


def test_urlopen_takes_json_as_request_does() -> None:
    """The same bytes, whichever of the two is called."""
    seen: list[Request] = []

    def note(request: Request) -> Response:
        seen.append(request)
        return Response(b"")

    with Httpd({"/": note}) as server, pool_for(server) as pool:
        pool.urlopen("POST", "/", json={"a": [1]})
        pool.request("POST", "/", json={"a": [1]})
        pool.urlopen("PUT", "/", json=None, body=b"x")
    assert [request.body for request in seen] == [b'{"a":[1]}', b'{"a":[1]}', b"x"]
    assert [request.header("Content-Type") for request in seen] == ["application/json", "application/json", None]


@pytest.mark.parametrize("more", [{"body": b"x"}, {"fields": {"a": "b"}}])
def test_a_request_has_one_body(more: dict[str, Any]) -> None:
    with HTTPConnectionPool("localhost", 1) as pool:
        with pytest.raises(TypeError, match="one body"):
            pool.urlopen("POST", "/", json={}, **more)
        assert pool.num_connections == 0


def test_retry_on_is_asked_once_for_each_error() -> None:
    """It may count or log: a POST whose answer is cut off is one error, as is each that is tried again after it."""
    asked: list[str] = []

    def ask(method: str, outcome: object) -> bool | None:
        asked.append(f"{method} {type(outcome).__name__}")
        return True if isinstance(outcome, ProtocolError) else None

    retries = Retry(3, retry_on=ask)
    cut = [expect_request(), close()]
    with ScriptServer(cut, cut, [expect_request(), respond(b"ok")]) as server, pool_for(server) as pool:
        response = pool.request("POST", "/", body=b"body", retries=retries)
    assert (response.data, asked) == (b"ok", ["POST ProtocolError", "POST ProtocolError", "POST HTTPResponse"])
    assert response.retries is not None
    assert response.retries.retry_on is ask
    assert [type(entry.error) for entry in response.retries.history] == [ProtocolError, ProtocolError]
