"""A tunnel through a SOCKS proxy, version 4, 4A or 5: the same connected socket, behind which the target answers now.

Each function takes a socket that is connected to a proxy, asks for host and port, and returns when every byte that
follows comes from there; ``tls`` or ``connection`` goes on with it.
Dialling the proxy is left to ``transport``, looking names up to ``dns``; on an error the socket is of no more use, and
the caller closes it.
It follows RFC 1928 and RFC 1929 (SOCKS 5 and its passwords), and the SOCKS 4 and 4A memos by Ying-Da Lee.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import IPv6Address
from typing import Final

from ..base.endpoint import ProxyHop
from ..base.exact_values import exact
from ..base.ip import Address, literal_of
from ..exceptions import NewConnectionError
from .dns import AddrInfo
from .proxy_handshake import ProxyHandshake, checked_port, is_reg_name
from .socket_state import StreamSocket

SOCKS_SCHEMES: Final = frozenset({"socks4", "socks4a", "socks5", "socks5h"})


def socks_connect(
    sock: StreamSocket,
    hop: ProxyHop,
    host: str,
    port: int,
    *,
    timeout_s: float | None = None,
    resolve: Callable[[str, int], Iterable[AddrInfo]] | None = None,
    owner: object = None,
) -> None:
    """Nothing, once the proxy ``hop`` has connected to host and port, by the protocol its scheme names.

    ``resolve``: ``dns.addresses``, for ``socks4`` and ``socks5``, which ask for addresses alone; ``None`` lets the
    proxy resolve. ``socks4a`` and ``socks5h`` never resolve here.
    Errors: as ``socks4``, ``socks5`` and ``resolve``; NewConnectionError if only IPv6 addresses are there for SOCKS 4;
    ValueError for another scheme.
    """
    host = exact(host)
    if hop.scheme not in SOCKS_SCHEMES:
        raise ValueError(f"scheme: {hop.scheme!r} is none of {', '.join(sorted(SOCKS_SCHEMES))}")
    address_of: Callable[[], str] | None = None
    if resolve is not None and hop.scheme in ("socks4", "socks5") and _literal(host) is None:
        address_of = partial(_resolved, hop, host, port, resolve, owner)
    if hop.scheme.startswith("socks4"):
        host = host if address_of is None else address_of()
        socks4(sock, host, port, user_id=hop.username or "", timeout_s=timeout_s, owner=owner)
    else:
        login = None if hop.username is None else (hop.username, hop.password or "")
        socks5(sock, host, port, login=login, timeout_s=timeout_s, owner=owner, address_of=address_of)


def _resolved(
    hop: ProxyHop, host: str, port: int, resolve: Callable[[str, int], Iterable[AddrInfo]], owner: object
) -> str:
    """The first address that the proxy's protocol can carry."""
    for info in resolve(host, port):
        address = str(info[4][0])
        if hop.scheme != "socks4" or ":" not in address:
            return address
    text = f"Failed to establish a new connection: {host} has no address for a {hop.scheme} proxy to connect to"
    raise NewConnectionError(owner, text)


_SOCKS4_REFUSALS: Final = {
    91: "request rejected or failed",
    92: "request rejected: the proxy cannot reach identd on this machine",
    93: "request rejected: the client program and identd report different user-ids",
}


def socks4(
    sock: StreamSocket,
    host: str,
    port: int,
    *,
    user_id: str = "",
    timeout_s: float | None = None,
    owner: object = None,
) -> None:
    """Nothing, once a SOCKS 4 proxy has connected to host and port; a name makes it SOCKS 4A, where the proxy resolves.

    ``timeout_s``: for all of it, ``None`` for no limit. Errors: NewConnectionError that says what the proxy answered,
    ConnectTimeoutError; ValueError for a host (IPv6 too), port or user that cannot be sent.
    """
    host, port = exact(host), checked_port(port)
    address = _literal(host)
    if isinstance(address, IPv6Address):
        raise ValueError(f"host: SOCKS 4 cannot connect to the IPv6 address {host!r}")
    user = exact(user_id).encode("utf-8")
    if b"\0" in user:
        raise ValueError("username: a NUL cannot be sent to a SOCKS 4 proxy")
    # SOCKS 4A: the address 0.0.0.1 says that a name follows.
    place, name = (b"\0\0\0\1", _name(host) + b"\0") if address is None else (address.packed, b"")
    with ProxyHandshake(sock, f"{host}:{port}", timeout_s, owner) as handshake:
        handshake.send(b"\4\1" + port.to_bytes(2, "big") + place + user + b"\0" + name)
        version, code = handshake.receive_exactly(8)[:2]
        if version != 0:
            raise OSError(f"SOCKS4 proxy server sent invalid data: version {version} in its reply")
        if code != 90:
            raise OSError(f"SOCKS4 proxy: {code}: {_SOCKS4_REFUSALS.get(code, 'unknown answer')}")


_SOCKS5_REFUSALS: Final = {  # RFC 1928 section 6
    1: "General SOCKS server failure",
    2: "Connection not allowed by ruleset",
    3: "Network unreachable",
    4: "Host unreachable",
    5: "Connection refused",
    6: "TTL expired",
    7: "Command not supported",
    8: "Address type not supported",
}
_NO_LOGIN: Final = 0
_PASSWORD: Final = 2
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4


def socks5(
    sock: StreamSocket,
    host: str,
    port: int,
    *,
    login: tuple[str, str] | None = None,
    timeout_s: float | None = None,
    owner: object = None,
    address_of: Callable[[], str] | None = None,
) -> None:
    """Nothing, once a SOCKS 5 proxy has connected to host and port; the proxy resolves a name.

    ``address_of``: gives the address to ask for in the name's place. It is called once the proxy has let us in, as
    PySocks does: a proxy that refuses is told of before a name that nobody knows. ``login``: user and password, offered
    beside "no login". ``timeout_s``: for all of it, ``None`` for no limit.
    Errors: NewConnectionError that says what the proxy answered, ConnectTimeoutError; ValueError for a host, port,
    user or password that cannot be sent.
    """
    host, port = exact(host), checked_port(port)
    place = _place(host)
    password = None if login is None else _password_message(*login)
    with ProxyHandshake(sock, f"{host}:{port}", timeout_s, owner) as handshake:
        _agree_on_login(handshake, password)
        if address_of is not None:
            place = _place(address_of())
        handshake.send(b"\5\1\0" + place + port.to_bytes(2, "big"))
        _read_socks5_reply(handshake)


def _place(host: str) -> bytes:
    """RFC 1928 section 5: an address or a name, its kind in front."""
    address = _literal(host)
    if address is None:
        name = _name(host)
        return bytes((_NAME, len(name))) + name
    return bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed


def _password_message(user: str, password: str) -> bytes:
    """RFC 1929 section 2, but an empty password is sent, as curl does; ValueError for what does not fit."""
    message = b"\1"
    for name, text, least in (("username", user, 1), ("password", password, 0)):
        raw = exact(text).encode("utf-8")
        if not least <= len(raw) <= 255:
            raise ValueError(f"{name}: {len(raw)} bytes, SOCKS 5 takes {least} to 255")
        message += bytes((len(raw),)) + raw
    return message


def _agree_on_login(handshake: ProxyHandshake, password: bytes | None) -> None:
    """RFC 1928 section 3: offer methods, do what the proxy picks."""
    offered = bytes((_NO_LOGIN,)) if password is None else bytes((_NO_LOGIN, _PASSWORD))
    handshake.send(bytes((5, len(offered))) + offered)
    version, method = handshake.receive_exactly(2)
    if version != 5:
        raise OSError(f"SOCKS5 proxy server sent invalid data: version {version} in its greeting")
    if method == 0xFF:
        wanted = "a login, and none was given" if password is None else "neither no login nor a password"
        raise OSError(f"SOCKS5: all offered authentication methods were rejected: the proxy wants {wanted}")
    if method not in offered:
        raise OSError(f"SOCKS5 proxy server sent invalid data: method {method} was not offered")
    if method == _PASSWORD and password is not None:
        handshake.send(password)
        version, status = handshake.receive_exactly(2)
        if version != 1:
            raise OSError(f"SOCKS5 proxy server sent invalid data: version {version} in its login reply")
        if status != 0:
            raise OSError("SOCKS5 authentication failed: user or password refused")


def _read_socks5_reply(handshake: ProxyHandshake) -> None:
    """RFC 1928 section 6, to its last byte and not beyond."""
    version, code = handshake.receive_exactly(
        2
    )  # a refusal may end here: servers differ in how much of the rest they send then
    if version != 5:
        raise OSError(f"SOCKS5 proxy server sent invalid data: version {version} in its reply")
    if code != 0:
        raise OSError(f"SOCKS5 proxy: 0x{code:02x}: {_SOCKS5_REFUSALS.get(code, 'Unknown error')}")
    reserved, kind = handshake.receive_exactly(2)
    if reserved != 0:
        raise OSError(f"SOCKS5 proxy server sent invalid data: {reserved} where 0 is reserved")
    sizes = {_IPV4: 4, _IPV6: 16}
    if kind == _NAME:
        size = handshake.receive_exactly(1)[0]
    elif kind in sizes:
        size = sizes[kind]
    else:
        raise OSError(f"SOCKS5 proxy server sent invalid data: address type {kind}")
    handshake.receive_exactly(size + 2)


def _literal(host: str) -> Address | None:
    """The address, if the host is one; a zone cannot travel and is dropped."""
    return literal_of(host.strip("[]").partition("%")[0])


def _name(host: str) -> bytes:
    """The name as SOCKS carries it, 1 to 255 bytes; ValueError for what is no host name."""
    if not is_reg_name(host) or len(host) > 255:
        raise ValueError(f"host: {host!r} cannot be asked of a proxy")
    return host.encode("ascii")
