"""A connected socket for a host and port, or for a Unix path.

Names become addresses, ``happy_eyeballs`` makes a connection of them, and it is handed to ``tunnel``, ``tls`` or
``connection`` with its options and its timeout set.
Which endpoint to dial, how long all steps of a connection may take together and when to try again is decided above.
It follows RFC 6724 as far as ``getaddrinfo`` sorts by it, and RFC 4007 section 11 for zones; errors are those of
urllib3.
"""

from __future__ import annotations

import math
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from time import monotonic
from typing import Any, Final, TypeAlias

from ..base import after_fork
from ..base.exact_values import seconds
from ..base.timeout import _DEFAULT_TIMEOUT, _TYPE_TIMEOUT
from ..exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from .dns import LookupTimedOut, within
from .happy_eyeballs import AddrInfo as AddrInfo
from .happy_eyeballs import DialOptions, first_connected
from .happy_eyeballs import SocketOptions as SocketOptions
from .socket_state import ReadByFile

#: Takes host and port, returns addresses in the order to try: ``AddrInfo`` tuples or numeric addresses as text.
Resolver: TypeAlias = Callable[[str, int], Sequence[Any]]


def _keepalive_options() -> list[tuple[int, int, int]]:
    """Options as far as this platform has them; macOS calls the idle time TCP_KEEPALIVE."""
    wanted = [("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)]
    if not hasattr(socket, "TCP_KEEPIDLE"):
        wanted[0] = ("TCP_KEEPALIVE", 60)
    known = [(socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in wanted if hasattr(socket, name)]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *known]


#: Socket options that find a dead peer after two minutes of silence (60 s idle, then 6 probes 10 s apart).
#: To be added to the defaults: ``socket_options=HTTPConnection.default_socket_options + TCP_KEEPALIVE``.
TCP_KEEPALIVE: Final = _keepalive_options()


def connect(
    host: str,
    port: int,
    *,
    timeout_s: float | None,
    source_address: tuple[str, int] | None = None,
    socket_options: SocketOptions | None = None,
    uds: str | None = None,
    owner: object = None,
    resolver: Resolver | None = None,
) -> socket.socket:
    """A connected socket whose timeout is ``timeout_s``.

    ``timeout_s``: seconds for resolving and connecting together, ``None`` for no limit. ``uds``: the path of a Unix
    socket; host and port then only name it. ``owner``: the connection that errors point at. ``resolver``: ``None``
    for the system's.
    Errors: NameResolutionError, ConnectTimeoutError, NewConnectionError; LocationParseError for what is no host name.
    """
    if create_connection is not _own_create_connection and uds is None:
        return _by_replaced(host, port, timeout_s, source_address, socket_options, owner)
    until = math.inf if timeout_s is None else monotonic() + timeout_s
    if uds is not None:
        infos = [_unix_info(uds, owner)]
    else:
        infos = addresses_within(host, port, timeout_s=timeout_s, resolver=resolver, owner=owner)
    try:
        sock = first_connected(infos, DialOptions(until, source_address, socket_options))
    except TimeoutError as err:
        _forget(resolver, host)
        where = uds or f"{host}:{port}"
        raise ConnectTimeoutError(owner, f"Connection to {where} timed out. (connect timeout={timeout_s})") from err
    except OSError as err:
        _forget(resolver, host)
        where = uds or f"{host}:{port}"
        raise NewConnectionError(owner, f"Failed to establish a new connection: {err} ({where})") from err
    if type(sock).__module__ == "httpretty.core":  # it answers as http.client asks
        sock = ReadByFile(sock)  # type: ignore[assignment]
    if sock.gettimeout() != timeout_s:  # to set it is a system call
        sock.settimeout(timeout_s)
    return sock


def addresses(host: str, port: int, *, resolver: Resolver | None = None, owner: object = None) -> list[AddrInfo]:
    """The addresses of a name in the order to try, at least one; brackets around an IPv6 address are dropped.

    Errors: NameResolutionError; LocationParseError for what is no host name.
    """
    name = host[1:-1] if host.startswith("[") else host
    try:
        if "\0" in name:  # getaddrinfo would resolve what stands before it
            raise ValueError("a NUL in a host name")
        infos = _system_lookup(name, port) if resolver is None else _answers(resolver(name, port), port)
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
    before, until = _until.get(), monotonic() + timeout_s
    try:
        _until.set(until)
        infos = addresses(host, port, resolver=resolver, owner=owner)
        if monotonic() < until:
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

    ``resolve``: answers by host name, each a list of numeric addresses. ``resolver``: asked for the rest, ``None`` for
    the system's. ``lifetime_s``: how long an answer is kept, ``None`` for not at all. ``limit``: how many are kept.
    Failures are not kept, and an answer none of whose addresses could be connected to is dropped. Threads may share it.
    """

    def __init__(
        self,
        resolver: Resolver | None = None,
        *,
        resolve: Mapping[str, Sequence[Any]] | None = None,
        lifetime_s: float | None = None,
        limit: int = 256,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._ask = resolver or _system_lookup
        self._fixed = {name.lower(): tuple(answers) for name, answers in (resolve or {}).items()}
        self._lifetime_s = None if lifetime_s is None else seconds("lifetime_s", lifetime_s)
        self._limit = limit
        self._clock = clock
        self._kept: OrderedDict[tuple[str, int], tuple[float, Sequence[Any]]] = OrderedDict()
        self._reset_after_fork()
        after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        """A free lock: at the start, and in the child of a fork, where the thread that held it is not there."""
        self._lock = threading.RLock()  # guards _kept; a finaliser that comes in between may look a name up

    def __call__(self, host: str, port: int) -> Sequence[Any]:
        """The answer for a host: a fixed one, a kept one, a fresh one."""
        name = host.lower()
        if name in self._fixed:
            return self._fixed[name]
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

    def __getstate__(self) -> dict[str, Any]:
        """The settings: what was kept belongs to this process."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_kept")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._kept = OrderedDict()
        self._reset_after_fork()
        after_fork.remember(self)

    def _keep(self, key: tuple[str, int], entry: tuple[float, Sequence[Any]]) -> None:
        if not entry[1]:
            return
        with self._lock:
            self._kept[key] = entry
            self._kept.move_to_end(key)
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)


def resolver_from(
    resolver: Resolver | None, resolve: Mapping[str, Sequence[Any]] | None, dns_cache: float | None
) -> Resolver | None:
    """The resolver that a pool's keywords mean: ``resolve`` answers, ``dns_cache`` seconds; None: the system's."""
    if not resolve and dns_cache is None:
        return resolver
    lifetime_s = None if dns_cache is None else seconds("dns_cache", dns_cache)
    return CachingResolver(resolver, resolve=resolve, lifetime_s=lifetime_s)


# Names to addresses


def _is_numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


_until: ContextVar[float | None] = ContextVar("poollib.net.dial.until", default=None)  # for a lookup that has a limit


def _system_lookup(host: str, port: int) -> list[AddrInfo]:
    """What the system answers, within the limit that ``addresses_within`` has set. LookupTimedOut, OSError.

    What a program has put in getaddrinfo's place runs in the caller's thread, where its thread-locals are.
    """
    until, family = _until.get(), allowed_gai_family()
    if until is None or getattr(socket.getaddrinfo, "__globals__", None) is not vars(socket):
        return _ask_system(host, port, family)
    ask = partial(_ask_system, host, port, family)
    return within(max(0.0, until - monotonic()), (host, port, family), ask)


def _ask_system(host: str, port: int, family: int) -> list[AddrInfo]:
    try:
        return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
    except LookupError:  # the codec for names is loaded when first used, which is too late at the interpreter's exit
        return list(socket.getaddrinfo(host.encode("ascii"), port, family, socket.SOCK_STREAM))


def _answers(answers: Iterable[Any], port: int) -> list[AddrInfo]:
    """A resolver's answers as ``getaddrinfo`` would give them."""
    infos: list[AddrInfo] = []
    for answer in answers:
        infos.extend(_numeric(answer, port) if isinstance(answer, str) else [answer])
    return infos


def _numeric(address: str, port: int) -> list[AddrInfo]:
    flags = socket.AI_NUMERICHOST
    return list(socket.getaddrinfo(address.strip("[]"), port, 0, socket.SOCK_STREAM, 0, flags))


def _forget(resolver: object, host: str) -> None:
    forget = getattr(resolver, "forget", None)
    if forget is not None:
        forget(host.strip("[]"))


def _unix_info(path: str, owner: object) -> AddrInfo:
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise NewConnectionError(owner, f"Failed to establish a new connection: no Unix sockets here ({path})")
    return (family, socket.SOCK_STREAM, 0, "", path)


# urllib3 names


def _has_ipv6(host: str) -> bool:
    """Whether a socket can be bound to the IPv6 address ``host``: compiled in is not the same as usable."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind((host, 0))
    except OSError:
        return False
    except Exception:  # of a guard that keeps tests off the network: an import is no place for it, and it tells nothing
        return True
    return True


HAS_IPV6 = _has_ipv6("::1")


def allowed_gai_family() -> socket.AddressFamily:
    """The address family to ask the system for: any, or IPv4 where IPv6 does not work."""
    return socket.AF_UNSPEC if HAS_IPV6 else socket.AF_INET


def create_connection(
    address: tuple[str, int],
    timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
    source_address: tuple[str, int] | None = None,
    socket_options: SocketOptions | None = None,
) -> socket.socket:
    """A connected socket with its timeout set; ``OSError`` as it came, LocationParseError for what is no host name."""
    host, port = address
    timeout_s = socket.getdefaulttimeout() if timeout is _DEFAULT_TIMEOUT else timeout
    until = math.inf if timeout_s is None else monotonic() + timeout_s
    try:
        infos = _system_lookup(host.strip("[]"), port)
    except UnicodeError as err:
        raise LocationParseError(f"'{host}', label empty or too long") from err
    sock = first_connected(infos, DialOptions(until, source_address, socket_options))
    sock.settimeout(timeout_s)
    return sock


_own_create_connection = create_connection


def _by_replaced(
    host: str,
    port: int,
    timeout_s: float | None,
    source_address: tuple[str, int] | None,
    socket_options: SocketOptions | None,
    owner: object,
) -> socket.socket:
    """As ``connect``, by what a program has put in the place of ``create_connection``, say to choose addresses."""
    try:
        bare = host.strip("[]")  # as the system's functions want an IPv6 address
        return create_connection((bare, port), timeout_s, source_address=source_address, socket_options=socket_options)
    except socket.gaierror as err:
        raise NameResolutionError(host, owner, err) from err
    except TimeoutError as err:
        text = f"Connection to {host}:{port} timed out. (connect timeout={timeout_s})"
        raise ConnectTimeoutError(owner, text) from err
    except OSError as err:
        raise NewConnectionError(owner, f"Failed to establish a new connection: {err} ({host}:{port})") from err


def _set_socket_options(sock: socket.socket, options: SocketOptions | None) -> None:
    for option in options or ():
        sock.setsockopt(*option)
