"""What the tests of faults share."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.faults.exchanges import Scene
from tests.faults.peers import LARGE, Peers
from tests.support.certs import certs


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The peers of all exchanges, and a file to send."""
    file = tmp_path_factory.mktemp("faults") / "body"
    file.write_bytes(LARGE)
    with Peers(certs().pair().both_file) as ports:
        yield Scene(ports, pathlib.Path(file))
