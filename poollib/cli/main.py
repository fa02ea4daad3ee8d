"""The command line: URLs whose bodies are printed or stored, and commands by name.

It plans a call: which URL goes where, one after the other or side by side, and which exit status tells what came of
it. A single transfer is ``transfer``'s, options and help ``arguments``', and what a command does its own module's,
which is imported only when called. Options, letters and exit statuses are curl's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence

from ..base.loggers import shown_url
from .arguments import USAGE, UsageError, Words, help_text, parse
from .exit_status import TransferError, explained, status_of
from .manager_settings import make_manager
from .output import remote_name, standard_output
from .request_parts import file_bytes, usable_url
from .terminal import bar_block, columns, is_terminal, say
from .timings import bars
from .transfer import Job, Outcome, Transfers
from .write_out import written_out

#: How many are fetched at once with -Z, as curl has it.
MOST_PARALLEL = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of the command line; None: sys.argv's. SystemExit for words that can't be meant."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words and words[0] in COMMANDS:
            return COMMANDS[words[0]](words[1:])
        return fetch(words)
    except KeyboardInterrupt:
        return 130
    except UsageError as error:
        say(f"{USAGE}\npoollib: {error}")
        raise SystemExit(2) from None
    except BrokenPipeError:
        # The reader of our output left, as `| head` does; the interpreter's last flush must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 23


def fetch(arguments: Sequence[str]) -> int:
    """Fetch what the words name; the exit status of the first transfer that failed, else 0."""
    words = parse(arguments)
    try:
        if words.has("help") or words.has("version"):
            text = help_text(columns()) if words.has("help") else version_text()
            sink = standard_output(is_forced=True)
            sink.write(text.encode())
            sink.finish()
            return 0
        return _fetch(words, jobs_of(words))
    except TransferError as error:
        _complain(words, words.urls[0] if words.urls else "", explained(error))
        return error.status
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        _complain(words, "", explained(error))
        return status_of(error)


def _fetch(words: Words, jobs: list[Job]) -> int:
    is_parallel = len(jobs) > 1 and (words.has("parallel") or words.verb == "get")
    most = min(len(jobs), words.count("parallel-max", least=1) or MOST_PARALLEL) if is_parallel else 1
    first = 0
    with make_manager(words, most) as manager:
        transfers = Transfers(words, manager, is_parallel)
        for outcome in side_by_side(transfers, jobs, most) if is_parallel else map(transfers.run, jobs):
            _report(words, outcome)
            first = first or outcome.exit_status
    return first


def side_by_side(transfers: Transfers, jobs: list[Job], most: int) -> Iterator[Outcome]:
    """The outcomes in the order of the jobs, whichever is ready first; what is for standard output is printed then."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(most) as threads:
        pending = [threads.submit(transfers.run, job) for job in jobs]
        try:
            for future in pending:
                outcome = future.result()
                if outcome.spool is not None:
                    outcome.spool.copy_to(standard_output(is_forced=outcome.job.path == "-"), outcome.headers)
                yield outcome
        finally:
            for future in pending:
                future.cancel()
            transfers.stop()


def jobs_of(words: Words) -> list[Job]:
    """Each URL with the file that its body goes to. UsageError without a URL."""
    if not words.urls:
        taken = [value for _, value in words.all("output", "data", "request", "header") if "://" in value]
        hint = f" ({shown_url(taken[0])} was taken as an option's value)" if taken else ""
        raise UsageError(f"no URL was given{hint}: write poollib http://HOST/PATH; --help lists all options")
    named = [None if name == "remote-name" else value for name, value in words.all("output", "remote-name")]
    folder, jobs = words.last("output-dir") or "", []
    for place, url in enumerate(words.urls):
        if place < len(named):
            path = named[place] if named[place] is not None else remote_name(usable_url(url).url)
        else:
            path = remote_name(usable_url(url).url) if words.has("remote-name-all") else None
        jobs.append(Job(url, path if path in (None, "-") else os.path.join(folder, str(path))))
    if len(named) > len(jobs):
        raise UsageError(f"-o and -O name {len(named)} files, and there are {len(jobs)} URLs: one file for each URL")
    return jobs


def _report(words: Words, outcome: Outcome) -> None:
    """What is said after a transfer: its error, the line of -w, where the time went."""
    if outcome.error:
        _complain(words, outcome.job.url, outcome.error)
    text = words.last("write-out")
    if text is not None:
        if text.startswith("@"):
            text = os.fsdecode(file_bytes(text[1:]))
        line = written_out(text, outcome.figures(), outcome.headers)
        if line.out:
            sink = standard_output(is_forced=True)
            sink.write(os.fsencode(line.out))
            sink.finish()
        if line.err:
            say(line.err.removesuffix("\n"))
    if words.has("timings"):
        if outcome.job.path is None and is_terminal(sys.stdout):
            say("")  # the body's last line may have no end
        for bar in bars(outcome.timings.phases(), columns(), bar_block()):
            say(bar)


def _complain(words: Words, url: str, text: str) -> None:
    if not words.has("silent") or words.has("show-error"):
        say(f"poollib: {shown_url(url)}: {text}" if url else f"poollib: {text}")


def version_text() -> str:
    """Our version, Python's, and what TLS and decoding are done with."""
    import ssl

    from ..base.version import VERSION
    from ..http1.request_body import make_headers

    codings = make_headers(accept_encoding=True)["accept-encoding"]
    python = ".".join(map(str, sys.version_info[:3]))
    return f"poollib {VERSION} (Python {python}, {ssl.OPENSSL_VERSION})\nContent codings: {codings}\n"


def _demo(words: Sequence[str]) -> int:
    from ..demo import pooling_demo

    return pooling_demo.main(words)


def _serve(words: Sequence[str]) -> int:
    from ..demo import practice_server

    return practice_server.main(words)


def _as_urllib3(words: Sequence[str]) -> int:
    from ..compat import run_as_urllib3

    return run_as_urllib3.main(words)


def _bulk(words: Sequence[str]) -> int:
    from ..bulk import command

    return command.main(words)


# Commands by their first word, each given the words after it.
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "as-urllib3": _as_urllib3,
    "bulk": _bulk,
    "demo": _demo,
    "serve": _serve,
}
