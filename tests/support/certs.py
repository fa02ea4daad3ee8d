"""An authority for the length of the test run, and every kind of certificate the tests need of it.

`certs()` hands out file names for clients and ready contexts for servers, made on first use and kept.
Starting servers with them is left to the tests; the files vanish when the process ends.
Made with trustme, whose certificates follow RFC 5280 closely enough for VERIFY_X509_STRICT.
"""

from __future__ import annotations

import datetime
import functools
import pathlib
import ssl
import tempfile
from dataclasses import dataclass, field

import trustme
from cryptography.hazmat.primitives import serialization

#: What a server on loopback answers to.
NAMES = ("localhost", "127.0.0.1", "::1")
PASSWORD = "correct horse"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    leaf: trustme.LeafCert
    cert_file: str
    key_file: str
    both_file: str

    @property
    def der(self) -> bytes:
        """The certificate as a peer sends it."""
        return ssl.PEM_cert_to_DER_cert(self.leaf.cert_chain_pems[0].bytes().decode("ascii"))


@dataclass
class Certs:
    """One authority that tests trust, one that they do not, and what they issued; all files stand in `folder`."""

    folder: pathlib.Path
    authority: trustme.CA = field(default_factory=trustme.CA)
    stranger: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.stranger.cert_pem.write_to_path(self.folder / "stranger.pem")
        self._pairs: dict[object, Pair] = {}
        self._contexts: dict[object, ssl.SSLContext] = {}

    @property
    def ca_file(self) -> str:
        """The authority that signed all server and client certificates but the stranger's."""
        return str(self.folder / "ca.pem")

    @property
    def stranger_file(self) -> str:
        """An authority that signed nothing a server shows."""
        return str(self.folder / "stranger.pem")

    def pair(self, *names: str, expired: bool = False, stranger: bool = False) -> Pair:
        """A certificate for these names (`NAMES` if none are given) with its key; the same one for the same request."""
        key = (names, expired, stranger)
        if key not in self._pairs:
            issuer = self.stranger if stranger else self.authority
            self._pairs[key] = self._written(issuer.issue_cert(*(names or NAMES), **(_PAST if expired else {})))
        return self._pairs[key]

    def server(
        self,
        *names: str,
        expired: bool = False,
        stranger: bool = False,
        wants_client: bool = False,
        newest: ssl.TLSVersion | None = None,
    ) -> ssl.SSLContext:
        """A server's context for such a pair; `wants_client`: clients must show a certificate of the authority."""
        key = (names, expired, stranger, wants_client, newest)
        if key not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            pair = self.pair(*names, expired=expired, stranger=stranger)
            context.load_cert_chain(pair.both_file)
            if newest is not None:
                context.maximum_version = newest
            if wants_client:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.ca_file)
            self._contexts[key] = context
        return self._contexts[key]

    def client(self) -> Pair:
        """A client's certificate and key."""
        return self.pair("client@poollib.example")

    @functools.cached_property
    def encrypted_key_file(self) -> str:
        """The client's key, behind `PASSWORD`."""
        pem = self.client().leaf.private_key_pem.bytes()
        key = serialization.load_pem_private_key(pem, password=None)
        locked = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
        path = self.folder / "locked.pem"
        path.write_bytes(locked)
        return str(path)

    def _written(self, leaf: trustme.LeafCert) -> Pair:
        stem = self.folder / f"pair{len(self._pairs)}"
        paths = [stem.with_suffix(suffix) for suffix in (".crt", ".key", ".pem")]
        paths[0].write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        paths[1].write_bytes(leaf.private_key_pem.bytes())
        leaf.private_key_and_cert_chain_pem.write_to_path(paths[2])
        return Pair(leaf, *map(str, paths))


_PAST = {
    "not_before": datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc),
    "not_after": datetime.datetime(2002, 1, 1, tzinfo=datetime.timezone.utc),
}


@functools.cache
def certs() -> Certs:
    """The authority of this process."""
    return Certs(pathlib.Path(_folder().name))


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Kept alive by this cache, removed by its finalizer when the process ends."""
    return tempfile.TemporaryDirectory(prefix="poollib-certs-", ignore_cleanup_errors=True)
