"""The package is as docs/design.rst describes it: its modules, its layers, and the measures of docs/style.rst.

The page is the one place where modules and layers are written down; this file only reads it.
"""

from __future__ import annotations

import ast
import graphlib
import pathlib
import re
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "poollib"
DESIGN = (ROOT / "docs/design.rst").read_text()
# docs/style.rst: a function's longest body, how deep its blocks may stand, how many files a folder may hold.
LONGEST_LINES, DEEPEST, MOST_FILES = 60, 4, 14
# Packages that a module may import besides the standard library, all but the first optional.
PACKAGES = {
    "certifi",
    "brotli",
    "brotlicffi",
    "backports",
    "idna",
    "pytest",
    "rich",
    "trustme",
    "truststore",
    "prometheus_client",
    "opentelemetry",
}
# What a pool of anything needs of `base`.
POOLS_BASE = ("after_fork", "exact_values", "loggers", "trace")
# Layers that import nothing from the package's top folder but `poollib.exceptions`.
INNER = {"base", "http1", "policy", "net", "pool", "exchange", "client"}

MODULES = {str(file.relative_to(PACKAGE))[:-3]: ast.parse(file.read_text()) for file in sorted(PACKAGE.rglob("*.py"))}
every_module = pytest.mark.parametrize("module", MODULES)


def layers() -> dict[str, int]:
    """The number of each layer by the name of a folder or of a top module, as the page's table has them."""
    rows = re.findall(r"   \* - (\d+)\n     - (.*?)\n     - ", DESIGN, re.S)
    return {name: int(number) for number, cell in rows for name in re.findall(r"``(\w+)/?``", cell)}


LAYERS = layers()


def part_of(module: str) -> str:
    """What stands in the table of layers for a module: its folder, or itself."""
    return module.partition("/")[0]


def imports_of(module: str) -> set[str]:
    """The modules that a module imports, those for types and those inside functions too."""
    package = ["poollib", *module.split("/")][:-1]
    found: set[str | None] = set()
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            path = [*base, *(node.module.split(".") if node.module else [])]
            found |= {module_named([*path, alias.name]) or module_named(path) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {module_named(alias.name.split(".")) for alias in node.names}
    return {name for name in found if name is not None} - {module}


def module_named(path: list[str]) -> str | None:
    """The module that a dotted path within poollib names, or None."""
    if path[:1] != ["poollib"]:
        return None
    name = "/".join(path[1:])
    return next((known for known in (name, f"{name}/__init__".lstrip("/")) if known in MODULES), None)


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


def listed_modules() -> set[str]:
    """The modules that the page's tree lists, each with its folder."""
    tree = DESIGN.split(".. code-block:: text\n", 1)[1].split("\n\n\n", 1)[0].split("\nLayers\n", 1)[0]
    found, folder = set(), ""
    for line in tree.splitlines():
        if match := re.match(r"     (\w+)/(?: |$)", line):
            folder = f"{match[1]}/"
        elif match := re.match(r"       (\w+)(?: {2,}\S|$)", line):
            found.add(folder + match[1])
        elif match := re.match(r"     (\w+)(?: {2,}\S|$)", line):
            found.add(match[1])
    return found


def test_the_design_lists_every_module_and_no_other() -> None:
    differing = listed_modules() ^ {module for module in MODULES if not module.endswith("/__init__")}
    assert not differing, "docs/design.rst, the tree of modules"


def test_every_folder_and_top_module_belongs_to_a_layer() -> None:
    differing = set(LAYERS) ^ {part_of(module) for module in MODULES}
    assert not differing, "docs/design.rst, the table of layers"


@every_module
def test_imports_point_down(module: str) -> None:
    here = part_of(module)
    for other in imports_of(module):
        there = part_of(other)
        assert there == here or LAYERS[there] < LAYERS[here] or (LAYERS[there] == LAYERS[here] == 1), (
            f"{module} imports {other}"
        )


def test_no_inner_layer_imports_the_public_classes() -> None:
    for module in MODULES:
        if part_of(module) in INNER:
            top = {other for other in imports_of(module) if "/" not in other}
            assert top <= {"exceptions"}, module


def test_the_pool_knows_nothing_of_http_and_an_exchange_nothing_of_pools() -> None:
    for module in MODULES:
        outside = {other for other in imports_of(module) if part_of(other) != part_of(module)}
        if part_of(module) == "pool":
            assert outside <= {"exceptions", *(f"base/{name}" for name in POOLS_BASE)}, module
        elif part_of(module) in ("exchange", "connection", "response"):
            assert not any(part_of(other) == "pool" for other in outside), module


def test_no_modules_import_each_other_in_a_ring() -> None:
    graphlib.TopologicalSorter({module: imports_of(module) for module in MODULES}).prepare()


@every_module
def test_a_module_needs_the_standard_library_and_little_else(module: str) -> None:
    tops = {
        (alias.name if isinstance(node, ast.Import) else str(node.module)).partition(".")[0]
        for node in ast.walk(MODULES[module])
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)
        for alias in node.names
    }
    # compression.zstd came with Python 3.14; typing_extensions is for type checkers, which bring it.
    assert tops <= sys.stdlib_module_names | PACKAGES | {"compression", "typing_extensions"}


@every_module
def test_a_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(MODULES[module])


def test_no_folder_is_crowded() -> None:
    for folder in {file.parent for file in PACKAGE.rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) <= MOST_FILES, folder


@every_module
def test_functions_stay_short_and_flat(module: str) -> None:
    for function in functions(MODULES[module]):
        body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
        assert lines <= LONGEST_LINES, f"{module}.{function.name} has {lines} lines"
        assert depth(function) <= DEEPEST, f"{module}.{function.name} is {depth(function)} deep"


def test_unit_tests_mirror_the_folders() -> None:
    """A test beside a module's folder of the same name; a module may have several test files, or share another's."""
    folders = {file.parent.name for file in (ROOT / "tests/unit").glob("*/test_*.py")}
    assert folders <= {part_of(module) for module in MODULES}
    for file in (ROOT / "tests/unit").glob("*/test_*.py"):
        stem = file.stem.removeprefix("test_")
        names = {module.partition("/")[2] for module in MODULES if part_of(module) == file.parent.name}
        assert any(stem == name or stem.startswith(f"{name}_") for name in names), file
