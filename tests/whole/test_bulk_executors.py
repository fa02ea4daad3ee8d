"""Bulk through executors: whatever becomes of workers, each request has one result, and no host more than it may bear.

Real process pools, a real Dask cluster and a real Ray on loopback, with a worker killed on the way, counted against
what the servers saw (a larger POOLLIB_BULK_URLS for more); thread pools, and executors that lose batches to order, for
the rest.
"""

from __future__ import annotations

import collections
import importlib.util
import multiprocessing
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeAlias

import pytest

from poollib import HTTPHeaderDict, PoolManager, Retry
from poollib.bulk import BulkRequest, Result, fetch
from poollib.exceptions import HTTPError, MaxRetryError
from tests.support.faulty_hosts import Faulty
from tests.support.httpd import Httpd, Request, Response

HOSTS = 50
PER_HOST = 4
#: URLs of the slow tests, which count what 50 hosts with 2 % faults have seen.
URLS = int(os.environ.get("POOLLIB_BULK_URLS", "4000"))

Kill: TypeAlias = Callable[[], None]


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd() as httpd:
        yield httpd


@pytest.fixture
def faulty(server: Httpd) -> Faulty:
    """The server's routes: 2 % faults, everything is counted."""
    server.routes = faulty = Faulty()
    return faulty


@pytest.fixture
def manager() -> Iterator[PoolManager]:
    resolve = {f"h{number}.test": ["127.0.0.1"] for number in range(HOSTS)}
    with PoolManager(num_pools=HOSTS, maxsize=8, resolve=resolve) as made:
        yield made


def urls(httpd: Httpd, count: int, hosts: int = 4) -> list[str]:
    return [f"http://h{number % hosts}.test:{httpd.port}/{number}" for number in range(count)]


def count_with_kills(results: Iterator[Result], wanted: list[str], faulty: Faulty, share: dict[float, Kill]) -> None:
    """Each URL has one result, a good one, and no host had more than it may; workers are killed on the way."""
    seen: collections.Counter[str] = collections.Counter()
    kills = {int(len(wanted) * done): kill for done, kill in share.items()}
    for result in results:
        seen[result.request.url] += 1
        assert result.status == 200
        kills.get(seen.total(), lambda: None)()
    assert seen == collections.Counter(wanted)
    assert set(wanted) == set(faulty.asked)
    assert faulty.most <= PER_HOST * (1 + len(kills))  # what a killed worker has sent may still be on its way


def spawned() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


class Inline(Executor):
    """Runs what it is given at once; `lose` is asked after each and may say that its worker was lost then."""

    def __init__(self, lose: Callable[[int], BaseException | None] = lambda number: None) -> None:
        self.lose, self.submitted = lose, 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kw: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.submitted += 1
        error = self.lose(self.submitted)
        result = fn(*pickle.loads(pickle.dumps(args)))
        if error is None:
            future.set_result(pickle.loads(pickle.dumps(result)))
        else:
            future.set_exception(error)
        return future


@pytest.mark.parametrize("pipeline", [1, 8])
def test_each_request_has_one_result(server: Httpd, manager: PoolManager, pipeline: int) -> None:
    wanted = urls(server, 200)
    with ThreadPoolExecutor(3) as executor:
        results = list(fetch(wanted, executor=executor, manager=manager, pipeline=pipeline))
    assert sorted(result.request.url for result in results) == sorted(wanted)
    assert all(result.is_ok for result in results)
    assert len(server.requests) == 200


def test_a_host_never_has_more_requests_than_it_may_whoever_sends_them(server: Httpd, manager: PoolManager) -> None:
    now: collections.Counter[str] = collections.Counter()
    most: collections.Counter[str] = collections.Counter()
    lock = threading.Lock()

    def counted(request: Request) -> Response:
        host = request.header("Host") or ""
        with lock:
            now[host] += 1
            most[host] = max(most[host], now[host])
        time.sleep(0.001)  # so that they would meet
        with lock:
            now[host] -= 1
        return Response(b"x")

    server.routes.update({f"/{number}": counted for number in range(200)})
    with ThreadPoolExecutor(8) as executor:
        results = list(fetch(urls(server, 200), executor=executor, manager=manager, per_host=2, batches=8))
    assert len(results) == 200
    assert max(most.values()) <= 2


def test_a_rate_is_kept_across_batches(server: Httpd) -> None:
    times: list[float] = []

    def timed(_: Request) -> Response:
        times.append(time.monotonic())
        return Response(b"")

    server.routes.update({f"/{number}": timed for number in range(8)})
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as executor:
        results = list(fetch([f"{server.url}/{number}" for number in range(8)], executor=executor, rate=40))
    assert len(results) == 8
    assert times[-1] - begun >= 8 / 40


@pytest.mark.parametrize("pipeline", [1, 4])
def test_a_batch_whose_time_is_over_ends_with_what_it_has_and_the_rest_goes_later(
    server: Httpd, manager: PoolManager, pipeline: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent host of the eight in a batch would keep their results for as long as its 64 requests take to fail."""
    monkeypatch.setattr("poollib.bulk.executor.LANE_S", 0.0)
    executor = Inline()
    wanted = urls(server, 64)
    results = list(fetch(wanted, executor=executor, manager=manager, pipeline=pipeline, per_host=1, batches=1))
    assert sorted(result.request.url for result in results) == sorted(wanted)
    assert executor.submitted == 64 // 4 // pipeline
    if pipeline == 1:
        assert len(server.requests) == 64
    order = [result.request.url for result in results if "//h0." in result.request.url]
    assert order == [url for url in wanted if "//h0." in url]


def test_a_lost_batch_is_sent_again_and_never_counted_twice(server: Httpd, manager: PoolManager) -> None:
    """Every second batch is lost after its requests were sent: the worst moment."""
    wanted = urls(server, 64)
    executor = Inline(lambda number: OSError("worker lost") if number % 2 else None)
    results = list(fetch(wanted, executor=executor, manager=manager, batches=2))
    assert sorted(result.request.url for result in results) == sorted(wanted)
    assert all(result.is_ok for result in results)
    assert len(server.requests) > 64


def test_a_batch_that_no_worker_outlives_ends_as_errors(server: Httpd) -> None:
    executor = Inline(lambda number: OSError("worker lost"))
    results = list(fetch([f"{server.url}/{number}" for number in range(3)], executor=executor, per_host=1))
    assert [str(result.error) for result in results] == ["worker lost"] * 3
    assert executor.submitted == 5


def test_a_broken_executor_is_made_anew_where_it_can_be(server: Httpd, manager: PoolManager) -> None:
    made: list[Inline] = []

    def make() -> Inline:
        lost = BrokenProcessPool("broken") if not made else None
        made.append(Inline(lambda number: lost))
        return made[-1]

    assert len(list(fetch(urls(server, 64), executor=make, manager=manager, batches=2))) == 64
    assert len(made) == 2


def test_a_broken_executor_ends_the_run_and_the_next_one_goes_on(
    server: Httpd, manager: PoolManager, tmp_path: pathlib.Path
) -> None:
    wanted = [f"{server.url}/{number}" for number in range(300)]  # of one host: several batches after each other
    broken = Inline(lambda number: BrokenProcessPool("broken") if number == 3 else None)
    given: list[Result] = []
    with pytest.raises(BrokenProcessPool):
        given.extend(fetch(wanted, executor=broken, to=tmp_path, per_host=1))
    done = len((tmp_path / "journal.jsonl").read_text().splitlines())
    assert done == 128
    rest = list(fetch(wanted, executor=Inline(), to=tmp_path, per_host=1))
    assert len(rest) == 300 - done


def test_errors_and_tags_come_back_from_workers(server: Httpd) -> None:
    items = [BulkRequest("http://127.0.0.1:9/", tag=("x", 1)), BulkRequest(f"{server.url}/1", tag=2)]
    results = {result.request.tag: result for result in fetch(items, executor=Inline(), retries=Retry(0))}
    assert isinstance(results["x", 1].error, MaxRetryError)
    assert isinstance(results[2].headers, HTTPHeaderDict)


class UnportableError(Exception):
    def __init__(self, one: object, two: object) -> None:
        super().__init__(f"{one} and {two}")


def test_an_error_that_can_not_travel_comes_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(*args: object, **kw: object) -> None:
        raise UnportableError("one", "two")

    monkeypatch.setattr(PoolManager, "urlopen", urlopen)
    (result,) = fetch(["http://127.0.0.1:9/"], executor=Inline())
    assert type(result.error) is HTTPError
    assert str(result.error) == "UnportableError: one and two"


def test_what_is_no_executor_is_refused() -> None:
    with pytest.raises(TypeError, match=r"an executor has submit\(\)"):
        fetch([], executor=7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batches must be 1 or more"):
        fetch([], executor=Inline(), batches=0)


@pytest.mark.slow
@pytest.mark.may_leave("multiprocessing's resource tracker lives as long as the program")
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_process_pools_worker_is_killed_on_the_way(
    server: Httpd, faulty: Faulty, manager: PoolManager, tmp_path: pathlib.Path
) -> None:
    pools: list[ProcessPoolExecutor] = []

    def make() -> ProcessPoolExecutor:
        pools.append(spawned())
        return pools[-1]

    def kill() -> None:
        os.kill(next(iter(pools[-1]._processes)), signal.SIGKILL)

    wanted = urls(server, URLS, HOSTS)
    results = fetch(wanted, executor=make, manager=manager, to=tmp_path, pipeline=8)
    count_with_kills(results, wanted, faulty, {0.125: kill, 0.625: kill})
    assert len(pools) == 3
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == URLS


@pytest.mark.slow
@pytest.mark.may_leave("loky's resource tracker lives as long as the program")
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_worker_of_loky_is_killed_on_the_way(server: Httpd, faulty: Faulty, manager: PoolManager) -> None:
    loky = pytest.importorskip("loky", reason="loky is not installed: pip install poollib[dask]")

    def make() -> Any:
        return loky.get_reusable_executor(max_workers=2)

    wanted = urls(server, URLS, HOSTS)
    results = fetch(wanted, executor=make, manager=manager)
    count_with_kills(results, wanted, faulty, {0.125: lambda: os.kill(next(iter(make()._processes)), signal.SIGKILL)})


#: The adapter of the page, on a Ray of this machine. Ray sends a lost worker's task again by itself.
RAY = """
import os, signal, sys, time
import ray
from ray_executor import RayExecutor
from poollib import PoolManager
from poollib.bulk import fetch

hosts, *urls = sys.stdin.read().split("\\n")
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
pid = ray.get(ray.remote(lambda: os.getpid()).remote())
manager = PoolManager(num_pools=50, maxsize=8, resolve={f"h{n}.test": ["127.0.0.1"] for n in range(int(hosts))})
for number, result in enumerate(fetch(urls, executor=RayExecutor(), manager=manager)):
    print(result.request.url if result.is_ok else result)
    if number == 500:
        os.kill(pid, signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_worker_of_ray_is_killed_on_the_way(server: Httpd, faulty: Faulty, tmp_path: pathlib.Path) -> None:
    if not importlib.util.find_spec("ray"):
        pytest.skip("Ray is not installed: pip install ray")
    wanted = urls(server, URLS, HOSTS)
    root = pathlib.Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "docs" / "examples")])
    environment = {**os.environ, "PYTHONPATH": path, "HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(
        [sys.executable, "-c", RAY],
        input="\n".join([str(HOSTS), *wanted]),
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    printed = [line for line in done.stdout.splitlines() if line.startswith("http")]
    assert collections.Counter(printed) == collections.Counter(wanted), done.stderr
    assert faulty.most <= 2 * PER_HOST


@pytest.mark.slow
@pytest.mark.may_leave("a Dask cluster's threads and sockets end when its event loop does")
def test_a_dask_clusters_worker_is_killed_on_the_way(
    server: Httpd, faulty: Faulty, manager: PoolManager, tmp_path: pathlib.Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install poollib[dask]")
    wanted = urls(server, URLS, HOSTS)
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        with client.get_executor() as executor:
            results = fetch(wanted, executor=executor, manager=manager, to=tmp_path / "to")
            count_with_kills(results, wanted, faulty, {0.125: lambda: os.kill(pids[0], signal.SIGKILL)})
    assert len((tmp_path / "to" / "journal.jsonl").read_text().splitlines()) == URLS
