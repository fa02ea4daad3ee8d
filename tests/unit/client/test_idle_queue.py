"""idlequeue: what recorders and SDKs do with urllib3's pool.pool works on the lending core."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import pytest

from poollib import HTTPConnectionPool
from poollib.connection import HTTPConnection
from poollib.exceptions import ClosedPoolError, FullPoolError
from tests.support.httpd import Httpd


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
        assert (pool.pool.qsize(), pool._endpoint_pool.leased) == (1, 1)
        pool.pool.put(connection)
        assert (pool.pool.qsize(), pool._endpoint_pool.leased, pool._endpoint_pool.idle) == (2, 0, 1)
        assert pool.pool.queue == [None, connection]
        assert pool._get_conn() is connection
        pool._put_conn(connection)
        pool._endpoint_pool.check()


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
        assert (len(taken), pool.pool.qsize(), pool._endpoint_pool.leased) == (3, 3, 0)
        pool._endpoint_pool.check()


def test_a_connection_made_elsewhere_takes_the_place_of_the_one_taken() -> None:
    """An SDK that fills the pool with warm connections of its own."""
    with HTTPConnectionPool("localhost", 1, maxsize=1, block=True) as pool:
        assert pool.pool is not None
        pool.pool.get()
        own = pool._new_conn()
        pool.pool.put(own)
        assert (pool._endpoint_pool.leased, pool.pool.queue) == (0, [own])
        assert pool._get_conn() is own
        pool._put_conn(own)
        pool._endpoint_pool.check()


def test_none_gives_a_slot_back() -> None:
    """As urllib3's queue takes it."""
    with HTTPConnectionPool("localhost", 1, maxsize=1, block=True) as pool:
        assert pool.pool is not None
        pool.pool.get()
        pool.pool.put(None)
        assert (pool._endpoint_pool.leased, pool._endpoint_pool.idle, pool.pool.qsize()) == (0, 0, 1)


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


# -- a queue that a program has chosen --


class Hooked(queue.LifoQueue[Any]):
    """A queue in which something happens just before a connection is put."""

    before_put: Callable[[], object] | None = None

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        hook, self.before_put = self.before_put, None
        if hook is not None:
            hook()
        super().put(item, block, timeout)


def chosen(**options: Any) -> HTTPConnectionPool:
    class Pool(HTTPConnectionPool):
        QueueCls = Hooked

    return Pool("localhost", 1, **options)


@pytest.mark.parametrize("block", [True, False])
@pytest.mark.parametrize("maxsize", [1, 2])
def test_a_close_while_a_connection_is_returned_closes_that_one_too(block: bool, maxsize: int) -> None:
    """It was put into a queue that nobody looked into any more, or FullPoolError told of a queue that was full."""
    pool = chosen(maxsize=maxsize, block=block)
    conn = pool._get_conn()
    pool.pool.before_put = pool.close  # type: ignore[union-attr]
    pool._put_conn(conn)
    assert pool._endpoint_pool.connections() == []
    assert pool._endpoint_pool.state.value == "closed"


def test_a_connection_put_into_the_queue_behind_the_look_of_a_close_is_closed() -> None:
    """The queue has room for it in between: the places that were emptied are filled last."""
    pool = chosen(maxsize=1, block=True)
    conn = pool._get_conn()
    pool.pool.before_put = pool._endpoint_pool._start_closing  # type: ignore[union-attr]
    pool._put_conn(conn)
    assert pool._endpoint_pool.connections() == []
    pool.close()


def test_who_gets_a_connection_of_a_pool_that_is_closed_meanwhile_is_told() -> None:
    pool = chosen(maxsize=1, block=True)
    pool._put_conn(pool._get_conn())
    lending = pool._endpoint_pool
    lending._start_closing()  # the first step of close()
    with pytest.raises(ClosedPoolError):
        pool._get_conn(timeout=1)
    get = lending.queue.get  # type: ignore[attr-defined]
    assert get(block=False) is not None
    pool.close()


def test_a_second_return_does_not_lend_a_connection_to_two() -> None:
    pool = chosen(maxsize=2, block=True)
    conn = pool._get_conn()
    pool._put_conn(conn)
    with pytest.raises(FullPoolError, match="returned twice"):
        pool._put_conn(conn)
    assert {pool._get_conn(timeout=0.1), pool._get_conn(timeout=0.1)} > {conn}
    pool.close()


def test_an_acquire_that_fails_gives_its_place_back() -> None:
    pool = chosen(maxsize=1, block=True)

    def fail() -> None:
        raise OSError("no")

    pool._new_conn = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no"):
        pool._get_conn(timeout=0.1)
    assert pool.pool is not None
    assert pool.pool.qsize() == 1
    pool.close()


def test_a_refresh_closes_what_the_queue_holds_and_keeps_its_places() -> None:
    pool = chosen(maxsize=2, block=True)
    one, two = pool._get_conn(), pool._get_conn()
    pool._put_conn(one)
    assert pool.refresh() == 1
    assert pool._endpoint_pool.connections() == [two]
    assert pool._get_conn(timeout=0.1) is not one
    pool.close()


def test_a_finaliser_inside_the_lock_returns_to_the_queue_once() -> None:
    """A discard put off until the lock is free gave its place back twice."""
    pool = chosen(maxsize=2, block=True)
    conn, _ = pool._get_conn(), pool._get_conn()
    lending = pool._endpoint_pool
    with lending._shared, lending._lock:
        lending.discard(conn)
    assert (lending.leased, lending.idle) == (1, 0)
    assert pool.pool is not None
    assert pool.pool.qsize() == 1
    pool.close()


def test_a_signal_handler_may_use_the_view_that_it_interrupted() -> None:
    """The view has no lock of its own: a handler or finaliser runs in the very thread that would hold it."""
    with HTTPConnectionPool("localhost", 1, maxsize=1, block=True) as pool:
        view = pool.pool
        assert view is not None
        with view.mutex:
            view.put(view.get(timeout=1))
        assert view.qsize() == 1


def test_a_detached_connection_is_no_longer_the_pools() -> None:
    pool = chosen(maxsize=1, block=True)
    conn = pool._get_conn()
    assert pool._endpoint_pool.detach(conn) is conn
    assert (pool._endpoint_pool.connections(), pool._endpoint_pool.leased) == ([], 0)
    assert pool._get_conn(timeout=1) is not conn
    pool.close()


def test_who_gets_a_kept_connection_finds_the_leak_of_another(caplog: pytest.LogCaptureFixture) -> None:
    """Without a background thread, and with a queue of the program's own."""

    class Pool(HTTPConnectionPool):
        QueueCls = Hooked

    with Httpd() as server, Pool(server.host, server.port, maxsize=3, leak_timeout=60) as pool:
        now = [1000.0]
        pool._endpoint_pool._clock = lambda: now[0]
        held: list[Any] = [pool.request("GET", "/", preload_content=False)]
        pool.request("GET", "/")
        now[0] += 61
        assert pool.stats()["leaks"] == 0
        opened = pool.num_connections
        pool.request("GET", "/")
        assert pool.num_connections == opened
        assert "is held for 61 s" in caplog.text
        held.pop().drain_conn()
