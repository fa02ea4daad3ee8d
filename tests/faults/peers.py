"""The servers that the fault tests talk to, in a process of their own.

So that every descriptor and thread of the testing process is the client's, and can be counted after each fault.
``with Peers(certificate) as scene`` starts them; they end with the block, or when the testing process does.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import json
import ssl
import subprocess
import sys
import zlib
from typing import Any

from tests.support.httpd import Httpd, Request, Response
from tests.support.relay import Relay

TEXT = bytes(itertools.islice(itertools.cycle(b"nothing is lost "), 5000))
LARGE = bytes(itertools.islice(itertools.cycle(range(251)), 300_000))
MEDIUM = LARGE[:90_000]


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


def seen(method: str, body: bytes) -> bytes:
    """What the server says of a request: what it took in."""
    return f"{method} {hashlib.sha1(body).hexdigest()}".encode()


def _echo(request: Request) -> Response:
    return Response(seen(request.method, request.body))


def _echo_in_chunks(request: Request) -> Response:
    answer = seen(request.method, request.body)
    return Response([answer[:10], answer[10:]])


ROUTES = {
    "/text": lambda request: Response(TEXT),
    "/medium": lambda request: Response(MEDIUM),
    "/large": lambda request: Response(LARGE),
    "/chunks": lambda request: Response([TEXT[:7], TEXT[7:100], TEXT[100:]]),
    "/gzip": lambda request: Response(_gzip(TEXT), headers={"Content-Encoding": "gzip"}),
    "/close": lambda request: Response(TEXT, close=True),
    "/echo": _echo,
    "/echo-chunks": _echo_in_chunks,
    "/away": lambda request: Response(b"moved", status=303, headers={"Location": "/text"}),
}


class Peers:
    """A context manager: the ports of a plain server, a TLS one, a proxy and a TLS one that tunnel, by name."""

    def __init__(self, certificate: str) -> None:
        self._certificate = certificate

    def __enter__(self) -> dict[str, int]:
        command = [sys.executable, "-m", __name__, self._certificate]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        ports: dict[str, int] = json.loads(self._process.stdout.readline())
        return ports

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=20)


def _serve(certificate: str) -> None:
    """Serve until standard input ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    servers: dict[str, Any] = {
        "plain": Httpd(ROUTES),
        "tls": Httpd(ROUTES, tls=context),
        "proxy": Relay(tunnels=True),
        "tls proxy": Relay(tunnels=True, tls=context),
    }
    with servers["plain"], servers["tls"], servers["proxy"], servers["tls proxy"]:
        for name in ("plain", "tls"):
            servers[name].requests = collections.deque(maxlen=1)  # bodies that nobody asks for
        print(json.dumps({name: server.port for name, server in servers.items()}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1])
