"""Settings from environment variables, as plain keyword arguments.

This module reads a mapping (``os.environ``, or any other) and gives ``PoolManager.from_env`` the keywords it names; it
knows which variable means what, and nothing of pools.  A value that can't be meant is an error that names the
variable; a variable that is absent or empty says nothing.  The names are those that services already use for httpx's
limits and timeouts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypedDict

from ..base.timeout import Timeout

#: variable -> keyword of Timeout; seconds, or "none" for no limit
_TIMEOUTS = {
    "HTTP_CONNECT_TIMEOUT": "connect",
    "HTTP_READ_TIMEOUT": "read",
    "HTTP_WRITE_TIMEOUT": "write",
    "HTTP_POOL_TIMEOUT": "pool",
}


class EnvironmentSettings(TypedDict, total=False):
    """Keywords of ``PoolManager``, those that the environment sets."""

    maxsize: int
    total_maxsize: int | None
    idle_timeout: float | None
    timeout: Timeout


def settings(environ: Mapping[str, str]) -> EnvironmentSettings:
    """Keywords for ``PoolManager``; ValueError naming the variable whose value is no number of its kind.

    ==================================  ==================  ===================================================
    variable                            keyword             meaning
    ==================================  ==================  ===================================================
    ``HTTP_MAX_KEEPALIVE_CONNECTIONS``  ``maxsize``         connections kept to one host
    ``HTTP_MAX_CONNECTIONS``            ``total_maxsize``   connections to all hosts together
    ``HTTP_KEEPALIVE_EXPIRY``           ``idle_timeout``    seconds after which an idle connection is closed
    ``HTTP_CONNECT_TIMEOUT``            ``Timeout.connect`` seconds to connect
    ``HTTP_READ_TIMEOUT``               ``Timeout.read``    seconds for each wait for bytes
    ``HTTP_WRITE_TIMEOUT``              ``Timeout.write``   seconds for each send
    ``HTTP_POOL_TIMEOUT``               ``Timeout.pool``    seconds to wait for a connection
    ==================================  ==================  ===================================================

    ``none`` stands for no limit, but for the first, which is a number.
    """
    found: EnvironmentSettings = {}
    given = {variable: text for variable, value in environ.items() if (text := value.strip())}
    if "HTTP_MAX_KEEPALIVE_CONNECTIONS" in given:
        found["maxsize"] = _count("HTTP_MAX_KEEPALIVE_CONNECTIONS", given)
    if "HTTP_MAX_CONNECTIONS" in given:
        is_limited = given["HTTP_MAX_CONNECTIONS"].lower() != "none"
        found["total_maxsize"] = _count("HTTP_MAX_CONNECTIONS", given) if is_limited else None
    if "HTTP_KEEPALIVE_EXPIRY" in given:
        found["idle_timeout"] = _seconds("HTTP_KEEPALIVE_EXPIRY", given)
    timeouts = {keyword: _seconds(variable, given) for variable, keyword in _TIMEOUTS.items() if variable in given}
    if timeouts:
        found["timeout"] = Timeout(**timeouts)
    return found


def _count(variable: str, given: Mapping[str, str]) -> int:
    text = given[variable]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= 1_000_000):
        raise ValueError(f"environment variable {variable} must be a whole number from 1 to 1000000, not {text!r}")
    return int(text)


def _seconds(variable: str, given: Mapping[str, str]) -> float | None:
    text = given[variable]
    if text.lower() == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"environment variable {variable} must be a number of seconds above 0, not {text!r}")
    return value
