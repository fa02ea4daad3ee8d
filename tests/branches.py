"""Which branches of the package no test takes; the command behind the figure in docs/security.rst.

    python -m tests.branches [ARGUMENTS OF PYTEST]

It runs the everyday tests under coverage, in this process's children too, and prints the share of branches and lines
that ran, with every one that did not. Exit status 1 if a test fails, 2 if less than ``WANTED`` percent of the branches
were taken. What is left out of the count stands in pyproject.toml, each with its reason.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
WANTED = 97.0  # percent


def coverage(*words: str) -> int:
    """The exit status of one of coverage's commands, run in the project's folder."""
    return subprocess.run([sys.executable, "-m", "coverage", *words], cwd=ROOT, check=False).returncode


def report() -> dict[str, Any]:
    """What coverage found, as its JSON report has it."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "report.json"
        coverage("json", "-q", "-o", str(path))
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def holes(name: str, found: dict[str, Any]) -> str:
    """The branches and lines of one file that did not run."""
    jumps = [f"{start}->{end if end > 0 else 'exit'}" for start, end in found["missing_branches"]]
    return f"{name}: {' '.join(jumps) or '-'}; lines {' '.join(map(str, found['missing_lines'])) or '-'}"


def share(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0


def main(words: Sequence[str]) -> int:
    """Run, combine, print; the exit status."""
    coverage("erase")
    failed = coverage("run", "-m", "pytest", *words)
    coverage("combine", "-q")
    found = report()
    for name, one in found["files"].items():
        if one["missing_branches"] or one["missing_lines"]:
            print(holes(name, one))
    total = found["totals"]
    branches = share(total["covered_branches"], total["num_branches"])
    lines = share(total["covered_lines"], total["num_statements"])
    print(f"branches: {total['covered_branches']} of {total['num_branches']}, {branches:.2f} % (wanted: {WANTED} %)")
    print(f"lines: {total['covered_lines']} of {total['num_statements']}, {lines:.2f} %", end="")
    print(f"; both: {total['percent_covered']:.2f} %; lines left out: {total['excluded_lines']}")
    return 1 if failed else 2 if branches < WANTED else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
