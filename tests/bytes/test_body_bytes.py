"""Bodies as bytes: framing by RFC 9112 section 6.3, rule by rule, each case cut in every way. See docs/accepted.rst."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from poollib.exceptions import IncompleteRead, InvalidChunkLength, InvalidResponseError, ProtocolError
from poollib.http1 import response_head
from poollib.http1.body_reader import FREE_EXTENSION_BYTES, BodyState, ChunkedBody, ReceiveBuffer, body_reader
from poollib.http1.grammar import DEFAULT_LIMITS
from tests.bytes.feeds import READERS, Feed, Pieces, Reader, chunks_of, cuts, read_response

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
every_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


class Whole(NamedTuple):
    """A complete response."""

    name: str
    data: bytes
    content: bytes = b""
    method: str = "GET"
    reusable: bool = True
    trailers: list[tuple[str, str]] = []  # noqa: RUF012


WHOLE = [
    # rule 1
    Whole("HEAD with a length", OK + b"Content-Length: 5\r\n\r\n", method="HEAD"),
    Whole("HEAD, chunked", CHUNKED, method="HEAD"),
    Whole("HEAD without framing", OK + b"\r\n", method="HEAD"),
    Whole("HEAD with a bad length", OK + b"Content-Length: -1\r\n\r\n", method="HEAD", reusable=False),
    Whole("HEAD in an unknown coding", OK + b"Transfer-Encoding: gzip\r\n\r\n", method="HEAD", reusable=False),
    Whole("204 with two lengths", b"HTTP/1.1 204 No\r\nContent-Length: 5, 6\r\n\r\n", reusable=False),
    Whole("304 with an empty length", b"HTTP/1.1 304 Same\r\nContent-Length:\r\n\r\n", reusable=False),
    Whole("204 with a length", b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
    Whole("204, chunked", b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
    Whole("304 with a length", b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n"),
    Whole("304, chunked", b"HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n"),
    # rule 2
    Whole("CONNECT", OK + b"Content-Length: 5\r\n\r\n", method="CONNECT"),
    Whole("refused CONNECT has a body", b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", b"no", "CONNECT"),
    # interim responses before the final one
    Whole(
        "100, 102 and 103",
        b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: a\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nok",
        b"ok",
    ),
    Whole(
        "interim with a length",
        b"HTTP/1.1 103 E\r\nContent-Length: 9\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok",
        b"ok",
    ),
    # rules 4 and 7
    Whole("chunks", CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
    Whole("no chunk but the last", CHUNKED + b"0\r\n\r\n"),
    Whole(
        "hex in both cases and zeros",
        CHUNKED + b"0a\r\n0123456789\r\n00A\r\n9876543210\r\n000\r\n\r\n",
        b"01234567899876543210",
    ),
    Whole("extensions", CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n', b"hello"),
    Whole("blanks before an extension", CHUNKED + b"5 \t; a = b\r\nhello\r\n0\r\n\r\n", b"hello"),
    Whole("blanks behind a size", CHUNKED + b"5  \r\nhello\r\n0\r\n\r\n", b"hello"),
    Whole("line ends as data", CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    Whole("trailers", CHUNKED + b"1\r\nx\r\n0\r\nA: b\r\nC-D:  e \r\n\r\n", b"x", trailers=[("A", "b"), ("C-D", "e")]),
    Whole(
        "with a bad length: never reused",
        OK + b"Content-Length: 3, 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"x",
        reusable=False,
    ),
    Whole(
        "with a length: never reused",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"x",
        reusable=False,
    ),
    Whole(
        "in HTTP/1.0: never reused",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"x",
        reusable=False,
    ),
    # rule 6
    Whole("a length", OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    Whole("a length of nothing", OK + b"Content-Length: 0\r\n\r\n"),
    Whole("the same length twice", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    Whole("Connection: close", OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", b"ok", reusable=False),
    Whole("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", reusable=False),
    Whole(
        "HTTP/1.0 with keep-alive", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", b"ok"
    ),
]

UNTIL_CLOSE = [
    Whole("until the end", OK + b"\r\nhello", b"hello", reusable=False),
    Whole("until the end with keep-alive", OK + b"Connection: keep-alive\r\n\r\nhello", b"hello", reusable=False),
    Whole("identity", OK + b"Transfer-Encoding: identity\r\n\r\nhello", b"hello", reusable=False),
    Whole(
        "identity, whatever the length",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: identity\r\n\r\nhello",
        b"hello",
        reusable=False,
    ),
    Whole("nothing until the end", OK + b"\r\n", b"", reusable=False),
    Whole("what looks like another response", OK + b"\r\n" + OK + b"\r\n", OK + b"\r\n", reusable=False),
]


@every_reader
@pytest.mark.parametrize("case", [*WHOLE, *UNTIL_CLOSE], ids=lambda case: case.name)
def test_a_whole_body_is_read_alike_however_it_is_cut(case: Whole, read: Reader) -> None:
    for pieces in cuts(case.data):
        seen = read_response(pieces, case.method, read)
        assert (seen.content, seen.body.received, seen.unread) == (case.content, len(case.content), b"")
        assert seen.body.trailers == case.trailers
        assert seen.body.state is (BodyState.REUSABLE if case.reusable else BodyState.CLOSE)


@every_reader
@pytest.mark.parametrize(
    "behind", [b"\r\n", OK + b"Content-Length: 4\r\n\r\nevil", b"\0"], ids=["CRLF", "another", "NUL"]
)
@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_bytes_behind_a_body_reach_nobody_and_end_the_connection(case: Whole, behind: bytes, read: Reader) -> None:
    """Whether they are in already is the network's choice; once they are, the connection is never used again."""
    seen = read_response([case.data + behind], case.method, read)
    assert (seen.content, seen.body.state) == (case.content, BodyState.CLOSE)
    assert seen.unread == behind
    assert read(seen.body) == b""


@every_reader
@pytest.mark.parametrize("case", [case for case in WHOLE if case.content], ids=lambda case: case.name)
def test_a_body_that_is_cut_short_is_an_error(case: Whole, read: Reader) -> None:
    """RFC 9112 section 8: incomplete until the announced length, or the last chunk, is in."""
    start = case.data.index(b"\r\n\r\n", case.data.rindex(b"HTTP/1.")) + 4
    complete = case.data.rindex(b"\r\n0") + 4 if b"chunked" in case.data else len(case.data)
    for end in range(start, complete):
        with pytest.raises(ProtocolError):
            read_response([case.data[:end]], case.method, read)


@every_reader
@pytest.mark.parametrize(
    ("came", "content", "state"),
    [
        (b"", b"", BodyState.CLOSE),
        (b"hell", b"hell", BodyState.CLOSE),
        (b"hello", b"hello", BodyState.REUSABLE),
        (b"hello!", b"hello", BodyState.CLOSE),
    ],
)
def test_a_length_that_is_not_enforced_may_be_too_long(
    came: bytes, content: bytes, state: BodyState, read: Reader
) -> None:
    """``enforce_content_length=False``: what came is the body; ``left`` says what did not come."""
    for pieces in cuts(came) if came else [[b""]]:
        source = Pieces(pieces)
        body = body_reader(Feed(source.recv, source.recv_into), 5, True, enforce_length=False)
        assert (read(body), body.received, body.left) == (content, len(content), 5 - len(content))
        assert body.state is state or came == b"hello!"
        assert read(body) == b""


def test_a_cut_names_what_came_and_what_is_missing() -> None:
    with pytest.raises(ProtocolError) as caught:
        read_response([OK + b"Content-Length: 9\r\n\r\nhell"])
    reason = caught.value.args[1]
    assert isinstance(reason, IncompleteRead)
    assert (reason.partial, reason.expected) == (4, 5)


def test_an_end_between_chunks_has_urllib3s_words_and_one_within_has_others() -> None:
    """Programs tell them apart: azure-core reads "IncompleteRead" in the text as a download to take up again."""
    with pytest.raises(ProtocolError, match=r"^Response ended prematurely: no last chunk came, 1 bytes did$") as caught:
        read_response([CHUNKED + b"1\r\nx\r\n"])
    cause = caught.value.__cause__
    assert isinstance(cause, IncompleteRead)
    assert (len(caught.value.args), cause.partial, cause.expected) == (1, 1, None)
    for came in (b"2\r\nx", b"1\r\nx"):
        with pytest.raises(ProtocolError, match="Connection broken: IncompleteRead"):
            read_response([CHUNKED + came])


def test_a_stream_that_ends_behind_the_last_chunk_is_complete_but_not_reused() -> None:
    """RFC 9112 section 8: the zero chunk makes it complete."""
    for pieces in cuts(CHUNKED + b"1\r\nx\r\n0\r\n"):
        seen = read_response(pieces)
        assert (seen.content, seen.body.state) == (b"x", BodyState.CLOSE)
    for half in (b"\r", b"A: b\r\n", b"A"):
        with pytest.raises(ProtocolError):
            read_response([CHUNKED + b"1\r\nx\r\n0\r\n" + half])


BAD_CHUNKS = [
    ("plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("blank first", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("tab first", b"\t5\r\nhello\r\n0\r\n\r\n"),
    ("vertical tab first", b"\x0b5\r\nhello\r\n0\r\n\r\n"),
    ("underscore", b"5_0\r\nhello\r\n0\r\n\r\n"),
    ("not hexadecimal", b"g\r\nhello\r\n0\r\n\r\n"),
    ("digits that are no ASCII", "\u0665\r\nhello\r\n0\r\n\r\n".encode()),
    ("nothing", b"\r\nhello\r\n0\r\n\r\n"),
    ("an extension alone", b";a=b\r\nhello\r\n0\r\n\r\n"),
    ("two sizes", b"5 5\r\nhello\r\n0\r\n\r\n"),
    ("16 digits", b"1000000000000000\r\nhello\r\n0\r\n\r\n"),
    ("17 zeros", b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("bare LF behind a size", b"5\nhello\r\n0\r\n\r\n"),
    ("bare CR behind a size", b"5\rhello\r\n0\r\n\r\n"),
    ("bare LF in an extension", b"5;a\n\r\nhello\r\n0\r\n\r\n"),
    ("bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("NUL in an extension", b"5;a\0b\r\nhello\r\n0\r\n\r\n"),
    ("no CRLF behind the data", b"5\r\nhello0\r\n\r\n"),
    ("bare LF behind the data", b"5\r\nhello\n0\r\n\r\n"),
    ("any two bytes behind the data", b"5\r\nhelloxx0\r\n\r\n"),
    ("CR and another byte behind the data", b"5\r\nhello\rx0\r\n\r\n"),
    ("more data than announced", b"5\r\nhello!\r\n0\r\n\r\n"),
]
BAD_TRAILERS = [
    ("no colon", b"A b\r\n\r\n"),
    ("blank before the colon", b"A : b\r\n\r\n"),
    ("a folded line", b"A: b\r\n c\r\n\r\n"),
    ("bare LF", b"A: b\nC: d\r\n\r\n"),
    ("bare CR", b"A: b\rC: d\r\n\r\n"),
    ("NUL", b"A: b\0\r\n\r\n"),
    ("a bad name", b"A(: b\r\n\r\n"),
]


@every_reader
@pytest.mark.parametrize(("name", "data"), BAD_CHUNKS, ids=[name for name, _ in BAD_CHUNKS])
def test_a_bad_chunk_is_refused_however_it_is_cut(name: str, data: bytes, read: Reader) -> None:
    for pieces in cuts(CHUNKED + data):
        with pytest.raises(ProtocolError) as caught:
            read_response(pieces, read=read)
        assert isinstance(caught.value.args[1], InvalidChunkLength), caught.value


@every_reader
@pytest.mark.parametrize(("name", "data"), BAD_TRAILERS, ids=[name for name, _ in BAD_TRAILERS])
def test_a_bad_trailer_is_refused_however_it_is_cut(name: str, data: bytes, read: Reader) -> None:
    for pieces in cuts(CHUNKED + b"1\r\nx\r\n0\r\n" + data):
        with pytest.raises(InvalidResponseError):
            read_response(pieces, read=read)


# Limits


def test_a_chunk_line_has_a_limit_with_and_without_its_end() -> None:
    assert read_response([CHUNKED + b"1;" + b"a" * 16000 + b"\r\nx\r\n0\r\n\r\n"]).content == b"x"
    for end in (b"\r\nx\r\n0\r\n\r\n", b""):
        with pytest.raises(ProtocolError):
            read_response([CHUNKED + b"1;" + b"a" * 17000 + end])
    with pytest.raises(ProtocolError):  # whatever the data pays for
        read_response([CHUNKED + b"8000;" + b"a" * 17000 + b"\r\n" + b"x" * 0x8000 + b"\r\n0\r\n\r\n"])


def test_a_chunk_line_without_end_is_not_gathered() -> None:
    """It is refused at the limit, not when somebody ends it."""
    received = []

    def receive(limit: int) -> bytes:
        received.append(1000)
        assert sum(received) < 50_000
        return b"a" * 1000

    body = body_reader(Feed(receive, lambda view: 0), response_head.CHUNKED, True)
    body.incoming.data = b"1;"
    with pytest.raises(ProtocolError):
        body.read(1)


def test_extensions_have_a_limit_over_the_whole_body() -> None:
    """CVE-2023-39326: many small extensions make a reader read much more than it gets."""
    with pytest.raises(ProtocolError):
        read_response([CHUNKED + (b"1;" + b"a" * 100 + b"\r\nx\r\n") * 200 + b"0\r\n\r\n"])
    big = b"8000;" + b"a" * 100 + b"\r\n" + b"x" * 0x8000 + b"\r\n"
    assert len(read_response([CHUNKED + big * 20 + b"0\r\n\r\n"]).content) == 0x8000 * 20


@pytest.mark.parametrize("line", [b"1 ", b"1;" + b"a" * 15, b"1;" + b"a" * 17, b"40;signature=" + b"a" * 64])
def test_a_long_stream_of_small_chunks_with_extensions_is_read_to_its_end(line: bytes) -> None:
    """It was refused after some kilobytes of extensions, with chunks of one byte after 17 KB of blanks."""
    size = int(line[:2].rstrip(b" ;"), 16)
    chunk = line + b"\r\n" + b"x" * size + b"\r\n"
    assert read_response([CHUNKED + chunk * 30_000 + b"0\r\n\r\n"]).body.received == 30_000 * size


def test_data_pays_for_earlier_extensions_and_not_for_later_ones() -> None:
    """Whether it stands in chunks with an extension or without one."""
    noise, pause = b"1;" + b"a" * 10_000 + b"\r\nx\r\n", b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    assert read_response([CHUNKED + (noise + pause) * 10 + b"0\r\n\r\n"]).body.received == 10 * 0x2001
    with pytest.raises(ProtocolError):
        read_response([CHUNKED + pause * 10 + noise * 3 + b"0\r\n\r\n"])


def test_trailers_have_limits_of_bytes_and_of_lines() -> None:
    end = CHUNKED + b"0\r\n"
    assert len(read_response([end + b"A: b\r\n" * 1000 + b"\r\n"]).body.trailers) == 1000
    many, long = b"A: b\r\n" * 1001, b"A: " + b"x" * 65600
    for data in (many + b"\r\n", many, long[:65539] + b"\r\n\r\n", long):
        with pytest.raises(InvalidResponseError, match="trailer"):
            read_response([end + data])


def test_the_limits_of_chunks_are_arguments() -> None:
    limits = DEFAULT_LIMITS._replace(chunk_line_bytes=10, overhead_bytes=12, trailer_bytes=20, trailer_lines=1)
    for data in (b"1;" + b"a" * 20, b"1;aaaa\r\nx\r\n" * 4, b"0\r\nA: b\r\nC: d\r\n\r\n", b"0\r\nA: " + b"b" * 30):
        with pytest.raises(ProtocolError):
            read_response([CHUNKED + data], limits=limits)


def test_chunks_are_seen_as_they_were_sent_and_long_ones_in_pieces() -> None:
    data = CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n8\r\n12345678\r\n0\r\n\r\n"

    def by_chunk(limit: int | None, chunks: list[bytes]) -> Reader:
        def read(body: object) -> bytes:
            assert isinstance(body, ChunkedBody)
            chunks.extend(chunks_of(body, limit))
            return b""

        return read

    for pieces in cuts(data):
        chunks: list[bytes] = []
        read_response(pieces, read=by_chunk(None, chunks))
        assert chunks == [b"hello", b"!", b"12345678"]
        chunks = []
        read_response(pieces, read=by_chunk(4, chunks))
        assert chunks == [b"hell", b"o", b"!", b"1234", b"5678"]


def test_data_is_given_before_the_line_end_behind_it_has_come() -> None:
    """A server that sends a chunk and waits shall not keep what it has sent already from the reader."""
    arrived = [CHUNKED[len(CHUNKED) :] + b"5\r\nhello"]

    def recv(limit: int) -> bytes:
        return arrived.pop()

    body = ChunkedBody(Feed(recv, lambda view: 0), True, None, DEFAULT_LIMITS)
    assert body.read1(100) == b"hello"
    arrived.append(b"\r\n0\r\n\r\n")
    assert body.read1(100) == b""
    assert body.state is BodyState.REUSABLE


@pytest.mark.parametrize(
    "line",
    [b"z" * 99 + b"\r\n", b"1;" + b"a" * 17_000 + b"\r\n", b"z" * 17_000, b"z" * 99],
    ids=["no size", "too long", "too long without its end", "cut in half"],
)
def test_an_error_shows_the_first_80_bytes_of_a_bad_size_line(line: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_response([CHUNKED + line])
    error = caught.value.args[1]
    assert isinstance(error, InvalidChunkLength)
    assert error.length == line[:80]


@pytest.mark.parametrize("is_enforced", [True, False])
@pytest.mark.parametrize("length", [2, response_head.CHUNKED, response_head.UNTIL_CLOSE])
def test_every_kind_of_body_gives_single_bytes_and_nothing_for_none(length: int, is_enforced: bool) -> None:
    data = b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n" if length == response_head.CHUNKED else b"ab"
    pieces = iter([data])
    body = body_reader(ReceiveBuffer(lambda limit: next(pieces, b"")), length, False, enforce_length=is_enforced)
    body.incoming.more()
    assert (body.read1(0), body.read1(-1)) == (b"", b"")
    assert [body.read1(1), body.read1(1), body.read1(1)] == [b"a", b"b", b""]


def test_the_rest_of_a_chunk_is_never_taken_for_a_chunk() -> None:
    """Else a body that quotes chunks would be another one for who reads it chunk by chunk."""
    data = b"8\r\nab1\r\nz\r\n\r\n1\r\n!\r\n0\r\n\r\n"
    body = ChunkedBody(ReceiveBuffer(lambda limit: data), True, None, DEFAULT_LIMITS)
    body.incoming.more()
    assert [body.read_chunk(2), body.read_chunk(None), body.read_chunk(None)] == [b"ab", b"1\r\nz\r\n", b"!"]
    assert body.read_chunk(None) == b""
    assert body.state is BodyState.REUSABLE


def test_free_extensions_are_no_excess() -> None:
    """However little beyond them is allowed."""
    limits = DEFAULT_LIMITS._replace(overhead_bytes=0)
    chunk = b"1;" + b"a" * (FREE_EXTENSION_BYTES + 1) + b"\r\nx\r\n"
    assert read_response([CHUNKED + chunk * 3 + b"0\r\n\r\n"], limits=limits).body.received == 3
    with pytest.raises(ProtocolError):
        read_response([CHUNKED + chunk.replace(b";", b";aa") + b"0\r\n\r\n"], limits=limits)


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_excess_of_extensions_may_be_16_kib(beyond: int) -> None:
    """Each of the two is free of 16 bytes, and of 2 for its byte of data."""
    first, second = (b";" + b"a" * (length - 1) for length in (16_000, 16_384 - 16_000 + 2 * 18 + beyond))
    data = CHUNKED + b"1" + first + b"\r\nx\r\n1" + second + b"\r\nx\r\n0\r\n\r\n"
    if beyond:
        with pytest.raises(ProtocolError):
            read_response([data])
    else:
        assert read_response([data]).body.received == 2
