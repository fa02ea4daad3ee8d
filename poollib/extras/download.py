"""Downloads: a URL into a file, going on where a cut connection left off.

The bytes go to a name of their own beside the target (``.part``), which becomes the target only when all are in and
counted.  After a cut the rest is asked for with Range and If-Range (RFC 9110 sections 13.1.5 and 14), and is taken
only from an answer that shows the same strong validator (section 15.3.7.3), so that two versions are never joined; what
makes the version known is kept beside the part, and a later call can go on, too. Requests, their retries and redirects
are the manager's, files are made in ``part_file``; this module only decides where to begin the next request.

One download::

    ask (from 0, or the rest) ── 200 ──> begin anew ──┐
             ^               ├── 206 ──> go on ───────┼── all in ──> rename
             │               └── others: ResponseError│
             └────── cut, and something new came ─────┘
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from ..base.headers import HTTPHeaderDict
from ..base.loggers import shown_url
from ..base.url import Url, parse_url
from ..exceptions import (
    BlockedHostError,
    DeadlineExceededError,
    HTTPError,
    IncompleteRead,
    InsecureRedirectError,
    LocationValueError,
    ProtocolError,
    ResponseError,
)
from ..poolmanager import PoolManager
from ..response import HTTPResponse
from . import part_file

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..client.keyword_types import StreamKeywords
    from ..client.request_encoding import RequestMethods

BLOCK_BYTES = 262144  # read and written at a time
BARREN_ATTEMPTS = 5  # attempts in a row that brought nothing new before the last error is raised
PAUSE_S = 0.1  # before the second barren attempt; doubled with each
PART, NOTE = ".part", ".part.note"  # what is added to the target's name: the bytes, and what version they are of

NOTE_LIMIT_BYTES = 131072  # a header line may have half of it
_content_range = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)", re.ASCII | re.IGNORECASE).fullmatch
_unsatisfied_range = re.compile(r"bytes \*/(\d{1,18})", re.ASCII | re.IGNORECASE).fullmatch
_FINAL = (DeadlineExceededError, ResponseError, LocationValueError, BlockedHostError, InsecureRedirectError)
_strong_tag = re.compile(r'"[^"]*"').fullmatch

Progress = Callable[[int, "int | None"], object]


class SupportsWrite(Protocol):
    """A binary file to write to; how many bytes it took, None: all."""

    def write(self, data: bytes, /) -> int | None: ...


class Downloaded(NamedTuple):
    """What came: the file's size, the fields of the last response, and how many requests it took."""

    size_bytes: int
    headers: HTTPHeaderDict
    attempts: int


def download(
    url: str,
    path_or_file: str | os.PathLike[str] | SupportsWrite,
    *,
    manager: RequestMethods | None = None,
    resume: bool = True,
    progress: Progress | None = None,
    headers: Mapping[str, str] | None = None,
    **request_kw: Unpack[StreamKeywords],
) -> Downloaded:
    """The body of ``url`` in a file at ``path_or_file``, or written to the open binary file that it is.

    ``manager``: whose pools serve (None: one for this call). ``resume``: go on after a cut, and from the part that an
    earlier call left at this path; False: the first error is raised, and a part is begun anew. ``progress(received,
    total)`` is called after each block; ``total`` is None if unknown; what it raises ends the download, which a later
    call may go on with. ``headers`` (None: the manager's) and ``request_kw`` go to ``manager.request``.

    ResponseError for a status that brings no file, ProtocolError for a length that is not the announced one, else the
    error of the last attempt after five in a row that brought nothing new; OSError of the file as it comes,
    FileExistsError if another download to the same path came in between.

    Until it is whole, a path's file and the note of its version are readable for their owner alone; the note holds no
    URL. A part that others can have written, or reached by a link, is not gone on with.
    """
    target = _OpenFile(path_or_file) if hasattr(path_or_file, "write") else _PathTarget(path_or_file, url)
    own: PoolManager | None = None
    if manager is None:
        manager = own = PoolManager()
    try:
        target.open(resume)
        fields = HTTPHeaderDict(manager.headers if headers is None else headers)
        task = _Download(manager, url, target, progress, fields, request_kw)
        done = task.run(resume)
        target.finish()
        return done
    finally:
        target.close()
        if own is not None:
            own.clear()


class _Version(NamedTuple):
    """What tells this version of a file from others."""

    validator: str = ""
    """For If-Range: a strong entity tag, or a Last-Modified that is strong; "" if there is none."""
    total: int | None = None
    """The size; None if it is not known."""
    source: str = ""
    """A digest of where the bytes came from, after redirects: a validator says nothing about another resource."""


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
        self.version = _Version()

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
        self.path = os.fsdecode(path)
        self.part = self.path + PART
        self.url_digest = _digest(url)

    def open(self, resume: bool) -> None:
        version = self._noted() if resume else _Version()
        self.file = part_file.adopt(self.part) if version.validator else None
        if self.file is None:
            self._forget_note()
            self.file = part_file.create(self.part)
        else:
            self.version = version
            self.size = self.file.seek(0, os.SEEK_END)

    def write(self, block: memoryview) -> None:
        self.file.write(block)
        self.size += len(block)

    def restart(self) -> None:
        """Begin in a new file: another download may have the old one open, and counts on its bytes.

        The note goes first, so that a crash in between leaves no bytes with the note of other ones.
        """
        self._forget_note()
        if self.size:
            self.file.close()
            self.file = part_file.create(self.part)
        self.size = 0

    def note(self, version: _Version) -> None:
        if version != self.version:
            super().note(version)
            with part_file.create(self.path + NOTE) as file:
                file.write(_note_of(self.url_digest, version))

    def finish(self) -> None:
        part_file.publish(self.file, self.part, self.path)
        self._forget_note()

    def close(self) -> None:
        """Close; a part that nobody can go on with is removed."""
        if self.file is None or self.file.closed:
            return
        is_ours = part_file.is_at(self.file, self.part)
        self.file.close()
        if is_ours and not (self.version.validator and self.size):
            part_file.remove(self.part)
            self._forget_note()

    def _noted(self) -> _Version:
        """The version that an earlier call left a part of; no version if it was another URL's."""
        file = part_file.adopt(self.path + NOTE)
        if file is None:
            return _Version()
        with file:
            return _noted_in(file.read(NOTE_LIMIT_BYTES), self.url_digest)

    def _forget_note(self) -> None:
        self.version = _Version()
        part_file.remove(self.path + NOTE)


def _note_of(url_digest: str, version: _Version) -> bytes:
    """A note's text: the asked URL's digest, the validator, the total, the source, one a line."""
    total = "" if version.total is None else version.total
    return f"{url_digest}\n{version.validator}\n{total}\n{version.source}\n".encode()


def _noted_in(text: bytes, url_digest: str) -> _Version:
    """The version in a note; no version if it is damaged or another URL's."""
    try:
        digest, validator, total, source, end = text.decode().split("\n")
    except ValueError:
        return _Version()
    if digest != url_digest or end or not (total == "" or total.isdecimal()):
        return _Version()
    return _Version(validator, int(total) if total else None, source)


def _digest(url: str, has_query: bool = True) -> str:
    """What tells one URL from another and keeps it secret; the userinfo, which could be guessed, is no part of it."""
    scheme, _, host, port, path, query, _ = parse_url(url)
    text = Url(scheme, None, host, port, path, query if has_query else None).url
    return hashlib.sha256(text.encode()).hexdigest()


class _Download:
    """One call of ``download``: attempts until the file is whole."""

    def __init__(
        self,
        manager: RequestMethods,
        url: str,
        target: _OpenFile,
        progress: Progress | None,
        headers: HTTPHeaderDict,
        request_kw: StreamKeywords,
    ) -> None:
        self._manager = manager
        self._url = url
        self._target = target
        self._progress = progress
        self._headers = headers
        self._request_kw = request_kw
        self._buffer = memoryview(bytearray(BLOCK_BYTES))
        self._farthest = target.size
        self._end: int | None = None  # where the bytes of the response end in the file; None: nobody said

    def run(self, resume: bool) -> Downloaded:
        attempts = barren = 0
        while True:
            attempts += 1
            try:
                headers = self._attempt()
                return Downloaded(self._target.size, headers, attempts)
            except _FINAL:
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
        response = cast(
            HTTPResponse,
            self._manager.request("GET", self._url, headers=self._fields(), preload_content=False, **self._request_kw),
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

    def _begin(self, response: HTTPResponse) -> bool:
        """Bring the target to where the response begins; False if there is nothing more to come."""
        target, status = self._target, response.status
        if status == 206 and target.size and self._goes_on(response):
            return True
        if status == 200 and _is_whole_file(response.headers):
            target.restart()
            target.note(self._version_of(response))
            self._end = target.version.total
            return True
        if status == 416 and target.size and self._is_whole(response):
            return False
        if status == 200 or (status in (206, 416) and target.size):
            target.restart()
            raise ProtocolError(f"{shown_url(self._url)}: the range that came is not the one that was asked for")
        raise ResponseError(f"{shown_url(self._url)}: {status} {response.reason}")

    def _goes_on(self, response: HTTPResponse) -> bool:
        """Whether a 206 goes on where the part ends, in the same version (RFC 9110 sections 14.4 and 15.3.7)."""
        target = self._target
        match = _content_range(response.headers.get("content-range", ""))
        if match is None or int(match[1]) != target.size:
            return False
        end = int(match[2]) + 1
        total = int(match[3]) if match[3] else target.version.total
        if total is None or target.version.total not in (None, total) or not target.size < end <= total:
            return False
        if _length(response) not in (None, end - target.size) or not self._is_same_version(response):
            return False
        target.note(_Version(target.version.validator, total, target.version.source))
        self._end = end
        return True

    def _is_same_version(self, response: HTTPResponse) -> bool:
        """Whether the response shows the strong validator that the part has (RFC 9110 section 15.3.7.3).

        A server that answers 206 has not always looked at If-Range, and must repeat an entity tag (section 15.3.7).
        """
        version, shown = self._target.version, self._version_of(response)
        return shown.validator == version.validator and shown.source == version.source

    def _version_of(self, response: HTTPResponse) -> _Version:
        """The version that a response shows; none for a coded body, which has neither such a length nor ranges."""
        if not _is_plain(response.headers):
            return _Version()
        validator = _validator(response.headers)
        # Signed URLs have another query each time, so a tag is believed without it. Dates are not that distinct.
        source = _digest(response.url or self._url, has_query=validator[:1] != '"')
        return _Version(validator, _length(response), source)

    def _is_whole(self, response: HTTPResponse) -> bool:
        """Whether a 416 says that the part is all there is."""
        match = _unsatisfied_range(response.headers.get("content-range", ""))
        etag = response.headers.get("etag")
        version = self._target.version
        return (
            match is not None
            and int(match[1]) == self._target.size == version.total
            and (etag is None or etag == version.validator)
        )

    def _copy(self, response: HTTPResponse) -> None:
        target, buffer, progress = self._target, self._buffer, self._progress
        while n := response.readinto1(buffer):
            target.write(buffer[:n])
            if self._end is not None and target.size > self._end:
                return
            if progress is not None:
                progress(target.size, target.version.total)

    def _check_size(self) -> None:
        size, total, end = self._target.size, self._target.version.total, self._end
        if end is not None and size > end:
            self._target.restart()
            raise ProtocolError(f"{shown_url(self._url)}: more bytes came than the {end} announced")
        if total is not None and size != total:
            cut = IncompleteRead(size, total - size)
            raise ProtocolError(f"{shown_url(self._url)}: {size} bytes came of {total}", cut) from cut


def _is_plain(headers: HTTPHeaderDict) -> bool:
    """Whether the body is bytes of the file itself: not coded, not several ranges with text in between."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = headers.get("content-encoding", "").strip().lower()
    return coding in ("", "identity") and media_type != "multipart/byteranges"


def _is_whole_file(headers: HTTPHeaderDict) -> bool:
    """Whether a 200 does not itself say that it brings a part.

    RFC 9110 section 14.4 gives Content-Range no meaning there; who sends it means 206, and a part is no file.
    """
    field = headers.get("content-range")
    match = _content_range(field or "")
    return field is None or (match is not None and match[1] == "0" and match[3] == str(int(match[2]) + 1))


def _length(response: HTTPResponse) -> int | None:
    """The announced length of the body; None if there is none that counts."""
    length = response.headers.get("content-length", "").partition(",")[0].strip()
    return int(length) if length.isascii() and length.isdigit() and not response.chunked else None


def _validator(headers: HTTPHeaderDict) -> str:
    """The strong validator for If-Range, "" if there is none.

    A date only where there is no entity tag at all (RFC 9110 section 13.1.5): a weak one says that bytes may differ.
    """
    etag: str = headers.get("etag", "")
    if "etag" not in headers:
        return _strong_date(headers)
    return etag if _strong_tag(etag) else ""


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
