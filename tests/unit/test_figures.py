"""The pages' tables and plots are those of docs/figures/measured.json, and come from what was measured."""

from __future__ import annotations

import importlib.util
import json
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest

PLOTS = Path(__file__).resolve().parents[2] / "docs/figures/plots.py"


@pytest.fixture(scope="module")
def plots() -> Any:
    spec = importlib.util.spec_from_file_location("plots", PLOTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_and_plots_show_what_is_kept(plots: Any) -> None:
    measured = json.loads(plots.MEASURED.read_text())
    stale = [name for name, text in plots.written(measured) if (PLOTS.parent / name).read_text() != text]
    assert stale == [], "run python docs/figures/plots.py"


def test_each_plot_is_xml(plots: Any) -> None:
    for name, text in plots.written(json.loads(plots.MEASURED.read_text())):
        if name.endswith(".svg"):
            assert xml.etree.ElementTree.fromstring(text).tag.endswith("svg")


def run(workloads: dict[str, dict[str, list[dict[str, object]]]]) -> dict[str, object]:
    """What the benchmark of clients keeps of a run."""
    return {"python": "3.11.7", "kernel": "6.1", "cpus": 2, "rounds": 3, "runs": workloads}


def test_the_least_round_counts_and_with_threads_the_median(plots: Any) -> None:
    rounds = {
        "urllib3": [{"cpu_us": 100.0, "version": "2.8.0"}],
        "poollib": [{"cpu_us": us} for us in (30.0, 20.0, 90.0)],
    }
    kept = plots.performance(run({"small_get_pool": rounds, "threads8": rounds}), "2026-11-30")
    assert kept["rows"]["small_get_pool"] == {"raw": None, "pycurl": None, "http.client": None, "poollib": 0.2}
    assert kept["rows"]["threads8"]["poollib"] == 0.3
    assert (kept["versions"], kept["date"]) == ({"urllib3": "2.8.0"}, "2026-11-30")


def test_memory_is_shown_as_it_is_and_what_did_not_run_as_not_available(plots: Any) -> None:
    memory = {"urllib3": [{"kib_per_conn": 9.0}], "poollib": [{"kib_per_conn": 3.04}], "pycurl": [{"failed": "why"}]}
    table = plots.performance_table(plots.performance(run({"idle_memory": memory}), "2026-11-30"))
    assert (
        "   * - memory of an idle connection and its host\n" + "     - n/a\n" * 3 + "     - 3.0 KiB\n     - 3 KiB\n"
        in table
    )


def test_a_workload_without_urllib3_has_no_row(plots: Any) -> None:
    assert plots.performance(run({"threads8": {"poollib": [{"cpu_us": 1.0}]}}), "2026-11-30")["rows"] == {}
