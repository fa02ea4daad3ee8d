"""What must be made anew in a forked child, and the one place where that is done.

A child inherits the descriptors of its parent's connections, and locks in whatever state another thread left them.
So everything with a lock, a thread or connections of its own is registered here: what a module keeps by ``register``,
objects, weakly, by ``remember``. In the child all of it is reset in one order: first the modules, as they were
imported, then the objects, as they were made (a limit that pools share before those pools).  An inherited connection
is dropped, not closed: the child's copy of the descriptor goes, and the peer learns nothing.  What that takes, beyond
sockets, is for a pool's factory to say.
``os.fork`` calls a hook.  A fork by C code (uWSGI without ``py-call-osafterfork``) calls none: ``same_process`` tells,
which is asked where a connection is leased, where an object is registered, and for the housekeeper's thread.
SQLAlchemy's advice about pools and ``os.fork`` and gunicorn's preforking are the cases in mind.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar
from weakref import ref

from .loggers import logger

log = logger(__name__)


class Resettable(Protocol):
    """What can be remembered here: hashable by identity, weakly referable."""

    def _reset_after_fork(self) -> None:
        """Called in the child, where no other thread runs; perhaps more than once."""


class ProcessMark(Protocol):
    """What tells a forked child from its parent."""

    def __getitem__(self, place: int, /) -> int:
        """At 0: false in a forked child."""


R = TypeVar("R", bound=Resettable)


_modules: list[Callable[[], object]] = []
_objects: dict[ref[Any], ref[Any]] = {}  # each by itself, in the order they were made
_strike_off = _objects.__delitem__
_pid = os.getpid()  # the process that all of it belongs to
_reset_lock = threading.RLock()
#: ``same_process[0]`` is false in a child that C code forked, and before anything is remembered: then call ``check``.
#: Where a connection is leased it is looked at without a call, which would take three times as long.
same_process: ProcessMark = b"\0"

#: To ``madvise``: a forked child sees zeros in these pages. Linux 4.14, include/uapi/asm-generic/mman-common.h.
MADV_WIPEONFORK = 18


class ProcessNumber:
    """A mark where no page of memory can be one: asking for the number of the process is a system call (0.2 us)."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, place: int, /) -> int:
        return self._pid == os.getpid()


def register(reset: Callable[[], object]) -> None:
    """Have ``reset()`` called in every forked child: for what a module keeps."""
    _modules.append(reset)


def remember(thing: R) -> ref[R]:
    """Have ``thing`` reset itself in every forked child, as long as it lives; a weak reference to it."""
    check()
    reference = ref(thing, _strike_off)
    return _objects.setdefault(reference, reference)


def remembered() -> Iterator[Resettable]:
    """All that is remembered and alive, in the order it was made."""
    for reference in list(_objects):
        thing = reference()
        if thing is not None:
            yield thing


def drop_descriptor(connection: object) -> None:
    """Drop an inherited connection without touching the peer: no shutdown, no TLS close_notify.

    The default for factories that have no ``forget`` of their own; other things than sockets are merely let go.
    """
    if isinstance(connection, socket.socket) and connection.fileno() >= 0:
        os.close(connection.detach())


def check() -> None:
    """In a child that C code forked: what the hook does in others.  One thread does it, the others wait for it."""
    global same_process
    if same_process[0]:
        return
    with _reset_lock:
        if _pid != os.getpid():
            _reset_all()
        same_process = _new_mark()


def _new_mark() -> ProcessMark:
    """A page that the system wipes in forked children; a look at it takes 15 ns, which counts where much is leased.

    ProcessNumber where there is no such page.
    """
    if sys.platform == "linux":
        try:
            import mmap

            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.madvise(MADV_WIPEONFORK)
            page[0] = 1
        except (OSError, ImportError):  # ImportError: the first use is a finaliser's at the interpreter's exit
            return ProcessNumber()
        return page
    return ProcessNumber()


def _reset_all() -> None:
    """Reset everything.  No garbage is collected meanwhile.

    A finaliser that gives a connection back to a pool whose turn has not come would wait for a lock that a thread of
    the parent holds, for ever.
    """
    global _pid
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        for reset in _modules:
            _try(reset, reset)
        for thing in remembered():
            _try(thing._reset_after_fork, thing)
    finally:
        if is_collecting:
            gc.enable()
    _pid = os.getpid()


def _try(reset: Callable[[], object], whose: object) -> None:
    try:
        reset()
    except Exception:
        log.exception("%r could not start afresh after a fork", whose)


def _in_child() -> None:
    global _reset_lock
    _reset_lock = threading.RLock()
    _reset_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
