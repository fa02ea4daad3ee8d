"""Live bodies in the corners: no body where fields name one, the last bytes of a drain, a response that goes away."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from poollib.exceptions import DecodeError, ProtocolError
from poollib.http1 import response_body_sources
from poollib.http1.decoders import gunzipped, maker_of
from poollib.response import DRAIN_LIMIT_BYTES
from tests.support.certs import certs
from tests.support.script import ScriptServer, close, cut, expect_request, reset, respond, send, send_slowly, stall


def pool_for(server: ScriptServer, **options: Any) -> HTTPConnectionPool:
    options = {"maxsize": 1, "block": True, "timeout": 5, "retries": False, **options}
    if server.tls is not None:
        return HTTPSConnectionPool(server.host, server.port, ca_certs=certs().ca_file, **options)
    return HTTPConnectionPool(server.host, server.port, **options)


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize(
    "fields", ["Content-Encoding: gzip\r\nContent-Length: 500", "Content-Encoding: gzip\r\nTransfer-Encoding: chunked"]
)
def test_an_answer_to_head_is_not_decoded(fields: str, preload: bool) -> None:
    """It names the coding and framing of a body that does not come (RFC 9110 section 9.3.2), however it is read."""
    answer = send(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode())
    ways: list[Any] = [
        lambda response: response.read(),
        lambda response: response.read1(),
        lambda response: b"".join(response.stream()),
        lambda response: b"".join(response.read_chunked()) if response.chunked else b"",
        lambda response: response.data,
    ]
    with ScriptServer([expect_request(), answer] * len(ways)) as server, pool_for(server) as pool:
        for way in ways:
            response = pool.request("HEAD", "/", preload_content=preload, pool_timeout=1)
            assert way(response) == b""
            response.drain_conn()
    assert server.opened == 1


def test_the_end_right_behind_what_a_drain_may_read_keeps_the_connection() -> None:
    """A chunked body of exactly that many bytes: its last chunk is taken in, too."""
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (DRAIN_LIMIT_BYTES, bytes(DRAIN_LIMIT_BYTES))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = [expect_request(), send(head + body), expect_request(), respond(b"ok")]
    with ScriptServer(script) as server, pool_for(server) as pool:
        pool.request("GET", "/", preload_content=False).drain_conn()
        assert pool.request("GET", "/", pool_timeout=1).data == b"ok"
    assert server.opened == 1


def test_a_response_that_is_closed_between_two_chunks_ends_their_loop() -> None:
    """The loop stops; it neither fails nor reads on."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with ScriptServer([expect_request(), send(head + b"1\r\na\r\n1\r\nb\r\n"), stall()]) as server:
        with pool_for(server) as pool:
            response = pool.request("GET", "/", preload_content=False)
            seen = []
            for chunk in response.read_chunked():
                seen.append(chunk)
                response.close()
            assert seen == [b"a"]
            assert pool._endpoint_pool.leased == 0


def test_the_number_of_bytes_and_the_descriptor_are_those_of_the_live_body() -> None:
    with ScriptServer([expect_request(), respond(b"0123456789")] * 2) as server, pool_for(server) as pool:
        response = pool.request("GET", "/", preload_content=False)
        assert response.fileno() == response.connection.sock.fileno()
        assert (response.read(4), response.tell()) == (b"0123", 4)
        assert (response.read(), response.tell()) == (b"456789", 10)
        with pytest.raises(OSError, match="no file"):
            response.fileno()
        whole = pool.request("GET", "/")
        assert (whole.data, whole.tell()) == (b"0123456789", 10)


READ = {
    "preloaded": lambda response: response.data,
    "read": lambda response: response.read(),
    "read in pieces": lambda response: b"".join(iter(lambda: response.read(2), b"")),
    "read1": lambda response: b"".join(iter(lambda: response.read1(), b"")),
    "stream": lambda response: b"".join(response.stream(2)),
    "lines": lambda response: b"".join(response),
}


@pytest.mark.parametrize("how", READ)
@pytest.mark.parametrize("length", [9, 300_000])
def test_a_length_that_shall_not_be_enforced_is_not(length: int, how: str) -> None:
    """``enforce_content_length=False`` did nothing. The connection has ended, and the next request has its own."""
    short = send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhello" % length)
    with ScriptServer([expect_request(), short, close()], [expect_request(), respond(b"x")]) as server:
        with pool_for(server) as pool:
            preload = how == "preloaded"
            response = pool.request("GET", "/", preload_content=preload, enforce_content_length=False)
            assert not response.enforce_content_length
            assert (READ[how](response), response.length_remaining) == (b"hello", length - 5)
            assert pool.request("GET", "/", pool_timeout=1).data == b"x"


@pytest.mark.parametrize("enforce", [True, False])
def test_a_length_that_is_kept_is_nothing_else_when_it_is_not_enforced(enforce: bool) -> None:
    """The connection is kept, bytes behind the body reach nobody, a reset is an error, and so is an end of TLS."""
    with ScriptServer([expect_request(), respond(b"hello")] * 2) as server, pool_for(server) as pool:
        for preload in (True, False):
            response = pool.request("GET", "/", preload_content=preload, enforce_content_length=enforce)
            assert response.data == b"hello"
    assert server.opened == 1
    short = send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
    for how, tls in ((reset(), None), (cut(), certs().server())):
        with ScriptServer([expect_request(), short, how], tls=tls) as server, pool_for(server) as pool:
            with pytest.raises(ProtocolError):
                pool.request("GET", "/", enforce_content_length=enforce)


def test_a_manager_passes_the_wish_on_and_without_it_a_short_body_is_an_error() -> None:
    short = send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
    with ScriptServer([expect_request(), short, close()], repeat=True) as server, PoolManager(retries=False) as manager:
        assert manager.request("GET", server.url, enforce_content_length=False).data == b"hello"
        with pytest.raises(ProtocolError, match="IncompleteRead"):
            manager.request("GET", server.url)


def test_an_orderly_end_of_tls_ends_a_body_whose_length_is_not_enforced() -> None:
    short = send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
    with ScriptServer([expect_request(), short, close()], tls=certs().server()) as server, pool_for(server) as pool:
        assert pool.request("GET", "/", enforce_content_length=False).data == b"hello"


# Damaged data

JUNK = {"gzip": b"no gzip", "deflate": b"\xff" * 20, "br": b"\xff" * 20, "zstd": b"no zstd", "gzip, br": b"\xff" * 20}
GZIP = gzip.compress(os.urandom(50_000).hex().encode())
NO_BLOCK = b"\x07"  # of a kind that there is none of: RFC 1951 section 3.2.3
FRAMINGS = ["Content-Length: 500000", "Transfer-Encoding: chunked", "X: until close"]


def begun() -> bytes:
    """The sound beginning of a gzip member, up to the end of a block."""
    press = zlib.compressobj(wbits=31)
    return press.compress(os.urandom(50_000).hex().encode()) + press.flush(zlib.Z_SYNC_FLUSH)


def told(coding: str, data: bytes, framing: str, tls: bool = False) -> float:
    """Seconds until a body that begins with that data is told to be damaged; its server sends no more and waits."""
    if "chunked" in framing:
        data = b"%x\r\n%b\r\n" % (len(data), data)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n{framing}\r\n\r\n".encode()
    with ScriptServer(
        [expect_request(), send(head), send(data), stall()], tls=certs().server() if tls else None
    ) as server:
        with pool_for(server) as pool:
            start = time.monotonic()
            with pytest.raises(DecodeError):
                pool.request("GET", "/")
            assert pool.stats()["leased"] == 0
            return time.monotonic() - start


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("coding", JUNK)
def test_damaged_data_is_told_while_the_connection_stays_open(coding: str, framing: str) -> None:
    """It was told when the body had ended: of a server that sends no more the request timed out."""
    if maker_of(coding.rpartition(" ")[2]) is None:
        pytest.skip("the package for this coding is not installed")
    assert told(coding, JUNK[coding], framing) < 2


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        begun() + NO_BLOCK,
        gzip.compress(b"hello")[:-8] + bytes(8),
        gzip.compress(bytes(9_000_000))[:-8] + bytes(8),
    ],
    ids=["in the middle", "its checksum", "its checksum, large"],
)
def test_what_was_received_is_decoded_when_the_server_makes_a_pause(data: bytes, tls: bool) -> None:
    for framing in FRAMINGS[:2]:
        assert told("gzip", data, framing, tls) < 2


def test_a_body_that_comes_in_pieces_without_a_pause_is_decoded_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third less CPU; see ``decoders.gunzipped``."""
    seen: list[bytes] = []

    def whole(data: bytes, limit: int | None) -> bytes | None:
        seen.append(data)
        return gunzipped(data, limit)

    monkeypatch.setattr(response_body_sources, "gunzipped", whole)
    monkeypatch.setattr(response_body_sources, "PAUSE_S", 5)  # however busy the machine
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIP)
    with ScriptServer([expect_request(), send(head), send_slowly(GZIP, by=30_000, pause_s=0.002)]) as server:
        with pool_for(server) as pool:
            assert pool.request("GET", "/").data == gzip.decompress(GZIP)
    assert seen == [GZIP]
