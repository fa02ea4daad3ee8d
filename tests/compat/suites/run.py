"""Run another project's own tests with poollib in urllib3's place; 1 if another test fails than those that are listed.

NAME is one of ``urllib3`` and ``requests``::

    python tests/compat/suites/run.py NAME [--update] [--on-urllib3] [PYTEST ARGUMENT ...]

The tests are those of the source distribution, which pip fetches by version and hash and which is unpacked below the
environment that this script runs in; nothing of it belongs to the project.  What fails must stand in the suite's list
(``NAME.txt``), with a reason and a row of docs/differences.rst, and what passes must not.  A test whose outcome
would be red runs up to ALONE times more with no other beside it, and is red only if it is so each time.

``--update`` takes out what passes and adds what fails as ``undone``.  ``--on-urllib3`` runs the same tests on urllib3
itself and judges nothing: what fails there too is not poollib's doing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from expected import MAY_PASS, REASONS, Entry, faults_of, read_expected, write_expected
from processes import Outcome, Outcomes, Runner

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
DIFFERENCES = ROOT / "docs" / "differences.rst"
ALONE = 3
ASKS_NAME_SERVER = "test/with_dummyserver/test_connectionpool.py::TestRetry::test_disabled_retry"


@dataclass(frozen=True)
class Suite:
    """The tests of another project: where they come from, and what they are run with."""

    name: str
    version: str
    sha256: str
    tests: str
    words: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    own_source: str = ""  # of urllib3, where it is not installed

    @property
    def expected(self) -> Path:
        """The list of the tests that fail."""
        return HERE / f"{self.name}.txt"


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "urllib3",
            "2.8.0",
            "63bf2ead4c879426ebf22ef2a781eeb4aa3b4ae798a0435506f8687fd5bb9b63",
            "test",
            # These dial 240.0.0.0 or ask a name server within a millisecond: what answers is the network's choice.
            ("-m", "not requires_network", f"--deselect={ASKS_NAME_SERVER}"),
            {"CI": "1"},  # makes urllib3's tests wait longer for what has to happen
            own_source="src",
        ),
        Suite(
            "requests",
            "2.34.2",
            "f288924cae4e29463698d6d60bc6a4da69c89185ad1e0bcc4104f584e960b9ed",
            "tests",
            # These dial 10.255.255.1, and what answers there is the network's choice.
            ("-k", "not test_connect_timeout and not test_total_timeout_connect"),
        ),
    )
}


# The tests, and where they run.


def fetch(suite: Suite, folder: Path) -> Path:
    """The folder with the suite's source distribution unpacked, fetched by pip unless it is there already."""
    name = f"{suite.name}-{suite.version}"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{suite.name}=={suite.version} --hash=sha256:{suite.sha256}\n")
        words = ["download", "-q", "--no-deps", "--no-binary=:all:", "--require-hashes"]
        subprocess.run([sys.executable, "-m", "pip", *words, f"-r{wanted}", f"-d{folder}"], check=True)
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(folder)
    return folder / name


def runner_of(suite: Suite, source: Path, on_urllib3: bool) -> Runner:
    """What runs the tests: each process has poollib as urllib3 from its start."""
    logs, start = source.parent / "logs", source.parent / "start"
    for folder in (logs, start):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    (start / "sitecustomize.py").write_text("import poollib\n\npoollib.install_as_urllib3()\n")
    first = [source / suite.own_source] if on_urllib3 else [start, ROOT]
    path = os.pathsep.join(map(str, [*first, HERE]))
    return Runner(source, logs, {**os.environ, "PYTHONPATH": path, **suite.environment}, suite.words)


# The judgement.


def run(
    runner: Runner, arguments: list[str], entries: dict[str, Entry], is_red: Callable[[str, Outcome], bool]
) -> Outcomes:
    """The outcome of each test: that of the first run that is not red, or else the last one."""
    outcomes = runner.find(arguments)
    _take(
        outcomes, runner.run_sharded([test for test, outcome in outcomes.items() if outcome.state == "lost"], entries)
    )
    for attempt in range(ALONE):
        red = [test for test, outcome in outcomes.items() if is_red(test, outcome)]
        if attempt == 0:
            _take(outcomes, runner.run_in_order(red), tell=True)
        else:
            for test in red:
                _take(outcomes, runner.run_one(test), tell=True)
    return outcomes


def _take(outcomes: Outcomes, later: Outcomes, tell: bool = False) -> None:
    for test, outcome in later.items():
        before = outcomes.get(test, outcome)
        if tell and before.state != outcome.state:
            print(f"{before.state}, then alone {outcome.state}: {test}", flush=True)
        outcomes[test] = replace(outcome, is_private=before.is_private)


def print_counts(outcomes: Outcomes, entries: dict[str, Entry]) -> None:
    """How many pass, of those that ran and do not fail on urllib3 as well."""
    parts = []
    for name, is_private in (("public", False), ("private", True)):
        ran = [
            outcome.state == "passed"
            for test, outcome in outcomes.items()
            if outcome.is_private is is_private
            and outcome.state != "skipped"
            and entries.get(test) != Entry("theirs", "")
        ]
        parts.append(f"{name}: {sum(ran)} of {len(ran)} pass")
    skipped = sum(outcome.state == "skipped" for outcome in outcomes.values())
    print("; ".join(parts), f"({skipped} skipped)")
    for reason, meaning in REASONS.items():
        print(f"    {sum(entry.reason == reason for entry in entries.values()):4} {reason}: {meaning}")


def is_red(outcome: Outcome, entry: Entry | None) -> bool:
    """Whether a test came out otherwise than its entry in the list, or its absence there, says."""
    if entry is None:
        return outcome.state in ("failed", "lost")
    return outcome.state == "passed" and entry.reason not in MAY_PASS


def judge(outcomes: Outcomes, entries: dict[str, Entry], expected: Path, whole: bool) -> list[str]:
    """What is red: a failure that is not expected, a pass that is, an entry for no test."""
    red = []
    for test, outcome in outcomes.items():
        if is_red(outcome, entries.get(test)):
            what = f"passes and must leave {expected.name}" if outcome.state == "passed" else outcome.state
            red.append(f"{what}: {test}\n       {outcome.message}".rstrip())
    if whole:
        red += [f"no such test, must leave {expected.name}: {test}" for test in entries if test not in outcomes]
    return red


def updated(outcomes: Outcomes, entries: dict[str, Entry]) -> dict[str, Entry]:
    """The entries with what has changed."""
    kept = {
        test: entry
        for test, entry in entries.items()
        if entry.reason in MAY_PASS or (test in outcomes and outcomes[test].state != "passed")
    }
    failed = [test for test, outcome in outcomes.items() if outcome.state == "failed" and test not in kept]
    return {**kept, **dict.fromkeys(failed, Entry("undone", ""))}


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("suite", choices=SUITES)
    words.add_argument("--update", action="store_true", help="write the list anew")
    words.add_argument("--on-urllib3", action="store_true", help="run the tests on urllib3 itself")
    words.add_argument("--folder", type=Path, default=Path(sys.prefix) / "suite", help="where to unpack the tests")
    options, arguments = words.parse_known_args()
    suite = SUITES[options.suite]
    entries = {} if options.on_urllib3 else read_expected(suite.expected)
    runner = runner_of(suite, fetch(suite, options.folder.resolve()), options.on_urllib3)
    outcomes = run(
        runner, arguments or [suite.tests], entries, lambda test, outcome: is_red(outcome, entries.get(test))
    )
    print_counts(outcomes, entries)
    if options.on_urllib3:
        print("\n".join(sorted(test for test, outcome in outcomes.items() if outcome.state == "failed")))
        return 0
    if options.update:
        write_expected(updated(outcomes, entries), suite.expected)
        return 0
    red = [
        *faults_of(entries, DIFFERENCES.read_text()),
        *judge(outcomes, entries, suite.expected, whole=not arguments),
    ]
    print("\n".join(red))
    return 1 if red else 0


if __name__ == "__main__":
    raise SystemExit(main())
