"""Print how poollib's interface differs from the installed urllib3's, by looking at both; 1 if docs don't name it.

    python tests/compat/compare_api.py [--all]

Names, classes and their bases, methods, properties, signatures with defaults, constants: of every module of urllib3
that poollib offers.  What differs is looked up in docs/differences.rst, in the list under "Names that differ"; only
what stands there may differ.  ``--all`` prints what is allowed to differ, too.  Runs two interpreters, one on each.
"""

from __future__ import annotations

import argparse
import enum
import importlib
import inspect
import json
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DIFFERENCES = ROOT / "docs" / "differences.rst"

MODULES = [
    "", "_base_connection", "_collections", "_request_methods", "_version", "connection", "connectionpool", "contrib",
    "contrib.socks", "exceptions", "fields", "filepost", "http2", "http2.probe", "poolmanager", "response", "util",
    "util.connection", "util.proxy", "util.request", "util.response", "util.retry", "util.ssl_",
    "util.ssl_match_hostname", "util.ssltransport", "util.timeout", "util.url", "util.util", "util.wait",
]  # fmt: skip

# Values that are the machine's or the release's, not the interface's.
NOT_COMPARED = {"__version__", "annotations", "log", "sys", "t", "_unused_module_brotli", "_unused_module_zstd"}
# What object gives every class.
GIVEN = set(dir(object)) | {"__dict__", "__weakref__", "__module__", "__doc__", "__slots__", "__annotations__",
    "__abstractmethods__", "_abc_impl", "__static_attributes__", "__firstlineno__", "__parameters__",
    "__orig_bases__", "__match_args__", "_field_defaults", "__hash__", "__annotate__", "__annotate_func__",
    "__annotations_cache__"}  # fmt: skip


def interface(root: str, reference: dict[str, str] | None) -> dict[str, str]:
    """What one of the two offers: a description by dotted name.

    ``reference``: what the other one has, whose names are asked for; None for the reference itself, whose classes are
    described only where they are defined.
    """
    found: dict[str, str] = {}
    for path in MODULES:
        name = f"{root}.{path}" if path else root
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            found[path] = f"ImportError {error}"
            continue
        for attribute in _names(path, module, reference):
            if attribute.startswith("__") or attribute in NOT_COMPARED or not hasattr(module, attribute):
                continue
            value = getattr(module, attribute)
            if reference is None and isinstance(value, type) and value.__module__ != module.__name__:
                found[f"{path}.{attribute}".lstrip(".")] = f"class {value.__name__}"
            else:
                describe(f"{path}.{attribute}".lstrip("."), value, found, own=reference is None)
    return found


def _names(path: str, module: types.ModuleType, reference: dict[str, str] | None) -> list[str]:
    prefix = f"{path}." if path else ""
    asked = {name[len(prefix) :].partition(".")[0] for name in reference or () if name.startswith(prefix)}
    return sorted(asked) if reference is not None else dir(module)


def describe(dotted: str, value: Any, found: dict[str, str], own: bool) -> None:
    """Write down what ``value`` is; of a class all its members, or with ``own`` those of its own."""
    if re.search(r"(^|\.)(_TYPE_(?!DEFAULT|FAILED)|ValidHTTPHeaderSource|_WriteBuffer|_ReturnValue)", dotted):
        found[dotted] = "type alias"
    elif isinstance(value, type):
        found[dotted] = f"class {value.__name__}"
        if not _is_library(value):
            return
        found[f"{dotted}()"] = _signature(value)
        found[f"{dotted} bases"] = ", ".join(_bases(value))
        for name in dir(value):
            if name in GIVEN or ((own or name.startswith("__")) and name not in vars(value)):
                continue
            if _defining(value, name) is None:
                continue
            found[f"{dotted}.{name}"] = _member(inspect.getattr_static(value, name), name)
    elif isinstance(value, types.ModuleType):
        found[dotted] = "module"
    elif callable(value) and not isinstance(value, enum.Enum) and hasattr(value, "__name__"):
        found[dotted] = f"callable {_signature(value)}"
    else:
        found[dotted] = _constant(value)


def _is_library(value: type) -> bool:
    return value.__module__.partition(".")[0] in ("urllib3", "poollib")


def _defining(value: type, name: str) -> type | None:
    """The library's class that gives ``value`` this member; None: it comes from elsewhere, as from ``http.client``."""
    for base in value.__mro__:
        if name in vars(base):
            return base if _is_library(base) else None
    return None


def _bases(value: type) -> list[str]:
    """The names of all classes below ``value`` in order; private helpers of an implementation do not count."""
    skipped = {"Generic", "Protocol", "object", "Mapping", "Collection", "Sized", "Iterable", "Container"}
    return [base.__name__ for base in value.__mro__[1:] if base.__name__ not in skipped and base.__name__[0] != "_"]


def _member(value: Any, name: str) -> str:
    if isinstance(value, property):
        return "property" + (" (settable)" if value.fset else "")
    if isinstance(value, (staticmethod, classmethod)):
        return f"{type(value).__name__} {_signature(value.__func__)}"
    if callable(value) and not isinstance(value, type) and not isinstance(value, enum.Enum):
        return f"method {_signature(value)}"
    if type(value).__name__ in ("member_descriptor", "getset_descriptor", "_tuplegetter"):
        return "field"
    return _constant(value)


def _signature(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(?)"
    parameters = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.empty if parameter.default is parameter.empty else _Shown(parameter.default),
        )
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


class _Shown:
    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return _constant(self._value)


def _constant(value: Any) -> str:
    """A value as both sides would write it: no addresses, no order of sets, no module names."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}({sorted(map(_constant, value))})"
    if isinstance(value, re.Pattern):
        return "pattern"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_constant(k)}: {_constant(v)}" for k, v in value.items()) + "}"
    if isinstance(value, type):
        return f"class {value.__name__}"
    text = repr(value)
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    text = re.sub(r"\b(urllib3|poollib)(\.\w+)*\.", "", text)
    return text if len(text) < 300 else f"{type(value).__name__} of {len(text)} characters"


def allowed() -> list[str]:
    """Patterns of names that may differ: the literals under "Names that differ" in docs/differences.rst."""
    if not DIFFERENCES.exists():
        return []
    _, _, names = DIFFERENCES.read_text().partition("Names that differ\n")
    return re.findall(r"``([^`]+)``", names)


def is_allowed(name: str, patterns: list[str]) -> bool:
    """Whether a pattern names it: the name itself, what is inside of it, or with ``*`` any ending."""
    for pattern in patterns:
        if pattern.endswith("*"):
            if name.startswith(pattern[:-1]):
                return True
        elif name == pattern or name.startswith((f"{pattern}.", f"{pattern}()", f"{pattern} ")):
            return True
    return False


def compare(ours: dict[str, str], theirs: dict[str, str]) -> list[tuple[str, str, str]]:
    """Names that urllib3 has and poollib has not or not so, with both descriptions."""
    rows = []
    for name, description in sorted(theirs.items()):
        own = ours.get(name, "-")
        if own != description and not (name.endswith(" bases") and _has_bases(own, description, name)):
            rows.append((name, description, own))
    return rows


def _has_bases(own: str, theirs: str, name: str) -> bool:
    """Whether the bases of theirs are among our own in the same order; a class may have further ones."""
    bases = iter(own.split(", "))
    return all(base in bases or f".{base} bases" in f".{name}" for base in theirs.split(", "))


def _collect(reference: dict[str, str] | None) -> dict[str, str]:
    words = [sys.executable, "-W", "ignore", __file__, "--dump"] + (["--poollib"] if reference is not None else [])
    output = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, input=json.dumps(reference)).stdout
    collected: dict[str, str] = json.loads(output)
    return collected


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--all", action="store_true", help="print what docs/differences.rst names, too")
    words.add_argument("--dump", action="store_true", help=argparse.SUPPRESS)
    words.add_argument("--poollib", action="store_true", help=argparse.SUPPRESS)
    options = words.parse_args()
    if options.dump:
        if options.poollib:
            sys.path.insert(0, str(ROOT))
            import poollib

            poollib.install_as_urllib3()
        print(json.dumps(interface("urllib3", json.load(sys.stdin))))
        return 0
    theirs = _collect(None)
    patterns = allowed()
    unnamed = 0
    for name, urllib3, poollib in compare(_collect(theirs), theirs):
        known = is_allowed(name, patterns)
        unnamed += not known
        if options.all or not known:
            print(f"{'' if not known else '(named) '}{name}\n    urllib3: {urllib3}\n    poollib: {poollib}")
    print(f"{len(theirs)} names compared, {unnamed} differ that docs/differences.rst does not name")
    return 1 if unnamed else 0


if __name__ == "__main__":
    raise SystemExit(main())
