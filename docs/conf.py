"""Sphinx's settings; `sphinx-build -W docs docs/_build/html` builds the pages."""

from __future__ import annotations

import builtins
import collections.abc
import pathlib
import re
import sys
import types
import typing

if typing.TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_root = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_root))

project = "poollib"
author = "poollib contributors"
copyright = "2026, poollib contributors"
release = re.findall(r'^VERSION: Final = "(.+)"', (_root / "poollib/base/version.py").read_text(), re.M)[0]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
exclude_patterns = ["_build", "figures/*.rst"]
nitpicky = True
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_search_scorer = str(_root / "docs/_static/scorer.js")
html_title = f"poollib {release}"

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 60  # a parameter a line where a signature is longer: a phone's screen takes it
# A copy of the names that are linked to, so that no build asks the network; see trim_inventory.py.
intersphinx_mapping = {"python": ("https://docs.python.org/3", "python.inv")}
nitpick_ignore_regex = [
    # types that annotations name and that are not public: aliases in client/keyword_types, protocols, type variables
    (r"py:(class|obj|data)", r"(.*\.)?(_?[A-Z]\w*|_T\w*|Unpack\[.*)"),
    # as annotations have them, quoted or with their default
    (r"py:(class|obj)", r"[^A-Za-z].*|.*[\[\]'\"<>| ].*"),
]


def _qualified(name: str) -> str | None:
    """Where the last part of a name is documented: annotations say ``Retry``, the page ``poollib.Retry``."""
    import poollib.pool

    name = name.rpartition(".")[2]
    if name in poollib.__all__:
        return f"poollib.{name}"
    if name in poollib.pool.__all__:
        return f"poollib.pool.{name}"
    if hasattr(poollib.exceptions, name):
        return f"poollib.exceptions.{name}"
    for module in (builtins, collections.abc, typing, types):
        if hasattr(module, name):
            return name if module is builtins else f"{module.__name__}.{name}"
    return None


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.TextElement
) -> nodes.Element | None:
    """A link for a name in an annotation, which says less than the whole name."""
    from sphinx.ext.intersphinx import missing_reference

    if node.get("refdomain") != "py" or (name := _qualified(node["reftarget"])) is None:
        return None
    node["reftarget"] = name
    found = env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content)
    return found or missing_reference(app, env, node, content)


def setup(app: Sphinx) -> None:
    """Resolve what autodoc leaves."""
    app.connect("missing-reference", _resolve)
