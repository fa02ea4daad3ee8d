"""Records of the rooms: below one logger, which is silent until somebody listens."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from poollib import logs

FOLDER = Path(logs.__file__).parent
ROOMS = {str(file.relative_to(FOLDER).with_suffix("")).replace("/", "."): file for file in FOLDER.rglob("*.py")}


def test_a_room_that_nobody_listens_to_prints_nothing() -> None:
    """`logging` prints warnings on standard error where no handler is found, and a room may be imported alone."""
    program = "import poollib.retry; poollib.retry.log.warning('heard by nobody')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_listening_to_the_package_is_listening_to_all_rooms(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "poollib"):
        logs.logger("poollib.retry").warning("heard")
    assert caplog.messages == ["heard"]


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"logs", "shortcuts", "compat.__init__"}))
def test_rooms_take_their_loggers_from_one_place(room: str) -> None:
    """The exceptions: what adds a handler for the user, and what stands in urllib3's place."""
    assert not re.search(r"\bgetLogger\(", ROOMS[room].read_text())
