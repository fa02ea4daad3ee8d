"""poollib: a thread-safe HTTP/1.1 client with connection pools, in pure standard library.

The public names and nothing else. urllib3's names are here under the same names; poollib's own beside them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from . import exceptions
from .circuit import CircuitBreaker
from .connectionpool import HTTPConnectionPool, HTTPSConnectionPool, connection_from_url
from .headers import HTTPHeaderDict
from .multipart import encode_multipart_formdata
from .poolmanager import PoolManager, ProxyManager, proxy_from_url
from .requestparts import make_headers
from .response import BaseHTTPResponse, HTTPResponse
from .retry import Retry
from .retrybudget import RetryBudget
from .timeout import Timeout
from .trace import Trace

if TYPE_CHECKING:
    from .compat import install_as_urllib3, uninstall_as_urllib3
    from .downloads import download
    from .eventsource import EventSource

__version__ = "0.1.0"

__all__ = [
    "BaseHTTPResponse",
    "CircuitBreaker",
    "EventSource",
    "HTTPConnectionPool",
    "HTTPHeaderDict",
    "HTTPResponse",
    "HTTPSConnectionPool",
    "PoolManager",
    "ProxyManager",
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

_logger_name = __name__  # "urllib3" as long as poollib is installed as that
logging.getLogger(_logger_name).addHandler(logging.NullHandler())

_DEFAULT_POOL = PoolManager()


def request(
    method: str,
    url: str,
    *,
    body: Any = None,
    fields: Any = None,
    headers: Any = None,
    preload_content: bool | None = True,
    decode_content: bool | None = True,
    redirect: bool | None = True,
    retries: Any = None,
    timeout: Any = 3,
    json: Any = None,
) -> BaseHTTPResponse:
    """The response to one request, through a manager that the whole process shares; 3 seconds a step at most."""
    response: BaseHTTPResponse = _DEFAULT_POOL.request(
        method,
        url,
        body=body,
        fields=fields,
        headers=headers,
        preload_content=preload_content,
        decode_content=decode_content,
        redirect=redirect,
        retries=retries,
        timeout=timeout,
        json=json,
    )
    return response


def add_stderr_logger(level: int = logging.DEBUG) -> logging.StreamHandler[Any]:
    """Log to standard error from now on; gives the handler, for taking it away again."""
    logger = logging.getLogger(_logger_name)
    handler: logging.StreamHandler[Any] = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.debug("Added a stderr logging handler to logger: %s", _logger_name)
    return handler


def disable_warnings(category: type[Warning] = exceptions.HTTPWarning) -> None:
    """Silence poollib's warnings of ``category``."""
    import warnings

    warnings.simplefilter("ignore", category)


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


def __getattr__(name: str) -> Any:
    """What few programs ask for, imported then: the faces, urllib3's other modules, and taking its place."""
    if name == "download":
        from .downloads import download

        return download
    if name == "EventSource":
        from .eventsource import EventSource

        return EventSource
    if name in _URLLIB3_PATHS or name in ("install_as_urllib3", "uninstall_as_urllib3"):
        from .compat import attribute

        return attribute(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
