"""framing: bodies read from a fake source, in the corners that no server reaches by itself."""

from __future__ import annotations

import io
from typing import Any

import pytest

from poollib.exceptions import InvalidChunkLength, InvalidResponseError, ProtocolError, ResponseTooLargeError
from poollib.http1 import body_reader
from poollib.http1.body_reader import BodyState, ChunkedBody, LengthBody
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.http1.response_head import parse_head
from tests.bytes.feeds import Feed, Pieces


def incoming(data: bytes) -> Feed:
    """A source that gives ``data`` as it is asked, and then its end."""
    file = io.BytesIO(data)
    return Feed(file.read, file.readinto)


def no_memory(*_: Any) -> Any:
    raise MemoryError


def test_a_body_too_large_for_one_piece_of_memory_is_read_in_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is only what a server says: no allocation of that size may be what ends the read."""
    data = bytes(range(256)) * 2048
    body = LengthBody(incoming(data + b"next"), True, None, len(data))
    monkeypatch.setattr(body_reader.io, "BufferedReader", no_memory)
    assert body.read(len(data)) == data
    assert (body.state, body.left) == (BodyState.REUSABLE, 0)


def test_memory_that_ends_amid_a_body_is_an_error() -> None:
    """What was read is gone by then: to begin anew would lose bytes."""
    data = bytes(600_000)
    file = io.BytesIO(data)
    calls = 0

    def receive_into(view: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise MemoryError
        return file.readinto(view[:100_000])

    body = LengthBody(Feed(file.read, receive_into), True, None, len(data))
    with pytest.raises(MemoryError):
        body.read(len(data))
    assert body.received == 100_000


def test_a_chunked_body_that_has_ended_gives_nothing_more() -> None:
    """Asked in any way."""
    body = ChunkedBody(incoming(b"3\r\nabc\r\n0\r\n\r\n"), True, None, DEFAULT_LIMITS)
    assert [body.read_chunk(None), body.read_chunk(None), body.read_chunk(None)] == [b"abc", b"", b""]
    assert (body.read1(10), body.read_all(), body.read(5)) == (b"", b"", b"")
    assert body.state is BodyState.REUSABLE


FIVE = b"3\r\nabc\r\n" + b"3\r\ndef\r\n" * 4 + b"2\r\nxy\r\n0\r\n\r\n"


def chunked(data: bytes, limit_bytes: int | None = None) -> ChunkedBody:
    """A chunked body that is received in one piece."""
    return ChunkedBody(incoming(data), True, limit_bytes, DEFAULT_LIMITS)


def test_what_is_not_taken_of_whole_chunks_stays_for_other_ways_of_reading() -> None:
    body = chunked(FIVE)
    assert body.read_chunk(None) == b"abc"
    chunks = body.whole_chunks(None)
    assert [next(chunks), body.read1(10), *chunks] == [b"def", b"def"]
    assert (body.received, body.read(4), body.read_all()) == (9, b"defd", b"efxy")
    assert body.state is BodyState.REUSABLE


def test_whole_chunks_end_with_the_body() -> None:
    """It was closed while its chunks were looked at."""
    body = chunked(FIVE)
    body.read_chunk(None)
    chunks = body.whole_chunks(None)
    assert next(chunks) == b"def"
    body.state = BodyState.BROKEN
    assert list(chunks) == []


@pytest.mark.parametrize("odd", [b"03\r\ndef\r\n", b"3;a\r\ndef\r\n", b"4\r\ndefg\r\n", b"3\r\ndefg\r\n", b"3\rdef"])
def test_whole_chunks_are_those_of_one_size_line(odd: bytes) -> None:
    """What differs from the line that was checked is left to be checked itself."""
    whole = 3 if odd.startswith(b"3\r\n") else 2
    body = chunked(b"3\r\nabc\r\n" * 3 + odd + b"0\r\n\r\n")
    assert [body.read_chunk(None), *body.whole_chunks(None)] == [b"abc"] * whole
    assert body.received == 3 * whole


def test_whole_chunks_are_bounded_as_others_are() -> None:
    body = chunked(FIVE)
    body.read_chunk(None)
    assert list(body.whole_chunks(2)) == []
    body = chunked(FIVE, limit_bytes=6)
    body.read_chunk(None)
    assert list(body.whole_chunks(None)) == []
    with pytest.raises(ResponseTooLargeError):
        body.read_all()


def test_a_base_body_is_only_a_shape() -> None:
    with pytest.raises(NotImplementedError):
        body_reader.Body(incoming(b""), True, None).read1(1)


# Heads, whose limits hold before their end is in


def test_too_many_header_lines_are_refused_before_the_head_is_whole() -> None:
    """A server that never ends its head can't make us keep all of it."""
    limits = DEFAULT_LIMITS._replace(header_lines=5)
    data = b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5
    assert parse_head(data, limits) is None
    with pytest.raises(InvalidResponseError, match="more than 5 header lines"):
        parse_head(data + b"a: b\r\n" * 3, limits)


def test_the_fields_of_a_head_are_split_once() -> None:
    found = parse_head(b"HTTP/1.1 200 OK\r\nA: b \r\nC: d\r\n\r\n")
    assert found is not None
    head = found[0]
    assert head.pairs() == [("A", "b"), ("C", "d")]
    assert head.pairs() is head.pairs()


def test_what_keep_alive_says_besides_is_passed_over() -> None:
    """Names that nobody knows, in front and behind."""
    found = parse_head(b"HTTP/1.1 200 OK\r\nKeep-Alive: fast=1, timeout=5, depth=3, max=7, x=9\r\n\r\n")
    assert found is not None
    assert (found[0].idle_limit_s, found[0].requests_left) == (5, 7)


@pytest.mark.parametrize("pieces", [[b"f" * 99999], [b"f" * 9000] * 9, [b"1;" + b"x" * 20000 + b"\r\n"]])
def test_a_chunk_size_line_without_end_is_named_so(pieces: list[bytes]) -> None:
    """In urllib3's words; it was called an invalid length."""
    source = Pieces(pieces)
    body = ChunkedBody(Feed(source.recv, source.recv_into), True, None, DEFAULT_LIMITS)
    with pytest.raises(ProtocolError, match="chunk size line exceeded maximum allowed length") as caught:
        body.read_chunk(100)
    assert isinstance(caught.value.__cause__, InvalidChunkLength)
    assert body.state is BodyState.BROKEN
