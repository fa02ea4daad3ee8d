"""urllib3's ``util.request``: the same module as ``poollib.http1.request_body``, so a name patched here is patched
there."""

from ..compat.module_alias import stand_for
from ..http1.request_body import ACCEPT_ENCODING as ACCEPT_ENCODING
from ..http1.request_body import ChunksAndContentLength as ChunksAndContentLength
from ..http1.request_body import body_to_chunks as body_to_chunks
from ..http1.request_body import make_headers as make_headers
from ..http1.request_body import rewind_body as rewind_body
from ..http1.request_body import set_file_position as set_file_position
from ..http1.request_head import SKIP_HEADER as SKIP_HEADER
from ..http1.request_head import SKIPPABLE_HEADERS as SKIPPABLE_HEADERS

stand_for(__name__)
