"""The demo runs from a bare checkout, tells what a person wants to see, and fails when a response is wrong."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import subprocess
import sys
import time

import pytest

import poollib
from poollib.demo import demo_clients, demo_server
from poollib.demo import pooling_demo as demo
from poollib.exceptions import ProtocolError

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-m", "poollib", "demo", "--quick"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


def test_the_demo_runs_with_no_third_party_package_in_reach() -> None:
    begin = time.monotonic()
    result = run("-S", "-E")
    assert (result.returncode, result.stderr) == (0, "")
    assert "HTTP, 200 requests, 20 of them redirected" in result.stdout
    assert "HTTPS is left out" in result.stdout
    assert "Every status and every body was checked and right" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert time.monotonic() - begin < 10


@pytest.mark.skipif(importlib.util.find_spec("trustme") is None, reason="trustme is not installed")
def test_one_manager_opens_a_connection_a_thread_and_others_one_a_request(capsys: pytest.CaptureFixture[str]) -> None:
    """The counts are the server's."""
    assert demo.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    rows = re.findall(r"connections opened +([\d,]+) +([\d,]+)", printed)
    assert [int(pooled) <= demo.THREADS for pooled, _ in rows] == [True, True]
    assert [fresh for _, fresh in rows] == ["200", "40"]
    assert "4 x 503 with 'Retry-After: 1', all answered after" in printed


@pytest.mark.skipif(importlib.util.find_spec("requests") is None, reason="requests is not installed")
def test_the_same_requests_go_through_the_other_clients(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connections that they open are the server's count; all fits 80 columns."""
    monkeypatch.setattr(demo, "make_certificates", lambda folder: False)
    monkeypatch.setattr(demo, "REFUSED", 0)
    assert demo.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^ +one pool +always new +urllib3 +requests$", printed, re.M)
    (counts,) = re.findall(r"connections opened +(\d+) +(\d+) +(\d+) +(\d+)", printed)
    assert [int(count) <= demo.THREADS for count in counts] == [True, False, True, True]
    assert "of what urllib3 takes and 1/" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 80


def test_what_was_won_is_one_sentence() -> None:
    def run(elapsed_s: float, cpu_s: float) -> demo.Run:
        return demo.Run([0.001], elapsed_s=elapsed_s, cpu_s=cpu_s)

    runs = {demo.KEPT: run(1.0, 0.5), demo.FRESH: run(8.0, 3.0)}
    faster = "Won by one pool: 8.0 times the requests per second of a new connection each time"
    assert demo.won(runs) == f"{faster}."
    runs["urllib3"] = run(4.0, 2.0)
    assert demo.won(runs) == f"{faster}; processor time: 1/4.0 of what urllib3 takes."
    assert demo.won({**runs, demo.FRESH: demo.Run()}) == "Won: not measured."


def test_poollib_in_urllib3s_place_is_not_compared_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", poollib)
    assert demo_clients.installed() == {}


def test_a_wrong_body_makes_the_demo_fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo, "make_certificates", lambda folder: False)
    monkeypatch.setattr(demo, "REFUSED", 0)
    monkeypatch.setattr(demo_clients, "installed", dict)
    # The server is a process of its own and goes on to send the right bodies.
    monkeypatch.setattr(demo_server, "item", lambda number: b"something else")
    assert demo.main(["--quick"]) == 1
    assert "400 responses were wrong" in capsys.readouterr().out


def test_the_demo_gives_up_in_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo, "make_certificates", lambda folder: False)
    monkeypatch.setattr(demo, "LIMIT_S", 0.0)
    assert demo.main([]) == 1
    assert "0 s are over" in capsys.readouterr().out


def test_without_trustme_no_certificate_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not demo.make_certificates(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_fails_is_one_that_went_wrong() -> None:
    """It is named, and the others go on."""
    wrong: list[str] = []
    done: list[int] = []

    def one(number: int) -> None:
        if number == 3:
            raise ProtocolError("cut")
        if number == 4:
            raise OSError("no")
        done.append(number)

    demo.in_threads(demo.Site({}, None, time.monotonic() + 10), wrong, 6, one)
    assert sorted(done) == [0, 1, 2, 5]
    assert sorted(line.partition(":")[0] for line in wrong) == ["request 3", "request 4"]
