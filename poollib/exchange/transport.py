"""One connection's socket: opened, looked at while it is idle, read from, closed.

:class:`Transport` reaches a server as its arguments say (``dial``, ``http_tunnel`` or ``socks_tunnel``, ``tls`` in
turn, within one timeout), gives received bytes to a ``TransportBuffer`` with every error mapped to poollib's, and knows
in ``state`` where in an exchange it is.  What is said on it is ``connection``'s, which subclasses it; who may use it
when is the pool's.  Both subclass ``http.client``'s class, whose attributes (``sock``, ``timeout``, ``host``, ...)
programs know.

A connection's life::

    NEW ── connect ──> IDLE ── request ──> SENDING ── sent ──> AWAITING ── head read ──> READING
                        ^                                                                   │
                        └───────────────────────── body read to its end ────────────────────┤
    CLOSED <── close, error, Connection: close, bytes left over ────────────────────────────┘
"""

from __future__ import annotations

import enum
import http.client
import socket
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from socket import getdefaulttimeout
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar

from ..base.endpoint import TlsSettings
from ..base.exact_values import exact
from ..base.loggers import logger
from ..base.timeout import _DEFAULT_TIMEOUT, _TYPE_TIMEOUT, Deadline, Timeout
from ..base.tls_errors import is_ragged_end, is_tls_error
from ..base.trace import Trace, notify
from ..base.url import idna_encode
from ..exceptions import (
    READING_THE_BODY,
    LocationParseError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
    mark_nothing_sent,
)
from ..http1.body_reader import Buffer, broken
from ..http1.grammar import RECEIVE_BYTES
from ..http1.head_template import HeadTemplate
from ..http1.interim_responses import InterimResponses
from ..http1.request_head import Fields
from ..net import dial
from ..net.dns import Resolver
from ..net.socket_state import (
    RECV,
    SOCKET_CLASS,
    Descriptor,
    SSLSocket,
    StreamSocket,
    closed_error,
    is_plain,
    quiet_check,
    set_timeout,
    signals_come_here,
    wait_in_kernel,
    wait_in_python,
    with_receive,
)
from ..net.tls_sessions import Route, session_key, sessions
from .connect_clock import ConnectClock
from .proxy_config import ProxyConfig, hint_for, proxy_tls_settings
from .request_value import AS_USUAL, Options, ResponseOptions
from .transport_buffer import TransportBuffer, closed_too_early, receive_no_more

if TYPE_CHECKING:
    import ssl

    from ..base.url import Url
    from ..net.tls import TlsSocket, TlsStream

log = logger(__name__)

TLS_RECORD_BYTES = 16384  # RFC 8446 section 5.1
port_by_scheme = {"http": 80, "https": 443}


class ConnectionState(enum.Enum):
    NEW = "new"
    IDLE = "idle"
    SENDING = "sending"
    AWAITING = "awaiting"
    READING = "reading"
    CLOSED = "closed"


_NEW, _IDLE, _READING = ConnectionState.NEW, ConnectionState.IDLE, ConnectionState.READING


class SentRequest:
    """What a connection keeps of the request that it sent last, to read its response by; one for each connection."""

    __slots__ = ("method", "target", "wanted")

    def __init__(self, method: str, target: str, wanted: ResponseOptions) -> None:
        self.method = method
        self.target = target
        self.wanted = wanted


#: Where so many heads in turn were of no known form, only every 16th and its next are kept: to look in vain takes 1 us.
PATIENCE = 4


_NOT_GIVEN: object = _DEFAULT_TIMEOUT
_Base = http.client.HTTPConnection
_init: object = vars(_Base)["__init__"]
_is_theirs = isinstance(_init, FunctionType) and _init.__globals__ is vars(http.client)
_their_init = _init if _is_theirs else None  # None: replaced already


class Transport(_Base):
    """A socket to a server, and how it is reached; arguments are those of ``HTTPConnection``.

    ``timeout`` (seconds) bounds connecting, and each send and receive where ``read_timeout`` is not set.
    ``socket_options``: for ``setsockopt``, before connecting. ``blocksize``: bytes read from a file body at a time.
    """

    default_port: int = port_by_scheme["http"]
    default_socket_options: ClassVar[list[tuple[int, int, int | bytes]]] = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    is_verified: bool = False
    proxy_is_verified: bool | None = None
    scheme = "http"

    # What most connections set stands in slots, and all else on the class until it is set, so also most of the 14
    # attributes that http.client's constructor sets (_stand_on_class): 0.4 KiB less for each connection.
    __slots__ = (
        "_attached_socket",
        "_default_fields",
        "_drained",
        "_hooks",
        "_interim",
        "_is_foreign",
        "_is_kernel_waiting",
        "_is_plain",
        "_known_misses",
        "_private",
        "_quiet",
        "_receive_buffer",
        "_sent_fields",
        "_sent_head",
        "_through_hooks",
        "bytes_received",
        "bytes_sent",
        "exchange_count",
        "exchange_state",
        "has_answered",
        "idle_limit_s",
        "is_outdated",
        "known_head",
        "last_request",
        "made_for",
        "read_timeout",
        "request_options",
        "requests_sent",
    )

    _buffer: cached_property[list[bytes]] = cached_property(lambda self: [])
    _tunnel_headers: cached_property[dict[str, str]] = cached_property(lambda self: {})
    _create_connection: cached_property[object] = cached_property(lambda self: socket.create_connection)

    blocksize = 16384
    proxy: Url | None = None
    proxy_config: ProxyConfig | None = None
    uds: str | None = None
    resolver: Resolver | None = None  # None: the system's

    if TYPE_CHECKING:  # what http.client keeps of us, which typeshed does not tell
        source_address: tuple[str, int] | None
        timeout: float | None
        _get_hostport: Callable[[str, int | None], tuple[str, int]]
        _validate_host: Callable[[str], None]
        _tunnel_host: str | None
        _tunnel_port: int | None
        _method: str | None
        _HTTPConnection__state: str
        _HTTPConnection__response: http.client.HTTPResponse | None

    _tunnel_scheme: str | None = None  # the proxy's: "https" for one that is spoken to over TLS
    _opening: ConnectClock | None = None  # while the connection is being made
    _reached_proxy = False
    _session_at: tuple[ssl.SSLContext, Hashable] | None = None  # where to keep the TLS session

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT,
        source_address: tuple[str, int] | None = None,
        blocksize: int = 16384,
        socket_options: Sequence[tuple[int, int, int | bytes]] | None = _DEFAULT_TIMEOUT,  # type: ignore[assignment]
        proxy: Url | None = None,
        proxy_config: ProxyConfig | None = None,
    ) -> None:
        host, port = exact(host), exact(port)
        if "@" in host:  # http.client would take what follows the user for a port, and show it
            raise LocationParseError(host)
        self.exchange_state = ConnectionState.NEW
        self.request_options: Options | None = None
        self.read_timeout: _TYPE_TIMEOUT = _DEFAULT_TIMEOUT
        self.requests_sent = 0
        self.exchange_count = 0  # responses whose head was read
        self.bytes_sent = 0
        self.bytes_received = 0
        self.has_answered = True  # whether a byte of the answer to the last request has come
        self.idle_limit_s: int | None = None  # what the server's Keep-Alive said
        self.is_outdated = False  # a setting of its pool that it was made with has changed: it serves nothing more
        self.made_for: object = None  # the endpoint that its pool had when it was made, None outside of pools
        self._hooks: type[Any] = type(self)  # httpclient_hooks.PatchedClass: its requests go by http.client's methods
        self._through_hooks = False  # the request went through http.client's methods, so shall the response
        self._interim: InterimResponses | None = None  # the interim responses since the request began
        self._receive_buffer: TransportBuffer | None = None
        self._attached_socket: StreamSocket | None = None
        self._drained = False  # whether the last receive gave less than it had room for
        self._is_kernel_waiting = False  # whether a receive waits in the kernel, for a part of its timeout
        self._quiet: Callable[[bool], bool] | None = None
        self._default_fields: bytes | None = None
        self._is_plain = False  # whether small requests leave by the descriptor: see send_at_once
        self._is_foreign = False  # whether the socket is no socket.socket: it is told each timeout, as by urllib3
        self._sent_head: bytes | None = None  # the last request's bytes, if it had no body and they may be sent again
        self._sent_fields: Fields | None = None  # the caller's fields that stand in them
        self.known_head: HeadTemplate | None = None
        self._known_misses = 0  # heads in turn that were of no known form
        self._private: tuple[object, Fields] | None = None  # the last request's fields, if they prove who it comes from
        self.last_request = SentRequest("GET", "", AS_USUAL)
        if not host.isascii():  # by the rule for URLs: the system's would make another host of "straße.example"
            host = idna_encode(host)
        timeout_s = getdefaulttimeout() if timeout is _DEFAULT_TIMEOUT else timeout
        self._set_up_base(host, port, timeout_s, source_address, blocksize)
        self.socket_options = self.default_socket_options if socket_options is _NOT_GIVEN else socket_options
        if proxy is not None:
            self.proxy = proxy
        if proxy_config is not None:
            self.proxy_config = proxy_config

    def _set_up_base(
        self,
        host: str,
        port: int | None,
        timeout_s: float | None,
        source_address: tuple[str, int] | None,
        blocksize: int,
    ) -> None:
        """What http.client's constructor does, without what the class has already."""
        if _Base.__init__ is not _their_init:  # an agent wants to see it called
            super().__init__(host, port, timeout_s, source_address, blocksize)
            return
        if port is None or host[:1] == "[":
            host, port = self._get_hostport(host, port)
        self._dns_host, self.port, self.timeout = host, port, timeout_s
        self._validate_host(host)
        if source_address is not None:
            self.source_address = source_address
        if blocksize != Transport.blocksize:
            self.blocksize = blocksize

    def __repr__(self) -> str:
        where = f"(host={self.host!r}, port={self.port!r})"
        return f"<{type(self).__name__}{where} {self.exchange_state.value} at {id(self):#x}>"

    def __str__(self) -> str:
        return f"{type(self).__name__}(host={self.host!r}, port={self.port!r})"

    @property
    def host(self) -> str:
        """The host's name without a trailing dot, which TLS and the Host field do not want."""
        return self._dns_host.rstrip(".")

    @host.setter
    def host(self, value: str) -> None:
        self._dns_host = exact(value)
        self._default_fields = None
        self._sent_head = self._sent_fields = None

    # -- connecting --

    def connect(self) -> None:
        """Dial, tunnel where a proxy asks for it, and shake hands with an https server; within ``timeout`` in all.

        NameResolutionError, ConnectTimeoutError, NewConnectionError, ProxyError, SSLError, DeadlineExceededError.
        """
        if self._reached_proxy:
            self._reached_proxy = False
        self._opening = self._started_opening()
        try:
            self.sock = with_receive(self._new_conn())
            if self.proxy is not None or self._tunnel_host:
                self._pass_proxy()
            self._secure()
            if self.sock.gettimeout() != self.timeout:  # to set it is a system call
                self.sock.settimeout(self.timeout)
        except BaseException as error:
            mark_nothing_sent(error)  # so any request may be tried again
            self.close()
            raise
        finally:
            self._opening = None
        self._attach_socket()

    def _pass_proxy(self) -> None:
        """Turn the socket to a proxy into one to what is behind the proxy."""
        if self._proxy_speaks_tls():
            self.sock = self._connect_tls_proxy(self.host, self.sock)
        else:
            self.proxy_is_verified = False
        if self._tunnel_host:
            self._tunnel()
        self._reached_proxy = self.proxy is not None

    def _started_opening(self) -> ConnectClock:
        options = self.request_options
        deadline, trace = (None, None) if options is None else (options.deadline, options.trace)
        return ConnectClock(self, self.timeout, deadline, trace)

    def _new_conn(self) -> socket.socket:
        """A connected socket. Subclasses override this to reach the server otherwise."""
        sys.audit("http.client.connect", self, self.host, self.port)
        return self._dial(self._dns_host, self.port)

    own_dialling: tuple[object, ...] = (_new_conn,)  # the methods _new_conn that dial by what a Route says

    def _dial(self, host: str, port: int, resolver: Resolver | None = None) -> socket.socket:
        opening = self._opening or self._started_opening()
        with opening.step("dial", host, port) as timeout_s:
            return dial.connect(
                host,
                port,
                timeout_s=timeout_s,
                source_address=self.source_address,
                socket_options=self.socket_options,
                uds=self.uds,
                owner=self,
                resolver=resolver or self.resolver,
                trace=opening.trace,
            )

    def _secure(self) -> None:
        """Put TLS on the socket where the scheme is https."""

    def _proxy_speaks_tls(self) -> bool:
        if self._tunnel_host and self._tunnel_scheme is not None:
            return self._tunnel_scheme == "https"
        return self.proxy is not None and self.proxy.scheme == "https"

    def _connect_tls_proxy(self, hostname: str, sock: StreamSocket) -> TlsStream:
        """TLS with an HTTPS proxy, by the proxy's own settings; ProxyError around what goes wrong."""
        try:
            wrapped = self._wrap_in_tls(sock, self.proxy_tls_settings, hostname, self.port, in_tls=False)
        except (SSLError, ProtocolError) as error:
            raise ProxyError(f"Unable to connect to proxy{hint_for(error)}", error) from error
        self.proxy_is_verified = wrapped.is_verified
        return wrapped.sock

    @property
    def proxy_tls_settings(self) -> TlsSettings:
        """What is wanted of TLS with an https proxy, as one value."""
        return proxy_tls_settings(self.proxy_config)

    def _wrap_in_tls(
        self, sock: StreamSocket, settings: TlsSettings, host: str, port: int, *, in_tls: bool
    ) -> TlsSocket:
        """The TLS socket over a socket, after its handshake; its session is kept, and one kept before is resumed."""
        from ..net import tls

        opening = self._opening or self._started_opening()
        with opening.step("tls", host) as timeout_s:
            context = tls.context_for(settings)
            key = None if settings.ssl_context is not None else self.session_key(host, port)
            session = None if key is None else sessions.take(context, key)
            wrapped = tls.wrap(
                sock, settings, host, timeout_s=timeout_s, session=session, tls_in_tls=in_tls, context=context
            )
        if opening.trace is not None:
            stream = wrapped.sock
            name = (stream.cipher() or (None,))[0]
            notify(opening.trace, "tls_established", host, stream.version(), name, bool(stream.session_reused))
        self._session_at = None if key is None else (context, key)
        return wrapped

    def session_key(self, host: str, port: int) -> Hashable | None:
        """By what TLS sessions with this host are kept; None: they are not.

        What a class of somebody else's dials by, and what a caller's context for the proxy holds, is unknown.
        """
        config = self.proxy_config
        if type(self)._new_conn not in self.own_dialling or (config is not None and config.ssl_context is not None):
            return None
        route = Route(self._dns_host, self.port, self.uds, self.source_address, self.resolver, self.proxies_passed())
        return session_key(host, port, route)

    def proxies_passed(self) -> tuple[object, ...]:
        """What tells apart the proxies in between, and who comes to them; empty for none."""
        if self.proxy is None and not self._tunnel_host:
            return ()
        tunnel = (self._tunnel_host, self._tunnel_port, self._tunnel_scheme, list(self._tunnel_headers.items()))
        return self.proxy, tunnel, self.proxy_config

    def _tunnel(self) -> None:
        """Ask the proxy for a tunnel to the target's host; ProxyError."""
        from ..net.http_tunnel import http_connect

        host, port = self._tunnel_host or "", self._tunnel_port or 443
        opening = self._opening or self._started_opening()
        with opening.step("tunnel", host, port) as timeout_s:
            head = http_connect(self.sock, host, port, self._tunnel_headers, timeout_s=timeout_s, owner=self)
        if self.debuglevel > 0:
            for name, value in head.pairs():
                print("header:", f"{name}: {value}\r\n")

    # -- the socket --

    def _attach_socket(self) -> None:
        """Read from ``self.sock`` from now on; also when a program has put a socket of its own there."""
        if type(self.sock) is not socket.socket:
            self.sock = with_receive(self.sock)
        if (is_foreign := not isinstance(self.sock, SOCKET_CLASS)) is not self._is_foreign:
            self._is_foreign = is_foreign
        self._is_plain = is_plain(self.sock)
        self._attached_socket = self.sock
        self._receive_buffer = TransportBuffer(
            self.receive if type(self.sock) is socket.socket else self.receive_record
        )
        self._quiet = self.known_head = None
        self._drained = self._is_kernel_waiting = False
        self.exchange_state = _IDLE
        self._sent_head = self._sent_fields = None
        if self.sock.gettimeout():
            self._wait_in_kernel()

    def _wait_in_kernel(self) -> None:
        """Let receives wait in the kernel, where that is possible, and small requests leave without a poll before."""
        self._is_kernel_waiting = wait_in_kernel(self.sock)

    def _wait_in_python(self) -> float:
        """Undo that, as when the socket changes hands; how long a receive that found nothing has waited so."""
        if not self._is_kernel_waiting:
            return 0.0
        self._is_kernel_waiting = False
        return wait_in_python(self.sock)

    def _check_deadline(self, phase: str) -> None:
        """Raise if it is the deadline, not one of the smaller timeouts, that ended a step."""
        if self.request_options is not None and self.request_options.deadline is not None:
            self.request_options.deadline.remaining_s(phase)

    def write_timeout_s(self) -> float | None:
        """A body waits for the server again and again: each wait has its own limit, the connect timeout's if none."""
        options = self.request_options
        wish = self.timeout if options is None or options.write_timeout_s is None else options.write_timeout_s
        if options is not None and options.deadline is not None:
            wish = options.deadline.cap_s(wish, "sending")
        return wish

    def _trace(self) -> Trace | None:
        return None if self.request_options is None else self.request_options.trace

    @property
    def is_closed(self) -> bool:
        """Whether there is no socket."""
        return self.sock is None

    @property
    def is_connected(self) -> bool:
        """Whether there is a socket on which nothing waits to be read, not even its end."""
        return self.sock is not None and self._is_quiet()

    def is_reusable(self) -> bool:
        """Whether the next exchange may start here: the last one ended cleanly and the socket is quiet."""
        if self.exchange_state is not _IDLE:
            return self.sock is None and self.exchange_state is not ConnectionState.CLOSED
        quiet = self._quiet
        if quiet is None or self._attached_socket is not self.sock:
            return self._is_quiet()
        return quiet(self._drained)

    def is_reusable_state(self) -> bool:
        """Whether the last exchange, if any, ended cleanly; what lies on the socket is looked at before reuse."""
        return (self.exchange_state is _IDLE or self.exchange_state is _NEW) and not self.is_outdated

    def close_reason(self) -> str:
        """Why this connection can't be kept, in a phrase for statistics."""
        if self.is_outdated:
            return "settings changed"
        return (
            "closed"
            if self.exchange_state is ConnectionState.CLOSED
            else f"given back while {self.exchange_state.value}"
        )

    def _is_quiet(self) -> bool:
        sock = self.sock
        if self._quiet is None or self._attached_socket is not sock:
            if self._attached_socket is not sock:
                self._attach_socket()
            self._quiet = quiet_check(sock)
        return self._quiet(self._drained)

    def close(self) -> None:
        """Close the socket; a later request dials anew."""
        if self.sock is None and self.exchange_state is ConnectionState.CLOSED:
            return
        self.exchange_state = ConnectionState.CLOSED
        sock, incoming = self.sock, self._receive_buffer
        if incoming is not None:
            incoming.recv = receive_no_more
        try:
            self._attached_socket = self._receive_buffer = self._quiet = self._interim = self._private = None
            self.known_head = None
            self._sent_head = self._sent_fields = None
            self._is_kernel_waiting = False
            super().close()
        except OSError:  # the descriptor is gone all the same, and what was received stays true
            log.debug("closing %s failed", self, exc_info=True)
        except BaseException:  # an interrupt, perhaps before the descriptor was closed
            if sock is not None:
                sock.close()
            raise
        finally:
            self.sock = None
            self.is_verified, self.proxy_is_verified = False, None

    def detach(self) -> socket.socket:
        """The socket, which this connection forgets: the caller closes it (``HTTPResponse.detach`` asks for it)."""
        self._wait_in_python()
        sock: socket.socket = self.sock
        self.sock = None
        self.close()
        return sock

    def stand_in(self, state: str) -> None:
        """Stand in this state of http.client's, for its own methods: they look at it, and ours do not."""
        self._HTTPConnection__state, self._HTTPConnection__response = state, None
        self._method = self.last_request.method

    # -- receiving --

    def receive(self, limit: int, flags: int = 0) -> bytes:
        """What one receive gives, ``b""`` at the end."""
        sock = self.sock
        if sock is None:
            raise closed_too_early()
        options = self.request_options
        if options is not None and options.deadline is not None:
            self._cap_receive(options.deadline)
        try:
            data: bytes
            if flags:
                data = sock.recv(limit, flags)
            elif self._is_kernel_waiting and SOCKET_CLASS.recv is RECV and not signals_come_here():
                number = sock.fileno()
                data = Descriptor.read(number, limit)
                if sock.fileno() != number:  # closed by another thread, and the number may be another's by now
                    raise closed_error()
            else:
                data = sock.recv(limit)
        except OSError as error:
            if self._is_kernel_waiting and isinstance(error, BlockingIOError):
                data = self._receive_late(sock, limit)
            else:
                raise self._receive_failed(error) from error
        self.bytes_received += len(data)
        return data

    def _receive_late(self, sock: socket.socket, limit: int) -> bytes:
        """What comes in the time that is left, when nothing came while the kernel was waited for."""
        try:
            timeout_s, waited_s = sock.gettimeout(), self._wait_in_python()
            if timeout_s is not None and waited_s:
                sock.settimeout(max(0.001, timeout_s - waited_s))
            try:
                return sock.recv(limit)
            finally:
                if sock.fileno() >= 0:
                    sock.settimeout(timeout_s)
        except OSError as error:
            raise self._receive_failed(error) from error

    def receive_record(self, limit: int) -> bytes:
        """As ``receive`` over TLS, where one receive never gives more than a record: room for more would be wasted."""
        limit = limit if limit < TLS_RECORD_BYTES else TLS_RECORD_BYTES
        sock = self.sock
        if type(sock) is not SSLSocket:
            data = self.receive(limit)
        else:
            options = self.request_options
            if options is not None and options.deadline is not None:
                self._cap_receive(options.deadline)
            try:
                data = sock.read(limit)  # what recv comes to two calls later
            except (OSError, ValueError) as error:  # ValueError: closed by another thread
                raise self._receive_failed(error) from error
            self.bytes_received += len(data)
        self._drained = len(data) < limit
        return data

    def _receive_head_alone(self) -> bytes:
        """As ``receive``; a whole head without what follows: who takes the socket over finds that there (docker)."""
        if type(self.sock) is not socket.socket:
            return self.receive(RECEIVE_BYTES)
        data = self.receive(RECEIVE_BYTES, socket.MSG_PEEK)
        end = data.find(b"\r\n\r\n")
        self.bytes_received -= len(data)
        return self.receive(end + 4 if end >= 0 else len(data) or 1)

    def receive_into(self, view: Buffer) -> int:
        """As ``receive``, into ``view``; how many bytes."""
        sock = self.sock
        if sock is None:
            raise closed_too_early()
        options = self.request_options
        if options is not None and options.deadline is not None:
            self._cap_receive(options.deadline)
        try:
            n: int = sock.recv_into(view)
        except OSError as error:
            raise self._receive_failed(error) from error
        self.bytes_received += n
        self._drained = False
        return n

    def _phase(self) -> str:
        return READING_THE_BODY if self.exchange_state is _READING else "waiting for the response"

    def _cap_receive(self, deadline: Deadline) -> None:
        set_timeout(self.sock, deadline.cap_s(Timeout.resolve_default_timeout(self.read_timeout), self._phase()))

    def _receive_failed(self, error: OSError | ValueError) -> Exception:
        """poollib's error for what a receive raised."""
        if isinstance(error, TimeoutError):
            self._check_deadline(self._phase())
            timeout = self.sock.gettimeout() if self.sock is not None else None
            sent = self.last_request
            if (trace := self._trace()) is not None:
                notify(trace, "read_timed_out", sent.method, sent.target, timeout, self._phase())
            return ReadTimeoutError(self, sent.target, f"Read timed out. (read timeout={timeout})")
        if is_tls_error(error) and not is_ragged_end(error):
            return SSLError(error)
        if self.exchange_state is _READING:
            return broken(error)
        return ProtocolError("Connection aborted.", error)

    @contextmanager
    def cap_read_timeout(self, limit_s: float) -> Iterator[None]:
        """A block within which all receives together take no longer than that: DeadlineExceededError.

        A peer that sends a byte now and then would outlast a limit on each receive.
        """
        options, sock = self.request_options or Options(), self.sock
        if options.deadline is not None:
            limit_s = min(limit_s, max(0.001, options.deadline.at - time.monotonic()))
        before, self.request_options = self.request_options, options.with_deadline(Deadline(limit_s))
        timeout_s = None if sock is None else sock.gettimeout()
        if sock is not None and (timeout_s is None or timeout_s > limit_s):
            sock.settimeout(limit_s)  # for a response class that reads from the socket by itself
        try:
            yield
        finally:
            self.request_options = before
            if sock is not None and sock is self.sock:
                sock.settimeout(timeout_s)

    # -- proxies --

    def set_tunnel(
        self, host: str, port: int | None = None, headers: Mapping[str, str] | None = None, scheme: str = "http"
    ) -> None:
        """Reach ``host`` through the server that this connection dials, which is a proxy."""
        if scheme not in ("http", "https"):
            raise ValueError(f"Invalid proxy scheme for tunneling: {scheme!r}, must be either 'http' or 'https'")
        host = host if host.isascii() else idna_encode(host)
        super().set_tunnel(host, port=port, headers=dict(headers) if headers else None)
        self._tunnel_scheme = scheme
        self._default_fields = None
        self._sent_head = self._sent_fields = None

    @property
    def proxy_is_tunneling(self) -> bool:
        """Whether requests go through a tunnel."""
        return self._tunnel_host is not None

    @property
    def proxy_is_forwarding(self) -> bool:
        """Whether requests are sent to a proxy, which passes them on."""
        return bool(self.proxy) and self._tunnel_host is None

    @property
    def has_connected_to_proxy(self) -> bool:
        """Whether the proxy was reached, whatever happened behind it."""
        return self._reached_proxy


def _stand_on_class() -> None:
    """Let what ``http.client``'s constructor sets on each connection be found on the class."""
    for name, value in vars(_Base("localhost")).items():
        if name not in vars(Transport):
            setattr(Transport, name, value)


_stand_on_class()
