"""How a manager is doing, for those who run it: ``prometheus(manager)`` measures it, ``debug_page(manager)`` shows it.

Each name is fetched from its module when it is asked for, since some need a package that others do without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .for_opentelemetry import opentelemetry
    from .for_prometheus import prometheus
    from .page import debug_page

_HOMES = {"debug_page": "page", "opentelemetry": "for_opentelemetry", "prometheus": "for_prometheus"}

__all__ = ["debug_page", "opentelemetry", "prometheus"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = vars(import_module(f".{_HOMES[name]}", __name__))[name]
    globals()[name] = found
    return found
