"""TLS inside TLS over loopback: a server that speaks TLS, and behind it, inside, TLS again."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from poollib.base.endpoint import TlsSettings
from poollib.exceptions import ConnectTimeoutError, ProxySchemeUnsupported, SSLError
from poollib.net import socket_state, tls
from poollib.net.tls_in_tls import SSLTransport
from tests.support.certs import certs

OUTER = "proxy.example"
INNER = "target.example"


class InnerServer:
    """What stands behind the proxy: a TLS object whose bytes travel in the outer TLS socket."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext) -> None:
        self.outer, self.incoming, self.outgoing = outer, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.inner = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def do(self, step: Callable[..., Any], *args: Any) -> Any:
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                result = step(*args)
                self.flush()
                return result
            self.flush()
            data = self.outer.recv(65536)
            if not data:
                return b""
            self.incoming.write(data)

    def flush(self) -> None:
        if self.outgoing.pending:
            self.outer.sendall(self.outgoing.read())


Play = Callable[[InnerServer], object]


def echo(server: InnerServer) -> None:
    while data := server.do(server.inner.read, 65536):
        server.do(server.inner.write, data)


@contextlib.contextmanager
def served(play: Play = echo, *, names: tuple[str, ...] = (INNER,)) -> Iterator[socket.socket]:
    """A client's end of a connection to a TLS server, inside which a TLS server plays; nothing is wrapped here yet."""
    ours, theirs = socket.socketpair()
    outer, inner = certs().server(OUTER), certs().server(*names)

    def serve() -> None:
        with contextlib.suppress(OSError), outer.wrap_socket(theirs, server_side=True) as sock:
            server = InnerServer(sock, inner)
            server.do(server.inner.do_handshake)
            play(server)

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        yield ours
    thread.join(5)
    theirs.close()


def wrapped(sock: socket.socket, host: str = INNER, timeout_s: float | None = 5) -> SSLTransport:
    """Both hops, each with settings of its own, by `tls.wrap`."""
    settings = TlsSettings(ca_certs=certs().ca_file)
    outer = tls.wrap(sock, settings, OUTER, timeout_s=timeout_s)
    inner = tls.wrap(outer.sock, settings, host, timeout_s=timeout_s, tls_in_tls=True)
    assert inner.is_verified
    assert isinstance(inner.sock, SSLTransport)
    return inner.sock


def test_bytes_travel_through_both_layers() -> None:
    with served() as sock, wrapped(sock) as inner:
        inner.sendall(b"ping")
        assert inner.recv(4) == b"ping"
        assert inner.send(memoryview(b"pong")) == 4
        buffer = bytearray(10)
        assert inner.recv_into(buffer) == 4
        assert buffer[:4] == b"pong"
        inner.sendall(b"abcd")
        assert inner.recv_into(buffer, 2) == 2
        assert inner.read(2) == b"cd"
        assert inner.pending() == 0


def test_a_buffer_of_any_kind_travels_whole() -> None:
    data = memoryview(bytes(range(256)) * 512).cast("I")
    with served() as sock, wrapped(sock) as inner:
        inner.sendall(data[:4096])  # by this thread: a TLS connection is no place for two at once
        received = b""
        while len(received) < 16384:
            received += inner.recv(65536)
        assert received == data[:4096].tobytes()


def test_what_was_agreed_can_be_asked() -> None:
    with served() as sock, wrapped(sock) as inner:
        assert inner.version() == "TLSv1.3"
        cipher = inner.cipher()
        assert cipher is not None
        assert cipher[1] == "TLSv1.3"
        assert inner.getpeercert()["subjectAltName"] == (("DNS", INNER),)
        assert inner.getpeercert(binary_form=True) == certs().pair(INNER).der
        assert inner.selected_alpn_protocol() is None
        assert inner.shared_ciphers() == inner.sslobj.shared_ciphers()  # a client has none, or (3.11.2) its own
        assert inner.compression() is None
        assert inner.session_reused is False
        assert inner.fileno() >= 0
        assert inner.gettimeout() == 5
        inner.settimeout(None)
        assert inner.gettimeout() is None


def test_each_hop_is_verified_by_itself() -> None:
    """CVE-2026-97687: the proxy's settings were overridden by the target's."""
    with served() as sock, pytest.raises(SSLError, match=r"Hostname mismatch.*other\.example"):
        wrapped(sock, "other.example")
    with served() as sock, pytest.raises(SSLError, match=r"other\.example"):
        tls.wrap(sock, TlsSettings(ca_certs=certs().ca_file), "other.example", timeout_s=5)


def test_a_context_without_memory_buffers_is_named() -> None:
    context: Any = object()
    with pytest.raises(ProxySchemeUnsupported, match=r"wrap_bio.*object has none"):
        SSLTransport(socket.socket, context)


@pytest.mark.parametrize("drips", [False, True])
def test_a_silent_or_dripping_target_times_out(drips: bool) -> None:
    """The peer answers the outer handshake, and then says nothing, or the beginning of a record without end."""
    ours, theirs = socket.socketpair()
    done = threading.Event()

    def serve() -> None:
        with certs().server(OUTER).wrap_socket(theirs, server_side=True) as sock, contextlib.suppress(OSError):
            for byte in b"\x16\x03\x03\x40\x00" + b"\0" * 100 if drips else b"":
                sock.sendall(bytes([byte]))
                if done.wait(0.003):
                    break
            done.wait(5)

    thread = threading.Thread(target=serve)
    thread.start()
    settings = TlsSettings(ca_certs=certs().ca_file)
    outer = tls.wrap(ours, settings, OUTER, timeout_s=5)
    with pytest.raises(ConnectTimeoutError, match=r"target\.example timed out"):
        tls.wrap(outer.sock, settings, INNER, timeout_s=0.02, tls_in_tls=True)
    assert outer.sock.fileno() == -1
    done.set()
    thread.join()


def dripping(server: InnerServer) -> None:
    """A record whose bytes come one by one, each well within the timeout."""
    server.inner.write(b"x" * 1000)
    for byte in server.outgoing.read():
        try:
            server.outer.sendall(bytes([byte]))
        except OSError:
            return  # the client has had enough
        threading.Event().wait(0.005)


def test_a_record_that_drips_in_outlasts_no_timeout() -> None:
    """As with a socket of the ssl module, the timeout holds for the whole read, not for each piece of a record."""
    with served(dripping) as ours:
        settings = TlsSettings(ca_certs=certs().ca_file)
        outer = tls.wrap(ours, settings, OUTER, timeout_s=5)
        inner = tls.wrap(outer.sock, settings, INNER, timeout_s=5, tls_in_tls=True).sock
        inner.settimeout(0.05)
        with pytest.raises(TimeoutError):
            inner.recv(10)
        assert inner.gettimeout() == 0.05
        inner.close()


def orderly(server: InnerServer) -> None:
    server.do(server.inner.write, b"end")
    with contextlib.suppress(ssl.SSLError):
        server.inner.unwrap()
    server.flush()


def abrupt(server: InnerServer) -> None:
    """The outer layer says goodbye, the inner one does not: the proxy hung up."""
    server.do(server.inner.write, b"end")
    server.outer.setblocking(False)
    with contextlib.suppress(OSError):
        server.outer.unwrap()


def test_an_end_without_close_notify_is_told_from_one_with_it() -> None:
    with served(orderly) as sock, wrapped(sock) as inner:
        assert inner.recv(10) == b"end"
        assert inner.recv(10) == b""
    with served(abrupt) as sock, wrapped(sock) as inner:
        assert inner.recv(10) == b"end"
        for _ in range(3):
            with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
                inner.recv(10)
        with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
            inner.recv_into(bytearray(3))


def test_urllib3s_class_takes_a_ragged_end_for_an_end() -> None:
    settings = TlsSettings(ca_certs=certs().ca_file)
    with served(abrupt) as sock:
        outer = tls.wrap(sock, settings, OUTER, timeout_s=5)
        with SSLTransport(outer.sock, tls.context_for(settings), INNER) as inner:
            assert inner.recv(10) == b"end"
            for _ in range(3):
                assert inner.recv(10) == b""
            assert inner.recv_into(bytearray(3)) == 0


def test_urllib3s_door_opens_it_too() -> None:
    settings = TlsSettings(ca_certs=certs().ca_file)
    with served() as sock:
        outer = tls.wrap(sock, settings, OUTER, timeout_s=None)
        inner = tls.ssl_wrap_socket(outer.sock, ca_certs=certs().ca_file, server_hostname=INNER, tls_in_tls=True)
        assert isinstance(inner, SSLTransport)
        with inner:
            inner.sendall(b"x")
            assert inner.recv(1) == b"x"
            inner.shutdown(socket.SHUT_RDWR)


def test_quiet_sees_tickets_data_and_ends() -> None:
    go = threading.Event()

    def speak(server: InnerServer) -> None:
        go.wait(5)
        server.do(server.inner.write, b"x")

    with served(speak) as sock, wrapped(sock) as inner:
        is_quiet = socket_state.quiet_check(inner)
        assert is_quiet()
        assert inner.gettimeout() == 5
        go.set()
        assert socket_state.wait_for_read(inner, 5)
        while is_quiet():  # the outer layer may have had tickets of its own to tell first
            assert socket_state.wait_for_read(inner, 5)


def test_unwrap_says_goodbye_and_leaves_the_outer_layer_open() -> None:
    def goodbye(server: InnerServer) -> None:
        assert server.do(server.inner.read, 10) == b""
        server.do(server.inner.unwrap)
        server.outer.sendall(b"plain again")

    with served(goodbye) as sock, wrapped(sock) as inner:
        inner.unwrap()
        assert inner.socket.recv(20) == b"plain again"


@pytest.mark.parametrize("name", ["recv", "recv_into", "send", "sendall"])
def test_flags_are_refused(name: str) -> None:
    with served() as sock, wrapped(sock) as inner, pytest.raises(ValueError, match=f"non-zero flags .* {name}"):
        getattr(inner, name)(bytearray(1) if name != "recv" else 1, flags=1)


# Files


def test_a_file_reads_and_writes_as_a_sockets_does() -> None:
    with served() as sock, wrapped(sock) as inner:
        with inner.makefile("rwb") as file:
            file.write(b"one\ntwo\n")
            file.flush()
            assert file.readline() == b"one\n"
            assert file.readline() == b"two\n"
        with inner.makefile("w", encoding="utf-8", newline="") as writer:
            writer.write("drei\n")
        with inner.makefile("r", encoding="utf-8") as reader:
            assert isinstance(reader, io.TextIOBase)
            assert reader.readline() == "drei\n"
        with inner.makefile("wb", 0) as raw, inner.makefile("rb", buffering=0) as back:
            raw.write(b"raw")
            assert back.read(3) == b"raw"


def test_the_socket_stays_open_until_its_last_file_is_closed() -> None:
    with served() as sock:
        inner = wrapped(sock)
        file = inner.makefile("rb")
        inner.close()
        assert inner.fileno() >= 0
        file.close()
        assert inner.fileno() == -1


@pytest.mark.parametrize(("mode", "buffering"), [("x", None), ("r+", None), ("r", 0)])
def test_wrong_modes_are_refused(mode: str, buffering: int | None) -> None:
    with served() as sock, wrapped(sock) as inner, pytest.raises(ValueError, match=r"mode|binary"):
        inner.makefile(mode, buffering)


def test_what_is_wished_beside_a_given_context_holds_for_the_inner_layer_alone() -> None:
    """The target is verified by a context that does not verify, and not by one that does; neither is changed."""
    lax = ssl.create_default_context(cafile=certs().ca_file)
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    strict = ssl.create_default_context(cafile=certs().stranger_file)

    def inner(settings: TlsSettings, name: str) -> bool:
        with served() as sock:
            outer = tls.wrap(sock, TlsSettings(ca_certs=certs().ca_file), OUTER, timeout_s=5)
            made = tls.wrap(outer.sock, settings, name, timeout_s=5, tls_in_tls=True)
            made.sock.close()
            return made.is_verified

    assert inner(TlsSettings(ssl_context=lax, cert_reqs="CERT_REQUIRED"), INNER)
    with pytest.raises(SSLError, match="doesn't match"):
        inner(TlsSettings(ssl_context=lax, cert_reqs="CERT_REQUIRED"), "other.example")
    assert not inner(TlsSettings(ssl_context=strict, cert_reqs="CERT_NONE"), INNER)
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        inner(TlsSettings(ssl_context=strict), INNER)


def test_a_session_of_the_inner_layer_resumes() -> None:
    settings = TlsSettings(ca_certs=certs().ca_file)
    context = tls.context_for(settings)

    def pong(server: InnerServer) -> None:
        server.do(server.inner.write, b"pong")
        server.do(server.inner.read, 10)

    def exchange() -> bool:
        with served(pong) as sock:
            outer = tls.wrap(sock, settings, OUTER, timeout_s=5)
            session = tls.sessions.take(context, INNER)
            inner = tls.wrap(
                outer.sock, settings, INNER, timeout_s=5, tls_in_tls=True, session=session, context=context
            ).sock
            assert inner.recv(4) == b"pong"
            tls.sessions.keep(context, INNER, inner)
            reused = bool(inner.session_reused)
            inner.close()
            return reused

    assert [exchange(), exchange()] == [False, True]
    tls.sessions.clear()


def test_a_handshake_whose_time_is_over_waits_for_nothing_more() -> None:
    """However soon the peer would have answered: each wait is what is left of one limit."""
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(1e-6)
        with pytest.raises(TimeoutError, match="handshake operation timed out"):
            SSLTransport(near, ssl.create_default_context(cafile=certs().ca_file), INNER)
        assert near.gettimeout() == pytest.approx(1e-6)
        assert far.recv(1) == b"\x16"


def test_a_stand_in_for_a_socket_needs_no_timeout_that_is_a_number() -> None:
    context = mock.Mock()
    transport = SSLTransport(mock.Mock(), context, "a.example", suppress_ragged_eofs=False)
    context.wrap_bio.assert_called_once_with(transport.incoming, transport.outgoing, server_hostname="a.example")


def test_the_protocol_that_was_agreed_on_is_told() -> None:
    """RFC 7301; the inner layer's, not the proxy's."""
    transport = SSLTransport.__new__(SSLTransport)
    inner, outer = certs().server(INNER), ssl.create_default_context(cafile=certs().ca_file)
    for context in (inner, outer):
        context.set_alpn_protocols(["http/1.1"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = inner.wrap_bio(to_server, to_client, server_side=True)
    transport.sslobj = outer.wrap_bio(to_client, to_server, server_hostname=INNER)
    for _ in range(3):
        for end in (transport.sslobj, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert transport.selected_alpn_protocol() == "http/1.1"
