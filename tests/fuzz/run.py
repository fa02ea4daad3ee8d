"""Fuzz one target with atheris, guided by coverage, for as long as you like.

    pip install -e '.[fuzz]'
    python tests/fuzz/run.py head -max_total_time=600 tests/fuzz/corpus/head

Targets: head, chunks, response, multipart, request, url, redirect, events, retry_after.  What stands behind the
target goes to libFuzzer: a folder of inputs (new ones are written to the first), ``-runs=N``, ``-max_total_time=S``.
A find is an exception that is not poollib's, a verdict that depends on how bytes are cut, a hang (``-timeout=S``) or
memory (``-rss_limit_mb=N``); its input is written to a file, which goes into the corpus together with the fix.
"""

from __future__ import annotations

import pathlib
import sys

import atheris

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["poollib"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"which target? {', '.join(TARGETS)}")
    atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=1024", "-max_len=4096", *sys.argv[2:]], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
