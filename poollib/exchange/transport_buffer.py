"""What has been received on a transport's socket and not been used: the buffer that body readers pull from.

``transport`` makes one when it has a new socket, and turns it off when it closes that: a reader that still holds it
gets an error, not what the next socket receives.
"""

from __future__ import annotations

import socket
from typing import Protocol

from ..exceptions import ProtocolError
from ..http1.body_reader import Buffer, ReceiveBuffer
from ..net.socket_state import StreamSocket, is_readable


class Receiver(Protocol):
    """What is asked of a transport; each raises poollib's errors."""

    sock: StreamSocket | None

    def receive(self, limit: int, flags: int = 0) -> bytes:
        """What one receive gives, ``b""`` at the end."""

    def receive_into(self, view: Buffer) -> int:
        """The same, into ``view``."""

    def receive_record(self, limit: int) -> bytes:
        """The same over TLS, where one receive gives no more than a record."""


def closed_too_early() -> ProtocolError:
    return ProtocolError("Connection broken: the connection was closed before the response was read")


class TransportBuffer(ReceiveBuffer):
    """What comes in on a channel's socket; ``recv`` is a method of the transport.

    One for each connection: with the other two methods kept as well it would take 0.15 KiB more.
    """

    __slots__ = ()

    def recv_into(self, view: Buffer) -> int:
        transport: Receiver = self.recv.__self__  # type: ignore[attr-defined]
        return transport.receive_into(view)

    def recv_whole(self, limit: int) -> bytes:
        transport: Receiver = self.recv.__self__  # type: ignore[attr-defined]
        if type(transport.sock) is socket.socket:  # waits for all of it, where there is no timeout
            return transport.receive(limit, socket.MSG_WAITALL)
        return transport.receive_record(limit)

    def is_ready(self, wait_s: float) -> bool:
        transport: Receiver = self.recv.__self__  # type: ignore[attr-defined]
        return self.at < len(self.data) or is_readable(transport.sock, wait_s)


class _Closed:
    """In a transport's place for a body whose connection was closed: the next socket it opens is not for this body."""

    sock: StreamSocket | None = None

    def receive(self, limit: int, flags: int = 0) -> bytes:
        raise closed_too_early()

    def receive_into(self, view: Buffer) -> int:
        return len(self.receive(0))

    def receive_record(self, limit: int) -> bytes:
        return self.receive(0)


receive_no_more = _Closed().receive
