"""Receives that wait in the kernel: of timeouts, nobody sees a difference but the CPU.

RELIABILITY: a wait ends when its timeout does; a socket that changes hands is as a socket's owner knows it.
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from poollib.base.timeout import Deadline
from poollib.connection import HTTPConnection, Options
from poollib.exceptions import DeadlineExceededError, ProtocolError, ReadTimeoutError
from poollib.exchange import request_sender, transport
from poollib.exchange.transport import Transport
from poollib.net import socket_state
from tests.support.certs import certs
from tests.support.script import ScriptServer, expect_request, reset, respond, send, stall

ONCE = [expect_request(), respond(b"x")]
UPGRADE = {"Connection": "Upgrade", "Upgrade": "echo"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system may not wait so")


@pytest.fixture(autouse=True)
def no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receives wait as in a thread that signals do not come to."""
    monkeypatch.setattr(transport, "signals_come_here", lambda: False)


def wait_for(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_state, "KERNEL_WAIT_S", seconds)
    monkeypatch.setattr(socket_state, "_KERNEL_WAIT", struct.pack("ll", int(seconds), int(seconds % 1 * 1e6)))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is waited for less long than a test takes."""
    wait_for(0.02, monkeypatch)


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is waited for longer than a busy machine makes an answer late."""
    wait_for(4.0, monkeypatch)


@pytest.fixture
def late(short: None, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a receive goes on waiting in Python."""
    event, original = threading.Event(), Transport._receive_late

    def noted(self: Transport, sock: socket.socket, limit: int) -> bytes:
        event.set()
        return original(self, sock, limit)

    monkeypatch.setattr(Transport, "_receive_late", noted)
    return event


def pool_for(server: ScriptServer, **kw: Any) -> HTTPConnectionPool:
    return HTTPConnectionPool("127.0.0.1", server.port, **{"timeout": 5.0, "retries": False, **kw})


def kept(pool: HTTPConnectionPool) -> Any:
    """The idle connection of a pool."""
    (connection,) = pool._endpoint_pool.idle_connections()
    return connection


def kernel_wait_s(sock: socket.socket) -> float:
    """How long the system itself waits on a socket; 0: without end."""
    seconds, micro = struct.unpack("ll", sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
    return float(seconds + micro / 1e6)


LIMITS = {
    "one": 5.0,
    "two": Timeout(connect=2, read=5),
    "total": Timeout(total=5.0),
    "deadline": Timeout(deadline=5.0),
    "both": Timeout(connect=2, read=5, deadline=9.0),
}


@pytest.mark.parametrize("timeout", LIMITS.values(), ids=LIMITS)
def test_a_plain_connection_with_a_timeout_waits_in_the_kernel(timeout: Any, long: None) -> None:
    """And says of its timeout what it always did; a running clock's is not set anew for each request."""
    with ScriptServer(ONCE * 3) as server, pool_for(server, timeout=timeout) as pool:
        for _ in range(3):
            assert pool.request("GET", "/").data == b"x"
        sock = kept(pool).sock
        assert 4.5 < sock.gettimeout() <= 5.0
        assert os.get_blocking(sock.fileno())  # else it was set again
        assert kernel_wait_s(sock) == socket_state.KERNEL_WAIT_S


def waits_by_python(pool: HTTPConnectionPool) -> bool:
    """Whether, after a request, its connection waits as sockets do of themselves."""
    assert pool.request("GET", "/").data == b"x"
    sock = kept(pool).sock
    return not kept(pool)._is_kernel_waiting and kernel_wait_s(sock) == 0 and os.get_blocking(sock.fileno()) is False


@pytest.mark.parametrize("timeout", [0.1, Timeout(total=0.1), Timeout(read=5.0, deadline=0.1)])
def test_shorter_limits_are_waited_for_in_python(timeout: Any) -> None:
    with ScriptServer(ONCE) as server, pool_for(server, timeout=timeout) as pool:
        pool.request("GET", "/")
        assert not os.get_blocking(kept(pool).sock.fileno())


def test_who_listens_at_the_methods_of_sockets_hears_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorders and fault injectors put theirs on the class."""
    heard = []

    def recv(self: socket.socket, *args: Any) -> bytes:
        heard.append(self)
        return super(socket.socket, self).recv(*args)

    monkeypatch.setattr(socket.socket, "recv", recv, raising=False)
    with ScriptServer(ONCE) as server, pool_for(server) as pool:
        assert waits_by_python(pool)
        assert kept(pool).sock in heard


def test_a_socket_of_another_class_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Guarded(socket.socket):
        pass

    monkeypatch.setattr(socket, "socket", Guarded)
    with ScriptServer(ONCE) as server, pool_for(server) as pool:
        assert waits_by_python(pool)
        assert type(kept(pool).sock) is Guarded


@pytest.mark.parametrize("kernel_wait", [struct.pack("ll", 0, 1), b"\1" * 16, b"\1"], ids=["rounded", "wrong", "short"])
def test_a_system_that_takes_it_otherwise_is_left_alone(kernel_wait: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_state, "_KERNEL_WAIT", kernel_wait)
    with ScriptServer(ONCE) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"x"
        assert not kept(pool)._is_kernel_waiting


def test_tls_waits_as_before() -> None:
    with ScriptServer(ONCE, tls=certs().server()) as server:
        with HTTPSConnectionPool("localhost", server.port, ca_certs=certs().ca_file, timeout=5.0) as pool:
            assert pool.request("GET", "/").data == b"x"
            assert not kept(pool)._is_kernel_waiting


# -- what takes longer --


def test_an_answer_that_takes_longer_is_waited_for(late: threading.Event) -> None:
    """From then on the connection waits in Python: its server is slow."""
    with ScriptServer([expect_request(), stall(late), respond(b"x"), *ONCE]) as server, pool_for(server) as pool:
        assert waits_by_python(pool)
        assert waits_by_python(pool)
        assert kept(pool).sock.gettimeout() == 5.0
        assert server.opened == 1


def test_a_timeout_comes_when_it_did_and_says_so(short: None) -> None:
    with ScriptServer([expect_request(), stall()]) as server, pool_for(server, timeout=0.1) as pool:
        start = time.monotonic()
        with pytest.raises(ReadTimeoutError, match=r"\(read timeout=0\.1\)"):
            pool.request("GET", "/")
        assert 0.09 < time.monotonic() - start < 3
        assert pool._endpoint_pool.stats().leased == 0


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
@pytest.mark.parametrize(
    "limit", [0.3, Timeout(total=0.3), Timeout(read=5.0, deadline=0.3)], ids=["timeout", "total", "deadline"]
)
def test_a_timer_of_the_program_does_not_make_a_timeout_longer(limit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each signal starts a call of the system anew: one that the kernel ends would not end before the timer does."""
    monkeypatch.setattr(transport, "signals_come_here", socket_state.signals_come_here)
    ticks: list[None] = []

    def tick(*_: object) -> None:
        ticks.append(None)
        if len(ticks) == 100:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
    try:
        with ScriptServer([*ONCE, expect_request(), stall()]) as server, pool_for(server, timeout=limit) as pool:
            assert pool.request("GET", "/").data == b"x"
            with pytest.raises((ReadTimeoutError, DeadlineExceededError)):
                pool.request("GET", "/")
        assert len(ticks) < 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def test_who_takes_the_timeout_off_waits_without_end(late: threading.Event) -> None:
    """As docker's client does with the socket of a response that it streams."""
    head = send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
    with ScriptServer([expect_request(), head, stall(late), send(b"b")]) as server, pool_for(server) as pool:
        response: Any = pool.request("GET", "/", preload_content=False)
        sock = response.connection.sock
        sock.settimeout(None)
        assert response.read() == b"ab"
        assert (sock.gettimeout(), kernel_wait_s(sock), late.is_set()) == (None, 0, True)


def test_a_deadline_ends_a_wait_at_once(long: None) -> None:
    script = [*ONCE, expect_request(), stall()]
    with ScriptServer(script, ONCE) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"x"
        with pytest.raises(DeadlineExceededError):
            pool.request("GET", "/", timeout=Timeout(read=5.0, deadline=0.05))
        assert pool.request("GET", "/").data == b"x"
        assert kept(pool)._is_kernel_waiting


def test_a_deadline_between_others_leaves_their_timeout_as_it_was(long: None) -> None:
    with ScriptServer(ONCE * 3) as server, pool_for(server) as pool:
        for timeout in (5.0, Timeout(read=5.0, deadline=9.0), 5.0):
            assert pool.request("GET", "/", timeout=timeout).data == b"x"
        assert (server.opened, kept(pool).sock.gettimeout()) == (1, 5.0)


# -- what goes wrong, and who takes the socket over --


def test_a_reset_is_told_as_before() -> None:
    with ScriptServer([expect_request(), reset()]) as server, pool_for(server) as pool:
        with pytest.raises(ProtocolError, match=r"Connection aborted.*ConnectionResetError"):
            pool.request("GET", "/")


def test_a_socket_that_is_handed_over_waits_as_its_timeout_says() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    with ScriptServer([*ONCE, expect_request(), send(head), stall()]) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"x"
        response: Any = pool.request("GET", "/", headers=UPGRADE, preload_content=False)
        sock = response.connection.sock
        assert (sock.gettimeout(), kernel_wait_s(sock)) == (5.0, 0)
        assert response.detach().sock is sock
        with sock:
            assert (sock.gettimeout(), kernel_wait_s(sock), os.get_blocking(sock.fileno())) == (5.0, 0, False)


@pytest.mark.parametrize("send_small", [socket_state.send_at_once, socket_state.send_among_threads])
@pytest.mark.parametrize("is_full", [False, True])
def test_what_the_send_buffer_does_not_take_follows(is_full: bool, send_small: Callable[..., None]) -> None:
    near, far = socket.socketpair()
    data, before = bytes(range(256)) * 4096, b""
    with near, far:
        near.settimeout(0.0)
        while is_full:
            try:
                before += b"-" * near.send(b"-" * 65536)
            except BlockingIOError:
                break
        near.settimeout(5.0)
        sender = threading.Thread(target=send_small, args=(near, data))
        sender.start()
        received = b""
        while len(received) < len(before) + len(data):
            received += far.recv(1 << 20)
        sender.join()
        assert received == before + data


@pytest.mark.parametrize("timeout", [None, 5.0, 0.1])
@pytest.mark.parametrize("threads", [0, 1])
def test_a_small_request_among_threads_leaves_by_the_send_for_them(
    timeout: float | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr(request_sender, "send_among_threads", lambda sock, data, limit: sent.append(sock.send(data)))
    with ScriptServer(ONCE) as server, pool_for(server, timeout=timeout) as pool:
        monkeypatch.setattr(_thread, "_count", lambda: threads)
        assert pool.request("GET", "/").data == b"x"
        assert len(sent) == threads


def test_who_listens_at_sendall_hears_of_each_request_among_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def sendall(self: socket.socket, data: bytes) -> None:
        heard.append(self)
        super(socket.socket, self).sendall(data)

    monkeypatch.setattr(socket.socket, "sendall", sendall, raising=False)
    monkeypatch.setattr(_thread, "_count", lambda: 1)
    with ScriptServer(ONCE) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"x"
        assert kept(pool).sock in heard


def listen(monkeypatch: pytest.MonkeyPatch, sock: socket.socket, *names: str) -> list[str]:
    """Which of these methods of its class are called on the socket from now on."""
    heard, kind = [], type(sock)

    def heard_at(name: str) -> Callable[..., Any]:
        method = getattr(kind, name)

        def heard_method(self: socket.socket, *args: Any) -> Any:
            if self is sock:
                heard.append(name)
            return method(self, *args)

        return heard_method

    for name in names:
        monkeypatch.setattr(kind, name, heard_at(name), raising=False)
    return heard


@pytest.mark.parametrize("threads", [0, 1])
def test_who_begins_to_listen_hears_of_connections_that_are_open(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As who replaces a method by one that fails expects it, to see what his program does then."""
    monkeypatch.setattr(_thread, "_count", lambda: threads)
    with ScriptServer(ONCE * 3) as server, pool_for(server) as pool:
        assert pool.request("GET", "/").data == b"x"
        with monkeypatch.context() as later:
            heard = listen(later, kept(pool).sock, "sendall", "recv")
            assert pool.request("GET", "/").data == b"x"
        assert pool.request("GET", "/").data == b"x"
        assert heard == ["sendall", "recv"]


def test_who_begins_to_listen_at_tls_sockets_hears_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptServer(ONCE * 2, tls=certs().server()) as server:
        with HTTPSConnectionPool("localhost", server.port, ca_certs=certs().ca_file, timeout=5.0) as pool:
            assert pool.request("GET", "/").data == b"x"
            heard = listen(monkeypatch, kept(pool).sock, "sendall")
            assert pool.request("GET", "/").data == b"x"
            assert heard == ["sendall"]


def test_what_comes_for_whoever_got_the_sockets_number_is_no_answer(
    long: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread closes the socket as a receive begins, and opens another, which gets its descriptor's number."""
    other, others_end = socket.socketpair()
    read = socket_state.Descriptor.read

    def read_later(number: int, limit: int) -> bytes:
        conn.sock.close()
        os.dup2(other.fileno(), number)
        try:
            return read(number, limit)
        finally:
            os.close(number)

    with ScriptServer([*ONCE, expect_request(), stall()]) as server, other, others_end:
        others_end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        conn = HTTPConnection("127.0.0.1", server.port, timeout=5.0)
        conn.request("GET", "/")
        assert conn.getresponse().data == b"x"  # else the server, in this process, could get the number
        conn.request("GET", "/")
        monkeypatch.setattr(socket_state.Descriptor, "read", staticmethod(read_later))
        with pytest.raises(ProtocolError, match="Bad file descriptor"):
            conn.getresponse()
        assert conn.is_closed


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("sent_bytes", [0, 2])
def test_a_request_of_which_some_bytes_have_left_counts_as_sent(
    sent_bytes: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is not repeated behind the caller's back, as one would be that the system has refused as a whole."""
    conn = HTTPConnection("localhost", timeout=5.0)
    conn.sock, far = socket.socketpair()
    conn.sock.settimeout(5.0)

    def send_some(_: object, data: bytes, *rest: int) -> int:
        n: int = conn.sock.send(data[:sent_bytes])
        conn.sock.shutdown(socket.SHUT_WR)
        return n

    monkeypatch.setattr(_thread, "_count", lambda: threads)
    monkeypatch.setattr(socket_state, "send_holding_gil", lambda: send_some)
    monkeypatch.setattr(socket_state.Descriptor, "write", staticmethod(send_some))
    with far, pytest.raises(ProtocolError) as raised:
        conn.request("POST", "/", body=b"x")
    assert raised.value.nothing_sent is (sent_bytes == 0)


def test_a_shorter_limit_follows_a_longer_one(long: None) -> None:
    """Also where the socket waits in the kernel for longer than that."""
    with ScriptServer([*ONCE, expect_request(), stall()]) as server, pool_for(server) as pool:
        assert pool.request("GET", "/", timeout=Timeout(total=5.0)).data == b"x"
        start = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            pool.request("GET", "/", timeout=Timeout(total=0.2))
        assert 0.15 < time.monotonic() - start < 3.0


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("left_s", [0.2, -1.0])
def test_a_deadline_ends_the_wait_of_a_short_request_for_room(
    left_s: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other limit is there, and the send buffer is full. What is late already is not sent."""
    monkeypatch.setattr(_thread, "_count", lambda: threads)
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(0.0)
        while left_s > 0:
            try:
                near.send(b"-" * 65536)
            except BlockingIOError:
                break
        near.settimeout(None)
        connection = HTTPConnection("localhost")
        connection.sock, connection.request_options = near, Options(deadline=Deadline(left_s))
        with pytest.raises(DeadlineExceededError, match="sending"):
            connection.request("GET", "/")
        if left_s < 0:
            assert far.recv(100) == b""
