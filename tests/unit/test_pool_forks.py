"""Forked children start clean: they use nothing of the parent's and tell its peers nothing."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from typing import Any

import pytest

from poollib.pool import ConnectionPool, EndpointPool, collector
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
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with pool.budget.lock:
            held.set()
            let_go.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    try:
        assert in_child(lambda: pool.acquire("b", 1).number) == "2"
    finally:
        let_go.set()
        holder.join(5)
    pool.check()


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


def test_the_collector_runs_in_the_child_only_if_asked_again() -> None:
    pool: EndpointPool[str, Thing] = EndpointPool("home", CountingFactory(), background_collector=True)

    def ask() -> Any:
        before = collector.is_running()
        pool.acquire()
        return before, collector.is_running()

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
