"""Runs the tests of a suite in plain pytest processes, so that no accident of a process costs more than one test.

Each process gets a list of tests and a time limit, and its outcomes are read from the lines that suite_plugin wrote,
never from its exit code: a process may crash, hang or be ended, and what it had finished counts.  Whatever has no
outcome then goes to another process, at last to one of its own.  Tests run two processes at a time; a test whose
outcome would be red runs again with no other beside it, up to ALONE times, since many of them measure fractions of a
second and fail on a busy machine.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PROCESSES = 2
SHARDS = 12
ACCIDENTS = 5
FIND = 3
ONE_TEST_S = 30
ONE_PROCESS_S = 300.0
ONE_ALONE_S = 90.0


@dataclass
class Outcome:
    """What came of one test: ``passed``, ``failed``, ``skipped``, or ``lost`` if no process could tell."""

    state: str = "passed"
    message: str = ""
    is_private: bool = False
    is_done: bool = False

    def add(self, state: str, message: str) -> None:
        """Take in what one phase of the test reported."""
        if state == "done":
            self.is_done = True
        elif state == "failed" or (state == "skipped" and self.state == "passed"):
            self.state = state
            self.message = self.message or message


Outcomes = dict[str, Outcome]


@dataclass
class Runner:
    """Runs pytest in the unpacked source of a suite; what its processes print and note stays in the folder ``logs``."""

    source: Path
    logs: Path
    environment: dict[str, str]
    words: tuple[str, ...] = ()
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def find(self, arguments: list[str]) -> Outcomes:
        """The tests that the arguments name, ``lost`` until they run; a file that cannot be imported has failed."""
        for _ in range(FIND):
            notes = self._pytest(["--collect-only", *arguments], ONE_PROCESS_S)
            found = [note for note in notes if note["state"] == "found"]
            if found:
                return {note["test"]: Outcome("lost", is_private=note["private"]) for note in found} | _finished(notes)
        raise RuntimeError(f"pytest finds no tests, see {self.logs}")

    def run_sharded(self, tests: list[str], apart: Container[str]) -> Outcomes:
        """The outcomes of these tests, two processes at a time; what no process could tell is missing.

        Those in ``apart`` have a process of their own: tests that fail leave threads behind that keep a core busy.
        """
        shards = [[test for test in tests if test in apart], *shards_of(test for test in tests if test not in apart)]
        with ThreadPoolExecutor(PROCESSES) as threads:
            parts = threads.map(self.run_in_order, shards)
            return {test: outcome for part in parts for test, outcome in part.items()}

    def run_in_order(self, tests: list[str]) -> Outcomes:
        """The outcomes of these tests; if a process ends early, another goes on behind the test it was at."""
        outcomes: Outcomes = {}
        accidents = 0
        while tests and accidents < ACCIDENTS:
            outcomes |= self._run(tests, ONE_PROCESS_S)
            tests = [test for test in tests if test not in outcomes]
            if tests:
                accidents += 1
                print(f"a process ended early, in {tests[0]}", flush=True)
                tests = tests[1:]
        return outcomes

    def run_one(self, test: str) -> Outcomes:
        """The outcome of this test in a process of its own."""
        return self._run([test], ONE_ALONE_S)

    def _run(self, tests: list[str], limit_s: float) -> Outcomes:
        listed = self.logs / f"{next(self.numbers)}.tests"
        listed.write_text("\n".join(tests))
        return _finished(self._pytest([f"@{listed}"], limit_s))

    def _pytest(self, arguments: list[str], limit_s: float) -> list[dict[str, Any]]:
        """The lines that the plugin wrote; the process is ended when its time is over."""
        number = next(self.numbers)
        notes = self.logs / f"{number}.jsonl"
        notes.touch()
        words = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "suite_plugin"]
        # Every other style parses the test's file again for each failure. On CPython 3.11.7 that has ended pytest with
        # "SystemError: AST constructor recursion depth mismatch": there, nothing else may run beside ast.parse().
        words += ["--tb=native"]
        words += ["-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={self.logs / f'{number}.tmp'}"]
        # A timer that goes off while pytest writes a failure down would end pytest.
        words += ["--continue-on-collection-errors", f"--timeout={ONE_TEST_S}", "-o", "timeout_func_only=true"]
        environment = {**self.environment, "OUTCOMES": str(notes)}
        with (self.logs / f"{number}.log").open("wb") as log:
            _run_bounded([*words, *self.words, *arguments], self.source, environment, log, limit_s)
        return [json.loads(line) for line in notes.read_text().splitlines() if line.endswith("}")]


def shards_of(tests: Iterable[str]) -> list[list[str]]:
    """The tests in SHARDS parts of about the same length; those of one class, which share a server, stay together."""
    classes = [
        list(part) for _, part in itertools.groupby(tests, lambda test: test.partition("[")[0].rpartition("::")[0])
    ]
    shards: list[list[str]] = [[] for _ in range(SHARDS)]
    for part in sorted(classes, key=len, reverse=True):
        min(shards, key=len).extend(part)
    return [shard for shard in shards if shard]


def _finished(notes: list[dict[str, Any]]) -> Outcomes:
    outcomes: Outcomes = {}
    for note in notes:
        if note["state"] != "found":
            outcomes.setdefault(note["test"], Outcome()).add(note["state"], note["message"])
    return {test: outcome for test, outcome in outcomes.items() if outcome.is_done}


def _run_bounded(words: list[str], folder: Path, environment: dict[str, str], log: IO[bytes], limit_s: float) -> None:
    """Wait for the process to end; when the time is over, or this program is interrupted, its whole group is ended."""
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
