"""Sphinx's settings; `sphinx-build -W docs docs/_build/html` builds the pages."""

import pathlib
import re

_root = pathlib.Path(__file__).resolve().parent.parent

project = "poollib"
author = "poollib contributors"
copyright = "2026, poollib contributors"
release = re.findall(r'^VERSION: Final = "(.+)"', (_root / "poollib/base/version.py").read_text(), re.M)[0]

extensions = []
exclude_patterns = ["_build"]
nitpicky = True
html_theme = "furo"
html_title = f"poollib {release}"
