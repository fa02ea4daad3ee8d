"""The seeded run over one-place changes: what it may change, and that its list of exceptions fits the code."""

from __future__ import annotations

import ast

import pytest

from tests.mutants import sample
from tests.mutants.changes import changes_of
from tests.mutants.page import ROOT
from tests.mutants.unnoticeable import ENTRIES


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("x = a < b", ["x = (a <= b)", "x = (a >= b)"]),
        ("x = a is None", ["x = (a is not None)"]),
        ("x = a in b", ["x = (a not in b)"]),
        ("x = a and b or c", ["x = ((a and b) and c)", "x = (a or b) or c"]),
        ("x = not a", ["x = (a)"]),
        ("if a:\n    b = c", ["if False:\n    b = c", "if not (a):\n    b = c"]),
        ("x = b if a else c", ["x = (b if not a else c)"]),
        ("f(a)", ["pass"]),
        ("raise E", ["pass"]),
        ("a.b = c", ["pass"]),
        ("del a[b]", ["pass"]),
        ("x = 3", ["x = (4)"]),
        ("x = True", ["x = (False)"]),
        ("x = a + b", ["x = (a - b)"]),
        ("x = min(a, b)", ["x = (max(a, b))"]),
        ("def f():\n    return a", ["def f():\n    return None"]),
    ],
)
def test_every_place_has_its_changes(code: str, changed: list[str]) -> None:
    source = code.encode()
    assert sorted(change.applied_to(source).decode() for change in changes_of(source, "a.py")) == sorted(changed)


@pytest.mark.parametrize(
    "code",
    [
        "a = b",
        'a = f"{3} {b < c}"',
        "a: Final[3 < 4] = b",
        "def f() -> 3: ...",
        "if TYPE_CHECKING:\n    f(a)",
        "if sys.version_info >= (3, 12):\n    f(a)",
        "class A(Protocol):\n    x = 3",
        "raise NotImplementedError",
        "return None",
    ],
)
def test_what_nobody_could_notice_is_left_alone(code: str) -> None:
    assert changes_of(code.encode(), "a.py") == []


def test_a_change_is_named_by_its_place_and_is_code_again() -> None:
    source = "class Ä:\n    def f(self):\n        return [é for é in a\n                if é == 1]\n".encode()
    turned = next(change for change in changes_of(source, "a.py") if change.shown == "é == 1 -> é != 1")
    assert turned.key == ("a.py", "Ä.f", "if é == 1]", "é == 1 -> é != 1")
    assert turned.number == 4
    ast.parse(turned.applied_to(source))


def test_what_is_said_to_be_unnoticeable_stands_in_the_code() -> None:
    """Whoever changes one of these lines looks whether the reason still holds."""
    files = {entry.file for entry in ENTRIES}
    there = {change.key for file in files for change in changes_of((ROOT / file).read_bytes(), file)}
    assert [entry for entry in ENTRIES if entry[:4] not in there] == []
    assert all(entry.reason for entry in ENTRIES)


def test_a_seed_draws_the_same_sample_without_the_unnoticeable(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ENTRIES[0]
    some = changes_of((ROOT / entry.file).read_bytes(), entry.file)
    monkeypatch.setattr(sample, "all_changes", lambda: some)
    few = sample.drawn(9, 7)
    assert few == sample.drawn(9, 7)
    assert few != sample.drawn(9, 8)
    found = {change.key for change in sample.drawn(len(some), 7)}
    assert {change.key for change in some} - found == {one[:4] for one in ENTRIES if one.file == entry.file}
