"""The package's front: every public name is there, none costs anything before it is asked for."""

from __future__ import annotations

import ast
import configparser
import importlib
import inspect
import pickle
import pkgutil
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import poollib
from poollib.base.version import VERSION
from poollib.exchange import httpclient_hooks

FOLDER = Path(poollib.__file__).parent


def run(program: str) -> str:
    """What a program prints in a process of its own; what it complains of counts, too."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert not done.returncode, done.stderr
    return done.stdout + done.stderr


def modules() -> list[str]:
    """Every module of the package by its full name."""
    found = pkgutil.walk_packages(poollib.__path__, "poollib.")
    return [module.name for module in found if module.name != "poollib.__main__"]


def test_importing_the_package_imports_nothing_else() -> None:
    """A program that only names poollib pays for it when it makes a request."""
    program = "import sys; before = set(sys.modules); import poollib; print(*sorted(set(sys.modules) - before))"
    small = {"__future__", "_collections", "_operator", "collections", "collections.abc", "itertools", "keyword"}
    assert set(run(program).split()) <= {"poollib", "operator", "reprlib", "_thread", *small}


def test_a_manager_brings_nothing_that_only_some_requests_need() -> None:
    """Each of these takes longer to import than several modules; hashlib came once with the class of an error."""
    heavy = {
        "hashlib",
        "json",
        "certifi",
        "dataclasses",
        "inspect",
        "mimetypes",
        "poollib.net.tls",
        "poollib.policy.circuit_breaker",
    }
    standard = "import sys, http.client, logging, ssl; old = set(sys.modules)"  # some of these come with one another
    program = f"{standard}; import poollib; poollib.PoolManager; print(*set(sys.modules) - old)"
    assert not heavy & set(run(program).split())


@pytest.mark.parametrize("name", poollib.__all__)
def test_every_public_name_is_there_and_stays(name: str) -> None:
    value = getattr(poollib, name)
    assert vars(poollib)[name] is value
    assert getattr(poollib, name) is value
    assert name == "exceptions" or value.__module__.startswith("poollib.")


def test_type_checkers_are_told_the_same_as_python() -> None:
    """Three lists of the names: ``__all__``, the modules to take them from, the imports that only type checkers run."""
    tree = ast.parse(Path(poollib.__file__).read_text())
    told = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    names_of_modules = {name for name, module in told.items() if module is None}
    assert {name: module for name, module in told.items() if module is not None} == poollib._MODULES
    assert poollib.__all__ == sorted({*poollib._MODULES, "exceptions"})
    for name in names_of_modules:
        assert inspect.ismodule(getattr(poollib, name))


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing a module sets its name in the package, and would put the module in the place of a function or class."""
    assert {name.removeprefix("poollib.") for name in modules()} & set(poollib.__all__) == {"exceptions"}
    for name in modules():
        if name != "poollib.metrics.for_opentelemetry" or find_spec("opentelemetry"):  # an extra's package
            importlib.import_module(name)
    assert inspect.isfunction(poollib.request)


def test_dir_shows_all_public_names() -> None:
    listed = run("import poollib; print(*dir(poollib))").split()
    assert {*poollib.__all__, "__all__", "__version__"} <= set(listed)


def test_the_version_is_written_once() -> None:
    """The metadata, the package and the User-Agent said different ones."""
    assert poollib.__version__ == VERSION
    assert f"python-poollib/{VERSION}" == httpclient_hooks.USER_AGENT
    assert [file.name for file in FOLDER.rglob("*.py") if f'"{VERSION}"' in file.read_text()] == ["version.py"]
    assert "version = attr: poollib.base.version.VERSION" in (FOLDER.parent / "setup.cfg").read_text()


def test_star_gives_all_public_names() -> None:
    names: dict[str, object] = {}
    exec("from poollib import *", names)
    assert set(poollib.__all__) <= set(names)


def test_a_name_that_does_not_exist_is_missing() -> None:
    with pytest.raises(AttributeError, match=r"^module 'poollib' has no attribute 'nothing'$"):
        poollib.nothing  # noqa: B018
    with pytest.raises(AttributeError, match="'poollib' has no attribute '__wrapped__'"):
        poollib.__wrapped__  # noqa: B018
    with pytest.raises(ImportError, match="nothing"):
        importlib.import_module("poollib.nothing")


def test_modules_are_there_without_an_import_of_their_own() -> None:
    """As when the package imported them all; ``poollib.util`` is urllib3's, for ``import poollib as urllib3``."""
    program = """
import poollib
print(poollib.exceptions.HTTPError.__name__, poollib.connectionpool.HTTPConnectionPool.__name__)
print(poollib.pool.ConnectionPool.__name__, poollib.util.retry.Retry.__name__, poollib.util.Timeout.__name__)
"""
    assert run(program).split() == ["HTTPError", "HTTPConnectionPool", "ConnectionPool", "Retry", "Timeout"]


def test_a_module_that_cannot_be_imported_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what does not exist is called missing."""
    (tmp_path / "broken.py").write_text("import a_module_that_nobody_has")
    monkeypatch.setattr(poollib, "__path__", [*poollib.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        poollib.broken  # noqa: B018


def test_a_name_can_be_replaced_before_it_is_asked_for() -> None:
    """By tests of programs, for one; what was there before comes back afterwards."""
    program = """
from unittest import mock
import poollib
with mock.patch("poollib.PoolManager") as stand_in:
    assert poollib.PoolManager is stand_in
print(poollib.PoolManager.__name__)
"""
    assert run(program).split() == ["PoolManager"]


@pytest.mark.parametrize("name", ["PoolManager", "request", "Retry", "exceptions.HTTPError"])
def test_names_pickle_by_reference(name: str) -> None:
    value = poollib
    for part in name.split("."):
        value = getattr(value, part)
    assert pickle.loads(pickle.dumps(value)) is value


def test_threads_may_ask_at_once_and_children_too() -> None:
    """Each thread begins with another name; all get the same objects, and so does a forked child."""
    program = """
import os, sys, threading, warnings
import poollib
warnings.simplefilter("ignore", DeprecationWarning)  # of fork, for joined threads that the system still counts
names = sorted(set(poollib.__all__))
got = [{} for name in names]
together = threading.Barrier(len(names))

def ask(turn):
    together.wait()
    for name in names[turn:] + names[:turn]:
        got[turn][name] = getattr(poollib, name)

threads = [threading.Thread(target=ask, args=(turn,)) for turn in range(len(names))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
print(all(len(mine) == len(names) for mine in got))
print(all(mine[name] is getattr(poollib, name) for mine in got for name in names))
sys.stdout.flush()
if hasattr(os, "fork"):
    child = os.fork()
    if not child:
        os._exit(0 if poollib.PoolManager() is not None and poollib.request is got[0]["request"] else 1)
    print(os.waitpid(child, 0)[1] == 0)
"""
    assert set(run(program).split()) == {"True"}


def test_a_child_forked_before_any_name_is_asked_for_has_all() -> None:
    program = """
import os
import poollib
if hasattr(os, "fork"):
    child = os.fork()
    if child:
        print(os.waitpid(child, 0)[1])
    else:
        with poollib.PoolManager() as manager:
            os._exit(0 if manager.pools is not None else 1)
"""
    assert run(program).split() in (["0"], [])


def test_an_old_python_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a checkout, where pip has not refused: an ImportError of some module's typing names told nobody anything."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    with pytest.raises(SystemExit, match=r"^poollib needs Python 3\.10 or newer; this is Python 3\.9\.$"):
        runpy.run_module("poollib", run_name="__main__")


def test_pip_on_an_old_python_names_poollib_and_not_a_package_of_an_extra() -> None:
    """pip looks at the extras' packages first: without a mark, "pytest requires a different Python" is what it says."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(FOLDER.parent / "setup.cfg")
    assert config["options"]["python_requires"] == ">=3.10"
    lines = [line for extra in config["options.extras_require"].values() for line in extra.split("\n") if line]
    assert [line for line in lines if '; python_version >= "3.10"' not in line] == ["%(test)s"]
