"""What programs test themselves with: a transport in memory, answers and faults to order, the requests that were made.

A name brings its module when it is first asked for, so that pytest, which imports this package with its plugin, loads
nothing of it before a test wants it. ``fake_transport`` has the parts' plan; what stands here is the public names.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own would cost more than the rest of this import
if TYPE_CHECKING:
    from .answers import Answer, garbage_head, truncated_chunk, unavailable
    from .connect_faults import ConnectFault, connect_timeout, dns_failure, refused, tls_alert
    from .fake_transport import FakeTransport
    from .recorded_requests import RecordedRequest
    from .table import UnexpectedRequest

__all__ = [
    "Answer",
    "ConnectFault",
    "FakeTransport",
    "RecordedRequest",
    "UnexpectedRequest",
    "connect_timeout",
    "dns_failure",
    "garbage_head",
    "refused",
    "tls_alert",
    "truncated_chunk",
    "unavailable",
]

# Each name's module, as the imports above tell type checkers.
_MODULES = {
    "Answer": "answers",
    "ConnectFault": "connect_faults",
    "FakeTransport": "fake_transport",
    "RecordedRequest": "recorded_requests",
    "UnexpectedRequest": "table",
    "connect_timeout": "connect_faults",
    "dns_failure": "connect_faults",
    "garbage_head": "answers",
    "refused": "connect_faults",
    "tls_alert": "connect_faults",
    "truncated_chunk": "answers",
    "unavailable": "answers",
}


if not TYPE_CHECKING:  # checkers know the names by the imports above, and that there are no others

    def __getattr__(name: str) -> object:
        """A public name, fetched from its module and kept here."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return globals().setdefault(name, value)
