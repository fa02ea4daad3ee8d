"""views: a live response as those see it who know http.client's below urllib3's."""

from __future__ import annotations

import gc
import gzip
import http.client
import io
import socket
import weakref
from collections.abc import Iterator
from http.client import IncompleteRead
from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPResponse
from poollib.exceptions import ProtocolError
from tests.support.httpd import Httpd, Response
from tests.support.script import ScriptServer, expect_request, respond, send, stall

CHUNKS = [b"x" * 10, b"y" * 10]


@pytest.fixture
def server() -> Iterator[Httpd]:
    routes = {"/chunks": lambda request: Response(CHUNKS), "/plain": lambda request: Response(b"0123456789")}
    with Httpd(routes) as running:
        yield running


@pytest.fixture
def pool(server: Httpd) -> Iterator[HTTPConnectionPool]:
    with HTTPConnectionPool(server.host, server.port, maxsize=1, block=True, timeout=5) as made:
        yield made
        assert made._endpoint_pool.leased == 0
        made._endpoint_pool.check()


def test_the_original_response_says_what_http_client_would_have_read(pool: HTTPConnectionPool) -> None:
    """Status line, fields, and whether the body has ended; reading it is reading the response."""
    response: Any = pool.urlopen("GET", "/plain", preload_content=False)
    original = response._original_response
    assert (original.status, original.code, original.reason, original.version) == (200, 200, "OK", 11)
    assert (original._method, original.chunked) == ("GET", False)
    assert original.getheader("Content-Length") == original.headers["content-length"] == "10"
    assert original.getheader("None", "default") == "default"
    assert ("Content-Length", "10") in original.getheaders()
    assert original.read(4) == b"0123"
    assert not original.isclosed()
    assert original.fp.raw._sock is response.connection.sock
    assert response.read() == b"456789"
    assert original.isclosed()
    assert original.fp is None
    replaced = object()
    response._original_response = replaced
    assert response._original_response is replaced


@pytest.mark.parametrize("preload", [False, True])
def test_a_response_that_was_read_is_in_no_ring_with_the_original(pool: HTTPConnectionPool, preload: bool) -> None:
    """It is gone with its last user, without the garbage collector; what stays says what it said."""
    gc.disable()
    try:
        response: Any = pool.urlopen("GET", "/plain", preload_content=preload)
        original = response._original_response
        assert original is response._original_response
        assert original.msg is response.headers
        assert b"".join(response.stream(4)) + (response.data if preload else b"") == b"0123456789"
        assert original.msg is response.headers
        seen = weakref.ref(response)
        del response
        assert seen() is None
    finally:
        gc.enable()
    assert (original.status, original.getheader("content-length"), original.isclosed()) == (200, "10", True)
    assert (original.read(), original.read(1), original.fp) == (b"", b"", None)
    original.close()


def test_an_original_response_keeps_a_body_that_is_still_to_be_read(pool: HTTPConnectionPool) -> None:
    original: Any = pool.urlopen("GET", "/plain", preload_content=False)._original_response  # type: ignore[attr-defined]
    gc.collect()
    assert not original.isclosed()
    assert original.read() == b"0123456789"
    assert original.isclosed()


def test_the_body_is_a_file_below_the_response(pool: HTTPConnectionPool) -> None:
    """In every way a file is read; the last byte gives the connection back."""
    response: Any = pool.urlopen("GET", "/plain", preload_content=False)
    file = response._fp
    assert (file.readable(), file.closed, file.isclosed(), file.chunked, file.length) == (True, False, False, False, 10)
    assert file.chunk_left is None
    assert file.fileno() == file.fp.fileno() == response.fileno() == response.connection.sock.fileno()
    buffer = bytearray(3)
    assert (file.readinto(buffer), bytes(buffer)) == (3, b"012")
    assert file.read1(2) == b"34"
    assert file._safe_read(2) == b"56"
    assert file.length == 3
    file.flush()
    assert file.status == 200  # what a file has not is the original response's
    assert file.read1() == b"789"
    assert (file.read(), file.read(1), file.length, file.closed, file.fp) == (b"", b"", 0, True, None)


def test_a_file_that_ends_too_early_for_a_safe_read_says_so(pool: HTTPConnectionPool) -> None:
    response: Any = pool.urlopen("GET", "/plain", preload_content=False)
    with pytest.raises(IncompleteRead) as caught:
        response._fp._safe_read(11)
    assert (caught.value.partial, caught.value.expected) == (b"0123456789", 1)


def test_chunks_are_read_safely_one_by_one(pool: HTTPConnectionPool) -> None:
    """As caches read them: by ``chunk_left`` and ``_safe_read``."""
    response: Any = pool.urlopen("GET", "/chunks", preload_content=False)
    file = response._fp
    assert (file.chunked, file.chunk_left, file.length) == (True, None, None)
    assert file._safe_read(4) == b"xxxx"
    assert file.chunk_left == 6
    assert file.read() == b"x" * 6 + b"y" * 10
    assert file.chunk_left in (0, None)


@pytest.mark.parametrize("door", ["file", "socket file", "original"])
def test_closing_any_of_the_views_closes_the_response(pool: HTTPConnectionPool, door: str) -> None:
    """And an unread rest the connection."""
    response: Any = pool.urlopen("GET", "/plain", preload_content=False)
    sock = response.connection.sock
    {"file": response._fp, "socket file": response._fp.fp, "original": response._original_response}[door].close()
    assert response.isclosed()
    assert sock.fileno() == -1
    assert pool.stats()["idle"] == 0


def test_the_raw_file_reads_and_writes_the_socket() -> None:
    """As those do who take the socket over; once the response is closed there is none."""
    with ScriptServer([expect_request(), send(b"HTTP/1.1 200 OK\r\n\r\n"), stall()]) as server:
        with HTTPConnectionPool(server.host, server.port, timeout=5) as pool:
            response: Any = pool.urlopen("GET", "/", preload_content=False)
            fp = response._fp.fp
            raw = fp.raw
            assert isinstance(raw, socket.SocketIO)
            assert raw.write(b"more") == 4
            response.close()
            assert fp.raw is None
    assert server.received[0].endswith(b"\r\n\r\nmore")


class Tee:
    """A file that keeps a copy of what is read through it, as caches put it in ``_fp``'s place."""

    def __init__(self, fp: Any) -> None:
        self._below, self.kept = fp, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    def read(self, amt: int | None = None) -> bytes:
        data: bytes = self._below.read(amt)
        self.kept += data
        return data

    def _safe_read(self, amt: int) -> bytes:
        data: bytes = self._below._safe_read(amt)
        self.kept += data
        return data


@pytest.mark.parametrize("path", ["/plain", "/chunks"])
@pytest.mark.parametrize("size", [3, 100])
def test_a_replaced_file_is_what_is_read(pool: HTTPConnectionPool, path: str, size: int) -> None:
    """Piece by piece, chunks too, to the end, upon which the connection serves on."""
    whole = b"0123456789" if path == "/plain" else b"".join(CHUNKS)
    response: Any = pool.urlopen("GET", path, preload_content=False)
    first = response.read(2)
    tee = response._fp = Tee(response._fp)
    pieces = []
    while piece := response.read1(size):
        assert len(piece) <= size
        pieces.append(piece)
    assert first + b"".join(pieces) == whole
    assert tee.kept == whole[2:]
    assert pool.request("GET", "/plain", pool_timeout=1).data == b"0123456789"


def test_a_replaced_file_may_be_replaced_again(pool: HTTPConnectionPool) -> None:
    """By a wrapper around the wrapper; the live body below stays the one that ends."""
    response: Any = pool.urlopen("GET", "/plain", preload_content=False)
    inner = response._fp = Tee(response._fp)
    outer = response._fp = Tee(response._fp)
    assert response._fp is outer
    assert response.read() == b"0123456789" == inner.kept == outer.kept


@pytest.mark.parametrize("path", ["/plain", "/chunks"])
def test_a_replaced_file_of_its_own_bytes_ends_the_connection(pool: HTTPConnectionPool, path: str) -> None:
    """The live body was not read: what it has left must never be the next request's answer."""
    response: Any = pool.urlopen("GET", path, preload_content=False)
    response._fp = io.BytesIO(b"another body")
    assert response.read() == b"another body"
    assert pool.stats()["idle"] == 0
    assert pool.request("GET", "/", pool_timeout=1).json()["connection"] == 1


def test_a_chunked_body_that_is_cut_behind_a_replaced_file_is_an_error() -> None:
    """Never a part as if it were the whole."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with ScriptServer([expect_request(), send(head + b"5\r\nhello\r\n3\r\na"), lambda c: c.close()]) as server:
        with HTTPConnectionPool(server.host, server.port, timeout=5) as pool:
            response: Any = pool.urlopen("GET", "/", preload_content=False)
            response._fp = Tee(response._fp)
            with pytest.raises(ProtocolError):
                while response.read1(10):
                    pass
            assert pool._endpoint_pool.leased == 0


def test_a_head_without_a_body_has_its_views_too() -> None:
    with ScriptServer([expect_request(), respond(b"")]) as server, HTTPConnectionPool(server.host, server.port) as pool:
        response: Any = pool.urlopen("GET", "/")
        assert response._original_response.isclosed()
        assert response._fp is None
        assert response.tell() == 0


# -- chunks of a response of http.client that a program hands in --


def by_hand(body: bytes, cls: type[HTTPResponse] = HTTPResponse, **more: Any) -> HTTPResponse:
    """A response around one of http.client whose head was not read: its file stands at the first chunk."""
    original = http.client.HTTPResponse(_NoSocket())  # type: ignore[arg-type]
    original.fp = io.BytesIO(body)  # type: ignore[assignment]
    headers = {"Transfer-Encoding": "chunked", **more.pop("headers", {})}
    return cls(original, headers=headers, preload_content=False, original_response=original, **more)


class _NoSocket:
    def makefile(self, *args: Any) -> None:
        return None


AS_SENT = b"3\r\nfoo\r\nA;x=y\r\n0123456789\r\n0\r\nX: trailer\r\n\r\n"


@pytest.mark.parametrize(
    ("amt", "pieces"),
    [
        (None, [b"foo", b"0123456789"]),
        (-1, [b"foo", b"0123456789"]),
        (4, [b"foo", b"0123", b"4567", b"89"]),
        (100, [b"foo", b"0123456789"]),
    ],
)
@pytest.mark.parametrize("how", ["stream", "read_chunked"])
def test_chunks_of_an_http_client_response_are_taken_apart(how: str, amt: int | None, pieces: list[bytes]) -> None:
    """``AssertionError``: http.client reads no chunks of a response whose head it has not read."""
    response = by_hand(AS_SENT)
    assert list(getattr(response, how)(amt)) == pieces
    assert response.closed
    assert response._original_response.isclosed()


def test_chunks_and_the_rest_may_be_read_in_turn() -> None:
    response = by_hand(AS_SENT)
    chunks = response.read_chunked(2)
    assert [next(chunks), next(chunks), next(chunks)] == [b"fo", b"o", b"01"]
    assert response.chunk_left == 8
    assert response.read(3) == b"234"
    assert response.read() == b"56789"
    assert list(chunks) == []


def test_coded_chunks_are_decoded() -> None:
    data = gzip.compress(b"one\ntwo\n" * 999)
    body = b"".join(b"%X\r\n%b\r\n" % (len(data[at : at + 9]), data[at : at + 9]) for at in range(0, len(data), 9))
    response = by_hand(body + b"0\r\n\r\n", headers={"Content-Encoding": "gzip"})
    assert list(response) == [b"one\n", b"two\n"] * 999


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Response ended prematurely"),
        (b"3\r\nfoo\r\n", "Response ended prematurely"),
        (b"ZZZ\r\n", "InvalidChunkLength(got length b'ZZZ\\r\\n', 0 bytes read)"),
        (b"+3\r\nfoo\r\n0\r\n\r\n", "InvalidChunkLength(got length b'+3\\r\\n', 0 bytes read)"),
        (b"9\r\nfoo", "IncompleteRead(3 bytes read, 6 more expected)"),
        (b"f" * 99999, "Response chunk size line exceeded maximum allowed length"),
        (b"0\r\n" + b"x" * 99999, "Response chunk trailer line exceeded maximum allowed length"),
    ],
)
def test_broken_chunks_of_an_http_client_response_are_errors(body: bytes, text: str) -> None:
    response = by_hand(body)
    with pytest.raises(ProtocolError) as caught:
        list(response.stream())
    assert text in str(caught.value).replace("\\\\", "\\")
    assert response.closed
    assert response._original_response.isclosed()


def test_a_response_that_http_client_has_begun_is_left_to_it() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + AS_SENT)
        far.shutdown(socket.SHUT_WR)
        original = http.client.HTTPResponse(near)
        original.begin()
        response = HTTPResponse(original, headers=dict(original.getheaders()), preload_content=False)
        assert response.read(1) == b"f"
        assert b"".join(response.stream()) == b"oo0123456789"


def test_chunks_begin_where_a_class_says() -> None:
    class Own(HTTPResponse):
        sizes = iter([3, 0])

        def _update_chunk_length(self) -> None:
            if self.chunk_left is None:
                self._fp.fp.readline()
                self.chunk_left = next(self.sizes)

    assert list(by_hand(AS_SENT, Own).stream()) == [b"foo"]


def test_an_original_response_to_head_is_closed_and_its_connection_given_back() -> None:
    response = by_hand(AS_SENT)
    response._original_response._method = "HEAD"
    given: list[bool] = []
    response.release_conn = lambda: given.append(True)  # type: ignore[method-assign]
    assert list(response.stream()) == []
    assert given == [True]
    assert response._original_response.isclosed()
