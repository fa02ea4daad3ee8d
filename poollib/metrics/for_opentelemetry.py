"""``opentelemetry(manager)``: meters and spans by the stable HTTP semantic conventions (extra ``opentelemetry``).

Meters come from the events of requests, as for Prometheus; a span is one call, redirects and repetitions included, and
its context travels in the request's header fields (``traceparent``, as the global propagator has it).  Names, units,
bounds and attributes are those of the conventions for HTTP, version 1.23 and later; ``docs/metrics.rst`` lists them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from ..base.headers import HTTPHeaderDict
from ..base.loggers import shown_url
from ..base.url import bracketed
from ..base.version import VERSION
from .observer import METHODS, OTHER, Observer, attach

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, MeterProvider, UpDownCounter
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from ..base.trace import RequestInfo
    from ..base_url_client import BaseUrlClient
    from ..client.request_hooks import HookRequest
    from ..poolmanager import PoolManager
    from ..response import BaseHTTPResponse

Attributes = dict[str, "str | int"]
Urlopen = Callable[..., "BaseHTTPResponse"]

SCHEMA = "https://opentelemetry.io/schemas/1.23.0"
#: seconds; the conventions' advice for http.client.request.duration
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
#: query parameters whose values are signatures or keys, as the conventions list them
_SECRETS = re.compile(r"(?<=[?&])((?:AWSAccessKeyId|Signature|sig|X-Goog-Signature)=)[^&#]*")


def opentelemetry(
    manager: PoolManager | BaseUrlClient,
    *,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    max_pools: int = 100,
    attempts: bool = False,
) -> None:
    """Measure and trace a manager's (or client's) requests, from before it sends the first one.

    The providers are the global ones if None. ``max_pools``: how many servers are told apart in meters; the others are
    ``other``. ``attempts``: within a request's span, one for each attempt, whose context travels instead: repetitions
    and redirects are seen by themselves. Clients that a manager makes are measured with it and have no spans (those of
    attempts they have).
    """
    observer = MeterObserver(meter_provider, max_pools)
    found = attach(manager, observer)
    tracer = trace.get_tracer("poollib", VERSION, tracer_provider, SCHEMA)
    if attempts:
        hooks = found.connection_pool_kw.get("attempt_hooks") or ()
        found.connection_pool_kw["attempt_hooks"] = [*hooks, partial(_attempt_in_span, tracer)]
    kind = SpanKind.INTERNAL if attempts else SpanKind.CLIENT
    send: Urlopen = found.urlopen

    def urlopen(method: str, url: str, *arguments: object, **keywords: object) -> BaseHTTPResponse:
        name, attributes = described(method, url)
        with tracer.start_as_current_span(
            name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            given = keywords.get("headers")
            headers = HTTPHeaderDict(found.headers if given is None else given)  # type: ignore[arg-type]
            propagate.inject(headers)
            try:
                response = send(method, url, *arguments, **{**keywords, "headers": headers})
            except BaseException as error:
                fail(span, error_type(error))
                raise
            note(span, response)
            return response

    vars(found)["urlopen"] = urlopen


def _attempt_in_span(
    tracer: Tracer, request: HookRequest, send: Callable[[HookRequest], BaseHTTPResponse]
) -> BaseHTTPResponse:
    """An attempt hook: what ``send`` returns, in a span of its own."""
    name, attributes = described(request.method, request.url)
    with tracer.start_as_current_span(
        name, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        propagate.inject(request.headers)
        try:
            response = send(request)
        except BaseException as error:
            fail(span, error_type(error))
            raise
        note(span, response)
        return response


def described(method: str, url: str) -> tuple[str, Attributes]:
    """A span's name, and what is known of a request before it is sent."""
    attributes = request_attributes(method, url)
    attributes["url.full"] = _SECRETS.sub(r"\1REDACTED", shown_url(str(url)))
    if attributes["http.request.method"] == "_OTHER":
        attributes["http.request.method_original"] = str(method)
        return "HTTP", attributes
    return str(method), attributes


def request_attributes(method: str, url: str) -> Attributes:
    """Method, server and scheme, as meters and spans have them."""
    found: Attributes = {"http.request.method": method if method in METHODS else "_OTHER"}
    return {**found, **server_attributes(str(url))}


def server_attributes(url: str) -> Attributes:
    """The server that a URL (or a pool's name) tells of; what can't be read is left out."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return {}
    found: Attributes = {} if parts.hostname is None else {"server.address": parts.hostname}
    if port is not None:
        found["server.port"] = port
    return {**found, "url.scheme": parts.scheme} if parts.scheme else found


def note(span: Span, response: BaseHTTPResponse) -> None:
    """What a response says of its request."""
    span.set_attribute("http.response.status_code", response.status)
    span.set_attribute("network.protocol.version", "1.0" if response.version == 10 else "1.1")
    if response.retries is not None and response.retries.history:
        span.set_attribute("http.request.resend_count", len(response.retries.history))
    if response.status >= 400:
        fail(span, str(response.status))


def fail(span: Span, kind: str) -> None:
    """Mark a span as failed; the text of an error is not told, it may hold secrets."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def error_type(error: BaseException) -> str:
    """An error's class by its full name."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


class _Open(NamedTuple):
    pool: str
    state: str
    since: float


class MeterObserver(Observer):
    """What one manager's measurements become."""

    def __init__(self, provider: MeterProvider | None, max_pools: int) -> None:
        super().__init__(max_pools)
        meter = metrics.get_meter("poollib", VERSION, provider, SCHEMA)

        def seconds(name: str, text: str) -> Histogram:
            return meter.create_histogram(name, "s", text, explicit_bucket_boundaries_advisory=BOUNDS)

        def number(name: str, unit: str, text: str) -> UpDownCounter:
            return meter.create_up_down_counter(name, unit, text)

        self._duration = seconds("http.client.request.duration", "Duration of HTTP client requests.")
        self._connection_duration = seconds("http.client.connection.duration", "How long connections were open.")
        self._active = number("http.client.active_requests", "{request}", "Number of active HTTP requests.")
        self._open = number("http.client.open_connections", "{connection}", "Open connections, active or idle.")
        self._acquire = seconds("poollib.connection.acquire.duration", "Waiting for a connection.")
        self._usage = seconds("poollib.connection.usage.duration", "From lease to return.")
        self._creation = seconds("poollib.connection.creation.duration", "Making a connection, by step.")
        self._timeouts = meter.create_counter("poollib.connection.timeouts", "{timeout}", "No connection came in time.")
        self._refusals = meter.create_counter("poollib.connection.refusals", "{refusal}", "Too many waited already.")
        self._rate_wait = seconds("poollib.rate.wait.duration", "Waiting for a turn.")
        self._handlers = {**self._handlers, "request_started": self._on_start}
        self.wanted_events = frozenset(self._handlers)
        self._forget()

    def _reset_after_fork(self) -> None:
        super()._reset_after_fork()
        self._forget()

    def _forget(self) -> None:
        self._requests: dict[int, Attributes] = {}  # by a request's id
        self._connections: dict[int, _Open] = {}  # by id(connection)

    def _on_start(self, _: RequestInfo | None, request: RequestInfo) -> None:
        attributes = {**self._server(origin_of(request.url)), "http.request.method": request_method(request)}
        self._requests[request.id] = attributes
        self._active.add(1, attributes)

    def request_measured(
        self, pool: str, request: RequestInfo, status: int | None, error: BaseException | None, took_s: float
    ) -> None:
        attributes = self._requests.pop(request.id, None)
        if attributes is None:  # it began in the parent of this process
            return
        self._active.add(-1, attributes)
        told: Attributes = {**attributes, "network.protocol.version": "1.1"}
        if status is not None:
            told["http.response.status_code"] = status
        if error is not None or (status is not None and status >= 400):
            told["error.type"] = str(status) if error is None else error_type(error)
        self._duration.record(took_s, told)

    def acquire_measured(self, pool: str, waited_s: float) -> None:
        self._acquire.record(waited_s, self._server(pool))

    def acquire_timed_out(self, pool: str) -> None:
        self._timeouts.add(1, self._server(pool))

    def acquire_refused(self, pool: str) -> None:
        self._refusals.add(1, self._server(pool))

    def rate_wait_measured(self, pool: str, waited_s: float) -> None:
        self._rate_wait.record(waited_s, self._server(pool))

    def usage_measured(self, pool: str, used_s: float) -> None:
        self._usage.record(used_s, self._server(pool))

    def step_measured(self, pool: str, step: str, took_s: float, error: BaseException | None) -> None:
        told = {**self._server(pool), "poollib.connection.step": step}
        self._creation.record(took_s, told if error is None else {**told, "error.type": error_type(error)})

    def connection_counted(self, pool: str, event: str, connection: object, reason: str) -> None:
        now, key = time.monotonic(), id(connection)
        known = self._connections.pop(key, None)
        if known is not None:
            self._open.add(-1, self._in_state(known))
        if event == "closed":
            if known is not None:
                self._connection_duration.record(now - known.since, self._server(known.pool))
            return
        state = "idle" if event == "returned" else "active"
        opened = _Open(pool, state, now) if known is None else _Open(known.pool, state, known.since)
        self._connections[key] = opened
        self._open.add(1, self._in_state(opened))

    def _in_state(self, connection: _Open) -> Attributes:
        return {**self._server(connection.pool), "http.connection.state": connection.state}

    def _server(self, pool: str) -> Attributes:
        label = self._names.label(pool)
        return {"server.address": OTHER} if label == OTHER else server_attributes(label)


def request_method(request: RequestInfo) -> str:
    """The method, out of those that the conventions know."""
    return request.method if request.method in METHODS else "_OTHER"


def origin_of(url: str) -> str:
    """A URL's scheme, host and port, as a pool's name has them; empty if there are none to be read."""
    found = server_attributes(url)
    if "server.address" not in found or "server.port" not in found:
        return ""
    return f"{found.get('url.scheme', 'http')}://{bracketed(str(found['server.address']))}:{found['server.port']}"
