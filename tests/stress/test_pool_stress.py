"""Threads against the pool's invariants: leased + idle + opening + closing never exceeds a limit, nothing is lost."""

from __future__ import annotations

import logging
import os
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poollib.exceptions import ClosedPoolError, EmptyPoolError, FullPoolError
from poollib.pool import ConnectionPool, EndpointPool, State
from poollib.pool.factories import TcpFactory
from tests.support.pool import CountingFactory, Thing, until

pytestmark = pytest.mark.filterwarnings("error")


def in_threads(count: int, work: Callable[[int], object], seconds: float = 60.0) -> None:
    """Run ``work(number)`` in ``count`` threads that start together; the first error of any is raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait(10)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


@pytest.mark.skipif(os.environ.get("PYTHON_GIL") != "0", reason="the GIL is wanted")
def test_threads_run_at_once_where_that_is_asked_for() -> None:
    """Importing a package that is not made for it turns the GIL on again; then these tests would show less."""
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined]


class FaultyFactory(CountingFactory):
    """Fails at random in every method, and watches that no endpoint ever has more open than its limit."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.now_open: Counter[Any] = Counter()

    def _maybe(self, error: type[Exception]) -> None:
        if random.random() < self.rate:
            raise error("at random")

    def connect(self, endpoint: Any, timeout: float | None) -> Thing:
        if random.random() < 0.2:
            time.sleep(random.random() / 500)
        self._maybe(OSError)
        return super().connect(endpoint, timeout)

    def usable(self, connection: Thing) -> bool:
        self._maybe(ValueError)
        return random.random() >= self.rate and super().usable(connection)

    def close(self, connection: Thing) -> None:
        super().close(connection)
        self._maybe(OSError)

    def on_acquire(self, connection: Thing) -> None:
        self._maybe(RuntimeError)

    def on_release(self, connection: Thing) -> None:
        self._maybe(RuntimeError)


def storm(seconds: float, threads: int, endpoints: int) -> None:
    """Random errors, timeouts, discards, detaches, resizes, drains and late closes over many endpoints."""
    factory = FaultyFactory(0.03)
    pool: ConnectionPool[int, Thing] = ConnectionPool(
        factory,
        maxsize=3,
        total_maxsize=24,
        block=True,
        idle_timeout=0.02,
        max_lifetime=0.2,
        background_collector=True,
        leak_timeout=60,
    )
    guests = [pool.endpoint_pool(endpoint, idle_timeout=None) for endpoint in range(3)]
    stop_at = time.monotonic() + seconds
    done: Counter[str] = Counter()

    def work(number: int) -> None:
        chance = random.Random(number)
        mine: EndpointPool[int, Thing] | None = guests[number % 3] if number % 8 == 0 else None
        counts: Counter[str] = Counter()
        turns = 0
        while time.monotonic() < stop_at or turns < 20:
            turns += 1
            try:
                if mine is None:
                    thing = pool.acquire(chance.randrange(endpoints), chance.choice([0, 0.001, 0.05, 1.0]))
                    home: Any = pool
                else:
                    thing, home = mine.acquire(chance.choice([0, 0.001, 0.05, 1.0])), mine
            except (EmptyPoolError, OSError, RuntimeError) as error:
                counts[type(error).__name__] += 1
                continue
            assert thing.is_open
            if chance.random() < 0.1:
                time.sleep(chance.random() / 1000)
            verb = chance.choices(["release", "discard", "detach"], [90, 8, 2])[0]
            getattr(home, verb)(thing)
            if verb == "detach":
                CountingFactory.close(factory, thing)
            counts[verb] += 1
            if number == 0:
                pool.resize(chance.randint(1, 4))
                pool.resize_total(chance.randint(8, 24))
            elif number == 1 and chance.random() < 0.02:
                pool.drain(0)
            elif number == 2 and chance.random() < 0.05:
                pool.drop_idle()
            elif number == 3:
                pool.check()
        done.update(counts)

    in_threads(threads, work, seconds + 30)
    pool.check()
    assert done["release"] > threads
    if seconds >= 1:
        assert min(done["discard"], done["detach"], done["OSError"], done["RuntimeError"]) > 0
    stats = pool.stats()
    assert (stats.leased, stats.opening, stats.closing, stats.waiting) == (0, 0, 0, 0), stats
    until(lambda: len(factory.open) == pool.stats().idle)  # the collector is still at work
    assert pool.close(5.0) is True
    assert factory.open == []
    assert pool.shared_limit.used == 0


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    """A storm's random errors are logged by the ten thousand."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
def test_a_short_storm_loses_nothing(frequent_switches: None) -> None:
    storm(1.0, 32, 20)


@pytest.mark.slow
def test_a_long_storm_loses_nothing() -> None:
    """64 threads, 20 endpoints, 30 seconds."""
    storm(30.0, 64, 20)


def test_a_gust_loses_nothing() -> None:
    storm(0.03, 8, 5)


def test_of_many_threads_that_return_one_connection_one_succeeds() -> None:
    """HikariCP, ConcurrentCloseConnectionTest: 500 connections, each given back by ten threads at once.

    As many as go into ten seconds: where a machine is busy, ten threads that meet a thousand times may take minutes.
    """
    pool: EndpointPool[str, Thing] = EndpointPool("home", CountingFactory(), maxsize=2, block=True)
    things: list[Thing] = []
    refused: Counter[int] = Counter()
    end = time.monotonic() + 10

    def take() -> None:
        if len(things) < 500 and time.monotonic() < end:
            things.append(pool.acquire(10))
        else:
            meet_again.abort()

    def work(number: int) -> None:
        while meet.wait(30) >= 0 and not meet_again.broken:
            try:
                pool.release(things[-1])
            except FullPoolError:
                refused[number] += 1
            meet_again.wait(30)

    meet, meet_again = threading.Barrier(10, action=take), threading.Barrier(10)
    in_threads(10, work)
    pool.check()
    assert (pool.leased, pool.idle, refused.total()) == (0, 1, len(things) * 9)


class TestAfterTheField:
    """Scenarios by which HikariCP and psycopg_pool judge themselves (RELIABILITY, section 4), built anew."""

    @pytest.mark.slow
    def test_fifty_thousand_borrows_leave_the_pool_small(self) -> None:
        """HikariCP, ConnectionPoolSizeVsThreadsTest: slow connects and many threads must not inflate the pool."""
        factory = CountingFactory()
        factory.before_connect = lambda: time.sleep(0.002)
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=50, block=True)

        def work(number: int) -> None:
            for _ in range(1000):
                pool.release(pool.acquire(10))

        in_threads(50, work)
        pool.check()
        stats = pool.stats()
        assert stats.opened <= 50
        assert stats.opened + stats.reused == 50_000

    @pytest.mark.slow
    def test_random_refreshes_race_with_borrows(self) -> None:
        """HikariCP, ConnectionRaceConditionTest: 10,000 borrows, random evictions."""
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=10, block=True)

        def work(number: int) -> None:
            for turn in range(2500):
                thing = pool.acquire(10)
                assert thing.is_open
                pool.release(thing)
                if turn % 7 == number:
                    pool.drop_idle()

        in_threads(4, work)
        pool.check()
        assert len(factory.open) == pool.idle

    @pytest.mark.slow
    def test_closing_while_threads_connect(self) -> None:
        """HikariCP, ShutdownTest and ConcurrentCloseConnectionTest, 50 rounds."""
        for _ in range(50):
            factory = CountingFactory()
            factory.before_connect = lambda: time.sleep(0.001)
            pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=5, block=True)

            def work(number: int, pool: EndpointPool[str, Thing] = pool) -> None:
                if number == 0:
                    time.sleep(0.002)
                    pool.close()
                    return
                try:
                    while True:
                        pool.release(pool.acquire(10))
                except ClosedPoolError:
                    pass

            in_threads(11, work)
            assert pool.close(5) is True
            assert factory.open == []
            assert pool.state is State.CLOSED

    @pytest.mark.slow
    def test_a_spike_does_not_inflate_the_pool(self) -> None:
        """psycopg_pool, test_spike: 50 workers at once, slow connects; the pool stays within its limit."""
        factory = CountingFactory()
        factory.before_connect = lambda: time.sleep(0.05)
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=6, block=True)

        def work(number: int) -> None:
            with pool.connection(10):
                time.sleep(0.001)

        in_threads(50, work)
        assert factory.most_open <= 6
        pool.check()

    @pytest.mark.slow
    def test_the_failures_of_a_saturated_pool_end_with_the_load(self) -> None:
        """HikariCP, TestSaturatedPool830: 50 tasks, far too few connections, short timeouts; then all is well."""
        factory = CountingFactory()
        pool: EndpointPool[str, Thing] = EndpointPool("home", factory, maxsize=2, block=True)
        outcomes: Counter[str] = Counter()

        def work(number: int) -> None:
            for _ in range(5):
                began = time.monotonic()
                try:
                    with pool.connection(0.02):
                        time.sleep(0.005)
                    outcomes["served"] += 1
                except EmptyPoolError:
                    outcomes["refused"] += 1
                    assert time.monotonic() - began < 0.02 + 0.05 + 0.05

        in_threads(50, work)
        assert outcomes["refused"]
        assert outcomes["served"]
        for _ in range(100):
            pool.release(pool.acquire(0))
        pool.check()


class Echo:
    """A server on loopback that answers at once, in a process of its own so that it competes for no lock."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = listener.getsockname()
        self.pid = os.fork()
        if not self.pid:
            try:
                self._serve(listener)
            finally:
                os._exit(0)
        listener.close()

    @staticmethod
    def _serve(listener: socket.socket) -> None:
        import select

        poll = select.epoll()
        poll.register(listener, select.EPOLLIN)
        open_ones: dict[int, socket.socket] = {}
        while True:
            for number, _ in poll.poll():
                if number == listener.fileno():
                    connection = listener.accept()[0]
                    open_ones[connection.fileno()] = connection
                    poll.register(connection, select.EPOLLIN)
                elif data := open_ones[number].recv(100):
                    open_ones[number].sendall(data)
                else:
                    open_ones.pop(number).close()

    def stop(self) -> None:
        import signal

        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the echo server uses fork and epoll")
@pytest.mark.parametrize(("threads", "slots", "ratio"), [(12, 1, 1.3), (32, 4, 1.5)])
def test_everybody_gets_about_as_much(threads: int, slots: int, ratio: float) -> None:
    """Two seconds against a server that answers at once; the longest wait is under 60 ms."""
    echo = Echo()
    pool: EndpointPool[Any, socket.socket] = EndpointPool(echo.address, TcpFactory(), maxsize=slots, block=True)
    counts = [0] * threads
    longest = [0.0] * threads
    try:
        stop_at = time.monotonic() + 2.0

        def work(number: int) -> None:
            while (began := time.monotonic()) < stop_at:
                connection = pool.acquire(10)
                longest[number] = max(longest[number], time.monotonic() - began)
                connection.sendall(b"ping")
                assert connection.recv(100) == b"ping"
                pool.release(connection)
                counts[number] += 1

        in_threads(threads, work)
    finally:
        pool.close()
        echo.stop()
    print(
        f"\n{threads} threads, {slots} slots: {sum(counts) / 2:.0f} turns/s,"
        f" busiest/least {max(counts) / min(counts):.2f}, longest wait {1000 * max(longest):.1f} ms"
    )
    assert max(counts) <= ratio * min(counts)
    assert max(longest) < 0.060
    until(lambda: pool.state is State.CLOSED)
