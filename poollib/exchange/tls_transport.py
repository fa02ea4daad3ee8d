"""TlsTransport: a connection's socket under TLS.

The settings of TLS are held here, as urllib3's arguments and as one ``TlsSettings`` value, and put on the socket that
``transport`` has opened; ``connection`` makes a connection of it that speaks HTTP. The handshake and the checks of
certificates are ``tls``'s, TLS with an https proxy is ``transport``'s. Follows RFC 9110 section 4.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base.deprecations import warn_as_urllib3
from ..base.endpoint import TlsSettings
from ..base.timeout import _DEFAULT_TIMEOUT, _TYPE_TIMEOUT
from .proxy_config import ProxyConfig, proxy_tls_settings
from .transport import Transport, port_by_scheme

if TYPE_CHECKING:
    import ssl

    from ..base.url import Url


class TlsTransport(Transport):
    """A transport whose server shows a certificate; arguments are those of ``HTTPSConnection``."""

    default_port = port_by_scheme["https"]
    scheme = "https"
    _cert_reqs: int | str | None = None  # as it was given
    ca_certs: str | None = None
    ca_cert_dir: str | None = None
    ca_cert_data: str | bytes | None = None
    ssl_version: int | str | None = None
    ssl_minimum_version: int | None = None
    ssl_maximum_version: int | None = None
    assert_fingerprint: str | None = None

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        source_address: tuple[str, int] | None = None,
        blocksize: int = 16384,
        socket_options: Sequence[tuple[int, int, int | bytes]] | None = _DEFAULT_TIMEOUT,  # type: ignore[assignment]
        proxy: Url | None = None,
        proxy_config: ProxyConfig | None = None,
        cert_reqs: int | str | None = None,
        assert_hostname: str | bool | None = None,
        assert_fingerprint: str | None = None,
        server_hostname: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        ca_certs: str | None = None,
        ca_cert_dir: str | None = None,
        ca_cert_data: str | bytes | None = None,
        ssl_minimum_version: int | None = None,
        ssl_maximum_version: int | None = None,
        ssl_version: int | str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        key_password: str | None = None,
    ) -> None:
        super().__init__(
            host,
            port=port,
            timeout=timeout,
            source_address=source_address,
            blocksize=blocksize,
            socket_options=socket_options,
            proxy=proxy,
            proxy_config=proxy_config,
        )
        self.key_file = key_file
        self.cert_file = cert_file
        self.key_password = key_password
        self.ssl_context = ssl_context
        self.server_hostname = server_hostname
        self.assert_hostname = assert_hostname
        self.assert_fingerprint = assert_fingerprint
        self.ssl_version = ssl_version
        self.ssl_minimum_version = ssl_minimum_version
        self.ssl_maximum_version = ssl_maximum_version
        self.ca_certs = ca_certs
        self.ca_cert_dir = ca_cert_dir
        self.ca_cert_data = ca_cert_data
        self.cert_reqs = cert_reqs

    @property
    def cert_reqs(self) -> int | str:
        """What is asked of the server's certificate; what the context says, or all, where nobody said it."""
        if self._cert_reqs is not None:
            return self._cert_reqs
        import ssl

        return ssl.CERT_REQUIRED if self.ssl_context is None else self.ssl_context.verify_mode

    @cert_reqs.setter
    def cert_reqs(self, value: int | str | None) -> None:
        self._cert_reqs = value

    @property
    def tls_settings(self) -> TlsSettings:
        """What this connection wants of TLS, as one value: what its attributes say now."""
        return TlsSettings(
            cert_reqs=self._cert_reqs,
            ca_certs=self.ca_certs,
            ca_cert_dir=self.ca_cert_dir,
            ca_cert_data=self.ca_cert_data,
            cert_file=self.cert_file,
            key_file=self.key_file,
            key_password=self.key_password,
            ssl_version=self.ssl_version,
            ssl_minimum_version=self.ssl_minimum_version,
            ssl_maximum_version=self.ssl_maximum_version,
            assert_hostname=self.assert_hostname,
            assert_fingerprint=self.assert_fingerprint,
            server_hostname=self.server_hostname,
            ssl_context=self.ssl_context,
        )

    def set_cert(
        self,
        key_file: str | None = None,
        cert_file: str | None = None,
        cert_reqs: int | str | None = None,
        key_password: str | None = None,
        ca_certs: str | None = None,
        assert_hostname: str | bool | None = None,
        assert_fingerprint: str | None = None,
        ca_cert_dir: str | None = None,
        ca_cert_data: str | bytes | None = None,
    ) -> None:
        """Set what is wanted of TLS before connecting; the constructor's arguments are the better place.

        Without ``cert_reqs``, what the context says, or that the server is verified.
        """
        warn_as_urllib3(
            "HTTPSConnection.set_cert() is deprecated and will be removed in urllib3 v3.0."
            " Instead provide the parameters to the HTTPSConnection constructor."
        )
        self.key_file = key_file
        self.cert_file = cert_file
        self.cert_reqs = cert_reqs
        if cert_reqs is None:
            self.cert_reqs = self.cert_reqs  # as it is now, whatever becomes of the context
        self.key_password = key_password
        self.assert_hostname = assert_hostname
        self.assert_fingerprint = assert_fingerprint
        self.ca_certs = ca_certs
        self.ca_cert_dir = ca_cert_dir
        self.ca_cert_data = ca_cert_data

    def _secure(self) -> None:
        """TLS with the target; a proxy that forwards requests has had its own already."""
        if self.ssl_version is not None:
            from ..net.tls_contexts import warn_of_version

            warn_of_version(self.ssl_version)
        if self.proxy_is_forwarding:
            return
        host, port = (self._tunnel_host, self._tunnel_port or 443) if self._tunnel_host else (self.host, self.port)
        wrapped = self._wrap_in_tls(self.sock, self.tls_settings, host, port, in_tls=self._proxy_speaks_tls())
        self.sock, self.is_verified = wrapped.sock, wrapped.is_verified

    @property
    def proxy_tls_settings(self) -> TlsSettings:
        """As for plain HTTP; the authorities that are believed are the same for both hops."""
        return proxy_tls_settings(self.proxy_config, self.ca_certs, self.ca_cert_dir, self.ca_cert_data)
