"""Break each promise of docs/security.rst once, in a copy, and see whether the tests that its row names notice.

    python -m tests.mutants                 all of them (some ten minutes)
    python -m tests.mutants http1 trailer   those whose row or file holds one of the words
    python -m tests.mutants --sample 400 --seed 7   one-place changes of the core instead, drawn at random: ``sample``

Exit status 1 if a mutant survives: then a test of its row is to be written, or the page to name another one. So, too,
if what a mutant changes is no longer in the code, or its row no longer on the page: then ``table`` is to follow.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from . import sample
from .page import ROOT, row_with
from .table import MUTANTS, Mutant

LIMIT_S = 100  # for the tests of one row; a mutant that hangs is one that was noticed
NO_TESTS = 5  # pytest's exit status where all are deselected
COPIED = ("poollib", "tests", "docs", "pyproject.toml", "setup.cfg", "README.rst", "CHANGES.rst", "LICENSE")


def main(words: list[str]) -> int:
    if "--sample" in words:
        return sample.main(words)
    chosen = [m for m in MUTANTS if not words or any(word in m.row or word in m.file for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        copy_project(copy)
        fitting = [mutant for mutant in chosen if fits(copy, mutant)]
        check_unbroken(copy, sorted({test for mutant in fitting for test in row_with(mutant.row).tests}))
        survived = [mutant for mutant in fitting if not report(copy, mutant)]
    print(f"{len(chosen)} mutants, {len(survived)} survived, {len(chosen) - len(fitting)} no longer fit")
    return bool(survived) or len(fitting) < len(chosen)


def fits(folder: pathlib.Path, mutant: Mutant) -> bool:
    """Whether the row is on the page, and what is changed in the code; what is wrong is printed."""
    try:
        row_with(mutant.row)
        mutant.applied_to((folder / mutant.file).read_text())
    except LookupError as error:
        print(f"NO LONGER FITS: {error}", flush=True)
        return False
    return True


def copy_project(folder: pathlib.Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def check_unbroken(folder: pathlib.Path, tests: list[str]) -> None:
    """The tests pass before anything is broken, and it is the copy that they import."""
    where = "import poollib; print(poollib.__file__)"
    shown = subprocess.run([sys.executable, "-c", where], **kw(folder), check=True).stdout  # type: ignore[call-overload]
    if not shown.startswith(str(folder)):
        raise SystemExit(f"the tests would import {shown.strip()}, not the copy in {folder}")
    failed, output = failures(folder, tests, 600 + LIMIT_S)
    if failed:  # once more: some tests look at the clock, and other work may have kept the machine
        failed, output = failures(folder, tests, 600 + LIMIT_S)
    if failed:
        raise SystemExit(f"unbroken code fails already:\n{output[-3000:]}")


def report(folder: pathlib.Path, mutant: Mutant) -> bool:
    """Run one mutant and print its line; whether it was noticed."""
    path = folder / mutant.file
    text = path.read_text()
    tests = row_with(mutant.row).tests
    begin = time.monotonic()
    path.write_text(mutant.applied_to(text))
    try:
        failed, _ = failures(folder, list(tests), LIMIT_S)
        if not failed:
            failed, _ = failures(folder, ["-m", "slow", *tests], 3 * LIMIT_S)
    finally:
        path.write_text(text)
    verdict = "killed by " + ", ".join(failed) if failed else "SURVIVED"
    print(
        f"{mutant.row[:60]} | {mutant.file}: {mutant.shown} | {verdict} ({time.monotonic() - begin:.0f} s)", flush=True
    )
    return bool(failed)


def failures(folder: pathlib.Path, tests: list[str], limit_s: float) -> tuple[list[str], str]:
    """The tests that failed, each once, and the output."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", "-x", *tests]
    try:
        done = subprocess.run(command, **kw(folder), timeout=limit_s)  # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        return ["the clock"], ""
    failed = sorted(set(re.findall(r"^(?:FAILED|ERROR) \S*?(?:::)?(\w+)(?:\[| |$)", done.stdout, re.MULTILINE)))
    if done.returncode not in (0, NO_TESTS) and not failed:
        failed = [f"exit status {done.returncode}"]
    return failed, done.stdout


def kw(folder: pathlib.Path) -> dict[str, object]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return {"cwd": folder, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
