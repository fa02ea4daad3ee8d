"""A listener hears of a request from its start to its end, failures included, and knows whose each event is."""

from __future__ import annotations

import inspect
import pathlib
import re
import threading
from typing import Any

import pytest

import poollib
from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, RequestInfo, Retry, Timeout, Trace
from poollib.exceptions import EmptyPoolError, MaxRetryError, NewConnectionError, ReadTimeoutError, phase_of
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_request, respond, send, stall

PAGE = pathlib.Path(poollib.__file__).parent.parent / "docs" / "events.rst"


class Ear(Trace):
    """Keeps every event: whose it is, its name, its arguments."""

    def __init__(self) -> None:
        self.heard: list[tuple[RequestInfo | None, str, tuple[Any, ...]]] = []

    def dispatch(self, request: RequestInfo | None, event: str, arguments: tuple[Any, ...]) -> None:
        self.heard.append((request, event, arguments))

    def names(self) -> list[str]:
        return [event for _, event, _ in self.heard]

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [arguments for _, event, arguments in self.heard if event == name]


def hello(request: Request) -> Response:
    return Response(b"hello")


def moved(request: Request) -> Response:
    return Response(status=302, headers={"Location": "/"})


def test_a_request_is_told_from_start_to_end_with_its_url_but_no_password() -> None:
    ear = Ear()
    with Httpd({"/": hello}) as server, PoolManager(trace=ear) as manager:
        url = f"http://me:secret@127.0.0.1:{server.port}/"
        manager.request("GET", url)
        [(started,)], [(ended, status, error)] = ear.of("request_started"), ear.of("request_ended")
        assert (started.method, started.url, started.attempt) == ("GET", url.replace("me:secret", "***"), 0)
        assert (ended.id, ended.attempt, status, error) == (started.id, 1, 200, None)
        assert ended.endpoint == manager.connection_from_url(server.url)._endpoint_pool.endpoint
        assert ear.names()[0] == "request_started"
        assert ear.names()[-1] == "request_ended"
        assert {request.id for request, _, _ in ear.heard if request} == {started.id}
        assert all(request is not None for request, _, _ in ear.heard)


def test_redirects_to_another_host_stay_one_request() -> None:
    ear = Ear()
    with Httpd({"/": hello}) as target:
        away = {"/": lambda _: Response(status=302, headers={"Location": target.url + "/"})}
        with Httpd(away) as server, PoolManager() as manager:
            assert manager.request("GET", server.url + "/", trace=ear).data == b"hello"
    [(ended, status, _)] = ear.of("request_ended")
    assert (len(ear.of("request_started")), ended.attempt, status) == (1, 2, 200)
    endpoints = {request.endpoint for request, event, _ in ear.heard if request and event == "first_byte"}
    assert len(endpoints) == 2


def test_requests_at_the_same_time_have_ids_of_their_own() -> None:
    ear = Ear()
    with Httpd({"/": hello}) as server, HTTPConnectionPool("127.0.0.1", server.port, maxsize=4, trace=ear) as pool:
        threads = [threading.Thread(target=pool.request, args=("GET", "/")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    by_id: dict[int, list[str]] = {}
    for request, event, _ in ear.heard:
        if request is not None:
            by_id.setdefault(request.id, []).append(event)
    assert len(by_id) == 4
    for events in by_id.values():
        assert (events[0], events[-1], events.count("first_byte")) == ("request_started", "request_ended", 1)


def test_attempts_are_counted() -> None:
    ear = Ear()
    script = [expect_request(), respond(status="503 Busy"), expect_request(), respond(b"ok")]
    with ScriptServer([expect_request(), close()], script) as server:
        with HTTPConnectionPool(server.host, server.port, trace=ear) as pool:
            pool.request("GET", "/", retries=Retry(3, status_forcelist=[503]))
    assert [request.attempt for request, event, _ in ear.heard if request and event == "head_sent"] == [1, 2, 3]
    assert ear.of("request_ended")[0][0].attempt == 3


@pytest.mark.parametrize("timeout", [Timeout(deadline=30.0), Timeout(write=30.0)], ids=["deadline", "write"])
def test_a_pools_listener_hears_all_of_a_request_with_more_limits(timeout: Timeout) -> None:
    usual, ear = Ear(), Ear()
    with Httpd({"/": hello}) as server:
        for listener, wanted in ((usual, None), (ear, timeout)):
            with HTTPConnectionPool("127.0.0.1", server.port, trace=listener) as pool:
                for _ in range(3):
                    assert pool.request("GET", "/", timeout=wanted).data == b"hello"
    assert ear.names() == usual.names()
    assert len(ear.of("head_read")) == 3


def test_an_error_ends_a_request_with_its_phase() -> None:
    ear = Ear()
    with ScriptServer([expect_request(), stall()]) as server, HTTPConnectionPool(server.host, server.port) as pool:
        with pytest.raises(ReadTimeoutError):
            pool.request("GET", "/late", timeout=0.02, retries=False, trace=ear)
    [(_, status, error)] = ear.of("request_ended")
    assert (status, type(error), phase_of(error)) == (None, ReadTimeoutError, "waiting for the response")
    [(method, target, timeout_s, phase)] = ear.of("read_timed_out")
    assert (method, target, timeout_s, phase) == ("GET", "/late", 0.02, "waiting for the response")


def test_a_refused_connection_is_told_of() -> None:
    ear = Ear()
    with HTTPConnectionPool("127.0.0.1", 1) as pool, pytest.raises(MaxRetryError):
        pool.request("GET", "/", trace=ear, retries=Retry(1))
    assert [event for event in ear.names() if event.startswith("re")] == ["request_started", "retried", "request_ended"]
    assert isinstance(ear.of("request_ended")[0][2].reason, NewConnectionError)


def test_a_body_read_later_still_says_whose_it_is() -> None:
    """Its time-out as well, by the phase."""
    ear = Ear()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"
    with ScriptServer([expect_request(), send(head), stall()]) as server:
        with HTTPConnectionPool(server.host, server.port, trace=ear) as pool:
            response = pool.request("GET", "/", timeout=0.25, preload_content=False)
            assert ear.names()[-1] == "request_ended"
            with pytest.raises(ReadTimeoutError):
                response.read()
    request = ear.heard[0][0]
    assert request is not None
    later = ear.heard[ear.names().index("request_ended") + 1 :]
    assert [(whose.id, event) for whose, event, _ in later if whose][:1] == [(request.id, "read_timed_out")]
    assert ear.of("read_timed_out")[0][3] == "reading the body"


def test_giving_up_on_a_connection_is_told_with_the_wait() -> None:
    ear = Ear()
    with HTTPConnectionPool("h.example", maxsize=1, block=True, trace=ear) as pool:
        held = pool._get_conn()
        with pytest.raises(EmptyPoolError):
            pool.request("GET", "/", pool_timeout=0.01)
        pool._put_conn(held)
    [(request, _, (_, waited_s))] = [told for told in ear.heard if told[1] == "connection_wait_timed_out"]
    assert waited_s >= 0.01
    assert request is not None
    assert [request.id] == [whose.id for (whose,) in ear.of("request_started")]


def test_the_look_up_is_told_apart_from_the_dial() -> None:
    ear = Ear()
    with Httpd({"/": hello}) as server:
        with HTTPConnectionPool("a.example", server.port, resolve={"a.example": ["127.0.0.1"]}, trace=ear) as pool:
            pool.request("GET", "/")
        assert ear.of("dns_done") == [("a.example", server.port, ["127.0.0.1"], None)]
        steps = [name for name in ear.names() if name.startswith("d")]
        assert steps == ["dial_started", "dns_started", "dns_done", "dial_done"]


def test_a_failed_look_up_is_told_with_its_error() -> None:
    def fails(*_: Any) -> Any:
        raise OSError("no such name")

    ear = Ear()
    with HTTPConnectionPool("a.example", 80, resolver=fails, trace=ear) as pool:
        with pytest.raises(poollib.exceptions.HTTPError):
            pool.request("GET", "/", retries=False)
    [(host, _, addresses, error)] = ear.of("dns_done")
    assert (host, addresses, isinstance(error, Exception)) == ("a.example", [], True)


def test_what_a_handshake_came_to_is_told_and_whether_it_was_resumed() -> None:
    ear = Ear()
    with Httpd({"/": lambda _: Response(b"x", close=True)}, tls=certs().server()) as server:
        with HTTPSConnectionPool("127.0.0.1", server.port, ca_certs=certs().ca_file, trace=ear) as pool:
            for _ in range(2):
                pool.request("GET", "/")
    first, second = ear.of("tls_established")
    assert first[0] == "127.0.0.1"
    assert first[1].startswith("TLSv1.")
    assert first[2]
    assert (first[3], second[3]) == (False, True)


def test_a_listener_of_before_still_hears_what_it_overrides() -> None:
    """Subclasses with the methods of old, and classes of somebody's own that have some of them alone."""
    seen: list[str] = []

    class Old(Trace):
        def head_read(self, status: int, reason: str) -> None:
            seen.append(f"{status}")

    class Own:
        def head_sent(self, method: str, target: str) -> None:
            seen.append(method)

    with Httpd({"/": hello}) as server, HTTPConnectionPool("127.0.0.1", server.port) as pool:
        pool.request("GET", "/", trace=Old())
        own: Any = Own()
        pool.request("GET", "/", trace=own)
    assert seen == ["200", "GET"]


def heard_by(listener: Trace, server: Httpd, **request_kw: Any) -> None:
    """Let a listener hear of a request on a new connection and of one on the same, from a manager each."""
    with PoolManager(trace=listener) as manager:
        for _ in range(2):
            manager.request("GET", f"{server.url}/hello", **request_kw)


def test_a_listener_that_names_what_it_wants_hears_that_alone() -> None:
    heard = Ear()
    heard.wanted_events = frozenset({"dial_done", "head_read", "request_ended"})
    with Httpd({"/hello": hello}) as server:
        heard_by(heard, server)
    assert heard.names() == ["dial_done", "head_read", "request_ended", "head_read", "request_ended"]


@pytest.mark.parametrize("timeout", [None, Timeout(deadline=60)])
def test_a_listener_that_wants_nothing_of_exchanges_hears_how_connections_are_made(timeout: Timeout | None) -> None:
    heard = Ear()
    heard.wanted_events = frozenset({"dial_started", "dial_done", "request_ended", "connection_reused"})
    with Httpd({"/hello": hello}) as server:
        heard_by(heard, server, timeout=timeout)
    assert heard.names() == ["dial_started", "dial_done", "request_ended", "connection_reused", "request_ended"]
    assert [request.attempt for request, *_ in heard.heard if request] == 5 * [1]


def test_what_a_listener_has_on_itself_alone_is_heard() -> None:
    listener, heard = Trace(), []
    listener.head_read = lambda status, reason: heard.append(status)  # type: ignore[method-assign]
    with Httpd({"/hello": hello}) as server:
        heard_by(listener, server)
    assert heard == [200, 200]


def test_a_request_whose_connection_died_is_told_to_who_wants_nothing_of_exchanges() -> None:
    heard = Ear()
    heard.wanted_events = frozenset({"resent", "dial_done", "request_ended"})
    scripts = [[expect_request(), respond(b"1"), expect_request(), close()], [expect_request(), respond(b"2")]]
    with ScriptServer(*scripts) as server, PoolManager(trace=heard) as manager:
        bodies = [manager.request("GET", f"{server.url}/").data for _ in range(2)]
    assert bodies == [b"1", b"2"]
    assert heard.names() == ["dial_done", "request_ended", "resent", "dial_done", "request_ended"]
    assert [request.attempt for request, *_ in heard.heard if request] == [1, 1, 1, 2, 2]


def test_the_page_has_every_event_with_its_arguments_types() -> None:
    page = PAGE.read_text()
    tree = page.split("request_started", 1)[1].split("The events", 1)[0]
    docstring = (Trace.__doc__ or "").split("request_started", 1)[1]
    for name, method in vars(Trace).items():
        if name.startswith("_") or name in ("dispatch", "wanted_events"):
            continue
        arguments = list(inspect.signature(method).parameters.values())[1:]
        shown = ", ".join(f"``{argument.name}: {argument.annotation}``" for argument in arguments)
        assert f"   * - ``{name}``\n     - {shown}\n" in page, name
        for text in (tree, docstring):
            assert name == "request_started" or re.search(rf"\b{name}\b", text), name
