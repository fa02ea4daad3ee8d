"""The script server does its steps, records what came, and fails a wrong expectation without hanging."""

import socket
import ssl
import sys
import threading
import time

import pytest
import trustme

from tests.support.certs import certs
from tests.support.script import (
    ScriptError,
    ScriptServer,
    close,
    cut,
    expect,
    expect_end,
    expect_head,
    expect_request,
    finish,
    half_close,
    request_length,
    reset,
    respond,
    send,
    send_slowly,
    signal,
    stall,
    start_tls,
)


def connect(server: ScriptServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=5)


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_steps_are_done_in_turn_and_everything_received_is_recorded() -> None:
    with ScriptServer([expect(b"ping"), send(b"pong"), expect(b"bye"), close()]) as server, connect(server) as sock:
        sock.sendall(b"pi")
        sock.sendall(b"ng")
        assert sock.recv(10) == b"pong"
        sock.sendall(b"bye")
        assert sock.recv(10) == b""
    assert server.received == [b"pingbye"]


def test_each_connection_plays_its_own_script() -> None:
    with ScriptServer([send(b"1"), close()], [send(b"2"), close()]) as server:
        for wanted in (b"1", b"2"):
            with connect(server) as sock:
                assert read_all(sock) == wanted
    assert server.opened == 2


def test_the_last_script_is_repeated_when_asked_for() -> None:
    with ScriptServer([send(b"1"), close()], repeat=True) as server:
        for _ in range(3):
            with connect(server) as sock:
                assert read_all(sock) == b"1"
    assert server.opened == 3


def test_a_connection_without_a_script_fails_the_test() -> None:
    with pytest.raises(ScriptError, match="connection 0 came, but 0 were expected"), ScriptServer() as server:
        with connect(server) as sock:
            assert read_all(sock) == b""


def test_wrong_bytes_fail_the_test_at_once() -> None:
    begin = time.monotonic()
    with pytest.raises(ScriptError, match="expected b'GET /a HTTP"), ScriptServer([expect(b"GET /a HTTP")]) as server:
        with connect(server) as sock:
            sock.sendall(b"GET /b")
            assert sock.recv(1) == b""
    assert time.monotonic() - begin < 0.9


def test_a_client_that_closes_early_fails_an_expectation() -> None:
    with pytest.raises(ScriptError, match="the client closed"), ScriptServer([expect(b"more")]) as server:
        connect(server).close()
        while not server.failures:
            time.sleep(0.001)


@pytest.mark.slow
def test_an_expectation_still_waiting_when_the_test_ends_fails_it() -> None:
    with pytest.raises(ScriptError, match="did not end"), socket.socket() as sock:
        with ScriptServer([expect(b"more")]) as server:
            sock.connect((server.host, server.port))
            while not server.opened:
                time.sleep(0.001)


def test_time_that_is_up_fails_the_test() -> None:
    with pytest.raises(ScriptError, match="time is up"), ScriptServer([expect(b"more")], limit_s=0) as server:
        with connect(server) as sock:
            assert sock.recv(1) == b""


def test_a_failure_in_the_test_itself_comes_before_the_scripts() -> None:
    with pytest.raises(KeyError), ScriptServer([expect(b"more")]) as server, connect(server):
        raise KeyError("the test's own")


def test_a_predicate_decides_when_enough_has_come() -> None:
    with ScriptServer([expect(lambda data: data.endswith(b"!")), send(b"ok")]) as server, connect(server) as sock:
        sock.sendall(b"one two")
        sock.sendall(b" three!")
        assert sock.recv(2) == b"ok"


def test_expect_head_leaves_the_body_to_the_next_step() -> None:
    steps = [expect_head(), expect(b"abc"), send(b"ok")]
    with ScriptServer(steps) as server, connect(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        assert sock.recv(2) == b"ok"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\ncontent-length:3\r\n\r\n\r\n\r",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
    ],
)
def test_the_length_of_a_request_is_known_exactly_when_it_is_whole(request_bytes: bytes) -> None:
    assert request_length(request_bytes) == len(request_bytes)
    assert request_length(request_bytes + b"GET") == len(request_bytes)
    assert not any(request_length(request_bytes[:end]) for end in range(len(request_bytes)))


def test_two_requests_and_two_responses_share_a_connection() -> None:
    exchange = [expect_request(), respond(b"hello", headers=["X-A: 1"])]
    with ScriptServer([*exchange, *exchange, expect_end()]) as server, connect(server) as sock:
        for _ in range(2):
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert sock.recv(1000) == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello"


def test_bytes_after_the_wanted_end_fail_the_test() -> None:
    with pytest.raises(ScriptError, match="expected the end, got b'x'"), ScriptServer([expect_end()]) as server:
        with connect(server) as sock:
            sock.sendall(b"x")


def test_slow_sending_is_seen_in_pieces() -> None:
    with ScriptServer([send_slowly(b"abcdef", by=2, pause_s=0.005), close()]) as server, connect(server) as sock:
        pieces = list(iter(lambda: sock.recv(100), b""))
    assert b"".join(pieces) == b"abcdef"
    assert len(pieces) > 1


def test_a_stall_lasts_until_its_event() -> None:
    reached, go_on = threading.Event(), threading.Event()
    with ScriptServer([signal(reached), stall(go_on), send(b"late")]) as server, connect(server) as sock:
        assert reached.wait(5)
        sock.settimeout(0.02)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(5)
        go_on.set()
        assert sock.recv(4) == b"late"


@pytest.mark.parametrize("until", [None, threading.Event()])
def test_a_stall_without_an_end_does_not_hold_up_the_test(until: threading.Event | None) -> None:
    begin = time.monotonic()
    with socket.socket() as sock, ScriptServer([send(b"x"), stall(until)]) as server:
        sock.connect((server.host, server.port))
        assert sock.recv(1) == b"x"
    assert time.monotonic() - begin < 0.5


def test_reset_is_an_error_for_the_client() -> None:
    with ScriptServer([expect(b"x"), reset()]) as server, connect(server) as sock:
        sock.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_half_close_still_receives() -> None:
    with ScriptServer([half_close(), expect(b"last words"), expect_end()]) as server, connect(server) as sock:
        assert sock.recv(1) == b""
        sock.sendall(b"last words")
    assert server.received == [b"last words"]


def test_what_comes_after_the_script_is_recorded_too() -> None:
    with ScriptServer([send(b"x")]) as server:
        with connect(server) as sock:
            sock.recv(1)
            sock.sendall(b"unasked")
        while server.connections[0].state.name != "CLOSED":
            time.sleep(0.001)
    assert server.received == [b"unasked"]


def test_a_unix_socket_serves_as_well(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = str(tmp_path / "s")
    with ScriptServer([send(b"x"), close()], unix=path), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        assert read_all(sock) == b"x"


def test_ipv6_addresses_are_bracketed_in_the_url() -> None:
    with ScriptServer(host="::1") as server:
        assert server.url == f"http://[::1]:{server.port}"


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's context and one for a client that trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def test_tls_from_the_first_byte_ends_with_a_close_notify(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with ScriptServer([expect(b"ping"), send(b"pong"), close()], tls=contexts[0]) as server:
        sock = contexts[1].wrap_socket(connect(server), server_hostname="localhost", suppress_ragged_eofs=False)
        with sock:
            sock.sendall(b"ping")
            assert read_all(sock) == b"pong"
    assert server.received == [b"ping"]
    assert server.url.startswith("https://")


def noticing_cuts(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, to which an end without a close_notify is an error: some CPython 3.11 take it for a clean one."""
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


def test_a_cut_tls_connection_ends_without_a_close_notify(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with ScriptServer([expect(b"ping"), cut()], tls=contexts[0]) as server:
        sock = noticing_cuts(contexts[1]).wrap_socket(
            connect(server), server_hostname="localhost", suppress_ragged_eofs=False
        )
        with sock:
            sock.sendall(b"ping")
            with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
                sock.recv(1)


def test_tls_can_begin_in_the_middle(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    steps = [expect_request(), send(b"HTTP/1.1 200 OK\r\n\r\n"), start_tls(contexts[0]), expect(b"ping"), send(b"pong")]
    with ScriptServer(steps) as server, connect(server) as plain:
        plain.sendall(b"CONNECT a:1 HTTP/1.1\r\n\r\n")
        assert plain.recv(100).endswith(b"\r\n\r\n")
        with contexts[1].wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(b"ping")
            assert sock.recv(4) == b"pong"


def test_a_failed_handshake_is_kept_and_plays_no_step(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with ScriptServer([expect(b"ping")], tls=contexts[0]) as server:
        with connect(server) as sock, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")
        while not server.tls_errors:
            time.sleep(0.001)
    assert isinstance(server.tls_errors[0], ssl.SSLError)


def test_the_last_bytes_and_the_end_come_together() -> None:
    """Over TLS with a close_notify or without one."""
    with ScriptServer([finish(b"bye")]) as server, connect(server) as sock:
        assert sock.recv(10) == b"bye"
        if sys.platform == "linux":
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x08", "CLOSE_WAIT"
        assert sock.recv(10) == b""
    for close_notify in (True, False):
        context = noticing_cuts(ssl.create_default_context(cafile=certs().ca_file))
        with ScriptServer([finish(b"bye", close_notify)], tls=certs().server()) as server, connect(server) as sock:
            with context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False) as wrapped:
                assert wrapped.recv(10) == b"bye"
                if close_notify:
                    assert wrapped.recv(10) == b""
                else:
                    with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
                        wrapped.recv(10)
