"""What the log says: once that a pool is full, and whose each record is."""

from __future__ import annotations

import logging
import threading

import pytest

from poollib import HTTPConnectionPool, PoolManager, RequestLogFilter, Trace
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, expect_request, send


def hello(request: Request) -> Response:
    return Response(b"hello")


def test_a_full_pool_is_warned_of_once_and_the_setting_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """urllib3's words stay at the front; the rest of the connections are told of at DEBUG."""
    with Httpd({"/": hello}) as server, HTTPConnectionPool(server.host, server.port, maxsize=1) as pool:
        with caplog.at_level(logging.DEBUG, "poollib.connectionpool"):
            for _ in range(2):
                held = [pool.request("GET", "/", preload_content=False) for _ in range(4)]
                for response in held:
                    response.drain_conn()
    told = [record for record in caplog.records if "pool is full" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING, *[logging.DEBUG] * 5]
    begun = f"Connection pool is full, discarding connection: {server.host}. Connection pool size: 1"
    assert told[0].getMessage().startswith(begun)
    assert "raise maxsize" in told[0].getMessage()
    assert told[0].args == (server.host, 1)


def test_eight_threads_at_a_small_pool_give_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    meet = threading.Barrier(8)

    def answer(request: Request) -> Response:
        meet.wait(10)
        return Response(b"hello")

    with Httpd({"/": answer}) as server, HTTPConnectionPool(server.host, server.port, maxsize=1) as pool:
        threads = [threading.Thread(target=pool.request, args=("GET", "/")) for _ in range(8)]
        with caplog.at_level(logging.WARNING, "poollib.connectionpool"):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len([record for record in caplog.records if "pool is full" in record.getMessage()]) == 1


def test_a_filter_puts_the_request_and_its_pool_into_records(caplog: pytest.LogCaptureFixture) -> None:
    ids = []

    class Ear(Trace):
        def request_started(self, request: object) -> None:
            ids.append(request.id)  # type: ignore[attr-defined]

    caplog.handler.addFilter(added := RequestLogFilter())
    try:
        with Httpd({"/": hello}) as server, PoolManager(trace=Ear()) as manager:
            with caplog.at_level(logging.DEBUG, "poollib"):
                for _ in range(2):
                    manager.request("GET", server.url + "/")
                logging.getLogger("poollib").info("between")
    finally:
        caplog.handler.removeFilter(added)
    opened, first, second, between = [record for record in caplog.records if record.name.startswith("poollib")]
    assert [vars(record)["request_id"] for record in (opened, first, second)] == [ids[0], ids[0], ids[1]]
    assert {vars(record)["pool"] for record in (opened, first, second)} == {server.url}
    assert (vars(between)["request_id"], vars(between)["pool"]) == ("-", "-")


def test_the_line_of_a_response_tells_how_much_of_it_is_left_to_read(caplog: pytest.LogCaptureFixture) -> None:
    """Of one that is read at once nothing, however its body arrives; so log analyses know it from urllib3."""
    steps = [expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), send(b"hello")]
    with ScriptServer(steps * 2) as server, HTTPConnectionPool(server.host, server.port) as pool:
        with caplog.at_level(logging.DEBUG, "poollib.connectionpool"):
            assert pool.request("GET", "/").data == b"hello"
            assert pool.request("GET", "/", preload_content=False).data == b"hello"
    lines = [record.getMessage() for record in caplog.records]
    assert [line[-22:] for line in lines if "200" in line] == ['"GET / HTTP/1.1" 200 0', '"GET / HTTP/1.1" 200 5']
