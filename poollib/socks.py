"""SOCKSProxyManager: requests to any host through a SOCKS proxy.

Its pools hold connections that dial the proxy and ask it, by ``tunnel``, for the way to the host; what follows (TLS,
requests) is every other connection's.  Names are resolved here for ``socks4`` and ``socks5``, by the proxy for
``socks4a`` and ``socks5h``.  The protocols are ``tunnel``'s business, the interface is that of ``urllib3.contrib.socks``.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from typing import Any, Final, TypedDict, cast

from . import dial
from .connection import HTTPConnection, HTTPSConnection
from .connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from .endpoint import ProxyHop
from .poolmanager import PoolManager
from .tunnel import socks_connect
from .url import parse_url

DEFAULT_PORT: Final = 1080  # RFC 1928 section 3

SOCKS4: Final = 1  # PySocks's numbers, which callers of urllib3 use
SOCKS5: Final = 2


class _TYPE_SOCKS_OPTIONS(TypedDict):
    """The way to a SOCKS proxy; ``rdns``: names are resolved there."""

    socks_version: int
    proxy_host: str | None
    proxy_port: str | int | None
    username: str | None
    password: str | None
    rdns: bool


# A scheme's protocol, and whether the proxy resolves names.
_SCHEMES: Final = {
    "socks4": (SOCKS4, False),
    "socks4a": (SOCKS4, True),
    "socks5": (SOCKS5, False),
    "socks5h": (SOCKS5, True),
}


class SOCKSConnection(HTTPConnection):
    """A connection that reaches its host through a SOCKS proxy."""

    def __init__(self, _socks_options: _TYPE_SOCKS_OPTIONS, *args: Any, **kwargs: Any) -> None:
        self._socks_options = _socks_options
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        """A socket behind which the host answers. ConnectTimeoutError, NewConnectionError."""
        sys.audit("http.client.connect", self, self.host, self.port)
        hop = _hop(self._socks_options)
        timeout_s = self._connect_timeout_s("connecting")
        sock = dial.connect(
            hop.host,
            hop.port,
            timeout_s=timeout_s,
            source_address=self.source_address,
            socket_options=self.socket_options,
            owner=self,
        )
        try:
            remaining_s = self._connect_timeout_s("tunnelling")
            socks_connect(
                sock, hop, self._dns_host, self.port, timeout_s=remaining_s, resolve=dial.addresses, owner=self
            )
        except BaseException:
            sock.close()
            raise
        return sock


def _hop(options: _TYPE_SOCKS_OPTIONS) -> ProxyHop:
    wanted = (options["socks_version"], bool(options["rdns"]))
    scheme = next(name for name, meaning in _SCHEMES.items() if meaning == wanted)
    return ProxyHop(
        scheme,
        options["proxy_host"] or "localhost",
        int(options["proxy_port"] or DEFAULT_PORT),
        username=options["username"],
        password=options["password"],
    )


class SOCKSHTTPSConnection(SOCKSConnection, HTTPSConnection):
    """As SOCKSConnection, with TLS to the host."""


class SOCKSHTTPConnectionPool(HTTPConnectionPool):
    """A pool of SOCKSConnection; it takes ``_socks_options``."""

    ConnectionCls = SOCKSConnection


class SOCKSHTTPSConnectionPool(HTTPSConnectionPool):
    """A pool of SOCKSHTTPSConnection; it takes ``_socks_options``."""

    ConnectionCls = SOCKSHTTPSConnection


class SOCKSProxyManager(PoolManager):
    """As PoolManager, through the SOCKS proxy at ``proxy_url``: ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``.

    ``username``, ``password``: for the proxy, where its URL has none. ValueError for another scheme.
    """

    pool_classes_by_scheme = {  # noqa: RUF012 - urllib3's public name
        "http": SOCKSHTTPConnectionPool,
        "https": SOCKSHTTPSConnectionPool,
    }

    def __init__(
        self,
        proxy_url: str,
        username: str | None = None,
        password: str | None = None,
        num_pools: int = 10,
        headers: Mapping[str, str] | None = None,
        **connection_pool_kw: Any,
    ) -> None:
        parsed = parse_url(proxy_url)
        if username is None and password is None and parsed.auth is not None:
            username, password = parsed.auth_decoded
        if parsed.scheme not in _SCHEMES:
            raise ValueError(f"Unable to determine SOCKS version from {proxy_url}")
        version, rdns = _SCHEMES[parsed.scheme]
        self.proxy_url = proxy_url
        connection_pool_kw["_socks_options"] = {
            "socks_version": version,
            "proxy_host": parsed.host,
            "proxy_port": parsed.port,
            "username": username,
            "password": password,
            "rdns": rdns,
        }
        super().__init__(num_pools, headers, **connection_pool_kw)
        self.pool_classes_by_scheme = cast(Any, SOCKSProxyManager.pool_classes_by_scheme)
