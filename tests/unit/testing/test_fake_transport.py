"""poollib.testing: what a program's tests order is what its requests meet, and what they asked is told."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import poollib
from poollib import exceptions
from poollib.exchange.transport import Transport
from poollib.testing import (
    Answer,
    ConnectFault,
    FakeTransport,
    RecordedRequest,
    UnexpectedRequest,
    connect_timeout,
    dns_failure,
    garbage_head,
    refused,
    tls_alert,
    truncated_chunk,
    unavailable,
)
from poollib.testing.memory_socket import WouldWaitForever

URL = "http://a.example/x"
HTTPS = "https://a.example/x"


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here opens a socket or looks a name up."""

    def refuse(*args: object, **keywords: object) -> None:
        raise AssertionError("a socket, or a name looked up")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def fake() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def manager(fake: FakeTransport) -> Iterator[poollib.PoolManager]:
    with fake.attach(poollib.PoolManager(retries=False, timeout=5.0)) as manager:
        yield manager


# Who takes it


def test_a_client_a_manager_and_a_bare_pool_take_it(fake: FakeTransport) -> None:
    fake.add("GET", URL, Answer(json={"n": 1}), times=3)
    client = fake.attach(poollib.Client("http://a.example"))
    assert client.get("x").json() == {"n": 1}
    assert fake.attach(poollib.PoolManager()).request("GET", URL).json() == {"n": 1}
    assert fake.attach(poollib.HTTPConnectionPool("a.example")).request("GET", "/x").json() == {"n": 1}
    assert fake.connections == 3
    fake.check()


def test_within_its_block_every_pool_uses_it_and_after_it_none() -> None:
    manager, dial = poollib.PoolManager(retries=False), vars(Transport)["_dial"]
    with FakeTransport() as fake:
        fake.add("GET", URL, Answer(body="fake"))
        assert manager.request("GET", URL).data == b"fake"
        assert poollib.HTTPConnectionPool("a.example").request("GET", "/x").data == b"fake"
        connection = poollib.connection.HTTPConnection("a.example")
        connection.request("GET", "/x")
        assert connection.getresponse().data == b"fake"
        connection.close()
    assert vars(Transport)["_dial"] is dial
    with pytest.raises(AssertionError, match="a socket, or a name looked up"):
        manager.request("GET", URL)  # nor is the connection used that was kept
    assert len(fake.requests) == 3


def test_a_pool_that_has_dialled_does_not_take_it(fake: FakeTransport) -> None:
    pool = fake.attach(poollib.HTTPConnectionPool("a.example"))
    fake.add("GET", URL)
    pool.request("GET", "/x")
    with pytest.raises(ValueError, match="before its first request"):
        FakeTransport().attach(pool)


def test_other_managers_are_left_alone(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    other = FakeTransport(lambda request: Answer(body="other"))
    fake.add("GET", URL, Answer(body="this"))
    assert other.attach(poollib.PoolManager()).request("GET", URL).data == b"other"
    assert manager.request("GET", URL).data == b"this"


# What is answered, and what was asked


def test_requests_are_recorded_as_they_were_sent(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    row = fake.add("POST", f"{URL}?q=1", Answer(201, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    response = manager.request("POST", f"{URL}?q=1", json={"name": "é"}, headers={"X-Id": "7"})
    assert (response.status, response.headers.getlist("set-cookie")) == (201, ["a=1", "b=2"])
    (request,) = fake.requests
    assert (request.method, request.url, request.headers["x-id"]) == ("POST", f"{URL}?q=1", "7")
    assert request.json() == {"name": "é"}
    assert row.requests == [request]


@pytest.mark.parametrize("body", [b"x" * 300_000, iter([b"ab" * 70_000, b"", b"c"])], ids=["bytes", "chunks"])
@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}], ids=["at once", "100-continue"])
def test_bodies_of_any_kind_are_recorded(
    fake: FakeTransport, manager: poollib.PoolManager, body: bytes | Iterator[bytes], headers: dict[str, str]
) -> None:
    fake.add("PUT", URL, Answer(204))
    pieces = list(body) if not isinstance(body, bytes) else [body]
    sent = iter(pieces) if not isinstance(body, bytes) else body
    assert manager.request("PUT", URL, body=sent, headers=headers).status == 204
    assert fake.requests[0].body == b"".join(pieces)


def test_answers_come_in_turn_and_the_last_one_again(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    fake.add("GET", URL, Answer(body="1"), Answer(body=iter([b"2", b"two"])))
    assert [manager.request("GET", URL).data for _ in range(3)] == [b"1", b"2two", b"2two"]
    assert fake.connections == 1  # kept, as poollib's pools do
    assert [request.connection for request in fake.requests] == [1, 1, 1]


def test_a_row_with_its_times_gives_way_to_the_next(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    fake.add("GET", URL, Answer(body="first"), times=2)
    fake.add(None, re.compile(r"http://a\.example/.*"), Answer(body="then"))
    assert [manager.request("GET", URL).data for _ in range(3)] == [b"first", b"first", b"then"]


def test_a_function_answers_what_no_row_does(manager: poollib.PoolManager) -> None:
    def answer(request: RecordedRequest) -> Answer | None:
        return Answer(body=request.url) if request.method == "GET" else None

    fake = FakeTransport(answer)
    with fake.attach(poollib.PoolManager()) as manager:
        fake.add("GET", URL, lambda request: Answer(body="row"))
        assert manager.request("GET", URL).data == b"row"
        assert manager.request("GET", f"{URL}/y").data == f"{URL}/y".encode()
        with pytest.raises(UnexpectedRequest):
            manager.request("DELETE", URL)


def test_a_head_response_has_no_body(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    fake.add(None, URL, Answer(body="text"))
    response = manager.request("HEAD", URL)
    assert (response.data, response.headers["content-length"]) == (b"", "4")
    assert manager.request("GET", URL).data == b"text"


def test_an_unexpected_request_names_what_was_expected(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    fake.add("GET", URL)
    with pytest.raises(UnexpectedRequest) as caught:
        manager.request("POST", URL, retries=3)
    assert str(caught.value) == (
        "POST http://a.example/x was not expected; expected were:\n  GET http://a.example/x (0 of 1 given)"
    )
    assert len(fake.requests) == 1  # nothing repeats it


def test_check_tells_what_was_not_made_and_what_was_not_expected(
    fake: FakeTransport, manager: poollib.PoolManager
) -> None:
    fake.add("GET", URL, Answer(503), Answer(200))
    fake.add("GET", "http://b.example/", optional=True)
    manager.request("GET", URL)
    with pytest.raises(UnexpectedRequest):
        manager.request("GET", "http://c.example/")
    with pytest.raises(AssertionError) as caught:
        fake.check()
    assert str(caught.value) == (
        "the requests were not as expected:"
        "\n  not made: GET http://a.example/x (1 of 2 given)"
        "\n  not expected: GET http://c.example/"
    )


def test_the_block_checks_at_its_end_but_hides_no_error() -> None:
    with pytest.raises(AssertionError, match="not made: GET"):
        with FakeTransport() as fake:
            fake.add("GET", URL)
    with pytest.raises(KeyError):
        with FakeTransport() as fake:
            fake.add("GET", URL)
            raise KeyError


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (lambda fake: fake.add("GET", "/x"), "no absolute URL"),
        (lambda fake: fake.add("GET", URL, tls_alert()), "needs an https URL"),
        (lambda fake: fake.add("GET", re.compile(".*"), refused()), "needs a URL"),
        (lambda fake: fake.add("GET", URL, Answer(), Answer(), times=1), "less than the 2 answers"),
        (lambda fake: tls_alert("no_such"), "'no_such' is no alert"),
        (lambda fake: Answer(20), "status 20"),
        (lambda fake: Answer(body="x", json=1), "a body or json"),
        (lambda fake: Answer().drip(0), "at least 1"),
        (lambda fake: Answer().reset(-1), "a count is needed"),
        (lambda fake: truncated_chunk(b"abc", 3), "is not truncated"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    fake: FakeTransport, order: Callable[[FakeTransport], object], text: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        order(fake)


def test_what_is_no_answer_is_refused(fake: FakeTransport) -> None:
    with pytest.raises(TypeError, match="not int"):
        fake.add("GET", URL, 200)  # type: ignore[arg-type]


# Faults

FAULTS = {
    "reset before the head": (Answer(body="hello").reset(), exceptions.ProtocolError, "reset by peer"),
    "reset in the body": (Answer(body="hello").reset(2), exceptions.ProtocolError, "reset by peer"),
    "closed before the head": (Answer(body="hello").close(), exceptions.ProtocolError, "without response"),
    "closed in the body": (Answer(body="hello").close(2), exceptions.ProtocolError, "2 bytes read, 3 more expected"),
    "stalled before the head": (Answer(body="hello").stall(), exceptions.ReadTimeoutError, "Read timed out"),
    "stalled in the body": (Answer(body="hello").stall(2), exceptions.ReadTimeoutError, "Read timed out"),
    "truncated chunk": (truncated_chunk(), exceptions.ProtocolError, "IncompleteRead"),
    "garbage": (garbage_head(), exceptions.InvalidResponseError, "not a status line"),
    "refused": (refused(), exceptions.NewConnectionError, "Connection refused"),
    "no such host": (dns_failure(), exceptions.NameResolutionError, "Name or service not known"),
    "connect timeout": (connect_timeout(), exceptions.ConnectTimeoutError, "connect timeout=5"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_poollibs_own_error(fake: FakeTransport, manager: poollib.PoolManager, name: str) -> None:
    reply, kind, text = FAULTS[name]
    fake.add("GET", URL, reply)
    with pytest.raises(kind, match=text) as caught:
        manager.request("GET", URL)
    assert type(caught.value) is kind
    fake.check()


@pytest.mark.parametrize("name", FAULTS)
def test_after_a_fault_the_next_attempt_succeeds_on_a_new_connection(fake: FakeTransport, name: str) -> None:
    reply = FAULTS[name][0]
    fake.add("GET", URL, Answer(body="before"), reply, Answer(body="whole"))
    with fake.attach(poollib.PoolManager(retries=poollib.Retry(2), timeout=5.0)) as manager:
        assert manager.request("GET", URL).data == b"before"
        # A body that breaks off is not asked for again unless it is read within the retries.
        response = manager.request("GET", URL, preload_content=True)
        assert response.data == b"whole"
    assert fake.connections == 2
    fake.check()


@pytest.mark.parametrize("alert", ["handshake_failure", "certificate_required", "unknown_ca"])
def test_a_tls_alert_is_openssls_own_error(fake: FakeTransport, manager: poollib.PoolManager, alert: str) -> None:
    fake.add("GET", HTTPS, tls_alert(alert), Answer(body="secret"))
    with pytest.raises(exceptions.SSLError) as caught:
        manager.request("GET", HTTPS)
    assert isinstance(caught.value.args[0], ssl.SSLError)
    assert alert.replace("_", " ") in str(caught.value)
    assert manager.request("GET", HTTPS).data == b"secret"


def test_a_body_without_an_end_is_made_as_it_is_received(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    made = 0

    def endless() -> Iterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield b"0123456789"

    fake.add("GET", URL, Answer(body=endless()), Answer(body="next"))
    response = manager.request("GET", URL, preload_content=False)
    assert response.read(25) == b"0123456789012345678901234"
    response.close()
    assert made < 2000
    assert manager.request("GET", URL).data == b"next"


@pytest.mark.parametrize("piece_bytes", [1, 4, 100])
def test_a_body_that_is_made_as_it_is_received_comes_again_the_same(
    fake: FakeTransport, manager: poollib.PoolManager, piece_bytes: int
) -> None:
    chunks = [b"one", b"", b"two", b"three"]
    fake.add("GET", URL, Answer(body=iter(chunks)).drip(piece_bytes))
    for _ in range(2):
        assert manager.request("GET", URL).data == b"onetwothree"
    assert fake.connections == 1


def test_such_a_body_ends_at_every_byte_that_is_ordered(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    framed = len(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    for after in range(framed - 2):  # behind the last chunk's line nothing is missed, as in http.client
        fake.add("GET", f"{URL}/{after}", Answer(body=iter([b"one", b"two"])).close(after))
        with pytest.raises(exceptions.ProtocolError):
            manager.request("GET", f"{URL}/{after}")
    fake.add("GET", URL, Answer(body=iter([b"one", b"two"])).close(framed))
    assert manager.request("GET", URL).data == b"onetwo"


def test_threads_receive_such_a_body_at_once(fake: FakeTransport) -> None:
    fake.add("GET", URL, Answer(body=(b"%d," % number for number in range(300))))
    wanted = b"".join(b"%d," % number for number in range(300))
    with fake.attach(poollib.PoolManager(maxsize=8)) as manager, ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: manager.request("GET", URL).data, range(16))) == {wanted}


def test_what_such_a_body_raises_is_what_the_program_meets(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    def torn() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError(104, "reset")

    fake.add("GET", URL, Answer(body=torn()))
    with pytest.raises(exceptions.ProtocolError, match="reset"):
        manager.request("GET", URL)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (5, "a body is bytes, text or an iterable of bytes, not int"),
        ({"a": 1}, "not dict: give it as json="),
        (["a"], "a body's chunks are bytes, not str"),
    ],
)
def test_what_is_no_body_is_named(body: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Answer(body=body)
    with pytest.raises(ValueError, match="status '200' is none: it is an int of three digits"):
        Answer("200")  # type: ignore[arg-type]


def test_a_drip_is_put_together_byte_by_byte(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    fake.add("GET", URL, Answer(body=[b"one", b"two"]).drip())
    response = manager.request("GET", URL, preload_content=False)
    assert response.read1(100) == b"o"
    assert response.read() == b"netwo"
    assert manager.request("GET", URL).data == b"onetwo"


def test_503_and_then_200_without_a_second_of_waiting() -> None:
    with FakeTransport() as fake:
        fake.add("GET", URL, unavailable(retry_after_s=30), unavailable(), Answer(body="well"))
        retries = poollib.Retry(3, status_forcelist=[503], backoff_factor=0.5)
        assert poollib.PoolManager(retries=retries).request("GET", URL).data == b"well"
    assert fake.pauses[0] == 30
    assert len(fake.requests) == 3


def test_a_fault_that_is_due_finds_no_kept_connection(fake: FakeTransport, manager: poollib.PoolManager) -> None:
    fake.add("POST", URL, Answer(body="1"), refused(), Answer(body="2"))
    assert manager.request("POST", URL, body=b"x").data == b"1"
    with pytest.raises(exceptions.NewConnectionError):
        manager.request("POST", URL, body=b"x")
    assert manager.request("POST", URL, body=b"x").data == b"2"
    assert len(fake.requests) == 2


def test_connections_fail_by_a_function(fake: FakeTransport) -> None:
    def connect(host: str, port: int) -> ConnectFault | None:
        return {("b.example", 80): dns_failure(), ("b.example", 443): tls_alert()}.get((host, port))

    fake = FakeTransport(lambda request: Answer(), connect=connect)
    with fake.attach(poollib.PoolManager(retries=False)) as manager:
        assert manager.request("GET", URL).status == 200
        with pytest.raises(exceptions.NameResolutionError):
            manager.request("GET", "http://b.example/")
        with pytest.raises(exceptions.SSLError):
            manager.request("GET", "https://b.example/")


def test_a_stall_without_a_timeout_is_an_error_of_the_test(fake: FakeTransport) -> None:
    fake.add("GET", URL, Answer().stall())
    with fake.attach(poollib.PoolManager(timeout=None)) as manager:
        with pytest.raises(WouldWaitForever, match="has no timeout"):
            manager.request("GET", URL)


def test_in_real_time_a_stall_takes_the_deadline() -> None:
    fake = FakeTransport(lambda request: Answer().stall(), real_time=True)
    with fake.attach(poollib.PoolManager(retries=False)) as manager:
        with pytest.raises(exceptions.DeadlineExceededError):
            manager.request("GET", URL, timeout=poollib.Timeout(deadline=0.01))


# Redirects, proxies, TLS


def test_redirects_go_on_to_other_hosts(fake: FakeTransport) -> None:
    fake.add("POST", URL, Answer(303, headers={"Location": "https://b.example:8443/y"}))
    fake.add("GET", "https://b.example:8443/y", Answer(body="there"))
    with fake.attach(poollib.PoolManager()) as manager:
        assert manager.request("POST", URL, body=b"x", headers={"Authorization": "secret"}).data == b"there"
    assert "authorization" not in fake.requests[1].headers


def test_proxies_pass_requests_on_and_open_tunnels(fake: FakeTransport) -> None:
    fake.add("GET", URL, Answer(body="forwarded"))
    fake.add("GET", HTTPS, Answer(body="tunnelled"))
    with fake.attach(poollib.ProxyManager("http://proxy.example:3128")) as manager:
        assert manager.request("GET", URL).data == b"forwarded"
        assert manager.request("GET", HTTPS).data == b"tunnelled"
    fake.check()


def test_a_proxy_may_refuse_a_tunnel(fake: FakeTransport) -> None:
    fake.add("CONNECT", "a.example:443", Answer(407))
    with fake.attach(poollib.ProxyManager("http://proxy.example:3128", retries=False)) as manager:
        with pytest.raises(exceptions.ProxyError, match="407"):
            manager.request("GET", HTTPS)


def test_https_is_verified_unless_the_caller_asks_for_less(fake: FakeTransport) -> None:
    fake.add("GET", HTTPS, times=2)
    assert fake.attach(poollib.HTTPSConnectionPool("a.example")).request("GET", "/x").status == 200
    with pytest.warns(exceptions.InsecureRequestWarning):
        fake.attach(poollib.HTTPSConnectionPool("a.example", cert_reqs="CERT_NONE")).request("GET", "/x")


@pytest.mark.parametrize("url", ["http://[::1]:8080/", "http://A.Example/", "http://a.example:80"])
def test_hosts_are_compared_as_urls_are(fake: FakeTransport, manager: poollib.PoolManager, url: str) -> None:
    fake.add("GET", url, refused(), Answer())
    with pytest.raises(exceptions.NewConnectionError):
        manager.request("GET", url)
    assert manager.request("GET", url).status == 200
