"""What may be sent a second time, and what must not.

RELIABILITY promise 10 and promise 6 (no body emptied on a repeat); RFC 9110 section 9.2.2.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

import poollib
from poollib import Retry
from poollib.exceptions import ProtocolError, SSLError, UnrewindableBodyError
from tests.support.certs import certs
from tests.support.faults import Faults
from tests.support.script import ScriptServer, close, expect_request, respond

BODY = [b"once", b" only"]


def _pieces() -> Iterator[bytes]:
    yield from BODY


def test_a_spent_body_is_not_sent_again_after_an_error() -> None:
    """A generator that was sent is empty: a second attempt would send nothing and call it the body."""
    with ScriptServer([expect_request(), close()], [expect_request(), respond(b"took it")]) as server:
        with poollib.PoolManager() as manager, pytest.raises(ProtocolError, match="Connection aborted"):
            manager.request("PUT", server.url, body=_pieces(), retries=Retry(1))
    assert server.opened == 1


@pytest.mark.parametrize("status", ["503 Busy", "307 Over There"])
def test_a_spent_body_is_not_sent_again_after_an_answer(status: str) -> None:
    fields = ["Retry-After: 0", "Location: /there"] if status[0] == "3" else []
    steps = [expect_request(), respond(b"no", status, fields)]
    with ScriptServer(steps) as server:
        with poollib.PoolManager() as manager, pytest.raises(UnrewindableBodyError, match="cannot be sent again"):
            manager.request("PUT", server.url, body=_pieces(), retries=Retry(1, status_forcelist=[503]))
    assert server.received[0].count(b"PUT") == 1


def test_a_spent_body_is_whole_if_no_byte_of_it_was_sent() -> None:
    with ScriptServer([expect_request(), respond(b"took it")]) as server, Faults(2, "refused") as faults:
        with poollib.PoolManager() as manager:
            answer = manager.request("PUT", server.url, body=_pieces(), retries=Retry(1))
    assert faults.calls.count("socket.connect") == 2
    assert answer.data == b"took it"
    assert b"once" in server.received[0]


#: The number of the first receive over TLS: name, socket, dial, wrap, (its socket,) shake hands, send, receive.
_RECEIVING = (6,)


def test_an_error_of_tls_while_sending_does_not_repeat_a_post() -> None:
    """urllib3 counts it as "other" and sends the POST again, whatever the server has done with the first one."""
    with ScriptServer([expect_request()], [expect_request(), respond(b"twice")], tls=certs().server()) as server:
        with poollib.PoolManager(ca_certs=certs().ca_file) as manager, Faults(*_RECEIVING, "alert"):
            with pytest.raises(SSLError):
                manager.request("POST", server.url, body=b"pay", retries=Retry(3))
    assert server.opened == 1


def test_a_file_is_sent_whole_to_where_it_is_sent_on(tmp_path: pathlib.Path) -> None:
    """A manager's redirect to another host starts the file where the request did."""
    path = tmp_path / "body"
    path.write_bytes(b"skipped whole body")
    with ScriptServer([expect_request(), respond(b"took it")]) as second:
        over_there = respond(b"", "307 Over There", [f"Location: {second.url}/there"])
        with ScriptServer([expect_request(), over_there]) as first, path.open("rb") as file, poollib.PoolManager() as m:
            file.seek(8)
            assert m.request("PUT", first.url, body=file).data == b"took it"
    assert second.received[0].endswith(b"whole body")
    assert b"skipped" not in second.received[0]
