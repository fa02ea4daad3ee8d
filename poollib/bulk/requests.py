"""What is asked for in bulk, and what comes of it: plain values that travel between threads, processes and machines.

``prepared`` makes a :class:`BulkRequest` of an item as callers give it; ``key_of`` names it in journals and files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from ..base.headers import HTTPHeaderDict
from ..base.url import origin, parse_url
from ..exceptions import LocationParseError, LocationValueError

#: Hosts are remembered by the text in front of a URL's path, this many at most.
MOST_ORIGINS = 10_000


class BulkRequest(NamedTuple):
    """One request of many. ``headers`` stand in place of the manager's; ``tag`` is the caller's and comes back."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    tag: object = None


#: What ``fetch`` takes: a URL to GET, ``(method, url)``, ``(method, url, headers)``, or a BulkRequest.
Item: TypeAlias = "str | tuple[str, str] | tuple[str, str, Mapping[str, str] | None] | BulkRequest"


class Result(NamedTuple):
    """What came of one request: a response, read to its end, or an error.

    ``data`` is the body, empty where it went to the file at ``path``; ``size_bytes`` its length either way.
    """

    request: BulkRequest
    status: int | None = None
    headers: HTTPHeaderDict | None = None
    data: bytes = b""
    path: str | None = None
    size_bytes: int = 0
    error: Exception | None = None

    def with_error(self, error: Exception) -> Result:
        """The same with another error."""
        return self._replace(error=error)

    @property
    def is_ok(self) -> bool:
        """Whether there is a response, and its status is none of an error."""
        return self.status is not None and self.status < 400


class Progress(NamedTuple):
    """How far a run is: results given out, those that were not ok among them, what an earlier run had done."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    size_bytes: int = 0


def prepared(item: Item) -> BulkRequest:
    """An item as a request. TypeError if it is none."""
    if type(item) is str:
        return BulkRequest(item)
    if isinstance(item, BulkRequest):
        request = item
    elif isinstance(item, str):
        request = BulkRequest(str(item))
    elif isinstance(item, tuple) and len(item) in (2, 3):
        request = BulkRequest(item[1], item[0], item[2] if len(item) == 3 else None)
    else:
        raise TypeError(f"a request is a URL, (method, url), (method, url, headers) or a BulkRequest, not {item!r:.80}")
    if not isinstance(request.url, str) or not isinstance(request.method, str):
        raise TypeError(f"method and url must be str, not {request.method!r:.40} and {request.url!r:.80}")
    if request.body is not None and not isinstance(request.body, bytes):
        raise TypeError(f"a body must be bytes, to be sent again, not {type(request.body).__name__}")
    return request


def key_of(request: BulkRequest) -> str:
    """16 hexadecimal digits for what is asked: method, URL, header fields and body."""
    parts: list[object] = [request.method, request.url]
    if request.headers or request.body is not None:
        fields = sorted((name.lower(), value) for name, value in (request.headers or {}).items())
        parts += [fields, request.body]
    text = parts[0] if len(parts) == 1 else repr(parts)
    return hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def host_finder() -> Callable[[str], str]:
    """A function from URLs to hosts, which remembers the common case. ValueError, LocationParseError for no URL."""
    known: dict[str, str] = {}

    def host_of(url: str) -> str:
        base = origin_text(url)
        host = known.get(base)
        if host is None:
            parsed = parse_url(url)
            if parsed.scheme is None:
                raise LocationValueError(f"No scheme in {url!r:.80}: write http:// or https:// in front")
            host = origin(parsed)[1] or ""
            if not host:
                raise LocationParseError(url)
            if len(known) >= MOST_ORIGINS:
                known.clear()
            known[base] = host
        return host

    return host_of


def origin_text(url: str) -> str:
    """The text in front of a URL's path: equal for two URLs only if they have scheme, host and port in common."""
    scheme, slashes, rest = url.partition("//")
    for end in "/?#":
        rest = rest.partition(end)[0]
    return scheme + slashes + rest
