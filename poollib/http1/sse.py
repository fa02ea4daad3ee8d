"""Server-sent events: the bytes of a text/event-stream in, events out.

``response.events()`` feeds an ``EventParser`` with what arrived and yields its events; ``event_source`` keeps
``last_event_id`` and ``retry_ms`` for the next connection. Sockets, content codings and reconnecting are left to them.
Source: the HTML standard, section "Server-sent events", subsections "Parsing" and "Interpreting an event stream".

An event is out as soon as its blank line is in: a CR ends a line at once, and the LF that may follow is
dropped later. An event that the stream's end cuts short is dropped, as the standard says.
"""

from __future__ import annotations

from typing import NamedTuple

from ..exceptions import InvalidResponseError

EVENT_LIMIT_BYTES = 1024 * 1024
"""The longest line, and the most data of one event: our own choice, the standard names none."""

_RETRY_DIGITS = 15
"""A longer waiting time is ignored: 10**15 ms are 31,000 years."""

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its type, its data (lines joined by LF), the last id so far, and its own waiting time."""

    event: str = "message"
    data: str = ""
    id: str = ""
    retry_ms: int | None = None


class EventParser:
    """Turns the bytes of one stream into events; a new connection needs a new parser.

    ``last_event_id`` is what the one before ended with. No line and no event's data may be longer than
    ``limit_bytes``.
    """

    def __init__(self, last_event_id: str = "", limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self.last_event_id = last_event_id
        """The id to send as Last-Event-ID: it counts from the blank line of its event on."""
        self.retry_ms: int | None = None
        """How long the server wants a client to wait before it connects anew; None: it has not said."""
        self._limit_bytes = limit_bytes
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._is_first_line = True
        self._skips_lf = False
        self._id = last_event_id
        self._event = ""
        self._event_retry_ms: int | None = None
        self._data: list[str] = []
        self._data_bytes = 0

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that ``data`` completes. Raises InvalidResponseError beyond the limit."""
        if self._skips_lf and data:
            self._skips_lf = False
            data = data[1:] if data[:1] == b"\n" else data
        events: list[Event] = []
        for piece in bytes(data).splitlines(keepends=True):
            line = piece.rstrip(b"\r\n")
            is_whole = len(line) < len(piece)
            self._line_bytes += len(line) + is_whole  # CR LF counts as one, since it may come in two pieces
            self._check_limit(self._line_bytes, "a line")
            self._line.append(line)
            self._skips_lf = piece[-1:] == b"\r"
            if is_whole:
                event = self._end_line()
                if event is not None:
                    events.append(event)
        return events

    def _end_line(self) -> Event | None:
        line = b"".join(self._line)
        self._line = []
        self._line_bytes = 0
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._end_event()
        name, _, value = line.partition(b":")
        if name:
            self._take_field(name, value.removeprefix(b" "))
        return None

    def _take_field(self, name: bytes, raw_value: bytes) -> None:
        value = raw_value.decode("utf-8", "replace")
        if name == b"data":
            self._data_bytes += len(raw_value) + 1
            self._check_limit(self._data_bytes, "an event's data")
            self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id" and "\0" not in value:
            self._id = value
        elif name == b"retry" and value.isascii() and value.isdigit() and len(value.lstrip("0")) <= _RETRY_DIGITS:
            self._event_retry_ms = self.retry_ms = int(value)

    def _end_event(self) -> Event | None:
        """Return the event, if it has data (an empty ``data`` line counts)."""
        self.last_event_id = self._id
        event = None
        if self._data:
            event = Event(self._event or "message", "\n".join(self._data), self._id, self._event_retry_ms)
        self._event = ""
        self._event_retry_ms = None
        self._data = []
        self._data_bytes = 0
        return event

    def _check_limit(self, size: int, what: str) -> None:
        if size > self._limit_bytes:
            raise InvalidResponseError(f"{what} of the event stream is longer than {self._limit_bytes} bytes")
