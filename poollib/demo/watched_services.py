"""Servers for ``demo --watch``: each answers as it is told to now, slowly, badly, or not at all, and counts.

They run in threads on loopback, by the standard library's ``http.server``; what they count is what the demo's client is
compared with.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyServer:
    """One server. ``delay_s`` and ``status`` hold for the next requests; ``requests``: how many it has seen."""

    def __init__(self) -> None:
        self.delay_s, self.status, self.requests = 0.01, 200, 0
        self.lock = threading.Lock()
        self._listening: _Listening | None = _Listening(self, 0)
        self.port: int = self._listening.server_address[1]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def go_away(self) -> None:
        """Listen no more and cut all connections; calling it again is fine."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.end()

    def come_back(self) -> None:
        """Listen again on the same port, unless it does."""
        if self._listening is None:
            self._listening = _Listening(self, self.port)


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: FaultyServer, port: int) -> None:
        self.owner = owner
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Close the listening socket and all others."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that was cut is what the demo is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listening

    def handle(self) -> None:
        self.server.connections.add(self.connection)
        try:
            super().handle()
        finally:
            self.server.connections.discard(self.connection)

    def do_GET(self) -> None:
        owner = self.server.owner
        with owner.lock:
            owner.requests += 1
        time.sleep(owner.delay_s)
        body = b"here you are\n"
        self.send_response(owner.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
