"""Budget: what the pools of several endpoints share, so that one limit can hold for all of them.

It is one lock, one count of all connections with its limit, one line of everybody who waits, and one order of all
idle connections from the longest idle to the newest; an ``EndpointPool`` that stands alone has a shared_limit of its
own. It hands the pools nothing but these; who is served and what is closed is decided in ``state``.
One lock for all, rather than one for each endpoint and one above, leaves no order of locks to get wrong, and holds
are below a microsecond; the order is an ``OrderedDict`` because its first item is found in O(1) after any number
of removals (a plain dict's is not).
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from math import inf
from typing import Any, Final

from ..base import after_fork
from ..base.logs import logger
from .entry import Entry
from .settings import check_limit
from .waiter import NO_WAITERS, Waiter

log = logger(__name__)


class SharedLimit:
    """``limit``: the most connections of all pools together; None: no limit.

    ``shared`` is False for the private shared_limit of a pool that stands alone: its own queue is order enough.
    """

    __slots__ = (
        "__weakref__",
        "_carriers",
        "excess",
        "held",
        "late",
        "limit",
        "line",
        "lock",
        "order",
        "trim_at",
        "used",
    )

    def __init__(self, limit: int | None = None, *, shared: bool = True) -> None:
        self.limit = check_limit("total_maxsize", limit)
        self.order: OrderedDict[int, Entry[Any]] | None = OrderedDict() if shared else None
        self.reset()
        if shared:  # another's is looked after by its pool
            after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        """In a forked child: a new lock and empty books; the pools that share it come after it."""
        self.reset()

    def reset(self) -> None:
        #: Guards everything here and every field of the pools that share the shared_limit.  Re-entrant, because the
        #: garbage collector may run a finaliser that returns a connection in the very thread that holds it.
        self.lock = threading.RLock()
        #: Whether this thread holds the lock (the method ``threading.Condition`` relies on, too).
        self.held: Callable[[], bool] = self.lock._is_owned  # type: ignore[attr-defined]
        #: Returns that came from inside the lock; they are carried out as soon as it is free.
        self.late: deque[Callable[[], object]] | None = None
        self._carriers: set[int] = NO_CARRIERS  # the threads that carry out such returns
        #: Connections of all pools: leased, idle, opening and closing.
        self.used = 0
        #: Whether the limit was made smaller than what exists; returned connections are closed until it holds.
        self.excess = False
        #: When the next idle connection may have become too old; asked on acquire and release.
        self.trim_at = inf
        self.line: OrderedDict[Waiter, None] = NO_WAITERS
        if self.order is not None:
            self.order.clear()

    @property
    def is_limited(self) -> bool:
        """Whether a connection of one endpoint can stand in the way of another's."""
        return self.limit is not None

    @property
    def is_shared(self) -> bool:
        """Whether there are several pools, so that the line and the order of all count."""
        return self.order is not None

    @property
    def is_over(self) -> bool:
        """Whether more connections exist than may."""
        return self.limit is not None and self.used > self.limit

    @property
    def is_spent(self) -> bool:
        """Whether no further connection may be opened before another is gone."""
        return self.limit is not None and self.used >= self.limit

    def __reduce__(self) -> tuple[type[SharedLimit], tuple[int | None]]:
        return type(self), (self.limit,)

    def check_locked(self) -> None:
        """Assert what must hold between any two calls; for tests."""
        assert self.used >= 0, "more connections gone than opened"
        assert self.excess or not self.is_over, f"{self.used} of {self.limit}"

    def __enter__(self) -> None:
        """``with shared_limit, shared_limit.lock:`` is the way to take the lock: late returns are carried out at its
        end.

        The lock is taken by its own ``with``, for that cannot be interrupted between taking it and guarding it.
        """

    def __exit__(self, *exc_info: object) -> None:
        if self.late and not self.held():
            self.run_deferred()

    def defer(self, action: Callable[[], object]) -> None:
        """Have something done as soon as the lock is free, which this thread holds."""
        if self.late is None:
            self.late, self._carriers = deque(), set()
        self.late.append(action)

    def run_deferred(self) -> None:
        """Do the returns that arrived while the lock was held by the thread that made them, one after the other.

        An action that is interrupted is done again, so it must find out whether it was done.  A return made by one of
        them comes by here again: it leaves the rest to the loop that runs already.
        """
        me = threading.get_ident()
        if me in self._carriers or self.held():
            return
        try:
            self._carriers.add(me)
            while self.late:
                self._carry_out_one()
        finally:
            self._carriers.discard(me)

    def _carry_out_one(self) -> None:
        action: Callable[[], object] | None = None
        try:
            with self.lock:
                if self.late:
                    action = self.late[0]
                    del self.late[0]
            if action is not None:
                action()
        except Exception:
            log.exception("a connection could not be returned from a finaliser")
        except BaseException:
            if action is not None:
                self.defer(action)
            raise


#: For all budgets that had no such return.
NO_CARRIERS: Final[set[int]] = set()
