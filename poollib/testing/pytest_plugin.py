"""The fixture ``fake_http`` for pytest: a FakeTransport that every pool uses for the length of a test.

A project names this module in its ``pytest_plugins``; the transport is fetched when a test asks for the fixture. It is
no entry point: pytest rewrites every module of a distribution that has one, also where nobody uses the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .. import testing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .fake_transport import FakeTransport


@pytest.fixture
def fake_http() -> Iterator[FakeTransport]:
    """A FakeTransport in the place of all sockets of poollib's; at the end, every expected request must have come."""
    with testing.FakeTransport() as transport:
        yield transport
