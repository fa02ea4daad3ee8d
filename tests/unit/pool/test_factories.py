"""The ready factories, against listeners on loopback."""

from __future__ import annotations

import http.client
import os
import pickle
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from poollib.pool import ConnectionPool, EndpointPool
from poollib.pool.factories import TcpFactory, TlsFactory, UnixFactory, is_readable
from tests.support.pool import until


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


class TestTcp:
    def test_a_quiet_connection_is_lent_again(self, server: socket.socket) -> None:
        pool: EndpointPool[Any, socket.socket] = EndpointPool(server.getsockname(), TcpFactory())
        first = pool.acquire(5)
        peer, _ = server.accept()
        pool.release(first)
        assert pool.acquire(5) is first
        pool.discard(first)
        peer.close()

    @pytest.mark.parametrize("what", [b"leftover", b""], ids=["bytes", "end"])
    def test_one_on_which_something_came_is_not(self, server: socket.socket, what: bytes) -> None:
        factory = TcpFactory()
        sock = factory.connect(server.getsockname(), 5)
        peer, _ = server.accept()
        assert factory.usable(sock)
        if what:
            peer.sendall(what)
        else:
            peer.close()
        until(lambda: not factory.usable(sock))
        factory.close(sock)
        peer.close()

    def test_one_whose_end_came_with_the_last_bytes_is_not(self, server: socket.socket) -> None:
        """Reading those takes the end from the queue, too."""
        factory = TcpFactory()
        sock = factory.connect(server.getsockname(), 5)
        peer, _ = server.accept()
        peer.send(b"bye", getattr(socket, "MSG_MORE", 0))
        peer.close()
        assert sock.recv(10) == b"bye"
        until(lambda: not factory.usable(sock))
        factory.close(sock)

    def test_a_closed_socket_is_unusable(self, server: socket.socket) -> None:
        factory = TcpFactory()
        sock = factory.connect(server.getsockname(), 5)
        factory.close(sock)
        assert not factory.usable(sock)

    def test_options_and_timeout_are_set(self, server: socket.socket) -> None:
        factory = TcpFactory(io_timeout=3.5)
        with factory.connect(server.getsockname(), 5) as sock:
            assert sock.gettimeout() == 3.5
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_a_refused_option_closes_the_socket(self, server: socket.socket) -> None:
        factory = TcpFactory(socket_options=[(socket.IPPROTO_TCP, 9999, 1)])
        with pytest.raises(OSError, match=r"."):
            factory.connect(server.getsockname(), 5)

    def test_a_refused_connect_is_the_systems_error(self, server: socket.socket) -> None:
        address = server.getsockname()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            TcpFactory().connect(address, 5)

    def test_addresses_share_the_time(self, server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host whose addresses are silent costs the given time once, and a silent one leaves some to others."""
        limits: list[float | None] = []
        silent: set[tuple[str, int]] = {("192.0.2.1", 1), ("192.0.2.2", 1)}

        def create_connection(address: tuple[str, int], timeout: float | None) -> socket.socket:
            limits.append(timeout)
            if address in silent:
                raise TimeoutError("planted")
            return socket.socket()

        places = [*sorted(silent), server.getsockname()]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        monkeypatch.setattr(socket, "create_connection", create_connection)
        TcpFactory().connect(("host", 1), 60).close()
        first, second, third = (limit or 0 for limit in limits)
        assert 19 < first <= 20
        assert 29 < second <= 30
        assert 59 < third <= 60
        silent.add(server.getsockname())
        with pytest.raises(TimeoutError, match="planted"):
            TcpFactory().connect(("host", 1), None)
        assert limits[3:] == [None] * 3
        found.clear()
        with pytest.raises(OSError, match="no address was found for 'host'"):
            TlsFactory(context=ssl.create_default_context()).connect(("host", 1), 1)

    def test_forget_closes_the_descriptor_only(self, server: socket.socket) -> None:
        factory = TcpFactory()
        sock = factory.connect(server.getsockname(), 5)
        peer, _ = server.accept()
        copy = socket.socket(fileno=os.dup(sock.fileno()))
        factory.forget(sock)
        assert sock.fileno() == -1
        assert not is_readable(peer)
        copy.close()
        until(lambda: is_readable(peer))
        peer.close()

    def test_it_pickles(self) -> None:
        copy = pickle.loads(pickle.dumps(TcpFactory(io_timeout=2)))
        assert copy.io_timeout == 2


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
class TestUnix:
    def test_it_connects_to_a_path(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            pool: ConnectionPool[str, socket.socket] = ConnectionPool(UnixFactory())
            with pool.connection(path, 5) as sock:
                peer, _ = listener.accept()
                sock.sendall(b"hello")
                assert peer.recv(5) == b"hello"
            pool.close()
            peer.close()

    def test_a_missing_path_is_the_systems_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            UnixFactory().connect(str(tmp_path / "nothing"), 5)


class TlsServer:
    """Answers each request on a kept TLS connection with its number."""

    def __init__(self, ca: trustme.CA) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost").configure_cert(context)
        self.listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.address = ("localhost", self.listener.getsockname()[1])
        self.connections: list[ssl.SSLSocket] = []
        self.threads: list[threading.Thread] = []
        self._serve(self._accept)

    def _serve(self, work: Any, *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self.listener.accept()[0]
            except ssl.SSLError:
                continue
            except OSError:
                return
            self.connections.append(connection)
            self._serve(self._talk, connection)

    def _talk(self, connection: ssl.SSLSocket) -> None:
        number = 0
        try:
            while data := connection.recv(1000):
                number += 1
                body = f"answer {number} to {data.split()[1].decode()}".encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except OSError:
            pass
        connection.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def tls_server(ca: trustme.CA) -> Iterator[TlsServer]:
    server = TlsServer(ca)
    yield server
    server.close()


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def get(sock: ssl.SSLSocket, path: str) -> bytes:
    """The body of a raw GET, read with http.client's response."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    response = http.client.HTTPResponse(sock)
    response.begin()
    body = response.read()
    response.close()
    return body


class TestTls:
    def test_raw_gets_share_a_connection(self, tls_server: TlsServer, ca: trustme.CA) -> None:
        factory = TlsFactory(context=trusting(ca), io_timeout=5)
        with ConnectionPool(factory, maxsize=1) as pool:
            for number in (1, 2, 3):
                with pool.connection(tls_server.address, 5) as sock:
                    assert get(sock, f"/{number}") == f"answer {number} to /{number}".encode()
            assert pool.stats().opened == 1

    def test_session_tickets_do_not_spoil_a_fresh_connection(self, tls_server: TlsServer, ca: trustme.CA) -> None:
        """TLS 1.3 servers send them right after the handshake: readable does not mean dead."""
        factory = TlsFactory(context=trusting(ca))
        sock = factory.connect(tls_server.address, 5)
        until(lambda: is_readable(sock))
        assert factory.usable(sock)
        assert sock.gettimeout() is None
        factory.close(sock)

    def test_data_on_an_idle_connection_spoils_it(self, tls_server: TlsServer, ca: trustme.CA) -> None:
        factory = TlsFactory(context=trusting(ca))
        sock = factory.connect(tls_server.address, 5)
        until(lambda: bool(tls_server.connections))
        tls_server.connections[0].sendall(b"unasked")
        until(lambda: not factory.usable(sock))
        factory.close(sock)

    def test_an_end_on_an_idle_connection_spoils_it(self, tls_server: TlsServer, ca: trustme.CA) -> None:
        factory = TlsFactory(context=trusting(ca))
        sock = factory.connect(tls_server.address, 5)
        until(lambda: bool(tls_server.connections))
        tls_server.connections[0].shutdown(socket.SHUT_RDWR)
        pool: EndpointPool[Any, ssl.SSLSocket] = EndpointPool(tls_server.address, factory)
        pool.add_idle(sock)
        until(lambda: is_readable(sock))
        fresh = pool.acquire(5)
        assert fresh is not sock
        pool.discard(fresh)

    def test_an_untrusted_certificate_is_refused_and_the_socket_closed(self, tls_server: TlsServer) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            TlsFactory().connect(tls_server.address, 5)

    def test_a_wrong_name_is_refused(self, tls_server: TlsServer, ca: trustme.CA) -> None:
        factory = TlsFactory(context=trusting(ca), server_hostname="elsewhere.example")
        with pytest.raises(ssl.SSLCertVerificationError):
            factory.connect(tls_server.address, 5)

    def test_the_timeout_covers_the_handshake(self, server: socket.socket, ca: trustme.CA) -> None:
        """A server that accepts and says nothing."""
        with pytest.raises(TimeoutError):
            TlsFactory(context=trusting(ca)).connect(server.getsockname(), 0.02)

    @pytest.mark.parametrize(("timeout", "left"), [(5.0, 1.0), (3.0, 0.001), (None, None)])
    def test_the_handshake_has_what_connecting_has_left(
        self, monkeypatch: pytest.MonkeyPatch, timeout: float | None, left: float | None
    ) -> None:
        """Connecting takes four seconds here."""
        now = [100.0]

        def create_connection(endpoint: object, timeout: float | None) -> socket.socket:
            now[0] += 4
            sock = socket.socket()
            sock.settimeout(timeout)
            return sock

        class Context(ssl.SSLContext):
            def wrap_socket(self, sock: socket.socket, *_: object, **__: object) -> Any:
                raise OverflowError(sock.gettimeout())

        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        monkeypatch.setattr(socket, "create_connection", create_connection)
        with pytest.raises(OverflowError) as caught:
            TlsFactory(context=Context(ssl.PROTOCOL_TLS_CLIENT)).connect(("localhost", 1), timeout)
        assert caught.value.args == (left,)

    def test_a_closed_socket_is_unusable(self, tls_server: TlsServer, ca: trustme.CA) -> None:
        factory = TlsFactory(context=trusting(ca))
        sock = factory.connect(tls_server.address, 5)
        factory.close(sock)
        assert not factory.usable(sock)
