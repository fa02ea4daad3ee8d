"""What a person sees at a terminal: messages, colours, JSON indented; and where standard output and error are closed.

Everything that goes to standard error goes through :func:`say`, since a closed one is None. Colours follow NO_COLOR
(no-color.org) and TERM. JSON is laid out by its tokens as they came, so that numbers, escapes and doubled names stay
what the server sent; nothing that can move a terminal's cursor is passed on with it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from typing import TextIO

from ..base.headers import HTTPHeaderDict

#: Longer JSON is printed as it comes.
PRETTY_BYTES = 1 << 20
_KEY, _STRING, _NUMBER, _WORD, _BOLD, _PLAIN = "\x1b[36m", "\x1b[32m", "\x1b[33m", "\x1b[35m", "\x1b[1m", "\x1b[0m"
_token = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+)', re.DOTALL)
_control = re.compile(r"[\x7f-\x9f]")


def say(line: str) -> None:
    """Print a line on standard error, if there is any that can be written."""
    if sys.stderr is not None:
        try:
            print(line.encode("utf-8", "backslashreplace").decode("utf-8"), file=sys.stderr, flush=True)
        except (OSError, UnicodeError):
            return


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at it; a stream that is None or closed is no terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def has_colours(stream: TextIO | None) -> bool:
    """Whether colours are welcome there."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")


def columns() -> int:
    """The terminal's width; COLUMNS if it is set, 80 where there is none."""
    fallback = 80
    for stream in (sys.stderr, sys.stdout):
        if is_terminal(stream) and "COLUMNS" not in os.environ:
            return os.get_terminal_size(stream.fileno()).columns or fallback
    return shutil.get_terminal_size((fallback, 24)).columns


def bar_block() -> str:
    """What bars are drawn with on standard error."""
    try:
        "█".encode(getattr(sys.stderr, "encoding", None) or "ascii")
    except UnicodeError:
        return "#"
    return "█"


def is_json(headers: HTTPHeaderDict) -> bool:
    """Whether a body says that it is JSON."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def head_bytes(text: bytes, coloured: bool) -> bytes:
    """A response's head, the names of its fields in bold if colours are welcome."""
    if not coloured:
        return text
    return re.sub(rb"(?m)^([^:\r\n ]+):", b"\x1b[1m\\1\x1b[0m:", text)


def pretty_json(body: bytes, coloured: bool) -> bytes | None:
    """The body laid out with two blanks a level; None if it is no JSON in UTF-8."""
    try:
        text = body.decode("utf-8")
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    lines: list[str] = []
    depth = 0
    tokens = [match[1] for match in _token.finditer(text.strip("\ufeff"))]
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        if token in "{[":
            depth += following not in "}]"
            lines.append(token if following in "}]" else token + _line(depth))
        elif token in "}]":
            is_empty = place > 0 and tokens[place - 1] in "{["
            depth -= not is_empty
            lines.append(token if is_empty else _line(depth) + token)
        elif token == ",":
            lines.append("," + _line(depth))
        elif token == ":":
            lines.append(": ")
        else:
            lines.append(_coloured(token, following == ":") if coloured else _visible(token))
    return ("".join(lines) + "\n").encode()


def _line(depth: int) -> str:
    return "\n" + "  " * depth


def _visible(token: str) -> str:
    return _control.sub(lambda match: f"\\u{ord(match[0]):04x}", token)


def _coloured(token: str, is_key: bool) -> str:
    if token.startswith('"'):
        colour = _KEY if is_key else _STRING
    else:
        colour = _WORD if token in ("true", "false", "null") else _NUMBER
    return f"{colour}{_visible(token)}{_PLAIN}"
