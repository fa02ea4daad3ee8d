"""RequestSender: a request's head and body onto the socket, and what the server says meanwhile. SendLock: one by one.

:class:`RequestSender` is the part of a connection between the ``transport`` (a socket) and ``connection`` (an
exchange): it makes the bytes of a request, sends them within the limits of the exchange, and hears interim and early
answers while a body leaves; http.client's methods for that (``putrequest``, ``putheader``) are here, too.  What the
bytes are is said by ``request_head``, how bodies leave by ``upload``; reading the answer is left to ``connection``.
Follows RFC 9110 section 10.1.1 (100 Continue) and RFC 9112 section 9.5.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import http.client
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, Protocol

from ..base.exact_values import exact, has_gil
from ..base.headers import HTTPHeaderDict, require_mapping
from ..base.timeout import _DEFAULT_TIMEOUT
from ..base.tls_errors import is_tls_failure, wants_read, wants_write
from ..base.trace import notify
from ..base.url import without_zone
from ..exceptions import (
    HTTPError,
    InvalidResponseError,
    ProtocolError,
    SSLError,
    WriteTimeoutError,
    is_from_body,
    name_phase,
)
from ..http1.grammar import DEFAULT_LIMITS, RECEIVE_BYTES, Limits
from ..http1.interim_responses import InterimResponses
from ..http1.request_body import expects_body
from ..http1.request_head import (
    NO_FIELDS,
    SKIP_HEADER,
    SKIPPABLE_HEADERS,
    Fields,
    check_value,
    prepare_fields,
    request_line,
)
from ..http1.response_head import Head, HeadBuffer
from ..net.socket_state import (
    SENDALL,
    SOCKET_CLASS,
    TLS_SENDALL,
    SSLSocket,
    closed_error,
    send_among_threads,
    send_at_once,
    send_rest,
    set_timeout,
)
from . import httpclient_hooks
from .httpclient_hooks import Base, PatchedClass, base_hooks, own_hooks, untouched
from .request_value import AS_USUAL, EXPECT_CONTINUE_S, OutgoingRequest
from .transport import ConnectionState, SentRequest, Transport
from .upload import JOIN_BYTES, AnsweredEarly, Payload, Upload, framing_field, payload_for

_IDLE, _SENDING, _AWAITING = ConnectionState.IDLE, ConnectionState.SENDING, ConnectionState.AWAITING
#: So much fits into every send buffer, so the system takes all of it or, with an error, none.
ALL_OR_NOTHING_BYTES = 4096

_NO_BODY = b"Content-Length: 0\r\n\r\n"


def _is_replaced(own: type[Any]) -> bool:
    """Whether a program has replaced a method that requests would go through."""
    return (
        own.putrequest is not _PUTREQUEST
        or own.putheader is not _PUTHEADER
        or own.endheaders is not _ENDHEADERS
        or own.send is not _SEND
        or own._send_output is not _SEND_OUTPUT
        or own.debuglevel is not _DEBUGLEVEL
        or Base.putrequest is not _BASE_PUTREQUEST
        or Base.putheader is not _BASE_PUTHEADER
        or Base.getresponse is not _BASE_GETRESPONSE
    )


class RequestSender(Transport):
    """A transport on which requests are sent."""

    _close_asked = False
    _wants_upgrade = False
    _heard: HeadBuffer | None = None  # what has come while a body is being sent

    # -- a request --

    def _send_request(self, request: OutgoingRequest, headers: Mapping[str, Any] | None) -> None:
        if _is_replaced(self._hooks):
            self._send_through_hooks(request, headers)
            return
        fields = NO_FIELDS
        if headers:
            items = tuple(headers.items() if type(headers) is dict else _items(headers))
            fields = prepare_fields(items) if self._private is None else self._prepared(items)
            if fields.is_private:
                self._private = items, fields
        method, target, body, sent = request.method, request.target, request.body, self.last_request
        head, payload = self._sent_head, None
        options = self.request_options
        is_usual = options is None or options.is_time_only
        is_alone = body is None and is_usual and not request.chunked and not fields.is_framed
        if (
            head is None
            or not is_alone
            or self._sent_fields is not fields
            or sent.target != target
            or sent.method != method
        ):
            head, payload = self._prepare(method, target, body, fields, request.chunked)
        if self.sock is None or self._attached_socket is not self.sock or self.exchange_state is not _IDLE:
            self._prepare_socket()
        sent.method, sent.target, sent.wanted = method, target, request.wanted
        self._sent_head, self._sent_fields = (head, fields) if is_alone and self.exchange_count else (None, None)
        self._close_asked = fields.close
        self._wants_upgrade = fields.upgrade or method == "CONNECT"
        self.has_answered = self._drained = False
        self.exchange_state = _SENDING
        try:
            if payload is None and is_usual:
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
            if (failed := self._failure_unless_answered(error)) is not None:
                self.close()
                raise failed from error
        except BaseException:
            self.close()
            raise
        self.last_request = SentRequest(method, url, request.wanted)
        self._close_asked = self._close_asked or fields.close
        self._wants_upgrade = fields.upgrade or method == "CONNECT"
        self._through_hooks = True
        self.exchange_state = _AWAITING

    # -- its bytes --

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
            is_usual = options is None or options.is_time_only
            if type(body) is bytes and is_usual and 0 < len(body) <= JOIN_BYTES and not fields.expects_continue:
                return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body), None
        payload = payload_for(method, body, fields, chunked, self.blocksize, trailers)
        if options is not None:
            payload = payload.telling(options.progress)
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
            common = host + _accept_and_agent()
            if self.exchange_count > 1:  # the same request again finds its whole head, from the third on
                self._default_fields = common
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

    # -- sending them --

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
        sock = self.sock
        if sock is None:
            raise _closed_meanwhile()
        upload = Upload(sock, self.write_timeout_s, lambda: self._receive_early(0.0))
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
        if (failed := self._failure_unless_answered(error)) is not None:
            raise failed from error

    def _send_bytes(self, data: bytes) -> None:
        """Send the first bytes of a request. An error says whether the system can't have taken any of them."""
        sock, limit = self.sock, None
        if sock is None:
            raise _closed_meanwhile()
        is_short = len(data) <= ALL_OR_NOTHING_BYTES
        if self.request_options is not None or self._is_foreign:
            self._check_deadline("sending")
            limit = self._limit_short_send if is_short else self._limit_send
        elif not is_short and self.read_timeout is not _DEFAULT_TIMEOUT:
            limit = self._limit_send  # the exchange before has left its own there
        try:
            at_once = is_short and SOCKET_CLASS.sendall is SENDALL
            if at_once and self._is_plain and _thread._count():
                send_among_threads(sock, data, limit)
            elif at_once and self._is_kernel_waiting:
                send_at_once(sock, data, limit)
            else:
                if limit is not None:
                    limit()
                if type(sock) is not SSLSocket or SSLSocket.sendall is not TLS_SENDALL:
                    sock.sendall(data)
                elif (n := sock.send(data)) < len(data):  # mostly it takes all; its sendall comes by way of five views
                    send_rest(sock, data, n)
        except TimeoutError as error:
            self._check_deadline("sending")
            raise WriteTimeoutError(self, self.last_request.target, "Write timed out.") from error
        except OSError as error:
            if (failed := self._failure_unless_answered(error)) is not None:
                refused = error.errno in (errno.EPIPE, errno.ECONNRESET) and len(data) <= ALL_OR_NOTHING_BYTES
                failed.nothing_sent = refused and not hasattr(error, "characters_written")  # see send_rest
                raise failed from error
        self.bytes_sent += len(data)

    def _limit_send(self) -> None:
        """Give the socket the time that a send may take. DeadlineExceededError."""
        set_timeout(self.sock, self.write_timeout_s())

    def _limit_short_send(self) -> None:
        """As ``_limit_send``; what does not wait may have the limit that stands there, if that ends by the deadline."""
        options, sock = self.request_options, self.sock
        if self._is_foreign or (options is not None and options.write_timeout_s is not None):
            self._limit_send()
        elif options is not None and options.deadline is not None:
            set_timeout(sock, options.deadline.cap_s(sock.gettimeout(), "sending"))

    def _failure_unless_answered(self, error: OSError) -> HTTPError | None:
        """poollib's error for what a send raised; None if the server answered before, as with a 413.

        What it said before it stopped taking bytes counts (RFC 9112 section 9.5), and so does a TLS alert: in TLS 1.3 a
        server looks at the client's certificate when the client may send already (RFC 8446 section 2).
        """
        self._close_asked = True
        try:
            self._receive_early(0.0)
        except SSLError as said:
            return said
        self._keep_heard()
        if self._receive_buffer is not None and self._receive_buffer.data:
            return None
        return send_failed(error)

    def _receive_early(self, wait_s: float) -> bool:
        """Whether, within ``wait_s``, the final answer begins or the connection ends; interim ones are kept.

        Errors: SSLError if TLS says why it ended, which getresponse would not hear again.
        """
        sock = self.sock
        if sock is None:
            return True
        timeout_s = sock.gettimeout()
        try:
            sock.settimeout(wait_s)
            data: bytes = sock.recv(RECEIVE_BYTES)
        except OSError as error:  # nothing yet, or the end, of which getresponse hears again
            if is_tls_failure(error):
                raise send_failed(error) from error
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

    def _limits(self) -> Limits:
        return DEFAULT_LIMITS if self.request_options is None else self.request_options.limits

    def _note_interim(self, head: Head) -> None:
        """Note an interim response (RFC 9110 section 15.2). InvalidResponseError if they come too fast."""
        now = time.monotonic()
        interim = self._interim = self._interim or InterimResponses(now)
        interim.note(head, self._limits(), now)
        if self.request_options is not None and self.request_options.trace is not None:
            notify(self.request_options.trace, "interim_read", head.status, head.pairs())

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


_PUTREQUEST, _PUTHEADER, _ENDHEADERS, _SEND, _SEND_OUTPUT, _DEBUGLEVEL = untouched(own_hooks(RequestSender))
_BASE_PUTREQUEST, _BASE_PUTHEADER, _BASE_GETRESPONSE = untouched(base_hooks(Base))
#: What a request and its answer go through, as it is here: programs put methods of their own in their place.
OWN_ROAD = (
    *(_PUTREQUEST, _PUTHEADER, _ENDHEADERS, _SEND, _SEND_OUTPUT, _DEBUGLEVEL),
    *(_BASE_PUTREQUEST, _BASE_PUTHEADER, _BASE_GETRESPONSE, http.client.HTTPResponse),
)


def _accept_and_agent() -> bytes:
    return f"Accept-Encoding: identity\r\nUser-Agent: {httpclient_hooks.USER_AGENT}\r\n".encode()


def _authority(url: str) -> str:
    """``host[:port]`` of an absolute URL, without userinfo and zone; empty for a path."""
    if not url.lower().startswith(("http://", "https://")):
        return ""
    authority = url.split("//", 1)[1].split("/", 1)[0].split("?", 1)[0].rpartition("@")[2]
    host, bracket, port = authority.partition("]")
    return without_zone(host + bracket) + port


def _closed_meanwhile() -> HTTPError:
    """The error where another thread, or the body itself, has closed the connection."""
    return send_failed(closed_error())


def send_failed(error: OSError) -> HTTPError:
    """poollib's error for what a send raised."""
    failed = SSLError(error) if is_tls_failure(error) else ProtocolError("Connection aborted.", error)
    failed.phase = "sending"
    return failed


def _items(headers: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    require_mapping(headers)
    if isinstance(headers, HTTPHeaderDict):
        return headers.iteritems()
    if type(headers).items is Mapping.items:  # whose view asks twice for each, as of the mapping that requests has
        return [(name, headers[name]) for name in headers]
    return headers.items()


# Many threads

P = ParamSpec("P")

#: From so many leased connections on, their threads send one at a time. Without a GIL nobody queues for it.
CROWD = 256 if has_gil() else sys.maxsize
#: A longer body may not leave in one call, and its sender may have to wait for the server.
SHORT_BYTES = 4096
#: Who holds the lock for so long is stuck, was interrupted between two lines, or has stayed behind in a fork.
LONGEST_WAIT_S = 0.1


class SendLock:
    """Where hundreds of threads work on one pool, lets one at a time send; waits for nobody who is stuck.

    A thread whose receive has ended queues for the GIL, and CPython wakes each in that queue every 5 ms to look again.
    With 500 threads that is up to 100,000 wake-ups a second, which take the very time that the queue waits for: once it
    is long, it stays long. A lock wakes one thread, the next. So many threads wait for a lock before they send, and few
    beyond it ever want the GIL at once. 500 threads, TLS, 20 ms a round trip: 114 us of CPU a request instead of 198,
    8,800 requests/s instead of 6,800, the slowest hundredth from 102 ms on instead of 285 (CPython 3.11, 2 cores,
    2026-11). With 200 threads it takes a fifth of the requests/s for the same CPU, with 64 it costs;
    ``connectionpool`` counts them.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def send(self, request: Callable[P, object], *args: P.args, **kw: P.kwargs) -> None:
        """Call ``request(*args, **kw)`` when no other thread sends, at the latest after LONGEST_WAIT_S."""
        lock = self._lock
        if not lock.acquire(True, LONGEST_WAIT_S):
            if self._lock is lock:
                self._lock = threading.Lock()  # for those who come from now on
            request(*args, **kw)
            return
        try:
            request(*args, **kw)
        finally:
            lock.release()


class Connected(Protocol):
    """What is asked of a connection before it sends."""

    @property
    def sock(self) -> object | None:
        """Its socket; None: it is not connected."""

    @property
    def request_options(self) -> object | None:
        """What the request asks for beyond the usual; None: nothing."""


def may_wait(conn: Connected, body: object) -> bool:
    """Whether a request goes out in one call with no clock running: no dialling, no long body, no deadline."""
    is_short = body is None or (isinstance(body, bytes) and len(body) <= SHORT_BYTES)
    return is_short and conn.sock is not None and conn.request_options is None
