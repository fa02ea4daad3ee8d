"""urllib3's ``filepost``: the same module as ``poollib.http1.multipart``, so a name patched here is patched there."""

from .compat.module_alias import stand_for
from .http1.multipart import choose_boundary as choose_boundary
from .http1.multipart import encode_multipart_formdata as encode_multipart_formdata
from .http1.multipart import iter_field_objects as iter_field_objects

stand_for(__name__)
