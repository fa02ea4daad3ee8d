"""Request: what is asked of a server, as one value from the public call down to the exchange.

A pool's or a manager's ``urlopen`` makes it once, with every argument settled; everybody below reads it, and only
``client/request_loop`` makes the next one of it (:meth:`Request.following`).  What pools and managers do differently
when a request is repeated is declared here as :class:`RequestOwner`.  Writing a request to a socket is left to
``connection``.
It carries two more values: :class:`Options`, what is wanted beyond urllib3's arguments, which ``client`` settles from
the keywords of pools and requests, and :class:`ResponseOptions`, what urllib3's arguments say of the response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast

from ..base.timeout import Deadline, Timeout
from ..base.trace import Trace
from ..http1.grammar import DEFAULT_LIMITS, Limits
from ..policy.redirect import without_body_fields
from .upload import Progress, Trailers

if TYPE_CHECKING:
    from ..http1.request_body import _TYPE_FAILEDTELL
    from ..policy.retry import Retry


EXPECT_CONTINUE_S = 1.0  # how long to wait for 100 Continue; RFC 9110 section 10.1.1 names no time, curl waits 1 s


class ResponseOptions:
    """What urllib3's arguments say of a response; never changed.

    ``preload_content``: its body is read before it goes up. ``decode_content``: reading undoes Content-Encoding.
    ``enforce_content_length``: a body cut short is an error.
    """

    __slots__ = ("decode_content", "enforce_content_length", "preload_content")

    def __init__(
        self, preload_content: bool = True, decode_content: bool = True, enforce_content_length: bool = True
    ) -> None:
        self.preload_content = preload_content
        self.decode_content = decode_content
        self.enforce_content_length = enforce_content_length


AS_USUAL = ResponseOptions()
AS_SENT = ResponseOptions(False, False)  # as requests asks for each


class Options(NamedTuple):
    """What one request wants beyond urllib3's arguments; a connection has one only while serving such a request."""

    deadline: Deadline | None = None
    trace: Trace | None = None
    write_timeout_s: float | None = None
    max_response_size: int | None = None
    max_decoded_size: int | None = None
    expect_continue_s: float | None = None
    trailers: Trailers | None = None
    limits: Limits = DEFAULT_LIMITS
    progress: Progress | None = None
    attempt_hooks: tuple[Callable[..., object], ...] = ()  # each a ``request_hooks.Hook``
    is_time_only: bool = False  # nothing but a deadline or a write timeout: the exchange is as usual

    def without_body(self) -> Options:
        """The same for a request that has no body."""
        return self._replace(expect_continue_s=None, trailers=None)

    def with_trace(self, trace: Trace) -> Options:
        """The same with another listener."""
        return self._replace(trace=trace, is_time_only=False)

    def with_deadline(self, deadline: Deadline) -> Options:
        """The same with another deadline."""
        return self._replace(deadline=deadline)

    def with_times(self, deadline: Deadline | None, write_timeout_s: float | None) -> Options:
        """The same with these limits."""
        return self._replace(deadline=deadline, write_timeout_s=write_timeout_s)


class _ByCaller(int):
    """False to all who ask; see BY_CALLER."""

    def __repr__(self) -> str:
        return "False"


#: As ``redirect=`` of a pool's urlopen: not to be followed, for whoever calls judges redirects, and reads their bodies
#: or throws them away. Where it is lost on the way, bodies are read early; nothing else depends on it.
BY_CALLER = cast(bool, _ByCaller(0))

_NO_LIMITS = Timeout()


class RequestOwner(Protocol):
    """What the loop asks of the pool or manager whose request it repeats."""

    def _pool_of(self, url: str) -> object:
        """The pool that a target belongs to, for error messages."""

    def _absolute(self, target: str) -> str:
        """The URL of one of the owner's targets."""

    def _redirect_target(self, url: str, location: str) -> str:
        """The target that ``location`` means in an answer from ``url``. HostChangedError."""

    def _log_redirect(self, url: str, target: str) -> None:
        """Tell the log of a redirect that is followed."""


class Received(Protocol):
    """What is asked of a response that goes up to the caller."""

    def get_redirect_location(self) -> object:
        """Where it points to, false for one that is no redirect."""

    def accept(self, preload: bool) -> None:
        """Read its body if that was asked for."""


Self = TypeVar("Self", bound="Request")


class OutgoingRequest:
    """What an exchange reads of a request; ``Request`` says what each means."""

    __slots__ = (
        "body",
        "chunked",
        "headers",
        "method",
        "target",
        "wanted",
    )

    def __init__(self, method: str, target: str, body: object, headers: Mapping[str, str] | None) -> None:
        self.method = method
        self.target = target
        self.body = body
        self.headers = headers
        self.chunked = False
        self.wanted = AS_USUAL


class Request(OutgoingRequest):
    """One request: what is sent, what may follow, and whose it is.

    =================== ===================================================================================
    owner               the pool or manager
    method, target      the request line; for a manager the target is the absolute URL
    body, body_start    anything urllib3 takes; where a file stood, or what kept it from telling; None: no file
    headers             the caller's fields
    retries             what may still be tried again
    redirect            whether redirects are followed; BY_CALLER: judged by whoever calls
    redirects_only      a manager's: the pools have judged errors and statuses
    deadline, trace     as in ``options``, None if there are none
    timeout             the caller's limits, each attempt has a clock of its own
    pool_timeout        seconds to wait for a connection; None: the pool's
    options             what is wanted beyond urllib3's arguments, None: nothing but perhaps a listener that wants
                        nothing of exchanges (``trace``)
    chunked             whether the body is framed in chunks whatever its length
    wanted              what urllib3's arguments say of the response
    release_conn        whether a response of another class gives its connection back at once; None: if preloaded
    =================== ===================================================================================
    """

    __slots__ = (
        "body_start",
        "deadline",
        "options",
        "owner",
        "pool_timeout",
        "redirect",
        "redirects_only",
        "release_conn",
        "retries",
        "timeout",
        "trace",
    )

    def __init__(
        self,
        owner: RequestOwner,
        method: str,
        target: str,
        body: object,
        headers: Mapping[str, str] | None,
        retries: Retry,
    ) -> None:
        self.owner = owner
        self.method = method
        self.target = target
        self.body = body
        self.headers = headers
        self.retries = retries
        self.redirect = True
        self.redirects_only = False
        self.body_start: int | _TYPE_FAILEDTELL | None = None
        self.deadline: Deadline | None = None
        self.trace: Trace | None = None
        self.timeout = _NO_LIMITS
        self.pool_timeout: float | None = None
        self.options: Options | None = None
        self.chunked = False
        self.wanted = AS_USUAL
        self.release_conn: bool | None = None

    def following(self: Self, retries: Retry) -> Self:
        """The same request once more, with what ``retries`` leaves."""
        request = copy(self)
        request.retries = retries
        return request

    def all_options(self) -> Options | None:
        """``options``, or those that its listener wants while a connection is made."""
        return Options(trace=self.trace) if self.options is None and self.trace is not None else self.options

    def for_target(self: Self, target: str) -> Self:
        """The same request with another target."""
        request = copy(self)
        request.target = target
        return request

    def drop_body(self) -> None:
        """Go on as a GET without a body, and without what told of one."""
        self.method, self.body, self.body_start, self.chunked = "GET", None, None, False
        self.headers = without_body_fields(self.headers)
        if self.options is not None:
            self.options = self.options.without_body()

    def complete(self, response: Received) -> None:
        """Read what the caller wants read of a response that goes up; of a redirect that the caller judges, nothing."""
        if self.redirect is not BY_CALLER or not response.get_redirect_location():
            response.accept(self.wanted.preload_content)
