"""urllib3's ``fields``: the same module as ``poollib.http1.multipart``, so a name patched here is patched there."""

from .compat.module_alias import stand_for
from .http1.multipart import RequestField as RequestField
from .http1.multipart import format_header_param as format_header_param
from .http1.multipart import format_header_param_html5 as format_header_param_html5
from .http1.multipart import format_header_param_rfc2231 as format_header_param_rfc2231
from .http1.multipart import format_multipart_header_param as format_multipart_header_param
from .http1.multipart import guess_content_type as guess_content_type

stand_for(__name__)
