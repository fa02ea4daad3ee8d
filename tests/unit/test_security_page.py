"""docs/security.rst names for each row the test that holds it: every one of them is there."""

from __future__ import annotations

import pathlib
import re

import pytest

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
