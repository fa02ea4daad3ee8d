"""What items become; how the talk goes is shown in tests/talk/test_pipelines.py."""

from __future__ import annotations

from email.message import Message
from typing import Any

import pytest

from poollib import HTTPConnectionPool, Retry, Timeout
from poollib.base.headers import HTTPHeaderDict
from poollib.base.timeout import Deadline
from poollib.base.trace import Trace, listener_of
from poollib.http1.grammar import Limits
from poollib.pipeline.requests import PipelinedRequest, PoolDefaults, Settings


def settings(pool: HTTPConnectionPool, **keywords: Any) -> Settings:
    defaults = PoolDefaults(pool, pool.headers, pool.retries, pool.timeout, {}, pool._line_target, None)
    return Settings(defaults, keywords)  # type: ignore[arg-type]


def made(item: Any, **keywords: Any) -> PipelinedRequest:
    with HTTPConnectionPool("host.example", 8080, headers={"X-Pool": "1"}) as pool:
        every = settings(pool, **keywords)
        return every.request(item, every.terms())


@pytest.mark.parametrize(
    ("item", "method", "target"),
    [
        ("/a?b=c", "GET", "/a?b=c"),
        ("/a b", "GET", "/a%20b"),
        ("http://host.example:8080/x#part", "GET", "/x"),
        (("head", "/a"), "HEAD", "/a"),
        (("OPTIONS", "*"), "OPTIONS", "*"),
    ],
)
def test_an_item_s_target_is_that_of_a_single_request(item: Any, method: str, target: str) -> None:
    request = made(item)
    assert (request.method, request.target) == (method, target)


def test_subclasses_of_str_are_taken_by_what_they_hold() -> None:
    class Text(str):
        def __str__(self) -> str:
            return "/something/else"

    assert made(Text("/path")).target == "/path"
    assert made((Text("HEAD"), Text("/path"))).method == "HEAD"


def test_fields_are_copied_once_for_the_pipeline_and_replaced_by_an_item_s_own() -> None:
    given = HTTPHeaderDict({"X-Given": "1"})
    with HTTPConnectionPool("host.example") as pool:
        every = settings(pool, headers=given)
        given["X-Given"] = "changed later"
        assert every.request("/", every.terms()).terms.fields.block == b"X-Given: 1\r\n"
        assert every.request(("GET", "/", {"X-Own": "2"}), every.terms()).terms.fields.block == b"X-Own: 2\r\n"
    assert made("/").terms.fields.block == b"X-Pool: 1\r\n"


def test_fields_that_are_no_mapping_are_named() -> None:
    with pytest.raises(TypeError, match="headers must be a mapping of names to values, not a list"):
        made(("GET", "/", [("X-Own", "2")]))
    with pytest.raises(TypeError, match="headers must be a mapping of names to values, not a int"):
        made("/", headers=3)


def test_several_values_of_one_name_stay() -> None:
    fields = Message()
    fields["X-Own"] = "1"
    fields["X-Own"] = "2"
    assert made(("GET", "/", fields)).terms.fields.block == b"X-Own: 1\r\nX-Own: 2\r\n"


def test_what_a_request_wants_is_the_same_one_by_one() -> None:
    trace, limits, retries, timeout = Trace(), Limits(header_lines=7), Retry(5), Timeout(1.0, write=3.0)
    request = made(
        "/a",
        trace=trace,
        limits=limits,
        retries=retries,
        timeout=timeout,
        pool_timeout=2,
        redirect=False,
        decode_content=False,
        max_response_size=10,
        max_decoded_size=20,
    ).settled()
    options = request.options
    assert options is not None
    assert options.trace is not None
    assert (listener_of(options.trace), options.limits, options.write_timeout_s) == (trace, limits, 1.0)
    assert (options.max_response_size, options.max_decoded_size) == (10, 20)
    assert (request.retries, request.timeout, request.pool_timeout) == (retries, timeout, 2)
    assert request.trace is options.trace
    assert (request.redirect, request.wanted.decode_content) == (False, False)
    assert request.wanted.preload_content


def test_a_deadline_begins_when_requests_are_taken_and_a_running_one_goes_on() -> None:
    with HTTPConnectionPool("host.example") as pool:
        every = settings(pool, timeout=Timeout(deadline=5))
        first, second = every.terms().options, every.terms().options
        assert every.has_clock
        assert first is not None
        assert second is not None
        assert first.deadline is not second.deadline
        running = Deadline(5)
        other = settings(pool, timeout=Timeout(deadline=running))
        assert not other.has_clock
        options = other.terms().options
        assert options is not None
        assert options.deadline is running


def test_what_bodies_wait_for_is_none_of_a_pipeline_s() -> None:
    with HTTPConnectionPool("host.example", expect_continue=True, trailers={"X": "1"}, max_response_size=9) as pool:
        every = pool.pipeline([])._settings
        options = every.terms().options
    assert options is not None
    assert (options.expect_continue_s, options.trailers, options.max_response_size) == (None, None, 9)
