"""Faults planted in the lending core, each to be found by some seed: one that goes unfound means a blind simulation.

A mutant changes one place of a function. The function's code is compiled anew from the changed text and put in place
for as long as it is looked for; no file is written.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple

from poollib import pool

FOLDER = pathlib.Path(pool.__file__).parent


class Mutant(NamedTuple):
    """One change. ``where``: module, then the function within it; ``old`` stands in that function once."""

    title: str
    where: str
    old: str
    new: str

    @property
    def module(self) -> str:
        return self.where.partition(" ")[0]

    @property
    def function(self) -> str:
        return self.where.partition(" ")[2]

    def code(self) -> CodeType:
        """The changed function's; LookupError if the function has not what is changed, or has it twice."""
        path = FOLDER / f"{self.module}.py"
        text = path.read_text()
        begin = text.find(f"def {self.function.rpartition('.')[2]}(", text.find(f"class {self.function.split('.')[0]}"))
        ends = [
            place for mark in ("\n    def ", "\nclass ", "\n    @", "\ndef ") if (place := text.find(mark, begin)) > 0
        ]
        end = min(ends, default=len(text))
        if begin < 0 or text.count(self.old, begin, end) != 1:
            raise LookupError(f"{self.where} has {text.count(self.old, begin, end)} times, not once: {self.old!r}")
        changed = text[:begin] + text[begin:end].replace(self.old, self.new) + text[end:]
        return _find(compile(changed, str(path), "exec"), self.function.split("."))

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The fault is there."""
        function = self._target()
        kept = function.__code__
        function.__code__ = self.code()
        try:
            yield
        finally:
            function.__code__ = kept

    def _target(self) -> FunctionType:
        found: Any = sys.modules[f"{pool.__name__}.{self.module}"]
        for name in self.function.split("."):
            found = vars(found)[name]
        assert isinstance(found, FunctionType), f"{self.where} is no function"
        return found


def _find(code: CodeType, names: list[str]) -> CodeType:
    for name in names:
        code = next(each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name)
    return code


MUTANTS: Final = [
    Mutant(
        "the waiter is not woken",
        "state PoolState._wake_locked",
        "        waiter.wakeup.release()",
        "        waiter.since = 0.0",
    ),
    Mutant(
        "a freed slot wakes nobody",
        "state PoolState._slot_freed_locked",
        "if self._waiters or shared_limit.waiters:",
        "if False:",
    ),
    Mutant(
        "a returned connection becomes idle while somebody waits",
        "state PoolState._return_locked",
        "            if self._waiters or shared_limit.waiters:\n                self.serve_waiters_locked()\n",
        "",
    ),
    Mutant(
        "the newest waiter is served first",
        "state PoolState.serve_waiters_locked",
        "next(iter(self._waiters))",
        "next(reversed(self._waiters))",
    ),
    Mutant(
        "the newest waiter gets what comes back",
        "state PoolState._hand_over_locked",
        "next(iter(self._waiters))",
        "next(reversed(self._waiters))",
    ),
    Mutant(
        "a failed connect keeps its slot",
        "state PoolState._cancel_permit_locked",
        "            self._opening -= 1\n",
        "",
    ),
    Mutant(
        "a failed connect keeps its share of the budget",
        "state PoolState._cancel_permit_locked",
        "            self._shared.used -= 1\n",
        "",
    ),
    Mutant(
        "a failed connect wakes nobody",
        "state PoolState._cancel_permit_locked",
        "        self._slot_freed_locked()",
        "        self._closing += 0",
    ),
    Mutant(
        "a detached connection keeps its share of the budget",
        "endpoint_pool EndpointPool.detach",
        "                    self._shared.used -= 1\n",
        "",
    ),
    Mutant(
        "a detached connection wakes nobody",
        "endpoint_pool EndpointPool.detach",
        "                    self._slot_freed_locked()\n",
        "",
    ),
    Mutant(
        "the slot is free before the connection is closed",
        "state PoolState._discard_leased_locked",
        "        self._closing += 1\n",
        "        self._shared.used -= 1\n",
    ),
    Mutant(
        "the connect's error is raised while its permit is kept",
        "acquire_slow_path AcquireSlowPath._cancel_waiter",
        "                self._cancel_permit_locked(grant)\n",
        "                pass\n",
    ),
    Mutant(
        "the evicted connection is not closed",
        "acquire_slow_path AcquireSlowPath._open_connection",
        "            self._close_victim(permit)\n",
        "",
    ),
    Mutant(
        "an evicted connection stays in the budget",
        "state PoolState.evict_locked",
        "        shared_limit.used -= 1\n",
        "",
    ),
    Mutant(
        "a permit is looked at without the lock",
        "acquire_slow_path AcquireSlowPath._request_grant",
        "        if not is_granted:\n            self._wait_for_grant",
        "        if waiter.grant is None:\n            self._wait_for_grant",
    ),
    Mutant(
        "who gave up stays in the queue",
        "state PoolState._remove_waiter_locked",
        "        self._waiters.pop(waiter, None)\n",
        "",
    ),
    Mutant(
        "close() wakes one waiter",
        "endpoint_pool EndpointPool._start_closing",
        "            while self._waiters:\n",
        "            if self._waiters:\n",
    ),
    Mutant(
        "drain() is not told of the last close",
        "state PoolState._notify_drain_waiters_locked",
        "            waiter.wakeup.release()\n",
        "            waiter.misses = 0\n",
    ),
    Mutant(
        "drain() is not told of a dead connection that is replaced",
        "acquire_slow_path AcquireSlowPath._replace_unusable",
        "                if self._drain_waiters:",
        "                if False:",
    ),
    Mutant(
        "a return that the collector made is lost",
        "endpoint_pool EndpointPool._defer_return",
        "            self._shared.defer(partial(self._run_deferred_return,",
        "            _ = (partial(self._run_deferred_return,",
    ),
    Mutant(
        "a resize wakes nobody",
        "endpoint_pool EndpointPool.resize",
        "                self.serve_waiters_locked()\n",
        "",
    ),
    Mutant(
        "a pool that is collected keeps its share of the budget",
        "connection_lifecycle OrphanedConnections.free_slots_locked",
        "        shared_limit.used -= count\n",
        "",
    ),
    Mutant(
        "a pool that is collected can still be evicted from",
        "endpoint_pool EndpointPool._leave_limit",
        "            self._clear()\n",
        "",
    ),
    Mutant(
        "an interrupted acquire gives nothing back",
        "acquire_slow_path AcquireSlowPath._undo_acquire",
        "            self._cancel_waiter(waiter)\n",
        "            pass\n",
    ),
    Mutant(
        "late returns wait for the next one",
        "shared_limit SharedLimit.run_deferred",
        "            while self.deferred:\n",
        "            if len(self.deferred or ()) > 1:\n",
    ),
    Mutant(
        "a discarded connection is closed twice",
        "endpoint_pool EndpointPool.discard",
        "                    self._discard_leased_locked(entry, reason)\n",
        "                    self._discard_leased_locked(entry, reason)\n                    self._to_close *= 2\n",
    ),
]
