"""EventSource: events across connections, and how it ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from poollib import PoolManager
from poollib.eventsource import EventSource, EventSourceState
from poollib.exceptions import InvalidResponseError, ResponseError
from poollib.sse import Event
from tests.support.script import ScriptServer, Step, close, expect_request, reset, respond, send, stall

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
NO_MORE = [expect_request(), respond(status="204 No Content")]


def stream(data: bytes, then: Step | None = None) -> list[Step]:
    return [expect_request(), send(STREAM + data), then or close()]


def source(server: ScriptServer, **options: Any) -> EventSource:
    return EventSource(server.url, retry_ms=1, timeout=5, retries=False, **options)


def test_it_connects_anew_with_the_last_id_until_the_server_wants_no_more() -> None:
    scripts = [
        stream("id: é1\ndata: a\n\nretry: 2\ndata: b\n\ndata: lost".encode()),
        stream(b"data: c\n\nid\n\n", reset()),
    ]
    with ScriptServer(*scripts, NO_MORE) as server, source(server) as events:
        assert list(events) == [
            Event("message", "a", "é1"),
            Event("message", "b", "é1", 2),
            Event("message", "c", "é1"),
        ]
        assert (events.state, events.connects, events.retry_ms, events.last_event_id) == (
            EventSourceState.CLOSED,
            3,
            2,
            "",
        )
    assert b"Last-Event-ID" not in server.received[0]
    assert b"Accept: text/event-stream\r\n" in server.received[0]
    assert "\r\nLast-Event-ID: é1\r\n".encode() in server.received[1]
    assert b"Last-Event-ID" not in server.received[2]


def test_it_can_begin_behind_an_event() -> None:
    with ScriptServer(NO_MORE) as server, source(server, last_event_id="7", headers={"X-Mine": "1"}) as events:
        assert list(events) == []
    assert b"Last-Event-ID: 7\r\n" in server.received[0]
    assert b"X-Mine: 1\r\n" in server.received[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 500 No\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    ],
)
def test_what_is_no_event_stream_ends_it(answer: bytes) -> None:
    with ScriptServer([expect_request(), send(answer)]) as server, PoolManager() as manager:
        events = source(server, manager=manager)
        with pytest.raises(ResponseError):
            list(events)
        assert events.state is EventSourceState.CLOSED
        pool = manager.connection_from_url(server.url)
        assert pool._lending.stats().leased == 0


def test_an_event_without_end_ends_it() -> None:
    with ScriptServer(stream(b"data: " + b"x" * 1_100_000, stall())) as server, source(server) as events:
        with pytest.raises(InvalidResponseError):
            list(events)


def test_failures_are_waited_out_longer_and_longer() -> None:
    waits: list[float] = []
    with ScriptServer([close()], [close()], [close()], stream(b"data: a\n\n"), NO_MORE) as server:
        with source(server) as events:
            events._closed.wait = lambda timeout=None: waits.append(timeout) or False  # type: ignore[method-assign,func-returns-value,assignment]
            assert [event.data for event in events] == ["a"]
    assert waits == [0.001, 0.002, 0.004, 0.001]


def test_another_thread_may_close_it_while_it_waits_for_an_event() -> None:
    with ScriptServer(stream(b"data: a\n\n", stall())) as server, source(server) as events:
        seen = [next(iter_events := iter(events))]
        timer = threading.Timer(0.01, events.close)
        timer.start()
        seen += list(iter_events)
        timer.join()
        assert [event.data for event in seen] == ["a"]
        assert events.state is EventSourceState.CLOSED


def test_leaving_the_loop_gives_the_connection_back() -> None:
    with ScriptServer(stream(b"data: a\n\n", stall())) as server, PoolManager() as manager:
        events = iter(source(server, manager=manager))
        assert next(events).data == "a"
        pool = manager.connection_from_url(server.url)
        assert pool._lending.stats().leased == 1
        events.close()  # type: ignore[attr-defined]
        assert pool._lending.stats().leased == 0


def test_its_state_shows() -> None:
    events = EventSource("http://127.0.0.1:1/")
    assert repr(events) == "<EventSource('http://127.0.0.1:1/') connecting>"
    events.close()
    assert list(events) == []
