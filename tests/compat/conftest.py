"""Libraries written for urllib3, run unmodified on poollib; this group has an environment of its own.

    python -m venv env && env/bin/pip install -r tests/compat/requirements.txt
    env/bin/python -m poollib as-urllib3 -m pytest tests/compat

Started otherwise, as by a plain ``pytest``, the group is left out: who has imported urllib3 goes on with that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.support.certs import Certs, certs
from tests.support.httpd import Httpd


@pytest.fixture
def server() -> Iterator[Httpd]:
    """A server that echoes requests as JSON; routes may be added."""
    with Httpd() as httpd:
        yield httpd


@pytest.fixture(scope="session")
def authority() -> Certs:
    """Certificates for servers and clients."""
    return certs()


if not getattr(sys.modules.get("urllib3"), "__spec__", None) or "poollib" not in repr(sys.modules["urllib3"].__spec__):
    collect_ignore_glob = ["test_*.py"]
else:

    def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
        """Say which urllib3 it was that ran."""
        import urllib3.connectionpool

        terminalreporter.write_line(f"urllib3.connectionpool was {urllib3.connectionpool.__file__}")
