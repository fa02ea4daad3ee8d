"""Clients that a generator wrote for urllib3, and those with a Retry of their own: datadog, ory, lakeFS, InfluxDB."""

from __future__ import annotations

import json
import pathlib
import threading
import zlib
from typing import Any

import pytest
import urllib3

from tests.compat.both.answers import as_json, in_turn
from tests.support.certs import Certs
from tests.support.httpd import Httpd, Request, Response

# -- datadog-api-client --


def datadog(url: str, **settings: Any) -> Any:
    import datadog_api_client

    configuration = datadog_api_client.Configuration(api_key={"apiKeyAuth": "k", "appKeyAuth": "a"}, host=url)
    for name, value in settings.items():
        setattr(configuration, name, value)
    return datadog_api_client.ApiClient(configuration)


def test_datadog_calls_and_packs_what_it_sends(server: Httpd) -> None:
    from datadog_api_client.v2.api.metrics_api import MetricsApi
    from datadog_api_client.v2.model.metric_payload import MetricPayload
    from datadog_api_client.v2.model.metric_point import MetricPoint
    from datadog_api_client.v2.model.metric_series import MetricSeries

    taken: list[Any] = []

    def series(request: Request) -> Response:
        body = zlib.decompress(request.body, 47) if request.header("Content-Encoding") else request.body
        taken.append((request.header("Content-Encoding"), json.loads(body)["series"][0]["metric"]))
        return as_json({"errors": []}, 202)

    server.routes["/api/v2/series"] = series
    payload = MetricPayload(series=[MetricSeries(metric="m", points=[MetricPoint(timestamp=1, value=0.5)])])
    with datadog(server.url) as client:
        for packed in (None, "gzip", "deflate"):
            keywords = {} if packed is None else {"content_encoding": packed}
            assert MetricsApi(client).submit_metrics(body=payload, **keywords)["errors"] == []
    assert taken == [(None, "m"), ("gzip", "m"), ("deflate", "m")]
    assert server.opened == 1


def test_datadog_waits_as_its_own_header_says(server: Httpd) -> None:
    """Its Retry overrides `get_retry_after`, `is_retry` and two class attributes."""
    from datadog_api_client.v1.api.authentication_api import AuthenticationApi

    busy = Response(b"", status=429, headers={"X-Ratelimit-Reset": "0", "Retry-After": "3600"})
    server.routes["/api/v1/validate"] = in_turn(busy, as_json({"valid": True}))
    with datadog(server.url, enable_retry=True, max_retries=3) as client:
        assert AuthenticationApi(client).validate()["valid"] is True
    assert len(server.requests) == 2


def test_datadog_turns_statuses_into_its_errors(server: Httpd) -> None:
    import datadog_api_client.exceptions as errors
    from datadog_api_client.v1.api.authentication_api import AuthenticationApi

    for status, kind in ((401, errors.UnauthorizedException), (403, errors.ForbiddenException),
                         (404, errors.NotFoundException), (500, errors.ServiceException)):  # fmt: skip
        server.routes["/api/v1/validate"] = in_turn(as_json({"errors": ["no"]}, status, **{"X-Trace": "t"}))
        with datadog(server.url) as client, pytest.raises(kind) as caught:
            AuthenticationApi(client).validate()
        assert (caught.value.status, caught.value.reason) == (status, "Other")
        assert caught.value.headers["X-Trace"] == "t"
        assert "no" in str(caught.value)


def test_datadog_verifies_and_names_the_fault(tls_server: Httpd, authority: Certs) -> None:
    import datadog_api_client.exceptions as errors
    from datadog_api_client.v1.api.authentication_api import AuthenticationApi

    tls_server.routes["/api/v1/validate"] = in_turn(as_json({"valid": True}))
    with datadog(tls_server.url, ssl_ca_cert=authority.ca_file) as client:
        assert AuthenticationApi(client).validate()["valid"] is True
    with datadog(tls_server.url) as client, pytest.raises(urllib3.exceptions.MaxRetryError) as caught:
        AuthenticationApi(client).validate()
    assert isinstance(caught.value.reason, urllib3.exceptions.SSLError)
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
    once = urllib3.Retry(False)
    with datadog(tls_server.url, retry_policy=once) as client, pytest.raises(errors.ApiException) as known:
        AuthenticationApi(client).validate()
    assert str(known.value.reason).startswith("SSLError\n")


# -- ory and lakeFS: the newest template of openapi-generator, and an old one --


def ory(url: str, **settings: Any) -> Any:
    import ory_client

    return ory_client.ApiClient(ory_client.Configuration(host=url, access_token="t", **settings))


IDENTITY = {"id": "0f0e0d0c-0b0a-0908-0706-050403020100", "schema_id": "s", "schema_url": "u", "traits": {}}


def test_a_generated_client_lists_creates_and_streams(tls_server: Httpd, authority: Certs) -> None:
    import ory_client

    def identities(request: Request) -> Response:
        if request.method == "POST":
            return as_json({**IDENTITY, **json.loads(request.body)}, 201)
        text = json.dumps([IDENTITY]).encode()
        return Response([text[:9], text[9:]], headers={"Content-Type": "application/json"})

    tls_server.routes["/admin/identities"] = identities
    with ory(tls_server.url, ssl_ca_cert=authority.ca_file) as client:
        api = ory_client.IdentityApi(client)
        assert [str(found.id) for found in api.list_identities(page_token="ä &")] == [IDENTITY["id"]]
        made = api.create_identity(ory_client.CreateIdentityBody(schema_id="new", traits={"é": 1}))
        assert (made.schema_id, made.traits) == ("new", {"é": 1})
        told = api.list_identities_with_http_info()
        assert (told.status_code, told.headers["Content-Type"]) == (200, "application/json")
        with api.list_identities_without_preload_content() as raw:
            assert json.loads(b"".join(raw.stream(4))) == [IDENTITY]
    assert tls_server.requests[0].query["page_token"] == "ä &"
    assert tls_server.requests[0].header("Authorization") == "Bearer t"
    assert tls_server.opened == 1


def test_a_generated_client_has_time_limits_and_its_errors(server: Httpd) -> None:
    import ory_client

    let_go = threading.Event()

    def slow(request: Request) -> Response:
        let_go.wait(20)
        return as_json(IDENTITY)

    server.routes["/admin/identities/slow"] = slow
    server.routes["/admin/identities/none"] = in_turn(as_json({"error": {"message": "no such thing"}}, 404))
    with ory(server.url, retries=urllib3.Retry(total=1, backoff_factor=0)) as client:
        api = ory_client.IdentityApi(client)
        with pytest.raises(ory_client.exceptions.NotFoundException, match="no such thing") as missing:
            api.get_identity("none")
        assert missing.value.headers["content-type"] == "application/json"
        try:
            with pytest.raises(urllib3.exceptions.MaxRetryError) as caught:
                api.get_identity("slow", _request_timeout=(5, 0.02))
        finally:
            let_go.set()
        assert isinstance(caught.value.reason, urllib3.exceptions.ReadTimeoutError)
        assert "Read timed out. (read timeout=0.02)" in str(caught.value)


def test_a_generated_client_says_what_is_wrong_with_tls(tls_server: Httpd) -> None:
    import ory_client

    with ory(tls_server.url, retries=False) as client:
        with pytest.raises(ory_client.exceptions.ApiException) as caught:
            ory_client.IdentityApi(client).list_identities()
    assert caught.value.reason.startswith("SSLError\n")
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.reason


def test_a_generated_client_of_old_uploads_a_form_and_downloads(server: Httpd, tmp_path: pathlib.Path) -> None:
    import lakefs_sdk

    file = tmp_path / "ä.bin"
    file.write_bytes(b"\x00\xff\r\n--")
    stats = {"path": "p", "path_type": "object", "physical_address": "x", "checksum": "c", "mtime": 1}
    server.routes["/api/v1/repositories/r/branches/main/objects"] = lambda request: as_json(stats, 201)
    server.routes["/api/v1/repositories/r/refs/main/objects"] = lambda request: Response([b"aaa", b"\x00bb"])
    configuration = lakefs_sdk.Configuration(host=server.url + "/api/v1", username="u", password="p")
    with lakefs_sdk.ApiClient(configuration) as client:
        files = lakefs_sdk.ObjectsApi(client)
        made = files.upload_object("r", "main", "p", content=str(file))
        got = files.get_object("r", "main", "p")
    form = server.requests[0]
    assert (made.path, bytes(got)) == ("p", b"aaa\x00bb")
    assert form.header("Authorization") == "Basic dTpw"
    assert (form.header("Content-Type") or "").startswith("multipart/form-data; boundary=")
    assert 'name="content"; filename="ä.bin"\r\n'.encode() in form.body
    assert b"\r\n\r\n\x00\xff\r\n--\r\n--" in form.body


# -- InfluxDB: a Retry that counts, waits and tells by itself --


def influx(url: str, **settings: Any) -> Any:
    import influxdb_client

    return influxdb_client.InfluxDBClient(url=url, token="t", org="o", **settings)


def test_influx_retries_its_writes_and_tells_of_each(server: Httpd) -> None:
    import influxdb_client.client.write.retry as retry
    from influxdb_client.client.write_api import SYNCHRONOUS

    told: list[Any] = []
    server.routes["/api/v2/write"] = in_turn(
        as_json({"message": "busy"}, 503),
        as_json({"message": "slow"}, 429, **{"Retry-After": "0"}),
        Response(status=204),
    )
    policy = retry.WritesRetry(
        total=3, retry_interval=0.001, max_retry_delay=0.002, retry_callback=told.append, allowed_methods=["POST"]
    )
    with influx(server.url, retries=policy, enable_gzip=True) as client:
        client.write_api(write_options=SYNCHRONOUS).write("b", record="m,t=1 f=2i 1")
    assert [(type(error).__name__, error.response.status, error.message) for error in told] == [
        ("InfluxDBError", 503, "busy"), ("InfluxDBError", 429, "slow"),
    ]  # fmt: skip
    assert [zlib.decompress(request.body, 47) for request in server.requests] == [b"m,t=1 f=2i 1"] * 3


def test_influx_writes_in_batches_from_its_own_threads(server: Httpd) -> None:
    import influxdb_client

    server.routes["/api/v2/write"] = in_turn(as_json({"message": "busy"}, 503), Response(status=204))
    failed: list[Any] = []
    options = influxdb_client.WriteOptions(
        batch_size=10, flush_interval=10, jitter_interval=0, retry_interval=1, max_retry_delay=1, max_retries=2
    )
    with influx(server.url) as client:
        with client.write_api(write_options=options, error_callback=lambda *error: failed.append(error)) as writes:
            for number in range(30):
                writes.write("b", record=f"m f={number}i {number}")
    lines = {line for request in server.requests for line in request.body.split(b"\n")}
    assert (len(lines), failed) == (30, [])


def test_influx_streams_the_answer_of_a_query(server: Httpd) -> None:
    table = (
        b"#datatype,string,long,double\r\n#group,false,false,false\r\n#default,_result,,\r\n"
        b",result,table,_value\r\n" + b"".join(b",,0,%d.5\r\n" % number for number in range(50)) + b"\r\n"
    )
    server.routes["/api/v2/query"] = lambda request: Response(
        [table[start : start + 7] for start in range(0, len(table), 7)], headers={"Content-Type": "text/csv"}
    )
    with influx(server.url) as client:
        values = [record.get_value() for record in client.query_api().query_stream("from(bucket: 'b')")]
        assert values == [number + 0.5 for number in range(50)]
        stream = client.query_api().query_stream("from(bucket: 'b')")
        assert next(stream).get_value() == 0.5
        stream.close()
        assert len(client.query_api().query("from(bucket: 'b')")[0].records) == 50


def test_influx_errors_carry_the_answer(server: Httpd) -> None:
    import influxdb_client.rest

    server.routes["/api/v2/query"] = in_turn(as_json({"message": "bad flux"}, 400, **{"X-Influx": "1"}))
    with influx(server.url) as client:
        with pytest.raises(influxdb_client.rest.ApiException, match="bad flux") as caught:
            client.query_api().query("nonsense")
    assert (caught.value.status, caught.value.headers["x-influx"]) == (400, "1")
    with influx("http://127.0.0.1:9", retries=False, timeout=1_000) as client:
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            client.query_api().query("x")
