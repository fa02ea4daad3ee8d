"""How far a file is, on standard error: a bar of ``rich`` where that is installed, else one line that is written over.

``transfer`` makes a :class:`Progress` for each file and calls it as bytes come. Nothing is shown unless standard error
is a terminal and standard output is not what the terminal shows.
"""

from __future__ import annotations

import sys
import time
from typing import Protocol

from .terminal import bar_block, columns, has_colours, is_terminal, say

#: Seconds between two drawings of the plain line.
PAUSE_S = 0.1
#: Bodies up to here are sent without a bar.
SMALL_BYTES = 65536


class Progress(Protocol):
    """Told how far a file is; closed at its end, whatever came of it."""

    def __call__(self, received: int, total: int | None) -> object: ...
    def close(self) -> None: ...


class NoProgress:
    """Says nothing."""

    def __call__(self, received: int, total: int | None) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to end."""


class PlainProgress:
    """One line: the name, a bar or how much came, and how fast."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start = time.monotonic()
        self._next = 0.0
        self._last: tuple[int, int | None] = (0, None)

    def __call__(self, received: int, total: int | None) -> None:
        self._last = received, total
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PAUSE_S
            self._draw(now)

    def close(self) -> None:
        """Draw the end, and go to the next line."""
        self._draw(time.monotonic())
        say("")

    def _draw(self, now: float) -> None:
        received, total = self._last
        line = progress_line(self._name, received, total, max(now - self._start, 1e-3), columns() - 1)
        sys.stderr.write("\r" + line)
        sys.stderr.flush()


def progress_line(name: str, received: int, total: int | None, seconds: float, width: int) -> str:
    """One line of exactly ``width`` columns."""
    speed = f"{amount(int(received / seconds))}/s"
    share = f" {received * 100 // total:3d}%" if total else ""
    behind = f"{share} {amount(received)} {speed}"
    room = width - len(behind)
    shown = name if len(name) <= max(8, room // 2) else "…" + name[-max(7, room // 2 - 1) :]
    bar_room = room - len(shown) - 3
    bar = ""
    if total and bar_room > 4:
        filled = min(bar_room, bar_room * received // total)
        bar = f" |{bar_block() * filled}{' ' * (bar_room - filled)}|"
    return f"{shown}{bar}{behind}"[:width].ljust(width)


def amount(size: int) -> str:
    """Bytes for people: 999 B, 1.5 kB, 20.0 MB."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


class RichProgress:
    """rich's bar."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True, no_color=not has_colours(sys.stderr), width=columns())
        text, bar, size = TextColumn("{task.description}"), BarColumn(bar_width=None), DownloadColumn()
        self._bar = Bar(text, bar, size, TransferSpeedColumn(), console=console, expand=True)
        self._task = self._bar.add_task(name if len(name) <= 24 else "…" + name[-23:], total=None)
        self._bar.start()

    def __call__(self, received: int, total: int | None) -> None:
        self._bar.update(self._task, completed=received, total=total)

    def close(self) -> None:
        """Draw the end."""
        self._bar.stop()


class UploadProgress:
    """How far a request's body is; what leaves at once is not worth a line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown: Progress | None = None

    def __call__(self, sent: int, total: int | None) -> None:
        if self._shown is None and (total is None or total > SMALL_BYTES):
            self._shown = progress_for(self._name, True)
        if self._shown is not None:
            self._shown(sent, total)

    def close(self) -> None:
        """Draw the end, if anything was drawn."""
        if self._shown is not None:
            self._shown.close()


def progress_for(name: str, is_wanted: bool) -> Progress:
    """What shows how far this file is."""
    if not is_wanted or not is_terminal(sys.stderr):
        return NoProgress()
    try:
        return RichProgress(name)
    except ImportError:
        return PlainProgress(name)
