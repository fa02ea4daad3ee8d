"""The debug page as HTML: every text escaped, one style sheet, plots as SVG, no script.

The page may load and run nothing (``CONTENT_POLICY``), so that a name that slipped through could do no harm.  It is
read on a wide screen and at 390 pixels, where each row of a table is a list of names and values.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .page_records import PoolView, View

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bad: #c0392b; --good: #1e8449; --warn: #b9770e; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 16px; }
header { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: baseline; }
h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 28px 0 8px; }
header a { margin-left: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(104px, 1fr)); gap: 8px; margin-top: 16px; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; }
.tile b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 12px; margin-top: 12px; }
figure { border: 1px solid var(--line); border-radius: 8px; margin: 0; padding: 8px 12px; }
figcaption { display: flex; justify-content: space-between; gap: 8px; }
svg { display: block; width: 100%; height: 72px; margin-top: 4px; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 8px; text-align: left; white-space: nowrap; }
th { font-weight: 600; background: var(--soft); }
tr + tr td { border-top: 1px solid var(--line); }
.n { text-align: right; }
.ok, .closed { color: var(--good); } .failing, .open { color: var(--bad); }
.degraded, .probing { color: var(--warn); }
.empty { color: #888; margin: 0; }
@media (max-width: 600px) {
  thead { display: none; }
  tr { display: grid; grid-template-columns: 1fr 1fr; column-gap: 24px; padding: 8px 12px; }
  tr + tr { border-top: 1px solid var(--line); }
  tr + tr td { border: 0; }
  td { display: flex; justify-content: space-between; gap: 8px; padding: 1px 0; white-space: normal; }
  td { overflow-wrap: anywhere; }
  td::before { content: attr(data-name); color: #888; }
  td.wide { grid-column: 1 / -1; }
}
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; frame-ancestors 'none'"

#: rows of a table that are shown; the JSON has them all
MOST_ROWS = 200
#: columns that have a line to themselves on a narrow screen
_WIDE = frozenset({"pool", "error", "time (UTC)"})
_WIDTH, _HEIGHT = 240, 60


def render(view: View, title: str, refresh_s: float, json_url: str) -> str:
    """The whole page."""
    refresh = f'<meta http-equiv="refresh" content="{refresh_s:g}">' if refresh_s else ""
    status = escape(view["status"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{refresh}<title>{escape(title)}: {status}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>{escape(title)}</h1><strong class="{status}">{status}</strong>'
        f'<a href="{escape(json_url)}">JSON</a></header>'
        f"<main>{_tiles(view)}{_plots(view)}"
        f"<h2>Pools</h2>{_pools(view)}"
        f"<h2>Connections</h2>{_connections(view)}"
        f"<h2>Last errors</h2>{_errors(view)}</main></body></html>"
    )


def _tiles(view: View) -> str:
    pools = view["pools"]
    tiles = {
        "pools": len(pools),
        "active": sum(pool["active"] for pool in pools),
        "idle": sum(pool["idle"] for pool in pools),
        "waiting": sum(pool["waiting"] for pool in pools),
        "requests": sum(pool["requests"] for pool in pools),
        "errors": sum(pool["errors"] for pool in pools),
    }
    cells = "".join(f'<div class="tile"><b>{number:,}</b>{name}</div>' for name, number in tiles.items())
    return f'<div class="tiles">{cells}</div>'


def _plots(view: View) -> str:
    seconds = view["seconds"]
    return '<div class="plots">{}{}{}</div>'.format(
        plot("requests a second", [float(each["requests"]) for each in seconds], "#2e86c1"),
        plot("errors a second", [float(each["errors"]) for each in seconds], "#c0392b"),
        plot("mean time, ms", [each["mean_ms"] for each in seconds], "#7d3c98"),
    )


def plot(caption: str, values: Sequence[float], colour: str) -> str:
    """One figure: a line over time, the newest at the right, and the highest value in words."""
    highest = max(values, default=0.0)
    step = _WIDTH / max(1, len(values) - 1)
    scale = (_HEIGHT - 4) / highest if highest else 0.0
    points = " ".join(f"{i * step:.1f},{_HEIGHT - 2 - value * scale:.1f}" for i, value in enumerate(values))
    area = f"0,{_HEIGHT} {points} {_WIDTH},{_HEIGHT}"
    return (
        f"<figure><figcaption><span>{escape(caption)}</span><span>at most {highest:,.4g}</span></figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{escape(caption)}">'
        f'<polygon points="{area}" fill="{colour}" fill-opacity="0.18"/>'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5" '
        'vector-effect="non-scaling-stroke"/></svg></figure>'
    )


def _pools(view: View) -> str:
    names = (
        "pool",
        "state",
        "circuit",
        "active",
        "idle",
        "opening",
        "waiting",
        "max",
        "requests",
        "errors",
        "timeouts",
        "refused",
        "rate waits",
    )
    rows = [
        (
            pool["name"],
            _marked(pool["state"]),
            _marked(pool["circuit"] or "none"),
            pool["active"],
            pool["idle"],
            pool["opening"],
            pool["waiting"],
            "no limit" if pool["maxsize"] is None else pool["maxsize"],
            pool["requests"],
            pool["errors"],
            pool["timeouts"],
            pool["refused"],
            _rate_waits(pool),
        )
        for pool in view["pools"]
    ]
    return table(names, rows)


def _rate_waits(pool: PoolView) -> str:
    """How often requests waited for their turn, and how long in sum."""
    if pool["rate_waited"] is None or pool["rate_wait_s"] is None:
        return "no rate"
    return f"{pool['rate_waited']} ({duration(pool['rate_wait_s'])})"


def _connections(view: View) -> str:
    names = ("pool", "state", "for", "age", "leases")
    rows = [
        (each["pool"], each["state"], duration(each["state_for_s"]), duration(each["age_s"]), each["leases"])
        for each in view["connections"]
    ]
    return table(names, rows)


def _errors(view: View) -> str:
    names = ("time (UTC)", "pool", "method", "kind", "error", "attempts")
    rows = [
        (
            time.strftime("%H:%M:%S", time.gmtime(each["at"])),
            each["pool"],
            each["method"],
            each["kind"],
            each["error"],
            each["attempts"],
        )
        for each in view["errors"]
    ]
    return table(names, rows)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``0.25 s``, ``12 s``, ``3 min``, ``2 h``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def _marked(word: str) -> Markup:
    text = escape(word)
    return Markup(f'<span class="{text}">{text}</span>')


def table(names: Sequence[str], rows: Sequence[Iterable[object]]) -> str:
    """A table that scrolls in its own box; numbers stand at the right. A word where there is no row."""
    if not rows:
        return '<p class="empty">none</p>'
    shown = [list(row) for row in rows[:MOST_ROWS]]
    numeric = [isinstance(cell, int) for cell in shown[0]]
    heads = zip(names, numeric, strict=True)
    head = "".join(f'<th class="n">{escape(name)}</th>' if n else f"<th>{escape(name)}</th>" for name, n in heads)
    body = "".join(f"<tr>{''.join(map(_cell, names, row))}</tr>" for row in shown)
    more = f'<p class="empty">and {len(rows) - MOST_ROWS:,} more</p>' if len(rows) > MOST_ROWS else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _cell(name: str, content: object) -> str:
    """A cell that knows its column's name, for narrow screens, where the head is not shown."""
    text = content if isinstance(content, Markup) else escape(str(content))
    kind = ' class="n"' if isinstance(content, int) else ' class="wide"' if name in _WIDE else ""
    return f'<td data-name="{escape(name)}"{kind}>{text}</td>'
