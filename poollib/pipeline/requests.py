"""What may be pipelined: from what callers put into a pipeline to requests that are ready to be sent.

:class:`Settings` holds what all requests of one pipeline have in common, settled once; its ``request`` makes a
``PipelinedRequest`` of one item, or says why it can't be pipelined.  One is small, as there are many: a method, a
target, and ``Terms`` shared with others.  ``batch`` sends them, ``pipeline`` decides what
follows.  Only safe methods without a body are taken: they may be repeated whatever becomes of the connection (RFC 9110
section 9.2.1), and the next request stands right behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from ..base.exact_values import exact, seconds
from ..base.headers import HTTPHeaderDict, require_mapping
from ..base.timeout import _DEFAULT_TIMEOUT, Deadline, Timeout
from ..base.trace import RequestTrace, Trace, notify
from ..base.url import match_plain_target
from ..client.extra_keywords import REQUEST_OPTIONS, take_options, with_times
from ..client.keyword_types import RequestOptions
from ..exchange.request_value import Options, Request, RequestOwner, ResponseOptions
from ..http1.request_head import Fields, prepare_fields
from ..policy.retry import Retry

if TYPE_CHECKING:
    from ..client.keyword_types import RetriesArgument, TimeoutArgument
    from ..exchange.base_response import BaseHTTPResponse

#: Methods that change nothing on the server and need no body.
METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

#: A URL to GET, or a method and a URL, or these and header fields (in place of the pipeline's).
Item: TypeAlias = "str | tuple[str, str] | tuple[str, str, Mapping[str, str] | None]"


class PipelineKeywords(RequestOptions, total=False):
    """The keywords of ``HTTPConnectionPool.pipeline`` that hold for each of its requests."""

    headers: Mapping[str, str] | None
    retries: RetriesArgument
    redirect: bool
    assert_same_host: bool
    timeout: TimeoutArgument
    pool_timeout: float | None
    decode_content: bool


class PoolDefaults(NamedTuple):
    """What a pool's requests have where they say nothing, and how the pool names what is asked for."""

    owner: RequestOwner
    headers: Mapping[str, str]
    retries: RetriesArgument
    timeout: Timeout
    options: dict[str, Any]
    target: Callable[[str, bool, Retry], str]
    with_proxy_headers: Callable[[Mapping[str, str] | None], Mapping[str, str] | None] | None
    endpoint: object = None


class Terms:
    """What requests have in common beyond a URL: those that are taken together, or those that have fields alone."""

    __slots__ = ("decode_content", "fields", "headers", "options", "retries", "settings")

    def __init__(
        self,
        settings: Settings,
        headers: Mapping[str, str],
        fields: Fields,
        retries: Retry,
        options: Options | None,
    ) -> None:
        self.settings = settings
        self.headers = headers
        self.fields = fields  # the headers in bytes
        self.retries = retries
        self.options = options  # with a running deadline, where there is one
        self.decode_content = settings.wanted.decode_content

    @property
    def trace(self) -> Trace | None:
        """Who listens."""
        return None if self.options is None else self.options.trace


class PipelinedRequest:
    """A request that can be pipelined."""

    __slots__ = ("is_told", "method", "target", "terms")

    def __init__(self, method: str, target: str, terms: Terms) -> None:
        self.method = method
        self.target = target
        self.terms = terms
        self.is_told = False  # whether a listener has heard of its beginning, and not of its end

    # -- for a listener --

    def start(self) -> None:
        """It is about to be sent for the first time, or was started before."""
        trace = self.terms.trace
        if type(trace) is RequestTrace and not self.is_told:
            self.is_told = True
            trace.begin_now()
            notify(trace, "request_started", trace.request)

    def count_attempt(self) -> None:
        """It is being sent once more."""
        trace = self.terms.trace
        if type(trace) is RequestTrace:
            trace.count_attempt(trace.request.endpoint)

    def end(self, response: BaseHTTPResponse | None, error: BaseException | None = None) -> None:
        """The caller gets this response, or the error."""
        trace = self.terms.trace
        if type(trace) is RequestTrace and self.is_told:
            self.is_told = False
            notify(trace, "request_ended", trace.request, None if response is None else response.status, error)
            if response is not None and trace.timer is not None:
                response.timer = trace.timer

    # -- as others see it --

    def settled(self) -> Request:
        """The same as what pools send one by one."""
        terms, settings = self.terms, self.terms.settings
        request = Request(settings.owner, self.method, self.target, None, terms.headers, terms.retries)
        request.redirect = settings.redirect
        request.timeout = settings.timeout
        request.pool_timeout = settings.pool_timeout
        request.wanted = settings.wanted
        if (options := terms.options) is not None:
            request.options, request.deadline, request.trace = options, options.deadline, options.trace
        return request

    def following(self, retries: Retry) -> PipelinedRequest:
        """The same once more, with what ``retries`` leaves."""
        terms = self.terms
        left = Terms(terms.settings, terms.headers, terms.fields, retries, terms.options)
        request = PipelinedRequest(self.method, self.target, left)
        request.is_told = self.is_told
        return request


class Settings:
    """What all requests of a pipeline have in common. TypeError, ValueError for keywords that it can't have."""

    def __init__(self, pool: PoolDefaults, given: PipelineKeywords) -> None:
        keywords = dict(given)
        _refuse_unknown(keywords)
        self.owner = pool.owner
        self._target = pool.target
        self._with_proxy_headers = pool.with_proxy_headers
        self._endpoint = pool.endpoint
        self.redirect = bool(keywords.pop("redirect", True))
        retries: Any = keywords.pop("retries", None)
        self.retries = Retry.from_int(retries, redirect=self.redirect, default=cast(Any, pool.retries))
        self._same_host = bool(keywords.pop("assert_same_host", True))
        self.wanted = ResponseOptions(decode_content=bool(keywords.pop("decode_content", True)))
        timeout: Any = keywords.pop("timeout", _DEFAULT_TIMEOUT)
        if timeout is _DEFAULT_TIMEOUT:
            timeout = pool.timeout
        self.timeout: Timeout = timeout if isinstance(timeout, Timeout) else Timeout.from_float(timeout)
        self._has_write_timeout = self.timeout.write is not _DEFAULT_TIMEOUT
        wait_s: Any = keywords.pop("pool_timeout", None)
        self.pool_timeout = self.timeout.pool_timeout if wait_s is None else seconds("pool_timeout", wait_s)
        headers: Any = keywords.pop("headers", None)
        headers = pool.headers if headers is None else headers
        self.headers = _copied(headers)
        self._fields = self._prepared(self.headers)
        options = take_options(pool.options, keywords)
        self._options = None if options is None else options.without_body()

    @property
    def has_listener(self) -> bool:
        """Whether somebody is told of the requests."""
        return self._options is not None and self._options.trace is not None

    @property
    def has_clock(self) -> bool:
        """Whether each request has a deadline of its own, which runs while it is under way."""
        return self.timeout.deadline is not None and not isinstance(self.timeout.deadline, Deadline)

    def terms(self) -> Terms:
        """Those of the requests that are taken now; their deadline begins to run."""
        options = self._options
        if self.timeout.deadline is not None or self._has_write_timeout:
            options = with_times(options, self.timeout)
        return Terms(self, self.headers, self._fields, self.retries, options)

    def request(self, item: Item, terms: Terms) -> PipelinedRequest:
        """The request that an item means. TypeError, ValueError, HostChangedError: it can't be pipelined here."""
        if type(item) is str:
            if match_plain_target(item) and self._with_proxy_headers is None:
                return self._with_own_trace("GET", item, terms)
            return self._with_own_trace("GET", self._target(item, self._same_host, self.retries), terms)
        method, url, headers = _parts(item)
        if headers is not None:
            headers = _copied(headers)
            terms = Terms(self, headers, self._prepared(headers), self.retries, terms.options)
        return self._with_own_trace(method, self._target(url, self._same_host, self.retries), terms)

    def _with_own_trace(self, method: str, target: str, terms: Terms) -> PipelinedRequest:
        """The request; where somebody listens, with an id of its own."""
        if (options := terms.options) is not None and options.trace is not None:
            own = RequestTrace(options.trace, method, self.owner._absolute(target), self._endpoint)
            terms = Terms(self, terms.headers, terms.fields, terms.retries, options.with_trace(own))
        return PipelinedRequest(method, target, terms)

    def _prepared(self, headers: Mapping[str, str]) -> Fields:
        """The header fields in bytes; ValueError for those that make a request one of a kind."""
        with_proxy_headers = self._with_proxy_headers
        sent = headers if with_proxy_headers is None else with_proxy_headers(headers) or headers
        fields = prepare_fields(sent.iteritems() if isinstance(sent, HTTPHeaderDict) else sent.items())
        if fields.is_framed or fields.expects_continue:
            raise ValueError("a pipelined request has no body: it can't have Content-Length, Transfer-Encoding, Expect")
        if fields.upgrade or fields.close:
            name = "Upgrade" if fields.upgrade else "Connection: close"
            raise ValueError(f"a request with {name} can't be pipelined: nothing may follow it on its connection")
        return fields


def _copied(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The fields as they are now: the caller may use the mapping for the next request. TypeError for no mapping."""
    if isinstance(headers, HTTPHeaderDict):
        return headers.copy()
    if isinstance(headers, dict):
        return dict(headers)
    require_mapping(headers)
    return HTTPHeaderDict(list(headers.items()))  # a message has several values of one name


def _refuse_unknown(keywords: dict[str, object]) -> None:
    if not keywords.pop("preload_content", True):
        raise ValueError(
            "preload_content=False can't be pipelined: a body that is not read holds up the responses behind it"
        )
    if keywords.get("hooks") or keywords.get("attempt_hooks"):
        raise TypeError("pipeline() takes no hooks: those of the pool are called, with one request in a send")
    if unknown := keywords.keys() - PipelineKeywords.__annotations__.keys() - set(REQUEST_OPTIONS):
        raise TypeError(f"pipeline() got an unexpected keyword argument {min(unknown)!r}")


def _parts(item: Any) -> tuple[str, str, Mapping[str, str] | None]:
    """Method, URL and own header fields of an item that is no plain str."""
    if isinstance(item, str):
        return "GET", exact(item), None
    if not isinstance(item, tuple) or not 2 <= len(item) <= 3:
        raise TypeError(f"pipeline() takes URLs, (method, URL) and (method, URL, headers), not {item!r:.200}")
    method, url = exact(item[0]), exact(item[1])
    if not isinstance(method, str) or not isinstance(url, str):
        raise TypeError(f"method and URL must be str, not {method!r:.100} and {url!r:.100}")
    if method.upper() not in METHODS:
        raise ValueError(f"{method!r:.100} can't be pipelined: only {', '.join(sorted(METHODS))} can, without a body")
    return method.upper(), url, item[2] if len(item) == 3 else None
