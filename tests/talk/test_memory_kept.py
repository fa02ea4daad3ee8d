"""What a kept connection holds: little, since a program may keep thousands of them, to hundreds of hosts."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc

import pytest

import poollib
from poollib import HTTPConnectionPool
from poollib.connection import HTTPConnection
from poollib.http1.head_template import HeadTemplate
from tests.support.httpd import Httpd, Request, Response

CODE = os.path.join(os.path.dirname(poollib.__file__), "*")
POOLS = 30
#: Objects are larger before 3.11 (a dict for each), and dicts from 3.13 on.
SLACK = 0 if (3, 11) <= sys.version_info < (3, 13) else 400


def hello(request: Request) -> Response:
    return Response(b"hello", headers={"X-A": "a" * 300, "X-Id": os.urandom(8).hex()})


@pytest.mark.parametrize(("exchanges", "limit"), [(1, 2600), (5, 3250)])
def test_the_bytes_for_a_host_with_one_idle_connection(exchanges: int, limit: int) -> None:
    """All that poollib's own lines allocate, the pool included; what stands in sockets and locks comes on top."""
    with Httpd({"/": hello}) as server:
        usual = HTTPConnectionPool(server.host, server.port)
        for _ in range(6):  # what is imported and remembered once
            usual.request("GET", "/")
        pools = []
        tracemalloc.start(1)
        try:
            for _ in range(POOLS):
                pools.append(HTTPConnectionPool(server.host, server.port))
                for _ in range(exchanges):
                    pools[-1].request("GET", "/")
            gc.collect()
            seen = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, CODE)])
        finally:
            tracemalloc.stop()
            for pool in (usual, *pools):
                pool.close()
    each = sum(trace.size for trace in seen.traces) / POOLS
    assert each < limit + SLACK


def test_a_pool_whose_connection_has_served_once_keeps_no_table_of_leases() -> None:
    with Httpd({"/": hello}) as server, HTTPConnectionPool(server.host, server.port) as pool:
        pool.request("GET", "/")
        assert sys.getsizeof(pool._endpoint_pool.leases) == sys.getsizeof({})


def test_connections_have_one_template_between_them_while_one_has_it() -> None:
    with Httpd({"/": hello}) as server, HTTPConnectionPool(server.host, server.port, maxsize=8) as pool:
        for _ in range(3):  # so that the second head is kept, and the third says what may differ
            held = [pool.request("GET", "/", preload_content=False) for _ in range(8)]
            conns = [response.connection for response in held]
            assert [response.read() for response in held] == [b"hello"] * 8
        templates = {conn.known_head for conn in conns if conn is not None}
        assert len(conns) == 8
        assert len(templates) == 1
        assert None not in templates
        ids = [pool.request("GET", "/").headers["X-Id"] for _ in range(8)]
        assert len(set(ids)) == 8  # each response has its own values
    templates.clear()
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is HeadTemplate and b"a" * 300 in each.form[0]]


def test_the_common_fields_are_kept_once_a_third_request_has_needed_them() -> None:
    """Not by a connection that has served once, nor where the same request follows, whose whole head is kept."""
    with Httpd({"/": hello}) as server, HTTPConnectionPool(server.host, server.port) as pool:
        for target, is_kept in (("/", False), ("/", False), ("/", False), ("/?a", True)):
            pool.request("GET", target)
            (conn,) = pool._endpoint_pool.idle_connections()
            assert isinstance(conn, HTTPConnection)
            assert (conn._default_fields is not None) is is_kept
