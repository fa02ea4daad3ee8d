"""What imports cost: CPU of a fresh process with one statement, less that of an empty one; the least of all rounds.

Run ``python -m tests.benchmarks.imports [ROUNDS]`` in the project's root; the statements take turns, urllib3's where it
is installed.  The package alone imports no module, so the line that counts is that of a manager made.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys

STATEMENTS = [
    "import http.client, ssl, logging",
    "import poollib",
    "from poollib import PoolManager; PoolManager()",
    "import urllib3",
    "from urllib3 import PoolManager; PoolManager()",
]


def cpu_ms(statement: str) -> float:
    """CPU of a process that runs the statement, compiled files at hand."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen([sys.executable, "-c", statement], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{statement!r} failed")
    return (used.ru_utime + used.ru_stime) * 1e3


def main(rounds: int = 20) -> None:
    """Measure and print."""
    has_urllib3 = importlib.util.find_spec("urllib3") is not None
    statements = ["pass", *(one for one in STATEMENTS if has_urllib3 or "urllib3" not in one)]
    least = {statement: cpu_ms(statement) for statement in statements}  # compiles what is not compiled
    for _ in range(rounds):
        for statement in statements:
            least[statement] = min(least[statement], cpu_ms(statement))
    empty = least.pop("pass")
    print(f"CPU in ms beyond an empty process, CPython {platform.python_version()}, least of {rounds} rounds")
    for statement, ms in least.items():
        print(f"{max(0.0, ms - empty):7.1f}  {statement}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
