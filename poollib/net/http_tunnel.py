"""A tunnel through an HTTP proxy: the same connected socket, behind which the target answers now.

:func:`http_connect` takes a socket that is connected to a proxy (and speaks TLS already, if the proxy does), asks for
host and port, and returns when every byte that follows comes from there; ``tls`` or ``connection`` goes on with it.
Dialling the proxy and choosing what to tell it is left to ``transport``; on an error the socket is of no more use, and
the caller closes it.
It follows RFC 9110 section 9.3.6 (CONNECT).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from time import monotonic

from ..base.exact_values import exact
from ..exceptions import HTTPError, ProxyError
from ..http1.grammar import DEFAULT_LIMITS, Limits
from ..http1.interim_responses import InterimResponses
from ..http1.request_head import check_name, request_head
from ..http1.response_head import Head, read_head
from .proxy_handshake import ProxyHandshake, checked_port, is_reg_name
from .socket_state import StreamSocket


def http_connect(
    sock: StreamSocket,
    host: str,
    port: int,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    *,
    timeout_s: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
    owner: object = None,
) -> Head:
    """The proxy's head, once it has opened the tunnel: a final status of 2xx and not a byte behind it.

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
    has_login = any(check_name(name).lower() == "proxy-authorization" for name, _ in pairs)
    with ProxyHandshake(sock, target, timeout_s, owner) as handshake:
        try:
            handshake.send(ask)
            return _await_tunnel(handshake, limits, has_login)
        except TimeoutError:
            raise
        except (OSError, HTTPError) as err:
            raise ProxyError("Unable to connect to proxy", err) from err


def _await_tunnel(handshake: ProxyHandshake, limits: Limits, has_login: bool = False) -> Head:
    """The head of a clean 2xx; OSError that says what else there was. Interim responses are passed over."""
    head, rest = read_head(handshake.receive, limits)
    interim = InterimResponses(monotonic())
    while head.status < 200:
        if head.status == 101:  # nobody asked for another protocol (RFC 9110 section 15.2.2)
            raise OSError("Tunnel connection failed: 101 without having been asked for")
        interim.note(head, limits, monotonic())
        head, rest = read_head(_refilled(rest, handshake.receive), limits)
    if head.status >= 300:
        answer = f"Tunnel connection failed: {head.status} {head.reason}".rstrip()
        raise OSError(answer + _login_wanted(head, has_login))
    if rest:  # what comes now is taken for the target's, and so for TLS (CVE-2023-40217)
        raise OSError(f"Tunnel connection failed: {len(rest)} bytes behind the {head.status} of the proxy")
    return head


def _login_wanted(head: Head, has_login: bool) -> str:
    """What a 407 asks for, in words; empty for other statuses. ``has_login``: one was sent, and refused."""
    if head.status != 407:
        return ""
    offers = ", ".join(head.get("proxy-authenticate"))[:200] or "nothing"
    if has_login:
        return f" (the proxy refuses the login that was sent; it offers {offers})"
    return f" (the proxy offers {offers}; user and password go into its URL, or a login into proxy_headers)"


def _refilled(first: bytes, receive: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """``receive`` with ``first`` pushed back before what it brings."""
    held = [first] if first else []
    return lambda most: held.pop() if held else receive(most)


_control = re.compile(r"[\x00-\x20\x7f]")  # a blank counts as one, as for http.client


def authority(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets; ValueError for what is no host or port."""
    host = exact(host)
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in name:
        name = f"[{_ipv6(name)}]"
    elif _control.search(name):
        raise ValueError(f"Tunnel host can't contain control characters: {host!r}")
    elif not is_reg_name(name):
        raise ValueError(f"host: {host!r} cannot be asked of a proxy")
    return f"{name}:{checked_port(port)}"


def _ipv6(name: str) -> str:
    """The address without its zone, which means nothing to a proxy (RFC 4007 section 6)."""
    text = name.partition("%")[0]
    try:
        IPv6Address(text)
    except ValueError as err:
        raise ValueError(f"host: {name!r} is no IP address") from err
    return text
