"""Many endpoints under one limit: ConnectionPool with a counting factory and a clock set by hand."""

from __future__ import annotations

import ast
import gc
import pickle
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from poollib.exceptions import ClosedPoolError, EmptyPoolError, FullPoolError
from poollib.pool import ConnectionPool, EndpointPool, SharedLimit, State, acquire_slow_path, shared_limit
from tests.support.pool import CountingFactory, HandClock, Thing, until


class Rig:
    def __init__(self, **settings: Any) -> None:
        self.clock = HandClock()
        self.factory = CountingFactory()
        self.pool: ConnectionPool[Any, Thing] = ConnectionPool(self.factory, clock=self.clock, **settings)

    def idle_at(self, *endpoints: Any) -> list[Thing]:
        """One idle connection at each endpoint, the first one longest idle."""
        things = [self.pool.acquire(endpoint) for endpoint in endpoints]
        for thing in things:
            self.clock.advance(1)
            self.pool.release(thing)
        return things


class Borrower(threading.Thread):
    def __init__(self, pool: ConnectionPool[Any, Thing], endpoint: Any) -> None:
        super().__init__(daemon=True)
        self.pool, self.endpoint, self.outcome = pool, endpoint, None  # type: ignore[var-annotated]
        before = pool.stats().waiting
        self.start()
        until(lambda: pool.stats().waiting == before + 1)

    def run(self) -> None:
        try:
            self.outcome = self.pool.acquire(self.endpoint, 5.0)
        except Exception as error:
            self.outcome = error  # type: ignore[assignment]

    def result(self) -> Any:
        self.join(5)
        assert not self.is_alive(), "the borrower still waits"
        return self.outcome


class TestLending:
    def test_each_endpoint_has_its_own_connections(self) -> None:
        rig = Rig(maxsize=2)
        a, b = rig.idle_at("a", "b")
        assert (rig.pool.acquire("b"), rig.pool.acquire("a")) == (b, a)
        rig.pool.check()

    def test_verbs_find_who_lent_a_connection(self) -> None:
        rig = Rig(maxsize=2)
        a, b, c = (rig.pool.acquire(endpoint) for endpoint in "abc")
        rig.pool.release(a)
        rig.pool.discard(b, "broken")
        assert rig.pool.detach(c) is c
        assert (a.is_open, b.is_open, c.is_open) == (True, False, True)
        assert dict(rig.pool.stats().dropped) == {"broken": 1, "detached": 1}
        rig.pool.check()

    def test_a_second_return_is_refused(self) -> None:
        rig = Rig()
        (a,) = rig.idle_at("a")
        with pytest.raises(FullPoolError):
            rig.pool.release(a)
        with pytest.raises(ValueError, match="not lent by"):
            rig.pool.release(Thing(99, "a"))

    def test_a_with_block_releases_or_discards(self) -> None:
        rig = Rig()
        with rig.pool.connection("a") as a:
            pass
        with pytest.raises(KeyError), rig.pool.connection("b") as b:
            raise KeyError
        with rig.pool.connection("c") as c:
            rig.pool.detach(c)
        assert (a.is_open, b.is_open, c.is_open) == (True, False, True)
        rig.pool.check()

    def test_a_refused_connect_leaves_nothing(self) -> None:
        rig = Rig(total_maxsize=1)
        rig.factory.failures = [OSError("down")]
        with pytest.raises(OSError, match="down"):
            rig.pool.acquire("a")
        assert rig.pool.acquire("b", 0).is_open
        rig.pool.check()


class TestTheBudget:
    def test_the_longest_idle_connection_of_any_endpoint_makes_room(self) -> None:
        rig = Rig(total_maxsize=3)
        a, b, c = rig.idle_at("a", "b", "c")
        assert rig.pool.acquire("a") is a
        rig.clock.advance(1)
        rig.pool.release(a)
        rig.pool.acquire("d")
        assert rig.factory.closed == [b]
        rig.pool.acquire("e")
        assert rig.factory.closed == [b, c]
        assert dict(rig.pool.stats().dropped) == {"made room": 2}
        rig.pool.check()

    def test_the_one_that_makes_room_is_closed_before_a_new_one_is_opened(self) -> None:
        rig = Rig(total_maxsize=2)
        rig.idle_at("a", "b")
        for endpoint in "cdefg":
            rig.pool.release(rig.pool.acquire(endpoint))
        assert rig.factory.most_open == 2

    @pytest.mark.parametrize("block", [True, False])
    def test_with_nothing_idle_borrowers_wait(self, block: bool) -> None:
        rig = Rig(total_maxsize=2, block=block)
        a = rig.pool.acquire("a")
        rig.pool.acquire("b")
        with pytest.raises(EmptyPoolError, match="2 of 2 in all pools together"):
            rig.pool.acquire("c", 0)
        borrower = Borrower(rig.pool, "c")
        rig.pool.release(a)
        assert borrower.result().endpoint == "c"
        assert rig.factory.closed == [a]
        rig.pool.check()

    def test_the_line_is_one_for_all_endpoints(self) -> None:
        """Who waits longest is served first, also with another endpoint's slot."""
        rig = Rig(total_maxsize=1)
        a = rig.pool.acquire("a")
        first, second = Borrower(rig.pool, "b"), Borrower(rig.pool, "a")
        rig.pool.release(a)
        b = first.result()
        assert b.endpoint == "b"
        assert second.outcome is None
        rig.pool.discard(b, "broken")
        assert second.result().endpoint == "a"
        rig.pool.check()

    def test_who_cannot_use_a_slot_is_passed_over(self) -> None:
        """The first in line waits for its own endpoint's limit; the second can use what became free."""
        rig = Rig(maxsize=1, total_maxsize=2, block=True)
        a, b = rig.pool.acquire("a"), rig.pool.acquire("b")
        first, second = Borrower(rig.pool, "a"), Borrower(rig.pool, "c")
        rig.pool.release(b)
        assert second.result().endpoint == "c"
        assert first.outcome is None
        rig.pool.release(a)
        assert first.result() is a
        rig.pool.check()

    def test_an_unlimited_pool_keeps_lines_apart(self) -> None:
        rig = Rig(maxsize=1, block=True)
        a, b = rig.pool.acquire("a"), rig.pool.acquire("b")
        first, second = Borrower(rig.pool, "a"), Borrower(rig.pool, "b")
        rig.pool.release(b)
        assert second.result() is b
        assert first.outcome is None
        rig.pool.release(a)
        assert first.result() is a

    def test_a_failed_connect_passes_its_slot_to_another_endpoint(self) -> None:
        rig = Rig(total_maxsize=1)
        a = rig.pool.acquire("a")
        rig.factory.failures = [OSError("down")]
        first, second = Borrower(rig.pool, "b"), Borrower(rig.pool, "c")
        rig.pool.release(a)
        assert isinstance(first.result(), OSError)
        assert second.result().endpoint == "c"
        rig.pool.check()

    def test_the_total_can_shrink_and_grow(self) -> None:
        rig = Rig(maxsize=3, total_maxsize=4)
        a, b = rig.idle_at("a", "b")
        c, d = rig.pool.acquire("c"), rig.pool.acquire("d")
        rig.pool.resize_total(1)
        assert rig.factory.closed == [a, b]
        rig.pool.release(c)
        assert not c.is_open
        rig.pool.release(d)
        assert d.is_open
        rig.pool.check()
        e = Borrower
        d = rig.pool.acquire("d")
        waiting = [e(rig.pool, "x"), e(rig.pool, "y")]
        rig.pool.resize_total(None)
        assert [borrower.result().endpoint for borrower in waiting] == ["x", "y"]
        rig.pool.check()

    def test_room_is_found_at_the_same_cost_among_many_endpoints(self) -> None:
        """Counted, not timed: one entry of the order is looked at for each connection that makes room."""
        rig = Rig(total_maxsize=2_000)
        rig.idle_at(*range(2_000))
        order = rig.pool.shared_limit.idle_order
        assert order is not None
        assert next(iter(order.values())).connection.endpoint == 0
        for endpoint in range(2_000, 2_010):
            rig.pool.acquire(endpoint)
        assert [thing.endpoint for thing in rig.factory.closed] == list(range(10))

    def test_a_limit_below_one_is_refused(self) -> None:
        with pytest.raises(ValueError, match="total_maxsize"):
            Rig(total_maxsize=0)


class TestOwnersOfEndpointPools:
    def test_a_pool_that_was_given_away_takes_part_in_the_limit(self) -> None:
        rig = Rig(total_maxsize=2)
        mine: EndpointPool[Any, Thing] = rig.pool.endpoint_pool("mine", maxsize=5, block=True)
        (a,) = rig.idle_at("a")
        mine.acquire()
        mine.acquire()
        assert not a.is_open
        with pytest.raises(EmptyPoolError):
            mine.acquire(0)
        assert (mine.maxsize, mine.block, rig.pool.stats().leased) == (5, True, 2)
        rig.pool.check()

    def test_it_has_its_own_factory_if_given_one(self) -> None:
        rig, other = Rig(), CountingFactory()
        mine = rig.pool.endpoint_pool("mine", other)
        mine.release(mine.acquire())
        assert (len(other.made), len(rig.factory.made)) == (1, 0)

    def test_it_is_closed_with_the_others(self) -> None:
        rig = Rig()
        mine = rig.pool.endpoint_pool("mine")
        mine.release(mine.acquire())
        assert rig.pool.close() is True
        assert mine.state is State.CLOSED
        with pytest.raises(ClosedPoolError):
            rig.pool.endpoint_pool("another")

    def test_it_lives_as_long_as_its_owner_holds_it(self) -> None:
        rig = Rig(total_maxsize=1)
        mine = rig.pool.endpoint_pool("mine")
        thing = mine.acquire()
        mine.release(thing)
        watched = weakref.ref(mine)
        del mine
        assert watched() is None
        assert not thing.is_open
        assert rig.pool.acquire("a", 0).is_open
        rig.pool.check()

    def test_one_that_vanishes_inside_the_lock_is_buried_later(self) -> None:
        rig = Rig(total_maxsize=1)
        ring: list[Any] = [rig.pool.endpoint_pool("mine")]
        thing = ring[0].acquire()
        ring[0].release(thing)
        ring.append(ring)
        with rig.pool.shared_limit.lock:
            del ring
            gc.collect()
            assert thing.is_open
        rig.pool.release(rig.pool.acquire("a"))
        rig.pool.release(rig.pool.acquire("a"))
        assert not thing.is_open
        rig.pool.check()

    def test_separate_pools_can_share_a_plain_limit(self) -> None:
        shared_limit, factory = SharedLimit(1), CountingFactory()
        one: EndpointPool[Any, Thing] = EndpointPool("one", factory, shared_limit=shared_limit)
        two: EndpointPool[Any, Thing] = EndpointPool("two", factory, shared_limit=shared_limit)
        one.release(one.acquire())
        two.acquire()
        assert (one.idle, two.leased, shared_limit.used) == (0, 1, 1)


class TestTheWhole:
    def test_empty_endpoints_are_forgotten_and_their_figures_kept(self) -> None:
        rig = Rig()
        for endpoint in range(1000):
            rig.pool.discard(rig.pool.acquire(endpoint), "broken")
        assert len(rig.pool.stats_by_endpoint()) <= 65
        assert rig.pool.stats().opened == 1000
        assert rig.pool.stats().dropped["broken"] == 1000
        rig.pool.check()

    def test_an_endpoint_forgotten_in_the_last_moment_is_made_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rig = Rig()
        rig.pool.discard(rig.pool.acquire("a"), "broken")
        acquire = EndpointPool.acquire

        def forgotten_first(pool: EndpointPool[Any, Thing], timeout: float | None = None) -> Thing:
            monkeypatch.setattr(EndpointPool, "acquire", acquire)
            rig.pool.sweep(rig.clock.now)
            return acquire(pool, timeout)

        monkeypatch.setattr(EndpointPool, "acquire", forgotten_first)
        assert rig.pool.acquire("a").is_open
        rig.pool.check()

    def test_a_sweep_closes_old_connections_of_all_endpoints(self) -> None:
        rig = Rig(idle_timeout=10)
        a, _, _ = rig.idle_at("a", "b", "c")
        rig.clock.advance(8)
        assert rig.pool.sweep(rig.clock.now) == 1
        assert rig.factory.closed == [a]
        rig.clock.advance(2)
        rig.pool.sweep(rig.clock.now)
        assert rig.factory.open == []
        assert rig.pool.stats_by_endpoint() == {}

    def test_without_a_collector_other_endpoints_age_too(self) -> None:
        """Whoever comes by closes a few of the longest idle, of any endpoint."""
        rig = Rig(idle_timeout=10, dispose_batch_size=2)
        things = rig.idle_at(*"abcde")
        rig.clock.advance(100)
        rig.pool.release(rig.pool.acquire("z"))
        assert rig.factory.closed[:2] == things[1::-1] or rig.factory.closed[:2] == things[:2]
        for _ in range(2):
            rig.pool.release(rig.pool.acquire("z"))
        assert [thing.endpoint for thing in rig.factory.open] == ["z"]
        rig.pool.check()

    def test_drain_and_drop_idle_reach_all_endpoints(self) -> None:
        rig = Rig(maxsize=2)
        rig.idle_at("a", "b")
        c = rig.pool.acquire("c")
        assert rig.pool.drop_idle() == 2
        assert rig.pool.drain(0) is False
        rig.pool.release(c)
        assert rig.pool.drain(0) is True
        assert rig.factory.open == []

    def test_close_waits_for_all_and_tells_whether_they_came(self) -> None:
        rig = Rig()
        a = rig.pool.acquire("a")
        rig.idle_at("b")
        assert rig.pool.close(0.001) is False
        rig.pool.release(a)
        assert rig.pool.close() is True
        assert rig.pool.state is State.CLOSED
        with pytest.raises(ClosedPoolError):
            rig.pool.acquire("a")

    def test_a_with_block_closes_the_pool(self) -> None:
        rig = Rig()
        with rig.pool as pool:
            rig.idle_at("a")
        assert pool.state is State.CLOSED
        assert rig.factory.open == []

    def test_resize_holds_for_present_and_future_endpoints(self) -> None:
        rig = Rig(maxsize=1, block=True)
        rig.pool.acquire("a")
        rig.pool.resize(2)
        assert rig.pool.acquire("a", 0).is_open
        assert [rig.pool.acquire("b", 0).is_open for _ in range(2)] == [True, True]
        assert rig.pool.maxsize == 2

    def test_it_pickles_as_its_settings(self) -> None:
        pool: ConnectionPool[str, int] = ConnectionPool(
            PicklableFactory(), maxsize=3, total_maxsize=5, block=True, idle_timeout=9
        )
        copy = pickle.loads(pickle.dumps(pool))
        assert (copy.maxsize, copy.total_maxsize, copy._settings) == (3, 5, pool._settings)

    def test_the_repr_shows_state_and_numbers(self) -> None:
        rig = Rig(total_maxsize=9)
        rig.idle_at("a")
        assert repr(rig.pool) == (
            "<ConnectionPool open: 1 endpoints, 1 idle, 0 leased, 0 opening, 0 waiting, total_maxsize 9>"
        )


class PicklableFactory:
    def connect(self, endpoint: str, timeout: float | None) -> int:
        return len(endpoint)

    def usable(self, connection: int) -> bool:
        return True

    def close(self, connection: int) -> None:
        pass


def test_without_block_a_pool_opens_beyond_maxsize_and_a_closed_one_says_so() -> None:
    """urllib3's meaning of both."""
    factory = CountingFactory()
    pool: ConnectionPool[str, Thing] = ConnectionPool(factory, maxsize=1)
    leased = [pool.acquire("a"), pool.acquire("a", 5)]
    assert len(factory.made) == 2
    for thing in leased:
        pool.release(thing)
    pool.close()
    with pytest.raises(ClosedPoolError):
        pool.acquire("a")


def test_an_interrupt_while_the_owner_is_noted_goes_on_and_nothing_is_lent() -> None:
    class Interrupting(dict[int, Any]):
        def get(self, *_: Any) -> Any:
            raise KeyboardInterrupt

    pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), maxsize=1)
    pool._owners = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        pool.acquire("a")
    assert pool.stats().leased == 0
    pool.close()


def test_a_closed_pool_makes_no_more_pools() -> None:
    """Who raced with the close would open connections that nobody closes."""
    pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory())
    pool.close()
    with pytest.raises(ClosedPoolError):
        pool._add_pool("a")
    assert pool._every_pool() == []


class TestDeferredReturns:
    #: These look for deferred returns when the lock is free again.
    ALONE = frozenset(
        {"EndpointPool.acquire", "EndpointPool.release", "EndpointPool.discard", "SharedLimit._run_one_deferred"}
    )

    def test_the_lock_is_taken_so_that_they_are_made_at_its_end(self) -> None:
        """``with shared_limit, lock:``, wherever it is taken."""
        takers: dict[bool, set[str]] = {False: set(), True: set()}
        for path in Path(shared_limit.__file__).parent.glob("*.py"):
            for owner in ast.parse(path.read_text()).body:
                for block in ast.walk(owner):
                    items = [ast.unparse(item.context_expr) for item in getattr(block, "items", ())]
                    if any(item.endswith((".lock", "._lock")) for item in items):
                        names = [f for f in ast.walk(owner) if isinstance(f, ast.FunctionDef) and block in ast.walk(f)]
                        is_guarded = items[0].endswith("._shared") or items[0] == "self"
                        takers[is_guarded].add(f"{getattr(owner, 'name', '')}.{names[0].name}")
        assert takers[False] == self.ALONE
        assert len(takers[True]) > 30

    def test_a_lease_that_a_dropped_pools_finaliser_meets_comes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The garbage collector gives it back while the lock is held for the last time: nobody else comes by."""
        shared, factory = SharedLimit(2), CountingFactory()
        here: EndpointPool[Any, Thing] = EndpointPool("here", factory, shared_limit=shared)
        dropped: EndpointPool[Any, Thing] = EndpointPool("dropped", factory, shared_limit=shared)
        dropped.release(dropped.acquire())
        lost = here.acquire()
        serve, calls = SharedLimit.serve_waiters_locked, []

        def serve_and_collect(shared_limit: SharedLimit) -> None:
            serve(shared_limit)
            calls.append(shared_limit)
            if len(calls) == 2:
                here.release(lost)

        monkeypatch.setattr(SharedLimit, "serve_waiters_locked", serve_and_collect)
        del dropped
        assert len(calls) == 2, "each time the lock is held"
        monkeypatch.undo()
        assert (here.leased, here.idle) == (0, 1)


class TestInterruptedWaiters:
    def test_one_granted_but_not_woken_leaves_the_queue_when_its_time_is_over(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What it gives back would be leased to it once more, and to nobody."""
        pool: EndpointPool[Any, Thing] = EndpointPool("home", CountingFactory(), maxsize=1, block=True)
        thing, is_back = pool.acquire(), threading.Event()
        wake, reclaim = EndpointPool._wake_locked, EndpointPool.reclaim

        def borrow() -> None:
            pool.release(pool.acquire(0.1))
            is_back.set()

        def interrupted(*_: object) -> None:
            monkeypatch.setattr(EndpointPool, "_wake_locked", wake)
            raise KeyboardInterrupt

        def late(*arguments: Any) -> None:
            assert is_back.wait(20)
            reclaim(*arguments)

        borrower = threading.Thread(target=borrow)
        borrower.start()
        until(lambda: pool.waiting == 1)
        monkeypatch.setattr(EndpointPool, "_wake_locked", interrupted)
        monkeypatch.setattr(EndpointPool, "reclaim", late)
        with pytest.raises(KeyboardInterrupt):
            pool.release(thing)
        borrower.join(20)
        assert (pool.leased, pool.idle, pool.waiting) == (0, 1, 0)

    def test_one_in_one_queue_only_can_be_woken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It was interrupted before it stood in the queue of all pools, and the pool is closed in that moment."""
        shared = SharedLimit(1)
        pool, _other = (
            EndpointPool[Any, Thing](name, CountingFactory(), maxsize=1, block=True, shared_limit=shared)
            for name in ("home", "other")
        )
        thing = pool.acquire()
        enqueued, undo, queues = acquire_slow_path.enqueued, EndpointPool._undo_acquire, []

        def interrupted(waiters: Any, waiter: Any) -> Any:
            queues.append(waiters)
            if len(queues) == 2:
                raise KeyboardInterrupt
            return enqueued(waiters, waiter)

        def late(*arguments: Any) -> None:
            pool._start_closing()
            undo(*arguments)

        monkeypatch.setattr(acquire_slow_path, "enqueued", interrupted)
        monkeypatch.setattr(EndpointPool, "_undo_acquire", late)
        with pytest.raises(KeyboardInterrupt):
            pool.acquire(5)
        pool.discard(thing)
        assert (shared.used, pool.waiting, len(shared.waiters)) == (0, 0, 0)
