"""RequestMethods: fields and JSON become the URL, body and headers of a request.

Pools and managers inherit ``request`` and its two halves, which hand what they made to ``urlopen``; ``urlopen`` itself
takes ``fields`` and ``json``, too, by :func:`encode_fields` and :func:`encode_json`. How a form's parts are written is
left to ``http1/multipart``, how a body is sent to ``exchange/upload``. The interface is urllib3's. Sources: the URL
standard (application/x-www-form-urlencoded), RFC 7578 (forms), RFC 8259 (JSON).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..base.exact_values import exact, exact_text
from ..base.headers import HTTPHeaderDict, require_mapping
from ..http1.multipart import MultipartStream

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..exchange.base_response import BaseHTTPResponse
    from .keyword_types import Body, EncodeBodyKeywords, EncodeUrlKeywords, Fields, QueryFields, RequestKeywords

_METHODS_WITH_QUERY = {"DELETE", "GET", "HEAD", "OPTIONS"}


class RequestMethods:
    """``request`` and its two halves, over the ``urlopen`` of a subclass. ``headers`` are sent where none are given."""

    _encode_url_methods = _METHODS_WITH_QUERY
    _encodes_itself = False
    """True in subclasses that override a half: ``request`` then goes through it even with nothing to encode."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "request_encode_url" in vars(cls) or "request_encode_body" in vars(cls):
            cls._encodes_itself = True

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self.headers: Mapping[str, str] = headers or {}

    def urlopen(
        self,
        method: str,
        url: str,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        encode_multipart: bool = True,
        multipart_boundary: str | None = None,
        **kw: Any,
    ) -> BaseHTTPResponse:
        """Send one request and return the response; for subclasses to implement."""
        raise NotImplementedError(f"{type(self).__name__} has no urlopen of its own")

    def request(
        self,
        method: str,
        url: str,
        body: Body | None = None,
        fields: Fields | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        **urlopen_kw: Unpack[RequestKeywords],
    ) -> BaseHTTPResponse:
        """Return the response to ``method`` on ``url``; what ``urlopen`` takes is passed on.

        ``fields`` go into the URL for GET, HEAD, DELETE and OPTIONS, else into a form as the body. ``json``, unless
        None, is sent as JSON, with ``Content-Type: application/json`` if none is given. At most one of body, fields
        and json, and no dict as body: TypeError (only a query may go with a body). An empty ``headers`` means none,
        None means ``self.headers``.
        """
        if headers is None:
            headers = self.headers
        if type(method) is not str:
            method = exact_text("method", method)
        if not method.isupper():  # else upper() makes another text, which the connection keeps
            method = method.upper()
        if json is not None:
            if body is not None:
                raise TypeError("request got values for both 'body' and 'json' parameters which are mutually exclusive")
            body, headers = encode_json(json, headers)
        elif type(body) is dict:  # its names alone would be sent, one after the other
            raise TypeError("body is bytes, text, a file or an iterable of these: a dict goes as json= or fields=")
        if self._encodes_itself or fields is not None:
            keywords = cast("EncodeUrlKeywords", urlopen_kw)
            if body is not None:
                keywords["body"] = body
            if method in self._encode_url_methods:
                return self.request_encode_url(method, url, fields=fields, headers=headers, **keywords)  # type: ignore[arg-type]  # files in a query
            return self.request_encode_body(method, url, fields=fields, headers=headers, **keywords)
        if not urlopen_kw:  # by names that stand here: to make a dict of them costs 0.1 us
            if body is None:
                return self.urlopen(method, url, headers=headers)
            return self.urlopen(method, url, body=body, headers=headers)
        if "encode_multipart" in urlopen_kw or "multipart_boundary" in urlopen_kw:
            urlopen_kw.pop("encode_multipart", None)
            urlopen_kw.pop("multipart_boundary", None)
        if body is not None:
            return self.urlopen(method, url, body=body, headers=headers, **urlopen_kw)
        return self.urlopen(method, url, headers=headers, **urlopen_kw)

    def request_encode_url(
        self,
        method: str,
        url: str,
        fields: QueryFields | None = None,
        headers: Mapping[str, str] | None = None,
        **urlopen_kw: Unpack[EncodeUrlKeywords],
    ) -> BaseHTTPResponse:
        """Return the response to a request whose ``fields`` (a mapping or pairs) stand in the URL's query."""
        headers = self.headers if headers is None else headers
        return self.urlopen(
            method, with_query(exact(url), _urlencoded(fields)) if fields else url, headers=headers, **urlopen_kw
        )

    def request_encode_body(
        self,
        method: str,
        url: str,
        fields: Fields | None = None,
        headers: Mapping[str, str] | None = None,
        encode_multipart: bool = True,
        multipart_boundary: str | None = None,
        **urlopen_kw: Unpack[EncodeBodyKeywords],
    ) -> BaseHTTPResponse:
        """Return the response to a request whose ``fields`` are a form in its body.

        multipart/form-data, streamed if a field is an open file; ``encode_multipart=False``: urlencoded. TypeError
        if there is a ``body`` as well.
        """
        headers = self.headers if headers is None else headers
        if fields:
            body = urlopen_kw.get("body")
            urlopen_kw["body"], headers = _encode_form(fields, body, headers, encode_multipart, multipart_boundary)
        return self.urlopen(method, url, headers=headers, **urlopen_kw)


class EncodedRequest(NamedTuple):
    """What ``fields`` turned a request into."""

    url: str
    body: Body | None
    headers: Mapping[str, str] | None


def encode_fields(
    method: str,
    url: str,
    fields: Fields | None,
    body: Body | None = None,
    headers: Mapping[str, str] | None = None,
    encode_multipart: bool = True,
    multipart_boundary: str | None = None,
) -> EncodedRequest:
    """Return URL, body and headers with ``fields`` in their place, as ``RequestMethods.request`` puts them.

    A given Content-Type stays; the headers handed in are not changed. TypeError for fields and a body where
    both would be the body. Empty fields or None: everything comes back as it is.
    """
    if not fields:
        return EncodedRequest(url, body, headers)
    if exact(method).upper() in _METHODS_WITH_QUERY:
        return EncodedRequest(with_query(exact(url), _urlencoded(fields)), body, headers)
    return EncodedRequest(url, *_encode_form(fields, body, headers, encode_multipart, multipart_boundary))


def encode_json(value: object, headers: Mapping[str, str] | None = None) -> tuple[bytes, HTTPHeaderDict]:
    """Return the value as compact JSON in UTF-8, and the headers with its content type, if they had none.

    Raises what ``json.dumps`` raises for a value that is none of JSON's.
    """
    from json import dumps

    text = dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8"), _with_content_type(headers, "application/json")


def with_query(url: str, query: str) -> str:
    """Return ``url`` with an encoded query behind its own, if it has one, and before its fragment."""
    url, mark, fragment = url.partition("#")
    joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{joint}{query}{mark}{fragment}"


def _urlencoded(fields: Fields) -> str:
    """Return the fields as application/x-www-form-urlencoded."""
    from urllib.parse import urlencode

    if isinstance(fields, (str, bytes)):
        raise TypeError(f"fields are a mapping or pairs of name and value, not {type(fields).__name__}")
    pairs: Iterable[tuple[str, object]] = fields.items() if hasattr(fields, "items") else fields  # type: ignore[assignment]  # files
    return urlencode([(exact(name), exact(value)) for name, value in pairs])


def _encode_form(
    fields: Fields,
    body: Body | None,
    headers: Mapping[str, str] | None,
    encode_multipart: bool,
    boundary: str | None,
) -> tuple[Body, HTTPHeaderDict]:
    """Return the form as a body, and the headers with its content type."""
    if body is not None:
        raise TypeError("request got values for both 'fields' and 'body', can only specify one.")
    if encode_multipart:
        form = MultipartStream(fields, boundary)
        return form if form.has_files else b"".join(form), _with_content_type(headers, form.content_type)
    return _urlencoded(fields), _with_content_type(headers, "application/x-www-form-urlencoded")


def _with_content_type(headers: Mapping[str, str] | None, content_type: str) -> HTTPHeaderDict:
    """Return the headers, copied, with this content type if they had none."""
    if headers:
        require_mapping(headers)
    merged = HTTPHeaderDict(headers)
    merged.setdefault("Content-Type", content_type)
    return merged
