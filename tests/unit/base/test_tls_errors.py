"""tls_errors: which errors of the ssl module are a broken connection, whatever class this Python gives them."""

from __future__ import annotations

import ssl
import sys

import pytest

from poollib.base.tls_errors import (
    hint_of,
    is_ragged_end,
    is_tls_error,
    is_tls_failure,
    is_unknown_authority,
    wants_read,
    wants_write,
)


def plain(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] EOF occurred in violation of protocol")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    "error",
    [ssl.SSLEOFError(8, "EOF"), ssl.SSLEOFError(), ssl.SSLZeroReturnError(6, "closed"), ssl.SSLSyscallError(5, "gone")],
)
def test_an_end_without_the_peers_word_has_three_classes(error: ssl.SSLError) -> None:
    assert is_tls_error(error)
    assert is_ragged_end(error)


def test_an_end_without_the_peers_word_may_be_a_plain_error() -> None:
    """Debian 12's Python 3.11.2: users got SSLError where docs/accepted.rst promises ProtocolError."""
    assert is_ragged_end(plain("UNEXPECTED_EOF_WHILE_READING"))
    assert not is_ragged_end(plain("TLSV1_ALERT_INTERNAL_ERROR"))
    assert not is_ragged_end(ssl.SSLError("something"))


def test_other_errors_are_not_tls() -> None:
    for error in (OSError(8, "x"), ValueError("x"), ConnectionResetError()):
        assert not is_tls_error(error)
        assert not is_ragged_end(error)
        assert not wants_read(error)
        assert not wants_write(error)


def test_what_tls_waits_for() -> None:
    assert wants_read(ssl.SSLWantReadError())
    assert wants_write(ssl.SSLWantWriteError())
    assert not wants_read(ssl.SSLWantWriteError())
    assert not is_ragged_end(ssl.SSLWantReadError())


def test_a_failure_is_what_neither_waits_nor_breaks() -> None:
    assert is_tls_failure(plain("TLSV1_ALERT_UNKNOWN_CA"))
    for error in (ssl.SSLWantReadError(), ssl.SSLWantWriteError(), ssl.SSLEOFError(8, "EOF"), ConnectionResetError()):
        assert not is_tls_failure(error)


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "wants a client certificate, and was shown none"),
        ("TLSV1_ALERT_UNKNOWN_CA", "of the client certificate"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "of the client certificate"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "none of the ciphers"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "no TLS version"),
        ("UNSUPPORTED_PROTOCOL", "no TLS version"),
    ],
)
def test_a_riddle_has_a_hint(reason: str, hint: str) -> None:
    """Read alone, "unknown ca" sends everybody to their own authorities: it is the server's word of the client's."""
    assert hint in str(hint_of(plain(reason)))


def test_an_alert_is_known_where_python_has_no_name_for_it() -> None:
    error = ssl.SSLError(1, "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)")
    assert "HTTP/2" in str(hint_of(error))


@pytest.mark.parametrize(("code", "hint"), [(20, "ca_certs"), (18, "ca_certs"), (10, "clock"), (62, None)])
def test_a_refused_certificate_has_a_hint_by_why_it_was(code: int, hint: str | None) -> None:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.reason, error.verify_code = "CERTIFICATE_VERIFY_FAILED", code
    told = hint_of(error)
    assert told is None if hint is None else hint in str(told)
    assert is_unknown_authority(error) is (hint == "ca_certs")


def test_what_says_enough_or_is_no_tls_has_no_hint() -> None:
    errors = (plain("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"), ssl.SSLError("x"), ssl.SSLError(), OSError(1, "x"))
    for error in errors:
        assert hint_of(error) is None
    for error in (*errors, "a text", None):
        assert not is_unknown_authority(error)


def test_a_program_without_the_ssl_module_has_no_tls_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ssl")
    assert not is_tls_error(OSError())
