"""What holds for every test: nothing is left behind, and the books of every pool are right."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest

from poollib.base import after_fork
from poollib.client.connection_factory import ConnectionFactory
from poollib.pool.endpoint_pool import EndpointPool
from tests.support.leaks import Snapshot, leaked

# Seconds for which a thread keeps the interpreter; with 1e-6 threads meet everywhere (docs/testing.rst).
SWITCH_INTERVAL_S = float(os.environ.get("POOLLIB_SWITCH_INTERVAL", "0"))


with contextlib.suppress(ImportError):  # the tests of most modules do without
    from hypothesis import HealthCheck, settings

    # How quickly examples are made and run says how busy the machine is.
    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    if SWITCH_INTERVAL_S:
        sys.setswitchinterval(SWITCH_INTERVAL_S)


def _live_pools() -> set[EndpointPool[object, object]]:
    return {pool for pool in after_fork.remembered() if isinstance(pool, EndpointPool)}


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a socket or a pipe, wrong books, or a lent connection in a pool that lives on.

    `@pytest.mark.may_leave("why")` lets it, but for the books.
    """
    before, pools_before = Snapshot(), _live_pools()
    yield
    for pool in _live_pools():
        pool.check()
    if request.node.get_closest_marker("may_leave") is not None:
        return
    if rows := leaked(before):
        pytest.fail("left behind: " + "; ".join(rows), pytrace=False)
    # Of HTTP's pools: the tests of lending itself hold what they like.
    new = [pool for pool in _live_pools() - pools_before if isinstance(pool.factory, ConnectionFactory)]
    if lent := [repr(pool) for pool in new if pool.leased or pool.opening or pool.waiting]:
        pytest.fail("still lent: " + "; ".join(lent), pytrace=False)
