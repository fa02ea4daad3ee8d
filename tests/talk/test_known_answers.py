"""A connection that knows its last heads: one of their form means what it would mean to a connection that knows none.

Source: RFC 9112 sections 5 and 6.3; the fourth promise (the strict parser), which no shortcut may go round.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
from collections.abc import Iterator

import pytest

from poollib import HTTPConnectionPool, HTTPHeaderDict
from poollib.connection import HTTPConnection
from poollib.exchange.request_value import AS_USUAL, Request, ResponseOptions
from poollib.exchange.transport import PATIENCE, ConnectionState
from poollib.http1.head_template import KNOWN_HEAD_BYTES
from poollib.policy.retry import Retry
from poollib.response import HTTPResponse
from tests.support.httpd import Httpd, echo
from tests.support.httpd import Response as Answer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: one\r\nX-A: two\r\n\r\n"
USUAL = HEAD + b"ok"
ALIKE = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: \r\nX-A: two\r\n\r\nanother one"


class Line:
    """A connection and the server's end of its socket."""

    def __init__(self) -> None:
        self.conn = HTTPConnection("localhost", timeout=5)
        self.conn.sock, self.far = socket.socketpair()
        self.conn.sock.settimeout(5)

    def answer(self, wanted: ResponseOptions = AS_USUAL, method: str = "GET") -> HTTPResponse:
        """The response to a further request, whatever is there to be read."""
        request = Request(HTTPConnectionPool("localhost"), method, "/", None, None, Retry.DEFAULT)
        request.wanted = wanted
        return self.conn.exchange(request, None, lambda _: None)

    def ask(
        self,
        answer: bytes,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        wanted: ResponseOptions = AS_USUAL,
    ) -> str:
        """All that a caller sees of an answer, or of the error it is."""
        self.far.sendall(answer)
        if answer != USUAL:
            self.far.shutdown(socket.SHUT_WR)
        request = Request(HTTPConnectionPool("localhost"), method, "/", None, headers, Retry.DEFAULT)
        request.wanted = wanted
        try:
            response = self.conn.exchange(request, headers, lambda _: None)
            fields = list(response.headers.iteritems())
            return f"{response.status} {fields} {response.data!r} {self.conn.exchange_state}"
        except Exception as error:
            return f"{type(error).__name__} {str(error).rpartition('object at')[0] or error} {self.conn.exchange_state}"

    def sent(self) -> bytes:
        """What has come of requests."""
        return self.far.recv(65536)


@contextlib.contextmanager
def line(usual: int = 0, alike: bool = False) -> Iterator[Line]:
    """A line that has had so many usual answers, and then one that is ``alike``, in whose form the next are read."""
    opened = Line()
    try:
        for answer in [USUAL] * usual + [ALIKE] * alike:
            opened.far.sendall(answer)
            opened.answer()
        yield opened
    finally:
        opened.conn.close()
        opened.far.close()


def test_the_same_bytes_are_the_same_answer_again() -> None:
    """As often as they come; the second time the head is kept, from the third on it is known."""
    with line() as known:
        seen = [known.ask(USUAL) for _ in range(5)]
        assert known.conn.known_head is not None
        assert len(set(seen)) == 1
        assert known.conn.exchange_count == 5


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("wanted", [AS_USUAL, ResponseOptions(preload_content=False)])
def test_one_other_byte_anywhere_is_read_as_on_a_new_connection(wanted: ResponseOptions, alike: bool) -> None:
    for at in range(len(USUAL)):
        for byte in (b"\n", b":", b"9"):
            changed = USUAL[:at] + byte + USUAL[at + 1 :]
            with line(3, alike) as known, line() as new:
                assert known.ask(changed, wanted=wanted) == new.ask(changed, wanted=wanted), changed


@pytest.mark.parametrize(
    "answer",
    [
        USUAL + b"!",
        USUAL + USUAL,
        USUAL[:-1],
        HEAD,
        HEAD[:-2],
        b"",
        USUAL.replace(b"200", b"404"),
        USUAL.replace(b"2\r\n", b"2\r\nConnection: close\r\n", 1),
        USUAL.replace(b"2\r\n", b"2\r\nContent-Length: 3\r\n", 1),
        USUAL.replace(b"2\r\n", b"2\r\nTransfer-Encoding: chunked\r\n", 1),
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + USUAL,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
@pytest.mark.parametrize("alike", [False, True])
def test_more_less_or_another_answer_is_read_as_on_a_new_connection(answer: bytes, alike: bool) -> None:
    with line(3, alike) as known, line() as new:
        assert known.ask(answer) == new.ask(answer)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("answer", [HEAD, USUAL])
def test_aknown_head_answers_head_without_a_body(answer: bytes, alike: bool) -> None:
    with line(3, alike) as known, line() as new:
        assert known.ask(answer, "HEAD") == new.ask(answer, "HEAD")


def test_a_connection_that_was_asked_to_close_closes() -> None:
    with line(3) as known:
        assert known.ask(USUAL, headers={"Connection": "close"}).endswith("CLOSED")


def test_a_body_that_is_not_to_be_read_at_once_is_left_to_be_read() -> None:
    with line(3) as known:
        known.far.sendall(USUAL)
        assert known.answer(ResponseOptions(preload_content=False)).read() == b"ok"


def test_a_body_that_was_left_encoded_is_decoded_for_the_next_who_asks() -> None:
    body = gzip.compress(b"ok")
    coded = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Encoding: gzip\r\n\r\n%b" % (len(body), body)
    with line() as known:
        for wanted, data in [(ResponseOptions(decode_content=False), body)] * 3 + [(AS_USUAL, b"ok")]:
            known.far.sendall(coded)
            response = known.answer(wanted)
            response.accept(True)
            assert response.data == data
            known.conn.exchange_state = ConnectionState.IDLE  # as when a pool is told of the end


def test_a_body_in_no_chunk_is_ended_for_each_request() -> None:
    with Httpd({"/": echo}) as server, HTTPConnectionPool(server.host, server.port, timeout=5) as pool:
        for _ in range(4):
            response = pool.request("POST", "/", headers={"Transfer-Encoding": "chunked"})
            assert response.json()["headers"]["transfer-encoding"] == "chunked"
        assert server.opened == 1


def test_an_answer_to_head_says_nothing_of_a_body_that_is_to_come() -> None:
    with line() as known:
        for _ in range(3):
            known.far.sendall(HEAD)
            known.answer(method="HEAD")
        known.far.sendall(HEAD)
        response = known.answer()
        known.far.sendall(b"ok")
        assert response.read() == b"ok"


def test_an_answer_that_comes_in_pieces_is_read_to_its_end() -> None:
    with line(3) as known:
        usual = known.ask(USUAL)
        known.far.sendall(HEAD)
        response = known.answer()
        known.far.sendall(b"ok")
        assert (response.read(), known.ask(USUAL)) == (b"ok", usual)


def test_a_head_in_an_old_spelling_is_known_with_the_fields_as_they_were_read() -> None:
    folded = b"HTTP/1.1 200 OK\nContent-Length: 2\r\nX-A: one\r\n two\r\n\r\nok"
    seen: list[tuple[str, str]] = []
    with line() as known:
        for _ in range(4):
            known.far.sendall(folded)
            seen += known.answer().headers.iteritems()
    assert seen == 4 * [("Content-Length", "2"), ("X-A", "one two")]


@pytest.mark.parametrize("framing", [b"Content-Encoding: gzip", b"Transfer-Encoding: chunked"])
def test_aknown_head_of_another_framing_is_read_to_the_end_of_its_body(framing: bytes) -> None:
    zipped = gzip.compress(b"ok")
    body = zipped if b"gzip" in framing else b"2\r\nok\r\n0\r\n\r\n"
    length = b"Content-Length: %d\r\n" % len(body) if b"gzip" in framing else b""
    answer = b"HTTP/1.1 200 OK\r\n%b%b\r\n\r\n%b" % (length, framing, body)
    with line() as known:
        for _ in range(5):
            known.far.sendall(answer)
            response = known.answer()
            response.accept(True)
            assert response.data == b"ok"
            assert known.conn.exchange_state is ConnectionState.IDLE
        assert known.conn.known_head is not None


def test_heads_that_differ_in_values_are_read_by_what_they_have_in_common() -> None:
    """From the third on; and so is what says how long a body is."""
    kept = set()
    with line() as known:
        for number in range(10, 50):
            body = b"x" * number
            known.far.sendall(
                b"HTTP/1.1 200 OK\r\nX-A: %d\r\nContent-Length: %d\r\n\r\n%s" % (number * 999, number, body)
            )
            response = known.answer()
            assert (response.headers["X-A"], response.data) == (str(number * 999), body)
            kept.add(known.conn.known_head)
        assert len(kept) == 3  # none, the second's, and that of the second and the third
        assert known.conn._known_misses == 0


def test_a_server_that_counts_down_its_last_requests_is_believed() -> None:
    with line() as known:
        for left in range(5, -1, -1):
            fields = b"Keep-Alive: timeout=%d, max=%d\r\nContent-Length: 1" % (left + 9, left)
            known.far.sendall(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\nx")
            assert known.answer().data == b"x"
            assert known.conn.idle_limit_s == left + 9
            assert (known.conn.exchange_state is ConnectionState.IDLE) == (left > 0)
        assert known.conn._known_misses == 0


def test_a_form_that_comes_late_is_learned_as_well() -> None:
    with line() as known:
        for number in range(100):
            name = number if number < 30 else 30
            known.far.sendall(b"HTTP/1.1 200 OK\r\nX-%d: %d\r\nContent-Length: 0\r\n\r\n" % (name, number))
            known.answer()
        assert known.conn._known_misses == 0


def test_where_no_form_comes_twice_few_are_kept() -> None:
    kept = set()
    with line() as known:
        for number in range(40):
            known.far.sendall(USUAL.replace(b"X-A: one", b"X-%03d: one" % number))
            assert known.answer().headers[f"X-{number:03}"] == "one"
            kept.add(known.conn.known_head)
        assert len(kept) <= 1 + PATIENCE + 6
        assert known.conn.known_head is None  # so that nobody looks for one
        seen = [known.ask(USUAL) for _ in range(20)]
        assert len(set(seen)) == 1
        assert known.conn._known_misses == 0


def test_long_heads_are_not_kept() -> None:
    with line() as known:
        long = HEAD.replace(b"one", b"1" * KNOWN_HEAD_BYTES) + b"ok"
        for _ in range(3):
            known.far.sendall(long)
            known.answer()
        assert known.conn.known_head is None


def test_nothing_is_kept_of_one_request_alone_nor_by_a_closed_connection() -> None:
    """Many idle connections have served one request; a closed one holds no field, which may be a secret."""
    with line(1) as known:
        assert known.conn.known_head is known.conn._sent_head is None
        known.ask(USUAL)
        assert known.conn.known_head is not None
        known.conn.close()
        kept = (known.conn.known_head, known.conn._sent_head, known.conn._sent_fields)
        assert kept == (None, None, None)


def test_each_response_has_header_fields_of_its_own() -> None:
    with Httpd({"/": lambda request: Answer(b"ok", headers={"X-A": "1"})}) as server:
        with HTTPConnectionPool(server.host, server.port) as pool:
            responses = [pool.request("GET", "/") for _ in range(4)]
            responses[2].headers["X-A"] = "2"
            responses[2].headers.add("X-A", "3")
            assert [response.headers["X-A"] for response in responses] == ["1", "1", "2, 3", "1"]
            assert isinstance(responses[3].headers, HTTPHeaderDict)


def test_every_request_is_sent_as_it_was_asked_for() -> None:
    """A request's bytes are sent again for the same method, target and fields, and for no other."""
    with Httpd({"/": echo, "/b": echo}) as server, HTTPConnectionPool(server.host, server.port) as pool:
        asked: list[tuple[str, str, dict[str, str] | None, bytes | None]] = [
            ("GET", "/", None, None),
            ("GET", "/", None, None),
            ("GET", "/b", None, None),
            ("DELETE", "/b", None, None),
            ("POST", "/b", None, None),
            ("POST", "/b", None, b"x"),
            ("POST", "/b", None, None),
            ("GET", "/b", {"X-A": "1"}, None),
            ("GET", "/b", {"X-A": "1"}, None),
            ("GET", "/b", {"X-A": "2"}, None),
            ("GET", "/b", {"Authorization": "a"}, None),
            ("GET", "/b", {"Authorization": "a"}, None),
            ("GET", "/b", {"Authorization": "b"}, None),
            ("GET", "/b", {"Host": "other"}, None),
            ("GET", "/b", {"Host": "other"}, None),
            ("GET", "/b", None, None),
        ]
        for method, target, headers, body in asked * 2:
            seen = pool.request(method, target, headers=headers, body=body, redirect=False).json()
            assert (seen["method"], seen["target"]) == (method, target)
            assert [seen["headers"].get(name.lower()) for name in headers or {}] == list((headers or {}).values())
            assert seen["headers"].get("x-a") == (headers or {}).get("X-A")
            assert seen["headers"].get("authorization") == (headers or {}).get("Authorization")
            assert seen["body"] == (body or b"").decode()


@pytest.mark.parametrize("fields", [{}, {"User-Agent": "me"}])
def test_another_host_is_told_to_the_server_at_once(fields: dict[str, str]) -> None:
    """Whether the Host field stands among the usual ones or was made for a request that replaces some of them."""
    with line(3) as known:
        for _ in range(2):
            known.ask(USUAL, headers=fields)
        known.sent()
        known.conn.host = "other.example"
        known.ask(USUAL, headers=fields)
        assert b"\r\nHost: other.example\r\n" in known.sent()


def test_a_subclass_may_name_its_host_before_anything_else() -> None:
    """As wsgi-intercept's does."""

    class Early(HTTPConnection):
        def __init__(self, host: str) -> None:
            self.host = host
            super().__init__(host)

    assert Early("a.example").host == "a.example"
