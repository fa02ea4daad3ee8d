"""A TLS socket from a connected one, verified as a hop's :class:`TlsSettings` say.

A socket, a context (``tls_contexts`` has it) and a host become a TLS socket for ``transport``, with the target or with
an HTTPS proxy.
Verifying chains and, wherever possible, names is OpenSSL's; ``certificates`` matches names and pins where it cannot,
``caller_ssl_context`` keeps the settings beside a caller's context off that context, ``tls_in_tls`` carries TLS through
TLS, ``tls_sessions`` keeps what can be resumed and ``transport`` says when.
It follows RFC 8446, RFC 6066 section 3 (no address and no dot at the end in SNI) and RFC 9525
(names), and gives urllib3's names in the last section.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Callable
from functools import partial
from socket import AF_INET, AF_INET6, inet_aton, inet_pton, socket
from typing import Final, NamedTuple, TypeAlias, cast

from ..base.endpoint import TlsSettings
from ..base.tls_errors import is_unknown_authority
from ..base.url import idna_encode
from ..exceptions import ConnectTimeoutError, ProtocolError, ProxySchemeUnsupported, SSLError
from .caller_ssl_context import ALPN_PROTOCOLS as ALPN_PROTOCOLS
from .caller_ssl_context import Rules, checks_common_name, context_under, rules_of
from .certificates import CertificateError as CertificateError
from .certificates import PeerCertificate, check_pins, match_hostname
from .certificates import assert_fingerprint as assert_fingerprint
from .socket_state import StreamSocket
from .tls_contexts import CA_SYSTEM as CA_SYSTEM
from .tls_contexts import CA_TRUSTSTORE as CA_TRUSTSTORE
from .tls_contexts import (
    constant,
    load_cert_chain,
    load_named_cas,
    missing_cas,
    rules_beside,
    set_verification,
    settled,
    versions,
    warn_of_version,
)
from .tls_contexts import context_for as context_for
from .tls_contexts import resolve_ssl_version as resolve_ssl_version
from .tls_in_tls import SSLTransport
from .tls_sessions import SessionCache as SessionCache
from .tls_sessions import sessions as sessions

TlsStream: TypeAlias = "ssl.SSLSocket | SSLTransport"


class TlsSocket(NamedTuple):
    """``sock`` is ready for use; ``is_verified``: the peer proved to be who was asked for, by chain or by pin."""

    sock: TlsStream
    is_verified: bool


# A socket


def wrap(
    sock: StreamSocket,
    settings: TlsSettings,
    host: str,
    *,
    timeout_s: float | None,
    session: ssl.SSLSession | None = None,
    tls_in_tls: bool = False,
    context: ssl.SSLContext | None = None,
) -> TlsSocket:
    """The TLS socket over ``sock``, its timeout set to ``timeout_s``, and whether the peer is verified.

    ``timeout_s``: for the whole handshake, ``None`` for no limit. ``session``: one that ``tls_sessions`` kept for this
    context and endpoint; the server may refuse it, and then the handshake is a full one. ``context``: what
    ``context_for(settings)`` gave, to be handed in together with a session. On any error ``sock`` is closed.
    A read at an end without close_notify raises ``ssl.SSLEOFError``; with it, it returns ``b""``.
    Errors: SSLError (handshake, chain, name or pin), ConnectTimeoutError, ProtocolError for a connection that broke;
    those of ``context_for``.
    """
    stream: StreamSocket = sock
    try:
        chosen = context_for(settings) if context is None else context
    except BaseException:
        sock.close()
        raise
    try:
        name = server_name(settings.server_hostname or host)
        rules = _rules_for(chosen, settings)
        maker = context_under(rules, chosen)
        sock.settimeout(timeout_s)
        wrapped: TlsStream
        if tls_in_tls:
            stream = wrapped = SSLTransport(sock, maker, name, suppress_ragged_eofs=False, session=session, then=chosen)
        else:
            stream = wrapped = _attached(cast(socket, sock), maker, name, session)
            if maker is not chosen:
                wrapped.context = chosen
            wrapped.do_handshake()
        return TlsSocket(wrapped, _checked(wrapped, maker, rules, settings, name))
    except BaseException as err:
        stream.close()
        sock.close()
        raised = _translated(err, host, timeout_s, settings)
        if raised is err:
            raise
        raise raised from err


def server_name(host: str) -> str:
    """The name to ask for and to verify, in ASCII: no brackets, no zone, no dot at the end (RFC 6066 section 3).

    Other letters go by the rule for URLs (IDNA 2008), by which "ß" is not "ss", so one name is never two hosts.
    ValueError for what cannot be one. It is found out here because ``wrap_socket`` would lose the socket over it.
    """
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    name = name.partition("%")[0] if ":" in name else name.removesuffix(".")
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"host name of {len(name)} characters, {_LONGEST_NAME} are allowed")
    if not name.isascii():
        name = idna_encode(name)
    return name.encode("idna").decode("ascii")  # looks at the length of labels


_LONGEST_NAME: Final = 253  # RFC 1035; longer names made the IDNA codec slow (CVE-2022-45061)


def _rules_for(context: ssl.SSLContext, settings: TlsSettings) -> Rules:
    return rules_of(context) if settings.ssl_context is None else rules_beside(context, settings)


def _attached(sock: socket, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    """The TLS socket that owns the connection now.

    The handshake is still to be done, so that an interrupt in it leaves nothing open; contexts of other makers
    (truststore) verify inside ``wrap_socket`` and so do it there, and again is no harm.
    """
    wrap_socket = partial(context.wrap_socket, sock, server_hostname=name, suppress_ragged_eofs=False)
    if type(context).__module__ == "ssl":  # truststore may stand in the class's place
        return wrap_socket(do_handshake_on_connect=False, session=session)
    return wrap_socket() if session is None else wrap_socket(session=session)


def _checked(stream: TlsStream, maker: ssl.SSLContext, rules: Rules, settings: TlsSettings, name: str) -> bool:
    """Whether the peer is verified. Errors: SSLError, CertificateError.

    ``rules`` were read before the socket was made: if ``maker``, perhaps the caller's own, says something else by now,
    nobody knows which of both the handshake went by.
    """
    now = rules_of(maker)
    if settings.ssl_context is not None and not now.differs_in_name_check_only(rules):
        raise SSLError("the ssl_context was changed during the handshake")
    asserted = settings.assert_hostname
    if settings.assert_fingerprint:
        check_pins(cast("bytes | None", stream.getpeercert(binary_form=True)), settings.assert_fingerprint)
    by_chain = rules.verify_mode != ssl.CERT_NONE
    wants_name = isinstance(asserted, str) or (asserted is None and not settings.assert_fingerprint)
    if by_chain and wants_name and not (rules.checks_name and now.checks_name):
        common_name = settings.ssl_context is not None and checks_common_name(maker)
        match_hostname(_certificate_of(stream, maker), server_name(str(asserted or name)), common_name)
    return rules.verify_mode == ssl.CERT_REQUIRED or bool(settings.assert_fingerprint)


def _certificate_of(stream: TlsStream, maker: ssl.SSLContext) -> PeerCertificate | None:
    """The peer's verified certificate as a dictionary.

    ``ssl`` shows none where the socket's context does not verify, though the handshake did, by ``maker``'s rules.
    """
    shown = stream.getpeercert()
    holder = stream.sslobj if isinstance(stream, SSLTransport) else stream
    if shown or holder.context is maker:
        return shown
    owners = holder.context
    holder.context = maker
    try:
        return stream.getpeercert()
    finally:
        holder.context = owners


def _translated(err: BaseException, host: str, timeout_s: float | None, settings: TlsSettings) -> BaseException:
    """poollib's error for what went wrong in a handshake; others as they are."""
    if isinstance(err, TimeoutError):
        return ConnectTimeoutError(f"TLS handshake with {host} timed out. (connect timeout={timeout_s})")
    if isinstance(err, ssl.SSLError):
        error = SSLError(err)
        if vars(err).get("reason") in _NOT_TLS:  # one that is not OpenSSL's has no reason
            error.hint = "the peer does not speak TLS here"
        elif is_unknown_authority(err):
            error.hint = missing_cas(settings) or error.hint
        return error
    if isinstance(err, OSError):
        return ProtocolError(f"Connection to {host} broke in the TLS handshake.", err)
    if isinstance(err, ValueError) and not isinstance(err, ProxySchemeUnsupported):
        return SSLError(err)  # the wrong name, or one that cannot be sent (IDNA)
    return err


_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})


# urllib3 names

SSLContext: Callable[[int], ssl.SSLContext] | None = (
    ssl.SSLContext
)  # a program may put its own here; None: as if there were no TLS
_own_context_class = SSLContext
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
    return cast(ssl.VerifyMode, constant("CERT_", candidate))


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
    if SSLContext is None:
        raise TypeError("Can't create an SSLContext object without an ssl module")
    maker = ssl.SSLContext if SSLContext is _own_context_class else SSLContext
    context = settled(maker(ssl.PROTOCOL_TLS_CLIENT))
    minimum, maximum = versions(ssl_version, ssl_minimum_version, ssl_maximum_version)
    warn_of_version(ssl_version)
    context.minimum_version = minimum
    if maximum is not None:
        context.maximum_version = maximum
    set_verification(context, TlsSettings(cert_reqs=cert_reqs))
    if options is not None:
        context.options = ssl.Options(options)
    if verify_flags is not None:
        context.verify_flags = ssl.VerifyFlags(verify_flags)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def ssl_wrap_socket(
    sock: StreamSocket,
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
    """A TLS socket over ``sock``, as urllib3 makes it: nothing is cached, errors of the handshake come as they are.

    Without authorities the system's are believed. What is given beside ``ssl_context`` is loaded into it. Errors:
    SSLError for files that cannot be loaded.
    """
    context = ssl_context or create_urllib3_context(ssl_version, cert_reqs, ciphers=ciphers)
    if ca_certs or ca_cert_dir or ca_cert_data:
        load_named_cas(context, ca_certs, ca_cert_dir, ca_cert_data)
    elif ssl_context is None and context.verify_mode != ssl.CERT_NONE:
        context.load_default_certs()
    if certfile:
        load_cert_chain(context, certfile, keyfile, key_password)
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    return _ssl_wrap_socket_impl(sock, context, tls_in_tls, server_hostname)


def wrap_by(
    wrap_socket: Callable[..., TlsStream],
    sock: StreamSocket,
    settings: TlsSettings,
    host: str,
    *,
    tls_in_tls: bool = False,
) -> TlsSocket:
    """As ``wrap``, by what a program has put in the place of ``ssl_wrap_socket``. Errors: as ``wrap``."""
    stream = sock
    try:
        context = context_for(settings)
        name = server_name(settings.server_hostname or host)
        rules = _rules_for(context, settings)
        if not rules_of(context).differs_in_name_check_only(rules):  # to compare a name as well is no harm
            raise SSLError("settings beside an ssl_context can't be handed to a replaced ssl_wrap_socket")
        stream = wrapped = wrap_socket(
            sock=sock,
            keyfile=settings.key_file,
            certfile=settings.cert_file,
            key_password=settings.key_password,
            ca_certs=settings.ca_certs,
            ca_cert_dir=settings.ca_cert_dir,
            ca_cert_data=settings.ca_cert_data,
            server_hostname=name,
            ssl_context=context,
            tls_in_tls=tls_in_tls,
        )
        return TlsSocket(wrapped, _checked(wrapped, context, rules, settings, name))
    except BaseException as err:
        stream.close()  # what was wrapped owns the descriptor
        sock.close()
        raised = _translated(err, host, None, settings)
        if raised is err:
            raise
        raise raised from err


def _ssl_wrap_socket_impl(
    sock: StreamSocket, ssl_context: ssl.SSLContext, tls_in_tls: bool, server_hostname: str | None = None
) -> TlsStream:
    if tls_in_tls:
        transport: type[SSLTransport] | None = SSLTransport  # None where a program has put that there
        if transport is None:
            raise ProxySchemeUnsupported("TLS in TLS requires support for the 'ssl' module")
        return transport(sock, ssl_context, server_hostname)
    return ssl_context.wrap_socket(cast(socket, sock), server_hostname=server_hostname)


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
