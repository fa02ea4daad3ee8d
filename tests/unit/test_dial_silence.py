"""dial: an idle socket is quiet until a byte, an end or an error waits on it, however the system is asked."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from poollib import dial


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


@pytest.mark.parametrize("polled", [False, True], ids=["as the system does best", "by poll"])
def test_bytes_an_end_and_an_error_are_seen(
    pair: tuple[socket.socket, socket.socket], polled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was read is gone."""
    near, far = pair
    if polled:
        monkeypatch.setattr(dial, "_tells_memory", lambda sock: False)
    quiet = dial.quiet_check(near)
    assert quiet()
    far.sendall(b"unasked")
    assert becomes(False, quiet)
    assert near.recv(3) == b"una"
    assert not quiet()
    assert near.recv(100) == b"sked"
    assert quiet()
    far.close()
    assert becomes(False, quiet)


@pytest.mark.parametrize("polled", [False, True], ids=["as the system does best", "by poll"])
def test_a_reset_is_seen(polled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits to be read then, but sending would fail."""
    if polled:
        monkeypatch.setattr(dial, "_tells_memory", lambda sock: False)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        quiet = dial.quiet_check(near)
        far, _ = listener.accept()
        assert quiet()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        assert becomes(False, quiet)


def test_much_that_was_read_leaves_the_socket_quiet() -> None:
    """Also a large body, taken in pieces."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        far, _ = listener.accept()
        with far:
            quiet = dial.quiet_check(near)
            for size in (1, 1000, 100_000):
                far.sendall(bytes(size))
                left = size
                while left:
                    left -= len(near.recv(4096))
                assert quiet()
        assert becomes(False, quiet)


def test_a_closed_socket_is_not_quiet() -> None:
    """It can't be lent."""
    near, far = socket.socketpair()
    quiet = dial.quiet_check(near)
    near.close()
    far.close()
    assert not quiet()
