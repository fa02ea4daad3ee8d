"""LaunchDarkly's client: polling, its stream of events, which it opens anew, and the batches that it sends."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from tests.compat.both.answers import as_json, in_turn
from tests.support.certs import Certs
from tests.support.httpd import Httpd, Request, Response

FLAG = {
    "key": "f", "version": 1, "on": True, "variations": ["off", "on"], "fallthrough": {"variation": 1}, "salt": "",
    "offVariation": 0, "targets": [], "rules": [], "prerequisites": [], "deleted": False,
}  # fmt: skip
ALL = {"flags": {"f": FLAG}, "segments": {}}
EVENTS = {"Content-Type": "text/event-stream"}


def event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class Stream:
    """A route whose answer goes on with what is put, until None is."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes | None] = queue.Queue()

    def __call__(self, request: Request) -> Response:
        return Response(self._chunks(), headers=EVENTS)

    def _chunks(self) -> Iterator[bytes]:
        while (piece := self.pieces.get(timeout=20)) is not None:
            yield piece


@pytest.fixture
def stream() -> Iterator[Stream]:
    one = Stream()
    yield one
    one.pieces.put(None)


# -- its event source alone --


def source(url: str, **options: Any) -> Any:
    import ld_eventsource
    import ld_eventsource.config as config

    return ld_eventsource.SSEClient(
        config.ConnectStrategy.http(url, urllib3_request_options={"timeout": urllib3.Timeout(connect=5, read=5)}),
        error_strategy=config.ErrorStrategy.always_continue(), initial_retry_delay=0, **options,
    )  # fmt: skip


def test_events_come_as_they_are_sent(server: Httpd, stream: Stream) -> None:
    server.routes["/"] = stream
    stream.pieces.put(event("a", 1))
    with source(server.url) as client:
        events = iter(client.events)
        assert (next(events).event, stream.pieces.qsize()) == ("a", 0)
        for piece in (b"event: ", "b\ndata: ü".encode()[:-1], "ü".encode()[-1:], b"\n\n"):
            stream.pieces.put(piece)
        second = next(events)
        assert (second.event, second.data) == ("b", "ü")


def test_a_stream_that_ends_is_opened_anew_where_it_ended(server: Httpd) -> None:
    served = [b"id: 1\ndata: one\n\n", b"id: 2\ndata: two\n\n", b"id: 3\ndata: three\n\n"]
    server.routes["/"] = lambda request: Response([served[int(request.header("Last-Event-ID") or 0)]], headers=EVENTS)
    with source(server.url) as client:
        assert [next(iter(client.events)).data for _ in range(3)] == ["one", "two", "three"]


def test_a_source_tells_faults_apart(server: Httpd) -> None:
    import ld_eventsource.actions as actions
    import ld_eventsource.errors as errors

    def cut(request: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            yield event("a", 1)
            raise ConnectionError("the server fails")

        return Response(pieces(), headers=EVENTS)

    answers: list[Callable[[Request], Response]] = [
        in_turn(Response(status=503)), in_turn(Response(b"<html>", headers={"Content-Type": "text/html"})), cut,
        in_turn(Response([event("b", 2)], headers=EVENTS)),
    ]  # fmt: skip
    server.routes["/"] = lambda request: answers.pop(0)(request)
    seen: list[Any] = []
    with source(server.url) as client:
        for action in client.all:
            if isinstance(action, actions.Fault):
                seen.append(type(action.error))
            elif isinstance(action, actions.Event):
                seen.append(action.event)
                if action.event == "b":
                    break
    assert seen == [errors.HTTPStatusError, errors.HTTPContentTypeError, "a", urllib3.exceptions.ProtocolError, "b"]


def test_a_source_is_closed_by_another_thread_while_it_reads(server: Httpd, stream: Stream) -> None:
    server.routes["/"] = stream
    stream.pieces.put(event("a", 1))
    client, first = source(server.url), threading.Event()

    def read() -> None:
        for _ in client.events:
            first.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert first.wait(10)
    client.close()
    reader.join(10)
    assert not reader.is_alive()


def test_a_source_that_nobody_serves_has_its_reason() -> None:
    import ld_eventsource
    import ld_eventsource.config as config

    client = ld_eventsource.SSEClient(config.ConnectStrategy.http("http://127.0.0.1:9/"))
    with pytest.raises(urllib3.exceptions.NewConnectionError):
        client.start()
    client.close()


# -- the client --


def launchdarkly(server: Httpd, **settings: Any) -> Any:
    import ldclient
    import ldclient.config

    config = ldclient.config.Config(
        "sdk-key", base_uri=server.url, stream_uri=server.url, events_uri=server.url, diagnostic_opt_out=True,
        initial_reconnect_delay=0, **settings,
    )  # fmt: skip
    return ldclient.LDClient(config, start_wait=10)


def context() -> Any:
    import ldclient

    return ldclient.Context.create("user")


def test_flags_are_polled_and_events_sent(tls_server: Httpd, authority: Certs) -> None:
    import ldclient.config

    tls_server.routes["/sdk/latest-all"] = lambda request: as_json(ALL, ETag="e")
    tls_server.routes["/bulk"] = in_turn(Response(status=202))
    http = ldclient.config.HTTPConfig(ca_certs=authority.ca_file)
    client = launchdarkly(tls_server, stream=False, http=http)
    assert client.is_initialized()
    assert client.variation("f", context(), "default") == "on"
    client.close()
    sent = [
        event["kind"]
        for request in tls_server.requests
        if request.path == "/bulk"
        for event in json.loads(request.body)
    ]
    assert {"index", "summary"} <= set(sent)


def test_flags_are_streamed_and_change(server: Httpd, stream: Stream) -> None:
    server.routes["/all"] = stream
    server.routes["/bulk"] = in_turn(Response(status=202))
    stream.pieces.put(event("put", {"path": "/", "data": ALL}))
    client = launchdarkly(server)
    assert client.variation("f", context(), "default") == "on"
    changed = threading.Event()
    client.flag_tracker.add_listener(lambda change: changed.set())
    stream.pieces.put(event("patch", {"path": "/flags/f", "data": {**FLAG, "version": 2, "on": False}}))
    assert changed.wait(10)
    assert client.variation("f", context(), "default") == "off"
    client.close()
