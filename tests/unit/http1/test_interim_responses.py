"""Interim responses: how fast they may come, which are kept, and what hearing them during an upload costs."""

from __future__ import annotations

from typing import Any

import pytest

from poollib import connection
from poollib.connection import HTTPConnection
from poollib.exceptions import InvalidResponseError
from poollib.exchange import request_sender
from poollib.http1 import response_head
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.http1.interim_responses import INTERIM_PER_S, InterimResponses
from poollib.http1.response_head import Head, parse_head
from poollib.net import http_tunnel
from tests.support.script import ScriptServer
from tests.talk.test_reading import OK, answer, pool_for

WAIT = b"HTTP/1.1 102 Wait\r\n\r\n"


def head_of(data: bytes) -> Head:
    found = parse_head(data)
    assert found is not None
    return found[0]


def test_a_server_that_works_for_a_day_may_say_so_all_the_time() -> None:
    """It failed after 16 minutes, when it had said so 32 times."""
    interim = InterimResponses(0.0)
    for second in range(0, 86_400, 30):
        interim.note(head_of(WAIT), DEFAULT_LIMITS, float(second))
    assert len(interim.kept) == DEFAULT_LIMITS.interim_responses, "memory grows with the time"


def test_what_comes_faster_is_refused_and_stays_refused() -> None:
    """Who hears it while a body is being sent meets it again when the response is read, perhaps much later."""
    interim, most = InterimResponses(0.0), DEFAULT_LIMITS.interim_responses
    for _ in range(most + int(INTERIM_PER_S)):
        interim.note(head_of(WAIT), DEFAULT_LIMITS, 1.0)
    for now in (1.0, 1000.0):
        with pytest.raises(InvalidResponseError, match=r"more than 32 interim responses .* 10 a second"):
            interim.note(head_of(WAIT), DEFAULT_LIMITS, now)


class Clock:
    """As the ``time`` module; each look at it is a second later."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_a_response_may_be_waited_for_as_long_as_its_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_sender, "time", Clock())
    script = answer(WAIT * 500 + OK + b"Content-Length: 0\r\n\r\n")
    with ScriptServer(script) as server, pool_for(server) as pool:
        response = pool.request("GET", "/")
        assert (response.status, len(response.interim)) == (200, 32)


def test_a_proxy_may_be_waited_for_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_tunnel, "monotonic", Clock().monotonic)

    class Talk:
        data = WAIT * 500 + OK + b"\r\n"

        def receive(self, limit: int) -> bytes:
            piece, self.data = self.data[:1000], self.data[1000:]
            return piece

    talk: Any = Talk()
    http_tunnel._await_tunnel(talk, DEFAULT_LIMITS)
    assert talk.data == b""


@pytest.mark.parametrize("size", [1, 7, 1000, 65536])
def test_an_answer_that_drips_in_while_a_body_is_sent_is_read_in_linear_time(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte of it had the whole head read again: 2 KB/s kept a core busy."""
    looked_at = 0

    def counting(data: bytes, *args: Any) -> Any:
        nonlocal looked_at
        looked_at += len(data)
        return parse_head(data, *args)

    monkeypatch.setattr(response_head, "parse_head", counting)
    monkeypatch.setattr(connection, "parse_head", counting)
    early = b"HTTP/1.1 103 Early\r\n" + b"Link: </a>\r\n" * 500 + b"\r\n"
    data = early + WAIT + early + OK + b"Content-Length: 0\r\n\r\n"
    conn = HTTPConnection("host")
    verdicts = [conn._is_answered(data[at : at + size]) for at in range(0, len(data), size)]
    assert verdicts == [False] * (len(verdicts) - 1) + [True]
    assert conn._interim is not None
    assert [status for status, _ in conn._interim.kept] == [103, 102, 103]
    assert looked_at <= 4 * len(data)


@pytest.mark.parametrize("data", [b"SSH-2.0", b"HTTP/1.1 102 Wait\r\n" + b"x" * 70_000, WAIT * 100])
def test_what_can_be_no_answer_ends_the_sending_too(data: bytes) -> None:
    """getresponse meets it again, and says what is wrong."""
    conn = HTTPConnection("host")
    assert conn._is_answered(data)
    heard = conn._heard
    assert heard is not None
    assert heard.data
