"""Whole exchanges, and the ways they go: each knows what it should have got.

The fault tests rerun every exchange over every way, with a fault at every call (``test_every_call``), and with an
interrupt at every point (``test_interrupts``).
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from poollib import PoolManager, ProxyManager
from tests.faults.peers import LARGE, MEDIUM, TEXT, seen
from tests.support.certs import certs


class Scene(NamedTuple):
    """The ports of the servers by name, and a file to send."""

    ports: dict[str, int]
    file: pathlib.Path


def _get(manager: PoolManager, url: str, scene: Scene) -> bool:
    """Two requests, the second on the kept connection."""
    first = manager.request("GET", f"{url}/text").data
    return first == TEXT and manager.request("GET", f"{url}/text").data == TEXT


def _whole(manager: PoolManager, url: str, scene: Scene) -> bool:
    return manager.request("GET", f"{url}/large").data == LARGE


def _stream(manager: PoolManager, url: str, scene: Scene) -> bool:
    response = manager.request("GET", f"{url}/medium", preload_content=False)
    try:
        return b"".join(response.stream(9000)) == MEDIUM
    finally:
        response.close()


def _read_into(manager: PoolManager, url: str, scene: Scene) -> bool:
    response = manager.request("GET", f"{url}/medium", preload_content=False)
    buffer, got = bytearray(30_000), b""
    try:
        while n := response.readinto(buffer):
            got += buffer[:n]
        return got == MEDIUM
    finally:
        response.close()


def _chunks(manager: PoolManager, url: str, scene: Scene) -> bool:
    response = manager.request("GET", f"{url}/chunks", preload_content=False)
    try:
        return b"".join(response.read_chunked()) == TEXT
    finally:
        response.close()


def _inflate(manager: PoolManager, url: str, scene: Scene) -> bool:
    response = manager.request("GET", f"{url}/gzip", preload_content=False)
    try:
        return b"".join(response.stream(100)) == TEXT
    finally:
        response.close()


def _close(manager: PoolManager, url: str, scene: Scene) -> bool:
    return manager.request("GET", f"{url}/close").data == TEXT


def _unread(manager: PoolManager, url: str, scene: Scene) -> bool:
    """A body that nobody reads: closing it closes the connection."""
    manager.request("GET", f"{url}/medium", preload_content=False).close()
    return True


def _drained(manager: PoolManager, url: str, scene: Scene) -> bool:
    """A body that is thrown away, so that its connection may be kept."""
    manager.request("GET", f"{url}/chunks", preload_content=False).drain_conn()
    return manager.request("GET", f"{url}/text").data == TEXT


def _head(manager: PoolManager, url: str, scene: Scene) -> bool:
    return manager.request("HEAD", f"{url}/text").data == b""


def _post_file(manager: PoolManager, url: str, scene: Scene) -> bool:
    with scene.file.open("rb") as file:
        return manager.request("POST", f"{url}/echo", body=file).data == seen("POST", LARGE)


def _put_bytes(manager: PoolManager, url: str, scene: Scene) -> bool:
    return manager.request("PUT", f"{url}/echo", body=LARGE).data == seen("PUT", LARGE)


def _chunks_both_ways(manager: PoolManager, url: str, scene: Scene) -> bool:
    pieces = (LARGE[start : start + 60_000] for start in range(0, len(LARGE), 60_000))
    return manager.request("POST", f"{url}/echo-chunks", body=pieces).data == seen("POST", LARGE)


def _expect(manager: PoolManager, url: str, scene: Scene) -> bool:
    sent = manager.request("PUT", f"{url}/echo", body=TEXT, expect_continue=True)
    return sent.data == seen("PUT", TEXT)


def _redirect(manager: PoolManager, url: str, scene: Scene) -> bool:
    return manager.request("POST", f"{url}/away", body=b"gone").data == TEXT


def _pipeline(manager: PoolManager, url: str, scene: Scene) -> bool:
    """Requests in one send, and the answers to them from one connection."""
    items = [f"{url}/text", ("HEAD", f"{url}/text"), f"{url}/chunks", f"{url}/gzip", f"{url}/text"]
    pool = manager.connection_from_url(url)
    return [response.data for response in pool.pipeline(items)] == [TEXT, b"", TEXT, TEXT, TEXT]


EXCHANGES: dict[str, Callable[[PoolManager, str, Scene], bool]] = {
    "get": _get,
    "whole": _whole,
    "stream": _stream,
    "read into": _read_into,
    "chunks": _chunks,
    "inflate": _inflate,
    "close": _close,
    "unread": _unread,
    "drained": _drained,
    "head": _head,
    "post a file": _post_file,
    "put bytes": _put_bytes,
    "chunks both ways": _chunks_both_ways,
    "expect": _expect,
    "redirect": _redirect,
    "pipeline": _pipeline,
}
#: Those whose last method may be repeated, and whose body can be sent again (RFC 9110 section 9.2.2).
REPEATABLE = frozenset(EXCHANGES) - {"post a file", "chunks both ways", "redirect"}

# -- ways --


def _plain(scene: Scene, **kw: Any) -> tuple[PoolManager, str]:
    return PoolManager(**kw), f"http://127.0.0.1:{scene.ports['plain']}"


def _race(scene: Scene, **kw: Any) -> tuple[PoolManager, str]:
    """A name with two addresses, looked up in a thread of its own."""
    resolve = {"two.example": ["127.0.0.1", "127.0.0.1"]}
    return PoolManager(resolve=resolve, **kw), f"http://two.example:{scene.ports['plain']}"


def _tls(scene: Scene, **kw: Any) -> tuple[PoolManager, str]:
    return PoolManager(ca_certs=certs().ca_file, **kw), f"https://127.0.0.1:{scene.ports['tls']}"


def _tunnel(scene: Scene, **kw: Any) -> tuple[PoolManager, str]:
    proxy = f"http://127.0.0.1:{scene.ports['proxy']}"
    return ProxyManager(proxy, ca_certs=certs().ca_file, **kw), f"https://127.0.0.1:{scene.ports['tls']}"


def _tls_tunnel(scene: Scene, **kw: Any) -> tuple[PoolManager, str]:
    proxy = f"https://127.0.0.1:{scene.ports['tls proxy']}"
    return ProxyManager(proxy, ca_certs=certs().ca_file, **kw), f"https://127.0.0.1:{scene.ports['tls']}"


WAYS = {"plain": _plain, "race": _race, "tls": _tls, "tunnel": _tunnel, "tls tunnel": _tls_tunnel}
#: Every exchange over every way, but for the race: it is over when the connection stands.
PAIRS = [(way, exchange) for way in WAYS for exchange in EXCHANGES if way != "race" or exchange in ("get", "close")]
