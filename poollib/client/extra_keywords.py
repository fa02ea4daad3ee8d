"""The keywords of pools and requests beyond urllib3's: which there are, and how they are settled once.

``connectionpool`` and ``poolmanager`` sort the keywords they are given by the tables here; those of a request become
one value, ``Options``, which a ``Request`` carries to the exchange.  What a keyword does is decided where it is used.
Unknown keywords are TypeErrors that name them. What can't be meant is said when it is given (:func:`check_values`),
also by a manager, which makes its pools later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, SupportsFloat

from ..base.exact_values import number, seconds
from ..base.timeout import _DEFAULT_TIMEOUT, LONGEST_S, Timeout
from ..base.trace import Measured, MeasuredRedirects, Meter, RequestTrace, TimedTrace, Trace
from ..exchange.request_value import EXPECT_CONTINUE_S, Options
from ..exchange.tls_transport import TlsTransport
from ..exchange.transport import Transport
from ..exchange.upload import Progress
from ..http1.grammar import DEFAULT_LIMITS, Limits
from ..pool.settings import Settings
from .endpoint_builder import DIAL_OPTIONS, GUARD_OPTIONS, take_dial_options
from .endpoint_health_check import checked_interval
from .request_encoding import EncodedRequest, encode_fields, encode_json
from .request_hooks import hooks_named

if TYPE_CHECKING:
    from .keyword_types import Body, Keywords

#: keywords of a pool that ``connection_pool.EndpointPool`` explains
LENDING_OPTIONS = (
    "idle_timeout",
    "max_lifetime",
    "min_idle",
    "dispose_batch_size",
    "acquire_timeout",
    "leak_timeout",
    "max_waiting",
    "background_collector",
    "shared_limit",
)
#: keywords of a pool that ``health.HealthCheck`` explains
HEALTH_OPTIONS = ("health_check_interval", "health_check_path")
#: keywords of a request, and of a pool as defaults of its requests
REQUEST_OPTIONS = (
    "trace",
    "max_response_size",
    "max_decoded_size",
    "expect_continue",
    "trailers",
    "limits",
    "timings",
    "hooks",
    "attempt_hooks",
)
#: keywords of a pool beyond urllib3's
POOL_OPTIONS: Final = frozenset(
    (
        *LENDING_OPTIONS,
        *HEALTH_OPTIONS,
        *REQUEST_OPTIONS,
        *DIAL_OPTIONS,
        *GUARD_OPTIONS,
        "circuit_breaker",
        "rate",
    )
)
#: keywords of a request alone
OWN_OPTIONS = ("progress",)
#: keywords of ``urlopen`` as urllib3 has them
URLOPEN_KEYWORDS = (
    "body",
    "headers",
    "retries",
    "redirect",
    "assert_same_host",
    "timeout",
    "pool_timeout",
    "release_conn",
    "chunked",
    "body_pos",
    "preload_content",
    "decode_content",
)
#: keywords of ``request`` that ``urlopen`` takes as well
FIELD_OPTIONS = ("fields", "encode_multipart", "multipart_boundary", "json")


#: What other libraries call it, and what stands in its place here.
_ELSEWHERE = {
    "allow_redirects": "redirect=",
    "auth": "headers=make_headers(basic_auth='user:password')",
    "backoff_factor": "retries=Retry(backoff_factor=...)",
    "base_url": "Client(base_url)",
    "cert": "cert_file= and key_file= of the pool or manager",
    "connect_timeout": "timeout=Timeout(connect=...)",
    "content": "body=",
    "cookies": "a Cookie field in headers=",
    "data": "body= for bytes or text, fields= for a form",
    "event_hooks": "hooks= or attempt_hooks=",
    "files": "fields={'name': ('file.txt', file)}",
    "follow_redirects": "redirect=",
    "keepalive_expiry": "idle_timeout= of the pool or manager",
    "max_connections": "maxsize= for a host, total_maxsize= for all hosts of a manager",
    "max_redirects": "retries=Retry(redirect=...)",
    "max_retries": "retries=",
    "params": "fields= for a query, or Client(base_url).get(path, params=...)",
    "pool_block": "block=",
    "pool_connections": "num_pools=",
    "pool_maxsize": "maxsize=",
    "pool_size": "maxsize=",
    "progress_callback": "progress=",
    "proxies": "PoolManager(proxies=...)",
    "proxy": "ProxyManager(url), or PoolManager(proxies=...)",
    "rate_limit": "rate= of the pool or manager",
    "read_timeout": "timeout=Timeout(read=...)",
    "status_forcelist": "retries=Retry(status_forcelist=...)",
    "stream": "preload_content=False",
    "trust_env": "PoolManager(proxies='env')",
    "verify": "ca_certs='authorities.pem' or cert_reqs='CERT_NONE' of the pool or manager",
}


def unknown_keyword(whose: str, unknown: Iterable[str], known: Iterable[str] = ()) -> TypeError:
    """The error for keywords that mean nothing: it names them, and what the first was probably meant to be."""
    names = sorted(unknown)
    said = f"{whose} got an unexpected keyword argument {', '.join(map(repr, names))}"
    return TypeError(said + _hint(names[0], known))


def _hint(name: str, known: Iterable[str]) -> str:
    """What an unknown keyword was probably meant to be, as the end of a sentence; empty if nothing like it is known."""
    if name in (*URLOPEN_KEYWORDS, *FIELD_OPTIONS, *OWN_OPTIONS):
        return ": give it to each request"
    if name in _ELSEWHERE:
        return f": use {_ELSEWHERE[name]}"
    from difflib import get_close_matches

    meant = get_close_matches(name, sorted(known), 1)
    return f": did you mean {meant[0]}?" if meant else ""


def refuse_unknown(connection_class: type[Transport], keywords: Mapping[str, object]) -> None:
    """TypeError for a pool's keyword that its connections do not take; what a class of somebody's own takes is unknown.

    Without this the first request would say it.
    """
    init = connection_class.__init__
    if init is Transport.__init__ or init is TlsTransport.__init__:
        code = init.__code__
        known = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
        if unknown := sorted(keywords.keys() - known):
            said = f"no keyword of pools for {connection_class.scheme}: {', '.join(map(repr, unknown))}"
            raise TypeError(said + _hint(unknown[0], {*known, *POOL_OPTIONS, *_POOLS_OWN}))


#: parameters of a pool's own that no connection has, for hints
_POOLS_OWN: Final = ("maxsize", "block", "headers", "retries")


def take(names: tuple[str, ...], keywords: Keywords) -> Keywords:
    """Those of ``keywords`` that have one of these names, taken out of it."""
    return {name: keywords.pop(name) for name in names if name in keywords}


def check_values(keywords: Keywords) -> None:
    """TypeError, ValueError for a value of a pool's keyword beyond urllib3's that can't be meant.

    A manager asks, whose first request would say it otherwise; its pools check theirs as they are made.
    """
    if keywords.keys().isdisjoint(POOL_OPTIONS):
        return
    check_defaults({name: keywords[name] for name in REQUEST_OPTIONS if name in keywords})
    lending = {name: keywords[name] for name in LENDING_OPTIONS if name in keywords and name != "shared_limit"}
    if lending:
        Settings(**{**lending, "maxsize": None}).checked()
    if keywords.get("circuit_breaker") is not None:
        from ..policy.circuit_breaker import circuit_from

        circuit_from(keywords["circuit_breaker"])
    if keywords.get("health_check_interval") is not None:
        checked_interval(keywords["health_check_interval"])
    if not keywords.keys().isdisjoint(GUARD_OPTIONS):
        from ..policy.ssrf_guard import Guard

        Guard(*map(keywords.get, GUARD_OPTIONS))
    take_dial_options(dict(keywords))


def check_defaults(defaults: Keywords) -> None:
    """TypeError, ValueError for a default of requests that can't be meant."""
    if defaults:
        hooks_named("hooks", defaults)
        take_options(defaults, {})


def take_fields(
    method: str, url: str, body: Body | None, headers: Mapping[str, str] | None, keywords: Keywords
) -> EncodedRequest:
    """URL, body and headers with ``fields=`` and ``json=`` worked in, so that urlopen takes them as request does."""
    given = take(FIELD_OPTIONS, keywords)
    if given.get("json") is not None:
        if body is not None or given.get("fields") is not None:
            raise TypeError("json was given together with body or fields: a request has one body")
        return EncodedRequest(url, *encode_json(given["json"], headers))
    if given.get("fields") is not None:
        encode_multipart = given.get("encode_multipart", True)
        return encode_fields(
            method, url, given["fields"], body, headers, encode_multipart, given.get("multipart_boundary")
        )
    return EncodedRequest(url, body, headers)


def take_options(defaults: Keywords, keywords: Keywords) -> Options | None:
    """poollib's own request options, those of the request before the pool's; None if there are none.

    TypeError for what is left in ``keywords`` and means nothing.
    """
    taken = take((*REQUEST_OPTIONS, *OWN_OPTIONS), keywords)
    given = {**defaults, **taken}
    if keywords:
        raise unknown_keyword(
            "urlopen()", keywords, (*URLOPEN_KEYWORDS, *REQUEST_OPTIONS, *OWN_OPTIONS, *FIELD_OPTIONS)
        )
    if not any(value is not None for value in given.values()):
        return None
    expect, trace, limits = given.get("expect_continue"), given.get("trace"), given.get("limits")
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits must be Limits, not {limits!r}")
    if given.get("timings") and type(trace) is not RequestTrace:
        trace = TimedTrace(None if trace is None else checked_trace(trace))
    return Options(
        trace=None if trace is None else checked_trace(trace),
        max_response_size=_size("max_response_size", given),
        max_decoded_size=_size("max_decoded_size", given),
        expect_continue_s=None if not expect else EXPECT_CONTINUE_S if expect is True else _seconds(expect),
        trailers=given.get("trailers"),
        limits=limits or DEFAULT_LIMITS,
        progress=_progress(given.get("progress")),
        attempt_hooks=() if given.get("attempt_hooks") is None else _attempt_hooks(defaults, taken),
    )


def _attempt_hooks(*keywords: Keywords) -> tuple[Callable[..., object], ...]:
    return tuple(hooks_named("attempt_hooks", *keywords))


def checked_trace(trace: Trace) -> Trace:
    """The listener; TypeError for something else."""
    if not hasattr(trace, "head_sent"):
        raise TypeError(f"trace must be a Trace, not {trace!r}")
    return trace


def quiet_listener(defaults: Keywords, keywords: Keywords) -> RequestTrace | Measured | None:
    """A request's listener that wants nothing of exchanges, where it is all that is asked for beyond urllib3's."""
    trace = keywords.get("trace")
    if len(keywords) != 1 or (type(trace) is RequestTrace and not trace.is_quiet) or type(trace) not in _BOUND:
        return None
    return trace if not defaults or (len(defaults) == 1 and "trace" in defaults) else None


def told_request(method: str, url: str, defaults: Keywords, keywords: Keywords) -> RequestTrace | Measured | None:
    """The request's listener, bound to it, now also in ``keywords``; None if there is none or it is bound already."""
    trace = keywords["trace"] if "trace" in keywords else defaults.get("trace")
    if type(trace) is RequestTrace:
        return None
    if keywords["timings"] if "timings" in keywords else defaults.get("timings"):
        trace = TimedTrace(None if trace is None else checked_trace(trace))
    if trace is None:
        return None
    bound = trace.measured if isinstance(trace, Meter) else RequestTrace(checked_trace(trace), method, url)
    keywords["trace"] = bound
    return bound


#: listeners that a manager gives its pools
_BOUND = frozenset({RequestTrace, Measured, MeasuredRedirects})


def _progress(progress: Progress | None) -> Progress | None:
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be a callable (sent, total), not {progress!r}")
    return progress


def _size(name: str, given: Keywords) -> int | None:
    """The limit of that name; ValueError for what bounds nothing: a NaN, a number below 0, a bool."""
    limit: SupportsFloat | None = given.get(name)
    if limit is None:
        return None
    with suppress(ValueError):
        if not isinstance(limit, bool) and (bytes_ := number(name, limit)) >= 0:
            return bytes_  # type: ignore[return-value]  # a float is a limit, too
    raise ValueError(f"{name} must be None or a number of bytes, not {limit!r}")


def _seconds(expect_continue: float) -> float:
    """The number; ValueError for one that nobody can wait for."""
    with suppress(ValueError):
        if 0 < (wait_s := seconds("expect_continue", expect_continue)) <= LONGEST_S:
            return wait_s
    raise ValueError(
        f"expect_continue must be a bool or seconds above 0 up to {LONGEST_S:.0f}, not {expect_continue!r}"
    )


def with_times(options: Options | None, timeout: Timeout) -> Options:
    """The options with the limits of a Timeout that urllib3's has not; its deadline begins to run."""
    write_s = None if timeout.write is _DEFAULT_TIMEOUT else timeout.write_timeout
    if options is None:
        return Options(timeout.start_deadline(), None, write_s, is_time_only=True)
    return options.with_times(timeout.start_deadline(), write_s)
