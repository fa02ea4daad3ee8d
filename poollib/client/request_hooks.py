"""A program's hooks, and its listener, around requests or around their attempts.

:func:`run_hooked` calls the first with a ``send`` that leads to the second, and so on to the real one;
``docs/hooks.rst`` has recipes.  How a request or an attempt is sent is the pool's and the manager's business: they hand
it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast

from ..base.headers import HTTPHeaderDict
from ..exceptions import UnrewindableBodyError
from ..exchange.base_response import BaseHTTPResponse
from ..http1.request_body import is_replayable, rewind_body, set_file_position
from .request_loop import StaleConnection

if TYPE_CHECKING:
    from ..base.endpoint import Endpoint
    from ..base.trace import RequestTrace
    from ..exchange.request_value import Request
    from ..policy.retry import Retry


class Drained(Protocol):
    """What is asked of a response that a hook does not hand up."""

    @property
    def connection(self) -> object:
        """What it holds while its body is not read; else None."""

    def drain_conn(self) -> None:
        """Throw the rest of the body away."""


R = TypeVar("R", bound=Drained)


class HookRequest:
    """A request as hooks see it; all of it may be changed before it is sent.

    ``url``: absolute from a manager, as the caller gave it to a pool. ``headers``: this request's own copy.
    ``options``: the further keywords of ``urlopen``, such as ``timeout`` and ``retries``.
    """

    __slots__ = ("body", "headers", "method", "options", "positioned_body", "url")

    def __init__(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: object, options: dict[str, Any]
    ) -> None:
        self.method = method
        self.url = url
        self.headers = HTTPHeaderDict(headers)
        self.body = body
        self.positioned_body = body  # whose start ``body_pos`` among the options is
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
        if hooks is None:
            continue
        if not isinstance(hooks, Sequence) or isinstance(hooks, (str, bytes)):  # an iterator would be empty next time
            raise TypeError(f"{name} must be a list of callables, not {hooks!r}")
        found += hooks
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
        send = _Link(hook, send)
    return send(request)


class _Link(Generic[R]):
    """A hook that is called as the ``send`` of the one before."""

    def __init__(
        self, hook: Callable[[HookRequest, Callable[[HookRequest], R]], R], send: Callable[[HookRequest], R]
    ) -> None:
        self._hook, self._next = hook, send

    def __call__(self, request: HookRequest) -> R:
        send = _Repeated(self._next)
        try:
            answer = self._hook(request, send)
            if not hasattr(answer, "status"):
                raise TypeError(f"a hook must return a response, not {answer!r:.100}: {self._hook!r}")
            if any(answer is lost for lost in send.lost):
                raise ValueError(
                    f"a hook returned a response whose body it threw away by sending again: {self._hook!r}; read"
                    " response.data before"
                )
        except BaseException:
            send.let_go()
            raise
        return answer


class _Repeated(Generic[R]):
    """A ``send`` that may be called more than once: the answer before is thrown away, the body goes back."""

    def __init__(self, send: Callable[[HookRequest], R]) -> None:
        self._send = send
        self._sent: object = None
        self._start: Any = None
        self._answer: R | None = None
        self.lost: list[R] = []  # answers whose bodies were thrown away

    def let_go(self) -> None:
        """Throw away what is not read of the last answer: it would keep its connection."""
        answer, self._answer = self._answer, None
        if answer is not None and answer.connection is not None:
            self.lost.append(answer)
            answer.drain_conn()

    def __call__(self, request: HookRequest) -> R:
        if not isinstance(request, HookRequest):
            raise TypeError(f"send() takes the hook's request, not {request!r:.100}")
        self.let_go()
        body = request.body
        if body is not request.positioned_body:  # a hook has put it there
            request.options.pop("body_pos", None)
            request.positioned_body = body
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


# Around a pool's requests and attempts


def run_asked(hooks: Iterable[Hook], asked: HookRequest, urlopen: Callable[..., BaseHTTPResponse]) -> BaseHTTPResponse:
    """What the hooks make of a request that ``urlopen`` sends; its options are keywords of that."""

    def send(asked: HookRequest) -> BaseHTTPResponse:
        return urlopen(asked.method, asked.url, asked.body, asked.headers, **{**asked.options, "hooks": RUN})

    return run_hooked(hooks, asked, send)


def hooked_attempt(
    hooks: Iterable[Callable[..., object]],
    attempt: Callable[[Request], BaseHTTPResponse],
    absolute: Callable[[str], str],
    target_of: Callable[[str, bool, Retry], str],
) -> Callable[[Request], BaseHTTPResponse]:
    """An attempt with hooks around it; a request that met a dead connection goes out again unseen by them.

    ``absolute``: the URL of a target; ``target_of``: the target of a URL, which must be the pool's own.
    """

    def run_attempt(request: Request) -> BaseHTTPResponse:
        url = absolute(request.target)
        asked = HookRequest(request.method, url, request.headers, request.body, {"body_pos": request.body_start})

        def send(asked: HookRequest) -> BaseHTTPResponse:
            sent = copy(request)
            sent.method, sent.headers, sent.body = asked.method, asked.headers, asked.body
            sent.body_start = asked.options.pop("body_pos", None)
            if asked.options:
                raise TypeError(f"an attempt's hook can't change options ({', '.join(asked.options)}): use hooks=")
            if asked.url != url:
                sent.target = target_of(asked.url, True, request.retries)
            while True:
                try:
                    return attempt(sent)
                except StaleConnection:
                    if sent.body_start is not None:
                        rewind_body(sent.body, sent.body_start)

        return run_hooked(cast("Iterable[Hook]", hooks), asked, send)

    return run_attempt


def counted_attempt(
    trace: RequestTrace, endpoint: Endpoint, attempt: Callable[[Request], BaseHTTPResponse]
) -> Callable[[Request], BaseHTTPResponse]:
    """An attempt that the request's listener is told of."""

    def run_attempt(request: Request) -> BaseHTTPResponse:
        trace.count_attempt(endpoint)
        return attempt(request)

    return run_attempt
