"""Sockets whose n-th call fails, gives one byte, or is late.

`Faults` hooks the system calls of this process's sockets (plain and TLS) while it is entered, counts those that the
entering thread makes, and lets the one numbered `at` meet its fault; servers in other threads are not touched.
A fault is a name from `KINDS`; `kinds_for(call)` says which make sense for a call.
The model is curl's torture test, which reruns a test with the n-th allocation failing, for every n.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

#: Sends, receives and the like: where a method stands, and its name.
HOOKED = (
    (socket, "getaddrinfo"),
    (socket.socket, "__init__"),
    (socket.socket, "connect"),
    (socket.socket, "send"),
    (socket.socket, "sendall"),
    (socket.socket, "sendmsg"),
    (socket.socket, "recv"),
    (socket.socket, "recv_into"),
    (socket.socket, "close"),
    (ssl.SSLSocket, "send"),
    (ssl.SSLSocket, "sendall"),
    (ssl.SSLSocket, "recv"),
    (ssl.SSLSocket, "read"),
    (ssl.SSLSocket, "recv_into"),
    (ssl.SSLSocket, "do_handshake"),
    (ssl.SSLContext, "wrap_socket"),
    (ssl.SSLContext, "wrap_bio"),
    (os, "sendfile"),
)
#: How long a late call is late; longer than a look at a socket, shorter than anybody's timeout.
DELAY_S = 0.002
#: So many calls at most meet a fault that always comes: a body of 300,000 bytes, byte by byte, proves nothing more.
MOST = 200


class CertainMemoryError(MemoryError):
    """Out of memory, by this module's doing."""


class CertainInterrupt(KeyboardInterrupt):
    """Ctrl-C, by this module's doing."""


def _raising(make: Callable[[], BaseException]) -> Callable[..., Any]:
    def fault(original: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        raise make()

    return fault


def _closing(make: Callable[[], BaseException]) -> Callable[..., Any]:
    """What close() does when the system reports an error: the descriptor is gone all the same."""

    def fault(original: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        original(*args, **kw)
        raise make()

    return fault


def _late(original: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    time.sleep(DELAY_S)
    return original(*args, **kw)


def _refused(original: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def _end_of_stream(original: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    return 0 if original.__name__ == "recv_into" else b""


def _one_byte(original: Callable[..., Any], sock: Any, data: Any, *args: Any, **kw: Any) -> Any:
    if original.__name__ in ("recv", "read"):
        return original(sock, min(1, data), *[flag & ~socket.MSG_WAITALL for flag in args], **kw)
    if original.__name__ == "sendmsg":
        return original(sock, [memoryview(data[0]).cast("B")[:1]])
    return original(sock, memoryview(data).cast("B")[:1], *args, **kw)


def _one_byte_of_a_file(original: Callable[..., Any], out: int, file: int, at: int, count: int) -> int:
    return int(original(out, file, at, 1))


def _ssl_error(kind: type[ssl.SSLError], text: str) -> Callable[[], BaseException]:
    return lambda: kind(1, text)


#: Each fault by its name.
KINDS: dict[str, Callable[..., Any]] = {
    "reset": _raising(lambda: ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")),
    "refused": _refused,
    "timeout": _raising(lambda: TimeoutError("timed out")),
    "broken pipe": _raising(lambda: BrokenPipeError(errno.EPIPE, "Broken pipe")),
    "EINTR": _raising(lambda: InterruptedError(errno.EINTR, "Interrupted system call")),
    "no descriptors": _raising(lambda: OSError(errno.EMFILE, "Too many open files")),
    "no name": _raising(lambda: socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")),
    "alert": _raising(_ssl_error(ssl.SSLError, "[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error")),
    "ragged end": _raising(_ssl_error(ssl.SSLEOFError, "EOF occurred in violation of protocol")),
    "end": _end_of_stream,
    "memory": _raising(CertainMemoryError),
    "interrupt": _raising(CertainInterrupt),
    "one byte": _one_byte,
    "one byte of a file": _one_byte_of_a_file,
    "late": _late,
    "close fails": _closing(lambda: OSError(errno.EIO, "Input/output error")),
    "close is interrupted": _closing(CertainInterrupt),
}
#: What a socket does not recover from: after it, receives find the end, and sends a broken pipe.
_LASTING = frozenset({"reset", "broken pipe", "alert", "ragged end", "end"})


def _after_the_end(original: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    if original.__name__.startswith(("recv", "read")):
        return _end_of_stream(original)
    if original.__name__.startswith("send"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    return original(*args, **kw)


_ANYWHERE = ("memory", "interrupt")
_SENDING = ("reset", "timeout", "broken pipe", "EINTR", *_ANYWHERE, "late")
_RECEIVING = ("reset", "timeout", "EINTR", "end", "one byte", *_ANYWHERE, "late")
_TLS = ("alert", "ragged end")
_FAULTS = {
    "getaddrinfo": ("no name", *_ANYWHERE),
    "__init__": ("no descriptors", *_ANYWHERE),
    "connect": ("refused", "reset", "timeout", "EINTR", *_ANYWHERE, "late"),
    "send": (*_SENDING, "one byte"),
    "sendmsg": (*_SENDING, "one byte"),
    "sendall": _SENDING,
    "sendfile": ("reset", "broken pipe", "EINTR", *_ANYWHERE, "late", "one byte of a file"),
    "recv": _RECEIVING,
    "read": _RECEIVING,
    "recv_into": _RECEIVING,
    "close": ("close fails", "close is interrupted", "late"),
    "do_handshake": ("reset", "timeout", "broken pipe", *_TLS, *_ANYWHERE, "late"),
    "wrap_socket": ("reset", "timeout", *_TLS, *_ANYWHERE, "late"),
    "wrap_bio": _ANYWHERE,
}


def kinds_for(call: str) -> tuple[str, ...]:
    """The faults that can meet a call as `Faults.calls` names it."""
    layer, _, name = call.rpartition(".")
    more = _TLS if layer == "SSLSocket" and name.startswith(("send", "recv", "read")) else ()
    return (*_FAULTS[name], *more)


class Faults:
    """A context manager: counts the calls, and lets number `at` (from 0), or the next it fits, meet the fault `kind`.

    `always`: all later ones of the same name meet it, too, `MOST` at most. `calls`: what was called, as
    `SSLSocket.recv`. `met`: whether the fault came. `sockets`: every socket that this thread made meanwhile.
    `notice(call, frame)` hears of each call that meets the fault, before it does, and in which frame it was made.
    """

    def __init__(
        self,
        at: int | None = None,
        kind: str = "",
        always: bool = False,
        notice: Callable[[str, FrameType], object] | None = None,
    ) -> None:
        self.at, self.kind, self.always, self.notice = at, kind, always, notice
        self.calls: list[str] = []
        self.sockets: list[socket.socket] = []
        self.met = False
        self._thread = threading.get_ident()
        self._inside = False
        self._first = ""
        self._count = 0
        self._broken: Any = None  # the socket whose connection is gone

    def __enter__(self) -> Faults:
        self._originals = [(owner, name, owner.__dict__.get(name)) for owner, name in HOOKED]
        for owner, name, _ in self._originals:
            setattr(owner, name, self._hooked(owner, name, getattr(owner, name)))
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, original in self._originals:
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)

    @property
    def open_sockets(self) -> list[socket.socket]:
        """Those of `sockets` that are open."""
        return [sock for sock in self.sockets if sock.fileno() >= 0]

    def _hooked(self, owner: Any, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        call = f"{owner.__name__}.{name}"

        def hook(*args: Any, **kw: Any) -> Any:
            if self._inside or threading.get_ident() != self._thread:
                return original(*args, **kw)
            self._inside = name != "wrap_socket"  # a socket made in there counts
            try:
                return self._met(call, original, args, kw)
            finally:
                self._inside = False

        hook.__name__ = name
        return hook

    def _met(self, call: str, original: Callable[..., Any], args: Any, kw: Any) -> Any:
        is_new = call == "socket.__init__"
        if (is_new and kw.get("fileno") is not None) or (is_new and len(args) > 4):
            self.sockets.append(args[0])  # wrapped or accepted: no system call
            return original(*args, **kw)
        if call.endswith(".close") and args[0].fileno() < 0:
            return original(*args, **kw)
        number = len(self.calls)
        self.calls.append(call)
        if is_new:
            self.sockets.append(args[0])
        if self._broken is not None and self._broken is args[0]:
            return _after_the_end(original, *args, **kw)
        if self.at is None or number < self.at or self.kind not in kinds_for(call):
            return original(*args, **kw)
        if self.met and not (self.always and call == self._first and self._count < MOST):
            return original(*args, **kw)
        self.met, self._first = True, call
        self._count += 1
        if self.notice is not None:
            self.notice(call, sys._getframe(2))
        self._broken = args[0] if self.kind in _LASTING else None
        return KINDS[self.kind](original, *args, **kw)
