"""Ready factories: TCP sockets, TLS sockets, Unix sockets.

Each is given to a ``ConnectionPool`` or ``EndpointPool`` and makes, checks and closes its sockets; callers get plain
``socket.socket`` or ``ssl.SSLSocket`` objects and speak on them whatever they like.
A socket may be leased again only if it is quiet: no byte, and no end of stream, came while it was idle.
Proxies, racing addresses and HTTP's own connections are not for here; errors are the system's (OSError).
After a fork the child closes its copies of the descriptors and nothing more: a TLS close_notify would end the
parent's session (RFC 8446 section 6.1).
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterable

from ..base import after_fork

#: A level, an option and its value, for ``setsockopt``.
SocketOption = tuple[int, int, int]
#: Small writes leave at once; what is sent are mostly whole messages.
NO_DELAY: tuple[SocketOption, ...] = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)


class TcpFactory:
    """Connects to ``(host, port)``.

    ``io_timeout``: the timeout set on the leased socket, in seconds; None: it blocks.
    """

    def __init__(self, *, io_timeout: float | None = None, socket_options: Iterable[SocketOption] = NO_DELAY) -> None:
        self.io_timeout = io_timeout
        self.socket_options = tuple(socket_options)

    def connect(self, endpoint: tuple[str, int], timeout: float | None) -> socket.socket:
        """A connected socket, within ``timeout`` seconds for all addresses of the host together."""
        return self._prepared(_dialled(endpoint, timeout))

    def usable(self, connection: socket.socket) -> bool:
        """Whether the socket is open and nothing came on it."""
        return connection.fileno() >= 0 and not is_readable(connection)

    def close(self, connection: socket.socket) -> None:
        """Close it."""
        connection.close()

    def forget(self, connection: socket.socket) -> None:
        """Close a forked child's copy of the descriptor; the peer does not notice."""
        after_fork.drop_descriptor(connection)

    def _prepared(self, sock: socket.socket) -> socket.socket:
        """The same socket with its options set; it is closed if they cannot be."""
        try:
            for option in self.socket_options:
                sock.setsockopt(*option)
            sock.settimeout(self.io_timeout)
        except BaseException:
            sock.close()
            raise
        return sock


class UnixFactory(TcpFactory):
    """Connects to a Unix socket; the endpoint is its path."""

    def __init__(self, *, io_timeout: float | None = None, socket_options: Iterable[SocketOption] = ()) -> None:
        super().__init__(io_timeout=io_timeout, socket_options=socket_options)

    def connect(self, endpoint: str, timeout: float | None) -> socket.socket:  # type: ignore[override]
        """A connected socket, in ``timeout`` seconds."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(endpoint)
        except BaseException:
            sock.close()
            raise
        return self._prepared(sock)


class TlsFactory(TcpFactory):
    """Connects to ``(host, port)`` and shakes hands; certificate and name are verified unless ``context`` says else.

    ``context`` is shared by all connections and must not be changed any more; None: ``ssl.create_default_context()``,
    made once, for that loads the system's certificates (some 20 ms).  ``server_hostname``: the name asked for and
    verified; None: the endpoint's host.
    """

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        io_timeout: float | None = None,
        socket_options: Iterable[SocketOption] = NO_DELAY,
    ) -> None:
        super().__init__(io_timeout=io_timeout, socket_options=socket_options)
        self.context = ssl.create_default_context() if context is None else context
        self.server_hostname = server_hostname

    def connect(self, endpoint: tuple[str, int], timeout: float | None) -> ssl.SSLSocket:
        """A connected socket that has shaken hands, both within ``timeout`` seconds."""
        give_up_at = None if timeout is None else time.monotonic() + timeout
        sock = _dialled(endpoint, timeout)
        try:
            if give_up_at is not None:
                sock.settimeout(max(0.001, give_up_at - time.monotonic()))
            tls = self.context.wrap_socket(sock, server_hostname=self.server_hostname or endpoint[0])
        except BaseException:
            sock.close()
            raise
        self._prepared(tls)
        return tls

    def usable(self, connection: socket.socket) -> bool:
        """Whether the session is open and no data came; session tickets may have come, and are taken in."""
        assert isinstance(connection, ssl.SSLSocket)
        if connection.fileno() < 0 or connection.pending():
            return False
        if not is_readable(connection):
            return True
        connection.settimeout(0)
        try:
            connection.recv(1)
        except ssl.SSLWantReadError:  # tickets only (RFC 8446 section 4.6.1)
            return True
        except OSError:
            return False
        finally:
            connection.settimeout(self.io_timeout)
        return False


def _dialled(endpoint: tuple[str, int], timeout: float | None) -> socket.socket:
    """A socket connected to the first address of the host that takes it; else the last one's OSError.

    Each address has an equal share of the seconds that are left, so that a silent one leaves time for the next.
    """
    give_up_at = None if timeout is None else time.monotonic() + timeout
    found = socket.getaddrinfo(*endpoint[:2], 0, socket.SOCK_STREAM)
    for place, (*_, address) in enumerate(found):
        left_s = None if give_up_at is None else max(0.001, give_up_at - time.monotonic()) / (len(found) - place)
        try:
            return socket.create_connection((str(address[0]), int(address[1])), left_s)
        except OSError:
            if place == len(found) - 1:
                raise
    raise OSError(f"no address was found for {endpoint[0]!r}")


def is_readable(sock: socket.socket) -> bool:
    """Whether a read would return at once: with bytes, an end of stream or an error."""
    if hasattr(select, "poll"):  # select.select refuses descriptors above 1023
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
