"""What a program finds in and behind an error: the exceptions that urllib3's carry, where urllib3's have them.

Programs decide by ``error.__context__``, ``error.__cause__`` or ``error.args[1]``: a ConnectionResetError is tried
again, a BadStatusLine is not. Source: urllib3 2.8's connectionpool, http.client.
"""

from __future__ import annotations

import http.client
from typing import Any

import pytest

from poollib import HTTPConnectionPool, PoolManager, Retry, Trace
from poollib.exceptions import InvalidHeader, MaxRetryError, ProtocolError
from tests.support.script import ScriptServer, Step, close, expect_request, reset, respond, send

OK = b"HTTP/1.1 200 OK\r\n"

#: what the server does, the exception that urllib3's ProtocolError carries for it
HEADS: dict[str, tuple[list[Step], type[BaseException], str]] = {
    "closed": ([close()], http.client.RemoteDisconnected, "Remote end closed connection without response"),
    "reset": ([reset()], ConnectionResetError, "reset by peer"),
    "garbage": ([send(b"garbage\r\n\r\n")], http.client.BadStatusLine, "garbage\r\n"),
    "no status": ([send(b"HTTP/1.1 abc OK\r\n\r\n")], http.client.BadStatusLine, "HTTP/1.1 abc OK\r\n"),
    "half a status line": ([send(b"HTTP/1.1 2"), close()], http.client.BadStatusLine, "HTTP/1.1 2"),
    "half a head": ([send(OK + b"A: b"), close()], http.client.RemoteDisconnected, "after 21 bytes"),
    "HTTP/2": ([send(b"HTTP/2 200 OK\r\n\r\n")], http.client.UnknownProtocol, "HTTP/2"),
    "a long line": ([send(OK + b"A: " + b"b" * 70000)], http.client.LineTooLong, "when reading header line"),
    "many lines": ([send(OK + b"A: b\r\n" * 2000)], http.client.HTTPException, "got more than"),
}
BODIES: dict[str, tuple[list[Step], type[BaseException], str]] = {
    "short": ([send(OK + b"Content-Length: 9\r\n\r\nabc"), close()], http.client.IncompleteRead, "3 bytes read"),
    "chunks cut": (
        [send(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"), close()],
        http.client.IncompleteRead,
        "2 bytes read",
    ),
    "no chunk": ([send(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")], http.client.IncompleteRead, "zz"),
}


def pool_for(server: ScriptServer, **options: Any) -> HTTPConnectionPool:
    return HTTPConnectionPool(server.host, server.port, timeout=5.0, **options)


@pytest.mark.parametrize("retries", [False, 0])
@pytest.mark.parametrize("case", [*HEADS, *BODIES])
def test_a_broken_exchange_names_what_broke_it_wherever_a_program_looks(case: str, retries: Any) -> None:
    does, kind, text = {**HEADS, **BODIES}[case]
    with ScriptServer([expect_request(), *does]) as server, pool_for(server) as pool:
        with pytest.raises((ProtocolError, MaxRetryError)) as caught:
            try:
                raise LookupError("what the program is dealing with when it asks")
            except LookupError:
                pool.request("GET", "/", retries=retries)
    error = caught.value
    if retries == 0 and retries is not False:
        assert isinstance(error, MaxRetryError)
        assert error.__cause__ is error.reason
        error = error.reason
    assert isinstance(error, ProtocolError)
    assert error.args[0].startswith("Connection broken: " if case in BODIES else "Connection aborted.")
    for met in (error.args[1], error.__cause__, error.__context__):
        assert isinstance(met, kind)
        assert text in str(met) or text in repr(met)


def test_a_closed_kept_connection_is_told_as_a_reset() -> None:
    """RemoteDisconnected is one: a client that asks for ConnectionResetError in ``__context__`` tries again."""
    with ScriptServer([expect_request(), respond(b"x"), expect_request(), close()]) as server, pool_for(server) as pool:
        pool.request("GET", "/")
        with pytest.raises(ProtocolError) as caught:
            pool.request("POST", "/", body=b"x", retries=False)
    assert isinstance(caught.value.__context__, ConnectionResetError)
    assert isinstance(caught.value.__cause__, ConnectionResetError)


@pytest.mark.parametrize("retries", [False, None])
def test_lengths_that_differ_are_a_bad_header_and_no_broken_connection(retries: Any) -> None:
    """requests asks for ProtocolError first, and makes a ConnectionError of it; nor is the request repeated."""
    with (
        ScriptServer([expect_request(), send(OK + b"Content-Length: 16, 32\r\n\r\n" + b"x" * 16)]) as server,
        pool_for(server) as pool,
    ):
        with pytest.raises(InvalidHeader, match="16, 32") as caught:
            pool.request("GET", "/", retries=retries)
        assert not isinstance(caught.value, ProtocolError)
        assert pool.num_requests == 1


# -- how many requests are on the wire -------------------------------------------------------------------------


class Ear(Trace):
    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []

    def resent(self, method: str, target: str, error: BaseException) -> None:
        self.heard.append((method, target, type(error).__name__))


KEPT_AND_CLOSED = [expect_request(), respond(b"x"), expect_request(), close()]


@pytest.mark.parametrize("retries", [False, 0, Retry(0), Retry(3, read=False), Retry(3, read=0), Retry(False)])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_where_no_retry_is_left_one_request_is_on_the_wire(retries: Any, method: str) -> None:
    """Also on a kept connection that died unanswered: clients that count their requests sent a second PUT unknown."""
    ear = Ear()
    with ScriptServer(KEPT_AND_CLOSED) as server, pool_for(server, trace=ear) as pool:
        pool.request("GET", "/")
        with pytest.raises((ProtocolError, MaxRetryError)):
            pool.request(method, "/", retries=retries)
        assert server.opened == 1
    assert ear.heard == []


@pytest.mark.parametrize("retries", [None, 1, Retry(3, connect=0)])
def test_a_request_that_a_kept_connection_swallowed_goes_out_again_and_a_listener_hears_of_it(retries: Any) -> None:
    ear = Ear()
    with (
        ScriptServer(KEPT_AND_CLOSED, [expect_request(), respond(b"again")]) as server,
        pool_for(server, trace=ear) as pool,
    ):
        pool.request("GET", "/")
        response = pool.request("PUT", "/p", retries=retries)
        assert response.data == b"again"
        assert response.retries is not None
        assert response.retries.history == ()
    assert ear.heard == [("PUT", "/p", "ProtocolError")]


# -- keywords that a manager sets itself -----------------------------------------------------------------------


@pytest.mark.parametrize("same_host", [False, True])
def test_what_a_manager_says_to_its_pools_may_be_said_to_it_also(same_host: bool) -> None:
    """``urlopen`` and ``request`` of a manager: "got multiple values for keyword argument 'assert_same_host'"."""
    script = [expect_request(), respond(b"", "302 Found", ["Location: /next"]), expect_request(), respond(b"x")] * 2
    with ScriptServer(script) as server, PoolManager(timeout=5.0) as manager:
        url = f"http://{server.host}:{server.port}/"
        assert manager.urlopen("GET", url, assert_same_host=same_host).data == b"x"
        assert manager.request("GET", url, assert_same_host=same_host).data == b"x"
