"""BaseUrlClient: requests to a service by its base URL, through any manager of pools.

A thin layer: it appends paths to the base URL, puts query parameters behind them and its own header fields among those
of a request, and leaves everything else, every keyword included, to the manager that it is given; ``poolmanager`` has
the class with a manager of its own. Safe in any number of threads, since nothing changes after it was made. How paths
are appended follows httpx's ``Client(base_url=...)``, which fields stay behind when a URL leads to another origin
RFC 9110 section 15.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from .base.exact_values import exact, exact_text
from .base.headers import HTTPHeaderDict, require_mapping
from .base.loggers import shown_url
from .base.url import Url, parse_url
from .client.request_encoding import with_query
from .exceptions import ClosedPoolError, LocationValueError
from .http1.request_body import make_headers
from .http1.request_head import check_name, prepare_fields
from .policy.redirect import same_origin
from .policy.retry import Retry

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .client.keyword_types import ClientMethodKeywords, ClientRequestKeywords, QueryParameters, QueryValue
    from .client.pool_status import ManagerHealth, ManagerStats
    from .exchange.base_response import BaseHTTPResponse

_has_scheme = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://").match


class Manager(Protocol):
    """What a client needs of a PoolManager."""

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None, **keywords: Unpack[ClientRequestKeywords]
    ) -> BaseHTTPResponse:
        """The response, after retries and redirects."""

    def close_all(self) -> dict[str, Exception]:
        """Close all pools."""

    def stats(self) -> ManagerStats:
        """Its pools' figures."""

    def health(self) -> ManagerHealth:
        """How its pools are doing."""


class BaseUrlClient:
    """Requests through ``manager`` to the paths of ``base_url``, or to any URL if that is None.

    ``headers`` and ``params`` go with every request; those of a request win, and None as a value there leaves one out.
    Paths are appended to the base URL's: with ``https://h/v1`` both ``"items"`` and ``"/items"`` are
    ``https://h/v1/items``. A URL with a scheme goes as it is; to another origin none of the client's Authorization,
    Cookie and Proxy-Authorization goes along. User and password in the base URL become an Authorization.
    LocationValueError for a base URL without scheme and host, with a query, or with a fragment; ValueError for a field
    that can't be sent.
    """

    def __init__(
        self,
        manager: Manager,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: QueryParameters | None = None,
    ) -> None:
        self.manager = manager
        self.base_url: str | None = None
        self._headers = HTTPHeaderDict()
        if base_url is not None:
            self.base_url, login = _taken_apart(exact(base_url))
            self._headers.extend(login)
        if headers is not None:
            _overwrite(self._headers, headers)
        prepare_fields(self._headers.iteritems())  # what can't be sent is said here, not by the first request
        self._params = dict(_checked(params))
        self.is_closed = False

    @property
    def headers(self) -> Mapping[str, str]:
        """The fields that go with every request; read-only, as other threads are sending with them."""
        return MappingProxyType(self._headers)

    @property
    def params(self) -> QueryParameters:
        """The query parameters that go with every request; read-only."""
        return MappingProxyType(self._params)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.base_url is None else repr(self.base_url)})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        self.close()

    def request(
        self,
        method: str,
        url: str = "",
        *,
        headers: Mapping[str, str | None] | None = None,
        params: QueryParameters | None = None,
        **request_keywords: Unpack[ClientRequestKeywords],
    ) -> BaseHTTPResponse:
        """The response to ``method`` on a path of the base URL, or on a whole URL.

        ``params``: name to text, number, bool (``true``, ``false``), None (left out) or several of these; they stand
        behind a query that ``url`` has. Further keywords are those of ``PoolManager.request``: ``json``, ``fields``,
        ``body``, ``timeout``, ``retries``, ``preload_content``, ... ClosedPoolError once the client is closed.
        """
        if self.is_closed:
            raise ClosedPoolError(self, "the client is closed")
        url = exact_text("url", url)
        whole = self.url_for(url, params)
        fields = self._fields_for(whole, not _has_scheme(url), headers)
        return self.manager.request(method, whole, headers=fields, **request_keywords)

    def url_for(self, url: str = "", params: QueryParameters | None = None) -> str:
        """The URL that ``request`` asks for. LocationValueError for a path where there is no base URL."""
        url = exact_text("url", url)
        if not _has_scheme(url):
            if self.base_url is None:
                raise LocationValueError(f"{shown_url(url)!r} is no whole URL, and this client has no base URL")
            url = _appended(self.base_url, url)
        if not params and not self._params:
            return url
        return _with_parameters(url, {**self._params, **_checked(params)})

    def get(self, url: str = "", **keywords: Unpack[ClientMethodKeywords]) -> BaseHTTPResponse:
        """As ``request("GET", url, ...)``."""
        return self.request("GET", url, **keywords)

    def head(self, url: str = "", **keywords: Unpack[ClientMethodKeywords]) -> BaseHTTPResponse:
        """As ``request("HEAD", url, ...)``."""
        return self.request("HEAD", url, **keywords)

    def options(self, url: str = "", **keywords: Unpack[ClientMethodKeywords]) -> BaseHTTPResponse:
        """As ``request("OPTIONS", url, ...)``."""
        return self.request("OPTIONS", url, **keywords)

    def post(self, url: str = "", **keywords: Unpack[ClientMethodKeywords]) -> BaseHTTPResponse:
        """As ``request("POST", url, ...)``."""
        return self.request("POST", url, **keywords)

    def put(self, url: str = "", **keywords: Unpack[ClientMethodKeywords]) -> BaseHTTPResponse:
        """As ``request("PUT", url, ...)``."""
        return self.request("PUT", url, **keywords)

    def patch(self, url: str = "", **keywords: Unpack[ClientMethodKeywords]) -> BaseHTTPResponse:
        """As ``request("PATCH", url, ...)``."""
        return self.request("PATCH", url, **keywords)

    def delete(self, url: str = "", **keywords: Unpack[ClientMethodKeywords]) -> BaseHTTPResponse:
        """As ``request("DELETE", url, ...)``."""
        return self.request("DELETE", url, **keywords)

    @contextmanager
    def stream(
        self, method: str, url: str = "", **keywords: Unpack[ClientMethodKeywords]
    ) -> Iterator[BaseHTTPResponse]:
        """The response with its body still to be read; behind the block its connection has gone back.

        What is left of the body is read if it is little; else its connection is closed, as after an exception.
        """
        keywords["preload_content"] = False
        response = self.request(method, url, **keywords)
        try:
            yield response
            response.drain_conn()
            response.release_conn()
        finally:
            response.close()

    def _fields_for(self, url: str, is_path: bool, headers: Mapping[str, str | None] | None) -> Mapping[str, str]:
        """The client's fields with a request's; to another origin than the base URL's go none of its secrets."""
        is_own = is_path or self.base_url is None or same_origin(url, self.base_url)
        if is_own and headers is None:
            return self._headers
        merged = HTTPHeaderDict(self._headers)
        if not is_own:
            for name in Retry.DEFAULT_REMOVE_HEADERS_ON_REDIRECT:
                merged.discard(name)
        if headers is not None:
            _overwrite(merged, headers)
        return merged

    def close(self) -> dict[str, Exception]:
        """Close all pools, as ``PoolManager.close_all``; requests get ClosedPoolError from now on."""
        self.is_closed = True
        return self.manager.close_all()

    def stats(self) -> ManagerStats:
        """As ``PoolManager.stats``."""
        return self.manager.stats()

    def health(self) -> ManagerHealth:
        """As ``PoolManager.health``."""
        return self.manager.health()


def _overwrite(fields: HTTPHeaderDict, given: Mapping[str, str | None]) -> None:
    """Let ``given`` stand in place of the fields of these names; a name whose value is None is left out."""
    require_mapping(given)
    for name in given:
        fields.discard(check_name(name))
    for name, value in given.items():
        if value is not None:
            fields.add(check_name(name), value)


def _taken_apart(base_url: str) -> tuple[str, Mapping[str, str]]:
    """A base URL without userinfo and the slash at its end, and the Authorization that the userinfo means."""
    parsed = parse_url(base_url)
    if not parsed.scheme or not parsed.host:
        raise LocationValueError(f"a base URL names scheme and host, {shown_url(base_url)!r} does not")
    if parsed.query is not None:
        raise LocationValueError(f"a base URL has no query, {shown_url(base_url)!r} has: give it as params={{...}}")
    if parsed.fragment is not None:
        raise LocationValueError(f"a base URL has no fragment, {shown_url(base_url)!r} has")
    login: Mapping[str, str] = {}
    if parsed.auth:
        from urllib.parse import unquote

        login = make_headers(basic_auth=unquote(parsed.auth))
    return Url(parsed.scheme, None, parsed.host, parsed.port, (parsed.path or "").rstrip("/")).url, login


def _appended(base_url: str, path: str) -> str:
    """A path behind the base URL's own; a bare query or fragment stands right behind it."""
    path = path.lstrip("/")
    return base_url + path if path[:1] in ("", "?", "#") else f"{base_url}/{path}"


def _with_parameters(url: str, params: QueryParameters) -> str:
    """``url`` with the parameters behind its query, if it has one, and before its fragment."""
    from urllib.parse import urlencode

    pairs = [(name, text) for name, value in params.items() for text in _texts(name, value)]
    if not pairs:
        return url
    return with_query(url, urlencode(pairs))


def _checked(params: QueryParameters | None) -> QueryParameters:
    """The parameters, empty for none; TypeError for no mapping."""
    if not params:
        return {}
    if not isinstance(params, Mapping):
        raise TypeError(f"params must be a mapping of names to values, not a {type(params).__name__}")
    return params


def _texts(name: str, value: QueryValue) -> list[str | bytes]:
    """A parameter's values as they stand in a query. TypeError that names the parameter."""
    if value is None:
        return []
    if isinstance(value, (str, bytes)):
        return [value]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, (int, float)):
        return [str(value)]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        kind = type(value).__name__
        raise TypeError(f"params[{name!r}] is text, a number, a bool, None, or several of these, not {kind}")
    return [text for part in value for text in _texts(name, part)]
