"""Connections through a SOCKS proxy, and their pools.

They dial the proxy and ask it for a connection to the host; what follows (TLS, requests) is every other connection's.
Names are resolved here for ``socks4`` and ``socks5``, by the proxy for ``socks4a`` and ``socks5h``. The protocol is
left to ``net``, the meaning of a proxy's URL to ``policy/proxy_rules``. The classes are those of urllib3.contrib.socks.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from .connection import HTTPConnection, HTTPSConnection
from .connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from .net.dns import AddrInfo, addresses_within
from .net.socks_tunnel import socks_connect
from .policy.proxy_rules import SocksOptions, socks_hop


class SOCKSConnection(HTTPConnection):
    """A connection that reaches its host through a SOCKS proxy."""

    def __init__(self, _socks_options: SocksOptions, *args: Any, **kwargs: Any) -> None:
        self._socks_options = _socks_options
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        """A socket behind which the host answers. ConnectTimeoutError, NewConnectionError."""
        sys.audit("http.client.connect", self, self.host, self.port)
        hop = socks_hop(self._socks_options)
        opening = self._opening = self._opening or self._started_opening()
        sock = self._dial(hop.host, hop.port, getattr(self.resolver, "unguarded", None))  # the operator's choice
        try:
            with opening.step("tunnel", self._dns_host, self.port) as timeout_s:
                socks_connect(
                    sock, hop, self._dns_host, self.port, timeout_s=timeout_s, resolve=self._resolve, owner=self
                )
        except BaseException:
            sock.close()
            raise
        return sock

    def proxies_passed(self) -> tuple[object, ...]:
        return (*super().proxies_passed(), sorted(self._socks_options.items()))

    def _resolve(self, host: str, port: int) -> list[AddrInfo]:
        """The host's addresses, in the time that is left for connecting."""
        opening = self._opening or self._started_opening()
        timeout_s = opening.left_s("resolving")
        return addresses_within(host, port, timeout_s=timeout_s, resolver=self.resolver, owner=self)

    own_dialling = (_new_conn,)


class SOCKSHTTPSConnection(SOCKSConnection, HTTPSConnection):
    """As SOCKSConnection, with TLS to the host."""


class SOCKSHTTPConnectionPool(HTTPConnectionPool):
    """A pool of SOCKSConnection; it takes ``_socks_options``."""

    ConnectionCls = SOCKSConnection
    _is_socks = True


class SOCKSHTTPSConnectionPool(HTTPSConnectionPool):
    """A pool of SOCKSHTTPSConnection; it takes ``_socks_options``."""

    ConnectionCls = SOCKSHTTPSConnection
    _is_socks = True


pool_classes_by_scheme: dict[str, type[HTTPConnectionPool]] = {
    "http": SOCKSHTTPConnectionPool,
    "https": SOCKSHTTPSConnectionPool,
}
