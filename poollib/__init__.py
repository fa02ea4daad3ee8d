"""poollib: a thread-safe HTTP/1.1 client with connection pools, in pure standard library.

The public names and nothing else. urllib3's names are here under the same names; poollib's own beside them. Importing
the package imports no module: a name brings its module when it is first asked for, and is an ordinary name from then
on."""

from __future__ import annotations

import collections.abc  # noqa: F401 - in CPython 3.13.0 threads that import it at once may find it without its names
import os
import sys

TYPE_CHECKING = False  # typing's own would cost more than the rest of this import
if TYPE_CHECKING:
    # The modules that urllib3 users reach as attributes of the package, and the public names.
    from . import connection as connection
    from . import connectionpool as connectionpool
    from . import contrib as contrib
    from . import exceptions
    from . import fields as fields
    from . import filepost as filepost
    from . import poolmanager as poolmanager
    from . import response as response
    from . import util as util
    from .base.headers import HTTPHeaderDict
    from .base.timeout import Timeout
    from .base.trace import RequestInfo, RequestLogFilter, Trace
    from .compat import install_as_urllib3, uninstall_as_urllib3
    from .connectionpool import HTTPConnectionPool, HTTPSConnectionPool, connection_from_url
    from .extras.download import download
    from .extras.event_source import EventSource
    from .extras.package_functions import add_stderr_logger, disable_warnings, request
    from .http1.grammar import Limits
    from .http1.multipart import encode_multipart_formdata
    from .http1.request_body import make_headers
    from .policy.circuit_breaker import CircuitBreaker
    from .policy.proxy_rules import Proxy
    from .policy.rate_limit import RateLimit
    from .policy.retry import Retry
    from .policy.retry_budget import RetryBudget
    from .poolmanager import Client, PoolManager, ProxyManager, proxy_from_url
    from .response import BaseHTTPResponse, HTTPResponse

__version__: str  # base.version has it

__all__ = [
    "BaseHTTPResponse",
    "CircuitBreaker",
    "Client",
    "EventSource",
    "HTTPConnectionPool",
    "HTTPHeaderDict",
    "HTTPResponse",
    "HTTPSConnectionPool",
    "Limits",
    "PoolManager",
    "Proxy",
    "ProxyManager",
    "RateLimit",
    "RequestInfo",
    "RequestLogFilter",
    "Retry",
    "RetryBudget",
    "Timeout",
    "Trace",
    "add_stderr_logger",
    "connection_from_url",
    "disable_warnings",
    "download",
    "encode_multipart_formdata",
    "exceptions",
    "install_as_urllib3",
    "make_headers",
    "proxy_from_url",
    "request",
    "uninstall_as_urllib3",
]

# Each public name's module, as the imports above tell type checkers.
_MODULES = {
    "BaseHTTPResponse": "response",
    "CircuitBreaker": "policy.circuit_breaker",
    "Client": "poolmanager",
    "EventSource": "extras.event_source",
    "HTTPConnectionPool": "connectionpool",
    "HTTPHeaderDict": "base.headers",
    "HTTPResponse": "response",
    "HTTPSConnectionPool": "connectionpool",
    "Limits": "http1.grammar",
    "PoolManager": "poolmanager",
    "Proxy": "policy.proxy_rules",
    "ProxyManager": "poolmanager",
    "RateLimit": "policy.rate_limit",
    "RequestInfo": "base.trace",
    "RequestLogFilter": "base.trace",
    "Retry": "policy.retry",
    "RetryBudget": "policy.retry_budget",
    "Timeout": "base.timeout",
    "Trace": "base.trace",
    "add_stderr_logger": "extras.package_functions",
    "connection_from_url": "connectionpool",
    "disable_warnings": "extras.package_functions",
    "download": "extras.download",
    "encode_multipart_formdata": "http1.multipart",
    "install_as_urllib3": "compat",
    "make_headers": "http1.request_body",
    "proxy_from_url": "poolmanager",
    "request": "extras.package_functions",
    "uninstall_as_urllib3": "compat",
}

# Those of urllib3's module paths that are no modules; `compat` has them.
_URLLIB3_PATHS = frozenset(
    [
        "_base_connection",
        "_collections",
        "_request_methods",
        "_version",
        "contrib",
        "fields",
        "filepost",
        "http2",
        "util",
    ]
)


if not TYPE_CHECKING:  # checkers know the names by the imports above, and that there are no others

    def __getattr__(name: str) -> object:
        """A public name, fetched from its module and kept here; or a module, or one of urllib3's modules."""
        from importlib import import_module

        if name in _MODULES:
            value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
            return globals().setdefault(name, value)
        if name == "__version__":
            from .base.version import VERSION

            return globals().setdefault(name, VERSION)
        if name in _URLLIB3_PATHS:
            return import_module(f"{__name__}.compat").own_module(name)
        if not name.startswith("_"):
            module = f"{__name__}.{name}"
            try:
                return import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _before_fork() -> None:
    """Let no other thread be importing what the child may need: it would wait for that thread for ever."""
    threading = sys.modules.get("threading")
    is_used = any(f"{__name__}.{module}" in sys.modules for module in _MODULES.values())
    if is_used and threading is not None and threading.active_count() > 1:
        from .base.fork_preload import load

        load()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
