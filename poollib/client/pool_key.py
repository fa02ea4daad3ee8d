"""PoolKey: which requests share a pool.

A manager asks here for the key of a request's pool, made of all the keywords that its connections depend on, or for
that of a base URL. Which requests may share a socket of that pool is said in ``base/endpoint``; keeping pools by their
keys is the manager's. The fields, and the functions by scheme, which a manager may be given others of, are urllib3's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from sys import intern
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from ..base.endpoint import TLS_SETTINGS, TlsSettings, shown_fields
from ..base.exact_values import exact, whole
from ..base.loggers import shown_url
from ..base.timeout import Timeout
from ..base.url import Url, origin
from ..exceptions import LocationValueError
from ..exchange.proxy_config import ProxyConfig
from ..policy.retry import Retry
from ..pool.settings import Settings
from .extra_keywords import POOL_OPTIONS, unknown_keyword

if TYPE_CHECKING:
    import os
    import ssl

    from .keyword_types import Keywords

_DEFAULT_BLOCKSIZE = 16384


_Key = TypeVar("_Key", bound="PoolKey")


class PoolKey(NamedTuple):
    """What two requests must have in common to share a pool: urllib3's fields, and poollib's options at the end."""

    key_scheme: str
    key_host: str
    key_port: int | None
    key_timeout: Timeout | float | None
    key_retries: Retry | bool | int | None
    key_block: bool | None
    key_source_address: tuple[str, int] | None
    key_key_file: str | bytes | os.PathLike[str] | None
    key_key_password: str | bytes | None
    key_cert_file: str | bytes | os.PathLike[str] | None
    key_cert_reqs: int | str | None
    key_ca_certs: str | os.PathLike[str] | None
    key_ca_cert_data: str | bytes | None
    key_ssl_version: int | str | None
    key_ssl_minimum_version: int | None
    key_ssl_maximum_version: int | None
    key_ca_cert_dir: str | os.PathLike[str] | None
    key_ssl_context: ssl.SSLContext | None
    key_maxsize: int | None
    key_headers: frozenset[tuple[str, str]] | None
    key__proxy: Url | None
    key__proxy_headers: frozenset[tuple[str, str]] | None
    key__proxy_config: ProxyConfig | None
    key_socket_options: tuple[tuple[int, int, int | bytes], ...] | None
    key__socks_options: frozenset[tuple[str, str]] | None
    key_assert_hostname: str | bool | None
    key_assert_fingerprint: str | tuple[str, ...] | None
    key_server_hostname: str | None
    key_blocksize: int | None
    key_options: frozenset[tuple[str, Hashable]] | None = None

    def __repr__(self) -> str:
        return shown_fields(self)


#: what a pool of poollib's own classes may be given by a manager
KNOWN_KEYWORDS: Final = POOL_OPTIONS | {field.removeprefix("key_") for field in PoolKey._fields}
#: what a client may hand on
_OF_CLIENTS: Final = KNOWN_KEYWORDS - {"scheme", "host", "port", "options"}
#: a client's own, and its manager's; for suggestions
_CLIENTS_OWN: Final = ("base_url", "params", "streaming", "num_pools", "total_maxsize", "proxies", "proxy_headers")


def check_keywords(keywords: Keywords) -> None:
    """TypeError, ValueError for a keyword that none of poollib's own pools takes, or whose value can't be meant.

    ``check_values`` looks at those beyond urllib3's.
    """
    if unknown := keywords.keys() - _OF_CLIENTS:
        raise unknown_keyword("a client", unknown, sorted((*_OF_CLIENTS, *_CLIENTS_OWN)))
    if not isinstance(timeout := keywords.get("timeout"), Timeout):
        Timeout.from_float(timeout)
    Retry.from_int(keywords.get("retries"))
    block, maxsize = bool(keywords.get("block")), whole("maxsize", keywords.get("maxsize", 1))
    Settings(maxsize if maxsize > 0 or block else None, block, min_idle=keywords.get("min_idle", 0)).checked()
    TlsSettings(**{name: keywords[name] for name in TLS_SETTINGS if name in keywords})


def _default_key_normalizer(key_class: type[_Key], request_context: Keywords) -> _Key:
    """The key of a request's pool; TypeError for a keyword that no field of ``key_class`` stands for."""
    context = dict(request_context)
    context["scheme"] = intern(exact(context["scheme"]).lower())
    host = exact(context["host"]).lower()
    if host != context["host"]:  # rather one text than two equal ones
        context["host"] = host
    for name in ("headers", "_proxy_headers", "_socks_options"):
        if context.get(name) is not None:
            context[name] = frozenset(context[name].items())
    for name in ("socket_options", "assert_fingerprint"):
        if isinstance(context.get(name), list):
            context[name] = tuple(context[name])
    if isinstance(context.get("assert_fingerprint"), set):
        context["assert_fingerprint"] = tuple(sorted(context["assert_fingerprint"]))
    options = {name: context.pop(name) for name in POOL_OPTIONS & context.keys()}
    fields = key_class._fields
    key: Keywords = dict.fromkeys(fields)
    known = len(key)
    for name, value in context.items():
        key[f"key_{name}"] = value
    if options:
        key["key_options"] = frozenset((name, _as_key(value)) for name, value in options.items())
    if key["key_blocksize"] is None:
        key["key_blocksize"] = _DEFAULT_BLOCKSIZE
    if len(key) > known:
        unknown = key.keys() - set(fields)
        names = (field.removeprefix("key_") for field in fields)
        raise unknown_keyword("a pool", (field.removeprefix("key_") for field in unknown), (*names, *POOL_OPTIONS))
    return key_class(**key)


def _as_key(value: object) -> Hashable:
    """The value as something hashable: mappings, sequences and sets by what they hold, others by identity.

    Never by a bare id: the next value made may have that of one that is gone.
    """
    try:
        hash(value)
    except TypeError:
        pass
    else:
        return value
    if isinstance(value, Mapping):
        return frozenset((name, _as_key(held)) for name, held in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_as_key(held) for held in value)
    return frozenset(value) if isinstance(value, (set, frozenset)) else _Same(value)


class _Same:
    """Stands for a value that can't be hashed, keeps it alive, and equals what stands for the same one."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


#: keywords of pools that concern TLS
SSL_KEYWORDS = (
    "key_file",
    "cert_file",
    "cert_reqs",
    "ca_certs",
    "ca_cert_data",
    "ssl_version",
    "ssl_minimum_version",
    "ssl_maximum_version",
    "ca_cert_dir",
    "ssl_context",
    "key_password",
    "server_hostname",
    "assert_hostname",
    "assert_fingerprint",
)

key_fn_by_scheme: dict[str, Callable[[Keywords], Hashable]] = {
    "http": partial(_default_key_normalizer, PoolKey),
    "https": partial(_default_key_normalizer, PoolKey),
}


def base_key(url: Url, streaming: bool) -> tuple[str, bool]:
    """A base URL without what may be spelled in several ways. LocationValueError if it names no host."""
    if not url.host:
        raise LocationValueError(f"a base URL names scheme and host, {shown_url(url)!r} does not")
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}{(url.path or '').rstrip('/')}", streaming
