"""A child starts clean: it neither uses nor shuts down the connections of its parent, and shares only settings.

Source: DESIGN, "Lending"; the first promise (a response is only ever given to its own request).
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Retry, Timeout
from tests.support.certs import certs
from tests.support.httpd import Httpd, echo
from tests.unit.base.test_after_fork import in_child

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.mark.parametrize(
    "way", [pytest.param("prefork", marks=needs_fork), pytest.param("fork", marks=needs_fork), "spawn"]
)
def test_parent_and_children_share_a_warm_manager(way: str) -> None:
    """Four children and the parent, 200 requests each over TLS: every body is its own, and no word reaches the
    parent's sockets (a close_notify from a child would end them)."""
    with Httpd({"/": echo}, tls=certs().server()) as server:
        command = [sys.executable, "-m", "tests.whole.fork_program", way, f"{server.url}/", certs().ca_file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"wrong": 0, "parent_reconnected": 0}
        assert server.opened == 5
        assert server.tls_errors == []


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("is_copy", [False, True])
@pytest.mark.parametrize(
    "lock_of",
    [
        lambda manager: manager.pools.lock,
        lambda manager: manager.connection_pool_kw["resolver"]._lock,
        lambda manager: manager.connection_from_url("http://localhost:1").pool.mutex,
    ],
    ids=["manager", "names", "queue"],
)
def test_a_lock_that_a_thread_of_the_parent_held_is_free_in_the_child(
    lock_of: Callable[[Any], Any], is_copy: bool
) -> None:
    """Else the child's first request would wait for a thread that it has not."""
    with PoolManager(dns_cache=60) as made:
        manager = pickle.loads(pickle.dumps(made)) if is_copy else made
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with lock_of(manager):
                held.set()
                done.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(5)
        try:
            assert in_child(lambda: lock_of(manager).acquire(timeout=1)) == "True"
        finally:
            done.set()
            thread.join()
        manager.clear()


@pytest.mark.parametrize(
    "made",
    [
        HTTPConnectionPool("localhost", 1, maxsize=3, block=True, idle_timeout=4, headers={"X": "1"}, retries=2),
        HTTPSConnectionPool("localhost", 1, ca_certs="/no/such", assert_hostname="x", timeout=Timeout(read=3)),
    ],
    ids=["http", "https"],
)
def test_a_pool_pickles_as_its_settings(made: HTTPConnectionPool) -> None:
    """The copy opens connections of its own."""
    copy = pickle.loads(pickle.dumps(made))
    assert type(copy) is type(made)
    assert (str(copy), copy.headers, copy.timeout) == (str(made), made.headers, made.timeout)
    assert repr(copy.retries) == repr(made.retries)
    assert copy._endpoint_pool._settings == made._endpoint_pool._settings
    assert copy._endpoint_pool is not made._endpoint_pool
    assert copy._endpoint_pool.maxsize == made._endpoint_pool.maxsize
    assert getattr(copy, "ca_certs", None) == getattr(made, "ca_certs", None)


@pytest.mark.parametrize(
    "made",
    [
        PoolManager(7, {"X": "1"}, maxsize=2, total_maxsize=9, retries=Retry(4)),
        ProxyManager("http://proxy:8080", proxy_headers={"Y": "2"}),
    ],
    ids=["manager", "proxy manager"],
)
def test_a_manager_pickles_as_its_settings(made: PoolManager) -> None:
    """Pools are made anew."""
    made.connection_from_url("http://localhost:1/")
    copy = pickle.loads(pickle.dumps(made))
    assert type(copy) is type(made)
    assert len(copy.pools) == 0
    assert (copy.headers, copy.proxy, copy.pools._maxsize) == (made.headers, made.proxy, made.pools._maxsize)
    assert str(copy.connection_pool_kw) == str(made.connection_pool_kw)
    assert (copy._total_limit and copy._total_limit.limit) == (made._total_limit and made._total_limit.limit)
    made.clear()
