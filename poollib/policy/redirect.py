"""The redirect rule: method, header fields and origin of the request that follows a redirect.

Pure functions of URLs, fields and a :class:`Retry`; ``client/request_loop`` calls them for a response with a Location.
Whether and how often redirects are followed is ``retry``'s to say; draining and sending are left to the loop.  Follows
RFC 9110 section 15.4 and, for what an origin is, section 4.3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ..base.headers import HTTPHeaderDict, describes_body
from ..base.url import origin, parse_url
from ..exceptions import InsecureRedirectError, URLSchemeUnknown
from .retry import Retry

#: Schemes that a redirect may lead to; none: a path on the same host.
WEB_SCHEMES: Final = frozenset({"", "http", "https"})


def turns_into_get(status: int, method: str) -> bool:
    """Whether the next request is a GET without a body (RFC 9110 section 15.4.4); 301 and 302 keep the method."""
    return status == 303 and method != "HEAD"


def dropped_fields(url: str, target: str, is_same_origin: Callable[[str, str], bool], retries: Retry) -> set[str]:
    """The fields that do not follow from ``url`` to ``target``: none on one origin, credentials and Host to another.

    Never credentials from https to http. URLSchemeUnknown for what is no web address; InsecureRedirectError where
    ``allow_downgrade`` is off.
    """
    before, after = scheme_of(url), scheme_of(target)
    if after not in WEB_SCHEMES and (after != before or not is_same_origin(url, target)):
        raise URLSchemeUnknown(after)
    if is_same_origin(url, target):
        return set()
    dropped = {"Host", *retries.remove_headers_on_redirect}
    if before == "https" and after == "http":
        if not retries.allow_downgrade:
            raise InsecureRedirectError(url, target)
        dropped |= Retry.DEFAULT_REMOVE_HEADERS_ON_REDIRECT
    return dropped


def without_fields(headers: Mapping[str, str] | None, names: Iterable[str]) -> HTTPHeaderDict:
    """A copy of ``headers`` without those fields, whatever the case of their names."""
    kept = HTTPHeaderDict(headers)
    for name in names:
        kept.discard(name)
    return kept


def without_body_fields(headers: Mapping[str, str] | None) -> HTTPHeaderDict:
    """A copy of ``headers`` without those that describe or frame a body which will not be sent."""
    kept = HTTPHeaderDict(headers)
    return without_fields(kept, filter(describes_body, kept))


def same_origin(url: str, other: str) -> bool:
    """Whether both absolute URLs have the same scheme, host and port (RFC 9110 section 4.3.1).

    A dot at the end of a name makes no other origin: it is the same server.
    """
    (scheme, host, port), (its_scheme, its_host, its_port) = (origin(parse_url(u)) for u in (url, other))
    return (scheme, host.rstrip("."), port) == (its_scheme, its_host.rstrip("."), its_port)


def scheme_of(url: str) -> str:
    """The scheme in lower case; empty for what names no host."""
    return "" if names_no_host(url) else url.partition(":")[0].lower()


def names_no_host(target: str) -> bool:
    """Whether a request target is one on the pool's own host: a path, or "*" (RFC 9112 section 3.2)."""
    return target[:1] == "/" or target == "*"


def different_locations(headers: object) -> list[str]:
    """The values of several Location lines that name different places; empty where there is one place to go to."""
    if not isinstance(headers, HTTPHeaderDict):
        return []
    locations = headers.getlist("location")
    return locations if len(set(locations)) > 1 else []
