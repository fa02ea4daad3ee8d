"""URLs: parse, normalise, percent-encode and join, strictly and in linear time.

``parse_url`` hands a :class:`Url` to the modules that ask where a request goes, ``encode_target`` the text of a
request line to ``connection``, and ``join`` the address a redirect means to ``request_loop``.  Choosing a pool,
resolving names and checking bytes on the wire are left to them.  The grammar is RFC 3986 (with RFC 6874 zone
identifiers), results follow urllib3 2.8: what may be percent-encoded is encoded, control characters and blanks too.
Where others see another host, this module refuses: control characters and blanks there, a backslash before the path,
brackets around anything but IPv6, names that IDNA (RFC 5891) does not carry unchanged.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NoReturn

from ..exceptions import LocationParseError, LocationValueError
from .exact_values import exact

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

#: Schemes whose parts are normalised; other schemes are only split.  ``None``: no scheme given.
_NORMALISED: Final = frozenset({"http", "https", None})
#: RFC 1035 section 2.3.4, as text without the last dot.
_MAX_NAME: Final = 253
_MAX_LABEL: Final = 63

# RFC 3986: unreserved (2.3) and sub-delims (2.2), then what a component allows besides (3.2.1, 3.3, 3.4).
_UNRESERVED: Final = r"A-Za-z0-9._~\-"
_USERINFO: Final = _UNRESERVED + "!$&'()*+,;=:"
_PATH: Final = _USERINFO + "@/"
_QUERY: Final = _PATH + "?"

_not_userinfo: Final = re.compile(f"[^%{_USERINFO}]")
_not_path: Final = re.compile(f"[^%{_PATH}]")
_not_query: Final = re.compile(f"[^%{_QUERY}]")
_triple: Final = re.compile("%[0-9A-Fa-f]{2}")
_PERCENT_RE = _triple  # urllib3's name: yt-dlp and streamlink put their own in its place, to leave triples alone
_unreserved: Final = re.compile(f"[{_UNRESERVED}]")
_control: Final = re.compile("[\x00-\x1f\x7f]")
_control_or_blank: Final = re.compile("[\x00-\x20\x7f]")
_OUTER: Final = "".join(map(chr, range(0x21)))  # what the WHATWG's URL standard strips before it reads a URL
_control_triple: Final = re.compile("%(?:[01][0-9A-Fa-f]|7[Ff])")
_undecodable: Final = re.compile("[\udc80-\udcff]")  # as surrogateescape marks bytes that are not UTF-8
_authority: Final = re.compile("(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*")
_scheme: Final = re.compile("([A-Za-z][A-Za-z0-9+.-]*):")
_reg_name: Final = re.compile(f"(?:[{_UNRESERVED}!$&'()*+,;=]|%[0-9A-F]{{2}})+")
_foreign_host: Final = re.compile(r"(?:[^\s\\@\[\]:<>\"^`{|}%]|%[0-9A-Fa-f]{2})+")
_port: Final = re.compile("0*([0-9]{1,5})")
_hextet: Final = re.compile("[0-9A-Fa-f]{1,4}")
_octet: Final = re.compile("25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]")
_zone: Final = re.compile(f"(?:[{_UNRESERVED}]|%(?![01]|7[fF])[0-9A-Fa-f]{{2}})+")  # no controls, encoded or not

# The common URL needs one look: lower-case ASCII host, no userinfo, no percent sign, no fragment.  Every part
# ends at a character the part itself cannot hold, so a failing match gives up in linear time.
_common: Final = re.compile(
    r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([0-9]{1,5}))?"
    rf"(/[{_PATH}]*)?(?:\?([{_QUERY}]*))?\Z"
)
#: The match of a request target with nothing to encode, None for another.
match_plain_target: Final = re.compile(rf"/[{_PATH}]*(?:\?[{_QUERY}]*)?\Z").match


class _Parts(NamedTuple):
    scheme: str | None
    auth: str | None
    host: str | None
    port: int | None
    path: str | None
    query: str | None
    fragment: str | None


class Url(_Parts):
    """A URL in parts, ``None`` where one is absent; IPv6 hosts keep their brackets."""

    __slots__ = ()

    def __new__(
        cls,
        scheme: str | None = None,
        auth: str | None = None,
        host: str | None = None,
        port: int | None = None,
        path: str | None = None,
        query: str | None = None,
        fragment: str | None = None,
    ) -> Url:
        path, scheme = exact(path), exact(scheme)
        if path and path[0] != "/":
            path = "/" + path
        if scheme is not None:
            scheme = scheme.lower()
        auth, host, port = exact(auth), exact(host), exact(port)
        return super().__new__(cls, scheme, auth, host, port, path, exact(query), exact(fragment))

    def with_login(self, auth: str | None) -> Url:
        """The same with another userinfo; None: without one."""
        return self._replace(auth=auth)

    def with_port(self, port: int) -> Url:
        """The same with another port."""
        return self._replace(port=port)

    @property
    def hostname(self) -> str | None:
        """The same as ``host``."""
        return self.host

    @property
    def request_uri(self) -> str:
        """Path and query, as a request line has them."""
        uri = self.path or "/"
        return uri if self.query is None else f"{uri}?{self.query}"

    @property
    def netloc(self) -> str | None:
        """``host`` or ``host:port``; ``None`` without a host."""
        if self.host is None:
            return None
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str | None:
        """``netloc`` with the userinfo in front; ``None`` without a host."""
        netloc = self.netloc
        return netloc if netloc is None or self.auth is None else f"{self.auth}@{netloc}"

    @property
    def auth_decoded(self) -> tuple[str | None, str | None]:
        """User and password with percent-encoding undone; ``None`` for what is absent."""
        if self.auth is None:
            return None, None
        from urllib.parse import unquote  # here, because importing it costs milliseconds

        user, colon, password = self.auth.partition(":")
        return unquote(user), unquote(password) if colon else None

    @property
    def auth_decoded_joined(self) -> str | None:
        """``user:password`` as Basic authentication wants it; ``None`` without userinfo."""
        user, password = self.auth_decoded
        return None if user is None else f"{user}:{password or ''}"

    @property
    def url(self) -> str:
        """The URL as text: parsing it again gives the same parts, but where "user:" or "host:" reads as a scheme."""
        text = "" if self.scheme is None else f"{self.scheme}://"
        if self.auth is not None:
            text += f"{self.auth}@"
        if self.host is not None:
            text += self.host
        if self.port is not None:
            text += f":{self.port}"
        path = self.path or ""
        text += f"/.{path}" if not text and path.startswith("//") else path  # else it would read as an authority
        if self.query is not None:
            text += f"?{self.query}"
        if self.fragment is not None:
            text += f"#{self.fragment}"
        return text

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        parts = self if self.auth is None else self._replace(auth="***")
        return f"Url({', '.join(f'{name}={part!r}' for name, part in zip(self._fields, parts, strict=True))})"


def parse_url(url: str) -> Url:
    """``url`` in parts: scheme and host in lower case, dot segments gone, invalid characters percent-encoded.

    Text without a scheme is an authority, or a path if it starts with "/".  LocationParseError for what is no
    URL; an empty one has no parts.
    """
    url = exact(url)
    if not url:
        return Url()
    if not isinstance(url, str):
        raise TypeError(f"url must be str, not {type(url).__name__}")
    match = _common.match(url)
    if match is not None:
        scheme, host, port, path, query = match.groups()
        is_short = len(host) <= _MAX_LABEL and (port is None or len(port) < 5 or port <= "65535")
        if is_short and "xn--" not in host and (path is None or "/." not in path):
            if path is None and query is not None:
                path = ""
            number = None if port is None else int(port)
            return tuple.__new__(Url, (scheme, None, host, number, path, query, None))
    return _parse_any(url)


def _parse_any(url: str) -> Url:
    """``parse_url`` for every kind of URL. An error names the part that is wrong, unless a password may lie in it."""
    if "@" not in url:
        return _parsed(url)
    try:
        return _parsed(url)
    except LocationParseError as error:
        why = error.why
    raise LocationParseError.because(url, why)


def _parsed(url: str) -> Url:
    scheme, rest = _split_scheme(url)
    if scheme not in _NORMALISED:
        _refuse_blanks(url)  # as nothing is encoded
    authority, path, query, fragment = _split_parts(rest)
    auth: str | None = None
    host: str | None = None
    port: int | None = None
    if authority:
        auth, host, port = _split_authority(authority, scheme)
    if scheme is None and path.startswith("//") and authority and authority[-1] == ":":
        _refuse(url, "has no scheme before ://")
    if scheme in _NORMALISED:
        path = _encoded(_without_dots(path), _not_path)
        query = None if query is None else _encoded(query, _not_query)
        fragment = None if fragment is None else _encoded(fragment, _not_query)
    is_bare = not path and query is None and fragment is None
    return Url(scheme, auth, host, port, None if is_bare else path, query, fragment)


def join(base: str, location: str) -> str:
    """The URL that ``location`` means when it is found in ``base`` (RFC 3986 section 5.2, strict).

    Either may lack scheme and authority.  The fragment of ``base`` is gone, and so are blanks and control characters
    before ``location``, as for urllib and browsers.  The result is only put together here and still to be parsed.
    """
    base, location = exact(base), exact(location).lstrip(_OUTER)
    scheme, authority, path, query, fragment = _split_reference(location)
    if scheme is None:
        scheme, base_authority, base_path, base_query, _ = _split_reference(base)
        if authority is None:
            authority = base_authority
            if not path:
                path = base_path
                query = base_query if query is None else query
            elif path[0] != "/":
                path = _merged(base_authority, base_path, path)
    path = _without_dots(path)
    if authority is None and path.startswith("//"):
        path = "/." + path  # else the path would read as an authority (RFC 3986 section 4.2)
    return "".join(
        (
            "" if scheme is None else f"{scheme}:",
            "" if authority is None else f"//{authority}",
            path,
            "" if query is None else f"?{query}",
            "" if fragment is None else f"#{fragment}",
        )
    )


def received_url(value: str) -> str:
    """The URL in a field's value, which a head gives as Latin-1: UTF-8 as what it means, any other byte as its %XX.

    So a path is asked for by the bytes that the server sent, as curl and browsers do, and a host is what they spell; a
    byte before the path that is no UTF-8 becomes U+FFFD, which no host has: as %XX it could name a zone.
    """
    if value.isascii():
        return value
    try:
        text = value.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # somebody has put text there
        return value
    match = _authority.match(text)
    start = match.end() if match else 0
    before = _undecodable.sub("\ufffd", text[:start])
    return before + _undecodable.sub(lambda match: f"%{ord(match[0]) - 0xDC00:02X}", text[start:])


def origin(url: Url) -> tuple[str, str, int | None]:
    """Scheme, host and port that decide whether two URLs share credentials (RFC 6454 section 4).

    A missing scheme is http, a missing port the scheme's own (``None`` if unknown), as it is when connecting; 0 is no
    missing port: nothing can be reached there. LocationValueError without a host.
    """
    if not url.host:
        raise LocationValueError("No host specified.")
    scheme = url.scheme or "http"
    port = DEFAULT_PORTS.get(scheme) if url.port is None else url.port
    return scheme, url.host.lower(), port


def without_zone(host: str) -> str:
    """The host without a zone identifier, which means something on this machine alone (RFC 6874 section 4)."""
    if "%" not in host or ":" not in host:
        return host
    address, _, zone = host.partition("%")
    return f"{address}]" if zone.endswith("]") else address


def bracketed(host: str) -> str:
    """A host as URLs have it: pools take an IPv6 address without brackets, too."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def encode_target(target: str) -> str:
    """``target`` (path and query, or "*") fit for a request line: encoded, without a fragment, dots untouched.

    LocationParseError unless it starts with "/".
    """
    if type(target) is not str:
        target = exact(target)
    if match_plain_target(target) or target == "*":
        return target
    if not target.startswith("/"):
        _refuse(target, "is not a valid request URI")
    path, mark, query = target.partition("#")[0].partition("?")
    path = _encoded(path, _not_path)
    return f"{path}?{_encoded(query, _not_query)}" if mark else path


# -- splitting --


def _refuse(part: str, why: str) -> NoReturn:
    raise LocationParseError.because(part, why)


def _refuse_blanks(url: str) -> None:
    """Refuse control characters and blanks around a URL that is not normalised: others would see another one."""
    if _control.search(url):
        _refuse(url, "contains invalid characters: control characters")
    if url != url.strip(" "):  # the one ASCII blank that is no control: U+00A0 and its kin are characters as any other
        _refuse(url, "contains invalid characters: blanks around it")


def _split_scheme(url: str) -> tuple[str | None, str]:
    """The scheme, and what follows with "//" in front where that is an authority.

    "a.b:80" is a host and a port, as everybody means it, though RFC 3986 could read a scheme.
    """
    match = _scheme.match(url)
    if match and ("." not in match[1] or url.startswith("//", match.end())):
        return match[1].lower(), url[match.end() :]
    return None, url if url[0] == "/" else f"//{url}"


def _split_parts(rest: str) -> tuple[str | None, str, str | None, str | None]:
    """Authority, path, query and fragment of what follows the scheme (RFC 3986 appendix B)."""
    rest, mark, tail = rest.partition("#")
    fragment = tail if mark else None
    rest, mark, tail = rest.partition("?")
    query = tail if mark else None
    if not rest.startswith("//"):
        return None, rest, query, fragment
    end = rest.find("/", 2)
    return (rest[2:], "", query, fragment) if end < 0 else (rest[2:end], rest[end:], query, fragment)


def _split_reference(url: str) -> tuple[str | None, str | None, str, str | None, str | None]:
    """A URL reference by the letter of RFC 3986: without a scheme or "//" it is a path."""
    match = _scheme.match(url)
    scheme = match[1] if match else None
    return scheme, *_split_parts(url[match.end() :] if match else url)


def _split_authority(authority: str, scheme: str | None) -> tuple[str | None, str | None, int | None]:
    """Userinfo, host and port (RFC 3986 section 3.2); the last "@" ends the userinfo, as for everybody.

    A host may be empty beside userinfo or a port, so that callers can say that it is missing.  A backslash is
    refused: some end the host there, as at "/", and others read on to an "@".
    """
    userinfo, _, hostport = authority.rpartition("@")
    _check_host_characters(hostport)
    if "\\" in authority:
        _refuse(hostport, "is no host and port: backslash before the path")
    if hostport.startswith("["):
        end = hostport.find("]") + 1
        host, after = hostport[:end], hostport[end:]
        if not end or (after and after[0] != ":"):
            _refuse(hostport, "is not a valid host or port")
        port = after[1:]
    else:
        host, _, port = hostport.partition(":")
    auth = userinfo or None
    if auth is not None and scheme in _NORMALISED:
        auth = _encoded(auth, _not_userinfo)
    number = _port_number(port, hostport)
    if not host and auth is None and number is None:
        return None, None, None  # "http://@" and "http://:" name nothing at all
    return auth, normalize_host(host, scheme), number


def _port_number(port: str, hostport: str) -> int | None:
    """The port as a number up to 65535; ``None`` for an empty one."""
    if not port:
        return None
    match = _port.fullmatch(port)
    number = int(match[1]) if match else -1
    if not 0 <= number <= 65535:
        _refuse(hostport, "is not a valid host or port")
    return number


def _merged(base_authority: str | None, base_path: str, path: str) -> str:
    """A relative path in the place of the last segment of ``base_path`` (RFC 3986 section 5.2.3)."""
    if base_authority is not None and not base_path:
        return "/" + path
    return base_path[: base_path.rfind("/") + 1] + path


def _without_dots(path: str) -> str:
    """``path`` without "." and ".." segments, in one pass (RFC 3986 section 5.2.4)."""
    if "." not in path:
        return path
    segments = path.split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            if len(kept) > 1 or (kept and kept[0]):
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    text = "/".join(kept)
    return "/" + text if path[0] == "/" and not text.startswith("/") else text


# -- characters --


def _encoded(text: str, refused: re.Pattern[str]) -> str:
    """``text`` with every ``refused`` character as %XX of its UTF-8 bytes, and triples in upper case.

    A percent sign that starts no triple means that the text was not encoded yet: then each one is encoded.
    """
    if "%" in text:
        text, triples = _PERCENT_RE.subn(lambda match: match[0].upper(), text)
        if triples != text.count("%"):
            text = text.replace("%", "%25")
    if refused.search(text) is None:
        return text
    # A lone surrogate is no UTF-8, but three bytes that say which one it was.
    return refused.sub(_as_triples, text)


def _as_triples(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


# -- hosts --


def normalize_host(host: str | None, scheme: str | None) -> str | None:
    """``host`` as it goes into pool keys, Host and SNI: lower case, IDNA, zone identifier after a bare "%".

    A percent-encoded octet is decoded if it needs no encoding, else kept.  Hosts of schemes other than http and https
    are checked for delimiters only.  LocationParseError if it is neither an address nor a name.  An empty label
    is for ``dial`` to refuse.
    """
    host = exact(host)
    if not host:
        return host
    if host[0] == "[" or ":" in host:
        return _normal_ipv6(host, scheme)
    if scheme not in _NORMALISED:
        return host if _foreign_host.fullmatch(host) else _refuse(host, "is not a valid host")
    if "%" in host:
        host = _without_needless_triples(host)
    if not host.isascii():
        host = idna_encode(host)
    host = host.lower()
    if "%" in host:
        host = _triple.sub(lambda match: match[0].upper(), host)
    if not _reg_name.fullmatch(host):
        _check_host_characters(host)
        _refuse(host, "is not a valid host")
    name = host[:-1] if host[-1] == "." else host
    labels = name.split(".")
    if not name or len(name) > _MAX_NAME or not all(len(label) <= _MAX_LABEL for label in labels):
        _refuse(host, "is not a valid host: a label is too long, or there is none")
    for label in labels:
        if label.startswith("xn--"):
            _check_a_label(label)
    return host


def _why_no_host(host: str) -> str:
    if _control_triple.search(host):
        return "has an invalid percent-encoded control character in its host"
    return "is not a valid host"


def _check_host_characters(host: str) -> None:
    """Refuse what no host has, before it is asked what else may be wrong."""
    found = _control_or_blank.search(host)
    if found is not None:
        _refuse(host, f"contains invalid character {found[0]!r}")


def _without_needless_triples(host: str) -> str:
    """A name whose triples are only those that its characters need; refused if one stands for a control character."""
    if len(_triple.findall(host)) != host.count("%") or _control_triple.search(host):
        _refuse(host, _why_no_host(host))
    return _triple.sub(_decoded_unreserved, host)


def _decoded_unreserved(match: re.Match[str]) -> str:
    """A triple's character if it is unreserved (RFC 3986 section 6.2.2.2), else the triple."""
    char = chr(int(match[0][1:], 16))
    return char if _unreserved.fullmatch(char) else match[0]


def _normal_ipv6(host: str, scheme: str | None) -> str:
    """An IPv6 literal, in brackets or bare, with its zone identifier after "%" (RFC 6874)."""
    is_bracketed = host[0] == "[" and host[-1] == "]"
    address, mark, zone = (host[1:-1] if is_bracketed else host).partition("%")
    if not _is_ipv6(address) or (mark and not _zone.fullmatch(zone)):
        _refuse(host, f"{_why_no_host(zone)} or port")
    if scheme not in _NORMALISED:
        return host
    if mark:
        zone = zone[2:] if zone.startswith("25") and len(zone) > 2 else zone
        if zone.startswith("25") and len(zone) > 2:
            _refuse(host, "names a zone that would be another one when it is read again")
        mark = "%" + _triple.sub(lambda match: match[0].upper(), zone)
    text = address.lower() + mark
    return f"[{text}]" if is_bracketed else text


def _is_ipv6(text: str) -> bool:
    """Whether ``text`` is an IPv6 address as RFC 4291 section 2.2 writes it."""
    head, gap, tail = text.partition("::")
    groups = [group for half in (head, tail) if half for group in half.split(":")]
    count = len(groups)
    if groups and "." in groups[-1]:
        octets = groups.pop().split(".")
        if len(octets) != 4 or not all(_octet.fullmatch(octet) for octet in octets) or text.endswith(":"):
            return False
        count += 1
    return (count < 8 if gap else count == 8) and all(_hextet.fullmatch(group) for group in groups)


def idna_encode(host: str) -> str:
    """A host name with non-ASCII labels as A-labels (RFC 5891); refuses what would have to be mapped first.

    The length is checked before, because encoding takes quadratic time.
    """
    if len(host) > _MAX_NAME:
        _refuse(host[:64] + "...", "is not a valid host: more than 253 characters")
    if any(not char.isascii() and _has_ascii(char.lower()) for char in host):
        _refuse(host, "has a letter that turns into ASCII in lower case")
    return ".".join(label if label.isascii() else _idna_label(label) for label in host.lower().split("."))


def _has_ascii(text: str) -> bool:
    return any(char.isascii() for char in text)


def _idna_label(label: str) -> str:
    """One non-ASCII label in lower case as an A-label, by the idna package where there is one."""
    try:
        import idna  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return _idna_label_2003(label)
    try:
        return idna.encode(label, strict=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        _refuse(label, "is not a valid IDNA label")


def _idna_label_2003(label: str) -> str:
    """The same by the standard library, which knows IDNA 2003 only: refused where the two disagree.

    Letters, marks and digits alone, and only if the way back leads to the same label (it does not for "ß").
    """
    from unicodedata import category

    try:
        if all(category(char) in ("Ll", "Lo", "Lm", "Mn", "Mc", "Nd") or char == "-" for char in label):
            encoded = label.encode("idna")
            if b"." not in encoded and encoded.decode("idna") == label:
                return encoded.decode("ascii")
    except UnicodeError:
        pass
    _refuse(label, "is not a label the standard library can encode: Unable to parse URL without the 'idna' module")


def _check_a_label(label: str) -> None:
    """Refuse an xn-- label that is not the one encoding of a non-ASCII label (RFC 5890 section 2.3.2.1)."""
    from unicodedata import normalize

    try:
        text = label[4:].encode("ascii").decode("punycode")
        is_canonical = text.encode("punycode").decode("ascii") == label[4:]
    except (UnicodeError, ValueError, OverflowError):
        is_canonical = False
    if is_canonical:
        visible = text.replace("\u200c", "").replace("\u200d", "")
        is_canonical = not text.isascii() and visible.isprintable()
        is_canonical = is_canonical and normalize("NFKC", text) == text == text.lower()
    if not is_canonical:
        _refuse(label, "is not a valid IDNA label")


# -- urllib3 names --

_encode_target = encode_target
_normalize_host = normalize_host
