"""Run urllib3's own tests with poollib in urllib3's place; 1 if another test fails than those in urllib3_suite.txt.

    python tests/compat/urllib3_suite.py [--update] [--on-urllib3] [PYTEST ARGUMENT ...]

The tests are those of the source distribution, which pip fetches by version and hash and which is unpacked below the
environment that this script runs in; nothing of it belongs to the project.  A test that fails while others run is run
again alone before it is judged.  What fails must stand in urllib3_suite.txt, with a reason and a row of
docs/differences.rst, and what passes must not.  ``--update`` takes out what passes and adds what fails as ``undone``.
``--on-urllib3`` runs the same tests on urllib3 itself and judges nothing: what fails there too is not poollib's doing.

A test counts as private if its source, or that of a method it calls on ``self``, has an attribute or an imported name
with one leading underscore that is not its own class's, or a text that names such an attribute, as for ``mock.patch``;
all others are public.

The same file is the pytest plugin that writes down what came of each test.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

VERSION = "2.8.0"
SHA256 = "63bf2ead4c879426ebf22ef2a781eeb4aa3b4ae798a0435506f8687fd5bb9b63"

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DIFFERENCES = ROOT / "docs" / "differences.rst"
EXPECTED = HERE / "urllib3_suite.txt"
WHOLE_RUN_S = 1200.0
ONE_TEST_S = 30
WORKERS = 2

REASONS = {
    "theirs": "fails on urllib3 itself here, too: its tests want a server of their own that is no release",
    "strict": "poollib refuses what urllib3 lets pass",
    "design": "poollib works otherwise, on purpose",
    "private": "a private name of urllib3 that poollib has no use for",
    "timing": "has a time limit so short that it may fail or pass",
    "undone": "to be mended",
}
ROWLESS = {"theirs", "undone"}
MAY_PASS = {"theirs", "timing"}


# The tests, and where they run.


def fetch(folder: Path) -> Path:
    """The folder with urllib3's source distribution unpacked, fetched by pip unless it is there already."""
    source = folder / f"urllib3-{VERSION}"
    if not source.exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "wanted.txt"
        wanted.write_text(f"urllib3=={VERSION} --hash=sha256:{SHA256}\n")
        words = ["download", "-q", "--no-deps", "--no-binary=:all:", "--require-hashes"]
        subprocess.run([sys.executable, "-m", "pip", *words, f"-r{wanted}", f"-d{folder}"], check=True)
        with tarfile.open(folder / f"urllib3-{VERSION}.tar.gz") as archive:
            archive.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(folder)
    return source


def environment(folder: Path, source: Path, on_urllib3: bool) -> dict[str, str]:
    """What the tests' processes are started with: each, xdist's workers too, has poollib as urllib3 from its start."""
    start = folder / "start"
    start.mkdir(exist_ok=True)
    (start / "sitecustomize.py").write_text("import poollib\n\npoollib.install_as_urllib3()\n")
    first = [source / "src"] if on_urllib3 else [start, ROOT]
    # CI makes urllib3's tests wait longer for what has to happen.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*first, HERE])), "CI": "1"}


@dataclass
class Outcome:
    """What came of one test: ``passed``, ``failed`` or ``skipped``, and what it said when it failed."""

    state: str
    private: bool
    message: str = ""


@dataclass
class Runner:
    """Runs pytest in the unpacked source."""

    source: Path
    environment: dict[str, str]
    notes: Path = field(init=False)

    def __post_init__(self) -> None:
        self.notes = self.source.parent / "outcomes.jsonl"

    def run(self, arguments: Iterable[str], parallel: bool) -> dict[str, Outcome]:
        """The outcome of each test by its id; RuntimeError if pytest did not come to its end in time."""
        self.notes.unlink(missing_ok=True)
        words = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "urllib3_suite"]
        words += ["-p", "no:cacheprovider", "--continue-on-collection-errors", f"--timeout={ONE_TEST_S}"]
        words += ["-m", "not requires_network"]  # they dial 240.0.0.0, and what answers there is the network's choice
        # A timer that goes off while pytest writes a failure down would end pytest.
        words += ["-o", "timeout_func_only=true"]
        words += [f"-n{WORKERS}", "--dist=loadscope"] if parallel else ["-p", "no:xdist"]
        log = self.source.parent / ("parallel.log" if parallel else "alone.log")
        with log.open("wb") as output:
            code = _run_bounded(
                [*words, *arguments], self.source, {**self.environment, "OUTCOMES": str(self.notes)}, output
            )
        if code not in (0, 1):
            print(log.read_text(errors="replace")[-3000:])
            raise RuntimeError(f"pytest ended with {code}, see {log}")
        return self._read()

    def _read(self) -> dict[str, Outcome]:
        found: dict[str, Outcome] = {}
        for line in self.notes.read_text().splitlines():
            note = json.loads(line)
            test, state, message = note["test"], note["state"], note["message"]
            before = found.setdefault(test, Outcome("passed", note["private"]))
            if state == "failed" or (state == "skipped" and before.state == "passed"):
                before.state = state
                before.message = before.message or message
        return found


def _run_bounded(words: list[str], folder: Path, environment: dict[str, str], output: Any) -> int:
    """The process's code; when the time is over its whole group is ended, and -9 comes back."""
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return process.wait(WHOLE_RUN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


# What is expected.


@dataclass(frozen=True)
class Entry:
    """Why a test may fail: one of REASONS, and the first words of a row of docs/differences.rst."""

    reason: str
    row: str


def read_expected(path: Path = EXPECTED) -> dict[str, Entry]:
    """Why each test in the file may fail, by the test's id."""
    entries: dict[str, Entry] = {}
    entry = Entry("undone", "")
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        head = re.fullmatch(r"\[(\w+)\] ?(.*)", line)
        if head:
            entry = Entry(*head.groups())
        elif line.strip() and not line.startswith("#"):
            if line.strip() in entries:
                raise ValueError(f"{path.name}:{number}: stands there twice")
            entries[line.strip()] = entry
    return entries


def write_expected(entries: dict[str, Entry], path: Path = EXPECTED) -> None:
    """Write the file anew, tests in order below each reason; its first comment stays."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("#")] if path.exists() else []
    for entry in sorted(set(entries.values()), key=lambda entry: (list(REASONS).index(entry.reason), entry.row)):
        lines += ["", f"[{entry.reason}] {entry.row}".rstrip()]
        lines += sorted(test for test, found in entries.items() if found == entry)
    path.write_text("\n".join(lines) + "\n")


def faults_of(entries: dict[str, Entry], rows: str) -> Iterator[str]:
    """What is wrong with the file itself: unknown reasons, rows that docs/differences.rst does not have."""
    begins = [" ".join(row.split()) for row in re.findall(r"^- ((?:.+\n)(?:  .+\n)*)", rows, re.MULTILINE)]
    for entry in set(entries.values()):
        if entry.reason not in REASONS:
            yield f"no reason is called {entry.reason!r}"
        if entry.row and not any(begin.startswith(entry.row) for begin in begins):
            yield f"docs/differences.rst has no row that begins with {entry.row!r}"
        if not entry.row and entry.reason not in ROWLESS:
            yield f"{entry.reason!r} needs a row of docs/differences.rst"


# The judgement.


def run_twice(runner: Runner, arguments: list[str], doubtful: Callable[[str, Outcome], bool]) -> dict[str, Outcome]:
    """All tests in parallel, then the doubtful ones once more, one after the other: their second outcome counts."""
    outcomes = runner.run(arguments, parallel=True)
    again = [test for test, outcome in outcomes.items() if doubtful(test, outcome)]
    if again:
        (listed := runner.source.parent / "again.txt").write_text("\n".join(again))
        second = runner.run([f"@{listed}"], parallel=False)
        for test in again:
            if test in second and second[test].state != outcomes[test].state:
                print(f"flaky: {test}: {outcomes[test].state}, then alone {second[test].state}")
        outcomes.update(second)
    return outcomes


def print_counts(outcomes: dict[str, Outcome], entries: dict[str, Entry]) -> None:
    """How many pass, of those that ran and do not fail on urllib3 as well."""
    parts = []
    for name, private in (("public", False), ("private", True)):
        ran = [
            outcome.state == "passed"
            for test, outcome in outcomes.items()
            if outcome.private is private and outcome.state != "skipped" and entries.get(test) != Entry("theirs", "")
        ]
        parts.append(f"{name}: {sum(ran)} of {len(ran)} pass")
    skipped = sum(outcome.state == "skipped" for outcome in outcomes.values())
    print("; ".join(parts), f"({skipped} skipped)")
    for reason, meaning in REASONS.items():
        print(f"    {sum(entry.reason == reason for entry in entries.values()):4} {reason}: {meaning}")


def judge(outcomes: dict[str, Outcome], entries: dict[str, Entry], whole: bool) -> list[str]:
    """What is red: a failure that is not expected, a pass that is, an entry for no test."""
    red = []
    for test, outcome in outcomes.items():
        if outcome.state == "failed" and test not in entries:
            red.append(f"fails: {test}\n       {outcome.message}")
        elif outcome.state == "passed" and test in entries and entries[test].reason not in MAY_PASS:
            red.append(f"passes and must leave {EXPECTED.name}: {test}")
    if whole:
        red += [f"no such test, must leave {EXPECTED.name}: {test}" for test in entries if test not in outcomes]
    return red


def updated(outcomes: dict[str, Outcome], entries: dict[str, Entry]) -> dict[str, Entry]:
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
    words.add_argument("--update", action="store_true", help="write urllib3_suite.txt anew")
    words.add_argument("--on-urllib3", action="store_true", help="run the tests on urllib3 itself")
    words.add_argument("--folder", type=Path, default=Path(sys.prefix) / "suite", help="where to unpack urllib3")
    options, arguments = words.parse_known_args()
    folder = options.folder.resolve()
    source = fetch(folder)
    entries = {} if options.on_urllib3 else read_expected()
    runner = Runner(source, environment(folder, source, options.on_urllib3))
    outcomes = run_twice(runner, arguments or ["test"], lambda test, outcome: _is_doubtful(outcome, entries.get(test)))
    print_counts(outcomes, entries)
    if options.on_urllib3:
        print("\n".join(sorted(test for test, outcome in outcomes.items() if outcome.state == "failed")))
        return 0
    if options.update:
        write_expected(updated(outcomes, entries))
        return 0
    red = [*faults_of(entries, DIFFERENCES.read_text()), *judge(outcomes, entries, whole=not arguments)]
    print("\n".join(red))
    return 1 if red else 0


def _is_doubtful(outcome: Outcome, entry: Entry | None) -> bool:
    """Whether this outcome would be red."""
    if entry is None:
        return outcome.state == "failed"
    return outcome.state == "passed" and entry.reason not in MAY_PASS


# The plugin: what pytest does in the unpacked source, told by lines of JSON.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.user_properties.append(("private", is_private(item)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    state = "passed" if hasattr(report, "wasxfail") else report.outcome
    _note(report.nodeid, state, dict(report.user_properties).get("private", False), report.longreprtext)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _note(report.nodeid, "failed", False, report.longreprtext)


def _note(test: str, state: str, private: object, text: str) -> None:
    """Write a line; in xdist's workers none, as the process that started them hears of every report."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    said = re.findall(r"^E +(.+)", text, re.MULTILINE)
    note = {
        "test": test,
        "state": state,
        "private": private,
        "message": " | ".join(said)[:600] if state == "failed" else "",
    }
    with open(os.environ["OUTCOMES"], "a") as notes:
        notes.write(json.dumps(note) + "\n")


def is_private(item: pytest.Item) -> bool:
    """Whether a test touches a private name: the rule at the top of this file."""
    function = getattr(item, "function", None)
    cls = getattr(item, "cls", None)
    seen: set[str] = set()
    return function is not None and _touches_private(function, cls, seen)


def _touches_private(function: Any, cls: type | None, seen: set[str]) -> bool:
    seen.add(function.__name__)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):
        return False
    shared = getattr(function, "__globals__", {})
    if any(_is_private_node(node, shared) for node in ast.walk(tree)):
        return True
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_own(node.value)}
    helpers = [getattr(cls, name, None) for name in called - seen]
    return any(_touches_private(helper, cls, seen) for helper in helpers if inspect.isroutine(helper))


def _is_private_node(node: ast.AST, shared: dict[str, Any]) -> bool:
    if isinstance(node, ast.Name):
        return _has_underscore(node.id) and node.id in shared
    if isinstance(node, ast.Attribute):
        return _has_underscore(node.attr) and not _is_own(node.value)
    if isinstance(node, (ast.ImportFrom, ast.Import)):
        return any(_has_underscore(part) for alias in node.names for part in alias.name.split("."))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(re.fullmatch(r"(urllib3(\.\w+)*\.)?_[a-z]\w*", node.value))
    return False


def _is_own(value: ast.expr) -> bool:
    """Whether this is the test's own ``self`` or ``cls``, whose private names are its own."""
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def _has_underscore(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


if __name__ == "__main__":
    raise SystemExit(main())
