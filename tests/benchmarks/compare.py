"""poollib beside whatever other clients are installed: client CPU for a small request.

    python -m tests.benchmarks.compare [--seconds 1] [--rounds 3]

Each client takes its turn in each round, in a fresh process, against one server process on loopback that answers at
once; what is printed is the least over the rounds, in microseconds of the client's CPU, and as a share of urllib3's.
Compare figures of one run only.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

COMMAND = [sys.executable, "-m", "tests.benchmarks.compare"]
BODY = b'{"ok":true,"items":[1,2,3,4,5,6,7,8,9,10]}'
Ask = Callable[[], tuple[int, bytes]]


class Workload(NamedTuple):
    """A request, again and again. ``limit_s``: all it may take, or each wait where a client knows no more."""

    path: str = "same"
    post: bool = False
    threads: int = 1
    limit_s: float | None = None
    on_one_core: bool = False


def urllib3_like(module: str) -> Callable[[str, Workload], Ask]:
    """urllib3, and what has its interface."""

    def make(url: str, work: Workload) -> Ask:
        library = importlib.import_module(module)
        manager = library.PoolManager(maxsize=8)
        more = {"body": BODY} if work.post else {}
        if work.limit_s is not None:
            more["timeout"] = library.Timeout(total=work.limit_s)
        method = "POST" if work.post else "GET"

        def ask() -> tuple[int, bytes]:
            response = manager.request(method, url, **more)
            return response.status, response.data

        return ask

    return make


def http_client(url: str, work: Workload) -> Ask:
    """The standard library, one connection for each thread."""
    import http.client

    local = threading.local()
    host, path = url.split("/", 3)[2], "/" + url.split("/", 3)[3]

    def ask() -> tuple[int, bytes]:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(host, timeout=work.limit_s)
        local.connection.request("POST" if work.post else "GET", path, body=BODY if work.post else None)
        response = local.connection.getresponse()
        return response.status, response.read()

    return ask


def session_like(module: str, maker: str) -> Callable[[str, Workload], Ask]:
    """requests and httpx."""

    def make(url: str, work: Workload) -> Ask:
        session = getattr(importlib.import_module(module), maker)()
        more = {} if work.limit_s is None else {"timeout": work.limit_s}

        def ask() -> tuple[int, bytes]:
            response = session.post(url, data=BODY, **more) if work.post else session.get(url, **more)
            return response.status_code, response.content

        return ask

    return make


def httpcore(url: str, work: Workload) -> Ask:
    """httpcore's pool."""
    pool = importlib.import_module("httpcore").ConnectionPool()
    phases = ("connect", "read", "write", "pool")
    more = {} if work.limit_s is None else {"extensions": {"timeout": dict.fromkeys(phases, work.limit_s)}}
    if work.post:
        more["content"] = BODY
    method = "POST" if work.post else "GET"

    def ask() -> tuple[int, bytes]:
        response = pool.request(method, url, **more)
        return response.status, response.content

    return ask


def pycurl(url: str, work: Workload) -> Ask:
    """One handle for each thread, which keeps its connection; the body by a function."""
    import io

    import pycurl

    local = threading.local()

    def ask() -> tuple[int, bytes]:
        if not hasattr(local, "curl"):
            local.curl = pycurl.Curl()
            local.curl.setopt(pycurl.URL, url)
            if work.limit_s is not None:
                local.curl.setopt(pycurl.TIMEOUT_MS, int(work.limit_s * 1000))
        curl, body = local.curl, io.BytesIO()
        curl.setopt(pycurl.WRITEDATA, body)
        if work.post:
            curl.setopt(pycurl.POSTFIELDS, BODY)
        curl.perform()
        return curl.getinfo(pycurl.RESPONSE_CODE), body.getvalue()

    return ask


CLIENTS: dict[str, Callable[[str, Workload], Ask]] = {
    "poollib": urllib3_like("poollib"),
    "pycurl": pycurl,
    "http.client": http_client,
    "urllib3": urllib3_like("urllib3"),
    "httpcore": httpcore,
    "httpx": session_like("httpx", "Client"),
    "requests": session_like("requests", "Session"),
}
WORKLOADS = {
    "GET": Workload(),
    "GET, each head with an id of its own": Workload("ids"),
    "GET within 5 s": Workload(limit_s=5.0),
    "POST of 42 bytes": Workload(post=True),
    "GET, 8 threads": Workload(threads=8),
    "GET within 5 s, 8 threads": Workload(threads=8, limit_s=5.0),
}
if hasattr(os, "sched_setaffinity"):
    WORKLOADS["GET, 8 threads on one core"] = Workload(threads=8, on_one_core=True)


def measured(client: str, workload: str, url: str, seconds: float) -> float:
    """Microseconds of CPU for a request, in this process."""
    wanted = WORKLOADS[workload]
    ask = CLIENTS[client](url + wanted.path, wanted)
    counts = [0] * wanted.threads
    if wanted.on_one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    def work(index: int, until: float) -> None:
        while time.perf_counter() < until:
            if ask() != (200, BODY):
                raise AssertionError("a wrong answer")
            counts[index] += 1

    work(0, time.perf_counter() + 0.1)
    counts[0] = 0
    until, cpu = time.perf_counter() + seconds, time.process_time()
    workers = [threading.Thread(target=work, args=(index, until)) for index in range(wanted.threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return (time.process_time() - cpu) / sum(counts) * 1e6


def serve() -> None:
    """Answer each request with the same bytes, or with those and an id; print the port first."""
    import itertools
    import socket

    head = b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(BODY)
    ids = itertools.count()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)

    def answer(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock:
            while data := sock.recv(65536):
                while data.startswith(b"POST") and not data.endswith(BODY):
                    data += sock.recv(65536)
                field = b"X-Request-Id: %032x\r\n" % next(ids) if b" /ids " in data else b""
                sock.sendall(head + field + b"\r\n" + BODY)

    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def main() -> None:
    """Print a table for each workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
    elif args.one:
        print(measured(*args.one, args.seconds))
    else:
        compare(args.seconds, args.rounds)


def compare(seconds: float, rounds: int) -> None:
    """Run all that are installed, in turns."""
    command = [*COMMAND, "--seconds", str(seconds)]
    present = [name for name in CLIENTS if importlib.util.find_spec(name.split(".")[0]) is not None]
    with serving() as url:
        for workload in WORKLOADS:
            runs: dict[str, list[float]] = {name: [] for name in present}
            for _ in range(rounds):
                for name in present:
                    printed = subprocess.check_output([*command, "--one", name, workload, url], text=True)
                    runs[name].append(float(printed))
            print_table(workload, {name: min(values) for name, values in runs.items()})


@contextmanager
def serving() -> Iterator[str]:
    """A URL that a process of its own answers while the block runs."""
    with subprocess.Popen([*COMMAND, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/"
        finally:
            server.terminate()


def print_table(workload: str, least: dict[str, float]) -> None:
    """One line for each client, the cheapest first."""
    print(f"\n{workload}: CPU us a request (Python {sys.version.split()[0]})")
    for name, cost in sorted(least.items(), key=lambda item: item[1]):
        share = f"{cost / least['urllib3']:6.2f} of urllib3" if "urllib3" in least else ""
        print(f"  {name:12} {cost:8.1f} {share}")


if __name__ == "__main__":
    main()
