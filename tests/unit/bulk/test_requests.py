"""Items become requests, URLs hosts; what is none is said so."""

from __future__ import annotations

import pytest

from poollib.bulk.requests import BulkRequest, host_finder, prepared
from poollib.exceptions import HTTPError


@pytest.mark.parametrize(
    ("item", "request_"),
    [
        ("http://a/", BulkRequest("http://a/")),
        (("HEAD", "http://a/"), BulkRequest("http://a/", "HEAD")),
        (("GET", "http://a/", {"A": "b"}), BulkRequest("http://a/", headers={"A": "b"})),
        (BulkRequest("http://a/", tag=7), BulkRequest("http://a/", tag=7)),
    ],
)
def test_an_item_is_a_request(item: object, request_: BulkRequest) -> None:
    assert prepared(item) == request_  # type: ignore[arg-type]


@pytest.mark.parametrize("item", [None, 7, b"http://a/", ("GET",), (1, "http://a/"), BulkRequest("u", body="text")])  # type: ignore[arg-type]
def test_what_is_no_request_is_named(item: object) -> None:
    with pytest.raises(TypeError, match="not"):
        prepared(item)  # type: ignore[arg-type]


def test_a_host_is_the_same_however_its_url_is_spelled() -> None:
    host_of = host_finder()
    urls = ["http://Example.com/a", "https://example.com:8443?x", "http://u:p@EXAMPLE.com#f"]
    assert [host_of(url) for url in urls * 2] == ["example.com"] * 6


@pytest.mark.parametrize("url", ["", "/path", "example.com/x", "http://", "http://[::1", "http://a\\b/"])
def test_a_url_without_a_host_is_an_error(url: str) -> None:
    with pytest.raises((HTTPError, ValueError)):
        host_finder()(url)
