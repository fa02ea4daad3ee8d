"""Each error has curl's number, and a line that says what to do."""

from __future__ import annotations

import ssl

import pytest

from poollib.cli.arguments import UsageError
from poollib.cli.exit_status import TransferError, explained, status_of, unreadable
from poollib.exceptions import (
    ConnectTimeoutError,
    DeadlineExceededError,
    DecodeError,
    IncompleteRead,
    LocationParseError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ResponseTooLargeError,
    SSLError,
    URLSchemeUnknown,
)

CUT = IncompleteRead(3, 7)
NO_NAME = NameResolutionError("a", None, OSError("no such name"))  # type: ignore[arg-type]


class RemoteDisconnected(ConnectionResetError):
    """As http.client's."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (URLSchemeUnknown("ftp"), 1),
        (UsageError("x"), 2),
        (ValueError("a header"), 2),
        (LocationParseError("http://"), 3),
        (ProxyError("p", NO_NAME), 5),
        (NO_NAME, 6),
        (NewConnectionError(None, "refused"), 7),
        (ProxyError("p", NewConnectionError(None, "refused")), 7),
        (ProxyError("p", OSError("Tunnel connection failed: 407")), 56),
        (ProxyError("p", None), 56),  # type: ignore[arg-type]
        (CUT, 18),
        (ProtocolError("cut", CUT), 18),
        (TransferError(22, "404"), 22),
        (OSError("disk"), 23),
        (unreadable("f", OSError(2, "none")), 26),
        (ConnectTimeoutError("x"), 28),
        (DeadlineExceededError("x", "reading"), 28),
        (SSLError("handshake failure"), 35),
        (ssl.SSLError("handshake failure"), 35),
        (SSLError("CERTIFICATE_VERIFY_FAILED"), 60),
        (SSLError("hostname 'a' doesn't match 'b'"), 60),
        (ProtocolError("aborted", RemoteDisconnected()), 52),
        (ProtocolError("aborted", ConnectionResetError()), 56),
        (ConnectionResetError(), 56),
        (DecodeError("x"), 61),
        (ResponseTooLargeError("x", 3), 63),
        (MaxRetryError(None, "/", NO_NAME), 6),  # type: ignore[arg-type]
        (KeyError("unforeseen"), 1),
    ],
)  # fmt: skip
def test_an_error_has_curls_number(error: BaseException, status: int) -> None:
    assert status_of(error) == status
    assert "\n" not in explained(error)


def test_a_line_tells_the_kind_and_what_to_do_but_no_secret() -> None:
    assert explained(NO_NAME).endswith("(NameResolutionError); is the name right?")
    assert explained(MaxRetryError(None, "/", NO_NAME)) == explained(NO_NAME)  # type: ignore[arg-type]
    assert explained(TransferError(22, "the server answered 404")) == "the server answered 404"
    assert "secret" not in explained(LocationParseError("http://me:secret@[::1"))
