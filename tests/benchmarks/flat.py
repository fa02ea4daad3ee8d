"""Does cost stay flat as hosts and idle connections grow?

    python -m tests.benchmarks.flat

CPU microseconds for a lending and for finding a pool, at 10, 1,000 and 10,000 idle connections: on one endpoint, and on
as many endpoints (or hosts of a manager). Connections are not dialled. A line that rises has a list walked through.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable
from typing import Any

from poollib import PoolManager
from poollib.pool import ConnectionPool

SIZES = (10, 1_000, 10_000)


class Idle:
    """A factory of connections that cost nothing."""

    def connect(self, endpoint: Any, timeout: float | None) -> object:
        return object()

    def usable(self, connection: object) -> bool:
        return True

    def close(self, connection: object) -> None:
        pass


def one_endpoint(size: int) -> Callable[[], object]:
    """Acquire and release where ``size`` connections lie idle."""
    pool = ConnectionPool(Idle(), maxsize=size, idle_timeout=3600)
    for connection in [pool.acquire("host") for _ in range(size)]:
        pool.release(connection)
    return lambda: pool.release(pool.acquire("host"))


def many_endpoints(size: int) -> Callable[[], object]:
    """Acquire and release where each of ``size`` endpoints has one idle connection, under a spent budget."""
    pool = ConnectionPool(Idle(), total_maxsize=size, idle_timeout=3600)
    for number in range(size):
        pool.release(pool.acquire(number))
    return lambda: pool.release(pool.acquire(size // 2))


def made_room(size: int) -> Callable[[], object]:
    """A new endpoint each time, so that the longest idle connection of all must make room."""
    pool = ConnectionPool(Idle(), total_maxsize=size)
    for number in range(size):
        pool.release(pool.acquire(number))
    numbers = iter(range(size, 1 << 60))
    return lambda: pool.release(pool.acquire(next(numbers)))


def expired(size: int) -> Callable[[], object]:
    """One connection expires at each call, ``size`` others do not."""
    now = [0.0]
    pool = ConnectionPool(Idle(), maxsize=size, idle_timeout=size, clock=lambda: now[0])
    for connection in [pool.acquire("host") for _ in range(size)]:
        pool.release(connection)
        now[0] += 1

    def call() -> None:
        now[0] += 1
        one, two = pool.acquire("host"), pool.acquire("host")
        pool.release(two)
        pool.release(one)

    return call


def hosts(size: int) -> Callable[[], object]:
    """The manager finds the pool of one of ``size`` hosts."""
    manager = PoolManager(num_pools=size + 1)
    urls = [f"http://host{number}.example/path" for number in range(size)]
    for url in urls:
        manager._route(url)
    return lambda: manager._route(urls[size // 2])


def main() -> None:
    """Print the curve."""
    print(f"Python {sys.version.split()[0]}: CPU microseconds at so many idle connections or hosts")
    print(f"{'':34}" + "".join(f"{size:>10,}" for size in SIZES))
    for make in (one_endpoint, many_endpoints, made_room, expired, hosts):
        row = []
        for size in SIZES:
            timer = timeit.Timer(make(size))
            row.append(min(timer.repeat(7, 300)) / 300 * 1e6)
        print(f"{make.__name__.replace('_', ' '):34}" + "".join(f"{cost:10.2f}" for cost in row))


if __name__ == "__main__":
    main()
