"""KeyboardInterrupt at every step of the lending core: no slot and no connection is lost.

CPython delivers signals after a call, at the start of a function and at a backward jump.  The n-th of these points
inside ``poollib.pool`` raises KeyboardInterrupt, for every n.  After curl's torture tests, which let the n-th
allocation fail for every n.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
from contextlib import suppress

import pytest

import poollib.pool
from poollib.pool import ConnectionPool, EndpointPool, SharedLimit
from tests.support.interrupts import Interrupter, RealInterrupter
from tests.support.pool import CountingFactory, HandClock, Thing

FOLDER = os.path.dirname(poollib.pool.__file__)


class Scene:
    """A pool of two, a shared limit and ages switched on, and what the test has leased."""

    def __init__(self) -> None:
        self.factory = CountingFactory()
        self.clock = HandClock()
        self.pool: EndpointPool[str, Thing] = EndpointPool(
            "home", self.factory, maxsize=2, block=True, idle_timeout=10, shared_limit=SharedLimit(2), clock=self.clock
        )
        self.held: list[Thing] = []

    def acquire(self) -> None:
        self.held += [self.pool.acquire(0)]

    def give_back(self, verb: str = "release") -> None:
        getattr(self.pool, verb)(self.held[-1])
        self.held.pop()

    def reuse(self) -> None:
        self.acquire()
        self.give_back()
        self.acquire()
        self.give_back()

    def discard(self) -> None:
        self.acquire()
        self.give_back("discard")

    def replace_dead(self) -> None:
        self.acquire()
        self.acquire()
        for thing in self.held:
            thing.is_quiet = False
        self.give_back()
        self.give_back()
        self.acquire()
        self.give_back()

    def expire(self) -> None:
        self.acquire()
        self.acquire()
        self.give_back()
        self.clock.advance(11)
        self.give_back()
        self.clock.advance(11)
        self.pool.sweep(self.clock())

    def close(self) -> None:
        self.acquire()
        self.acquire()
        self.give_back()
        self.pool.drain(0)
        self.give_back()
        self.pool.close()

    def settle(self) -> None:
        """Give back what is still held, as a borrower's own handler would, and look for losses."""
        lost = {thing for entry in self.pool.leases.values() if (thing := entry.connection) not in self.held}
        assert not lost, f"lent to nobody: {lost}"
        for thing in self.held:
            if id(thing) in self.pool.leases:
                self.pool.discard(thing, "given up")
        self.pool.serve_waiters()
        self.pool.check()
        stats = self.pool.stats()
        assert (stats.leased, stats.opening, stats.closing) == (0, 0, 0), stats
        assert self.pool._shared.used == stats.idle
        forgotten = [thing for thing in self.factory.open if thing not in self.pool.idle_connections()]
        dialled = len(self.factory.made) - stats.opened  # interrupted before connect's result could be stored
        assert len(forgotten) <= dialled, f"open, but in no table: {forgotten}"


def torture(name: str, step: int) -> int:
    """Interrupt the scene at every ``step``-th point; how many interrupts came."""
    counter = Interrupter(0, FOLDER)
    counter.run(getattr(Scene(), name))
    if not counter.count:
        pytest.skip("this interpreter does not trace bytecodes from a call on")
    came = 0
    for at in range(1, counter.count + 1, step):
        scene, interrupter = Scene(), Interrupter(at, FOLDER)
        came += interrupter.run(getattr(scene, name))
        try:
            scene.settle()
        except AssertionError as error:
            raise AssertionError(f"interrupted at point {at} of {name}, {interrupter.where}: {error}") from error
    return came


SCENES = ["reuse", "discard", "replace_dead", "expire", "close"]


class Way:
    """One way to lend and take back, after which nothing may be lent, whatever came in between."""

    def __init__(self) -> None:
        self.many: ConnectionPool[str, Thing] = ConnectionPool(
            CountingFactory(), maxsize=2, total_maxsize=2, block=True, idle_timeout=10, clock=HandClock()
        )
        with self.many.connection("home"), self.many.connection("home"):
            pass  # now there are a pool and two idle connections
        self.pool = self.many._pools["home"]

    def lend_and_release(self) -> None:
        self.pool.release(self.pool.acquire(0))

    def lend_and_discard(self) -> None:
        self.pool.discard(self.pool.acquire(0))

    def block(self) -> None:
        with self.pool.connection(0):
            pass

    def block_with_a_new_one(self) -> None:
        self.pool.drop_idle()
        self.block()

    def block_that_raises(self) -> None:
        with suppress(ZeroDivisionError), self.pool.connection(0):
            raise ZeroDivisionError

    def block_that_returns(self) -> None:
        with self.pool.connection(0) as thing:
            self.pool.release(thing)

    def block_of_many(self) -> None:
        with self.many.connection("home", 0):
            pass

    def block_of_many_that_raises(self) -> None:
        with suppress(ZeroDivisionError), self.many.connection("home", 0):
            raise ZeroDivisionError

    def evict(self) -> None:
        """The limit of all endpoints is full: the longest idle makes room."""
        with self.many.connection("elsewhere", 0):
            pass

    def look_through(self) -> None:
        self.pool.idle_connections()[0].is_quiet = False
        self.pool.drop_unusable()

    def sweep(self) -> None:
        self.pool._clock.advance(11)  # type: ignore[attr-defined]
        self.pool.sweep(self.pool._clock())

    def open_ahead(self) -> None:
        self.pool.drop_idle()
        self.pool._settings = self.pool._settings._replace(min_idle=1)
        self.pool.sweep(self.pool._clock())

    def return_late(self) -> None:
        """A finaliser runs in the thread that holds the lock."""
        with self.pool.connection(0) as one, self.pool.connection(0) as two:
            with self.pool._shared, self.pool._lock:
                self.pool.release(one)
                self.pool.discard(two)

    def settle(self) -> None:
        if self.pool.leased:
            gc.collect()  # a generator that was not entered or left ends with its frame
        self.pool.serve_waiters()
        self.many.check()
        stats = self.many.stats()
        assert (stats.leased, stats.opening, stats.closing) == (0, 0, 0), stats
        assert self.pool._warming == 0
        assert self.many.shared_limit.used == stats.idle
        assert self.many._owners.keys() == set()


#: A bare ``release`` or ``discard`` that is interrupted before its first instruction was not made: it is the caller's
#: to make again. ``with pool.connection()`` has no such point.
NOT_YET_CALLED = re.compile(r"\d+ endpoint_pool\.(release|discard):\d+ behind RESUME")

WAYS = sorted(name for name, value in vars(Way).items() if callable(value) and name[0] != "_" and name != "settle")


def torture_way(name: str, step: int) -> int:
    """Interrupt one way at every ``step``-th point, the standard library's included; how many interrupts came."""
    folders = (FOLDER, contextlib.__file__)
    counter = RealInterrupter(0, folders)
    counter.run(getattr(Way(), name))
    if not counter.count:
        pytest.skip("this interpreter does not trace bytecodes from a call on")
    came, lost = 0, {}
    for at in range(1, counter.count + 1, step):
        way, interrupter = Way(), RealInterrupter(at, folders)
        came += interrupter.run(getattr(way, name))
        try:
            way.settle()
        except AssertionError as error:
            lost[f"{at} {interrupter.where}"] = str(error)
    if name.startswith("lend_and_"):
        lost = {where: state for where, state in lost.items() if not NOT_YET_CALLED.fullmatch(where)}
    assert lost == {}, f"of {came} interrupts"
    return came


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_an_interrupt_anywhere_leaves_nothing_lent(name: str) -> None:
    """``with pool.connection()`` above all: nobody but the pool could end such a lease."""
    assert torture_way(name, 1) > 20


@pytest.mark.parametrize("name", WAYS)
def test_an_interrupt_here_and_there_leaves_nothing_lent(name: str) -> None:
    assert torture_way(name, 11) > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_an_interrupt_anywhere_loses_nothing(name: str) -> None:
    assert torture(name, 1) > 30


def test_an_interrupt_here_and_there_loses_nothing() -> None:
    assert torture("reuse", 7) > 5
