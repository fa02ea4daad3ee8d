"""Addresses to one connected socket: they race, and the first to get through wins.

``dial`` hands over the addresses of a name with what every attempt shares, and gets a socket whose timeout is still to
be settled; the losers are closed.
Where the addresses come from and what its errors mean to a user is left to ``dial``.
It follows RFC 8305 (happy eyeballs, sections 4 and 5), without threads.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from time import monotonic
from typing import Final, NamedTuple, TypeAlias

from .dns import AddrInfo, SocketAddress

#: How long one address is waited for before the next one is tried beside it (RFC 8305 section 8).
ATTEMPT_DELAY_S: Final = 0.25

SocketOptions: TypeAlias = Iterable[tuple[int, int, int | bytes]]


def set_socket_options(sock: socket.socket, options: SocketOptions | None) -> None:
    """Set each option on a socket."""
    for option in options or ():
        sock.setsockopt(*option)


class DialOptions(NamedTuple):
    """What every attempt for one connection shares."""

    until: float  # on time.monotonic(); math.inf without a timeout
    source_address: tuple[str, int] | None
    socket_options: SocketOptions | None
    set_options: Callable[[socket.socket, SocketOptions | None], None] = set_socket_options


def first_connected(infos: list[AddrInfo], options: DialOptions) -> socket.socket:
    """A connected socket, its timeout unsettled; TimeoutError, or the OSError of the attempt that failed last."""
    if len(infos) == 1:
        return _connect_one(infos[0], options)
    if not hasattr(socket.socket, "connect_ex"):  # a mock's, as httpretty's: it can connect and no more
        return _connect_in_turn(infos, options)
    return _Race(infos, options).run()


def _connect_in_turn(infos: list[AddrInfo], options: DialOptions) -> socket.socket:
    for info in infos[:-1]:
        with contextlib.suppress(OSError):
            return _connect_one(info, options)
    return _connect_one(infos[-1], options)


def _connect_one(info: AddrInfo, options: DialOptions) -> socket.socket:
    sock = _prepared(info, options)
    try:
        left_s = _left_s(options.until)
        if sock.gettimeout() != left_s:  # to set it is a system call
            sock.settimeout(left_s)
        sock.connect(info[4])
    except BaseException:
        sock.close()
        raise
    return sock


def _prepared(info: AddrInfo, options: DialOptions) -> socket.socket:
    """A socket with its options set and bound to the source address, not yet connected."""
    family = info[0]
    sock = socket.socket(family, info[1], info[2])
    try:
        wanted = options.socket_options
        if wanted and family not in _TCP_FAMILIES:
            wanted = [option for option in wanted if option[0] == socket.SOL_SOCKET]
        options.set_options(sock, wanted)
        if options.source_address is not None and family in _TCP_FAMILIES:
            sock.bind(options.source_address)
    except BaseException:
        sock.close()
        raise
    return sock


_TCP_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})


def _left_s(until: float) -> float | None:
    """Seconds left, ``None`` without a limit; TimeoutError when there are none."""
    if until == math.inf:
        return None
    left_s = until - monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


class _Race:
    """Connects side by side, one more each 250 ms, at once after a failure; the first to get through wins.

    RFC 8305 section 5. The sockets are non-blocking and one selector waits for all of them: no threads.
    """

    def __init__(self, infos: list[AddrInfo], options: DialOptions) -> None:
        self._todo = deque(interleaved(infos))
        self._options = options
        self._running: dict[socket.socket, AddrInfo] = {}
        self._next_at = 0.0
        self._error: OSError = OSError("getaddrinfo returns an empty list: no address could be tried")

    def run(self) -> socket.socket:
        """The winner, non-blocking still. TimeoutError when time is up, else the last attempt's OSError."""
        winner = None
        with selectors.DefaultSelector() as selector:
            try:
                while winner is None:
                    winner = self._start_due(selector) or self._wait(selector)
            finally:
                for sock in self._running:
                    if sock is not winner:
                        sock.close()
        return winner

    def _start_due(self, selector: selectors.BaseSelector) -> socket.socket | None:
        """The socket of an attempt that got through at once; ``None`` when the attempts that were due run."""
        while self._todo and (not self._running or monotonic() >= self._next_at):
            _left_s(self._options.until)
            info = self._todo.popleft()
            try:
                if self._started(info, selector):
                    return next(reversed(self._running))
            except OSError as err:
                self._error = err
                continue
            self._next_at = monotonic() + ATTEMPT_DELAY_S
        return None

    def _started(self, info: AddrInfo, selector: selectors.BaseSelector) -> bool:
        """Whether the attempt is through already; it runs in any case, or OSError tells why it does not."""
        sock = _prepared(info, self._options)
        try:
            sock.settimeout(0)
            is_through = _is_connected(sock, info[4])
            if not is_through:
                selector.register(sock, selectors.EVENT_WRITE)
        except BaseException:
            sock.close()
            raise
        self._running[sock] = info
        return is_through

    def _wait(self, selector: selectors.BaseSelector) -> socket.socket | None:
        """The winner, or ``None`` when another attempt is due; the last error when none is left."""
        if not self._running:
            raise self._error
        wait_s = left_s = _left_s(self._options.until)
        if self._todo:
            due_s = max(0.0, self._next_at - monotonic())
            wait_s = due_s if left_s is None else min(left_s, due_s)
        ready = {key.fileobj for key, _ in selector.select(wait_s)}
        if not ready:  # what was waited for has come, also where the clock stands still (freezegun)
            if wait_s == left_s:
                raise TimeoutError("timed out")
            self._next_at = 0.0
        for sock in [sock for sock in self._running if sock in ready]:
            failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not failure:
                return sock
            self._lost(sock, OSError(failure, os.strerror(failure)), selector)
        return None

    def _lost(self, sock: socket.socket, error: OSError, selector: selectors.BaseSelector) -> None:
        selector.unregister(sock)
        del self._running[sock]
        sock.close()
        self._error = error
        self._next_at = 0.0


def _is_connected(sock: socket.socket, address: SocketAddress) -> bool:
    """Whether a non-blocking socket was connected at once; False while it is under way, OSError if it can't be.

    By ``connect``, since that is what guards replace that keep tests off the network (pytest-socket).
    """
    try:
        sock.connect(address)
    except BlockingIOError:  # EINPROGRESS, on Windows EWOULDBLOCK
        return False
    return True


def interleaved(infos: Sequence[AddrInfo]) -> list[AddrInfo]:
    """The same addresses, families alternating from the first one's on (RFC 8305 section 4)."""
    families: dict[int, list[AddrInfo]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    return [info for rank in zip_longest(*families.values()) for info in rank if info is not None]
