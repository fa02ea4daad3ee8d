"""gevent patched after the import, as programs do that import first: what urllib3 bears, poollib bears.

And what docs/gevent.rst promises.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tests.support.httpd import Httpd

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


ROOT = pathlib.Path(__file__).parents[2]
PAGE_PROGRAM = ROOT / "docs" / "examples" / "with_gevent.py"


def test_the_pages_program_runs(server: Httpd) -> None:
    command = [sys.executable, str(PAGE_PROGRAM), server.url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, timeout=60, text=True, env=environment)
    assert done.stdout == "200 answers by 10 connections\n", done.stderr


#: One place in the pool. A greenlet dies within its request, one by gevent.Timeout, one while it waits for the place.
KILLED = """
from gevent import monkey
monkey.patch_all()
import gevent, poollib
from gevent.event import Event
from gevent.pywsgi import WSGIServer

asked, go = Event(), Event()
def answer(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        asked.set()
        go.wait()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

server = WSGIServer(("127.0.0.1", 0), answer, log=None)
server.start()
url = f"http://127.0.0.1:{server.server_port}/"
manager = poollib.PoolManager(maxsize=1, block=True, timeout=20)
stats = manager.connection_from_url(url).stats

greenlet = gevent.spawn(manager.request, "GET", url + "slow")
asked.wait()
greenlet.kill()
print(manager.request("GET", url).data)
try:
    with gevent.Timeout(0.05):
        manager.request("GET", url + "slow")
except gevent.Timeout:
    print("timed out")
asked.clear()
greenlet = gevent.spawn(manager.request, "GET", url + "slow")
asked.wait()
waiting = gevent.spawn(manager.request, "GET", url)
while not stats()["waiting"]:
    gevent.sleep(0)
waiting.kill()
go.set()
print(greenlet.get().data, manager.request("GET", url).data)
print({name: stats()[name] for name in ("idle", "leased", "waiting")})
"""


def test_a_killed_greenlet_gives_back_its_place() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, timeout=60, text=True)
    wanted = ["b'ok'", "timed out", "b'ok' b'ok'", "{'idle': 1, 'leased': 0, 'waiting': 0}", ""]
    assert done.stdout.split("\n") == wanted, done.stderr
