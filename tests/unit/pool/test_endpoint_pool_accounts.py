"""What a pool counts, tells its listener and says of its state is what its factory saw, and no count goes backwards."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from poollib.base.trace import Trace
from poollib.exceptions import ClosedPoolError, EmptyPoolError
from poollib.pool import ConnectionPool, EndpointPool, State
from tests.support.forks import in_child
from tests.support.pool import CountingFactory, HandClock, Thing, interrupted, until


class Heard(Trace):
    """All events of connections, with the reason where there is one."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def connection_opened(self, endpoint: object, connection: object) -> None:
        self.events.append("opened")

    def connection_reused(self, endpoint: object, connection: object) -> None:
        self.events.append("reused")

    def connection_closed(self, endpoint: object, connection: object, reason: str) -> None:
        self.events.append(f"closed: {reason}")


def fail(*_: object) -> None:
    raise OSError("planted")


class TestEvents:
    """Whatever is told as closed was told as opened, and the other way round."""

    def test_what_was_never_opened_in_full_is_not_told_as_closed(self) -> None:
        factory, heard = CountingFactory(), Heard()
        factory.warm = fail  # type: ignore[attr-defined]
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, min_idle=1, trace=heard)
        until(lambda: pool.stats().connect_errors > 0)
        pool.close()
        assert factory.open == []
        assert heard.events == []
        assert (pool.stats().opened, dict(pool.stats().dropped)) == (0, {})

    def test_what_was_dialled_while_the_pool_was_closed_is_told_as_both(self) -> None:
        factory, heard = CountingFactory(), Heard()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, trace=heard)
        factory.before_connect = pool.close
        with pytest.raises(ClosedPoolError):
            pool.acquire()
        assert heard.events == ["opened", "closed: pool closed"]
        assert (pool.stats().opened, dict(pool.stats().dropped)) == (1, {"pool closed": 1})

    def test_what_is_detached_is_told_to_listener_and_factory(self, caplog: pytest.LogCaptureFixture) -> None:
        factory, heard, gone = CountingFactory(), Heard(), []
        factory.on_detach = gone.append  # type: ignore[attr-defined]
        pool: ConnectionPool[str, Thing] = ConnectionPool(factory, trace=heard)
        thing = pool.detach(pool.acquire("home"))
        assert heard.events == ["opened", "closed: detached"]
        assert gone == [thing]
        assert thing.is_open
        factory.on_detach = fail  # type: ignore[attr-defined]
        pool.detach(pool.acquire("home"))
        assert "on_detach failed" in caplog.text
        assert pool.stats().total == 0


class TestNeverBackwards:
    def test_a_reuse_counts_once_the_connection_was_found_usable(self) -> None:
        seen: list[int] = []
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=3)
        for thing in [pool.acquire(), pool.acquire(), pool.acquire()]:
            pool.release(thing)
        pool.release(pool.acquire())
        assert pool.stats().reused == 1
        factory.usable = lambda _: seen.append(pool.stats().reused) or len(seen) == 3  # type: ignore[func-returns-value]
        pool.acquire()
        assert seen == [1, 1, 1]
        assert pool.stats().reused == 2
        factory.usable = lambda _: False
        pool.release(pool.acquire())
        assert (pool.drop_unusable(), pool.stats().reused) == (1, 2)

    def test_a_connection_that_is_handed_over_counts_likewise(self) -> None:
        seen: list[int] = []
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, block=True)
        thing = pool.acquire()
        waiter = threading.Thread(target=pool.acquire, args=(5.0,))
        waiter.start()
        until(lambda: pool.waiting == 1)
        factory.usable = lambda _: bool(seen.append(pool.stats().reused))  # type: ignore[func-returns-value]
        pool.release(thing)
        waiter.join(5)
        assert (seen, pool.stats().reused, pool.stats().opened) == ([0], 0, 2)

    def test_what_comes_back_of_an_interrupted_wait_and_makes_room_at_once_is_no_return(self) -> None:
        factory = CountingFactory()
        pool: ConnectionPool[str, Thing] = ConnectionPool(factory, total_maxsize=1)
        first, second = pool.acquire("a"), []

        def wait_in_vain() -> None:
            with pytest.raises(KeyboardInterrupt):
                pool.acquire("a", 5)

        waiters = [
            threading.Thread(target=wait_in_vain),
            threading.Thread(target=lambda: second.append(pool.acquire("b", 5))),
        ]
        for number, waiter in enumerate(waiters, 1):
            waiter.start()
            until(lambda: pool.stats().waiting == number)  # noqa: B023 - it is asked here
        factory.usable = interrupted  # type: ignore[method-assign]
        pool.release(first)
        for waiter in waiters:
            waiter.join(5)
        figures = pool.stats()
        assert (figures.returned, figures.reused, figures.opened) == (1, 1, 2)
        assert dict(figures.dropped) == {"made room": 1}
        pool.discard(second.pop())

    def test_the_figures_of_several_endpoints_are_of_one_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else one that makes room for another endpoint's may be counted twice, one of a dropped pool not at all."""
        pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), maxsize=2, total_maxsize=3)
        held: list[bool] = []
        for name in ("a", "b", "c"):
            pool.release(pool.acquire(name))
        plain = EndpointPool.stats

        def stats(endpoint_pool: EndpointPool[str, Thing]) -> Any:
            held.append(pool.shared_limit.is_held())
            return plain(endpoint_pool)

        monkeypatch.setattr(EndpointPool, "stats", stats)
        assert pool.stats().idle == 3
        assert held == [True, True, True]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
    def test_a_forked_child_counts_from_nothing(self) -> None:
        """What it inherits is not its own, so that what it opened, holds and dropped still come to the same."""
        pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), maxsize=2)
        pool.discard(pool.acquire("a"))
        held = pool.acquire("a")
        pool.release(pool.acquire("b"))

        def work() -> Any:
            before = pool.stats()
            pool.release(held)
            pool.release(pool.acquire("a"))
            now = pool.stats()
            return before.opened, before.returned, dict(before.dropped), now.opened, now.total, dict(now.dropped)

        assert in_child(work) == "(0, 0, {}, 1, 1, {})"
        pool.release(held)
        assert (pool.stats().opened, pool.stats().total, dict(pool.stats().dropped)) == (3, 2, {"discarded": 1})


class TestMakingRoom:
    """A connection that makes room for another endpoint's is still its own endpoint's until it is closed."""

    def test_its_endpoint_gets_no_further_one_before(self) -> None:
        factory = CountingFactory()
        pool: ConnectionPool[str, Thing] = ConnectionPool(factory, maxsize=1, total_maxsize=2, block=True)
        is_closing, may_close = threading.Event(), threading.Event()
        pool.release(pool.acquire("a"))
        held = pool.acquire("held")
        factory.before_close = lambda: [is_closing.set(), may_close.wait(5)]
        asker = threading.Thread(target=pool.acquire, args=("b", 5.0))
        asker.start()
        assert is_closing.wait(5)
        assert (pool.stats().closing, pool.stats().opening, pool.stats().total) == (1, 0, 2)
        pool.check()
        pool.detach(held)
        with pytest.raises(EmptyPoolError):
            pool.acquire("a", 0)
        waiter = threading.Thread(target=pool.acquire, args=("a", 5.0))
        waiter.start()
        until(lambda: pool.stats().waiting == 1)
        may_close.set()
        asker.join(5)
        waiter.join(5)
        assert pool.stats().leased == 2
        pool.check()

    def test_its_slot_is_free_only_then_if_the_other_is_not_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        factory, used = CountingFactory(), []
        pool: ConnectionPool[str, Thing] = ConnectionPool(factory, total_maxsize=1)
        pool.release(pool.acquire("a"))
        factory.before_close = lambda: used.append(pool.shared_limit.used)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(EndpointPool, "_open_connection", interrupted)
            pool.acquire("b")
        assert used == [1]
        assert pool.shared_limit.used == pool.stats().total == 0
        pool.check()

    def test_an_interrupted_close_frees_its_place(self) -> None:
        factory = CountingFactory()
        pool: ConnectionPool[str, Thing] = ConnectionPool(factory, maxsize=1, total_maxsize=1, block=True)
        pool.release(pool.acquire("a"))
        errors: list[type[BaseException]] = [KeyboardInterrupt]

        def interrupt_once() -> None:
            if errors:
                raise errors.pop()

        factory.before_close = interrupt_once
        with pytest.raises(KeyboardInterrupt):
            pool.acquire("b")
        assert factory.open == []
        assert (pool.shared_limit.used, pool.stats().total) == (0, 0)
        pool.check()
        pool.acquire("a", 0)

    def test_closing_its_pool_waits_for_it(self) -> None:
        factory = CountingFactory()
        pool: ConnectionPool[str, Thing] = ConnectionPool(factory, total_maxsize=1)
        alone = pool.endpoint_pool("a")
        alone.release(alone.acquire())
        seen: list[object] = []
        factory.before_close = lambda: seen.extend([alone.close(), alone.state])
        pool.acquire("b")
        assert seen == [False, State.CLOSING]
        assert alone.state is State.CLOSED


class TestState:
    def test_a_pool_is_closed_once_its_last_connection_is_back(self) -> None:
        pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), maxsize=2)
        a, b = pool.acquire("a"), pool.acquire("b")
        assert not pool.close()
        pool.release(a)
        assert pool.state is State.CLOSING
        pool.discard(b)
        assert pool.state is State.CLOSED
        assert "closed" in repr(pool)


class TestTimeToAcquire:
    """``timeout`` covers looking at idle connections; what is left is never 0, by which a socket would not wait."""

    def test_a_silent_peer_is_asked_no_further_connection_when_the_time_is_over(self) -> None:
        clock, factory = HandClock(), CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=4, clock=clock)
        for thing in [pool.acquire() for _ in range(4)]:
            pool.release(thing)

        def times_out(connection: Thing) -> bool:
            factory.checked += 1
            clock.advance(1)
            raise TimeoutError

        factory.usable = times_out  # type: ignore[method-assign]
        pool.acquire(1.5)
        assert factory.checked == 2
        pool.check()
        assert factory.timeouts[-1] is not None
        assert 0 < factory.timeouts[-1] < 0.1

    @pytest.mark.parametrize("timeout", [0, 1e-9])
    def test_connect_is_never_told_0_seconds(self, timeout: float) -> None:
        factory = CountingFactory()
        pool: ConnectionPool[str, Thing] = ConnectionPool(factory)
        pool.acquire("home", timeout)
        assert factory.timeouts[0] is not None
        assert 0 < factory.timeouts[0] < 0.1


class TestLeaksOfOthers:
    """Without a background thread, whoever acquires or waits finds the leaks of all endpoints."""

    def test_the_next_acquire_finds_it(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = HandClock()
        pool: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), leak_timeout=60, clock=clock)
        pool.acquire("a")
        clock.advance(30)
        pool.acquire("b")
        clock.advance(31)
        assert pool.stats().leaks == 0
        pool.acquire("c")
        assert "is held for 61 s" in caplog.text
        clock.advance(1)
        pool.acquire("c")
        assert pool.stats().leaks == 1
        clock.advance(30)
        pool.acquire("c")
        assert pool.stats().leaks == 2
        assert "is held for 62 s" in caplog.text

    def test_who_waits_for_another_endpoints_slot_finds_it(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = HandClock()
        pool: ConnectionPool[str, Thing] = ConnectionPool(
            CountingFactory(), leak_timeout=60, total_maxsize=1, clock=clock
        )
        pool.acquire("a")
        clock.advance(61)
        with pytest.raises(EmptyPoolError):
            pool.acquire("b", 0)
        assert "is held for 61 s" in caplog.text

    def test_a_lease_that_ends_while_it_is_told_has_its_length(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = HandClock()
        pool: EndpointPool[str, Thing] = EndpointPool("home", CountingFactory(), leak_timeout=60, clock=clock)
        thing = pool.acquire()

        def give_back(_: traceback.StackSummary) -> list[str]:
            pool.release(thing)
            return ["somebody"]

        monkeypatch.setattr(traceback.StackSummary, "format", give_back)
        clock.advance(61)
        pool.sweep(clock.now)
        assert "is held for 61 s" in caplog.text


class TestClocks:
    @pytest.mark.parametrize("ahead_s", [-1e9, 1e9])
    def test_the_background_thread_goes_by_the_pools_own_clock(self, ahead_s: float) -> None:
        factory = CountingFactory()
        pool: ConnectionPool[str, Thing] = ConnectionPool(
            factory, idle_timeout=0.01, background_collector=True, clock=lambda: time.monotonic() + ahead_s
        )
        pool.release(pool.acquire("home"))
        until(lambda: not factory.open)
        pool.close()
        kept: ConnectionPool[str, Thing] = ConnectionPool(
            factory, idle_timeout=3600, background_collector=True, clock=lambda: time.monotonic() + ahead_s
        )
        kept.release(kept.acquire("home"))
        assert kept.sweep(time.monotonic()) > 0  # type: ignore[operator]
        assert len(factory.open) == 1
        kept.close()


class TestFactories:
    @pytest.mark.parametrize(
        "make", [lambda factory: ConnectionPool(factory), lambda factory: EndpointPool("a", factory)]
    )
    def test_one_that_lacks_a_method_is_refused(self, make: Callable[[object], object]) -> None:
        class Factory(CountingFactory):
            usable = None

        with pytest.raises(TypeError, match=r"must have connect, usable and close; .* has no usable"):
            make(Factory())
        with pytest.raises(TypeError, match="None has no connect and no usable and no close"):
            make(None)

    def test_one_that_makes_nothing_is_told(self) -> None:
        """Mostly a return that was forgotten."""
        factory = CountingFactory()
        factory.connect = lambda endpoint, timeout: None  # type: ignore[assignment, return-value]
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, block=True)
        for _ in range(2):
            with pytest.raises(TypeError, match="returned None, not a connection"):
                pool.acquire(0)
        assert (pool.stats().total, pool.stats().connect_errors) == (0, 2)
