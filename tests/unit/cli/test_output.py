"""The file that a body is written to, interrupted at its worst moment."""

from __future__ import annotations

import os
import pathlib

import pytest

from poollib.cli.output import FileSink
from poollib.extras import part_file


def test_an_interrupt_while_the_file_is_made_leaves_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = part_file.create

    def interrupted(path: str) -> None:
        create(path).close()
        assert len(os.listdir(tmp_path)) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(part_file, "create", interrupted)
    sink = FileSink(str(tmp_path / "a"))
    with pytest.raises(KeyboardInterrupt):
        sink.write(b"body")
    sink.abandon()
    assert os.listdir(tmp_path) == []
