"""requests on poollib, answered by poollib.testing: its sessions, adapters and errors, with faults to order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
import requests.adapters

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

URL = "https://orders.example/v1/orders/7"


@pytest.fixture
def fake() -> Iterator[FakeTransport]:
    with FakeTransport() as transport:
        yield transport


def test_a_session_is_answered_and_its_requests_are_recorded(fake: FakeTransport) -> None:
    fake.add("POST", URL, Answer(201, json={"number": 7}, headers={"Set-Cookie": "id=1"}))
    fake.add("GET", f"{URL}?full=1", Answer(body=[b"par", b"ts"]))
    with requests.Session() as session:
        assert session.post(URL, json={"n": 1}, timeout=5).json() == {"number": 7}
        with session.get(URL, params={"full": 1}, stream=True, timeout=5) as response:
            assert b"".join(response.iter_content(2)) == b"parts"
    assert fake.requests[0].json() == {"n": 1}
    assert fake.requests[1].headers["cookie"] == "id=1"
    assert fake.connections == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refused(), requests.exceptions.ConnectionError),
        (dns_failure(), requests.exceptions.ConnectionError),
        (tls_alert(), requests.exceptions.SSLError),
        (garbage_head(), requests.exceptions.ConnectionError),
        (truncated_chunk(), requests.exceptions.ChunkedEncodingError),
        (Answer(body="whole").reset(), requests.exceptions.ConnectionError),
        (Answer(body="whole").reset(after=2), requests.exceptions.ChunkedEncodingError),
        (Answer(body="whole").stall(), requests.exceptions.ReadTimeout),
    ],
)
def test_a_fault_is_requests_own_error(
    fake: FakeTransport, fault: Answer | ConnectFault, kind: type[Exception]
) -> None:
    fake.add("GET", URL, fault, Answer(body="whole"))
    with pytest.raises(kind):
        requests.get(URL, timeout=5)
    assert requests.get(URL, timeout=5).text == "whole"


def test_an_adapters_retries_are_poollibs_and_cost_no_time(fake: FakeTransport) -> None:
    fake.add("GET", URL, unavailable(retry_after_s=60), refused(), Answer(body="well"))
    retries = poollib.Retry(3, status_forcelist=[503])
    with requests.Session() as session:
        session.mount("https://", requests.adapters.HTTPAdapter(max_retries=retries))
        assert session.get(URL, timeout=5).text == "well"
    assert fake.pauses[0] == 60


def test_an_unexpected_request_is_not_hidden_by_requests_errors() -> None:
    fake = FakeTransport()
    with requests.Session() as session:
        fake.attach(session.get_adapter(URL).poolmanager)
        with pytest.raises(UnexpectedRequest, match=r"GET https://orders\.example/v1/orders/7 was not expected"):
            session.get(URL)
