"""urllib3's ``util.retry``: the same module as ``poollib.policy.retry``, so a name patched here is patched there."""

from ..compat.module_alias import stand_for
from ..policy.retry import RequestHistory as RequestHistory
from ..policy.retry import Retry as Retry

stand_for(__name__)
