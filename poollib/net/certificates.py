"""What a certificate says: which host names it stands for, and whether it is the one that was pinned.

Pure functions over what ``ssl`` gives (the decoded dictionary, or the DER bytes); ``tls`` asks them after a handshake
where OpenSSL itself was not to check the name.
Signatures, validity and chains of trust are OpenSSL's alone and are not looked at here.
It follows RFC 9525 (names; no partial wildcards), RFC 5280 section 4.1 (where the public key stands in the DER) and
RFC 7469 section 2.4 (the text of a public key pin), and gives urllib3's ``match_hostname`` and ``assert_fingerprint``.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, TypeAlias

from ..base.url import idna_encode
from ..exceptions import SSLError

#: Hash functions by the number of hex digits of a fingerprint; md5 and sha1 only find old pins, they prove little.
_HASH_NAMES: Final = {32: "md5", 40: "sha1", 64: "sha256"}
#: What a program has put in their place, as urllib3's ``HASHFUNC_MAP``; ``None``: there is none.
replaced_hashes: dict[int, Any] = {}
_KEY_PIN: Final = "sha256/"
_LONGEST_NAME: Final = 253  # RFC 1035; longer names made the IDNA codec slow (CVE-2022-45061)
_MOST_DER_BYTES: Final = 1 << 20  # OpenSSL's limit for a whole chain in a handshake is 100 KiB


#: What ``getpeercert()`` gives: the fields that can be read of a verified certificate, by name.
PeerCertificate: TypeAlias = Mapping[str, Any]


class CertificateError(ValueError):
    """The certificate stands for another host."""


# Pins


def check_pins(cert: bytes | None, pins: str | Iterable[str]) -> None:
    """Nothing, if the certificate (DER) is one that was pinned; one matching pin of several is enough.

    A pin: md5, sha1 or sha256 of the certificate in hex, colons allowed; or ``sha256/BASE64`` of its public key
    (SubjectPublicKeyInfo), which a renewed certificate may keep. Errors: SSLError, also for what is no pin.
    """
    if not cert:
        raise SSLError("No certificate for the peer.")
    wanted = [pins] if isinstance(pins, str) else list(pins)
    if not wanted:
        raise SSLError("assert_fingerprint: no pin given")
    misses = [_miss(cert, pin) for pin in wanted]
    if None not in misses:
        raise SSLError(f"Fingerprints did not match. Expected {' or '.join(_quoted(misses))}")


def _miss(cert: bytes, pin: str) -> tuple[str, str] | None:
    """What was expected and what was found; ``None`` if they are the same."""
    import hashlib  # 0.2 MiB that no pool without pins needs
    import hmac

    if pin.startswith(_KEY_PIN):
        found = hashlib.sha256(public_key_info(cert)).digest()
        return None if hmac.compare_digest(found, _key_pin(pin)) else (pin, key_pin(cert))
    text, digest = _fingerprint(pin)
    try:
        if len(text) in replaced_hashes:
            shown = replaced_hashes[len(text)](cert).digest()
        else:
            shown = hashlib.new(_HASH_NAMES[len(text)], cert, usedforsecurity=False).digest()
    except (TypeError, ValueError) as err:  # None, or an OpenSSL without this one
        text = f"Hash function implementation unavailable for fingerprint length: {len(text)}"
        raise SSLError(text) from err
    return None if hmac.compare_digest(shown, digest) else (text, shown.hex())


def _quoted(misses: Iterable[tuple[str, str] | None]) -> list[str]:
    return [f'"{miss[0]}", got "{miss[1]}"' for miss in misses if miss is not None]


def _fingerprint(pin: str) -> tuple[str, bytes]:
    text = pin.replace(":", "").lower()
    if len(text) not in _HASH_NAMES:
        raise SSLError(f"Fingerprint of invalid length: {pin}")
    try:
        return text, bytes.fromhex(text)
    except ValueError as err:
        raise SSLError(f"Fingerprint is not hexadecimal: {pin}") from err


def _key_pin(pin: str) -> bytes:
    try:
        digest = b64decode(pin[len(_KEY_PIN) :], validate=True)
    except (Base64Error, ValueError) as err:
        raise SSLError(f"Public key pin is not base64: {pin}") from err
    if len(digest) != 32:
        raise SSLError(f"Public key pin is not 32 bytes long: {pin}")
    return digest


def key_pin(cert: bytes) -> str:
    """The public key pin of a certificate (DER), ``sha256/BASE64``; SSLError for what is no certificate."""
    import hashlib

    return _KEY_PIN + b64encode(hashlib.sha256(public_key_info(cert)).digest()).decode("ascii")


# DER, as far as the public key (RFC 5280 section 4.1)

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_FIELDS_BEFORE_KEY: Final = 5  # serialNumber, signature, issuer, validity, subject


def public_key_info(cert: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate, both DER; SSLError for what is no certificate."""
    if len(cert) > _MOST_DER_BYTES:
        raise SSLError(f"Certificate of {len(cert)} bytes is too long to look for its key")
    outer, outer_end = _enter(cert, 0, len(cert))
    at, end = _enter(cert, outer, outer_end)
    if _element(cert, at, end)[0] == _VERSION:
        at = _element(cert, at, end)[2]
    for _ in range(_FIELDS_BEFORE_KEY):
        at = _element(cert, at, end)[2]
    tag, _, after = _element(cert, at, end)
    if tag != _SEQUENCE:
        raise SSLError("Certificate is not DER as of RFC 5280: no public key where it belongs")
    return cert[at:after]


def _enter(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the content of the SEQUENCE at ``at`` starts and ends."""
    tag, start, after = _element(data, at, end)
    if tag != _SEQUENCE:
        raise SSLError("Certificate is not DER: a SEQUENCE is missing")
    return start, after


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start of the content and end of the element at ``at``, which has to end within ``end``."""
    if end - at < 2:
        raise SSLError("Certificate is not DER: it is cut short")
    tag, length, start = data[at], data[at + 1], at + 2
    if length >= 0x80:
        size = length - 0x80
        if not 1 <= size <= 4 or start + size > end:
            raise SSLError("Certificate is not DER: a length is wrong")
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    if length > end - start:
        raise SSLError("Certificate is not DER: it is cut short")
    return tag, start, start + length


# urllib3 names


def assert_fingerprint(cert: bytes | None, fingerprint: str) -> None:
    """Nothing, if the certificate (DER) has this fingerprint or public key pin; SSLError else."""
    check_pins(cert, fingerprint)


def match_hostname(cert: PeerCertificate | None, hostname: str, hostname_checks_common_name: bool = False) -> None:
    """Nothing, if the certificate (as ``getpeercert()`` gives it) stands for ``hostname``, a name or an IP address.

    The common name counts only if asked for, and only where there is no subjectAltName at all.
    Errors: CertificateError; ValueError for an empty certificate.
    """
    if not cert:
        raise ValueError(
            "empty or no certificate, match_hostname needs a SSL socket or SSL context "
            "with either CERT_OPTIONAL or CERT_REQUIRED"
        )
    address = _address(hostname)
    names = list(cert.get("subjectAltName", ()))
    if any(_stands_for(kind, name, hostname, address) for kind, name in names):
        return
    shown = [name for kind, name in names if kind in ("DNS", "IP Address")]
    if not shown and hostname_checks_common_name and address is None:
        shown = [value for part in cert.get("subject", ()) for key, value in part if key == "commonName"]
        if any(_dnsname_match(name, hostname) for name in shown):
            return
    raise CertificateError(_mismatch(hostname, shown))


def _stands_for(kind: str, name: str, hostname: str, address: IPv4Address | IPv6Address | None) -> bool:
    if kind == "DNS":
        return address is None and bool(_dnsname_match(name, hostname))
    return kind == "IP Address" and address is not None and _ipaddress_match(name, address)


def _mismatch(hostname: str, names: list[str]) -> str:
    if not names:
        return "no appropriate subjectAltName fields were found"
    if len(names) == 1:
        return f"hostname {hostname!r} doesn't match {names[0]!r}"
    return f"hostname {hostname!r} doesn't match either of {', '.join(map(repr, names))}"


def _address(hostname: str) -> IPv4Address | IPv6Address | None:
    """The IP address, without its zone, if it is one."""
    try:
        return ip_address(hostname.partition("%")[0].strip("[]"))
    except ValueError:
        return None


def _dnsname_match(dn: object, hostname: str, max_wildcards: int = 1) -> bool:
    """Whether the name of a certificate matches: ``*`` is one whole label, the leftmost (RFC 9525 section 6.3).

    Stricter than urllib3, where ``a*.example`` matches ``ab.example``: RFC 9525 forbids that.
    """
    first, _, rest = str(dn or "").lower().partition(".")
    label, _, parent = _a_labels(hostname).partition(".")
    if first.count("*") > max_wildcards:
        raise CertificateError(f"too many wildcards in certificate DNS name: {dn!r}")
    if first == "*":
        return bool(label and rest) and rest == parent
    return bool(first) and (first, rest) == (label, parent)


def _a_labels(hostname: str) -> str:
    """The name as certificates hold it: lower case, ASCII, no dot at the end; what cannot be that matches nothing."""
    name = hostname.lower().removesuffix(".")
    if name.isascii() or len(name) > _LONGEST_NAME:
        return name
    try:
        return idna_encode(name)
    except ValueError:
        return ""


def _ipaddress_match(ipname: str, host_ip: IPv4Address | IPv6Address) -> bool:
    """Whether the iPAddress of a certificate, as text, is this address (RFC 9525 section 6.5)."""
    try:
        return ip_address(ipname.rstrip()).packed == host_ip.packed
    except ValueError:
        return False
