"""Several requests in one send: each response belongs to its own request, whatever a server does.

Source: RFC 9112 sections 9.3.2 and 9.6; RFC 9110 section 9.2.1. The server is a script of bytes; `/0`, `/1`, ... are
asked for, and an honest answer to `/n` has the body `n`.
"""

from __future__ import annotations

import gzip
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from poollib import CircuitBreaker, HTTPConnectionPool, ProxyManager, Retry, RetryBudget, Timeout
from poollib.base.trace import Trace
from poollib.exceptions import (
    CircuitOpenError,
    ClosedPoolError,
    DeadlineExceededError,
    DecodeError,
    EmptyPoolError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    ResponseTooLargeError,
)
from tests.support.script import (
    ScriptServer,
    Step,
    close,
    expect_end,
    expect_request,
    finish,
    half_close,
    reset,
    respond,
    send,
    send_slowly,
    stall,
)


def pool_for(server: Any, **options: Any) -> HTTPConnectionPool:
    return HTTPConnectionPool(server.host, server.port, maxsize=1, block=True, **options)


def urls(count: int) -> list[str]:
    return [f"/{n}" for n in range(count)]


def answer(n: int, *lines: str) -> bytes:
    body = str(n).encode()
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *lines, "", ""]).encode() + body


def answers(*numbers: int) -> bytes:
    return b"".join(map(answer, numbers))


def asked(count: int) -> list[Step]:
    return [expect_request()] * count


def honest(*numbers: int) -> list[Step]:
    """One connection that is asked for these alone, one after the other."""
    return [step for n in numbers for step in (expect_request(), send(answer(n)))]


def bodies(responses: Any) -> list[bytes]:
    return [response.data for response in responses]


def expected(count: int) -> list[bytes]:
    return [str(n).encode() for n in range(count)]


def honest_server(most: int = 1000) -> list[Step]:
    """One connection that answers what it is asked for, one request at a time; it is closed after ``most`` of them."""

    def serve(connection: Any) -> None:
        for _ in range(most):
            try:
                connection.receive_until(lambda pending: b"\r\n\r\n" in pending, "a request head")
            except AssertionError:  # the client is gone
                return
            head = connection.take(connection.pending.index(b"\r\n\r\n") + 4)
            method, target, _ = head.split(b" ", 2)
            body = target.strip(b"/")
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            connection.send(body if method == b"GET" else b"")
        connection.close()

    return [serve]


def wait_until_readable(pool: HTTPConnectionPool) -> None:
    """Until something has come on the pool's one idle connection."""
    conn = pool.pool.queue[-1] if pool.pool is not None else None
    assert conn is not None
    assert select.select([conn.sock], [], [], 5)[0]


def targets(received: bytes) -> list[bytes]:
    return [line.split(b" ")[1] for line in received.split(b"\r\n") if line.endswith(b" HTTP/1.1")]


# What is sent


def test_requests_leave_together_and_answers_come_back_in_order() -> None:
    """The server answers nothing before it has all four."""
    with ScriptServer([*asked(4), send(answers(0, 1, 2, 3))]) as server, pool_for(server) as pool:
        responses = list(pool.pipeline(urls(4)))
        assert bodies(responses) == expected(4)
        assert [response.url for response in responses] == urls(4)
        assert (pool.stats()["leased"], pool.stats()["idle"]) == (0, 1)
        assert (pool.num_requests, pool.num_connections) == (4, 1)
    assert targets(server.received[0]) == [b"/0", b"/1", b"/2", b"/3"]


def test_no_more_than_depth_requests_are_taken_ahead_and_no_more_answers_held() -> None:
    taken: list[str] = []

    def items() -> Iterator[str]:
        for url in urls(6):
            taken.append(url)
            yield url

    with ScriptServer(
        [*asked(2), send(answers(0, 1)), *asked(2), send(answers(2, 3)), *asked(2), send(answers(4, 5))]
    ) as server:
        with pool_for(server) as pool:
            pipeline = pool.pipeline(items(), depth=2)
            assert taken == []
            seen = [next(pipeline).data]
            assert taken == ["/0", "/1"]
            seen += bodies(pipeline)
            assert seen == expected(6)
    assert server.opened == 1


def test_an_iterator_that_nobody_goes_on_with_holds_no_connection() -> None:
    """Another request gets the pool's one connection while responses of a batch are still to be given out."""
    script = [*asked(2), send(answers(0, 1)), expect_request(), respond(b"other")]
    with ScriptServer(script) as server, pool_for(server) as pool:
        with pool.pipeline(urls(4), depth=2) as pipeline:
            assert next(pipeline).data == b"0"
            assert pool.urlopen("GET", "/other", pool_timeout=5).data == b"other"
        assert list(pipeline) == []
        assert pool.stats()["leased"] == 0


def test_items_have_methods_and_fields_of_their_own() -> None:
    script = [*asked(3), send(answer(0) + b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + answer(2))]
    with ScriptServer(script) as server, pool_for(server, headers={"X-All": "1"}) as pool:
        responses = list(pool.pipeline(["/0", ("HEAD", "/1", {"X-Own": "2"}), ("options", "*")]))
        assert bodies(responses) == [b"0", b"", b"2"]
    first, second, third = server.received[0].split(b"\r\n\r\n")[:3]
    assert first.startswith(b"GET /0 HTTP/1.1\r\nHost: ")
    assert b"X-All: 1" in first
    assert second.startswith(b"HEAD /1 ")
    assert b"X-Own: 2" in second
    assert b"X-All" not in second
    assert third.startswith(b"OPTIONS * ")


@pytest.mark.parametrize(
    ("item", "error", "words"),
    [
        (("POST", "/1"), ValueError, "only GET, HEAD, OPTIONS"),
        (("PUT", "/1", None), ValueError, "only GET"),
        (("GET", "/1", {"Content-Length": "3"}), ValueError, "no body"),
        (("GET", "/1", {"Transfer-Encoding": "chunked"}), ValueError, "no body"),
        (("GET", "/1", {"Connection": "close"}), ValueError, "Connection: close"),
        (("GET", "/1", {"Connection": "Upgrade", "Upgrade": "h2c"}), ValueError, "Upgrade"),
        (("GET", "/1", {"X": "a\r\nb"}), ValueError, "header value"),
        (("GET",), TypeError, "takes URLs"),
        (("GET", 1), TypeError, "must be str"),
        (7, TypeError, "takes URLs"),
        ("http://elsewhere.example/1", HTTPError, "foreign host"),
    ],
)
def test_an_item_that_cannot_be_pipelined_is_an_error_at_its_place(
    item: Any, error: type[Exception], words: str
) -> None:
    """What stands before it was answered, what follows is answered next; nothing of it was sent."""
    script = [expect_request(), send(answer(0)), expect_request(), send(answer(2))]
    with ScriptServer(script) as server, pool_for(server) as pool:
        pipeline = pool.pipeline(["/0", item, "/2"])
        assert next(pipeline).data == b"0"
        with pytest.raises(error, match=words):
            next(pipeline)
        assert bodies(pipeline) == [b"2"]


def test_errors_are_given_out_in_the_place_of_responses_if_asked_for() -> None:
    with ScriptServer([expect_request(), send(answer(0)), expect_request(), send(answer(2))]) as server:
        with pool_for(server) as pool:
            first, second, third = pool.pipeline(["/0", ("POST", "/1"), "/2"], return_exceptions=True)
    assert isinstance(second, ValueError)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    assert (first.data, third.data) == (b"0", b"2")


def test_what_the_iterable_raises_comes_behind_the_responses_to_what_it_gave() -> None:
    def items() -> Iterator[str]:
        yield "/0"
        raise LookupError("no more")

    with ScriptServer(honest(0)) as server, pool_for(server) as pool:
        pipeline = pool.pipeline(items(), return_exceptions=True)
        assert bodies([next(pipeline)]) == [b"0"]
        with pytest.raises(LookupError, match="no more"):
            next(pipeline)
        assert list(pipeline) == []


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"preload_content": False}, ValueError, "holds up the responses behind it"),
        ({"depth": 0}, ValueError, "depth must be from 1"),
        ({"depth": 1.5}, TypeError, "depth must be a whole number"),
        ({"body": b"x"}, TypeError, "unexpected keyword argument 'body'"),
        ({"headers": {"Connection": "close"}}, ValueError, "can't be pipelined"),
    ],
)
def test_what_a_pipeline_cannot_have_is_said_at_once(keywords: Any, error: type[Exception], words: str) -> None:
    with HTTPConnectionPool("127.0.0.1", 1) as pool, pytest.raises(error, match=words):
        pool.pipeline(["/"], **keywords)


def test_one_url_is_no_iterable_of_requests() -> None:
    with HTTPConnectionPool("127.0.0.1", 1) as pool, pytest.raises(TypeError, match="not one URL"):
        pool.pipeline("/path")


# What comes back


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\nX-Sum: 9\r\n\r\n"
ZIPPED = gzip.compress(b"3")
KINDS = (
    answer(0)
    + b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(1)
    + CHUNKED
    + b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(ZIPPED), ZIPPED)
    + b"HTTP/1.1 204 No Content\r\n\r\n"
    + b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n"
    + b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"  # to HEAD
    + b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"
    + b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
)  # fmt: skip
ITEMS: list[Any] = [*urls(6), ("HEAD", "/6"), "/7", "/8"]


@pytest.mark.parametrize("by", [1, 7, 100_000])
def test_all_kinds_of_answers_follow_each_other_however_their_bytes_arrive(by: int) -> None:
    with ScriptServer([*asked(9), send_slowly(KINDS, by)]) as server, pool_for(server) as pool:
        responses = list(pool.pipeline(ITEMS))
        assert pool.stats()["idle"] == 1
    assert bodies(responses) == [b"0", b"1", b"2", b"3", b"", b"", b"", b"gone", b""]
    assert [response.status for response in responses] == [200, 200, 200, 200, 204, 304, 200, 404, 200]
    assert [response.interim for response in responses] == [
        (), ((103, [("Link", "</x>")]),), (), (), (), (), (), (), ((100, []),)
    ]  # fmt: skip
    assert responses[2].trailers["X-Sum"] == "9"
    assert server.opened == 1


def test_coded_bodies_stay_as_they_are_if_that_is_wanted() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(ZIPPED), ZIPPED)
    with ScriptServer([*asked(2), send(data * 2)]) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(2), decode_content=False)) == [ZIPPED] * 2


def test_heads_with_the_same_bytes_are_read_alike_and_bodies_stay_apart() -> None:
    with ScriptServer([*asked(3), send(answers(0, 1, 2))]) as server, pool_for(server) as pool:
        first, second, third = pool.pipeline(urls(3))
        first.headers["X-Mine"] = "changed by its owner"
        assert "X-Mine" not in second.headers
        assert third.headers["Content-Length"] == "1"


def test_large_requests_and_large_answers_do_not_wait_for_each_other() -> None:
    """More than is buffered in both directions: the server reads on only when its answers are taken."""
    body, small = (
        b"x" * 300_000,
        [(socket.SOL_SOCKET, option, 16384) for option in (socket.SO_SNDBUF, socket.SO_RCVBUF)],
    )

    def buffer_little(connection: Any) -> None:
        for option in small:
            connection.sock.setsockopt(*option)

    steps = [step for _ in range(4) for step in (expect_request(), respond(body))]
    segments = [(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)]  # else one is larger than the buffers, and TCP waits
    options = [*small, *segments] if hasattr(socket, "TCP_MAXSEG") else small
    with ScriptServer([buffer_little, *steps]) as server, pool_for(server, timeout=5.0, socket_options=options) as pool:
        fields = {f"X-{n}": "y" * 60_000 for n in range(5)}
        assert [len(data) for data in bodies(pool.pipeline(urls(4), headers=fields, retries=False))] == [300_000] * 4


# A connection that ends


@pytest.mark.parametrize("end", ["close", "half", "reset", "said"])
def test_requests_without_an_answer_go_out_again_the_first_alone(end: str) -> None:
    """RFC 9112 section 9.3.2: not pipelined before the first answer on the new connection."""
    last = answer(1, "Connection: close") if end == "said" else answer(1)
    ending = {"close": close(), "half": half_close(), "reset": reset(), "said": close()}[end]
    alone = threading.Event()

    def nothing_more(connection: Any) -> None:
        assert not connection.pending, "pipelined before the first answer"
        alone.set()

    again = [expect_request(), nothing_more, send(answer(2)), *asked(2), send(answers(3, 4))]
    first = [*asked(5), send(answer(0) + last), ending]
    with ScriptServer(first, again) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(5))) == expected(5)
        assert alone.is_set()
        assert pool.stats()["leased"] == 0
    assert server.opened == 2


def test_a_second_failure_ends_pipelining_with_this_endpoint() -> None:
    """A server that answers what came first on a connection and closes: two batches are tried, then it is known."""
    single: list[Step] = [expect_request(), send(answer(0)), close()]
    one_by_one = [[expect_request(), send(answer(n)), close()] for n in (2, 3, 4)]
    scripts = [
        [*asked(5), send(answer(0)), close()],
        [expect_request(), send(answer(1)), *asked(3), close()],  # 1 by itself; 2, 3, 4 behind an answer
        *one_by_one,
        *[single] * 2,
    ]
    with ScriptServer(*scripts) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(5))) == expected(5)
        assert bodies(pool.pipeline(["/0", "/0"])) == [b"0", b"0"]  # another pipeline of this pool knows it, too
    assert [targets(received) for received in server.received[2:]] == [[b"/2"], [b"/3"], [b"/4"], [b"/0"], [b"/0"]]


def test_a_connection_that_ends_after_many_answers_is_no_failure_to_pipeline() -> None:
    """Servers end connections after so many requests, some without a word: the last batch leaves in one send, too."""
    listener = Listener()
    with ScriptServer(honest_server(most=7), repeat=True) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(30), depth=2, retries=Retry(1), trace=listener)) == expected(30)
        listener.heard.clear()
        assert bodies(pool.pipeline(urls(4), depth=4, retries=Retry(1), trace=listener)) == expected(4)
    events = [event for event, _ in listener.heard if event in ("sent", "head")]
    assert "sent sent" in " ".join(events)


def test_a_request_goes_out_no_more_often_than_its_retries_allow() -> None:
    """Those behind the one that was due have been sent, too: with no retry left they are errors, each at its place."""
    with ScriptServer([*asked(3), close()], [expect_end()], repeat=True) as server, pool_for(server) as pool:
        given = list(pool.pipeline(urls(3), retries=Retry(0), return_exceptions=True))
    assert [type(error) for error in given] == [MaxRetryError] * 3
    assert server.opened == 1

    with ScriptServer([*asked(3), close()]) as server, pool_for(server) as pool:
        given = list(pool.pipeline(urls(3), retries=False, return_exceptions=True))
    assert [type(error) for error in given] == [ProtocolError] * 3
    assert "before this pipelined request was answered" in str(given[2])
    assert server.opened == 1


def test_a_kept_connection_that_was_dead_costs_no_retry() -> None:
    """As for a single request: nothing came at all, so the whole batch goes out again, and no retry is spent."""
    listener = Listener()
    with ScriptServer([*honest(9), *asked(2), close()], [expect_request(), send(answer(0)), *honest(1)]) as server:
        with pool_for(server) as pool:
            assert pool.urlopen("GET", "/9").data == b"9"
            assert bodies(pool.pipeline(urls(2), retries=Retry(1), trace=listener)) == expected(2)
    assert [event for event in listener.heard if event[0] in ("resent", "retried")] == [
        ("resent", "/0"),
        ("resent", "/1"),
    ]


def test_a_response_that_broke_off_is_an_error_of_its_request_alone() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    retry = Retry(3, retry_on=lambda method, met: False if str(met).startswith("('Connection broken") else None)
    with ScriptServer([*asked(3), finish(answer(0) + cut)], honest(2)) as server, pool_for(server) as pool:
        pipeline = pool.pipeline(urls(3), retries=retry)
        assert next(pipeline).data == b"0"
        with pytest.raises(ProtocolError, match="IncompleteRead"):
            next(pipeline)
        assert bodies(pipeline) == [b"2"]


def test_a_response_that_broke_off_is_tried_again_as_its_retry_says() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    with (
        ScriptServer([*asked(3), finish(answer(0) + cut)], [*honest(1), *honest(2)]) as server,
        pool_for(server) as pool,
    ):
        assert bodies(pool.pipeline(urls(3))) == expected(3)


@pytest.mark.parametrize(
    ("data", "keywords", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", {"max_response_size": 8}, ResponseTooLargeError),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", {}, DecodeError),
    ],
)
def test_a_body_that_is_refused_is_an_error_of_its_request_alone(
    data: bytes, keywords: Any, error: type[Exception]
) -> None:
    """This side ends the connection then; the others go out again at no cost, and pipelining goes on."""
    again = [expect_request(), send(answer(2)), *asked(2), send(answers(3, 4))]
    with ScriptServer([*asked(5), send(answer(0) + data)], again) as server, pool_for(server) as pool:
        given = list(pool.pipeline(urls(5), retries=Retry(1), return_exceptions=True, **keywords))
    assert type(given[1]) is error
    assert bodies([given[0], *given[2:]]) == [b"0", b"2", b"3", b"4"]
    assert server.opened == 2


def test_a_server_that_cannot_be_reached_is_an_error_of_each_request_at_its_place() -> None:
    with ScriptServer() as server:
        pass
    with pool_for(server) as pool:
        given = list(pool.pipeline(urls(3), retries=False, return_exceptions=True))
    assert [type(error) for error in given] == [NewConnectionError] * 3


def test_a_closed_pool_says_so() -> None:
    with HTTPConnectionPool("127.0.0.1", 1) as pool:
        pipeline = pool.pipeline(urls(1))
    with pytest.raises(ClosedPoolError):
        next(pipeline)


# Time


@pytest.mark.slow
def test_a_slow_answer_times_out_and_what_came_before_is_given_out() -> None:
    with ScriptServer([*asked(2), send(answer(0)), stall()], honest(1)) as server, pool_for(server) as pool:
        pipeline = pool.pipeline(urls(2), timeout=0.5, retries=False)
        assert next(pipeline).data == b"0"
        with pytest.raises(ReadTimeoutError):
            next(pipeline)
        assert pool.stats()["leased"] == 0


def test_a_deadline_ends_the_wait_for_an_answer() -> None:
    with ScriptServer([*asked(1), stall()]) as server, pool_for(server) as pool:
        with pytest.raises(DeadlineExceededError):
            next(pool.pipeline(urls(1), timeout=Timeout(deadline=0.05)))
        assert pool.stats()["leased"] == 0


def test_a_deadline_stands_still_while_the_caller_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect is followed when its response is asked for, however long the caller took over the one before."""
    passed = [0.0]
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + passed[0])
    moved = b"HTTP/1.1 302 Found\r\nLocation: /1\r\nContent-Length: 0\r\n\r\n"
    with (
        ScriptServer([*asked(2), send(answer(0) + moved), *honest(1)], limit_s=2000) as server,
        pool_for(server) as pool,
    ):
        pipeline = pool.pipeline(["/0", "/from"], timeout=Timeout(deadline=100))
        assert next(pipeline).data == b"0"
        passed[0] = 1000.0
        assert next(pipeline).data == b"1"


def test_a_deadline_stands_still_while_items_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins when a request is taken, and a batch is taken before it leaves: a slow query makes no request late."""
    passed = [0.0]
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + passed[0])

    def items() -> Iterator[str]:
        for url in urls(4):
            passed[0] += 100.0
            yield url

    with ScriptServer(honest(0, 1, 2, 3), limit_s=2000) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(items(), depth=2, timeout=Timeout(deadline=100))) == expected(4)


def test_a_repetition_waits_as_its_retry_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the batch with what was sent behind the request that failed, too."""
    waits: list[float] = []
    monkeypatch.setattr("poollib.policy.retry._sleep", waits.append)
    scripts = [[*asked(2), close()], [*honest(0), *honest(1)]]
    with ScriptServer(*scripts) as server, pool_for(server) as pool:
        retries = Retry(3, backoff_factor=0.5, jitter="full")
        assert bodies(pool.pipeline(urls(2), retries=retries)) == expected(2)
    assert len(waits) == 2


# Settings of the pool


@pytest.mark.parametrize("status_line", [b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nConnection: close"])
def test_a_server_that_keeps_no_connection_is_asked_on_new_ones(status_line: bytes) -> None:
    scripts: list[list[Step]] = [
        [*asked(1), send(status_line + b"\r\nContent-Length: 1\r\n\r\n%d" % n), close()] for n in range(4)
    ]
    scripts[0] = [*asked(4), *scripts[0][1:]]
    with ScriptServer(*scripts) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(4), retries=False)) == expected(4)
    assert server.opened == 4


def test_what_stood_behind_an_announced_close_goes_out_again_without_retries_too() -> None:
    """The server has not looked at it (RFC 9112 section 9.6)."""
    with ScriptServer([*asked(3), send(answer(0, "Connection: close")), close()], honest(1, 2)) as server:
        with pool_for(server, retries=False) as pool:
            assert bodies(pool.pipeline(urls(3))) == expected(3)


def test_a_chunked_body_that_ends_with_the_connection_ends_the_batch_at_no_cost() -> None:
    """A stream that ends right behind the last chunk is complete, and nothing follows."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n0\r\n"
    with ScriptServer([*asked(2), finish(data)], honest(1)) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(2), retries=False)) == expected(2)


def test_how_long_a_server_keeps_the_connection_is_known_from_its_last_answer() -> None:
    lasts = [answer(1, "Keep-Alive: timeout=7"), CHUNKED.replace(b"Transfer", b"Keep-Alive: timeout=7\r\nTransfer")]
    for last in lasts:
        with ScriptServer([*asked(2), send(answer(0) + last)]) as server, pool_for(server) as pool:
            assert len(list(pool.pipeline(urls(2)))) == 2
            conn = pool._get_conn()
            assert conn.idle_limit_s == 7
            pool._put_conn(conn)


def test_the_last_answer_says_how_long_the_connection_is_kept() -> None:
    last = answer(1, "Keep-Alive: timeout=1, max=0")
    with ScriptServer([*asked(2), send(answer(0) + last)], honest(2)) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(2))) == expected(2)
        assert pool.stats()["idle"] == 0  # max=0: it serves no more
        assert pool.urlopen("GET", "/2").data == b"2"


def test_an_open_circuit_refuses_each_request() -> None:
    with ScriptServer() as server:
        pass
    with pool_for(server, circuit_breaker=2) as pool:
        given = list(pool.pipeline(urls(4), retries=False, return_exceptions=True))
    assert [type(error) for error in given] == [NewConnectionError] * 2 + [CircuitOpenError] * 2


def test_a_budget_bounds_repetitions_of_all_requests_together() -> None:
    budget = RetryBudget(ratio=0.0, reserve=1.0)
    with ScriptServer([*asked(3), close()], [*honest(1)], repeat=True) as server, pool_for(server) as pool:
        given = list(pool.pipeline(urls(3), retries=Retry(3, budget=budget), return_exceptions=True))
    assert sum(isinstance(result, Exception) for result in given) == 2


def test_requests_go_through_a_forwarding_proxy_by_their_whole_urls() -> None:
    with ScriptServer([*asked(2), send(answers(0, 1))]) as server:
        with ProxyManager(server.url, proxy_headers={"X-Proxy": "1"}) as manager:
            pool = manager.connection_from_url("http://behind.example")
            whole = [f"http://behind.example{url}" for url in urls(2)]
            assert bodies(pool.pipeline(whole, assert_same_host=False)) == expected(2)
    first, second = server.received[0].split(b"\r\n\r\n")[:2]
    assert first.startswith(b"GET http://behind.example/0 HTTP/1.1\r\n")
    assert second.startswith(b"GET http://behind.example/1 HTTP/1.1\r\n")
    assert b"X-Proxy: 1" in second
    assert b"Host: behind.example\r\n" in second


def test_a_full_pool_is_waited_for_as_long_as_told() -> None:
    with ScriptServer([*asked(1), stall()]) as server, pool_for(server) as pool:
        held = pool._get_conn()
        with pytest.raises(EmptyPoolError):
            next(pool.pipeline(urls(1), pool_timeout=0.01))
        pool._put_conn(held)


# Answers that can't be told apart

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
DESYNCED = {
    "one response too many": answer(0) + EVIL + answers(1, 2, 3),
    "a body longer than its length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0" + EVIL + answers(1, 2, 3),
    "a 204 with a body": b"HTTP/1.1 204 No\r\nContent-Length: 45\r\n\r\n" + EVIL + answers(1, 2, 3),
    "a 304 with a body": b"HTTP/1.1 304 No\r\n\r\n" + EVIL + answers(1, 2, 3),
    "junk between answers": answer(0) + b"junk" + answers(1, 2, 3),
    "surplus behind the last": answers(0, 1, 2, 3) + b"\r\n",
    "a response behind the last": answers(0, 1, 2, 3) + EVIL,
    "two lengths": answer(0) + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nevil" + answers(2, 3),
    "a bad chunk": answer(0) + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nevil\r\n" + answers(2, 3),
    "hidden behind a body without a length": answer(0) + b"HTTP/1.1 200 OK\r\n\r\nevil" + answers(1, 2, 3),
    "hidden behind a close": answer(0) + EVIL.replace(b"OK", b"OK\r\nConnection: close") + answers(1, 2, 3),
    "a switch of protocols": answer(0) + b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n" + EVIL,
}


#: Where the bytes themselves show it; where it is the number of answers, what is too much must be there to be seen.
BY_BYTES = ("junk between answers", "two lengths", "a bad chunk", "hidden behind a body without a length")


@pytest.mark.parametrize(("case", "by"), [*((case, 100_000) for case in DESYNCED), *((case, 1) for case in BY_BYTES)])
def test_an_answer_that_may_be_another_requests_is_never_given_out(case: str, by: int) -> None:
    """All but the first answer of such a batch are asked for again, where there is nothing to mix them up with."""
    data = DESYNCED[case]
    first = {"a 204 with a body": b"", "a 304 with a body": b""}.get(case, b"0")
    with (
        ScriptServer([*asked(4), send_slowly(data, by)], honest_server(), repeat=True) as server,
        pool_for(server) as pool,
    ):
        given = bodies(pool.pipeline(urls(4)))
    assert given == [first, b"1", b"2", b"3"]


def test_bytes_that_lie_on_the_socket_behind_the_last_answer_are_seen() -> None:
    """The body of the last answer is received alone, to its last byte."""
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
    script = [*asked(2), send(answer(0) + large + b"\r\n")]
    with ScriptServer(script, honest_server(), repeat=True) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(2))) == expected(2)


def test_an_answer_to_head_with_a_body_shifts_nothing() -> None:
    data = answer(0) + EVIL + answers(2, 3)
    items = ["/0", ("HEAD", "/1"), "/2", "/3"]
    with ScriptServer([*asked(4), send(data)], honest_server(), repeat=True) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(items)) == [b"0", b"", b"2", b"3"]


def test_a_response_that_nobody_asked_for_yet_ends_the_connection() -> None:
    """It lies there before the next batch is sent, so that batch goes elsewhere."""
    sent = threading.Event()
    script = [*asked(2), send(answers(0, 1)), stall(sent), send(EVIL), *asked(0)]
    with ScriptServer(script, [*asked(2), send(answers(2, 3))]) as server, pool_for(server) as pool:
        pipeline = pool.pipeline(urls(4), depth=2)
        assert bodies([next(pipeline), next(pipeline)]) == [b"0", b"1"]
        sent.set()
        wait_until_readable(pool)
        assert bodies(pipeline) == [b"2", b"3"]


# By the usual loop


def test_redirects_are_followed_one_by_one() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /1\r\nContent-Length: 0\r\n\r\n"
    script = [*asked(3), send(answer(0) + moved + answer(2)), *honest(1)]
    with ScriptServer(script) as server, pool_for(server) as pool:
        first, second, third = pool.pipeline(["/0", "/from", "/2"])
        assert bodies([first, second, third]) == expected(3)
        assert second.url == "/1"
        assert second.retries is not None
        assert len(second.retries.history) == 1
    with ScriptServer([*asked(1), send(moved)]) as server, pool_for(server) as pool:
        assert [response.status for response in pool.pipeline(["/from"], redirect=False)] == [302]


def test_statuses_are_tried_again_as_the_retry_says() -> None:
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    script = [*asked(3), send(answer(0) + busy + answer(2)), expect_request(), send(busy), *honest(1)]
    with ScriptServer(script) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(3), retries=Retry(3, status_forcelist=[503]))) == expected(3)


def test_a_program_s_own_methods_are_called_for_each_request() -> None:
    asked_for: list[str] = []

    class Pool(HTTPConnectionPool):
        def urlopen(self, method: str, url: str, *args: Any, **kw: Any) -> Any:  # type: ignore[override]
            asked_for.append(url)
            return super().urlopen(method, url, *args, **kw)

    with ScriptServer([*honest(0), *honest(1)]) as server, Pool(server.host, server.port) as pool:
        assert bodies(pool.pipeline(urls(2))) == expected(2)
    assert asked_for == urls(2)


def test_methods_of_http_client_that_an_agent_has_replaced_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    import http.client

    lines: list[str] = []
    original = http.client.HTTPConnection.putrequest

    def putrequest(self: Any, method: str, url: str, *args: Any, **kw: Any) -> Any:
        lines.append(url)
        return original(self, method, url, *args, **kw)

    monkeypatch.setattr(http.client.HTTPConnection, "putrequest", putrequest)
    with ScriptServer([*honest(0), *honest(1)]) as server, pool_for(server) as pool:
        assert bodies(pool.pipeline(urls(2))) == expected(2)
    assert lines == urls(2)


class Listener(Trace):
    """Writes down what happens to each request."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, object]] = []

    def connection_opened(self, endpoint: object, connection: object) -> None:
        self.heard.append(("opened", None))

    def connection_returned(self, endpoint: object, connection: object) -> None:
        self.heard.append(("returned", None))

    def head_sent(self, method: str, target: str) -> None:
        self.heard.append(("sent", target))

    def first_byte(self, method: str, target: str) -> None:
        self.heard.append(("first byte", target))

    def head_read(self, status: int, reason: str) -> None:
        self.heard.append(("head", status))

    def body_ended(self, reusable: bool) -> None:
        self.heard.append(("body", reusable))

    def resent(self, method: str, target: str, error: BaseException) -> None:
        self.heard.append(("resent", target))

    def retried(self, method: str, target: str, reason: object, wait_s: float) -> None:
        self.heard.append(("retried", target))


def test_a_listener_hears_of_each_request() -> None:
    listener = Listener()
    with ScriptServer([*asked(2), send(answers(0, 1))]) as server, pool_for(server, trace=listener) as pool:
        assert bodies(pool.pipeline(urls(2))) == expected(2)
    assert listener.heard == [
        ("opened", None),
        ("sent", "/0"),
        ("sent", "/1"),
        ("first byte", "/0"),
        ("head", 200),
        ("body", True),
        ("first byte", "/1"),
        ("head", 200),
        ("body", True),
        ("returned", None),
    ]


def test_a_pipeline_is_for_one_thread_at_a_time() -> None:
    inside: list[Any] = []

    def items() -> Iterator[str]:
        with pytest.raises(RuntimeError, match="each thread needs one of its own"):
            next(inside[0])
        yield "/0"

    with ScriptServer(honest(0)) as server, pool_for(server) as pool:
        inside.append(pool.pipeline(items()))
        assert bodies(inside[0]) == [b"0"]


def test_an_interrupt_ends_the_pipeline_and_frees_the_connection() -> None:
    def items() -> Iterator[str]:
        yield "/0"
        raise KeyboardInterrupt

    with pool_for(type("Server", (), {"host": "127.0.0.1", "port": 1})) as pool:
        pipeline = pool.pipeline(items())
        with pytest.raises(KeyboardInterrupt):
            next(pipeline)
        assert list(pipeline) == []
        assert pool.stats()["leased"] == 0


def test_an_iterable_may_close_its_pipeline() -> None:
    """What it gave last is not sent, and nothing is given out any more."""
    opened = []

    def items() -> Iterator[str]:
        yield "/0"
        opened[0].close()
        yield "/1"
        raise AssertionError("asked for more")

    with ScriptServer(honest(0), repeat=True) as server, pool_for(server) as pool:
        opened.append(pool.pipeline(items()))
        assert bodies(opened[0]) == []
        assert server.received == []


def test_a_listener_may_close_a_pipeline_while_a_batch_is_under_way() -> None:
    opened = []

    class Closing(Trace):
        def first_byte(self, method: str, target: str) -> None:
            opened[0].close()

    with ScriptServer([*asked(2), send(answers(0, 1))]) as server, pool_for(server) as pool:
        opened.append(pool.pipeline(urls(4), depth=2, trace=Closing()))
        assert bodies(opened[0]) == []
        assert pool.stats()["leased"] == 0


@pytest.mark.parametrize("by_hooks", [False, True])
def test_fields_of_an_item_are_those_it_had_when_it_was_given(by_hooks: bool) -> None:
    """A program may use one dict for all items; also where a request goes out alone, or once more."""

    def items() -> Iterator[tuple[str, str, dict[str, str]]]:
        fields: dict[str, str] = {}
        for n in range(3):
            fields["X-Id"] = str(n)
            yield "GET", f"/{n}", fields

    def as_it_is(request: Any, send_on: Any) -> Any:
        return send_on(request)

    cut = [*asked(1), send(answer(0, "Connection: close")), close()]
    script = [honest(0, 1, 2)] if by_hooks else [cut, honest(1, 2)]
    with ScriptServer(*script) as server, pool_for(server, hooks=[as_it_is] if by_hooks else None) as pool:
        assert bodies(pool.pipeline(items())) == expected(3)
    heads = b"".join(server.received).split(b"\r\n\r\n")
    ids = {head.split(b" ", 2)[1]: head.partition(b"X-Id: ")[2][:1] for head in heads if head}
    assert ids == {b"/0": b"0", b"/1": b"1", b"/2": b"2"}


def test_requests_sent_one_by_one_leave_the_circuit_to_their_own_attempts() -> None:
    """A batch that was not sent says nothing: no success, and no probe that never ends."""

    def as_it_is(request: Any, send_on: Any) -> Any:
        return send_on(request)

    with ScriptServer() as gone:
        pass
    for failure in (None, lambda outcome: None):
        breaker = CircuitBreaker(2, 0.0, failure)
        with pool_for(gone, circuit_breaker=breaker, hooks=[as_it_is], retries=False) as pool:
            list(pool.pipeline(urls(2), depth=1, return_exceptions=True))
            assert pool.health()["circuit"] == {
                "state": "open",
                "consecutive_failures": 2,
                "opened": 1,
                "refused": 0,
            }
            given = list(pool.pipeline(urls(2), depth=1, return_exceptions=True))  # the pause is over: each one probes
            assert [type(error) for error in given] == [NewConnectionError] * 2


def test_what_a_breakers_failure_raises_stands_in_its_answers_place() -> None:
    def judge(outcome: Any) -> bool:
        if outcome.data == b"1":
            raise LookupError("no idea")
        return False

    with ScriptServer([*asked(3), send(answers(0, 1, 2))]) as server:
        with pool_for(server, circuit_breaker=CircuitBreaker(failure=judge)) as pool:
            told = Listener()
            given = list(pool.pipeline(urls(3), return_exceptions=True, trace=told))
    assert [getattr(result, "data", str(result)) for result in given] == [b"0", "no idea", b"2"]


@pytest.mark.parametrize("where", ["hooks", "circuit_breaker"])
def test_a_stop_iteration_of_a_programs_own_code_is_not_the_end(where: str) -> None:
    def broken(*arguments: Any) -> Any:
        return next(iter(()))

    options = {"hooks": [broken]} if where == "hooks" else {"circuit_breaker": CircuitBreaker(failure=broken)}
    with ScriptServer([*asked(1), send(answer(0))]) as server, pool_for(server, **options) as pool:
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            list(pool.pipeline(urls(1)))


def test_answers_before_a_connection_failed_count_for_the_circuit() -> None:
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    breaker = CircuitBreaker(2, 60.0, lambda outcome: getattr(outcome, "status", 0) == 503)
    with ScriptServer([expect_request(), send(busy), *asked(2), send(busy), close()]) as server:
        with pool_for(server, circuit_breaker=breaker, retries=False) as pool:
            list(pool.pipeline(urls(1)))
            list(pool.pipeline(urls(2), return_exceptions=True))
            assert pool.health()["circuit"]["opened"] == 1
