"""Which proxy is asked for a URL: tables for patterns, the environment and NO_PROXY.

Source: docs/ways.rst; the httpoxy advisory (CVE-2016-5385), Go CVE-2025-22870 (zones), RFC 7617 (Basic).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from poollib import PoolManager, ProxyManager
from poollib.base.url import parse_url
from poollib.exceptions import LocationParseError, ProxySchemeUnknown
from poollib.policy.proxy_rules import (
    HostList,
    Proxy,
    ProxyRules,
    bare_host,
    environment_rules,
    login_header,
    parse_proxy,
    rules_from,
    socks_hop,
    socks_options,
)

HTTP, HTTPS, ALL = "http://h:1", "http://s:2", "socks5h://a:3"


def chosen(rules: ProxyRules | None, url: str) -> str | None:
    """The URL of the proxy for a URL; None: no proxy."""
    parsed = parse_url(url)
    proxy = None if rules is None else rules.choose(parsed.scheme or "", parsed.host or "", parsed.port)
    return None if proxy is None else str(proxy.url)


# HostList: NO_PROXY


@pytest.mark.parametrize(
    ("listed", "host", "port", "matches"),
    [
        ("example.com", "example.com", 80, True),
        ("example.com", "EXAMPLE.com.", 80, True),
        ("Example.COM.", "example.com", 80, True),
        ("example.com", "www.example.com", 80, True),
        (".example.com", "www.example.com", 80, True),
        (".example.com", "example.com", 80, True),
        ("*.example.com", "www.example.com", 80, True),
        ("example.com", "badexample.com", 80, False),
        ("example.com", "example.com.evil", 80, False),
        ("example.com", "example.co", 80, False),
        ("example.com:8080", "example.com", 8080, True),
        ("example.com:8080", "www.example.com", 8080, True),
        ("example.com:8080", "example.com", 80, False),
        ("*", "anything", 80, True),
        ("*", "10.0.0.1", 80, True),
        ("a, b,,c  d", "d", 80, True),
        ("", "a", 80, False),
        (".", "a", 80, False),
        (",", "a", 80, False),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.1.2.3", "10.1.2.30", 80, False),
        ("10.1.2.3:81", "10.1.2.3", 81, True),
        ("10.1.2.3:81", "10.1.2.3", 80, False),
        (".1.2.3", "10.1.2.3", 80, False),
        ("10.0.0.0/8", "10.255.0.1", 80, True),
        ("10.1.2.3/8", "10.255.0.1", 80, True),
        ("10.0.0.0/8", "11.0.0.1", 80, False),
        ("10.0.0.0/8", "10.example", 80, False),
        ("10.0.0.0/33", "10.0.0.1", 80, False),
        ("::1", "[::1]", 80, True),
        ("::1", "[0:0:0:0:0:0:0:1]", 80, True),
        ("[::1]", "[::1]", 80, True),
        ("[::1]:8080", "[::1]", 8080, True),
        ("[::1]:8080", "[::1]", 80, False),
        ("fd00::/8", "[fd12:3456::1]", 80, True),
        ("fd00::/8", "[fe80::1]", 80, False),
        ("10.0.0.0/8", "[::ffff:10.1.2.3]", 80, True),
        ("fe80::1", "[fe80::1%eth0]", 80, True),
        ("fe80::/10", "[fe80::1%25eth0]", 80, True),
        ("example.com", "[fe80::1%25.example.com]", 80, False),
        (".example.com", "[::1%25.example.com]", 80, False),
        ("localhost", "127.0.0.1", 80, False),
        ("::ffff:10.0.0.0/104", "10.1.2.3", 80, True),
        ("::ffff:10.0.0.0/104", "[::ffff:10.1.2.3]", 80, True),
        ("::ffff:10.0.0.0/104", "11.1.2.3", 80, False),
        ("[::ffff:10.1.2.3]:81", "10.1.2.3", 81, True),
        ("127.0.0.1", "127.1", 80, True),
        ("127.1", "127.0.0.1", 80, True),
        ("127.0.0.0/8", "0x7f000001", 80, True),
        ("bücher.example", "xn--bcher-kva.example", 80, True),
        ("bücher.example", "www.xn--bcher-kva.example", 80, True),
        (".BÜCHER.example:81", "xn--bcher-kva.example", 81, True),
        ("*.bücher.example", "www.bücher.example", 80, True),
        ("xn--bcher-kva.example", "bücher.example", 80, True),
        ("a\u2024b, c", "c", 80, True),
    ],
)
def test_a_host_is_listed_or_not(listed: str, host: str, port: int, matches: bool) -> None:
    assert HostList(listed).matches(bare_host(host), port) is matches


# Patterns


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://any.test", HTTP),
        ("https://any.test", HTTPS),
        ("http://www.example", "http://below:1"),
        ("https://deep.www.example", "http://below:1"),
        ("http://example", HTTP),
        ("http://badexample", HTTP),
        ("https://api.example", "http://exact:1"),
        ("https://API.example.:443", "http://exact:1"),
        ("http://api.example", "http://below:1"),
        ("http://x.deep.example", "http://longer:1"),
        ("http://port.test:8080", "http://port:1"),
        ("http://port.test", None),
        ("http://[::1]:9", "http://six:1"),
        ("http://10.0.0.1", HTTP),
        ("http://not.test", None),
        ("http://www.not.test", None),
        ("http://www.xn--bcher-kva.example", "http://idn:1"),
        ("http://192.0.513", "http://four:1"),
        ("http://[0:0:0:0:0:0:0:1]", "http://six:1"),
    ],
)
def test_the_most_exact_pattern_wins(url: str, proxy: str | None) -> None:
    rules = ProxyRules(
        {
            "http": HTTP,
            "https": HTTPS,
            "all": ALL,
            "all://*.example": "http://below:1",
            "all://*.deep.example": "http://longer:1",
            "https://api.example": "http://exact:1",
            "http://port.test:8080": "http://port:1",
            "http://port.test": None,
            "all://[::1]": "http://six:1",
            "all://*.0.0.1": "http://never:1",
            "all://*.bücher.example": "http://idn:1",
            "all://192.0.2.1": "http://four:1",
        },
        no_proxy="not.test",
    )
    assert chosen(rules, url) == proxy
    assert chosen(pickle.loads(pickle.dumps(rules)), url) == proxy


def test_all_is_for_the_schemes_that_have_none() -> None:
    rules = ProxyRules({"HTTP": HTTP, "all": ALL, "https://direct.test": ""})
    assert chosen(rules, "https://x") == ALL
    assert chosen(rules, "http://x") == HTTP
    assert chosen(rules, "https://direct.test") is None


@pytest.mark.parametrize(
    "pattern", ["", "ftp", "http:/x", "all://a*b", "all://*a", "http://a/b", "http://u@h", "no_proxy", "all://a\u2024b"]
)
def test_a_pattern_that_cannot_be_meant_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="proxies"):
        ProxyRules({pattern: HTTP})


def test_rules_come_as_text_mapping_proxy_or_rules() -> None:
    rules = ProxyRules({"all": HTTP})
    assert rules_from(None, {}) is None
    assert rules_from(rules, {}) is rules
    assert chosen(rules_from(HTTP, {}), "https://x") == HTTP
    assert chosen(rules_from(Proxy(HTTP), {}), "https://x") == HTTP
    assert chosen(rules_from({"http": HTTP, "no_proxy": "x"}, {}), "http://x") is None
    assert chosen(rules_from("env", {"https_proxy": HTTPS}), "https://x") == HTTPS
    with pytest.raises(TypeError, match="proxies"):
        rules_from(7, {})


# The environment


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "http://x", None),
        ({"http_proxy": HTTP}, "http://x", HTTP),
        ({"HTTP_PROXY": HTTP}, "http://x", HTTP),
        ({"HTTP_PROXY": HTTP}, "https://x", None),
        ({"HTTPS_PROXY": HTTPS}, "https://x", HTTPS),
        ({"ALL_PROXY": ALL}, "https://x", ALL),
        ({"ALL_PROXY": ALL, "http_proxy": HTTP}, "http://x", HTTP),
        ({"HTTP_PROXY": HTTP, "http_proxy": HTTPS}, "http://x", HTTPS),
        ({"HTTP_PROXY": HTTP, "http_proxy": ""}, "http://x", None),
        ({"HTTP_PROXY": "  "}, "http://x", None),
        ({"HTTP_PROXY": "h:1"}, "http://x", "h:1"),
        ({"HTTP_PROXY": HTTP, "REQUEST_METHOD": "GET"}, "http://x", None),
        ({"HTTP_PROXY": HTTP, "http_proxy": HTTPS, "REQUEST_METHOD": "GET"}, "http://x", HTTPS),
        ({"HTTPS_PROXY": HTTPS, "REQUEST_METHOD": "GET"}, "https://x", HTTPS),
        ({"HTTP_PROXY": HTTP, "ALL_PROXY": ALL, "REQUEST_METHOD": "GET"}, "http://x", ALL),
        ({"HTTP_PROXY": HTTP, "NO_PROXY": "x"}, "http://x", None),
        ({"HTTP_PROXY": HTTP, "NO_PROXY": "x", "no_proxy": "y"}, "http://x", HTTP),
        ({"HTTP_PROXY": HTTP, "no_proxy": "10.0.0.0/8,x:81"}, "http://x:81", None),
        ({"HTTP_PROXY": HTTP, "no_proxy": "10.0.0.0/8,x:81"}, "http://10.1.1.1", None),
    ],
)
def test_the_environment_names_a_proxy(environ: dict[str, str], url: str, proxy: str | None) -> None:
    assert chosen(environment_rules(environ), url) == proxy


@pytest.mark.parametrize(
    "value", ["ftp://me:secret@h", "http://me:secret@", "http://me:secret@h:port", "http://me:secret@[x]"]
)
def test_an_environment_variable_that_is_no_proxy_is_named_without_its_password(value: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY") as caught:
        environment_rules({"HTTPS_PROXY": value})
    assert "secret" not in str(caught.value)


# A proxy's URL


@pytest.mark.parametrize(
    ("url", "settled"),
    [
        ("h", "http://h:80"),
        ("h:3128", "http://h:3128"),
        ("https://h", "https://h:443"),
        ("socks5h://u:p@h", "socks5h://u:p@h:1080"),
        ("HTTP://H:1/ignored", "http://h:1/ignored"),
    ],
)
def test_a_proxys_url_gets_a_scheme_and_a_port(url: str, settled: str) -> None:
    assert parse_proxy(url).url == settled


@pytest.mark.parametrize("url", ["ftp://h", "socks6://h", "file:///x"])
def test_a_proxy_of_another_scheme_is_refused(url: str) -> None:
    with pytest.raises(ProxySchemeUnknown):
        parse_proxy(url)


@pytest.mark.parametrize("password", ["p@ss/word", "p/word", "p?word", "p#word", "1/word", "p@ss?word"])
@pytest.mark.parametrize("reader", [parse_proxy, ProxyManager, lambda url: PoolManager(proxies=url)])
def test_a_password_that_would_end_the_host_is_refused_and_not_shown(
    password: str, reader: Callable[[str], object]
) -> None:
    """``p@ss/word`` named the host ``ss``, where the first half of the password went."""
    told = r"^Failed to parse: 'http://\*\*\*@proxy.example:3128' has a '@' behind its host: .* percent-encoded$"
    with pytest.raises(LocationParseError, match=told):
        reader(f"http://user:{password}@proxy.example:3128")


def test_a_parsed_url_whose_path_holds_the_login_is_refused() -> None:
    with pytest.raises(LocationParseError, match="behind its host"):
        parse_proxy(parse_url("http://user:p@ss/word@proxy.example:3128"))


@pytest.mark.parametrize("given", [{"url": "http://h"}, ["http://h"], 3128, parse_url("http://h")])
def test_what_is_no_proxy_is_named(given: Any) -> None:
    """It was an assertion, which -O takes out."""
    with pytest.raises(TypeError, match=rf"^proxies: 'https': a URL, a Proxy or None, not {type(given).__name__}$"):
        ProxyRules({"https": given})


def test_an_at_sign_in_the_login_alone_is_nobodys_mistake() -> None:
    assert parse_proxy("http://me@corp.example:p@ss@proxy.example:3128/").host == "proxy.example"


def test_a_proxy_without_a_host_is_refused() -> None:
    with pytest.raises(LocationParseError):
        parse_proxy("http://")


@pytest.mark.parametrize(
    ("url", "headers", "told"),
    [
        ("http://h", None, {}),
        ("http://u:p@h", None, {"Proxy-Authorization": "Basic dTpw"}),
        ("http://u@h", {"X": "1"}, {"X": "1", "Proxy-Authorization": "Basic dTo="}),
        ("http://%C3%BC:p%40@h", None, {"Proxy-Authorization": "Basic w7w6cEA="}),
        ("http://u:p@h", {"proxy-authorization": "Bearer t"}, {"proxy-authorization": "Bearer t"}),
    ],
)
def test_a_user_in_the_url_becomes_a_basic_login(url: str, headers: Any, told: dict[str, str]) -> None:
    assert login_header(parse_url(url), headers) == told


def test_a_socks_url_becomes_options_and_a_hop() -> None:
    options = socks_options(parse_url("socks5h://u:p%20w@h:9"))
    assert options == {
        "socks_version": 2,
        "proxy_host": "h",
        "proxy_port": 9,
        "username": "u",
        "password": "p w",
        "rdns": True,
    }
    hop = socks_hop(options)
    assert (hop.scheme, hop.host, hop.port, hop.username, hop.password) == ("socks5h", "h", 9, "u", "p w")
    assert socks_hop(socks_options(parse_url("socks4://h"), "me")).username == "me"


def test_an_empty_socks_user_is_no_login() -> None:
    """requests gives empty texts where a proxy's URL has no user."""
    hop = socks_hop(socks_options(parse_url("socks5h://h"), "", ""))
    assert (hop.username, hop.password) == (None, None)
