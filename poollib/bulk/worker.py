"""Requests sent and their results made: what a thread, a process or a machine does with a lane.

A :class:`Worker` has one manager for its life. Each request has one deadline, repetitions and body included, and what
goes wrong with it is its result, never an exception.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import groupby, islice
from typing import NamedTuple

from ..base.timeout import Deadline, Timeout
from ..exceptions import HTTPError
from ..policy.retry import Retry
from ..poolmanager import PoolManager
from ..response import BaseHTTPResponse
from .backlog import Lane
from .body_files import Folder
from .requests import BulkRequest, Result, origin_text

CHUNK_BYTES = 65_536

#: What may be sent several at a time; a HEAD's or a POST's turn comes alone.
PIPELINED = "GET"


class StoppedError(HTTPError):
    """The run was ended before this request was done."""


class Settings(NamedTuple):
    """What all requests of a run have in common. ``pipeline``: how many leave in one send.

    ``is_own``: nobody else uses the manager.
    """

    manager: PoolManager
    retries: Retry
    timeout: Timeout
    pipeline: int = 1
    folder: Folder | None = None
    is_own: bool = True


class Worker:
    """Sends lanes through one manager; any number of threads may use it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stopped = threading.Event()

    def run(self, lane: Lane) -> Iterator[list[Result]]:
        """The results of a lane's requests as they are there; none of those that ``stop`` came before."""
        if self.settings.pipeline > 1 and not lane.gap_s:
            yield from self._run_pipelined(lane)
            return
        for request in lane.requests:
            if self._stopped.wait(lane.gap_s) if lane.gap_s else self._stopped.is_set():
                return
            yield [self.fetch_one(request)]

    def fetch_one(self, request: BulkRequest) -> Result:
        """What came of one request."""
        try:
            return self._exchange(request)
        except Exception as error:
            return Result(request, error=error)

    def stop(self) -> None:
        """End soon: nothing more is sent, no file gets its name any more; with an own manager waits end, too."""
        self._stopped.set()
        if self.settings.is_own:
            self.settings.manager.close_all()

    # -- one at a time --

    def _exchange(self, request: BulkRequest) -> Result:
        manager, retries, timeout, _, folder, _ = self.settings
        if folder is not None:
            return self._exchange_to_file(request, folder)
        response = manager.urlopen(
            request.method, request.url, body=request.body, headers=request.headers, retries=retries, timeout=timeout
        )
        return _held(request, response)

    def _exchange_to_file(self, request: BulkRequest, folder: Folder) -> Result:
        """As ``_exchange``, the body written as it comes. One that breaks off is asked for again, as retries allow."""
        manager, retries, timeout = self.settings.manager, self.settings.retries, self.settings.timeout.started()
        while True:
            response = manager.urlopen(
                request.method,
                request.url,
                body=request.body,
                headers=request.headers,
                retries=retries,
                timeout=timeout,
                preload_content=False,
            )
            try:
                if 200 <= response.status < 300:
                    path, size = folder.store(request, self._chunks(response))
                    return Result(request, response.status, response.headers, b"", path, size)
                response.drain_conn()
                return Result(request, response.status, response.headers)
            except StoppedError:
                raise
            except HTTPError as error:
                retries = (response.retries or retries).increment(request.method, request.url, error=error)
                self._wait(retries.get_backoff_time(), timeout)
            finally:
                response.release_conn()

    def _wait(self, delay_s: float, timeout: Timeout) -> None:
        """Wait before a repetition, within the request's deadline. DeadlineExceededError, StoppedError."""
        if isinstance(timeout.deadline, Deadline):
            delay_s = timeout.deadline.cap_s(delay_s, "backoff")
        if self._stopped.wait(delay_s):
            raise StoppedError("the run was ended")

    def _chunks(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        for chunk in response.stream(CHUNK_BYTES):
            if self._stopped.is_set():
                break
            yield chunk
        if self._stopped.is_set():
            response.close()
            raise StoppedError("the run was ended")

    # -- several in one send --

    def _run_pipelined(self, lane: Lane) -> Iterator[list[Result]]:
        for base, group in groupby(lane.requests, _pipelined_with):
            requests = list(group)
            if self._stopped.is_set():
                return
            if base is None:
                yield from ([self.fetch_one(request)] for request in requests)
                continue
            results = self._pipeline(base, requests)
            while held := list(islice(results, self.settings.pipeline)):  # they come together
                yield held

    def _pipeline(self, base: str, requests: list[BulkRequest]) -> Iterator[Result]:
        """The results of GETs to one origin. A redirect may lead to another one, so its request goes again, alone."""
        manager, retries, timeout, depth, _, _ = self.settings
        try:
            answers = manager.connection_from_url(base).pipeline(
                [("GET", request.url, request.headers) for request in requests],
                depth=depth,
                return_exceptions=True,
                headers=manager.headers,
                retries=retries,
                redirect=False,
                timeout=timeout,
            )
        except Exception as error:  # of what the manager is made for, so it is each request's
            yield from (Result(request, error=error) for request in requests)
            return
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Exception):
                yield Result(request, error=answer)
            elif answer.get_redirect_location():
                yield self.fetch_one(request)
            else:
                yield self._stored(request, answer)

    def _stored(self, request: BulkRequest, response: BaseHTTPResponse) -> Result:
        folder = self.settings.folder
        if folder is None:
            return _held(request, response)
        if not 200 <= response.status < 300:
            return Result(request, response.status, response.headers)
        try:
            path, size = folder.store(request, [response.data])
        except Exception as error:
            return Result(request, error=error)
        return Result(request, response.status, response.headers, b"", path, size)


def _held(request: BulkRequest, response: BaseHTTPResponse) -> Result:
    """A result with its body in memory."""
    data = response.data
    return Result(request, response.status, response.headers, data, None, len(data))


def _pipelined_with(request: BulkRequest) -> str | None:
    """The origin whose pipeline a request goes into; None if it goes alone."""
    is_small = request.method == PIPELINED and request.body is None
    return origin_text(request.url) if is_small else None
