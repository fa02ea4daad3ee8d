"""A TLS socket from a connected one, verified as a hop's :class:`TlsWishes` say.

Wishes become one shared ``SSLContext`` each, which is never changed afterwards; a socket, a context and a host become a
TLS socket for ``connection``, or for ``tunnel`` when the hop is an HTTPS proxy.
Verifying chains and, wherever possible, names is OpenSSL's; ``certificates`` matches names and pins where it cannot,
``tls_in_tls`` carries TLS through TLS, ``sessions`` keeps what can be resumed and ``connection`` says when.
It follows RFC 8446 and RFC 8996 (versions), RFC 6066 section 3 (no address and no dot at the end in SNI) and RFC 9525
(names), and gives urllib3's names in the last section.

Why contexts are shared: making one with certifi's bundle costs 16 to 20 ms, a whole TLS 1.3 handshake 0.74 ms (CPython
3.11, 2026-11); urllib3 makes one for every connection.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import ssl
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from socket import AF_INET, AF_INET6, inet_aton, inet_pton, socket
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from .certificates import CertificateError as CertificateError
from .certificates import assert_fingerprint as assert_fingerprint
from .certificates import check_pins, match_hostname
from .endpoint import TlsWishes
from .exceptions import ConnectTimeoutError, ProtocolError, ProxySchemeUnsupported, SSLError
from .sessions import SessionCache as SessionCache
from .sessions import sessions as sessions
from .tls_in_tls import SSLTransport

#: ``ca_certs=CA_SYSTEM``: the certificate store of the system (on Linux OpenSSL's directories) instead of certifi's.
CA_SYSTEM: Final = "<system>"
#: ``ca_certs=CA_TRUSTSTORE``: the ``truststore`` package asks the operating system (macOS, Windows) to verify.
CA_TRUSTSTORE: Final = "<truststore>"

ALPN_PROTOCOLS = ["http/1.1"]

_MOST_CONTEXTS: Final = 64  # some 0.5 MiB each with certifi's bundle
#: What OpenSSL reads in place of its own paths; who sets one means it, so certifi's bundle steps back.
_STORE_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")

TlsStream: TypeAlias = "ssl.SSLSocket | SSLTransport"


class TlsSocket(NamedTuple):
    """``sock`` is ready for use; ``is_verified``: the peer proved to be who was asked for, by chain or by pin."""

    sock: TlsStream
    is_verified: bool


# Contexts

_lock = threading.Lock()  # guards _contexts, and lets one thread at a time make a context
_contexts: OrderedDict[Hashable, ssl.SSLContext] = OrderedDict()


def _forget_lock() -> None:
    """A fork in the middle of making a context leaves the child a free lock."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


def context_for(wishes: TlsWishes) -> ssl.SSLContext:
    """The context for these wishes: the same object for equal wishes as long as their files stay the same.

    A given ``ssl_context`` is returned itself. What is wished beside it is put into it, once: ``cert_reqs`` becomes its
    ``verify_mode`` (as in urllib3), CAs, client certificate and versions are added, and a pin or ``assert_hostname``
    turns ``check_hostname`` off, upon which ``wrap`` matches names itself; so give each context one set of wishes.
    Errors: SSLError naming the file or the argument; ValueError for a version that is none.
    """
    given = wishes.ssl_context
    if given is not None and wishes == TlsWishes(server_hostname=wishes.server_hostname, ssl_context=given):
        return given
    key = (wishes, _stamps(wishes))
    with _lock:
        context = _contexts.get(key)
        if context is None:
            context = _contexts[key] = _adapted(wishes, given) if given is not None else _made(wishes)
            if len(_contexts) > _MOST_CONTEXTS:
                _contexts.popitem(last=False)
        else:
            _contexts.move_to_end(key)
    return context


def _stamps(wishes: TlsWishes) -> tuple[object, ...]:
    """What tells that a file was replaced, that the environment names another one, or a mock stands in ssl's place."""
    paths = [wishes.ca_certs, wishes.ca_cert_dir, wishes.cert_file, wishes.key_file]
    environment = [os.environ.get(name) for name in (*_STORE_VARIABLES, "SSLKEYLOGFILE")]
    if wishes.ssl_context is None and not _names_cas(wishes):
        paths.append(_certifi_bundle())
    return (ssl.SSLContext, *environment, *(_stamp(path) for path in paths if isinstance(path, str)))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # missing: loading it will say so
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _made(wishes: TlsWishes) -> ssl.SSLContext:
    """A new context. The secure defaults stand here and nowhere else, together with ``_settled``."""
    maker: Callable[[int], ssl.SSLContext] = ssl.SSLContext
    if wishes.ca_certs == CA_TRUSTSTORE:
        maker = _truststore().SSLContext
    context = _settled(maker(ssl.PROTOCOL_TLS_CLIENT))
    minimum, maximum = _versions(wishes.ssl_version, wishes.ssl_minimum_version, wishes.ssl_maximum_version)
    context.minimum_version = minimum
    if maximum is not None:
        context.maximum_version = maximum
    _set_verification(context, wishes)
    if context.verify_mode != ssl.CERT_NONE:
        _load_cas(context, wishes)
    _load_client_certificate(context, wishes)
    return context


def _adapted(wishes: TlsWishes, context: ssl.SSLContext) -> ssl.SSLContext:
    """The given context with what was wished beside it."""
    if wishes.ssl_minimum_version is not None:
        context.minimum_version = _version("ssl_minimum_version", wishes.ssl_minimum_version)
    if wishes.ssl_maximum_version is not None:
        context.maximum_version = _version("ssl_maximum_version", wishes.ssl_maximum_version)
    _set_verification(context, wishes)
    if _names_cas(wishes):
        _load_cas(context, wishes)
    _load_client_certificate(context, wishes)
    return context


def _settled(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context with everything that does not depend on wishes.

    Tickets stay on (urllib3 turns them off): sessions are resumed. A connection that ends without close_notify is an
    error and not an end (RFC 9112 section 9.8), so a body cut short is seen.
    """
    context.options |= ssl.OP_NO_COMPRESSION
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if sys.version_info >= (3, 13):  # as ssl.create_default_context has it
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    with contextlib.suppress(AttributeError):  # LibreSSL has no such switch
        context.hostname_checks_common_name = False
    context.post_handshake_auth = True
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    _log_keys(context)
    return context


def _log_keys(context: ssl.SSLContext) -> None:
    path = os.path.expandvars(os.environ.get("SSLKEYLOGFILE", ""))
    if not path:
        return
    try:
        context.keylog_filename = path
    except OSError as err:
        raise SSLError(f"SSLKEYLOGFILE {path!r}: {err}") from err


def _set_verification(context: ssl.SSLContext, wishes: TlsWishes) -> None:
    """``check_hostname`` goes off before ``verify_mode``; it is never turned on in a given context."""
    if wishes.assert_hostname is not None or wishes.assert_fingerprint or wishes.cert_reqs == ssl.CERT_NONE:
        context.check_hostname = False
    if wishes.cert_reqs is not None and context.verify_mode != wishes.cert_reqs:
        context.verify_mode = ssl.VerifyMode(wishes.cert_reqs)


# The oldest version that is spoken unless an older one is asked for (RFC 8996 forbids TLS 1.0 and 1.1).
_MINIMUM_VERSION: Final = ssl.TLSVersion.TLSv1_2
_SSL_VERSION_TO_TLS_VERSION: dict[int, ssl.TLSVersion] = {
    getattr(ssl, f"PROTOCOL_{name}"): getattr(ssl.TLSVersion, name)
    for name in ("TLSv1", "TLSv1_1", "TLSv1_2")
    if hasattr(ssl, f"PROTOCOL_{name}")
}


def _versions(
    exact: int | str | None, minimum: int | None, maximum: int | None
) -> tuple[ssl.TLSVersion, ssl.TLSVersion | None]:
    """The oldest and the newest version; ``None``: the newest OpenSSL speaks."""
    method = resolve_ssl_version(exact)
    if method not in (ssl.PROTOCOL_TLS, ssl.PROTOCOL_TLS_CLIENT):
        if minimum is not None or maximum is not None:
            raise ValueError(
                "Can't specify both 'ssl_version' and either 'ssl_minimum_version' or 'ssl_maximum_version'"
            )
        if method not in _SSL_VERSION_TO_TLS_VERSION:
            raise ValueError(f"ssl_version: {exact!r} is no version that can be spoken")
        version = _SSL_VERSION_TO_TLS_VERSION[method]
        return version, version
    oldest = _MINIMUM_VERSION if minimum is None else _version("ssl_minimum_version", minimum)
    return oldest, None if maximum is None else _version("ssl_maximum_version", maximum)


def _version(name: str, wish: int) -> ssl.TLSVersion:
    try:
        return ssl.TLSVersion(wish)
    except ValueError as err:
        raise ValueError(f"{name}: {wish!r} is no ssl.TLSVersion") from err


# Authorities


def _names_cas(wishes: TlsWishes) -> bool:
    return bool(wishes.ca_certs or wishes.ca_cert_dir or wishes.ca_cert_data)


def _load_cas(context: ssl.SSLContext, wishes: TlsWishes) -> None:
    """Only the authorities that were named (CVE-2019-11324); none named, certifi's or the system's."""
    if wishes.ca_certs == CA_TRUSTSTORE:
        return
    if wishes.ca_certs == CA_SYSTEM:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    elif _names_cas(wishes):
        _load_named_cas(context, wishes.ca_certs, wishes.ca_cert_dir, wishes.ca_cert_data)
    else:
        _load_usual_cas(context)


def _load_named_cas(
    context: ssl.SSLContext, ca_certs: str | None, ca_cert_dir: str | None, ca_cert_data: str | bytes | None
) -> None:
    if isinstance(ca_cert_data, bytes) and b"-----BEGIN" in ca_cert_data:
        ca_cert_data = ca_cert_data.decode("latin-1")  # OpenSSL takes text as PEM and bytes as DER
    try:
        context.load_verify_locations(ca_certs or None, ca_cert_dir or None, ca_cert_data or None)
    except (OSError, ValueError, TypeError) as err:
        named = f"ca_certs={ca_certs!r}, ca_cert_dir={ca_cert_dir!r}"
        raise SSLError(f"cannot load CA certificates ({named}): {err}") from err


def _load_usual_cas(context: ssl.SSLContext) -> None:
    bundle = _certifi_bundle()
    if bundle is None or any(os.environ.get(name) for name in _STORE_VARIABLES):
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_named_cas(context, bundle, None, None)


def _certifi_bundle() -> str | None:
    """The path of certifi's bundle; ``None`` without certifi. Imported late: it costs 22 ms."""
    try:
        from certifi import where
    except ImportError:
        return None
    return where()


def _truststore() -> Any:
    try:
        return importlib.import_module("truststore")
    except ImportError as err:
        raise SSLError("ca_certs=CA_TRUSTSTORE needs the package truststore") from err


# Client certificates


def _load_client_certificate(context: ssl.SSLContext, wishes: TlsWishes) -> None:
    if wishes.cert_file is None:
        if wishes.key_file is not None:
            raise SSLError("key_file is given without cert_file")
        return
    _load_cert_chain(context, wishes.cert_file, wishes.key_file, wishes.key_password)


def _load_cert_chain(
    context: ssl.SSLContext, cert: str | bytes, key: str | bytes | None, password: str | bytes | None
) -> None:
    """``password``: ``None`` makes an encrypted key an error; OpenSSL would ask on the terminal."""
    named = f"cert_file={_named(cert)}, key_file={_named(key)}"
    with _as_file(cert) as cert_path, _as_file(key) as key_path:
        try:
            context.load_cert_chain(cert_path or "", key_path, _no_password if password is None else password)
        except (OSError, ValueError, TypeError) as err:
            raise SSLError(f"cannot load the client certificate ({named}): {err}") from err


def _no_password() -> NoReturn:
    raise SSLError("Client private key is encrypted, password required")


def _named(pem: str | bytes | None) -> str:
    return "<in memory>" if isinstance(pem, bytes) else repr(pem)


@contextlib.contextmanager
def _as_file(pem: str | bytes | None) -> Iterator[str | None]:
    """A path to read it from. OpenSSL loads keys from files alone: a private one stands for the length of the call."""
    if not isinstance(pem, bytes):
        yield pem
        return
    import tempfile  # with lzma, bz2 and more behind it: 0.9 MiB that most never need

    handle, path = tempfile.mkstemp(prefix="poollib-", suffix=".pem")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        yield path
    finally:
        os.unlink(path)


# A socket


def wrap(
    sock: socket | TlsStream,
    wishes: TlsWishes,
    host: str,
    *,
    timeout_s: float | None,
    session: ssl.SSLSession | None = None,
    tls_in_tls: bool = False,
    context: ssl.SSLContext | None = None,
) -> TlsSocket:
    """The TLS socket over ``sock``, its timeout set to ``timeout_s``, and whether the peer is verified.

    ``timeout_s``: for the whole handshake, ``None`` for no limit. ``session``: one that ``sessions`` kept for this
    context and endpoint; the server may refuse it, and then the handshake is a full one. ``context``: what
    ``context_for(wishes)`` gave, to be handed in together with a session. On any error ``sock`` is closed.
    A read at an end without close_notify raises ``ssl.SSLEOFError``; with it, it returns ``b""``.
    Errors: SSLError (handshake, chain, name or pin), ConnectTimeoutError, ProtocolError for a connection that broke;
    those of ``context_for``.
    """
    stream: Any = sock
    try:
        settled = context_for(wishes) if context is None else context
    except BaseException:
        sock.close()
        raise
    try:
        name = server_name(wishes.server_hostname or host)
        sock.settimeout(timeout_s)
        if tls_in_tls:
            stream = SSLTransport(sock, settled, name, suppress_ragged_eofs=False, session=session)
        else:
            stream = _attached(sock, settled, name, session)
            stream.do_handshake()
        return TlsSocket(stream, _checked(stream, settled, wishes, name))
    except BaseException as err:
        stream.close()
        sock.close()
        raised = _translated(err, host, timeout_s)
        if raised is err:
            raise
        raise raised from err


def server_name(host: str) -> str:
    """The name to ask for and to verify, in ASCII: no brackets, no zone, no dot at the end (RFC 6066 section 3).

    ValueError for what cannot be one. It is found out here because ``wrap_socket`` would lose the socket over it.
    """
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    name = name.partition("%")[0] if ":" in name else name.removesuffix(".")
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"host name of {len(name)} characters, {_LONGEST_NAME} are allowed")
    return name.encode("idna").decode("ascii")


_LONGEST_NAME: Final = 253  # RFC 1035; longer names made the IDNA codec slow (CVE-2022-45061)


def _attached(sock: Any, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None) -> Any:
    """The TLS socket that owns the connection now.

    The handshake is still to be done, so that an interrupt in it leaves nothing open; contexts of other makers
    (truststore) verify inside ``wrap_socket`` and so do it there, and again is no harm.
    """
    extra: dict[str, Any] = {} if session is None else {"session": session}
    if type(context) is ssl.SSLContext:
        extra["do_handshake_on_connect"] = False
    return context.wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=False, **extra)


def _checked(stream: Any, context: ssl.SSLContext, wishes: TlsWishes, name: str) -> bool:
    """Whether the peer is verified. Errors: SSLError, CertificateError.

    ``check_hostname`` is read after the handshake: it may be turned off in a shared given context, never on, so what is
    on now was on before.
    """
    asserted = wishes.assert_hostname
    if wishes.assert_fingerprint:
        check_pins(stream.getpeercert(binary_form=True), wishes.assert_fingerprint)
    by_chain = context.verify_mode != ssl.CERT_NONE
    wants_name = isinstance(asserted, str) or (asserted is None and not wishes.assert_fingerprint)
    if by_chain and wants_name and not context.check_hostname:
        common_name = bool(wishes.ssl_context and getattr(context, "hostname_checks_common_name", False))
        match_hostname(stream.getpeercert(), server_name(str(asserted or name)), common_name)
    return context.verify_mode == ssl.CERT_REQUIRED or bool(wishes.assert_fingerprint)


def _translated(err: BaseException, host: str, timeout_s: float | None) -> BaseException:
    """poollib's error for what went wrong in a handshake; others as they are."""
    if isinstance(err, TimeoutError):
        return ConnectTimeoutError(f"TLS handshake with {host} timed out. (connect timeout={timeout_s})")
    if isinstance(err, ssl.SSLError):
        no_tls = getattr(err, "reason", None) in _NOT_TLS
        return SSLError(f"{host}: {err}{' (the peer does not speak TLS here)' if no_tls else ''}")
    if isinstance(err, OSError):
        return ProtocolError(f"Connection to {host} broke in the TLS handshake.", err)
    if isinstance(err, (ValueError, SSLError)) and not isinstance(err, ProxySchemeUnsupported):
        return SSLError(f"{host}: {err}")  # the wrong name or pin, or a name that cannot be sent (IDNA)
    return err


_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})


# urllib3 names

SSLContext = ssl.SSLContext
TLSVersion = ssl.TLSVersion
CERT_REQUIRED = ssl.CERT_REQUIRED
OP_NO_COMPRESSION = ssl.OP_NO_COMPRESSION
OP_NO_SSLv2 = ssl.OP_NO_SSLv2
OP_NO_SSLv3 = ssl.OP_NO_SSLv3
OP_NO_TICKET = ssl.OP_NO_TICKET
PROTOCOL_TLS = PROTOCOL_SSLv23 = ssl.PROTOCOL_TLS
PROTOCOL_TLS_CLIENT = ssl.PROTOCOL_TLS_CLIENT
VERIFY_X509_STRICT = ssl.VERIFY_X509_STRICT
VERIFY_X509_PARTIAL_CHAIN = getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0x80000)
HAS_NEVER_CHECK_COMMON_NAME = ssl.HAS_NEVER_CHECK_COMMON_NAME
IS_PYOPENSSL = False


def resolve_cert_reqs(candidate: int | str | None) -> ssl.VerifyMode:
    """The ``ssl.CERT_*`` constant for a name, a number or ``None`` (required)."""
    if candidate is None:
        return ssl.CERT_REQUIRED
    return _constant("CERT_", candidate)  # type: ignore[no-any-return]


def resolve_ssl_version(candidate: int | str | None) -> int:
    """The ``ssl.PROTOCOL_*`` constant for a name, a number or ``None`` (any version)."""
    return ssl.PROTOCOL_TLS if candidate is None else int(_constant("PROTOCOL_", candidate))


def _constant(prefix: str, candidate: int | str) -> Any:
    """The constant of that name, with or without its prefix; AttributeError for an unknown one, as urllib3."""
    if not isinstance(candidate, str):
        return candidate
    return getattr(ssl, candidate) if hasattr(ssl, candidate) else getattr(ssl, prefix + candidate)


def create_urllib3_context(
    ssl_version: int | None = None,
    cert_reqs: int | None = None,
    options: int | None = None,
    ciphers: str | None = None,
    ssl_minimum_version: int | None = None,
    ssl_maximum_version: int | None = None,
    verify_flags: int | None = None,
) -> ssl.SSLContext:
    """A new context with poollib's defaults and no CA loaded. ``options`` and ``verify_flags`` replace the defaults."""
    context = _settled(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    minimum, maximum = _versions(ssl_version, ssl_minimum_version, ssl_maximum_version)
    context.minimum_version = minimum
    if maximum is not None:
        context.maximum_version = maximum
    _set_verification(context, TlsWishes(cert_reqs=cert_reqs))
    if options is not None:
        context.options = ssl.Options(options)
    if verify_flags is not None:
        context.verify_flags = ssl.VerifyFlags(verify_flags)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def ssl_wrap_socket(
    sock: Any,
    keyfile: str | None = None,
    certfile: str | None = None,
    cert_reqs: int | None = None,
    ca_certs: str | None = None,
    server_hostname: str | None = None,
    ssl_version: int | None = None,
    ciphers: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    ca_cert_dir: str | None = None,
    key_password: str | None = None,
    ca_cert_data: str | bytes | None = None,
    tls_in_tls: bool = False,
) -> TlsStream:
    """A TLS socket over ``sock``, by urllib3's door: nothing is cached, errors of the handshake come as they are.

    What is given beside ``ssl_context`` is loaded into it. Errors: SSLError for files that cannot be loaded.
    """
    context = ssl_context or create_urllib3_context(ssl_version, cert_reqs, ciphers=ciphers)
    if ca_certs or ca_cert_dir or ca_cert_data:
        _load_named_cas(context, ca_certs, ca_cert_dir, ca_cert_data)
    elif ssl_context is None and context.verify_mode != ssl.CERT_NONE:
        _load_usual_cas(context)
    if certfile:
        _load_cert_chain(context, certfile, keyfile, key_password)
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    return _ssl_wrap_socket_impl(sock, context, tls_in_tls, server_hostname)


def wrap_by(
    wrap_socket: Callable[..., Any], sock: Any, wishes: TlsWishes, host: str, *, tls_in_tls: bool = False
) -> TlsSocket:
    """As ``wrap``, by what a program has put in the place of ``ssl_wrap_socket``. Errors: as ``wrap``."""
    stream = sock
    try:
        context = context_for(wishes)
        name = server_name(wishes.server_hostname or host)
        stream = wrap_socket(
            sock=sock,
            keyfile=wishes.key_file,
            certfile=wishes.cert_file,
            key_password=wishes.key_password,
            ca_certs=wishes.ca_certs,
            ca_cert_dir=wishes.ca_cert_dir,
            ca_cert_data=wishes.ca_cert_data,
            server_hostname=name,
            ssl_context=context,
            tls_in_tls=tls_in_tls,
        )
        return TlsSocket(stream, _checked(stream, context, wishes, name))
    except BaseException as err:
        stream.close()  # what was wrapped owns the descriptor
        sock.close()
        raised = _translated(err, host, None)
        if raised is err:
            raise
        raise raised from err


def _ssl_wrap_socket_impl(
    sock: Any, ssl_context: ssl.SSLContext, tls_in_tls: bool, server_hostname: str | None = None
) -> TlsStream:
    if tls_in_tls:
        return SSLTransport(sock, ssl_context, server_hostname)
    return ssl_context.wrap_socket(sock, server_hostname=server_hostname)


def is_ipaddress(hostname: str | bytes) -> bool:
    """Whether it is an IPv4 or IPv6 address, a zone allowed, brackets not; also as sockets take it: ``0x7f.1``."""
    text = hostname.decode("ascii", "replace") if isinstance(hostname, bytes) else hostname
    for family in (AF_INET, AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            inet_pton(family, text.partition("%")[0])
            return True
    with contextlib.suppress(OSError):
        return _loose_ipv4.fullmatch(text) is not None and bool(inet_aton(text))
    return False


_loose_ipv4: Final = re.compile(r"[0-9][0-9A-Fa-fxX]*(?:\.[0-9][0-9A-Fa-fxX]*){0,3}")  # what inet_aton reads, no more


def _is_key_file_encrypted(key_file: str) -> bool:
    """Whether the PEM file says that its key needs a password."""
    with open(key_file, encoding="latin-1") as file:
        return any("ENCRYPTED" in line for line in file)
