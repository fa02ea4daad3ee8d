"""TLS as nginx sees it: sessions that are resumed, client certificates, and settings that never share a session.

RFC 8446 section 2.2 (resumption), RFC 5077 (tickets); curl CVE-2016-5419, CVE-2022-27782, Go CVE-2025-68121. What was
resumed is read in nginx's own log (``$ssl_session_reused``).
"""

from __future__ import annotations

import pathlib
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from poollib import HTTPSConnectionPool
from tests.support.certs import PASSWORD, certs
from tests.support.nginx import WHY_SKIPPED, Nginx, find_nginx

pytestmark = pytest.mark.skipif(find_nginx() is None, reason=WHY_SKIPPED)

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture
def nginx(tmp_path: pathlib.Path) -> Iterator[Nginx]:
    pair = certs().pair()
    files = {"cert_file": pair.cert_file, "key_file": pair.key_file, "client_ca_file": certs().ca_file}
    with Nginx(tmp_path, **files) as server:
        yield server


def pool_for(port: int, **settings: Any) -> HTTPSConnectionPool:
    settings = {"ca_certs": certs().ca_file, "timeout": 5.0, **settings}
    return HTTPSConnectionPool("127.0.0.1", port, **settings)


def get_anew(pool: HTTPSConnectionPool, count: int) -> None:
    """So many requests, each on a connection of its own."""
    for number in range(count):
        assert pool.request("GET", f"/echo?n={number}").status == 200
        pool.refresh()


@pytest.mark.parametrize("version", VERSIONS)
def test_at_least_95_of_100_reconnects_are_resumed(version: str, nginx: Nginx) -> None:
    """What part 4 must show, as the server counts it: 101 connections, the first of which can't be resumed."""
    limits = {"ssl_minimum_version": VERSIONS[version], "ssl_maximum_version": VERSIONS[version]}
    with pool_for(nginx.tls, **limits) as pool:
        get_anew(pool, 101)
    rows = nginx.served(nginx.tls, 101)
    assert len({row.connection for row in rows}) == 101
    resumed = sum(row.resumed for row in rows[1:])
    assert resumed >= 95, f"{resumed} of 100"


def test_sessions_are_resumed_across_pools_with_the_same_wishes(nginx: Nginx) -> None:
    for _ in range(3):
        with pool_for(nginx.tls) as pool:
            get_anew(pool, 1)
    assert [row.resumed for row in nginx.served(nginx.tls, 3)] == [False, True, True]


@pytest.mark.parametrize(
    "other",
    [
        {"cert_reqs": "CERT_NONE"},
        {"assert_hostname": "localhost"},
        {"server_hostname": "localhost"},
        {"ssl_minimum_version": ssl.TLSVersion.TLSv1_3},
        {"ca_certs": None, "ca_cert_data": "ca"},
        {"client": True},
    ],
    ids=lambda other: next(iter(other)),
)
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_other_wishes_start_a_session_of_their_own(other: dict[str, Any], nginx: Nginx) -> None:
    """What was proved to one set of settings is not taken for another."""
    settings = dict(other)
    if settings.get("ca_cert_data"):
        settings["ca_cert_data"] = pathlib.Path(certs().ca_file).read_text()
    if settings.pop("client", False):
        settings.update(cert_file=certs().client().cert_file, key_file=certs().client().key_file)
    with pool_for(nginx.tls) as pool:
        get_anew(pool, 2)
    with pool_for(nginx.tls, **settings) as pool:
        get_anew(pool, 2)
    assert [row.resumed for row in nginx.served(nginx.tls, 4)] == [False, True, False, True]


def test_two_servers_at_one_address_share_no_session(nginx: Nginx) -> None:
    for port in (nginx.tls, nginx.mutual):
        client = certs().client()
        with pool_for(port, cert_file=client.cert_file, key_file=client.key_file) as pool:
            get_anew(pool, 1)
    assert [row.resumed for port in (nginx.tls, nginx.mutual) for row in nginx.served(port, 1)] == [False, False]


@pytest.mark.parametrize("kind", ["files", "memory", "encrypted"])
def test_a_client_certificate_is_shown_on_new_and_on_resumed_connections(kind: str, nginx: Nginx) -> None:
    client = certs().client()
    given: dict[str, Any] = {"cert_file": client.cert_file, "key_file": client.key_file}
    if kind == "memory":
        given = {name: pathlib.Path(path).read_bytes() for name, path in given.items()}
    elif kind == "encrypted":
        given.update(key_file=certs().encrypted_key_file, key_password=PASSWORD)
    with pool_for(nginx.mutual, **given) as pool:
        get_anew(pool, 3)
    rows = nginx.served(nginx.mutual, 3)
    assert [row.status for row in rows] == [200, 200, 200]
    assert [row.resumed for row in rows] == [False, True, True]


def test_without_the_client_certificate_no_resumed_session_helps(nginx: Nginx) -> None:
    """CVE-2016-5419: a session of a connection with a certificate is not resumed for one without."""
    client = certs().client()
    with pool_for(nginx.mutual, cert_file=client.cert_file, key_file=client.key_file) as pool:
        get_anew(pool, 2)
    with pool_for(nginx.mutual, retries=False) as pool:
        for _ in range(2):
            assert pool.request("GET", "/echo?n=1").status == 400, "nginx: no required SSL certificate was sent"
            pool.refresh()
    first = nginx.served(nginx.mutual, 4)[2]
    assert (first.resumed, first.status) == (False, 400)


def test_a_restarted_server_is_met_with_a_full_handshake_and_resumed_again(nginx: Nginx) -> None:
    """A session that the server no longer knows is refused in the handshake, which goes on."""
    with pool_for(nginx.tls) as pool:
        get_anew(pool, 2)
        nginx._stop()
        nginx._start()
        assert nginx._is_ready()
        get_anew(pool, 3)
    resumed = [row.resumed for row in nginx.served(nginx.tls, 5)]
    assert resumed[:3] == [False, True, False]
    assert resumed[4]
