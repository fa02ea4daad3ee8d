"""What docs/security.rst promises, and which tests hold it: its tables as values."""

from __future__ import annotations

import functools
import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "Advisories\n---", "Where poollib accepts"


class Row(NamedTuple):
    """One row of the tables: its text without the last cell, and the tests that the last cell names."""

    text: str
    tests: tuple[str, ...]


@functools.cache  # once, so that a run goes by the page that it copied
def rows() -> list[Row]:
    """Every row that promises something; those whose last cell is a dash promise nothing."""
    page = (ROOT / "docs/security.rst").read_text()
    tables = page[page.index(BEGIN) : page.index(END)]
    found = []
    for cells in re.findall(r"^   \* - (.*\n(?:     - .*\n)+)", tables, re.MULTILINE):
        text, _, held = cells.rstrip().rpartition("\n     - ")
        named = re.findall(r"``(tests/[\w/]+\.py)(?:::\w+)*?(?:::(\w+))?``", held)
        tests = tuple(node for file, name in named for node in nodes(file, name))
        if tests:
            found.append(Row(text.replace("\n     - ", " | "), tests))
    return found


def row_with(text: str) -> Row:
    """The one row that holds ``text``; LookupError if there is none, or more than one."""
    found = [row for row in rows() if text in row.text]
    if len(found) != 1:
        raise LookupError(f"docs/security.rst has {len(found)} rows with {text!r}, not one")
    return found[0]


def nodes(file: str, name: str) -> list[str]:
    """What pytest calls the tests of this name in a file: also those that several classes have."""
    found, within = [], ""
    for kind, its_name, indent in re.findall(
        r"^(?=(class|[ ]*def) (\w+))([ ]*)", (ROOT / file).read_text(), re.MULTILINE
    ):
        if kind == "class":
            within = its_name
        elif its_name == name:
            found.append("::".join([file, within, name] if indent else [file, name]))
    return found if name else [file]
