"""What a small GET costs in a pipeline: CPU of the client against a raw loop, pycurl and urllib3, in one run.

    python -m tests.benchmarks.pipelined [--rounds N] [--python PATH] [--json FILE]

Needs nginx, Linux and, for the peers, urllib3 and pycurl in the Python of ``--python`` (this one's unless it is
given); one that is missing there is left out. Client and server share one core, each run is a process of its own, the
peers take turns, and figures are the least over the rounds. The answer has 12 fields and a body of 42 bytes. ``raw`` is
a loop of request and response on a kept socket with prepared bytes, which checks nothing; ``raw 32`` sends 32 at once.
At ``/id`` each answer has another X-Request-Id: there the form of a head is what is known of the next.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.nginx import find_nginx, free_ports

ROOT = pathlib.Path(__file__).resolve().parents[2]
REQUESTS = 6400
DEPTHS = (8, 16, 32, 64)
PIPELINES = tuple(f"poollib pipeline {depth}" for depth in DEPTHS)
KINDS = ("raw", "raw 32", "pycurl", "urllib3", "poollib", *PIPELINES, "poollib pipeline /id 32")

FIELDS = {
    "X-Request-Id": "7b0c0fd2-5b9f-4f39-8a0c-5d3f1c9a4d11",
    "Cache-Control": "no-cache, private",
    "Vary": "Accept-Encoding",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "ETag": '"33a64df551425fcc"',
}
BODY = '{"ok":true,"items":[1,2,3,4,5,6,7,8,9,10]}'

CONFIG = """
worker_processes 1; daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log warn;
events {{ worker_connections 64; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 3600;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
  scgi_temp_path {dir}/s; default_type application/json;
  server {{ listen 127.0.0.1:{port}; location = /api {{ {fields} return 200 '{body}'; }}
           location = /id {{ {ids} return 200 '{body}'; }} }}
}}
"""

#: Each prints the seconds of processor time per GET.
CLIENT = """
import sys, time
kind, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
depth = int(kind.split()[-1]) if " " in kind else 1

def raw():
    import socket
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b"GET /api HTTP/1.1\\r\\nHost: localhost\\r\\nAccept-Encoding: identity\\r\\n\\r\\n" * depth
    def op(n):
        for _ in range(n // depth):
            sock.sendall(request)
            left = depth
            while left:
                left -= sock.recv(65536).count(b"HTTP/1.1 200")
    return op

def curl():
    import io, pycurl
    handle = pycurl.Curl()
    handle.setopt(handle.NOSIGNAL, 1)
    def op(n):
        for _ in range(n):
            out = io.BytesIO()
            handle.setopt(handle.URL, f"http://127.0.0.1:{port}/api")
            handle.setopt(handle.WRITEDATA, out)
            handle.perform()
            assert handle.getinfo(handle.RESPONSE_CODE) == 200 and len(out.getvalue()) == 42
    return op

def library(module):
    pool = module.HTTPConnectionPool("127.0.0.1", port)
    def op(n):
        for _ in range(n):
            response = pool.urlopen("GET", "/api")
            assert response.status == 200 and len(response.data) == 42
    return op

def pipeline():
    import poollib
    path = "/id" if "/id" in kind else "/api"
    pool = poollib.HTTPConnectionPool("127.0.0.1", port)
    def op(n):
        for response in pool.pipeline((path for _ in range(n)), depth=depth):
            assert response.status == 200 and len(response.data) == 42
    return op

if kind.startswith("raw"):
    op = raw()
elif kind == "pycurl":
    op = curl()
elif kind.startswith("poollib pipeline"):
    op = pipeline()
else:
    op = library(__import__(kind))
op(640)
least = 1.0
for _ in range(5):
    begin = time.process_time()
    op(count // 5)
    least = min(least, (time.process_time() - begin) / (count // 5))
print(least)
"""


@contextmanager
def served() -> Iterator[int]:
    """The port of an nginx that runs meanwhile."""
    program = find_nginx()
    if program is None:
        raise SystemExit("nginx is not installed")
    with tempfile.TemporaryDirectory() as folder:
        (port,) = free_ports(1)
        fields = " ".join(f"add_header {name} '{value}';" for name, value in FIELDS.items())
        ids = fields.replace(FIELDS["X-Request-Id"], "$request_id")
        config = pathlib.Path(folder, "nginx.conf")
        config.write_text(CONFIG.format(dir=folder, port=port, fields=fields, ids=ids, body=BODY))
        server = subprocess.Popen([program, "-p", folder, "-c", os.fspath(config), "-e", f"{folder}/error.log"])
        try:
            _wait_for(port)
            yield port
        finally:
            server.terminate()
            server.wait(10)


def _wait_for(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def measured(kind: str, port: int, python: str) -> float | None:
    """Microseconds of processor time per GET; None where the library is not installed."""
    words = [python, "-c", CLIENT, kind, str(port), str(REQUESTS)]
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise SystemExit(f"{kind}: {done.stderr}")
    return float(done.stdout) * 1e6


def main() -> int:
    options = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--python", default=sys.executable)
    options.add_argument("--json", type=pathlib.Path)
    chosen = options.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    figures: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with served() as port:
        for turn in range(chosen.rounds):
            for i in range(len(KINDS)):
                kind = KINDS[(i + turn) % len(KINDS)]
                if (figure := measured(kind, port, chosen.python)) is not None:
                    figures[kind].append(figure)
    least = {kind: min(values) for kind, values in figures.items() if values}
    print(f"{'':24}{'us/GET':>8}{'of raw':>8}{'of pycurl':>11}{'of urllib3':>12}")
    for kind, figure in least.items():
        ratios = [f"{figure / least[peer]:.3f}" if peer in least else "-" for peer in ("raw", "pycurl", "urllib3")]
        print(f"{kind:24}{figure:8.1f}{ratios[0]:>8}{ratios[1]:>11}{ratios[2]:>12}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
