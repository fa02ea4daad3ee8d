"""Mocks that stand in the place of sockets and of ssl: each answers as it does with urllib3.

httpretty has no wheel, and is run where somebody has installed it (1.1.4, 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mocket
import mocket.mocks.mockhttp
import pytest
import requests
import urllib3

from tests.support.certs import Certs
from tests.support.httpd import Httpd

BIG = "x" * 200_000


class Httpretty:
    """It replaces sockets, their resolver and ``urllib3.connection.ssl_wrap_socket``."""

    def __enter__(self) -> Callable[..., None]:
        self.httpretty = pytest.importorskip("httpretty")
        self.httpretty.enable(allow_net_connect=True, verbose=False)
        return self.add

    def add(self, method: str, url: str, status: int, body: str, fields: dict[str, str]) -> None:
        self.httpretty.register_uri(method, url, body=body, status=status, adding_headers=fields)

    def asked(self) -> list[tuple[str, str]]:
        return [(request.method, request.path) for request in self.httpretty.latest_requests()]

    def __exit__(self, *_: object) -> None:
        self.httpretty.disable()
        self.httpretty.reset()


class Mocket:
    """It replaces sockets, their resolver, ``ssl.SSLContext`` and ``ssl_wrap_socket``."""

    def __enter__(self) -> Callable[..., None]:
        self.mocketizer = mocket.Mocketizer()
        self.mocketizer.__enter__()
        return self.add

    def add(self, method: str, url: str, status: int, body: str, fields: dict[str, str]) -> None:
        mocket.mocks.mockhttp.Entry.single_register(method, url, body=body, status=status, headers=fields)

    def asked(self) -> list[tuple[str, str]]:
        sent = mocket.Mocket.request_list()
        return [(request.method, request.path) for request in sent if hasattr(request, "path")]

    def __exit__(self, *words: Any) -> None:
        self.mocketizer.__exit__(*words)


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request", "ignore:unclosed:ResourceWarning")  # mocket's
@pytest.mark.parametrize("kind", [Httpretty, Mocket])
def test_a_mock_answers_for_urllib3_and_requests(kind: type[Any]) -> None:
    mock = kind()
    with mock as add, urllib3.PoolManager(retries=False, timeout=5) as manager:
        add("GET", "http://mock.test/a", 201, "hello", {"X-A": "b"})
        add("POST", "http://mock.test/p", 200, "posted", {})
        add("GET", "http://mock.test/big", 200, BIG, {})
        add("GET", "https://mock.test/s", 200, "by TLS", {})
        answer = manager.request("GET", "http://mock.test/a")
        assert (answer.status, answer.data, answer.headers["x-a"]) == (201, b"hello", "b")
        assert manager.request("POST", "http://mock.test/p", body=b"x").data == b"posted"
        assert manager.request("POST", "http://mock.test/p", body=b"x" * 100_000).data == b"posted"
        assert manager.request("GET", "http://mock.test/big").data == BIG.encode()
        assert manager.request("GET", "https://mock.test/s").data == b"by TLS"
        with requests.Session() as session:
            assert [session.get("http://mock.test/a").text for _ in range(2)] == ["hello"] * 2
            assert session.post("http://mock.test/p", data={"a": "b"}).text == "posted"
            assert b"".join(session.get("http://mock.test/big", stream=True).iter_content(999)) == BIG.encode()
        assert mock.asked().count(("GET", "/a")) == 3
        assert mock.asked().count(("GET", "/s")) == 1


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request", "ignore:unclosed:ResourceWarning")  # mocket's
@pytest.mark.parametrize("kind", [Httpretty, Mocket])
def test_a_mock_leaves_nothing_behind(kind: type[Any], authority: Certs, server: Httpd) -> None:
    """Before it and after it, TLS is TLS: a kept context or session of either would be no good to the other."""
    with Httpd(tls=authority.server()) as secure:

        def ask() -> int:
            with urllib3.PoolManager(ca_certs=authority.ca_file) as manager:
                return manager.request("GET", secure.url + "/").status + manager.request("GET", server.url).status

        assert ask() == 400
        with kind() as add:
            add("GET", "https://mock.test/s", 200, "mock", {})
            with urllib3.PoolManager(ca_certs=authority.ca_file, retries=False) as manager:
                assert manager.request("GET", "https://mock.test/s").data == b"mock"
        assert ask() == 400
