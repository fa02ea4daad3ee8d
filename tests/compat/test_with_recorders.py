"""responses, requests-mock and vcrpy: they stand in for the network, below requests and below urllib3."""

from __future__ import annotations

import pathlib

import boto3
import pytest
import requests
import requests_mock
import responses
import urllib3
import vcr

import poollib
from tests.support.httpd import Httpd, Response


@responses.activate
def test_responses_answers_for_requests() -> None:
    responses.get("http://api.test/a", json={"a": 1}, headers={"X-Y": "z"})
    responses.get("http://api.test/cookie", headers={"Set-Cookie": "k=v; Path=/"})
    responses.get("http://api.test/moved", status=301, headers={"Location": "http://api.test/a"})
    responses.get("http://api.test/down", body=requests.ConnectionError("down"))
    answer = requests.get("http://api.test/a")
    assert (answer.json(), answer.headers["x-y"]) == ({"a": 1}, "z")
    assert isinstance(answer.raw, poollib.HTTPResponse)
    assert requests.get("http://api.test/cookie").cookies.get_dict() == {"k": "v"}
    moved = requests.get("http://api.test/moved")
    assert (moved.url, len(moved.history)) == ("http://api.test/a", 1)
    with pytest.raises(requests.ConnectionError, match="down"):
        requests.get("http://api.test/down")
    with requests.get("http://api.test/a", stream=True) as streamed:
        assert b"".join(streamed.iter_content(3)) == b'{"a": 1}'
    assert len(responses.calls) == 6


@responses.activate
def test_responses_sees_the_retries_of_an_adapter() -> None:
    from urllib3.util.retry import Retry

    first = responses.get("http://api.test/flaky", status=503)
    second = responses.get("http://api.test/flaky", status=200)
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=Retry(3, status_forcelist=[503])))
        assert session.get("http://api.test/flaky").status_code == 200
    assert (first.call_count, second.call_count) == (1, 1)


def test_requests_mock_answers_for_requests() -> None:
    with requests_mock.Mocker() as mock:
        mock.get("http://api.test/text", text="hello", cookies={"k": "v"}, headers={"X": "1"})
        mock.post("http://api.test/list", [{"status_code": 500}, {"json": [1, 2]}])
        mock.get("http://api.test/slow", exc=requests.exceptions.ConnectTimeout)
        answer = requests.get("http://api.test/text")
        assert (answer.text, answer.headers["x"], answer.cookies["k"]) == ("hello", "1", "v")
        assert isinstance(answer.raw, poollib.HTTPResponse)
        assert [requests.post("http://api.test/list").status_code for _ in range(2)] == [500, 200]
        with requests.get("http://api.test/text", stream=True) as streamed:
            assert streamed.raw.read(2) == b"he"
            assert streamed.raw.read() == b"llo"
        with pytest.raises(requests.exceptions.ConnectTimeout):
            requests.get("http://api.test/slow")


@pytest.mark.parametrize("way", ["requests", "urllib3", "urllib3 streamed", "pool"])
def test_vcr_records_once_and_replays(server: Httpd, tmp_path: pathlib.Path, way: str) -> None:
    server.routes["/gz"] = lambda request: Response(b"hello " * 100, headers={"X-A": "1", "Set-Cookie": "k=v"})

    def ask() -> tuple[int, bytes, str | None]:
        url = server.url + "/gz"
        if way == "requests":
            answer = requests.get(url)
            assert answer.cookies.get_dict() == {"k": "v"}
            return answer.status_code, answer.content, answer.headers["x-a"]
        if way == "pool":
            with urllib3.HTTPConnectionPool(server.host, server.port, maxsize=1, block=True) as pool:
                for _ in range(2):
                    raw = pool.request("GET", "/gz", pool_timeout=1)
        else:
            with urllib3.PoolManager() as manager:
                raw = manager.request("GET", url, preload_content=way == "urllib3")
                return raw.status, raw.data, raw.headers["x-a"]
        return raw.status, raw.data, raw.headers["x-a"]

    cassette = str(tmp_path / "tape.yaml")
    allow = way == "pool"
    with vcr.use_cassette(cassette, record_mode="once", allow_playback_repeats=allow) as tape:
        recorded = ask()
        assert len(tape) >= 1
    asked = len(server.requests)
    with vcr.use_cassette(cassette, record_mode="none", allow_playback_repeats=allow) as tape:
        assert ask() == recorded
        assert tape.all_played or allow
    assert len(server.requests) == asked
    assert recorded == (200, b"hello " * 100, "1")
    assert ask() == recorded
    assert len(server.requests) > asked


def test_vcr_records_bodies_and_redirects(server: Httpd, tmp_path: pathlib.Path) -> None:
    server.routes["/from"] = lambda request: Response(b"", status=307, headers={"Location": "/to"})
    with vcr.use_cassette(str(tmp_path / "tape.yaml"), match_on=["method", "uri", "body"]) as tape:
        recorded = requests.post(server.url + "/from", data=b"the body").json()
        assert [request.body for request in tape.requests] == [b"the body", b"the body"]
    with vcr.use_cassette(str(tmp_path / "tape.yaml"), match_on=["method", "uri", "body"], record_mode="none"):
        assert requests.post(server.url + "/from", data=b"the body").json() == recorded
        with pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException):
            requests.post(server.url + "/from", data=b"another")


def test_vcr_records_and_replays_a_boto3_client(server: Httpd, tmp_path: pathlib.Path) -> None:
    """It swaps connection classes below botocore's, whose own class still reads the answer."""
    listing = b"<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>"
    server.routes["/"] = lambda request: Response(listing, headers={"Content-Type": "application/xml"})
    for mode in ("once", "none"):
        with vcr.use_cassette(str(tmp_path / "tape.yaml"), record_mode=mode):
            client = boto3.client(
                "s3",
                endpoint_url=server.url,
                region_name="us-east-1",
                aws_access_key_id="who",
                aws_secret_access_key="secret",
            )
            assert client.list_buckets()["Buckets"] == []
    assert len(server.requests) == 1
