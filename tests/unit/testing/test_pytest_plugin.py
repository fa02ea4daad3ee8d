"""The fixture of poollib.testing, as a project names it; what it costs those who do not use it."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

TESTS = """
import sys

import poollib


def test_nothing_is_loaded_before_it_is_asked_for():
    loaded = {name for name in sys.modules if name.startswith("poollib")}
    assert loaded == {"poollib", "poollib.testing", "poollib.testing.pytest_plugin"}


def test_answered(fake_http):
    fake_http.add("GET", "http://a.example/")
    assert poollib.request("GET", "http://a.example/").status == 200


def test_not_made(fake_http):
    fake_http.add("GET", "http://a.example/")
"""


def run(code: list[str], folder: Path) -> str:
    env = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    found = subprocess.run([sys.executable, *code], cwd=folder, capture_output=True, text=True, timeout=60, env=env)
    return found.stdout + found.stderr


def test_the_fixture_serves_a_test_and_checks_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    printed = run(["-m", "pytest", "-p", "poollib.testing.pytest_plugin", "-p", "no:cacheprovider", "-q"], tmp_path)
    assert "3 passed, 1 error" in printed
    assert "not made: GET http://a.example/ (0 of 1 given)" in printed


def test_no_entry_point_has_pytest_rewrite_poollib_in_every_run() -> None:
    """pytest marks all modules of such a distribution, whose loader then has no ``get_code`` for runpy."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert list(config["options.entry_points"]) == ["console_scripts"]


def test_a_plain_run_of_poollib_loads_nothing_of_it(tmp_path: Path) -> None:
    code = "import sys, poollib; poollib.Client('http://a'); print([m for m in sys.modules if 'poollib.testing' in m])"
    assert run(["-c", code], tmp_path) == "[]\n"
