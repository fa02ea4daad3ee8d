"""Lanes: never more of a host than it may have, none before its time, whoever gave them out. Time is an argument."""

from __future__ import annotations

from collections.abc import Iterator

from poollib.bulk.backlog import Backlog, Lane, Politeness
from poollib.bulk.requests import BulkRequest


def pairs(*hosts: str) -> list[tuple[str, BulkRequest] | None]:
    return [(host, BulkRequest(f"http://{host}/{number}")) for number, host in enumerate(hosts)]


def backlog(items: list[tuple[str, BulkRequest] | None], politeness: Politeness, window: int = 100) -> Backlog:
    made = Backlog(items, politeness, window)
    while made.read():
        pass
    return made


def taken(waiting: Backlog, now: float) -> list[Lane]:
    return list(iter(lambda: waiting.take(now), None))


def test_a_host_has_no_more_lanes_than_it_may_and_gets_the_next_when_one_is_back() -> None:
    waiting = backlog(pairs("a", "a", "a", "b"), Politeness(2, 0.0, 1, 1))
    lanes = taken(waiting, 0.0)
    assert sorted(lane.host for lane in lanes) == ["a", "a", "b"]
    waiting.give_back(next(lane for lane in lanes if lane.host == "a"), 1.0)
    assert [lane.requests[0].url for lane in taken(waiting, 1.0)] == ["http://a/2"]
    assert waiting.is_at_end


def test_hosts_take_turns() -> None:
    waiting = backlog(pairs("a", "a", "b", "b"), Politeness(4, 0.0, 1, 1))
    assert [lane.host for lane in taken(waiting, 0.0)] == ["a", "b", "a", "b"]


def test_a_lane_is_a_fair_share_of_what_waits() -> None:
    waiting = backlog(pairs(*"aaaaaaa"), Politeness(2, 0.0, 1, 16))
    assert [len(lane.requests) for lane in taken(waiting, 0.0)] == [4, 3]
    waiting = backlog(pairs(*"aaaaaaa"), Politeness(2, 0.0, 1, 2))
    assert [len(lane.requests) for lane in taken(waiting, 0.0)] == [2, 2]


def test_with_a_gap_the_next_lane_goes_when_its_time_has_come() -> None:
    waiting = backlog(pairs("a", "a", "a"), Politeness(4, 0.5, 1, 1))
    assert len(taken(waiting, 10.0)) == 1
    assert waiting.due_in(10.25) == 0.25
    assert taken(waiting, 10.4) == []
    assert len(taken(waiting, 10.5)) == 1
    assert len(taken(waiting, 11.0)) == 1


def test_no_more_is_read_than_the_window_has_room_for() -> None:
    read = []

    def endless() -> Iterator[tuple[str, BulkRequest]]:
        while True:
            read.append(1)
            yield "a", BulkRequest("http://a/")

    waiting = Backlog(endless(), Politeness(1, 0.0, 1, 1), 10)
    for _ in range(50):
        waiting.read()
    assert len(read) == 10


def test_hosts_that_are_done_are_forgotten_those_with_a_rate_as_well() -> None:
    for gap_s in (0.0, 0.001):
        items = pairs(*(f"h{number}" for number in range(1000)))
        waiting = Backlog(items, Politeness(1, gap_s, 1, 1), 10)
        most, now = 0, 0.0
        while not waiting.is_at_end:
            while waiting.read():
                pass
            now += 1.0
            for lane in taken(waiting, now):
                waiting.give_back(lane, now + 0.0001)
            most = max(most, len(waiting.hosts))
        assert most <= 30


def test_what_the_iterable_raises_is_kept_until_what_it_gave_is_done() -> None:
    def broken() -> Iterator[tuple[str, BulkRequest]]:
        yield "a", BulkRequest("http://a/")
        raise KeyError("b")

    waiting = Backlog(broken(), Politeness(1, 0.0, 1, 1), 10)
    assert [waiting.read(), waiting.read()] == [True, False]
    assert not waiting.is_at_end
    assert len(taken(waiting, 0.0)) == 1
    assert waiting.is_at_end
    assert isinstance(waiting.error, KeyError)


def test_what_a_lane_has_not_sent_goes_first_when_it_is_the_hosts_turn() -> None:
    waiting = backlog(pairs(*"aaaaa"), Politeness(1, 0.0, 1, 4))
    (lane,) = taken(waiting, 0.0)
    waiting.put_back(lane.behind(2))
    assert waiting.waiting == 3
    assert taken(waiting, 0.0) == []
    waiting.give_back(lane, 1.0)
    assert [request.url[-1] for lane in taken(waiting, 1.0) for request in lane.requests] == ["2", "3", "4"]
    assert waiting.is_at_end
