"""Where bodies go: one name for each request, no way out of the folder, whole or not there."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import pytest

from poollib.bulk.body_files import Folder
from poollib.bulk.requests import BulkRequest


@pytest.mark.parametrize(
    ("url", "start", "end"),
    [
        ("http://example.com/a/report.pdf?x=1", "example.com/report-", ".pdf"),
        ("http://example.com:8080/", "example.com_8080/index-", ""),
        ("http://example.com", "example.com/index-", ""),
        ("http://example.com/..%2f..%2fetc/passwd", "example.com/passwd-", ""),
        ("http://example.com/..%2f..%2f.netrc", "example.com/_.._-", ".netrc"),
        ("http://[::1]/.hidden", "_1/hidden-", ""),
        ("http://example.com/" + "n" * 500 + ".txt", "example.com/" + "n" * 80 + "-", ".txt"),
    ],
)
def test_a_name_says_where_it_is_from(tmp_path: pathlib.Path, url: str, start: str, end: str) -> None:
    path = pathlib.Path(Folder(str(tmp_path)).path_of(BulkRequest(url))).relative_to(tmp_path).as_posix()
    assert path.startswith(start)
    assert path.endswith(end)
    assert len(path) == len(start) + 16 + len(end)


def test_requests_that_differ_have_files_of_their_own(tmp_path: pathlib.Path) -> None:
    url = "http://example.com/x"
    requests = [
        BulkRequest(url),
        BulkRequest(url + "?a"),
        BulkRequest(url, "POST", body=b"1"),
        BulkRequest(url, "POST", body=b"2"),
        BulkRequest(url, headers={"Accept-Language": "en"}),
    ]
    assert len({Folder(str(tmp_path)).path_of(request) for request in requests}) == 5
    assert Folder("x").path_of(BulkRequest(url, tag=1)) == Folder("x").path_of(BulkRequest(url))


def test_a_body_that_breaks_off_leaves_no_file(tmp_path: pathlib.Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    folder, request = Folder(str(tmp_path)), BulkRequest("http://a/1")
    with folder.held():
        folder.store(request, [b"old"])
        with pytest.raises(ConnectionResetError):
            folder.store(request, broken())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in files] == [b"old"]


def test_what_a_killed_run_left_among_the_parts_goes(tmp_path: pathlib.Path) -> None:
    folder = Folder(str(tmp_path))
    left = tmp_path / ".parts" / "half"
    with folder.held():
        left.write_bytes(b"x")
    with folder.held():
        assert not left.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no flock there")
def test_what_another_run_is_writing_stays(tmp_path: pathlib.Path) -> None:
    """Two runs with a journal each and one folder: the second took the first one's parts for a killed run's."""
    folder, part = Folder(str(tmp_path)), tmp_path / ".parts" / "under way"
    with folder.held():
        part.write_bytes(b"x")
        with Folder(str(tmp_path)).held():
            assert part.exists()
    with folder.held():
        assert not part.exists()
