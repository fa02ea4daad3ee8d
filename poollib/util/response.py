"""urllib3's ``util.response``: names that live elsewhere; one that is patched here is patched there."""

from ..compat.module_alias import stand_for
from ..compat.private_names import assert_header_parsing as assert_header_parsing
from ..compat.private_names import is_fp_closed as is_fp_closed
from ..compat.private_names import is_response_to_head as is_response_to_head

stand_for(__name__)
