"""The tests of orders.py: no service, no socket, no waiting, and every way in which the network fails."""

from __future__ import annotations

import pytest
from orders import SERVICE, Orders, Unreachable, invoice, is_alive

import poollib
from poollib.testing import (
    Answer,
    ConnectFault,
    FakeTransport,
    UnexpectedRequest,
    dns_failure,
    garbage_head,
    refused,
    tls_alert,
    truncated_chunk,
    unavailable,
)

ORDER = f"{SERVICE}/orders/7"
SENT = Answer(json={"state": "sent"})


def test_an_order_is_placed(fake_http: FakeTransport) -> None:
    fake_http.add("POST", f"{SERVICE}/orders", Answer(201, json={"number": 7}))
    assert Orders().place("tea", 2) == 7
    (request,) = fake_http.requests
    assert request.json() == {"article": "tea", "count": 2}
    assert request.headers["content-type"] == "application/json"


def test_no_such_order(fake_http: FakeTransport) -> None:
    fake_http.add("GET", ORDER, Answer(404))
    with pytest.raises(KeyError):
        Orders().state(7)


def test_a_busy_service_is_asked_again_after_the_time_it_names(fake_http: FakeTransport) -> None:
    fake_http.add("GET", ORDER, unavailable(retry_after_s=20), SENT)
    assert Orders().state(7) == "sent"
    assert fake_http.pauses == [20]


@pytest.mark.parametrize(
    "fault",
    [
        refused(),
        dns_failure(),
        tls_alert("internal_error"),
        garbage_head(),
        truncated_chunk(b'{"state"'),
        SENT.reset(),
        SENT.reset(after=5),
        SENT.stall(),
    ],
)
def test_a_broken_network_is_tried_again_and_then_told_of(
    fake_http: FakeTransport, fault: Answer | ConnectFault
) -> None:
    fake_http.add("GET", ORDER, fault, fault, SENT)
    assert Orders().state(7) == "sent"
    fake_http.add("GET", f"{SERVICE}/orders/8", fault, times=4)
    with pytest.raises(Unreachable):
        Orders().state(8)


def test_an_order_is_not_placed_twice(fake_http: FakeTransport) -> None:
    fake_http.add("POST", f"{SERVICE}/orders", Answer(201, json={"number": 7}).reset(after=3))
    with pytest.raises(Unreachable):
        Orders().place("tea", 2)
    assert len(fake_http.requests) == 1


def test_a_slow_answer_is_read_whole(fake_http: FakeTransport) -> None:
    fake_http.add("GET", ORDER, SENT.drip())
    assert Orders().state(7) == "sent"


def test_an_invoice_is_fetched_from_where_the_service_says() -> None:
    fake = FakeTransport()
    fake.add("GET", f"{ORDER}/invoice", Answer(302, headers={"Location": "https://files.example/7.pdf"}))
    fake.add("GET", "https://files.example/7.pdf", truncated_chunk(), Answer(body=[b"%PDF", b"-2.0"]))
    assert invoice(fake.attach(poollib.PoolManager()), 7) == b"%PDF-2.0"
    fake.check()


def test_a_service_that_refuses_connections_is_not_alive() -> None:
    fake = FakeTransport()
    fake.add("HEAD", "https://orders.example/health", Answer(), refused(), unavailable())
    pool = fake.attach(poollib.HTTPSConnectionPool("orders.example"))
    assert [is_alive(pool) for _ in range(3)] == [True, False, False]


def test_a_request_that_nobody_expects_is_named() -> None:
    fake = FakeTransport()
    fake.add("GET", ORDER)
    with pytest.raises(UnexpectedRequest, match="orders/9 was not expected; expected were"):
        Orders(fake.attach(poollib.Client(SERVICE))).state(9)
