"""The version of the package, for its metadata, ``poollib.__version__``, the documentation and the User-Agent."""

from typing import Final

VERSION: Final = "0.1.0"
