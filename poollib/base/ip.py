"""Addresses: what a host that is no name stands for, and what networks mean; one reading for all rules about hosts.

``ssrf_guard``, NO_PROXY and the patterns of ``proxies`` compare hosts by what is said here, and ``socks_tunnel`` finds
literals by it; whether a host is well formed is ``url``'s to say, looking names up ``dial``'s.  Nothing is resolved.
It follows RFC 4291 and RFC 5952 for IPv6, the C library's ``inet_aton`` for IPv4 (``127.1``, ``0x7f000001``) in code of
its own, since systems differ, the WHATWG URL standard for hosts that end in a number, and IANA's registries of
special-purpose addresses (2025) for what is public, since interpreters know different editions of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import product
from typing import Final, TypeAlias

from .url import normalize_host

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_LOOPBACKS: Final[tuple[Address, ...]] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
#: Networks whose addresses carry packets to the IPv4 address in their last 32 bits: NAT64, SIIT (RFC 2765),
#: "compatible" (RFC 4291 section 2.5.5.1).
_CARRIERS: Final = (_NAT64, IPv6Network("::ffff:0:0:0/96"), IPv6Network("::/96"))
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # bits 64 to 95 (RFC 5214 section 6.1)

_UNICAST: Final = IPv6Network("2000::/3")  # all that IANA gives out of IPv6
#: Of no use between networks, whatever the interpreter's edition of the registries says.
_SPECIAL: Final = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),  # relays of 6to4, RFC 7526
    IPv6Network("2001::/23"),  # Teredo, ORCHID and other protocols, RFC 2928
    IPv6Network("3fff::/20"),  # documentation, RFC 9637
)


def bare_host(host: str) -> str:
    """A host in lower case without brackets, zone and final dot, its labels as A-labels: what rules compare.

    LocationParseError for a name that IDNA does not carry.
    """
    name = host.lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    if ":" in name:
        name = name.partition("%")[0]
    if not name.isascii():
        name = normalize_host(name, "http") or ""
    return name.removesuffix(".")


def address_of(name: str) -> Address | None:
    """The address that a bare host is, in any spelling that systems read, IPv4 within IPv6 as IPv4; None for a name."""
    address = literal_of(name)
    if address is None:
        return next(iter(_loose_ipv4(name, _usual_number)), None)
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def literal_of(name: str) -> Address | None:
    """The address of a bare host that is written as RFCs write one; None for every other spelling and for names."""
    try:
        return ip_address(name)
    except ValueError:
        return None


def readings_of(name: str) -> Sequence[Address]:
    """All addresses that some system reads in a bare host; none for a name.

    A zero in front makes a number octal for most systems (``010.0.0.1`` is 8.0.0.1), decimal for others, and for some
    decimal where it can't be octal (``0192``): each number counts in each way. ``localhost`` and the names below it
    stand for this machine (RFC 6761 section 6.3).
    """
    if name == "localhost" or name.endswith(".localhost"):
        return _LOOPBACKS
    literal = literal_of(name)
    return [*_loose_ipv4(name, _every_number)] if literal is None else [literal]


def ends_in_number(name: str) -> bool:
    """Whether the last label is a number, as in no name of the DNS: systems read an address there, or refuse it."""
    return _number.fullmatch(name.rpartition(".")[2]) is not None


_number: Final = re.compile("[0-9]+|0[xX][0-9A-Fa-f]*")


def _loose_ipv4(text: str, numbers_of: Callable[[str], set[int]]) -> set[IPv4Address]:
    """The addresses as ``inet_aton`` reads them: one to four numbers, the last of which fills the rest of 32 bits."""
    parts = text.split(".")
    if len(parts) > 4 or not all(0 < len(part) <= _LONGEST_NUMBER for part in parts):
        return set()
    found = set()
    for *octets, last in product(*map(numbers_of, parts)):
        if max(octets, default=0) < 256 and last < 256 ** (4 - len(octets)):
            found.add(IPv4Address(last + sum(octet << (24 - 8 * at) for at, octet in enumerate(octets))))
    return found


_LONGEST_NUMBER: Final = 64  # zeros in front included


def _usual_number(part: str) -> set[int]:
    """The number as C reads it, with 0x for 16 and 0 for 8 as its base; none for what is no number."""
    if _number.fullmatch(part) is None:
        return set()
    if part[:2] in ("0x", "0X"):
        return {int(part[2:] or "0", 16)}
    try:
        return {int(part, 8 if part[0] == "0" else 10)}
    except ValueError:  # 8 or 9 in an octal number
        return set()


def _every_number(part: str) -> set[int]:
    """The same, and the number as those read it who do not know of base 8."""
    return _usual_number(part) | ({int(part)} if part.isascii() and part.isdigit() else set())


# Networks


def network_of(text: str, *, strict: bool = False) -> Network:
    """The network or address as text; one within IPv4-mapped IPv6 as the IPv4 network that it means. ValueError.

    ``strict``: ValueError also where bits behind the prefix are set.
    """
    network = ip_network(text.replace("[", "").replace("]", ""), strict=strict)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def meanings_of(address: Address) -> list[Address]:
    """The address, and those that it carries packets to; the unspecified one leads to this machine."""
    meant = [address]
    if isinstance(address, IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if any(address in network for network in _CARRIERS) or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            carried.append(IPv4Address(int(address) & 0xFFFFFFFF))
        meant += [inner for inner in carried if inner is not None]
    return meant + [_LOOPBACKS[inner.version == 6] for inner in meant if inner.is_unspecified]


def is_public(address: Address) -> bool:
    """Whether it is an address of the public Internet; IPv4 within IPv6 by the IPv4 address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _UNICAST:
            return address in _NAT64
    is_special = any(address in network for network in _SPECIAL if network.version == address.version)
    return address.is_global and not address.is_multicast and not is_special
