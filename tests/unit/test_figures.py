"""The plots in docs/figures are drawn from measured.json, whose figures are those of the pages' tables."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_plots_are_what_the_script_draws() -> None:
    spec = importlib.util.spec_from_file_location("plots", DOCS / "figures/plots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    drawn = dict(module.plots())
    assert len(drawn) == 4
    assert {path: path.read_text() for path in drawn} == drawn


def test_processor_times_are_those_of_the_table() -> None:
    plot = json.loads((DOCS / "figures/measured.json").read_text())["cpu"]
    page = (DOCS / "performance.rst").read_text()
    for index, label in enumerate(plot["labels"]):
        row = re.search(rf"   \* - {label}\n     - (\S+)\n     - (\S+)\n     - (.+)", page)
        assert row is not None, label
        series = plot["series"]
        assert (series["libcurl"][index], series["http.client"][index]) == (float(row[1]), float(row[2])), label
        assert series["poollib"][index] in [float(run) for run in row[3].split(",")], label


def test_times_with_and_without_a_pool_are_those_of_the_table() -> None:
    plot = json.loads((DOCS / "figures/measured.json").read_text())["pooling"]
    rows = re.findall(r"^(\d+)\s+(\S.*?\S)\s{2,}\S+\s+(\d+)\s", (DOCS / "figures/headline.rst").read_text(), re.M)
    measured = {(f"{threads} threads", client): float(median) for threads, client, median in rows}
    for client, values in plot["series"].items():
        assert [measured[label, client] for label in plot["labels"]] == values
