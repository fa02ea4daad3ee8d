"""idlequeue: what recorders and SDKs do with urllib3's pool.pool works on the lending core."""

from __future__ import annotations

import queue

import pytest

from poollib import HTTPConnectionPool
from poollib.connection import HTTPConnection


def test_it_is_a_queue_as_long_as_maxsize() -> None:
    """isinstance, maxsize and qsize, as urllib3's with its None for each slot."""
    with HTTPConnectionPool("localhost", 1, maxsize=3) as pool:
        view = pool.pool
        assert isinstance(view, queue.LifoQueue)
        assert pool.pool is view
        assert (view.maxsize, view.qsize(), view.empty(), view.full()) == (3, 3, False, True)
        assert view.queue == [None, None, None]


def test_getting_leases_and_putting_gives_back() -> None:
    """The two ways to a connection can't disagree."""
    with HTTPConnectionPool("localhost", 1, maxsize=2, block=True) as pool:
        assert pool.pool is not None
        connection = pool.pool.get()
        assert isinstance(connection, HTTPConnection)
        assert (pool.pool.qsize(), pool._lending.leased) == (1, 1)
        pool.pool.put(connection)
        assert (pool.pool.qsize(), pool._lending.leased, pool._lending.idle) == (2, 0, 1)
        assert pool.pool.queue == [None, connection]
        assert pool._get_conn() is connection
        pool._put_conn(connection)
        pool._lending.check()


def test_draining_it_and_putting_all_back_changes_nothing() -> None:
    """What a recorder does when its cassette is ejected."""
    with HTTPConnectionPool("localhost", 1, maxsize=3, block=True) as pool:
        assert pool.pool is not None
        taken = []
        while not pool.pool.empty():
            taken.append(pool.pool.get())
        with pytest.raises(queue.Empty):
            pool.pool.get(block=False)
        with pytest.raises(queue.Empty):
            pool.pool.get(timeout=0.01)
        for connection in taken:
            pool._put_conn(connection)
        assert (len(taken), pool.pool.qsize(), pool._lending.leased) == (3, 3, 0)
        pool._lending.check()


def test_a_connection_made_elsewhere_takes_the_place_of_the_one_taken() -> None:
    """An SDK that fills the pool with warm connections of its own."""
    with HTTPConnectionPool("localhost", 1, maxsize=1, block=True) as pool:
        assert pool.pool is not None
        pool.pool.get()
        own = pool._new_conn()
        pool.pool.put(own)
        assert (pool._lending.leased, pool.pool.queue) == (0, [own])
        assert pool._get_conn() is own
        pool._put_conn(own)
        pool._lending.check()


def test_none_gives_a_slot_back() -> None:
    """As urllib3's queue takes it."""
    with HTTPConnectionPool("localhost", 1, maxsize=1, block=True) as pool:
        assert pool.pool is not None
        pool.pool.get()
        pool.pool.put(None)
        assert (pool._lending.leased, pool._lending.idle, pool.pool.qsize()) == (0, 0, 1)


def test_a_full_queue_takes_no_stranger() -> None:
    """``queue.Full``, and the stranger stays the caller's."""
    with HTTPConnectionPool("localhost", 1, maxsize=1, block=True) as pool:
        assert pool.pool is not None
        pool.pool.put(pool._new_conn())
        with pytest.raises(queue.Full):
            pool.pool.put_nowait(pool._new_conn())
        assert pool.pool.qsize() == 1


def test_a_closed_pool_has_no_queue() -> None:
    """As in urllib3, where pool is None then."""
    pool = HTTPConnectionPool("localhost", 1)
    view = pool.pool
    assert view is not None
    pool.close()
    assert pool.pool is None
    with pytest.raises(queue.Full):
        view.put(pool._new_conn())


def test_get_nowait_does_not_wait() -> None:
    """As a queue's."""
    with HTTPConnectionPool("localhost", 1, maxsize=1, block=True) as pool:
        assert pool.pool is not None
        taken = pool.pool.get_nowait()
        with pytest.raises(queue.Empty):
            pool.pool.get_nowait()
        pool.pool.put_nowait(taken)
        assert pool.pool.qsize() == 1
