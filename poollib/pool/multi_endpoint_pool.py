"""ConnectionPool: leases connections to any number of endpoints, under one limit for all.

It makes one ``EndpointPool`` for each endpoint that is asked for, lets them share a limit (``total_maxsize``), and
drops those that have become empty; callers get connections, or a whole ``EndpointPool`` that takes part.
How one endpoint's connections are leased, aged and closed is left to ``endpoint_pool``, who is served first to
``state``.
A dict of pools with one limit above is Apache HttpClient's pooling manager; its name and verbs are generic-connection-
pool's, so that any kind of connection fits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar
from weakref import WeakSet

from ..base import after_fork
from ..base.trace import Trace
from ..exceptions import ClosedPoolError
from .endpoint_pool import EndpointPool, connection_block
from .factory import Factory, check_methods
from .settings import DISPOSE_BATCH_SIZE, Settings, check_limit
from .shared_limit import SharedLimit
from .state import State
from .stats import PoolStats, sum_of

Endpoint = TypeVar("Endpoint", bound=Hashable)
Connection = TypeVar("Connection")

__all__ = ["ConnectionPool", "EndpointPool", "Factory", "PoolStats", "Settings", "State"]

#: Also of another kind of connection: those made with a factory of their own, which share the limit.
AnyEndpointPool: TypeAlias = EndpointPool[Any, Any]
#: Below this many endpoints nobody looks for empty ones; above, whenever the number has doubled.
FEW_ENDPOINTS = 64


class ConnectionPool(Generic[Endpoint, Connection]):
    """Leases connections made by ``factory`` to hashable endpoints.  Thread-safe.

    ``total_maxsize`` is the most connections to all endpoints together (None: no limit): when it is spent, the longest
    idle connection of any endpoint makes room, and if none is idle, ``acquire`` waits, whatever ``block`` says, in one
    queue for all endpoints.  The other settings hold for each endpoint; the table of ``Settings`` explains them.

    It pickles as factory and settings.  In a forked child it starts empty.
    """

    def __init__(
        self,
        factory: Factory[Endpoint, Connection],
        *,
        maxsize: int | None = 1,
        total_maxsize: int | None = None,
        block: bool = False,
        idle_timeout: float | None = None,
        max_lifetime: float | None = None,
        min_idle: int = 0,
        background_collector: bool = False,
        dispose_batch_size: int = DISPOSE_BATCH_SIZE,
        acquire_timeout: float | None = None,
        leak_timeout: float | None = None,
        max_waiting: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        trace: Trace | None = None,
    ) -> None:
        check_methods(factory)
        self.factory = factory
        self.trace = trace
        self._settings = Settings(
            maxsize,
            block,
            idle_timeout,
            max_lifetime,
            min_idle,
            background_collector,
            dispose_batch_size,
            acquire_timeout,
            leak_timeout,
            max_waiting,
        ).checked()
        self._clock = clock
        self._shared = SharedLimit(total_maxsize)
        self._state = State.OPEN
        self._pools: dict[Endpoint, EndpointPool[Endpoint, Connection]] = {}  # written under the shared lock
        self._external_pools: WeakSet[AnyEndpointPool] = WeakSet()  # made by endpoint_pool(), owned by the caller
        self._owners: dict[int, EndpointPool[Endpoint, Connection]] = {}  # id(connection) -> who leased it
        self._past = PoolStats()  # of the pools that were dropped
        self._look_for_empty_at = FEW_ENDPOINTS
        after_fork.remember(self)

    # -- leasing ----------------------------------------------------------------------------------------------

    def connection(self, endpoint: Endpoint, timeout: float | None = None) -> AbstractContextManager[Connection]:
        """A connection for the length of a ``with`` block: released at its end, discarded if the block raised."""
        return connection_block(self, lambda: self.acquire(endpoint, timeout), self._owner_of, self._reclaim)

    def acquire(self, endpoint: Endpoint, timeout: float | None = None) -> Connection:
        """A connection to ``endpoint``; the caller owes one release, discard or detach.  See EndpointPool.acquire."""
        while True:
            pool = self._pools.get(endpoint) or self._add_pool(endpoint)
            try:
                connection = pool.acquire(timeout)
            except ClosedPoolError:
                if self._state is State.OPEN and self._pools.get(endpoint) is not pool:
                    continue  # it was dropped as empty just now
                raise
            try:
                other = self._owners.get(id(connection))
                if other is None or other is pool or other.lease_of(connection) < 0:
                    self._owners[id(connection)] = pool
                    return connection
            except BaseException:
                pool.reclaim(connection, None)
                raise
            pool.detach(connection)
            raise RuntimeError(f"connect() made {connection!r}, which {other!r} has lent; it must make a new one")

    def release(self, connection: Connection, *, idle_limit: float | None = None) -> None:
        """Give a clean connection back.  See EndpointPool.release."""
        self._end(connection, lambda owner: owner.release(connection, idle_limit=idle_limit))

    def discard(self, connection: Connection, reason: str = "discarded") -> None:
        """Close a connection that must not be used again.  See EndpointPool.discard."""
        self._end(connection, lambda owner: owner.discard(connection, reason))

    def detach(self, connection: Connection) -> Connection:
        """The connection itself, now the caller's own.  See EndpointPool.detach."""
        self._end(connection, lambda owner: owner.detach(connection))
        return connection

    def endpoint_pool(
        self, endpoint: Endpoint, factory: Factory[Any, Any] | None = None, **settings: Any
    ) -> AnyEndpointPool:
        """A new pool for one endpoint that takes part in the shared limit; it lives as long as the caller holds it.

        ``settings`` are keywords of EndpointPool; what is not given is as in this pool.  It is closed, swept and
        counted together with the others, and ``acquire`` of this pool never takes from it.
        """
        keywords = {**self._settings.keywords(), "clock": self._clock, "trace": self.trace, **settings}
        maker = self.factory if factory is None else factory
        pool: AnyEndpointPool = EndpointPool(endpoint, maker, shared_limit=self._shared, **keywords)
        with self._shared, self._shared.lock:
            self._raise_unless_open()
            self._external_pools.add(pool)
        pool.start_housekeeping()
        return pool

    # -- the pool as a whole -----------------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> bool:
        """True once all connections of all endpoints are closed.  See EndpointPool.close."""
        with self._shared, self._shared.lock:
            self._state = State.CLOSING
        pools = self._every_pool()
        for pool in pools:
            pool.close()
        is_over = self._all_in_time(pools, EndpointPool.wait_closed, 0.0 if timeout is None else timeout)
        if is_over:
            self._state = State.CLOSED
        return is_over

    def drain(self, timeout: float | None = None) -> bool:
        """True once every connection that exists now is closed.  See EndpointPool.drain."""
        pools = self._every_pool()
        for pool in pools:
            pool.drain(0.0)
        return self._all_in_time(pools, EndpointPool.wait_drained, timeout)

    def drop_idle(self, reason: str = "refreshed") -> int:
        """How many idle connections were closed: all there were."""
        return sum(pool.drop_idle(reason) for pool in self._every_pool())

    def resize(self, maxsize: int | None) -> None:
        """Change the limit of each endpoint, of those there are and of those to come."""
        maxsize = check_limit("maxsize", maxsize)
        with self._shared, self._shared.lock:
            self._settings = self._settings.with_maxsize(maxsize)
        for pool in list(self._pools.values()):
            pool.resize(maxsize)

    def resize_total(self, total_maxsize: int | None) -> None:
        """Change the limit of all endpoints together.

        Smaller: the longest idle are closed now, leased ones on return, until it holds.
        """
        total_maxsize = check_limit("total_maxsize", total_maxsize)
        try:
            self._shared.resize(total_maxsize)
        except BaseException:
            self._shared.resize(total_maxsize)  # nobody else would wake who waits
            raise
        finally:
            for pool in self._every_pool():
                pool.close_pending()

    def sweep(self, now: float) -> float | None:
        """Sweep all endpoints' pools and drop the empty ones; seconds until the next call, None: closed."""
        if self._state is not State.OPEN:
            return None
        pauses = [pool.sweep(now) for pool in self._every_pool()]
        self._drop_empty_pools()
        return min((pause_s for pause_s in pauses if pause_s is not None), default=None)

    def _reset_after_fork(self) -> None:
        """In a forked child: counts at zero; the endpoints' pools are reset after it."""
        self._past = PoolStats()

    def __enter__(self) -> ConnectionPool[Endpoint, Connection]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _make, (type(self), self.factory, self._settings, self._shared.limit)

    # -- looking -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the pool is in its life."""
        if self._state is State.CLOSING and all(pool.state is State.CLOSED for pool in self._every_pool()):
            self._state = State.CLOSED
        return self._state

    @property
    def maxsize(self) -> int | None:
        """The limit of each endpoint; None: no limit."""
        return self._settings.maxsize

    @property
    def total_maxsize(self) -> int | None:
        """The limit of all endpoints together; None: no limit."""
        return self._shared.limit

    @property
    def shared_limit(self) -> SharedLimit:
        """What the endpoints' pools share."""
        return self._shared

    def stats(self) -> PoolStats:
        """The figures of all endpoints in sum, those of pools made by ``endpoint_pool`` while they live."""
        with self._shared, self._shared.lock:  # in one hold: what moves from pool to pool is seen once
            snapshots = [*(pool.stats() for pool in self._every_pool()), self._past]
            evicting = self._shared.evicting
        total = sum_of(snapshots, self._shared.limit)
        return total._replace(opening=total.opening - evicting)  # who waits for these to be closed opens nothing yet

    def stats_by_endpoint(self) -> dict[Endpoint, PoolStats]:
        """The figures of every endpoint that has connections, or had some lately."""
        return {endpoint: pool.stats() for endpoint, pool in list(self._pools.items())}

    def __repr__(self) -> str:
        now = self.stats()
        return (
            f"<{type(self).__name__} {self.state.value}: {len(self._pools)} endpoints, {now.idle} idle,"
            f" {now.leased} leased, {now.opening} opening, {now.waiting} waiting,"
            f" total_maxsize {self._shared.limit}>"
        )

    def check(self) -> None:
        """Assert everything that must hold between any two calls; for tests."""
        with self._shared, self._shared.lock:
            pools = self._every_pool()
            for pool in pools:
                pool.check()
            total = sum(pool.stats().total for pool in pools) - self._shared.evicting
            assert total == self._shared.used, f"{total} connections, {self._shared.used} in the shared limit"
            idle = {id(connection) for pool in pools for connection in pool.idle_connections()}
            assert idle == set(self._shared.idle_order or ()), "the order of the idle is not that of the pools"
            waiting = sum(pool.waiting for pool in pools)
            assert waiting == len(self._shared.waiters), f"{waiting} wait, {len(self._shared.waiters)} in line"

    # -- helpers -----------------------------------------------------------------------------------------------

    def _end(self, connection: Connection, end: Callable[[EndpointPool[Endpoint, Connection]], object]) -> None:
        """End a lease with the pool that owns the connection; it leaves the index first, while it is still leased."""
        owner: EndpointPool[Endpoint, Connection] | None = None
        lease: int | None = None
        try:
            owner = self._owner_of(connection)
            lease = owner.lease_of(connection)
            self._owners.pop(id(connection), None)
            end(owner)
        except BaseException:
            self._reclaim(owner, connection, lease)
            raise

    def _reclaim(
        self, owner: EndpointPool[Endpoint, Connection] | None, connection: Connection, lease: int | None
    ) -> None:
        """See EndpointPool.reclaim; ``owner``: who leased it, None if that was not looked up yet."""
        owner = owner or self._owners.get(id(connection))
        if owner is None:
            return
        if lease in (None, owner.lease_of(connection)):
            self._owners.pop(id(connection), None)
        owner.reclaim(connection, lease)

    def _owner_of(self, connection: Connection) -> EndpointPool[Endpoint, Connection]:
        """The pool that leased it out."""
        owner = self._owners.get(id(connection))
        if owner is not None:
            return owner
        for pool in list(self._pools.values()):
            if any(idle is connection for idle in pool.idle_connections()):
                return pool  # which raises FullPoolError
        raise ValueError(f"{connection!r} is not lent by {self!r}")

    def _every_pool(self) -> list[AnyEndpointPool]:
        with self._shared, self._shared.lock:
            return [*self._pools.values(), *self._external_pools]

    def _add_pool(self, endpoint: Endpoint) -> EndpointPool[Endpoint, Connection]:
        """The pool for a new endpoint; racing threads get the same."""
        if len(self._pools) >= self._look_for_empty_at:
            self._drop_empty_pools()
        with self._shared, self._shared.lock:
            self._raise_unless_open()
            pool = self._pools.get(endpoint)
            if pool is None:
                pool = self._pools[endpoint] = EndpointPool(
                    endpoint,
                    self.factory,
                    shared_limit=self._shared,
                    clock=self._clock,
                    trace=self.trace,
                    **self._settings.keywords(),
                )
        pool.start_housekeeping()
        return pool

    def _drop_empty_pools(self) -> None:
        """Forget the endpoints without connections; amortised, this costs O(1) for each new endpoint."""
        with self._shared, self._shared.lock:
            gone = [pool for pool in self._pools.values() if pool.close_if_empty_locked()]
            for pool in gone:
                del self._pools[pool.endpoint]
            self._past = sum_of([self._past, *(pool.stats() for pool in gone)], None)
            self._look_for_empty_at = max(FEW_ENDPOINTS, 2 * len(self._pools))

    def _all_in_time(
        self,
        pools: list[AnyEndpointPool],
        wait: Callable[[AnyEndpointPool, float | None], bool],
        timeout: float | None,
    ) -> bool:
        """Whether ``wait`` is true of all pools within ``timeout`` seconds together; None: as long as it takes."""
        give_up_at = None if timeout is None else self._clock() + timeout
        outcomes = [wait(pool, None if give_up_at is None else max(0.0, give_up_at - self._clock())) for pool in pools]
        return all(outcomes)

    def _raise_unless_open(self) -> None:
        if self._state is not State.OPEN:
            raise ClosedPoolError(self, f"the pool is {self.state.value}")


def _make(
    cls: type[ConnectionPool[Endpoint, Connection]],
    factory: Factory[Endpoint, Connection],
    settings: Settings,
    total_maxsize: int | None,
) -> ConnectionPool[Endpoint, Connection]:
    """What a pickled pool unpickles to: a new one with the same settings."""
    return cls(factory, total_maxsize=total_maxsize, **settings.keywords())
