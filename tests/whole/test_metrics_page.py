"""docs/metrics.rst and the dashboard beside it name what is exported, and their programs run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import poollib
from poollib.metrics import prometheus
from tests.support.httpd import Httpd, Response
from tests.support.pages import code_blocks

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "metrics.rst"
DASHBOARD = json.loads((DOCS / "grafana_dashboard.json").read_text())


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The labels of every exported sample by its name, after a request of every kind."""
    registry = CollectorRegistry()
    with Httpd({"/busy": lambda _: Response(b"", 503)}) as server:
        retries = poollib.Retry(1, status_forcelist=[503], raise_on_status=False)
        limit = poollib.RateLimit(1000)
        with poollib.PoolManager(retries=retries, maxsize=1, block=True, rate=limit) as manager:
            prometheus(manager, registry=registry)
            limit.take("127.0.0.1", time.monotonic() + 0.2)
            url = f"http://127.0.0.1:{server.port}/"
            manager.request("GET", f"{url}busy")
            with pytest.raises(poollib.exceptions.HTTPError):
                manager.request("GET", "http://127.0.0.1:1/", retries=False)
            text = generate_latest(registry).decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        found.setdefault(family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries() -> list[str]:
    variables = [each["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]] + variables


def test_the_dashboard_asks_for_exported_names_and_their_labels(exported: dict[str, set[str]]) -> None:
    for query in queries():
        (name,) = re.findall(r"poollib_\w+", query)
        assert name in exported, query
        labels = set(re.findall(r"(\w+)(?:=~|!=|=)\"", query))
        for by in re.findall(r"sum by \(([^)]*)\)", query):
            labels |= {label.strip() for label in by.split(",")}
        assert labels <= exported[name], query


def test_the_dashboard_shows_every_metric(exported: dict[str, set[str]]) -> None:
    shown = {re.sub(r"_(total|bucket)$", "", name) for query in queries() for name in re.findall(r"poollib_\w+", query)}
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in exported}
    assert shown == families


def test_the_page_lists_every_metric_and_no_other(exported: dict[str, set[str]]) -> None:
    listed = {name.removesuffix("_total") for name in re.findall(r"``(poollib_\w+)``", PAGE.read_text())}
    assert listed == {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in exported}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    expressions = [query.replace("$__rate_interval", "5m") for query in queries() if "label_values" not in query]
    rules = [{"record": f"test:rule{number}", "expr": expression} for number, expression in enumerate(expressions)]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    told = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_programs_of_the_page_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that has failed makes the program unready; FastAPI's block is tried where FastAPI is."""
    monkeypatch.setattr("poollib.metrics.for_prometheus.REGISTRY", CollectorRegistry())
    names: dict[str, object] = {}
    for line, code in code_blocks(PAGE):
        if "fastapi" not in code:
            code = code.replace("import debug_page, opentelemetry, prometheus", "import debug_page, prometheus")
            exec(compile("\n" * line + code, str(PAGE), "exec"), names)
    told: list[str] = []

    def ask(path: str) -> bytes:
        environ = {"PATH_INFO": path, "SCRIPT_NAME": "", "REQUEST_METHOD": "GET"}
        return b"".join(names["application"](environ, lambda status, _: told.append(status)))  # type: ignore[operator]

    manager = names["manager"]
    assert isinstance(manager, poollib.PoolManager)
    with manager:
        assert json.loads(ask("/ready")) == {"status": "ok"}
        with pytest.raises(poollib.exceptions.HTTPError):
            manager.request("GET", "http://127.0.0.1:1/", retries=False)
        assert json.loads(ask("/ready")) == {"status": "failing"}
        assert b"<svg" in ask("/internal/poollib/")
        assert json.loads(ask("/internal/poollib/stats.json"))["status"] == "failing"
        ask("/else")
    assert told == ["200 OK", "503 Service Unavailable", "200 OK", "200 OK", "404 Not Found"]


def test_the_program_for_fastapi_runs() -> None:
    fastapi = pytest.importorskip("fastapi", reason="fastapi is not installed")
    (code,) = (code for _, code in code_blocks(PAGE) if "fastapi" in code)
    with poollib.PoolManager() as manager:
        names: dict[str, Any] = {"manager": manager}
        exec(code, names)
        response = fastapi.Response()
        told = [names["readiness"](response), response.status_code]
        with pytest.raises(poollib.exceptions.HTTPError):
            manager.request("GET", "http://127.0.0.1:1/", retries=False)
        told += [names["readiness"](response), response.status_code]
    assert told == [{"status": "ok"}, 200, {"status": "failing"}, 503]
    assert "/ready" in {route.path for route in names["app"].routes}
