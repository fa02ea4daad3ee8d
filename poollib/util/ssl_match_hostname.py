"""urllib3's ``util.ssl_match_hostname``: the same module as ``poollib.net.certificates``, so a name patched here is
patched there."""

from ..compat.module_alias import stand_for
from ..net.certificates import CertificateError as CertificateError
from ..net.certificates import match_hostname as match_hostname

stand_for(__name__)
