"""guard: what it is told, and the resolver it stands in front of. What it keeps out is in tests/faults."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from poollib.exceptions import BlockedHostError
from poollib.net.dns import CachingResolver
from poollib.policy.ssrf_guard import Guard


def test_one_name_is_no_collection_of_names() -> None:
    """``allowed_hosts="example.com"`` would allow eleven hosts of one letter."""
    with pytest.raises(TypeError, match="collection of names"):
        Guard("example.com")


@pytest.mark.parametrize("host", ["", "*", "*.", "a:80", "http://a", "a/b", "*.*.a", "a..b", ".a", "a%2Fb", "a%25"])
def test_what_is_no_host_is_not_taken_for_one_that_never_matches(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        Guard([host])


def test_an_answer_that_is_no_address_is_not_dialled() -> None:
    """The system would look a name up once more, and find what it likes."""
    inet, stream = socket.AF_INET, socket.SOCK_STREAM
    answers: list[Any] = [(inet, stream, 0, "", (host, 80)) for host in ("localhost", "", "inner.example", "127.1")]
    answers += ["localhost", "0x7f.1", (1, stream, 0, "", "/run/docker.sock")]
    guarded = Guard(blocked_networks=["192.0.2.0/24"]).wrap_resolver(lambda host, port: [*answers, "198.51.100.1"])
    assert guarded("a.example", 80) == ["198.51.100.1"]
    assert Guard(["a.example"]).wrap_resolver(lambda host, port: answers)("a.example", 80) == answers


def test_answers_that_lead_nowhere_are_forgotten_behind_the_guard_too() -> None:
    """The cache of names lies behind it."""
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["192.0.2.1", "10.0.0.1"]

    names = CachingResolver(lookup, lifetime_s=60)
    guarded = Guard(blocked_networks=["10.0.0.0/8"]).wrap_resolver(names)
    for _ in range(2):
        assert guarded("a.example", 80) == ["192.0.2.1"]
    assert asked == ["a.example"]
    guarded.forget("a.example")
    assert guarded("a.example", 80) == ["192.0.2.1"]
    assert asked == ["a.example"] * 2


def test_a_resolver_that_keeps_nothing_has_nothing_to_forget() -> None:
    guarded = Guard(blocked_networks="private").wrap_resolver(lambda host, port: ["10.0.0.1"])
    guarded.forget("a.example")
    guarded.forget()
    with pytest.raises(BlockedHostError, match="blocked addresses only"):
        guarded("a.example", 80)
    unknown: Any = Guard(blocked_networks="private").wrap_resolver(lambda host, port: [])
    assert unknown("a.example", 80) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "0x7f.1", "2130706433", "::ffff:10.0.0.1"])
def test_a_blocked_address_is_refused_before_any_resolver_is_asked(host: str) -> None:
    with pytest.raises(BlockedHostError, match="blocked network"):
        Guard(blocked_networks="private").check_host(host)
    Guard(blocked_networks="private").check_host("93.184.216.34")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "localhost.localdomain"])
def test_names_of_this_machine_are_private(host: str) -> None:
    """RFC 6761 section 6.3."""
    guard = Guard(blocked_networks="private").wrap_resolver(lambda name, port: ["127.0.0.1"])
    with pytest.raises(BlockedHostError):
        guard(host, 80)
