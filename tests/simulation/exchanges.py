"""Whole exchanges: 8 threads, 4 servers, one manager, over a network in memory.

Each request has a number, and so has its answer, in a field and all through its body. What a client gets must be the
answer to its own request, and whole, or an error; no deadline is overrun; in the end no slot, descriptor or thread is
left.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, Final

import poollib
from poollib.exceptions import HTTPError
from poollib.policy.circuit_breaker import CircuitBreaker
from poollib.pool import housekeeper
from tests.support.certs import certs

from .ledger import Ledger
from .network import Network, Peer, Session, TlsSession
from .primitives import Primitives, Thread
from .scheduler import Scheduler

THREADS: Final = 8
HOSTS: Final = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
#: What a deadline may be overrun by: nothing but the rounding of sums.
A_STEP_S: Final = 0.002


def body_of(number: int, size: int) -> bytes:
    """The body of the answer to a request."""
    return (b"<%d>" % number * (size // 3 + 1))[:size]


class Server(Session):
    """Answers ``/NUMBER/SIZE/HOPS`` with the body of that number and size, after so many redirects."""

    def __init__(self, network: Network, scheme: str, host: str, peer: Peer) -> None:
        self._network = network
        self._scheme = scheme
        self._host = host
        self._peer = peer
        self._received = b""
        self._is_over = False

    def receive(self, data: bytes) -> None:
        if self._is_over:
            return
        self._peer.call_off_end()
        self._received += data
        while not self._is_over:
            head, separator, rest = self._received.partition(b"\r\n\r\n")
            if not separator or len(rest) < (length := _content_length(head)):
                return
            self._received = rest[length:]
            self._answer(head.split(b" ", 2)[0].decode(), head.split(b" ", 2)[1].decode())

    def _answer(self, method: str, target: str) -> None:
        number, size, hops = map(int, target.strip("/").split("/"))
        chance = self._network.chance
        is_last = chance(10)
        fields = ["Connection: close"] if is_last else []
        if hops:
            place = self._network.scheduler.choice(len(HOSTS))
            fields += [f"Location: {self._scheme}://{HOSTS[place]}/{number}/{size}/{hops - 1}"]
            answer = _head("302 Found", number, [*fields, "Content-Length: 5"]) + b"there"
        elif chance(8):
            answer = _head("503 Busy", number, [*fields, "Content-Length: 4", "Retry-After: 1"]) + b"busy"
        else:
            answer = self._whole(method, number, size, fields)
        self._send(answer, is_last)

    def _whole(self, method: str, number: int, size: int, fields: list[str]) -> bytes:
        body = body_of(number, size)
        if method == "HEAD":
            return _head("200 OK", number, [*fields, f"Content-Length: {size}"])
        if self._network.chance(30):
            cut = self._network.scheduler.choice(size + 1)
            chunks = [chunk for chunk in (body[:cut], body[cut:]) if chunk]
            framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
            return _head("200 OK", number, [*fields, "Transfer-Encoding: chunked"]) + framed
        return _head("200 OK", number, [*fields, f"Content-Length: {size}"]) + body

    def _send(self, answer: bytes, is_last: bool) -> None:
        network, peer = self._network, self._peer
        if network.chance(10):
            peer.send(answer[: network.scheduler.choice(len(answer))], 4)
            self._is_over = True
            wrong = network.scheduler.choice(3)  # 2: silence
            if wrong == 0:
                peer.reset(network.delay_s())
            elif wrong == 1:
                peer.end(network.delay_s())
            return
        peer.send(answer, 4)
        self._is_over = is_last
        if is_last or network.chance(20):
            peer.end(0.0 if is_last else 0.3)  # it may be called off by the next request


def _head(status: str, number: int, fields: list[str]) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"X-Number: {number}", *fields, "", ""]).encode()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


class Crowd:
    """The threads of one run, and what they share."""

    def __init__(self, scheduler: Scheduler, primitives: Primitives, random_: random.Random) -> None:
        self._scheduler = scheduler
        self._primitives = primitives
        self._random = random_
        self._scheme = "https" if random_.random() < 0.25 else "http"
        scheduler.is_repeatable = self._scheme == "http"  # lengths of keys and signatures are OpenSSL's choice
        self.network = Network(scheduler, self._session)
        self.ledger = Ledger()
        self.ledger.is_one_leaving = True  # managers drop pools, which are finalised at any time
        self._number = 0
        self.outcomes: dict[str, int] = {}

    def _session(self, network: Network, host: str, peer: Peer) -> Session:
        def plain(inner: Peer) -> Session:
            return Server(network, self._scheme, host, inner)

        return TlsSession(certs().server(*HOSTS), peer, plain) if self._scheme == "https" else plain(peer)

    def main(self) -> None:
        self._manager = self._made_manager()
        self._scheduler.check = self._check
        self._scheduler.describe = lambda: f"  {self.outcomes}, {len(self.network.open)} sockets open"
        works = [partial(self._run, self._drawn_requests()) for _ in range(THREADS)]
        threads = [Thread(self._scheduler, target=work, name=f"client {n}") for n, work in enumerate(works, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._end()

    def _made_manager(self) -> poollib.PoolManager:
        random_ = self._random
        keywords: dict[str, Any] = {"maxsize": random_.choice((1, 2)), "block": random_.random() < 0.7}
        if random_.random() < 0.3:
            keywords["total_maxsize"] = random_.choice((2, 3, 5))
        if random_.random() < 0.3:
            keywords["idle_timeout"] = random_.choice((0.05, 1.0))
        if random_.random() < 0.3:
            keywords["background_collector"] = True
        if random_.random() < 0.3:
            keywords["circuit_breaker"] = CircuitBreaker(failures=2, pause=0.5)
        if random_.random() < 0.2:
            keywords.update(health_check_interval=0.7, health_check_path="/0/5/0")
        if self._scheme == "https":
            keywords.update(ca_certs=certs().ca_file)
        return poollib.PoolManager(num_pools=random_.choice((2, 10)), **keywords)

    def _drawn_requests(self) -> list[Callable[[], None]]:
        random_ = self._random
        drawn: list[Callable[[], None]] = []
        for _ in range(random_.choice((1, 2, 3, 4))):
            chance = random_.randrange(100)
            if chance < 5:
                drawn.append(lambda: self._manager.clear())
            elif chance < 10:
                drawn.append(partial(self._go_down, random_.choice(HOSTS)))
            elif chance < 15:
                drawn.append(partial(self._scheduler.sleep, random_.choice((0.1, 0.5, 2.0))))
            else:
                drawn.append(partial(self._ask, self._drawn_request(), random_.choice(WAYS)))
        return drawn

    def _drawn_request(self) -> dict[str, Any]:
        random_ = self._random
        self._number += 1
        size = random_.choice((0, 1, 10, 200, 3000))
        hops = random_.choice((0, 0, 0, 0, 1, 2))
        deadline = random_.choice((inf, inf, 0.05, 0.5, 3.0))
        timeout = poollib.Timeout(
            connect=0.5, read=random_.choice((0.1, 1.0)), deadline=None if deadline == inf else deadline
        )
        retries = random_.choice(
            (False, poollib.Retry(3, backoff_factor=0.1, status_forcelist=[503]), poollib.Retry(1, redirect=1))
        )
        return {
            "number": self._number,
            "size": size,
            "deadline": deadline,
            "method": random_.choice(("GET", "GET", "GET", "HEAD", "POST")),
            "url": f"{self._scheme}://{random_.choice(HOSTS)}/{self._number}/{size}/{hops}",
            "keywords": {"timeout": timeout, "retries": retries, "pool_timeout": random_.choice((None, 0.3))},
        }

    # -- what the threads do -----------------------------------------------------------------------------------

    def _run(self, works: list[Callable[[], None]]) -> None:
        for work in works:
            work()

    def _go_down(self, host: str) -> None:
        self.network.down[host] = self._scheduler.now + 1.0

    def _ask(self, request: dict[str, Any], way: str) -> None:
        began = self._scheduler.now
        outcome = "answered"
        try:
            self._ask_one_way(request, way)
        except HTTPError as error:
            outcome = type(error).__name__
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        took_s = self._scheduler.now - began
        assert took_s <= request["deadline"] + A_STEP_S, f"{request}: {outcome} after {took_s} s"

    def _ask_one_way(self, request: dict[str, Any], way: str) -> None:
        keywords = dict(request["keywords"], preload_content=way == "at once")
        if request["method"] == "POST":
            keywords["body"] = b"x" * 300
        response = self._manager.request(request["method"], request["url"], **keywords)
        if way == "at once":
            self._judge(request, response, response.data)
        elif way == "in pieces":
            self._judge(request, response, b"".join(response.stream(64)))
        elif way == "the first bytes":
            got = response.read(20)
            response.close()
            if response.status == 200 and request["method"] != "HEAD":
                assert body_of(request["number"], request["size"]).startswith(got), f"{request} got {got!r}"
        elif way == "drained":
            response.drain_conn()
            response.release_conn()
        else:
            del response

    def _judge(self, request: dict[str, Any], response: Any, body: bytes) -> None:
        number = int(response.headers["X-Number"])
        assert number == request["number"], f"{request} got the answer to {number}"
        if response.status == 200:
            expected = b"" if request["method"] == "HEAD" else body_of(number, request["size"])
            assert body == expected, f"{request} got {len(body)} bytes, {body[:60]!r}"

    # -- what must hold ----------------------------------------------------------------------------------------

    def _check(self) -> None:
        for pool in list(self._manager.pools._container.values()):
            self.ledger.watch_once(pool._endpoint_pool)
        self.ledger.check()

    def _end(self) -> None:
        self._scheduler.races = False
        self._manager.clear()
        for _ in range(40):  # a health probe that runs holds its pool
            gc.collect()
            self._scheduler.sleep(0.31)
        for pool in self.ledger.pools():
            assert pool._total_locked() == 0, f"{pool} has something left"
            assert not pool.waiting, f"somebody waits for {pool}"
        limit = self._manager._total_limit
        assert limit is None or limit.used == 0, f"{limit.used} slots of all pools are left"
        assert not self.network.open, f"left open: {self.network.open}"
        left = [reference() for keeper in housekeeper._of_process for reference in keeper._due]
        assert not housekeeper.is_running(), f"the housekeeper goes on, with {left}"


WAYS: Final = ("at once", "at once", "in pieces", "the first bytes", "drained", "forgotten")
