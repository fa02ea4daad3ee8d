"""Names and pins of certificates, as tables."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from poollib.compat.private_names import HASHFUNC_MAP
from poollib.exceptions import SSLError
from poollib.net.certificates import (
    _MOST_DER_BYTES,
    CertificateError,
    assert_fingerprint,
    check_pins,
    key_pin,
    match_hostname,
    public_key_info,
)
from tests.support.certs import certs


def cert(*names: str, addresses: tuple[str, ...] = (), common: str = "") -> dict[str, Any]:
    """A certificate as getpeercert() gives it."""
    pairs = [("DNS", name) for name in names] + [("IP Address", address) for address in addresses]
    return {"subjectAltName": tuple(pairs), "subject": ((("commonName", common),),) if common else ()}


MATCHES = [
    ("a.example", cert("a.example")),
    ("A.Example", cert("a.eXample")),
    ("a.example.", cert("a.example")),
    ("b.example", cert("a.example", "b.example")),
    ("a.example", cert("*.example")),
    ("127.0.0.1", cert(addresses=("127.0.0.1",))),
    ("::1", cert(addresses=("0:0:0:0:0:0:0:1\n",))),
    ("[::1]", cert(addresses=("::1",))),
    ("fe80::1%eth0", cert(addresses=("fe80::1",))),
    ("bücher.example", cert("xn--bcher-kva.example")),
    ("xn--bcher-kva.example", cert("*.example")),
]


@pytest.mark.parametrize(("host", "shown"), MATCHES, ids=[host for host, _ in MATCHES])
def test_a_certificate_stands_for_its_names_and_addresses(host: str, shown: dict[str, Any]) -> None:
    match_hostname(shown, host)


REFUSED = [
    ("a.example", cert("b.example"), "hostname 'a.example' doesn't match 'b.example'"),
    ("a.example", cert("b.example", "c.example"), "doesn't match either of 'b.example', 'c.example'"),
    ("a.b.example", cert("*.example"), "doesn't match"),
    ("example", cert("*.example"), "doesn't match"),
    (".example", cert("*.example"), "doesn't match"),
    ("ab.example", cert("a*.example"), "doesn't match"),
    ("a.b.example", cert("a.*.example"), "doesn't match"),
    ("xa.x.b", cert("*.*.b"), "doesn't match"),
    ("a.example", cert("*"), "doesn't match"),
    ("a.example", cert("**.example"), "too many wildcards"),
    ("a.example", cert(""), "doesn't match"),
    ("", cert(""), "doesn't match"),
    ("127.0.0.1", cert("127.0.0.1"), "doesn't match"),
    ("127.0.0.1", cert("*.0.0.1"), "doesn't match"),
    ("127.0.0.1", cert(addresses=("127.0.0.2",)), "doesn't match"),
    ("::1", cert(addresses=("127.0.0.1", "junk")), "doesn't match"),
    ("a.example", cert(addresses=("127.0.0.1",)), "doesn't match"),
    ("a.example\0.b", cert("a.example"), "doesn't match"),
    ("ü" * 300 + ".example", cert("a.example"), "doesn't match"),
    ("ü" * 64 + ".example", cert("a.example"), "doesn't match"),
    ("straße.example", cert("strasse.example"), "doesn't match"),
    ("a.example", cert(), "no appropriate subjectAltName fields were found"),
    ("a.example", cert(common="a.example"), "no appropriate subjectAltName fields were found"),
]


@pytest.mark.parametrize(("host", "shown", "text"), REFUSED, ids=[f"{h[:20]}-{t[:9]}" for h, _, t in REFUSED])
def test_a_certificate_for_others_is_refused(host: str, shown: dict[str, Any], text: str) -> None:
    """RFC 9525: no partial wildcard, one label for one wildcard, no wildcard in an address, no common name."""
    with pytest.raises(CertificateError) as caught:
        match_hostname(shown, host)
    assert text in str(caught.value)


def test_the_common_name_counts_only_if_asked_for_and_alone() -> None:
    match_hostname(cert(common="a.example"), "a.example", True)
    with pytest.raises(CertificateError, match=r"doesn't match 'b\.example'"):
        match_hostname(cert(common="b.example"), "a.example", True)
    with pytest.raises(CertificateError):
        match_hostname(cert("b.example", common="a.example"), "a.example", True)
    with pytest.raises(CertificateError):
        match_hostname(cert(common="127.0.0.1"), "127.0.0.1", True)


@pytest.mark.parametrize("empty", [None, {}])
def test_no_certificate_is_a_value_error(empty: dict[str, Any] | None) -> None:
    with pytest.raises(ValueError, match="empty or no certificate") as caught:
        match_hostname(empty, "a.example")
    assert not isinstance(caught.value, CertificateError)


# Pins


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256"])
@pytest.mark.parametrize("style", ["plain", "colons", "upper"])
def test_a_fingerprint_is_compared_in_any_spelling(name: str, style: str) -> None:
    digest = hashlib.new(name, b"certificate").hexdigest()
    if style == "colons":
        digest = ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
    assert_fingerprint(b"certificate", digest.upper() if style == "upper" else digest)
    with pytest.raises(SSLError, match=r'Fingerprints did not match\. Expected ".*", got ".*"'):
        assert_fingerprint(b"another", digest)


@pytest.mark.parametrize(
    ("pin", "text"),
    [
        ("aa", "Fingerprint of invalid length: aa"),
        ("", "Fingerprint of invalid length"),
        ("zz" * 16, "not hexadecimal"),
        ("sha256/!!!", "not base64"),
        ("sha256/AAAA", "not 32 bytes long"),
        ((), "no pin given"),
    ],
)
def test_what_is_no_pin_is_refused(pin: Any, text: str) -> None:
    with pytest.raises(SSLError, match=text):
        check_pins(certs().pair().der, pin)


@pytest.mark.parametrize("nothing", [None, b""])
def test_a_peer_without_certificate_matches_no_pin(nothing: bytes | None) -> None:
    with pytest.raises(SSLError, match="No certificate for the peer"):
        assert_fingerprint(nothing, "aa" * 32)


def test_one_pin_of_several_is_enough_and_all_are_told_if_none_is() -> None:
    der = certs().pair().der
    wrong = ["aa" * 32, "sha256/" + "A" * 43 + "="]
    check_pins(der, [*wrong, key_pin(der)])
    check_pins(der, (hashlib.sha256(der).hexdigest(), *wrong))
    with pytest.raises(SSLError) as caught:
        check_pins(der, wrong)
    assert "a" * 64 in str(caught.value)
    assert f'got "{key_pin(der)}"' in str(caught.value)


def test_a_wrong_pin_beside_a_right_one_is_still_an_error() -> None:
    """A pin that can never match is a mistake that should be seen."""
    der = certs().pair().der
    with pytest.raises(SSLError, match="invalid length"):
        check_pins(der, [key_pin(der), "aa"])


def test_the_public_key_is_where_another_parser_finds_it() -> None:
    """RFC 5280 section 4.1, judged by the cryptography package."""
    for der in (certs().pair().der, certs().pair(expired=True).der, certs().client().der):
        key = x509.load_der_x509_certificate(der).public_key()
        assert public_key_info(der) == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_certificate_cut_short_anywhere_is_refused() -> None:
    der = certs().pair().der
    for size in range(len(der)):
        with pytest.raises(SSLError, match="not DER"):
            public_key_info(der[:size])


@pytest.mark.parametrize(
    "der",
    [
        b"\x31\x00",
        b"\x30\x80\x00\x00",
        b"\x30\x85\x01\x00\x00\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x02\x30\x00",
        b"\x30\x0e\x30\x0c" + b"\x02\x00" * 6,
        b"\x30" * (1 << 21),
    ],
    ids=lambda der: der[:8].hex(),
)
def test_hostile_der_is_an_ssl_error(der: bytes) -> None:
    with pytest.raises(SSLError):
        public_key_info(der)


@given(st.data())
def test_a_certificate_with_changed_bytes_gives_a_key_or_an_ssl_error(data: st.DataObject) -> None:
    der = bytearray(certs().pair().der)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = public_key_info(bytes(der))
    except SSLError:
        return
    assert found in bytes(der)
    assert found[:1] == b"\x30"


def test_the_hash_functions_are_found_by_length() -> None:
    assert {digits: function(b"").hexdigest() for digits, function in HASHFUNC_MAP.items()} == {
        32: hashlib.md5(b"").hexdigest(),
        40: hashlib.sha1(b"").hexdigest(),
        64: hashlib.sha256(b"").hexdigest(),
    }


def test_a_hash_function_that_a_program_has_replaced_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As urllib3's; None stands for an OpenSSL without it."""
    monkeypatch.setitem(HASHFUNC_MAP, 32, hashlib.blake2s)
    with pytest.raises(SSLError, match=f'got "{hashlib.blake2s(b"cert").hexdigest()}"'):
        check_pins(b"cert", "ab" * 16)
    monkeypatch.setitem(HASHFUNC_MAP, 32, None)
    with pytest.raises(SSLError, match=r"^Hash function implementation unavailable for fingerprint length: 32$"):
        check_pins(b"cert", "ab" * 16)
    monkeypatch.undo()
    check_pins(b"cert", hashlib.md5(b"cert").hexdigest())


def test_what_is_longer_than_any_certificate_is_not_searched_for_a_key() -> None:
    with pytest.raises(SSLError, match="too long"):
        public_key_info(bytes(_MOST_DER_BYTES + 1))
