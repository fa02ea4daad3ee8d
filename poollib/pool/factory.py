"""What a pool asks of a factory: three methods that it must have, and seven that it may have.

A factory knows how a kind of connection is made, checked and closed; some are ready in ``factories``.  Whether one has
an optional method is asked here alone, so that pools get it with its types, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

Endpoint = TypeVar("Endpoint")
Endpoint_contra = TypeVar("Endpoint_contra", contravariant=True)
Connection = TypeVar("Connection")


class Factory(Protocol[Endpoint_contra, Connection]):
    """How connections are made, checked and closed.  The three methods here are required.

    Optional, the first two looked up when the pool is made:

    ================================ ==================================================================
    ``on_acquire(connection)``       called before every lease; an error discards the connection and is raised
    ``on_release(connection)``       called before a connection becomes idle; an error discards it and is logged
    ``on_full(connection)``          called with a connection that is closed because ``maxsize`` others are idle,
                                     if the pool was given no other ``on_full``
    ``on_detach(connection)``        called with a connection that leaves the pool without being closed; an error is
                                     logged
    ``warm(connection, timeout)``    called after ``connect`` when the pool opens ahead of demand (``min_idle``), for
                                     factories whose ``connect`` puts off the work
    ``forget(connection)``           called in a forked child instead of ``close``: drop the inherited connection
                                     without touching the peer
    ``reset_after_fork()``           called in a forked child, after those: for what the factory itself holds
    ================================ ==================================================================
    """

    def connect(self, endpoint: Endpoint_contra, timeout: float | None) -> Connection:
        """A new connection, never None, within ``timeout`` seconds (None: no limit; never 0, which sockets take for not
        to block).  Any error goes to the caller of acquire.
        """

    def usable(self, connection: Connection) -> bool:
        """Whether an idle connection may be leased; an error means no.

        It has no timeout of its own: bound what is asked of the peer.  When acquire's time is over it is not called
        for another connection.
        """

    def close(self, connection: Connection) -> None:
        """Close it; errors are logged.

        It must not wait for the peer without a limit: the one background thread of all pools closes, too.
        """


def check_methods(factory: object) -> None:
    """TypeError naming what a factory lacks: each use of it would come to an error that says less, or to none."""
    lacking = [name for name in ("connect", "usable", "close") if not callable(getattr(factory, name, None))]
    if lacking:
        raise TypeError(f"a factory must have connect, usable and close; {factory!r} has no {' and no '.join(lacking)}")


def on_acquire_of(factory: Factory[Endpoint, Connection]) -> Callable[[Connection], object] | None:
    """Its ``on_acquire``, or None."""
    return _optional(factory, "on_acquire")


def on_release_of(factory: Factory[Endpoint, Connection]) -> Callable[[Connection], object] | None:
    """Its ``on_release``, or None."""
    return _optional(factory, "on_release")


def on_full_of(factory: Factory[Endpoint, Connection]) -> Callable[[Connection], object] | None:
    """Its ``on_full``, or None."""
    return _optional(factory, "on_full")


def on_detach_of(factory: Factory[Endpoint, Connection]) -> Callable[[Connection], object] | None:
    """Its ``on_detach``, or None."""
    return _optional(factory, "on_detach")


def warm_of(factory: Factory[Endpoint, Connection]) -> Callable[[Connection, float], object] | None:
    """Its ``warm``, or None."""
    return _optional(factory, "warm")


def forget_of(factory: Factory[Endpoint, Connection]) -> Callable[[Connection], object] | None:
    """Its ``forget``, or None."""
    return _optional(factory, "forget")


def reset_after_fork_of(factory: Factory[Endpoint, Connection]) -> Callable[[], object] | None:
    """Its ``reset_after_fork``, or None."""
    return _optional(factory, "reset_after_fork")


def _optional(factory: object, name: str) -> Callable[..., object] | None:
    # A protocol for each and ``isinstance`` would say the same, in 20 us each time on CPython 3.11: a pool takes 6.
    method: Callable[..., object] | None = getattr(factory, name, None)
    return method
