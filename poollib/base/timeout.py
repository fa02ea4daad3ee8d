"""How long each step may take: the wish (:class:`Timeout`) and the running clock (:class:`Deadline`).

A Timeout is what a caller asks for and may be shared by any number of requests and threads; whoever runs one
attempt takes a ``clone()``, starts its clock and reads the properties, and hands a Deadline on to every module
that waits.  Setting timeouts on sockets and turning an expired one into an error is left to those modules.
Values and messages follow urllib3 2.8; ``write``, ``pool`` and ``deadline`` are poollib's own.
"""

from __future__ import annotations

import time
from enum import Enum
from socket import getdefaulttimeout
from typing import Any, Final, Literal, TypeAlias, cast

from ..exceptions import DeadlineExceededError, TimeoutStateError
from .exact_values import mark_shared

#: The most a socket takes: its timeout travels as milliseconds in a C int (CPython, socketmodule).
LONGEST_S: Final = 2_147_483.0


class _TYPE_DEFAULT(Enum):
    """The type of "not given", which is told apart from ``None``, "no limit"."""

    token = -1


_DEFAULT_TIMEOUT: Final = _TYPE_DEFAULT.token
mark_shared(_DEFAULT_TIMEOUT)
_Default: TypeAlias = Literal[_TYPE_DEFAULT.token]
_TYPE_TIMEOUT: TypeAlias = float | _Default | None


class Timeout:
    """What a request may take, in seconds; ``None`` is no limit, not given is ``socket.getdefaulttimeout()``.

    ``connect`` bounds name resolution, dialling, tunnel and TLS together; ``read`` each wait for bytes;
    ``total`` connecting and waiting for the response together; the smaller one counts.  ``write`` bounds
    each send (not given: the connect timeout, as in urllib3), ``pool`` the wait for a free connection (not
    given: none), and ``deadline`` the whole exchange, from the wait for a connection to the last byte of
    the body, retries and redirects included.  What is no positive number up to 24 days raises ValueError
    naming the argument.
    """

    __slots__ = ("_connect", "_read", "_start_connect", "deadline", "pool", "total", "write")

    DEFAULT_TIMEOUT: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT

    def __init__(
        self,
        total: _TYPE_TIMEOUT = None,
        connect: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        read: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        *,
        write: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        pool: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        deadline: float | Deadline | None = None,
    ) -> None:
        check = self._validate_timeout
        # What is no number needs no call: requests makes one for each request.
        self._connect = connect if connect is None or connect is _DEFAULT_TIMEOUT else check(connect, "connect")
        self._read = read if read is None or read is _DEFAULT_TIMEOUT else check(read, "read")
        self.total = None if total is None else check(total, "total")
        self.write = _DEFAULT_TIMEOUT if write is _DEFAULT_TIMEOUT else check(write, "write")
        self.pool = _DEFAULT_TIMEOUT if pool is _DEFAULT_TIMEOUT else check(pool, "pool")
        if deadline is not None and type(deadline) is not Deadline:
            deadline = cast("float", check(deadline, "deadline"))
        self.deadline = deadline
        self._start_connect: float | None = None

    @classmethod
    def from_float(cls, timeout: _TYPE_TIMEOUT) -> Timeout:
        """A Timeout whose ``connect`` and ``read`` are both ``timeout``, as a bare number is meant."""
        return cls(read=timeout, connect=timeout)

    @staticmethod
    def resolve_default_timeout(timeout: _TYPE_TIMEOUT) -> float | None:
        """``timeout``, or ``socket.getdefaulttimeout()`` where none was given."""
        return getdefaulttimeout() if timeout is _DEFAULT_TIMEOUT else timeout

    @classmethod
    def _validate_timeout(cls, value: object, name: str) -> _TYPE_TIMEOUT:
        """``value``, if it is one a Timeout may hold; otherwise ValueError naming the argument ``name``."""
        if value is None or value is _DEFAULT_TIMEOUT:
            return value
        if (type(value) is float or type(value) is int) and 0 < value <= LONGEST_S:
            return value
        return _validate_slowly(value, name)

    # -- one attempt's clock --

    def clone(self) -> Timeout:
        """The same wish with its clock not started: what one attempt uses."""
        twin = object.__new__(type(self))
        twin.total = self.total
        twin._connect = self._connect
        twin._read = self._read
        twin.write = self.write
        twin.pool = self.pool
        twin.deadline = self.deadline
        twin._start_connect = None
        return twin

    def start_connect(self) -> float:
        """The time on ``time.monotonic()`` at which the clock started: now.  Raises if it already runs."""
        if self._start_connect is not None:
            raise TimeoutStateError("Timeout timer has already been started.")
        self._start_connect = time.monotonic()
        return self._start_connect

    def get_connect_duration(self) -> float:
        """Seconds since ``start_connect()``; TimeoutStateError if that was not called."""
        if self._start_connect is None:
            raise TimeoutStateError("Can't get connect duration for timer that has not started.")
        return time.monotonic() - self._start_connect

    def start_deadline(self, now: float | None = None) -> Deadline | None:
        """The running Deadline of an exchange that starts now; ``None`` if there is none."""
        if self.deadline is None or isinstance(self.deadline, Deadline):
            return self.deadline
        return Deadline(self.deadline, now)

    def started(self) -> Timeout:
        """The same wish, its deadline running."""
        running = self.clone()
        running.deadline = self.start_deadline()
        return running

    @property
    def connect_timeout(self) -> _TYPE_TIMEOUT:
        """Seconds for making a connection: the smaller of ``connect`` and ``total``."""
        total, connect = self.total, self._connect
        if total is None or total is _DEFAULT_TIMEOUT:
            return connect
        if connect is None or connect is _DEFAULT_TIMEOUT:
            return total
        return min(connect, total)

    @property
    def read_timeout(self) -> float | None:
        """Seconds for each wait for bytes: ``read``, or what connecting left of ``total`` if less.

        With ``total`` alone, TimeoutStateError before ``start_connect()``.
        """
        total, read = self.total, self._read
        if total is None or total is _DEFAULT_TIMEOUT:
            return getdefaulttimeout() if read is _DEFAULT_TIMEOUT else read
        if read is None or read is _DEFAULT_TIMEOUT:
            return max(0, total - self.get_connect_duration())
        if self._start_connect is None:
            return read
        return max(0, min(total - self.get_connect_duration(), read))

    @property
    def write_timeout(self) -> float | None:
        """Seconds for each send: the smaller of ``write`` and ``total``; not given, the connect timeout."""
        write, total = self.write, self.total
        if write is _DEFAULT_TIMEOUT:
            return self.resolve_default_timeout(self.connect_timeout)
        if total is None or total is _DEFAULT_TIMEOUT:
            return write
        return total if write is None else min(write, total)

    @property
    def pool_timeout(self) -> float | None:
        """Seconds to wait for a free connection; ``None``: as long as it takes."""
        return None if self.pool is _DEFAULT_TIMEOUT else self.pool

    # -- as a value --

    def _values(self) -> tuple[object, ...]:
        return (self.total, self._connect, self._read, self.write, self.pool, self.deadline)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Timeout) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        own = "".join(
            f", {name}={value!r}"
            for name, value, default in (
                ("write", self.write, _DEFAULT_TIMEOUT),
                ("pool", self.pool, _DEFAULT_TIMEOUT),
                ("deadline", self.deadline, None),
            )
            if value is not default
        )
        name = type(self).__name__
        return f"{name}(connect={self._connect!r}, read={self._read!r}, total={self.total!r}{own})"

    __str__ = __repr__


def _validate_slowly(value: Any, name: str) -> float:
    """A number of another type (numpy's, a Fraction), or ValueError saying what is wrong with ``value``."""
    if isinstance(value, bool):
        raise ValueError(f"Timeout cannot be a boolean value. {name} was {value}: it must be an int, float or None.")
    try:
        number = float(value)
        is_comparable = bool(value <= number or value > number)
    except (TypeError, ValueError, OverflowError):
        is_comparable = False
    if not is_comparable:
        raise ValueError(f"Timeout value {name} was {value}, but it must be an int, float or None.")
    if number <= 0:
        raise ValueError(
            f"Attempted to set {name} timeout to {value}, but the timeout cannot be set to a value "
            "less than or equal to 0."
        )
    if number > LONGEST_S:
        raise ValueError(
            f"Attempted to set {name} timeout to {value}, but a socket takes at most {LONGEST_S:.0f} s: "
            "use None for no limit."
        )
    return number


class Deadline:
    """The moment ``at`` on ``time.monotonic()`` by which an exchange is over, ``limit_s`` after its start."""

    __slots__ = ("at", "limit_s")

    def __init__(self, seconds: float, now: float | None = None) -> None:
        self.limit_s = seconds
        self.at = (time.monotonic() if now is None else now) + seconds

    def remaining_s(self, phase: str, now: float | None = None) -> float:
        """Seconds left, more than 0; DeadlineExceededError naming the ``phase`` when they are spent."""
        left_s = self.at - (time.monotonic() if now is None else now)
        if left_s > 0:
            return left_s
        raise DeadlineExceededError(
            f"Deadline of {self.limit_s:g} s exceeded by {-left_s:.3f} s, phase: {phase}", phase
        )

    def cap_s(self, wish: float | None, phase: str, now: float | None = None) -> float:
        """The smaller of ``wish`` (``None``: no limit) and what is left; raises as ``remaining_s`` does."""
        left_s = self.remaining_s(phase, now)
        return left_s if wish is None or wish > left_s else wish

    def __reduce__(self) -> tuple[type[Deadline], tuple[float]]:
        """Another process has another clock: what is left starts anew there."""
        return Deadline, (max(0.0, self.at - time.monotonic()),)

    def __repr__(self) -> str:
        return f"Deadline({self.limit_s:g}, left={self.at - time.monotonic():.3f})"
