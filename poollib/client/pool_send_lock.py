"""SendLock: where hundreds of threads work on one pool, one at a time sends.

A thread whose receive has ended queues for the GIL, and CPython wakes each in that queue every 5 ms to look again. With
500 threads that is up to 100,000 wake-ups a second, which take the very time that the queue waits for: once it is long,
it stays long. A lock wakes one thread, the next. So many threads wait for a lock before they send, and few beyond it
ever want the GIL at once. 500 threads, TLS, 20 ms a round trip: 114 us of CPU a request instead of 198, 8,800
requests/s instead of 6,800, the slowest hundredth from 102 ms on instead of 285 (CPython 3.11, 2 cores, 2026-11).
With 200 threads it takes a fifth of the requests/s for the same CPU, with 64 it costs; ``connectionpool`` counts them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import ParamSpec, Protocol

P = ParamSpec("P")

_has_gil: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)

#: From so many leased connections on, their threads send one at a time. Without a GIL nobody queues for it.
CROWD = 256 if _has_gil() else sys.maxsize
#: A longer body may not leave in one call, and its sender may have to wait for the server.
SHORT_BYTES = 4096
#: Who holds the lock for so long is stuck, was interrupted between two lines, or has stayed behind in a fork.
LONGEST_WAIT_S = 0.1


class SendLock:
    """Lets one thread at a time send; never keeps one waiting for somebody who is stuck."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def send(self, request: Callable[P, object], *args: P.args, **kw: P.kwargs) -> None:
        """Call ``request(*args, **kw)`` when no other thread sends, at the latest after LONGEST_WAIT_S."""
        lock = self._lock
        if not lock.acquire(True, LONGEST_WAIT_S):
            if self._lock is lock:
                self._lock = threading.Lock()  # for those who come from now on
            request(*args, **kw)
            return
        try:
            request(*args, **kw)
        finally:
            lock.release()


class Connected(Protocol):
    """What is asked of a connection before it sends."""

    @property
    def sock(self) -> object | None:
        """Its socket; None: it is not connected."""

    @property
    def request_options(self) -> object | None:
        """What the request asks for beyond the usual; None: nothing."""


def may_wait(conn: Connected, body: object) -> bool:
    """Whether a request goes out in one call with no clock running: no dialling, no long body, no deadline."""
    is_short = body is None or (isinstance(body, bytes) and len(body) <= SHORT_BYTES)
    return is_short and conn.sock is not None and conn.request_options is None
