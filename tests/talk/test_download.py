"""download(): through cuts, changes and calls, and never a wrong byte."""

from __future__ import annotations

import io
import os
import pathlib
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from poollib import PoolManager
from poollib.downloads import download
from poollib.exceptions import HTTPError, ProtocolError, ResponseError
from tests.support.script import Connection, ScriptServer, Step, expect_request, respond, send

DATA = random.Random(4).randbytes(1_000_003)
ETAG = 'ETag: "one"'


class File:
    """A server's file: answers Range and If-Range, and cuts each answer where `cut` says (None: not at all)."""

    def __init__(self, data: bytes = DATA, cut: Callable[[int], int | None] = lambda n: None, etag: str = ETAG) -> None:
        self.data, self.cut, self.etag = data, cut, etag
        self.ranges: list[str] = []

    def script(self) -> list[Step]:
        return [expect_request(), self.serve]

    def serve(self, connection: Connection) -> None:
        head = bytes(connection.received).decode("latin-1").rpartition("GET /")[2]
        asked = re.search(r"\r\nRange: bytes=(\d+)-\r\n", head)
        wanted = re.search(r"\r\nIf-Range: (.*)\r\n", head)
        self.ranges.append(asked[1] if asked else "")
        start = int(asked[1]) if asked and wanted and self.etag.endswith(wanted[1]) else 0
        size = len(self.data)
        if start >= size:
            connection.send(f"HTTP/1.1 416 No\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        lines = ["HTTP/1.1 200 OK"]
        if start:
            lines = ["HTTP/1.1 206 Partial", f"Content-Range: bytes {start}-{size - 1}/{size}"]
        lines += [f"Content-Length: {size - start}", self.etag]
        body = self.data[start:]
        end = self.cut(len(body))
        connection.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body if end is None else body[:end]))
        if end is not None:
            connection.close()


def cuts(count: int, seed: int) -> Callable[[int], int | None]:
    """Cut `count` answers at random places, some before the first byte of the body."""
    rng, left = random.Random(seed), [count]

    def cut(size: int) -> int | None:
        left[0] -= 1
        return None if left[0] < 0 else rng.choice([0, 1, rng.randrange(size // 4 + 1), rng.randrange(size // 8 + 1)])

    return cut


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["path", "file"])
def test_ten_cuts_at_random_places_leave_the_file_byte_identical(tmp_path: pathlib.Path, seed: int, kind: str) -> None:
    file = File(cut=cuts(10, seed))
    told: list[tuple[int, int | None]] = []
    with ScriptServer(file.script(), repeat=True) as server, PoolManager(retries=False) as manager:
        target: Any = tmp_path / "target" if kind == "path" else io.BytesIO()
        done = download(server.url, target, manager=manager, progress=lambda at, total: told.append((at, total)))
    assert (tmp_path / "target").read_bytes() == DATA if kind == "path" else target.getvalue() == DATA
    assert (done.size_bytes, done.attempts, done.headers["etag"]) == (len(DATA), 11, '"one"')
    assert told[-1] == (len(DATA), len(DATA))
    assert [at for at, _ in told] == sorted(at for at, _ in told)
    assert os.listdir(tmp_path) == (["target"] if kind == "path" else [])
    assert len(set(file.ranges)) > 3


def test_a_file_that_changes_in_between_begins_anew(tmp_path: pathlib.Path) -> None:
    """If-Range: the server sends the whole new version, and nothing of the old one stays."""
    old = File(cut=lambda size: 500_000)
    new = File(DATA[::-1], etag='ETag: "two"')
    with ScriptServer(old.script(), new.script()) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA[::-1]
    assert new.ranges == ["500000"]


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/1000003",
        "HTTP/1.1 206 P\r\nContent-Range: bytes 500000-500009/7",
        'HTTP/1.1 206 P\r\nContent-Range: bytes 500000-500009/*\r\nETag: "two"',
        "HTTP/1.1 206 P\r\nContent-Range: items 500000-500009/1000003",
        "HTTP/1.1 206 P",
        "HTTP/1.1 416 No\r\nContent-Range: bytes */1000003",
        "HTTP/1.1 416 No",
    ],
)
def test_a_range_that_was_not_asked_for_is_not_believed(tmp_path: pathlib.Path, head: str) -> None:
    file = File(cut=lambda size: 500_000)
    odd = send(head.encode() + b"\r\nContent-Length: 10\r\n\r\n0123456789")
    second, third = [expect_request(), odd], File().script()
    scripts = (
        [[*second, *third]] if " 416 " in head else [second, third]
    )  # an error's body is drained, its connection kept
    with ScriptServer(file.script(), *scripts) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA


def test_a_range_shorter_than_asked_for_is_taken_and_the_rest_asked_for(tmp_path: pathlib.Path) -> None:
    """RFC 9110 section 14.2: a server may send less."""
    file = File(cut=lambda size: 500_000)
    some = (
        b"HTTP/1.1 206 P\r\nContent-Range: bytes 500000-599999/1000003\r\nContent-Length: 100000\r\n\r\n"
        + DATA[500_000:600_000]
    )
    rest = File()
    with ScriptServer(file.script(), [expect_request(), send(some), expect_request(), rest.serve]) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA


@pytest.mark.parametrize("etag", ['ETag: W/"weak"', "X-None: 1", "Last-Modified: Sat, 21 Nov 2026 09:00:00 GMT"])
def test_without_a_strong_validator_a_cut_begins_anew(tmp_path: pathlib.Path, etag: str) -> None:
    """RFC 9110 section 13.1.5: two versions could be joined."""
    first, second = File(cut=lambda size: 500_000, etag=etag), File(DATA[::-1], etag=etag)
    with ScriptServer(first.script(), second.script()) as server:
        download(server.url, tmp_path / "target")
    assert second.ranges == [""]
    assert (tmp_path / "target").read_bytes() == DATA[::-1]


def test_an_old_date_is_a_strong_validator(tmp_path: pathlib.Path) -> None:
    date = "Date: Sat, 21 Nov 2026 09:00:05 GMT\r\nLast-Modified: Sat, 21 Nov 2026 09:00:00 GMT"
    first, second = File(cut=lambda size: 500_000, etag=date), File(etag=date)
    with ScriptServer(first.script(), second.script()) as server:
        download(server.url, tmp_path / "target")
    assert second.ranges == ["500000"]
    assert (tmp_path / "target").read_bytes() == DATA


def test_a_later_call_goes_on_where_the_first_was_interrupted(tmp_path: pathlib.Path) -> None:
    def stop(at: int, total: int | None) -> None:
        if at > 300_000:
            raise KeyboardInterrupt

    first, second = File(), File()
    with ScriptServer(first.script(), second.script()) as server:
        with pytest.raises(KeyboardInterrupt):
            download(server.url, tmp_path / "target", progress=stop)
        assert sorted(os.listdir(tmp_path)) == ["target.part", "target.part.note"]
        download(server.url, tmp_path / "target")
    assert int(second.ranges[0]) > 300_000
    assert (tmp_path / "target").read_bytes() == DATA
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.parametrize("change", ["url", "resume", "note", "part"])
def test_a_part_that_may_be_anothers_is_not_gone_on_with(tmp_path: pathlib.Path, change: str) -> None:
    (tmp_path / "target.part").write_bytes(b"x" * 10)
    with ScriptServer(File().script()) as server:
        url = "http://example.org/" if change == "url" else server.url
        (tmp_path / "target.part.note").write_text("garbage" if change == "note" else f'{url}\n"one"\n1000003\n')
        if change == "part":
            (tmp_path / "target.part.note").unlink()
        download(server.url, tmp_path / "target", resume=change != "resume")
    assert (tmp_path / "target").read_bytes() == DATA
    assert os.listdir(tmp_path) == ["target"]


def test_a_part_that_is_whole_already_needs_no_byte_more(tmp_path: pathlib.Path) -> None:
    (tmp_path / "target.part").write_bytes(DATA)
    with ScriptServer(File().script()) as server:
        (tmp_path / "target.part.note").write_text(f'{server.url}\n"one"\n{len(DATA)}\n')
        assert download(server.url, tmp_path / "target").attempts == 1
    assert (tmp_path / "target").read_bytes() == DATA


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "416 No"])
def test_a_status_without_a_file_is_an_error_and_leaves_nothing(tmp_path: pathlib.Path, status: str) -> None:
    (tmp_path / "target").write_bytes(b"the old one")
    with ScriptServer([expect_request(), respond(b"" if status[0] == "2" else b"no", status)]) as server:
        with pytest.raises(ResponseError, match=status[:3]):
            download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"the old one"
    assert os.listdir(tmp_path) == ["target"]


def test_without_resume_the_first_cut_is_raised_and_the_old_file_stays(tmp_path: pathlib.Path) -> None:
    (tmp_path / "target").write_bytes(b"the old one")
    with ScriptServer(File(cut=lambda size: 10, etag="A: b").script()) as server, PoolManager(retries=False) as manager:
        with pytest.raises(ProtocolError):
            download(server.url, tmp_path / "target", manager=manager, resume=False)
    assert os.listdir(tmp_path) == ["target"]


def test_attempts_that_bring_nothing_new_end(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("poollib.downloads.time.sleep", pauses.append)
    file = File(cut=lambda size: 0)
    with ScriptServer(file.script(), repeat=True) as server, PoolManager(retries=False) as manager:
        with pytest.raises(HTTPError):
            download(server.url, tmp_path / "target", manager=manager)
    assert len(file.ranges) == 5
    assert pauses == [0.1, 0.2, 0.4]


def test_a_coded_body_is_decoded_and_never_joined(tmp_path: pathlib.Path) -> None:
    import gzip

    coded = gzip.compress(DATA)
    etag = ETAG + "\r\nContent-Encoding: gzip"
    first, second = File(coded, cut=lambda size: 500_000, etag=etag), File(coded, etag=etag)
    with ScriptServer(first.script(), second.script()) as server:
        download(server.url, tmp_path / "target", headers={"Accept-Encoding": "gzip"})
    assert second.ranges == [""]
    assert (tmp_path / "target").read_bytes() == DATA


def test_a_file_that_can_not_seek_can_go_on_but_not_begin_anew() -> None:
    class Sink(io.RawIOBase):
        got = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.got += bytes(data[:1000])
            return min(1000, len(data))

    small = DATA[:5000]
    with ScriptServer(File(small, cut=lambda size: 3000).script(), File(small).script()) as server:
        sink = Sink()
        download(server.url, sink)
    assert sink.got == small
    first, second = File(small, cut=lambda size: 3000), File(small, etag='ETag: "two"')
    with ScriptServer(first.script(), second.script()) as server:
        with pytest.raises(OSError, match="can't seek"):
            download(server.url, Sink())


def test_a_part_that_grew_longer_than_the_file_begins_anew(tmp_path: pathlib.Path) -> None:
    """A server that sends more than the range it names: what was joined is thrown away, not kept."""
    lengthy = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 8\r\n"
    whole = [send(f"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n{ETAG}\r\n\r\n".encode())]
    with ScriptServer(
        [expect_request(), *whole, send(b"01234"), lambda connection: connection.close()],
        [expect_request(), send(lengthy + f"{ETAG}\r\n\r\n".encode() + b"56789abc"), expect_request(), *whole,
         send(b"0123456789")],
    ) as server:  # fmt: skip
        done = download(server.url + "/f", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"0123456789"
    assert (done.size_bytes, done.attempts) == (10, 3)
    assert b"Range: bytes=5-" in server.received[1]
    assert b"Range" not in server.received[1].split(b"GET /f")[2]
    assert os.listdir(tmp_path) == ["f"]


def test_a_folder_that_is_not_there_costs_no_request(tmp_path: pathlib.Path) -> None:
    """The file's error as it comes, before anything is asked for."""
    with ScriptServer() as server, pytest.raises(FileNotFoundError):
        download(server.url + "/f", tmp_path / "none" / "f")
    assert server.opened == 0
