"""Lines of a body that comes in pieces.

``response`` hands its pieces in and its lines out; a line that is cut by the pieces is put together here.  Lines end at
LF, as ``io`` has them; how a body is decoded is left to others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator


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
