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
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, cast
from urllib.parse import unquote

from ..base.endpoint import Endpoint, ProxyHop, TlsSettings, pins_of
from ..base.tls_errors import is_tls_error
from ..base.url import Url
from ..exceptions import (
    BlockedHostError,
    DeadlineExceededError,
    HTTPError,
    InsecureRequestWarning,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,
    is_from_body,
)
from ..exchange.proxy_config import ProxyConfig, proxy_tls_settings
from ..exchange.tls_transport import TlsTransport
from ..exchange.transport import Transport, port_by_scheme
from ..net.dns import resolver_from, system_lookup

if TYPE_CHECKING:
    from ..policy.proxy_rules import Proxy
    from ..policy.ssrf_guard import Guard
    from ..pool.connection_pool import EndpointPool

#: Keywords of a pool: ``uds``, the path of a Unix socket to dial; ``resolver``, ``resolve`` and ``dns_cache``, see
#: ``dns.CachingResolver``.
DIAL_OPTIONS: Final = ("uds", "resolver", "resolve", "dns_cache")
#: Keywords of a pool that keep its requests from hosts and addresses: see ``ssrf_guard``.
GUARD_OPTIONS: Final = ("allowed_hosts", "blocked_networks")

#: the scheme of URLs whose host is the path of a Unix socket, percent-encoded
UNIX_SCHEME: Final = "http+unix"


class PoolSettings(Protocol):
    """What is read of a pool's settings here, and what is noted of them."""

    scheme: str
    host: str
    port: int | None
    proxy: Url | None
    proxy_config: ProxyConfig | None
    proxy_headers: dict[str, str]
    _conn_kw: dict[str, Any]
    _dial_options: dict[str, Any]
    _endpoint_pool: EndpointPool[Any, Any]
    _guard: Guard | None
    _is_forwarding: bool
    _is_socks: ClassVar[bool]
    _may_change: bool
    _settings: tuple[Any, ...] | None
    _was_renewed: bool

    def _is_proxy_itself(self) -> bool:
        """Whether its host is the proxy's."""


def take_dial_options(keywords: dict[str, Any]) -> dict[str, Any]:
    """What a pool sets on its connections, taken out of its keywords: those of ``DIAL_OPTIONS`` that say anything."""
    uds, resolver, resolve, dns_cache = (keywords.pop(name, None) for name in DIAL_OPTIONS)
    way = {"uds": None if uds is None else os.fspath(uds), "resolver": resolver_from(resolver, resolve, dns_cache)}
    return {name: value for name, value in way.items() if value is not None}


def settle_names(keywords: dict[str, Any]) -> None:
    """Let all pools of a manager share one resolver: ``resolve`` and ``dns_cache`` become a ``resolver``."""
    resolve, dns_cache = keywords.pop("resolve", None), keywords.pop("dns_cache", None)
    resolver = resolver_from(keywords.pop("resolver", None), resolve, dns_cache)
    if resolver is not None:
        keywords["resolver"] = resolver


def refuse_unknown(connection_class: type[Transport], keywords: Mapping[str, object]) -> None:
    """TypeError for a pool's keyword that its connections do not take; what a class of somebody's own takes is unknown.

    Without this the first request would say it.
    """
    init = connection_class.__init__
    if init is Transport.__init__ or init is TlsTransport.__init__:
        code = init.__code__
        unknown = keywords.keys() - set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
        if unknown:
            raise TypeError(
                f"no keyword of pools for {connection_class.scheme}: {', '.join(map(repr, sorted(unknown)))}"
            )


def guarded(pool: PoolSettings, keywords: dict[str, Any]) -> Guard | None:
    """The guard that a pool's keywords ask for, None if they ask for none; it stands before the pool's resolver now.

    BlockedHostError for a pool whose host it refuses. The pool of a proxy that forwards serves many hosts, each checked
    when it is asked for (``request_target``): the proxy is the operator's choice as the way there, as a target it is no
    other."""
    hosts, networks = (keywords.pop(name, None) for name in GUARD_OPTIONS)
    if hosts is None and networks is None:
        return None
    from ..policy.ssrf_guard import Guard

    guard = Guard(hosts, networks)
    _check_own_host(pool, guard)
    if pool.proxy is None:
        pool._dial_options = {
            **pool._dial_options,
            "resolver": guard.wrap_resolver(pool._dial_options.get("resolver") or system_lookup),
        }
    return guard


def _check_own_host(pool: PoolSettings, guard: Guard) -> None:
    if not (pool._is_forwarding and pool._is_proxy_itself()):
        guard.check_host(pool.host)


# The endpoint


def endpoint_of(pool: PoolSettings) -> Endpoint:
    """How the pool's connections reach their server. ValueError naming a TLS wish that can't be meant."""
    scheme, keywords, way = pool.scheme or "http", pool._conn_kw, pool._dial_options
    tls = tls_settings_of(pool) if scheme == "https" else None
    return Endpoint(
        scheme,
        pool.host,
        port_of(pool, scheme),
        uds=way.get("uds"),
        proxy=_hop_of(pool),
        tls=tls,
        source_address=keywords.get("source_address"),
        socket_options=keywords.get("socket_options"),
        resolver=way.get("resolver"),
    )


def port_of(pool: PoolSettings, scheme: str) -> int:
    """The pool's port; the scheme's own if it names none, 0 for a scheme of somebody's own making (a socket's path)."""
    port: int | None = pool.port
    return port_by_scheme.get(scheme, 0) if port is None else port


def tls_settings_of(pool: PoolSettings) -> TlsSettings:
    """What a pool wants of TLS with its server."""
    keywords = pool._conn_kw
    named = {name: getattr(pool, name, None) for name in TlsSettings._fields}
    return TlsSettings(**{name: keywords.get(name) if value is None else value for name, value in named.items()})


def _hop_of(pool: PoolSettings) -> ProxyHop | None:
    options = pool._conn_kw.get("_socks_options") if pool._is_socks else None  # elsewhere they are a program's own
    if options is not None:
        from ..policy.proxy_rules import socks_hop

        return socks_hop(options)
    proxy, config = pool.proxy, pool.proxy_config
    if proxy is None:
        return None
    tls = None
    if proxy.scheme == "https":
        authorities = {name: getattr(pool, name, None) for name in ("ca_certs", "ca_cert_dir")}
        tls = proxy_tls_settings(config, ca_cert_data=pool._conn_kw.get("ca_cert_data"), **authorities)
    tunnels = not pool._is_forwarding
    scheme, host, port = cast("tuple[str, str, int]", (proxy.scheme, proxy.host, proxy.port))  # parse_proxy's
    return ProxyHop(scheme, host, port, pool.proxy_headers, tls, tunnels)


class TlsSetting:
    """An attribute of a pool that belongs to what it wants of TLS.

    Setting it to what means something else retires the connections made before: none of them serves another request.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, pool: PoolSettings, owner: type | None = None) -> Any:
        return self if pool is None else pool.__dict__.get(self._name)

    def __set__(self, pool: PoolSettings, value: object) -> None:
        held = pool.__dict__
        if self._name in held and held[self._name] == value:
            return
        held[self._name] = value
        if isinstance(value, list):
            pool._may_change = True
        if (
            "_endpoint_pool" in held and endpoint_of(pool) != pool._endpoint_pool.endpoint
        ):  # else another spelling of the same
            _renew(pool)


def _renew(pool: PoolSettings) -> None:
    """Let no connection that there is serve another request.

    The new endpoint is another object than the one that a connection keeps which is only being made: whoever is lent
    that connection sees it (``is_outdated``).
    """
    lending = pool._endpoint_pool
    pool._was_renewed = True
    lending.endpoint = endpoint_of(pool)
    for connection in lending.connections():
        connection.outdated = True
    lending.drop_idle("settings changed")


class SettingsChanged(ProtocolError):
    """The connection that was being made is by settings that hold no more; nothing was sent on it."""


def is_outdated(pool: PoolSettings, connection: Any) -> bool:
    """Whether a setting of the pool was changed after the connection had been made with it."""
    made_for = getattr(
        connection, "made_for", None
    )  # of a connection that a program put in, or a mock, nothing is known
    return isinstance(made_for, Endpoint) and made_for is not pool._endpoint_pool.endpoint


# What can be changed in place: no assignment to the pool tells of it, so it is looked at when a connection is lent.


def may_change(pool: PoolSettings) -> bool:
    """Whether something that decides trust can be changed in place without the pool's being asked for it."""
    config = pool.proxy_config
    kinds = (list, dict, set, bytearray)
    return (
        pool._conn_kw.get("ssl_context") is not None
        or (config is not None and config.ssl_context is not None)
        or any(isinstance(pool._conn_kw.get(name), kinds) for name in TlsSettings._fields)
        or (pool._guard is not None and pool._guard.may_change)
    )


def look_for_changes(pool: PoolSettings) -> None:
    """Retire the pool's connections if something was changed in place since the last time; 1 to 3 us.

    BlockedHostError if its host is one that is not allowed any more.
    """
    if pool._guard is not None and pool._guard.may_change:
        _check_own_host(pool, pool._guard)
    settings = _settings_of(pool)
    seen = pool._settings
    if seen == settings:
        return
    if seen is not None:
        _renew(pool)
    pool._settings = settings  # last, or another thread would be lent a connection that is to be retired


def _settings_of(pool: PoolSettings) -> tuple[Any, ...]:
    keywords, config, guard = pool._conn_kw, pool.proxy_config, pool._guard
    own, proxys = keywords.get("ssl_context"), None if config is None else config.ssl_context
    return (
        {name: copied(value) for name, value in keywords.items()},
        copied(getattr(pool, "assert_fingerprint", None)),
        None if pool.proxy is None else dict(pool.proxy_headers),
        own and _state_of(own),
        proxys and _state_of(proxys),
        guard and guard.given(),
    )


def copied(value: Any) -> Any:
    """The value, or what of it can be changed in place as it is now."""
    return copy(value) if isinstance(value, (list, dict, set, bytearray)) else value


def _state_of(context: Any) -> tuple[Any, ...]:
    from ..net.caller_context import state_of  # with ssl, which is there already where there is a context

    return state_of(context)


# Proxies


def connection_requires_http_tunnel(
    proxy_url: Url | None = None, proxy_config: ProxyConfig | None = None, destination_scheme: str | None = None
) -> bool:
    """Whether the way to the destination is a tunnel: https, unless an https proxy is trusted to forward it."""
    if proxy_url is None or destination_scheme == "http":
        return False
    return not (proxy_url.scheme == "https" and proxy_config is not None and proxy_config.use_forwarding_for_https)


def forwards(pool: PoolSettings) -> bool:
    """Whether the pool's proxy passes requests on, with the whole URL as target.

    A pool of the proxy's own address asks the proxy itself: no tunnel leads from a proxy to itself.
    """
    proxy = pool.proxy
    assert proxy is not None
    if (pool.scheme, pool.host, pool.port) == (proxy.scheme, proxy.host, proxy.port):
        return True
    return not connection_requires_http_tunnel(proxy, pool.proxy_config, pool.scheme)


def proxy_keywords(proxy: Proxy) -> dict[str, Any]:
    """A pool's keywords for a proxy; its URL is kept without user and password. ProxySchemeUnknown."""
    from ..policy.proxy_rules import SOCKS_SCHEMES, login_header, parse_proxy, socks_options

    url = parse_proxy(proxy.url)
    if url.scheme in SOCKS_SCHEMES:
        return {"_socks_options": socks_options(url)}
    config = ProxyConfig(
        proxy.ssl_context, proxy.use_forwarding_for_https, proxy.assert_hostname, pins_of(proxy.assert_fingerprint)
    )
    headers = login_header(url, proxy.headers)
    return {"_proxy": url._replace(auth=None), "_proxy_headers": headers, "_proxy_config": config}


def unix_keywords(host: str, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """What a pool's ``keywords`` lack for the host of an ``http+unix`` URL: the socket's path, percent-encoded.

    BlockedHostError where they ask for a guard: no socket of this machine is for URLs that strangers hand in.
    """
    if any(keywords.get(name) is not None for name in GUARD_OPTIONS):
        raise BlockedHostError(f"{UNIX_SCHEME}://{host} is no host, and hosts are guarded here")
    return {"uds": unquote(host)}


def blame_proxy(connection: Any, error: BaseException) -> None:
    """Raise ProxyError if ``error`` came before the proxy was reached: its failures are not the target's."""
    if getattr(connection, "has_connected_to_proxy", True) or isinstance(error, DeadlineExceededError):
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
