"""The Python in a page: its blocks in turn, and what they promise to print.

The ``code-block:: python`` of a page are one program. ``print(...)  # text`` promises that text; tests run them with
a local server's port in place of the page's and compare.
"""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from collections.abc import Callable
from pathlib import Path


def code_blocks(page: Path) -> list[tuple[int, str]]:
    """The page's Python blocks, each with the number of the line before it."""
    text = page.read_text()
    found = re.finditer(r"^\.\. code-block:: python\n\n((?:(?: {4}.*)?\n)+)", text, re.M)
    return [(text[: match.start(1)].count("\n"), textwrap.dedent(match[1])) for match in found]


def code_blocks_of(text: str) -> list[str]:
    """The Python blocks of a part of a page."""
    found = re.findall(r"^\.\. code-block:: python\n\n((?:(?: {4}.*)?\n)+)", text, re.M)
    return [textwrap.dedent(block) for block in found]


def promised(code: str) -> list[str]:
    """What the comments behind the print calls say will be printed."""
    return re.findall(r"print\(.*\)  # (.*)$", code, re.M)


def run(page: Path, localised: Callable[[str], str]) -> None:
    """Run the page's blocks, each changed by ``localised`` first; AssertionError where something else is printed."""
    names: dict[str, object] = {"__name__": page.stem}
    for line, code in code_blocks(page):
        local, printed = localised(code), io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + local, str(page), "exec"), names)
        assert printed.getvalue().splitlines() == promised(local), f"{page.name}, line {line}"
