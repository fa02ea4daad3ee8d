"""Which charset a body's text is read in: RFC 9110 section 8.3.2 and the Encoding standard."""

from __future__ import annotations

import pytest

from poollib.http1.charset import charset_of, decode_text


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        (None, "utf-8"),
        ("", "utf-8"),
        ("text/html", "utf-8"),
        ("text/html; charset=utf-8", "utf-8"),
        ("text/html;charset=UTF8", "utf-8"),
        ('text/html; Charset="koi8-r"; x=y', "koi8-r"),
        ("text/html; x=y; charset = shift_jis", "shift_jis"),
        ("text/html; charset=iso-8859-1", "cp1252"),
        ("text/html; charset=us-ascii", "cp1252"),
        ("text/html; charset=iso-8859-15", "iso8859-15"),
        ("text/html; charset=", "utf-8"),
        ('text/html; charset=""', "utf-8"),
        ("text/html; charset=no-such-thing", "utf-8"),
        ("text/html; xcharset=koi8-r", "utf-8"),
        ("text/html; charset=hex", "utf-8"),
        ("text/html; charset=zlib", "utf-8"),
        ("text/html; charset=idna", "utf-8"),
        ("text/html; charset=unicode_escape", "utf-8"),
        ("text/html; charset=utf-7", "utf-8"),
        ("text/html; charset=a\0b", "utf-8"),
    ],
)
def test_the_charset_of_a_content_type(content_type: str | None, charset: str) -> None:
    assert charset_of(content_type) == charset


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"", None, ""),
        ("größer".encode(), None, "größer"),
        ("größer".encode(), "application/json", "größer"),
        ("größer".encode("latin-1"), "text/plain; charset=latin1", "größer"),
        (b"\x93quoted\x94", "text/plain; charset=iso-8859-1", "“quoted”"),
        (b"a\xffb", "text/plain; charset=utf-8", "a�b"),
        (b"\xef\xbb\xbfabc", "text/plain; charset=latin1", "abc"),
        (b"\xff\xfea\0", "text/plain; charset=utf-8", "a"),
        (b"\xfe\xff\0a", None, "a"),
    ],
)
def test_a_body_as_text(body: bytes, content_type: str | None, text: str) -> None:
    assert decode_text(body, content_type) == text
