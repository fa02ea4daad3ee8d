"""``progress=``: what has left of a request's body, from 0 on for each time that it is sent."""

from __future__ import annotations

import io
import pathlib
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

import poollib
from poollib import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry
from poollib.exceptions import UnrewindableBodyError, WriteTimeoutError
from tests.support.certs import certs
from tests.support.httpd import Httpd, Request, Response, echo
from tests.support.script import ScriptServer, close, expect_head, respond, send, stall

SIZE = 700_001
BODY = bytes(range(256)) * (SIZE // 256) + bytes(SIZE % 256)


def file_of(folder: pathlib.Path) -> Any:
    path = folder / "body"
    path.write_bytes(BODY)
    return path.open("rb")


BODIES: dict[str, Callable[[pathlib.Path], Any]] = {
    "bytes": lambda folder: BODY,
    "small": lambda folder: b"text",
    "text": lambda folder: "text",
    "empty": lambda folder: b"",
    "file": file_of,
    "buffer": lambda folder: io.BytesIO(BODY),
    "view": lambda folder: memoryview(BODY),
    "list": lambda folder: [BODY[:100_000], BODY[100_000:100_003], BODY[100_003:]],
    "iterator": lambda folder: iter([BODY[:5], b"", BODY[5:]]),
}


class Told:
    """What the callback was told, and in which thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int | None]] = []
        self.threads: set[int] = set()

    def __call__(self, sent: int, total: int | None) -> None:
        self.calls.append((sent, total))
        self.threads.add(threading.get_ident())


@pytest.fixture(scope="module")
def server() -> Iterator[Httpd]:
    bodies: list[bytes] = []

    def keep(request: Request) -> Response:
        bodies.append(request.body)
        return Response(b"%d" % len(request.body))

    def moved(request: Request) -> Response:
        return Response(status=int(request.query["code"]), headers={"Location": "/"})

    with Httpd({"/": keep, "/moved": moved, "/echo": echo, "/bad": lambda _: Response(status=503)}) as httpd:
        httpd.bodies = bodies  # type: ignore[attr-defined]
        yield httpd


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("way", ["direct", "hooked"])
def test_every_body_is_told_from_nothing_to_all(
    server: Httpd, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str, chunked: bool, way: str
) -> None:
    if way == "hooked":  # through http.client's methods, of which one was replaced
        usual = poollib.connection.HTTPConnection.send
        monkeypatch.setattr(poollib.connection.HTTPConnection, "send", lambda self, data: usual(self, data))
    told = Told()
    with PoolManager() as manager:
        body = BODIES[kind](tmp_path)
        response = manager.request("PUT", server.url + "/", body=body, chunked=chunked, progress=told)
        size = int(response.data)
        if kind == "file":
            body.close()
    total = None if chunked or kind in ("iterator", "list") else size
    assert told.calls[0] == (0, total)
    assert told.calls[-1] == (size, total)
    assert {total for _, total in told.calls} == {total}
    assert all(before[0] < after[0] for before, after in pairwise(told.calls))
    assert told.threads == {threading.get_ident()}
    if size == SIZE:
        assert server.bodies[-1] == BODY  # type: ignore[attr-defined]
        assert len(told.calls) >= 4


def test_over_tls_too(tmp_path: pathlib.Path) -> None:
    told = Told()
    with Httpd({"/": lambda _: Response(b"ok")}, tls=certs().server()) as server:
        with HTTPSConnectionPool("localhost", server.port, ca_certs=certs().ca_file) as pool, file_of(tmp_path) as body:
            pool.request("PUT", "/", body=body, progress=told)
        assert server.requests[0].body == BODY
    assert (told.calls[0], told.calls[-1]) == ((0, SIZE), (SIZE, SIZE))


def test_forms_and_json_are_bodies(server: Httpd) -> None:
    for how in ({"fields": {"name": ("a.txt", BODY)}}, {"json": {"a": 1}}):
        told = Told()
        with poollib.Client(server.url) as client:
            client.post("/", progress=told, **how)  # type: ignore[arg-type]
        size = len(server.requests[-1].body)
        assert (told.calls[0], told.calls[-1]) == ((0, size), (size, size))


def test_what_has_no_body_tells_nothing(server: Httpd) -> None:
    told = Told()
    with PoolManager() as manager:
        for method in ("GET", "POST"):
            manager.request(method, server.url + "/", progress=told)
    assert told.calls == []


@pytest.mark.parametrize(("code", "times"), [(307, 2), (303, 1)])
def test_a_redirect_that_keeps_the_body_begins_anew(server: Httpd, code: int, times: int) -> None:
    told = Told()
    with PoolManager() as manager:
        manager.request("POST", f"{server.url}/moved?code={code}", body=b"text", progress=told)
    assert told.calls == [(0, 4), (4, 4)] * times


def test_a_repetition_begins_anew(server: Httpd) -> None:
    told = Told()
    retries = Retry(2, status_forcelist=[503], raise_on_status=False)
    with PoolManager() as manager:
        manager.request("PUT", server.url + "/bad", body=io.BytesIO(b"text"), retries=retries, progress=told)
    assert told.calls == [(0, 4), (4, 4)] * 3


@pytest.mark.parametrize("at", [0, 262144, SIZE])
def test_what_it_raises_reaches_the_caller_and_no_slot_is_lost(server: Httpd, tmp_path: pathlib.Path, at: int) -> None:
    """At the beginning, in the middle, at the end: the connection is closed, nothing is sent again."""

    class OwnError(OSError):  # which a retry would take for the network's
        pass

    def stops(sent: int, total: int | None) -> None:
        if sent >= at:
            raise OwnError("enough")

    before = len(server.requests)
    with HTTPConnectionPool(server.host, server.port, block=True, retries=5) as pool:
        with file_of(tmp_path) as body, pytest.raises(OwnError, match="enough"):
            pool.request("PUT", "/", body=body, progress=stops)
        stats = pool.stats()
        assert (stats["leased"], stats["idle"]) == (0, 0)
        assert pool.request("PUT", "/", body=b"x", progress=Told()).data == b"1"
        assert pool.health()["state"] == "ok"
    assert len(server.requests) <= before + 2  # all bytes may have been there at the end


def test_an_interrupt_in_it_leaves_no_slot_behind(server: Httpd) -> None:
    def interrupts(sent: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with HTTPConnectionPool(server.host, server.port, block=True) as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.request("PUT", "/", body=BODY, progress=interrupts)
        assert pool.request("GET", "/").status == 200


def test_an_answer_that_comes_early_ends_it(server: Httpd) -> None:
    told, body, done = Told(), BODY * 100, threading.Event()
    with ScriptServer([expect_head(), respond(b"", "413 Too Large"), stall(done)]) as refusing:
        with HTTPConnectionPool(refusing.host, refusing.port, timeout=30) as pool:
            assert pool.request("PUT", "/", body=body, progress=told).status == 413
        done.set()
    assert told.calls[-1][0] < len(body)


def test_a_server_that_takes_nothing_is_seen_in_it() -> None:
    told, body, done = Told(), BODY * 100, threading.Event()
    with ScriptServer([expect_head(), stall(done)]) as server:
        timeout = poollib.Timeout(write=0.02)
        with HTTPConnectionPool(server.host, server.port, timeout=timeout, retries=False) as pool:
            with pytest.raises(WriteTimeoutError):
                pool.request("PUT", "/", body=body, progress=told)
        done.set()
    assert 0 < told.calls[-1][0] < len(body)


def test_a_refused_consent_tells_nothing() -> None:
    told = Told()
    with ScriptServer([expect_head(), respond(b"", "417 Expectation Failed"), close()]) as server:
        with HTTPConnectionPool(server.host, server.port) as pool:
            assert pool.request("PUT", "/", body=b"text", expect_continue=30, progress=told).status == 417
    assert told.calls == []


def test_a_body_that_is_spent_is_told_once_and_refused_as_ever(server: Httpd) -> None:
    told = Told()
    with PoolManager() as manager, pytest.raises(UnrewindableBodyError):
        manager.request("POST", f"{server.url}/moved?code=307", body=iter([b"a", b"b"]), progress=told)
    assert told.calls == [(0, None), (1, None), (2, None)]


def test_hooks_pass_it_on(server: Httpd) -> None:
    told = Told()
    for kind in ("hooks", "attempt_hooks"):
        with PoolManager(**{kind: [lambda request, send: send(request)]}) as manager:
            manager.request("PUT", server.url + "/", body=b"text", progress=told)
    assert told.calls == [(0, 4), (4, 4)] * 2


def test_a_dead_connection_is_told_as_it_was() -> None:
    """The request goes out on another one, and its body from the beginning."""
    told = Told()
    answer = [expect_head(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), close()]
    with ScriptServer(answer, answer) as server, HTTPConnectionPool(server.host, server.port) as pool:
        assert pool.request("GET", "/").status == 200
        assert pool.request("PUT", "/", body=b"text", progress=told).status == 200
    assert told.calls[-2:] == [(0, 4), (4, 4)]


@pytest.mark.parametrize("wrong", [1, "bar", []])
def test_what_cannot_be_called_is_refused_by_name(wrong: Any) -> None:
    with HTTPConnectionPool("127.0.0.1", 1) as pool, pytest.raises(TypeError, match="progress must be a callable"):
        pool.request("PUT", "/", body=b"x", progress=wrong)


def test_it_is_a_requests_own_and_no_setting_of_pools() -> None:
    with pytest.raises(TypeError, match="progress"):
        HTTPConnectionPool("h.example", progress=print)  # type: ignore[call-arg]
    with HTTPConnectionPool("h.example") as pool, pytest.raises(TypeError, match="progress"):
        pool.pipeline(["/"], progress=print)  # type: ignore[call-arg]
