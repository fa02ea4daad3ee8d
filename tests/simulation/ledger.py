"""What must hold of pools after every step of a run. It looks at their tables and repairs nothing.

It is asked when the lock of the pools is free: what one holder of the lock has begun, the same holder ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import ref

from poollib.pool import EndpointPool, SharedLimit, State

Pool = EndpointPool[Any, Any]


class Ledger:
    """Looks at ``pools``, which share ``limit`` or stand alone, each with its own."""

    def __init__(self) -> None:
        self._pools: list[ref[Pool]] = []
        self.is_one_leaving = False  # a pool is being finalised: its connections count in the limit alone
        self.is_interrupted = False  # a task is on its way to its handlers, which wake who is to be woken
        self._queues: dict[ref[Pool], list[Any]] = {}
        self.looks = 0

    def watch(self, pool: Pool) -> None:
        """Look at this pool from now on, as long as it lives."""
        self._pools.append(ref(pool))

    def watch_once(self, pool: Pool) -> None:
        """As ``watch``, unless it is looked at already."""
        reference = ref(pool)
        if reference not in self._pools:
            self._pools.append(reference)

    def pools(self) -> Iterator[Pool]:
        """Those that live."""
        for reference in self._pools:
            pool = reference()
            if pool is not None:
                yield pool

    def check(self) -> None:
        """AssertionError says what is wrong."""
        self.looks += 1
        pools = list(self.pools())
        if any(pool._lock.depth for pool in pools):  # type: ignore[attr-defined]
            return
        for pool in pools:
            _check_counts(pool)
            if not self.is_interrupted:
                _check_sleepers(pool)
            self._check_order(pool)
        for shared_limit in {id(pool._shared): pool._shared for pool in pools}.values():
            self._check_budget(shared_limit, [pool for pool in pools if pool._shared is shared_limit])

    def _check_budget(self, shared_limit: SharedLimit, pools: list[Pool]) -> None:
        total = sum(pool._total_locked() for pool in pools) - shared_limit.evicting  # these left their slots to others
        evicted = sum(pool.evicted for pool in pools)
        assert evicted == shared_limit.evicting, f"{shared_limit.evicting} are evicted, the pools know of {evicted}"
        used, limit = shared_limit.used, shared_limit.limit
        assert used == total or (self.is_one_leaving and used > total), f"the budget counts {used}, its pools {total}"
        is_within = limit is None or used <= limit or shared_limit.is_shrinking or self.is_interrupted
        assert is_within, f"{used} connections of {limit} in all"
        if shared_limit.idle_order is not None and not self.is_one_leaving:
            idle = {entry.key for pool in pools for entry in pool._idle}
            assert idle == set(shared_limit.idle_order), "the order of the idle is not that of the pools"
            waiting = [waiter for pool in pools for waiter in pool._waiters]
            assert self.is_interrupted or set(waiting) == set(shared_limit.waiters), (
                "who waits in a pool and in all pools differs"
            )

    def _check_order(self, pool: Pool) -> None:
        """First come, first served: who is in the queue stands there as before, the new ones behind."""
        before, now = self._queues.get(ref(pool), []), list(pool._waiters)
        stayed = [waiter for waiter in before if waiter in pool._waiters]
        assert now[: len(stayed)] == stayed, "the queue is not in the order of arrival"
        if stayed:
            place = before.index(stayed[0])
            overtaken = [w for w in before[place:] if w not in pool._waiters and w.grant is not None]
            if not pool._shared.is_limited:
                assert not overtaken, "a waiter was served before one that came earlier"
        self._queues[ref(pool)] = now


def _check_counts(pool: Pool) -> None:
    idle, leased, ending = [e.key for e in pool._idle], list(pool.leases), [e.key for e in pool._to_close or ()]
    keys = [*idle, *leased, *ending]
    assert len(keys) == len(set(keys)), f"a connection is in two places: idle {idle}, leased {leased}, ending {ending}"
    assert pool._opening >= 0, "more openings ended than began"
    assert pool._closing >= len(ending), "a connection to be closed is not counted"
    assert 0 <= pool._warming <= pool._opening, "more are opened ahead than are opened"
    total = pool._total_locked()
    assert not pool.block or pool._is_shrinking or total <= pool._maxsize, f"{total} connections of {pool._maxsize}"
    assert len(idle) <= pool._maxsize, f"{len(idle)} idle of {pool._maxsize}"
    assert pool.state is not State.CLOSED or total == 0, "a closed pool has connections"


def _check_sleepers(pool: Pool) -> None:
    if pool._drain_waiters and pool.state is State.OPEN:
        assert not pool._is_drained_locked(), "a thread sleeps in drain(), which is over"
    sleepers = [waiter for waiter in pool._waiters if waiter.grant is None]
    if not sleepers:
        return
    assert pool.state is State.OPEN, "a thread waits in a closed pool"
    assert not pool._idle, "a thread sleeps while a connection is idle"
    shared_limit = pool._shared
    has_own_room = not pool.block or pool._total_locked() < pool._maxsize
    has_room = not shared_limit.is_full or bool(shared_limit.idle_order)
    assert not (has_own_room and has_room), "a thread sleeps while a slot is free"
