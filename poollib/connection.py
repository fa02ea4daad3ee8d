"""HTTPConnection, HTTPSConnection: one socket, one exchange at a time.

``request`` opens the ``transport`` if there is no socket yet, writes a head and a body; ``getresponse`` reads a head
and gives an ``HTTPResponse`` whose body reader pulls from this connection; a pool asks for both by ``exchange``, with
its ``Request``.  What the bytes mean is said by ``request_head``, ``response_head`` and ``body_reader``, how bodies
leave by ``upload``, what TLS wants by ``tls_transport``; who may use the connection when is the pool's business.
Both classes subclass ``http.client``'s and keep its methods working (``putrequest``, ``putheader``, ``endheaders``,
``send``, ``set_tunnel``, ``sock``), on the same socket and the same reader.  Follows RFC 9112 section 9.
"""

from __future__ import annotations

import datetime
import http.client
import warnings
from collections.abc import Callable, Mapping
from operator import is_
from socket import getdefaulttimeout
from typing import TYPE_CHECKING, Any

from . import response as responses
from .base.deprecations import warn_as_urllib3
from .base.endpoint import TlsSettings
from .base.exact_values import exact
from .base.timeout import _DEFAULT_TIMEOUT as _DEFAULT_TIMEOUT
from .base.timeout import _TYPE_TIMEOUT as _TYPE_TIMEOUT
from .base.timeout import Timeout
from .base.trace import notify
from .exceptions import (
    InvalidResponseError,
    ProtocolError,
    ReadTimeoutError,
    SystemTimeWarning,
    name_phase,
)
from .exchange import httpclient_hooks
from .exchange.httpclient_hooks import Base, base_hooks, own_hooks
from .exchange.proxy_config import ProxyConfig as ProxyConfig
from .exchange.proxy_config import proxy_tls_settings as proxy_tls_settings
from .exchange.request_sender import ALL_OR_NOTHING_BYTES as ALL_OR_NOTHING_BYTES
from .exchange.request_sender import OWN_ROAD, RequestSender, SendLock, may_wait
from .exchange.request_value import AS_USUAL, OutgoingRequest, ResponseOptions
from .exchange.request_value import Options as Options
from .exchange.tls_transport import TlsTransport
from .exchange.transport import PATIENCE, ConnectionState
from .exchange.transport import port_by_scheme as port_by_scheme
from .http1.body_reader import BodyState, ReceiveBuffer, UpgradedBody, body_reader
from .http1.grammar import DEFAULT_LIMITS, RECEIVE_BYTES
from .http1.head_template import learned, shared
from .http1.request_head import (
    Fields,
)
from .http1.response_head import Head, closed_early, complete_head, parse_head
from .net.socket_state import LARGE_BODY_BYTES, receive_ahead, set_timeout
from .net.tls_sessions import sessions
from .response import HTTPResponse

if TYPE_CHECKING:
    from .client.keyword_types import Body
    from .exchange.request_value import Request

_IDLE, _SENDING, _AWAITING, _READING, _CLOSED = (
    ConnectionState.IDLE,
    ConnectionState.SENDING,
    ConnectionState.AWAITING,
    ConnectionState.READING,
    ConnectionState.CLOSED,
)


#: No clock that is right tells a day before this one.
RECENT_DATE = datetime.date(2025, 1, 1)


class HTTPConnection(RequestSender):
    """A connection for plain HTTP; arguments are urllib3's.

    ``timeout`` (seconds) bounds connecting, and each send and receive where ``read_timeout`` is not set.
    ``socket_options``: for ``setsockopt``, before connecting. ``blocksize``: bytes read from a file body at a time.
    """

    # -- sending --

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: Body | None = None,
        headers: Mapping[str, Any] | None = None,
        *,
        chunked: bool = False,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
    ) -> None:
        """Send a request; everything is checked before a byte leaves, and before a socket is opened.

        ValueError, TypeError for what must not be sent; WriteTimeoutError, ProtocolError, and what ``connect`` raises.
        """
        if type(method) is not str or type(url) is not str:
            method, url = exact(method), exact(url)
        request = OutgoingRequest(method, url, body, headers)
        request.chunked = chunked
        request.wanted = ResponseOptions(preload_content, decode_content, enforce_content_length)
        self._send_request(request, headers)

    def begin(self, options: Options | None, timeout: Timeout) -> Timeout | None:
        """Take the limits of the exchange that follows; its running clock if it has one: ``total`` counts from here."""
        self.requests_sent += 1
        self.request_options = options
        if timeout.total is None:
            connect, read = timeout._connect, timeout._read
            self.timeout = getdefaulttimeout() if connect is _DEFAULT_TIMEOUT else connect
            self.read_timeout = getdefaulttimeout() if read is _DEFAULT_TIMEOUT else read
            return None
        clock = timeout.clone()
        clock.start_connect()
        self.timeout = Timeout.resolve_default_timeout(clock.connect_timeout)
        self.read_timeout = clock.read_timeout
        return clock

    def exchange(
        self,
        request: Request,
        headers: Mapping[str, Any] | None,
        validate: Callable[[HTTPConnection], object],
        send_lock: SendLock | None = None,
    ) -> HTTPResponse:
        """One exchange from a pool's value, on the road that nobody has replaced a method of; errors as of
        ``request`` and ``getresponse``.

        ``headers``: those of the request, with what a forwarding proxy wants to know; ``validate`` is called before a
        byte is sent; ``send_lock``: where a short request waits for its turn; None: it does not.
        """
        options = request.options
        if options is None and request.trace is not None and self.sock is None:
            options = request.all_options()
        clock = self.begin(options, request.timeout)
        validate(self)
        if send_lock is None or not may_wait(self, request.body):
            self._send_request(request, headers)
        else:
            send_lock.send(self._send_request, request, headers)
        sock = self.sock
        if (
            sock is None
            or clock is not None
            or (options is not None and options.deadline is not None)
            or self._is_foreign
            or sock.gettimeout() != self.read_timeout
        ):
            self.limit_receives(clock)
        if (options is None or options.is_time_only) and not self._wants_upgrade:
            return self._usual_answer() or self.getresponse()
        return self.getresponse()

    def limit_receives(self, clock: Timeout | None) -> None:
        """Let the socket wait for an answer as long as the exchange's limits say. ReadTimeoutError: no time is left."""
        read_s = self.read_timeout if clock is None else clock.read_timeout
        sock, options = self.sock, self.request_options
        if sock is None:
            return
        if read_s == 0:
            raise ReadTimeoutError(self, self.last_request.target, f"Read timed out. (read timeout={read_s})")
        self.read_timeout = read_s
        wait_s = Timeout.resolve_default_timeout(read_s)
        if options is not None and options.deadline is not None:
            wait_s = options.deadline.cap_s(wait_s, "waiting for the response")
        if set_timeout(sock, wait_s) and isinstance(self, HTTPConnection):
            self._wait_in_kernel()

    def request_chunked(
        self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """As ``request`` with ``chunked=True``."""
        warn_as_urllib3(
            "HTTPConnection.request_chunked() is deprecated and will be removed in urllib3 v3.0."
            " Instead use HTTPConnection.request(..., chunked=True)."
        )
        self.request(method, url, body=body, headers=headers, chunked=True)

    # -- several requests in one send, as pipeline/batch has them --

    def open_batch(self) -> ReceiveBuffer | None:
        """Where the answers to several requests come in: the connection is open, and whoever asks says what is sent.

        None: a program has replaced a method that requests go through, so they must go through it one by one.
        Errors as of ``connect``.
        """
        hooks = (*own_hooks(self._hooks), *base_hooks(Base), self.response_class)
        if not all(map(is_, hooks, OWN_ROAD)):
            return None
        if self.sock is None:
            self.connect()
        if self._attached_socket is not self.sock:
            self._attach_socket()
        elif self.exchange_state is not _IDLE:
            raise http.client.CannotSendRequest(f"the last exchange is not over: {self.exchange_state.value}")
        self._close_asked = self._wants_upgrade = self.has_answered = self._drained = False
        self.exchange_state = _SENDING
        return self._receive_buffer

    def head_of(self, method: str, target: str, fields: Fields) -> bytes:
        """The bytes of a request without a body."""
        return self._prepare(method, target, None, fields, False)[0]

    # -- receiving --

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """The response to the last request; interim ones (1xx) are read past and kept in ``response.interim``.

        ReadTimeoutError, ProtocolError, InvalidResponseError; each leaves the connection closed.
        """
        if self._through_hooks or self.response_class is not http.client.HTTPResponse:
            self._through_hooks = self._drained = False
            return httpclient_hooks.receive(self, _GETRESPONSE, responses.HTTPResponse)
        if self.sock is None:
            if self.has_answered and self.exchange_state is not _AWAITING:
                raise http.client.ResponseNotReady("no request was sent")
            closed = ProtocolError("Connection aborted.", http.client.ResponseNotReady("the connection is closed"))
            closed.phase = "waiting for the response"
            raise closed from closed.args[1]
        if self._attached_socket is not self.sock:
            self._attach_socket()
        incoming = self._receive_buffer
        assert incoming is not None
        if self.has_answered and self.exchange_state is not _AWAITING:
            raise http.client.ResponseNotReady("no request was sent")
        try:
            data, head, end = self._read_head(incoming)
            while head.status < 200 and head.status != 101:
                self._note_interim(head)
                data, head, end = complete_head(incoming.recv, data[end:], self._limits())
            self.exchange_count += 1
            if self._wants_upgrade or head.status == 101:
                response = self._respond_to_upgrade(incoming, head, data, end)
            else:
                response = self._respond(incoming, head, data, end)
        except BaseException as error:
            name_phase(error, "waiting for the response")
            self.close()
            raise
        if self._interim:
            response.interim, self._interim = tuple(self._interim.kept), None
        if not self.last_request.wanted.decode_content:
            response.decode_content = False
        return response

    def _usual_answer(self) -> HTTPResponse | None:
        """The response to a request in the usual form, as ``getresponse`` gives it; None: what came is left for that.

        Most answers come in one receive, with a body that is neither coded nor cut, and leave the connection open. A
        server's heads mostly differ in a few values, or not at all: those are not read again (``http1/head_template``).
        """
        incoming, sent = self._receive_buffer, self.last_request
        if (
            incoming is None
            or incoming.data
            or self._attached_socket is not self.sock
            or self._close_asked
            or self._interim
            or self._session_at is not None  # to be kept at the end of the first response
            or sent.method not in _ANSWERED_WITH_BODY
            or self.response_class is not http.client.HTTPResponse
            or self._through_hooks
        ):
            return None
        try:
            data = incoming.recv(RECEIVE_BYTES)
            if not data:
                raise closed_early(data)
            self.has_answered = True
            found = self._find_head(data)
            if found is None or found[0].status < 200:
                incoming.data = data
                return None
            head, end = found
            if len(data) - end != head.length or not head.is_plain or sent.wanted is not AS_USUAL:
                self.exchange_count += 1
                response = self._respond(incoming, head, data, end)
                if not sent.wanted.decode_content:
                    response.decode_content = False
                return response
        except BaseException as error:
            name_phase(error, "waiting for the response")
            self.close()
            raise
        self.exchange_count += 1
        self.idle_limit_s, self.exchange_state = head.idle_limit_s, _IDLE
        return responses.HTTPResponse.received(head, None, data[end:], sent.method, sent.target)

    def _respond(self, incoming: ReceiveBuffer, head: Head, data: bytes, end: int) -> HTTPResponse:
        """The response for a head; ``data[end:]`` is what was received behind it."""
        sent = self.last_request
        method, url, wanted = sent.method, sent.target, sent.wanted
        length = head.length
        if length < 0 or head.status != 200 or method not in _ANSWERED_WITH_BODY:
            length = head.body_length(method)
        keep = head.keep_alive and not self._close_asked and head.requests_left != 0
        self.idle_limit_s = head.idle_limit_s
        options = self.request_options
        decodes = head.content_encoding and wanted.decode_content
        limit = None
        if options is not None:
            limit = _size_limit(options, bool(decodes))
            if options.trace is not None:
                notify(options.trace, "head_read", head.status, head.reason)
        if len(data) - end == length and limit is None and wanted.preload_content and not decodes:
            if keep and options is None and self._session_at is None:
                self.exchange_state = _IDLE
            else:
                self.response_ended(keep)
            return responses.HTTPResponse.received(head, None, data[end:], method, url)
        incoming.data, incoming.at = (data, end) if end < len(data) else (b"", 0)
        self.exchange_state = _READING
        if length >= LARGE_BODY_BYTES:
            receive_ahead(self.sock)
        limits = DEFAULT_LIMITS if options is None else options.limits
        body = body_reader(incoming, length, keep, limit, limits, wanted.enforce_content_length)
        response = responses.HTTPResponse.received(head, body, None, method, url)
        if options is not None:
            response.max_decoded_size = options.max_decoded_size
        if not wanted.enforce_content_length:
            response.enforce_content_length = False
        if body.state is BodyState.OPEN:
            response.hold(self)
        else:
            self.response_ended(body.state is BodyState.REUSABLE)
        return response

    def _respond_to_upgrade(self, incoming: ReceiveBuffer, head: Head, data: bytes, end: int) -> HTTPResponse:
        """The response to CONNECT or Upgrade: one that hands the socket over, or an ordinary one.

        A connection that saw CONNECT serves nothing else whatever the answer (RFC 9110 section 9.3.6).
        """
        method, url = self.last_request.method, self.last_request.target
        self._wait_in_python()  # the socket may change hands
        if head.status == 101 and not self._wants_upgrade:
            raise InvalidResponseError("101 Switching Protocols, which nobody asked for (RFC 9110 section 15.2.2)")
        if method == "CONNECT":
            self._close_asked = True
        if head.status != 101 and not (method == "CONNECT" and head.status < 300):
            return self._respond(incoming, head, data, end)
        incoming.data, incoming.at = data[end:], 0
        self.exchange_state = _READING
        if (trace := self._trace()) is not None:
            notify(trace, "head_read", head.status, head.reason)
        response = responses.HTTPResponse.received(head, UpgradedBody(incoming), None, method, url)
        response.hold(self)
        return response

    def _read_head(self, incoming: ReceiveBuffer) -> tuple[bytes, Head, int]:
        """Received bytes, the head at their start, and where it ends."""
        data = incoming.data
        if data:  # heard while the body was being sent
            incoming.data = b""
        else:
            receive = incoming.recv
            data = self._receive_head_alone() if self._wants_upgrade else receive(RECEIVE_BYTES)
            if not data:
                raise closed_early(data)
            self.has_answered = True
            if self.request_options is not None and self.request_options.trace is not None:
                notify(self.request_options.trace, "first_byte", self.last_request.method, self.last_request.target)
        if self.request_options is None or self.request_options.is_time_only:
            found = self._find_head(data)
            if found is not None:
                return data, *found
        return complete_head(incoming.recv, data, self._limits())

    def _find_head(self, data: bytes) -> tuple[Head, int] | None:
        """The head at the start of ``data``, by the known form or parsed, and where it ends; None: more is needed."""
        known = self.known_head
        found = None if known is None else known.read(data)
        if found is not None:
            self._known_misses = 0
            return found
        found = parse_head(data)
        if found is not None and (known is not None or self.exchange_count % 16 == 1):
            self._keep_head(found[0], data[: found[1]])
        return found

    def _keep_head(self, head: Head, raw: bytes) -> None:
        """Keep the form of a head for the next one, unless none was known lately: then two of 16 are tried."""
        is_hopeful = self._known_misses < PATIENCE
        is_tried = is_hopeful or self.exchange_count % 16 in (1, 2)
        known = learned(self.known_head, head, raw) if is_tried else None
        self.known_head = shared(known) if known is not None and is_hopeful else known
        self._known_misses += 1

    def response_ended(self, reusable: bool) -> None:
        """The response was read to the end of its framing; the connection may serve again, or closes. Once."""
        if self.exchange_state is _IDLE or self.exchange_state is _CLOSED:
            return
        options = self.request_options
        if options is not None and options.trace is not None:
            notify(options.trace, "body_ended", reusable)
        if reusable:
            self.exchange_state = _IDLE
        else:
            self.close()

    # -- TLS --

    def _wrap_in_tls(self, sock: Any, settings: TlsSettings, host: str, port: int, *, in_tls: bool) -> Any:
        """As the channel does; by ``ssl_wrap_socket`` of this module, where a recorder or mock has put its own."""
        from .net import tls

        wrap_socket = globals().get("ssl_wrap_socket", tls.ssl_wrap_socket)
        if wrap_socket is tls.ssl_wrap_socket:
            return super()._wrap_in_tls(sock, settings, host, port, in_tls=in_tls)
        return tls.wrap_by(wrap_socket, sock, settings, host, tls_in_tls=in_tls)


# As they are here, whoever replaces them later: the response's class is looked up where programs put theirs.
_GETRESPONSE = HTTPConnection.getresponse
#: likewise, for pools
REQUEST, GETRESPONSE = HTTPConnection.request, HTTPConnection.getresponse

#: Methods whose answer 200 has the body that its fields announce; of all others ``Head.body_length`` is asked.
_ANSWERED_WITH_BODY = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


def _size_limit(options: Options, decodes: bool) -> int | None:
    """The most body bytes that may come; a body that is not decoded is bounded by both limits."""
    limits = [options.max_response_size, None if decodes else options.max_decoded_size]
    return min((limit for limit in limits if limit is not None), default=None)


class HTTPSConnection(TlsTransport, HTTPConnection):
    """A connection for HTTP over TLS; arguments are urllib3's. What is wanted of TLS is settled in ``TlsSettings``."""

    def _secure(self) -> None:
        """TLS with the target. SystemTimeWarning: the clock is wrong, so that no certificate will seem to be valid."""
        if datetime.date.today() < RECENT_DATE:
            warnings.warn(
                f"System time is way off (before {RECENT_DATE}). This will probably lead to SSL verification errors",
                SystemTimeWarning,
                stacklevel=2,
            )
        super()._secure()

    def response_ended(self, reusable: bool) -> None:
        """As for plain HTTP; after the first response, the TLS session may be worth keeping (TLS 1.3 sends it late)."""
        at = self._session_at
        if at is not None:
            self._session_at = None
            sessions.keep(*at, self.sock)
        super().response_ended(reusable)


# -- urllib3 names --

VerifiedHTTPSConnection = HTTPSConnection


class DummyConnection:
    """What a pool of HTTPS connections would have where there is no ssl module."""
