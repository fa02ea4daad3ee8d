"""What callers may hand in, as types: bodies, fields, and the keywords of requests, pools and managers.

Type checkers read this module, so that a misspelled keyword is an error and an editor completes it (PEP 692); nothing
imports it at run time. What a keyword means is said where it is used: those of requests in
``HTTPConnectionPool.urlopen``, those of pools in ``HTTPConnectionPool`` and ``pool/settings``. Names and shapes follow
urllib3 2.8.0; what goes beyond it is marked.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, TypeAlias, TypedDict

if TYPE_CHECKING:
    import ssl
    from typing import Any, Literal

    from typing_extensions import Buffer

    from ..base.timeout import _TYPE_TIMEOUT, Timeout
    from ..base.trace import Trace
    from ..exchange.proxy_config import ProxyConfig
    from ..exchange.upload import Progress, Trailers
    from ..http1.grammar import Limits
    from ..http1.multipart import _TYPE_FIELDS, SupportsRead
    from ..net.dns import Resolver
    from ..policy.circuit_breaker import CircuitBreaker
    from ..policy.proxy_rules import Proxy, ProxyRules, SocksOptions
    from ..policy.rate_limit import RateLimit
    from ..policy.retry import Retry
    from .request_hooks import Hook


#: A request's body: at once, from a file, or in pieces. Text is sent as UTF-8.
Body: TypeAlias = "Buffer | str | SupportsRead | Iterable[Buffer | str]"
#: Fields of a form.
Fields: TypeAlias = "_TYPE_FIELDS"
_Pair: TypeAlias = tuple[str, str | bytes]
#: Fields of a query; what is right for a query is right for a form.
QueryFields: TypeAlias = "Mapping[str, str | bytes] | Sequence[_Pair] | Set[_Pair] | Iterator[_Pair]"

_QueryScalar: TypeAlias = "str | bytes | float | bool | None"
#: A query parameter's value; several stand behind each other, None is left out.
QueryValue: TypeAlias = "_QueryScalar | Sequence[_QueryScalar]"
QueryParameters: TypeAlias = "Mapping[str, QueryValue]"

#: Keywords of a pool or a request as they are handed on, sorted by name: what each may be, the classes below say.
Keywords: TypeAlias = "dict[str, Any]"

FilePath: TypeAlias = "str | os.PathLike[str]"
#: A certificate or key: its file's path, or (beyond urllib3) the PEM text itself as bytes.
PemOrPath: TypeAlias = "FilePath | bytes"
RetriesArgument: TypeAlias = "Retry | bool | int | None"
TimeoutArgument: TypeAlias = "Timeout | _TYPE_TIMEOUT"


class RequestOptions(TypedDict, total=False):
    """What a request takes beyond urllib3's arguments; a pool takes them as defaults of its requests."""

    trace: Trace | None
    max_response_size: int | None
    max_decoded_size: int | None
    expect_continue: bool | float | None
    trailers: Trailers | None
    limits: Limits | None
    timings: bool | None
    hooks: Sequence[Hook] | None
    attempt_hooks: Sequence[Hook] | None


class FormKeywords(TypedDict, total=False):
    """How ``fields`` become a form."""

    encode_multipart: bool
    multipart_boundary: str | None


class ResponseKeywords(RequestOptions, FormKeywords, total=False):
    """The keywords of a pool's ``urlopen`` that are no parameters of its own."""

    fields: Fields | None
    json: object
    enforce_content_length: bool
    progress: Progress | None


class _SendKeywords(RequestOptions, total=False):
    """What every method that sends a request passes on."""

    progress: Progress | None
    retries: RetriesArgument
    assert_same_host: bool
    timeout: TimeoutArgument
    pool_timeout: float | None
    release_conn: bool | None
    chunked: bool
    body_pos: Any  # as a pool has passed it on; no value for users to make
    preload_content: bool | None
    decode_content: bool | None
    enforce_content_length: bool


class EncodeBodyKeywords(_SendKeywords, total=False):
    """The keywords of ``request_encode_body`` that ``urlopen`` gets."""

    redirect: bool | None
    body: Body | None


class EncodeUrlKeywords(EncodeBodyKeywords, FormKeywords, total=False):
    """The keywords of ``request_encode_url`` that ``urlopen`` gets."""


class RequestKeywords(_SendKeywords, FormKeywords, total=False):
    """The keywords of ``request`` that ``urlopen`` gets."""

    redirect: bool | None


class ClientRequestKeywords(RequestKeywords, total=False):
    """The keywords of a client's requests that a manager's ``request`` gets."""

    body: Body | None
    fields: Fields | None
    json: object


class ClientMethodKeywords(ClientRequestKeywords, total=False):
    """The keywords of a client's ``get``, ``post``, ... and ``stream``: all of its ``request``."""

    headers: Mapping[str, str | None] | None
    params: QueryParameters | None


class ManagerUrlopenKeywords(_SendKeywords, FormKeywords, total=False):
    """The keywords of a manager's ``urlopen``."""

    body: Body | None
    headers: Mapping[str, str] | None
    fields: Fields | None
    json: object


class StreamKeywords(RequestOptions, total=False):
    """The keywords of ``download`` and ``EventSource`` that ``manager.request`` gets."""

    fields: QueryFields | None
    retries: RetriesArgument
    redirect: bool | None
    assert_same_host: bool
    timeout: TimeoutArgument
    pool_timeout: float | None
    decode_content: bool
    enforce_content_length: bool


class LendingSettings(TypedDict, total=False):
    """How a pool's connections are kept, beyond urllib3: see ``pool/settings``."""

    idle_timeout: float | None
    max_lifetime: float | None
    min_idle: int
    dispose_batch_size: int
    acquire_timeout: float | None
    leak_timeout: float | None
    max_waiting: int | None
    background_collector: bool


class _PlainConnectionKeywords(RequestOptions, LendingSettings, total=False):
    """Keywords of every pool that are no parameters of its own."""

    source_address: tuple[str, int] | None
    socket_options: Collection[tuple[int, int, int | bytes]] | None
    blocksize: int
    # beyond urllib3, see client/endpoint_health_check
    health_check_interval: float | None
    health_check_path: str | None
    # beyond urllib3, see net/dial and policy/ssrf_guard
    uds: FilePath | None
    resolver: Resolver | None
    resolve: Mapping[str, str | Sequence[str]] | None
    dns_cache: float | None
    allowed_hosts: Collection[str] | None
    blocked_networks: Collection[object] | None
    circuit_breaker: CircuitBreaker | int | None
    rate: RateLimit | float | None


class HTTPPoolKeywords(_PlainConnectionKeywords, total=False):
    """Keywords of an HTTPConnectionPool that are no parameters of its own."""

    _socks_options: SocksOptions


class HTTPSPoolKeywords(_PlainConnectionKeywords, total=False):
    """Keywords of an HTTPSConnectionPool that are no parameters of its own."""

    _proxy_config: ProxyConfig | None
    _socks_options: SocksOptions
    ca_cert_data: str | bytes | None
    server_hostname: str | None
    ssl_context: ssl.SSLContext | None


class TlsKeywords(TypedDict, total=False):
    """What is wanted of TLS with the server."""

    key_file: PemOrPath | None
    cert_file: PemOrPath | None
    key_password: str | bytes | None
    cert_reqs: int | str | None
    ca_certs: FilePath | None
    ca_cert_dir: FilePath | None
    ca_cert_data: str | bytes | None
    ssl_version: int | str | None
    ssl_minimum_version: int | None
    ssl_maximum_version: int | None
    ssl_context: ssl.SSLContext | None
    server_hostname: str | None
    assert_hostname: str | Literal[False] | None
    assert_fingerprint: str | Sequence[str] | None


class PoolsKeywords(_PlainConnectionKeywords, TlsKeywords, total=False):
    """Keywords of pools of both kinds, as a manager hands them on."""

    timeout: TimeoutArgument
    maxsize: int
    block: bool
    retries: RetriesArgument


class PoolKeywords(PoolsKeywords, total=False):
    """Keywords of ``connection_from_url``, and of a manager's ``pool_for``."""

    headers: Mapping[str, str] | None


class SocksManagerKeywords(PoolsKeywords, total=False):
    """Keywords of a manager whose requests all go through one proxy."""

    total_maxsize: int | None


class ManagerKeywords(SocksManagerKeywords, total=False):
    """Keywords of a PoolManager; those of ``proxies`` stand for all proxies that say nothing else."""

    proxies: Literal["env"] | Mapping[str, str | Proxy | None] | str | Proxy | ProxyRules | None
    proxy_headers: Mapping[str, str] | None
    proxy_ssl_context: ssl.SSLContext | None
    use_forwarding_for_https: bool
    proxy_assert_hostname: str | Literal[False] | None
    proxy_assert_fingerprint: str | Sequence[str] | None


class ClientKeywords(ManagerKeywords, total=False):
    """Keywords of a Client that its manager gets."""

    num_pools: int


class EnvironmentManagerKeywords(ManagerKeywords, total=False):
    """Keywords of ``PoolManager.from_env``."""

    num_pools: int
    headers: Mapping[str, str] | None


class ProxyFromUrlKeywords(SocksManagerKeywords, total=False):
    """Keywords of ``proxy_from_url``."""

    num_pools: int
    headers: Mapping[str, str] | None
    proxy_headers: Mapping[str, str] | None
    proxy_ssl_context: ssl.SSLContext | None
    use_forwarding_for_https: bool
    proxy_assert_hostname: str | Literal[False] | None
    proxy_assert_fingerprint: str | Sequence[str] | None
