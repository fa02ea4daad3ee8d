"""Connections that dial into memory: two methods in the place of a connection's own, everything else as it is.

:func:`methods` makes them for one fake transport. :func:`installed_in` gives a manager or a pool connections that
have them, by urllib3's ``pool_classes_by_scheme`` and ``ConnectionCls``; :func:`installed` puts them on poollib's own
classes for a while. Requests are written, responses parsed and connections kept by the code that does it otherwise.
Errors are those of ``net/dial`` and ``net/tls``.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar, cast

from ..base.endpoint import TlsSettings
from ..connection import HTTPConnection
from ..connectionpool import HTTPConnectionPool
from ..exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from ..exchange.transport import Transport
from ..net import tls
from ..net.dns import Resolver
from ..net.socket_state import StreamSocket
from ..policy import retry
from ..poolmanager import PoolManager
from .answers import End, Step
from .connect_faults import ConnectFault
from .memory_socket import MemorySocket


class Network(Protocol):
    """What a connection is made through."""

    def open(self, scheme: str, host: str, port: int) -> MemorySocket | ConnectFault:
        """A connected socket, or what the connection fails with."""

    def tls_fault(self, host: str, port: int) -> ConnectFault | None:
        """The alert that the TLS handshake with this server ends with; None: it goes well."""


Made = TypeVar("Made", bound=type)
Methods = dict[str, Callable[..., object]]


def methods(network: Network) -> Methods:
    """``_dial`` and ``_wrap_in_tls`` of a connection, by name."""

    def _dial(self: Transport, host: str, port: int, resolver: Resolver | None = None) -> socket.socket:
        opening = self._opening or self._started_opening()
        with opening.step("dial", host, port) as timeout_s:
            made = network.open(self.scheme, host, port)
            if isinstance(made, ConnectFault):
                raise _dial_error(made, host, port, timeout_s, self)
            made.settimeout(timeout_s)
            return cast(socket.socket, made)

    def _wrap_in_tls(
        self: Transport, sock: StreamSocket, settings: TlsSettings, host: str, port: int, *, in_tls: bool
    ) -> tls.TlsSocket:
        opening = self._opening or self._started_opening()
        with opening.step("tls", host) as timeout_s:
            fault = network.tls_fault(host, port)
            if fault is not None and fault.alert is not None:
                sock = MemorySocket(_alert(fault.alert))
                return tls.wrap(cast(socket.socket, sock), settings, host, timeout_s=timeout_s, tls_in_tls=True)
        return tls.TlsSocket(cast("tls.TlsStream", sock), _is_verified(settings))

    return {"_dial": _dial, "_wrap_in_tls": _wrap_in_tls}


def _dial_error(fault: ConnectFault, host: str, port: int, timeout_s: float | None, owner: object) -> Exception:
    """poollib's error for what dialling meets."""
    cause = fault.error
    error: Exception
    if isinstance(cause, socket.gaierror):
        error = NameResolutionError(host, owner, cause)
    elif isinstance(cause, TimeoutError):
        error = ConnectTimeoutError(owner, f"Connection to {host}:{port} timed out. (connect timeout={timeout_s})")
    else:
        error = NewConnectionError(owner, f"Failed to establish a new connection: {cause} ({host}:{port})")
    error.__cause__ = cause
    return error


def _alert(number: int) -> Callable[[bytes], list[Step]]:
    """What a server answers to a ClientHello: a fatal alert in a record of its own (RFC 8446 section 6)."""
    return lambda data: [bytes([21, 3, 3, 0, 2, 2, number]), End.CLOSE]


def _is_verified(settings: TlsSettings) -> bool:
    """Whether a server that has proved to be who it is counts as verified by these settings."""
    context = settings.ssl_context
    mode = tls.resolve_cert_reqs(settings.cert_reqs) if context is None else context.verify_mode
    return mode == ssl.CERT_REQUIRED or bool(settings.assert_fingerprint)


# For one manager or pool


def installed_in(target: PoolManager | HTTPConnectionPool, made: Methods) -> None:
    """Let the connections of a manager or pool have these methods. ValueError: the pool has connections already."""
    if isinstance(target, HTTPConnectionPool):
        if target.num_connections:
            raise ValueError(f"{target} has opened connections: attach the fake transport before its first request")
        vars(target)["ConnectionCls"] = _derived(target.ConnectionCls, made)
        return
    target.clear()
    pools = target.pool_classes_by_scheme.items()
    target.pool_classes_by_scheme = {
        scheme: _derived(pool, {"ConnectionCls": _derived(pool.ConnectionCls, made)}) for scheme, pool in pools
    }


def _derived(base: Made, namespace: Mapping[str, object]) -> Made:
    """A class of the same name, with this in the place of what it inherits."""
    return cast(Made, type(base.__name__, (base,), {**namespace, "__module__": __name__}))


# For all of them


@contextmanager
def installed(made: Methods, sleep: Callable[[float], None]) -> Iterator[None]:
    """A block in which every connection that is opened has these methods, and waits between attempts call ``sleep``."""
    places: list[tuple[object, str, object]] = [
        (Transport, "_dial", made["_dial"]),
        (HTTPConnection, "_wrap_in_tls", made["_wrap_in_tls"]),
        (retry, "_sleep", sleep),
    ]
    kept = [(owner, name, vars(owner)[name]) for owner, name, _ in places]
    try:
        _put(places)
        yield
    finally:
        _put(kept)


def _put(places: list[tuple[object, str, object]]) -> None:
    for owner, name, value in places:
        setattr(owner, name, value)


def sleep_really(seconds: float) -> None:
    """As between attempts."""
    if seconds > 0:
        time.sleep(seconds)
