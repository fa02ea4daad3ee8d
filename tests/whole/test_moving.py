"""The pages for those who move over: what stood on the left and what stands on the right of a row have one result.

Each row runs by itself, behind its page's first block, against the practice server; where the other library is not
installed, it is skipped.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from poollib.demo.practice_server import PracticeServer
from tests.support import pages
from tests.support.certs import certs
from tests.support.practice import practice_server

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"urllib3": "moving.rst", "requests": "moving_requests.rst", "httpx": "moving_httpx.rst"}
CELL = r"\.\. code-block:: python\n\n((?: {10}.*\n|\n)+)"


def rows(page: Path) -> list[tuple[str, str]]:
    """The page's rows: what one wrote, what one writes."""
    found = re.findall(rf"^ {{3}}\* - {CELL} {{5}}- {CELL}", page.read_text(), re.M)
    return [(textwrap.dedent(wrote), textwrap.dedent(write)) for wrote, write in found]


ROWS = {
    f"{library}-{number}": (library, *row)
    for library, name in PAGES.items()
    for number, row in enumerate(rows(DOCS / name), 1)
}


@pytest.fixture(scope="module")
def server() -> Iterator[PracticeServer]:
    with practice_server() as server:
        yield server


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.filterwarnings("ignore")  # no verification, said on purpose
@pytest.mark.may_leave("urllib3.request keeps its connections in a manager that lives as long as the process")
def test_both_sides_of_a_row_have_one_result(
    row: str, server: PracticeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, wrote, write = ROWS[row]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("text")
    shutil.copy(certs().ca_file, "authority.pem")
    shutil.copy(certs().client().cert_file, "me.pem")
    shutil.copy(certs().client().key_file, "me.key")
    results = [result(DOCS / PAGES[library], code, server.url) for code in (wrote, write)]
    assert results[0] == results[1]


def result(page: Path, code: str, url: str) -> tuple[str, object]:
    """What the code prints behind the page's first block, and the value of its last line, if that is an expression."""
    whole = pages.code_blocks(page)[0][1] + code
    lines = ast.parse(whole.replace("http://localhost:8080", url)).body
    last = lines.pop() if isinstance(lines[-1], ast.Expr) else None
    names: dict[str, object] = {"__name__": page.stem}
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(lines, []), str(page), "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), str(page), "eval"), names)
    close_all(names.values())
    return printed.getvalue(), value


def close_all(made: Iterable[object]) -> None:
    """Close what a row leaves open, as its program would go on to use it."""
    for thing in made:
        for name in ("clear", "close"):  # managers have the first, sessions and clients the second
            if not isinstance(thing, type | ModuleType | list | dict) and callable(close := getattr(thing, name, None)):
                close()


def test_there_are_rows_for_each_library_and_code_stands_in_them_alone() -> None:
    """A row that the expression above does not find would not be run."""
    for library, name in PAGES.items():
        found = rows(DOCS / name)
        assert len(found) >= 15, library
        assert (DOCS / name).read_text().count(".. code-block:: python") == 1 + 2 * len(found), name
