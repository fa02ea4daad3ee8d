"""A proxy's end of a socket pair, for byte tables: no server, no threads."""

from __future__ import annotations

import contextlib
import socket
from typing import Any


class ProxyEnd:
    """The far end: its whole answer is sent in advance; what it was told is read afterwards."""

    def __init__(self, answer: bytes, *, ends: bool = True) -> None:
        self.near, self.far = socket.socketpair()
        self.near.settimeout(3)
        self.far.sendall(answer)
        if ends:
            self.far.shutdown(socket.SHUT_WR)

    def __enter__(self) -> ProxyEnd:
        return self

    def __exit__(self, *_: object) -> None:
        self.near.close()
        self.far.close()

    def told(self) -> bytes:
        self.far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            return self.far.recv(65536)
        return b""

    def left(self) -> bytes:
        """What stands behind the answer: the target's first bytes."""
        return self.near.recv(65536)


class OneByOne:
    """The same socket, a byte at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def recv(self, most: int) -> bytes:
        return self._sock.recv(min(most, 1))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
