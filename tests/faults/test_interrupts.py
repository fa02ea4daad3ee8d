"""KeyboardInterrupt at every point of an exchange: no lease, no slot and no socket is lost.

CPython delivers signals after a call, at the start of a function and at a backward jump. The n-th of these points
inside poollib raises KeyboardInterrupt, for every n, while whole exchanges go on. The same for the lending core alone,
with all its odd corners, is in tests/stress/test_pool_interrupts.py.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable

import pytest

import poollib
from poollib import PoolManager
from tests.faults.exchanges import EXCHANGES, PAIRS, WAYS, Scene
from tests.faults.peers import TEXT
from tests.support.interrupts import Interrupter, RealInterrupter
from tests.support.leaks import open_descriptors

# A socket that nobody has in hand yet closes itself, and a finaliser that is interrupted says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FOLDER = os.path.dirname(poollib.__file__)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals here")
@pytest.mark.xfail(sys.version_info >= (3, 14), reason="CPython 3.14 looks at signals behind __enter__", strict=False)
def test_an_interrupt_leaves_no_lock_held() -> None:
    """``with lock:`` is what everything in poollib rests on; of the interpreter, with signals as they come.

    Beside other threads CPython may forget a signal until something else makes it look: no round waits for its own.
    """
    lock = threading.Lock()
    is_wanted = False

    def interrupt(*_: object) -> None:
        if is_wanted:
            raise KeyboardInterrupt

    interrupts = 0
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(200):
            interrupts += 1
            with contextlib.suppress(KeyboardInterrupt):
                is_wanted = True
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
                for _ in range(100_000):  # CPython 3.13 forgets the handlers at the jump back of ``while condition``
                    with lock:
                        pass
                interrupts -= 1
            is_wanted = False
            assert not lock.locked()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 100


def _run(scene: Scene, way: str, exchange: str, is_warm: bool, interrupter: Interrupter) -> str | None:
    """What was lost, in words; None: nothing. ``is_warm``: there are a pool and an idle connection."""
    before = set(open_descriptors())
    manager, url = WAYS[way](scene, maxsize=1, block=True, timeout=5, retries=False)
    with manager:
        if is_warm:
            assert manager.request("GET", f"{url}/text").data == TEXT
        interrupter.run(lambda: EXCHANGES[exchange](manager, url, scene))
        if lost := _lost(manager):
            return lost
        assert manager.request("GET", f"{url}/text", pool_timeout=0.1).data == TEXT, "the next request"
        lost = _lost(manager)
        manager.clear()
    if lost is None and set(open_descriptors()) - before:
        gc.collect()  # selectors of the standard library are rings: one that was not yet in hand waits for this
        left = set(open_descriptors()) - before
        lost = f"open: {left}" if left else None
    return lost


def _lost(manager: PoolManager) -> str | None:
    for pool in manager.pools._container.values():
        lending = pool._endpoint_pool
        lending.check()
        stats = lending.stats()
        if (stats.leased, stats.opening, stats.closing, stats.waiting) != (0, 0, 0, 0):
            return f"leased {stats.leased}, opening {stats.opening}, closing {stats.closing}"
    return None


def torture(scene: Scene, way: str, exchange: str, is_warm: bool, step: int, most: int = 700) -> dict[str, str]:
    """What was lost by an interrupt at every ``step``-th point, by point; of very many points ``most``."""
    _run(scene, way, exchange, is_warm, RealInterrupter(0, FOLDER))  # what is imported or made once
    counter = RealInterrupter(0, FOLDER)
    assert _run(scene, way, exchange, is_warm, counter) is None
    if not counter.count:
        pytest.skip("this interpreter does not trace bytecodes from a call on")
    lost = {}
    gc.collect()
    for at in range(1, counter.count + 1, max(step, counter.count // most)):
        interrupter = RealInterrupter(at, FOLDER)
        if (what := _run(scene, way, exchange, is_warm, interrupter)) is not None:
            lost[f"{at}/{counter.count} {interrupter.where}"] = what
    return lost


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "exchange"), [pair for pair in PAIRS if pair[0] == "plain" or pair[1] in ("get", "close")]
)
@pytest.mark.parametrize("is_warm", [True, False], ids=["kept", "new"])
def test_an_interrupt_anywhere_loses_nothing(scene: Scene, way: str, exchange: str, is_warm: bool) -> None:
    assert torture(scene, way, exchange, is_warm, 1) == {}


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_interrupt_here_and_there_loses_nothing(scene: Scene, exchange: str) -> None:
    assert torture(scene, "plain", exchange, exchange == "get", 17, 40) == {}


@pytest.mark.slow
def test_an_interrupt_with_a_listener_of_the_requests_own_loses_nothing(scene: Scene) -> None:
    """It is told of the connection once the connection is in hand."""

    def ask(manager: PoolManager, url: str, scene: Scene) -> bool:
        return manager.request("GET", f"{url}/text", trace=poollib.Trace()).data == TEXT

    assert _lost_of(scene, ask, 1) == {}


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 23])
def test_an_interrupt_of_a_measured_request_loses_nothing(scene: Scene, step: int) -> None:
    prometheus_client = pytest.importorskip("prometheus_client")
    from poollib.metrics import prometheus

    def measure(manager: PoolManager) -> None:
        prometheus(manager, registry=prometheus_client.CollectorRegistry())

    def ask(manager: PoolManager, url: str, scene: Scene) -> bool:
        return manager.request("GET", f"{url}/text").data == TEXT

    assert _lost_of(scene, ask, step, measure) == {}


def _lost_of(
    scene: Scene, ask: Callable[..., object], step: int, prepare: Callable[[PoolManager], object] | None = None
) -> dict[str, str]:
    """What was lost by an interrupt at every ``step``-th point of ``ask``, by point."""
    lost = {}
    counter = RealInterrupter(0, FOLDER)
    assert _run_one(scene, ask, counter, prepare) is None
    for at in range(1, counter.count + 1, step):
        interrupter = RealInterrupter(at, FOLDER)
        if (what := _run_one(scene, ask, interrupter, prepare)) is not None:
            lost[interrupter.where] = what
    return lost


def _run_one(
    scene: Scene,
    ask: Callable[..., object],
    interrupter: Interrupter,
    prepare: Callable[[PoolManager], object] | None = None,
) -> str | None:
    manager, url = WAYS["plain"](scene, maxsize=1, block=True, timeout=5, retries=False)
    with manager:
        if prepare is not None:
            prepare(manager)
        assert manager.request("GET", f"{url}/text").data == TEXT
        interrupter.run(lambda: ask(manager, url, scene))
        return _lost(manager)
