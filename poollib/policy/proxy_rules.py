"""Which proxy is asked for a URL, if any, and what a proxy's URL means.

``poolmanager`` asks :class:`ProxyRules` for each new pool and makes the pool's settings of the :class:`Proxy` it gets;
``socks_connectionpool`` reads what a SOCKS URL says.
Nothing is dialled or resolved here: a host that is a name matches no network, whatever its addresses are.
It follows the habits of curl and Go for the environment (there is no standard), RFC 4632 and RFC 4291 for networks,
and the httpoxy advisory (CVE-2016-5385).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypedDict, cast

from ..base.endpoint import ProxyHop, shown_fields
from ..base.exact_values import exact
from ..base.headers import HTTPHeaderDict
from ..base.ip import Network, address_of, bare_host, network_of
from ..base.loggers import shown_url
from ..base.url import DEFAULT_PORTS, Url, parse_url
from ..exceptions import LocationParseError, ProxySchemeUnknown

if TYPE_CHECKING:
    from ssl import SSLContext

SOCKS_PORT: Final = 1080  # RFC 1928 section 3
SOCKS4: Final = 1  # PySocks's numbers, which callers of urllib3 use
SOCKS5: Final = 2
#: A scheme's protocol, and whether the proxy resolves names.
SOCKS_SCHEMES: Final = {
    "socks4": (SOCKS4, False),
    "socks4a": (SOCKS4, True),
    "socks5": (SOCKS5, False),
    "socks5h": (SOCKS5, True),
}


class SocksOptions(TypedDict):
    """How to reach a SOCKS proxy, as urllib3 has it; ``rdns``: names are resolved there."""

    socks_version: int
    proxy_host: str | None
    proxy_port: str | int | None
    username: str | None
    password: str | None
    rdns: bool


class Proxy(NamedTuple):
    """A proxy: its URL (``http``, ``https`` or a SOCKS scheme), for HTTP proxies header fields and TLS settings.

    ``headers`` reach the proxy and nobody else; user and password in the URL become a ``Proxy-Authorization`` among
    them. ``ssl_context``, ``assert_hostname``, ``assert_fingerprint``: what is wanted of TLS with an https proxy.
    ``use_forwarding_for_https``: let an https proxy see the requests instead of tunnelling through it.
    """

    url: str | Url
    headers: Mapping[str, str] | None = None
    ssl_context: SSLContext | None = None
    use_forwarding_for_https: bool = False
    assert_hostname: str | bool | None = None
    assert_fingerprint: str | Sequence[str] | None = None

    def __repr__(self) -> str:
        return shown_fields(self._replace(url=shown_url(self.url)))

    def with_defaults(self, defaults: Mapping[str, Any]) -> Proxy:
        """The same, with what ``defaults`` say where this proxy says nothing."""
        given, usual = self._asdict(), self._field_defaults
        return self._replace(**{name: value for name, value in defaults.items() if given[name] is usual[name]})


# A proxy's URL


def parse_proxy(url: str | Url) -> Url:
    """The URL with a scheme and a port; ``http`` where it has no scheme. ProxySchemeUnknown, LocationParseError."""
    if isinstance(url, Url):
        check_login(url.url)
    else:
        url = exact(url)
        check_login(url)
        url = parse_url(url if "://" in url else f"http://{url}")
    if url.scheme not in ("http", "https") and url.scheme not in SOCKS_SCHEMES:
        raise ProxySchemeUnknown(url.scheme)
    if not url.host:
        raise LocationParseError(url.url)
    return url if url.port is not None else url.with_port(DEFAULT_PORTS.get(url.scheme, SOCKS_PORT))


def check_login(url: str) -> None:
    """LocationParseError for a proxy's URL with a "@" behind its host, which is in the middle of the password then.

    A "/", "?" or "#" there ends the host (RFC 3986 section 3.2): half of the password would be looked up as a name, and
    the other half sent there.
    """
    start = url.find("://") + 3 if "://" in url else 0
    last = url.rfind("@")
    if last > start and re.search(r"[/?#]", url[start:last]):
        shown = f"{url[:start]}***{url[last:]}"
        why = "has a '@' behind its host: '/', '?' and '#' in user and password are to be percent-encoded"
        raise LocationParseError.because(shown, why)


def login_header(url: Url, headers: Mapping[str, str] | None) -> dict[str, str]:
    """``headers`` with a Basic ``Proxy-Authorization`` for the URL's user (RFC 7617), unless they hold one."""
    merged = dict(headers or {})
    if url.auth is not None and "proxy-authorization" not in HTTPHeaderDict(merged):
        user, password = url.auth_decoded
        login = f"{user or ''}:{password or ''}".encode()
        merged["Proxy-Authorization"] = "Basic " + b64encode(login).decode("ascii")
    return merged


def socks_options(url: Url, username: str | None = None, password: str | None = None) -> SocksOptions:
    """What a SOCKS URL says; ``username`` and ``password`` where it names no user."""
    version, rdns = SOCKS_SCHEMES[url.scheme or ""]
    if username is None and password is None and url.auth is not None:
        username, password = url.auth_decoded
    return {
        "socks_version": version,
        "proxy_host": url.host,
        "proxy_port": url.port,
        "username": username,
        "password": password,
        "rdns": rdns,
    }


def socks_hop(options: SocksOptions) -> ProxyHop:
    """The same as a hop of an endpoint."""
    wanted = (options["socks_version"], bool(options["rdns"]))
    scheme = next(name for name, meaning in SOCKS_SCHEMES.items() if meaning == wanted)
    host, port = options["proxy_host"] or "localhost", int(options["proxy_port"] or SOCKS_PORT)
    login = (options["username"], options["password"]) if options["username"] else (None, None)  # requests gives ""
    return ProxyHop(scheme, host, port, username=login[0], password=login[1])


# Which proxy


class ProxyRules:
    """A proxy per kind of URL, and hosts that are reached without one.

    ``by_pattern`` maps a scheme (``"http"``, ``"https"``, ``"all"``) or a scheme and host to a proxy: a URL, a
    :class:`Proxy`, or None for no proxy. ``"all://*.example"`` means the hosts below ``example``,
    ``"https://api.example"`` this one, each with ``:port`` if only that port is meant. A host wins over none, an exact
    host over ``*``, the longer ``*`` pattern over the shorter, a port over none, and the scheme over ``all``.
    ``no_proxy``: hosts for no proxy at all, as the environment variable has them (see :class:`HostList`).
    ValueError for a pattern that can't be meant, ProxySchemeUnknown for a proxy.
    """

    def __init__(self, by_pattern: Mapping[str, str | Proxy | None], no_proxy: str | Iterable[str] = "") -> None:
        self.no_proxy = HostList(no_proxy)
        ranked = []
        for pattern, given in by_pattern.items():
            scheme, host, port = _parsed_pattern(pattern)
            proxy = Proxy(given) if isinstance(given, str) and given else given or None
            if proxy is not None:
                if not isinstance(proxy, Proxy):
                    raise TypeError(f"proxies: {pattern!r}: a URL, a Proxy or None, not {type(proxy).__name__}")
                parse_proxy(proxy.url)
            rank = (bool(host), not host.startswith("*"), len(host), port is not None, scheme != "all")
            ranked.append((rank, scheme, host, port, proxy))
        ranked.sort(key=lambda rule: rule[0], reverse=True)
        self._rules = [rule[1:] for rule in ranked]

    def choose(self, scheme: str, host: str, port: int | None) -> Proxy | None:
        """The proxy for a URL with this scheme, host and port; None: no proxy. ``port``: None for the scheme's own."""
        name = bare_host(host)
        port = DEFAULT_PORTS.get(scheme) if port is None else port
        if self.no_proxy.matches(name, port):
            return None
        for its_scheme, pattern, its_port, proxy in self._rules:
            if its_scheme in (scheme, "all") and its_port in (None, port) and _fits(pattern, name):
                return proxy
        return None


def _parsed_pattern(pattern: str) -> tuple[str, str, int | None]:
    """Scheme, host or an empty text, port; ValueError naming the pattern."""
    match = _PATTERN.fullmatch(pattern)
    if match is None or ("*" in (host := match["host"] or "") and not _STARS.fullmatch(host)):
        raise ValueError(f"proxies: {shown_url(pattern)!r} is no scheme and no scheme://host pattern")
    host = "" if host == "*" else host
    stars, name = ("*.", host[2:]) if host.startswith("*.") else ("", host)
    try:
        name = bare_host(name)
    except LocationParseError as err:
        raise ValueError(f"proxies: {shown_url(pattern)!r}: {err}") from err
    return match["scheme"].lower(), stars + name, int(match["port"]) if match["port"] else None


_PATTERN: Final = re.compile(
    r"(?P<scheme>http|https|all)(?:://(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]@]+)(?::(?P<port>[0-9]{1,5}))?/?)?",
    re.IGNORECASE,
)
_STARS: Final = re.compile(r"\*|\*\.[^*]+")


def _fits(pattern: str, name: str) -> bool:
    """Whether the pattern means the host; a pattern with ``*`` means names alone, never addresses."""
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and len(name) >= len(pattern) and address_of(name) is None
    if not pattern or name == pattern:
        return True
    address = address_of(name)
    return address is not None and address == address_of(pattern)


# The environment


#: What ``PoolManager(proxies=...)`` takes.
Proxies: TypeAlias = "ProxyRules | Proxy | Mapping[str, str | Proxy | None] | str | None"


def rules_from(proxies: Proxies, environ: Mapping[str, str]) -> ProxyRules | None:
    """The rules that ``PoolManager(proxies=...)`` means; None for none.

    ``"env"``: those of the environment; a mapping of patterns (see :class:`ProxyRules`), with ``"no_proxy"`` among its
    keys if wanted; a URL or a :class:`Proxy` for everything. TypeError for something else.
    """
    if proxies is None or isinstance(proxies, ProxyRules):
        return proxies
    if proxies == "env":
        return environment_rules(environ)
    if isinstance(proxies, (str, Proxy)):
        return ProxyRules({"all": proxies})
    if not isinstance(proxies, Mapping):
        raise TypeError(f"proxies: a mapping, a URL, a Proxy or 'env', not {type(proxies).__name__}")
    patterns = {pattern: proxy for pattern, proxy in proxies.items() if pattern != "no_proxy"}
    return ProxyRules(patterns, cast("str | Iterable[str]", proxies.get("no_proxy") or ""))


def environment_rules(environ: Mapping[str, str]) -> ProxyRules | None:
    """The rules of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; None if no proxy is named.

    A lower-case name wins over the same one in upper case, even when it is empty, which means no proxy. Under CGI
    (``REQUEST_METHOD`` is set) HTTP_PROXY in upper case is a request's ``Proxy`` header and means nothing (httpoxy,
    CVE-2016-5385). ValueError that names the variable, and never a password, for what is no proxy's URL.
    """
    found = {}
    for scheme in ("http", "https", "all"):
        name, url = _variable(environ, f"{scheme}_proxy")
        if name == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
            continue
        if url:
            found[scheme] = _environment_proxy(name, url)
    return ProxyRules(found, _variable(environ, "no_proxy")[1]) if found else None


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The name under which it is set, and its value."""
    used = name if name in environ else name.upper()
    return used, environ.get(used, "").strip()


def _environment_proxy(name: str, url: str) -> str:
    """``url``; ValueError naming the variable if it is no proxy's."""
    try:
        parse_proxy(url)
    except ProxySchemeUnknown as err:
        raise ValueError(f"environment variable {name}: {err}") from None
    except LocationParseError:
        raise ValueError(f"environment variable {name} is no URL of a proxy") from None
    return url


class HostList:
    """Hosts as NO_PROXY lists them, by commas or blanks.

    ``example.com`` and ``.example.com`` mean the name and everything below it, ``*`` everything, ``10.1.2.3`` and
    ``fd00::1`` an address however it is written (see ``base/ip``), ``10.0.0.0/8`` and ``fd00::/8`` a network;
    ``host:port`` (an IPv6 address in brackets) that port alone. A zone (``fe80::1%eth0``) is no part of an address
    (CVE-2025-22870). Names may be written as IDNs. What can't be meant matches nothing.
    """

    def __init__(self, text: str | Iterable[str] = "") -> None:
        entries = re.split(r"[,\s]+", text) if isinstance(text, str) else text
        self.entries = tuple(entry for entry in entries if entry)
        self._is_all = "*" in self.entries
        self._networks: list[tuple[Network, int | None]] = []
        self._names: list[tuple[str, int | None]] = []
        for entry in self.entries:
            self._add(entry)

    def _add(self, entry: str) -> None:
        try:
            if "/" in entry:
                self._networks.append((network_of(entry), None))
                return
            match = _WITH_PORT.fullmatch(entry)
            host, port = (match["host"], int(match["port"])) if match else (entry, None)
            whole = host.removeprefix("*").lstrip(".")
            name = bare_host(whole)
        except ValueError:  # LocationParseError is one
            return
        address = address_of(name) if whole == host else None
        if address is not None:
            self._networks.append((network_of(str(address)), port))
        else:
            self._names.append((name, port))

    def matches(self, name: str, port: int | None) -> bool:
        """Whether a bare host with this port is listed."""
        if not self.entries:
            return False
        address = address_of(name)
        if self._is_all:
            return True
        if address is not None:
            return any(address in network and wanted in (None, port) for network, wanted in self._networks)
        return any(
            wanted in (None, port) and suffix and (name == suffix or name.endswith(f".{suffix}"))
            for suffix, wanted in self._names
        )


_WITH_PORT: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]+):(?P<port>[0-9]{1,5})")
