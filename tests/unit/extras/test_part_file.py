"""Files beside a download's target: nobody else's is written to, read or published."""

from __future__ import annotations

import os
import pathlib
import stat
from collections.abc import Callable, Iterator

import pytest

from poollib.extras import part_file

posix = pytest.mark.skipif(os.name != "posix", reason="modes, owners and FIFOs are POSIX's")


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0o027)
    yield
    os.umask(old)


def test_a_new_file_takes_the_name_and_leaves_what_had_it(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "part")
    (tmp_path / "victim").write_bytes(b"precious")
    os.link(tmp_path / "victim", path)
    with part_file.create(path) as file:
        file.write(b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (tmp_path / "part").read_bytes() == b"new"


def test_what_is_laid_there_in_the_last_moment_is_not_written_to(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_file, "remove", lambda path: pathlib.Path(path).write_bytes(b"precious"))
    with pytest.raises(FileExistsError):
        part_file.create(str(tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == b"precious"


@posix
def test_a_new_file_is_its_owners_alone(tmp_path: pathlib.Path) -> None:
    with part_file.create(str(tmp_path / "part")) as file:
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600


def test_the_file_of_an_earlier_call_is_taken_as_it_is(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "part")
    with part_file.create(path) as file:
        file.write(b"old")
    taken = part_file.adopt(path)
    assert taken is not None
    with taken:
        assert taken.read() == b"old"


@posix
@pytest.mark.parametrize(
    "lay",
    [
        lambda path: None,
        lambda path: os.mkdir(path),
        lambda path: os.mkfifo(path, 0o600),
        lambda path: os.symlink(os.devnull, path),
        lambda path: os.symlink(path + "-victim", path),
        lambda path: os.link(path + "-victim", path),
        lambda path: os.close(os.open(path, os.O_CREAT, 0o644)),
        lambda path: os.close(os.open(path, os.O_CREAT, 0o620)),
        lambda path: os.close(os.open(path, os.O_CREAT, 0o602)),
    ],
    ids=["none", "folder", "fifo", "device", "symlink", "hard link", "read by all", "group", "all"],
)
def test_what_others_may_have_laid_there_is_not_taken(tmp_path: pathlib.Path, lay: Callable[[str], None]) -> None:
    part_file.create(str(tmp_path / "part-victim")).close()
    old = os.umask(0)
    try:
        lay(str(tmp_path / "part"))
    finally:
        os.umask(old)
    assert part_file.adopt(str(tmp_path / "part")) is None


@posix
def test_a_device_is_not_taken() -> None:
    status = os.stat_result((stat.S_IFCHR | 0o600, 1, 1, 1, os.geteuid(), 0, 0, 0, 0, 0))
    assert not part_file._is_private(status)


@posix
def test_another_users_file_is_not_taken(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part_file.create(str(tmp_path / "part")).close()
    monkeypatch.setattr("os.geteuid", lambda: os.stat(tmp_path / "part").st_uid + 1)
    assert part_file.adopt(str(tmp_path / "part")) is None


def test_a_link_is_not_taken_where_systems_follow_it(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every system has O_NOFOLLOW."""
    monkeypatch.setattr(part_file, "_GUARDS", 0)
    part_file.create(str(tmp_path / "victim")).close()
    os.symlink(tmp_path / "victim", tmp_path / "part")
    assert part_file.adopt(str(tmp_path / "part")) is None


def test_a_whole_file_gets_its_name(tmp_path: pathlib.Path) -> None:
    file = part_file.create(str(tmp_path / "part"))
    file.write(b"whole")
    part_file.publish(file, str(tmp_path / "part"), str(tmp_path / "target"))
    assert file.closed
    assert (tmp_path / "target").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["target"]


def test_what_is_at_the_parts_name_by_now_is_not_published(tmp_path: pathlib.Path) -> None:
    file = part_file.create(str(tmp_path / "part"))
    with file:
        part_file.create(str(tmp_path / "part")).close()
        with pytest.raises(FileExistsError):
            part_file.publish(file, str(tmp_path / "part"), str(tmp_path / "target"))
        os.unlink(tmp_path / "part")
        with pytest.raises(FileExistsError):
            part_file.publish(file, str(tmp_path / "part"), str(tmp_path / "target"))
    assert os.listdir(tmp_path) == []


@posix
@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(
    ("old", "mode"),
    [
        (lambda path: None, 0o640),
        (lambda path: os.close(os.open(path, os.O_CREAT, 0o600)), 0o600),
        (lambda path: os.symlink(path + "-victim", path), 0o640),
    ],
    ids=["none", "private", "symlink"],
)
def test_a_whole_file_has_the_mode_of_the_old_one_or_of_new_files(
    tmp_path: pathlib.Path, old: Callable[[str], None], mode: int
) -> None:
    (tmp_path / "target-victim").write_bytes(b"precious")
    (tmp_path / "part.new").write_bytes(b"left by a crash")
    old(str(tmp_path / "target"))
    part_file.publish(part_file.create(str(tmp_path / "part")), str(tmp_path / "part"), str(tmp_path / "target"))
    assert os.lstat(tmp_path / "target").st_mode & 0o777 == mode
    assert not (tmp_path / "target").is_symlink()
    assert (tmp_path / "target-victim").read_bytes() == b"precious"
