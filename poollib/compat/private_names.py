"""urllib3's private helpers and type aliases that no module of poollib needs, for programs that import them.

Each does what its name says by the modules that own the idea; ``module_paths`` says which of urllib3's modules has it.
No request of poollib's goes through them, except :func:`_ssl_wrap_socket_and_match_hostname`, which serves
connections whose TLS functions a program has replaced.  Follows urllib3 2.8.0.
"""

from __future__ import annotations

import codecs
import enum
import errno
import hashlib
import queue
import re
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.client import HTTPMessage
from string import ascii_letters, digits
from types import ModuleType, TracebackType
from typing import IO, Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

from ..base.url import Url, _without_dots
from ..connection import HTTPConnection, HTTPSConnection
from ..exceptions import HeaderParsingError, LocationParseError, ProxyError, SSLError
from ..exchange import httpclient_hooks, transport
from ..http1.grammar import DEFAULT_LIMITS
from ..net.certificates import _HASH_NAMES, CertificateError, PeerCertificate, match_hostname, replaced_hashes
from ..net.tls import context_for, is_ipaddress, resolve_cert_reqs, server_name

BaseHTTPConnection = HTTPConnection
BaseHTTPSConnection = HTTPSConnection

_TYPE_BODY = bytes | IO[Any] | Iterable[bytes] | str
_TYPE_ENCODE_URL_FIELDS = Sequence[tuple[str, str | bytes]] | Mapping[str, str | bytes]
_TYPE_FIELDS_SEQUENCE = Sequence[object]
_TYPE_PEER_CERT_RET = dict[str, object] | bytes | None
_TYPE_REDUCE_RESULT = tuple[Callable[..., object], tuple[object, ...]]
_TYPE_SOCKET_OPTIONS = Sequence[tuple[int, int, int | bytes]]
_TYPE_VERSION_INFO = tuple[int, int, int, str, int]
ValidHTTPHeaderSource = Mapping[str, str] | Iterable[tuple[str, str]]
_ReturnValue = TypeVar("_ReturnValue")
_WriteBuffer = bytes | bytearray | memoryview


class _HashFunctions(dict[int, object]):
    """Hash functions by the number of hex digits; one that is put in here is used."""

    def __setitem__(self, digits: int, function: object) -> None:
        super().__setitem__(digits, function)
        replaced_hashes[digits] = function


HASHFUNC_MAP = _HashFunctions({digits: getattr(hashlib, name, None) for digits, name in _HASH_NAMES.items()})
writer = codecs.lookup("utf-8").streamwriter


class _Sentinel(enum.Enum):
    not_passed = 1


class _ResponseOptions(NamedTuple):
    request_method: str
    request_url: str
    preload_content: bool
    decode_content: bool
    enforce_content_length: bool


class _WrappedAndVerifiedSocket(NamedTuple):
    socket: Any
    is_verified: bool


# -- urllib3.connection --

_CONTAINS_CONTROL_CHAR_RE = re.compile(r"[^!#-'*+\-.0-9A-Z^-z|~]")
_OBSOLETE_FOLD_RE = re.compile(r"[ \t]*\r\n[ \t]+")


def _get_default_user_agent() -> str:
    return httpclient_hooks.USER_AGENT


def _normalize_header_value(value: str) -> str:
    """The value on one line: a line folded the old way reads as a blank (RFC 9112 section 5.2)."""
    return _OBSOLETE_FOLD_RE.sub(" ", value)


def _normalize_header_values(message: HTTPMessage) -> list[tuple[str, str]]:
    """The message's fields, each on one line from now on; all else about the message stays."""
    fields = [(name, _normalize_header_value(value)) for name, value in message.items()]
    for name in {name for name, _ in fields}:
        del message[name]
    for name, value in fields:
        message[name] = value
    return fields


def _url_from_connection(conn: HTTPConnection, path: str | None = None) -> str:
    """The URL of a path on a connection's host."""
    scheme = "https" if isinstance(conn, HTTPSConnection) else "http"
    return Url(scheme=scheme, host=conn.host, port=conn.port, path=path).url


def _wrap_proxy_error(err: Exception, proxy_scheme: str | None) -> ProxyError:
    """A ProxyError around what went wrong on the way to a proxy."""
    text = "Unable to connect to proxy"
    if proxy_scheme == "https" and re.search(r"wrong.version.number|unknown.protocol", str(err).lower()):
        text += ". Your proxy appears to only use HTTP and not HTTPS, try changing your proxy URL to be HTTP."
    return ProxyError(text, err)


def _match_hostname(
    cert: PeerCertificate | None, asserted_hostname: str, hostname_checks_common_name: bool = False
) -> None:
    """As ``match_hostname``; the brackets of an IPv6 address do not count, and a mismatch is logged."""
    stripped = asserted_hostname.strip("[]")
    name = stripped if is_ipaddress(stripped) else asserted_hostname
    try:
        match_hostname(cert, name, hostname_checks_common_name)
    except CertificateError as error:
        transport.log.warning(
            "Certificate did not match expected hostname: %s. Certificate: %s", asserted_hostname, cert
        )
        error._peer_cert = cert  # type: ignore[attr-defined]
        raise


def _ssl_wrap_socket_and_match_hostname(
    sock: Any,
    *,
    cert_reqs: int | str | None,
    ssl_version: int | str | None,
    ssl_minimum_version: int | None,
    ssl_maximum_version: int | None,
    cert_file: str | None,
    key_file: str | None,
    key_password: str | None,
    ca_certs: str | None,
    ca_cert_dir: str | None,
    ca_cert_data: str | bytes | None,
    assert_hostname: str | bool | None,
    assert_fingerprint: str | None,
    server_hostname: str | None,
    ssl_context: ssl.SSLContext | None,
    tls_in_tls: bool = False,
) -> _WrappedAndVerifiedSocket:
    """A TLS socket made by ``urllib3.connection.ssl_wrap_socket`` as it is now, checked by what stands there, too."""
    from .. import connection
    from ..base.endpoint import TlsSettings

    settings = TlsSettings(
        cert_reqs=cert_reqs, ssl_version=ssl_version, ssl_minimum_version=ssl_minimum_version,
        ssl_maximum_version=ssl_maximum_version, cert_file=cert_file, key_file=key_file, key_password=key_password,
        ca_certs=ca_certs, ca_cert_dir=ca_cert_dir, ca_cert_data=ca_cert_data, assert_hostname=assert_hostname,
        assert_fingerprint=assert_fingerprint, server_hostname=server_hostname, ssl_context=ssl_context,
    )  # fmt: skip
    connection_globals = vars(connection)
    name = server_name(server_hostname or "")
    context = ssl_context if ssl_context is not None else context_for(settings)
    if cert_reqs is not None and resolve_cert_reqs(cert_reqs) > context.verify_mode:
        sock.close()
        raise SSLError("cert_reqs asks for more than the ssl_context's verify_mode, which is the caller's to set")
    stream = connection_globals["ssl_wrap_socket"](
        sock=sock, keyfile=key_file, certfile=cert_file, key_password=key_password, ca_certs=ca_certs,
        ca_cert_dir=ca_cert_dir, ca_cert_data=ca_cert_data, server_hostname=name, ssl_context=context,
        tls_in_tls=tls_in_tls,
    )  # fmt: skip
    try:
        if assert_fingerprint:
            connection_globals["_assert_fingerprint"](stream.getpeercert(binary_form=True), assert_fingerprint)
        elif context.verify_mode != ssl.CERT_NONE and not context.check_hostname and assert_hostname is not False:
            connection_globals["_match_hostname"](stream.getpeercert(), str(assert_hostname or name))
    except BaseException:
        stream.close()
        raise
    verified = context.verify_mode == ssl.CERT_REQUIRED or bool(assert_fingerprint)
    if cert_reqs is not None:
        verified = (verified and resolve_cert_reqs(cert_reqs) == ssl.CERT_REQUIRED) or bool(assert_fingerprint)
    return _WrappedAndVerifiedSocket(stream, verified)


# -- urllib3.connectionpool --

_blocking_errnos = {errno.EAGAIN, errno.EWOULDBLOCK}


def _close_pool_connections(pool: queue.LifoQueue[HTTPConnection | None]) -> None:
    """Take everything out of a pool's queue and close it."""
    try:
        while True:
            connection = pool.get(block=False)
            if connection:
                connection.close()
    except queue.Empty:
        pass


# -- urllib3.response, urllib3.util.response --

_MAX_CHUNK_LINE_LENGTH = DEFAULT_LIMITS.chunk_line_bytes
_READ_CHUNK_SIZE = 65536


def _has_zstd() -> bool:
    from ..http1.decoders import available_codings

    return "zstd" in available_codings()


def _brotli() -> ModuleType | None:
    from ..http1.decoders import _brotli as package

    return package()


HAS_ZSTD = _has_zstd()
brotli = _brotli()  # the package that decodes br, None if there is none


def is_fp_closed(obj: object) -> bool:
    """Whether a file or response has nothing more to read; ValueError if it can't be told."""
    if hasattr(obj, "isclosed"):
        return bool(obj.isclosed())
    if hasattr(obj, "closed"):
        return bool(obj.closed)
    if hasattr(obj, "fp"):
        return obj.fp is None
    raise ValueError("Unable to determine whether fp is closed.")


def is_response_to_head(response: Any) -> bool:
    """Whether the response of ``http.client`` answers HEAD."""
    return str(response._method).upper() == "HEAD"


def assert_header_parsing(headers: HTTPMessage) -> None:
    """HeaderParsingError if ``http.client`` could not read a part of the head; TypeError for what it did not read."""
    if not isinstance(headers, HTTPMessage):
        raise TypeError(f"expected httplib.Message, got {type(headers)}.")
    unparsed = headers.get_payload()
    # An empty multipart body is no defect of the head: http.client reads heads alone.
    allowed = ("StartBoundaryNotFoundDefect", "MultipartInvariantViolationDefect")
    defects = [defect for defect in headers.defects if type(defect).__name__ not in allowed]
    text = unparsed if isinstance(unparsed, (bytes, str)) else None
    if defects or text:
        raise HeaderParsingError(defects, text)


# -- urllib3.util.util --


def reraise(tp: type[BaseException] | None, value: BaseException, tb: TracebackType | None = None) -> NoReturn:
    """Raise ``value`` with the traceback ``tb``."""
    try:
        raise value.with_traceback(tb)
    finally:
        value = None  # type: ignore[assignment]
        tb = None


# -- urllib3.util.ssl_, urllib3.util.url --

_IPV4_RE = re.compile(r"^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$")
_BRACELESS_IPV6_ADDRZ_RE = re.compile(r"^(?=.*:.*:)[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._~%-]+)?$")


def _is_has_never_check_common_name_reliable(openssl_version: str) -> bool:
    return openssl_version.startswith("OpenSSL ")


def _decode_percent_encoding(match: re.Match[str], *, error_host: str) -> str:
    """What a percent triple stands for; LocationParseError if that is no text."""
    try:
        return unquote_to_bytes(match[0]).decode("utf-8")
    except UnicodeDecodeError:
        raise LocationParseError(error_host) from None


def _normalize_host_percent_encoding(match: re.Match[str]) -> str:
    """A percent triple in capitals, or the character if it needs none (RFC 3986 section 2.3)."""
    char = chr(int(match[0][1:], 16))
    return char if char.isascii() and (char.isalnum() or char in "-._~") else match[0].upper()


def _normalize_zone_id_percent_encoding(match: re.Match[str], *, error_host: str) -> str:
    return match[0].upper()


# RFC 3986 sections 2.2, 2.3 and 3.2.1 to 3.5: which characters each part of a URL may hold as they are.
_UNRESERVED_CHARS = frozenset(ascii_letters + digits + "-._~")
_SUB_DELIM_CHARS = frozenset("!$&'()*+,;=")
_USERINFO_CHARS = _UNRESERVED_CHARS | _SUB_DELIM_CHARS | {":"}
_PATH_CHARS = _USERINFO_CHARS | {"@", "/"}
_QUERY_CHARS = _FRAGMENT_CHARS = _PATH_CHARS | {"?"}


def _encode_invalid_chars(component: str | bytes | None, allowed_chars: Iterable[str]) -> str | None:
    """``component`` with all but the ASCII characters in ``allowed_chars`` as percent triples; whole triples stay."""
    if component is None:
        return None
    if isinstance(component, bytes):
        component = component.decode("utf-8")
    allowed = frozenset(filter(str.isascii, allowed_chars))
    whole = re.sub("%[0-9a-fA-F]{2}", lambda match: match[0].upper(), component)
    keeps_percent = len(re.findall("%[0-9A-F]{2}", whole)) == whole.count("%")
    return "".join(char if char in allowed or (char == "%" and keeps_percent) else _triples(char) for char in whole)


def _triples(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _remove_path_dot_segments(path: str) -> str:
    """The path without ``.`` and ``..`` segments (RFC 3986 section 5.2.4)."""
    return _without_dots(path)
