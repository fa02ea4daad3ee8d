"""Many requests in one call: each has one result, no host more than it may bear, and a killed run goes on.

The servers count; what they saw decides.
"""

from __future__ import annotations

import collections
import itertools
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from poollib import Client, PoolManager, Retry, Timeout
from poollib.bulk import BulkRequest, Progress, Result, fetch
from poollib.bulk.requests import Item
from poollib.exceptions import DeadlineExceededError, LocationValueError, MaxRetryError
from tests.support.httpd import Httpd, Request, Response

ONCE = Retry(0, redirect=3)


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd() as httpd:
        yield httpd


def manager_for(httpd: Httpd, hosts: int) -> PoolManager:
    """Names h0, h1, ... that all lead to the one server."""
    return PoolManager(
        num_pools=hosts, maxsize=8, resolve={f"h{number}.test": ["127.0.0.1"] for number in range(hosts)}
    )


def urls(httpd: Httpd, hosts: int, count: int) -> list[str]:
    return [f"http://h{number % hosts}.test:{httpd.port}/{number}" for number in range(count)]


@pytest.mark.parametrize("pipeline", [1, 8])
def test_each_request_has_one_result(server: Httpd, pipeline: int) -> None:
    with manager_for(server, 5) as manager:
        wanted = urls(server, 5, 100)
        results = list(fetch(wanted, manager=manager, pipeline=pipeline, threads=4))
    assert sorted(result.request.url for result in results) == sorted(wanted)
    for result in results:
        assert json.loads(result.data)["target"] == "/" + result.request.url.rpartition("/")[2]
        assert (result.status, result.is_ok, result.size_bytes) == (200, True, len(result.data))
    assert sorted(int(request.path[1:]) for request in server.requests) == list(range(100))


def test_methods_header_fields_and_bodies_go_along_in_a_pipeline_as_well(server: Httpd) -> None:
    items: list[Item] = [
        f"{server.url}/0",
        ("HEAD", f"{server.url}/1"),
        ("GET", f"{server.url}/2", {"X-Asked": "2"}),
        BulkRequest(f"{server.url}/3", "PUT", {"X-Asked": "3"}, b"body", tag=("any", "thing")),
    ]
    for pipeline in (1, 4):
        server.requests.clear()
        by_url = {result.request.url[-1]: result for result in fetch(items, pipeline=pipeline)}
        seen = {request.path[1:]: request for request in server.requests}
        assert {name: request.method for name, request in seen.items()} == {
            "0": "GET",
            "1": "HEAD",
            "2": "GET",
            "3": "PUT",
        }
        assert [seen[name].header("X-Asked") for name in "23"] == ["2", "3"]
        assert seen["3"].body == b"body"
        assert by_url["3"].request.tag == ("any", "thing")


def test_what_fails_is_a_result_and_the_others_go_on(server: Httpd) -> None:
    server.routes["/gone"] = lambda _: Response(b"no", 404)
    items = [f"{server.url}/gone", "no url", None, "http://127.0.0.1:9/refused", f"{server.url}/ok"]
    results = {result.request.url: result for result in fetch(items, retries=ONCE)}  # type: ignore[arg-type]
    assert len(results) == 5
    assert (results[f"{server.url}/gone"].status, results[f"{server.url}/gone"].data) == (404, b"no")
    assert isinstance(results["no url"].error, LocationValueError)
    assert isinstance(results["None"].error, TypeError)
    assert isinstance(results["http://127.0.0.1:9/refused"].error, MaxRetryError)
    assert [url for url, result in results.items() if result.is_ok] == [f"{server.url}/ok"]


def test_statuses_are_retried_and_one_that_stays_is_the_result(server: Httpd) -> None:
    answers = iter([503, 200])
    server.routes["/healed"] = lambda _: Response(b"", next(answers))
    server.routes["/broken"] = lambda _: Response(b"", 503)
    retries = Retry(2, status_forcelist=[503], raise_on_status=False)
    results = {r.request.url[-6:]: r for r in fetch([f"{server.url}/healed", f"{server.url}/broken"], retries=retries)}
    assert {name: result.status for name, result in results.items()} == {"healed": 200, "broken": 503}
    assert collections.Counter(request.path for request in server.requests) == {"/healed": 2, "/broken": 3}


def test_one_deadline_ends_a_request_with_its_repetitions(server: Httpd, tmp_path: pathlib.Path) -> None:
    server.routes["/busy"] = lambda _: Response(b"", 503)
    retries = Retry(100, backoff_factor=0.05, status_forcelist=[503])
    for to in (None, tmp_path):
        (result,) = fetch([f"{server.url}/busy"], retries=retries, timeout=Timeout(deadline=0.2), to=to)
        assert isinstance(result.error, DeadlineExceededError)


def test_one_deadline_ends_a_body_that_breaks_off_again_and_again(server: Httpd, tmp_path: pathlib.Path) -> None:
    """Repetitions wait 0.2, 0.4, ... seconds; the first wait alone is within the deadline."""

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    server.routes["/cut"] = lambda _: Response(broken(), close=True)
    (result,) = fetch(
        [f"{server.url}/cut"], retries=Retry(9, backoff_factor=0.1), timeout=Timeout(deadline=0.3), to=tmp_path
    )
    assert isinstance(result.error, DeadlineExceededError)


@pytest.mark.parametrize("pipeline", [1, 4])
def test_a_host_never_has_more_requests_than_it_may(server: Httpd, pipeline: int) -> None:
    """Seen by the server: connections with a request on them, by host."""
    now: collections.Counter[str] = collections.Counter()
    most: collections.Counter[str] = collections.Counter()
    lock, together, came = threading.Lock(), threading.Barrier(4), itertools.count()

    def counted(request: Request) -> Response:
        host = request.header("Host") or ""
        with lock:
            now[host] += 1
            most[host] = max(most[host], now[host])
        if next(came) < 4 and pipeline == 1:
            together.wait(20)  # two of each host, at the same time
        with lock:
            now[host] -= 1
        return Response(b"x")

    server.routes.update({f"/{number}": counted for number in range(60)})
    with manager_for(server, 2) as manager:
        results = list(fetch(urls(server, 2, 60), manager=manager, per_host=2, pipeline=pipeline, threads=16))
    assert len(results) == 60
    assert all(result.is_ok for result in results)
    assert set(most) == {f"h0.test:{server.port}", f"h1.test:{server.port}"}
    if pipeline == 1:
        assert set(most.values()) == {2}
    else:
        assert max(most.values()) <= 2


def test_a_rate_is_kept_by_the_host_and_other_hosts_do_not_wait_for_it(server: Httpd) -> None:
    times: dict[str, list[float]] = collections.defaultdict(list)

    def timed(request: Request) -> Response:
        times[request.header("Host") or ""].append(time.monotonic())
        return Response(b"")

    server.routes.update({f"/{number}": timed for number in range(10)})
    with manager_for(server, 2) as manager:
        begun = time.monotonic()
        assert len(list(fetch(urls(server, 2, 10), manager=manager, rate=50))) == 10
    for seen in times.values():
        assert len(seen) == 5
        assert seen[-1] - begun >= 4 / 50


#: As many files as macOS lets a program have open; the names all lead to one server.
MANY_HOSTS = """
import collections, resource, socket, sys
from poollib.bulk import fetch
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
lookup = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: lookup("127.0.0.1", *rest, **named)
urls = (f"http://h{number}.test:{sys.argv[1]}/" for number in range(600))
print(collections.Counter(str(result.error or result.status) for result in fetch(urls, retries=0)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on open files there")
def test_many_hosts_do_not_spend_the_files_that_a_process_may_have_open(server: Httpd) -> None:
    """Each kept its connections: at 10,000 hosts nothing went out any more, and every repetition waited."""
    command = [sys.executable, "-c", MANY_HOSTS, str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "Counter({'200': 600})\n", done.stdout + done.stderr


def test_bodies_go_to_files_and_only_those_of_2xx(server: Httpd, tmp_path: pathlib.Path) -> None:
    body = bytes(range(256)) * 1000
    server.routes["/big.bin"] = lambda _: Response([body[:1000], body[1000:]])
    server.routes["/gone"] = lambda _: Response(b"sorry", 404)
    for pipeline in (1, 4):
        folder = tmp_path / str(pipeline)
        wanted = [f"{server.url}/big.bin", f"{server.url}/gone"]
        results = {result.request.url: result for result in fetch(wanted, to=folder, pipeline=pipeline)}
        big, gone = (results[url] for url in wanted)
        assert (big.data, big.size_bytes) == (b"", len(body))
        assert pathlib.Path(big.path or "").read_bytes() == body
        assert (gone.status, gone.path) == (404, None)
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sorted(path.name for path in files) == sorted([pathlib.Path(big.path or "").name, "journal.jsonl"])


def test_a_body_that_breaks_off_is_asked_for_again_and_no_half_of_it_is_left(
    server: Httpd, tmp_path: pathlib.Path
) -> None:
    def cut(times: int) -> Iterator[Iterator[bytes]]:
        for number in range(times + 1):
            yield broken() if number < times else iter([b"all", b" of it"])

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    bodies = {"/twice": cut(2), "/often": cut(9)}
    server.routes.update({path: lambda request: Response(next(bodies[request.path]), close=True) for path in bodies})
    results = {
        result.request.url[-5:]: result
        for result in fetch([f"{server.url}/twice", f"{server.url}/often"], to=tmp_path, retries=Retry(3))
    }
    assert pathlib.Path(results["twice"].path or "").read_bytes() == b"all of it"
    assert isinstance(results["often"].error, MaxRetryError)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2  # and the journal


def test_a_redirect_to_another_host_is_followed_in_a_pipeline_as_well(server: Httpd) -> None:
    with Httpd() as other:
        server.routes["/moved"] = lambda _: Response(b"", 302, {"Location": f"{other.url}/here"})
        for pipeline in (1, 4):
            (result,) = fetch([f"{server.url}/moved"], pipeline=pipeline)
            assert json.loads(result.data)["target"] == "/here"


def test_what_is_done_is_left_out_next_time_and_what_failed_is_not(server: Httpd, tmp_path: pathlib.Path) -> None:
    wanted = [*(f"{server.url}/{number}" for number in range(5)), "http://127.0.0.1:9/"]
    steps: list[Progress] = []
    journal = tmp_path / "journal"
    assert len(list(fetch(wanted, journal=journal, retries=ONCE, on_progress=steps.append))) == 6
    assert steps[-1]._replace(size_bytes=0) == Progress(6, 1)
    again = list(fetch(wanted, journal=journal, retries=ONCE, on_progress=steps.append))
    assert [result.request.url for result in again] == ["http://127.0.0.1:9/"]
    assert steps[-1] == Progress(1, 1, 5)
    assert len(server.requests) == 5
    assert len(list(fetch(wanted, journal=journal, retries=ONCE, resume=False))) == 6


def test_a_result_counts_as_done_when_the_next_one_is_asked_for(server: Httpd, tmp_path: pathlib.Path) -> None:
    wanted = [f"{server.url}/{number}" for number in range(20)]
    told: list[Result] = []
    results = fetch(wanted, journal=tmp_path / "journal", on_result=told.append)
    given = [next(results) for _ in range(3)]
    results.close()
    assert told == given
    rest = {result.request.url for result in fetch(wanted, journal=tmp_path / "journal")}
    assert rest == set(wanted) - {result.request.url for result in given[:2]}


def test_what_the_iterable_raises_comes_when_what_it_gave_is_done(server: Httpd) -> None:
    def items() -> Iterator[str]:
        yield f"{server.url}/1"
        raise KeyError("list")

    results = fetch(items())
    assert next(results).is_ok
    with pytest.raises(KeyError, match="list"):
        next(results)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"per_host": 0}, "per_host must be 1 or more, not 0"),
        ({"pipeline": 0}, "pipeline must be 1 or more, not 0"),
        ({"threads": 0}, "threads must be 1 or more, not 0"),
        ({"rate": 0}, "rate must be more than 0"),
        ({"rate": 1, "pipeline": 2}, "give one of them"),
    ],
)
def test_what_can_not_be_meant_is_refused_at_once(keywords: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fetch([], **keywords)  # type: ignore[arg-type]


def test_a_client_is_no_manager_but_has_one() -> None:
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(TypeError, match=r"manager is a PoolManager, as a Client's \.manager, not Client"):
            fetch([], manager=client)  # type: ignore[arg-type]
        assert list(fetch([], manager=client.manager)) == []


def test_an_executor_that_was_shut_down_ends_the_run(server: Httpd) -> None:
    """What was there is given out before, and nothing hangs."""
    with ThreadPoolExecutor(2) as executor:
        results = fetch(urls(server, 1, 1000), executor=executor, manager=manager_for(server, 1))
        next(results)
        executor.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(RuntimeError, match="after shutdown"):
            list(results)


@pytest.mark.parametrize("told", ["on_result", "on_progress"])
def test_what_a_callback_raises_ends_the_run_and_its_threads(server: Httpd, told: str, tmp_path: pathlib.Path) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    with manager_for(server, 1) as manager, pytest.raises(ZeroDivisionError):
        list(fetch(urls(server, 1, 100), manager=manager, to=tmp_path, **{told: fail}))  # type: ignore[arg-type]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bulk-")]
    assert list((tmp_path / ".parts").iterdir()) == []
    done = len((tmp_path / "journal.jsonl").read_text().splitlines())
    assert done == (0 if told == "on_result" else 1)


def test_requests_that_differ_by_their_fragment_and_equal_ones_have_a_result_each(
    server: Httpd, tmp_path: pathlib.Path
) -> None:
    items = [f"{server.url}/a", f"{server.url}/a#b", f"{server.url}/a#c", f"{server.url}/a"]
    results = list(fetch(items, to=tmp_path))
    assert sorted(result.request.url for result in results) == sorted(items)
    assert {request.target for request in server.requests} == {"/a"}
    assert len({result.path for result in results}) == 3
    assert list(fetch(items, to=tmp_path)) == []


def test_one_url_is_no_list_of_them() -> None:
    with pytest.raises(TypeError, match="iterable of requests, not one URL"):
        fetch("http://example.com/")


def test_an_iterator_that_is_left_ends_its_threads_and_what_they_write(server: Httpd, tmp_path: pathlib.Path) -> None:
    """A body that never ends: stopping cuts it off, and nothing of it stays."""
    asked, released = threading.Event(), threading.Event()

    def endless() -> Iterator[bytes]:
        asked.set()
        while not released.is_set():
            yield b"x" * 10_000

    server.routes["/endless"] = lambda _: Response(endless(), close=True)
    results = fetch([f"{server.url}/endless", f"{server.url}/1"], to=tmp_path)
    next(results)
    assert asked.wait(20)
    results.close()
    released.set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bulk")]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) <= 2  # /1 and the journal


PROGRAM = """
import sys
from poollib.bulk import fetch
base, count, to = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for result in fetch((f"{base}/{number}" for number in range(count)), to=to):
    print(result.request.url, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_run_that_is_killed_goes_on_where_it_was(server: Httpd, tmp_path: pathlib.Path) -> None:
    """Killed with bodies under way: all files are whole in the end, and only what was not done is asked for again."""
    gate = threading.Event()

    def held(request: Request) -> Response:
        def body() -> Iterator[bytes]:
            yield b"half "
            gate.wait(60)
            yield request.path.encode()

        return Response(body() if int(request.path[1:]) >= 30 else b"half " + request.path.encode())

    server.routes.update({f"/{number}": held for number in range(60)})
    command = [sys.executable, "-c", PROGRAM, server.url, "60", str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        for _ in range(25):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    gate.set()
    finished = sum(line.endswith(b"\n") for line in (tmp_path / "journal.jsonl").read_bytes().splitlines(True))
    assert 24 <= finished <= 30
    rest = subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert len(rest.stdout.splitlines()) == 60 - finished
    entries = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_bytes().splitlines()]
    assert len({entry["url"] for entry in entries}) == len(entries) == 60
    for entry in entries:
        assert pathlib.Path(entry["path"]).read_text() == "half /" + entry["url"].rpartition("/")[2]
    asked = collections.Counter(request.path for request in server.requests)
    assert set(asked) == {f"/{number}" for number in range(60)}
    assert asked.total() <= 60 + 30 - finished + 4 + 4
    assert not list((tmp_path / ".parts").iterdir())
