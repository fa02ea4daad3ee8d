"""Heads as bytes: what is accepted, and what it says; what is refused, and with which error. See docs/accepted.rst."""

from __future__ import annotations

import pathlib
import re
from typing import NamedTuple

import pytest

from poollib.exceptions import HTTPError, InvalidFramingError, InvalidHeader, InvalidResponseError, ProtocolError
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.http1.response_head import CHUNKED, UNTIL_CLOSE, Head, complete_head, parse_head
from tests.bytes.feeds import Pieces, cuts

OK = b"HTTP/1.1 200 OK\r\n"


class Good(NamedTuple):
    name: str
    head: bytes
    pairs: list[tuple[str, str]] = []  # noqa: RUF012
    length: int = UNTIL_CLOSE
    keep: bool = True
    status: int = 200
    reason: str = "OK"
    version: int = 11


GOOD = [
    Good("no fields", OK + b"\r\n"),
    Good("no reason and no blank before it", b"HTTP/1.1 200\r\n\r\n", reason=""),
    Good("an empty reason", b"HTTP/1.1 200 \r\n\r\n", reason=""),
    Good("a reason in Latin-1", b"HTTP/1.1 200 D\xe9j\xe0 vu\r\n\r\n", reason="Déjà vu"),
    Good("HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\n", version=10, keep=False),
    # a later minor version is read as the highest known: RFC 9110 section 2.5
    Good("HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n"),
    Good("HTTP/1.9", b"HTTP/1.9 200 OK\r\nConnection: close\r\n\r\n", keep=False),
    Good("HTTP/1.2 with bare LF", b"HTTP/1.2 200 OK\nContent-Length: 5\n\n", length=5),
    Good("a status without a name", b"HTTP/1.1 799 Odd\r\n\r\n", status=799, reason="Odd"),
    Good("a field", OK + b"A: b\r\n\r\n", [("A", "b")]),
    Good("blanks around a value", OK + b"A: \t b c \t\r\n\r\n", [("A", "b c")]),
    Good("no blank before a value", OK + b"A:b\r\n\r\n", [("A", "b")]),
    Good("an empty value", OK + b"A:\r\nB: \r\n\r\n", [("A", ""), ("B", "")]),
    Good("colons in a value", OK + b"A: b:c: d\r\n\r\n", [("A", "b:c: d")]),
    Good("every token character", OK + b"!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n", [("!#$%&'*+-.^_`|~09azAZ", "x")]),
    Good("bytes beyond ASCII in a value", OK + b"A: \xe9\xff\r\n\r\n", [("A", "\xe9\xff")]),
    Good("a field twice", OK + b"A: b\r\na: c\r\n\r\n", [("A", "b"), ("a", "c")]),
    # bare LF ends a line: RFC 9112 section 2.2
    Good("bare LF everywhere", b"HTTP/1.1 200 OK\nA: b\nC: d\n\n", [("A", "b"), ("C", "d")]),
    Good("bare LF at the end", OK + b"A: b\r\n\n", [("A", "b")]),
    Good("bare LF before the end", OK + b"A: b\n\r\n", [("A", "b")]),
    # folded lines are unfolded: RFC 9112 section 5.2
    Good("a folded value", OK + b"A: b\r\n  c\r\n\td\r\nE: f\r\n\r\n", [("A", "b c d"), ("E", "f")]),
    Good("a fold of blanks alone", OK + b"A: b\r\n \r\nC: d\r\n\r\n", [("A", "b"), ("C", "d")]),
    Good("a folded length", OK + b"Content-Length:\r\n 5\r\n\r\n", [("Content-Length", "5")], 5),
    Good(
        "a folded coding", OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n", [("Transfer-Encoding", "chunked")], CHUNKED
    ),
    # Content-Length: RFC 9110 section 8.6, RFC 9112 section 6.3
    Good("a length", OK + b"Content-Length: 5\r\n\r\n", [("Content-Length", "5")], 5),
    Good("a length in any case", OK + b"cOnTeNt-LeNgTh:5 \r\n\r\n", [("cOnTeNt-LeNgTh", "5")], 5),
    Good("leading zeros", OK + b"Content-Length: 0005\r\n\r\n", [("Content-Length", "0005")], 5),
    Good("18 digits", OK + b"Content-Length: 999999999999999999\r\n\r\n", length=999999999999999999),
    Good("the same length twice", OK + b"Content-Length: 5\r\nContent-length: 5\r\n\r\n", length=5),
    Good("the same length in a list", OK + b"Content-Length: 5, 5,\t5\r\n\r\n", length=5),
    # Transfer-Encoding: RFC 9112 sections 6.1 and 7
    Good("chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n", length=CHUNKED),
    Good("chunked in any case", OK + b"transfer-encoding: ChUnKeD \r\n\r\n", length=CHUNKED),
    Good("chunked with empty list elements", OK + b"Transfer-Encoding: , chunked,\r\n\r\n", length=CHUNKED),
    Good("chunked over two fields", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n", length=CHUNKED),
    Good(
        "chunked and a length: never reused",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        length=CHUNKED,
        keep=False,
    ),
    Good(
        "chunked in HTTP/1.0: never reused",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
        length=CHUNKED,
        keep=False,
        version=10,
    ),
    # The coding wins over any length: RFC 9112 section 6.3 rule 3
    *(
        Good(
            f"chunked and the length {bad!r}: never reused",
            OK + b"Content-Length: " + bad + b"\r\nTransfer-Encoding: chunked\r\n\r\n",
            length=CHUNKED,
            keep=False,
        )
        for bad in (b"-1", b"5, 6", b"", b"5\r\nContent-Length: 6")
    ),
    # What undoes nothing ends with the connection: RFC 9112 section 6.3 rule 4
    Good("identity", OK + b"Transfer-Encoding: identity\r\n\r\n", keep=False),
    Good("identity in any case, twice", OK + b"Transfer-Encoding: Identity, identity\r\n\r\n", keep=False),
    Good("identity and a length", OK + b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\n", keep=False),
    # Connection: RFC 9112 section 9.3
    Good("close", OK + b"Connection: close\r\n\r\n", keep=False),
    Good("close in any case", OK + b"Connection: Close \r\n\r\n", keep=False),
    Good("close in a list", OK + b"Connection: foo , CLOSE\r\n\r\n", keep=False),
    Good("close in a second field", OK + b"Connection: keep-alive\r\nConnection: close\r\n\r\n", keep=False),
    Good(
        "close wins over keep-alive",
        b"HTTP/1.0 200 OK\r\nConnection: close, keep-alive\r\n\r\n",
        keep=False,
        version=10,
    ),
    Good("a name that only begins like close", OK + b"Connection: closed\r\n\r\n", keep=True),
    Good("keep-alive in HTTP/1.0", b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", keep=True, version=10),
]

BAD = [
    # status lines: RFC 9112 section 4
    ("empty line first", b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ("HTTP/0.9", b"<html>hello\r\n\r\n"),
    ("another protocol", b"SSH-2.0-OpenSSH\r\n\r\n"),
    ("HTTP/2.0", b"HTTP/2.0 200 OK\r\n\r\n"),
    ("HTTP/3.0", b"HTTP/3.0 200 OK\r\n\r\n"),
    ("no minor version", b"HTTP/1 200 OK\r\n\r\n"),
    ("HTTP/1.10", b"HTTP/1.10 200 OK\r\n\r\n"),
    ("a letter in the version", b"HTTP/1.1x 200 OK\r\n\r\n"),
    ("lower case", b"http/1.1 200 OK\r\n\r\n"),
    ("blank first", b" HTTP/1.1 200 OK\r\n\r\n"),
    ("two blanks", b"HTTP/1.1  200 OK\r\n\r\n"),
    ("a tab", b"HTTP/1.1\t200 OK\r\n\r\n"),
    ("no status", b"HTTP/1.1 OK\r\n\r\n"),
    ("two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    ("four digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
    ("signed", b"HTTP/1.1 +20 OK\r\n\r\n"),
    ("underscore", b"HTTP/1.1 2_0 OK\r\n\r\n"),
    ("below 100", b"HTTP/1.1 099 OK\r\n\r\n"),
    ("digits that are no ASCII", "HTTP/1.1 \u0662\u0660\u0660 OK\r\n\r\n".encode()),
    ("control character in the reason", b"HTTP/1.1 200 O\x07K\r\n\r\n"),
    ("NUL in the reason", b"HTTP/1.1 200 O\0K\r\n\r\n"),
    ("bare CR in the reason", b"HTTP/1.1 200 O\rK\r\n\r\n"),
    # field lines: RFC 9112 section 5, RFC 9110 sections 5.1 and 5.5
    ("blank before the first field", OK + b" A: b\r\n\r\n"),
    ("blank before the colon", OK + b"A : b\r\n\r\n"),
    ("tab before the colon", OK + b"A\t: b\r\n\r\n"),
    ("blank before the colon of a length", OK + b"Content-Length : 5\r\n\r\n"),
    ("no colon", OK + b"A b\r\n\r\n"),
    ("empty name", OK + b": b\r\n\r\n"),
    ("blank in a name", OK + b"A B: c\r\n\r\n"),
    ("bracket in a name", OK + b"A(: b\r\n\r\n"),
    ("non-ASCII name", OK + b"\xc3\x84: b\r\n\r\n"),
    ("NUL in a name", OK + b"A\0: b\r\n\r\n"),
    ("NUL in a value", OK + b"A: b\0c\r\n\r\n"),
    ("DEL in a value", OK + b"A: b\x7fc\r\n\r\n"),
    ("control character in a value", OK + b"A: b\x01c\r\n\r\n"),
    ("bare CR in a value", OK + b"A: b\rX: c\r\n\r\n"),
    ("bare CR before CRLF", OK + b"A: b\r\r\n\r\n"),
    ("bare CR in the last line", OK + b"A: b\r\n\r\r\n\r\n"),
    ("vertical tab in a value", OK + b"A: b\x0bc\r\n\r\n"),
]

BAD_FRAMING = [
    ("different lengths", OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    ("different spellings of one length", OK + b"Content-Length: 5\r\nContent-Length: 05\r\n\r\n"),
    ("different lengths in a list", OK + b"Content-Length: 5, 6\r\n\r\n"),
    ("a good and a bad length", OK + b"Content-Length: 5\r\nContent-Length: x\r\n\r\n"),
    ("a good and an empty length", OK + b"Content-Length: 5\r\nContent-Length:\r\n\r\n"),
    ("an empty length", OK + b"Content-Length:\r\n\r\n"),
    ("an empty list element", OK + b"Content-Length: 5,\r\n\r\n"),
    ("plus", OK + b"Content-Length: +5\r\n\r\n"),
    ("minus", OK + b"Content-Length: -5\r\n\r\n"),
    ("underscore", OK + b"Content-Length: 1_7\r\n\r\n"),
    ("hexadecimal", OK + b"Content-Length: 0x5\r\n\r\n"),
    ("two numbers", OK + b"Content-Length: 5 5\r\n\r\n"),
    ("decimals", OK + b"Content-Length: 5.0\r\n\r\n"),
    ("no-break space", OK + b"Content-Length: \xa05\r\n\r\n"),
    ("digits that are no ASCII", OK + "Content-Length: \u0665\r\n\r\n".encode()),
    ("superscript in Latin-1", OK + b"Content-Length: \xb2\r\n\r\n"),
    ("19 digits", OK + b"Content-Length: 1000000000000000000\r\n\r\n"),
    ("5000 digits", OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    ("an unknown coding", OK + b"Transfer-Encoding: gzip\r\n\r\n"),
    ("a coding before chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    ("chunked not last", OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n"),
    ("chunked not last over two fields", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("chunked twice", OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n"),
    ("chunked with a parameter", OK + b"Transfer-Encoding: chunked;a=b\r\n\r\n"),
    ("chunked with junk in front", OK + b"Transfer-Encoding: xchunked\r\n\r\n"),
    ("chunked in quotes", OK + b'Transfer-Encoding: "chunked"\r\n\r\n'),
    ("identity before chunked", OK + b"Transfer-Encoding: identity, chunked\r\n\r\n"),
    ("identity behind chunked", OK + b"Transfer-Encoding: chunked, identity\r\n\r\n"),
    ("an unknown coding and a bad length", OK + b"Content-Length: x\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("an unknown coding and a good length", OK + b"Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("no coding at all", OK + b"Transfer-Encoding:\r\n\r\n"),
]


def head_of(pieces: list[bytes]) -> tuple[Head, bytes]:
    data, head, end = complete_head(Pieces(pieces).recv, b"", DEFAULT_LIMITS)
    return head, data[end:]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
@pytest.mark.parametrize(
    "behind", [b"", b"\r\n", b"HTTP/1.1 404 No\r\n\r\n", b"\0"], ids=["", "CRLF", "another", "NUL"]
)
def test_a_head_is_read_alike_however_it_is_cut(case: Good, behind: bytes) -> None:
    for pieces in cuts(case.head + behind):
        head, rest = head_of(pieces)
        assert (head.version, head.status, head.reason) == (case.version, case.status, case.reason)
        assert (head.length, head.keep_alive) == (case.length, case.keep)
        assert not case.pairs or head.pairs() == case.pairs
        assert behind.startswith(rest)


@pytest.mark.parametrize(("name", "data"), BAD, ids=[name for name, _ in BAD])
def test_a_bad_head_is_refused_however_it_is_cut(name: str, data: bytes) -> None:
    for pieces in cuts(data):
        with pytest.raises(InvalidResponseError):
            head_of(pieces)


@pytest.mark.parametrize(("name", "data"), BAD_FRAMING, ids=[name for name, _ in BAD_FRAMING])
def test_bad_framing_is_refused_however_it_is_cut(name: str, data: bytes) -> None:
    """The error is urllib3's InvalidHeader, too."""
    for pieces in cuts(data):
        head, _ = head_of(pieces)
        with pytest.raises(InvalidFramingError) as caught:
            head.body_length("GET")
        assert isinstance(caught.value, (InvalidHeader, ProtocolError))
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("method", "status"),
    [("HEAD", b"200"), ("HEAD", b"404"), ("GET", b"204"), ("GET", b"304"), ("GET", b"100"), ("CONNECT", b"200")],
)
@pytest.mark.parametrize(("name", "data"), BAD_FRAMING, ids=[name for name, _ in BAD_FRAMING])
def test_bad_framing_counts_only_where_a_body_is_to_come(name: str, data: bytes, method: str, status: bytes) -> None:
    """RFC 9112 section 6.3 rules 1 and 2: no body, whatever the fields say; but such a connection serves once."""
    head, _ = head_of([data.replace(b" 200 ", b" %b " % status)])
    assert (head.status, head.body_length(method), head.keep_alive) == (int(status), 0, False)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_head_that_is_cut_short_is_never_a_head(case: Good) -> None:
    """RFC 9112 section 8."""
    for end in range(len(case.head)):
        with pytest.raises(ProtocolError):
            head_of([case.head[:end]])


# Limits


def fields(count: int, line: bytes = b"A: b\r\n") -> bytes:
    return OK + line * count + b"\r\n"


def test_a_thousand_header_lines_are_read_and_one_more_refused() -> None:
    assert len(head_of([fields(1000)])[0].pairs()) == 1000
    for data in (fields(1001), fields(1001).replace(b"\r\n", b"\n")):
        with pytest.raises(InvalidResponseError, match="more than 1000 header lines"):
            head_of([data])
    for size in (7, 65536):  # also without its end
        with pytest.raises(InvalidResponseError, match="more than 1000 header lines"):
            head_of([fields(1010)[:-2][at : at + size] for at in range(0, 7000, size)])


def test_a_long_line_is_read_and_a_longer_one_refused() -> None:
    def line(size: int) -> bytes:
        return b"A: " + b"x" * (size - 4)

    assert len(head_of([OK + line(65536) + b"\r\n\r\n"])[0].pairs()[0][1]) == 65532
    for end in (b"\r\n\r\n", b"\n\n", b""):
        with pytest.raises(InvalidResponseError, match="line is longer than 65536"):
            head_of([OK + line(65540) + end + b"x" * 10])


def test_a_head_longer_than_the_limit_is_refused_even_without_its_end() -> None:
    line = b"A: " + b"x" * 1000 + b"\r\n"
    assert head_of([fields(250, line)])
    with pytest.raises(InvalidResponseError, match="longer than 262144"):
        head_of([fields(270, line)])
    with pytest.raises(InvalidResponseError, match="longer than 262144"):
        head_of([OK + line * 270])


def test_limits_are_arguments() -> None:
    limits = DEFAULT_LIMITS._replace(line_bytes=30, head_bytes=100, header_lines=3)
    assert parse_head(fields(3), limits)
    for data in (fields(4), fields(1, b"A: " + b"x" * 40 + b"\r\n"), fields(3, b"A: " + b"x" * 25 + b"\r\n")):
        with pytest.raises(InvalidResponseError):
            parse_head(data, limits)


@pytest.mark.parametrize(
    "value", [b"a" * 60_000, b"a=" * 30_000, b"timeout=" * 8_000, b"," * 60_000, b"timeout=99999999999999999999999"]
)
def test_odd_keep_alive_values_cost_no_time_and_say_nothing(value: bytes) -> None:
    head, _ = head_of([OK + b"Keep-Alive: " + value + b"\r\n\r\n"])
    assert (head.idle_limit_s, head.requests_left) == (None, None)


def test_keep_alive_says_how_long_and_how_often() -> None:
    head, _ = head_of([OK + b'Keep-Alive: timeout = "5", max=100\r\n\r\n'])
    assert (head.idle_limit_s, head.requests_left) == (5, 100)


def test_codings_of_all_lines_are_one_list() -> None:
    head, _ = head_of([OK + b"Content-Encoding: GZIP\r\nContent-Encoding: br , deflate\r\n\r\n"])
    assert head.content_encoding == "gzip, br , deflate"


def test_errors_belong_to_the_library() -> None:
    assert issubclass(InvalidFramingError, HTTPError)


def test_the_page_names_every_limit_and_its_value() -> None:
    """docs/accepted.rst is the promise; the code's defaults are the same."""
    page = (pathlib.Path(__file__).parents[2] / "docs/accepted.rst").read_text()
    rows = dict(re.findall(r"   \* - ``(\w+)``\n     - (\d+)\n", page))
    assert {name: int(value) for name, value in rows.items()} == DEFAULT_LIMITS._asdict()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x28", "that is TLS: does the URL begin with https://?"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "that is HTTP/2"),
        (b"\x00\x00", "HTTP/1.x response"),
        (b"SSH-2.0-OpenSSH\r\n", "HTTP/1.x response"),
    ],
)
def test_another_protocol_is_named_where_its_first_bytes_tell(data: bytes, told: str) -> None:
    """A TLS port that was asked by http, or a port of gRPC."""
    with pytest.raises(InvalidResponseError) as refused:
        complete_head(Pieces([]).recv, data, DEFAULT_LIMITS)
    assert told in str(refused.value)
    assert ("that is" in str(refused.value)) is ("that is" in told)
