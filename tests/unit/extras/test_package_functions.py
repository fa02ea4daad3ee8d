"""shortcuts: the functions of the package itself."""

from __future__ import annotations

import warnings

import pytest

import poollib
from poollib.exceptions import InsecureRequestWarning, SystemTimeWarning


def test_warnings_can_be_silenced_by_kind() -> None:
    """As urllib3's users do; all of the library's by default."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        poollib.disable_warnings(InsecureRequestWarning)
        warnings.warn("silent", InsecureRequestWarning, stacklevel=1)
        with pytest.raises(SystemTimeWarning):
            warnings.warn("loud", SystemTimeWarning, stacklevel=1)
        poollib.disable_warnings()
        warnings.warn("silent", SystemTimeWarning, stacklevel=1)
