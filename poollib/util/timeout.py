"""urllib3's ``util.timeout``: the same module as ``poollib.base.timeout``, so a name patched here is patched there."""

from ..base.timeout import Timeout as Timeout
from ..compat.module_alias import stand_for

stand_for(__name__)
