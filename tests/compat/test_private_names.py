"""Private names that programs touch, and what overriding one does: as in urllib3."""

from __future__ import annotations

import gc
import io
import queue
import socket
import ssl
import threading
from typing import Any, ClassVar

import pytest
import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.poolmanager
import urllib3.util.connection
import urllib3.util.ssl_
from urllib3.util.retry import Retry

from tests.support.certs import Certs
from tests.support.httpd import Httpd, Response


@pytest.fixture
def pool(server: Httpd) -> Any:
    with urllib3.HTTPConnectionPool(server.host, server.port, maxsize=2, block=True) as made:
        yield made


# -- the pool --


def test_the_pools_queue_is_a_queue(server: Httpd, pool: Any) -> None:
    assert isinstance(pool.pool, queue.LifoQueue)
    assert (pool.pool.maxsize, pool.pool.qsize()) == (2, 2)
    held = pool.urlopen("GET", "/", preload_content=False)
    assert pool.pool.qsize() == 1
    held.release_conn()
    assert pool.pool.qsize() == 2
    pool.close()
    assert pool.pool is None


def test_a_pool_can_be_filled_with_connections_made_before(server: Httpd) -> None:
    """As tencentcloud's SDK does: take the free slots out, put live connections in."""
    pool = urllib3.HTTPConnectionPool(server.host, server.port, maxsize=1)
    ready = pool._new_conn()
    ready.connect()
    pool.pool.get(block=False)
    pool.pool.put(ready, block=False)
    assert pool.request("GET", "/").status == 200
    assert server.opened == 1
    pool.close()


def test_connections_can_be_taken_and_put_back(server: Httpd, pool: Any) -> None:
    conn = pool._get_conn(timeout=1)
    assert isinstance(conn, urllib3.connection.HTTPConnection)
    conn.request("GET", "/by-hand")
    assert conn.getresponse().data
    pool._put_conn(conn)
    assert pool.request("GET", "/").json()["connection"] == 0
    pool._put_conn(None)
    with pytest.raises(urllib3.exceptions.FullPoolError):
        pool._put_conn(conn)


def test_overridden_methods_of_a_pool_are_used(server: Httpd) -> None:
    calls: list[str] = []

    class Own(urllib3.HTTPConnectionPool):
        def _new_conn(self) -> Any:
            calls.append("_new_conn")
            return super()._new_conn()

        def _get_conn(self, timeout: float | None = None) -> Any:
            calls.append(f"_get_conn {timeout}")
            return super()._get_conn(timeout)

        def _put_conn(self, conn: Any) -> None:
            calls.append("_put_conn")
            super()._put_conn(conn)

        def _validate_conn(self, conn: Any) -> None:
            calls.append("_validate_conn")
            super()._validate_conn(conn)

        def _make_request(self, conn: Any, method: str, url: str, **named: Any) -> Any:
            calls.append(f"_make_request {method} {url}")
            return super()._make_request(conn, method, url, **named)

    with Own(server.host, server.port) as pool:
        pool.request("GET", "/x", pool_timeout=3)
    wanted = ["_get_conn 3", "_new_conn", "_make_request GET /x", "_validate_conn", "_put_conn"]
    assert [call for call in calls if call in wanted] == wanted
    assert len(calls) == len(wanted)


def test_counters_count(server: Httpd, pool: Any) -> None:
    for _ in range(3):
        pool.request("GET", "/")
    assert (pool.num_connections, pool.num_requests) == (1, 3)


def test_attributes_set_on_a_pool_hold_for_its_connections(authority: Certs) -> None:
    """As requests sets them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        authority.pair("localhost", "127.0.0.1").cert_file, authority.pair("localhost", "127.0.0.1").key_file
    )
    with Httpd(tls=context) as server, urllib3.HTTPSConnectionPool(server.host, server.port, retries=False) as pool:
        pool.cert_reqs, pool.ca_certs = "CERT_REQUIRED", authority.stranger_file
        with pytest.raises(urllib3.exceptions.SSLError):
            pool.request("GET", "/")
        pool.ca_certs = authority.ca_file
        assert pool.request("GET", "/").status == 200


def test_proxy_headers_of_a_pool_can_be_changed(server: Httpd) -> None:
    """As botocore changes ``host``."""
    manager = urllib3.ProxyManager(server.url, proxy_headers={"X-Proxy": "1"})
    pool = manager.connection_from_url("http://target.test/")
    pool.proxy_headers["X-More"] = "2"
    seen = manager.request("GET", "http://target.test/x").json()["headers"]
    assert (seen["x-proxy"], seen["x-more"], seen["host"]) == ("1", "2", "target.test")


# -- the manager --


def test_pool_classes_keys_and_new_pool_can_be_overridden(server: Httpd) -> None:
    class OwnPool(urllib3.HTTPConnectionPool):
        def __init__(self, *words: Any, own: str = "", **named: Any) -> None:
            super().__init__(*words, **named)
            self.own = own

    class OwnManager(urllib3.PoolManager):
        made: ClassVar[list[str]] = []

        def _new_pool(self, scheme: str, host: str, port: int, request_context: Any = None) -> Any:
            self.made.append(scheme)
            return super()._new_pool(scheme, host, port, request_context)

    fields = (*urllib3.poolmanager.PoolKey._fields, "key_own")
    key_class = __import__("collections").namedtuple("OwnKey", fields)
    manager = OwnManager(own="mine")
    manager.pool_classes_by_scheme = {"http": OwnPool, "https": urllib3.HTTPSConnectionPool}
    manager.key_fn_by_scheme = {
        "http": lambda context: urllib3.poolmanager._default_key_normalizer(key_class, context),
    }
    pool = manager.connection_from_url(server.url)
    assert (type(pool), pool.own, manager.made) == (OwnPool, "mine", ["http"])
    assert manager.request("GET", server.url).status == 200
    assert manager.connection_from_url(server.url) is pool
    assert len(manager.pools) == 1
    with manager.pools.lock:
        assert next(iter(manager.pools.keys())).key_own == "mine"
    manager.clear()
    assert len(manager.pools) == 0


def test_unknown_keywords_are_refused_with_the_key() -> None:
    with pytest.raises(TypeError):
        urllib3.PoolManager(own=1).connection_from_url("http://a.test/")
    assert "key_blocksize" in urllib3.poolmanager.PoolKey._fields


def test_changed_keywords_make_another_pool(server: Httpd) -> None:
    manager = urllib3.PoolManager()
    first = manager.connection_from_url(server.url)
    manager.request("GET", server.url)
    manager.connection_pool_kw["maxsize"] = 7
    manager.request("GET", server.url)
    second = manager.connection_from_url(server.url)
    assert second is not first
    assert second.pool.maxsize == 7


def test_evicted_pools_go_on_working(server: Httpd) -> None:
    manager = urllib3.PoolManager(num_pools=1)
    first = manager.connection_from_url(server.url)
    manager.connection_from_url("http://other.test/")
    assert first.request("GET", "/").status == 200
    del first
    gc.collect()


# -- the connection --


def test_sockets_come_from_an_overridden_new_conn_or_connect(server: Httpd) -> None:
    """As docker, requests-unixsocket and kubernetes' port-forward do."""
    made: list[str] = []

    class ByNewConn(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            made.append("_new_conn")
            return socket.create_connection((server.host, server.port))

    class ByConnect(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            made.append("connect")
            self.sock = socket.create_connection((server.host, server.port))

    for own in (ByNewConn, ByConnect):

        class Pool(urllib3.HTTPConnectionPool):
            ConnectionCls = own

        with Pool("nowhere.invalid", 1) as pool:
            for _ in range(2):
                assert pool.request("POST", "/", body=b"x" * 100_000).status == 200
    assert made == ["_new_conn", "connect"]


def test_connection_class_can_be_patched(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    """As vcrpy patches it."""

    class Own(urllib3.connection.HTTPConnection):
        pass

    monkeypatch.setattr(urllib3.connectionpool.HTTPConnectionPool, "ConnectionCls", Own)
    pool = urllib3.PoolManager().connection_from_url(server.url)
    assert type(pool._new_conn()) is Own


def test_default_socket_options_can_be_extended(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [*urllib3.connection.HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    monkeypatch.setattr(urllib3.connection.HTTPConnection, "default_socket_options", options)
    with urllib3.HTTPConnectionPool(server.host, server.port) as pool:
        held = pool.urlopen("GET", "/", preload_content=False)
        assert held.connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        held.drain_conn()


def test_create_connection_can_be_replaced(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many do to choose where a name leads."""
    usual = urllib3.util.connection.create_connection
    asked: list[Any] = []

    def elsewhere(address: Any, *words: Any, **named: Any) -> socket.socket:
        asked.append(address)
        return usual((server.host, server.port), *words, **named)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", elsewhere)
    assert urllib3.request("GET", "http://elsewhere.invalid/").json()["headers"]["host"] == "elsewhere.invalid"
    assert asked == [("elsewhere.invalid", 80)]

    def refused(address: Any, *words: Any, **named: Any) -> socket.socket:
        raise ConnectionRefusedError("no")

    monkeypatch.setattr(urllib3.util.connection, "create_connection", refused)
    with pytest.raises(urllib3.exceptions.NewConnectionError):
        urllib3.request("GET", "http://refused.invalid/", retries=False)


def test_the_address_family_can_be_chosen(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    families: list[Any] = []
    usual = socket.getaddrinfo

    def watched(host: Any, port: Any, family: Any = 0, *words: Any, **named: Any) -> Any:
        families.append(family)
        return usual(host, port, family, *words, **named)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    monkeypatch.setattr(urllib3.util.connection, "allowed_gai_family", lambda: socket.AF_INET)
    urllib3.PoolManager().request("GET", f"http://localhost:{server.port}/")
    assert families == [socket.AF_INET]


def test_ssl_wrap_socket_can_be_replaced(authority: Certs, monkeypatch: pytest.MonkeyPatch) -> None:
    """As httpretty and mocket do, on ``urllib3.connection``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.pair("localhost", "127.0.0.1")
    context.load_cert_chain(pair.cert_file, pair.key_file)
    calls: list[Any] = []
    usual = urllib3.connection.ssl_wrap_socket

    def wrap(sock: Any, **named: Any) -> Any:
        calls.append(named["server_hostname"])
        return usual(sock, **named)

    monkeypatch.setitem(urllib3.connection.__dict__, "ssl_wrap_socket", wrap)
    with Httpd(tls=context) as server, urllib3.PoolManager(ca_certs=authority.ca_file, retries=False) as manager:
        assert manager.request("GET", f"https://localhost:{server.port}/").status == 200
        with pytest.raises(urllib3.exceptions.SSLError):
            urllib3.PoolManager(retries=False).request("GET", f"https://localhost:{server.port}/")
    assert calls == ["localhost", "localhost"]


def test_a_request_can_be_made_by_hand(server: Httpd) -> None:
    conn = urllib3.connection.HTTPConnection(server.host, server.port)
    for skip in (False, True):
        conn.putrequest("PUT", "/hand", skip_accept_encoding=True)
        conn.putheader("Content-Length", "4")
        conn.putheader("User-Agent", urllib3.util.SKIP_HEADER if skip else "me")
        conn.endheaders()
        conn.send(b"body")
        seen = conn.getresponse().json()
        assert (seen["body"], seen["headers"].get("user-agent")) == ("body", None if skip else "me")
    with pytest.raises(ValueError, match="SKIP_HEADER"):
        conn.putrequest("GET", "/")
        conn.putheader("X", urllib3.util.SKIP_HEADER)
    conn.close()
    assert conn.is_closed
    conn.request_chunked("POST", "/", body=iter([b"a", b"b"]))
    assert conn.getresponse().json()["body"] == "ab"
    conn.close()


def test_connecting_is_audited(server: Httpd) -> None:
    import sys

    seen: list[Any] = []
    watching = True

    def hook(event: str, words: Any) -> None:
        if watching and event == "http.client.connect":
            seen.append(words[1:])

    sys.addaudithook(hook)
    urllib3.PoolManager().request("GET", server.url)
    watching = False
    assert seen == [(server.host, server.port)]


# -- the response --


def test_a_live_response_has_http_clients_view(server: Httpd) -> None:
    class Fields(dict[str, str]):
        def items(self) -> Any:
            return [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]

    server.routes["/c"] = lambda request: Response([b"x" * 10, b"y" * 10], headers=Fields())
    with urllib3.PoolManager() as manager:
        response = manager.request("GET", server.url + "/c", preload_content=False)
        original = response._original_response
        assert original.msg.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert (original._method, original.isclosed()) == ("GET", False)
        assert response._fp.chunked
        assert response._fp.fp.raw._sock is response._connection.sock
        assert response.read(4) == b"xxxx"
        assert response._fp.chunk_left == 6
        assert response._pool is manager.connection_from_url(server.url)
        assert response._fp.read() == b"x" * 6 + b"y" * 10
        assert original.isclosed()
        assert response._fp.fp is None
        assert response._connection is None
        whole = manager.request("GET", server.url + "/c")
        assert whole._original_response.msg.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert whole._original_response.isclosed()
    assert server.opened == 1


def test_closing_the_original_response_closes_the_connection(server: Httpd) -> None:
    server.routes["/big"] = lambda request: Response(b"x" * 1_000_000)
    with urllib3.HTTPConnectionPool(server.host, server.port, block=True) as pool:
        response = pool.urlopen("GET", "/big", preload_content=False)
        response._original_response.close()
        assert pool.request("GET", "/", pool_timeout=1).json()["connection"] == 1


def test_a_replaced_fp_is_read_and_told_of_the_end(server: Httpd) -> None:
    class Tee:
        def __init__(self, fp: Any) -> None:
            self._below, self.kept = fp, b""

        def __getattr__(self, name: str) -> Any:
            return getattr(self._below, name)

        def read(self, amt: int | None = None) -> bytes:
            data = self._below.read(amt)
            self.kept += data
            return data

    server.routes["/t"] = lambda request: Response(b"hello " * 1000)
    with urllib3.HTTPConnectionPool(server.host, server.port, block=True) as pool:
        response = pool.urlopen("GET", "/t", preload_content=False)
        tee = response._fp = Tee(response._fp)
        assert b"".join(response.stream(100)) == tee.kept == b"hello " * 1000
        assert pool.request("GET", "/", pool_timeout=1).json()["connection"] == 0


def test_responses_are_built_as_mocks_build_them() -> None:
    class Original:
        msg = urllib3.HTTPHeaderDict({"Set-Cookie": "a=1"})
        _method = "GET"

        def isclosed(self) -> bool:
            return True

    raw = urllib3.response.HTTPResponse(
        body=io.BytesIO(b"body"), headers=[("A", "b")], status=200, reason="OK", version=11, msg=Original.msg,
        original_response=Original(), preload_content=False, decode_content=False, enforce_content_length=False,
        request_method="GET",
    )  # fmt: skip
    assert raw._original_response.msg is raw.msg
    assert (raw.headers["a"], raw.read(2), raw.read(), raw.read()) == ("b", b"bo", b"dy", b"")
    around = urllib3.HTTPResponse(io.BytesIO(b"x"), original_response=raw, preload_content=False)
    assert around._original_response is raw
    kept = urllib3.HTTPResponse(io.BytesIO(b"a\nb\n"), preload_content=False, auto_close=False)
    assert list(io.TextIOWrapper(kept)) == ["a\n", "b\n"]


# -- retries --


def test_overridden_methods_of_retry_are_used(server: Httpd) -> None:
    calls: list[str] = []

    class Own(Retry):
        def __init__(self, *words: Any, own: int = 0, **named: Any) -> None:
            super().__init__(*words, **named)
            self.own = own

        def new(self, **named: Any) -> Any:
            return super().new(own=self.own, **named)

        def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
            calls.append(f"is_retry {status_code}")
            return status_code == 418 or super().is_retry(method, status_code, has_retry_after)

        def sleep(self, response: Any = None) -> None:
            calls.append("sleep")

        def _is_method_retryable(self, method: str) -> bool:
            return True

        def increment(self, *words: Any, **named: Any) -> Any:
            calls.append("increment")
            return super().increment(*words, **named)

    answers = iter([418, 200])
    server.routes["/tea"] = lambda request: Response(b"", status=next(answers))
    response = urllib3.PoolManager().request("POST", server.url + "/tea", retries=Own(3, own=5))
    assert (response.status, response.retries.own, len(response.retries.history)) == (200, 5, 1)
    assert calls == ["is_retry 418", "increment", "sleep", "is_retry 200"]


def test_the_default_retry_can_be_replaced(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kubernetes' users do."""
    server.routes["/down"] = lambda request: Response(b"", status=503)
    monkeypatch.setattr(Retry, "DEFAULT", Retry(2, status_forcelist=[503]))
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        urllib3.PoolManager().request("GET", server.url + "/down")
    assert len(server.requests) == 3


def test_redirect_hosts_lose_credentials(server: Httpd) -> None:
    location = f"http://localhost:{server.port}/to"
    server.routes["/from"] = lambda request: Response(b"", status=302, headers={"Location": location})
    fields = {"Authorization": "a", "Cookie": "c", "Proxy-Authorization": "p", "X-Kept": "k"}
    seen = urllib3.PoolManager().request("GET", server.url + "/from", headers=fields).json()["headers"]
    assert seen["x-kept"] == "k"
    assert not {"authorization", "cookie", "proxy-authorization"} & set(seen)


def test_threads_share_a_manager(server: Httpd) -> None:
    with urllib3.PoolManager(maxsize=4, block=True) as manager:
        failed: list[Exception] = []

        def work() -> None:
            try:
                for _ in range(20):
                    assert manager.request("GET", server.url + "/").status == 200
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed
    assert server.opened <= 4


# -- the queue's class --


@pytest.mark.parametrize("own", [queue.Queue, type("OwnLifo", (queue.LifoQueue,), {})])
def test_another_queue_class_decides_who_goes_out_next(
    server: Httpd, own: type[queue.Queue[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As locust sets it; newest first by default."""
    monkeypatch.setattr(urllib3.connectionpool.ConnectionPool, "QueueCls", own)
    with urllib3.HTTPConnectionPool(server.host, server.port, maxsize=2, block=True) as pool:
        assert type(pool.pool) is own
        assert pool.pool.qsize() == 2
        held = [pool.urlopen("GET", "/", preload_content=False) for _ in range(2)]
        with pytest.raises(urllib3.exceptions.EmptyPoolError):
            pool.urlopen("GET", "/", pool_timeout=0.01)
        for response in held:
            assert response.data
        seen = [pool.request("GET", "/").json()["connection"] for _ in range(4)]
        assert seen == ([0, 1, 0, 1] if own is queue.Queue else [1, 1, 1, 1])
        with pool.urlopen("GET", "/", preload_content=False):
            pass
        assert pool.pool.qsize() == 2
        assert pool.request("GET", "/", pool_timeout=1).status == 200
    assert pool.pool is None
    with pytest.raises(urllib3.exceptions.ClosedPoolError):
        pool.request("GET", "/")
