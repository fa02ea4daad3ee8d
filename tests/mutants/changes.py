"""Every one-place change that a seeded run may make to a module, found in its syntax tree.

``sample`` draws from them.  A change replaces one expression or statement by another: a comparison turned, and/or
swapped, a ``not`` or an ``if`` dropped or negated, a call statement, a ``raise`` or an assignment to an attribute left
out, a number off by one, a ``return`` that gives None, plus for minus, True for False, the other of min and max.
Left alone is what nobody could notice or what no test has to run: annotations, messages (f-strings), and what
pyproject.toml leaves out of the branch count.
"""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .page import ROOT

FOLDERS: Final = ("http1", "policy", "pool", "net", "exchange", "client")
#: Beginnings of what pyproject.toml leaves out of the branch count: for type checkers, or for other Pythons alone.
LEFT_OUT: Final = re.compile(
    r"if TYPE_CHECKING:|if not TYPE_CHECKING:|raise NotImplementedError$|if sys\.version_info|__slots__|__all__|"
    r"class \w+\(.*Protocol.*\):|if hasattr\(os, \"register_at_fork\"\)"
)
TURNED: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OTHER_SIGN: Final[dict[type[ast.operator], ast.operator]] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.FloorDiv(),
    ast.BitAnd: ast.BitOr(),
    ast.BitOr: ast.BitAnd(),
}
OTHER_NAME: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Change(NamedTuple):
    """What stands at bytes ``start:end`` of ``file`` becomes ``new``.

    ``within`` names the class and function; ``text`` is the line, ``number`` its number; ``shown`` tells the change.
    """

    file: str
    within: str
    text: str
    shown: str
    number: int
    start: int
    end: int
    new: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays the same when lines above it come and go."""
        return self[:4]

    def applied_to(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


def all_changes(root: pathlib.Path = ROOT) -> list[Change]:
    """The changes of all modules in scope, in the order of files and lines."""
    files = [path for folder in FOLDERS for path in sorted((root / "poollib" / folder).glob("*.py"))]
    return [change for path in files for change in changes_of(path.read_bytes(), str(path.relative_to(root)))]


def changes_of(source: bytes, file: str) -> list[Change]:
    """The changes of one module."""
    return list(_Finder(source, file).of(ast.parse(source), ""))


class _Finder:
    """Walks the tree of one module."""

    def __init__(self, source: bytes, file: str) -> None:
        self._file = file
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def of(self, node: ast.AST, within: str) -> Iterator[Change]:
        """The changes of a node and of all below it."""
        if isinstance(node, (ast.JoinedStr, ast.match_case)) or self._is_left_out(node):
            return
        for old, new, shown in _others(node):
            yield self._change(old, within, new, shown)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            within = f"{within}.{node.name}".lstrip(".")
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns", "decorator_list", "bases"):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from self.of(child, within)

    def _is_left_out(self, node: ast.AST) -> bool:
        return isinstance(node, ast.stmt) and LEFT_OUT.match(self._text(node)) is not None

    def _text(self, node: ast.stmt | ast.expr) -> str:
        """The line that a node begins in."""
        return self._lines[node.lineno - 1].decode().strip()

    def _change(self, old: ast.stmt | ast.expr, within: str, new: str, shown: str) -> Change:
        start = self._starts[old.lineno - 1] + old.col_offset
        end = self._starts[(old.end_lineno or 0) - 1] + (old.end_col_offset or 0)
        return Change(self._file, within, self._text(old), shown, old.lineno, start, end, new)


def _others(node: ast.AST) -> Iterator[tuple[ast.stmt | ast.expr, str, str]]:
    """Which part of a node to replace, by what, and the change in a line."""
    if isinstance(node, ast.expr):
        for other in _other_expressions(node):
            yield node, f"({ast.unparse(other)})", f"{_short(node)} -> {_short(other)}"
    elif isinstance(node, ast.If):
        yield node.test, "False", f"if {_short(node.test)} -> if False"
        yield node.test, f"not ({ast.unparse(node.test)})", f"if {_short(node.test)} -> if not"
    elif isinstance(node, ast.stmt):
        for new in _other_statements(node):
            yield node, new, f"{_short(node)} -> {new}"


def _other_expressions(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in TURNED[type(node.ops[0])]:
            yield ast.Compare(node.left, [other()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in OTHER_SIGN and not _is_text(node):
        yield ast.BinOp(node.left, OTHER_SIGN[type(node.op)], node.right)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.Constant):
        yield from _other_constants(node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OTHER_NAME:
        yield ast.Call(ast.Name(OTHER_NAME[node.func.id]), node.args, node.keywords)


def _other_constants(value: object) -> Iterator[ast.expr]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield ast.Constant(value + 1)


def _is_text(node: ast.BinOp) -> bool:
    """Whether text is joined: minus would be an error at once."""
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, (str, bytes)))
        for side in (node.left, node.right)
    )


def _other_statements(node: ast.stmt) -> Iterator[str]:
    if _is_left_out_whole(node):
        yield "pass"
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield "return None"


def _is_left_out_whole(node: ast.stmt) -> bool:
    """Whether a run without this statement is worth a look; without an assignment to a name it would end at once."""
    if isinstance(node, ast.Assign):
        return all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    return isinstance(node, (ast.Raise, ast.AugAssign, ast.Delete))


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 45 else text[:42] + "..."
