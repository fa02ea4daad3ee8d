"""How long connections are kept, and for whom: Keep-Alive, ages, budgets, base URLs, figures, health.

Source: RFC 9112 section 9.3 (persistence); DESIGN, "Lending". Times are set by hand where the pool's clock decides.
"""

from __future__ import annotations

import json
import threading
import time

import pytest

from poollib import HTTPConnectionPool, PoolManager, Timeout, Trace
from poollib.exceptions import EmptyPoolError, ProtocolError, URLSchemeUnknown
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_request, respond

TWICE = [expect_request(), respond(b"x"), expect_request(), respond(b"x")]


def hello(request: Request) -> Response:
    return Response(b"hello")


def keep_alive(text: str) -> list[object]:
    return [expect_request(), respond(b"x", headers=[f"Keep-Alive: {text}"])]


@pytest.mark.parametrize("kind", [HTTPConnectionPool, PoolManager])
def test_a_pool_of_no_size_keeps_all(kind: type[HTTPConnectionPool] | type[PoolManager]) -> None:
    """``maxsize=0``, as for the queue that urllib3's pool is: no limit. Adapters of requests are made so."""
    with Httpd({"/": hello}) as server:
        client = kind(server.host, server.port, maxsize=0) if kind is HTTPConnectionPool else kind(maxsize=0)
        with client:
            url = "/" if kind is HTTPConnectionPool else server.url + "/"
            held = [client.request("GET", url, preload_content=False) for _ in range(3)]
            assert [response.data for response in held] == [b"hello"] * 3
            again = [client.request("GET", url, preload_content=False) for _ in range(3)]
            assert [response.data for response in again] == [b"hello"] * 3
        assert server.opened == 3
    with pytest.raises(ValueError, match="maxsize"):
        HTTPConnectionPool("host", maxsize=0, block=True)


# -- the server's word -----------------------------------------------------------------------------------------


def test_a_connection_is_not_used_beyond_the_time_the_server_announced() -> None:
    """``Keep-Alive: timeout=1``: after a second it is closed instead of lent."""
    with (
        ScriptServer(keep_alive("timeout=1"), keep_alive("timeout=1")) as server,  # type: ignore[arg-type]
        HTTPConnectionPool("127.0.0.1", server.port) as pool,
    ):
        pool.urlopen("GET", "/")
        pool._endpoint_pool._clock = lambda: time.monotonic() + 1.0
        pool.urlopen("GET", "/")
        assert pool.num_connections == 2
        assert sum(pool.stats()["dropped"].values()) == 1


def test_a_connection_is_not_used_more_often_than_the_server_announced() -> None:
    """``Keep-Alive: max=0``: this was its last request."""
    steps = [*keep_alive("timeout=9, max=1"), *keep_alive("timeout=9, max=0")]
    with (
        ScriptServer(steps, keep_alive("max=5")) as server,  # type: ignore[arg-type]
        HTTPConnectionPool("127.0.0.1", server.port) as pool,
    ):
        for _ in range(3):
            assert pool.urlopen("GET", "/").data == b"x"
        assert pool.num_connections == 2


# -- ages and limits -------------------------------------------------------------------------------------------


def test_an_idle_connection_is_closed_when_its_time_is_over() -> None:
    """idle_timeout, without any thread in the background: the next request sees to it."""
    with Httpd({"/": hello}) as server, HTTPConnectionPool("127.0.0.1", server.port, idle_timeout=5) as pool:
        pool.urlopen("GET", "/")
        pool.urlopen("GET", "/")
        assert pool.num_connections == 1
        pool._endpoint_pool._clock = lambda: time.monotonic() + 5.0
        pool.urlopen("GET", "/")
        assert pool.num_connections == 2
        assert pool.stats()["expired"] == 1


def test_the_collector_closes_idle_connections_by_itself() -> None:
    """background_collector: nobody has to ask; no thread is left when the pool is gone."""
    with Httpd({"/": hello}) as server:
        with HTTPConnectionPool("127.0.0.1", server.port, idle_timeout=0.05, background_collector=True) as pool:
            pool.urlopen("GET", "/")
            wait_until(lambda: pool.stats()["expired"] == 1)
            assert pool.stats()["idle"] == 0


def test_min_idle_connections_are_there_before_the_first_request() -> None:
    """Pre-warmed in the background, dialled for real."""
    with Httpd({"/": hello}) as server:
        with HTTPConnectionPool("127.0.0.1", server.port, maxsize=4, min_idle=2) as pool:
            wait_until(lambda: server.open_now == 2 and pool.stats()["idle"] == 2)
            assert pool.urlopen("GET", "/").data == b"hello"
            assert pool.stats()["reused"] == 1


def test_one_budget_holds_for_all_hosts() -> None:
    """total_maxsize: the longest idle connection makes room."""
    with (
        Httpd({"/": hello}) as one,
        Httpd({"/": hello}) as other,
        Httpd({"/": hello}) as third,
        PoolManager(total_maxsize=2) as manager,
    ):
        for server in (one, other, third, one):
            assert manager.request("GET", f"{server.url}/").data == b"hello"
        total = manager.stats()["total"]
        assert total["idle"] + total["leased"] == 2
        assert total["opened"] == 4


def test_a_spent_budget_makes_requests_wait() -> None:
    """Also where ``block`` is False; the error has the numbers."""
    with (
        Httpd({"/": hello}) as one,
        Httpd({"/": hello}) as other,
        PoolManager(total_maxsize=1, timeout=Timeout(pool=0.05)) as manager,
    ):
        held = manager.request("GET", f"{one.url}/", preload_content=False)
        with pytest.raises(EmptyPoolError) as caught:
            manager.request("GET", f"{other.url}/")
        assert caught.value.pool.port == other.port
        assert 0.05 <= caught.value.waited_s < 5
        held.release_conn()
        assert manager.request("GET", f"{other.url}/").data == b"hello"


def test_the_error_of_a_full_pool_carries_its_numbers() -> None:
    """EmptyPoolError: waited, leased, idle, waiting, limit."""
    with (
        Httpd({"/": hello}) as server,
        HTTPConnectionPool("127.0.0.1", server.port, maxsize=1, block=True) as pool,
    ):
        held = pool.urlopen("GET", "/", preload_content=False)
        with pytest.raises(EmptyPoolError) as caught:
            pool.urlopen("GET", "/", pool_timeout=0.01)
        error = caught.value
        assert error.pool is pool
        assert (error.leased, error.idle, error.waiting, error.limit) == (1, 0, 1, 1)
        assert "1 of 1" in str(error) or "1 leased" in str(error)
        held.close()
        assert pool._endpoint_pool.leased == 0


def test_a_leaked_response_is_reported_with_who_took_it(caplog: pytest.LogCaptureFixture) -> None:
    """leak_timeout: once, with the stack."""
    with (
        Httpd({"/": hello}) as server,
        HTTPConnectionPool("127.0.0.1", server.port, leak_timeout=0.02, background_collector=True) as pool,
    ):
        kept = pool.urlopen("GET", "/", preload_content=False)
        wait_until(lambda: "test_a_leaked_response" in caplog.text)
        assert pool.stats()["leaks"] == 1
        kept.release_conn()


# -- base URLs -------------------------------------------------------------------------------------------------


def test_a_base_url_has_one_pool_however_it_is_spelled() -> None:
    """Case, default port and a slash at the end make no difference; the path does."""
    with PoolManager() as manager:
        pool = manager.pool_for("http://Example.com:80/v1/", headers={"X": "1"}, timeout=3)
        assert manager.pool_for("http://example.com/v1") is pool
        assert manager.existing_pool("HTTP://EXAMPLE.COM/v1") is pool
        assert manager.existing_pool("http://example.com/v2") is None
        assert manager.pool_for("http://example.com/v2") is not pool
        assert (pool.host, pool.port, pool.headers) == ("example.com", 80, {"X": "1"})
        assert pool.timeout == Timeout(connect=3, read=3)


def test_racing_threads_get_the_same_pool() -> None:
    """The first one makes it."""
    with PoolManager() as manager:
        gate = threading.Barrier(8)
        pools = []

        def ask() -> None:
            gate.wait()
            pools.append(manager.pool_for("http://localhost:1"))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(pool) for pool in pools}) == 1


def test_streaming_has_a_pool_and_a_profile_of_its_own() -> None:
    """Minutes between bytes, no limit on the whole."""
    with PoolManager(timeout=Timeout(total=1)) as manager:
        plain, streaming = (manager.pool_for("http://localhost:1", streaming=wish) for wish in (False, True))
        assert plain is not streaming
        assert plain.timeout.total == 1
        assert streaming.timeout.total is None
        assert (streaming.timeout.read_timeout or 0) >= 60
        assert manager.existing_pool("http://localhost:1", streaming=True) is streaming


def test_pools_of_base_urls_close_one_by_one() -> None:
    """close_pool says whether there was one; a new one is made afterwards."""
    with PoolManager() as manager:
        pool = manager.pool_for("http://localhost:1")
        assert manager.close_pool("http://localhost:1/")
        assert not manager.close_pool("http://localhost:1/")
        assert pool.pool is None
        assert manager.pool_for("http://localhost:1") is not pool


def test_closing_all_goes_on_past_a_failure_and_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pool's trouble is no other's."""
    manager = PoolManager()
    bad, good = manager.pool_for("http://localhost:1"), manager.pool_for("http://localhost:2")
    monkeypatch.setattr(bad, "close", lambda: 1 / 0)
    failed = manager.close_all()
    assert list(failed) == [str(bad)]
    assert isinstance(failed[str(bad)], ZeroDivisionError)
    assert good.pool is None
    assert manager.existing_pool("http://localhost:2") is None


@pytest.mark.parametrize("url", ["ftp://localhost/", "gopher://localhost/"])
def test_a_base_url_of_another_scheme_is_refused(url: str) -> None:
    """It names the scheme."""
    with PoolManager() as manager, pytest.raises(URLSchemeUnknown):
        manager.pool_for(url)


# -- figures and health ----------------------------------------------------------------------------------------


def test_stats_add_up_over_pools() -> None:
    """Per pool and in sum."""
    with Httpd({"/": hello}) as one, Httpd({"/": hello}) as other, PoolManager() as manager:
        for _ in range(3):
            manager.request("GET", f"{one.url}/")
        manager.request("GET", f"{other.url}/")
        figures = manager.stats()
        assert figures["pools"][one.url]["requests"] == 3
        assert figures["pools"][one.url]["reused"] == 2
        assert figures["total"]["requests"] == 4
        assert figures["total"]["opened"] == 2
        assert figures["total"]["bytes_received"] > 4 * len(b"hello")
        assert figures["total"]["bytes_sent"] > 4 * len(b"GET / HTTP/1.1")
        json.dumps(figures)


def test_counts_outlive_their_connections() -> None:
    """A closed connection's figures are kept."""
    with Httpd({"/": hello}) as server, HTTPConnectionPool("127.0.0.1", server.port) as pool:
        pool.urlopen("GET", "/")
        pool.refresh()
        pool.urlopen("GET", "/")
        figures = pool.stats()
        assert (figures["requests"], figures["opened"], figures["errors"]) == (2, 2, 0)
        assert figures["dropped"] == {"refreshed": 1}


def test_health_tells_which_endpoint_fails() -> None:
    """ok, degraded, failing; ready for JSON."""
    with (
        Httpd({"/": hello}) as good,
        ScriptServer([expect_request(), close()]) as bad,
        PoolManager(retries=False) as manager,
    ):
        assert manager.health() == {"status": "ok", "pools": {}}
        manager.request("GET", f"{good.url}/")
        assert manager.health()["status"] == "ok"
        with pytest.raises(ProtocolError):
            manager.request("GET", bad.url)
        report = manager.health()
        assert report["status"] == "degraded"
        assert report["pools"][good.url]["state"] == "ok"
        assert json.loads(json.dumps(report)) == report
        manager.close_pool(good.url)


def test_a_failing_health_check_refreshes_only_its_pool() -> None:
    """The idle connections of that endpoint are dropped; another pool keeps its own."""
    sick = threading.Event()

    def health(request: Request) -> Response:
        return Response(status=503 if sick.is_set() else 200)

    with Httpd({"/": hello, "/health": health}) as server, Httpd({"/": hello}) as other, PoolManager() as manager:
        checked = manager.pool_for(server.url, health_check_interval=0.02, health_check_path="/health", maxsize=2)
        kept = manager.pool_for(other.url)
        checked.urlopen("GET", "/")
        kept.urlopen("GET", "/")
        wait_until(lambda: checked.health()["probes"] >= 1)
        assert checked.health()["state"] == "ok"
        sick.set()
        wait_until(lambda: checked.stats()["dropped"].get("health check failed", 0) >= 1)
        assert manager.health()["status"] == "degraded"
        assert kept.stats()["idle"] == 1
        sick.clear()
        wait_until(lambda: checked.health()["state"] == "ok")
        manager.clear()


# -- trace -----------------------------------------------------------------------------------------------------


class Listener(Trace):
    """Writes down the name of each event."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattribute__(self, name: str) -> object:
        if hasattr(Trace, name) and not name.startswith("_"):
            return lambda *args: self.heard.append(name)
        return super().__getattribute__(name)


FIRST = ["request_started", "connection_opened", "dial_started", "dial_done"]
FIRST += ["head_sent", "body_sent", "first_byte", "head_read"]


@pytest.mark.parametrize("where", ["pool", "request", "manager"])
def test_a_listener_hears_the_life_of_a_request(where: str) -> None:
    """On manager, pool or single request, in the order of the tree."""
    listener = Listener()
    with Httpd({"/": hello}) as server, PoolManager(**({"trace": listener} if where == "manager" else {})) as manager:
        pool = manager.pool_for(server.url, **({"trace": listener} if where == "pool" else {}))
        more = {"trace": listener} if where == "request" else {}
        pool.urlopen("GET", "/", **more)
        heard = [event for event in listener.heard if event != "connection_returned"]
        assert heard == [*FIRST, "body_ended", "request_ended"]
        listener.heard.clear()
        pool.urlopen("GET", "/", **more)
        assert listener.heard[:2] == ["request_started", "connection_reused"]
        manager.clear()
    assert pool._endpoint_pool.connections() == []


def wait_until(is_so: object, limit_s: float = 5.0) -> None:
    """Return as soon as ``is_so()``; fail after ``limit_s`` seconds."""
    end = time.monotonic() + limit_s
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


def test_shutdown_does_not_hit_the_connections_next_borrower() -> None:
    """A watchdog shuts a response down at the moment at which its reader gives the connection back."""
    with Httpd({"/": hello}) as server, HTTPConnectionPool("127.0.0.1", server.port, maxsize=1, block=True) as pool:
        response = pool.urlopen("GET", "/", preload_content=False)
        conn = response.connection
        pool._endpoint_pool.leases[
            id(conn)
        ].reuses += 1  # it was returned and lent again; the watchdog knows nothing of it
        with pytest.raises(RuntimeError, match="Cannot shutdown as connection has already been released"):
            response.shutdown()
        conn.sock.settimeout(5)
        assert response.data == b"hello"  # nobody has shut it


def test_shutdown_ends_a_read_of_its_own_response() -> None:
    with Httpd({"/": hello}) as server, HTTPConnectionPool("127.0.0.1", server.port) as pool:
        response = pool.urlopen("GET", "/", preload_content=False)
        response.shutdown()  # type: ignore[attr-defined]
        sock = response.connection.sock
        while sock.recv(100):
            pass
        response.close()
        assert pool._endpoint_pool.stats().total == 0
