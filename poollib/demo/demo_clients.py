"""The clients that the demo compares: poollib with and without kept connections, and urllib3 and requests if installed.

Each is asked for a URL and gives the status and the body, with a kept connection for each thread. ``pooling_demo``
sends the same requests through each in turn. A package that is not installed is left out, and nothing asks for it.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from ..base.timeout import Timeout
from ..poolmanager import PoolManager

#: Status and body of a URL.
Fetch = Callable[[str], tuple[int, bytes]]


class Wanted(NamedTuple):
    """What every client is given: connections to keep, seconds for a step, and the authority to believe."""

    connections: int
    step_s: float
    ca_file: str | None

    def manager(self) -> PoolManager:
        """A new manager of poollib's."""
        wait = Timeout(connect=self.step_s, read=self.step_s)
        return PoolManager(maxsize=self.connections, block=True, timeout=wait, ca_certs=self.ca_file)


def _fetched(manager: Any, url: str) -> tuple[int, bytes]:
    """Status and body, by poollib's or urllib3's manager."""
    response = manager.request("GET", url)
    return response.status, response.data


@contextlib.contextmanager
def one_manager(wanted: Wanted) -> Iterator[Fetch]:
    """poollib as it is meant to be used."""
    with wanted.manager() as manager:
        yield partial(_fetched, manager)


@contextlib.contextmanager
def always_new(wanted: Wanted) -> Iterator[Fetch]:
    """poollib without pooling: a manager for each request, and so a connection."""

    def fetch(url: str) -> tuple[int, bytes]:
        with wanted.manager() as manager:
            return _fetched(manager, url)

    yield fetch


@contextlib.contextmanager
def urllib3(wanted: Wanted) -> Iterator[Fetch]:
    """urllib3's manager with the same settings."""
    library: Any = importlib.import_module("urllib3")
    wait = library.Timeout(connect=wanted.step_s, read=wanted.step_s)
    with library.PoolManager(maxsize=wanted.connections, block=True, timeout=wait, ca_certs=wanted.ca_file) as manager:
        yield partial(_fetched, manager)


@contextlib.contextmanager
def requests(wanted: Wanted) -> Iterator[Fetch]:
    """A session of requests with as many connections, which reads no settings of the environment."""
    library: Any = importlib.import_module("requests")
    with library.Session() as session:
        session.trust_env = False
        session.verify = wanted.ca_file or True
        for scheme in ("http://", "https://"):
            adapter = library.adapters.HTTPAdapter(pool_maxsize=wanted.connections, pool_block=True)
            session.mount(scheme, adapter)

        def fetch(url: str) -> tuple[int, bytes]:
            response = session.get(url, timeout=wanted.step_s)
            return response.status_code, response.content

        yield fetch


def installed() -> dict[str, Callable[[Wanted], AbstractContextManager[Fetch]]]:
    """The other clients that are here, by name; none while poollib stands in urllib3's place."""
    found: dict[str, Callable[[Wanted], AbstractContextManager[Fetch]]] = {}
    for name, client in {"urllib3": urllib3, "requests": requests}.items():
        with contextlib.suppress(Exception):  # not installed, or too old for this Python
            importlib.import_module(name)
            found[name] = client
    is_poollib = getattr(sys.modules.get("urllib3"), "PoolManager", None) is PoolManager
    return {} if is_poollib else found
