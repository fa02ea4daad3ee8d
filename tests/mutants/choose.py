"""Which tests run which lines of the package, and a plugin for pytest that runs chosen tests in a chosen order.

``sample`` makes a ``Map`` once: it runs the fast tests under coverage, with the name of each test as coverage's
context. Lines that only child processes run have no test there; for them all tests are the choice.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Generator
from typing import Any, Final, NamedTuple

import pytest

FAST: Final = ("tests/unit", "tests/bytes", "tests/talk")
#: These read the package's code, so that they would notice every change for the wrong reason.
NOT_THESE: Final = ("tests/unit/test_security_page.py", "tests/unit/test_structure.py", "tests/unit/test_types.py")
RECORDING, CHOSEN = "POOLLIB_MUTANTS_RECORD", "POOLLIB_MUTANTS_CHOSEN"  # environment variables of the plugin
RUN = (sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "tests.mutants.choose")
MEASURED = "[run]\nsource = poollib\ndata_file = {folder}/lines.data\n"


class Map(NamedTuple):
    """``tests``: each test's seconds. ``lines``: file -> line -> the numbers of the tests that run it, as listed there.

    ``codes``: each file's ``code_of``.
    """

    tests: dict[str, float]
    lines: dict[str, dict[str, list[int]]]
    codes: dict[str, str]

    def tests_for(self, file: str, line: int, code: str, own: set[str]) -> list[str]:
        """The tests that run this line, those of the files ``own`` first, and of these the quick ones.

        All of the file's for what runs when the module is imported, and if its code is no longer the one of the map.
        """
        by_line = self.lines.get(file, {})
        numbers = by_line.get(str(line)) if code == self.codes.get(file) else None
        names = list(self.tests)
        found = [names[number] for number in numbers or {number for all_of in by_line.values() for number in all_of}]
        return sorted(found, key=lambda test: (test.partition("::")[0] not in own, self.tests[test], test))


def recorded(folder: pathlib.Path, environment: dict[str, str]) -> Map:
    """Run the fast tests of the project in ``folder`` once, and find which lines each of them runs."""
    import coverage  # of the extra "dev", which the everyday tests do without

    config, times = folder / "lines.rc", folder / "times.json"
    config.write_text(MEASURED.format(folder=folder))
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={config}", *RUN[1:], *ignored(), *FAST]
    done = subprocess.run(
        command, cwd=folder, env={**environment, RECORDING: str(times)}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"unbroken code fails already:\n{done.stdout[-3000:]}")
    data = coverage.CoverageData(str(folder / "lines.data"))
    data.read()
    tests = json.loads(times.read_text())
    numbers = {test: number for number, test in enumerate(tests)}
    lines: dict[str, dict[str, list[int]]] = {}
    for path in map(pathlib.Path, data.measured_files()):
        by_line = data.contexts_by_lineno(str(path))
        found = {str(line): [numbers[name] for name in names if name in numbers] for line, names in by_line.items()}
        lines[str(path.relative_to(folder))] = {line: chosen for line, chosen in found.items() if chosen}
    return Map(tests, lines, {file: code_of((folder / file).read_bytes()) for file in lines})


def code_of(source: bytes) -> str:
    """A short text that tells one version of a file from another."""
    return hashlib.sha256(source).hexdigest()[:16]


def ignored() -> list[str]:
    return [f"--ignore={name}" for name in NOT_THESE]


# The plugin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """What runs from here on is this test's doing."""
    if RECORDING in os.environ:
        import coverage

        current = coverage.Coverage.current()
        if current is not None:
            current.switch_context(item.nodeid)
    return (yield)


_seconds: dict[str, float] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = round(_seconds.get(report.nodeid, 0.0) + report.duration, 4)


def pytest_sessionfinish() -> None:
    if RECORDING in os.environ:
        pathlib.Path(os.environ[RECORDING]).write_text(json.dumps(_seconds))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only the tests of the list, in its order; and in front of them those that the map does not know yet."""
    if CHOSEN not in os.environ:
        return
    wanted = json.loads(pathlib.Path(os.environ[CHOSEN]).read_text())
    place = {test: number for number, test in enumerate(wanted["tests"])}
    known = set(wanted["known"])
    kept = [item for item in items if item.nodeid in place or item.nodeid not in known]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = sorted(kept, key=lambda item: place.get(item.nodeid, -1))
