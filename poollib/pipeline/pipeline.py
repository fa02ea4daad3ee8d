"""Pipeline: requests in, their responses out in the same order, ``depth`` at a time in one send.

Each batch (see ``batch``) leases one connection, as a single request does, and gives it back before a response is given
out, so an iterator that nobody goes on with holds neither a connection nor a slot.  Here it is decided what follows for
requests that were not answered: they wait for the next batch, each at the cost of one retry where the connection failed
with them, or go through the pool's usual loop one by one (``client/request_loop``: retries by status or error,
redirects).  Follows RFC 9112 sections 9.3.2 and 9.6.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

from ..base.exact_values import whole
from ..base.loggers import logger
from ..base.timeout import Deadline
from ..base.trace import notify
from ..client.request_loop import guarded, may_resend, run
from ..exceptions import (
    DeadlineExceededError,
    DecodeError,
    HTTPError,
    ProtocolError,
    ResponseTooLargeError,
    chained,
    is_nothing_sent,
)
from ..exchange.request_value import Request
from ..policy.retry import Retry
from ..response import BaseHTTPResponse, HTTPResponse
from .batch import Batch, HiddenEndError
from .requests import Item, PipelinedRequest, Settings
from .server_support import FORGET_S, PipeliningRecord

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..policy.circuit_breaker import Circuit

log = logger(__name__)

MOST_DEPTH = 1000  # what is sent at once is taken ahead, and its responses are held

#: What a pipeline gives out: responses, with ``return_exceptions`` errors as well.
Given = TypeVar("Given", covariant=True)


class Senders(NamedTuple):
    """How a pool sends.

    ``batch``: on one connection; False if nothing was sent, since a program has its own way for requests there.
    ``attempt``: one request once. ``single``: one request as if it had come by ``urlopen``.
    """

    batch: Callable[[Batch], bool]
    attempt: Callable[[Request], BaseHTTPResponse]
    single: Callable[[Request], BaseHTTPResponse]
    record: PipeliningRecord

    def wrapped(self, circuit: Circuit, pool: object) -> Senders:
        """The same, sending only where a circuit allows it; ``single`` asks it by itself."""
        batch = circuit.wrap(self.batch, pool, answers_of=Batch.judged)
        return Senders(batch, guarded(self.attempt, pool, circuit), self.single, self.record)


class _Unsettled(NamedTuple):
    """A request whose turn in the usual loop comes when its response is asked for, with what it has met already."""

    request: PipelinedRequest
    response: HTTPResponse | None = None
    error: Exception | None = None


class _Failure(NamedTuple):
    """An item whose error stands; ``is_input``: it is none of an item's, the iterable itself raised it."""

    error: Exception
    is_input: bool = False


class Pipeline(Generic[Given]):
    """The responses to ``items``, in their order, as an iterator; for one thread at a time.

    An item's error is raised at its place, and whoever asks for more gets what follows; with ``return_exceptions`` it
    is given out in the response's place. Up to ``depth`` items are taken ahead, and up to ``depth`` responses held.
    """

    _has_listener = False

    def __init__(
        self, items: Iterable[Item], settings: Settings, senders: Senders, depth: int, return_exceptions: bool
    ) -> None:
        depth = whole("depth", depth)
        if not 1 <= depth <= MOST_DEPTH:
            raise ValueError(f"depth must be from 1 to {MOST_DEPTH}, not {depth}")
        if isinstance(items, (str, bytes)):
            raise TypeError("pipeline() takes an iterable of requests, not one URL")
        self._items: Iterator[Item] | None = iter(items)
        self._settings = settings
        self._senders = senders
        self._depth = depth
        self._return_exceptions = return_exceptions
        self._waiting: list[PipelinedRequest | _Failure] = []
        self._answers: deque[HTTPResponse | _Unsettled | _Failure] = deque()
        self._filling = threading.Lock()
        self._is_closed = False  # perhaps while a batch was under way: by the iterable, or a listener
        self._alone = False  # a connection has failed: on a new one, the first answer is waited for
        self._backoff: Retry | None = None  # what asks for a wait before the next batch
        self._clocks: list[Deadline] = []  # of the requests under way; they stand still while the caller works
        self._left_at = 0.0
        retries = settings.retries
        self._is_plain = (
            type(retries) is Retry and not retries.status_forcelist and not (retries.retry_on or retries.budget)
        )
        self._has_listener = settings.has_listener  # last: from now on there is something to close

    # -- as an iterator --

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Given:
        while True:
            try:
                answer = self._answers.popleft()
            except IndexError:
                self._fill()
                continue
            if type(answer) is not _Unsettled and type(answer) is not _Failure:
                return cast(Given, answer)
            return self._given(answer)

    def close(self) -> None:
        """Send nothing more; responses that were not given out are dropped. Calling it again is fine.

        The iterable may do it, too: what it gave last is not sent then.
        """
        self._is_closed = True
        self._items = None
        left = [request for request in self._waiting if isinstance(request, PipelinedRequest)]
        left += [answer.request for answer in self._answers if isinstance(answer, _Unsettled)]
        self._waiting.clear()
        self._answers.clear()
        for request in left:
            request.end(None, HTTPError("the pipeline was closed before this request was done"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        """For a ``for`` loop that was left: of what a listener has heard the beginning it hears the end, too."""
        if self._has_listener and not is_finalizing():
            self.close()

    def _given(self, answer: _Unsettled | _Failure) -> Given:
        """What has come of a request that needs more than its batch; raises its error, unless that is given out."""
        try:
            if isinstance(answer, _Failure):
                raise answer.error
            self._resume_clocks()
            try:
                return cast(Given, self._settled(answer))
            finally:
                self._left_at = time.monotonic()
        except Exception as error:
            if self._return_exceptions and not (isinstance(answer, _Failure) and answer.is_input):
                return cast(Given, error)
            if isinstance(error, StopIteration):  # would look like the end: as for generators (PEP 479)
                raise RuntimeError("code that a pipelined request called raised StopIteration") from error
            raise
        except BaseException:
            self.close()
            raise

    def _settled(self, unsettled: _Unsettled) -> BaseHTTPResponse:
        """The response that stands, by the pool's usual loop, which goes on from what the request has met."""
        pipelined = unsettled.request
        pipelined.start()
        try:
            response = self._followed(unsettled)
        except BaseException as error:
            pipelined.end(None, error)
            raise
        pipelined.end(response)
        return response

    def _followed(self, unsettled: _Unsettled) -> BaseHTTPResponse:
        pipelined, response, error = unsettled
        request = pipelined.settled()
        if response is None and error is None:
            return self._senders.single(request)
        met = [] if error is None else [error]

        def attempt(request: Request) -> BaseHTTPResponse:
            if met:
                raise met.pop()
            pipelined.count_attempt()
            return self._senders.attempt(request)

        return run(attempt, request, response)

    # -- a batch --

    def _fill(self) -> None:
        """Have something to give out: the answers of one batch. StopIteration at the end."""
        if not self._filling.acquire(blocking=False):
            raise RuntimeError("this pipeline is at work already: each thread needs one of its own")
        try:
            self._resume_clocks()
            self._left_at = time.monotonic()
            self._take()
            self._resume_clocks()  # what the iterable took is the caller's time, too
            self._stop_if_closed()
            if not self._waiting:
                self._items = None
                raise StopIteration
            self._send()
            self._stop_if_closed()
        except Exception:
            raise
        except BaseException:
            self.close()
            raise
        finally:
            self._left_at = time.monotonic()
            self._filling.release()

    def _stop_if_closed(self) -> None:
        if self._is_closed:
            self.close()  # once more, for what has come since
            raise StopIteration

    def _take(self) -> None:
        """Take items until ``depth`` requests wait."""
        waiting, missing = self._waiting, self._depth - len(self._waiting)
        items = self._items
        if items is None or missing <= 0:
            return
        if not waiting:
            self._clocks.clear()
        terms = self._settings.terms()
        if terms.options is not None and terms.options.deadline is not None and self._settings.has_clock:
            self._clocks.append(terms.options.deadline)
        make = self._settings.request
        for _ in range(missing):
            if self._is_closed:
                return
            try:
                item = next(items)
            except StopIteration:
                self._items = None
                return
            except Exception as error:
                self._items = None
                waiting.append(_Failure(error, is_input=True))
                return
            try:
                waiting.append(make(item, terms))
            except Exception as error:
                waiting.append(_Failure(error))

    def _send(self) -> None:
        """Send what waits, up to an item that can't be sent, and sort what comes of it."""
        requests = self._next_requests()
        if not requests:
            return
        if self._backoff is not None:
            backoff, self._backoff = self._backoff, None
            backoff.sleep()
        if not self._senders.record.allows(time.monotonic()):
            self._answers.append(_Unsettled(requests[0]))
            self._waiting[:0] = requests[1:]
            return
        batch = Batch(requests, self._alone)
        for request in requests:
            request.start()
        try:
            was_sent = self._senders.batch(batch)
        except Exception as error:
            if len(batch.answers) == len(requests):  # a program's own code, with one of the answers in hand
                self._sort(batch, error)
                return
            self._sort(batch)
            self._after_error(batch, error)
            return
        if not was_sent:
            self._answers.extend(map(_Unsettled, requests))
            return
        self._sort(batch)
        if len(batch.answers) == len(requests):
            self._alone = False
            self._senders.record.went_well(len(requests) - 1)
        else:
            self._after_close(batch)

    def _next_requests(self) -> list[PipelinedRequest]:
        """The requests of the next batch, taken from what waits: all, up to one that can't be sent.

        None if that stands first: its error is given out then.
        """
        waiting = self._waiting
        for at, request in enumerate(waiting):
            if type(request) is _Failure:
                if not at:
                    self._answers.append(request)
                self._waiting = waiting[at or 1 :]
                return cast("list[PipelinedRequest]", waiting[:at])
        self._waiting = []
        return cast("list[PipelinedRequest]", waiting)

    def _sort(self, batch: Batch, error: Exception | None = None) -> None:
        """Put aside the answers of a batch, those that a redirect or a retry may follow for the usual loop.

        ``error``: what looking at the answer that was looked at last has raised; it stands in that one's place.
        """
        is_plain = self._is_plain
        answers: list[HTTPResponse | _Unsettled | _Failure] = [
            response
            if is_plain and (response.status < 300 or response.status == 304)
            else _Unsettled(request, response)
            for request, response in zip(batch.requests, batch.answers)  # noqa: B905 - fewer answers after an error
        ]
        if error is not None:
            at = max(0, batch.judged_count - 1)
            answers[at] = _failed(batch.requests[at], error)
        self._answers.extend(answers)
        if batch.first.trace is not None:
            for request, answer in zip(batch.requests, answers):  # noqa: B905 - likewise
                if isinstance(answer, HTTPResponse):
                    request.end(answer)

    # -- requests without an answer --

    def _after_close(self, batch: Batch) -> None:
        """The server has said that it answers no more: it has not looked at what follows (RFC 9112 section 9.6)."""
        self._alone = True
        rest, sent = batch.requests[len(batch.answers) :], batch.sent - len(batch.answers)
        self._note_failure(batch, sent)
        if batch.first.trace is not None:
            for request in rest[:sent]:
                self._tell_resent(request, _unanswered(ProtocolError("the server closes the connection")))
        self._waiting[:0] = rest

    def _after_error(self, batch: Batch, error: Exception) -> None:
        """One request has met an error, or the connection failed: which go out again, and at what cost."""
        rest = list(batch.requests[len(batch.answers) :])
        sent = batch.sent - len(batch.answers)
        self._alone = self._alone or sent > 0
        is_kept_waiting = sent > 0 and (batch.is_stale or not batch.is_believed or isinstance(error, HiddenEndError))
        if not is_kept_waiting:  # the error is that of the first one without an answer
            self._answers.append(_Unsettled(rest.pop(0), error=error))
            sent -= 1
        if sent > 0 and not batch.is_stale and not isinstance(error, _OWN_LIMITS):
            self._note_failure(batch, sent)
        is_free = batch.is_stale or is_nothing_sent(error) or isinstance(error, (HiddenEndError, *_OWN_LIMITS))
        again = self._resent if is_free else self._charged
        after: list[PipelinedRequest | _Failure] = [again(request, error) for request in rest[: max(0, sent)]]
        self._waiting[:0] = [*after, *rest[max(0, sent) :]]

    def _note_failure(self, batch: Batch, unanswered: int) -> None:
        record, now = self._senders.record, time.monotonic()
        if not batch.is_believed:
            record.mixed_up(now)
        elif unanswered > 0:
            record.failed(max(0, len(batch.answers) - 1), len(batch.requests) - 1, now)
        if not record.allows(now):
            log.warning(
                "%s seems not to bear pipelining: one request at a time for %g s", self._settings.owner, FORGET_S
            )

    def _resent(self, request: PipelinedRequest, error: Exception) -> PipelinedRequest | _Failure:
        """The request once more at no cost: it was not its connection's fault that it ended; or that it may not."""
        if not may_resend(request.settled(), error):
            return _failed(request, _unanswered(error))
        self._tell_resent(request, error)
        return request

    def _tell_resent(self, request: PipelinedRequest, error: Exception) -> None:
        if (trace := request.terms.trace) is not None:
            notify(trace, "resent", request.method, request.target, error)

    def _charged(self, request: PipelinedRequest, error: Exception) -> PipelinedRequest | _Failure:
        """The request with one retry less, or that none is left."""
        met, retries = _unanswered(error), request.terms.retries
        if retries.verdict(request.method, met) is False:
            return _failed(request, met)
        try:
            owner = self._settings.owner
            left = retries.increment(request.method, request.target, error=met, _pool=owner)
        except Exception as spent:
            return _failed(request, spent)
        if left.budget is not None and not left.budget.draw():
            return _failed(request, met)
        if (trace := request.terms.trace) is not None:
            notify(trace, "retried", request.method, request.target, met, left.wait_s())
        self._backoff = left
        return request.following(left)

    # -- clocks --

    def _resume_clocks(self) -> None:
        """Let the deadlines of requests under way go on: what the caller has taken meanwhile is none of their time."""
        if self._clocks:
            away_s = time.monotonic() - self._left_at
            for clock in self._clocks:
                clock.at += away_s


#: Errors by which this side ends a connection: nothing is wrong with it.
_OWN_LIMITS = (DecodeError, ResponseTooLargeError, DeadlineExceededError)


def _failed(request: PipelinedRequest, error: Exception) -> _Failure:
    """The request's error, which stands."""
    request.end(None, error)
    return _Failure(error)


def _unanswered(error: Exception) -> ProtocolError:
    """What requests have met that were sent behind the one with this error."""
    return chained(ProtocolError("the connection ended before this pipelined request was answered", error), error)
