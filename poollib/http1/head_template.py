"""A head that was read, as a template for the next: most heads of a connection differ in a few values only.

What several heads had in common is compared byte for byte. Between that stand the values in which they differed (Date,
the id of a request, a length), and of those nothing but the characters is looked at: by RFC 9112 section 5 a head of
that form has the same fields and framing, and so is not read again. Any other is left to ``response_head``. Fields that
say where the body ends, or whether the connection stays, may not differ, but for one plain Content-Length, and one
Keep-Alive, in which some servers count down.
"""

from __future__ import annotations

import re
from weakref import ref

from .grammar import FIELD_VALUE, MAX_LENGTH_DIGITS
from .response_head import FRAMING_FIELDS, Head

#: Most heads have 300 to 600 bytes, those with a security policy up to 2,000.
KNOWN_HEAD_BYTES = 4096
#: Each field of a head whose fields were looked at takes 0.15 KiB more: 4 KiB of very short ones would keep 93 KiB for
#: each connection, these keep 16.
KNOWN_HEAD_LINES = 64
#: To look at more open values, 0.3 us each, would take longer than to parse the head: 2 us for 12 fields, 3 for 20.
MOST_OPEN_LINES = 6

_is_value = re.compile(f"{FIELD_VALUE}*".encode("latin-1")).fullmatch


class HeadTemplate:
    """``head`` says what all heads of this form say, and is the head itself where no value may differ."""

    __slots__ = ("__weakref__", "_first", "_open_lines", "_rest", "head")

    def __init__(self, head: Head, raw: bytes, open_lines: frozenset[int] = frozenset()) -> None:
        """``open_lines``: the numbers of the lines whose values may differ, the status line being 0."""
        if open_lines:
            head = head.alike(b"", head.length, None)
        else:
            head.stand_in(raw)
        self.head = head
        self._open_lines = open_lines
        fixed: list[bytearray] = [bytearray()]
        names: list[bytes] = []
        for number, line in enumerate(raw[:-2].split(b"\r\n") if open_lines else [raw[:-2]]):
            name, colon, _ = line.partition(b":")
            if number in open_lines:
                fixed[-1] += name + colon
                fixed.append(bytearray())
                names.append(name.lower())
            else:
                fixed[-1] += line
            fixed[-1] += b"\r\n"
        first, *rest = map(bytes, fixed)
        self._first = first if rest else raw  # the same bytes, kept once
        #: what stands behind each open value, and the value's name
        self._rest = tuple(zip(rest, names, strict=True))

    @classmethod
    def of(cls, head: Head, raw: bytes) -> HeadTemplate | None:
        """A template for the very same bytes; None for a head that is not kept: large, or interim."""
        return cls(head, raw) if _is_kept(head, raw) else None

    def widened(self, head: Head, raw: bytes) -> HeadTemplate | None:
        """A template for this head as well, which it does not read; None if they are not of one form."""
        # Open values are empty here, so that their lines differ once more.
        own = b"".join([self._first, *(fixed for fixed, _ in self._rest)])
        lines, others = own.split(b"\r\n"), raw.split(b"\r\n")
        if len(lines) != len(others) or not _is_kept(head, raw) or not head.is_verbatim(raw):
            return None
        differing = [number for number, line in enumerate(lines) if line != others[number]]
        if not all(number and _may_differ(lines[number], others[number], head, raw) for number in differing):
            return None
        open_lines = self._open_lines.union(differing)
        return HeadTemplate(head, raw, open_lines) if len(open_lines) <= MOST_OPEN_LINES else None

    @property
    def form(self) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
        """All that tells it from others: two of one form read the same heads alike."""
        return self._first, self._rest

    def read(self, data: bytes, at: int = 0) -> tuple[Head, int] | None:
        """The head that ``parse_head`` would find at ``data[at]``, and where it ends; None: let it look for itself."""
        if not data.startswith(self._first, at):
            return None
        begin, at = at, at + len(self._first)
        if not self._rest:
            return self.head, at
        length, keep_alive = self.head.length, None
        for fixed, name in self._rest:
            end = data.find(b"\r\n", at)
            if not data.startswith(fixed, end) or not _is_value(data, at, end):  # nor where there is no end: -1
                return None
            if name == _LENGTH:
                digits = data[at:end].lstrip(b" \t")
                if not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
                    return None
                length = int(digits)
            elif name == _KEEP_ALIVE:
                keep_alive = data[at:end]
            at = end + len(fixed)
        if at - begin > KNOWN_HEAD_BYTES:
            return None
        return self.head.alike(data[begin:at], length, keep_alive), at


def learned(known: HeadTemplate | None, head: Head, raw: bytes) -> HeadTemplate | None:
    """The template for a head that the known one has not read: wider, or new; None for a head that is not kept."""
    return (known and known.widened(head, raw)) or HeadTemplate.of(head, raw)


#: The templates that were learned last, by the hashes of their forms: those of a pool's connections are mostly alike.
_latest: dict[int, ref[HeadTemplate]] = {}
_MOST_LATEST = 64


def shared(template: HeadTemplate) -> HeadTemplate:
    """Another connection's template of the same form, while that has it, else this one: 1 KiB less for each."""
    form = template.form
    known = _latest.get(key := hash(form))
    other = None if known is None else known()
    if other is not None and other.form == form:
        return other
    if len(_latest) >= _MOST_LATEST:
        _latest.clear()
    _latest[key] = ref(template)
    return template


_LENGTH = b"content-length"
_KEEP_ALIVE = b"keep-alive"


def _may_differ(earlier: bytes, line: bytes, head: Head, raw: bytes) -> bool:
    """Whether the value of this line of ``raw`` may be any other, where it was another in an earlier head."""
    name, _, value = line.partition(b":")
    if name != earlier.partition(b":")[0]:
        return False
    name = name.lower()
    if name not in FRAMING_FIELDS:
        return True
    is_alone = raw.lower().count(b"\r\n" + name + b":") == 1
    if name == _LENGTH:
        return is_alone and head.length >= 0 and value.strip(b" \t").isdigit()
    return is_alone and name == _KEEP_ALIVE


def _is_kept(head: Head, raw: bytes) -> bool:
    return len(raw) <= KNOWN_HEAD_BYTES and head.status >= 200 and raw.count(b"\n") <= KNOWN_HEAD_LINES
