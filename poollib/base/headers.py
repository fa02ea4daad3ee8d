"""Header fields by name, in any case, in the order they came: :class:`HTTPHeaderDict`.

``response_head`` hands in checked pairs through :meth:`HTTPHeaderDict.from_pairs`, callers hand in mappings or pairs,
and ``response`` and ``request_body`` hand the dict on.  Checking names and values is left to ``request_head``, which
refuses what RFC 9110 section 5 does not allow.  Behaviour follows urllib3 2.8; several lines of one name are
kept apart and joined by ", " on a plain look-up (RFC 9110 section 5.3), and :class:`RecentlyUsedContainer`,
its neighbour there, lives here too.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Set
from enum import Enum
from typing import Any, Final, Generic, Literal, NoReturn, Protocol, TypeAlias, TypeVar, cast, overload

from .exact_values import exact

_KT = TypeVar("_KT")
_VT = TypeVar("_VT")
_DT = TypeVar("_DT")


class _Sentinel(Enum):
    not_passed = 1


_NOT_PASSED: Final = _Sentinel.not_passed


class HasGettableStringKeys(Protocol):
    """What a dict can be made of, though it is no mapping."""

    def keys(self) -> Iterable[str]: ...

    def __getitem__(self, key: str, /) -> str: ...


_Source: TypeAlias = "HTTPHeaderDict | Mapping[str, str] | Iterable[tuple[str, str]] | HasGettableStringKeys"

#: What describes or frames a body, besides every Content-* field, and goes when the body goes (RFC 9110 section 15.4).
_BODY_FIELDS: Final = frozenset({"transfer-encoding", "trailer", "expect", "digest", "repr-digest", "last-modified"})


def describes_body(name: str) -> bool:
    """Whether the field ``name`` describes or frames the body of its message, and means nothing without it."""
    name = name.lower()
    return name.startswith("content-") or name in _BODY_FIELDS


class HTTPHeaderDict(MutableMapping[str, str]):
    """Header fields: ``headers["set-cookie"]`` joins the lines of a name by ", ", ``getlist`` keeps them apart.

    Names compare without regard to case and keep their first spelling; bytes names are taken as latin-1.
    ``add`` adds a line, assignment replaces all lines of the name. Names and values are kept as exact copies.
    """

    __slots__ = ("__weakref__", "_container")

    #: lower-case name -> [name as first spelled, first value, second value, ...]
    _container: dict[str, list[str]]

    def __init__(self, headers: _Source | None = None, **kwargs: str) -> None:
        self._container = {}
        if headers is not None:
            if isinstance(headers, HTTPHeaderDict):
                self._copy_from(headers)
            else:
                self.extend(headers)
        if kwargs:
            self.extend(kwargs)

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> HTTPHeaderDict:
        """The fields of ``pairs``, both sides already str: the fast way in, without ``__init__``."""
        lines = list(pairs)
        container = {name.lower(): [name, value] for name, value in lines}
        if len(container) != len(lines):
            container = {}
            for name, value in lines:
                container.setdefault(name.lower(), [name]).append(value)
        headers = cls.__new__(cls)
        headers._container = container
        return headers

    # -- one name --

    def __getitem__(self, key: str) -> str:
        values = self._container[key.lower() if type(key) is str else _folded(key)]
        return values[1] if len(values) == 2 else ", ".join(values[1:])

    @overload
    def get(self, key: str, default: None = None) -> str | None: ...

    @overload
    def get(self, key: str, default: str) -> str: ...

    @overload
    def get(self, key: str, default: _DT) -> str | _DT: ...

    def get(self, key: str, default: object = None) -> object:
        """The joined values of ``key``, else ``default``; without the detour through KeyError."""
        values = self._container.get(key.lower() if type(key) is str else _folded(key))
        if values is None:
            return default
        return values[1] if len(values) == 2 else ", ".join(values[1:])

    def __setitem__(self, key: str, val: str) -> None:
        name = _as_str(key)
        self._container[name.lower()] = [name, exact(val)]

    def __delitem__(self, key: str) -> None:
        del self._container[_folded(key)]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, (str, bytes)) and _folded(key) in self._container

    def setdefault(self, key: str, default: str = "") -> str:
        """The value of ``key``, which is set to ``default`` if there is none."""
        return super().setdefault(key, default)

    def discard(self, key: str) -> None:
        """Remove ``key`` if it is there."""
        self._container.pop(_folded(key), None)

    def add(self, key: str, val: str, *, combine: bool = False) -> None:
        """Add a line; with ``combine`` join it to the last line of that name by ", " instead."""
        name = _as_str(key)
        values = self._container.setdefault(name.lower(), [name])
        val = exact(val)
        if combine and len(values) > 1:
            values[-1] = f"{values[-1]}, {val}"
        else:
            values.append(val)

    @overload
    def getlist(self, key: str) -> list[str]: ...

    @overload
    def getlist(self, key: str, default: _DT) -> list[str] | _DT: ...

    def getlist(self, key: str, default: object = _NOT_PASSED) -> object:
        """The values of all lines of ``key`` as a new list; if there are none, ``default`` or ``[]``."""
        values = self._container.get(key.lower() if type(key) is str else _folded(key))
        if values is None:
            return [] if default is _NOT_PASSED else default
        return values[1:]

    def _has_value_for_header(self, header_name: str, potential_value: str) -> bool:
        """Whether a line of ``header_name`` has exactly this value."""
        return potential_value in self.getlist(header_name)

    # -- all names --

    def __len__(self) -> int:
        return len(self._container)

    def __iter__(self) -> Iterator[str]:
        for values in self._container.values():
            yield values[0]

    def iteritems(self) -> Iterator[tuple[str, str]]:
        """Each line as (name, value)."""
        for values in self._container.values():
            name = values[0]
            for value in values[1:]:
                yield name, value

    def itermerged(self) -> Iterator[tuple[str, str]]:
        """Each name once, with its values joined by ", "."""
        for values in self._container.values():
            yield values[0], ", ".join(values[1:])

    def items(self) -> HTTPHeaderDictItemView:  # type: ignore[override]
        """Each line as (name, value), as a live view; a name of two lines appears twice."""
        return HTTPHeaderDictItemView(self)

    def extend(self, *args: _Source, **kwargs: str) -> None:
        """Add every line of a mapping or of (name, value) pairs, and of ``kwargs``."""
        if len(args) > 1:
            raise TypeError(f"extend() takes at most 1 positional arguments ({len(args)} given)")
        for other in (*args, kwargs):
            for name, value in _pairs(other):
                self.add(name, value)

    def _copy_from(self, other: HTTPHeaderDict) -> None:
        """Replace each name that ``other`` has by its lines there."""
        for name in other:
            self._container[_folded(name)] = [_as_str(name), *map(exact, other.getlist(name))]

    def copy(self) -> HTTPHeaderDict:
        """Another dict with the same lines."""
        clone = type(self)()
        clone._copy_from(self)
        return clone

    def _prepare_for_method_change(self) -> HTTPHeaderDict:
        """This dict, without what described a body that will not be sent (RFC 9110 section 15.4)."""
        for key in filter(describes_body, list(self._container)):
            del self._container[key]
        return self

    # -- as a value --

    def _merged(self) -> dict[str, str]:
        return {key: ", ".join(values[1:]) for key, values in self._container.items()}

    def __eq__(self, other: object) -> bool:
        """Whether all names have the same joined values; ``other`` may be anything a dict can be made of."""
        if not isinstance(other, HTTPHeaderDict):
            source = ensure_can_construct_http_header_dict(other)
            try:
                other = None if source is None else HTTPHeaderDict(source)
            except (TypeError, ValueError, AttributeError):
                return False
        return isinstance(other, HTTPHeaderDict) and self._merged() == other._merged()

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: object) -> HTTPHeaderDict:
        source = ensure_can_construct_http_header_dict(other)
        if source is None:
            return NotImplemented
        result = self.copy()
        result.extend(source)
        return result

    def __ror__(self, other: object) -> HTTPHeaderDict:
        source = ensure_can_construct_http_header_dict(other)
        if source is None:
            return NotImplemented
        result = type(self)(source)
        result.extend(self)
        return result

    def __ior__(self, other: object) -> HTTPHeaderDict:
        source = ensure_can_construct_http_header_dict(other)
        if source is None:
            return NotImplemented
        self.extend(source)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self.itermerged())})"

    # -- urllib3 names --

    getheaders = getlist
    getallmatchingheaders = getlist
    iget = getlist
    get_all = getlist


def _as_str(name: str | bytes) -> str:
    """A header name as str."""
    name = exact(name)
    return name.decode("latin-1") if isinstance(name, bytes) else name


def _folded(name: str | bytes) -> str:
    """A header name as the key it is kept under."""
    return _as_str(name).lower()


def _pairs(source: _Source | None) -> Iterable[tuple[str, str]]:
    """The lines of ``source``: a dict, anything with ``items()`` or ``keys()``, or pairs; ``None`` has none."""
    if source is None:
        return ()
    if isinstance(source, HTTPHeaderDict):
        return list(source.iteritems())
    if hasattr(source, "items"):
        return cast("Mapping[str, str]", source).items()
    if hasattr(source, "keys") and hasattr(source, "__getitem__"):
        return [(name, source[name]) for name in source.keys()]  # noqa: SIM118  (no mapping: only these two)
    if isinstance(source, Iterable):
        return source
    raise TypeError(f"headers must be a mapping or (name, value) pairs, not {type(source).__name__}")


def ensure_can_construct_http_header_dict(potential: object) -> _Source | None:
    """``potential`` if an HTTPHeaderDict can be made of it, judged by its kind alone; otherwise ``None``."""
    if isinstance(potential, (HTTPHeaderDict, Mapping, Iterable)):
        return potential
    if hasattr(potential, "keys") and hasattr(potential, "__getitem__"):
        return potential
    return None


class HTTPHeaderDictItemView(Set[tuple[str, str]], set[tuple[str, str]]):  # type: ignore[misc,metaclass]
    """The lines of an HTTPHeaderDict, live.  It is a ``set`` by type only: the same line may come twice.

    Membership compares names without regard to case; operators give plain sets.
    """

    _headers: HTTPHeaderDict

    def __init__(self, headers: HTTPHeaderDict) -> None:
        self._headers = headers

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> set[Any]:
        return set(it)

    def __len__(self) -> int:
        container = self._headers._container
        return sum(map(len, container.values())) - len(container)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return self._headers.iteritems()

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        name, value = item
        return isinstance(name, str) and self._headers._has_value_for_header(name, value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)})"


_Nothing: TypeAlias = Literal[_Sentinel.not_passed]


def require_mapping(headers: object) -> None:
    """TypeError unless ``headers`` is a mapping. What it holds is not shown: it may be a secret."""
    if not hasattr(headers, "items"):
        raise TypeError(f"headers must be a mapping of names to values, not a {type(headers).__name__}")


class RecentlyUsedContainer(MutableMapping[_KT, _VT], Generic[_KT, _VT]):
    """A dict of at most ``maxsize`` entries that drops the one not used for longest; safe between threads.

    ``dispose_func`` is called with each value that leaves, after ``lock`` has been let go: it may block or
    use the container again.
    """

    def __init__(self, maxsize: int = 10, dispose_func: Callable[[_VT], None] | None = None) -> None:
        self._maxsize = maxsize
        self.dispose_func = dispose_func
        self._container: OrderedDict[_KT, _VT] = OrderedDict()
        self._last_used: tuple[_KT, _VT] | None = None  # found without hashing its key, which may be a long tuple
        self.lock = threading.RLock()  # guards _container; public, because callers hold it over several steps

    def __getitem__(self, key: _KT) -> _VT:
        last = self._last_used
        if last is not None and last[0] is key:
            return last[1]
        with self.lock:
            value = self._container[key]
            self._container.move_to_end(key)
            self._last_used = key, value
            return value

    def __setitem__(self, key: _KT, value: _VT) -> None:
        with self.lock:
            self._last_used = None
            gone: list[_VT] = []
            old: _VT | _Nothing = self._container.get(key, _NOT_PASSED)
            if old is not _NOT_PASSED and old is not value:
                gone.append(old)
            self._container[key] = value
            self._container.move_to_end(key)
            while len(self._container) > max(self._maxsize, 0):
                gone.append(self._container.popitem(last=False)[1])
        self._dispose(gone)

    def __delitem__(self, key: _KT) -> None:
        with self.lock:
            self._last_used = None
            value = self._container.pop(key)
        self._dispose([value])

    def __len__(self) -> int:
        with self.lock:
            return len(self._container)

    def __iter__(self) -> NoReturn:
        raise NotImplementedError("Iterating while other threads change it is not safe: use keys().")

    def clear(self) -> None:
        """Drop all entries; every value is disposed of even if disposing of another one fails."""
        with self.lock:
            self._last_used = None
            values = list(dict.values(self._container))  # as in entries
            self._container.clear()
        self._dispose(values)

    def keys(self) -> set[_KT]:  # type: ignore[override]
        """The keys of this moment, as a set of their own."""
        with self.lock:
            return set(self._container)

    @property
    def maxsize(self) -> int:
        """How many entries are kept."""
        return self._maxsize

    def entries(self) -> Iterator[tuple[_KT, _VT]]:
        """What it holds, the last to come first; ``lock`` is held by the caller.

        An OrderedDict looks each key up for its own views, and makes a KeyError of what ``__hash__`` raises then, be it
        an interrupt.
        """
        return reversed(dict.items(self._container))

    def _dispose(self, values: list[_VT]) -> None:
        """Call ``dispose_func`` with each value; the first failure is raised once all have been tried."""
        dispose = self.dispose_func
        if dispose is None:
            return
        failure: BaseException | None = None
        for value in values:
            try:
                dispose(value)
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure
