"""The practice server, running: what the pages call localhost:8080."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from poollib.demo.practice_server import PracticeServer


@contextmanager
def practice_server() -> Iterator[PracticeServer]:
    """The server on a port of its own, until the block ends."""
    with PracticeServer(0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)
