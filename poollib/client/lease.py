"""Lease: a connection that a response holds, and the ways in which it goes back.

A pool makes one where a response leaves with its connection; the response ends it once, and knows nothing else of
pools: it releases the connection (to discard it, it closes it before: no pool keeps a closed one), or detaches it.
Which connection is lent to whom is known to ``pool/endpoint_pool``; whether one is fit to be kept is said by the
connection itself, when its pool takes it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..pool.connection_pool import EndpointPool


class LeaseOwner(Protocol):
    """The pool that a connection goes back to: one of ours, or whatever a program has made a response with."""

    def _put_conn(self, conn: Any) -> None:
        """Take a connection back; it is kept if its last exchange ended cleanly."""


class Lease:
    """One lease of one connection. ``number`` tells it from others of the same connection, so that an interrupt ends
    none but this one; None: the endpoint's pool does not know of it, as of a connection that a program has put in.
    """

    __slots__ = ("_endpoint_pool", "_number", "connection", "owner")

    def __init__(
        self,
        owner: LeaseOwner,
        connection: Any,
        endpoint_pool: EndpointPool[Any, Any] | None = None,
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
