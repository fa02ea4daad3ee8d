"""How a body goes out: its framing, and its way over sockets that refuse, take little, or are no sockets."""

from __future__ import annotations

import array
import errno
import io
import os
import socket
import ssl
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poollib.exchange import httpclient_hooks
from poollib.exchange import upload as upload_module
from poollib.exchange.upload import (
    AnsweredEarly,
    Payload,
    Upload,
    framing_field,
    joined,
    payload_for,
    plain_file,
    size_of,
)
from poollib.http1.request_head import NO_FIELDS, prepare_fields


def payload(body: Any, headers: dict[str, str] | None = None, chunked: bool = False, **more: Any) -> Payload:
    fields = prepare_fields((headers or {}).items())
    return payload_for("POST", body, fields, chunked, 16384, **more)


@pytest.mark.parametrize(
    ("body", "headers", "chunked", "length", "line"),
    [
        (b"abc", {}, False, 3, b"Content-Length: 3\r\n"),
        (None, {"Content-Length": "0"}, False, 0, b""),
        (b"abc", {"Content-Length": "3"}, False, 3, b""),
        (iter([b"abc"]), {"Content-Length": "3"}, False, 3, b""),
        (b"abc", {}, True, None, b"Transfer-Encoding: chunked\r\n"),
        (b"abc", {"Transfer-Encoding": "chunked"}, False, None, b""),
        (b"abc", {"Transfer-Encoding": "gzip, Chunked"}, False, None, b""),
        (iter([b"abc"]), {}, False, None, b"Transfer-Encoding: chunked\r\n"),
        (None, {}, True, None, b"Transfer-Encoding: chunked\r\n"),
    ],
)
def test_framing_follows_from_body_and_fields(
    body: Any, headers: dict[str, str], chunked: bool, length: int | None, line: bytes
) -> None:
    made = payload(body, headers, chunked)
    assert (made.length, framing_field(made, prepare_fields(headers.items()))) == (length, line)


def test_trailers_make_a_body_chunked_and_are_announced_unless_the_caller_did() -> None:
    made = payload(b"abc", trailers={"X-A": "1", "X-B": "2"})
    assert framing_field(made, NO_FIELDS) == b"Transfer-Encoding: chunked\r\nTrailer: X-A, X-B\r\n"
    announced = prepare_fields([("Trailer", "X-A")])
    assert framing_field(made, announced) == b"Transfer-Encoding: chunked\r\n"
    assert framing_field(payload(b"abc", trailers=dict), NO_FIELDS) == b"Transfer-Encoding: chunked\r\n"


def test_small_neighbours_are_joined_and_large_pieces_left_alone() -> None:
    pieces = [b"a", b"b" * 10, b"c" * 65536, b"d", b"e"]
    assert [len(piece) for piece in joined(pieces)] == [11, 65536, 2]
    assert list(joined([])) == []
    assert size_of(memoryview(b"abcd").cast("I")) == 4


def test_chunks_that_are_at_hand_leave_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred pieces of a list are a hundred chunks in one call with the head; a large one is not copied."""
    with Pair() as pair:
        upload = pair.upload()
        calls: list[int] = []
        monkeypatch.setattr(upload, "_send", lambda data, flags=0: calls.append(len(data)))
        monkeypatch.setattr(upload, "_send_parts", lambda *parts: calls.extend(map(len, parts)))
        upload.run(b"head", Payload([b"x"] * 100, None, ready=True))
        assert calls == [4 + 100 * len(b"1\r\nx\r\n") + len(b"0\r\n\r\n")]
        calls.clear()
        upload.run(b"head", Payload([b"x", b"y" * 70_000, b"z"], None, ready=True))
        assert calls == [4 + 6 + len(b"11170\r\n"), 70_000, 2, 6 + 5]


def test_a_plain_file_is_one_whose_bytes_are_the_disks() -> None:
    class Mine(io.FileIO):
        pass

    with tempfile.NamedTemporaryFile() as wrapped, open(wrapped.name, "rb") as file, Mine(wrapped.name) as mine:
        assert plain_file(file) is file
        assert plain_file(file.raw) is file.raw
        assert plain_file(wrapped) is wrapped.file
        assert plain_file(mine) is None
        assert plain_file(io.BytesIO()) is None


class Pair:
    """A plain socket to send on, and what its peer has got."""

    def __enter__(self) -> Pair:
        listener = socket.create_server(("127.0.0.1", 0))
        self.sock = socket.create_connection(listener.getsockname())
        self.peer, _ = listener.accept()
        listener.close()
        self.sock.settimeout(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
        self.peer.close()

    def got(self) -> bytes:
        self.sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: self.peer.recv(65536), b""))

    def upload(self, wait_s: float | None = 5.0, answered: Callable[[], bool] = lambda: False) -> Upload:
        return Upload(self.sock, lambda: wait_s, answered)


def test_the_sockets_timeout_is_what_it_was_before() -> None:
    with Pair() as pair:
        pair.upload().run(b"head", payload(b"abc"))
        assert pair.sock.gettimeout() == 5
        assert pair.got() == b"headabc"


@pytest.mark.parametrize("has_poll", [True, False])
def test_it_waits_for_room_and_gives_up_in_time(monkeypatch: pytest.MonkeyPatch, has_poll: bool) -> None:
    if not has_poll:
        monkeypatch.delattr(upload_module.select, "poll")
    with Pair() as pair:
        upload = pair.upload(wait_s=0.01)
        with pytest.raises(TimeoutError):
            upload.run(b"", payload(bytes(32 << 20)))
        assert 0 < upload.sent < 32 << 20


def test_who_keeps_sending_something_buys_no_time_to_take_the_body() -> None:
    """A server that says 102 now and then and reads nothing held an upload for as long as it liked."""
    with Pair() as pair:
        end = time.monotonic() + 2

        def hear() -> bool:
            assert time.monotonic() < end, "no time-out"
            pair.sock.recv(1)
            pair.peer.sendall(b"x")
            return False

        pair.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair.peer.sendall(b"x")
        with pytest.raises(TimeoutError):
            pair.upload(wait_s=0.02, answered=hear).run(b"", payload(bytes(32 << 20)))


@pytest.mark.parametrize("has_poll", [True, False])
def test_what_can_be_read_is_asked_about_and_may_end_it(monkeypatch: pytest.MonkeyPatch, has_poll: bool) -> None:
    if not has_poll:
        monkeypatch.delattr(upload_module.select, "poll")
    with Pair() as pair:
        pair.peer.sendall(b"x")
        with pytest.raises(AnsweredEarly):
            pair.upload(answered=lambda: True).run(b"", payload(bytes(32 << 20)))
        heard = []
        pair.upload(answered=lambda: bool(heard.append(pair.sock.recv(1)))).run(b"", payload(b"abc"))
        assert heard == [b"x"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_file_that_sendfile_does_not_take_is_read(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "sendfile", refuse)
    with tempfile.TemporaryFile() as file, Pair() as pair:
        file.write(b"skip" + b"x" * 100_000)
        file.seek(4)
        pair.upload().run(b"head", payload(file))
        assert pair.got() == b"head" + b"x" * 100_000
        assert file.tell() == 100_004


def test_an_error_of_sendfile_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(os, "sendfile", fail)
    with tempfile.TemporaryFile() as file, Pair() as pair:
        file.write(b"abc")
        file.seek(0)
        with pytest.raises(ConnectionResetError):
            pair.upload().run(b"", payload(file))


def test_a_file_reaches_nobody_who_got_the_sockets_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread closes the socket as sendfile begins, and opens another, which gets its descriptor's number."""
    usual = os.sendfile
    other, others_end = socket.socketpair()

    def sendfile(*words: Any) -> int:
        number = pair.sock.fileno()
        pair.sock.close()
        os.dup2(other.fileno(), number)
        try:
            return usual(*words)
        finally:
            os.close(number)

    monkeypatch.setattr(os, "sendfile", sendfile)
    monkeypatch.setattr(upload_module, "SENDFILE_BYTES", 10)
    with tempfile.TemporaryFile() as file, Pair() as pair, other, others_end:
        file.write(b"the bytes of a file")
        file.seek(0)
        others_end.setblocking(False)
        with pytest.raises(OSError, match="Bad file descriptor"):
            pair.upload().run(b"head ", payload(file))
        with pytest.raises(BlockingIOError):
            others_end.recv(100)


def test_a_file_is_read_where_no_further_descriptor_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", fail)
    with tempfile.TemporaryFile() as file, Pair() as pair:
        file.write(b"the bytes of a file")
        file.seek(4)
        pair.upload().run(b"head ", payload(file))
        assert pair.got() == b"head bytes of a file"


@pytest.mark.parametrize("is_late", [False, True])
def test_a_socket_that_is_closed_already_fails_as_a_send_would(is_late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed by another thread, before or after the look at it: select's own error is none that callers know."""
    pollers = upload_module._pollers

    def closed(sock: socket.socket) -> Any:
        pair.sock.close()
        return pollers(sock)

    with Pair() as pair:
        if is_late:
            monkeypatch.setattr(upload_module, "_pollers", closed)
        else:
            pair.sock.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            pair.upload().run(b"head", payload(b"abc"))


class Wanting(socket.socket):
    """A socket that, as TLS does, wants to write or read before it goes on, and takes few bytes."""

    wants: Iterator[str] = iter(())

    def send(self, data: Any, flags: int = 0) -> int:
        for name in self.wants:
            raise getattr(ssl, name)
        return super().send(bytes(data)[:1000])


def test_tls_that_wants_to_write_or_read_first_is_let() -> None:
    with Pair() as pair:
        sock = Wanting(fileno=pair.sock.detach())
        sock.wants = iter(["SSLWantWriteError", "SSLWantReadError", "SSLWantWriteError"])
        pair.sock = sock
        pair.peer.sendall(b"xyz")
        heard: list[bytes] = []
        upload = Upload(sock, lambda: 5.0, lambda: bool(heard.append(sock.recv(1))))
        upload.run(b"head", payload(bytes(70_000), chunked=True))
        assert b"".join(heard) == b"xyz"
        assert upload.sent == len(b"head") + len(b"11170\r\n") + 70_000 + len(b"\r\n0\r\n\r\n")
        assert len(pair.got()) == upload.sent


class Silent(socket.socket):
    """As gevent's TLS socket: where it would block it raises nothing, it gives 0."""

    calls = 0

    def send(self, data: Any, flags: int = 0) -> int:
        self.calls += 1
        assert self.calls < 10_000, "asked again and again without a wait"
        try:
            return super().send(data, flags)
        except BlockingIOError:
            return 0


def test_a_socket_that_takes_nothing_is_waited_for() -> None:
    with Pair() as pair:
        pair.sock = sock = Silent(fileno=pair.sock.detach())
        with pytest.raises(TimeoutError):
            pair.upload(wait_s=0.01).run(b"", payload(iter([bytes(32 << 20)])))
        assert 0 < sock.calls < 1000


class Stream:
    """TLS in TLS: no socket, but it has what one sends with."""

    def __init__(self) -> None:
        self.sent = b""
        self.timeouts: list[float | None] = [None]

    def gettimeout(self) -> float | None:
        return self.timeouts[-1]

    def settimeout(self, value: float | None) -> None:
        self.timeouts.append(value)

    def fileno(self) -> int:
        return 0

    def sendall(self, data: bytes) -> None:
        self.sent += data


def test_a_stream_that_is_no_socket_gets_all_by_sendall() -> None:
    stream = Stream()
    upload = Upload(stream, lambda: 3.0, lambda: True)
    upload.run(b"head ", payload(iter([b"abc", bytes(70_000)])))
    assert stream.sent == b"head 3\r\nabc\r\n11170\r\n" + bytes(70_000) + b"\r\n0\r\n\r\n"
    assert (upload.sent, stream.timeouts) == (len(stream.sent), [None, 3.0, None])


# Corners


def test_a_block_size_that_was_asked_for_is_kept_to() -> None:
    """urllib3's default is nobody's wish; any other number is how much is read from a file at a time."""
    sizes: list[int] = []

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            sizes.append(-1 if size is None else size)
            return super().read(size)

    for asked, read in ((4096, 4096), (upload_module.URLLIB3_BLOCK_BYTES, upload_module.READ_BYTES)):
        sizes.clear()
        made = payload_for("POST", File(bytes(5000)), NO_FIELDS, False, asked)
        assert b"".join(bytes(piece) for piece in made.pieces) == bytes(5000)
        assert set(sizes) == {read}


def test_a_file_that_grows_while_it_is_read_is_sent_as_announced() -> None:
    """Where its bytes are read, not sent by the kernel: a file in memory."""
    file = io.BytesIO(b"first")
    made = payload(file)
    file.seek(0, io.SEEK_END)
    file.write(b" and more")
    file.seek(0)
    with Pair() as pair:
        pair.upload().run(b"head ", made)
        assert pair.got() == b"head first"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_pieces_of_any_kind_follow_the_head(kind: Any) -> None:
    """And pieces of nothing send nothing, not even the head alone before its time."""
    pieces = iter([kind(b""), kind(b"abc"), kind(b"def")])
    with Pair() as pair:
        pair.upload().run(b"head ", payload(pieces, {"Content-Length": "6"}))
        assert pair.got() == b"head abcdef"
    with Pair() as pair:
        pair.upload().run(b"head ", payload(iter([kind(b"abc"), kind(b""), kind(b"d")])))
        assert pair.got() == b"head 3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"


def test_a_body_of_no_pieces_is_the_head_alone() -> None:
    with Pair() as pair:
        pair.upload().run(b"head ", payload(iter([]), {"Content-Length": "0"}))
        assert pair.got() == b"head "


def test_sendfile_goes_on_after_a_full_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel found no room although the socket had said so."""
    usual, refusals = os.sendfile, [BlockingIOError(), BlockingIOError()]

    def sendfile(*words: Any) -> int:
        if refusals:
            raise refusals.pop()
        return usual(*words)

    monkeypatch.setattr(os, "sendfile", sendfile)
    with tempfile.TemporaryFile() as file, Pair() as pair:
        file.write(b"the bytes of a file")
        file.seek(4)
        pair.upload().run(b"head ", payload(file))
        assert pair.got() == b"head bytes of a file"


def test_without_sendfile_a_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sendfile")
    with tempfile.TemporaryFile() as file, Pair() as pair:
        assert plain_file(file) is None
        file.write(b"the bytes of a file")
        file.seek(4)
        pair.upload().run(b"head ", payload(file))
        assert (pair.got(), file.tell()) == (b"head bytes of a file", 19)


def wanting(pair: Pair, *wants: str) -> socket.socket:
    """The pair's socket, which wants that of TLS first."""
    sock = Wanting(fileno=pair.sock.detach())
    sock.wants = iter(wants)
    pair.sock = sock
    return sock


def test_tls_that_waits_for_bytes_in_vain_gives_up_in_time() -> None:
    with Pair() as pair:
        sock = wanting(pair, "SSLWantReadError")
        with pytest.raises(TimeoutError, match="TLS waits for"):
            Upload(sock, lambda: 0.01, lambda: False).run(b"head", payload(bytes(10), chunked=True))


def test_an_answer_that_comes_where_tls_waits_for_bytes_ends_the_sending() -> None:
    with Pair() as pair:
        sock = wanting(pair, "SSLWantReadError")
        pair.peer.sendall(b"HTTP/1.1 413")
        answers = iter([False, True])  # nothing yet at the first look, the answer when TLS asks
        with pytest.raises(AnsweredEarly):
            Upload(sock, lambda: 5.0, lambda: next(answers)).run(b"head", payload(bytes(10), chunked=True))


def test_a_piece_of_nothing_is_never_a_chunk() -> None:
    """It would end the body (RFC 9112 section 7.1); by whatever way it got there."""
    wanted = b"head 1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
    pieces = [b"a", b"", memoryview(b""), b"b"]
    for ready in (False, True):
        with Pair() as pair:
            pair.upload().run(b"head ", Payload(pieces, None, ready))
            assert pair.got() == wanted
    sent: list[bytes] = []
    httpclient_hooks._send_body(types.SimpleNamespace(send=sent.append, request_options=None), Payload(pieces, None))
    assert b"head " + b"".join(sent) == wanted


def test_several_parts_leave_in_one_call_and_one_part_by_send() -> None:
    calls: list[tuple[str, int]] = []

    class Sock:
        def send(self, view: memoryview) -> int:
            calls.append(("send", 1))
            return len(view)

        def sendmsg(self, views: list[memoryview]) -> int:
            calls.append(("sendmsg", len(views)))
            return sum(map(len, views))

    upload = Upload.__new__(Upload)
    sock: Any = Sock()
    upload._sock, upload._sendmsg = sock, sock.sendmsg
    assert upload._send_some([memoryview(b"ab"), memoryview(b"c")]) == 3
    assert upload._send_some([memoryview(b"ab")]) == 2
    assert calls == [("sendmsg", 2), ("send", 1)]


def test_blocks_may_be_as_small_as_a_byte() -> None:
    pieces = payload_for("POST", io.StringIO("ab"), NO_FIELDS, False, 1).pieces
    assert list(pieces) == [b"a", b"b"]
    with pytest.raises(ValueError, match="blocksize"):
        payload_for("POST", io.StringIO("ab"), NO_FIELDS, False, 0)


def test_a_chunk_of_numbers_is_as_long_as_its_bytes() -> None:
    near, far = socket.socketpair()
    with near, far:
        numbers = array.array("I", [1, 2])
        pieces = iter([numbers, b"ab"])
        Upload(near, lambda: None, lambda: False)._send_chunked(b"", payload(pieces, chunked=True))
        sent = b"8\r\n" + numbers.tobytes() + b"\r\n2\r\nab\r\n0\r\n\r\n"
        assert far.recv(1000) == sent
