"""Sixty-four threads on sixteen connections against a server that misbehaves: what must not happen is counted.

`python -m tests.load.soak --requests 1000000` starts `tests.load.server` in a process of its own, sends requests and
prints the figures as JSON; it exits with 1 if one of them is worse than promised (RELIABILITY section 5).
`run` is what the tests call. The threads check each body; nothing is collected by hand, garbage neither.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import poollib
from poollib.exceptions import HTTPError
from tests.load.server import body_of
from tests.support.leaks import open_descriptors

THREADS, MAXSIZE = 64, 16
#: A server that says nothing is waited for so long; longer than a busy machine of two cores holds up a good answer.
READ_TIMEOUT_S = 0.5
#: What the process may grow by after it has warmed up, in the first tenth: the objects of Python are counted exactly;
#: what C code keeps shows in the size of the process alone, where the arenas of 64 threads come and go by megabytes.
GROWTH_BLOCKS = 1000
GROWTH_BYTES = 8 << 20
_WARM_UP = 0.1
WARM_UP_LEAST = 2000  # so that each of the 64 threads has met most kinds of answers


@contextlib.contextmanager
def server(port: int = 0, every: int = 20, certificate: str = "") -> Iterator[int]:
    """The port of a server that runs until the block ends; ``every`` 0: it does not misbehave."""
    command = [
        sys.executable,
        "-m",
        "tests.load.server",
        str(port),
        str(every),
        *([certificate] if certificate else []),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


@dataclass
class PoolStatistics:
    """What a run showed; `problems` says what must not be."""

    requests: int = 0
    seconds: float = 0.0
    whole: int = 0
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)
    most_at_once: int = 0
    served: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    leased: int = 0
    descriptors: int = 0  # more than before
    threads: int = 0  # more than before
    growth_blocks: int = 0
    growth_bytes: int = 0

    def problems(self) -> list[str]:
        """What was promised and did not hold."""
        told = [f"{self.wrong} wrong bodies"] if self.wrong else []
        told += [f"foreign exceptions: {self.foreign[:3]}"] if self.foreign else []
        told += [f"{self.most_at_once} connections at once"] if self.most_at_once > MAXSIZE else []
        told += [f"{self.leased} connections not given back"] if self.leased else []
        told += [f"{self.descriptors} descriptors more than before"] if self.descriptors else []
        told += [f"{self.threads} threads more than before"] if self.threads else []
        told += [f"grown by {self.growth_blocks} blocks"] if self.growth_blocks > GROWTH_BLOCKS else []
        told += [f"grown by {self.growth_bytes} bytes"] if self.growth_bytes > GROWTH_BYTES else []
        told += [f"only {len(self.bad)} kinds of bad answers"] if self.served > 20_000 and len(self.bad) < 14 else []
        return told


def resident_bytes() -> int:
    """The memory of this process that is in RAM; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Crowd:
    """Threads that draw request numbers until they are gone."""

    def __init__(self, pool: poollib.HTTPConnectionPool, figures: PoolStatistics, requests: int) -> None:
        self.pool, self.figures = pool, figures
        self._lock = threading.Lock()  # guards the two counts and the figures
        self._next, self._last = 0, requests

    def run(self) -> None:
        threads = [threading.Thread(target=self._work, name="soak") for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def go_on_to(self, last: int) -> None:
        """More numbers."""
        self._last = last

    def _work(self) -> None:
        whole, errors = 0, Counter[str]()
        while (numbers := self._drawn()) is not None:
            for number in numbers:
                try:
                    whole += self._ask(number)
                except HTTPError as error:
                    errors[type(error).__name__] += 1
                except BaseException as error:
                    with self._lock:
                        self.figures.foreign.append(f"{number}: {error!r}")
        with self._lock:
            self.figures.whole += whole
            self.figures.errors.update(errors)

    def _drawn(self) -> range | None:
        with self._lock:
            first = self._next
            self._next = min(first + 50, self._last)
            return range(first, self._next) if first < self._last else None

    def _ask(self, number: int) -> int:
        """1 for a whole and right body; every third request streams, every other one may be repeated."""
        identity = b"%d" % number
        retries = poollib.Retry(3, backoff_factor=0) if number % 2 else False
        if number % 3:
            response = self.pool.request("GET", f"/{number}", retries=retries)
            data = response.data
        else:
            response = self.pool.request("GET", f"/{number}", retries=retries, preload_content=False)
            try:
                data = b"".join(response.stream(1024))
            finally:
                response.release_conn() if response.isclosed() else response.close()
        if data == body_of(identity):
            return 1
        if response.status == 408:  # said before the server read the request: an answer, if not a welcome one
            raise HTTPError("408")
        with self._lock:
            self.figures.wrong += 1
            print(number, response.status, data[:30], len(data), len(body_of(identity)), file=sys.stderr)
        return 0


def run(requests: int) -> PoolStatistics:
    """The figures of so many requests; warnings of retries are not logged meanwhile."""
    log = logging.getLogger("poollib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return _run(requests)
    finally:
        log.setLevel(level)


def _run(requests: int) -> PoolStatistics:
    figures = PoolStatistics(requests=requests)
    threads, descriptors = threading.active_count(), len(open_descriptors())
    with server() as port:
        timeout = poollib.Timeout(connect=10, read=READ_TIMEOUT_S)
        with poollib.HTTPConnectionPool("127.0.0.1", port, maxsize=MAXSIZE, block=True, timeout=timeout) as pool:
            start = time.monotonic()
            # Twice 64 threads: without the interpreter's lock each has a heap of its own, and those that come second
            # fill the pages between what the first have left, 2 MiB once and for all (CPython 3.13.5).
            warm_up = min(requests - 1, max(WARM_UP_LEAST, int(requests * _WARM_UP)))
            crowd = Crowd(pool, figures, warm_up // 2)
            crowd.run()
            crowd.go_on_to(warm_up)
            crowd.run()
            blocks, sizes = [], []
            for part in range(1, 5):
                crowd.go_on_to(warm_up + (requests - warm_up) * part // 4)
                crowd.run()
                blocks.append(sys.getallocatedblocks())
                sizes.append(resident_bytes())
            # What has leaked between the two halves is in the least of two figures as well.
            figures.growth_blocks = 2 * (min(blocks[2:]) - min(blocks[:2]))
            figures.growth_bytes = 2 * (min(sizes[2:]) - min(sizes[:2]))
            figures.seconds = round(time.monotonic() - start, 1)
            pool._endpoint_pool.check()
            figures.leased = pool._endpoint_pool.leased
        time.sleep(0.5)  # what the server still believes in is looked at a quarter of a second later
        with poollib.HTTPConnectionPool("127.0.0.1", port) as asking:
            told = asking.request("GET", "/stats").json()
        figures.most_at_once, figures.served, figures.bad = told["most_at_once"], told["requests"], told["bad"]
    figures.threads = threading.active_count() - threads
    figures.descriptors = len(open_descriptors()) - descriptors
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    figures = run(parser.parse_args().requests)
    print(json.dumps(vars(figures) | {"problems": figures.problems()}, indent=1))
    return 1 if figures.problems() else 0


if __name__ == "__main__":
    raise SystemExit(main())
