"""Tests that urllib3 passes as well: what they say is not ours to choose. `.ci/run` runs them on both.

    env/bin/python -m pytest tests/compat/both
    env/bin/python -m poollib as-urllib3 -m pytest tests/compat/both

A plain ``pytest``, which has not got the libraries, leaves them out: it reads another configuration file.
"""

from __future__ import annotations

import pathlib
import ssl
from collections.abc import Iterator

import pytest

from tests.support.certs import Certs
from tests.support.httpd import Httpd


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """True where the group was not started as one, with the configuration of its own."""
    return True if config.inipath is None or config.inipath.name != "pytest.ini" else None


@pytest.fixture
def tls_server(authority: Certs) -> Iterator[Httpd]:
    """A server whose certificate, for localhost, the authority signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.pair("localhost", "127.0.0.1")
    context.load_cert_chain(pair.cert_file, pair.key_file)
    with Httpd(tls=context) as httpd:
        yield httpd


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither authorities nor proxies come from the environment: requests would prefer them to a session's."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
