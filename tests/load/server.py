"""A server that answers well, but for one request in twenty, in fourteen bad ways; run in a process of its own.

`GET /ID` is answered with `body_of(ID)`; the number of the request, not its ID, decides what goes wrong, so that a
repetition fares better. `GET /stats` tells what was served and how many connections there were at once.
`python -m tests.load.server` prints its port, serves until its stdin ends, and imports nothing of poollib.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import struct
import sys
import zlib
from collections import Counter
from typing import Any

#: A request in so many is answered badly.
EVERY = 20
_CLOSE_WITH_RESET = struct.pack("ii", 1, 0)
_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate"
_POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"


def body_of(identity: bytes) -> bytes:
    """What only this request may get: its ID, then as many bytes as the ID says, modulo 3000."""
    return identity + b":" + b"x%b" % identity * (zlib.crc32(identity) % 300)


def _head(length: int, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n" % (length, more)


class Peer(asyncio.Protocol):
    """One connection."""

    house: House

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received, self.answers = b"", 0
        self.house.arrived(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.house.peers.discard(self)

    def is_given_up(self) -> bool:
        """Whether one side has closed, if only this process has not read the client's end yet."""
        if self.transport.is_closing():
            return True
        number = self.transport.get_extra_info("socket").fileno()
        try:
            with socket.socket(fileno=os.dup(number)) as sock:
                return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            self._answer(head.split(b" ", 2)[1][1:])

    def _answer(self, identity: bytes) -> None:
        house = self.house
        self.answers += 1
        if identity == b"stats":
            text = json.dumps(house.figures()).encode()
            self.transport.write(_head(len(text)) + text)
            return
        house.requests += 1
        body = body_of(identity)
        if not house.every or house.requests % house.every:
            self.transport.write(_head(len(body)) + body)
            return
        kind = KINDS[house.requests // house.every % len(KINDS)]
        house.counts[kind] += 1
        getattr(self, kind)(body)

    # -- the ways --

    def closes_idle(self, body: bytes) -> None:
        """Answers well, and closes without having said so."""
        self.transport.write(_head(len(body)) + body)
        self.transport.close()

    def resets(self, body: bytes) -> None:
        self._reset()

    def stalls(self, body: bytes) -> None:
        """Nothing, until the client has had enough."""

    def truncates(self, body: bytes) -> None:
        self.transport.write(_head(len(body) + 10) + body)
        self.transport.close()

    def leaves_over(self, body: bytes) -> None:
        self.transport.write(_head(len(body)) + body + _POISON)

    def storms(self, body: bytes) -> None:
        """More interim responses than anybody sends."""
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 300 + _head(len(body)) + body)

    def chunks_wrongly(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.transport.write(head + b"%x\r\n%b\r\n-1\r\n\r\n0\r\n\r\n" % (len(body), body))

    def drips(self, body: bytes) -> None:
        """All of it, in small pieces."""
        whole = _head(len(body)) + body
        pieces = [whole[:1], whole[1:17], whole[17:40], whole[40:]]
        loop = asyncio.get_running_loop()
        for number, piece in enumerate(pieces):
            loop.call_later(0.002 * number, self.transport.write, piece)

    def speaks_tls(self, body: bytes) -> None:
        """A TLS alert where a response is due."""
        self.transport.write(b"\x15\x03\x01\x00\x02\x02\x50")
        self.transport.close()

    def cuts_the_head(self, body: bytes) -> None:
        self.transport.write(_head(len(body))[:25])
        self.transport.close()

    def contradicts_itself(self, body: bytes) -> None:
        self.transport.write(_head(len(body), b"Content-Length: 3\r\n") + body)

    def speaks_unasked(self, body: bytes) -> None:
        """Answers well, and a little later says that it has waited long enough, as servers do."""
        self.transport.write(_head(len(body)) + body)
        asyncio.get_running_loop().call_later(0.001, self._speak, self.answers)

    def breaks_gzip(self, body: bytes) -> None:
        packed = zlib.compress(body)[:-3]
        self.transport.write(_head(len(packed), b"Content-Encoding: deflate\r\n") + packed)

    def resets_in_the_body(self, body: bytes) -> None:
        self.transport.write(_head(len(body) + 1) + body)
        asyncio.get_running_loop().call_later(0.002, self._reset)

    def _speak(self, answers: int) -> None:
        """Unless another request was read since: within its answer nobody could tell these bytes from the body's."""
        if self.answers == answers and not self.transport.is_closing():
            self.transport.write(_TOO_LATE)
            self.transport.close()

    def _reset(self) -> None:
        sock: socket.socket = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_WITH_RESET)
        self.transport.abort()


KINDS = (
    "closes_idle",
    "resets",
    "stalls",
    "truncates",
    "leaves_over",
    "storms",
    "chunks_wrongly",
    "drips",
    "speaks_tls",
    "cuts_the_head",
    "contradicts_itself",
    "speaks_unasked",
    "breaks_gzip",
    "resets_in_the_body",
)


class House:
    """All connections, and what was counted."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.peers: set[Peer] = set()
        self.requests = self.accepted = self.most = 0
        self.counts: Counter[str] = Counter()

    def arrived(self, peer: Peer) -> None:
        self.accepted += 1
        self.peers.add(peer)
        if len(self.peers) > self.most:
            self.most = max(self.most, sum(not peer.is_given_up() for peer in self.peers))

    def figures(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "accepted": self.accepted,
            "most_at_once": self.most,
            "now": len(self.peers),
            "bad": dict(self.counts),
        }


async def serve(port: int = 0, every: int = EVERY, certificate: str = "") -> None:
    """Serve until stdin ends; every 0: nothing goes wrong. ``certificate``: a file, for TLS."""
    loop = asyncio.get_running_loop()
    Peer.house = House(every)
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        loop.set_exception_handler(lambda *_: None)
    server = await loop.create_server(Peer, "127.0.0.1", port, backlog=512, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:3]), *sys.argv[3:]))
