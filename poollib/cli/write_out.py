r"""``-w``: a line of the caller's making about a transfer, with figures in it.

``transfer`` hands over the figures; the format is curl's: ``%{name}``, ``%header{name}``, ``%%``, ``\n``, ``\r``,
``\t``, ``%{stdout}`` and ``%{stderr}``. Names that nobody knows are told once on standard error, and stand for nothing.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from ..base.headers import HTTPHeaderDict
from .terminal import say

_piece = re.compile(r"%%|%\{([^}]*)\}|%header\{([^}]*)\}|\\([nrt\\])")


class Line(NamedTuple):
    """What is to be printed, on standard output and on standard error."""

    out: str
    err: str


def written_out(text: str, figures: dict[str, str | int | float], headers: HTTPHeaderDict) -> Line:
    """The format with the figures in place."""
    parts: dict[str, list[str]] = {"stdout": [], "stderr": []}
    to, last = "stdout", 0
    for match in _piece.finditer(text):
        parts[to].append(text[last : match.start()])
        last = match.end()
        if match[1] in parts:
            to = match[1]
        else:
            parts[to].append(_meaning(match, figures, headers))
    parts[to].append(text[last:])
    return Line("".join(parts["stdout"]), "".join(parts["stderr"]))


def _meaning(match: re.Match[str], figures: dict[str, str | int | float], headers: HTTPHeaderDict) -> str:
    name, header, escape = match.groups()
    if escape:
        return {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}[escape]
    if header is not None:
        return ", ".join(headers.getlist(header)[:1])
    if name is None:
        return "%"
    if name == "json":
        return json.dumps(figures)
    if name == "header_json":
        return json.dumps({field.lower(): headers.getlist(field) for field in headers})
    if name not in figures:
        say(f"poollib: -w knows no %{{{name}}}; it knows {', '.join(sorted(figures))}")
        return ""
    value = figures[name]
    return f"{value:.6f}" if isinstance(value, float) else f"{value:03d}" if name.endswith("_code") else str(value)
