"""Sixteen threads share a pool of eight connections: every answer is its own, and no ninth connection is opened.

The counts of connections are the servers'. That no socket and no thread stays is checked after every test by
tests/conftest.py.
"""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable

import pytest

import poollib
from tests.support.certs import certs
from tests.whole.peers import MAKES, body, is_missing, serve, target

THREADS, MAXSIZE = 16, 8
# The servers written in Python share this process's time with the client. The 8,000 requests hold for nginx and for
# http.server; pytest-httpserver closes after each response: its 400 show that no more than eight are open at once.
EACH = {"nginx": 500, "http.server": 500, "pytest-httpserver": 25}


def in_threads(work: Callable[[int], None]) -> None:
    """Call `work(number)` in every thread at once, and raise the first thing that went wrong in one."""
    errors: list[BaseException] = []
    together = threading.Barrier(THREADS)

    def guarded(number: int) -> None:
        try:
            together.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("make", MAKES)
def test_sixteen_threads_share_eight_connections(make: str, tls: bool, tmp_path: pathlib.Path) -> None:
    if is_missing(make):
        pytest.skip(f"{make} is not installed")
    settings = {"ca_certs": certs().ca_file} if tls else {}
    with serve(make, tmp_path, certs().pair() if tls else None) as peer:
        with poollib.connection_from_url(peer.url, maxsize=MAXSIZE, block=True, **settings) as pool:

            def work(thread: int) -> None:
                for turn in range(EACH[make]):
                    number = thread * 1000 + turn
                    response = pool.request("GET", target(number), headers={"X-Token": f"t{thread}"})
                    assert (response.status, response.data) == (200, body(number, f"t{thread}"))

            in_threads(work)
            requests = THREADS * EACH[make]
            assert pool.num_requests == requests
            if peer.keeps:
                assert pool.num_connections <= MAXSIZE
                assert 1 <= peer.connections(requests) <= MAXSIZE
            else:
                assert pool.num_connections == peer.connections(requests) == requests
                assert peer.most_at_once() <= MAXSIZE


@pytest.mark.parametrize("make", MAKES[:2])
def test_a_manager_keeps_a_pool_for_each_scheme(make: str, tmp_path: pathlib.Path) -> None:
    """One manager, the plain and the TLS server of one make, all threads at both."""
    if is_missing(make):
        pytest.skip(f"{make} is not installed")
    folders = [tmp_path / "plain", tmp_path / "tls"]
    for folder in folders:
        folder.mkdir()
    with serve(make, folders[0]) as plain, serve(make, folders[1], certs().pair()) as secure:
        with poollib.PoolManager(maxsize=MAXSIZE, block=True, ca_certs=certs().ca_file) as manager:

            def work(thread: int) -> None:
                for turn in range(10):
                    number, peer = thread * 1000 + turn, (plain, secure)[turn % 2]
                    response = manager.request("GET", peer.url + target(number), headers={"X-Token": "m"})
                    assert response.data == body(number, "m")

            in_threads(work)
            assert len(manager.pools) == 2
            for peer in (plain, secure):
                assert peer.connections(THREADS * 5) <= MAXSIZE


def test_threads_that_leave_bodies_unread_give_their_slots_back(tmp_path: pathlib.Path) -> None:
    """A response dropped half-read, closed or released frees its slot; block=True would wait forever otherwise."""
    with serve("http.server", tmp_path) as peer:
        with poollib.connection_from_url(peer.url, maxsize=2, block=True, timeout=5.0) as pool:

            def work(thread: int) -> None:
                for turn in range(12):
                    response = pool.request("GET", target(turn), preload_content=False, pool_timeout=5)
                    (response.close, response.drain_conn, response.release_conn, response.read)[turn % 4]()

            in_threads(work)
            assert pool.request("GET", target(1), pool_timeout=0).status == 200
