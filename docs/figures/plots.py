"""Draw ``measured.json`` as bars, each plot for a light and for a dark page: ``python docs/figures/plots.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parent
WIDTH, LEFT, BAR, GAP = 640, 190, 13, 16  # pixels
TEXT = {"light": "#222222", "dark": "#dddddd"}
BARS = {"light": ("#9aa0a6", "#c3a86b", "#7da7d9", "#0a58ca"), "dark": ("#80868b", "#a48d55", "#5b86b8", "#6ea8fe")}


def drawn(plot: dict[str, Any], theme: str) -> str:
    """The plot as SVG; the last series, poollib's, has the strongest colour."""
    series: dict[str, list[float]] = plot["series"]
    colours = BARS[theme][-len(series) :]
    most = max(max(values) for values in series.values())
    height = 30 + len(plot["labels"]) * (len(series) * BAR + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11" fill="{TEXT[theme]}">',
        f'<text x="0" y="14" font-size="13" font-weight="bold">{escape(plot["title"])}</text>',
    ]
    y = 30
    for index, label in enumerate(plot["labels"]):
        lines.append(f'<text x="0" y="{y + BAR - 3}">{escape(label)}</text>')
        for (name, values), colour in zip(series.items(), colours, strict=True):
            lines += _bar(y, name, values[index], most, colour)
            y += BAR
        y += GAP
    return "\n".join([*lines, "</svg>", ""])


def _bar(y: int, name: str, value: float, most: float, colour: str) -> Iterator[str]:
    width = round((WIDTH - LEFT - 160) * value / most, 1)
    yield f'<rect x="{LEFT}" y="{y}" width="{width}" height="{BAR - 2}" fill="{colour}"/>'
    yield f'<text x="{LEFT + width + 5}" y="{y + BAR - 3}">{value:g} {escape(name)}</text>'


def plots() -> Iterator[tuple[Path, str]]:
    """Each file and what it has to hold."""
    for name, plot in json.loads((FOLDER / "measured.json").read_text()).items():
        for theme in TEXT:
            yield FOLDER / f"{name}-{theme}.svg", drawn(plot, theme)


if __name__ == "__main__":
    for path, text in plots():
        path.write_text(text)
