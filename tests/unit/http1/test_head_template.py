"""head_template: what it reads is what parse_head finds, in every field; all else it leaves to that.

Source: RFC 9112 sections 5 and 6.3; the fourth promise (the strict parser), which no shortcut may go round.
"""

from __future__ import annotations

import random
import tracemalloc
from itertools import product

import pytest

from poollib.http1.head_template import KNOWN_HEAD_BYTES, KNOWN_HEAD_LINES, MOST_OPEN_LINES, HeadTemplate, learned
from poollib.http1.response_head import Head, parse_head

HEAD = b"HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Length: %s\r\nX-Id: %s\r\nConnection: keep-alive\r\n\r\n"
VALUES = [b"", b" ", b"x", b"a: b", b"\xff\t", b'"x", y']
UNFIT = [b"a\nb", b"a\rb", b"a\0b", b"\x7f", b"\x1b[m", b"a\r\nB: c"]


def parsed(raw: bytes) -> tuple[Head, int]:
    found = parse_head(raw)
    assert found is not None
    return found


def template_of(*heads: bytes) -> HeadTemplate:
    """What is kept after these heads."""
    template = HeadTemplate.of(parsed(heads[0])[0], heads[0])
    for raw in heads[1:]:
        assert template is not None
        template = template.widened(parsed(raw)[0], raw)
    assert template is not None
    return template


def shown(found: tuple[Head, int]) -> list[object]:
    """All that a head says."""
    head, end = found
    names = [name for name in Head.__slots__ if not name.startswith("_")]
    return [end, head.pairs(), *(getattr(head, name) for name in names)]


def accepts_as_parsed(template: HeadTemplate, data: bytes) -> bool:
    """Whether it reads this; then it says what parse_head says."""
    found = template.read(data)
    if found is None:
        return False
    assert shown(found) == shown(parsed(data))
    return True


OPEN = template_of(HEAD % (b"one", b"7", b"1"), HEAD % (b"two", b"123", b"2"))


@pytest.mark.parametrize(("date", "id"), [*product(VALUES, VALUES)])
def test_other_values_are_read(date: bytes, id: bytes) -> None:
    assert accepts_as_parsed(OPEN, HEAD % (date, b"5", id) + b"hello")


def test_a_value_that_differed_once_may_differ_again() -> None:
    values = [(b"a", b"1", b"x"), (b"b", b"1", b"x"), (b"b", b"1", b"y")]
    template = template_of(*(HEAD % those for those in values))
    assert accepts_as_parsed(template, HEAD % (b"c", b"1", b"z"))


def test_heads_in_an_old_spelling_are_known_only_byte_for_byte() -> None:
    old, new = b"HTTP/1.1 200 OK\r\nX-A: 1\nX-B: 2\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"
    assert accepts_as_parsed(template_of(old), old)
    assert accepts_as_parsed(template_of(old, new), new.replace(b"1\r", b"2\r"))


@pytest.mark.parametrize("value", UNFIT)
def test_what_is_no_value_is_left_to_the_parser(value: bytes) -> None:
    for values in ((value, b"5", b"x"), (b"x", b"5", value)):
        assert OPEN.read(HEAD % values) is None


@pytest.mark.parametrize("length", [b"0", b"\t7 "[:-1], b"000", b"9" * 18])
def test_another_length_is_read(length: bytes) -> None:
    assert accepts_as_parsed(OPEN, HEAD % (b"x", length, b"y"))


@pytest.mark.parametrize("length", [b"", b"5 ", b"+5", b"-1", b"5, 5", b"0x5", b"5_0", "²".encode(), b"9" * 19, b"5\r"])
def test_what_is_no_plain_length_is_left_to_the_parser(length: bytes) -> None:
    assert OPEN.read(HEAD % (b"x", length, b"y")) is None


def test_one_other_byte_anywhere_is_no_other_head() -> None:
    raw = HEAD % (b"one", b"7", b"1")
    for template in (OPEN, template_of(raw)):
        for at, byte in product(range(len(raw)), b"\0\n\r\t :,9aX\xff"):
            changed = raw[:at] + bytes([byte]) + raw[at + 1 :]
            assert accepts_as_parsed(template, changed) or template.read(changed) is None


@pytest.mark.parametrize(
    "value", [b"timeout=5, max=98", b"MAX=0", b"", b"timeout=7", b" max = 1 ", b"max=1, max=2", b"\xff"]
)
def test_a_count_of_requests_that_are_left_is_read(value: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: %s\r\nConnection: Keep-Alive\r\n\r\n"
    for first in (b"timeout=5, max=100", b"max=0"):
        assert accepts_as_parsed(template_of(head % first, head % b"timeout=5, max=99"), head % value)
        assert accepts_as_parsed(template_of(head % b"timeout=5, max=99", head % first), head % value)


def test_a_head_that_is_cut_is_left_to_the_parser() -> None:
    raw = HEAD % (b"one", b"7", b"1")
    for end in range(len(raw)):
        assert OPEN.read(raw[:end]) is None
    assert accepts_as_parsed(OPEN, raw)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"Connection: keep-alive", b"Connection: close"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        (b"Content-Encoding: gzip", b"Content-Encoding: br"),
        (b"Keep-Alive: max=9\r\nKeep-Alive: timeout=5", b"Keep-Alive: max=8\r\nKeep-Alive: timeout=5"),
        (b"cONNECTION: keep-alive", b"cONNECTION: close"),
        (b"X-A: 1", b"X-B: 1"),
        (b"X-A: 1", b"x-a: 1"),
        (b"X-A: 1", b"X-A: 1\r\nX-B: 2"),
        (b"Content-Length: 5", b"Content-Length: 5, 5"),
        (b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 6\r\nContent-Length: 6"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Transfer-Encoding: chunked\r\nContent-Length: 6"),
        (b"X-A: 1", b"X-A:\r\n folded"),
        (b"X-A: 1\r\nX-B: 2", b"X-A: 1\nX-B: 3"),
        (b"X-A: 1\nX-B: 2", b"X-A: 1\nX-B: 3"),
        (b"X-A: 1", b"X-A: 1\nConnection: close"),
        (b"X-A: 1", b"X-A: " + b"2" * KNOWN_HEAD_BYTES),
    ],
)
def test_heads_of_different_forms_have_no_common_one(first: bytes, second: bytes) -> None:
    raw, other = (b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % line for line in (first, second))
    assert template_of(raw).widened(parsed(other)[0], other) is None


@pytest.mark.parametrize("status", [b"404 OK: a", b"200 Fine", b"200 OK: b"])
def test_another_status_line_is_of_another_form(status: bytes) -> None:
    raw, other = (b"HTTP/1.1 %s\r\nX-A: 1\r\n\r\n" % line for line in (b"200 OK: a", status))
    assert template_of(raw).widened(parsed(other)[0], other) is None


def test_heads_that_differ_in_many_values_have_no_common_form() -> None:
    """A server that has other values in each of a thousand lines is not looked at line by line, and then parsed."""

    def head(values: int, value: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\n" + b"".join(b"%d: %s\r\n" % (n, value) for n in range(values)) + b"\r\n"

    for values in (MOST_OPEN_LINES, MOST_OPEN_LINES + 1):
        other = head(values, b"2")
        widened = template_of(head(values, b"1")).widened(parsed(other)[0], other)
        assert (widened is not None) == (values == MOST_OPEN_LINES)


def test_an_interim_head_and_a_long_one_are_not_kept() -> None:
    for raw in (b"HTTP/1.1 103 Early\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: %s\r\n\r\n" % (b"1" * KNOWN_HEAD_BYTES)):
        assert HeadTemplate.of(parsed(raw)[0], raw) is None
    long = HEAD % (b"x" * KNOWN_HEAD_BYTES, b"1", b"x")
    assert OPEN.read(long) is None


def with_fields(count: int, size: int = 3) -> bytes:
    """A head of so many fields, each of so many bytes with its CRLF at least."""
    fields = b"".join((b"%x:" % n).ljust(size - 2, b"\xe9") + b"\r\n" for n in range(count))
    return b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n"


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_head_of_very_many_fields_is_not_kept(is_kept: bool) -> None:
    raw = with_fields(KNOWN_HEAD_LINES - 2 + (not is_kept))
    head = parsed(raw)[0]
    assert (HeadTemplate.of(head, raw) is not None) == is_kept
    assert (learned(None, head, raw) is not None) == is_kept


@pytest.mark.parametrize("size", [6, 8, 20, 60])
def test_whatever_a_server_sends_no_more_than_20_kib_is_kept_for_a_connection(size: int) -> None:
    """Also where callers have looked at the fields of each response: 10,000 idle connections would keep a GiB."""
    raw = with_fields((KNOWN_HEAD_BYTES - 30) // size, size)
    assert KNOWN_HEAD_BYTES - 100 < len(raw) <= KNOWN_HEAD_BYTES
    template: HeadTemplate | None = None
    parsed(raw)[0].pairs()
    tracemalloc.start()
    try:
        for _ in range(3):
            received = bytes(bytearray(raw))
            found = (template and template.read(received)) or parsed(received)
            if template is None or found[0] is not template.head:
                template = learned(template, found[0], received)
            found[0].pairs()
        del received, found
        assert tracemalloc.get_traced_memory()[0] < 20 * 1024
    finally:
        tracemalloc.stop()


LINES = [
    b"Date: %s",
    b"X-Id: %s",
    b"Set-Cookie: a=%s",
    b"Content-Length: 1%d",
    b"Content-Length: 3",
    b"Connection: keep-alive",
    b"Transfer-Encoding: chunked",
    b"Content-Encoding: gzip",
    b"Keep-Alive: timeout=%d",
    b"ETag:%s",
    b"Connection: close",
]


def test_whatever_was_learned_of_random_heads_says_what_the_parser_says() -> None:
    """2,000 connections; each server has a form of its own, and now and then another."""
    draw = random.Random(9112)
    read = 0
    for _ in range(2000):
        form = draw.sample(LINES, draw.randrange(1, 7))
        template: HeadTemplate | None = None
        for _ in range(8):
            lines = draw.sample(LINES, 3) if draw.random() < 0.05 else form
            filled = [
                line.replace(b"%d", b"%d" % draw.randrange(200)).replace(b"%s", draw.choice(VALUES + UNFIT[-1:]))
                for line in lines
            ]
            raw = b"\r\n".join([b"HTTP/1.1 200 OK", *filled, b"", b""])
            if template is not None and accepts_as_parsed(template, raw + b"abc"):
                read += 1
                continue
            head = parsed(raw)[0]
            template = (template and template.widened(head, raw)) or HeadTemplate.of(head, raw)
    assert read > 2000
