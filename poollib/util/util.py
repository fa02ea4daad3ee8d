"""urllib3's ``util.util``: names that live elsewhere; one that is patched here is patched there."""

from ..compat.module_alias import stand_for
from ..compat.private_names import reraise as reraise
from ..http1.request_body import to_bytes as to_bytes
from ..http1.request_body import to_str as to_str

stand_for(__name__)
