"""http.client's methods are called where somebody has replaced one: by an agent, by a subclass, on either class."""

from __future__ import annotations

import functools
import http.client
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import poollib
from poollib.connection import HTTPConnection
from tests.support.httpd import Httpd, Response
from tests.support.script import ScriptServer, expect_request, respond, stall

HOOKS = ["putrequest", "putheader", "endheaders", "send", "_send_output", "getresponse"]


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd({"/chunks": lambda request: Response([b"a", b"b" * 10_000])}) as httpd:
        yield httpd


@pytest.mark.parametrize("owner", [http.client.HTTPConnection, HTTPConnection])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_replaced_method_is_called_while_it_is_replaced(
    server: Httpd, owner: type[Any], hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    usual = getattr(owner, hook)

    def own(self: Any, *words: Any, **named: Any) -> Any:
        calls.append(hook)
        return usual(self, *words, **named)

    with poollib.HTTPConnectionPool(server.host, server.port, maxsize=1, block=True) as pool:
        assert pool.request("GET", "/before").status == 200
        with monkeypatch.context() as patch:
            patch.setattr(owner, hook, own)
            assert pool.request("POST", "/", body=b"body").json()["body"] == "body"
            assert pool.request("PUT", "/", body=iter([b"x", b"y"])).json()["body"] == "xy"
            assert pool.request("GET", "/chunks", preload_content=False).data == b"a" + b"b" * 10_000
        seen = len(calls)
        assert pool.request("GET", "/after").status == 200
    assert seen == len(calls) >= 3
    if hook in ("putrequest", "endheaders", "_send_output", "getresponse"):
        assert seen == 3
    assert server.opened == 1


class Wrapper:
    """A method's wrapper as wrapt makes them, which most agents use: it is equal to what it wraps."""

    def __init__(self, wrapped: Callable[..., Any], calls: list[str]) -> None:
        self.wrapped, self.calls = wrapped, calls

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *words: Any, **named: Any) -> Any:
        self.calls.append(self.wrapped.__name__)
        return self.wrapped(*words, **named)

    def __eq__(self, other: object) -> bool:
        return self.wrapped == other

    def __hash__(self) -> int:
        return hash(self.wrapped)


@pytest.mark.parametrize("owner", [http.client.HTTPConnection, HTTPConnection])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_wrapper_that_equals_what_it_wraps_is_called(
    server: Httpd, owner: type[Any], hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not: New Relic's agent, installed after poollib was imported, saw no request."""
    calls: list[str] = []
    monkeypatch.setattr(owner, hook, Wrapper(getattr(owner, hook), calls))
    with poollib.HTTPConnectionPool(server.host, server.port) as pool:
        assert pool.request("POST", "/", body=b"body").json()["body"] == "body"
    assert set(calls) == {hook}


def test_the_method_that_urllib3_does_not_call_either_may_be_gone(
    server: Httpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that mocks http.client's ``request`` means its own use of http.client."""
    monkeypatch.setattr(http.client.HTTPConnection, "request", None)
    with poollib.HTTPConnectionPool(server.host, server.port) as pool:
        assert pool.request("GET", "/").status == 200


def test_what_a_subclass_sends_is_what_goes_out(server: Httpd) -> None:
    class Shouting(HTTPConnection):
        def send(self, data: Any) -> None:
            super().send(data.upper() if data.startswith(b"body") else data)

    class Pool(poollib.HTTPConnectionPool):
        ConnectionCls = Shouting

    with Pool(server.host, server.port) as pool:
        assert pool.request("POST", "/", body=b"body").json()["body"] == "BODY"


def test_a_response_class_of_its_own_reads_the_response(server: Httpd) -> None:
    begun: list[int] = []

    class OwnResponse(http.client.HTTPResponse):
        def begin(self) -> None:
            super().begin()
            begun.append(self.status)

    class Own(HTTPConnection):
        response_class = OwnResponse

    class Pool(poollib.HTTPConnectionPool):
        ConnectionCls = Own

    server.routes["/last"] = lambda request: Response(b"bye", close=True)
    with Pool(server.host, server.port, maxsize=1, block=True) as pool:
        assert pool.request("GET", "/").status == 200
        assert pool.request("GET", "/chunks", pool_timeout=1).data == b"a" + b"b" * 10_000
        assert pool.request("GET", "/last", pool_timeout=1).data == b"bye"
        assert pool.request("HEAD", "/", pool_timeout=1).status == 200
    assert begun == [200] * 4
    assert server.opened == 2


def own_pool(server: Any, response_class: type[Any]) -> poollib.HTTPConnectionPool:
    """A pool whose responses are read by that class."""

    class Own(HTTPConnection):
        pass

    Own.response_class = response_class

    class Pool(poollib.HTTPConnectionPool):
        ConnectionCls = Own

    return Pool(server.host, server.port, maxsize=1, block=True, retries=False)


def test_a_response_class_may_read_the_body_at_once(server: Httpd) -> None:
    """As recorders do; nothing is left to be read, and the connection serves on."""

    class Recording(http.client.HTTPResponse):
        def begin(self) -> None:
            super().begin()
            self.recorded = self.read()

    server.routes["/five"] = lambda request: Response(b"hello")
    with own_pool(server, Recording) as pool:
        for _ in range(2):
            response: Any = pool.request("GET", "/five", pool_timeout=1)
            assert response._original_response.recorded == b"hello"
            assert response.data == b""
    assert server.opened == 1


def test_a_response_class_that_waits_too_long_is_a_read_timeout(server: Httpd) -> None:
    with ScriptServer([expect_request(), stall()]) as silent, own_pool(silent, http.client.HTTPResponse) as pool:
        pool.ConnectionCls.response_class = type("Own", (http.client.HTTPResponse,), {})  # type: ignore[misc]
        with pytest.raises(poollib.exceptions.ReadTimeoutError):
            pool.request("GET", "/", timeout=0.01)
        assert pool._endpoint_pool.leased == 0


def test_a_response_that_another_class_cannot_read_is_a_protocol_error(server: Httpd) -> None:
    class Failing(http.client.HTTPResponse):
        def begin(self) -> None:
            raise http.client.BadStatusLine("nonsense")

    class Own(HTTPConnection):
        response_class = Failing

    class Pool(poollib.HTTPConnectionPool):
        ConnectionCls = Own

    with Pool(server.host, server.port, retries=False) as pool, pytest.raises(poollib.exceptions.ProtocolError):
        pool.request("GET", "/")


def test_a_body_of_another_length_than_announced_is_refused(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = http.client.HTTPConnection.endheaders
    monkeypatch.setattr(HTTPConnection, "endheaders", lambda self, *words, **named: usual(self, *words, **named), False)
    with poollib.HTTPConnectionPool(server.host, server.port, retries=False) as pool:
        for length in ("3", "9"):
            with pytest.raises(ValueError, match="Content-Length"):
                pool.request("POST", "/", body=iter([b"body"]), headers={"Content-Length": length})


def test_agents_hear_when_the_body_has_ended(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    """As sentry ends its span at the close of what ``getresponse`` gave."""
    heard: list[str] = []
    usual, usual_close = http.client.HTTPConnection.getresponse, http.client.HTTPResponse.close

    def getresponse(self: Any) -> Any:
        theirs = usual(self)
        heard.append(f"head {theirs.status} {theirs.getheader('transfer-encoding')}")
        return theirs

    def close(self: Any) -> None:
        heard.append("end")
        usual_close(self)

    monkeypatch.setattr(http.client.HTTPConnection, "getresponse", getresponse)
    monkeypatch.setattr(http.client.HTTPResponse, "close", close)
    with poollib.HTTPConnectionPool(server.host, server.port) as pool:
        response = pool.request("GET", "/chunks", preload_content=False)
        assert heard == ["head 200 chunked"]
        assert len(response.data) == 10_001
        assert heard == ["head 200 chunked", "end"]


@pytest.fixture
def wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent has wrapped http.client's ``putrequest``."""
    usual = http.client.HTTPConnection.putrequest
    monkeypatch.setattr(
        http.client.HTTPConnection, "putrequest", lambda self, *words, **named: usual(self, *words, **named)
    )


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("POST", {}),
    ("GET", {}),
    ("GET", {"headers": {"User-Agent": "me", "Accept-Encoding": "x"}}),
    ("GET", {"headers": {"User-Agent": poollib.util.SKIP_HEADER, "X-A": "1"}}),
    ("POST", {"body": iter([b"a", b"", b"bc"])}),
    ("POST", {"body": b"body", "trailers": {"X-Sum": "1", "X-Two": "2"}}),
    ("POST", {"body": b"body", "trailers": {"X-Sum": "1"}, "headers": {"Trailer": "X-Sum"}}),
]


@pytest.mark.usefixtures("wrapped")
def test_requests_through_the_hooks_have_the_framing_of_the_direct_way() -> None:
    """Lengths, trailers and what the caller said of them; an empty piece is no chunk, which would end the body."""
    script = [step for _ in REQUESTS for step in (expect_request(), respond())]
    with ScriptServer(script) as server, poollib.HTTPConnectionPool(server.host, server.port) as pool:
        ends = []
        for method, more in REQUESTS:
            before = len(server.received[0]) if server.opened else 0
            assert pool.urlopen(method, "/", retries=False, **more).status == 200
            ends.append(server.received[0][before:])
    empty, bare, own, skipped, chunks, trailers, announced = ends
    assert b"Content-Length: 0\r\n" in empty
    assert b"Content-Length" not in bare
    assert own.count(b"User-Agent: me\r\n") == own.count(b"User-Agent") == 1
    assert b"User-Agent" not in skipped
    assert b"X-A: 1\r\n" in skipped
    assert chunks.endswith(b"\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
    assert b"\r\nTrailer: X-Sum, X-Two\r\n" in trailers
    assert trailers.endswith(b"4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n")
    assert announced.count(b"Trailer:") == 1


def test_the_debug_level_prints_what_is_said(
    server: Httpd, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As http.client prints it."""
    monkeypatch.setattr(HTTPConnection, "debuglevel", 1)
    connection = HTTPConnection(server.host, server.port)
    connection.request("GET", "/chunks")
    assert connection.getresponse().status == 200
    connection.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("send: b'GET /chunks HTTP/1.1")
    assert "reply: 'HTTP/1.1 200 OK\\r\\n'" in lines
    assert "header: Transfer-Encoding: chunked" in lines


@pytest.mark.parametrize("by_hand", [False, True])
def test_the_debug_level_of_one_connection_prints_what_http_client_prints(
    server: Httpd, capsys: pytest.CaptureFixture[str], by_hand: bool
) -> None:
    """``set_debuglevel`` on one connection concerns that one, from the next request on, until it is 0 again."""

    def ask(connection: Any, target: str) -> None:
        if by_hand:
            connection.putrequest("GET", target)
            connection.putheader("User-Agent", "me")
            connection.endheaders()
        else:
            connection.request("GET", target, headers={"User-Agent": "me"})
        connection.getresponse().read()

    theirs = http.client.HTTPConnection(server.host, server.port)
    theirs.set_debuglevel(1)
    ask(theirs, "/chunks")
    theirs.close()
    expected = capsys.readouterr().out
    assert "reply: " in expected
    ours, other = HTTPConnection(server.host, server.port), HTTPConnection(server.host, server.port)
    ask(ours, "/before")
    ours.set_debuglevel(1)
    ask(other, "/other")
    assert capsys.readouterr().out == ""
    ask(ours, "/chunks")
    assert capsys.readouterr().out == expected
    ours.set_debuglevel(0)
    ask(ours, "/after")
    assert capsys.readouterr().out == ""
    assert type(ours) is HTTPConnection
    ours.close()
    other.close()


def test_the_debug_level_of_a_pools_connection_holds_for_the_requests_it_serves(
    server: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    with poollib.HTTPConnectionPool(server.host, server.port, maxsize=1, block=True) as pool:
        connection = pool._get_conn()
        connection.set_debuglevel(1)
        pool._put_conn(connection)
        assert pool.request("POST", "/", body=b"body").json()["body"] == "body"
    said = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert said[:4] == ["send", "send", "reply", "header"]


def test_the_debug_level_of_http_clients_class_is_seen_when_it_comes_late(
    server: Httpd, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with poollib.HTTPConnectionPool(server.host, server.port) as pool:
        assert pool.request("GET", "/before").status == 200
        assert capsys.readouterr().out == ""
        monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
        assert pool.request("GET", "/chunks").status == 200
    said = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert said[:3] == ["send", "reply", "header"]


@pytest.mark.parametrize("level", [0, 1])
def test_a_wrapped_getresponse_prints_as_the_debug_level_says(
    server: Httpd, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, level: int
) -> None:
    original = http.client.HTTPConnection.getresponse
    monkeypatch.setattr(http.client.HTTPConnection, "getresponse", lambda conn: original(conn))
    connection = HTTPConnection(server.host, server.port)
    connection.set_debuglevel(level)
    connection.request("GET", "/chunks")
    assert connection.getresponse().status == 200
    connection.close()
    lines = capsys.readouterr().out.splitlines()
    assert ("reply: 'HTTP/1.1 200 OK\\r\\n'" in lines) == ("header: Transfer-Encoding: chunked" in lines) == bool(lines)
    assert bool(lines) == bool(level)


# What http.client's constructor does


def test_a_connection_has_all_attributes_that_http_clients_constructor_sets() -> None:
    theirs = vars(http.client.HTTPConnection("localhost", 80, 1.0))
    ours, other = HTTPConnection("localhost", 80, timeout=1.0), HTTPConnection("localhost", 80)
    for name in theirs.keys() - {"blocksize"}:
        assert getattr(ours, name) == theirs[name], name
        if isinstance(theirs[name], (dict, list)):
            assert getattr(ours, name) is getattr(ours, name) is not getattr(other, name), name
    assert ours._create_connection is socket.create_connection


def test_hosts_are_told_from_ports_as_http_client_does() -> None:
    for args in [("h",), ("h:8080",), ("h:",), ("[::1]:81",), ("[::1]",), ("[::1]", 82), ("h", 83)]:
        ours, theirs = HTTPConnection(*args), http.client.HTTPConnection(*args)
        assert (ours.host, ours.port) == (theirs.host, theirs.port)
    for host in ["h:x", "a b", "a\r\n"]:
        with pytest.raises(http.client.InvalidURL):
            HTTPConnection(host)


def test_a_replaced_constructor_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    usual = http.client.HTTPConnection.__init__

    def init(self: Any, *args: Any, **kw: Any) -> None:
        made.append(self)
        usual(self, *args, **kw)

    monkeypatch.setattr(http.client.HTTPConnection, "__init__", init)
    conn = HTTPConnection("localhost", 80, timeout=3, source_address=("", 0), blocksize=7)
    assert made == [conn]
    assert (conn.host, conn.port, conn.timeout, conn.source_address, conn.blocksize) == ("localhost", 80, 3, ("", 0), 7)
