"""The fixture ``fake_http`` for pytest: a FakeTransport that every pool uses for the length of a test.

pytest imports this module at its start wherever poollib is installed, and so it imports nothing of poollib's but the
package's list of names; the transport is fetched when a test asks for the fixture.
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
