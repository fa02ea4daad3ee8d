"""gevent patched after the import, as programs do that import first: what urllib3 bears, poollib bears."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("gevent")

#: Six greenlets share two connections, so that four of them wait; a collector looks after the idle ones.
PROGRAM = """
import poollib
poollib.PoolManager, poollib.HTTPConnectionPool
from gevent import monkey
monkey.patch_all()
import http.server, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        time.sleep(0.02)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
manager = poollib.PoolManager(maxsize=2, block=True, background_collector=True, idle_timeout=0.02)
answers = []
def ask():
    answers.append(manager.request("GET", f"http://127.0.0.1:{server.server_port}/", timeout=5).data)
askers = [threading.Thread(target=ask) for _ in range(6)]
for asker in askers:
    asker.start()
for asker in askers:
    asker.join(5)
pool = manager.connection_from_host("127.0.0.1", server.server_port)
for _ in range(500):
    if not pool.stats()["idle"]:
        break
    time.sleep(0.01)
print(len(answers), set(answers), pool.stats()["idle"], pool.stats()["waited"] > 0)
"""


def test_greenlets_share_connections_and_the_collector_is_one_of_them() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=30, text=True)
    assert done.stdout == "6 {b'ok'} 0 True\n", done.stderr
