"""A connected socket for a host and port, or for a Unix path.

``dns`` has the addresses of a name, ``happy_eyeballs`` makes a connection to one of them, and :func:`connect` gives it
to ``transport`` with its options and its timeout set, every error mapped to poollib's.
Which endpoint to dial, how long all steps of a connection may take together and when to try again is decided above.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

from ..base.endpoint import ForgettingResolver
from ..base.ip import literal_of
from ..base.timeout import _DEFAULT_TIMEOUT, _TYPE_TIMEOUT
from ..base.trace import Trace, notify
from ..exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from .dns import AddrInfo, Resolver, addresses_within, system_lookup
from .happy_eyeballs import DialOptions, first_connected, set_socket_options
from .happy_eyeballs import SocketOptions as SocketOptions
from .socket_state import with_receive


def _keepalive_options() -> list[tuple[int, int, int]]:
    """Options as far as this platform has them; macOS calls the idle time TCP_KEEPALIVE."""
    wanted = [("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)]
    if not hasattr(socket, "TCP_KEEPIDLE"):
        wanted[0] = ("TCP_KEEPALIVE", 60)
    known = [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in wanted if hasattr(socket, name)]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *known]


#: Socket options that find a dead peer after two minutes of silence (60 s idle, then 6 probes 10 s apart).
#: To be added to the defaults: ``socket_options=HTTPConnection.default_socket_options + TCP_KEEPALIVE``.
TCP_KEEPALIVE: Final = _keepalive_options()


def connect(
    host: str,
    port: int,
    *,
    timeout_s: float | None,
    source_address: tuple[str, int] | None = None,
    socket_options: SocketOptions | None = None,
    uds: str | None = None,
    owner: object = None,
    resolver: Resolver | None = None,
    trace: Trace | None = None,
) -> socket.socket:
    """A connected socket whose timeout is ``timeout_s``.

    ``timeout_s``: seconds for resolving and connecting together, ``None`` for no limit. ``uds``: the path of a Unix
    socket; host and port then only name it. ``owner``: the connection that errors point at. ``resolver``: ``None``
    for the system's. ``trace`` is told of the look-up.
    Errors: NameResolutionError, ConnectTimeoutError, NewConnectionError; LocationParseError for what is no host name.
    """
    if create_connection is not _own_create_connection and uds is None:
        return _by_replaced(host, port, timeout_s, source_address, socket_options, owner)
    until = math.inf if timeout_s is None else monotonic() + timeout_s
    if uds is not None:
        infos = [_unix_info(uds, owner)]
    else:
        find = partial(addresses_within, host, port, timeout_s=timeout_s, resolver=resolver, owner=owner)
        infos = find() if trace is None else _told_addresses(trace, host, port, find)
    try:
        sock = with_receive(
            first_connected(infos, DialOptions(until, source_address, socket_options, _set_socket_options))
        )
    except TimeoutError as err:
        _forget(resolver, host)
        where = uds or f"{host}:{port}"
        raise ConnectTimeoutError(owner, f"Connection to {where} timed out. (connect timeout={timeout_s})") from err
    except OSError as err:
        _forget(resolver, host)
        where = uds or f"{host}:{port}"
        raise NewConnectionError(owner, f"Failed to establish a new connection: {err} ({where})") from err
    if sock.gettimeout() != timeout_s:  # to set it is a system call
        sock.settimeout(timeout_s)
    return sock


def _told_addresses(trace: Trace, host: str, port: int, find: Callable[[], list[AddrInfo]]) -> list[AddrInfo]:
    """What ``find`` returns or raises; the listener hears of it, unless the host is an address."""
    if literal_of(host.strip("[]")) is not None:
        return find()
    notify(trace, "dns_started", host, port)
    try:
        infos = find()
    except BaseException as error:
        notify(trace, "dns_done", host, port, [], error)
        raise
    notify(trace, "dns_done", host, port, [str(info[4][0]) for info in infos], None)
    return infos


def _forget(resolver: Resolver | None, host: str) -> None:
    if isinstance(resolver, ForgettingResolver):
        resolver.forget(host.strip("[]"))


def _unix_info(path: str, owner: object) -> AddrInfo:
    if not hasattr(socket, "AF_UNIX"):
        raise NewConnectionError(owner, f"Failed to establish a new connection: no Unix sockets here ({path})")
    return (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", path)


# urllib3 names


def create_connection(
    address: tuple[str, int],
    timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
    source_address: tuple[str, int] | None = None,
    socket_options: SocketOptions | None = None,
) -> socket.socket:
    """A connected socket with its timeout set; ``OSError`` as it came, LocationParseError for what is no host name."""
    host, port = address
    timeout_s = socket.getdefaulttimeout() if timeout is _DEFAULT_TIMEOUT else timeout
    until = math.inf if timeout_s is None else monotonic() + timeout_s
    try:
        infos = system_lookup(host.strip("[]"), port)
    except UnicodeError as err:
        raise LocationParseError(f"'{host}', label empty or too long") from err
    sock = first_connected(infos, DialOptions(until, source_address, socket_options, _set_socket_options))
    sock.settimeout(timeout_s)
    return sock


_own_create_connection = create_connection


def _by_replaced(
    host: str,
    port: int,
    timeout_s: float | None,
    source_address: tuple[str, int] | None,
    socket_options: SocketOptions | None,
    owner: object,
) -> socket.socket:
    """As ``connect``, by what a program has put in the place of ``create_connection``, say to choose addresses."""
    try:
        bare = host.strip("[]")  # as the system's functions want an IPv6 address
        return create_connection((bare, port), timeout_s, source_address=source_address, socket_options=socket_options)
    except socket.gaierror as err:
        raise NameResolutionError(host, owner, err) from err
    except TimeoutError as err:
        text = f"Connection to {host}:{port} timed out. (connect timeout={timeout_s})"
        raise ConnectTimeoutError(owner, text) from err
    except OSError as err:
        raise NewConnectionError(owner, f"Failed to establish a new connection: {err} ({host}:{port})") from err


_set_socket_options = set_socket_options  # looked up at each call: programs put their own in its place
