"""Targets: which URLs are a pool's own, and what to ask its server for.

``ConnectionPool`` is urllib3's base of all pools: a host and a port. :class:`RequestTargets` says of a URL whether it
is that host's, makes the request target of it, in the form that a forwarding proxy wants where there is one, and
resolves what a redirect points to. Sending is left to ``connectionpool``, the URL's own rules to ``url``; whether a
proxy forwards was settled by ``endpoint_builder``. Sources: RFC 9112 section 3.2, RFC 9110 sections 4.3 and 10.2.2.
"""

from __future__ import annotations

import queue
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ..base.exact_values import exact, whole
from ..base.headers import HTTPHeaderDict
from ..base.url import Url, bracketed, encode_target, join, normalize_host, parse_url, without_zone
from ..exceptions import HostChangedError, LocationValueError
from ..exchange.proxy_config import ProxyConfig
from ..exchange.transport import port_by_scheme
from ..policy.redirect import names_no_host
from ..policy.retry import Retry
from .endpoint_builder import EndpointSettings, connection_requires_http_tunnel

if TYPE_CHECKING:
    from typing_extensions import Self


class ConnectionPool:
    """What all pools have: a host, a port, and a ``with`` block that closes them."""

    scheme: str | None = None
    QueueCls: ClassVar[type[queue.Queue[Any]]] = queue.LifoQueue

    def __init__(self, host: str, port: int | None = None) -> None:
        host = exact(host)
        if not host:
            raise LocationValueError("No host specified.")
        port = None if port is None else _port_number(port)
        # A URL is no host, but fails as late as in urllib3: when a connection is made.
        is_url = "://" in host and "@" not in host
        normal = host if is_url else cast(str, normalize_host(host, self.scheme))
        # Rather one text than two equal ones; an address without brackets, as http.client wants it.
        self._tunnel_host = host if normal == host else normal
        self.host = self._tunnel_host.strip("[]") if self._tunnel_host[0] == "[" else self._tunnel_host
        self.port = port

    def __str__(self) -> str:
        return f"{type(self).__name__}(host={self.host!r}, port={self.port!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what the pool holds."""

    def _new_pool_queue(self, maxsize: int) -> queue.Queue[Any]:
        return self.QueueCls(maxsize)


def _port_number(port: Any) -> int:
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port[:6])  # as it stands in a URL
    with suppress(TypeError):
        number = whole("port", port)
        if 0 <= number <= 65535:
            return number
    raise LocationValueError(f"port must be None or a number from 0 to 65535, not {port!r}")


class RequestTargets(EndpointSettings, ConnectionPool):
    """The URLs of a pool's host, as the pool and the loop of ``request_loop`` ask for them."""

    # What few pools have stands here until it is set: a manager may keep hundreds of pools.
    proxy: Url | None = None
    proxy_config: ProxyConfig | None = None
    proxy_headers: dict[str, str] = cached_property(lambda self: {})  # type: ignore[assignment]

    def is_same_host(self, url: str) -> bool:
        """Whether ``url`` is a path, "*", or an absolute URL with this pool's scheme, host and port."""
        url = exact(url)
        if names_no_host(url):
            return True
        scheme, _auth, host, port, *_ = parse_url(url)
        scheme = scheme or "http"
        if host is not None:
            host = normalize_host(host, scheme)
        own_port = self.port
        if own_port is not None and port is None:
            port = port_by_scheme.get(scheme)
        elif own_port is None and port == port_by_scheme.get(scheme):
            port = None
        is_same = host == self.host or (host is not None and host == f"[{self.host}]")  # IPv6 as pools may name it
        return is_same and (scheme, port) == (self.scheme, own_port)

    def _target(self, url: str, assert_same_host: bool, retries: Retry) -> str:
        """What is asked for: an encoded path, or the whole URL where it was given, or for a forwarding proxy.

        A zone and userinfo stay here (RFC 6874 section 4, RFC 9110 section 4.2.4). "*" is the server as a whole, which
        a proxy is told by a URL without a path (RFC 9112 section 3.2.4).
        """
        if url[:1] == "/" or url == "*":
            target = encode_target(url)
            if not self._is_forwarding:
                return target
            if self._guard is not None:
                self._guard.check_host(self.host)
            if self._is_proxy_itself():
                return target
            port = None if self.port == port_by_scheme.get(self.scheme or "") else self.port
            return Url(scheme=self.scheme, host=without_zone(bracketed(self.host)), port=port).url + _path_of(target)
        if assert_same_host and not self.is_same_host(url):
            raise HostChangedError(self, url, cast(Any, retries))
        parsed = parse_url(url)
        if self._guard is not None and parsed.host:
            self._guard.check_host(parsed.host)
        host = None if parsed.host is None else without_zone(parsed.host)
        return Url(parsed.scheme, None, host, parsed.port, parsed.path or "/", parsed.query).url

    def _line_target(self, url: str, assert_same_host: bool, retries: Retry) -> str:
        """What the request line says of a URL."""
        return self._on_the_line(self._target(url, assert_same_host, retries))

    def _on_the_line(self, target: str) -> str:
        """The target in the request line: of a whole URL the path, unless a proxy is asked (RFC 9112 section 3.2.1)."""
        return target if names_no_host(target) or self._is_forwarding else parse_url(target).request_uri

    def _with_proxy_headers(self, headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """A forwarded request carries what the proxy wants to know; a tunnelled one never does."""
        merged = HTTPHeaderDict(headers)
        merged.setdefault("Accept", "*/*")
        for name, value in self.proxy_headers.items():
            merged[name] = value
        return merged

    def _redirect_target(self, url: str, location: str) -> str:
        target = join(self._absolute(url), location)
        if not self.is_same_host(target) and not self._may_forward(target):
            raise HostChangedError(self, location, 0)
        is_path = location[:1] == "/" and location[:2] != "//"
        ask = self._line_target if is_path else self._target
        return ask(target, False, Retry.DEFAULT)

    def _absolute(self, target: str) -> str:
        """The URL of one of this pool's targets."""
        return f"{self.scheme}://{_authority_of(self)}{_path_of(target)}" if names_no_host(target) else target

    def _may_forward(self, url: str) -> bool:
        """Whether this pool's connections lead to a proxy that passes on requests for this URL."""
        if not self._is_forwarding or not self._is_proxy_itself():
            return False
        scheme = url.partition(":")[0].lower()
        return not connection_requires_http_tunnel(self.proxy, self.proxy_config, scheme)


def _path_of(target: str) -> str:
    """The path of a target that names no host: "*" has none."""
    return "" if target == "*" else target


def _authority_of(pool: ConnectionPool) -> str:
    host = bracketed(pool.host)
    return f"{host}:{pool.port}" if pool.port else host
