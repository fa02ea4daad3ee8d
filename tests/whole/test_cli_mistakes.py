"""Mistakes that people make at the command line: each is answered by a line that says what to do."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Iterator

import pytest

from poollib.cli import main
from tests.support.certs import certs
from tests.support.httpd import Httpd, Response
from tests.support.script import ScriptServer, close, expect, send

Capture = pytest.CaptureFixture[str]

MISTAKES = [
    # words, exit status, what the line must hold
    ("", 2, "no URL was given"),
    ("-o http://localhost/", 2, "http://localhost/ was taken as an option's value"),
    ("--ouput x {url}", 2, "did you mean --output?"),
    ("--he {url}", 2, "did you mean --header or --head or --help?"),
    ("--xyzzy {url}", 2, "--help lists all options"),
    ("-c jar {url}", 2, "send them with -b"),
    ("--http2 {url}", 2, "leave it out for HTTP/1.1"),
    ("--digest -u a:b {url}", 2, "-u USER:PASSWORD is Basic"),
    ("--silent=yes {url}", 2, "takes no value: leave out =yes"),
    ("{url} -o", 2, "wants a value after it: -o FILE"),
    ("-H no-colon {url}", 2, "wants 'Name: value', not 'no-colon'"),
    ("-m soon {url}", 2, "wants a number of seconds such as 2.5, not 'soon'"),
    ("--retry many {url}", 2, "wants a whole number from 0 on, not 'many'"),
    ("--max-filesize -5 {url}", 2, "wants a whole number from 0 on, not '-5'"),
    ("-r first {url}", 2, "wants bytes such as 0-99, 100- or -50"),
    ("-C here -o f {url}", 2, "wants a number of bytes, or - for where the file ends"),
    ("-C - {url}", 2, "name it with -o FILE, or -O"),
    ("-F photo {url}", 2, "NAME=@FILE for a file, not 'photo'"),
    ("-d a=1 -F b=2 {url}", 2, "a request has one body"),
    ("-I -d a=1 {url}", 2, "exclude each other"),
    ("-o a -o b {url}", 2, "one file for each URL"),
    ("--resolve localhost {url}", 49, "such as example.com:443:127.0.0.1"),
    ("-O {url}/", 23, "names no file: -o FILE does"),
    ("-o {folder} {url}", 23, "is a folder: -o wants a file's name"),
    ("-o {folder}/no/file {url}", 23, "can't be written: No such file or directory"),
    ("-d @{folder}/nofile {url}", 26, "nofile can't be read: No such file or directory"),
    ("-T {folder}/nofile {url}", 26, "nofile can't be read"),
    ("htp://localhost/", 1, "http:// and https:// are spoken"),
    ("http:///path", 3, "a URL is http://HOST[:PORT]/PATH"),
    ("http://localhost:99999/", 3, "a URL is http://HOST[:PORT]/PATH"),
    ("{gone}", 7, "is the server running, and is the port right?"),
    ("-x ftp://localhost {url}", 7, "write http://, https:// or socks5h:// before it"),
    ("https://{plain}/", 35, "the server speaks no TLS at that port: try http://"),
    ("{tls}", 60, "--cacert FILE names an authority to believe, -k believes anybody"),
    ("--cacert {folder}/nofile {tls}", 77, "there is no such file of authorities (PEM)"),
    ("--cert {folder}/nofile {tls}", 58, "there is no such file of a certificate or key (PEM)"),
    ("-f {url}/missing", 22, "the server answered 404"),
    ("-L {url}/loop --max-redirs 2", 47, "--max-redirs allows more"),
    ("-m 0.05 {silent}", 28, "-m and --connect-timeout set the limits"),
    ("-w %{{http_cod}} {url}", 0, "-w knows no %{http_cod}; it knows "),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    routes = {
        "/missing": lambda request: Response(status=404),
        "/loop": lambda request: Response(status=302, headers={"Location": "/loop"}),
    }
    with socket.create_server(("127.0.0.1", 0)) as gone:
        gone_url = f"http://127.0.0.1:{gone.getsockname()[1]}/"
    with socket.create_server(("127.0.0.1", 0)) as silent, Httpd(routes) as plain, Httpd(tls=certs().server()) as tls:
        yield {
            "url": plain.url,
            "gone": gone_url,
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}/",
            "tls": tls.url,
            "folder": str(tmp_path_factory.mktemp("mistakes")),
        }


@pytest.mark.parametrize(("call", "status", "wanted"), MISTAKES)
def test_a_mistake_is_answered_by_what_to_do(
    call: str,
    status: int,
    wanted: str,
    places: dict[str, str],
    capfd: Capture,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last line on standard error; no traceback, and nothing but it besides the usage."""
    monkeypatch.chdir(tmp_path)
    steps = [expect(lambda received: received), send(b"HTTP/1.0 400 Bad Request\r\n\r\n"), close()]
    with ScriptServer(*[steps] * ("{plain}" in call)) as plain:
        words = [word.format(**places, plain=plain.url.partition("//")[2]) for word in call.split()]
        try:
            ended = main.main(words)
        except SystemExit as error:
            ended = int(str(error.code))
    lines = capfd.readouterr().err.splitlines()
    assert (ended, wanted in lines[-1], lines[-1].startswith("poollib: ")) == (status, True, True), lines
    assert lines[:-1] in ([], [main.USAGE])
    assert list(tmp_path.iterdir()) == []


def test_a_verb_may_be_forgotten_and_a_silent_call_stays_silent(places: dict[str, str], capfd: Capture) -> None:
    assert main.main(["-s", places["gone"]]) == 7
    assert capfd.readouterr() == ("", "")
    assert main.main(["-sS", places["gone"]]) == 7
    assert "is the server running" in capfd.readouterr().err


def test_a_proxy_variable_that_is_no_url_is_named(
    places: dict[str, str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://[::1")
    assert main.main([places["url"]]) == 5
    assert "environment variable http_proxy is no URL of a proxy: it should be such as" in capfd.readouterr().err
