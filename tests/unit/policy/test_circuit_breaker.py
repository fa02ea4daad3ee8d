"""The circuit breaker: opens after N failures to connect, lets one probe at a time, and shows where it stands."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from fractions import Fraction
from typing import Any

import pytest

import poollib
from poollib.exceptions import (
    BlockedHostError,
    CircuitOpenError,
    EmptyPoolError,
    NewConnectionError,
    RateLimitError,
    ReadTimeoutError,
)
from poollib.policy.circuit_breaker import Circuit, CircuitBreaker, CircuitState, circuit_from
from poollib.policy.retry_budget import RetryBudget
from tests.support.httpd import Httpd, Response
from tests.support.liars import Index
from tests.support.script import ScriptServer, close, expect_request, respond, stall


def test_it_opens_after_as_many_failures_in_a_row() -> None:
    circuit = Circuit(CircuitBreaker(3, 10))
    for _ in range(2):
        circuit.failed(0.0)
    circuit.got_through()
    for _ in range(2):
        circuit.failed(0.0)
    assert circuit.wait_s(0.0) is None
    circuit.failed(1.0)
    assert circuit.state is CircuitState.OPEN
    assert circuit.wait_s(4.0) == 7.0
    assert (circuit.opened, circuit.refused) == (1, 1)


def test_one_probe_at_a_time_and_its_end_decides() -> None:
    circuit = Circuit(CircuitBreaker(1, 10))
    circuit.failed(0.0)
    assert circuit.wait_s(10.0) is None
    assert circuit.state is CircuitState.PROBING
    assert circuit.wait_s(10.0) is not None
    circuit.failed(11.0)
    assert circuit.wait_s(12.0) == 9.0
    assert circuit.wait_s(21.0) is None
    circuit.got_through()
    assert circuit.state is CircuitState.CLOSED
    assert circuit.wait_s(21.0) is None


@pytest.mark.parametrize("ends_by", [KeyboardInterrupt, BlockedHostError])
def test_what_ends_an_attempt_on_this_side_is_no_failure_of_the_endpoint(ends_by: type[BaseException]) -> None:
    """An interrupt or a guard: both come while a connection is being made."""

    def resolver(host: str, port: int) -> list[str]:
        raise ends_by("here")

    options: dict[str, Any] = {"resolver": resolver, "circuit_breaker": 1, "retries": False}
    with poollib.HTTPConnectionPool("h.example", 80, **options) as pool:
        for _ in range(2):
            with pytest.raises(ends_by):
                pool.request("GET", "/")
        assert pool.health()["circuit"]["state"] == "closed"


def test_a_probe_that_gives_up_lets_the_next_one_try() -> None:
    circuit = Circuit(CircuitBreaker(1, 10))
    circuit.failed(0.0)
    assert circuit.wait_s(10.0) is None
    circuit.gave_up()
    assert circuit.wait_s(10.0) is None


def test_who_gives_up_while_another_one_probes_lets_nobody_pass() -> None:
    """Those that waited for a slot as the circuit opened, and then in vain."""
    circuit = Circuit(CircuitBreaker(1, 10))
    circuit.failed(0.0)
    assert circuit.wait_s(10.0) is None
    late = threading.Thread(target=circuit.gave_up)
    late.start()
    late.join()
    assert circuit.wait_s(10.0) is not None
    assert circuit.state is CircuitState.PROBING


def test_of_many_threads_one_probes() -> None:
    circuit = Circuit(CircuitBreaker(1, 1))
    circuit.failed(0.0)
    gate, allowed = threading.Barrier(8), []

    def ask() -> None:
        gate.wait(5)
        allowed.append(circuit.wait_s(2.0) is None)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 1


@pytest.mark.parametrize("breaker", [CircuitBreaker(0), CircuitBreaker(1, -1)])
def test_invalid_settings_are_refused(breaker: CircuitBreaker) -> None:
    with pytest.raises(ValueError, match="circuit breaker"):
        circuit_from(breaker)


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_pool_leaves_an_endpoint_alone_that_refuses() -> None:
    with poollib.HTTPConnectionPool("127.0.0.1", _closed_port(), retries=False, circuit_breaker=2) as pool:
        for _ in range(2):
            with pytest.raises(NewConnectionError):
                pool.request("GET", "/")
        with pytest.raises(CircuitOpenError) as caught:
            pool.request("GET", "/", retries=3)
        assert caught.value.retry_in_s is not None
        assert 29 < caught.value.retry_in_s <= 30
        assert pool.health()["circuit"]["state"] == "open"
        assert pool.stats()["circuit_refused"] == 1
        assert pool._endpoint_pool.leased == 0
        pool._endpoint_pool.check()


def test_a_server_that_is_back_is_found_by_the_first_probe() -> None:
    port = _closed_port()
    breaker = CircuitBreaker(1, 0.0)
    with poollib.PoolManager(retries=False, circuit_breaker=breaker) as manager:
        with pytest.raises(NewConnectionError):
            manager.request("GET", f"http://127.0.0.1:{port}/")
        pool = manager.connection_from_url(f"http://127.0.0.1:{port}/")
        assert pool.health()["circuit"]["state"] == "open"
        with ScriptServer([expect_request(), respond(b"back")]) as server:
            pool.port = server.port
            assert pool.request("GET", "/").data == b"back"
        assert pool.health()["circuit"]["state"] == "closed"


def test_a_server_that_answers_badly_is_there() -> None:
    with ScriptServer([expect_request(), stall()], repeat=True) as server:
        with poollib.HTTPConnectionPool("127.0.0.1", server.port, retries=False, circuit_breaker=1) as pool:
            for _ in range(2):
                with pytest.raises(ReadTimeoutError):
                    pool.request("GET", "/", timeout=0.02)
            assert pool.health()["circuit"]["state"] == "closed"


def test_a_pool_pickles_with_its_breaker_closed() -> None:
    with poollib.HTTPConnectionPool("127.0.0.1", _closed_port(), retries=False, circuit_breaker=1) as pool:
        with pytest.raises(NewConnectionError):
            pool.request("GET", "/")
        copy = pickle.loads(pickle.dumps(pool))
        assert copy.health()["circuit"]["state"] == "closed"
        copy.close()


def test_without_the_keyword_there_is_none() -> None:
    with poollib.HTTPConnectionPool("127.0.0.1", 1) as pool:
        assert "circuit" not in pool.health()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_starts_with_closed_circuits_and_free_locks() -> None:
    """Another thread may hold the locks in the moment of the fork."""
    budget = RetryBudget()
    with poollib.HTTPConnectionPool("127.0.0.1", 1, circuit_breaker=1) as pool:
        circuit = pool._circuit
        assert circuit is not None
        circuit.failed(0.0)
        with circuit._lock, budget._lock:
            child = os.fork()
            if not child:
                budget.pay_in()
                os._exit(circuit.wait_s(0.0) is not None)
        assert os.waitpid(child, 0)[1] == 0
        assert circuit.state is CircuitState.OPEN


def test_an_attempt_that_found_no_slot_says_nothing_of_the_endpoint() -> None:
    """Neither a failure to connect nor a success: the circuit stays as it was, closed or probing."""
    with (
        Httpd() as server,
        poollib.HTTPConnectionPool(
            server.host, server.port, block=True, circuit_breaker=CircuitBreaker(1, 0.0), retries=False
        ) as pool,
    ):
        circuit = pool._circuit
        assert circuit is not None
        kept = pool.urlopen("GET", "/", preload_content=False)
        with pytest.raises(EmptyPoolError):
            pool.request("GET", "/", pool_timeout=0.001)
        assert pool.stats()["circuit_opened"] == 0
        assert circuit.report()["state"] == "closed"
        circuit.failed(0.0)
        with pytest.raises(EmptyPoolError):
            pool.request("GET", "/", pool_timeout=0.001)
        assert circuit.report()["state"] == "open"
        assert kept.data
        assert pool.request("GET", "/", pool_timeout=1).status == 200
        assert circuit.report()["state"] == "closed"


def test_numbers_of_a_breaker_are_of_every_kind_but_count() -> None:
    """With NaN it never opened, or never closed."""
    settings = Circuit(CircuitBreaker(Index(5), Fraction(1, 2))).settings  # type: ignore[arg-type]
    assert settings == (5, 0.5, None)
    assert [type(number) for number in settings[:2]] == [int, float]
    for odd in (CircuitBreaker(pause=float("nan")), CircuitBreaker(failures=float("nan"))):  # type: ignore[arg-type]
        with pytest.raises((TypeError, ValueError), match=r"pause|failures"):
            Circuit(odd)


def bad_gateways(outcome: Any) -> bool | None:
    """502 to 504 and time-outs are failures as well."""
    return isinstance(outcome, ReadTimeoutError) or getattr(outcome, "status", 0) in (502, 503, 504) or None


def test_statuses_count_where_failure_says_so() -> None:
    statuses = iter([503, 200, 503, 502, 200])
    breaker = CircuitBreaker(2, 60, bad_gateways)
    with Httpd({"/": lambda _: Response(b"x" * 100_000, status=next(statuses))}) as server:
        with poollib.HTTPConnectionPool(server.host, server.port, circuit_breaker=breaker, block=True) as pool:
            for status in (503, 200, 503, 502):
                assert pool.request("GET", "/", preload_content=status > 502).status == status
            with pytest.raises(CircuitOpenError, match="it failed again and again; next try in"):
                pool.request("GET", "/")
            assert pool.health()["circuit"] == {"state": "open", "consecutive_failures": 2, "opened": 1, "refused": 1}
        assert len(server.requests) == 4


def test_the_probe_after_the_pause_is_judged_by_failure_too() -> None:
    circuit = Circuit(CircuitBreaker(1, 10, bad_gateways))
    answers = iter([Answered(503), Answered(503), Answered(200)])
    times = iter([0.0, 0.0, 10.0, 10.0, 20.0, 20.0])
    send = circuit.wrap(lambda _: next(answers), "pool", lambda: next(times))
    for _ in range(2):
        send(None)
        assert circuit.state is CircuitState.OPEN
    send(None)
    assert circuit.state is CircuitState.CLOSED


class Answered:
    def __init__(self, status: int) -> None:
        self.status, self.is_closed = status, False

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("verdict", "error", "failures"),
    [
        (True, ReadTimeoutError(None, "/", "slow"), 1),
        (False, ReadTimeoutError(None, "/", "slow"), 0),
        (None, ReadTimeoutError(None, "/", "slow"), 0),
        (False, NewConnectionError("conn", "refused"), 0),
        (True, EmptyPoolError(None, "busy"), 0),
        (True, RateLimitError(None, "later"), 0),
        (True, KeyboardInterrupt(), 0),
    ],
)
def test_errors_are_judged_unless_they_are_of_this_side(
    verdict: bool | None, error: BaseException, failures: int
) -> None:
    circuit = Circuit(CircuitBreaker(5, 10, lambda outcome: verdict))

    def fails(_: object) -> None:
        raise error

    with pytest.raises(type(error)):
        circuit.wrap(fails, "pool")(None)
    assert circuit.report()["consecutive_failures"] == failures


def test_what_failure_raises_reaches_the_caller_and_frees_the_connection_and_the_probe() -> None:
    def broken(outcome: object) -> bool:
        raise LookupError("no idea")

    with Httpd({"/": lambda _: Response(b"x" * 100_000)}) as server:
        breaker = CircuitBreaker(1, 0, broken)
        with poollib.HTTPConnectionPool(server.host, server.port, circuit_breaker=breaker, block=True) as pool:
            for _ in range(2):
                with pytest.raises(LookupError) as caught:  # who keeps the error keeps its frames
                    pool.request("GET", "/", preload_content=False)
                assert pool.stats()["leased"] == 0
                del caught
            assert pool.health()["circuit"]["state"] == "closed"


def test_what_an_attempt_hook_answers_by_itself_says_nothing_of_the_endpoint() -> None:
    """Nor is a refusal the end of the request: the hook may have something to give in its place."""

    def cached(request: Any, send: Any) -> Any:
        if request.url.endswith("/cached"):
            return poollib.HTTPResponse(b"cached")
        try:
            return send(request)
        except CircuitOpenError:
            return poollib.HTTPResponse(b"stale")

    with ScriptServer() as gone:
        pass
    with poollib.HTTPConnectionPool(
        gone.host, gone.port, circuit_breaker=CircuitBreaker(2, 60), attempt_hooks=[cached], retries=False
    ) as pool:
        for _ in range(2):
            assert pool.request("GET", "/cached").data == b"cached"
            with pytest.raises(NewConnectionError):
                pool.request("GET", "/")
        assert pool.health()["circuit"]["state"] == "open"
        assert pool.request("GET", "/").data == b"stale"
        assert pool.request("GET", "/cached").data == b"cached"
        assert pool.health()["circuit"]["state"] == "open"


def test_a_kept_connection_that_was_dead_is_not_judged() -> None:
    """The request goes out on another one, at no retry's cost: nothing has failed."""
    seen = []

    def failure(outcome: object) -> bool:
        seen.append(type(outcome).__name__)
        return isinstance(outcome, Exception)

    script = [[expect_request(), respond(b"ok"), expect_request(), close()], [expect_request(), respond(b"ok")]]
    with ScriptServer(*script) as server:
        breaker = CircuitBreaker(1, 60, failure)
        with poollib.HTTPConnectionPool(server.host, server.port, circuit_breaker=breaker) as pool:
            assert [pool.request("GET", "/").status for _ in range(2)] == [200, 200]
    assert seen == ["HTTPResponse", "HTTPResponse"]


def test_a_pipelines_statuses_count_one_by_one() -> None:
    with Httpd({"/bad": lambda _: Response(status=503), "/": lambda _: Response(b"ok")}) as server:
        breaker = CircuitBreaker(3, 60, bad_gateways)
        with poollib.HTTPConnectionPool(server.host, server.port, circuit_breaker=breaker) as pool:
            paths = ["/bad", "/bad", "/", "/bad", "/bad"]
            assert [response.status for response in pool.pipeline(paths)] == [503, 503, 200, 503, 503]
            assert pool.health()["circuit"]["state"] == "closed"
            statuses = [getattr(found, "status", None) for found in pool.pipeline(["/bad"] * 2, return_exceptions=True)]
            assert statuses == [503, 503]
            with pytest.raises(CircuitOpenError):
                list(pool.pipeline(["/"]))


def test_a_failure_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="failure must be a callable"):
        poollib.HTTPConnectionPool("h.example", circuit_breaker=CircuitBreaker(failure=503))  # type: ignore[arg-type]
