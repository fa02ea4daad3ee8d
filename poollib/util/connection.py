"""urllib3's ``util.connection``: the same module as ``poollib.net.dial``, so a name patched here is patched there."""

from ..compat.module_alias import stand_for
from ..net.dial import HAS_IPV6 as HAS_IPV6
from ..net.dial import allowed_gai_family as allowed_gai_family
from ..net.dial import create_connection as create_connection
from ..net.socket_state import is_connection_dropped as is_connection_dropped

stand_for(__name__)
