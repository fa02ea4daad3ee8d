"""addresses: what hosts and networks mean. What is kept out by it: tests/faults/test_guards.py, test_proxies.py here.

Sources: inet_aton (glibc, musl), RFC 4291, RFC 5214, RFC 6052, IANA's registries of special-purpose addresses.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from poollib.base.ip import (
    address_of,
    bare_host,
    ends_in_number,
    is_public,
    literal_of,
    meanings_of,
    network_of,
    readings_of,
)
from poollib.exceptions import LocationParseError


@pytest.mark.parametrize(
    ("host", "bare"),
    [
        ("Example.COM.", "example.com"),
        ("[FE80::1%25eth0]", "fe80::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[::1%25.example.com]", "::1"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("", ""),
    ],
)
def test_rules_compare_hosts_without_brackets_zone_and_final_dot_in_ascii(host: str, bare: str) -> None:
    assert bare_host(host) == bare


def test_a_name_that_idna_does_not_carry_is_refused() -> None:
    with pytest.raises(LocationParseError):
        bare_host("a\u2024b.example")


SPELLINGS = ["127.1", "0x7f000001", "0X7F.1", "2130706433", "0177.0.0.1", "127.0.1", "0x7f.0.0.0x1", "00177.0x0.1"]
NO_ADDRESSES = ["1.2.3.256", "256.1", "1.2.3.4.5", "4294967296", "08.0.0.1", "1..2", "", "1.", "1.2.3.4x", "-1", "٣"]


@pytest.mark.parametrize("text", SPELLINGS)
def test_ipv4_is_read_as_the_c_library_reads_it(text: str) -> None:
    assert address_of(text) == ip_address("127.0.0.1") == ip_address(socket.inet_aton(text))
    assert literal_of(text) is None


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_the_c_library_does_not_read_is_a_name(text: str) -> None:
    assert address_of(text) is None


def test_ipv4_within_ipv6_is_the_ipv4_address() -> None:
    assert address_of("::ffff:10.0.0.1") == address_of("10.0.0.1") == ip_address("10.0.0.1")
    assert address_of("fe80::1") == ip_address("fe80::1")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("010.0.0.1", {"8.0.0.1", "10.0.0.1"}),
        ("08.0.0.1", {"8.0.0.1"}),
        ("10.0.0.1", {"10.0.0.1"}),
        ("0192.0250.0x1", {"192.168.0.1", "192.250.0.1"}),  # 192 can't be octal, 0250 can
        ("localhost", {"127.0.0.1", "::1"}),
        ("a.localhost", {"127.0.0.1", "::1"}),
        ("example.com", set()),
    ],
)
def test_all_readings_of_a_host_count(name: str, read: set[str]) -> None:
    assert {str(address) for address in readings_of(name)} == read


@pytest.mark.parametrize(
    ("name", "is_number"),
    [("4294967297", True), ("1.2.3.4.5", True), ("a.0x", True), ("a.1", True), ("1.example", False), ("a.4x", False)],
)
def test_a_last_label_that_is_a_number_makes_no_name(name: str, is_number: bool) -> None:
    assert ends_in_number(name) is is_number


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("[fd00::]/8", "fd00::/8"),
        ("::/0", "::/0"),
        ("10.1.2.3/8", "10.0.0.0/8"),
    ],
)
def test_a_network_within_mapped_ipv6_is_one_of_ipv4(text: str, network: str) -> None:
    assert str(network_of(text)) == network


def test_a_strict_network_has_no_bits_behind_its_prefix() -> None:
    with pytest.raises(ValueError, match="host bits"):
        network_of("10.1.2.3/8", strict=True)


@pytest.mark.parametrize("address", ["64:ff9b::a00:1", "::ffff:0:10.0.0.1", "2002:a00:1::", "2001:470::5efe:a00:1"])
def test_an_address_means_those_that_it_carries_packets_to(address: str) -> None:
    assert ip_address("10.0.0.1") in meanings_of(ip_address(address))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::808:808", True),
        ("::ffff:10.0.0.1", False),
        ("192.0.0.8", False),
        ("192.88.99.1", False),
        ("100.64.0.1", False),
        ("240.0.0.1", False),
        ("ff0e::1", False),
        ("2001:20::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("64:ff9b:1::1", False),
        ("4000::1", False),
    ],
)
def test_what_is_public_does_not_depend_on_the_interpreters_edition(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public
