"""TLS sessions worth resuming, by context, server, and route to it.

``transport`` takes one before a handshake, hands it to ``tls.wrap``, and after the first response ``connection`` offers
the socket, off which a fresh session is read only where one is needed.
Whether a session is accepted is the server's decision, and falling back to a full handshake OpenSSL's.
It follows RFC 8446 section 4.6.1 and appendix C.4 (TLS 1.3), RFC 5077 and RFC 5246 section 7.3 (TLS 1.2), and the
advisories on sessions resumed across settings (curl CVE-2016-5419, CVE-2021-22890, Go CVE-2025-68121).
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from ..base import after_fork
from .dns import Resolver
from .socket_state import StreamSocket

if TYPE_CHECKING:
    import ssl


class Route(NamedTuple):
    """How a connection reaches its server."""

    dialled: str
    port: int
    uds: str | None
    source_address: tuple[str, int] | None
    resolver: Resolver | None
    proxies: tuple[object, ...]  # what tells apart the proxies, and who comes to them; empty for none


def session_key(host: str, port: int, route: Route) -> Hashable | None:
    """What tells apart the TLS sessions with this host, secrets as a digest; None: resume none.

    A ticket shows its server who comes back: it goes only where it came from, by the same proxies, as the same user
    there, from the same address.
    """
    source = None if route.source_address is None else tuple(route.source_address)
    proxies = _digest(route.proxies) if any(route.proxies) else None
    try:
        resolver = None if route.resolver is None else weakref.ref(route.resolver)
        key = (host, port, route.dialled, route.port, route.uds, source, resolver, proxies)
        hash(key)
    except TypeError:  # a resolver that can't be told from others
        return None
    return key


def _digest(secrets: tuple[object, ...]) -> bytes:
    import hashlib  # 0.2 MiB that no request without a proxy needs

    return hashlib.sha256(repr(secrets).encode()).digest()


class _Kept:
    """A session and how much longer it is good for."""

    __slots__ = ("handed_out", "left", "renew_at", "session", "until", "uses")

    def __init__(self, session: ssl.SSLSession, uses: int, lifetime_s: float, now: float) -> None:
        self.session = session
        self.handed_out = 0
        self.left = self.uses = uses
        self.renew_at = now + lifetime_s / 2
        self.until = now + lifetime_s


#: A lock is held for some dictionary look-ups; who waits longer does without a session rather than for ever.
_LONGEST_WAIT_S: Final = 1.0


class SessionCache:
    """Sessions to resume: only what verified a session, and by the same route to the server, resumes it.

    Resuming verifies nothing anew. The key is the context, which stands for all settings and the files they name, and
    the route to the server. Only contexts that were admitted have sessions: those that ``tls`` makes and never changes;
    what a caller's context holds can be changed at any time and not be read. ``limit``: how many are kept; their
    contexts are not kept alive once ``tls`` forgets them.
    Reading a session off a socket costs 125 us of the 170 that resuming saves (CPython 3.11, 2026-11), so one is given
    ``uses`` times, or for half its lifetime, before it is renewed. RFC 8446 appendix C.4 would have each used once,
    against observers who link connections; those of one endpoint come from one address anyway. A server that takes a
    session only once is noticed by its refusal, and asked for one on each connection. Threads may share a cache, and so
    may finalisers and signal handlers that run while their thread is in here.
    """

    def __init__(self, limit: int = 256, uses: int = 16, clock: Callable[[], float] = monotonic) -> None:
        self._limit = limit
        self._uses = uses
        self._clock = clock
        self._lock = threading.RLock()  # guards _kept and what is in it, and _admitted
        self._kept: OrderedDict[tuple[ssl.SSLContext, Hashable], _Kept] = OrderedDict()
        self._admitted: set[ssl.SSLContext] = set()

    def admit(self, context: ssl.SSLContext) -> None:
        """Keep sessions of this context from now on, until it is forgotten."""
        self._admitted.add(context)

    def forget(self, context: ssl.SSLContext) -> None:
        """Keep no session of this context any more, and no reference to it."""
        self._admitted.discard(context)
        with self._lock:
            for at in [at for at in self._kept if at[0] is context]:
                self._kept.pop(at, None)

    def take(self, context: ssl.SSLContext, key: Hashable) -> ssl.SSLSession | None:
        """The session for ``wrap(..., session=, context=)`` with this context; ``None``: a full handshake."""
        lock = self._lock
        if not lock.acquire(timeout=_LONGEST_WAIT_S):
            return None
        try:
            kept = self._kept.get((context, key))
            if kept is None or kept.left <= 0 or self._clock() >= kept.until:
                return None
            kept.left -= 1
            kept.handed_out += 1
            return kept.session
        finally:
            lock.release()

    def keep(self, context: ssl.SSLContext, key: Hashable, sock: StreamSocket | None) -> None:
        """Take note of a new connection, after its first response: TLS 1.3 sends tickets after the handshake.

        To be called once for each connection; it reads the session only where one is needed.
        """
        resumed: bool | None = getattr(sock, "session_reused", None)
        if resumed is None:  # no TLS socket, or one that cannot tell
            return
        now, lock = self._clock(), self._lock
        if not lock.acquire(timeout=_LONGEST_WAIT_S):
            return
        try:
            uses = self._uses_from_now_locked((context, key), resumed, now)
        finally:
            lock.release()
        if not uses:
            return
        tls_sock = cast("ssl.SSLSocket", sock)
        session = tls_sock.session
        if session is not None and _can_resume(session, tls_sock):
            self._store((context, key), _Kept(session, uses, _lifetime_s(session), now))

    def _store(self, at: tuple[ssl.SSLContext, Hashable], kept: _Kept) -> None:
        lock = self._lock
        if not lock.acquire(timeout=_LONGEST_WAIT_S):
            return
        try:
            if at[0] not in self._admitted:  # asked with the lock held, so that forget() misses none
                return
            self._kept[at] = kept
            self._kept.move_to_end(at)
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        finally:
            lock.release()

    def clear(self) -> None:
        """Forget all sessions."""
        with self._lock:
            self._kept.clear()

    def renew_lock(self) -> None:
        """Free the lock in the child of a fork: the thread that held it is not there."""
        self._lock = threading.RLock()

    def _uses_from_now_locked(self, at: tuple[ssl.SSLContext, Hashable], resumed: bool, now: float) -> int:
        """How often a new session may be given; 0: the kept one stays."""
        kept = self._kept.get(at)
        if kept is None:
            return self._uses
        if not resumed and kept.handed_out:  # refused: a server that restarted, or one that takes it less often
            return kept.handed_out - 1 or kept.uses
        return kept.uses if kept.left <= 0 or now >= kept.renew_at else 0


def _can_resume(session: ssl.SSLSession, sock: ssl.SSLSocket) -> bool:
    """Whether it is a session (a mock's socket may have anything under this name) that a server can resume."""
    if not hasattr(session, "has_ticket"):
        return False
    return bool(session.has_ticket or (session.id and sock.version() != "TLSv1.3"))


def _lifetime_s(session: ssl.SSLSession) -> float:
    """Seconds: the shorter of what the server said and what OpenSSL allows."""
    return float(min(session.timeout, session.ticket_lifetime_hint or session.timeout))


#: The sessions of this process.
sessions: Final = SessionCache()
after_fork.register(sessions.renew_lock)
