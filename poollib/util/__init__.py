"""urllib3's ``util``: its names, each the same object as in the module that has it."""

from ..base.timeout import Timeout as Timeout
from ..base.url import Url as Url
from ..base.url import parse_url as parse_url
from ..compat.private_names import is_fp_closed as is_fp_closed
from ..http1.request_body import make_headers as make_headers
from ..http1.request_head import SKIP_HEADER as SKIP_HEADER
from ..http1.request_head import SKIPPABLE_HEADERS as SKIPPABLE_HEADERS
from ..net.caller_ssl_context import ALPN_PROTOCOLS as ALPN_PROTOCOLS
from ..net.certificates import assert_fingerprint as assert_fingerprint
from ..net.socket_state import is_connection_dropped as is_connection_dropped
from ..net.socket_state import wait_for_read as wait_for_read
from ..net.socket_state import wait_for_write as wait_for_write
from ..net.tls import IS_PYOPENSSL as IS_PYOPENSSL
from ..net.tls import SSLContext as SSLContext
from ..net.tls import create_urllib3_context as create_urllib3_context
from ..net.tls import resolve_cert_reqs as resolve_cert_reqs
from ..net.tls import ssl_wrap_socket as ssl_wrap_socket
from ..net.tls_contexts import resolve_ssl_version as resolve_ssl_version
from ..policy.retry import Retry as Retry
from . import connection as connection
from . import proxy as proxy
from . import request as request
from . import response as response
from . import retry as retry
from . import ssl_ as ssl_
from . import ssl_match_hostname as ssl_match_hostname
from . import ssltransport as ssltransport
from . import timeout as timeout
from . import url as url
from . import util as util
from . import wait as wait

__all__ = [
    "ALPN_PROTOCOLS",
    "IS_PYOPENSSL",
    "SKIPPABLE_HEADERS",
    "SKIP_HEADER",
    "Retry",
    "SSLContext",
    "Timeout",
    "Url",
    "assert_fingerprint",
    "create_urllib3_context",
    "is_connection_dropped",
    "is_fp_closed",
    "make_headers",
    "parse_url",
    "resolve_cert_reqs",
    "resolve_ssl_version",
    "ssl_wrap_socket",
    "wait_for_read",
    "wait_for_write",
]
