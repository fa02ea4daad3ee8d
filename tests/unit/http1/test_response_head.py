"""Heads that are read, from whatever gives bytes; the tables of heads are in tests/bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from poollib.exceptions import InvalidResponseError, ProtocolError
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.http1.response_head import CHUNKED, UNTIL_CLOSE, HeadBuffer, parse_head, read_head


def test_a_head_is_read_from_whatever_gives_bytes() -> None:
    head, rest = read_head(lambda n: b"HTTP/1.1 200 Connection established\r\nA: b\r\na: c\r\n\r\nrest")
    assert (head.status, head.get("a"), rest, repr(head)) == (
        200,
        ["b", "c"],
        b"rest",
        "<Head 200 Connection established>",
    )


@pytest.mark.parametrize(("pieces", "error"), [([], ProtocolError), ([b"HTTP/1.1 200 OK\r\nA:"], InvalidResponseError)])
def test_a_head_that_is_not_finished_is_an_error(pieces: list[bytes], error: type[Exception]) -> None:
    """RFC 9112 section 8; before the first byte it is another error than within the head."""
    source = iter([*pieces, b""])
    with pytest.raises(ProtocolError) as caught:
        read_head(lambda n: next(source))
    assert type(caught.value) is error


def test_a_head_in_pieces_is_found_when_its_end_is_in() -> None:
    """And what came behind it begins the next one, as after an interim response."""
    buffer = HeadBuffer(b"HTTP/1.1 100 Conti", DEFAULT_LIMITS)
    assert buffer.add(b"nue\r\n\r") is None
    found = buffer.add(b"\nHTTP/1.1 200")
    assert found is not None
    head, end = found
    assert (head.status, end) == (100, 25)
    assert buffer.drop(end) is None
    assert buffer.data == b"HTTP/1.1 200"
    found = buffer.add(b" OK\r\n\r\nbody")
    assert found is not None
    assert (found[0].status, bytes(buffer.data[found[1] :])) == (200, b"body")


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title, str.swapcase])
def test_framing_is_read_in_any_case(change: Callable[[str], str]) -> None:
    """Names and what they are given: RFC 9110 sections 5.1 and 7.6.1, RFC 9112 section 7."""
    found = parse_head(
        b"HTTP/1.1 200 OK\r\n" + change("Transfer-Encoding: Chunked\r\nConnection: Close\r\n\r\n").encode()
    )
    assert found is not None
    assert (found[0].length, found[0].keep_alive) == (CHUNKED, False)
    fields = (
        "Content-Length: 7\r\nContent-Encoding: GZip\r\nKeep-Alive: Timeout=5, Max=3\r\nConnection: Keep-Alive\r\n\r\n"
    )
    found = parse_head(b"HTTP/1.0 200 OK\r\n" + change(fields).encode())
    assert found is not None
    head = found[0]
    assert (head.length, head.content_encoding, head.keep_alive) == (7, "gzip", True)
    assert (head.idle_limit_s, head.requests_left) == (5, 3)


@pytest.mark.parametrize(
    "name", ["Content-Lengt", "Content-Lengths", "X-Content-Length", "Connectio", "Kept-Alive", "Te"]
)
def test_a_field_of_a_like_name_frames_nothing(name: str) -> None:
    """Nor one whose value holds such a name."""
    found = parse_head(f"HTTP/1.1 200 OK\r\n{name}: 5\r\nX: Content-Length: 5\r\n\r\n".encode())
    assert found is not None
    assert (found[0].length, found[0].keep_alive) == (UNTIL_CLOSE, True)
