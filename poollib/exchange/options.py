"""Options: what one request wants beyond urllib3's arguments, and ResponseOptions: what of its response.

``client`` settles the keywords of pools and requests into it; ``connection`` and ``transport`` read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..base.timeout import Deadline
from ..base.trace import Trace
from ..http1.grammar import DEFAULT_LIMITS, Limits
from .upload import Trailers

EXPECT_CONTINUE_S = 1.0  # how long to wait for 100 Continue; RFC 9110 section 10.1.1 names no time, curl waits 1 s


class ResponseOptions:
    """What urllib3's arguments say of a response; never changed.

    ``preload_content``: its body is read before it goes up. ``decode_content``: reading undoes Content-Encoding.
    ``enforce_content_length``: a body cut short is an error.
    """

    __slots__ = ("decode_content", "enforce_content_length", "preload_content")

    def __init__(
        self, preload_content: bool = True, decode_content: bool = True, enforce_content_length: bool = True
    ) -> None:
        self.preload_content = preload_content
        self.decode_content = decode_content
        self.enforce_content_length = enforce_content_length


AS_USUAL = ResponseOptions()


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
    attempt_hooks: tuple[Callable[..., object], ...] = ()  # each a ``request.Hook``
