"""urllib3's ``util.url``: the same module as ``poollib.base.url``, so a name patched here is patched there."""

from ..base.url import Url as Url
from ..base.url import parse_url as parse_url
from ..compat.module_alias import stand_for

stand_for(__name__)
