"""An address on loopback where connecting never ends."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

#: More connections than a queue of none holds (Linux keeps one more than it is asked for).
FILLERS = 4


@contextlib.contextmanager
def silent_address(host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """Host and port: nobody accepts, the queue is full, and Linux drops what comes then; other systems refuse it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        for _ in range(FILLERS):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()
