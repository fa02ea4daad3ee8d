"""What pooling saves, shown in seconds: ``python -m poollib demo``.

It starts ``demo_server.py`` beside itself and sends it the same small requests, from several threads, through one
``PoolManager``, through a new one for each request, and through urllib3 and requests where they are installed
(``demo_clients``). It checks every body and prints all side by side, with a sentence on what was won. One manager also
shows a retry after 503 and streamed bodies. HTTPS takes part where ``trustme`` can make a certificate. The counts of
connections are the server's, not the client's.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import pathlib
import platform
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..poolmanager import PoolManager
from . import demo_clients, demo_server

THREADS = 4
#: Small requests of each kind of run; every tenth is redirected once, and so costs two.
REQUESTS = {"http": 1000, "https": 200}
QUICK_REQUESTS = {"http": 200, "https": 40}
REDIRECT_EVERY = 10
#: How many requests get a 503 with Retry-After: 1; one a thread, so that they wait together.
REFUSED = THREADS
STREAMS, STREAM_BLOCKS, PIECE_BYTES = 2, 256, 65536
#: No request is begun after this long: the demo ends in time on a slow machine too, and says that it stopped early.
LIMIT_S = 15.0
REQUEST_S = 5.0
KEPT, FRESH = "one pool", "always new"
POOLLIB = {KEPT: demo_clients.one_manager, FRESH: demo_clients.always_new}


@dataclass
class Run:
    """What one run of requests took; ``wrong`` has a line for each response that was not as it should be."""

    #: Of each request, its redirect included. Appending is safe from several threads.
    latencies_s: list[float] = field(default_factory=list)
    redirects: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0
    #: Processor time of this process, all of its threads.
    cpu_s: float = 0.0
    opened: int = 0

    @property
    def responses(self) -> int:
        """How many responses came, redirects included."""
        return len(self.latencies_s) + len(self.redirects)

    @property
    def reused(self) -> float:
        """Which share of the responses came over a connection that had served another one before."""
        return 1 - self.opened / self.responses if self.responses else 0.0

    def latency_ms(self, percent: float) -> float:
        """The time within which so many percent of the requests were answered, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000 if ordered else 0.0


@dataclass(frozen=True)
class Site:
    """Where the servers are, whom to trust, and when to stop sending (on ``time.monotonic()``)."""

    ports: dict[str, int]
    ca_file: str | None
    end: float

    def url(self, scheme: str, path: str) -> str:
        return f"{scheme}://127.0.0.1:{self.ports[scheme]}{path}"

    @property
    def wanted(self) -> demo_clients.Wanted:
        """What each client is given: a connection for each thread."""
        return demo_clients.Wanted(THREADS, REQUEST_S, self.ca_file)


def main(words: Sequence[str]) -> int:
    """Run the demo and print the results; 1 if any response was wrong."""
    parser = argparse.ArgumentParser(prog="poollib demo", description="Show on loopback what pooling saves.")
    parser.add_argument("--quick", action="store_true", help="send a tenth of the requests")
    parser.add_argument("--watch", action="store_true", help="watch pools, waits, faults and a circuit breaker live")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to watch (default: 24)")
    given = parser.parse_args(words)
    if given.seconds is not None and not (given.watch and 0 < given.seconds < math.inf):
        parser.error("--seconds is for --watch: a number above 0")
    if given.watch:
        from .watch import LENGTH_S, watch

        return watch(given.seconds or LENGTH_S)
    requests = QUICK_REQUESTS if given.quick else REQUESTS
    begin = time.monotonic()
    with site(begin + LIMIT_S) as here:
        wrong = show(here, requests)
    took = f"{time.monotonic() - begin:.1f} s"
    if wrong:
        print(f"\n{len(wrong)} responses were wrong ({took}):", *wrong[:5], sep="\n  ")
        return 1
    print(f"\nEvery status and every body was checked and right ({took}).")
    return 0


def show(here: Site, requests: dict[str, int]) -> list[str]:
    """Do all the work and print the report as it grows; a line for each wrong response."""
    wrong: list[str] = []
    print(f"poollib on {platform.python_implementation()} {platform.python_version()}: {THREADS} threads, ", end="")
    print("a server process on 127.0.0.1")
    for scheme in here.ports:
        runs = {}
        for name, client in {**POOLLIB, **demo_clients.installed()}.items():
            with client(here.wanted) as fetch:
                runs[name] = small_requests(here, scheme, requests[scheme], fetch)
        print_comparison(scheme, requests[scheme], runs)
        wrong += [line for run in runs.values() for line in run.wrong]
    print("\nThe same PoolManager besides")
    with here.wanted.manager() as manager:
        for doing in (come_back, read_streams):
            wrong += doing(here, manager)
    if "https" not in here.ports:
        print("\nHTTPS is left out: it needs trustme to make a certificate (pip install trustme).")
    return wrong


# The work


def small_requests(here: Site, scheme: str, count: int, fetch: demo_clients.Fetch) -> Run:
    """``count`` GETs from all threads, through one client."""
    run, before = Run(), opened(here, scheme)

    def one(number: int) -> None:
        redirected = number % REDIRECT_EVERY == 0
        url = here.url(scheme, f"/{'old' if redirected else 'item'}/{number}")
        begin = time.perf_counter()
        status, body = fetch(url)
        run.latencies_s.append(time.perf_counter() - begin)
        run.redirects.extend([number] * redirected)
        check(run.wrong, url, status, body, demo_server.item(number))

    begin, cpu = time.perf_counter(), time.process_time()
    in_threads(here, run.wrong, count, one)
    run.elapsed_s, run.cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    run.opened = opened(here, scheme) - before - 1
    return run


def come_back(here: Site, manager: PoolManager) -> list[str]:
    """Send requests that are refused with a Retry-After first; a line for each wrong response."""
    wrong: list[str] = []

    def one(number: int) -> None:
        url = here.url("http", f"/busy/{number}")
        response = manager.request("GET", url)
        check(wrong, url, response.status, response.data, b"welcome back")

    begin = time.perf_counter()
    in_threads(here, wrong, REFUSED, one)
    waited = f"{time.perf_counter() - begin:.2f} s"
    print(
        f"  retried      {REFUSED} x 503 with 'Retry-After: {demo_server.RETRY_AFTER_S}', all answered after {waited}"
    )
    return wrong


def read_streams(here: Site, manager: PoolManager) -> list[str]:
    """Read long chunked bodies piece by piece; a line for each wrong one."""
    wrong: list[str] = []

    def one(number: int) -> None:
        url = here.url("http", f"/stream/{STREAM_BLOCKS}")
        offset = 0
        with manager.request("GET", url, preload_content=False) as response:
            for piece in response.stream(PIECE_BYTES):
                start = offset % len(demo_server.BLOCK)
                right = (demo_server.BLOCK * 2)[start : start + len(piece)]
                check(wrong, url, response.status, piece, right)
                offset += len(piece)
        check(wrong, url, response.status, b"%d" % offset, b"%d" % (STREAM_BLOCKS * len(demo_server.BLOCK)))

    begin = time.perf_counter()
    in_threads(here, wrong, STREAMS, one)
    mib = STREAMS * STREAM_BLOCKS * len(demo_server.BLOCK) / 2**20
    rate = mib / (time.perf_counter() - begin)
    print(f"  streamed     {STREAMS} chunked bodies, {mib:.0f} MiB together, {rate:,.0f} MiB/s")
    return wrong


def in_threads(here: Site, wrong: list[str], count: int, one: Callable[[int], None]) -> None:
    """Call ``one`` with every number below ``count``, spread over the threads; what it raises goes to ``wrong``."""

    def work(first: int) -> None:
        for number in range(first, count, THREADS):
            if time.monotonic() > here.end:
                wrong.append(f"request {number} of {count} was not sent: {LIMIT_S:.0f} s are over")
                return
            try:
                one(number)
            except Exception as error:  # of any of the clients
                wrong.append(f"request {number}: {error!r}")

    threads = [threading.Thread(target=work, args=(first,), daemon=True) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check(wrong: list[str], url: str, status: int, body: bytes, expected: bytes) -> None:
    """Add a line to ``wrong`` unless this is a 200 with the expected body."""
    if status != 200 or body != expected:
        wrong.append(f"{url}: {status}, {body[:40]!r} in place of {expected[:40]!r}")


def opened(here: Site, scheme: str) -> int:
    """How many connections the server has accepted, the one of this question included."""
    with here.wanted.manager() as manager:
        return int(manager.request("GET", here.url(scheme, "/opened")).json()[scheme])


# The report


def print_comparison(scheme: str, count: int, runs: dict[str, Run]) -> None:
    """The runs side by side, in at most 80 columns, and what was won."""
    print(f"\n{scheme.upper()}, {count:,} requests, {len(runs[KEPT].redirects):,} of them redirected")
    print(f"{'':34}" + "".join(f"{name:>11}" for name in runs))
    rows: list[tuple[str, Callable[[Run], str]]] = [
        ("connections opened", lambda run: f"{run.opened:,}"),
        ("responses over a kept connection", lambda run: f"{run.reused:.1%}"),
        ("requests per second", lambda run: f"{len(run.latencies_s) / run.elapsed_s:,.0f}"),
        ("processor time of a request", lambda run: f"{run.cpu_s / len(run.latencies_s) * 1e6:,.0f} us"),
        ("half of them answered within", lambda run: f"{run.latency_ms(50):.2f} ms"),
        ("99 % of them", lambda run: f"{run.latency_ms(99):.2f} ms"),
        ("all of them", lambda run: f"{run.latency_ms(100):.2f} ms"),
    ]
    for label, value in rows:
        print(f"  {label:<32}" + "".join(f"{value(run) if run.latencies_s else '-':>11}" for run in runs.values()))
    print(textwrap.fill(won(runs), 80))


def won(runs: dict[str, Run]) -> str:
    """One sentence: what the kept connections saved, beside each of the others."""
    kept, fresh = runs[KEPT], runs[FRESH]
    if not all(run.latencies_s and run.cpu_s > 0 for run in runs.values()):
        return "Won: not measured."
    faster = f"{fresh.elapsed_s / kept.elapsed_s:.1f} times the requests per second of a new connection each time"
    others = {name: run for name, run in runs.items() if name not in POOLLIB}
    cheaper = " and ".join(f"1/{run.cpu_s / kept.cpu_s:.1f} of what {name} takes" for name, run in others.items())
    return f"Won by one pool: {faster}{'; processor time: ' if others else ''}{cheaper}."


# The servers


@contextlib.contextmanager
def site(end: float) -> Iterator[Site]:
    """Start the server process, with a certificate if one can be made; end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="poollib-demo-") as name:
        folder = pathlib.Path(name)
        certificates = make_certificates(folder)
        # -I: nothing of this folder, whose modules have names of the standard library's, gets into the server's path.
        command = [sys.executable, "-I", demo_server.__file__, *([str(folder / "server.pem")] if certificates else [])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                ports = json.loads(process.stdout.readline())
                yield Site(ports, str(folder / "ca.pem") if certificates else None, end)
            finally:
                process.stdin.close()


def make_certificates(folder: pathlib.Path) -> bool:
    """Whether ``server.pem`` (key and certificate) and ``ca.pem`` were made, for which trustme is needed."""
    if importlib.util.find_spec("trustme") is None:
        return False
    import trustme

    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return True
