"""Where requests may not go: a guard against server-side request forgery that looks at what is connected to.

A pool with ``allowed_hosts`` or ``blocked_networks`` has a :class:`Guard`; it checks the host when the pool is made, so
on every redirect to another one, and every address between lookup and dialling, so that no answer of the DNS gets
around it. How names are looked up is left to the resolver that it wraps, what a host or an address means to
``base/ip``. What can't be read is refused.
Behind a proxy names are resolved by the proxy: there the guard sees hosts and literal addresses alone.
It follows the OWASP cheat sheet on the matter, and RFC 6890 (what is no address of the Internet).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from copy import copy
from typing import NamedTuple, TypeAlias

from ..base.endpoint import ForgettingResolver
from ..base.ip import (
    Address,
    Network,
    address_of,
    bare_host,
    ends_in_number,
    is_public,
    literal_of,
    meanings_of,
    network_of,
    readings_of,
)
from ..base.url import normalize_host
from ..exceptions import BlockedHostError

#: What resolvers give: an address as text, or a tuple as ``getaddrinfo`` gives it.
Answer: TypeAlias = "tuple[object, object, object, object, tuple[object, ...] | str] | str"
Resolver: TypeAlias = Callable[[str, int], Sequence[Answer]]

#: Hosts and networks as callers name them.
Given: TypeAlias = tuple[Collection[str] | None, Collection[object] | None]

#: In ``blocked_networks``: every address that is not one of the public Internet.
PRIVATE = "private"


class Guard:
    """``allowed_hosts``: names, addresses and ``*.domain`` patterns, None for all, empty for none.

    ``blocked_networks``: networks as ``ipaddress`` reads them, and ``"private"`` for all that is not public.
    ValueError for what is no host, no pattern or no network, TypeError for an iterator: it would be empty for the next
    pool, which then had no guard.
    """

    __slots__ = ("_given", "_rules", "may_change")

    def __init__(
        self, allowed_hosts: Collection[str] | None = None, blocked_networks: Collection[object] | None = None
    ) -> None:
        self._given = (allowed_hosts, blocked_networks)
        #: whether the caller gave a list or a set: these can be changed in place, and count as they are at each check
        self.may_change = any(isinstance(given, (list, set)) for given in self._given)
        self._rules = _rules_from(self.given())

    def given(self) -> Given:
        """What the caller's lists say now."""
        hosts, networks = self._given
        return (
            copy(hosts) if isinstance(hosts, (list, set)) else hosts,
            copy(networks) if isinstance(networks, (list, set)) else networks,
        )

    def check_host(self, host: str | None) -> None:
        """BlockedHostError for a host that is not allowed, and for the literal of a blocked address."""
        rules = self._rules_of_now()
        name = bare_host(host or "")
        if not rules.allow(name):
            raise BlockedHostError(f"{host!r} is none of the allowed hosts")
        if rules.block(readings_of(name), unread=ends_in_number(name)):
            raise BlockedHostError(f"{host!r} lies in a blocked network")

    def wrap_resolver(self, resolver: Resolver) -> GuardedResolver:
        """A resolver whose answers are those of ``resolver`` that are not blocked."""
        return GuardedResolver(self, resolver)

    def may_dial(self, answer: Answer) -> bool:
        """Whether a resolver's answer is an address that is not blocked.

        A name in it is not: the system would look it up once more.
        """
        text = answer if isinstance(answer, str) else str(answer[4][0])
        address = literal_of(bare_host(text))
        return not self._rules_of_now().block([] if address is None else [address], unread=True)

    def _rules_of_now(self) -> _Rules:
        rules = self._rules
        if self.may_change and (given := self.given()) != rules.given:
            rules = self._rules = _rules_from(given)
        return rules


class _Rules(NamedTuple):
    """What a guard's lists mean: one value, so that no check meets half of one state and half of the next."""

    given: Given
    allowed: frozenset[Address | str] | None
    suffixes: tuple[str, ...]
    private: bool
    networks: tuple[Network, ...]

    def allow(self, name: str) -> bool:
        """By address where the host is one: patterns with ``*`` are for names, also of an IPv6 address's zone."""
        if self.allowed is None:
            return True
        address = address_of(name)
        if address is not None:
            return address in self.allowed
        return name in self.allowed or name.endswith(self.suffixes)

    def block(self, readings: Sequence[Address], unread: bool) -> bool:
        """Whether one of the addresses is blocked; ``unread``, for none, where any address is."""
        if not readings:
            return unread and (self.private or bool(self.networks))
        return any(self._hold(meant) for address in readings for meant in meanings_of(address))

    def _hold(self, address: Address) -> bool:
        if self.private and not is_public(address):
            return True
        return any(address in network for network in self.networks if network.version == address.version)


def _rules_from(given: Given) -> _Rules:
    allowed_hosts, blocked_networks = given
    if isinstance(allowed_hosts, str):
        raise TypeError("allowed_hosts is a collection of names, not one name")
    for name, value in zip(("allowed_hosts", "blocked_networks"), given, strict=True):
        if value is not None and not isinstance(value, Iterable):
            raise TypeError(f"{name} is a collection, not {value!r}")
        if isinstance(value, Iterator):
            raise TypeError(f"{name} is read for every pool, but a {type(value).__name__} is read once: pass a tuple")
    networks = [blocked_networks] if isinstance(blocked_networks, str) else list(blocked_networks or ())
    hosts = None if allowed_hosts is None else list(allowed_hosts)
    exact = None if hosts is None else [_normal_host(host) for host in hosts if host[:2] != "*."]
    return _Rules(
        given,
        None if exact is None else frozenset(address_of(name) or name for name in exact),
        tuple("." + _normal_host(host[2:]) for host in hosts or () if host[:2] == "*."),
        PRIVATE in networks,
        tuple(network_of(str(network), strict=True) for network in networks if network != PRIVATE),
    )


def _normal_host(host: str) -> str:
    """A host of ``allowed_hosts`` as rules compare it; ValueError for what no URL's host can be."""
    name = bare_host(normalize_host(host, "http") or "")
    if "*" in name or "%" in name or not all(name.split(".")):
        raise ValueError(f"allowed_hosts: {host!r} is no host and no pattern like *.example.com")
    return name


class GuardedResolver:
    """A resolver without the answers that a guard refuses; equal to another only if it is the same.

    ``unguarded``: the resolver itself, for the host of a proxy.
    """

    __slots__ = ("_guard", "unguarded")

    def __init__(self, guard: Guard, resolver: Resolver) -> None:
        self._guard = guard
        self.unguarded = resolver

    def __call__(self, host: str, port: int) -> list[Answer]:
        """The answers that may be connected to; BlockedHostError if there is an answer, but none of these."""
        answers = list(self.unguarded(host, port))
        allowed = [answer for answer in answers if self._guard.may_dial(answer)]
        if answers and not allowed:
            raise BlockedHostError(f"{host!r} resolves to blocked addresses only")
        return allowed

    def forget(self, host: str | None = None) -> None:
        """Drop the kept answers for a host, where any are kept."""
        if isinstance(self.unguarded, ForgettingResolver):
            self.unguarded.forget(host)
