"""A connected socket in memory: what is sent goes to a function, what is received are the steps it gives back.

``memory_connections`` puts it where ``net/dial`` would put a real one; poollib's writer, parser and pool use it as they
use a socket of another library. Nothing waits: a receive that has nothing to give has its timeout over at once, and
is an error of the test's where there is no timeout. What is answered is ``server_end``'s.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable

from .answers import End, Step


class WouldWaitForever(AssertionError):
    """A receive without a timeout, on a connection on which nothing more comes."""


class MemorySocket:
    """The client's end. ``answer(data)``: what follows on the connection; ``is_wanted()``: False once the server is to
    have closed it while it was idle. ``real_time``: timeouts are waited for."""

    family = socket.AF_UNSPEC
    type = socket.SOCK_STREAM
    proto = 0

    def __init__(
        self,
        answer: Callable[[bytes], Iterable[Step]],
        is_wanted: Callable[[], bool] = lambda: True,
        *,
        real_time: bool = False,
    ) -> None:
        self._answer = answer
        self._is_wanted = is_wanted
        self._real_time = real_time
        self._steps: deque[Step] = deque()
        self._timeout_s: float | None = None
        self._is_closed = False

    # -- sending --

    def sendall(self, data: bytes | memoryview, flags: int = 0) -> None:
        """Hand all of it to the server. BrokenPipeError: the server's end is closed."""
        self._require_open()
        if self._steps and self._steps[-1] in (End.CLOSE, End.RESET):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._steps.extend(self._answer(bytes(data)))

    def send(self, data: bytes | memoryview, flags: int = 0) -> int:
        """As ``sendall``: all bytes are taken."""
        self.sendall(data)
        return len(data)

    # -- receiving --

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """The next bytes, ``b""`` at the end. ConnectionResetError, TimeoutError, BlockingIOError, WouldWaitForever."""
        self._require_open()
        step = self._next_step()
        if step is End.RESET:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if step is End.CLOSE:
            return b""
        if isinstance(step, End):
            raise self._nothing_comes()
        if not flags & socket.MSG_PEEK:
            self._steps.popleft()
            if len(step) > bufsize:
                self._steps.appendleft(step[bufsize:])
        return step[:bufsize]

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """As ``recv``, into ``buffer``; the number of bytes."""
        data = self.recv(nbytes or len(buffer), flags)
        buffer[: len(data)] = data
        return len(data)

    def pending(self) -> int:
        """How many bytes are there already; asked as of TLS sockets, so that the pool looks at this without poll."""
        return sum(len(step) for step in self._steps if isinstance(step, bytes))

    def _next_step(self) -> bytes | End:
        """What comes next, left where it is."""
        while self._steps:
            step = self._steps[0]
            if isinstance(step, (bytes, End)):
                return step
            made = next(step, None)
            if made is None:
                self._steps.popleft()
            else:
                self._steps.appendleft(made)
        return End.STALL if self._is_wanted() else End.CLOSE

    def _nothing_comes(self) -> Exception:
        timeout_s = self._timeout_s
        if timeout_s == 0:
            return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if timeout_s is None:
            return WouldWaitForever("nothing more is sent on this connection, and the request has no timeout")
        if self._real_time:
            time.sleep(timeout_s)
        return TimeoutError("timed out")

    # -- the rest of a socket --

    def hang_up(self) -> None:
        """The server closes its end; what it has sent can still be received."""
        self._steps.append(End.CLOSE)

    def gettimeout(self) -> float | None:
        """Seconds that a receive may wait; None without a limit."""
        return self._timeout_s

    def settimeout(self, value: float | None) -> None:
        """Set what ``gettimeout`` says."""
        self._timeout_s = value

    def setblocking(self, flag: bool) -> None:
        """As ``settimeout`` with None or 0."""
        self._timeout_s = None if flag else 0.0

    def setsockopt(self, *option: object) -> None:
        """Nothing: there is no system's socket."""

    def fileno(self) -> int:
        """-1: there is no descriptor."""
        return -1

    def shutdown(self, how: int) -> None:
        """Nothing more can be sent or received."""
        self._require_open()
        self._steps.append(End.CLOSE)

    def close(self) -> None:
        """Close it; what is still to be received is dropped."""
        self._is_closed = True
        self._steps.clear()

    def _require_open(self) -> None:
        if self._is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
