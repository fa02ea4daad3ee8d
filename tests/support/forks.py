"""Work in a forked child, and what it answers; a child that hangs is ended."""

from __future__ import annotations

import os
import select
import signal
import warnings
from collections.abc import Callable
from typing import Any

#: A child that has not answered for so long never will.
HUNG_S = 30.0


def in_child(work: Callable[[], Any], fork: Callable[[], int] | None = None) -> str:
    """What ``work`` answers in a forked child, as text; an error is told as its repr. ``fork``: ``os.fork``."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Of other threads, which Python 3.12 warns of: a test may have left a daemon that still ends.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        pid = os.fork() if fork is None else fork()
    if not pid:
        try:
            os.close(reader)
            try:
                answer = str(work())
            except BaseException as error:
                answer = repr(error)
            os.write(writer, answer.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        if not select.select([stream], [], [], HUNG_S)[0]:
            os.kill(pid, signal.SIGKILL)
        answer = stream.read()
    os.waitpid(pid, 0)
    return answer
