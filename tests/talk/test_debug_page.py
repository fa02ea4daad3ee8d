"""The debug page shows what happened, to people and as JSON, and nothing that is nobody's business."""

from __future__ import annotations

import gc
import html
import io
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import pytest

import poollib
from poollib.metrics import debug_page
from poollib.metrics.page import Application
from poollib.metrics.page_html import CONTENT_POLICY, MOST_ROWS, duration, plot, render, table
from tests.support.httpd import Httpd, Response

CHROMIUM = shutil.which("chromium")


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd({"/busy": lambda _: Response(b"", 503)}) as server:
        yield server


@pytest.fixture
def manager() -> Iterator[poollib.PoolManager]:
    with poollib.PoolManager(retries=False, maxsize=4, circuit_breaker=True) as manager:
        yield manager


def get(application: Application, path: str = "/", method: str = "GET") -> tuple[str, dict[str, str], str]:
    """Status, header fields and body, through wsgiref's checker of what the WSGI standard wants."""
    told: list[tuple[str, dict[str, str]]] = []
    environ: dict[str, object] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "/internal",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    chunks = validator(application)(environ, lambda status, fields, _=None: told.append((status, dict(fields))))  # type: ignore[arg-type]
    try:
        body = b"".join(chunks).decode()
    finally:
        chunks.close()  # type: ignore[attr-defined]
    ((status, fields),) = told
    return status, fields, body


def view(application: Application) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(get(application, "/stats.json")[2])
    return found


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_pools_connections_and_errors_are_shown(server: Httpd, manager: poollib.PoolManager) -> None:
    page = debug_page(manager)
    url = f"http://127.0.0.1:{server.port}"
    for _ in range(3):
        manager.request("GET", f"{url}/")
    held = manager.request("GET", f"{url}/", preload_content=False)
    port = closed_port()
    with pytest.raises(poollib.exceptions.NewConnectionError):
        manager.request("GET", f"http://127.0.0.1:{port}/")
    found = view(page)
    assert [pool["name"] for pool in found["pools"]] == sorted([url, f"http://127.0.0.1:{port}"])
    (pool,) = (pool for pool in found["pools"] if pool["name"] == url)
    assert (pool["active"], pool["idle"], pool["maxsize"], pool["requests"]) == (1, 0, 4, 4)
    assert pool["circuit"] == "closed"
    (connection,) = found["connections"]
    assert (connection["pool"], connection["state"], connection["leases"]) == (url, "active", 4)
    (error,) = found["errors"]
    assert (error["kind"], error["error"], error["method"]) == ("connect", "NewConnectionError", "GET")
    held.drain_conn()
    (connection,) = view(page)["connections"]
    assert connection["state"] == "idle"
    text = get(page)[2]
    assert url in text
    assert "NewConnectionError" in text
    assert text.count("<svg") == 3


def cells_of(text: str, pool: str) -> dict[str, str]:
    """The cells of a pool's row, by their columns, as a browser would read them."""
    (row,) = (row for row in text.split("<h2>Connections</h2>")[0].split("<tr>") if f">{pool}<" in row)
    found = re.findall(r'<td data-name="([^"]*)"[^>]*>(.*?)</td>', row)
    return {name: html.unescape(re.sub("<[^>]*>", "", cell)) for name, cell in found}


def test_waits_for_a_turn_and_refusals_are_shown(server: Httpd) -> None:
    limit, url = poollib.RateLimit(1000), f"http://127.0.0.1:{server.port}"
    with poollib.PoolManager(block=True, max_waiting=0, rate=limit) as manager:
        page = debug_page(manager)
        limit.take("127.0.0.1", time.monotonic() + 0.05)
        with manager.request("GET", url, preload_content=False):
            for _ in range(2):
                with pytest.raises(poollib.exceptions.TooManyWaitingError):
                    manager.request("GET", url)
        stats = manager.stats()["total"]
        (pool,) = view(page)["pools"]
        cells = cells_of(get(page)[2], url)
    assert (pool["refused"], pool["rate_waiting"], pool["rate_waited"]) == (2, 0, stats["rate_waited"])
    assert stats["rate_waited"] >= 1
    assert pool["rate_wait_s"] == stats["rate_wait_s"] > 0
    waits = f"{stats['rate_waited']} ({duration(stats['rate_wait_s'])})"
    assert (cells["refused"], cells["rate waits"]) == ("2", waits)


def test_a_pool_without_a_rate_says_so(server: Httpd, manager: poollib.PoolManager) -> None:
    page = debug_page(manager)
    manager.request("GET", f"http://127.0.0.1:{server.port}/")
    (pool,) = view(page)["pools"]
    assert (pool["refused"], pool["rate_waiting"], pool["rate_waited"], pool["rate_wait_s"]) == (0, None, None, None)
    cells = cells_of(get(page)[2], f"http://127.0.0.1:{server.port}")
    assert (cells["refused"], cells["rate waits"]) == ("0", "no rate")


def test_whatever_a_view_holds_is_escaped() -> None:
    """Every text and every figure of a pool, though none should hold any markup."""
    markup = "<b>&\"'"
    texts = dict.fromkeys(("name", "state", "circuit", "maxsize"), markup)
    numbers = ("idle", "active", "opening", "waiting", "requests", "errors", "failures")
    rate = {"rate_waiting": markup, "rate_waited": markup, "rate_wait_s": 1.0}
    pool = {**texts, **dict.fromkeys(numbers, 0), **rate, "timeouts": markup, "refused": markup}
    shown: Any = {"status": markup, "pools": [pool], "connections": [], "errors": [], "seconds": []}
    text = render(shown, markup, 0, markup)
    assert "<b>&" not in text
    assert text.split("<h2>Pools</h2>")[1].count("&lt;b&gt;&amp;&quot;&#x27;") == 9  # of state and circuit twice


def test_a_closed_connection_is_shown_no_more(server: Httpd, manager: poollib.PoolManager) -> None:
    page = debug_page(manager)
    manager.request("GET", f"http://127.0.0.1:{server.port}/")
    manager.clear()
    assert view(page)["connections"] == []


def test_rates_are_kept_by_the_second(
    server: Httpd, manager: poollib.PoolManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = debug_page(manager)
    now = [1000.5]
    monkeypatch.setattr("poollib.metrics.page_records.time.monotonic", lambda: now[0])
    for _ in range(3):
        manager.request("GET", f"http://127.0.0.1:{server.port}/")
    now[0] = 1001.5
    seconds = view(page)["seconds"]
    assert len(seconds) == 120
    assert [second["requests"] for second in seconds[-2:]] == [0, 3]
    now[0] = 2000.0
    assert {second["requests"] for second in view(page)["seconds"]} == {0}


def test_no_secret_and_no_tag_gets_in(server: Httpd, manager: poollib.PoolManager) -> None:
    """Paths, queries, users, fields and the texts of errors stay out; the title and the place are escaped."""
    page = debug_page(manager, title="<script>alert(1)</script>")
    secret, port = "tops3cret", closed_port()
    for base in (f"127.0.0.1:{server.port}", f"127.0.0.1:{port}"):
        url = f"http://{secret}:{secret}@{base}/{secret}?key={secret}"
        with suppress(poollib.exceptions.NewConnectionError):
            manager.request(f"X{secret}", url, headers={"Authorization": f"Bearer {secret}"})
    assert len(view(page)["errors"]) == 1
    for path in ("/", "/stats.json"):
        assert secret not in get(page, path)[2].lower()
    assert "<script" not in get(page)[2]


def test_a_pool_with_markup_for_a_host_is_escaped() -> None:
    assert table(["a"], [["<b>&\"'"]]).count("&lt;b&gt;&amp;&quot;&#x27;") == 1


def test_the_page_is_whole_html_and_its_style_is_the_only_thing_it_may_load(manager: poollib.PoolManager) -> None:
    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "img", "link", "iframe")
            assert not any(name.startswith("on") or name == "style" for name, _ in attrs)
            if tag not in ("meta", "polygon", "polyline"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag in ("polygon", "polyline")

    page = debug_page(manager)
    with pytest.raises(poollib.exceptions.NewConnectionError):
        manager.request("GET", f"http://127.0.0.1:{closed_port()}/")
    status, fields, body = get(page)
    tags = Tags()
    tags.feed(body)
    tags.close()
    assert tags.open == []
    assert status == "200 OK"
    assert fields["Content-Security-Policy"] == CONTENT_POLICY
    assert fields["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "method", "status", "kind"),
    [
        ("", "GET", "200 OK", "text/html; charset=utf-8"),
        ("/", "GET", "200 OK", "text/html; charset=utf-8"),
        ("/", "HEAD", "200 OK", "text/html; charset=utf-8"),
        ("/stats.json", "GET", "200 OK", "application/json"),
        ("/else", "GET", "404 Not Found", "text/plain; charset=utf-8"),
        ("/", "POST", "405 Method Not Allowed", "text/plain; charset=utf-8"),
    ],
)
def test_what_is_where(path: str, method: str, status: str, kind: str, manager: poollib.PoolManager) -> None:
    told, fields, body = get(debug_page(manager), path, method)
    assert (told, fields["Content-Type"]) == (status, kind)
    assert (body == "") == (method == "HEAD")
    assert ("Allow" in fields) == (status[:3] == "405")


def test_the_page_asks_for_itself_as_often_as_wanted(manager: poollib.PoolManager) -> None:
    assert '<meta http-equiv="refresh" content="2.5">' in get(debug_page(manager, refresh_s=2.5))[2]
    assert "http-equiv" not in get(debug_page(manager, refresh_s=0))[2]
    with pytest.raises(ValueError, match="refresh_s must be a number of seconds, 0 or more, not -1"):
        debug_page(manager, refresh_s=-1)
    assert 'href="/internal/stats.json"' in get(debug_page(manager))[2]


def test_a_manager_that_is_gone_is_shown_as_nothing() -> None:
    page = debug_page(poollib.PoolManager())
    gc.collect()
    assert view(page)["pools"] == []


def test_what_the_page_says_of_times_and_long_tables() -> None:
    assert [duration(s) for s in (0.254, 12, 180, 7300)] == ["0.25 s", "12 s", "3 min", "2 h"]
    assert "and 5 more" in table(["n"], [[n] for n in range(MOST_ROWS + 5)])
    assert "none" in table(["n"], [])
    assert "at most 0" in plot("x", [], "#000")
    assert 'points="0.0,58.0 240.0,2.0"' in plot("x", [0.0, 7.0], "#000")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it(width: int, tmp_path: Path, server: Httpd, manager: poollib.PoolManager) -> None:
    """Chromium draws the page whole: a screenshot of that width, and no message of a refused style or load."""
    assert CHROMIUM is not None
    page = debug_page(manager, title="orders-service", refresh_s=0)
    for path in ("/", "/", "/busy"):
        manager.request("GET", f"http://127.0.0.1:{server.port}{path}")
    with pytest.raises(poollib.exceptions.NewConnectionError):
        manager.request("GET", f"http://127.0.0.1:{closed_port()}/")
    picture = tmp_path / "page.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars"]
    where = [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1400", f"--screenshot={picture}"]
    with make_server("127.0.0.1", 0, page, handler_class=Quiet) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            url = f"http://127.0.0.1:{web.server_port}/"
            told = subprocess.run([CHROMIUM, *options, *where, url], capture_output=True, text=True, timeout=120)
        finally:
            web.shutdown()
            thread.join(10)
    assert told.returncode == 0, told.stderr
    assert "Refused to" not in told.stderr
    assert "CONSOLE" not in told.stderr
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (width, 1400)
