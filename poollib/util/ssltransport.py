"""urllib3's ``util.ssltransport``: the same module as ``poollib.net.tls_in_tls``, so a name patched here is patched
there."""

from ..compat.module_alias import stand_for
from ..net.tls_in_tls import SSL_BLOCKSIZE as SSL_BLOCKSIZE
from ..net.tls_in_tls import SSLTransport as SSLTransport

stand_for(__name__)
