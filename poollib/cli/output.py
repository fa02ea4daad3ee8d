"""Where a body goes: a file that appears when it is whole, standard output, a terminal, a place in the queue.

``transfer`` writes to a :class:`Sink`, then finishes it or gives it up. A file is written under another name beside its
own and renamed at the end, so that a body cut short leaves what was there before; what is no plain file (/dev/null, a
FIFO) is written to. Making and naming those files is left to ``extras/part_file``; errors are TransferErrors.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from typing import IO, BinaryIO, Protocol
from urllib.parse import unquote

from ..base.headers import HTTPHeaderDict
from ..base.url import parse_url
from ..extras import part_file
from .exit_status import TransferError, unwritable
from .terminal import PRETTY_BYTES, has_colours, head_bytes, is_json, pretty_json

#: What a body may take in memory while it waits for those before it.
SPOOL_BYTES = 1 << 20
_numbers = itertools.count(1)


class Sink(Protocol):
    """What takes a body: ``begin`` with its fields, ``write``, then ``finish`` or ``abandon``."""

    def begin(self, headers: HTTPHeaderDict) -> None: ...
    def head(self, text: bytes) -> None: ...
    def write(self, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


class StreamSink:
    """An open file, written as the body comes."""

    def __init__(self, file: IO[bytes], name: str = "standard output") -> None:
        self._file = file
        self._name = name

    def begin(self, headers: HTTPHeaderDict) -> None:
        """Nothing to prepare."""

    def head(self, text: bytes) -> None:
        """Write a response's head."""
        self.write(text)

    def write(self, data: bytes) -> None:
        """Write, and hold nothing back; BrokenPipeError if the reader has left."""
        try:
            self._file.write(data)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(self._name, error) from error

    def finish(self) -> None:
        """See that it is all written."""
        try:
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(self._name, error) from error

    def abandon(self) -> None:
        """What came before the error stays written."""
        with contextlib.suppress(TransferError):
            self.finish()


class TerminalSink(StreamSink):
    """A terminal: JSON is indented, binary data refused."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._kept: bytearray | None = None
        self._has_begun = False

    def begin(self, headers: HTTPHeaderDict) -> None:
        if is_json(headers) and "content-encoding" not in headers:
            self._kept = bytearray()

    def head(self, text: bytes) -> None:
        super().write(head_bytes(text, has_colours(sys.stdout)))

    def write(self, data: bytes) -> None:
        if not self._has_begun and b"\0" in data:
            text = "the body is binary, and would confuse the terminal: -o FILE stores it, -o - prints it all the same"
            raise TransferError(23, text)
        self._has_begun = True
        if self._kept is None:
            super().write(data)
            return
        self._kept += data
        if len(self._kept) > PRETTY_BYTES:
            self._pass_on()

    def _pass_on(self) -> None:
        kept, self._kept = bytes(self._kept or b""), None
        super().write(kept)

    def finish(self) -> None:
        if self._kept:
            laid_out = pretty_json(bytes(self._kept), has_colours(sys.stdout))
            if laid_out is not None:
                self._kept = bytearray(laid_out)
        self.abandon()

    def abandon(self) -> None:
        if self._kept:
            self._pass_on()
        super().finish()


class FileSink:
    """A file that takes its name when it is whole."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._shown = path
        self._part = f"{self._path}.{os.getpid()}-{next(_numbers)}.part"
        self._file: BinaryIO | None = None
        self._has_part = False  # said before the file is there: an interrupt may come before it is in our hands

    def begin(self, headers: HTTPHeaderDict) -> None:
        """Nothing to prepare."""

    def head(self, text: bytes) -> None:
        """Write a response's head before the body."""
        self.write(text)

    def write(self, data: bytes) -> None:
        """Write beside the file."""
        try:
            if self._file is None:
                self._has_part = True
                self._file = part_file.create(self._part)
            self._file.write(data)
        except OSError as error:
            raise unwritable(self._shown, error) from error

    def finish(self) -> None:
        """Give it its name; an empty body makes an empty file."""
        self.write(b"")
        assert self._file is not None
        try:
            part_file.publish(self._file, self._part, self._path)
        except OSError as error:
            raise unwritable(self._shown, error) from error

    def abandon(self) -> None:
        """Leave the file as it was."""
        if self._file is not None:
            self._file.close()
        if self._has_part:
            with contextlib.suppress(OSError):
                part_file.remove(self._part)


class SpooledSink(StreamSink):
    """Kept until the bodies before it are printed."""

    def __init__(self) -> None:
        from tempfile import SpooledTemporaryFile

        self._spool = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - closed by copy_to
        super().__init__(self._spool, "a temporary file")
        self._has_head = False

    def head(self, text: bytes) -> None:
        super().head(text)
        self._has_head = True

    def copy_to(self, sink: StreamSink, headers: HTTPHeaderDict) -> None:
        """Pass everything on, and forget it."""
        with self._spool:
            self._spool.seek(0)
            if not self._has_head:
                sink.begin(headers)
            while data := self._spool.read(SPOOL_BYTES):
                sink.write(data)
        sink.finish()


def standard_output(is_forced: bool = False) -> StreamSink:
    """Standard output, which may be a terminal; ``is_forced``: named by -o -, so that binary data is welcome."""
    if sys.stdout is None:
        raise TransferError(23, "standard output is closed: -o FILE writes to a file")
    if sys.stdout.isatty() and not is_forced:
        return TerminalSink(sys.stdout.buffer)
    return StreamSink(sys.stdout.buffer)


def file_sink(path: str, makes_folders: bool, appends: bool = False) -> Sink:
    """What writes to the file of that name."""
    try:
        if makes_folders and os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.isdir(path):
            raise TransferError(23, f"{path} is a folder: -o wants a file's name, --output-dir a folder's")
        if appends or (os.path.exists(path) and not os.path.isfile(path)):
            return _OpenFileSink(open(path, "ab" if appends else "wb", 0), path)
    except OSError as error:
        raise unwritable(path, error) from error
    return FileSink(path)


class _OpenFileSink(StreamSink):
    """A file of ours that is written in place."""

    def finish(self) -> None:
        super().finish()
        self._file.close()

    def abandon(self) -> None:
        self._file.close()


def remote_name(url: str) -> str:
    """The last part of the URL's path, as -O has it; TransferError where there is none.

    It comes from us, not from the server, and never leads to another folder.
    """
    path = parse_url(url).path or ""
    name = path.rstrip("/").rpartition("/")[2] if not path.endswith("/") else ""
    if not name or name in (".", "..") or "\0" in unquote(name):
        raise TransferError(23, f"-O: {url} names no file: -o FILE does")
    return name
