"""docs/everyday.rst: each task has the same result in requests, httpx and poollib, against the practice server."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import poollib
from poollib.demo.practice_server import PracticeServer
from tests.support.practice import practice_server

httpx = pytest.importorskip("httpx", reason="tests/compat runs in an environment of its own, which has it")
requests = pytest.importorskip("requests", reason="tests/compat runs in an environment of its own, which has it")

PAGE = Path(__file__).resolve().parents[2] / "docs/everyday.rst"


def tasks() -> dict[str, dict[str, str]]:
    """The page's blocks by task and library."""
    sections = re.split(r"^(.+)\n-+\n", PAGE.read_text(), flags=re.M)[1:]
    block = re.compile(r"^\.\. code-block:: python\n {4}:caption: (\w+)\n\n((?:(?: {4}.*)?\n)+)", re.M)
    return {
        title: {library: textwrap.dedent(code) for library, code in block.findall(text)}
        for title, text in zip(sections[::2], sections[1::2], strict=True)
    }


@pytest.fixture(scope="module")
def server() -> Iterator[PracticeServer]:
    with practice_server() as server:
        yield server


@pytest.mark.parametrize("title", tasks())
@pytest.mark.filterwarnings("ignore")  # no verification, said on purpose
def test_a_task_has_one_result(
    title: str, server: PracticeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("text")
    results: dict[str, Any] = {}
    with poollib.Client(server.url, timeout=10.0) as client:
        for library, code in tasks()[title].items():
            names: dict[str, Any] = {"url": server.url, "client": client, "os": os, "poollib": poollib}
            names |= {"ThreadPoolExecutor": ThreadPoolExecutor, "requests": requests, "httpx": httpx}
            exec(code, names)
            results[library] = names["result"]
    assert list(results) == ["requests", "httpx", "poollib"]
    assert len({repr(result) for result in results.values()}) == 1, results


def test_there_are_twenty_tasks() -> None:
    assert len(tasks()) >= 20
