"""The command `poollib bulk`: a list of URLs into a folder, called again until all is there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from poollib.bulk.command import Shown, progress_line, urls_in
from poollib.bulk.requests import Progress
from poollib.cli.main import main
from tests.support.httpd import Httpd, Response
from tests.support.interrupts import COMMAND_LINE


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd() as httpd:
        yield httpd


def listed(path: pathlib.Path, *urls: str) -> str:
    path.write_text("# a list\n\n" + "\n".join(urls) + "\n")
    return str(path)


def test_urls_of_a_list_go_into_a_folder_and_errors_are_said(
    server: Httpd, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes["/gone"] = lambda _: Response(b"", 404)
    urls = listed(tmp_path / "urls.txt", f"{server.url}/1", f"{server.url}/gone", "nonsense")
    assert main(["bulk", urls, "--to", str(tmp_path / "to"), "--retries", "0"]) == 1
    said = capsys.readouterr().err
    assert f"{server.url}/gone: status 404\n" in said
    assert "nonsense: LocationValueError: No scheme" in said
    assert "3/3 URLs, 2 failed, 0.0 MB" in said
    assert [entry.name[:2] for entry in (tmp_path / "to" / f"127.0.0.1_{server.port}").iterdir()] == ["1-"]


def test_a_second_call_fetches_only_what_failed_and_anew_all(
    server: Httpd, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = listed(tmp_path / "urls.txt", f"{server.url}/1", f"{server.url}/2")
    command = ["bulk", urls, "--to", str(tmp_path / "to")]
    assert [main(command), main(command)] == [0, 0]
    assert len(server.requests) == 2
    assert "2/2 URLs, 0 failed, 2 done before" in capsys.readouterr().err
    assert main([*command, "--anew", "--silent"]) == 0
    assert len(server.requests) == 4
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.txt"], "missing.txt"),
        (["urls.txt", "--per-host", "0"], "per_host must be 1 or more, not 0"),
        (["urls.txt", "--max-time", "0"], "deadline"),
    ],
)
def test_what_can_not_be_meant_is_said(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    listed(tmp_path / "urls.txt")
    assert main(["bulk", *words, "--to", "to"]) == 2
    assert message in capsys.readouterr().err


def test_standard_input_is_a_list_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("http://a/\n#\n http://b/ \n"))
    assert list(urls_in(["-"])) == ["http://a/", "http://b/"]


def test_a_file_that_is_not_there_is_all_that_is_said(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bulk", str(tmp_path / "none"), "--to", str(tmp_path / "to")]) == 2
    assert capsys.readouterr().err == f"poollib bulk: [Errno 2] No such file or directory: {str(tmp_path / 'none')!r}\n"


def test_a_closed_standard_error_hinders_nothing(
    server: Httpd, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``2>&-``: Python has None in its place then."""
    monkeypatch.setattr(sys, "stderr", None)
    urls = listed(tmp_path / "urls.txt", server.url)
    assert main(["bulk", urls, "--to", str(tmp_path / "to")]) == 0
    assert main(["bulk", str(tmp_path / "none"), "--to", str(tmp_path / "to")]) == 2


def test_progress_is_one_line_that_is_written_over() -> None:
    file = io.StringIO()
    shown = Shown(10, file, is_drawn=True)
    shown.update(Progress(3, 1, 2, 4_500_000))
    shown.close()
    first, last = file.getvalue().removeprefix("\r").split("\r")
    assert first.startswith("5/10 URLs, 1 failed, 2 done before, 4.5 MB, ")
    assert last.endswith("\n")
    assert progress_line(Progress(3, 0, 0, 0), None, 2.0) == "3 URLs, 0 failed, 0.0 MB, 2/s"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")
@pytest.mark.parametrize("options", [[], ["--processes", "2"]])
def test_ctrl_c_leaves_nothing_half_written_and_the_next_call_goes_on(
    server: Httpd, tmp_path: pathlib.Path, options: list[str]
) -> None:
    """Every process of a terminal gets it: those of a pool ended with tracebacks, and their parts stayed."""
    asked, released = threading.Event(), threading.Event()

    def endless() -> Iterator[bytes]:
        asked.set()
        while not released.is_set():
            yield b"x" * 10_000
            released.wait(0.001)

    server.routes["/endless"] = lambda _: Response(endless(), close=True)
    urls = listed(tmp_path / "urls.txt", f"{server.url}/endless", *(f"{server.url}/{n}" for n in range(20)))
    command = [sys.executable, "-c", COMMAND_LINE, "bulk", urls, "--to", str(tmp_path / "to"), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as child:
        try:
            assert asked.wait(20)
            os.killpg(child.pid, signal.SIGINT)
            assert child.wait(20) == 130
            assert child.stderr is not None
            assert b"Traceback" not in child.stderr.read()
        finally:
            released.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    assert not list((tmp_path / "to" / ".parts").iterdir())
    done = {json.loads(line)["url"] for line in (tmp_path / "to" / "journal.jsonl").read_text().splitlines()}
    assert f"{server.url}/endless" not in done
    server.routes["/endless"] = lambda _: Response(b"whole")
    assert subprocess.run([*command, "-s"], timeout=60, check=False).returncode == 0
    files = [path for path in (tmp_path / "to").rglob("*") if path.is_file()]
    assert len(files) == 22
