"""What is done already: whatever a killed run leaves is read as far as it is whole."""

from __future__ import annotations

import json
import pathlib

import pytest

from poollib.bulk.journal import Journal
from poollib.bulk.requests import BulkRequest, Result, key_of

ONE, TWO = BulkRequest("http://a/1"), BulkRequest("http://a/2")


def test_what_got_a_response_is_done_and_what_failed_is_not(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "journal")
    journal = Journal(path)
    journal.add(Result(ONE, 404))
    journal.add(Result(TWO, error=OSError("no way")))
    journal.close()
    again = Journal(path)
    assert again.is_done(key_of(ONE))
    assert not again.is_done(key_of(TWO))
    again.close()
    assert json.loads(pathlib.Path(path).read_text().splitlines()[1])["error"] == "OSError: no way"


def test_a_line_torn_anywhere_is_cut_off_and_the_others_count(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(str(path))
    for request in (ONE, TWO):
        journal.add(Result(request, 200))
    journal.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        again = Journal(str(path))
        assert again.is_done(key_of(ONE))
        assert not again.is_done(key_of(TWO))
        again.add(Result(TWO, 200))
        again.close()
        assert path.read_bytes() == whole


def test_without_resume_it_is_begun_anew(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "journal"
    for _ in range(2):
        journal = Journal(str(path), resume=False)
        assert not journal.is_done(key_of(ONE))
        journal.add(Result(ONE, 200))
        journal.close()
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("line", [b"my notes\n", b"[]\n{}\n", b'{"status": 200}\n', b'{"status": 1, "key": "x"}\n'])
def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: pathlib.Path, line: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(line)
    with pytest.raises(ValueError, match=r"journal, line 1: no line of a journal"):
        Journal(str(path))
    assert path.read_bytes() == line


def test_two_runs_do_not_write_to_one_journal(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("fcntl")
    path = str(tmp_path / "journal")
    journal = Journal(path)
    with pytest.raises(BlockingIOError, match="another run"):
        Journal(path, resume=False)
    journal.close()
    Journal(path).close()
