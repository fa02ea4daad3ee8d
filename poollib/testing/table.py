"""Which answer belongs to which request: rows of method and URL, each with answers to be given in turn.

``server_end`` asks a :class:`Table` for the answer to a request, ``memory_connections`` whether a connection is to
fail; both from any thread. What a test expected and did not get is told by :meth:`Table.check`, and a request that
nobody expected by :class:`UnexpectedRequest`, each with the rows that there are.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TypeAlias

from ..base.url import parse_url
from .answers import Answer
from .connect_faults import ConnectFault
from .recorded_requests import RecordedRequest

#: What a row may answer with: a response, a function that makes one of the request, a connection that fails.
Reply: TypeAlias = "Answer | ConnectFault | Callable[[RecordedRequest], Answer]"
#: A URL, or what all of it must match, or a function that says whether it is meant.
UrlPattern: TypeAlias = "str | re.Pattern[str] | Callable[[str], bool]"

_PORTS = {"http": 80, "https": 443}


class UnexpectedRequest(AssertionError):
    """A request that no row and no function has an answer to; no ``HTTPError``, so that nothing repeats or hides it."""


class Row:
    """One line of a table. ``requests``: those it has answered."""

    def __init__(
        self, method: str | None, url: UrlPattern, replies: tuple[Reply, ...], times: int | None, optional: bool
    ) -> None:
        _refuse(method, url, replies, times)
        self.method = None if method is None else method.upper()
        self.url = normal_url(url) if isinstance(url, str) and self.method != "CONNECT" else url
        self.replies = replies
        self.times = times
        self.optional = optional
        self.given = 0
        self.requests: list[RecordedRequest] = []

    def __str__(self) -> str:
        url = self.url.pattern if isinstance(self.url, re.Pattern) else self.url
        wanted = "" if self.times is None and not self.missing else f" of {self.needed}"
        return f"{self.method or 'any method'} {url} ({self.given}{wanted} given)"

    @property
    def needed(self) -> int:
        """How many replies a test expects to be given."""
        return len(self.replies) if self.times is None else self.times

    @property
    def missing(self) -> bool:
        """Whether replies are left that a test expects to be given."""
        return not self.optional and self.given < self.needed

    @property
    def next_reply(self) -> Reply | None:
        """The reply that is due, the last one again and again; None: it has been given as often as it may be."""
        if self.times is not None and self.given >= self.times:
            return None
        return self.replies[min(self.given, len(self.replies) - 1)]

    def serves(self, method: str, url: str) -> bool:
        """Whether the row has a reply to this request."""
        if self.next_reply is None or self.method not in (None, method):
            return False
        if isinstance(self.url, str):
            return self.url == url
        if isinstance(self.url, re.Pattern):
            return self.url.fullmatch(url) is not None
        return self.url(url)

    def fault_at(self, host: str, port: int) -> ConnectFault | None:
        """The fault that the next connection to this host and port is to meet."""
        reply = self.next_reply
        is_here = isinstance(self.url, str) and host_and_port(self.url) == (bracketed(host), port)
        return reply if is_here and isinstance(reply, ConnectFault) else None


class Table:
    """Rows, asked from the first to the last."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # guards the rows, their counts, and unexpected; a row's function may ask back
        self._rows: list[Row] = []
        self._unexpected: list[str] = []

    def add(self, row: Row) -> Row:
        """The row, which now is the last one."""
        with self._lock:
            self._rows.append(row)
        return row

    def reply_to(self, request: RecordedRequest) -> Reply | None:
        """The reply that is due, counted unless it is a ConnectFault, which ``take_fault`` counts; None: no row."""
        with self._lock:
            row = next((row for row in self._rows if row.serves(request.method, request.url)), None)
            if row is None:
                return None
            reply = row.next_reply
            if not isinstance(reply, ConnectFault):
                row.given += 1
                row.requests.append(request)
            return reply

    def has_row(self, method: str, url: str) -> bool:
        """Whether a row serves such a request."""
        with self._lock:
            return any(row.serves(method, url) for row in self._rows)

    def fault_is_due(self, host: str, port: int) -> bool:
        """Whether the next connection to this host and port is to fail."""
        with self._lock:
            return any(row.fault_at(host, port) for row in self._rows)

    def take_fault(self, host: str, port: int, *, in_tls: bool) -> ConnectFault | None:
        """The fault that a connection meets now, counted as given; None for none. ``in_tls``: an alert, else others."""
        with self._lock:
            for row in self._rows:
                fault = row.fault_at(host, port)
                if fault is not None and (fault.alert is not None) == in_tls:
                    row.given += 1
                    return fault
        return None

    def unexpected(self, request: RecordedRequest) -> UnexpectedRequest:
        """The error for a request without an answer, which ``check`` tells of again."""
        with self._lock:
            self._unexpected.append(str(request))
            rows = "".join(f"\n  {row}" for row in self._rows) or "\n  nothing"
        return UnexpectedRequest(f"{request} was not expected; expected were:{rows}")

    def check(self) -> None:
        """AssertionError for replies that were not given, and for requests that were not expected."""
        with self._lock:
            missing = "".join(f"\n  not made: {row}" for row in self._rows if row.missing)
            unexpected = "".join(f"\n  not expected: {request}" for request in self._unexpected)
        if missing or unexpected:
            raise AssertionError(f"the requests were not as expected:{missing}{unexpected}")


def normal_url(url: str) -> str:
    """The URL as requests are recorded with it. ValueError for one that is not absolute."""
    parts = parse_url(url)
    if parts.scheme is None or parts.host is None:
        raise ValueError(f"{url!r} is no absolute URL, such as 'https://example.com/items'")
    path, query = parts.path or "/", "" if parts.query is None else f"?{parts.query}"
    return f"{origin_of(parts.scheme, parts.host, parts.port)}{path}{query}"


def origin_of(scheme: str, host: str, port: int | None) -> str:
    """``scheme://host[:port]``, the port where it is not the scheme's own."""
    host = bracketed(host)
    return f"{scheme}://{host}" if port in (None, _PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


def bracketed(host: str) -> str:
    """The host in lower case, as it stands in URLs: an IPv6 address in brackets."""
    return f"[{host}]".lower() if ":" in host and not host.startswith("[") else host.lower()


def host_and_port(url: str) -> tuple[str, int]:
    """Host and port of a URL, or of the target of a CONNECT."""
    parts = parse_url(url)
    return (parts.host or "").lower(), parts.port or _PORTS.get(parts.scheme or "", 0)


def _refuse(method: str | None, url: UrlPattern, replies: tuple[Reply, ...], times: int | None) -> None:
    """ValueError, TypeError for a row that can't be meant."""
    if not replies:
        raise ValueError(f"{method} {url} has no answer")
    for reply in replies:
        if not isinstance(reply, (Answer, ConnectFault)) and not callable(reply):
            raise TypeError(f"an answer is an Answer, a fault or a function, not {type(reply).__name__}")
        if isinstance(reply, ConnectFault) and not isinstance(url, str):
            raise ValueError(f"{reply.name} needs a URL: a pattern does not say which host it is")
        if isinstance(reply, ConnectFault) and reply.alert is not None and not str(url).startswith("https:"):
            raise ValueError(f"{reply.name} needs an https URL, not {url}")
    if times is not None and times < len(replies):
        raise ValueError(f"times={times} is less than the {len(replies)} answers")
