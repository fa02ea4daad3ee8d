"""Every socket call of an exchange fails once, in every way that makes sense; nothing is lost and nothing is wrong.

RELIABILITY promises 2, 4 and 9: what comes back is whole, or the error that `ERRORS` has for what was under way, or the
injected MemoryError or KeyboardInterrupt itself; every slot, lease, socket and thread is back, and the next request
works.
"""

from __future__ import annotations

import os
import re
import threading
import time
from types import FrameType, SimpleNamespace
from typing import Any, NamedTuple

import pytest

import poollib.base.timeout
from poollib import PoolManager, Retry, Timeout
from poollib.connectionpool import HTTPConnectionPool
from poollib.exceptions import (
    ConnectTimeoutError,
    DeadlineExceededError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
    WriteTimeoutError,
)
from tests.faults.exchanges import EXCHANGES, PAIRS, REPEATABLE, WAYS, Scene
from tests.faults.peers import LARGE, TEXT
from tests.support.faults import CertainInterrupt, CertainMemoryError, Faults, kinds_for
from tests.support.leaks import Snapshot, leaked, open_descriptors

# -- the rule: what was under way and what went wrong -> the error's class, and how its text begins or goes on --

_RESOLVE, _CONNECT, _TUNNEL, _TLS = "resolving", "connecting", "tunnelling", "tls handshake"
_SEND, _AWAIT, _READ = "sending", "waiting for the response", "reading the body"

ERRORS: dict[tuple[str, str], tuple[type[HTTPError], str]] = {
    (_RESOLVE, "broken"): (NameResolutionError, r"Failed to resolve '(127\.0\.0\.1|two\.example)'"),
    (_CONNECT, "broken"): (
        NewConnectionError,
        r"Failed to establish a new connection: .*\((127.0.0.1|two.example):\d+\)",
    ),
    (_CONNECT, "timeout"): (
        ConnectTimeoutError,
        r"Connection to (127\.0\.0\.1|two\.example):\d+ timed out\. \(connect timeout=",
    ),
    (_TUNNEL, "broken"): (ProxyError, r"Unable to connect to proxy"),
    (_TUNNEL, "end"): (ProxyError, r"Unable to connect to proxy"),
    (_TUNNEL, "alert"): (ProxyError, r"Unable to connect to proxy"),
    (_TUNNEL, "timeout"): (ConnectTimeoutError, r"Connection to 127\.0\.0\.1:\d+ through the proxy timed out\."),
    (_TLS, "broken"): (ProtocolError, r"Connection to 127\.0\.0\.1 broke in the TLS handshake\."),
    (_TLS, "end"): (SSLError, r"EOF"),
    (_TLS, "alert"): (SSLError, r"alert|EOF"),
    (_TLS, "timeout"): (ConnectTimeoutError, r"TLS handshake with 127\.0\.0\.1 timed out\. \(connect timeout="),
    (_SEND, "broken"): (ProtocolError, r"Connection aborted\."),
    (_SEND, "alert"): (SSLError, r"alert"),
    (_SEND, "timeout"): (WriteTimeoutError, r"Write timed out\."),
    (_AWAIT, "broken"): (ProtocolError, r"Connection aborted\."),
    (_AWAIT, "end"): (ProtocolError, r"Connection aborted\."),
    (_AWAIT, "alert"): (SSLError, r"alert"),
    (_AWAIT, "timeout"): (ReadTimeoutError, r"Read timed out\. \(read timeout="),
    (_READ, "broken"): (ProtocolError, r"Connection broken: "),
    (_READ, "end"): (ProtocolError, r"Connection broken: |Response ended prematurely: "),
    (_READ, "alert"): (SSLError, r"alert"),
    (_READ, "timeout"): (ReadTimeoutError, r"Read timed out\. \(read timeout="),
}
#: The faults by what they mean; the others are no fault, or come out as they are.
MEANING = {
    "reset": "broken",
    "refused": "broken",
    "broken pipe": "broken",
    "EINTR": "broken",
    "no descriptors": "broken",
    "no name": "broken",
    "timeout": "timeout",
    "end": "end",
    "ragged end": "broken",
    "alert": "alert",
}
HARMLESS = ("late", "one byte", "one byte of a file", "close fails")

#: What is under way in a function: the innermost that is listed here counts. In the last four, trouble is no error:
#: it shows when the connection is used next, if it is.
FUNCTIONS = {
    "net.dns.addresses": _RESOLVE,
    "net.dial.connect": _CONNECT,
    "net.http_tunnel.http_connect": _TUNNEL,
    "exchange.transport._wrap_in_tls": _TLS,
    "exchange.request_sender._send_request": _SEND,
    "connection.getresponse": _AWAIT,
    "connection._usual_answer": _AWAIT,
    "pipeline.batch._send_on": _SEND,
    "pipeline.batch._wait_for_head": _AWAIT,
    "pipeline.batch._end": "looking",
    "response.read": _READ,
    "response.readinto": _READ,
    "response.read_chunked": _READ,
    "exchange.request_sender._receive_early": "listening",
    "exchange.transport.is_reusable": "looking",
    "exchange.transport.close": "closing",
    "response.drain_conn": "throwing away",
}
SILENT = ("listening", "looking", "closing", "throwing away")


class Place(NamedTuple):
    """Where a call met its fault."""

    phase: str
    at_proxy: bool  # the proxy was not reached yet, so the error is a ProxyError around the one of `ERRORS`
    reused: bool  # the connection had served before, so the request may go out once more on another one
    functions: tuple[str, ...]  # those of poollib, the innermost first

    @classmethod
    def of(cls, call: str, frame: FrameType | None) -> Place:
        functions, connection = [], None
        while frame is not None:
            module = frame.f_globals["__name__"]
            if module.startswith("poollib."):
                functions.append(f"{module.removeprefix('poollib.')}.{frame.f_code.co_name}")
                if functions[-1] in (
                    "exchange.request_sender._send_request",
                    "connection.exchange",
                    "connection.getresponse",
                ):
                    connection = frame.f_locals["self"]
                elif functions[-1] == "pipeline.batch.run":
                    connection = frame.f_locals["conn"]
            frame = frame.f_back
        phases = [FUNCTIONS[function] for function in functions if function in FUNCTIONS]
        assert phases, f"what is under way in {functions}?"
        phase = "closing" if call == "socket.close" else phases[0]
        at_proxy = "exchange.transport._connect_tls_proxy" in functions or phase in (_RESOLVE, _CONNECT, _TUNNEL)
        reused = connection is not None and connection.exchange_count > 0
        return cls(phase, at_proxy, reused, tuple(functions))


# -- one run --

#: Redirects are followed; errors come as they are, or as MaxRetryError around them.
NO_RETRIES = Retry(total=None, connect=False, read=False, other=0, redirect=2)


class Case(NamedTuple):
    """One run's fault. `always`: all later calls of the same name meet it, too."""

    way: str
    exchange: str
    retries: Retry
    at: int | None = None
    kind: str = ""
    always: bool = False
    timeout: Any = 5


class Outcome(NamedTuple):
    """What became of one run: its error, the calls of its exchange, and where they met their faults."""

    error: BaseException | None
    calls: list[str]
    places: list[Place]


def _run(scene: Scene, case: Case, notice: Any = None) -> Outcome:
    """One exchange with its fault, and all that must hold after it."""
    manager, url = WAYS[case.way](scene, maxsize=1, block=True, timeout=case.timeout, retries=case.retries)
    error: BaseException | None = None
    places: list[Place] = []

    def note(call: str, frame: FrameType) -> None:
        places.append(Place.of(call, frame))
        if notice is not None:
            notice()

    faults = Faults(case.at, case.kind, case.always, note)
    with manager, faults:
        try:
            assert EXCHANGES[case.exchange](manager, url, scene), "what came back is not what was sent"
        except (HTTPError, CertainMemoryError, CertainInterrupt) as caught:
            error = caught
        _check(manager, faults)
        faults.at, calls = None, list(faults.calls)
        assert manager.request("GET", f"{url}/text", retries=False, timeout=5).data == TEXT, "the next request"
        _check(manager, faults)
        manager.clear()
        assert not faults.open_sockets, "open after the manager was cleared"
    return Outcome(error, calls, places)


def _check(manager: PoolManager, faults: Faults) -> None:
    """No slot and no lease is out, and no socket is open but those of idle connections."""
    idle = 0
    for pool in manager.pools._container.values():
        assert isinstance(pool, HTTPConnectionPool)
        lending = pool._endpoint_pool
        lending.check()
        stats = lending.stats()
        assert (stats.leased, stats.opening, stats.closing, stats.waiting) == (0, 0, 0, 0), stats
        idle += sum(conn.sock is not None for conn in lending.idle_connections())
    assert len(faults.open_sockets) == idle, f"{idle} idle connections, but open: {faults.open_sockets}"


class Before:
    """The descriptors and threads of this process before a run; `check` finds none more."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()

    def check(self) -> None:
        if set(open_descriptors()) - self.snapshot.descriptors or threading.active_count() > len(self.snapshot.threads):
            rows = leaked(self.snapshot)
            assert not rows, f"left behind: {rows}"


# -- what a run may end with --


def _judge(case: Case, outcome: Outcome) -> None:
    """The outcome is what the rule says of the fault."""
    error, places = outcome.error, outcome.places
    if isinstance(error, (CertainMemoryError, CertainInterrupt)):
        assert case.kind in ("memory", "interrupt", "close is interrupted")
    elif not places or case.kind in HARMLESS:
        assert error is None
    elif case.kind in ("memory", "interrupt", "close is interrupted"):
        assert _may_be_swallowed(case, places[0]), "an interrupt that nobody heard of"
    elif error is None:
        assert _may_heal(case, places), f"whole in spite of all: {places}"
    else:
        assert not _must_heal(case, places), "an error where another attempt was due"
        _judge_error(case, error, places[-1])


def _may_be_swallowed(case: Case, place: Place) -> bool:
    """A check that finds no memory takes the connection for dead; a large body is read in pieces instead."""
    return case.kind == "memory" and (place.phase == "looking" or "http1.body_reader._read_large" in place.functions)


def _is_resent(case: Case, place: Place) -> bool:
    """A kept connection may have died meanwhile: that is no error, and what it was sent goes out once more.

    Where no read may be repeated, only what the connection refused before taking any of it.
    """
    if case.retries is NO_RETRIES and not (place.phase == _SEND and case.kind in ("reset", "broken pipe")):
        return False
    is_late = MEANING[case.kind] in ("timeout", "alert")
    return place.reused and place.phase in (_SEND, _AWAIT) and not is_late


def _may_heal(case: Case, places: list[Place]) -> bool:
    if case.retries is not NO_RETRIES:
        return True
    if (
        case.exchange == "redirect"
    ):  # it has spent a redirect, which says nothing of reads: the second request is resent
        case = case._replace(retries=Retry(2))
    return all(_is_resent(case, place) or place.phase in SILENT or _has_another(place) for place in places)


def _must_heal(case: Case, places: list[Place]) -> bool:
    """The fault came once, and there was another attempt to be made."""
    place = places[0]
    if case.always or place.phase in SILENT:
        return False
    if _is_resent(case, place) or _has_another(place):
        return True
    # To Retry, as to urllib3's, a handshake that breaks is a read error: what may not be repeated then ends there.
    is_sent = place.phase in (_TLS, _SEND, _AWAIT, _READ) and case.exchange not in REPEATABLE
    is_streamed = place.phase == _READ and case.exchange in ("stream", "read into", "chunks", "inflate")
    return case.retries is not NO_RETRIES and not is_sent and not is_streamed


def _has_another(place: Place) -> bool:
    """Whether there are more addresses to try."""
    return "net.happy_eyeballs._start_due" in place.functions


def _judge_error(case: Case, error: BaseException, place: Place) -> None:
    """Class, text and phase are those of what was under way."""
    phase = getattr(error, "phase", None)
    if isinstance(error, MaxRetryError):
        assert error.reason is not None
        error = error.reason
        assert getattr(error, "phase", None) == phase
    if place.phase in SILENT:
        assert phase in (_SEND, _AWAIT), f"{phase} after {place.phase}"
        assert isinstance(error, (ProtocolError, SSLError))
        return
    assert phase == place.phase, f"{phase} is named, but it came while {place.phase}: {error!r}"
    kind, text = ERRORS[place.phase, MEANING[case.kind]]
    if case.way in ("tunnel", "tls tunnel") and place.at_proxy:
        assert type(error) is ProxyError, repr(error)
        error = error if kind is ProxyError else error.original_error
    if case.kind == "ragged end" and place.phase == _TLS:
        kind, text = ERRORS[_TLS, "alert"]  # here TLS itself tells of it, and means it
    assert type(error) is kind, f"{error!r} is no {kind.__name__}"
    assert re.search(text, str(error)), f"{error} does not say {text}"


# -- the torture --


def _torture(scene: Scene, case: Case, step: int, first: int = 0) -> int:
    """Every ``step``-th pair of a call and a fault; how many there were."""
    counted = _run(scene, case)
    assert counted.error is None
    pairs = [(at, kind) for at, call in enumerate(counted.calls) for kind in kinds_for(call)][first % step :: step]
    before = Before()
    for at, kind in pairs:
        case = case._replace(at=at, kind=kind)
        try:
            _judge(case, _run(scene, case))
            before.check()
        except BaseException as error:
            told = f"{case.exchange} over {case.way}, call {at} ({counted.calls[at]}): {kind}"
            raise AssertionError(f"{told}: {error!r}") from error
    return len(pairs)


@pytest.mark.parametrize(("way", "exchange"), PAIRS)
def test_a_call_that_fails_loses_nothing(scene: Scene, way: str, exchange: str) -> None:
    step = 3 if way == "plain" else 11
    assert _torture(scene, Case(way, exchange, NO_RETRIES), step) > 2


@pytest.mark.parametrize(("way", "exchange"), PAIRS)
def test_retries_lose_nothing_either(scene: Scene, way: str, exchange: str) -> None:
    step = 7 if way == "plain" else 19
    assert _torture(scene, Case(way, exchange, Retry(2)), step, first=1) > 1


@pytest.mark.slow
@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
@pytest.mark.parametrize("retries", [NO_RETRIES, Retry(2)], ids=["no retries", "two retries"])
@pytest.mark.parametrize(("way", "exchange"), PAIRS)
def test_every_call_in_every_way(scene: Scene, way: str, exchange: str, retries: Retry, always: bool) -> None:
    assert _torture(scene, Case(way, exchange, retries, always=always), 1) > 10


@pytest.mark.parametrize("exchange", ["get", "stream", "chunks both ways"])
@pytest.mark.parametrize("way", WAYS)
def test_a_deadline_that_ends_in_a_call_names_what_was_under_way(
    scene: Scene, way: str, exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call times out at the moment when the deadline's clock has run out."""
    ahead_s = 0.0
    monkeypatch.setattr(poollib.base.timeout, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead_s))

    def run_out() -> None:
        nonlocal ahead_s
        ahead_s += 100

    case = Case(way, exchange, Retry(2), kind="timeout", timeout=Timeout(5, deadline=50))
    met = set()
    for at, call in enumerate(_run(scene, case).calls):
        if "timeout" not in kinds_for(call) or (way == "race" and call.endswith(".connect")):
            continue  # in a race another address gets through
        error, _, places = _run(scene, case._replace(at=at), run_out)
        if places and places[0].phase not in SILENT:
            assert type(error) is DeadlineExceededError, f"call {at} ({call}): {error!r}"
            assert error.phase == places[0].phase
            assert error.phase in str(error)
            met.add(error.phase)
    assert {_SEND, _AWAIT} <= met or exchange != "get"


def test_the_exchanges_use_what_is_hooked(scene: Scene) -> None:
    """The hooks see the calls that matter: else the torture proves nothing."""
    seen = set()
    for way, exchange in [("plain", "post a file"), ("race", "get"), ("tls", "read into"), ("tls tunnel", "close")]:
        seen.update(call.rpartition(".")[2] for call in _run(scene, Case(way, exchange, NO_RETRIES)).calls)
    wanted = {"getaddrinfo", "connect", "send", "sendall", "sendfile", "recv", "recv_into", "read"}
    assert wanted | {"wrap_socket", "do_handshake", "wrap_bio", "close"} <= seen
    assert os.path.getsize(scene.file) == len(LARGE)
