"""docs/security.rst names for each row the test that holds it: every one of them is there."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.mutants.page import row_with, rows
from tests.mutants.table import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.rst").read_text()
NAMED = sorted(set(re.findall(r"``(tests/[\w/]+\.py)(?:::\w+)*?(?:::(\w+))?``", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids="::".join)
def test_a_test_that_the_page_names_is_there(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    assert not name or re.search(rf"^ *def {name}\(", text, re.MULTILINE)


def test_every_row_names_a_test_or_says_that_there_is_none() -> None:
    tables = PAGE[PAGE.index("Advisories\n---") : PAGE.index("Where poollib accepts")]
    rows = re.findall(r"^   \* - (.*\n(?:     - .*\n)+)", tables, re.MULTILINE)
    assert len(rows) > 90
    for row in rows:
        held = row.rstrip().rpartition("     - ")[2]
        assert held in ("held by", "here", "—") or re.match(r"``tests/", held), row


def test_every_row_is_broken_once() -> None:
    """`python -m tests.mutants` breaks them one after the other and sees whether the named tests notice."""
    broken = {row_with(mutant.row) for mutant in MUTANTS}
    assert [row.text for row in rows() if row not in broken and row.tests != ("tests/conftest.py",)] == []


def test_what_is_to_be_broken_stands_in_the_code() -> None:
    """Whoever changes one of these lines changes tests/mutants/table.py with it."""
    wrong = []
    for mutant in MUTANTS:
        try:
            mutant.applied_to((ROOT / mutant.file).read_text())
        except (LookupError, OSError) as error:
            wrong.append(str(error))
    assert wrong == []
