"""bodies: files without manners, and a body so much larger decoded that it comes out in steps."""

from __future__ import annotations

import gzip
import io
import random
import types
from typing import Any

import pytest

from poollib import HTTPResponse
from poollib.exceptions import ProtocolError, ResponseTooLargeError
from poollib.http1.body_reader import ReceiveBuffer, body_reader
from poollib.http1.content_encoding import BytesQueueBuffer
from poollib.http1.decoders import GzipDecoder
from poollib.http1.response_body_sources import WHOLE_OUTPUT_BYTES, DecodedBody, FileBody
from poollib.http1.response_head import UNTIL_CLOSE


def made(body: Any, headers: dict[str, str] | None = None, **more: Any) -> HTTPResponse:
    return HTTPResponse(body, headers=headers, status=200, preload_content=False, **more)


class Bare:
    """A file that can be read and nothing else."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def test_a_file_that_can_not_be_closed_is_let_go() -> None:
    response = made(Bare(b"body"))
    assert response.read(2) == b"bo"
    response.close()
    assert response.isclosed()
    assert response.read() == b""


def test_a_large_body_is_decoded_in_steps_and_whole() -> None:
    """More than one step of output, however it is asked for."""
    size = WHOLE_OUTPUT_BYTES + 12345
    coded = gzip.compress(bytes(size), 1)
    headers = {"Content-Encoding": "gzip"}
    assert made(io.BytesIO(coded), headers).read() == bytes(size)
    response = made(io.BytesIO(coded), headers)
    assert len(response.read(100)) == 100
    assert len(response.read()) == size - 100
    limited = made(io.BytesIO(coded), headers)
    limited.max_decoded_size = WHOLE_OUTPUT_BYTES + 1
    with pytest.raises(ResponseTooLargeError):
        limited.read()


@pytest.mark.parametrize("behind", [b"", b"garbage", gzip.compress(b"more")])
def test_a_short_gzip_body_is_whole_however_it_is_read(behind: bytes) -> None:
    """At once where that is possible, else as ever: several members, bytes behind them, a limit."""
    text = b"".join(b"%d," % n for n in range(20000))
    headers = {"Content-Encoding": "gzip"}
    plain = text + (b"more" if behind[:3] == b"\x1f\x8b\x08" else b"")
    body = gzip.compress(text) + behind
    response = made(io.BytesIO(body), headers)
    assert response.read() == plain
    assert response.read() == b""
    parts = made(io.BytesIO(body), headers)
    assert parts.read(1) + parts.read() == plain
    limited = made(io.BytesIO(body), headers)
    limited.max_decoded_size = len(plain)
    assert limited.read() == plain
    limited = made(io.BytesIO(body), headers)
    limited.max_decoded_size = len(plain) - 1
    with pytest.raises(ResponseTooLargeError):
        limited.read()


@pytest.mark.parametrize("limit", [None, 10_000_000])
def test_a_body_that_is_long_even_coded_is_decoded_whole(limit: int | None) -> None:
    """One that does not compress: more than one step of input."""
    plain = random.Random(1).randbytes(300_000)
    response = made(io.BytesIO(gzip.compress(plain, 1)), {"Content-Encoding": "gzip"})
    response.max_decoded_size = limit
    assert response.read() == plain


# What a response does with connections and files that know less than ours


def test_connections_that_know_nothing_of_exchanges_are_given_back() -> None:
    """As recorders make them: closed or returned, never asked for more than they have."""
    given: list[Any] = []
    pool = types.SimpleNamespace(_put_conn=given.append)
    for how in ("read", "drain_conn"):
        conn = types.SimpleNamespace(close=lambda: None)
        response = made(io.BytesIO(b"body"), pool=pool, connection=conn)
        getattr(response, how)()
        assert response.connection is None
        assert given.pop() is conn
    assert given == []


def test_a_response_that_is_closed_while_it_is_read_tells_the_error() -> None:
    """By another thread: the reader hears why its read ended."""

    class Closing:
        def read(self, size: int = -1) -> bytes:
            response.close()
            raise ConnectionResetError("shut")

    response = made(Closing())
    with pytest.raises(ProtocolError, match="shut"):
        response.read()
    assert response.isclosed()


def test_a_body_that_was_kept_gives_nothing_more_to_a_reader() -> None:
    """``data`` has it; and reading nothing reads nothing."""
    response = made(io.BytesIO(b"body"))
    assert response.read1(0) == b""
    assert response.data == b"body"
    assert (response.read1(), response.readinto(bytearray(4)), response.read()) == (b"", 0, b"")
    empty = HTTPResponse(b"body", status=200)
    assert (empty.read1(), empty.readinto(bytearray(4)), empty.data) == (b"", 0, b"body")


@pytest.mark.parametrize("body", [b"one\ntwo\n", b"one\r\ntwo\r\n", b"one\ntwo"])
def test_lines_end_where_the_body_ends(body: bytes) -> None:
    """With a line end or without one, no line more and none less."""
    assert list(made(io.BytesIO(body))) == body.splitlines(True)


def test_a_coding_that_is_none_leaves_the_body_as_it_is() -> None:
    for coding in ("identity", "unknown-coding"):
        assert made(io.BytesIO(b"body"), {"Content-Encoding": coding}).read() == b"body"


def test_fields_and_version_may_be_replaced() -> None:
    """As recorders do with what they play back."""
    from poollib import HTTPHeaderDict

    response = made(b"")
    response.headers, response.version_string = HTTPHeaderDict({"A": "b"}), "HTTP/1.1"
    assert (response.getheader("a"), response.version_string) == ("b", "HTTP/1.1")
    with pytest.raises(OSError, match="no file"):
        response.fileno()


def test_more_than_was_announced_is_an_error_once_the_rest_was_read() -> None:
    """As in urllib3; the message says how much came."""
    body = FileBody(io.BytesIO(b"abc"), 2)
    assert body.read_all() == b"abc"
    with pytest.raises(ProtocolError, match="IncompleteRead"):
        body.read1(1)
    nothing = FileBody(io.BytesIO(b"abc"), 0)
    assert nothing.read_all() == b"abc"
    with pytest.raises(ProtocolError, match="may not contain content"):
        nothing.read1(1)


def test_decoded_output_waits_for_more_input_for_a_moment_only() -> None:
    """A stream whose server pauses is given on; 10 ms are not noticed by anybody who waits for a server."""

    class Paused(ReceiveBuffer):
        waited_s = 0.0

        def is_ready(self, wait_s: float) -> bool:
            self.waited_s += wait_s
            return False

    incoming = Paused(iter([gzip.compress(b"hello"), b""]).__next__)  # type: ignore[arg-type]
    incoming.recv = lambda limit: b"" if incoming.waited_s else gzip.compress(b"hello")[:-8]
    body = DecodedBody(body_reader(incoming, UNTIL_CLOSE, False), GzipDecoder(), "gzip", None)
    assert body._next_large() == b"hello"
    assert incoming.waited_s <= 0.05


def test_what_was_put_in_front_is_given_byte_by_byte_too() -> None:
    body = DecodedBody(FileBody(io.BytesIO(b""), None), GzipDecoder(), "gzip", None)
    body.ahead = BytesQueueBuffer()
    body.ahead.put(b"ab")
    assert [body.read1(1), body.read1(1)] == [b"a", b"b"]
