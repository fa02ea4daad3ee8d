"""Where requests may not go: a guard against server-side request forgery that looks at what is connected to.

A pool with ``allowed_hosts`` or ``blocked_networks`` has a :class:`Guard`; it checks the host when the pool is made, so
on every redirect to another one, and every address between lookup and dialling, so that no answer of the DNS gets
around it. How names are looked up is left to the resolver it stands in front of.
Behind a proxy names are resolved by the proxy: there the guard sees hosts and literal addresses alone.
It follows the OWASP cheat sheet on the matter, and RFC 6890 (what is no address of the Internet) by ``ipaddress``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from .exceptions import BlockedHostError

#: In ``blocked_networks``: every address that is not one of the public Internet.
PRIVATE = "private"

#: Networks with an IPv4 address in the last 32 bits: NAT64 (RFC 6052), SIIT (RFC 2765), "compatible" (RFC 4291).
_CARRIERS = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0:0/96"), IPv6Network("::/96"))
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215; where the IPv4 address stands is the network's own choice
#: Connecting to the unspecified address leads to this machine.
_LOOPBACKS: dict[int, IPv4Address | IPv6Address] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}


class Guard:
    """``allowed_hosts``: names, addresses and ``*.domain`` patterns, None for all, empty for none.

    ``blocked_networks``: networks as ``ipaddress`` reads them, and ``"private"`` for all that is not public.
    """

    __slots__ = ("_exact", "_networks", "_private", "_suffixes")

    def __init__(
        self, allowed_hosts: Collection[str] | None = None, blocked_networks: Iterable[object] | None = None
    ) -> None:
        if isinstance(allowed_hosts, str):
            raise TypeError("allowed_hosts is a collection of names, not one name")
        networks = [blocked_networks] if isinstance(blocked_networks, str) else list(blocked_networks or ())
        names = None if allowed_hosts is None else [name.lower().rstrip(".") for name in allowed_hosts]
        self._exact = None if names is None else frozenset(name.strip("[]") for name in names if name[:2] != "*.")
        self._suffixes = tuple(name[1:] for name in names or () if name[:2] == "*.")
        self._private = PRIVATE in networks
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(str(network)) for network in networks if network != PRIVATE
        ]

    def check_host(self, host: str | None) -> None:
        """BlockedHostError for a host that is not allowed, and for the literal of a blocked address."""
        name = (host or "").lower().strip("[]").rstrip(".")
        if self._exact is not None and name not in self._exact and not name.endswith(self._suffixes or ("\0",)):
            raise BlockedHostError(f"{host!r} is none of the allowed hosts")
        if self._is_blocked(name):
            raise BlockedHostError(f"{host!r} lies in a blocked network")

    def over(self, resolver: Callable[[str, int], Sequence[Any]]) -> GuardedResolver:
        """A resolver whose answers are those of ``resolver`` that are not blocked."""
        return GuardedResolver(self, resolver)

    def _is_blocked(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(self._is_in(meant) for meant in _meanings(address))

    def _is_in(self, address: IPv4Address | IPv6Address) -> bool:
        if self._private and not _is_public(address):
            return True
        return any(address in network for network in self._networks if network.version == address.version)


class GuardedResolver:
    """A resolver in front of which a guard stands; equal to another only if it is the same.

    ``unguarded``: the resolver itself, for the host of a proxy.
    """

    __slots__ = ("_guard", "unguarded")

    def __init__(self, guard: Guard, ask: Callable[[str, int], Sequence[Any]]) -> None:
        self._guard = guard
        self.unguarded = ask

    def __call__(self, host: str, port: int) -> list[Any]:
        """The answers that may be connected to; BlockedHostError if there is an answer, but none of these."""
        answers = list(self.unguarded(host, port))
        open_ones = [answer for answer in answers if not self._guard._is_blocked(_address_of(answer))]
        if answers and not open_ones:
            raise BlockedHostError(f"{host!r} resolves to blocked addresses only")
        return open_ones

    def forget(self, host: str | None = None) -> None:
        """Drop the kept answers for a host, where any are kept."""
        forget = getattr(self.unguarded, "forget", None)
        if forget is not None:
            forget(host)


def _address_of(answer: Any) -> str:
    """The address in a resolver's answer: text, or a tuple as ``getaddrinfo`` gives it."""
    return answer.strip("[]") if isinstance(answer, str) else str(answer[4][0])


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, also as systems read it: ``127.1``, ``0x7f000001``, ``2130706433``; None for a name.

    A proxy is told the host as it stands, and looks it up as systems do. ``localhost`` is one, too (RFC 6761).
    """
    if text == "localhost" or text.endswith(".localhost"):
        return _LOOPBACKS[4]
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        pass
    if not text[:1].isdigit():
        return None
    try:
        return IPv4Address(socket.inet_aton(text))
    except (OSError, ValueError):
        return None


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (address.is_site_local or address in _LOCAL_NAT64):
        return False
    return address.is_global and not address.is_multicast


def _meanings(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, and those that it carries packets to."""
    meant = [address]
    if isinstance(address, IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if any(address in network for network in _CARRIERS):
            carried.append(IPv4Address(int(address) & 0xFFFFFFFF))
        meant += [inner for inner in carried if inner is not None]
    return meant + [_LOOPBACKS[inner.version] for inner in meant if inner.is_unspecified]
