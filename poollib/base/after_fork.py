"""Forks: what happens to pools in a forked child.

A child inherits the descriptors of its parent's connections, and locks in whatever state another thread left them.
Every pool registers here, weakly; in the child each starts afresh: new locks, no lease, nobody in line, counts at zero,
and its inherited connections are forgotten: the child's copy of the descriptor is closed and the peer learns nothing.
What a connection needs to be forgotten, beyond sockets, is for its factory to say.
A fork by C code (uWSGI without ``py-call-osafterfork``) calls no hooks: it is noticed by ``mark``, where a connection
is lent and where a pool is made.
SQLAlchemy's advice about pools and ``os.fork`` and gunicorn's preforking are the cases in mind.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any, Protocol
from weakref import ref

from .logs import logger

log = logger(__name__)


class Forkable(Protocol):
    """What can be remembered here: hashable by identity, weakly referable."""

    def _reset_after_fork(self) -> None:
        """Called in the child, where no other thread runs."""


_pools: set[ref[Any]] = set()
_strike_off = _pools.discard
_pid = os.getpid()  # the process that they are of
_catching_up = threading.RLock()
#: ``mark[0]`` is false in a forked child, and before the first pool; whoever finds it so calls ``catch_up``.
mark: Any = b"\0"

#: To ``madvise``: a forked child sees zeros in these pages. Linux 4.14, include/uapi/asm-generic/mman-common.h.
MADV_WIPEONFORK = 18


class ProcessNumber:
    """A mark where no page of memory can be one: asking for the number of the process is a system call (0.2 us)."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, place: int) -> bool:
        return self._pid == os.getpid()


def remember(pool: Forkable) -> ref[Any]:
    """Have ``pool`` start afresh in every forked child, as long as it lives; a weak reference to it."""
    if not mark[0]:
        catch_up()
    reference = ref(pool, _strike_off)
    _pools.add(reference)
    return reference


def forget(connection: object) -> None:
    """Drop an inherited connection without touching the peer: no shutdown, no TLS close_notify.

    The default for factories that have no ``forget`` of their own; other things than sockets are merely let go.
    """
    if isinstance(connection, socket.socket) and connection.fileno() >= 0:
        os.close(connection.detach())


def remembered() -> Iterator[Any]:
    """All that is remembered and alive."""
    for reference in list(_pools):
        pool = reference()
        if pool is not None:
            yield pool


def catch_up() -> None:
    """In a child that C code forked: what the hook does in others.  One thread does it, the others wait for it."""
    global mark
    with _catching_up:
        if _pid != os.getpid():
            _reset_all()
        mark = _new_mark()


def _new_mark() -> Any:
    """A page that the system wipes in forked children; a look at it takes 15 ns, which counts where much is lent.

    ProcessNumber where there is no such page.
    """
    if sys.platform == "linux":
        import mmap

        try:
            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.madvise(MADV_WIPEONFORK)
            page[0] = 1
        except OSError:
            return ProcessNumber()
        return page
    return ProcessNumber()


def _reset_all() -> None:
    global _pid
    for pool in remembered():
        try:
            pool._reset_after_fork()
        except Exception:
            log.exception("%r could not start afresh after a fork", pool)
    _pid = os.getpid()


def _at_fork() -> None:
    global _catching_up
    _catching_up = threading.RLock()
    _reset_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_fork)
