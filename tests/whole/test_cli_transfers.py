"""The command line's transfers where curl is no measure: files that stay, going on, side by side, secrets, figures."""

from __future__ import annotations

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

from poollib.cli import main
from tests.support.certs import PASSWORD, certs
from tests.support.httpd import Httpd, Request, Response
from tests.support.interrupts import COMMAND_LINE
from tests.support.script import ScriptServer, close, expect_request, respond, send, stall
from tests.support.script import signal as tell

ROOT = pathlib.Path(__file__).resolve().parents[2]
BODY = bytes(range(256)) * 40
ETAG = '"v1"'
CUT_HEAD = f"HTTP/1.1 200 OK\r\nETag: {ETAG}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
Capture = pytest.CaptureFixture[bytes]


def file_of(request: Request) -> Response:
    """The body, or its rest where a Range asks for it."""
    start = int((request.header("Range") or "bytes=0-")[6:-1])
    where = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"} if start else {}
    return Response(BODY[start:], status=206 if start else 200, headers={"ETag": ETAG, **where})


ROUTES = {
    "/file": file_of,
    "/text": lambda request: Response(b"text\n"),
    "/missing": lambda request: Response(b"no", status=404),
    "/503": lambda request: Response(b"later", status=503),
}


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd(ROUTES) as running:
        yield running


@pytest.fixture(autouse=True)
def _here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def names() -> list[str]:
    return sorted(os.listdir())


# Files


@pytest.mark.parametrize("how", ["cut", "refused", "missing", "too long", "no space of that name"])
def test_what_was_there_stays_until_the_new_body_is_whole(
    how: str, server: Httpd, tmp_path: pathlib.Path, capsysbinary: Capture
) -> None:
    (tmp_path / "old").write_bytes(b"old")
    cut = [expect_request(), send(CUT_HEAD + BODY[:100]), close()]
    with ScriptServer(*[cut] * (how == "cut")) as cutting, Httpd() as gone:
        url = gone.url
    words, status = {
        "cut": ([], 18),
        "refused": ([url], 7),
        "missing": (["-f", server.url + "/missing"], 22),
        "too long": (["--max-filesize", "3", server.url + "/text"], 63),
        "no space of that name": (["-d", "@nothing", server.url], 26),
    }[how]
    if how == "cut":
        with ScriptServer(cut) as cutting:
            assert main.main(["-o", "old", cutting.url]) == status
    else:
        assert main.main(["-o", "old", *words]) == status
    assert (tmp_path / "old").read_bytes() == b"old"
    assert names() == ["old"]


def test_a_new_file_keeps_the_mode_and_the_link_of_the_old_one(server: Httpd, tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    assert main.main(["-o", "link", server.url + "/text"]) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"text\n"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640


def test_a_download_goes_on_in_the_next_call(tmp_path: pathlib.Path) -> None:
    """What the first call got is kept beside the file, with its version; ``If-Range`` asks for that one."""
    cut, barren = [expect_request(), send(CUT_HEAD + BODY[:1000]), close()], [expect_request(), close()]
    rest = f"Content-Range: bytes 1000-{len(BODY) - 1}/{len(BODY)}"
    last = [expect_request(), respond(BODY[1000:], status="206 Partial", headers=[f"ETag: {ETAG}", rest])]
    with ScriptServer(cut, *[barren] * 5, last) as server:
        assert main.main(["-C", "-", "-o", "f", server.url + "/file"]) == 52
        assert names() == ["f.part", "f.part.note"]
        assert main.main(["-C", "-", "-o", "f", server.url + "/file"]) == 0
    assert b"Range: bytes=1000-" in server.received[-1]
    assert b"If-Range: " + ETAG.encode() in server.received[-1]
    assert (tmp_path / "f").read_bytes() == BODY
    assert names() == ["f"]


def test_going_on_asks_for_the_rest_of_a_file_that_is_there(server: Httpd, tmp_path: pathlib.Path) -> None:
    (tmp_path / "f").write_bytes(BODY[:77])
    assert main.main(["-C", "-", "-o", "f", server.url + "/file"]) == 0
    assert (tmp_path / "f").read_bytes() == BODY
    assert [request.header("Range") for request in server.requests] == ["bytes=77-"]


def test_files_go_where_they_are_wanted(server: Httpd, tmp_path: pathlib.Path) -> None:
    words = ["--output-dir", "d", "--create-dirs", "-O", server.url + "/text", server.url + "/file", "-o", "e/g"]
    assert main.main(words) == 0
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["d", "d/e", "d/e/g", "d/text"]


def test_a_fifo_is_written_to(server: Httpd) -> None:
    os.mkfifo("fifo")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pathlib.Path("fifo").read_bytes()))
    reader.start()
    assert main.main(["-o", "fifo", server.url + "/text"]) == 0
    reader.join(10)
    assert got == [b"text\n"]
    assert names() == ["fifo"]


# Many


@pytest.mark.parametrize("words", [["get"], ["-Z"], ["-Z", "--parallel-max", "2"]])
def test_many_are_fetched_side_by_side_and_printed_in_order(words: list[str], capsysbinary: Capture) -> None:
    """The second answers first: only so does the first one answer at all."""
    second = threading.Event()

    def first(request: Request) -> Response:
        return Response(b"first\n" if second.wait(10) else b"alone\n")

    def answer(request: Request) -> Response:
        second.set()
        return Response(b"second\n")

    with Httpd({"/1": first, "/2": answer, "/3": answer}) as server:
        assert main.main([*words, *[f"{server.url}/{number}" for number in (1, 2, 3)]]) == 0
    assert capsysbinary.readouterr().out == b"first\nsecond\nsecond\n"


def test_one_failure_stops_no_other_and_is_the_exit_status(server: Httpd, capsysbinary: Capture) -> None:
    with Httpd() as gone:
        url = gone.url
    for words in ([], ["-Z"]):
        assert main.main([*words, url, server.url + "/text"]) == 7
        out, err = capsysbinary.readouterr()
        assert out == b"text\n"
        assert err.startswith(f"poollib: {url}: ".encode())


@pytest.mark.parametrize("words", [["get"], []])
def test_an_interrupt_ends_what_is_under_way_and_leaves_no_file(words: list[str], tmp_path: pathlib.Path) -> None:
    came = [threading.Event() for _ in range(1 + len(words))]  # side by side, or one after the other
    scripts = [[expect_request(), send(CUT_HEAD + BODY[:100]), tell(event), stall()] for event in came]
    with ScriptServer(*scripts) as server:
        command = [sys.executable, "-c", COMMAND_LINE, *words, server.url, server.url, "-o", "a", "-o", "b"]
        with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
            try:
                assert all(event.wait(20) for event in came)
                process.send_signal(signal.SIGINT)
                assert process.wait(10) == 130
            finally:
                process.kill()
    assert names() == []


# What is sent


@pytest.mark.parametrize("words", [["-L"], ["-L", "--location-trusted"]])
def test_secrets_stay_with_their_host(words: list[str]) -> None:
    is_trusted = "--location-trusted" in words
    with Httpd() as other:
        routes = {"/": lambda request: Response(status=302, headers={"Location": other.url + "/there"})}
        with Httpd(routes) as first:
            secrets = ["-H", "Authorization: Bearer t", "-b", "a=1", "-H", "Host: virtual", "-H", "X-Other: 1"]
            assert main.main([*words, *secrets, "-s", "-o", "out", first.url]) == 0
    (asked,), (followed,) = first.requests, other.requests
    assert (asked.header("Authorization"), asked.header("Cookie"), asked.header("Host")) == (
        "Bearer t",
        "a=1",
        "virtual",
    )
    assert (followed.header("Authorization") == "Bearer t") == is_trusted
    assert (followed.header("Cookie") == "a=1") == is_trusted
    assert followed.header("Host") == f"127.0.0.1:{other.port}"
    assert followed.header("X-Other") == "1"


def test_bytes_leave_as_they_were_typed(server: Httpd) -> None:
    """Latin-1 where the locale's encoding is UTF-8: no text, and nobody's business."""
    typed = os.fsdecode(b"\xe9\xff")
    words = ["-H", f"X-A: {typed}", "-d", typed, "-A", typed, "-u", f"{typed}:p", f"{server.url}/{typed}?q={typed}"]
    assert main.main(["-s", "-o", "out", *words]) == 0
    (request,) = server.requests
    assert (request.header("X-A"), request.header("User-Agent"), request.body) == ("éÿ", "éÿ", b"\xe9\xff")
    assert request.target == "/%E9%FF?q=%E9%FF"
    assert request.header("Authorization") == "Basic 6f86cA=="


def test_standard_input_is_sent_in_each_way(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = (["-d", "@-"], ["--data-binary", "@-"], ["-T", "-"], ["-F", "f=@-;filename=n"], ["-F", "f=<-"], ["-H", "@-"])
    for words in ways:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"X-Typed: 1\n")))
        assert main.main([*words, "-s", "-o", "out", server.url]) == 0
    *bodies, last = server.requests
    assert [b"X-Typed: 1" in request.body for request in bodies] == [True] * 5
    assert last.header("X-Typed") == "1"


def test_a_password_is_asked_for_at_a_terminal(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main.main(["-s", "-o", "out", "-u", "me", server.url]) == 0
    monkeypatch.setattr("getpass.getpass", lambda prompt: "typed")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert main.main(["-s", "-o", "out", "-u", "me", server.url]) == 0
    assert [request.header("Authorization") for request in server.requests] == ["Basic bWU6", "Basic bWU6dHlwZWQ="]


def test_what_is_transient_is_tried_again(server: Httpd, capsysbinary: Capture) -> None:
    words = ["--retry-delay", "0.01", "-s", "-o", "out"]
    assert main.main(["--retry", "2", *words, "-f", server.url + "/503"]) == 22
    assert main.main(["--retry", "2", *words, "-f", server.url + "/missing"]) == 22
    assert len(server.requests) == 3 + 1
    assert main.main(["--retry", "1", *words, "--retry-all-errors", "-f", server.url + "/missing"]) == 22
    assert len(server.requests) == 4 + 2
    with ScriptServer([expect_request(), close()], [expect_request(), respond(b"x")]) as breaking:
        assert main.main(["--retry", "1", *words, "--retry-all-errors", breaking.url]) == 0


# Ways


def test_the_proxy_variables_count(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    with Httpd() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert main.main(["-s", "-o", "out", "http://name.invalid/x"]) == 0
        for words in (["--noproxy", "*"], ["-x", ""], ["--noproxy", "127.0.0.1"]):
            assert main.main([*words, "-s", "-o", "out", server.url]) == 0
    assert [request.target for request in proxy.requests] == ["http://name.invalid/x"]
    assert len(server.requests) == 3


def test_a_proxy_that_refuses_a_tunnel_is_told(capsysbinary: Capture) -> None:
    with ScriptServer([expect_request(), respond(b"", status="407 Login")]) as proxy:
        assert main.main(["-x", proxy.url, "https://name.invalid/"]) == 56
    assert b"407" in capsysbinary.readouterr().err


def test_a_family_of_addresses_may_be_wanted(server: Httpd, capsysbinary: Capture) -> None:
    local = f"http://localhost:{server.port}/text"
    assert main.main(["-4", local]) == 0
    assert main.main(["-6", "-s", f"http://127.0.0.1:{server.port}/text"]) == 6


def test_certificates_and_their_passwords_count(capsysbinary: Capture, tmp_path: pathlib.Path) -> None:
    made, ours = certs(), certs().client()
    (tmp_path / "garbage.pem").write_text("garbage")
    with Httpd(tls=made.server(wants_client=True)) as server:
        base = ["--cacert", made.ca_file, server.url]
        assert main.main(["--cert", ours.both_file, *base]) == 0
        assert main.main(["--cert", ours.cert_file, "--key", made.encrypted_key_file, "--pass", PASSWORD, *base]) == 0
        assert main.main(["--tlsv1.2", "--cert", ours.both_file, *base]) == 0
        assert main.main(["--cert", ours.both_file, "--capath", str(tmp_path), "-k", server.url]) == 0
        assert main.main(["--cert", "garbage.pem", *base]) == 58
        assert main.main(["--cert", ours.cert_file, "--key", made.encrypted_key_file, *base]) == 58
        assert main.main(["--cacert", "garbage.pem", server.url]) == 77


# What is told


def test_v_tells_what_is_sent_and_what_comes_but_no_secret(server: Httpd, capsysbinary: Capture) -> None:
    assert main.main(["-v", "-L", "-u", "me:secret", "-b", "a=hidden", server.url + "/text"]) == 0
    out, err = capsysbinary.readouterr()
    lines = err.decode().splitlines()
    assert out == b"text\n"
    assert f"* connecting to 127.0.0.1:{server.port}" in lines
    assert {"> GET /text HTTP/1.1", f"> Host: 127.0.0.1:{server.port}", "> Authorization: Basic ***"} <= set(lines)
    assert {"> Cookie: ***", "< HTTP/1.1 200 OK", "< Content-Length: 5"} <= set(lines)
    assert "secret" not in err.decode()
    assert "hidden" not in err.decode()
    assert "Accept-Encoding" not in err.decode()


def test_w_prints_figures(server: Httpd, capsysbinary: Capture) -> None:
    assert main.main(["-s", "-o", "out", "-w", "%{json}", server.url + "/text"]) == 0
    figures = json.loads(capsysbinary.readouterr().out)
    assert (figures["http_code"], figures["size_download"], figures["filename_effective"]) == (200, 5, "out")
    order = ("namelookup", "connect", "pretransfer", "starttransfer", "total")
    times = [figures[f"time_{name}"] for name in order]
    assert times == sorted(times)
    assert times[0] >= 0
    text = r"%header{content-length} %% %{num_headers}\t%{header_json}%{stderr}err %{http_version}\n"
    assert main.main(["-s", "-o", "out", "-w", text, server.url + "/text"]) == 0
    assert capsysbinary.readouterr() == (b'5 % 1\t{"content-length": ["5"]}', b"err 1.1\n")


def test_timings_have_a_share_for_each_phase(capsysbinary: Capture) -> None:
    made = certs()
    with Httpd(tls=made.server()) as server:
        words = ["-s", "-o", "out", "--timings", "--cacert", made.ca_file, f"https://localhost:{server.port}/"]
        assert main.main(words) == 0
    lines = capsysbinary.readouterr().err.decode().splitlines()
    shares = {line[:10].strip(): float(line[10:21]) for line in lines}
    assert min(shares["connect"], shares["TLS"], shares["first byte"]) >= 0
    assert shares["TLS"] > 0
    assert shares["queue"] == 0
    assert shares["total"] == pytest.approx(sum(shares.values()) - shares["total"], abs=0.5)


def test_an_event_stream_is_printed_as_it_comes(tmp_path: pathlib.Path) -> None:
    go_on = threading.Event()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst"
    with ScriptServer([expect_request(), send(head), stall(go_on), send(b"later")]) as server:
        command = [sys.executable, "-m", "poollib", server.url]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.read(5) == b"first"
            go_on.set()
            assert process.stdout.read() == b"later"
            assert process.wait(10) == 0


def test_the_version_is_told(capsysbinary: Capture) -> None:
    for word in ("-V", "--version"):
        assert main.main([word]) == 0
        assert capsysbinary.readouterr().out.startswith(b"poollib 0.")
