"""``hooks=`` and ``attempt_hooks=``: a program's own code around requests, and the recipes of docs/hooks.rst."""

from __future__ import annotations

import hashlib
import io
import pathlib
import time
import urllib.request
from functools import partial
from typing import Any

import pytest

import poollib
from poollib import HTTPConnectionPool, HTTPResponse, PoolManager, Retry
from poollib.exceptions import UnrewindableBodyError
from tests.support import pages
from tests.support.httpd import Httpd, Request, Response, echo

PAGE = pathlib.Path(poollib.__file__).parent.parent / "docs" / "hooks.rst"


def field(name: str, value: str) -> Any:
    """A hook that appends to a field."""

    def hook(request: Any, send: Any) -> Any:
        request.headers[name] = request.headers.get(name, "") + value
        return send(request)

    return hook


def twice(request: Any, send: Any) -> Any:
    send(request)
    return send(request)


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
def test_hooks_run_in_order_each_once_wherever_they_were_given(kind: str) -> None:
    """A manager's, which its pools have, too, before the request's."""
    with Httpd({"/": echo}) as server, PoolManager(**{kind: [field("X-Order", "a"), field("X-Order", "b")]}) as manager:
        more = {kind: [field("X-Order", "c")]}
        for ask, url in ((manager, server.url + "/"), (manager.pool_for(server.url), "/")):
            assert ask.request("GET", url, **more).json()["headers"]["x-order"] == "abc"
            assert ask.request("GET", url).json()["headers"]["x-order"] == "ab"
            given = {"X-Order": "0"}
            assert ask.request("GET", url, headers=given).json()["headers"]["x-order"] == "0ab"
            assert given == {"X-Order": "0"}


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
def test_a_hook_may_change_what_is_sent(kind: str) -> None:
    def changes(request: Any, send: Any) -> Any:
        assert request.url.endswith("/from")
        request.method, request.body = "PUT", b"other"
        request.url = request.url.replace("/from", "/to")
        return send(request)

    with Httpd({"/to": echo}) as server, PoolManager(**{kind: [changes]}) as manager:
        got = manager.request("POST", server.url + "/from", body=b"text").json()
    assert (got["method"], got["target"], got["body"]) == ("PUT", "/to", "other")


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
def test_a_hook_may_answer_itself(kind: str) -> None:
    def answers(request: Any, send: Any) -> Any:
        return HTTPResponse(b"mine", status=200)

    with HTTPConnectionPool("127.0.0.1", 1, **{kind: [answers]}) as pool:
        assert pool.request("GET", "/").data == b"mine"


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
@pytest.mark.parametrize("preload", [True, False])
def test_a_hook_may_send_again_with_the_same_body_on_the_same_connection(kind: str, preload: bool) -> None:
    """What the first answer left unread does not keep the only slot."""
    body = io.BytesIO(b"--text")
    body.seek(2)
    with Httpd({"/": echo}) as server:
        with HTTPConnectionPool("127.0.0.1", server.port, maxsize=1, block=True, **{kind: [twice]}) as pool:
            response = pool.request("POST", "/", body=body, preload_content=preload)
            assert response.json()["body"] == "text"
        assert [request.body for request in server.requests] == [b"text", b"text"]
        assert server.opened == 1


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
def test_a_body_that_is_spent_is_not_sent_again(kind: str) -> None:
    with Httpd({"/": echo}) as server, HTTPConnectionPool("127.0.0.1", server.port, **{kind: [twice]}) as pool:
        with pytest.raises(UnrewindableBodyError):
            pool.request("POST", "/", body=iter([b"once"]))


def test_attempt_hooks_see_each_attempt_and_hooks_the_request() -> None:
    seen: list[str] = []

    def note(name: str) -> Any:
        def hook(request: Any, send: Any) -> Any:
            response = send(request)
            seen.append(f"{name} {response.status}")
            return response

        return hook

    answers = iter([Response(status=503), Response(status=302, headers={"Location": "/"}), Response(b"ok")])
    with Httpd({"/": lambda _: next(answers)}) as server, PoolManager() as manager:
        more: Any = {"hooks": [note("request")], "attempt_hooks": [note("attempt")]}
        retries = Retry(3, status_forcelist=[503])
        assert manager.request("GET", server.url + "/", retries=retries, **more).data == b"ok"
    assert seen == ["attempt 503", "attempt 302", "attempt 200", "request 200"]


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
@pytest.mark.parametrize("wrong", [lambda request, send: None, "hook", [1]])
def test_what_is_no_list_of_hooks_is_refused_by_name(kind: str, wrong: Any) -> None:
    with HTTPConnectionPool("127.0.0.1", 1) as pool, pytest.raises(TypeError, match=kind):
        pool.request("GET", "/", **{kind: wrong})


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
@pytest.mark.parametrize("wrong", [(hook for hook in ()), {"a": print}, {print}, 5])
def test_what_is_no_list_that_can_be_read_again_is_refused(kind: str, wrong: Any) -> None:
    """Of an iterator the second request would have found none: no token, no signature."""
    for kind_of_owner in (PoolManager, partial(HTTPConnectionPool, "127.0.0.1", 1)):
        with pytest.raises(TypeError, match=f"{kind} must be a list of callables"):
            kind_of_owner(**{kind: wrong})


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
@pytest.mark.parametrize("sends", [False, True])
@pytest.mark.parametrize("wrong", [None, "text", b"bytes", 200])
def test_a_hook_that_returns_no_response_is_named(kind: str, sends: bool, wrong: Any) -> None:
    def forgetful(request: Any, send: Any) -> Any:
        if sends:
            send(request)
        return wrong

    with Httpd({"/": lambda _: Response(b"x" * 200_000)}) as server:
        with HTTPConnectionPool("127.0.0.1", server.port, block=True, **{kind: [forgetful]}) as pool:
            for preload in (True, False):
                with pytest.raises(TypeError, match=r"a hook must return a response, not .*forgetful"):
                    pool.request("GET", "/", preload_content=preload, pool_timeout=5)
                assert pool.stats()["leased"] == 0


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
def test_what_a_hook_raises_reaches_the_caller_and_keeps_no_connection(kind: str) -> None:
    def fails(request: Any, send: Any) -> Any:
        send(request)
        raise LookupError("no idea")

    with Httpd({"/": lambda _: Response(b"x" * 200_000)}) as server:
        with HTTPConnectionPool("127.0.0.1", server.port, block=True, **{kind: [fails]}) as pool:
            for preload in (True, False):
                with pytest.raises(LookupError) as caught:  # who keeps the error keeps its frames
                    pool.request("GET", "/", preload_content=preload, pool_timeout=5)
                assert pool.stats()["leased"] == 0
                del caught


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
def test_an_answer_that_was_thrown_away_is_not_given_out_empty(kind: str) -> None:
    def returns_the_first(request: Any, send: Any) -> Any:
        first = send(request)
        send(request)
        return first

    def reads_the_first(request: Any, send: Any) -> Any:
        first = send(request)
        assert first.data
        send(request)
        return first

    with Httpd({"/": lambda _: Response(b"x" * 200_000)}) as server:
        with HTTPConnectionPool("127.0.0.1", server.port, block=True, **{kind: [returns_the_first]}) as pool:
            with pytest.raises(ValueError, match=r"threw away by sending again.*returns_the_first"):
                pool.request("GET", "/", preload_content=False, pool_timeout=5)
            assert pool.stats()["leased"] == 0
        with HTTPConnectionPool("127.0.0.1", server.port, block=True, **{kind: [reads_the_first]}) as pool:
            assert len(pool.request("GET", "/", preload_content=False, pool_timeout=5).data) == 200_000


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_body_in_a_files_place_begins_where_it_stands(kind: str, times: int) -> None:
    """The file's start was taken for the other body's."""
    for other in (b"other", io.BytesIO(b"other")):

        def replaces(request: Any, send: Any, other: Any = other) -> Any:
            request.body = other
            for _ in range(times - 1):
                send(request)
            return send(request)

        with Httpd({"/": echo}) as server, PoolManager(**{kind: [replaces]}) as manager:
            file = io.BytesIO(b"--file")
            file.seek(2)
            assert manager.request("POST", server.url + "/", body=file).json()["body"] == "other"
        assert [request.body for request in server.requests] == [b"other"] * times


def test_send_wants_the_request_and_an_attempt_has_no_options() -> None:
    with HTTPConnectionPool("127.0.0.1", 1, hooks=[lambda request, send: send(None)]) as pool:
        with pytest.raises(TypeError, match=r"send\(\) takes the hook's request, not None"):
            pool.request("GET", "/")

    def hurries(request: Any, send: Any) -> Any:
        request.options["timeout"] = 1
        return send(request)

    with HTTPConnectionPool("127.0.0.1", 1, attempt_hooks=[hurries]) as pool:
        with pytest.raises(TypeError, match=r"an attempt's hook can't change options \(timeout\)"):
            pool.request("GET", "/")


# -- recipes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipes() -> dict[str, Any]:
    """What the page defines."""
    names: dict[str, Any] = {"__name__": "hooks"}
    for line, code in pages.code_blocks(PAGE):
        exec(compile("\n" * line + code, str(PAGE), "exec"), names)
    return names


def test_recipe_a_bearer_token_is_renewed_after_401(recipes: dict[str, Any]) -> None:
    tokens = iter(["old", "new", "unused"])

    def guarded(request: Request) -> Response:
        return echo(request) if request.header("Authorization") == "Bearer new" else Response(status=401)

    with Httpd({"/": guarded}) as server, PoolManager(hooks=[recipes["BearerToken"](lambda: next(tokens))]) as manager:
        for _ in range(2):
            assert manager.request("POST", server.url + "/", body=b"text").json()["body"] == "text"
        assert len(server.requests) == 3


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_recipe_digest_auth_proves_the_password(recipes: dict[str, Any], algorithm: str) -> None:
    make = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]

    def digest(text: str) -> str:
        return make(text.encode()).hexdigest()

    def guarded(request: Request) -> Response:
        given = request.header("Authorization")
        if given is None:
            challenge = f'Digest realm="r, s", nonce="n", qop="auth", algorithm={algorithm}, opaque="o"'
            return Response(status=401, headers={"WWW-Authenticate": challenge})
        told = urllib.request.parse_keqv_list(urllib.request.parse_http_list(given.partition(" ")[2]))
        secret, what = digest("me:r, s:pass"), digest(f"GET:{request.target}")
        wanted = digest(f"{secret}:n:{told['nc']}:{told['cnonce']}:auth:{what}")
        return Response(b"in" if (told["response"], told["opaque"]) == (wanted, "o") else b"out")

    with Httpd({"/": guarded}) as server, PoolManager(hooks=[recipes["DigestAuth"]("me", "pass")]) as manager:
        assert manager.request("GET", server.url + "/?a=1").data == b"in"


def test_recipe_cookies_are_kept_over_redirects(recipes: dict[str, Any]) -> None:
    def login(request: Request) -> Response:
        return Response(status=302, headers={"Location": "/", "Set-Cookie": "who=me; Path=/"})

    with Httpd({"/": echo, "/in": login}) as server, PoolManager(attempt_hooks=[recipes["Cookies"]()]) as manager:
        for path in ("/in", "/"):
            assert manager.request("GET", server.url + path).json()["headers"]["cookie"] == "who=me"


def test_recipe_traceparent_keeps_the_trace_and_makes_a_span(recipes: dict[str, Any]) -> None:
    with Httpd({"/": echo}) as server, PoolManager(attempt_hooks=[recipes["traceparent"]]) as manager:
        own = manager.request("GET", server.url + "/").json()["headers"]["traceparent"]
        given = f"00-{'a' * 32}-{'b' * 16}-01"
        kept = manager.request("GET", server.url + "/", headers={"traceparent": given}).json()["headers"]["traceparent"]
    assert [len(part) for part in own.split("-")] == [2, 32, 16, 2]
    assert kept.split("-")[1] == "a" * 32
    assert kept.split("-")[2] != "b" * 16


def test_recipe_a_rate_limit_spaces_requests(recipes: dict[str, Any]) -> None:
    with Httpd({"/": echo}) as server, PoolManager(hooks=[recipes["TotalRate"](per_second=200)]) as manager:
        start = time.monotonic()
        for _ in range(4):
            manager.request("GET", server.url + "/")
        assert time.monotonic() - start >= 3 / 200


def test_recipe_a_cache_asks_whether_its_answer_still_holds(recipes: dict[str, Any]) -> None:
    def page(request: Request) -> Response:
        if request.header("If-None-Match") == '"1"':
            return Response(status=304, headers={"ETag": '"1"'})
        return Response(b"page", headers={"ETag": '"1"'})

    with Httpd({"/": page}) as server, PoolManager(hooks=[recipes["Cache"]()]) as manager:
        for _ in range(2):
            response = manager.request("GET", server.url + "/")
            assert (response.status, response.data) == (200, b"page")
        assert [request.header("If-None-Match") for request in server.requests] == [None, '"1"']
