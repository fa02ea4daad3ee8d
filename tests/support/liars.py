"""Subclasses of str, bytes and int that say of themselves what they do not hold, and a number that is no int."""

from __future__ import annotations

from typing import Any

EVIL = "evil\r\nEvil: 1\r\nContent-Length: 99\r\n\r\nGET /second HTTP/1.1"


class LyingText(str):
    """A str whose every way to be shown, changed or compared is a lie; it holds what it was made of."""

    def _lie(self, *args: Any, **kwargs: Any) -> str:
        return EVIL

    __str__ = __repr__ = __format__ = lower = upper = strip = title = rstrip = partition = split = _lie  # type: ignore
    replace = __getitem__ = casefold = join = translate = _lie  # type: ignore[assignment]

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        return EVIL.encode()

    def startswith(self, *args: Any) -> bool:
        return True

    def endswith(self, *args: Any) -> bool:
        return True

    def isascii(self) -> bool:
        return True

    def __len__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class AgreeingText(LyingText):
    """One that is equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class LyingBytes(bytes):
    def _lie(self, *args: Any) -> bytes:
        return EVIL.encode()

    __bytes__ = lower = strip = __getitem__ = __add__ = __mod__ = _lie  # type: ignore[assignment]

    def decode(self, *args: Any, **kwargs: Any) -> str:
        return EVIL

    def __buffer__(self, flags: int) -> memoryview:  # asked from Python 3.12 on
        return memoryview(EVIL.encode())

    def __len__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = bytes.__hash__


class LyingInt(int):
    def _lie(self, *args: Any) -> str:
        return EVIL

    __str__ = __repr__ = __format__ = _lie

    def __int__(self) -> int:
        return 99

    def __index__(self) -> int:
        return 99

    def to_bytes(self, *args: Any, **kwargs: Any) -> bytes:
        return EVIL.encode()


class Index:
    """A whole number of another package, as numpy's are."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value
