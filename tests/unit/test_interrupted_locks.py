"""A finaliser or signal handler that makes a request in the very thread that holds a lock waits for nobody."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from poollib import CircuitBreaker, PoolManager, RetryBudget
from poollib.client.connection_factory import ConnectionFactory
from poollib.net import dns
from poollib.policy.circuit_breaker import Circuit


def _names() -> Any:
    return dns.CachingResolver(lambda host, port: ["127.0.0.1"], lifetime_s=60)


def _look_up() -> Any:
    return dns.within(5.0, "key", lambda: [socket.AF_INET])


BUDGET, CIRCUIT, NAMES = RetryBudget(), Circuit(CircuitBreaker(1)), _names()
MANAGER = PoolManager()
SUPPLY: Any = ConnectionFactory(MANAGER)  # type: ignore[arg-type]

LOCKS: dict[str, tuple[Any, Any]] = {
    "a retry budget": (BUDGET._lock, BUDGET.draw),
    "a circuit": (CIRCUIT._lock, lambda: CIRCUIT.wait_s(0.0)),
    "kept names": (NAMES._lock, lambda: NAMES("host", 80)),
    "lookups": (dns._lookups.lock, _look_up),
    "a manager's pools": (MANAGER.pools.lock, lambda: MANAGER.connection_from_host("host")),
    "counts": (ConnectionFactory._lock, SUPPLY.count_error),
}


@pytest.mark.parametrize("what", LOCKS)
def test_a_request_from_inside_a_lock_does_not_wait_for_it(what: str) -> None:
    lock, request = LOCKS[what]
    done = threading.Event()

    def interrupted() -> None:
        with lock:
            request()
        done.set()

    threading.Thread(target=interrupted, daemon=True).start()
    assert done.wait(5), "it waits for itself"
