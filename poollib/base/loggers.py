"""The modules' loggers: one for each module that has something to say, silent until somebody listens to ``poollib``.

A module takes its own as ``log = logger(__name__)``; whoever wants to see records adds a handler to ``poollib``, as
``api.add_stderr_logger`` does. Names in urllib3's place are ``compat``'s business. What is logged ends on screens
and in files, as do errors and reprs: :func:`shown_url` makes a URL fit for that, and no URL is shown but through it.
"""

from __future__ import annotations

import logging
import re

# Without a handler of the library, `logging` would print warnings on standard error where a program sets up nothing.
logging.getLogger("poollib").addHandler(logging.NullHandler())


def logger(name: str) -> logging.Logger:
    """The logger of that name."""
    return logging.getLogger(name)


_authority_starts = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//").match
_is_host = re.compile(r"(?:\[[^\[\]@]*\]|[^\[\]@:]+)(?::[0-9]+)?").fullmatch


def shown_url(url: object) -> str:
    """``url`` as text with ``***`` for user and password, whatever is wrong with it; "@" in a path is none of theirs.

    Where no host and port stand before the path, whoever wrote it may have meant something else by its "/", "?" or "#":
    then all up to the last "@" is hidden.
    """
    text = str(url)
    last = text.rfind("@")
    if last < 0 or (text[0] == "/" and text[:2] != "//"):
        return text
    match = _authority_starts(text)
    start = match.end() if match else 0
    ends = [end for end in (text.find(mark, start) for mark in "/?#") if end >= 0]
    end = min(ends, default=len(text))
    at = text.rfind("@", start, end)
    if not _is_host(text[at + 1 if at >= 0 else start : end]):
        at = last
    return text if at < 0 else f"{text[:start]}***{text[at:]}"
