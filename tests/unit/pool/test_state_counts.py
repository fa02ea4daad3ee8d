"""``reused`` and ``returned`` of a pool's figures, which its connections count: however one leaves, its counts stay."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from poollib import HTTPConnectionPool
from poollib.pool import EndpointPool, SharedLimit
from tests.support.pool import CountingFactory, HandClock, Thing

Pool = EndpointPool[str, Thing]


def pool_of_two(shared_limit: SharedLimit | None = None) -> Pool:
    return EndpointPool(
        "home",
        CountingFactory(),
        maxsize=2,
        block=True,
        idle_timeout=60.0,
        shared_limit=shared_limit,
        clock=HandClock(),
    )


def counts(pool: Pool) -> tuple[int, int]:
    """How often one was reused, and how often one was returned."""
    pool.check()
    stats = pool.stats()
    return stats.reused, stats.returned


def leased_thrice(pool: Pool) -> Thing:
    """A leased connection that was leased twice before."""
    for _ in range(2):
        pool.release(pool.acquire())
    return pool.acquire()


def two_idle() -> tuple[Pool, Thing, Thing]:
    """A pool with two idle connections, the second of which is the next to be leased."""
    pool = pool_of_two()
    one, two = pool.acquire(), leased_thrice(pool)
    pool.release(one)
    pool.release(two)
    return pool, one, two


def drained(pool: Pool, thing: Thing) -> None:
    pool.drain(0.0)
    pool.release(thing)


@pytest.mark.parametrize(
    "leave",
    [
        Pool.discard,
        Pool.detach,
        lambda pool, thing: pool.reclaim(thing, None),
        drained,
        lambda pool, thing: (pool.close(), pool.release(thing)),
    ],
    ids=["discarded", "detached", "reclaimed", "drained", "closed"],
)
def test_the_counts_of_a_leased_connection_stay_when_it_leaves(leave: Callable[[Pool, Thing], object]) -> None:
    pool = pool_of_two()
    thing = leased_thrice(pool)
    leave(pool, thing)
    assert (pool.leased, pool.idle, counts(pool)) == (0, 0, (2, 2))


def expire(pool: Pool) -> None:
    assert isinstance(pool._clock, HandClock)
    pool._clock.advance(61.0)
    pool.sweep(pool._clock())


def evict(pool: Pool) -> None:
    """Another pool needs the room."""
    other = EndpointPool("other", CountingFactory(), shared_limit=pool._shared)
    other.release(other.acquire(0))


@pytest.mark.parametrize("leave", [Pool.drop_idle, Pool.close, expire, evict])
def test_the_counts_of_an_idle_connection_stay_when_it_leaves(leave: Callable[[Pool], object]) -> None:
    pool = pool_of_two(SharedLimit(1))
    pool.release(leased_thrice(pool))
    assert counts(pool) == (2, 3)
    leave(pool)
    assert (pool.idle, counts(pool)) == (0, (2, 3))


def test_to_find_a_connection_unusable_is_no_reuse() -> None:
    """First it is replaced by another idle one, then by a new one."""
    pool, one, two = two_idle()
    before = counts(pool)
    two.is_quiet = False
    assert pool.acquire() is one
    assert counts(pool) == (before[0] + 1, before[1])
    pool.release(one)
    one.is_quiet = False
    assert pool.acquire() not in (one, two)
    assert counts(pool) == (before[0] + 1, before[1] + 1)


def test_to_look_at_an_idle_connection_counts_as_nothing() -> None:
    pool, _, two = two_idle()
    before = counts(pool)
    assert (pool.drop_unusable(), counts(pool)) == (0, before)
    two.is_quiet = False
    assert (pool.drop_unusable(), counts(pool)) == (1, before)


def test_a_connection_that_was_made_elsewhere_was_not_returned() -> None:
    pool = pool_of_two()
    pool.add_idle(Thing(7, "home"))
    assert counts(pool) == (0, 0)
    pool.release(pool.acquire())
    assert counts(pool) == (1, 1)


def test_a_connection_that_is_handed_over_was_returned_and_reused() -> None:
    pool: Pool = EndpointPool("home", CountingFactory(), block=True)
    thing, got = pool.acquire(), []
    waiter = threading.Thread(target=lambda: got.append(pool.acquire(5)))
    waiter.start()
    while not pool.waiting:
        pass
    pool.release(thing)
    waiter.join(5)
    assert (got, counts(pool)) == ([thing], (1, 1))


def test_a_queue_of_the_programs_own_counts_alike() -> None:
    class Pool(HTTPConnectionPool):
        QueueCls = queue.Queue

    pool = Pool("127.0.0.1", 1, maxsize=2, block=True)
    for _ in range(3):
        pool._put_conn(pool._get_conn())  # first come, first served: two connections in turn
    stats = pool._endpoint_pool.stats()
    assert (stats.reused, stats.returned) == (1, 3)
    pool.close()
    stats = pool._endpoint_pool.stats()
    assert (stats.reused, stats.returned) == (1, 3)
