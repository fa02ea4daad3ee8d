"""What `poollib.metrics` counts is what a server saw, in prometheus-client's registry and in its exposition format."""

from __future__ import annotations

import ast
import gc
import os
import pickle
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import poollib
from poollib.metrics import prometheus
from poollib.metrics.cells import CounterCell, HistogramCells, RequestTally, taken_out
from poollib.metrics.observer import ERROR_KINDS, REASONS, error_kind
from poollib.pool import entry, state
from tests.benchmarks.hops import counted
from tests.support.forks import in_child
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_request, send

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "poollib"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd({"/busy": lambda _: Response(b"", 503), "/gone": lambda _: Response(b"", 404)}) as server:
        yield server


def url(server: Httpd, path: str = "/") -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Values by name, as Prometheus' own format has them."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def total(registry: CollectorRegistry, name: str, **wanted: str) -> float:
    """The sum of all samples of that name with these labels."""
    rows = samples(generate_latest(registry).decode()).get(name, [])
    return sum(value for labels, value in rows if wanted.items() <= labels.items())


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_requests_are_counted_as_the_server_saw_them(server: Httpd, registry: CollectorRegistry) -> None:
    with poollib.PoolManager(retries=False) as manager:
        prometheus(manager, registry=registry)
        for path in ("/", "/", "/busy", "/gone"):
            manager.request("GET", url(server, path))
        manager.request("POST", url(server), body=b"x")
        manager.request("FROBNICATE", url(server))
    assert total(registry, "poollib_requests_total") == len(server.requests) == 6
    for method, status, count in (("GET", "2xx", 2), ("GET", "5xx", 1), ("GET", "4xx", 1), ("POST", "2xx", 1)):
        assert total(registry, "poollib_requests_total", method=method, status=status, error="") == count
    assert total(registry, "poollib_requests_total", method="other") == 1
    assert total(registry, "poollib_request_duration_seconds_count") == 6
    assert total(registry, "poollib_connection_events_total", event="opened") == server.opened == 1
    assert total(registry, "poollib_connection_events_total", event="reused") == 5
    assert total(registry, "poollib_connection_acquire_seconds_count") == 6
    assert total(registry, "poollib_connection_usage_seconds_count") == 6
    assert total(registry, "poollib_connection_creation_seconds_count", step="dial") == 1


def test_nothing_is_lost_where_threads_count_at_the_same_time(server: Httpd, registry: CollectorRegistry) -> None:
    with poollib.PoolManager(maxsize=8) as manager:
        prometheus(manager, registry=registry)

        def ask() -> None:
            for _ in range(25):
                manager.request("GET", url(server))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert total(registry, "poollib_requests_total") == len(server.requests) == 200
    for name in ("request_duration", "connection_acquire", "connection_usage"):
        assert total(registry, f"poollib_{name}_seconds_count") == 200
    leases = [total(registry, "poollib_connection_events_total", event=event) for event in ("opened", "reused")]
    assert sum(leases) == 200


def test_a_histogram_has_the_buckets_of_the_client_library(registry: CollectorRegistry) -> None:
    bounds = (0.001, 0.1, 1, 10)
    ours = HistogramCells("x_seconds", "text", ("pool",), bounds)
    theirs = Histogram("x_seconds", "text", ("pool",), registry=registry, buckets=bounds)
    for value in (0.0, 0.001, 0.0011, 0.1, 0.5, 1, 10, 10.5, 1e9):
        ours.labels("a").observe(value)
        theirs.labels("a").observe(value)
    [family] = registry.collect()
    wanted = [sample for sample in family.samples if not sample.name.endswith("_created")]
    assert ours.family().samples == wanted


def test_planted_faults_are_counted_by_kind(registry: CollectorRegistry) -> None:
    """Cut answers, silence, a closed port: each is there as often as it happened."""
    cut = [expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), close()]
    silent = [expect_request()]
    with ScriptServer(cut, cut, silent) as server, poollib.PoolManager(retries=False) as manager:
        prometheus(manager, registry=registry)
        for _ in range(2):
            with pytest.raises(poollib.exceptions.ProtocolError):
                manager.request("GET", server.url)
        with pytest.raises(poollib.exceptions.ReadTimeoutError):
            manager.request("GET", server.url, timeout=0.05)
        with pytest.raises(poollib.exceptions.NewConnectionError):
            manager.request("GET", f"http://127.0.0.1:{closed_port()}/")
    for kind, count in (("protocol", 2), ("read_timeout", 1), ("connect", 1)):
        assert total(registry, "poollib_requests_total", error=kind) == count, kind
    assert total(registry, "poollib_requests_total") == 4
    assert total(registry, "poollib_connect_errors_total", step="dial") == 1


class FaultyServer:
    """Answers by a plan, request by request, and counts what it saw and did; one plan for all its connections."""

    def __init__(self, plan: list[str]) -> None:
        self.plan = iter(plan)
        self.seen: Counter[str] = Counter()
        self.connections, self.is_over = 0, False
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self) -> None:
        while True:
            sock, _ = self.listener.accept()
            if self.is_over:
                sock.close()
                return
            self.connections += 1
            self.threads.append(threading.Thread(target=self.converse, args=(sock,)))
            self.threads[-1].start()

    def converse(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as file:
            while file.readline():
                while file.readline() not in (b"\r\n", b""):
                    pass
                with self.lock:
                    fault = next(self.plan)
                    self.seen[fault] += 1
                if fault == "silent":
                    file.read(1)  # until the client has enough
                    return
                sock.sendall(ANSWERS[fault])
                if fault in ("cut head", "cut body", "garbage"):
                    return

    def close(self) -> None:
        self.is_over = True
        socket.create_connection(self.listener.getsockname()).close()
        for thread in self.threads:
            thread.join(30)
        self.listener.close()


ANSWERS = {
    "ok": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "moved": b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    "busy": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\nConte",
    "cut body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    "garbage": b"ICY 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("settings", [{}, {"trace": poollib.Trace()}], ids=["alone", "beside a listener"])
def test_a_run_with_planted_faults_is_counted_as_the_server_saw_it(
    settings: dict[str, Any], registry: CollectorRegistry
) -> None:
    """Each export against the server's own count: requests by outcome, repetitions, connections opened and closed.

    Retries and redirects stay on: every attempt on the wire is a request or a repetition of one. A manager with
    another listener tells all by events, one without hardly any.
    """
    kinds = ["ok", "busy", "ok", "moved", "cut head", "ok", "cut body", "ok", "busy", "busy", "garbage", "silent", "ok"]
    server = FaultyServer(kinds * 3 + ["ok"])
    retries = poollib.Retry(2, status_forcelist=[503], raise_on_status=False)
    outcomes: Counter[str] = Counter()
    timeout = poollib.Timeout(connect=30, read=0.3)
    try:
        with poollib.PoolManager(retries=retries, timeout=timeout, **settings) as manager:
            prometheus(manager, registry=registry)
            while server.seen.total() < len(kinds) * 3:
                try:
                    outcomes[f"{manager.request('GET', server.url).status // 100}xx"] += 1
                except poollib.exceptions.HTTPError as error:
                    outcomes[error_kind(error)] += 1
            seen, connections = server.seen, server.connections
            faults = sum(seen[kind] for kind in ("cut head", "cut body", "garbage", "silent"))
            for outcome, count in outcomes.items():
                label = "status" if outcome.endswith("xx") else "error"
                assert total(registry, "poollib_requests_total", **{label: outcome}) == count, outcome
            requests = total(registry, "poollib_requests_total")
            repeats = total(registry, "poollib_repeats_total")
            assert requests == total(registry, "poollib_request_duration_seconds_count") == outcomes.total()
            assert requests + repeats == seen.total()
            assert total(registry, "poollib_repeats_total", event="redirected") == seen["moved"] == 3
            given_up = outcomes.total() - outcomes["2xx"]
            assert total(registry, "poollib_repeats_total", event="retried") == seen["busy"] + faults - given_up
            assert total(registry, "poollib_connection_events_total", event="opened") == connections == faults + 1
            assert total(registry, "poollib_connections_closed_total") == faults
            assert total(registry, "poollib_connection_events_total", event="returned") == seen.total() - faults
            leases = sum(total(registry, "poollib_connection_events_total", event=of) for of in ("opened", "reused"))
            assert leases == total(registry, "poollib_connection_usage_seconds_count") == seen.total()
            assert total(registry, "poollib_connection_acquire_seconds_count") == seen.total()
            assert total(registry, "poollib_connection_creation_seconds_count", step="dial") == connections
            assert total(registry, "poollib_connections", state="idle") == 1
            stats = manager.stats()["total"]
            assert (stats["requests"], stats["errors"]) == (seen.total(), faults - seen["cut body"])
    finally:
        server.close()


def test_every_way_to_send_a_request_is_counted_once(server: Httpd, registry: CollectorRegistry) -> None:
    """With times, hooks and options, by a pool itself, pipelined, streamed: beside plain ones, as the server saw it."""
    with poollib.PoolManager(retries=False) as manager:
        prometheus(manager, registry=registry)
        pool = manager.connection_from_url(url(server))
        for keywords in ({}, {"timings": True}, {"hooks": [lambda request, send: send(request)]}, {"limits": None}):
            manager.request("GET", url(server), **keywords)  # type: ignore[arg-type]
        manager.request("GET", url(server), max_response_size=1_000_000, timeout=poollib.Timeout(deadline=60))
        manager.request("GET", url(server), preload_content=False).drain_conn()
        pool.request("GET", "/")
        pool.request("GET", "/", timings=True)
        assert len(list(pool.pipeline(["/"] * 4, depth=4))) == 4
    assert total(registry, "poollib_requests_total", method="GET", status="2xx", error="") == len(server.requests) == 12
    assert total(registry, "poollib_request_duration_seconds_count") == 12
    assert 0 < total(registry, "poollib_request_duration_seconds_sum") < 12 * 60
    leases = 9  # what is pipelined shares one
    for event, count in (("opened", 1), ("reused", leases - 1), ("returned", leases)):
        assert total(registry, "poollib_connection_events_total", event=event) == count, event
    for name in ("acquire", "usage"):
        assert total(registry, f"poollib_connection_{name}_seconds_count") == leases, name
    assert 0 < total(registry, "poollib_connection_usage_seconds_sum") < leases * 60


def redirect_to(location: str) -> Callable[[Request], Response]:
    return lambda _: Response(b"", 302, {"Location": location})


def test_a_redirected_request_counts_for_the_pool_that_it_came_to(server: Httpd, registry: CollectorRegistry) -> None:
    away = f"http://127.0.0.1:{closed_port()}"
    routes = {"/to": url(server), "/away": f"{away}/"}
    with Httpd({path: redirect_to(location) for path, location in routes.items()}) as elsewhere:
        with poollib.PoolManager(retries=poollib.Retry(redirect=3, connect=0)) as manager:
            prometheus(manager, registry=registry)
            manager.request("GET", url(elsewhere, "/to"))
            with pytest.raises(poollib.exceptions.MaxRetryError):
                manager.request("GET", url(elsewhere, "/away"))
    first, last = (f"http://127.0.0.1:{each.port}" for each in (elsewhere, server))
    assert total(registry, "poollib_requests_total") == 2
    assert total(registry, "poollib_requests_total", pool=last, status="2xx") == 1
    assert total(registry, "poollib_requests_total", pool=away, error="connect") == 1
    assert total(registry, "poollib_repeats_total", pool=first, event="redirected") == 2
    assert total(registry, "poollib_connection_events_total", pool=first, event="opened") == 1


def test_a_request_that_comes_to_no_pool_is_counted(registry: CollectorRegistry) -> None:
    with poollib.PoolManager() as manager:
        prometheus(manager, registry=registry)
        with pytest.raises(poollib.exceptions.LocationValueError):
            manager.request("GET", "http://")
    assert total(registry, "poollib_requests_total", pool="", error="invalid_request") == 1


def test_a_connection_that_is_given_up_ends_its_lease(server: Httpd, registry: CollectorRegistry) -> None:
    with poollib.PoolManager() as manager:
        prometheus(manager, registry=registry)
        manager.request("GET", url(server), preload_content=False).close()
        assert total(registry, "poollib_connection_usage_seconds_count") == 1
        assert total(registry, "poollib_connection_events_total", event="returned") == 0
        assert total(registry, "poollib_connections_closed_total") == 1


def test_figures_that_nobody_has_read_stay_few(
    server: Httpd, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on its way to the cells is handed over from time to time, and none of it is lost."""
    for module in ("cells", "for_prometheus"):
        monkeypatch.setattr(f"poollib.metrics.{module}.MOST_VALUES", 4)
    with poollib.PoolManager() as manager:
        prometheus(manager, registry=registry)
        families = manager.connection_pool_kw["trace"].families
        for _ in range(11):
            manager.request("GET", url(server))
            requests = families.request_tally("default", url(server)[:-1], "GET", "2xx", "")
            leases = families.lease_tally("default", url(server)[:-1])
            assert max(len(values) for values in (requests.values, leases.values, leases.waits)) <= 5
        assert len(requests.values) + len(leases.values) + len(leases.waits) > 0
    assert total(registry, "poollib_requests_total") == 11
    for name in ("request_duration", "connection_acquire", "connection_usage"):
        assert total(registry, f"poollib_{name}_seconds_count") == 11
    assert total(registry, "poollib_connection_acquire_seconds_bucket", le="0.0001") == 11
    for event, count in (("opened", 1), ("reused", 10), ("returned", 11)):
        assert total(registry, "poollib_connection_events_total", event=event) == count, event


def test_values_taken_out_add_up(registry: CollectorRegistry) -> None:
    cells = HistogramCells("x_seconds", "text", (), (1, 2, 5))
    counter = CounterCell()
    tally = RequestTally(cells.labels(), counter)
    for value in (3.0, 0.5, 1.0, 9.0, 2.0, 1.5):
        tally.values.append(value)
    tally.hand_over()
    tally.hand_over()
    assert cells.labels().cumulated() == ([("1.0", 2.0), ("2.0", 4.0), ("5.0", 5.0), ("+Inf", 6.0)], 17.0)
    assert counter.value == 6


def test_what_comes_while_values_are_taken_out_stays() -> None:
    class Growing(list[float]):
        def __getitem__(self, place: Any) -> Any:
            found = super().__getitem__(place)
            self.append(3.0)
            return found

    values = Growing([1.0, 2.0])
    assert taken_out(values) == [1.0, 2.0]
    assert list(values) == [3.0]


def test_a_scrape_loses_nothing_that_is_counted_meanwhile(registry: CollectorRegistry) -> None:
    with poollib.PoolManager() as manager:
        prometheus(manager, registry=registry)
        meter = manager.connection_pool_kw["trace"]
        pool, count = meter.of_pool(None), meter.measured.answered
        asked, response = SimpleNamespace(meter=pool), SimpleNamespace(status=200)
        threads = [
            threading.Thread(target=lambda: [count(asked, "GET", response, 0.0) for _ in range(20_000)]),
            threading.Thread(target=lambda: [pool.lease_ended(0.1, True) for _ in range(20_000)]),
        ]
        for thread in threads:
            thread.start()
        before = 0.0
        while any(thread.is_alive() for thread in threads):
            now = total(registry, "poollib_requests_total")
            assert now >= before
            before = now
    assert total(registry, "poollib_requests_total") == 20_000
    assert total(registry, "poollib_connection_events_total", event="returned") == 20_000


def test_a_request_goes_on_where_counting_fails(
    server: Httpd, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    with poollib.PoolManager(retries=False) as manager:
        prometheus(manager, registry=registry)
        monkeypatch.setattr("poollib.metrics.for_prometheus.PrometheusPool.answered", fail)
        monkeypatch.setattr("poollib.metrics.for_prometheus.PrometheusPool.failed", fail)
        assert manager.request("GET", url(server)).status == 200
        with pytest.raises(poollib.exceptions.NewConnectionError):
            manager.request("GET", f"http://127.0.0.1:{closed_port()}/")
    assert [record.getMessage().split()[-3:] for record in caplog.records if record.exc_info] == [
        ["count", "a", "response"],
        ["count", "an", "error"],
    ]


def test_a_forked_child_goes_on_counting_whoever_held_a_lock(server: Httpd, registry: CollectorRegistry) -> None:
    with poollib.PoolManager() as manager:
        prometheus(manager, registry=registry)
        manager.request("GET", url(server))
        meter = manager.connection_pool_kw["trace"]
        locked = [*meter.families.tallies._tallies.values()]
        locked += [cell for cells in meter.families._cells for _, cell in cells.items()]
        held, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            with ExitStack() as stack:
                for cell in locked:
                    stack.enter_context(cell._lock)
                held.set()
                let_go.wait(60)

        def ask() -> tuple[float, ...]:
            manager.request("GET", url(server))
            names = ("requests_total", "connection_usage_seconds_count", "connection_events_total")
            return tuple(total(registry, f"poollib_{name}") for name in names)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            assert held.wait(60)
            assert in_child(ask) == "(2.0, 2.0, 4.0)"
        finally:
            let_go.set()
            thread.join()
    assert total(registry, "poollib_requests_total") == 1


def test_measuring_takes_few_calls(server: Httpd, registry: CollectorRegistry) -> None:
    """Of all that a small GET calls, measuring is less than a fourth: by events it was more than half."""
    with poollib.PoolManager() as plain, poollib.PoolManager() as measured:
        prometheus(measured, registry=registry)
        for manager in (plain, measured):
            manager.request("GET", url(server))
        calls = [counted(lambda: manager.request("GET", url(server))).calls for manager in (plain, measured)]  # noqa: B023
    assert calls[1] - calls[0] <= 10, calls


def test_repetitions_and_redirects_are_counted_apart_from_requests(server: Httpd, registry: CollectorRegistry) -> None:
    server.routes["/moved"] = lambda _: Response(b"", 302, {"Location": "/"})
    retries = poollib.Retry(2, status_forcelist=[503], raise_on_status=False)
    with poollib.PoolManager(retries=retries) as manager:
        prometheus(manager, registry=registry)
        manager.request("GET", url(server, "/busy"))
        manager.request("GET", url(server, "/moved"))
    assert total(registry, "poollib_requests_total") == 2
    assert total(registry, "poollib_repeats_total", event="retried") == 2
    assert total(registry, "poollib_repeats_total", event="redirected") == 1
    assert len(server.requests) == 2 + 3


def test_the_gauges_tell_active_idle_pending_and_max_while_it_happens(
    server: Httpd, registry: CollectorRegistry
) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold(_: Request) -> Response:
        held.set()
        let_go.wait(10)
        return Response(b"")

    server.routes["/held"] = hold
    with poollib.PoolManager(maxsize=1, block=True) as manager:
        prometheus(manager, registry=registry)
        threads = [threading.Thread(target=manager.request, args=("GET", url(server, "/held"))) for _ in range(2)]
        try:
            for thread in threads:
                thread.start()
            assert held.wait(10)
            (pool,) = manager.stats()["pools"]
            for _ in range(1000):
                if manager.stats()["pools"][pool]["waiting"]:
                    break
                threads[0].join(0.01)
            assert total(registry, "poollib_connections", state="active", pool=pool) == 1
            assert total(registry, "poollib_connections_pending", pool=pool) == 1
            assert total(registry, "poollib_connections_max", pool=pool) == 1
            with pytest.raises(poollib.exceptions.EmptyPoolError):
                manager.request("GET", url(server), pool_timeout=0.01)
        finally:
            let_go.set()
            for thread in threads:
                thread.join(10)
        assert total(registry, "poollib_connections", state="active") == 0
        assert total(registry, "poollib_connections", state="idle") == 1
    assert total(registry, "poollib_acquire_timeouts_total") == 1
    assert total(registry, "poollib_requests_total", error="pool_timeout") == 1
    assert total(registry, "poollib_connection_acquire_seconds_count") == 2
    assert total(registry, "poollib_connection_acquire_seconds_sum") > 0


def test_waits_for_a_turn_and_refusals_are_counted(server: Httpd, registry: CollectorRegistry) -> None:
    limit = poollib.RateLimit(1000)
    with poollib.PoolManager(block=True, max_waiting=0, rate=limit) as manager:
        prometheus(manager, registry=registry)
        for _ in range(2):
            limit.take(server.host, time.monotonic() + 0.2)
            manager.request("GET", url(server))
        with manager.request("GET", url(server), preload_content=False):
            with pytest.raises(poollib.exceptions.TooManyWaitingError):
                manager.request("GET", url(server))
        limit.take(server.host, time.monotonic() + 60)
        with pytest.raises(poollib.exceptions.RateLimitError):
            manager.request("GET", url(server), pool_timeout=0.0)
        stats = manager.stats()["total"]
    assert total(registry, "poollib_rate_wait_seconds_count") == stats["rate_waited"] >= 2
    assert total(registry, "poollib_rate_wait_seconds_sum") == pytest.approx(stats["rate_wait_s"])
    assert total(registry, "poollib_acquire_refusals_total") == stats["refused"] == 1
    for kind in ("too_many_waiting", "rate_limited"):
        assert total(registry, "poollib_requests_total", error=kind) == 1
    assert len(server.requests) == 3


def test_several_managers_share_the_families_and_names_are_not_taken_twice(
    server: Httpd, registry: CollectorRegistry
) -> None:
    with poollib.PoolManager() as one, poollib.Client(url(server)) as two:
        prometheus(one, name="one", registry=registry)
        prometheus(two, name="two", registry=registry)
        with pytest.raises(ValueError, match="'one' is measured in this registry already"):
            prometheus(poollib.PoolManager(), name="one", registry=registry)
        one.request("GET", url(server))
        two.get("")
        two.get("")
        assert total(registry, "poollib_requests_total", manager="one") == 1
        assert total(registry, "poollib_requests_total", manager="two") == 2
        assert total(registry, "poollib_connections", manager="two", state="idle") == 1


def test_a_manager_that_is_gone_leaves_its_name_free(registry: CollectorRegistry) -> None:
    prometheus(poollib.PoolManager(), name="one", registry=registry)
    gc.collect()
    prometheus(poollib.PoolManager(), name="one", registry=registry)


def test_clients_of_a_manager_are_measured_with_it(server: Httpd, registry: CollectorRegistry) -> None:
    with poollib.PoolManager() as manager:
        prometheus(manager, registry=registry)
        manager.client(url(server)).get("")
        assert total(registry, "poollib_requests_total") == 1


def test_a_measured_manager_travels_without_its_measures(server: Httpd, registry: CollectorRegistry) -> None:
    with poollib.PoolManager() as manager:
        prometheus(manager, registry=registry)
        with pickle.loads(pickle.dumps(manager)) as twin:
            assert twin.request("GET", server.url).status == 200


def test_pools_beyond_the_limit_are_one_label(registry: CollectorRegistry) -> None:
    with poollib.PoolManager(retries=False) as manager:
        prometheus(manager, registry=registry, max_pools=2)
        for number in range(6):
            with suppress(poollib.exceptions.HTTPError):
                manager.request("GET", f"http://127.0.0.{number + 1}:{closed_port()}/")
    rows = samples(generate_latest(registry).decode())["poollib_requests_total"]
    assert len({labels["pool"] for labels, _ in rows}) == 3
    assert total(registry, "poollib_requests_total", pool="other") == 4


def test_no_label_holds_what_a_caller_or_a_server_chose(server: Httpd, registry: CollectorRegistry) -> None:
    """Paths, queries, users, passwords, reasons of a program's own: none of it is in the exposition."""
    secret = "tops3cret"
    with poollib.PoolManager(retries=False) as manager:
        prometheus(manager, registry=registry)
        manager.request(secret.upper(), f"http://{secret}:{secret}@127.0.0.1:{server.port}/{secret}?{secret}={secret}")
        manager.connection_from_url(url(server)).refresh(secret)
    assert secret not in generate_latest(registry).decode().lower()


def test_a_listener_that_was_there_hears_on(server: Httpd, registry: CollectorRegistry) -> None:
    class Heads(poollib.Trace):
        def __init__(self) -> None:
            self.statuses: list[int] = []

        def head_read(self, status: int, reason: str) -> None:
            self.statuses.append(status)
            raise RuntimeError("a listener's fault")

    heads = Heads()
    with poollib.PoolManager(trace=heads) as manager:
        prometheus(manager, registry=registry)
        manager.request("GET", url(server))
    assert heads.statuses == [200]
    assert total(registry, "poollib_requests_total") == 1


@pytest.mark.parametrize(("argument", "text"), [({"max_pools": 0}, "max_pools must be at least 1, not 0")])
def test_what_cannot_be_meant_is_said(argument: dict[str, int], text: str, registry: CollectorRegistry) -> None:
    with pytest.raises(ValueError, match=text):
        prometheus(poollib.PoolManager(), registry=registry, **argument)


@pytest.mark.parametrize(
    ("name", "error"), [("\udcff", ValueError), (None, TypeError), (5, TypeError), (b"x", TypeError)]
)
def test_a_name_that_would_break_every_scrape_is_refused(
    name: object, error: type[Exception], registry: CollectorRegistry
) -> None:
    with pytest.raises(error, match="name must be"):
        prometheus(poollib.PoolManager(), name=name, registry=registry)  # type: ignore[arg-type]
    assert b"udcff" not in generate_latest(registry)


@pytest.mark.parametrize("name", ["a\nb", 'quo"te', "back\\slash", "\x00", "h\u00e9", ""])
def test_names_of_any_text_are_read_back(name: str, server: Httpd, registry: CollectorRegistry) -> None:
    with poollib.PoolManager() as manager:
        prometheus(manager, name=name, registry=registry)
        manager.request("GET", url(server))
    assert total(registry, "poollib_requests_total", manager=name) == 1


def test_a_registry_that_was_cleared_is_filled_again(server: Httpd, registry: CollectorRegistry) -> None:
    """As suites do between tests; the next manager was measured for nobody."""
    with poollib.PoolManager() as manager, poollib.PoolManager() as other:
        prometheus(manager, registry=registry)
        for collector in list(registry._collector_to_names):
            registry.unregister(collector)
        manager.request("GET", url(server))
        assert generate_latest(registry) == b""
        prometheus(other, name="other", registry=registry)
        other.request("GET", url(server))
    assert total(registry, "poollib_requests_total", manager="other") == 1


def test_what_is_no_manager_is_refused(registry: CollectorRegistry) -> None:
    with pytest.raises(TypeError, match="manager must be a PoolManager or a Client, not 7"):
        prometheus(7, registry=registry)  # type: ignore[arg-type]


#: What takes a reason for the end of a connection, and at which place.
GIVES_A_REASON = {
    "_count_drop_locked": 0,
    "_end_lease": 1,
    "_drop": 1,
    "_empty": 0,
    "discard": 1,
    "discard_idle_locked": 1,
    "drop_idle": 0,
    "drop_unusable": 0,
    "refresh": 0,
}


def reasons_in(tree: ast.AST) -> Iterator[str]:
    """Every text by which a module ends a connection: given to one of those, a default of theirs, or set as reason."""
    for node in ast.walk(tree):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            found = node.args[GIVES_A_REASON[name] :][:1] if name in GIVES_A_REASON else []
        elif isinstance(node, ast.FunctionDef) and node.name in GIVES_A_REASON:
            found = [*node.args.defaults]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("reason", "entry.reason"):
            found = [node.value]
        elif isinstance(node, ast.FunctionDef) and node.name == "close_reason":
            found = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return)]
        for part in found:
            inner = ast.walk(part) if part is not None else ()
            yield from (one.value for one in inner if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_every_reason_for_which_a_connection_ends_has_its_label(server: Httpd, registry: CollectorRegistry) -> None:
    sources = [
        path for parts in ("pool/*", "client/*", "*", "exchange/transport") for path in PACKAGE.glob(parts + ".py")
    ]
    found = {reason for path in sources for reason in reasons_in(ast.parse(path.read_text()))}
    told = {reason for reason in found if not reason.startswith("given back while ")} - {""}
    assert {"dead", "closed", "interrupted", "drained", "settings changed"} <= told
    assert told <= REASONS
    assert {state.POOL_FULL, state.POOL_CLOSED, state.DETACHED, entry.MAX_LIFETIME, entry.PEER_LIMIT} <= REASONS
    with poollib.PoolManager() as manager:
        prometheus(manager, registry=registry)
        manager.request("GET", url(server))
        server.disconnect()
        manager.request("GET", url(server))
    assert total(registry, "poollib_connections_closed_total", reason="dead") == 1


def test_every_kind_of_error_has_one_word() -> None:
    assert error_kind(None) == ""
    assert error_kind(KeyboardInterrupt()) == "other"
    reason = poollib.exceptions.ReadTimeoutError(None, "/", "slow")  # type: ignore[arg-type]
    assert error_kind(poollib.exceptions.MaxRetryError(None, "/", reason)) == "read_timeout"  # type: ignore[arg-type]
    assert error_kind(poollib.exceptions.MaxRetryError(None, "/")) == "too_many_retries"  # type: ignore[arg-type]
    assert all(kind.replace("_", "").isalpha() for _, kind in ERROR_KINDS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_finds_nothing_to_say(server: Httpd, registry: CollectorRegistry) -> None:
    with poollib.PoolManager() as manager:
        prometheus(manager, registry=registry)
        manager.request("GET", url(server))
        text = generate_latest(registry)
    told = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60)
    assert (told.returncode, told.stdout + told.stderr) == (0, b"")


WORKER = """
    import os, sys
    import poollib
    from poollib.metrics import prometheus

    with poollib.PoolManager(maxsize=3) as manager:
        prometheus(manager)
        for _ in range(int(sys.argv[2])):
            manager.request("GET", sys.argv[1])
        print(end="done", flush=True)
        sys.stdin.read()
"""
READER = """
    from prometheus_client import CollectorRegistry, Histogram, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    print(generate_latest(registry).decode())
"""


@pytest.mark.slow
def test_several_processes_are_read_as_one(server: Httpd, tmp_path: Path) -> None:
    """prometheus-client's multiprocess mode: counters and gauges of all living processes in sum."""
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def start(code: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    workers = [start(WORKER, url(server), str(count)) for count in (2, 3)]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.read(4) == "done"
        text, errors = start(READER).communicate(timeout=60)
    finally:
        for worker in workers:
            worker.communicate("", timeout=60)
    assert errors == ""
    found = samples(text)
    pool = f"http://127.0.0.1:{server.port}"
    assert sum(value for _, value in found["poollib_requests_total"]) == 5
    assert {labels["pool"] for labels, _ in found["poollib_connections"]} == {pool}
    by_state = {labels["state"]: value for labels, value in found["poollib_connections"]}
    assert by_state == {"idle": 2, "active": 0, "opening": 0, "closing": 0}
    assert [value for _, value in found["poollib_connections_max"]] == [6]
    assert sum(value for _, value in found["poollib_request_duration_seconds_count"]) == 5


def test_the_names_are_those_of_the_documentation(registry: CollectorRegistry) -> None:
    prometheus(poollib.PoolManager(), registry=registry)
    names = {family.name for family in text_string_to_metric_families(generate_latest(registry).decode())}
    assert sorted(names) == (
        [
            "poollib_acquire_refusals",
            "poollib_acquire_timeouts",
            "poollib_connect_errors",
            "poollib_connection_acquire_seconds",
            "poollib_connection_creation_seconds",
            "poollib_connection_events",
            "poollib_connection_usage_seconds",
            "poollib_connections",
            "poollib_connections_closed",
            "poollib_connections_max",
            "poollib_connections_pending",
            "poollib_rate_wait_seconds",
            "poollib_repeats",
            "poollib_request_duration_seconds",
            "poollib_requests",
        ]
    )
