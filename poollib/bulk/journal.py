"""What is done already: an append-only file with a line of JSON for each result.

A line leaves in one write, so a killed process can leave at most a torn last line, which the next run cuts off. Keys of
requests that got a response are known when it is opened, 8 bytes each; requests that ended with an error are written
too, for people to read, and are tried again. Nothing is synced: it outlives a killed process, not a power failure.
"""

from __future__ import annotations

import json
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import BinaryIO

from .requests import Result, key_of

try:
    import fcntl
except ImportError:  # Windows: nothing keeps a second run away
    fcntl = None  # type: ignore[assignment]


class Journal:
    """The journal at ``path``, made if there is none; with ``resume`` false, begun anew.

    BlockingIOError while another run writes to it, ValueError naming the line for a file that is no journal.
    """

    def __init__(self, path: str, resume: bool = True) -> None:
        self._done = array("Q")  # keys, sorted
        self._file: BinaryIO = open(path, "a+b", buffering=0)  # noqa: SIM115 - closed by close()
        try:
            _lock(self._file, path)
            if not resume:
                self._file.truncate(0)
            self._load(path)
        except BaseException:
            self._file.close()
            raise

    def is_done(self, key: str) -> bool:
        """Whether an earlier run got a response to the request of this key."""
        number, done = int(key, 16), self._done
        place = bisect_left(done, number)
        return place < len(done) and done[place] == number

    def add(self, result: Result) -> None:
        """Write down a result."""
        line: dict[str, object] = {"key": key_of(result.request), "url": result.request.url}
        if result.request.method != "GET":
            line["method"] = result.request.method
        if result.error is None:
            line.update(status=result.status, bytes=result.size_bytes)
        else:
            line["error"] = f"{type(result.error).__name__}: {result.error}"
        if result.path is not None:
            line["path"] = result.path
        data = json.dumps(line).encode() + b"\n"
        written = self._file.write(data)
        while written < len(data):  # a full disk raises at the next write, and the line stays torn
            written += self._file.write(data[written:])

    def close(self) -> None:
        """Close the file; another run may have it."""
        self._file.close()

    def _load(self, path: str) -> None:
        self._file.seek(0)
        end = 0
        keys: list[int] = []
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                keys += _done_key(line, f"{path}, line {number}")
        self._file.truncate(end)
        self._done = array("Q", sorted(keys))


def _done_key(line: bytes, place: str) -> Iterator[int]:
    """The key in a line, if it says that there was a response."""
    try:
        entry = json.loads(line)
        key = int(entry["key"], 16)
        if "status" in entry:
            yield key
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place}: no line of a journal: {line[:60]!r}") from error


def _lock(file: BinaryIO, path: str) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(error.errno, "another run is writing to this journal", os.fspath(path)) from None
