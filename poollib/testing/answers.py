"""What a fake server answers: a response as a value, the bytes it comes to, and how these bytes arrive.

:class:`Answer` is immutable; its methods give a copy that arrives otherwise: cut off, reset, in drips, or not at all.
``server_end`` asks for the :data:`Step` values, ``memory_socket`` plays them. Which answer belongs to which request is
``table``'s. Follows RFC 9112 sections 6 and 7.1.
"""

from __future__ import annotations

import enum
import json as jsons
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import chain, count
from typing import Final, TypeAlias


class End(enum.Enum):
    """What follows the last byte that is sent."""

    KEEP = "kept"
    CLOSE = "closed"
    RESET = "reset"
    STALL = "stalled"


#: What happens next on a connection: bytes that one receive gives, such bytes made as they are received, or an end.
Step: TypeAlias = "bytes | Iterator[bytes] | End"

_NO_JSON: Final = object()


@dataclass(frozen=True)
class Answer:
    """A response. ``body``: bytes or text with their Content-Length, or an iterable of chunks, sent chunked. An
    iterator is asked for its chunks as they are received, so it may be one without end.

    ``headers`` are sent as they are; a Content-Length, Transfer-Encoding or Content-Type among them replaces the one
    that would be added. ``json`` in the place of ``body``. ``reason``: None for the usual one.
    ``raw``: these bytes and no others are sent, then the connection is closed.
    """

    status: int = 200
    body: bytes | str | Iterable[bytes] = b""
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    json: object = _NO_JSON
    reason: str | None = None
    raw: bytes | None = None
    end: End = End.KEEP
    sent_bytes: int | None = None  # of what follows the head; None: all of it, -1: not even the head
    piece_bytes: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.status, int) or not 100 <= self.status <= 999:
            raise ValueError(f"status {self.status!r} is none: it is an int of three digits")
        if self.json is not _NO_JSON and self.body:
            raise ValueError("an answer has a body or json, not both")
        if not isinstance(self.body, (bytes, str)):
            object.__setattr__(self, "body", _replayable(self.body))
        if not isinstance(self.headers, Mapping):
            object.__setattr__(self, "headers", tuple(self.headers))

    def reset(self, after: int | None = None) -> Answer:
        """The connection is reset after so many bytes of the body as it is framed; None: before the first byte."""
        return self._ending(End.RESET, after)

    def close(self, after: int | None = None) -> Answer:
        """As ``reset``, but the connection is closed in order."""
        return self._ending(End.CLOSE, after)

    def stall(self, after: int | None = None) -> Answer:
        """As ``reset``, but nothing more comes, not even an end: the caller's timeout is over at once."""
        return self._ending(End.STALL, after)

    def drip(self, piece_bytes: int = 1) -> Answer:
        """Each receive gives no more than so many bytes, of the head as of the body."""
        if piece_bytes < 1:
            raise ValueError(f"pieces of {piece_bytes} bytes: at least 1 is needed")
        return replace(self, piece_bytes=piece_bytes)

    def _ending(self, end: End, after: int | None) -> Answer:
        if after is not None and after < 0:
            raise ValueError(f"an end after {after} bytes: a count is needed, or None for none of the answer")
        return replace(self, end=end, sent_bytes=-1 if after is None else after)

    def steps(self, method: str) -> Iterator[Step]:
        """What arrives on the connection, for a request by this method."""
        head, body = (self.raw, b"") if self.raw is not None else self._head_and_body(method)
        if self.sent_bytes is not None:
            head = head if self.sent_bytes >= 0 else b""
            body = _cut(body, max(self.sent_bytes, 0))
        if isinstance(body, bytes):
            yield from _pieces([head + body], self.piece_bytes)
        else:
            yield from _pieces([head], self.piece_bytes)
            yield _pieces(body, self.piece_bytes)
        if self.end is not End.KEEP:
            yield self.end
        elif self.raw is not None or self._says_close():
            yield End.CLOSE

    def _pairs(self) -> list[tuple[str, str]]:
        headers = self.headers
        return list(headers.items() if isinstance(headers, Mapping) else headers)

    def _says_close(self) -> bool:
        return any(name.lower() == "connection" and "close" in value.lower() for name, value in self._pairs())

    def _head_and_body(self, method: str) -> tuple[bytes, bytes | Iterator[bytes]]:
        pairs, body = self._pairs(), self.body
        names = {name.lower() for name, _ in pairs}
        if self.json is not _NO_JSON:
            body = jsons.dumps(self.json).encode()
            if "content-type" not in names:
                pairs.append(("Content-Type", "application/json"))
        is_bodiless = self.status < 200 or self.status in (204, 304)
        framed, framing = _framed(body)
        if not is_bodiless and not names & {"content-length", "transfer-encoding"}:
            pairs.append(framing)
        reason = _reason(self.status) if self.reason is None else self.reason
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in pairs), "", ""]
        return "\r\n".join(lines).encode("latin-1"), b"" if is_bodiless or method == "HEAD" else framed


class _Chunks:
    """Chunks of an iterator, asked for one by one and kept, so that the next response has the same."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._kept: list[bytes] = []
        self._lock = threading.Lock()  # of both

    def __iter__(self) -> Iterator[bytes]:
        for at in count():
            with self._lock:
                if at == len(self._kept):
                    try:
                        self._kept.append(_chunk(next(self._source)))
                    except StopIteration:
                        return
            yield self._kept[at]


def _replayable(body: Iterable[bytes]) -> Iterable[bytes]:
    """Chunks that can be sent again and again. TypeError for what is no body."""
    if isinstance(body, Mapping) or not isinstance(body, Iterable):
        hint = ": give it as json=" if isinstance(body, Mapping) else ""
        raise TypeError(f"a body is bytes, text or an iterable of bytes, not {type(body).__name__}{hint}")
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)  # type: ignore[return-value]  # an iterable of numbers, which the caller of this knows
    return _Chunks(body) if isinstance(body, Iterator) else tuple(map(_chunk, body))


def _chunk(chunk: object) -> bytes:
    if not isinstance(chunk, bytes):
        raise TypeError(f"a body's chunks are bytes, not {type(chunk).__name__}")
    return chunk


def _framed(body: bytes | str | Iterable[bytes]) -> tuple[bytes | Iterator[bytes], tuple[str, str]]:
    """The body as it is sent, and the field that says where it ends."""
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, bytes):
        return body, ("Content-Length", str(len(body)))
    chunks = (b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in body if chunk)
    frames = chain(chunks, [b"0\r\n\r\n"])
    return frames if isinstance(body, _Chunks) else b"".join(frames), ("Transfer-Encoding", "chunked")


def _cut(body: bytes | Iterator[bytes], limit_bytes: int) -> bytes | Iterator[bytes]:
    """The first bytes of a body."""
    return body[:limit_bytes] if isinstance(body, bytes) else _first(body, limit_bytes)


def _first(frames: Iterator[bytes], limit_bytes: int) -> Iterator[bytes]:
    while limit_bytes > 0 and (frame := next(frames, b"")):
        yield frame[:limit_bytes]
        limit_bytes -= len(frame)


def _pieces(parts: Iterable[bytes], piece_bytes: int | None) -> Iterator[bytes]:
    """The parts, none longer than so many bytes; None: as they are."""
    for part in parts:
        size = piece_bytes or len(part) or 1
        yield from (part[at : at + size] for at in range(0, len(part), size))


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


# Faults to order


def truncated_chunk(body: bytes = b"cut off", announced_bytes: int | None = None) -> Answer:
    """A chunked response, closed within its one chunk: of ``announced_bytes``, None for twice as many as are sent."""
    announced_bytes = 2 * len(body) if announced_bytes is None else announced_bytes
    if announced_bytes <= len(body):
        raise ValueError(f"a chunk of {announced_bytes} bytes with {len(body)} sent is not truncated")
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return Answer(raw=b"%b%x\r\n%b" % (head, announced_bytes, body))


def garbage_head(data: bytes = b"\x00\xff is no HTTP\r\n\r\n") -> Answer:
    """Bytes that are no response."""
    return Answer(raw=data)


def unavailable(retry_after_s: int | None = None) -> Answer:
    """503 Service Unavailable, with a Retry-After where seconds are given."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return Answer(503, b"unavailable\n", headers)
