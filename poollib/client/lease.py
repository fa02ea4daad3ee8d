"""Connection: what pools and responses ask of a connection. Lease: one that a response holds, and how it goes back.

A pool makes one where a response leaves with its connection; the response ends it once, and knows nothing else of
pools: it releases the connection (to discard it, it closes it before: no pool keeps a closed one), or detaches it.
Which connection is lent to whom is known to ``pool/endpoint_pool``; whether one is fit to be kept is said by the
connection itself, when its pool takes it back.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ..pool.multi_endpoint_pool import EndpointPool

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from ..base.endpoint import Endpoint
    from ..exchange.request_value import Options
    from ..net.socket_state import StreamSocket


class Connection(Protocol):
    """A connection as its pool and its response know it: ``HTTPConnection``, or one of somebody else's class, to which
    ``connection_factory.adapt`` has given the facts that it lacks.
    """

    sock: StreamSocket | None
    timeout: float | None
    request_options: Options | None  # of the request that it serves
    is_outdated: bool  # a setting that it was made with has changed: it serves nothing more
    made_for: object  # the endpoint that its pool had when it was made; None outside of pools
    requests_sent: int  # sent so far
    exchange_count: int  # responses whose head was read
    has_answered: bool  # whether a byte of the answer to the last request has come
    bytes_sent: int
    bytes_received: int
    idle_limit_s: int | None  # what the server's Keep-Alive said

    @property
    def has_connected_to_proxy(self) -> bool:
        """Whether its proxy, if there is one, was reached."""

    def connect(self) -> None:
        """Open its socket."""

    def close(self) -> None:
        """Close its socket; safe to call again."""

    def detach(self) -> socket.socket:
        """Its socket, which is the caller's from now on."""

    def is_reusable(self) -> bool:
        """Whether its next exchange may start: the last one ended cleanly and nothing came since."""

    def is_reusable_state(self) -> bool:
        """Whether the last exchange ended cleanly; its socket is not looked at."""

    def close_reason(self) -> str:
        """Why it can't be kept, in a phrase for statistics."""

    def cap_read_timeout(self, limit_s: float) -> AbstractContextManager[None]:
        """A block within which all receives together take no longer than that."""

    def response_ended(self, reusable: bool) -> None:
        """The response was read to the end of its framing."""


HTTPEndpointPool: TypeAlias = "EndpointPool[Endpoint, Connection]"


class LeaseOwner(Protocol):
    """The pool that a connection goes back to: one of ours, or whatever a program has made a response with."""

    def _put_conn(self, conn: Connection) -> None:
        """Take a connection back; it is kept if its last exchange ended cleanly."""


class Lease:
    """One lease of one connection. ``number`` tells it from others of the same connection, so that an interrupt ends
    none but this one; None: the endpoint's pool does not know of it, as of a connection that a program has put in.
    """

    __slots__ = ("_endpoint_pool", "_number", "connection", "owner")

    def __init__(
        self,
        owner: LeaseOwner,
        connection: Connection,
        endpoint_pool: HTTPEndpointPool | None = None,
        number: int | None = None,
    ) -> None:
        self.owner = owner
        self.connection = connection
        self._endpoint_pool = endpoint_pool
        self._number = number

    def release(self) -> None:
        """Give the connection back; it is kept if its last exchange ended cleanly, else closed and forgotten."""
        self.owner._put_conn(self.connection)

    def reclaim(self) -> None:
        """End the lease by closing the connection, unless it has ended: whoever released it was interrupted."""
        if self._endpoint_pool is not None and self._number is not None:
            self._endpoint_pool.reclaim(self.connection, self._number)

    def detach(self) -> None:
        """Let the pool forget the connection without closing it: its socket is somebody else's now."""
        if self._endpoint_pool is not None and self._number is not None:
            self._endpoint_pool.detach(self.connection)

    def while_held(self, action: Callable[[], object]) -> bool:
        """Whether this lease goes on, and ``action`` was done while it could not end; it must not wait for anything."""
        if self._endpoint_pool is None or self._number is None:
            action()
            return True
        return self._endpoint_pool.while_leased(self.connection, self._number, action)


_FOLDER = os.path.dirname(os.path.dirname(__file__)) + os.sep


def place_outside() -> str:
    """The place in the program that called: file and line of the first frame that is none of this package's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_FOLDER):
        frame = frame.f_back
    return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
