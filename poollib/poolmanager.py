"""PoolManager, ProxyManager: which pool for this URL. Client: a manager for one base URL.

A manager finds or makes the ``HTTPConnectionPool`` for a URL's scheme, host and port, sends through ``pool.urlopen``,
and follows redirects to other hosts by the loop in ``client/request_loop``.  It leaves errors, statuses and redirects
on one host to the pool, and everything about connections to the modules below.  What two requests must have in common
to share a pool is said in ``client/pool_key``; the interface is urllib3's.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from .base import after_fork
from .base.deprecations import warn_as_urllib3, warn_of_no_scheme
from .base.exact_values import exact, exact_text, number
from .base.headers import HTTPHeaderDict, RecentlyUsedContainer
from .base.loggers import logger, shown_url
from .base.timeout import _DEFAULT_TIMEOUT, Timeout
from .base.trace import MeasuredRedirects, RequestTrace
from .base.url import Url, join, origin, parse_url
from .base_url_client import BaseUrlClient
from .client.endpoint_builder import (
    UNIX_SCHEME,
    connection_requires_http_tunnel,
    copied,
    proxy_keywords,
    settle_shared,
    take_proxy_defaults,
    unix_keywords,
)
from .client.extra_keywords import check_values, told_request
from .client.pool_key import _DEFAULT_BLOCKSIZE, KNOWN_KEYWORDS, base_key, check_keywords, key_fn_by_scheme
from .client.pool_key import SSL_KEYWORDS as SSL_KEYWORDS
from .client.pool_key import PoolKey as PoolKey
from .client.pool_key import _default_key_normalizer as _default_key_normalizer
from .client.pool_status import PastPools, by_origin, total_of, worst_of
from .client.request_encoding import RequestMethods
from .client.request_hooks import Hook, HookRequest, hooks_of, run_asked
from .client.request_loop import run
from .client.request_target import RequestTargets
from .connection import ProxyConfig, port_by_scheme
from .connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from .exceptions import LocationValueError, URLSchemeUnknown
from .exchange.request_value import BY_CALLER, Request, ResponseOptions
from .http1.request_body import set_file_position
from .policy.retry import Retry
from .pool.shared_limit import SharedLimit
from .response import BaseHTTPResponse, HTTPResponse

if TYPE_CHECKING:
    import ssl
    from typing import Literal

    from typing_extensions import Self, Unpack

    from .client.keyword_types import (
        ClientKeywords,
        EnvironmentManagerKeywords,
        Keywords,
        ManagerKeywords,
        ManagerUrlopenKeywords,
        PoolKeywords,
        PoolsKeywords,
        ProxyFromUrlKeywords,
        QueryParameters,
        SocksManagerKeywords,
    )
    from .client.pool_status import ManagerHealth, ManagerStats
    from .http1.request_body import _TYPE_FAILEDTELL
    from .policy.proxy_rules import ProxyRules

log = logger(__name__)

# The common URL in one look: origin and target as they are, nothing to encode, no dot segments, no userinfo.
_SIMPLE_TARGET = r"(?:/(?![.]{1,2}(?:[/?]|$))[A-Za-z0-9\-._~!$&'()*+,;=:@]*)+(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@/?]*)?"
_match_simple = re.compile(rf"(https?://[a-z0-9\-.]+(?::[1-9][0-9]{{0,4}})?)({_SIMPLE_TARGET})").fullmatch
_match_simple_target = re.compile(_SIMPLE_TARGET).fullmatch

#: Of values of these types two that are equal mean the same, now and later.
_PLAIN_TYPES = frozenset({str, int, bool, float, type(None)})

pool_classes_by_scheme: dict[str, type[HTTPConnectionPool]] = {
    "http": HTTPConnectionPool,
    "https": HTTPSConnectionPool,
}


class PoolManager(RequestMethods):
    """Requests to any host, each through the pool of its scheme, host, port and settings.

    ``num_pools``: how many pools are kept, the least recently used goes first. ``headers`` go with every request that
    brings none. ``total_maxsize``: the most connections to all hosts together; when they are spent, the longest idle
    one makes room, and if none is idle a request waits. ``proxies``: a proxy per scheme or host pattern, or ``"env"``
    for those that the environment names (see ``policy/proxy_rules``); beside it ``proxy_headers``,
    ``proxy_ssl_context`` and the like, as ``ProxyManager`` has them, for all proxies that say nothing else. Further
    keywords are the pools' (see ``HTTPConnectionPool``, ``HTTPSConnectionPool``). URLs may be ``http+unix://`` with a
    Unix socket's path, percent-encoded, as host.
    """

    proxy: Url | None = None
    proxy_config: ProxyConfig | None = None

    def __init__(
        self,
        num_pools: int = 10,
        headers: Mapping[str, str] | None = None,
        **connection_pool_kw: Unpack[ManagerKeywords],
    ) -> None:
        super().__init__(headers)
        num_pools = cast(int, number("num_pools", num_pools))  # urllib3 takes a float
        keywords = cast("Keywords", connection_pool_kw)
        total_maxsize = keywords.pop("total_maxsize", None)
        self._total_limit = None if total_maxsize is None else SharedLimit(total_maxsize)
        may_have_proxies = "proxies" in keywords
        proxies = keywords.pop("proxies", None)
        has_one_proxy = "_proxy" in keywords or "_socks_options" in keywords
        self._proxies: ProxyRules | None = None
        if proxies is not None and not has_one_proxy:
            from .policy.proxy_rules import rules_from

            self._proxies = rules_from(proxies, os.environ)
        self._proxy_defaults = take_proxy_defaults(keywords, may_have_proxies)
        settle_shared(keywords)
        check_values(keywords)
        self.connection_pool_kw = keywords
        self._named: dict[tuple[str, bool], HTTPConnectionPool] = {}  # by base URL; guarded by self.pools.lock
        self._clients: dict[tuple[str, bool], Client] = {}  # likewise; each has a manager with pools of its own
        self._past = PastPools()
        self.pools: RecentlyUsedContainer[Hashable, HTTPConnectionPool] = RecentlyUsedContainer(
            num_pools, self._past.add
        )
        self.pool_classes_by_scheme = pool_classes_by_scheme
        self.key_fn_by_scheme = dict(key_fn_by_scheme)  # its own: what a program puts in concerns this manager alone
        # Keywords, and a pool's key by origin, or by what was asked, while those are the manager's: read and replaced
        # as one. No pool itself, which would outlive its place in `pools`.
        self._routes: tuple[Keywords, dict[Hashable, Hashable]] = ({}, {})
        self._usual_timeout = Timeout.from_float(_DEFAULT_TIMEOUT)  # of all pools that are given none

        after_fork.remember(self)

    def _reset_after_fork(self) -> None:
        """In a forked child: the thread that held the lock is not there."""
        self.pools.lock = threading.RLock()
        self._past.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        self.clear()

    def __getstate__(self) -> dict[str, object]:
        """Settings only: pools are made anew where this is unpickled."""
        state = dict(self.__dict__, pools=self.pools.maxsize, _routes=({}, {}), _named={}, _clients={})
        del state["_past"]
        state["_total_limit"] = None if self._total_limit is None else self._total_limit.limit
        state.pop("urlopen", None)  # what a program has put in its place sends by this manager, not by its copy
        return state

    def __setstate__(self, state: Keywords) -> None:
        self.__dict__.update(state)
        self._past = PastPools(state.get("_past"))
        self.pools = RecentlyUsedContainer(state["pools"], self._past.add)
        limit = state["_total_limit"]
        self._total_limit = limit if limit is None or isinstance(limit, SharedLimit) else SharedLimit(limit)
        after_fork.remember(self)

    def clear(self) -> None:
        """Forget all pools; idle connections close now, leased ones when they come back.

        What is under way in other threads ends on the pool it began on, its waits and repetitions included, as in
        urllib3; ``close_all`` ends that, too.
        """
        for pool in self._forget_pools():
            if isinstance(pool, HTTPConnectionPool):  # another kind is left to itself, as in urllib3
                pool.retire()
        for client in list(self._clients.values()):
            client.manager.clear()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **kw: Unpack[EnvironmentManagerKeywords]) -> Self:
        """A manager with the settings that environment variables name (see ``policy/env_settings``); ``kw`` win.

        Its proxies are those of the environment, too (see ``policy/proxy_rules``), unless ``proxies`` is given;
        ``None`` there means no proxy. ``environ``: ``os.environ`` if None. ValueError that names the variable for a
        value that can't be meant.
        """
        from .policy.env_settings import settings
        from .policy.proxy_rules import environment_rules

        environ = os.environ if environ is None else environ
        if "proxies" not in kw:
            kw["proxies"] = environment_rules(environ)
        return cls(**{**settings(environ), **cast("Keywords", kw)})

    # -- one pool per base URL --

    def pool_for(
        self, base_url: str, *, streaming: bool = False, **pool_kwargs: Unpack[PoolKeywords]
    ) -> HTTPConnectionPool:
        """The pool of a base URL, made at the first call; the same one however the URL is spelled, in any thread.

        Scheme, host, port and path tell base URLs apart; requests to the pool name whole paths, as in urllib3.
        ``pool_kwargs`` (``headers=``, ``timeout=``, ...) override the manager's when the pool is made. ``streaming``:
        the URL's other pool, for responses without end: five minutes between bytes, no limit on the whole. Such pools
        are not among the ``num_pools``: they stay until closed. LocationValueError, URLSchemeUnknown.
        """
        parsed = parse_url(base_url)
        key = base_key(parsed, streaming)
        with self.pools.lock:
            pool = self._named.get(key)
            if pool is None:
                context = self._merge_pool_kwargs({"timeout": STREAMING_TIMEOUT} if streaming else {})
                context.update(cast("Keywords", pool_kwargs), scheme=parsed.scheme)
                scheme, host, port = origin(parsed)
                if scheme == UNIX_SCHEME:
                    context.update(unix_keywords(parsed.host or "", context))
                    scheme, host, port = "http", "localhost", 80
                elif scheme not in self.pool_classes_by_scheme:
                    raise URLSchemeUnknown(scheme)
                else:
                    context.update(self._proxy_keywords(scheme, host, port))
                pool = self._named[key] = self._new_pool(scheme, host, cast(int, port), request_context=context)
        return pool

    def existing_pool(self, base_url: str, *, streaming: bool = False) -> HTTPConnectionPool | None:
        """The pool that ``pool_for`` made for this base URL, or None; never makes one."""
        with self.pools.lock:
            return self._named.get(base_key(parse_url(base_url), streaming))

    def close_pool(self, base_url: str, *, streaming: bool = False) -> bool:
        """Close and forget the pool of a base URL; whether there was one."""
        with self.pools.lock:
            pool = self._named.pop(base_key(parse_url(base_url), streaming), None)
        if pool is not None:
            self._past.add(pool)
            pool.close()
        return pool is not None

    # -- one client per base URL --

    def client(
        self,
        base_url: str | None = None,
        *,
        streaming: bool = False,
        headers: Mapping[str, str] | None = None,
        params: QueryParameters | None = None,
        **pool_kwargs: Unpack[PoolsKeywords],
    ) -> Client:
        """The client of a base URL, made at the first call; the same one however the URL is spelled, in any thread.

        Scheme, host, port and path tell base URLs apart; None is the client for any URL. ``headers`` are added to the
        manager's; ``params`` and ``streaming`` are as in ``Client``; ``pool_kwargs`` override the manager's, and all of
        them count when the client is made. It has pools of its own, under the manager's ``total_maxsize`` and in its
        ``stats``. LocationValueError.
        """
        key = _client_key(base_url, streaming)
        with self.pools.lock:
            client = self._clients.get(key)
            if client is None or client.is_closed:
                keywords: Keywords = {"timeout": STREAMING_TIMEOUT} if streaming else {}
                manager = self._with_own_pools({**keywords, **cast("Keywords", pool_kwargs)})
                fields = HTTPHeaderDict(self.headers)
                fields.update(HTTPHeaderDict(headers))
                client = self._clients[key] = Client.through(manager, base_url, fields, params)
        return client

    def existing_client(self, base_url: str | None = None, *, streaming: bool = False) -> Client | None:
        """The client that ``client`` made for this base URL and that is still open, or None; never makes one."""
        with self.pools.lock:
            client = self._clients.get(_client_key(base_url, streaming))
        return None if client is None or client.is_closed else client

    def close_client(self, base_url: str | None = None, *, streaming: bool = False) -> bool:
        """Close and forget the client of a base URL; whether there was one."""
        with self.pools.lock:
            client = self._clients.pop(_client_key(base_url, streaming), None)
        if client is not None:
            client.close()
        return client is not None

    def _with_own_pools(self, keywords: Keywords) -> Self:
        """A manager like this one, with other keywords for its pools, which count against the same total limit."""
        manager = type(self).__new__(type(self))
        shared: Keywords = {"_total_limit": self._total_limit, "_past": self._past}
        merged = self._merge_pool_kwargs(keywords)
        settle_shared(merged)
        check_values(merged)
        if type(self) in (PoolManager, ProxyManager) and self.key_fn_by_scheme == key_fn_by_scheme:
            check_keywords(merged)  # a program's own kind of manager may take others
        own = {"connection_pool_kw": merged}
        manager.__setstate__({**self.__getstate__(), **own, **shared})
        return manager

    def close_all(self) -> dict[str, Exception]:
        """Close and forget all pools and clients; what failed, by pool. One failure stops no other.

        Who waits for a connection, or before a repetition, gets ClosedPoolError; leased connections close when they
        come back.
        """
        failed: dict[str, Exception] = {}
        for pool in self._forget_pools():
            try:
                pool.close()
            except Exception as error:
                log.warning("closing %s failed", pool, exc_info=True)
                failed[str(pool)] = error
        with self.pools.lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            failed.update(client.close())
        return failed

    def _forget_pools(self) -> list[HTTPConnectionPool]:
        """All pools there were."""
        self._routes = ({}, {})
        with self.pools.lock:
            pools = list(self._all_pools())
            for pool in self._named.values():
                self._past.add(pool)
            self._named.clear()
            self.pools.clear()
        return pools

    def _all_pools(self) -> Iterator[HTTPConnectionPool]:
        """All pools, the lock held by the caller."""
        yield from (pool for _, pool in self.pools.entries())
        yield from self._named.values()
        for client in self._clients.values():
            with client.manager.pools.lock:
                yield from client.manager._all_pools()

    # -- how it goes --

    def stats(self) -> ManagerStats:
        """``{"pools": {name: figures}, "total": figures}``; ``docs/pooling.rst`` says what each figure means.

        What pools counted that are closed or made room for others stays in the total.
        """
        pools = self._named_pools()
        by_pool = {name: pool.stats() for name, pool in pools.items()}
        return {"pools": by_pool, "total": total_of([*by_pool.values(), *self._past.figures(pools.values())])}

    def health(self) -> ManagerHealth:
        """``{"status": "ok" | "degraded" | "failing", "pools": {name: report}}``, ready for JSON.

        Failing: every pool that was asked anything failed last; degraded: some did.
        """
        reports = {name: pool.health() for name, pool in self._named_pools().items()}
        return {"status": worst_of(reports.values()), "pools": reports}

    def _named_pools(self) -> dict[str, HTTPConnectionPool]:
        """All pools by a name that tells them apart."""
        with self.pools.lock:
            pools = list(self._all_pools())
        return by_origin(pools)

    # -- which pool --

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: Keywords | None = None,
    ) -> HTTPConnectionPool:
        """The pool for host, port and scheme; ``pool_kwargs`` override the manager's. LocationValueError.

        With ``proxies``, what a proxy forwards goes to the proxy's one pool.
        """
        asked = self._as_asked(host, port, scheme, pool_kwargs) if pool_kwargs else None
        if asked is None:
            return self._pool_of_host(host, port, scheme, pool_kwargs)
        keywords, keys = self._routes
        key = keys.get(asked)
        if key is not None and keywords == self.connection_pool_kw:
            try:
                return self.pools[key]
            except KeyError:  # others came since, and it had to go
                pass
        keywords = {name: copied(value) for name, value in self.connection_pool_kw.items()}
        pool = self._pool_of_host(host, port, scheme, pool_kwargs)
        self._remember(asked, pool, keywords)
        return pool

    def _as_asked(
        self, host: str | None, port: int | None, scheme: str | None, pool_kwargs: Keywords
    ) -> Hashable | None:
        """What was asked for, as requests asks before every request: by this a pool is found in a tenth of the time.

        None where a program's own key decides, where a value may be changed in place, or is a secret.
        """
        given = (host, port, scheme, *pool_kwargs.values())
        if type(self) is not PoolManager or self._proxies is not None or "key_password" in pool_kwargs:
            return None
        if not _PLAIN_TYPES.issuperset(map(type, given)):
            return None
        if self.key_fn_by_scheme.get(scheme or "http") is not key_fn_by_scheme.get(scheme or "http"):
            return None
        return (*given, *pool_kwargs)

    def _pool_of_host(
        self, host: str | None, port: int | None, scheme: str | None, pool_kwargs: Keywords | None
    ) -> HTTPConnectionPool:
        host, port, scheme = exact(host), exact(port), exact(scheme)
        if not host:
            raise LocationValueError("No host specified.")
        context = self._merge_pool_kwargs(pool_kwargs)
        if scheme == UNIX_SCHEME and scheme not in self.key_fn_by_scheme:
            context.update(unix_keywords(host, context))
            scheme, host, port = "http", "localhost", 80
        elif self._proxies is not None:
            keywords = self._proxy_keywords(scheme or "http", host, port)
            context.update(keywords)
            proxy = keywords.get("_proxy")
            if proxy and not connection_requires_http_tunnel(proxy, keywords["_proxy_config"], scheme or "http"):
                scheme, host, port = proxy.scheme, proxy.host, proxy.port
        context["scheme"] = scheme or "http"
        context["port"] = port_by_scheme.get(context["scheme"].lower(), 80) if port is None else port
        context["host"] = host
        return self.connection_from_context(context)

    def _proxy_keywords(self, scheme: str, host: str, port: int | None) -> Keywords:
        """A pool's keywords for the proxy on the way to this host; none if there is no proxy."""
        proxy = None if self._proxies is None else self._proxies.choose(scheme, host, port)
        if proxy is None:
            return {}
        return proxy_keywords(proxy.with_defaults(self._proxy_defaults))

    def connection_from_context(self, request_context: Keywords) -> HTTPConnectionPool:
        """The pool for all that a request's context holds. URLSchemeUnknown."""
        if "strict" in request_context:
            warn_as_urllib3(
                "The 'strict' parameter is no longer needed on Python 3+. This will raise an error in urllib3 v3.0."
            )
            del request_context["strict"]
        scheme = request_context["scheme"].lower()
        key_fn = self.key_fn_by_scheme.get(scheme)
        if key_fn is None:
            raise URLSchemeUnknown(scheme)
        return self.connection_from_pool_key(key_fn(request_context), request_context=request_context)

    def connection_from_pool_key(self, pool_key: Hashable, request_context: Keywords) -> HTTPConnectionPool:
        """The pool of a key, made if there is none; racing threads get the same one."""
        with self.pools.lock:
            pool = self.pools.get(pool_key)
            if pool is None:
                scheme, host, port = request_context["scheme"], request_context["host"], request_context["port"]
                pool = self._new_pool(scheme, host, port, request_context=request_context)
                self.pools[pool_key] = pool
        return pool

    def connection_from_url(self, url: str, pool_kwargs: Keywords | None = None) -> HTTPConnectionPool:
        """The pool for a URL's scheme, host and port."""
        parsed = parse_url(url)
        return self.connection_from_host(parsed.host, port=parsed.port, scheme=parsed.scheme, pool_kwargs=pool_kwargs)

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: Keywords | None = None
    ) -> HTTPConnectionPool:
        """A new pool. Subclasses override this to make another kind."""
        context = dict(self.connection_pool_kw if request_context is None else request_context)
        own = self._take_own_keywords(scheme, context)
        if context.get("blocksize") is None:
            context["blocksize"] = _DEFAULT_BLOCKSIZE
        for name in ("scheme", "host", "port"):
            context.pop(name, None)
        context.setdefault("timeout", self._usual_timeout)
        if self._total_limit is not None:
            context["shared_limit"] = self._total_limit
        if scheme == "http":
            for name in SSL_KEYWORDS:
                context.pop(name, None)
        classes = self.pool_classes_by_scheme
        if classes == pool_classes_by_scheme and context.get("_socks_options") is not None:
            from .socks_connectionpool import pool_classes_by_scheme as classes
        pool = classes[scheme](host, port, **context)
        if own:
            pool.conn_kw = {**pool.conn_kw, **own}  # which refuse them, as in urllib3
        return pool

    def _take_own_keywords(self, scheme: str, context: Keywords) -> Keywords:
        """Those taken out of ``context`` that only a program's own key function reads, no pool."""
        if self.key_fn_by_scheme.get(scheme) is key_fn_by_scheme.get(scheme):
            return {}
        if self.pool_classes_by_scheme != pool_classes_by_scheme:
            return {}
        return {name: context.pop(name) for name in context.keys() - KNOWN_KEYWORDS}

    def _merge_pool_kwargs(self, override: Keywords | None) -> Keywords:
        """The manager's keywords with those of ``override``; None there takes a keyword away."""
        merged = dict(self.connection_pool_kw)
        for name, value in (override or {}).items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = value
        return merged

    # -- a request --

    def urlopen(  # type: ignore[override]  # other parameters than the base's, as in urllib3
        self, method: str, url: str, redirect: bool = True, **kw: Unpack[ManagerUrlopenKeywords]
    ) -> BaseHTTPResponse:
        """The response to a request on an absolute URL, after retries and redirects, also to other hosts.

        Keywords are those of ``HTTPConnectionPool.urlopen``; ``assert_same_host`` says nothing here, as in urllib3.
        """
        if type(method) is not str or type(url) is not str:
            method, url = exact_text("method", method), exact_text("url", url)
        keywords: Keywords = kw  # type: ignore[assignment]  # a cast would cost each request a call
        keywords["assert_same_host"] = False
        defaults, told, pool = self.connection_pool_kw, None, None
        try:
            if (defaults and ("trace" in defaults or "timings" in defaults or "hooks" in defaults)) or (
                "trace" in keywords or "timings" in keywords or "hooks" in keywords  # isdisjoint takes thrice as long
            ):
                if ("hooks" in keywords or "hooks" in defaults) and (hooks := hooks_of(defaults, keywords)):
                    return self._run_hooked(hooks, method, url, redirect, keywords)
                began, told = monotonic(), told_request(method, url, defaults, keywords)
                if type(told) is RequestTrace:
                    told.begin()
            if ("retries" in keywords or "retries" in defaults) and type(keywords.get("retries")) is not Retry:
                self._settle_retries(keywords, redirect)
            if "headers" not in keywords or keywords["headers"] is None:
                keywords["headers"] = self.headers
            if "timeout" in keywords or "timeout" in defaults:
                self._start_clock(keywords)
            start = _body_start(keywords) if "body" in keywords else None
            pool, target = self._route(url)
            by, given = BY_CALLER if redirect else False, keywords["headers"]
            if len(keywords) == 2:  # as most often, by names that stand here: to make a dict of them anew costs 0.2 us
                response = pool.urlopen(method, target, redirect=by, assert_same_host=False, headers=given)
            elif len(keywords) == 3 and told is not None:
                response = pool.urlopen(method, target, redirect=by, assert_same_host=False, headers=given, trace=told)
            else:
                response = pool.urlopen(method, target, redirect=by, **keywords)
            if response.status >= 300 and redirect:
                if told is not None:
                    keywords["trace"] = told = told.to_be_followed(pool)
                response = self._follow(method, url, {**keywords, "body_pos": start}, response)
        except BaseException as error:
            if told is not None:
                told.failed(pool, method, error, began)
            raise
        if told is not None:
            told.answered(pool, method, response, began)
        return response

    def _run_hooked(
        self, hooks: list[Hook], method: str, url: str, redirect: bool, keywords: Keywords
    ) -> BaseHTTPResponse:
        """What the hooks make of a request; those of the manager are its pools' as well, which are told so."""
        headers, body = keywords.pop("headers", None), keywords.pop("body", None)

        def send(method: str, url: str, body: object, headers: Mapping[str, str], **own: Any) -> BaseHTTPResponse:
            return _own_urlopen(self, method, url, redirect, body=body, headers=headers, **own)

        asked = HookRequest(method, url, self.headers if headers is None else headers, body, keywords)
        return run_asked(hooks, asked, send)

    def _settle_retries(self, keywords: Keywords, redirect: bool) -> None:
        """Let a request's keywords name the Retry that governs it: its own, else the manager's, else its pool's."""
        retries, defaults = keywords.get("retries"), self.connection_pool_kw
        if retries is None and "retries" in defaults:
            retries = defaults["retries"]
        if retries is not None:
            keywords["retries"] = retries if isinstance(retries, Retry) else Retry.from_int(retries, redirect=redirect)

    def _start_clock(self, keywords: Keywords) -> None:
        """One clock for all hosts of a request whose Timeout has a limit for the whole."""
        timeout, defaults = keywords.get("timeout", _DEFAULT_TIMEOUT), self.connection_pool_kw
        if timeout is _DEFAULT_TIMEOUT and "timeout" in defaults:
            timeout = defaults["timeout"]
        if isinstance(timeout, Timeout) and timeout.deadline is not None:
            keywords["timeout"] = timeout.started()

    def _route(self, url: str) -> tuple[HTTPConnectionPool, str]:
        """The pool for ``url`` and the target to ask it for."""
        keywords, keys = self._routes
        path_at = url.find("/", 8)  # behind the "//"
        key = keys.get(url[:path_at])
        if key is not None and keywords == self.connection_pool_kw:
            target = url[path_at:]
            if _match_simple_target(target):
                try:
                    return self.pools[key], target
                except KeyError:  # others came since, and it had to go
                    pass
        match = _match_simple(url)
        return self._route_any(url, None if match is None else match[1])

    def _route_any(self, url: str, origin: str | None = None) -> tuple[HTTPConnectionPool, str]:
        parsed = parse_url(url)
        if parsed.scheme is None:
            warn_of_no_scheme()
        # Lists and the like as they are now: the manager's may be changed in place.
        keywords = None if origin is None else {name: copied(value) for name, value in self.connection_pool_kw.items()}
        pool = self.connection_from_host(parsed.host, port=parsed.port, scheme=parsed.scheme)
        forwards = isinstance(pool, RequestTargets) and pool._is_forwarding
        if forwards or self._proxy_requires_url_absolute_form(parsed):
            return pool, url.partition("#")[0]  # a fragment never travels; another kind of pool may not know
        if origin is not None and keywords is not None and type(self) is PoolManager:
            self._remember(origin, pool, keywords)
        return pool, parsed.request_uri

    def _remember(self, origin: Hashable, pool: HTTPConnectionPool, keywords: Keywords) -> None:
        """Find this origin's pool by its text from now on, as long as the pool and its keywords stay."""
        with self.pools.lock:
            key = next((key for key, value in self.pools.entries() if value is pool), None)  # as a rule the first
        if key is None:
            return
        known, keys = self._routes
        if known != keywords or len(keys) > 2 * self.pools.maxsize:
            self._routes = keywords, {origin: key}
        else:
            keys[origin] = key

    def _follow(self, method: str, url: str, kw: Keywords, response: BaseHTTPResponse) -> BaseHTTPResponse:
        """The response at the end of a redirect: the loop of ``request_loop``, which judges only redirects here."""
        if not response.get_redirect_location():
            if isinstance(response, HTTPResponse):  # somebody in between may have taken the Location away
                response.accept(kw.get("preload_content", True))
            return response
        retries = response.retries
        if not isinstance(retries, Retry):
            retries = Retry.from_int(kw.get("retries"), redirect=True)
        kw.pop("retries", None)
        kw.pop("assert_same_host", None)
        request = _ManagerRequest(self, method, url, kw.pop("body", None), kw.pop("headers"), retries)
        request.keywords = kw
        request.redirects_only = True
        request.body_start = kw.pop("body_pos", None)
        request.trace = kw.get("trace")
        request.wanted = ResponseOptions(kw.get("preload_content", True))
        return run(self._send_on, request, response)

    def _send_on(self, request: _ManagerRequest) -> BaseHTTPResponse:
        """One request of a chain of redirects; it notes what the pool has left of its retries."""
        keywords = dict(request.keywords, headers=request.headers, retries=request.retries)
        if request.body is not None:
            keywords["body"], keywords["body_pos"] = request.body, request.body_start
        pool, target = self._route(request.target)
        if isinstance(trace := request.trace, MeasuredRedirects):
            trace.pool = pool
        response = pool.urlopen(request.method, target, redirect=BY_CALLER, assert_same_host=False, **keywords)
        if response.retries is not None:
            request.retries = response.retries
        return response

    def _absolute(self, target: str) -> str:
        return target

    def _redirect_target(self, url: str, location: str) -> str:
        return join(url, location)

    def _pool_of(self, url: str) -> HTTPConnectionPool:
        return self._route(url)[0]

    def _log_redirect(self, url: str, target: str) -> None:
        log.info("Redirecting %s -> %s", shown_url(url), shown_url(target))

    # -- urllib3 names --

    def _proxy_requires_url_absolute_form(self, parsed_url: Url) -> bool:
        """Whether the proxy is to be asked for the whole URL."""
        if self.proxy is None or "_socks_options" in self.connection_pool_kw:
            return False
        return not connection_requires_http_tunnel(self.proxy, self.proxy_config, parsed_url.scheme)


#: For responses without end: five minutes between two receives, no limit on the whole.
STREAMING_TIMEOUT = Timeout(connect=10.0, read=300.0)


def _client_key(base_url: str | None, streaming: bool) -> tuple[str, bool]:
    return ("", streaming) if base_url is None else base_key(parse_url(base_url), streaming)


class Client(BaseUrlClient):
    """Requests to one service, or to any URL if there is no ``base_url``: see ``BaseUrlClient``.

    ``streaming``: for responses without end, five minutes between two receives and no limit on the whole, unless a
    ``timeout`` is given. Further keywords are those of ``PoolManager`` (``timeout``, ``retries``, ``maxsize``,
    ``ca_certs``, ``proxies``, ...). One client serves any number of threads.
    """

    manager: PoolManager

    def __init__(
        self,
        base_url: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        params: QueryParameters | None = None,
        streaming: bool = False,
        **manager_keywords: Unpack[ClientKeywords],
    ) -> None:
        keywords = cast("Keywords", manager_keywords)
        if streaming:
            keywords.setdefault("timeout", STREAMING_TIMEOUT)
        manager = PoolManager(**keywords)
        check_keywords(manager.connection_pool_kw)
        super().__init__(manager, base_url, headers, params)
        scheme = "http" if self.base_url is None else parse_url(self.base_url).scheme or ""
        if scheme not in manager.key_fn_by_scheme and scheme != UNIX_SCHEME:
            raise URLSchemeUnknown(scheme)

    @classmethod
    def through(
        cls,
        manager: PoolManager,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: QueryParameters | None = None,
    ) -> Self:
        """A client that sends through this manager, and closes its pools when it is closed."""
        client = cls.__new__(cls)
        BaseUrlClient.__init__(client, manager, base_url, headers, params)
        return client


def _body_start(keywords: Keywords) -> int | _TYPE_FAILEDTELL | None:
    """Where the file that a request's body is stands now; None: it is no file."""
    body, position = keywords["body"], keywords.get("body_pos")
    if body is None or (type(body) is bytes and position is None):
        return None
    return set_file_position(body, position)


#: as it is here, whatever a program has put in its place: that has been called already
_own_urlopen: Callable[..., BaseHTTPResponse] = PoolManager.urlopen


class _ManagerRequest(Request):
    """A request as a manager sees it, with the keywords that stay the same over redirects."""

    __slots__ = ("keywords",)

    keywords: Keywords

    def drop_body(self) -> None:
        super().drop_body()
        self.keywords = {name: value for name, value in self.keywords.items() if name not in _BODY_KEYWORDS}


_BODY_KEYWORDS = frozenset({"chunked", "trailers", "expect_continue", "fields", "json"})


class ProxyManager(PoolManager):
    """As PoolManager, through a proxy: http is forwarded, https tunnelled (RFC 9110 section 9.3.6).

    ``proxy_headers`` reach the proxy only; user and password in ``proxy_url`` become a ``Proxy-Authorization`` among
    them. ``proxy_ssl_context``, ``proxy_assert_hostname``, ``proxy_assert_fingerprint``: what is wanted of TLS with an
    https proxy; ``use_forwarding_for_https``: let an https proxy see the requests. A ``socks4``, ``socks4a``,
    ``socks5`` or ``socks5h`` URL leads everything through that proxy. ProxySchemeUnknown for another scheme.
    """

    def __init__(
        self,
        proxy_url: str,
        num_pools: int = 10,
        headers: Mapping[str, str] | None = None,
        proxy_headers: Mapping[str, str] | None = None,
        proxy_ssl_context: ssl.SSLContext | None = None,
        use_forwarding_for_https: bool = False,
        proxy_assert_hostname: str | Literal[False] | None = None,
        proxy_assert_fingerprint: str | Sequence[str] | None = None,
        **connection_pool_kw: Unpack[SocksManagerKeywords],
    ) -> None:
        from .policy.proxy_rules import Proxy, check_login, parse_proxy

        if isinstance(proxy_url, HTTPConnectionPool):
            proxy_url = f"{proxy_url.scheme}://{proxy_url.host}:{proxy_url.port}"
        check_login(str(proxy_url))
        url = parse_proxy(parse_url(proxy_url))
        settled = proxy_keywords(
            Proxy(
                url,
                proxy_headers,
                proxy_ssl_context,
                use_forwarding_for_https,
                proxy_assert_hostname,
                proxy_assert_fingerprint,
            )
        )
        self.proxy = url.with_login(None)
        self.proxy_headers: Mapping[str, str] = settled.get("_proxy_headers", {})
        self.proxy_ssl_context = proxy_ssl_context
        self.proxy_config = settled.get("_proxy_config")
        super().__init__(num_pools, headers, **{**cast("Keywords", connection_pool_kw), **settled})

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: Keywords | None = None,
    ) -> HTTPConnectionPool:
        """The pool of the target behind a tunnel; for what is forwarded, the proxy's one pool."""
        assert self.proxy is not None
        if scheme != "http" or "_socks_options" in self.connection_pool_kw:
            return super().connection_from_host(host, port, scheme, pool_kwargs=pool_kwargs)
        return super().connection_from_host(
            self.proxy.host, self.proxy.port, self.proxy.scheme, pool_kwargs=pool_kwargs
        )

    def _set_proxy_headers(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """The fields of a request that a forwarding proxy passes on, as far as the caller gave no others."""
        netloc = parse_url(url).netloc
        usual = {"Accept": "*/*"} if netloc is None else {"Accept": "*/*", "Host": netloc}
        return {**usual, **(headers or {})}


def proxy_from_url(url: str, **kw: Unpack[ProxyFromUrlKeywords]) -> ProxyManager:
    """A ProxyManager for the proxy at ``url``."""
    return ProxyManager(proxy_url=url, **kw)
