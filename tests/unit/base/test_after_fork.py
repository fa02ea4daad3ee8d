"""Forked children start clean: they use nothing of the parent's and tell its peers nothing."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import queue
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from poollib import HTTPConnectionPool
from poollib.base import after_fork
from poollib.pool import ConnectionPool, EndpointPool, SharedLimit, housekeeper
from poollib.pool.factories import TcpFactory
from tests.support.forks import in_child
from tests.support.pool import CountingFactory, Thing, until

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


class Forgetful(CountingFactory):
    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[Thing] = []

    def forget(self, connection: Thing) -> None:
        self.forgotten.append(connection)


class LifoPool(HTTPConnectionPool):
    QueueCls = type("Chosen", (queue.LifoQueue,), {})


@contextlib.contextmanager
def held_elsewhere(lock: Any) -> Iterator[None]:
    """Another thread has the lock."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            let_go.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    try:
        yield
    finally:
        let_go.set()
        holder.join(5)


def test_a_child_starts_with_an_empty_pool() -> None:
    factory = Forgetful()
    pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=2, block=True)
    one, two = pool.acquire(), pool.acquire()
    pool.release(one)

    def look() -> Any:
        pool.check()
        forgotten = [thing.number for thing in factory.forgotten]
        fresh = pool.acquire(0)
        return forgotten, factory.closed, fresh.number, pool.leased, pool.stats().total

    assert in_child(look) == "([1, 2], [], 3, 1, 1)"
    assert pool.acquire(0) is one
    assert two.is_open


def test_a_late_return_in_the_child_is_let_go() -> None:
    """A response the child inherited may be finalised there."""
    pool: EndpointPool[str, Thing] = EndpointPool("home", Forgetful(), maxsize=3)
    one, two = pool.acquire(), pool.acquire()

    def return_both() -> Any:
        pool.release(one)
        pool.discard(two, "unread")
        return pool.stats().total

    assert in_child(return_both) == "0"
    assert pool.leased == 2


def test_locks_held_at_the_fork_are_new_in_the_child() -> None:
    pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), total_maxsize=1)
    pool.release(pool.acquire("a"))
    with held_elsewhere(pool.shared_limit.lock):
        assert in_child(lambda: pool.acquire("b", 1).number) == "2"
    pool.check()


def test_a_shared_lock_held_at_the_fork_is_new_in_the_child_before_there_is_a_pool() -> None:
    """Nothing but the shared limit itself could make it anew: the child's first request hung."""
    pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), total_maxsize=1)
    with held_elsewhere(pool.shared_limit.lock):
        assert in_child(lambda: pool.acquire("b", 1).number) == "1"
    pool.check()


def test_pools_of_one_limit_have_one_lock_in_the_child() -> None:
    shared_limit = SharedLimit(2)
    pools = [EndpointPool(name, CountingFactory(), maxsize=2, shared_limit=shared_limit) for name in "ab"]
    for pool in pools:
        pool.release(pool.acquire())

    def look() -> Any:
        locks = {id(pool._lock) for pool in pools} | {id(shared_limit.lock)}
        for pool in pools:
            pool.release(pool.acquire(0))
            pool.check()
        return len(locks), shared_limit.used

    with held_elsewhere(shared_limit.lock):
        assert in_child(look) == "(1, 2)"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="takes fork out of the C library")
class TestForksByC:
    """uWSGI forks in C and calls no hooks, unless told so: a child used its parent's connections."""

    @staticmethod
    def fork() -> int:
        return int(ctypes.PyDLL(None).fork())  # PyDLL keeps the interpreter's lock, as os.fork does

    def test_it_is_noticed_where_a_connection_is_lent(self) -> None:
        pool: EndpointPool[str, Thing] = EndpointPool("home", Forgetful(), maxsize=2, block=True)
        pool.release(pool.acquire())
        assert in_child(lambda: (pool.acquire(0).number, pool.stats().total), self.fork) == "(2, 1)"
        assert pool.acquire(0).number == 1

    def test_it_is_noticed_by_a_chosen_queue(self) -> None:
        pool = LifoPool("localhost", 1, maxsize=1, block=True)
        conn = pool._get_conn()
        pool._put_conn(conn)
        assert in_child(lambda: pool._get_conn(0) is conn, self.fork) == "False"
        assert pool._get_conn(0) is conn
        pool._put_conn(conn)
        pool.close()

    def test_it_is_noticed_by_the_number_of_the_process_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no page of memory tells."""
        monkeypatch.setattr(after_fork, "same_process", after_fork.ProcessNumber())
        self.test_it_is_noticed_where_a_connection_is_lent()
        monkeypatch.setattr(after_fork, "MADV_WIPEONFORK", -1)
        assert isinstance(after_fork._new_mark(), after_fork.ProcessNumber)

    def test_what_the_child_made_itself_stays(self) -> None:
        """A pool that is made first in the child has others caught up before, not with it."""
        pool: EndpointPool[str, Thing] = EndpointPool("home", Forgetful())
        pool.release(pool.acquire())

        def look() -> Any:
            own: EndpointPool[str, Thing] = EndpointPool("own", Forgetful())
            own.acquire()
            return pool.acquire().number, own.leased

        assert in_child(look, self.fork) == "(2, 1)"

    def test_what_modules_keep_is_reset_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The lock of the TLS contexts, lookups under way: they stayed as they were."""
        told: list[str] = []
        monkeypatch.setattr(after_fork, "_modules", list(after_fork._modules))
        after_fork.register(lambda: told.append("module"))
        pool: EndpointPool[str, Thing] = EndpointPool("home", Forgetful())
        pool.release(pool.acquire())
        assert in_child(lambda: (pool.acquire().number, told), self.fork) == "(2, ['module'])"

    def test_the_housekeeper_is_the_childs_own(self) -> None:
        """Without a thread in the parent: after such a fork the interpreter's own lock is as it was."""
        parents = housekeeper._the_housekeeper()
        assert not parents.is_running
        assert in_child(lambda: housekeeper._the_housekeeper() is parents, self.fork) == "False"


def test_modules_are_reset_first_then_objects_as_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that pools share is new before those pools take its lock."""
    told: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def _reset_after_fork(self) -> None:
            told.append(self.name)

    monkeypatch.setattr(after_fork, "_modules", list(after_fork._modules))
    kept = [Named(f"object {number}") for number in range(20)]
    for named in kept:
        after_fork.remember(named)
    after_fork.register(lambda: told.append("module"))
    assert in_child(lambda: told) == str(["module", *(named.name for named in kept)])


def test_what_is_remembered_twice_is_reset_once_and_forgotten_when_it_is_gone() -> None:
    told: list[str] = []

    class Kept:
        def _reset_after_fork(self) -> None:
            told.append("once")

    thing = Kept()
    reference = after_fork.remember(thing)
    assert after_fork.remember(thing) is reference
    assert in_child(lambda: told) == "['once']"
    assert reference in after_fork._objects
    del thing
    gc.collect()
    assert reference() is None
    assert not [each for each in after_fork._objects if each is reference]


def test_nobody_waits_in_the_child() -> None:
    pool: EndpointPool[str, Thing] = EndpointPool("home", CountingFactory(), block=True)
    thing = pool.acquire()
    waiter = threading.Thread(target=pool.acquire, args=(5,))
    waiter.start()
    until(lambda: pool.waiting == 1)
    try:
        assert in_child(lambda: (pool.waiting, pool.acquire(0).number)) == "(0, 2)"
    finally:
        pool.release(thing)
        waiter.join(5)
    pool.check()


def test_the_housekeeper_runs_in_the_child_only_if_asked_again() -> None:
    pool: EndpointPool[str, Thing] = EndpointPool("home", CountingFactory(), background_collector=True)

    def ask() -> Any:
        before = housekeeper.is_running()
        pool.acquire()
        return before, housekeeper.is_running()

    assert in_child(ask) == "(False, True)"
    pool.close()


def test_the_parents_socket_stays_alive_and_its_peer_hears_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        pool: EndpointPool[Any, socket.socket] = EndpointPool(server.getsockname(), TcpFactory(), maxsize=2)
        idle, lent = pool.acquire(), pool.acquire()
        pool.release(idle)
        peers = [server.accept()[0] for _ in range(2)]

        def look() -> Any:
            gone = (idle.fileno(), lent.fileno())
            pool.close()
            return gone

        assert in_child(look) == "(-1, -1)"
        for peer in peers:
            peer.settimeout(0)
            with pytest.raises(BlockingIOError):
                peer.recv(1)
        assert pool.acquire() is idle
        idle.sendall(b"x")
        pool.discard(idle)
        pool.discard(lent)
        for peer in peers:
            peer.close()


def test_grandchildren_start_clean_too() -> None:
    pool: EndpointPool[str, Thing] = EndpointPool("home", Forgetful())
    pool.release(pool.acquire())

    def fork_again() -> Any:
        pool.release(pool.acquire())
        return in_child(lambda: (pool.idle, pool.acquire().number))

    assert in_child(fork_again) == "(0, 3)"


class Numbers:
    """A factory that can be imported by a spawned process."""

    def connect(self, endpoint: int, timeout: float | None) -> int:
        return endpoint * 1000 + os.getpid() % 2

    def usable(self, connection: int) -> bool:
        return True

    def close(self, connection: int) -> None:
        pass


def borrow(pool: ConnectionPool[int, int]) -> tuple[int, int]:
    with pool.connection(7) as number:
        return number // 1000, pool.stats().leased


@pytest.mark.slow
@pytest.mark.may_leave("multiprocessing's resource tracker")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_carries_pools(method: str) -> None:
    context = multiprocessing.get_context(method)
    pool: ConnectionPool[int, int] = ConnectionPool(Numbers(), maxsize=2)
    with context.Pool(2) as workers:
        assert workers.map(borrow, [pool] * 4) == [(7, 1)] * 4
        workers.close()
        workers.join()


def test_no_garbage_is_collected_before_everything_is_reset() -> None:
    """A finaliser gave a connection back to a pool whose lock a thread of the parent held: the child hung."""
    seen: list[bool] = []

    class Looking:
        def _reset_after_fork(self) -> None:
            seen.append(gc.isenabled())

    looking = Looking()
    after_fork.remember(looking)
    assert in_child(lambda: (seen, gc.isenabled())) == "([False], True)"
