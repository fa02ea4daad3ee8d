"""The parser of server-sent events, beyond its byte table (tests/bytes/test_sse_bytes.py)."""

from __future__ import annotations

import pytest

from poollib.exceptions import InvalidResponseError
from poollib.http1.sse import EVENT_LIMIT_BYTES, Event, EventParser


def test_an_event_cannot_be_changed() -> None:
    """It may be handed to several listeners."""
    event = EventParser().feed(b"data: a\n\n")[0]
    with pytest.raises(AttributeError):
        event.data = "b"  # type: ignore[misc]
    assert event == Event("message", "a", "", None)


def test_a_line_that_never_ends_is_refused_at_the_default_limit() -> None:
    """Memory is bounded by the limit, not by what the server sends."""
    parser = EventParser()
    block = b"x" * 65_536
    for _ in range(EVENT_LIMIT_BYTES // len(block)):
        assert parser.feed(block) == []
    with pytest.raises(InvalidResponseError, match="a line of the event stream is longer than 1048576 bytes"):
        parser.feed(b"x")


def test_an_event_that_never_ends_is_refused_at_the_default_limit() -> None:
    """Short lines add up."""
    parser = EventParser()
    block = b"data:" + b"x" * 65_536 + b"\n"
    with pytest.raises(InvalidResponseError, match="an event's data"):
        for _ in range(17):
            parser.feed(block)


def test_a_long_line_costs_no_copy_for_each_piece() -> None:
    """The pieces of a line are joined once, at its end."""
    parser = EventParser()
    for _ in range(10_000):
        parser.feed(b"x" * 100)
    assert len(parser._line) == 10_000
    assert parser.feed(b"\ndata: a\n\n") == [Event(data="a")]
    assert parser._line == []
