"""What ``demo --watch`` draws: one picture of all pools as plain lines, and how pictures follow each other.

At a terminal each picture is drawn over the one before; elsewhere (a pipe, a file, ``TERM=dumb``) one is printed now
and then. Nothing is wider than the terminal, and nothing is coloured.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import NamedTuple, TextIO

#: seconds between two pictures: at a terminal, elsewhere
TERMINAL_PAUSE_S, PIPE_PAUSE_S = 0.2, 2.0

_HOME, _TO_END_OF_LINE, _TO_END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_BEGIN, _END = "\x1b[?25l\x1b[2J", "\x1b[?25h"  # the cursor hidden, the screen cleared; and the cursor back


class PoolRow(NamedTuple):
    """One pool at one moment. ``turns``: requests that wait for a turn, None where there is no rate."""

    name: str
    active: int
    idle: int
    maxsize: int
    waiting: int
    turns: int | None
    per_second: float
    failed: int
    refused: int
    circuit: str | None


class Picture(NamedTuple):
    """All that is shown. ``news``: the latest last."""

    at_s: float
    length_s: float
    title: str
    pools: Sequence[PoolRow]
    news: Sequence[str]


def lines_of(picture: Picture, columns: int, rows: int) -> list[str]:
    """The picture in at most so many columns and rows."""
    clock = f"{picture.at_s:.0f} of {picture.length_s:.0f} s"
    head = f"poollib demo --watch   {clock}   Ctrl-C ends it"
    is_wide = columns >= 76
    title = textwrap.wrap(picture.title, columns - 1)
    lines = [head, *title, "", _table_head(is_wide), *(_table_row(pool, is_wide) for pool in picture.pools), ""]
    lines.append("# active, o idle, . free to be opened" if is_wide else "# active, o idle, . free")
    lines.append("")
    room = rows - len(lines) - 1
    lines += picture.news[-room:] if room > 0 else []
    return [line if len(line) < columns else f"{line[: columns - 2]}…" for line in lines]


def _table_head(is_wide: bool) -> str:
    head = f"{'pool':<9}{'connections':<13}{'waiting':>7}{'turns':>7}{'per second':>12}"
    return head + (f"{'failed':>8}{'refused':>9}  circuit" if is_wide else f"{'failed':>8}")


def _table_row(pool: PoolRow, is_wide: bool) -> str:
    free = max(0, pool.maxsize - pool.active - pool.idle)
    connections = "#" * pool.active + "o" * pool.idle + "." * free
    turns = "-" if pool.turns is None else str(pool.turns)
    row = f"{pool.name:<9}{connections:<13}{pool.waiting:>7}{turns:>7}{pool.per_second:>12.0f}{pool.failed:>8}"
    return row + f"{pool.refused:>9}  {pool.circuit or '-'}" if is_wide else row


class Screen:
    """Where pictures go: a ``with`` block, at whose end the terminal is as it was."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = sys.stdout if file is None else file
        self._is_terminal = self._file.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.pause_s = TERMINAL_PAUSE_S if self._is_terminal else PIPE_PAUSE_S

    def __enter__(self) -> Screen:
        self._write(_BEGIN if self._is_terminal else "")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._write(_END if self._is_terminal else "")

    def draw(self, picture: Picture) -> None:
        """Show this one now."""
        columns, rows = self._size()
        lines = lines_of(picture, columns, rows)
        if self._is_terminal:
            self._write(_HOME + "".join(f"{line}{_TO_END_OF_LINE}\n" for line in lines) + _TO_END_OF_SCREEN)
        else:
            self._write("\n".join(lines) + "\n\n")

    def _size(self) -> tuple[int, int]:
        if not self._is_terminal:
            return 80, 24
        try:
            size = os.get_terminal_size(self._file.fileno())
        except (OSError, ValueError):
            return 80, 24
        return size.columns or 80, size.lines or 24

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()
