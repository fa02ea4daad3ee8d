"""When an endpoint is taken for one that can't pipeline, and until when."""

from __future__ import annotations

from poollib.pipeline.server_support import FORGET_S, PipeliningRecord


def test_the_second_connection_that_ends_within_a_batch_ends_pipelining_for_a_while() -> None:
    record = PipeliningRecord()
    record.failed(0, 15, now=100.0)
    assert record.allows(100.0)
    record.failed(1, 15, now=101.0)
    assert not record.allows(101.0)
    assert not record.allows(100.0 + FORGET_S)
    assert record.allows(101.0 + FORGET_S)


def test_after_that_while_one_failure_is_enough() -> None:
    record = PipeliningRecord()
    for _ in range(2):
        record.failed(0, 15, now=0.0)
    record.failed(0, 15, now=FORGET_S)
    assert not record.allows(FORGET_S + 1)


def test_a_connection_that_has_answered_a_batch_s_worth_may_end_at_any_time() -> None:
    """However often: it counts what came since the last failure, and such an end forgives earlier ones."""
    record = PipeliningRecord()
    record.failed(0, 15, now=0.0)
    for _ in range(5):
        record.went_well(15)
        record.failed(3, 15, now=1.0)
        assert record.allows(1.0)
    record.failed(0, 15, now=2.0)
    assert record.allows(2.0)


def test_answers_that_were_mixed_up_once_are_enough() -> None:
    record = PipeliningRecord()
    record.went_well(1000)
    record.mixed_up(now=5.0)
    assert not record.allows(5.0)
