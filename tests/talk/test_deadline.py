"""One deadline over the whole exchange: every slow way ends in time, with an error that names the phase.

Source: the fifth promise (time is bounded by what was asked for); DESIGN, "Timeouts".
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from poollib import HTTPConnectionPool, PoolManager, Retry, Timeout
from poollib.connection import HTTPConnection
from poollib.exceptions import DeadlineExceededError
from poollib.exchange import transport
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, Step, expect_head, expect_request, respond, send, send_slowly, stall

DEADLINE_S = 0.3
GRACE_S = 0.25  # a tenth of a second is the promise; the rest is for a machine that is busy with something else


@contextmanager
def ends_in_time(*phases: str) -> Iterator[None]:
    """The block raises DeadlineExceededError for one of ``phases``, and soon after it."""
    start = time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        yield
    assert time.monotonic() - start < DEADLINE_S + GRACE_S
    assert caught.value.phase in phases


def pool_for(server: ScriptServer, **kw: object) -> HTTPConnectionPool:
    return HTTPConnectionPool("127.0.0.1", server.port, timeout=Timeout(deadline=DEADLINE_S), **kw)  # type: ignore[arg-type]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    ("steps", "phase"),
    [
        pytest.param([expect_request(), stall()], "waiting for the response", id="no answer"),
        pytest.param(
            [expect_request(), send_slowly(b"HTTP/1.1 200 OK\r\n" + b"X-Drip: 1\r\n" * 99, pause_s=0.01)],
            "waiting for the response",
            id="a head dripping byte by byte",
        ),
        pytest.param(
            [expect_request(), send_slowly(b"HTTP/1.1 102 Processing\r\n\r\n" * 20, pause_s=0.01)],
            "waiting for the response",
            id="interim responses dripping",
        ),
        pytest.param([expect_request(), send(LENGTH + b"x"), stall()], "reading the body", id="half a body"),
        pytest.param(
            [expect_request(), send(LENGTH), send_slowly(b"x" * 100, pause_s=0.02)],
            "reading the body",
            id="a body dripping byte by byte",
        ),
        pytest.param(
            [expect_request(), send(CHUNKED), send_slowly(b"1\r\nx\r\n" * 50, pause_s=0.02)],
            "reading the body",
            id="chunks dripping",
        ),
    ],
)
@pytest.mark.parametrize("waits_in_kernel", [None, False, True], ids=["new", "kept", "kept, among threads"])
def test_a_slow_answer_ends_at_the_deadline(
    steps: list[Step], phase: str, waits_in_kernel: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No number of small steps adds up to more than the deadline."""
    if waits_in_kernel:
        monkeypatch.setattr(transport, "signals_come_here", lambda: False)
    before = [] if waits_in_kernel is None else [expect_request(), respond(b"x")]
    with ScriptServer([*before, *steps]) as server, pool_for(server) as pool:
        if before:
            assert pool.urlopen("GET", "/").data == b"x"
        with ends_in_time(phase):
            pool.urlopen("GET", "/", retries=False)
        assert pool._endpoint_pool.leased == 0


def test_a_streamed_body_ends_at_the_deadline() -> None:
    """The clock runs on after the response was handed out."""
    steps = [expect_request(), send(LENGTH), send_slowly(b"x" * 100, pause_s=0.02)]
    with ScriptServer(steps) as server, pool_for(server) as pool:
        with ends_in_time("reading the body"):
            response = pool.urlopen("GET", "/", preload_content=False)
            while response.read1(10):
                pass
        assert pool._endpoint_pool.leased == 0


def test_sending_to_a_server_that_does_not_read_ends_at_the_deadline() -> None:
    """A body larger than all buffers waits for the peer; not for ever."""
    done, body = threading.Event(), bytes(64 << 20)
    with ScriptServer([stall(done)]) as server, pool_for(server) as pool:
        with ends_in_time("sending"):
            pool.urlopen("PUT", "/", body=body, retries=False)
        done.set()


class PatchedClass(HTTPConnection):
    """One of whose methods an agent has replaced, so that requests go through http.client's."""

    def send(self, data: Any) -> None:
        super().send(data)


@pytest.mark.parametrize("connection_class", [HTTPConnection, PatchedClass])
@pytest.mark.parametrize("piece", [b"x", b"x" * 100_000])
def test_a_body_that_drips_out_ends_at_the_deadline(
    piece: bytes, connection_class: type[HTTPConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes each piece at once, so that nobody waits for it."""
    monkeypatch.setattr(HTTPConnectionPool, "ConnectionCls", connection_class)

    def pieces() -> Iterator[bytes]:
        for _ in range(200):
            yield piece
            time.sleep(0.01)

    with ScriptServer([expect_head()]) as server, pool_for(server) as pool, ends_in_time("sending"):
        pool.request("POST", "/", body=pieces())


def test_waiting_for_a_slot_ends_at_the_deadline() -> None:
    """The wait in line is a part of the exchange."""
    with ScriptServer([expect_request(), respond(b"a" * 10)]) as server, pool_for(server, block=True) as pool:
        kept = pool.urlopen("GET", "/", preload_content=False)
        with ends_in_time("waiting for a connection"):
            pool.urlopen("GET", "/")
        assert pool._endpoint_pool.leased == 1
        assert kept.data == b"a" * 10


def test_a_tls_handshake_that_stalls_ends_at_the_deadline() -> None:
    """The server accepts and says nothing."""
    with (
        ScriptServer([stall()]) as server,
        PoolManager(timeout=Timeout(deadline=DEADLINE_S), ca_certs=certs().ca_file, retries=False) as manager,
        ends_in_time("tls handshake"),
    ):
        manager.request("GET", f"https://127.0.0.1:{server.port}/")


def test_connecting_ends_at_the_deadline() -> None:
    """A listener whose queue is full lets nobody connect."""
    with full_listener() as port, HTTPConnectionPool("127.0.0.1", port, timeout=Timeout(deadline=DEADLINE_S)) as pool:
        with ends_in_time("connecting"):
            pool.urlopen("GET", "/", retries=False)
        assert pool._endpoint_pool.leased == 0


@contextmanager
def full_listener() -> Iterator[int]:
    """The port of a socket that listens, never accepts, and whose queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


def test_a_name_lookup_that_hangs_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """getaddrinfo can't be interrupted, but nobody has to wait for it."""
    answer = threading.Event()
    monkeypatch.setattr(socket._socket, "getaddrinfo", lambda *_: [answer.wait(10)][:0])  # type: ignore[attr-defined]
    try:
        with HTTPConnectionPool("slow.example", 9, timeout=Timeout(deadline=DEADLINE_S)) as pool:
            with ends_in_time("resolving"):
                pool.urlopen("GET", "/", retries=False)
    finally:
        answer.set()


BUSY = [expect_request(), respond(status="503 Busy")]


@pytest.mark.parametrize(
    ("retry", "steps"),
    [
        # the first repeat comes at once, the second after 20 s
        pytest.param(Retry(3, status_forcelist=[503], backoff_factor=10), BUSY * 2, id="a long backoff"),
        pytest.param(
            Retry(3),
            [expect_request(), respond(status="503 Busy", headers=["Retry-After: 60"])],
            id="a server that says Retry-After",
        ),
    ],
)
def test_a_wait_before_a_retry_never_outlasts_the_deadline(retry: Retry, steps: list[Step]) -> None:
    """It is refused at once, since nothing could come of it."""
    with ScriptServer(steps) as server, pool_for(server) as pool:
        with ends_in_time("waiting before a retry"):
            pool.urlopen("GET", "/", retries=retry)
        assert pool._endpoint_pool.leased == 0


def test_redirects_share_one_deadline() -> None:
    """Each hop is quick; together they are too slow."""

    def hop(request: Request) -> Response:
        time.sleep(0.05)
        return Response(status=302, headers={"Location": "/again"})

    with (
        Httpd({"/": hop, "/again": hop}) as server,
        PoolManager(timeout=Timeout(deadline=DEADLINE_S)) as manager,
        ends_in_time("waiting for the response", "waiting for a connection"),  # between two hops, if it is busy here
    ):
        manager.request("GET", f"{server.url}/", retries=Retry(20))


def test_what_ends_in_time_is_not_disturbed() -> None:
    """A deadline that holds leaves no trace on the connection: the next request has its own clock."""
    steps = [expect_request(), respond(b"one"), expect_request(), respond(b"two")]
    with ScriptServer(steps) as server, pool_for(server) as pool:
        assert pool.urlopen("GET", "/").data == b"one"
        assert pool.urlopen("GET", "/", timeout=None).data == b"two"
        assert server.opened == 1


@pytest.mark.parametrize("preload", [True, False])
def test_requests_with_a_deadline_go_the_usual_way(preload: bool) -> None:
    """Their heads are kept, and so is the form of the answers' heads: most requests of a program have one."""
    with ScriptServer([expect_request(), respond(b"x")] * 4) as server, pool_for(server) as pool:
        for number in range(4):
            response: Any = pool.urlopen("GET", "/", timeout=Timeout(deadline=5.0), preload_content=preload)
            assert response.connection is None or response.data == b"x"
            (connection,) = pool._endpoint_pool.idle_connections()
            assert (connection.known_head is not None, connection._sent_head is not None) == (number > 0, number > 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([stall()], id="no handshake, no answer"),
        pytest.param([expect_request(), send_slowly(b"HTTP/1.1 200 OK\r\n" * 20, pause_s=0.02)], id="a dripping head"),
        pytest.param([expect_request(), send(LENGTH), send_slowly(b"x" * 100, pause_s=0.05)], id="a dripping body"),
    ],
)
def test_a_deadline_of_one_second_ends_within_a_tenth_of_a_second(steps: list[Step]) -> None:
    """The promise as it is written: 1.0 s ends by 1.1 s."""
    with ScriptServer(steps) as server, HTTPConnectionPool("127.0.0.1", server.port) as pool:
        start = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            pool.urlopen("GET", "/", retries=False, timeout=Timeout(deadline=1.0))
        assert 1.0 <= time.monotonic() - start < 1.1
