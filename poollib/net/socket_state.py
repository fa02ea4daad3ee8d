"""What is asked of a connected socket: whether it is quiet, whether it is ready, to receive ahead.

``transport`` looks at an idle connection here before it is used again and announces a large body; ``wait_for_read`` and
its like are urllib3's.  Bytes are received in ``transport``, sent in ``upload``; sockets are made in ``dial``.  How
idle TLS 1.3 connections are told from dead ones follows RFC 8446 section 4.6.1.  Sockets of test doubles, which can do
less than a socket, are adapted in the section "Doubles" alone.
"""

from __future__ import annotations

import _thread
import errno
import io
import math
import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Final, Literal, Protocol, TypeGuard, cast, runtime_checkable

from ..base.exact_values import has_gil

try:
    from ssl import SSLSocket as SSLSocket
    from ssl import SSLWantReadError
except ImportError:  # a Python without OpenSSL still speaks plain HTTP
    SSLSocket = type("SSLSocket", (), {})  # type: ignore[misc, assignment]
    SSLWantReadError = BlockingIOError  # type: ignore[misc, assignment]


@runtime_checkable
class HasFileno(Protocol):
    """What ``select`` and ``poll`` can wait for."""

    def fileno(self) -> int: ...


class StreamSocket(HasFileno, Protocol):
    """What every connected socket can do: the standard library's, TLS sockets, TLS in TLS, those of test doubles."""

    def recv(self, bufsize: int, flags: int = ..., /) -> bytes: ...
    def send(self, data: bytes | memoryview, /) -> int: ...
    def sendall(self, data: bytes | memoryview, /) -> None: ...
    def gettimeout(self) -> float | None: ...
    def settimeout(self, value: float | None, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class HasSock(Protocol):
    """A connection; ``sock`` is None while it is closed."""

    @property
    def sock(self) -> StreamSocket | None: ...


SOCKET_CLASS: Final = socket.socket  # as it is here, whatever a program puts in its place
_SOL_SOCKET: Final = socket.SOL_SOCKET

# Is there anything to read?


def quiet_check(sock: StreamSocket) -> Callable[..., bool]:
    """A callable that is ``True`` as long as nothing is readable on the idle socket: no byte, no end, no error.

    On a TLS socket session tickets do not count: see ``tls_quiet``. Its argument: whether the last receive gave less
    than it had room for. Then OpenSSL, which decrypts one record at a time, has nothing left; asking it would give up
    the GIL, as a small request does twice otherwise. Further costs are in ``_silence``.
    """
    silent = _silence(sock)
    pending = _pending_of(sock)
    return silent if pending is None else _TlsSilence(sock, silent, pending).check


class _TlsSilence:
    """What ``quiet_check`` looks at on a TLS socket."""

    __slots__ = ("_is_openssl", "_pending", "_silent", "_sock")

    def __init__(self, sock: StreamSocket, silent: Callable[..., bool], pending: Callable[[], int]) -> None:
        self._sock, self._silent, self._pending = sock, silent, pending
        self._is_openssl = isinstance(sock, SSLSocket)  # TLS in TLS keeps more than one record

    def check(self, drained: bool = False) -> bool:
        """Whether it is quiet."""
        if self._silent() and ((drained and self._is_openssl) or not self._pending()):
            return True
        return tls_quiet(self._sock)


def tls_quiet(sock: StreamSocket) -> bool:
    """``True`` if a readable TLS socket held nothing but session tickets, which are taken in; its timeout stays.

    A TLS 1.3 server sends tickets whenever it likes (RFC 8446 section 4.6.1), so readable does not mean dead. On
    ``False`` the connection has ended, or has a byte that nobody asked for, and that byte is gone: close it.
    """
    try:
        timeout_s = sock.gettimeout()
        sock.settimeout(0)
        try:
            sock.recv(1)
        except (SSLWantReadError, BlockingIOError):
            return True
        finally:
            sock.settimeout(timeout_s)
    except (OSError, ValueError):  # ssl.SSLError is an OSError; ValueError: the socket is closed
        return False
    return False


def _silence(sock: StreamSocket) -> Callable[..., bool]:
    """The check for a plain socket; where the system has no poll, or refuses it, by select.

    A kept poll object costs 0.3 us a call, but gives up the GIL, and with several threads getting it back costs far
    more than the look itself. Linux tells the same of a TCP socket by two getsockopt, which keep it: 0.9 us, and 20 to
    30 % less CPU for a request where 8 threads are at work (CPython 3.11, 2 cores, 2026-11). So it is asked that way
    where there is another thread.
    """
    if not _tells_state(sock):
        return _silence_by_poll(sock)
    silence = _Silence(sock)
    if type(sock).__module__ not in ("socket", "ssl") or not hasattr(select, "poll"):  # gevent's: its threads are none
        return silence.among_threads
    return silence.check


def _silence_by_poll(sock: StreamSocket) -> Callable[..., bool]:
    if not hasattr(select, "poll"):
        return lambda drained=False: _select_silent(sock)
    try:
        events = _poller(sock)
    except (OSError, TypeError, ValueError):  # closed already, or no socket at all
        return lambda drained=False: False
    return lambda drained=False: not events(0)


def _poller(sock: HasFileno) -> Callable[[int], list[tuple[int, int]]]:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return poller.poll


#: Linux' SO_MEMINFO, which the socket module does not name; its first number is the memory of what waits to be read
#: (linux/sock_diag.h, SK_MEMINFO_RMEM_ALLOC).
_SO_MEMINFO: Final = 55
_NOTHING: Final = bytes(4)
#: Linux' TCP_INFO, whose first byte is the state of the connection (linux/tcp.h). An end of the stream that came in one
#: segment with the last bytes is taken from the queue with them and leaves nothing to be read; CLOSE_WAIT stays. A
#: reset, or a peer that is given up, leaves CLOSE.
_TCP_INFO: Final = 11
_IPPROTO_TCP: Final = socket.IPPROTO_TCP
_ESTABLISHED: Final = b"\1"


def _tells_state(sock: StreamSocket) -> TypeGuard[socket.socket]:
    """Whether the kernel says how much waits to be read, and the connection's state: Linux, of TCP sockets."""
    asked = cast(socket.socket, sock)  # wrappers of recorders can do all, some, or none of it
    try:
        if sys.platform != "linux" or asked.family not in (socket.AF_INET, socket.AF_INET6):
            return False  # of a Unix socket the memory is its sender's
        memory, state = asked.getsockopt(_SOL_SOCKET, _SO_MEMINFO, 4), asked.getsockopt(_IPPROTO_TCP, _TCP_INFO, 1)
        return len(memory) == 4 and len(state) == 1 and state != b"\0"  # there is no such state: an emulation's
    except (OSError, AttributeError, TypeError):
        return False


class _Silence:
    """What ``_silence`` looks at on a socket that tells its state: one object, as each kept connection has it."""

    __slots__ = ("_events", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._events: Callable[[int], list[tuple[int, int]]] | None = None  # made when it is first asked

    def check(self, drained: bool = False) -> bool:
        """By poll where there is no other thread, else by its state."""
        if _thread._count() or self._sock.fileno() < 0:  # poll knows the number alone, whoever has it by now
            return self.among_threads()
        events = self._events
        if events is None:
            self._events = events = _poller(self._sock)
        return not events(0)

    def among_threads(self, drained: bool = False) -> bool:
        """By its state, without giving up the GIL."""
        ask = self._sock.getsockopt
        try:
            if ask(_SOL_SOCKET, _SO_MEMINFO, 4) != _NOTHING:
                return False
            is_open: bool = ask(_IPPROTO_TCP, _TCP_INFO, 1) == _ESTABLISHED
            return is_open
        except OSError:  # closed
            return False


def _select_silent(sock: HasFileno) -> bool:
    try:
        return not select.select([sock], [], [], 0)[0]
    except (OSError, TypeError, ValueError):  # closed, no socket, or a descriptor beyond FD_SETSIZE
        return False


def is_readable(sock: StreamSocket | None, wait_s: float) -> bool:
    """Whether a receive gives something, or an error, within ``wait_s`` seconds; True if there is no socket to ask."""
    if sock is None:
        return True
    pending = _pending_of(sock)
    try:
        return (pending is not None and pending() > 0) or wait_for_read(sock, wait_s)
    except (OSError, TypeError, ValueError):  # closed, or no socket at all: the receive says what is wrong
        return True


# Timeouts

#: So long a receive waits in the kernel; what is left of a longer timeout is waited for by Python.
KERNEL_WAIT_S: Final = 0.1
_KERNEL_WAIT: Final = struct.pack("ll", 0, int(KERNEL_WAIT_S * 1_000_000))  # struct timeval
_NO_KERNEL_WAIT: Final = bytes(len(_KERNEL_WAIT))
#: The standard library's own socket; None where another library has put its own in that place.
_PLAIN: Final = socket.socket if socket.socket.__module__ == "socket" and os.name == "posix" else None
_ITS_METHODS: Final = ("recv", "sendall", "settimeout", "gettimeout")
#: The methods that are gone round, as they are here. A program may put its own in their place later (a double that
#: fails, a recorder), and wants to see sockets go by them that are open already.
RECV: Final[object] = getattr(socket.socket, "recv", None)
SENDALL: Final[object] = getattr(socket.socket, "sendall", None)
TLS_SENDALL: Final[object] = getattr(SSLSocket, "sendall", None)


def wait_in_kernel(sock: StreamSocket) -> bool:
    """Whether reads and writes of the socket's descriptor wait for up to KERNEL_WAIT_S from now on.

    The socket's own methods poll before each call where it has a timeout: a second system call, and a second time that
    the GIL is given up. A request costs 0.6 us more by that, with 8 threads 1.5 us (CPython 3.11, Linux, 2 cores).
    Their timeout, and what ``gettimeout`` says, stays as it is. ``settimeout`` ends the waiting, and then reads of the
    descriptor raise BlockingIOError at once, where nothing is there; so they do when KERNEL_WAIT_S are over.

    Why not for all of the timeout: a call that a signal interrupts begins its wait anew. A timer of the program's that
    goes off more often than that would keep it waiting for ever, so who waits asks ``signals_come_here`` before.
    Not over TLS, which waits for OpenSSL, nor on Windows, whose sockets are no files;
    nor where somebody listens at the methods, or has put their own in their place.
    """
    if not is_plain(sock) or (sock.gettimeout() or 0.0) <= KERNEL_WAIT_S:  # of a double, that may be anything
        return False
    try:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            sock.setsockopt(_SOL_SOCKET, option, _KERNEL_WAIT)
        if sock.getsockopt(_SOL_SOCKET, socket.SO_RCVTIMEO, len(_KERNEL_WAIT)) != _KERNEL_WAIT:
            return False  # an emulation's, or a struct of another form
        os.set_blocking(sock.fileno(), True)
    except OSError:
        return False
    return True


def signals_come_here() -> bool:
    """Whether the system interrupts this thread for a signal to the process: the main one, wherever it can."""
    return not _thread._count() or _thread.get_ident() == threading.main_thread().ident


def wait_in_python(sock: socket.socket) -> float:
    """How long the receive that just found nothing has waited in the kernel; none will wait there any more."""
    waited_s = KERNEL_WAIT_S if os.get_blocking(sock.fileno()) else 0.0
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        sock.setsockopt(_SOL_SOCKET, option, _NO_KERNEL_WAIT)
    sock.settimeout(sock.gettimeout())
    return waited_s


#: A timeout that a socket has but for so much is not set anew: that is a system call, and ends the kernel's waiting.
UNNOTICED_S: Final = 0.001


def set_timeout(sock: StreamSocket, timeout_s: float | None) -> bool:
    """Set the socket's timeout; False if it had that already, or nearly: what a running clock leaves differs each time.

    A socket that is no socket.socket is told it each time.
    """
    if isinstance(sock, SOCKET_CLASS) and _is_nearly(sock.gettimeout(), timeout_s):
        return False
    sock.settimeout(timeout_s)
    return True


def _is_nearly(before_s: float | None, timeout_s: float | None) -> bool:
    if before_s is None or timeout_s is None or timeout_s <= KERNEL_WAIT_S:
        return before_s == timeout_s
    return abs(before_s - timeout_s) < UNNOTICED_S


def closed_error() -> OSError:
    """The system's error for a socket that is closed, where poollib notices it first."""
    return OSError(errno.EBADF, os.strerror(errno.EBADF))


class Descriptor:
    """The system's calls as they are here: tests that put a file system of their own in the place of ``os``'s replace
    what modules hold.

    They are told the number of a descriptor before they give up the GIL, Python's own ``recv`` and ``send`` ask for it
    behind that. In between another thread can close the socket and open something else, which gets the number: what is
    read then is somebody else's.
    """

    read: Final = staticmethod(os.read)
    write: Final = staticmethod(os.write)


def is_plain(sock: StreamSocket) -> TypeGuard[socket.socket]:
    """Whether it is the standard library's own TCP or Unix socket, at whose methods nobody listens."""
    return type(sock) is _PLAIN and _PLAIN is not None and vars(_PLAIN).keys().isdisjoint(_ITS_METHODS)


def send_at_once(sock: StreamSocket, data: bytes, limit: Callable[[], object] | None = None) -> None:
    """As ``sendall``, of what fits into a send buffer that is empty, on a socket that waits in the kernel.

    For a process of one thread: see ``Descriptor``. ``limit`` and errors as of ``send_rest``.
    """
    try:
        n = Descriptor.write(sock.fileno(), data)
    except BlockingIOError:
        n = 0
    if n < len(data):
        send_rest(sock, data, n, limit)


def send_among_threads(sock: StreamSocket, data: bytes, limit: Callable[[], object] | None = None) -> None:
    """As ``sendall``, of what fits into a send buffer that is empty, on a plain socket: keeping the GIL, if possible.

    A send of so little never waits, but ``os`` and ``socket`` give up the GIL for it, and among busy threads getting it
    back does wait: two context switches more for each request. So C's own function is called with the GIL held, 5 to
    10 us: 8 threads take 33 us of CPU for a request, not 50, and send 34,000 in a second, not 25,000 (CPython 3.11, 2
    cores, 2026-11). With two or three threads it makes no difference. ``limit``, errors: see ``send_rest``.
    """
    send = send_holding_gil()
    n = 0 if send is None else send(sock, data, len(data), _NO_WAIT)
    if n < 0:
        _raise_unless_full()
        n = 0
    if n < len(data):
        send_rest(sock, data, n, limit)


def send_rest(sock: StreamSocket, data: bytes, sent_bytes: int, limit: Callable[[], object] | None = None) -> None:
    """Send what is left of ``data``, which may wait: ``limit`` is called before and sets the socket's timeout.

    An OSError has as ``characters_written`` what had left before, if anything had.
    """
    if limit is not None:
        limit()
    try:
        sock.sendall(data[sent_bytes:])
    except OSError as error:
        if sent_bytes:
            cast(BlockingIOError, error).characters_written = sent_bytes
        raise


def _raise_unless_full() -> None:
    """Raise what C's send met, which the system tells once: a further send after a reset says EPIPE.

    Nothing where the send buffer is full, or an audit hook keeps the error to itself.
    """
    try:
        import ctypes

        number = ctypes.get_errno()
    except Exception:  # the audit hook's own, or what an import at the interpreter's end comes to
        return
    if number != errno.EAGAIN:
        raise OSError(number, os.strerror(number))


#: no wait, as it would hold up all threads; and no SIGPIPE where a program has given that its meaning back
_NO_WAIT: Final = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)


@cache  # 2 ms for ctypes, for those who have threads
def send_holding_gil() -> Callable[[StreamSocket, bytes, int, int], int] | None:
    """C's ``send`` (plain socket, data, its length, flags), -1 for an error, which keeps the GIL while it runs.

    It asks the socket for its number by itself: where Python's code did, another thread could have its turn after that,
    close the socket and open another, which would get the number, and the request. None where there is no GIL, or it
    can't be had: no ctypes, an audit hook that refuses it, another Python than CPython, another system than Linux.
    """
    plain = _PLAIN
    if sys.platform != "linux" or sys.implementation.name != "cpython" or not has_gil() or plain is None:
        return None
    fileno = plain.fileno
    try:
        import ctypes

        class SocketArgument:
            from_param = staticmethod(fileno)

        send = ctypes.PyDLL(None, use_errno=True).send
        send.argtypes = (SocketArgument, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)  # type: ignore[assignment]
        send.restype = ctypes.c_ssize_t
    except Exception:  # an audit hook raises what it likes
        return None
    return send


# Large bodies

LARGE_BODY_BYTES: Final = 16 << 20  # what is read to its end pays for the two calls of receive_ahead, 1 us
AHEAD_BYTES: Final = 2 << 20


def receive_ahead(sock: StreamSocket) -> None:
    """Let the kernel take in up to 2 MiB before they are read, so that the reader of a large body sleeps less often.

    On Linux a low-water mark makes room for itself, which stays when the mark goes (tcp_set_rcvlowat); SO_RCVBUF would
    end the kernel's own tuning, and is respected where a caller has set it. 256 MiB read into 64 KiB: 43 ms of CPU, 48
    without. Over TLS it changes nothing, for there the reader is the slower side.
    """
    if sys.platform == "linux" and type(sock) is socket.socket:
        with suppress(OSError):  # closed by another thread; the next receive says so
            sock.setsockopt(_SOL_SOCKET, socket.SO_RCVLOWAT, AHEAD_BYTES)
            sock.setsockopt(_SOL_SOCKET, socket.SO_RCVLOWAT, 1)


# Doubles


def _pending_of(sock: StreamSocket) -> Callable[[], int] | None:
    """``pending`` of TLS sockets, also of those that recorders have wrapped; None for others."""
    return sock.pending if hasattr(sock, "pending") else None


def with_receive(sock: StreamSocket) -> socket.socket:
    """The socket; for one that lacks what http.client does not ask for, one around it, which reads by ``makefile``."""
    lacks = not hasattr(sock, "recv") or not hasattr(sock, "gettimeout")
    if type(sock).__module__ == "httpretty.core" or (lacks and hasattr(sock, "makefile")):
        sock = ReadByFile(cast(AnsweringByFile, sock))
    return cast(socket.socket, sock)


class AnsweringByFile(Protocol):
    """A double's socket that answers as http.client asks: by a file, made anew after each request."""

    def sendall(self, data: bytes | memoryview, /) -> None: ...
    def makefile(self, mode: Literal["rb"], /) -> io.BufferedReader: ...
    def settimeout(self, value: float | None, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class ReadByFile:
    """The socket around a double that answers by what its ``makefile`` gives (httpretty, wsgi-intercept)."""

    def __init__(self, sock: AnsweringByFile) -> None:
        self._sock = sock
        self._timeout_s: float | None = None
        self._read: Callable[[int], bytes] | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)

    def fileno(self) -> int:
        """The double's; -1 where it has none."""
        return self._sock.fileno() if isinstance(self._sock, HasFileno) else -1

    def gettimeout(self) -> float | None:
        """What was set last."""
        return self._timeout_s

    def settimeout(self, timeout_s: float | None) -> None:
        """Note it, and pass it on where the double takes it."""
        self._timeout_s = timeout_s
        with suppress(AttributeError):
            self._sock.settimeout(timeout_s)

    def shutdown(self, how: int) -> None:
        """Shut the double down."""
        self._sock.shutdown(how)

    def close(self) -> None:
        """Close the double."""
        self._sock.close()

    def sendall(self, data: bytes | memoryview) -> None:
        """Pass it on; what is received then is read from a new file."""
        self._read = None
        self._sock.sendall(data)

    def send(self, data: bytes | memoryview) -> int:
        """As ``sendall``: all bytes are taken."""
        self.sendall(data)
        return len(data)

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """Up to ``limit`` bytes of the answer."""
        if self._timeout_s == 0:  # a look whether there is an answer while a body is being sent
            raise BlockingIOError
        if self._read is None:
            file = self._sock.makefile("rb")
            self._read = file.read1 if hasattr(file, "read1") else file.read
        return self._read(limit)

    def recv_into(self, view: memoryview) -> int:
        """As ``recv``, into ``view``."""
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)


# Is it ready?


def is_connection_dropped(conn: HasSock) -> bool:
    """Whether an idle connection cannot be used again: no socket, or something is readable on it."""
    sock = conn.sock
    return sock is None or not quiet_check(sock)()


def wait_for_socket(sock: HasFileno, read: bool = False, write: bool = False, timeout: float | None = None) -> bool:
    """Whether the socket became ready within ``timeout`` seconds; ``None`` waits for ever."""
    wait = poll_wait_for_socket if _have_working_poll() else select_wait_for_socket
    return wait(sock, read, write, timeout)


def poll_wait_for_socket(
    sock: HasFileno, read: bool = False, write: bool = False, timeout: float | None = None
) -> bool:
    """``wait_for_socket`` by poll."""
    _check_events(read, write)
    poller = select.poll()
    poller.register(sock, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
    return bool(poller.poll(None if timeout is None else math.ceil(timeout * 1000)))


def select_wait_for_socket(
    sock: HasFileno, read: bool = False, write: bool = False, timeout: float | None = None
) -> bool:
    """``wait_for_socket`` by select, which cannot look at descriptors beyond FD_SETSIZE."""
    _check_events(read, write)
    writers = [sock] if write else []
    ready = select.select([sock] if read else [], writers, writers, timeout)
    return any(ready)


def wait_for_read(sock: HasFileno, timeout: float | None = None) -> bool:
    """Whether the socket became readable within ``timeout`` seconds."""
    return wait_for_socket(sock, read=True, timeout=timeout)


def wait_for_write(sock: HasFileno, timeout: float | None = None) -> bool:
    """Whether the socket became writable within ``timeout`` seconds."""
    return wait_for_socket(sock, write=True, timeout=timeout)


def _check_events(read: bool, write: bool) -> None:
    if not (read or write):
        raise RuntimeError("must specify at least one of read=True, write=True")


def _have_working_poll() -> bool:
    """Whether poll is here and works; it is asked each time, because gevent and others may replace it."""
    try:
        select.poll().poll(0)
    except (AttributeError, OSError):
        return False
    return True
