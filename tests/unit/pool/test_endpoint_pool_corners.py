"""The lending core where things go wrong at an awkward moment: interrupts, hooks that fail, pools that vanish.

``tests/stress/test_pool_interrupts.py`` interrupts everywhere; here each way back has a test that names it.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import select
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest

from poollib.base import after_fork
from poollib.base.trace import Trace
from poollib.exceptions import EmptyPoolError
from poollib.pool import ConnectionPool, EndpointPool, SharedLimit, housekeeper
from poollib.pool.factories import TcpFactory, TlsFactory, is_readable
from poollib.pool.housekeeper import Housekeeper
from tests.support.certs import certs
from tests.support.httpd import Httpd
from tests.support.pool import CountingFactory, HandClock, Thing, interrupted, until
from tests.unit.base.test_after_fork import in_child


class Interrupting(SharedLimit):
    """A shared_limit with which a Ctrl-C, or anything else, comes when its lock is about to be taken."""

    pauses: list[Callable[[], object] | None]  # what happens the next times; None: nothing

    def reset(self) -> None:
        super().reset()
        self.pauses = []
        self.lock: Any = PausingLock(self, self.lock)

    def interrupt_at(self, turn: int) -> None:
        """Raise KeyboardInterrupt when the lock is taken for the ``turn``-th time from now."""
        self.pauses = [*[None] * (turn - 1), interrupted]


class PausingLock:
    def __init__(self, shared_limit: Interrupting, lock: Any) -> None:
        self.shared_limit, self.lock = shared_limit, lock

    def __enter__(self) -> None:
        if self.shared_limit.pauses and (pause := self.shared_limit.pauses.pop(0)) is not None:
            pause()
        self.lock.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self.lock.__exit__(*exc_info)


def pool_with(
    shared_limit: SharedLimit | None = None, factory: Any = None, **settings: Any
) -> EndpointPool[str, Thing]:
    return EndpointPool(
        "home", factory or CountingFactory(), shared_limit=shared_limit, **{"maxsize": 2, "block": True, **settings}
    )


def is_whole(pool: EndpointPool[str, Thing], free: int = 2) -> bool:
    """Whether the books are right and so many connections can be had, no more."""
    pool.check()
    held = [pool.acquire(0) for _ in range(free)]
    with pytest.raises(EmptyPoolError):
        pool.acquire(0)
    for thing in held:
        pool.release(thing)
    pool.check()
    return len({thing.number for thing in held}) == free


# Interrupts


def test_an_interrupt_just_after_connecting_closes_the_connection() -> None:
    """It is on no list yet: nobody else could."""
    shared_limit = Interrupting()
    pool = pool_with(shared_limit)
    factory: Any = pool.factory
    factory.before_connect = lambda: shared_limit.interrupt_at(1)
    with pytest.raises(KeyboardInterrupt):
        pool.acquire()
    factory.before_connect = None
    assert factory.open == []
    assert is_whole(pool)


def test_an_interrupt_while_an_idle_connection_is_looked_at_closes_it() -> None:
    """Nobody knows how far the look at it came."""
    pool = pool_with()
    factory: Any = pool.factory
    pool.release(pool.acquire())
    factory.usable = interrupted
    with pytest.raises(KeyboardInterrupt):
        pool.acquire()
    del factory.usable
    assert factory.open == []
    assert pool.stats().dropped == {"interrupted": 1}
    assert is_whole(pool)


def test_an_interrupt_while_a_dead_connection_is_closed_frees_its_slot() -> None:
    """It is closed once more, for nobody knows how far the first close came."""
    pool = pool_with()
    factory: Any = pool.factory
    thing = pool.acquire()
    pool.release(thing)
    thing.is_quiet = False
    moments = [interrupted]
    factory.before_close = lambda: moments.pop()() if moments else None
    with pytest.raises(KeyboardInterrupt):
        pool.acquire()
    assert factory.open == []
    assert is_whole(pool)


def test_an_interrupt_before_a_discarded_connection_is_closed_has_it_closed_nevertheless() -> None:
    shared_limit = Interrupting()
    pool = pool_with(shared_limit)
    factory: Any = pool.factory
    thing = pool.acquire()
    shared_limit.interrupt_at(2)
    with pytest.raises(KeyboardInterrupt):
        pool.discard(thing)
    pool.check()
    assert factory.open == []
    assert is_whole(pool)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_the_hook_of_a_return_raises_discards_the_connection(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """An error is logged, for a return must not fail; an interrupt comes through."""

    class Resetting(CountingFactory):
        def on_release(self, connection: Thing) -> None:
            raise error("mine")

    pool = pool_with(factory=Resetting())
    thing = pool.acquire()
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            pool.release(thing)
    else:
        pool.release(thing)
        assert "on_release failed" in caplog.text
    assert not thing.is_open
    assert pool.stats().dropped == {"on_release failed": 1}
    with pytest.raises(ValueError, match="is not lent by"):
        pool.release(thing)
    pool.check()


@pytest.fixture
def no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test sweeps, nobody else."""
    monkeypatch.setattr(housekeeper, "watch", lambda target: None)


@pytest.mark.usefixtures("no_collector")
def test_an_interrupt_while_opening_ahead_closes_the_connection() -> None:
    class Warming(CountingFactory):
        def warm(self, connection: Thing, timeout: float | None) -> None:
            raise KeyboardInterrupt

    pool = pool_with(factory=Warming(), min_idle=1)
    with pytest.raises(KeyboardInterrupt):
        pool.sweep(0.0)
    factory: Any = pool.factory
    assert (len(factory.made), factory.open) == (1, [])
    pool.close()
    pool.check()


# Hooks and listeners


@pytest.mark.usefixtures("no_collector")
def test_a_listener_hears_of_connections_opened_ahead() -> None:
    heard: list[Any] = []

    class Listener(Trace):
        def connection_opened(self, endpoint: object, connection: object) -> None:
            heard.append((endpoint, connection))

    pool = pool_with(min_idle=1, trace=Listener())
    pool.sweep(0.0)
    assert heard == [("home", pool.idle_connections()[0])]
    pool.close()


def test_an_idle_connection_that_was_lent_meanwhile_is_not_probed() -> None:
    """While one connection is looked at, a borrower takes another: that one is left alone, whichever is asked for."""
    for shared in (None, SharedLimit(9)):
        pool = pool_with(shared, maxsize=3)
        factory: Any = pool.factory
        things = [pool.acquire() for _ in range(3)]
        for thing in things:
            pool.release(thing)
        lent: list[Thing] = []

        def usable(connection: Thing, factory: Any = factory, pool: Any = pool, lent: list[Thing] = lent) -> bool:
            factory.usable = lambda one: one.is_open
            lent.append(pool.acquire())
            return False

        factory.usable = usable
        assert pool.drop_unusable() == 1
        assert (lent, things[0].is_open) == ([things[2]], False)
        pool.check()
        pool.release(lent[0])
        assert pool.idle_connections() == [things[1], things[2]]


@pytest.mark.parametrize("many", [False, True])
def test_a_block_may_discard_its_connection_and_then_raise(many: bool) -> None:
    """What was given back is not given back again."""
    factory = CountingFactory()
    pool: Any = ConnectionPool(factory) if many else EndpointPool("home", factory)
    words = ["home"] if many else []
    with pytest.raises(KeyError):
        with pool.connection(*words) as thing:
            pool.discard(thing, "mine")
            raise KeyError
    assert pool.stats().dropped == {"mine": 1}
    pool.check()


def test_waiting_for_a_drain_goes_on_while_older_connections_are_lent() -> None:
    """However long; connections opened since then do not matter, one that is being closed does."""
    pool = pool_with(maxsize=3)
    factory: Any = pool.factory
    old = [pool.acquire(), pool.acquire()]
    assert not pool.drain(0)
    young = pool.acquire()
    drained: list[bool] = []
    waiter = threading.Thread(target=lambda: drained.append(pool.wait_drained(None)), daemon=True)
    waiter.start()
    seen: list[bool] = []
    factory.before_close = lambda: seen.append(pool.wait_drained(0))
    for thing in old:
        pool.release(thing)
    waiter.join(5)
    assert (drained, seen) == ([True], [False, False])
    assert pool.wait_drained(0)
    pool.release(young)
    assert pool.idle_connections() == [young]


# Budgets


def test_two_who_wait_for_a_full_endpoint_do_not_hold_up_a_third() -> None:
    """Whoever can use what became free gets it, in the order of the line."""
    shared_limit = SharedLimit(2)
    full, other = (
        EndpointPool(name, CountingFactory(), maxsize=1, block=True, shared_limit=shared_limit) for name in "ab"
    )
    held, lent = full.acquire(), other.acquire()
    got: list[str] = []

    def borrow(pool: Any, name: str) -> None:
        pool.release(pool.acquire(5))
        got.append(name)

    threads = []
    for pool, name in ((full, "first"), (full, "second"), (other, "third")):
        threads.append(threading.Thread(target=borrow, args=(pool, name), daemon=True))
        threads[-1].start()
        until(lambda: full.waiting + other.waiting == len(threads))
    other.release(lent)
    threads[2].join(5)
    assert got == ["third"]
    full.release(held)
    for thread in threads:
        thread.join(5)
    assert sorted(got) == ["first", "second", "third"]
    full.check()
    other.check()


class Vanishing(SharedLimit):
    """A shared_limit amid whose decisions the garbage collector comes by."""

    collect: Callable[[], object] | None = None

    def _come_by(self) -> None:
        if self.collect is not None:
            collect, self.collect = self.collect, None
            collect()

    @property
    def is_full(self) -> bool:
        self._come_by()
        return super().is_full

    @property
    def is_exceeded(self) -> bool:
        self._come_by()
        return super().is_exceeded


@pytest.mark.parametrize("moment", ["acquire", "resize"])
def test_a_pool_that_vanishes_amid_a_decision_is_left_out_of_it(moment: str) -> None:
    """Its finaliser closes what it had as soon as the lock is free; nobody closes it twice, no slot is lost."""
    factory = CountingFactory()
    shared_limit = Vanishing(2)
    many: ConnectionPool[str, Thing] = ConnectionPool(factory, total_maxsize=2, block=True)
    many._shared = shared_limit
    doomed: list[Any] = [EndpointPool("doomed", factory, shared_limit=shared_limit)]
    kept = EndpointPool("kept", factory, shared_limit=shared_limit)
    for pool in (*doomed, kept):
        pool.release(pool.acquire())

    def collect() -> None:
        doomed.clear()
        gc.collect()

    shared_limit.collect = collect
    if moment == "acquire":
        mine = EndpointPool("mine", factory, maxsize=1, block=True, shared_limit=shared_limit)
        mine.release(mine.acquire(1))
        assert [thing.endpoint for thing in factory.open] == ["mine"]
    else:
        many.resize_total(1)
        assert [thing.endpoint for thing in factory.open] == ["kept"]
    assert shared_limit.used == len(factory.open)
    assert len({thing.number for thing in factory.closed}) == len(factory.closed)
    kept.check()


def test_a_pool_that_vanishes_while_its_connection_is_lent_lets_the_next_in_line_go_on() -> None:
    shared_limit = SharedLimit(1)
    factory = CountingFactory()
    doomed: list[Any] = [EndpointPool("doomed", factory, shared_limit=shared_limit)]
    doomed[0].acquire()
    other = EndpointPool("other", factory, shared_limit=shared_limit)
    got: list[Thing] = []
    waiter = threading.Thread(target=lambda: got.append(other.acquire(5)), daemon=True)
    waiter.start()
    until(lambda: other.waiting == 1)
    doomed.clear()
    gc.collect()
    waiter.join(5)
    assert [thing.endpoint for thing in got] == ["other"]
    other.release(got[0])
    other.check()


def test_an_error_while_a_vanished_pools_connection_is_closed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    factory = CountingFactory()
    pool: Any = EndpointPool("home", factory)
    pool.release(pool.acquire())
    factory.before_close = lambda: 1 / 0
    del pool
    gc.collect()
    assert "closing <Thing 1> failed" in caplog.text


def test_racing_threads_get_the_same_pool_for_a_new_endpoint() -> None:
    """The other one was quicker by the time the lock was taken."""
    pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), maxsize=1)
    shared_limit = pool._shared = Interrupting()
    shared_limit.pauses = [lambda: pool.release(pool.acquire("home"))]
    thing = pool.acquire("home")
    assert thing.number == 1
    assert list(pool.stats_by_endpoint()) == ["home"]
    pool.release(thing)
    pool.check()


def test_a_shared_limit_pickles_as_its_number() -> None:
    shared_limit = SharedLimit(7)
    pool = pool_with(shared_limit)
    thing = pool.acquire()
    copy = pickle.loads(pickle.dumps(shared_limit))
    assert (copy.limit, copy.used, shared_limit.used) == (7, 0, 1)
    pool.release(thing)


def test_a_closed_pool_is_swept_no_more() -> None:
    pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), clock=HandClock())
    assert pool.sweep(0.0) is None or pool.sweep(0.0) > 0
    pool.close()
    assert pool.sweep(0.0) is None


def test_who_vanishes_before_being_asked_is_forgotten() -> None:
    """The collector holds its pools weakly, and its thread ends with the last of them."""

    class PatchedClass:
        def sweep(self, now: float) -> float | None:
            raise AssertionError("it is gone")

    own = Housekeeper()
    watched = PatchedClass()
    reference = ref(watched)
    own._due[reference] = 0.0
    del watched
    gc.collect()
    own._sweep(reference)
    assert own._due == {}


# Sockets


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certs().ca_file)


def test_tls_without_a_limit_of_time() -> None:
    """The handshake takes as long as it takes, and the socket blocks for its borrowers."""
    factory = TlsFactory(context=trusting(), server_hostname="localhost")
    with Httpd(tls=certs().server()) as server:
        sock: Any = factory.connect((server.host, server.port), None)
        assert (sock.gettimeout(), factory.usable(sock)) == (None, True)
        factory.close(sock)
        assert not factory.usable(sock)


def test_a_tls_socket_on_which_nonsense_came_is_not_usable() -> None:
    here, there = socket.socketpair()
    factory = TlsFactory(context=trusting())
    with here, there, factory.context.wrap_socket(here, do_handshake_on_connect=False, server_hostname="x") as broken:
        assert factory.usable(broken)
        there.sendall(b"no TLS at all, whatever it may be")
        assert not factory.usable(broken)


def test_without_poll_a_socket_is_looked_at_by_select(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll")
    here, there = socket.socketpair()
    with here, there:
        assert not is_readable(here)
        assert TcpFactory().usable(here)
        there.send(b"x")
        assert is_readable(here)
        assert not TcpFactory().usable(here)


# Forks


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_one_pool_that_can_not_start_afresh_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """In the child: of three, one's own trouble and a connection's are logged, and all of the rest work."""

    class Stubborn:
        def _reset_after_fork(self) -> None:
            raise OSError("no")

    class Clinging(CountingFactory):
        def forget(self, connection: Thing) -> None:
            raise OSError("never")

    stubborn = Stubborn()
    after_fork.remember(stubborn)
    clinging = pool_with(factory=Clinging())
    pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), total_maxsize=2)
    kept = [pool.acquire("a"), pool.acquire("b"), clinging.acquire()]

    def look() -> Any:
        logged = sorted(record.getMessage().partition(" ")[2] for record in caplog.records)
        fresh = [pool.acquire("a", 0), pool.acquire("b", 0), clinging.acquire(0)]
        pool.check()
        return len({*fresh} & {*kept}), [text[-30:] for text in logged]

    with caplog.at_level(logging.WARNING, "poollib"):
        answer = in_child(look)
    assert answer.startswith("(0, [")
    assert "afresh after a fork" in answer
    assert "failed" in answer
    for thing, home in zip(kept, (pool, pool, clinging), strict=True):
        home.release(thing)  # type: ignore[attr-defined]


# Several at once


def test_a_connection_too_many_is_closed_without_a_word_where_nobody_asked_for_one() -> None:
    """No ``on_full`` of the pool or the factory."""
    pool = pool_with(maxsize=1, block=False)
    things = [pool.acquire(), pool.acquire()]
    for thing in things:
        pool.release(thing)
    assert ([thing.is_open for thing in things], pool.stats().dropped) == ([True, False], {"pool full": 1})
    pool.check()


def test_everybody_who_waits_for_the_end_hears_of_it() -> None:
    pool = pool_with()
    thing = pool.acquire()
    pool.close()
    over: list[bool] = []
    waiters = [threading.Thread(target=lambda: over.append(pool.wait_closed(5)), daemon=True) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    until(lambda: len(pool._drain_waiters or ()) == 3)
    pool.release(thing)
    for waiter in waiters:
        waiter.join(5)
    assert over == [True] * 3


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_pool_that_vanishes_while_others_start_afresh_is_passed_over() -> None:
    """In a child, one pool may have held the last reference to another."""

    class Holder:
        other: Holder | None = None
        started = 0

        def _reset_after_fork(self) -> None:
            Holder.started += 1
            holders.clear()

    holders = [Holder(), Holder()]
    for holder in holders:
        after_fork.remember(holder)
    del holder
    assert in_child(lambda: Holder.started) == "1"
    assert (len(holders), Holder.started) == (2, 0)


@pytest.mark.parametrize("timeout", [-1, -0.5, float("nan")])
def test_nobody_waits_for_less_than_no_time(timeout: float) -> None:
    """To a lock -1 means to wait for ever."""
    pool = pool_with()
    held = [pool.acquire(), pool.acquire()]
    with pytest.raises(ValueError, match="at least 0"):
        pool.acquire(timeout)
    for thing in held:
        pool.release(thing)
    assert is_whole(pool)


def test_a_pool_that_outlives_its_module_says_nothing_at_the_exit() -> None:
    """The interpreter sets a module's names to None before it drops what others still hold."""
    program = """
import sys, threading
from poollib.pool import EndpointPool, endpoint_pool
from tests.support.pool import CountingFactory
pool = EndpointPool("home", CountingFactory(), maxsize=1)
endpoint_pool.kept = endpoint_pool
threading.kept = [sys.modules["__main__"], lambda: pool]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True)
    assert done.stderr == b""


def test_a_pool_that_lives_to_the_end_closes_what_lies_idle_at_the_exit() -> None:
    """No socket complains (ResourceWarning); urllib3 is silent, too."""
    program = """
import socket
import poollib
from poollib.pool import ConnectionPool
from poollib.pool.factories import TcpFactory
server = socket.create_server(("127.0.0.1", 0))
tcp = ConnectionPool(TcpFactory())
tcp.release(tcp.acquire(server.getsockname()))
http = poollib.HTTPConnectionPool(*server.getsockname())
conn = http._get_conn()
conn.connect()
conn.exchange_state = type(conn.exchange_state).IDLE
http._endpoint_pool.release(conn)
server.close()
assert (tcp.stats().idle, http.stats()["idle"]) == (1, 1)
"""
    command = [sys.executable, "-X", "dev", "-W", "always", "-c", program]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True, text=True)
    assert done.stderr == ""
