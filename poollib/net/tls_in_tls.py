"""TLS inside TLS: a socket that encrypts over another TLS socket, for HTTPS targets behind HTTPS proxies.

``SSLTransport`` takes a connected socket of any kind and a context, does the handshake, and is used like an
``ssl.SSLSocket`` by ``tls``, ``connection`` and whoever holds one; verifying names and pins is left to ``tls``.
OpenSSL works on two memory buffers here, and one loop moves their bytes to and from the socket below.
It follows ssl.SSLObject's protocol (Python's documentation, "Memory BIO Support") and urllib3's class of that name.
"""

from __future__ import annotations

import contextlib
import io
import socket as sockets
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, cast, overload

from ..base.tls_errors import RAGGED_ENDS
from ..exceptions import ProxySchemeUnsupported
from .certificates import PeerCertificate
from .socket_state import UNNOTICED_S, StreamSocket

if TYPE_CHECKING:
    from typing_extensions import Buffer

Result = TypeVar("Result")
File: TypeAlias = "sockets.SocketIO | io.BufferedRWPair | io.BufferedReader | io.BufferedWriter | io.TextIOWrapper"

SSL_BLOCKSIZE: Final = 16384  # the most a TLS record carries (RFC 8446 section 5.1)


class SSLTransport:
    """A TLS socket over ``socket``, which it owns: closing it closes both. The handshake is done when it is made.

    The timeout of the socket below holds for each send and receive, and for the handshake as a whole. ``then``: the
    context whose authorities and client certificate hold, where they are not ``ssl_context``'s
    (``caller_ssl_context``).
    Errors: those of ``ssl`` and ``socket``, as they come; ProxySchemeUnsupported for a context that cannot do this.
    """

    def __init__(
        self,
        socket: StreamSocket,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        suppress_ragged_eofs: bool = True,
        *,
        session: ssl.SSLSession | None = None,
        then: ssl.SSLContext | None = None,
    ) -> None:
        self._validate_ssl_context_for_tls_in_tls(ssl_context)
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.suppress_ragged_eofs = suppress_ragged_eofs
        self.socket = socket
        self.context = ssl_context if then is None else then
        self.server_hostname = server_hostname
        self._files = 0
        self._closed = False
        self._ended_raggedly = False  # the peer's stream stopped without close_notify
        if session is None:  # a context of another class may not take one
            self.sslobj = ssl_context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_hostname)
        else:
            self.sslobj = ssl_context.wrap_bio(
                self.incoming, self.outgoing, server_hostname=server_hostname, session=session
            )
        if self.context is not ssl_context:
            self.sslobj.context = self.context
        self._do_handshake()

    def __enter__(self) -> SSLTransport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Bytes

    def read(self, len: int = 1024, buffer: Buffer | None = None) -> int | bytes:
        """Decrypted bytes, ``b""`` at the end; with ``buffer``, their number in it."""
        return self.recv(len) if buffer is None else self._read_into(buffer, len)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Up to ``buflen`` decrypted bytes, ``b""`` at the end."""
        _refuse_flags(flags, "recv")
        return self._read(partial(self.sslobj.read, buflen), at_end=b"")

    def recv_into(self, buffer: Buffer, nbytes: int | None = None, flags: int = 0) -> int:
        """The number of decrypted bytes now in ``buffer``, 0 at the end; ``nbytes``: ``None`` or 0 fills it."""
        _refuse_flags(flags, "recv_into")
        return self._read_into(buffer, nbytes or memoryview(buffer).nbytes)

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Encrypt and send everything."""
        _refuse_flags(flags, "sendall")
        with memoryview(data) as view, view.cast("B") as left:
            sent = 0
            while sent < left.nbytes:
                sent += self.send(left[sent:])

    def send(self, data: Buffer, flags: int = 0) -> int:
        """The number of bytes taken, encrypted and sent."""
        _refuse_flags(flags, "send")
        return self._ssl_io_loop(self.sslobj.write, data)

    def pending(self) -> int:
        """How many bytes wait above the socket: decrypted ones, and encrypted ones (which may be only tickets)."""
        return self.sslobj.pending() + self.incoming.pending

    def makefile(
        self,
        mode: str,
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> File:
        """A file over the socket, as ``socket.makefile`` makes it; the socket stays open until the file is closed."""
        if not set(mode) <= {"r", "w", "b"}:
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        writing = "w" in mode
        reading = "r" in mode or not writing
        binary = "b" in mode
        if buffering == 0 and not binary:
            raise ValueError("unbuffered streams must be binary")
        raw = sockets.SocketIO(self, ("r" if reading else "") + ("w" if writing else ""))  # type: ignore[arg-type]
        self._files += 1
        if buffering == 0:
            return raw
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        file = _buffered(raw, reading, writing, size)
        if binary:
            return file
        return io.TextIOWrapper(cast(io.BufferedReader, file), encoding, errors, newline)

    # The connection

    def fileno(self) -> int:
        """The descriptor of the socket at the bottom."""
        return self.socket.fileno()

    def settimeout(self, value: float | None) -> None:
        """Seconds for each send and receive; ``None`` for no limit."""
        self.socket.settimeout(value)

    def gettimeout(self) -> float | None:
        """The timeout of the socket below, seconds."""
        return self.socket.gettimeout()

    def shutdown(self, how: int) -> None:
        """Shut the socket below down, as ``socket.shutdown``."""
        self.socket.shutdown(how)

    def unwrap(self) -> None:
        """Exchange close_notify with the peer; the layer below stays open."""
        self._ssl_io_loop(self.sslobj.unwrap)

    def close(self) -> None:
        """Close the socket below, as soon as no file made from this one is open."""
        self._closed = True
        if self._files <= 0:
            self.socket.close()

    def _decref_socketios(self) -> None:
        """A file of ``makefile`` was closed (socket.SocketIO calls this)."""
        self._files -= 1
        if self._closed:
            self.close()

    # What was agreed

    @overload
    def getpeercert(self, binary_form: Literal[False] = False) -> PeerCertificate | None: ...

    @overload
    def getpeercert(self, binary_form: bool) -> PeerCertificate | bytes | None: ...

    def getpeercert(self, binary_form: bool = False) -> PeerCertificate | bytes | None:
        """The peer's certificate: a dictionary, or its DER bytes."""
        return self.sslobj.getpeercert(binary_form)

    def version(self) -> str | None:
        """The version spoken, e.g. ``TLSv1.3``."""
        return self.sslobj.version()

    def cipher(self) -> tuple[str, str, int] | None:
        """Name, version and secret bits of the cipher."""
        return self.sslobj.cipher()

    def selected_alpn_protocol(self) -> str | None:
        """The protocol agreed on by ALPN."""
        return self.sslobj.selected_alpn_protocol()

    def shared_ciphers(self) -> list[tuple[str, str, int]] | None:
        """The ciphers both sides know, as far as a client can tell."""
        return self.sslobj.shared_ciphers()

    def compression(self) -> str | None:
        """The compression agreed on; ``None`` always, as nobody should compress under TLS."""
        return self.sslobj.compression()

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, to be resumed by a connection of the same context."""
        return self.sslobj.session

    @property
    def session_reused(self) -> bool:
        """Whether the handshake resumed a session."""
        return self.sslobj.session_reused

    # The loop

    @staticmethod
    def _validate_ssl_context_for_tls_in_tls(ssl_context: ssl.SSLContext) -> None:
        if not hasattr(ssl_context, "wrap_bio"):
            raise ProxySchemeUnsupported(
                "TLS in TLS needs an ssl_context with wrap_bio(), as ssl.SSLContext has; "
                f"{type(ssl_context).__name__} has none"
            )

    def _do_handshake(self) -> None:
        self._within_timeout(self.sslobj.do_handshake, (), "handshake")

    def _wrap_ssl_read(self, len: int, buffer: Buffer | None = None) -> int | bytes:  # urllib3's name
        return self.read(len, buffer)

    def _read_into(self, buffer: Buffer, size: int) -> int:
        return self._read(lambda: cast(int, self.sslobj.read(size, buffer)), at_end=0)

    def _read(self, read: Callable[[], Result], at_end: Result) -> Result:
        """What ``read`` returns, or ``at_end`` where an end without close_notify counts as one.

        OpenSSL is not asked again after such an end: it then says that the system has an error, and the ``errno`` that
        Python reads is of whatever call came before it in this thread (BrokenPipeError on Debian 13).
        """
        if not self._ended_raggedly:
            try:
                return self._ssl_io_loop(read)
            except ssl.SSLError as err:
                self._ended_raggedly = err.errno == ssl.SSL_ERROR_EOF or vars(err).get("reason") in RAGGED_ENDS
                if not self._ended_raggedly or not self.suppress_ragged_eofs:
                    raise
        elif not self.suppress_ragged_eofs:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol")
        return at_end

    def _ssl_io_loop(self, func: Callable[..., Result], arg1: object = None, arg2: object = None) -> Result:
        """What ``func`` returns, once it has the bytes it wants; what it wrote is sent. Arguments are urllib3's."""
        return self._within_timeout(func, [arg for arg in (arg1, arg2) if arg is not None], "read")

    def _within_timeout(self, func: Callable[..., Result], args: Sequence[object], what: str) -> Result:
        """As ``_ssl_io_loop``, within one timeout however the bytes drip in, as a socket of the ssl module."""
        timeout_s = self.gettimeout()
        if not timeout_s or not isinstance(timeout_s, (int, float)):  # a mock's is a mock
            timeout_s = None
        until = None if timeout_s is None else monotonic() + timeout_s
        try:
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    return self._call(func, *args)
                if until is not None and monotonic() >= until:
                    raise TimeoutError(f"The {what} operation timed out")
                self._shorten_timeout(until)
                self._fill()
                self._shorten_timeout(until)  # for what is sent next
        finally:
            if until is not None and self.socket.fileno() >= 0 and self.gettimeout() != timeout_s:
                self.settimeout(timeout_s)

    def _shorten_timeout(self, until: float | None) -> None:
        """Let the next step take what is left of the time; None: there is no limit."""
        if until is not None:
            left_s = max(UNNOTICED_S, until - monotonic())
            if (self.gettimeout() or 0.0) - left_s > UNNOTICED_S:
                self.settimeout(left_s)

    def _call(self, func: Callable[..., Result], *args: object) -> Result:
        """The result of one call of OpenSSL, whose output is sent. SSLWantReadError: it needs more bytes."""
        try:
            result = func(*args)
        except ssl.SSLWantReadError:
            self._flush()
            raise
        except ssl.SSLError:
            self._flush_alert()
            raise
        self._flush()
        return result

    def _flush(self) -> None:
        if self.outgoing.pending:
            self.socket.sendall(self.outgoing.read())

    def _flush_alert(self) -> None:
        """The alert that tells the peer what was wrong, if it can still be sent: the error itself matters more."""
        try:
            self._flush()
        except OSError:
            return

    def _fill(self) -> None:
        """More encrypted bytes from the socket, or its end."""
        received = self.socket.recv(SSL_BLOCKSIZE)
        if received:
            self.incoming.write(received)
        else:
            self.incoming.write_eof()


def _refuse_flags(flags: int, name: str) -> None:
    if flags != 0:
        raise ValueError(f"non-zero flags not allowed in calls to {name}()")


def _buffered(
    raw: sockets.SocketIO, reading: bool, writing: bool, size: int
) -> io.BufferedRWPair | io.BufferedReader | io.BufferedWriter:
    if reading and writing:
        return io.BufferedRWPair(raw, raw, size)
    return io.BufferedReader(raw, size) if reading else io.BufferedWriter(raw, size)
