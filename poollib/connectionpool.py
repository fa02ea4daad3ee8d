"""HTTPConnectionPool, HTTPSConnectionPool: requests to one host over lent connections.

Here lending (``pool``) meets HTTP (``connection``, ``response``): a pool settles a request's arguments once, and lets
``request_loop.run`` call :meth:`HTTPConnectionPool._attempt` until the answer stands; each attempt leases a connection,
sends, reads, and gives the connection back or leaves it with the response.  How many connections there are and how
long they live is the business of ``poollib.pool``, what may be tried again ``retry``'s, what the server is asked for
``request_target``'s, how it goes is told by ``pool_status``.  The interface is urllib3's; an ``EndpointPool`` of its
own when the pool stands alone, the manager's otherwise.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from types import MethodType
from typing import TYPE_CHECKING, ClassVar, cast

from .base import after_fork
from .base.exact_values import exact_text, seconds, whole
from .base.ip import bare_host
from .base.loggers import logger, shown_url
from .base.timeout import _DEFAULT_TIMEOUT, _TYPE_TIMEOUT, Deadline, Timeout
from .base.trace import Measured, Meter, PoolMeter, RequestTrace, Trace, listener_of, notify
from .base.url import Url, bracketed, match_plain_target, normalize_host, parse_url
from .client.connection_factory import ConnectionFactory, adapt, adapt_response, request_by
from .client.endpoint_builder import (
    NOTHING,
    UNIX_SCHEME,
    USUAL_KW,
    SettingsChanged,
    TlsSetting,
    blame_proxy,
    error_of_override,
    take_dial_options,
    unix_keywords,
    warn_unverified,
)
from .client.endpoint_builder import connection_requires_http_tunnel as connection_requires_http_tunnel
from .client.endpoint_health_check import HealthCheck
from .client.extra_keywords import (
    HEALTH_OPTIONS,
    LENDING_OPTIONS,
    REQUEST_OPTIONS,
    URLOPEN_KEYWORDS,
    check_defaults,
    quiet_listener,
    refuse_unknown,
    take,
    take_fields,
    take_options,
    with_times,
)
from .client.idle_queue import CustomQueuePool, IdleQueue
from .client.lease import Lease, place_outside
from .client.pool_status import PoolStatistics
from .client.request_encoding import RequestMethods
from .client.request_hooks import HookRequest, counted_attempt, hooked_attempt, hooks_of, run_asked
from .client.request_loop import StaleConnection, guarded, may_resend, run
from .client.request_target import ConnectionPool as ConnectionPool
from .connection import GETRESPONSE, REQUEST, HTTPConnection, HTTPSConnection, Options, ProxyConfig, port_by_scheme
from .exceptions import (
    ClosedPoolError,
    FullPoolError,
    LocationValueError,
    PoolError,
    ProtocolError,
    ReadTimeoutError,
    URLSchemeUnknown,
    is_nothing_sent,
    name_pool,
)
from .exchange.base_response import log_response
from .exchange.request_sender import CROWD, SendLock, may_wait
from .exchange.request_value import AS_SENT, Request, ResponseOptions
from .http1.request_body import set_file_position
from .pipeline.pool_methods import Pipelining
from .policy.retry import Retry
from .pool.multi_endpoint_pool import EndpointPool, State
from .response import BaseHTTPResponse, HTTPResponse

if TYPE_CHECKING:
    from typing import Literal

    from typing_extensions import Unpack

    from .client.keyword_types import (
        Body,
        FilePath,
        HTTPPoolKeywords,
        HTTPSPoolKeywords,
        Keywords,
        PemOrPath,
        PoolKeywords,
        ResponseKeywords,
        RetriesArgument,
        TimeoutArgument,
    )
    from .client.lease import Connection, HTTPEndpointPool
    from .http1.request_body import _TYPE_FAILEDTELL
    from .policy.circuit_breaker import CircuitBreaker
    from .policy.rate_limit import RateLimit, Turns

log = logger(__name__)

_SYSTEMS_TIMEOUT = TimeoutError  # where poollib is urllib3, the name becomes exceptions' one
_USUAL_QUEUE = queue.LifoQueue  # lending gives the newest first by itself


class HTTPConnectionPool(Pipelining, PoolStatistics, RequestMethods):
    """A thread-safe pool of connections to one host; arguments are urllib3's and those of ``connection_pool``.

    ``maxsize`` connections are kept (below 1: all); with ``block`` there are never more, and callers wait for one
    (``pool_timeout`` seconds, None: for ever); without it further ones are opened and closed again. ``headers`` go with
    every request that brings none; ``timeout`` and ``retries`` hold where a request says nothing. Beyond urllib3's:
    ``idle_timeout``, ``max_lifetime``, ``min_idle``, ``dispose_batch_size``, ``acquire_timeout``, ``leak_timeout``,
    ``max_waiting``, ``background_collector`` (times in seconds, see ``connection_pool.EndpointPool``),
    ``health_check_interval`` (seconds) and ``health_check_path`` (see ``health``), and as defaults for every request
    ``trace``, ``max_response_size``, ``max_decoded_size`` (bytes) and ``limits``; ``uds``: the path of a Unix socket to
    dial instead of ``host``; ``resolver``, ``resolve`` (addresses by host name) and ``dns_cache`` (seconds): see
    ``dns.CachingResolver``; ``allowed_hosts``, ``blocked_networks``: see ``ssrf_guard``; ``circuit_breaker``: see
    the module of that name; ``rate``: see ``rate_limit``."""

    scheme = "http"
    ConnectionCls: ClassVar[type[HTTPConnection]] = HTTPConnection

    # What few pools have stands here, or in the classes above, until it is set: a manager may keep hundreds of pools.
    _defaults: Keywords = NOTHING
    meter: PoolMeter | None = None
    _breaker: CircuitBreaker | None = None
    _rate: RateLimit | None = None
    # These are made when they are first needed, by one dict.setdefault: whoever comes second gets the first one's.
    _queue_view: IdleQueue | None = None
    _send_lock: SendLock | None = None

    def __init__(
        self,
        host: str,
        port: int | None = None,
        timeout: TimeoutArgument = _DEFAULT_TIMEOUT,
        maxsize: int = 1,
        block: bool = False,
        headers: Mapping[str, str] | None = None,
        retries: RetriesArgument = None,
        _proxy: Url | None = None,
        _proxy_headers: Mapping[str, str] | None = None,
        _proxy_config: ProxyConfig | None = None,
        **conn_kw: Unpack[HTTPPoolKeywords],
    ) -> None:
        keywords = cast("Keywords", conn_kw)
        ConnectionPool.__init__(self, host, port)
        RequestMethods.__init__(self, headers)
        self.timeout = timeout if isinstance(timeout, Timeout) else Timeout.from_float(timeout)
        self.retries = Retry.DEFAULT if retries is None else retries
        self.block = block
        if _proxy_headers:
            self.proxy_headers = dict(_proxy_headers)
        if _proxy_config is not None:
            self.proxy_config = _proxy_config
        lending, interval_s, path = NOTHING, None, None
        if keywords.keys() - USUAL_KW.keys():
            self._dial_options = take_dial_options(keywords) or NOTHING
            self._breaker = keywords.pop("circuit_breaker", None)
            if (rate := keywords.pop("rate", None)) is not None:
                from .policy.rate_limit import rate_from

                self._rate = rate_from(rate)
            self._defaults = take(REQUEST_OPTIONS, keywords) or NOTHING
            check_defaults(self._defaults)
            lending = take(LENDING_OPTIONS, keywords)
            interval_s, path = (keywords.pop(name, None) for name in HEALTH_OPTIONS)
        if _proxy is not None:
            self.proxy = _proxy
            self._is_forwarding = self._forwards(_proxy)
            keywords.setdefault("socket_options", [])  # a proxy's socket keeps the system's defaults, as in urllib3
            keywords["proxy"], keywords["proxy_config"] = self.proxy, self.proxy_config
        self._settle_connections(keywords)
        if self._conn_kw is keywords and type(self)._new_conn in self._own_new_conn:
            refuse_unknown(self.ConnectionCls, keywords)
        maxsize = whole("maxsize", maxsize)
        kept = maxsize if maxsize > 0 or block else None  # below 1: no limit to a queue, and nothing to wait for
        self._open({"maxsize": kept, "block": block, **lending}, interval_s, path)

    def _open(self, lending: Keywords, interval_s: float | None, path: str | None) -> None:
        """Make what is this process's own: the lending of connections, their counts, the health notes."""
        if self._breaker is not None:
            from .policy.circuit_breaker import circuit_from

            self._circuit = circuit_from(self._breaker)
            after_fork.remember(self._circuit)
        if self._rate is not None:
            from .policy.rate_limit import Turns

            self._turns = Turns(self._rate)
            after_fork.remember(self._turns)
        self._factory = supply = ConnectionFactory(self)
        make: type[HTTPEndpointPool] = EndpointPool
        if self.QueueCls is not _USUAL_QUEUE:
            make, lending = CustomQueuePool, {**lending, "chosen": self._new_pool_queue(lending["maxsize"] or 0)}
        endpoint, trace = self._endpoint(), self._defaults.get("trace")
        if isinstance(trace, Meter):
            self.meter = trace = trace.of_pool(endpoint)
        self._endpoint_pool = make(endpoint, supply, trace=trace, **lending)
        if self._may_change or self._can_change():
            self._watch()
        if interval_s is not None:
            self._health = HealthCheck(self, interval_s, path)
            self._health.start()

    def __getstate__(self) -> Keywords:
        """Settings only: an unpickled pool opens connections of its own, and shares no budget."""
        state = {name: value for name, value in self.__dict__.items() if name not in _OWN}
        lending = self._endpoint_pool.settings.keywords()
        return {"state": state, "lending": lending, "health": self._health and self._health.settings}

    def __setstate__(self, state: Keywords) -> None:
        self.__dict__.update(state["state"])
        self._open(state["lending"], *(state["health"] or (None, None)))

    @property
    def pool(self) -> queue.Queue[object] | queue.Queue[Connection | None] | None:
        """The idle connections as urllib3's queue; None once the pool is closed."""
        if self._endpoint_pool.state is not State.OPEN:
            return None
        if isinstance(self._endpoint_pool, CustomQueuePool):
            return self._endpoint_pool.queue
        return self._queue_view or self.__dict__.setdefault("_queue_view", IdleQueue(self._endpoint_pool))

    def close(self) -> None:
        """Close all idle connections now and lent ones when they come back; whoever waits gets ClosedPoolError."""
        if self._health is not None:
            self._health.stop()
        self._endpoint_pool.close()
        if self._turns is not None:
            self._turns.close()

    def retire(self) -> None:
        """Close idle connections now and lent ones when they come back; probe no more. What is under way goes on."""
        if self._health is not None:
            self._health.stop()
        self._endpoint_pool.drain(0.0)

    # -- a request --

    def urlopen(  # type: ignore[override]  # other parameters than the base's, as in urllib3
        self,
        method: str,
        url: str,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        retries: RetriesArgument = None,
        redirect: bool = True,
        assert_same_host: bool = True,
        timeout: TimeoutArgument = _DEFAULT_TIMEOUT,
        pool_timeout: float | None = None,
        release_conn: bool | None = None,
        chunked: bool = False,
        body_pos: int | _TYPE_FAILEDTELL | None = None,
        preload_content: bool = True,
        decode_content: bool = True,
        **response_kw: Unpack[ResponseKeywords],
    ) -> BaseHTTPResponse:
        """The response to a request, after retries and redirects on this host.

        ``url`` is a path or an absolute URL of this host (HostChangedError else, unless ``assert_same_host`` is False).
        ``timeout``: seconds or a Timeout; ``pool_timeout``: seconds to wait for a connection. ``preload_content=False``
        leaves the body on the connection, to be read from the response. Further: ``fields``, ``json`` and their options
        (see ``request``), ``enforce_content_length``, ``trace``, ``max_response_size``, ``max_decoded_size``,
        ``expect_continue``, ``trailers``, ``limits``. Raises poollib's HTTPError tree; ValueError, TypeError for bad
        arguments.
        """
        if type(method) is not str or type(url) is not str:
            method, url = exact_text("method", method), exact_text("url", url)
        headers = self.headers if headers is None else headers
        keywords: Keywords = response_kw  # type: ignore[assignment]  # a cast would cost each request a call
        options, enforces, listener = None, True, quiet_listener(self._defaults, keywords) if keywords else None
        if listener is None and (keywords or self._defaults):
            url, body, headers = take_fields(method, url, body, headers, keywords)
            if ("hooks" in keywords or "hooks" in self._defaults) and (hooks := hooks_of(self._defaults, keywords)):
                named = (retries, redirect, assert_same_host, timeout, pool_timeout, release_conn, chunked, body_pos)
                keywords.update(zip(_NAMED, (*named, preload_content, decode_content), strict=True))
                return run_asked(hooks, HookRequest(method, url, headers, body, keywords), partial(_own_urlopen, self))
            enforces = bool(keywords.pop("enforce_content_length", True))
            options = take_options(self._defaults, keywords)
        if retries is None and type(self.retries) is Retry:
            retries = self.retries
        elif type(retries) is not Retry:
            retries = Retry.from_int(retries, redirect=redirect, default=self.retries)
        if timeout is _DEFAULT_TIMEOUT:
            timeout = self.timeout
        elif not isinstance(timeout, Timeout):
            timeout = Timeout.from_float(timeout)
        if timeout.deadline is not None or timeout.write is not _DEFAULT_TIMEOUT:
            options = with_times(options, timeout)
        if pool_timeout is not None or timeout.pool is not _DEFAULT_TIMEOUT:
            pool_timeout = timeout.pool_timeout if pool_timeout is None else seconds("pool_timeout", pool_timeout)
        if self._is_forwarding or not match_plain_target(url):
            url = self._target(url, assert_same_host, retries)
        request = Request(self, method, url, body, headers, retries)
        request.redirect, request.timeout = redirect, timeout
        request.pool_timeout, request.release_conn = pool_timeout, release_conn
        if chunked or not (preload_content and decode_content and enforces):
            request.chunked = chunked
            is_known = preload_content is False and decode_content is False and enforces
            request.wanted = AS_SENT if is_known else ResponseOptions(preload_content, decode_content, enforces)
        if body is not None and (type(body) is not bytes or body_pos is not None):
            request.body_start = set_file_position(body, body_pos)
        if options is not None or listener is not None:
            return self._run_with_more(request, options, listener)
        return run(self._attempt if self._circuit is None else guarded(self._attempt, self, self._circuit), request)

    def _run_with_more(self, request: Request, options: Options | None, listener: Trace | None) -> BaseHTTPResponse:
        """As ``run``; nothing is around an attempt of which no more is wanted than its time, or a meter's count."""
        if options is None and isinstance(listener, Measured):
            request.trace = self.meter or self._metered_by(listener)
        elif options is not None and options.is_time_only and listener is None:
            request.options, request.deadline = options, options.deadline
        else:
            return self._run_watched(request, options, listener)
        return run(self._attempt if self._circuit is None else guarded(self._attempt, self, self._circuit), request)

    def _run_watched(self, request: Request, options: Options | None, trace: Trace | None) -> BaseHTTPResponse:
        """As ``run``, with a listener or hooks around each attempt; a manager has told its listener of the start.

        ``trace``: the listener, where ``options`` name none.
        """
        attempt: Callable[[Request], BaseHTTPResponse] = self._attempt
        circuit = self._circuit
        if options is not None:
            request.options, request.deadline = options, options.deadline
            trace = trace if options.trace is None else options.trace
            if options.attempt_hooks:
                if circuit is not None:  # inside: what a hook answers by itself says nothing of the endpoint
                    attempt, circuit = guarded(attempt, self, circuit), None
                attempt = hooked_attempt(options.attempt_hooks, attempt, self._absolute, self._target)
        told = None
        if trace is not None:
            endpoint = self._endpoint_pool.endpoint
            if isinstance(trace, Measured):
                trace = self.meter or self._metered_by(trace)
            elif type(trace) is not RequestTrace:
                trace = told = RequestTrace(trace, request.method, self._absolute(request.target), endpoint)
            request.trace = trace
            if options is not None:
                request.options = options.with_trace(trace)
            if type(trace) is RequestTrace:
                attempt = counted_attempt(trace, endpoint, attempt)
        if circuit is not None:
            attempt = guarded(attempt, self, circuit)
        return run(attempt, request) if told is None else told.run(lambda: run(attempt, request))

    def _metered_by(self, measured: Measured) -> PoolMeter:
        """What this pool tells a manager's meter that came after it was made; its leases it does not."""
        self.meter = found = measured.meter.of_pool(self._endpoint_pool.endpoint)
        return found

    # -- one attempt --

    def _attempt(self, request: Request) -> BaseHTTPResponse:
        """One attempt: lease, send, read the head. Returns or raises holding no connection unless the response owns it.

        StaleConnection if a kept connection had been closed by the server meanwhile: no byte of an answer came, and the
        request can be repeated, as the caller wants (``Trace.resent`` tells of it).
        """
        conn = number = None
        try:
            timeout_s = request.pool_timeout if self._turns is None else self._take_turn(request, 1, self._turns)
            if request.deadline is None:
                conn = self._get_conn(timeout=timeout_s)
            else:
                conn = self._lease_in_time(timeout_s, request.deadline)
            entry = self._endpoint_pool.leases.get(id(conn))  # as lease_of, without a call for each request
            if entry is None:
                adapt(conn)  # from a method or a program's own
            else:
                number = entry.reuses
            if request.trace is not None and request.trace is not self._endpoint_pool.meter:
                self._tell_lease(request.trace, conn)
            return self._exchange(conn, request, number)
        except SettingsChanged:  # nothing was sent; the next connection is made with the new ones
            raise StaleConnection(nothing_sent=True) from None
        except ProtocolError as error:
            if conn is None or not conn.exchange_count or conn.has_answered or not may_resend(request, error):
                raise
            if request.trace is not None:
                notify(request.trace, "resent", request.method, request.target, error)
            raise StaleConnection(is_nothing_sent(error)) from None
        except BaseException:
            if conn is not None:
                self._endpoint_pool.reclaim(conn, number)
            raise

    def _take_turn(self, request: Request, count: int, turns: Turns) -> float | None:
        """Wait for the turn of ``count`` requests; what is left of the time to wait for a connection, None: no limit.

        RateLimitError, DeadlineExceededError if it comes too late, CircuitOpenError if the circuit opened meanwhile.
        """
        left_s = request.pool_timeout
        if left_s is None:
            left_s = self._endpoint_pool.settings.acquire_timeout
        host = parse_url(request.target).host if self._is_forwarding else None
        try:
            waited_s = turns.take(bare_host(host or self.host), count, left_s, request.deadline)
        except PoolError as error:
            name_pool(error, self)
            raise
        if not waited_s:
            return left_s
        if request.trace is not None:
            notify(request.trace, "rate_waited", self._endpoint_pool.endpoint, waited_s)
        if self._circuit is not None:
            self._circuit.check_again(self, monotonic())
        return None if left_s is None else max(0.0, left_s - waited_s)

    def _lease_in_time(self, timeout_s: float | None, deadline: Deadline) -> HTTPConnection:
        try:
            return self._get_conn(timeout=deadline.cap_s(timeout_s, "waiting for a connection"))
        except PoolError:
            deadline.remaining_s("waiting for a connection")
            raise

    def _tell_lease(self, trace: Trace, conn: HTTPConnection) -> None:
        """Tell a request's own listener; the pool's has heard it from the lending."""
        if type(trace) is RequestTrace and trace.timer is not None:
            trace.timer.note("leased")
        pool = self._endpoint_pool
        if listener_of(trace) is not (pool.trace if pool.meter is None else pool.meter.meter):
            reused = conn.exchange_count > 0
            notify(trace, "connection_reused" if reused else "connection_opened", pool.endpoint, conn)

    def _exchange(self, conn: HTTPConnection, request: Request, number: int | None) -> BaseHTTPResponse:
        try:
            headers = self._with_proxy_headers(request.headers) if self._is_forwarding else request.headers
            asked = request if request.target[0] == "/" else request.for_target(self._on_the_line(request.target))
            make, send, receive = self._make_request, conn.request, conn.getresponse
            if (  # see _MAKE_REQUEST
                type(make) is MethodType
                and type(send) is MethodType
                and type(receive) is MethodType
                and make.__func__ is _MAKE_REQUEST
                and send.__func__ is REQUEST
                and receive.__func__ is GETRESPONSE
            ):
                lock = None if len(self._endpoint_pool.leases) < CROWD else self._shared_send_lock()
                response: BaseHTTPResponse = conn.exchange(asked, headers, self._validate_conn, lock)
                if log.isEnabledFor(logging.DEBUG):
                    log_response(log, self, request.method, request.target, response, request.wanted.preload_content)
            else:
                conn.request_options = request.all_options()
                response = request_by(make, conn, request, headers)
        except SettingsChanged:
            self._endpoint_pool.discard(conn, "settings changed")
            raise
        except BaseException as error:
            conn.close()
            self._put_conn(conn)
            self._note(error, request.target)
            if self.proxy is not None:
                blame_proxy(conn, error)
            ours = error_of_override(error)
            if ours is not None:
                raise ours from error
            raise
        if asked is not request and isinstance(response, BaseHTTPResponse):
            response.url = request.target
        return self._hand_over(conn, response, request, number)

    def _shared_send_lock(self) -> SendLock:
        """Where short requests wait for their turn when hundreds of threads send."""
        return self._send_lock or cast("SendLock", vars(self).setdefault("_send_lock", SendLock()))

    def _hand_over(
        self, conn: HTTPConnection, response: BaseHTTPResponse, request: Request, number: int | None
    ) -> BaseHTTPResponse:
        """Give the connection back if the response is whole, else leave it with the response: the loop judges that."""
        if self._health is not None and not self._health.is_ok:
            self._health.note_success()
        if isinstance(response, HTTPResponse):
            retries = request.retries
            if retries.history:
                response.retries = retries
            else:
                response._retries = retries
            if response.body_source is None:
                response._pool = self
                self._put_conn(conn)
                return response
            if request.options is not None:
                response.max_decoded_size = request.options.max_decoded_size
            response.attach(Lease(self, conn, self._endpoint_pool, number), request.release_conn is False)
            if self.block and number is not None and not request.wanted.preload_content:
                self._endpoint_pool.note_holder(conn, number, place_outside())
            return response
        gives_back = request.wanted.preload_content if request.release_conn is None else request.release_conn
        adapt_response(response, self, request.retries, None if gives_back else conn)
        if gives_back:
            self._put_conn(conn)
        return response

    def _make_request(
        self,
        conn: HTTPConnection,
        method: str,
        url: str,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        retries: Retry | None = None,
        timeout: _TYPE_TIMEOUT | Timeout = _DEFAULT_TIMEOUT,
        chunked: bool = False,
        response_conn: HTTPConnection | None = None,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
    ) -> BaseHTTPResponse:
        """Send one request on a leased connection and read the head of its response."""
        if not isinstance(timeout, Timeout):
            timeout = self.timeout if timeout is _DEFAULT_TIMEOUT else Timeout.from_float(timeout)
        if not isinstance(conn, HTTPConnection):  # of a class of somebody's own, which may lack them
            adapt(conn)
        clock = HTTPConnection.begin(conn, conn.request_options, timeout)
        self._validate_conn(conn)
        send: Callable[..., object] = conn.request
        if len(self._endpoint_pool.leases) >= CROWD and may_wait(conn, body):
            send = partial(self._shared_send_lock().send, send)
        send(
            method,
            self._on_the_line(url),
            body=body,
            headers=headers,
            chunked=chunked,
            preload_content=preload_content,
            decode_content=decode_content,
            enforce_content_length=enforce_content_length,
        )
        HTTPConnection.limit_receives(conn, clock)
        response = conn.getresponse()
        if retries is None and isinstance(response, HTTPResponse):  # asked for by a program, no loop judges the body
            response.accept(preload_content)
        if log.isEnabledFor(logging.DEBUG):
            log_response(log, self, method, url, response, preload_content)
        return response

    # -- redirects, as attempts asks --

    def _pool_of(self, url: str) -> HTTPConnectionPool:
        return self

    def _log_redirect(self, url: str, target: str) -> None:
        log.debug("Redirecting %s -> %s", shown_url(url), shown_url(target))

    # -- urllib3 names --

    def _new_conn(self) -> HTTPConnection:
        """A connection object that dials when it is first used."""
        count = self._factory.count_connection()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("Starting new HTTP connection (%d): %s:%s", count, self.host, self.port or "80")
        host, port = self._address()
        conn = self.ConnectionCls(host=host, port=port, timeout=self.timeout.connect_timeout, **self._conn_kw)
        return self._with_dial_options(conn)

    def _get_conn(self, timeout: float | None = None) -> HTTPConnection:
        """A leased connection, idle or new, made with the settings of now; EmptyPoolError, ClosedPoolError."""
        if self._may_change:
            self._look_for_changes()
        conn = None
        try:
            conn = self._endpoint_pool.acquire(timeout)
            while self._was_renewed and self._is_outdated(conn):
                self._endpoint_pool.discard(conn, "settings changed")
                conn = None
                conn = self._endpoint_pool.acquire(timeout)
            return conn  # type: ignore[return-value]  # of our class, or adapted
        except PoolError as error:
            name_pool(error, self)
            raise
        except BaseException:
            if conn is not None:
                self._endpoint_pool.reclaim(conn, None)
            raise

    def _put_conn(self, conn: Connection | None) -> None:
        """Take a leased connection back: kept if its last exchange ended cleanly, else closed and forgotten."""
        if conn is None:
            return
        try:
            if conn.is_reusable_state():
                self._endpoint_pool.release(conn, idle_limit=conn.idle_limit_s)
            else:
                self._endpoint_pool.discard(conn, conn.close_reason())
        except PoolError as error:
            name_pool(error, self)
            raise
        except ValueError:  # it was not leased here
            self._take_in(conn)

    def _take_in(self, conn: Connection) -> None:
        """Take a connection that was made elsewhere, if there is room, as urllib3 does; else close it.

        FullPoolError where the pool never has more than its number.
        """
        try:
            if conn.is_reusable_state():
                self._endpoint_pool.add_idle(conn)
                return
        except FullPoolError as error:
            if self.block:
                conn.close()
                name_pool(error, self)
                raise
            self._factory.on_full(conn)
        except ClosedPoolError:
            pass
        conn.close()

    def _validate_conn(self, conn: HTTPConnection) -> None:
        """Called before each request on the connection it goes to."""

    def _prepare_proxy(self, conn: HTTPConnection) -> None:
        """Called with a new connection that goes through a proxy."""

    def _get_timeout(self, timeout: _TYPE_TIMEOUT | Timeout) -> Timeout:
        """``timeout`` as a Timeout of its own, the pool's where none was given."""
        if timeout is _DEFAULT_TIMEOUT:
            return self.timeout.clone()
        return timeout.clone() if isinstance(timeout, Timeout) else Timeout.from_float(timeout)

    def _raise_timeout(self, err: BaseException, url: str, timeout_value: _TYPE_TIMEOUT) -> None:
        """Raise ReadTimeoutError if ``err`` is a timeout."""
        if isinstance(err, _SYSTEMS_TIMEOUT):
            raise ReadTimeoutError(self, url, f"Read timed out. (read timeout={timeout_value})") from err

    # What stands here, for those who ask whether somebody has their own in its place.
    _own_methods = (urlopen, _make_request)
    _own_new_conn: ClassVar[tuple[object, ...]] = (_new_conn,)


# What urllib3 calls for an exchange, as it is here: where nobody has put their own in its place, a request goes down as
# one value. Agents come late and go again, some on one object alone, so it is looked at each time. By type and by
# ``is``: what wrapt makes of a method says that it is equal to it, and has its ``__func__``.
_MAKE_REQUEST = HTTPConnectionPool._make_request
#: as it is here, whatever a program has put in its place: that has been called already
_own_urlopen: Callable[..., BaseHTTPResponse] = HTTPConnectionPool.urlopen
#: urlopen's arguments that hooks see among the options
_NAMED = URLOPEN_KEYWORDS[2:]
#: what belongs to one process and is not pickled
_OWN = frozenset(
    {
        "meter",
        "_seen",
        "_circuit",
        "_turns",
        "_queue_view",
        "_endpoint_pool",
        "_factory",
        "_health",
        "_send_lock",
        "_pipelining",
    }
)


class HTTPSConnectionPool(HTTPConnectionPool):
    """As HTTPConnectionPool, over TLS; what is wanted of TLS is checked on every new connection.

    ``ca_certs`` (a file), ``ca_cert_dir``, ``ca_cert_data`` (PEM text or DER bytes): only these CAs are believed;
    certifi's where none is named. ``cert_file``, ``key_file``, ``key_password``: the client's certificate.
    ``cert_reqs``: ``"CERT_REQUIRED"`` unless said otherwise. ``assert_hostname``: a name to expect instead of ``host``,
    False for any; ``assert_fingerprint``: the certificate's hash; ``server_hostname``: the name to ask for;
    ``ssl_context``: a context of your own, used as it is. Source: RFC 9110 section 4.3.4, RFC 9525.
    """

    scheme = "https"
    ConnectionCls: ClassVar[type[HTTPConnection]] = HTTPSConnection
    key_file, cert_file, key_password = TlsSetting(), TlsSetting(), TlsSetting()
    cert_reqs, ca_certs, ca_cert_dir = TlsSetting(), TlsSetting(), TlsSetting()
    ssl_version, ssl_minimum_version, ssl_maximum_version = TlsSetting(), TlsSetting(), TlsSetting()
    assert_hostname, assert_fingerprint = TlsSetting(), TlsSetting()

    def __init__(
        self,
        host: str,
        port: int | None = None,
        timeout: TimeoutArgument = _DEFAULT_TIMEOUT,
        maxsize: int = 1,
        block: bool = False,
        headers: Mapping[str, str] | None = None,
        retries: RetriesArgument = None,
        _proxy: Url | None = None,
        _proxy_headers: Mapping[str, str] | None = None,
        key_file: PemOrPath | None = None,
        cert_file: PemOrPath | None = None,
        cert_reqs: int | str | None = None,
        key_password: str | bytes | None = None,
        ca_certs: FilePath | None = None,
        ssl_version: int | str | None = None,
        ssl_minimum_version: int | None = None,
        ssl_maximum_version: int | None = None,
        assert_hostname: str | Literal[False] | None = None,
        assert_fingerprint: str | Sequence[str] | None = None,
        ca_cert_dir: FilePath | None = None,
        **conn_kw: Unpack[HTTPSPoolKeywords],
    ) -> None:
        self.key_file = key_file
        self.cert_file = cert_file
        self.cert_reqs = cert_reqs
        self.key_password = key_password
        self.ca_certs = ca_certs
        self.ca_cert_dir = ca_cert_dir
        self.ssl_version = ssl_version
        self.ssl_minimum_version = ssl_minimum_version
        self.ssl_maximum_version = ssl_maximum_version
        self.assert_hostname = assert_hostname
        self.assert_fingerprint = assert_fingerprint
        keywords = cast("Keywords", conn_kw)
        super().__init__(host, port, timeout, maxsize, block, headers, retries, _proxy, _proxy_headers, **keywords)

    def _new_conn(self) -> HTTPConnection:
        count = self._factory.count_connection()
        log.debug("Starting new HTTPS connection (%d): %s:%s", count, self.host, self.port or "443")
        make: Callable[..., HTTPConnection] | None = self.ConnectionCls
        if make is None:  # as a program says that there is no TLS
            raise ImportError("Can't connect to HTTPS URL because the SSL module is not available.")
        host, port = self._address()
        conn = make(
            host=host,
            port=port,
            timeout=self.timeout.connect_timeout,
            cert_file=self.cert_file,
            key_file=self.key_file,
            key_password=self.key_password,
            cert_reqs=self.cert_reqs,
            ca_certs=self.ca_certs,
            ca_cert_dir=self.ca_cert_dir,
            assert_hostname=self.assert_hostname,
            assert_fingerprint=self.assert_fingerprint,
            ssl_version=self.ssl_version,
            ssl_minimum_version=self.ssl_minimum_version,
            ssl_maximum_version=self.ssl_maximum_version,
            **self._conn_kw,
        )
        if self.proxy is not None:
            self._prepare_proxy(conn)
        return self._with_dial_options(conn)

    _own_new_conn = (_new_conn,)

    def _prepare_proxy(self, conn: HTTPConnection) -> None:
        """Tunnel to this pool's host, unless requests are forwarded."""
        if not self._is_forwarding and self.proxy is not None:
            scheme = "https" if self.proxy.scheme == "https" else "http"
            port = self._port_of("https")
            conn.set_tunnel(scheme=scheme, host=self._tunnel_host, port=port, headers=self.proxy_headers)

    def _validate_conn(self, conn: HTTPConnection) -> None:
        """Connect before a request is written, and warn once per place of unverified requests."""
        if conn.sock is None:
            conn.connect()
            if self._is_outdated(conn):
                raise SettingsChanged("the pool's settings were changed while the connection was being made")
        if not (conn.proxy_is_verified if self._is_forwarding else conn.is_verified):
            warn_unverified(self.host)


def connection_from_url(url: str, **kw: Unpack[PoolKeywords]) -> HTTPConnectionPool:
    """The pool for a URL, with the arguments ``kw``. LocationValueError, URLSchemeUnknown."""
    keywords = cast("Keywords", kw)
    scheme, _auth, host, port, *_ = parse_url(url)
    scheme = scheme or "http"
    if host is None:
        raise LocationValueError("No host specified.")
    if scheme == UNIX_SCHEME:
        return HTTPConnectionPool("localhost", port=80, **{**unix_keywords(host, keywords), **keywords})
    if scheme not in port_by_scheme:
        raise URLSchemeUnknown(scheme)
    made = HTTPSConnectionPool if scheme == "https" else HTTPConnectionPool
    return made(host, port=port_by_scheme[scheme] if port is None else port, **keywords)


# -- urllib3 names --


def _normalize_host(host: str | None, scheme: str | None) -> str | None:
    return normalize_host(host, scheme)


def _url_from_pool(pool: HTTPConnectionPool, path: str | None = None) -> str:
    """The URL of a path on a pool's host."""
    return Url(scheme=pool.scheme, host=bracketed(pool.host), port=pool.port, path=path).url
