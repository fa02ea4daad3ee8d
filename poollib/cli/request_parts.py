"""The parts of a request as the words mean them: URL, method, header fields, body; the bytes are those that were typed.

``transfer`` asks for one :class:`RequestParts` per URL and sends it. Words that hold bytes which are no text of the
locale's reach us as ``os.fsdecode`` made them, and leave as they were typed (``os.fsencode``). Files are opened when a
body is wanted, so that each request of a chain of redirects gets it from its beginning. The rules are curl's.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeAlias

from ..base.headers import HTTPHeaderDict
from ..base.url import Url, parse_url
from ..base.version import VERSION
from ..exceptions import LocationParseError, URLSchemeUnknown
from ..http1.request_head import SKIP_HEADER
from .arguments import VERBS, UsageError, Words
from .exit_status import TransferError, unreadable

if TYPE_CHECKING:
    from ..client.keyword_types import Body
    from ..http1.multipart import RequestField

FORM = "application/x-www-form-urlencoded"
_DATA = ("data", "data-binary", "data-raw", "data-urlencode", "json")
_scheme = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://").match
_range = re.compile(r"\d*-\d*(?:,\d*-\d*)*", re.ASCII).fullmatch


#: What opens a body to be sent; None: there is none.
BodyOpener: TypeAlias = "Callable[[], AbstractContextManager[Body | None]]"


class RequestParts(NamedTuple):
    """What to ask for; ``open_body`` gives the body anew for each request."""

    method: str
    url: str
    headers: HTTPHeaderDict
    open_body: BodyOpener


def request_parts(words: Words, url: str) -> RequestParts:
    """The request for one URL. UsageError, TransferError for a file, LocationParseError, URLSchemeUnknown."""
    data, form, upload = _data(words), list(words.all("form", "form-string")), words.last("upload-file")
    is_query = words.has("get")
    if sum([data is not None and not is_query, bool(form), upload is not None, words.has("head")]) > 1:
        raise UsageError(
            "-d, -F, -T and -I exclude each other: a request has one body, and HEAD none (-G makes a query)"
        )
    parts = usable_url(url)
    path, query = parts.path or "/", parts.query
    if data is not None and is_query:
        query = "&".join(filter(None, [query, _url_text(data)]))
        data = None
    if upload is not None and path.endswith("/"):
        path += _url_text(os.fsencode(os.path.basename(upload)))
    target = Url(parts.scheme, None, parts.host, parts.port, path, query)
    headers = header_fields(words, parts.auth)
    open_body = _body_opener(data, form, upload, headers)
    method = words.last("request") or _usual_method(words, data is not None or bool(form), upload is not None)
    return RequestParts(os.fsencode(method).decode("latin-1"), target.url, headers, open_body)


def _usual_method(words: Words, has_data: bool, has_upload: bool) -> str:
    if words.has("head"):
        return "HEAD"
    if words.verb is not None:
        return VERBS[words.verb]
    return "PUT" if has_upload else "POST" if has_data else "GET"


# The URL


def usable_url(word: str) -> Url:
    """A word as a URL; http without a scheme. LocationParseError, URLSchemeUnknown with what may have been meant."""
    match = _scheme(word)
    url = parse_url(_escaped(word if match else f"http://{word}"))
    if url.scheme not in ("http", "https"):
        raise URLSchemeUnknown(url.scheme or "")
    if not url.host:
        raise LocationParseError(word)
    return url


def _escaped(word: str) -> str:
    """The word with the bytes behind its host percent-encoded that are no ASCII; a host may be an IDN."""
    start = word.index("://") + 3
    end = min((at for at in (word.find(mark, start) for mark in "/?#") if at >= 0), default=len(word))
    return word[:end] + _url_text(os.fsencode(word[end:]))


def _url_text(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 < byte < 0x7F else f"%{byte:02X}" for byte in data)


# Header fields


def header_fields(words: Words, login: str | None) -> HTTPHeaderDict:
    """The fields that go out; ``login``: the URL's user and password."""
    headers = HTTPHeaderDict({"User-Agent": f"poollib/{VERSION}", "Accept": "*/*", "Accept-Encoding": SKIP_HEADER})
    _set_login(headers, words, login)
    agent, referer, cookie = words.last("user-agent"), words.last("referer"), _cookies(words)
    if agent is not None:
        headers["User-Agent"] = _typed(agent) or SKIP_HEADER
    if referer is not None:
        headers["Referer"] = _typed(referer.partition(";auto")[0])
    if cookie:
        headers["Cookie"] = cookie
    if words.has("compressed"):
        from ..http1.request_body import make_headers

        headers["Accept-Encoding"] = make_headers(accept_encoding=True)["accept-encoding"]
    _set_range(headers, words)
    if any(words.all("json")):
        headers["Content-Type"] = headers["Accept"] = "application/json"
    _set_given(headers, words)
    return headers


def _set_login(headers: HTTPHeaderDict, words: Words, login: str | None) -> None:
    user, token = words.last("user"), words.last("oauth2-bearer")
    if token is not None:
        headers["Authorization"] = f"Bearer {_typed(token)}"
    elif login is not None:
        from urllib.parse import unquote_to_bytes

        name, _, password = login.partition(":")
        headers["Authorization"] = _basic(unquote_to_bytes(name) + b":" + unquote_to_bytes(password))
    elif user is not None:
        headers["Authorization"] = _basic(os.fsencode(user if ":" in user else f"{user}:{_asked_password(user)}"))


def _basic(login: bytes) -> str:
    return "Basic " + b64encode(login).decode("ascii")


def _asked_password(user: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    from getpass import getpass

    return getpass(f"Password of {user}: ")


def _set_range(headers: HTTPHeaderDict, words: Words) -> None:
    wanted = words.last("range")
    if wanted is None:
        return
    if not _range(wanted) or wanted.strip("-,") == "":
        raise UsageError(f"-r/--range wants bytes such as 0-99, 100- or -50, not {wanted!r}")
    headers["Range"] = f"bytes={wanted}"


def _set_given(headers: HTTPHeaderDict, words: Words) -> None:
    """Put in what -H says: the first of a name takes the place of ours, further ones are added."""
    seen: set[str] = set()
    for line in _header_lines(words):
        name, value = _header(line)
        if value is None:
            headers.discard(name)
            if name.lower() in ("user-agent", "host"):
                headers[name] = SKIP_HEADER
        elif name.lower() in seen:
            headers.add(name, value)
        else:
            headers[name] = value
        seen.add(name.lower())


def _header_lines(words: Words) -> list[str]:
    lines: list[str] = []
    for _, word in words.all("header"):
        if word.startswith("@"):
            lines += filter(None, os.fsdecode(file_bytes(word[1:])).splitlines())
        else:
            lines.append(word)
    return lines


def _header(line: str) -> tuple[str, str | None]:
    """Name and value of a header as typed; None: the header is to be left out."""
    name, colon, value = line.partition(":")
    if colon and name.strip():
        return _typed(name.strip()), _typed(value.strip()) or None
    if not colon and line.endswith(";") and line[:-1].strip():
        return _typed(line[:-1].strip()), ""
    raise UsageError(f"-H/--header wants 'Name: value', not {line!r}")


def _typed(word: str) -> str:
    """The bytes of a word as Latin-1, as header fields leave."""
    return os.fsencode(word).decode("latin-1")


def _cookies(words: Words) -> str:
    return "; ".join(_typed(word) if "=" in word else _cookies_of_file(word) for _, word in words.all("cookie"))


def _cookies_of_file(name: str) -> str:
    """The cookies of a file in Netscape's format, one a line, with name and value in the last two of seven columns."""
    rows = [line.split("\t") for line in file_bytes(name).decode("latin-1").splitlines()]
    kept = (row for row in rows if len(row) == 7 and (row[0][:1] != "#" or row[0].startswith("#HttpOnly_")))
    return "; ".join(f"{row[5]}={row[6]}" for row in kept)


# The body


def file_bytes(name: str) -> bytes:
    """A file's bytes, standard input's for "-"."""
    with opened(name) as file:
        try:
            return file.read()
        except OSError as error:
            raise unreadable(name, error) from error


@contextlib.contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """The file, to be read; standard input, which stays open, for "-"."""
    if name == "-":
        if sys.stdin is None:
            raise TransferError(26, "standard input is closed: name a file in place of -")
        yield sys.stdin.buffer
        return
    try:
        file = open(name, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise unreadable(name, error) from error
    with file:
        yield file


def _data(words: Words) -> bytes | None:
    """All data options joined, those of JSON without anything in between; None: there are none."""
    joined: bytes | None = None
    for name, word in words.all(*_DATA):
        piece = _piece(name, word)
        joined = piece if joined is None else joined + (b"" if name == "json" else b"&") + piece
    return joined


def _piece(name: str, word: str) -> bytes:
    if name == "data-urlencode":
        return _urlencoded(word)
    if name == "data-raw" or not word.startswith("@"):
        return os.fsencode(word)
    content = file_bytes(word[1:])
    return content.replace(b"\r", b"").replace(b"\n", b"") if name == "data" else content


def _urlencoded(word: str) -> bytes:
    """CONTENT, =CONTENT, NAME=CONTENT, @FILE or NAME@FILE, the content percent-encoded."""
    from urllib.parse import quote_plus

    at = next((place for place, character in enumerate(word) if character in "=@"), None)
    if at is None:
        return quote_plus(os.fsencode(word)).encode()
    name, rest = word[:at], word[at + 1 :]
    content = file_bytes(rest) if word[at] == "@" else os.fsencode(rest)
    return os.fsencode(f"{name}=" if name else "") + quote_plus(content).encode()


def _body_opener(
    data: bytes | None, form: list[tuple[str, str]], upload: str | None, headers: HTTPHeaderDict
) -> BodyOpener:
    """What opens the body for each request; the Content-Type is put into the headers."""
    if data is not None:
        headers.setdefault("Content-Type", FORM)
        return lambda: contextlib.nullcontext(data)
    if upload is not None:
        return lambda: opened(upload)
    if form:
        from ..http1.multipart import choose_boundary

        boundary = choose_boundary()
        headers.setdefault("Content-Type", f"multipart/form-data; boundary={boundary}")
        return lambda: _opened_form(form, boundary)
    return contextlib.nullcontext


@contextlib.contextmanager
def _opened_form(form: list[tuple[str, str]], boundary: str) -> Iterator[Body]:
    from ..http1.multipart import MultipartStream

    with contextlib.ExitStack() as files:
        fields = [form_field(word, name == "form-string", files) for name, word in form]
        stream = MultipartStream(fields, boundary)
        yield stream if stream.has_files else b"".join(stream)


def form_field(word: str, is_text: bool, files: contextlib.ExitStack) -> RequestField:
    """A field of a form as -F writes it: NAME=TEXT, NAME=@FILE, NAME=<FILE, with ;type= and ;filename= behind.

    ``files`` closes what is opened for it.
    """
    from ..http1.multipart import RequestField

    name, equals, content = word.partition("=")
    if not equals or not name:
        raise UsageError(f"-F/--form wants NAME=CONTENT, or NAME=@FILE for a file, not {word!r}")
    said: dict[str, str] = {}
    if not is_text:
        content, said = _attributes(content)
    if content.startswith("@") and not is_text:
        filename = said.get("filename", os.path.basename(content[1:]))
        field = RequestField.from_tuples(name, (filename, files.enter_context(opened(content[1:]))))
        if "type" in said:
            field.headers["Content-Type"] = said["type"]
        return field
    text = file_bytes(content[1:]) if content.startswith("<") and not is_text else os.fsencode(content)
    field = RequestField(name, text, filename=said.get("filename"))
    field.make_multipart(content_type=said.get("type"))
    return field


def _attributes(content: str) -> tuple[str, dict[str, str]]:
    """The content of a field, and what ;type= and ;filename= behind it say."""
    said: dict[str, str] = {}
    while match := re.fullmatch(r"(.*);\s*(type|filename)=([^;]*)", content, re.DOTALL):
        content = match[1]
        said.setdefault(match[2], match[3].strip('"'))
    return content, said
