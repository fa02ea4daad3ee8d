"""Requests stay away from hosts and addresses they must not reach, whatever the DNS or a redirect says."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

import poollib
from poollib import PoolManager, Retry
from poollib.base.ip import network_of, readings_of
from poollib.exceptions import BlockedHostError
from poollib.policy import ssrf_guard
from poollib.policy.ssrf_guard import Guard
from tests.support.script import ScriptServer, expect, expect_request, respond, send


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",  # where clouds keep credentials
        "192.168.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "::ffff:127.0.0.1",
        "fe80::1%eth0",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
        "64:ff9b:1::7f00:1",  # NAT64 of a network's own
        "::ffff:0:127.0.0.1",  # SIIT
        "::127.0.0.1",  # "IPv4-compatible"
        "fec0::1",  # site-local
        "127.1",  # from here on as systems read addresses, and so a proxy
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "010.0.0.1",  # decimal for some systems
        "0192.0250.0x1",
        "4294967297",  # 0.0.0.1 for those that drop what is above 32 bits, and 127.0.0.1.1 for those that drop a part
        "127.0.0.1.1",
        "127.0.0.256",
        "2001:470::5efe:7f00:1",  # ISATAP of 127.0.0.1
        "5f00::1",  # segment routing, which only new interpreters know
        "LOCALHOST.",
        "any.localhost",
    ],
)
def test_private_addresses_are_blocked_in_every_spelling(host: str) -> None:
    with pytest.raises(BlockedHostError):
        Guard(blocked_networks=["private"]).check_host(host)


def spelled(address: int, chance: random.Random) -> str:
    """An IPv4 address in one to four numbers, each in a base and with zeros as it comes."""
    count = chance.randrange(4)
    numbers = [address >> (24 - 8 * at) & 255 for at in range(count)] + [address & (1 << (32 - 8 * count)) - 1]
    return ".".join(
        chance.choice([f"{n}", f"{n:#x}", f"0X{n:04X}", f"0{n:o}", f"000{n:o}", f"0{n}", f"00{n}"]) for n in numbers
    )


def test_no_mixture_of_spellings_hides_a_private_address() -> None:
    """Whoever a proxy's parser follows: 00192.0250.1 is 192.168.0.1 for one that takes as octal what can be."""
    guard, chance = Guard(blocked_networks=["private"]), random.Random(7)
    for _ in range(1000):
        host = spelled(chance.choice([0x7F000001, 0x0A010203, 0xA9FEA9FE, 0xC0A80001]), chance)
        with pytest.raises(BlockedHostError):
            guard.check_host(host)


@pytest.mark.parametrize(
    ("network", "host"), [("127.0.0.0/8", "0.0.0.0"), ("::1/128", "[::]"), ("127.0.0.0/8", "[::ffff:0:0]")]
)
def test_the_unspecified_address_is_this_machine(network: str, host: str) -> None:
    """Who connects to it reaches the loopback address."""
    with pytest.raises(BlockedHostError):
        Guard(blocked_networks=[network]).check_host(host)


@pytest.mark.parametrize(
    "host", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::808:808", "example.com", "1.example", "4x", "0xg"]
)
def test_public_addresses_and_names_are_not_blocked(host: str) -> None:
    Guard(blocked_networks=["private"]).check_host(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "[::ffff:10.0.0.1]", "[::ffff:a00:1]", "10.1"])
def test_a_network_within_mapped_ipv6_blocks_what_it_means(host: str) -> None:
    """It was compared with IPv6 addresses alone, and so blocked nothing."""
    with pytest.raises(BlockedHostError):
        Guard(blocked_networks=["::ffff:10.0.0.0/104"]).check_host(host)


@pytest.mark.parametrize(
    ("allowed", "host", "is_allowed"),
    [
        (["api.example.com"], "API.example.com.", True),
        (["api.example.com"], "evil-api.example.com", False),
        (["*.example.com"], "a.b.example.com", True),
        (["*.example.com"], "example.com", False),
        (["*.example.com"], "evilexample.com", False),
        (["[::1]"], "[::1]", True),
        (["::1"], "[0:0:0:0:0:0:0:1]", True),
        (["192.0.2.1"], "192.0.2.1.", True),
        (["192.0.2.1"], "192.0.2.10", False),
        (["*.0.2.1"], "192.0.2.1", False),  # patterns are for names
        (["*.example.com"], "[::1%25.example.com]", False),  # a zone is no part of a name (Go CVE-2025-22870)
        (["*.example.com"], "[fe80::1%.example.com]", False),
        (["bücher.example"], "xn--bcher-kva.example", True),
        (["*.bücher.example"], "a.XN--bcher-kva.example", True),
        ([], "example.com", False),
    ],
)
def test_only_allowed_hosts_are_asked(allowed: list[str], host: str, is_allowed: bool) -> None:
    guard = Guard(allowed)
    if is_allowed:
        guard.check_host(host)
    else:
        with pytest.raises(BlockedHostError, match="allowed"):
            guard.check_host(host)


@pytest.mark.parametrize("name", ["allowed_hosts", "blocked_networks"])
def test_what_can_be_read_once_only_is_no_guard(name: str) -> None:
    """The first pool would read it to its end, and the next one find nothing that is blocked."""
    with pytest.raises(TypeError, match=f"{name} is read for every pool"):
        PoolManager(**{name: iter(["10.0.0.0"])})


def test_a_check_never_meets_half_of_changed_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """10.0.0.1 is blocked before the change and after it, so also while another thread reads the lists anew."""
    blocked = ["private"]
    guard = Guard(blocked_networks=blocked)
    is_reading, is_checked = threading.Event(), threading.Event()
    other = threading.Thread(target=guard.may_dial, args=("192.0.2.1",))

    def read_slowly(text: str, *, strict: bool) -> Any:
        is_reading.set()
        is_checked.wait(5)
        return network_of(text, strict=strict)

    def change_and_read(name: str) -> Any:
        blocked[:] = ["10.0.0.0/8"]
        other.start()
        is_reading.wait(5)
        return readings_of(name)

    monkeypatch.setattr(ssrf_guard, "network_of", read_slowly)
    monkeypatch.setattr(ssrf_guard, "readings_of", change_and_read)
    try:
        with pytest.raises(BlockedHostError):
            guard.check_host("10.0.0.1")
    finally:
        is_checked.set()
        other.join()


def test_an_answer_of_the_dns_does_not_get_around_it() -> None:
    """The name is checked where it is connected to: rebinding it between two lookups changes nothing."""
    answers = {"inner.example": ["10.0.0.1"]}

    def resolver(host: str, port: int) -> Sequence[Any]:
        return answers[host]

    with PoolManager(resolver=resolver, blocked_networks=["10.0.0.0/8"]) as manager:
        with pytest.raises(BlockedHostError, match="blocked addresses only"):
            manager.request("GET", "http://inner.example/", timeout=2)
        assert all(pool._endpoint_pool.leased == 0 for pool in manager.pools._container.values())


def test_of_several_addresses_the_open_ones_are_used() -> None:
    with ScriptServer([expect_request(), respond(b"here")]) as server:
        with PoolManager(resolve={"two.example": ["10.0.0.1", "127.0.0.1"]}, blocked_networks=["10.0.0.0/8"]) as m:
            assert m.request("GET", f"http://two.example:{server.port}/", timeout=2).data == b"here"


@pytest.mark.parametrize(
    "location", ["http://127.0.0.2:9/", "http://localhost:9/", "//127.0.0.2:9/", "http://2130706434:9/"]
)
def test_it_holds_on_every_redirect(location: str) -> None:
    redirect = respond(b"", "302 Found", [f"Location: {location}"])
    with ScriptServer([expect_request(), redirect]) as server:
        with PoolManager(allowed_hosts=["127.0.0.1"]) as manager:
            with pytest.raises(BlockedHostError):
                manager.request("GET", server.url)
            assert all(pool._endpoint_pool.leased == 0 for pool in manager.pools._container.values())


ASKED = {
    "request": lambda manager, url: manager.request("GET", f"{url}/x"),
    "pool_for": lambda manager, url: manager.pool_for(url).request("GET", "/x"),
    "connection_from_url": lambda manager, url: manager.connection_from_url(url).request("GET", "/x"),
}


@pytest.mark.parametrize("guard", [{"allowed_hosts": ["fine.example"]}, {"blocked_networks": "private"}])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("way", ASKED)
def test_a_forwarding_proxy_is_no_target(guard: dict[str, Any], scheme: str, way: str) -> None:
    """A URL with the proxy's own host and port is one like any other: what listens there is the operator's own."""
    with ScriptServer() as proxy:
        one = poollib.ProxyManager(proxy.url, headers={"Authorization": "mine"}, **guard)
        rules = PoolManager(proxies={"all": proxy.url}, headers={"Authorization": "mine"}, **guard)
        for manager in (one, rules):
            with manager, pytest.raises(BlockedHostError):
                ASKED[way](manager, f"{scheme}://127.0.0.1:{proxy.port}")
    assert proxy.connections == []


def test_a_redirect_to_the_proxy_itself_is_refused() -> None:
    """It asked the proxy for a tunnel to itself."""
    with ScriptServer([expect_request(), lambda connection: redirect(connection)]) as proxy:
        redirect = respond(b"", "302 Found", [f"Location: https://127.0.0.1:{proxy.port}/"])
        with poollib.ProxyManager(proxy.url, allowed_hosts=["fine.example"]) as manager:
            with pytest.raises(BlockedHostError):
                manager.request("GET", "http://fine.example/", headers={"Authorization": "mine"})
        assert len(proxy.connections) == 1
    assert b"CONNECT" not in proxy.received[0]


def test_a_proxy_is_told_of_no_blocked_host() -> None:
    with ScriptServer([expect_request(), respond(b"fine")]) as proxy:
        with poollib.ProxyManager(proxy.url, allowed_hosts=["fine.example"], blocked_networks=["private"]) as manager:
            assert manager.request("GET", "http://fine.example/").data == b"fine"
            for url in ("http://other.example/", "http://10.0.0.1/", "https://other.example/"):
                with pytest.raises(BlockedHostError):
                    manager.request("GET", url)
    assert proxy.received[0].count(b"GET") == 1


@pytest.mark.parametrize("guard", [{"blocked_networks": "private"}, {"allowed_hosts": ["localhost"]}])
def test_no_url_leads_to_a_unix_socket_where_there_is_a_guard(guard: dict[str, Any]) -> None:
    """Services of the machine listen there (docker's), and their clients need no password."""
    url = "http+unix://%2Frun%2Fdocker.sock/containers/json"
    with PoolManager(**guard) as manager:
        for ask in (manager.connection_from_url, manager.pool_for, partial(manager.request, "GET")):
            with pytest.raises(BlockedHostError, match="docker"):
                ask(url)
    with pytest.raises(BlockedHostError, match="docker"):
        poollib.connection_from_url(url, **guard)


@pytest.mark.parametrize(
    ("scheme", "name_or_address"), [("socks5", b"\1\xc6\x33\x64\x07"), ("socks5h", b"\3\x0copen.example")]
)
def test_a_socks_proxy_itself_is_the_operators_choice(scheme: str, name_or_address: bytes) -> None:
    """It may stand in a blocked network; what it is asked for may not."""
    answers = {"open.example": ["198.51.100.7"], "inner.example": ["10.0.0.1"]}
    steps = [expect(b"\5\1\0"), send(b"\5\0"), expect(b"\5\1\0" + name_or_address + b"\0\x50")]
    steps += [send(b"\5\0\0\1\0\0\0\0\0\0"), expect_request(), respond(b"fine")]
    with ScriptServer(steps) as proxy:
        url = f"{scheme}://127.0.0.1:{proxy.port}"
        networks = ["127.0.0.0/8", "10.0.0.0/8"]
        with poollib.ProxyManager(url, blocked_networks=networks, resolve=answers, timeout=2) as manager:
            assert manager.request("GET", "http://open.example/").data == b"fine"
            with pytest.raises(BlockedHostError):
                manager.request("GET", "http://10.0.0.1/")


# -- the redirect policy --


def test_a_policy_decides_which_redirects_are_followed() -> None:
    asked = []

    def policy(url: str, location: str) -> bool:
        asked.append((url, location))
        return not location.endswith("/no")

    steps = [expect_request(), respond(b"1", "302 Found", ["Location: /yes"])]
    steps += [expect_request(), respond(b"2", "302 Found", ["Location: http://elsewhere.example/no"])]
    with ScriptServer(steps) as server, PoolManager(retries=Retry(5, redirect_policy=policy)) as manager:
        response = manager.request("GET", f"{server.url}/a")
    assert (response.status, response.data) == (302, b"2")
    assert asked == [(f"{server.url}/a", f"{server.url}/yes"), (f"{server.url}/yes", "http://elsewhere.example/no")]


def test_a_policy_holds_for_a_pool_of_one_host_and_its_error_frees_the_slot() -> None:
    def policy(url: str, location: str) -> bool:
        raise LookupError(location)

    with ScriptServer([expect_request(), respond(b"1", "302 Found", ["Location: /b"])]) as server:
        with poollib.HTTPConnectionPool("127.0.0.1", server.port, retries=Retry(5, redirect_policy=policy)) as pool:
            with pytest.raises(LookupError, match=f"{server.url}/b"):
                pool.request("GET", "/a")
            assert pool._endpoint_pool.leased == 0


def test_an_error_of_retry_on_frees_the_connection() -> None:
    def retry_on(method: str, outcome: Any) -> bool:
        raise LookupError(method)

    with ScriptServer([expect_request(), respond(b"long", "503 Busy")]) as server:
        with PoolManager(retries=Retry(5, retry_on=retry_on)) as manager:
            with pytest.raises(LookupError) as caught:
                manager.request("GET", server.url, preload_content=False)
            pool = manager.connection_from_url(server.url)
            assert caught.value.__traceback__ is not None  # its frames hold the response still
            assert pool._endpoint_pool.leased == 0


def test_headers_that_are_none_cost_a_forwarding_pool_no_slot() -> None:
    with poollib.ProxyManager("http://127.0.0.1:9", maxsize=1, block=True) as manager:
        with pytest.raises((TypeError, ValueError)):
            manager.request("GET", "http://any.example/", headers=7)
        assert [pool._endpoint_pool.leased for pool in manager.pools._container.values()] == [0]
