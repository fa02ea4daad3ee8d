"""HTTPResponse: reads, decodes, and hands its connection back once.

A response is an ``io`` stream over a body source: a ``body_reader`` reader on a live connection, or any file object
(recorders and mocks hand one in).  Framing belongs to ``body_reader``, inflating to ``content_encoding``; this module
asks them for bytes, and at the framing's end, or at the first error, gives the connection back to the pool that lent
it.  Whoever gives the connection back forgets it first, so it is given back once, whatever reads, closes or drops the
response. It leaves what needs no body to ``base_response``, retries and redirects to ``request_loop``.  The interface
is urllib3's."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple

from .base.headers import HTTPHeaderDict
from .base.loggers import logger, shown_url
from .client.lease import Lease
from .exceptions import (
    READING_THE_BODY,
    BodyNotHttplibCompatible,
    HTTPError,
    PoolError,
    ResponseNotChunked,
    name_phase,
)
from .exchange.base_response import BaseHTTPResponse as BaseHTTPResponse
from .exchange.decoding_hooks import DecodingHooks
from .exchange.file_like import bare_lines, split_lines
from .exchange.httpclient_views import ChunkedFile, OriginalNames, socket_of
from .http1.body_reader import LARGE_RECEIVE_BYTES, Body, BodyState, ChunkedBody
from .http1.content_encoding import decoder_for
from .http1.response_body_sources import DecodedBody, FileBody
from .http1.response_head import Head, named_length

if TYPE_CHECKING:
    import http.client

    from typing_extensions import Buffer

    from .client.keyword_types import Body as BodyArgument
    from .exchange.transport import Transport
    from .http1.sse import Event, EventParser
    from .policy.retry import Retry

log = logger(__name__)

DRAIN_LIMIT_BYTES = 65536  # a thrown-away body is read up to here to save its connection, then closed
DRAIN_LIMIT_S = 1.0  # and for so long: dialling anew costs less


class Detached(NamedTuple):
    """A socket that speaks another protocol from here on, and the bytes that came already."""

    sock: Any
    data: bytes


class HTTPResponse(OriginalNames, DecodingHooks, BaseHTTPResponse):
    """A response whose body is read from a connection or from any file object.

    ``body`` may be bytes, str, or an object with ``read``; live responses are made by :meth:`received`.
    """

    enforce_content_length = True
    auto_close = True
    msg: Any = None
    interim: tuple[tuple[int, list[tuple[str, str]]], ...] = ()
    body_source: Body | None = None
    _decoded: DecodedBody | None = None
    _plain: Body | None = None  # the source, once a second read has found that it needs no decoder
    _body: Any = None
    _pool: Any = None
    _connection: Any = None
    _lease: Lease | None = None
    _method: str | None = None
    max_decoded_size: int | None = None
    _sock_shutdown: Callable[[int], None] | None = None

    def __init__(
        self,
        body: BodyArgument | None = "",
        headers: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
        status: int = 0,
        version: int = 0,
        version_string: str = "HTTP/?",
        reason: str | None = None,
        preload_content: bool = True,
        decode_content: bool = True,
        original_response: http.client.HTTPResponse | None = None,
        pool: Any = None,
        connection: Transport | None = None,
        msg: http.client.HTTPMessage | None = None,
        retries: Retry | None = None,
        enforce_content_length: bool = True,
        request_method: str | None = None,
        request_url: str | None = None,
        auto_close: bool = True,
        sock_shutdown: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(
            headers=headers,
            status=status,
            version=version,
            version_string=version_string,
            reason=reason,
            decode_content=decode_content,
            request_url=request_url,
            retries=retries,
        )
        self.enforce_content_length = enforce_content_length
        self.auto_close = auto_close
        self.msg = msg
        if original_response is not None:
            self._original_response = original_response
        self._pool = pool
        self._connection = connection
        self._sock_shutdown = sock_shutdown
        self._method = request_method
        self.length_remaining = self._init_length(request_method)
        if body and isinstance(body, (str, bytes)):
            self._body = body
        if hasattr(body, "read"):
            if self.chunked and hasattr(body, "fp"):
                self.body_source = ChunkedFile(body, self)
            else:
                self.body_source = FileBody(body, self.length_remaining if enforce_content_length else None)
        if preload_content and self._body is None and self.body_source is not None:
            self._body = self.read(decode_content=decode_content)

    @classmethod
    def received(cls, head: Head, source: Body | None, body: bytes | None, method: str, url: str) -> HTTPResponse:
        """A live response: its head, and the reader of its body, or the whole body where that is in already."""
        self = cls.__new__(cls)
        self.status = head.status
        self.version = head.version
        self.reason = head.reason
        self._head = head
        self.body_source = source
        self._body = body
        self._method = method
        self._request_url = url
        if source is not None:
            self.chunked = isinstance(source, ChunkedBody)
            self.length_remaining = source.left
        elif head.length >= 0:
            self.length_remaining = 0
        return self

    # -- reading --

    @property
    def data(self) -> bytes:
        if self._body is None and self.body_source is not None:
            self._body = self.read()
        return self._body  # type: ignore[no-any-return]

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """Exactly ``amt`` bytes, fewer only at the end; all the rest for None or a negative number.

        ``decode_content`` (None: as the response was asked for) undoes Content-Encoding; never more than about
        ``amt`` bytes are inflated.  ``cache_content`` keeps a body read whole as :attr:`data`.  ReadTimeoutError,
        ProtocolError (also for a body cut short), DecodeError, ResponseTooLargeError; each closes the connection.
        """
        if cache_content:
            is_whole = self.body_source is not None and (amt is None or amt < 0) and not self.tell()
            data = self.read(amt, decode_content)
            if is_whole:
                self._body = data
            return data
        source = self.body_source
        reader = source if source is self._plain else self._reader(decode_content)
        if reader is None:
            return b""
        try:
            data = reader.read_all() if amt is None or amt < 0 else reader.read(amt)
        except BaseException as error:
            self._fail(error)
            raise
        self._after_read()
        return data

    def accept(self, preload: bool) -> None:
        """Take a live response that goes up to the caller: with ``preload`` its body is read and kept as :attr:`data`.

        That of a redirect is kept as it was sent, and decoded when somebody wants it: as a rule nobody does. Without
        ``preload`` it is only looked at whether the body was announced too large. Errors as those of ``read``.
        """
        self.is_pending = False
        source = self.body_source
        if source is None or self._body is not None:
            return
        if not preload:
            if source.limit_bytes is not None:
                self._refuse_announced(source)
        elif self.status >= 300 and self._content_encoding() and self._decoded is None and self.get_redirect_location():
            self._preload_coded(source)
        else:
            self._body = self.read()

    def _refuse_announced(self, source: Body) -> None:
        try:
            source.check_announced()
        except BaseException as error:
            self._fail(error)
            raise

    def _preload_coded(self, source: Body) -> None:
        if self._connection is None and isinstance(source, FileBody):
            return  # kept already
        data = self.read(decode_content=False)
        self.body_source = FileBody(io.BytesIO(data), len(data))
        self.body_source.trailers = source.trailers

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """What is at hand or one receive brings, up to ``amt`` bytes (None: no limit); ``b""`` at the end."""
        reader = self._reader(decode_content, "read1")
        if reader is None or amt == 0:
            return b""
        try:
            if amt is not None and amt >= 0:
                data = reader.read1(amt)
            else:
                data = reader.read_all() if self._is_in_memory() else reader.read1(LARGE_RECEIVE_BYTES)
        except BaseException as error:
            self._fail(error)
            raise
        self._after_read()
        return data

    def _is_in_memory(self) -> bool:
        source = self.body_source
        return isinstance(source, FileBody) and isinstance(source.file, io.BytesIO)

    def readinto(self, buffer: Buffer) -> int:
        """As ``read`` into ``buffer``: all of it is filled, less only at the end; how many bytes."""
        source = self.body_source
        reader = source if source is self._plain else self._reader(None)
        if reader is None:
            return 0
        if type(buffer) is not bytearray:
            buffer = _writable(buffer)
        try:
            n = reader.readinto(buffer)
        except BaseException as error:
            self._fail(error)
            raise
        self._after_read()
        return n

    def readinto1(self, buffer: Any) -> int:
        """As ``read1`` into ``buffer``: what is at hand or one receive brings; how many bytes, 0 only at the end."""
        reader = self._reader(None)
        if reader is None:
            return 0
        view = _writable(buffer)
        try:
            n = reader.readinto1(view)
        except BaseException as error:
            self._fail(error)
            raise
        self._after_read()
        return n

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        """The body in pieces of ``amt`` bytes (None: one piece); a chunked body chunk by chunk, as it arrives."""
        if self.chunked and self.supports_chunked_reads():
            yield from self.read_chunked(amt, decode_content)
            return
        if amt == 0:  # pieces of no bytes would never come to an end
            return
        while not self._exhausted():
            data = self.read(amt, decode_content)
            if data:
                yield data

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """The chunks of a chunked body as they were sent, longer ones in pieces of ``amt`` bytes; decoded.

        ResponseNotChunked, BodyNotHttplibCompatible if the response is not chunked or its source not live.
        """
        if amt is not None and amt < 0:
            amt = None
        if not self.chunked:
            raise ResponseNotChunked("Response is not chunked. Header 'transfer-encoding: chunked' is missing.")
        if amt == 0 or self._is_without_body() or self._is_shut:
            return
        if not self.supports_chunked_reads():
            raise BodyNotHttplibCompatible("the body is no live chunked body: its chunks can't be seen")
        source, reader = self.body_source, None if self._exhausted() else self._reader(decode_content)
        if isinstance(source, ChunkedFile):
            source.begin()
        while reader is not None and source is not None and self.body_source is source:
            try:
                if reader is source and isinstance(source, (ChunkedBody, ChunkedFile)):
                    data = source.read_chunk(amt)
                else:
                    data = reader.read1(amt or LARGE_RECEIVE_BYTES)
            except BaseException as error:
                self._fail(error)
                raise
            if source.state is not BodyState.OPEN:
                self._after_read()
            if not data:
                return
            yield data
            if reader is source and isinstance(source, ChunkedBody):
                yield from source.whole_chunks(amt)

    def _is_without_body(self) -> bool:
        """Whether this answers HEAD; an original response handed in that says so is closed."""
        original: Any = vars(self).get("_original_response")
        if getattr(original, "_method", None) == "HEAD":
            original.close()
            self.release_conn()
            return True
        return self._method == "HEAD"

    def __iter__(self) -> Iterator[bytes]:
        """The decoded body line by line, each with its line end (LF)."""
        return split_lines(self.stream(decode_content=True))

    def iter_lines(self, decode_content: bool | None = None) -> Iterator[bytes]:
        """The body line by line without line ends (LF or CRLF), each as soon as it is in."""
        return bare_lines(lambda: self.read1(None, decode_content))

    def events(self, last_event_id: str = "") -> Iterator[Event]:
        """Server-sent events, each as soon as its blank line is in; ``last_event_id``: what the stream goes on from.

        InvalidResponseError for a line or event beyond 1 MiB. Source: the HTML standard, "Server-sent events".
        """
        from .http1.sse import EventParser

        parser = EventParser(last_event_id)
        while piece := self.read1(None, True):
            yield from self._parsed(parser, piece)

    def _parsed(self, parser: EventParser, piece: bytes) -> list[Event]:
        try:
            return parser.feed(piece)
        except BaseException as error:
            self._fail(error)
            raise

    @property
    def trailers(self) -> HTTPHeaderDict:
        """The trailer fields of a chunked body; empty until it is read to its end (RFC 9110 section 6.5)."""
        return HTTPHeaderDict.from_pairs(self.body_source.trailers if self.body_source is not None else ())

    def _reader(self, decode_content: bool | None, name: str = "read") -> Body | DecodedBody | None:
        """Where bytes come from: the source, or the source through a decoder; None if there is no source.

        ``name``: the method that is refused where it can't be undone that bytes were decoded.
        """
        source = self.body_source
        if source is None or source is self._plain:
            return source
        decoded = self._decoded
        if decode_content is None:
            decode_content = self.decode_content
        if decoded is not None:
            if not decode_content:
                if (
                    not decoded.produced and self._is_broken()
                ):  # it was no such coding; who drains it finds nothing left
                    return None
                raise RuntimeError(
                    f"Calling {name}(decode_content=False) is not supported after"
                    f" {name}(decode_content=True) was called."
                )
            return decoded
        if not decode_content:
            return source
        if type(self)._init_decoder is not DecodingHooks._init_decoder:
            self._init_decoder()
            if self._decoded is not None:
                return self._decoded
        encoding = self._content_encoding()
        if not encoding:
            if source.received:
                self._plain = source
            return source
        return self._start_decoding(source, encoding)

    def _is_broken(self) -> bool:
        return self.body_source is not None and self.body_source.state is BodyState.BROKEN

    def _content_encoding(self) -> str:
        fields = self._headers
        if fields is None:
            if self._head is not None:
                return self._head.content_encoding
            fields = self.headers
        return str(fields.get("content-encoding", "")).lower()

    def _start_decoding(self, source: Body, encoding: str) -> Body | DecodedBody:
        if source.left == 0:  # an answer to HEAD names the coding of a body that does not come
            return source
        try:
            decoder = decoder_for(encoding) if _get_decoder is _own_get_decoder else _get_decoder(encoding)
        except BaseException as error:
            self._fail(error)
            raise
        if decoder is None:
            return source
        self._decoded = DecodedBody(source, decoder, encoding, self.max_decoded_size)
        return self._decoded

    def _exhausted(self) -> bool:
        source = self.body_source
        if source is None or source.state is BodyState.OPEN or source.state is BodyState.BROKEN:
            return source is None
        return self._decoded is None or self._decoded.ended

    # -- the connection --

    def hold(self, connection: Transport) -> None:
        """Let the connection hear of the body's end; a pool attaches its lease later."""
        self._connection = connection

    def attach(self, lease: Lease, holds: bool = False) -> None:
        """Own the connection until the body has ended (which may be now), then give it back.

        ``holds``: not now, but when somebody reads, releases or closes: the caller wants to see the connection.
        """
        self.is_pending = True
        self._lease = lease
        self._pool = lease.owner
        self._connection = lease.connection
        source = self.body_source
        if source is not None and source.state is not BodyState.OPEN and not holds:
            self._end_exchange(source.state)

    def _after_read(self) -> None:
        source = self.body_source
        assert source is not None
        self.length_remaining = source.left
        if source.state is not BodyState.OPEN and self._connection is not None:
            self._end_exchange(source.state)

    def detach(self) -> Detached:
        """The socket and the bytes received behind the head, after 101 or a successful CONNECT; once.

        The pool forgets the connection, its slot is free; the caller closes the socket. ValueError for responses
        that hand no socket over (RFC 9110 sections 7.8 and 9.3.6).
        """
        source, connection = self.body_source, self._connection
        if source is None or source.state is not BodyState.UPGRADED or connection is None:
            raise ValueError(f"a response with status {self.status} hands no socket over, or has done so already")
        data = source.incoming.take(source.incoming.unread())
        self._connection = None
        sock = connection.detach()
        if self._lease is not None:
            self._lease.detach()
        source.state = BodyState.CLOSE
        return Detached(sock, data)

    def _end_exchange(self, state: BodyState) -> None:
        """The framing has ended: tell the connection, then give it back."""
        if state is BodyState.UPGRADED:
            return
        connection = self._connection
        if hasattr(connection, "response_ended") and not (self._pool is None and self._is_abandoned()):
            connection.response_ended(state is BodyState.REUSABLE)
        self.release_conn()
        if self._made_original is not None and self.isclosed():
            self._made_original.let_go()

    def body_ended(self, state: BodyState) -> None:
        """Note that somebody has read the live body to its end past this response."""
        if self._connection is not None:
            self._end_exchange(state)

    def _fail(self, error: BaseException) -> None:
        """The body can't be read on: nothing more of this connection is believed."""
        if isinstance(error, PoolError) and self._pool is not None:
            error.pool = self._pool
        name_phase(error, READING_THE_BODY)
        if self.body_source is not None:
            self.body_source.state = BodyState.BROKEN
        self._drop_connection()

    def _drop_connection(self) -> None:
        connection = self._connection
        if connection is not None:
            try:
                if not (self._pool is None and self._is_abandoned()):
                    connection.close()
            finally:
                self.release_conn()

    def _is_abandoned(self) -> bool:
        """Whether a connection without a pool was closed: once it is opened anew, it belongs to another response."""
        source = self.body_source
        if source is None or isinstance(source, FileBody):
            return False
        return getattr(self._connection, "_receive_buffer", source.incoming) is not source.incoming

    def release_conn(self) -> None:
        """Give the connection back to its pool, which keeps it only if its response was read to the end."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        lease, self._lease = self._lease, None
        if lease is not None:
            try:
                lease.release()
            except BaseException:
                lease.reclaim()
                raise
        elif self._pool is not None:  # whoever made this response has handed both in
            Lease(self._pool, connection).release()

    def drain_conn(self) -> None:
        """Throw the rest away, undecoded; more than 64 KiB or 1 s of it costs more than a new connection."""
        source = self.body_source
        if source is not None and source.is_worth_draining(DRAIN_LIMIT_BYTES):
            connection = self._connection
            is_limited = hasattr(connection, "cap_read_timeout")
            try:
                with connection.cap_read_timeout(DRAIN_LIMIT_S) if is_limited else nullcontext():
                    _drain(source)
            except (HTTPError, OSError, HTTPException):
                source.state = BodyState.BROKEN
            except BaseException as error:
                self._fail(error)
                raise
        if source is None or source.state is BodyState.OPEN or source.state is BodyState.BROKEN:
            self._drop_connection()
            if source is not None:  # nothing is left, wherever the reading ended
                self.body_source, self._body = None, self._body or b""
        else:
            self._decoded, self._plain = None, source  # there is nothing left to decode
            self._after_read()

    def close(self) -> None:
        """Close; an unread rest closes the connection, too. The slot in the pool comes free."""
        source = self.body_source
        if source is not None and source.state in (BodyState.OPEN, BodyState.UPGRADED):
            source.state = BodyState.BROKEN
            if isinstance(source, FileBody):
                source.close()
        self._drop_connection()
        self.body_source = None
        self._is_shut = True

    def shutdown(self) -> None:
        """Shut the socket for reading, so that a read in another thread ends at once."""
        shutdown = self._sock_shutdown
        if shutdown is None:
            self._shut_own()
            return
        import socket

        shutdown(socket.SHUT_RD)

    def _shut_own(self) -> None:
        """Shut the connection's socket, while the connection can't go to its next borrower."""
        import socket

        sock = socket_of(self._connection)
        if sock is not None:
            if self._lease is None:
                sock.shutdown(socket.SHUT_RD)
                return
            if self._lease.while_held(lambda: sock.shutdown(socket.SHUT_RD)):
                return
        if self._head is not None:
            raise RuntimeError("Cannot shutdown as connection has already been released to the pool")
        raise ValueError("Cannot shutdown socket as self._sock_shutdown is not set")

    @property
    def connection(self) -> Any:
        return self._connection

    # -- io --

    def __del__(self) -> None:
        source = self.body_source
        if source is None or (source.state is _REUSABLE and self._connection is None):  # it has ended, or was closed
            return
        if self._connection is not None:  # nobody reads on; or an interrupt came while it was closed
            try:  # noqa: SIM105  # at the exit this module's names may be None here
                self.close()
            except Exception:
                pass
        else:
            super().__del__()

    @property
    def closed(self) -> bool:
        if not self.auto_close:
            return self._is_shut
        source = self.body_source
        return source is None or (source.state is not BodyState.OPEN and source.state is not BodyState.UPGRADED)

    def isclosed(self) -> bool:
        """Whether the body was read to its end, or closed."""
        source = self.body_source
        return source is None or source.state is not BodyState.OPEN

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        """How many bytes of the body were received, before decoding."""
        if self.body_source is None and self._head is not None:
            return len(self._body or b"")
        return self.body_source.received if self.body_source is not None else 0

    def fileno(self) -> int:
        sock = socket_of(self._connection)
        if sock is not None:
            return int(sock.fileno())
        source = self.body_source
        if isinstance(source, FileBody) and hasattr(source.file, "fileno"):
            return int(source.file.fileno())
        raise OSError("HTTPResponse has no file to get a fileno from")

    def flush(self) -> None:
        source = self.body_source
        if isinstance(source, FileBody):
            source.flush()

    def supports_chunked_reads(self) -> bool:
        """Whether the chunks of the body can be seen."""
        source = self.body_source
        return isinstance(source, ChunkedBody) or (isinstance(source, FileBody) and hasattr(source.file, "fp"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status}] {shown_url(self._request_url)}>"

    # -- urllib3 names --

    def _init_length(self, request_method: str | None) -> int | None:
        """The length that header fields name, for bodies from files; None if they name none."""
        return None if self.chunked else named_length(self.headers.get("content-length"), self.status, request_method)


def _writable(buffer: Any) -> memoryview:
    """The bytes of ``buffer``; TypeError before anything is read into what can't be written."""
    view = memoryview(buffer)
    if view.readonly:
        raise TypeError(f"the buffer to read into must be writable, as a bytearray is, not {type(buffer).__name__}")
    return view.cast("B")


def _drain(source: Body) -> None:
    """Read on within the limits, or to the end. How large the body may be for who wants it does not matter here."""
    source.limit_bytes = None
    end = time.monotonic() + DRAIN_LIMIT_S
    left = DRAIN_LIMIT_BYTES
    while left > 0 and time.monotonic() < end and (piece := source.read1(left)):
        left -= len(piece)
    if not left:  # the end of a chunked body may stand right behind
        source.read1(1)


# -- urllib3 names, as others import them from here --

from .http1.content_encoding import BytesQueueBuffer as BytesQueueBuffer  # noqa: E402
from .http1.content_encoding import MultiDecoder as MultiDecoder  # noqa: E402
from .http1.content_encoding import _get_decoder as _get_decoder  # noqa: E402
from .http1.decoders import BrotliDecoder as BrotliDecoder  # noqa: E402
from .http1.decoders import ContentDecoder as ContentDecoder  # noqa: E402
from .http1.decoders import DeflateDecoder as DeflateDecoder  # noqa: E402
from .http1.decoders import GzipDecoder as GzipDecoder  # noqa: E402

_own_get_decoder = _get_decoder
_REUSABLE = BodyState.REUSABLE  # found by finalisers, also at the exit
