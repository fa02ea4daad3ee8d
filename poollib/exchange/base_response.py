"""BaseHTTPResponse: a response as urllib3's users see it, whatever its body comes from.

Status line, header fields, the URL it answers and the Retry that led there are held here, built when they are first
looked at; the ways to read a body are named here and left to ``response``, or to a user's own class that is to be taken
for a response. The interface is urllib3's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..base.headers import HTTPHeaderDict
from ..base.loggers import shown_url
from ..base.trace import Timer, Timings
from ..base.url import received_url
from ..exceptions import DecodeError, HTTPStatusError
from ..http1.content_encoding import CONTENT_DECODERS
from ..http1.response_head import Head
from .file_like import FileLike

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

    from ..policy.retry import Retry
    from .transport import Transport


class BaseHTTPResponse(FileLike):
    """What every response has: status line, fields, and the ways to read its body."""

    CONTENT_DECODERS = CONTENT_DECODERS
    REDIRECT_STATUSES = [301, 302, 303, 307, 308]  # noqa: RUF012 - urllib3's public list
    DECODER_ERROR_CLASSES: tuple[type[Exception], ...] = (OSError, DecodeError)

    status: int
    version: int = 0
    reason: str | None = None
    decode_content = True
    chunked = False
    length_remaining: int | None = None
    is_pending = False  # a live response of a pool whose body nobody has judged yet: see ``accept``
    _headers: HTTPHeaderDict | None = None
    _head: Head | None = None
    _request_url: str | None = None
    _retries: Retry | None = None
    _version_string: str | None = None
    timer: Timer | None = None  # of a request that asked for its timings

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
        status: int,
        version: int,
        version_string: str,
        reason: str | None,
        decode_content: bool,
        request_url: str | None,
        retries: Retry | None = None,
    ) -> None:
        self._headers = headers if isinstance(headers, HTTPHeaderDict) else HTTPHeaderDict(cast(Any, headers))
        self.status = status
        self.version = version
        self._version_string = version_string
        self.reason = reason
        self.decode_content = decode_content
        self._request_url = request_url
        self.retries = retries
        codings = self._headers.get("transfer-encoding", "").lower().split(",")
        self.chunked = "chunked" in (coding.strip(" \t") for coding in codings)

    @property
    def headers(self) -> HTTPHeaderDict:
        """The header fields; built when first looked at."""
        headers = self._headers
        if headers is None:
            headers = self._headers = HTTPHeaderDict.from_pairs(self._head.pairs() if self._head else ())
        return headers

    @headers.setter
    def headers(self, headers: HTTPHeaderDict) -> None:
        self._headers = headers

    @property
    def timings(self) -> Timings | None:
        """Where the time of the request went, up to now; None unless ``timings=True`` asked for it."""
        return None if self.timer is None else self.timer.timings

    @property
    def version_string(self) -> str:
        """``HTTP/1.1`` or ``HTTP/1.0``; ``HTTP/?`` for a response that no server sent."""
        if self._version_string is None:
            self._version_string = "HTTP/1.0" if self.version == 10 else "HTTP/1.1"
        return self._version_string

    @version_string.setter
    def version_string(self, value: str) -> None:
        self._version_string = value

    @property
    def retries(self) -> Retry | None:
        """The Retry as it stands after this response; its history tells how it was reached."""
        return self._retries

    @retries.setter
    def retries(self, retries: Retry | None) -> None:
        if retries is not None and retries.history:
            self.url = retries.history[-1].redirect_location
        self._retries = retries

    @property
    def url(self) -> str | None:
        """The URL that this response answers, after redirects."""
        return self._request_url

    @url.setter
    def url(self, url: str | None) -> None:
        self._request_url = url

    @property
    def data(self) -> bytes:
        """The whole body, decoded; read once and kept."""
        raise NotImplementedError

    @property
    def connection(self) -> Transport | None:
        """The connection this response still holds, or None."""
        raise NotImplementedError

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """Up to ``amt`` bytes of the body, all the rest for None; ``b""`` at the end."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the response; a subclass's to say how."""
        raise NotImplementedError

    def release_conn(self) -> None:
        """Give the connection back."""
        raise NotImplementedError

    def accept(self, preload_content: bool) -> None:
        """The response stands: read the body whole if that was asked for. One without a live body has nothing to do."""

    def drain_conn(self) -> None:
        """Throw the rest of the body away."""
        raise NotImplementedError

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        """The body in pieces."""
        raise NotImplementedError

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """The body chunk by chunk."""
        raise NotImplementedError

    def readinto(self, buffer: Buffer) -> int:
        """As ``read`` into ``buffer``; how many bytes."""
        raise NotImplementedError

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Bytes of the body as they come."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Stop all reading, also another thread's."""
        raise NotImplementedError

    def get_redirect_location(self) -> str | bool | None:
        """Where the server redirects to (None if it does not say where); False if this is no redirect.

        UTF-8 is decoded, other bytes than ASCII are percent-encoded; the same Location twice is one.
        """
        if self.status not in self.REDIRECT_STATUSES:
            return False
        location: Any = self.headers.get("location")
        if not isinstance(location, str):
            return cast("str | None", location)
        if "," in location and isinstance(self.headers, HTTPHeaderDict):
            first, *others = self.headers.getlist("location")
            if others.count(first) == len(others):
                location = first
        return location if location.isascii() else self._decoded_location(location)

    def _decoded_location(self, location: str) -> str:
        if self._head is not None:
            return received_url(location)
        try:  # made by hand: either as a head gives it, or as text
            return location.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return location

    def json(self) -> Any:
        """The body as JSON; UnicodeDecodeError or json.JSONDecodeError, with what came instead, if it is none."""
        import json

        try:
            return json.loads((self.data or b"").decode("utf-8"))  # None: made by hand of nothing, as in urllib3
        except UnicodeDecodeError as error:
            error.reason += self._no_json()
            raise
        except json.JSONDecodeError as error:
            raise json.JSONDecodeError(error.msg + self._no_json(), error.doc, error.pos) from None

    def _no_json(self) -> str:
        """What came in JSON's place, for its errors."""
        kind = self.headers.get("content-type")
        said = "without a Content-Type" if kind is None else f"of {kind!r}"
        return f" (status {self.status}, {'a body' if self.data else 'an empty body'} {said})"

    # -- beyond urllib3, as requests and httpx have them --

    @property
    def text(self) -> str:
        """The whole body as text, by its byte order mark, the charset of Content-Type, or else as UTF-8.

        What the charset can't mean becomes U+FFFD. See ``http1/charset``.
        """
        from ..http1.charset import decode_text  # few programs ask

        return decode_text(self.data or b"", self.headers.get("content-type"))

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    def raise_for_status(self) -> Self:
        """This response; HTTPStatusError if its status is 400 or above. The body stays to be read, also then."""
        if self.ok:
            return self
        reason = f" {self.reason}" if self.reason else ""
        error = HTTPStatusError(f"{self.status}{reason} for {shown_url(self.url or '')}", self.status)
        error.response = self
        raise error

    def geturl(self) -> str | None:
        """As ``url``."""
        return self.url

    def info(self) -> HTTPHeaderDict:
        """As ``headers``."""
        return self.headers

    def getheaders(self) -> HTTPHeaderDict:
        """As ``headers``."""
        return self.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """One field's value, or ``default``."""
        return self.headers.get(name, default)


class _Origin(Protocol):
    """What is told of the pool whose response is logged."""

    host: str
    port: int | None

    @property
    def scheme(self) -> str | None: ...


def log_response(
    log: logging.Logger, origin: _Origin, method: str, target: str, response: BaseHTTPResponse, preload: bool
) -> None:
    """Log a response in urllib3's words, at DEBUG, and how much of its body is left to the caller; None: unknown."""
    version, left = "HTTP/?", None
    if isinstance(response, BaseHTTPResponse):  # a recorder's or a mock's may know neither
        version, left = response.version_string, response.length_remaining
        left = 0 if left and preload else left
    words = '%s://%s:%s "%s %s %s" %s %s'
    log.debug(words, origin.scheme, origin.host, origin.port, method, target, version, response.status, left)
