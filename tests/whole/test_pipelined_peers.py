"""Pipelines against servers of other makes: nginx, one on h11, and Node; plain and over TLS, from many threads.

Each answers so that a response tells which request it belongs to.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool
from tests.support.certs import certs
from tests.support.nginx import TEXT, WHY_SKIPPED, Nginx, find_nginx

h11 = pytest.importorskip("h11", reason="h11 is not installed")

needs_nginx = pytest.mark.skipif(find_nginx() is None, reason=WHY_SKIPPED)
NODE = shutil.which("node")

NODE_PROGRAM = """
const server = require("http").createServer((request, response) => {
  const answer = () => {
    if (request.url.startsWith("/chunks")) { response.write(request.url); response.end(); }
    else { response.setHeader("Content-Length", request.url.length); response.end(request.url); }
  };
  // Out of pace: every third answer is ready later than the next one.
  if (request.url.endsWith("0")) setTimeout(answer, 5); else answer();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


@contextlib.contextmanager
def node() -> Iterator[int]:
    assert NODE is not None
    with subprocess.Popen([NODE, "-e", NODE_PROGRAM], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline())
        finally:
            server.terminate()


class H11Server:
    """A thread for each connection; each is closed after ``most`` responses, the last of which says so."""

    def __init__(self, most: int = 1000, context: ssl.SSLContext | None = None) -> None:
        self.most, self.context, self.connections = most, context, 0
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> H11Server:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(10)
        with contextlib.suppress(OSError):
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            self._talk(sock)
        sock.close()

    def _talk(self, sock: socket.socket) -> None:
        talk = h11.Connection(h11.SERVER)
        for served in range(1, self.most + 1):
            while (event := talk.next_event()) is h11.NEED_DATA:
                talk.receive_data(sock.recv(65536))
            if not isinstance(event, h11.Request):
                return
            while not isinstance(talk.next_event(), h11.EndOfMessage):
                pass
            body = b"" if event.method == b"HEAD" else event.target
            fields = [("Content-Length", str(len(event.target)))]
            if served == self.most:
                fields.append(("Connection", "close"))
            data = talk.send(h11.Response(status_code=200, headers=fields))
            data += talk.send(h11.Data(body)) + talk.send(h11.EndOfMessage())
            sock.sendall(data)
            if talk.our_state is h11.MUST_CLOSE:
                return
            talk.start_next_cycle()


def targets(count: int, path: str = "/echo?n=") -> list[str]:
    return [f"{path}{n}" for n in range(count)]


@pytest.mark.parametrize("most", [1000, 7, 1])
def test_an_h11_server_answers_every_request_however_soon_it_closes(most: int) -> None:
    with H11Server(most) as server, HTTPConnectionPool("127.0.0.1", server.port, timeout=10) as pool:
        wanted = targets(40)
        assert [response.data.decode() for response in pool.pipeline(wanted)] == wanted
        heads = [("HEAD", target) for target in wanted[:10]]
        assert [response.data for response in pool.pipeline(heads)] == [b""] * 10
    assert server.connections == -(-50 // most)


def test_over_tls() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs().pair().both_file)
    with H11Server(15, context) as server:
        with HTTPSConnectionPool("127.0.0.1", server.port, ca_certs=certs().ca_file, timeout=10) as pool:
            wanted = targets(40)
            assert [response.data.decode() for response in pool.pipeline(wanted, depth=32)] == wanted
    assert server.connections == 3


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
@pytest.mark.parametrize("path", ["/plain?n=", "/chunks?n="])
def test_node_answers_in_order_though_it_is_ready_out_of_order(path: str) -> None:
    with node() as port, HTTPConnectionPool("127.0.0.1", port, timeout=10) as pool:
        wanted = targets(40, path)
        assert [response.data.decode() for response in pool.pipeline(wanted)] == wanted
        assert pool.num_connections == 1


@pytest.fixture
def nginx(tmp_path: pathlib.Path) -> Iterator[Nginx]:
    pair = certs().pair()
    files = {"cert_file": pair.cert_file, "key_file": pair.key_file, "client_ca_file": certs().ca_file}
    with Nginx(tmp_path, keepalive_requests=25, **files) as server:
        yield server


@needs_nginx
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nginx_ends_a_connection_after_so_many_requests_and_all_are_answered_once(scheme: str, nginx: Nginx) -> None:
    """Its last answer says ``Connection: close``, and what was sent behind it is not served: its log has each once."""
    port = nginx.tls if scheme == "https" else nginx.plain
    kind, keywords = (
        (HTTPSConnectionPool, {"ca_certs": certs().ca_file}) if scheme == "https" else (HTTPConnectionPool, {})
    )
    with kind("127.0.0.1", port, timeout=10, **keywords) as pool:
        given = [response.data.decode() for response in pool.pipeline(targets(100))]
    assert given == [f"GET {n} " for n in range(100)]
    rows = nginx.served(port, 100)
    assert [row.request for row in rows] == [f"GET /echo?n={n} HTTP/1.1" for n in range(100)]
    assert len({row.connection for row in rows}) == 4


@needs_nginx
def test_nginx_gives_all_kinds_of_answers_in_one_batch(nginx: Nginx) -> None:
    zipped = {"Accept-Encoding": "gzip"}
    items: list[object] = [
        ("GET", "/text.txt", zipped),
        ("HEAD", "/big"),
        "/empty",
        "/ready.gz",
        "/redirect?n=5",
        "/nowhere",
        "/big",
        "/echo?n=7",
    ]
    with HTTPConnectionPool("127.0.0.1", nginx.plain, timeout=10, maxsize=1, block=True) as pool:
        given = list(pool.pipeline(items))  # type: ignore[arg-type]
    assert [response.status for response in given] == [200, 200, 204, 200, 200, 404, 200, 200]
    assert [given[n].data for n in (0, 1, 2, 3, 4)] == [TEXT, b"", b"", TEXT, b"GET 5 "]
    assert given[7].data == b"GET 7 "


@pytest.mark.slow
def test_pipelines_of_many_threads_share_a_pool() -> None:
    """Eight at a time over three connections, beside single requests: nothing is mixed up, no slot is lost."""
    failures: list[str] = []

    def work(number: int) -> None:
        wanted = targets(60, f"/thread{number}?n=")
        given = [response.data.decode() for response in pool.pipeline(wanted, depth=7, pool_timeout=20)]
        single = pool.urlopen("GET", f"/single{number}", pool_timeout=20).data.decode()
        if given != wanted or single != f"/single{number}":
            failures.append(f"{number}: {given} {single}")

    with H11Server(50) as server:
        with HTTPConnectionPool("127.0.0.1", server.port, maxsize=3, block=True, timeout=10) as pool:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert failures == []
            stats = pool.stats()
            assert (stats["leased"], stats["waiting"]) == (0, 0)
            assert stats["most_leased"] <= 3
