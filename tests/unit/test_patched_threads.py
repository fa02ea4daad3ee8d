"""gevent and eventlet replace names of threading and queue at any time: what is made later is made of the new ones.

The real gevent runs in tests/compat/test_with_gevent.py; here a stand-in tells who asked.
"""

from __future__ import annotations

import ast
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import poollib
from poollib.client.endpoint_health_check import HealthCheck
from poollib.exchange.request_sender import SendLock
from poollib.policy.circuit_breaker import Circuit, CircuitBreaker
from poollib.policy.retry_budget import RetryBudget
from poollib.pool import SharedLimit
from poollib.pool.housekeeper import Housekeeper
from poollib.pool.waiter import Waiter

MAKERS: dict[str, tuple[str, Callable[[], object]]] = {
    "a bed": ("Lock", lambda: Waiter(None, 0.0).prepare_to_wait()),
    "a send lock": ("Lock", SendLock),
    "a shared limit": ("RLock", SharedLimit),
    "a circuit": ("RLock", lambda: Circuit(CircuitBreaker())),
    "a retry budget": ("RLock", RetryBudget),
    "a manager": ("RLock", poollib.PoolManager),
    "a housekeeper": ("RLock", Housekeeper),
}
#: What may be bound at import: no monkey-patching library replaces it.
HARMLESS = {"Empty", "Full", "monotonic", "TIMEOUT_MAX"}


@pytest.mark.parametrize("maker", MAKERS)
def test_locks_are_made_of_what_stands_in_threading_now(maker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for a lock of the old kind stops the whole process under gevent."""
    name, make = MAKERS[maker]
    asked: list[str] = []
    original = getattr(threading, name)

    def stand_in() -> Any:
        asked.append(name)
        return original()

    monkeypatch.setattr(threading, name, stand_in)
    make()
    assert asked


def test_the_collectors_thread_and_queue_are_made_when_it_is_first_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class News(queue.SimpleQueue[Any]):
        def __init__(self) -> None:
            made.append("queue")

    class Worker(threading.Thread):
        def __init__(self, **kw: Any) -> None:
            made.append("thread")
            super().__init__(**kw)

    class Sleeper:
        def sweep(self, now: float) -> float | None:
            return None

    monkeypatch.setattr(queue, "SimpleQueue", News)
    monkeypatch.setattr(threading, "Thread", Worker)
    collector = Housekeeper()
    collector.watch(Sleeper())
    thread = collector._thread
    if thread is not None:
        thread.join(5)
    assert made == ["queue", "thread"]


def test_no_module_binds_a_name_of_threading_queue_or_time_that_may_be_replaced() -> None:
    bound = []
    for path in sorted(Path(poollib.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in ("threading", "queue", "time", "_thread"):
                bound += [f"{path.name}: {name.name}" for name in node.names if name.name not in HARMLESS]
    assert bound == []


def test_a_handler_that_asks_in_the_middle_of_a_note_does_not_hang() -> None:
    """A signal handler or a finaliser runs in the very thread that holds the lock."""
    circuit, budget = Circuit(CircuitBreaker(1)), RetryBudget()
    with circuit._lock, budget._lock:
        circuit.failed(0.0)
        assert circuit.wait_s(0.0) == 30.0
        assert budget.draw()
    check = HealthCheck(poollib.HTTPConnectionPool("localhost", 1))
    with check._lock:
        check.note_error(OSError("down"))
        assert check.report()["consecutive_failures"] == 1
