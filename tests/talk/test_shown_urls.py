"""User and password of a URL are nobody's to read: not in records, errors, tracebacks, reprs or printed lines.

Each case asks with a secret in a URL, in all the ways that may go wrong, and looks at all that can be seen of it.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import poollib
from poollib import HTTPConnectionPool, PoolManager, ProxyManager, Retry
from poollib.base.url import parse_url
from poollib.connection import HTTPConnection
from poollib.contrib.socks import SOCKSProxyManager
from poollib.exceptions import InsecureRedirectError
from poollib.extras.event_source import EventSource
from poollib.policy.proxy_rules import Proxy, ProxyRules, rules_from
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_request, respond, send

SECRET = "s3cret"
LOGIN = f"user:{SECRET}@"


def visible(error: BaseException) -> str:
    """All that is shown of an error, and of a copy that has travelled."""
    texts = [*traceback.format_exception(error), str(error), repr(error), repr(copy.copy(error))]
    return "\n".join([*texts, repr(error.args), repr(getattr(error, "reason", None))])


def check(seen: str, caplog: pytest.LogCaptureFixture) -> None:
    assert SECRET not in seen
    for record in caplog.records:
        assert SECRET not in f"{record.getMessage()} {vars(record)}"


@pytest.fixture(autouse=True)
def records(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def with_login(server: Any, path: str) -> str:
    return f"http://{LOGIN}{server.host}:{server.port}{path}"


@pytest.mark.parametrize("owner", ["pool", "manager"])
def test_redirects_and_retries(owner: str, caplog: pytest.LogCaptureFixture) -> None:
    """Redirects, statuses, errors, and the responses and histories they leave."""

    def answer(request: Request) -> Response:
        to = with_login(server, {"/a": "/busy", "/loop": "/loop"}.get(request.target, "/end"))
        status = {"/end": 200, "/busy": 503 if len(server.requests) < 4 else 302}.get(request.target, 302)
        return Response(b"ok", status=status, headers={"Location": to, "Retry-After": "0"})

    with Httpd() as server, PoolManager(retries=Retry(9, status_forcelist=[503])) as manager:
        server.routes.update(dict.fromkeys(("/a", "/busy", "/loop", "/end"), answer))
        client = manager if owner == "manager" else manager.connection_from_url(server.url)
        response = client.request("GET", with_login(server, "/a"))
        assert response.data == b"ok"
        assert SECRET in response.geturl()
        seen = repr(response) + repr(response.retries.history) + repr(response.retries)
        with pytest.raises(poollib.exceptions.MaxRetryError) as caught:
            client.request("GET", with_login(server, "/loop"))
        check(seen + visible(caught.value), caplog)
    assert any("Redirecting" in message for message in caplog.messages)
    assert any("Incremented Retry" in message for message in caplog.messages)


def test_a_redirect_whose_body_breaks_and_locations_that_differ(caplog: pytest.LogCaptureFixture) -> None:
    one, other = b"http://u:s3cret@a.example/", b"http://u:s3cret@b.example/"
    cut = [send(b"HTTP/1.1 302 A\r\nLocation: " + one + b"\r\nContent-Length: 9\r\n\r\nx"), close()]
    both = respond(status="302 B", headers=[f"Location: {one.decode()}", f"Location: {other.decode()}"])
    retries = Retry(1, redirect=0, raise_on_redirect=False)
    with ScriptServer([expect_request(), *cut], [expect_request(), *cut], [expect_request(), both]) as server:
        with PoolManager() as manager:
            seen = ""
            for retry in (retries, None):
                with pytest.raises(poollib.exceptions.HTTPError) as caught:
                    manager.request("GET", with_login(server, "/a"), retries=retry)
                seen += visible(caught.value)
            assert "several Locations: http://***@b.example/" in seen
            check(seen, caplog)


def refused(caplog: pytest.LogCaptureFixture, act: Callable[[], Any]) -> str:
    with pytest.raises((ValueError, poollib.exceptions.HTTPError, AssertionError)) as caught:
        act()
    seen = visible(caught.value)
    check(seen, caplog)
    return seen


WRONG = [
    f"http://{LOGIN}",
    f"http://{LOGIN}ho st/",
    f"http://{LOGIN}host:port/",
    f"http://{LOGIN}[::1/",
    f"http://user:x/{SECRET}@host/",
    f"http://{SECRET}:x/y@host/",
    f"http://user:{SECRET}/x@host/",
    f"http://user:{SECRET}?x@host/",
    f"http://user:{SECRET}\\@host/",
    f"http://{LOGIN}ho\tst/",
    f"http://a@{LOGIN}ho st/",
    f" http://{LOGIN}host/",
    f"http:/{LOGIN}host/",
    f"http:///{LOGIN}host/",
    f"http:{LOGIN}host/",
    f"{LOGIN}host:port/",
    f"{LOGIN}host/\x00",
    f"me.{LOGIN}host:99999/",
    f"ftp://{LOGIN}host/",
    f"{LOGIN}/",
]


@pytest.mark.parametrize("url", WRONG)
def test_what_is_no_url_is_refused_without_its_secret(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """By a manager, a pool, as a proxy's, and where a server sends it."""
    with PoolManager() as manager, HTTPConnectionPool("host.example", 80) as pool:
        refused(caplog, lambda: manager.request("GET", url))
        refused(caplog, lambda: pool.request("GET", url))
        refused(caplog, lambda: poollib.connection_from_url(url).request("GET", url))
        refused(caplog, lambda: HTTPConnection("host.example").request("GET", url + " "))
        refused(caplog, lambda: ProxyManager(url))
        refused(caplog, lambda: SOCKSProxyManager(url))


#: Those of them that a field can hold, and one that a guard refuses.
LOCATIONS = [url for url in WRONG if not set(url) & set("\n\x00") and url == url.strip()]
LOCATIONS.append(f"http://{LOGIN}other.example/")


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("owner", ["pool", "manager"])
def test_a_location_that_is_refused_is_not_shown(location: str, owner: str, caplog: pytest.LogCaptureFixture) -> None:
    line = b"Location: " + location.encode("utf-8", "surrogatepass")
    script = [expect_request(), send(b"HTTP/1.1 302 Found\r\n%b\r\nContent-Length: 0\r\n\r\n" % line), close()]
    guard = {"allowed_hosts": ["127.0.0.1"]}
    with ScriptServer(script, [expect_request(), close()], repeat=True) as server, PoolManager(**guard) as manager:
        client = manager if owner == "manager" else manager.connection_from_url(server.url)
        error: BaseException | None = None
        try:
            client.request("GET", server.url + "/", retries=Retry(1, allow_downgrade=False))
        except (ValueError, poollib.exceptions.HTTPError) as caught:  # what reads as a path is followed
            error = caught
        check("" if error is None else visible(error), caplog)


def test_values_that_hold_a_url(caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://{LOGIN}proxy.example:3128"
    headers = {"Proxy-Authorization": SECRET}
    shown = [
        parse_url(url),
        Proxy(url, headers),
        Proxy(parse_url(url)),
        InsecureRedirectError(f"https://{LOGIN}a/", f"http://{LOGIN}b/"),
        EventSource(url),
        poollib.Retry(3).increment("GET", url, error=OSError()).history,
        *ProxyManager(url, proxy_headers=headers).pools.keys(),
    ]
    for manager in (ProxyManager(url), SOCKSProxyManager(url.replace("http", "socks5h"))):
        with manager:
            shown.append(manager.connection_from_url("http://h.example/"))
            shown += [*manager.pools.keys(), manager, shown[-1]._endpoint_pool.endpoint]
    with PoolManager(headers={"Authorization": SECRET}, key_password=SECRET) as manager:
        manager.connection_from_url("https://h.example/")
        shown += manager.pools.keys()
    check("\n".join(f"{value!r} {value!s}" for value in shown if value != parse_url(url)) + repr(shown[0]), caplog)
    refused(caplog, lambda: rules_from({url: None}, {}))
    refused(caplog, lambda: rules_from("env", {"HTTP_PROXY": f"{LOGIN}pr oxy"}))
    refused(caplog, lambda: PoolManager().pool_for(f"http:/{LOGIN}host"))
    refused(caplog, lambda: ProxyRules({"http": f"ftp://{LOGIN}proxy"}))
    refused(caplog, lambda: HTTPConnectionPool(f"{LOGIN}host"))
    refused(caplog, lambda: HTTPConnection(f"{LOGIN}host"))
    refused(caplog, lambda: HTTPConnection(f"{LOGIN}host", 80))


def test_downloads_and_event_sources(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Their errors name the URL."""
    with Httpd({"/gone": lambda request: Response(b"no", status=410)}) as server:
        url = with_login(server, "/gone")
        seen = refused(caplog, lambda: poollib.download(url, tmp_path / "file"))
        seen += refused(caplog, lambda: list(EventSource(url)))
        assert seen.count(f"http://***@{server.host}:{server.port}/gone: 410") >= 2


def test_the_command_line(caplog: pytest.LogCaptureFixture) -> None:
    from poollib.cli.main import main

    for url in [f"http://{LOGIN}127.0.0.1:1/", *WRONG]:
        out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            assert main([url]) in (1, 3, 6, 7)
        out.seek(0)
        check(out.read() + err.getvalue(), caplog)
