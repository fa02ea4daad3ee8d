"""What the package says of itself, in setup.cfg, the conda recipe, the install page and the workflows, agrees."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")
#: Extras that only contributors install.
WORKSHOP = {"test", "dev", "release", "fuzz", "docs", "dask"}


def lines(section: str, key: str) -> list[str]:
    """The lines of a setting."""
    return [line for line in SETTINGS[section][key].splitlines() if line]


def test_the_metadata_has_what_an_index_shows() -> None:
    metadata = SETTINGS["metadata"]
    assert metadata["license_expression"] == "MIT"
    assert metadata["version"] == "attr: poollib.base.version.VERSION"
    assert len(metadata["keywords"].split(",")) >= 5
    assert all(re.fullmatch(r"[\w ]+ = https://\S+", line) for line in lines("metadata", "project_urls"))


def test_the_conda_recipe_needs_what_the_package_needs() -> None:
    recipe = (ROOT / ".ci/conda/meta.yaml").read_text()
    python = f"python {SETTINGS['options']['python_requires']}"
    (run,) = re.findall(r"^  run:\n((?:    - .*\n)+)", recipe, re.M)
    assert re.findall(r"- (.*)", run) == [python, *lines("options", "install_requires")]
    (host,) = re.findall(r"^  host:\n((?:    - .*\n)+)", recipe, re.M)
    (built_with,) = re.findall(r"^requires = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.M)
    wanted = [text.replace(">", " >", 1) for text in re.findall(r'"([^"]+)"', built_with)]
    assert re.findall(r"- (.*)", host) == [python, "pip", *wanted]
    (script,) = lines("options.entry_points", "console_scripts")
    assert f"    - {script}\n" in recipe
    assert f"summary: {SETTINGS['metadata']['description']}\n" in recipe


def test_every_extra_for_users_stands_on_the_install_page() -> None:
    page = (ROOT / "docs/install.rst").read_text()
    extras = set(SETTINGS["options.extras_require"]) - WORKSHOP
    assert {name for name in extras if f"poollib[{name}]" not in page} == set()


def test_the_workflow_tries_every_python_that_the_metadata_names() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    versions = re.findall(r"Python :: (3\.\d+)$", SETTINGS["metadata"]["classifiers"], re.M)
    (matrix,) = re.findall(r'python: \[("3\.10".*)\]', workflow)
    assert re.findall(r'"([\d.]+)"', matrix) == versions
    assert "bash .ci/run" in workflow
