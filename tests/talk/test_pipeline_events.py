"""Pipelined requests have ids, events, times and metrics of their own; a pool's hooks are called for each of them."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import poollib
from poollib import HTTPConnectionPool, PoolManager, RequestInfo, Retry
from poollib.base import trace
from poollib.exceptions import HTTPError
from tests.support.httpd import Httpd, Response
from tests.support.script import ScriptServer, close, expect_request, respond


class Told(poollib.Trace):
    """Every event, by the id of its request."""

    def __init__(self) -> None:
        self.events: dict[int, list[str]] = {}
        self.requests: dict[int, RequestInfo] = {}
        self.ended: dict[int, tuple[int | None, BaseException | None]] = {}

    def dispatch(self, request: RequestInfo | None, event: str, arguments: tuple[Any, ...]) -> None:
        if request is not None:
            self.events.setdefault(request.id, []).append(event)
            self.requests[request.id] = request
            if event == "request_ended":
                assert request.id not in self.ended, "told twice"
                self.ended[request.id] = arguments[1:]

    def check(self) -> None:
        """Each request begins once, and ends once."""
        for events in self.events.values():
            assert (events[0], events[-1]) == ("request_started", "request_ended"), events
            assert Counter(events)["request_started"] == Counter(events)["request_ended"] == 1


@pytest.fixture
def server() -> Iterator[Httpd]:
    moved = Response(status=302, headers={"Location": "/"})
    routes = {"/": lambda _: Response(b"ok"), "/bad": lambda _: Response(status=503), "/moved": lambda _: moved}
    with Httpd(routes) as httpd:
        yield httpd


def test_each_request_has_an_id_and_its_own_events(server: Httpd) -> None:
    told = Told()
    with HTTPConnectionPool(server.host, server.port, trace=told) as pool:
        for response in pool.pipeline([("GET", f"/?{number}") for number in range(6)], depth=3):
            assert response.status == 200
        endpoint = pool._endpoint_pool.endpoint
    told.check()
    assert [request.url for request in told.requests.values()] == [f"{server.url}/?{number}" for number in range(6)]
    assert {(request.endpoint, request.attempt, request.method) for request in told.requests.values()} == {
        (endpoint, 1, "GET")
    }
    for events in told.events.values():
        for event in ("head_sent", "body_sent", "first_byte", "head_read", "body_ended"):
            assert events.count(event) == 1, (event, events)
    assert set(told.ended.values()) == {(200, None)}


def test_repetitions_and_redirects_belong_to_their_request(server: Httpd) -> None:
    told, retries = Told(), Retry(2, status_forcelist=[503], raise_on_status=False)
    with HTTPConnectionPool(server.host, server.port, retries=retries) as pool:
        statuses = [response.status for response in pool.pipeline(["/", "/bad", "/moved"], trace=told)]
    assert statuses == [200, 503, 200]
    told.check()
    assert [request.attempt for request in told.requests.values()] == [1, 3, 2]
    assert [status for status, _ in told.ended.values()] == statuses


def test_a_cut_connection_is_told_to_those_it_met() -> None:
    told = Told()
    first = [expect_request(), respond(b"ok"), expect_request(), expect_request(), close()]
    then = [expect_request(), respond(b"ok"), expect_request(), respond(b"ok")]
    with ScriptServer(first, then) as server:
        with HTTPConnectionPool(server.host, server.port, retries=Retry(3)) as pool:
            assert [response.data for response in pool.pipeline(["/1", "/2", "/3"], trace=told)] == [b"ok"] * 3
    told.check()
    assert sorted(request.attempt for request in told.requests.values()) == [1, 2, 2]
    assert set(told.ended.values()) == {(200, None)}


def test_what_goes_out_again_behind_an_announced_close_is_told_so() -> None:
    told = Told()
    first = [expect_request(), respond(b"ok"), *[expect_request()] * 3, respond(b"ok", headers=["Connection: close"])]
    with ScriptServer([*first, close()], [expect_request(), respond(b"ok")] * 2, repeat=False) as server:
        with HTTPConnectionPool(server.host, server.port) as pool:
            assert [response.data for response in pool.pipeline(["/1", "/2", "/3", "/4"], trace=told)] == [b"ok"] * 4
    told.check()
    assert [events.count("resent") for events in told.events.values()] == [0, 0, 1, 1]
    assert [request.attempt for request in told.requests.values()] == [1, 1, 2, 2]


def test_errors_end_their_requests(server: Httpd) -> None:
    told = Told()
    with HTTPConnectionPool("127.0.0.1", 1, retries=False, timeout=5) as pool:
        errors = list(pool.pipeline(["/1", "/2"], trace=told, return_exceptions=True))
    told.check()
    assert [error for _, error in told.ended.values()] == errors


def test_closing_early_ends_what_was_begun(server: Httpd) -> None:
    told, retries = Told(), Retry(1, status_forcelist=[503])
    with HTTPConnectionPool(server.host, server.port, retries=retries) as pool:
        with pool.pipeline(["/", "/bad", "/bad"], trace=told) as pipeline:
            assert next(pipeline).status == 200
    told.check()
    errors = [error for _, error in told.ended.values()]
    assert errors[0] is None
    for error in errors[1:]:
        assert isinstance(error, HTTPError)
        assert "closed before" in str(error)


def test_leaving_a_loop_early_ends_what_was_begun(server: Httpd) -> None:
    """Else a gauge of requests under way, or their spans, would stay open for ever."""
    told, retries = Told(), Retry(1, status_forcelist=[503])
    with HTTPConnectionPool(server.host, server.port, retries=retries) as pool:
        for _ in pool.pipeline(["/", "/bad", "/bad"], trace=told):
            break
        gc.collect()
    told.check()
    assert [status for status, _ in told.ended.values()] == [200, None, None]
    with pytest.raises(ValueError, match="depth"):  # nothing to end where none was made
        pool.pipeline(["/"], trace=told, depth=0)


def test_where_pipelining_is_not_believed_each_is_told_once_too(server: Httpd) -> None:
    """They go one by one, as if each had come by urlopen."""
    told = Told()
    with HTTPConnectionPool(server.host, server.port) as pool:
        list(pool.pipeline(["/"]))
        assert pool._pipelining is not None
        pool._pipelining.mixed_up(time.monotonic())
        assert len(list(pool.pipeline(["/1", "/2", "/3"], trace=told))) == 3
    told.check()
    assert [request.attempt for request in told.requests.values()] == [1, 1, 1]


def test_timings_are_those_of_each_request(server: Httpd) -> None:
    with HTTPConnectionPool(server.host, server.port, timings=True) as pool:
        responses = list(pool.pipeline(["/", "/", "/moved"]))
    for response, attempts in zip(responses, (1, 1, 2), strict=True):
        assert len(response.timings.attempts) == attempts
        assert response.timings.total > 0
        assert response.timings.first_byte > 0


def test_what_an_iterable_takes_is_none_of_its_requests_time(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in the metrics, which count from ``started_at`` on."""
    passed = [0.0]
    clock = time.monotonic
    for module in (time, trace):
        monkeypatch.setattr(module, "monotonic", lambda: clock() + passed[0])

    def items() -> Iterator[str]:
        for _ in range(3):
            passed[0] += 100.0
            yield "/"

    told = Told()
    with HTTPConnectionPool(server.host, server.port, timings=True, trace=told) as pool:
        assert [response.timings.total < 50 for response in pool.pipeline(items())] == [True] * 3
    assert [request.started_at - clock() > 250 for request in told.requests.values()] == [True] * 3


def test_metrics_count_them_as_the_server_does(server: Httpd) -> None:
    from prometheus_client import CollectorRegistry

    from poollib.metrics import prometheus

    registry = CollectorRegistry()
    with PoolManager() as manager:
        prometheus(manager, registry=registry)
        list(manager.connection_from_url(server.url).pipeline(["/", "/bad"] * 3, depth=4))
    pool = f"http://127.0.0.1:{server.port}"
    for status in ("2xx", "5xx"):
        labels = {"manager": "default", "pool": pool, "method": "GET", "status": status, "error": ""}
        assert registry.get_sample_value("poollib_requests_total", labels) == 3
    assert len(server.requests) == 6


@pytest.mark.parametrize("kind", ["hooks", "attempt_hooks"])
def test_a_pools_hooks_are_called_for_each_with_one_request_in_a_send(server: Httpd, kind: str) -> None:
    def tokened(request: Any, send: Any) -> Any:
        request.headers["Authorization"] = "Bearer token"
        return send(request)

    with HTTPConnectionPool(server.host, server.port, **{kind: [tokened]}) as pool:
        assert [response.status for response in pool.pipeline(["/", "/bad", "/moved"])] == [200, 503, 200]
    assert [request.header("Authorization") for request in server.requests] == ["Bearer token"] * 4
    with HTTPConnectionPool(server.host, server.port) as pool:
        with pytest.raises(TypeError, match=r"pipeline\(\) takes no hooks"):
            pool.pipeline(["/"], **{kind: [tokened]})
