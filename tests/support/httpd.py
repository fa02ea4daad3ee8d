"""A threaded HTTP/1.1 server on loopback that keeps connections and counts them.

It hands a test what it was asked (`requests`) and how many connections there were: now, most at once, ever. What it
answers is left to routes, plain callables per path; without one it echoes the request as JSON. It parses only what a
well-behaved client sends (RFC 9112 section 6: Content-Length and chunked bodies); hostile bytes are for ScriptServer.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import parse_qsl, urlsplit

# How long a thread may take to end once its socket was shut down.
JOIN_S = 5.0


@dataclass(frozen=True)
class Request:
    """One request as it came; `headers` in the order of arrival, names as sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    # 0 is the first connection that the server accepted.
    connection: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    def header(self, name: str) -> str | None:
        """The field's first value, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True)
class Response:
    """What to answer; a body of bytes goes out with a Content-Length, an iterable of bytes in chunks."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    # Send "Connection: close" and close after this response.
    close: bool = False


Route = Callable[[Request], Response]


def echo(request: Request) -> Response:
    """The request as JSON: method, target, headers (lower-case names), body, connection."""
    text = json.dumps(
        {
            "method": request.method,
            "target": request.target,
            "headers": {name.lower(): value for name, value in request.headers},
            "body": request.body.decode("latin-1"),
            "connection": request.connection,
        }
    )
    return Response(text.encode(), headers={"Content-Type": "application/json"})


class Httpd:
    """A context manager; `routes` maps a path to what answers there, `tls` makes it HTTPS."""

    def __init__(
        self,
        routes: Mapping[str, Route] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.routes, self.tls, self.host = dict(routes or {}), tls, host
        self.requests: list[Request] = []
        self.tls_errors: list[OSError] = []
        # Guards the sockets and the three counts.
        self._lock = threading.Lock()
        self._socks: set[socket.socket] = set()
        self.opened = self.open_now = self.open_most = 0

    def __enter__(self) -> Httpd:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family, backlog=512)
        self.port = self._listener.getsockname()[1]
        self._stopping = False
        self._threads = [threading.Thread(target=self._accept, daemon=True, name="httpd")]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=JOIN_S):
            pass
        self._threads[0].join(JOIN_S)
        self.disconnect()
        for thread in self._threads:
            thread.join(JOIN_S)
        self._listener.close()

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def disconnect(self) -> None:
        """Shut down every open connection, as a restarting server does."""
        with self._lock:
            socks = list(self._socks)
        for sock in socks:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._stopping:
                sock.close()
                return
            thread = threading.Thread(target=self._serve, args=(sock, self.opened), daemon=True, name="httpd")
            self._count(sock, +1)
            self._threads.append(thread)
            thread.start()

    def _count(self, sock: socket.socket, change: int) -> None:
        with self._lock:
            self.open_now += change
            if change > 0:
                self._socks.add(sock)
                self.opened += 1
                self.open_most = max(self.open_most, self.open_now)
            else:
                self._socks.discard(sock)

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._secured(sock) as secured:
                self._converse(secured, number)
        except OSError:
            # The client left, or the server stops.
            pass
        finally:
            self._count(sock, -1)
            sock.close()

    @contextlib.contextmanager
    def _secured(self, sock: socket.socket) -> Iterator[socket.socket]:
        if self.tls is None:
            yield sock
            return
        # A copy of the descriptor stays with `sock`, through which the server can wake a handshake.
        with self.tls.wrap_socket(sock.dup(), server_side=True, do_handshake_on_connect=False) as secured:
            try:
                secured.do_handshake()
            except OSError as error:
                self.tls_errors.append(error)
                raise
            yield secured

    def _converse(self, sock: socket.socket, number: int) -> None:
        with sock.makefile("rb") as file:
            while (request := read_request(file, sock, number)) is not None:
                self.requests.append(request)
                response = self.routes.get(request.path, echo)(request)
                closing = response.close or (request.header("Connection") or "").lower() == "close"
                for piece in encode_response(response, request.method, closing):
                    sock.sendall(piece)
                if closing:
                    return


def read_request(file: BinaryIO, sock: socket.socket, number: int) -> Request | None:
    """The next request with its body, or None at the end of the stream."""
    line = file.readline()
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = tuple(_read_fields(file))
    lower = {name.lower(): value for name, value in headers}
    if lower.get("expect") == "100-continue":
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in lower.get("transfer-encoding", ""):
        body = b"".join(_read_chunks(file))
    else:
        body = _read_exactly(file, int(lower.get("content-length", 0)))
    return Request(method, target, headers, body, number)


def encode_response(response: Response, method: str, closing: bool) -> Iterator[bytes]:
    """The bytes of the response: head and body in one piece, or the head and then chunk by chunk."""
    lines = [f"HTTP/1.1 {response.status} {'OK' if response.status == 200 else 'Other'}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines += ["Connection: close"] if closing else []
    body, bare = response.body, method == "HEAD" or response.status in (204, 304)
    if response.status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}" if isinstance(body, bytes) else "Transfer-Encoding: chunked")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    if isinstance(body, bytes):
        yield head if bare else head + body
        return
    yield head
    if bare:
        return
    for piece in filter(None, body):
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _read_fields(file: BinaryIO) -> Iterator[tuple[str, str]]:
    while line := _read_line(file).rstrip(b"\r\n"):
        name, _, value = line.decode("latin-1").partition(":")
        yield name, value.strip()


def _read_chunks(file: BinaryIO) -> Iterator[bytes]:
    while size := int(_read_line(file).split(b";")[0], 16):
        yield _read_exactly(file, size)
        _read_line(file)
    for _ in _read_fields(file):
        pass


def _read_line(file: BinaryIO) -> bytes:
    """A whole line; ConnectionError if the client left before its end."""
    line = file.readline()
    if not line.endswith(b"\n"):
        raise ConnectionError("the client left in the middle of a request")
    return line


def _read_exactly(file: BinaryIO, count: int) -> bytes:
    """Exactly `count` bytes; ConnectionError if the client left before."""
    data = file.read(count)
    if len(data) < count:
        raise ConnectionError("the client left in the middle of a request")
    return data
