"""A way through a proxy: the same connected socket, behind which the target answers now.

Each function takes a socket that is connected to a proxy (and speaks TLS already, if the proxy does), asks for host and
port, and returns when every byte that follows comes from there; ``tls`` or ``connection`` goes on with it.
Dialling the proxy, resolving names for it and choosing what to tell it is left to ``connection``; on an error the
socket is of no more use, and the caller closes it.
It follows RFC 9110 section 9.3.6 (CONNECT), RFC 1928 and RFC 1929 (SOCKS 5 and its passwords), and the SOCKS 4 and 4A
memos by Ying-Da Lee.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from time import monotonic
from typing import Any, Final

from ..base.endpoint import ProxyHop
from ..base.exact_values import exact
from ..base.ip import Address, literal_of
from ..exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError
from ..http1.grammar import DEFAULT_LIMITS, Limits
from ..http1.interim_responses import Interim
from ..http1.request_head import check_name, request_head
from ..http1.response_head import Head, read_head

SOCKS_SCHEMES: Final = frozenset({"socks4", "socks4a", "socks5", "socks5h"})


def http_connect(
    sock: Any,
    host: str,
    port: int,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    *,
    timeout_s: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
    owner: object = None,
) -> None:
    """Nothing, once the proxy has opened the tunnel: a final status of 2xx and not a byte behind its head.

    ``headers`` go to the proxy alone; ``Host`` is added unless given. ``timeout_s``: for all of it, ``None`` for no
    limit; the socket's own timeout is restored. ``owner``: the connection that errors point at.
    Errors: ProxyError whose ``original_error`` says why, with the status if there was one; ConnectTimeoutError;
    ValueError for a host, port or header that cannot be sent (CVE-2026-1502).
    """
    target = authority(host, port)
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if not any(check_name(name).lower() == "host" for name, _ in pairs):
        pairs.insert(0, ("Host", target))
    ask = request_head("CONNECT", target, pairs)
    with _Talk(sock, target, timeout_s, owner) as talk:
        try:
            talk.send(ask)
            _await_tunnel(talk, limits)
        except TimeoutError:
            raise
        except (OSError, HTTPError) as err:
            raise ProxyError("Unable to connect to proxy", err) from err


def _await_tunnel(talk: _Talk, limits: Limits) -> None:
    """Nothing, on a clean 2xx; OSError that says what else there was. Interim responses are passed over."""
    head, rest = read_head(talk.receive, limits)
    interim = Interim(monotonic())
    while head.status < 200:
        if head.status == 101:  # nobody asked for another protocol (RFC 9110 section 15.2.2)
            raise OSError("Tunnel connection failed: 101 without having been asked for")
        interim.note(head, limits, monotonic())
        head, rest = read_head(_refilled(rest, talk.receive), limits)
    if head.status >= 300:
        raise OSError(f"Tunnel connection failed: {head.status} {head.reason}".rstrip() + _login_wanted(head))
    if rest:  # what comes now is taken for the target's, and so for TLS (CVE-2023-40217)
        raise OSError(f"Tunnel connection failed: {len(rest)} bytes behind the {head.status} of the proxy")


def _login_wanted(head: Head) -> str:
    """What a 407 asks for, in words; empty for other statuses."""
    if head.status != 407:
        return ""
    offers = ", ".join(head.get("proxy-authenticate"))[:200] or "nothing"
    return f" (the proxy offers {offers}; user and password go into its URL, or a login into proxy_headers)"


def _refilled(first: bytes, receive: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """``receive`` with ``first`` pushed back before what it brings."""
    held = [first] if first else []
    return lambda most: held.pop() if held else receive(most)


_control = re.compile(r"[\x00-\x1f\x7f]")
_is_host = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%-]+").fullmatch  # reg-name (RFC 3986 section 3.2.2)


def authority(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets; ValueError for what is no host or port."""
    host = exact(host)
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in name:
        name = f"[{_ipv6(name)}]"
    elif _control.search(name):
        raise ValueError(f"Tunnel host can't contain control characters: {host!r}")
    elif not _is_host(name):
        raise ValueError(f"host: {host!r} cannot be asked of a proxy")
    return f"{name}:{_checked_port(port)}"


def _ipv6(name: str) -> str:
    """The address without its zone, which means nothing to a proxy (RFC 4007 section 6)."""
    text = name.partition("%")[0]
    try:
        IPv6Address(text)
    except ValueError as err:
        raise ValueError(f"host: {name!r} is no IP address") from err
    return text


def _checked_port(port: int) -> int:
    port = exact(port)
    if not 0 < port < 65536:
        raise ValueError(f"port: {port!r} is none of 1 to 65535")
    return port


# SOCKS


def socks_connect(
    sock: Any,
    hop: ProxyHop,
    host: str,
    port: int,
    *,
    timeout_s: float | None = None,
    resolve: Callable[[str, int], Iterable[Any]] | None = None,
    owner: object = None,
) -> None:
    """Nothing, once the proxy ``hop`` has connected to host and port, by the protocol its scheme names.

    ``resolve``: ``dial.addresses``, for ``socks4`` and ``socks5``, which ask for addresses alone; ``None`` lets the
    proxy resolve. ``socks4a`` and ``socks5h`` never resolve here.
    Errors: as ``socks4``, ``socks5`` and ``resolve``; NewConnectionError if only IPv6 addresses are there for SOCKS 4;
    ValueError for another scheme.
    """
    host = exact(host)
    if hop.scheme not in SOCKS_SCHEMES:
        raise ValueError(f"scheme: {hop.scheme!r} is none of {', '.join(sorted(SOCKS_SCHEMES))}")
    if resolve is not None and hop.scheme in ("socks4", "socks5") and _literal(host) is None:
        host = _resolved(hop, host, resolve(host, port), owner)
    if hop.scheme.startswith("socks4"):
        socks4(sock, host, port, user_id=hop.username or "", timeout_s=timeout_s, owner=owner)
    else:
        login = None if hop.username is None else (hop.username, hop.password or "")
        socks5(sock, host, port, login=login, timeout_s=timeout_s, owner=owner)


def _resolved(hop: ProxyHop, host: str, infos: Iterable[Any], owner: object) -> str:
    """The first address that the proxy's protocol can carry."""
    for info in infos:
        address: str = info[4][0]
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
    sock: Any,
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
    host, port = exact(host), _checked_port(port)
    address = _literal(host)
    if isinstance(address, IPv6Address):
        raise ValueError(f"host: SOCKS 4 cannot connect to the IPv6 address {host!r}")
    user = exact(user_id).encode("utf-8")
    if b"\0" in user:
        raise ValueError("username: a NUL cannot be sent to a SOCKS 4 proxy")
    # SOCKS 4A: the address 0.0.0.1 says that a name follows.
    place, name = (b"\0\0\0\1", _name(host) + b"\0") if address is None else (address.packed, b"")
    with _Talk(sock, f"{host}:{port}", timeout_s, owner) as talk:
        talk.send(b"\4\1" + port.to_bytes(2, "big") + place + user + b"\0" + name)
        version, code = talk.exactly(8)[:2]
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
    sock: Any,
    host: str,
    port: int,
    *,
    login: tuple[str, str] | None = None,
    timeout_s: float | None = None,
    owner: object = None,
) -> None:
    """Nothing, once a SOCKS 5 proxy has connected to host and port; the proxy resolves a name.

    ``login``: user and password, offered beside "no login". ``timeout_s``: for all of it, ``None`` for no limit.
    Errors: NewConnectionError that says what the proxy answered, ConnectTimeoutError; ValueError for a host, port,
    user or password that cannot be sent.
    """
    host, port = exact(host), _checked_port(port)
    address = _literal(host)
    if address is None:
        name = _name(host)
        place = bytes((_NAME, len(name))) + name
    else:
        place = bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed
    ask = b"\5\1\0" + place + port.to_bytes(2, "big")
    password = None if login is None else _password_message(*login)
    with _Talk(sock, f"{host}:{port}", timeout_s, owner) as talk:
        _agree_on_login(talk, password)
        talk.send(ask)
        _read_socks5_reply(talk)


def _password_message(user: str, password: str) -> bytes:
    """RFC 1929 section 2, but an empty password is sent, as curl does; ValueError for what does not fit."""
    message = b"\1"
    for name, text, least in (("username", user, 1), ("password", password, 0)):
        raw = exact(text).encode("utf-8")
        if not least <= len(raw) <= 255:
            raise ValueError(f"{name}: {len(raw)} bytes, SOCKS 5 takes {least} to 255")
        message += bytes((len(raw),)) + raw
    return message


def _agree_on_login(talk: _Talk, password: bytes | None) -> None:
    """RFC 1928 section 3: offer methods, do what the proxy picks."""
    offered = bytes((_NO_LOGIN,)) if password is None else bytes((_NO_LOGIN, _PASSWORD))
    talk.send(bytes((5, len(offered))) + offered)
    version, method = talk.exactly(2)
    if version != 5:
        raise OSError(f"SOCKS5 proxy server sent invalid data: version {version} in its greeting")
    if method == 0xFF:
        wanted = "a login, and none was given" if password is None else "neither no login nor a password"
        raise OSError(f"SOCKS5: all offered authentication methods were rejected: the proxy wants {wanted}")
    if method not in offered:
        raise OSError(f"SOCKS5 proxy server sent invalid data: method {method} was not offered")
    if method == _PASSWORD and password is not None:
        talk.send(password)
        version, status = talk.exactly(2)
        if version != 1:
            raise OSError(f"SOCKS5 proxy server sent invalid data: version {version} in its login reply")
        if status != 0:
            raise OSError("SOCKS5 authentication failed: user or password refused")


def _read_socks5_reply(talk: _Talk) -> None:
    """RFC 1928 section 6, to its last byte and not beyond."""
    version, code = talk.exactly(2)  # a refusal may end here: servers differ in how much of the rest they send then
    if version != 5:
        raise OSError(f"SOCKS5 proxy server sent invalid data: version {version} in its reply")
    if code != 0:
        raise OSError(f"SOCKS5 proxy: 0x{code:02x}: {_SOCKS5_REFUSALS.get(code, 'Unknown error')}")
    reserved, kind = talk.exactly(2)
    if reserved != 0:
        raise OSError(f"SOCKS5 proxy server sent invalid data: {reserved} where 0 is reserved")
    sizes = {_IPV4: 4, _IPV6: 16}
    if kind == _NAME:
        size = talk.exactly(1)[0]
    elif kind in sizes:
        size = sizes[kind]
    else:
        raise OSError(f"SOCKS5 proxy server sent invalid data: address type {kind}")
    talk.exactly(size + 2)


def _literal(host: str) -> Address | None:
    """The address, if the host is one; a zone cannot travel and is dropped."""
    return literal_of(host.strip("[]").partition("%")[0])


def _name(host: str) -> bytes:
    """The name as SOCKS carries it, 1 to 255 bytes; ValueError for what is no host name."""
    if not _is_host(host) or len(host) > 255:
        raise ValueError(f"host: {host!r} cannot be asked of a proxy")
    return host.encode("ascii")


# Talking to a proxy


class _Talk:
    """Sending and receiving within one timeout, however the bytes drip in; the socket's own is restored."""

    def __init__(self, sock: Any, target: str, timeout_s: float | None, owner: object) -> None:
        self._sock = sock
        self._target = target
        self._timeout_s = timeout_s
        self._owner = owner
        self._until = None if timeout_s is None else monotonic() + timeout_s

    def __enter__(self) -> _Talk:
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
        self._start()
        self._sock.sendall(data)

    def receive(self, most: int) -> bytes:
        self._start()
        received: bytes = self._sock.recv(most)
        return received

    def exactly(self, size: int) -> bytes:
        """``size`` bytes and no more: what follows a reply is the target's."""
        data = b""
        while len(data) < size:
            received = self.receive(size - len(data))
            if not received:
                raise OSError(f"SOCKS proxy closed the connection, {size - len(data)} bytes short of its reply")
            data += received
        return data
