"""The command line at a terminal: what a person sees at 80 and 60 columns, and what is left where an end is closed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator

import pytest

from poollib.cli import main, progress
from tests.support.httpd import Httpd, Response

ROOT = pathlib.Path(__file__).resolve().parents[2]
VALUE = {"name": "spoon", "sizes": [1, 2.5, None], "empty": {}, "none": [], "ok": True}
JSON_TYPE = {"Content-Type": "application/json"}

ROUTES = {
    "/json": lambda request: Response(json.dumps(VALUE).encode(), headers=JSON_TYPE),
    "/problem": lambda request: Response(b'{"a":"\xc2\x9b1m"}', headers={"Content-Type": "application/problem+json"}),
    "/halfjson": lambda request: Response(b'{"a": ', headers=JSON_TYPE),
    "/longjson": lambda request: Response([b"[", *[b"1," * 40_000] * 20, b"1]"], headers=JSON_TYPE),
    "/binary": lambda request: Response(b"\x00\x01\x02"),
    "/text": lambda request: Response(b"plain text\n"),
    "/word": lambda request: Response(b"word"),
    "/file.bin": lambda request: Response(bytes(300_000)),
    "/chunks": lambda request: Response([bytes(1000)] * 3),
    "/lines": lambda request: Response(b"line\n" * 50_000),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Httpd]:
    with Httpd(ROUTES) as running:
        yield running


class Terminal:
    """A pseudo-terminal of so many columns as standard output and error; ``shown`` is what came out of it."""

    def __init__(self, patch: pytest.MonkeyPatch, columns: int) -> None:
        self._patch, self._columns = patch, columns

    def run(self, *words: str) -> tuple[int, str]:
        """Exit status, and what the terminal got."""
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, self._columns, 0, 0))
        got: list[bytes] = []
        reader = threading.Thread(target=_read_all, args=(ours, got))
        reader.start()
        try:
            with open(theirs, "w", encoding="utf-8") as file, self._patch.context() as patch:
                patch.setattr(sys, "stdout", file)
                patch.setattr(sys, "stderr", file)
                status = main.main(words)
        finally:
            reader.join(10)
            os.close(ours)
        return status, re.sub(r"\r+\n", "\n", b"".join(got).decode())


def _read_all(descriptor: int, got: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while data := os.read(descriptor, 65536):
            got.append(data)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return lambda columns: Terminal(monkeypatch, columns)


MakeTerminal = Callable[[int], Terminal]


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_json_is_indented_and_coloured(server: Httpd, terminal: MakeTerminal) -> None:
    status, shown = terminal(80).run(server.url + "/json")
    assert status == 0
    assert without_colours(shown) == (
        '{\n  "name": "spoon",\n  "sizes": [\n    1,\n    2.5,\n    null\n  ],\n  "empty": {},\n  "none": [],\n'
        '  "ok": true\n}\n'
    )
    assert '\x1b[36m"name"\x1b[0m: \x1b[32m"spoon"\x1b[0m' in shown


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_stay_away_where_they_are_not_welcome(
    server: Httpd, terminal: MakeTerminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    status, shown = terminal(80).run("-i", server.url + "/json")
    assert status == 0
    assert "\x1b" not in shown
    assert "Content-Type: application/json\n" in shown
    assert '\n  "name": "spoon",\n' in shown


def test_the_names_of_a_head_are_bold(server: Httpd, terminal: MakeTerminal) -> None:
    _, shown = terminal(80).run("-I", server.url + "/json")
    assert "\x1b[1mContent-Type\x1b[0m: application/json\n" in shown


def test_what_would_move_the_cursor_is_escaped_in_json(server: Httpd, terminal: MakeTerminal) -> None:
    _, shown = terminal(80).run(server.url + "/problem")
    assert without_colours(shown) == '{\n  "a": "\\u009b1m"\n}\n'


def test_what_is_no_json_or_long_comes_as_it_is(server: Httpd, terminal: MakeTerminal) -> None:
    assert terminal(80).run(server.url + "/halfjson") == (0, '{"a": ')
    status, shown = terminal(80).run(server.url + "/longjson")
    assert (status, len(shown), shown[:5]) == (0, 2 + 1_600_000 + 1, "[1,1,")


def test_binary_data_is_refused_unless_it_is_asked_for(server: Httpd, terminal: MakeTerminal) -> None:
    status, shown = terminal(80).run(server.url + "/binary")
    assert status == 23
    assert "\0" not in shown
    assert "-o FILE stores it, -o - prints it all the same" in shown
    assert terminal(80).run("-o", "-", server.url + "/binary") == (0, "\x00\x01\x02")


def test_bodies_side_by_side_are_shown_in_order(server: Httpd, terminal: MakeTerminal) -> None:
    urls = [server.url + path for path in ("/text", "/json", "/text")]
    status, shown = terminal(80).run("get", *urls)
    assert status == 0
    assert without_colours(shown).startswith('plain text\n{\n  "name": "spoon",')
    assert shown.endswith("}\nplain text\n")


def with_rich(monkeypatch: pytest.MonkeyPatch, has_rich: bool) -> None:
    """Have the rich package in reach, or none; the test is skipped where it is wanted and not installed."""
    if has_rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setitem(sys.modules, "rich.console", None)


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("path", ["/file.bin", "/chunks"])
@pytest.mark.parametrize("has_rich", [True, False])
def test_a_bar_fits_the_terminal(
    server: Httpd,
    terminal: MakeTerminal,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    columns: int,
    path: str,
    has_rich: bool,
) -> None:
    with_rich(monkeypatch, has_rich)
    status, shown = terminal(columns).run("-o", str(tmp_path / "a-file.bin"), server.url + path)
    assert status == 0
    lines = [line for line in re.split(r"[\r\n]+", without_colours(shown)) if line]
    assert max(map(len, lines)) <= columns
    assert "a-file.bin" in lines[-1]
    assert "kB" in lines[-1]
    assert ("100%" in lines[-1]) == (not has_rich and path == "/file.bin")


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("has_rich", [True, False])
def test_a_bar_tells_how_far_an_upload_is(
    server: Httpd,
    terminal: MakeTerminal,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    columns: int,
    has_rich: bool,
) -> None:
    with_rich(monkeypatch, has_rich)
    file = tmp_path / "an-upload.bin"
    file.write_bytes(bytes(600_000))
    status, shown = terminal(columns).run("-T", str(file), server.url + "/text")
    assert status == 0
    lines = [line for line in re.split(r"[\r\n]+", without_colours(shown)) if line]
    assert lines[-1] == "plain text"
    assert max(map(len, lines)) <= columns
    assert "an-upload.bin" in lines[-2]
    assert "600" in lines[-2]
    assert terminal(columns).run("-d", f"@{file}", server.url + "/text")[1].count("upload") >= 1


def test_a_small_body_or_a_quiet_call_shows_no_bar(
    server: Httpd, terminal: MakeTerminal, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "body"
    file.write_bytes(bytes(600_000))
    for words in (["-d", "a=1"], ["-s", "-T", str(file)]):
        assert terminal(80).run(*words, server.url + "/text") == (0, "plain text\n")


def test_no_bar_where_it_is_not_wanted(server: Httpd, terminal: MakeTerminal, tmp_path: pathlib.Path) -> None:
    for words in (["-s"], ["-Z", server.url + "/text", "-o", str(tmp_path / "b")]):
        assert terminal(80).run("-o", str(tmp_path / "a"), server.url + "/file.bin", *words) == (0, "")


@pytest.mark.parametrize("columns", [80, 60])
def test_timings_are_bars_that_fit(server: Httpd, terminal: MakeTerminal, tmp_path: pathlib.Path, columns: int) -> None:
    status, shown = terminal(columns).run("-s", "--timings", "-o", str(tmp_path / "f"), server.url + "/file.bin")
    assert status == 0
    lines = shown.splitlines()
    names = ["queue", "DNS", "connect", "TLS", "first byte", "body", "total"]
    assert [re.split(r"  +", line)[0] for line in lines] == names
    assert max(map(len, lines)) <= columns
    assert "█" in shown


def test_timings_stand_below_a_body_without_an_end_of_line(server: Httpd, terminal: MakeTerminal) -> None:
    status, shown = terminal(80).run("--timings", server.url + "/word")
    assert status == 0
    assert shown.startswith("word\nqueue ")


def test_help_fits_the_terminal(terminal: MakeTerminal) -> None:
    for columns in (80, 60):
        status, shown = terminal(columns).run("--help")
        assert status == 0
        assert max(map(len, shown.splitlines())) <= columns
        groups = [line for line in shown.splitlines() if line and line == line.upper() and line[0] != " "]
        assert groups[:4] == ["NAME", "SYNOPSIS", "DESCRIPTION", "REQUEST"]
        assert {"DATA", "OUTPUT", "CONNECTIONS", "TLS", "EXIT STATUS"} <= set(groups)


def test_a_piped_body_is_what_came(server: Httpd, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main.main(["-i", server.url + "/json"]) == 0
    out, err = capfdbinary.readouterr()
    assert out.endswith(b"\r\n\r\n" + json.dumps(VALUE).encode())
    assert (b"\x1b" in out, err) == (False, b"")


@pytest.mark.parametrize(
    ("line", "status", "out", "err"),
    [
        ("{poollib} {url}/lines | head -1", 23, "line\n", ""),
        ("{poollib} get {url}/lines {url}/text | head -1", 23, "line\n", ""),
        ("{poollib} {url}/text >&-", 23, "", "standard output is closed"),
        ("{poollib} -f {url}/text 2>&-", 0, "plain text\n", ""),
        ("{poollib} http://127.0.0.1:1/ 2>&-", 7, "", ""),
        ("{poollib} -o out {url}/text >&- 2>&- <&-", 0, "", ""),
        ("{poollib} -d @- {url}/text <&-", 26, "", "standard input is closed"),
        ("{poollib} {url}/text >/dev/full", 23, "", "No space left on device"),
        ("{poollib} --help >&-", 23, "", "standard output is closed"),
    ],
)
def test_an_end_that_is_closed_is_told_by_the_exit_status(
    server: Httpd, tmp_path: pathlib.Path, line: str, status: int, out: str, err: str
) -> None:
    """No traceback and no half-written message, whichever of the three is closed."""
    script = line.format(poollib=f"{sys.executable} -m poollib", url=server.url) + '; exit "${PIPESTATUS[0]}"'
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (status, out)
    assert err in done.stderr
    assert done.stderr.count("\n") == bool(err)
    if "-o out" in line:
        assert (tmp_path / "out").read_bytes() == b"plain text\n"


def test_a_line_of_progress_has_the_width_that_there_is() -> None:
    for width in (30, 59, 79):
        for name in ("f", "a-name-that-is-longer-than-half-of-the-line.tar.gz"):
            for total in (None, 0, 10, 3_000_000_000):
                assert len(progress.progress_line(name, 10, total, 0.5, width)) == width
    assert [progress.amount(size) for size in (0, 999, 1500, 20_000_000)] == ["0 B", "999 B", "1.5 kB", "20.0 MB"]
