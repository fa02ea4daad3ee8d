"""A seeded run over one-place changes of the package's core, one at a time in a copy: do the fast tests notice?

    python -m tests.mutants --sample 400 --seed 7

It draws from ``changes.all_changes``, leaves out what ``unnoticeable.ENTRIES`` names, and prints for each change
whether it was killed, by which test, or survived. The tests that run the changed line are run first; if none of them
fails, all of tests/unit, tests/bytes and tests/talk. What was found is kept in a folder, so that a run that was stopped
goes on where it stood, and one after new tests were written asks the survivors alone. Without the folder all is new.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import pathlib
import queue
import re
import resource
import signal
import subprocess
import tempfile
import time
from typing import Final, NamedTuple

from .changes import Change, all_changes
from .choose import CHOSEN, FAST, RUN, Map, code_of, ignored, recorded
from .page import ROOT
from .unnoticeable import is_unnoticeable

LIMIT_S: Final = 30.0  # for the tests of one change, and ten times what they take otherwise; one that hangs is noticed
MEMORY_BYTES: Final = 8 << 30  # a changed loop may gather for ever
WANTED: Final = 95.0  # percent


class Result(NamedTuple):
    """``by``: the test that failed, or None."""

    change: Change
    by: str | None
    seconds: float


class Run:
    """One run: a copy of the project for each process, the map of tests, and the file of results."""

    def __init__(self, folder: pathlib.Path, kept: pathlib.Path, is_quick: bool, processes: int) -> None:
        from .__main__ import copy_project

        self._is_quick = is_quick
        self._kept = kept
        self._copies: queue.SimpleQueue[pathlib.Path] = queue.SimpleQueue()
        for number in range(processes):
            copy = folder / f"copy{number}"
            copy.mkdir()
            copy_project(copy)
            self._copies.put(copy)
        self._map = self._read_map(copy)
        self._map_made_s = kept.with_name("map.json").stat().st_mtime

    def _read_map(self, copy: pathlib.Path) -> Map:
        """The map of a run before, else a new one. It may be old: ``Map.tests_for`` knows which files have changed."""
        path = self._kept.with_name("map.json")
        if path.exists():
            return Map(*json.loads(path.read_text()))
        print("running the fast tests once, to see which lines each of them runs", flush=True)
        found = recorded(copy, environment(copy))
        path.write_text(json.dumps(found))
        return found

    def one(self, change: Change) -> Result:
        """Make the change in a copy that is free, and run tests until one fails."""
        copy = self._copies.get()
        path = copy / change.file
        source = path.read_bytes()
        begin = time.monotonic()
        try:
            path.write_bytes(change.applied_to(source))
            by = self._noticed(copy, change, code_of(source))
        finally:
            path.write_bytes(source)
            self._copies.put(copy)
        result = Result(change, by, time.monotonic() - begin)
        with self._kept.open("a") as file:
            file.write(json.dumps([change.key, by]) + "\n")
        return result

    def _noticed(self, copy: pathlib.Path, change: Change, code: str) -> str | None:
        own = own_tests(change.file, self._map_made_s)
        tests = self._map.tests_for(change.file, change.number, code, own)
        files = {test.partition("::")[0] for test in tests} | own
        limit_s = LIMIT_S + 10 * sum(self._map.tests[test] for test in tests)
        by = first_failure(copy, sorted(files), limit_s, {"tests": tests, "known": list(self._map.tests)})
        if by is None and not self._is_quick:
            by = first_failure(copy, list(FAST), 10 * LIMIT_S + 3 * sum(self._map.tests.values()), None)
        return by


def own_tests(file: str, newer_than_s: float) -> set[str]:
    """The test file beside a module; and those of its folder that are newer than the map, which does not know them."""
    path = pathlib.Path(file)
    found = {*(ROOT / "tests/unit" / path.parent.name).glob(f"test_{path.stem}*.py")}
    for folder in (f"tests/unit/{path.parent.name}", "tests/bytes"):
        found |= {test for test in (ROOT / folder).glob("test_*.py") if test.stat().st_mtime > newer_than_s}
    return {str(test.relative_to(ROOT)) for test in found}


def first_failure(copy: pathlib.Path, files: list[str], limit_s: float, chosen: object) -> str | None:
    """The test that failed first; None if all passed."""
    settings = environment(copy)
    if chosen is not None:
        path = copy / "chosen.json"
        path.write_text(json.dumps(chosen))
        settings[CHOSEN] = str(path)
    process = subprocess.Popen(
        [*RUN, "-x", *ignored(), *files],
        cwd=copy, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, preexec_fn=_limit_memory,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "the clock"
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    if process.returncode in (0, 5):  # 5: there was no test to run
        return None
    return failed[0] if failed else f"exit status {process.returncode}"


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def environment(copy: pathlib.Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def drawn(size: int, seed: int) -> list[Change]:
    """A sample of all changes but those that nobody can notice; when the code changes a little, so does the sample."""
    by_chance = sorted(all_changes(), key=lambda change: code_of(repr((seed, change.key)).encode()))
    return [change for change in by_chance[:size] if not is_unnoticeable(change)]


def killed_before(kept: pathlib.Path) -> set[tuple[str, ...]]:
    """The keys of the changes that were noticed in a run before."""
    if not kept.exists():
        return set()
    return {tuple(key) for key, by in map(json.loads, kept.read_text().splitlines()) if by is not None}


def show(result: Result) -> None:
    change = result.change
    verdict = f"killed by {result.by}" if result.by is not None else "SURVIVED"
    where = f"{change.file}:{change.number} {change.within}"
    print(f"{where} | {change.shown} | {verdict} ({result.seconds:.0f} s)", flush=True)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--sample", type=int, required=True, help="how many changes to draw")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--quick", action="store_true", help="only the tests that run the changed line")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kept", type=pathlib.Path, default=ROOT / ".mutants", help="the folder of results")
    wanted = parser.parse_args(words)
    wanted.kept.mkdir(exist_ok=True)
    kept = wanted.kept.resolve() / f"seed-{wanted.seed}.jsonl"
    changes = drawn(wanted.sample, wanted.seed)
    done = killed_before(kept)
    left = [change for change in changes if change.key not in done]
    survived = []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(pathlib.Path(folder), kept, wanted.quick, wanted.processes)
        with concurrent.futures.ThreadPoolExecutor(wanted.processes) as workers:
            for result in workers.map(run.one, left):
                show(result)
                if result.by is None:
                    survived.append(result)
    return report(len(changes), wanted.sample, survived)


def report(asked: int, sample: int, survived: list[Result]) -> int:
    for result in survived:
        show(result)
    share = 100.0 * (asked - len(survived)) / asked
    unnoticeable = sample - asked
    print(f"{sample} drawn, {unnoticeable} that nobody can notice, {len(survived)} survived; ", end="")
    print(f"killed: {share:.1f} % of {asked} (wanted: {WANTED:g} %)")
    return share < WANTED
