"""urllib3's ``util.wait``: the same module as ``poollib.net.socket_state``, so a name patched here is patched there."""

from ..compat.module_alias import stand_for
from ..net.socket_state import poll_wait_for_socket as poll_wait_for_socket
from ..net.socket_state import select_wait_for_socket as select_wait_for_socket
from ..net.socket_state import wait_for_read as wait_for_read
from ..net.socket_state import wait_for_socket as wait_for_socket
from ..net.socket_state import wait_for_write as wait_for_write

stand_for(__name__)
