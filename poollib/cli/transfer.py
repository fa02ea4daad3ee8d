"""One transfer: a request, the redirects after it, and its body on its way to where it is wanted.

``main`` hands a :class:`Job` to :class:`Transfers` and gets an :class:`Outcome`, errors included. What is sent is
``request_parts``'s, where bytes go ``output``'s. Redirects are followed here and not by the manager, since curl's rule
differs (a POST becomes a GET after 301 and 302, and a method that was named stays) and each head may be printed; which
fields stay behind is ``policy/redirect``'s rule.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

from ..base.headers import HTTPHeaderDict
from ..base.timeout import Timeout
from ..base.url import join, parse_url
from ..exceptions import HTTPError
from ..policy.redirect import dropped_fields, same_origin, turns_into_get, without_body_fields, without_fields
from ..policy.retry import Retry
from ..poolmanager import PoolManager
from ..response import BaseHTTPResponse
from .arguments import UsageError, Words
from .exit_status import TransferError, explained, status_of
from .manager_settings import retries_of, timeout_of
from .output import Sink, SpooledSink, file_sink, standard_output
from .progress import Progress, UploadProgress, progress_for
from .request_parts import RequestParts, request_parts
from .terminal import is_terminal, say
from .timings import Timings

PIECE_BYTES = 65536
MOST_REDIRECTS = 50  # curl's


class Job(NamedTuple):
    """A URL, and where its body goes: a path, "-", or None for standard output unless -o says else."""

    url: str
    path: str | None


class Outcome:
    """What came of a transfer, for the exit status, the last lines and -w."""

    def __init__(self, job: Job, timings: Timings) -> None:
        self.job = job
        self.timings = timings
        self.method, self.url = "", job.url
        self.response: BaseHTTPResponse | None = None
        self.redirects = self.size_bytes = self.heads_bytes = 0
        self.exit_status = 0
        self.error = ""
        self.spool: SpooledSink | None = None

    @property
    def headers(self) -> HTTPHeaderDict:
        """The last response's fields; none if none came."""
        return HTTPHeaderDict() if self.response is None else HTTPHeaderDict(self.response.headers)

    def figures(self) -> dict[str, str | int | float]:
        """What -w may print."""
        response, seconds = self.response, self.timings.marks
        status = 0 if response is None else response.status
        location = None if response is None else response.get_redirect_location()
        total = seconds.get("total", 0.0)
        names = ("namelookup", "connect", "appconnect", "pretransfer", "starttransfer", "total")
        return {
            "http_code": status,
            "response_code": status,
            "http_version": "" if response is None else response.version_string.partition("/")[2],
            "content_type": self.headers.get("content-type", ""),
            "num_headers": len(list(self.headers.iteritems())),
            "num_redirects": self.redirects,
            "redirect_url": join(self.url, location) if isinstance(location, str) else "",
            "url": self.job.url,
            "url_effective": self.url,
            "scheme": (self.url.partition(":")[0]).upper(),
            "method": self.method,
            "filename_effective": self.job.path or "",
            "size_download": self.size_bytes,
            "size_header": self.heads_bytes,
            "speed_download": int(self.size_bytes / total) if total else 0,
            "exitcode": self.exit_status,
            "errormsg": self.error,
            "time_redirect": self.timings.redirect_s,
            **{f"time_{name}": seconds.get(name, 0.0) for name in names},
        }


class Transfers:
    """All transfers of a call: they share the words and the manager."""

    def __init__(self, words: Words, manager: PoolManager, is_parallel: bool) -> None:
        self._words = words
        self.is_parallel = is_parallel
        self._manager = manager
        self._retries = retries_of(words)
        self._limit_bytes = words.count("max-filesize")
        most = words.count("max-redirs", least=-1)
        self._most_redirects = MOST_REDIRECTS if most is None else most
        self._is_stopped = False
        self._live: set[BaseHTTPResponse] = set()  # whose bodies are read just now, by any thread
        self._follows = words.has("location") or words.has("location-trusted")

    def run(self, job: Job) -> Outcome:
        """Do it; errors but a UsageError become the outcome's.

        Side by side, what is for standard output is kept for its turn.
        """
        timings = Timings(say if self._words.has("verbose") else None)
        outcome = Outcome(job, timings)
        try:
            self._run(outcome)
        except (BrokenPipeError, UsageError):
            raise
        except (HTTPError, TransferError, ValueError, OSError) as error:
            outcome.exit_status, outcome.error = status_of(error), explained(error)
        timings.end()
        return outcome

    def stop(self) -> None:
        """End what other threads are doing: bodies under way, and what has not begun."""
        self._is_stopped = True
        for response in list(self._live):
            with contextlib.suppress(HTTPError, OSError, ValueError, RuntimeError):
                response.shutdown()

    def _run(self, outcome: Outcome) -> None:
        words, job = self._words, outcome.job
        if self._is_stopped:
            raise TransferError(130, "interrupted")
        parts, timeout = request_parts(words, job.url), timeout_of(words)
        offset = resume_offset(words, job)
        if words.last("continue-at") == "-" and offset == 0 and parts.method == "GET":
            self._download(outcome, parts, timeout)
            return
        if offset:
            parts.headers["Range"] = f"bytes={offset}-"
        sink = self._sink(outcome, bool(offset))
        try:
            response = self._exchange(outcome, parts, timeout, sink)
            with contextlib.closing(response):
                self._deliver(outcome, response, sink, offset)
            sink.finish()
        except BaseException:
            sink.abandon()
            raise
        self._judge(outcome, response)

    def _sink(self, outcome: Outcome, appends: bool) -> Sink:
        path = outcome.job.path
        if path is not None and path != "-":
            return file_sink(path, self._words.has("create-dirs"), appends)
        if self.is_parallel:
            outcome.spool = SpooledSink()
            return outcome.spool
        return standard_output(is_forced=path == "-")

    # -- requests --

    def _exchange(self, outcome: Outcome, parts: RequestParts, timeout: Timeout, sink: Sink) -> BaseHTTPResponse:
        """The last response of the chain, its body still to be read."""
        while True:
            outcome.method, outcome.url = parts.method, parts.url
            response = self._send(outcome.timings, parts, timeout)
            outcome.response = response
            try:
                self._show_head(outcome, response, sink)
                location = response.get_redirect_location()
                if not self._follows or not isinstance(location, str):
                    return response
                if outcome.redirects == self._most_redirects:
                    raise TransferError(47, f"{outcome.redirects} redirects were followed: --max-redirs allows more")
                parts = self._following(parts, response.status, location)
            except BaseException:
                response.close()
                raise
            outcome.redirects += 1
            response.drain_conn()
            response.close()

    def _send(self, timings: Timings, parts: RequestParts, timeout: Timeout) -> BaseHTTPResponse:
        timings.begin_request(parts.headers, parse_url(parts.url).netloc or "")
        upload = UploadProgress(os.path.basename(self._words.last("upload-file") or "") or "upload")
        with parts.open_body() as body, contextlib.closing(upload):
            return self._manager.urlopen(
                parts.method,
                parts.url,
                redirect=False,
                body=body,
                headers=parts.headers,
                preload_content=False,
                decode_content=self._words.has("compressed"),
                retries=self._retries,
                timeout=timeout,
                trace=timings,
                progress=upload if self._shows_progress and is_terminal(sys.stderr) else None,
                max_response_size=self._limit_bytes,
            )

    def _following(self, parts: RequestParts, status: int, location: str) -> RequestParts:
        """The request after a redirect, by curl's rule."""
        target = join(parts.url, location)
        is_trusted = self._words.has("location-trusted")
        dropped = dropped_fields(parts.url, target, same_origin, Retry.DEFAULT)
        headers = without_fields(parts.headers, {"Host"} & dropped if is_trusted else dropped)
        becomes_get = turns_into_get(status, parts.method) or (status in (301, 302) and parts.method == "POST")
        if not becomes_get or self._words.last("request") is not None:
            return RequestParts(parts.method, target, headers, parts.open_body)
        return RequestParts("GET", target, without_body_fields(headers), contextlib.nullcontext)

    def _show_head(self, outcome: Outcome, response: BaseHTTPResponse, sink: Sink) -> None:
        words, text = self._words, head_of(response)
        outcome.heads_bytes += len(text)
        if words.has("verbose"):
            for line in text.decode("latin-1").splitlines():
                say(f"< {line}".rstrip())
        if words.has("include") or words.has("head"):
            sink.head(text)
        dump = words.last("dump-header")
        if dump == "-":
            standard_output().write(text)
        elif dump is not None:
            file = file_sink(dump, makes_folders=False, appends=outcome.redirects > 0)
            file.write(text)
            file.finish()

    # -- bodies --

    def _deliver(self, outcome: Outcome, response: BaseHTTPResponse, sink: Sink, offset: int) -> None:
        words, headers = self._words, outcome.headers
        if response.status >= 400 and words.has("fail"):
            raise _refused(response)
        if offset and not _goes_on(response, offset):
            return
        sink.begin(headers)
        length = headers.get("content-length", "")
        total = int(length) + offset if length.isascii() and length.isdigit() else None
        with self._noted(response), contextlib.closing(self._progress(outcome.job)) as progress:
            while piece := response.read1(PIECE_BYTES):  # what came before a cut is passed on, too
                sink.write(piece)
                outcome.size_bytes += len(piece)
                progress(offset + outcome.size_bytes, total)

    @contextlib.contextmanager
    def _noted(self, response: BaseHTTPResponse) -> Iterator[None]:
        self._live.add(response)
        try:
            if self._is_stopped:
                raise TransferError(130, "interrupted")
            yield
        finally:
            self._live.discard(response)

    def _progress(self, job: Job) -> Progress:
        return progress_for(os.path.basename(job.path or ""), job.path not in (None, "-") and self._shows_progress)

    @property
    def _shows_progress(self) -> bool:
        return not self.is_parallel and not self._words.has("silent")

    def _judge(self, outcome: Outcome, response: BaseHTTPResponse) -> None:
        status = response.status
        if status >= 400 and self._words.has("fail-with-body"):
            raise _refused(response)
        if status >= 400 and self._words.has("check-status"):
            outcome.exit_status = min(status // 100, 5)

    def _download(self, outcome: Outcome, parts: RequestParts, timeout: Timeout) -> None:
        """A whole file by ``extras/download``, which keeps what came for the next call, too."""
        from ..extras.download import download

        job, timings = outcome.job, outcome.timings
        assert job.path is not None
        outcome.method, outcome.url = parts.method, parts.url
        timings.begin_request(parts.headers, parse_url(parts.url).netloc or "")
        headers = without_fields(parts.headers, ["Accept-Encoding"])
        with contextlib.closing(self._progress(job)) as progress:
            done = download(
                parts.url,
                job.path,
                manager=self._manager,
                progress=progress,
                headers=headers,
                retries=self._retries or (Retry(0, redirect=self._most_redirects) if self._follows else False),
                redirect=self._follows,
                timeout=timeout,
                trace=timings,
            )
        outcome.size_bytes = done.size_bytes


def resume_offset(words: Words, job: Job) -> int:
    """Where -C goes on: 0 at the beginning. UsageError for what is no offset, or without a file."""
    text = words.last("continue-at")
    if text is None:
        return 0
    if job.path is None or job.path == "-":
        if text == "-":
            raise UsageError("-C - goes on in a file: name it with -o FILE, or -O")
    elif text == "-":
        return os.path.getsize(job.path) if os.path.isfile(job.path) else 0
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"-C/--continue-at wants a number of bytes, or - for where the file ends, not {text!r}")
    return int(text)


def _goes_on(response: BaseHTTPResponse, offset: int) -> bool:
    """Whether the body is the rest that was asked for; False: there is none. TransferError for another body."""
    began = response.headers.get("content-range", "")
    if response.status == 206 and began.startswith(f"bytes {offset}-"):
        return True
    if response.status == 416:
        return False
    raise TransferError(33, f"the server can't go on at byte {offset}: leave out -C to begin anew")


def _refused(response: BaseHTTPResponse) -> TransferError:
    return TransferError(22, f"the server answered {response.status} {response.reason or ''}".rstrip())


def head_of(response: BaseHTTPResponse) -> bytes:
    """A response's head as it stands on the wire."""
    lines = [f"{response.version_string} {response.status} {response.reason or ''}".rstrip()]
    lines += [f"{name}: {value}" for name, value in response.headers.iteritems()]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
