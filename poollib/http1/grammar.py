"""The grammar of HTTP/1.1 as character tables and limits, for writing and for reading heads.

``request_head``, ``response_head`` and ``body_reader`` build their expressions of these; nothing is read or sent here.
What is accepted follows RFC 9110 (tokens, field values) and RFC 9112 (request targets); every limit is named with its
source.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"  # RFC 9110 section 5.6.2
FIELD_VALUE: Final = r"[\t -~\x80-\xff]"  # RFC 9110 section 5.5

is_token: Final = re.compile(f"{TOKEN}+").fullmatch
is_target: Final = re.compile(r"[!-~]+").fullmatch
#: As it is sent: no blanks at the ends.
is_field_value: Final = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?").fullmatch


class Limits(NamedTuple):
    """How much a server may send for what carries no body. Counts are bytes unless named otherwise."""

    line_bytes: int = 65536  # http.client's _MAXLINE
    head_bytes: int = 262144  # curl's limit is 300 KiB, Go's 10 MiB
    header_lines: int = 1000  # http.client's 100 is too few for real servers, curl allows 5000
    chunk_line_bytes: int = 16384  # hyper's limit for chunk extensions
    trailer_bytes: int = 65536
    trailer_lines: int = 1000
    overhead_bytes: int = 16384  # chunk extensions in excess of what is free with the data, as in Go (CVE-2023-39326)
    interim_responses: int = 32


DEFAULT_LIMITS = Limits()
MAX_LENGTH_DIGITS = 18  # 10**18 bytes is more than anybody sends and fits 63 bits
MAX_CHUNK_DIGITS = 15  # 2**60, likewise
RECEIVE_BYTES = 65536  # recv(4096) to recv(65536) cost the same, recv(262144) 11 us more (malloc maps memory)
MAX_PREALLOCATED_BYTES = 1 << 30  # up to here the buffer for a whole body is reserved at once; pages follow the bytes
