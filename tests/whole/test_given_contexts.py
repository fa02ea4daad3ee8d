"""Contexts that a caller hands in: what is wished beside one, and what its owner changes, against an evil server.

Every wish given beside a shared ``ssl_context`` holds for the connections that asked for it and for no others, and
nothing that was proved to one set of settings is resumed by another (curl CVE-2016-5419, Go CVE-2025-68121).
"""

from __future__ import annotations

import gc
import json
import pathlib
import shutil
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from poollib import HTTPSConnectionPool, PoolManager
from poollib.base.endpoint import TlsSettings
from poollib.connection import HTTPSConnection, ProxyConfig
from poollib.exceptions import HTTPError, SSLError
from poollib.net import caller_ssl_context, tls, tls_contexts
from poollib.net.tls_sessions import sessions
from tests.support.certs import certs
from tests.support.httpd import Httpd, Response

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")


class Observing(Httpd):
    """Every answer says who came (the address in the client's certificate), by which version, and if it resumed."""

    def _converse(self, sock: Any, number: int) -> None:
        shown = sock.getpeercert() or {}
        names = [name for _, name in shown.get("subjectAltName", ())]
        told = {"who": names, "resumed": sock.session_reused, "version": sock.version()}
        self.routes["/"] = lambda request: Response(json.dumps(told).encode(), close=True)
        super()._converse(sock, number)


def asks_for_a_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs().pair().both_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(certs().ca_file)
    return context


@pytest.fixture
def good() -> Iterator[Observing]:
    with Observing(tls=asks_for_a_certificate()) as server:
        yield server


@pytest.fixture
def evil() -> Iterator[Observing]:
    """It shows a certificate for the right name, of an authority that nobody trusts."""
    with Observing(tls=certs().server(stranger=True)) as server:
        yield server


def shared() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certs().ca_file)


def ask(port: int, **settings: Any) -> Any:
    with HTTPSConnectionPool("127.0.0.1", port, timeout=5, retries=False, **settings) as pool:
        return json.loads(pool.request("GET", "/").data)


def client(name: str) -> dict[str, str]:
    return {"cert_file": certs().pair(f"{name}@poollib.example").both_file}


READABLE = ("verify_mode", "check_hostname", "minimum_version", "maximum_version", "options", "verify_flags")


# -- settings beside a shared context


@pytest.mark.parametrize(
    "settings",
    [
        {"cert_reqs": "CERT_NONE"},
        {"cert_reqs": "CERT_OPTIONAL"},
        {"assert_hostname": False},
        {"assert_hostname": "localhost"},
        {"ssl_maximum_version": ssl.TLSVersion.TLSv1_2},
        {"ssl_minimum_version": ssl.TLSVersion.TLSv1_3},
        {"ssl_version": ssl.PROTOCOL_TLSv1_2},
    ],
    ids=str,
)
def test_a_wish_beside_a_shared_context_holds_and_leaves_no_trace_on_it(
    settings: dict[str, Any], good: Observing
) -> None:
    """Once the context kept the wish of whoever connected first, for everybody."""
    context = shared()
    before = [getattr(context, name) for name in READABLE]
    told = ask(good.port, ssl_context=context, **settings)
    assert [getattr(context, name) for name in READABLE] == before
    wants_old = {"ssl_maximum_version", "ssl_version"} & settings.keys()
    assert told["version"] == ("TLSv1.2" if wants_old else "TLSv1.3")
    assert ask(good.port, ssl_context=context)["version"] == "TLSv1.3"


def test_a_pool_that_verifies_refuses_though_another_on_the_same_context_did_not(evil: Observing) -> None:
    """After any pool on a shared context had asked for CERT_NONE, the evil server's 200 was believed by all."""
    context = shared()
    with PoolManager(ssl_context=context, retries=False, timeout=5) as manager:
        for settings in ({"cert_reqs": "CERT_REQUIRED"}, {}, {"cert_reqs": "CERT_REQUIRED", "assert_hostname": False}):
            pool = manager.connection_from_url(evil.url, pool_kwargs=settings)
            for _ in range(2):
                with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
                    pool.request("GET", "/")
                trusting = manager.connection_from_url(evil.url, pool_kwargs={"cert_reqs": "CERT_NONE"})
                assert trusting.request("GET", "/").status == 200


def test_verifying_and_not_verifying_threads_on_one_context_never_meet(evil: Observing) -> None:
    """Also at the same moment: no instant exists in which the context itself does not verify."""
    context, accepted, stop = shared(), [], threading.Event()

    def unverified() -> None:
        while not stop.is_set():
            ask(evil.port, ssl_context=context, cert_reqs="CERT_NONE")

    threads = [threading.Thread(target=unverified) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        try:
            accepted.append(ask(evil.port, ssl_context=context))
        except SSLError:
            assert context.verify_mode == ssl.CERT_REQUIRED
    stop.set()
    for thread in threads:
        thread.join(5)
    assert accepted == []


def test_cert_reqs_tightens_a_context_that_does_not_verify(evil: Observing, good: Observing) -> None:
    lax = shared()
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(evil.port, ssl_context=lax, cert_reqs="CERT_REQUIRED")
    assert ask(good.port, ssl_context=lax, cert_reqs="CERT_REQUIRED")
    assert ask(evil.port, ssl_context=lax)
    with Observing(tls=certs().server("other.example")) as other, pytest.raises(SSLError, match="doesn't match"):
        ask(other.port, ssl_context=lax, cert_reqs="CERT_REQUIRED")
    assert lax.verify_mode == ssl.CERT_NONE


def test_nobody_comes_under_another_name_by_a_shared_context(good: Observing) -> None:
    """Alice, bob, alice: once the third arrived as bob. Now bob is refused, and so is who shows nothing."""
    context = shared()
    assert ask(good.port, ssl_context=context, **client("alice"))["who"] == ["alice@poollib.example"]
    for settings in (client("bob"), {}, {"cert_reqs": "CERT_NONE"}):
        with pytest.raises(SSLError, match="client certificates differ"):
            ask(good.port, ssl_context=context, **settings)
        assert ask(good.port, ssl_context=context, **client("alice"))["who"] == ["alice@poollib.example"]
    assert ask(good.port, ssl_context=shared(), **client("bob"))["who"] == ["bob@poollib.example"]


def test_nobody_believes_what_another_loaded_into_a_shared_context(evil: Observing, good: Observing) -> None:
    """The stranger's authority is for who named it."""
    context = shared()
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(evil.port, ssl_context=context)
    with pytest.raises(SSLError, match="CA certificates differ"):
        ask(evil.port, ssl_context=context, ca_certs=certs().stranger_file)
    context = shared()
    assert ask(evil.port, ssl_context=context, ca_certs=certs().stranger_file)
    with pytest.raises(SSLError, match="CA certificates differ"):
        ask(evil.port, ssl_context=context)
    with pytest.raises(SSLError, match="CA certificates differ"):
        ask(good.port, ssl_context=context, ca_certs=certs().ca_file)
    assert ask(evil.port, ssl_context=context, cert_reqs="CERT_NONE"), "nothing is believed there"


def test_what_is_refused_is_not_loaded_in_part(good: Observing) -> None:
    context = shared()
    ask(good.port, ssl_context=context, cert_reqs="CERT_NONE", **client("alice"))
    known = context.cert_store_stats()
    with pytest.raises(SSLError, match="client certificates differ"):
        ask(good.port, ssl_context=context, ca_certs=certs().stranger_file, **client("bob"))
    assert context.cert_store_stats() == known
    assert ask(good.port, ssl_context=context, **client("alice"))["who"] == ["alice@poollib.example"]


def test_a_replaced_certificate_file_is_loaded_again(good: Observing, tmp_path: Any) -> None:
    """The set is the same, its file a new one: a renewed certificate is shown."""
    context, path = shared(), tmp_path / "mine.pem"
    for name in ("old", "new"):
        shutil.copy(client(name)["cert_file"], path)
        assert ask(good.port, ssl_context=context, cert_file=str(path))["who"] == [f"{name}@poollib.example"]


def test_what_a_context_holds_of_its_owner_holds_under_wishes_too(good: Observing, evil: Observing) -> None:
    """Its client certificate is shown and its authorities are believed, though the rules are another context's."""
    context = shared()
    context.load_cert_chain(certs().client().both_file)
    context.set_ciphers("ECDHE+AESGCM:@SECLEVEL=1")
    told = ask(good.port, ssl_context=context, ssl_maximum_version=ssl.TLSVersion.TLSv1_2)
    assert told == {"who": ["client@poollib.example"], "resumed": False, "version": "TLSv1.2"}
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(evil.port, ssl_context=context, ssl_maximum_version=ssl.TLSVersion.TLSv1_2)
    second = caller_ssl_context.context_under(
        caller_ssl_context.rules_of(context)._replace(verify_mode=0, checks_name=False), context
    )
    assert [cipher["name"] for cipher in second.get_ciphers()] == [c["name"] for c in context.get_ciphers()]
    assert second.security_level == 1


def test_a_context_that_shakes_hands_its_own_way_takes_no_wishes_that_would_change_it(good: Observing) -> None:
    """truststore's: neither changed for all, nor ignored."""

    class Own(ssl.SSLContext):
        def wrap_socket(self, *args: Any, **named: Any) -> Any:
            return super().wrap_socket(*args, **named)

    context = Own(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certs().ca_file)
    with pytest.raises(SSLError, match="set them on the context itself"):
        ask(good.port, ssl_context=context, cert_reqs="CERT_NONE")
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert ask(good.port, ssl_context=context, cert_reqs="CERT_REQUIRED")
    assert ask(good.port, ssl_context=context, assert_hostname=False), "the name is compared all the same"


def test_a_context_that_is_changed_during_the_handshake_is_not_believed(good: Observing) -> None:
    """Whether the handshake went by the old or the new mode can't be told."""
    context = shared()

    class Changing(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE

    context.sslsocket_class = Changing
    with pytest.raises(SSLError, match="changed during the handshake"):
        ask(good.port, ssl_context=context)


# -- sessions


def test_a_session_of_an_unverified_connection_is_not_resumed_by_a_verified_one(evil: Observing) -> None:
    """A given context, CERT_NONE for one request: the evil server's ticket opened it the door for ever."""
    context = shared()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    assert not ask(evil.port, ssl_context=context)["resumed"]
    assert not ask(evil.port, ssl_context=context)["resumed"]
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(evil.port, ssl_context=context)


def test_a_context_given_another_client_certificate_resumes_no_session_of_the_first(good: Observing) -> None:
    context = shared()
    for name in ("alice", "bob"):
        context.load_cert_chain(client(name)["cert_file"])
        for _ in range(2):
            assert ask(good.port, ssl_context=context)["who"] == [f"{name}@poollib.example"]


def test_sessions_of_contexts_made_here_are_resumed(good: Observing) -> None:
    """So that the tests around this one are not satisfied by resuming nothing."""
    told = [ask(good.port, ca_certs=certs().ca_file, **client("alice")) for _ in range(3)]
    assert [one["resumed"] for one in told] == [False, True, True]
    assert not ask(good.port, ca_certs=certs().ca_file, **client("bob"))["resumed"]


class AnotherWay(HTTPSConnection):
    """Dials as it likes."""

    def _new_conn(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port))


def direct(port: int, **named: Any) -> HTTPSConnection:
    return HTTPSConnection("127.0.0.1", port, ca_certs=certs().ca_file, timeout=5, **named)


def over_another_resolver(port: int) -> HTTPSConnection:
    conn = direct(port)
    conn.resolver = lambda host, port: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return conn


WAYS = {
    "a source address": lambda port: direct(port, source_address=("127.0.0.1", 0)),
    "a resolver": over_another_resolver,
    "a way of somebody's own": lambda port: AnotherWay("127.0.0.1", port, ca_certs=certs().ca_file, timeout=5),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_session_stays_on_its_way_to_the_server(way: str, good: Observing) -> None:
    """A ticket tells the server who comes back; it is not carried from one way to another."""

    def resumed(conn: HTTPSConnection) -> bool:
        conn.request("GET", "/")
        told = json.loads(conn.getresponse().data)
        conn.close()
        return bool(told["resumed"])

    other = WAYS[way]
    assert [resumed(direct(good.port)) for _ in range(2)] == [False, True]
    assert not resumed(other(good.port))
    assert resumed(other(good.port)) == (way == "a source address")
    assert resumed(direct(good.port))


def test_a_session_is_carried_neither_into_nor_out_of_a_tunnel_nor_to_another_login() -> None:
    """Tunnels and SOCKS proxies, by the key that tells sessions apart: each differs from all others."""
    from poollib.base.url import parse_url
    from poollib.socks_connectionpool import SOCKSHTTPSConnection

    def tunnelled(**headers: str) -> HTTPSConnection:
        conn = HTTPSConnection("127.0.0.1", 3128, proxy=parse_url("http://127.0.0.1:3128"))
        conn.set_tunnel("a.example", 443, headers=headers)
        return conn

    def socks(**options: Any) -> SOCKSHTTPSConnection:
        usual = {"socks_version": 2, "proxy_host": "127.0.0.1", "proxy_port": 1080, "username": None, "password": None}
        return SOCKSHTTPSConnection({**usual, "rdns": True, **options}, "a.example", 443)

    connections: list[Any] = [
        HTTPSConnection("a.example", 443),
        tunnelled(),
        tunnelled(authorization="a"),
        tunnelled(authorization="b"),
        socks(),
        socks(proxy_port=1081),
        socks(username="a", password="s3cret"),
        socks(username="b", password="s3cret"),
    ]
    keys = [conn.session_key("a.example", 443) for conn in connections]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert connections[2].session_key("a.example", 443) == tunnelled(authorization="a").session_key("a.example", 443)
    assert "s3cret" not in repr(keys)
    connections[1].proxy_config = ProxyConfig(shared(), False, None, None)
    assert connections[1].session_key("a.example", 443) is None, (
        "what the caller's context verifies of the proxy is unknown"
    )


# -- what is kept


def test_what_is_kept_of_contexts_is_bounded_and_dies_with_them(
    good: Observing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 kept contexts and the sessions of 256: 182 MiB. A forgotten context's sessions go with it."""
    monkeypatch.setattr(tls_contexts, "_contexts", type(tls_contexts._contexts)())
    monkeypatch.setattr(tls_contexts, "_MOST_BYTES", 60_000)
    settings = {"ca_certs": certs().ca_file}
    for _ in range(2):
        ask(good.port, **settings)
    first = weakref.ref(tls.context_for(TlsSettings(**settings)))
    assert any(context is first() for context, _ in sessions._kept)
    for name in "abc":
        tls.context_for(TlsSettings(**settings, server_hostname=name))
    assert len(tls_contexts._contexts) == 2
    gc.collect()
    assert first() is None


def test_no_key_and_no_password_is_kept_beside_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_contexts, "_contexts", type(tls_contexts._contexts)())
    pem = pathlib.Path(certs().client().both_file).read_bytes()
    first = tls.context_for(TlsSettings(cert_file=pem, key_password="s3cret"))
    assert tls.context_for(TlsSettings(cert_file=pem, key_password="s3cret")) is first
    assert tls.context_for(TlsSettings(cert_file=pem, key_password="other")) is not first
    shown = repr([tuple(part) if isinstance(part, tuple) else part for key in tls_contexts._contexts for part in key])
    assert "PRIVATE KEY" not in shown
    assert "s3cret" not in shown


# -- requests from finalisers and signal handlers


class Finalised:
    def __init__(self, act: Any) -> None:
        self.act = act

    def __del__(self) -> None:
        self.act()


def within(limit_s: float, work: Any) -> bool:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit_s)
    return not thread.is_alive()


@pytest.mark.parametrize("where", ["making a context", "taking a session"])
def test_a_request_of_a_finaliser_ends_though_its_thread_holds_the_lock(
    where: str, good: Observing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage is collected anywhere, also where a context is made: the request waited for its own thread."""
    monkeypatch.setattr(tls_contexts, "_LONGEST_WAIT_S", 60.0)
    monkeypatch.setattr("poollib.net.tls_sessions._LONGEST_WAIT_S", 60.0)
    told: list[Any] = []

    def work() -> None:
        with tls_contexts._lock if where == "making a context" else sessions._lock:
            garbage = Finalised(lambda: told.append(ask(good.port, ca_certs=certs().ca_file)))
            del garbage

    assert within(5, work), "it waits for itself"
    assert len(told) == 1


@pytest.mark.parametrize("lock", ["contexts", "sessions"])
def test_nobody_waits_for_ever_for_a_lock_that_another_thread_keeps(
    lock: str, good: Observing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That thread may wait for a lock of this one: then a context or a session is done without."""
    monkeypatch.setattr(tls_contexts, "_LONGEST_WAIT_S", 0.02)
    monkeypatch.setattr("poollib.net.tls_sessions._LONGEST_WAIT_S", 0.02)
    told: list[Any] = []
    with tls_contexts._lock if lock == "contexts" else sessions._lock:
        assert within(5, lambda: told.append(ask(good.port, ca_certs=certs().ca_file)))
        assert not told[0]["resumed"]
        if lock == "contexts":
            assert within(5, lambda: told.append(_error_of(lambda: ask(good.port, ssl_context=shared()))))
            assert isinstance(told[1], SSLError)


def _error_of(work: Any) -> HTTPError | None:
    try:
        work()
    except HTTPError as error:
        return error
    return None
