"""What an error of the ``ssl`` module means, for modules that meet one and shall not load it for plain requests.

Who has such an error has the module, so it is looked up where it is.  By the classes and by OpenSSL's reason: CPython
3.11.2, which is Debian 12's, raises a plain ``SSLError`` for an end without close_notify where later ones have a class.
"""

from __future__ import annotations

import sys
from typing import Final

#: OpenSSL's reasons for such an end.
RAGGED_ENDS: Final = frozenset({"UNEXPECTED_EOF_WHILE_READING"})


def is_tls_error(error: object) -> bool:
    """Whether it comes from the ``ssl`` module, a broken connection included."""
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(error, ssl.SSLError)


def is_ragged_end(error: BaseException) -> bool:
    """Whether TLS ended without the peer's word (RFC 9112 section 9.8): to us a broken connection."""
    if not is_tls_error(error):
        return False
    ssl = sys.modules["ssl"]
    ends = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return isinstance(error, ends) or getattr(error, "reason", None) in RAGGED_ENDS


def is_tls_failure(error: BaseException) -> bool:
    """Whether TLS says why it ended, as by an alert: not a broken connection, nor something to be waited for.

    It is told once: whoever asks again hears of the end alone.
    """
    return is_tls_error(error) and not (is_ragged_end(error) or wants_read(error) or wants_write(error))


def wants_read(error: BaseException) -> bool:
    """Whether TLS only needs more bytes to go on."""
    return is_tls_error(error) and isinstance(error, sys.modules["ssl"].SSLWantReadError)


def wants_write(error: BaseException) -> bool:
    """Whether TLS only needs room to go on."""
    return is_tls_error(error) and isinstance(error, sys.modules["ssl"].SSLWantWriteError)


# What to do about it


_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})  # X509_V_ERR_..., openssl/x509_vfy.h
_BY_VERIFY_CODE: Final = {
    **dict.fromkeys(
        _UNKNOWN_AUTHORITY,
        "no authority that is believed here signed it, or the server left out an intermediate certificate: ca_certs"
        " names others",
    ),
    **dict.fromkeys((9, 10), "by this machine's clock"),
}
_OF_THE_CLIENTS: Final = "the peer says this of the client certificate that it was shown, or of its absence"
_NO_VERSION: Final = "no TLS version is allowed by both sides"
#: By OpenSSL's reason; for an alert, by what follows "ALERT_" (RFC 8446 section 6.2).
_BY_REASON: Final = {
    "CERTIFICATE_REQUIRED": "the peer wants a client certificate, and was shown none",
    **dict.fromkeys(
        (
            *("UNKNOWN_CA", "BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED"),
            *("CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "ACCESS_DENIED"),
        ),
        _OF_THE_CLIENTS,
    ),
    "HANDSHAKE_FAILURE": "the peer takes none of the ciphers that are offered, or wants a client certificate",
    **dict.fromkeys(("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"), _NO_VERSION),
    "NO_APPLICATION_PROTOCOL": "the peer speaks no HTTP/1.1 here, perhaps HTTP/2 alone",
    "TLSV1_UNRECOGNIZED_NAME": "the peer has no certificate for the name that it was asked for",
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": "the peer lacks RFC 5746; an ssl_context with OP_LEGACY_SERVER_CONNECT"
    " speaks to it",
}


def is_unknown_authority(error: object) -> bool:
    """Whether a certificate was refused because nobody who is believed signed it."""
    return is_tls_error(error) and vars(error).get("verify_code") in _UNKNOWN_AUTHORITY


def hint_of(error: BaseException) -> str | None:
    """What an error of the ``ssl`` module means to who has to mend it, where its own text leaves that open."""
    if not is_tls_error(error):
        return None
    known = vars(error)  # an error that is not OpenSSL's has neither
    if known.get("verify_code"):
        return _BY_VERIFY_CODE.get(known["verify_code"])
    reason = known.get("reason") or _alert_in(str(error))  # Python does not know the names of all
    return _BY_REASON.get(reason.partition("ALERT_")[2] or reason)


def _alert_in(text: str) -> str:
    """``[SSL] tlsv1 alert no application protocol (_ssl.c:1006)``, as a reason is written."""
    return text.partition("] ")[2].partition(" (")[0].upper().replace(" ", "_")
