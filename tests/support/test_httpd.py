"""The keep-alive server reads both body framings, answers by route, and counts its connections rightly."""

import http.client
import json
import socket
import ssl
import time

import pytest
import trustme

from tests.support.httpd import Httpd, Request, Response


def connect(server: Httpd) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.host, server.port, timeout=5)


def wait_for_none_open(server: Httpd) -> None:
    while server.open_now:
        time.sleep(0.001)


def test_a_connection_is_kept_over_requests_and_bodies_of_both_framings() -> None:
    with Httpd() as server:
        connection = connect(server)
        for body, chunked in ((None, False), (b"abc", False), (iter([b"ab", b"c" * 70000]), True), (b"", False)):
            connection.request("POST", "/a?b=1", body=body, encode_chunked=chunked)
            answer = json.load(connection.getresponse())
            assert answer["connection"] == 0
        connection.close()
        wait_for_none_open(server)
    assert [len(request.body) for request in server.requests] == [0, 3, 70002, 0]
    assert (server.opened, server.open_most) == (1, 1)
    assert (server.requests[0].path, server.requests[0].query) == ("/a", {"b": "1"})


def test_connections_are_counted_open_now_at_most_and_ever() -> None:
    with Httpd() as server:
        for _ in range(2):
            pair = [connect(server), connect(server)]
            for connection in pair:
                connection.request("GET", "/")
                connection.getresponse().read()
            assert server.open_now == 2
            for connection in pair:
                connection.close()
            wait_for_none_open(server)
    assert (server.opened, server.open_most) == (4, 2)


def test_a_route_answers_its_path() -> None:
    routes = {"/teapot": lambda request: Response(b"short", status=418, headers={"X-Stout": request.method})}
    with Httpd(routes) as server:
        connection = connect(server)
        connection.request("GET", "/teapot?x")
        response = connection.getresponse()
        assert (response.status, response.read(), response.headers["X-Stout"]) == (418, b"short", "GET")
        connection.close()


def test_an_iterable_body_goes_out_in_chunks() -> None:
    with Httpd({"/": lambda request: Response([b"ab", b"", b"cd"])}) as server:
        connection = connect(server)
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.headers["Transfer-Encoding"], response.read()) == ("chunked", b"abcd")
        connection.close()


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_answers_without_a_body_leave_the_connection_in_step(method: str, status: int) -> None:
    with Httpd({"/": lambda request: Response(b"body", status=status)}) as server:
        connection = connect(server)
        for _ in range(2):
            connection.request(method, "/")
            assert connection.getresponse().read() == b""
        connection.close()
    assert server.opened == 1


def test_a_closing_response_ends_its_connection() -> None:
    with Httpd({"/": lambda request: Response(b"bye", close=True)}) as server:
        connection = connect(server)
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.headers["Connection"], response.read()) == ("close", b"bye")
        wait_for_none_open(server)
        connection.close()


@pytest.mark.parametrize(
    "half",
    [
        b"POST / HTTP/1.1\r\nHost: a",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ],
)
def test_a_client_that_leaves_within_a_request_has_sent_none(half: bytes) -> None:
    with Httpd() as server:
        with socket.create_connection((server.host, server.port)) as sock:
            sock.sendall(half)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
    assert (server.opened, server.requests) == (1, [])


def test_disconnect_ends_idle_connections_and_new_ones_are_served() -> None:
    with Httpd() as server:
        for _ in range(2):
            connection = connect(server)
            connection.request("GET", "/")
            connection.getresponse().read()
            server.disconnect()
            wait_for_none_open(server)
            connection.close()
    assert server.opened == 2


def test_a_header_is_found_whatever_its_case() -> None:
    request = Request("GET", "/", (("X-A", "1"), ("x-a", "2")), b"", 0)
    assert (request.header("x-A"), request.header("X-B")) == ("1", None)


def test_https_keeps_its_connection_and_keeps_failed_handshakes_apart() -> None:
    authority = trustme.CA()
    context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(trusting)
    with Httpd(tls=context) as server:
        connection = http.client.HTTPSConnection(server.host, server.port, context=trusting, timeout=5)
        for _ in range(2):
            connection.request("GET", "/")
            assert json.load(connection.getresponse())["connection"] == 0
        connection.close()
        doubtful = http.client.HTTPSConnection(server.host, server.port, timeout=5)
        with pytest.raises(ssl.SSLCertVerificationError):
            doubtful.connect()
        doubtful.close()
        while not server.tls_errors:
            time.sleep(0.001)
    assert [request.connection for request in server.requests] == [0, 0]
