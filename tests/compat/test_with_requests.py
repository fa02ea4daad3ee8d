"""requests: sessions, cookies, streaming, files, redirects, proxies, digest, client certificates, adapters."""

from __future__ import annotations

import hashlib
import io
import socket
import ssl
import threading
from collections.abc import Iterator
from email.utils import formatdate

import pytest
import requests
import requests.adapters
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

import poollib
from tests.support.certs import Certs, certs
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_head, expect_request, respond, send


class Fields(dict[str, str]):
    """Response fields of which one comes several times."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def items(self):  # type: ignore[no-untyped-def, override]
        return self._pairs


def test_it_is_poollib_that_runs(server: Httpd) -> None:
    adapter = requests.Session().get_adapter(server.url)
    assert type(adapter.poolmanager) is poollib.PoolManager
    with requests.get(server.url + "/", stream=True) as response:
        assert isinstance(response.raw, poollib.HTTPResponse)
        assert isinstance(response.raw, requests.packages.urllib3.response.HTTPResponse)


def test_a_get_with_parameters_and_fields(server: Httpd) -> None:
    response = requests.get(server.url + "/a b/ü", params={"q": ["1", "ä"]}, headers={"X-Mine": "yes"})
    assert response.status_code == 200
    seen = response.json()
    assert seen["target"] == "/a%20b/%C3%BC?q=1&q=%C3%A4"
    assert seen["headers"]["x-mine"] == "yes"
    assert seen["headers"]["user-agent"].startswith("python-requests/")
    assert seen["headers"]["accept-encoding"].startswith("gzip, deflate")


def test_a_session_keeps_its_connection(server: Httpd) -> None:
    with requests.Session() as session:
        for _ in range(5):
            assert session.get(server.url + "/").status_code == 200
    assert server.opened == 1


def test_cookies_are_kept_and_sent(server: Httpd) -> None:
    server.routes["/set"] = lambda request: Response(
        b"",
        headers=Fields(("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/"), ("Set-Cookie", "c=3; Path=/x")),
    )
    with requests.Session() as session:
        response = session.get(server.url + "/set")
        assert response.cookies.get_dict() == {"a": "1", "b": "2", "c": "3"}
        cookies = session.get(server.url + "/").json()["headers"]["cookie"]
    assert sorted(cookies.split("; ")) == ["a=1", "b=2"]


def test_cookies_of_a_redirect_are_kept(server: Httpd) -> None:
    server.routes["/login"] = lambda request: Response(
        b"go", status=302, headers={"Location": "/home", "Set-Cookie": "s=7; Path=/"}
    )
    with requests.Session() as session:
        response = session.get(server.url + "/login")
    assert response.json()["headers"]["cookie"] == "s=7"
    assert [before.status_code for before in response.history] == [302]


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_redirects_keep_or_change_the_method(server: Httpd, status: int, method: str) -> None:
    server.routes["/from"] = lambda request: Response(b"", status=status, headers={"Location": "/to"})
    response = requests.post(server.url + "/from", data=b"body")
    assert response.json()["method"] == method
    assert response.json()["body"] == ("body" if method == "POST" else "")
    assert response.url == server.url + "/to"


def test_redirects_without_end_are_given_up(server: Httpd) -> None:
    server.routes["/round"] = lambda request: Response(b"", status=302, headers={"Location": "/round"})
    with pytest.raises(requests.TooManyRedirects):
        requests.get(server.url + "/round")


def test_streamed_bodies_come_in_pieces_and_lines(server: Httpd) -> None:
    server.routes["/lines"] = lambda request: Response([b"one\ntw", b"o\nthree"])
    server.routes["/big"] = lambda request: Response(b"x" * 100_000)
    with requests.get(server.url + "/lines", stream=True) as response:
        assert list(response.iter_lines()) == [b"one", b"two", b"three"]
    with requests.get(server.url + "/big", stream=True) as response:
        assert [len(piece) for piece in response.iter_content(40_000)] == [40_000, 40_000, 20_000]
    with requests.get(server.url + "/big", stream=True) as response:
        assert len(response.raw.read(10)) == 10


def test_an_abandoned_stream_gives_its_connection_back_closed(server: Httpd) -> None:
    server.routes["/big"] = lambda request: Response(b"x" * 10_000_000)
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=1, pool_block=True))
        for _ in range(3):
            with session.get(server.url + "/big", stream=True, timeout=5) as response:
                next(response.iter_content(100))
        assert session.get(server.url + "/", timeout=5).status_code == 200


def test_compressed_bodies_are_decoded(server: Httpd) -> None:
    import gzip

    packed = gzip.compress(b"hello " * 1000)
    server.routes["/gz"] = lambda request: Response(packed, headers={"Content-Encoding": "gzip"})
    assert requests.get(server.url + "/gz").content == b"hello " * 1000
    with requests.get(server.url + "/gz", stream=True) as response:
        assert response.raw.read() == packed


def test_bodies_of_all_kinds_are_sent(server: Httpd) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    assert requests.put(server.url + "/", data=b"bytes").json()["body"] == "bytes"
    assert requests.put(server.url + "/", data={"a": "1", "b": "2"}).json()["body"] == "a=1&b=2"
    assert requests.put(server.url + "/", json={"a": 1}).json()["body"] == '{"a": 1}'
    assert requests.put(server.url + "/", data=io.BytesIO(b"file")).json()["headers"]["content-length"] == "4"
    chunked = requests.put(server.url + "/", data=pieces()).json()
    assert (chunked["body"], chunked["headers"]["transfer-encoding"]) == ("onetwo", "chunked")


def test_files_are_uploaded(server: Httpd) -> None:
    files = {"file": ("a.txt", io.BytesIO(b"content"), "text/plain"), "other": ("b.bin", b"\0\1")}
    seen = requests.post(server.url + "/", data={"field": "value"}, files=files).json()
    assert seen["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert 'name="field"\r\n\r\nvalue\r\n' in seen["body"]
    assert 'name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n' in seen["body"]


def test_errors_are_requests_own(server: Httpd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"http://127.0.0.1:{port}/", timeout=0.05)
    with pytest.raises(requests.ConnectionError, match="Max retries exceeded"):
        requests.get(f"http://127.0.0.1:{port}/", timeout=1)
    with pytest.raises(requests.ConnectionError):
        requests.get("http://no-such-host.invalid/")
    with pytest.raises(requests.exceptions.InvalidURL):
        requests.get("http://[bad/")
    with pytest.raises(requests.exceptions.InvalidHeader):
        requests.get(server.url, headers={"X": "a\r\nb"})


def test_a_cut_body_is_a_chunked_encoding_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", b"Content-Length: 9\r\n\r\nhel"):
                sock, _ = listener.accept()
                with sock:
                    sock.recv(65536)
                    sock.sendall(b"HTTP/1.1 200 OK\r\n" + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for _ in range(2):
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                requests.get(url)
        thread.join()


def test_retries_of_an_adapter_are_counted(server: Httpd) -> None:
    from urllib3.util.retry import Retry

    answers = iter([503, 503, 200])
    server.routes["/flaky"] = lambda request: Response(b"", status=next(answers))
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=Retry(3, status_forcelist=[503])))
        response = session.get(server.url + "/flaky")
        assert (response.status_code, len(response.raw.retries.history)) == (200, 2)
        server.routes["/down"] = lambda request: Response(b"", status=503)
        with pytest.raises(requests.exceptions.RetryError):
            session.get(server.url + "/down")


def test_basic_and_digest_authentication(server: Httpd) -> None:
    def guarded(request: Request) -> Response:
        given = request.header("Authorization")
        if given is None or not given.startswith("Digest"):
            challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'
            return Response(b"who?", status=401, headers={"WWW-Authenticate": challenge})
        parts = dict(part.strip().split("=", 1) for part in given[7:].split(","))
        word = {name: value.strip('"') for name, value in parts.items()}
        ha1 = hashlib.md5(b"user:r:secret").hexdigest()
        ha2 = hashlib.md5(f"POST:{word['uri']}".encode()).hexdigest()
        text = f"{ha1}:n:{word['nc']}:{word['cnonce']}:auth:{ha2}"
        is_right = word["response"] == hashlib.md5(text.encode()).hexdigest() and request.body == b"data"
        return Response(b"in", status=200 if is_right else 403)

    server.routes["/digest"] = guarded
    with requests.Session() as session:
        assert session.get(server.url + "/", auth=HTTPBasicAuth("a", "b")).json()["headers"]["authorization"] == (
            "Basic YTpi"
        )
        session.auth = HTTPDigestAuth("user", "secret")
        response = session.post(server.url + "/digest", data=io.BytesIO(b"data"))
        assert (response.status_code, response.text) == (200, "in")
    assert server.opened == 1


def test_certificates_are_verified_and_sent(authority: Certs) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.pair("localhost", "127.0.0.1")
    context.load_cert_chain(pair.cert_file, pair.key_file)
    context.load_verify_locations(authority.ca_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    with Httpd(tls=context) as server:
        client = authority.client()
        cert = (client.cert_file, client.key_file)
        assert requests.get(server.url, verify=authority.ca_file, cert=cert).status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(server.url)
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(server.url, verify=authority.stranger_file)
        with pytest.warns(Warning, match="Unverified HTTPS request") as caught:
            assert requests.get(server.url, verify=False).status_code == 200
        assert any(w.category is requests.packages.urllib3.exceptions.InsecureRequestWarning for w in caught)
        with pytest.raises(OSError, match="invalid path"):
            requests.get(server.url, verify="/no/such/file")


def test_requests_go_through_a_proxy(server: Httpd, authority: Certs) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.pair("localhost", "127.0.0.1")
    context.load_cert_chain(pair.cert_file, pair.key_file)
    with Httpd(tls=context) as target, tunnelling_proxy() as (proxy, seen):
        proxies = {"http": f"http://user:pw@127.0.0.1:{proxy}", "https": f"http://user:pw@127.0.0.1:{proxy}"}
        response = requests.get(target.url + "/x", proxies=proxies, verify=authority.ca_file)
        assert response.json()["target"] == "/x"
        assert "proxy-authorization" not in response.json()["headers"]
        assert seen[0].startswith(f"CONNECT 127.0.0.1:{target.port} HTTP/1.")
        assert "Proxy-Authorization: Basic dXNlcjpwdw==" in seen[0]
    forwarded = requests.get("http://example.invalid/y", proxies={"http": server.url})
    assert forwarded.json()["target"] == "http://example.invalid/y"
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://example.invalid/", proxies={"https": f"http://127.0.0.1:{proxy}"})


class tunnelling_proxy:
    """Port of a proxy that opens one tunnel, and the heads it got."""

    def __enter__(self) -> tuple[int, list[str]]:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._seen: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self._listener.getsockname()[1], self._seen

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        self._seen.append(head.decode())
        host, _, port = head.split()[1].decode().rpartition(":")
        target = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        back = threading.Thread(target=_copy, args=(target, client))
        back.start()
        _copy(client, target)
        back.join()
        client.close()
        target.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_adapters_may_be_subclassed(server: Httpd) -> None:
    from urllib3.poolmanager import PoolManager

    class Own(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, connections, maxsize, block=False, **kw):  # type: ignore[no-untyped-def]
            self.poolmanager = PoolManager(
                num_pools=connections, maxsize=maxsize, block=block, source_address=("127.0.0.1", 0),
                socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
            )  # fmt: skip

        def send(self, request, **kw):  # type: ignore[no-untyped-def]
            response = super().send(request, **kw)
            response.own = True
            return response

    with requests.Session() as session:
        session.mount("http://", Own())
        response = session.get(server.url)
        assert response.own
        assert response.connection.poolmanager.connection_pool_kw["source_address"] == ("127.0.0.1", 0)


def test_tool_belt_adapters_and_encoders_work(server: Httpd) -> None:
    from requests_toolbelt import MultipartEncoder
    from requests_toolbelt.adapters.host_header_ssl import HostHeaderSSLAdapter
    from requests_toolbelt.adapters.socket_options import TCPKeepAliveAdapter
    from requests_toolbelt.utils import dump

    encoder = MultipartEncoder({"field": "value", "file": ("name", io.BytesIO(b"x" * 1000), "text/plain")})
    with requests.Session() as session:
        session.mount("http://", TCPKeepAliveAdapter(idle=60))
        session.mount("https://", HostHeaderSSLAdapter())
        response = session.post(server.url, data=encoder, headers={"Content-Type": encoder.content_type})
        assert "x" * 1000 in response.json()["body"]
    text = dump.dump_all(response)
    assert b"POST / HTTP/1.1" in text
    assert b"HTTP/1.1 200 OK" in text


def test_a_cache_takes_and_gives_responses(server: Httpd) -> None:
    from cachecontrol import CacheControl

    fields = {"Cache-Control": "max-age=60", "Date": formatdate(usegmt=True)}
    server.routes["/counted"] = lambda request: Response(b"whole", headers=fields)
    server.routes["/chunks"] = lambda request: Response([b"in ", b"chunks"], headers=fields)
    with CacheControl(requests.Session()) as session:
        for path, body in (("/counted", b"whole"), ("/chunks", b"in chunks")):
            first, second = session.get(server.url + path), session.get(server.url + path)
            assert (first.content, second.content) == (body, body)
            assert (first.from_cache, second.from_cache) == (False, True)
        with session.get(server.url + "/chunks?2", stream=True) as response:
            assert b"".join(response.iter_content(4)) == b"in chunks"
        assert session.get(server.url + "/chunks?2").from_cache
    assert [request.target for request in server.requests] == ["/counted", "/chunks", "/chunks?2"]


def test_an_https_proxy_is_verified_by_the_file_that_verify_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """For https URLs; for http ones requests names none, and asks for CERT_NONE, which is not the proxy's."""
    refused = [expect_head(), send(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")]
    authority = certs()
    with ScriptServer(refused, repeat=True, tls=authority.server()) as proxy:
        proxies = dict.fromkeys(("http", "https"), f"https://localhost:{proxy.port}")
        with pytest.raises(requests.exceptions.ProxyError, match="418"):
            requests.get("https://target.example/", proxies=proxies, verify=authority.ca_file)
        with pytest.raises(requests.exceptions.ProxyError, match="SSL_CERT_FILE"):
            requests.get("http://target.example/", proxies=proxies, verify=authority.ca_file)
        monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
        assert requests.get("http://target.example/", proxies=proxies).status_code == 418


@pytest.mark.parametrize("url", ["http://:8080", "https:/x:3128", "http:///x.example:3128"])
def test_a_proxy_without_a_host_is_no_proxy(url: str) -> None:
    with pytest.raises(requests.exceptions.InvalidProxyURL):
        requests.get("http://target.example/", proxies={"http": url})


def test_lengths_that_differ_are_an_invalid_header() -> None:
    answer = send(b"HTTP/1.1 200 OK\r\nContent-Length: 16, 32\r\n\r\n" + b"x" * 16)
    with ScriptServer([expect_request(), answer]) as server, pytest.raises(requests.exceptions.InvalidHeader):
        requests.get(f"http://{server.host}:{server.port}/")


def test_a_session_sends_one_request_where_none_is_repeated() -> None:
    """Its adapters ask for ``Retry(0, read=False)``: also on a kept connection that died unanswered."""
    script = [expect_request(), respond(b"x"), expect_request(), close()]
    with ScriptServer(script) as server, requests.Session() as session:
        url = f"http://{server.host}:{server.port}/"
        assert session.put(url, data="1").text == "x"
        with pytest.raises(requests.ConnectionError) as caught:
            session.put(url, data="2")
        assert isinstance(caught.value.args[0].__context__, ConnectionResetError)
        assert server.opened == 1
