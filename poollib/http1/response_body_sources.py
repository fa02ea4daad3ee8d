"""Two more places that body bytes come from: any file object, and a body seen through a decoder.

Both offer what a ``body_reader`` reader offers, so that ``response`` reads all three alike.  :class:`FileBody` stands
in for a live body where a recorder or a mock supplies one; :class:`DecodedBody` undoes Content-Encoding on the way,
never more than about what is asked for.  Framing is left to ``body_reader``, the codings themselves to ``decoders``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from ..base.tls_errors import is_ragged_end, is_tls_error
from ..exceptions import DecodeError, IncompleteRead, ProtocolError, ReadTimeoutError, ResponseTooLargeError, SSLError
from .body_reader import Body, BodyState, ReadIntoMixin, ReceiveBuffer, broken
from .decoders import ContentDecoder, GzipDecoder, gunzipped

DECODE_STEP_BYTES = 65536  # one step of inflating: small enough for malloc to serve it without new pages
# Where all is kept anyway, larger steps: 1090 us instead of 1240 for 1 MiB of JSON (CPython 3.11, 2026-11).
WHOLE_STEP_BYTES = 262144
WHOLE_OUTPUT_BYTES = 4 << 20
PAUSE_S = 0.01  # what follows within this time is decoded with what came before, in one step

if TYPE_CHECKING:
    from .content_encoding import BytesQueueBuffer


def _receive_nothing(limit: int) -> bytes:
    return b""


_NOTHING = ReceiveBuffer(_receive_nothing)  # comes from a server where a file is read; pickles with its response


class FileBody(Body):
    """A body from any object with ``read``: a file, a recorder's stub, an ``http.client`` response.

    ``length``: fewer bytes than that are an error, and so are more, which a body read whole says when it is read once
    more, as in urllib3; None: whatever the file gives is the body.
    """

    __slots__ = ("_excess", "_left", "file")

    def __init__(self, file: object, length: int | None) -> None:
        super().__init__(_NOTHING, True, None)
        self.file: Any = file  # recorders and mocks have methods of their own
        self.left = self._left = length
        self._excess = 0

    def read1(self, limit: int) -> bytes:
        return self._read(limit)

    def read_all(self) -> bytes:
        return self._read(None)

    def _read(self, limit: int | None) -> bytes:
        if self.state is not BodyState.OPEN or limit == 0:
            if self._excess and limit:
                raise self._too_much()
            return b""
        try:
            data = self._take(limit)
        except TimeoutError as error:
            raise ReadTimeoutError(None, None, "Read timed out.") from error
        except (HTTPException, OSError) as error:
            raise (SSLError(error) if is_tls_error(error) and not is_ragged_end(error) else broken(error)) from error
        self.received += len(data)
        if self._left is not None:
            self._left -= len(data)
            if limit is None and self._left < 0:
                self._excess, self._left = -self._left, 0
            self.left = max(0, self._left)
        if limit is None or not data or self._was_closed():
            self._finish()
        return data

    def _too_much(self) -> ProtocolError:
        error = IncompleteRead(self.received, -self._excess)
        if self._excess == self.received:
            return ProtocolError("Response may not contain content.", error)
        return broken(error)

    def _take(self, limit: int | None) -> bytes:
        """What the file gives, with its own errors."""
        file = self.file
        if hasattr(file, "closed") and file.closed is True:  # a mock closes itself when it is asked this
            return b""
        return file.read() if limit is None else file.read(limit)  # type: ignore[no-any-return]

    def _was_closed(self) -> bool:
        """Whether the file closed itself with its last byte, as ``http.client``'s responses do."""
        file = self.file
        return hasattr(file, "isclosed") and file.isclosed() is True

    def _finish(self) -> None:
        if self._left:
            self.state = BodyState.BROKEN
            raise broken(IncompleteRead(self.received, self._left))
        self.state = BodyState.REUSABLE

    def flush(self) -> None:
        """Flush the file, if it can be flushed and is open."""
        file = self.file
        if hasattr(file, "flush") and not (hasattr(file, "closed") and file.closed):
            file.flush()

    def close(self) -> None:
        """Close the file, if it can be closed."""
        file = self.file
        if hasattr(file, "close"):
            file.close()


class DecodedBody(ReadIntoMixin):
    """A body source seen through a decoder: the same ways to read, each bounded by what was asked for."""

    __slots__ = ("_encoding", "_limit_bytes", "_source", "ahead", "decoder", "ended", "produced")

    def __init__(self, source: Body, decoder: ContentDecoder, encoding: str, limit_bytes: int | None) -> None:
        self._source = source
        self.decoder = decoder
        self._encoding = encoding
        self.ahead: BytesQueueBuffer | None = None  # what somebody else has decoded and put before the rest
        self._limit_bytes = limit_bytes
        self.produced = 0
        self.ended = False

    def read1(self, limit: int) -> bytes:
        """The next decoded bytes, at most about ``limit``; ``b""`` only at the end."""
        return self._next(limit, self._source.read1, DECODE_STEP_BYTES)

    def _next(self, limit: int, take: Callable[[int], bytes], step: int) -> bytes:
        """As ``read1``, from up to ``step`` coded bytes at a time."""
        if self.ahead and limit > 0:
            return self._counted(self.ahead.get(limit))
        if self.ended or limit <= 0:
            return b""
        decoder = self.decoder
        while True:
            data = b"" if decoder.has_unconsumed_tail else take(step)
            if data or decoder.has_unconsumed_tail:
                piece = self._decompress(data, limit)
            else:
                self.ended = True
                piece = self._flush()
            if piece or self.ended:
                return self._counted(piece)

    def read(self, size: int) -> bytes:
        """Exactly ``size`` decoded bytes, fewer only at the end."""
        piece = self.read1(size)
        if len(piece) == size or not piece:
            return piece
        out = io.BytesIO()
        while piece:
            out.write(piece)
            piece = self.read1(size - out.tell())
        return out.getvalue()

    def read_all(self) -> bytes:
        """All the rest, decoded step by step, so that memory follows what comes out; a short gzip body at once."""
        if not self.produced and not self.ended and type(self.decoder) is GzipDecoder and not self._is_begun():
            whole = self._whole_gzip(self.decoder)
            if whole is not None:
                return whole
        first = self._next_large()
        piece = self._next_large()
        if not piece:
            return first
        out = io.BytesIO()
        out.write(first)
        while piece:
            out.write(piece)
            piece = self._next_large()
        return out.getvalue()

    def _is_begun(self) -> bool:
        """Whether somebody else has fed the decoder."""
        return bool(self.ahead) or self.decoder.has_unconsumed_tail

    def _whole_gzip(self, decoder: GzipDecoder) -> bytes | None:
        """The whole body, if it is short and plain; else None, and what was read of it waits in the decoder."""
        data = self._next_coded(WHOLE_STEP_BYTES)
        if self._source.state is not BodyState.OPEN:
            whole = gunzipped(data, self._limit_bytes)
            if whole is not None:
                self.ended = True
                return self._counted(whole)
        decoder.decompress(data, 0)
        return None

    def _next_large(self) -> bytes:
        limit = WHOLE_OUTPUT_BYTES
        if self._limit_bytes is not None:
            limit = min(limit, self._limit_bytes - self.produced + 1)
        return self._next(limit, self._next_coded, WHOLE_STEP_BYTES)

    def _next_coded(self, limit: int) -> bytes:
        """Coded bytes: the next ones to come, and what follows without a pause; ``b""`` only at the end.

        Waiting for all ``limit`` bytes would hide damaged data for as long as the server keeps the connection open.
        """
        source = self._source
        piece = source.read1(limit)
        if source.state is not BodyState.OPEN or len(piece) == limit:
            return piece
        pieces, missing = [piece], limit - len(piece)
        while missing and source.state is BodyState.OPEN and source.incoming.is_ready(PAUSE_S):
            piece = source.read1(missing)
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _decompress(self, data: bytes, limit: int) -> bytes:
        try:
            return self.decoder.decompress(data, max_length=limit)
        except DecodeError as error:
            raise self._undecodable(error) from error

    def _flush(self) -> bytes:
        try:
            return self.decoder.flush()
        except DecodeError as error:
            raise self._undecodable(error) from error

    def _undecodable(self, error: DecodeError) -> DecodeError:
        text = f"Received response with content-encoding: {self._encoding}, but failed to decode it."
        return DecodeError(text, error)

    def _counted(self, piece: bytes) -> bytes:
        self.produced += len(piece)
        if self._limit_bytes is not None and self.produced > self._limit_bytes:
            raise ResponseTooLargeError(
                f"the decoded body of the response exceeds {self._limit_bytes} bytes", self._limit_bytes
            )
        return piece
