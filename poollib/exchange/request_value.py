"""Request: what is asked of a server, as one value from the public call down to the exchange.

A pool's or a manager's ``urlopen`` makes it once, with every argument settled; everybody below reads it, and only
``client/request_loop`` makes the next one of it (:meth:`Request.following`).  What pools and managers do differently
when a request is repeated is declared here as :class:`RequestOwner`.  Writing a request to a socket is left to
``connection``.

A program's hooks stand around requests, or around their attempts: :func:`run_hooked` calls the first with a ``send``
that leads to the second, and so on to the real one; ``docs/hooks.rst`` has recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast

from ..base.headers import HTTPHeaderDict
from ..base.timeout import Deadline, Timeout
from ..base.trace import Trace
from ..exceptions import UnrewindableBodyError
from ..http1.request_body import is_replayable, rewind_body, set_file_position
from ..policy.redirect import without_body_fields
from .base_response import BaseHTTPResponse
from .options import AS_USUAL, Options

if TYPE_CHECKING:
    from ..http1.request_body import _TYPE_FAILEDTELL
    from ..policy.retry import Retry


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

    def _same_origin(self, url: str, other: str) -> bool:
        """Whether two targets have the same scheme, host and port."""

    def _log_redirect(self, url: str, target: str) -> None:
        """Tell the log of a redirect that is followed."""


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
    options             what is wanted beyond urllib3's arguments, None: nothing
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

    def drop_body(self) -> None:
        """Go on as a GET without a body, and without what told of one."""
        self.method, self.body, self.body_start, self.chunked = "GET", None, None, False
        self.headers = without_body_fields(self.headers)
        if self.options is not None:
            self.options = self.options._replace(expect_continue_s=None, trailers=None)

    def complete(self, response: BaseHTTPResponse) -> None:
        """Read what the caller wants read of a response that goes up; of a redirect that the caller judges, nothing."""
        if self.redirect is not BY_CALLER or not response.get_redirect_location():
            response.accept(self.wanted.preload_content)


# Hooks


class Drained(Protocol):
    """What is asked of a response that a hook does not hand up."""

    def drain_conn(self) -> None:
        """Throw the rest of the body away."""


R = TypeVar("R", bound=Drained)


class HookRequest:
    """A request as hooks see it; all of it may be changed before it is sent.

    ``url``: absolute from a manager, as the caller gave it to a pool. ``headers``: this request's own copy.
    ``options``: the further keywords of ``urlopen``, such as ``timeout`` and ``retries``.
    """

    __slots__ = ("body", "headers", "method", "options", "url")

    def __init__(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: object, options: dict[str, Any]
    ) -> None:
        self.method = method
        self.url = url
        self.headers = HTTPHeaderDict(headers)
        self.body = body
        self.options = options


#: As ``hooks=`` of a pool's urlopen: a manager has run them.
RUN: Final[tuple[object, ...]] = ("run by the manager",)


def hooks_of(*keywords: Mapping[str, Any]) -> list[Any]:
    """The hooks that these keywords name, in order; none if a manager has run them. TypeError for what is no list."""
    return [] if any(given.get("hooks") is RUN for given in keywords) else hooks_named("hooks", *keywords)


def hooks_named(name: str, *keywords: Mapping[str, Any]) -> list[Any]:
    """What stands in the keywords by this name, one behind the other. TypeError for what is no list of callables."""
    found: list[Any] = []
    for given in keywords:
        hooks = given.get(name)
        if callable(hooks) or isinstance(hooks, (str, bytes)):
            raise TypeError(f"{name} must be a list of callables, not {hooks!r}")
        found += hooks or ()
    for hook in found:
        if not callable(hook):
            raise TypeError(f"{name} must be callables (request, send), not {hook!r}")
    return found


def run_hooked(
    hooks: Iterable[Callable[[HookRequest, Callable[[HookRequest], R]], R]],
    request: HookRequest,
    send: Callable[[HookRequest], R],
) -> R:
    """What the first hook returns; ``send`` is what the last one calls."""
    for hook in reversed(list(hooks)):
        send = _Link(hook, _Repeated(send))
    return send(request)


class _Link(Generic[R]):
    """A hook that is called as the ``send`` of the one before."""

    def __init__(
        self, hook: Callable[[HookRequest, Callable[[HookRequest], R]], R], send: Callable[[HookRequest], R]
    ) -> None:
        self._hook, self._send = hook, send

    def __call__(self, request: HookRequest) -> R:
        return self._hook(request, self._send)


class _Repeated(Generic[R]):
    """A ``send`` that may be called more than once: the answer before is thrown away, the body goes back."""

    def __init__(self, send: Callable[[HookRequest], R]) -> None:
        self._send = send
        self._sent: object = None
        self._start: Any = None
        self._answer: R | None = None

    def __call__(self, request: HookRequest) -> R:
        if self._answer is not None:
            self._answer.drain_conn()
            self._answer = None
        body = request.body
        if body is not None and body is self._sent:
            if self._start is not None:
                rewind_body(body, self._start)
            elif not is_replayable(body):
                raise UnrewindableBodyError(f"the body cannot be sent again: this {type(body).__name__} is spent")
        elif body is not None:
            self._sent, self._start = body, set_file_position(body, request.options.get("body_pos"))
        if self._start is not None and body is self._sent:
            request.options["body_pos"] = self._start
        self._answer = self._send(request)
        return self._answer


#: What stands around a request or an attempt: it gets the request and how to send it on.
Hook: TypeAlias = Callable[[HookRequest, Callable[[HookRequest], BaseHTTPResponse]], BaseHTTPResponse]
