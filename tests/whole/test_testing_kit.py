"""The sample project of docs/testing_kit.rst: its own tests, run as its owner runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_sample_projects_tests_pass() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    # By their own settings, as they would be elsewhere: this project's stop at docs/examples.
    command += ["-c", os.devnull, "--rootdir", ".", "-W", "error"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    folder = ROOT / "docs" / "examples" / "testing_kit"
    found = subprocess.run([*command, "."], cwd=folder, capture_output=True, text=True, timeout=60, env=env)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "16 passed" in found.stdout
