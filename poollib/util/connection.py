"""urllib3's ``util.connection``: names of ``net.dial`` and ``net.dns``, patched there if patched here."""

from ..compat.module_alias import stand_for
from ..net.dial import create_connection as create_connection
from ..net.dns import HAS_IPV6 as HAS_IPV6
from ..net.dns import allowed_gai_family as allowed_gai_family
from ..net.socket_state import is_connection_dropped as is_connection_dropped

stand_for(__name__)
