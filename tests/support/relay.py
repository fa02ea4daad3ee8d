"""A TCP proxy on loopback whose line can be cut, held up and slowed down.

`Relay` passes bytes between clients and one server (or, with `tunnels`, the server that each client's CONNECT names),
over TLS with the client if it is given a context. `cut` resets what is open, `refuse` also what comes, `hold` stops all
bytes without closing anything. What the bytes mean is left to the ends. The model is psycopg_pool's tests/fix_proxy.py.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading

JOIN_S = 5.0
_RESET = struct.pack("ii", 1, 0)


class Relay:
    """A context manager; `port` is where clients connect, `target` the port on loopback that they reach.

    `piece_bytes`, `pause_s`: pass at most so many bytes at a time, and wait so long after each (a slow line).
    """

    def __init__(
        self,
        target: int | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        tunnels: bool = False,
        piece_bytes: int = 65536,
        pause_s: float = 0.0,
    ) -> None:
        self.target, self.tls, self.tunnels = target, tls, tunnels
        self.piece_bytes, self.pause_s = piece_bytes, pause_s
        self.flowing = threading.Event()
        self.flowing.set()
        self.refusing = False
        self.accepted = 0
        self._lock = threading.Lock()  # guards the two below
        self._socks: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Relay:
        self._stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self.flowing.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=JOIN_S):
            pass
        self._threads[0].join(JOIN_S)
        self.cut()
        for thread in list(self._threads):
            thread.join(JOIN_S)
        self._listener.close()

    def cut(self) -> None:
        """Reset every connection: both ends see it at once."""
        with self._lock:
            socks = list(self._socks)
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def refuse(self, refusing: bool = True) -> None:
        """Reset what comes from now on, too; ``refuse(False)``: the network is back."""
        self.refusing = refusing
        if refusing:
            self.cut()

    def hold(self) -> None:
        """Pass nothing on from now on, and close nothing: a cable that was pulled."""
        self.flowing.clear()

    def resume(self) -> None:
        """Pass on again what was held."""
        self.flowing.set()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True, name="relay")  # type: ignore[arg-type]
        with self._lock:
            self._threads = [other for other in self._threads[:1] + self._threads[1:] if other.is_alive()] + [thread]
        thread.start()

    def _accept(self) -> None:
        while not self._stopping:
            sock, _ = self._listener.accept()
            if self._stopping or self.refusing:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.close()
                continue
            self.accepted += 1
            self._keep(sock)
            self._start(self._serve, sock)

    def _keep(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._socks.add(sock)

    def _drop(self, *socks: socket.socket) -> None:
        with self._lock:
            self._socks.difference_update(socks)
        for sock in socks:
            sock.close()

    def _serve(self, near: socket.socket) -> None:
        bottom, far = near, None
        try:
            if self.tls is not None:
                near = self.tls.wrap_socket(bottom.dup(), server_side=True, do_handshake_on_connect=False)
                near.do_handshake()  # type: ignore[attr-defined]
            far = socket.create_connection(("127.0.0.1", self._target_of(near)), timeout=JOIN_S)
            far.settimeout(None)
            self._keep(far)
            if self.tunnels:
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True, name="relay")
            back.start()
            self._pump(near, far)
            back.join(JOIN_S)
        except (OSError, ValueError):
            pass
        finally:
            self._drop(*{bottom, near, *([] if far is None else [far])})

    def _target_of(self, near: socket.socket) -> int:
        if not self.tunnels:
            assert self.target is not None
            return self.target
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = near.recv(1)
            if not byte:
                raise OSError("the client went away")
            head += byte
        return int(head.split()[1].rpartition(b":")[2])

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Pass bytes on until one side ends; then both sides hear of it."""
        try:
            while data := source.recv(self.piece_bytes):
                self.flowing.wait()
                sink.sendall(data)
                if self.pause_s:
                    threading.Event().wait(self.pause_s)
        except OSError:
            pass
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
