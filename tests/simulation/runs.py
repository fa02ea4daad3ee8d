"""A seed and the name of a kind of program in, one run out: the same run each time.

``KINDS`` are the programs by chance; of a small one every schedule can be gone through.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from . import exchanges, lending
from .lending import Program
from .scheduler import Fault, Scheduler, Strategy
from .seam import in_place, over, places
from .strategies import Paths, Walk, seeded

_places: Final = places()
NO_LINES: Final[frozenset[str]] = frozenset()


def run_lending(seed: int) -> Scheduler:
    """One program of the lending core."""
    return run_program(
        lending.program_from(random.Random(f"lending {seed}")), seeded(random.Random(f"schedule {seed}"))
    )


def run_program(program: Program, strategy: Strategy, lines: frozenset[str] = lending.LINES) -> Scheduler:
    """A given program, with these choices."""
    scheduler = Scheduler(strategy, lines)
    try:
        with in_place(scheduler, _places) as primitives:
            scheduler.run(lending.Scene(scheduler, primitives, program).main)
    except Fault as fault:
        raise Fault(fault.title, f"{program}\n{fault.text}") from None
    return scheduler


def every_schedule(program: Program, bound: int = 2, most: int = 1_000_000, lines: bool = False) -> int:
    """How many schedules the program has, with at most ``bound`` preemptions at the locks; each was run. Fault."""
    path: tuple[int, ...] | None = ()
    count = 0
    while path is not None and count < most:
        strategy = Paths(bound, path)
        try:
            run_program(program, strategy, lending.LINES if lines else NO_LINES)
        except Fault as fault:
            raise Fault(fault.title, f"{fault.text}\nchoices {[chosen for chosen, _ in strategy.taken]}") from None
        path = strategy.next_path()
        count += 1
    return count


def run_exchanges(seed: int) -> Scheduler:
    """One crowd of threads against simulated servers."""
    random_ = random.Random(f"exchanges {seed}")
    scheduler = Scheduler(Walk(random_), lending.LINES if random_.random() < 0.3 else NO_LINES, races=False)
    before = random.getstate()
    random.seed(seed)  # pauses and ages have a part by chance
    try:
        with in_place(scheduler, _places) as primitives:
            crowd = exchanges.Crowd(scheduler, primitives, random_)
            with over(crowd.network):
                scheduler.run(crowd.main)
    finally:
        random.setstate(before)
    return scheduler


KINDS: Final[dict[str, Callable[[int], Scheduler]]] = {"lending": run_lending, "exchanges": run_exchanges}
