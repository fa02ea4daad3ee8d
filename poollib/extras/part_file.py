"""Files that a download keeps beside its target: made anew, private, and never reached through a link.

``download`` asks for a new file, for the one that an earlier call left, and to give a whole one its name. Folders may
be writable for others, who could lay a link, or a file with bytes of their choice, where the next one will be. So a
file is made only where there is none (O_EXCL, mode 0600), and an old one is taken only if nobody else can have written
it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import BinaryIO

_PROBE = ".new"  # what is added to a path's name to learn the mode of new files
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# O_NONBLOCK: a FIFO laid there must not let the call wait for its other end. Windows has neither.
_GUARDS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK"))


def create(path: str) -> BinaryIO:
    """A new, empty file at ``path`` for its owner alone, to write and read.

    What has the name loses it, and is not written to: it may be a link to another's file. OSError as it comes.
    """
    remove(path)
    return open(path, "x+b", opener=_open_private)


def adopt(path: str) -> BinaryIO | None:
    """The file that an earlier call made at ``path``, to write and read; None if it isn't surely one of these."""
    try:
        file = open(path, "r+b", opener=_open_private)  # noqa: SIM115 - the caller's
    except OSError:
        return None
    if _is_private(os.fstat(file.fileno())) and is_at(file, path):
        return file
    file.close()
    return None


def is_at(file: BinaryIO, path: str) -> bool:
    """Whether ``path`` still names this open file, and not a link to it or another's file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except OSError:
        return False


def publish(file: BinaryIO, part: str, path: str) -> None:
    """Give the whole file, open at ``part``, the name ``path``, with the mode that a new file there would have.

    A file that has the name now is replaced and leaves its mode; a link is replaced itself. FileExistsError if ``part``
    names another file by now, which may be half of one.
    """
    file.flush()
    if not is_at(file, part):
        raise FileExistsError(f"another download to {path} has replaced {part}")
    if os.name == "posix":
        os.fchmod(file.fileno(), _mode(path))
    file.close()
    os.replace(part, path)


def remove(path: str) -> None:
    """Take the name away, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | _GUARDS, 0o600)


def _is_private(status: os.stat_result) -> bool:
    """Whether this is a plain file with one name, ours, that nobody else may write or read."""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return False
    return os.name != "posix" or (status.st_uid == os.geteuid() and not status.st_mode & _OTHERS)


def _mode(path: str) -> int:
    """The mode of the file at ``path``, or of a new one there.

    A probe tells it: os.umask() can't be asked without being changed, for other threads as well.
    """
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode):
            return status.st_mode & 0o777
    remove(path + _PROBE)
    probe = os.open(path + _PROBE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return os.fstat(probe).st_mode & 0o777
    finally:
        os.close(probe)
        os.unlink(path + _PROBE)
