"""A budget that all requests share, jitter by name, and predicates: repetitions never multiply an outage."""

from __future__ import annotations

import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import poollib
from poollib import Retry
from poollib.exceptions import HTTPError, ProtocolError
from poollib.policy.retry import RequestHistory
from poollib.policy.retry_budget import RetryBudget
from tests.support.script import ScriptServer, close, expect_request, respond


def test_each_request_pays_in_and_each_repetition_draws() -> None:
    budget = RetryBudget(ratio=0.5, reserve=2)
    assert [budget.draw() for _ in range(3)] == [True, True, False]
    budget.pay_in()
    assert not budget.draw()
    budget.pay_in()
    assert budget.draw()
    assert budget.refused == 2


def test_it_saves_up_no_more_than_its_reserve() -> None:
    budget = RetryBudget(ratio=1, reserve=3)
    for _ in range(10):
        budget.pay_in()
    assert budget.tokens == 3


@pytest.mark.parametrize("wish", [(-0.1, 1), (1.1, 1), (0.1, -1)])
def test_odd_settings_are_refused(wish: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="ratio"):
        RetryBudget(*wish)


def test_it_pickles_as_its_settings_full() -> None:
    budget = RetryBudget(0.2, 5)
    budget.draw()
    copy = pickle.loads(pickle.dumps(budget))
    assert (copy.ratio, copy.reserve, copy.tokens) == (0.2, 5, 5)


def test_an_outage_is_not_multiplied() -> None:
    """Twenty requests to a server that fails, three tries each: 20 + 2 + 20 % arrive, not 80."""
    budget = RetryBudget(ratio=0.1, reserve=2)
    with ScriptServer([expect_request(), close()], repeat=True) as server:
        with poollib.PoolManager(retries=Retry(3, budget=budget)) as manager:
            for _ in range(20):
                with pytest.raises(HTTPError):
                    manager.request("GET", server.url)
    assert server.opened == 20 + 2 + 1
    assert budget.refused == 20


def test_a_status_is_tried_again_within_the_budget_and_then_stands() -> None:
    steps = [expect_request(), respond(b"busy", "503 Busy", ["Retry-After: 0"])] * 2
    with ScriptServer(steps) as server:
        with poollib.PoolManager(retries=Retry(3, status_forcelist=[503], budget=RetryBudget(0, 1))) as manager:
            response = manager.request("GET", server.url)
    assert (response.status, response.data) == (503, b"busy")


# -- jitter --


def _after(retry: Retry, failures: int) -> Retry:
    for _ in range(failures):
        retry = retry.increment("GET", "/", error=ProtocolError("x"))
    return retry


@pytest.mark.parametrize(
    ("jitter", "failures", "low", "high"),
    [("full", 1, 0, 1), ("full", 4, 0, 8), ("equal", 1, 0.5, 1), ("equal", 4, 4, 8), ("full", 9, 0, 10)],
)
def test_a_wait_lies_within_its_jitter(jitter: str, failures: int, low: float, high: float) -> None:
    retry = Retry(20, backoff_factor=1, backoff_max=10, jitter=jitter)
    waits = [_after(retry, failures).get_backoff_time() for _ in range(50)]
    assert all(low <= wait_s <= high for wait_s in waits)
    assert len(set(waits)) > 10


def test_decorrelated_waits_follow_from_each_other() -> None:
    retry = Retry(50, backoff_factor=1, backoff_max=20, jitter="decorrelated")
    before = 0.0
    for _ in range(30):
        retry = retry.increment("GET", "/", error=ProtocolError("x"))
        wait_s = retry.get_backoff_time()
        assert 1 <= wait_s <= min(20, max(1, 3 * before))
        before = wait_s


def test_a_wait_is_drawn_once() -> None:
    """Else the deadline would be checked against another wait than the one that is slept."""
    retry = _after(Retry(5, backoff_factor=1, jitter="full"), 3)
    assert len({retry.wait_s() for _ in range(20)}) == 1


def test_without_jitter_nothing_changes() -> None:
    history = (RequestHistory("GET", "/", None, None, None),)
    assert Retry(backoff_factor=1, history=history).get_backoff_time() == 0
    assert Retry(backoff_factor=1, history=history * 3).get_backoff_time() == 4


def test_another_jitter_is_refused() -> None:
    with pytest.raises(ValueError, match="full, equal, decorrelated"):
        Retry(jitter="some")


# -- retry_on --


def test_a_predicate_says_which_answers_are_tried_again() -> None:
    def not_ready(method: str, outcome: Any) -> bool | None:
        return b"not yet" in outcome.data if getattr(outcome, "status", 0) == 200 else None

    steps = [expect_request(), respond(b"not yet"), expect_request(), respond(b"ready")]
    with ScriptServer(steps) as server, poollib.PoolManager() as manager:
        assert manager.request("GET", server.url, retries=Retry(3, retry_on=not_ready)).data == b"ready"


def test_a_predicate_may_allow_a_post_and_refuse_a_get() -> None:
    with ScriptServer([expect_request(), close()], [expect_request(), respond(b"ok")]) as server:
        with poollib.PoolManager() as manager:
            retries = Retry(3, retry_on=lambda method, outcome: isinstance(outcome, Exception))
            assert manager.request("POST", server.url, body=b"x", retries=retries).data == b"ok"
    with ScriptServer([expect_request(), close()]) as server, poollib.PoolManager() as manager:
        with pytest.raises(ProtocolError):
            manager.request("GET", server.url, retries=Retry(3, retry_on=lambda method, outcome: False))
    assert server.opened == 1


def test_what_is_beyond_urllib3_survives_new() -> None:
    budget = RetryBudget()
    retry = Retry(3, jitter="equal", budget=budget, redirect_policy=lambda a, b: True).new(total=2)
    assert (retry.jitter, retry.budget is budget, retry.redirect_policy is not None) == ("equal", True, True)
    assert Retry(3).new().budget is None


def test_it_shows_what_is_left() -> None:
    budget = RetryBudget(ratio=0.5, reserve=2)
    budget.draw()
    assert repr(budget) == "RetryBudget(ratio=0.5, reserve=2): 1.0 left"


def test_ratio_and_reserve_are_numbers_of_every_kind() -> None:
    """A Decimal was a TypeError at the first request."""
    budget = RetryBudget(Decimal("0.5"), Fraction(3, 2))  # type: ignore[arg-type]
    budget.pay_in()
    assert budget.draw()
    assert budget.tokens == 0.5
