"""Programs that move files: huggingface_hub on requests, and twine against an index."""

from __future__ import annotations

import hashlib
import io
import pathlib
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.both.answers import as_json, in_turn
from tests.support.certs import Certs
from tests.support.httpd import Httpd, Request, Response

CONTENT = bytes(range(256)) * 300


# -- huggingface_hub --


class Hub:
    """One file of one repository; the first answer to it goes silent after `stop` bytes, until `let_go` is set."""

    def __init__(self, server: Httpd, stop: int | None = None) -> None:
        self.url, self.stop, self.ranges = server.url, stop, list[str | None]()
        self.let_go = threading.Event()
        server.routes["/o/r/resolve/main/f.bin"] = self.head
        server.routes["/cdn/f.bin"] = self.file

    def head(self, request: Request) -> Response:
        """Where the file is: elsewhere, as for all large ones."""
        about = {"X-Repo-Commit": "c" * 40, "X-Linked-Etag": f'"{hashlib.sha256(CONTENT).hexdigest()}"'}
        return Response(b"", 302, {**about, "X-Linked-Size": str(len(CONTENT)), "Location": self.url + "/cdn/f.bin"})

    def file(self, request: Request) -> Response:
        asked = request.header("Range")
        if request.method == "GET":
            self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        if self.stop is not None and request.method == "GET":
            stop, self.stop = self.stop, None
            return Response(self.silent_after(CONTENT[start:stop]))
        return Response(CONTENT[start:], 206 if asked else 200)

    def silent_after(self, first: bytes) -> Iterator[bytes]:
        yield first
        self.let_go.wait(20)


@pytest.fixture
def hub_client(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> Any:
    import huggingface_hub
    import huggingface_hub.constants as constants
    import huggingface_hub.file_download as download

    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    return huggingface_hub.HfApi(endpoint=server.url, token="t")


def test_huggingface_downloads_by_a_redirect(hub_client: Any, server: Httpd, tmp_path: pathlib.Path) -> None:
    Hub(server)
    path = hub_client.hf_hub_download("o/r", "f.bin", cache_dir=tmp_path)
    assert pathlib.Path(path).read_bytes() == CONTENT
    (head, *_) = server.requests
    assert (head.method, head.header("Authorization"), head.header("Accept-Encoding")) == (
        "HEAD",
        "Bearer t",
        "identity",
    )
    assert len(head.header("X-Amzn-Trace-Id") or "") == 36


def test_huggingface_goes_on_where_a_download_went_silent(
    hub_client: Any, server: Httpd, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It catches requests' ConnectionError, which a read timeout within a body has to become."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1_000)
    hub = Hub(server, stop=20_000)
    try:
        path = hub_client.hf_hub_download("o/r", "f.bin", cache_dir=tmp_path)
    finally:
        hub.let_go.set()
    assert pathlib.Path(path).read_bytes() == CONTENT
    assert hub.ranges == [None, "bytes=20000-"]


def test_huggingface_calls_and_names_errors(hub_client: Any, server: Httpd) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import huggingface_hub.errors as errors

    server.routes["/api/whoami-v2"] = in_turn(as_json({"name": "me", "type": "user"}))
    server.routes["/api/models/o/none"] = in_turn(as_json({"error": "?"}, 404, **{"X-Error-Code": "RepoNotFound"}))
    with ThreadPoolExecutor(4) as threads:
        assert {who["name"] for who in threads.map(lambda _: hub_client.whoami(), range(12))} == {"me"}
    with pytest.raises(errors.RepositoryNotFoundError) as caught:
        hub_client.model_info("o/none")
    assert caught.value.response.status_code == 404


def test_huggingface_tries_again_and_sends_the_file_anew(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.utils._http as hub

    monkeypatch.setattr(hub.time, "sleep", lambda seconds: None)
    server.routes["/lfs"] = in_turn(Response(b"", 503), Response(b"", 500), Response(b""))
    file = io.BytesIO(b"skip" + CONTENT)
    file.seek(4)
    answer = hub.http_backoff("PUT", server.url + "/lfs", data=file, retry_on_status_codes=(500, 503))
    assert answer.status_code == 200
    assert [request.body for request in server.requests] == [CONTENT] * 3


def test_huggingface_waits_no_longer_than_asked(hub_client: Any, server: Httpd) -> None:
    import requests

    let_go = threading.Event()

    def slow(request: Request) -> Response:
        let_go.wait(20)
        return as_json({})

    server.routes["/api/models/o/slow"] = slow
    try:
        with pytest.raises(requests.exceptions.ReadTimeout, match=r"Read timed out\. \(read timeout=0\.02\)") as caught:
            hub_client.model_info("o/slow", timeout=0.02)
    finally:
        let_go.set()
    assert "Request ID: " in str(caught.value)


# -- twine --


@pytest.fixture
def wheel(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    about = "thing-1.0.dist-info/"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing.py", "x = 1\n" * 5_000)
        archive.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\nSummary: ä thing\n")
        archive.writestr(about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(about + "RECORD", "")
    return path


def upload(url: str, *options: str) -> bool:
    import twine.cli

    arguments = ["upload", "--non-interactive", "--disable-progress-bar", "--repository-url", url, "-u", "u", "-p", "p"]
    return bool(twine.cli.dispatch([*arguments, *options]))


def test_twine_uploads_a_wheel(tls_server: Httpd, authority: Certs, wheel: pathlib.Path) -> None:
    assert not upload(tls_server.url + "/legacy/", "--cert", authority.ca_file, str(wheel))
    (request,) = tls_server.requests
    assert request.header("Authorization") == "Basic dTpw"
    assert hashlib.sha256(wheel.read_bytes()).hexdigest().encode() in request.body
    assert wheel.read_bytes() in request.body
    assert "ä thing".encode() in request.body


def test_twine_tries_again_while_the_index_fails(server: Httpd, wheel: pathlib.Path) -> None:
    server.routes["/legacy/"] = in_turn(Response(b"", 503), Response(b"", 502), Response(b""))
    assert not upload(server.url + "/legacy/", str(wheel))
    sizes = {len(request.body) for request in server.requests}
    assert (len(server.requests), len(sizes)) == (3, 1)


def test_twine_says_what_the_index_answered(server: Httpd, wheel: pathlib.Path) -> None:
    import requests
    import twine.exceptions

    server.routes["/exists/"] = in_turn(Response(b"file already exists", 400))
    server.routes["/moved/"] = in_turn(Response(b"", 301, {"Location": server.url + "/legacy/"}))
    with pytest.raises(requests.HTTPError, match="400"):
        upload(server.url + "/exists/", str(wheel))
    with pytest.raises(twine.exceptions.RedirectDetected):
        upload(server.url + "/moved/", str(wheel))


def test_twine_refuses_an_index_it_does_not_know(tls_server: Httpd, wheel: pathlib.Path) -> None:
    import requests

    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        upload(tls_server.url + "/legacy/", str(wheel))
