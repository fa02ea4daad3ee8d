"""HTTPResponse over bytes and file objects, as recorders and mocks make it; live ones are in tests/talk."""

from __future__ import annotations

import gzip
import http.client
import io
import pickle
import socket
import ssl
import zlib
from array import array
from typing import Any

import pytest

from poollib import HTTPHeaderDict, HTTPResponse
from poollib.exceptions import (
    BodyNotHttplibCompatible,
    DecodeError,
    InvalidHeader,
    ProtocolError,
    ReadTimeoutError,
    ResponseNotChunked,
    SSLError,
)
from poollib.http1.sse import Event
from poollib.response import BaseHTTPResponse

TEXT = b"one\ntwo\r\nthree"


def made(body: Any, headers: dict[str, str] | None = None, **more: Any) -> HTTPResponse:
    return HTTPResponse(body, headers=headers, status=200, preload_content=False, **more)


@pytest.mark.parametrize("body", [TEXT, TEXT.decode(), io.BytesIO(TEXT)])
def test_a_body_is_given_whole(body: Any) -> None:
    response = HTTPResponse(body, status=200)
    assert response.data in (TEXT, TEXT.decode())


def test_a_file_is_read_in_every_way() -> None:
    assert made(io.BytesIO(TEXT)).read() == TEXT
    response = made(io.BytesIO(TEXT))
    assert [response.read(4), response.read1(4), response.read(100), response.read()] == [
        b"one\n",
        b"two\r",
        b"\nthree",
        b"",
    ]
    assert list(made(io.BytesIO(TEXT)).stream(5)) == [b"one\nt", b"wo\r\nt", b"hree"]
    assert list(made(io.BytesIO(TEXT))) == [b"one\n", b"two\r\n", b"three"]
    assert list(made(io.BytesIO(TEXT)).iter_lines()) == [b"one", b"two", b"three"]
    assert list(made(io.BytesIO(b"data: a\n\ndata: b\n\n")).events()) == [Event(data="a"), Event(data="b")]
    buffer = bytearray(20)
    assert made(io.BytesIO(TEXT)).readinto(buffer) == len(TEXT)
    assert io.TextIOWrapper(made(io.BytesIO(TEXT), auto_close=False), newline=None).read() == "one\ntwo\nthree"


@pytest.mark.parametrize("how", ["readinto", "readinto1"])
@pytest.mark.parametrize("memory", [bytearray(8), memoryview(bytearray(8)), array("H", [0] * 4)])
def test_any_memory_is_filled_and_none_grows(memory: Any, how: str) -> None:
    """A file that gives more than it was asked for is an error, not a buffer of another size."""
    assert getattr(made(io.BytesIO(TEXT)), how)(memory) == 8
    assert bytes(memory) == TEXT[:8]

    class Generous(io.BytesIO):
        def read(self, amt: int | None = -1, /) -> bytes:
            return super().read()

    with pytest.raises(ValueError, match="different structures"):
        getattr(made(Generous(TEXT)), how)(memory)
    assert memoryview(memory).nbytes == 8


@pytest.mark.parametrize(("name", "coded"), [("gzip", gzip.compress(TEXT)), ("deflate", zlib.compress(TEXT))])
def test_a_coded_file_is_decoded_in_every_way(name: str, coded: bytes) -> None:
    headers = {"Content-Encoding": name}
    assert made(io.BytesIO(coded), headers).read() == TEXT
    assert list(made(io.BytesIO(coded), headers).stream(5)) == [b"one\nt", b"wo\r\nt", b"hree"]
    assert made(io.BytesIO(coded), headers).read(decode_content=False) == coded
    assert made(io.BytesIO(coded), headers, decode_content=False).read() == coded
    assert made(io.BytesIO(coded), headers).read1(3) == b"one"
    response = made(io.BytesIO(coded), headers)
    response.read(1)
    with pytest.raises(RuntimeError, match="decode_content=False"):
        response.read(1, decode_content=False)
    with pytest.raises(DecodeError, match=f"content-encoding: {name}"):
        made(io.BytesIO(coded[:-5]), headers).read()


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_what_was_no_such_coding_can_be_drained_undecoded(name: str) -> None:
    """As requests drains a redirect whose body is not what its field says; urllib3 gives what the decoder left."""
    response = made(io.BytesIO(b"<html>moved</html>" * 100), {"content-encoding": name})
    with pytest.raises(DecodeError):
        response.read()
    assert response.read(decode_content=False) == b""


def test_a_file_shorter_than_its_length_is_an_error_unless_told_otherwise() -> None:
    headers = {"Content-Length": "20"}
    with pytest.raises(ProtocolError, match="IncompleteRead"):
        made(io.BytesIO(TEXT), headers).read()
    assert made(io.BytesIO(TEXT), headers, enforce_content_length=False).read() == TEXT
    assert made(io.BytesIO(TEXT), headers).length_remaining == 20


@pytest.mark.parametrize(("value", "length"), [("5", 5), ("5, 5", 5), ("x", None), ("-1", None)])
def test_the_length_is_the_fields(value: str, length: int | None) -> None:
    assert made(io.BytesIO(b""), {"Content-Length": value}).length_remaining == length
    assert made(io.BytesIO(b""), {"Content-Length": value}, request_method="HEAD").length_remaining == 0
    with pytest.raises(InvalidHeader):
        made(io.BytesIO(b""), {"Content-Length": "5, 6"})


def test_lengths_that_differ_count_nothing_where_no_body_comes() -> None:
    """RFC 9112 section 6.3 rule 1."""
    lengths = {"Content-Length": "5, 6"}
    assert made(io.BytesIO(b""), lengths, request_method="HEAD").length_remaining == 0
    for status in (103, 204, 304):
        assert HTTPResponse(io.BytesIO(b""), lengths, status, preload_content=False).length_remaining == 0


class Failing(io.RawIOBase):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, size: int = -1) -> bytes:
        raise self.error


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TimeoutError("timed out"), ReadTimeoutError),
        (ConnectionResetError("reset"), ProtocolError),
        (http.client.IncompleteRead(b"x"), ProtocolError),
    ],
)
def test_errors_of_a_file_become_the_librarys(error: Exception, wanted: type[Exception]) -> None:
    with pytest.raises(wanted):
        made(Failing(error)).read()


def test_a_file_longer_than_its_length_is_an_error_at_its_end() -> None:
    """A mock whose body and field contradict each other, as responses has it; read whole, it passes as in urllib3."""
    long = {"content-length": "2"}
    with pytest.raises(ProtocolError, match=r"IncompleteRead\(4 bytes read, -2 more expected\)"):
        list(made(io.BytesIO(b"test"), long).stream(10))
    response = made(io.BytesIO(b"test"), long)
    assert response.read(3) == b"tes"
    assert response.length_remaining == 0
    with pytest.raises(ProtocolError, match="IncompleteRead"):
        response.read(3)
    assert made(io.BytesIO(b"test"), long).read() == b"test"
    assert b"".join(made(io.BytesIO(b"test"), long, enforce_content_length=False).stream(3)) == b"test"


@pytest.mark.parametrize("amt", [None, 3, 100])
def test_a_file_that_closes_when_asked_whether_it_is_closed_has_ended(amt: int | None) -> None:
    """As the bodies of responses' mocks do: they answer no at first, and are closed then."""

    class Asked(io.BytesIO):
        def isclosed(self) -> bool:
            if self.closed:
                return True
            if self.tell() == len(self.getvalue()):
                self.close()
            return False

    assert b"".join(made(Asked(b"answer"), {"content-length": "6"}).stream(amt or 2**16)) == b"answer"
    response = made(Asked(b"answer"))
    assert b"".join(iter(lambda: response.read(amt), b"")) == b"answer"


def test_chunks_of_a_file_can_not_be_seen() -> None:
    with pytest.raises(ResponseNotChunked):
        list(made(io.BytesIO(TEXT)).read_chunked())
    chunked = made(io.BytesIO(TEXT), {"Transfer-Encoding": "chunked"})
    assert chunked.chunked
    with pytest.raises(BodyNotHttplibCompatible):
        list(chunked.read_chunked())
    assert list(made(io.BytesIO(TEXT), {"Transfer-Encoding": "chunked"}).stream(100)) == [TEXT]


def test_what_urllib3s_users_look_at_is_there() -> None:
    response = HTTPResponse(
        b'{"a": 1}', HTTPHeaderDict({"Location": "/next", "A": "b"}), 302, 11, "HTTP/1.1", "Found", request_url="/here"
    )
    assert (response.status, response.reason, response.version, response.version_string) == (
        302,
        "Found",
        11,
        "HTTP/1.1",
    )
    assert response.json() == {"a": 1}
    assert (response.url, response.geturl()) == ("/here", "/here")
    assert response.get_redirect_location() == "/next"
    assert made(b"").get_redirect_location() is False
    assert response.getheader("a") == "b"
    assert response.getheader("none", "default") == "default"
    assert response.info() is response.getheaders() is response.headers
    assert response.connection is None
    assert repr(response) == "<HTTPResponse [302] /here>"
    assert (response.interim, list(response.trailers)) == ((), [])


def test_a_file_is_closed_with_its_response() -> None:
    file = io.BytesIO(TEXT)
    response = made(file)
    assert (response.closed, response.isclosed(), response.readable()) == (False, False, True)
    response.close()
    assert (file.closed, response.closed, response.isclosed(), response.read()) == (True, True, True, b"")
    response.release_conn()
    response.drain_conn()


def test_what_has_no_socket_says_so() -> None:
    response = made(io.BytesIO(TEXT))
    for refused in (response.fileno, response.shutdown, response.detach):
        with pytest.raises((OSError, ValueError)):
            refused()
    response.flush()
    assert response.tell() == 0
    response.read(3)
    assert response.tell() == 3


def test_a_played_back_answer_to_head_has_no_chunks() -> None:
    """Although its fields name them, and its file could be read."""

    class File(io.BytesIO):
        fp = None  # as a response of http.client has it

    file = File(b"5\r\nhello\r\n0\r\n\r\n")
    response = made(file, {"Transfer-Encoding": "chunked"}, request_method="HEAD")
    assert response.supports_chunked_reads()
    assert list(response.read_chunked()) == []
    assert file.tell() == 0


def test_only_a_body_read_whole_is_kept_as_data() -> None:
    """Else data would be a part of the body, with nothing to tell so."""
    response = made(io.BytesIO(TEXT))
    assert response.read(3, cache_content=True) == TEXT[:3]
    assert response.read(cache_content=True) == TEXT[3:]
    assert response._body is None
    response = made(io.BytesIO(TEXT))
    assert response.read(cache_content=True) == TEXT == response.data


def test_tls_that_fails_under_a_file_is_an_error_of_tls() -> None:
    class Failing(io.BytesIO):
        def __init__(self, error: OSError) -> None:
            self.error = error

        def read(self, size: int | None = -1) -> bytes:
            raise self.error

    with pytest.raises(SSLError) as caught:
        made(Failing(ssl.SSLError("bad record"))).read()
    assert isinstance(caught.value.args[0], ssl.SSLError)
    with pytest.raises(ProtocolError, match="Connection broken"):
        made(Failing(ssl.SSLEOFError())).read()


def test_a_closed_chunked_response_has_no_chunks() -> None:
    response = made(io.BytesIO(b"5\r\nhello\r\n0\r\n\r\n"), {"Transfer-Encoding": "chunked"})
    response.close()
    assert list(response.read_chunked()) == []


def test_to_read_no_bytes_of_a_file_does_not_end_it() -> None:
    response = made(io.BytesIO(TEXT))
    assert response.read(0) == response.read1(0) == b""
    assert list(response.stream(0)) == []
    assert not response.closed
    assert response.read() == TEXT


def test_a_response_of_http_client_that_ended_is_at_its_end() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
        original = http.client.HTTPResponse(near)
        original.begin()
        response = made(original)
        assert [response.read1(2), response.closed, response.read1(2), response.closed] == [b"bo", False, b"dy", True]
        original.close()


def test_a_response_without_a_body_has_no_data() -> None:
    """As in urllib3: None, where a body may have been handed in later."""
    assert HTTPResponse().data is None
    assert HTTPResponse(None).data is None
    assert HTTPResponse(b"").data is None
    assert HTTPResponse(io.BytesIO()).data == b""


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "5"}, {"Content-Length": "0"}])
def test_a_body_where_none_may_be_is_given_once_and_then_an_error(headers: dict[str, str]) -> None:
    response = HTTPResponse(io.BytesIO(b"12345"), status=204, headers=headers)
    assert response.data == b"12345"
    with pytest.raises(ProtocolError, match="Response may not contain content"):
        response.read(16)


def test_read1_of_what_is_in_memory_gives_all_of_it() -> None:
    """It is at hand."""
    data = bytes(1_000_000)
    assert made(io.BytesIO(data)).read1() == data
    assert made(io.BytesIO(zlib.compress(data)), {"Content-Encoding": "deflate"}).read1() == data


def test_what_is_no_file_is_a_closed_one() -> None:
    response = HTTPResponse("text")
    response._fp = 2
    assert response.closed
    with pytest.raises(OSError, match="no file"):
        response.fileno()


def test_how_to_close_is_for_a_class_to_say() -> None:
    response = BaseHTTPResponse(
        status=200, version=11, version_string="HTTP/1.1", reason=None, decode_content=False, request_url=None
    )
    with pytest.raises(NotImplementedError):
        response.close()


@pytest.mark.parametrize("read", [0, 5, None])
@pytest.mark.parametrize("length", [{}, {"Content-Length": "11"}])
def test_a_response_around_a_file_pickles_also_half_read(read: int | None, length: dict[str, str]) -> None:
    """requests-cache keeps them so: "Can't pickle <function <lambda>>"."""
    response = HTTPResponse(io.BytesIO(b"hello world"), {"A": "b", **length}, 203, preload_content=False)
    assert response.data == b"hello world" if read is None else response.read(read) == b"hello world"[:read]
    again = pickle.loads(pickle.dumps(response))
    assert (again.status, again.headers["A"]) == (203, "b")
    assert again.read() == (b"" if read is None else b"hello world"[read:])
    if read is None:
        assert again.data == b"hello world"


def test_a_response_may_have_the_unknown_status_of_http_client() -> None:
    """As one made from an http.client response whose head was not read; a status in text counts as its number."""
    unread: Any = http.client._UNKNOWN  # type: ignore[attr-defined]
    with HTTPResponse(io.BytesIO(b"abc"), status=unread, preload_content=False) as response:
        assert (response.status, response.length_remaining, response.read()) == ("UNKNOWN", None, b"abc")
    text: Any = "204"
    assert HTTPResponse(io.BytesIO(), status=text, preload_content=False).length_remaining == 0
