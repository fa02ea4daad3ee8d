"""The lending core for one endpoint, with a counting factory and a clock set by hand."""

from __future__ import annotations

import gc
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from poollib.base.trace import Trace
from poollib.exceptions import ClosedPoolError, EmptyPoolError, FullPoolError
from poollib.pool import EndpointPool, PoolStats, State
from poollib.pool.connection_lifecycle import LIFETIME_JITTER
from poollib.pool.waiter import Waiter
from tests.support.pool import CountingFactory, HandClock, Thing, interrupted, until


class Rig:
    """A pool, its factory and its clock; `check` asserts the pool's invariants."""

    def __init__(self, **settings: Any) -> None:
        self.clock = HandClock()
        self.factory = settings.pop("factory", None) or CountingFactory()
        settings.setdefault("clock", self.clock)
        self.pool: EndpointPool[str, Thing] = EndpointPool("home", self.factory, **settings)

    def acquire_all(self, count: int) -> list[Thing]:
        return [self.pool.acquire(0) for _ in range(count)]

    def dropped(self) -> dict[str, int]:
        self.pool.check()
        return dict(self.pool.stats().dropped)


class Borrower(threading.Thread):
    """A thread that acquires once; `outcome` is the connection or the error."""

    def __init__(self, pool: EndpointPool[str, Thing], timeout: float | None = 5.0) -> None:
        super().__init__(daemon=True)
        self.pool = pool
        self.timeout = timeout
        self.outcome: Any = None

    def run(self) -> None:
        try:
            self.outcome = self.pool.acquire(self.timeout)
        except BaseException as error:
            self.outcome = error

    def result(self) -> Any:
        self.join(5)
        assert not self.is_alive(), "the borrower still waits"
        return self.outcome


def in_line(pool: EndpointPool[str, Thing], timeout: float | None = 5.0) -> Borrower:
    """A borrower that stands in line already."""
    before = pool.waiting
    borrower = Borrower(pool, timeout)
    borrower.start()
    until(lambda: pool.waiting == before + 1)
    return borrower


class TestLending:
    def test_a_returned_connection_is_lent_again(self) -> None:
        rig = Rig()
        first = rig.pool.acquire()
        rig.pool.release(first)
        assert rig.pool.acquire() is first
        assert len(rig.factory.made) == 1

    def test_the_newest_idle_connection_goes_out_first(self) -> None:
        rig = Rig(maxsize=3)
        one, two, three = rig.acquire_all(3)
        for thing in (two, three, one):
            rig.pool.release(thing)
        assert rig.acquire_all(3) == [one, three, two]

    def test_every_idle_connection_is_checked_before_it_is_lent(self) -> None:
        rig = Rig()
        rig.pool.release(rig.pool.acquire())
        assert rig.factory.checked == 0
        rig.pool.release(rig.pool.acquire())
        assert rig.factory.checked == 1

    def test_a_connection_with_bytes_on_it_is_closed_and_replaced(self) -> None:
        """RELIABILITY promise 1: leftover bytes never reach the next borrower."""
        rig = Rig()
        first = rig.pool.acquire()
        rig.pool.release(first)
        first.is_quiet = False
        second = rig.pool.acquire()
        assert second is not first
        assert not first.is_open
        assert rig.dropped() == {"dead": 1}

    def test_of_several_dead_connections_none_is_lent(self) -> None:
        rig = Rig(maxsize=3)
        things = rig.acquire_all(3)
        for thing in things:
            rig.pool.release(thing)
            thing.is_quiet = False
        fresh = rig.pool.acquire()
        assert fresh not in things
        assert rig.factory.open == [fresh]
        assert rig.pool.stats().total == 1

    def test_a_check_that_raises_means_unusable(self) -> None:
        rig = Rig()
        first = rig.pool.acquire()
        rig.pool.release(first)
        rig.factory.usable = lambda connection: 1 / 0
        assert rig.pool.acquire() is not first
        assert not first.is_open

    def test_a_discarded_connection_is_closed_with_its_reason_counted(self) -> None:
        rig = Rig()
        thing = rig.pool.acquire()
        rig.pool.discard(thing, "the server said so")
        assert not thing.is_open
        assert rig.dropped() == {"the server said so": 1}
        assert rig.pool.stats().total == 0

    def test_a_detached_connection_stays_open_and_leaves_its_slot(self) -> None:
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        assert rig.pool.detach(thing) is thing
        assert thing.is_open
        assert rig.pool.acquire(0) is not thing
        assert rig.dropped() == {"detached": 1}

    def test_a_with_block_releases_at_its_end(self) -> None:
        rig = Rig()
        with rig.pool.connection() as thing:
            assert rig.pool.leased == 1
        assert rig.pool.idle_connections() == [thing]

    def test_a_with_block_that_raises_discards(self) -> None:
        rig = Rig()
        with pytest.raises(KeyError), rig.pool.connection() as thing:
            raise KeyError
        assert not thing.is_open
        assert rig.dropped() == {"KeyError": 1}

    def test_a_with_block_accepts_that_its_connection_was_detached_inside(self) -> None:
        rig = Rig()
        with rig.pool.connection() as thing:
            rig.pool.detach(thing)
        assert thing.is_open
        assert rig.pool.idle == 0

    def test_integers_can_be_lent(self) -> None:
        class Integers:
            def connect(self, endpoint: int, timeout: float | None) -> int:
                return endpoint * 1000

            def usable(self, connection: int) -> bool:
                return True

            def close(self, connection: int) -> None:
                pass

        pool: EndpointPool[int, int] = EndpointPool(7, Integers())
        number = pool.acquire()
        pool.release(number)
        assert pool.acquire() == 7000


class TestWrongReturns:
    def test_a_second_return_is_refused(self) -> None:
        rig = Rig(maxsize=2)
        thing = rig.pool.acquire()
        rig.pool.release(thing)
        with pytest.raises(FullPoolError, match="returned twice"):
            rig.pool.release(thing)
        rig.pool.check()
        assert rig.pool.idle == 1

    @pytest.mark.parametrize("verb", ["release", "discard", "detach"])
    def test_a_connection_of_another_pool_is_refused(self, verb: str) -> None:
        """psycopg_pool, test_putconn_wrong_pool."""
        mine, other = Rig(), Rig()
        thing = other.pool.acquire()
        with pytest.raises(ValueError, match="not lent by"):
            getattr(mine.pool, verb)(thing)
        assert thing.is_open
        assert (mine.pool.stats().total, other.pool.leased) == (0, 1)

    def test_a_discarded_connection_cannot_be_returned(self) -> None:
        rig = Rig()
        thing = rig.pool.acquire()
        rig.pool.discard(thing, "broken")
        with pytest.raises(ValueError, match="not lent by"):
            rig.pool.release(thing)


class TestLimits:
    def test_without_block_connections_are_opened_beyond_maxsize(self) -> None:
        rig = Rig(maxsize=2)
        assert len(set(map(id, rig.acquire_all(5)))) == 5

    def test_without_block_the_surplus_is_closed_on_return(self) -> None:
        full: list[Thing] = []
        rig = Rig(maxsize=2, on_full=full.append)
        things = rig.acquire_all(4)
        for thing in things:
            rig.pool.release(thing)
        assert rig.pool.idle_connections() == things[:2]
        assert full == rig.factory.closed == things[2:]
        assert rig.dropped() == {"pool full": 2}

    def test_an_error_in_on_full_does_not_keep_the_connection_open(self) -> None:
        rig = Rig(on_full=lambda connection: 1 / 0)
        one, two = rig.acquire_all(2)
        rig.pool.release(one)
        rig.pool.release(two)
        assert not two.is_open
        rig.pool.check()

    def test_with_block_no_more_than_maxsize_are_opened(self) -> None:
        rig = Rig(maxsize=2, block=True)
        rig.acquire_all(2)
        with pytest.raises(EmptyPoolError):
            rig.pool.acquire(0)
        assert len(rig.factory.made) == 2

    def test_an_empty_pool_tells_its_numbers(self) -> None:
        rig = Rig(maxsize=2, block=True)
        rig.acquire_all(2)
        with pytest.raises(EmptyPoolError, match=r"2 of 2 leased, 0 idle, 0 opening, 1 waiting") as caught:
            rig.pool.acquire(0.001)
        error = caught.value
        assert (error.leased, error.idle, error.opening, error.waiting, error.limit) == (2, 0, 0, 1, 2)
        assert error.waited_s is not None
        assert pickle.loads(pickle.dumps(error)).leased == 2
        assert (rig.pool.waiting, rig.pool.stats().timeouts) == (0, 1)

    def test_acquire_timeout_is_the_default(self) -> None:
        rig = Rig(block=True, acquire_timeout=0.001)
        rig.pool.acquire()
        with pytest.raises(EmptyPoolError):
            rig.pool.acquire()

    def test_connect_gets_what_is_left_of_the_timeout(self) -> None:
        rig = Rig(block=True)
        thing = rig.pool.acquire(7.0)
        borrower = in_line(rig.pool, 5.0)
        rig.clock.advance(2.0)
        rig.pool.discard(thing, "broken")
        assert borrower.result().is_open
        assert rig.factory.timeouts == [7.0, 3.0]

    @pytest.mark.parametrize("maxsize", [0, -1])
    def test_a_limit_below_one_is_refused(self, maxsize: int) -> None:
        with pytest.raises(ValueError, match="maxsize"):
            Rig(maxsize=maxsize)
        with pytest.raises(ValueError, match="maxsize"):
            Rig().pool.resize(maxsize)

    @pytest.mark.parametrize(
        "settings",
        [
            {"idle_timeout": -1},
            {"max_lifetime": float("nan")},
            {"acquire_timeout": -0.1},
            {"min_idle": 2},
            {"min_idle": -1},
            {"dispose_batch_size": 0},
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, settings: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(settings))):
            Rig(**settings)

    def test_a_slot_is_free_only_once_its_connection_is_closed(self) -> None:
        """At no time does a peer see more than maxsize connections, also while close() blocks."""
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        seen: list[str] = []

        def while_closing() -> None:
            try:
                rig.pool.acquire(0)
            except EmptyPoolError:
                seen.append(f"{rig.pool.stats().closing} closing")

        rig.factory.before_close = while_closing
        rig.pool.discard(thing, "broken")
        assert seen == ["1 closing"]
        assert rig.pool.acquire(0).is_open
        assert rig.factory.most_open == 1

    def test_a_larger_limit_serves_who_waits(self) -> None:
        rig = Rig(block=True)
        rig.pool.acquire()
        borrowers = [in_line(rig.pool) for _ in range(3)]
        rig.pool.resize(3)
        assert isinstance(borrowers[0].result(), Thing)
        assert isinstance(borrowers[1].result(), Thing)
        assert rig.pool.waiting == 1
        rig.pool.resize(None)
        assert isinstance(borrowers[2].result(), Thing)
        assert rig.pool.maxsize is None

    def test_a_smaller_limit_closes_the_longest_idle_at_once_and_lent_ones_on_return(self) -> None:
        rig = Rig(maxsize=4, block=True)
        one, two, three, four = rig.acquire_all(4)
        rig.pool.release(one)
        rig.pool.release(two)
        rig.pool.resize(1)
        assert rig.factory.closed == [one, two] or rig.factory.closed == [two, one]
        rig.pool.release(three)
        assert not three.is_open
        rig.pool.release(four)
        assert four.is_open
        assert rig.dropped() == {"resized": 3}


class TestTheLine:
    def test_who_waits_longest_is_served_first(self) -> None:
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        first, second = in_line(rig.pool), in_line(rig.pool)
        rig.pool.release(thing)
        assert first.result() is thing
        assert second.outcome is None
        rig.pool.release(thing)
        assert second.result() is thing

    def test_a_newcomer_does_not_pass_the_line(self) -> None:
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        borrower = in_line(rig.pool)
        rig.pool.release(thing)
        with pytest.raises(EmptyPoolError):
            rig.pool.acquire(0)
        assert borrower.result() is thing

    def test_who_gave_up_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """psycopg_pool, test_dead_client: a connection is not lost to a waiter that left."""
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        give_up, sleep = threading.Event(), Waiter.wait

        def impatient(waiter: Waiter, seconds: float | None) -> bool:
            return sleep(waiter, seconds) if seconds != 0.25 else not give_up.wait(5)

        monkeypatch.setattr(Waiter, "wait", impatient)
        gone = in_line(rig.pool, 0.25)
        patient = in_line(rig.pool)
        give_up.set()
        assert isinstance(gone.result(), EmptyPoolError)
        rig.pool.release(thing)
        assert patient.result() is thing

    def test_a_slot_freed_by_a_failed_connect_goes_to_the_next(self) -> None:
        rig = Rig(block=True)
        entered, go_on = threading.Event(), threading.Event()

        def fail_slowly() -> None:
            entered.set()
            go_on.wait(5)

        rig.factory.before_connect = fail_slowly
        rig.factory.failures.append(OSError("refused"))
        first = Borrower(rig.pool)
        first.start()
        entered.wait(5)
        second = in_line(rig.pool)
        go_on.set()
        assert isinstance(first.result(), OSError)
        assert second.result().is_open
        assert rig.pool.stats().connect_errors == 1

    def test_a_slot_granted_to_a_waiter_that_left_goes_to_the_next(self) -> None:
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        second = in_line(rig.pool)
        rig.factory.failures.append(KeyboardInterrupt())
        third = in_line(rig.pool)
        rig.pool.discard(thing, "broken")
        assert isinstance(second.result(), KeyboardInterrupt)
        assert third.result().is_open
        rig.pool.check()

    def test_an_interrupt_while_waiting_loses_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The connection was handed over in the very moment the sleeper was interrupted: the next one gets it."""
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        sleep = Waiter.wait

        def interrupted(waiter: Waiter, seconds: float | None) -> bool:
            monkeypatch.setattr(Waiter, "wait", sleep)
            rig.pool.release(thing)
            raise KeyboardInterrupt

        monkeypatch.setattr(Waiter, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rig.pool.acquire()
        rig.pool.check()
        assert rig.pool.idle_connections() == [thing]
        assert rig.pool.waiting == 0

    def test_an_interrupt_while_the_next_is_woken_does_not_leave_it_asleep(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection is its own by then; whoever was interrupted says so by reclaim, as pools do."""
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        second = in_line(rig.pool)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(type(rig.pool), "_wake_locked", interrupted)
            rig.pool.release(thing)
        rig.pool.reclaim(thing, 0)
        assert second.result() is thing
        assert (rig.pool.waiting, rig.pool.stats().waited) == (0, 1)
        rig.pool.release(thing)
        rig.pool.check()

    def test_a_dead_connection_keeps_its_place_for_a_new_one(self) -> None:
        """Who was handed a connection that turns out dead does not queue again."""
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        first, second = in_line(rig.pool), in_line(rig.pool)
        thing.is_quiet = False
        rig.pool.release(thing)
        fresh = first.result()
        assert fresh is not thing
        assert fresh.is_open
        assert second.outcome is None
        rig.pool.release(fresh)
        assert second.result() is fresh

    def test_waiting_is_counted_and_told(self) -> None:
        heard: list[Any] = []

        class Ear(Trace):
            def connection_waited(self, endpoint: object, waited_s: float) -> None:
                heard.append((endpoint, waited_s))

        rig = Rig(block=True, trace=Ear())
        thing = rig.pool.acquire()
        borrower = in_line(rig.pool)
        rig.clock.advance(3.0)
        rig.pool.release(thing)
        borrower.result()
        assert heard == [("home", 3.0)]
        stats = rig.pool.stats()
        assert (stats.waited, stats.wait_s) == (1, 3.0)


class TestFailures:
    def test_an_error_of_connect_reaches_the_borrower_and_frees_the_slot(self) -> None:
        """HikariCP, TestConnectionTimeoutRetry: the factory throws, then recovers."""
        rig = Rig(block=True)
        rig.factory.failures = [OSError("down"), OSError("still down")]
        for _ in range(2):
            with pytest.raises(OSError, match="down"):
                rig.pool.acquire(0)
        assert rig.pool.acquire(0).is_open
        assert rig.pool.stats().connect_errors == 2

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), MemoryError()])
    def test_an_interrupted_connect_frees_the_slot(self, error: BaseException) -> None:
        rig = Rig(block=True)
        rig.factory.failures = [error]
        with pytest.raises(type(error)):
            rig.pool.acquire(0)
        rig.pool.check()
        assert rig.pool.stats().total == 0

    def test_an_error_of_close_is_logged_and_frees_the_slot(self, caplog: pytest.LogCaptureFixture) -> None:
        rig = Rig(block=True)
        rig.factory.before_close = lambda: 1 / 0
        rig.pool.discard(rig.pool.acquire(), "broken")
        assert "closing <Thing 1> failed" in caplog.text
        assert rig.pool.acquire(0).number == 2

    def test_an_interrupted_close_frees_the_slot(self) -> None:
        rig = Rig(block=True)

        def interrupt() -> None:
            rig.factory.before_close = None
            raise KeyboardInterrupt

        rig.factory.before_close = interrupt
        with pytest.raises(KeyboardInterrupt):
            rig.pool.discard(rig.pool.acquire(), "broken")
        rig.pool.check()
        assert rig.factory.open == []
        assert rig.pool.acquire(0).number == 2

    def test_an_error_of_on_acquire_discards_and_is_raised(self) -> None:
        """psycopg_pool, test_configure_broken."""
        factory = CountingFactory()
        factory.on_acquire = lambda connection: 1 / 0  # type: ignore[attr-defined]
        rig = Rig(block=True, factory=factory)
        with pytest.raises(ZeroDivisionError):
            rig.pool.acquire(0)
        assert rig.dropped() == {"on_acquire failed": 1}
        assert factory.open == []

    def test_an_error_of_on_release_discards_and_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """psycopg_pool, test_reset_broken."""
        factory = CountingFactory()
        factory.on_release = lambda connection: 1 / 0  # type: ignore[attr-defined]
        rig = Rig(block=True, factory=factory)
        rig.pool.release(rig.pool.acquire(0))
        assert rig.dropped() == {"on_release failed": 1}
        assert "on_release failed for <Thing 1>" in caplog.text

    def test_hooks_see_every_lending(self) -> None:
        factory = CountingFactory()
        seen: list[str] = []
        factory.on_acquire = lambda connection: seen.append(f"out {connection.number}")  # type: ignore[attr-defined]
        factory.on_release = lambda connection: seen.append(f"in {connection.number}")  # type: ignore[attr-defined]
        rig = Rig(factory=factory)
        for _ in range(2):
            rig.pool.release(rig.pool.acquire())
        assert seen == ["out 1", "in 1", "out 1", "in 1"]

    def test_an_error_of_a_listener_breaks_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken(Trace):
            def __getattribute__(self, name: str) -> Any:
                if name.startswith("connection_"):
                    raise RuntimeError(name)
                return super().__getattribute__(name)

        rig = Rig(trace=Broken())
        rig.pool.release(rig.pool.acquire())
        rig.pool.discard(rig.pool.acquire(), "broken")
        rig.pool.check()
        assert rig.pool.stats().total == 0


class TestAge:
    def test_an_idle_connection_is_not_lent_after_idle_timeout(self) -> None:
        rig = Rig(idle_timeout=10)
        first = rig.pool.acquire()
        rig.pool.release(first)
        rig.clock.advance(10)
        assert rig.pool.acquire() is not first
        assert rig.dropped() == {"idle timeout": 1}
        assert rig.pool.stats().expired == 1

    def test_idle_timeout_starts_anew_with_every_return(self) -> None:
        rig = Rig(idle_timeout=10)
        first = rig.pool.acquire()
        for _ in range(5):
            rig.pool.release(first)
            rig.clock.advance(9)
            assert rig.pool.acquire() is first

    def test_no_connection_is_lent_after_max_lifetime(self) -> None:
        rig = Rig(max_lifetime=100)
        first = rig.pool.acquire()
        rig.pool.release(first)
        rig.clock.advance(100 * (1 - LIFETIME_JITTER) - 1)
        assert rig.pool.acquire() is first
        rig.pool.release(first)
        rig.clock.advance(100 * LIFETIME_JITTER + 1)
        assert rig.pool.acquire() is not first
        assert rig.dropped() == {"max lifetime": 1}

    def test_a_lent_connection_at_the_end_of_its_life_is_closed_on_return(self) -> None:
        rig = Rig(max_lifetime=100)
        first = rig.pool.acquire()
        rig.clock.advance(100)
        rig.pool.release(first)
        assert not first.is_open
        assert rig.pool.idle == 0

    def test_lifetimes_are_spread_over_five_percent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        chances = iter([0.0, 0.5, 0.999])
        monkeypatch.setattr("random.random", lambda: next(chances))
        rig = Rig(maxsize=3, max_lifetime=100)
        things = rig.acquire_all(3)
        ends = [rig.pool.leases[id(thing)].ends_at - rig.clock.now for thing in things]
        assert ends == pytest.approx([100, 97.5, 95.005])

    def test_the_peers_own_limit_is_kept(self) -> None:
        """Keep-Alive: timeout=5."""
        rig = Rig(idle_timeout=60)
        first = rig.pool.acquire()
        rig.pool.release(first, idle_limit=5)
        rig.clock.advance(5)
        assert rig.pool.acquire() is not first
        assert rig.dropped() == {"keep-alive limit": 1}

    def test_the_peers_limit_holds_for_one_return_only(self) -> None:
        rig = Rig()
        first = rig.pool.acquire()
        rig.pool.release(first, idle_limit=5)
        assert rig.pool.acquire() is first
        rig.pool.release(first)
        rig.clock.advance(1000)
        assert rig.pool.acquire() is first

    @pytest.mark.parametrize("verb", ["acquire", "release"])
    def test_without_a_collector_a_few_old_ones_are_closed_in_passing(self, verb: str) -> None:
        rig = Rig(maxsize=10, idle_timeout=10, dispose_batch_size=3)
        things = rig.acquire_all(10)
        for thing in things[:9]:
            rig.pool.release(thing)
        rig.clock.advance(10)
        if verb == "release":
            rig.pool.release(things[9])
            assert len(rig.factory.closed) == 3
        else:
            rig.pool.acquire()
            assert len(rig.factory.closed) == 1 + 3  # the newest, found too old itself, and a batch
        rig.pool.check()

    def test_old_ones_are_all_closed_in_the_end(self) -> None:
        rig = Rig(maxsize=10, idle_timeout=10, dispose_batch_size=2)
        things = rig.acquire_all(10)
        for thing in things[:9]:
            rig.pool.release(thing)
        rig.clock.advance(10)
        for _ in range(5):
            rig.pool.release(things[9])
            assert rig.pool.acquire() is things[9]
        assert rig.factory.open == [things[9]]

    def test_a_sweep_closes_what_is_too_old_and_tells_when_to_come_back(self) -> None:
        rig = Rig(maxsize=3, idle_timeout=10)
        one, two, three = rig.acquire_all(3)
        rig.pool.release(one)
        rig.clock.advance(4)
        rig.pool.release(two)
        rig.clock.advance(6)
        assert rig.pool.sweep(rig.clock.now) == 4
        assert rig.factory.closed == [one]
        rig.clock.advance(4)
        rig.pool.sweep(rig.clock.now)
        assert rig.factory.closed == [one, two]
        assert rig.pool.leased == 1
        assert three.is_open

    def test_a_sweep_finds_the_end_of_a_life_behind_younger_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        chances = iter([0.0, 1.0])
        monkeypatch.setattr("random.random", lambda: next(chances))
        rig = Rig(maxsize=2, max_lifetime=100)
        one, two = rig.acquire_all(2)
        rig.pool.release(one)
        rig.pool.release(two)
        rig.clock.advance(96)
        assert rig.pool.sweep(rig.clock.now) == 4
        assert rig.factory.closed == [two]

    def test_a_closed_pool_wants_no_further_sweep(self) -> None:
        rig = Rig(idle_timeout=10)
        rig.pool.close()
        assert rig.pool.sweep(rig.clock.now) is None


class TestClosing:
    def test_idle_connections_are_closed_at_once_and_lent_ones_on_return(self) -> None:
        rig = Rig(maxsize=2)
        one, two = rig.acquire_all(2)
        rig.pool.release(one)
        assert rig.pool.close() is False
        assert (one.is_open, two.is_open) == (False, True)
        assert rig.pool.state is State.CLOSING
        rig.pool.release(two)
        assert not two.is_open
        assert rig.pool.state is State.CLOSED
        assert rig.dropped() == {"pool closed": 2}

    def test_everybody_in_line_is_told_at_once(self) -> None:
        rig = Rig(block=True)
        rig.pool.acquire()
        borrowers = [in_line(rig.pool, None) for _ in range(3)]
        rig.pool.close()
        assert [type(borrower.result()) for borrower in borrowers] == [ClosedPoolError] * 3
        assert rig.pool.waiting == 0

    def test_nothing_is_lent_afterwards(self) -> None:
        rig = Rig()
        assert rig.pool.close() is True
        with pytest.raises(ClosedPoolError):
            rig.pool.acquire()
        assert rig.pool.close() is True

    def test_a_connection_dialled_meanwhile_is_closed(self) -> None:
        """HikariCP, ShutdownTest."""
        rig = Rig()
        rig.factory.before_connect = rig.pool.close
        with pytest.raises(ClosedPoolError):
            rig.pool.acquire()
        assert rig.factory.open == []
        assert rig.pool.state is State.CLOSED

    def test_close_waits_for_what_is_lent(self) -> None:
        rig = Rig()
        thing = rig.pool.acquire()
        outcome: list[bool] = []
        closer = threading.Thread(target=lambda: outcome.append(rig.pool.close(5.0)))
        closer.start()
        until(lambda: rig.pool.state is State.CLOSING)
        rig.pool.release(thing)
        closer.join(5)
        assert outcome == [True]

    def test_close_gives_up_in_time(self) -> None:
        rig = Rig()
        rig.pool.acquire()
        assert rig.pool.close(0.001) is False

    def test_drain_replaces_every_connection(self) -> None:
        """psycopg_pool, test_drain."""
        rig = Rig(maxsize=3, block=True)
        one, two, three = rig.acquire_all(3)
        rig.pool.release(one)
        assert rig.pool.drain(0) is False
        assert not one.is_open
        young = rig.pool.acquire(0)
        rig.pool.release(two)
        rig.pool.release(young)
        assert (two.is_open, young.is_open) == (False, True)
        outcome: list[bool] = []
        waiter = threading.Thread(target=lambda: outcome.append(rig.pool.wait_drained(5.0)))
        waiter.start()
        rig.pool.discard(three, "broken")
        waiter.join(5)
        assert outcome == [True]
        assert rig.pool.acquire(0) is young

    def test_drop_idle_closes_idle_connections_only(self) -> None:
        rig = Rig(maxsize=3)
        one, two, three = rig.acquire_all(3)
        rig.pool.release(one)
        rig.pool.release(two)
        assert rig.pool.drop_idle("refreshed") == 2
        assert rig.factory.open == [three]
        assert rig.dropped() == {"refreshed": 2}

    def test_drop_unusable_looks_at_each_idle_connection_once(self) -> None:
        rig = Rig(maxsize=3)
        one, two, three = rig.acquire_all(3)
        for thing in (one, two, three):
            rig.pool.release(thing)
        two.is_quiet = False
        assert rig.pool.drop_unusable("dead when probed") == 1
        assert rig.factory.checked == 3
        assert rig.pool.idle_connections() == [one, three]
        assert rig.dropped() == {"dead when probed": 1}

    def test_a_pool_that_nobody_holds_closes_its_idle_connections(self) -> None:
        rig = Rig(maxsize=2)
        one, two = rig.acquire_all(2)
        rig.pool.release(one)
        del rig.pool
        assert (one.is_open, two.is_open) == (False, True)


class TestResizing:
    def test_as_many_as_the_new_limit_stay(self) -> None:
        rig = Rig(maxsize=3)
        things = rig.acquire_all(3)
        for thing in things:
            rig.pool.release(thing)
        rig.pool.resize(2)
        assert [thing.is_open for thing in things] == [False, True, True]
        rig.pool.resize(2)
        assert rig.pool.idle == 2


class TestAdoption:
    def test_an_adopted_connection_is_lent_next(self) -> None:
        rig = Rig()
        foreign = Thing(99, "home")
        rig.pool.add_idle(foreign)
        assert rig.pool.acquire() is foreign
        rig.pool.check()

    def test_an_adopted_connection_grows_old_like_others(self) -> None:
        rig = Rig(idle_timeout=60)
        foreign = Thing(99, "home")
        rig.pool.add_idle(foreign)
        assert rig.pool._shared.expire_at == pytest.approx(rig.clock() + 60)
        rig.clock.advance(61)
        assert rig.pool.sweep(rig.clock()) is not None
        assert not foreign.is_open

    def test_an_adopted_connection_that_is_looked_at_is_another_lease_each_time(self) -> None:
        """So that who is interrupted while looking gives back this lease and none that follows."""
        rig = Rig()
        foreign = Thing(99, "home")
        rig.pool.add_idle(foreign)
        for number in (1, 2):
            waiter: Waiter[Thing] = Waiter(rig.pool, 0.0)
            rig.pool._lease_if_idle(waiter, foreign)
            assert waiter.lease == rig.pool.lease_of(foreign) == number
            rig.pool.release(foreign)

    def test_there_must_be_room(self) -> None:
        rig = Rig()
        rig.pool.acquire()
        with pytest.raises(FullPoolError):
            rig.pool.add_idle(Thing(99, "home"))

    def test_an_own_connection_is_not_adopted(self) -> None:
        rig = Rig(maxsize=2)
        with pytest.raises(ValueError, match="belongs to"):
            rig.pool.add_idle(rig.pool.acquire())

    def test_who_waits_gets_it(self) -> None:
        rig = Rig(block=True)
        thing = rig.pool.acquire()
        borrower = in_line(rig.pool)
        rig.pool.detach(thing)
        assert borrower.result().is_open


class TestLeaks:
    def test_a_lease_held_too_long_is_told_once_with_its_taker(self, caplog: pytest.LogCaptureFixture) -> None:
        rig = Rig(leak_timeout=60)

        def forgetful_function() -> Thing:
            return rig.pool.acquire()

        thing = forgetful_function()
        assert rig.pool.sweep(rig.clock.now) == 60
        rig.clock.advance(61)
        rig.pool.sweep(rig.clock.now)
        rig.pool.sweep(rig.clock.now)
        assert caplog.text.count("is held for 61 s") == 1
        assert "forgetful_function" in caplog.text
        assert rig.pool.stats().leaks == 1
        rig.pool.release(thing)

    def test_who_has_to_wait_finds_the_leak(self, caplog: pytest.LogCaptureFixture) -> None:
        rig = Rig(leak_timeout=60, block=True)
        rig.pool.acquire()
        rig.clock.advance(61)
        with pytest.raises(EmptyPoolError):
            rig.pool.acquire(0)
        assert "is held for 61 s" in caplog.text

    def test_a_new_lease_starts_a_new_term(self, caplog: pytest.LogCaptureFixture) -> None:
        rig = Rig(leak_timeout=60)
        for _ in range(3):
            thing = rig.pool.acquire()
            rig.clock.advance(59)
            rig.pool.sweep(rig.clock.now)
            rig.pool.release(thing)
            rig.clock.advance(100)
            rig.pool.sweep(rig.clock.now)
        assert "is held for" not in caplog.text


class TestFinalisers:
    def test_a_return_from_a_finaliser_inside_the_lock_is_carried_out_later(self) -> None:
        """The garbage collector may run while this thread holds the lock, and finalise a response that returns."""
        rig = Rig(maxsize=2)
        one, two = rig.acquire_all(2)

        class Response:
            def __init__(self, give_back: Callable[[], object]) -> None:
                self.give_back = give_back
                self.ring = self

            def __del__(self) -> None:
                self.give_back()

        Response(lambda: rig.pool.release(one))
        Response(lambda: rig.pool.discard(two, "unread"))
        with rig.pool._lock:
            gc.collect()
            assert rig.pool.leased == 2
        third = rig.pool.acquire()
        assert third.number == 3
        rig.pool.check()
        assert rig.pool.idle_connections() == [one]
        assert not two.is_open

    def test_a_wrong_return_from_inside_the_lock_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        rig = Rig()
        with rig.pool._lock:
            rig.pool.release(Thing(99, "elsewhere"))
        rig.pool.release(rig.pool.acquire())
        assert "could not be returned from a finaliser" in caplog.text

    def test_acquire_from_inside_the_lock_is_an_error_and_no_deadlock(self) -> None:
        """psycopg_pool, test_debug_deadlock."""
        rig = Rig()
        with rig.pool._lock, pytest.raises(RuntimeError, match="interrupted"):
            rig.pool.acquire()


class TestFigures:
    def test_every_figure_is_explained(self) -> None:
        table = [line.split()[0] for line in (PoolStats.__doc__ or "").splitlines() if line.strip()]
        assert set(PoolStats._fields) <= set(table)

    def test_the_figures_of_a_short_life(self) -> None:
        rig = Rig(maxsize=2, block=True)
        one, two = rig.acquire_all(2)
        rig.pool.release(one)
        rig.pool.release(rig.pool.acquire())
        rig.pool.discard(two, "broken")
        assert rig.pool.stats() == PoolStats(
            idle=1, maxsize=2, most_leased=2, opened=2, reused=1, returned=2, dropped={"broken": 1}
        )

    def test_figures_cannot_be_changed(self) -> None:
        stats = Rig().pool.stats()
        with pytest.raises(AttributeError):
            stats.idle = 5  # type: ignore[misc]
        with pytest.raises(TypeError):
            stats.dropped["x"] = 1  # type: ignore[index]

    def test_a_listener_hears_the_life_of_a_connection(self) -> None:
        heard: list[Any] = []

        class Ear(Trace):
            def connection_opened(self, endpoint: object, connection: object) -> None:
                heard.append("opened")

            def connection_reused(self, endpoint: object, connection: object) -> None:
                heard.append("reused")

            def connection_returned(self, endpoint: object, connection: object) -> None:
                heard.append("returned")

            def connection_closed(self, endpoint: object, connection: object, reason: str) -> None:
                heard.append(reason)

        rig = Rig(trace=Ear())
        for _ in range(2):
            rig.pool.release(rig.pool.acquire())
        rig.pool.discard(rig.pool.acquire(), "broken")
        assert heard == ["opened", "returned", "reused", "returned", "reused", "broken"]

    def test_the_repr_shows_state_and_numbers(self) -> None:
        rig = Rig(maxsize=2)
        rig.pool.acquire()
        assert repr(rig.pool) == ("<EndpointPool 'home' open: 0 idle, 1 leased, 0 opening, 0 waiting, maxsize 2>")

    def test_all_connections_can_be_listed(self) -> None:
        rig = Rig(maxsize=2)
        one, two = rig.acquire_all(2)
        rig.pool.release(one)
        assert rig.pool.connections() == [two, one]

    def test_a_pool_pickles_as_its_settings(self) -> None:
        pool: EndpointPool[str, Thing] = EndpointPool(
            "home", PicklableFactory(), maxsize=3, block=True, idle_timeout=7.0
        )
        pool.acquire()
        pool.resize(5)
        copy = pickle.loads(pickle.dumps(pool))
        assert (copy.endpoint, copy.maxsize, copy.block) == ("home", 5, True)
        assert copy._settings == pool._settings._replace(maxsize=5)
        assert copy.stats().total == 0


class PicklableFactory:
    def connect(self, endpoint: str, timeout: float | None) -> Thing:
        return Thing(1, endpoint)

    def usable(self, connection: Thing) -> bool:
        return True

    def close(self, connection: Thing) -> None:
        connection.is_open = False
