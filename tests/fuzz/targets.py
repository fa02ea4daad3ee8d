"""What is fuzzed: functions that take any bytes, and fail if poollib breaks one of its promises.

Each target reads its input whole and again in small pieces.  Nothing but poollib's own errors may come out, both ways
must come to the same verdict and content, and nothing may come out that is longer than what went in allows.
"""

from __future__ import annotations

import email.parser
import email.policy
from collections.abc import Callable

from poollib.exceptions import HTTPError
from poollib.framing import ChunkedBody, Feed
from poollib.multipart import MultipartStream, RequestField
from poollib.wire import DEFAULT_LIMITS, check_name, check_target, check_value, complete_head, request_head
from tests.bytes.feeds import Pieces, read_response

LIMITS = DEFAULT_LIMITS._replace(
    head_bytes=2048, line_bytes=512, header_lines=20, chunk_line_bytes=64, trailer_bytes=256
)
Outcome = tuple[object, ...]


def outcome(read: Callable[[list[bytes]], Outcome], pieces: list[bytes]) -> Outcome:
    """What came out, or that poollib refused it; any other error is a find."""
    try:
        return read(pieces)
    except HTTPError:
        return ("refused",)


def both_ways(read: Callable[[list[bytes]], Outcome], data: bytes) -> Outcome:
    """The outcome, which must not depend on how the bytes were cut."""
    whole = outcome(read, [data])
    step = 1 + len(data) % 7
    cut = outcome(read, [data[at : at + step] for at in range(0, len(data), step)])
    assert whole == cut, (data, whole, cut)
    return whole


def head(data: bytes) -> None:
    """A response's head."""

    def read(pieces: list[bytes]) -> Outcome:
        _, found, end = complete_head(Pieces(pieces).recv, b"", LIMITS)
        assert found.status >= 100
        assert found.length < 10**18
        pairs = found.pairs()
        assert not any(set(name + value) & set("\r\n\0") for name, value in pairs)
        assert end <= LIMITS.head_bytes
        return (found.version, found.status, found.reason, found.length, found.keep_alive, *pairs)

    both_ways(read, data)


def chunks(data: bytes) -> None:
    """A chunked body."""

    def read(pieces: list[bytes]) -> Outcome:
        source = Pieces(pieces)
        body = ChunkedBody(Feed(source.recv, source.recv_into), True, None, LIMITS)
        content = body.read_all()
        assert len(content) <= len(data)
        assert body.received == len(content)
        return (content, *body.trailers)

    both_ways(read, data)
    by_chunk(data)


def by_chunk(data: bytes) -> None:
    """The same, chunk by chunk, as ``stream`` reads it."""

    def read(pieces: list[bytes]) -> Outcome:
        source = Pieces(pieces)
        body = ChunkedBody(Feed(source.recv, source.recv_into), True, None, LIMITS)
        return tuple(iter(lambda: body.read_chunk(100), b""))

    both_ways(read, data)


def response(data: bytes) -> None:
    """A whole response to GET, or to HEAD where the first byte is odd."""
    method = "HEAD" if data[:1] and data[0] % 2 else "GET"

    def read(pieces: list[bytes]) -> Outcome:
        seen = read_response(pieces, method, limits=LIMITS)
        assert len(seen.content) <= len(data)
        return (seen.head.status, seen.content, *seen.body.trailers)

    both_ways(read, data[1:])


def multipart(data: bytes) -> None:
    """A form whose names and contents are anybody's: another parser must find exactly its fields."""
    parts = data.split(b"\xff")[:6]
    names = [part[: len(part) // 2].decode("latin-1") for part in parts]
    fields = []
    for name, part in zip(names, parts, strict=True):
        field = RequestField(name, part, filename=name[::-1] or None)
        field.make_multipart(content_type=None)
        fields.append(field)
    try:
        stream = MultipartStream(fields, "fuzz" * 8)
    except ValueError:
        assert any("\0" in name for name in names)  # the one character that a name can't have
        return
    body = b"".join(stream)
    assert stream.content_length == len(body)
    if any(b"fuzzfuzz" in part for part in parts):
        return
    head = f"Content-Type: {stream.content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    found = message.get_payload() if message.is_multipart() else []
    assert len(found) == len(parts), (data, body)


def request(data: bytes) -> None:
    """A request's head from anybody's parts: refused, or exactly one request."""
    texts = [part.decode("utf-8", "replace") for part in data.split(b"\xff", 3)]
    method, target, name, value = (*texts, "", "", "", "")[:4]
    try:
        check_target(target), check_name(name), check_value(name, value)
        sent = request_head(method, target, [(name, value)])
    except ValueError:
        return
    lines = sent.split(b"\r\n")
    assert len(lines) == 4
    assert lines[2:] == [b"", b""]
    assert lines[0].split(b" ") == [method.encode(), target.encode(), b"HTTP/1.1"]
    assert not set(sent.replace(b"\r\n", b"")) & {0, 10, 13}


TARGETS: dict[str, Callable[[bytes], None]] = {
    "head": head,
    "chunks": chunks,
    "response": response,
    "multipart": multipart,
    "request": request,
}
