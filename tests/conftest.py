"""What holds for every test: nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.leaks import Snapshot, leaked


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a socket or a pipe; `@pytest.mark.may_leave("why")` lets it."""
    before = Snapshot()
    yield
    if request.node.get_closest_marker("may_leave") is None and (rows := leaked(before)):
        pytest.fail("left behind: " + "; ".join(rows), pytrace=False)
