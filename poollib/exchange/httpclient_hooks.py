"""A request through http.client's methods, for those who have replaced one of them.

A subclass, or an agent that traces programs, may have put a method of its own in the place of one that a request goes
through in ``http.client``.  Then ``connection`` lets :func:`send` and :func:`receive` do what its direct path does, by
calling those methods, so that each is called as ``http.client`` and urllib3 call it: ``putrequest``, ``putheader``,
``endheaders`` (which calls ``_send_output``, and that ``send``), ``send`` for each piece of the body, ``getresponse``
(which makes a ``response_class``).  The head is still read by ``response_head``, unless the response class is another
than ``http.client``'s.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import attrgetter
from types import FunctionType
from typing import Any, Generic, Protocol, TypeVar

from ..base.headers import HTTPHeaderDict
from ..base.version import VERSION
from ..exceptions import HTTPError, ProtocolError, ReadTimeoutError, name_phase
from ..http1.body_reader import Body, BodyState
from ..http1.request_body import expects_body
from ..http1.request_head import SKIP_HEADER, Fields, check_name
from ..http1.response_body_sources import FileBody
from .request_value import OutgoingRequest
from .transport import Transport
from .upload import Payload, cut, payload_for, size_of

USER_AGENT = f"python-poollib/{VERSION}"  # compat puts urllib3's here while poollib is installed as urllib3

Base = http.client.HTTPConnection
# The methods that may be replaced; ``connection`` compares them at every request, since agents come late and go again.
# By ``is``, name by name: wrapt's wrappers, which most agents use, are equal to what they wrap. That takes 0.19 us
# (CPython 3.11, 2026-11; 0.13 on 3.12), a function around it 0.06 us more. To look at the methods of the connection
# itself would make five bound methods each time, or a dict for each connection.
own_hooks = attrgetter("putrequest", "putheader", "endheaders", "send", "_send_output", "debuglevel")
base_hooks = attrgetter("putrequest", "putheader", "getresponse")


def untouched(hooks: Iterable[object]) -> tuple[object, ...]:
    """The methods as they are, and None, which no method is, for one that an agent has replaced before we came."""
    return tuple(hook if hook == 0 or _is_genuine(hook) else None for hook in hooks)


def _is_genuine(hook: object) -> bool:
    return type(hook) is FunctionType and hook.__globals__["__name__"] in (
        "http.client",
        f"{__package__}.request_sender",
    )


class ReadResponse(Protocol):
    """What is asked here of urllib3's response around http.client's."""

    status: int
    version: int
    reason: str | None
    chunked: bool
    length_remaining: int | None
    body_source: Body | None

    @property
    def headers(self) -> HTTPHeaderDict: ...
    @property
    def version_string(self) -> str: ...
    def release_conn(self) -> None: ...


R = TypeVar("R", bound=ReadResponse)


class PatchedClass:
    """Asked in the place of a connection's class where its requests shall go through http.client's methods."""

    putrequest = putheader = endheaders = send = _send_output = debuglevel = None


def send(conn: Transport, request: OutgoingRequest, headers: Iterable[tuple[str, str]], fields: Fields) -> None:
    """Send a request by calling http.client's methods on ``conn``; what is sent is checked before."""
    method = request.method
    payload = _payload(conn, request, fields)
    framed = [] if payload is None else _framing(payload, fields)
    if payload is None and expects_body(method):
        framed = [("Content-Length", "0")]
    names = fields.names
    conn.putrequest(method, request.target, skip_host="host" in names, skip_accept_encoding="accept-encoding" in names)
    for name, value in framed:
        conn.putheader(name, value)
    if "user-agent" not in names:
        conn.putheader("User-Agent", USER_AGENT)
    for name, value in headers:
        if value != SKIP_HEADER:
            conn.putheader(name, value)
    conn.endheaders()
    if payload is not None:
        _send_body(conn, payload)


def _payload(conn: Transport, request: OutgoingRequest, fields: Fields) -> Payload | None:
    body, chunked = request.body, request.chunked
    trailers = None if conn.request_options is None else conn.request_options.trailers
    is_framed = chunked or fields.content_length is not None or fields.transfer_encoding is not None
    if body is None and not is_framed and trailers is None:
        return None
    payload = payload_for(request.method, body, fields, chunked, conn.blocksize, trailers)
    return payload if conn.request_options is None else payload.telling(conn.request_options.progress)


def _framing(payload: Payload, fields: Fields) -> list[tuple[str, str]]:
    """The field that tells the body's framing, unless the caller gave it."""
    if payload.length is not None:
        return [] if fields.content_length is not None else [("Content-Length", str(payload.length))]
    lines = [] if fields.transfer_encoding is not None else [("Transfer-Encoding", "chunked")]
    if isinstance(payload.trailers, Mapping) and payload.trailers and "trailer" not in fields.names:
        lines.append(("Trailer", ", ".join(map(check_name, payload.trailers))))
    return lines


def _send_body(conn: Transport, payload: Payload) -> None:
    """Send the pieces one by one, exactly as many bytes as announced."""
    left, told = payload.length, payload.told
    options = conn.request_options
    has_deadline = options is not None and options.deadline is not None
    if told is not None:
        told.add(0)
    for piece in payload.pieces if told is None else cut(payload.pieces):
        if has_deadline:
            conn.sock.settimeout(conn.write_timeout_s())
        size = size_of(piece)
        if not size:
            continue
        if left is None:
            conn.send(b"%x\r\n%b\r\n" % (size, bytes(piece)))
        else:
            left -= size
            if left < 0:
                raise ValueError(f"the body is longer than its Content-Length of {payload.length} bytes")
            conn.send(piece)
        if told is not None:
            told.add(size)
    if left:
        raise ValueError(f"the body is {left} bytes shorter than its Content-Length of {payload.length} bytes")
    if left is None:
        conn.send(b"0\r\n" + payload.trailer_bytes())


def receive(conn: Transport, read: Callable[[Any], R], made: Callable[..., R]) -> R:
    """The response by http.client's ``getresponse`` as it is now; ``read(conn)`` is the direct way to read a head,
    ``made(...)`` the response class with urllib3's arguments.

    Errors: what ``read`` raises; ProtocolError for what another response class can't read.
    """
    conn.stand_in("Request-sent")
    try:
        if conn.response_class is not http.client.HTTPResponse:
            return _read_by_theirs(conn, made)
        readers: list[_Reader[R]] = []
        conn.response_class = partial(_Reader, conn, read, readers)  # type: ignore[assignment]  # a maker will do
        try:
            Base.getresponse(conn)
        finally:
            vars(conn).pop("response_class", None)
        return readers[0].response
    finally:
        conn.stand_in("Idle")


class _Reader(http.client.HTTPResponse, Generic[R]):
    """What http.client's ``getresponse`` makes and gives to those who wrapped it: the head, read by ``response_head``.

    It is closed when the body has ended, for those who wait for that.
    """

    response: R

    def __init__(
        self, conn: Transport, read: Callable[[Any], R], readers: list[_Reader[R]], *_: object, **__: object
    ) -> None:
        self._conn, self._read = conn, read
        self.fp = None  # type: ignore[assignment]
        self.will_close = False
        readers.append(self)

    def begin(self) -> None:
        """Read the head; interim responses are passed over."""
        vars(self._conn).pop("response_class", None)
        self.response = response = self._read(self._conn)
        self.status, self.version, self.reason = response.status, response.version, response.reason or ""
        self.code = self.status
        self.headers = self.msg = response.headers  # type: ignore[assignment]  # has a message's methods
        self.chunked, self.length = response.chunked, response.length_remaining
        if response.body_source is None or response.body_source.state is not BodyState.OPEN:
            self.chunked, self.length = False, 0
        else:
            vars(response)["release_conn"] = self._release
        if self._conn.debuglevel > 0:
            print("reply:", repr(f"{response.version_string} {self.status} {self.reason}\r\n"))
            for name, value in response.headers.iteritems():
                print("header:", f"{name}:", value)

    def _release(self) -> None:
        """The body has ended: close, then let the response give its connection back."""
        vars(self.response).pop("release_conn", None)
        self.close()
        self.response.release_conn()


def _read_by_theirs(conn: Transport, made: Callable[..., R]) -> R:
    """The response that a response class of somebody else reads from the socket, by http.client's parser."""
    try:
        theirs = Base.getresponse(conn)
    except (OSError, http.client.HTTPException) as error:
        conn.close()
        failed: HTTPError = ProtocolError("Connection aborted.", error)
        if isinstance(error, TimeoutError):
            failed = ReadTimeoutError(conn, conn.last_request.target, "Read timed out.")
        name_phase(failed, "waiting for the response")
        raise failed from error
    conn.exchange_count += 1
    conn.has_answered = True
    response = _wrapped(conn, theirs, made)
    source = response.body_source
    assert source is not None
    if theirs.will_close:
        response.body_source = _LastBody(theirs, source.left)
    elif theirs.isclosed():
        source.state = BodyState.REUSABLE
    return response


class _LastBody(FileBody):
    """The last body that its connection gives."""

    __slots__ = ()

    def _finish(self) -> None:
        super()._finish()
        self.state = BodyState.CLOSE


def _wrapped(conn: Transport, theirs: http.client.HTTPResponse, made: Callable[..., R]) -> R:
    """The response around one that another response class has read."""
    sent = conn.last_request
    return made(
        body=theirs,
        headers=HTTPHeaderDict(theirs.msg.items()),
        status=theirs.status,
        version=theirs.version,
        version_string="HTTP/1.0" if theirs.version == 10 else "HTTP/1.1",
        reason=theirs.reason,
        preload_content=False,
        decode_content=sent.wanted.decode_content,
        original_response=theirs,
        enforce_content_length=sent.wanted.enforce_content_length,
        request_method=sent.method,
        request_url=sent.target,
    )
