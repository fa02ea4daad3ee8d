"""What a thread sleeps, without waiting for it."""

from __future__ import annotations

import threading
import time

import pytest


def own_sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The sleeps of this thread from now on, none of which takes time.

    Those of other threads, as of one that a test before has left, are as ever and are not among them.
    """
    sleeps: list[float] = []
    me, sleep = threading.current_thread(), time.sleep

    def note(seconds: float) -> None:
        if threading.current_thread() is me:
            sleeps.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    return sleeps
