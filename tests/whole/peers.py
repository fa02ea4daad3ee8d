"""Real servers of three makes behind one face: nginx, the standard library's, and pytest-httpserver.

Each answers `GET /echo?n=K` with a body that only this request can have, and tells how many connections its requests
came over, as the server itself saw it. Starting them and choosing their TLS context is all that a test does; what is
specific to one make stays with it.
"""

from __future__ import annotations

import contextlib
import http.server
import logging
import pathlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest_httpserver
import werkzeug

from tests.support.certs import Pair, certs
from tests.support.nginx import Nginx, find_nginx

if TYPE_CHECKING:
    from werkzeug import Request, Response

MAKES = ("nginx", "http.server", "pytest-httpserver")


@dataclass(frozen=True)
class Peer:
    """A running server, and what it says of its connections.

    `connections(requests)`: over how many its first `requests` requests came. `keeps`: whether it lets a connection
    serve a second request; one that does not tells in `most_at_once` how many it had at one time.
    """

    url: str
    connections: Callable[[int], int]
    keeps: bool = True
    most_at_once: Callable[[], int] = lambda: 0


def target(number: int) -> str:
    return f"/echo?n={number}"


def body(number: int, token: str) -> bytes:
    """What every make answers to a GET of `target(number)` with the header X-Token."""
    return f"GET {number} {token}".encode()


@contextlib.contextmanager
def serve(make: str, folder: pathlib.Path, pair: Pair | None = None, wants_client: bool = False) -> Iterator[Peer]:
    """Run a server of this make, over TLS if it gets a certificate; `folder` is an empty directory."""
    context = None if pair is None else server_context(pair, wants_client)
    if make == "http.server":
        with serve_stdlib(context) as peer:
            yield peer
    elif make == "pytest-httpserver":
        with serve_werkzeug(context) as peer:
            yield peer
    else:
        with serve_nginx(folder, pair, wants_client) as peer:
            yield peer


def is_missing(make: str) -> bool:
    return make == "nginx" and find_nginx() is None


def server_context(pair: Pair, wants_client: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.both_file)
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certs().ca_file)
    return context


# nginx


@contextlib.contextmanager
def serve_nginx(folder: pathlib.Path, pair: Pair | None, wants_client: bool) -> Iterator[Peer]:
    shown = pair or certs().pair()
    with Nginx(folder, cert_file=shown.cert_file, key_file=shown.key_file, client_ca_file=certs().ca_file) as nginx:
        port = nginx.plain if pair is None else nginx.mutual if wants_client else nginx.tls
        yield Peer(
            nginx.url(port),
            lambda requests: len({row.connection for row in nginx.served(port, requests)}),
        )


# http.server


class KeepAliveHandler(http.server.BaseHTTPRequestHandler):
    """Answers /echo over HTTP/1.1, head and body in one piece."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        (number,) = parse_qs(urlsplit(self.path).query)["n"]
        text = body(int(number), self.headers["X-Token"] or "")
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class CountingServer(http.server.ThreadingHTTPServer):
    """Counts what it accepts, and joins its threads when it closes."""

    daemon_threads = False
    request_queue_size = 128
    context: ssl.SSLContext | None = None
    accepted = 0

    def get_request(self) -> tuple[Any, Any]:
        sock, address = super().get_request()
        self.accepted += 1
        if self.context is not None:
            # The handshake is left to the connection's own thread, which does it with the first read.
            sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a refused handshake is what the test wants to see at the client."""


@contextlib.contextmanager
def serve_stdlib(context: ssl.SSLContext | None) -> Iterator[Peer]:
    with CountingServer(("127.0.0.1", 0), KeepAliveHandler) as server:
        server.context = context
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="http.server")
        thread.start()
        try:
            scheme = "http" if context is None else "https"
            yield Peer(f"{scheme}://127.0.0.1:{server.server_address[1]}", lambda requests: server.accepted)
        finally:
            server.shutdown()
            thread.join()


# pytest-httpserver


class HastyServer(pytest_httpserver.HTTPServer):
    """Looks for the end of its work more often than every half second."""

    def thread_target(self) -> None:
        assert self.server is not None
        self.server.serve_forever(poll_interval=0.01)


class Counter:
    """Answers /echo, and counts the requests that are being answered: each has a connection of its own."""

    def __init__(self) -> None:
        # Guards the counts.
        self.lock = threading.Lock()
        self.ever = self.now = self.most = 0

    def count(self, change: int) -> None:
        with self.lock:
            self.now += change
            self.ever += change > 0
            self.most = max(self.most, self.now)

    def __call__(self, request: Request) -> Response:
        self.count(+1)
        try:
            text = body(int(request.args["n"]), request.headers.get("X-Token", ""))
            return werkzeug.Response(text, content_type="text/plain")
        finally:
            self.count(-1)


@contextlib.contextmanager
def serve_werkzeug(context: ssl.SSLContext | None) -> Iterator[Peer]:
    """werkzeug's server sends "Connection: close" with every response, whatever its protocol version."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    counter = Counter()
    with HastyServer(host="127.0.0.1", threaded=True, ssl_context=context) as server:
        server.expect_request("/echo").respond_with_handler(counter)
        url = server.url_for("").rstrip("/")
        yield Peer(url, lambda requests: counter.ever, keeps=False, most_at_once=lambda: counter.most)
