"""What is fuzzed: functions that take any bytes, and fail if poollib breaks one of its promises.

Nothing but poollib's own errors may come out.  What arrives in pieces is read whole and again in small ones: both ways
must come to the same verdict and content, and nothing may come out that is longer than what went in allows.  Where
another reading of the standard is at hand (``plain_host``, ``plain_events``, ``email``), it must be the same.
"""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import email.utils
import re
from collections.abc import Callable
from urllib.parse import unquote

from poollib.base.url import DEFAULT_PORTS, Url, _parse_any, encode_target, join, parse_url
from poollib.exceptions import HTTPError, InvalidHeader, LocationParseError, LocationValueError
from poollib.http1.body_reader import ChunkedBody
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.http1.head_template import HeadTemplate
from poollib.http1.multipart import MultipartStream, RequestField
from poollib.http1.request_head import check_name, check_target, check_value, request_head
from poollib.http1.response_head import Head, complete_head, parse_head
from poollib.http1.sse import Event, EventParser
from poollib.policy.retry import Retry, _unix_time
from tests.bytes.feeds import Feed, Pieces, chunks_of, read_response
from tests.fuzz.nowhere import Nowhere, Visit

LIMITS = DEFAULT_LIMITS._replace(
    head_bytes=2048, line_bytes=512, header_lines=20, chunk_line_bytes=64, trailer_bytes=256
)
Outcome = tuple[object, ...]


def outcome(read: Callable[[list[bytes]], Outcome], pieces: list[bytes]) -> Outcome:
    """What came out, or that poollib refused it; any other error is a find."""
    try:
        return read(pieces)
    except HTTPError:
        return ("refused",)


def both_ways(read: Callable[[list[bytes]], Outcome], data: bytes) -> Outcome:
    """The outcome, which must not depend on how the bytes were cut."""
    whole = outcome(read, [data])
    step = 1 + len(data) % 7
    cut = outcome(read, [data[at : at + step] for at in range(0, len(data), step)])
    assert whole == cut, (data, whole, cut)
    return whole


def head(data: bytes) -> None:
    """A response's head."""

    def read(pieces: list[bytes]) -> Outcome:
        _, found, end = complete_head(Pieces(pieces).recv, b"", LIMITS)
        assert found.status >= 100
        assert found.length < 10**18
        pairs = found.pairs()
        assert not any(set(name + value) & set("\r\n\0") for name, value in pairs)
        assert end <= LIMITS.head_bytes
        return (found.version, found.status, found.reason, found.length, found.keep_alive, *pairs)

    both_ways(read, data)
    with contextlib.suppress(HTTPError):
        by_template(data)


def by_template(data: bytes) -> None:
    """The same head after others of its form: what is read by what they have in common says what the parser says."""
    found = parse_head(data)
    if found is None:
        return
    raw = data[: found[1]]
    line, fields = raw[: raw.index(b"\n")], raw[raw.index(b"\n") :]
    others = [line + fields.translate(_NEXT_DIGIT), line + fields.replace(b": ", b": 1")]
    template = HeadTemplate.of(found[0], raw)
    for other in others:
        parsed = parse_head(other)
        if template is not None and parsed is not None:
            template = template.widened(parsed[0], other) or template
    for probe in (raw, *others, data.replace(b"a", b"\r"), data.replace(b"1", b"\n"), data.replace(b"0", b"1 ")):
        known = template and template.read(probe)
        if known:
            parsed = parse_head(probe)
            assert parsed is not None
            assert known[1] == parsed[1]
            assert [getattr(known[0], name) for name in _SAID] == [getattr(parsed[0], name) for name in _SAID]
            assert known[0].pairs() == parsed[0].pairs()


_NEXT_DIGIT = bytes.maketrans(b"0123456789", b"1234567890")
_SAID = [name for name in Head.__slots__ if not name.startswith("_")]


def chunks(data: bytes) -> None:
    """A chunked body."""

    def read(pieces: list[bytes]) -> Outcome:
        source = Pieces(pieces)
        body = ChunkedBody(Feed(source.recv, source.recv_into), True, None, LIMITS)
        content = body.read_all()
        assert len(content) <= len(data)
        assert body.received == len(content)
        return (content, *body.trailers)

    both_ways(read, data)
    by_chunk(data)


def by_chunk(data: bytes) -> None:
    """The same, chunk by chunk, as ``stream`` reads it."""

    def read(pieces: list[bytes]) -> Outcome:
        source = Pieces(pieces)
        body = ChunkedBody(Feed(source.recv, source.recv_into), True, None, LIMITS)
        return tuple(chunks_of(body, 100))

    both_ways(read, data)


def response(data: bytes) -> None:
    """A whole response to GET, or to HEAD where the first byte is odd."""
    method = "HEAD" if data[:1] and data[0] % 2 else "GET"

    def read(pieces: list[bytes]) -> Outcome:
        seen = read_response(pieces, method, limits=LIMITS)
        assert len(seen.content) <= len(data)
        return (seen.head.status, seen.content, *seen.body.trailers)

    both_ways(read, data[1:])


def multipart(data: bytes) -> None:
    """A form whose names and contents are anybody's: another parser must find exactly its fields."""
    parts = data.split(b"\xff")[:6]
    names = [part[: len(part) // 2].decode("latin-1") for part in parts]
    fields = []
    for name, part in zip(names, parts, strict=True):
        field = RequestField(name, part, filename=name[::-1] or None)
        field.make_multipart(content_type=None)
        fields.append(field)
    try:
        stream = MultipartStream(fields, "fuzz" * 8)
    except ValueError:
        assert any("\0" in name for name in names)  # the one character that a name can't have
        return
    body = b"".join(stream)
    assert stream.content_length == len(body)
    if any(b"fuzzfuzz" in part for part in parts):
        return
    head = f"Content-Type: {stream.content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    found = message.get_payload() if message.is_multipart() else []
    assert len(found) == len(parts), (data, body)


def request(data: bytes) -> None:
    """A request's head from anybody's parts: refused, or exactly one request."""
    texts = [part.decode("utf-8", "replace") for part in data.split(b"\xff", 3)]
    method, target, name, value = (*texts, "", "", "", "")[:4]
    try:
        check_target(target), check_name(name), check_value(name, value)
        sent = request_head(method, target, [(name, value)])
    except ValueError:
        return
    lines = sent.split(b"\r\n")
    assert len(lines) == 4
    assert lines[2:] == [b"", b""]
    assert lines[0].split(b" ") == [method.encode(), target.encode(), b"HTTP/1.1"]
    assert not set(sent.replace(b"\r\n", b"")) & {0, 10, 13}


def events(data: bytes) -> None:
    """A stream of server-sent events."""
    limit = 200

    def read(pieces: list[bytes]) -> Outcome:
        parser = EventParser("before", limit)
        found = [event for piece in pieces for event in parser.feed(piece)]
        assert sum(len(event.data.encode()) for event in found) <= 3 * len(data)  # U+FFFD for a byte is three
        return (*found, parser.last_event_id, parser.retry_ms)

    seen = both_ways(read, data)
    if seen == ("refused",):
        assert len(data) > limit
    else:
        assert seen[:-2] == tuple(plain_events(data)), (data, seen)


def plain_events(data: bytes) -> list[Event]:
    """The events of a whole stream, by the steps of the HTML standard."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    found: list[Event] = []
    kind, lines, last_id, retry_ms = "", [], "before", None
    for line in re.split("\r\n|\r|\n", text)[:-1]:  # what no line end follows is dropped
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if lines:
                found.append(Event(kind or "message", "\n".join(lines), last_id, retry_ms))
            kind, lines, retry_ms = "", [], None
        elif name == "event":
            kind = value
        elif name == "data":
            lines.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and re.fullmatch("0*[0-9]{1,15}", value):
            retry_ms = int(value)
    return found


def retry_after(data: bytes) -> None:
    """A Retry-After field: seconds, a moment that others read the same, or InvalidHeader."""
    text = data.decode("utf-8", "surrogateescape")
    retry = Retry(retry_after_max=1000)
    try:
        wait_s = retry.parse_retry_after(text)
    except InvalidHeader:
        assert not re.fullmatch("[0-9]+", text)
        return
    assert 0 <= wait_s <= 1000
    text = text.strip(" \t\r\n")
    if re.fullmatch("[0-9]+", text):
        assert wait_s == min(int(text[-4300:]), 1000) or len(text) > 4
        return
    moment = _unix_time(text)
    assert moment is not None
    if ":60" in text or re.search("[- ]([0-9]{2}|0[0-9]{3})( [0-9]{2}:|$)", text):  # leap seconds, short years: ours
        return
    with contextlib.suppress(ValueError):  # what it does not know is ours, too
        assert moment == email.utils.parsedate_to_datetime(text + " GMT" * text[-1:].isdigit()).timestamp(), text


def url(data: bytes) -> None:
    """A URL: its text means the same again, and a request for it goes where any reader would say."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        parsed = parse_url(text)
    except LocationParseError:
        assert isinstance(outcome(lambda pieces: (_parse_any(text),), []), tuple)
        target(text)
        return
    if parsed.scheme is not None or not re.match("[A-Za-z][A-Za-z0-9+-]*:", parsed.url):  # "host:80" reads as a scheme
        assert parse_url(parsed.url) == parsed, (text, parsed)
    assert not text or _parse_any(text) == parsed, text
    if parsed.scheme in DEFAULT_PORTS and parsed.host is not None:
        assert parse_url(join("http://base.example/a/b?c#d", text)) == parsed, text
    target(text)
    if parsed.scheme in DEFAULT_PORTS:
        dialled(text, parsed)


def target(text: str) -> None:
    """A request's target: refused, or clean and the same when it is encoded again."""
    try:
        encoded = encode_target(text)
    except LocationParseError:
        return
    assert encoded == "*" or encoded[0] == "/", text
    assert re.fullmatch("[!-~]+", encoded), text
    assert "#" not in encoded
    assert encode_target(encoded) == encoded
    assert request_head("GET", encoded, []).count(b"\r\n") == 2


NETWORK = Nowhere()


def dialled(text: str, parsed: Url) -> None:
    """A request for a URL reaches the host that it names, and tells it so."""
    NETWORK.expect()
    try:
        NETWORK.manager().request("GET", text)
    except LocationValueError:
        assert parsed.host is None or not parsed.host.strip("[]."), text
        return
    (visit,) = NETWORK.visits
    assert visit.scheme == parsed.scheme
    assert visit.uds is None
    assert same_host(visit.host, plain_host(text)), (text, visit.host)
    assert visit.port == (DEFAULT_PORTS[visit.scheme] if parsed.port is None else parsed.port), text
    check_request(visit)


def plain_host(text: str) -> str:
    """The host of a URL that has an authority, by the regular expression of RFC 3986 appendix B."""
    match = re.match("(?:[A-Za-z][A-Za-z0-9+.-]*:)?//([^/?#]*)", text)
    assert match is not None, text
    hostport = match[1].rpartition("@")[2]
    return hostport[1 : hostport.index("]")] if hostport[:1] == "[" else hostport.partition(":")[0]


def same_host(dialled: str, named: str) -> bool:
    """Whether the host that was dialled is the one that a URL names: case, escapes and A-labels aside."""
    if ":" in named:
        address, _, zone = named.partition("%")
        zone = re.sub("^25(?=.)", "", zone)
        seen, _, seen_zone = dialled.strip("[]").partition("%")
        return seen == address.lower() and seen_zone.lower() == zone.lower()
    labels, named_labels = dialled.split("."), unquote(named).lower().split(".")
    return dialled.isascii() and len(labels) == len(named_labels) and all(map(same_label, labels, named_labels))


def same_label(dialled: str, named: str) -> bool:
    decoded = dialled[4:].encode().decode("punycode") if dialled[:4] == "xn--" else dialled
    return named in (unquote(dialled).lower(), decoded)


def check_request(visit: Visit) -> None:
    """What was sent on a connection is one request, for the host that was dialled."""
    assert visit.target[:1] == b"/"
    assert b"#" not in visit.target
    host = visit.host.rstrip(".").strip("[]").partition("%")[0]  # http.client of 3.13 keeps addresses without brackets
    host = f"[{host}]" if ":" in host else host
    port = "" if visit.port == DEFAULT_PORTS[visit.scheme] else f":{visit.port}"
    assert visit.fields["host"] == host + port, visit.sent


BASES = ("http://a.example/b/c?d", "https://a.example:8443/", "http://[::1]:81/x/", "https://u:p@b.example./")
STATUSES = (b"301", b"302", b"303", b"307", b"308")
SECRETS = {"Authorization": "Bearer secret1", "Cookie": "c=secret2", "proxy-authorization": "Basic secret3"}


def redirect(data: bytes) -> None:
    """Locations from anybody, one after the other: credentials stay, and only the web is visited."""
    kind = data[0] if data else 0
    base, status = BASES[kind % len(BASES)], STATUSES[kind // len(BASES) % len(STATUSES)]
    locations = [re.sub(rb"[\r\n\0]", b"", part) for part in data[1:].split(b"\0", 2)]
    head = b"HTTP/1.1 %b Moved\r\nConnection: close\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n"
    NETWORK.expect([head % (status, location) for location in locations])
    manager = NETWORK.manager(retries=Retry(None, read=False, other=0, redirect=3, retry_after_max=0))
    try:
        if kind < 128:
            manager.request("GET", base, headers=SECRETS)
        else:
            manager.connection_from_url(base).request("GET", "/b/c?d", headers=SECRETS)
    except HTTPError:
        pass
    check_chain(base, locations)
    assert kind < 128 or len({(visit.scheme, visit.host, visit.port) for visit in NETWORK.visits}) == 1


def check_chain(base: str, locations: list[bytes]) -> None:
    """Every connection led where the Location before it says, and credentials ended with the first other origin."""
    visits = NETWORK.visits
    first = at = visits[0]
    holds = True
    for visit, location in zip(visits, ["", *(raw.decode("latin-1").strip(" \t") for raw in locations)], strict=False):
        check_request(visit)
        assert visit.uds is None
        match = re.match("(?:([A-Za-z][A-Za-z0-9+.-]*):)?(//)?", location)
        assert match is not None
        scheme, has_authority = match.groups()
        assert visit.scheme == (scheme or at.scheme).lower(), location
        if has_authority:
            named = plain_host(location)
            with contextlib.suppress(UnicodeError):  # UTF-8 is what it means, though a head gives it as Latin-1
                named = named.encode("latin-1").decode()
            assert same_host(visit.host, named), (location, visit.host)
        else:
            assert scheme is None, location
            assert (visit.host, visit.port) == (at.host, at.port), location
        holds = holds and origin_of(visit) == origin_of(first)
        assert (b"secret" in visit.sent.lower()) == holds or b"secret" in location.encode().lower(), location
        at = visit


def origin_of(visit: Visit) -> tuple[str, str, int]:
    return visit.scheme, visit.host.rstrip("."), visit.port


TARGETS: dict[str, Callable[[bytes], None]] = {
    "head": head,
    "chunks": chunks,
    "response": response,
    "multipart": multipart,
    "request": request,
    "url": url,
    "redirect": redirect,
    "events": events,
    "retry_after": retry_after,
}
