"""The server beside the demo: a process of its own, so that it takes no time from the client that is measured.

It serves small bodies, redirects, refusals with Retry-After, long streams and its own count of connections to
``pooling_demo``, on loopback, over HTTP and, given a certificate, over HTTPS.  It is no server for anything else:
it reads request lines of a client known to be well-behaved and no request bodies.  Standard library only, and nothing
of poollib: what is shown must not depend on what shows it.

Run as ``python -I demo_server.py [CERT_AND_KEY_FILE]``: prints one line of JSON (the ports) and ends when its standard
input does, so that it never outlives the process that started it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
import ssl
import sys
import threading
import zlib

#: What a stream is made of, over and over.
BLOCK = bytes(range(256)) * 256
#: How long a refused client is asked to wait: the least that Retry-After can say besides "at once".
RETRY_AFTER_S = 1
#: The longest request head served.
LIMIT_BYTES = 65536


def item(number: int) -> bytes:
    """The body of ``/item/<number>``, different for each."""
    return b'{"item": %d, "check": %d}' % (number, zlib.crc32(b"%d" % number))


class Counts:
    """How many connections each listening socket accepted, and whom ``/busy`` refused already."""

    def __init__(self) -> None:
        #: Guards both fields.
        self.lock = threading.Lock()
        self.opened: dict[str, int] = {}
        self.refused: set[bytes] = set()

    def count(self, scheme: str) -> None:
        with self.lock:
            self.opened[scheme] = self.opened.get(scheme, 0) + 1

    def refuses(self, key: bytes) -> bool:
        """Whether this is the key's first visit."""
        with self.lock:
            first = key not in self.refused
            self.refused.add(key)
        return first


def answer(target: bytes, counts: Counts) -> list[bytes]:
    """The response to a GET, as pieces to be sent one after the other."""
    _, kind, rest = [*target.split(b"/", 2), b"", b""][:3]
    if kind == b"item":
        return [response(item(int(rest)))]
    if kind == b"old":
        return [response(b"", b"302 Found", b"Location: /item/%b\r\n" % rest)]
    if kind == b"busy":
        if counts.refuses(rest):
            return [response(b"later", b"503 Service Unavailable", b"Retry-After: %d\r\n" % RETRY_AFTER_S)]
        return [response(b"welcome back")]
    if kind == b"stream":
        return stream(int(rest))
    if kind == b"opened":
        return [response(json.dumps(counts.opened).encode())]
    return [response(b"", b"404 Not Found")]


def response(body: bytes, status: bytes = b"200 OK", fields: bytes = b"") -> bytes:
    """A whole response."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), fields, body)


def stream(blocks: int) -> list[bytes]:
    """A chunked response of that many blocks."""
    chunk = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *itertools.repeat(chunk, blocks), b"0\r\n\r\n"]


def converse(sock: socket.socket, counts: Counts) -> None:
    """Answer one connection's requests until it closes."""
    buffer = b""
    while len(buffer) < LIMIT_BYTES:
        head, end, rest = buffer.partition(b"\r\n\r\n")
        if end:
            for piece in answer(head.split(b" ", 2)[1], counts):
                sock.sendall(piece)
            buffer = rest
        elif data := sock.recv(LIMIT_BYTES):
            buffer += data
        else:
            return


def serve(sock: socket.socket, counts: Counts, context: ssl.SSLContext | None) -> None:
    """One connection's thread: what a client that leaves does to it ends it quietly."""
    with contextlib.suppress(OSError), sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is None:
            converse(sock, counts)
        else:
            with context.wrap_socket(sock, server_side=True) as secured:
                converse(secured, counts)


def listen(counts: Counts, scheme: str, context: ssl.SSLContext | None) -> int:
    """Accept in the background; the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            counts.count(scheme)
            threading.Thread(target=serve, args=(sock, counts, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def main() -> None:
    """Serve until standard input ends."""
    # Ctrl-C is for the demo, which then ends standard input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    counts, ports = Counts(), {}
    ports["http"] = listen(counts, "http", None)
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
        ports["https"] = listen(counts, "https", context)
    print(json.dumps(ports), flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
