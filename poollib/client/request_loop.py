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
from http.client import HTTPException
from typing import Any, cast

from ..base.logs import logger, shown_url
from ..base.timeout import Deadline
from ..base.trace import Trace, notify
from ..base.url import Url, join
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
)
from ..http1.request_body import is_replayable, rewind_body
from ..policy.redirect import (
    different_locations,
    dropped_fields,
    names_no_host,
    turns_into_get,
    without_body_fields,
    without_fields,
)
from ..policy.retry import Retry

log = logger(__name__)


class _ByCaller(int):
    """False to all who ask; see BY_CALLER."""

    def __repr__(self) -> str:
        return "False"


#: As ``redirect=`` of a pool's urlopen: not to be followed, for whoever calls judges redirects, and reads their bodies
#: or throws them away. Where it is lost on the way, bodies are read early; nothing else depends on it.
BY_CALLER = cast(bool, _ByCaller(0))

RETRYABLE = (TimeoutError, ProtocolError, SSLError, ProxyError, OSError, HTTPException)


class Call:
    """One request as the loop sees it: what is sent, what may follow, and whose it is.

    ``owner`` is the pool or manager, for error messages. Subclasses add what only ``send`` reads.
    """

    __slots__ = (
        "body",
        "body_pos",
        "deadline",
        "headers",
        "method",
        "owner",
        "redirect",
        "redirects_only",
        "retries",
        "trace",
        "url",
    )

    def __init__(
        self, owner: Any, method: str, url: str, body: Any, headers: Any, retries: Retry, redirect: bool
    ) -> None:
        self.owner = owner
        self.method = method
        self.url = url
        self.body = body
        self.headers = headers
        self.retries = retries
        self.redirect = redirect
        self.redirects_only = False  # a manager's turn: the pools have judged errors and statuses
        self.body_pos: Any = None
        self.deadline: Deadline | None = None
        self.trace: Trace | None = None

    def following(self, retries: Retry) -> Call:
        """The same request once more, with what ``retries`` leaves."""
        from copy import copy

        call = copy(self)
        call.retries = retries
        return call

    def drop_body(self) -> None:
        """Go on as a GET without a body, and without what told of one."""
        self.method, self.body, self.body_pos = "GET", None, None
        self.headers = without_body_fields(self.headers)

    def complete(self, response: Any) -> None:
        """Read what the caller wants read of a response that goes up to it; nothing is read of one that does not."""


def run(send: Callable[[Call], Any], call: Call) -> Any:
    """The response that stands: neither retried nor redirected any further.

    MaxRetryError when ``call.retries`` is spent; errors that may not be tried again as they come.
    """
    if call.retries.budget is not None and not call.redirects_only:
        call.retries.budget.pay_in()
    while True:
        try:
            response = send(call)
        except RETRYABLE as error:
            again = None if call.redirects_only else _after_error(call, error)
            if again is None:
                raise
            call = again
        else:
            status, retries = response.status, call.retries
            if (
                (status < 300 or status == 304)
                and not retries.status_forcelist
                and retries.retry_on is None
                and type(retries) is Retry
            ):
                return response  # the common case: neither a redirect nor a status to try again
            following = _judged(call, response)
            if following is None:
                return response
            call = following
        if call.body_pos is not None:
            rewind_body(call.body, call.body_pos)


def _judged(call: Call, response: Any) -> Call | None:
    """As ``after``; of a response that stands, the body is read. If that fails, it is this attempt's error."""
    try:
        following = next_request(call, response)
        if following is None:
            call.complete(response)
        return following
    except RETRYABLE as error:
        again = _after_error(call, error) if phase_of(error) == READING_THE_BODY else None
        if again is None:
            _let_go(response)
            raise
        return again
    except BaseException:  # an interrupt, or what a Retry of somebody's own raises
        _let_go(response)
        raise


def _let_go(response: Any) -> None:
    """Close a response that nobody will get, if it still holds a connection: whoever keeps the error kept the slot."""
    if getattr(response, "_connection", None) is not None:
        response.close()


def _after_error(call: Call, error: Exception) -> Call | None:
    """The request once more after an error; None if the caller shall see the error, MaxRetryError if no try is left.

    No frame that looks at the error stays in its traceback, and one that was tried again keeps none at all: rings of
    errors and frames would hold memory until the garbage collector comes by.
    """
    if isinstance(error, DeadlineExceededError) or is_from_body(error) or not _may_repeat(call, error):
        return None
    before = error.__traceback__
    try:
        pool = call.owner._pool_of(call.url)
        retries = call.retries.increment(call.method, call.url, error=error, _pool=pool, _stacktrace=before)
    except RETRYABLE as raised:
        if raised is not error:
            raise
        error.__traceback__ = before
        return None
    finally:
        del before
    if retries.budget is not None and not retries.budget.draw():
        return None
    _wait(call, retries, None, error)
    shown = shown_url(call.url)
    log.warning(
        "Retrying (%r) after connection broken by '%r': %s",
        retries,
        error,
        shown,
        extra={"__urllib3-retry-warning": {"retry": retries, "error": error, "url": shown}},
    )
    _forget_frames(error)
    return call.following(retries)


def _forget_frames(error: BaseException | None) -> None:
    """Take the tracebacks off an error and what caused it."""
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _may_repeat(call: Call, error: Exception) -> bool:
    """Whether the server can't have seen the request, or may see it twice (RFC 9110 section 9.2.2), still whole."""
    retries = call.retries
    verdict = retries.verdict(call.method, error)
    if verdict is False:
        return False
    if is_nothing_sent(error) or retries._is_connection_error(error):
        return True
    if _is_body_consumed(call):
        return False
    if verdict:
        return True
    return retries._is_read_error(error) or retries._is_method_retryable(call.method)  # Retry judges read errors itself


def may_resend(call: Call, error: Exception) -> bool:
    """Whether a request that died with the kept connection it went to may go out once more, on another one."""
    if is_nothing_sent(error):
        return True
    return not is_from_body(error) and call.retries._is_method_retryable(call.method) and not _is_body_consumed(call)


def _is_body_consumed(call: Call) -> bool:
    """Whether the body, once sent, is gone: an iterator. Files that cannot go back are found out by going back."""
    return call.body is not None and call.body_pos is None and not is_replayable(call.body)


def _raise_if_body_consumed(call: Call) -> None:
    if _is_body_consumed(call):
        raise UnrewindableBodyError(f"the body cannot be sent again: this {type(call.body).__name__} is spent")


def next_request(call: Call, response: Any) -> Call | None:
    """The request that follows ``response``; None if the response stands.

    Drains the response, waits as ``retries`` says, and tells the trace. MaxRetryError where Retry asks to raise.
    """
    location = call.redirect and response.get_redirect_location()
    if location:
        return _redirected(call, response, str(location))
    if call.redirects_only:
        return None
    try:
        wanted = call.retries.verdict(call.method, response)
    except BaseException:
        response.close()
        raise
    if wanted is None:
        has_retry_after = bool(response.headers.get("Retry-After"))
        wanted = call.retries.is_retry(call.method, response.status, has_retry_after)
    if not wanted:
        return None
    retries = _incremented(call, response, call.retries.raise_on_status)
    if retries is None or (retries.budget is not None and not retries.budget.draw()):
        return None
    response.drain_conn()
    _raise_if_body_consumed(call)
    _wait(call, retries, response, response.status)
    log.debug("Retry: %s", shown_url(call.url))
    return call.following(retries)


def _incremented(call: Call, response: Any, raises: bool) -> Retry | None:
    """What is left after this response; None if nothing is and the response shall stand."""
    try:
        return call.retries.increment(call.method, call.url, response=response, _pool=call.owner._pool_of(call.url))
    except MaxRetryError:
        if raises:
            response.drain_conn()
            raise
        return None


def _redirected(call: Call, response: Any, location: str) -> Call | None:
    """The redirect rule: method, body and fields of the request that goes to ``location``."""
    if locations := different_locations(response.headers):
        response.drain_conn()
        first, *others = locations
        raise LocationParseError.because(first, f"is one of several Locations: {', '.join(map(shown_url, others))}")
    if call.retries.redirect_policy is not None and not _is_welcome(call, response, location):
        return None
    retries = _incremented(call, response, call.retries.raise_on_redirect)
    if retries is None:
        return None
    following = call.following(retries)
    try:
        following.url = call.owner._redirect_target(call.url, location)
        dropped = dropped_fields(call.url, following.url, call.owner._same_origin, retries)
    except BaseException:
        response.drain_conn()
        raise
    if turns_into_get(response.status, call.method):
        following.drop_body()
    if dropped:
        following.headers = without_fields(following.headers, dropped)
    response.drain_conn()
    _raise_if_body_consumed(following)
    if call.trace is not None:
        notify(call.trace, "redirected", call.method, call.url, response.status, following.url)
    _wait_for_retry_after(call, retries, response)
    call.owner._log_redirect(call.url, following.url)
    return following


def _is_welcome(call: Call, response: Any, location: str) -> bool:
    """What the caller's ``redirect_policy`` says of two absolute URLs; an error of its own frees the connection."""
    owner, policy, url = call.owner, call.retries.redirect_policy, call.url
    assert policy is not None
    if names_no_host(url):
        url = Url(scheme=owner.scheme, host=owner.host, port=owner.port).url + ("" if url == "*" else url)
    try:
        return policy(url, join(url, location))
    except BaseException:
        response.close()
        raise


def _wait(call: Call, retries: Retry, response: Any, reason: object) -> None:
    wait_s = retries.wait_s(response) if call.trace is not None or call.deadline is not None else 0.0
    if call.trace is not None:
        notify(call.trace, "retried", call.method, call.url, reason, wait_s)
    _check_wait(call, wait_s)
    retries.sleep(response)


def _wait_for_retry_after(call: Call, retries: Retry, response: Any) -> None:
    if call.deadline is not None:
        _check_wait(call, retries.wait_s(response))
    retries.sleep_for_retry(response)


def _check_wait(call: Call, wait_s: float) -> None:
    """Raise at once if the deadline ends before the wait would."""
    if call.deadline is not None and wait_s and wait_s >= call.deadline.remaining_s("waiting before a retry"):
        message = f"the deadline ends before a wait of {wait_s:.3g} s would"
        raise DeadlineExceededError(message, "waiting before a retry")
