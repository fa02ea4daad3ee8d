"""request_loop: which answer stands, what is sent after one that does not, and that nothing is held while it waits."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest

from poollib import HTTPConnectionPool, HTTPResponse, ProxyManager, Retry
from poollib.base.timeout import Deadline
from poollib.client.request_loop import StaleConnection, _may_repeat, may_resend, run
from poollib.exceptions import (
    ConnectTimeoutError,
    DeadlineExceededError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    UnrewindableBodyError,
    mark_from_body,
    mark_nothing_sent,
)
from poollib.exchange.request_value import Request
from tests.support.script import ScriptServer, expect_request, respond


class Owner:
    """What the loop asks of a pool."""

    def _pool_of(self, url: str) -> object:
        return self

    def _absolute(self, target: str) -> str:
        return f"http://a.example{target}"

    def _redirect_target(self, url: str, location: str) -> str:
        return location

    def _log_redirect(self, url: str, target: str) -> None:
        pass


Step = int | tuple[int, dict[str, str]] | BaseException


class Script:
    """Sends nothing: each attempt ends as the next step says. ``seen``: what was asked for, in order."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.seen: list[tuple[str, str, Any]] = []

    def __call__(self, request: Request) -> HTTPResponse:
        self.seen.append((request.method, request.target, request.body))
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        status, headers = step if isinstance(step, tuple) else (step, {})
        return HTTPResponse(b"", status=status, headers=headers)


def request(method: str = "GET", retries: Retry | None = None, body: Any = None, **fields: Any) -> Request:
    made = Request(Owner(), method, "/", body, {}, Retry(3) if retries is None else retries)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def read_timeout() -> ReadTimeoutError:
    return ReadTimeoutError(None, "/", "Read timed out.")


def marked(error: HTTPError, mark: Callable[[BaseException], None]) -> HTTPError:
    mark(error)
    return error


@pytest.mark.parametrize("status", [200, 204, 304, 404, 500, 503])
def test_an_answer_that_nobody_wants_repeated_stands(status: int) -> None:
    script = Script(status)
    assert run(script, request()).status == status
    assert len(script.seen) == 1


def test_a_stale_connection_costs_no_retry() -> None:
    """A server may close a kept connection at any time: that is no failed attempt."""
    script = Script(StaleConnection(), StaleConnection(), 200)
    response = run(script, request(retries=Retry(0)))
    assert (response.status, len(script.seen)) == (200, 3)


@pytest.mark.parametrize("error", [read_timeout(), ProtocolError("Connection aborted."), ConnectTimeoutError("slow")])
def test_an_error_is_tried_again_as_often_as_retry_says(error: HTTPError) -> None:
    assert run(Script(error, 200), request(retries=Retry(1))).status == 200
    script = Script(error, error)
    with pytest.raises(MaxRetryError) as spent:
        run(script, request(retries=Retry(1)))
    assert (spent.value.reason, len(script.seen)) == (error, 2)


def test_a_post_that_the_server_may_have_seen_is_not_repeated() -> None:
    """RFC 9110 section 9.2.2; one that never reached it is."""
    error = read_timeout()
    with pytest.raises(ReadTimeoutError) as raised:
        run(Script(error), request("POST"))
    assert raised.value is error
    assert run(Script(ConnectTimeoutError("slow"), 200), request("POST")).status == 200


@pytest.mark.parametrize("error", [marked(read_timeout(), mark_from_body), DeadlineExceededError("late", "sending")])
def test_some_errors_are_never_tried_again(error: HTTPError) -> None:
    """The caller's own, and a deadline, which covers all attempts."""
    script = Script(error)
    with pytest.raises(type(error)):
        run(script, request())
    assert len(script.seen) == 1


def refused() -> HTTPError:
    return marked(NewConnectionError(None, "refused"), mark_nothing_sent)


@pytest.mark.parametrize(
    ("before", "is_certain"),
    [
        ((refused(),), True),
        ((StaleConnection(nothing_sent=True),), True),
        ((), True),
        ((read_timeout(),), False),
        ((refused(), read_timeout()), False),
        ((StaleConnection(),), False),
        ((503,), False),
        (((307, {"Location": "/b"}),), False),
    ],
)
def test_what_is_said_of_bytes_that_left_is_said_of_all_attempts(before: tuple[Step, ...], is_certain: bool) -> None:
    """A caller who sends a POST again because nothing had left shall not be told so of the last attempt alone."""
    every = Retry(status=5, connect=5, read=5, redirect=5, status_forcelist=[503], allowed_methods=None)
    last = refused()
    for retries in (every.new(total=len(before)), every.new(retry_on=lambda _, met: met is not last and None)):
        mark_nothing_sent(last)
        with pytest.raises((MaxRetryError, NewConnectionError)) as raised:
            run(Script(*before, last, last), request("POST", retries=retries))
        assert raised.value.nothing_sent is is_certain


def test_a_pools_word_of_its_own_attempts_is_not_the_managers() -> None:
    """The request had been sent to the server that redirected it."""
    spent = MaxRetryError(None, "/b", refused())
    mark_nothing_sent(spent)
    for before, is_certain in (((), True), (((307, {"Location": "/b"}),), False)):
        with pytest.raises(MaxRetryError) as raised:
            run(Script(*before, spent), request("POST", redirects_only=True))
        assert raised.value.nothing_sent is is_certain


def test_retry_on_is_asked_once_for_each_outcome() -> None:
    """It may count what it sees. The verdict goes to ``Retry.increment`` with the error."""
    asked: list[object] = []

    def retry_on(method: str, outcome: object) -> bool:
        asked.append(outcome)
        return len(asked) < 3

    error = read_timeout()
    response = run(Script(error, 500, 500), request("POST", Retry(5, retry_on=retry_on)))
    assert response.status == 500
    assert [getattr(outcome, "status", outcome) for outcome in asked] == [error, 500, 500]


def test_a_subclass_of_retry_with_urllib3s_increment_is_called_as_urllib3_calls_it() -> None:
    class Own(Retry):
        def increment(  # type: ignore[override]
            self,
            method=None,
            url=None,
            response=None,
            error=None,
            _pool=None,
            _stacktrace=None,  # type: ignore[no-untyped-def]
        ) -> Retry:
            return super().increment(method, url, response, error, _pool, _stacktrace)

    assert run(Script(read_timeout(), 200), request(retries=Own(2, retry_on=lambda *_: None))).status == 200


def test_a_redirect_is_followed_with_what_the_rule_keeps() -> None:
    script = Script((303, {"Location": "/b"}), 200)
    run(script, request("POST", body=b"x"))
    assert script.seen == [("POST", "/", b"x"), ("GET", "/b", None)]


def test_a_redirect_that_nobody_follows_stands() -> None:
    script = Script((302, {"Location": "/b"}))
    assert run(script, request(redirect=False)).status == 302


def test_what_only_redirects_are_judged_of_keeps_its_errors() -> None:
    """A manager's loop: its pools have judged errors and statuses."""
    error = read_timeout()
    with pytest.raises(ReadTimeoutError):
        run(Script(error), request(redirects_only=True))
    retries = Retry(3, status_forcelist=[503])
    assert run(Script(503), request(redirects_only=True, retries=retries)).status == 503


def test_a_body_that_is_spent_is_not_sent_again() -> None:
    script = Script((307, {"Location": "/b"}))
    with pytest.raises(UnrewindableBodyError, match="list_iterator is spent"):
        run(script, request("PUT", body=iter([b"x"])))
    assert len(script.seen) == 1


def test_a_wait_that_would_outlast_the_deadline_is_not_begun() -> None:
    retries = Retry(3, status_forcelist=[503])
    with pytest.raises(DeadlineExceededError, match="the deadline ends before a wait of"):
        run(Script((503, {"Retry-After": "3600"})), request(retries=retries, deadline=Deadline(60.0)))


def test_an_answer_that_has_come_already_is_judged_first() -> None:
    script = Script(200)
    first = HTTPResponse(b"", status=302, headers={"Location": "/b"})
    assert run(script, request(), first).status == 200
    assert script.seen == [("GET", "/b", None)]


@pytest.mark.parametrize(
    ("retries", "method", "body", "resends"),
    [
        (Retry(3), "GET", None, True),
        (Retry(3), "POST", b"x", False),
        (Retry(3, allowed_methods=None), "POST", b"x", True),
        (Retry(3), "PUT", iter([b"x"]), False),
        (Retry(0), "GET", None, False),
        (Retry(False), "GET", None, False),
        (Retry(3, read=False), "GET", None, False),
    ],
)
def test_a_request_that_died_with_a_kept_connection_goes_out_again_where_that_is_wanted(
    retries: Retry, method: str, body: Any, resends: bool
) -> None:
    """Callers who want none repeated count requests on the wire."""
    made = request(method, retries, body)
    assert may_resend(made, ProtocolError("Connection aborted.")) is resends
    assert may_resend(made, marked(ProtocolError("Connection aborted."), mark_nothing_sent))


# What one-place changes had left unnoticed


def asked(method: str = "GET", body: Any = None) -> Request:
    owner: Any = None
    return Request(owner, method, "/", body, None, Retry(3))


def test_only_what_may_arrive_twice_is_sent_again_on_another_connection() -> None:
    """RFC 9110 section 9.2.2; an iterator is spent, and an error of the body would come again."""
    error, own_error = ProtocolError("reset"), ValueError("of the body")
    mark_from_body(own_error)
    assert may_resend(asked(), error)
    assert not may_resend(asked("POST", b"x"), error)
    assert not may_resend(asked("PUT", iter([b"x"])), error)
    assert not may_resend(asked(), own_error)


def test_a_verdict_and_a_spent_body_decide_before_the_method() -> None:
    error = ProtocolError("reset")
    assert _may_repeat(asked(), error, None)
    assert _may_repeat(asked("POST", b"x"), error, True)
    assert not _may_repeat(asked(), error, False)
    assert not _may_repeat(asked("PUT", iter([b"x"])), error, True)


def test_a_good_status_on_the_list_is_tried_again_and_the_log_tells(caplog: pytest.LogCaptureFixture) -> None:
    """As urllib3 does; the quick way for good answers must not pass it by."""
    with ScriptServer([expect_request(), respond(b"no"), expect_request(), respond(b"yes", "201 Made")]) as server:
        with HTTPConnectionPool("127.0.0.1", server.port) as pool, caplog.at_level(logging.DEBUG, "poollib"):
            assert pool.request("GET", "/x", retries=Retry(1, status_forcelist=[200])).data == b"yes"
    assert "Retry: /x" in caplog.messages


def test_a_proxys_pool_follows_to_other_hosts() -> None:
    with ProxyManager("http://proxy.test:3128") as manager:
        pool = manager.connection_from_host("proxy.test", 3128, "http")
        manager_pool = manager.connection_from_url("http://a.test/")
        for one in (pool, manager_pool):
            assert one._redirect_target("http://a.test/x", "http://b.test/y") == "http://b.test/y"


def _fail_as_a_send_does() -> None:
    """The frame knows the error, and the error the frame: a ring."""
    failed = ConnectionError("broken pipe")
    raise failed


def test_a_response_that_comes_after_a_stale_connection_is_in_no_ring() -> None:
    """Dropped unread, it kept its connection until the garbage collector came by."""
    is_first = True

    def send(_: Request) -> HTTPResponse:
        nonlocal is_first
        if is_first:
            is_first = False
            try:
                _fail_as_a_send_does()
            except ConnectionError:
                raise StaleConnection from None
        return HTTPResponse(status=200, preload_content=False)

    gc.disable()
    try:
        response = run(send, request())
        reference = ref(response)
        del response
        assert reference() is None
    finally:
        gc.enable()
