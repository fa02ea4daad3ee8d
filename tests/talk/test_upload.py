"""Bodies on their way out, seen by the server byte by byte: framing, files, early answers, 100-continue, trailers."""

from __future__ import annotations

import errno
import io
import pathlib
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool
from poollib.base.timeout import Timeout
from poollib.connection import HTTPConnection
from poollib.exceptions import ProtocolError, ReadTimeoutError, UnrewindableBodyError, WriteTimeoutError
from poollib.exchange.upload import Payload
from tests.support.certs import certs
from tests.support.script import (
    ScriptServer,
    Step,
    close,
    cut,
    expect,
    expect_end,
    expect_head,
    expect_request,
    half_close,
    reset,
    respond,
    send,
    signal,
    stall,
    start_tls,
)

OK = respond(b"ok")
BIG = bytes(range(256)) * 4096  # 1 MiB: more than goes into one call
HUGE = 64 * len(BIG)  # more than the buffers of two sockets hold


def pool_for(server: ScriptServer, **options: Any) -> HTTPConnectionPool:
    options = {"maxsize": 1, "block": True, "timeout": 5.0, "retries": False, **options}
    return HTTPConnectionPool(server.host, server.port, **options)


def has_all_slots(pool: HTTPConnectionPool, idle: int) -> bool:
    """Whether nothing is lent; ``idle`` connections were kept."""
    pool._endpoint_pool.check()
    stats = pool._endpoint_pool.stats()
    return (stats.leased, stats.idle, stats.opening) == (0, idle, 0)


def sent(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


class Reads(io.RawIOBase):
    """A file that is none of the plain kinds, so that its bytes have to be read."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.data.readinto(buffer)


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory() as name:
        yield pathlib.Path(name)


# What leaves


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"bytes", b"bytes"),
        (bytearray(b"more bytes"), b"more bytes"),
        (memoryview(b"a view"), b"a view"),
        ("text é", "text é".encode()),
        (b"", b""),
        (BIG, BIG),
        (memoryview(BIG), BIG),
        (io.BytesIO(b"a file in memory"), b"a file in memory"),
        (io.BytesIO(BIG), BIG),
    ],
    ids=["bytes", "bytearray", "view", "str", "empty", "long", "long view", "BytesIO", "long BytesIO"],
)
def test_a_body_of_known_length_is_sent_with_it(body: Any, wanted: bytes) -> None:
    with ScriptServer([expect_request(), OK, expect_request(), OK]) as server, pool_for(server) as pool:
        assert pool.request("POST", "/", body=body).status == 200
        assert pool.request("GET", "/").status == 200
        assert has_all_slots(pool, 1)
    assert b"\r\nContent-Length: %d\r\n" % len(wanted) in server.received[0]
    assert body_of(server.received[0]).startswith(wanted + b"GET / ")


@pytest.mark.parametrize("pieces", [[b"one"], [b"one", b"", b"two"], [b"x" * 70_000, b"y"], [BIG, b"z"], []])
@pytest.mark.parametrize("kind", [list, iter], ids=["list", "iterator"])
def test_an_iterable_is_sent_in_chunks(pieces: list[bytes], kind: Any) -> None:
    """Each piece is its own chunk, as in urllib3; one without bytes is none."""
    with ScriptServer([expect_request(), OK, expect_request(), OK]) as server, pool_for(server) as pool:
        assert pool.request("POST", "/", body=kind(pieces)).status == 200
        assert pool.request("GET", "/").status == 200
    request, _, _ = server.received[0].partition(b"GET / ")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in request
    assert b"content-length" not in request.lower()
    assert body_of(request) == sent(*filter(None, pieces))


def test_text_pieces_are_sent_as_utf8() -> None:
    with ScriptServer([expect_request(), OK]) as server, pool_for(server) as pool:
        pool.request("POST", "/", body=iter(["é", b"!"]))
    assert body_of(server.received[0]) == sent("é".encode(), b"!")


def test_a_piece_leaves_as_soon_as_it_is_there() -> None:
    """The generator goes on only when the server has seen its first piece."""
    seen = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        assert seen.wait(5)
        yield b"second"

    script = [expect_head(), expect(b"5\r\nfirst\r\n"), signal(seen), expect(b"6\r\nsecond\r\n0\r\n\r\n"), OK]
    with ScriptServer(script) as server, pool_for(server) as pool:
        assert pool.request("POST", "/", body=pieces()).status == 200


@pytest.mark.parametrize("size", [0, 5, 70_000, len(BIG)])
def test_a_file_is_sent_from_where_it_stands_and_then_stands_behind_it(folder: pathlib.Path, size: int) -> None:
    (folder / "file").write_bytes(b"skip" + BIG[:size])
    with (folder / "file").open("rb") as file:
        file.read(4)
        with ScriptServer([expect_request(), OK]) as server, pool_for(server) as pool:
            assert pool.request("PUT", "/", body=file).status == 200
        assert file.tell() == 4 + size
    assert b"\r\nContent-Length: %d\r\n" % size in server.received[0]
    assert body_of(server.received[0]) == BIG[:size]


def test_a_file_goes_out_as_it_is_read_where_its_class_has_a_say(folder: pathlib.Path) -> None:
    """A subclass may give other bytes than the disk: it is not sent past its read()."""

    class Upper(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            return (super().read(size) or b"").upper()

    (folder / "file").write_bytes(b"x" * 100_000)
    with Upper(folder / "file") as file, ScriptServer([expect_request(), OK]) as server, pool_for(server) as pool:
        pool.request("PUT", "/", body=file)
    assert body_of(server.received[0]) == b"X" * 100_000


def test_a_file_of_unknown_length_is_sent_in_chunks() -> None:
    with ScriptServer([expect_request(), OK]) as server, pool_for(server) as pool:
        pool.request("PUT", "/", body=Reads(b"x" * 100_000))
    assert body_of(server.received[0]) == sent(b"x" * 65536, b"x" * 34464)


def test_a_file_that_grows_is_sent_as_long_as_was_announced(folder: pathlib.Path) -> None:
    path = folder / "file"
    path.write_bytes(BIG)
    stop = threading.Event()

    class Growing(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            with path.open("ab") as more:
                more.write(b"more" * 50_000)
            return super().read(size) or b""

    with Growing(path) as file, ScriptServer([expect_request(), OK, expect_end()]) as server, pool_for(server) as pool:
        assert pool.request("PUT", "/", body=file).status == 200
    stop.set()
    assert body_of(server.received[0]) == BIG


def test_a_file_that_shrinks_while_it_is_sent_is_an_error(folder: pathlib.Path) -> None:
    """By sendfile: the server reads a part, the file is cut, and the rest can't come any more."""
    path = folder / "file"
    with path.open("wb") as file:
        file.truncate(HUGE)
    cut = threading.Event()

    def truncate(connection: Any) -> None:
        path.write_bytes(b"")
        cut.set()

    script = [expect_head(), expect(bytes(65536)), truncate, stall()]
    with path.open("rb") as file, ScriptServer(script) as server, pool_for(server) as pool:
        with pytest.raises(ValueError, match="bytes shorter than its Content-Length"):
            pool.request("PUT", "/", body=file)
        assert cut.wait(5)
        assert has_all_slots(pool, 0)


@pytest.mark.parametrize("given", ["4", "6"])
@pytest.mark.parametrize("body", [b"hello", "hello", io.BytesIO(b"hello")], ids=["bytes", "str", "file"])
def test_a_length_that_is_not_the_bodys_is_refused_before_a_byte_leaves(body: Any, given: str) -> None:
    with ScriptServer([expect_end()]) as server, pool_for(server) as pool:
        with pytest.raises(ValueError, match="Content-Length"):
            pool.request("POST", "/", body=body, headers={"Content-Length": given})
        assert has_all_slots(pool, 0)
    assert server.opened == 0


@pytest.mark.parametrize(("given", "why"), [("4", "longer than"), ("6", "shorter than")])
@pytest.mark.parametrize("pieces", [[b"hel", b"lo"], [b"hello"], [b"h", b"", b"ello"]], ids=str)
def test_a_body_whose_length_shows_late_is_never_sent_as_whole(pieces: list[bytes], given: str, why: str) -> None:
    """RFC 9110 section 8.6: an iterator that does not keep to its Content-Length ends the connection."""
    with ScriptServer([stall()]) as server, pool_for(server, retries=3) as pool:
        with pytest.raises(ValueError, match=f"{why} its Content-Length"):
            pool.request("PUT", "/", body=iter(pieces), headers={"Content-Length": given})
        assert has_all_slots(pool, 0)
    assert server.opened == 1
    assert len(body_of(server.received[0])) <= int(given)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_length_without_a_body_is_refused(method: str) -> None:
    with ScriptServer([expect_end()]) as server, pool_for(server) as pool:
        with pytest.raises(ValueError, match="Content-Length is 5, but the body has 0 bytes"):
            pool.request(method, "/", headers={"Content-Length": "5"})
    assert server.opened == 0


@pytest.mark.parametrize("given", ["4", "6"])
def test_an_iterable_of_another_length_than_announced_is_an_error(given: str) -> None:
    with ScriptServer([stall()]) as server, pool_for(server) as pool:
        with pytest.raises(ValueError, match="Content-Length of"):
            pool.request("POST", "/", body=iter([b"he", b"llo"]), headers={"Content-Length": given})
        assert has_all_slots(pool, 0)
    assert len(body_of(server.received[0])) <= int(given)


@pytest.mark.parametrize(
    "settings",
    [
        {"headers": {"Content-Length": "5", "Transfer-Encoding": "chunked"}},
        {"headers": {"Content-Length": "5"}, "chunked": True},
        {"headers": {"Transfer-Encoding": "gzip"}},
        {"headers": {"Transfer-Encoding": "chunked, gzip"}},
        {"headers": {"Content-Length": "5"}, "trailers": {"A": "b"}},
        {"headers": {"Content-Length": "+5"}},
        {"headers": {"Content-Length": "5, 5"}},
        {"trailers": {"Content-Length": "5"}},
        {"trailers": {"A": "b\r\nC: d"}},
        {"trailers": {"A b": "c"}},
    ],
    ids=str,
)
def test_what_contradicts_itself_is_refused_before_a_byte_leaves(settings: dict[str, Any]) -> None:
    with ScriptServer([expect_end()]) as server, pool_for(server) as pool:
        with pytest.raises(ValueError, match=r"[Cc]ontent-Length|Transfer-Encoding|trailer|header"):
            pool.request("POST", "/", body=b"hello", **settings)
        assert has_all_slots(pool, 0)
    assert server.opened == 0


# Trailers


def test_trailers_are_announced_and_sent_behind_the_last_chunk() -> None:
    with ScriptServer([expect_request(), OK]) as server, pool_for(server) as pool:
        pool.request("POST", "/", body=b"hello", trailers={"X-Sum": "1", "X-Two": "2"})
    assert b"\r\nTrailer: X-Sum, X-Two\r\n" in server.received[0]
    assert body_of(server.received[0]) == b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n"


def test_trailers_may_be_known_only_when_the_body_is_sent() -> None:
    sizes: list[int] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"a", b"bc"):
            sizes.append(len(piece))
            yield piece

    with ScriptServer([expect_request(), OK]) as server, pool_for(server) as pool:
        pool.request(
            "POST", "/", body=pieces(), trailers=lambda: {"X-Size": str(sum(sizes))}, headers={"Trailer": "X-Size"}
        )
    assert body_of(server.received[0]) == b"1\r\na\r\n2\r\nbc\r\n0\r\nX-Size: 3\r\n\r\n"
    assert server.received[0].count(b"Trailer:") == 1


# An answer while the body is being sent: RFC 9112 section 9.5


def endless(stop_after: int = 1 << 40) -> Iterator[bytes]:
    for _ in range(0, stop_after, len(BIG)):
        yield BIG


EARLY = send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much")


def long_body(kind: str, folder: pathlib.Path) -> Any:
    if kind == "file":
        path = folder / "sparse"
        with path.open("wb") as file:
            file.truncate(1 << 30)
        return path.open("rb")
    return {"chunks": endless, "bytes": lambda: bytes(HUGE), "read": lambda: Reads(bytes(HUGE))}[kind]()


@pytest.mark.parametrize("kind", ["chunks", "file", "bytes", "read"])
@pytest.mark.parametrize("then", ["stall", "close", "reset", "half_close"])
def test_a_final_answer_ends_the_sending_and_is_returned(folder: pathlib.Path, kind: str, then: str) -> None:
    """The server that stalls reads nothing more: without a look at the socket both would wait for ever.

    So does the one that closes its half: if it read on, 64 MiB could be gone before anybody looks, and nothing is left
    to end.
    """
    body = long_body(kind, folder)
    stalled = stall(threading.Event())
    steps = {"stall": [stalled], "close": [close()], "reset": [reset()], "half_close": [half_close(), stalled]}[then]
    with ScriptServer([expect_head(), EARLY, *steps]) as server, pool_for(server) as pool:
        try:
            response = pool.request("POST", "/", body=body)
        except ProtocolError:
            assert then == "reset"  # which may throw away what was sent before it
        else:
            assert (response.status, response.data) == (413, b"too much")
        assert has_all_slots(pool, 0)
    if kind == "file":
        body.close()


def test_an_interim_response_while_the_body_is_being_sent_does_not_end_it() -> None:
    early = send(b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n")
    seen = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        assert seen.wait(5)
        for _ in range(3):
            yield BIG

    script = [expect_head(), early, signal(seen), expect(sent(b"first", BIG, BIG, BIG)), OK, expect_request(), OK]
    with ScriptServer(script) as server, pool_for(server) as pool:
        response = pool.request("POST", "/", body=pieces())
        assert (response.status, response.data) == (200, b"ok")
        assert response.interim == ((100, []), (103, [("Link", "a")]))
        assert pool.request("GET", "/").status == 200
        assert has_all_slots(pool, 1)


def test_a_connection_that_ends_while_the_body_is_being_sent_is_an_error() -> None:
    for step in (close(), reset()):
        with ScriptServer([expect_head(), step]) as server, pool_for(server) as pool:
            with pytest.raises(ProtocolError):
                pool.request("POST", "/", body=endless())
            assert has_all_slots(pool, 0)


def test_a_server_that_takes_no_bytes_is_waited_for_as_long_as_write_says() -> None:
    done = threading.Event()
    with ScriptServer([expect_head(), stall(done)]) as server:
        with pool_for(server, timeout=Timeout(connect=5, read=5, write=0.02)) as pool:
            with pytest.raises(WriteTimeoutError):
                pool.request("POST", "/", body=endless())
            assert has_all_slots(pool, 0)
        done.set()


@pytest.mark.parametrize("before_s", [None, 0.001])
def test_on_a_kept_connection_the_limit_of_the_request_before_says_nothing(before_s: float | None) -> None:
    """A body that leaves in one call with its head waited as long as the request before it was given, or for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    peers: list[socket.socket] = []

    def answer_once() -> None:
        peers.append(listener.accept()[0])
        peers[0].recv(65536)
        peers[0].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    threading.Thread(target=answer_once, daemon=True).start()
    small = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)]
    with HTTPConnectionPool("127.0.0.1", listener.getsockname()[1], socket_options=small, retries=False) as pool:
        pool.request("GET", "/", timeout=2)
        conn = pool._get_conn()
        conn.sock.settimeout(before_s)
        pool._put_conn(conn)
        threading.Timer(2.0, lambda: peers[0].close()).start()
        before = time.monotonic()
        with pytest.raises(WriteTimeoutError):
            pool.request("POST", "/", body=b"x" * 60000, timeout=0.1)
        assert 0.09 < time.monotonic() - before < 1.5
    listener.close()


def test_an_error_of_the_bodys_own_comes_through_and_frees_the_slot() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"first"
        raise KeyError("mine")

    with ScriptServer([stall()]) as server, pool_for(server) as pool:
        with pytest.raises(KeyError, match="mine"):
            pool.request("POST", "/", body=pieces())
        assert has_all_slots(pool, 0)


class Broken(io.BytesIO):
    """A file on a disk that fails."""

    reads = 0

    def read(self, *size: Any) -> bytes:
        self.reads += 1
        raise OSError(errno.EIO, "disk")


def failing(error: Exception) -> Iterator[bytes]:
    yield b"first"
    raise error


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "disk"), TimeoutError("mine"), ReadTimeoutError(None, "/in", "in")]
)
def test_an_error_of_the_bodys_own_is_not_taken_for_the_servers(error: Exception) -> None:
    """It comes as it is, is not tried again, and says nothing of the server's health."""
    with ScriptServer([stall()], [stall()]) as server, pool_for(server, retries=3) as pool:
        for wish in ({"body": failing(error)}, {"body": [b"x"], "trailers": lambda: next(failing_at_once(error))}):
            with pytest.raises(type(error)) as caught:
                pool.request("PUT", "/", **wish)
            assert caught.value is error
        assert "mine" not in str(pool.health()["last_error"])
        assert pool.health()["state"] != "failing"
        assert has_all_slots(pool, 0)


def failing_at_once(error: Exception) -> Iterator[dict[str, str]]:
    raise error
    yield {}


def test_a_file_that_cannot_be_read_is_tried_once() -> None:
    file = Broken(b"abc")
    with ScriptServer([stall()]) as server, pool_for(server, retries=3) as pool:
        with pytest.raises(OSError, match="disk"):
            pool.request("PUT", "/", body=file)
    assert file.reads == 1


def test_an_early_answer_does_not_hide_that_the_body_failed() -> None:
    """The server may have answered 200 to half of it."""
    answered = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"first"
        answered.wait(5)
        raise OSError(errno.EIO, "disk")

    with ScriptServer([expect_head(), OK, signal(answered)]) as server, pool_for(server) as pool:
        with pytest.raises(OSError, match="disk"):
            pool.request("PUT", "/", body=pieces())


# Expect: 100-continue: RFC 9110 section 10.1.1


@pytest.mark.parametrize(
    "wish", [{"expect_continue": True}, {"headers": {"Expect": "100-continue"}}], ids=["option", "header"]
)
@pytest.mark.parametrize("body", [b"hello", BIG], ids=["small", "long"])
def test_the_body_waits_for_100_continue(wish: dict[str, Any], body: bytes) -> None:
    waits = [expect_head(), lambda connection: no_body_yet(connection), send(b"HTTP/1.1 102 Wait\r\n\r\n")]
    script = [*waits, send(b"HTTP/1.1 100 Continue\r\n\r\n"), expect(body), OK, expect_request(), OK]
    with ScriptServer(script) as server, pool_for(server) as pool:
        response = pool.request("POST", "/", body=body, **wish)
        assert (response.status, [status for status, _ in response.interim]) == (200, [102, 100])
        assert pool.request("GET", "/").status == 200
        assert has_all_slots(pool, 1)
    assert server.received[0].count(b"Expect: 100-continue\r\n") == 1


def test_100_continue_ends_the_wait() -> None:
    script = [expect_head(), send(b"HTTP/1.1 100 Continue\r\n\r\n"), expect(b"hello"), OK]
    with ScriptServer(script) as server, pool_for(server) as pool:
        start = time.monotonic()
        assert pool.request("POST", "/", body=b"hello", expect_continue=3.0).status == 200
        assert time.monotonic() - start < 2.0


def no_body_yet(connection: Any) -> None:
    assert connection.pending == b""


@pytest.mark.parametrize("blocksize", [0, -1])
def test_a_file_read_in_blocks_of_nothing_is_not_sent_empty(blocksize: int) -> None:
    with ScriptServer([]) as server, pool_for(server, blocksize=blocksize) as pool:
        with pytest.raises(ValueError, match="blocksize"):
            pool.request("PUT", "/", body=io.StringIO("text"))


@pytest.mark.parametrize("wish", [-1, float("nan"), float("inf"), 1e10])
def test_what_cannot_be_waited_for_100_continue_is_refused(wish: float) -> None:
    with HTTPConnectionPool("127.0.0.1", 9) as pool, pytest.raises(ValueError, match="expect_continue"):
        pool.request("PUT", "/", body=b"x", expect_continue=wish)


def test_the_body_is_sent_when_no_100_comes_in_time() -> None:
    with ScriptServer([expect_request(), OK]) as server, pool_for(server) as pool:
        assert pool.request("POST", "/", body=b"hello", expect_continue=0.02).status == 200
        assert has_all_slots(pool, 1)
    assert body_of(server.received[0]) == b"hello"


def test_where_the_clock_stands_still_the_body_is_sent_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """freezegun: the wait for 100 Continue ends with the receive, which has waited for all of it."""
    calls, usual = iter(range(100)), time.monotonic

    def clock() -> float:
        if threading.current_thread() is not threading.main_thread():
            return usual()
        assert next(calls, None) is not None, "a loop that only the clock ends"
        return 100.0

    with ScriptServer([expect_request(), OK]) as server, pool_for(server) as pool:
        monkeypatch.setattr(time, "monotonic", clock)
        assert pool.request("POST", "/", body=b"hello", expect_continue=0.01).status == 200
        monkeypatch.undo()
    assert body_of(server.received[0]) == b"hello"


def test_a_final_answer_spares_the_body_and_the_connection_is_not_used_again() -> None:
    with ScriptServer([expect_head(), respond(b"no", "417 No"), expect_end()]) as server, pool_for(server) as pool:
        response = pool.request("POST", "/", body=BIG, expect_continue=True)
        assert (response.status, response.data) == (417, b"no")
        assert has_all_slots(pool, 0)


def test_a_request_without_a_body_expects_nothing() -> None:
    with ScriptServer([expect_request(), OK]) as server, pool_for(server) as pool:
        assert pool.request("GET", "/", expect_continue=True).status == 200
    assert b"Expect" not in server.received[0]


# Once more


def test_a_body_that_can_not_be_rewound_is_never_sent_half_or_empty() -> None:
    with ScriptServer([expect_request(), respond(status="503 Busy", headers=["Retry-After: 0"]), stall()]) as server:
        with pool_for(server, retries=3) as pool:
            with pytest.raises(UnrewindableBodyError):
                pool.request("PUT", "/", body=Reads(b"x" * 100))
            assert has_all_slots(pool, 0) or has_all_slots(pool, 1)
    assert server.opened == 1
    assert server.received[0].count(b"PUT /") == 1


# The same over TLS


@pytest.mark.parametrize("kind", ["bytes", "chunks", "file"])
def test_long_bodies_go_out_over_tls(folder: pathlib.Path, kind: str) -> None:
    (folder / "file").write_bytes(BIG)
    with (folder / "file").open("rb") as file:
        body: Any = {"bytes": BIG, "chunks": iter([BIG[:70_000], BIG[70_000:]]), "file": file}[kind]
        with ScriptServer([expect_request(), OK, expect_request(), OK], tls=certs().server()) as server:
            with HTTPSConnectionPool(server.host, server.port, ca_certs=certs().ca_file, timeout=5) as pool:
                assert pool.request("PUT", "/", body=body, expect_continue=0.01).status == 200
                assert pool.request("GET", "/").status == 200
                assert has_all_slots(pool, 1)
    wanted = sent(BIG[:70_000], BIG[70_000:]) if kind == "chunks" else BIG
    assert body_of(server.received[0]).startswith(wanted + b"GET / ")


def test_a_final_answer_over_tls_ends_the_sending(folder: pathlib.Path) -> None:
    """Session tickets make the socket readable, too: they are no answer."""
    script = [expect_head(), EARLY, stall(threading.Event())]
    with ScriptServer(script, tls=certs().server()) as server:
        with HTTPSConnectionPool(server.host, server.port, ca_certs=certs().ca_file, timeout=5, retries=False) as pool:
            response = pool.request("POST", "/", body=endless())
            assert (response.status, response.data) == (413, b"too much")
            assert has_all_slots(pool, 0)


@pytest.mark.parametrize(("size", "is_repeated"), [(10, True), (5000, False)])
def test_a_post_goes_out_again_only_if_nothing_of_it_can_have_left(
    size: int, is_repeated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server reset the kept connection just behind the look at it; the system took none of a small request."""
    with (
        ScriptServer([expect_request(), respond(b"one"), reset()], [expect_request(), respond(b"two")]) as server,
        pool_for(server) as pool,
    ):
        assert pool.request("GET", "/").data == b"one"
        (kept,) = pool._endpoint_pool.idle_connections()
        while kept.is_reusable():  # until the reset has come
            time.sleep(0.001)
        with monkeypatch.context() as patch:
            patch.setattr(HTTPConnection, "is_reusable", lambda conn: True)
            if is_repeated:
                assert pool.request("POST", "/", body=bytes(size), retries=False).data == b"two"
            else:
                with pytest.raises(ProtocolError):
                    pool.request("POST", "/", body=bytes(size), retries=False)
                assert pool.request("GET", "/").data == b"two"
        assert server.opened == 2
        assert pool.num_requests == 3


@pytest.mark.parametrize("size", [1, len(BIG)])
def test_a_socket_that_is_closed_already_is_a_failed_connection(size: int) -> None:
    """Closed by another thread behind the connection's back: it makes no difference how much was to be sent."""
    conn = HTTPConnection("localhost", timeout=5.0)
    conn.sock, far = socket.socketpair()
    with far:
        conn.sock.settimeout(5.0)
        conn.is_connected  # noqa: B018  # it takes the socket as its own
        conn.sock.close()
        with pytest.raises(ProtocolError, match="Bad file descriptor"):
            conn.request("POST", "/", body=bytes(size))


class Closing(HTTPConnection):
    """One that another thread closes as it begins to send."""

    def _send_bytes(self, data: bytes) -> None:
        self.close()
        super()._send_bytes(data)

    def _upload(self, head: bytes, payload: Payload) -> None:
        self.close()
        super()._upload(head, payload)


@pytest.mark.parametrize("size", [0, 1, len(BIG)])
def test_a_connection_that_is_closed_meanwhile_has_failed(size: int) -> None:
    conn = Closing("localhost", timeout=5.0)
    conn.sock, far = socket.socketpair()
    with far, pytest.raises(ProtocolError, match="Bad file descriptor"):
        conn.request("POST", "/", body=bytes(size))


def test_a_body_that_closes_its_connection_has_failed() -> None:
    conn = HTTPConnection("localhost", timeout=5.0)
    conn.sock, far = socket.socketpair()

    def body() -> Iterator[bytes]:
        yield b"one"
        conn.close()
        yield b"two"

    with far, pytest.raises(ProtocolError, match="Bad file descriptor"):
        conn.request("POST", "/", body=body())


@pytest.mark.parametrize("before", [reset(), cut()], ids=["reset", "cut"])
def test_a_post_goes_out_again_where_tls_broke_off_before_it(before: Step) -> None:
    """A server that restarts ends handshakes: the guide has it that an error while connecting repeats any method."""
    broken, whole = [expect(lambda data: len(data) > 100), before], [start_tls(certs().server())]
    with ScriptServer(broken, broken, [*whole, expect_request(), respond(b"done")]) as server:
        with HTTPSConnectionPool(server.host, server.port, ca_certs=certs().ca_file, timeout=10.0) as pool:
            assert pool.request("POST", "/", body=b"once").data == b"done"
            assert has_all_slots(pool, 1)
    assert server.opened == 3
