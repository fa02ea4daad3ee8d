"""Which of urllib3's module paths is which room of poollib, and where the names of the others live.

``poollib.compat`` reads these tables; who wants to offer another of urllib3's names writes it into the room that owns
the idea and its path here.  A source is a room of poollib (``.tls``), poollib itself (``.``), one of urllib3's paths
(``:util``) or any module (``ssl``); ``a=b`` offers b as a, ``a=*`` the source itself.  Follows urllib3 2.8.0.
"""

from __future__ import annotations

from typing import Any, Final

API_VERSION: Final = "2.8.0"

# Paths that are a room: the module object itself.
ROOMS: Final[dict[str, str]] = {
    "_collections": "headers",
    "_request_methods": "requestparts",
    "connection": "connection",
    "connectionpool": "connectionpool",
    "contrib.socks": "socks",
    "exceptions": "exceptions",
    "fields": "multipart",
    "filepost": "multipart",
    "http2.probe": "compat.probe",
    "poolmanager": "poolmanager",
    "response": "response",
    "util.connection": "dial",
    "util.request": "requestparts",
    "util.retry": "retry",
    "util.ssl_": "tls",
    "util.ssl_match_hostname": "certificates",
    "util.ssltransport": "tls_in_tls",
    "util.timeout": "timeout",
    "util.url": "url",
    "util.wait": "sockets",
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
        ".shortcuts": "_DEFAULT_POOL",
        ":_base_connection": "_TYPE_BODY",
        ".multipart": "_TYPE_FIELDS",
        "ssl": "ssl=*",
        "logging": "logging=*",
        "typing": "typing=*",
        "warnings": "warnings=*",
    },
    "_base_connection": {
        ".connection": "ProxyConfig",
        ".compat.helpers": "_ResponseOptions _TYPE_BODY _TYPE_SOCKET_OPTIONS BaseHTTPConnection BaseHTTPSConnection",
        ".timeout": "_DEFAULT_TIMEOUT _TYPE_TIMEOUT",
        ".url": "Url",
        "typing": "typing=*",
    },
    "_version": {},
    "http2": {
        ".compat.probe": "inject_into_urllib3 extract_from_urllib3 orig_HTTPSConnection",
        "importlib.metadata": "version",
        "typing": "typing=*",
    },
    "util": {
        ".certificates": "assert_fingerprint",
        ".sockets": "is_connection_dropped wait_for_read wait_for_write",
        ".compat.helpers": "is_fp_closed",
        ".requestparts": "SKIP_HEADER SKIPPABLE_HEADERS make_headers",
        ".retry": "Retry",
        ".timeout": "Timeout",
        ".tls": (
            "ALPN_PROTOCOLS IS_PYOPENSSL SSLContext create_urllib3_context resolve_cert_reqs resolve_ssl_version"
            " ssl_wrap_socket"
        ),
        ".url": "Url parse_url",
    },
    "util.proxy": {".connectionpool": "connection_requires_http_tunnel", ".url": "Url", "typing": "typing=*"},
    "util.response": {
        ".compat.helpers": "assert_header_parsing is_fp_closed is_response_to_head",
        ".exceptions": "HeaderParsingError",
        "email.errors": "MultipartInvariantViolationDefect StartBoundaryNotFoundDefect",
        "http.client": "httplib=*",
    },
    "util.util": {
        ".requestparts": "to_bytes to_str",
        ".compat.helpers": "reraise",
        "types": "TracebackType",
        "typing": "typing=*",
    },
}

# What thin modules hold themselves.
VALUES: Final[dict[str, dict[str, Any]]] = {
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

# What urllib3's modules have beside their own names, so that others import it from there: added to the rooms, where
# the room has no such name itself.
EXTRAS: Final[dict[str, dict[str, str]]] = {
    "certificates": {"ipaddress": "ipaddress=* IPv4Address IPv6Address", "re": "re=*", "typing": "typing=*"},
    "connection": {
        ".certificates": "CertificateError match_hostname _assert_fingerprint=assert_fingerprint",
        ".channel": "log",
        ".compat.helpers": (
            "_ResponseOptions _TYPE_BODY RECENT_DATE _CONTAINS_CONTROL_CHAR_RE _OBSOLETE_FOLD_RE"
            " _WrappedAndVerifiedSocket _get_default_user_agent _match_hostname _normalize_header_value"
            " _normalize_header_values _ssl_wrap_socket_and_match_hostname _url_from_connection _wrap_proxy_error"
            " assert_header_parsing"
        ),
        ".dial": "connection=*",
        ".sockets": "wait_for_read",
        ".exceptions": (
            "ConnectTimeoutError HeaderParsingError NameResolutionError NewConnectionError ProxyError SystemTimeWarning"
        ),
        ".headers": "HTTPHeaderDict",
        ".requestparts": "SKIPPABLE_HEADERS SKIP_HEADER body_to_chunks to_str",
        ".timeout": "Timeout",
        ".tls": ("create_urllib3_context is_ipaddress resolve_cert_reqs resolve_ssl_version ssl_wrap_socket ssl_=*"),
        ".url": "Url",
        ":_version": "__version__",
        ":http2.probe": "http2_probe=*",
        "builtins": "BrokenPipeError ConnectionError SocketTimeout=TimeoutError",
        "datetime": "datetime=*",
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
        ".certificates": "CertificateError",
        ".compat.helpers": "_wrap_proxy_error _blocking_errnos _close_pool_connections _TYPE_BODY",
        ".connection": "DummyConnection HTTPConnection HTTPSConnection ProxyConfig port_by_scheme",
        ".sockets": "is_connection_dropped",
        ".exceptions": _ERRORS_OF_POOLS,
        ".headers": "HTTPHeaderDict",
        ".requestparts": "RequestMethods set_file_position to_str _TYPE_BODY_POSITION",
        ".response": "BaseHTTPResponse",
        ".retry": "Retry",
        ".timeout": "Timeout _TYPE_DEFAULT _DEFAULT_TIMEOUT _TYPE_TIMEOUT",
        ".url": "Url _encode_target=encode_target normalize_host parse_url",
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
    "dial": {
        ".exceptions": "LocationParseError",
        ".timeout": "_DEFAULT_TIMEOUT _TYPE_TIMEOUT",
        ".sockets": "is_connection_dropped",
        ".compat.helpers": "_TYPE_SOCKET_OPTIONS",
        "socket": "socket=*",
        "typing": "typing=*",
    },
    "exceptions": {
        "email.errors": "MessageDefect",
        "http.client": "httplib_IncompleteRead=IncompleteRead",
        ".compat.helpers": "_TYPE_REDUCE_RESULT",
        "socket": "socket=*",
        "typing": "typing=*",
        "warnings": "warnings=*",
    },
    "headers": {
        ".compat.helpers": "ValidHTTPHeaderSource _Sentinel",
        "collections": "OrderedDict",
        "enum": "Enum auto",
        "threading": "RLock",
        "typing": "typing=*",
    },
    "multipart": {
        ".compat.helpers": "_TYPE_FIELDS_SEQUENCE writer",
        "binascii": "binascii=*",
        "codecs": "codecs=*",
        "email": "email=*",
        "io": "BytesIO",
        "mimetypes": "mimetypes=*",
        "os": "os=*",
        "typing": "typing=*",
    },
    "poolmanager": {
        ".compat.helpers": "_TYPE_SOCKET_OPTIONS",
        ".connection": "ProxyConfig port_by_scheme",
        ".connectionpool": "HTTPConnectionPool HTTPSConnectionPool connection_requires_http_tunnel",
        ".exceptions": "LocationValueError MaxRetryError ProxySchemeUnknown URLSchemeUnknown",
        ".headers": "HTTPHeaderDict RecentlyUsedContainer",
        ".requestparts": "RequestMethods",
        ".response": "BaseHTTPResponse",
        ".retry": "Retry",
        ".timeout": "Timeout",
        ".url": "Url parse_url",
        "functools": "functools=*",
        "logging": "logging=*",
        "types": "TracebackType",
        "typing": "typing=*",
        "urllib.parse": "urljoin",
        "warnings": "warnings=*",
    },
    "requestparts": {
        ".compat.helpers": "_TYPE_BODY _TYPE_ENCODE_URL_FIELDS",
        ".exceptions": "UnrewindableBodyError",
        ".headers": "HTTPHeaderDict",
        ".multipart": "encode_multipart_formdata _TYPE_FIELDS",
        ".response": "BaseHTTPResponse",
        "base64": "b64encode",
        "enum": "Enum",
        "io": "io=*",
        "json": "_json=*",
        "typing": "typing=*",
        "urllib.parse": "urlencode",
    },
    "response": {
        ".compat.helpers": (
            "is_fp_closed is_response_to_head HAS_ZSTD _MAX_CHUNK_LINE_LENGTH _READ_CHUNK_SIZE _TYPE_BODY brotli"
        ),
        ".connection": "HTTPConnection",
        ".codings": "BrotliDecoder ContentDecoder DeflateDecoder GzipDecoder GzipDecoderState ZstdDecoder",
        ".decoding": "BytesQueueBuffer MultiDecoder _get_decoder",
        ".exceptions": (
            "BodyNotHttplibCompatible DecodeError DependencyWarning HTTPError IncompleteRead InvalidChunkLength"
            " InvalidHeader ProtocolError ReadTimeoutError ResponseNotChunked SSLError"
        ),
        ".headers": "HTTPHeaderDict",
        ".retry": "Retry",
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
    "retry": {
        ".compat.helpers": "reraise",
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
    "sockets": {"functools": "partial"},
    "socks": {
        ".connection": "HTTPConnection HTTPSConnection",
        ".connectionpool": "HTTPConnectionPool HTTPSConnectionPool",
        ".exceptions": "ConnectTimeoutError NewConnectionError",
        ".poolmanager": "PoolManager",
        ".url": "parse_url",
        "builtins": "SocketTimeout=TimeoutError",
        "ssl": "ssl=*",
        "typing": "typing=*",
    },
    "timeout": {
        ".exceptions": "TimeoutStateError",
        "enum": "Enum",
        "socket": "getdefaulttimeout",
        "time": "time=*",
        "typing": "typing=*",
    },
    "tls": {
        ".certificates": "assert_fingerprint",
        ".compat.helpers": (
            "HASHFUNC_MAP _BRACELESS_IPV6_ADDRZ_RE _IPV4_RE _TYPE_PEER_CERT_RET _TYPE_VERSION_INFO"
            " _is_has_never_check_common_name_reliable"
        ),
        ".exceptions": "ProxySchemeUnsupported SSLError",
        ".tls_in_tls": "SSLTransport",
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
    "tls_in_tls": {
        ".compat.helpers": "_ReturnValue _WriteBuffer",
        ".exceptions": "ProxySchemeUnsupported",
        "io": "io=*",
        "socket": "socket=*",
        "ssl": "ssl=*",
        "typing": "typing=*",
    },
    "url": {
        ".compat.helpers": (
            "_BRACELESS_IPV6_ADDRZ_RE _IPV4_RE _decode_percent_encoding _encode_invalid_chars"
            " _normalize_host_percent_encoding _normalize_zone_id_percent_encoding _remove_path_dot_segments"
            " _FRAGMENT_CHARS _PATH_CHARS _QUERY_CHARS _SUB_DELIM_CHARS _UNRESERVED_CHARS _USERINFO_CHARS"
        ),
        ".exceptions": "LocationParseError",
        ".requestparts": "to_str",
        "functools": "partial",
        "re": "re=*",
        "typing": "typing=*",
        "urllib.parse": "_unquote=unquote",
    },
}

# Rooms whose `log` goes by another name as long as poollib is installed as urllib3.
LOGGERS: Final[dict[str, str]] = {
    "attempts": "connectionpool",
    "channel": "connection",
    "connectionpool": "connectionpool",
    "poolmanager": "poolmanager",
    "response": "response",
    "retry": "util.retry",
    "supply": "connectionpool",
}
