"""Trace: the events of a request's life, for whoever listens.

A listener subclasses :class:`Trace` and overrides the events it wants; every event is an empty method here.
Modules read the listener into a local and ask ``if trace is not None``, so nobody pays who does not listen.
Events are told through :func:`notify`, with no lock held; a listener's exception is logged and never breaks a
request.  The order in which events come is the tree in the class's docstring; it follows "The life of a
request" in ``docs/design.rst``.
"""

from __future__ import annotations

from .logs import logger

log = logger(__name__)


class Trace:
    """One empty method per event.

    ::

        request
        ├ connection_waited          a slot was free only after waiting
        ├ connection_opened | connection_reused
        │ ├ dial_started, dial_done
        │ ├ tunnel_started, tunnel_done
        │ └ tls_started, tls_done
        ├ head_sent, body_sent
        ├ first_byte
        ├ interim_read               each 1xx response
        ├ head_read, body_ended
        ├ connection_returned | connection_closed
        └ resent | retried | redirected       and the tree starts anew

    Times are seconds of ``time.monotonic``'s clock or differences of it. ``connection`` is only there to be told
    apart from others; a listener must not use it.
    """

    def connection_waited(self, endpoint: object, waited_s: float) -> None:
        """A connection was handed over after ``waited_s`` seconds of waiting."""

    def connection_opened(self, endpoint: object, connection: object) -> None:
        """A new connection object was made; it dials when it is first used."""

    def connection_reused(self, endpoint: object, connection: object) -> None:
        """An idle connection was taken, fresh and quiet."""

    def connection_returned(self, endpoint: object, connection: object) -> None:
        """The connection is idle again."""

    def connection_closed(self, endpoint: object, connection: object, reason: str) -> None:
        """The connection left the pool for good; ``reason`` is one short phrase."""

    def dial_started(self, host: str, port: int | None) -> None:
        """Resolving and connecting begin."""

    def dial_done(self, host: str, port: int | None, error: BaseException | None) -> None:
        """The socket is connected, or ``error`` says why not."""

    def tunnel_started(self, host: str, port: int | None) -> None:
        """A proxy is asked for a way to ``host``."""

    def tunnel_done(self, host: str, port: int | None, error: BaseException | None) -> None:
        """The proxy agreed, or ``error`` says why not."""

    def tls_started(self, host: str) -> None:
        """The TLS handshake begins."""

    def tls_done(self, host: str, error: BaseException | None) -> None:
        """The TLS handshake succeeded, or ``error`` says why not."""

    def head_sent(self, method: str, target: str) -> None:
        """Request line and header fields left (a small body with them)."""

    def body_sent(self, method: str, target: str) -> None:
        """The last byte of the request's body left."""

    def first_byte(self, method: str, target: str) -> None:
        """The first bytes of an answer arrived."""

    def interim_read(self, status: int, fields: list[tuple[str, str]]) -> None:
        """An interim response (1xx) was read, for example 103 Early Hints."""

    def head_read(self, status: int, reason: str) -> None:
        """The head of the final response was read."""

    def body_ended(self, reusable: bool) -> None:
        """The framing's end was reached; ``reusable`` says whether the connection may serve again."""

    def retried(self, method: str, target: str, reason: object, wait_s: float) -> None:
        """The request is tried again after ``wait_s`` seconds; ``reason`` is an error or a status."""

    def resent(self, method: str, target: str, error: BaseException) -> None:
        """A kept connection died unanswered; the request goes out on another one, and no retry is spent."""

    def redirected(self, method: str, target: str, status: int, location: str) -> None:
        """The request goes on at ``location``."""


def notify(trace: Trace, event: str, *args: object) -> None:
    """Call one event of a listener; what it raises is logged, not passed on."""
    try:
        getattr(trace, event)(*args)
    except Exception:
        log.exception("trace listener %r failed in %s", trace, event)
