"""EventSource: events across connections, and how it ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from poollib import PoolManager
from poollib.exceptions import BlockedHostError, InvalidResponseError, LocationValueError, ResponseError
from poollib.extras.event_source import LONGEST_RETRY_MS, LONGEST_WAIT_S, EventSource, EventSourceState
from poollib.http1.sse import Event
from tests.support.script import ScriptServer, Step, close, expect_request, reset, respond, send, signal, stall

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
        assert pool._endpoint_pool.stats().leased == 0


@pytest.mark.parametrize("answer", [b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 304 No\r\n\r\n"])
def test_a_status_without_a_body_is_its_error_and_closes_the_manager(answer: bytes) -> None:
    """The response has ended with its head: nothing is left to shut down."""
    with ScriptServer([expect_request(), send(answer)]) as server:
        events = source(server)
        with pytest.raises(ResponseError, match=answer[9:12].decode()):
            list(events)
        assert events.state is EventSourceState.CLOSED
        assert events._owned is not None
        assert len(events._owned.pools) == 0


def test_it_can_be_closed_behind_the_end_of_a_stream() -> None:
    chunked = STREAM[:-2] + b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n0\r\n\r\n"
    with ScriptServer([expect_request(), send(chunked)]) as server:
        events = source(server)
        for _ in events:  # the chunk that ends the stream has come with the event
            events._response.read()
            events.close()
        assert events.state is EventSourceState.CLOSED
        assert events._owned is not None
        assert len(events._owned.pools) == 0
        events.close()


@pytest.mark.parametrize("url", ["http://[bad/", "ftp://127.0.0.1/", "http://127.0.0.1:1/"])
def test_a_url_that_can_not_be_asked_for_ends_it(url: str) -> None:
    with PoolManager(allowed_hosts=["example.org"]) as manager:
        events = EventSource(url, manager=manager, retry_ms=0)
        with pytest.raises((LocationValueError, BlockedHostError)):
            list(events)
        assert (events.state, events.connects) == (EventSourceState.CLOSED, 1)


@pytest.mark.parametrize("event_id", ["a\u00a0b", "\u3000", "\u00a0", "\u2028", "\u00ad", "\x85", "\ufffd", "a\tb"])
def test_every_id_that_a_field_can_hold_is_sent_back(event_id: str) -> None:
    """HTML standard: encoded as UTF-8, whatever letters it has."""
    with ScriptServer(stream(f"id: {event_id}\ndata: a\n\n".encode()), NO_MORE) as server:
        with source(server) as events:
            assert [event.id for event in events] == [event_id]
    assert f"\r\nLast-Event-ID: {event_id}\r\n".encode() in server.received[1]


@pytest.mark.parametrize("event_id", ["a\x01b", "\x7f"])
def test_an_id_that_no_field_can_hold_is_not_sent(event_id: str) -> None:
    """RFC 9110 section 5.5."""
    with ScriptServer(stream(f"id: {event_id}\ndata: a\n\n".encode()), NO_MORE) as server:
        with source(server) as events:
            assert [event.id for event in events] == [event_id]
    assert b"Last-Event-ID" not in server.received[1]


@pytest.mark.parametrize("event_id", ["a\r\nHost: b", "\0", "\ud800"])
def test_a_given_id_that_no_field_can_hold_is_not_sent(event_id: str) -> None:
    with ScriptServer(NO_MORE) as server, source(server, last_event_id=event_id) as events:
        assert list(events) == []
    assert b"Last-Event-ID" not in server.received[0]
    assert server.received[0].count(b"Host:") == 1


@pytest.mark.parametrize("retry_ms", [0, 1, 3000, 999_999_999_999_999, 10**400, -1])
def test_no_waiting_time_and_no_count_of_failures_is_too_much(retry_ms: int) -> None:
    """Each can be waited for by a lock, on every system; none becomes a loop without a pause."""
    events = EventSource("http://127.0.0.1:1/", retry_ms=retry_ms)
    waits = [events._wait_s(failures) for failures in range(1100)]
    assert all(0 <= wait_s <= LONGEST_RETRY_MS / 1000 < 2**31 / 1000 * 2 for wait_s in waits)
    assert waits[0] == waits[1] == max(0, min(retry_ms, LONGEST_RETRY_MS)) / 1000
    assert waits[20:] == [max(waits[0], LONGEST_WAIT_S)] * 1080
    assert waits == sorted(waits)
    events.close()


def test_a_server_that_asks_for_an_endless_wait_is_waited_for() -> None:
    with ScriptServer(stream(b"retry: 999999999999999\ndata: a\n\n")) as server, source(server) as events:
        for _ in events:
            timer = threading.Timer(0.01, events.close)
            timer.start()
        timer.join()
    assert events.connects == 1


@pytest.mark.parametrize(("headers", "sent"), [(None, True), ({}, False)])
def test_the_managers_headers_are_sent_unless_others_are_given(headers: dict[str, str] | None, sent: bool) -> None:
    with ScriptServer(NO_MORE) as server, PoolManager(headers={"X-Mine": "1"}) as manager:
        assert list(source(server, manager=manager, headers=headers)) == []
    assert (b"X-Mine: 1\r\n" in server.received[0]) is sent


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


def test_a_request_that_is_under_way_when_it_is_closed_is_not_repeated() -> None:
    asked = threading.Event()
    with ScriptServer([expect_request(), signal(asked), stall()]) as server:
        events = EventSource(server.url, timeout=0.3)  # whose three retries would be connections without a script
        closer = threading.Thread(target=lambda: (asked.wait(5), events.close()))
        closer.start()
        assert list(events) == []
        closer.join()
        assert (events.state, server.opened) == (EventSourceState.CLOSED, 1)


def test_leaving_the_loop_gives_the_connection_back() -> None:
    with ScriptServer(stream(b"data: a\n\n", stall())) as server, PoolManager() as manager:
        events = iter(source(server, manager=manager))
        assert next(events).data == "a"
        pool = manager.connection_from_url(server.url)
        assert pool._endpoint_pool.stats().leased == 1
        events.close()  # type: ignore[attr-defined]
        assert pool._endpoint_pool.stats().leased == 0


def test_its_state_shows() -> None:
    events = EventSource("http://127.0.0.1:1/")
    assert repr(events) == "<EventSource('http://127.0.0.1:1/') connecting>"
    events.close()
    assert list(events) == []
