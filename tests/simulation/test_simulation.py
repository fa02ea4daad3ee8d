"""A moment of the simulation, and that it sees: the same seed is the same run, and planted faults are found."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from poollib.base.exact_values import has_gil
from tests.simulation import seam
from tests.simulation.__main__ import BUDGET, seeds_until_found
from tests.simulation.lending import SMALL
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.primitives import Primitives
from tests.simulation.runs import KINDS, every_schedule
from tests.simulation.scheduler import Fault, Scheduler
from tests.simulation.strategies import Paths

pytestmark = [
    # The threads that tasks run in are kept for the next run.
    pytest.mark.may_leave("threads of the simulation wait for the next run"),
    # There an object whose last reference goes in another thread is finalised by the one that made it, when that runs
    # next: not where the schedule says, and perhaps while that task waits for its turn.
    pytest.mark.skipif(not has_gil(), reason="without a GIL no schedule says when finalisers run"),
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with seam.quiet():
        yield


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_few_seeds(kind: str) -> None:
    """The long runs: ``python -m tests.simulation``."""
    for seed in range(25):
        KINDS[kind](seed)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_seed_is_the_same_run_each_time(kind: str) -> None:
    for seed in range(5):
        one, two = KINDS[kind](seed), KINDS[kind](seed)
        assert not one.is_repeatable or (one.steps, one.switches, one.now) == (two.steps, two.switches, two.now), seed


@pytest.mark.parametrize("name", ["hand over", "discard", "drain", "two endpoints"])
def test_every_schedule_of_a_small_program_with_one_preemption(name: str) -> None:
    assert every_schedule(SMALL[name], bound=1) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_schedule_of_a_small_program(name: str) -> None:
    assert every_schedule(SMALL[name], bound=2) > 100


#: Those that take a few seeds.
COMMON = ("the waiter is not woken", "a freed slot wakes nobody", "a detached connection wakes nobody")


@pytest.mark.parametrize("title", COMMON)
def test_a_planted_fault_is_found_at_once(title: str) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.title == title)
    assert seeds_until_found(mutant, 200)[1]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title.replace(" ", "_"))
def test_a_planted_fault_is_found(mutant: Mutant) -> None:
    assert seeds_until_found(mutant, BUDGET)[1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title.replace(" ", "_"))
def test_a_planted_fault_fits_the_code(mutant: Mutant) -> None:
    """Who changes a line that a mutant changes, changes the table with it."""
    assert mutant.code().co_name == mutant.function.rpartition(".")[2]


def run(*tasks: object) -> Scheduler:
    """Every task a function that gets the run's primitives; all start at once."""
    scheduler = Scheduler(Paths(0))
    made = Primitives(scheduler)

    def main() -> None:
        threads = [made.threading.Thread(target=task, args=(made,)) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    scheduler.run(main)
    return scheduler


def test_a_deadlock_is_told_with_who_waits_for_what() -> None:
    def wait(made: Primitives) -> None:
        made.threading.Event().wait()

    with pytest.raises(Fault, match=r"deadlock: main, thread wait(.|\n)*thread: (waits|running) for an event"):
        run(wait)


def test_simulated_time_costs_none() -> None:
    scheduler = run(lambda made: made.time.sleep(86_400), lambda made: made.threading.Event().wait(7.5))
    assert scheduler.now == 1000 + 86_400


def test_what_leaves_a_task_is_a_fault() -> None:
    with pytest.raises(Fault, match="ZeroDivisionError"):
        run(lambda made: 1 / 0)


def test_the_real_things_are_back_after_a_run() -> None:
    before = [owner[name] for owner, name, _ in seam.places()]
    KINDS["lending"](1)
    assert [owner[name] for owner, name, _ in seam.places()] == before
    assert vars(threading)["Lock"] is not None
