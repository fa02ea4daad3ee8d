"""What requests import when they first need it, loaded before a process with threads forks.

A child of a fork has one thread. A module that another thread of the parent was just importing stays locked there, and
whoever imports it in the child waits for ever. So the parent loads all of them first: it waits for imports under way,
and none begins later. Whether a fork needs that is decided in the package's ``__init__``; a test keeps the lists whole.
The locks are those of ``importlib`` (one for each module since Python 3.3).
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Final

# None of these may register hooks of its own for forks, as concurrent.futures does: they would be called for this fork,
# too, but only from the middle on.
OWN_MODULES: Final = (
    "base.version",
    "net.certificates",
    "policy.circuit_breaker",
    "policy.rate_limit",
    "http1.charset",
    "http1.decoders",
    "compat",
    "extras.download",
    "policy.env_settings",
    "extras.event_source",
    "net.caller_ssl_context",
    "pipeline.server_support",
    "pipeline.requests",
    "pipeline.pipeline",
    "policy.ssrf_guard",
    "policy.proxy_rules",
    "extras.package_functions",
    "socks_connectionpool",
    "http1.sse",
    "net.tls",
    "net.tls_contexts",
    "net.http_tunnel",
    "net.socks_tunnel",
)
MODULES: Final = (
    "base64",
    "copy",
    "ctypes",
    "datetime",
    "difflib",
    "email.utils",
    "encodings.idna",  # by getaddrinfo
    "hashlib",
    "hmac",
    "importlib",
    "io",
    "json",
    "mimetypes",
    "mmap",
    "pickle",
    "random",
    "socket",
    "ssl",
    "stat",
    "tempfile",
    "unicodedata",
    "urllib.parse",
    "warnings",
)
PACKAGES: Final = (
    "backports.zstd",
    "brotli",
    "brotlicffi",
    "certifi",
    "compression.zstd",
    "idna",
    "truststore",
)  # if here


@cache  # once in a process
def load() -> None:
    """Import all that is not there yet; what can't be imported is left to who needs it."""
    for name in (*(f"{__package__.partition('.')[0]}.{module}" for module in OWN_MODULES), *MODULES, *PACKAGES):
        with suppress(Exception):  # an audit hook raises what it likes
            import_module(name)
