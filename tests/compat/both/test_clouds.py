"""What clouds build their clients on: ibm-cloud-sdk-core, google-resumable-media, azure-core."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import urllib3

from tests.compat.both.answers import as_json, in_turn
from tests.support.certs import Certs
from tests.support.httpd import Httpd, Request, Response


def cut_after(first: bytes) -> Response:
    """A body that stops without its last chunk."""

    def pieces() -> Iterator[bytes]:
        yield first
        raise ConnectionError("the server fails")

    return Response(pieces())


# -- ibm-cloud-sdk-core --


def ibm(url: str) -> Any:
    import ibm_cloud_sdk_core
    from ibm_cloud_sdk_core.authenticators import BasicAuthenticator

    return ibm_cloud_sdk_core.BaseService(service_url=url, authenticator=BasicAuthenticator("u", "p"))


def test_ibm_calls_with_retries_and_packed_bodies(server: Httpd) -> None:
    server.routes["/v1/things"] = in_turn(
        as_json({}, 503), as_json({}, 429, **{"Retry-After": "0"}), as_json({"made": True}, 201, **{"X-Trace": "t"})
    )
    service = ibm(server.url)
    service.enable_retries(max_retries=3, retry_interval=0.001)
    service.set_enable_gzip_compression(True)
    answer = service.send(service.prepare_request("POST", "/v1/things", headers={}, data={"name": "x" * 100}))
    assert (answer.get_status_code(), answer.get_result()) == (201, {"made": True})
    assert answer.get_headers()["x-trace"] == "t"
    assert [gzip.decompress(request.body) for request in server.requests] == [b'{"name": "' + b"x" * 100 + b'"}'] * 3
    assert server.requests[0].header("Authorization") == "Basic dTpw"


def test_ibm_streams_uploads_and_tells_errors(server: Httpd) -> None:
    import ibm_cloud_sdk_core

    server.routes["/none"] = in_turn(as_json({"errors": [{"message": "no such thing"}]}, 404))
    server.routes["/file"] = lambda request: Response(
        [b"abc", b"def"], headers={"Content-Type": "application/octet-stream"}
    )
    service = ibm(server.url)
    with pytest.raises(ibm_cloud_sdk_core.ApiException, match="no such thing") as caught:
        service.send(service.prepare_request("GET", "/none", headers={}))
    assert caught.value.status_code == 404
    result = service.send(service.prepare_request("GET", "/file", headers={}), stream=True).get_result()
    assert b"".join(result.iter_content(2)) == b"abcdef"
    files = {"part": ("n.bin", io.BytesIO(b"\0\1\r\n"), "application/octet-stream")}
    service.send(service.prepare_request("POST", "/up", headers={}, files=files))
    assert b'filename="n.bin"' in server.requests[-1].body


def test_ibm_verifies_by_a_context_of_its_own(tls_server: Httpd) -> None:
    service = ibm(tls_server.url)
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        service.send(service.prepare_request("GET", "/", headers={}))
    service.set_disable_ssl_verification(True)
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        answer = service.send(service.prepare_request("GET", "/", headers={}))
    assert answer.get_status_code() == 200


# -- google-resumable-media --


CONTENT = bytes(range(256)) * 40


def md5(data: bytes) -> str:
    return "md5=" + base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def test_google_downloads_and_checks_the_sum_of_packed_bytes(server: Httpd) -> None:
    import google.resumable_media
    import google.resumable_media.requests as media

    packed = gzip.compress(CONTENT)
    hashed = {"X-Goog-Hash": md5(packed), "Content-Encoding": "gzip"}
    server.routes["/packed"] = in_turn(Response(packed, headers=hashed))
    server.routes["/wrong"] = in_turn(Response(packed, headers={**hashed, "X-Goog-Hash": md5(CONTENT)}))
    session = requests.Session()
    for kind, wanted in ((media.Download, CONTENT), (media.RawDownload, packed)):
        file = io.BytesIO()
        kind(server.url + "/packed", stream=file).consume(session)
        assert file.getvalue() == wanted
        with pytest.raises(google.resumable_media.DataCorruption, match="Checksum mismatch"):
            kind(server.url + "/wrong", stream=io.BytesIO()).consume(session)


def test_google_downloads_in_ranges_and_goes_on_after_a_fault(server: Httpd) -> None:
    import google.resumable_media.requests as media

    failures = [503]

    def part(request: Request) -> Response:
        if failures:
            return Response(b"", status=failures.pop())
        start, end = map(int, (request.header("Range") or "").removeprefix("bytes=").split("-"))
        body = CONTENT[start : end + 1]
        span = f"bytes {start}-{start + len(body) - 1}/{len(CONTENT)}"
        return Response(body, 206, {"Content-Range": span})

    server.routes["/o"] = part
    file = io.BytesIO()
    download = media.ChunkedDownload(server.url + "/o", 4096, file)
    download._retry_strategy.initial_delay = 0.001
    session = requests.Session()
    while not download.finished:
        download.consume_next_chunk(session)
    assert (file.getvalue(), download.bytes_downloaded) == (CONTENT, len(CONTENT))


def test_google_uploads_in_pieces_and_recovers(server: Httpd) -> None:
    import google.resumable_media
    import google.resumable_media.requests as media

    size = 256 * 1024
    content, taken = b"x" * (2 * size + 5), []

    def session_of(request: Request) -> Response:
        span = (request.header("Content-Range") or "").removeprefix("bytes ")
        if span.startswith("*"):
            return Response(b"", 308, {"Range": f"bytes=0-{size - 1}"})
        if len(taken) == 1 and span.startswith(str(size)) and not recovered:
            recovered.append(span)
            return Response(b"", 400)
        taken.append(request.body)
        done = span.endswith(f"-{len(content) - 1}/{len(content)}")
        if done:
            return as_json({"name": "o"})
        return Response(b"", 308, {"Range": f"bytes=0-{sum(map(len, taken)) - 1}"})

    recovered: list[str] = []
    server.routes["/start"] = lambda request: Response(b"", headers={"Location": server.url + "/session"})
    server.routes["/session"] = session_of
    upload = media.ResumableUpload(server.url + "/start", size)
    session = requests.Session()
    upload.initiate(session, io.BytesIO(content), {"name": "o"}, "text/plain")
    while not upload.finished:
        try:
            upload.transmit_next_chunk(session)
        except google.resumable_media.InvalidResponse:
            upload.recover(session)
    assert (b"".join(taken), len(recovered)) == (content, 1)
    answer = media.MultipartUpload(server.url + "/up").transmit(session, CONTENT, {"name": "m"}, "text/plain")
    assert (answer.status_code, CONTENT in server.requests[-1].body) == (200, True)


def test_google_tries_again_after_a_connection_that_broke(server: Httpd) -> None:
    import google.resumable_media.requests as media

    def drop(request: Request) -> Response:
        if len(server.requests) < 3:
            raise ConnectionError("the server fails")
        return Response(CONTENT)

    server.routes["/o"] = drop
    download = media.Download(server.url + "/o")
    download._retry_strategy.initial_delay = 0.001
    assert download.consume(requests.Session(), timeout=(5, 5)).content == CONTENT
    assert len(server.requests) == 3


# -- azure-core --


def azure(**settings: Any) -> Any:
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import RetryPolicy

    policy = RetryPolicy(retry_total=2, retry_backoff_factor=0, **settings)
    return PipelineClient("http://unused.test", policies=[policy])


def asked(client: Any, url: str, method: str = "GET", **settings: Any) -> Any:
    from azure.core.rest import HttpRequest

    options = {name: settings.pop(name) for name in ("content", "json", "files", "headers") if name in settings}
    return client.send_request(HttpRequest(method, url, **options), **settings)


def test_azure_streams_down_raw_and_decoded(server: Httpd) -> None:
    packed = gzip.compress(CONTENT)
    server.routes["/packed"] = in_turn(Response([packed[:100], packed[100:]], headers={"Content-Encoding": "gzip"}))
    with azure() as client:
        assert b"".join(asked(client, server.url + "/packed", stream=True).iter_bytes()) == CONTENT
        assert b"".join(asked(client, server.url + "/packed", stream=True).iter_raw()) == packed
        assert asked(client, server.url + "/packed").read() == CONTENT


def test_azure_sends_files_generators_and_again_after_a_503(server: Httpd) -> None:
    server.routes["/up"] = in_turn(Response(b"", 503), Response(b"", 429, {"Retry-After": "0"}), Response(b"", 201))
    with azure() as client:
        answer = asked(client, server.url + "/up", "PUT", content=io.BytesIO(CONTENT))
        assert answer.status_code == 201
        pieces = (bytes([number]) * 5 for number in range(3))
        asked(client, server.url + "/echo", "PUT", content=pieces)
    assert [request.body for request in server.requests[:3]] == [CONTENT] * 3
    assert server.requests[3].header("Transfer-Encoding") == "chunked"
    assert server.requests[3].body == b"\0" * 5 + b"\1" * 5 + b"\2" * 5


def test_azure_tells_its_errors_apart(server: Httpd, tls_server: Httpd) -> None:
    import azure.core.exceptions as errors

    let_go = threading.Event()

    def slow(request: Request) -> Response:
        let_go.wait(20)
        return Response(b"")

    def drop(request: Request) -> Response:
        raise ConnectionError("the server fails")

    server.routes.update({"/cut": lambda request: cut_after(b"abc"), "/slow": slow, "/drop": drop})
    server.routes["/bad"] = in_turn(Response(b"no gzip at all", headers={"Content-Encoding": "gzip"}))
    with azure() as client:
        with pytest.raises(errors.ServiceRequestError, match="refused"):
            asked(client, "http://127.0.0.1:9/", retry_total=0)
        with pytest.raises(errors.ServiceRequestError, match="CERTIFICATE_VERIFY_FAILED"):
            asked(client, tls_server.url, retry_total=0)
        with pytest.raises(errors.ServiceResponseError, match="Connection aborted"):
            asked(client, server.url + "/drop", retry_total=0)
        try:
            with pytest.raises(errors.ServiceResponseTimeoutError, match="Read timed out"):
                asked(client, server.url + "/slow", retry_total=0, read_timeout=0.02)
        finally:
            let_go.set()
        with pytest.raises(errors.DecodeError):
            b"".join(asked(client, server.url + "/bad", stream=True).iter_bytes())
        with pytest.raises(errors.HttpResponseError, match="Response ended prematurely") as caught:
            b"".join(asked(client, server.url + "/cut", stream=True).iter_bytes())
        assert type(caught.value) is errors.HttpResponseError
        with pytest.raises(errors.ServiceResponseError):
            b"".join(asked(client, server.url + "/cut", stream=True).iter_raw())


def test_azure_verifies_by_the_file_it_is_given(tls_server: Httpd, authority: Certs) -> None:
    with azure() as client:
        assert asked(client, tls_server.url, connection_verify=authority.ca_file).status_code == 200
