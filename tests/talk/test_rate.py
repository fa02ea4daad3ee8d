"""``rate=`` of a pool or manager: each attempt waits for its turn, and holds no connection meanwhile."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import poollib
from poollib import HTTPConnectionPool, PoolManager, ProxyManager, RateLimit, Retry, Timeout
from poollib.exceptions import CircuitOpenError, ClosedPoolError, DeadlineExceededError, RateLimitError
from poollib.policy.circuit_breaker import Circuit, CircuitBreaker
from poollib.policy.rate_limit import Turns
from tests.support.forks import in_child
from tests.support.httpd import Httpd, Request, Response

#: No test lives to see the second turn.
NEVER = 0.001


def moved(request: Request) -> Response:
    return Response(status=302, headers={"Location": "/"})


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd({"/": lambda _: Response(b"ok"), "/moved": moved, "/bad": lambda _: Response(status=503)}) as httpd:
        yield httpd


def pool_for(server: Httpd, **options: Any) -> HTTPConnectionPool:
    return HTTPConnectionPool(server.host, server.port, maxsize=1, block=True, **options)


def taken(limit: RateLimit, host: str = "127.0.0.1") -> int:
    """How many turns of a host were taken in the last minutes."""
    return round((limit.next_at(host) - time.monotonic()) / limit.gap_s) + limit.burst - 1


def ask_in_vain(pool: HTTPConnectionPool) -> threading.Thread:
    """A thread that waits for its turn until the pool is closed."""

    def ask() -> None:
        with pytest.raises(ClosedPoolError):
            pool.request("GET", "/")

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until_waiting(pool)
    return thread


def wait_until_waiting(pool: HTTPConnectionPool, count: int = 1) -> None:
    while pool.stats()["rate_waiting"] < count:
        time.sleep(0.001)


def test_requests_are_a_gap_apart(server: Httpd) -> None:
    with pool_for(server, rate=50) as pool:
        begun = time.monotonic()
        for _ in range(3):
            assert pool.request("GET", "/").data == b"ok"
        took_s = time.monotonic() - begun
        stats = pool.stats()
    assert took_s >= 2 / 50
    assert stats["rate_waited"] <= 2
    assert stats["rate_wait_s"] <= took_s
    assert stats["rate_waiting"] == 0


@pytest.mark.parametrize(("path", "attempts"), [("/bad", 3), ("/moved", 2)])
def test_each_repetition_and_each_redirect_takes_a_turn(server: Httpd, path: str, attempts: int) -> None:
    retries = Retry(2, status_forcelist=[503], raise_on_status=False)
    limit = RateLimit(NEVER, burst=10)
    with PoolManager(rate=limit) as manager:
        manager.request("GET", server.url + path, retries=retries)
    assert len(server.requests) == attempts
    assert taken(limit) == attempts


def test_a_request_that_waits_for_its_turn_holds_no_connection(server: Httpd) -> None:
    with pool_for(server, rate=NEVER) as pool:
        pool.request("GET", "/")
        thread = ask_in_vain(pool)
        stats = pool.stats()
        assert (stats["leased"], stats["idle"], stats["waiting"]) == (0, 1, 0)
        pool.close()
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("ends", ["pool", "manager"])
def test_closing_ends_the_wait_with_closed_pool_error(server: Httpd, ends: str) -> None:
    errors: list[BaseException] = []
    manager = PoolManager(rate=NEVER)
    pool = manager.connection_from_url(server.url)
    pool.request("GET", "/")

    def ask() -> None:
        try:
            manager.request("GET", server.url + "/")
        except ClosedPoolError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until_waiting(pool)
    if ends == "pool":
        pool.close()
    else:
        manager.close_all()
    thread.join(30)
    assert len(errors) == 1
    with pytest.raises(ClosedPoolError):  # and who comes later does not wait
        pool.request("GET", "/")


def test_the_deadline_ends_the_wait_before_it_begins(server: Httpd) -> None:
    with pool_for(server, rate=NEVER) as pool:
        pool.request("GET", "/")
        with pytest.raises(DeadlineExceededError) as caught:
            pool.request("GET", "/", timeout=Timeout(deadline=60))
        assert caught.value.phase == "waiting for a turn"
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("settings", "request_kw"),
    [({}, {"pool_timeout": 5}), ({}, {"timeout": Timeout(pool=5)}), ({"acquire_timeout": 5}, {})],
)
def test_the_pool_timeout_covers_the_turn(server: Httpd, settings: Any, request_kw: Any) -> None:
    with pool_for(server, rate=NEVER, **settings) as pool:
        pool.request("GET", "/")
        with pytest.raises(RateLimitError, match=r"127\.0\.0\.1.*next turn.*there are 5 s to wait") as caught:
            pool.request("GET", "/", **request_kw)
        assert caught.value.pool is pool
        assert caught.value.retry_in_s > 5
        assert pickle.loads(pickle.dumps(caught.value)).retry_in_s > 5


def test_what_the_turn_took_is_missing_to_wait_for_a_connection(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []

    class Asked(HTTPConnectionPool):
        def _get_conn(self, timeout: float | None = None) -> Any:
            asked.append(timeout)
            return super()._get_conn(timeout)

    monkeypatch.setattr(Turns, "take", lambda *_: 3.0)
    with Asked(server.host, server.port, rate=1) as pool:
        for options in ({"pool_timeout": 5}, {"pool_timeout": 2}, {}, {"timeout": Timeout(pool=5, deadline=4)}):
            pool.request("GET", "/", **options)
    assert asked[:3] == [2.0, 0.0, None]
    assert asked[3] == 2.0


def test_all_pools_of_a_manager_count_together_those_that_made_room_as_well(server: Httpd) -> None:
    with Httpd({"/": lambda _: Response(b"ok")}) as other, PoolManager(num_pools=1, rate=NEVER) as manager:
        manager.request("GET", server.url + "/")
        for url in (other.url, server.url):  # the same host on another port, and a pool that is made anew
            with pytest.raises(RateLimitError):
                manager.request("GET", url + "/", pool_timeout=1)
            with pytest.raises(RateLimitError):
                manager.client(url).get("/", pool_timeout=1)
        assert manager.request("GET", f"http://localhost:{server.port}/", pool_timeout=1).data == b"ok"


def test_one_rate_limit_for_two_managers_is_one(server: Httpd) -> None:
    limit = RateLimit(NEVER)
    with PoolManager(rate=limit) as first, PoolManager(rate=limit) as second, PoolManager(rate=NEVER) as third:
        first.request("GET", server.url + "/")
        with pytest.raises(RateLimitError):
            second.request("GET", server.url + "/", pool_timeout=1)
        third.request("GET", server.url + "/")


def test_the_rate_is_a_part_of_the_pools_key(server: Httpd) -> None:
    with PoolManager() as manager:
        plain = manager.connection_from_url(server.url)
        slow = manager.connection_from_url(server.url, {"rate": 5})
        assert plain is not slow
        assert slow is manager.connection_from_url(server.url, {"rate": 5})
        assert "rate_waited" not in plain.stats()
        assert "rate_waited" in slow.stats()


def test_the_event_and_the_timings_tell_of_the_wait(server: Httpd) -> None:
    told: list[tuple[str, Any]] = []

    class Told(poollib.Trace):
        def dispatch(self, request: Any, event: str, arguments: tuple[Any, ...]) -> None:
            told.append((event, arguments))

    limit = RateLimit(1000)
    with pool_for(server, rate=limit, trace=Told(), timings=True) as pool:
        pool.request("GET", "/")
        assert "rate_waited" not in [event for event, _ in told]
        told.clear()
        limit.take(pool.host, time.monotonic() + 0.2)
        response = pool.request("GET", "/")
        assert pool.stats()["rate_waited"] == 1
    names = [event for event, _ in told]
    assert names.index("request_started") < names.index("rate_waited") < names.index("connection_reused")
    (endpoint, waited_s), *_ = (arguments for event, arguments in told if event == "rate_waited")
    assert endpoint is pool._endpoint_pool.endpoint
    assert response.timings.queue >= waited_s > 0


def test_behind_a_forwarding_proxy_the_host_that_is_asked_for_counts(server: Httpd) -> None:
    with ProxyManager(server.url, rate=NEVER) as manager:
        for host in ("one.example", "two.example"):
            assert manager.request("GET", f"http://{host}/", pool_timeout=1).status == 200
        with pytest.raises(RateLimitError, match=r"one\.example"):
            manager.request("GET", "http://one.example/", pool_timeout=1)


@pytest.mark.parametrize(
    ("one", "other"), [("one.example", "ONE.example."), ("one.example.", "one.example"), ("[::1]", "[::1]")]
)
def test_a_host_is_the_same_however_it_is_written(server: Httpd, one: str, other: str) -> None:
    """Also where one request is forwarded and the other one is not."""
    limit = RateLimit(NEVER)
    with ProxyManager(server.url, rate=limit) as proxied, PoolManager(rate=limit) as direct:
        assert proxied.request("GET", f"http://{one}/").status == 200
        with pytest.raises(RateLimitError):
            direct.request("GET", f"http://{other}/", pool_timeout=1, retries=False)


def test_a_pipelines_batch_takes_the_turns_of_all_its_requests(server: Httpd) -> None:
    limit = RateLimit(NEVER, burst=10)
    with pool_for(server, rate=limit) as pool:
        assert [response.data for response in pool.pipeline(["/"] * 8, depth=4)] == [b"ok"] * 8
    assert taken(limit) == 8


def test_who_waited_while_the_circuit_opened_is_refused() -> None:
    circuit = Circuit(CircuitBreaker(1, 10))
    circuit.check_again("pool", 0.0)
    circuit.failed(0.0)
    with pytest.raises(CircuitOpenError, match="next try in 9 s"):
        circuit.check_again("pool", 1.0)
    circuit.check_again("pool", 10.0)


def test_an_open_circuit_answers_at_once_and_takes_no_turn() -> None:
    limit = RateLimit(NEVER, burst=2)
    with HTTPConnectionPool("127.0.0.1", 1, rate=limit, circuit_breaker=1, retries=False, timeout=5) as pool:
        with pytest.raises(poollib.exceptions.NewConnectionError):
            pool.request("GET", "/")
        before = limit.next_at(pool.host)
        with pytest.raises(CircuitOpenError):
            pool.request("GET", "/")
        assert limit.next_at(pool.host) == before


def test_an_attempt_hook_that_sends_again_takes_a_turn_each_time(server: Httpd) -> None:
    def twice(request: Any, send: Any) -> Any:
        send(request)
        return send(request)

    limit = RateLimit(NEVER, burst=10)
    with pool_for(server, rate=limit, attempt_hooks=[twice]) as pool:
        pool.request("GET", "/")
    assert taken(limit) == 2


def test_pools_and_managers_travel_with_their_rate(server: Httpd) -> None:
    with PoolManager(rate=RateLimit(NEVER, burst=2)) as manager, pool_for(server, rate=NEVER) as pool:
        copy, twin = pickle.loads(pickle.dumps(manager)), pickle.loads(pickle.dumps(pool))
    with copy, twin:
        assert copy.connection_pool_kw["rate"].burst == 2
        twin.request("GET", "/")
        with pytest.raises(RateLimitError):
            twin.request("GET", "/", pool_timeout=1)


def test_a_forked_child_counts_by_itself(server: Httpd) -> None:
    with pool_for(server, rate=NEVER) as pool:
        pool.request("GET", "/")
        thread = ask_in_vain(pool)

        def asked() -> str:
            status = pool.request("GET", "/", pool_timeout=1).status
            return f"{status} {pool.stats()['rate_waiting']}"

        assert in_child(asked) == "200 0"
        pool.close()
        thread.join(30)


@pytest.mark.parametrize("wrong", [0, -2, True, "fast", [1]])
def test_what_is_no_rate_is_refused_when_it_is_given(wrong: Any) -> None:
    for make in (lambda: PoolManager(rate=wrong), lambda: HTTPConnectionPool("h.example", rate=wrong)):
        with pytest.raises(ValueError, match="rate must be"):
            make()


def test_bulk_has_bursts_where_its_threads_send(server: Httpd) -> None:
    from poollib.bulk import fetch

    urls = [f"{server.url}/?{number}" for number in range(4)]
    assert [result.status for result in fetch(urls, rate=RateLimit(NEVER, burst=4))] == [200] * 4
    with pytest.raises(ValueError, match="burst: with an executor"):
        list(fetch(urls, rate=RateLimit(5, burst=4), executor=lambda: None))  # type: ignore[arg-type,return-value]
