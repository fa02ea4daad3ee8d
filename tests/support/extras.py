"""What each extra is for, shown by a program: `python tests/support/extras.py NAME` where only that extra is installed.

`.ci/package` installs each into an empty environment and runs it there; tests/whole/test_extras.py runs all of them.
"""

from __future__ import annotations

import contextlib
import http.server
import pathlib
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator

PACKED = {
    "/br": (b"\x0b\x02\x80hello\x03", "br"),
    "/zst": (bytes.fromhex("28b52ffd2005290000") + b"hello", "zstd"),
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Tells the Host it was asked for; /br and /zst are packed."""

    def do_GET(self) -> None:
        body, coding = PACKED.get(self.path, (self.headers["Host"].partition(":")[0].encode(), "identity"))
        self.send_response(200)
        self.send_header("Content-Encoding", coding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def http_server() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def body_at(path: str, **keywords: object) -> str:
    import poollib

    with http_server() as port, poollib.PoolManager(**keywords) as manager:  # type: ignore[arg-type]
        return manager.request("GET", path.replace("PORT", str(port))).data.decode()


def brotli() -> None:
    assert body_at("http://127.0.0.1:PORT/br") == "hello"


def zstd() -> None:
    assert body_at("http://127.0.0.1:PORT/zst") == "hello"


def idna() -> None:
    """IDNA 2008, by RFC 5891; the standard library's 2003 would ask fass.test."""
    assert body_at("http://faß.test:PORT/", resolve={"xn--fa-hia.test": ["127.0.0.1"]}) == "xn--fa-hia.test"


def truststore() -> None:
    """It is the context of the package that verifies; a connection to nowhere is enough to have it made."""
    import truststore as package

    import poollib
    from poollib.net.tls import CA_TRUSTSTORE

    asked: list[str | None] = []

    class Context(package.SSLContext):
        def wrap_socket(self, *args: object, **keywords: object) -> object:
            asked.append(str(keywords["server_hostname"]))
            raise OSError("asked")

    package.SSLContext = Context
    with http_server() as port, poollib.PoolManager(ca_certs=CA_TRUSTSTORE, retries=False) as manager:
        with contextlib.suppress(poollib.exceptions.HTTPError):
            manager.request("GET", f"https://localhost:{port}/")
    assert asked == ["localhost"], asked


def socks() -> None:
    """Nothing is installed, and a SOCKS proxy is spoken to: RFC 1928."""
    import poollib

    asked: list[bytes] = []

    def serve(listener: socket.socket, port: int) -> None:
        with listener.accept()[0] as client, socket.create_connection(("127.0.0.1", port)) as server:
            asked.append(client.recv(64))
            client.sendall(b"\x05\x00")
            asked.append(client.recv(64))
            client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            server.sendall(client.recv(4096))
            while data := server.recv(4096):
                client.sendall(data)

    with http_server() as port, socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, port), daemon=True).start()
        url = f"socks5h://127.0.0.1:{listener.getsockname()[1]}"
        with poollib.proxy_from_url(url) as manager:
            assert manager.request("GET", f"http://name.test:{port}/").data == b"name.test"
    assert asked[0][:1] == b"\x05"
    assert b"name.test" in asked[1]


def cli() -> None:
    """rich draws the bar, and trustme makes certificates for the demo."""
    from poollib.cli.progress import RichProgress
    from poollib.demo.pooling_demo import make_certificates

    with tempfile.TemporaryDirectory() as folder:
        assert make_certificates(pathlib.Path(folder))
    progress = RichProgress("a file")
    progress(5, 10)
    progress.close()


def prometheus() -> None:
    import prometheus_client

    import poollib
    from poollib.metrics import prometheus as measured

    with http_server() as port, poollib.PoolManager() as manager:
        measured(manager, name="extra")
        manager.request("GET", f"http://127.0.0.1:{port}/")
        page = prometheus_client.generate_latest().decode()
    assert 'poollib_requests_total{error="",manager="extra",method="GET"' in page, page


def opentelemetry() -> None:
    """The interface alone is installed, which measures nothing: the program chooses what does."""
    import poollib
    from poollib.metrics import opentelemetry as measured

    with http_server() as port, poollib.PoolManager() as manager:
        measured(manager)
        assert manager.request("GET", f"http://127.0.0.1:{port}/").status == 200


PROGRAMS: dict[str, Callable[[], None]] = {
    program.__name__: program for program in (socks, idna, truststore, brotli, zstd, cli, prometheus, opentelemetry)
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]]()
    print(sys.argv[1], "works")
