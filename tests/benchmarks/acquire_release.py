"""What lending costs: one thread's acquire + release on the generic pool against queue.LifoQueue's get + put.

Run ``python -m tests.benchmarks.acquire_release`` in the project's root; both are measured in turns in one run, and the
least of all rounds counts.  The pool has its lease table, its check of every connection, its clock readings and its
line switched on; the targets are 2.5 us and twice the queue.
"""

from __future__ import annotations

import platform
import queue
import sys
import time
from collections.abc import Callable

from poollib.pool import ConnectionPool, EndpointPool

TARGET_US, TARGET_RATIO = 2.5, 2.0


class Nothing:
    """A factory whose connections cost nothing."""

    def connect(self, endpoint: object, timeout: float | None) -> object:
        return object()

    def usable(self, connection: object) -> bool:
        return True

    def close(self, connection: object) -> None:
        pass


def lifo_queue() -> Callable[[int], None]:
    store: queue.LifoQueue[object] = queue.LifoQueue(10)
    store.put(object())

    def turns(count: int) -> None:
        for _ in range(count):
            store.put(store.get())

    return turns


def endpoint_pool(**settings: float) -> Callable[[int], None]:
    pool: EndpointPool[str, object] = EndpointPool("home", Nothing(), maxsize=10, block=True, **settings)  # type: ignore[arg-type]

    def turns(count: int) -> None:
        for _ in range(count):
            pool.release(pool.acquire())

    return turns


def connection_pool(endpoints: int) -> Callable[[int], None]:
    pool: ConnectionPool[int, object] = ConnectionPool(
        Nothing(), maxsize=10, total_maxsize=endpoints + 1, block=True, idle_timeout=60, max_lifetime=300
    )
    for endpoint in range(endpoints):
        pool.release(pool.acquire(endpoint))

    def turns(count: int) -> None:
        for _ in range(count):
            pool.release(pool.acquire(0))

    return turns


def least_us(cases: dict[str, Callable[[int], None]], rounds: int = 15, count: int = 20_000) -> dict[str, float]:
    """Microseconds a turn of each case, the least of ``rounds`` taken in turns."""
    least = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, turns in cases.items():
            began = time.perf_counter()
            turns(count)
            least[name] = min(least[name], (time.perf_counter() - began) / count * 1e6)
    return least


def main() -> int:
    """Print the table; 1 if a target is missed."""
    cases = {
        "queue.LifoQueue get + put": lifo_queue(),
        "EndpointPool acquire + release": endpoint_pool(),
        "... with idle_timeout and max_lifetime": endpoint_pool(idle_timeout=60, max_lifetime=300),
        "ConnectionPool, 1 endpoint": connection_pool(1),
        "ConnectionPool, 10,000 idle endpoints": connection_pool(10_000),
    }
    least = least_us(cases)
    base = least["queue.LifoQueue get + put"]
    print(f"Python {platform.python_version()}, {platform.machine()}: microseconds, least of 15 rounds")
    for name, cost in least.items():
        print(f"{name:<42} {cost:6.2f} {cost / base:5.2f} x")
    pool = least["EndpointPool acquire + release"]
    return int(pool > TARGET_US or pool > TARGET_RATIO * base)


if __name__ == "__main__":
    sys.exit(main())
