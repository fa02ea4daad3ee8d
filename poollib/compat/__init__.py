"""For programs and libraries written for urllib3: poollib under urllib3's names.

``install_as_urllib3`` makes ``import urllib3`` and every path below it give poollib, by a finder that comes before all
others and survives purges of ``sys.modules``; ``uninstall_as_urllib3`` removes it again.  How paths become modules is
left to ``module_alias``, which path is which module to the tables in ``module_paths``.
Nothing happens by importing this module; the interface is that of urllib3 2.8.0.
"""

from __future__ import annotations

import importlib
import logging
import sys
from importlib.machinery import BuiltinImporter
from types import ModuleType

from .module_alias import POOLLIB, URLLIB3, Finder, module
from .module_paths import API_VERSION, LOGGERS

__all__ = ["API_VERSION", "install_as_urllib3", "is_installed", "uninstall_as_urllib3"]

_finder = Finder(URLLIB3)
_own_finder = Finder(POOLLIB)  # for `import poollib as urllib3`; asked last, once urllib3's names were used
_usual_logs: dict[str, logging.Logger] = {}
_usual_agent: dict[str, str] = {}
_replaced: dict[str, ModuleType] = {}  # what install_as_urllib3(force=True) replaced


def install_as_urllib3(*, force: bool = False) -> None:
    """Let ``import urllib3`` and all paths below it give poollib, in this process, from now on.

    Call it before anything that imports urllib3: ImportError if urllib3 is imported already. ``force``: replace it all
    the same; code that has urllib3's objects already goes on with those. A second call changes nothing.
    """
    if is_installed():
        return
    others = {name: module for name, module in sys.modules.items() if _is_below_root(name)}
    if others and not force:
        raise ImportError(
            "urllib3 is imported already, and who imported it would go on with it: call install_as_urllib3() earlier,"
            " or with force=True"
        )
    _replaced.update(others)
    for name in others:
        del sys.modules[name]
    _name_loggers(URLLIB3)
    _import_root()


def uninstall_as_urllib3() -> None:
    """Undo install_as_urllib3; an urllib3 that it replaced comes back. Code that has poollib's objects keeps them."""
    if not is_installed():
        return
    sys.meta_path.remove(_finder)
    for name in [name for name in sys.modules if _is_below_root(name)]:
        del sys.modules[name]
    sys.modules.update(_replaced)
    _replaced.clear()
    _name_loggers(POOLLIB)


def is_installed() -> bool:
    """Whether ``import urllib3`` gives poollib."""
    return _finder in sys.meta_path


def own_module(path: str) -> ModuleType:
    """One of urllib3's modules that are no modules, as ``poollib.util``: for ``import poollib as urllib3``."""
    if _own_finder not in sys.meta_path:
        sys.meta_path.append(_own_finder)
    return importlib.import_module(f"{POOLLIB}.{path}")


def _import_root() -> None:
    """Import urllib3's names from here, past the import hooks of agents that wait for them; then stand before all."""
    end_of_hooks = sys.meta_path.index(BuiltinImporter) if BuiltinImporter in sys.meta_path else 0
    sys.meta_path.insert(end_of_hooks, _finder)
    try:
        importlib.import_module(URLLIB3)
    finally:
        sys.meta_path.remove(_finder)
        sys.meta_path.insert(0, _finder)
    if sys.modules[URLLIB3] is not module(""):  # a finder that is no hook had a urllib3 of its own
        for name in filter(_is_below_root, [*sys.modules]):
            del sys.modules[name]
        importlib.import_module(URLLIB3)


def _is_below_root(name: str) -> bool:
    return name == URLLIB3 or name.startswith(f"{URLLIB3}.")


def _name_loggers(root: str) -> None:
    """Let the modules log and warn, and requests name their agent, by urllib3's names, or again by their own."""
    for own, path in LOGGERS.items():
        names = vars(importlib.import_module(f"{POOLLIB}.{own}"))
        usual = _usual_logs.setdefault(own, names["log"])
        names["log"] = logging.getLogger(f"{URLLIB3}.{path}") if root == URLLIB3 else usual
    vars(importlib.import_module(f"{POOLLIB}.extras.package_functions"))["_logger_name"] = root
    vars(importlib.import_module(f"{POOLLIB}.base.deprecations"))["is_urllib3"] = root == URLLIB3
    hooks = vars(importlib.import_module(f"{POOLLIB}.exchange.httpclient_hooks"))
    agent = _usual_agent.setdefault(POOLLIB, hooks["USER_AGENT"])
    hooks["USER_AGENT"] = f"python-urllib3/{API_VERSION}" if root == URLLIB3 else agent
    if root == URLLIB3 and not logging.getLogger(URLLIB3).handlers:
        logging.getLogger(URLLIB3).addHandler(logging.NullHandler())
