"""Responses as a pool reads them: what is believed, what ends the connection, and that every slot comes back."""

from __future__ import annotations

import contextlib
import gc
import gzip
import os
import threading
import time
from typing import Any

import pytest

import poollib.response
from poollib import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from poollib.connection import HTTPConnection
from poollib.exceptions import (
    DecodeError,
    HTTPError,
    InvalidFramingError,
    InvalidResponseError,
    ProtocolError,
    ReadTimeoutError,
    ResponseTooLargeError,
)
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.http1.sse import Event
from tests.support.certs import certs
from tests.support.script import (
    ScriptServer,
    Step,
    close,
    cut,
    expect,
    expect_end,
    expect_head,
    expect_request,
    reset,
    respond,
    send,
    send_slowly,
    stall,
)

OK = b"HTTP/1.1 200 OK\r\n"
CODED = gzip.compress(os.urandom(100_000))  # more than one step of reading: some is left when the limit is met
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def pool_for(server: ScriptServer, **options: Any) -> HTTPConnectionPool:
    options = {"maxsize": 1, "block": True, "timeout": 5.0, "retries": False, **options}
    if server.tls is not None:
        return HTTPSConnectionPool(server.host, server.port, ca_certs=certs().ca_file, **options)
    return HTTPConnectionPool(server.host, server.port, **options)


def has_all_slots(pool: HTTPConnectionPool, idle: int) -> bool:
    """Whether nothing is lent; ``idle`` connections were kept."""
    pool._endpoint_pool.check()
    stats = pool._endpoint_pool.stats()
    return (stats.leased, stats.idle, stats.opening) == (0, idle, 0)


def answer(data: bytes, then: Step | None = None) -> list[Step]:
    return [expect_request(), send(data), *([then] if then else [])]


# One response for one request


def test_every_interim_response_is_read_past_and_kept() -> None:
    """RFC 9110 section 15.2; none of them is ever the answer, so the next request gets its own."""
    first = b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
    script = [*answer(first + OK + b"Content-Length: 1\r\n\r\n1"), *answer(OK + b"Content-Length: 1\r\n\r\n2")]
    heard: list[Any] = []

    class Listener(poollib.Trace):
        def interim_read(self, status: int, fields: list[tuple[str, str]]) -> None:
            heard.append((status, fields))

    with ScriptServer(script) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", trace=Listener())
        assert (response.status, response.data) == (200, b"1")
        links = [("Link", "</a>"), ("Link", "</b>")]
        assert response.interim == ((100, []), (102, []), (103, links))
        assert heard == list(response.interim)
        second = pool.request("GET", "/")
        assert (second.data, second.interim) == (b"2", ())
        assert has_all_slots(pool, 1)


def test_interim_responses_may_drip_in() -> None:
    data = b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok"
    with ScriptServer([expect_request(), send_slowly(data)]) as server, pool_for(server) as pool:
        response = pool.request("GET", "/")
        assert (response.data, len(response.interim)) == (b"ok", 1)
        assert has_all_slots(pool, 1)


def test_interim_responses_have_a_limit() -> None:
    early = b"HTTP/1.1 102 Wait\r\n\r\n"
    end = OK + b"Content-Length: 0\r\n\r\n"
    with ScriptServer(answer(early * 32 + end), answer(early * 33 + end)) as server, pool_for(server) as pool:
        assert len(pool.request("GET", "/").interim) == 32
        pool.close()
    with ScriptServer(answer(early * 33 + end)) as server, pool_for(server) as pool:
        with pytest.raises(InvalidResponseError, match="more than 32 interim"):
            pool.request("GET", "/")
        assert has_all_slots(pool, 0)


@pytest.mark.parametrize(
    ("method", "data", "content"),
    [
        ("GET", OK + b"Content-Length: 2\r\n\r\nok", b"ok"),
        ("GET", CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"ok"),
        ("HEAD", OK + b"Content-Length: 2\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Same\r\nContent-Length: 2\r\n\r\n", b""),
    ],
    ids=["length", "chunked", "HEAD", "204", "304"],
)
@pytest.mark.parametrize("preload", [True, False])
def test_bytes_behind_a_response_reach_nobody(method: str, data: bytes, content: bytes, preload: bool) -> None:
    evil = OK + b"Content-Length: 4\r\n\r\nevil"
    with ScriptServer(answer(data + evil, expect_end()), answer(OK + b"Content-Length: 4\r\n\r\ngood")) as server:
        with pool_for(server) as pool:
            response = pool.request(method, "/", preload_content=preload)
            assert response.read() == content if not preload else response.data == content
            assert has_all_slots(pool, 0)
            assert pool.request("GET", "/").data == b"good"
    assert server.opened == 2


def test_bytes_that_come_on_an_idle_connection_end_it() -> None:
    unasked = threading.Event()
    first = [expect_request(), respond(b"1"), stall(unasked), send(OK + b"Content-Length: 4\r\n\r\nevil"), expect_end()]
    with ScriptServer(first, [expect_request(), respond(b"2")]) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"1"
        unasked.set()
        for _ in range(1000):
            if not pool._endpoint_pool.idle_connections()[0].is_reusable():
                break
            time.sleep(0.001)
        assert pool.request("GET", "/").data == b"2"


@pytest.mark.parametrize(
    ("fields", "asked", "idle"),
    [
        ("HTTP/1.1 200 OK\r\nConnection: close", {}, 0),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close", {}, 0),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive", {}, 0),
        ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: x\r\nConnection: close", {}, 0),
        ("HTTP/1.1 200 OK", {"Connection": "close"}, 0),
        ("HTTP/1.1 200 OK", {"Connection": "TE, close"}, 0),
        ("HTTP/1.1 200 OK", {"Connection": "keep-alive"}, 1),
        ("HTTP/1.0 200 OK", {}, 0),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive", {}, 1),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive", {"Connection": "close"}, 0),
        ("HTTP/1.1 200 OK\r\nKeep-Alive: max=0", {}, 0),
        ("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0", {}, 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("preload", [True, False])
def test_keep_alive_is_a_matter_of_both_sides(fields: str, asked: dict[str, str], idle: int, preload: bool) -> None:
    """RFC 9112 section 9.3."""
    data = fields.encode() + b"\r\nContent-Length: 2\r\n\r\nok"
    with ScriptServer(answer(data)) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", headers=asked, preload_content=preload)
        assert (response.data if preload else response.read()) == b"ok"
        assert has_all_slots(pool, idle)


# Nothing incomplete is complete


@pytest.mark.parametrize("end", [close(), cut(), reset()], ids=["close", "cut", "reset"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 20",
        OK + b"A: b\r\n",
        OK + b"Content-Length: 9\r\n\r\n",
        OK + b"Content-Length: 9\r\n\r\nhell",
        CHUNKED + b"9\r\nhell",
        CHUNKED + b"4\r\nhell\r\n",
    ],
    ids=["nothing", "status", "head", "no body", "length", "chunk", "chunks"],
)
@pytest.mark.parametrize("way", ["preload", "read all", "read some", "read into"])
def test_a_response_that_is_cut_short_is_an_error(data: bytes, end: Step, tls: bool, way: str) -> None:
    with (
        ScriptServer(answer(data, end), tls=certs().server() if tls else None) as server,
        pool_for(server) as pool,
    ):
        with pytest.raises(ProtocolError):
            response = pool.request("GET", "/", preload_content=way == "preload")
            response.readinto(bytearray(9)) if way == "read into" else response.read(9 if way == "read some" else None)
        assert has_all_slots(pool, 0)


def test_a_byte_too_many_in_the_last_tls_record_keeps_the_connection_from_serving_again() -> None:
    """It is decrypted with the body, so that the socket itself has nothing to read."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    script = [expect_request(), send(head), send(b"helloX"), expect_end()]
    with ScriptServer(script, answer(head + b"again"), tls=certs().server()) as server, pool_for(server) as pool:
        assert pool.urlopen("GET", "/").data == b"hello"
        assert pool.urlopen("GET", "/").data == b"again"
        assert pool.num_connections == 2


def test_a_body_until_close_over_tls_needs_a_close_notify() -> None:
    """RFC 9112 section 9.8: without one anybody on the way may have cut it."""
    data = OK + b"\r\nhello"
    tls = certs().server()
    with ScriptServer(answer(data, close()), answer(data, cut()), tls=tls) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"hello"
        with pytest.raises(ProtocolError):
            pool.request("GET", "/")
        assert has_all_slots(pool, 0)
    with ScriptServer(answer(data, close()), answer(data, reset())) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"hello"
        with pytest.raises(ProtocolError):
            pool.request("GET", "/")
        assert has_all_slots(pool, 0)


@pytest.mark.parametrize("how", ["read", "read1", "readinto", "readinto1"])
def test_a_closed_response_gives_nothing_though_it_was_being_decoded(how: str) -> None:
    head, data, _ = framed(os.urandom(100_000), "gzip")
    with ScriptServer(answer(head + data)) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", preload_content=False)
        assert len(response.read(10)) == 10
        response.close()
        assert not getattr(response, how)(bytearray(10) if "into" in how else 10)


@pytest.mark.parametrize("how", ["readinto", "readinto1"])
@pytest.mark.parametrize("buffer", [b"12345", "12345", memoryview(b"12345"), 5])
def test_what_cannot_be_read_into_loses_no_byte(buffer: Any, how: str) -> None:
    """A mistake of the caller's: the body goes on where it was."""
    with ScriptServer(answer(OK + b"Content-Length: 5\r\n\r\nhello")) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", preload_content=False)
        with pytest.raises(TypeError, match=r"must be writable|bytes-like"):
            getattr(response, how)(buffer)
        assert response.read() == b"hello"
        assert has_all_slots(pool, 1)


def framed(data: bytes, framing: str) -> tuple[bytes, bytes, bytes]:
    """A response with that body as it is sent: its head, its body, what stands behind."""
    if framing == "gzip":
        data = gzip.compress(data)
    length = b"Content-Length: %d\r\n" % len(data)
    fields = {"length": length, "gzip": length + b"Content-Encoding: gzip\r\n", "until close": b""}
    if framing == "chunked":
        return CHUNKED + b"%x\r\n" % len(data), data, b"\r\n0\r\n\r\n"
    return OK + fields[framing] + b"\r\n", data, b""


@pytest.mark.parametrize("timeout_s", [None, 5.0])
@pytest.mark.parametrize("framing", ["length", "chunked", "gzip", "until close"])
def test_a_buffer_is_filled_whole_however_the_bytes_come(framing: str, timeout_s: float | None) -> None:
    """readinto is read into memory of the caller's: less than all only at the end."""
    text = os.urandom(10_000)
    head, data, end = framed(text, framing)
    slowly = [expect_request(), send(head), send_slowly(data, by=4000, pause_s=0.01), send(end), close()]
    with ScriptServer(slowly) as server, pool_for(server, timeout=timeout_s) as pool:
        response = pool.request("GET", "/", preload_content=False)
        buffer = bytearray(8192)
        assert (response.readinto(buffer), buffer) == (8192, text[:8192])
        assert response.readinto(bytearray(0)) == 0
        assert (response.readinto(buffer), buffer[:1808]) == (1808, text[8192:])
        assert response.readinto(buffer) == 0
        assert has_all_slots(pool, int(framing != "until close"))


@pytest.mark.parametrize("timeout_s", [None, 5.0])
@pytest.mark.parametrize("framing", ["length", "chunked", "gzip", "until close"])
def test_readinto1_waits_for_no_more_than_has_come(framing: str, timeout_s: float | None) -> None:
    """It is read1 into memory of the caller's."""
    text = os.urandom(10_000)
    head, data, end = framed(text, framing)
    seen = threading.Event()
    halves = [expect_request(), send(head + data[:4000]), stall(seen), send(data[4000:] + end), close()]
    with ScriptServer(halves) as server, pool_for(server, timeout=timeout_s) as pool:
        response = pool.request("GET", "/", preload_content=False)
        buffer = bytearray(8192)
        n = response.readinto1(buffer)
        assert 0 < n <= 4000
        seen.set()
        got = buffer[:n]
        while n := response.readinto1(buffer):
            got += buffer[:n]
        assert got == text
        assert has_all_slots(pool, int(framing != "until close"))


@pytest.mark.parametrize("how", ["data", "stream", "read1", "readinto", "readinto1"])
def test_a_gzip_body_that_is_cut_short_is_an_error(how: str) -> None:
    coded = gzip.compress(b"x" * 1000)[:-4]
    data = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(coded) + coded
    with ScriptServer(answer(data)) as server, pool_for(server) as pool:
        with pytest.raises(DecodeError):
            response = pool.request("GET", "/", preload_content=how == "data")
            if how == "stream":
                list(response.stream(100))
            elif "into" in how:
                while getattr(response, how)(bytearray(100)):
                    pass
            else:
                while response.read1(100):
                    pass
        assert pool._endpoint_pool.stats().leased == 0


def test_more_codings_than_five_free_the_slot() -> None:
    data = OK + b"Content-Encoding: gzip,gzip,gzip\r\nContent-Encoding: gzip,gzip,gzip\r\nContent-Length: 3\r\n\r\nabc"
    with ScriptServer(answer(data), answer(data)) as server, pool_for(server) as pool:
        for preload in (True, False):
            with pytest.raises(DecodeError):
                list(pool.request("GET", "/", preload_content=preload).stream())
            assert has_all_slots(pool, 0)


# 101 and CONNECT


@pytest.mark.parametrize("preload", [True, False])
def test_101_hands_the_socket_over_with_what_came_already(preload: bool) -> None:
    """RFC 9110 section 7.8; the slot is free again at once."""
    head = b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nContent-Length: 7\r\n\r\n"
    script = [expect_request(), send(head + b"first"), expect(b"ping"), send(b"pong"), expect_end()]
    with ScriptServer(script, [expect_request(), respond(b"ok")]) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", headers={"Upgrade": "x", "Connection": "upgrade"}, preload_content=preload)
        assert (response.status, response.data) == (101, b"")
        assert pool._endpoint_pool.stats().leased == 1
        sock, data = response.detach()
        with sock:
            assert data + sock.recv(5 - len(data)) == b"first"
            assert has_all_slots(pool, 0)
            assert pool.request("GET", "/").data == b"ok"
            sock.sendall(b"ping")
            assert sock.recv(4) == b"pong"
        with pytest.raises(ValueError, match="hands no socket over"):
            response.detach()


def test_101_that_is_not_detached_gives_its_slot_back_when_closed_or_dropped() -> None:
    head = b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"
    script = [expect_request(), send(head), expect_end()]
    with ScriptServer(script, script) as server, pool_for(server) as pool:
        response: Any = pool.request("GET", "/", headers={"Upgrade": "x"})
        response.close()
        assert has_all_slots(pool, 0)
        response = pool.request("GET", "/", headers={"Upgrade": "x"})
        del response
        gc.collect()
        assert has_all_slots(pool, 0)


def test_101_that_nobody_asked_for_is_refused() -> None:
    with ScriptServer(answer(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", expect_end())) as server:
        with pool_for(server) as pool:
            with pytest.raises(InvalidResponseError, match="nobody asked for"):
                pool.request("GET", "/")
            assert has_all_slots(pool, 0)


def test_an_upgrade_that_is_declined_is_an_ordinary_response() -> None:
    with ScriptServer([expect_request(), respond(b"no"), expect_request(), respond(b"ok")]) as server:
        with pool_for(server) as pool:
            response = pool.request("GET", "/", headers={"Upgrade": "x", "Connection": "upgrade"})
            assert response.data == b"no"
            with pytest.raises(ValueError, match="hands no socket over"):
                response.detach()
            assert pool.request("GET", "/").data == b"ok"
            assert has_all_slots(pool, 1)


@pytest.mark.parametrize("fields", [b"Content-Length: -1", b"Content-Length: 5, 6", b"Transfer-Encoding: gzip"])
@pytest.mark.parametrize(("method", "status"), [("HEAD", b"200 OK"), ("GET", b"204 No"), ("GET", b"304 Same")])
def test_an_answer_without_a_body_needs_no_framing(method: str, status: bytes, fields: bytes) -> None:
    """RFC 9112 section 6.3 rule 1. What such a server sends next is not believed."""
    with ScriptServer(answer(b"HTTP/1.1 %b\r\n%b\r\n\r\n" % (status, fields)), answer(OK + b"\r\n", close())) as server:
        with pool_for(server) as pool:
            response = pool.request(method, "/")
            assert (response.status, response.data) == (int(status[:3]), b"")
            assert has_all_slots(pool, 0)
            assert pool.request("GET", "/").status == 200


def test_a_body_without_framing_is_refused_and_frees_the_slot() -> None:
    script = [*answer(OK + b"Content-Length: 5, 6\r\n\r\nhello"), expect_end()]
    with ScriptServer(script) as server, pool_for(server) as pool:
        with pytest.raises(InvalidFramingError, match="'5, 6'"):
            pool.request("GET", "/")
        assert has_all_slots(pool, 0)


def test_a_body_that_is_said_to_be_in_no_coding_ends_with_the_connection() -> None:
    """``Transfer-Encoding: identity``: RFC 9112 section 6.3 rule 4."""
    script = answer(OK + b"Transfer-Encoding: identity\r\n\r\nhello", close())
    with ScriptServer(script) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"hello"
        assert has_all_slots(pool, 0)


def test_a_later_minor_version_is_read_as_the_highest_known() -> None:
    """RFC 9110 section 2.5."""
    script = answer(b"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello") * 2
    with ScriptServer(script) as server, pool_for(server) as pool:
        for _ in range(2):
            response = pool.request("GET", "/")
            assert (response.data, response.version, response.version_string) == (b"hello", 11, "HTTP/1.1")
        assert has_all_slots(pool, 1)


def test_connect_hands_the_socket_over_and_a_refused_one_ends_the_connection() -> None:
    """RFC 9110 section 9.3.6; CVE-2026-56866: nothing follows a CONNECT on the same connection."""
    tunnel = [expect_head(), send(b"HTTP/1.1 103 E\r\n\r\n" + OK + b"Content-Length: 9\r\n\r\nfirst"), expect(b"x")]
    with ScriptServer(tunnel, [expect_head(), respond(b"no", "403 No"), expect_end()]) as server:
        connection = HTTPConnection(server.host, server.port, timeout=5)
        connection.request("CONNECT", "example.org:443")
        response = connection.getresponse()
        assert (response.status, response.data) == (200, b"")
        sock, data = response.detach()
        with sock:
            sock.sendall(b"x")
        assert (data, connection.sock) in ((b"first", None), (b"", None))
        connection.request("CONNECT", "example.org:443")
        response = connection.getresponse()
        assert (response.status, response.data) == (403, b"no")
        assert connection.is_closed or not connection.is_reusable_state()
        connection.close()


# Reading


def test_trailers_are_there_when_the_body_was_read() -> None:
    data = CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nContent-Length: 9\r\n\r\n"
    with ScriptServer(answer(data) * 2) as server, pool_for(server) as pool:
        response = pool.request("GET", "/")
        assert list(response.trailers.items()) == [("X-Sum", "1"), ("X-Sum", "2"), ("Content-Length", "9")]
        assert "X-Sum" not in response.headers
        response = pool.request("GET", "/", preload_content=False)
        assert not response.trailers
        response.drain_conn()
        assert response.trailers["x-sum"] == "1, 2"
        assert has_all_slots(pool, 1)


def test_trailers_that_never_end_are_refused_although_each_comes_in_time() -> None:
    """Without a deadline nothing else ends such a request: the read timeout begins anew with each of them."""
    script = [expect_request(), send(CHUNKED + b"2\r\nok\r\n0\r\n"), send_slowly(b"A: b\r\n" * 11, 6, 0.001), stall()]
    limits = DEFAULT_LIMITS._replace(trailer_lines=10)
    with ScriptServer(script) as server, pool_for(server, limits=limits) as pool:
        with pytest.raises(InvalidResponseError, match="more than 10 trailer lines"):
            pool.request("GET", "/", retries=False)
        assert has_all_slots(pool, 0)


def test_lines_come_one_by_one_without_their_ends() -> None:
    steps = [send(b"5\r\none\r\n\r\n"), send(b"a\r\ntwo\nthr\ree\r\n"), send(b"5\r\n\n\r\n\nx\r\n0\r\n\r\n")]
    with ScriptServer([expect_request(), send(CHUNKED), *steps]) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", preload_content=False)
        assert list(response.iter_lines()) == [b"one", b"two", b"thr\ree", b"", b"", b"x"]
        assert has_all_slots(pool, 1)


def test_a_line_is_there_as_soon_as_its_end_is_in() -> None:
    seen = threading.Event()
    script = [expect_request(), send(CHUNKED + b"4\r\none\n"), stall(seen), send(b"\r\n4\r\ntwo\n\r\n0\r\n\r\n")]
    with ScriptServer(script) as server, pool_for(server) as pool:
        lines = pool.request("GET", "/", preload_content=False).iter_lines()
        assert next(lines) == b"one"
        seen.set()
        assert list(lines) == [b"two"]


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "gzip"])
def test_an_event_is_there_as_soon_as_its_blank_line_is_in(coded: bool) -> None:
    seen = threading.Event()
    parts = [
        b"\xef\xbb\xbfid: 1\rdata: a\rdata: b\r\r",
        b"event: e\r\ndata: \xc3\xa9\r\nretry: 7\r\n\r\n",
        b"data: never ended",
    ]
    if coded:
        import zlib

        press = zlib.compressobj(wbits=31)
        parts = [press.compress(part) + press.flush(zlib.Z_SYNC_FLUSH) for part in parts]
        parts[-1] += press.flush()
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") if coded else CHUNKED
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    script = [expect_request(), send(head + chunks[0]), stall(seen), send(b"".join(chunks[1:]) + b"0\r\n\r\n")]
    with ScriptServer(script) as server, pool_for(server) as pool:
        events = pool.request("GET", "/", preload_content=False).events()
        assert next(events) == Event("message", "a\nb", "1")
        seen.set()
        assert list(events) == [Event("e", "é", "1", 7)]
        assert has_all_slots(pool, 1)


def test_an_event_beyond_the_limit_is_an_error_and_frees_the_slot() -> None:
    data = OK + b"\r\n" + b"data: " + b"x" * 1_100_000
    with ScriptServer(answer(data, stall())) as server, pool_for(server) as pool:
        with pytest.raises(InvalidResponseError, match="event stream"):
            list(pool.request("GET", "/", preload_content=False).events())
        assert has_all_slots(pool, 0)


# Limits


@pytest.mark.parametrize("where", ["pool", "request"])
@pytest.mark.parametrize("preload", [True, False], ids=["preload", "stream"])
@pytest.mark.parametrize(
    ("option", "data"),
    [
        ("max_response_size", OK + b"Content-Length: 101\r\n\r\n" + b"x" * 101),
        ("max_response_size", CHUNKED + b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n"),
        ("max_response_size", CHUNKED + b"1\r\nx\r\n" * 101 + b"0\r\n\r\n"),
        ("max_response_size", OK + b"\r\n" + b"x" * 101),
        ("max_decoded_size", OK + b"Content-Length: 101\r\n\r\n" + b"x" * 101),
        (
            "max_decoded_size",
            OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(CODED) + CODED,
        ),
    ],
    ids=["length", "chunk", "chunks", "until close", "decoded plain", "decoded gzip"],
)
def test_a_body_beyond_its_limit_raises_and_drops_the_connection(
    option: str, data: bytes, preload: bool, where: str
) -> None:
    wish = {option: 100}
    with (
        ScriptServer(answer(data, expect_end())) as server,
        pool_for(server, **(wish if where == "pool" else {})) as pool,
    ):
        with pytest.raises(ResponseTooLargeError) as caught:
            list(pool.request("GET", "/", preload_content=preload, **(wish if where == "request" else {})).stream(10))
        assert caught.value.limit_bytes == 100
        assert has_all_slots(pool, 0)


@pytest.mark.parametrize(
    "body", [b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"Content-Length: 3\r\n\r\nabc"]
)
def test_pieces_of_negative_size_have_no_limit(body: bytes) -> None:
    """As for ``read``; a chunked body went round and round."""
    with ScriptServer([expect_request(), send(OK + body)]) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", preload_content=False)
        assert list(response.stream(-1)) == [b"abc"]


@pytest.mark.parametrize("name", ["max_response_size", "max_decoded_size"])
@pytest.mark.parametrize("wish", [float("nan"), -1, True])
def test_what_bounds_nothing_is_no_limit_of_size(name: str, wish: float) -> None:
    """No number is larger than a NaN: it would let everything through."""
    with HTTPConnectionPool("127.0.0.1", 9) as pool, pytest.raises(ValueError, match=name):
        pool.request("GET", "/", **{name: wish})


def test_a_body_within_its_limits_is_read() -> None:
    coded = gzip.compress(bytes(1000))
    data = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(coded) + coded
    script = [*answer(OK + b"Content-Length: 100\r\n\r\n" + b"x" * 100), *answer(data)]
    with ScriptServer(script) as server, pool_for(server, max_response_size=100, max_decoded_size=1000) as pool:
        assert pool.request("GET", "/").data == b"x" * 100
        assert pool.request("GET", "/").data == bytes(1000)
        assert has_all_slots(pool, 1)


def test_the_limits_of_heads_are_options() -> None:
    limits = DEFAULT_LIMITS._replace(header_lines=2)
    with ScriptServer(answer(OK + b"A: b\r\n" * 3 + b"\r\n")) as server, pool_for(server, limits=limits) as pool:
        with pytest.raises(InvalidResponseError, match="more than 2 header lines"):
            pool.request("GET", "/")
        assert has_all_slots(pool, 0)


# Slots


def test_a_response_that_is_dropped_unread_gives_its_slot_back() -> None:
    with ScriptServer(answer(OK + b"Content-Length: 9\r\n\r\nhell", expect_end())) as server, pool_for(server) as pool:
        response: Any = pool.request("GET", "/", preload_content=False)
        assert pool._endpoint_pool.stats().leased == 1
        del response
        gc.collect()
        assert has_all_slots(pool, 0)


@pytest.mark.parametrize("how", ["close", "release_conn", "context"])
def test_a_response_that_is_closed_early_gives_its_slot_back(how: str) -> None:
    with ScriptServer(answer(OK + b"Content-Length: 9\r\n\r\nhell", expect_end())) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", preload_content=False)
        if how == "context":
            with response:
                assert response.read(2) == b"he"
        else:
            getattr(response, how)()
        assert has_all_slots(pool, 0)
        with pytest.raises(ProtocolError) if how == "release_conn" else contextlib.nullcontext():
            assert response.read() == b""


def test_a_short_rest_is_drained_and_a_long_one_dropped() -> None:
    dropped = threading.Event()
    long = OK + b"Content-Length: 100000\r\n\r\n"
    script = [*answer(OK + b"Content-Length: 60000\r\n\r\n" + bytes(60000)), *answer(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")]
    with ScriptServer([*script, *answer(long + bytes(100000), stall(dropped))]) as server, pool_for(server) as pool:
        for _ in range(2):
            pool.request("GET", "/", preload_content=False).drain_conn()
            assert has_all_slots(pool, 1)
        pool.request("GET", "/", preload_content=False).drain_conn()
        assert has_all_slots(pool, 0)
        dropped.set()


def test_draining_takes_no_longer_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poollib.response, "DRAIN_LIMIT_S", 0.02)
    with ScriptServer(answer(OK + b"Content-Length: 9\r\n\r\nhell", stall())) as server:
        with pool_for(server, timeout=30) as pool:
            start = time.monotonic()
            pool.request("GET", "/", preload_content=False).drain_conn()
            assert time.monotonic() - start < 5
            assert has_all_slots(pool, 0)


def test_a_read_timeout_in_a_body_frees_the_slot() -> None:
    with ScriptServer(answer(OK + b"Content-Length: 9\r\n\r\nhell", stall())) as server, pool_for(server) as pool:
        with pytest.raises(ReadTimeoutError):
            pool.request("GET", "/", timeout=0.02)
        assert has_all_slots(pool, 0)


def test_an_interrupt_while_reading_frees_the_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: HTTPConnection, limit: int, flags: int = 0) -> bytes:
        raise KeyboardInterrupt

    with ScriptServer(answer(OK + b"Content-Length: 9\r\n\r\nhell", expect_end()), [stall()]) as server:
        with pool_for(server) as pool:
            response = pool.request("GET", "/", preload_content=False)
            response.read(4)
            monkeypatch.setattr(response.connection._receive_buffer, "recv", lambda limit: interrupt(None, limit))  # type: ignore[arg-type]
            with pytest.raises(KeyboardInterrupt):
                response.read1()
            assert has_all_slots(pool, 0)
            monkeypatch.setattr(HTTPConnection, "receive", interrupt)
            with pytest.raises(KeyboardInterrupt):
                pool.request("GET", "/")
            assert has_all_slots(pool, 0)


def test_another_thread_may_end_a_read() -> None:
    with ScriptServer(answer(OK + b"Content-Length: 9\r\n\r\nhell", stall())) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", preload_content=False)
        response.read(4)
        timer = threading.Timer(0.01, response.shutdown)
        timer.start()
        with pytest.raises(HTTPError):
            response.read()
        timer.join()
        assert has_all_slots(pool, 0)


# One connection used by hand


def test_a_second_request_before_the_first_was_read_is_refused() -> None:
    """A connection serves one exchange at a time: the second would read the rest of the first."""
    from http.client import CannotSendRequest, ResponseNotReady

    with ScriptServer([expect_request(), send(OK + b"Content-Length: 9\r\n\r\nhell"), stall()]) as server:
        connection = HTTPConnection(server.host, server.port, timeout=5)
        connection.request("GET", "/", preload_content=False)
        with pytest.raises(CannotSendRequest):
            connection.request("GET", "/")
        response = connection.getresponse()
        with pytest.raises(CannotSendRequest):
            connection.request("GET", "/")
        with pytest.raises(ResponseNotReady):
            connection.getresponse()
        assert isinstance(response, HTTPResponse)
        connection.close()


def test_a_connection_that_sent_nothing_has_no_response() -> None:
    """The caller's mistake, as http.client and urllib3 say it; one that broke after a request is a ProtocolError."""
    from http.client import ResponseNotReady

    with pytest.raises(ResponseNotReady):
        HTTPConnection("localhost", 1).getresponse()
    with ScriptServer([expect_request(), stall()]) as server:
        connection = HTTPConnection(server.host, server.port, timeout=5)
        connection.request("GET", "/", preload_content=False)
        connection.close()
        with pytest.raises(ProtocolError) as caught:
            connection.getresponse()
        assert isinstance(caught.value.args[1], ResponseNotReady)


def test_requests_written_by_hand_can_follow_each_other() -> None:
    with ScriptServer(
        [expect_request(), respond(b"1"), expect_request(), respond(b"2"), expect_request(), respond(b"3")]
    ) as server:
        connection = HTTPConnection(server.host, server.port, timeout=5)
        for number in (b"1", b"2"):
            connection.putrequest("PUT", "/")
            connection.putheader("Content-Length", "2")
            connection.endheaders()
            connection.send(b"hi")
            assert connection.getresponse().data == number
        connection.request("GET", "/")
        assert connection.getresponse().data == b"3"
        connection.close()


@pytest.mark.parametrize("preload", [True, False])
def test_a_connection_without_a_pool_serves_one_exchange_after_the_other(preload: bool) -> None:
    """However the bytes come: whole with the head, later, in chunks, or not at all."""
    data = [OK + b"Content-Length: 2\r\n\r\nok", CHUNKED + b"2\r\nok\r\n0\r\n\r\n"]
    coded = OK + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n"
    steps = [step for item in data for step in (expect_request(), send_slowly(item, 30), expect_request(), send(item))]
    with ScriptServer([*steps, expect_request(), send(coded), expect_request(), respond(b"ok")]) as server:
        connection = HTTPConnection(server.host, server.port, timeout=5)
        for _ in range(4):
            connection.request("GET", "/", preload_content=preload)
            assert connection.getresponse().data == b"ok"
        connection.request("HEAD", "/", preload_content=preload)
        connection.getresponse()
        connection.request("GET", "/", preload_content=preload)
        assert connection.getresponse().data == b"ok"
        connection.close()


def test_sockets_with_a_timeout_and_without_read_alike() -> None:
    for timeout in (None, 5.0):
        with ScriptServer([expect_request(), send_slowly(OK + b"Content-Length: 9\r\n\r\nhelloyou!", 3)]) as server:
            with pool_for(server, timeout=timeout) as pool:
                response = pool.request("GET", "/", preload_content=False)
                assert [response.read(4), response.read(4), response.read(4)] == [b"hell", b"oyou", b"!"]
                assert has_all_slots(pool, 1)


def test_a_response_that_gave_its_connection_back_has_nothing_to_shut_down() -> None:
    with ScriptServer(answer(OK + b"Content-Length: 4\r\n\r\ngood")) as server, pool_for(server) as pool:
        response = pool.request("GET", "/")
        with pytest.raises(RuntimeError, match="Cannot shutdown as connection has already been released"):
            response.shutdown()


@pytest.mark.parametrize(
    "head", [b"Content-Length: 4\r\n\r\ngood", b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n"]
)
def test_pieces_of_no_bytes_are_none_and_leave_the_body(head: bytes) -> None:
    with ScriptServer(answer(OK + head)) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", preload_content=False)
        assert list(response.stream(0)) == []
        assert response.read() == b"good"
