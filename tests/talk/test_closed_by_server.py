"""A connection that the server closed together with its answer serves nothing more, whoever asks and however.

A FIN in the segment of the last bytes is taken from the receive queue with them: nothing waits to be read on such a
socket, and a request sent on it fails, for a POST beyond repair (RFC 9112 section 9.6, RFC 9110 section 9.2.2).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool
from poollib.connection import HTTPConnection
from poollib.exceptions import HTTPError
from tests.support.certs import certs
from tests.support.script import ScriptServer, Step, expect_request, finish

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
one_segment = pytest.mark.skipif(sys.platform != "linux", reason="who can't put both into one segment tells it late")


def closing(how: str, repeat: bool = True) -> ScriptServer:
    """A server that answers once on each connection and closes at once; over TLS with a close_notify or without."""
    script: list[Step] = [expect_request(), finish(ANSWER, how == "tls and close_notify")]
    return ScriptServer(script, repeat=repeat, tls=None if how == "plain" else certs().server())


def pool_for(server: ScriptServer, **options: Any) -> HTTPConnectionPool:
    options = {"maxsize": 1, "block": True, "timeout": 5.0, "retries": False, **options}
    if server.tls is not None:
        return HTTPSConnectionPool(server.host, server.port, ca_certs=certs().ca_file, **options)
    return HTTPConnectionPool(server.host, server.port, **options)


def in_one_piece(pool: HTTPConnectionPool) -> bytes:
    return pool.request("POST", "/", body=b"x").data  # type: ignore[no-any-return]


def slowly(pool: HTTPConnectionPool) -> bytes:
    """In more than one receive, the last of them long after all has come."""
    response = pool.request("POST", "/", body=b"x", preload_content=False)
    return b"".join(response.stream(2))


@one_segment
@pytest.mark.parametrize("read", [in_one_piece, slowly])
@pytest.mark.parametrize(
    ("how", "count"),
    [
        ("plain", 200),
        ("tls", 10),
        ("tls and close_notify", 10),
        pytest.param("tls", 200, marks=pytest.mark.slow),
        pytest.param("tls and close_notify", 200, marks=pytest.mark.slow),
    ],
)
def test_no_post_is_sent_to_a_server_that_closed_with_its_last_answer(
    how: str, count: int, read: Callable[[HTTPConnectionPool], bytes]
) -> None:
    """Half of them failed: each kept connection was dead."""
    failures: list[HTTPError] = []
    with closing(how) as server, pool_for(server) as pool:
        for _ in range(count):
            try:
                assert read(pool) == b"hello"
            except HTTPError as error:
                failures.append(error)
        assert failures == []
        assert server.opened == count


@one_segment
@pytest.mark.parametrize("how", ["plain", "tls", "tls and close_notify"])
def test_a_probe_finds_a_connection_that_was_closed_with_its_last_answer(how: str) -> None:
    """``probe_idle()``, which health checks ask."""
    with closing(how) as server, pool_for(server) as pool:
        assert in_one_piece(pool) == b"hello"
        assert pool.probe_idle() == 1
        assert pool.stats()["idle"] == 0


@one_segment
def test_a_connection_that_was_closed_with_its_last_answer_is_not_connected() -> None:
    """``is_connected``, before and after it was asked for the first time."""
    for asked_before in (False, True):
        with closing("plain") as server:
            connection = HTTPConnection(server.host, server.port, timeout=5)
            connection.connect()
            assert not asked_before or connection.is_connected
            connection.request("GET", "/")
            assert connection.getresponse().data == b"hello"
            assert not connection.is_connected
            connection.close()
