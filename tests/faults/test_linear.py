"""Every parser is linear: twice the hostile input costs twice the steps, counted and not timed.

Python's steps are counted by line events; what one step of C may cost (a search, a join, a regular expression) is
counted by the bytes of the pieces that are made, where a parser makes any. RELIABILITY promise 5; CVE-2020-7212,
CVE-2021-33503, CVE-2022-45061, CVE-2023-24534, CVE-2025-61724, CVE-2026-56860.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

import poollib
from poollib.base.headers import HTTPHeaderDict
from poollib.base.url import encode_target, join, parse_url
from poollib.connection import HTTPConnection
from poollib.exceptions import HTTPError
from poollib.http1.body_reader import body_reader
from poollib.http1.content_encoding import decoder_for
from poollib.http1.multipart import MultipartStream, encode_multipart_formdata
from poollib.http1.request_head import _is_connection_close, check_value
from poollib.http1.response_head import CHUNKED, complete_head
from poollib.http1.sse import EventParser
from poollib.net.certificates import match_hostname
from poollib.policy.proxy_rules import HostList
from poollib.policy.retry import Retry
from poollib.poolmanager import _match_simple
from poollib.response import HTTPResponse
from tests.bytes.feeds import Feed

FOLDER = os.path.dirname(poollib.__file__)
OK = b"HTTP/1.1 200 OK\r\n"


def _pieces(data: bytes, size: int) -> Callable[[int], bytes]:
    """A receive that gives ``size`` bytes at a time."""
    at = 0

    def receive(limit: int) -> bytes:
        nonlocal at
        piece = data[at : at + min(size, limit)]
        at += len(piece)
        return piece

    return receive


def _head(data: bytes, size: int = 65536) -> None:
    complete_head(_pieces(OK + data, size), b"", _limits())


def _heard(data: bytes, size: int) -> None:
    """As while a body is being sent."""
    conn = HTTPConnection("host")
    for at in range(0, len(data), size):
        conn._is_answered(data[at : at + size])


def _limits() -> Any:
    from poollib.http1.grammar import DEFAULT_LIMITS

    wide = dict.fromkeys(DEFAULT_LIMITS._fields, 1 << 30)
    return DEFAULT_LIMITS._replace(**wide)


def _chunks(data: bytes, size: int = 65536) -> None:
    receive = _pieces(data, size)
    body_reader(Feed(receive, lambda view: 0), CHUNKED, True, None, _limits()).read_all()


def _events(data: bytes, size: int = 4096) -> None:
    parser = EventParser("")
    for start in range(0, len(data), size):
        parser.feed(data[start : start + size])


def _fields(pairs: list[tuple[str, str]]) -> None:
    """A header dict as a response fills it, and every way of reading it."""
    fields = HTTPHeaderDict(pairs)
    assert len(list(fields.iteritems())) == len(pairs)
    assert dict(fields.itermerged())
    fields.getlist("a"), fields.get("a"), fields.copy() == fields, repr(fields)


def _lines(data: bytes) -> None:
    response = HTTPResponse(io.BytesIO(data), preload_content=False)
    for _ in response.iter_lines():
        pass


def _name(pattern: str, name: str) -> None:
    match_hostname({"subjectAltName": (("DNS", pattern),)}, name)


def _decoder(codings: str) -> None:
    decoder = decoder_for(codings)
    if decoder is not None:
        decoder.decompress(b"abc")


#: A parser, and a hostile input for each n.
CASES: dict[str, Callable[[int], object]] = {
    "a URL of at signs": lambda n: parse_url("http://" + "@" * n + "host/"),
    "a URL of colons": lambda n: parse_url("http://" + ":" * n),
    "a URL of percent signs": lambda n: parse_url("http://host/" + "%" * n),
    "a URL of letters to encode": lambda n: parse_url("http://host/" + "\xe9" * n),
    "a URL of dots": lambda n: parse_url("http://host/" + "../" * n),
    "a URL of dots and names": lambda n: parse_url("http://host/" + "a/../" * n),
    "a URL of slashes": lambda n: parse_url("http://host" + "/" * n),
    "a long host": lambda n: parse_url("http://" + "a." * n + "b/"),
    "a long host beyond ASCII": lambda n: parse_url("http://" + "\xe9" * n + "/"),
    "an address of colons": lambda n: parse_url("http://[" + ":" * n + "]/"),
    "a Location of dots": lambda n: join("http://host/" + "a/" * n, "../" * n),
    "a Location of at signs": lambda n: join("http://host/a?b", "//" + "@" * n),
    "a Location of colons": lambda n: join("http://host/a?b", ":" * n),
    "a Location of question marks": lambda n: parse_url(join("http://host/" + "a" * n, "?#" * n)),
    "a Location that a manager takes as it is": lambda n: _match_simple("http://" + "a." * n + "b" + "/a." * n + "\\"),
    "a target to encode": lambda n: encode_target("/" + "\xe9?" * n),
    "a target of percent signs": lambda n: encode_target("/" + "%4" * n),
    "a host for NO_PROXY": lambda n: HostList("a.b, *.c, 10.0.0.0/8").matches("a." * n + "d", 80),
    "many fields": lambda n: _head(b"A: b\r\n" * n + b"\r\n"),
    "fields that drip": lambda n: _head(b"A: b\r\n" * n + b"\r\n", 97),
    "fields that drip while a body is sent": lambda n: _heard(OK + b"A: b\r\n" * (n // 20), 1),
    "a line that drips while a body is sent": lambda n: _heard(OK + b"A: " + b"b" * n, 1),
    "a field of blanks": lambda n: _head(b"A: " + b" " * n + b"b" + b" " * n + b"\r\n\r\n"),
    "a folded field": lambda n: _head(b"A: b\r\n" + b" c\r\n" * n + b"\r\n"),
    "lengths in a list": lambda n: _head(b"Content-Length: " + b"5," * n + b"5\r\n\r\n"),
    "codings in a list": lambda n: _head(b"Transfer-Encoding: " + b"," * n + b"chunked\r\n\r\n"),
    "Connection in a list": lambda n: _head(b"Connection: " + b"a, " * n + b"close\r\n\r\n"),
    "Keep-Alive": lambda n: _head(b"Keep-Alive: " + b"timeout=," * n + b"\r\n\r\n"),
    "codings of a body over many lines": lambda n: _head(b"Content-Encoding: gzip\r\n" * n + b"\r\n"),
    "Connection over many lines": lambda n: _head(b"Connection: a\r\n" * n + b"\r\n"),
    "codings over many lines": lambda n: _head(b"Transfer-Encoding: a\r\n" * n + b"\r\n"),
    "lengths over many lines": lambda n: _head(b"Content-Length: 5\r\n" * n + b"\r\n"),
    "a header dict of one name": lambda n: _fields([("a", "b")] * n),
    "a header dict of many names": lambda n: _fields([("a", "b"), *((f"x{at}", "b") for at in range(n))]),
    "a Connection field of our own": lambda n: _is_connection_close(", close x" * n + " " * n),
    "a value of blanks to send": lambda n: check_value("A", "b" + " \t" * n),
    "chunks of one byte": lambda n: _chunks(b"1\r\na\r\n" * n + b"0\r\n\r\n"),
    "chunks that drip": lambda n: _chunks(b"1\r\na\r\n" * n + b"0\r\n\r\n", 7),
    "a chunk size of zeros": lambda n: _chunks(b"0" * n + b"1\r\na\r\n0\r\n\r\n", 97),
    "an extension": lambda n: _chunks(b"1;" + b"a=b;" * n + b"\r\na\r\n0\r\n\r\n", 9973),
    "trailers": lambda n: _chunks(b"0\r\n" + b"A: b\r\n" * n + b"\r\n", 9973),
    "lines of an event": lambda n: _events(b"data: x\n" * n + b"\n"),
    "an event of one line": lambda n: _events(b"data: " + b"x" * n * 4 + b"\n\n"),
    "events without data": lambda n: _events(b"\n" * n),
    "a line of carriage returns": lambda n: _events(b"\r" * n),
    "an event of fields": lambda n: _events(b"id: 1\nretry: 2\nevent: x\n:\n" * n + b"\n"),
    "a waiting time of digits": lambda n: _events(b"retry: " + b"1" * n + b"\n\n"),
    "lines of a body": lambda n: _lines(b"a\r\n" * n),
    "a body of one line": lambda n: _lines(b"a\r" * n),
    "Retry-After of digits": lambda n: Retry().parse_retry_after("1" * n),
    "Retry-After of blanks": lambda n: Retry().parse_retry_after("Sun," + " " * n + "06 Nov"),
    "Retry-After of a year": lambda n: Retry().parse_retry_after("Sun, 06 Nov " + "9" * n + " 08:49:37 GMT"),
    "codings of a body": lambda n: _decoder("gzip, " * n),
    "codings of a body, unknown": lambda n: _decoder("," * n + "x"),
    "a form of many fields": lambda n: encode_multipart_formdata([("a", "b")] * n),
    "a boundary": lambda n: MultipartStream([], "-" * n + " "),
    "a name in a certificate": lambda n: _name("*." + "a." * n + "b", "a." * n + "b"),
    "stars in a certificate": lambda n: _name("*" * n + ".a", "a" * n + ".a"),
    "a name to quote": lambda n: encode_multipart_formdata([('"\r\n' * n, "b")]),
}
SIZE = 2000


class _Steps:
    """The lines of poollib that were executed."""

    def __init__(self) -> None:
        self.count = 0

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        self.count += 1
        return self._trace

    def of(self, work: Callable[[], object]) -> int:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            with contextlib.suppress(HTTPError, ValueError):
                work()
        finally:
            sys.settrace(before)
        return self.count


@pytest.mark.parametrize("name", CASES)
def test_twice_the_input_takes_twice_the_steps(name: str) -> None:
    case = CASES[name]
    _Steps().of(lambda: case(SIZE))  # what is imported or compiled once
    once, twice = _Steps().of(lambda: case(SIZE)), _Steps().of(lambda: case(2 * SIZE))
    assert twice <= 2.2 * once + 50, f"{once} steps, then {twice}"


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_sixteen_times_the_input_takes_no_more_than_forty_times_the_time(name: str) -> None:
    """What one step of C costs shows only in time: 16 is linear, 256 quadratic."""
    case = CASES[name]

    def seconds(n: int) -> float:
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            with contextlib.suppress(HTTPError, ValueError):
                case(n)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(16 * 4000) <= 40 * seconds(4000) + 0.02
