"""The one background thread: who starts it, what it does, when it is gone."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from poollib.pool import EndpointPool, housekeeper
from poollib.pool.housekeeper import THREAD_NAME, Housekeeper
from tests.support.pool import CountingFactory, Thing, until


class Sleeper:
    """Something to be swept: it notes the calls and answers with `pause_s` (an exception is raised)."""

    def __init__(self, pause_s: Any = None) -> None:
        self.pause_s = pause_s
        self.calls = 0
        self.swept = threading.Event()

    def sweep(self, now: float) -> float | None:
        self.calls += 1
        self.swept.set()
        if isinstance(self.pause_s, BaseException):
            raise self.pause_s
        return self.pause_s  # type: ignore[no-any-return]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


@pytest.fixture
def alone() -> Iterator[Housekeeper]:
    """A collector of this test's own; its thread must be gone at the end."""
    own = Housekeeper()
    yield own
    until(lambda: not own.is_running)


class TestTheThread:
    def test_it_starts_with_the_first_and_ends_when_the_last_wants_nothing_more(self, alone: Housekeeper) -> None:
        one, two = Sleeper(), Sleeper()
        alone.watch(one)
        alone.watch(two)
        assert one.swept.wait(5)
        assert two.swept.wait(5)
        until(lambda: not alone.is_running)
        assert (one.calls, two.calls) == (1, 1)

    def test_it_is_one_daemon_for_all(self, alone: Housekeeper) -> None:
        before = len(threads())
        sleepers = [Sleeper(3600.0) for _ in range(5)]
        for sleeper in sleepers:
            alone.watch(sleeper)
            assert sleeper.swept.wait(5)
        assert len(threads()) == before + 1
        assert all(thread.daemon for thread in threads())

    def test_it_ends_when_the_last_one_vanishes(self, alone: Housekeeper) -> None:
        sleeper = Sleeper(3600.0)
        alone.watch(sleeper)
        assert sleeper.swept.wait(5)
        assert alone.is_running
        del sleeper
        until(lambda: not alone.is_running)

    def test_it_starts_again_when_asked_again(self, alone: Housekeeper) -> None:
        one = Sleeper()
        alone.watch(one)
        until(lambda: not alone.is_running)
        two = Sleeper()
        alone.watch(two)
        assert two.swept.wait(5)

    def test_it_sleeps_as_long_as_it_is_told(self, alone: Housekeeper) -> None:
        often, seldom = Sleeper(0.002), Sleeper(3600.0)
        alone.watch(often)
        alone.watch(seldom)
        until(lambda: often.calls >= 5)
        assert seldom.calls == 1
        often.pause_s = None

    def test_it_comes_sooner_when_hastened(self, alone: Housekeeper) -> None:
        sleeper = Sleeper(3600.0)
        alone.watch(sleeper)
        assert sleeper.swept.wait(5)
        sleeper.swept.clear()
        alone.hasten(weakref.ref(sleeper), 0.0)
        assert sleeper.swept.wait(5)

    def test_an_error_of_one_is_logged_and_touches_no_other(
        self, alone: Housekeeper, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken, sound = Sleeper(ValueError("broken sweep")), Sleeper(0.002)
        alone.watch(broken)
        alone.watch(sound)
        until(lambda: sound.calls >= 3)
        assert broken.calls == 1
        assert "broken sweep" in caplog.text
        broken.pause_s = sound.pause_s = None
        alone.hasten(weakref.ref(broken), 0.0)

    def test_those_that_vanish_before_their_news_is_read_do_not_end_it(self, alone: Housekeeper) -> None:
        """The hash of a weak reference that nobody asked for in time can't be had: "weak object has gone away"."""
        go_on = threading.Event()

        class Slow(Sleeper):
            def sweep(self, now: float) -> float | None:
                super().sweep(now)
                go_on.wait(5)
                return 0.0 if self.calls < 3 else None

        slow = Slow()
        alone.watch(slow)
        assert slow.swept.wait(5)
        thread = alone._thread
        for _ in range(3):
            alone.watch(Sleeper())
            gone = Sleeper()
            alone.hasten(weakref.ref(gone), 0.0)
            del gone
        go_on.set()
        until(lambda: slow.calls == 3)
        assert thread is not None
        thread.join(5)
        assert alone._due == {}

    @pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt(), GeneratorExit()])
    def test_no_exception_of_a_sweep_ends_it(self, alone: Housekeeper, error: BaseException) -> None:
        broken, sound = Sleeper(error), Sleeper(0.0)
        alone.watch(broken)
        alone.watch(sound)
        until(lambda: broken.calls == 1 and sound.calls >= 3)
        broken.pause_s = sound.pause_s = None
        alone.hasten(weakref.ref(broken), 0.0)

    def test_who_raised_is_asked_again(self, alone: Housekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
        """One failure of a factory's is no reason to leave its pool alone for good."""
        monkeypatch.setattr("poollib.pool.housekeeper.PAUSE_AFTER_ERROR_S", 0.0)
        broken = Sleeper(OSError("once"))
        alone.watch(broken)
        until(lambda: broken.calls >= 2)
        broken.pause_s = None

    def test_an_error_of_the_timetable_itself_is_logged_and_ends_nothing(
        self, alone: Housekeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(housekeeper, "PAUSE_AFTER_FAULT_S", 0.0)
        alone._requests.put(("no reference", 0.0))  # type: ignore[arg-type]
        sleeper = Sleeper()
        alone.watch(sleeper)
        assert sleeper.swept.wait(5)
        assert "the timetable of the pools failed" in caplog.text

    def test_a_log_handler_that_raises_ends_nothing(self, alone: Housekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(housekeeper.log, "exception", lambda *args: 1 / 0)
        broken, sound = Sleeper(ValueError()), Sleeper(0.0)
        alone.watch(broken)
        alone.watch(sound)
        until(lambda: broken.calls == 1 and sound.calls >= 3)
        broken.pause_s = sound.pause_s = None
        alone.hasten(weakref.ref(broken), 0.0)

    def test_a_dead_one_is_noticed_and_its_timetable_is_followed_on(self, alone: Housekeeper) -> None:
        one, two = Sleeper(3600.0), Sleeper()
        alone.watch(one)
        assert one.swept.wait(5)
        until(lambda: alone._due != {})
        thread = alone._thread
        assert thread is not None
        alone._is_over = lambda: True  # type: ignore[method-assign]  # it ends without a word, whatever ended it
        alone.hasten(weakref.ref(one), 3600.0)
        thread.join(5)
        del alone._is_over
        assert alone._thread is thread
        assert not alone.is_running
        one.pause_s = None
        alone.hasten(weakref.ref(one), 0.0)
        assert alone.watch(two)
        assert two.swept.wait(5)
        until(lambda: one.calls == 2)

    def test_a_finaliser_that_asks_while_the_thread_is_started_does_not_hang(
        self, alone: Housekeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It runs in the thread that holds the lock; of the two threads that start one goes on."""
        inner, outer = Sleeper(0.0), Sleeper(0.0)
        start = threading.Thread.start

        def start_in_between(thread: threading.Thread) -> None:
            if not inner.swept.is_set() and alone._thread is None:
                monkeypatch.setattr(threading.Thread, "start", start)
                alone.watch(inner)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_in_between)
        alone.watch(outer)
        until(lambda: inner.calls >= 2 and outer.calls >= 2)
        until(lambda: len(threads()) == 1)
        inner.pause_s = outer.pause_s = None

    def test_a_later_reference_tells_when_its_target_vanishes(self, alone: Housekeeper) -> None:
        """A pool that was closed may still be hastened by another reference, and be watched once more."""
        sleeper = Sleeper(3600.0)
        alone.hasten(weakref.ref(sleeper), 3600.0)
        alone.watch(sleeper)
        assert sleeper.swept.wait(5)
        del sleeper
        until(lambda: not alone.is_running)

    def test_endless_pauses_do_not_overflow(self, alone: Housekeeper) -> None:
        one, two = Sleeper(1e300), Sleeper(3600.0)
        alone.watch(one)
        alone.watch(two)
        assert one.swept.wait(5)
        assert two.swept.wait(5)
        assert alone.is_running

    def test_at_an_exit_it_ends_at_once_and_starts_no_more(self, alone: Housekeeper) -> None:
        """In a subinterpreter CPython ends the process for a thread that is left."""
        sleeper = Sleeper(3600.0)
        assert alone.watch(sleeper)
        thread = alone._thread
        alone.end()
        assert thread is not None
        assert not thread.is_alive()
        assert not alone.watch(Sleeper())
        alone.end()

    def test_a_thread_that_goes_is_forgotten_before_it_has_gone(self, alone: Housekeeper) -> None:
        """Who asks in between would be told that it runs, and would never be swept."""
        alone._thread = threading.current_thread()
        assert alone.is_running
        assert alone._is_over()
        assert not alone.is_running

    def test_a_finaliser_at_the_exit_starts_no_thread(self, alone: Housekeeper, monkeypatch: Any) -> None:
        """In CPython 3.10 and 3.11 the start of a thread would never return then."""
        monkeypatch.setattr(sys, "is_finalizing", lambda: True)
        monkeypatch.setattr(threading, "Thread", None)
        assert not alone.watch(Sleeper())


class TestPools:
    def test_no_thread_is_started_unless_asked_for(self) -> None:
        before = threads()
        pool: EndpointPool[str, Thing] = EndpointPool(
            "home", CountingFactory(), maxsize=2, block=True, idle_timeout=1, max_lifetime=1, leak_timeout=1
        )
        pool.release(pool.acquire(), idle_limit=1)
        assert threads() == before

    def test_a_pool_works_where_no_thread_can_be_started_and_asks_again_later(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        factory = CountingFactory()
        with monkeypatch.context() as scarce:
            scarce.setattr(threading.Thread, "start", refuse)
            pool: EndpointPool[str, Thing] = EndpointPool("home", factory, idle_timeout=0, background_collector=True)
            pool.discard(pool.acquire())
        pool.release(pool.acquire())
        until(lambda: not factory.open)
        pool.close()

    def test_pools_made_and_dropped_do_not_end_the_care_for_others(self) -> None:
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, idle_timeout=0, background_collector=True)
        for _ in range(200):
            EndpointPool("other", CountingFactory(), background_collector=True)
        pool.release(pool.acquire())
        until(lambda: not factory.open)
        pool.close()

    def test_a_factory_whose_close_ends_the_program_does_not_end_the_collector(self) -> None:
        def leave() -> None:
            raise SystemExit

        wild, factory = CountingFactory(), CountingFactory()
        wild.before_close = leave
        rough: EndpointPool[str, Thing] = EndpointPool("rough", wild, idle_timeout=0, background_collector=True)
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, idle_timeout=0, background_collector=True)
        rough.release(rough.acquire())
        until(lambda: rough.stats().total == 0)
        pool.release(pool.acquire())
        until(lambda: not factory.open)
        wild.before_close = None
        pool.close()
        rough.close()

    def test_idle_connections_are_closed_in_the_background(self) -> None:
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, idle_timeout=0.01, background_collector=True)
        pool.release(pool.acquire())
        until(lambda: not factory.open)
        assert dict(pool.stats().dropped) == {"idle timeout": 1}
        pool.check()
        pool.close()

    def test_a_peers_shorter_limit_brings_the_collector_sooner(self) -> None:
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, idle_timeout=3600, background_collector=True)
        pool.release(pool.acquire(), idle_limit=0.01)
        until(lambda: not factory.open)
        assert dict(pool.stats().dropped) == {"keep-alive limit": 1}
        pool.close()

    def test_min_idle_is_opened_ahead_and_warmed(self) -> None:
        factory = CountingFactory()
        warmed: list[Thing] = []
        factory.warm = lambda connection, timeout: warmed.append(connection)  # type: ignore[attr-defined]
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=3, min_idle=2)
        until(lambda: pool.idle == 2)
        assert warmed == factory.made
        assert pool.stats().most_leased == 0
        pool.acquire()
        until(lambda: pool.idle == 2)
        pool.acquire()
        until(lambda: len(factory.made) == 3)
        pool.check()
        assert (pool.idle, pool.leased) == (1, 2)  # no more than maxsize
        pool.close()

    def test_idle_timeout_spares_min_idle(self) -> None:
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=4, min_idle=2, idle_timeout=0.01)
        until(lambda: pool.idle == 2)
        things = [pool.acquire() for _ in range(4)]
        for thing in things:
            pool.release(thing)
        until(lambda: pool.idle == 2)
        pool.sweep(time.monotonic() + 100)
        assert pool.idle == 2
        pool.check()
        pool.close()

    def test_a_kept_connection_past_its_idle_timeout_is_lent(self) -> None:
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=2, min_idle=1, idle_timeout=0.0)
        until(lambda: pool.idle == 1)
        assert pool.acquire() is factory.made[0]
        pool.close()

    def test_a_failing_peer_is_asked_again_after_a_growing_pause(self, caplog: pytest.LogCaptureFixture) -> None:
        """psycopg_pool, test_reconnect_failure; the timetable is driven by hand here."""
        factory = CountingFactory()
        factory.failures = [OSError("down") for _ in range(3)]
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, min_idle=1)
        until(lambda: len(factory.timeouts) == 1)
        until(lambda: pool.opening == 0)
        now = time.monotonic()
        assert pool.sweep(now) == pytest.approx(1.0, abs=0.5)
        assert pool.sweep(now + 2) == pytest.approx(2.0)
        assert pool.sweep(now + 3) == pytest.approx(1.0)
        assert pool.sweep(now + 5) == pytest.approx(4.0)
        assert pool.sweep(now + 10) == 0.0
        assert pool.idle == 1
        assert pool.stats().connect_errors == 3
        assert "opening ahead of demand failed" in caplog.text
        pool.check()
        pool.close()

    def test_a_failed_warm_closes_the_connection(self) -> None:
        factory = CountingFactory()
        factory.warm = lambda connection, timeout: 1 / 0  # type: ignore[attr-defined]
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, min_idle=1)
        until(lambda: len(factory.closed) == 1 and pool.opening == 0)
        assert pool.stats().total == 0
        assert pool.stats().connect_errors == 1
        pool.close()

    def test_a_connection_opened_ahead_goes_to_who_waits(self) -> None:
        factory = CountingFactory()
        entered, go_on = threading.Event(), threading.Event()

        def slowly() -> None:
            entered.set()
            go_on.wait(5)

        factory.before_connect = slowly
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=1, block=True, min_idle=1)
        assert entered.wait(5)
        outcome: list[Thing] = []
        borrower = threading.Thread(target=lambda: outcome.append(pool.acquire(5)))
        borrower.start()
        until(lambda: pool.waiting == 1)
        go_on.set()
        borrower.join(5)
        assert outcome == factory.made
        pool.close()

    def test_the_thread_is_gone_when_the_pools_are_closed(self) -> None:
        pool: EndpointPool[str, Thing] = EndpointPool("home", CountingFactory(), background_collector=True)
        assert housekeeper.is_running()
        pool.close()
        pool.sweep(time.monotonic())
        del pool
        until(lambda: not threads())

    def test_the_thread_holds_no_pool(self) -> None:
        """psycopg_pool, test_del_stops_threads."""
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, idle_timeout=60, background_collector=True)
        pool.release(pool.acquire())
        del pool
        until(lambda: not threads() and not factory.open)
