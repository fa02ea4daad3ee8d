"""The one loop: send a request, and again, until its answer stands.

A response is judged by its head; its body is read only once it is known that the response goes up to the caller.

:func:`run` is used by a pool (errors, statuses, redirects on one host) and by a manager (redirects to other hosts),
nested at most twice and never recursive.  :func:`next_request` says what the request that follows a response is, or
that none follows.  What a redirect keeps of a request is ``policy/redirect``'s to say, what may be tried again and how
long to wait ``policy/retry``'s; connections are the caller's: ``send`` returns or raises holding no slot, unless the
response owns it, so that waiting here never keeps a connection from others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, TypeVar

from ..base.loggers import logger, shown_url
from ..base.trace import notify
from ..base.url import join
from ..exceptions import (
    READING_THE_BODY,
    DeadlineExceededError,
    LocationParseError,
    MaxRetryError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,
    UnrewindableBodyError,
    is_from_body,
    is_nothing_sent,
    phase_of,
    unmark_nothing_sent,
)
from ..exchange.base_response import BaseHTTPResponse
from ..exchange.request_value import Request
from ..http1.request_body import is_replayable, rewind_body
from ..policy.redirect import (
    different_locations,
    dropped_fields,
    names_no_host,
    same_origin,
    turns_into_get,
    without_fields,
)
from ..policy.retry import Retry

if TYPE_CHECKING:
    from ..policy.circuit_breaker import Circuit

log = logger(__name__)

R = TypeVar("R", bound=Request)

RETRYABLE = (TimeoutError, ProtocolError, SSLError, ProxyError, OSError, HTTPException)


class StaleConnection(Exception):
    """How an attempt ends that was none: the request goes out once more on another connection, and no retry is spent.

    A kept connection had died before a byte of an answer came, or one was made by settings that hold no more.
    ``nothing_sent``: no byte of the request had left on it.
    """

    def __init__(self, nothing_sent: bool = False) -> None:
        self.nothing_sent = nothing_sent


def run(send: Callable[[R], BaseHTTPResponse], request: R, first: BaseHTTPResponse | None = None) -> BaseHTTPResponse:
    """The response that stands: neither retried nor redirected any further; its body is read if that was asked for.

    ``send`` makes one attempt: a response, an error, or StaleConnection. ``first``: what has come already in answer to
    ``request``. MaxRetryError when ``request.retries`` is spent; errors that may not be tried again as they come. Their
    ``nothing_sent`` speaks of all attempts, and of the requests that were redirected here.
    """
    was_sent = first is not None
    if request.retries.budget is not None and not request.redirects_only:
        request.retries.budget.pay_in()
    while True:
        try:
            response = send(request) if first is None else first
        except StaleConnection as stale:
            was_sent = was_sent or not stale.nothing_sent
            _forget_frames(stale)
        except RETRYABLE as error:
            again = None if request.redirects_only else _after_error(request, error, was_sent)
            if again is None:
                _speak_for_all(error, was_sent)
                raise
            was_sent = was_sent or not is_nothing_sent(error)
            request = again
        except MaxRetryError as spent:  # of a pool, to a manager that was redirected there
            _speak_for_all(spent, was_sent)
            raise
        else:
            status, retries, stands = response.status, request.retries, False
            if (  # the common case: neither a redirect nor a status to try again
                (status < 300 or status == 304)
                and not retries.status_forcelist
                and retries.retry_on is None
                and type(retries) is Retry
            ):
                if not isinstance(response, BaseHTTPResponse) or not response.is_pending:
                    return response
                if request.options is None and not request.wanted.preload_content:
                    response.is_pending = False  # there is nothing to read, and no limit to keep
                    return response
                stands = True
            following = _judged(request, response, stands)
            if following is None:
                return response
            request, first, was_sent = following, None, True
        if request.body_start is not None:
            rewind_body(request.body, request.body_start)


def _speak_for_all(error: Exception, was_sent: bool) -> None:
    """Let an error that goes up say of all attempts whether something was sent, and not of the last one alone."""
    if was_sent:
        unmark_nothing_sent(error)


def guarded(send: Callable[[R], BaseHTTPResponse], owner: object, circuit: Circuit) -> Callable[[R], BaseHTTPResponse]:
    """``send``, where the circuit allows it, its outcome counted; that a kept connection was dead says nothing."""
    return circuit.wrap(send, owner, unseen=(StaleConnection,))


def _judged(request: R, response: BaseHTTPResponse, stands: bool) -> R | None:
    """The request that follows; None if the response stands: its body is read then.

    Here alone a body is read or thrown away, once it is known which. If reading fails, it is this attempt's error.
    """
    try:
        if not stands:
            following = next_request(request, response)
            if following is not None:
                return following
            stands = True
        if isinstance(response, BaseHTTPResponse):  # a stub that a recorder put in the response's place stays as it is
            request.complete(response)
        return None
    except RETRYABLE as error:
        again = _after_error(request, error, True) if stands or phase_of(error) == READING_THE_BODY else None
        if again is None:
            _let_go(response)
            raise
        return again
    except BaseException:  # an interrupt, or what a Retry of somebody's own raises
        _let_go(response)
        raise


def _let_go(response: BaseHTTPResponse) -> None:
    """Close a response that nobody will get, if it still holds a connection: whoever keeps the error kept the slot."""
    if getattr(response, "_connection", None) is not None:
        response.close()


def _after_error(request: R, error: Exception, was_sent: bool) -> R | None:
    """The request once more after an error; None if the caller shall see the error, MaxRetryError if no try is left.

    ``was_sent``: bytes of it may have left before this attempt.

    No frame that looks at the error stays in its traceback, and one that was tried again keeps none at all: rings of
    errors and frames would hold memory until the garbage collector comes by.
    """
    if isinstance(error, DeadlineExceededError) or is_from_body(error):
        return None
    verdict = request.retries.verdict(request.method, error)
    if not _may_repeat(request, error, verdict):
        return None
    before = error.__traceback__
    try:
        pool = _pool_of(request)
        retries = request.retries.after_error(request.method, request.target, error, pool, verdict)
    except MaxRetryError as spent:
        spent.nothing_sent = is_nothing_sent(error) and not was_sent
        raise
    except RETRYABLE as raised:
        if raised is not error:
            raise
        error.__traceback__ = before
        return None
    finally:
        del before
    if retries.budget is not None and not retries.budget.draw():
        return None
    _wait(request, retries, None, error)
    shown = shown_url(request.target)
    log.warning(
        "Retrying (%r) after connection broken by '%r': %s",
        retries,
        error,
        shown,
        extra={"__urllib3-retry-warning": {"retry": retries, "error": error, "url": shown}},
    )
    _forget_frames(error)
    return request.following(retries)


def _pool_of(request: Request) -> object:
    """The pool that a request goes to, for error messages."""
    return request.owner._pool_of(request.target)


def _absolute(request: Request, target: str) -> str:
    """The URL of a target of this request's owner."""
    return request.owner._absolute(target) if names_no_host(target) else target


def _same_origin(request: Request, target: str, other: str) -> bool:
    """Whether two targets belong together: only managers and a forwarding proxy's pool see whole URLs."""
    if names_no_host(target) and names_no_host(other):
        return True
    return same_origin(_absolute(request, target), _absolute(request, other))


def _forget_frames(error: BaseException | None) -> None:
    """Take the tracebacks off an error and what caused it."""
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _may_repeat(request: Request, error: Exception, verdict: bool | None) -> bool:
    """Whether the server can't have seen the request, or may see it twice (RFC 9110 section 9.2.2), still whole."""
    retries = request.retries
    if verdict is False:
        return False
    if is_nothing_sent(error) or retries.may_repeat_unseen(error):
        return True
    if _is_body_consumed(request):
        return False
    if verdict:
        return True
    return retries.may_repeat_seen(request.method, error)


def may_resend(request: Request, error: Exception) -> bool:
    """Whether a request that died with the kept connection it went to may go out once more, on another one.

    Not where the caller wants none repeated that was sent (``retries=False``, 0, ``read=False``): such callers count
    requests on the wire. What a redirect or a status has spent says nothing of that.
    """
    if is_nothing_sent(error):
        return True
    retries = request.retries
    if not retries.history and (retries.total in _NONE or retries.read in _NONE):
        return False
    is_repeatable = request.retries.may_repeat_seen(request.method) and not _is_body_consumed(request)
    return is_repeatable and not is_from_body(error)


_NONE = (0, False)


def _is_body_consumed(request: Request) -> bool:
    """Whether the body, once sent, is gone: an iterator. Files that cannot go back are found out by going back."""
    return request.body is not None and request.body_start is None and not is_replayable(request.body)


def _raise_if_body_consumed(request: Request) -> None:
    if _is_body_consumed(request):
        raise UnrewindableBodyError(f"the body cannot be sent again: this {type(request.body).__name__} is spent")


def next_request(request: R, response: BaseHTTPResponse) -> R | None:
    """The request that follows ``response``; None if the response stands.

    Drains the response, waits as ``retries`` says, and tells the trace. MaxRetryError where Retry asks to raise.
    """
    location = request.redirect and response.get_redirect_location()
    if location:
        return _redirected(request, response, str(location))
    if request.redirects_only:
        return None
    try:
        wanted = request.retries.verdict(request.method, response)
    except BaseException:
        response.close()
        raise
    if wanted is None:
        has_retry_after = bool(response.headers.get("Retry-After"))
        wanted = request.retries.is_retry(request.method, response.status, has_retry_after)
    if not wanted:
        return None
    retries = _incremented(request, response, request.retries.raise_on_status)
    if retries is None or (retries.budget is not None and not retries.budget.draw()):
        return None
    response.drain_conn()
    _raise_if_body_consumed(request)
    _wait(request, retries, response, response.status)
    log.debug("Retry: %s", shown_url(request.target))
    return request.following(retries)


def _incremented(request: Request, response: BaseHTTPResponse, raises: bool) -> Retry | None:
    """What is left after this response; None if nothing is and the response shall stand."""
    try:
        pool = _pool_of(request)
        return request.retries.increment(request.method, request.target, response=response, _pool=pool)
    except MaxRetryError:
        if raises:
            response.drain_conn()
            raise
        return None


def _redirected(request: R, response: BaseHTTPResponse, location: str) -> R | None:
    """The redirect rule: method, body and fields of the request that goes to ``location``."""
    if locations := different_locations(response.headers):
        response.drain_conn()
        first, *others = locations
        raise LocationParseError.because(first, f"is one of several Locations: {', '.join(map(shown_url, others))}")
    if request.retries.redirect_policy is not None and not _is_welcome(request, response, location):
        return None
    retries = _incremented(request, response, request.retries.raise_on_redirect)
    if retries is None:
        return None
    following = request.following(retries)
    try:
        following.target = request.owner._redirect_target(request.target, location)
        dropped = dropped_fields(request.target, following.target, partial(_same_origin, request), retries)
    except BaseException:
        response.drain_conn()
        raise
    if turns_into_get(response.status, request.method):
        following.drop_body()
    if dropped:
        following.headers = without_fields(following.headers, dropped)
    response.drain_conn()
    _raise_if_body_consumed(following)
    if request.trace is not None:
        notify(request.trace, "redirected", request.method, request.target, response.status, following.target)
    _wait_for_retry_after(request, retries, response)
    request.owner._log_redirect(request.target, following.target)
    return following


def _is_welcome(request: Request, response: BaseHTTPResponse, location: str) -> bool:
    """What the caller's ``redirect_policy`` says of two absolute URLs; an error of its own frees the connection."""
    policy, url = request.retries.redirect_policy, _absolute(request, request.target)
    assert policy is not None
    try:
        return policy(url, join(url, location))
    except BaseException:
        response.close()
        raise


def _wait(request: Request, retries: Retry, response: BaseHTTPResponse | None, reason: object) -> None:
    wait_s = retries.wait_s(response) if request.trace is not None or request.deadline is not None else 0.0
    if request.trace is not None:
        notify(request.trace, "retried", request.method, request.target, reason, wait_s)
    _check_wait(request, wait_s)
    retries.sleep(response)


def _wait_for_retry_after(request: Request, retries: Retry, response: BaseHTTPResponse) -> None:
    if request.deadline is not None:
        _check_wait(request, retries.wait_s(response))
    retries.sleep_for_retry(response)


def _check_wait(request: Request, wait_s: float) -> None:
    """Raise at once if the deadline ends before the wait would."""
    if request.deadline is not None and wait_s and wait_s >= request.deadline.remaining_s("waiting before a retry"):
        message = f"the deadline ends before a wait of {wait_s:.3g} s would"
        raise DeadlineExceededError(message, "waiting before a retry")
