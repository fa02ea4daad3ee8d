"""Entry: what a pool knows about one connection, kept beside the connection and never on it.

The pool makes an entry when a connection is opened and moves it between its idle queue and its lease table
until the connection is closed or detached.  Only the pool that owns the connection writes here, under its lock;
what may be lent at all (expiry, quietness) is decided in ``state``.  The separation of entry and connection
follows HikariCP's PoolEntry: any object can be lent, also one without attributes to spare.
"""

from __future__ import annotations

from math import inf
from traceback import StackSummary
from typing import Any, Generic, TypeVar

Connection = TypeVar("Connection")


class Entry(Generic[Connection]):
    """One connection's times and counts.  All times are readings of the pool's clock, in seconds.

    ============== =====================================================================================
    connection     the thing lent
    key            ``id(connection)``: its place in the lease table; unique while the entry holds it
    home           weak reference to the pool that owns it
    ends_at        when its life is over (``max_lifetime`` less its jitter); ``inf``: never
    stale_at       when it may no longer be lent: ``ends_at``, or sooner if the peer announced to close it
    idle_since     when it was last laid among the idle
    leased_at      when it was last lent, if leaks are watched for; ``inf``: it is not lent
    taker          the frames of who took it, likewise
    is_reported    whether its present lease was reported as a leak
    reuses         how often it was lent after lying idle
    generation     the pool's drain count when it was opened; an older one is closed on return
    reason         why it is being closed; empty while it lives
    ============== =====================================================================================
    """

    __slots__ = (
        "connection",
        "ends_at",
        "generation",
        "home",
        "idle_since",
        "is_reported",
        "key",
        "leased_at",
        "reason",
        "reuses",
        "stale_at",
        "taker",
    )

    def __init__(
        self, connection: Connection, home: Any, opened_at: float, ends_at: float = inf, generation: int = 0
    ) -> None:
        self.connection = connection
        self.key = id(connection)
        self.home = home
        self.idle_since = opened_at
        self.leased_at = inf
        self.ends_at = self.stale_at = ends_at
        self.taker: StackSummary | None = None
        self.is_reported = False
        self.reuses = 0
        self.generation = generation
        self.reason = ""
