"""Downloads: a URL into a file, going on where a cut connection left off.

The bytes go to a name of their own beside the target (``.part``), which becomes the target only when all are in and
counted.  After a cut the rest is asked for with Range and If-Range (RFC 9110 sections 13.1.5 and 14), so that two
versions are never joined; what makes the version known is kept beside the part, and a later call can go on, too.
Requests, their retries and redirects are the manager's; this room only decides where to begin the next one.

One download::

    ask (from 0, or the rest) ── 200 ──> begin anew ──┐
             ^               ├── 206 ──> go on ───────┼── all in ──> rename
             │               └── others: ResponseError│
             └────── cut, and something new came ─────┘
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .exceptions import DeadlineExceededError, HTTPError, IncompleteRead, ProtocolError, ResponseError
from .headers import HTTPHeaderDict
from .poolmanager import PoolManager

BLOCK_BYTES = 262144  # read and written at a time
BARREN_ATTEMPTS = 5  # attempts in a row that brought nothing new before the last error is raised
PAUSE_S = 0.1  # before the second barren attempt; doubled with each
PART, NOTE = ".part", ".part.note"  # what is added to the target's name: the bytes, and what version they are of

_content_range = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)").fullmatch
_unsatisfied_range = re.compile(r"bytes \*/(\d{1,18})").fullmatch

Progress = Callable[[int, "int | None"], object]


class Downloaded(NamedTuple):
    """What came: the file's size, the fields of the last response, and how many requests it took."""

    size_bytes: int
    headers: HTTPHeaderDict
    attempts: int


def download(
    url: str,
    path_or_file: Any,
    *,
    manager: Any = None,
    resume: bool = True,
    progress: Progress | None = None,
    headers: Mapping[str, str] | None = None,
    **request_kw: Any,
) -> Downloaded:
    """The body of ``url`` in a file at ``path_or_file``, or written to the open binary file that it is.

    ``manager``: whose pools serve (None: one for this call). ``resume``: go on after a cut, and from the part that an
    earlier call left at this path; False: the first error is raised, and a part is begun anew. ``progress(received,
    total)`` is called after each block; ``total`` is None if unknown; what it raises ends the download, which a later
    call may go on with. ``request_kw`` go to ``manager.request``.

    ResponseError for a status that brings no file, ProtocolError for a length that is not the announced one, else the
    error of the last attempt after five in a row that brought nothing new; OSError of the file as it comes.
    """
    own = None if manager is not None else PoolManager()
    target = _OpenFile(path_or_file) if hasattr(path_or_file, "write") else _PathTarget(path_or_file, url)
    try:
        target.open(resume)
        task = _Download(manager or own, url, target, progress, dict(headers or {}), request_kw)
        done = task.run(resume)
        target.finish()
        return done
    finally:
        target.close()
        if own is not None:
            own.clear()


class _Version(NamedTuple):
    """What tells this version of a file from others: a validator for If-Range ("" if none), and the size if known."""

    validator: str = ""
    total: int | None = None


class _OpenFile:
    """An open file of the caller's: written from where it stands; begun anew only if it can seek."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.start: int | None = None
        self.size = 0
        self.version = _Version()

    def open(self, resume: bool) -> None:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self.start = self.file.tell()

    def write(self, block: memoryview) -> None:
        """Write all of it; what an unbuffered file did not take is offered again."""
        data: bytes | memoryview = bytes(block)  # whoever keeps it shall not see the next block in it
        while data:
            n = self.file.write(data)
            taken = len(data) if n is None else n
            self.size += taken
            data = data[taken:]

    def restart(self) -> None:
        """Throw away what came so far. OSError if the file can't."""
        if self.size:
            if self.start is None:
                raise OSError("the file can't seek, so the download can't begin anew")
            self.file.seek(self.start)
            self.file.truncate()
        self.size = 0

    def note(self, version: _Version) -> None:
        self.version = version

    def finish(self) -> None:
        """All bytes are in."""

    def close(self) -> None:
        """Leave the file to its owner."""


class _PathTarget(_OpenFile):
    """A path: written under another name until all is in."""

    def __init__(self, path: str | os.PathLike[str], url: str) -> None:
        super().__init__(None)
        self.path = os.fspath(path)
        self.url = url

    def open(self, resume: bool) -> None:
        goes_on = resume and os.path.exists(self.path + PART)
        self.file = open(self.path + PART, "r+b" if goes_on else "w+b")  # noqa: SIM115 - close() closes it
        self.start = 0
        self.version = self._noted() if resume else _Version()
        if self.version.validator:
            self.size = self.file.seek(0, os.SEEK_END)
        else:
            self.file.truncate()

    def _noted(self) -> _Version:
        """The version that an earlier call left a part of; no version if it was another URL's."""
        try:
            with open(self.path + NOTE, encoding="utf-8") as file:
                url, validator, total = (line.rstrip("\n") for line in file)
        except (OSError, ValueError):
            return _Version()
        if url != self.url or not (total == "" or total.isdigit()):
            return _Version()
        return _Version(validator, int(total) if total else None)

    def write(self, block: memoryview) -> None:
        self.file.write(block)
        self.size += len(block)

    def note(self, version: _Version) -> None:
        if version == self.version:
            return
        super().note(version)
        with open(self.path + NOTE, "w", encoding="utf-8") as file:
            total = "" if version.total is None else version.total
            file.write(f"{self.url}\n{version.validator}\n{total}\n")

    def finish(self) -> None:
        self.file.close()
        os.replace(self.path + PART, self.path)
        self._forget_note()

    def _forget_note(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path + NOTE)

    def close(self) -> None:
        """Close; a part that nobody can go on with is removed."""
        if self.file is None:
            return
        is_open = not self.file.closed
        self.file.close()
        if is_open and not (self.version.validator and self.size):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path + PART)
            self._forget_note()


class _Download:
    """One call of ``download``: attempts until the file is whole."""

    def __init__(
        self,
        manager: Any,
        url: str,
        target: _OpenFile,
        progress: Progress | None,
        headers: dict[str, str],
        request_kw: dict[str, Any],
    ) -> None:
        self._manager = manager
        self._url = url
        self._target = target
        self._progress = progress
        self._headers = headers
        self._request_kw = request_kw
        self._buffer = memoryview(bytearray(BLOCK_BYTES))
        self._farthest = target.size

    def run(self, resume: bool) -> Downloaded:
        attempts = barren = 0
        while True:
            attempts += 1
            try:
                headers = self._attempt()
                return Downloaded(self._target.size, headers, attempts)
            except (DeadlineExceededError, ResponseError):
                raise
            except HTTPError:
                has_news = self._target.size > self._farthest
                self._farthest = max(self._farthest, self._target.size)
                barren = 0 if has_news else barren + 1
                if not resume or barren >= BARREN_ATTEMPTS:
                    raise
            if barren > 1:
                time.sleep(PAUSE_S * 2 ** (barren - 2))

    def _attempt(self) -> HTTPHeaderDict:
        """Ask for what is missing and write it down; the fields of the response that brought the end."""
        response = self._manager.request(
            "GET", self._url, headers=self._fields(), preload_content=False, **self._request_kw
        )
        try:
            if self._begin(response):
                self._copy(response)
                self._check_size()
            return HTTPHeaderDict(response.headers)
        finally:
            if response.status not in (200, 206):
                response.drain_conn()
            response.close()

    def _fields(self) -> HTTPHeaderDict:
        fields = HTTPHeaderDict(self._headers)
        fields.setdefault("Accept-Encoding", "identity")
        target = self._target
        if target.size and target.version.validator:
            fields["Range"] = f"bytes={target.size}-"
            fields["If-Range"] = target.version.validator
        elif target.size:
            target.restart()
        return fields

    def _begin(self, response: Any) -> bool:
        """Bring the target to where the response begins; False if there is nothing more to come."""
        target = self._target
        if response.status == 206 and target.size and self._goes_on(response):
            return True
        if response.status == 200:
            target.restart()
            target.note(_version_of(response))
            return True
        if response.status == 416 and target.size and self._is_whole(response):
            return False
        if response.status in (206, 416) and target.size:
            target.restart()
            target.note(_Version())
            raise ProtocolError(f"{self._url}: the range that came is not the one that was asked for")
        raise ResponseError(f"{self._url}: {response.status} {response.reason}")

    def _goes_on(self, response: Any) -> bool:
        """Whether a 206 goes on where the part ends, in the same version (RFC 9110 section 14.4)."""
        target = self._target
        match = _content_range(response.headers.get("content-range", ""))
        if match is None or int(match[1]) != target.size:
            return False
        total = int(match[3]) if match[3] else target.version.total
        if total is None or target.version.total not in (None, total):
            return False
        etag = response.headers.get("etag")
        if etag is not None and target.version.validator[:1] == '"' and etag != target.version.validator:
            return False
        target.note(target.version._replace(total=total))
        return True

    def _is_whole(self, response: Any) -> bool:
        """Whether a 416 says that the part is all there is."""
        match = _unsatisfied_range(response.headers.get("content-range", ""))
        return match is not None and int(match[1]) == self._target.size == self._target.version.total

    def _copy(self, response: Any) -> None:
        target, buffer, progress = self._target, self._buffer, self._progress
        while n := response.readinto1(buffer):
            target.write(buffer[:n])
            if progress is not None:
                progress(target.size, target.version.total)

    def _check_size(self) -> None:
        size, total = self._target.size, self._target.version.total
        if total is not None and size != total:
            if size > total:
                self._target.restart()
            raise ProtocolError(f"{self._url}: {size} bytes came of {total}", IncompleteRead(size, total - size))


def _version_of(response: Any) -> _Version:
    """The version that a 200 brings; a decoded body has neither the announced length nor ranges of its own."""
    headers = response.headers
    if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        return _Version()
    length = headers.get("content-length", "").partition(",")[0].strip()
    total = int(length) if length.isascii() and length.isdigit() and not response.chunked else None
    etag = headers.get("etag", "")
    if etag[:1] == '"' and etag[-1:] == '"' and len(etag) > 1:
        return _Version(etag, total)
    return _Version(_strong_date(headers), total)


def _strong_date(headers: HTTPHeaderDict) -> str:
    """Last-Modified, if it was a second ago or more and so names one version only (RFC 9110 section 8.8.2.2)."""
    from email.utils import parsedate_to_datetime

    modified = headers.get("last-modified", "")
    try:
        is_strong = (
            parsedate_to_datetime(headers["date"]).timestamp() - parsedate_to_datetime(modified).timestamp() >= 1
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return ""
    return str(modified) if is_strong else ""
