"""An https proxy with a private authority is believed if the program names that authority, and never unverified.

urllib3's rule without a ``proxy_ssl_context``: the target's authorities hold for the proxy. Its CERT_NONE does not.
"""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from poollib import PoolManager, ProxyManager
from poollib.exceptions import ProxyError
from tests.support.certs import certs
from tests.support.script import ScriptServer, Step, expect_head, expect_request, respond, send

FORWARDED: list[Step] = [expect_request(), respond(b"through")]
REFUSED: list[Step] = [expect_head(), send(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")]


def authorities() -> dict[str, dict[str, Any]]:
    return {
        "ca_certs": {"ca_certs": certs().ca_file},
        "ca_cert_data": {"ca_cert_data": pathlib.Path(certs().ca_file).read_text()},
        "and an unverified target": {"ca_certs": certs().ca_file, "cert_reqs": "CERT_NONE"},
    }


@pytest.mark.parametrize("kind", [ProxyManager, PoolManager])
@pytest.mark.parametrize("named", ["ca_certs", "ca_cert_data", "and an unverified target"])
def test_a_proxy_is_verified_by_the_authorities_of_the_program(named: str, kind: type[PoolManager]) -> None:
    """For what it forwards, and for tunnels: there, its refusal shows that it was reached."""
    with ScriptServer(FORWARDED, REFUSED, tls=certs().server()) as proxy:
        url = f"https://localhost:{proxy.port}"
        options = {**authorities()[named], "retries": False, "timeout": 5.0}
        with kind(url, **options) if kind is ProxyManager else kind(proxies=url, **options) as manager:
            assert manager.request("GET", "http://target.example/").data == b"through"
            with pytest.raises(ProxyError, match="418"):
                manager.request("GET", "https://target.example/")


def test_a_proxy_whose_certificate_has_expired_is_no_question_of_authorities() -> None:
    with ScriptServer([], tls=certs().server(expired=True)) as proxy:
        url = f"https://localhost:{proxy.port}"
        with ProxyManager(url, ca_certs=certs().ca_file, retries=False, timeout=5.0) as manager:
            with pytest.raises(ProxyError, match="has expired") as refused:
                manager.request("GET", "https://target.example/")
    assert "proxy_ssl_context" not in str(refused.value)


@pytest.mark.parametrize("options", [{}, {"cert_reqs": "CERT_NONE"}])
@pytest.mark.parametrize("target", ["http://target.example/", "https://target.example/"])
def test_a_proxy_of_an_unknown_authority_is_refused_and_the_error_names_the_cure(
    target: str, options: dict[str, Any]
) -> None:
    with ScriptServer([], repeat=True, tls=certs().server()) as proxy:
        with ProxyManager(f"https://localhost:{proxy.port}", retries=False, timeout=5.0, **options) as manager:
            with pytest.raises(ProxyError, match=r"^\('Unable to connect to proxy.*proxy_ssl_context.*SSL_CERT_FILE"):
                manager.request("GET", target)
