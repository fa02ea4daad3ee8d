"""Lookups within a limit: in whose thread they run, how many threads there are, and what becomes of those that hang."""

from __future__ import annotations

import contextvars
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from poollib import HTTPConnectionPool, Timeout
from poollib.exceptions import ConnectTimeoutError, NameResolutionError
from poollib.net import dns
from tests.support.interrupts import RealInterrupter

LOOPBACK = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))
LIMIT_S = 5.0
SHORT_S = 0.01


class System:
    """The system's resolver below ``socket.getaddrinfo``: it answers, fails, or hangs until it is told to go on."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.threads: set[int] = set()
        self.go_on = threading.Event()
        self.entered = threading.Semaphore(0)
        self.go_on.set()

    def __call__(self, host: str, *rest: object) -> list[Any]:
        self.asked.append(host)
        self.threads.add(threading.get_ident())
        self.entered.release()
        self.go_on.wait(10)
        if host.startswith("no."):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [LOOPBACK]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    system = System()
    monkeypatch.setattr(socket._socket, "getaddrinfo", system)  # type: ignore[attr-defined]
    yield system
    system.go_on.set()
    settled("at the end")


def resolve(host: str, timeout_s: float | None = LIMIT_S, **kw: Any) -> list[Any]:
    return dns.addresses_within(host, 9, timeout_s=timeout_s, **kw)


@contextmanager
def hanging(system: System) -> Iterator[Callable[[str], Future[Any]]]:
    """While nothing is answered: call it with a name to begin a lookup in another thread."""
    system.go_on.clear()
    with ThreadPoolExecutor(8) as threads:
        try:
            yield lambda host: threads.submit(resolve, host)
        finally:
            system.go_on.set()


def joined(count: int) -> None:
    """Wait until the one lookup that is under way is waited for by ``count`` threads."""
    (lookup,) = dns._lookups.running
    pause = threading.Event()
    while len(lookup.done._cond._waiters) < count:  # type: ignore[attr-defined]
        pause.wait(0.001)


# In whose thread


def test_a_limited_lookup_of_the_system_runs_in_a_thread_of_its_own(system: System) -> None:
    assert resolve("a.test") == [LOOPBACK]
    assert threading.get_ident() not in system.threads


def test_without_a_limit_the_caller_asks_himself(system: System) -> None:
    resolve("a.test", None)
    assert system.threads == {threading.get_ident()}


WHO = contextvars.ContextVar("WHO", default="nobody")
OWN = threading.local()


@pytest.fixture
def seen() -> Iterator[list[Any]]:
    token = WHO.set("caller")
    OWN.name = "caller"
    yield []
    WHO.reset(token)
    del OWN.name


@pytest.mark.parametrize("way", ["a resolver", "a cached resolver", "a replaced getaddrinfo"])
def test_what_the_program_brings_sees_the_callers_context_and_thread_locals(
    way: str, seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*_: object) -> list[Any]:
        seen.append((WHO.get(), getattr(OWN, "name", "nobody")))
        return [LOOPBACK]

    resolver: Any = {"a resolver": answer, "a cached resolver": dns.CachingResolver(answer, lifetime_s=9)}.get(way)
    if resolver is None:
        monkeypatch.setattr(socket, "getaddrinfo", answer)
    resolve("a.test", resolver=resolver)
    assert seen == [("caller", "caller")]


def test_below_getaddrinfo_the_callers_context_is_seen(
    system: System, seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an audit hook is, which the lookup's thread calls."""
    system_answers = system.__call__
    monkeypatch.setattr(socket._socket, "getaddrinfo", lambda *a: seen.append(WHO.get()) or system_answers(*a))  # type: ignore[attr-defined]
    resolve("a.test")
    assert seen == ["caller"]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_where_no_thread_starts_the_caller_asks_himself(
    system: System, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """At a limit of the system, in exit hooks from CPython 3.12 on."""
    refuse_threads(monkeypatch, error)
    assert resolve("a.test") == [LOOPBACK]
    assert system.threads == {threading.get_ident()}
    with pytest.raises(NameResolutionError):
        resolve("no.test")


def test_where_threads_must_not_be_daemons_the_caller_asks_himself(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subinterpreter refuses when the thread is made."""
    usual = threading.Thread

    def make(*args: Any, **kw: Any) -> threading.Thread:
        if kw.get("name") == "poollib-lookup":
            raise RuntimeError("daemon threads are not supported")
        return usual(*args, **kw)

    monkeypatch.setattr(threading, "Thread", make)
    assert resolve("a.test") == [LOOPBACK]


def test_a_finaliser_at_the_exit_starts_no_thread(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """In CPython 3.10 and 3.11 the start of a thread would never return then."""
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    refuse_threads(monkeypatch, AssertionError("a thread was started"))
    assert resolve("a.test") == [LOOPBACK]


@pytest.mark.parametrize("timeout_s", [None, LIMIT_S])
def test_where_no_module_can_be_loaded_any_more_names_are_still_found(
    timeout_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the exit ``getaddrinfo`` finds no idna codec if nobody has used it before."""

    def answer(host: str | bytes, *rest: object) -> list[Any]:
        if isinstance(host, str):
            raise LookupError("unknown encoding: idna")
        return [LOOPBACK] if host == b"a.test" else []

    monkeypatch.setattr(socket._socket, "getaddrinfo", answer)  # type: ignore[attr-defined]
    assert resolve("a.test", timeout_s) == [LOOPBACK]


def refuse_threads(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let no thread for a lookup start."""
    usual = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "poollib-lookup":
            raise error
        usual(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


def raising(error: BaseException) -> Callable[..., Any]:
    def call(*args: object, **kw: object) -> None:
        raise error

    return call


# How many


def test_a_thousand_requests_for_a_name_that_hangs_have_one_thread(system: System) -> None:
    with hanging(system):
        for _ in range(20):
            with pytest.raises(ConnectTimeoutError, match=r"Resolving a\.test timed out") as caught:
                resolve("a.test", SHORT_S / 10)
            assert caught.value.phase == "resolving"
        assert system.asked == ["a.test"]


def test_who_joins_gets_the_same_answer_or_an_error_of_his_own(system: System) -> None:
    for host, is_there in (("a.test", True), ("no.test", False)):
        with hanging(system) as begin:
            waiting = [begin(host) for _ in range(3)]
            assert system.entered.acquire(timeout=5)
            joined(3)
        assert not system.entered.acquire(blocking=False), "they did not share"
        if is_there:
            assert [future.result() for future in waiting] == [[LOOPBACK]] * 3
        else:
            errors = [future.exception() for future in waiting]
            assert all(isinstance(error, NameResolutionError) for error in errors)
            assert len({id(error.__cause__) for error in errors if error}) == 3


def test_a_lookup_that_has_hung_for_long_is_joined_by_nobody(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network may be back, and a new lookup finds out."""
    monkeypatch.setattr(dns, "JOIN_WITHIN_S", 0.0)
    with hanging(system):
        for _ in range(2):
            with pytest.raises(ConnectTimeoutError):
                resolve("a.test", SHORT_S)
        assert system.asked == ["a.test"] * 2


def test_names_that_hang_have_so_many_threads_and_no_more(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds none free waits within his limit, and gets the next that is."""
    monkeypatch.setattr(dns, "MOST_THREADS", 2)
    with hanging(system) as begin:
        for host in ("a.test", "b.test", "c.test", "d.test"):
            with pytest.raises(ConnectTimeoutError):
                resolve(host, SHORT_S)
        assert system.asked == ["a.test", "b.test"]
        late = begin("e.test")
    assert late.result() == [LOOPBACK]


# Interrupts and forks


def test_an_interrupt_while_the_thread_starts_loses_neither_the_slot_nor_the_connections(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns, "MOST_THREADS", 1)
    with HTTPConnectionPool("a.test", 9, timeout=Timeout(connect=LIMIT_S), block=True) as pool:
        with monkeypatch.context() as patch:
            refuse_threads(patch, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                pool.urlopen("GET", "/")
        assert pool._endpoint_pool.leased == 0
    assert resolve("a.test") == [LOOPBACK]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("has_threads", [True, False])
def test_an_interrupt_at_any_point_leaves_nothing_under_way(
    has_threads: bool, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_threads:
        refuse_threads(monkeypatch, RuntimeError("can't start new thread"))
    folder, at = os.path.dirname(dns.__file__), 0
    RealInterrupter(0, folder).run(lambda: resolve("a.test"))  # CPython 3.12 traces instructions from the second run on
    is_met = True
    while is_met:
        at += 1
        interrupter = RealInterrupter(at, folder)
        is_met = interrupter.run(lambda: resolve("a.test"))
        settled(interrupter.where)
        assert dns._until.get() is None, f"the limit holds for later lookups: {interrupter.where}"
        assert resolve("a.test") == [LOOPBACK], interrupter.where
    assert at > 20


def settled(where: str) -> None:
    """No lookup is under way, and nobody holds the lock."""
    for thread in threading.enumerate():
        if thread.name == "poollib-lookup":
            thread.join(5)
    assert not dns._lookups.running, where
    with ThreadPoolExecutor(1) as other:
        assert other.submit(dns._lookups.lock.acquire, timeout=1).result(), f"the lock is held: {where}"
        other.submit(dns._lookups.lock.release).result()


@pytest.mark.parametrize("when", ["starting a thread", "asking in the caller's thread"])
def test_who_joined_a_lookup_that_was_interrupted_asks_anew(
    when: str, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = iter([KeyboardInterrupt(), None])
    usual = dns._Lookup.start

    def start(lookup: Any) -> None:
        error = next(tries)
        if error is None:
            usual(lookup)
            return
        joiner.append(threads.submit(resolve, "a.test"))
        joined(1)
        if when == "starting a thread":
            raise error
        lookup.look_up = raising(error)
        lookup.run()

    joiner: list[Future[Any]] = []
    monkeypatch.setattr(dns._Lookup, "start", start)
    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(KeyboardInterrupt):
            resolve("a.test")
        assert joiner[0].result(5) == [LOOPBACK]


def test_a_forked_child_waits_for_no_lookup_of_its_parents(system: System) -> None:
    with hanging(system) as begin:
        waiting = begin("a.test")
        assert system.entered.acquire(timeout=5)
        held = dns._lookups
        dns._reset_after_fork()  # what happens in the child
        try:
            system.go_on.set()
            assert resolve("a.test") == [LOOPBACK]
        finally:
            dns._lookups = held
    assert waiting.result() == [LOOPBACK]
    assert system.asked == ["a.test"] * 2


# Kept answers


def test_fixed_answers_come_before_the_resolver() -> None:
    names = dns.CachingResolver(lambda host, port: [f"asked {host}"], resolve={"A.example": ["127.0.0.9"]})
    assert list(names("a.EXAMPLE", 80)) == ["127.0.0.9"]
    assert list(names("b.example", 80)) == ["asked b.example"]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "BÜCHER.example"),
        ("a.example", "a.example."),
        ("a.example.", "A.example"),
    ],
)
def test_a_host_has_fixed_answers_however_it_is_written(given: str, asked: str) -> None:
    """A URL's host arrives as A-labels, so that the name as people write it was never found."""
    names = dns.CachingResolver(lambda host, port: [], resolve={given: ["127.0.0.9"]})
    assert list(names(asked, 80)) == ["127.0.0.9"]


def test_one_fixed_address_needs_no_list() -> None:
    """Its characters were taken for addresses."""
    names = dns.CachingResolver(resolve={"a.example": "127.0.0.9"})
    assert list(names("a.example", 80)) == ["127.0.0.9"]


class Asked:
    """A resolver that counts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return [f"127.0.0.{len(self.asked)}"]


def test_answers_are_kept_for_their_lifetime_and_no_longer() -> None:
    ask, now = Asked(), [0.0]
    names = dns.CachingResolver(ask, lifetime_s=10, clock=lambda: now[0])
    assert [*names("a", 80), *names("A", 80)] == ["127.0.0.1", "127.0.0.1"]
    now[0] = 10
    assert list(names("a", 80)) == ["127.0.0.2"]
    assert len(ask.asked) == 2


def test_without_a_lifetime_nothing_is_kept() -> None:
    ask = Asked()
    names = dns.CachingResolver(ask)
    assert [*names("a", 80), *names("a", 80)] == ["127.0.0.1", "127.0.0.2"]


def test_the_cache_is_bounded_and_can_forget() -> None:
    """CVE-2026-34513: an unbounded DNS cache."""
    ask = Asked()
    names = dns.CachingResolver(ask, lifetime_s=10, limit=2)
    for host in ("a", "b", "c", "b", "a"):
        names(host, 80)
    assert [host for host, _ in ask.asked] == ["a", "b", "c", "a"]
    names.forget("a")
    names("a", 80)
    names.forget()
    names("a", 80)
    assert len(ask.asked) == 6


def test_a_resolver_pickles_as_its_settings() -> None:
    names = dns.CachingResolver(resolve={"a": ["127.0.0.9"]}, lifetime_s=10)
    names("localhost", 80)
    twin = pickle.loads(pickle.dumps(names))
    assert twin("a", 80) == ("127.0.0.9",)
    assert twin("localhost", 80) == names("localhost", 80)


# urllib3 names


def test_only_ipv4_is_asked_for_where_ipv6_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "HAS_IPV6", False)
    assert dns.allowed_gai_family() == socket.AF_INET
    monkeypatch.setattr(dns, "HAS_IPV6", True)
    assert dns.allowed_gai_family() == socket.AF_UNSPEC
    assert not dns._has_ipv6("no address")


@pytest.mark.parametrize("error", [RuntimeError("A test tried to use socket.socket."), PermissionError()])
def test_the_look_for_ipv6_at_import_lets_no_error_out(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-socket's error is no OSError, and says nothing about IPv6: it may be lifted later."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 in this Python")

    def refuse(*args: object) -> None:
        raise error

    monkeypatch.setattr(socket, "socket", refuse)
    assert dns._has_ipv6("::1") is not isinstance(error, OSError)


def test_this_machines_own_name_is_looked_up_in_the_callers_thread(system: System) -> None:
    """RFC 6761 section 6.3: no name server is asked for it; a thread may come too late for a limit of a millisecond."""
    resolve("localhost")
    assert system.threads == {threading.get_ident()}
    resolve("a.example")
    assert len(system.threads) == 2


def test_an_address_that_cannot_be_bound_is_no_ipv6_whatever_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise RuntimeError("no IPv6 here")

    monkeypatch.setattr(socket, "socket", Refusing)
    assert not dns._has_ipv6("::1")


def test_a_lookup_keeps_no_interpreter_from_ending() -> None:
    """A name server that never answers would."""
    seen: list[bool] = []

    def look_up() -> list[Any]:
        seen.append(threading.current_thread().daemon)
        return [LOOPBACK]

    assert dns.within(LIMIT_S, "of this test", look_up) == [LOOPBACK]
    assert seen == [True]


def test_a_lookup_that_is_over_is_forgotten() -> None:
    """One entry for each name ever asked for would stay."""
    assert dns.within(LIMIT_S, "of this test", lambda: [LOOPBACK]) == [LOOPBACK]
    assert "of this test" not in dns._lookups.by_key
    assert all(not lookup.done.is_set() for lookup in dns._lookups.running)
