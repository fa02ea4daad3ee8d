"""The command ``poollib bulk``: URLs from files or standard input into a folder, with progress."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from ..base.timeout import Timeout
from .executor import started_quietly, stop_on_interrupt
from .requests import Progress, Result
from .run import RETRIES, TIMEOUT, fetch

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

#: Seconds between two drawings of the plain line.
PAUSE_S = 0.2


def main(words: Sequence[str]) -> int:
    """The exit status: 0 if every URL got a response of no error, 1 if one did not, 2 for words or files amiss."""
    given = _parser().parse_args(list(words))
    try:
        return _run(given)
    except (OSError, ValueError) as error:
        if sys.stderr is not None:  # as after 2>&-
            print(f"poollib bulk: {error}", file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    failed = 0
    with contextlib.ExitStack() as stack:
        shown = stack.enter_context(contextlib.closing(_shown(given)))
        results = fetch(
            urls_in(given.files),
            executor=_processes(given.processes),
            per_host=given.per_host,
            rate=given.rate,
            pipeline=given.pipeline,
            threads=given.threads,
            to=given.to,
            resume=not given.anew,
            on_progress=shown.update,
            retries=RETRIES.new(total=given.retries),
            timeout=Timeout(connect=10, read=30, deadline=given.max_time),
        )
        for result in stack.enter_context(contextlib.closing(results)):
            if not result.is_ok:
                failed += 1
                shown.say(f"{result.request.url}: {_fault(result)}")
    return 1 if failed else 0


def urls_in(files: Sequence[str]) -> Iterator[str]:
    """The lines of the files in turn, ``-`` standard input; none that is empty or begins with #. OSError."""
    for name in files:
        with contextlib.nullcontext(sys.stdin) if name == "-" else open(name, encoding="utf-8") as lines:
            for line in lines:
                url = line.strip()
                if url and not url.startswith("#"):
                    yield url


def progress_line(progress: Progress, total: int | None, seconds: float) -> str:
    """Figures in one line: done of all, failed, skipped, bytes, how fast."""
    done = progress.done + progress.skipped
    share = f"{done}/{total}" if total is not None else str(done)
    skipped = f", {progress.skipped} done before" if progress.skipped else ""
    speed = f"{progress.done / max(seconds, 1e-3):.0f}/s"
    return f"{share} URLs, {progress.failed} failed{skipped}, {_amount(progress.size_bytes)}, {speed}"


class Shown:
    """Progress in one line that is written over, on a terminal; ``file`` None: nothing is said at all."""

    def __init__(self, total: int | None, file: TextIO | None, is_drawn: bool) -> None:
        self._total = total
        self._file = file
        self._is_drawn = is_drawn
        self._start = time.monotonic()
        self._next = 0.0
        self._last = Progress()

    def update(self, progress: Progress) -> None:
        """Show how far it is, a few times a second."""
        self._last = progress
        now = time.monotonic()
        if self._is_drawn and self._file is not None and now >= self._next:
            self._next = now + PAUSE_S
            self._file.write("\r" + progress_line(progress, self._total, now - self._start).ljust(78)[:78])
            self._file.flush()

    def say(self, line: str) -> None:
        """A line of its own."""
        if self._file is not None:
            self._file.write(("\r" + line.ljust(78) if self._is_drawn else line) + "\n")

    def close(self) -> None:
        """The last line, which stays."""
        self.say(progress_line(self._last, self._total, time.monotonic() - self._start))


class RichShown(Shown):
    """Progress as rich's bar."""

    def __init__(self, total: int | None, file: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        super().__init__(total, file, is_drawn=False)
        columns = (
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=Console(file=file), expand=True)
        self._task = self._bar.add_task("", total=total)
        self._bar.start()

    def update(self, progress: Progress) -> None:
        """As Shown says."""
        self._last = progress
        text = f"{progress.failed} failed, {_amount(progress.size_bytes)}"
        self._bar.update(self._task, completed=progress.done + progress.skipped, description=text)

    def say(self, line: str) -> None:
        """As Shown says."""
        self._bar.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        """As Shown says."""
        self._bar.stop()
        super().close()


def _amount(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _fault(result: Result) -> str:
    return f"status {result.status}" if result.error is None else f"{type(result.error).__name__}: {result.error}"


def _shown(given: argparse.Namespace) -> Shown:
    for name in given.files:
        if name != "-":
            os.stat(name)  # one that is not there is said before anything is drawn
    is_drawn = sys.stderr is not None and sys.stderr.isatty() and not given.silent
    total = sum(1 for _ in urls_in(given.files)) if all(map(os.path.isfile, given.files)) else None
    if is_drawn:
        with contextlib.suppress(ImportError):
            return RichShown(total, sys.stderr)
    return Shown(total, None if given.silent else sys.stderr, is_drawn)


def _processes(count: int) -> Callable[[], ProcessPoolExecutor] | None:
    if not count:
        return None
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")  # rich has threads, which a fork would break

    def make() -> ProcessPoolExecutor:
        return started_quietly(ProcessPoolExecutor(count, mp_context=context, initializer=stop_on_interrupt), count)

    return make


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="poollib bulk",
        description="Fetch every URL of a list into a folder. Called again after an end of any kind, it goes on.",
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="URLs, one a line; - is standard input")
    add("--to", required=True, metavar="DIR", help="the folder that bodies and the journal go to")
    add("--per-host", type=int, default=4, metavar="N", help="requests to a host side by side (default 4)")
    add("--rate", type=float, metavar="R", help="requests to a host in a second at most")
    add("--pipeline", type=int, default=1, metavar="N", help="requests that leave in one send (default 1)")
    add("--threads", type=int, default=32, metavar="N", help="requests under way altogether (default 32)")
    add("--processes", type=int, default=0, metavar="N", help="send from this many processes instead of from threads")
    add(
        "--retries", type=int, default=RETRIES.total, metavar="N", help=f"repetitions of each (default {RETRIES.total})"
    )
    add(
        "--max-time",
        type=float,
        default=TIMEOUT.deadline,
        metavar="S",
        help="seconds for each, all in all (default 120)",
    )
    add("--anew", action="store_true", help="fetch what an earlier call has fetched as well")
    add("--silent", "-s", action="store_true", help="say nothing")
    return parser
