"""``timings=True``: a response knows where its time went, attempt by attempt."""

from __future__ import annotations

import time
from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Trace
from poollib.base.trace import Timings
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_request, respond, send

NEW = {"queue", "connect", "send", "first_byte", "body", "total"}
WAIT_S = 0.02


def hello(request: Request) -> Response:
    return Response(b"hello")


def slow(request: Request) -> Response:
    time.sleep(WAIT_S)
    return Response(b"hello")


def known(timings: Timings | None) -> set[str]:
    """The phases that happened."""
    assert timings is not None
    return {name for name, value in timings._asdict().items() if name != "attempts" and value is not None}


@pytest.mark.parametrize("where", ["manager", "pool", "request"])
def test_a_response_knows_where_its_time_went_if_that_was_asked_for(where: str) -> None:
    of: dict[str, dict[str, Any]] = {where: {"timings": True}}
    with Httpd({"/": slow}) as server, PoolManager(**of.get("manager", {})) as manager:
        pool = manager.pool_for(server.url, **of.get("pool", {}))
        timings = pool.request("GET", "/", **of.get("request", {})).timings
        assert known(timings) == NEW
        # The server may have begun to wait before send() is noted as over.
        assert WAIT_S <= timings.send + timings.first_byte <= timings.total
        assert sum(seconds or 0.0 for seconds in timings[:7]) <= timings.total + 1e-6
        again = pool.request("GET", "/", **of.get("request", {})).timings
        assert known(again) == NEW - {"connect"}
        assert again is not timings


def test_nobody_who_did_not_ask_pays_or_is_told() -> None:
    with Httpd({"/": hello}) as server, PoolManager() as manager:
        response = manager.request("GET", server.url + "/")
        assert response.timings is None
        assert "timer" not in vars(response)
        assert manager.request("GET", server.url + "/", timings=False).timings is None


def test_the_look_up_and_tls_have_times_of_their_own() -> None:
    with Httpd({"/": hello}, tls=certs().server()) as server:
        options: dict[str, Any] = {
            "ca_certs": certs().ca_file,
            "resolve": {"localhost": ["127.0.0.1"]},
            "timings": True,
        }
        with HTTPSConnectionPool("localhost", server.port, **options) as pool:
            assert known(pool.request("GET", "/").timings) == {*NEW, "dns", "tls"}


def test_attempts_are_timed_one_by_one_and_in_sum() -> None:
    script = [expect_request(), respond(status="503 Busy"), expect_request(), respond(b"ok")]
    with ScriptServer([expect_request(), close()], script) as server:
        with HTTPConnectionPool(server.host, server.port, timings=True) as pool:
            timings = pool.request("GET", "/", retries=Retry(3, status_forcelist=[503])).timings
    assert timings is not None
    failed, busy, last = timings.attempts
    assert failed.first_byte is None
    assert known(busy) == NEW
    assert known(last) == NEW - {"connect"}
    assert timings.connect == pytest.approx((failed.connect or 0) + (busy.connect or 0))
    assert timings.total >= sum(attempt.total or 0.0 for attempt in timings.attempts)


def test_redirects_to_another_host_are_attempts_of_one_request() -> None:
    with Httpd({"/": hello}) as target:
        away = {"/": lambda _: Response(status=302, headers={"Location": target.url + "/"})}
        with Httpd(away) as server, PoolManager(timings=True) as manager:
            timings = manager.request("GET", server.url + "/").timings
    assert timings is not None
    assert [known(attempt) >= NEW - {"body"} for attempt in timings.attempts] == [True, True]


def test_a_body_read_later_counts_when_it_is_read() -> None:
    with ScriptServer([expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"), send(b"k")]) as server:
        with HTTPConnectionPool(server.host, server.port, timings=True) as pool:
            response = pool.request("GET", "/", preload_content=False)
            assert response.timings.body is None
            response.read()
            assert response.timings.body > 0


def test_a_listener_hears_the_same_beside_it() -> None:
    seen: list[int] = []

    class Ear(Trace):
        def head_read(self, status: int, reason: str) -> None:
            seen.append(status)

    with Httpd({"/": hello}) as server, PoolManager(trace=Ear()) as manager:
        assert known(manager.request("GET", server.url + "/", timings=True).timings) == NEW
    assert seen == [200]
