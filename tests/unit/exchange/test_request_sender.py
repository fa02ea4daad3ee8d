"""Many threads send one after another, and nobody waits for one who is stuck."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

import poollib.connectionpool
from poollib import HTTPConnectionPool, Timeout
from poollib.exchange import request_sender
from poollib.exchange.request_sender import SHORT_BYTES, SendLock, may_wait
from tests.support.httpd import Httpd, Response


def test_one_thread_at_a_time_sends() -> None:
    gate, inside, most, sent = SendLock(), 0, 0, 0

    def request() -> None:
        nonlocal inside, most, sent
        inside += 1
        most = max(most, inside)
        time.sleep(0.002)
        inside -= 1
        sent += 1

    threads = [threading.Thread(target=gate.send, args=(request,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, sent) == (1, 8)


class Named(Mapping[str, str]):
    """A mapping with the methods of the abstract class, as the one that requests has."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def __getitem__(self, name: str) -> str:
        return dict(self.pairs)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(self.pairs)


class Own(Named):
    def items(self) -> Any:
        return [*self.pairs, ("X-C", "3")]


@pytest.mark.parametrize(("kind", "more"), [(Named, []), (Own, [("X-C", "3")])])
def test_the_fields_of_any_mapping_are_sent(kind: type[Named], more: list[tuple[str, str]]) -> None:
    """By its ``items``, where it has its own."""
    pairs = [("X-A", "1"), ("X-B", "2")]
    with Httpd() as server, HTTPConnectionPool(server.host, server.port) as pool:
        for _ in range(2):
            pool.request("GET", "/", headers=kind(pairs))
        for request in server.requests:
            assert [pair for pair in request.headers if pair[0].startswith("X-")] == pairs + more


def test_an_error_lets_the_next_one_in() -> None:
    gate = SendLock()
    lock = gate._lock
    with pytest.raises(ZeroDivisionError):
        gate.send(divmod, 1, 0)
    assert not lock.locked()
    assert gate._lock is lock


def test_nobody_waits_long_for_one_who_is_stuck_and_later_ones_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what an interrupt between taking the lock and guarding it leaves, and a fork."""
    monkeypatch.setattr(request_sender, "LONGEST_WAIT_S", 0.01)
    gate, stuck = SendLock(), threading.Event()
    holder = threading.Thread(target=gate.send, args=(stuck.wait, 10.0))
    holder.start()
    while not gate._lock.locked():
        time.sleep(0.001)
    heard: list[str] = []
    gate.send(heard.append, "after a while")
    monkeypatch.setattr(request_sender, "LONGEST_WAIT_S", 60.0)
    gate.send(heard.append, "at once")
    assert heard == ["after a while", "at once"]
    assert not stuck.is_set()
    stuck.set()
    holder.join()
    assert not gate._lock.locked()


@pytest.mark.parametrize(
    ("body", "sock", "options", "waits"),
    [
        (None, object(), None, True),
        (b"x" * SHORT_BYTES, object(), None, True),
        (b"x" * (SHORT_BYTES + 1), object(), None, False),
        (iter([b"x"]), object(), None, False),
        (None, None, None, False),
        (None, object(), object(), False),
    ],
)
def test_only_what_leaves_in_one_call_waits(body: object, sock: object, options: object, waits: bool) -> None:
    assert may_wait(SimpleNamespace(sock=sock, request_options=options), body) is waits


def test_a_pool_with_many_threads_sends_through_its_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    with Httpd({"/": lambda request: Response(request.body or b"none")}) as server:
        with HTTPConnectionPool("127.0.0.1", server.port, maxsize=4, block=True) as pool:
            assert pool.urlopen("GET", "/").data == b"none"
            assert pool._send_lock is None
            monkeypatch.setattr(poollib.connectionpool, "CROWD", 1)
            sent, send = [], SendLock.send
            monkeypatch.setattr(SendLock, "send", lambda lock, *args: sent.append(lock) or send(lock, *args))
            assert pool.urlopen("GET", "/").data == b"none"
            assert pool.urlopen("POST", "/", body=b"some").data == b"some"
            assert pool.urlopen("GET", "/", timeout=Timeout(deadline=30)).data == b"none"  # whose clock is running
            assert sent == [pool._send_lock] * 2
            assert not pool._send_lock._lock.locked()
            assert pool.num_connections == 1
            assert pickle.loads(pickle.dumps(pool))._send_lock is None
