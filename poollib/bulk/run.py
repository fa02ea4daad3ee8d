"""fetch(): the results of any number of requests, as they come.

One thread, the caller's, reads requests, hands out lanes (see ``backlog``) to what sends them (``threads``,
``executor``), writes the journal and gives out results. It does so when the next result is asked for, so a slow caller
slows everything down and nothing piles up.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from ..base.exact_values import whole
from ..base.timeout import Timeout
from ..policy.rate_limit import RateLimit, rate_from
from ..policy.retry import Retry
from ..poolmanager import PoolManager
from .backlog import Backlog, Lane, Politeness
from .body_files import JOURNAL, Folder
from .executor import LANES_A_BATCH, Batches, Executor
from .journal import Journal
from .requests import BulkRequest, Item, Progress, Result, host_finder, key_of, prepared
from .threads import Engine, Threads
from .worker import Settings

if TYPE_CHECKING:
    from ..client.keyword_types import RetriesArgument, TimeoutArgument

#: Repetitions of each request where the caller says nothing; a status that stays is a result.
RETRIES = Retry(
    4, backoff_factor=0.2, backoff_max=20, status_forcelist=(429, 502, 503, 504), raise_on_status=False, jitter="full"
)
#: Seconds for each request where the caller says nothing: to connect, between bytes, and for all of it.
TIMEOUT = Timeout(connect=10, read=30, deadline=120)
POOLS = 1000  # pools that a manager of our own keeps
#: Connections that it has, at least one for each thread: macOS lets a process have 256 open files, Linux 1024.
CONNECTIONS = 200
THREADS = 32
WINDOW = 1024  # requests that are read ahead
LANE_MOST = 16
LANE_SENDS = 4  # with pipelines: how many sends are in a lane
REMOTE_LANE_MOST = 64
MOST_WINDOW = 16_384
REMOTE_LANE_S = 10.0  # how long a lane with a rate takes at most
READ_S = 0.02  # how long results wait while requests are read ahead


def fetch(
    requests: Iterable[Item],
    *,
    executor: Executor | Callable[[], Executor] | None = None,
    per_host: int = 4,
    rate: RateLimit | float | None = None,
    pipeline: int = 1,
    threads: int = THREADS,
    batches: int | None = None,
    to: str | os.PathLike[str] | None = None,
    journal: str | os.PathLike[str] | None = None,
    resume: bool = True,
    on_result: Callable[[Result], object] | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    manager: PoolManager | None = None,
    retries: RetriesArgument = None,
    timeout: TimeoutArgument | None = None,
) -> Generator[Result, None, None]:
    """The result of each request, as they come; what fails is a result with its error.

    ``requests``: URLs, ``(method, url)``, ``(method, url, headers)`` or ``BulkRequest``s, read some thousand ahead.
    ``per_host``: how many are sent to a host side by side, ``rate``: how many in a second (a number or a ``RateLimit``,
    whose numbers count), ``pipeline``: how many GETs leave in one send (see ``docs/pipelining.rst``).

    Without ``executor``, ``threads`` of this process send, through one manager. With one (anything with ``submit``: a
    process pool, loky's, Dask's ``client.get_executor()``, or a callable that makes it, also anew when it is broken),
    its workers do, and ``batches`` are out at a time, each some hundred requests: two for each processor here if None.

    ``to``: a folder for the bodies of responses with a 2xx status, each in a file that is whole or not there.
    ``journal``: a file with a line for each result, in ``to`` if not given; with ``resume``, requests that have got a
    response by it are left out. A result is written there when the next one is asked for. ``on_result`` is called with
    each result before it is given out, ``on_progress`` after it was written, and at the end.

    ``manager``: whose settings count; ``retries`` and ``timeout`` are each request's, a deadline of 120 s if not given.
    What the iterable raises is raised when all it gave is done. TypeError, ValueError for arguments; OSError of
    the journal.
    """
    folder = None if to is None else Folder(os.fspath(to))
    place = os.path.join(folder.path, JOURNAL) if journal is None and folder is not None else journal
    is_remote = executor is not None
    politeness = _politeness(per_host, rate, pipeline, is_remote)
    is_own = manager is None
    if manager is not None and not hasattr(manager, "urlopen"):
        raise TypeError(f"manager is a PoolManager, as a Client's .manager, not {type(manager).__name__}")
    if manager is None:
        most = CONNECTIONS if is_remote else max(CONNECTIONS, whole("threads", threads))
        manager = PoolManager(num_pools=POOLS, maxsize=per_host, block=True, total_maxsize=most)
    settings = Settings(manager, _retries(retries), _timeout(timeout), pipeline, folder, is_own)
    if isinstance(requests, (str, bytes)):
        raise TypeError("fetch() takes an iterable of requests, not one URL")
    run = _Run(settings, None if place is None else os.fspath(place), resume, on_progress)
    make_engine, lanes = _engine(settings, executor, threads, batches)
    window = min(MOST_WINDOW, max(WINDOW, 2 * lanes * politeness.lane_most))
    results = run.results(requests, politeness, make_engine, window)
    return results if on_result is None else _told(results, on_result)


class _Run:
    """One call of ``fetch``."""

    def __init__(
        self, settings: Settings, journal: str | None, resume: bool, on_progress: Callable[[Progress], object] | None
    ) -> None:
        self._settings = settings
        self._journal_path = journal
        self._resume = resume
        self._on_progress = on_progress
        self._journal: Journal | None = None
        self._done = self._failed = self._skipped = self._size_bytes = 0
        self._unsendable: list[Result] = []  # items that are no requests, or have no host

    def results(
        self, items: Iterable[Item], politeness: Politeness, make_engine: Callable[[], Engine], window: int
    ) -> Generator[Result, None, None]:
        """What ``fetch`` gives out."""
        if self._settings.folder is not None:
            os.makedirs(self._settings.folder.path, exist_ok=True)
        if self._journal_path is not None:
            self._journal = Journal(self._journal_path, self._resume)
        folder = self._settings.folder
        try:
            with contextlib.nullcontext() if folder is None else folder.held():
                engine = make_engine()
                try:
                    yield from self._drive(Backlog(self._by_host(items), politeness, window), engine)
                finally:
                    engine.stop()
        finally:
            if self._journal is not None:
                self._journal.close()

    def _drive(self, backlog: Backlog, engine: Engine) -> Iterator[Result]:
        out = 0  # lanes
        while True:
            out += self._refill(backlog, engine, bool(out))
            if self._unsendable:
                unsendable, self._unsendable = self._unsendable, []
                yield from self._given_out(unsendable)
                continue
            if not out and backlog.is_at_end:
                break
            event = engine.next_event(backlog.due_in(time.monotonic()) if engine.room() else None)
            if event is None:
                continue
            out -= len(event.ended)
            now = time.monotonic()
            for lane in event.unsent:
                backlog.put_back(lane)
            for lane in event.ended:
                backlog.give_back(lane, now)
            yield from self._given_out(event.results)
            if event.error is not None:
                raise event.error
        self._tell()  # what was left out at the end, too
        if backlog.error is not None:
            raise backlog.error

    def _given_out(self, results: Iterable[Result]) -> Iterator[Result]:
        for result in results:
            yield result
            # Only now: who was killed while working on it gets it again.
            if self._journal is not None:
                self._journal.add(result)
            self._done += 1
            self._failed += not result.is_ok
            self._size_bytes += result.size_bytes
            self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(self._done, self._failed, self._skipped, self._size_bytes))

    def _refill(self, backlog: Backlog, engine: Engine, is_busy: bool) -> int:
        """How many lanes were started. Requests are read ahead, but results do not wait long for that."""
        limit = time.monotonic() + READ_S
        while backlog.read():
            if self._unsendable or (is_busy and time.monotonic() > limit):
                break
        lanes: list[Lane] = []
        now, room = time.monotonic(), engine.room()
        while len(lanes) < room and (lane := backlog.take(now)) is not None:
            lanes.append(lane)
        if lanes:
            engine.start(lanes)
        return len(lanes)

    def _by_host(self, items: Iterable[Item]) -> Iterator[tuple[str, BulkRequest] | None]:
        """Each item that is still to be sent, with its host; None for the others."""
        host_of = host_finder()
        for item in items:
            try:
                request = prepared(item)
                host = host_of(request.url)
            except Exception as error:
                self._unsendable.append(Result(_shown(item), error=error))
                yield None
                continue
            if self._journal is not None and self._journal.is_done(key_of(request)):
                self._skipped += 1
                yield None
            else:
                yield host, request


def _told(
    results: Generator[Result, None, None], on_result: Callable[[Result], object]
) -> Generator[Result, None, None]:
    with contextlib.closing(results):
        for result in results:
            on_result(result)
            yield result


def _politeness(per_host: int, rate: RateLimit | float | None, pipeline: int, is_remote: bool) -> Politeness:
    for name, value in (("per_host", per_host), ("pipeline", pipeline)):
        if whole(name, value) < 1:
            raise ValueError(f"{name} must be 1 or more, not {value!r}")
    if rate is None:
        most = REMOTE_LANE_MOST if is_remote else LANE_MOST
        return Politeness(per_host, 0.0, pipeline, max(most, LANE_SENDS * pipeline))
    limit = rate_from(rate)
    if pipeline > 1:
        raise ValueError("rate and pipeline: what leaves in one send has no rate; give one of them")
    if not is_remote:
        return Politeness(per_host, limit.gap_s, 1, 1, burst=limit.burst)
    # Clocks differ: one lane at a time, and the worker keeps the rate within it.
    if limit.burst > 1:
        raise ValueError(f"burst: with an executor a host's requests go one after the other, not {limit!r}")
    most = max(1, min(REMOTE_LANE_MOST, int(REMOTE_LANE_S * limit.per_second)))
    return Politeness(1, 0.0, 1, most, limit.gap_s)


def _engine(
    settings: Settings, executor: Executor | Callable[[], Executor] | None, threads: int, batches: int | None
) -> tuple[Callable[[], Engine], int]:
    """What makes the engine, and how many lanes it has out at most."""
    name, given = ("threads", threads) if executor is None else ("batches", batches)
    count = default_count() if given is None else whole(name, given)
    if count < 1:
        raise ValueError(f"{name} must be 1 or more, not {count}")
    if executor is None:
        return (lambda: Threads(settings, count)), count
    if not callable(executor) and not hasattr(executor, "submit"):
        raise TypeError(f"an executor has submit(), or is a callable that makes one, not {executor!r:.80}")
    return (lambda: Batches(settings, executor, count)), count * LANES_A_BATCH


def default_count() -> int:
    """How many batches are out at a time where the caller says nothing."""
    return max(4, 2 * (os.cpu_count() or 1))


def _retries(wanted: RetriesArgument) -> Retry:
    return RETRIES if wanted is None else Retry.from_int(wanted)


def _timeout(wanted: TimeoutArgument | None) -> Timeout:
    if wanted is None:
        return TIMEOUT
    return wanted if isinstance(wanted, Timeout) else Timeout.from_float(wanted)


def _shown(item: object) -> BulkRequest:
    """An item that can't be sent, as a result has it."""
    return item if isinstance(item, BulkRequest) else BulkRequest(item if isinstance(item, str) else repr(item)[:200])
