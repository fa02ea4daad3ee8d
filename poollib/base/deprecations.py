"""Warnings of what urllib3's third version will drop, given while poollib stands in urllib3's place.

Programs that were written for urllib3 expect them, and silence them by their text; poollib itself has no such plans,
and under its own name says nothing.  ``compat`` says in whose name the modules speak; who warns asks
:func:`warn_as_urllib3`.  A URL without a scheme is warned of in any name: what it means is a guess.
"""

from __future__ import annotations

import warnings

is_urllib3 = False  # while `import urllib3` gives poollib


def warn_as_urllib3(text: str, stacklevel: int = 2) -> None:
    """Give urllib3's FutureWarning, if poollib stands in its place; ``stacklevel`` as seen from the caller."""
    if is_urllib3:
        warnings.warn(text, FutureWarning, stacklevel=stacklevel + 1)


def warn_of_no_scheme() -> None:
    """Say that a URL has no scheme, and that http is taken for it."""
    text = "URLs without a scheme (ie 'https://') are deprecated and will raise an error"
    if is_urllib3:
        text += (
            " in urllib3 v3.0. To avoid this FutureWarning ensure all URLs start with 'https://' or 'http://'."
            " Read more in this issue: https://github.com/urllib3/urllib3/issues/2920"
        )
    else:
        text += " in a future version. Add a scheme before the host."
    warnings.warn(text, FutureWarning, stacklevel=5)
