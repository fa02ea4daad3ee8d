"""locust, whose users are greenlets: it patches the standard library when imported, so it has its own process."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import threading

import pytest
import urllib3.connectionpool

from tests.compat.both.answers import as_json, in_turn
from tests.support.httpd import Httpd, Request, Response

#: The tests' own urllib3 is the program's, too.
PYTHON = [sys.executable, *(["-m", "poollib", "as-urllib3"] if "poollib" in urllib3.connectionpool.__file__ else [])]

PROGRAM = """
import json, sys
import locust, locust.env
from locust.clients import HttpSession
import gevent, urllib3.connectionpool

class User(locust.HttpUser):
    host = sys.argv[1]
    wait_time = locust.constant(0)
    done = 0

    @locust.task
    def all(self):
        self.client.get("/plain?n=1", name="/plain")
        self.client.post("/form", data={"a": "b"}, files={"f": ("n", b"content")})
        self.client.get("/none")
        with self.client.get("/broken", catch_response=True) as answer:
            answer.success() if answer.status_code == 500 else answer.failure("?")
        with self.client.get("/stream", stream=True, catch_response=True) as answer:
            if b"".join(answer.iter_content(3)) != b"abcdef":
                answer.failure("cut")
        self.client.get("/drop")
        self.client.get("/slow", timeout=(10, 0.2))
        self.client.get("http://127.0.0.1:9/refused")
        User.done += 1
        self.stop()

environment = locust.env.Environment(user_classes=[User])
runner = environment.create_local_runner()
runner.start(6, spawn_rate=100)
with gevent.Timeout(60):
    while User.done < 6:
        gevent.sleep(0.01)
runner.quit()
told = {entry.name: [entry.num_requests, entry.num_failures] for entry in environment.stats.entries.values()}
errors = {error.name: str(error.error) for error in environment.stats.errors.values()}
print(json.dumps([told, errors, urllib3.connectionpool.__file__]))
"""


def drop(request: Request) -> Response:
    raise ConnectionError("the server fails")


def test_locust_counts_answers_and_failures(server: Httpd, tmp_path: pathlib.Path) -> None:
    let_go = threading.Event()

    def slow(request: Request) -> Response:
        let_go.wait(50)
        return Response(b"")

    server.routes["/none"] = in_turn(as_json({}, 404))
    server.routes["/broken"] = in_turn(Response(b"", 500))
    server.routes["/stream"] = lambda request: Response([b"abc", b"def"])
    server.routes.update({"/drop": drop, "/slow": slow})
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    try:
        done = subprocess.run([*PYTHON, program, server.url], capture_output=True, timeout=100, text=True)
    finally:
        let_go.set()
    told, errors, file = json.loads(done.stdout.splitlines()[-1]) if done.stdout else pytest.fail(done.stderr[-3000:])
    assert ("poollib" in file) == (len(PYTHON) > 1)
    names = ("/plain", "/form", "/none", "/broken", "/stream", "/drop", "/slow", "/refused")
    assert told == {name: [6, 6 if name in ("/none", "/drop", "/slow", "/refused") else 0] for name in names}
    assert errors["/none"] == "404 Client Error: Other for url: /none"
    assert errors["/drop"] == "Remote end closed connection without response"
    assert errors["/slow"].endswith("Read timed out. (read timeout=0.2)")
    assert "Connection refused" in errors["/refused"]
    assert sum(b'filename="n"' in request.body for request in server.requests) == 6
