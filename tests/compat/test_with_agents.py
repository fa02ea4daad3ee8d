"""Agents that trace: by wrapping urlopen and _make_request, or http.client's methods; each sees every request once."""

from __future__ import annotations

import functools
import http.client
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import sentry_sdk
import urllib3
import urllib3.connection
import urllib3.connectionpool
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import poollib
from tests.support.httpd import Httpd, Response


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What opentelemetry has seen, urllib3 being instrumented."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    URLLib3Instrumentor().instrument(tracer_provider=provider)
    yield exporter
    URLLib3Instrumentor().uninstrument()


def test_opentelemetry_sees_each_request_once(server: Httpd, spans: InMemorySpanExporter) -> None:
    server.routes["/from"] = lambda request: Response(b"", status=302, headers={"Location": "/to"})
    with urllib3.PoolManager() as manager:
        assert manager.request("POST", server.url + "/a?b=c", body=b"x").status == 200
        manager.request("GET", server.url + "/from")
    with urllib3.HTTPConnectionPool(server.host, server.port) as pool:
        pool.urlopen("HEAD", "/pool")
    seen = [
        (span.name, span.attributes["http.url"], span.attributes["http.status_code"])
        for span in spans.get_finished_spans()
    ]
    url = server.url
    assert seen == [
        ("POST", f"{url}/a?b=c", 200),
        ("GET", f"{url}/from", 302),
        ("GET", f"{url}/to", 200),
        ("HEAD", f"{url}/pool", 200),
    ]
    assert "traceparent" in {name.lower() for name, _ in server.requests[0].headers}


def test_opentelemetry_sees_requests_once_through_requests(server: Httpd, spans: InMemorySpanExporter) -> None:
    provider = TracerProvider()
    outer = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(outer))
    RequestsInstrumentor().instrument(tracer_provider=provider)
    try:
        assert requests.get(server.url + "/x").status_code == 200
    finally:
        RequestsInstrumentor().uninstrument()
    assert [span.name for span in outer.get_finished_spans()] == ["GET"]


def test_sentry_sees_each_request_once(server: Httpd) -> None:
    events: list[Any] = []

    class Keep(sentry_sdk.Transport):
        def capture_envelope(self, envelope: Any) -> None:
            events.extend(item.payload.json for item in envelope.items)

    server.routes["/gone"] = lambda request: Response(b"", status=410)
    untouched = vars(http.client.HTTPConnection).copy()
    sentry_sdk.init(
        "http://key@127.0.0.1:1/1", transport=Keep, traces_sample_rate=1.0, auto_enabling_integrations=False
    )
    try:
        with sentry_sdk.start_transaction(name="t"), urllib3.PoolManager() as manager:
            assert manager.request("GET", server.url + "/a?q=1").data
            assert manager.request("POST", server.url + "/b", body=b"x" * 100_000).status == 200
            assert requests.get(server.url + "/gone").status_code == 410
        sentry_sdk.flush()
    finally:
        sentry_sdk.init()
        for name in ("putrequest", "getresponse"):
            setattr(http.client.HTTPConnection, name, untouched[name])
    spans = [span for event in events for span in event.get("spans", ())]
    seen = [(span["op"], span["description"], span["data"]["http.response.status_code"]) for span in spans]
    assert seen == [
        ("http.client", f"GET {server.url}/a", 200),
        ("http.client", f"POST {server.url}/b", 200),
        ("http.client", f"GET {server.url}/gone", 410),
    ]
    assert all(request.header("sentry-trace") for request in server.requests)
    assert server.requests[1].body == b"x" * 100_000


HOOKS = ["putrequest", "putheader", "endheaders", "send", "_send_output", "getresponse"]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_patched_method_of_http_client_is_called(server: Httpd, hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    usual = getattr(http.client.HTTPConnection, hook)

    @functools.wraps(usual)
    def patched(self: Any, *words: Any, **named: Any) -> Any:
        calls.append(words)
        return usual(self, *words, **named)

    pool = urllib3.HTTPConnectionPool(server.host, server.port)
    with pool:
        pool.request("GET", "/before")
        with monkeypatch.context() as patch:
            patch.setattr(http.client.HTTPConnection, hook, patched)
            assert pool.request("POST", "/during", body=b"body").json()["body"] == "body"
            once = len(calls)
            assert pool.request("GET", "/again", preload_content=False).data
        assert pool.request("GET", "/after").status == 200
    assert calls
    if hook in ("putrequest", "endheaders", "_send_output", "getresponse"):
        assert (once, len(calls)) == (1, 2)
    assert server.opened == 1


@pytest.mark.parametrize("hook", ["endheaders", "putrequest", "request", "getresponse", "connect"])
def test_a_method_wrapped_on_the_connection_class_is_called_once(
    server: Httpd, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As New Relic wraps ``endheaders``, where it adds fields of its own."""
    calls: list[Any] = []
    usual = getattr(urllib3.connection.HTTPConnection, hook)

    def wrapped(self: Any, *words: Any, **named: Any) -> Any:
        calls.append(self.host)
        if hook == "endheaders":
            self.putheader("X-Agent", "seen")
        return usual(self, *words, **named)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, hook, wrapped)
    with urllib3.PoolManager() as manager:
        seen = manager.request("GET", server.url + "/").json()
    assert calls == [server.host]
    assert seen["headers"].get("x-agent") == ("seen" if hook == "endheaders" else None)


@pytest.mark.parametrize("method", ["urlopen", "_make_request"])
def test_a_method_wrapped_on_the_pool_class_is_called_once(
    server: Httpd, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    usual = getattr(urllib3.connectionpool.HTTPConnectionPool, method)

    def wrapped(self: Any, *words: Any, **named: Any) -> Any:
        calls.append((type(self).__name__, words))
        return usual(self, *words, **named)

    monkeypatch.setattr(urllib3.connectionpool.HTTPConnectionPool, method, wrapped)
    requests.get(server.url + "/x")
    urllib3.request("GET", server.url + "/y")
    assert [name for name, _ in calls] == ["HTTPConnectionPool"] * 2
    if method == "_make_request":
        assert isinstance(calls[0][1][0], poollib.connection.HTTPConnection)
        assert calls[0][1][1:3] == ("GET", "/x")


def test_urlopen_replaced_wholesale_answers_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(self: Any, method: str, url: str, *words: Any, **named: Any) -> Any:
        return urllib3.HTTPResponse(io.BytesIO(b"mock"), {"A": "b"}, 200, preload_content=False, request_url=url)

    monkeypatch.setattr(urllib3.connectionpool.HTTPConnectionPool, "urlopen", answer)
    assert urllib3.PoolManager().request("GET", "http://nowhere.test/").data == b"mock"
    assert requests.get("http://nowhere.test/").content == b"mock"


class Overriding(urllib3.connection.HTTPConnection):
    """A connection class as SDKs write them."""

    sent: list[bytes]

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self.sent = []


def with_send(seen: list[Any]) -> type[Overriding]:
    class Own(Overriding):
        def send(self, data: Any) -> None:
            seen.append(bytes(data))
            super().send(data)

    return Own


def with_send_output(seen: list[Any]) -> type[Overriding]:
    class Own(Overriding):
        def _send_output(self, *words: Any, **named: Any) -> None:
            seen.append(b"\r\n".join(self._buffer))
            super()._send_output(*words, **named)

    return Own


def with_request(seen: list[Any]) -> type[Overriding]:
    class Own(Overriding):
        def request(self, method: str, url: str, body: Any = None, headers: Any = None, **named: Any) -> None:
            seen.append(f"{method} {url} HTTP/1.1".encode())
            super().request(method, url, body, {**(headers or {}), "X-Own": "1"}, **named)

    return Own


def with_response_class(seen: list[Any]) -> type[Overriding]:
    class OwnResponse(http.client.HTTPResponse):
        def begin(self) -> None:
            super().begin()
            seen.append(f"POST / HTTP/1.1 {self.status}".encode())

    class Own(Overriding):
        response_class = OwnResponse

    return Own


@pytest.mark.parametrize("make", [with_send, with_send_output, with_request, with_response_class])
def test_subclasses_of_the_connection_are_honoured(
    server: Httpd, make: Callable[[list[Any]], type[Overriding]]
) -> None:
    seen: list[Any] = []

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = make(seen)

    server.routes["/chunks"] = lambda request: Response([b"a", b"b" * 10_000])
    with Pool(server.host, server.port, maxsize=1, block=True) as pool:
        answer = pool.request("POST", "/", body=b"body", pool_timeout=1)
        assert answer.json()["body"] == "body"
        assert pool.request("GET", "/chunks", pool_timeout=1).data == b"a" + b"b" * 10_000
        with pool.request("GET", "/chunks", preload_content=False, pool_timeout=1) as stream:
            assert b"".join(stream.stream(100)) == b"a" + b"b" * 10_000
        assert pool.request("PUT", "/", body=iter([b"x", b"y"]), pool_timeout=1).json()["body"] == "xy"
    assert seen[0].startswith(b"POST / HTTP/1.1")
    assert server.opened == 1


def test_debuglevel_prints_what_goes_and_comes(
    server: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    requests.get(server.url + "/shown")
    printed = capsys.readouterr().out
    assert "send: b'GET /shown HTTP/1.1" in printed
    assert "reply: 'HTTP/1.1 200 OK" in printed
    assert "header: Content-Type: application/json" in printed


def test_an_agent_that_came_before_poollib_is_seen() -> None:
    program = """
import http.client, sys
usual = http.client.HTTPConnection.putrequest
def patched(self, method, url, *words, **named):
    print("seen", method, url)
    return usual(self, method, url, *words, **named)
http.client.HTTPConnection.putrequest = patched
import poollib
print(poollib.request("GET", sys.argv[1]).status)
"""
    with Httpd() as server:
        words = [sys.executable, "-c", program, server.url + "/x"]
        printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[:2] == ["seen GET /x", "200"]
