"""Mistakes on purpose: what those try who come from other libraries, each answered by an error that says what to do."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import poollib
from tests.support.httpd import Httpd, Request, Response

HTML = {"Content-Type": "text/html"}


def client(call: Callable[[poollib.Client], object]) -> Callable[[str], object]:
    def use(url: str) -> object:
        with poollib.Client(url) as made:
            return call(made)

    return use


def get(**keywords: Any) -> Callable[[str], object]:
    return client(lambda made: made.manager.request("GET", f"{made.base_url}/page", **keywords))


def asked(url: Any) -> Callable[[str], object]:
    return client(lambda made: made.manager.request("GET", url))


def made_with(**keywords: Any) -> Callable[[str], object]:
    """A Client, and its first request: a manager looks at its pools' keywords when it makes one."""
    return lambda url: poollib.Client(url, **keywords).get()


MISTAKES: dict[str, tuple[Callable[[str], object], type[Exception], str]] = {
    "verify, as of requests": (get(verify=False), TypeError, "use ca_certs='authorities.pem' or cert_reqs='CERT_NONE'"),
    "auth": (get(auth=("a", "b")), TypeError, "use headers=make_headers(basic_auth='user:password')"),
    "params": (get(params={"a": 1}), TypeError, "use fields= for a query, or Client(base_url).get(path, params=...)"),
    "data": (get(data=b""), TypeError, "use body= for bytes or text, fields= for a form"),
    "proxy": (get(proxy="http://p"), TypeError, "use ProxyManager(url), or PoolManager(proxies=...)"),
    "a path as ssl_context": (
        lambda url: poollib.Client(url.replace("http:", "https:"), ssl_context="ca.pem").get(),
        TypeError,
        "an ssl_context is an ssl.SSLContext, not str",
    ),
    "allow_redirects": (get(allow_redirects=False), TypeError, "use redirect="),
    "follow_redirects, as of httpx": (get(follow_redirects=True), TypeError, "use redirect="),
    "cookies": (get(cookies={"a": "b"}), TypeError, "use a Cookie field in headers="),
    "files": (get(files={}), TypeError, "use fields={'name': ('file.txt', file)}"),
    "stream": (get(stream=True), TypeError, "use preload_content=False"),
    "a slip of the pen": (get(time_out=3), TypeError, "did you mean timeout?"),
    "verify, of a client": (made_with(verify=False), TypeError, "use ca_certs="),
    "trust_env": (made_with(trust_env=True), TypeError, "use PoolManager(proxies='env')"),
    "pool_size": (made_with(pool_size=3), TypeError, "use maxsize="),
    "event_hooks": (made_with(event_hooks={}), TypeError, "use hooks= or attempt_hooks="),
    "headers as a list": (get(headers=["A: b"]), TypeError, "headers must be a mapping of names to values, not a list"),
    "headers as text": (get(headers="A: b"), TypeError, "headers must be a mapping of names to values, not a str"),
    "None as a header": (get(headers={"A": None}), TypeError, "header 'A' must be str, bytes or int, not NoneType"),
    "a dict as body": (get(body={"a": 1}), TypeError, "a dict goes as json= or fields="),
    "a number as body": (get(body=5), TypeError, "'body' must be a bytes-like object, file-like object, or iterable."),
    "two bodies": (get(body=b"", json={}), TypeError, "both 'body' and 'json' parameters which are mutually exclusive"),
    "bytes as URL": (asked(b"http://h/"), TypeError, "url must be a str, not b'http://h/'"),
    "None as URL": (asked(None), TypeError, "url must be a str, not None"),
    "a path as URL": (asked(pathlib.PurePosixPath("a")), TypeError, "url must be a str, not PurePosixPath('a')"),
    "a path without a base URL": (lambda _: poollib.Client().get("/a"), ValueError, "this client has no base URL"),
    "a base URL without a scheme": (lambda _: poollib.Client("host"), ValueError, "a base URL names scheme and host"),
    "a base URL with a query": (lambda _: poollib.Client("http://h/?a=1"), ValueError, "give it as params={...}"),
    "another scheme": (asked("ftp://h/"), poollib.exceptions.URLSchemeUnknown, "Not supported URL scheme ftp"),
    "text as timeout": (get(timeout="5"), ValueError, "but it must be an int, float or None"),
    "text as retries": (get(retries="3"), TypeError, "total must be an int, a bool or None, not '3'"),
    "json() of a page": (
        client(lambda made: made.get("page").json()),
        ValueError,
        "Expecting value (status 200, a body of 'text/html')",
    ),
    "an error's status": (
        client(lambda made: made.get("missing").raise_for_status()),
        poollib.exceptions.HTTPStatusError,
        "404 ",
    ),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    def answer(request: Request) -> Response:
        return Response(b"<p>", headers=HTML) if request.path == "/page" else Response(b"no", status=404)

    with Httpd({"/page": answer, "/missing": answer}) as server:
        yield server.url


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_by_what_to_do(mistake: str, url: str) -> None:
    call, error, said = MISTAKES[mistake]
    with pytest.raises(error, match=re.escape(said)):
        call(url)
