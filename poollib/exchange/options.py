"""Options: what one request wants beyond urllib3's arguments, as one value for the exchange.

``client`` settles the keywords of pools and requests into it; ``connection`` and ``transport`` read it.
"""

from __future__ import annotations

from typing import NamedTuple

from ..base.timeout import Deadline
from ..base.trace import Trace
from ..http1.grammar import DEFAULT_LIMITS, Limits
from .upload import Trailers

EXPECT_CONTINUE_S = 1.0  # how long to wait for 100 Continue; RFC 9110 section 10.1.1 names no time, curl waits 1 s


class Options(NamedTuple):
    """What one request wants beyond urllib3's arguments; a connection has one only while serving such a request."""

    deadline: Deadline | None = None
    trace: Trace | None = None
    write_timeout_s: float | None = None
    max_response_size: int | None = None
    max_decoded_size: int | None = None
    expect_continue_s: float | None = None
    trailers: Trailers | None = None
    limits: Limits = DEFAULT_LIMITS
