"""From what a hop wants of TLS to an ``SSLContext``: one for each set of settings, kept; or the caller's own.

``tls`` asks for the context of a hop's :class:`TlsSettings` before it makes a socket. A context that was made here is
never changed afterwards; it is made anew when a file that it was made of changes. The settings beside a caller's
context are kept off it by ``caller_ssl_context``; sockets and handshakes are left to ``tls``.
It follows RFC 8446 and RFC 8996 (versions), and CVE-2019-11324 (only the authorities that were named).

Why contexts are shared: making one with certifi's bundle costs 16 to 20 ms, a whole TLS 1.3 handshake 0.74 ms (CPython
3.11, 2026-11); urllib3 makes one for every connection.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import ssl
import stat
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, NoReturn

from ..base import after_fork
from ..base.deprecations import warn_as_urllib3
from ..base.endpoint import TlsSettings
from ..exceptions import SSLError
from .caller_ssl_context import ALPN_PROTOCOLS, Loaded, Rules, Wanted, rules_of
from .tls_sessions import sessions

#: ``ca_certs=CA_SYSTEM``: the certificate store of the system (on Linux OpenSSL's directories) instead of certifi's.
CA_SYSTEM: Final = "<system>"
#: ``ca_certs=CA_TRUSTSTORE``: the ``truststore`` package asks the operating system (macOS, Windows) to verify.
CA_TRUSTSTORE: Final = "<truststore>"

_MOST_CONTEXTS: Final = 64
_MOST_BYTES: Final = 32 << 20  # of all contexts together: some 45 with certifi's bundle
#: What OpenSSL reads in place of its own paths; who sets one means it, so certifi's bundle steps back.
_STORE_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")

# Guards _contexts and _loaded, and lets one thread at a time make a context. Re-entrant: a finaliser or a signal
# handler that makes a request may run in the very thread that holds it. For the same reason nobody waits for it for
# ever: the finaliser may hold a lock of its own that the other thread's finaliser waits for.
_lock = threading.RLock()
_LONGEST_WAIT_S: Final = 10.0


class _Key(NamedTuple):
    """What a context is kept by, and outlives its pool."""

    settings: TlsSettings  # without what is secret
    secrets: bytes | None  # a digest of the client's key and password, None for none
    stamps: tuple[object, ...]  # the versions of the files


_contexts: OrderedDict[_Key, ssl.SSLContext] = OrderedDict()


def _forget_lock() -> None:
    """A fork in the middle of making a context leaves the child a free lock."""
    global _lock
    _lock = threading.RLock()


after_fork.register(_forget_lock)


def context_for(settings: TlsSettings) -> ssl.SSLContext:
    """The context for these settings: the same object for equal settings as long as their files stay the same.

    A given ``ssl_context`` is returned itself; the CAs and the client certificate among the settings are loaded into
    it, once, and a second set of them is refused. All other settings are for ``wrap`` to put on each socket.
    Errors: SSLError naming the file or the argument; ValueError for a version that is none.
    """
    if settings.ssl_context is not None:
        _load_beside(settings.ssl_context, settings)
        return settings.ssl_context
    lock = _lock
    if not lock.acquire(timeout=_LONGEST_WAIT_S):
        return _made(settings)
    try:
        return _kept(settings)
    finally:
        lock.release()


def _kept(settings: TlsSettings) -> ssl.SSLContext:
    """The context for these settings from ``_contexts``, the lock held by the caller."""
    key = _key_of(settings)
    context = _contexts.get(key)
    if context is not None:
        with contextlib.suppress(KeyError):  # dropped by a finaliser's request meanwhile
            _contexts.move_to_end(key)
        return context
    context = _contexts[key] = _made(settings)
    sessions.admit(context)
    sizes = [_bytes_of(*item) for item in _contexts.items()]
    while len(_contexts) > _MOST_CONTEXTS or (sum(sizes) > _MOST_BYTES and len(_contexts) > 1):
        _, oldest = _contexts.popitem(last=False)
        del sizes[0]
        sessions.forget(oldest)
    return context


def _key_of(settings: TlsSettings) -> _Key:
    """What the context of these settings is kept by: keys and passwords are told apart by a digest."""
    client = (settings.cert_file, settings.key_file, settings.key_password)
    if settings.key_password is None and not any(isinstance(part, bytes) for part in client):
        return _Key(settings, None, _stamps(settings))
    public = settings.without_client()
    return _Key(public, _digest(client), _stamps(settings))


def _bytes_of(key: _Key, context: ssl.SSLContext) -> int:
    """About how much memory a context and its key take (OpenSSL 3.0: 0.7 MiB with certifi's 140 authorities)."""
    size = 20_000 + len(key.settings.ca_cert_data or "")
    if not hasattr(type(context), "cert_store_stats"):  # a mock
        return size
    try:
        return size + 5_000 * int(context.cert_store_stats()["x509"])
    except NotImplementedError:  # truststore's: the authorities are the system's
        return size


def _stamps(settings: TlsSettings) -> tuple[object, ...]:
    """What tells that a file was replaced, that the environment names another one, or a mock stands in ssl's place."""
    paths = [settings.ca_certs, settings.ca_cert_dir, settings.cert_file, settings.key_file]
    environment = [os.environ.get(name) for name in (*_STORE_VARIABLES, "SSLKEYLOGFILE")]
    if settings.ca_certs == CA_SYSTEM:
        paths += _system_paths()
    elif settings.ssl_context is None and not _names_cas(settings):
        bundle = _usual_bundle()
        paths += _system_paths() if bundle is None else [bundle]
    return (ssl.SSLContext, *environment, *(_stamp(path) for path in paths if isinstance(path, str)))


def _system_paths() -> list[str]:
    """The files and directories of authorities that the environment names, or OpenSSL's own where it names none."""
    file, folder = ssl.get_default_verify_paths()[3:6:2]
    files, folders = (os.environ.get(name) for name in _STORE_VARIABLES)
    return [files or file, *(folders or folder).split(os.pathsep)]


def _stamp(path: str) -> tuple[int, ...] | None:
    """What changes when a file is replaced or written anew, or a file of a directory is (1.5 us for each of them)."""
    try:
        found = os.stat(path)
        held = 0
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(path) as entries:
                held = hash(tuple((entry.name, _stamp_of_entry(entry)) for entry in entries))
    except (OSError, ValueError):  # missing: loading it will say so
        return None
    return *_changes(found), held


def _stamp_of_entry(entry: os.DirEntry[str]) -> tuple[int, ...] | None:
    try:
        return _changes(entry.stat())
    except OSError:  # a link to nothing
        return None


def _changes(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _made(settings: TlsSettings) -> ssl.SSLContext:
    """A new context. The secure defaults stand here and nowhere else, together with ``settled``."""
    maker: Callable[[int], ssl.SSLContext] = ssl.SSLContext
    if settings.ca_certs == CA_TRUSTSTORE:
        maker = _truststore_context
    context = settled(maker(ssl.PROTOCOL_TLS_CLIENT))
    minimum, maximum = versions(settings.ssl_version, settings.ssl_minimum_version, settings.ssl_maximum_version)
    context.minimum_version = minimum
    if maximum is not None:
        context.maximum_version = maximum
    set_verification(context, settings)
    if context.verify_mode != ssl.CERT_NONE:
        _load_cas(context, settings)
    _load_client_certificate(context, settings)
    return context


_loaded = Loaded()


def _load_beside(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Load the CAs and the client certificate that stand beside a given context into it; see ``Loaded``.

    Where nothing is verified no CA is believed, so which ones are named makes no difference.
    """
    cas = (settings.ca_certs, settings.ca_cert_dir, settings.ca_cert_data) if _names_cas(settings) else None
    client = (settings.cert_file, settings.key_file, settings.key_password)
    named = None if client == (None, None, None) else _digest(client)
    stamps, lock = _stamps(settings), _lock
    if not lock.acquire(timeout=_LONGEST_WAIT_S):
        raise SSLError(f"ssl_context: other threads were loading certificates for {_LONGEST_WAIT_S:.0f} seconds")
    try:
        wanted = [Wanted("client certificates", named, stamps, lambda: _load_client_certificate(context, settings))]
        if rules_beside(context, settings).verify_mode != ssl.CERT_NONE:
            wanted.append(Wanted("CA certificates", cas, stamps, lambda: _load_cas(context, settings)))
        _loaded.load(context, wanted)
    finally:
        lock.release()


def _digest(secrets: tuple[object, ...]) -> bytes:
    """What tells secrets apart and does not keep them."""
    import hashlib  # 0.2 MiB that most never need

    return hashlib.sha256(repr(secrets).encode()).digest()


def rules_beside(context: ssl.SSLContext, settings: TlsSettings) -> Rules:
    """The rules for sockets of a given context: its own, but for what the settings beside it say.

    ``check_hostname`` is never turned on: where it is off, ``wrap`` compares the name. A pin or ``assert_hostname``
    turns it off.
    """
    held = rules_of(context)
    mode = held.verify_mode if settings.cert_reqs is None else settings.cert_reqs
    asks_otherwise = settings.assert_hostname is not None or settings.assert_fingerprint or mode == ssl.CERT_NONE
    oldest, newest = _versions_beside(settings)
    return Rules(
        mode,
        False if asks_otherwise else held.checks_name,
        held.oldest if oldest is None else oldest,
        held.newest if newest is None else newest,
    )


def _versions_beside(settings: TlsSettings) -> tuple[int | None, int | None]:
    """The oldest and the newest version that are set beside a given context; ``None``: what it says itself."""
    oldest, newest = versions(settings.ssl_version, settings.ssl_minimum_version, settings.ssl_maximum_version)
    names_one = newest is not None and settings.ssl_maximum_version is None
    return oldest if names_one or settings.ssl_minimum_version is not None else None, newest


def settled(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context with everything that does not depend on settings.

    Tickets stay on (urllib3 turns them off): sessions are resumed. A connection that ends without close_notify is an
    error and not an end (RFC 9112 section 9.8), so a body cut short is seen.
    """
    context.options |= ssl.OP_NO_COMPRESSION
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if sys.version_info >= (3, 13):  # as ssl.create_default_context has it
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    with contextlib.suppress(AttributeError):  # LibreSSL has no such switch
        context.hostname_checks_common_name = False
    if getattr(context, "post_handshake_auth", None) is not None:  # it is where OpenSSL has no TLS 1.3
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


def set_verification(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """``check_hostname`` goes off before ``verify_mode``; it is never turned on in a given context."""
    if settings.assert_hostname is not None or settings.assert_fingerprint or settings.cert_reqs == ssl.CERT_NONE:
        context.check_hostname = False
    if settings.cert_reqs is not None and context.verify_mode != settings.cert_reqs:
        context.verify_mode = ssl.VerifyMode(settings.cert_reqs)


# The oldest version that is spoken unless an older one is asked for (RFC 8996 forbids TLS 1.0 and 1.1).
_MINIMUM_VERSION: Final = ssl.TLSVersion.TLSv1_2
_SSL_VERSION_TO_TLS_VERSION: dict[int, ssl.TLSVersion] = {
    getattr(ssl, f"PROTOCOL_{name}"): ssl.TLSVersion[name]
    for name in ("TLSv1", "TLSv1_1", "TLSv1_2")
    if hasattr(ssl, f"PROTOCOL_{name}")
}


def versions(
    exact: int | str | None, minimum: int | None, maximum: int | None
) -> tuple[ssl.TLSVersion, ssl.TLSVersion | None]:
    """The oldest and the newest version; ``None``: the newest OpenSSL speaks."""
    method = resolve_ssl_version(exact)
    if method not in (ssl.PROTOCOL_TLS, ssl.PROTOCOL_TLS_CLIENT):
        if minimum is not None or maximum is not None:
            raise ValueError(
                "Can't specify both 'ssl_version' and either 'ssl_minimum_version' or 'ssl_maximum_version'"
            )
        if method == ssl.PROTOCOL_TLS_SERVER:  # as good as no version, if urllib3 is asked
            return _MINIMUM_VERSION, None
        if method not in _SSL_VERSION_TO_TLS_VERSION:
            raise ValueError(f"ssl_version: {exact!r} is no version that can be spoken")
        version = _SSL_VERSION_TO_TLS_VERSION[method]
        return version, version
    oldest = _MINIMUM_VERSION if minimum is None else _version("ssl_minimum_version", minimum)
    return oldest, None if maximum is None else _version("ssl_maximum_version", maximum)


def warn_of_version(exact: int | str | None) -> None:
    """Say, in urllib3's place, that one version is not to be named."""
    if resolve_ssl_version(exact) not in (ssl.PROTOCOL_TLS, ssl.PROTOCOL_TLS_CLIENT):
        warn_as_urllib3(
            "'ssl_version' option is deprecated and will be removed in urllib3 v3.0. Instead use 'ssl_minimum_version'",
            stacklevel=3,
        )


def _version(name: str, value: int) -> ssl.TLSVersion:
    try:
        return ssl.TLSVersion(value)
    except ValueError as err:
        raise ValueError(f"{name}: {value!r} is no ssl.TLSVersion") from err


# Authorities


def _names_cas(settings: TlsSettings) -> bool:
    return bool(settings.ca_certs or settings.ca_cert_dir or settings.ca_cert_data)


def _load_cas(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Only the authorities that were named (CVE-2019-11324); none named, certifi's or the system's."""
    if settings.ca_certs == CA_TRUSTSTORE:
        return
    if settings.ca_certs == CA_SYSTEM:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    elif _names_cas(settings):
        load_named_cas(context, settings.ca_certs, settings.ca_cert_dir, settings.ca_cert_data)
    else:
        load_usual_cas(context)


def load_named_cas(
    context: ssl.SSLContext, ca_certs: str | None, ca_cert_dir: str | None, ca_cert_data: str | bytes | None
) -> None:
    if isinstance(ca_cert_data, bytes) and b"-----BEGIN" in ca_cert_data:
        ca_cert_data = ca_cert_data.decode("latin-1")  # ssl takes text as PEM and bytes as DER
    if isinstance(ca_cert_data, str):  # and text in ASCII alone, though comments around the blocks are in any language
        ca_cert_data = "\n".join(_PEM_BLOCKS.findall(ca_cert_data)) or ca_cert_data
    try:
        context.load_verify_locations(ca_certs or None, ca_cert_dir or None, ca_cert_data or None)
    except (OSError, ValueError, TypeError) as err:
        named = f"ca_certs={ca_certs!r}, ca_cert_dir={ca_cert_dir!r}"
        raise SSLError(f"cannot load CA certificates ({named}): {err}") from err


_PEM_BLOCKS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?-----END [A-Z0-9 ]+-----", re.DOTALL)


def load_usual_cas(context: ssl.SSLContext) -> None:
    """Certifi's authorities, or the system's."""
    bundle = _usual_bundle()
    if bundle is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        load_named_cas(context, bundle, None, None)


def missing_cas(settings: TlsSettings) -> str | None:
    """Which of the places that were named for authorities holds none; None: each does, or none was named.

    OpenSSL passes over such a folder, and over what the variables name, without a word.
    """
    if settings.ssl_context is not None:
        return None
    named = {"ca_cert_dir": settings.ca_cert_dir}
    if not _names_cas(settings):
        if (file := os.environ.get("SSL_CERT_FILE")) and not os.path.isfile(file):
            return f"SSL_CERT_FILE={file!r} is no file"
        named = {"SSL_CERT_DIR": os.environ.get("SSL_CERT_DIR")}
    for name, folders in named.items():
        if folders and not any(map(_has_cas, folders.split(os.pathsep))):
            return f"{name}={folders!r} holds no certificate under a name that OpenSSL looks for, see 'openssl rehash'"
    return None


_HASH_NAME: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def _has_cas(folder: str) -> bool:
    try:
        return any(map(_HASH_NAME.fullmatch, os.listdir(folder)))
    except OSError:
        return False


def _usual_bundle() -> str | None:
    """The path of certifi's bundle; ``None`` where the system's authorities are believed."""
    return None if any(os.environ.get(name) for name in _STORE_VARIABLES) else _certifi_bundle()


def _certifi_bundle() -> str | None:
    """The path of certifi's bundle; ``None`` without certifi. Imported late: it costs 22 ms."""
    try:
        from certifi import where
    except ImportError:
        return None
    return where()


def _truststore_context(protocol: int) -> ssl.SSLContext:
    """A new context of the package truststore; SSLError where that is not installed."""
    try:
        maker: Callable[[int], ssl.SSLContext] = importlib.import_module("truststore").SSLContext
    except ImportError as err:
        raise SSLError("ca_certs=CA_TRUSTSTORE needs the package truststore") from err
    return maker(protocol)


# Client certificates


def _load_client_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if settings.cert_file is None:
        if settings.key_file is not None:
            raise SSLError("key_file is given without cert_file")
        return
    load_cert_chain(context, settings.cert_file, settings.key_file, settings.key_password)


def load_cert_chain(
    context: ssl.SSLContext, cert: str | bytes, key: str | bytes | None, password: str | bytes | None
) -> None:
    """``password``: ``None`` makes an encrypted key an error; OpenSSL would ask on the terminal."""
    named = f"cert_file={_named(cert)}, key_file={_named(key)}"
    with _as_file(cert) as cert_path, _as_file(key) as key_path:
        try:
            if password is None and not isinstance(context, ssl.SSLContext):  # nor would that ask
                context.load_cert_chain(cert_path or "", key_path)
            else:
                context.load_cert_chain(cert_path or "", key_path, _no_password if password is None else password)
        except (OSError, ValueError, TypeError) as err:
            why = _what_is_missing(cert_path or "", key_path) if isinstance(err, ssl.SSLError) else ""
            raise SSLError(f"cannot load the client certificate ({named}): {err}{why}") from err


def _what_is_missing(cert_path: str, key_path: str | None) -> str:
    """What OpenSSL's "PEM lib" stands for, in words to be added to it; empty where the files do not show it."""
    with contextlib.suppress(OSError):
        certificate, key = _contents(cert_path), _contents(key_path or cert_path)
        if b"CERTIFICATE-----" not in certificate:
            return " (cert_file holds no certificate in PEM)"
        if b"PRIVATE KEY-----" not in key:
            return f" ({'cert_file' if key_path is None else 'key_file'} holds no private key in PEM)"
        if b"ENCRYPTED" in key:
            return " (is it the right key_password?)"
    return ""


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _no_password() -> NoReturn:
    raise SSLError("Client private key is encrypted, password is required")


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


# Names of constants


def resolve_ssl_version(candidate: int | str | None) -> int:
    """The ``ssl.PROTOCOL_*`` constant for a name, a number or ``None`` (any version)."""
    return ssl.PROTOCOL_TLS if candidate is None else int(constant("PROTOCOL_", candidate))


def constant(prefix: str, candidate: int | str) -> int:
    """The constant of that name, with or without its prefix; AttributeError for an unknown one, as urllib3."""
    if not isinstance(candidate, str):
        return candidate
    value: int = getattr(ssl, candidate if hasattr(ssl, candidate) else prefix + candidate)
    return value
