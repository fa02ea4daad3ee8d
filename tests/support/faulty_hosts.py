"""A server for bulk: thousands of URLs on some hosts, one of fifty answered badly at first; what it saw is counted."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Iterator

from .httpd import Request, Response, Route


class Faulty(dict[str, Route]):
    """Routes: every path is answered with its number, one of 50 badly at first. Counts what hosts were asked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked: collections.Counter[str] = collections.Counter()
        self.now: collections.Counter[str] = collections.Counter()
        self.most = 0

    def get(self, path: str, default: object = None) -> Route:
        return self.answer

    def answer(self, request: Request) -> Response:
        host = request.header("Host") or ""
        with self.lock:
            self.asked[f"http://{host}{request.path}"] += 1
            turn = self.asked[f"http://{host}{request.path}"]
            self.now[host] += 1
            self.most = max(self.most, self.now[host])
        time.sleep(0)  # so that others come in between
        number = int(request.path[1:])
        with self.lock:
            self.now[host] -= 1
        if (number + number // 50) % 50 or turn > 1:  # of each of 50 hosts one
            return Response(b"number " + request.path[1:].encode())
        kind = number // 50 % 3
        return Response(b"", 503) if kind == 0 else Response(broken(), close=True) if kind == 1 else Response(none())


def broken() -> Iterator[bytes]:
    yield b"num"
    raise ConnectionResetError


def none() -> Iterator[bytes]:
    raise ConnectionResetError
    yield b""
