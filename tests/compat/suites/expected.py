"""The list of the tests of a suite that fail, each below a reason: one text file for each suite, which only shrinks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REASONS = {
    "theirs": "fails in the suite's own place here, too: its tests want a server of their own that is no release",
    "strict": "poollib refuses what urllib3 lets pass",
    "design": "poollib works otherwise, on purpose",
    "private": "a private name of urllib3 that poollib has no use for",
    "timing": "has a time limit so short that it may fail or pass",
    "undone": "to be mended",
}
ROWLESS = {"theirs", "undone"}
MAY_PASS = {"theirs", "timing"}


@dataclass(frozen=True)
class Entry:
    """Why a test may fail: one of REASONS, and the first words of a row of docs/differences.rst."""

    reason: str
    row: str


def read_expected(path: Path) -> dict[str, Entry]:
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


def write_expected(entries: dict[str, Entry], path: Path) -> None:
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
