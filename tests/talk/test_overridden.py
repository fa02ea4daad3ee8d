"""What a subclass, a recorder or an agent may put in the place of a pool's parts, and how the pool goes on then.

Source: the second promise (a drop-in for urllib3); DESIGN, "The joints".
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import queue
import signal
import ssl
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from poollib import HTTPConnectionPool, HTTPHeaderDict, Retry, Timeout, connection, response
from poollib.connection import HTTPConnection
from poollib.exceptions import (
    ClosedPoolError,
    EmptyPoolError,
    FullPoolError,
    MaxRetryError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from poollib.exchange.transport import ConnectionState
from poollib.net.certificates import CertificateError
from poollib.response import HTTPResponse
from tests.support.httpd import Httpd, Response
from tests.support.script import ScriptServer, expect_request, respond, send


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd() as running:
        yield running


class Stub:
    """A response as a recorder builds it, of no class of ours."""

    status, reason, version = 200, "OK", 11
    headers = HTTPHeaderDict({"X-Stub": "1"})
    retries: ClassVar[Any] = None

    def get_redirect_location(self) -> bool:
        return False


class Wrapper:
    """A wrapper as wrapt makes them: it answers for what it wraps, also to ``==`` and with its ``__func__``."""

    def __init__(self, wrapped: Any, called: list[str]) -> None:
        self.__wrapped__, self._called = wrapped, called

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else Wrapper(self.__wrapped__.__get__(instance, owner), self._called)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == other)

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, *args: Any, **kw: Any) -> Any:
        self._called.append(self.__wrapped__.__name__)
        return self.__wrapped__(*args, **kw)


@pytest.mark.parametrize("name", ["_make_request", "_validate_conn", "request", "getresponse"])
@pytest.mark.parametrize("where", ["class", "object"])
def test_what_urllib3_calls_for_an_exchange_is_called_where_it_is_replaced(
    server: Httpd, name: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agents come late, and go again; some wrap what one pool or one connection has."""
    called: list[str] = []
    with HTTPConnectionPool(server.host, server.port) as pool:
        assert pool.request("GET", "/").status == 200
        conn = pool._get_conn()
        pool._put_conn(conn)
        there: Any = pool if name.startswith("_") else conn
        if where == "class":
            there = HTTPConnectionPool if name.startswith("_") else HTTPConnection
        with monkeypatch.context() as patch:
            patch.setattr(there, name, Wrapper(getattr(there, name), called))
            assert pool.request("GET", "/").status == 200
        assert called == [name]
        assert pool.request("GET", "/").status == 200
        assert (called, conn.requests_sent) == ([name], 3)


@pytest.mark.parametrize("preload", [True, False])
def test_a_stub_in_the_responses_place_is_handed_out_as_it_is(server: Httpd, preload: bool) -> None:
    """It owns the connection exactly if the caller asked for that."""

    class Own(HTTPConnection):
        def getresponse(self) -> Any:
            assert super().getresponse().data
            return Stub()

    class Pool(HTTPConnectionPool):
        ConnectionCls = Own

    with Pool(server.host, server.port, maxsize=1, block=True) as pool:
        response: Any = pool.urlopen("GET", "/", preload_content=preload, retries=Retry(3))
        assert type(response) is Stub
        assert response._pool is pool
        assert response.retries.total == 3
        assert pool._endpoint_pool.leased == (0 if preload else 1)
        if not preload:
            pool._put_conn(response._connection)
        assert type(pool.urlopen("GET", "/", pool_timeout=1)) is Stub
    assert server.opened == 1


@pytest.mark.parametrize("preload", [True, False])
def test_make_request_by_hand_reads_the_body_that_no_loop_will(preload: bool) -> None:
    """Thrown away, the response would take the connection with it; as urllib3 has it, the connection can be used on."""
    steps = [expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), send(b"hello")]
    with ScriptServer(steps) as server, HTTPConnectionPool(server.host, server.port) as pool:
        conn = pool._get_conn()
        pool._make_request(conn, "GET", "/", preload_content=preload)
        assert (conn.sock is not None) is preload
        pool._put_conn(conn)


def test_make_request_may_be_called_with_another_timeout(server: Httpd) -> None:
    """As agents that override it do: a number, none, or a Timeout."""
    seen: list[Any] = []

    class Pool(HTTPConnectionPool):
        wish: dict[str, Any]

        def _make_request(self, conn: Any, method: str, url: str, **named: Any) -> Any:
            named.pop("timeout")
            response = super()._make_request(conn, method, url, **named, **self.wish)
            seen.append((conn.timeout, conn.read_timeout))
            return response

    with Pool(server.host, server.port, timeout=Timeout(connect=3, read=4)) as pool:
        for wish in ({"timeout": 7.5}, {}, {"timeout": Timeout(connect=1, read=2)}):
            pool.wish = wish
            assert pool.urlopen("GET", "/").status == 200
    assert seen == [(7.5, 7.5), (3, 4), (1, 2)]


def test_total_counts_from_connecting(server: Httpd) -> None:
    """What connecting took is gone; if nothing is left, the answer is not waited for."""

    class Slow(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            time.sleep(0.02)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Slow

    with Pool(server.host, server.port, maxsize=1, block=True, retries=False) as pool:
        with pytest.raises(ReadTimeoutError, match=r"read timeout=0"):
            pool.urlopen("GET", "/", timeout=Timeout(total=0.02))
        assert pool._endpoint_pool.leased == 0
        response = pool.urlopen("GET", "/", timeout=Timeout(total=5), preload_content=False)
        assert 4 < response.connection.sock.gettimeout() < 4.99
        assert response.data


def test_an_error_without_a_url_learns_the_requests(server: Httpd) -> None:
    """Whoever raises it, the pool names itself and the target."""

    class Own(HTTPConnection):
        def getresponse(self) -> Any:
            raise ReadTimeoutError(None, None, "mine")  # type: ignore[arg-type]

    class Pool(HTTPConnectionPool):
        ConnectionCls = Own

    with Pool(server.host, server.port) as pool:
        with pytest.raises(ReadTimeoutError, match=r"HTTPConnectionPool.*mine|Pool\(host=.*mine") as caught:
            pool.urlopen("GET", "/x", retries=False)
        assert (caught.value.url, caught.value.pool) == ("/x", pool)
        with pytest.raises(MaxRetryError) as given_up:
            pool.urlopen("GET", "/y", retries=Retry(0))
        assert given_up.value.url == "/y"


def test_the_log_tells_each_answer_at_debug(server: Httpd, caplog: pytest.LogCaptureFixture) -> None:
    """One line each, as urllib3 has it; nothing of the kind above DEBUG."""
    server.routes["/a"] = lambda request: Response(b"four", status=404)
    with HTTPConnectionPool(server.host, server.port) as pool:
        with caplog.at_level(logging.DEBUG, "poollib.connectionpool"):
            pool.request("GET", "/a?b=c", preload_content=False).drain_conn()
        lines = [record.getMessage() for record in caplog.records if record.name == "poollib.connectionpool"]
        assert lines == [
            f"Starting new HTTP connection (1): {server.host}:{server.port}",
            f'http://{server.host}:{server.port} "GET /a?b=c HTTP/1.1" 404 4',
        ]
        caplog.clear()
        with caplog.at_level(logging.INFO, "poollib.connectionpool"):
            pool.request("GET", "/a")
        assert not caplog.records


# urllib3's private names


def test_timeouts_are_made_and_errors_translated_by_their_private_names() -> None:
    """Subclasses call them."""
    with HTTPConnectionPool("localhost", 81, timeout=4) as pool:
        own = pool._get_timeout(Timeout.DEFAULT_TIMEOUT)
        assert (own.connect_timeout, own is pool.timeout) == (4, False)
        assert pool._get_timeout(2.5).read_timeout == 2.5
        wish = Timeout(connect=1, read=9)
        assert pool._get_timeout(wish).connect_timeout == 1
        assert pool._get_timeout(wish) is not wish
        with pytest.raises(ReadTimeoutError, match=r"read timeout=3") as caught:
            pool._raise_timeout(TimeoutError("slow"), "/u", 3)
        assert (caught.value.url, caught.value.pool) == ("/u", pool)
        pool._raise_timeout(OSError("something else"), "/u", 3)  # no timeout, nothing raised


def test_hosts_and_urls_are_put_together_by_their_private_names() -> None:
    from poollib import connectionpool

    assert connectionpool._normalize_host("EXAMPLE.com", "http") == "example.com"
    assert connectionpool._normalize_host("[FE80::1]", "http") == "[fe80::1]"
    assert connectionpool._normalize_host(None, "http") is None
    with HTTPConnectionPool("localhost", 81) as pool:
        assert connectionpool._url_from_pool(pool, "/p") == "http://localhost:81/p"
        assert connectionpool._url_from_pool(pool) == "http://localhost:81"


# The queue's class


def queued(server: Httpd, **options: Any) -> HTTPConnectionPool:
    class Pool(HTTPConnectionPool):
        QueueCls = type("Own", (queue.LifoQueue,), {})

    return Pool(server.host, server.port, **options)


def test_a_queue_of_its_own_opens_beyond_its_size_where_nobody_waits(
    server: Httpd, caplog: pytest.LogCaptureFixture
) -> None:
    """``block=False``: a third connection is opened, and closed again with the warning that urllib3 gives."""
    with queued(server, maxsize=2) as pool:
        held = [pool.urlopen("GET", "/", preload_content=False) for _ in range(3)]
        with caplog.at_level(logging.WARNING, "poollib"):
            for response in held:
                assert response.data
        assert "Connection pool is full, discarding connection" in caplog.text
        assert "Connection pool size: 2" in caplog.text
        assert (len(pool._endpoint_pool.connections()), pool.pool and pool.pool.qsize()) == (2, 2)
        pool._endpoint_pool.check()


def test_a_queue_of_its_own_gives_no_dead_connection_out(server: Httpd) -> None:
    """One that the server has closed meanwhile is replaced, and its slot stays one."""
    with queued(server, maxsize=1, block=True) as pool:
        assert pool.request("GET", "/").status == 200
        server.disconnect()
        end = time.monotonic() + 5
        while (
            pool._endpoint_pool.idle_connections()[0].is_reusable() if pool._endpoint_pool.idle_connections() else False
        ):
            assert time.monotonic() < end
        time.sleep(0.005)
        assert pool.request("GET", "/", retries=False, pool_timeout=1).status == 200
        assert (server.opened, pool.pool and pool.pool.qsize()) == (2, 1)
        assert sum(pool.stats()["dropped"].values()) == 1
        pool._endpoint_pool.check()


def test_a_queue_of_its_own_takes_nothing_twice(server: Httpd) -> None:
    """As urllib3: FullPoolError where there are never more; and a socket that is handed over frees its slot."""
    with queued(server, maxsize=1, block=True) as pool:
        conn = pool._get_conn(timeout=1)
        assert pool.pool is not None
        pool.pool.put(None, block=False)  # somebody else's filling
        with pytest.raises(FullPoolError):
            pool._put_conn(conn)
        conn = pool._get_conn(timeout=1)
        conn.connect()
        with pytest.raises(EmptyPoolError):
            pool._get_conn(timeout=0.001)
        pool._endpoint_pool.detach(conn)
        conn.detach().close()
        assert pool.request("GET", "/", pool_timeout=1).status == 200
        pool._endpoint_pool.check()


def test_a_queue_of_its_own_closes_what_comes_back_late(server: Httpd) -> None:
    """Idle connections at once, lent ones when they come back."""
    pool = queued(server, maxsize=2, block=True)
    kept, lent = (pool.urlopen("GET", "/", preload_content=False) for _ in range(2))
    assert kept.data
    pool.close()
    assert lent.data
    assert pool._endpoint_pool.connections() == []
    with pytest.raises(ClosedPoolError):
        pool.request("GET", "/")
    assert pool.pool is None


def test_a_queue_of_its_own_tells_idle_connections_from_lent_ones(server: Httpd) -> None:
    """In the figures, in ``health()`` and in reports of leases that last too long."""
    with queued(server, maxsize=3, leak_timeout=0.01) as pool:
        held = [pool.urlopen("GET", "/", preload_content=False) for _ in range(2)]
        assert (pool.stats()["idle"], pool.stats()["leased"]) == (0, 2)
        assert held.pop().data
        assert (pool.stats()["idle"], pool.stats()["leased"]) == (1, 1)
        assert held.pop().data
        assert pool.request("GET", "/").status == 200
        figures = pool.stats()
        assert [figures[name] for name in ("idle", "leased", "most_leased", "opened", "reused", "returned")] == [
            2,
            0,
            2,
            2,
            1,
            3,
        ]
        assert (pool.health()["idle"], pool.health()["leased"]) == (2, 0)
        assert len(pool._endpoint_pool.idle_connections()) == 2
        pool._endpoint_pool.sweep(time.monotonic() + 1)
        assert pool.stats()["leaks"] == 0
        server.disconnect()
        assert pool.request("GET", "/").status == 200
        conn = pool._get_conn()
        pool._endpoint_pool.sweep(time.monotonic() + 1)
        assert pool.stats()["leaks"] == 1
        pool._endpoint_pool.discard(conn)
        pool._endpoint_pool.check()
    assert (pool.stats()["idle"], pool.stats()["leased"]) == (0, 0)


def test_a_queue_of_its_own_takes_back_only_the_lease_that_was_interrupted(server: Httpd) -> None:
    """A connection that was given back may be lent to another by now; else its place in the queue is free again."""
    with queued(server, maxsize=1, block=True) as pool:
        conn = pool._get_conn(timeout=1)
        lease = pool._endpoint_pool.leases[id(conn)].reuses
        pool._put_conn(conn)
        pool._endpoint_pool.reclaim(conn, lease)
        assert pool._get_conn(timeout=1) is conn
        pool._endpoint_pool.reclaim(conn, lease)
        assert pool.stats()["leased"] == 1
        pool._endpoint_pool.reclaim(conn, pool._endpoint_pool.leases[id(conn)].reuses)
        assert pool.stats()["leased"] == 0
        assert pool.request("GET", "/", pool_timeout=1).status == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_queue_of_its_own_is_empty_in_a_forked_child(server: Httpd) -> None:
    """Whose requests go out on connections of its own, even if another thread had the queue's lock."""
    with queued(server, maxsize=1, block=True) as pool:
        assert pool.request("GET", "/").json()["connection"] == 0
        assert pool.pool is not None
        with pool.pool.mutex:
            child = os.fork()
        if not child:
            signal.alarm(10)  # instead of waiting for ever
            failed = True
            with contextlib.suppress(BaseException):
                asked = [pool.request("GET", "/", pool_timeout=1).json()["connection"] for _ in range(2)]
                failed = asked != [1, 1] or pool.stats()["idle"] != 1
            os._exit(failed)
        assert os.waitpid(child, 0)[1] == 0
        assert pool.request("GET", "/").json()["connection"] == 0


def give_back(response: HTTPResponse) -> None:
    response.release_conn()


@pytest.mark.parametrize("end", [HTTPResponse.read, HTTPResponse.drain_conn, give_back])
def test_release_conn_false_keeps_the_connection_of_an_empty_response_in_sight(end: Any) -> None:
    """For who looks at its socket or certificate, until the response is read or released; by default it is free."""
    steps = [expect_request(), respond(b"")]
    with ScriptServer(steps * 4) as server, HTTPConnectionPool(server.host, server.port, maxsize=1, block=True) as pool:
        assert pool.urlopen("GET", "/", preload_content=False).connection is None
        for _ in range(2):
            response: Any = pool.urlopen("GET", "/", preload_content=False, release_conn=False, pool_timeout=1)
            assert response.connection.sock.getpeername()[1] == server.port
            assert pool._endpoint_pool.leased == 1
            end(response)
            assert (response.connection, pool._endpoint_pool.leased) == (None, 0)
        assert pool.urlopen("GET", "/", release_conn=False, pool_timeout=1).connection is None
    assert server.opened == 1


@pytest.mark.parametrize("block", [True, False])
def test_a_connection_made_elsewhere_is_taken_where_there_is_room(
    block: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As urllib3: beyond maxsize it is closed, which a pool that never has more says by an error, others by a line."""
    with HTTPConnectionPool("localhost", 1, block=block) as pool:
        pool._put_conn(None)
        first, second = pool._new_conn(), pool._new_conn()
        pool._put_conn(first)
        assert pool._endpoint_pool.idle_connections() == [first]
        second.exchange_state = ConnectionState.IDLE
        if block:
            with pytest.raises(FullPoolError):
                pool._put_conn(second)
        else:
            pool._put_conn(second)
        assert ("Connection pool is full, discarding connection: localhost" in caplog.text) is not block
        assert second.exchange_state is ConnectionState.CLOSED
        pool._endpoint_pool.check()


def test_a_connection_that_the_pool_has_thrown_away_may_come_back() -> None:
    """Once more closed, and no error: a program gives it back in a ``finally``, after the request that broke it."""
    with HTTPConnectionPool("127.0.0.1", 9, retries=False) as pool:
        conn = pool._get_conn()
        conn.close()
        pool._put_conn(conn)
        pool._put_conn(conn)
        assert pool._endpoint_pool.connections() == []
    pool._put_conn(stranger := pool._new_conn())
    assert stranger.exchange_state is ConnectionState.CLOSED


@pytest.mark.parametrize(
    ("plain", "ours"),
    [
        (ConnectionResetError("gone"), ProtocolError),
        (http.client.BadStatusLine("x"), ProtocolError),
        (ssl.SSLError("bad record"), SSLError),
        (CertificateError("another host"), SSLError),
    ],
)
@pytest.mark.parametrize("retries", [False, 1])
def test_a_plain_error_of_a_replaced_method_becomes_one_of_ours(
    plain: Exception, ours: type[Exception], retries: bool | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs tell what went wrong by its class, and their tests put plain errors in a connection's place."""
    tries = []

    def failing(*words: Any, **named: Any) -> Any:
        tries.append(1)
        raise plain

    with HTTPConnectionPool("localhost", 1) as pool:
        monkeypatch.setattr(pool, "_make_request", failing)
        with pytest.raises((ours, MaxRetryError)) as caught:
            pool.request("GET", "/", retries=retries)
        error = caught.value.reason if isinstance(caught.value, MaxRetryError) else caught.value
        assert type(error) is ours
        assert error.args[-1] is plain
        assert len(tries) == 1 + retries
        assert pool.num_connections == len(tries)


# -- classes that a program has put in the place of a module's ---------------------------------------------------


def test_a_connection_reads_its_answer_while_another_class_has_its_name(
    server: Httpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vcrpy below botocore's connections: "super(type, obj): obj must be an instance or subtype of type"."""

    class Recording(HTTPConnection):
        def getresponse(self) -> Any:
            return super().getresponse()

    class Own(HTTPConnection):
        def send(self, data: Any) -> None:
            super().send(data)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Own

    monkeypatch.setattr(connection, "HTTPConnection", Recording)
    with Pool(server.host, server.port) as pool:
        assert pool.request("GET", "/").status == 200


def test_a_replaced_response_class_is_what_requests_get(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that urllib3 looks up at each answer: ``urllib3.response.HTTPResponse``."""

    class Own(response.HTTPResponse):
        def read(self, *args: Any, **kw: Any) -> bytes:
            return super().read(*args, **kw).upper()

    server.routes["/lower"] = lambda request: Response(b"lower")
    monkeypatch.setattr(response, "HTTPResponse", Own)
    with HTTPConnectionPool(server.host, server.port) as pool:
        got = pool.request("GET", "/lower", preload_content=False)
        assert isinstance(got, Own)
        assert got.read() == b"LOWER"
