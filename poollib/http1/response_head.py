"""A response's head: from received bytes to a :class:`Head`, which says how the body is framed.

This module knows no socket, only callables that give bytes.  It hands heads to ``connection`` and ``http_tunnel`` and
leaves the bodies' bytes to ``body_reader``, timeouts, decoding and retries to others.  What it accepts and refuses
follows RFC 9112 (message syntax, framing by section 6.3 rule by rule) and RFC 9110 (field syntax); the table of both
stands in ``docs/accepted.rst``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from http.client import BadStatusLine, HTTPException, LineTooLong, RemoteDisconnected, UnknownProtocol

from ..exceptions import InvalidFramingError, InvalidHeader, InvalidResponseError, ProtocolError, chained
from .grammar import DEFAULT_LIMITS, FIELD_VALUE, MAX_LENGTH_DIGITS, RECEIVE_BYTES, TOKEN, Limits

CHUNKED = -1  # body_length: chunked framing
UNTIL_CLOSE = -2  # body_length: the body ends with the connection
UNFRAMED = -3  # a head's length: its fields do not say where the body ends, if there is one

# Possessive quantifiers (3.11) never backtrack: 1.4 us instead of 1.8 for a head of 12 fields.
_P = "+" if sys.version_info >= (3, 11) else ""
_FIELD_LINES = f"(?:{TOKEN}+{_P}:{FIELD_VALUE}*{_P}\r\n)*{_P}"
_match_head = re.compile(
    f"HTTP/1\\.([0-9] [1-9][0-9][0-9](?: {FIELD_VALUE}*{_P})?)(\r\n{_FIELD_LINES})\r\n".encode("latin-1")
).match
#: The look-ahead leaves most fields by their first letter, before what ignores case compares them slowly.
_find_framing = re.compile(
    rf"\n(?=[CcTtKk])((?i:content-(?:length|encoding)|connection|transfer-encoding|keep-alive)):"
    rf"[ \t]*{_P}([^\r]*{_P})".encode()
).findall
_split_fields = re.compile(r"\n([^:]+):[ \t]*([^\r]*)").findall  # of a checked block: 1.8 us for 12, exact sets 3.3
_is_field_line = re.compile(f"({TOKEN}+):({FIELD_VALUE}*)".encode("latin-1")).fullmatch
_is_status_line = re.compile(f"HTTP/1\\.([0-9] [1-9][0-9][0-9](?: {FIELD_VALUE}*)?)".encode("latin-1")).fullmatch

#: the fields that say where the body ends, how it is coded, and whether the connection stays; see _find_framing
FRAMING_FIELDS = frozenset({b"content-length", b"content-encoding", b"connection", b"transfer-encoding", b"keep-alive"})
NO_ENCODING = ""


class Head:
    """The head of one response: status line, fields, and what they say of the body and the connection.

    ``version`` is 10 or 11; a later minor version is read as 11 (RFC 9110 section 2.5).  ``length`` is what the fields
    alone say: a number of bytes, :data:`CHUNKED`, :data:`UNTIL_CLOSE` or :data:`UNFRAMED`; :meth:`body_length` adds
    what the request's method and the status say, and refuses what is not framed only where a body is to come.
    """

    __slots__ = (
        "_block",
        "_pairs",
        "content_encoding",
        "idle_limit_s",
        "is_plain",
        "keep_alive",
        "length",
        "reason",
        "requests_left",
        "status",
        "version",
    )

    def __init__(self, line: bytes, block: bytes) -> None:
        """``line``: the status line behind ``HTTP/1.``; ``block``: from its CR LF to that of the last field.

        The fields that decide framing and reuse are found in one scan, without building the mapping.
        """
        self.version, self.status, self.reason, self.keep_alive = _status_lines.get(line) or _read_status(line)
        self._block = block  # has the status line's CRLF, so that every field stands behind one
        self._pairs: list[tuple[str, str]] | None = None
        self.content_encoding = NO_ENCODING
        self.idle_limit_s: int | None = None
        self.requests_left: int | None = None
        length: bytes | None = None
        coding: bytes | bytearray | None = None
        connection: bytes | bytearray | None = None
        encoding: bytes | bytearray | None = None
        for name, value in _find_framing(block):
            name, value = name.lower(), value.lower()
            if name == b"content-length":
                if length is not None or not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
                    value = _agreed_length(value, length)
                    if not value:  # what follows the head is unknown
                        connection = b"close" if connection is None else _as_list(connection, b"close")
                length = value
            elif name == b"connection":
                connection = value if connection is None else _as_list(connection, value)
            elif name == b"content-encoding":
                value = value.strip()
                encoding = _as_list(encoding, value) if encoding else value
            elif name == b"transfer-encoding":
                coding = value if coding is None else _as_list(coding, value)
            else:
                self._read_keep_alive(value.decode("latin-1"))
        if encoding:
            self.content_encoding = encoding.decode("latin-1")
        self.length = UNTIL_CLOSE if length is None else int(length or UNFRAMED)
        if connection is not None:
            if connection == b"keep-alive":
                self.keep_alive = True
            else:
                self._read_connection(connection)
        if coding is not None:
            self._read_coding(coding, length is not None)
        self.is_plain = self._is_plain()

    def _is_plain(self) -> bool:
        """Whether a GET's answer is not coded, has as many bytes as the fields say, and leaves the connection open."""
        return (
            self.length >= 0
            and self.keep_alive
            and not self.content_encoding
            and self.requests_left != 0
            and self.status >= 200
            and self.status != 304
            and self.status != 204
        )

    def _read_connection(self, value: bytes | bytearray) -> None:
        """RFC 9112 section 9.3: close wins over keep-alive, wherever it stands in the list."""
        options = {option.strip() for option in bytes(value).split(b",")}
        if b"close" in options:
            self.keep_alive = False
        elif b"keep-alive" in options:
            self.keep_alive = True

    def _read_keep_alive(self, value: str) -> None:
        """``Keep-Alive: timeout=5, max=100``: how long and how often the server will have this connection."""
        for item in value.split(","):
            name, _, number = item.partition("=")
            number = number.strip(' \t"')
            if not (number.isascii() and number.isdigit() and len(number) < 10):
                continue
            if name.strip() == "timeout":
                self.idle_limit_s = int(number)
            elif name.strip() == "max":
                self.requests_left = int(number)

    def _read_coding(self, value: bytes | bytearray, with_length: bool) -> None:
        """RFC 9112 section 6.1 and 6.3 rules 3 and 4: only ``chunked``, alone and last, can be framed and undone.

        The coding wins over a length, right or wrong. ``identity`` undoes nothing, and what is not chunked ends with
        the connection.
        """
        codings = [item.strip() for item in bytes(value).split(b",") if item.strip()]
        if codings == [b"chunked"]:
            self.length = CHUNKED
            if with_length or self.version == 10:
                self.keep_alive = False  # faulty framing: what follows on this connection can't be believed
        else:
            self.length = UNTIL_CLOSE if set(codings) == {b"identity"} else UNFRAMED
            self.keep_alive = False

    def body_length(self, method: str | None) -> int:
        """Bytes of the body, :data:`CHUNKED` or :data:`UNTIL_CLOSE` (RFC 9112 section 6.3).

        By rules 1 and 2 there is none whatever the fields say. Otherwise InvalidFramingError for UNFRAMED.
        """
        status = self.status
        if method == "HEAD" or status == 304 or status == 204 or status < 200:
            return 0
        if method == "CONNECT" and status < 300:
            return 0
        if self.length == UNFRAMED:
            raise self._unframed()
        return self.length

    def _unframed(self) -> InvalidFramingError:
        codings, lengths = self.get("transfer-encoding"), self.get("content-length")
        if codings:
            return InvalidFramingError(
                f"Transfer-Encoding {_shown_values(codings)} is not understood: only 'chunked' is"
            )
        return InvalidFramingError(
            f"Content-Length is not one number of bytes (RFC 9112 section 6.3): {_shown_values(lengths)}"
        )

    def is_verbatim(self, raw: bytes) -> bool:
        """Whether the fields were read as they came in ``raw``, the whole head: no bare LF, no folded lines."""
        return raw.endswith(self._block, 0, len(raw) - 2) or raw is self._block

    def stand_in(self, raw: bytes) -> None:
        """Take the fields from ``raw``, the whole head, for whoever keeps that: the bytes are not kept twice."""
        if self.is_verbatim(raw):
            self._block = raw

    def alike(self, raw: bytes, length: int, keep_alive: bytes | None) -> Head:
        """The head that ``raw`` is, with this ``length``, and this value of Keep-Alive if it may be another there.

        The other fields in which the two differ say nothing of the framing.
        """
        head = Head.__new__(Head)
        head.take_after(self, raw, length, keep_alive)
        return head

    def take_after(self, other: Head, raw: bytes, length: int, keep_alive: bytes | None) -> None:
        """Become what ``other.alike`` wants."""
        self.version, self.status, self.reason = other.version, other.status, other.reason
        self.keep_alive, self.content_encoding, self.length = other.keep_alive, other.content_encoding, length
        self.idle_limit_s, self.requests_left, self.is_plain = other.idle_limit_s, other.requests_left, other.is_plain
        self._block, self._pairs = raw, None
        if keep_alive is not None:
            self.idle_limit_s = self.requests_left = None
            self._read_keep_alive(keep_alive.lower().decode("latin-1"))
            self.is_plain = self._is_plain()

    def pairs(self) -> list[tuple[str, str]]:
        """The fields in their order, values without surrounding blanks."""
        pairs = self._pairs
        if pairs is None:
            text = self._block.decode("latin-1")
            pairs = _split_fields(text)
            if " \r\n" in text or "\t\r\n" in text:  # rare: 1.3 us saved where no value has blanks behind it
                pairs = [(name, value.rstrip(" \t")) for name, value in pairs]
            self._pairs = pairs
        return pairs

    def get(self, name: str) -> list[str]:
        """All values of a field; ``name`` in lower case."""
        return [value for field, value in self.pairs() if field.lower() == name]

    def __repr__(self) -> str:
        return f"<Head {self.status} {self.reason}>"


#: What was said of the first status lines that came: most answers of a process begin with one of a few.
_status_lines: dict[bytes, tuple[int, int, str, bool]] = {}
_KEPT_LINES = 64
_KEPT_LINE_BYTES = 40


def _read_status(line: bytes) -> tuple[int, int, str, bool]:
    """Version, status and reason of a status line, and whether connections of that version are kept."""
    is_newer = line[:1] != b"0"
    found = 11 if is_newer else 10, int(line[2:5]), line[6:].decode("latin-1"), is_newer
    if len(_status_lines) < _KEPT_LINES and len(line) <= _KEPT_LINE_BYTES:
        _status_lines[line] = found
    return found


def _as_list(earlier: bytes | bytearray, value: bytes) -> bytearray:
    """The values of two lines of one field as one list; a bytearray, so that many lines are not copied for each one."""
    joined = earlier if isinstance(earlier, bytearray) else bytearray(earlier)
    joined += b", " + value
    return joined


def _agreed_length(value: bytes, earlier: bytes | None) -> bytes:
    """The one value of a repeated or listed Content-Length; ``b""`` unless all are equal digits."""
    values = {item.strip(b" \t") for item in value.split(b",")}
    if earlier is not None:
        values.add(earlier)
    one = values.pop()
    return b"" if values or not one.isdigit() or len(one) > MAX_LENGTH_DIGITS else one


def parse_head(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Head, int] | None:
    """The head at the start of ``data`` and the index behind it, or None if more bytes are needed.

    A head that matches the strict expression is accepted at once; any other is read line by line, and accepted for one
    of the reasons in ``docs/accepted.rst`` or refused with an error that names the line.
    """
    match = _match_head(data)
    if match is None:
        return _parse_lenient_head(data, limits)
    end = match.end()
    line, block = match.groups()
    is_short = end <= _SHORT_HEAD_BYTES and limits is DEFAULT_LIMITS
    if not is_short and (end > limits.line_bytes or block.count(b"\n") > limits.header_lines):
        _check_limits(data[:end], limits)
    return Head(line, block), end


_SHORT_HEAD_BYTES = 4 * DEFAULT_LIMITS.header_lines  # "a:" and CRLF: a head up to here keeps all the default limits


def _check_limits(head: bytes, limits: Limits) -> None:
    if len(head) > limits.head_bytes:
        raise InvalidResponseError(f"the head of the response is longer than {limits.head_bytes} bytes")
    lines = head.split(b"\n")
    if len(lines) > limits.header_lines + 3:
        raise _too_many_lines(limits)
    if max(map(len, lines)) > limits.line_bytes:
        raise _line_too_long(limits)


def _too_many_lines(limits: Limits) -> InvalidResponseError:
    met = HTTPException(f"got more than {limits.header_lines} headers")
    return InvalidResponseError(f"the response has more than {limits.header_lines} header lines", met)


def _line_too_long(limits: Limits) -> InvalidResponseError:
    return InvalidResponseError(f"a header line is longer than {limits.line_bytes} bytes", LineTooLong("header line"))


_LINE_END = re.compile(rb"\r?\n\r?\n")


def _parse_lenient_head(data: bytes, limits: Limits) -> tuple[Head, int] | None:
    """As parse_head, for heads that are incomplete, or not written as RFC 9112 wants them sent."""
    end = _LINE_END.search(data)
    if end is None:
        _refuse_impossible_start(data, data.count(b"\n"), len(data) - data.rfind(b"\n") - 1, limits)
        return None
    _check_limits(data[: end.end()], limits)
    lines = _unfold(data[: data.index(b"\n", end.start())])
    status_line = _is_status_line(lines[0])
    if status_line is None:
        raise InvalidResponseError(f"not a status line of HTTP/1.x: {_shown(lines[0])}", _bad_status_line(data))
    for line in lines[1:]:
        if not _is_field_line(line):
            raise InvalidResponseError(f"not a header line (RFC 9112 section 5): {_shown(line)}")
    block = b"\r\n" + b"".join(line + b"\r\n" for line in lines[1:])
    return Head(status_line[1], block), end.end()


_START = b"HTTP/1."
_TLS_ALERT, _TLS_HANDSHAKE = b"\x15\x03", b"\x16\x03"  # RFC 8446 section 5.1
_HTTP2_SETTINGS = b"\x04"  # RFC 9113 section 6.5, behind the three bytes of a frame's length


def _other_protocol(data: bytes | bytearray) -> str:
    """What the bytes begin in place of a response, in words to be added; empty where that is not known."""
    if data[:2] in (_TLS_ALERT, _TLS_HANDSHAKE):
        return " (that is TLS: does the URL begin with https://?)"
    if data[:1] == b"\0" and data[3:4] == _HTTP2_SETTINGS:
        return " (that is HTTP/2, which is not spoken here)"
    return ""


def _refuse_impossible_start(data: bytes | bytearray, lines: int, line_bytes: int, limits: Limits) -> None:
    """Raise if no bytes to come can make this the start of a head; it has so many lines, the last of so many bytes."""
    if data[: len(_START)] != _START[: len(data)]:
        shown = f"{_shown(bytes(data[:81]))}{_other_protocol(data)}"
        raise InvalidResponseError(f"not an HTTP/1.x response: {shown}", _bad_status_line(data))
    if len(data) > limits.head_bytes:
        raise InvalidResponseError(f"the head of the response is longer than {limits.head_bytes} bytes")
    if line_bytes > limits.line_bytes:
        raise _line_too_long(limits)
    if lines > limits.header_lines + 2:
        raise _too_many_lines(limits)


def _unfold(head: bytes) -> list[bytes]:
    """The lines of a head that lacks its last LF.

    A folded value becomes one line (RFC 9112 section 5.2), a bare LF ends a line (section 2.2).
    """
    lines: list[bytes] = []
    folded: list[bytes] = []
    for raw in head.split(b"\n"):
        line = raw[:-1] if raw.endswith(b"\r") else raw
        if line[:1] in (b" ", b"\t") and len(lines) > 1:
            folded.append(line.strip(b" \t"))
            continue
        if folded:
            lines[-1] = b" ".join([lines[-1].rstrip(b" \t"), *folded])
            folded = []
        lines.append(line)
    if folded:
        lines[-1] = b" ".join([lines[-1].rstrip(b" \t"), *folded])
    return lines


def _shown_values(values: list[str]) -> str:
    return _shown(", ".join(values).encode("latin-1"))


def _shown(line: bytes) -> str:
    return repr(line[:80])[1:] + ("..." if len(line) > 80 else "")


def read_head(recv: Callable[[int], bytes], limits: Limits = DEFAULT_LIMITS) -> tuple[Head, bytes]:
    """The next head that ``recv`` brings, and the bytes that came behind it.

    ProtocolError if the peer closes before the head is complete (RFC 9112 section 8).
    """
    data, head, end = complete_head(recv, b"", limits)
    return head, data[end:]


def complete_head(recv: Callable[[int], bytes], data: bytes, limits: Limits) -> tuple[bytes, Head, int]:
    """All received bytes, the head at their start and the index behind it; ``data`` is what came already."""
    found = parse_head(data, limits) if data else None
    if found is not None:
        return data, *found
    buffer = HeadBuffer(data, limits)
    while found is None:
        piece = recv(RECEIVE_BYTES)
        if not piece:
            raise closed_early(buffer.data)
        found = buffer.add(piece)
    return bytes(buffer.data), *found


class HeadBuffer:
    """Received bytes that begin with a head; it is parsed only when its end may be in, so that the cost is linear."""

    __slots__ = ("_limits", "_line_at", "_lines", "data")

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data = bytearray(data)
        self._limits = limits
        self._count_lines()

    def _count_lines(self) -> None:
        self._lines = self.data.count(b"\n")  # ends of lines so far
        self._line_at = self.data.rfind(b"\n") + 1  # the start of the last line

    def add(self, piece: bytes) -> tuple[Head, int] | None:
        """The head and the index behind it, once its end has come. InvalidResponseError."""
        data, before = self.data, len(self.data)
        if b"\n" in piece:
            self._lines, self._line_at = self._lines + piece.count(b"\n"), before + piece.rfind(b"\n") + 1
        data += piece
        if _LINE_END.search(data, max(0, before - 3)):
            return parse_head(bytes(data), self._limits)
        _refuse_impossible_start(data, self._lines, len(data) - self._line_at, self._limits)
        return None

    def drop(self, end: int) -> tuple[Head, int] | None:
        """As ``add``, of the head that begins at ``end``: what was in front of it is gone."""
        del self.data[:end]
        self._count_lines()
        return parse_head(bytes(self.data), self._limits) if self.data else None


def closed_early(data: bytes | bytearray) -> ProtocolError:
    """The error for a connection that ended before a response, or within its head."""
    if not data:
        gone = RemoteDisconnected("Remote end closed connection without response")
        return chained(ProtocolError("Connection aborted.", gone), gone)
    message = f"the connection closed within the head of the response, after {len(data)} bytes"
    return InvalidResponseError(message, RemoteDisconnected(message) if b"\n" in data else _bad_status_line(data))


def _bad_status_line(data: bytes | bytearray) -> HTTPException:
    """What ``http.client`` raises for bytes that do not begin with a status line of HTTP/1.x."""
    line = bytes(data[:81]).decode("latin-1").splitlines(keepends=True)[0]
    version, _, status = line.partition(" ")
    if version.startswith("HTTP/") and not version.startswith("HTTP/1.") and status[:3].isdigit():
        return UnknownProtocol(version)
    return BadStatusLine(line)


def parse_trailers(data: bytes, at: int, limits: Limits) -> tuple[list[tuple[str, str]], int] | None:
    """The trailer fields that begin at ``data[at]`` and the index behind their empty line; None: more is needed.

    RFC 9112 section 7.1.2; nothing but CR LF ends a line here, since no old sender needs leniency.  Bytes and lines are
    counted as they come: trailers that never end, each of them in time, are refused at the limit.
    """
    if data.startswith(b"\r\n", at):
        return [], at + 2
    end = data.find(b"\r\n\r\n", at)
    if (end if end >= 0 else len(data)) - at > limits.trailer_bytes:
        raise InvalidResponseError(f"the trailers are longer than {limits.trailer_bytes} bytes")
    lines = data.count(b"\n", at) if end < 0 else data.count(b"\n", at, end) + 1
    if lines > limits.trailer_lines:
        raise InvalidResponseError(f"the response has more than {limits.trailer_lines} trailer lines")
    return None if end < 0 else ([_trailer(line) for line in data[at:end].split(b"\r\n")], end + 4)


def _trailer(line: bytes) -> tuple[str, str]:
    match = _is_field_line(line)
    if match is None:
        raise InvalidResponseError(f"not a trailer line (RFC 9112 section 7.1.2): {_shown(line)}")
    return match[1].decode("latin-1"), match[2].decode("latin-1").strip(" \t")


def named_length(field: str | None, status: int | str, method: str | None) -> int | None:
    """How long the body is that a Content-Length field announces; None if it names no length. InvalidHeader for two."""
    try:
        status = int(status)
    except ValueError:
        status = 0  # http.client's "UNKNOWN", of a response whose head was not read
    if status in (204, 304) or 100 <= status < 200 or method == "HEAD":
        return 0  # whatever the field says (RFC 9112 section 6.3 rule 1)
    if field is None:
        return None
    values = {item.strip(" \t") for item in field.split(",")}
    if len(values) > 1:
        raise InvalidHeader(f"Content-Length contained multiple unmatching values ({field})")
    one = values.pop()
    return int(one) if one.isascii() and one.isdigit() else None
