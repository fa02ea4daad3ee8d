"""ProxyConfig: what is wanted of TLS with an https proxy, and the hints for those who meet an error there.

``transport`` makes the connection to the proxy by it; which proxy is asked is decided in ``policy/proxy_rules``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..base.endpoint import TlsSettings
from ..base.tls_errors import is_unknown_authority
from ..exceptions import HTTPError

if TYPE_CHECKING:
    import ssl

_HTTP_PROXY_HINT = (
    ". Your proxy appears to only use HTTP and not HTTPS: its URL should perhaps begin with http://, see"
    " https://urllib3.readthedocs.io/en/latest/advanced-usage.html#https-proxy-error-http-proxy"
)
# Where requests is asked for an http URL, it names no authority and no context for the proxy.
_CA_HINT = (
    ". Its certificate is always checked: name its authority by proxy_ssl_context or ca_certs, or by the variable"
    " SSL_CERT_FILE where a library in between passes neither on"
)


def hint_for(error: HTTPError) -> str:
    """What to look at for an error of TLS with a proxy, in words to be added to its text; empty for none."""
    text = str(error)
    if "does not speak TLS" in text:
        return _HTTP_PROXY_HINT
    return _CA_HINT if error.args and is_unknown_authority(error.args[0]) else ""


class ProxyConfig(NamedTuple):
    """What a proxy hop wants of TLS, and whether https is forwarded instead of tunnelled."""

    ssl_context: ssl.SSLContext | None
    use_forwarding_for_https: bool
    assert_hostname: str | bool | None
    assert_fingerprint: str | tuple[str, ...] | None


def proxy_tls_settings(
    config: ProxyConfig | None,
    ca_certs: str | None = None,
    ca_cert_dir: str | None = None,
    ca_cert_data: str | bytes | None = None,
) -> TlsSettings:
    """What is wanted of TLS with an https proxy: always a verified one, unless a context of its own says otherwise.

    Of the target's settings only the authorities hold, and those only without a context for the proxy
    (CVE-2026-97687).
    """
    if config is None or config.ssl_context is None:
        pins, name = (None, None) if config is None else (config.assert_fingerprint, config.assert_hostname)
        return TlsSettings(
            ca_certs=ca_certs,
            ca_cert_dir=ca_cert_dir,
            ca_cert_data=ca_cert_data,
            assert_hostname=name,
            assert_fingerprint=pins,
        )
    return TlsSettings(
        ssl_context=config.ssl_context,
        assert_hostname=config.assert_hostname,
        assert_fingerprint=config.assert_fingerprint,
    )
