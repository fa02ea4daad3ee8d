"""What a test may leave behind: nothing.

`Snapshot` lists the threads, sockets and pipes of the process; `leaked` compares with one taken before and gives a
line for each thing that is new and stays. It leaves to conftest.py when to look. Regular files are not looked at: a
file left open makes a ResourceWarning, which is an error in the whole test suite.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from dataclasses import dataclass, field

# How long what is on its way out may take: a thread's last lines, a peer's close.
GRACE_S = 2.0
# Linux has the first, the BSDs and macOS the second; elsewhere only threads are looked at.
_FOLDERS = ("/proc/self/fd", "/dev/fd")


@dataclass(frozen=True)
class Snapshot:
    """The threads and the descriptors of the process at one moment."""

    threads: frozenset[threading.Thread] = field(default_factory=lambda: frozenset(threading.enumerate()))
    descriptors: frozenset[tuple[int, str]] = field(default_factory=lambda: frozenset(open_descriptors()))


def open_descriptors() -> list[tuple[int, str]]:
    """Number and name of every socket, pipe and epoll of this process; the name holds the inode."""
    folder = next((name for name in _FOLDERS if os.path.isdir(name)), None)
    if folder is None:
        return []
    found = []
    for number in os.listdir(folder):
        try:
            name = os.readlink(f"{folder}/{number}")
        except OSError:
            continue
        if name.startswith(("socket:", "pipe:", "anon_inode:")):
            found.append((int(number), name))
    return found


def leaked(before: Snapshot, grace_s: float | None = None) -> list[str]:
    """A line for each thread, socket and pipe that is new since `before` and stays for `grace_s` seconds.

    None: GRACE_S.
    """
    end = time.monotonic() + (GRACE_S if grace_s is None else grace_s)
    pause_s, collected = 0.0005, False
    while rows := _new_since(before):
        if not collected:
            # A caught exception holds the frames it passed, in a ring: an open socket among them shows up here
            # as a ResourceWarning, which is an error.
            gc.collect()
            collected = True
        elif time.monotonic() > end:
            return rows
        else:
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.02)
    return []


def _new_since(before: Snapshot) -> list[str]:
    now = Snapshot()
    threads = [f"thread {thread.name!r} ({thread})" for thread in now.threads - before.threads if thread.is_alive()]
    return threads + [f"descriptor {number} ({name})" for number, name in now.descriptors - before.descriptors]
