"""Host names to addresses: looked up in time, in few threads, and kept for a while where that is asked for.

:func:`addresses_within` is what ``dial`` and SOCKS proxies ask; a :data:`Resolver` of the program's is called in the
caller's thread. The system's ``getaddrinfo`` can't be interrupted, so a thread does it where there is a limit:
requests for the same name share one lookup, no more than MOST_THREADS run at once, and where no thread can be had (at
a limit of the system, in a subinterpreter, at the interpreter's exit) the caller's own does it, as in urllib3.
Which address is connected to is ``happy_eyeballs``'s. Sharing follows the singleflight group of Go's net.Resolver, the
order of addresses RFC 6724 as far as ``getaddrinfo`` sorts by it, and RFC 4007 section 11 for zones.
"""

from __future__ import annotations

import math
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import ContextVar, copy_context
from functools import partial
from types import FunctionType
from typing import Final, TypeAlias

from ..base import after_fork
from ..base.exact_values import seconds
from ..base.ip import bare_host
from ..exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError

#: What ``getaddrinfo`` gives for one address: family, type, protocol, canonical name, socket address.
AddrInfo: TypeAlias = "tuple[int, int, int, str, SocketAddress]"

#: Host and port and, of IPv6, flow label and zone; the path of a Unix socket.
SocketAddress: TypeAlias = "tuple[object, ...] | str"

#: One answer of a resolver: what ``getaddrinfo`` would give, or a numeric address.
Answer: TypeAlias = "AddrInfo | str"

#: Takes host and port, returns addresses in the order to try: ``AddrInfo`` tuples or numeric addresses as text.
Resolver: TypeAlias = Callable[[str, int], Sequence[Answer]]

#: So many lookups run at once; who comes then waits for one to end, within its own limit. Go allows 500, libuv 4.
MOST_THREADS: Final = 64
#: This machine's name for itself, which no name server is asked for (RFC 6761 section 6.3): it needs no thread.
OWN_NAME: Final = "localhost"
#: A lookup that has run for so long is joined by nobody: a new one finds a network that has come back sooner. It is
#: how long the resolvers of most systems wait for a server (resolv.conf(5), "timeout").
JOIN_WITHIN_S: Final = 5.0


def addresses(host: str, port: int, *, resolver: Resolver | None = None, owner: object = None) -> list[AddrInfo]:
    """The addresses of a name in the order to try, at least one; brackets around an IPv6 address are dropped.

    Errors: NameResolutionError; LocationParseError for what is no host name.
    """
    name = host[1:-1] if host.startswith("[") else host
    if "%" in name and ":" not in name:  # no zone: what a system made of it would be its own guess
        raise LocationParseError.because(host, "has percent-encoded characters, which no host name has")
    try:
        if "\0" in name:  # getaddrinfo would resolve what stands before it
            raise ValueError("a NUL in a host name")
        infos = system_lookup(name, port) if resolver is None else _answers(resolver(name, port), port)
        if not infos:
            raise socket.gaierror(socket.EAI_NONAME, "the resolver gave no address")
    except OSError as err:
        raise NameResolutionError(host, owner, err) from err
    except ValueError as err:  # the IDNA codec: a label is empty or longer than 63 bytes
        raise LocationParseError(f"'{host}', label empty or too long") from err
    return infos


def addresses_within(
    host: str, port: int, *, timeout_s: float | None, resolver: Resolver | None = None, owner: object = None
) -> list[AddrInfo]:
    """As ``addresses``, in ``timeout_s`` seconds: the system can't be interrupted, but need not be waited for.

    A resolver of the program's runs in this thread, and what it takes counts.
    Errors: ConnectTimeoutError whose phase is "resolving"; those of ``addresses``.
    """
    if timeout_s is None or _is_numeric(host):
        return addresses(host, port, resolver=resolver, owner=owner)
    before, until = _until.get(), time.monotonic() + timeout_s
    try:
        _until.set(until)
        infos = addresses(host, port, resolver=resolver, owner=owner)
        if time.monotonic() < until:
            return infos
    except LookupTimedOut:
        pass
    finally:
        _until.set(before)  # no token: an interrupt may come before it is in hand
    error = ConnectTimeoutError(owner, f"Resolving {host} timed out. (connect timeout={timeout_s})")
    error.phase = "resolving"
    raise error


class CachingResolver:
    """A resolver of fixed answers, of another resolver's or the system's, kept for a while.

    ``resolve``: answers by host name, in any spelling of it (``bare_host``), each a numeric address or a list of them.
    ``resolver``: asked for the rest, ``None`` for the system's. ``lifetime_s``: how long an answer is kept, ``None``
    for not at all. ``limit``: how many are kept. Failures are not kept, and an answer none of whose addresses could be
    connected to is dropped. Threads may share it.
    """

    def __init__(
        self,
        resolver: Resolver | None = None,
        *,
        resolve: Mapping[str, str | Sequence[Answer]] | None = None,
        lifetime_s: float | None = None,
        limit: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = resolver or system_lookup
        self._fixed: dict[str, Sequence[Answer]] = {
            bare_host(name): (answers,) if isinstance(answers, str) else tuple(answers)
            for name, answers in (resolve or {}).items()
        }
        self._lifetime_s = None if lifetime_s is None else seconds("lifetime_s", lifetime_s)
        self._limit = limit
        self._clock = clock
        self._kept: OrderedDict[tuple[str, int], tuple[float, Sequence[Answer]]] = OrderedDict()
        self._reset_after_fork()
        after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        """A free lock: at the start, and in the child of a fork, where the thread that held it is not there."""
        self._lock = threading.RLock()  # guards _kept; a finaliser that comes in between may look a name up

    def __call__(self, host: str, port: int) -> Sequence[Answer]:
        """The answer for a host: a fixed one, a kept one, a fresh one."""
        name = host.lower()
        if self._fixed and (fixed := self._fixed.get(bare_host(host))) is not None:
            return fixed
        if self._lifetime_s is None:
            return self._ask(host, port)
        now = self._clock()
        with self._lock:
            until, answer = self._kept.get((name, port), (-math.inf, ()))
        if now < until:
            return answer
        answer = tuple(self._ask(host, port))
        self._keep((name, port), (now + self._lifetime_s, answer))
        return answer

    def forget(self, host: str | None = None) -> None:
        """Drop the kept answers for a host, or all with ``None``."""
        with self._lock:
            for key in [key for key in self._kept if host is None or key[0] == host.lower()]:
                del self._kept[key]

    def __getstate__(self) -> dict[str, object]:
        """The settings: what was kept belongs to this process."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_kept")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._kept = OrderedDict()
        self._reset_after_fork()
        after_fork.remember(self)

    def _keep(self, key: tuple[str, int], entry: tuple[float, Sequence[Answer]]) -> None:
        if not entry[1]:
            return
        with self._lock:
            self._kept[key] = entry
            self._kept.move_to_end(key)
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)


def resolver_from(
    resolver: Resolver | None, resolve: Mapping[str, str | Sequence[Answer]] | None, dns_cache: float | None
) -> Resolver | None:
    """The resolver that a pool's keywords mean: ``resolve`` answers, ``dns_cache`` seconds; None: the system's."""
    if resolver is not None and not callable(resolver):
        raise TypeError(f"resolver must be a callable (host, port), not {resolver!r}")
    if not resolve and dns_cache is None:
        return resolver
    lifetime_s = None if dns_cache is None else seconds("dns_cache", dns_cache)
    return CachingResolver(resolver, resolve=resolve, lifetime_s=lifetime_s)


# The system's lookup


def _is_numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


_until: ContextVar[float | None] = ContextVar("poollib.net.dns.until", default=None)  # for a lookup that has a limit


def system_lookup(host: str, port: int) -> list[AddrInfo]:
    """What the system answers, within the limit that ``addresses_within`` has set. LookupTimedOut, OSError.

    What a program has put in getaddrinfo's place runs in the caller's thread, where its thread-locals are.
    """
    until, family = _until.get(), allowed_gai_family()
    getaddrinfo = socket.getaddrinfo
    is_own = isinstance(getaddrinfo, FunctionType) and getaddrinfo.__globals__ is vars(socket)
    if until is None or not is_own or host == OWN_NAME:
        return _ask_system(host, port, family)
    ask = partial(_ask_system, host, port, family)
    return within(max(0.0, until - time.monotonic()), (host, port, family), ask)


def _ask_system(host: str, port: int, family: int) -> list[AddrInfo]:
    try:
        return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
    except LookupError:  # the codec for names is loaded when first used, which is too late at the interpreter's exit
        return list(socket.getaddrinfo(host.encode("ascii"), port, family, socket.SOCK_STREAM))


def _answers(answers: Iterable[Answer], port: int) -> list[AddrInfo]:
    """A resolver's answers as ``getaddrinfo`` would give them."""
    infos: list[AddrInfo] = []
    for answer in answers:
        infos.extend(_numeric(answer, port) if isinstance(answer, str) else [answer])
    return infos


def _numeric(address: str, port: int) -> list[AddrInfo]:
    flags = socket.AI_NUMERICHOST
    return list(socket.getaddrinfo(address.strip("[]"), port, 0, socket.SOCK_STREAM, 0, flags))


# Lookups in threads


class LookupTimedOut(Exception):
    """There was no answer in time. No OSError, which a resolver might raise itself."""


class _Lookup:
    """One lookup under way: ``answer`` and ``error`` are None as long as it runs, and after it was given up."""

    def __init__(self, key: Hashable, look_up: Callable[[], list[AddrInfo]], owner: _Lookups) -> None:
        self.key = key
        self.look_up = look_up
        self.owner = owner
        self.since = time.monotonic()
        self.done = threading.Event()
        self.answer: list[AddrInfo] | None = None
        self.error: BaseException | None = None

    def start(self) -> None:
        """Run in a new thread, else here: then it is over when this returns."""
        if sys.is_finalizing():  # a thread starts, but never runs, and Thread.start waits for it (CPython 3.10, 3.11)
            self.run()
            return
        try:
            run = copy_context().run
            threading.Thread(target=run, args=(self.run,), name="poollib-lookup", daemon=True).start()
        except (RuntimeError, MemoryError):  # no daemons in this interpreter, no further thread, no thread at exit
            self.run()

    def run(self) -> None:
        """Do it, and tell all who wait."""
        try:
            self.answer = self.look_up()
        except BaseException as error:
            self.error = error.with_traceback(None)  # which would hold this frame, and that the error
        finally:
            self.owner.end(self)


class _Lookups:
    """Those under way. The lock is re-entrant, for the garbage collector may run a finaliser that looks a name up."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # guards all below
        self.free = threading.Condition(self.lock)
        self.running: set[_Lookup] = set()
        self.by_key: dict[Hashable, _Lookup] = {}  # the newest for each key

    def enter(self, new: _Lookup, until: float) -> _Lookup:
        """The lookup to wait for: one that is under way, else ``new``, which is to be started. LookupTimedOut."""
        with self.lock:
            while (lookup := self._to_join(new.key)) is None and len(self.running) >= MOST_THREADS:
                if not self.free.wait(max(0.0, until - time.monotonic())):
                    raise LookupTimedOut
            if lookup is None:
                lookup = self.by_key[new.key] = new
                self.running.add(new)
        return lookup

    def _to_join(self, key: Hashable) -> _Lookup | None:
        lookup = self.by_key.get(key)
        if lookup is None or lookup.done.is_set() or time.monotonic() - lookup.since >= JOIN_WITHIN_S:
            return None
        return lookup

    def end(self, lookup: _Lookup) -> None:
        """The lookup is over, or nobody's any longer; calling it again is fine.

        It is told first: who waits for it may be a finaliser that interrupted the holder of the lock.
        """
        lookup.done.set()
        with self.lock:
            self.running.discard(lookup)
            if self.by_key.get(lookup.key) is lookup:
                del self.by_key[lookup.key]
            self.free.notify()


_lookups = _Lookups()


def within(limit_s: float, key: Hashable, look_up: Callable[[], list[AddrInfo]]) -> list[AddrInfo]:
    """What ``look_up()`` gives, in ``limit_s`` seconds; what another call with an equal ``key`` asks for is shared.

    It runs in a copy of the caller's context. LookupTimedOut; what it raises. Where no thread can be had there is no
    limit.
    """
    until = time.monotonic() + limit_s
    while True:
        new = _Lookup(key, look_up, _lookups)
        try:
            lookup = new.owner.enter(new, until)
            if lookup is new:
                new.start()
        except BaseException:  # interrupted: whether a thread runs is not known, and nobody needs it
            new.owner.end(new)
            raise
        if not lookup.done.wait(max(0.0, until - time.monotonic())):
            raise LookupTimedOut
        if lookup.answer is not None:
            return lookup.answer
        error = lookup.error
        if error is not None and (lookup is new or isinstance(error, Exception)):
            raise error if lookup is new else _copied(error)
        # Whoever began it was interrupted: ask again.


def _copied(error: BaseException) -> BaseException:
    """The error for a second thread, which adds a traceback of its own; itself where it can't be copied."""
    from copy import copy

    try:
        return copy(error)
    except Exception:
        return error


def _reset_after_fork() -> None:
    """In a forked child: the threads are not there."""
    global _lookups
    _lookups = _Lookups()


after_fork.register(_reset_after_fork)


# urllib3 names


def _has_ipv6(host: str) -> bool:
    """Whether a socket can be bound to the IPv6 address ``host``: compiled in is not the same as usable."""
    if not socket.has_ipv6:
        return False
    try:
        sock = socket.socket(socket.AF_INET6)
    except OSError:
        return False
    except Exception:  # of a guard that keeps tests off the network: an import is no place for it, and it tells nothing
        return True
    try:
        with sock:
            sock.bind((host, 0))
    except Exception:
        return False
    return True


HAS_IPV6 = _has_ipv6("::1")


def allowed_gai_family() -> socket.AddressFamily:
    """The address family to ask the system for: any, or IPv4 where IPv6 does not work."""
    return socket.AF_UNSPEC if HAS_IPV6 else socket.AF_INET
