"""A response is judged by its head: the body of one that is followed or tried again is nobody's, whatever it holds.

Each case goes through a pool, a manager, and a manager whose pools have a ``urlopen`` of somebody's own in between.
Source: RFC 9110 section 15.4; docs/accepted.rst, "a body that is thrown away".
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import poollib.response
from poollib import HTTPConnectionPool, PoolManager, Retry
from poollib.exceptions import DecodeError, MaxRetryError, ProtocolError, ReadTimeoutError, ResponseTooLargeError
from poollib.response import HTTPResponse
from tests.support.script import ScriptServer, close, expect_end, expect_request, respond, send, send_slowly, stall

FOUND = b"HTTP/1.1 302 Found\r\nLocation: /new\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
OWNERS = ["pool", "manager", "override"]

Ask = Callable[..., HTTPResponse]


class Overridden(HTTPConnectionPool):
    """Passes everything on, as agents that wrap ``urlopen`` do."""

    def urlopen(self, method: str, url: str, *words: Any, **named: Any) -> Any:
        return super().urlopen(method, url, *words, **named)


@contextlib.contextmanager
def asking(server: ScriptServer, owner: str, **options: Any) -> Iterator[Ask]:
    """How to ask the server for a path; in the end no connection is lent any more."""
    with PoolManager(maxsize=1, block=True, **options) as manager:
        if owner == "override":
            manager.pool_classes_by_scheme = {"http": Overridden}
        pool = manager.connection_from_url(server.url)
        base = "" if owner == "pool" else server.url
        client = pool if owner == "pool" else manager
        yield lambda path, **named: client.request("GET", base + path, **named)
        assert pool._endpoint_pool.leased == 0


@pytest.fixture(params=[FOUND, BUSY], ids=["redirect", "retry"])
def judged(request: pytest.FixtureRequest) -> bytes:
    """The head, without its framing, of a response that another request follows."""
    return bytes(request.param)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poollib.response, "DRAIN_LIMIT_S", 0.02)


def paths(server: ScriptServer) -> list[bytes]:
    return [line.split()[1] for data in server.received for line in data.splitlines() if line.startswith(b"GET ")]


ENDLESS = {
    "stalled": [send(CHUNKED + b"5\r\nhello\r\n"), stall()],
    "stalled length": [send(b"Content-Length: 9\r\n\r\nhell"), stall()],
    "until close": [send(b"\r\nhello"), stall()],
    "dripping": [send(CHUNKED), send_slowly(b"1\r\nx\r\n" * 4000, pause_s=0.002)],
    "dripping size line": [send(CHUNKED), send_slowly(b"1;" + b"x" * 8000, pause_s=0.002)],
    "dripping trailers": [send(CHUNKED + b"0\r\n"), send_slowly(b"A: b\r\n" * 4000, pause_s=0.002)],
}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("body", ENDLESS)
def test_a_body_that_never_ends_keeps_nobody_from_going_on(judged: bytes, body: str, owner: str) -> None:
    """No time-out is set: it hung for ever. With one, the old URL was asked for again."""
    script = [expect_request(), send(judged), *ENDLESS[body]]
    with ScriptServer(script, [expect_request(), respond(b"ok")]) as server:
        with asking(server, owner) as ask:
            start = time.monotonic()
            assert ask("/old", retries=Retry(1)).data == b"ok"
            assert time.monotonic() - start < 3
        assert paths(server) == [b"/old", b"/new" if judged is FOUND else b"/old"]


BROKEN = {
    "cut": b"Content-Length: 100\r\n\r\nhello",
    "cut chunk": CHUNKED + b"64\r\nhello",
    "no chunk": CHUNKED + b"zz\r\nhello\r\n",
    "no gzip": b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "too many codings": b"Content-Encoding: " + b"gzip, " * 9 + b"gzip\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("body", BROKEN)
def test_a_broken_body_costs_no_retry_and_does_not_forget_the_location(judged: bytes, body: str, owner: str) -> None:
    """``total=1`` is spent on what the head asks for: for an error of the body nothing would be left."""
    script = [expect_request(), send(judged + BROKEN[body]), close()]
    with ScriptServer(script, [expect_request(), respond(b"ok")]) as server:
        with asking(server, owner) as ask:
            response = ask("/old", retries=Retry(1))
            assert (response.data, len(response.retries.history)) == (b"ok", 1)  # type: ignore[union-attr]
        assert paths(server) == [b"/old", b"/new" if judged is FOUND else b"/old"]


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("limit", ["max_response_size", "max_decoded_size"])
@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 50\r\n\r\n" + b"x" * 50, CHUNKED + b"32\r\n" + b"x" * 50 + b"\r\n0\r\n\r\n"],
    ids=["length", "chunked"],
)
def test_limits_of_size_are_for_bodies_that_somebody_wants(judged: bytes, body: bytes, limit: str, owner: str) -> None:
    """And what is short enough to be thrown away costs no connection."""
    script = [expect_request(), send(judged + body), expect_request(), respond(b"ok")]
    with ScriptServer(script) as server, asking(server, owner, **{limit: 10}) as ask:
        assert ask("/old").data == b"ok"


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("preload", [True, False])
def test_limits_of_size_hold_for_a_redirect_that_is_not_followed(owner: str, preload: bool) -> None:
    script = [expect_request(), send(FOUND + b"Content-Length: 50\r\n\r\n" + b"x" * 50), expect_end()]
    with ScriptServer(script) as server, asking(server, owner, max_response_size=10) as ask:
        with pytest.raises(ResponseTooLargeError):
            ask("/old", retries=False, preload_content=preload)


@pytest.mark.parametrize("owner", OWNERS)
def test_a_large_body_is_not_loaded(judged: bytes, owner: str) -> None:
    """300 MB stood in memory before the redirect was followed."""
    large = b"Content-Length: 300000000\r\n\r\n"
    script = [expect_request(), send(judged + large + bytes(1000)), expect_end()]
    with ScriptServer(script, [expect_request(), respond(b"ok")]) as server:
        with asking(server, owner) as ask:
            assert ask("/old").data == b"ok"


@pytest.mark.parametrize("owner", OWNERS)
def test_a_connection_that_closes_anyway_is_not_waited_for(judged: bytes, owner: str) -> None:
    script = [expect_request(), send(judged + b"Connection: close\r\nContent-Length: 9\r\n\r\nhell"), expect_end()]
    with ScriptServer(script, [expect_request(), respond(b"ok")]) as server:
        with asking(server, owner) as ask:
            start = time.monotonic()
            assert ask("/old").data == b"ok"
            assert time.monotonic() - start < 0.9


# What stands


CODED = gzip.compress(b"hello")


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(CODED), CODED),
    ],
    ids=["length", "chunked", "gzip"],
)
@pytest.mark.parametrize(
    "retries",
    [
        False,
        Retry(0, raise_on_redirect=False, raise_on_status=False),
        Retry(9, redirect=0, status=0, raise_on_redirect=False, raise_on_status=False),
        Retry(9, redirect_policy=lambda url, location: False, respect_retry_after_header=False),
        Retry(9, retry_on=lambda method, outcome: False, redirect=False),
        type("Own", (Retry,), {"is_retry": lambda self, *words: False})(9, redirect=False),
    ],
    ids=["off", "spent", "spent of a kind", "policy", "retry_on", "own"],
)
def test_what_stands_in_the_end_has_its_data_and_holds_no_connection(
    judged: bytes, body: bytes, retries: Retry | bool, owner: str
) -> None:
    script = [expect_request(), send(judged + body), expect_request(), respond(b"next")]
    with ScriptServer(script) as server, asking(server, owner) as ask:
        response = ask("/old", retries=retries)
        assert (response.status, response.connection) == (int(judged[9:12]), None)
        assert ask("/next").data == b"next"
        assert response.data == b"hello"
    assert server.opened == 1


@pytest.mark.parametrize("owner", OWNERS)
def test_the_broken_body_of_a_redirect_that_stands_is_an_error_to_try_again(owner: str) -> None:
    """As of any other response, and as in urllib3: somebody wants it."""
    cut = [expect_request(), send(FOUND + b"Content-Length: 100\r\n\r\nhello"), close()]
    whole = [expect_request(), send(FOUND + b"Content-Length: 5\r\n\r\nhello")]
    retries = Retry(2, redirect=0, raise_on_redirect=False)
    with ScriptServer(cut, cut, whole) as server:
        with asking(server, owner) as ask:
            assert ask("/old", retries=retries).data == b"hello"
        assert paths(server) == [b"/old"] * 3
    with ScriptServer(cut, repeat=True) as server:
        with asking(server, owner) as ask:
            with pytest.raises(MaxRetryError) as caught:
                ask("/old", retries=retries)
            assert isinstance(caught.value.reason, ProtocolError)
            assert isinstance(caught.value.pool, HTTPConnectionPool)
            with pytest.raises(ProtocolError):
                ask("/old", retries=False)
        assert server.opened == 4


@pytest.mark.parametrize("owner", OWNERS)
def test_the_broken_body_of_a_status_that_is_not_tried_again_is_an_error_to_try_again(owner: str) -> None:
    cut = [expect_request(), send(BUSY + b"Content-Length: 100\r\n\r\nhello"), close()]
    with ScriptServer(cut, [expect_request(), respond(b"ok")]) as server, asking(server, owner) as ask:
        assert ask("/", retries=Retry(1, status=0, raise_on_status=False)).data == b"ok"


@pytest.mark.parametrize("owner", OWNERS)
def test_statuses_that_use_up_the_retries_raise_without_their_bodies(owner: str) -> None:
    with ScriptServer([expect_request(), send(BUSY + b"Content-Length: 300000000\r\n\r\n")]) as server:
        with asking(server, owner) as ask, pytest.raises(MaxRetryError, match="too many 503 error responses"):
            ask("/", retries=Retry(0, status_forcelist=[503]))


# Those who look at the body themselves


@pytest.mark.parametrize("owner", OWNERS)
def test_retry_on_may_judge_by_the_body(owner: str) -> None:
    """A body that breaks while it is looked at is that attempt's error; an error of the judge's own is none."""
    ok = respond(b"ready", headers=["A: b"])
    retries = Retry(3, retry_on=lambda method, outcome: getattr(outcome, "data", b"error") == b"soon" or None)
    cut = [expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nrea"), close()]
    with ScriptServer(cut, [expect_request(), respond(b"soon"), expect_request(), ok]) as server:
        with asking(server, owner) as ask:
            response = ask("/", retries=retries)
            assert (response.data, len(response.retries.history)) == (b"ready", 2)  # type: ignore[union-attr]

    def fails(method: str, outcome: Any) -> bool:
        raise ConnectionResetError("the judge's own")

    with ScriptServer(
        [expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nrea"), stall()]
    ) as server:
        with asking(server, owner) as ask, pytest.raises(ConnectionResetError, match="own"):
            ask("/", retries=Retry(3, retry_on=fails))
        assert server.opened == 1


@pytest.mark.parametrize("owner", OWNERS)
def test_retry_on_that_reads_a_part_leaves_the_rest(owner: str) -> None:
    body = CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"
    retries = Retry(3, retry_on=lambda method, outcome: outcome.read(2) == b"no")
    with ScriptServer([expect_request(), send(b"HTTP/1.1 200 OK\r\n" + body)]) as server, asking(server, owner) as ask:
        assert ask("/", retries=retries).data == b"llo"


def test_an_override_that_reads_or_changes_the_redirect_is_no_harm() -> None:
    """It gets a response whose body is read when it is asked for."""
    seen: list[Any] = []

    class Curious(HTTPConnectionPool):
        def urlopen(self, method: str, url: str, *words: Any, **named: Any) -> Any:
            seen.append((repr(named["redirect"]), named["redirect"] == False))  # noqa: E712
            response = super().urlopen(method, url, *words, **named)
            if url == "/old":
                seen.append(response.data)
            if url == "/new":
                response.headers.discard("Location")
            return response

    chunked = send(FOUND + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")
    script = [expect_request(), chunked, expect_request(), chunked]
    with ScriptServer(script) as server, PoolManager(maxsize=1, block=True) as manager:
        manager.pool_classes_by_scheme = {"http": Curious}
        response = manager.request("GET", server.url + "/old")
        assert (response.status, response.connection, response.data) == (302, None, b"hello")
    assert seen == [("False", True), b"hello", ("False", True)]


def test_an_override_that_takes_the_location_away_ends_the_chain() -> None:
    class Ending(HTTPConnectionPool):
        def urlopen(self, method: str, url: str, *words: Any, **named: Any) -> Any:
            response = super().urlopen(method, url, *words, **named)
            response.headers.discard("Location")
            return response

    with ScriptServer([expect_request(), send(FOUND + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")]) as server:
        with PoolManager(maxsize=1, block=True) as manager:
            manager.pool_classes_by_scheme = {"http": Ending}
            response = manager.request("GET", server.url + "/old")
            assert (response.status, response.connection, response.data) == (302, None, b"hello")


def test_a_read_timeout_of_what_stands_is_told_as_one() -> None:
    with ScriptServer([expect_request(), send(FOUND + b"Content-Length: 9\r\n\r\nhell"), stall()]) as server:
        for owner in OWNERS[:1]:
            with asking(server, owner) as ask, pytest.raises(ReadTimeoutError):
                ask("/", retries=False, timeout=0.02)


@pytest.mark.parametrize("owner", OWNERS)
def test_redirect_false_reads_the_body_at_once(owner: str) -> None:
    """The caller is the judge then, and no connection waits for the judgement."""
    chunked = FOUND + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"
    coded = FOUND + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"
    script = [expect_request(), send(chunked), expect_request(), send(coded)]
    with ScriptServer(script) as server, asking(server, owner) as ask:
        response = ask("/", redirect=False)
        assert (response.connection, response.data) == (None, b"hello")
        response = ask("/", redirect=False)
        assert response.connection is None
        with pytest.raises(DecodeError):
            assert response.data


# Slots


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ConnectionResetError])
def test_what_a_retry_raises_while_it_judges_frees_the_slot(
    judged: bytes, error: type[BaseException], owner: str
) -> None:
    """Also as long as somebody keeps the error, whose traceback holds the response."""

    class Own(Retry):
        def increment(self, *words: Any, **named: Any) -> Any:
            raise error("own")

    with ScriptServer([expect_request(), send(judged + b"Content-Length: 9\r\n\r\nhell"), expect_end()]) as server:
        with asking(server, owner) as ask, pytest.raises(error, match="own") as caught:
            ask("/", retries=Own(3))
        assert caught.value.__traceback__ is not None


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("read_first", [0, 2])
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"Content-Length: 100000\r\n\r\nhello",
        b"Content-Length: 9\r\n\r\nhell",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhellooo",
        b"\r\nhello",
    ],
)
def test_nothing_is_left_of_a_body_that_was_thrown_away(body: bytes, read_first: int) -> None:
    """Whether the connection was saved or not; reading on was an error for some."""
    with ScriptServer([expect_request(), send(b"HTTP/1.1 200 OK\r\n" + body), stall()]) as server:
        with asking(server, "pool") as ask:
            response = ask("/", preload_content=False)
            assert response.read(read_first) == b"hello"[:read_first]
            response.drain_conn()
            assert response.connection is None
            assert (response.read(), response.read(1), list(response.stream()), response.data) == (b"", b"", [], b"")
            assert response.closed
            response.drain_conn()


@pytest.mark.usefixtures("hurried")
def test_a_response_class_that_reads_from_the_socket_by_itself_is_hurried(judged: bytes) -> None:
    class Theirs(http.client.HTTPResponse):
        pass

    class Connection(HTTPConnectionPool.ConnectionCls):  # type: ignore[misc,name-defined]
        response_class = Theirs

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    script = [expect_request(), send(judged + b"Content-Length: 9\r\n\r\nhell"), stall()]
    with ScriptServer(script, [expect_request(), respond(b"ok")]) as server, Pool(server.host, server.port) as pool:
        assert pool.request("GET", "/").data == b"ok"
