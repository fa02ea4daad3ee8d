"""Received bytes to requests, as a server sees them; each is kept for a test to look at.

:class:`RequestReader` takes bytes in pieces of any length and gives :class:`RecordedRequest` values to ``server_end``,
which answers them. It reads what poollib's writer writes and refuses the rest; what a hostile client may send is no
concern of a fake. Follows RFC 9112 sections 3, 6 and 7.1.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from ..base.headers import HTTPHeaderDict


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it was sent. ``url``: absolute, without the scheme's own port. ``connection``: which one, from 1."""

    method: str
    url: str
    headers: HTTPHeaderDict = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    connection: int = 0

    def __str__(self) -> str:
        return f"{self.method} {self.url}"

    def text(self) -> str:
        """The body as UTF-8 text."""
        return self.body.decode()

    def json(self) -> object:
        """The body's JSON. ValueError: it is none."""
        value: object = json.loads(self.body)
        return value


@dataclass(frozen=True)
class RequestHead:
    """What stands before a body, which is still to come."""

    method: str
    target: str
    headers: HTTPHeaderDict

    @property
    def expects_continue(self) -> bool:
        """Whether the body waits for 100 Continue."""
        return self.headers.get("expect", "").lower() == "100-continue"


class RequestReader:
    """Bytes in, heads and bodies out, in turn."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parser = self._parse()

    def feed(self, data: bytes) -> Iterator[RequestHead | bytes]:
        """Each head and each whole body that the bytes complete; of each request first the head, then the body."""
        self._buffer += data
        while (found := next(self._parser)) is not None:
            yield found

    def _parse(self) -> Generator[RequestHead | bytes | None, None, None]:
        while True:
            head = _head((yield from self._until(b"\r\n\r\n")))
            yield head
            if "chunked" in head.headers.get("transfer-encoding", "").lower():
                yield (yield from self._chunked())
            else:
                yield (yield from self._exactly(int(head.headers.get("content-length", 0))))

    def _until(self, mark: bytes) -> Generator[None, None, bytes]:
        """What stands before the mark, which is taken as well."""
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
            start = max(0, len(self._buffer) - len(mark))
            yield
        return (yield from self._exactly(at + len(mark)))[:at]

    def _exactly(self, count: int) -> Generator[None, None, bytes]:
        while len(self._buffer) < count:
            yield
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _chunked(self) -> Generator[None, None, bytes]:
        chunks = []
        while size := int((yield from self._until(b"\r\n")).partition(b";")[0], 16):
            chunks.append((yield from self._exactly(size + 2))[:size])
        while (yield from self._until(b"\r\n")):  # trailers
            pass
        return b"".join(chunks)


def _head(data: bytes) -> RequestHead:
    lines = data.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        raise ValueError(f"{lines[0][:80]!r} is no request line: what was sent is not HTTP/1.1")
    headers = HTTPHeaderDict()
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    return RequestHead(words[0], words[1], headers)
