"""``python -m poollib demo --watch``: pools, waits, faults and a circuit breaker, live in a terminal.

Three services on loopback (see ``watched_services``) are asked by some threads through one manager, while a short play
runs: calm, a rush, a service that is away, and its return. ``watch_screen`` draws what ``stats()``, ``health()`` and
the events tell. At the end what the client counted is compared with what the servers saw.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..base.trace import RequestInfo, Trace
from ..connectionpool import HTTPConnectionPool
from ..exceptions import HTTPError, MaxRetryError
from ..policy.circuit_breaker import CircuitBreaker
from ..policy.rate_limit import RateLimit
from ..policy.retry import Retry
from ..poolmanager import PoolManager
from .watch_screen import Picture, PoolRow, Screen

#: seconds that the play takes unless told otherwise
LENGTH_S = 24.0
#: threads that ask each service, all the time and in the rush
FEW, MANY = 3, 16
#: seconds between two requests of a thread
THINK_S = 0.05


class Act(NamedTuple):
    """A part of the play: what is said of it, and what it does to the shop and the search."""

    title: str
    is_rush: bool = False
    is_search_away: bool = False
    is_search_busy: bool = False


ACTS = (
    Act("Calm: a few threads, every connection is used again."),
    Act("A rush on the shop: more threads than connections wait, or are refused.", is_rush=True),
    Act("The search answers 503 now and then: it is asked again.", is_search_busy=True),
    Act("The search is away: its circuit opens, requests fail at once.", is_search_away=True),
    Act("The search is back: one request finds out, the circuit closes."),
)


class _News(NamedTuple):
    at_s: float
    name: str
    text: str
    times: int = 1


class Listener(Trace):
    """What is worth a line, and how many requests ended by pool and outcome."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names  # of pools, by the origin of their URLs
        self._start = time.monotonic()
        self._news: deque[_News] = deque(maxlen=40)
        self.ended: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.sent = 0
        self._lock = threading.Lock()  # of the counts

    def dispatch(self, request: RequestInfo | None, event: str, arguments: tuple[object, ...]) -> None:
        if request is None:
            return
        name = self._names.get("/".join(request.url.split("/", 3)[:3]), "")
        if event == "head_sent":
            with self._lock:
                self.sent += 1
        elif event == "request_ended":
            self._end(name, arguments[2])
        elif event == "retried":
            self.tell(name, f"asked again after {arguments[2]}")

    def _end(self, name: str, error: object) -> None:
        with self._lock:
            self.ended[name] += 1
            self.failed[name] += error is not None
        if isinstance(error, MaxRetryError):
            error = error.reason or error
        if error is not None:
            text = str(error).partition(": ")[2] or str(error)
            self.tell(name, f"{type(error).__name__}: {text.partition(';')[0].partition(':')[0]}")

    def tell(self, name: str, text: str) -> None:
        """One line, or one more of the last line's kind for that pool."""
        at_s = time.monotonic() - self._start
        with self._lock:
            last = next((news for news in reversed(self._news) if news.name == name), None)
            if last is not None and last.text == text:
                self._news.remove(last)
                self._news.append(_News(at_s, name, text, last.times + 1))
            else:
                self._news.append(_News(at_s, name, text))

    def news(self) -> list[str]:
        """What happened, the latest last."""
        with self._lock:
            news = list(self._news)
        return [f"{at_s:5.1f} {name:<8}{f'{times}x ' if times > 1 else ''}{text}" for at_s, name, text, times in news]


class Play:
    """Services, pools and threads while the play runs."""

    def __init__(self) -> None:
        from .watched_services import FaultyServer

        self.servers = {name: FaultyServer() for name in ("shop", "search", "partner")}
        self.listener = Listener({server.url: name for name, server in self.servers.items()})
        retries = Retry(1, connect=0, status_forcelist=[503], raise_on_status=False, backoff_factor=0.05)
        self.manager = PoolManager(maxsize=4, block=True, timeout=5.0, retries=retries, trace=self.listener)
        urls = {name: server.url for name, server in self.servers.items()}
        self.pools: dict[str, HTTPConnectionPool] = {
            "shop": self.manager.pool_for(urls["shop"], max_waiting=8),
            "search": self.manager.pool_for(urls["search"], circuit_breaker=CircuitBreaker(5, pause=1.0)),
            "partner": self.manager.pool_for(urls["partner"], rate=RateLimit(20, burst=5)),
        }
        self._circuits: dict[str, str] = {}
        self.is_rush = threading.Event()
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Have all threads ask."""
        for name in self.pools:
            for number in range(MANY if name == "shop" else FEW):
                thread = threading.Thread(target=self._ask, args=(name, number >= FEW), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _ask(self, name: str, is_extra: bool) -> None:
        while not self._is_over.wait(THINK_S):
            if not is_extra or self.is_rush.is_set():
                with contextlib.suppress(HTTPError):
                    self.pools[name].request("GET", "/", pool_timeout=1.0)

    def begin(self, act: Act) -> None:
        """Let an act begin."""
        shop, search = self.servers["shop"], self.servers["search"]
        (self.is_rush.set if act.is_rush else self.is_rush.clear)()
        shop.delay_s = 0.25 if act.is_rush else 0.01
        search.status = 503 if act.is_search_busy else 200
        (search.go_away if act.is_search_away else search.come_back)()

    def end(self) -> None:
        """Let what is under way end, then close everything."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(10.0)
        self.manager.close_all()
        for server in self.servers.values():
            server.go_away()

    def rows(self, per_second: dict[str, float]) -> list[PoolRow]:
        """Each pool as it is now."""
        rows = []
        for name, pool in self.pools.items():
            stats, circuit = pool.stats(), pool.health().get("circuit")
            if circuit is not None and self._circuits.get(name, "closed") != circuit["state"]:
                self._circuits[name] = circuit["state"]
                self.listener.tell(name, f"its circuit is {circuit['state']}")
            rows.append(
                PoolRow(
                    name,
                    stats["leased"],
                    stats["idle"],
                    stats["maxsize"] or 0,
                    stats["waiting"],
                    stats.get("rate_waiting"),
                    per_second.get(name, 0.0),
                    self.listener.failed[name],
                    stats["refused"] + stats.get("circuit_refused", 0),
                    None if circuit is None else circuit["state"],
                )
            )
        return rows


class Speed:
    """Requests a second, of the last second or so."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Counter[str]]] = deque()

    def note(self, now: float, ended: Counter[str]) -> dict[str, float]:
        """The speeds by name; ``ended`` is kept, so it must not be counted on."""
        self._seen.append((now, ended))
        while len(self._seen) > 2 and now - self._seen[1][0] >= 1.0:
            self._seen.popleft()
        since, before = self._seen[0]
        return {name: (count - before[name]) / max(now - since, 0.001) for name, count in ended.items()}


def watch(length_s: float = LENGTH_S, clock: Callable[[], float] = time.monotonic) -> int:
    """Play, and tell at the end what was counted on both sides; 1 if the servers saw more than was sent."""
    play = Play()
    try:
        with Screen() as screen, contextlib.suppress(KeyboardInterrupt):
            play.start()
            for picture in _pictures(play, length_s, screen.pause_s, clock):
                screen.draw(picture)
    finally:
        play.end()
    return _balance(play)


def _pictures(play: Play, length_s: float, pause_s: float, clock: Callable[[], float]) -> Iterator[Picture]:
    start, speed, act = clock(), Speed(), None
    while (at_s := clock() - start) < length_s:
        due = ACTS[min(len(ACTS) - 1, int(at_s / length_s * len(ACTS)))]
        if due is not act:
            act = due
            play.begin(act)
        per_second = speed.note(clock(), Counter(play.listener.ended))
        yield Picture(at_s, length_s, act.title, play.rows(per_second), play.listener.news())
        time.sleep(min(pause_s, max(0.0, length_s - (clock() - start))))


def _balance(play: Play) -> int:
    seen = sum(server.requests for server in play.servers.values())
    sent, ended, failed = play.listener.sent, play.listener.ended.total(), play.listener.failed.total()
    print(f"{ended:,} requests, {failed:,} of them failed. Sent: {sent:,}; seen by the servers: {seen:,}.")
    if sent > seen:
        print("What was under way when the search cut its connections, it has not seen.")
    return int(seen > sent)
