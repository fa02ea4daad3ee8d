"""Run the pools, and whole exchanges, under schedules of all kinds.

    python -m tests.simulation --seconds 120              new seeds until the time is over, all kinds of programs
    python -m tests.simulation --replay 4711/lending      one seed again: the same run, with what it found
    python -m tests.simulation --mutants                  the planted faults, each of which some seed must find
    python -m tests.simulation --exhaustive               every schedule of the small programs, with few preemptions

Exit status 1 if something was found; the seed to replay is printed with it.
"""

from __future__ import annotations

import argparse
import sys
import time

from . import seam
from .lending import SMALL
from .mutants import MUTANTS, Mutant
from .runs import KINDS, every_schedule
from .scheduler import Fault

#: Seeds within which each mutant must be found.
BUDGET = 20_000
#: Faults after which a run by the clock ends.
MOST_FAULTS = 10


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--first", type=int, help="the first seed; else it is taken from the clock")
    parser.add_argument("--kind", choices=sorted(KINDS), action="append")
    parser.add_argument("--replay", metavar="SEED/KIND")
    parser.add_argument("--mutants", nargs="*", metavar="WORD")
    parser.add_argument("--exhaustive", action="store_true")
    options = parser.parse_args(arguments)
    with seam.quiet():
        if options.replay:
            return replay(*options.replay.split("/"))
        if options.mutants is not None:
            return find_mutants(options.mutants)
        if options.exhaustive:
            return go_through()
        first = time.time_ns() // 1_000_000 % 10**9 if options.first is None else options.first
        return run_for(options.seconds, first, options.kind or sorted(KINDS))


def run_for(seconds: float, first: int, kinds: list[str]) -> int:
    """New seeds, the kinds in turn, until the time is over."""
    begin, seed, steps, faults = time.monotonic(), first, 0, 0
    counts = dict.fromkeys(kinds, 0)
    while time.monotonic() - begin < seconds and faults < MOST_FAULTS:
        kind = kinds[seed % len(kinds)]
        try:
            steps += KINDS[kind](seed).steps
        except Fault as fault:
            faults += 1
            print(f"{fault}\nagain: python -m tests.simulation --replay {seed}/{kind}\n", flush=True)
        counts[kind] += 1
        seed += 1
        seam.sweep_up(seed)
    minutes = (time.monotonic() - begin) / 60
    shown = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    print(f"{seed - first} schedules ({shown}) from seed {first} on, {(seed - first) / minutes:.0f} a minute,", end=" ")
    print(f"{steps} points, {faults} faults")
    return bool(faults)


def replay(seed: str, kind: str) -> int:
    """One run again."""
    try:
        scheduler = KINDS[kind](int(seed))
    except Fault as fault:
        print(fault)
        return 1
    print(f"nothing found: {scheduler.steps} points, {scheduler.switches} switches, {scheduler.now - 1000:g} s")
    return 0


def find_mutants(words: list[str]) -> int:
    """Each planted fault must be found within its budget."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in str(mutant) for word in words)]
    begin, looked, missed = time.monotonic(), 0, 0
    for mutant in chosen:
        seeds, found = seeds_until_found(mutant, BUDGET)
        looked += seeds
        missed += not found
        print(
            f"{mutant.title}: {f'found by seed {seeds - 1}: {found}' if found else f'NOT FOUND in {seeds}'}", flush=True
        )
    rate = looked / (time.monotonic() - begin) * 60
    print(f"{len(chosen) - missed} of {len(chosen)} mutants found, {looked} schedules, {rate:.0f} a minute")
    return bool(missed)


def seeds_until_found(mutant: Mutant, budget: int) -> tuple[int, str]:
    """How many seeds were tried until one found the fault, and in a line what it found; empty: none did."""
    for seed in range(budget):
        try:
            with mutant.planted():
                KINDS["lending"](seed)
        except Fault as fault:
            seam.sweep_up(0)
            return seed + 1, fault.title
        seam.sweep_up(seed)
    return budget, ""


def go_through() -> int:
    """Every schedule of the small programs."""
    faults = 0
    for name, program in SMALL.items():
        begin = time.monotonic()
        try:
            count = every_schedule(program)
        except Fault as fault:
            faults += 1
            print(f"{name}: {fault}")
            continue
        minutes = (time.monotonic() - begin) / 60
        print(f"{name}: {count} schedules, {count / minutes:.0f} a minute, nothing found", flush=True)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
