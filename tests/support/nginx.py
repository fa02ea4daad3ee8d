"""nginx on loopback, with a configuration, ports and a folder of its own.

It hands a test the addresses of four servers (plain, TLS, TLS that demands a client certificate, and plain that closes
after every response) and, from nginx's own access log, which connection served which request. Certificates are the
caller's. Where nginx is not installed, `find_nginx` returns None and a test says so in its skip reason.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

# How long nginx may take to start, to end, or to write its log.
WAIT_S = 5.0
START_TRIES = 3
WHY_SKIPPED = "nginx is not installed"
BIG_BYTES = 4 << 20
TEXT = b"".join(b"line %d of a text that deflates well\n" % number for number in range(2000))

CONFIG = """
worker_processes 1; daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format lines '$server_port $connection $status $ssl_session_reused $request';
  access_log {folder}/access.log lines;
  default_type application/octet-stream; sendfile on; tcp_nodelay on;
  keepalive_requests {keepalive_requests}; keepalive_timeout {keepalive_timeout_s};
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ssl_certificate {cert_file}; ssl_certificate_key {key_file}; ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:S:1m;
  server {{ listen 127.0.0.1:{plain}; include {folder}/locations; }}
  server {{ listen 127.0.0.1:{tls} ssl; include {folder}/locations; }}
  server {{ listen 127.0.0.1:{mutual} ssl; ssl_client_certificate {client_ca_file}; ssl_verify_client on;
           include {folder}/locations; }}
  server {{ listen 127.0.0.1:{closing}; keepalive_timeout 0; include {folder}/locations; }}
}}
"""
LOCATIONS = """
root {folder}/www;
location = /echo {{ return 200 "$request_method $arg_n $http_x_token"; }}
location = /subject {{ return 200 "$ssl_client_s_dn"; }}
location = /redirect {{ return 302 /echo?$args; }}
location = /unavailable {{ add_header Retry-After 0 always; return 503 "later"; }}
location = /empty {{ return 204; }}
location = /text.txt {{ gzip on; gzip_types text/plain; gzip_min_length 1; types {{ text/plain txt; }} }}
location = /ready.gz {{ add_header Content-Encoding gzip; }}
"""


@dataclass(frozen=True)
class Served:
    """One line of the access log."""

    port: int
    # nginx's serial number of the connection.
    connection: int
    status: int
    resumed: bool
    request: str


def find_nginx() -> str | None:
    """The program's path; None where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")


class Nginx:
    """A context manager; `folder` is an empty directory that the caller removes.

    `cert_file` (with its chain) and `key_file` are the TLS servers' own; `client_ca_file` is whom the `mutual` one
    trusts to have signed a client's certificate.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        cert_file: str | os.PathLike[str],
        key_file: str | os.PathLike[str],
        client_ca_file: str | os.PathLike[str],
        keepalive_requests: int = 1_000_000,
        keepalive_timeout_s: int = 60,
    ) -> None:
        self.folder = folder
        self._settings = {
            "folder": folder,
            "cert_file": os.fspath(cert_file),
            "key_file": os.fspath(key_file),
            "client_ca_file": os.fspath(client_ca_file),
            "keepalive_requests": keepalive_requests,
            "keepalive_timeout_s": keepalive_timeout_s,
        }
        self.plain = self.tls = self.mutual = self.closing = 0

    def __enter__(self) -> Nginx:
        self._write_files()
        for _ in range(START_TRIES):
            self._write_config()
            self._start()
            if self._is_ready():
                return self
            self._stop()
        raise RuntimeError("nginx did not start: " + (self.folder / "error.log").read_text())

    def __exit__(self, *_: object) -> None:
        self._stop()

    def url(self, port: int) -> str:
        """Scheme, host and port of the server at `port`, without a slash at the end."""
        return f"{'https' if port in (self.tls, self.mutual) else 'http'}://127.0.0.1:{port}"

    def served(self, port: int, count: int, skip: int = 0) -> list[Served]:
        """The requests at `port` from the log, once there are `count` of them after the first `skip`."""
        end = time.monotonic() + WAIT_S
        while len(rows := [row for row in self._log() if row.port == port]) < skip + count:
            if time.monotonic() > end:
                raise AssertionError(f"{len(rows) - skip} requests in nginx's log, {count} expected")
            time.sleep(0.005)
        return rows[skip:]

    def count(self, port: int) -> int:
        """How many requests at `port` the log has now."""
        return sum(row.port == port for row in self._log())

    def _log(self) -> Iterator[Served]:
        path = self.folder / "access.log"
        for line in path.read_text().splitlines() if path.exists() else ():
            with contextlib.suppress(ValueError):
                port, connection, status, resumed, request = line.split(" ", 4)
                yield Served(int(port), int(connection), int(status), resumed == "r", request)

    def _write_files(self) -> None:
        www = self.folder / "www"
        www.mkdir()
        (www / "text.txt").write_bytes(TEXT)
        (www / "ready.gz").write_bytes(gzip.compress(TEXT))
        (www / "big").write_bytes(bytes(range(256)) * (BIG_BYTES // 256))
        (self.folder / "locations").write_text(LOCATIONS.format(folder=self.folder))

    def _write_config(self) -> None:
        self.plain, self.tls, self.mutual, self.closing = free_ports(4)
        ports = {"plain": self.plain, "tls": self.tls, "mutual": self.mutual, "closing": self.closing}
        (self.folder / "nginx.conf").write_text(CONFIG.format(**self._settings, **ports))

    def _start(self) -> None:
        program = find_nginx()
        assert program is not None, WHY_SKIPPED
        folder = os.fspath(self.folder)
        command = [program, "-p", folder, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _is_ready(self) -> bool:
        """Whether all four servers answer in time; False as soon as nginx ended (a port was taken meanwhile)."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.closing), timeout=1).close()
                return True
            except OSError:
                time.sleep(0.005)
        return False

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_ports(count: int) -> list[int]:
    """Different ports that are free on loopback now."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]
