"""Charsets: a body's bytes as text.

``response.text`` asks here; where a body begins and ends, and its content codings, are settled below. A byte order
mark wins, then the ``charset`` of Content-Type, then UTF-8. Sources: RFC 9110 section 8.3.2 (no default of
ISO-8859-1 any more), the Encoding standard sections 4.2 (labels) and 6 (byte order marks).
"""

from __future__ import annotations

import codecs
import re

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

# By the Encoding standard these labels mean windows-1252: what is so labelled has its quotes and dashes.
_AS_WINDOWS_1252 = frozenset({"ascii", "iso8859-1"})

# Codecs of Python that are no charsets of the web: escapes, or slow by design for long texts.
_NO_CHARSETS = frozenset({"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "unicode-escape", "utf-7"})

_find_charset = re.compile(r";[ \t]*charset[ \t]*=[ \t]*(?:\"([^\"]*)\"|([^\s;\"]+))", re.IGNORECASE).search


def decode_text(body: bytes, content_type: str | None) -> str:
    """The body as text; what its charset can't mean becomes U+FFFD. The byte order mark is left out."""
    for mark, charset in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(charset, "replace")
    return body.decode(charset_of(content_type), "replace")


def charset_of(content_type: str | None) -> str:
    """The charset that a Content-Type names, as Python calls it; UTF-8 if it names none that is known."""
    found = _find_charset(content_type or "")
    try:
        name = codecs.lookup((found[1] or found[2] or "utf-8") if found else "utf-8").name
        b"a".decode(name, "replace")  # LookupError for a codec that makes no text, such as "hex"
    except (LookupError, ValueError):  # ValueError: a null character in the label, or a codec that decodes nothing
        return "utf-8"
    if name in _AS_WINDOWS_1252:
        return "cp1252"
    return "utf-8" if name in _NO_CHARSETS else name
