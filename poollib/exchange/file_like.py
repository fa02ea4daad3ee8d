"""FileLike: what ``io.IOBase`` gives its subclasses, without what it costs; and the lines of a body in pieces.

A response is used as a binary file: by lines, in a ``with`` block, under ``io.BufferedReader`` or ``io.TextIOWrapper``.
:class:`FileLike` has ``io.IOBase``'s methods over the ``read`` and ``closed`` of a subclass and is registered with it,
so that ``isinstance(response, io.IOBase)`` holds; what is read is the subclass's business.  To subclass ``io.IOBase``
itself costs 1.5 of 24 us for a small GET, most of it at the end, where ``io`` asks ``closed`` once more (CPython 3.11).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class _FileLike:
    """The methods; subclasses have ``read``, ``close`` and ``closed``."""

    _is_shut = False  # close() was called here; what counts as closed is the subclass's to say

    if TYPE_CHECKING:

        def read(self, amt: int | None = None) -> bytes: ...

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_shut

    def close(self) -> None:
        """Close; later reads raise ValueError."""
        self._is_shut = True

    def __del__(self) -> None:
        try:  # at the exit this module's names may be None here
            if not self.closed:
                self.close()
        except Exception:
            pass

    def __enter__(self) -> Self:
        self._checkClosed()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        self._checkClosed()
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line with its LF, up to ``size`` bytes of it; ``b""`` at the end."""
        line = bytearray()
        while (size is None or size < 0 or len(line) < size) and (byte := self.read(1)):
            line += byte
            if byte == b"\n":
                break
        return bytes(line)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """The lines that are left; with ``hint``, no more of them once they have more bytes together."""
        lines, size = [], 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint < size:
                break
        return lines

    def readable(self) -> bool:
        """Whether this can be read from."""
        return False

    def writable(self) -> bool:
        """No."""
        return False

    def seekable(self) -> bool:
        """No."""
        return False

    def isatty(self) -> bool:
        """No."""
        self._checkClosed()
        return False

    def flush(self) -> None:
        """Nothing is written, so nothing is to be flushed."""
        self._checkClosed()

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")

    def tell(self) -> int:
        return self.seek(0, 1)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("seek")

    def truncate(self, size: int | None = None, /) -> int:
        raise io.UnsupportedOperation("truncate")

    def writelines(self, lines: Iterable[object], /) -> None:
        raise io.UnsupportedOperation("write")

    def _checkClosed(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")


if TYPE_CHECKING:
    FileLike = io.IOBase  # what it is to type checkers, which know no registered classes
else:
    FileLike = _FileLike
    io.IOBase.register(FileLike)


# The lines of a body that comes in pieces: they end at LF, as ``io`` has them.


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, each with its line end (LF) but the last."""
    rest: list[bytes] = []
    for piece in pieces:
        lines = piece.splitlines(True) if b"\r" not in piece else _lines(piece)
        for line in lines:
            if line.endswith(b"\n"):
                yield b"".join([*rest, line]) if rest else line
                rest = []
            else:
                rest.append(line)
    if rest:
        yield b"".join(rest)


def bare_lines(read: Callable[[], bytes]) -> Iterator[bytes]:
    """The lines without line ends (LF or CRLF), each as soon as it is in; ``read`` gives ``b""`` at the end."""
    rest: list[bytes] = []
    while piece := read():
        first, *others = piece.split(b"\n")
        rest.append(first)
        for line in others:
            yield b"".join(rest).removesuffix(b"\r")
            rest = [line]
    if last := b"".join(rest):
        yield last.removesuffix(b"\r")


def _lines(piece: bytes) -> list[bytes]:
    """``piece`` cut behind each LF (and only there: bytes.splitlines cuts at CR, too)."""
    lines = piece.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
