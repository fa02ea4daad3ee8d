"""The functions of the package itself: one request without a manager of one's own, the log shown, warnings silenced.

``request`` hands everything to a manager that the whole process shares. Where records go by themselves is left to
``logs``, what a request is to the modules below.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

from ..exceptions import HTTPWarning
from ..poolmanager import PoolManager
from ..response import BaseHTTPResponse

_logger_name = __name__.partition(".")[0]  # "urllib3" as long as poollib is installed as that

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


def disable_warnings(category: type[Warning] = HTTPWarning) -> None:
    """Silence poollib's warnings of ``category``."""
    warnings.simplefilter("ignore", category)
