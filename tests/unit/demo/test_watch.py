"""``demo --watch``: pictures that fit, a play that ends by itself or by Ctrl-C, and counts that both sides have."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from poollib.demo import pooling_demo, watch
from poollib.demo.watch_screen import Picture, PoolRow, lines_of

ROOT = pathlib.Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "poollib", "demo", "--watch", "--seconds"]
ROWS = [
    PoolRow("shop", 3, 1, 6, 12, None, 1234.4, 5, 6, None),
    PoolRow("search", 0, 0, 4, 0, 7, 0.0, 12345, 1234, "probing"),
]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (60, 24), (60, 12), (200, 50)])
def test_a_picture_fits_the_terminal(columns: int, rows: int) -> None:
    news = [
        f"{number:5.1f} shop    something that is told in many words, more than there is room for"
        for number in range(60)
    ]
    lines = lines_of(
        Picture(1.0, 24.0, "A title that is longer than fits into sixty columns of a line.", ROWS, news), columns, rows
    )
    assert max(map(len, lines)) < columns
    assert len(lines) < rows
    text = "\n".join(lines)
    assert "###o.." in text
    assert ("probing" in text) == (columns >= 76)
    assert lines[-1].startswith(" 59.0")


def test_what_happens_again_is_counted_in_its_line() -> None:
    listener = watch.Listener({})
    for name, text in (("a", "x"), ("a", "x"), ("b", "x"), ("a", "x"), ("a", "y")):
        listener.tell(name, text)
    assert [re.sub(r"^ *[\d.]+ ", "", line) for line in listener.news()] == ["b       x", "a       3x x", "a       y"]


def test_the_whole_play_in_a_moment(capsys: pytest.CaptureFixture[str]) -> None:
    """Into a pipe: plain pictures, every act, and at the end the counts of both sides."""
    assert pooling_demo.main(["--watch", "--seconds", "0.5"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "poollib demo --watch" in shown
    counts = re.search(r"Sent: ([\d,]+); seen by the servers: ([\d,]+)\.", shown)
    assert counts is not None
    sent, seen = (int(count.replace(",", "")) for count in counts.groups())
    assert sent >= seen > 0


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 60])
def test_a_terminal_is_drawn_over_and_ctrl_c_leaves_it_as_it_was(columns: int) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*COMMAND, "60"], stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        shown, end, is_asked = b"", time.monotonic() + 60, False
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while time.monotonic() < end and select.select([ours], [], [], 60)[0]:
                if not (data := os.read(ours, 65536)):
                    break
                shown += data
                if not is_asked and shown.count(b"\x1b[H") >= 3:
                    is_asked = True
                    process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    os.close(ours)
    text = shown.decode()
    assert text.startswith("\x1b[?25l\x1b[2J")
    assert text.count("\x1b[?25h") == 1
    assert "Traceback" not in text
    assert "seen by the servers" in text.partition("\x1b[?25h")[2].replace("\r\n", " ")


@pytest.mark.parametrize("words", [["--seconds", "3"], ["--watch", "--seconds", "0"], ["--watch", "--seconds", "nan"]])
def test_seconds_that_cannot_be_meant_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pooling_demo.main(words)
    assert "--seconds is for --watch: a number above 0" in capsys.readouterr().err
