"""How a request scales over cores where Python runs threads side by side: without a GIL, or with one.

    PYTHON_GIL=0 python3.14t -m tests.benchmarks.free_threads [--threads 8] [--seconds 2]

Requests a second of threads that share a pool (and of threads with a pool each, and of a loop that shares nothing) on
one core and on two, best of three rounds. The other end of each connection is answered by the thread itself, so that no
server needs the cores. Then how often the pool's lock, the one lock that a request takes, was held by another thread.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import time
from collections.abc import Callable

from poollib import HTTPConnectionPool
from poollib.base.exact_values import has_gil
from poollib.connection import HTTPConnection
from poollib.net.dns import Resolver

ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n"
    b'Content-Length: 11\r\nConnection: keep-alive\r\n\r\n{"ok":true}'
)


class AnsweredConnection(HTTPConnection):
    """A connection whose other end is in the same thread: it answers as soon as something was sent."""

    far: socket.socket

    def _dial(self, host: str, port: int, resolver: Resolver | None = None) -> socket.socket:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            self.far, _ = listener.accept()
        return near

    def _send_bytes(self, data: bytes) -> None:
        super()._send_bytes(data)
        self.far.recv(len(data))
        self.far.send(ANSWER)


class CountingLock:
    """The pool's lock, and how often it was taken, and held by another just then."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self.taken = self.contended = 0

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._lock.acquire()
            self.contended += 1
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def pool_of(connections: int) -> HTTPConnectionPool:
    pool = HTTPConnectionPool("127.0.0.1", 80, maxsize=connections, block=True)
    pool.ConnectionCls = AnsweredConnection  # type: ignore[misc]
    return pool


def compute() -> None:
    """What no thread has to do with another: the floor."""
    for _ in range(300):
        pass


def rate(works: list[Callable[[], object]], seconds: float, cores: int) -> float:
    """Calls a second of threads on so many cores, one thread for each of ``works``."""
    counts = [0] * len(works)
    start, end = threading.Barrier(len(works) + 1), threading.Event()

    def run(number: int, work: Callable[[], object]) -> None:
        n = 0
        start.wait()
        while not end.is_set():
            for _ in range(50):
                work()
            n += 50
        counts[number] = n

    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        threads = [threading.Thread(target=run, args=item) for item in enumerate(works)]
        for thread in threads:
            thread.start()
        start.wait()
        began = time.perf_counter()
        time.sleep(seconds)
        end.set()
        took = time.perf_counter() - began
        for thread in threads:
            thread.join()
        return sum(counts) / took
    finally:
        os.sched_setaffinity(0, before)


def works_of(kind: str, threads: int) -> list[Callable[[], object]]:
    if kind == "nothing shared":
        return [compute] * threads
    shared = pool_of(threads)
    pools = [shared if kind == "one pool" else pool_of(1) for _ in range(threads)]
    return [lambda pool=pool: pool.request("GET", "/api") for pool in pools]  # type: ignore[misc]


def contention(threads: int, seconds: float) -> CountingLock:
    """The lock of a pool that so many threads used for a while."""
    pool = pool_of(threads)
    lock = CountingLock(pool._endpoint_pool._lock)
    pool._endpoint_pool._lock = lock  # type: ignore[assignment]
    rate([lambda: pool.request("GET", "/api")] * threads, seconds, len(os.sched_getaffinity(0)))
    return lock


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {'GIL' if has_gil() else 'no GIL'}, {options.threads} threads")
    for kind in ("nothing shared", "pool each", "one pool"):
        works = works_of(kind, options.threads)
        one, two = (max(rate(works, options.seconds, cores) for _ in range(3)) for cores in (1, 2))
        print(f"{kind:16} {one:9,.0f}/s on one core {two:9,.0f}/s on two: {two / one:.2f} times")
    lock = contention(options.threads, options.seconds)
    print(f"the pool's lock: taken {lock.taken:,} times, held by another thread {lock.contended:,} times")


if __name__ == "__main__":
    main()
