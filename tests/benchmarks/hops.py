"""How far a request travels through poollib: its own calls, the modules they are in, and how deep they stand.

For each kind of request: calls of poollib's own Python functions, the modules these belong to, crossings (a call from a
function of one module into one of another), and the greatest depth of own frames above the caller's. Run it as
``python -m tests.benchmarks.hops``. Counted, not timed: the same on every machine
of one Python version.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import poollib
from poollib import HTTPConnectionPool, PoolManager, Retry
from tests.support.httpd import Httpd, Request, Response

FOLDER = os.path.dirname(poollib.__file__) + os.sep


@dataclass
class Hops:
    """What one piece of work called. Generators' resumptions count as calls, as the interpreter makes them."""

    calls: int = 0
    crossings: int = 0
    depth: int = 0
    modules: set[str] = field(default_factory=set)
    _stack: list[str] = field(default_factory=list)
    _own: int = 0

    def note(self, frame: FrameType, event: str, _arg: object) -> None:
        """For ``sys.setprofile``."""
        path = frame.f_code.co_filename
        if event == "call":
            self._called(path[len(FOLDER) :] if path.startswith(FOLDER) else "")
        elif event == "return" and self._stack:
            self._own -= bool(self._stack.pop())

    def _called(self, module: str) -> None:
        caller = next((name for name in reversed(self._stack) if name), "")
        self._stack.append(module)
        if module:
            self._own += 1
            self.calls += 1
            self.crossings += module != caller
            self.modules.add(module)
            self.depth = max(self.depth, self._own)

    def row(self) -> str:
        return f"{self.calls:6}{len(self.modules):9}{self.crossings:11}{self.depth:7}"


def counted(work: Callable[[], object]) -> Hops:
    """The hops of ``work``, in this thread alone."""
    hops = Hops()
    sys.setprofile(hops.note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return hops


class Refusals:
    """A route that answers 503, then 200, by turns."""

    def __init__(self) -> None:
        self._lock, self._count = threading.Lock(), 0

    def __call__(self, request: Request) -> Response:
        with self._lock:
            self._count += 1
            return Response(status=503 if self._count % 2 else 200)


def measured() -> dict[str, Hops]:
    """The hops of each kind of request, by its name; all but the cold one are made once before they are counted."""
    server = Httpd({"/again": Refusals(), "/big": lambda request: Response(bytes(1 << 20))})
    with server, Httpd({"/to": lambda request: redirect(server)}) as elsewhere:
        with PoolManager() as manager, HTTPConnectionPool(server.host, server.port) as pool:
            retries = Retry(3, status_forcelist=[503], allowed_methods=None)

            def stream() -> None:
                response: Any = pool.request("GET", "/big", preload_content=False)
                next(response.stream(1024))
                response.close()

            kinds: dict[str, Callable[[], object]] = {
                "warm GET": lambda: pool.request("GET", "/small"),
                "warm GET, manager": lambda: manager.request("GET", f"{server.url}/small"),
                "POST, once more after 503": lambda: pool.request("POST", "/again", body=b"x", retries=retries),
                "redirect to another host": lambda: manager.request("GET", f"{elsewhere.url}/to"),
                "stream closed early": stream,
            }
            found = {"cold GET": counted(kinds["warm GET"])}
            for name, work in kinds.items():
                work()
                found[name] = counted(work)
    return found


def redirect(server: Httpd) -> Response:
    return Response(status=302, headers={"Location": f"{server.url}/small"})


def main() -> None:
    print(f"{'':28}{'calls':>6}{'modules':>9}{'crossings':>11}{'depth':>7}")
    for name, hops in measured().items():
        print(f"{name:28}{hops.row()}")


if __name__ == "__main__":
    main()
