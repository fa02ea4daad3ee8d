"""The functions of the package itself: one request without a manager of one's own, the log shown, warnings silenced.

``request`` hands everything to a manager that the whole process shares. Where records go by themselves is left to
``loggers``, what a request is to the modules below.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, TextIO

from ..exceptions import HTTPWarning
from ..poolmanager import PoolManager
from ..response import BaseHTTPResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..client.keyword_types import Body, Fields, RetriesArgument, TimeoutArgument

_logger_name = __name__.partition(".")[0]  # "urllib3" as long as poollib is installed as that

_DEFAULT_POOL = PoolManager()


def request(
    method: str,
    url: str,
    *,
    body: Body | None = None,
    fields: Fields | None = None,
    headers: Mapping[str, str] | None = None,
    preload_content: bool | None = True,
    decode_content: bool | None = True,
    redirect: bool | None = True,
    retries: RetriesArgument = None,
    timeout: TimeoutArgument = 3,
    json: object = None,
) -> BaseHTTPResponse:
    """The response to one request, through a manager that the whole process shares; 3 seconds a step at most."""
    return _DEFAULT_POOL.request(
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


def add_stderr_logger(level: int = logging.DEBUG) -> logging.StreamHandler[TextIO]:
    """Log to standard error from now on; gives the handler, for taking it away again."""
    logger = logging.getLogger(_logger_name)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.debug("Added a stderr logging handler to logger: %s", _logger_name)
    return handler


def disable_warnings(category: type[Warning] = HTTPWarning) -> None:
    """Silence poollib's warnings of ``category``."""
    warnings.simplefilter("ignore", category)
