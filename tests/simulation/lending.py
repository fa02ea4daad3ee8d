"""Programs of the lending core: what 2 to 5 tasks do with pools, drawn from a seed or given.

A program is settings and one list of steps for each task. Its connections are things that count how often they were
closed; whether a connect fails or takes long is for the run to choose. When all tasks have ended, everything must be
back and closed once.
"""

from __future__ import annotations

import dis
import os
import random
import signal
import sys
import time
import warnings
from contextlib import suppress
from functools import cache, partial
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

import poollib.pool
from poollib.exceptions import PoolError
from poollib.pool import EndpointPool, SharedLimit, housekeeper
from tests.support.interrupts import RealInterrupter

from .ledger import Ledger, Pool
from .primitives import Primitives, Thread
from .scheduler import Scheduler, Task, Worker

FOLDER = os.path.dirname(poollib.pool.__file__)
MODULES = (
    "state",
    "endpoint_pool",
    "acquire_slow_path",
    "connection_lifecycle",
    "shared_limit",
    "waiter",
    "housekeeper",
)
LINES = frozenset(os.path.join(FOLDER, f"{name}.py") for name in MODULES)

#: CPython 3.12 crashes where one of several threads traces bytecodes: there interrupts come where a task waits, alone.
TRACES_BYTECODES: Final = sys.version_info[:2] != (3, 12)


class Step(NamedTuple):
    """One step of a task: a method of ``Scene`` below, with its arguments."""

    verb: str
    arguments: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return " ".join([self.verb, *map(str, self.arguments)])


class Program(NamedTuple):
    """What runs. ``one_in``: of how many connects, checks, closes one goes wrong or takes long; 0: none."""

    settings: dict[str, Any]
    tasks: list[list[Step]]
    endpoints: int = 1
    limit: int | None = None
    one_in: int = 0
    hooks: bool = False
    interrupt_at: int = 0  # at which point of the first task a signal comes; 0: none
    drops_a_pool: bool = False

    def __str__(self) -> str:
        rows = [f"{self.endpoints} endpoints, {self.limit} in all, {self.settings}, one in {self.one_in} goes wrong"]
        rows += [f"hooks {self.hooks}, interrupt at {self.interrupt_at}, drops a pool {self.drops_a_pool}"]
        rows += [f"  task {number}: {'; '.join(map(repr, steps))}" for number, steps in enumerate(self.tasks, 1)]
        return "\n".join(rows)


class Thing:
    """A connection."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = 0
        self.is_detached = False

    def __repr__(self) -> str:
        return f"<Thing {self.number}>"


class ThingFactory:
    """Makes things; what goes wrong is the run's choice."""

    def __init__(self, scheduler: Scheduler, one_in: int) -> None:
        self._scheduler = scheduler
        self._one_in = one_in
        self.made: list[Thing] = []
        self.forgotten = 0

    def _goes_wrong(self) -> int:
        """0: no; 1: it takes long; 2: it fails; 3: both."""
        if not self._one_in or self._scheduler.choice(self._one_in):
            return 0
        return 1 + self._scheduler.choice(3)

    def _suffer(self) -> None:
        wrong = self._goes_wrong()
        if wrong & 1:
            self._scheduler.sleep(0.5)
        if wrong & 2:
            raise OSError("as chosen")

    def connect(self, endpoint: str, timeout: float | None) -> Thing:
        self._scheduler.point()
        self._suffer()
        thing = Thing(len(self.made))
        self.made.append(thing)
        return thing

    def usable(self, connection: Thing) -> bool:
        self._scheduler.point()
        return self._goes_wrong() < 2

    def close(self, connection: Thing) -> None:
        connection.closed += 1
        self._scheduler.point()
        self._suffer()

    def forget(self, connection: Thing) -> None:
        self.forgotten += 1


class HookedFactory(ThingFactory):
    """Its hooks look at the pool, and let go of what is idle there."""

    pool: Pool | None = None

    def on_acquire(self, connection: Thing) -> None:
        self._scheduler.point()
        if self.pool is not None:
            self.pool.stats()
        self._suffer()

    def on_release(self, connection: Thing) -> None:
        if self.pool is not None and self._goes_wrong():
            self.pool.drop_idle("hook")
        self._suffer()


class Signal(RealInterrupter):
    """A signal at the n-th point; it keeps no frame alive, for what that refers to would not be collected."""

    def __init__(self, at: int, folder: str) -> None:
        super().__init__(at, folder)
        self._places: dict[FrameType, int] = {}  # the last bytecode of each running frame
        self._place = 0  # the one before the current

    def note(self, frame: FrameType, before: str) -> None:
        super().note(frame, before)
        self._place = self._places.get(frame, frame.f_lasti)
        self._places[frame] = frame.f_lasti

    def is_point(self, frame: FrameType, before: str) -> bool:
        """A signal comes at the end of a call, while tracing tells of the next bytecode: both must have one handler.

        A finaliser that is interrupted where it calls the pool has not called it, and nobody calls it again.
        """
        caller = frame.f_back
        if before == "RESUME" and caller is not None and caller.f_code is Scheduler._collect.__code__:
            return False
        handlers = handlers_of(frame.f_code)
        is_same = handler_at(handlers, self._place) == handler_at(handlers, frame.f_lasti)
        return super().is_point(frame, before) and is_same

    def returned(self, frame: FrameType) -> None:
        super().returned(frame)
        self.before.pop(frame, None)
        self._places.pop(frame, None)

    def forget(self) -> None:
        """Let go of the frames that the exception went through."""
        self.before.clear()
        self._places.clear()
        self._returned = (None, "")


@cache
def handlers_of(code: CodeType) -> list[tuple[int, int, int]]:
    """Begin, end and target of the code's handlers of exceptions; none before Python 3.11, which has no table."""
    parse = getattr(dis, "_parse_exception_table", None)
    return [] if parse is None else [(row.start, row.end, row.target) for row in parse(code)]


def handler_at(handlers: list[tuple[int, int, int]], place: int) -> int | None:
    """Where an exception of the bytecode at ``place`` is handled; None: nowhere."""
    return next((target for begin, end, target in handlers if begin <= place < end), None)


class Scene:
    """The pools of one run, and the steps of its tasks."""

    def __init__(self, scheduler: Scheduler, primitives: Primitives, program: Program) -> None:
        self._scheduler = scheduler
        self._primitives = primitives
        self._program = program
        self.ledger = Ledger()
        self.factory = (HookedFactory if program.hooks else ThingFactory)(scheduler, program.one_in)
        self._pools: list[Pool] = []
        self._dropped: list[Pool] = []
        self._interrupter: Signal | None = None
        self._lost = 0  # connections that were made and lost by an interrupt behind connect()

    def main(self) -> None:
        """The first task: starts the others, waits for them, and looks at what is left."""
        self._make_pools()
        self._scheduler.check = self.ledger.check
        self._scheduler.describe = self._description
        threads = [
            Thread(self._scheduler, target=partial(self._run, number, steps), name=f"task {number}")
            for number, steps in enumerate(self._program.tasks, 1)
        ]
        if self._program.interrupt_at:
            threads[0].prepare = self._have_interrupted
        for thread in threads:
            thread.start()
        if self._program.drops_a_pool:
            self._drop_a_pool()
        for thread in threads:
            thread.join()
        while self._scheduler.garbage:
            self._scheduler.garbage.pop(0)()
        self._end()

    def _description(self) -> str:
        rows = [f"  {pool!r}, {pool._closing} closing" for pool in self.ledger.pools()]
        if self._interrupter is not None:
            rows.append(f"  interrupted at {self._interrupter.where}")
        for shared in {id(pool._shared): pool._shared for pool in self.ledger.pools()}.values():
            rows.append(f"  {shared.used} of {shared.limit} in all, {len(shared.deferred or ())} deferred")
        return "\n".join(rows)

    def _make_pools(self) -> None:
        program = self._program
        shared = SharedLimit(program.limit) if program.endpoints > 1 or program.limit else None
        for number in range(program.endpoints):
            self._pools.append(self._pool(f"host {number}", shared))
        if program.drops_a_pool:
            self._dropped.append(self._pool("dropped", shared))
        if isinstance(self.factory, HookedFactory):
            self.factory.pool = self._pools[-1]

    def _pool(self, endpoint: str, shared: SharedLimit | None) -> Pool:
        monotonic = self._primitives.monotonic
        pool: Pool = EndpointPool(
            endpoint, self.factory, shared_limit=shared, clock=monotonic, **self._program.settings
        )
        self.ledger.watch(pool)
        return pool

    def _drop_a_pool(self) -> None:
        with suppress(PoolError, OSError):
            self._dropped[0].release(self._dropped[0].acquire(1))

        def drop() -> None:
            self.ledger.is_one_leaving = True
            self._dropped.clear()

        self._scheduler.finalise(drop)

    def _have_interrupted(self, task: Task) -> None:
        """Raise KeyboardInterrupt in a task, at one of the points where CPython delivers signals, or where it waits."""
        ledger, scheduler = self.ledger, self._scheduler
        interrupter = self._interrupter = Signal(self._program.interrupt_at, FOLDER)
        line = self._scheduler._trace_line
        task.may_interrupt = self._program.interrupt_at % 2 == 1 or not TRACES_BYTECODES

        def trace(frame: Any, event: str, argument: Any) -> Any:
            if scheduler.is_checking:
                return None
            try:
                local = interrupter._trace(frame, event, argument)
            except KeyboardInterrupt:
                ledger.is_interrupted, task.may_interrupt = True, False
                raise
            if local is not None:
                line(frame, event, argument)
            return trace if local is not None else None

        def note() -> None:
            ledger.is_interrupted, interrupter.at = True, 0
            interrupter.where = f"the wait of {task}"

        if TRACES_BYTECODES:
            task.trace = trace

        def forget() -> None:
            ledger.is_interrupted = False

        self._scheduler.on_interrupt, self._scheduler.on_finalised = note, forget

    # -- steps -------------------------------------------------------------------------------------------------

    def _run(self, number: int, steps: list[Step]) -> None:
        for step in steps:
            try:
                getattr(self, step.verb)(*step.arguments)
            except (PoolError, OSError):
                pass  # what a caller is told: no connection in time, a closed pool, a failed connect
            except KeyboardInterrupt:
                self.ledger.is_interrupted = False
                if self._interrupter is not None:
                    self._interrupter.forget()

    def lease(self, place: int, timeout: float | None, end: str) -> None:
        """Acquire, and end the lease one way or the other."""
        pool = self._pools[place]
        thing = pool.acquire(timeout)
        self._scheduler.point()
        if end == "detach":
            pool.detach(thing).is_detached = True
        elif end == "abandon":
            self._scheduler.finalise(partial(pool.release, thing))
        elif end == "abandon and discard":
            self._scheduler.finalise(partial(pool.discard, thing))
        else:
            getattr(pool, end)(thing)

    def block(self, place: int, timeout: float | None) -> None:
        """Acquire and release by ``with``; an interrupt may come anywhere."""
        with self._pools[place].connection(timeout):
            self._scheduler.point()

    def resize(self, place: int, maxsize: int) -> None:
        self._pools[place].resize(maxsize)

    def resize_total(self, limit: int) -> None:
        """As ConnectionPool does."""
        shared = self._pools[0]._shared
        try:
            shared.resize(limit)
        except BaseException:
            shared.resize(limit)
            raise
        finally:
            for pool in self._pools:
                pool.close_pending()

    def drain(self, place: int, timeout: float | None) -> None:
        self._pools[place].drain(timeout)

    def close(self, place: int, timeout: float | None) -> None:
        self._pools[place].close(timeout)

    def sweep(self, place: int) -> None:
        self._pools[place].sweep(self._scheduler.now)

    def drop(self, place: int) -> None:
        self._pools[place].drop_idle()

    def look_through(self, place: int) -> None:
        self._pools[place].drop_unusable()

    def wait(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)

    def fork(self, place: int) -> None:
        """Fork: the child has this thread alone, lends and takes back, and says whether all was well."""
        tasks, garbage, trace = self._scheduler.tasks, self._scheduler.garbage, sys.gettrace()
        kept, waste = tasks[:], garbage[:]
        garbage.clear()
        sys.settrace(None)  # neither an interrupt nor a finaliser comes while the child starts afresh
        tasks[:] = [task for task in tasks if task is self._scheduler.current]  # as it is in the child
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on: threads that wait are no danger here
            child = os.fork()
        if not child:
            os._exit(self._child(self._pools[place]))
        tasks[:], garbage[:] = kept, waste
        sys.settrace(trace)
        status = _status_of(child)
        if status:
            self._scheduler.fail(f"after a fork the child fails: status {status}")

    def _child(self, pool: Pool) -> int:
        """In the child: 0 if the pool begins anew there."""
        scheduler = self._scheduler
        scheduler.check, scheduler.races = None, False
        Worker.idle.clear()
        for task in scheduler.tasks:
            task.may_interrupt = False
        try:
            if pool.leased or pool.idle or pool.opening or pool.waiting or pool._shared.used:
                return 2
            for _ in range(2):
                with suppress(OSError, PoolError):
                    pool.release(pool.acquire(1))
            is_closed = pool.close(60)
            total = sum(each._total_locked() for each in self.ledger.pools())
            return 0 if is_closed and pool._shared.used == total else 3
        except BaseException:
            return 4

    # -- the end -----------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Close what is open; nothing may be left."""
        program = self._program
        self._scheduler.races = False  # from now on time passes when nobody else can run
        for pool in self._pools:
            is_closed = pool.close(60)
            assert is_closed, f"{pool} does not end: {pool.stats()}"
            assert pool._total_locked() == 0, f"{pool} has something left"
        self._scheduler.sleep(1)  # the housekeeper lets go of what it looks at
        assert not self._dropped, "the pool was not dropped"
        assert self._pools[0]._shared.used == 0, f"{self._pools[0]._shared.used} slots are left"
        for thing in self.factory.made:
            self._check_closed(thing)
        is_told = not (program.drops_a_pool and program.interrupt_at)  # an interrupt in a finaliser goes unseen
        assert not housekeeper.is_running() or not is_told, "the housekeeper goes on"

    def _check_closed(self, thing: Thing) -> None:
        if thing.is_detached:
            assert not thing.closed, f"{thing} was closed after it was detached"
        elif self._program.interrupt_at:  # an interrupted close is made again; behind connect() one may be lost
            self._lost += not thing.closed
            assert self._lost <= 1, f"{thing} was not closed"
        else:
            assert thing.closed == 1, f"{thing} was closed {thing.closed} times"


def _status_of(child: int) -> int:
    """How a child ended; one that does not end is killed."""
    for _ in range(20_000):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


# -- programs ---------------------------------------------------------------------------------------------------


def _lease(place: int = 0, timeout: float | None = None, end: str = "release") -> Step:
    return Step("lease", (place, timeout, end))


_ONE: Final = {"maxsize": 1, "block": True}
SMALL: Final = {
    "hand over": Program(_ONE, [[_lease()], [_lease()]]),
    "discard": Program(_ONE, [[_lease(end="discard")], [_lease()]]),
    "detach": Program(_ONE, [[_lease(end="detach")], [_lease()]]),
    "time out": Program(_ONE, [[_lease(timeout=1)], [_lease(timeout=1)]]),
    "close": Program(_ONE, [[_lease()], [Step("close", (0, 1))]]),
    "drain": Program(_ONE, [[_lease()], [Step("drain", (0, None))]]),
    "resize": Program(_ONE, [[_lease()], [_lease()], [Step("resize", (0, 2))]]),
    "two endpoints": Program(_ONE, [[_lease(0)], [_lease(1)]], endpoints=2, limit=1),
    "three at two endpoints": Program(_ONE, [[_lease(0)], [_lease(1)], [_lease(1)]], endpoints=2, limit=1),
    "collected lease": Program(_ONE, [[_lease(end="abandon")], [_lease()]]),
}

#: Small ones, too, in which things go wrong: they have more schedules than can be gone through.
RISKY: Final = {
    "drain beside a dead one": Program(_ONE, [[_lease(), _lease()], [Step("drain", (0, None))]], one_in=2),
    "evict beside a failure": Program(_ONE, [[_lease(0)], [_lease(1, 1)], [_lease(1)]], endpoints=2, limit=1, one_in=4),
}

TIMEOUTS = (None, None, 0, 0.2, 1, 3)
ENDS = ("release",) * 6 + ("discard", "discard", "detach", "abandon", "abandon", "abandon and discard")


def program_from(random_: random.Random) -> Program:
    """A program of 2 to 5 tasks; a third are small ones."""
    if random_.random() < 0.35:
        return random_.choice([*SMALL.values(), *RISKY.values()])
    endpoints = random_.choice((1, 1, 2, 3))
    limit = random_.choice((None, 1, 2)) if endpoints == 1 else random_.choice((1, 1, 2, 3))
    maxsize = random_.choice((1, 1, 1, 2))
    settings: dict[str, Any] = {"maxsize": maxsize, "block": random_.random() < 0.8}
    if random_.random() < 0.2:
        settings["idle_timeout"] = random_.choice((0.1, 2.0))
    if random_.random() < 0.1:
        settings["max_lifetime"] = 1.0
    if random_.random() < 0.15:
        settings["min_idle"] = 1
    if random_.random() < 0.1:
        settings["background_collector"] = True
    count = random_.choice((2, 2, 3, 3, 4, 5))
    is_interrupted = random_.random() < 0.2
    tasks = [_steps(random_, endpoints, limit) for _ in range(count)]
    if is_interrupted:  # no way of leasing is safe against interrupts but ``with``
        tasks[0] = [step if step.verb != "lease" else Step("block", step.arguments[:2]) for step in tasks[0]]
    return Program(
        settings,
        tasks,
        endpoints,
        limit,
        one_in=random_.choice((0, 0, 4, 10)),
        hooks=random_.random() < 0.15,
        interrupt_at=int(2 ** random_.uniform(0, 10)) if is_interrupted else 0,
        drops_a_pool=random_.random() < 0.15,
    )


def _steps(random_: random.Random, endpoints: int, limit: int | None) -> list[Step]:
    return [_step(random_, random_.randrange(endpoints), limit) for _ in range(random_.choice((1, 2, 2, 3, 4)))]


def _step(random_: random.Random, place: int, limit: int | None) -> Step:
    chance = random_.randrange(100)
    if chance < 70:
        return Step("lease", (place, random_.choice(TIMEOUTS), random_.choice(ENDS)))
    if chance < 78:
        return Step("block", (place, random_.choice(TIMEOUTS)))
    others = [
        Step("resize", (place, random_.choice((1, 2, 3)))),
        Step("drain", (place, random_.choice((None, 0, 1)))),
        Step("close", (place, random_.choice((None, 1)))),
        Step("sweep", (place,)),
        Step("sweep", (place,)),
        Step("drop", (place,)),
        Step("look_through", (place,)),
        Step("wait", (random_.choice((0.1, 0.5, 3)),)),
    ]
    if hasattr(os, "fork") and random_.random() < 0.2:
        return Step("fork", (place,))
    if limit is not None:
        others.append(Step("resize_total", (random_.choice((1, 2, 3)),)))
    return random_.choice(others)
