"""A request's body on its way out: how it is framed, and how it leaves a socket.

``connection`` asks :func:`payload_for` how a body goes out, before a byte is sent, and lets an :class:`Upload` send
what does not fit into one call with the head.  A plain file over plain TCP leaves by ``sendfile``, pieces leave as
soon as they are there, and an answer that comes meanwhile stops the sending (RFC 9112 section 9.5).  Reading that
answer is ``connection``'s business, telling bodies apart ``request_body``'s.  Framing follows RFC 9112 sections 6
and 7.1.

Between the first and the last byte the socket is non-blocking, and all waiting is done here::

    send ── taken ──> send ...
      └── would block ──> wait for room or for an answer ── room ──> send ...
                             ├── time is up ──> TimeoutError
                             └── answer ──────> AnsweredEarly
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import NamedTuple, TypeAlias

from ..base.exact_values import whole
from ..base.tls_errors import wants_read, wants_write
from ..http1.request_body import body_errors, body_length, body_to_chunks
from ..http1.request_head import Fields, FieldValue, check_name, trailer_block
from ..net.socket_state import HasFileno, StreamSocket, closed_error

JOIN_BYTES = 65536  # a body up to here leaves in one call with its head; copying costs less than a second call
READ_BYTES = 65536  # read from a file at a time: blocks of 16 KiB cost 165 ms for 256 MiB, of 64 KiB 118
URLLIB3_BLOCK_BYTES = 16384  # urllib3's default for ``blocksize``: nobody asked for it, so READ_BYTES holds
LOOK_EVERY_S = 0.01  # while the socket takes all, an answer is looked for so often: a look at each piece costs 0.7 us
SENDFILE_BYTES = 1 << 30  # the most that one call of sendfile is asked for; Linux takes 2 GiB less a page
_MORE = socket.MSG_MORE if hasattr(socket, "MSG_MORE") else 0  # Linux: the head waits for the first bytes of the file
TOLD_BYTES = 262144  # what a progress callback is told of at a time, where more is at hand

Piece: TypeAlias = bytes | memoryview
#: called with the bytes of a body that have left so far, and with all there are (None: unknown)
Progress: TypeAlias = Callable[[int, "int | None"], object]
PlainFile: TypeAlias = io.BufferedReader | io.BufferedRandom | io.FileIO
Trailers = Mapping[str, FieldValue] | Callable[[], Mapping[str, FieldValue]]


class AnsweredEarly(Exception):
    """The server has answered, or ended the connection, before the whole body was sent; nothing more is sent."""


class SentBytes:
    """Tells a caller how much of one body has left, from 0 on; what its ``progress`` raises is the body's error."""

    __slots__ = ("_progress", "_sent", "_total")

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress, self._sent, self._total = progress, 0, total

    def add(self, count: int) -> None:
        """So many bytes more have left; 0: the sending begins."""
        self._sent += count
        with body_errors:
            self._progress(self._sent, self._total)


class Payload(NamedTuple):
    """A body to send: its pieces, and how their end is told."""

    pieces: Iterable[Piece]
    length: int | None  # None: chunked
    ready: bool = False  # all pieces are at hand: small ones may leave together
    file: object = None  # a file whose bytes are ``length`` from its position on, else None
    trailers: Trailers | None = None
    told: SentBytes | None = None  # who wants to know how much has left

    def of(self, pieces: Iterable[Piece]) -> Payload:
        """The same in other pieces."""
        return self._replace(pieces=pieces)

    def rest(self, length: int) -> Payload:
        """Its last ``length`` bytes, where the file stands before them."""
        return self._replace(length=length)

    @property
    def is_small(self) -> bool:
        """Whether it leaves in one call with the head, and nobody wants to know how far it is."""
        is_small = isinstance(self.pieces, tuple) and self.length is not None and self.length <= JOIN_BYTES
        return is_small and self.told is None

    def telling(self, progress: Progress | None) -> Payload:
        """The same, with its bytes told to ``progress``; as it is for None."""
        return self if progress is None else self._replace(told=SentBytes(progress, self.length))

    def trailer_bytes(self) -> bytes:
        """The trailers as they are sent behind the last chunk; a callable is asked for them now."""
        with body_errors:
            trailers = self.trailers() if callable(self.trailers) else self.trailers
            return trailer_block((trailers or {}).items())


def payload_for(
    method: str, body: object, fields: Fields, chunked: bool, blocksize: int, trailers: Trailers | None = None
) -> Payload:
    """How ``body`` goes out: chunked, or with a length that was given or can be known.

    ValueError for what contradicts itself: a length that is not the body's, chunked with a length.
    """
    if fields.content_length is not None and (chunked or trailers is not None):
        raise ValueError("chunked or trailers contradict the header Content-Length (RFC 9112 section 6.2)")
    if fields.transfer_encoding is not None and fields.transfer_encoding.split(",")[-1].strip() != "chunked":
        raise ValueError(f"header Transfer-Encoding must end with 'chunked', not {fields.transfer_encoding!r}")
    blocksize = whole("blocksize", blocksize)
    if blocksize == URLLIB3_BLOCK_BYTES:
        blocksize = READ_BYTES
    elif blocksize < 1:  # reading 0 bytes at a time would send an empty body
        raise ValueError(f"blocksize must be at least 1, not {blocksize!r}")
    chunks, known = body_to_chunks(body, method=method, blocksize=blocksize)
    pieces: Iterable[Piece] = () if chunks is None else chunks
    length = body_length(body) if known is None else known
    ready = length is not None or isinstance(body, (list, tuple))
    announced = fields.content_length
    if announced is not None and length is None and body is None:
        length = 0
    if announced is not None and length is not None and announced != length:
        raise ValueError(f"header Content-Length is {announced}, but the body has {length} bytes")
    if isinstance(trailers, Mapping):
        trailer_block(trailers.items())  # what can be checked before a byte leaves is
    is_chunked = chunked or trailers is not None or fields.transfer_encoding is not None
    if not is_chunked and (length is not None or announced is not None or body is None):
        file = body if length is not None and hasattr(body, "read") else None
        return Payload(pieces, announced if length is None else length, ready, file)
    return Payload(pieces, None, ready, None, trailers)


def framing_field(payload: Payload, fields: Fields) -> bytes:
    """The field that tells the body's framing, and Trailer where its names are known; what the caller gave stays."""
    if payload.length is not None:
        return b"" if fields.content_length is not None else b"Content-Length: %d\r\n" % payload.length
    line = b"" if fields.transfer_encoding is not None else b"Transfer-Encoding: chunked\r\n"
    if isinstance(payload.trailers, Mapping) and payload.trailers and "trailer" not in fields.names:
        line += f"Trailer: {', '.join(map(check_name, payload.trailers))}\r\n".encode("latin-1")
    return line


class Upload:
    """The sending of one body over ``sock``, piece by piece.

    ``wait_s()``: how many seconds one wait for room may take (None: no limit); it may raise. ``answered()``: called
    when something can be read; True if that is the final answer or the end, so that sending shall stop.
    ``sent``: bytes that left. Errors: OSError as the socket raises it, TimeoutError, AnsweredEarly.
    """

    def __init__(self, sock: StreamSocket, wait_s: Callable[[], float | None], answered: Callable[[], bool]) -> None:
        self.sent = 0
        self._sock = sock
        self._wait_s = wait_s
        self._answered = answered
        self._is_plain = type(sock) is socket.socket
        self._is_socket = isinstance(sock, socket.socket)  # TLS in TLS is none: it waits inside its sendall
        self._poll: select.poll | None = None
        self._poll_write: select.poll | None = None
        self._look_at = 0.0
        self._take: Callable[[bytes, int], int] = sock.send if isinstance(sock, socket.socket) else self._take_all
        self._sendmsg: Callable[[Iterable[Piece]], int] | None = None  # sends several pieces in one call
        if type(sock) is socket.socket and hasattr(sock, "sendmsg"):
            self._sendmsg = sock.sendmsg

    def run(self, head: bytes, payload: Payload) -> None:
        """Send ``head`` and the body behind it. ValueError if the body has not the announced length."""
        timeout_s = self._sock.gettimeout()
        if self._is_socket:
            self._poll, self._poll_write = _pollers(self._sock)
        if payload.told is not None:
            payload.told.add(0)
            payload = payload.of(cut(joined(payload.pieces) if payload.ready else payload.pieces))
        self._sock.settimeout(0.0 if self._is_socket else self._wait_s())
        try:
            if payload.length is None:
                self._send_chunked(head, payload)
            elif payload.file is not None and self._is_plain and (file := plain_file(payload.file)) is not None:
                self._send_file(head, file, payload)
            else:
                self._send_counted(head, payload)
        finally:
            if self._sock.fileno() >= 0:
                self._sock.settimeout(timeout_s)

    # -- bodies --

    def _send_counted(self, head: bytes, payload: Payload) -> None:
        """Send exactly the announced number of bytes, or fail: the framing must not break."""
        announced = payload.length or 0
        left, told = announced, payload.told
        for piece in joined(payload.pieces) if payload.ready else payload.pieces:
            size = size_of(piece)
            if size > left:
                if payload.file is None:
                    raise ValueError(f"the body is longer than its Content-Length of {announced} bytes")
                piece, size = memoryview(piece)[:left], left  # the file has grown since its size was announced
            left -= size
            if head:
                self._send_parts(head, piece)
                head = b""
            elif type(piece) is bytes:
                self._send(piece)
            else:
                self._send_parts(piece)
            if told is not None and size:
                told.add(size)
            if not left and payload.file is not None:
                break
        if head:
            self._send(head)
        if left:
            raise ValueError(f"the body is {left} bytes shorter than its Content-Length of {announced} bytes")

    def _send_chunked(self, head: bytes, payload: Payload) -> None:
        """Send each piece as a chunk as soon as it is there, then the last chunk and the trailers.

        A small chunk leaves uncopied by one sendmsg, and from here: 0.3 us for 0.55 beside the system's 2.7 (16 KiB).
        """
        gather = self._sendmsg
        line, announced = b"", 0
        pieces, told = payload.pieces, payload.told
        if payload.ready and told is None:
            head, pieces = self._send_ready_chunks(head, pieces), ()
        for piece in pieces:
            size = len(piece) if type(piece) is bytes else size_of(piece)
            if not size:
                continue
            if size != announced:
                line, announced = b"%x\r\n" % size, size
            if head:
                self._send_parts(head + line, piece, b"\r\n")
                head = b""
            elif gather is not None and size <= JOIN_BYTES:
                if monotonic() > self._look_at:
                    self._look_again()
                try:
                    n = gather((line, piece, b"\r\n"))
                except OSError as error:
                    self._wait_after(error)
                    n = 0
                self.sent += n
                if n < len(line) + size + 2:
                    self._send_views([memoryview(b"".join((line, piece, b"\r\n")))[n:]])
            else:
                self._send_parts(line, piece, b"\r\n")
            if told is not None:
                told.add(size)
        self._send(head + b"0\r\n" + payload.trailer_bytes())

    def _send_ready_chunks(self, head: bytes, pieces: Iterable[Piece]) -> bytes:
        """Send ``head`` and pieces that are all at hand, small chunks together; what of it is left to be sent."""
        small: list[Piece] = [head]
        size = len(head)
        for piece in pieces:
            n = size_of(piece)
            if not n:
                continue
            small.append(b"%x\r\n" % n)
            if n > JOIN_BYTES:
                self._send_parts(b"".join(small), piece, b"\r\n")
                small, size = [], 0
                continue
            small += (piece, b"\r\n")
            size += n
            if size > JOIN_BYTES:
                self._send(b"".join(small))
                small, size = [], 0
        return b"".join(small)

    def _send_file(self, head: bytes, file: PlainFile, payload: Payload) -> None:
        """Let the kernel copy the file; reading it, where this file system does not know how."""
        left, told = payload.length or 0, payload.told
        most = SENDFILE_BYTES if told is None else TOLD_BYTES
        start = at = file.tell()
        self._send(head, _MORE)
        opened: list[int] = []
        try:
            out = _own_descriptor(self._sock, opened)
            while left:
                n = self._sendfile(out, file.fileno(), at, min(left, most))
                if n is None:
                    break
                at += n
                left -= n
                if not n:
                    raise ValueError(
                        f"the body is {left} bytes shorter than its Content-Length of {payload.length} bytes"
                    )
                if told is not None:
                    told.add(n)
        finally:
            for descriptor in opened:
                os.close(descriptor)
            file.seek(at)
            self.sent += at - start
        if left:
            self._send_counted(b"", payload.rest(left))

    def _sendfile(self, out: int, number: int, at: int, count: int) -> int | None:
        """Bytes that were sent, 0 at the file's end; None if this file can't be sent so, or the socket is closed."""
        while self._sock.fileno() >= 0:
            self._wait_for_room()
            try:
                return os.sendfile(out, number, at, count)
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in _NO_SENDFILE:
                    return None
                raise
        return None

    # -- the socket --

    def _send(self, data: bytes, flags: int = 0) -> None:
        """Send all of ``data``, unless an answer is there already."""
        if monotonic() > self._look_at:
            self._look_again()
        try:
            n = self._take(data, flags)
        except OSError as error:
            self._wait_after(error)
            n = 0
        self.sent += n
        if n < len(data):
            self._send_views([memoryview(data)[n:]])

    def _take_all(self, data: bytes, flags: int) -> int:
        """As ``send`` of a socket, by TLS in TLS."""
        self._sock.sendall(data)
        return len(data)

    def _send_parts(self, *parts: Piece) -> None:
        """Send parts in one call; a large one is not copied for that where the socket gathers."""
        if not self._is_socket or sum(map(size_of, parts)) <= JOIN_BYTES:
            self._send(b"".join(parts))
            return
        self._look()
        views = [memoryview(part).cast("B") for part in parts if size_of(part)]
        for together in [views] if self._sendmsg is not None else [[view] for view in views]:
            self._send_views(together)

    def _send_views(self, pending: list[memoryview]) -> None:
        while pending:
            n = self._send_some(pending)
            self.sent += n
            while pending and n >= len(pending[0]):
                n -= len(pending.pop(0))
            if n:
                pending[0] = pending[0][n:]

    def _send_some(self, pending: list[memoryview]) -> int:
        """How many bytes the socket took, at least one."""
        while True:
            try:
                gather = self._sendmsg if len(pending) > 1 else None
                n = self._sock.send(pending[0]) if gather is None else gather(pending)
            except OSError as error:
                self._wait_after(error)
            else:
                if n:
                    return n
                self._wait_for_room()  # gevent's TLS socket gives 0 where others raise

    def _wait_after(self, error: OSError) -> None:
        """Wait for what the socket wants; raise the error if it wants nothing."""
        if isinstance(error, BlockingIOError) or wants_write(error):
            self._wait_for_room()
        elif wants_read(error):
            self._wait_for_bytes()
        else:
            raise error

    def _wait_for_room(self) -> None:
        """Wait until the socket takes bytes or an answer is there; what else comes meanwhile buys no more time."""
        wait_s = self._wait_s()
        end = None if wait_s is None else monotonic() + wait_s
        while True:
            ready = self._ready(True, wait_s)
            if ready & READ and self._answered():
                raise AnsweredEarly
            if ready & WRITE:
                return
            if end is not None:
                wait_s = end - monotonic()
            if not ready or (wait_s is not None and wait_s <= 0):
                raise TimeoutError("the server took no bytes in time")

    def _wait_for_bytes(self) -> None:
        """TLS wants to read before it sends on: let ``answered`` do so when there is something."""
        if not self._ready(False, self._wait_s()):
            raise TimeoutError("the server sent nothing that TLS waits for in time")
        if self._answered():
            raise AnsweredEarly

    def _look_again(self) -> None:
        self._look_at = monotonic() + LOOK_EVERY_S
        self._look()

    def _look(self) -> None:
        """End the sending if an answer is there, or if its time is over: who is never waited for is asked here."""
        self._wait_s()
        if self._is_socket and self._ready(False, 0.0) and self._answered():
            raise AnsweredEarly

    def _ready(self, write: bool, wait_s: float | None) -> int:
        """READ, WRITE, both, or 0 when time is up. TLS session tickets count as READ; ``answered`` finds out."""
        poll = self._poll_write if write else self._poll
        if poll is None:
            return _select(self._sock, write, wait_s)
        events = poll.poll(None if wait_s is None else max(0.0, wait_s) * 1000)
        if not events:
            return 0
        return (READ if events[0][1] & ~select.POLLOUT else 0) | (WRITE if events[0][1] & select.POLLOUT else 0)


READ, WRITE = 1, 2


def _select(sock: HasFileno, write: bool, wait_s: float | None) -> int:
    """As ``Upload._ready``, where the system has no poll."""
    readable, writable, _ = select.select([sock], [sock] if write else [], [], wait_s)
    return (READ if readable else 0) | (WRITE if writable else 0)


_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTSOCK, errno.EBADF})


def size_of(piece: Piece) -> int:
    """The number of bytes in anything bytes-like."""
    return len(piece) if type(piece) is bytes else memoryview(piece).nbytes


def joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same bytes in fewer pieces: small neighbours together, up to JOIN_BYTES."""
    small: list[Piece] = []
    size = 0
    for piece in pieces:
        more = size_of(piece)
        if small and size + more > JOIN_BYTES:
            yield b"".join(small) if len(small) > 1 else small[0]
            small, size = [], 0
        small.append(piece)
        size += more
    if small:
        yield b"".join(small) if len(small) > 1 else small[0]


def cut(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same bytes in pieces of TOLD_BYTES at most."""
    for piece in pieces:
        if size_of(piece) <= TOLD_BYTES:
            yield piece
            continue
        view = memoryview(piece).cast("B")
        for at in range(0, len(view), TOLD_BYTES):
            yield view[at : at + TOLD_BYTES]


def plain_file(file: object) -> PlainFile | None:
    """The file that sendfile may read in ``file``'s place, or None: a subclass may give other bytes than the disk."""
    if not hasattr(os, "sendfile"):
        return None
    if type(file).__module__ == "tempfile":
        inner = vars(file)
        file = inner.get("file") or inner.get("_file", file)
    if type(file) is io.BufferedReader or type(file) is io.BufferedRandom:
        return file if type(file.raw) is io.FileIO else None
    return file if type(file) is io.FileIO else None


def _own_descriptor(sock: HasFileno, opened: list[int]) -> int:
    """A further descriptor of a socket, whose number nobody else closes; -1 if there is none to be had.

    What is in ``opened`` afterwards is to be closed; it gets there in the call that opens it, so no interrupt loses it.
    ``os.sendfile`` is told a number before it gives up the GIL. With the socket's own, another thread could close that
    there and open another, which would get the number, and the file.
    """
    number = sock.fileno()
    try:
        opened.extend(map(os.dup, (number,)))
    except OSError:
        return -1
    return opened[0] if sock.fileno() == number else -1


def _pollers(sock: HasFileno) -> tuple[select.poll | None, select.poll | None]:
    """Two kept poll objects: for reading, and for both; None where the system has none. OSError: it is closed."""
    if not hasattr(select, "poll"):
        return None, None
    read, both = select.poll(), select.poll()
    try:
        read.register(sock, select.POLLIN)
        both.register(sock, select.POLLIN | select.POLLOUT)
    except ValueError as error:
        raise closed_error() from error
    return read, both
