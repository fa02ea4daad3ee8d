"""The rooms' loggers: one for each room that has something to say, silent until somebody listens to ``poollib``.

A room takes its own as ``log = logger(__name__)``; whoever wants to see records adds a handler to ``poollib``, as
``shortcuts.add_stderr_logger`` does. Names in urllib3's place are ``compat``'s business.
"""

from __future__ import annotations

import logging

# Without a handler of the library, `logging` would print warnings on standard error where a program sets up nothing.
logging.getLogger("poollib").addHandler(logging.NullHandler())


def logger(name: str) -> logging.Logger:
    """The logger of that name."""
    return logging.getLogger(name)
