"""Answers of servers, and ways to spoil them; all by a seeded generator, so that a case is its number.

`case(n)` gives the bytes of the n-th case: a seed answer, mutated once to four times at random places, with bytes that
matter to HTTP/1.1 more often than others. Judging them is left to the tests.
"""

from __future__ import annotations

import random

HELLO = b"hello"
SEEDS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nX: y\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b;\\"c";d\r\nhello\r\n000\r\nA: b\r\nC: d\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nhello until the end",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "x"\r\n\r\n',
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes",
    b"HTTP/1.1 200 OK\r\nX: folded\r\n  on\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 404 Not Found\r\nServer: s\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello",
]
SNIPPETS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b"\x00", b"\x0b", b"\x0c", b"\x80", b"\xa0", b"\xff", b":",
    b",", b";", b"=", b'"', b"\\", b"+", b"-", b"0", b"5", b"a", b"F", b"0x", b"_", b"1_0", b"chunked",
    b", chunked", b"chunked, ", b"identity", b"Content-Length: 5\r\n", b"Content-Length: 6\r\n",
    b"content-length:5\r\n", b"Content-Length : 5\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding:\r\n chunked\r\n", b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n", b"X: y\r\n", b" X: y\r\n", b": y\r\n", b"X\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n",
    b"ffffffffffffffff\r\n", b"10000000000000000\r\n", b"HTTP/1.1 ", b"HTTP/1.1 100 Continue\r\n\r\n", b"999",
    b"20", b"2000", b"HTTP/2.0", b"HTTP/1.10", b"http/1.1", b"99999999999999999999",
]  # fmt: skip


def case(number: int) -> bytes:
    """The bytes of the case of this number, the same on every machine."""
    rng = random.Random(number)
    data = SEEDS[number % len(SEEDS)]
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        data = _mutated(data, rng)
    return data


def _mutated(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    kind = rng.randrange(9)
    if kind <= 2:
        return data[:at] + rng.choice(SNIPPETS) + data[at:]
    if kind == 3:
        return data[:at] + data[at + rng.choice((1, 1, 1, 2, 5)) :]
    if kind == 4:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if kind == 5:
        return data[:at] + rng.choice(SNIPPETS) + data[at + 1 :]
    lines = data.split(b"\r\n")
    line = rng.randrange(len(lines))
    if kind == 6:
        lines.insert(rng.randrange(len(lines) + 1), lines[line])
    elif kind == 7:
        lines[line] = rng.choice(SNIPPETS).rstrip(b"\r\n")
    else:
        lines[line] = lines[line] + rng.choice(SNIPPETS)
    return b"\r\n".join(lines)
