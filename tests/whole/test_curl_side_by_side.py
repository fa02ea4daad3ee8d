"""Everyday calls of curl, given to curl and to poollib's command line: same output, same files, same exit status.

Both ask the same servers, which answer with what they were asked, so that the output shows the request as well: method,
target, fields (all but User-Agent) and body. What differs on purpose stands in ``DIFFERENT`` with its reason. Each call
runs inside this process here; the slow test at the end runs them all as a shell would, each as a process.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from poollib.cli import main
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response

ROOT = pathlib.Path(__file__).resolve().parents[2]
CURL = shutil.which("curl")

pytestmark = pytest.mark.skipif(CURL is None, reason="curl is not installed (apt-get install curl)")

FILES = {
    "note.txt": b"first line\r\nsecond line\n",
    "body.json": b'{"a": [1, 2]}\n',
    "data.bin": bytes(range(256)) * 8,
    "old.txt": b"what was there before",
    "half.bin": bytes(500),
    "fields": b"X-From-File: 1\nX-Other: 2\n",
    "cookies": b"# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tabc\n",
    "format": b"%{http_code} %{size_download}\\n",
}
BLOB = bytes(1000)


#: Fields that are a client's own affair: what it is, and how it negotiates with the next hop.
OWN = ("user-agent", "expect", "proxy-connection")


def echo(request: Request) -> Response:
    """What was asked, but for what tells the two programs apart."""
    kept = sorted((name.lower(), value) for name, value in request.headers if name.lower() not in OWN)
    body = request.body
    for name, value in kept:
        if match := re.search("boundary=(.+)", value if name == "content-type" else ""):
            body = body.replace(match[1].encode(), b"BOUNDARY")
            is_framed = {"content-length", "content-type"}
            kept = [pair for pair in kept if pair[0] not in is_framed]
    target = re.sub("%..", lambda escape: escape[0].upper(), request.target)
    asked = {"method": request.method, "target": target, "fields": kept, "body": body.decode("latin-1")}
    return Response(json.dumps(asked, indent=1).encode() + b"\n", headers={"Content-Type": "application/json"})


def ranged(request: Request) -> Response:
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.header("Range") or "")
    if match is None:
        return Response(BLOB, headers={"Accept-Ranges": "bytes"})
    first, last = int(match[1]), int(match[2] or len(BLOB) - 1)
    if first >= len(BLOB):
        return Response(b"beyond", status=416, headers={"Content-Range": f"bytes */{len(BLOB)}"})
    part = BLOB[first : last + 1]
    where = f"bytes {first}-{first + len(part) - 1}/{len(BLOB)}"
    return Response(part, status=206, headers={"Content-Range": where})


def compressed(request: Request) -> Response:
    import gzip

    body = gzip.compress(b"long text " * 50, mtime=0)
    return Response(body, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"})


def moved(status: int, to: str) -> Response:
    return Response(b"elsewhere\n", status=status, headers={"Location": to})


ROUTES = {
    "/hello": lambda request: Response(b"hello\n", headers={"X-A": "1"}),
    "/missing": lambda request: Response(b"not here\n", status=404),
    "/broken": lambda request: Response(b"sorry\n", status=500),
    "/empty": lambda request: Response(b"", status=200),
    "/chunks": lambda request: Response([b"one ", b"two\n"]),
    "/big": lambda request: Response(bytes(200_000)),
    "/blob.bin": ranged,
    "/plain.bin": lambda request: Response(BLOB),
    "/gzip": compressed,
    "/301": lambda request: moved(301, "/seen"),
    "/302": lambda request: moved(302, "seen?a=b"),
    "/303": lambda request: moved(303, "/seen"),
    "/307": lambda request: moved(307, "/seen"),
    "/loop": lambda request: moved(302, "/loop"),
    "/ftp": lambda request: moved(302, "ftp://127.0.0.1/x"),
}


class Servers(NamedTuple):
    """Words with braces name what is here."""

    url: str
    tls: str
    ca: str
    host: str
    port: str
    other: str
    proxy: str
    sock: str
    gone: str
    tlsport: str
    client: str
    key: str
    tlsclient: str
    rude: str


class SmallServer:
    """Answers the first bytes of each connection as ``answer`` says, and closes."""

    def __init__(self, listener: socket.socket, answer: Callable[[bytes], bytes]) -> None:
        self._listener, self._answer = listener, answer
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.sendall(self._answer(sock.recv(65536)))

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


def rude(head: bytes) -> bytes:
    """What a server sends that breaks the rules, by path; to a TLS handshake an HTTP answer."""
    path = head.split(b" ")[1] if head[:4] == b"GET " else b""
    return {
        b"/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"/cutchunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"/none": b"",
        b"/notgzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
    }.get(path, b"HTTP/1.0 400 Bad Request\r\n\r\n")


def greeting(head: bytes) -> bytes:
    """What the Unix socket answers."""
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nby the socket: " + head.split(b"\r\n")[0] + b"\n"


class EchoHttpd(Httpd):
    """Httpd whose other paths answer with what was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__({**ROUTES, **dict.fromkeys(ECHOED, echo)}, tls=tls)


ECHOED = ("/", "/seen", "/up", "/up/note.txt", "/a%20b", "/%C3%A9", "/%c3%a9", "/b", "/x;y=1")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = certs()
    path = str(tmp_path_factory.mktemp("unix") / "socket")
    gone = socket.create_server(("127.0.0.1", 0))
    gone_port = gone.getsockname()[1]
    gone.close()
    pair = made.client()
    asking = made.server(wants_client=True)
    with EchoHttpd() as plain, EchoHttpd(made.server()) as secure, EchoHttpd() as other:
        with EchoHttpd() as proxy, EchoHttpd(asking) as asks:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen()
            tcp = socket.create_server(("127.0.0.1", 0))
            small = [SmallServer(listener, greeting), SmallServer(tcp, rude)]
            try:
                yield Servers(
                    plain.url, secure.url, made.ca_file, plain.host, str(plain.port), other.url, proxy.url, path,
                    f"http://127.0.0.1:{gone_port}", str(secure.port), pair.cert_file, pair.key_file, asks.url,
                    f"127.0.0.1:{tcp.getsockname()[1]}",
                )  # fmt: skip
            finally:
                for server in small:
                    server.stop()


CALLS = [
    # what comes
    "{url}/hello",
    "-i {url}/hello",
    "-I {url}/hello",
    "-s -S {url}/chunks",
    "{url}/hello {url}/chunks",
    "{url}/missing",
    "-f {url}/missing",
    "--fail-with-body {url}/broken",
    "-sSf {url}/hello",
    "{url}/empty -o new.txt",
    "--compressed {url}/gzip",
    "-r 0-99 {url}/blob.bin",
    "-r -50 {url}/seen",
    "-D heads {url}/hello",
    "--max-filesize 1000 {url}/big",
    # where it goes
    "-o out.txt {url}/hello",
    "-o old.txt {url}/hello",
    "-O {url}/blob.bin",
    "-OO {url}/blob.bin {url}/hello",
    "-o a.txt -o b.txt {url}/hello {url}/chunks",
    "--remote-name-all {url}/blob.bin {url}/hello",
    "-f -o old.txt {url}/missing",
    "-o missing.txt {url}/missing",
    "-o /dev/null -w %{{http_code}} {url}/hello",
    "-s -o /dev/null -w @format {url}/missing",
    "-w \\n%{{size_download}},%{{num_redirects}},%{{content_type}},%{{method}} {url}/seen",
    "-C - -o half.bin {url}/blob.bin",
    "-C - -O {url}/blob.bin",
    "-C 900 {url}/blob.bin",
    "-C - -o half.bin {url}/plain.bin",
    "--create-dirs -o d/e/out.txt {url}/hello",
    "-Z -o a.txt -o b.txt {url}/hello {url}/chunks",
    # what is asked
    "{url}",
    "{host}:{port}/seen",
    "-A agent/1 {url}/seen",
    "-e http://from.example/ -b a=1;b=2 {url}/seen",
    "-b cookies {url}/seen",
    "-H X-A:1 -H X-B;  -H Accept: {url}/seen",
    "-H @fields {url}/seen",
    "-H Host:virtual.example {url}/seen",
    "-X DELETE {url}/seen",
    "-XPURGE {url}/seen",
    "-u user:pass {url}/seen",
    "http://user:p%40ss@{host}:{port}/seen",
    "--oauth2-bearer TOKEN {url}/seen",
    "{url}/é",
    "{url}/b?q=a%20b#part",
    # data
    "-d a=1 -d b=2 {url}/seen",
    "-d @note.txt {url}/seen",
    "--data-binary @note.txt {url}/seen",
    "--data-urlencode a=1&2=é --data-urlencode =x+y --data-urlencode n@note.txt {url}/seen",
    "--data-raw @note.txt -X PUT {url}/seen",
    '--json {{"a":1}} {url}/seen',
    "-G -d a=1 -d b=2 {url}/b?c=3",
    "-F a=1 -F f=@note.txt {url}/seen",
    "-F f=@data.bin;type=image/x;filename=n.bin -F t=<note.txt {url}/seen",
    "-T note.txt {url}/up",
    "-T note.txt {url}/up/",
    "-d @- {url}/seen",
    # redirects
    "{url}/302",
    "-L {url}/302",
    "-L -d a=1 {url}/301",
    "-L -d a=1 {url}/307",
    "-L -T note.txt {url}/303",
    "-iL {url}/302",
    "-L {url}/loop",
    "-L --max-redirs 3 {url}/loop",
    "-L {url}/ftp",
    # ways
    "-x {proxy} {other}/seen",
    "-x {proxy} -U me:secret {other}/seen",
    "-x {proxy} --noproxy 127.0.0.1 {other}/seen",
    "--resolve name.example:{port}:127.0.0.1 http://name.example:{port}/seen",
    "--unix-socket {sock} http://localhost/seen",
    "--cacert {ca} {tls}/hello",
    "-k {tls}/hello",
    "{tls}/hello",
    "--cacert {ca} --cert {client} --key {key} {tlsclient}/hello",
    "--cacert {ca} --resolve localhost:{tlsport}:127.0.0.1 https://localhost:{tlsport}/hello",
    "-m 5 --connect-timeout 2 {url}/hello",
    # what goes wrong
    "{gone}/",
    "http://name.invalid/",
    "--retry 2 {gone}/",
    "htp://{host}/",
    "ftp://127.0.0.1:1/",
    "http://",
    "--none {url}",
    "-d @nofile {url}/seen",
    "-T nofile {url}/up",
    "-o nofolder/out {url}/hello",
    "https://{rude}/",
    "http://{rude}/cut",
    "http://{rude}/cutchunk",
    "-o old.txt http://{rude}/cut",
    "http://{rude}/none",
    "--compressed http://{rude}/notgzip",
    "-d",
    "-m soon {url}",
    "-I -d a=1 {url}",
    "-F nothing {url}",
    "-O {url}/",
    "--cacert nofile {tls}/hello",
    "--cert nofile {tls}/hello",
    "-x ftp://{host}:1 {url}/hello",
    "-x http://{host}:1 {url}/hello",
    "-x http://name.invalid:1 {url}/hello",
    "--resolve nonsense {url}/hello",
]  # fmt: skip

#: What is otherwise on purpose, and why.
DIFFERENT: dict[str, str] = {
    "-XPURGE {url}/seen": "a method that may have a body says that it has none (RFC 9110 section 8.6)",
    "-L {url}/ftp": "FTP is not spoken here",
    "ftp://127.0.0.1:1/": "FTP is not spoken here",
    "-d @nofile {url}/seen": "a file that is not there is an error, and not an empty body",
    "-o old.txt http://{rude}/cut": "a body cut short leaves the file that was there",
}


class Ended(NamedTuple):
    """What a call left behind."""

    status: int
    out: bytes
    files: dict[str, bytes]


def words_of(call: str, servers: Servers) -> list[str]:
    return [word.format(**servers._asdict()) for word in call.split()]


def folder_of_files(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def left_in(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def environment(folder: pathlib.Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "HOME": str(folder), "LC_ALL": "C.UTF-8"}


def run_process(command: list[str], folder: pathlib.Path) -> Ended:
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), input=b"typed\n", capture_output=True, timeout=60, check=False
    )
    return Ended(done.returncode, done.stdout, left_in(folder))


def run_here(words: list[str], folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(os, "environ", environment(folder))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", io.StringIO())
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"typed\n")))
        try:
            status = main.main(words)
        except SystemExit as ended:
            status = int(str(ended.code))
        out.flush()
    return Ended(status, out.buffer.getvalue(), left_in(folder))  # type: ignore[attr-defined]


@pytest.mark.parametrize("call", [call for call in CALLS if call not in DIFFERENT])
def test_a_call_ends_as_with_curl(
    call: str, servers: Servers, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = words_of(call, servers)
    theirs = run_process([str(CURL), *words], folder_of_files(tmp_path / "curl"))
    ours = run_here(words, folder_of_files(tmp_path / "poollib"), monkeypatch)
    assert ours == theirs


def differing_as_processes(number: int, servers: Servers, folder: pathlib.Path) -> str | None:
    """The call of that number if the two programs, run as a shell runs them, end in another way."""
    call = CALLS[number]
    words = words_of(call, servers)
    theirs = run_process([str(CURL), *words], folder_of_files(folder / f"curl{number}"))
    ours = run_process([sys.executable, "-m", "poollib", *words], folder_of_files(folder / f"poollib{number}"))
    return None if ours == theirs else call


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, len(CALLS), 20))
def test_calls_end_so_as_processes(start: int, servers: Servers, tmp_path: pathlib.Path) -> None:
    """As a shell runs them, two at a time; prints the count, and what differs."""
    numbers = range(start, min(start + 20, len(CALLS)))
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda number: differing_as_processes(number, servers, tmp_path), numbers))
    differing = {call for call in found if call is not None}
    print(f"{len(found) - len(differing)} of {len(found)} calls end as with curl; the others: {sorted(differing)}")
    assert differing == {CALLS[number] for number in numbers} & DIFFERENT.keys()
