"""urllib3's ``util.ssl_``: the same module as ``poollib.net.tls``, so a name patched here is patched there."""

from ..compat.module_alias import stand_for
from ..compat.private_names import HASHFUNC_MAP as HASHFUNC_MAP
from ..net.caller_ssl_context import ALPN_PROTOCOLS as ALPN_PROTOCOLS
from ..net.certificates import assert_fingerprint as assert_fingerprint
from ..net.tls import HAS_NEVER_CHECK_COMMON_NAME as HAS_NEVER_CHECK_COMMON_NAME
from ..net.tls import IS_PYOPENSSL as IS_PYOPENSSL
from ..net.tls import create_urllib3_context as create_urllib3_context
from ..net.tls import is_ipaddress as is_ipaddress
from ..net.tls import resolve_cert_reqs as resolve_cert_reqs
from ..net.tls import ssl_wrap_socket as ssl_wrap_socket
from ..net.tls_contexts import resolve_ssl_version as resolve_ssl_version

stand_for(__name__)
