"""health: what is noted, when a probe is due, and what a failed one does."""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from poollib import HTTPConnectionPool
from poollib.client.endpoint_health_check import HealthCheck
from poollib.exceptions import CircuitOpenError, ClosedPoolError, EmptyPoolError, ProtocolError
from poollib.pool import housekeeper
from tests.support.forks import in_child
from tests.support.httpd import Httpd, Response


class FakePool:
    """A pool that answers probes as it is told, and remembers what was asked of it."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.refreshed: list[str] = []
        self.probed = threading.Event()

    def probe_idle(self) -> int:
        self.probed.set()
        return 0

    def refresh(self, reason: str) -> int:
        self.refreshed.append(reason)
        return 3

    def urlopen(self, method: str, url: str, **kw: Any) -> Any:
        self.asked.append(f"{method} {url}")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(status=answer)

    def __str__(self) -> str:
        return "FakePool"


def test_nothing_is_known_at_first() -> None:
    """Neither good nor bad."""
    report = HealthCheck(FakePool()).report()
    assert report["state"] == "unknown"
    assert report["consecutive_failures"] == 0
    assert report["last_error"] is None


def test_errors_and_answers_are_noted() -> None:
    """Failures count until the first answer."""
    pool = FakePool()
    check = HealthCheck(pool)
    check.note_error(ProtocolError("cut"))
    check.note_error(ProtocolError("cut again"))
    report = check.report()
    assert (report["state"], report["consecutive_failures"]) == ("failing", 2)
    assert report["last_error"] == "ProtocolError: cut again"
    check.note_success()
    report = check.report()
    assert (report["state"], report["consecutive_failures"]) == ("ok", 0)
    assert check.is_ok


@pytest.mark.parametrize("status", [200, 204, 302, 404])
def test_an_answer_below_500_is_healthy(status: int) -> None:
    """The endpoint answers; what it says is not ours to judge."""
    pool = FakePool(status)
    assert HealthCheck(pool, 60, "/health").probe()
    assert pool.asked == ["GET /health"]
    assert pool.refreshed == []


@pytest.mark.parametrize("answer", [500, 503, ProtocolError("cut"), ConnectionResetError("reset")])
def test_a_failed_probe_refreshes_the_pool_and_is_logged(
    answer: int | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Idle connections of a failing endpoint are not worth keeping."""
    pool = FakePool(answer)
    check = HealthCheck(pool, 60, "/health")
    with caplog.at_level(logging.WARNING, "poollib.client.endpoint_health_check"):
        assert not check.probe()
    assert pool.refreshed == ["health check failed"]
    assert "FakePool" in caplog.text
    assert "3 idle connections dropped" in caplog.text
    assert check.report()["state"] == "failing"


def test_probes_come_at_their_interval() -> None:
    """The first after one interval, and no second one while the first is out."""
    pool = FakePool(200)
    check = HealthCheck(pool, 10.0, "/")
    assert check.sweep(100.0) == pytest.approx(10.0)
    assert check.sweep(105.0) == pytest.approx(5.0)
    assert not pool.probed.is_set()
    assert check.sweep(110.0) == pytest.approx(10.0)
    assert pool.probed.wait(5)


def test_a_probe_that_got_no_thread_comes_at_the_next_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for one that is out for ever."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = FakePool(200)
    check = HealthCheck(pool, 10.0, "/")
    check.sweep(100.0)
    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", refuse)
        assert check.sweep(110.0) == pytest.approx(10.0)
    check.sweep(120.0)
    assert pool.probed.wait(5)


@pytest.mark.parametrize(
    "error", [EmptyPoolError(None, "busy"), ClosedPoolError(None, "over"), CircuitOpenError(None, "")]
)
def test_a_probe_that_was_not_sent_says_nothing(error: Exception) -> None:
    """A pool whose connections are all lent is busy, not ill: its idle connections are kept, and no failure counts."""
    pool = FakePool(error)
    check = HealthCheck(pool, 10.0, "/health")
    check.note_success()
    assert check.probe() is True
    assert pool.refreshed == []
    assert (check.is_ok, check.report()["consecutive_failures"]) == (True, 0)


def test_a_busy_pool_stays_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poollib.client.endpoint_health_check.PROBE_TIMEOUT_S", 0.01)
    with HTTPConnectionPool("localhost", 1, maxsize=1, block=True) as pool:
        lent = pool._get_conn()
        assert HealthCheck(pool, 10.0, "/").probe() is True
        assert pool.health()["state"] == "unknown"
        pool._put_conn(lent)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("first", ["note_success", "report"])
def test_a_forked_child_probes_too(first: str) -> None:
    """From its first request on, or when it is asked; a child that does neither has no thread."""
    pool = FakePool(200)
    check = HealthCheck(pool, 3600.0, "/")
    check.start()

    def look() -> Any:
        before = housekeeper.is_running()
        pool.answers, check._interval_s = [200] * 10_000, 0.001
        getattr(check, first)()
        return before, pool.probed.wait(5)

    assert in_child(look) == "(False, True)"
    check.stop()


def test_a_request_in_the_middle_of_a_note_does_not_hang() -> None:
    """A finaliser or signal handler that makes a request notes its outcome in the thread that holds the lock."""
    check = HealthCheck(FakePool())
    with check._lock:
        check.note_success()
    assert check.is_ok


def test_without_an_interval_there_is_nothing_to_sweep() -> None:
    """The collector forgets it."""
    assert HealthCheck(FakePool()).sweep(1.0) is None


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_a_bad_interval_is_refused(interval: float) -> None:
    """It names the keyword."""
    with pytest.raises(ValueError, match="health_check_interval"):
        HealthCheck(FakePool(), interval)


def test_a_check_without_an_interval_is_left_to_whoever_asks() -> None:
    """Nobody probes by himself."""
    pool = FakePool()
    check = HealthCheck(pool, None, "/health")
    check.start()
    assert not pool.probed.wait(0.01)
    assert check.sweep(0.0) is None


def test_without_a_path_the_idle_connections_are_looked_at_alone() -> None:
    pool = FakePool()
    assert HealthCheck(pool, 10.0).probe() is True
    assert (pool.probed.is_set(), pool.asked, pool.refreshed) == (True, [], [])


def test_a_pool_that_is_gone_is_not_healthy() -> None:
    pool = FakePool(200)
    check = HealthCheck(pool, 10.0, "/")
    assert check.probe() is True
    del pool
    gc.collect()
    assert check.probe() is False
    assert check.report()["probes"] == 1


def test_threads_that_note_the_first_error_at_once_share_the_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second gets the notes of the first, and no note is lost."""
    pool = HTTPConnectionPool("localhost", 1)
    others: list[HealthCheck] = []

    class Interrupted(HealthCheck):
        """Another thread needs the notes while these are made."""

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            if not others:
                others.append(self)
                others.append(pool._health_check())

    monkeypatch.setattr("poollib.client.pool_status.HealthCheck", Interrupted)
    assert pool._health_check() is others[1] is pool._health_check()
    pool.close()


def test_a_check_that_was_stopped_is_not_watched_again() -> None:
    """In a forked child, or after a failed start, those that are on are."""
    pool: Any = FakePool()
    check = HealthCheck(pool, 60.0)
    check.start()
    check.stop()
    check._reset_after_fork()
    check._be_watched()
    assert not check._is_watched


def test_the_request_of_a_probe_is_judged_by_the_probe_alone() -> None:
    """A 503 is an answer, too, and an error is told by the pool as well: neither says more than the probe does."""
    status = [503]
    with Httpd({"/health": lambda _: Response(b"", status[0])}) as server:
        with HTTPConnectionPool(
            server.host, server.port, health_check_interval=3600, health_check_path="/health"
        ) as pool:
            check = pool._health_check()
            for _ in range(3):
                assert not check.probe()
            first = pool.health()
            assert (first["state"], first["consecutive_failures"]) == ("failing", 3)
            since = check._since
            assert not check.probe()
            assert check._since == since
            pool.request("GET", "/")
            assert (pool.health()["state"], pool.health()["consecutive_failures"]) == ("ok", 0)
            status[0] = 200
            assert check.probe()
            server.disconnect()
            pool.port = closed_port()
            pool.refresh()
            for _ in range(2):
                assert not check.probe()
            assert (pool.health()["state"], pool.health()["consecutive_failures"]) == ("failing", 2)


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
