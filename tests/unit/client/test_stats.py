"""What pools and managers tell of themselves has the keys that its declared types promise (docs/pooling.rst)."""

from __future__ import annotations

from poollib import HTTPConnectionPool, PoolManager
from poollib.client.stats import HTTPPoolStats, ManagerHealth, ManagerStats, PoolHealth, total_of
from poollib.policy.circuit_breaker import CircuitReport


def test_a_pools_figures_are_those_declared() -> None:
    stats = HTTPConnectionPool("host.example").stats()
    assert stats.keys() == HTTPPoolStats.__required_keys__
    stats = HTTPConnectionPool("host.example", circuit_breaker=3).stats()
    assert stats.keys() == HTTPPoolStats.__required_keys__ | HTTPPoolStats.__optional_keys__


def test_a_pools_health_is_as_declared() -> None:
    assert HTTPConnectionPool("host.example").health().keys() == PoolHealth.__required_keys__
    health = HTTPConnectionPool("host.example", circuit_breaker=3).health()
    assert health.keys() == PoolHealth.__required_keys__ | PoolHealth.__optional_keys__
    assert health["circuit"].keys() == CircuitReport.__required_keys__


def test_a_manager_without_pools_has_every_figure() -> None:
    manager = PoolManager()
    assert manager.stats().keys() == ManagerStats.__required_keys__
    assert manager.health().keys() == ManagerHealth.__required_keys__
    assert manager.stats()["total"].keys() == HTTPPoolStats.__required_keys__
    assert not any(manager.stats()["total"].values())


def test_figures_add_up_and_one_pool_without_a_limit_leaves_the_sum_without() -> None:
    with HTTPConnectionPool("a.example", maxsize=2) as two, HTTPConnectionPool("b.example", maxsize=3) as three:
        assert total_of([two.stats(), three.stats()])["maxsize"] == 5
        with HTTPConnectionPool("c.example", maxsize=0) as unlimited:
            assert total_of([two.stats(), unlimited.stats(), three.stats()])["maxsize"] is None
    some, others = two.stats(), three.stats()
    some["dropped"], others["dropped"] = {"closed": 1}, {"closed": 2, "age": 4}
    some["circuit_opened"] = 1
    total = total_of([some, others])
    assert total["dropped"] == {"closed": 3, "age": 4}
    assert total["circuit_opened"] == 1
