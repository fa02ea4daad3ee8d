"""A pool that had to make room in its manager closes its connections at once, not when garbage is collected."""

from __future__ import annotations

import gc
import os
import socket
from typing import Any

import poollib
from tests.support.httpd import Httpd, Response
from tests.support.leaks import open_descriptors


def test_a_pool_that_made_room_keeps_no_connection() -> None:
    """The manager's memory of origins kept up to twenty pools more than num_pools alive."""
    with Httpd({"/": lambda request: Response(b"hello")}) as server:
        with poollib.PoolManager(num_pools=1, resolver=lambda host, port: ["127.0.0.1"]) as manager:
            gc.disable()
            try:
                for number in range(5):
                    assert manager.request("GET", f"http://host{number}.example:{server.port}/").data == b"hello"
                mine = [conn.sock.fileno() for pool in manager.pools._container.values() for conn in _idle(pool)]
                assert len(mine) == 1
                client_ends = [
                    number for number, name in open_descriptors() if _is_client_end(number, name, server.port)
                ]
                assert client_ends == mine
            finally:
                gc.enable()


def _idle(pool: poollib.HTTPConnectionPool) -> list[Any]:
    return pool._endpoint_pool.idle_connections()


def _is_client_end(number: int, name: str, port: int) -> bool:
    if not name.startswith("socket:"):
        return False
    with socket.socket(fileno=os.dup(number)) as sock:
        try:
            return bool(sock.getpeername()[1] == port)
        except (OSError, IndexError):
            return False
