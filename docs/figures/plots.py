"""Tables and plots of the pages, from measured figures.

    python docs/figures/plots.py                                   draw measured.json again
    python docs/figures/plots.py --performance FILE --date 2026-11-30
    python docs/figures/plots.py --pooling FILE --fairness FILE

The files are what measured (docs/performance.rst has the commands); what they say goes into ``measured.json``, which is
kept, and from there into ``*.svg``, for light and for dark pages, and ``*.rst``, which the pages include.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parent
MEASURED = FOLDER / "measured.json"


class Workload(NamedTuple):
    """A row of the table: what the runner calls it, what the page does, and the limits that poollib is held to."""

    name: str
    label: str
    must: str
    goal: str
    #: Which figure of a round counts, and which of the rounds.
    key: str = "cpu_us"
    is_median: bool = False


WORKLOADS = (
    Workload("small_get_pool", "small GET by a pool", "0.17", "0.14"),
    Workload("small_get_manager", "small GET by a manager", "0.17", "0.14"),
    Workload("post_json", "POST of 1 KiB of JSON", "0.17", "0.14"),
    Workload("timeouts", "small GET with timeouts and retries set", "0.17", "0.14"),
    Workload("read_headers", "small GET, every header looked at", "0.22", "0.18"),
    Workload("many_headers", "response of 60 headers", "0.14", "0.11"),
    Workload("many_hosts", "200 hosts in turn", "0.18", "0.15"),
    Workload("tls_keepalive", "TLS, kept connection", "0.19", "0.16"),
    Workload("tls_reconnect", "TLS, new connection each time, all resumed", "0.55", "0.45"),
    Workload("tls_reconnect_many_ca", "the same, with 141 CAs", "0.05", "0.04"),
    Workload("tcp_reconnect", "TCP, new connection each time", "0.50", "0.38"),
    Workload("threads8", "8 threads, 8 connections", "0.21", "0.17", is_median=True),
    Workload("oversubscribed", "32 threads, 4 connections", "0.26", "0.20", is_median=True),
    Workload("rtt_pooled_100", "100 threads, TLS, 20 ms a round trip", "0.20", "0.17", is_median=True),
    Workload("rtt_pooled_500", "500 threads, TLS, 20 ms a round trip", "0.20", "0.15", is_median=True),
    Workload("gzip_json", "1 MiB of JSON, gzip", "0.75", "0.56"),
    Workload("download_read", "256 MiB read whole", "1.10", "1.00"),
    Workload("download_stream", "256 MiB streamed", "0.75", "0.62"),
    Workload("download_readinto", "256 MiB read into a buffer", "0.50", "0.38"),
    Workload("download_tls", "256 MiB streamed over TLS", "0.76", "0.72"),
    Workload("download_chunked", "128 MiB in chunks of 8 KiB", "0.25", "0.20"),
    Workload("upload_file", "256 MiB file sent", "0.30", "0.18"),
    Workload("upload_chunked", "64 MiB sent from a generator of 16 KiB pieces", "0.95", "0.88"),
    Workload("idle_memory", "memory of an idle connection and its host", "3 KiB", "3 KiB", "kib_per_conn"),
    Workload("import_time", "import", "0.65", "0.45"),
)
#: The bars of the plot: the runner's name of each client, and the page's.
CLIENTS = {"pycurl": "libcurl", "http.client": "http.client", "poollib": "poollib"}
#: The columns of the table.
COLUMNS = {"raw": "bare socket", **CLIENTS}
PLOTTED = ("small_get_manager", "post_json", "many_headers", "tls_keepalive")
MEMORY = "idle_memory"

# -- from what was measured ------------------------------------------------------------------------------------


def performance(data: dict[str, Any], date: str) -> dict[str, Any]:
    """The runner's JSON as ``measured.json`` keeps it: figures beside urllib3's, and the facts of the run."""
    every = [(client, results) for by_client in data["runs"].values() for client, results in by_client.items()]
    versions = {client: each["version"] for client, results in every for each in results if "version" in each}
    rows = {}
    for workload in WORKLOADS:
        by_client = data["runs"].get(workload.name, {})
        base = _figure(workload, by_client.get("urllib3", []))
        if base is None:
            continue
        scale = 1.0 if workload.name == MEMORY else base
        figures = {client: _figure(workload, by_client.get(client, [])) for client in COLUMNS}
        rows[workload.name] = {
            client: None if value is None else round(value / scale, 3) for client, value in figures.items()
        }
    facts = {key: data[key] for key in ("python", "kernel", "cpus", "rounds")}
    return {"date": date, **facts, "versions": versions, "rows": rows}


def _figure(workload: Workload, rounds: list[dict[str, Any]]) -> float | None:
    """Which round counts: the least, since noise only adds; with threads, where placement is chance, the median."""
    values = [float(each[workload.key]) for each in rounds if workload.key in each]
    if not values:
        return None
    return statistics.median(values) if workload.is_median else min(values)


# -- tables ----------------------------------------------------------------------------------------------------


def performance_table(run: dict[str, Any]) -> str:
    """The table of the page on performance, below a line that says which run it is."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run["versions"].items()))
    lines = [
        f"CPython {run['python']}, Linux {run['kernel']}, {run['cpus']} cores, {run['rounds']} rounds, {run['date']}; "
        f"{versions}.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 30 11 11 12 11 9 9",
        "",
        *_cells("workload", *COLUMNS.values(), "must", "goal"),
    ]
    for workload in WORKLOADS:
        if (row := run["rows"].get(workload.name)) is not None:
            lines += _cells(workload.label, *(_shown(workload, row[client]) for client in COLUMNS), *workload[2:4])
    return "\n".join([*lines, ""])


def _shown(workload: Workload, value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.1f} KiB" if workload.name == MEMORY else f"{value:.2f}"


def _cells(first: str, *others: str) -> list[str]:
    return [f"   * - {first}", *(f"     - {other}" for other in others)]


def pooling_table(run: dict[str, Any]) -> str:
    """What one pool saves, as a table."""
    names = {
        "requests": "requests/s",
        "p50_ms": "median, ms",
        "p99_ms": "99 % within, ms",
        "cpu_us": "CPU each, us",
        "peak_mib": "peak MiB",
        "errors": "errors",
    }
    lines = [".. list-table::", "   :header-rows: 1", "", *_cells("threads", "client", *names.values())]
    for row in run["rows"]:
        lines += _cells(f"{row['threads']}", row["client"], *(f"{row[key]:,.0f}" for key in names))
    return "\n".join([*lines, ""])


# -- plots -----------------------------------------------------------------------------------------------------

WIDTH, BAR, GAP, LABEL = 440, 14, 14, 16  # pixels; the text can be read where a phone shows the plot at 0.8 of this
TEXT = {"light": "#222222", "dark": "#dddddd"}
BARS = {"light": ("#9aa0a6", "#c3a86b", "#7da7d9", "#0a58ca"), "dark": ("#80868b", "#a48d55", "#5b86b8", "#6ea8fe")}


class Bars(NamedTuple):
    """A plot of bars: groups of them, a bar for each series; the last, poollib's, has the strongest colour."""

    title: str
    labels: list[str]
    series: dict[str, list[float]]
    described: str

    def drawn(self, theme: str) -> str:
        most = max(max(values) for values in self.series.values())
        colours = BARS[theme][-len(self.series) :]
        lines: list[str] = []
        y = 24
        for index, label in enumerate(self.labels):
            lines.append(_text(0, y + BAR - 3, label))
            y += LABEL
            for (name, values), colour in zip(self.series.items(), colours, strict=True):
                width = round((WIDTH - 150) * values[index] / most, 1)
                lines.append(_rectangle(0, y, width, BAR - 2, colour))
                lines.append(_text(width + 5, y + BAR - 3, f"{values[index]:g} {name}"))
                y += BAR
            y += GAP
        return _svg(self.title, theme, y, lines)


class Crowds(NamedTuple):
    """A plot of crowds: for each library a row of thin bars, one a thread, the longest wait of each."""

    title: str
    waits_ms: dict[str, list[float]]
    described: str

    def drawn(self, theme: str) -> str:
        high, y = 60, 24
        lines: list[str] = []
        for library, waits in self.waits_ms.items():
            colour = BARS[theme][-1] if library == "poollib" else BARS[theme][0]
            most, step = max(map(max, self.waits_ms.values())), WIDTH / len(waits)
            lines.append(_text(0, y + BAR - 3, f"{library}: {min(waits):,.0f} to {max(waits):,.0f} ms"))
            y += LABEL
            for index, wait in enumerate(sorted(waits)):
                tall = round(max(1.0, high * wait / most), 1)
                lines.append(_rectangle(round(index * step, 1), y + high - tall, round(step - 3, 1), tall, colour))
            y += high + GAP
        return _svg(self.title, theme, y, lines)


def _svg(title: str, theme: str, height: float, lines: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12" fill="{TEXT[theme]}">'
    )
    heading = f'<text x="0" y="14" font-size="12" font-weight="bold">{escape(title)}</text>'
    return "\n".join([head, heading, *lines, "</svg>", ""])


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:g}" y="{y:g}">{escape(words)}</text>'


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{colour}"/>'


def performance_plot(run: dict[str, Any]) -> Bars:
    """A few workloads, each client's processor time beside urllib3's."""
    chosen = [workload for workload in WORKLOADS if workload.name in PLOTTED and workload.name in run["rows"]]
    series: dict[str, list[float]] = {"urllib3": [1.0] * len(chosen)}
    described = []
    for client, shown in CLIENTS.items():
        found = [run["rows"][workload.name][client] for workload in chosen]
        if None not in found:
            series[shown] = [round(value, 2) for value in found]
            described.append(f"{shown} {min(found):.2f} to {max(found):.2f}")
    words = "processor time of a request, where urllib3 takes 1: " + ", ".join(described)
    labels = [workload.label for workload in chosen]
    return Bars("Processor time of a request; less is better", labels, series, words)


def pooling_plot(run: dict[str, Any]) -> Bars:
    """The median of one request, with one pool and with a client for each."""
    threads = list(dict.fromkeys(row["threads"] for row in run["rows"]))
    series: dict[str, list[float]] = {}
    for row in run["rows"]:
        series.setdefault(row["client"], []).append(round(row["p50_ms"]))
    words = "; ".join(f"{name}: " + ", ".join(f"{value:g} ms" for value in values) for name, values in series.items())
    labels = [f"{count} threads" for count in threads]
    title = "Median time of a request in ms, TLS, 20 ms away; less is better"
    return Bars(title, labels, series, f"median time of a request with {' and '.join(labels)}; {words}")


def fairness_plot(run: dict[str, Any]) -> Crowds:
    """The last crowd: what each thread waited at most, for each library."""
    last = run["crowds"][-1]
    same = [each for each in run["crowds"] if each["threads"] == last["threads"]]
    waits = {each["library"]: each["longest_wait_ms"] for each in same}
    crowd = f"{last['threads']} threads, {last['connections']} connections"
    words = "; ".join(f"{library} {min(each):,.0f} to {max(each):,.0f} ms" for library, each in waits.items())
    return Crowds(f"{crowd}: longest wait of each thread", waits, f"{crowd}, longest waits: {words}")


def images(name: str, described: str) -> str:
    """Both plots, as a page includes them; readers who see none have the figures in words."""
    blocks = []
    for theme in TEXT:
        blocks += [f".. image:: /figures/{name}-{theme}.svg", f"   :class: only-{theme}", f"   :alt: {described}", ""]
    return "\n".join(blocks)


# -- all of it -------------------------------------------------------------------------------------------------


def written(measured: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each file in this folder and what it holds."""
    plots: dict[str, Bars | Crowds] = {
        "performance": performance_plot(measured["performance"]),
        "pooling": pooling_plot(measured["pooling"]),
        "fairness": fairness_plot(measured["fairness"]),
    }
    for name, plot in plots.items():
        for theme in TEXT:
            yield f"{name}-{theme}.svg", plot.drawn(theme)
        yield f"{name}.rst", images(name, plot.described)
    yield "performance_table.rst", performance_table(measured["performance"])
    yield "pooling_table.rst", pooling_table(measured["pooling"])


def main() -> None:
    """Take in what was measured, and write every file anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--performance", type=Path, metavar="FILE", help="what the benchmark of clients wrote")
    parser.add_argument("--date", help="the day of that run")
    parser.add_argument("--pooling", type=Path, metavar="FILE", help="what tests.benchmarks.headline wrote")
    parser.add_argument("--fairness", type=Path, metavar="FILE", help="what tests.benchmarks.fairness wrote")
    args = parser.parse_args()
    measured = json.loads(MEASURED.read_text())
    if args.performance is not None:
        if args.date is None:
            parser.error("--performance needs --date")
        measured["performance"] = performance(json.loads(args.performance.read_text()), args.date)
    for name, path in (("pooling", args.pooling), ("fairness", args.fairness)):
        if path is not None:
            measured[name] = json.loads(path.read_text())
    MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
    for name, text in written(measured):
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
