"""Exit statuses: what an error means to a shell, by curl's numbers, and the line that tells a person what to do.

``main`` asks :func:`status_of` and :func:`explained` for whatever a transfer raised; errors of local files are raised
as the classes here, at the line that opened or wrote them, so that they are never taken for the network's. The numbers
are those of curl(1), "EXIT CODES".
"""

from __future__ import annotations

from ..base.loggers import shown_url
from ..base.tls_errors import is_tls_error
from ..exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    IncompleteRead,
    LocationValueError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ResponseTooLargeError,
    SSLError,
    TimeoutError,
    URLSchemeUnknown,
)
from .arguments import UsageError


class TransferError(Exception):
    """What curl has a number of its own for: the exit status, and a text that says what to do."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def unwritable(name: str, error: OSError) -> TransferError:
    """The error for a file, or standard output, that can't be written."""
    return TransferError(23, f"{name} can't be written: {error.strerror or error} ({type(error).__name__})")


def unreadable(name: str, error: OSError) -> TransferError:
    """The error for a file that can't be read."""
    return TransferError(26, f"{name} can't be read: {error.strerror or error} ({type(error).__name__})")


#: In this order: the first that fits counts.
_BY_CLASS: tuple[tuple[type[BaseException], int], ...] = (
    (UsageError, 2),
    (URLSchemeUnknown, 1),
    (LocationValueError, 3),
    (NameResolutionError, 6),
    (NewConnectionError, 7),
    (ConnectTimeoutError, 28),
    (TimeoutError, 28),
    (ResponseTooLargeError, 63),
    (DecodeError, 61),
    (IncompleteRead, 18),
    (ConnectionError, 56),
    (HTTPError, 56),
    (ValueError, 2),  # of a header field, a method, a setting
    (OSError, 23),
)


def status_of(error: BaseException) -> int:
    """The exit status that an error means."""
    if isinstance(error, TransferError):
        return error.status
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return status_of(error.reason)
    if isinstance(error, ProxyError):
        return _status_of_proxy(error.original_error)
    if isinstance(error, SSLError) or is_tls_error(error):
        return next((status for sign, status in _TLS_SIGNS if sign in str(error)), 35)
    if isinstance(error, ProtocolError) and not isinstance(error, IncompleteRead):
        return _status_of_protocol(error)
    return next((status for kind, status in _BY_CLASS if isinstance(error, kind)), 1)


#: What the text of a TLS error says: OpenSSL has no classes for it.
_TLS_SIGNS = (
    ("CERTIFICATE_VERIFY_FAILED", 60),
    ("doesn't match", 60),
    ("cannot load CA certificates", 77),
    ("cannot load the client certificate", 58),
    ("private key is encrypted", 58),
)


def _status_of_proxy(error: BaseException | None) -> int:
    status = 56 if error is None else status_of(error)
    return {6: 5, 23: 56, 3: 5}.get(status, status)


def _status_of_protocol(error: ProtocolError) -> int:
    causes = [cause for cause in error.args if isinstance(cause, BaseException)]
    if any(type(cause).__name__ == "RemoteDisconnected" for cause in causes):
        return 52
    if any(isinstance(cause, IncompleteRead) for cause in causes):
        return 18
    return 56


def explained(error: BaseException) -> str:
    """One line about the error, with its kind, and what to do where that is known."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return explained(error.reason)
    text = _shown(error)
    if isinstance(error, (TransferError, UsageError)):
        return text
    hint = _hint(status_of(error), text)
    return f"{text} ({type(error).__name__}){hint}".replace("\n", " ")


def _shown(error: BaseException) -> str:
    return shown_url(error) if isinstance(error, LocationValueError) else str(error)


def _hint(status: int, text: str) -> str:
    if status == 35 and ("WRONG_VERSION_NUMBER" in text or "RECORD_LAYER" in text):
        return "; the server speaks no TLS at that port: try http://"
    if status == 35 and "CERTIFICATE_REQUIRED" in text:
        return "; the server wants to see a certificate: --cert FILE"
    return {
        1: "; http:// and https:// are spoken",
        3: "; a URL is http://HOST[:PORT]/PATH",
        5: "; is the proxy's name right (-x, http_proxy, https_proxy)?",
        6: "; is the name right?",
        7: "; is the server running, and is the port right?",
        28: "; -m and --connect-timeout set the limits",
        58: "; --cert FILE and --key FILE are PEM files, --pass PASSWORD opens the key",
        77: "; --cacert FILE is a PEM file of authorities, --capath a folder",
        60: "; --cacert FILE names an authority to believe, -k believes anybody",
        61: "; without --compressed the body is not decoded",
    }.get(status, "")
