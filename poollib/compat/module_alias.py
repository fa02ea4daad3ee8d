"""One of urllib3's module paths as a module: a module of poollib, or a thin module in front of several.

:func:`module` gives a path's module and :class:`Finder` gives it to the import system, by the tables in
``module_paths``.  A module is the module object itself, so that a patched global of it is seen by the code that runs; a
thin module reads its names from the modules behind it at every access, and writes them there.  Whether the paths are
below ``urllib3`` or below ``poollib`` is the caller's choice.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from .module_paths import ALIASES, EXTRAS, PACKAGES, THIN, VALUES

URLLIB3: Final = "urllib3"
POOLLIB: Final = __name__.partition(".")[0]

_thin: dict[str, ModuleType] = {}  # thin modules by full name: one object each, whatever happens to sys.modules


def exists(path: str) -> bool:
    """Whether there is a module for this path."""
    return path in ALIASES or path in THIN or path in PACKAGES


def module(path: str, root: str = URLLIB3) -> ModuleType:
    """The module for one of urllib3's paths, as ``util.retry``; '' is urllib3 itself. KeyError for an unknown path."""
    if path in ALIASES:
        return _module_of_poollib(ALIASES[path])
    if not exists(path):
        raise KeyError(path)
    name = f"{root}.{path}" if path else root
    thin = _thin.get(name)
    if thin is None:
        thin = _thin[name] = ThinModule(name, path)
    return thin


def _module_of_poollib(name: str) -> ModuleType:
    """A module, with what urllib3's module of this kind imports for itself and others import from there."""
    module = importlib.import_module(f"{POOLLIB}.{name}")
    own = vars(module)
    for source, extras in EXTRAS.get(name, {}).items():
        for extra in extras.split():
            local, theirs = _renamed(extra)
            if local not in own:
                own[local] = _value(source, theirs)
    return module


def _renamed(name: str) -> tuple[str, str]:
    """Under which name a table offers something, and its name where it lives."""
    local, equals, theirs = name.partition("=")
    return local, theirs if equals else local


def _value(source: str, name: str) -> object:
    found = _source(source)
    return found if name == "*" else getattr(found, name)


def _source(source: str) -> ModuleType:
    """The module that a table means: ``.tls``, ``.``, ``:util``, ``ssl``."""
    if source.startswith(":"):
        return module(source[1:])
    if source.startswith("."):
        return importlib.import_module(f"{POOLLIB}{source}" if source != "." else POOLLIB)
    return importlib.import_module(source)


def stand_for(name: str) -> None:
    """Let the module that urllib3's path means stand in ``sys.modules`` under ``name``, in the place of a file there.

    The file is for editors and type checkers, which read it; a patched global of the module is seen by what runs.
    """
    root, _, path = name.partition(".")
    sys.modules[name] = module(path, root)


class ThinModule(ModuleType):
    """One of urllib3's modules that is no module: its names belong to others, and are read and written there."""

    _path: str
    _owners: dict[str, tuple[str, str]]  # a name's source and what it is called there
    _usual: dict[str, object]  # what was there before a name was set

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, f"The names of urllib3's module {path or URLLIB3!r}, on poollib.")
        own = vars(self)
        owners: dict[str, tuple[str, str]] = {}
        for source, names in THIN.get(path, {}).items():
            for local, theirs in map(_renamed, names.split()):
                owners[local] = (source, theirs)
        own.update(VALUES.get(path, {}))
        own["_path"], own["_owners"], own["_usual"] = path, owners, {}
        own["__all__"] = PACKAGES.get(path) or [name for name in (*owners, *own) if not name.startswith("_")]
        own["__file__"] = __file__
        own["__package__"] = name if path in PACKAGES else name.rpartition(".")[0]
        if path in PACKAGES:
            own["__path__"] = []
        own["__loader__"] = LOADER
        own["__spec__"] = ModuleSpec(name, LOADER, is_package=path in PACKAGES)

    def __getattr__(self, name: str) -> object:
        owner = self._owners.get(name)
        if owner is not None:
            return _value(*owner)
        path = f"{self._path}.{name}" if self._path else name
        if self._path in PACKAGES and exists(path):
            return module(path, self.__name__.partition(".")[0])
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        """Set a name where it lives, and here: pytest and ``mock.patch`` undo it by deleting what was not here."""
        source, theirs = self._owners.get(name, ("", "*"))
        if theirs != "*":
            owner = _source(source)
            if name not in vars(self) and hasattr(owner, theirs):
                self._usual[name] = getattr(owner, theirs)
            setattr(owner, theirs, value)
        if theirs == "*" or name in self._usual:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        """Delete a name that was set here, and give back what was in its place; of others, delete it where it lives."""
        source, theirs = self._owners.get(name, ("", "*"))
        if theirs == "*" or name in vars(self):
            super().__delattr__(name)
        if name in self._usual:
            setattr(_source(source), theirs, self._usual.pop(name))
        elif theirs != "*":
            delattr(_source(source), theirs)

    def __dir__(self) -> Iterable[str]:
        inner = {name for name in self._submodules() if name} if self._path in PACKAGES else set()
        return sorted({*vars(self), *self._owners, *inner} - {"_owners", "_path", "_usual"})

    def _submodules(self) -> Iterable[str]:
        prefix = f"{self._path}." if self._path else ""
        for path in {*ALIASES, *THIN, *PACKAGES}:
            if path.startswith(prefix):
                yield path[len(prefix) :].partition(".")[0]


class _Loader(Loader):
    """Gives a module that is there already, and leaves it as it was."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        root, _, path = spec.name.partition(".")
        found = module(path, root)
        spec.loader_state = found.__spec__
        return found

    def exec_module(self, module: ModuleType) -> None:
        # The import system has put its own spec on the module; a module's relative imports go by the module's own.
        if module.__spec__ is not None and module.__spec__.loader_state is not None:
            module.__spec__ = module.__spec__.loader_state
        if module.__name__ == URLLIB3:
            _register_all()


def _register_all() -> None:
    """Import what ``import urllib3`` imports: programs look for it in ``sys.modules``, tracing agents wait for it."""
    for path in sorted({*ALIASES, *THIN, *PACKAGES}):
        if path and not path.startswith("contrib") and f"{URLLIB3}.{path}" not in sys.modules:
            _import_by_name(f"{URLLIB3}.{path}", module(path))


def _import_by_name(name: str, found: ModuleType) -> None:
    """Import a module by this name, which it bears meanwhile: the import hooks of agents ask it what was imported."""
    usual, found.__name__ = found.__name__, name
    try:
        importlib.import_module(name)
    finally:
        found.__name__ = usual


LOADER: Final = _Loader()


class Finder(MetaPathFinder):
    """Finds urllib3's paths below one root name, and nothing else."""

    def __init__(self, root: str) -> None:
        self._root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for a path that there is; for others below urllib3 ModuleNotFoundError: the two never mix."""
        root, _, inner = fullname.partition(".")
        if root != self._root:
            return None
        if exists(inner):
            return ModuleSpec(fullname, LOADER, is_package=inner in PACKAGES)
        if root == URLLIB3:
            raise ModuleNotFoundError(f"No module named {fullname!r} in poollib's urllib3", name=fullname)
        return None
