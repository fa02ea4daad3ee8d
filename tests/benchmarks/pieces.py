"""What the pieces of a request cost, one by one.

    python -m tests.benchmarks.pieces [--only head]

CPU microseconds a call, least of many rounds, in a loop of its own (a little more in a request, where caches are cold).
"""

from __future__ import annotations

import argparse
import sys
import timeit
from collections.abc import Callable

from poollib import HTTPConnectionPool, HTTPHeaderDict, Retry, Timeout
from poollib.base.url import encode_target, parse_url
from poollib.http1.body_reader import ChunkedBody
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.http1.request_head import prepare_fields, request_line
from poollib.http1.response_head import parse_head
from tests.bytes.feeds import Feed

FIELDS = [
    ("Server", "nginx/1.22.1"),
    ("Date", "Sat, 21 Nov 2026 10:00:00 GMT"),
    ("Content-Type", "application/json"),
    ("Content-Length", "42"),
    ("Connection", "keep-alive"),
    ("X-Request-Id", "7b0c0fd2-5b9f-4f39-8a0c-5d3f1c9a4d11"),
    ("Cache-Control", "no-cache, private"),
    ("Vary", "Accept-Encoding"),
    ("Strict-Transport-Security", "max-age=31536000"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("ETag", '"33a64df551425fcc"'),
]
HEAD = b"HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in FIELDS).encode() + b"\r\n"
MANY = HEAD[:-2] + "".join(f"X-Field-{i:02d}: value number {i} of sixty\r\n" for i in range(48)).encode() + b"\r\n"
CHUNKS = (b"2000\r\n" + bytes(8192) + b"\r\n") * 8
SENT = (("Accept", "*/*"), ("Authorization", "Bearer abcdef"), ("Content-Type", "application/json"))


def chunks() -> None:
    """Eight chunks of 8 KiB that have been received together."""
    incoming = Feed(lambda limit: b"", lambda view: 0)
    incoming.data = CHUNKS
    body = ChunkedBody(incoming, True, None, DEFAULT_LIMITS)
    for _ in range(8):
        body.read_chunk(None)


def found(data: bytes) -> Callable[[], object]:
    """Parse a head, and look at one of its fields."""

    def look() -> object:
        result = parse_head(data)
        assert result is not None
        return HTTPHeaderDict.from_pairs(result[0].pairs())["x-request-id"]

    return look


def pieces() -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    pool = HTTPConnectionPool("localhost", 1)
    idle = pool._get_conn()
    pool._put_conn(idle)
    pairs = list(FIELDS)
    retry, timeout = Retry(3), Timeout(connect=2, read=5)

    def acquire_release() -> None:
        pool._endpoint_pool.release(pool._endpoint_pool.acquire())

    return {
        "head parse, 12 fields": lambda: parse_head(HEAD),
        "head parse, 60 fields": lambda: parse_head(MANY),
        "head parse and one look": found(HEAD),
        "request line": lambda: request_line("GET", "/api/items?page=2"),
        "three fields, seen before": lambda: prepare_fields(SENT),
        "acquire and release": acquire_release,
        "8 chunks of 8 KiB": chunks,
        "parse_url": lambda: parse_url("http://localhost:8080/api/items?page=2"),
        "encode_target": lambda: encode_target("/api/items?page=2"),
        "HTTPHeaderDict of 12": lambda: HTTPHeaderDict.from_pairs(pairs),
        "Retry.new": lambda: retry.new(total=2),
        "Timeout settled": lambda: timeout.clone().read_timeout,
    }


def main() -> None:
    """Print a line for each piece."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="pieces whose name holds this")
    only = parser.parse_args().only
    print(f"Python {sys.version.split()[0]}: CPU microseconds, least of 20 rounds")
    for name, call in pieces().items():
        if only in name:
            timer = timeit.Timer(call)
            count = max(1, int(0.01 / timer.timeit(1)) // 10)
            print(f"{name:28} {min(timer.repeat(20, count)) / count * 1e6:8.2f}")


if __name__ == "__main__":
    main()
