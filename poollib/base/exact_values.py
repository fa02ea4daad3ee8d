"""Values as they are: exact copies of what callers hand in, and numbers of every kind as int and float.

A subclass of str, bytes or int says of itself what it likes, in ``__str__``, ``__format__``, ``lower``, ``__len__`` or
``__buffer__`` (and ``class H(str, Enum)`` says ``H.NAME``), while what is checked may be something else.  So whoever
takes a value in makes an exact copy by the base class's own method, checks the copy, and uses nothing but the copy.
``request_head``, ``url``, ``headers``, ``multipart`` and ``request_body`` do so with what goes into a request, pools
and ``retry`` with numbers; what a value may be is theirs to say.  Here, too, is what values need that many threads read
at once (:func:`mark_shared`).
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from functools import cache
from math import nan
from typing import Any, SupportsFloat, SupportsIndex, TypeAlias, TypeVar

T = TypeVar("T")
Piece: TypeAlias = bytes | bytearray | memoryview
Number: TypeAlias = SupportsFloat | SupportsIndex


def exact(value: T) -> T:
    """What a str, bytes or int holds, as an exact one of these; any other value as it is."""
    kind: object = type(value)
    if kind is str or kind is bytes or kind is int or kind is bool:
        return value
    copy: object = value
    if isinstance(value, str):
        copy = str.__str__(value)
    elif isinstance(value, bytes):
        copy = bytes.__getitem__(value, slice(None))
    elif isinstance(value, int):
        copy = int.__index__(value)
    return copy  # type: ignore[return-value]


def exact_text(name: str, value: object) -> str:
    """What a str holds, as an exact one; TypeError that names the argument for any other value."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {value!r}")
    return str.__str__(value)


def piece_of(value: Any) -> Piece:
    """What a str (as UTF-8) or anything bytes-like holds, as bytes that stay as long as they are; TypeError for others.

    A buffer is asked for once: from Python 3.12 on an object may answer each time with another one.
    """
    kind = type(value)
    if kind is bytes or kind is bytearray:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        return str.encode(value, "utf-8")
    return exact(value) if isinstance(value, bytes) else _view_of(memoryview(value))


def _view_of(view: memoryview) -> memoryview | bytes:
    """The buffer as sockets take it: its bytes in a row, of one dimension; else a copy."""
    return view if view.c_contiguous and view.ndim == 1 else view.tobytes()


# Numbers


def whole(name: str, value: SupportsIndex) -> int:
    """A whole number of any type (numpy's too) as an int; TypeError naming the argument for anything else."""
    try:
        return int.__index__(operator.index(value))
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None


def number(name: str, value: Number) -> float:
    """A number of any type (Decimal, Fraction, numpy's) as int or float, infinity too; ValueError naming the argument.

    Some of these types do not mix with the clock's floats, which would be found out at the first failure.
    """
    if (type(value) is float and value == value) or (type(value) is int and abs(value) < _LARGE_INT):
        return value
    try:
        converted = nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        converted = nan
    if converted != converted:
        raise ValueError(f"{name} must be a number, not {value!r}")
    return converted


_LARGE_INT = 1 << 62


def seconds(name: str, value: Number) -> float:
    """At least 0 seconds in a number of any type as int or float; ValueError naming the argument."""
    try:
        converted = nan if isinstance(value, bool) else number(name, value)
    except ValueError:
        converted = nan
    if not converted >= 0:
        raise ValueError(f"{name} must be None or at least 0 seconds, not {value!r}")
    return converted


# Values that threads share


def has_gil() -> bool:
    """Whether one thread at a time runs Python."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def mark_shared(*values: object) -> None:
    """Have other threads read these out of slots without a lock, where there is no GIL; else nothing.

    Without a GIL a thread that reads a slot counts its reference to what stands there. CPython 3.14 does so at once if
    the value is known to be counted by several threads, as after a weak reference to it or a read from a list; else it
    takes the lock of the object that has the slot, each time anew. 8 threads on one pool read 26 such slots for a
    request, half of them of the pool itself, and who found that lock taken gave up the processor, 40 times in a row.
    """
    mark = _marker()
    if mark is not None:
        for value in values:
            mark(value)


@cache
def _marker() -> Callable[[object], object] | None:
    """CPython's own way to mark a value; None where there is a GIL, no ctypes, or another Python than CPython 3.14."""
    if has_gil():
        return None
    try:
        import ctypes

        mark = ctypes.pythonapi.PyUnstable_EnableTryIncRef
        mark.argtypes, mark.restype = (ctypes.py_object,), None
    except (ImportError, AttributeError):
        return None
    return mark
