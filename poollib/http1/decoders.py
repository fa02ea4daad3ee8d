"""Content codings, one class each: coded bytes in, plain bytes out, never many more than were asked for.

A decoder keeps the input it could not use yet and is asked again with ``b""``, so that a body of a few bytes
that swells to gigabytes costs its reader only what the reader asks for. ``content_encoding`` takes its decoders from
here by name, one for each coding of a ``Content-Encoding`` value; what that value says is left to it. Sources: RFC 1950
to 1952 (deflate, gzip), RFC 7932 (br), RFC 8878 and RFC 9659 (zstd).

What a decoder promises, whatever it is fed:

| call | result |
| --- | --- |
| ``decompress(data)`` | all plain bytes that can be had by now |
| ``decompress(data, n)`` | at most n plain bytes; the input left over is kept inside |
| ``decompress(data, 0)`` | ``b""``: the data is only stored |
| ``has_unconsumed_tail`` | True while ``decompress(b"", n)`` can still do something |
| ``flush()`` | always ``b""``; DecodeError when the input so far is the beginning of a stream that goes on |

Each pass of each loop here uses up input, yields output or ends (bytes behind the end of a deflate stream once
made another library loop forever: CVE-2026-97688). Every error of a codec becomes ``DecodeError(message, original)``.
"""

from __future__ import annotations

import zlib
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Protocol

from ..exceptions import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ZSTD_MAX_WINDOW_LOG = 23
"""8 MiB, the largest window a client has to offer: RFC 9659 section 3."""

BR_STEP_BYTES = 65_536
"""Bytes that the br decoder takes, and gives, at a time."""

MAX_DEFLATE_RATIO = 1032
"""Deflate makes no more of a byte: 258 of two bits (zlib's technical notes)."""

WHOLE_GZIP_BYTES = range(32769, (4 << 20) + 1)
"""Sizes that one buffer is made for on the word of a gzip trailer; smaller ones fit into zlib's first block."""

_GZIP_MAGIC = b"\x1f\x8b\x08"
_GZIP_WBITS = 16 + zlib.MAX_WBITS
_PLAIN_GZIP = _GZIP_MAGIC + b"\0"  # no name, no comment, no extra field
_STORED_BYTE = b"\0\1\0\xfe\xff\0"
_FIRST_MEMBER_LIMIT = 256
_WHOLE = 1 << 62
_EMPTY = memoryview(b"")


class ContentDecoder:
    """What every decoder offers; the table stands in the module's docstring."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return plain bytes: all there are, or at most ``max_length``. Raises DecodeError."""
        raise NotImplementedError

    @property
    def has_unconsumed_tail(self) -> bool:
        """True while ``decompress(b"", n)`` can still yield something without more input."""
        raise NotImplementedError

    def flush(self) -> bytes:
        """Return ``b""``; to be called when the input has ended. Raises DecodeError if it was cut short."""
        raise NotImplementedError


class _InputQueue:
    """Input not used yet: taken from the front in pieces, and the rest is never copied for it."""

    __slots__ = ("_chunks", "front")

    def __init__(self) -> None:
        self.front = _EMPTY
        self._chunks: deque[memoryview] = deque()

    def __bool__(self) -> bool:
        return bool(self.front)

    def put(self, data: bytes) -> None:
        """Add at the end. A caller's own buffer is copied, for the caller may fill it anew."""
        if not data:
            return
        view = memoryview(data if type(data) is bytes else bytes(data))
        if self.front:
            self._chunks.append(view)
        else:
            self.front = view

    def put_back(self, data: bytes) -> None:
        """Add in front of all else."""
        if not data:
            return
        if self.front:
            self._chunks.appendleft(self.front)
        self.front = memoryview(data)

    def peek(self, size: int) -> memoryview:
        """Return 1 to ``size`` bytes, without taking them; none if the queue is empty."""
        return self.front[:size]

    def skip(self, size: int) -> None:
        """Take ``size`` bytes away, no more than ``peek`` returned."""
        rest = self.front[size:]
        if not rest and self._chunks:
            rest = self._chunks.popleft()
        self.front = rest

    def clear(self) -> None:
        self.front = _EMPTY
        self._chunks.clear()


class _ZlibStream(Protocol):
    """What ``zlib.decompressobj`` makes."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: memoryview, max_length: int = 0, /) -> bytes: ...


class _BoundedDecoder(ContentDecoder):
    """The loop all codings share: use up the input, one ``_step`` at a time, until there is the output wanted."""

    coding = ""
    _errors: tuple[type[Exception], ...] = (EOFError,)

    def __init__(self) -> None:
        self._input = _InputQueue()
        self._extra_output = _EMPTY
        """Output beyond what was asked for, of codecs that only know rough limits."""
        self._pending = False
        """The codec may have more output without more input."""
        self._midway = False
        """Some of a stream has been read, but not its end."""
        self._member_limit = _WHOLE
        """Input bytes to offer at most. Small at the start of a later member, for what lies beyond its end is
        copied; doubled while it does not end, so that the copies stay in proportion to what is read."""

    @property
    def has_unconsumed_tail(self) -> bool:
        return self._pending or bool(self._input.front) or bool(self._extra_output)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if data:
            self._input.put(data)
        plain = b""
        more: list[bytes] = []
        wanted = max_length
        while wanted and self.has_unconsumed_tail:
            piece = self._piece(wanted)
            if not plain:
                plain = piece
            elif piece:
                more.append(piece)
            if wanted > 0:
                wanted -= len(piece)
        return b"".join((plain, *more)) if more else plain

    def flush(self) -> bytes:
        if self._midway and not self.has_unconsumed_tail:
            raise DecodeError(f"the {self.coding} data is cut short: it ends before the stream does")
        return b""

    def _piece(self, wanted: int) -> bytes:
        if self._extra_output:
            piece = bytes(self._extra_output[:wanted] if wanted > 0 else self._extra_output)
            self._extra_output = self._extra_output[len(piece) :]
            return piece
        try:
            piece = self._step(wanted)
        except self._errors as error:
            raise DecodeError(f"the {self.coding} data is damaged: {error}", error) from error
        if 0 < wanted < len(piece):
            self._extra_output = memoryview(piece)[wanted:]
            piece = piece[:wanted]
        return piece

    def _step(self, wanted: int) -> bytes:
        """Use up some of the input or of what is pending; return at most about ``wanted`` bytes (-1: any number)."""
        raise NotImplementedError

    def _input_limit(self, wanted: int) -> int:
        """Return how many input bytes to offer: about as many as output is wanted, as unused ones get copied."""
        return self._member_limit if wanted < 0 else min(self._member_limit, max(wanted, 1024))

    def _member_ended(self) -> None:
        self._pending = self._midway = False
        self._member_limit = _FIRST_MEMBER_LIMIT

    def _member_goes_on(self, *, pending: bool) -> None:
        self._pending = pending
        self._midway = True
        self._member_limit = min(self._member_limit * 2, _WHOLE)

    def _inflate(self, stream: _ZlibStream, wanted: int) -> bytes:
        """Return one step of a zlib stream."""
        view = self._input.front
        if len(view) > wanted or len(view) > self._member_limit:
            view = view[: self._input_limit(wanted)]
        plain: bytes = stream.decompress(view, max(wanted, 0))
        if stream.eof:
            self._input.skip(len(view) - len(stream.unused_data))
            self._member_ended()
        else:
            self._input.skip(len(view) - len(stream.unconsumed_tail))
            self._member_goes_on(pending=len(plain) == wanted)
        return plain


def gunzipped(data: bytes, limit: int | None) -> bytes | None:
    """The plain bytes of one whole, sound, plain gzip member, inflated into one buffer of their size; else None.

    The usual way gathers the output in blocks and joins them: so much memory that glibc gives it back to the system
    after each body, and every page is faulted in anew (1 MiB of JSON: 530 faults, 2150 us of CPU for the request;
    so 1280, CPython 3.11, 2026-11). Only ``flush`` takes the size of its buffer and then shows where the stream
    ended. For all input to be left to it, a stored block of one byte goes in front (RFC 1951 section 3.2.4) and comes
    out alone. The last four bytes name the size (RFC 1952 section 2.3.1); whatever is not as they say, or could become
    more than ``limit``, is left to the decoder. What a lie can cost is bounded by MAX_DEFLATE_RATIO.
    """
    size = int.from_bytes(data[-4:], "little")
    most = MAX_DEFLATE_RATIO * len(data)
    if size not in WHOLE_GZIP_BYTES or size > most or (limit is not None and most > limit) or data[:4] != _PLAIN_GZIP:
        return None
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        stream.decompress(b"".join((_STORED_BYTE, memoryview(data)[10:])), 1)
        plain = stream.flush(size)
    except zlib.error:
        return None
    is_sound = zlib.crc32(plain).to_bytes(4, "little") + len(plain).to_bytes(4, "little") == data[-8:]
    return plain if is_sound and stream.eof and len(stream.unused_data) == 8 else None


class GzipDecoderState:
    """Where a GzipDecoder stands: FIRST_MEMBER -> OTHER_MEMBERS (-> SWALLOW_DATA)."""

    FIRST_MEMBER = 0
    OTHER_MEMBERS = 1
    SWALLOW_DATA = 2


class GzipDecoder(_BoundedDecoder):
    """gzip and x-gzip: RFC 1952, members one after the other.

    Behind a complete member, bytes that do not start another one (``1f 8b 08``) are dropped: padding, garbage.
    Bytes that do start one must make a whole, sound member: DecodeError otherwise.
    """

    coding = "gzip"
    _errors = (zlib.error,)

    def __init__(self) -> None:
        super().__init__()
        self._state = GzipDecoderState.FIRST_MEMBER
        self._obj = zlib.decompressobj(_GZIP_WBITS)
        self._magic_seen = len(_GZIP_MAGIC)

    def _step(self, wanted: int) -> bytes:
        if self._state == GzipDecoderState.OTHER_MEMBERS and self._magic_seen < len(_GZIP_MAGIC):
            self._read_magic()
        if self._state == GzipDecoderState.SWALLOW_DATA:
            self._input.clear()
            return b""
        if self._obj.eof:
            self._obj = zlib.decompressobj(_GZIP_WBITS)
        plain = self._inflate(self._obj, wanted)
        if self._obj.eof:
            self._state = GzipDecoderState.OTHER_MEMBERS
            self._magic_seen = 0
        return plain

    def _read_magic(self) -> None:
        """Look at the first bytes behind a member, without taking them: another member, or garbage?"""
        head = bytes(self._input.peek(len(_GZIP_MAGIC) - self._magic_seen))
        if _GZIP_MAGIC.startswith(head, self._magic_seen):
            self._magic_seen += len(head)
        else:
            self._state = GzipDecoderState.SWALLOW_DATA
            self._midway = False


class DeflateDecoder(_BoundedDecoder):
    """deflate: a zlib stream (RFC 9110 section 8.4.1.2), or the bare one (RFC 1951) that some servers send instead.

    The first two bytes decide. Bytes behind the end are dropped.
    """

    coding = "deflate"
    _errors = (zlib.error,)

    def __init__(self) -> None:
        super().__init__()
        self._head = b""
        self._obj: _ZlibStream | None = None

    def _step(self, wanted: int) -> bytes:
        stream = self._obj
        if stream is None:
            stream = self._obj = self._stream_by_head()
            if stream is None:
                return b""
        if stream.eof:
            self._input.clear()
            return b""
        return self._inflate(stream, wanted)

    def _stream_by_head(self) -> _ZlibStream | None:
        """What inflates, once the first two bytes are in, which are put back; else None."""
        piece = bytes(self._input.peek(2 - len(self._head)))
        self._input.skip(len(piece))
        self._head += piece
        self._midway = True
        if len(self._head) < 2:
            return None
        is_zlib = self._head[0] & 0x8F == 8 and int.from_bytes(self._head, "big") % 31 == 0
        self._input.put_back(self._head)
        return zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


class BrotliDecoder(_BoundedDecoder):
    """br: RFC 7932, through the package brotli or brotlicffi, 1.2 or newer: older ones know no output limit.

    Raises ImportError when made without such a package. Bytes behind the end are an error.
    """

    coding = "br"

    def __init__(self) -> None:
        super().__init__()
        package = _brotli()
        if package is None:
            raise ImportError("the content coding br needs the package brotli or brotlicffi, 1.2 or newer")
        self._errors = (package.error,)
        self._obj = package.Decompressor()

    def _step(self, wanted: int) -> bytes:
        if self._obj.is_finished():
            raise DecodeError("the br data is damaged: bytes follow its end")
        piece = b""
        if self._obj.can_accept_more_data():
            piece = bytes(self._input.peek(BR_STEP_BYTES))
            self._input.skip(len(piece))
        limit = BR_STEP_BYTES if wanted < 0 else min(wanted, BR_STEP_BYTES)
        plain: bytes = self._obj.process(piece, output_buffer_limit=limit)
        if self._obj.is_finished():
            self._member_ended()
        else:
            # With its input used up it says that it takes more, and may still hold output (brotli 1.2.1).
            self._member_goes_on(pending=bool(plain) or not self._obj.can_accept_more_data())
        return plain


class ZstdDecoder(_BoundedDecoder):
    """zstd: RFC 8878, frames one after the other, skippable ones too, windows up to 8 MiB (RFC 9659).

    Through compression.zstd (Python 3.14) or the package backports.zstd; raises ImportError when made without both.
    Bytes behind a frame that start no other are an error.
    """

    coding = "zstd"

    def __init__(self) -> None:
        super().__init__()
        backend = _zstd()
        if backend is None:
            raise ImportError("the content coding zstd needs Python 3.14 or the package backports.zstd")
        self._open_frame, error = backend
        self._errors = (error,)
        self._frame: _ZstdFrame | None = None

    def _step(self, wanted: int) -> bytes:
        frame = self._frame
        if frame is None:
            frame = self._frame = self._open_frame()
        piece = b""
        if frame.needs_input:
            piece = bytes(self._input.peek(self._input_limit(wanted)))
            self._input.skip(len(piece))
        plain = frame.decompress(piece, wanted)
        if frame.eof:
            self._input.put_back(frame.unused_data)
            self._frame = None
            self._member_ended()
        else:
            self._member_goes_on(pending=not frame.needs_input)
        return plain


class _ZstdFrame(Protocol):
    """One frame being read, as compression.zstd.ZstdDecompressor offers it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


#: What makes the decoder of each coding that needs no package; br and zstd are looked for when they are named.
CODINGS: dict[str, Callable[[], ContentDecoder]] = {
    "gzip": GzipDecoder,
    "x-gzip": GzipDecoder,
    "deflate": DeflateDecoder,
}


def maker_of(name: str) -> Callable[[], ContentDecoder] | None:
    """Return what makes the decoder of one coding. None: unknown, or its package is missing."""
    maker = CODINGS.get(name)
    if maker is None and name == "br" and _brotli() is not None:
        maker = BrotliDecoder
    elif maker is None and name == "zstd" and _zstd() is not None:
        maker = ZstdDecoder
    return maker


def available_codings() -> list[str]:
    """Return the names of the codings that can be undone now; looks for the optional packages."""
    return [name for name in ("gzip", "x-gzip", "deflate", "br", "zstd") if maker_of(name) is not None]


@cache
def _brotli() -> ModuleType | None:
    """Return the package that decodes br with an output limit, or None."""
    for name in ("brotli", "brotlicffi"):
        package = _imported(name)
        if package and hasattr(package, "Decompressor") and hasattr(package.Decompressor, "can_accept_more_data"):
            return package
    return None


@cache
def _zstd() -> tuple[Callable[[], _ZstdFrame], type[Exception]] | None:
    """What opens a frame, and the package's error; None without a package that knows an output limit.

    The package ``zstandard`` knows none: one call may inflate all it is given, so it is not used.
    """
    package = _imported("compression.zstd") or _imported("backports.zstd")
    if package is None:
        return None
    options = {package.DecompressionParameter.window_log_max: ZSTD_MAX_WINDOW_LOG}
    return lambda: package.ZstdDecompressor(options=options), package.ZstdError


def _imported(name: str) -> ModuleType | None:
    """Return the module, or None if it is not installed."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        return None
