"""What TLS says of its end is what the caller hears, also where sending failed before anything was read.

In TLS 1.3 a server looks at the client's certificate when the client may send already (RFC 8446 section 2): its refusal
comes as an alert behind the handshake, and with it a reset that fails the send. These servers refuse every client.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator
from typing import Any

import pytest

from poollib import HTTPSConnectionPool
from poollib.connection import HTTPSConnection
from poollib.exceptions import ProxyError, SSLError
from poollib.net import http_tunnel
from poollib.net.socket_state import StreamSocket
from tests.support.certs import certs
from tests.support.script import ScriptServer

REFUSED = "certificate required"


@pytest.fixture
def server() -> Iterator[ScriptServer]:
    with ScriptServer([], repeat=True, tls=certs().server(wants_client=True)) as refusing:
        yield refusing


def wait_for_reset(sock: StreamSocket) -> None:
    """The peer has not read all of the handshake, so that the system resets the connection as it closes."""
    poll = select.poll()
    poll.register(sock.fileno(), 0)
    assert poll.poll(10_000)


class Late(HTTPSConnection):
    """Sends its first request when the server has gone already."""

    def connect(self) -> None:
        super().connect()
        wait_for_reset(self.sock)


class LateByHand(Late):
    """Its requests go out by http.client's own steps."""

    def putrequest(self, *arguments: Any, **settings: Any) -> None:
        super().putrequest(*arguments, **settings)


def pool_for(server: ScriptServer, kind: type[HTTPSConnection] = Late) -> HTTPSConnectionPool:
    pool = HTTPSConnectionPool(server.host, server.port, ca_certs=certs().ca_file, timeout=10.0, retries=False)
    pool.ConnectionCls = kind
    return pool


def chunks() -> Iterator[bytes]:
    for _ in range(10):
        yield bytes(100_000)


@pytest.mark.parametrize("kind", [Late, LateByHand])
@pytest.mark.parametrize(
    "options",
    [{}, {"body": b"x"}, {"body": bytes(1_000_000)}, {"body": chunks}, {"body": b"x", "expect_continue": 10.0}],
    ids=["no body", "short", "long", "chunks", "expect"],
)
def test_a_refused_client_certificate_is_named_however_much_is_sent(
    options: dict[str, Any], kind: type[HTTPSConnection], server: ScriptServer
) -> None:
    """It was "Connection aborted" for most, and without a word of the certificate."""
    if callable(body := options.get("body")):
        options = {"body": body()}
    with pool_for(server, kind) as pool:
        with pytest.raises(SSLError, match=REFUSED):
            pool.request("POST" if options else "GET", "/", **options)
        pool._endpoint_pool.check()
        assert pool._endpoint_pool.stats().leased == 0


@pytest.mark.parametrize("long", ["", "x" * 8000], ids=["short", "long"])
def test_a_refused_client_certificate_is_named_for_pipelined_requests(long: str, server: ScriptServer) -> None:
    with pool_for(server) as pool:
        for error in pool.pipeline([f"/{long}{number}" for number in range(3)], return_exceptions=True):
            assert REFUSED in str(error)
            assert isinstance(error, SSLError) or isinstance(error.args[1], SSLError)


def test_a_proxy_that_refuses_the_client_certificate_is_quoted(server: ScriptServer) -> None:
    conn = HTTPSConnection(server.host, server.port, ca_certs=certs().ca_file, timeout=10.0)
    with contextlib.closing(conn):
        conn.connect()
        wait_for_reset(conn.sock)
        with pytest.raises(ProxyError, match=REFUSED):
            http_tunnel.http_connect(conn.sock, "target.example", 443, timeout_s=10.0)
