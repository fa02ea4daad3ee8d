"""A request's body, made ready to send: what it is made of, how long it is, whether it can be sent again.

The connection asks ``body_to_chunks`` and ``body_length`` how a body goes out, and the request loop asks
``is_replayable`` and ``rewind_body`` whether and how it goes out again; ``make_headers`` makes header fields for common
settings. Writing and checking the head is left to ``request_head``, forms to ``multipart``, fields and JSON to
``client/request_encoding``. Sources: RFC 9110 section 8.6 (when to send Content-Length: 0), RFC 7617 (Basic).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from ..base.exact_values import exact, piece_of
from ..exceptions import UnrewindableBodyError, mark_from_body
from .multipart import MultipartStream, file_position, remaining_bytes
from .request_head import SKIP_HEADER as SKIP_HEADER
from .request_head import SKIPPABLE_HEADERS as SKIPPABLE_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .multipart import SupportsRead

_METHODS_NOT_EXPECTING_BODY = {"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"}
_line_breaker = re.compile(r"[\r\n\0]")


# Bodies


class ChunksAndContentLength(NamedTuple):
    """A body ready to send: bytes-like pieces (None: no body) and their sum (None: unknown, or no header needed)."""

    chunks: Iterable[bytes] | None
    content_length: int | None


def body_to_chunks(body: object, method: str, blocksize: int) -> ChunksAndContentLength:
    """Return what a body sends. Text is sent as UTF-8; files are read ``blocksize`` at a time; empty pieces left out.

    The length is known for bytes-like bodies and str; None as body has 0 where the method expects a body (RFC 9110
    section 8.6). For files and iterables it is None, as in urllib3: ask ``body_length``. TypeError for other kinds.
    """
    if body is None:
        return ChunksAndContentLength(None, 0 if expects_body(exact(method)) else None)
    if isinstance(body, (bytes, str)):
        text = to_bytes(body)
        return ChunksAndContentLength((text,), len(text))
    if hasattr(body, "read"):
        return ChunksAndContentLength(_file_blocks(body, blocksize), None)
    try:
        data = piece_of(body)
        return ChunksAndContentLength((cast(bytes, data),), memoryview(data).nbytes)
    except TypeError:
        pass
    try:
        pieces = iter(cast("Iterable[object]", body))
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


def body_length(body: object) -> int | None:
    """Return how many bytes a body will send, without reading it; None: unknown, or there is no body.

    Known for bytes-like bodies and str, regular files in binary mode and BytesIO (from their position on), and
    ``MultipartStream``. Of a file it is the size now: no more is sent of one that grows, and one that shrinks fails.
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
        return memoryview(cast(bytes, body)).nbytes
    except TypeError:
        return None


def is_replayable(body: object) -> bool:
    """True if a body can be sent once more, whole: in memory, a file that can seek, or an iterable that starts anew."""
    if body is None or isinstance(body, (bytes, str, bytearray, memoryview)):
        return True
    if isinstance(body, MultipartStream):
        return body.is_rewindable
    if hasattr(body, "read"):
        return file_position(body) is not None
    try:
        pieces = cast("Iterable[object]", body)
        first = iter(pieces)
        return first is not body and iter(pieces) is not first
    except TypeError:
        return _is_buffer(body)


def _is_buffer(body: object) -> bool:
    try:
        memoryview(cast(bytes, body))
    except TypeError:
        return False
    return True


class _BodyErrors:
    """``with body_errors:`` marks what a caller's body raises while it is read to be sent (``HTTPError.from_body``).

    Around a loop that yields it costs nothing for a piece, and what sending the piece raises does not pass through it.
    """

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            mark_from_body(error)


body_errors: Final = _BodyErrors()


def _file_blocks(file: SupportsRead, blocksize: int) -> Iterator[Any]:
    with body_errors:
        while True:
            block = file.read(blocksize)
            data = block if type(block) is bytes else piece_of(block or b"")
            if not data:
                return
            yield data


def _encoded(pieces: Iterator[object]) -> Iterator[Any]:
    """Yield the pieces that have any bytes: an empty one would end a chunked body."""
    with body_errors:
        for piece in pieces:
            if type(piece) is not bytes:
                if isinstance(piece, int):
                    raise TypeError(f"a body's pieces are bytes or str, not {piece!r}")
                piece = b"" if piece is None else piece_of(piece)
            if piece:
                yield piece


class _TYPE_FAILEDTELL(Enum):
    """The position of a file that has ``tell`` and fails at it."""

    token = 0


_FAILEDTELL = _TYPE_FAILEDTELL.token
_TYPE_BODY_POSITION: TypeAlias = int | _TYPE_FAILEDTELL | None


def set_file_position(body: object, pos: _TYPE_BODY_POSITION) -> _TYPE_BODY_POSITION:
    """Return the position to rewind to: ``pos``, to which the body is taken, or where the body stands now.

    None: the body has no position. A file whose ``tell`` fails is marked, and ``rewind_body`` refuses it.
    """
    if pos is not None:
        rewind_body(body, pos)
        return pos
    if not hasattr(body, "tell") or body.tell is None:  # a class may say so that it lacks what its base has
        return None
    try:
        return int(body.tell())
    except (OSError, ValueError):
        return _FAILEDTELL


def rewind_body(body: object, body_pos: _TYPE_BODY_POSITION) -> None:
    """Take a file back to ``body_pos``. UnrewindableBodyError if that fails, ValueError if it is no position."""
    if body_pos is _FAILEDTELL:
        raise UnrewindableBodyError("Unable to record file position for rewinding the body: its tell() failed")
    if not hasattr(body, "seek") or body.seek is None:
        raise UnrewindableBodyError(
            f"The body cannot be sent again: body does not implement seek, it is a {type(body).__name__}"
        )
    if not isinstance(body_pos, int):
        raise ValueError(f"a body's position is an int, not {body_pos!r}")
    try:
        body.seek(body_pos)
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
    ``proxy_basic_auth``: "user:password", in the encodings named (UnicodeEncodeError if that cannot be). Raises
    ValueError for CR, LF or NUL in a value.
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


def _accept_encoding(codings: bool | list[str] | tuple[str, ...] | str) -> str:
    if isinstance(codings, str):
        return exact(codings)
    return ",".join(codings) if isinstance(codings, (list, tuple)) else _available_encodings()


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
    """Return bytes as they are, str encoded (UTF-8, strictly, unless named otherwise). TypeError for others."""
    x = exact(x)
    if isinstance(x, bytes):
        return x
    if not isinstance(x, str):
        raise TypeError(f"not expecting type {type(x).__name__}, but str or bytes")
    return x.encode(encoding or "utf-8", errors or "strict")


def to_str(x: str | bytes, encoding: str | None = None, errors: str | None = None) -> str:
    """Return str as it is, bytes decoded (UTF-8, strictly, unless named otherwise). TypeError for others."""
    x = exact(x)
    if isinstance(x, str):
        return x
    if not isinstance(x, bytes):
        raise TypeError(f"not expecting type {type(x).__name__}, but str or bytes")
    return x.decode(encoding or "utf-8", errors or "strict")
