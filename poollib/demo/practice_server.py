"""A server to try the quick start and the tutorial on: ``python -m poollib serve``.

It answers on loopback alone, by the standard library's ``http.server``, what the pages in ``docs/`` ask for: greetings,
items, large and slow bodies, faults now and then. Nothing is kept but a list of items in memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

#: The pages name it.
PORT = 8080
SLOW_S = 2.0
BIG_BYTES = 1_000_000
#: Of how many requests for ``/sometimes`` one is answered well.
SOMETIMES = 3
VERSION_TAG = '"1"'

_ITEMS_LIMIT = 1000
_BODY_LIMIT_BYTES = 64 << 20


class PracticeServer(ThreadingHTTPServer):
    """The server on a port of loopback; 0: any free one. Run by ``serve_forever``, ended by ``shutdown``."""

    daemon_threads = True

    def __init__(self, port: int = PORT) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.items: list[object] = []
        self.lock = threading.Lock()
        self.turns = itertools.count(1)
        self.is_over = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://localhost:{self.server_address[1]}"

    def shutdown(self) -> None:
        """Stop serving; slow answers under way come at once."""
        self.is_over.set()
        super().shutdown()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away, as one does whose time is up; a fault of the server is printed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed's private alias


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PracticeServer
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        address = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        self.body = self._received_body()
        route = _ROUTES.get(address.path)
        if route is None:
            self.reply(404, b"no such page; there are " + " ".join(_ROUTES).encode())
        else:
            route(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

    def _received_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(iter(self._received_chunk, b""))
        return self.rfile.read(min(int(self.headers.get("Content-Length", 0)), _BODY_LIMIT_BYTES))

    def _received_chunk(self) -> bytes:
        size = min(int(self.rfile.readline().partition(b";")[0], 16), _BODY_LIMIT_BYTES)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def reply(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8", **fields: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **fields}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, status: int, value: object) -> None:
        self.reply(status, json.dumps(value).encode(), "application/json")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal belongs to whoever started the server."""


def _hello(request: _Handler) -> None:
    request.reply(200, f"hello {request.query.get('name', 'world')}".encode(), "text/plain")


def _items(request: _Handler) -> None:
    server = request.server
    if request.command != "POST":
        with server.lock:
            request.reply_json(200, server.items)
        return
    try:
        item = json.loads(request.body)
    except ValueError:
        request.reply_json(400, {"error": "an item is a JSON object"})
        return
    with server.lock:
        made = {"id": len(server.items) + 1, **item} if isinstance(item, dict) else item
        server.items = [*server.items, made][-_ITEMS_LIMIT:]
    request.reply_json(201, made)


def _big(request: _Handler) -> None:
    request.reply(200, b"0123456789" * (BIG_BYTES // 10), "application/octet-stream")


def _upload(request: _Handler) -> None:
    request.reply(200, b"got %d bytes" % len(request.body))


def _slow(request: _Handler) -> None:
    request.server.is_over.wait(SLOW_S)
    request.reply(200, b"at last")


def _sometimes(request: _Handler) -> None:
    if next(request.server.turns) % SOMETIMES:
        request.reply(503, b"later")
    else:
        request.reply(200, b"at last")


def _moved(request: _Handler) -> None:
    request.reply(302, b"", Location="/hello?name=moved")


def _status(request: _Handler) -> None:
    code = request.query.get("code", "200")
    request.reply(int(code) if code.isdigit() and 200 <= int(code) <= 599 else 400, b"")


def _events(request: _Handler) -> None:
    """Five events, one each tenth of a second; then the connection ends."""
    request.send_response(200)
    request.send_header("Content-Type", "text/event-stream")
    request.send_header("Connection", "close")
    request.end_headers()
    for number in range(5):
        request.wfile.write(f"id: {number}\ndata: tick {number}\n\n".encode())
        request.server.is_over.wait(0.1)


def _lines(request: _Handler) -> None:
    lines = "".join(f'{{"number": {number}}}\n' for number in range(3))
    request.reply(200, lines.encode(), "application/jsonl")


def _pages(request: _Handler) -> None:
    """Two items a page; ``next`` is null on the third and last."""
    page = request.query.get("page", "1")
    if page not in ("1", "2", "3"):
        request.reply_json(400, {"error": "there are pages 1 to 3"})
        return
    number = int(page)
    request.reply_json(200, {"items": [2 * number - 1, 2 * number], "next": number + 1 if number < 3 else None})


def _version(request: _Handler) -> None:
    """The same version always, not sent again to those who have it."""
    if request.headers.get("If-None-Match") == VERSION_TAG:
        request.reply(304, b"", ETag=VERSION_TAG)
    else:
        request.reply(200, b"version 1", ETag=VERSION_TAG)


def _echo(request: _Handler) -> None:
    fields = {name.lower(): value for name, value in request.headers.items()}
    asked = {"method": request.command, "target": request.path, "headers": fields}
    request.reply_json(200, {**asked, "body": request.body.decode("latin-1")})


_ROUTES: dict[str, Callable[[_Handler], None]] = {
    "/hello": _hello,
    "/items": _items,
    "/big": _big,
    "/upload": _upload,
    "/slow": _slow,
    "/sometimes": _sometimes,
    "/moved": _moved,
    "/status": _status,
    "/events": _events,
    "/lines": _lines,
    "/pages": _pages,
    "/version": _version,
    "/echo": _echo,
}


def main(words: Sequence[str]) -> int:
    """Serve until Ctrl-C; the exit status."""
    arguments = argparse.ArgumentParser(
        prog="poollib serve", description="Answer the quick start's requests on this machine, until Ctrl-C."
    )
    arguments.add_argument("--port", type=int, default=PORT, help=f"where to listen; default {PORT}, 0: any free port")
    port = arguments.parse_args(words).port
    try:
        server = PracticeServer(port)
    except (OSError, OverflowError) as error:
        print(f"poollib serve: port {port} can't be had ({error}); name another with --port", file=sys.stderr)
        return 1
    with server:
        print(f"{server.url} answers {' '.join(_ROUTES)}; Ctrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0
