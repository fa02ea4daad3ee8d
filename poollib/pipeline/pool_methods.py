"""What a pool does for pipelines: ``pipeline`` itself, and one batch on one leased connection.

:class:`Pipelining` is a part of ``HTTPConnectionPool``, which has what is declared here. A batch leases a connection as
a single request does, and gives it back before anything is given out; where a program has replaced a method that
requests go through, they go through it one by one, as ``urlopen`` does it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, overload

from ..base.loggers import logger
from ..client.endpoint_builder import SettingsChanged, blame_proxy
from ..client.request_target import RequestTargets
from ..connection import GETRESPONSE, REQUEST, Options
from ..exchange.base_response import log_response

if TYPE_CHECKING:
    from typing import Literal

    from typing_extensions import Unpack

    from ..base.timeout import Deadline, Timeout
    from ..base.trace import Trace
    from ..client.endpoint_health_check import HealthCheck
    from ..client.keyword_types import Keywords, RetriesArgument
    from ..client.lease import Connection, HTTPEndpointPool
    from ..connection import HTTPConnection
    from ..exchange.request_value import Request
    from ..policy.circuit_breaker import Circuit
    from ..policy.rate_limit import Turns
    from ..response import BaseHTTPResponse
    from .batch import Batch
    from .pipeline import Pipeline
    from .requests import Item, PipelineKeywords
    from .server_support import PipeliningRecord

log = logger("poollib.connectionpool")


class Pipelining(RequestTargets):
    """The part of a pool that pipelines."""

    headers: Mapping[str, str]
    retries: RetriesArgument
    timeout: Timeout
    _defaults: Keywords
    _endpoint_pool: HTTPEndpointPool
    _circuit: Circuit | None
    _turns: Turns | None
    _health: HealthCheck | None
    _own_methods: ClassVar[tuple[object, ...]]  # urlopen and _make_request, as nobody has replaced them
    _pipelining: PipeliningRecord | None = None  # made when it is first needed, by one dict.setdefault

    if TYPE_CHECKING:

        def urlopen(self, method: str, url: str, **kw: Any) -> BaseHTTPResponse: ...
        def _attempt(self, request: Request) -> BaseHTTPResponse: ...
        def _get_conn(self, timeout: float | None = None) -> HTTPConnection: ...
        def _take_turn(self, request: Request, count: int, turns: Turns) -> float | None: ...
        def _lease_in_time(self, timeout_s: float | None, deadline: Deadline) -> HTTPConnection: ...
        def _make_request(self, conn: HTTPConnection, method: str, url: str) -> BaseHTTPResponse: ...
        def _note(self, error: BaseException, url: str) -> None: ...
        def _put_conn(self, conn: Connection | None) -> None: ...
        def _tell_lease(self, trace: Trace, conn: HTTPConnection) -> None: ...
        def _validate_conn(self, conn: HTTPConnection) -> None: ...
        def _pool_of(self, url: str) -> object: ...
        def _log_redirect(self, url: str, target: str) -> None: ...

    @overload
    def pipeline(
        self,
        requests: Iterable[Item],
        *,
        depth: int = 16,
        return_exceptions: Literal[False] = False,
        **request_kw: Unpack[PipelineKeywords],
    ) -> Pipeline[BaseHTTPResponse]: ...
    @overload
    def pipeline(
        self,
        requests: Iterable[Item],
        *,
        depth: int = 16,
        return_exceptions: bool,
        **request_kw: Unpack[PipelineKeywords],
    ) -> Pipeline[BaseHTTPResponse | Exception]: ...
    def pipeline(
        self,
        requests: Iterable[Item],
        *,
        depth: int = 16,
        return_exceptions: bool = False,
        **request_kw: Unpack[PipelineKeywords],
    ) -> Pipeline[Any]:
        """The responses to many small requests, in their order; ``depth`` requests leave in one send.

        ``requests``: URLs to GET, ``(method, url)`` or ``(method, url, headers)``, the method GET, HEAD or OPTIONS. An
        item's error is raised at its place, and the iterator goes on behind it; with ``return_exceptions`` it is given
        out in the response's place. Bodies are read; ``depth`` responses are held at most. Further, for each request
        and as of ``urlopen``: ``headers``, ``retries``, ``redirect``, ``assert_same_host``, ``timeout``,
        ``pool_timeout``, ``decode_content``, ``trace``, ``max_response_size``, ``max_decoded_size``, ``limits``.
        TypeError, ValueError for other keywords. When to use it: ``docs/pipelining.rst``. Source: RFC 9112, 9.3.2.
        """
        from .pipeline import Pipeline, Senders
        from .requests import PoolDefaults, Settings
        from .server_support import PipeliningRecord

        proxied = self._with_proxy_headers if self._is_forwarding else None
        target, endpoint = self._line_target, self._endpoint_pool.endpoint
        defaults = PoolDefaults(
            self, self.headers, self.retries, self.timeout, self._defaults, target, proxied, endpoint
        )
        settings = Settings(defaults, request_kw)
        record = self._pipelining or self.__dict__.setdefault("_pipelining", PipeliningRecord())
        has_hooks = bool(self._defaults.get("hooks") or self._defaults.get("attempt_hooks"))
        batch = _not_at_once if has_hooks else self._exchange_batch
        senders = Senders(batch, self._attempt, self._urlopen_settled, record)
        if self._circuit is not None:
            senders = senders.wrapped(self._circuit, self)
        return Pipeline(requests, settings, senders, depth, return_exceptions)

    def _exchange_batch(self, batch: Batch) -> bool:
        """Whether a batch went out on a leased connection; False: its requests must go one by one.

        Errors as of a single attempt. Nothing is leased any more when this returns or raises.
        """
        first, conn, number = batch.first, None, None
        try:
            timeout_s = first.pool_timeout
            if self._turns is not None:
                timeout_s = self._take_turn(first, len(batch.requests), self._turns)
            if first.deadline is None:
                conn = self._get_conn(timeout=timeout_s)
            else:
                conn = self._lease_in_time(timeout_s, first.deadline)
            number = self._endpoint_pool.lease_of(conn)
            if first.trace is not None:
                self._tell_lease(first.trace, conn)
            was_sent = self._is_direct(conn) and self._run_batch(batch, conn)
            self._put_conn(conn)
        except SettingsChanged:  # nothing was sent; the next connection is made with the new ones
            return self._exchange_batch(batch)
        except BaseException:
            if conn is not None:
                self._endpoint_pool.reclaim(conn, number)
            raise
        return was_sent

    def _run_batch(self, batch: Batch, conn: HTTPConnection) -> bool:
        try:
            was_sent = batch.run(conn, self._validate_conn)
        except SettingsChanged:
            self._endpoint_pool.discard(conn, "settings changed")
            raise
        except BaseException as error:
            conn.close()
            self._put_conn(conn)
            self._note(error, batch.first.target)
            if self.proxy is not None:
                blame_proxy(conn, error)
            raise
        finally:
            if log.isEnabledFor(logging.DEBUG):
                for request, response in zip(batch.requests, batch.answers):  # noqa: B905 - fewer where it failed
                    log_response(log, self, request.method, request.target, response, True)
        if self._health is not None and not self._health.is_ok:
            self._health.note_success()
        return was_sent

    def _is_direct(self, conn: HTTPConnection) -> bool:
        """Whether nobody has put a method of their own in the way of a pool's requests."""
        ways: tuple[object, ...] = (self.urlopen, self._make_request, conn.request, conn.getresponse)
        own = (*self._own_methods, REQUEST, GETRESPONSE)
        return all(type(way) is MethodType and way.__func__ is known for way, known in zip(ways, own, strict=True))

    def _urlopen_settled(self, request: Request) -> BaseHTTPResponse:
        """The response to a pipeline's request by ``urlopen``, which a program may have replaced."""
        timeout, options = request.timeout, request.options or Options()
        if request.deadline is not None:
            timeout = timeout.clone()
            timeout.deadline = request.deadline
        return self.urlopen(
            request.method,
            request.target,
            headers=request.headers,
            retries=request.retries,
            redirect=request.redirect,
            assert_same_host=False,
            timeout=timeout,
            pool_timeout=request.pool_timeout,
            decode_content=request.wanted.decode_content,
            trace=options.trace,
            max_response_size=options.max_response_size,
            max_decoded_size=options.max_decoded_size,
            limits=options.limits,
        )


def _not_at_once(batch: Batch) -> bool:
    """As ``_exchange_batch`` of a pool with hooks: each request goes through them, one by one."""
    return False
