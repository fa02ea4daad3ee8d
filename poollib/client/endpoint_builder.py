"""How a pool's connections reach their server: from a pool's settings to its Endpoint, and whose fault a failure is.

A pool asks here for the :class:`Endpoint` that its settings mean, whether its requests are forwarded by a proxy, and
what to blame or to warn of; a manager asks which settings mean a proxy or a Unix socket. Who may share a socket is
``endpoint``'s to say, dialling is left to ``connection``, choosing a proxy to ``proxy_rules``. It follows RFC 9112
section 3.2.2 (absolute-form for forwarding proxies) and the advisories on settings that change under a living pool
(requests CVE-2024-35195).
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from copy import copy
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeVar, cast
from urllib.parse import unquote

from ..base.endpoint import TLS_SETTINGS, Endpoint, ProxyHop, TlsSettings, pins_of
from ..base.tls_errors import is_tls_error
from ..base.url import Url, bracketed
from ..exceptions import (
    BlockedHostError,
    DeadlineExceededError,
    HTTPError,
    InsecureRequestWarning,
    LocationParseError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,
    is_from_body,
)
from ..exchange.proxy_config import ProxyConfig, proxy_tls_settings
from ..exchange.transport import Transport, port_by_scheme
from ..net.dns import resolver_from, system_lookup

if TYPE_CHECKING:
    import ssl

    from ..policy.proxy_rules import Proxy
    from ..policy.ssrf_guard import Guard
    from .keyword_types import Keywords
    from .lease import Connection, HTTPEndpointPool

T = TypeVar("T", bound=Transport)

#: Keywords of a pool: ``uds``, the path of a Unix socket to dial; ``resolver``, ``resolve`` and ``dns_cache``, see
#: ``dns.CachingResolver``.
DIAL_OPTIONS: Final = ("uds", "resolver", "resolve", "dns_cache")
#: Keywords of a pool that keep its requests from hosts and addresses: see ``ssrf_guard``.
GUARD_OPTIONS: Final = ("allowed_hosts", "blocked_networks")

NOTHING: Final[Keywords] = {}  # for all pools; never written
USUAL_KW: Final[Keywords] = {"blocksize": 16384}  # what a manager gives its pools; never written

#: the scheme of URLs whose host is the path of a Unix socket, percent-encoded
UNIX_SCHEME: Final = "http+unix"


def take_dial_options(keywords: Keywords) -> Keywords:
    """What a pool sets on its connections, taken out of its keywords: those of ``DIAL_OPTIONS`` that say anything."""
    uds, resolver, resolve, dns_cache = (keywords.pop(name, None) for name in DIAL_OPTIONS)
    way = {"uds": None if uds is None else os.fspath(uds), "resolver": resolver_from(resolver, resolve, dns_cache)}
    return {name: value for name, value in way.items() if value is not None}


def settle_shared(keywords: Keywords) -> None:
    """Let all pools of a manager share what is one: ``resolve`` and ``dns_cache`` become a ``resolver``, ``rate`` too.

    So a host's turns outlive the pool that makes room for another one.
    """
    if keywords.get("rate") is not None:
        from ..policy.rate_limit import rate_from

        keywords["rate"] = rate_from(keywords["rate"])
    resolve, dns_cache = keywords.pop("resolve", None), keywords.pop("dns_cache", None)
    resolver = resolver_from(keywords.pop("resolver", None), resolve, dns_cache)
    if resolver is not None:
        keywords["resolver"] = resolver


class EndpointSettings:
    """What a pool's connections are made by, and what follows when it changes; a pool sets what is declared here."""

    if TYPE_CHECKING:
        scheme: str | None
        host: str
        port: int | None
        proxy: Url | None
        proxy_config: ProxyConfig | None
        proxy_headers: dict[str, str]
        _endpoint_pool: HTTPEndpointPool

    _is_socks: ClassVar[bool] = False  # whether `_socks_options` are the way to the server, or a program's own
    # What few pools have stands here until it is set: a manager may keep hundreds of pools.
    _conn_kw: Keywords = NOTHING
    _dial_options: Keywords = NOTHING
    _is_forwarding = False
    _guard: Guard | None = None
    _was_renewed = False  # whether a setting that decides trust has changed: connections may be by the one before
    _may_change = False  # whether something that decides trust can be changed in place, and what it was when last seen
    _seen: tuple[object, ...] | None = None

    @property
    def conn_kw(self) -> Keywords:
        """The keywords of each new connection that no argument of the pool stands for; they may be changed."""
        if self._conn_kw is USUAL_KW:
            self._conn_kw = dict(USUAL_KW)
        self._watch()
        return self._conn_kw

    @conn_kw.setter
    def conn_kw(self, keywords: Keywords) -> None:
        self._watch()
        self._conn_kw = keywords

    def _watch(self) -> None:
        """Look for settings that were changed in place whenever a connection is lent, from now on."""
        if not self._may_change or self._seen is None:
            self._look_for_changes()
            self._may_change = True

    def _settle_connections(self, keywords: Keywords) -> None:
        """Keep what is left of a pool's keywords, for its connections. BlockedHostError, TypeError."""
        if not keywords.keys().isdisjoint(GUARD_OPTIONS):
            self._guard = self._guarded(keywords)
        self._conn_kw = USUAL_KW if keywords == USUAL_KW else keywords

    def _guarded(self, keywords: Keywords) -> Guard | None:
        """The guard that a pool's keywords ask for, None if they ask for none; it stands before the resolver now.

        BlockedHostError for a pool whose host it refuses. The pool of a proxy that forwards serves many hosts, each
        checked when it is asked for (``request_target``): the proxy is the operator's choice as the way there, as a
        target it is no other.
        """
        hosts, networks = (keywords.pop(name, None) for name in GUARD_OPTIONS)
        if hosts is None and networks is None:
            return None
        from ..policy.ssrf_guard import Guard

        guard = Guard(hosts, networks)
        self._check_own_host(guard)
        if self.proxy is None:
            resolver = guard.wrap_resolver(self._dial_options.get("resolver") or system_lookup)
            self._dial_options = {**self._dial_options, "resolver": resolver}
        return guard

    def _check_own_host(self, guard: Guard) -> None:
        if not (self._is_forwarding and self._is_proxy_itself()):
            guard.check_host(self.host)

    def _is_proxy_itself(self) -> bool:
        """Whether the pool's host is the proxy's."""
        proxy = self.proxy
        return proxy is not None and (bracketed(self.host), self.port) == (bracketed(proxy.host or ""), proxy.port)

    def _forwards(self, proxy: Url) -> bool:
        """Whether the pool's proxy passes requests on, with the whole URL as target.

        A pool of the proxy's own address asks the proxy itself: no tunnel leads from a proxy to itself.
        """
        if self.scheme == proxy.scheme and self._is_proxy_itself():
            return True
        return not connection_requires_http_tunnel(proxy, self.proxy_config, self.scheme)

    # -- the endpoint --

    def _endpoint(self) -> Endpoint:
        """How the pool's connections reach their server. ValueError naming a TLS wish that can't be meant."""
        scheme, keywords, way = self.scheme or "http", self._conn_kw, self._dial_options
        tls = self._tls_settings() if scheme == "https" else None
        return Endpoint(
            scheme,
            self.host,
            self._port_of(scheme),
            uds=way.get("uds"),
            proxy=self._proxy_hop(),
            tls=tls,
            source_address=keywords.get("source_address"),
            socket_options=keywords.get("socket_options"),
            resolver=way.get("resolver"),
        )

    def _port_of(self, scheme: str) -> int:
        """The pool's port; the scheme's own if it names none, 0 for a scheme of somebody's own (a socket's path)."""
        return port_by_scheme.get(scheme, 0) if self.port is None else self.port

    def _tls_settings(self) -> TlsSettings:
        """What the pool wants of TLS with its server."""
        return TlsSettings(**{name: self._tls_setting(name) for name in TLS_SETTINGS})

    def _tls_setting(self, name: str) -> Any:
        """An attribute of the pool, or else the connections' keyword of that name; None: neither."""
        value = getattr(self, name, None)
        return self._conn_kw.get(name) if value is None else value

    def _proxy_hop(self) -> ProxyHop | None:
        options = self._conn_kw.get("_socks_options") if self._is_socks else None  # elsewhere they are a program's own
        if options is not None:
            from ..policy.proxy_rules import socks_hop

            return socks_hop(options)
        proxy, config = self.proxy, self.proxy_config
        if proxy is None:
            return None
        tls = None
        if proxy.scheme == "https":
            ca_certs, ca_cert_dir, data = map(self._tls_setting, ("ca_certs", "ca_cert_dir", "ca_cert_data"))
            tls = proxy_tls_settings(config, ca_certs, ca_cert_dir, data)
        scheme, host, port = cast("tuple[str, str, int]", (proxy.scheme, proxy.host, proxy.port))  # parse_proxy's
        return ProxyHop(scheme, host, port, self.proxy_headers, tls, not self._is_forwarding)

    # -- a new connection --

    def _address(self) -> tuple[str, int | None]:
        """What a new connection dials: the proxy, if there is one. LocationParseError for a host that is a URL."""
        if "://" in self.host:
            raise LocationParseError(f"{self.host!r} is a URL, not a host: see connection_from_url()")
        return (self.host, self.port) if self.proxy is None else (self.proxy.host or "", self.proxy.port)

    def _with_dial_options(self, conn: T) -> T:
        """The new connection, with all that its constructor does not take."""
        options = self._dial_options
        if "uds" in options:
            conn.uds = options["uds"]
        if "resolver" in options:
            conn.resolver = options["resolver"]
        return conn

    # -- settings that change --

    def trust_changed(self, value: object) -> None:
        """Retire the pool's connections after a setting of TLS was assigned, if it means something else now."""
        if isinstance(value, list):
            self._may_change = True
        if "_endpoint_pool" in vars(self) and self._endpoint() != self._endpoint_pool.endpoint:
            self._renew()  # else another spelling of the same

    def _renew(self) -> None:
        """Let no connection that there is serve another request.

        The new endpoint is another object than the one that a connection keeps which is only being made: whoever is
        lent that connection sees it (``_is_outdated``).
        """
        pool = self._endpoint_pool
        self._was_renewed = True
        pool.endpoint = self._endpoint()
        for connection in pool.connections():
            connection.is_outdated = True
        pool.drop_idle("settings changed")

    def _is_outdated(self, connection: Connection) -> bool:
        """Whether a setting of the pool was changed after the connection had been made with it.

        Of a connection that a program has put in nothing is known.
        """
        made_for = connection.made_for
        return isinstance(made_for, Endpoint) and made_for is not self._endpoint_pool.endpoint

    # What can be changed in place: no assignment to the pool tells of it, so it is looked at when a connection is lent.

    def _can_change(self) -> bool:
        """Whether something that decides trust can be changed in place without the pool's being asked for it."""
        config = self.proxy_config
        kinds = (list, dict, set, bytearray)
        return (
            self._conn_kw.get("ssl_context") is not None
            or (config is not None and config.ssl_context is not None)
            or any(isinstance(self._conn_kw.get(name), kinds) for name in TLS_SETTINGS)
            or (self._guard is not None and self._guard.may_change)
        )

    def _look_for_changes(self) -> None:
        """Retire the pool's connections if something was changed in place since the last time; 1 to 3 us.

        BlockedHostError if its host is one that is not allowed any more.
        """
        if self._guard is not None and self._guard.may_change:
            self._check_own_host(self._guard)
        settings = self._settings_now()
        seen = self._seen
        if seen == settings:
            return
        if seen is not None:
            self._renew()
        self._seen = settings  # last, or another thread would be lent a connection that is to be retired

    def _settings_now(self) -> tuple[object, ...]:
        keywords, config, guard = self._conn_kw, self.proxy_config, self._guard
        own, proxys = keywords.get("ssl_context"), None if config is None else config.ssl_context
        return (
            {name: copied(value) for name, value in keywords.items()},
            copied(self._tls_setting("assert_fingerprint")),
            None if self.proxy is None else dict(self.proxy_headers),
            own and _state_of(own),
            proxys and _state_of(proxys),
            guard and guard.given(),
        )


class TlsSetting:
    """An attribute of a pool that belongs to what it wants of TLS.

    Setting it to what means something else retires the connections made before: none of them serves another request.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, pool: EndpointSettings | None, owner: type | None = None) -> Any:
        return self if pool is None else pool.__dict__.get(self._name)

    def __set__(self, pool: EndpointSettings, value: object) -> None:
        held = pool.__dict__
        if self._name not in held or held[self._name] != value:
            held[self._name] = value
            pool.trust_changed(value)


class SettingsChanged(ProtocolError):
    """The connection that was being made is by settings that hold no more; nothing was sent on it."""


def copied(value: object) -> object:
    """The value, or what of it can be changed in place as it is now."""
    return copy(value) if isinstance(value, (list, dict, set, bytearray)) else value


def _state_of(context: ssl.SSLContext) -> tuple[object, ...]:
    from ..net.caller_ssl_context import state_of  # with ssl, which is there already where there is a context

    return state_of(context)


# Proxies


def connection_requires_http_tunnel(
    proxy_url: Url | None = None, proxy_config: ProxyConfig | None = None, destination_scheme: str | None = None
) -> bool:
    """Whether the way to the destination is a tunnel: https, unless an https proxy is trusted to forward it."""
    if proxy_url is None or destination_scheme == "http":
        return False
    return not (proxy_url.scheme == "https" and proxy_config is not None and proxy_config.use_forwarding_for_https)


def proxy_keywords(proxy: Proxy) -> Keywords:
    """A pool's keywords for a proxy; its URL is kept without user and password. ProxySchemeUnknown."""
    from ..policy.proxy_rules import SOCKS_SCHEMES, login_header, parse_proxy, socks_options

    url = parse_proxy(proxy.url)
    if url.scheme in SOCKS_SCHEMES:
        return {"_socks_options": socks_options(url)}
    config = ProxyConfig(
        proxy.ssl_context, proxy.use_forwarding_for_https, proxy.assert_hostname, pins_of(proxy.assert_fingerprint)
    )
    headers = login_header(url, proxy.headers)
    return {"_proxy": url.with_login(None), "_proxy_headers": headers, "_proxy_config": config}


#: ProxyManager's keywords and what a ``Proxy`` calls them.
_PROXY_KEYWORDS = {
    "proxy_headers": "headers",
    "proxy_ssl_context": "ssl_context",
    "use_forwarding_for_https": "use_forwarding_for_https",
    "proxy_assert_hostname": "assert_hostname",
    "proxy_assert_fingerprint": "assert_fingerprint",
}


def take_proxy_defaults(keywords: Keywords, has_proxies: bool) -> Keywords:
    """What holds for proxies that say nothing else, out of a manager's keywords; TypeError where there are none."""
    given = {name: keywords.pop(name) for name in _PROXY_KEYWORDS if name in keywords}
    if given and not has_proxies:
        raise TypeError(f"{next(iter(given))}: for a ProxyManager, or beside proxies=")
    return {_PROXY_KEYWORDS[name]: value for name, value in given.items() if value is not None}


def unix_keywords(host: str, keywords: Mapping[str, object]) -> Keywords:
    """What a pool's ``keywords`` lack for the host of an ``http+unix`` URL: the socket's path, percent-encoded.

    BlockedHostError where they ask for a guard: no socket of this machine is for URLs that strangers hand in.
    """
    if any(keywords.get(name) is not None for name in GUARD_OPTIONS):
        raise BlockedHostError(f"{UNIX_SCHEME}://{host} is no host, and hosts are guarded here")
    return {"uds": unquote(host)}


class _ReachesProxy(Protocol):
    @property
    def has_connected_to_proxy(self) -> bool: ...


def blame_proxy(connection: _ReachesProxy, error: BaseException) -> None:
    """Raise ProxyError if ``error`` came before the proxy was reached: its failures are not the target's."""
    if connection.has_connected_to_proxy or isinstance(error, DeadlineExceededError):
        return
    if not isinstance(error, (OSError, NewConnectionError, TimeoutError, SSLError, HTTPException)):
        return
    blamed = ProxyError("Unable to connect to proxy", error)
    blamed.nothing_sent = True
    raise blamed from error


def error_of_override(error: BaseException) -> HTTPError | None:
    """poollib's error for a plain one that came out of a method a program has replaced; None for any other.

    The modules below map their own at the line of the system call, and what the caller's body raised is the caller's.
    """
    if isinstance(error, HTTPError) or is_from_body(error):
        return None
    from ..net.certificates import CertificateError  # brings hashlib, which plain requests never need

    if is_tls_error(error) or isinstance(error, CertificateError):
        return SSLError(error)
    return ProtocolError("Connection aborted.", error) if isinstance(error, (OSError, HTTPException)) else None


# Warnings

_HERE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def warn_unverified(host: str) -> None:
    """Warn of an unverified request at the line outside this package that led to it, so once for each such line."""
    level, frame = 1, sys._getframe(0)
    while frame.f_code.co_filename.startswith(_HERE) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"Unverified HTTPS request is being made to host '{host}'. Adding certificate verification is strongly"
        " advised.",
        InsecureRequestWarning,
        stacklevel=level,
    )
