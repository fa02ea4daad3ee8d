"""New Relic's agent, in a process of its own: it wraps with wrapt, and waits for imports where it comes first."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from tests.support.httpd import Httpd, Response

NEW_RELIC = """
import newrelic.agent, newrelic.api.external_trace as external
newrelic.agent.initialize(sys.argv[2])
application = newrelic.agent.register_application(timeout=5)
usual = external.ExternalTrace.__exit__
def seen(self, *words):
    told.append([self.library, self.method])
    return usual(self, *words)
external.ExternalTrace.__exit__ = seen
"""
REQUESTS = """
import requests, urllib3
def ask(url):
    with urllib3.PoolManager() as manager:
        assert manager.request("GET", url + "/a").status == 200
        assert manager.request("POST", url + "/b", body=b"x" * 100_000).status == 200
        assert manager.request("GET", url + "/from").status == 200
    assert requests.get(url + "/gone").status_code == 410
"""
AROUND = "with newrelic.agent.BackgroundTask(application, name='t'):\n    ask(sys.argv[1])\n"
HEAD = "import os, sys\ntold = []\n"
INSTALL = "import poollib\npoollib.install_as_urllib3()\n"
END = "import json, urllib3\nprint(json.dumps([told, urllib3.connectionpool.__name__]), flush=True)\nos._exit(0)\n"


# What it sees of these requests with urllib3 itself, by its wrappers of endheaders, of _make_request and of requests.
SEEN = [
    *(["urllib3", method] for seen in ("GET", "POST", "GET", "GET", "GET") for method in (None, seen)),
    ["requests", None],
    ["requests", None],
]


@pytest.mark.parametrize("parts", [[NEW_RELIC, INSTALL], [INSTALL, NEW_RELIC]], ids=["agent first", "poollib first"])
def test_new_relic_sees_what_it_sees_of_urllib3(server: Httpd, tmp_path: pathlib.Path, parts: list[str]) -> None:
    server.routes["/from"] = lambda request: Response(b"", status=302, headers={"Location": "/to"})
    server.routes["/gone"] = lambda request: Response(b"", status=410)
    settings = tmp_path / "newrelic.ini"
    settings.write_text(f"[newrelic]\nlicense_key = {'0' * 40}\ndeveloper_mode = true\nlog_file = {tmp_path}/log\n")
    words = [sys.executable, "-c", "".join([HEAD, *parts, REQUESTS, AROUND, END]), server.url, str(settings)]
    run = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert run.stdout, run.stderr
    assert json.loads(run.stdout) == [SEEN, "poollib.connectionpool"]
    assert [bool(request.header("traceparent")) for request in server.requests] == [True] * 5
