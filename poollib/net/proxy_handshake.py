"""Speaking to a proxy before its tunnel stands: sending and receiving within one timeout.

``http_tunnel`` and ``socks_tunnel`` say what is sent and what an answer means; here are the clock, the errors that both
give, and the checks of host and port that both make. What is received ends with the proxy's answer: the bytes behind it
are the target's.
"""

from __future__ import annotations

import re
from time import monotonic
from typing import Final

from ..base.exact_values import exact
from ..base.tls_errors import is_tls_failure
from ..exceptions import ConnectTimeoutError, NewConnectionError
from .socket_state import StreamSocket

#: reg-name (RFC 3986 section 3.2.2), not empty.
is_reg_name: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]+").fullmatch


class ProxyHandshake:
    """Sending and receiving within one timeout, however the bytes drip in; the socket's own is restored.

    ``target``: host and port, for texts. ``timeout_s``: for all of it, None for no limit. ``owner``: the connection
    that errors point at. As a block, ConnectTimeoutError for a TimeoutError, NewConnectionError for other OSErrors.
    """

    def __init__(self, sock: StreamSocket, target: str, timeout_s: float | None, owner: object) -> None:
        self._sock = sock
        self._target = target
        self._timeout_s = timeout_s
        self._owner = owner
        self._until = None if timeout_s is None else monotonic() + timeout_s

    def __enter__(self) -> ProxyHandshake:
        self._before_s = self._sock.gettimeout()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._until is not None and self._sock.fileno() >= 0:
            self._sock.settimeout(self._before_s)
        if isinstance(error, TimeoutError):
            text = f"Connection to {self._target} through the proxy timed out. (connect timeout={self._timeout_s})"
            raise ConnectTimeoutError(self._owner, text) from error
        if isinstance(error, OSError):  # of SOCKS; urllib3 too has it that no connection could be made
            text = f"Failed to establish a new connection: {error} ({self._target})"
            raise NewConnectionError(self._owner, text) from error

    def _start(self) -> None:
        if self._until is None:
            return
        left_s = self._until - monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left_s)

    def send(self, data: bytes) -> None:
        """Send all of it. An https proxy that takes nothing may have said why: then that is raised."""
        self._start()
        try:
            self._sock.sendall(data)
        except TimeoutError:
            raise
        except OSError:
            self._raise_alert()
            raise

    def _raise_alert(self) -> None:
        """Raise what TLS says of its end: a refused certificate is told after the handshake (RFC 8446 section 2)."""
        self._sock.settimeout(0.0)
        try:
            self._sock.recv(1)
        except OSError as said:
            if is_tls_failure(said):
                raise

    def receive(self, most: int) -> bytes:
        """What one receive gives, up to ``most`` bytes; ``b""`` at the end."""
        self._start()
        return self._sock.recv(most)

    def receive_exactly(self, size: int) -> bytes:
        """``size`` bytes and no more: what follows a reply is the target's."""
        data = b""
        while len(data) < size:
            received = self.receive(size - len(data))
            if not received:
                raise OSError(f"SOCKS proxy closed the connection, {size - len(data)} bytes short of its reply")
            data += received
        return data


def checked_port(port: int) -> int:
    """The port; ValueError if there is none of that number."""
    port = exact(port)
    if not 0 < port < 65536:
        raise ValueError(f"port: {port!r} is none of 1 to 65535")
    return port
