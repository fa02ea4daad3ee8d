"""Which session is given to whom: by counting, with a hand-set clock; and with real servers."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from socket import IPPROTO_TCP, TCP_NODELAY
from types import SimpleNamespace
from typing import Any

import pytest

from poollib.base.endpoint import TlsSettings
from poollib.exceptions import SSLError
from poollib.net import dial, tls
from poollib.net.certificates import key_pin
from poollib.net.tls_sessions import SessionCache, sessions
from tests.support.certs import certs
from tests.support.script import ScriptServer, close, expect, send


class Peer:
    """A socket as far as the cache looks at it; it counts how often the session is read."""

    def __init__(self, name: str = "s", *, reused: bool = False, version: str = "TLSv1.3", **about: Any) -> None:
        fields = {"has_ticket": True, "id": b"x", "timeout": 100, "ticket_lifetime_hint": 0, "name": name}
        self._session = SimpleNamespace(**(fields | about))
        self.session_reused = reused
        self.reads = 0
        self._version = version

    @property
    def session(self) -> Any:
        self.reads += 1
        return self._session

    def version(self) -> str:
        return self._version


@pytest.fixture
def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(autouse=True)
def all_admitted(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new cache knows the test's context."""
    make = SessionCache.__init__

    def made(self: SessionCache, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        self.admit(context)

    monkeypatch.setattr(SessionCache, "__init__", made)


def name_of(session: Any) -> str | None:
    return None if session is None else session.name


def test_a_session_is_given_to_its_context_and_key_alone(context: ssl.SSLContext) -> None:
    """curl CVE-2016-5419, Go CVE-2025-68121: resumed across another client certificate or set of CAs."""
    cache = SessionCache()
    cache.keep(context, "a", Peer("a"))
    assert name_of(cache.take(context, "a")) == "a"
    assert cache.take(context, "b") is None
    assert cache.take(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "a") is None
    cache.clear()
    assert cache.take(context, "a") is None


def test_no_session_is_kept_of_a_context_that_was_not_admitted_or_is_forgotten(context: ssl.SSLContext) -> None:
    """A session keeps its context alive, and what a caller's context verified is unknown."""
    cache = SessionCache()
    callers = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    cache.keep(callers, "a", Peer())
    assert cache.take(callers, "a") is None
    cache.keep(context, "a", Peer())
    cache.forget(context)
    assert cache.take(context, "a") is None
    cache.keep(context, "a", Peer())  # of a connection that was still open
    assert cache.take(context, "a") is None


def test_a_session_that_is_still_good_is_not_read_again(context: ssl.SSLContext) -> None:
    """Reading costs 125 of the 170 us that resuming saves."""
    cache = SessionCache(uses=3)
    cache.keep(context, "a", Peer("first"))
    for _ in range(2):
        assert name_of(cache.take(context, "a")) == "first"
        again = Peer("again", reused=True)
        cache.keep(context, "a", again)
        assert again.reads == 0


def test_after_its_uses_the_session_is_renewed_from_the_last_one_that_resumed(context: ssl.SSLContext) -> None:
    cache = SessionCache(uses=1)
    cache.keep(context, "a", Peer("first"))
    assert name_of(cache.take(context, "a")) == "first"
    assert cache.take(context, "a") is None
    cache.keep(context, "a", Peer("second", reused=True))
    assert name_of(cache.take(context, "a")) == "second"


@pytest.mark.parametrize(("timeout", "hint", "lifetime"), [(100, 0, 100), (100, 40, 40), (100, 900, 100)])
def test_a_session_is_renewed_at_half_its_life_and_dropped_at_its_end(
    timeout: int, hint: int, lifetime: int, context: ssl.SSLContext
) -> None:
    now = [0.0]
    cache = SessionCache(clock=lambda: now[0])
    cache.keep(context, "a", Peer("first", timeout=timeout, ticket_lifetime_hint=hint))
    now[0] = lifetime - 1
    assert name_of(cache.take(context, "a")) == "first"
    now[0] = lifetime
    assert cache.take(context, "a") is None
    now[0] = lifetime / 2
    cache.keep(context, "a", Peer("second", reused=True))
    assert name_of(cache.take(context, "a")) == "second"


def test_a_server_that_takes_a_session_once_is_asked_for_one_each_time(context: ssl.SSLContext) -> None:
    """The second use is refused; from then on every connection brings a session of its own."""
    cache = SessionCache(uses=16)
    cache.keep(context, "a", Peer("1"))
    cache.take(context, "a")
    cache.keep(context, "a", Peer("2", reused=True))
    cache.take(context, "a")
    cache.keep(context, "a", Peer("3", reused=False))
    for number in ("3", "4", "5"):
        assert name_of(cache.take(context, "a")) == number
        cache.keep(context, "a", Peer(str(int(number) + 1), reused=True))


@pytest.mark.parametrize(
    ("peer", "kept"),
    [
        (Peer(has_ticket=False), False),
        (Peer(has_ticket=False, version="TLSv1.2"), True),
        (Peer(has_ticket=False, id=b"", version="TLSv1.2"), False),
        (SimpleNamespace(session_reused=False, session=None), False),
        (SimpleNamespace(session_reused=None), False),
        (SimpleNamespace(session_reused=lambda: None, session=lambda: None), False),  # as a mock's
        (object(), False),
    ],
)
def test_what_cannot_be_resumed_is_not_kept(peer: Any, kept: bool, context: ssl.SSLContext) -> None:
    """TLS 1.3 resumes by ticket alone, TLS 1.2 by session id too; a plain socket has neither."""
    cache = SessionCache()
    cache.keep(context, "a", peer)
    assert (cache.take(context, "a") is not None) == kept


def test_the_cache_is_bounded(context: ssl.SSLContext) -> None:
    cache = SessionCache(limit=2)
    for key in "abc":
        cache.keep(context, key, Peer(key))
    assert [name_of(cache.take(context, key)) for key in "abc"] == [None, "b", "c"]


def test_threads_take_no_session_more_often_than_it_may_be(context: ssl.SSLContext) -> None:
    cache = SessionCache(uses=50)
    cache.keep(context, "a", Peer())
    taken: list[object] = []

    def take() -> None:
        taken.extend(cache.take(context, "a") for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(session is not None for session in taken) == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_the_cache_is_locked_can_use_its_own() -> None:
    with sessions._lock:
        child = os.fork()
        if not child:
            os._exit(0 if sessions._lock.acquire(timeout=2) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# Real servers


def exchange(port: int, settings: TlsSettings, cache: SessionCache, host: str = "localhost") -> tuple[bool, bool]:
    """Whether a connection resumed, and whether its peer is verified; one exchange takes place on it."""
    context = tls.context_for(settings)
    cache.admit(context)
    plain = dial.connect("127.0.0.1", port, timeout_s=5, socket_options=[(IPPROTO_TCP, TCP_NODELAY, 1)])
    session = cache.take(context, (host, port))
    sock, is_verified = tls.wrap(plain, settings, host, timeout_s=5, session=session, context=context)
    with sock if isinstance(sock, ssl.SSLSocket) else contextlib.closing(sock):
        sock.sendall(b"ping")
        assert sock.recv(4) == b"pong"
        cache.keep(context, (host, port), sock)
        return bool(sock.session_reused), is_verified


SCRIPT = [expect(b"ping"), send(b"pong"), close()]


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_second_connection_resumes(newest: ssl.TLSVersion) -> None:
    cache = SessionCache()
    settings = TlsSettings(ca_certs=certs().ca_file)
    with ScriptServer(SCRIPT, repeat=True, tls=certs().server(newest=newest)) as peer:
        seen = [exchange(peer.port, settings, cache) for _ in range(4)]
    assert seen == [(False, True), (True, True), (True, True), (True, True)]


def test_names_and_pins_are_checked_on_resumed_connections_too() -> None:
    """The certificate comes with the session: what was asserted is compared again."""
    cache = SessionCache()
    for settings in (
        TlsSettings(ca_certs=certs().ca_file, assert_hostname="127.0.0.1"),
        TlsSettings(ca_certs=certs().ca_file, assert_fingerprint=key_pin(certs().pair().der)),
    ):
        with ScriptServer(SCRIPT, repeat=True, tls=certs().server()) as peer:
            assert [exchange(peer.port, settings, cache) for _ in range(2)] == [(False, True), (True, True)]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"assert_hostname": "elsewhere.example"}, "doesn't match"),
        ({"assert_fingerprint": "00" * 32}, "Fingerprints did not match"),
        ({"assert_fingerprint": "sha256/" + "A" * 43 + "="}, "Fingerprints did not match"),
    ],
)
def test_a_wrong_name_or_pin_is_refused_on_a_resumed_connection(wrong: dict[str, Any], why: str) -> None:
    """Nothing is verified anew there, so what is compared must be compared here."""
    cache, settings, resumed = SessionCache(), TlsSettings(ca_certs=certs().ca_file, assert_hostname="127.0.0.1"), []
    context = tls.context_for(settings)
    last = [lambda connection: resumed.append(connection.sock.session_reused), close()]
    with ScriptServer(SCRIPT, last, tls=certs().server()) as peer:
        exchange(peer.port, settings, cache)
        session = cache.take(context, ("localhost", peer.port))
        plain = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        with pytest.raises(SSLError, match=why):
            tls.wrap(plain, settings._replace(**wrong), "localhost", timeout_s=5, session=session, context=context)
    assert resumed == [True]


def test_a_refused_session_falls_back_to_a_full_handshake() -> None:
    """The server lost its ticket keys, as after a restart."""
    cache = SessionCache()
    settings = TlsSettings(ca_certs=certs().ca_file)
    context = tls.context_for(settings)
    with ScriptServer(SCRIPT, repeat=True, tls=certs().server()) as peer:
        exchange(peer.port, settings, cache, "localhost")
        old = cache.take(context, ("localhost", peer.port))
    restarted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    restarted.load_cert_chain(certs().pair().both_file)
    with ScriptServer(SCRIPT, tls=restarted) as peer:
        plain = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        with tls.wrap(plain, settings, "localhost", timeout_s=5, session=old, context=context).sock as sock:
            assert not sock.session_reused
            sock.sendall(b"ping")
            assert sock.recv(4) == b"pong"
