"""The command line prints, stores and sends what it is told, and its exit status says what came of it."""

from __future__ import annotations

import io
import json
import os
import pathlib
import runpy
import subprocess
import sys
from collections.abc import Iterator

import pytest

from poollib.cli import main
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_request, send

ROOT = pathlib.Path(__file__).resolve().parents[2]


def moved(request: Request) -> Response:
    return Response(status=302, headers={"Location": "/hello"})


ROUTES = {
    "/hello": lambda request: Response(b"hello\n", headers={"X-A": "1"}),
    "/moved": moved,
    "/missing": lambda request: Response(b"not here", status=404),
    "/broken": lambda request: Response(b"sorry", status=500),
    "/big": lambda request: Response([bytes(65536)] * 16),
}


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd(ROUTES) as running:
        yield running


Capture = pytest.CaptureFixture[bytes]


def test_the_body_is_printed_and_nothing_else(server: Httpd, capsysbinary: Capture) -> None:
    assert main.main([server.url + "/hello"]) == 0
    assert capsysbinary.readouterr() == (b"hello\n", b"")


def test_a_redirect_is_followed_if_that_is_wanted(server: Httpd, capsysbinary: Capture) -> None:
    assert main.main(["-L", server.url + "/moved"]) == 0
    assert capsysbinary.readouterr().out == b"hello\n"
    assert main.main([server.url + "/moved"]) == 0
    assert capsysbinary.readouterr().out == b""


def test_i_prints_the_head_before_the_body(server: Httpd, capsysbinary: Capture) -> None:
    assert main.main(["-i", server.url + "/hello"]) == 0
    assert capsysbinary.readouterr().out == b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 6\r\n\r\nhello\n"


@pytest.mark.parametrize(
    ("words", "method", "body", "content_type"),
    [
        ([], "GET", "", None),
        (["-X", "PURGE"], "PURGE", "", None),
        (["-d", "a=1"], "POST", "a=1", "application/x-www-form-urlencoded"),
        (["-d", "é", "-X", "PUT", "-H", "Content-Type: text/plain"], "PUT", "Ã©", "text/plain"),
        (["-d", ""], "POST", "", "application/x-www-form-urlencoded"),
    ],
)
def test_method_and_data_are_sent(
    server: Httpd, capsysbinary: Capture, words: list[str], method: str, body: str, content_type: str | None
) -> None:
    assert main.main([*words, server.url + "/echo"]) == 0
    seen = json.loads(capsysbinary.readouterr().out)
    assert (seen["method"], seen["body"], seen["headers"].get("content-type")) == (method, body, content_type)


def test_headers_are_sent_each_as_often_as_given(server: Httpd) -> None:
    assert main.main(["-H", "X-A: 1", "-H", "X-A:2", "-H", "X-Time: 12:30", server.url + "/"]) == 0
    (request,) = server.requests
    values = [value.replace(" ", "") for name, value in request.headers if name == "X-A"]
    assert ",".join(values) == "1,2"
    assert request.header("X-Time") == "12:30"


def test_data_comes_from_a_file_or_from_standard_input(
    server: Httpd, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "body").write_bytes(b"\x00from a file")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin")))
    assert main.main(["-d", f"@{tmp_path / 'body'}", server.url]) == 0
    assert main.main(["-d", "@-", server.url]) == 0
    assert [request.body for request in server.requests] == [b"\x00from a file", b"from stdin"]


def test_o_writes_the_body_to_a_file(server: Httpd, tmp_path: pathlib.Path, capsysbinary: Capture) -> None:
    assert main.main(["-o", str(tmp_path / "out"), server.url + "/big"]) == 0
    assert (tmp_path / "out").read_bytes() == bytes(65536) * 16
    assert capsysbinary.readouterr().out == b""


@pytest.mark.parametrize(("path", "status", "body"), [("/missing", 4, b"not here"), ("/broken", 5, b"sorry")])
def test_an_error_status_is_told_by_the_exit_status(
    server: Httpd, capsysbinary: Capture, path: str, status: int, body: bytes
) -> None:
    """Only if that is wanted, as with curl."""
    assert main.main(["--check-status", server.url + path]) == status
    assert capsysbinary.readouterr() == (body, b"")
    assert main.main([server.url + path]) == 0
    assert capsysbinary.readouterr() == (body, b"")
    assert main.main(["-f", server.url + path]) == 22
    out, err = capsysbinary.readouterr()
    assert out == b""
    assert b"the server answered " in err


def test_a_server_that_is_not_there_is_one_clear_line(capsysbinary: Capture) -> None:
    with Httpd() as gone:
        url = gone.url
    assert main.main([url]) == 7
    out, err = capsysbinary.readouterr()
    assert out == b""
    assert err.startswith(f"poollib: {url}: ".encode())
    assert b"refused" in err
    assert err.count(b"\n") == 1


def test_a_body_cut_short_is_an_error(capsysbinary: Capture) -> None:
    steps = [expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), close()]
    with ScriptServer(steps) as server:
        assert main.main([server.url]) == 18
    assert b"IncompleteRead" in capsysbinary.readouterr().err


def test_a_file_that_cannot_be_read_or_written_is_one_clear_line(
    server: Httpd, tmp_path: pathlib.Path, capsysbinary: Capture
) -> None:
    for status, words in ((26, ["-d", f"@{tmp_path}/none"]), (23, ["-o", f"{tmp_path}/none/out"])):
        assert main.main([*words, server.url + "/hello"]) == status
        assert b"FileNotFoundError" in capsysbinary.readouterr().err


@pytest.mark.parametrize("words", [[], ["-H", "no colon", "http://localhost/"], ["--none", "http://localhost/"]])
def test_wrong_arguments_end_with_status_2(words: list[str], capsysbinary: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(words)
    assert ended.value.code == 2
    assert b"usage: poollib" in capsysbinary.readouterr().err


@pytest.mark.parametrize(("url", "status"), [("ftp://localhost/", 1), ("http://[::1", 3), ("http://", 3)])
def test_a_url_that_cannot_be_used_is_one_clear_line(url: str, status: int, capsysbinary: Capture) -> None:
    assert main.main([url]) == status
    err = capsysbinary.readouterr().err
    assert url.encode() in err
    assert err.count(b"\n") == 1


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_quietly(server: Httpd) -> None:
    command = [sys.executable, "-m", "poollib", server.url + "/big"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 23


# Corners


def test_the_first_word_may_name_another_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are its own; whatever it returns is the exit status."""
    from poollib.compat import run_as_urllib3
    from poollib.demo import pooling_demo as demo

    told: list[list[str]] = []
    monkeypatch.setattr(demo, "main", lambda words: told.append(list(words)) or 3)
    monkeypatch.setattr(run_as_urllib3, "main", lambda words: told.append(list(words)) or 4)
    assert main.main(["demo", "--quick"]) == 3
    assert main.main(["as-urllib3", "-m", "x", "-i"]) == 4
    monkeypatch.setattr(sys, "argv", ["poollib", "demo"])
    assert main.main() == 3
    assert told == [["--quick"], ["-m", "x", "-i"], []]


def test_an_interrupt_ends_it_quietly(monkeypatch: pytest.MonkeyPatch, capsysbinary: Capture) -> None:
    """With the status that shells expect: 128 and the signal's number."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main.Transfers, "run", interrupted)
    assert main.main(["http://localhost/"]) == 130
    assert capsysbinary.readouterr() == (b"", b"")


def test_a_closed_pipe_ends_it_quietly(server: Httpd, monkeypatch: pytest.MonkeyPatch, capsysbinary: Capture) -> None:
    """What the interpreter flushes at its end goes nowhere, and no error is printed for it."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert main.main([server.url + "/big"]) == 23
        monkeypatch.undo()
        out.write("what is left")
    assert capsysbinary.readouterr() == (b"", b"")


def test_the_module_runs_the_command_line(
    monkeypatch: pytest.MonkeyPatch, server: Httpd, capsysbinary: Capture
) -> None:
    """``python -m poollib``; importing it does nothing."""
    monkeypatch.setattr(sys, "argv", ["poollib", "-f", server.url + "/missing"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("poollib", run_name="__main__")
    assert ended.value.code == 22
    assert capsysbinary.readouterr().out == b""
    assert runpy.run_module("poollib.__main__", run_name="imported")["main"] is main.main
