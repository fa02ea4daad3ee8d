"""The pytest plugin of these runs: writes the tests that are found, and what comes of each, as lines of JSON.

The lines go to the file that the variable OUTCOMES names, one write each, so that they are there even if the process
ends in the middle of a test.  It runs in the environment of the suite, where the project's test packages are not.

A test counts as private if its source, or that of a method it calls on ``self``, has an attribute or an imported name
with one leading underscore that is not its own class's, or a text that names such an attribute, as for ``mock.patch``;
all others are public.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        for item in session.items:
            _note(item.nodeid, "found", private=is_private(item))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _note(report.nodeid, "failed", _said(report.longreprtext))
        _note(report.nodeid, "done")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    state = "passed" if hasattr(report, "wasxfail") else report.outcome
    _note(report.nodeid, state, _said(report.longreprtext) if state == "failed" else "")


def pytest_runtest_logfinish(nodeid: str) -> None:
    _note(nodeid, "done")


def _said(text: str) -> str:
    """The lines of a native traceback that name an exception or go on with its words."""
    return " | ".join(re.findall(r"^(?!Traceback|During handling|The above exception)(\S.+)", text, re.MULTILINE))[:600]


def _note(test: str, state: str, message: str = "", private: bool = False) -> None:
    with open(os.environ["OUTCOMES"], "a") as notes:
        notes.write(json.dumps({"test": test, "state": state, "message": message, "private": private}) + "\n")


def is_private(item: pytest.Item) -> bool:
    """Whether a test touches a private name: the rule at the top of this file."""
    function = getattr(item, "function", None)
    cls = getattr(item, "cls", None)
    seen: set[str] = set()
    return function is not None and _touches_private(function, cls, seen)


def _touches_private(function: Any, cls: type | None, seen: set[str]) -> bool:
    seen.add(function.__name__)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):
        return False
    shared = getattr(function, "__globals__", {})
    if any(_is_private_node(node, shared) for node in ast.walk(tree)):
        return True
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_own(node.value)}
    helpers = [getattr(cls, name, None) for name in called - seen]
    return any(_touches_private(helper, cls, seen) for helper in helpers if inspect.isroutine(helper))


def _is_private_node(node: ast.AST, shared: dict[str, Any]) -> bool:
    if isinstance(node, ast.Name):
        return _has_underscore(node.id) and node.id in shared
    if isinstance(node, ast.Attribute):
        return _has_underscore(node.attr) and not _is_own(node.value)
    if isinstance(node, (ast.ImportFrom, ast.Import)):
        return any(_has_underscore(part) for alias in node.names for part in alias.name.split("."))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(re.fullmatch(r"(urllib3(\.\w+)*\.)?_[a-z]\w*", node.value))
    return False


def _is_own(value: ast.expr) -> bool:
    """Whether this is the test's own ``self`` or ``cls``, whose private names are its own."""
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def _has_underscore(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
