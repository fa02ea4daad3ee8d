"""What a pool knows about one connection, kept beside the connection and never on it; and the permit to open one.

The pool makes an entry when a connection is opened and moves it between its idle queue and its table of leases
until the connection is closed or detached.  Only the pool that owns the connection writes here, under its lock;
what may be leased at all (age, quietness) is decided in ``state``.  The separation of entry and connection
follows HikariCP's PoolEntry: any object can be pooled, also one without attributes to spare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf
from traceback import StackSummary
from typing import Generic, Protocol, TypeVar

from ..base.exact_values import mark_shared

# An entry is written to by its own pool alone, which made it; the others that share a limit with this pool read it as
# the entry of some object, and hand it back to its own pool.  So it is declared covariant.
Connection_co = TypeVar("Connection_co", covariant=True)
Connection_contra = TypeVar("Connection_contra", contravariant=True)


#: The ``generation`` of an entry whose connection is closed and counts no more.
GONE = -1
#: The ``generation`` of one that is still to be closed, and whose slot in the shared limit is another's already.
EVICTED = -2


#: Reasons for closing a connection because of its age; PoolStats sums them up as ``expired``.
IDLE_TIMEOUT, MAX_LIFETIME, PEER_LIMIT = "idle timeout", "max lifetime", "keep-alive limit"


class Holder:
    """Where in a program a connection was taken that stays with it; ``lease`` tells from which lease."""

    __slots__ = ("is_told", "lease", "place")

    def __init__(self, lease: int, place: str) -> None:
        self.lease, self.place, self.is_told = lease, place, False


def shown_places(holders: list[Holder]) -> str:
    """The places with how many are held there, the first few."""
    counted = Counter(holder.place for holder in holders)
    return ", ".join(f"{place} ({count} times)" if count > 1 else place for place, count in counted.most_common(3))


class Permit:
    """Leave to open one connection; it is counted as ``opening`` until it is spent.

    ``victim`` is an idle connection that made room: whoever holds the permit closes it before dialling, so that
    the peers never see one connection more than the limit allows.  Until then it counts as closing in its own pool, for
    that one's ``maxsize``.  ``is_ahead``: nobody waits for the connection.
    """

    __slots__ = ("is_ahead", "pending", "victim")

    def __init__(self, is_ahead: bool = False) -> None:
        self.victim: Entry[object] | None = None
        self.is_ahead = is_ahead
        self.pending = True


class EntryPool(Protocol[Connection_contra]):
    """What pools that share a limit ask of each other: each alone writes to its tables.  The lock is one for all."""

    #: How many are being closed whose slot in the shared limit is another's already.
    evicted: int

    @property
    def needs_housekeeper(self) -> bool:
        """Whether the housekeeper closes what is too old there, not whoever comes by."""

    def expiry_reason(self, entry: Entry[Connection_contra], now: float) -> str | None:
        """Why an idle entry is too old, or None."""

    def usable_until(self, entry: Entry[Connection_contra]) -> float:
        """When an idle entry will be too old."""

    def is_idle_locked(self, entry: Entry[Connection_contra]) -> bool:
        """Whether the entry is among the idle."""

    def evict_locked(self, entry: Entry[Connection_contra], permit: Permit) -> bool:
        """Whether an entry is the longest idle one of its pool, and now the permit's victim."""

    def discard_idle_locked(self, entry: Entry[Connection_contra], reason: str) -> None:
        """Have an idle connection closed."""

    def report_leaks(self, now: float) -> float:
        """Log every lease that lasts too long, once; when to look again."""

    def close_pending(self) -> None:
        """Close what is to be closed; no lock is held."""

    def close_evicted(self, entry: Entry[Connection_contra]) -> None:
        """Close a connection that made room for another, and free its place here; no lock is held."""


class Entry(Generic[Connection_co]):
    """One connection's times and counts.  All times are readings of the pool's clock, in seconds.

    ================ =====================================================================================
    connection       the connection itself
    key              ``id(connection)``: its key in the table of leases; unique while the entry holds it
    pool_ref         weak reference to the pool that owns it
    ends_at          when its life is over (``max_lifetime`` less its jitter); ``inf``: never
    stale_at         when it may no longer be leased: ``ends_at``, or sooner if the peer announced to close it
    idle_since       when it became idle last
    leased_at        when it was leased last, if leaks are looked for or leases measured; ``inf``: it is not leased
    acquired_by      the stack of who acquired it, likewise
    is_leak_reported whether its present lease was reported as a leak
    is_checked       whether its present lease was found usable: if not yet, that counts as no reuse
    reuses           how often it was leased after it had been idle; tells one lease from the next
    generation       the pool's drain count when it was opened; an older one is closed on return
    reason           why it is being closed; empty while it is used
    ================ =====================================================================================
    """

    __slots__ = (
        "__weakref__",
        "acquired_by",
        "connection",
        "ends_at",
        "generation",
        "idle_since",
        "is_checked",
        "is_leak_reported",
        "key",
        "leased_at",
        "pool_ref",
        "reason",
        "reuses",
        "stale_at",
    )

    def __init__(
        self,
        connection: Connection_co,
        pool_ref: Callable[[], EntryPool[Connection_co] | None],
        opened_at: float,
        ends_at: float = inf,
        generation: int = 0,
    ) -> None:
        self.connection = connection
        self.key = id(connection)
        self.pool_ref = pool_ref
        self.idle_since = opened_at
        self.leased_at = inf
        self.ends_at = self.stale_at = ends_at
        self.acquired_by: StackSummary | None = None
        self.is_leak_reported = False
        self.is_checked = True
        self.reuses = 0
        mark_shared(connection, self.key)
        self.generation = generation
        self.reason = ""
