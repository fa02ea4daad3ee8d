"""Clients of services: kubernetes, elastic-transport, minio, docker by a Unix socket, selenium, google-auth."""

from __future__ import annotations

import json
import pathlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

import poollib
from tests.support.certs import Certs
from tests.support.httpd import Httpd, Request, Response


def as_json(value: Any, status: int = 200, **headers: str) -> Response:
    return Response(json.dumps(value).encode(), status=status, headers={"Content-Type": "application/json", **headers})


@pytest.fixture
def tls_server(authority: Certs) -> Iterator[Httpd]:
    """A server that asks for a client certificate, and takes those of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.pair("localhost", "127.0.0.1")
    context.load_cert_chain(pair.cert_file, pair.key_file)
    context.load_verify_locations(authority.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    with Httpd(tls=context) as httpd:
        yield httpd


# -- kubernetes --


def test_kubernetes_lists_watches_and_patches(tls_server: Httpd, authority: Certs) -> None:
    import kubernetes.client
    import kubernetes.watch

    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "resourceVersion": "1"}}
    events = [json.dumps({"type": kind, "object": pod}).encode() + b"\n" for kind in ("ADDED", "MODIFIED", "DELETED")]

    def pods(request: Request) -> Response:
        if "watch" in request.query:
            return Response([events[0][:10], events[0][10:] + events[1], events[2]])
        if request.method == "POST":
            return as_json(json.loads(request.body), 201)
        return as_json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod]})

    tls_server.routes["/api/v1/namespaces/n/pods"] = pods
    tls_server.routes["/api/v1/namespaces/n/pods/p"] = lambda request: (
        as_json({"kind": "Status", "reason": "NotFound"}, 404)
        if request.method == "GET"
        else as_json({**pod, "metadata": {"name": request.header("Content-Type")}})
    )
    configuration = kubernetes.client.Configuration(host=tls_server.url)
    configuration.ssl_ca_cert = authority.ca_file
    configuration.cert_file, configuration.key_file = authority.client().cert_file, authority.client().key_file
    with kubernetes.client.ApiClient(configuration) as client:
        assert type(client.rest_client.pool_manager) is poollib.PoolManager
        core = kubernetes.client.CoreV1Api(client)
        assert [item.metadata.name for item in core.list_namespaced_pod("n").items] == ["p"]
        made = core.create_namespaced_pod("n", {"metadata": {"name": "new"}})
        assert made.metadata.name == "new"
        patched = core.patch_namespaced_pod("p", "n", {"metadata": {}})
        assert "patch" in patched.metadata.name
        with pytest.raises(kubernetes.client.ApiException) as caught:
            core.read_namespaced_pod("p", "n")
        assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (404, "NotFound")
        watch = kubernetes.watch.Watch()
        kinds = [event["type"] for event in watch.stream(core.list_namespaced_pod, "n", timeout_seconds=1)][:3]
        assert kinds == ["ADDED", "MODIFIED", "DELETED"]


# -- elastic-transport --


def test_elastic_transport_performs_requests(tls_server: Httpd, authority: Certs) -> None:
    import elastic_transport

    tls_server.routes["/_search"] = lambda request: as_json({"hits": json.loads(request.body or b"{}")})
    config = elastic_transport.NodeConfig(
        "https", "127.0.0.1", tls_server.port, ca_certs=authority.ca_file,
        client_cert=authority.client().cert_file, client_key=authority.client().key_file,
    )  # fmt: skip
    fields = {"content-type": "application/json", "accept": "application/json"}
    transport = elastic_transport.Transport([config])
    for _ in range(3):
        answer = transport.perform_request("POST", "/_search", body={"q": 1}, headers=fields)
        assert (answer.meta.status, answer.body) == (200, {"hits": {"q": 1}})
    transport.close()
    assert tls_server.opened == 1


def test_elastic_transport_performs_requests_by_requests(server: Httpd) -> None:
    import elastic_transport

    server.routes["/_search"] = lambda request: as_json({"hits": 1})
    config = elastic_transport.NodeConfig("http", "127.0.0.1", server.port, http_compress=True)
    transport = elastic_transport.Transport([config], node_class="requests")
    assert transport.perform_request("GET", "/_search", headers={"accept": "application/json"}).body == {"hits": 1}
    transport.close()


def test_elastic_transport_pins_a_certificate(authority: Certs) -> None:
    import hashlib

    import elastic_transport

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.pair("localhost", "127.0.0.1")
    context.load_cert_chain(pair.cert_file, pair.key_file)
    with Httpd(tls=context) as server:
        for pin, error in ((hashlib.sha256(pair.der).hexdigest(), None), ("0" * 64, elastic_transport.TlsError)):
            config = elastic_transport.NodeConfig("https", "localhost", server.port, ssl_assert_fingerprint=pin)
            node = elastic_transport.Urllib3HttpNode(config)
            if error is None:
                assert node.perform_request("GET", "/").meta.status == 200
            else:
                with pytest.raises(error):
                    node.perform_request("GET", "/")
            node.close()


# -- minio --


def test_minio_puts_gets_and_lists(server: Httpd) -> None:
    import io

    import minio

    stored: dict[str, bytes] = {}

    def bucket(request: Request) -> Response:
        if "location" in request.target:
            return Response(b"<LocationConstraint>us-east-1</LocationConstraint>")
        if request.method == "HEAD":
            return Response(b"")
        items = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(value)}</Size><ETag>e</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, value in stored.items()
        )
        xml = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><IsTruncated>false</IsTruncated>'
        return Response(f"{xml}{items}</ListBucketResult>".encode())

    def item(request: Request) -> Response:
        if request.method == "PUT":
            stored["k"] = request.body
            return Response(b"", headers={"ETag": '"e"'})
        if "k" not in stored:
            return Response(b"<Error><Code>NoSuchKey</Code></Error>", status=404)
        return Response(stored["k"], headers={"ETag": '"e"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"})

    server.routes["/bucket"] = server.routes["/bucket/"] = bucket
    server.routes["/bucket/k"] = item
    pool = urllib3.PoolManager(retries=urllib3.Retry(total=0), timeout=urllib3.Timeout(5))
    client = minio.Minio(
        endpoint=f"127.0.0.1:{server.port}", access_key="a", secret_key="s", secure=False, http_client=pool
    )
    assert client.bucket_exists(bucket_name="bucket")
    client.put_object(bucket_name="bucket", object_name="k", data=io.BytesIO(b"content"), length=7)
    answer = client.get_object(bucket_name="bucket", object_name="k")
    try:
        assert answer.read() == b"content"
    finally:
        answer.close()
        answer.release_conn()
    assert [found.object_name for found in client.list_objects(bucket_name="bucket")] == ["k"]
    assert server.opened == 1


# -- docker --


class Engine:
    """What a container engine answers on its Unix socket; connections that attach are taken over."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.paths: list[str] = []

    def __enter__(self) -> Engine:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as file:
            while line := file.readline():
                method, target, _ = line.decode().split()
                fields = {}
                while (field := file.readline().strip()) != b"":
                    name, _, value = field.decode().partition(":")
                    fields[name.lower()] = value.strip()
                file.read(int(fields.get("content-length", 0)))
                self.paths.append(f"{method} {target}")
                self._answer(sock, target.partition("?")[0])

    def _answer(self, sock: socket.socket, path: str) -> None:
        _, _, path = path.removeprefix("/").partition("/")
        frames = b"".join(
            struct.pack(">BxxxL", stream, len(text)) + text for stream, text in ((1, b"out\n"), (2, b"err\n"))
        )
        if path == "containers/c/attach" or path == "exec/e/start":
            sock.sendall(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            sock.sendall(frames)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(100):
                pass
        elif path == "containers/c/logs":
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (frames[:5], frames[5:]):
                sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")
        elif path == "events" or path == "images/create":
            lines = b'{"status": "start", "n": 1}\r\n{"status": "stop", "n": 2}\r\n'
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (lines[:12], lines[12:]):
                sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")
        else:
            answers = {
                "version": {"ApiVersion": "1.44", "Version": "27.0"},
                "containers/json": [{"Id": "c" * 64, "Names": ["/c"]}],
                "containers/c/json": {"Id": "c", "Config": {"Tty": False, "OpenStdin": True}, "State": {}},
                "containers/c/exec": {"Id": "e"},
                "exec/e/json": {"Id": "e", "ProcessConfig": {"tty": False}},
            }
            known = path in answers or path == "version"
            body = json.dumps(answers.get(path, {"message": "no such thing"})).encode()
            status = b"200 OK" if known else b"404 Not Found"
            head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
            sock.sendall(head + body)


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Iterator[Engine]:
    with Engine(tmp_path / "docker.sock") as running:
        yield running


def test_docker_speaks_over_a_unix_socket(engine: Engine) -> None:
    import docker
    import docker.errors

    client = docker.APIClient(base_url=f"unix://{engine.path}", version="1.44", timeout=5)
    assert client.version()["Version"] == "27.0"
    assert client.containers()[0]["Names"] == ["/c"]
    with pytest.raises(docker.errors.NotFound, match="no such thing"):
        client.inspect_container("none")
    assert client.logs("c") == b"out\nerr\n"
    assert list(client.logs("c", stream=True)) == [b"out\n", b"err\n"]
    assert [event["n"] for event in client.events(decode=True)] == [1, 2]
    assert [line["status"] for line in client.pull("x", stream=True, decode=True)] == ["start", "stop"]
    client.close()


def test_docker_takes_attached_sockets_over(engine: Engine) -> None:
    import docker

    client = docker.APIClient(base_url=f"unix://{engine.path}", version="1.44", timeout=5)
    assert list(client.attach("c", stream=True, logs=True)) == [b"out\n", b"err\n"]
    made = client.exec_create("c", "ls")
    assert client.exec_start(made["Id"], demux=True) == (b"out\n", b"err\n")
    taken = client.attach_socket("c", params={"stdin": 1, "stream": 1})
    taken._sock.settimeout(5)
    taken._sock.sendall(b"input")
    received = b""
    while piece := taken.read(100):
        received += piece
    assert received.endswith(b"err\n")
    taken.close()
    client.close()


# -- selenium --


def test_selenium_drives_a_remote_browser(server: Httpd) -> None:
    from selenium import webdriver
    from selenium.webdriver.remote.client_config import ClientConfig
    from selenium.webdriver.remote.remote_connection import RemoteConnection

    def answer(value: Callable[[Request], Any]) -> Callable[[Request], Response]:
        return lambda request: as_json({"value": value(request)}, **{"Cache-Control": "no-cache"})

    server.routes["/session"] = answer(lambda request: {"sessionId": "s", "capabilities": {"browserName": "firefox"}})
    server.routes["/session/s/url"] = answer(
        lambda request: json.loads(request.body)["url"] and None if request.method == "POST" else "http://page.test/"
    )
    server.routes["/session/s/title"] = answer(lambda request: "Title")
    server.routes["/session/s"] = answer(lambda request: None)
    connection = RemoteConnection(client_config=ClientConfig(remote_server_addr=server.url, keep_alive=True))
    assert type(connection._conn) is poollib.PoolManager
    driver = webdriver.Remote(command_executor=connection, options=webdriver.FirefoxOptions())
    driver.get("http://page.test/")
    assert (driver.title, driver.current_url) == ("Title", "http://page.test/")
    driver.quit()
    assert [request.method for request in server.requests] == ["POST", "POST", "GET", "GET", "DELETE"]
    assert server.opened == 1


# -- google-auth --


def test_google_auth_signs_and_refreshes(server: Httpd) -> None:
    import google.auth.transport.requests
    import google.auth.transport.urllib3
    import google.oauth2.credentials
    from urllib3._request_methods import RequestMethods

    server.routes["/token"] = lambda request: as_json({"access_token": "new", "expires_in": 3600})
    server.routes["/guarded"] = lambda request: Response(
        b"in", status=200 if request.header("Authorization") == "Bearer new" else 401
    )
    assert isinstance(google.auth.transport.requests.AuthorizedSession, type)
    for _ in range(2):
        credentials = google.oauth2.credentials.Credentials(
            "old", refresh_token="r", token_uri=server.url + "/token", client_id="c", client_secret="s"
        )
        authorized = google.auth.transport.urllib3.AuthorizedHttp(credentials)
        assert isinstance(authorized, RequestMethods)
        assert authorized.request("GET", server.url + "/guarded").status == 200
