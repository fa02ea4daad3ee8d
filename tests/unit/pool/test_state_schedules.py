"""What the simulation of all schedules found in the lending core, each made to happen here by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from poollib.exceptions import ClosedPoolError, EmptyPoolError
from poollib.pool import ConnectionPool, EndpointPool, SharedLimit, State, housekeeper
from poollib.pool.entry import Entry, Permit
from poollib.pool.waiter import Waiter
from tests.support.pool import CountingFactory, HandClock, Thing, until

Pool = EndpointPool[str, Thing]


def two_pools(limit: int = 1) -> tuple[Pool, Pool, SharedLimit, CountingFactory]:
    factory, shared = CountingFactory(), SharedLimit(limit)
    here: Pool = EndpointPool("here", factory, block=True, shared_limit=shared)
    there: Pool = EndpointPool("there", factory, block=True, shared_limit=shared)
    return here, there, shared, factory


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def interrupt_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """Ctrl-C comes when the method is called for the first time."""
    method, calls = getattr(owner, name), []

    def interrupted(*args: object) -> object:
        calls.append(args)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return method(*args)

    monkeypatch.setattr(owner, name, interrupted)


def test_a_waiter_whose_time_is_over_does_not_use_a_permit_before_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It dialled while the thread that served it was still looking for a connection to evict, which stayed open."""
    here, there, shared, factory = two_pools()
    held = there.acquire()
    is_evicting, got = threading.Event(), threading.Event()

    def wait(self: Waiter[Thing], seconds: float | None) -> bool:
        is_evicting.wait(5)
        return False  # the time is over, at this very moment

    def acquire() -> None:
        thing = here.acquire(5)
        got.set()
        here.release(thing)

    evict = SharedLimit.evict_oldest_locked

    def slow_evict(self: SharedLimit, permit: Permit) -> bool:
        is_evicting.set()
        assert not got.wait(0.05), "a connection is opened before there is room for it"
        return evict(self, permit)

    monkeypatch.setattr(Waiter, "wait", wait)
    thread = in_thread(acquire)
    until(lambda: here.waiting == 1)
    monkeypatch.setattr(SharedLimit, "evict_oldest_locked", slow_evict)
    there.release(held)
    thread.join(5)
    assert got.is_set()
    assert len(factory.open) == 1
    assert shared.used == 1


def test_a_drain_is_over_when_the_last_old_connection_turns_out_dead() -> None:
    """The thread in drain() slept until another connection was closed."""
    factory = CountingFactory()
    pool: Pool = EndpointPool("home", factory, block=True)
    thing = pool.acquire()
    pool.release(thing)
    thing.is_quiet = False
    drained = threading.Event()
    threads: list[threading.Thread] = []

    def drain() -> None:
        pool.drain(None)
        drained.set()

    def begin_drain() -> None:
        factory.before_close = None
        threads.append(in_thread(drain))
        until(lambda: bool(pool._drain_waiters))

    def look() -> None:
        assert drained.wait(5), "drain() sleeps on"

    factory.before_close, factory.before_connect = begin_drain, look
    pool.release(pool.acquire())
    threads[0].join(5)


def test_a_pool_that_is_being_finalised_opens_nothing() -> None:
    """The housekeeper came by a weak reference while the finaliser ran, opened one ahead of demand, and it stayed."""
    factory, shared = CountingFactory(), SharedLimit(2)
    pool: Pool = EndpointPool("home", factory, min_idle=1, shared_limit=shared, clock=HandClock())
    until(lambda: pool.idle == 1)
    pool.__del__()
    assert pool.sweep(1000.0) is None
    assert factory.open == []
    assert shared.used == 0


def test_a_pool_that_is_being_finalised_lends_no_slot_twice() -> None:
    """Another pool evicted from it after its slots had been counted, and they were freed once more."""
    here, there, shared, factory = two_pools()
    here.release(here.acquire())
    with shared.lock:
        here.__del__()  # deferred, for this thread holds the lock
        assert not here.idle
    assert not shared.deferred or shared.run_deferred() is None
    there.acquire()
    assert shared.used == 1
    assert len(factory.open) == 1


def test_an_interrupted_finaliser_still_frees_its_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    here, _, shared, factory = two_pools()
    here.release(here.acquire())
    interrupt_once(monkeypatch, SharedLimit, "serve_waiters_locked")
    with pytest.raises(KeyboardInterrupt):
        here.__del__()
    assert shared.used == 0
    assert factory.open == []


@pytest.mark.parametrize("resize", ["resize", "resize_total"])
def test_an_interrupted_resize_still_wakes_who_waits(resize: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the new limit and the wake-up, Ctrl-C left a thread asleep beside a free slot."""
    many: ConnectionPool[str, Thing] = ConnectionPool(CountingFactory(), maxsize=1, total_maxsize=1, block=True)
    if resize == "resize":
        many.resize_total(9)
    else:
        many.resize(9)
    held = many.acquire("home")
    thread = in_thread(lambda: many.release(many.acquire("home")))
    until(lambda: many.stats().waiting == 1)
    interrupt_once(monkeypatch, EndpointPool, "serve_waiters_locked")
    with pytest.raises(KeyboardInterrupt):
        getattr(many, resize)(2)
    thread.join(5)
    assert not thread.is_alive()
    many.release(held)
    many.close()


@pytest.mark.parametrize("at", ["_wake_locked", "_make_room_locked"])
def test_a_waiter_whose_server_was_interrupted_is_served_by_the_next(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between granting and waking: with a full shared limit nobody went on with it."""
    here, there, shared, factory = two_pools()
    held = there.acquire()
    thread = in_thread(lambda: here.release(here.acquire()))
    until(lambda: here.waiting == 1)
    interrupt_once(monkeypatch, EndpointPool, at)
    with pytest.raises(KeyboardInterrupt):
        there.release(held)
    thread.join(5)
    assert not thread.is_alive()
    assert shared.used == len(factory.open) == 1


def test_an_interrupt_while_a_failed_connect_is_tidied_up_keeps_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    here, _, shared, factory = two_pools()
    factory.failures = [OSError("refused")]
    interrupt_once(monkeypatch, EndpointPool, "_cancel_waiter")
    with pytest.raises(KeyboardInterrupt):
        here.acquire()
    assert shared.used == here.opening == 0


def test_an_interrupt_while_a_failed_connect_is_tidied_up_leaves_nobody_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there, _, factory = two_pools()
    factory.failures = [OSError("refused")]
    threads: list[threading.Thread] = []

    def wait() -> None:
        there.release(there.acquire())

    def begin() -> None:
        factory.before_connect = None
        threads.append(in_thread(wait))
        until(lambda: there.waiting == 1)
        interrupt_once(monkeypatch, EndpointPool, "_slot_freed_locked")

    factory.before_connect = begin
    with pytest.raises(KeyboardInterrupt):
        here.acquire()
    threads[0].join(5)
    assert not threads[0].is_alive()


def test_nothing_is_granted_to_a_waiter_that_has_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there, _, _ = two_pools()
    held = there.acquire()
    waiting: list[int] = []
    undo = EndpointPool._undo_acquire
    monkeypatch.setattr(
        EndpointPool, "_undo_acquire", lambda self, *args: (waiting.append(self.waiting), undo(self, *args))[1]
    )
    with pytest.raises(EmptyPoolError):
        here.acquire(0)
    assert waiting == [0]
    there.release(held)


def test_a_cancelled_lease_is_not_given_back_twice() -> None:
    """An interrupted sweep() gave back once more what it had opened ahead, and what was leased by then."""
    here, _, _, _ = two_pools()
    waiter: Waiter[Thing] = Waiter(here, 0.0)
    here._request_grant(waiter, 0)
    here._open_connection(waiter, None)
    here._cancel_waiter(waiter)
    held = here.acquire()
    here._cancel_waiter(waiter)
    assert here.leased == 1
    here.release(held)


def test_close_tells_the_housekeeper_also_while_a_thread_is_about_to_note_that_it_watches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its thread stayed for up to an hour."""
    pool: Pool = EndpointPool("home", CountingFactory(), background_collector=True)
    told: list[float] = []
    monkeypatch.setattr(housekeeper, "hasten", lambda target, delay_s: told.append(delay_s))
    pool._is_watched = False
    pool.close()
    assert told == [0.0]
    monkeypatch.undo()
    pool.close()


def test_a_close_that_waits_for_the_lock_when_it_is_interrupted_frees_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C where a contended lock is waited for left the connection counted as closing for good."""
    here, _, shared, factory = two_pools()
    interrupt_once(monkeypatch, EndpointPool, "_count_closed")
    with pytest.raises(KeyboardInterrupt):
        here.discard(here.acquire())
    assert shared.used == 0
    assert here.stats().closing == 0
    assert factory.open == []


def test_an_interrupted_drop_leaves_nothing_to_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    here, _, shared, factory = two_pools()
    here.release(here.acquire())
    interrupt_once(monkeypatch, EndpointPool, "close_pending")
    with pytest.raises(KeyboardInterrupt):
        here.drop_idle()
    assert shared.used == 0
    assert factory.open == []


def test_nothing_is_granted_in_a_pool_that_is_closing() -> None:
    """An interrupt in close(), before it woke all who wait, had the next free slot granted in a closed pool."""
    here, there, _, factory = two_pools()
    held = there.acquire()
    errors: list[Exception] = []

    def acquire() -> None:
        try:
            here.acquire()
        except ClosedPoolError as error:
            errors.append(error)

    thread = in_thread(acquire)
    until(lambda: here.waiting == 1)
    here._state = State.CLOSING
    there.release(held)
    assert here.opening == 0
    here.close()
    thread.join(5)
    assert len(errors) == 1
    assert len(factory.made) == 1


def test_what_is_due_is_expired_however_the_sum_is_rounded() -> None:
    """The housekeeper came again and again for nothing, until the clock went on: a difference was asked for a sum."""
    pool: Pool = EndpointPool("home", CountingFactory(), idle_timeout=0.05)
    entry = Entry(Thing(1, "home"), pool._self_ref, 0.0)
    for hundredths in range(1000):
        entry.idle_since = 1000 + hundredths / 100
        assert pool.expiry_reason(entry, pool.usable_until(entry)) is not None, entry.idle_since
