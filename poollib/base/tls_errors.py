"""What an error of the ``ssl`` module means, for modules that meet one and shall not load it for plain requests.

Who has such an error has the module, so it is looked up where it is.  By the classes and by OpenSSL's reason: CPython
3.11.2, which is Debian 12's, raises a plain ``SSLError`` for an end without close_notify where later ones have a class.
"""

from __future__ import annotations

import sys
from typing import Final

#: OpenSSL's reasons for such an end.
RAGGED_ENDS: Final = frozenset({"UNEXPECTED_EOF_WHILE_READING"})


def is_tls_error(error: BaseException) -> bool:
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
