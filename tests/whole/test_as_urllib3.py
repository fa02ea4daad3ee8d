"""`python -m poollib as-urllib3` runs the tests of urllib3's private names, which need no library but pytest."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_private_names_work_in_a_process_where_poollib_is_urllib3() -> None:
    """The rest of ``tests/compat`` needs packages that the everyday environment has not (docs/testing.rst)."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/compat/test_private_names.py"]
    command = [sys.executable, "-m", "poollib", "as-urllib3", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"urllib3.connectionpool was {ROOT / 'poollib' / 'connectionpool.py'}" in done.stdout
    assert " passed" in done.stdout
