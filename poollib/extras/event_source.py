"""EventSource: the events of a server-sent stream, across connections.

It reads one stream after the other: when one ends or breaks, it waits as long as the server asks for and connects anew
with the id of the last event, so that a server that keeps ids leaves no gap.  Bytes become events in ``http1/sse``;
requests are the manager's.  Source: the HTML standard, section "Server-sent events", with its rules for reconnecting.

Its life::

    CONNECTING ── 200 text/event-stream ──> OPEN ── end, error ──> WAITING ── time is up ──> CONNECTING
        ├── cannot be reached ──> WAITING
        └── 204: the end; another status or type: ResponseError ──> CLOSED <── close()
"""

from __future__ import annotations

import contextlib
import enum
import re
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from ..base.headers import HTTPHeaderDict
from ..base.loggers import shown_url
from ..exceptions import (
    BlockedHostError,
    DeadlineExceededError,
    HTTPError,
    InsecureRedirectError,
    InvalidResponseError,
    LocationValueError,
    ResponseError,
)
from ..http1.sse import Event, EventParser
from ..poolmanager import PoolManager
from ..response import HTTPResponse

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..client.keyword_types import StreamKeywords
    from ..client.request_encoding import RequestMethods

RETRY_MS = 3000  # until the server says otherwise; the standard wants "a few seconds", browsers take 3 to 5
LONGEST_WAIT_S = 60.0  # between attempts that fail one after the other
SHORTEST_WAIT_S = 0.001  # what is doubled with each of these, also for a server that asks for no wait at all
LONGEST_RETRY_MS = 30 * 86400 * 1000  # asked for by the server or the caller; no lock can be waited for without bound
_no_field_value = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]").search  # RFC 9110 section 5.5; no UTF-8
_FINAL = (
    ResponseError,
    InvalidResponseError,
    DeadlineExceededError,
    LocationValueError,
    BlockedHostError,
    InsecureRedirectError,
)


class EventSourceState(enum.Enum):
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


class EventSource:
    """Iterates the events of ``url`` until the server answers 204 or somebody calls ``close``.

    ``manager``: whose pools serve (None: one of its own). ``last_event_id``: where to go on. ``retry_ms``: the wait
    before connecting anew until the server sets one. ``headers`` (None: the manager's) and ``request_kw`` go to
    ``manager.request``; a ``timeout`` there bounds the silence between two events. Iterating raises ResponseError for a
    status or type that is no event stream, InvalidResponseError for an event beyond 1 MiB, LocationValueError or
    BlockedHostError for a URL that can't or mustn't be asked for, DeadlineExceededError; all other failures are waited
    out.
    """

    def __init__(
        self,
        url: str,
        *,
        manager: RequestMethods | None = None,
        headers: Mapping[str, str] | None = None,
        last_event_id: str = "",
        retry_ms: int = RETRY_MS,
        **request_kw: Unpack[StreamKeywords],
    ) -> None:
        self.url = url
        self.last_event_id = last_event_id
        self.retry_ms = retry_ms
        self.connects = 0
        self.state = EventSourceState.CONNECTING
        self._owned: PoolManager | None = None
        if manager is None:
            manager = self._owned = PoolManager()
        self._manager = manager
        self._headers = self._manager.headers if headers is None else headers
        self._request_kw = request_kw
        self._response: HTTPResponse | None = None
        self._closed = threading.Event()

    def __repr__(self) -> str:
        return f"<EventSource({shown_url(self.url)!r}) {self.state.value}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        """Each event as soon as its blank line is in; waits, and connects anew, in between."""
        failures = 0
        while not self._closed.is_set():
            try:
                if not self._connect():
                    break
                failures = 0
                yield from self._events()
            except _FINAL:
                self.close()
                raise
            except HTTPError:
                failures += 1
            finally:
                self._drop()
            if not self._closed.is_set():
                self.state = EventSourceState.WAITING
                self._closed.wait(self._wait_s(failures))
        self.close()

    def close(self) -> None:
        """End the stream, also while another thread waits for its next event; the connection is given back.

        A thread that waits for the head of a response does so as long as its ``timeout`` says; with a manager of the
        caller's its ``retries`` are made, too.
        """
        self._closed.set()
        self.state = EventSourceState.CLOSED
        response = self._response
        try:
            if response is not None:
                # Nothing is left to shut down of one that has ended: RuntimeError, or ValueError of a double's.
                with contextlib.suppress(OSError, ValueError, RuntimeError):
                    response.shutdown()
        finally:
            if self._owned is not None:
                self._owned.close_all()  # clear() would let a request that is being repeated go on

    def _wait_s(self, failures: int) -> float:
        """What the server or the caller asked for; doubled with each failure behind the first, up to a minute."""
        wait_s: float = max(min(self.retry_ms, LONGEST_RETRY_MS), 0) / 1000
        if failures < 2:
            return wait_s
        doublings = min(failures - 1, 16)  # a minute even of a millisecond
        return max(wait_s, min(max(wait_s, SHORTEST_WAIT_S) * 2.0**doublings, LONGEST_WAIT_S))

    def _connect(self) -> bool:
        """Ask for the stream; False if the server wants no more (204)."""
        self.state = EventSourceState.CONNECTING
        headers = HTTPHeaderDict(self._headers)
        headers.setdefault("Accept", "text/event-stream")
        headers.setdefault("Cache-Control", "no-store")
        if self.last_event_id and not _no_field_value(self.last_event_id):
            headers["Last-Event-ID"] = self.last_event_id.encode().decode("latin-1")  # UTF-8, says the standard
        self.connects += 1
        response = self._response = cast(
            HTTPResponse,
            self._manager.request("GET", self.url, headers=headers, preload_content=False, **self._request_kw),
        )
        if response.status == 204:
            return False
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status != 200 or media_type != "text/event-stream":
            raise ResponseError(
                f"{shown_url(self.url)}: {response.status} {response.reason}, {media_type or 'no type'}: no events"
            )
        self.state = EventSourceState.OPEN
        return True

    def _events(self) -> Iterator[Event]:
        parser = EventParser(self.last_event_id)
        response = self._response
        assert response is not None, "connected"
        while not self._closed.is_set() and (piece := response.read1(None, True)):
            for event in parser.feed(piece):
                self.last_event_id = event.id
                yield event
            self.last_event_id = parser.last_event_id
            if parser.retry_ms is not None:
                self.retry_ms = parser.retry_ms

    def _drop(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()
