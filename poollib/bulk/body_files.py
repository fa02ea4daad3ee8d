"""Bodies in files: one for each request, in a folder for each host, whole or not there.

A body is written in a folder of parts beside them and gets its name when all of it is there. What a killed run leaves
among the parts is removed by the next one, unless a third one, with another journal, is writing parts there as well.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlsplit

from .requests import BulkRequest, key_of

try:
    import fcntl
except ImportError:  # Windows: the folder is cleaned whoever writes to it
    fcntl = None  # type: ignore[assignment]

PARTS = ".parts"
JOURNAL = "journal.jsonl"
LONGEST_NAME = 80  # characters of a file's name that come from the URL


class Folder:
    """The folder that bodies go to."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._parts = os.path.join(path, PARTS)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and clean it, unless another run writes to it; no other cleans it while the block lasts."""
        os.makedirs(self._parts, exist_ok=True)
        place = None if fcntl is None else os.open(self._parts, os.O_RDONLY)
        try:
            if place is None or _is_locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._remove_parts()
            if place is not None:
                _is_locked(place, fcntl.LOCK_SH)
            yield
        finally:
            if place is not None:
                os.close(place)

    def _remove_parts(self) -> None:
        """Remove what a killed run has left among the parts."""
        for name in os.listdir(self._parts):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._parts, name))

    def path_of(self, request: BulkRequest) -> str:
        """Where a request's body goes: the host's folder, the last part of the URL's path, and the request's key."""
        split = urlsplit(request.url)
        host = _plain((split.hostname or "") + (f"_{split.netloc.rpartition(':')[2]}" if split.port else ""))
        stem, dot, ending = _plain(unquote(split.path.rpartition("/")[2])).rpartition(".")
        if not stem or len(ending) > 10:
            stem, dot, ending = stem + dot + ending, "", ""
        name = f"{stem[:LONGEST_NAME] or 'index'}-{key_of(request)}{dot}{ending}"
        return os.path.join(self.path, host or "host", name)

    def store(self, request: BulkRequest, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Write the body; its path and its size. Whatever ``chunks`` raises leaves no file. OSError."""
        part, size = os.path.join(self._parts, uuid.uuid4().hex), 0
        path = self.path_of(request)
        try:
            with open(part, "xb") as file:
                for chunk in chunks:
                    size += file.write(chunk)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        return path, size


def _is_locked(place: int, how: int) -> bool:
    """Whether a file is locked now; false if others have it, true on file systems that know no locks."""
    try:
        fcntl.flock(place, how)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _plain(name: str) -> str:
    """A name that is one on every system: letters, digits and ``._-``, no dot in front."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")
