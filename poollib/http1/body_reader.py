"""The bytes of one response's body, from the end of its head to the end of its framing.

A body reader pulls from an :class:`ReceiveBuffer` (bytes received and not used, and ways to get more) and
gives body bytes to ``response``; its ``state`` says to ``connection`` whether the socket can be used again.
It leaves decoding to ``content_encoding`` and timeouts to the callables.  Framing follows RFC 9112 sections 6.3 and
7.1; bytes behind the end of a body are never delivered.

A body's life::

    OPEN ── end of framing ──> REUSABLE     the connection may serve again
      │                   └──> CLOSE        complete, but the connection may not be used again
      └── error, cut short ──> BROKEN       incomplete: nothing more is believed
"""

from __future__ import annotations

import enum
import io
import re
from collections.abc import Callable, Iterator

from ..exceptions import IncompleteRead, InvalidChunkLength, ProtocolError, ResponseTooLargeError, chained
from .grammar import DEFAULT_LIMITS, MAX_CHUNK_DIGITS, MAX_PREALLOCATED_BYTES, RECEIVE_BYTES, Limits
from .response_head import CHUNKED, UNTIL_CLOSE, parse_trailers

PREALLOCATE_FROM_BYTES = 262144  # from here a BufferedReader fills the result directly: 160 ms for 256 MiB, join 300
LARGE_RECEIVE_BYTES = 131072 - 1024  # largest recv that malloc serves without mapping memory anew

Buffer = bytearray | memoryview  # of bytes, to be written into


class BodyState(enum.Enum):
    OPEN = "open"
    REUSABLE = "reusable"
    CLOSE = "close"
    BROKEN = "broken"
    UPGRADED = "upgraded"


_OPEN = BodyState.OPEN


class ReceiveBuffer:
    """Bytes that were received and not used (``data[at:]``), and ways to get more.

    ``recv(n)`` gives up to ``n`` bytes, ``recv_into(view)`` fills a part of ``view``; both wait, give nothing at
    the end of the stream, and raise poollib's errors.
    """

    __slots__ = ("at", "data", "recv")

    def __init__(self, recv: Callable[[int], bytes]) -> None:
        self.recv = recv
        self.data = b""
        self.at = 0

    def recv_into(self, view: Buffer) -> int:
        """How many bytes of ``view`` were filled; 0 at the end."""
        raise NotImplementedError

    def recv_whole(self, limit: int) -> bytes:
        """As ``recv``, waiting for all ``limit`` bytes where the socket can; may give fewer."""
        return self.recv(limit)

    def is_ready(self, wait_s: float) -> bool:
        """Whether more is at hand or comes within ``wait_s`` seconds; True also where that is unknown."""
        return True

    def unread(self) -> int:
        """How many received bytes nobody has used."""
        return len(self.data) - self.at

    def take(self, limit: int) -> bytes:
        """Up to ``limit`` of the received bytes."""
        data, at = self.data, self.at
        end = at + limit
        if end >= len(data):
            self.data, self.at = b"", 0
            return data[at:] if at else data
        self.at = end
        return data[at:end]

    def more(self) -> bool:
        """Receive once behind what is unread; False at the end of the stream."""
        piece = self.recv(LARGE_RECEIVE_BYTES)
        if self.at < len(self.data):
            self.data = self.data[self.at :] + piece
        else:
            self.data = piece
        self.at = 0
        return bool(piece)


class ReadIntoMixin:
    """Reading into memory of the caller's, made of ``read1``."""

    __slots__ = ()

    def read1(self, limit: int) -> bytes:
        """What is at hand, else what one receive brings, up to ``limit`` bytes; ``b""`` only at the end."""
        raise NotImplementedError

    def readinto1(self, view: Buffer) -> int:
        """As ``read1`` into ``view``: how many bytes of it were filled, 0 only at the end."""
        piece = self.read1(len(view))
        memoryview(view)[: len(piece)] = piece  # a bytearray itself would grow where a file gives too much
        return len(piece)

    def readinto(self, view: Buffer) -> int:
        """As ``read`` into ``view``: all of it is filled, less only at the end."""
        n = self.readinto1(view)
        while 0 < n < len(view) and (more := self.readinto1(memoryview(view)[n:])):
            n += more
        return n


class Body(ReadIntoMixin):
    """What all body readers offer; ``received`` counts the body's bytes so far.

    ``left``: bytes that are still to come; None if only the stream can tell.
    ``limit_bytes``: more than that raises ResponseTooLargeError; None means no limit.
    """

    __slots__ = ("incoming", "keep", "left", "limit_bytes", "received", "state", "trailers")

    def __init__(self, incoming: ReceiveBuffer, keep: bool, limit_bytes: int | None) -> None:
        self.incoming = incoming
        self.keep = keep
        self.limit_bytes = limit_bytes
        self.received = 0
        self.left: int | None = None
        self.state = BodyState.OPEN
        self.trailers: list[tuple[str, str]] = []

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end."""
        piece = self.read1(size)
        if len(piece) == size or self.state is not BodyState.OPEN:
            return piece
        pieces = [piece]
        missing = size - len(piece)
        while missing and (piece := self.read1(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def read_all(self) -> bytes:
        """All the rest."""
        pieces = []
        while piece := self.read1(LARGE_RECEIVE_BYTES):
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def check_announced(self) -> None:
        """ResponseTooLargeError if it is known before the body comes that it is too large."""

    def is_worth_draining(self, limit_bytes: int) -> bool:
        """Whether reading up to so many bytes may lead to the end of the body and save the connection."""
        return self.state is BodyState.OPEN and self.keep and (self.left or 0) <= limit_bytes

    def _count(self, n: int) -> None:
        self.received += n
        if self.limit_bytes is not None and self.received > self.limit_bytes:
            self._refuse_size()

    def _refuse_size(self) -> None:
        self.state = BodyState.BROKEN
        raise ResponseTooLargeError(f"the body of the response exceeds {self.limit_bytes} bytes", self.limit_bytes or 0)

    def _end(self) -> None:
        clean = self.keep and not self.incoming.unread()
        self.state = BodyState.REUSABLE if clean else BodyState.CLOSE

    def _cut_short(self, expected: int | None) -> ProtocolError:
        self.state = BodyState.BROKEN
        return broken(IncompleteRead(self.received, expected))


def broken(inner: Exception) -> ProtocolError:
    """The error for a body that can't be read to its end, around the one that says why."""
    return chained(ProtocolError(f"Connection broken: {inner!r}", inner), inner)


class LengthBody(Body):
    """A body of ``Content-Length`` bytes (RFC 9112 section 6.3 rule 6)."""

    __slots__ = ()

    left: int

    def __init__(self, incoming: ReceiveBuffer, keep: bool, limit_bytes: int | None, length: int) -> None:
        super().__init__(incoming, keep, limit_bytes)
        self.left = length
        if not length:
            self._end()

    def check_announced(self) -> None:
        if self.limit_bytes is not None and self.received + self.left > self.limit_bytes:
            self._refuse_size()

    def read1(self, limit: int) -> bytes:
        if self.limit_bytes is not None:
            self.check_announced()
        left = self.left
        if not left or limit <= 0:
            return b""
        if limit > left:
            limit = left
        incoming = self.incoming
        if incoming.data:
            piece = incoming.take(limit)
        else:
            piece = incoming.recv(limit if limit < LARGE_RECEIVE_BYTES else LARGE_RECEIVE_BYTES)
            if not piece:
                raise self._cut_short(left)
        n = len(piece)
        self.received += n
        self.left = left - n
        if n == left:
            self._end()
        return piece

    def read(self, size: int) -> bytes:
        if self.limit_bytes is not None:
            self.check_announced()
        left = self.left
        if size > left:
            size = left
        incoming = self.incoming
        if 0 < size <= len(incoming.data) - incoming.at:
            return self.read1(size)
        if incoming.data or size > LARGE_RECEIVE_BYTES or size <= 0:
            return (
                self._read_large(size)
                if PREALLOCATE_FROM_BYTES < size <= MAX_PREALLOCATED_BYTES
                else super().read(size)
            )
        piece = incoming.recv_whole(size)
        n = len(piece)
        if not n:
            raise self._cut_short(left)
        self.received += n
        self.left = left - n
        if n == left:
            self._end()
        if n == size:
            return piece
        pieces = [piece]
        missing = size - n
        recv = incoming.recv
        while missing:
            piece = recv(missing)
            if not piece:
                raise self._cut_short(self.left)
            n = len(piece)
            self.received += n
            self.left -= n
            pieces.append(piece)
            missing -= n
        if not self.left:
            self._end()
        return b"".join(pieces)

    def readinto1(self, view: Buffer) -> int:
        if self.limit_bytes is not None:
            self.check_announced()
        left = self.left
        if len(view) > left:
            view = memoryview(view)[:left]
        incoming = self.incoming
        if incoming.data or not view:
            return super().readinto1(view)
        n = incoming.recv_into(view)
        if not n:
            raise self._cut_short(left)
        self.received += n
        self.left = left - n
        if n == left:
            self._end()
        return n

    def read_all(self) -> bytes:
        if 0 < self.left <= len(self.incoming.data) - self.incoming.at:
            return self.read1(self.left)
        if PREALLOCATE_FROM_BYTES < self.left <= MAX_PREALLOCATED_BYTES:
            return self._read_large(self.left)
        return super().read_all()

    def _read_large(self, size: int) -> bytes:
        """One allocation, filled in place: its pages become real only as bytes arrive."""
        before = self.received
        try:
            whole: bytes = io.BufferedReader(_RawBody(self, size), RECEIVE_BYTES).read(size)
        except MemoryError:
            if self.received != before:
                raise
            return super().read(size)
        return whole


class _RawBody(io.RawIOBase):
    """A body as io's raw stream, so that BufferedReader can fill its result directly."""

    def __init__(self, body: Body, size: int) -> None:
        self._body = body
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        n = self._body.readinto1(buffer if len(buffer) <= self._left else buffer[: self._left])
        self._left -= n
        return n


class UnenforcedBody(LengthBody):
    """A body of up to ``Content-Length`` bytes: an end of the stream ends it as well, for callers that say so.

    ``left`` says then how many bytes did not come.
    """

    __slots__ = ()

    def read1(self, limit: int) -> bytes:
        if self.state is not BodyState.OPEN or limit <= 0:
            return b""
        incoming = self.incoming
        limit = min(limit, self.left, LARGE_RECEIVE_BYTES)
        piece = incoming.take(limit) if incoming.data else incoming.recv(limit)
        self.received += len(piece)
        self.left -= len(piece)
        if not piece:
            self.state = BodyState.CLOSE
        elif not self.left:
            self._end()
        return piece

    read = Body.read
    read_all = Body.read_all
    readinto1 = ReadIntoMixin.readinto1


class UntilCloseBody(Body):
    """A body that ends with the connection (RFC 9112 section 6.3 rule 8)."""

    __slots__ = ()

    def read1(self, limit: int) -> bytes:
        if self.state is not BodyState.OPEN or limit <= 0:
            return b""
        incoming = self.incoming
        if incoming.data:
            piece = incoming.take(limit)
        else:
            piece = incoming.recv(min(limit, LARGE_RECEIVE_BYTES))
            if not piece:
                self.state = BodyState.CLOSE
                return b""
        self._count(len(piece))
        return piece


class UpgradedBody(Body):
    """No body: behind this head (101, or 2xx to CONNECT) the connection speaks something else.

    The bytes that came behind the head stay in ``incoming`` for the caller that detaches the socket.
    """

    __slots__ = ()

    def __init__(self, incoming: ReceiveBuffer) -> None:
        super().__init__(incoming, False, None)
        self.left = 0
        self.state = BodyState.UPGRADED

    def read1(self, limit: int) -> bytes:
        return b""


_match_size = re.compile(rb"([0-9a-fA-F]{1,%d})([ \t]*(?:;[\t -~\x80-\xff]*)?)\r\n" % MAX_CHUNK_DIGITS).match


_CRLF_DUE = -1
FREE_EXTENSION_BYTES = 16  # of each chunk's extension, as in Go: some senders sign each chunk there


class ChunkedBody(Body):
    """A body in chunks (RFC 9112 section 7.1): strict sizes, exact line ends, bounded extensions and trailers."""

    __slots__ = ("_counted_data", "_excess", "_limits", "chunk_left")

    def __init__(self, incoming: ReceiveBuffer, keep: bool, limit_bytes: int | None, limits: Limits) -> None:
        super().__init__(incoming, keep, limit_bytes)
        self.chunk_left: int | None = None  # None: a size line comes next; _CRLF_DUE: the CR LF of a chunk
        self._limits = limits
        self._excess = 0  # extension bytes beyond the allowance
        self._counted_data = 0  # bytes of data that the allowance has been given for

    def read1(self, limit: int) -> bytes:
        if self.state is not BodyState.OPEN or limit <= 0:
            return b""
        left = self.chunk_left
        if left is None or left < 0:
            left = self.next_size()
            if not left:
                return b""
        incoming = self.incoming
        if not incoming.data and not incoming.more():
            raise self._cut_short(left)
        piece = incoming.take(limit if limit < left else left)
        self._count(len(piece))
        self._advance(left - len(piece))
        return piece

    def read(self, size: int) -> bytes:
        pieces = []
        missing = size
        while missing > 0 and (piece := self.read1(missing)):
            pieces.append(piece)
            missing -= len(piece)
            for piece in self.whole_chunks(missing):
                pieces.append(piece)
                missing -= len(piece)
                if missing < len(piece):
                    break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_all(self) -> bytes:
        pieces = []
        while piece := self.read1(LARGE_RECEIVE_BYTES):
            pieces.append(piece)
            pieces.extend(self.whole_chunks(None))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_chunk(self, limit: int | None) -> bytes:
        """The next chunk, or exactly ``limit`` bytes of it if it is longer; ``b""`` at the end."""
        if self.state is not BodyState.OPEN:
            return b""
        if self.chunk_left is None and (piece := self._whole_chunk(limit)):
            return piece
        left = self.chunk_left
        if left is None or left < 0:
            left = self.next_size()
            if not left:
                return b""
        wanted = left if limit is None or limit > left else limit
        piece = self.read1(wanted)
        return piece if len(piece) == wanted else self._joined(piece, wanted)

    def _joined(self, piece: bytes, wanted: int) -> bytes:
        """``piece`` and what is missing of ``wanted`` bytes of this chunk."""
        pieces = [piece]
        wanted -= len(piece)
        while wanted:
            piece = self.read1(wanted)
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _whole_chunk(self, limit: int | None) -> bytes:
        """The next chunk if all of it is in and nothing about it is special; else ``b""``, and nothing is used up."""
        incoming = self.incoming
        data = incoming.data
        match = _match_size(data, incoming.at)
        if match is None or match[2]:
            return b""
        start = match.end()
        size = int(match[1], 16)
        end = start + size
        if not size or not data.startswith(b"\r\n", end) or (limit is not None and size > limit):
            return b""
        incoming.at = end + 2
        if incoming.at == len(data):
            incoming.data, incoming.at = b"", 0
        self._count(size)
        return data[start:end]

    def whole_chunks(self, limit: int | None) -> Iterator[bytes]:
        """The next chunks of the size of the last one, as long as all of each is in and nothing about it is special.

        One comparison says of each that it ends with CR LF and that another of its size begins, by a line which was
        checked before. Nothing is received and nothing raised; what is not taken stays, for any other way of reading.
        """
        incoming = self.incoming
        data, at = incoming.data, incoming.at
        match = _match_size(data, at) if self.chunk_left is None and self.limit_bytes is None else None
        if match is None or match[2]:
            return
        size = int(match[1], 16)
        between = b"\r\n" + match[0]
        start, step = match.end(), size + len(between)
        end = start + size
        if not size or (limit is not None and size > limit):
            return
        while data.startswith(between, end) and incoming.at == at and incoming.data is data and self.state is _OPEN:
            self.received += size
            at = incoming.at = end + 2
            yield data[start:end]
            start += step
            end += step

    def _advance(self, left: int) -> None:
        """Note what is left of the chunk; its CR LF is looked for at once if it is in, else when more is asked for."""
        self.chunk_left = left
        if left:
            return
        incoming = self.incoming
        if incoming.data.startswith(b"\r\n", incoming.at):
            incoming.take(2)
            self.chunk_left = None
        elif incoming.unread() >= 2:
            raise self._refuse(incoming.data[incoming.at : incoming.at + 2])
        else:
            self.chunk_left = _CRLF_DUE

    def _end_chunk(self) -> None:
        """Behind the last byte of a chunk exactly CR LF must stand."""
        incoming = self.incoming
        while incoming.unread() < 2:
            if incoming.unread() and incoming.data[incoming.at] != 13:
                break
            if not incoming.more():
                raise self._cut_short(None)
        if not incoming.data.startswith(b"\r\n", incoming.at):
            raise self._refuse(incoming.data[incoming.at : incoming.at + 2])
        incoming.take(2)

    def next_size(self) -> int:
        """The size of the next chunk, its size line used up; at the last one the trailers, too."""
        incoming = self.incoming
        if self.chunk_left is not None:
            self._end_chunk()
        match = _match_size(incoming.data, incoming.at)
        if match is None:
            match = self._wait_for_size()
        incoming.at = match.end()
        if incoming.at == len(incoming.data):
            incoming.data, incoming.at = b"", 0
        size = int(match[1], 16)
        if match[2]:
            self._count_extension(match, size)
        self.chunk_left = size
        if not size:
            self._read_trailers()
        return size

    def _count_extension(self, match: re.Match[bytes], size: int) -> None:
        """Refuse a chunk line that is too long, or the one with which extensions outweigh the data (CVE-2023-39326).

        Allowed are FREE_EXTENSION_BYTES a chunk and two for each byte of data. The excess may be ``overhead_bytes``;
        later data reduces it, so that no stream fails for its length alone.
        """
        data = self.received + size - self._counted_data
        self._counted_data += data
        self._excess = max(0, self._excess + len(match[2]) - FREE_EXTENSION_BYTES - 2 * data)
        is_too_long = len(match[0]) - 2 > self._limits.chunk_line_bytes
        if self._excess > self._limits.overhead_bytes or is_too_long:
            raise self._refuse(match[0][:80], is_too_long)

    def _wait_for_size(self) -> re.Match[bytes]:
        incoming = self.incoming
        while True:
            end = incoming.data.find(b"\n", incoming.at)
            if end >= 0 or incoming.unread() > self._limits.chunk_line_bytes + 2:
                match = _match_size(incoming.data, incoming.at)
                if match is None:
                    raise self._refuse(incoming.data[incoming.at : incoming.at + 80], end < 0)
                return match
            if not incoming.more():
                if incoming.unread():
                    raise self._refuse(incoming.take(80))
                raise self._without_last_chunk()

    def _read_trailers(self) -> None:
        """Trailer fields up to the empty line; a stream that ends right behind the last chunk is complete."""
        incoming = self.incoming
        while True:
            found = parse_trailers(incoming.data, incoming.at, self._limits)
            if found is not None:
                self.trailers, end = found
                incoming.take(end - incoming.at)
                self.chunk_left = 0
                self._end()
                return
            if not incoming.more():
                if incoming.unread():
                    raise self._cut_short(None)
                self.keep = False
                self._end()
                return

    def _without_last_chunk(self) -> ProtocolError:
        """In urllib3's words for an end between two chunks; azure-core tells it by them from an end within one."""
        self.state = BodyState.BROKEN
        text = f"Response ended prematurely: no last chunk came, {self.received} bytes did"
        return chained(ProtocolError(text), IncompleteRead(self.received, None))

    def _refuse(self, line: bytes, is_too_long: bool = False) -> ProtocolError:
        self.state = BodyState.BROKEN
        error = broken(InvalidChunkLength(_Received(self.received), line))
        if is_too_long:
            error.args = ("Response chunk size line exceeded maximum allowed length", error.args[1])
        return error


class _Received:
    """What InvalidChunkLength asks of a response: how many bytes of body were read before."""

    length_remaining = None

    def __init__(self, received: int) -> None:
        self._received = received

    def tell(self) -> int:
        return self._received


def body_reader(
    incoming: ReceiveBuffer,
    length: int,
    keep: bool,
    limit_bytes: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    enforce_length: bool = True,
) -> Body:
    """The reader for a body of ``length`` bytes, or for one that is CHUNKED or ends with the connection."""
    if length >= 0:
        kind = LengthBody if enforce_length else UnenforcedBody
        return kind(incoming, keep, limit_bytes, length)
    if length == CHUNKED:
        return ChunkedBody(incoming, keep, limit_bytes, limits)
    assert length == UNTIL_CLOSE
    return UntilCloseBody(incoming, False, limit_bytes)
