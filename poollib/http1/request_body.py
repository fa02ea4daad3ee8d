"""What a caller asks for, made ready to send: fields and JSON become URL, body and headers; bodies become chunks.

``RequestMethods`` is the upper door of pools and managers (``request`` calls their ``urlopen``); the connection asks
``body_to_chunks`` and ``body_length`` how a body goes out, and the retry loop asks ``is_replayable`` and
``rewind_body`` whether and how it goes out again. Writing and checking the head is left to ``head``, forms to
``multipart``, reading a response to ``response``. Sources: RFC 9110 section 8.6 (when to send Content-Length: 0),
RFC 7617 (Basic).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ..base.exact_values import exact, piece_of
from ..base.headers import HTTPHeaderDict
from ..exceptions import UnrewindableBodyError
from .multipart import MultipartStream, file_position, remaining_bytes
from .request_head import SKIP_HEADER as SKIP_HEADER
from .request_head import SKIPPABLE_HEADERS as SKIPPABLE_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterable

_METHODS_WITH_QUERY = {"DELETE", "GET", "HEAD", "OPTIONS"}
_METHODS_NOT_EXPECTING_BODY = {"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"}
_line_breaker = re.compile(r"[\r\n\0]")


class RequestMethods:
    """``request`` and its two halves, over the ``urlopen`` of a subclass. ``headers`` are sent where none are given."""

    _encode_url_methods = _METHODS_WITH_QUERY
    _encodes_itself = False
    """True in subclasses that override a half: ``request`` then goes through it even with nothing to encode."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "request_encode_url" in vars(cls) or "request_encode_body" in vars(cls):
            cls._encodes_itself = True

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self.headers: Mapping[str, str] = headers or {}

    def urlopen(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        encode_multipart: bool = True,
        multipart_boundary: str | None = None,
        **kw: Any,
    ) -> Any:
        """Send one request and return the response; for subclasses to implement."""
        raise NotImplementedError(f"{type(self).__name__} has no urlopen of its own")

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        fields: Any = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        **urlopen_kw: Any,
    ) -> Any:
        """Return the response to ``method`` on ``url``; what ``urlopen`` takes is passed on.

        ``fields`` go into the URL for GET, HEAD, DELETE and OPTIONS, else into a form as the body. ``json``, unless
        None, is sent as JSON, with ``Content-Type: application/json`` if none is given. At most one of body, fields
        and json: TypeError (only a query may go with a body). An empty ``headers`` means none, None means
        ``self.headers``.
        """
        if headers is None:
            headers = self.headers
        method = exact(method).upper()
        if json is not None:
            if body is not None:
                raise TypeError("request got values for both 'body' and 'json' parameters which are mutually exclusive")
            body, headers = encode_json(json, headers)
        if self._encodes_itself or fields is not None:
            if body is not None:
                urlopen_kw["body"] = body
            if method in self._encode_url_methods:
                return self.request_encode_url(method, url, fields=fields, headers=headers, **urlopen_kw)
            return self.request_encode_body(method, url, fields=fields, headers=headers, **urlopen_kw)
        if urlopen_kw:
            urlopen_kw.pop("encode_multipart", None)
            urlopen_kw.pop("multipart_boundary", None)
        if body is not None:
            return self.urlopen(method, url, body=body, headers=headers, **urlopen_kw)
        return self.urlopen(method, url, headers=headers, **urlopen_kw)

    def request_encode_url(
        self,
        method: str,
        url: str,
        fields: Any = None,
        headers: Mapping[str, str] | None = None,
        **urlopen_kw: Any,
    ) -> Any:
        """Return the response to a request whose ``fields`` (a mapping or pairs) stand in the URL's query."""
        headers = self.headers if headers is None else headers
        return self.urlopen(method, _with_query(url, fields) if fields else url, headers=headers, **urlopen_kw)

    def request_encode_body(
        self,
        method: str,
        url: str,
        fields: Any = None,
        headers: Mapping[str, str] | None = None,
        encode_multipart: bool = True,
        multipart_boundary: str | None = None,
        **urlopen_kw: Any,
    ) -> Any:
        """Return the response to a request whose ``fields`` are a form in its body.

        multipart/form-data, streamed if a field is an open file; ``encode_multipart=False``: urlencoded. TypeError
        if there is a ``body`` as well.
        """
        headers = self.headers if headers is None else headers
        if fields:
            body = urlopen_kw.get("body")
            urlopen_kw["body"], headers = _encode_form(fields, body, headers, encode_multipart, multipart_boundary)
        return self.urlopen(method, url, headers=headers, **urlopen_kw)


class EncodedRequest(NamedTuple):
    """What ``fields`` turned a request into."""

    url: str
    body: Any
    headers: Mapping[str, str] | None


def encode_fields(
    method: str,
    url: str,
    fields: Any,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    encode_multipart: bool = True,
    multipart_boundary: str | None = None,
) -> EncodedRequest:
    """Return URL, body and headers with ``fields`` in their place, as ``RequestMethods.request`` puts them.

    A given Content-Type stays; the headers handed in are not changed. TypeError for fields and a body where
    both would be the body. Empty fields or None: everything comes back as it is.
    """
    if not fields:
        return EncodedRequest(url, body, headers)
    if exact(method).upper() in _METHODS_WITH_QUERY:
        return EncodedRequest(_with_query(url, fields), body, headers)
    return EncodedRequest(url, *_encode_form(fields, body, headers, encode_multipart, multipart_boundary))


def encode_json(value: Any, headers: Mapping[str, str] | None = None) -> tuple[bytes, HTTPHeaderDict]:
    """Return the value as compact JSON in UTF-8, and the headers with its content type, if they had none.

    Raises what ``json.dumps`` raises for a value that is none of JSON's.
    """
    from json import dumps

    text = dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8"), _with_content_type(headers, "application/json")


def _with_query(url: str, fields: Any) -> str:
    """Return ``url`` with the fields behind its query, if it has one, and before its fragment."""
    url, mark, fragment = exact(url).partition("#")
    joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{joint}{_urlencoded(fields)}{mark}{fragment}"


def _urlencoded(fields: Any) -> str:
    """The fields as application/x-www-form-urlencoded."""
    from urllib.parse import urlencode

    if isinstance(fields, (str, bytes)):
        raise TypeError(f"fields are a mapping or pairs of name and value, not {type(fields).__name__}")
    pairs = fields.items() if hasattr(fields, "items") else fields
    return urlencode([(exact(name), exact(value)) for name, value in pairs])


def _encode_form(
    fields: Any, body: Any, headers: Mapping[str, str] | None, encode_multipart: bool, boundary: str | None
) -> tuple[Any, HTTPHeaderDict]:
    """Return the form as a body, and the headers with its content type."""
    if body is not None:
        raise TypeError("request got values for both 'fields' and 'body', can only specify one.")
    if encode_multipart:
        form = MultipartStream(fields, boundary)
        body = form if form.has_files else b"".join(form)
        return body, _with_content_type(headers, form.content_type)
    return _urlencoded(fields), _with_content_type(headers, "application/x-www-form-urlencoded")


def _with_content_type(headers: Mapping[str, str] | None, content_type: str) -> HTTPHeaderDict:
    merged = HTTPHeaderDict(headers)
    merged.setdefault("Content-Type", content_type)
    return merged


# Bodies


class ChunksAndContentLength(NamedTuple):
    """A body ready to send: bytes-like pieces (None: no body) and their sum (None: unknown, or no header needed)."""

    chunks: Iterable[bytes] | None
    content_length: int | None


def body_to_chunks(body: Any, method: str, blocksize: int) -> ChunksAndContentLength:
    """Return what a body sends. Text is sent as UTF-8; files are read ``blocksize`` at a time; empty pieces left out.

    The length is known for bytes-like bodies and str; None as body has 0 where the method expects a body (RFC 9110
    section 8.6). For files and iterables it is None, as in urllib3: ask ``body_length``. TypeError for other kinds.
    """
    if body is None:
        return ChunksAndContentLength(None, 0 if expects_body(exact(method)) else None)
    data: Any
    if isinstance(body, (bytes, str)):
        data = to_bytes(body)
        return ChunksAndContentLength((data,), len(data))
    if hasattr(body, "read"):
        return ChunksAndContentLength(_file_blocks(body, blocksize), None)
    try:
        data = piece_of(body)
        return ChunksAndContentLength((data,), memoryview(data).nbytes)
    except TypeError:
        pass
    try:
        pieces = iter(body)
    except TypeError:
        raise TypeError(
            f"'body' must be a bytes-like object, file-like object, or iterable. Instead was {body!r}"
        ) from None
    return ChunksAndContentLength(_encoded(pieces), None)


def expects_body(method: str) -> bool:
    """Whether a request without a body says so by Content-Length: 0; a method that nobody knows may have one.

    Source: RFC 9110 section 8.6. Apache asks for it with WebDAV's methods (PROPFIND, LOCK); so urllib3 does.
    """
    return method not in _METHODS_NOT_EXPECTING_BODY and method.upper() not in _METHODS_NOT_EXPECTING_BODY


def body_length(body: Any) -> int | None:
    """Return how many bytes a body will send, without reading it; None: unknown, or there is no body.

    Known for bytes-like bodies and str, regular files in binary mode and BytesIO (from their position on), and
    ``MultipartStream``. Of a file the size is a promise: whoever announces it sends no more, and fails with less.
    """
    if body is None:
        return None
    if isinstance(body, (bytes, str)):
        return len(to_bytes(body))
    if isinstance(body, MultipartStream):
        return body.content_length
    if hasattr(body, "read"):
        return remaining_bytes(body)
    try:
        return memoryview(body).nbytes
    except TypeError:
        return None


def is_replayable(body: Any) -> bool:
    """True if a body can be sent once more, whole: in memory, a file that can seek, or an iterable that starts anew."""
    if body is None or isinstance(body, (bytes, str, bytearray, memoryview)):
        return True
    if isinstance(body, MultipartStream):
        return body.is_rewindable
    if hasattr(body, "read"):
        return file_position(body) is not None
    try:
        first = iter(body)
        return first is not body and iter(body) is not first
    except TypeError:
        return _is_buffer(body)


def _is_buffer(body: Any) -> bool:
    try:
        memoryview(body)
    except TypeError:
        return False
    return True


def _file_blocks(file: Any, blocksize: int) -> Iterator[Any]:
    while True:
        block = file.read(blocksize)
        data = block if type(block) is bytes else piece_of(block or b"")
        if not data:
            return
        yield data


def _encoded(pieces: Iterator[Any]) -> Iterator[Any]:
    """Yield the pieces that have any bytes: an empty one would end a chunked body."""
    for piece in pieces:
        if type(piece) is not bytes:
            if isinstance(piece, int):
                raise TypeError(f"a body's pieces are bytes or str, not {piece!r}")
            piece = b"" if piece is None else piece_of(piece)
        if piece:
            yield piece


#: Whose frames stand in the traceback of what a body raises while it is sent.
MAKERS_OF_PIECES = (_file_blocks.__code__, _encoded.__code__)


class _TYPE_FAILEDTELL(Enum):
    """The position of a file that has ``tell`` and fails at it."""

    token = 0


_FAILEDTELL = _TYPE_FAILEDTELL.token
_TYPE_BODY_POSITION: TypeAlias = int | _TYPE_FAILEDTELL | None


def set_file_position(body: Any, pos: _TYPE_BODY_POSITION) -> _TYPE_BODY_POSITION:
    """Return the position to rewind to: ``pos``, to which the body is taken, or where the body stands now.

    None: the body has no position. A position that cannot be told is marked, and ``rewind_body`` refuses it.
    """
    if pos is not None:
        rewind_body(body, pos)
        return pos
    tell = getattr(body, "tell", None)
    if tell is None:
        return None
    try:
        return int(tell())
    except (OSError, ValueError):
        return _FAILEDTELL


def rewind_body(body: Any, body_pos: _TYPE_BODY_POSITION) -> None:
    """Take a file back to ``body_pos``. UnrewindableBodyError if that fails, ValueError if it is no position."""
    if body_pos is _FAILEDTELL:
        raise UnrewindableBodyError("Unable to record file position for rewinding the body: its tell() failed")
    seek = getattr(body, "seek", None)
    if seek is None:
        raise UnrewindableBodyError(
            f"The body cannot be sent again: body does not implement seek, it is a {type(body).__name__}"
        )
    if not isinstance(body_pos, int):
        raise ValueError(f"a body's position is an int, not {body_pos!r}")
    try:
        seek(body_pos)
    except (OSError, ValueError) as error:
        raise UnrewindableBodyError(f"An error occurred when rewinding request body: {error}") from error


# urllib3 names


def make_headers(
    keep_alive: bool | None = None,
    accept_encoding: bool | list[str] | str | None = None,
    user_agent: str | None = None,
    basic_auth: str | None = None,
    proxy_basic_auth: str | None = None,
    disable_cache: bool | None = None,
    *,
    basic_auth_encoding: str = "latin-1",
    proxy_basic_auth_encoding: str = "latin-1",
) -> dict[str, str]:
    """Return request headers for common settings.

    ``accept_encoding``: True for all codings that can be undone here, a list, or the value itself. ``basic_auth`` and
    ``proxy_basic_auth``: "user:password", encoded as told (UnicodeEncodeError if that cannot be). Raises ValueError
    for CR, LF or NUL in a value.
    """
    headers: dict[str, str] = {}
    if accept_encoding:
        headers["accept-encoding"] = _accept_encoding(accept_encoding)
    if user_agent:
        headers["user-agent"] = exact(user_agent)
    if keep_alive:
        headers["connection"] = "keep-alive"
    if basic_auth:
        headers["authorization"] = _basic(basic_auth, basic_auth_encoding)
    if proxy_basic_auth:
        headers["proxy-authorization"] = _basic(proxy_basic_auth, proxy_basic_auth_encoding)
    if disable_cache:
        headers["cache-control"] = "no-cache"
    for name, value in headers.items():
        if _line_breaker.search(value):
            raise ValueError(f"CR, LF or NUL in {name}: {value!r}")
    return headers


def _accept_encoding(wish: bool | list[str] | tuple[str, ...] | str) -> str:
    if isinstance(wish, str):
        return exact(wish)
    return ",".join(wish) if isinstance(wish, (list, tuple)) else _available_encodings()


def _available_encodings() -> str:
    """Return the codings that can be undone here, as a value for Accept-Encoding."""
    from .decoders import available_codings

    return ",".join([name for name in available_codings() if name != "x-gzip"])


def _basic(credentials: str, encoding: str) -> str:
    from base64 import b64encode

    return "Basic " + b64encode(exact(credentials).encode(encoding)).decode("ascii")


ACCEPT_ENCODING: str
"""What ``make_headers(accept_encoding=True)`` sends; found at the first look, for br and zstd need their packages."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "ACCEPT_ENCODING":
            return globals().setdefault(name, _available_encodings())
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def to_bytes(x: str | bytes, encoding: str | None = None, errors: str | None = None) -> bytes:
    """Return bytes as they are, str encoded (UTF-8, strictly, unless told otherwise). TypeError for others."""
    x = exact(x)
    if isinstance(x, bytes):
        return x
    if not isinstance(x, str):
        raise TypeError(f"not expecting type {type(x).__name__}, but str or bytes")
    return x.encode(encoding or "utf-8", errors or "strict")


def to_str(x: str | bytes, encoding: str | None = None, errors: str | None = None) -> str:
    """Return str as it is, bytes decoded (UTF-8, strictly, unless told otherwise). TypeError for others."""
    x = exact(x)
    if isinstance(x, str):
        return x
    if not isinstance(x, bytes):
        raise TypeError(f"not expecting type {type(x).__name__}, but str or bytes")
    return x.decode(encoding or "utf-8", errors or "strict")
