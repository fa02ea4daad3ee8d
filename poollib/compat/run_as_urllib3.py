"""``python -m poollib as-urllib3``: run a program with poollib in urllib3's place.

It takes a script or ``-m MODULE`` with arguments, installs poollib as urllib3 in this process, and runs the program as
``python`` would have run it.  What the installation does is ``poollib.compat``'s; processes that the program starts do
not inherit it.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence

from . import install_as_urllib3

USAGE = """usage: python -m poollib as-urllib3 SCRIPT [ARGUMENT ...]
       python -m poollib as-urllib3 -m MODULE [ARGUMENT ...]

Run a program whose `import urllib3` gives poollib, in this process only."""


def main(words: Sequence[str]) -> int:
    """0 when the program ran to its end, 2 for wrong arguments; SystemExit as the program raises it."""
    if words and words[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    is_module = bool(words) and words[0] == "-m"
    program = list(words[1:] if is_module else words)
    if not program or program[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    install_as_urllib3()
    sys.argv[:] = program
    if is_module:
        _look_first(os.getcwd())
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        _look_first(os.path.dirname(os.path.abspath(program[0])))
        runpy.run_path(program[0], run_name="__main__")
    return 0


def _look_first(folder: str) -> None:
    """Let imports look there first, as ``python`` does for the program that it runs."""
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
