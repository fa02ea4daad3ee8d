"""urllib3's ``util.proxy``: names that live elsewhere; one that is patched here is patched there."""

from ..client.endpoint_builder import connection_requires_http_tunnel as connection_requires_http_tunnel
from ..compat.module_alias import stand_for

stand_for(__name__)
