"""What the reference's table of keywords must say, as the signatures and the keyword tables have it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import poollib
from poollib.client import keyword_types as types
from poollib.pool.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/keywords.rst"

_ALIASES = {
    "TimeoutArgument": "Timeout | float | None",
    "RetriesArgument": "Retry | bool | int | None",
    "PemOrPath": "str | os.PathLike[str] | bytes",
    "FilePath": "str | os.PathLike[str]",
    "Body": "Buffer | str | SupportsRead | Iterable[Buffer | str]",
    "Fields": "_TYPE_FIELDS",
    "int | _TYPE_FAILEDTELL | None": "int | None",
    "_TYPE_FIELDS": "Mapping[str, FieldValue] | Iterable[tuple[str, FieldValue] | RequestField]",
}


def shown_type(annotation: str) -> str:
    """An annotation as the page has it: aliases written out."""
    for name, meant in _ALIASES.items():
        annotation = re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)", meant, annotation)
    return " | ".join(dict.fromkeys(re.split(r" \| (?![^\[]*\])", annotation)))


def _parameters(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function).parameters
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: parameter
        for name, parameter in found.items()
        if parameter.kind in kinds and name not in ("self", "method", "url", "host", "port") and name[0] != "_"
    }


_SIGNATURES = {
    "manager": (poollib.PoolManager.__init__,),
    "pool": (poollib.HTTPConnectionPool.__init__, poollib.HTTPSConnectionPool.__init__),
    "request": (poollib.HTTPConnectionPool.request, poollib.HTTPConnectionPool.urlopen),
}
_TABLES = {
    "manager": (types.ManagerKeywords,),
    "pool": (types.PoolKeywords,),
    "request": (types.RequestKeywords, types.ResponseKeywords),
}


def keywords() -> dict[str, tuple[str, str]]:
    """Each keyword's type as it is shown, and where it may stand: "manager, pool, request" or some of these."""
    shown: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    for place in _SIGNATURES:
        here: dict[str, str] = {}
        for function in _SIGNATURES[place]:
            here.update({name: found.annotation for name, found in _parameters(function).items()})
        for table in _TABLES[place]:
            for name, annotation in inspect.get_annotations(table).items():  # those of its bases, too
                here[name] = getattr(annotation, "__forward_arg__", str(annotation))
        for name, annotation in here.items():
            shown.setdefault(name, shown_type(annotation))
            places.setdefault(name, []).append(place)
    return {name: (shown[name], ", ".join(places[name])) for name in shown}


def defaults() -> dict[str, str]:
    """The default of each keyword that a signature or the pool's settings give one."""
    found = {name: repr(value) for name, value in Settings._field_defaults.items()}
    for functions in _SIGNATURES.values():
        for function in functions:
            for name, parameter in _parameters(function).items():
                if parameter.default is not inspect.Parameter.empty and name not in ("timeout",):
                    found[name] = repr(parameter.default)
    return found


def rows() -> list[tuple[str, ...]]:
    """The page's rows: keyword, meaning, type, default, unit, where, guide; without the markup of code."""
    text = PAGE.read_text()
    found = re.findall(r"^   \* - (.+(?:\n +[^-* ].*)*)((?:\n     -.*(?:\n       .*)*)+)", text, re.M)
    table = []
    for first, others in found:
        cells = [" ".join(cell.split()) for cell in re.split(r"\n     - ?", others)[1:]]
        table.append(tuple(cell.replace("``", "") for cell in (first, *cells)))
    return table[1:]
