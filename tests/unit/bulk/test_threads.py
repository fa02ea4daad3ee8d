"""Threads end whatever interrupts them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from poollib import PoolManager, Retry, Timeout
from poollib.bulk.backlog import Lane
from poollib.bulk.requests import Result
from poollib.bulk.threads import Threads
from poollib.bulk.worker import Settings, Worker


def stop_after_a_cut_start(monkeypatch: pytest.MonkeyPatch, start: Callable[[threading.Thread], object]) -> None:
    """Begin with one lane, which ``start`` interrupts as it stands for a thread's, and stop."""
    engine = Threads(Settings(PoolManager(), Retry(0), Timeout(1)), 2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(KeyboardInterrupt):
            engine.start([Lane("a", [])])
    engine.stop()


@pytest.mark.parametrize("is_running", [False, True])
def test_ctrl_c_while_a_thread_is_started_does_not_hinder_the_end(
    monkeypatch: pytest.MonkeyPatch, is_running: bool
) -> None:
    """Interrupted before the thread runs, or when it does and start() has not returned."""
    start, started = threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        if is_running:
            start(thread)
            started.append(thread)
        raise KeyboardInterrupt

    stop_after_a_cut_start(monkeypatch, interrupted)
    for thread in started:
        thread.join(20)
        assert not thread.is_alive()


def test_the_end_waits_for_a_thread_whose_start_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had a file half-written while the program ended, and the file stayed."""
    start, run, order = threading.Thread.start, threading.Event(), []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    def slow(worker: Worker, lane: Lane) -> Iterator[list[Result]]:
        run.wait(20)
        order.append("written")
        yield []

    monkeypatch.setattr("poollib.bulk.threads.START_S", 20)
    monkeypatch.setattr(Worker, "run", slow)
    monkeypatch.setattr(Worker, "stop", lambda worker: run.set())
    stop_after_a_cut_start(monkeypatch, interrupted)
    order.append("stopped")
    assert order == ["written", "stopped"]
