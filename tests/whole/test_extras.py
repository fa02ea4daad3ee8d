"""Extras: each does what its name says, and each that an empty program needs is there by the name people try."""

from __future__ import annotations

import configparser
import os
import pathlib
import subprocess
import sys

import pytest

import poollib
from poollib.net.tls import CA_TRUSTSTORE
from tests.support.certs import certs
from tests.support.extras import PROGRAMS
from tests.support.httpd import Httpd, Response

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = {
    "idna": "idna",
    "truststore": "truststore",
    "brotli": "brotli",
    "cli": "rich",
    "prometheus": "prometheus_client",
    "opentelemetry": "opentelemetry.metrics",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_extra_does_what_its_name_says(name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    command = [sys.executable, str(ROOT / "tests" / "support" / "extras.py"), name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout.endswith(f"{name} works\n"), done.stderr


def test_every_extra_for_users_has_such_a_program_and_stands_in_the_page() -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    for_contributors = {"test", "dev", "docs", "release", "fuzz", "dask"}
    extras = set(config["options.extras_require"]) - for_contributors
    assert extras == set(PROGRAMS)
    page = (ROOT / "docs" / "install.rst").read_text(encoding="utf-8")
    assert [name for name in extras if f"poollib[{name}]" not in page] == []


def test_truststore_verifies_by_what_the_system_believes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package, whose context refuses to count its authorities. On Linux SSL_CERT_FILE is the system's word."""
    pytest.importorskip("truststore")
    if sys.platform in ("darwin", "win32"):
        pytest.skip("there the system itself would have to be told")
    with Httpd({"/": lambda request: Response(b"ok")}, tls=certs().server()) as server:
        url = f"https://localhost:{server.port}/"
        with (
            poollib.PoolManager(ca_certs=CA_TRUSTSTORE, retries=False) as manager,
            pytest.raises(poollib.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            manager.request("GET", url)
        monkeypatch.setenv("SSL_CERT_FILE", certs().ca_file)
        with poollib.PoolManager(ca_certs=CA_TRUSTSTORE, retries=False) as manager:
            assert manager.request("GET", url).data == b"ok"
