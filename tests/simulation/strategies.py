"""Who runs next: by chance from a seed, by priorities from a seed, or every possibility in turn.

``Walk`` stops the running task after so many points on average. ``Priorities`` is PCT: the task with the highest
priority runs, and at a few random points the running one falls behind all others; a fault that takes ``depth``
orderings is met with a known probability (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of
Finding Bugs", ASPLOS 2010). ``Paths`` goes through all runs with at most ``bound`` preemptions, depth first (Musuvathi
and Qadeer, "Iterative Context Bounding", PLDI 2007).
"""

from __future__ import annotations

import random
import sys

from .scheduler import Option, Strategy, Task

#: Points between two stops on average; one of them for each seed.
PACES = (2, 5, 15, 40, 120)
#: How likely, in per cent, a timeout is over while somebody could run instead.
HASTE = (0, 3, 15)


class Walk:
    """By chance."""

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._pace = random_.choice(PACES)
        self._haste = random_.choice(HASTE)

    def next_stop(self, steps: int) -> int:
        return steps + 1 + int(self._random.expovariate(1 / self._pace))

    def pick(self, options: list[Option], staying: bool) -> Option:
        options = _usual(options, self._haste, self._random)
        return options[self._random.randrange(len(options))]

    def draw(self, count: int) -> int:
        return self._random.randrange(count)


class Priorities:
    """By priorities that change at ``depth - 1`` points of the first ``length``."""

    def __init__(self, random_: random.Random, depth: int, length: int) -> None:
        self._random = random_
        self._priorities: dict[Task, float] = {}
        self._haste = random_.choice(HASTE)
        self._changes = sorted(random_.randrange(1, length) for _ in range(depth - 1))
        self._is_change = False
        self._lowest = 0.0

    def next_stop(self, steps: int) -> int:
        while self._changes and self._changes[0] <= steps:
            del self._changes[0]
            self._is_change = True
        return self._changes[0] if self._changes else sys.maxsize

    def pick(self, options: list[Option], staying: bool) -> Option:
        if staying and self._is_change:
            self._is_change = False
            self._lowest -= 1
            self._priorities[options[0].task] = self._lowest
        return max(_usual(options, self._haste, self._random), key=self._priority)

    def _priority(self, option: Option) -> float:
        if option.kind == "collect":
            return self._random.random()
        if option.task not in self._priorities:
            self._priorities[option.task] = self._random.random()
        return self._priorities[option.task]

    def draw(self, count: int) -> int:
        return self._random.randrange(count)


class Paths:
    """Every run with at most ``bound`` preemptions: the choices of this one, and from these the next one's."""

    def __init__(self, bound: int, path: tuple[int, ...] = ()) -> None:
        self._bound = bound
        self._path = path
        self.taken: list[tuple[int, int]] = []  # the choice, out of how many
        self._preemptions = 0

    def next_stop(self, steps: int) -> int:
        return steps + 1

    def pick(self, options: list[Option], staying: bool) -> Option:
        if staying and self._preemptions >= self._bound:
            return options[0]
        chosen = options[self.draw(len(options))]
        if staying and chosen is not options[0]:
            self._preemptions += 1
        return chosen

    def draw(self, count: int) -> int:
        place = len(self.taken)
        chosen = self._path[place] if place < len(self._path) else 0
        self.taken.append((chosen, count))
        return chosen

    def next_path(self) -> tuple[int, ...] | None:
        """The choices that the next run begins with; None: this was the last."""
        taken = self.taken
        while taken and taken[-1][0] + 1 >= taken[-1][1]:
            taken.pop()
        if not taken:
            return None
        return (*(chosen for chosen, _ in taken[:-1]), taken[-1][0] + 1)


def _usual(options: list[Option], haste: int, random_: random.Random) -> list[Option]:
    """The options without timeouts and interrupts, but for ``haste`` per cent of the times, if there are others."""
    usual = [option for option in options if option.kind in ("run", "collect")]
    is_usual = usual and (len(usual) == len(options) or random_.randrange(100) >= haste)
    return usual if is_usual else options


def seeded(random_: random.Random) -> Strategy:
    """A strategy by chance: a walk or priorities."""
    if random_.random() < 0.5:
        return Walk(random_)
    return Priorities(random_, random_.choice((2, 3, 4)), random_.choice((100, 400, 1600)))
