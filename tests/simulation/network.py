"""A network in memory: sockets whose bytes arrive when and as far as the run chooses, and the servers behind them.

A server is no thread: it answers when bytes reach it, by putting what it sends, and when that arrives, on the client's
way. Bytes come in pieces of any length, after any delay; the connection may be refused, reset or half closed at any
byte, or fall silent. Over TLS the pieces are OpenSSL's records, from ``SSLObject`` over ``MemoryBIO``.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
from collections.abc import Callable
from math import inf
from typing import Any, Final, NamedTuple

from .primitives import Namespace
from .scheduler import Scheduler, Task

#: Descriptors of simulated sockets; the system has none so high.
FIRST_DESCRIPTOR: Final = 1_000_000
END: Final = b""
RESET: Final = None


class Delivery(NamedTuple):
    """What reaches a client at a time: bytes, the end of the stream, or a reset."""

    at: float
    data: bytes | None


class Network:
    """Makes sockets, and leads each to the server of its address."""

    def __init__(self, scheduler: Scheduler, answer: Callable[[Network, str, Peer], Session]) -> None:
        self.scheduler = scheduler
        self.open: set[SimulatedSocket] = set()
        self.made = 0
        self.down: dict[str, float] = {}  # until when nobody answers there
        self._answer = answer
        self.socket_module = Namespace(socket, socket=self._socket)
        self.select_module = SelectAlone(scheduler)

    def _socket(self, family: int = -1, kind: int = -1, proto: int = -1) -> SimulatedSocket:
        self.made += 1
        sock = SimulatedSocket(self, FIRST_DESCRIPTOR + self.made)
        self.open.add(sock)
        return sock

    def session(self, host: str, peer: Peer) -> Session:
        """The server's side of a new connection."""
        return self._answer(self, host, peer)

    def chance(self, percent: int) -> bool:
        """Whether something that happens so often happens now."""
        return self.scheduler.choice(100) < percent

    def part_of(self, length: int) -> int:
        """At least 1, at most all of it. What is drawn has nothing to do with the length, which over TLS differs."""
        return min(length, 1 + length * self.scheduler.choice(1000) // 1000)

    def delay_s(self) -> float:
        """How long something takes."""
        return (0.0, 0.0, 0.001, 0.02, 0.2)[self.scheduler.choice(5)]


class Session:
    """A server's side of one connection."""

    def receive(self, data: bytes) -> None:
        """Bytes from the client."""
        raise NotImplementedError


class Peer:
    """What a server can do to its client: send, end, reset; in the order of the calls."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.on_way: list[Delivery] = []
        self._last_at = 0.0
        self.arrived: Callable[[], None] = lambda: None

    def send(self, data: bytes, pieces: int = 3) -> None:
        """In up to so many pieces, each with a delay of its own."""
        network = self._network
        while data:
            size = len(data) if pieces <= 1 or network.scheduler.choice(2) else network.part_of(len(data))
            self._put(data[:size], network.delay_s())
            data, pieces = data[size:], pieces - 1

    def end(self, delay_s: float = 0.0) -> None:
        self._put(END, delay_s)

    def reset(self, delay_s: float = 0.0) -> None:
        self._put(RESET, delay_s)

    def call_off_end(self) -> bool:
        """Whether an end that was to come later does not come."""
        if self.on_way and self.on_way[-1].data == END and self.on_way[-1].at > self._network.scheduler.now:
            del self.on_way[-1]
            self._last_at = self._network.scheduler.now
            return True
        return False

    def _put(self, data: bytes | None, delay_s: float) -> None:
        self._last_at = max(self._last_at, self._network.scheduler.now) + delay_s
        self.on_way.append(Delivery(self._last_at, data))
        self.arrived()


class SimulatedSocket:
    """What poollib asks of a connected TCP socket."""

    def __init__(self, network: Network, descriptor: int) -> None:
        self._network = network
        self._scheduler = network.scheduler
        self._descriptor = descriptor
        self._timeout_s: float | None = None
        self._peer = Peer(network)
        self._peer.arrived = self._wake
        self._session: Session | None = None
        self._received = b""
        self._failure: int | None = None  # errno of what every further call raises
        self._is_at_end = False
        self._waiting: list[Task] = []

    def __repr__(self) -> str:
        return f"<socket {self._descriptor - FIRST_DESCRIPTOR}>"

    # -- connecting and closing --

    def connect(self, address: tuple[str, int]) -> None:
        host, network = str(address[0]), self._network
        until = self._until()
        self._pass(network.delay_s(), until)
        if network.chance(2) or network.down.get(host, 0.0) > self._scheduler.now:
            if network.chance(30):
                self._pass(inf, until)
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused, as chosen")
        self._session = network.session(host, self._peer)

    def close(self) -> None:
        self._scheduler.point()
        self._descriptor = -1
        self._network.open.discard(self)
        self._wake()

    def shutdown(self, how: int) -> None:
        self._check_open()
        if how != socket.SHUT_WR:
            self._is_at_end = True
            self._wake()

    def detach(self) -> int:
        descriptor = self._descriptor
        self.close()
        return descriptor

    def fileno(self) -> int:
        return self._descriptor

    def setsockopt(self, *option: object) -> None:
        self._check_open()

    def gettimeout(self) -> float | None:
        return self._timeout_s

    def settimeout(self, timeout_s: float | None) -> None:
        self._check_open()
        self._timeout_s = timeout_s

    # -- bytes --

    def send(self, data: bytes | memoryview) -> int:
        """Some of the bytes."""
        self._check_open()
        self._scheduler.point()
        self._take_in()
        self._raise_failure()
        part = bytes(data)
        if self._network.chance(20):
            part = part[: self._network.part_of(len(part))]
        if self._network.chance(1):
            self._failure = errno.EPIPE
            self._raise_failure()
        assert self._session is not None, "not connected"
        self._session.receive(part)
        return len(part)

    def sendall(self, data: bytes | memoryview) -> None:
        view, until = memoryview(data), self._until()
        while view:
            view = view[self.send(view) :]
            if view:
                self._pass(self._network.delay_s(), until)

    def recv(self, limit: int, flags: int = 0) -> bytes:
        self._check_open()
        self._scheduler.point()
        until = self._until()
        while not self.is_readable():
            if self._timeout_s == 0:
                raise BlockingIOError(errno.EAGAIN, "nothing is there")
            self._wait(until)
            self._check_open()
        if not self._received:
            self._raise_failure()
            return b""
        size = min(limit, len(self._received))
        if self._network.chance(15):
            size = self._network.part_of(size)
        data = self._received[:size]
        if not flags & socket.MSG_PEEK:
            self._received = self._received[size:]
        return data

    def recv_into(self, view: Any) -> int:
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)

    def is_readable(self) -> bool:
        """Whether a receive would end at once."""
        self._take_in()
        return bool(self._received) or self._is_at_end or self._failure is not None

    # -- helpers --

    def _take_in(self) -> None:
        """Take what has arrived by now."""
        way = self._peer.on_way
        while way and way[0].at <= self._scheduler.now and not self._is_at_end and self._failure is None:
            data = way.pop(0).data
            if data is None:
                self._failure = errno.ECONNRESET
            elif data == END:
                self._is_at_end = True
            else:
                self._received += data

    def _until(self) -> float:
        return inf if self._timeout_s is None else self._scheduler.now + self._timeout_s

    def _wait(self, until: float) -> None:
        """Until something more may be there, or it is over: TimeoutError."""
        way = self._peer.on_way
        next_at = min(way[0].at if way else inf, until)
        task = self._scheduler.current
        assert task is not None
        self._waiting.append(task)
        try:
            self._scheduler.block(f"bytes on {self!r}", max(0.0, next_at - self._scheduler.now))
        finally:
            self._waiting.remove(task)
        if self._scheduler.now >= until and not self.is_readable():
            raise TimeoutError("timed out")

    def _pass(self, seconds: float, until: float) -> None:
        """Let time pass: TimeoutError if that is too long."""
        left_s = until - self._scheduler.now
        if seconds <= left_s and seconds < inf:
            self._scheduler.sleep(seconds)
            return
        self._scheduler.block("a connection", left_s)
        raise TimeoutError("timed out")

    def _wake(self) -> None:
        for task in self._waiting:
            self._scheduler.wake(task)

    def _check_open(self) -> None:
        if self._descriptor < 0:
            raise OSError(errno.EBADF, "Bad file descriptor")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise OSError(self._failure, "as chosen")


class SelectAlone:
    """The module ``select`` of a system without poll, for simulated sockets."""

    error = OSError

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def select(
        self, readers: list[Any], writers: list[Any], others: list[Any], wait_s: float | None = None
    ) -> tuple[list[Any], list[Any], list[Any]]:
        if not all(isinstance(sock, SimulatedSocket) for sock in (*readers, *writers)):
            return select.select(readers, writers, others, wait_s)
        for sock in (*readers, *writers):
            if sock.fileno() < 0:
                raise ValueError("file descriptor cannot be a negative integer (-1)")
        ready = [sock for sock in readers if sock.is_readable()]
        if not ready and not writers and wait_s:
            self._scheduler.sleep(wait_s)
            ready = [sock for sock in readers if sock.is_readable()]
        return ready, writers, []


class TlsSession(Session):
    """A server's side under TLS: what is decrypted goes to the session within, whose bytes are encrypted."""

    def __init__(self, context: ssl.SSLContext, peer: Peer, inner: Callable[[Peer], Session]) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._peer = peer
        self._is_over_handshake = False
        self._inner = inner(EncryptingPeer(peer, self.encrypted))

    def receive(self, data: bytes) -> None:
        self._incoming.write(data)
        plain = []
        try:
            if not self._is_over_handshake:
                self._tls.do_handshake()
                self._is_over_handshake = True
            while piece := self._tls.read(65536):
                plain.append(piece)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        except ssl.SSLError:
            self._peer.reset()
        if rest := self._outgoing.read():
            self._peer.send(rest)
        for piece in plain:
            self._inner.receive(piece)

    def encrypted(self, data: bytes) -> bytes:
        """The records of these bytes."""
        self._tls.write(data)
        return self._outgoing.read()


class EncryptingPeer(Peer):
    """A peer whose bytes go out encrypted."""

    def __init__(self, peer: Peer, encrypted: Callable[[bytes], bytes]) -> None:
        self._peer = peer
        self._encrypted = encrypted

    def send(self, data: bytes, pieces: int = 3) -> None:
        if data:
            self._peer.send(self._encrypted(data), pieces)

    def end(self, delay_s: float = 0.0) -> None:
        self._peer.end(delay_s)

    def reset(self, delay_s: float = 0.0) -> None:
        self._peer.reset(delay_s)

    def call_off_end(self) -> bool:
        return self._peer.call_off_end()
