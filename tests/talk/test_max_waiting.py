"""``max_waiting=``: who comes when so many wait for a connection is refused at once, with the pool's numbers."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import poollib
from poollib import HTTPConnectionPool, PoolManager
from poollib.exceptions import ClosedPoolError, EmptyPoolError, TooManyWaitingError
from poollib.pool import ConnectionPool
from tests.support.httpd import Httpd, Response


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd({"/": lambda _: Response(b"ok")}) as httpd:
        yield httpd


def asked(pool: HTTPConnectionPool, results: list[Any]) -> threading.Thread:
    """A thread that has asked for a connection and waits for it."""

    def ask() -> None:
        try:
            results.append(pool.request("GET", "/").data)
        except ClosedPoolError as error:
            results.append(error)

    before = pool.stats()["waiting"]
    thread = threading.Thread(target=ask)
    thread.start()
    while pool.stats()["waiting"] == before:
        time.sleep(0.001)
    return thread


def test_the_next_one_is_refused_at_once_and_those_who_wait_are_served(server: Httpd) -> None:
    told: list[tuple[str, Any]] = []

    class Told(poollib.Trace):
        def connection_wait_refused(self, endpoint: object, waiting: int) -> None:
            told.append(("refused", waiting))

    with HTTPConnectionPool(server.host, server.port, block=True, max_waiting=2, trace=Told()) as pool:
        held, results = pool._get_conn(), list[Any]()
        threads = [asked(pool, results) for _ in range(2)]
        for _ in range(3):
            with pytest.raises(
                TooManyWaitingError,
                match="no more than 2 may wait for a connection: 1 of 1 leased, 0 idle, 0 opening, 2",
            ) as caught:
                pool.request("GET", "/")
        error = caught.value
        assert isinstance(error, EmptyPoolError)
        assert (error.pool, error.waiting, error.leased, error.limit, error.waited_s) == (pool, 2, 1, 1, 0.0)
        assert error.phase == "waiting for a connection"
        assert pickle.loads(pickle.dumps(error)).waiting == 2
        stats = pool.stats()
        assert (stats["refused"], stats["timeouts"], stats["waiting"]) == (3, 0, 2)
        assert told == [("refused", 2)] * 3
        pool._put_conn(held)
        for thread in threads:
            thread.join(30)
        assert results == [b"ok"] * 2
        assert pool.request("GET", "/").data == b"ok"


def test_with_zero_nobody_waits(server: Httpd) -> None:
    with HTTPConnectionPool(server.host, server.port, block=True, max_waiting=0) as pool:
        assert pool.request("GET", "/").data == b"ok"
        held = pool._get_conn()
        with pytest.raises(TooManyWaitingError):
            pool.request("GET", "/")
        pool._put_conn(held)
        assert pool.request("GET", "/").data == b"ok"


def test_who_gave_up_or_was_closed_out_counts_no_more(server: Httpd) -> None:
    with HTTPConnectionPool(server.host, server.port, block=True, max_waiting=1) as pool:
        held, results = pool._get_conn(), list[Any]()
        for _ in range(2):
            with pytest.raises(EmptyPoolError) as caught:
                pool.request("GET", "/", pool_timeout=0.001)
            assert type(caught.value) is EmptyPoolError
        thread = asked(pool, results)
        pool.close()
        thread.join(30)
        assert isinstance(results[0], ClosedPoolError)
        pool._put_conn(held)


def test_a_managers_pools_have_it_each_and_its_stats_count_it(server: Httpd) -> None:
    with Httpd({"/": lambda _: Response(b"ok")}) as other:
        with PoolManager(block=True, total_maxsize=1, max_waiting=0) as manager:
            with manager.request("GET", server.url + "/", preload_content=False):
                for url in (server.url, other.url):  # the second waits for the total limit
                    with pytest.raises(TooManyWaitingError):
                        manager.request("GET", url + "/")
            assert manager.request("GET", other.url + "/").data == b"ok"
            assert manager.stats()["total"]["refused"] == 2
            plain = manager.connection_from_url(other.url, {"max_waiting": 5})
            assert plain is not manager.connection_from_url(other.url)
            assert pickle.loads(pickle.dumps(plain))._endpoint_pool.settings.max_waiting == 5


def test_pools_of_anything_have_it_too() -> None:
    class Numbers:
        def connect(self, endpoint: str, timeout: float | None) -> object:
            return object()

        def usable(self, connection: object) -> bool:
            return True

        def close(self, connection: object) -> None:
            pass

    pool: ConnectionPool[str, object] = ConnectionPool(Numbers(), maxsize=1, block=True, max_waiting=0)
    with pool.connection("a"), pytest.raises(TooManyWaitingError), pool.connection("a"):
        pass
    assert pool.stats().refused == 1
    pool.close()


@pytest.mark.parametrize(("wrong", "kind"), [(-1, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_what_is_no_count_is_refused_by_name(wrong: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="max_waiting must be"):
        HTTPConnectionPool("h.example", max_waiting=wrong)


def test_a_queue_of_a_programs_own_cannot_count_who_waits() -> None:
    import queue

    class Own(HTTPConnectionPool):
        class QueueCls(queue.LifoQueue):  # type: ignore[type-arg]
            pass

    with pytest.raises(ValueError, match="max_waiting: with a QueueCls"):
        Own("h.example", max_waiting=1)
