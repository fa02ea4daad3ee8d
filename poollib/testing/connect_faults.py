"""Faults that a connection meets before a request is sent: no such host, refused, out of time, a TLS alert.

A :class:`ConnectFault` stands among a table's answers, or is what a program's ``connect`` function returns;
``memory_connections`` turns it into poollib's error by the same rules as ``net/dial``. An alert is played to OpenSSL,
whose error is then the real one (RFC 8446 section 6).
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class ConnectFault:
    """``error``: what the system would raise while dialling; ``alert``: the number that the TLS handshake ends with."""

    name: str
    error: OSError | None = None
    alert: int | None = None


#: Some of RFC 8446 section 6.2.
ALERTS: Final = {
    "handshake_failure": 40,
    "bad_certificate": 42,
    "certificate_expired": 45,
    "unknown_ca": 48,
    "access_denied": 49,
    "protocol_version": 70,
    "internal_error": 80,
    "unrecognized_name": 112,
    "certificate_required": 116,
}


def refused() -> ConnectFault:
    """Nobody listens there: NewConnectionError."""
    return ConnectFault("refused", ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))


def dns_failure() -> ConnectFault:
    """The host has no address: NameResolutionError."""
    return ConnectFault("dns_failure", socket.gaierror(socket.EAI_NONAME, "Name or service not known"))


def connect_timeout() -> ConnectFault:
    """Nothing comes back within the connect timeout, which is over at once: ConnectTimeoutError."""
    return ConnectFault("connect_timeout", TimeoutError("timed out"))


def tls_alert(name: str = "handshake_failure") -> ConnectFault:
    """The server ends the TLS handshake with this alert: SSLError. ValueError: no alert of ``ALERTS``."""
    if name not in ALERTS:
        raise ValueError(f"{name!r} is no alert known here: {', '.join(ALERTS)}")
    return ConnectFault(f"tls_alert({name!r})", alert=ALERTS[name])
