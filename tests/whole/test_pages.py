"""The pages for users do what they say: their blocks run in turn against the practice server and print as promised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from poollib.demo.practice_server import PracticeServer
from tests.support import pages
from tests.support.practice import practice_server

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(
    page.stem
    for page in DOCS.glob("*.rst")
    if page.stem != "cookbook"  # its recipes run one by one: see test_cookbook
    if any(pages.promised(code) for _, code in pages.code_blocks(page))
)


@pytest.fixture
def server() -> Iterator[PracticeServer]:
    """The server that the pages call localhost:8080, on a port of its own."""
    with practice_server() as server:
        yield server


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.may_leave("the practice server's threads end when the connections of the page's manager do")
def test_a_page_prints_what_it_promises(
    name: str, server: PracticeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "tutorial":
        pytest.importorskip("trustme")
    monkeypatch.chdir(tmp_path)
    port = str(server.server_address[1])

    def localised(code: str) -> str:
        return re.sub(r"(?<=localhost:)8080|(?<=127\.0\.0\.1:)8080|(?<=\"localhost\", )8080", port, code)

    pages.run(DOCS / f"{name}.rst", localised)


def test_the_pages_for_beginners_are_among_them() -> None:
    assert {"quickstart", "client", "timeouts", "retries", "errors"} <= set(PAGES)
