"""A batch: requests that leave on one connection in one send, and their answers, read one behind the other.

A :class:`Batch` is run once, with a connection that is idle and quiet. Heads are read by ``response_head`` and bodies
by ``body_reader``, as everywhere; what is special here is that behind an answer the next one may stand, and how it is
known which answers can be believed. The n-th answer belongs to the n-th request (RFC 9112 section 9.3.2), so one
answer too many would shift all behind it. Therefore nothing is given out before the batch is over, and then:

- The first answer is certain: nothing was on the connection when its request was sent.
- The others are believed if the bytes add up: behind the last answer nothing has come, or the connection ended.
- What is no response, or stands behind the last one, shows that they may be shifted: all but the first are dropped.
- A body that ends with the connection is taken from the first answer alone: further back it could hide others.

What follows for the requests that have no answer then is ``pipeline``'s to decide.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from .. import response as responses
from ..base.tls_errors import is_tls_failure, wants_read, wants_write
from ..base.trace import notify
from ..connection import ALL_OR_NOTHING_BYTES, HTTPConnection
from ..exceptions import (
    HTTPError,
    InvalidHeader,
    InvalidResponseError,
    ProtocolError,
    SSLError,
    WriteTimeoutError,
    chained,
    mark_nothing_sent,
    name_phase,
)
from ..exchange.request_sender import send_failed
from ..exchange.request_value import Options, Request
from ..exchange.transport import PATIENCE, ConnectionState
from ..http1.body_reader import Buffer, ReceiveBuffer, body_reader
from ..http1.grammar import DEFAULT_LIMITS, RECEIVE_BYTES, is_target
from ..http1.head_template import learned
from ..http1.interim_responses import InterimResponses
from ..http1.response_head import UNTIL_CLOSE, Head, closed_early, complete_head, parse_head
from ..net.socket_state import SSLSocket, is_readable, wait_for_socket
from ..response import HTTPResponse
from .requests import PipelinedRequest

Found = tuple[Head, int]  # a head, and the index behind it
Interim = tuple[tuple[int, list[tuple[str, str]]], ...]


class SurplusError(InvalidResponseError):
    """More came than was asked for: which answer belongs to which request can't be known."""


class BatchBuffer(ReceiveBuffer):
    """What comes in while a batch is under way; what could not be sent at once leaves before it is waited for.

    So neither side ever waits for the other to read first. ``received``: whether anything came; ``ended``: whether the
    stream has.
    """

    __slots__ = ("_conn", "_failed", "_incoming", "_unsent", "ended", "is_late", "received", "sent_bytes")

    def __init__(self, conn: HTTPConnection, incoming: ReceiveBuffer) -> None:
        super().__init__(self._receive)
        self._conn = conn
        self._incoming = incoming
        self._unsent = b""
        self.ended = self.received = False
        self.is_late = False  # the system has not taken all it was given: its buffer is full
        self.sent_bytes = 0
        self._failed: OSError | None = None

    def send(self, data: bytes) -> None:
        """Let the socket take what it takes at once; the rest is sent between receives."""
        self._unsent += data
        self._send_on()

    def _send_on(self) -> None:
        conn, data = self._conn, self._unsent
        sock = conn.sock
        timeout_s = sock.gettimeout()
        may_wait = len(data) > ALL_OR_NOTHING_BYTES or self.is_late
        if may_wait:
            sock.settimeout(0.0)
        try:
            n = sock.send(data)
        except TimeoutError as error:
            raise self._timed_out() from error
        except OSError as error:
            if isinstance(error, BlockingIOError) or wants_write(error) or wants_read(error):
                self.is_late = True
                return
            if not is_readable(sock, 0.0):
                raise _send_failed(error, self.sent_bytes == 0) from error
            self._failed = error  # what was answered before is read, and then the end is met there
            n = len(data)
        finally:
            if may_wait:
                sock.settimeout(timeout_s)
        conn.bytes_sent += n
        self.sent_bytes += n
        self._unsent = data[n:]
        self.is_late = n < len(data)

    def _timed_out(self) -> WriteTimeoutError:
        return WriteTimeoutError(self._conn, self._conn.last_request.target, "Write timed out.")

    def _receive(self, limit: int) -> bytes:
        try:
            data = self._receive_sending(limit) if self._unsent else None
            if data is None:
                data = self._incoming.recv(limit)
        except HTTPError as error:
            if not isinstance(error, SSLError):  # which says why nothing could be sent
                self._raise_send_error()
            raise
        if data:
            self.received = self._conn.has_answered = True
        else:
            self._raise_send_error()
            self.ended = True
        return data

    def _receive_sending(self, limit: int) -> bytes | None:
        """What comes while something is to be sent; None: all is sent. WriteTimeoutError: neither goes on."""
        sock, options = self._conn.sock, self._conn.request_options
        while self._unsent:
            if is_readable(sock, 0.0) and (data := self._receive_now(limit)) is not None:
                return data
            wait_s = sock.gettimeout()
            if options is not None and options.deadline is not None:
                wait_s = options.deadline.cap_s(wait_s, "sending")
            if not wait_for_socket(sock, read=True, write=True, timeout=wait_s):
                if options is not None and options.deadline is not None:
                    options.deadline.remaining_s("sending")
                raise self._timed_out()
            self._send_on()
        return None

    def _receive_now(self, limit: int) -> bytes | None:
        """What is there; None: nothing, for what made a TLS socket readable was a session ticket."""
        sock = self._conn.sock
        timeout_s = sock.gettimeout()
        sock.settimeout(0.0)
        try:
            data: bytes = sock.recv(limit)
        except OSError as error:
            if isinstance(error, BlockingIOError) or wants_read(error) or wants_write(error):
                return None
            if is_tls_failure(error):
                raise _send_failed(error, False) from error
            data = b""  # the connection failed, which ends the stream as well
        finally:
            sock.settimeout(timeout_s)
        self._conn.bytes_received += len(data)
        return data

    def _raise_send_error(self) -> None:
        """Raise what sending met, if the server has not answered anything before it."""
        if self._failed is not None and not self.received:
            raise _send_failed(self._failed, False) from self._failed

    def recv_into(self, view: Buffer) -> int:
        if self._unsent:
            data = self._receive(len(view))
            view[: len(data)] = data
            return len(data)
        n = self._incoming.recv_into(view)
        self.ended = not n
        return n

    def recv_whole(self, limit: int) -> bytes:
        if self._unsent:
            return self._receive(limit)
        data = self._incoming.recv_whole(limit)
        self.ended = not data
        return data


class Batch:
    """Requests for one connection; after ``run``, or the error it raised, what has come of them.

    ``alone``: on a new connection the first request is sent alone, until its answer is in.
    """

    _buffer: BatchBuffer

    def __init__(self, requests: Sequence[PipelinedRequest], alone: bool) -> None:
        self.requests = requests
        self.alone = alone
        self.answers: list[HTTPResponse] = []
        self.sent = 0  # how many requests have left, the last one perhaps in part
        self.is_closing = False  # the server has said that it answers nothing more
        self.is_stale = False  # the connection was a kept one, and nothing at all came
        self.judged_count = 0  # how many answers a circuit breaker has looked at
        self._misses = 0  # heads in turn that were of no known form
        self.is_believed = True  # False: answers behind the first may be shifted, and were dropped
        self._keep = True

    @cached_property
    def first(self) -> Request:
        """The first request, by whose limits a connection is waited for and made."""
        return self.requests[0].settled()

    def judged(self) -> Iterator[HTTPResponse]:
        """The answers, for a circuit breaker that looks at one after the other."""
        for answer in self.answers:
            self.judged_count += 1
            yield answer

    # -- on a connection --

    def run(self, conn: HTTPConnection, validate: Callable[[HTTPConnection], object] | None) -> bool:
        """Whether the requests could be sent in a batch here; then those in ``answers`` are answered.

        The connection is idle then, or closed. ``validate`` is called before a byte is sent. Errors as of an exchange:
        that of the first request without an answer, or one that hit all.
        """
        first, was_kept = self.first, conn.exchange_count > 0
        clock = conn.begin(first.options, first.timeout)
        if validate is not None:
            validate(conn)
        incoming = conn.open_batch()
        if incoming is None or not _is_usual(conn.sock):
            conn.requests_sent -= 1
            conn.exchange_state = ConnectionState.IDLE if incoming is not None else conn.exchange_state
            return False
        self._conn, self._buffer = conn, BatchBuffer(conn, incoming)
        conn.limit_receives(clock)
        try:
            self._exchange(1 if self.alone and not was_kept else len(self.requests))
        except BaseException as error:
            is_sending = conn.exchange_state is ConnectionState.SENDING
            name_phase(error, "sending" if is_sending else "waiting for the response")
            self.is_stale = was_kept and not self._buffer.received and isinstance(error, ProtocolError)
            if self.answers and self._is_out_of_step(error):
                self._drop_answers()
            raise
        finally:
            conn.exchange_count += len(self.answers)
            conn.requests_sent += max(0, self.sent - 1)
        return True

    def _exchange(self, at_first: int) -> None:
        self._send(at_first)
        self._read_answers()
        if at_first < len(self.requests) and self._keep and not self._buffer.unread():
            self._send(len(self.requests))
            self._read_answers()
        self._end()

    def _send(self, upto: int) -> None:
        """Send the requests up to there in one call."""
        requests = self.requests[self.sent : upto]
        self._conn.exchange_state = ConnectionState.SENDING
        data = self._heads(requests)
        self.sent = upto
        if self.first.trace is not None:
            for request in requests:
                request.count_attempt()
        self._buffer.send(data)
        if self.first.trace is not None:
            for request in requests:
                if (trace := request.terms.trace) is not None:
                    notify(trace, "head_sent", request.method, request.target)
                    notify(trace, "body_sent", request.method, request.target)

    def _heads(self, requests: Sequence[PipelinedRequest]) -> bytes:
        """The bytes of requests; what follows the request line is the same for all GETs with the same fields."""
        head_of, fields = self._conn.head_of, requests[0].terms.fields
        rest = head_of("GET", "/", fields).removeprefix(b"GET /").decode("latin-1")
        lines = [
            f"GET {request.target}{rest}"
            for request in requests
            if request.method == "GET" and request.target[0] == "/" and request.terms.fields is fields
        ]
        if len(lines) == len(requests) and is_target("".join([request.target for request in requests])):
            return "".join(lines).encode("latin-1")
        return b"".join([head_of(request.method, request.target, request.terms.fields) for request in requests])

    def _read_answers(self) -> None:
        """Read the answers to what was sent; most are here as a whole, and have a head with nothing special in it.

        Most heads have the form of the one before, and need not be parsed again.
        """
        answers, buffer, received = self.answers, self._buffer, responses.HTTPResponse.received
        data, at, head = buffer.data, buffer.at, None
        for request in self.requests[len(answers) : self.sent]:
            terms = request.terms
            found = self._find_head(data, at) if terms.options is None else None  # else with limits, or a listener
            if found is not None and request.method == "GET" and (found[0].is_plain or _is_usual_head(found[0])):
                head, start = found
                stop = start + head.length
                if stop <= len(data) and not (head.content_encoding and terms.decode_content):
                    response = received(head, None, data[start:stop], "GET", request.target)
                    response.retries = terms.retries
                    if not terms.decode_content:
                        response.decode_content = False
                    answers.append(response)
                    at = stop
                    continue
            buffer.data, buffer.at, head = (data, at, None) if at < len(data) else (b"", 0, None)
            answers.append(self._read_answer(request, None if found is None else (found[0], found[1] - at)))
            data, at = buffer.data, buffer.at
            if self.is_closing:
                return
        if head is not None:
            self._conn.idle_limit_s = head.idle_limit_s
        buffer.data, buffer.at = (data, at) if at < len(data) else (b"", 0)

    def _find_head(self, data: bytes, at: int) -> Found | None:
        """The head that begins at ``data[at]`` and where it ends; None: more bytes are needed."""
        known = self._conn.known_head
        found = None if known is None else known.read(data, at)
        if found is not None:
            self._misses = 0
            return found
        parsed = parse_head(data[at:]) if at < len(data) else None
        if parsed is None:
            return None
        head, size = parsed
        self._conn.known_head = learned(known, head, data[at : at + size]) if self._misses < PATIENCE else None
        self._misses += 1
        return head, at + size

    def _end(self) -> None:
        """The last answer is in: is there anything behind it?"""
        conn, buffer = self._conn, self._buffer
        surplus = buffer.unread() > 0
        if not surplus and self.sent > 1 and not buffer.ended and not conn.is_connected:
            surplus = self._is_more_there()
            self._keep = False
        conn.response_ended(self._keep and not surplus)
        if surplus and len(self.answers) > 1:
            raise SurplusError("bytes came behind the last response: which request each one answers can't be known")

    def _is_more_there(self) -> bool:
        """Whether the socket, on which there is something, gives a byte; else the stream has ended."""
        sock = self._conn.sock
        sock.settimeout(0.0)
        try:
            return bool(sock.recv(1))
        except OSError as error:  # a byte over TLS was taken by the look at the socket
            return isinstance(error, BlockingIOError) or wants_read(error)

    # -- an answer --

    def _read_answer(self, request: PipelinedRequest, found: Found | None) -> HTTPResponse:
        """The next answer, its body read; ``found``: its head, where that is in already. Errors as of an exchange."""
        data, head, end, interim = self._wait_for_head(request, found)
        self._conn.idle_limit_s = head.idle_limit_s
        self._keep = _keeps(head)
        response = self._read_body(request, head, data, end)
        if not head.keep_alive:
            self.is_closing = True
        response.retries = request.terms.retries
        response.interim = interim
        return response

    def _expect(self, request: PipelinedRequest, state: ConnectionState) -> None:
        """What is received from here on answers this request, by its limits; errors tell of it."""
        conn = self._conn
        conn.last_request.method, conn.last_request.target = request.method, request.target
        conn.request_options, conn.exchange_state = request.terms.options, state

    def _wait_for_head(self, request: PipelinedRequest, found: Found | None) -> tuple[bytes, Head, int, Interim]:
        """Received bytes, the final head of the next answer, where it ends, and the interim ones before it."""
        buffer, options, trace = self._buffer, request.terms.options, request.terms.trace
        self._expect(request, ConnectionState.AWAITING)
        limits = DEFAULT_LIMITS if options is None else options.limits
        if self.answers and (before := self.requests[len(self.answers) - 1].terms.trace) is not None:
            notify(before, "body_ended", True)  # of the one before; the connection tells of the last
        data = buffer.take(buffer.unread()) or buffer.recv(RECEIVE_BYTES)
        if not data:
            raise closed_early(data)
        if trace is not None:
            notify(trace, "first_byte", request.method, request.target)
        data, head, end = (data, *found) if found is not None else complete_head(buffer.recv, data, limits)
        interim: InterimResponses | None = None
        while head.status < 200:
            if head.status == 101:
                raise InvalidResponseError("101 Switching Protocols, which nobody asked for (RFC 9110 section 15.2.2)")
            now = time.monotonic()
            interim = interim or InterimResponses(now)
            interim.note(head, limits, now)
            if trace is not None:
                notify(trace, "interim_read", head.status, head.pairs())
            data, head, end = complete_head(buffer.recv, data[end:], limits)
        if trace is not None:
            notify(trace, "head_read", head.status, head.reason)
        return data, head, end, () if interim is None else tuple(interim.kept)

    def _read_body(self, request: PipelinedRequest, head: Head, data: bytes, end: int) -> HTTPResponse:
        """The response for a head whose body is limited, coded, chunked, or not all there yet; ``data[end:]`` is."""
        buffer, options = self._buffer, request.terms.options
        length = head.body_length(request.method)
        if length == UNTIL_CLOSE and self.answers:
            self._keep = False
            raise HiddenEndError("a body without a length ends with the connection, and may hide responses behind it")
        self._expect(request, ConnectionState.READING)
        buffer.data, buffer.at = (data, end) if end < len(data) else (b"", 0)  # as body readers want it
        limit = (
            None
            if options is None
            else _size_limit(options, bool(head.content_encoding and request.terms.decode_content))
        )
        limits = DEFAULT_LIMITS if options is None else options.limits
        body = body_reader(buffer, length, head.keep_alive, limit, limits)
        response = responses.HTTPResponse.received(head, body, None, request.method, request.target)
        if options is not None:
            response.max_decoded_size = options.max_decoded_size
        response.decode_content = request.terms.decode_content
        response.accept(True)
        self._keep = self._keep and body.keep
        self.is_closing = self.is_closing or not body.keep
        buffer.data, buffer.at = buffer.data[buffer.at :], 0
        return response

    # -- what can be believed --

    def _is_out_of_step(self, error: BaseException) -> bool:
        """Whether ``error`` shows that what was read before may not have answered what was asked.

        Not so where the stream ended, the system failed, or time was up: what came before that was whole.
        """
        if self._buffer.ended or not isinstance(error, (ProtocolError, InvalidHeader)):
            return False
        return not isinstance(error, HiddenEndError) and not any(isinstance(part, OSError) for part in error.args)

    def _drop_answers(self) -> None:
        del self.answers[1:]
        self.is_believed = False


def _send_failed(error: OSError, is_first: bool) -> HTTPError:
    """poollib's error for what sending raised; ``is_first``: nothing has been sent before on this connection."""
    failed = chained(send_failed(error), error)
    if is_first and error.errno in (errno.EPIPE, errno.ECONNRESET):
        mark_nothing_sent(failed)  # the system takes the first bytes or, with an error, none
    return failed


class HiddenEndError(ProtocolError):
    """A body that ends with the connection came behind another answer: it is asked for once more, alone."""


def _is_usual_head(head: Head) -> bool:
    """Whether a body of known length follows, and behind it the next answer may come."""
    return head.length >= 0 and head.status >= 200 and head.status not in (204, 304) and _keeps(head)


def _keeps(head: Head) -> bool:
    return head.keep_alive and head.requests_left != 0


def _is_usual(sock: object) -> bool:
    """Whether this is a socket of the standard library's, which can be asked to send what it can at once."""
    return type(sock) is socket.socket or type(sock) is SSLSocket


def _size_limit(options: Options, decodes: bool) -> int | None:
    """The most body bytes that may come; a body that is not decoded is bounded by both limits."""
    limits = [options.max_response_size, None if decodes else options.max_decoded_size]
    return min((limit for limit in limits if limit is not None), default=None)
