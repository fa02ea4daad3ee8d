"""Load, overload, restarts, cuts and crowds of hosts: the pool stays small, and nothing grows.

RELIABILITY section 5. The full soak is `python -m tests.load.soak --requests 1000000`; here it runs for seconds, and
for a minute where POOLLIB_SOAK_REQUESTS asks for more.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

import poollib
from poollib.exceptions import EmptyPoolError, HTTPError, MaxRetryError
from tests.load.server import body_of
from tests.load.soak import resident_bytes, run, server
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response
from tests.support.leaks import open_descriptors
from tests.support.relay import Relay

SOAK_REQUESTS = int(os.environ.get("POOLLIB_SOAK_REQUESTS", "5000"))


def _hello(request: Request) -> Response:
    return Response(b"hello")


def _crowd(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work, name="crowd") for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_a_crowd_gets_right_bodies_from_a_server_that_misbehaves() -> None:
    figures = run(SOAK_REQUESTS)
    problems = figures.problems()
    if sys.gettrace() is not None:  # what coverage remembers of lines and branches grows, too
        problems = [text for text in problems if not text.startswith("grown by")]
    assert problems == []
    assert figures.whole > 0.9 * SOAK_REQUESTS


@pytest.mark.slow
def test_a_million_requests() -> None:
    figures = run(1_000_000)
    assert figures.problems() == []


def test_waiting_for_a_slot_ends_in_time_at_tenfold_overload() -> None:
    """Forty threads want four connections that are all held: each is told so within 50 ms of its pool_timeout.

    Beyond what forty bare waits of the same length are late by, on a machine that has other work.
    """
    late: list[float] = []
    bare: list[float] = []

    def wait_bare() -> None:
        start = time.monotonic()
        threading.Event().wait(0.2)
        bare.append(time.monotonic() - start - 0.2)

    with Httpd({"/": _hello}) as httpd:
        with poollib.HTTPConnectionPool("127.0.0.1", httpd.port, maxsize=4, block=True) as pool:
            held = [pool.request("GET", "/", preload_content=False) for _ in range(4)]

            def wait() -> None:
                start = time.monotonic()
                with pytest.raises(EmptyPoolError):
                    pool.request("GET", "/", pool_timeout=0.2)
                late.append(time.monotonic() - start - 0.2)

            _crowd(40, wait)
            _crowd(40, wait_bare)
            for response in held:
                response.close()
            pool._endpoint_pool.check()
            assert pool._endpoint_pool.waiting == 0
    assert len(late) == 40
    assert sorted(late)[36] < 0.05 + 3 * sorted(bare)[36], "nine of ten"
    assert min(late) >= -0.001


def test_a_restarted_server_is_found_by_the_first_request() -> None:
    with poollib.PoolManager(maxsize=8, block=True, retries=False, timeout=5) as manager:
        with server() as port:
            url = f"http://127.0.0.1:{port}/1"
            _crowd(8, lambda: _ask(manager, url))
        with pytest.raises(HTTPError):
            manager.request("GET", url)
        with server(port):
            assert manager.request("GET", url).status == 200


def _ask(manager: poollib.PoolManager, url: str) -> None:
    assert manager.request("GET", url).status == 200


def test_idle_connections_that_a_restart_killed_cost_no_error() -> None:
    with poollib.PoolManager(maxsize=8, block=True, retries=False, timeout=5) as manager, Httpd({"/": _hello}) as httpd:
        for _ in range(3):
            _crowd(8, lambda: _ask(manager, httpd.url + "/"))
            httpd.disconnect()
        assert manager.request("GET", httpd.url).data == b"hello"


def test_a_cut_network_is_an_error_and_a_mended_one_works_at_once() -> None:
    with Httpd({"/": _hello}) as httpd, Relay(httpd.port) as relay:
        with poollib.HTTPConnectionPool("127.0.0.1", relay.port, maxsize=4, block=True, timeout=5) as pool:
            for _ in range(3):
                assert pool.request("GET", "/").data == b"hello"
                relay.refuse()
                with pytest.raises(HTTPError):
                    pool.request("GET", "/", retries=False)
                relay.refuse(False)
                assert pool.request("GET", "/", retries=False).data == b"hello"
            pool._endpoint_pool.check()
            assert pool._endpoint_pool.leased == 0


def test_a_pulled_cable_ends_at_the_read_timeout_and_the_slot_is_free() -> None:
    with Httpd({"/": _hello}) as httpd, Relay(httpd.port) as relay:
        with poollib.HTTPConnectionPool("127.0.0.1", relay.port, maxsize=1, block=True, timeout=0.1) as pool:
            assert pool.request("GET", "/").data == b"hello"
            relay.hold()
            start = time.monotonic()
            with pytest.raises(MaxRetryError):
                pool.request("GET", "/", retries=0)
            assert time.monotonic() - start < 1.5
            relay.resume()
            assert pool.request("GET", "/", timeout=5).data == b"hello"


def test_a_slow_line_gives_the_whole_body() -> None:
    body = bytes(range(256)) * 20
    with Httpd({"/": lambda request: Response(body)}) as httpd:
        with Relay(httpd.port, piece_bytes=100, pause_s=0.0005) as relay:
            with poollib.HTTPConnectionPool("127.0.0.1", relay.port) as pool:
                assert pool.request("GET", "/").data == body


# -- growth --


def _growth(work: Callable[[int], None], warm_up: int, count: int) -> tuple[int, int, int]:
    """By how many bytes, descriptors and threads this process grew over ``count`` calls, after ``warm_up`` of them."""
    for number in range(warm_up):
        work(number)
    before = resident_bytes(), len(open_descriptors()), threading.active_count()
    for number in range(warm_up, warm_up + count):
        work(number)
    after = resident_bytes(), len(open_descriptors()), threading.active_count()
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]


def _many_hosts(count: int) -> None:
    with server(every=0) as port:
        with poollib.PoolManager(num_pools=10, resolver=lambda host, port: ["127.0.0.1"]) as manager:

            def ask(number: int) -> None:
                # A host's pool goes when ten others came.
                response = manager.request("GET", f"http://host{number}.example:{port}/{number}", timeout=5)
                assert response.data == body_of(b"%d" % number)

            grown_bytes, descriptors, threads = _growth(ask, max(30, count // 5), count)
            assert (grown_bytes < 5 << 20, descriptors, threads) == (True, 0, 0)
            assert len(manager.pools) == 10


def test_hundreds_of_hosts_through_one_manager_leave_nothing() -> None:
    _many_hosts(200)


@pytest.mark.slow
def test_ten_thousand_hosts_through_one_manager_leave_nothing() -> None:
    _many_hosts(10_000)


def _refused_handshakes(count: int) -> None:
    """A certificate of an authority that nobody trusts."""
    with server(every=0, certificate=certs().pair(stranger=True).both_file) as port:
        pool = poollib.HTTPSConnectionPool("127.0.0.1", port, ca_certs=certs().ca_file, retries=False, timeout=5)
        with pool:

            def ask(number: int) -> None:
                with pytest.raises(HTTPError, match="certificate verify failed"):
                    pool.request("GET", "/")

            grown_bytes, descriptors, threads = _growth(ask, max(30, count // 5), count)
            assert (grown_bytes < 5 << 20, descriptors, threads) == (True, 0, 0)
            pool._endpoint_pool.check()
            assert pool._endpoint_pool.leased == 0


def test_refused_handshakes_leave_nothing() -> None:
    _refused_handshakes(50)


@pytest.mark.slow
def test_ten_thousand_refused_handshakes_leave_nothing() -> None:
    _refused_handshakes(10_000)
