"""Every error and warning poollib raises, in urllib3's tree and with urllib3's constructors.

Modules above raise these at the line where a system call, a peer or an argument failed, and hand them to
the caller, who catches :exc:`HTTPError` for whatever a server or the network did.  Deciding what may be
tried again is left to ``retry``, wording beyond the arguments to whoever raises.  The tree follows
urllib3 2.8's; all classes pickle with their text and their plain values, while what belongs to one
process (pool, connection, response) becomes ``None``.
"""

from __future__ import annotations

import warnings
from http.client import IncompleteRead as _StdIncompleteRead
from typing import Any, Final, TypeVar

from .base.loggers import shown_url
from .base.tls_errors import hint_of

#: Attributes that point at living things of this process; they are ``None`` after unpickling.
_PROCESS_BOUND: Final = frozenset({"pool", "conn", "response"})
READING_THE_BODY: Final = "reading the body"  # a phase that the retry loop asks for
_PLAIN: Final = (type(None), bool, int, float, str, bytes)


class HTTPError(Exception):
    """The root of everything a server, the network or poollib's own limits can cause.

    ``phase``: what was under way when it came: "waiting for a turn", "waiting for a connection", "resolving",
    "connecting", "tunnelling", "tls handshake", "sending", "waiting for the response", "reading the body" or "waiting
    before a retry". None: none.
    ``nothing_sent``: certain that no byte of the request left, so that any request may be sent again. False: unknown.
    ``from_body``: the request's own body raised it while it was read to be sent; it says nothing of the server.
    """

    phase: str | None = None
    nothing_sent: bool = False
    from_body: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickle and copy need: class, arguments, and attributes that can travel."""
        args = tuple(_travelling(arg, str(arg)) for arg in self.args)
        state = {
            name: None if name in _PROCESS_BOUND else _travelling(value, None) for name, value in self.__dict__.items()
        }
        return _revive, (type(self), args, state)


_Error = TypeVar("_Error", bound=BaseException)


def chained(error: _Error, met: BaseException) -> _Error:
    """``error``, caused by ``met`` for those who look at ``__cause__`` and for those who look at ``__context__``."""
    error.__cause__ = error.__context__ = met
    return error


def name_phase(error: BaseException, phase: str) -> None:
    """Note in an error of poollib what was under way, unless it knows already.

    Its context is its cause again: a caller that asks while it handles an error has become the context meanwhile.
    """
    if isinstance(error, HTTPError):
        error.__dict__.setdefault("phase", phase)
        if error.__cause__ is not None:
            error.__context__ = error.__cause__


# The other two facts are noted in errors of every class: those that a body, or a method that a program has replaced,
# raises pass through as they are. Only the functions below know that there these are not declared.


def phase_of(error: BaseException | None) -> str | None:
    """``HTTPError.phase``; None for other errors."""
    return error.phase if isinstance(error, HTTPError) else None


def mark_nothing_sent(error: BaseException) -> None:
    """Note that no byte of the request had left when the error came."""
    error.__dict__["nothing_sent"] = True


def unmark_nothing_sent(error: BaseException) -> None:
    """Note that an attempt before this one may have sent something, whatever the last one did."""
    error.__dict__.pop("nothing_sent", None)


def is_nothing_sent(error: BaseException) -> bool:
    """``HTTPError.nothing_sent``, for any error."""
    return bool(error.__dict__.get("nothing_sent"))


def mark_from_body(error: BaseException) -> None:
    """Note that the request's body raised the error."""
    error.__dict__["from_body"] = True


def is_from_body(error: BaseException) -> bool:
    """``HTTPError.from_body``, for any error."""
    return bool(error.__dict__.get("from_body"))


def _travelling(value: Any, otherwise: Any) -> Any:
    """``value`` if it survives pickling, else ``otherwise``."""
    if isinstance(value, _PLAIN):
        return value
    import pickle  # only needed here, and errors are rarely pickled

    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # pickle promises no particular error
        return otherwise
    return value


def _revive(cls: type[HTTPError], args: tuple[Any, ...], state: dict[str, Any]) -> HTTPError:
    """The error again, without calling ``__init__``: its text is already made."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


# -- pools --


class PoolError(HTTPError):
    """Something went wrong with, or in, a pool: ``pool`` is that pool (``None`` once unpickled).

    The numbers tell the state the pool was in; ``None``: not known.
    """

    def __init__(
        self,
        pool: object,
        message: str | None,
        *,
        waited_s: float | None = None,
        leased: int | None = None,
        idle: int | None = None,
        opening: int | None = None,
        waiting: int | None = None,
        limit: int | None = None,
    ) -> None:
        self.pool = pool
        self._message = message
        super().__init__(f"{pool}: {message}")
        self.waited_s = waited_s
        self.leased = leased
        self.idle = idle
        self.opening = opening
        self.waiting = waiting
        self.limit = limit


def name_pool(error: PoolError, pool: object, url: str | None = None) -> None:
    """Let an error from below name its pool, and the request's target where it names none."""
    error.pool = pool
    error.args = (f"{pool}: {error._message}",)
    if url is not None and isinstance(error, RequestError) and error.url is None:
        error.url = url


class EmptyPoolError(PoolError):
    """No connection came free in time."""

    phase = "waiting for a connection"


class TooManyWaitingError(EmptyPoolError):
    """So many wait for a connection already that ``max_waiting`` lets nobody else wait; told at once."""


class RateLimitError(EmptyPoolError):
    """The next turn that ``rate`` leaves comes later than the caller may wait: in ``retry_in_s`` seconds."""

    phase = "waiting for a turn"

    def __init__(self, pool: object, message: str, retry_in_s: float = 0.0, waiting: int | None = None) -> None:
        super().__init__(pool, message, waited_s=0.0, waiting=waiting)
        self.retry_in_s = retry_in_s


class FullPoolError(PoolError):
    """A connection was returned to a pool that has no room for it."""


class ClosedPoolError(PoolError):
    """A connection was asked of a pool that has been closed."""


class RequestError(PoolError):
    """A request failed: ``url`` is what was asked for."""

    def __init__(self, pool: object, url: str | None, message: str | None) -> None:
        self.url = url
        super().__init__(pool, message)


class MaxRetryError(RequestError):
    """The retries are used up; ``reason`` is the last error, or ``None``."""

    def __init__(self, pool: object, url: str | None, reason: BaseException | None = None) -> None:
        self.reason = reason
        self.phase = phase_of(reason)
        text = f"Max retries exceeded with url: {shown_url(url)} (Caused by {reason!r})"
        super().__init__(pool, url, text)


class HostChangedError(RequestError):
    """A pool of one host was asked for a URL of another."""

    def __init__(self, pool: object, url: str, retries: object = 3) -> None:
        super().__init__(pool, url, f"Tried to open a foreign host with url: {shown_url(url)}")
        self.retries = retries


class BlockedHostError(HTTPError):
    """A request would go to a host or address that ``allowed_hosts`` or ``blocked_networks`` keeps it from."""


class CircuitOpenError(PoolError):
    """The endpoint failed again and again, and is left alone for ``retry_in_s`` seconds (``CircuitBreaker``)."""

    def __init__(self, pool: Any, message: str, retry_in_s: float | None = None) -> None:
        self.retry_in_s = retry_in_s
        super().__init__(pool, message)


class InsecureRedirectError(HTTPError):
    """A redirect leads from https to http, and ``Retry(allow_downgrade=False)`` refuses that."""

    def __init__(self, url: str, location: str) -> None:
        self.url = shown_url(url)
        self.location = shown_url(location)
        super().__init__(self.url, self.location)

    def __str__(self) -> str:
        return (
            f"Redirect from https to http refused: {self.url} -> {self.location};"
            " Retry(allow_downgrade=True) follows it, without credentials"
        )


# -- time --


class TimeoutStateError(HTTPError):
    """A Timeout was asked for something its clock cannot tell, or started twice."""


class TimeoutError(HTTPError):
    """The common base of all timeouts."""


class ReadTimeoutError(TimeoutError, RequestError):
    """The server took longer to send than ``Timeout.read`` allows."""


class WriteTimeoutError(ReadTimeoutError):
    """The server took longer to take what was sent than ``Timeout.write`` allows."""

    phase = "sending"


class DeadlineExceededError(TimeoutError):
    """The deadline of the whole exchange has passed; never tried again."""

    def __init__(self, message: str, phase: str) -> None:
        super().__init__(message)
        self.phase = phase


class ConnectTimeoutError(TimeoutError):
    """No connection within ``Timeout.connect``.  Nothing of the request was sent."""

    phase = "connecting"


class NewConnectionError(ConnectTimeoutError, HTTPError):
    """A connection could not be made; ``conn`` is the one that tried.  Nothing of the request was sent."""

    def __init__(self, conn: object, message: str) -> None:
        self.conn = conn
        self._message = message
        super().__init__(f"{conn}: {message}")

    @property
    def pool(self) -> Any:
        """The same as ``conn``, under its former name; warns."""
        message = "The 'pool' property is deprecated and will be removed in urllib3 v3.0. Use 'conn' instead."
        warnings.warn(message, FutureWarning, stacklevel=2)
        return self.conn


class NameResolutionError(NewConnectionError):
    """The host name has no address."""

    def __init__(self, host: str, conn: object, reason: BaseException) -> None:
        self._host = host
        self._reason = reason
        self.phase = "resolving"
        super().__init__(conn, f"Failed to resolve '{host}' ({reason})")


# -- what a peer sends --


class SSLError(HTTPError):
    """The TLS handshake, a certificate check or the TLS stream failed; the first argument is the cause, or a text."""

    _hint: str | None = None

    @property
    def hint(self) -> str | None:
        """What that means, where its own text is a riddle."""
        if self._hint is None and self.args and isinstance(self.args[0], OSError):
            return hint_of(self.args[0])
        return self._hint

    @hint.setter
    def hint(self, text: str | None) -> None:
        self._hint = text

    def __repr__(self) -> str:
        text = super().__repr__()  # as it stands in the text of a MaxRetryError
        return text if self.hint is None else f"{text} ({self.hint})"

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.hint is None else f"{text} ({self.hint})"


class ProxyError(HTTPError):
    """No connection through the proxy; ``original_error`` says why."""

    def __init__(self, message: str, error: BaseException) -> None:
        super().__init__(message, error)
        self.original_error = error
        if (phase := phase_of(error)) is not None:
            self.phase = phase


class DecodeError(HTTPError):
    """A body is not what its Content-Encoding says."""


class ProtocolError(HTTPError):
    """The connection broke, or the peer left HTTP's rules, in the middle of an exchange."""


class InvalidResponseError(ProtocolError):
    """A response is one that RFC 9112 refuses; ``met``: the exception that ``http.client`` raises for it, if it does.

    That one stands in ``args[1]`` and is the cause, as in urllib3, for those who decide by it.
    """

    def __init__(self, message: str, met: BaseException | None = None) -> None:
        if met is None:
            super().__init__(message)
        else:
            super().__init__("Connection aborted.", met, message)
            chained(self, met)


class ResponseNotChunked(ProtocolError, ValueError):
    """Chunks were asked for of a response that has none."""


class ResponseError(HTTPError):
    """The reason inside :exc:`MaxRetryError` when statuses or redirects, not errors, used the retries up."""

    GENERIC_ERROR = "too many error responses"
    SPECIFIC_ERROR = "too many {status_code} error responses"


class HTTPStatusError(HTTPError):
    """``raise_for_status`` met a ``status`` of 400 or above; ``response``: the one that has it, its body in reach."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
        self.response: object = None


class ResponseTooLargeError(HTTPError):
    """A response went beyond ``limit_bytes``, the most the caller was ready to take."""

    def __init__(self, message: str, limit_bytes: int) -> None:
        super().__init__(message)
        self.limit_bytes = limit_bytes


class BodyNotHttplibCompatible(HTTPError):
    """Chunks were asked for of a body object that does not work like http.client's response."""


class IncompleteRead(HTTPError, _StdIncompleteRead):
    """The body ended early: ``partial`` bytes came, ``expected`` more did not (``None``: number unknown)."""

    partial: int  # type: ignore[assignment]
    expected: int | None

    def __init__(self, partial: int, expected: int | None) -> None:
        self.args = (partial, expected)
        self.partial = partial
        self.expected = expected

    def __repr__(self) -> str:
        missing = "more" if self.expected is None else f"{self.expected} more"
        return f"{type(self).__name__}({self.partial} bytes read, {missing} expected)"

    __str__ = __repr__


class InvalidChunkLength(HTTPError, _StdIncompleteRead):
    """A chunk-size line is none: ``length`` is what stood there."""

    def __init__(self, response: Any, length: bytes) -> None:
        self.args = (response, length)
        self.partial = response.tell()
        self.expected = response.length_remaining
        self.response = response
        self.length = length

    def __repr__(self) -> str:
        return f"{type(self).__name__}(got length {self.length!r}, {self.partial!r} bytes read)"

    __str__ = __repr__


class InvalidHeader(HTTPError):
    """A header field has a value that cannot be used."""


class InvalidFramingError(InvalidHeader):
    """Content-Length or Transfer-Encoding is bad or contradicts itself (RFC 9112 section 6.3).

    No ProtocolError, as in urllib3: requests would take it for a lost connection, and nothing gets better by a retry.
    """


class HeaderParsingError(HTTPError):
    """Header fields could not all be parsed: what was wrong, and what was left over."""

    def __init__(self, defects: list[Any] | None, unparsed_data: bytes | str | None) -> None:
        super().__init__(f"{defects or 'Unknown'}, unparsed data: {unparsed_data!r}")


# -- arguments --


class UnrewindableBodyError(HTTPError):
    """A body has to be sent again and cannot be taken back to its start."""


class LocationValueError(ValueError, HTTPError):
    """A URL cannot be used."""


class LocationParseError(LocationValueError):
    """``location`` is no URL, or no host name; ``why``: what is wrong with it, if that is known.

    A password in it is kept out of the text.
    """

    why: str | None = None

    def __init__(self, location: str) -> None:
        super().__init__(f"Failed to parse: {shown_url(location)}")
        self.location = location

    @classmethod
    def because(cls, location: str, why: str | None) -> LocationParseError:
        """The error for a location, with what is wrong with it; None: not known."""
        error = cls(location)
        if why is None:
            return error
        error.why = why
        error.args = (f"Failed to parse: {shown_url(location)!r} {why}",)
        return error


class URLSchemeUnknown(LocationValueError):
    """``scheme`` is not one that can be spoken."""

    def __init__(self, scheme: str) -> None:
        super().__init__(f"Not supported URL scheme {scheme}")
        self.scheme = scheme


class ProxySchemeUnknown(AssertionError, URLSchemeUnknown):
    """A proxy's URL has no scheme, or one that cannot be spoken."""

    def __init__(self, scheme: str | None) -> None:
        # "localhost:3128" parses as the scheme "localhost": such a scheme means that there is none.
        if scheme is None or scheme == "localhost":
            text = "Proxy URL had no scheme, should start with http:// or https://"
        else:
            text = f"Proxy URL had unsupported scheme {scheme}, should use http:// or https://"
        self.args = (text,)
        self.scheme = scheme  # type: ignore[assignment]


class ProxySchemeUnsupported(ValueError):
    """The way through this kind of proxy needs what this Python does not have."""


# -- warnings --


class HTTPWarning(Warning):
    """The root of poollib's warnings."""


class SecurityWarning(HTTPWarning):
    """Something makes a connection less safe than it looks."""


class InsecureRequestWarning(SecurityWarning):
    """An HTTPS request was sent without verifying the server's certificate."""


class NotOpenSSLWarning(SecurityWarning):
    """The ssl module is not built on OpenSSL."""


class SystemTimeWarning(SecurityWarning):
    """The clock is so far in the past that certificates will not verify."""


class InsecurePlatformWarning(SecurityWarning):
    """The ssl module lacks what safe connections need."""


class DependencyWarning(HTTPWarning):
    """An optional package is missing."""


# -- urllib3 names --

ConnectionError = ProtocolError
