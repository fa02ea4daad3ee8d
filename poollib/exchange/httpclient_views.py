"""A live response as those see it who know http.client's below urllib3's: ``_original_response`` and ``_fp``.

:class:`OriginalResponse` has the fields as a message, for cookies; :class:`BodyFile` is the body before decoding as a
file, with the socket below it (``fp.raw._sock``) for those who take it over or set its timeout.  Both read nothing by
themselves: reading is the response's and its body reader's.  :class:`ReplacedFile` is the body of a response whose
``_fp`` a program has replaced by a file of its own, as caches do to keep a copy; :class:`ChunkedFile` reads the chunks
of an ``http.client`` response that a program hands in.  :class:`OriginalNames` has the names by which a response
offers them.
"""

from __future__ import annotations

import re
import socket
import sys
from http.client import IncompleteRead
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from ..base.headers import HTTPHeaderDict
from ..exceptions import InvalidChunkLength, ProtocolError
from ..http1.body_reader import LARGE_RECEIVE_BYTES, Body, BodyState, ChunkedBody
from ..http1.grammar import DEFAULT_LIMITS
from ..http1.response_body_sources import FileBody
from ..http1.response_head import Head

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LINE_BYTES: Final = DEFAULT_LIMITS.chunk_line_bytes
_chunk_size: Final = re.compile(rb"([0-9A-Fa-f]+)[ \t]*\r?\n?")


class LiveResponse(Protocol):
    """What is asked here of the response that is looked at."""

    status: int
    reason: str | None
    version: int
    chunked: bool
    chunk_left: int | None
    _method: str | None

    @property
    def headers(self) -> HTTPHeaderDict: ...
    @property
    def _fp(self) -> Any: ...  # a file of the program's, or a BodyFile
    @property
    def _original_response(self) -> object: ...
    def _update_chunk_length(self) -> None: ...
    @property
    def connection(self) -> object: ...
    def tell(self) -> int: ...
    def fileno(self) -> int: ...
    def isclosed(self) -> bool: ...
    def close(self) -> None: ...
    def body_ended(self, state: BodyState) -> None: ...


class OriginalResponse:
    """What ``http.client`` would have read: status line, ``msg`` with the fields, whether the body has ended.

    It holds the response, which holds it, until the body has ended: so no ring is left for the garbage collector.
    """

    __slots__ = ("_fields", "_method", "_response", "chunked", "reason", "status", "version")

    def __init__(self, response: LiveResponse) -> None:
        self._response: LiveResponse | None = response
        self._fields: HTTPHeaderDict | None = None
        self._method, self.chunked = response._method, response.chunked
        self.status, self.reason, self.version = response.status, response.reason, response.version

    def let_go(self) -> None:
        """The body has ended: keep the fields, and hold the response no longer."""
        if self._response is not None:
            self._fields, self._response = self._response.headers, None

    @property
    def msg(self) -> HTTPHeaderDict:
        """The header fields; ``get_all`` and ``items`` as a message has them."""
        return self._fields if self._response is None else self._response.headers  # type: ignore[return-value]

    headers = msg

    @property
    def code(self) -> int:
        return self.status

    @property
    def fp(self) -> object:
        """The file below the body, None once that has ended."""
        return None if self._response is None else getattr(self._response._fp, "fp", None)

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """One field's value, or ``default``."""
        value: str | None = self.msg.get(name, default)
        return value

    def getheaders(self) -> list[tuple[str, str]]:
        """The fields as pairs."""
        return list(self.msg.items())

    def isclosed(self) -> bool:
        """Whether the body has ended or was closed."""
        return self._response is None or self._response.isclosed()

    def read(self, amt: int | None = None) -> bytes:
        """Bytes of the body, not decoded."""
        return b"" if self._response is None else self._response._fp.read(amt)

    def close(self) -> None:
        """Close the response; an unread rest closes the connection, too."""
        if self._response is not None:
            self._response.close()


class BodyFile:
    """A live body as a file: bytes after the framing and before decoding."""

    __slots__ = ("_response", "body")

    def __init__(self, response: LiveResponse, body: Body) -> None:
        self._response = response
        self.body = body

    def read(self, amt: int | None = None) -> bytes:
        """Exactly ``amt`` bytes, fewer only at the end; all for None."""
        data = self.body.read_all() if amt is None or amt < 0 else self.body.read(amt)
        self._note_end()
        return data

    def read1(self, amt: int = -1) -> bytes:
        """What one receive brings, up to ``amt`` bytes."""
        data = self.body.read1(65536 if amt is None or amt < 0 else amt)
        self._note_end()
        return data

    def readinto(self, buffer: Buffer) -> int:
        """Fill ``buffer``, less only at the end; how many bytes."""
        n = self.body.readinto(memoryview(buffer).cast("B"))
        self._note_end()
        return n

    def _safe_read(self, amt: int) -> bytes:
        """Exactly ``amt`` bytes; IncompleteRead if there are fewer."""
        body = self.body
        data = body.read_chunk(amt) if isinstance(body, ChunkedBody) else body.read(amt)
        self._note_end()
        if len(data) < amt:
            raise IncompleteRead(data, amt - len(data))
        return data

    def _note_end(self) -> None:
        if self.body.state is not BodyState.OPEN:
            self._response.body_ended(self.body.state)

    @property
    def chunked(self) -> bool:
        return isinstance(self.body, ChunkedBody)

    @property
    def chunk_left(self) -> int | None:
        """What is left of the chunk that is being read; None before the first."""
        left = self.body.chunk_left if isinstance(self.body, ChunkedBody) else None
        return None if left is None else max(0, left)

    @property
    def length(self) -> int | None:
        """Bytes that are still to come, None if nobody knows."""
        return self.body.left

    @property
    def closed(self) -> bool:
        return self.body.state is not BodyState.OPEN and self.body.state is not BodyState.UPGRADED

    def isclosed(self) -> bool:
        """Whether the body has ended."""
        return self.closed

    @property
    def fp(self) -> _SocketFile | None:
        """The buffered file that http.client would read from; None once the body has ended."""
        return None if self.closed else _SocketFile(self._response)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._response.fileno()

    def flush(self) -> None:
        """Nothing: nothing is written here."""

    def close(self) -> None:
        """Close the response."""
        self._response.close()

    _close = close

    def __getattr__(self, name: str) -> object:
        return getattr(self._response._original_response, name)


class _SocketFile:
    """A file over the response's socket, as ``makefile`` gives one; ``raw._sock`` is the socket."""

    __slots__ = ("_response",)

    def __init__(self, response: LiveResponse) -> None:
        self._response = response

    @property
    def raw(self) -> _SocketIO | None:
        """The socket as unbuffered file."""
        sock = socket_of(self._response.connection)
        return None if sock is None else _SocketIO(sock, "rw")

    def fileno(self) -> int:
        return self._response.fileno()

    def close(self) -> None:
        """Close the response."""
        self._response.close()


class _SocketIO(socket.SocketIO):
    """A socket as file that leaves closing to the connection until somebody closes it who took the socket over."""

    def __del__(self) -> None:
        """Nothing: the socket stays open."""


class ReplacedFile(FileBody):
    """The body that a program has put in the place of a live one, which it reads in turn; its end is the live one's."""

    __slots__ = ("_response", "live")

    def __init__(self, file: Any, live: Body, response: LiveResponse) -> None:
        super().__init__(file, None)
        self.live = live
        self._response = response

    def read1(self, limit: int) -> bytes:
        if not isinstance(self.live, ChunkedBody) or not hasattr(self.file, "_safe_read"):
            return super().read1(limit)
        response = self._response
        left = _left_in_chunk(response)
        if not left or self.state is not BodyState.OPEN:
            self._finish()
            return b""
        data = _exactly(self.file, min(limit, left))
        response.chunk_left = left - len(data) or None
        self.received += len(data)
        return data

    def _finish(self) -> None:
        super()._finish()
        # Of a file with bytes of its own the live body knows nothing: what it has left would be the next answer.
        self.state = BodyState.CLOSE if self.live.state is BodyState.OPEN else self.live.state


class ChunkedFile(FileBody):
    """The chunked body of an ``http.client`` response made by hand, whose ``fp`` gives the chunks as they were sent.

    ``http.client`` takes them apart until somebody asks for chunks; from then on it is done here.  How much is left of
    one is the response's ``chunk_left``, as in urllib3.  The file is closed at the end and at an error.
    """

    __slots__ = ("_by_chunk", "_response")

    def __init__(self, file: Any, response: LiveResponse) -> None:
        super().__init__(file, None)
        self._response = response
        self._by_chunk = False

    def begin(self) -> None:
        """Take the chunks apart here from now on, unless ``http.client`` has begun or can't be helped."""
        if not self.received and getattr(self.file, "fp", None) is not None and hasattr(self.file, "_safe_read"):
            self._by_chunk = True

    def read_chunk(self, limit: int | None) -> bytes:
        """The rest of the chunk, or the next one, up to ``limit`` bytes; ``b""`` only at the end."""
        return self.read1(limit or (sys.maxsize if self._by_chunk else LARGE_RECEIVE_BYTES))

    def next_size(self) -> int:
        """The size of the next chunk; ProtocolError, InvalidChunkLength."""
        size = self._line("size").partition(b";")[0]
        if not size:
            raise ProtocolError("Response ended prematurely")
        match = _chunk_size.fullmatch(size)
        if match is None:
            raise InvalidChunkLength(self._response, size)
        return int(match[1], 16)

    def _take(self, limit: int | None) -> bytes:
        if not self._by_chunk:
            return super()._take(limit)
        try:
            if limit is None:
                return b"".join(iter(lambda: self._next(sys.maxsize), b""))
            return self._next(limit)
        except BaseException:
            self.close()
            raise

    def _next(self, limit: int) -> bytes:
        response = self._response
        left = _left_in_chunk(response)
        if not left:
            while self._line("trailer") not in (b"\r\n", b""):
                pass
            self.close()
            return b""
        data = _exactly(self.file, min(limit, left))
        response.chunk_left = left - len(data)
        if not response.chunk_left:
            _exactly(self.file, 2)  # the line end behind the chunk
            response.chunk_left = None
        return data

    def _line(self, kind: str) -> bytes:
        line: bytes = self.file.fp.readline(_LINE_BYTES + 1)
        if len(line) > _LINE_BYTES:
            raise ProtocolError(f"Response chunk {kind} line exceeded maximum allowed length")
        return line


def socket_of(connection: object) -> Any:
    """A connection's socket; None if it has none now, and for one of somebody else's class that knows none."""
    return getattr(connection, "sock", None)


def _left_in_chunk(response: LiveResponse) -> int | None:
    """What is left of the chunk that is being read, else the size of the next one; 0 at the end."""
    response._update_chunk_length()  # caches override it
    return response.chunk_left


def _exactly(file: Any, count: int) -> bytes:
    """So many bytes of an ``http.client`` response; its IncompleteRead if there are fewer."""
    data: bytes = file._safe_read(count)
    return data


class MadeOriginal:
    """``_original_response`` of a live response, made when it is first asked for; the response has it from then on.

    Who sets it, sets it there, too. None for a response that was made of something else.
    """

    def __get__(self, response: Any, owner: object = None) -> Any:
        if response is None:
            return self
        if response._head is None:
            return None
        made = response._original_response = response._made_original = OriginalResponse(response)
        if response.isclosed():
            made.let_go()
        return made


class OriginalNames:
    """urllib3's private names for what is below a response, for ``HTTPResponse``."""

    body_source: Body | None
    _head: Head | None
    _original_response = MadeOriginal()
    _made_original: OriginalResponse | None = None  # the same, while nobody has put another in its place
    chunk_left: int | None = None  # of the chunk that is being read; only of files that are not the live body

    @property
    def _fp(self) -> Any:
        source = self.body_source
        if source is None or isinstance(source, FileBody):
            return None if source is None else source.file
        return BodyFile(cast("LiveResponse", self), source)

    @_fp.setter
    def _fp(self, file: Any) -> None:
        source = self.body_source
        live = source.live if isinstance(source, ReplacedFile) else source
        if live is not None and not isinstance(live, FileBody):
            self.body_source = ReplacedFile(file, live, cast("LiveResponse", self))
        else:
            self.body_source = FileBody(file, None) if hasattr(file, "read") else None

    def _update_chunk_length(self) -> None:
        """Begin the next chunk where none is being read; 0 in ``chunk_left`` at the end. Caches override this."""
        if self.chunk_left is None and isinstance(self.body_source, ChunkedFile):
            self.chunk_left = self.body_source.next_size()
            return
        live = self.body_source.live if isinstance(self.body_source, ReplacedFile) else self.body_source
        if self.chunk_left is None and isinstance(live, ChunkedBody):
            begun = (live.chunk_left or 0) > 0 or live.state is not BodyState.OPEN
            self.chunk_left = live.chunk_left if begun else live.next_size()
