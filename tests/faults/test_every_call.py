"""Every socket call of an exchange fails once, in every way that makes sense; nothing is lost and nothing is wrong.

RELIABILITY promises 2, 4 and 9: what comes back is whole, or poollib's error, or the injected MemoryError or
KeyboardInterrupt itself; every slot, lease and socket is back, and the next request works.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from poollib import PoolManager, ProxyManager, Retry
from poollib.connectionpool import HTTPConnectionPool
from poollib.exceptions import HTTPError
from tests.support.certs import certs
from tests.support.faults import CertainInterrupt, CertainMemoryError, Faults, kinds_for
from tests.support.httpd import Httpd, Request, Response
from tests.support.relay import Relay

TEXT = bytes(itertools.islice(itertools.cycle(b"nothing is lost "), 5000))
LARGE = bytes(itertools.islice(itertools.cycle(range(251)), 300_000))


class Scene(NamedTuple):
    """A server, the ways to it, and a file to send."""

    plain: Httpd
    secure: Httpd
    proxy: Relay
    tls_proxy: Relay
    file: pathlib.Path


def _answer(request: Request) -> Response:
    """What was sent, as the server saw it."""
    return Response(f"{request.method} {hashlib.sha1(request.body).hexdigest()}".encode())


ROUTES = {
    "/text": lambda request: Response(TEXT),
    "/large": lambda request: Response(LARGE),
    "/chunks": lambda request: Response([TEXT[:7], TEXT[7:100], TEXT[100:]]),
    "/gzip": lambda request: Response(_gzip(TEXT), headers={"Content-Encoding": "gzip"}),
    "/close": lambda request: Response(TEXT, close=True),
    "/echo": _answer,
    "/away": lambda request: Response(b"moved", status=303, headers={"Location": "/text"}),
}


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    file = tmp_path_factory.mktemp("faults") / "body"
    file.write_bytes(LARGE)
    server = certs().server()
    with (
        Httpd(ROUTES) as plain,
        Httpd(ROUTES, tls=server) as secure,
        Relay(tunnels=True) as proxy,
        Relay(tunnels=True, tls=server) as tls_proxy,
    ):
        yield Scene(plain, secure, proxy, tls_proxy, file)


# -- exchanges: each returns what it got, and knows what it should have got --


def _get(manager: PoolManager, url: str, scene: Scene) -> bool:
    """Two requests, the second on the kept connection."""
    first = manager.request("GET", f"{url}/text").data
    return first == TEXT and manager.request("GET", f"{url}/text").data == TEXT


def _stream(manager: PoolManager, url: str, scene: Scene) -> bool:
    response = manager.request("GET", f"{url}/large", preload_content=False)
    try:
        return b"".join(response.stream(7000)) == LARGE
    finally:
        response.close()


def _read_into(manager: PoolManager, url: str, scene: Scene) -> bool:
    response = manager.request("GET", f"{url}/large", preload_content=False)
    try:
        return io.BufferedReader(response, 50_000).read() == LARGE
    finally:
        response.close()


def _chunks(manager: PoolManager, url: str, scene: Scene) -> bool:
    response = manager.request("GET", f"{url}/chunks", preload_content=False)
    try:
        return b"".join(response.read_chunked()) == TEXT
    finally:
        response.close()


def _inflate(manager: PoolManager, url: str, scene: Scene) -> bool:
    response = manager.request("GET", f"{url}/gzip", preload_content=False)
    try:
        return b"".join(response.stream(100)) == TEXT
    finally:
        response.close()


def _close(manager: PoolManager, url: str, scene: Scene) -> bool:
    return manager.request("GET", f"{url}/close").data == TEXT


def _head(manager: PoolManager, url: str, scene: Scene) -> bool:
    return manager.request("HEAD", f"{url}/text").data == b""


def _post_file(manager: PoolManager, url: str, scene: Scene) -> bool:
    with scene.file.open("rb") as file:
        return manager.request("POST", f"{url}/echo", body=file).data == _sent("POST", LARGE)


def _put_bytes(manager: PoolManager, url: str, scene: Scene) -> bool:
    return manager.request("PUT", f"{url}/echo", body=LARGE).data == _sent("PUT", LARGE)


def _post_chunks(manager: PoolManager, url: str, scene: Scene) -> bool:
    pieces = (LARGE[start : start + 40_000] for start in range(0, len(LARGE), 40_000))
    return manager.request("POST", f"{url}/echo", body=pieces).data == _sent("POST", LARGE)


def _expect(manager: PoolManager, url: str, scene: Scene) -> bool:
    sent = manager.request("PUT", f"{url}/echo", body=TEXT, expect_continue=True)
    return sent.data == _sent("PUT", TEXT)


def _redirect(manager: PoolManager, url: str, scene: Scene) -> bool:
    return manager.request("POST", f"{url}/away", body=b"gone").data == TEXT


def _sent(method: str, body: bytes) -> bytes:
    return f"{method} {hashlib.sha1(body).hexdigest()}".encode()


EXCHANGES: dict[str, Callable[[PoolManager, str, Scene], bool]] = {
    "get": _get,
    "stream": _stream,
    "read into": _read_into,
    "chunks": _chunks,
    "inflate": _inflate,
    "close": _close,
    "head": _head,
    "post a file": _post_file,
    "put bytes": _put_bytes,
    "post chunks": _post_chunks,
    "expect": _expect,
    "redirect": _redirect,
}

# -- ways --


def _plain(scene: Scene, **kw: Any) -> tuple[PoolManager, str]:
    return PoolManager(**kw), scene.plain.url


def _secure(scene: Scene, **kw: Any) -> tuple[PoolManager, str]:
    return PoolManager(ca_certs=certs().ca_file, **kw), scene.secure.url


def _tunnel(scene: Scene, **kw: Any) -> tuple[PoolManager, str]:
    proxy = f"http://127.0.0.1:{scene.proxy.port}"
    return ProxyManager(proxy, ca_certs=certs().ca_file, **kw), scene.secure.url


def _tls_tunnel(scene: Scene, **kw: Any) -> tuple[PoolManager, str]:
    proxy = f"https://127.0.0.1:{scene.tls_proxy.port}"
    return ProxyManager(proxy, ca_certs=certs().ca_file, **kw), scene.secure.url


WAYS = {"plain": _plain, "tls": _secure, "tunnel": _tunnel, "tls tunnel": _tls_tunnel}

# -- the torture --

#: Redirects are followed; errors come as they are, or as MaxRetryError around them.
NO_RETRIES = Retry(total=None, connect=False, read=False, other=0, redirect=2)


class Outcome(NamedTuple):
    """What became of one run."""

    what: str
    error: BaseException | None
    met: bool


def _run(scene: Scene, way: str, exchange: str, faults: Faults, retries: Any) -> Outcome:
    """One exchange with its fault, and all that must hold after it."""
    manager, url = WAYS[way](scene, maxsize=1, block=True, timeout=5, retries=retries)
    error: BaseException | None = None
    with manager, faults:
        try:
            assert EXCHANGES[exchange](manager, url, scene), "what came back is not what was sent"
        except (HTTPError, CertainMemoryError, CertainInterrupt) as caught:
            error = caught
        _check(manager, faults)
        faults.at, met = None, faults.met
        assert manager.request("GET", f"{url}/text", retries=False).data == TEXT, "the next request"
        _check(manager, faults)
        manager.clear()
        assert not faults.open_sockets, "open after the manager was cleared"
    if isinstance(error, (CertainMemoryError, CertainInterrupt)):
        assert faults.kind in ("memory", "interrupt", "close is interrupted")
    return Outcome("whole" if error is None else type(error).__name__, error, met)


def _check(manager: PoolManager, faults: Faults) -> None:
    idle = 0
    for pool in manager.pools._container.values():
        assert isinstance(pool, HTTPConnectionPool)
        lending = pool._lending
        lending.check()
        stats = lending.stats()
        assert (stats.leased, stats.opening, stats.closing, stats.waiting) == (0, 0, 0, 0), stats
        idle += sum(conn.sock is not None for conn in lending.idle_connections())
    assert len(faults.open_sockets) == idle, f"{idle} idle connections, but open: {faults.open_sockets}"


def _torture(scene: Scene, way: str, exchange: str, retries: Any, always: bool, step: int, first: int = 0) -> int:
    """Every ``step``-th call of the exchange meets each of its faults; how many did."""
    counter = Faults()
    assert _run(scene, way, exchange, counter, retries).error is None
    calls = counter.calls[: -_calls_of_the_next(counter.calls)]
    cases = [(at, kind) for at, call in enumerate(calls) for kind in kinds_for(call)]
    for at, kind in cases[first % step :: step]:
        try:
            outcome = _run(scene, way, exchange, Faults(at, kind, always), retries)
            _judge(outcome, kind, retries, calls[at], always)
        except BaseException as error:
            error.add_note(f"{exchange} over {way}, call {at} ({calls[at]}): {kind}") if hasattr(
                error, "add_note"
            ) else None
            raise
    return len(cases[first % step :: step])


def _calls_of_the_next(calls: list[str]) -> int:
    """How many calls at the end belong to the request that looks whether all is well."""
    return 3  # send, receive, close


def _judge(outcome: Outcome, kind: str, retries: Any, call: str, always: bool) -> None:
    """What the fault may have led to."""
    if kind in ("late", "one byte", "one byte of a file"):
        assert outcome.error is None, outcome.error
    if kind in ("memory", "interrupt") and outcome.met and not always:
        assert isinstance(outcome.error, (CertainMemoryError, CertainInterrupt)), outcome.what


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_fails_loses_nothing(scene: Scene, way: str, exchange: str) -> None:
    step = 1 if way == "plain" else 7
    assert _torture(scene, way, exchange, NO_RETRIES, False, step) > 2


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("way", WAYS)
def test_retries_lose_nothing_either(scene: Scene, way: str, exchange: str) -> None:
    step = 3 if way == "plain" else 11
    assert _torture(scene, way, exchange, Retry(2), False, step, first=1) > 1


@pytest.mark.slow
@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("way", WAYS)
def test_every_call_in_every_way(scene: Scene, way: str, exchange: str, always: bool) -> None:
    for retries in (NO_RETRIES, Retry(2)):
        assert _torture(scene, way, exchange, retries, always, 1) > 10


def test_the_exchanges_use_what_is_hooked(scene: Scene) -> None:
    """The hooks see the calls that matter: else the torture proves nothing."""
    seen = set()
    for way, exchange in [("plain", "post a file"), ("plain", "read into"), ("tls", "stream"), ("tls tunnel", "get")]:
        counter = Faults()
        _run(scene, way, exchange, counter, NO_RETRIES)
        seen.update(call.rpartition(".")[2] for call in counter.calls)
    assert {"connect", "send", "sendall", "sendfile", "recv", "recv_into", "wrap_socket", "wrap_bio", "close"} <= seen
    assert os.path.getsize(scene.file) == len(LARGE)
