"""Returns that come at odd moments: from finalisers inside the lock, twice, from pools that vanish."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from poollib.exceptions import ClosedPoolError
from poollib.pool import ConnectionPool, EndpointPool, SharedLimit
from tests.support.pool import CountingFactory, HandClock, Thing, until


class Interposed(EndpointPool[str, Thing]):
    """A pool in which the garbage collector runs a finaliser while the lock is held, in the thread that holds it."""

    finaliser: Callable[[], object] | None = None

    def _grant_locked(self, waiter: Any) -> bool:
        is_granted = super()._grant_locked(waiter)
        finaliser, self.finaliser = self.finaliser, None
        if finaliser is not None:
            assert self._shared.is_held()
            finaliser()
        return is_granted


def pool_of(maxsize: int = 2, **settings: Any) -> EndpointPool[str, Thing]:
    return EndpointPool("home", CountingFactory(), **{"maxsize": maxsize, "block": True, **settings})


class Singleton(CountingFactory):
    """A factory that hands one object out again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.thing: Thing | None = None

    def connect(self, endpoint: Any, timeout: float | None) -> Thing:
        self.thing = self.thing or super().connect(endpoint, timeout)
        return self.thing


# From finalisers


@pytest.mark.parametrize("verb", ["release", "discard"])
def test_a_lease_returned_by_a_finaliser_inside_acquire_wakes_the_very_thread(verb: str) -> None:
    """It slept with the return in its own hands, for ever without a time-out."""
    pool: Interposed = Interposed("home", CountingFactory(), maxsize=1, block=True)
    lost = pool.acquire()
    pool.finaliser = lambda: getattr(pool, verb)(lost)
    thing = pool.acquire(0.2)
    assert (thing is lost) == (verb == "release")
    pool.check()


def test_many_late_returns_are_all_carried_out(caplog: pytest.LogCaptureFixture) -> None:
    """Each of them came by the loop that carries them out, and began it anew: RecursionError, and leases for ever."""
    pool = pool_of(400)
    things = [pool.acquire() for _ in range(400)]
    with pool._shared, pool._lock:
        for place, thing in enumerate(things):
            pool.release(thing) if place % 2 else pool.discard(thing)
    assert (pool.leased, pool.idle) == (0, 200)
    assert caplog.text == ""
    pool.check()


def test_a_late_return_that_was_done_already_ends_no_other_lease() -> None:
    """An interrupt has it done again; meanwhile the connection may be lent to another."""
    pool = pool_of(1)
    thing = pool.acquire()
    with pool._shared, pool._lock:
        pool.release(thing)
        assert pool._shared.deferred is not None
        again = pool._shared.deferred[0]
    assert pool.acquire(0) is thing
    again()
    assert pool.leased == 1
    pool.check()


def test_a_late_second_return_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    pool = pool_of()
    thing = pool.acquire()
    pool.release(thing)
    with pool._shared, pool._lock:
        pool.release(thing)
    assert "was returned twice" in caplog.text
    pool.check()


def test_late_returns_do_not_wait_for_slow_closes_of_others() -> None:
    pool = pool_of(3)
    factory: Any = pool.factory
    slow, lost, other = (pool.acquire() for _ in range(3))
    leased: list[int] = []

    def finaliser() -> None:
        factory.before_close = lambda: leased.append(pool.leased)
        with pool._lock:  # as the thread that closes has it for an instant
            pool.release(lost)

    factory.before_close = finaliser
    with pool._shared, pool._lock:
        pool._discard_leased_locked(pool.leases[id(slow)], "slow")
        pool._discard_leased_locked(pool.leases[id(other)], "slow")
    pool._run_pending(0.0)
    assert leased == [0]
    pool.check()


# Twice


def test_a_block_that_returned_its_connection_does_not_end_the_next_lease() -> None:
    """The connection is lent to another when the block ends: it was returned for that one, and lent to two."""
    pool = pool_of(1)
    with pool.connection() as thing:
        pool.release(thing)
        assert pool.acquire(0) is thing
    assert pool.leased == 1
    with pytest.raises(ZeroDivisionError), pool_of(1).connection() as thing:
        raise ZeroDivisionError


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_a_block_of_many_endpoints_does_not_end_the_next_lease(error: type[Exception] | None) -> None:
    pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), maxsize=1, block=True)
    try:
        with pool.connection("home") as thing:
            pool.release(thing)
            assert pool.acquire("home", 0) is thing
            if error is not None:
                raise error
    except ZeroDivisionError:
        pass
    assert pool.stats().leased == 1
    pool.release(thing)
    pool.check()


def test_a_connection_that_the_factory_made_before_is_refused() -> None:
    """One object in two leases: the books are no longer true.  Who has it goes on using it."""
    pool: EndpointPool[str, Thing] = EndpointPool("home", Singleton(), maxsize=3)
    thing = pool.acquire()
    with pytest.raises(RuntimeError, match="it must make a new one"):
        pool.acquire()
    assert thing.is_open
    pool.check()
    assert (pool.leased, pool.opening) == (1, 0)
    pool.release(thing)
    assert pool.acquire() is thing


def test_a_connection_made_ahead_that_is_there_already_is_refused() -> None:
    pool: EndpointPool[str, Thing] = EndpointPool("home", Singleton(), maxsize=3)
    thing = pool.acquire()
    pool._settings = pool._settings._replace(min_idle=1)
    with pytest.raises(RuntimeError, match="it must make a new one"):
        pool.sweep(0.0)
    assert thing.is_open
    pool.check()
    assert (pool.leased, pool.opening, pool.idle) == (1, 0, 0)


@pytest.mark.parametrize("is_idle", [True, False], ids=["idle", "lent"])
def test_one_connection_for_two_endpoints_is_refused(is_idle: bool) -> None:
    pool: ConnectionPool[str, Thing] = ConnectionPool(Singleton(), maxsize=3)
    thing = pool.acquire("a")
    if is_idle:
        pool.release(thing)
    with pytest.raises(RuntimeError, match="it must make a new one"):
        pool.acquire("b")
    assert thing.is_open
    pool.check()
    if is_idle:
        assert pool.acquire("a") is thing
    pool.release(thing)
    pool.check()


def test_a_factory_may_use_an_object_again_that_left_the_pool() -> None:
    pool: EndpointPool[str, Thing] = EndpointPool("home", Singleton(), maxsize=3)
    thing = pool.acquire()
    pool.discard(thing)
    thing.is_open = True
    assert pool.acquire() is thing


# Ages in a pool that shares its limit


def test_a_connection_that_never_ages_hides_no_aged_one() -> None:
    """It is the longest idle, and the look for aged ones ended with it."""
    clock, shared_limit = HandClock(), SharedLimit()
    ageless: EndpointPool[str, Thing] = EndpointPool("a", CountingFactory(), shared_limit=shared_limit, clock=clock)
    ageing: EndpointPool[str, Thing] = EndpointPool(
        "b", CountingFactory(), shared_limit=shared_limit, clock=clock, idle_timeout=10
    )
    ageless.release(ageless.acquire())
    ageing.release(ageing.acquire())
    clock.advance(11)
    EndpointPool("c", CountingFactory(), shared_limit=shared_limit, clock=clock).acquire()
    assert (ageless.idle, ageing.idle) == (1, 0)


def test_a_peers_limit_is_seen_behind_an_older_connection_without_one() -> None:
    clock = HandClock()
    pool = pool_of(3, clock=clock)
    old, limited, third = (pool.acquire() for _ in range(3))
    pool.release(old)
    pool.release(limited, idle_limit=5)
    clock.advance(6)
    pool.release(third)
    assert pool.idle_connections() == [old, third]
    assert dict(pool.stats().dropped) == {"keep-alive limit": 1}


def test_an_expiry_does_not_look_at_all_that_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand idle connections took 10 ms under the lock for each one that became too old."""
    clock, looks = HandClock(), 0
    usable_until = EndpointPool.usable_until

    def counted(self: EndpointPool[str, Thing], entry: Any) -> float:
        nonlocal looks
        looks += 1
        return usable_until(self, entry)

    pool = pool_of(1000, clock=clock, idle_timeout=1000)
    for thing in [pool.acquire() for _ in range(1000)]:
        pool.release(thing)
        clock.advance(1)
    monkeypatch.setattr(EndpointPool, "usable_until", counted)
    for _ in range(500):
        clock.advance(1)
        pool.release(pool.acquire())
    assert dict(pool.stats().dropped) == {"idle timeout": 501}  # the first one when the clock begins to be looked at
    assert looks < 1000 + 500 * 6
    pool.check()


def test_the_next_look_is_when_the_next_one_is_due() -> None:
    clock = HandClock()
    pool = pool_of(3, clock=clock, idle_timeout=100)
    one, two, three = (pool.acquire() for _ in range(3))
    pool.release(one)
    pool.release(two, idle_limit=5)
    pool.release(three, idle_limit=9)
    clock.advance(6)
    pool.acquire()
    pool.release(three, idle_limit=9)
    assert (pool.idle_connections(), pool._shared.expire_at) == ([one, three], clock() + 9)
    pool.check()


def test_a_neighbours_look_spares_what_is_kept_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """``min_idle`` is the collector's; a request to another endpoint closed what it had opened ahead."""
    monkeypatch.setattr("poollib.pool.housekeeper.watch", lambda target: True)
    clock, shared_limit = HandClock(), SharedLimit()
    kept: EndpointPool[str, Thing] = EndpointPool(
        "a", CountingFactory(), shared_limit=shared_limit, clock=clock, idle_timeout=10, min_idle=1
    )
    kept.sweep(clock())
    other: EndpointPool[str, Thing] = EndpointPool(
        "b", CountingFactory(), shared_limit=shared_limit, clock=clock, idle_timeout=10
    )
    other.release(other.acquire())
    clock.advance(11)
    EndpointPool("c", CountingFactory(), shared_limit=shared_limit, clock=clock).acquire()
    assert (kept.idle, other.idle) == (1, 0)


# Pools that vanish


def test_a_pool_that_vanishes_with_connections_to_be_closed_leaves_no_count_behind() -> None:
    """The garbage collector drops it inside the lock, before anybody closed them: the slots were gone for ever."""
    shared_limit, factory = SharedLimit(2), CountingFactory()
    pool: EndpointPool[str, Thing] = EndpointPool("a", factory, maxsize=2, shared_limit=shared_limit)
    things = [pool.acquire() for _ in range(2)]
    pool.release(things.pop())
    with shared_limit, shared_limit.lock:
        pool.discard_idle_locked(pool._idle[0], "old")
        del pool
    things.clear()
    assert shared_limit.used == 0
    other: EndpointPool[str, Thing] = EndpointPool("b", CountingFactory(), maxsize=2, shared_limit=shared_limit)
    assert len({other.acquire(0) for _ in range(2)}) == 2


def test_a_burial_that_is_interrupted_goes_on_where_it_was() -> None:
    shared_limit, factory = SharedLimit(3), CountingFactory()
    pool: EndpointPool[str, Thing] = EndpointPool("a", factory, maxsize=3, shared_limit=shared_limit)
    for thing in [pool.acquire() for _ in range(3)]:
        pool.release(thing)
    moments = ["interrupt"]

    def interrupt_once() -> None:
        if moments:
            moments.clear()
            raise KeyboardInterrupt

    factory.before_close = interrupt_once
    with pytest.raises(KeyboardInterrupt):
        with shared_limit, shared_limit.lock:
            del pool, thing
    with shared_limit, shared_limit.lock:
        pass
    assert factory.open == []
    assert shared_limit.used == 0


# The line


def test_an_interrupted_close_still_tells_all_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(1)
    thing = pool.acquire()
    outcomes: list[BaseException] = []

    def borrow() -> None:
        try:
            pool.acquire(5)
        except ClosedPoolError as error:
            outcomes.append(error)

    waiters = [threading.Thread(target=borrow) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    until(lambda: pool.waiting == 3)
    send_away, moments = EndpointPool._wake_locked, ["interrupt"]

    def interrupted_once(self: Any, waiter: Any) -> None:
        if moments:
            moments.clear()
            raise KeyboardInterrupt
        send_away(self, waiter)

    monkeypatch.setattr(EndpointPool, "_wake_locked", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        pool.close()
    for waiter in waiters:
        waiter.join(1)
    assert len(outcomes) == 3
    pool.release(thing)
