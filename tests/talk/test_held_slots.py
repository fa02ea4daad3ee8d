"""An unread response that keeps the last slot of a blocking pool: who waits in vain is told where it was taken."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from poollib import HTTPConnectionPool
from poollib.client import lease
from poollib.exceptions import EmptyPoolError
from tests.support.httpd import Httpd, Request, Response


def long_body(request: Request) -> Response:
    return Response(b"x" * 100_000)


def hello(request: Request) -> Response:
    return Response(b"hello")


ROUTES = {"/": hello, "/long": long_body}


def blocking(server: Httpd, **options: Any) -> HTTPConnectionPool:
    return HTTPConnectionPool(server.host, server.port, maxsize=1, block=True, **options)


def test_the_error_and_one_log_line_name_the_place(caplog: pytest.LogCaptureFixture) -> None:
    with Httpd(ROUTES) as server, blocking(server) as pool, caplog.at_level(logging.WARNING, "poollib"):
        line = sys._getframe().f_lineno + 1
        held = pool.request("GET", "/long", preload_content=False)
        for _ in range(2):
            with pytest.raises(EmptyPoolError, match=rf"test_held_slots\.py:{line}"):
                pool.request("GET", "/", pool_timeout=0.01)
        told = [record.getMessage() for record in caplog.records if f"{__file__}:{line}" in record.getMessage()]
        assert len(told) == 1
        held.close()
        assert pool.request("GET", "/").data == b"hello"


def test_a_place_is_forgotten_with_its_lease() -> None:
    """A later lease of the same connection was taken elsewhere."""
    with Httpd(ROUTES) as server, blocking(server) as pool:
        assert pool.request("GET", "/long", preload_content=False).read()
        conn = pool._get_conn()
        with pytest.raises(EmptyPoolError) as caught:
            pool.request("GET", "/", pool_timeout=0.01)
        assert "taken at" not in str(caught.value)
        pool._put_conn(conn)


def test_who_leaves_nothing_unread_pays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> str:
        raise AssertionError("the place was looked for")

    monkeypatch.setattr("poollib.connectionpool.place_outside", never)
    assert lease.place_outside().startswith(__file__)
    with Httpd(ROUTES) as server:
        with blocking(server) as pool:
            assert len(pool.request("GET", "/long").data) == 100_000
        with HTTPConnectionPool(server.host, server.port) as pool:
            pool.request("GET", "/long", preload_content=False).close()
