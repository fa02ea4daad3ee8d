"""Form fields as multipart/form-data: whole as bytes, or as a stream in which open files are never loaded whole.

``request_body`` asks for the bytes when all fields are in memory and for a ``MultipartStream`` when one is a file; the
connection iterates it like any other body. Choosing between a form and a query, and sending, belong to them.
Sources: RFC 7578 (multipart/form-data), RFC 2046 section 5.1, and the HTML standard's rule for names and file
names ("multipart form data": CR, LF and the quote become %0D, %0A and %22).

What a caller passes as name, file name, content type or header cannot start a header or part of its own: the
first two are encoded, the others refused with ValueError (CVE-2026-34514, CVE-2026-50269).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

from ..base.exact_values import exact, piece_of
from ..exceptions import UnrewindableBodyError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Iterator, Sequence, Set
    from typing import Protocol

    from typing_extensions import Buffer

    class SupportsRead(Protocol):
        """A file, or what reads like one: the next bytes, at most so many; empty at the end."""

        def read(self, size: int, /) -> Buffer | str | None: ...


BLOCK_BYTES = 65_536
"""What is read from a file at a time; larger blocks gain little (docs: the cost of an upload)."""

_QUOTED = {'"': "%22", "\r": "%0D", "\n": "%0A"}
_quotable = re.compile(r'["\r\n]')
_line_breaker = re.compile(r"[\r\n\0]")
_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_boundary = re.compile(r"[!-~](?:[ -~]{0,68}[!-~])?").fullmatch

#: What a field holds: text (sent as UTF-8), bytes, or (beyond urllib3) an open file.
_TYPE_FIELD_VALUE: TypeAlias = "str | Buffer | SupportsRead"
#: A field by its value alone, or with a file name and perhaps a content type.
_TYPE_FIELD_VALUE_TUPLE: TypeAlias = (
    "_TYPE_FIELD_VALUE | tuple[str | None, _TYPE_FIELD_VALUE] | tuple[str | None, _TYPE_FIELD_VALUE, str | None]"
)
_Field: TypeAlias = "tuple[str, _TYPE_FIELD_VALUE_TUPLE] | RequestField"
# Any iterable will do; a checker that is told so reads a dict's literal as an iterable of its keys.
_TYPE_FIELDS: TypeAlias = "Mapping[str, _TYPE_FIELD_VALUE_TUPLE] | Sequence[_Field] | Set[_Field] | Iterator[_Field]"


class MultipartStream:
    """A form as an iterable body of bytes, whose files are read in blocks while it is being sent.

    ``fields`` as for ``encode_multipart_formdata``, with open files allowed as data. ``content_length`` is the size in
    bytes, known without reading; None: a part's size is unknown, so the body has to go out chunked. A file is
    read from where it stands now; one that ends early raises ValueError, what it gains meanwhile is left out.
    """

    def __init__(self, fields: _TYPE_FIELDS, boundary: str | None = None, blocksize: int = BLOCK_BYTES) -> None:
        self.boundary = _checked_boundary(boundary)
        self.content_type = f"multipart/form-data; boundary={self.boundary}"
        self._blocksize = blocksize
        self._pieces = _pieces(iter_field_objects(fields), self.boundary)
        self._is_begun = False

    @property
    def content_length(self) -> int | None:
        """The size of the whole body in bytes; None: unknown."""
        total = 0
        for piece in self._pieces:
            size = piece.size if isinstance(piece, _FilePart) else len(piece)
            if size is None:
                return None
            total += size
        return total

    @property
    def has_files(self) -> bool:
        """True if a part is read from a file."""
        return any(isinstance(piece, _FilePart) for piece in self._pieces)

    @property
    def is_rewindable(self) -> bool:
        """True if the body can be iterated again from its start."""
        return all(piece.start is not None for piece in self._pieces if isinstance(piece, _FilePart))

    def __iter__(self) -> Iterator[bytes]:
        """Return the body's blocks from the start; UnrewindableBodyError at the second time if a file cannot seek."""
        if self._is_begun and not self.is_rewindable:
            raise UnrewindableBodyError("a file in the form cannot be read again: it has no position to go back to")
        self._is_begun = True
        return self._blocks()

    def _blocks(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, _FilePart):
                yield from piece.blocks(self._blocksize)
            else:
                yield piece


class _FilePart:
    """The content of an open file, from where it stood when the form was made."""

    def __init__(self, file: SupportsRead, name: str) -> None:
        self._file = file
        self._name = name
        self.start = file_position(file)
        self.size = remaining_bytes(file)

    def blocks(self, blocksize: int) -> Iterator[bytes]:
        """Yield exactly ``size`` bytes; everything if the size is unknown."""
        if self.start is not None:
            try:
                cast("io.IOBase", self._file).seek(self.start)
            except (OSError, ValueError) as error:
                raise UnrewindableBodyError(f"the file of the field {self._name!r} cannot go back: {error}") from error
        left = self.size
        while left is None or left > 0:
            block = self._file.read(blocksize if left is None else min(blocksize, left))
            data = bytes(piece_of(block or b""))
            if not data:
                break
            left = None if left is None else left - len(data)
            yield data
        if left:
            raise ValueError(f"the file of the field {self._name!r} ended {left} bytes before its size of {self.size}")


def _pieces(fields: Iterable[RequestField], boundary: str) -> list[bytes | _FilePart]:
    """Return what goes out one after the other; small neighbours are one piece."""
    pieces: list[bytes | _FilePart] = []
    small: list[bytes] = []

    def close() -> None:
        pieces.append(b"".join(small))
        small.clear()

    for field in fields:
        small.append(f"--{boundary}\r\n{field.render_headers()}".encode())
        data = _content(field)
        if isinstance(data, bytes) and len(data) <= BLOCK_BYTES:
            small.append(data)
        else:
            close()
            pieces.append(data)
        small.append(b"\r\n")
    small.append(f"--{boundary}--\r\n".encode())
    close()
    return pieces


def _content(field: RequestField) -> bytes | _FilePart:
    """Return a field's data as bytes, or as a part to be read from its file."""
    data: object = exact(field.data)
    if isinstance(data, str):
        return data.encode("utf-8")
    if isinstance(data, bytes):
        return data
    if isinstance(data, int):
        return str(data).encode("ascii")
    if hasattr(data, "read"):
        return _FilePart(data, field.shown_name)
    try:
        return bytes(memoryview(cast(bytes, data)))
    except TypeError:
        kind = type(data).__name__
        raise TypeError(
            f"the field {field.shown_name!r} holds a {kind}: str, bytes, int or an open file is wanted"
        ) from None


def _checked_boundary(boundary: str | None) -> str:
    """Return a fresh boundary for None, else the given one: 1 to 70 printable ASCII characters, RFC 2046 5.1.1."""
    if boundary is None:
        return choose_boundary()
    boundary = exact(boundary)
    if not _is_boundary(boundary):
        raise ValueError(
            f"a boundary is 1 to 70 printable ASCII characters without a space at its ends, not {boundary!r}"
        )
    return boundary


# Files


def remaining_bytes(file: object) -> int | None:
    """Return how many bytes a file has from its position on, without reading it; None: cannot be known.

    Only for regular files opened in binary mode and for BytesIO: the descriptor of a GzipFile, say, is that
    of another file than the one that ``read`` reads. The files of ``tempfile`` count by what they wrap.
    """
    import io

    if type(file).__module__ == "tempfile":  # NamedTemporaryFile has `file`, SpooledTemporaryFile `_file`
        file = vars(file).get("file") or vars(file).get("_file", file)
    try:
        if isinstance(file, io.BytesIO):
            return max(0, file.getbuffer().nbytes - file.tell())
        raw = file.raw if isinstance(file, (io.BufferedReader, io.BufferedRandom)) else file
        return _regular_file_bytes(cast("io.BufferedReader | io.FileIO", file)) if isinstance(raw, io.FileIO) else None
    except (OSError, ValueError):
        return None


def _regular_file_bytes(file: io.BufferedReader | io.FileIO) -> int | None:
    """Return size minus position. A file that claims to be empty is asked: those of /proc are not."""
    from stat import S_ISREG

    file.flush()
    status = os.fstat(file.fileno())
    if not S_ISREG(status.st_mode):
        return None
    left = status.st_size - int(file.tell())
    if left > 0:
        return left
    return 0 if hasattr(file, "peek") and not file.peek(1) else None


def file_position(file: object) -> int | None:
    """Return where a file stands, if it can be taken back there; else None."""
    try:
        if hasattr(file, "seekable") and not file.seekable():
            return None
        position = cast("io.IOBase", file).tell() if hasattr(file, "seek") else None
    except (AttributeError, OSError, ValueError):
        return None
    return position if isinstance(position, int) else None


# urllib3 names


class RequestField:
    """One field of a form: its data and the headers of its part.

    ``name`` and ``filename`` go into ``Content-Disposition``; ``headers`` are further header lines by name, of which
    those with an empty value are left out. ``data``: str (sent as UTF-8), bytes, int, or an open file.
    """

    def __init__(
        self,
        name: str | bytes,
        data: _TYPE_FIELD_VALUE,
        filename: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        header_formatter: Callable[[str, str | bytes], str] | None = None,
    ) -> None:
        self._name = name
        self._filename = filename
        self.data = data
        self.headers: dict[str, str | None] = dict(headers) if headers else {}
        if header_formatter is not None:
            _warn_future("The 'header_formatter' parameter", "the default follows the HTML standard")
            self.header_formatter = header_formatter
        else:
            self.header_formatter = format_multipart_header_param

    @classmethod
    def from_tuples(
        cls,
        fieldname: str | bytes,
        value: _TYPE_FIELD_VALUE_TUPLE,
        header_formatter: Callable[[str, str | bytes], str] | None = None,
    ) -> RequestField:
        """Return the field for ``data``, ``(filename, data)`` or ``(filename, data, content_type)``.

        A missing content type is guessed from the file name. An open file alone brings its own name.
        """
        content_type: str | None = None
        filename: str | bytes | None = None
        data: _TYPE_FIELD_VALUE
        if not isinstance(value, tuple):
            data = value
            if hasattr(value, "read"):
                filename = _name_of_file(value)
                content_type = guess_content_type(filename)
        elif len(value) == 3:
            filename, data, content_type = value
        else:
            filename, data = value
            content_type = guess_content_type(filename)
        field = cls(fieldname, data, filename=filename, header_formatter=header_formatter)
        field.make_multipart(content_type=content_type)
        return field

    def make_multipart(
        self,
        content_disposition: str | None = None,
        content_type: str | None = None,
        content_location: str | None = None,
    ) -> None:
        """Set the headers of a part: the disposition (None: form-data) with both names, type and location."""
        names = self._render_parts((("name", self._name), ("filename", self._filename)))
        disposition = f"{content_disposition or 'form-data'}; {names}" if names else content_disposition or "form-data"
        self.headers["Content-Disposition"] = disposition
        self.headers["Content-Type"] = content_type
        self.headers["Content-Location"] = content_location

    @property
    def shown_name(self) -> str:
        """The name as errors show it."""
        return str(self._name)

    def render_headers(self) -> str:
        """Return the part's head, blank line included. Raises ValueError for a name or value that breaks lines."""
        first = [name for name in ("Content-Disposition", "Content-Type", "Content-Location") if self.headers.get(name)]
        others = [name for name, value in self.headers.items() if value and name not in first]
        return "".join([self._line(name) for name in first + others]) + "\r\n"

    def _line(self, name: str) -> str:
        name, value = exact(name), self.headers[name]
        value = exact(value) if isinstance(value, str) else exact(str(value))
        if not _is_token(name):
            raise ValueError(f"{name!r} is no name for a header of a part")
        if _line_breaker.search(value):
            raise ValueError(f"CR, LF or NUL in the part's header {name}: {value!r}")
        return f"{name}: {value}\r\n"

    def _render_part(self, name: str, value: str | bytes) -> str:
        return self.header_formatter(name, value)

    def _render_parts(
        self, header_parts: Mapping[str, str | bytes | None] | Iterable[tuple[str, str | bytes | None]]
    ) -> str:
        pairs = header_parts.items() if isinstance(header_parts, Mapping) else header_parts
        return "; ".join(self._render_part(name, value) for name, value in pairs if value is not None)


def _name_of_file(file: object) -> str | None:
    """Return the last part of an open file's path; None if it has none."""
    name = file.name if hasattr(file, "name") else None
    return os.path.basename(name) if isinstance(name, str) and name[:1] != "<" else None


def format_multipart_header_param(name: str, value: str | bytes) -> str:
    """Return ``name="value"`` as the HTML standard encodes it; bytes are taken as UTF-8."""
    value = exact(value)
    text = value.decode("utf-8") if isinstance(value, bytes) else value
    return f'{name}="{_quotable.sub(lambda match: _QUOTED[match[0]], text)}"'


def format_header_param_html5(name: str, value: str | bytes) -> str:
    """Return what ``format_multipart_header_param`` returns, with a FutureWarning: the name is old."""
    _warn_future("'format_header_param_html5'", "use 'format_multipart_header_param'")
    return format_multipart_header_param(name, value)


def format_header_param(name: str, value: str | bytes) -> str:
    """Return what ``format_multipart_header_param`` returns, with a FutureWarning: the name is old."""
    _warn_future("'format_header_param'", "use 'format_multipart_header_param'")
    return format_multipart_header_param(name, value)


def format_header_param_rfc2231(name: str, value: str | bytes) -> str:
    """Return ``name="value"``, or ``name*=utf-8''...`` if it needs encoding (RFC 2231), with a FutureWarning.

    RFC 7578 section 4.2 forbids the second form in form-data.
    """
    _warn_future("'format_header_param_rfc2231'", "RFC 7578 forbids its result in form-data")
    value = exact(value)
    text = value.decode("utf-8") if isinstance(value, bytes) else value
    if text.isascii() and not re.search(r'["\\\r\n]', text):
        return f'{name}="{text}"'
    from urllib.parse import quote

    return f"{name}*=utf-8''{quote(text, safe='', encoding='utf-8')}"


def guess_content_type(filename: str | bytes | None, default: str = "application/octet-stream") -> str:
    """Return the media type that goes with a file name's ending, or ``default``."""
    if not filename:
        return default
    from mimetypes import guess_type

    return guess_type(os.fsdecode(filename))[0] or default


def _warn_future(what: str, instead: str) -> None:
    import warnings

    warnings.warn(f"{what} is deprecated and will be removed in urllib3 v3.0: {instead}", FutureWarning, stacklevel=3)


def choose_boundary() -> str:
    """Return 32 random hex digits."""
    return os.urandom(16).hex()


def iter_field_objects(fields: _TYPE_FIELDS) -> Iterator[RequestField]:
    """Yield a RequestField for each item of a mapping, pair of an iterable, or RequestField in one."""
    for field in fields.items() if isinstance(fields, Mapping) else fields:
        if isinstance(field, RequestField):
            yield field
        else:
            yield RequestField.from_tuples(*field)


def encode_multipart_formdata(fields: _TYPE_FIELDS, boundary: str | None = None) -> tuple[bytes, str]:
    """Return the form's bytes and its content type.

    ``fields``: a mapping, or an iterable of pairs and RequestFields; a pair's second half is the data, or
    ``(filename, data[, content_type])``. Open files are read whole: ``MultipartStream`` does not. None as boundary: a
    random one. Raises ValueError for headers that would break lines, TypeError for data of another kind.
    """
    form = MultipartStream(fields, boundary)
    return b"".join(form), form.content_type
