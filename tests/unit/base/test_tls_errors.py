"""tls_errors: which errors of the ssl module are a broken connection, whatever class this Python gives them."""

from __future__ import annotations

import ssl
import sys

import pytest

from poollib.base.tls_errors import is_ragged_end, is_tls_error, wants_read, wants_write


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


def test_a_program_without_the_ssl_module_has_no_tls_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ssl")
    assert not is_tls_error(OSError())
