"""What a connection says of itself without a server: why it goes, whose its TLS sessions are, how long it reads."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from poollib.base.timeout import Deadline
from poollib.connection import HTTPConnection, HTTPSConnection
from poollib.exchange.proxy_config import ProxyConfig
from poollib.exchange.request_value import Options
from poollib.net.tls import create_urllib3_context


def test_a_connection_by_old_settings_says_why_it_goes() -> None:
    connection = HTTPConnection("localhost", 1)
    assert connection.close_reason() == "given back while new"
    connection.is_outdated = True
    assert (connection.close_reason(), connection.is_reusable_state()) == ("settings changed", False)


def test_sessions_are_kept_only_where_all_that_was_verified_is_known() -> None:
    """Neither the way of a class of somebody else's, nor what a caller's context for the proxy holds."""

    class Own(HTTPSConnection):
        def _new_conn(self) -> Any:
            raise AssertionError

    proxied = HTTPSConnection("localhost", 1)
    assert proxied.session_key("a.test", 443) is not None
    proxied.proxy_config = ProxyConfig(create_urllib3_context(), False, None, None)
    assert proxied.session_key("a.test", 443) is None
    assert Own("localhost", 1).session_key("a.test", 443) is None


@pytest.mark.parametrize(("usual_s", "within_s"), [(None, 2.0), (30.0, 2.0), (0.5, 0.5)])
def test_the_sockets_own_timeout_is_shortened_and_given_back(usual_s: float | None, within_s: float) -> None:
    """For a response class that reads from the socket by itself."""
    near, far = socket.socketpair()
    with near, far:
        connection = HTTPConnection("localhost", 1)
        connection.sock = near
        near.settimeout(usual_s)
        with connection.cap_read_timeout(2.0):
            assert near.gettimeout() == within_s
        assert near.gettimeout() == usual_s
        connection.sock = None


def test_a_deadline_shortens_the_sockets_own_timeout_further() -> None:
    near, far = socket.socketpair()
    with near, far:
        connection = HTTPConnection("localhost", 1)
        connection.sock, connection.request_options = near, Options(deadline=Deadline(0.5))
        with connection.cap_read_timeout(2.0):
            assert 0 < (near.gettimeout() or 0) <= 0.5
        connection.request_options = Options(deadline=Deadline(-1.0))
        with connection.cap_read_timeout(2.0):
            assert near.gettimeout() == 0.001
        connection.sock = None


@pytest.mark.parametrize("is_plain", [True, False])
def test_only_a_plain_socket_is_read_without_looking_at_records(is_plain: bool) -> None:
    """Over TLS one receive gives no more than a record: what is asked for is gathered from several."""

    class Other(socket.socket):
        """As a TLS socket is: of another class."""

    near, far = socket.socketpair()
    with near, far:
        connection = HTTPConnection("localhost", 1)
        connection.sock = near if is_plain else Other(fileno=near.detach())
        connection._attach_socket()
        assert connection._receive_buffer.recv.__name__ == ("receive" if is_plain else "receive_record")
        connection.sock.close()
        connection.sock = None


@pytest.mark.parametrize("timeout_s", [7.0, None])
def test_what_was_left_for_connecting_is_no_limit_for_what_follows(timeout_s: float | None) -> None:
    class Hurried(HTTPConnection):
        def _secure(self) -> None:
            self.sock.settimeout(0.5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Hurried("127.0.0.1", listener.getsockname()[1], timeout=timeout_s)
        connection.connect()
        assert connection.sock.gettimeout() == timeout_s
        connection.close()


def test_an_interrupt_while_a_connection_closes_goes_on_and_the_socket_is_closed() -> None:
    near, far = socket.socketpair()

    class Sock:
        """Closed at the second attempt."""

        attempts = 0

        def close(self) -> None:
            self.attempts += 1
            if self.attempts == 1:
                raise KeyboardInterrupt
            near.close()

    connection = HTTPConnection("localhost", 1)
    sock: Any = Sock()
    connection.sock = sock
    with far, pytest.raises(KeyboardInterrupt):
        connection.close()
    assert (near.fileno(), connection.sock) == (-1, None)
