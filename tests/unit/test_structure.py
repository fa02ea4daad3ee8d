"""The house is as docs/design.rst draws it: its rooms, its floors, and the measures of docs/style.rst.

The page is the one place where rooms and floors are written down; this file only reads it.
"""

from __future__ import annotations

import ast
import graphlib
import pathlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DESIGN = (ROOT / "docs/design.rst").read_text()
# docs/style.rst: a function's longest body, and how deep its blocks may stand.
LONGEST_LINES, DEEPEST = 60, 4
# Packages that a room may import besides the standard library, all but the first optional.
PACKAGES = {"certifi", "brotli", "brotlicffi", "zstandard", "backports", "idna", "trustme", "truststore"}


def rooms() -> dict[str, ast.Module]:
    """Each room by its name as the page writes it, like pool/core, with its syntax tree."""
    files = sorted((ROOT / "poollib").rglob("*.py"))
    return {str(file.relative_to(ROOT / "poollib"))[:-3]: ast.parse(file.read_text()) for file in files}


ROOMS = rooms()
every_room = pytest.mark.parametrize("room", ROOMS)


@dataclass(frozen=True)
class Place:
    """Where a room stands: its row of the table, the number of its floor, and how far to the right of the arrows."""

    row: int
    floor: int
    step: int


def places() -> dict[str, Place]:
    """The table of floors."""
    found = {}
    cells = re.findall(r"   \* - (\d) \w[\w ]*\n     - (.*?)\n     - ", DESIGN, re.S)
    for row, (floor, cell) in enumerate(cells):
        for run in cell.split(";"):
            for step, group in enumerate(run.split("<-")):
                found.update({room: Place(row, int(floor), step) for room in re.findall(r"``([\w/]+)``", group)})
    return found


PLACES = places()


def imports_of(room: str) -> set[str]:
    """The rooms that a room imports, those for types and those inside functions too."""
    package = ["poollib", *room.split("/")][:-1]
    found: set[str] = set()
    for node in ast.walk(ROOMS[room]):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            path = [*base, *(node.module.split(".") if node.module else [])]
            found |= set(filter(None, (room_named([*path, alias.name]) or room_named(path) for alias in node.names)))
        elif isinstance(node, ast.Import):
            found |= set(filter(None, (room_named(alias.name.split(".")) for alias in node.names)))
    return found - {room}


def room_named(path: list[str]) -> str | None:
    """The room that a dotted path within poollib names, or None."""
    if path[:1] != ["poollib"]:
        return None
    name = "/".join(path[1:])
    return next((room for room in (name, f"{name}/__init__".lstrip("/")) if room in ROOMS), None)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def depth(node: ast.AST) -> int:
    """How many blocks stand inside each other below a node; functions inside it start anew, elif counts once."""
    deepest = 0
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, (ast.FunctionDef, ast.ClassDef, ast.Lambda)) or not isinstance(child, ast.AST):
                continue
            is_elif = name == "orelse" and isinstance(node, ast.If) and isinstance(child, ast.If)
            is_block = isinstance(child, (ast.If, ast.For, ast.While, ast.With, ast.Try)) and not is_elif
            deepest = max(deepest, depth(child) + is_block)
    return deepest


def test_the_design_lists_every_room_and_no_other() -> None:
    listed = set(re.findall(r"^     ([\w/]+)\.py  ", DESIGN, re.M))
    differing = listed ^ {room for room in ROOMS if not room.endswith("/__init__")}
    assert not differing, "docs/design.rst, the list of rooms"


def test_every_room_stands_on_a_floor() -> None:
    differing = set(PLACES) ^ set(ROOMS)
    assert not differing, "docs/design.rst, the table of floors"


@every_room
def test_a_room_imports_only_from_below_or_from_the_left(room: str) -> None:
    here = PLACES[room]
    for other in imports_of(room):
        there = PLACES[other]
        beside = there.row == here.row and there.step < here.step
        assert there.floor < here.floor or beside, f"{room} imports {other}"


def test_lending_knows_nothing_of_http_and_an_exchange_nothing_of_lending() -> None:
    for room in ROOMS:
        if room.startswith("pool/"):
            outside = {other for other in imports_of(room) if not other.startswith("pool/")}
            assert outside <= {"exceptions", "logs", "trace", "values"}, room
        elif PLACES[room].floor == 3:
            assert not any(other.startswith("pool/") for other in imports_of(room)), room


def test_no_rooms_import_each_other_in_a_ring() -> None:
    graph = {room: imports_of(room) for room in ROOMS}
    graphlib.TopologicalSorter(graph).prepare()


@every_room
def test_a_room_needs_the_standard_library_and_little_else(room: str) -> None:
    tops = {
        (alias.name if isinstance(node, ast.Import) else str(node.module)).partition(".")[0]
        for node in ast.walk(ROOMS[room])
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)
        for alias in node.names
    }
    # compression.zstd came with Python 3.14.
    assert tops <= sys.stdlib_module_names | PACKAGES | {"poollib", "compression"}


@every_room
def test_a_room_says_what_it_is_for(room: str) -> None:
    assert ast.get_docstring(ROOMS[room])


@every_room
def test_functions_stay_short_and_flat(room: str) -> None:
    for function in functions(ROOMS[room]):
        body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
        assert lines <= LONGEST_LINES, f"{room}.{function.name} has {lines} lines"
        assert depth(function) <= DEEPEST, f"{room}.{function.name} is {depth(function)} deep"


#: What gevent and eventlet replace in the standard library; a name bound at import stays what it was before.
REPLACED = {
    "threading": {"Lock", "RLock", "Condition", "Event", "Semaphore", "Thread", "local", "get_ident", "current_thread"},
    "queue": {"SimpleQueue"},
    "time": {"sleep"},
    "select": {"select", "poll", "epoll", "kqueue"},
    "selectors": {"DefaultSelector", "EpollSelector", "PollSelector", "SelectSelector"},
    "socket": {"create_connection", "getaddrinfo", "gethostbyname", "socketpair", "fromfd"},
    "ssl": {"wrap_socket"},
    "os": {"fork", "waitpid", "read", "write"},
}


@every_room
def test_what_monkey_patches_replace_is_looked_up_when_it_is_used(room: str) -> None:
    """gevent or eventlet patched after the import: threads would wait for locks that only other threads release."""
    bound = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ROOMS[room])
        if isinstance(node, ast.ImportFrom) and not node.level
        for alias in node.names
        if alias.name in REPLACED.get(node.module or "", ())
    }
    assert not bound
