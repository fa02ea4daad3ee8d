"""sockets: an idle socket is quiet until a byte, an end or an error waits on it, however the system is asked."""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn
from unittest.mock import MagicMock

import pytest

from poollib.net import socket_state
from tests.support.certs import certs
from tests.support.httpd import Httpd
from tests.support.script import ScriptServer, expect, finish


@pytest.fixture(params=["ipv4", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection, and by parameter the kinds that Linux is asked about in different ways."""
    if request.param == "unix":
        near, far = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
    with near, far:
        yield near, far


def becomes(wanted: bool, quiet: Callable[[], bool]) -> bool:
    """Whether the check says so soon: what was sent over loopback takes a moment."""
    end = time.monotonic() + 2.0
    while quiet() is not wanted and time.monotonic() < end:
        time.sleep(0.001)
    return quiet() is wanted


WAYS = ["among threads", "alone", "by poll"]


def ask(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system asked as it is among other threads, without any, or where it tells no state."""
    monkeypatch.setattr(_thread, "_count", lambda: int(way == "among threads"))
    if way == "by poll":
        monkeypatch.setattr(socket_state, "_tells_state", lambda sock: False)


@pytest.mark.parametrize("way", WAYS)
def test_bytes_an_end_and_an_error_are_seen(
    pair: tuple[socket.socket, socket.socket], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was read is gone."""
    near, far = pair
    ask(way, monkeypatch)
    quiet = socket_state.quiet_check(near)
    assert quiet()
    far.sendall(b"unasked")
    assert becomes(False, quiet)
    assert near.recv(3) == b"una"
    assert not quiet()
    assert near.recv(100) == b"sked"
    assert quiet()
    far.close()
    assert becomes(False, quiet)


@pytest.mark.parametrize("way", WAYS)
def test_a_reset_is_seen(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits to be read then, but sending would fail."""
    ask(way, monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        quiet = socket_state.quiet_check(near)
        far, _ = listener.accept()
        assert quiet()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        assert becomes(False, quiet)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["plain", "tls", "tls and close_notify"])
def test_an_end_that_came_with_the_last_bytes_is_seen(how: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading those takes it from the queue as well: nothing is left to be read, and the connection is over."""
    ask(way, monkeypatch)
    tls = None if how == "plain" else certs().server()
    with ScriptServer([expect(b"go"), finish(b"bye", how == "tls and close_notify")], tls=tls) as server:
        with socket.create_connection((server.host, server.port), 5) as near:
            if tls is not None:
                context = ssl.create_default_context(cafile=certs().ca_file)
                near = context.wrap_socket(near, server_hostname="localhost", suppress_ragged_eofs=False)
            with near:
                quiet = socket_state.quiet_check(near)
                assert quiet()
                near.sendall(b"go")
                assert near.recv(100) == b"bye"
                assert becomes(False, quiet)  # at once on Linux, where it came in one segment
                assert not quiet(True)


def test_much_that_was_read_leaves_the_socket_quiet() -> None:
    """Also a large body, taken in pieces."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        far, _ = listener.accept()
        with far:
            quiet = socket_state.quiet_check(near)
            for size in (1, 1000, 100_000):
                far.sendall(bytes(size))
                left = size
                while left:
                    left -= len(near.recv(4096))
                assert quiet()
        assert becomes(False, quiet)


@pytest.mark.parametrize("way", WAYS[:2])
def test_a_number_that_another_socket_has_now_is_not_quiet(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program has closed the connection's socket, and opened one."""
    ask(way, monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        quiet = socket_state.quiet_check(near)
        number = near.fileno()
        near.close()
        with socket.create_connection(listener.getsockname()) as another:
            assert another.fileno() == number
            assert not quiet()


def test_a_closed_socket_is_not_quiet() -> None:
    """It can't be lent."""
    near, far = socket.socketpair()
    quiet = socket_state.quiet_check(near)
    near.close()
    far.close()
    assert not quiet()


def test_a_socket_that_tells_nothing_is_looked_at_another_way() -> None:
    """One that says it is TCP and knows no options, as wrappers of recorders do."""

    class Wrapper:
        family = socket.AF_INET

    assert not socket_state._tells_state(Wrapper())
    assert not socket_state.quiet_check(Wrapper())()


def test_a_state_that_there_is_not_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an emulated kernel answers with zeros, no connection would ever be kept."""

    class Emulated:
        family = socket.AF_INET

        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            return bytes(size)

    monkeypatch.setattr(sys, "platform", "linux")
    assert not socket_state._tells_state(Emulated())


def test_a_socket_that_was_closed_is_not_quiet_from_then_on() -> None:
    with Httpd() as server:
        sock = socket.create_connection((server.host, server.port))
        quiet = socket_state.quiet_check(sock)
        assert quiet()
        sock.close()
        assert (quiet(), quiet()) == (False, False)


@pytest.fixture(params=["poll", "select"])
def quiet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Callable[[], bool]]:
    if request.param == "select":
        monkeypatch.delattr(select, "poll", raising=False)
    return socket_state.quiet_check


def test_an_idle_socket_is_quiet_until_something_comes(
    pair: tuple[socket.socket, socket.socket], quiet: Callable[[Any], Callable[[], bool]]
) -> None:
    is_quiet = quiet(pair[0])
    assert is_quiet()
    pair[1].send(b"x")
    assert not is_quiet()
    pair[0].recv(1)
    assert is_quiet()
    pair[1].close()
    assert not is_quiet()


def test_neither_poll_nor_select_finds_a_closed_socket_quiet(
    pair: tuple[socket.socket, socket.socket], quiet: Callable[[Any], Callable[[], bool]]
) -> None:
    is_quiet = quiet(pair[0])
    pair[0].close()
    assert not is_quiet()
    assert not quiet(pair[0])()
    assert not quiet(object())()


def tls_pair(newest: ssl.TLSVersion | None = None) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """A client's and a server's end, hands shaken."""
    client = ssl.create_default_context(cafile=certs().ca_file)
    ours, theirs = socket.socketpair()
    served: list[ssl.SSLSocket] = []
    context = certs().server(newest=newest)
    thread = threading.Thread(target=lambda: served.append(context.wrap_socket(theirs, server_side=True)))
    thread.start()
    wrapped = client.wrap_socket(ours, server_hostname="localhost", suppress_ragged_eofs=False)
    thread.join()
    return wrapped, served[0]


@pytest.mark.parametrize("newest", [None, ssl.TLSVersion.TLSv1_2])
def test_session_tickets_leave_a_tls_socket_quiet_and_its_timeout_alone(newest: ssl.TLSVersion | None) -> None:
    """RFC 8446 section 4.6.1: they come whenever the server likes."""
    ours, theirs = tls_pair(newest)
    with ours, theirs:
        ours.settimeout(3)
        is_quiet = socket_state.quiet_check(ours)
        if newest is None:
            assert select.select([ours], [], [], 0)[0], "tickets should have been sent"
        assert is_quiet()
        assert ours.gettimeout() == 3
        assert not select.select([ours], [], [], 0)[0], "tickets should have been taken in"
        theirs.sendall(b"x")
        assert not is_quiet()


def test_the_end_of_a_tls_connection_is_not_quiet() -> None:
    for how in ("unwrap", "close"):
        ours, theirs = tls_pair()
        with ours, theirs:
            is_quiet = socket_state.quiet_check(ours)
            if how == "unwrap":
                theirs.setblocking(False)
                with contextlib.suppress(OSError):
                    theirs.unwrap()
            theirs.close()
            assert not is_quiet()
            assert not socket_state.tls_quiet(ours)


def test_a_byte_that_tls_holds_already_is_not_quiet() -> None:
    """It was decrypted with the bytes before it: the socket itself has nothing to read."""
    ours, theirs = tls_pair()
    with ours, theirs:
        theirs.sendall(b"ab")
        assert ours.recv(1) == b"a"
        assert not select.select([ours], [], [], 0)[0]
        assert not socket_state.quiet_check(ours)()


def test_openssl_is_not_asked_what_it_holds_after_a_receive_with_room_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking gives up the GIL. A byte that waits, and the end, are seen all the same."""
    ours, theirs = tls_pair()
    with ours, theirs:
        theirs.sendall(b"ab")
        assert ours.recv(3) == b"ab"
        is_quiet = socket_state.quiet_check(ours)
        assert is_quiet()
        monkeypatch.setattr(ssl.SSLSocket, "pending", None)
        assert socket_state.quiet_check(ours)(True)
        assert is_quiet(True)
        theirs.sendall(b"c")
        assert not is_quiet(True)
    assert not is_quiet(True)


def test_a_closed_tls_socket_is_not_quiet() -> None:
    ours, theirs = tls_pair()
    is_quiet = socket_state.quiet_check(ours)
    ours.close()
    theirs.close()
    assert not is_quiet()
    assert not socket_state.tls_quiet(ours)


# urllib3 names


class Holder:
    """What is_connection_dropped looks at."""

    def __init__(self, sock: socket.socket | None) -> None:
        self.sock = sock


def test_a_connection_is_dropped_without_socket_or_with_something_to_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    assert socket_state.is_connection_dropped(Holder(None))
    assert not socket_state.is_connection_dropped(Holder(pair[0]))
    pair[1].close()
    assert socket_state.is_connection_dropped(Holder(pair[0]))


@pytest.mark.parametrize("how", ["wait_for_socket", "poll_wait_for_socket", "select_wait_for_socket"])
def test_waiting_tells_readable_from_writable(how: str, pair: tuple[socket.socket, socket.socket]) -> None:
    wait = getattr(socket_state, how)
    assert wait(pair[0], write=True)
    assert not wait(pair[0], read=True, timeout=0)
    pair[1].send(b"x")
    assert wait(pair[0], read=True, timeout=None)
    with pytest.raises(RuntimeError, match="must specify at least one of read=True, write=True"):
        wait(pair[0])


def test_waiting_falls_back_to_select(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    assert socket_state.wait_for_write(pair[0], timeout=0)
    assert not socket_state.wait_for_read(pair[0], timeout=0)


def test_what_a_receive_would_give_at_once_is_readable(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    assert not socket_state.is_readable(near, 0)
    far.send(b"x")
    assert socket_state.is_readable(near, 5)
    near.recv(1)
    far.close()
    assert socket_state.is_readable(near, 5)
    near.close()
    for nothing in (near, None, object()):
        assert socket_state.is_readable(nothing, 0), "the receive says what is wrong"


def test_bytes_that_tls_holds_already_are_readable() -> None:
    ours, theirs = tls_pair(ssl.TLSVersion.TLSv1_2)
    with ours, theirs:
        assert not socket_state.is_readable(ours, 0)
        theirs.sendall(b"ab")
        assert ours.recv(1) == b"a"
        assert socket_state.is_readable(ours, 0)


# Large bodies


def test_room_is_made_for_a_large_body_and_no_mark_stays(pair: tuple[socket.socket, socket.socket]) -> None:
    """The mark itself would hold back the last bytes of the body, and the next response."""
    near, far = pair
    socket_state.receive_ahead(near)
    assert near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
    if sys.platform == "linux" and near.family == socket.AF_INET:
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > socket_state.AHEAD_BYTES
    far.send(b"x")
    near.settimeout(5)
    assert near.recv(10) == b"x"


def test_a_receive_buffer_that_was_chosen_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as near:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        chosen = near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        near.connect(listener.getsockname())
        socket_state.receive_ahead(near)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == chosen


def test_no_room_is_made_where_that_means_nothing() -> None:
    """On a socket that was closed, and on what is no plain socket."""
    near = socket.socket()
    near.close()
    socket_state.receive_ahead(near)
    socket_state.receive_ahead(object())


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels tell nothing of it")
def test_linux_is_asked_for_the_state_of_tcp_connections_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    """An end that came with the last bytes leaves nothing to be read: the state alone tells of it."""
    near, _ = pair
    assert socket_state._tells_state(near) == (near.family == socket.AF_INET)


def test_a_poll_that_works_is_used() -> None:
    assert socket_state._have_working_poll() is hasattr(select, "poll")


# Sends that keep the interpreter's lock

HOLDS = pytest.mark.skipif(
    socket_state.send_holding_gil() is None, reason="only CPython with a GIL, on Linux, with ctypes"
)


@pytest.fixture
def other_thread() -> Iterator[Callable[[], int]]:
    """How many turns another thread has had, one whenever it may; it is never given one by force."""
    turns, is_over, has_begun = [0], threading.Event(), threading.Event()

    def run() -> None:
        while not is_over.is_set():
            turns[0] += 1
            has_begun.set()
            time.sleep(0)

    before, thread = sys.getswitchinterval(), threading.Thread(target=run)
    sys.setswitchinterval(60.0)
    try:
        thread.start()
        assert has_begun.wait(10.0)
        yield lambda: turns[0]
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(before)


@HOLDS
def test_a_small_send_gives_no_other_thread_a_turn(
    pair: tuple[socket.socket, socket.socket], other_thread: Callable[[], int]
) -> None:
    near, far = pair
    before = other_thread()
    for _ in range(100):
        socket_state.send_among_threads(near, b"x")
    assert other_thread() == before
    assert far.recv(100, socket.MSG_WAITALL) == b"x" * 100


@pytest.fixture(params=["held", "given up"])
def gil(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether a small send among threads keeps the interpreter's lock, or can't."""
    if request.param == "given up":
        monkeypatch.setattr(socket_state, "send_holding_gil", lambda: None)
    return str(request.param)


def test_a_small_send_takes_all_bytes_there_are(gil: str, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    socket_state.send_among_threads(near, b"a\0b\r\n\xff")
    assert far.recv(100) == b"a\0b\r\n\xff"


@pytest.mark.parametrize("end", ["closed here", "closed there", "shut"])
def test_a_send_that_fails_raises_what_the_socket_would(
    end: str, gil: str, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    if end == "closed here":
        near.close()
    elif end == "shut":
        near.shutdown(socket.SHUT_WR)
    else:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        assert becomes(False, socket_state.quiet_check(near))
    errors = []
    for send in (near.sendall, lambda data: socket_state.send_among_threads(near, data)):
        with pytest.raises(OSError) as raised:  # noqa: PT011  # which, is what is compared
            list(map(send, [b"x", b"x"]))
        errors.append(raised.value.errno)
    assert errors[1] in {errors[0], errno.EPIPE}  # a reset is told once


def test_without_ctypes_a_send_is_as_every_other(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    asked: list[object] = []
    look = socket_state.send_holding_gil.__wrapped__

    def ask() -> object:
        asked.append(found := look())
        return found

    monkeypatch.setattr(socket_state, "send_holding_gil", ask)
    near, far = pair
    socket_state.send_among_threads(near, b"abc")
    assert (far.recv(100), asked) == (b"abc", [None])


def reset_by_peer(near: socket.socket, far: socket.socket) -> None:
    """Have the far end leave without an end of the stream, where there is such a thing."""
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    assert becomes(False, socket_state.quiet_check(near))


def test_the_first_send_tells_of_a_reset_as_the_socket_would(gil: str) -> None:
    """The system tells it once, so a second look for the error would find another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near:
        reset_by_peer(near, far)
        with pytest.raises(ConnectionResetError) as raised:
            socket_state.send_among_threads(near, b"x")
        assert raised.value.args == (errno.ECONNRESET, "Connection reset by peer")


@HOLDS
def test_bytes_for_a_socket_that_another_thread_has_closed_reach_nobody_else(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the socket that has got its descriptor's number since the send began."""
    near, _ = pair
    send = socket_state.send_holding_gil()
    other, others_end = socket.socketpair()

    def send_later(*args: Any) -> int:
        number = near.fileno()
        near.close()
        os.dup2(other.fileno(), number)
        try:
            assert send is not None
            return send(*args)
        finally:
            os.close(number)

    monkeypatch.setattr(socket_state, "send_holding_gil", lambda: send_later)
    with other, others_end:
        others_end.setblocking(False)
        with pytest.raises(OSError, match="Bad file descriptor"):
            socket_state.send_among_threads(near, b"secret")
        with pytest.raises(BlockingIOError):
            others_end.recv(100)


@pytest.mark.parametrize("gil", ["held"], indirect=True)
@pytest.mark.parametrize("sent_bytes", [0, 2])
def test_an_error_behind_the_first_bytes_says_that_they_have_left(
    sent_bytes: int, gil: str, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = pair

    def send_some(sock: socket.socket, data: bytes, *_: int) -> int:
        if sent_bytes:
            assert near.send(data[:sent_bytes]) == sent_bytes
        reset_by_peer(near, far)
        return sent_bytes

    monkeypatch.setattr(socket_state, "send_holding_gil", lambda: send_some)
    with pytest.raises(OSError) as raised:  # noqa: PT011  # which, depends on the kind of socket
        socket_state.send_among_threads(near, b"abc")
    assert raised.value.errno in (errno.EPIPE, errno.ECONNRESET)
    assert getattr(raised.value, "characters_written", 0) == sent_bytes


class Refused(Exception):
    """What an audit hook raises, for instance."""


def refuse(*args: object, **kw: object) -> NoReturn:
    raise Refused


@HOLDS
def test_where_ctypes_may_not_be_used_a_send_is_as_every_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.PyDLL", refuse)
    assert socket_state.send_holding_gil.__wrapped__() is None


@HOLDS
def test_where_the_error_may_not_be_asked_for_the_socket_tells_it(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, _ = pair
    monkeypatch.setattr("ctypes.get_errno", refuse)
    near.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        socket_state.send_among_threads(near, b"x")


UNDER_AN_AUDIT_HOOK = """
import os, socket, sys, threading
from poollib import HTTPConnectionPool
from poollib.net import socket_state

class Refused(Exception): pass

def refuse(event, args):
    if event.startswith("ctypes.") or (event == "import" and args[0] == "ctypes"):
        raise Refused(event)

sys.addaudithook(refuse)
threading.Thread(target=threading.Event().wait, daemon=True).start()
near, far = socket.socketpair()
socket_state.send_among_threads(near, b"abc")
child = os.fork()
if not child:
    os._exit(0)
os.waitpid(child, 0)
print(socket_state.send_holding_gil(), far.recv(100))
"""


@pytest.mark.slow
def test_an_audit_hook_that_refuses_ctypes_refuses_no_request_and_no_fork() -> None:
    """Its exception is its own: none that a failing import or a missing library would raise."""
    command = [sys.executable, "-W", "ignore", "-c", UNDER_AN_AUDIT_HOOK]  # of forks among threads, it warns
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)
    assert (done.stdout, done.stderr) == ("None b'abc'\n", "")


def test_a_double_that_answers_every_call_by_itself_is_no_plain_socket() -> None:
    """As ``unittest.mock`` makes them: its timeout is no number."""
    double = MagicMock()
    assert not socket_state.is_plain(double)
    assert not socket_state.wait_in_kernel(double)
    assert not double.mock_calls
