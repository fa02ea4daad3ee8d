"""What pools and managers tell of themselves has the keys that its declared types promise (docs/pooling.rst)."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from poollib import HTTPConnectionPool, PoolManager
from poollib.client.pool_status import HTTPPoolStats, ManagerHealth, ManagerStats, PastPools, PoolHealth, total_of
from poollib.policy.circuit_breaker import CircuitReport
from tests.support.httpd import Httpd, Request, Response


def test_a_pools_figures_are_those_declared() -> None:
    stats = HTTPConnectionPool("host.example").stats()
    assert stats.keys() == HTTPPoolStats.__required_keys__
    stats = HTTPConnectionPool("host.example", circuit_breaker=3, rate=1).stats()
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


def hello(request: Request) -> Response:
    return Response(b"hello")


@contextlib.contextmanager
def used_manager(**options: Any) -> Iterator[tuple[PoolManager, str]]:
    """A manager that has had one answer from the server at this URL."""
    with Httpd({"/": hello}) as server, PoolManager(**options) as manager:
        assert manager.request("GET", server.url + "/").data == b"hello"
        yield manager, server.url


def counted(manager: PoolManager) -> tuple[int, int, int]:
    total = manager.stats()["total"]
    return total["requests"], total["opened"], sum(total["dropped"].values())


@pytest.mark.parametrize("ending", ["clear", "close_all", "evicted", "deleted"])
def test_what_a_pool_counted_stays_in_the_managers_sum(ending: str) -> None:
    with used_manager(num_pools=1) as (manager, url):
        if ending == "evicted":
            manager.connection_from_host("other.example")
        elif ending == "deleted":
            del manager.pools[next(iter(manager.pools.keys()))]
        else:
            getattr(manager, ending)()
        requests, opened, _ = counted(manager)
        assert (requests, opened) == (1, 1)
        assert manager.stats()["total"]["idle"] == 0
        manager.request("GET", url + "/")
        assert counted(manager)[:2] == (2, 2)
        gc.collect()
        assert counted(manager)[:2] == (2, 2)


def test_what_is_counted_after_a_pool_was_let_go_is_kept_too() -> None:
    """A response that is read later returns its connection to a pool that the manager no longer has."""
    with used_manager() as (manager, url):
        pool = manager.connection_from_url(url)
        manager.clear()
        pool.request("GET", "/")
        assert counted(manager)[0] == 2
        del pool
        gc.collect()
        assert counted(manager)[0] == 2


def test_a_named_pool_and_a_client_count_on_when_they_are_closed() -> None:
    with used_manager() as (manager, url):
        manager.pool_for(url).request("GET", "/")
        assert manager.close_pool(url)
        manager.client(url).get("/")
        assert manager.close_client(url)
        gc.collect()
        assert counted(manager)[:2] == (3, 3)


def test_a_pool_that_comes_back_counts_once() -> None:
    with used_manager() as (manager, _):
        [key] = manager.pools.keys()
        pool = manager.pools[key]
        del manager.pools[key]
        manager.pools[key] = pool
        assert counted(manager)[0] == 1


def test_a_pool_that_was_let_go_closes_its_connections_when_nobody_uses_it() -> None:
    with used_manager() as (manager, _):
        [key] = manager.pools.keys()
        [conn] = manager.pools[key]._endpoint_pool.connections()
        del manager.pools[key]
        gc.collect()
        assert conn.is_closed  # type: ignore[attr-defined]


def test_a_pool_that_goes_at_the_interpreters_exit_is_not_counted_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module's names may be None by then: a TypeError was printed after an interrupted program's last line."""
    past, pool = PastPools(), HTTPConnectionPool("127.0.0.1")
    past.add(pool)
    monkeypatch.setattr("poollib.client.pool_status._all_figures", None)
    past._settle(id(pool), lambda: True)
    monkeypatch.undo()
    assert len(past.figures([])) == 1
