"""values: exact copies that no subclass makes look otherwise, and numbers of every kind."""

from __future__ import annotations

import array
import enum
import sys
import types
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from poollib.base.exact_values import _marker, exact, mark_shared, number, piece_of, seconds, whole
from tests.support.liars import Index, LyingBytes, LyingInt, LyingText


class Text(str, enum.Enum):
    KEY = "value"


class Raw(bytes, enum.Enum):
    KEY = b"value"


class Number(enum.IntEnum):
    KEY = 7


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (Text.KEY, "value"),
        (Raw.KEY, b"value"),
        (Number.KEY, 7),
        (LyingText("held"), "held"),
        (LyingText("é\u2024"), "é\u2024"),
        (LyingBytes(b"held"), b"held"),
        (LyingInt(7), 7),
        (True, True),
        ("held", "held"),
    ],
)
def test_a_copy_is_exact_and_holds_what_the_base_class_says(given: Any, held: Any) -> None:
    copy = exact(given)
    assert type(copy) is type(held)
    assert copy == held


def test_other_values_stay_as_they_are() -> None:
    for value in (None, 1.5, [], object()):
        assert exact(value) is value


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (LyingText("é"), "é".encode()),
        (LyingBytes(b"held"), b"held"),
        (bytearray(b"held"), b"held"),
        (memoryview(b"held"), b"held"),
        (memoryview(b"h.e.l.d.")[::2], b"held"),
        (array.array("H", [0x6548, 0x646C]), array.array("H", [0x6548, 0x646C]).tobytes()),
        (memoryview(b"held").cast("B", (2, 2)), b"held"),
    ],
)
def test_a_piece_has_as_many_bytes_as_it_says(given: Any, held: bytes) -> None:
    piece = piece_of(given)
    assert memoryview(piece).nbytes == len(held)
    assert bytes(piece) == held


def test_what_is_not_bytes_like_is_no_piece() -> None:
    with pytest.raises(TypeError):
        piece_of(1.5)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python classes have no buffers before 3.12")
def test_a_buffer_is_asked_for_once() -> None:
    class Growing:
        asked = 0

        def __buffer__(self, flags: int) -> memoryview:
            self.asked += 1
            return memoryview(b"x" * self.asked)

    piece = piece_of(Growing())
    assert (bytes(piece), bytes(piece), memoryview(piece).nbytes) == (b"x", b"x", 1)


@pytest.mark.parametrize("value", [3, LyingInt(3), Index(3)])
def test_a_whole_number_of_any_type_is_an_int(value: Any) -> None:
    number = whole("maxsize", value)
    assert type(number) is int
    assert number == 3


@pytest.mark.parametrize("value", [1.0, "1", None, Decimal(1)])
def test_what_is_no_whole_number_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match="maxsize must be a whole number"):
        whole("maxsize", value)


@pytest.mark.parametrize("value", [0, 1, 2.5, Decimal("2.5"), Fraction(5, 2), float("inf")])
def test_seconds_come_in_numbers_of_every_kind(value: Any) -> None:
    number = seconds("dns_cache", value)
    assert type(number) in (int, float)
    assert number == value


@pytest.mark.parametrize("value", [-1, -0.1, float("nan"), Decimal("NaN"), "1", True, None, [], 1j, 10**400 * -1])
def test_what_is_no_number_of_seconds_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match="dns_cache must be"):
        seconds("dns_cache", value)


@pytest.mark.parametrize("value", [-1, 2.5, Decimal("-2.5"), Fraction(5, 2), float("inf"), True, 1 << 70])
def test_a_number_may_be_of_every_kind(value: Any) -> None:
    converted = number("backoff_factor", value)
    assert type(converted) in (int, float)
    assert converted == value


@pytest.mark.parametrize("value", [float("nan"), Decimal("NaN"), "1", b"1", None, 1j, 10**400])
def test_what_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match="backoff_factor must be a number"):
        number("backoff_factor", value)


# Values that threads share


@pytest.mark.parametrize("has_gil", [True, False])
def test_any_value_can_be_marked_as_shared_on_every_python(has_gil: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a GIL, nothing is done, and ctypes is not asked for."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: has_gil, raising=False)
    if has_gil:
        monkeypatch.setitem(sys.modules, "ctypes", None)
    _marker.cache_clear()
    try:
        mark_shared({}, [], 12345, "text", None, object())
        assert (_marker() is not None) == (not has_gil and sys.version_info >= (3, 14))
    finally:
        _marker.cache_clear()


@pytest.mark.parametrize("missing", ["ctypes", "pythonapi"])
def test_where_values_can_not_be_marked_they_stay_as_they_are(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    monkeypatch.setitem(sys.modules, "ctypes", None if missing == "ctypes" else types.ModuleType("ctypes"))
    _marker.cache_clear()
    try:
        mark_shared({})
        assert _marker() is None
    finally:
        _marker.cache_clear()
