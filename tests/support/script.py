"""A server on loopback that plays a script, one list of steps per connection.

It hands a test the address, everything that each connection received, and how many connections there were.
What a request or a response means is left to the test: the server knows bytes, and only `expect_request` reads a
request's framing. A step that could not be done is kept and raised when the `with` block ends, and every wait is
bounded, so a wrong expectation fails a test and never hangs it.

    with ScriptServer([expect_request(), respond(b"hello"), expect_end()]) as server:
        assert poollib.request("GET", server.url).data == b"hello"
    assert server.received[0].startswith(b"GET / HTTP/1.1")

The life of a connection: PLAYING (a step is at work) or STALLING (the script wants to wait) -> LISTENING (no step is
left; what comes is recorded until the client closes or the server stops) -> CLOSED.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType

# How long all the steps of one server may take.
LIMIT_S = 10.0
# How long, at the end of the `with` block, a script may go on with what the client has sent already.
GRACE_S = 1.0
# How long a socket is waited for before the server's time is looked at.
RECV_S = 0.1
# How long a wait for an event lasts before it looks whether the server was stopped.
TICK_S = 0.01


class ScriptError(AssertionError):
    """A step could not be done: what was expected did not come, or not in time."""


class _Stopped(Exception):
    """The server was stopped while a step was waiting."""


class State(enum.Enum):
    PLAYING = "playing"
    STALLING = "stalling"
    LISTENING = "listening"
    CLOSED = "closed"


@dataclass
class Connection:
    """One accepted connection, as its steps see it; a test may read `received` and `state`."""

    sock: socket.socket
    number: int
    stop: threading.Event
    # On time.monotonic(): when the server's time is up.
    deadline: float
    received: bytearray = field(default_factory=bytearray)
    # How much of `received` a step has taken already.
    taken: int = 0
    at_end: bool = False
    state: State = State.PLAYING

    @property
    def pending(self) -> bytes:
        """What came and was not taken by a step yet."""
        return bytes(self.received[self.taken :])

    def take(self, count: int) -> bytes:
        """The next `count` received bytes, which no later step sees again."""
        taken = bytes(self.received[self.taken : self.taken + count])
        self.taken += len(taken)
        return taken

    def check_time(self) -> None:
        """Raise if the server was stopped or its time is up."""
        if self.stop.is_set():
            raise _Stopped
        if time.monotonic() > self.deadline:
            raise ScriptError(f"connection {self.number}: time is up; not taken yet: {self.pending[:200]!r}")

    def receive(self) -> bool:
        """Whether more bytes came; False at the end of the stream (a reset is an end too)."""
        while not self.at_end:
            self.check_time()
            self.sock.settimeout(RECV_S)
            try:
                data = self.sock.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            except OSError:
                data = b""
            self.at_end = not data
            self.received += data
            return bool(data)
        self.check_time()
        return False

    def receive_until(self, ready: Callable[[bytes], object], wanted: str) -> None:
        """Receive until `ready(pending)` is true; an end of the stream before that fails the script."""
        while not ready(self.pending):
            if not self.receive():
                have = self.pending[:200]
                raise ScriptError(f"connection {self.number}: the client closed; wanted {wanted}, have {have!r}")

    def send(self, data: bytes) -> None:
        """Send all of it; a client that is gone ends the script without a failure."""
        view = memoryview(data)
        while view:
            self.check_time()
            self.sock.settimeout(RECV_S)
            with contextlib.suppress(TimeoutError, ssl.SSLWantWriteError):
                view = view[self.sock.send(view) :]

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here, as the server."""
        # Wrapped first and shaken hands with after, so that a stopping server can reach the socket.
        self.sock = context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        self.sock.settimeout(max(0.1, self.deadline - time.monotonic()))
        self.sock.do_handshake()

    def close(self) -> None:
        """Close the socket; twice does no harm."""
        self.sock.close()
        self.state = State.CLOSED

    def interrupt(self) -> None:
        """Wake a step that waits for the socket; called by another thread."""
        with contextlib.suppress(OSError):
            # The plain socket's method: an SSLSocket's own would change the object under the waiting thread.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


Step = Callable[[Connection], object]


# Steps, in the order in which an exchange meets them


def expect(wanted: bytes | Callable[[bytes], object]) -> Step:
    """Receive exactly these bytes next, or until the predicate is true of what is pending (and take all of that)."""
    return _expect_bytes(wanted) if isinstance(wanted, bytes) else _expect_predicate(wanted)


def expect_head() -> Step:
    """Receive up to and with the first empty line."""

    def head(connection: Connection) -> None:
        connection.receive_until(lambda pending: b"\r\n\r\n" in pending, "a request head")
        connection.take(connection.pending.index(b"\r\n\r\n") + 4)

    return head


def expect_request() -> Step:
    """Receive one request, its body included (by Content-Length or chunks)."""

    def request(connection: Connection) -> None:
        connection.receive_until(request_length, "a whole request")
        connection.take(request_length(connection.pending))

    return request


def expect_end() -> Step:
    """Receive nothing more: the client closes its side."""

    def end(connection: Connection) -> None:
        while connection.receive():
            pass
        if connection.pending:
            raise ScriptError(f"connection {connection.number}: expected the end, got {connection.pending!r}")

    return end


def send(data: bytes) -> Step:
    """Send the bytes at once."""
    return lambda connection: connection.send(data)


def send_slowly(data: bytes, by: int = 1, pause_s: float = 0.0) -> Step:
    """Send `by` bytes a call, `pause_s` seconds apart; TCP_NODELAY lets them leave as they are written."""

    def slowly(connection: Connection) -> None:
        for start in range(0, len(data), by):
            connection.send(data[start : start + by])
            connection.stop.wait(pause_s)

    return slowly


def respond(body: bytes = b"", status: str = "200 OK", headers: Iterable[str] = ()) -> Step:
    """Send a response with a Content-Length; `headers` are whole lines without their end."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


def stall(until: threading.Event | None = None) -> Step:
    """Do nothing until the event is set; None: until the client closes. The end of the test ends it as well."""

    def wait(connection: Connection) -> None:
        connection.state = State.STALLING
        if until is None:
            while connection.receive():
                pass
        else:
            while not until.wait(TICK_S):
                connection.check_time()

    return wait


def signal(event: threading.Event) -> Step:
    """Set the event, which tells the test that the script came this far."""
    return lambda connection: event.set()


def start_tls(context: ssl.SSLContext) -> Step:
    """Go on over TLS from here, as a proxy does after CONNECT."""
    return lambda connection: connection.secure(context)


def half_close() -> Step:
    """Send FIN and go on receiving."""
    return lambda connection: connection.sock.shutdown(socket.SHUT_WR)


def close() -> Step:
    """Close the connection: over TLS with a close_notify, which says that nothing was cut off.

    Bytes that came and were not received make the kernel send RST in place of FIN: expect them first.
    """

    def orderly(connection: Connection) -> None:
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.setblocking(False)
            with contextlib.suppress(OSError, ValueError):
                connection.sock.unwrap()
        connection.close()

    return orderly


def cut() -> Step:
    """Close the connection below TLS: FIN without a close_notify."""
    return lambda connection: connection.close()


def finish(data: bytes, close_notify: bool = False) -> Step:
    """Send the bytes and the FIN in one segment, where the system can (Linux), as a server does that closes at once.

    Over TLS a close_notify comes between, if it is asked for.
    """

    def last(connection: Connection) -> None:
        if hasattr(socket, "TCP_CORK"):
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        connection.send(data)
        (close() if close_notify else cut())(connection)

    return last


def reset() -> Step:
    """Close the connection with RST in place of FIN (SO_LINGER of 0 s)."""

    def linger_zero(connection: Connection) -> None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return linger_zero


class ScriptServer:
    """A context manager; each positional argument is the script of one connection, in the order of arrival.

    `repeat`: connections beyond the scripts play the last one again; without it they fail the test. `tls`: speak
    TLS from the first byte; a failed handshake is kept in `tls_errors`, and its script is not played. `unix`: listen at
    this path in place of TCP. `limit_s`: how long all of it may take. Scripts that no connection came for are no
    failure: a test asserts `opened`.
    """

    def __init__(
        self,
        *scripts: Iterable[Step],
        repeat: bool = False,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        unix: str | os.PathLike[str] | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        self.scripts = [list(script) for script in scripts]
        self.repeat, self.tls, self.limit_s = repeat, tls, limit_s
        self.connections: list[Connection] = []
        self.failures: list[BaseException] = []
        self.tls_errors: list[OSError] = []
        self.stop = threading.Event()
        self.host, self.port = host, 0
        self._unix = unix
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> ScriptServer:
        self._listener = self._listen()
        self._wake, self._woken = socket.socketpair()
        self._deadline = time.monotonic() + self.limit_s
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wake.send(b"x")
        self._threads[0].join(LIMIT_S)
        if kind is None:
            self._let_scripts_end()
        self.stop.set()
        for connection in self.connections:
            connection.interrupt()
        for thread in self._threads:
            thread.join(LIMIT_S)
        for sock in (self._listener, self._wake, self._woken):
            sock.close()
        if kind is None and self.failures:
            raise self.failures[0]

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def received(self) -> list[bytes]:
        """All that each connection received, in the order of arrival (after TLS, where there is any)."""
        return [bytes(connection.received) for connection in self.connections]

    @property
    def opened(self) -> int:
        """How many connections were accepted."""
        return len(self.connections)

    def _listen(self) -> socket.socket:
        if self._unix is not None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(os.fspath(self._unix))
            listener.listen(128)
        else:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            listener = socket.create_server((self.host, 0), family=family, backlog=128)
            self.port = listener.getsockname()[1]
        listener.setblocking(False)
        return listener

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True, name="script server")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        """Accept until woken, and then what is in the backlog: its client may be done already."""
        ending = False
        while not ending:
            ready, _, _ = select.select([self._listener, self._woken], [], [])
            ending = self._woken in ready
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._admit(self._listener.accept()[0])

    def _admit(self, sock: socket.socket) -> None:
        if self._unix is None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, len(self.connections), self.stop, self._deadline)
        self.connections.append(connection)
        self._start(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        try:
            self._play(connection)
        except ConnectionError:
            # The client went away while something was sent: what it saw is the test's to judge.
            pass
        except _Stopped:
            if connection.state is State.PLAYING:
                self.failures.append(ScriptError(f"connection {connection.number}: its script did not end"))
        except BaseException as error:
            self.failures.append(error)
        finally:
            connection.close()

    def _play(self, connection: Connection) -> None:
        steps = self._script_of(connection)
        if self.tls is not None:
            try:
                connection.secure(self.tls)
            except OSError as error:
                self.tls_errors.append(error)
                return
        for step in steps:
            connection.state = State.PLAYING
            step(connection)
            if connection.state is State.CLOSED:
                return
        connection.state = State.LISTENING
        while connection.receive():
            pass

    def _script_of(self, connection: Connection) -> list[Step]:
        if connection.number < len(self.scripts):
            return self.scripts[connection.number]
        if self.repeat and self.scripts:
            return self.scripts[-1]
        raise ScriptError(f"connection {connection.number} came, but {len(self.scripts)} were expected")

    def _let_scripts_end(self) -> None:
        """Give the scripts a moment for what the client has done already; one that is still playing then has failed."""
        end = min(time.monotonic() + GRACE_S, self._deadline)
        while any(c.state is State.PLAYING for c in self.connections) and time.monotonic() < end:
            time.sleep(0.001)


def request_length(data: bytes) -> int:
    """How many bytes the first request in `data` takes, its body included; 0 while it is not whole."""
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end:
        return 0
    start = len(head) + 4
    if re.search(rb"\r\ntransfer-encoding:[^\r]*chunked", head, re.I):
        return _end_of_chunks(data, start)
    match = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    length = start + int(match[1]) if match else start
    return length if len(data) >= length else 0


def _end_of_chunks(data: bytes, start: int) -> int:
    """Where the chunked body that begins at `start` ends, its trailers included; 0 while it is not whole."""
    while True:
        line_end = data.find(b"\r\n", start)
        if line_end < 0:
            return 0
        size = int(data[start:line_end].split(b";")[0], 16)
        if size == 0:
            end = data.find(b"\r\n\r\n", line_end)
            return end + 4 if end >= 0 else 0
        start = line_end + 2 + size + 2


def _expect_bytes(wanted: bytes) -> Step:
    def exactly(connection: Connection) -> None:
        # Stops early at the first difference, so that a wrong request fails at once.
        connection.receive_until(
            lambda pending: len(pending) >= len(wanted) or not wanted.startswith(pending), repr(wanted)
        )
        got = connection.take(len(wanted))
        if got != wanted:
            raise ScriptError(f"connection {connection.number}: expected {wanted!r}, got {got!r}")

    return exactly


def _expect_predicate(predicate: Callable[[bytes], object]) -> Step:
    def until(connection: Connection) -> None:
        connection.receive_until(predicate, getattr(predicate, "__name__", "what a predicate asks for"))
        connection.take(len(connection.pending))

    return until
