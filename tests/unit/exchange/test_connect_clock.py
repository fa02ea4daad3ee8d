"""One limit for all steps that make a connection, and what the trace hears of them. Source: Timeout's docstring."""

from __future__ import annotations

import math
from typing import Any

import pytest

from poollib.base.timeout import Deadline
from poollib.base.trace import Trace
from poollib.exceptions import ConnectTimeoutError, DeadlineExceededError, phase_of
from poollib.exchange.connect_clock import ConnectClock


class Notes(Trace):
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def dial_started(self, *told: object) -> None:
        self.heard.append(("dial_started", *told))

    def dial_done(self, *told: object) -> None:
        self.heard.append(("dial_done", *told))

    def tls_done(self, *told: object) -> None:
        self.heard.append(("tls_done", *told))


def test_without_a_timeout_no_step_has_a_limit() -> None:
    opening = ConnectClock(None, None, None, None)
    assert opening.left_s("connecting") is None
    assert opening.left_s("tls handshake") is None


def test_the_first_step_has_the_whole_time_and_later_ones_what_is_left() -> None:
    opening = ConnectClock(None, 10.0, None, None)
    assert opening.left_s("connecting") == 10.0
    left_s = opening.left_s("tunnelling")
    assert left_s is not None
    assert 9.0 < left_s < 10.0


def test_a_spent_time_is_a_connect_timeout_that_names_the_step() -> None:
    opening = ConnectClock("owner", 0.1, None, None)
    opening.left_s("connecting")
    opening.until = 0.0
    with pytest.raises(ConnectTimeoutError, match=r"tls handshake. \(connect timeout=0.1\)"):
        opening.left_s("tls handshake")


def test_a_deadline_caps_each_step_and_names_the_one_that_it_ended() -> None:
    opening = ConnectClock(None, 10.0, Deadline(5.0), None)
    left_s = opening.left_s("connecting")
    assert left_s is not None
    assert left_s <= 5.0
    opening.deadline = Deadline(-1.0)
    with pytest.raises(DeadlineExceededError) as caught, opening.step("tls", "h"):
        pass
    assert caught.value.phase == "tls handshake"


@pytest.mark.parametrize(("phase", "told"), [("resolving", "resolving"), ("connecting", "tunnelling")])
def test_a_timeout_within_a_step_is_the_deadlines_if_that_is_spent(phase: str, told: str) -> None:
    opening = ConnectClock(None, None, Deadline(1.0), None)
    with pytest.raises(DeadlineExceededError) as caught, opening.step("tunnel", "h", 1):
        opening.deadline = Deadline(-1.0)
        error = ConnectTimeoutError(None, "timed out")
        error.phase = phase
        raise error
    assert caught.value.phase == told


def test_the_trace_hears_of_a_step_and_of_what_ended_it() -> None:
    notes = Notes()
    opening = ConnectClock(None, 1.0, None, notes)
    with opening.step("dial", "h", 1):
        pass
    error = OSError("broken")
    with pytest.raises(OSError, match="broken"), opening.step("tls", "h"):
        raise error
    assert notes.heard == [("dial_started", "h", 1), ("dial_done", "h", 1, None), ("tls_done", "h", error)]


@pytest.mark.parametrize("ends", ["timeout", "deadline"])
def test_a_step_that_has_no_time_left_is_named_to_who_looks_into_the_error(ends: str) -> None:
    opening = ConnectClock(None, 1.0, None if ends == "timeout" else Deadline(-1.0), None)
    if ends == "timeout":
        opening.until = -math.inf
    with pytest.raises((ConnectTimeoutError, DeadlineExceededError)) as caught, opening.step("tls", "h"):
        pass
    assert phase_of(caught.value) == "tls handshake"
