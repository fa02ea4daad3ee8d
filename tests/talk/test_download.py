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
from poollib.exceptions import BlockedHostError, HTTPError, LocationParseError, ProtocolError, ResponseError
from poollib.extras.download import download
from tests.support.script import Connection, ScriptServer, Step, close, expect_request, respond, send
from tests.support.sleeps import own_sleeps

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


RANGE = "HTTP/1.1 206 P\r\nContent-Range: bytes 500000-500009/1000003"


@pytest.mark.parametrize(
    "head",
    [
        f"HTTP/1.1 206 P\r\n{ETAG}\r\nContent-Range: bytes 0-9/1000003",
        f"HTTP/1.1 206 P\r\n{ETAG}\r\nContent-Range: bytes 500000-500009/7",
        f"HTTP/1.1 206 P\r\n{ETAG}\r\nContent-Range: bytes 500000-500009/1000004",
        f"HTTP/1.1 206 P\r\n{ETAG}\r\nContent-Range: bytes 500000-499999/1000003",
        f"HTTP/1.1 206 P\r\n{ETAG}\r\nContent-Range: items 500000-500009/1000003",
        f"HTTP/1.1 206 P\r\n{ETAG}\r\nContent-Range: bytes 500000-500019/1000003",
        f"HTTP/1.1 206 P\r\n{ETAG}\r\nContent-Range: bytes 500000-500004/1000003",
        f"{RANGE}\r\n{ETAG}\r\nContent-Range: bytes 0-9/1000003",
        f"HTTP/1.1 206 P\r\n{ETAG}",
        f'{RANGE}\r\nETag: "two"',
        f'{RANGE}\r\nETag: W/"one"',
        RANGE,
        f"{RANGE}\r\nDate: Sat, 21 Nov 2026 09:00:05 GMT\r\nLast-Modified: Sat, 21 Nov 2026 09:00:00 GMT",
        f"{RANGE}\r\n{ETAG}\r\nContent-Encoding: gzip",
        f"{RANGE}\r\n{ETAG}\r\nContent-Type: multipart/byteranges; boundary=x",
        f"HTTP/1.1 200 OK\r\n{ETAG}\r\nContent-Range: bytes 500000-500009/1000003",
        "HTTP/1.1 416 No\r\nContent-Range: bytes */1000003",
        "HTTP/1.1 416 No",
    ],
)
def test_a_range_that_was_not_asked_for_is_not_believed(tmp_path: pathlib.Path, head: str) -> None:
    """RFC 9110 sections 14.4 and 15.3.7: one thing is wrong in each, and what came before is thrown away."""
    file = File(cut=lambda size: 500_000)
    odd = send(head.encode() + b"\r\nContent-Length: 10\r\n\r\n0123456789")
    again = File()
    second, third = [expect_request(), odd], again.script()
    scripts = (
        [[*second, *third]] if " 416 " in head else [second, third]
    )  # an error's body is drained, its connection kept
    with ScriptServer(file.script(), *scripts) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA
    assert again.ranges == [""]


@pytest.mark.parametrize("field", ["bytes 4-9/8", "bytes 4-3/8", "bytes 4-9/*"])
def test_a_range_that_no_file_can_have_is_not_believed(tmp_path: pathlib.Path, field: str) -> None:
    """RFC 9110 section 14.4; the file's size, and the range's length, nobody has said before."""
    first = f"HTTP/1.1 200 OK\r\n{ETAG}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n"
    second = f"HTTP/1.1 206 P\r\n{ETAG}\r\nContent-Range: {field}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    again = File()
    with ScriptServer(
        [expect_request(), send(first.encode()), close()], [expect_request(), send(second.encode())], again.script()
    ) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA
    assert again.ranges == [""]


def test_a_range_that_is_longer_than_it_says_is_thrown_away(tmp_path: pathlib.Path) -> None:
    """A chunked 206 within the file: its first bytes could be anything, too."""
    head = f"{RANGE}\r\n{ETAG}\r\nTransfer-Encoding: chunked\r\n\r\n"
    again = File()
    with ScriptServer(
        File(cut=lambda size: 500_000).script(),
        [expect_request(), send(head.encode() + b"b\r\n0123456789a\r\n0\r\n\r\n")],
        again.script(),
    ) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA
    assert again.ranges == [""]


def test_a_range_shorter_than_asked_for_is_taken_and_the_rest_asked_for(tmp_path: pathlib.Path) -> None:
    """RFC 9110 section 14.2: a server may send less; the unit's name may be written in any case (section 14.1)."""
    file = File(cut=lambda size: 500_000)
    head = f"HTTP/1.1 206 P\r\nContent-Range: Bytes 500000-599999/1000003\r\n{ETAG}\r\nContent-Length: 100000\r\n\r\n"
    rest = File()
    with ScriptServer(
        file.script(), [expect_request(), send(head.encode() + DATA[500_000:600_000]), expect_request(), rest.serve]
    ) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA
    assert rest.ranges == ["600000"]


@pytest.mark.parametrize("field", ["bytes 0-5/10", "bytes 4-9/10", "bytes 0-5/*", "bytes */10", "what"])
def test_a_200_with_a_part_of_the_file_is_not_taken_for_the_file(tmp_path: pathlib.Path, field: str) -> None:
    part = send(f"HTTP/1.1 200 OK\r\n{ETAG}\r\nContent-Range: {field}\r\nContent-Length: 6\r\n\r\n012345".encode())
    with ScriptServer([expect_request(), part], repeat=True) as server, pytest.raises(ProtocolError, match="range"):
        download(server.url, tmp_path / "target", resume=False)
    assert os.listdir(tmp_path) == []


def test_a_200_whose_range_is_the_whole_file_is_the_file(tmp_path: pathlib.Path) -> None:
    whole = send(b"HTTP/1.1 200 OK\r\nContent-Range: bytes 0-5/6\r\nContent-Length: 6\r\n\r\n012345")
    with ScriptServer([expect_request(), whole]) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"012345"


DATES = "Date: Sat, 21 Nov 2026 09:00:05 GMT\r\nLast-Modified: Sat, 21 Nov 2026 09:00:00 GMT"


@pytest.mark.parametrize(
    "etag",
    [
        'ETag: W/"weak"',
        "X-None: 1",
        "Last-Modified: Sat, 21 Nov 2026 09:00:00 GMT",
        "Date: Sat, 21 Nov 2026 09:00:00 GMT\r\nLast-Modified: Sat, 21 Nov 2026 09:00:00 GMT",
        f'ETag: W/"weak"\r\n{DATES}',
        f"ETag: unquoted\r\n{DATES}",
        'ETag: "one"\r\nETag: "two"',
    ],
)
def test_without_a_strong_validator_a_cut_begins_anew(tmp_path: pathlib.Path, etag: str) -> None:
    """RFC 9110 section 13.1.5: two versions could be joined; no date counts beside an entity tag."""
    first, second = File(cut=lambda size: 500_000, etag=etag), File(DATA[::-1], etag=etag)
    with ScriptServer(first.script(), second.script()) as server:
        download(server.url, tmp_path / "target")
    assert second.ranges == [""]
    assert (tmp_path / "target").read_bytes() == DATA[::-1]


def test_an_old_date_is_a_strong_validator(tmp_path: pathlib.Path) -> None:
    first, second = File(cut=lambda size: 500_000, etag=DATES), File(etag=DATES)
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


@pytest.mark.parametrize(
    "fields",
    [
        "Date: Sat, 21 Nov 2026 09:00:05 GMT\r\nLast-Modified: Sat, 21 Nov 2026 09:00:01 GMT",
        "Date: Sat, 21 Nov 2026 09:00:05 GMT",
        f'ETag: "new"\r\n{DATES}',
    ],
)
def test_a_range_of_another_date_is_not_joined(tmp_path: pathlib.Path, fields: str) -> None:
    """The server did not look at If-Range, and the file changed."""
    odd = send(f"{RANGE}\r\n{fields}\r\nContent-Length: 10\r\n\r\n0123456789".encode())
    again = File()
    with ScriptServer(
        File(cut=lambda size: 500_000, etag=DATES).script(), [expect_request(), odd], again.script()
    ) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA
    assert again.ranges == [""]


@pytest.mark.parametrize(
    ("fields", "second", "is_joined"),
    [
        (ETAG, "/one?sign=2", True),
        (ETAG, "/two?sign=1", False),
        (DATES, "/one?sign=1", True),
        (DATES, "/one?sign=2", False),
    ],
)
def test_a_validator_of_another_resource_proves_nothing(
    tmp_path: pathlib.Path, fields: str, second: str, is_joined: bool
) -> None:
    """RFC 9110 section 8.8.1: it is one resource's. A redirect may lead elsewhere each time; signed URLs differ in the
    query alone."""

    def moved(to: str, file: File) -> list[Step]:
        head = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        return [expect_request(), send(head.encode()), *file.script()]

    first, rest, again = File(cut=lambda size: 500_000, etag=fields), File(etag=fields), File(etag=fields)
    scripts = [moved("/one?sign=1", first), moved(second, rest)]
    if not is_joined:
        scripts.append(moved(second, again))
    with ScriptServer(*scripts) as server:
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA
    assert (rest.ranges, again.ranges) == (["500000"], [] if is_joined else [""])


def leave_part(url: str, target: pathlib.Path) -> None:
    """What an interrupted call leaves: about a quarter of the file, and the note."""

    def stop(at: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(url, target, progress=stop)


def test_what_an_interrupted_call_leaves_is_private_and_tells_no_secret(tmp_path: pathlib.Path) -> None:
    with ScriptServer(File().script()) as server:
        leave_part(server.url.replace("//", "//me:pass@") + "/f?token=t", tmp_path / "target")
    note = (tmp_path / "target.part.note").read_text()
    assert '"one"' in note
    for secret in ("me", "pass", "token", "127.0.0.1"):
        assert secret not in note
    if os.name == "posix":
        assert [os.stat(tmp_path / f"target{end}").st_mode & 0o777 for end in (".part", ".part.note")] == [0o600] * 2


def test_a_login_or_a_fragment_in_the_url_makes_it_no_other_file(tmp_path: pathlib.Path) -> None:
    """Neither is sent, and neither is kept, not even as a digest that a guess can be tried on."""
    rest = File()
    with ScriptServer(File().script(), rest.script()) as server:
        leave_part(server.url.replace("//", "//me:pass@") + "/f", tmp_path / "target")
        download(server.url + "/f#here", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA
    assert rest.ranges != [""]


def replace_part(target: pathlib.Path) -> None:
    (target.parent / "target.part").unlink()
    (target.parent / "target.part").write_bytes(b"x" * 10)


CHANGES: dict[str, Callable[[pathlib.Path], object]] = {
    "url": lambda target: None,
    "resume": lambda target: None,
    "another part": replace_part,
    "another note": lambda target: (target.parent / "target.part.note").write_text("garbage"),
    "no note": lambda target: (target.parent / "target.part.note").unlink(),
    "no part": lambda target: (target.parent / "target.part").unlink(),
    "a part for all": lambda target: (target.parent / "target.part").chmod(0o666),
    "a note for all": lambda target: (target.parent / "target.part.note").chmod(0o666),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_part_that_may_be_anothers_is_not_gone_on_with(tmp_path: pathlib.Path, change: str) -> None:
    again = File()
    with ScriptServer(File().script(), again.script()) as server:
        leave_part(server.url + ("/other" if change == "url" else ""), tmp_path / "target")
        CHANGES[change](tmp_path / "target")
        download(server.url, tmp_path / "target", resume=change != "resume")
    assert (tmp_path / "target").read_bytes() == DATA
    assert again.ranges == [""]
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.parametrize("name", ["target.part", "target.part.note"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_in_a_parts_place_is_not_written_through(
    tmp_path: pathlib.Path, name: str, link: Callable[[pathlib.Path, pathlib.Path], None]
) -> None:
    """Whoever may write to the folder could have another's file overwritten."""
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "victim").chmod(0o600)
    (tmp_path / "folder").mkdir()
    with ScriptServer(File().script(), File().script()) as server:
        leave_part(server.url, tmp_path / "folder/target")
        (tmp_path / "folder" / name).unlink()
        link(tmp_path / "victim", tmp_path / "folder" / name)
        download(server.url, tmp_path / "folder/target")
    assert (tmp_path / "folder/target").read_bytes() == DATA
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert os.listdir(tmp_path / "folder") == ["target"]


def test_two_downloads_to_one_path_never_leave_half_a_file(tmp_path: pathlib.Path) -> None:
    """The second one begins while the first is at work: it goes by a part of its own, and the first one says so."""
    with ScriptServer(File(etag="X: 1").script(), File(DATA[::-1]).script()) as server:

        def begin_another(at: int, total: int | None) -> None:
            if not (tmp_path / "seen").exists():
                (tmp_path / "seen").touch()
                leave_part(server.url + "/other", tmp_path / "target")
                (tmp_path / "target.part").write_bytes(b"half")

        with pytest.raises(FileExistsError, match="another download"):
            download(server.url, tmp_path / "target", progress=begin_another)
    assert not (tmp_path / "target").exists()
    assert (tmp_path / "target.part").read_bytes() == b"half"


def test_a_part_that_is_whole_already_needs_no_byte_more(tmp_path: pathlib.Path) -> None:
    def stop(at: int, total: int | None) -> None:
        if at == total:
            raise KeyboardInterrupt

    again = File()
    with ScriptServer(File().script(), again.script()) as server:
        with pytest.raises(KeyboardInterrupt):
            download(server.url, tmp_path / "target", progress=stop)
        assert download(server.url, tmp_path / "target").attempts == 1
    assert (tmp_path / "target").read_bytes() == DATA
    assert again.ranges == [str(len(DATA))]


@pytest.mark.parametrize("etag", ['ETag: "two"', 'ETag: W/"one"'])
def test_a_whole_part_of_an_old_version_begins_anew(tmp_path: pathlib.Path, etag: str) -> None:
    """The server did not look at If-Range; the new version is as long as the old one."""

    def stop(at: int, total: int | None) -> None:
        if at == total:
            raise KeyboardInterrupt

    refused = f"HTTP/1.1 416 No\r\nContent-Range: bytes */{len(DATA)}\r\n{etag}\r\nContent-Length: 0\r\n\r\n"
    with ScriptServer(
        File().script(), [expect_request(), send(refused.encode()), *File(DATA[::-1], etag=etag).script()]
    ) as server:
        with pytest.raises(KeyboardInterrupt):
            download(server.url, tmp_path / "target", progress=stop)
        download(server.url, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA[::-1]


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
    pauses = own_sleeps(monkeypatch)
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


def test_a_url_that_can_not_be_asked_for_is_not_tried_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = own_sleeps(monkeypatch)
    with pytest.raises(LocationParseError):
        download("http://[bad/", tmp_path / "f")
    with pytest.raises(LocationParseError):
        download("http://[bad/", io.BytesIO())
    with pytest.raises(BlockedHostError), PoolManager(allowed_hosts=["example.org"]) as manager:
        download("http://127.0.0.1:1/", io.BytesIO(), manager=manager)
    assert pauses == []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("headers", "sent"), [(None, b"X-Mine: 1\r\n"), ({"X-Other": "2"}, b"X-Other: 2\r\n"), ({}, b"")]
)
def test_the_managers_headers_are_sent_unless_others_are_given(headers: dict[str, str] | None, sent: bytes) -> None:
    """As a request of the manager's own does it."""
    with ScriptServer(File(b"small").script()) as server, PoolManager(headers={"X-Mine": "1"}) as manager:
        download(server.url, io.BytesIO(), manager=manager, headers=headers)
    assert re.findall(rb"X-\w+: .*\r\n", server.received[0]) == ([sent] if sent else [])


def test_a_folder_that_is_not_there_costs_no_request(tmp_path: pathlib.Path) -> None:
    """The file's error as it comes, before anything is asked for."""
    with ScriptServer() as server, pytest.raises(FileNotFoundError):
        download(server.url + "/f", tmp_path / "none" / "f")
    assert server.opened == 0
