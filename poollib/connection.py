"""HTTPConnection, HTTPSConnection: one socket, one exchange at a time.

``request`` opens the ``transport`` if there is no socket yet, writes a head and a body; ``getresponse`` reads a head
and gives an ``HTTPResponse`` whose body reader pulls from this connection; a pool asks for both by ``exchange``, with
its ``Request``.  What the bytes mean is said by ``request_head``, ``response_head`` and ``body_reader``, how bodies
leave by ``upload``, what TLS wants by ``tls_transport``; who may use the connection when is the pool's business.
Both classes subclass ``http.client``'s and keep its methods working (``putrequest``, ``putheader``, ``endheaders``,
``send``, ``set_tunnel``, ``sock``), on the same socket and the same reader.  Follows RFC 9112 section 9.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import http.client
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from operator import is_
from socket import getdefaulttimeout
from typing import TYPE_CHECKING, Any

from . import response as responses
from .base.coercion import exact
from .base.deprecations import warn_as_urllib3
from .base.endpoint import TlsSettings
from .base.headers import HTTPHeaderDict, require_mapping
from .base.timeout import _DEFAULT_TIMEOUT as _DEFAULT_TIMEOUT
from .base.timeout import _TYPE_TIMEOUT as _TYPE_TIMEOUT
from .base.timeout import Timeout
from .base.tls_errors import is_ragged_end, is_tls_error, wants_read, wants_write
from .base.trace import notify
from .base.url import without_zone
from .exceptions import (
    HTTPError,
    InvalidResponseError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
    SystemTimeWarning,
    WriteTimeoutError,
    is_from_body,
    name_phase,
)
from .exchange import httpclient_hooks
from .exchange.httpclient_hooks import Base, PatchedClass, base_hooks, own_hooks, untouched
from .exchange.options import AS_USUAL, EXPECT_CONTINUE_S, ResponseOptions
from .exchange.options import Options as Options
from .exchange.proxy_config import ProxyConfig as ProxyConfig
from .exchange.proxy_config import proxy_tls_settings as proxy_tls_settings
from .exchange.request_value import OutgoingRequest
from .exchange.tls_transport import TlsTransport
from .exchange.transport import ConnectionState, SentRequest, Transport
from .exchange.transport import port_by_scheme as port_by_scheme
from .exchange.upload import JOIN_BYTES, AnsweredEarly, Payload, Upload, framing_field, payload_for
from .http1.body_reader import BodyState, ReceiveBuffer, UpgradedBody, body_reader
from .http1.grammar import DEFAULT_LIMITS, RECEIVE_BYTES, Limits
from .http1.interim_responses import InterimResponses
from .http1.request_body import expects_body
from .http1.request_head import (
    NO_FIELDS,
    SKIP_HEADER,
    SKIPPABLE_HEADERS,
    Fields,
    check_value,
    prepare_fields,
    request_line,
)
from .http1.response_head import Head, HeadBuffer, closed_early, complete_head, parse_head
from .net.socket_state import LARGE_BODY_BYTES, SSLSocket, receive_ahead, send_at_once
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


#: So much fits into every send buffer, so the system takes all of it or, with an error, none.
ALL_OR_NOTHING_BYTES = 4096
#: No clock that is right tells a day before this one.
RECENT_DATE = datetime.date(2025, 1, 1)


class HTTPConnection(Transport):
    """A connection for plain HTTP; arguments are urllib3's.

    ``timeout`` (seconds) bounds connecting, and each send and receive where ``read_timeout`` is not set.
    ``socket_options``: for ``setsockopt``, before connecting. ``blocksize``: bytes read from a file body at a time.
    """

    _close_asked = False
    _wants_upgrade = False
    _heard: HeadBuffer | None = None  # what has come while a body is being sent

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
    ) -> HTTPResponse:
        """One exchange from a pool's value, on the road that nobody has replaced a method of; errors as of
        ``request`` and ``getresponse``.

        ``headers``: those of the request, with what a forwarding proxy wants to know; ``validate`` is called before a
        byte is sent.
        """
        clock = self.begin(request.options, request.timeout)
        validate(self)
        self._send_request(request, headers)
        sock = self.sock
        if sock is None or clock is not None or sock.gettimeout() != self.read_timeout:
            self.limit_receives(clock)
        return self.getresponse()

    def limit_receives(self, clock: Timeout | None) -> None:
        """Let the socket wait for an answer as long as the exchange's limits say. ReadTimeoutError: no time is left."""
        read_s = self.read_timeout if clock is None else clock.read_timeout
        sock = self.sock
        if sock is not None and sock.gettimeout() != read_s:
            if read_s == 0:
                raise ReadTimeoutError(self, self.last_request.target, f"Read timed out. (read timeout={read_s})")
            sock.settimeout(read_s)  # type: ignore[arg-type]  # begin() has left no default there
            self.read_timeout = read_s
            if clock is None and self.request_options is None and isinstance(self, HTTPConnection):
                self._wait_in_kernel()  # else each receive has a limit of its own, or is not ours

    def _send_request(self, request: OutgoingRequest, headers: Mapping[str, Any] | None) -> None:
        own = self._hooks
        if (
            own.putrequest is not _PUTREQUEST
            or own.putheader is not _PUTHEADER
            or own.endheaders is not _ENDHEADERS
            or own.send is not _SEND
            or own._send_output is not _SEND_OUTPUT
            or own.debuglevel is not _DEBUGLEVEL
            or Base.putrequest is not _BASE_PUTREQUEST
            or Base.putheader is not _BASE_PUTHEADER
            or Base.getresponse is not _BASE_GETRESPONSE
        ):
            self._send_through_hooks(request, headers)
            return
        fields = NO_FIELDS
        if headers:
            items = tuple(headers.items() if type(headers) is dict else _items(headers))
            fields = prepare_fields(items) if self._private is None else self._prepared(items)
            if fields.is_private:
                self._private = items, fields
        method, target = request.method, request.target
        head, payload = self._prepare(method, target, request.body, fields, request.chunked)
        if self.sock is None or self._attached_socket is not self.sock or self.exchange_state is not _IDLE:
            self._prepare_socket()
        sent = self.last_request
        sent.method, sent.target, sent.wanted = method, target, request.wanted
        self._close_asked = fields.close
        self._wants_upgrade = fields.upgrade or method == "CONNECT"
        self.has_answered = self._drained = False
        self.exchange_state = _SENDING
        try:
            if payload is None and self.request_options is None:
                self._send_bytes(head)
            else:
                self._transmit(head, payload, fields)
        except BaseException as error:
            name_phase(error, "sending")
            self.close()
            raise
        self.exchange_state = _AWAITING

    def _prepare_socket(self) -> None:
        """Have a socket on which nothing is under way; CannotSendRequest, and what ``connect`` raises."""
        if self.sock is None:
            self.connect()
        if self._attached_socket is not self.sock:  # a program, or a subclass's connect, has put it there
            self._attach_socket()
        elif self.exchange_state is not _IDLE:
            raise http.client.CannotSendRequest(f"the last exchange is not over: {self.exchange_state.value}")

    def _prepared(self, items: tuple[Any, ...]) -> Fields:
        """The fields of a request on a connection whose last one had private ones, as a rule the same again."""
        assert self._private is not None
        last, fields = self._private
        if items == last:
            for name, value in items:
                if type(name) is not str or type(value) is not str:  # a subclass may equal what it is not
                    break
            else:
                return fields
        self._private = None
        return prepare_fields(items)

    def _send_through_hooks(self, request: OutgoingRequest, headers: Mapping[str, Any] | None) -> None:
        """As ``_send_request``, by calling http.client's methods: somebody has replaced one of them."""
        method, url = request.method, request.target
        items = tuple((exact(name), exact(value)) for name, value in _items(headers)) if headers else ()
        fields = prepare_fields(items)
        request_line(method, url)
        self._prepare_socket()
        self.exchange_state = _SENDING
        try:
            self.sock.settimeout(self.write_timeout_s())
            httpclient_hooks.send(self, request, items, fields)
        except TimeoutError as error:
            self.close()
            if is_from_body(error):
                raise
            self._check_deadline("sending")
            raise WriteTimeoutError(self, url, "Write timed out.") from error
        except OSError as error:
            if is_from_body(error):
                self.close()
                raise
            if not self._answered_before_failing():
                self.close()
                raise _send_failed(error) from error
        except BaseException:
            self.close()
            raise
        self.last_request = SentRequest(method, url, request.wanted)
        self._close_asked = self._close_asked or fields.close
        self._wants_upgrade = fields.upgrade or method == "CONNECT"
        self._through_hooks = True
        self.exchange_state = _AWAITING

    def request_chunked(
        self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """As ``request`` with ``chunked=True``."""
        warn_as_urllib3(
            "HTTPConnection.request_chunked() is deprecated and will be removed in urllib3 v3.0."
            " Instead use HTTPConnection.request(..., chunked=True)."
        )
        self.request(method, url, body=body, headers=headers, chunked=True)

    def _prepare(self, method: str, url: str, body: Any, fields: Fields, chunked: bool) -> tuple[bytes, Payload | None]:
        """The bytes of the head (of the whole request, if it is small), and the body that follows them."""
        line = request_line(method, url)
        common = self._default_fields
        if common is None or fields.replaces_common or url[0] != "/":
            common = self._common_fields(url, fields)
        head = line + common + fields.block
        options = self.request_options
        trailers = None if options is None else options.trailers
        if not chunked and not fields.is_framed and trailers is None:
            if body is None:
                return head + (b"\r\n" if method == "GET" or not expects_body(method) else _NO_BODY), None
            if type(body) is bytes and options is None and 0 < len(body) <= JOIN_BYTES and not fields.expects_continue:
                return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body), None
        payload = payload_for(method, body, fields, chunked, self.blocksize, trailers)
        head += framing_field(payload, fields)
        expects = self._expect_s(fields) is not None
        if expects and not fields.expects_continue:
            head += b"Expect: 100-continue\r\n"
        head += b"\r\n"
        if payload.is_small and not expects:
            return b"".join([head, *payload.pieces]), None
        return head, payload

    def _expect_s(self, fields: Fields) -> float | None:
        """How many seconds the body waits for 100 Continue; None: it does not wait."""
        wish = None if self.request_options is None else self.request_options.expect_continue_s
        return EXPECT_CONTINUE_S if wish is None and fields.expects_continue else wish

    def _common_fields(self, url: str, fields: Fields) -> bytes:
        """Host, Accept-Encoding and User-Agent, as far as the caller gave none."""
        if url[0] == "/" and not fields.replaces_common:
            host = f"Host: {check_value('Host', self._host_field())}\r\n".encode("latin-1")  # not worth a memo
            self._default_fields = common = host + _accept_and_agent()
            return common
        names, lines = fields.names, b""
        if "host" not in names:
            lines = prepare_fields([("Host", _authority(url) or self._host_field())]).block
        if "accept-encoding" not in names:
            lines += b"Accept-Encoding: identity\r\n"
        if "user-agent" not in names:
            lines += b"User-Agent: %b\r\n" % httpclient_hooks.USER_AGENT.encode()
        return lines

    def _host_field(self) -> str:
        """``host[:port]`` of the server, the port where it is not the scheme's (RFC 9110 section 7.2)."""
        host, port = (self._tunnel_host, self._tunnel_port) if self._tunnel_host else (self.host, self.port)
        host, port = exact(host).partition("%")[0].strip("[]"), exact(port)
        if ":" in host:
            host = f"[{host}]"
        return host if port == self.default_port else f"{host}:{port}"

    def _transmit(self, head: bytes, payload: Payload | None, fields: Fields) -> None:
        """Send a request that has a long body, or a listener."""
        trace = self._trace()
        if payload is None:
            self._send_bytes(head)
        else:
            try:
                self._send_payload(head, payload, self._expect_s(fields))
            finally:
                self._keep_heard()
        if trace is not None:
            notify(trace, "head_sent", self.last_request.method, self.last_request.target)
            notify(trace, "body_sent", self.last_request.method, self.last_request.target)

    def _send_payload(self, head: bytes, payload: Payload, expect_s: float | None) -> None:
        if expect_s is not None:
            self._send_bytes(head)
            head = b""
        if expect_s is None or self._may_send_body(expect_s):
            self._upload(head, payload)

    def _may_send_body(self, expect_s: float) -> bool:
        """Wait for 100 Continue, up to ``expect_s`` (RFC 9110 section 10.1.1); False: the answer is there already."""
        end = time.monotonic() + expect_s
        while (left_s := end - time.monotonic()) > 0:
            if self.request_options is not None and self.request_options.deadline is not None:
                left_s = self.request_options.deadline.cap_s(left_s, "sending") or left_s
            before = self.bytes_received
            if self._receive_early(left_s):
                self._close_asked = True  # the body is still owed: nothing else may follow on this connection
                return False
            if self.bytes_received == before or (self._interim and self._interim.is_continued):
                break  # without a byte, the receive has waited for all that was left, whatever a frozen clock says
        return True

    def _upload(self, head: bytes, payload: Payload) -> None:
        """Send a body; what the server says meanwhile is heard, and its final answer ends the sending."""
        upload = Upload(self.sock, self.write_timeout_s, lambda: self._receive_early(0.0))
        try:
            upload.run(head, payload)
        except AnsweredEarly:
            self._close_asked = True
        except Exception as error:
            if is_from_body(error):
                raise
            self._sending_failed(error)
        finally:
            self.bytes_sent += upload.sent

    def _sending_failed(self, error: Exception) -> None:
        """Raise poollib's error for what sending a body raised; nothing if the server answered before."""
        if isinstance(error, TimeoutError):
            self._check_deadline("sending")
            raise WriteTimeoutError(self, self.last_request.target, f"Write timed out. ({error})") from error
        if not isinstance(error, OSError):
            raise error
        if not self._answered_before_failing():
            raise _send_failed(error) from error

    def _send_bytes(self, data: bytes) -> None:
        """Send the first bytes of a request. An error says whether the system can't have taken any of them."""
        options = self.request_options
        if options is not None and (options.deadline is not None or options.write_timeout_s is not None):
            self.sock.settimeout(self.write_timeout_s())
        elif len(data) > ALL_OR_NOTHING_BYTES and self.read_timeout is not _DEFAULT_TIMEOUT:
            _limit(self.sock, self.timeout)  # it may wait, and the exchange before has left its own limit there
        sock = self.sock
        try:
            if self._is_kernel_waiting and len(data) <= ALL_OR_NOTHING_BYTES:
                send_at_once(sock, data)
            elif type(sock) is not SSLSocket:
                sock.sendall(data)
            elif (n := sock.send(data)) < len(data):  # most often it takes all; its sendall comes by way of five views
                sock.sendall(data[n:])
        except TimeoutError as error:
            self._check_deadline("sending")
            raise WriteTimeoutError(self, self.last_request.target, "Write timed out.") from error
        except OSError as error:
            if not self._answered_before_failing():
                failed = _send_failed(error)
                refused = error.errno in (errno.EPIPE, errno.ECONNRESET) and len(data) <= ALL_OR_NOTHING_BYTES
                failed.nothing_sent = refused
                raise failed from error
        self.bytes_sent += len(data)

    def _answered_before_failing(self) -> bool:
        """Whether the server answered before it stopped taking bytes, as with a 413 (RFC 9112 section 9.5)."""
        self._close_asked = True
        self._receive_early(0.0)
        self._keep_heard()
        return self._receive_buffer is not None and bool(self._receive_buffer.data)

    def _receive_early(self, wait_s: float) -> bool:
        """Whether, within ``wait_s``, the final answer begins or the connection ends; interim ones are kept."""
        sock = self.sock
        timeout_s = sock.gettimeout()
        try:
            sock.settimeout(wait_s)
            data: bytes = sock.recv(RECEIVE_BYTES)
        except OSError as error:  # nothing yet, or the end, of which getresponse hears again
            nothing_yet = isinstance(error, (TimeoutError, BlockingIOError, InterruptedError))
            return not nothing_yet and not wants_read(error) and not wants_write(error)
        finally:
            if sock.fileno() >= 0:
                sock.settimeout(timeout_s)
        self.bytes_received += len(data)
        self.has_answered = self.has_answered or bool(data)
        return not data or self._is_answered(data)

    def _is_answered(self, piece: bytes) -> bool:
        """Whether the final head has come, now with ``piece``; interim ones in front of it are taken off."""
        heard = self._heard
        if heard is None:
            heard = self._heard = HeadBuffer(b"", self._limits())
        with contextlib.suppress(InvalidResponseError):  # getresponse meets it again
            found = heard.add(piece)
            while found is not None:
                head, end = found
                if head.status >= 200 or head.status == 101:
                    return True
                self._note_interim(head)
                found = heard.drop(end)
            return False
        return True

    def _keep_heard(self) -> None:
        """Let getresponse find what was heard while the request was being sent."""
        heard, incoming = self._heard, self._receive_buffer
        if heard is not None:
            del self._heard
            if incoming is not None:
                incoming.data += bytes(heard.data)

    # -- several requests in one send, as pipeline/batch has them --

    def open_batch(self) -> ReceiveBuffer | None:
        """Where the answers to several requests come in: the connection is open, and whoever asks says what is sent.

        None: a program has replaced a method that requests go through, so they must go through it one by one.
        Errors as of ``connect``.
        """
        hooks = (*own_hooks(self._hooks), *base_hooks(Base), self.response_class)
        if not all(map(is_, hooks, _OWN_ROAD)):
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
        body = body_reader(incoming, length, keep, limit, self._limits(), wanted.enforce_content_length)
        response = responses.HTTPResponse.received(head, body, None, method, url)
        if options is not None:
            response.max_decoded_size = options.max_decoded_size
        if not wanted.enforce_content_length:
            response.enforce_content_length = False
        if body.state is BodyState.OPEN:
            response._connection = self  # which hears of the end; a pool takes its place
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
        response._connection = self
        return response

    def _limits(self) -> Limits:
        return DEFAULT_LIMITS if self.request_options is None else self.request_options.limits

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
        if self.request_options is None:
            found = parse_head(data)
            if found is not None:
                return data, found[0], found[1]
        return complete_head(incoming.recv, data, self._limits())

    def _note_interim(self, head: Head) -> None:
        """Note an interim response (RFC 9110 section 15.2). InvalidResponseError if they come too fast."""
        now = time.monotonic()
        interim = self._interim = self._interim or InterimResponses(now)
        interim.note(head, self._limits(), now)
        if self.request_options is not None and self.request_options.trace is not None:
            notify(self.request_options.trace, "interim_read", head.status, head.pairs())

    def response_ended(self, reusable: bool) -> None:
        """The response was read to the end of its framing; the connection may serve again, or closes. Once."""
        if self.exchange_state is _IDLE or self.exchange_state is _CLOSED:
            return
        trace = self._trace()
        if trace is not None:
            notify(trace, "body_ended", reusable)
        if reusable:
            self.exchange_state = _IDLE
        else:
            self.close()

    # -- http.client's methods --

    def set_debuglevel(self, level: int) -> None:
        """Print what is said on this connection, as http.client does; 0: no longer."""
        super().set_debuglevel(level)
        self._hooks = PatchedClass if level > 0 else type(self)

    def putrequest(self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False) -> None:
        """Start a request by hand; method and target are checked."""
        method, url = exact(method), exact(url)
        request_line(method, url)
        self.last_request = SentRequest(method, url, AS_USUAL)
        self._close_asked = False
        self._wants_upgrade = True  # what fields follow is not known here
        self.has_answered = self._drained = False
        self._through_hooks = self.debuglevel > 0  # which print the answer, too
        self._HTTPConnection__state = "Idle"  # getresponse, which sets it back in http.client, is ours
        super().putrequest(method, url, skip_host=skip_host, skip_accept_encoding=skip_accept_encoding)

    def putheader(self, header: Any, *values: Any) -> None:
        """Add a field to a request begun by hand; SKIP_HEADER for one that shall not be sent. ValueError."""
        header, values = exact(header), tuple(map(exact, values))
        if SKIP_HEADER not in values:
            super().putheader(header, *values)
        elif (header.decode("latin-1") if isinstance(header, bytes) else header).lower() not in SKIPPABLE_HEADERS:
            skippable = "', '".join(sorted(name.title() for name in SKIPPABLE_HEADERS))
            raise ValueError(f"urllib3.util.SKIP_HEADER only supports '{skippable}'")

    def _wrap_in_tls(self, sock: Any, settings: TlsSettings, host: str, port: int, *, in_tls: bool) -> Any:
        """As the channel does; by ``ssl_wrap_socket`` of this module, where a recorder or mock has put its own."""
        from .net import tls

        wrap_socket = globals().get("ssl_wrap_socket", tls.ssl_wrap_socket)
        if wrap_socket is tls.ssl_wrap_socket:
            return super()._wrap_in_tls(sock, settings, host, port, in_tls=in_tls)
        return tls.wrap_by(wrap_socket, sock, settings, host, tls_in_tls=in_tls)


_PUTREQUEST, _PUTHEADER, _ENDHEADERS, _SEND, _SEND_OUTPUT, _DEBUGLEVEL = untouched(own_hooks(HTTPConnection))
# Kept, for programs put classes of their own in the place of this module's; the response's class is looked up where
# they put theirs, as in urllib3.
_GETRESPONSE = HTTPConnection.getresponse
_BASE_PUTREQUEST, _BASE_PUTHEADER, _BASE_GETRESPONSE = untouched(base_hooks(Base))
_OWN_ROAD = (
    *(_PUTREQUEST, _PUTHEADER, _ENDHEADERS, _SEND, _SEND_OUTPUT, _DEBUGLEVEL),
    *(_BASE_PUTREQUEST, _BASE_PUTHEADER, _BASE_GETRESPONSE, http.client.HTTPResponse),
)
#: As they are here, whoever replaces them later.
REQUEST, GETRESPONSE = HTTPConnection.request, HTTPConnection.getresponse

#: Methods whose answer 200 has the body that its fields announce; of all others ``Head.body_length`` is asked.
_ANSWERED_WITH_BODY = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_NO_BODY = b"Content-Length: 0\r\n\r\n"


def _accept_and_agent() -> bytes:
    return f"Accept-Encoding: identity\r\nUser-Agent: {httpclient_hooks.USER_AGENT}\r\n".encode()


def _items(headers: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    require_mapping(headers)
    return headers.iteritems() if isinstance(headers, HTTPHeaderDict) else headers.items()


def _authority(url: str) -> str:
    """``host[:port]`` of an absolute URL, without userinfo and zone; empty for a path."""
    if not url.lower().startswith(("http://", "https://")):
        return ""
    authority = url.split("//", 1)[1].split("/", 1)[0].split("?", 1)[0].rpartition("@")[2]
    host, bracket, port = authority.partition("]")
    return without_zone(host + bracket) + port


def _limit(sock: Any, timeout_s: float | None) -> None:
    if sock.gettimeout() != timeout_s:  # to set it is a system call
        sock.settimeout(timeout_s)


def _send_failed(error: OSError) -> HTTPError:
    """poollib's error for what a send raised."""
    is_tls = is_tls_error(error) and not is_ragged_end(error)
    failed = SSLError(error) if is_tls else ProtocolError("Connection aborted.", error)
    failed.phase = "sending"
    return failed


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
