"""Whom the client believes: certificates, names, pins and client certificates, against real servers.

RFC 9110 section 4.3.4 (certificate verification) and RFC 9525 (names). A refusal is an `SSLError` and costs no slot.
"""

from __future__ import annotations

import datetime
import hashlib
import pathlib
import ssl
from typing import Any

import pytest

import poollib
import poollib.connection
from poollib.exceptions import (
    HTTPError,
    InsecureRequestWarning,
    MaxRetryError,
    ProtocolError,
    SSLError,
    SystemTimeWarning,
)
from tests.support.certs import PASSWORD, Pair, certs
from tests.support.httpd import Httpd
from tests.support.script import ScriptServer, close, expect, send
from tests.whole.peers import MAKES, Peer, body, is_missing, serve, target

all_makes = pytest.mark.parametrize("make", MAKES)


@pytest.fixture(autouse=True)
def skip_what_is_missing(request: pytest.FixtureRequest) -> None:
    make = request.node.callspec.params.get("make") if hasattr(request.node, "callspec") else None
    if make is not None and is_missing(make):
        pytest.skip(f"{make} is not installed")


def pool_of(peer: Peer | Httpd, **settings: Any) -> poollib.HTTPSConnectionPool:
    """A pool of one connection for the peer: a slot lost once would be missed at the next request."""
    settings = {"maxsize": 1, "block": True, "timeout": 5.0, "ca_certs": certs().ca_file, **settings}
    pool = poollib.connection_from_url(peer.url, **settings)
    assert isinstance(pool, poollib.HTTPSConnectionPool)
    return pool


def assert_refused(pool: poollib.HTTPSConnectionPool, reason: str) -> None:
    """Every attempt ends in an SSLError that tells the reason, with and without retries, and leaves the slot free."""
    for _ in range(2):
        with pytest.raises(SSLError, match=reason):
            pool.request("GET", target(1), retries=False, pool_timeout=0)
    with pytest.raises(MaxRetryError) as given_up:
        pool.request("GET", target(1), retries=1, pool_timeout=0)
    assert isinstance(given_up.value.reason, SSLError)


@all_makes
def test_a_certificate_of_the_given_authority_is_believed(make: str, tmp_path: pathlib.Path) -> None:
    with serve(make, tmp_path, certs().pair()) as peer, pool_of(peer) as pool:
        for number in range(3):
            assert pool.request("GET", target(number), headers={"X-Token": "t"}).data == body(number, "t")
        assert peer.connections(3) == (1 if peer.keeps else 3)


@all_makes
@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (lambda: certs().pair("elsewhere.example"), "127.0.0.1|mismatch"),
        (lambda: certs().pair(expired=True), "expired"),
        (lambda: certs().pair(stranger=True), "verify failed"),
    ],
    ids=["wrong host name", "expired", "unknown authority"],
)
def test_a_doubtful_certificate_is_refused(make: str, pair: Any, reason: str, tmp_path: pathlib.Path) -> None:
    with serve(make, tmp_path, pair()) as peer, pool_of(peer) as pool:
        assert_refused(pool, reason)


@all_makes
def test_without_the_authority_a_good_certificate_is_refused(make: str, tmp_path: pathlib.Path) -> None:
    """The default bundle does not hold the tests' authority."""
    with serve(make, tmp_path, certs().pair()) as peer, pool_of(peer, ca_certs=None) as pool:
        assert_refused(pool, "verify failed")


@all_makes
def test_a_client_certificate_opens_a_server_that_demands_one(make: str, tmp_path: pathlib.Path) -> None:
    client = certs().client()
    with serve(make, tmp_path, certs().pair(), wants_client=True) as peer:
        with pool_of(peer, cert_file=client.cert_file, key_file=client.key_file) as pool:
            assert pool.request("GET", target(7), headers={"X-Token": "t"}).data == body(7, "t")


@all_makes
@pytest.mark.parametrize("shown", [None, lambda: certs().pair("client@poollib.example", stranger=True)])
def test_a_server_that_demands_a_certificate_refuses_none_and_a_strangers(
    make: str, shown: Any, tmp_path: pathlib.Path
) -> None:
    """nginx says so with a 400; the others end the handshake, which under TLS 1.3 shows at the first read."""
    files = {"cert_file": shown().cert_file, "key_file": shown().key_file} if shown else {}
    with serve(make, tmp_path, certs().pair(), wants_client=True) as peer, pool_of(peer, **files) as pool:
        for _ in range(2):
            if make == "nginx":
                assert pool.request("GET", target(1), retries=False, pool_timeout=0).status == 400
            else:
                with pytest.raises((SSLError, ProtocolError)):
                    pool.request("GET", target(1), retries=False, pool_timeout=0)


# What the settings change, against one make


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Any:
    """A server on 127.0.0.1 whose certificate is for the names of the test's parameter, or for loopback."""
    names = getattr(request, "param", ())
    with Httpd(tls=certs().server(*names)) as running:
        yield running


def test_an_encrypted_key_needs_its_password(server: Httpd) -> None:
    files = {"cert_file": certs().client().cert_file, "key_file": certs().encrypted_key_file}
    with pool_of(server, key_password=PASSWORD, **files) as pool:
        assert pool.request("GET", "/").status == 200
    with pool_of(server, key_password="wrong", **files) as pool, pytest.raises(HTTPError):
        pool.request("GET", "/", retries=False)


def digests(pair: Pair) -> list[str]:
    return [hashlib.new(name, pair.der).hexdigest() for name in ("sha1", "sha256")]


def test_a_pin_is_believed_and_another_refused(server: Httpd) -> None:
    for digest in digests(certs().pair()):
        with pool_of(server, assert_fingerprint=digest.upper()) as pool:
            assert pool.request("GET", "/").status == 200
    with pool_of(server, assert_fingerprint=digests(certs().pair("elsewhere.example"))[1]) as pool:
        assert_refused(pool, "[Ff]ingerprint")


@pytest.mark.parametrize(
    ("pins", "error"),
    [([], ValueError), (iter(["00" * 32]), TypeError), (b"\x00" * 32, TypeError)],
    ids=["none", "iterator", "bytes"],
)
def test_what_holds_no_pins_is_refused_and_does_not_stand_for_any_certificate(
    server: Httpd, pins: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="assert_fingerprint"), pool_of(server, assert_fingerprint=pins) as pool:
        pool.request("GET", "/", retries=False)
    proxy = poollib.Proxy("https://127.0.0.1:9", assert_fingerprint=pins)
    with poollib.PoolManager(proxies={"all": proxy}, retries=False) as manager:
        with pytest.raises(error, match="assert_fingerprint"):
            manager.request("GET", "https://localhost:9/")


@pytest.mark.parametrize("server", [("service.test",)], indirect=True)
def test_the_name_to_check_can_be_another_than_the_address(server: Httpd) -> None:
    with pool_of(server, assert_hostname="service.test") as pool:
        assert pool.request("GET", "/").status == 200
    with pool_of(server, server_hostname="service.test") as pool:
        assert pool.request("GET", "/").status == 200
    with pool_of(server, assert_hostname="other.test") as pool:
        assert_refused(pool, "other.test")
    with pool_of(server, assert_hostname=False) as pool:
        assert pool.request("GET", "/").status == 200


@pytest.mark.parametrize("server", [("elsewhere.example",)], indirect=True)
def test_unverified_requests_are_made_only_when_asked_for_and_warned_about(server: Httpd) -> None:
    with pool_of(server, ca_certs=None, cert_reqs="CERT_NONE") as pool:
        with pytest.warns(InsecureRequestWarning, match="127.0.0.1"):
            assert pool.request("GET", "/").status == 200


def test_a_context_of_the_callers_own_is_used_as_it_is(server: Httpd) -> None:
    context = ssl.create_default_context(cafile=certs().ca_file)
    with pool_of(server, ca_certs=None, ssl_context=context) as pool:
        assert pool.request("GET", "/").status == 200
    doubting = ssl.create_default_context(cafile=certs().stranger_file)
    with pool_of(server, ca_certs=None, ssl_context=doubting) as pool:
        assert_refused(pool, "verify failed")


def test_authorities_can_be_given_as_data(server: Httpd) -> None:
    with pool_of(server, ca_certs=None, ca_cert_data=pathlib.Path(certs().ca_file).read_text()) as pool:
        assert pool.request("GET", "/").status == 200


def test_a_server_older_than_tls_1_2_is_refused() -> None:
    """RFC 8996: TLS 1.0 and 1.1 must not be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(certs().pair().both_file)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Httpd(tls=context) as server, pool_of(server) as pool:
        assert_refused(pool, "(?i)version|protocol")


def test_plain_http_to_a_tls_port_is_an_error_of_the_library(server: Httpd) -> None:
    with poollib.HTTPConnectionPool("127.0.0.1", server.port, timeout=5.0) as pool, pytest.raises(ProtocolError):
        pool.request("GET", "/", retries=False)


def test_tls_to_a_plain_port_is_an_error_of_the_library() -> None:
    steps = [expect(lambda hello: len(hello) > 5), send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), close()]
    with ScriptServer(steps) as plain, poollib.HTTPSConnectionPool("127.0.0.1", plain.port, timeout=5.0) as pool:
        with pytest.raises(SSLError):
            pool.request("GET", "/", retries=False)


def test_a_clock_that_is_far_behind_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each TLS connection, as the certificate's error alone would not lead to the cause."""
    with Httpd(tls=certs().server()) as server, pool_of(server) as pool:
        monkeypatch.setattr(poollib.connection, "RECENT_DATE", datetime.date.today() + datetime.timedelta(days=2))
        with pytest.warns(SystemTimeWarning, match="System time is way off") as warned:
            assert [pool.request("GET", "/").status for _ in range(2)] == [200, 200]
        assert len(warned) == 1
