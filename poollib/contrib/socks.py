"""SOCKSProxyManager: requests to any host through a SOCKS proxy.

It turns the proxy's URL into the settings of its pools, those of ``socks_connectionpool``; a ``ProxyManager`` or a
``PoolManager(proxies=...)`` takes the same URLs.  What each scheme means stands in ``policy/proxy_rules``, the
protocols in ``net``.  The interface is that of ``urllib3.contrib.socks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ..base.loggers import shown_url
from ..base.url import parse_url
from ..policy.proxy_rules import SOCKS_SCHEMES, socks_options
from ..poolmanager import PoolManager
from ..socks_connectionpool import SOCKSConnection as SOCKSConnection
from ..socks_connectionpool import SOCKSHTTPConnectionPool as SOCKSHTTPConnectionPool
from ..socks_connectionpool import SOCKSHTTPSConnection as SOCKSHTTPSConnection
from ..socks_connectionpool import SOCKSHTTPSConnectionPool as SOCKSHTTPSConnectionPool
from ..socks_connectionpool import pool_classes_by_scheme as socks_pool_classes

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..client.keyword_types import SocksManagerKeywords


class SOCKSProxyManager(PoolManager):
    """As PoolManager, through the SOCKS proxy at ``proxy_url``: ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``.

    ``username``, ``password``: for the proxy, where its URL has none. ValueError for another scheme.
    """

    pool_classes_by_scheme = socks_pool_classes

    def __init__(
        self,
        proxy_url: str,
        username: str | None = None,
        password: str | None = None,
        num_pools: int = 10,
        headers: Mapping[str, str] | None = None,
        **connection_pool_kw: Unpack[SocksManagerKeywords],
    ) -> None:
        parsed = parse_url(proxy_url)
        if parsed.scheme not in SOCKS_SCHEMES:
            raise ValueError(f"Unable to determine SOCKS version from {shown_url(proxy_url)}")
        self.proxy_url = proxy_url
        keywords = cast("dict[str, Any]", connection_pool_kw)
        keywords["_socks_options"] = socks_options(parsed, username, password)
        super().__init__(num_pools, headers, **keywords)
        self.pool_classes_by_scheme = SOCKSProxyManager.pool_classes_by_scheme


# -- urllib3 names --

from ..policy.proxy_rules import SocksOptions as _TYPE_SOCKS_OPTIONS  # noqa: E402, F401
