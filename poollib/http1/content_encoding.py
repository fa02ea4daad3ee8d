"""Content-Encoding undone: the decoder for a field's whole value, one coding or a chain of them.

``response`` asks ``decoder_for`` for the decoder of a ``Content-Encoding`` value and returns the plain bytes. A chain
is a decoder like any other, made of those that ``decoders`` has, each link bounded. What a decoder promises is said in
``decoders``; framing and reading belong to ``body_reader`` and ``response``. Source: RFC 9110 section 8.4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import overload

from ..exceptions import DecodeError
from .decoders import CODINGS, ContentDecoder, available_codings, maker_of

MAX_LINKS = 5
"""Codings in a chain. More is an attack, not a format (CVE-2025-66418); curl and urllib3 draw the same line."""

LINK_BYTES = 65_536
"""What one decoder of a chain passes to the next at a time."""

MAX_BYTES_WITHOUT_OUTPUT = 8 * 1024 * 1024
"""Bytes passed between the codings of a chain without one plain byte coming out. Honest data needs a few dozen."""


def decoder_for(content_encoding: str) -> ContentDecoder | None:
    """Return a fresh decoder for the whole value of ``Content-Encoding``, several lines joined by commas.

    None: nothing to undo (``identity``, empty), or no coding in it that is known here. Raises DecodeError for a
    chain of more than ``MAX_LINKS``, or one of which only a part is known (RFC 9110 section 8.4).
    """
    maker = CODINGS.get(content_encoding)
    if maker is not None:
        return maker()
    names = _coding_names(content_encoding)
    makers = [maker_of(name) for name in names]
    if not any(makers):
        return None
    return makers[0]() if len(makers) == 1 and makers[0] is not None else MultiDecoder(content_encoding)


class MultiDecoder(ContentDecoder):
    """Several codings, undone from the last applied to the first (RFC 9110 section 8.4).

    Every step is bounded: a decoder passes at most ``LINK_BYTES`` to the next, and only when that one has used up what
    it had. Raises DecodeError for more than ``max_decode_links`` codings, an unknown one among them, or a chain that
    passes ``MAX_BYTES_WITHOUT_OUTPUT`` on without yielding a byte.
    """

    max_decode_links = MAX_LINKS

    def __init__(self, modes: str) -> None:
        names = _coding_names(modes)
        if len(names) > self.max_decode_links:
            raise DecodeError(f"Too many content encodings in the chain: {len(names)} > {self.max_decode_links}")
        self._decoders = [_get_decoder(name) for name in reversed(names)]
        self._bytes_without_output = 0

    @property
    def has_unconsumed_tail(self) -> bool:
        return any(decoder.has_unconsumed_tail for decoder in self._decoders)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if not self._decoders:
            return data
        self._decoders[0].decompress(data, 0)
        pieces: list[bytes] = []
        wanted = max_length
        while wanted:
            index = self._deepest_with_tail()
            if index is None:
                break
            piece = self._pass_on(index, wanted)
            if piece:
                pieces.append(piece)
                wanted -= len(piece) if wanted > 0 else 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def flush(self) -> bytes:
        for decoder in self._decoders:
            decoder.flush()
        return b""

    def _deepest_with_tail(self) -> int | None:
        for index in range(len(self._decoders) - 1, -1, -1):
            if self._decoders[index].has_unconsumed_tail:
                return index
        return None

    def _pass_on(self, index: int, wanted: int) -> bytes:
        """Return what comes out at the end when the decoder at ``index`` gives one more piece."""
        piece = b""
        for decoder in self._decoders[index:-1]:
            piece = decoder.decompress(piece, LINK_BYTES)
            self._bytes_without_output += len(piece)
            if not piece:
                return b""
        if self._bytes_without_output > MAX_BYTES_WITHOUT_OUTPUT:
            raise DecodeError(f"{self._bytes_without_output} bytes between two content codings yielded none at the end")
        piece = self._decoders[-1].decompress(piece, wanted)
        if piece:
            self._bytes_without_output = 0
        return piece


def _coding_names(content_encoding: str) -> list[str]:
    """Return the codings in the order they were applied, ``identity`` and empty elements left out."""
    names = [name.strip(" \t").lower() for name in content_encoding.split(",")]
    return [name for name in names if name and name != "identity"]


# urllib3 names


class _AvailableCodings(Sequence[str]):
    """The codings that can be undone, found at the first look: br and zstd need packages, and importing them time."""

    def __len__(self) -> int:
        return len(available_codings())

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return available_codings()[index]

    def __eq__(self, other: object) -> bool:
        return list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


CONTENT_DECODERS: Sequence[str] = _AvailableCodings()


def _get_decoder(mode: str) -> ContentDecoder:
    """Return the decoder of one coding, or of a list of them. Raises DecodeError for an unknown one."""
    if "," in mode:
        return MultiDecoder(mode)
    maker = maker_of(mode.strip(" \t").lower())
    if maker is None:
        raise DecodeError(f"the content coding {mode!r} is unknown here, or its package is not installed")
    return maker()


class BytesQueueBuffer:
    """A queue of bytes: ``put`` pieces at the end, ``get`` any number from the front, without copying the rest."""

    def __init__(self) -> None:
        self.buffer: deque[bytes | memoryview] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, data: bytes) -> None:
        """Add at the end."""
        if data:
            self.buffer.append(data)
            self._size += len(data)

    def get(self, n: int) -> bytes:
        """Return up to ``n`` bytes; RuntimeError if there are none, ValueError for a negative number."""
        if n == 0:
            return b""
        if not self.buffer:
            raise RuntimeError("buffer is empty")
        if n < 0:
            raise ValueError(f"n should be > 0, not {n}")
        if len(self.buffer[0]) >= n:
            return self._from_front(n)
        pieces = []
        while n and self.buffer:
            pieces.append(self._from_front(n))
            n -= len(pieces[-1])
        return b"".join(pieces)

    def get_all(self) -> bytes:
        """Return all bytes, maybe none."""
        data = bytes(self.buffer[0]) if len(self.buffer) == 1 else b"".join(self.buffer)
        self.buffer.clear()
        self._size = 0
        return data

    def _from_front(self, n: int) -> bytes:
        """Return up to ``n`` bytes of the first piece."""
        front = self.buffer.popleft()
        if len(front) > n:
            rest = memoryview(front)[n:]
            self.buffer.appendleft(rest)
            front = front[:n]
        self._size -= len(front)
        return bytes(front)
