"""lease: a connection that a response holds goes back once, by the pool that lent it."""

from __future__ import annotations

from typing import Any

import pytest

from poollib.client.connection_factory import adapt
from poollib.client.lease import Lease
from poollib.pool import EndpointPool


class Things:
    """A factory of connections that only remember being closed."""

    def __init__(self) -> None:
        self.closed: list[Any] = []

    def connect(self, endpoint: object, timeout: float | None) -> Any:
        return type("Thing", (), {})()

    def usable(self, connection: object) -> bool:
        return True

    def close(self, connection: object) -> None:
        self.closed.append(connection)


class Owner:
    """A pool as a lease knows it."""

    def __init__(self) -> None:
        self.returned: list[Any] = []

    def _put_conn(self, conn: Any) -> None:
        self.returned.append(conn)


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
def pool(things: Things) -> EndpointPool[Any, Any]:
    return EndpointPool("anywhere", things, maxsize=1)


def leased(pool: EndpointPool[Any, Any]) -> tuple[Owner, Lease]:
    owner, connection = Owner(), pool.acquire()
    return owner, Lease(owner, connection, pool, pool.lease_of(connection))


def test_a_release_is_the_owners_business(pool: EndpointPool[Any, Any]) -> None:
    """It alone knows whether the last exchange ended cleanly."""
    owner, lease = leased(pool)
    lease.release()
    assert (owner.returned, pool.leased) == ([lease.connection], 1)


def test_a_reclaimed_lease_ends_by_closing_its_connection(pool: EndpointPool[Any, Any], things: Things) -> None:
    _, lease = leased(pool)
    lease.reclaim()
    lease.reclaim()
    assert (pool.leased, things.closed) == (0, [lease.connection])


def test_only_its_own_lease_is_reclaimed(pool: EndpointPool[Any, Any], things: Things) -> None:
    """Whoever was interrupted while it gave the connection back must not close it under the next one."""
    _, lease = leased(pool)
    pool.release(lease.connection)
    assert pool.acquire() is lease.connection
    lease.reclaim()
    assert (pool.leased, things.closed) == (1, [])


def test_a_detached_connection_is_forgotten_and_not_closed(pool: EndpointPool[Any, Any], things: Things) -> None:
    _, lease = leased(pool)
    lease.detach()
    assert (pool.leased, things.closed) == (0, [])


def test_what_is_done_while_a_lease_is_held_is_not_done_after_its_end(pool: EndpointPool[Any, Any]) -> None:
    done: list[int] = []
    _, lease = leased(pool)
    assert lease.while_held(lambda: done.append(1))
    pool.release(lease.connection)
    assert not lease.while_held(lambda: done.append(2))
    assert done == [1]


@pytest.mark.parametrize("number", [None, 3])
def test_a_connection_that_a_program_has_put_in_is_no_pools(number: int | None) -> None:
    """Nothing is counted for it, and nobody else can get it."""
    done: list[int] = []
    lease = Lease(Owner(), adapt(type("Thing", (), {})()), None, number)
    lease.reclaim()
    lease.detach()
    assert lease.while_held(lambda: done.append(1))
    assert done == [1]
