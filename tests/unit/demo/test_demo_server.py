"""demo_server: what the demo's server answers, and when it has had enough of a client."""

from __future__ import annotations

import json
import socket
import threading

from poollib.demo import demo_server


def test_each_path_has_its_answer() -> None:
    counts = demo_server.Counts()
    counts.count("http")
    for target, status in (
        (b"/item/3", b"200"), (b"/old/3", b"302"), (b"/busy/a", b"503"), (b"/busy/a", b"200"), (b"/stream/2", b"200"),
        (b"/opened", b"200"), (b"/", b"404"), (b"/else", b"404"),
    ):  # fmt: skip
        pieces = list(demo_server.answer(target, counts))
        assert pieces[0].split(b" ")[1] == status, target
    assert json.loads(next(iter(demo_server.answer(b"/opened", counts))).rpartition(b"\r\n\r\n")[2]) == {"http": 1}


def test_a_conversation_goes_on_over_one_connection_and_its_requests_are_bounded() -> None:
    """Requests may come in pieces; a head that never ends does not fill the memory."""
    near, far = socket.socketpair()
    done = threading.Event()

    def serve() -> None:
        demo_server.converse(far, demo_server.Counts())
        done.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with near, far:
        near.settimeout(5)
        for piece in (b"GET /item/1 HTT", b"P/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\n"):
            near.sendall(piece)
        got = b""
        while b"404" not in got or not got.endswith(b"\r\n\r\n"):
            got += near.recv(65536)
        assert got.startswith(b"HTTP/1.1 200")
        near.sendall(b"G" * demo_server.LIMIT_BYTES)
        assert done.wait(5)
    thread.join(5)


def test_a_client_that_leaves_ends_its_conversation() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.shutdown(socket.SHUT_WR)
        demo_server.converse(far, demo_server.Counts())
        far.shutdown(socket.SHUT_WR)
        assert near.recv(1) == b""
