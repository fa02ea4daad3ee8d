"""What a redirect keeps of a request: method, fields, origin (RFC 9110 sections 15.4 and 4.3.1)."""

from __future__ import annotations

import pytest

from poollib.base.headers import HTTPHeaderDict
from poollib.exceptions import InsecureRedirectError, URLSchemeUnknown
from poollib.policy.redirect import (
    different_locations,
    dropped_fields,
    same_origin,
    scheme_of,
    turns_into_get,
    without_body_fields,
    without_fields,
)
from poollib.policy.retry import Retry

# What tells of a body: RFC 9110 sections 8.3 to 8.8.2, 10.1.1, 14.4; RFC 9530; RFC 3230; RFC 1864; RFC 6266.
BODY_FIELDS = [
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-Length",
    "Content-Range",
    "Content-MD5",
    "Content-Disposition",
    "Content-Digest",
    "Repr-Digest",
    "Digest",
    "Last-Modified",
    "Transfer-Encoding",
    "Trailer",
    "Expect",
]


@pytest.mark.parametrize(
    ("status", "method", "is_get"),
    [
        (303, "POST", True),
        (303, "GET", True),
        (303, "HEAD", False),
        (301, "POST", False),
        (302, "POST", False),
        (307, "POST", False),
        (308, "PUT", False),
    ],
)
def test_only_a_303_changes_the_method(status: int, method: str, is_get: bool) -> None:
    """RFC 9110 section 15.4.4; as urllib3, a POST stays one after 301 and 302."""
    assert turns_into_get(status, method) is is_get


@pytest.mark.parametrize("name", BODY_FIELDS)
@pytest.mark.parametrize("spelled", [str, str.lower, str.upper])
def test_no_field_that_describes_a_body_stays_without_it(name: str, spelled: type[str]) -> None:
    """RFC 9110 section 15.4; CVE-2023-45803."""
    assert list(without_body_fields({spelled(name): "1", "X-Kept": "2"})) == ["X-Kept"]


def test_a_body_that_is_not_sent_takes_its_headers_along() -> None:
    """RFC 9110 section 15.4 and CVE-2023-45803: a 303 leaves nothing that describes the old body."""
    headers = HTTPHeaderDict([(name, "1") for name in ("Host", *BODY_FIELDS, "X-Content")])
    assert list(without_body_fields(headers)) == ["Host", "X-Content"]


@pytest.mark.parametrize(
    "name", ["Accept", "Authorization", "Host", "X-Content", "Contents", "Range", "If-Match", "TE"]
)
def test_fields_about_the_request_stay(name: str) -> None:
    assert list(without_body_fields({name: "1", "Content-Length": "3"})) == [name]


def test_the_headers_that_were_given_stay_as_they_are() -> None:
    given = HTTPHeaderDict({"Content-Type": "a/b", "Cookie": "a=b", "A": "1"})
    assert dict(without_body_fields(given)) == {"Cookie": "a=b", "A": "1"}
    assert dict(without_fields(given, {"cookie"})) == {"Content-Type": "a/b", "A": "1"}
    assert list(given) == ["Content-Type", "Cookie", "A"]
    assert dict(without_body_fields(None)) == dict(without_fields(None, ["a"])) == {}


@pytest.mark.parametrize(
    ("url", "other", "is_same"),
    [
        ("http://a.example/x", "http://A.example:80/y", True),
        ("https://a.example", "https://a.example:443", True),
        ("http://a.example./", "http://a.example/", True),
        ("http://a.example/", "https://a.example/", False),
        ("http://a.example/", "http://a.example:8080/", False),
        ("http://a.example/", "http://b.a.example/", False),
        ("http://[::1]/", "http://[::1]:80/", True),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, other: str, is_same: bool) -> None:
    """RFC 9110 section 4.3.1."""
    assert same_origin(url, other) is same_origin(other, url) is is_same


@pytest.mark.parametrize(
    ("url", "target", "dropped"),
    [
        ("http://a.example/", "http://a.example/b", set()),
        ("http://a.example/", "http://b.example/", {"Host", "x-secret"}),
        ("http://a.example/", "https://a.example/", {"Host", "x-secret"}),
        (
            "https://a.example/",
            "http://a.example/",
            {"Host", "x-secret", "Authorization", "Cookie", "Proxy-Authorization"},
        ),
    ],
)
def test_which_fields_stay_with_their_origin(url: str, target: str, dropped: set[str]) -> None:
    """Those that the caller names, and never credentials from https to http."""
    assert dropped_fields(url, target, same_origin, Retry(remove_headers_on_redirect=["X-Secret"])) == dropped


def test_a_downgrade_can_be_refused() -> None:
    with pytest.raises(InsecureRedirectError, match=r"a\.example"):
        dropped_fields("https://a.example/", "http://a.example/", same_origin, Retry(allow_downgrade=False))


@pytest.mark.parametrize("target", ["ftp://a.example/", "file:///etc/passwd", "javascript:x", "mailto:a@example"])
def test_a_redirect_leads_to_a_web_address(target: str) -> None:
    with pytest.raises(URLSchemeUnknown):
        dropped_fields("http://a.example/", target, same_origin, Retry())


def test_a_scheme_of_the_callers_own_is_followed_on_its_origin_alone() -> None:
    """A pool may have any scheme; it is no way to another host."""
    assert dropped_fields("odd://a.example/", "odd://a.example/b", same_origin, Retry()) == set()
    with pytest.raises(URLSchemeUnknown):
        dropped_fields("odd://a.example/", "odd://b.example/", same_origin, Retry())


@pytest.mark.parametrize(("url", "scheme"), [("/a:b", ""), ("*", ""), ("HTTPS://a.example", "https"), ("x:y", "x")])
def test_the_scheme_of_a_url(url: str, scheme: str) -> None:
    assert scheme_of(url) == scheme


def test_several_locations_name_one_place_only_if_they_are_equal() -> None:
    one, two = HTTPHeaderDict(), HTTPHeaderDict()
    for place in ("/a", "/a"):
        one.add("Location", place)
    for place in ("/a", "/b"):
        two.add("location", place)
    assert different_locations(one) == different_locations({"Location": "/a"}) == []
    assert different_locations(two) == ["/a", "/b"]
