"""The life of a request against real servers: bodies, codings, redirects and retries, with one pool for all of it.

What is nginx's own behaviour (gzip of static files, 302, 503) is taken from nginx, the rest from the keep-alive server;
each test ends by showing that the connection could be used again.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import pathlib
import zlib
from collections.abc import Iterator

import pytest

import poollib
from poollib.exceptions import MaxRetryError
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response, Route
from tests.support.nginx import BIG_BYTES, TEXT, WHY_SKIPPED, Nginx, find_nginx

with_nginx = pytest.mark.skipif(find_nginx() is None, reason=WHY_SKIPPED)
BIG = bytes(range(256)) * (BIG_BYTES // 256)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    pair = certs().pair()
    folder, ca_file = tmp_path_factory.mktemp("nginx"), certs().ca_file
    with Nginx(folder, cert_file=pair.cert_file, key_file=pair.key_file, client_ca_file=ca_file) as running:
        yield running


@pytest.fixture(params=["plain", "tls"])
def pool(request: pytest.FixtureRequest, nginx: Nginx) -> Iterator[poollib.HTTPConnectionPool]:
    """A pool of one connection, plain and over TLS; the test may open no second one."""
    port = nginx.tls if request.param == "tls" else nginx.plain
    settings = {"ca_certs": certs().ca_file} if request.param == "tls" else {}
    with poollib.connection_from_url(nginx.url(port), maxsize=1, block=True, timeout=5.0, **settings) as one:
        yield one
        assert one.request("GET", "/echo?n=last", headers={"X-Token": "t"}, pool_timeout=0).data == b"GET last t"
        assert one.num_connections == 1


# Bodies that come, from nginx


@with_nginx
def test_a_big_body_streams_in_pieces_of_the_asked_size(pool: poollib.HTTPConnectionPool) -> None:
    response = pool.request("GET", "/big", preload_content=False)
    pieces = list(response.stream(65536))
    assert max(map(len, pieces)) <= 65536
    assert b"".join(pieces) == BIG


@with_nginx
def test_a_big_body_is_read_whole_by_default(pool: poollib.HTTPConnectionPool) -> None:
    assert pool.request("GET", "/big").data == BIG


@with_nginx
def test_a_body_reads_like_a_file(pool: poollib.HTTPConnectionPool) -> None:
    response = pool.request("GET", "/big", preload_content=False)
    buffer = bytearray(1000)
    assert response.readinto(buffer) == 1000
    assert bytes(buffer) == BIG[:1000]
    assert response.read(24) == BIG[1000:1024]
    assert response.read() == BIG[1024:]
    assert response.read() == b""


@with_nginx
@pytest.mark.parametrize("path", ["/text.txt", "/ready.gz"])
def test_gzip_is_undone(pool: poollib.HTTPConnectionPool, path: str) -> None:
    """Once compressed on the way, in chunks, and once stored so, with a length."""
    for preload in (True, False):
        response = pool.request("GET", path, headers={"Accept-Encoding": "gzip"}, preload_content=preload)
        assert response.headers["Content-Encoding"] == "gzip"
        assert (response.data if preload else b"".join(response.stream(1000))) == TEXT


@with_nginx
def test_gzip_is_left_alone_when_told_so(pool: poollib.HTTPConnectionPool) -> None:
    response = pool.request("GET", "/ready.gz", decode_content=False)
    assert gzip.decompress(response.data) == TEXT


@with_nginx
def test_lines_are_read_as_text(pool: poollib.HTTPConnectionPool) -> None:
    response = pool.request("GET", "/ready.gz", preload_content=False)
    response.auto_close = False
    rows = list(csv.reader(io.TextIOWrapper(response), delimiter=" "))
    assert len(rows) == 2000
    assert rows[1999][:2] == ["line", "1999"]


@with_nginx
@pytest.mark.parametrize(("method", "path", "status"), [("HEAD", "/big", 200), ("GET", "/empty", 204)])
def test_a_response_without_a_body_ends_with_its_head(
    pool: poollib.HTTPConnectionPool, method: str, path: str, status: int
) -> None:
    response = pool.request(method, path)
    assert (response.status, response.data) == (status, b"")


@with_nginx
def test_a_304_has_no_body(pool: poollib.HTTPConnectionPool) -> None:
    etag = pool.request("HEAD", "/big").headers["ETag"]
    response = pool.request("GET", "/big", headers={"If-None-Match": etag})
    assert (response.status, response.data) == (304, b"")


@with_nginx
def test_a_range_is_answered_in_part(pool: poollib.HTTPConnectionPool) -> None:
    response = pool.request("GET", "/big", headers={"Range": "bytes=256-511"})
    assert (response.status, response.data) == (206, bytes(range(256)))


# Redirects and retries, from nginx


@with_nginx
def test_a_redirect_is_followed(pool: poollib.HTTPConnectionPool) -> None:
    response = pool.request("GET", "/redirect?n=5")
    assert (response.status, response.data) == (200, b"GET 5 ")


@with_nginx
def test_a_manager_follows_a_redirect_and_tells_of_it(nginx: Nginx) -> None:
    with poollib.PoolManager() as manager:
        response = manager.request("GET", nginx.url(nginx.plain) + "/redirect?n=6")
        assert response.data == b"GET 6 "
        assert str(response.geturl()).endswith("/echo?n=6")
        assert [turn.status for turn in response.retries.history] == [302]


@with_nginx
def test_a_redirect_is_shown_when_not_to_be_followed(pool: poollib.HTTPConnectionPool) -> None:
    response = pool.request("GET", "/redirect?n=5", redirect=False)
    assert response.status == 302
    assert str(response.get_redirect_location()).endswith("/echo?n=5")


@with_nginx
def test_a_status_is_tried_again_as_often_as_the_retry_says(pool: poollib.HTTPConnectionPool, nginx: Nginx) -> None:
    with pytest.raises(MaxRetryError, match="too many 503 error responses"):
        pool.request("GET", "/unavailable", retries=poollib.Retry(total=3, status_forcelist=[503]))
    response = pool.request(
        "GET", "/unavailable", retries=poollib.Retry(total=2, status_forcelist=[503], raise_on_status=False)
    )
    assert (response.status, response.data) == (503, b"later")
    assert pool.num_requests == 4 + 3


@with_nginx
def test_a_server_that_closes_after_each_response_is_no_error(nginx: Nginx) -> None:
    with poollib.connection_from_url(nginx.url(nginx.closing), maxsize=1, block=True) as pool:
        for number in range(3):
            assert pool.request("GET", f"/echo?n={number}").data == b"GET %d " % number
        assert pool.num_connections == 3


# Bodies that go, and what redirects do to them, from the keep-alive server


def redirect(status: int, location: str) -> Response:
    return Response(b"moved", status=status, headers={"Location": location})


class Flaky:
    """Refuses the first visits with a 503 and a Retry-After of 0 s."""

    def __init__(self, refusals: int) -> None:
        self.left = refusals

    def __call__(self, request: Request) -> Response:
        self.left -= 1
        return Response(b"here") if self.left < 0 else Response(status=503, headers={"Retry-After": "0"})


@pytest.fixture
def httpd() -> Iterator[Httpd]:
    routes: dict[str, Route] = {
        "/see-other": lambda request: redirect(303, "/after"),
        "/permanent": lambda request: redirect(308, "/after"),
        "/loop": lambda request: redirect(302, "/loop"),
        "/flaky": Flaky(2),
        "/chunks": lambda request: Response([b"one ", b"two ", b"three"]),
        "/deflate": lambda request: Response(zlib.compress(TEXT), headers={"Content-Encoding": "deflate"}),
        "/json": lambda request: Response(b'{"a": [1, 2]}', headers={"Content-Type": "application/json"}),
    }
    with Httpd(routes) as server:
        yield server
        assert server.opened == 1


@pytest.fixture
def kept(httpd: Httpd) -> Iterator[poollib.HTTPConnectionPool]:
    with poollib.HTTPConnectionPool(httpd.host, httpd.port, maxsize=1, block=True, timeout=5.0) as one:
        yield one


def test_bodies_of_every_kind_arrive_whole(
    kept: poollib.HTTPConnectionPool, httpd: Httpd, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").write_bytes(BIG[:100_000])
    with (tmp_path / "file").open("rb") as file:
        kinds = [b"bytes", "text é", memoryview(b"view"), file, iter([b"a", b"b" * 70_000])]
        for kind in kinds:
            assert kept.request("POST", "/echo", body=kind).status == 200
    wanted = [b"bytes", "text é".encode(), b"view", BIG[:100_000], b"a" + b"b" * 70_000]
    assert [request.body for request in httpd.requests] == wanted
    framed = [request.header("Content-Length") for request in httpd.requests]
    assert framed == ["5", "7", "4", "100000", None] or framed[3:] == [None, None]


def test_fields_and_json_are_encoded_and_labelled(kept: poollib.HTTPConnectionPool) -> None:
    seen = kept.request("GET", "/echo", fields={"a": "b c"}).json()
    assert seen["target"] in ("/echo?a=b+c", "/echo?a=b%20c")
    seen = kept.request("POST", "/echo", json={"a": 1}).json()
    assert (json.loads(seen["body"]), seen["headers"]["content-type"]) == ({"a": 1}, "application/json")
    seen = kept.request("POST", "/echo", fields={"a": "1", "f": ("name.txt", b"data")}).json()
    assert seen["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert 'filename="name.txt"' in seen["body"]
    seen = kept.urlopen("POST", "/echo", fields={"a": "1"}).json()
    assert 'name="a"' in seen["body"]


def test_a_303_turns_a_post_into_a_get_without_its_body(kept: poollib.HTTPConnectionPool, httpd: Httpd) -> None:
    """RFC 9110 section 15.4.4."""
    seen = kept.request("POST", "/see-other", body=b"form", headers={"Content-Type": "text/plain"}).json()
    assert (seen["method"], seen["target"], seen["body"]) == ("GET", "/after", "")
    assert not {"content-type", "content-length", "transfer-encoding"} & set(seen["headers"])


def test_a_308_repeats_the_post_with_its_body(kept: poollib.HTTPConnectionPool, tmp_path: pathlib.Path) -> None:
    """RFC 9110 section 15.4.9; a file is wound back to where it was."""
    (tmp_path / "file").write_bytes(b"skipped body")
    with (tmp_path / "file").open("rb") as file:
        file.seek(8)
        seen = kept.request("POST", "/permanent", body=file).json()
    assert (seen["method"], seen["body"]) == ("POST", "body")


def test_redirects_end_where_the_retry_says(kept: poollib.HTTPConnectionPool, httpd: Httpd) -> None:
    with pytest.raises(MaxRetryError, match="too many redirects"):
        kept.request("GET", "/loop", retries=poollib.Retry(redirect=3))
    assert len(httpd.requests) == 4


def test_a_503_with_retry_after_is_tried_again_without_being_asked(
    kept: poollib.HTTPConnectionPool, httpd: Httpd
) -> None:
    response = kept.request("GET", "/flaky")
    assert (response.status, response.data, len(httpd.requests)) == (200, b"here", 3)


def test_chunked_and_deflated_bodies_are_read(kept: poollib.HTTPConnectionPool) -> None:
    assert kept.request("GET", "/chunks").data == b"one two three"
    response = kept.request("GET", "/chunks", preload_content=False)
    assert list(response.read_chunked()) == [b"one ", b"two ", b"three"]
    assert kept.request("GET", "/deflate").data == TEXT
    assert kept.request("GET", "/json").json() == {"a": [1, 2]}


def test_a_manager_drops_credentials_when_redirected_to_another_port(httpd: Httpd) -> None:
    """Another port is another origin (RFC 9110 section 4.3.1): Authorization and Cookie stay with the first."""
    away = {"/away": lambda request: redirect(302, httpd.url + "/after")}
    secrets = {"Authorization": "Basic x", "Cookie": "a=b", "X-Kept": "1"}
    with Httpd(away) as first, poollib.PoolManager() as manager:
        seen = manager.request("GET", first.url + "/away", headers=secrets).json()
    assert first.requests[0].header("Authorization") == "Basic x"
    assert "x-kept" in seen["headers"]
    assert not {"authorization", "cookie"} & set(seen["headers"])


def test_an_idle_connection_that_the_server_closed_is_replaced(httpd: Httpd) -> None:
    with Httpd() as server, poollib.HTTPConnectionPool(server.host, server.port, retries=False) as pool:
        assert pool.request("GET", "/").json()["connection"] == 0
        server.disconnect()
        assert pool.request("POST", "/", body=b"once").json()["connection"] == 1
        assert len(server.requests) == 2
    with poollib.HTTPConnectionPool(httpd.host, httpd.port) as pool:
        assert pool.request("GET", "/").status == 200
