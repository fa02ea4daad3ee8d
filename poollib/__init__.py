"""poollib: a thread-safe HTTP/1.1 client with connection pools, in pure standard library.

The public names and nothing else. urllib3's names are here under the same names; poollib's own beside them.
"""

from __future__ import annotations

import logging
from typing import Any

from . import exceptions
from .connectionpool import HTTPConnectionPool, HTTPSConnectionPool, connection_from_url
from .headers import HTTPHeaderDict
from .multipart import encode_multipart_formdata
from .poolmanager import PoolManager, ProxyManager, proxy_from_url
from .request import make_headers
from .response import BaseHTTPResponse, HTTPResponse
from .retry import Retry
from .timeout import Timeout
from .trace import Trace

__version__ = "0.1.0"

__all__ = [
    "BaseHTTPResponse",
    "HTTPConnectionPool",
    "HTTPHeaderDict",
    "HTTPResponse",
    "HTTPSConnectionPool",
    "PoolManager",
    "ProxyManager",
    "Retry",
    "Timeout",
    "Trace",
    "add_stderr_logger",
    "connection_from_url",
    "disable_warnings",
    "encode_multipart_formdata",
    "exceptions",
    "make_headers",
    "proxy_from_url",
    "request",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())

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
    logger = logging.getLogger(__name__)
    handler: logging.StreamHandler[Any] = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.debug("Added a stderr logging handler to logger: %s", __name__)
    return handler


def disable_warnings(category: type[Warning] = exceptions.HTTPWarning) -> None:
    """Silence poollib's warnings of ``category``."""
    import warnings

    warnings.simplefilter("ignore", category)
