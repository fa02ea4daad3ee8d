"""Ways to a server besides a name and a port: Unix sockets, resolvers, socket options, settings that change.

RFC 3986 section 3.2.2 (hosts), requests CVE-2024-35195 (settings of a living pool), promise 8: every setting is part of
what decides sharing.
"""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import socket
import ssl
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

import poollib
from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout, Trace
from poollib.connection import HTTPConnection, HTTPSConnection
from poollib.exceptions import (
    BlockedHostError,
    ConnectTimeoutError,
    HostChangedError,
    HTTPError,
    InsecureRequestWarning,
    LocationParseError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)
from poollib.net.dial import TCP_KEEPALIVE
from poollib.net.dns import HAS_IPV6
from tests.support.certs import certs
from tests.support.httpd import Httpd, read_request
from tests.support.proxies import Listener
from tests.support.script import ScriptServer, close, expect_request, send, stall

# Unix sockets


class UnixServer:
    """Answers each request on a Unix socket with its target and Host; keeps connections."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path, self.accepted = path, 0

    def __enter__(self) -> UnixServer:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.accepted += 1
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as file, contextlib.suppress(OSError):
            while (request := read_request(file, sock, 0)) is not None:
                text = f"{request.target} {request.header('Host')}".encode()
                moved = b"Location: /there\r\n" if request.target == "/moved" else b""
                line = b"HTTP/1.1 302 Found" if moved else b"HTTP/1.1 200 OK"
                sock.sendall(b"%b\r\n%bContent-Length: %d\r\n\r\n%b" % (line, moved, len(text), text))


@pytest.fixture
def unix(tmp_path: pathlib.Path) -> Iterator[UnixServer]:
    with UnixServer(tmp_path / "a b.sock") as server:
        yield server


def test_a_unix_socket_is_reached_by_url_and_by_path(unix: UnixServer) -> None:
    url = "http+unix://" + quote(str(unix.path), safe="")
    with PoolManager() as manager:
        for _ in range(3):
            assert manager.request("GET", f"{url}/x?y=1").data == b"/x?y=1 localhost"
        assert manager.request("GET", f"{url}/moved").data == b"/there localhost"
        assert manager.pool_for(url).request("GET", "/p").data == b"/p localhost"
    with poollib.connection_from_url(url) as pool:
        assert pool.request("GET", "/q").data == b"/q localhost"
    with HTTPConnectionPool("any.name", uds=str(unix.path)) as pool:
        assert pool.request("GET", "/r", headers={"Host": "own"}).data == b"/r own"
    assert unix.accepted == 4


def test_two_unix_sockets_share_no_pool(unix: UnixServer, tmp_path: pathlib.Path) -> None:
    with UnixServer(tmp_path / "other.sock") as other, PoolManager() as manager:
        pools = {
            manager.connection_from_url(f"http+unix://{quote(str(server.path), safe='')}/") for server in (unix, other)
        }
        pools.add(manager.connection_from_url("http://localhost:80/"))
        assert len(pools) == 3


def test_a_missing_unix_socket_is_told_with_its_path(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "none.sock"
    with HTTPConnectionPool("localhost", uds=str(path)) as pool:
        with pytest.raises(NewConnectionError, match=r"none\.sock"):
            pool.request("GET", "/", retries=False)


# Names


def test_resolve_leads_a_name_to_an_address(tmp_path: pathlib.Path) -> None:
    with Httpd() as server:
        resolve = {"made.up": ["127.0.0.1"]}
        with PoolManager(resolve=resolve) as manager:
            assert manager.request("GET", f"http://made.up:{server.port}/").status == 200
            assert server.requests[0].header("Host") == f"made.up:{server.port}"
        with HTTPConnectionPool("made.up", server.port, resolve=resolve) as pool:
            assert pool.request("GET", "/").status == 200
    with HTTPConnectionPool("made.up", resolver=lambda host, port: []) as pool:
        with pytest.raises(NameResolutionError):
            pool.request("GET", "/", retries=False)


def test_resolve_keeps_the_name_for_tls() -> None:
    with Httpd(tls=certs().server("made.up")) as server:
        with PoolManager(resolve={"made.up": ["127.0.0.1"]}, ca_certs=certs().ca_file) as manager:
            assert manager.request("GET", f"https://made.up:{server.port}/").status == 200


def test_a_connection_without_a_pool_reads_names_as_urls_do() -> None:
    """By the system's rule (IDNA 2003) another host was asked for, whose certificate did not fit."""
    asked: list[str] = []
    conn = HTTPSConnection("BÜCHER.example", 443)
    conn.resolver = lambda host, port: asked.append(host) or []  # type: ignore[func-returns-value]
    with pytest.raises(HTTPError):
        conn.connect()
    assert asked == [conn.host] == ["xn--bcher-kva.example"]
    conn.set_tunnel("bücher.example")
    assert conn._tunnel_host == "xn--bcher-kva.example"
    for name in ("☃.example", "straße.ss"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "idna", None)
            with pytest.raises(LocationParseError):
                HTTPConnection(name)


def test_a_dns_cache_asks_once_for_all_pools_of_a_manager() -> None:
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with Httpd() as server, PoolManager(resolver=resolver, dns_cache=60.0) as manager:
        for name in ("one.test", "two.test"):
            for _ in range(3):
                manager.request("GET", f"http://{name}:{server.port}/", headers={"Connection": "close"})
        assert asked == ["one.test", "two.test"]
        with PoolManager(resolver=resolver) as uncached:
            for _ in range(2):
                uncached.request("GET", f"http://one.test:{server.port}/", headers={"Connection": "close"})
        assert len(asked) == 4


def test_different_resolvers_share_no_pool() -> None:
    manager = PoolManager()
    pools = {
        manager.connection_from_host("h", 1, pool_kwargs={"resolver": resolver})
        for resolver in (None, lambda host, port: ["127.0.0.1"], lambda host, port: ["127.0.0.2"])
    }
    assert len(pools) == 3


# The socket


def test_keepalive_options_and_a_source_address_reach_the_socket() -> None:
    with Httpd() as server:
        options = HTTPConnection.default_socket_options + TCP_KEEPALIVE
        with HTTPConnectionPool(
            "127.0.0.1", server.port, socket_options=options, source_address=("127.0.0.1", 0)
        ) as pool:
            pool.request("GET", "/")
            conn = pool._get_conn()
            assert conn.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert conn.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert conn.sock.getsockname()[0] == "127.0.0.1"
            pool._put_conn(conn)


# One limit for all steps


def test_the_connect_timeout_covers_all_steps_together() -> None:
    """Lookup, dialling, tunnel and TLS each take less than the limit, but not all of them."""

    def slow(host: str, port: int) -> list[str]:
        time.sleep(0.12)
        return ["127.0.0.1"]

    def spent_s() -> float:
        with ScriptServer([expect_request(), send(b"HTTP/1.1 200 OK\r\n\r\n"), stall()]) as proxy:
            url, timeout = f"http://proxy.test:{proxy.port}", Timeout(connect=0.3)
            manager = poollib.ProxyManager(url, resolver=slow, timeout=timeout)
            start = time.monotonic()
            with manager, pytest.raises(ConnectTimeoutError):
                manager.request("GET", "https://target.test/", retries=False)
            return time.monotonic() - start

    # A busy machine may add to it, but not each time.
    assert any(0.29 < spent_s() < 0.4 for _ in range(5))


def test_after_connecting_the_limit_of_a_send_is_whole_again() -> None:
    with Httpd(tls=certs().server()) as server:
        conn = HTTPSConnection("127.0.0.1", server.port, timeout=5.0, ca_certs=certs().ca_file)
        conn.connect()
        assert conn.sock.gettimeout() == 5.0
        conn.close()


class Steps(Trace):
    """Which steps were heard of, and how they ended."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def dial_done(self, host: str, port: int | None, error: BaseException | None) -> None:
        self.heard.append(f"dial {error is None}")

    def tunnel_started(self, host: str, port: int | None) -> None:
        self.heard.append(f"tunnel to {host}")

    def tunnel_done(self, host: str, port: int | None, error: BaseException | None) -> None:
        self.heard.append(f"tunnel {error is None}")

    def tls_started(self, host: str) -> None:
        self.heard.append(f"tls with {host}")

    def tls_done(self, host: str, error: BaseException | None) -> None:
        self.heard.append(f"tls {error is None}")


def test_the_trace_hears_of_every_step() -> None:
    with Httpd(tls=certs().server()) as server, Listener(tls=certs().server()) as proxy:
        steps = Steps()
        url = f"https://127.0.0.1:{proxy.port}"
        with poollib.ProxyManager(url, ca_certs=certs().ca_file, trace=steps) as manager:
            manager.request("GET", f"https://localhost:{server.port}/")
        with (
            poollib.ProxyManager(url, trace=steps, retries=False) as manager,
            pytest.raises(HTTPError),
        ):
            manager.request("GET", f"https://localhost:{server.port}/")
    good = ["dial True", "tls with 127.0.0.1", "tls True", "tunnel to localhost", "tunnel True", "tls with localhost"]
    assert steps.heard == [*good, "tls True", "dial True", "tls with 127.0.0.1", "tls False"]


# Settings that change


def test_a_setting_changed_on_a_living_pool_is_never_served_by_an_old_connection() -> None:
    """CVE-2024-35195: an unverified connection serves no verified request. requests sets these attributes."""
    with Httpd(tls=certs().server()) as server:
        with HTTPSConnectionPool("127.0.0.1", server.port, cert_reqs="CERT_NONE", retries=False) as pool:
            with pytest.warns(InsecureRequestWarning):
                pool.request("GET", "/")
            pool.cert_reqs, pool.ca_certs = "CERT_REQUIRED", certs().stranger_file
            with pytest.raises(SSLError):
                pool.request("GET", "/")
            pool.ca_certs = certs().ca_file
            pool.request("GET", "/")
            pool.ca_certs = certs().ca_file
            pool.cert_reqs = ssl.CERT_REQUIRED
            pool.request("GET", "/")
        served = [request.connection for request in server.requests]
    assert served[1] == served[2] != served[0], "another spelling of the same wish changes nothing"


@pytest.mark.parametrize("moment", ["is made", "shakes hands", "comes back"])
def test_a_setting_changed_while_a_connection_is_under_way_is_not_served_by_it(moment: str) -> None:
    """Made, or given back, in the very moment of the change, it was in no list of those to be retired."""

    def change(at: str) -> None:
        if at == moment:
            pool.cert_reqs = "CERT_REQUIRED"

    class Connection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            change("shakes hands")

        def is_reusable_state(self) -> bool:
            is_reusable = super().is_reusable_state()
            change("comes back")
            return is_reusable

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Connection

        def _new_conn(self) -> Any:
            conn = super()._new_conn()
            change("is made")
            return conn

    with Httpd(tls=certs().server(stranger=True)) as evil:
        with Pool("127.0.0.1", evil.port, cert_reqs="CERT_NONE", ca_certs=certs().ca_file, retries=False) as pool:
            if moment == "comes back":
                with pytest.warns(InsecureRequestWarning):
                    pool.request("GET", "/")
            for _ in range(2):
                with pytest.raises(SSLError):
                    pool.request("GET", "/")
        assert len(evil.requests) == (moment == "comes back")


def changed_authorities(pool: HTTPSConnectionPool) -> None:
    pool.conn_kw["ca_cert_data"] = pathlib.Path(certs().stranger_file).read_text()


def changed_context(pool: HTTPSConnectionPool) -> None:
    pool.conn_kw["ssl_context"] = ssl.create_default_context(cafile=certs().stranger_file)


def changed_mode(pool: HTTPSConnectionPool) -> None:
    context = pool.conn_kw["ssl_context"]
    context.minimum_version, context.verify_flags = ssl.TLSVersion.TLSv1_3, ssl.VERIFY_CRL_CHECK_LEAF


def changed_pins(pool: Any) -> None:
    pool.assert_fingerprint[:] = ["00" * 32]


def other_keywords(pool: HTTPSConnectionPool) -> None:
    pool.conn_kw = {"ca_cert_data": pathlib.Path(certs().stranger_file).read_text()}


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        (changed_authorities, {"ca_cert_data": "ca"}),
        (changed_context, {"ssl_context": "made"}),
        (changed_mode, {"ssl_context": "made"}),
        (changed_pins, {"ca_cert_data": "ca", "assert_fingerprint": "pins"}),
        (other_keywords, {"ca_cert_data": "ca"}),
    ],
)
def test_what_is_changed_in_place_is_served_by_no_old_connection(change: Any, settings: dict[str, str]) -> None:
    """No assignment to the pool tells of it, so it is looked at whenever a connection is lent."""
    made: dict[str, Any] = {
        "ca": pathlib.Path(certs().ca_file).read_text(),
        "made": ssl.create_default_context(cafile=certs().ca_file),
        "pins": [hashlib.sha256(certs().pair().der).hexdigest()],
    }
    given = {name: made[value] for name, value in settings.items()}
    with Httpd(tls=certs().server()) as server:
        with HTTPSConnectionPool("127.0.0.1", server.port, retries=False, **given) as pool:
            for _ in range(2):
                pool.request("GET", "/")
            change(pool)
            for _ in range(2):
                with pytest.raises(SSLError):
                    pool.request("GET", "/")
        assert [request.connection for request in server.requests] == [0, 0], "as long as nothing changes it is kept"


def test_hosts_and_networks_changed_in_place_count_at_once() -> None:
    """For a pool and for a manager, whose pools are found by what its keywords say now."""
    with Httpd() as server:
        for options in ({"allowed_hosts": ["127.0.0.1"]}, {"blocked_networks": ["10.0.0.0/8"]}):
            pool = HTTPConnectionPool("127.0.0.1", server.port, retries=False, **options)
            manager = poollib.PoolManager(retries=False, **options)
            with pool, manager:
                for _ in range(2):
                    pool.request("GET", "/")
                    manager.request("GET", server.url + "/a")
                for given in options.values():
                    given[:] = ["127.0.0.0/8" if "10.0.0.0/8" in given else "a.example"]
                for _ in range(2):
                    with pytest.raises(BlockedHostError):
                        pool.request("GET", "/")
                    with pytest.raises(BlockedHostError):
                        manager.request("GET", server.url + "/a")


def test_pins_of_a_manager_changed_in_place_count_at_once() -> None:
    pins = [hashlib.sha256(certs().pair().der).hexdigest()]
    with Httpd(tls=certs().server()) as server:
        settings: dict[str, Any] = {"ca_certs": certs().ca_file, "assert_fingerprint": pins, "retries": False}
        with poollib.PoolManager(**settings) as manager:
            for _ in range(2):
                manager.request("GET", server.url + "/a")
            pins[:] = ["00" * 32]
            with pytest.raises(SSLError):
                manager.request("GET", server.url + "/a")


def test_a_lent_connection_is_closed_when_it_comes_back_to_changed_settings() -> None:
    with Httpd(tls=certs().server()) as server:
        with HTTPSConnectionPool("127.0.0.1", server.port, ca_certs=certs().ca_file) as pool:
            response = pool.request("GET", "/", preload_content=False)
            pool.assert_hostname = "localhost"
            response.data  # noqa: B018 - reading it gives the connection back
            response.release_conn()
            pool.request("GET", "/")
        assert [request.connection for request in server.requests] == [0, 1]


def test_set_cert_after_a_first_use_counts() -> None:
    with Httpd(tls=certs().server()) as server:
        conn = HTTPSConnection("127.0.0.1", server.port, ca_certs=certs().ca_file)
        conn.connect()
        conn.close()
        conn.set_cert(ca_certs=certs().stranger_file)
        with pytest.raises(SSLError):
            conn.connect()
        conn.close()


# Warnings


def test_an_unverified_request_is_warned_of_once_per_place() -> None:
    with Httpd(tls=certs().server()) as server:
        with PoolManager(cert_reqs="CERT_NONE") as manager, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for _ in range(3):
                manager.request("GET", server.url)  # this place
            manager.request("GET", server.url)  # and this one
    mine = [warning for warning in caught if issubclass(warning.category, InsecureRequestWarning)]
    assert len(mine) == 2
    assert all(warning.filename == __file__ for warning in mine)


# Trying again


@pytest.mark.parametrize(("method", "tries"), [("GET", 3), ("POST", 1)])
def test_an_error_of_another_kind_repeats_no_post_that_may_have_arrived(
    method: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 10. A TLS record that can't be read came after the request had left."""
    sent: list[str] = []

    def fail(self: HTTPConnection) -> Any:
        sent.append(method)
        raise SSLError("bad record mac")

    monkeypatch.setattr(HTTPConnection, "getresponse", fail)
    with Httpd() as server, HTTPConnectionPool("127.0.0.1", server.port) as pool:
        with pytest.raises(MaxRetryError if method == "GET" else SSLError):
            pool.request(method, "/", retries=Retry(2), body=b"x" if method == "POST" else None)
    assert len(sent) == tries


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_error_before_the_request_was_sent_is_tried_again(method: str) -> None:
    with Httpd(tls=certs().server()) as server:
        with HTTPSConnectionPool("127.0.0.1", server.port, ca_certs=certs().stranger_file) as pool:
            with pytest.raises(MaxRetryError) as given_up:
                pool.request(method, "/", retries=Retry(2), body=b"x")
    assert isinstance(given_up.value.reason, SSLError)
    assert len(server.tls_errors) == 3


def test_a_broken_answer_repeats_no_post() -> None:
    with ScriptServer([expect_request(), send(b"HTTP/1.1 200"), close()]) as server:
        with HTTPConnectionPool("127.0.0.1", server.port) as pool, pytest.raises(ProtocolError):
            pool.request("POST", "/", retries=Retry(2))
    assert len(server.received) == 1


def test_a_pool_of_a_unix_socket_stays_there(unix: UnixServer) -> None:
    with HTTPConnectionPool("localhost", uds=str(unix.path)) as pool, pytest.raises(HostChangedError):
        pool.request("GET", "http://elsewhere.test/")


@pytest.mark.skipif(not HAS_IPV6 or not hasattr(socket, "if_nameindex"), reason="no IPv6 here")
def test_a_zone_leads_to_its_interface_and_is_told_to_nobody() -> None:
    """RFC 6874: a zone means something on this machine alone."""
    zone = next((number for number, name in socket.if_nameindex() if name.startswith("lo")), None)
    if zone is None:
        pytest.skip("no loopback interface")
    # The zone as a number: getaddrinfo takes names for link-local addresses alone.
    with Httpd(host="::1") as server, PoolManager() as manager:
        assert manager.request("GET", f"http://[::1%25{zone}]:{server.port}/x").status == 200
        assert server.requests[0].header("Host") == f"[::1]:{server.port}"
