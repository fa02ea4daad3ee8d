"""One task runs at a time, and who runs next is chosen: the scheduler of a simulated run, and its clock.

Tasks are real threads. Each waits for a lock of its own, its baton; the one that runs hands the baton on. Every
operation of a lock, every wait and wake, and every line of the traced files is a *point*, where another task may go on.
The clock stands still until a timeout is chosen to be over. A run is a function of its choices: the same choices, the
same run. Who makes them is a ``Strategy``.

After loom and shuttle (Rust) and Go's testing/synctest.
"""

from __future__ import annotations

import _thread
import sys
import threading
import traceback
from collections.abc import Callable
from math import inf
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol

#: A run of more points does not end by itself: two tasks wake each other for ever.
LONGEST_RUN: Final = 100_000
#: The clock goes on by this at least where a timeout is over: sums of the same seconds may differ in the last digit.
A_TICK_S: Final = 1e-6
#: The stack of a thread that runs a task.
STACK_BYTES: Final = 512 * 1024


class Abandoned(BaseException):
    """Raised in tasks that are still there when a run is over."""


class Fault(Exception):
    """What a run has found: in a line, and with where each task stood."""

    def __init__(self, title: str, text: str) -> None:
        super().__init__(title, text)
        self.title = title
        self.text = text

    def __str__(self) -> str:
        return self.text


class Option(NamedTuple):
    """What may happen next.

    ``kind``: "run": the task does; "time": its timeout is over; "collect": garbage is collected in it; "interrupt": a
    signal's handler raises KeyboardInterrupt where it waits.
    """

    kind: str
    task: Task


class Strategy(Protocol):
    """Who chooses."""

    def next_stop(self, steps: int) -> int:
        """At which point the running task may be stopped next; ``steps`` points have been passed."""

    def pick(self, options: list[Option], staying: bool) -> Option:
        """One of at least two. ``staying``: the first is that the running task goes on."""

    def draw(self, count: int) -> int:
        """A number below ``count``: what the simulated world does."""


class Task:
    """One thread of a run."""

    def __init__(self, name: str, number: int, work: Callable[[], object]) -> None:
        self.name = name
        self.number = number
        self.work = work
        self.baton = _thread.allocate_lock()
        self.baton.acquire()
        self.ident = 0
        self.is_started = self.is_done = False
        self.waits_for: object = None  # None: it could run
        self.wake_at = inf  # of the simulated clock
        self.is_timed_out = False
        self.thread: object = None  # what threading.current_thread() gives in it
        self.trace: Callable[[FrameType, str, Any], Any] | None = None
        self.joining: list[Task] = []
        self.may_interrupt = False  # once, while it waits
        self.is_interrupted = False

    def __repr__(self) -> str:
        return self.name


class Worker:
    """A thread that runs one task after the other, of many runs: starting one takes longer than most runs."""

    idle: Final[list[Worker]] = []

    def __init__(self) -> None:
        self.wakeup = _thread.allocate_lock()
        self.wakeup.acquire()
        self.job: tuple[Scheduler, Task] | None = None
        thread = threading.Thread(target=self._run, name="simulated", daemon=True)
        thread.start()

    @classmethod
    def start(cls, scheduler: Scheduler, task: Task) -> None:
        """Have a task run in a thread."""
        worker = cls.idle.pop() if cls.idle else cls()
        worker.job = (scheduler, task)
        worker.wakeup.release()

    def _run(self) -> None:
        while True:
            self.wakeup.acquire()
            assert self.job is not None
            (scheduler, task), self.job = self.job, None
            task.ident = _thread.get_ident()
            scheduler.run_task(task)
            Worker.idle.append(self)
            task.is_done = True
            scheduler.ended(task)
            del scheduler, task


class Scheduler:
    """One run. ``lines``: the files whose lines are points; ``races``: timeouts may be over while tasks could run."""

    def __init__(self, strategy: Strategy, lines: frozenset[str] = frozenset(), races: bool = True) -> None:
        self.strategy = strategy
        self.lines = lines
        self.races = races
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self.now = 1000.0
        self.steps = 0
        self.switches = 0
        self.is_repeatable = True  # False: something in the run draws numbers of its own
        self.is_over = False
        self.fault: Fault | None = None
        self.garbage: list[Callable[[], object]] = []  # finalisers that any task may come to run
        self.check: Callable[[], None] | None = None  # looks, after every step; raises AssertionError
        self.describe: Callable[[], str] = str  # for the text of a fault
        self.on_finalised: Callable[[], object] = bool  # called when an interrupt has ended a finaliser
        self.on_interrupt: Callable[[], object] = bool  # called when a task is interrupted where it waits
        self._stop_at = 0
        self._finished = _thread.allocate_lock()
        self._finished.acquire()
        self.is_checking = False  # whether the invariants are being looked at: their code is no part of the run

    # -- from outside ------------------------------------------------------------------------------------------

    def run(self, work: Callable[[], object]) -> None:
        """Run ``work`` as the first task until all tasks have ended; Fault."""
        self.spawn("main", work)
        self._stop_at = min(self.strategy.next_stop(0), LONGEST_RUN + 1)
        self._resume(self.tasks[0])
        self._finished.acquire()
        self.is_over = True
        self._abandon_the_rest()
        self.current = None
        if self.fault is not None:
            raise self.fault

    def _abandon_the_rest(self) -> None:
        for task in self.tasks:
            if not task.is_done and task.is_started:
                self.current = task
                task.baton.release()
                if not self._finished.acquire(True, 5):
                    raise Fault("a task does not end", f"{self.fault}\n{task} did not end when it was told to")

    # -- from within tasks -------------------------------------------------------------------------------------

    def spawn(self, name: str, work: Callable[[], object]) -> Task:
        """A new task, which could run from now on."""
        task = Task(name, len(self.tasks), work)
        self.tasks.append(task)
        return task

    def point(self) -> None:
        """Another task may run here."""
        self.steps += 1
        if self.steps >= self._stop_at:
            self._stop()

    def step(self) -> None:
        """Something that others can see was done: look whether all is right; another task may run here."""
        self.look()
        self.steps += 1
        if self.steps >= self._stop_at:
            self._stop()

    def look(self) -> None:
        """Check what must hold; the run ends if it doesn't."""
        if self.check is None or self.is_checking or self.is_over:
            return
        self.is_checking = True
        try:
            self.check()
        except AssertionError as error:
            self.fail(f"{error}")
        finally:
            self.is_checking = False

    def choice(self, count: int) -> int:
        """What the simulated world does: a number below ``count``."""
        return self.strategy.draw(count) if count > 1 else 0

    def block(self, reason: object, timeout_s: float = inf) -> bool:
        """Whether the running task was woken; False once ``timeout_s`` simulated seconds are over."""
        me = self.current
        assert me is not None, f"nobody could wake a task outside of the run that waits for {reason}"
        if self.is_over:
            raise Abandoned
        self.look()
        me.waits_for, me.wake_at, me.is_timed_out = reason, self.now + timeout_s, False
        self._go_on(self._options())
        if me.is_interrupted:
            me.is_interrupted = False
            self.on_interrupt()
            raise KeyboardInterrupt
        return not me.is_timed_out

    def wake(self, task: Task) -> None:
        """A task that waits could run from now on; what it waited for may be gone until it does."""
        if task.waits_for is not None:
            task.waits_for, task.wake_at = None, inf
            self._stop_at = 0

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass for the running task."""
        if self.current is None:
            self.now += seconds
        elif seconds > 0:
            self.block("time", seconds)
        else:
            self.point()

    def finalise(self, action: Callable[[], object]) -> None:
        """Have the garbage collector do something: at any point from now on, in any task."""
        self.garbage.append(action)
        self._stop_at = 0

    def fail(self, text: str) -> None:
        """End the run: it has found something."""
        if self.fault is None:
            self.fault = Fault(text.partition("\n")[0], f"{text}\n{self.where()}")
        self._end()
        raise Abandoned

    def fault_later(self, text: str) -> None:
        """Note what was found where nothing can be raised; the run ends at its next point."""
        if self.fault is None and not self.is_over:
            self.fault = Fault(text.partition("\n")[0], f"{text}\n{self.where()}")
            self._end()

    def _end(self) -> None:
        self.is_over = True
        self._stop_at = 0

    def where(self) -> str:
        """Where each task stands, the innermost frames."""
        frames = sys._current_frames()
        rows = []
        for task in self.tasks:
            state = "ended" if task.is_done else "waits" if task.waits_for is not None else "could run"
            mark = "running" if task is self.current else state
            rows.append(f"  {task}: {mark}{f' for {task.waits_for}' if task.waits_for is not None else ''}")
            if not task.is_done and task.ident in frames:
                rows += _stack(frames[task.ident])
        return "\n".join([f"at {self.now - 1000:g} s, after {self.steps} steps", *rows, self.describe()])

    # -- the turn ----------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """The running task has come to a point where another may go on."""
        me = self.current
        if me is None or self.is_checking:
            return
        if self.is_over:
            raise Abandoned
        if self.steps > LONGEST_RUN:
            self.fail("the run does not end")
        self._stop_at = min(self.strategy.next_stop(self.steps), LONGEST_RUN + 1)
        options = [Option("run", me), *self._options(me)]
        if len(options) > 1:
            self._take(self.strategy.pick(options, True))

    def _options(self, me: Task | None = None) -> list[Option]:
        """What else than that ``me`` runs on may happen now."""
        options = [Option("run", task) for task in self.tasks if task.waits_for is None and not task.is_done]
        if me is not None:
            options = [option for option in options if option.task is not me]
            if self.garbage and not self.is_checking:
                options.append(Option("collect", me))
        options += [
            Option("interrupt", task) for task in self.tasks if task.may_interrupt and task.waits_for is not None
        ]
        if self.races or (me is None and not options):
            first = min((task.wake_at for task in self.tasks if task.waits_for is not None), default=inf)
            if first < inf:
                options += [
                    Option("time", task) for task in self.tasks if task.waits_for is not None and task.wake_at == first
                ]
        return options

    def _go_on(self, options: list[Option]) -> None:
        """The running task can't: let another."""
        if (
            self.garbage
            and not any(option.kind == "run" for option in options)
            and (not options or self.strategy.draw(4))
        ):
            # Everything sleeps: whoever comes by next in the process collects it.
            options = [Option("run", self.spawn("collector", self._collect))]
        if not options:
            if all(task.is_done for task in self.tasks):
                self.is_over = True
                self._finished.release()
                return
            self.fail("deadlock: " + ", ".join(f"{task}" for task in self.tasks if not task.is_done) + " wait")
        self._take(options[0] if len(options) == 1 else self.strategy.pick(options, False))

    def _take(self, option: Option) -> None:
        kind, task = option
        if kind == "collect":
            self._collect()
            return
        if kind == "time":
            self.now = max(self.now + A_TICK_S, task.wake_at)
            task.waits_for, task.wake_at, task.is_timed_out = None, inf, True
        elif kind == "interrupt":
            task.waits_for, task.wake_at, task.is_interrupted, task.may_interrupt = None, inf, True, False
        me = self.current
        if task is me:
            return
        self.switches += 1
        self._resume(task)
        if me is not None and not me.is_done:
            me.baton.acquire()
            if self.is_over:
                raise Abandoned

    def _collect(self) -> None:
        """Run the oldest finaliser that is due, in the running task."""
        if self.garbage:
            action = self.garbage.pop(0)
            try:
                action()
            except KeyboardInterrupt:  # what leaves a finaliser is told and forgotten
                self.on_finalised()

    def _resume(self, task: Task) -> None:
        self.current = task
        if task.is_started:
            task.baton.release()
        else:
            task.is_started = True
            Worker.start(self, task)

    def run_task(self, task: Task) -> None:
        """In a task's thread: all of it."""
        trace = task.trace or (self._trace if self.lines else None)
        try:
            if trace is not None:
                sys.settrace(trace)
            task.work()
        except Abandoned:
            pass
        except BaseException as error:
            if not self.is_over:
                text = "".join(traceback.format_exception(error))
                self.fault = self.fault or Fault(f"{task}: {error!r}", f"{task} ended with {text}{self.where()}")
                self._end()
        finally:
            sys.settrace(None)
            task.work = _nothing  # as a thread does: its work refers to what may be collected

    def ended(self, task: Task) -> None:
        """The last thing in a task's thread."""
        if self.is_over:
            self._finished.release()
            return
        for other in task.joining:
            self.wake(other)
        try:
            self._go_on(self._options())
        except Abandoned:
            self._finished.release()

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        """For ``sys.settrace``: a point at each line of the files in ``lines``."""
        return self._trace_line if frame.f_code.co_filename in self.lines and not self.is_checking else None

    def _trace_line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self.steps += 1
            if self.steps >= self._stop_at:
                self._stop()
        return self._trace_line


def _nothing() -> None:
    """Nothing is left to do."""


def _stack(frame: FrameType) -> list[str]:
    """A task's frames outside of the simulation, the innermost first."""
    rows = []
    for each, line in traceback.walk_stack(frame):
        name = each.f_code.co_filename
        if "/poollib/" in name:
            rows.append(f"      {name.rpartition('/poollib/')[2]}:{line} {each.f_code.co_name}")
    return rows[:6]
