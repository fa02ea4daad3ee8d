"""request: one value from the public call to the exchange, and what of it a repetition keeps."""

from __future__ import annotations

from typing import Any

import pytest

from poollib import HTTPHeaderDict, HTTPResponse, Retry, Trace
from poollib.exchange.request_value import AS_USUAL, BY_CALLER, Options, OutgoingRequest, Request, ResponseOptions


def request(**fields: Any) -> Request:
    made = Request(None, "POST", "/a", b"body", {"Content-Type": "text/plain", "A": "b"}, Retry(3))  # type: ignore[arg-type]
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class Answer(HTTPResponse):
    """A response that notes how it was accepted."""

    accepted: bool | None = None

    def accept(self, preload: bool) -> None:
        self.accepted = preload


def test_what_nobody_asked_for_is_as_usual() -> None:
    made = request()
    assert made.wanted is AS_USUAL
    assert (made.redirect, made.chunked, made.redirects_only) == (True, False, False)
    assert (made.options, made.deadline, made.trace, made.pool_timeout, made.body_start) == (None,) * 5
    outgoing = OutgoingRequest("GET", "/", None, None)
    assert (outgoing.wanted, outgoing.chunked) == (AS_USUAL, False)


def test_the_following_request_is_another_value() -> None:
    """The one before is still what was sent: errors and listeners point at it."""
    first = request()
    second = first.following(Retry(2))
    second.target = "/b"
    assert (first.target, first.retries.total) == ("/a", 3)
    assert (second.target, second.retries.total, second.body) == ("/b", 2, b"body")


def test_a_request_that_became_a_get_tells_of_no_body() -> None:
    """RFC 9110 section 15.4.4: what described the body goes with it."""
    trailers = {"Digest": "x"}
    made = request(chunked=True, body_start=3, options=Options(expect_continue_s=1.0, trailers=trailers))
    made.drop_body()
    assert (made.method, made.body, made.body_start, made.chunked) == ("GET", None, None, False)
    assert made.options == Options()
    assert HTTPHeaderDict(made.headers) == {"A": "b"}


def test_a_request_without_options_stays_without() -> None:
    made = request()
    made.drop_body()
    assert made.options is None


@pytest.mark.parametrize("preload", [True, False])
def test_the_body_of_a_response_that_stands_is_read_if_that_was_asked_for(preload: bool) -> None:
    answer = Answer(status=200)
    request(wanted=ResponseOptions(preload)).complete(answer)
    assert answer.accepted is preload


@pytest.mark.parametrize(
    ("redirect", "status", "accepted"), [(BY_CALLER, 302, None), (BY_CALLER, 200, True), (False, 302, True)]
)
def test_a_redirect_that_the_caller_judges_is_not_read(redirect: bool, status: int, accepted: bool | None) -> None:
    """Most are thrown away: the caller drains them, or reads them where they stand."""
    answer = Answer(status=status, headers={"Location": "/b"})
    request(redirect=redirect).complete(answer)
    assert answer.accepted is accepted


def test_by_caller_is_false_to_all_who_ask() -> None:
    """A subclass's urlopen in between passes it on, and may show it."""
    assert not BY_CALLER
    assert (repr(BY_CALLER), BY_CALLER == False) == ("False", True)  # noqa: E712


def test_options_with_a_listener_are_about_more_than_time() -> None:
    times = Options(write_timeout_s=1.0, is_time_only=True)
    assert not times.with_trace(Trace()).is_time_only
    assert times.without_body().is_time_only
