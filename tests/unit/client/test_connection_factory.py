"""supply: where a pool's connections come from, when the pool, the socket or the counts are not there."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import pytest

from poollib import HTTPConnectionPool
from poollib.connection import HTTPConnection
from tests.support.httpd import Httpd, Request, Response
from tests.unit.base.test_after_fork import in_child


def test_who_keeps_the_lending_but_not_the_pool_gets_no_connection() -> None:
    """The pool is what makes them."""
    pool: Any = HTTPConnectionPool("localhost", 1)
    lending = pool._endpoint_pool
    del pool
    gc.collect()
    with pytest.raises(ReferenceError, match="the pool is gone"):
        lending.acquire()
    assert (lending.leased, lending.opening) == (0, 0)
    lending.check()


def test_a_connection_is_dialled_ahead_within_its_own_timeout_if_none_is_named() -> None:
    with Httpd() as server, HTTPConnectionPool(server.host, server.port, timeout=7) as pool:
        for wish, wanted in ((None, 7), (3, 3)):
            conn = pool._get_conn()
            pool._factory.warm(conn, wish)
            assert conn.sock.gettimeout() == wanted
            assert conn.is_connected
            conn.close()
            pool._put_conn(conn)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forgets_connections_that_were_never_dialled() -> None:
    """They have no socket to let go of; the parent's go on."""
    with Httpd() as server, HTTPConnectionPool(server.host, server.port, maxsize=2, block=True) as pool:
        conns = [pool._get_conn(), pool._get_conn()]
        conns[0].connect()
        for conn in conns:
            pool._put_conn(conn)

        def look() -> Any:
            return pool._endpoint_pool.idle, pool.request("GET", "/").status, pool.num_connections

        assert in_child(look) == "(0, 200, 1)"
        assert (pool._endpoint_pool.idle, pool.num_connections) == (2, 2)
        for _ in conns:
            assert pool.request("GET", "/").status == 200


def test_a_recorders_connection_counts_nothing() -> None:
    """One without our counters disturbs no sum."""

    class Bare:
        def __init__(self, **_: Any) -> None:
            self.sock = None

        def is_reusable(self) -> bool:
            return True

        def is_reusable_state(self) -> bool:
            return False

        def close_reason(self) -> str:
            return "recorded"

        def close(self) -> None:
            pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Bare

    with Pool("localhost", 1) as pool:
        conn = pool._get_conn()
        assert pool.stats()["requests"] == 0
        pool._put_conn(conn)
        stats = pool.stats()
        assert (stats["requests"], stats["bytes_sent"], stats["dropped"]) == (0, 0, {"recorded": 1})
    assert HTTPConnectionPool.ConnectionCls is HTTPConnection


def test_a_response_that_is_collected_while_counts_are_added_up_frees_its_slot() -> None:
    """The garbage collector may run in the thread that holds the lock, and what it closes is counted there, too."""

    class Slow(HTTPConnection):
        """Everything is collected whenever it is counted."""

        @property
        def requests_sent(self) -> int:
            gc.collect()
            return 1

        @requests_sent.setter
        def requests_sent(self, value: int) -> None:
            pass

    with Httpd() as server, HTTPConnectionPool(server.host, server.port, maxsize=4, block=True) as pool:
        slow = Slow(server.host, server.port)
        for look in (pool._factory.close, lambda conn: pool._factory.totals([conn])):
            lost: list[Any] = [pool.request("GET", "/", preload_content=False)]
            lost.append(lost)  # a ring: only the collector finds it
            del lost
            assert pool._endpoint_pool.leased == 1
            closing = threading.Thread(target=look, args=(slow,), daemon=True)
            closing.start()
            closing.join(10)
            assert not closing.is_alive()
            assert pool._endpoint_pool.leased == 0
        assert pool._factory.totals([])["requests"] == 3  # two that were lost, one that was closed


def test_what_a_closed_connection_has_counted_stays_counted() -> None:
    with Httpd() as server, HTTPConnectionPool("127.0.0.1", server.port) as pool:
        pool.request("GET", "/")
        before = pool.stats()
        pool._endpoint_pool.drop_idle()
        after = pool.stats()
        names = ("requests", "bytes_sent", "bytes_received")
        assert [after[name] for name in names] == [before[name] for name in names]
        assert min(after[name] for name in names) > 0


def test_attributes_of_a_subclass_are_its_own() -> None:
    """Programs that override connections keep what they see under short names of their own."""
    names = ("sent", "received", "seen", "request_log", "messages", "data", "requests", "options", "state", "exchanges")

    class Own(HTTPConnection):
        def __init__(self, *args: Any, **kw: Any) -> None:
            super().__init__(*args, **kw)
            for name in names:
                setattr(self, name, [])

    class Pool(HTTPConnectionPool):
        ConnectionCls = Own

    with Httpd() as server, Pool(server.host, server.port) as pool:
        assert pool.request("POST", "/", body=b"x").status == 200
        assert pool.request("GET", "/").status == 200
        kept = pool._endpoint_pool.idle_connections()[0]
        assert [getattr(kept, name) for name in names] == [[]] * len(names)


def test_what_a_connection_counted_stays_counted_while_it_is_closed_and_when_it_is_detached() -> None:
    """Whoever takes a difference of two readings, as Prometheus does, takes a smaller one for a start from nothing."""

    def switch(request: Request) -> Response:
        return Response(b"", 101, {"Upgrade": "x", "Connection": "upgrade"})

    with Httpd({"/switch": switch}) as server, HTTPConnectionPool(server.host, server.port, maxsize=2) as pool:
        names = ("requests", "bytes_sent", "bytes_received")
        readings: list[list[int]] = []

        def read() -> None:
            figures = pool.stats()
            readings.append([figures[name] for name in names])  # type: ignore[literal-required]

        pool.request("GET", "/")
        read()
        connection: Any = pool._endpoint_pool.idle_connections()[0]
        plain = connection.close
        connection.close = lambda: [read(), plain()]
        pool.refresh()
        read()
        assert readings[0] == readings[1] == readings[2]
        response: Any = pool.request("GET", "/switch", headers={"Upgrade": "x", "Connection": "upgrade"})
        read()
        sock, _ = response.detach()
        sock.close()
        read()
        assert readings[3] == readings[4]
        assert pool.num_requests == readings[4][0] == 2
        assert dict(pool.stats()["dropped"]) == {"refreshed": 1, "detached": 1}
