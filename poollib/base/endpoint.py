"""How a server is reached, as one frozen value: two requests may share a socket exactly if their endpoints are equal.

Pools keep connections by :class:`Endpoint`; dialling, tunnels and TLS read from it what they need to build the socket.
Everything here is a plain value: no socket is opened, no file is read, no host name is resolved or normalised.
It follows the advisories on connection reuse (curl CVE-2016-5420, CVE-2022-27782, CVE-2026-3784; requests
CVE-2024-35195; undici CVE-2026-6734): every setting that changes who is at the other end, or what was proved to it
or by it, is a field.

What two requests must have in common to share a socket:

=====================================================  =========================================================
two requests that differ in                            share a socket?
=====================================================  =========================================================
method, path, headers, body, retries                   yes: they are no part of an endpoint
timeouts, limits, decoding, trace                      yes: they are set again for each request
``scheme``                                             never: a plain socket is never taken for ``https``
``host``, ``port``                                     never: a server behind a tunnel or SOCKS counts by itself;
                                                       behind a forwarding proxy the endpoint *is* the proxy
``uds``                                                never
``source_address``                                     never
``socket_options``                                     never
``resolver`` (by identity)                             never: it may lead the same name to another machine
``proxy``: present, ``scheme``, ``host``, ``port``     never
``proxy.headers``, ``.username``, ``.password``        never: a tunnel belongs to who opened it
``proxy.tunnel``                                       never: forwarded and tunnelled requests do not mix
``proxy.tls``, any field                               never: the settings of the two hops are separate
``tls.cert_reqs``                                      never: an unverified socket serves no verified request
``tls.ca_certs``, ``.ca_cert_dir``, ``.ca_cert_data``  never
``tls.cert_file``, ``.key_file``, ``.key_password``    never: the client's identity
``tls.ssl_version``, ``.ssl_minimum_version``,         never
``.ssl_maximum_version``
``tls.assert_hostname``, ``.assert_fingerprint``,      never
``.server_hostname``
``tls.ssl_context`` (by identity)                      never: what it holds is unknown
two spellings of one wish (``"REQUIRED"`` and          yes: spellings are settled when the value is made
``CERT_REQUIRED``, a list and a tuple of pins, a
``Path`` and its text)
=====================================================  =========================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import ssl

# ssl.CERT_NONE, CERT_OPTIONAL and CERT_REQUIRED; written out so that this module does not import ssl (17 ms).
_CERT_REQS = {"NONE": 0, "OPTIONAL": 1, "REQUIRED": 2}
_REQUIRED = _CERT_REQS["REQUIRED"]

#: What is never shown: these fields, here and under the names they have in a pool's key.
_SECRETS = frozenset({"key_password", "key_file", "password", "headers"}) | frozenset(
    {"key_key_password", "key_key_file", "key_headers", "key__proxy_headers", "key__socks_options"}
)


@runtime_checkable
class ForgettingResolver(Protocol):
    """A resolver that keeps answers, as ``net/dns.CachingResolver`` does, and drops those that lead nowhere."""

    def forget(self, host: str | None = None) -> None: ...


class _TlsFields(NamedTuple):
    cert_reqs: int | None
    ca_certs: str | None
    ca_cert_dir: str | None
    ca_cert_data: str | bytes | None
    cert_file: str | bytes | None
    key_file: str | bytes | None
    key_password: str | bytes | None
    ssl_version: int | str | None
    ssl_minimum_version: int | None
    ssl_maximum_version: int | None
    assert_hostname: str | bool | None
    assert_fingerprint: str | tuple[str, ...] | None
    server_hostname: str | None
    ssl_context: ssl.SSLContext | None


class TlsSettings(_TlsFields):
    """What one hop wants of TLS: frozen, hashable, compared by meaning (``ssl_context`` by identity).

    ``cert_reqs``: ``None`` means required, or whatever a given ``ssl_context`` says; a name or a number else.
    ``cert_file``/``key_file``: a path, or the PEM text itself as ``bytes``. ``assert_hostname``: a name instead of the
    host's, ``False`` for no check, ``None`` for the host's. ``assert_fingerprint``: one pin or several.
    Errors: ``ValueError`` naming the argument.
    """

    __slots__ = ()

    def without_client(self) -> TlsSettings:
        """The same without the client's certificate and key."""
        return self._replace(cert_file=None, key_file=None, key_password=None)

    def __new__(
        cls,
        cert_reqs: int | str | None = None,
        ca_certs: str | os.PathLike[str] | None = None,
        ca_cert_dir: str | os.PathLike[str] | None = None,
        ca_cert_data: str | bytes | None = None,
        cert_file: str | bytes | os.PathLike[str] | None = None,
        key_file: str | bytes | os.PathLike[str] | None = None,
        key_password: str | bytes | None = None,
        ssl_version: int | str | None = None,
        ssl_minimum_version: int | None = None,
        ssl_maximum_version: int | None = None,
        assert_hostname: str | bool | None = None,
        assert_fingerprint: str | Sequence[str] | None = None,
        server_hostname: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> TlsSettings:
        return super().__new__(
            cls,
            _cert_reqs(cert_reqs, ssl_context),
            _path(ca_certs),
            _path(ca_cert_dir),
            ca_cert_data or None,
            _pem_or_path(cert_file),
            _pem_or_path(key_file),
            key_password,
            ssl_version,
            ssl_minimum_version,
            ssl_maximum_version,
            _asserted_name(assert_hostname),
            pins_of(assert_fingerprint),
            server_hostname or None,
            ssl_context,
        )

    def __repr__(self) -> str:
        return shown_fields(self)


class _HopFields(NamedTuple):
    scheme: str
    host: str
    port: int
    headers: tuple[tuple[str, str], ...]
    tls: TlsSettings | None
    tunnel: bool
    username: str | None
    password: str | None


class ProxyHop(_HopFields):
    """One proxy on the way: frozen, hashable.

    ``scheme``: ``http``, ``https``, ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``. ``headers`` go to the proxy and
    nowhere else. ``tls``: the settings for the hop to the proxy, ``None`` for a plain one. ``tunnel``: ``False`` when
    the proxy forwards the requests. ``username`` and ``password`` are SOCKS's; an HTTP proxy's travel in ``headers``.
    """

    __slots__ = ()

    def __new__(
        cls,
        scheme: str,
        host: str,
        port: int,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        tls: TlsSettings | None = None,
        tunnel: bool = True,
        username: str | None = None,
        password: str | None = None,
    ) -> ProxyHop:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        settled = tuple((name, value) for name, value in pairs)
        return super().__new__(cls, scheme, host, port, settled, tls, tunnel, username, password)

    def __repr__(self) -> str:
        return shown_fields(self)


#: ``resolver(host, port)``: the addresses of a host, as ``net/dns`` reads them.
Resolver: TypeAlias = Callable[[str, int], Sequence[object]]


class _EndpointFields(NamedTuple):
    scheme: str
    host: str
    port: int
    uds: str | None
    proxy: ProxyHop | None
    tls: TlsSettings | None
    source_address: tuple[str, int] | None
    socket_options: tuple[tuple[int, int, int | bytes], ...] | None
    resolver: Resolver | None


class Endpoint(_EndpointFields):
    """Where a request goes and over what: frozen, hashable; equal endpoints may share a socket (table above).

    ``host`` is normalised already. ``uds``: the path of a Unix socket, ``None`` for TCP. ``tls``: ``None`` for a
    plain connection. ``resolver``: see ``dial``; compared by identity unless it defines equality.
    """

    __slots__ = ()

    def __new__(
        cls,
        scheme: str,
        host: str,
        port: int,
        uds: str | None = None,
        proxy: ProxyHop | None = None,
        tls: TlsSettings | None = None,
        source_address: Sequence[Any] | None = None,
        socket_options: Collection[Sequence[Any]] | None = None,
        resolver: Resolver | None = None,
    ) -> Endpoint:
        source = None if source_address is None else (source_address[0], source_address[1])
        if isinstance(socket_options, Iterator):  # spent here, it would set none on any socket
            raise TypeError(f"socket_options must be a list or another collection, not {socket_options!r}")
        options = None if socket_options is None else tuple((o[0], o[1], o[2]) for o in socket_options)
        return super().__new__(cls, scheme, host, port, uds, proxy, tls, source, options, resolver)

    def __repr__(self) -> str:
        return shown_fields(self)


def _cert_reqs(wish: int | str | None, context: object) -> int | None:
    """The number; ``None`` only where a given context decides."""
    if wish is None:
        return _REQUIRED if context is None else None
    if isinstance(wish, str):
        name = wish.removeprefix("CERT_")  # as ssl spells them: "None", an unset value's text, is no wish for NONE
        if name not in _CERT_REQS:
            raise ValueError(f"cert_reqs: {wish!r} is none of CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED")
        return _CERT_REQS[name]
    if wish is True:  # and not 1, which is CERT_OPTIONAL
        return _REQUIRED
    if wish not in _CERT_REQS.values():
        raise ValueError(f"cert_reqs: {wish!r} is none of CERT_NONE (0), CERT_OPTIONAL (1), CERT_REQUIRED (2)")
    return int(wish)


def _path(wish: str | os.PathLike[str] | None) -> str | None:
    return os.fspath(wish) if wish else None


def _pem_or_path(wish: str | bytes | os.PathLike[str] | None) -> str | bytes | None:
    if isinstance(wish, bytes):
        return wish or None
    return _path(wish)


def _asserted_name(wish: str | bool | None) -> str | bool | None:
    """``False``, a name, or ``None``; ``True`` and the empty name mean the usual check."""
    if wish is False:
        return False
    return None if wish is True else wish or None


def pins_of(wish: str | Collection[str] | None) -> str | tuple[str, ...] | None:
    """Pins that stay as they are; an empty text is none.

    ValueError for an empty collection, TypeError for an iterator: either would let any certificate pass.
    """
    if wish is None or isinstance(wish, str):
        return wish or None
    if not isinstance(wish, Collection) or not all(isinstance(pin, str) for pin in wish):
        raise TypeError(f"assert_fingerprint must be a text or a collection of texts, not {wish!r}")
    if not wish:
        raise ValueError("assert_fingerprint: no pin given")
    return tuple(wish)


#: the names of what ``TlsSettings`` is made of
TLS_SETTINGS: Final = TlsSettings._fields


def shown_fields(value: NamedTuple) -> str:
    """``Name(field=value, ...)`` of a named tuple: what is set, never a secret."""
    shown = []
    for name, held in zip(value._fields, value, strict=True):
        if held is None or held == ():
            continue
        shown.append(f"{name}=..." if name in _SECRETS or isinstance(held, bytes) else f"{name}={held!r}")
    return f"{type(value).__name__}({', '.join(shown)})"
