"""Event streams as bytes: each case in all three line endings, whole, byte by byte, and cut in two at every place."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poollib.exceptions import InvalidResponseError
from poollib.http1.sse import Event, EventParser


class Case(NamedTuple):
    """A stream with LF as its line ending, and the events it holds."""

    name: str
    stream: bytes
    events: list[Event]
    last_event_id: str = ""
    retry_ms: int | None = None


def message(data: str, event: str = "message", id: str = "", retry_ms: int | None = None) -> Event:
    return Event(event, data, id, retry_ms)


CASES = [
    Case("nothing", b"", []),
    Case("one event", b"data: hello\n\n", [message("hello")]),
    Case("several lines of data", b"data: a\ndata:\ndata: b\n\n", [message("a\n\nb")]),
    Case("no space behind the colon", b"data:hello\n\n", [message("hello")]),
    Case("only one space goes", b"data:  hello \n\n", [message(" hello ")]),
    Case("a tab stays", b"data:\thello\n\n", [message("\thello")]),
    Case("colons in the value", b"data: a:b: c\n\n", [message("a:b: c")]),
    Case("a name alone has an empty value", b"data\n\ndata\ndata\n\ndata:", [message(""), message("\n")]),
    Case("a type", b"event: add\ndata: 73857293\n\n", [message("73857293", "add")]),
    Case("the last type counts", b"event: a\nevent: b\ndata\n\n", [message("", "b")]),
    Case("a type is for one event", b"event: a\ndata: 1\n\ndata: 2\n\n", [message("1", "a"), message("2")]),
    Case("an empty type is message", b"event: a\nevent\ndata: 1\n\n", [message("1")]),
    Case("a type without data is nothing", b"event: a\n\ndata: 1\n\n", [message("1")]),
    Case("comments", b": hi\n:\ndata: 1\n:data: 2\n\n: bye\n\n", [message("1")]),
    Case("unknown fields", b"foo: 1\nDATA: 2\n data: 3\ndata : 4\ndata: 5\n\n", [message("5")]),
    Case("an id stays", b"id: 1\ndata: a\n\ndata: b\n\n", [message("a", id="1"), message("b", id="1")], "1"),
    Case("an id without data counts", b"id: 7\n\ndata: b\n\n", [message("b", id="7")], "7"),
    Case("an empty id takes it back", b"id: 1\ndata: a\n\nid\ndata: b\n\n", [message("a", id="1"), message("b")]),
    Case("an id with NUL is ignored", b"id: 1\nid: a\0b\ndata: a\n\n", [message("a", id="1")], "1"),
    Case(
        "an id before its blank line does not count", b"id: 1\ndata: a\n\nid: 2\ndata: b\n", [message("a", id="1")], "1"
    ),
    Case(
        "a waiting time", b"retry: 1500\ndata: a\n\ndata: b\n\n", [message("a", retry_ms=1500), message("b")], "", 1500
    ),
    Case("a waiting time counts at once", b"retry: 20\n", [], "", 20),
    Case("zeros in front count nothing", b"retry: " + b"0" * 40 + b"20\n", [], "", 20),
    Case("no digits, no waiting time", b"retry: 1s\nretry: +1\nretry:\nretry: -1\nretry: 1_0\nretry:  1\n\n", []),
    Case("digits of other scripts", "retry: ٣\nretry: ²\n\n".encode(), []),
    Case("a waiting time of a thousand digits", b"retry: " + b"9" * 1000 + b"\n\n", []),
    Case("an unfinished event is dropped", b"data: a\n\ndata: b\n", [message("a")]),
    Case("an unfinished line is dropped", b"data: a\n\ndata: b", [message("a")]),
    Case("blank lines only", b"\n\n\n", []),
    Case("blank lines between", b"\n\ndata: a\n\n\n\ndata: b\n\n", [message("a"), message("b")]),
    Case("a byte order mark", b"\xef\xbb\xbfdata: a\n\n", [message("a")]),
    Case("a second byte order mark is text", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [message("b")]),
    Case("a byte order mark further on is text", b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [message("a")]),
    Case("a byte order mark and a blank line", b"\xef\xbb\xbf\ndata: a\n\n", [message("a")]),
    Case(
        "letters of two, three and four bytes",
        "data: é€😀\nevent: ñ\nid: ü\n\n".encode(),
        [message("é€😀", "ñ", "ü")],
        "ü",
    ),
    Case("broken UTF-8", b"data: \xff\xe2\x82\nevent: \xc3\n\n", [message("\ufffd\ufffd", "\ufffd")]),
    Case(
        "other line separators are text",
        "data: a\x0b\x0c\x1c\x85\u2028b\n\n".encode(),
        [message("a\x0b\x0c\x1c\x85\u2028b")],
    ),
    Case("NUL in the data", b"data: a\0b\n\n", [message("a\0b")]),
]
ENDINGS = {"LF": b"\n", "CR": b"\r", "CRLF": b"\r\n"}


def check(parser: EventParser, case: Case, events: list[Event]) -> None:
    assert events == case.events
    assert parser.last_event_id == case.last_event_id
    assert parser.retry_ms == case.retry_ms


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_way_of_feeding_gives_the_same(case: Case, ending: str) -> None:
    """HTML standard, "Parsing an event stream" and "Interpreting an event stream"."""
    stream = case.stream.replace(b"\n", ENDINGS[ending])
    parser = EventParser()
    check(parser, case, parser.feed(stream))
    parser = EventParser()
    check(parser, case, [event for byte in stream for event in parser.feed(bytes([byte]))])
    for cut in range(min(len(stream), 60) + 1):
        parser = EventParser()
        check(parser, case, parser.feed(stream[:cut]) + parser.feed(b"") + parser.feed(memoryview(stream)[cut:]))


def test_line_endings_may_be_mixed() -> None:
    """CR LF is one end of a line, LF CR are two, CR CR are two."""
    stream = b"data: 1\r\ndata: 2\rdata: 3\n\rdata: 4\n\r\ndata: 5\r\rdata: 6\r\n\n"
    expected = [message("1\n2\n3"), message("4"), message("5"), message("6")]
    assert EventParser().feed(stream) == expected
    parser = EventParser()
    assert [event for byte in stream for event in parser.feed(bytes([byte]))] == expected


@pytest.mark.parametrize("blank", [b"\n\n", b"\r\r", b"\r\n\r", b"\n\r"])
def test_an_event_is_out_with_the_byte_that_ends_its_blank_line(blank: bytes) -> None:
    """A CR is enough: whether an LF follows is not waited for."""
    parser = EventParser()
    stream = b"data: now" + blank
    assert parser.feed(stream[:-1]) == []
    assert parser.feed(stream[-1:]) == [message("now")]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: next\n\n") == [message("next")]


@pytest.mark.parametrize(
    ("stream", "is_too_long"),
    [
        (b"data: 89\n\n", False),
        (b": 3456789\n", False),
        (b": 34567890\n", True),
        (b": 345678901", True),
        (b"data: 890\n\n", False),
        (b"data: 8901\n\n", True),
        (b"data:1\ndata:2\ndata:3\ndata:4\ndata:5\n\n", False),
        (b"data:1\ndata:2\ndata:3\ndata:4\ndata:5\ndata\n\n", True),
        (b"data:1\n\n" * 100, False),
        (b":\n" * 100, False),
        (b"id: 1\nevent: 2\n\n"[:9] * 50, False),
    ],
)
def test_no_line_and_no_event_is_longer_than_the_limit(stream: bytes, is_too_long: bool) -> None:
    """A line counts with its end, data with one byte for the end of each line: ten bytes here."""
    for feeds in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        parser = EventParser(limit_bytes=10)
        if not is_too_long:
            for piece in feeds:
                parser.feed(piece)
            continue
        with pytest.raises(InvalidResponseError, match="longer than 10 bytes"):
            for piece in feeds:
                parser.feed(piece)


def test_a_new_parser_goes_on_from_the_last_id() -> None:
    """What was the last id before reconnecting is each event's id until the server names another."""
    parser = EventParser(last_event_id="41")
    assert parser.feed(b"data: a\n\nid: 42\ndata: b\n\n") == [message("a", id="41"), message("b", id="42")]
    assert parser.last_event_id == "42"


LINES = st.lists(
    st.tuples(st.sampled_from([b"data", b"event", b"id", b"retry", b"", b"x"]), st.binary(max_size=12)).map(
        lambda line: line[0] + b": " + line[1]
    )
    | st.just(b"")
    | st.binary(max_size=6),
    max_size=12,
)


@settings(max_examples=150)
@given(lines=LINES, endings=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=1), piece=st.integers(1, 9))
def test_no_cut_changes_what_a_stream_says(lines: list[bytes], endings: list[bytes], piece: int) -> None:
    """Any bytes, any pieces, no error."""
    stream = b"".join(line + endings[at % len(endings)] for at, line in enumerate(lines))
    whole = EventParser()
    events = whole.feed(stream)
    parser = EventParser()
    pieces = [stream[at : at + piece] for at in range(0, len(stream), piece)]
    assert [event for part in pieces for event in parser.feed(part)] == events
    assert (parser.last_event_id, parser.retry_ms) == (whole.last_event_id, whole.retry_ms)
