"""`opentelemetry(manager)` against OpenTelemetry's own SDK: meters and spans by the HTTP semantic conventions."""

from __future__ import annotations

import re
import socket

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import poollib
from poollib.metrics import opentelemetry
from tests.support.httpd import Httpd, Response


class Telemetry:
    """Providers that keep what they are told."""

    def __init__(self):
        self.reader, self.exporter = InMemoryMetricReader(), InMemorySpanExporter()
        self.meters, self.tracers = MeterProvider([self.reader]), TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def watch(self, manager, **keywords):
        opentelemetry(manager, meter_provider=self.meters, tracer_provider=self.tracers, **keywords)

    def metrics(self):
        """Every metric by name."""
        data = self.reader.get_metrics_data()
        scopes = [] if data is None else [scope for each in data.resource_metrics for scope in each.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def values(self, name, **wanted):
        """A metric's values (counts of a histogram) at the points with these attributes; dots are underscores."""
        found = []
        for point in self.metrics()[name].data.data_points:
            attributes = {key.replace(".", "_"): value for key, value in point.attributes.items()}
            if wanted.items() <= attributes.items():
                found.append(getattr(point, "count", None) or getattr(point, "value", None))
        return found

    def spans(self):
        return self.exporter.get_finished_spans()

    def close(self):
        self.meters.shutdown()
        self.tracers.shutdown()


@pytest.fixture
def telemetry():
    telemetry = Telemetry()
    yield telemetry
    telemetry.close()


@pytest.fixture
def server():
    with Httpd({"/gone": lambda _: Response(b"", 404), "/busy": lambda _: Response(b"", 503)}) as server:
        yield server


def test_the_meters_are_those_of_the_conventions(server, telemetry):
    url = f"http://127.0.0.1:{server.port}"
    with poollib.PoolManager(retries=False) as manager:
        telemetry.watch(manager)
        manager.request("GET", f"{url}/")
        manager.request("GET", f"{url}/gone")
        held = manager.request("BREW", f"{url}/", preload_content=False)
        where = {"server_address": "127.0.0.1", "server_port": server.port, "url_scheme": "http"}
        states = {
            state: telemetry.values("http.client.open_connections", http_connection_state=state, **where)
            for state in ("active", "idle")
        }
        assert states == {"active": [1], "idle": [0]}
        held.drain_conn()
        assert telemetry.values("http.client.open_connections", http_connection_state="idle") == [1]
        duration = "http.client.request.duration"
        assert telemetry.values(duration, http_request_method="GET", http_response_status_code=200, **where) == [1]
        assert telemetry.values(duration, http_response_status_code=404, error_type="404") == [1]
        assert telemetry.values(duration, http_request_method="_OTHER", network_protocol_version="1.1") == [1]
        assert set(telemetry.values("http.client.active_requests", **where)) <= {0, None}
    assert telemetry.values("http.client.connection.duration", **where) == [1]
    metrics = telemetry.metrics()
    units = {name: metric.unit for name, metric in metrics.items() if name.startswith("http.")}
    assert units == {
        "http.client.request.duration": "s",
        "http.client.connection.duration": "s",
        "http.client.active_requests": "{request}",
        "http.client.open_connections": "{connection}",
    }
    bounds = metrics["http.client.request.duration"].data.data_points[0].explicit_bounds
    assert tuple(bounds) == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


def test_a_span_tells_of_a_request_and_its_context_travels(server, telemetry):
    url = f"http://127.0.0.1:{server.port}"
    with poollib.PoolManager(retries=False, headers={"X-Own": "1"}) as manager:
        telemetry.watch(manager)
        with telemetry.tracers.get_tracer("caller").start_as_current_span("work") as work:
            manager.request("GET", f"http://me:hidden@127.0.0.1:{server.port}/a?sig=hidden&x=1")
            manager.request("GET", f"{url}/busy", headers={"Accept": "a/b"})
    first, second, _ = telemetry.spans()
    assert (first.name, first.kind, first.status.status_code) == ("GET", SpanKind.CLIENT, StatusCode.UNSET)
    shown = first.attributes["url.full"]
    assert "hidden" not in shown
    assert shown.endswith("/a?sig=REDACTED&x=1")
    assert {name: value for name, value in first.attributes.items() if name != "url.full"} == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "url.scheme": "http",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }
    assert (second.attributes["error.type"], second.status.status_code) == ("503", StatusCode.ERROR)
    for span, request in zip((first, second), server.requests, strict=True):
        version, trace_id, span_id, _flags = re.fullmatch(
            r"(..)-(.{32})-(.{16})-(..)", request.header("traceparent") or ""
        ).groups()
        assert version == "00"
        assert int(trace_id, 16) == span.context.trace_id == work.get_span_context().trace_id
        assert int(span_id, 16) == span.context.span_id
    assert server.requests[0].header("X-Own") == "1"
    assert server.requests[1].header("Accept") == "a/b"


def test_a_failure_is_named_by_its_class(telemetry):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with poollib.PoolManager(retries=False) as manager:
        telemetry.watch(manager)
        with pytest.raises(poollib.exceptions.NewConnectionError):
            manager.request("GET", f"http://127.0.0.1:{port}/")
    (span,) = telemetry.spans()
    assert span.attributes["error.type"] == "poollib.exceptions.NewConnectionError"
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.events == ()
    duration = "http.client.request.duration"
    assert telemetry.values(duration, error_type="poollib.exceptions.NewConnectionError") == [1]


def test_repetitions_are_counted_in_the_span(server, telemetry):
    retries = poollib.Retry(2, status_forcelist=[503], raise_on_status=False)
    with poollib.PoolManager(retries=retries) as manager:
        telemetry.watch(manager)
        manager.request("GET", f"http://127.0.0.1:{server.port}/busy")
    (span,) = telemetry.spans()
    assert span.attributes["http.request.resend_count"] == 2
    assert len({request.header("traceparent") for request in server.requests}) == 1


def test_each_attempt_has_a_span_of_its_own_where_that_is_asked_for(server, telemetry):
    server.routes["/moved"] = lambda _: Response(b"", 302, {"Location": "/busy"})
    retries = poollib.Retry(3, status_forcelist=[503], raise_on_status=False)
    with poollib.PoolManager(retries=retries) as manager:
        telemetry.watch(manager, attempts=True)
        manager.request("GET", f"http://127.0.0.1:{server.port}/moved")
        manager.client(f"http://127.0.0.1:{server.port}/").get("gone")
    *attempts, whole, of_client = telemetry.spans()
    assert (whole.kind, whole.attributes["http.request.resend_count"]) == (SpanKind.INTERNAL, 3)
    assert [span.attributes["http.response.status_code"] for span in attempts] == [302, 503, 503, 503]
    assert [span.attributes.get("http.request.resend_count") for span in attempts] == [None, 1, 2, 3]
    assert [span.attributes["url.full"].rpartition("/")[2] for span in attempts] == ["moved", "busy", "busy", "busy"]
    for span, request in zip((*attempts, of_client), server.requests, strict=True):
        assert span.kind is SpanKind.CLIENT
        assert f"-{span.context.span_id:016x}-" in request.header("traceparent")
    assert {span.parent.span_id for span in attempts} == {whole.context.span_id}
    assert of_client.parent is None


def test_an_attempt_that_fails_says_so_in_its_span(telemetry):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with poollib.PoolManager(retries=1) as manager:
        telemetry.watch(manager, attempts=True)
        with pytest.raises(poollib.exceptions.MaxRetryError):
            manager.request("GET", f"http://127.0.0.1:{port}/")
    *attempts, whole = telemetry.spans()
    assert [span.attributes["error.type"] for span in attempts] == ["poollib.exceptions.NewConnectionError"] * 2
    assert whole.attributes["error.type"] == "poollib.exceptions.MaxRetryError"


def test_servers_beyond_the_limit_are_one(telemetry):
    with poollib.PoolManager(retries=False) as manager:
        telemetry.watch(manager, max_pools=1)
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            with socket.create_server((host, 0)) as listener:
                port = listener.getsockname()[1]
            with pytest.raises(poollib.exceptions.NewConnectionError):
                manager.request("GET", f"http://{host}:{port}/")
    duration = "http.client.request.duration"
    assert telemetry.values(duration, server_address="127.0.0.1") == [1]
    assert telemetry.values(duration, server_address="other") == [2]


def test_clients_of_a_manager_send_by_their_own_settings(server, telemetry):
    """A client has pools and header fields of its own, also where the manager's urlopen was replaced."""
    with poollib.PoolManager() as manager:
        telemetry.watch(manager)
        client = manager.client(f"http://127.0.0.1:{server.port}/", headers={"X-Client": "1"})
        client.get("")
        assert (len(manager.pools), len(client.manager.pools)) == (0, 1)
    assert server.requests[0].header("X-Client") == "1"
    assert telemetry.values("http.client.request.duration") == [1]
