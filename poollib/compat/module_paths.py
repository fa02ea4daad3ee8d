"""Which of urllib3's module paths is which module of poollib, and where the names of the others live.

``poollib.compat`` reads these tables; to offer another of urllib3's names, write it into the module that owns the idea
and its path here.  A source is a module of poollib (``.tls``), poollib itself (``.``), one of urllib3's paths
(``:util``) or any module (``ssl``); ``a=b`` offers b as a, ``a=*`` the source itself.  Follows urllib3 2.8.0.
"""

from __future__ import annotations

from typing import Final

API_VERSION: Final = "2.8.0"

# Paths that are a module: the module object itself.
ALIASES: Final[dict[str, str]] = {
    "_collections": "base.headers",
    "_request_methods": "client.request_encoding",
    "connection": "connection",
    "connectionpool": "connectionpool",
    "contrib.socks": "contrib.socks",
    "exceptions": "exceptions",
    "fields": "http1.multipart",
    "filepost": "http1.multipart",
    "http2.probe": "compat.http2_probe",
    "poolmanager": "poolmanager",
    "response": "response",
    "util.request": "http1.request_body",
    "util.retry": "policy.retry",
    "util.ssl_": "net.tls",
    "util.ssl_match_hostname": "net.certificates",
    "util.ssltransport": "net.tls_in_tls",
    "util.timeout": "base.timeout",
    "util.url": "base.url",
    "util.wait": "net.socket_state",
}

# Packages, with the names that `from ... import *` gives (none: all the public ones).
PACKAGES: Final[dict[str, list[str]]] = {
    "": [
        "HTTPConnectionPool",
        "HTTPHeaderDict",
        "HTTPSConnectionPool",
        "PoolManager",
        "ProxyManager",
        "HTTPResponse",
        "Retry",
        "Timeout",
        "add_stderr_logger",
        "connection_from_url",
        "disable_warnings",
        "encode_multipart_formdata",
        "make_headers",
        "proxy_from_url",
        "request",
        "BaseHTTPResponse",
    ],
    "contrib": [],
    "http2": [],
    "util": [
        "IS_PYOPENSSL",
        "SSLContext",
        "ALPN_PROTOCOLS",
        "Retry",
        "Timeout",
        "Url",
        "assert_fingerprint",
        "create_urllib3_context",
        "is_connection_dropped",
        "is_fp_closed",
        "parse_url",
        "make_headers",
        "resolve_cert_reqs",
        "resolve_ssl_version",
        "ssl_wrap_socket",
        "wait_for_read",
        "wait_for_write",
        "SKIP_HEADER",
        "SKIPPABLE_HEADERS",
    ],
}

# Thin modules: their names by source.
THIN: Final[dict[str, dict[str, str]]] = {
    "": {
        ".": (
            "HTTPConnectionPool HTTPHeaderDict HTTPSConnectionPool PoolManager ProxyManager HTTPResponse Retry Timeout"
            " add_stderr_logger connection_from_url disable_warnings encode_multipart_formdata make_headers"
            " proxy_from_url request BaseHTTPResponse"
        ),
        ".extras.package_functions": "_DEFAULT_POOL",
        ":_base_connection": "_TYPE_BODY",
        ".http1.multipart": "_TYPE_FIELDS",
        "ssl": "ssl=*",
        "logging": "logging=*",
        "typing": "typing=*",
        "warnings": "warnings=*",
    },
    "_base_connection": {
        ".connection": "ProxyConfig",
        ".compat.private_names": (
            "_ResponseOptions _TYPE_BODY _TYPE_SOCKET_OPTIONS BaseHTTPConnection BaseHTTPSConnection"
        ),
        ".base.timeout": "_DEFAULT_TIMEOUT _TYPE_TIMEOUT",
        ".base.url": "Url",
        "typing": "typing=*",
    },
    "util.connection": {
        ".net.dial": "create_connection _set_socket_options",
        ".net.dns": "HAS_IPV6 _has_ipv6 allowed_gai_family",
        ".exceptions": "LocationParseError",
        ".base.timeout": "_DEFAULT_TIMEOUT _TYPE_TIMEOUT",
        ".net.socket_state": "is_connection_dropped",
        ".compat.private_names": "_TYPE_SOCKET_OPTIONS",
        "socket": "socket=*",
        "typing": "typing=*",
    },
    "_version": {},
    "http2": {
        ".compat.http2_probe": "inject_into_urllib3 extract_from_urllib3 orig_HTTPSConnection",
        "importlib.metadata": "version",
        "typing": "typing=*",
    },
    "util": {
        ".net.certificates": "assert_fingerprint",
        ".net.socket_state": "is_connection_dropped wait_for_read wait_for_write",
        ".compat.private_names": "is_fp_closed",
        ".http1.request_body": "SKIP_HEADER SKIPPABLE_HEADERS make_headers",
        ".policy.retry": "Retry",
        ".base.timeout": "Timeout",
        ".net.tls": (
            "ALPN_PROTOCOLS IS_PYOPENSSL SSLContext create_urllib3_context resolve_cert_reqs resolve_ssl_version"
            " ssl_wrap_socket"
        ),
        ".base.url": "Url parse_url",
    },
    "util.proxy": {".connectionpool": "connection_requires_http_tunnel", ".base.url": "Url", "typing": "typing=*"},
    "util.response": {
        ".compat.private_names": "assert_header_parsing is_fp_closed is_response_to_head",
        ".exceptions": "HeaderParsingError",
        "email.errors": "MultipartInvariantViolationDefect StartBoundaryNotFoundDefect",
        "http.client": "httplib=*",
    },
    "util.util": {
        ".http1.request_body": "to_bytes to_str",
        ".compat.private_names": "reraise",
        "types": "TracebackType",
        "typing": "typing=*",
    },
}

# What thin modules hold themselves.
VALUES: Final[dict[str, dict[str, object]]] = {
    "": {"__version__": API_VERSION, "__author__": "poollib contributors", "__license__": "MIT"},
    "_version": {
        "__version__": API_VERSION,
        "__version_tuple__": (2, 8, 0),
        "version": API_VERSION,
        "version_tuple": (2, 8, 0),
        "__commit_id__": None,
        "commit_id": None,
    },
}

_ERRORS_OF_POOLS: Final = (
    "ClosedPoolError EmptyPoolError FullPoolError HostChangedError InsecureRequestWarning LocationValueError"
    " MaxRetryError NewConnectionError ProtocolError ProxyError ReadTimeoutError SSLError TimeoutError"
)

# What urllib3's modules have beside their own names, so that others import it from there: added to the modules, where
# the module has no such name itself.
EXTRAS: Final[dict[str, dict[str, str]]] = {
    "net.certificates": {"ipaddress": "ipaddress=* IPv4Address IPv6Address", "re": "re=*", "typing": "typing=*"},
    "connection": {
        ".net.certificates": "CertificateError match_hostname _assert_fingerprint=assert_fingerprint",
        ".exchange.transport": "log",
        "sys": "sys=*",
        ".compat.private_names": (
            "_ResponseOptions _TYPE_BODY _CONTAINS_CONTROL_CHAR_RE _OBSOLETE_FOLD_RE"
            " _WrappedAndVerifiedSocket _get_default_user_agent _match_hostname _normalize_header_value"
            " _normalize_header_values _ssl_wrap_socket_and_match_hostname _url_from_connection _wrap_proxy_error"
            " assert_header_parsing"
        ),
        ":util.connection": "connection=*",
        ".net.socket_state": "wait_for_read",
        ".exceptions": ("ConnectTimeoutError HeaderParsingError NameResolutionError NewConnectionError ProxyError"),
        ".base.headers": "HTTPHeaderDict",
        ".http1.request_body": "SKIPPABLE_HEADERS SKIP_HEADER body_to_chunks to_str",
        ".base.timeout": "Timeout",
        ".net.tls": (
            "create_urllib3_context is_ipaddress resolve_cert_reqs resolve_ssl_version ssl_wrap_socket ssl_=*"
        ),
        ".base.url": "Url",
        ":_version": "__version__",
        ":http2.probe": "http2_probe=*",
        "builtins": "BrokenPipeError ConnectionError SocketTimeout=TimeoutError",
        "http": "http=*",
        "http.client": "HTTPException ResponseNotReady _HTTPConnection=HTTPConnection",
        "logging": "logging=*",
        "os": "os=*",
        "re": "re=*",
        "socket": "socket=*",
        "ssl": "BaseSSLError=SSLError ssl=*",
        "threading": "threading=*",
        "typing": "typing=*",
        "warnings": "warnings=*",
    },
    "connectionpool": {
        ".net.certificates": "CertificateError",
        ".compat.private_names": "_wrap_proxy_error _blocking_errnos _close_pool_connections _TYPE_BODY",
        ".connection": "DummyConnection HTTPConnection HTTPSConnection ProxyConfig port_by_scheme",
        ".net.socket_state": "is_connection_dropped",
        ".exceptions": _ERRORS_OF_POOLS,
        ".base.headers": "HTTPHeaderDict",
        ".client.request_encoding": "RequestMethods",
        ".http1.request_body": "set_file_position to_str _TYPE_BODY_POSITION",
        ".response": "BaseHTTPResponse",
        ".policy.retry": "Retry",
        ".base.timeout": "Timeout _TYPE_DEFAULT _DEFAULT_TIMEOUT _TYPE_TIMEOUT",
        ".base.url": "Url _encode_target=encode_target normalize_host parse_url",
        "builtins": "BrokenPipeError SocketTimeout=TimeoutError",
        "errno": "errno=*",
        "http.client": "HTTPException",
        "queue": "queue=* _DEFAULT_QUEUE_CLASS=LifoQueue",
        "ssl": "BaseSSLError=SSLError",
        "types": "TracebackType",
        "typing": "typing=*",
        "warnings": "warnings=*",
        "weakref": "weakref=*",
    },
    "exceptions": {
        "email.errors": "MessageDefect",
        "http.client": "httplib_IncompleteRead=IncompleteRead",
        ".compat.private_names": "_TYPE_REDUCE_RESULT",
        "socket": "socket=*",
        "typing": "typing=*",
        "warnings": "warnings=*",
    },
    "base.headers": {
        ".compat.private_names": "ValidHTTPHeaderSource _Sentinel",
        "collections": "OrderedDict",
        "enum": "Enum auto",
        "threading": "RLock",
        "typing": "typing=*",
    },
    "http1.multipart": {
        ".compat.private_names": "_TYPE_FIELDS_SEQUENCE writer",
        "binascii": "binascii=*",
        "codecs": "codecs=*",
        "email": "email=*",
        "io": "BytesIO",
        "mimetypes": "mimetypes=*",
        "os": "os=*",
        "typing": "typing=*",
    },
    "poolmanager": {
        ".compat.private_names": "_TYPE_SOCKET_OPTIONS",
        ".connection": "ProxyConfig port_by_scheme",
        ".connectionpool": "HTTPConnectionPool HTTPSConnectionPool connection_requires_http_tunnel",
        ".exceptions": "LocationValueError MaxRetryError ProxySchemeUnknown URLSchemeUnknown",
        ".base.headers": "HTTPHeaderDict RecentlyUsedContainer",
        ".client.request_encoding": "RequestMethods",
        ".response": "BaseHTTPResponse",
        ".policy.retry": "Retry",
        ".base.timeout": "Timeout",
        ".base.url": "Url parse_url",
        "functools": "functools=*",
        "logging": "logging=*",
        "types": "TracebackType",
        "typing": "typing=*",
        "urllib.parse": "urljoin",
        "warnings": "warnings=*",
    },
    "client.request_encoding": {
        ".compat.private_names": "_TYPE_BODY _TYPE_ENCODE_URL_FIELDS",
        ".base.headers": "HTTPHeaderDict",
        ".http1.multipart": "encode_multipart_formdata _TYPE_FIELDS",
        ".response": "BaseHTTPResponse",
        "json": "_json=*",
        "typing": "typing=*",
        "urllib.parse": "urlencode",
    },
    "http1.request_body": {
        ".exceptions": "UnrewindableBodyError",
        "base64": "b64encode",
        "enum": "Enum",
        "io": "io=*",
        "typing": "typing=*",
    },
    "response": {
        ".compat.private_names": (
            "is_fp_closed is_response_to_head HAS_ZSTD _MAX_CHUNK_LINE_LENGTH _READ_CHUNK_SIZE _TYPE_BODY brotli"
        ),
        ".connection": "HTTPConnection",
        ".http1.decoders": "BrotliDecoder ContentDecoder DeflateDecoder GzipDecoder GzipDecoderState ZstdDecoder",
        ".http1.content_encoding": "BytesQueueBuffer MultiDecoder _get_decoder",
        ".exceptions": (
            "BodyNotHttplibCompatible DecodeError DependencyWarning HTTPError IncompleteRead InvalidChunkLength"
            " InvalidHeader ProtocolError ReadTimeoutError ResponseNotChunked SSLError"
        ),
        ".base.headers": "HTTPHeaderDict",
        ".policy.retry": "Retry",
        ":util": "util=*",
        "builtins": "SocketTimeout=TimeoutError",
        "collections": "collections=*",
        "contextlib": "contextmanager",
        "http.client": "HTTPException _HttplibHTTPMessage=HTTPMessage _HttplibHTTPResponse=HTTPResponse",
        "io": "io=*",
        "json": "_json=*",
        "logging": "logging=*",
        "socket": "socket=*",
        "ssl": "BaseSSLError=SSLError",
        "typing": "typing=*",
        "warnings": "warnings=*",
        "zlib": "zlib=*",
    },
    "policy.retry": {
        ".compat.private_names": "reraise",
        ".exceptions": (
            "ConnectTimeoutError InvalidHeader MaxRetryError ProtocolError ProxyError ReadTimeoutError ResponseError"
        ),
        "collections.abc": "Collection",
        "email": "email=*",
        "itertools": "takewhile",
        "logging": "logging=*",
        "random": "random=*",
        "re": "re=*",
        "time": "time=*",
        "types": "TracebackType",
        "typing": "typing=*",
        "warnings": "warnings=*",
    },
    "net.socket_state": {"functools": "partial"},
    "contrib.socks": {
        ".connection": "HTTPConnection HTTPSConnection",
        ".connectionpool": "HTTPConnectionPool HTTPSConnectionPool",
        ".exceptions": "ConnectTimeoutError NewConnectionError",
        ".poolmanager": "PoolManager",
        ".base.url": "parse_url",
        "builtins": "SocketTimeout=TimeoutError",
        "ssl": "ssl=*",
        "typing": "typing=*",
    },
    "base.timeout": {
        ".exceptions": "TimeoutStateError",
        "enum": "Enum",
        "socket": "getdefaulttimeout",
        "time": "time=*",
        "typing": "typing=*",
    },
    "net.tls": {
        ".net.certificates": "assert_fingerprint",
        ".net.tls_contexts": "_SSL_VERSION_TO_TLS_VERSION",
        ".compat.private_names": (
            "HASHFUNC_MAP _BRACELESS_IPV6_ADDRZ_RE _IPV4_RE _TYPE_PEER_CERT_RET _TYPE_VERSION_INFO"
            " _is_has_never_check_common_name_reliable"
        ),
        ".exceptions": "ProxySchemeUnsupported SSLError",
        ".net.tls_in_tls": "SSLTransport",
        "binascii": "BinasciiError=Error unhexlify",
        "hashlib": "hashlib=*",
        "hmac": "hmac=*",
        "os": "os=*",
        "socket": "socket=*",
        "ssl": (
            "ssl=* OPENSSL_VERSION OP_NO_SSLv2 OP_NO_SSLv3 VERIFY_X509_PARTIAL_CHAIN VERIFY_X509_STRICT TLSVersion"
            " SSLContext"
        ),
        "typing": "typing=*",
        "warnings": "warnings=*",
    },
    "net.tls_in_tls": {
        ".compat.private_names": "_ReturnValue _WriteBuffer",
        ".exceptions": "ProxySchemeUnsupported",
        "io": "io=*",
        "socket": "socket=*",
        "ssl": "ssl=*",
        "typing": "typing=*",
    },
    "base.url": {
        ".compat.private_names": (
            "_BRACELESS_IPV6_ADDRZ_RE _IPV4_RE _decode_percent_encoding _encode_invalid_chars"
            " _normalize_host_percent_encoding _normalize_zone_id_percent_encoding _remove_path_dot_segments"
            " _FRAGMENT_CHARS _PATH_CHARS _QUERY_CHARS _SUB_DELIM_CHARS _UNRESERVED_CHARS _USERINFO_CHARS"
        ),
        ".exceptions": "LocationParseError",
        ".http1.request_body": "to_str",
        "functools": "partial",
        "re": "re=*",
        "typing": "typing=*",
        "urllib.parse": "_unquote=unquote",
    },
}

# Modules whose `log` goes by another name as long as poollib is installed as urllib3.
LOGGERS: Final[dict[str, str]] = {
    "client.request_loop": "connectionpool",
    "exchange.transport": "connection",
    "connectionpool": "connectionpool",
    "poolmanager": "poolmanager",
    "response": "response",
    "policy.retry": "util.retry",
    "client.connection_factory": "connectionpool",
}
