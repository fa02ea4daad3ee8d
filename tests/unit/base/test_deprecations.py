"""Warnings are urllib3's while poollib stands in its place, and nobody's otherwise."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

import poollib
from poollib import HTTPConnectionPool, HTTPResponse, PoolManager, Retry
from poollib.base import deprecations
from poollib.connection import HTTPConnection, HTTPSConnection
from poollib.net import tls
from tests.support.httpd import Httpd


def one_version() -> object:
    return tls.create_urllib3_context(ssl_version=ssl.PROTOCOL_TLS_SERVER)


def strict() -> None:
    context = {"scheme": "http", "host": "a.example", "port": 80, "strict": True}
    with PoolManager() as manager:
        manager.connection_from_context(context)
    assert "strict" not in context


def in_chunks() -> None:
    with Httpd() as server:
        connection = HTTPConnection(server.host, server.port)
        connection.request_chunked("POST", "/", b"x")
        assert connection.getresponse().status == 200
        connection.close()


DEPRECATED: list[tuple[Callable[[], Any], str]] = [
    (one_version, "'ssl_version' option is deprecated"),
    (lambda: HTTPSConnection("a.example").set_cert(), r"HTTPSConnection.set_cert\(\) is deprecated"),
    (lambda: Retry(allowed_methods=[]), "Using an empty collection for 'allowed_methods'"),
    (strict, "The 'strict' parameter is no longer needed"),
    (in_chunks, r"HTTPConnection.request_chunked\(\) is deprecated"),
]


@pytest.mark.parametrize(("act", "text"), DEPRECATED)
def test_urllib3s_warnings_come_in_its_place_alone(
    act: Callable[[], Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    act()  # warnings are errors here
    monkeypatch.setattr(deprecations, "is_urllib3", True)
    with pytest.warns(FutureWarning, match=text + ".*urllib3 v3.0"):
        act()


def test_a_connection_made_by_one_version_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = HTTPSConnection("127.0.0.1", 1, ssl_version="TLSv1_2")
    monkeypatch.setattr(deprecations, "is_urllib3", True)
    with mock.patch.object(connection, "_wrap_in_tls"), pytest.warns(FutureWarning, match="'ssl_version'"):
        connection._secure()


def test_installing_as_urllib3_turns_them_on_and_uninstalling_off() -> None:
    poollib.install_as_urllib3(force=True)
    try:
        with pytest.warns(FutureWarning, match="allowed_methods"):
            assert Retry(allowed_methods=[]).is_retry("POST", 503, has_retry_after=True)
    finally:
        poollib.uninstall_as_urllib3()
    assert not Retry(allowed_methods=[]).is_retry("GET", 503, has_retry_after=True)


def test_a_url_without_a_scheme_is_deprecated_in_each_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with PoolManager() as manager:
        with mock.patch.object(HTTPConnectionPool, "urlopen", return_value=HTTPResponse(status=200)):
            with pytest.warns(FutureWarning, match="a future version"):
                manager.request("GET", "a.example:1/")
            monkeypatch.setattr(deprecations, "is_urllib3", True)
            with pytest.warns(FutureWarning, match="urllib3 v3.0"):
                manager.request("GET", "a.example:1/")


def test_what_is_asked_of_the_server_is_told_where_nobody_said_it() -> None:
    """As the context says at the time; a connection that is given it says that."""
    assert HTTPSConnection("a.example").cert_reqs == ssl.CERT_REQUIRED
    assert HTTPSConnection("a.example", cert_reqs="CERT_NONE").cert_reqs == "CERT_NONE"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    connection = HTTPSConnection("a.example", ssl_context=context)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert (connection.cert_reqs, connection.tls_settings.cert_reqs) == (ssl.CERT_NONE, None)


def test_set_cert_asks_for_what_the_context_says() -> None:
    connection = HTTPSConnection("a.example")
    connection.set_cert()
    assert connection.cert_reqs == ssl.CERT_REQUIRED
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection("a.example", ssl_context=context)
    connection.set_cert()
    assert connection.cert_reqs == ssl.CERT_NONE
