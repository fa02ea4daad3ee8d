"""One case of bytes, fed in every way that a network may cut it; and what became of it.

A response is fed whole, byte by byte, in two pieces at every place, and in pieces of seven bytes.  ``read_response``
reads it as a connection would, over a fake socket's two callables, and gives what a caller would see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from poollib.http1.body_reader import Body, Buffer, ChunkedBody, ReceiveBuffer, body_reader
from poollib.http1.grammar import DEFAULT_LIMITS, Limits
from poollib.http1.response_head import Head, complete_head


class Pieces:
    """Gives bytes as they were cut, and then the end for ever."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece][::-1]

    def recv(self, limit: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop()
        if len(piece) > limit:
            self.pieces.append(piece[limit:])
        return piece[:limit]

    def recv_into(self, view: memoryview) -> int:
        piece = self.recv(len(view))
        view[: len(piece)] = piece
        return len(piece)


class Feed(ReceiveBuffer):
    """Incoming bytes from two callables, as a body reader takes them."""

    __slots__ = ("_recv_into",)

    def __init__(self, recv: Callable[[int], bytes], recv_into: Callable[[memoryview], int]) -> None:
        super().__init__(recv)
        self._recv_into = recv_into

    def recv_into(self, view: Buffer) -> int:
        return self._recv_into(memoryview(view))


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """All the ways; two pieces at every place only for what is short."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    yield [data[at : at + 7] for at in range(0, len(data), 7)]
    if len(data) <= 400:
        for at in range(1, len(data)):
            yield [data[:at], data[at:]]


class Seen(NamedTuple):
    """What a caller would see of one response, and what is left of the bytes."""

    head: Head
    content: bytes
    body: Body
    unread: bytes


Reader = Callable[[Body], bytes]


def by_read_all(body: Body) -> bytes:
    return body.read_all()


def by_read(body: Body) -> bytes:
    return b"".join(iter(lambda: body.read(3), b""))


def by_read1(body: Body) -> bytes:
    return b"".join(iter(lambda: body.read1(5), b""))


def by_readinto(body: Body) -> bytes:
    buffer, got = bytearray(4), b""
    while n := body.readinto(memoryview(buffer)):
        got += buffer[:n]
    return got


def by_readinto1(body: Body) -> bytes:
    buffer, got = bytearray(6), b""
    while n := body.readinto1(memoryview(buffer)):
        got += buffer[:n]
    return got


def chunks_of(body: ChunkedBody, limit: int | None) -> Iterator[bytes]:
    """The chunks of a body, as ``stream`` reads them."""
    while chunk := body.read_chunk(limit):
        yield chunk
        yield from body.whole_chunks(limit)


def by_chunks(body: Body) -> bytes:
    return b"".join(chunks_of(body, None)) if isinstance(body, ChunkedBody) else by_read1(body)


READERS: dict[str, Reader] = {
    "read_all": by_read_all,
    "read": by_read,
    "read1": by_read1,
    "readinto": by_readinto,
    "readinto1": by_readinto1,
    "chunks": by_chunks,
}


def read_response(
    pieces: list[bytes], method: str = "GET", read: Reader = by_read_all, limits: Limits = DEFAULT_LIMITS
) -> Seen:
    """One final response, as ``connection`` reads it."""
    source = Pieces(pieces)
    data, head, end = complete_head(source.recv, b"", limits)
    while head.status < 200 and head.status != 101:
        data, head, end = complete_head(source.recv, data[end:], limits)
    incoming = Feed(source.recv, source.recv_into)
    incoming.data, incoming.at = (data, end) if end < len(data) else (b"", 0)
    body = body_reader(incoming, head.body_length(method), head.keep_alive, None, limits)
    content = read(body)
    return Seen(head, content, body, incoming.data[incoming.at :])
