"""urllib3's memory of which hosts speak HTTP/2, and the switch for it: poollib speaks HTTP/1.1 only.

The memory works as urllib3's does, for programs that use it; nothing in poollib does.  Turning HTTP/2 on raises
ImportError, as urllib3 without the h2 package does.  The protocol is decided by ``tls.ALPN_PROTOCOLS``.
"""

from __future__ import annotations

import threading
from typing import NoReturn


class _HTTP2ProbeCache:
    """What is known of hosts: True, False, or None for not yet; one thread at a time finds out about a host."""

    __slots__ = ("_cache_locks", "_cache_values", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()  # guards both dicts
        self._cache_locks: dict[tuple[str, int], threading.RLock] = {}
        self._cache_values: dict[tuple[str, int], bool | None] = {}

    def acquire_and_get(self, host: str, port: int) -> bool | None:
        """What is known; if None, the caller finds out and says so by ``set_and_release``, others wait for that."""
        key = (host, port)
        with self._lock:
            value = self._cache_values.setdefault(key, None)
            lock = self._cache_locks.setdefault(key, threading.RLock())
        if value is not None:
            return value
        lock.acquire()
        with self._lock:
            value = self._cache_values.get(key)
        if value is not None:
            lock.release()
        return value

    def set_and_release(self, host: str, port: int, supports_http2: bool | None) -> None:
        """Remember what was found out, and let the next one in; ValueError for taking back what is known."""
        key = (host, port)
        with self._lock:
            known = self._cache_values.get(key)
            if supports_http2 is None and known is not None:
                raise ValueError("Cannot reset HTTP/2 support for origin after value has been set.")
            self._cache_values[key] = supports_http2
            lock = self._cache_locks.setdefault(key, threading.RLock())
        lock.release()

    def _values(self) -> dict[tuple[str, int], bool | None]:
        """A copy of all that is known."""
        with self._lock:
            return dict(self._cache_values)

    def _reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._cache_locks.clear()
            self._cache_values.clear()


_HTTP2_PROBE_CACHE = _HTTP2ProbeCache()

set_and_release = _HTTP2_PROBE_CACHE.set_and_release
acquire_and_get = _HTTP2_PROBE_CACHE.acquire_and_get
_values = _HTTP2_PROBE_CACHE._values
_reset = _HTTP2_PROBE_CACHE._reset

orig_HTTPSConnection = None

__all__ = ["acquire_and_get", "set_and_release"]


def inject_into_urllib3() -> NoReturn:
    """ImportError: poollib has no HTTP/2."""
    raise ImportError("poollib speaks HTTP/1.1 only: there is no HTTP/2 to turn on")


def extract_from_urllib3() -> None:
    """Nothing: HTTP/2 is never on."""
