"""``debug_page(manager)``: a WSGI application that shows how a manager is doing, to people and as JSON.

It answers nothing unless a program mounts it, and needs no package.  Who may see it is the mounting program's
decision: it tells which hosts are talked to, though no path, query, header field or text of an error.
``page_records`` remembers, ``page_html`` draws.
"""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from .observer import attach
from .page_html import CONTENT_POLICY, render
from .page_records import PageRecords, PoolView, View

if TYPE_CHECKING:
    from ..base_url_client import BaseUrlClient
    from ..client.pool_status import HTTPPoolStats, ManagerHealth
    from ..poolmanager import PoolManager

Environ: TypeAlias = "dict[str, object]"
StartResponse: TypeAlias = "Callable[[str, list[tuple[str, str]]], object]"
Application: TypeAlias = "Callable[[Environ, StartResponse], Iterable[bytes]]"


def debug_page(
    manager: PoolManager | BaseUrlClient, *, title: str = "poollib", refresh_s: float = 5.0, max_pools: int = 100
) -> Application:
    """A WSGI application about a manager (or client), to be made before it sends its first request.

    The page is at the place where it is mounted and asks for itself every ``refresh_s`` seconds (0: never); its figures
    are at ``stats.json`` below. ``max_pools``: how many pools are told apart in errors and connections.
    """
    if not 0 <= refresh_s < math.inf:
        raise ValueError(f"refresh_s must be a number of seconds, 0 or more, not {refresh_s!r}")
    records = PageRecords(max_pools)
    watched = weakref.ref(attach(manager, records))

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        status, kind, body = answer(environ, view_of(watched(), records), title, refresh_s)
        fields = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", CONTENT_POLICY),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if status.startswith("405"):
            fields.append(("Allow", "GET, HEAD"))
        start_response(status, fields)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return application


def answer(environ: Environ, view: View, title: str, refresh_s: float) -> tuple[str, str, bytes]:
    """Status, media type and body for a request."""
    path = str(environ.get("PATH_INFO", ""))
    if environ.get("REQUEST_METHOD", "GET") not in ("GET", "HEAD"):
        return "405 Method Not Allowed", "text/plain; charset=utf-8", b"GET or HEAD\n"
    if path == "/stats.json":
        return "200 OK", "application/json", json.dumps(view, indent=1).encode()
    if path not in ("", "/"):
        return "404 Not Found", "text/plain; charset=utf-8", b"here are / and /stats.json\n"
    mounted_at = str(environ.get("SCRIPT_NAME", "")).rstrip("/")
    page = render(view, title, refresh_s, f"{mounted_at}/stats.json")
    return "200 OK", "text/html; charset=utf-8", page.encode("utf-8", "replace")


def view_of(manager: PoolManager | None, records: PageRecords) -> View:
    """How things are now; a manager that is gone has no pools."""
    health: ManagerHealth = {"status": "ok", "pools": {}} if manager is None else manager.health()
    figures = {} if manager is None else manager.stats()["pools"]
    return {
        "status": health["status"],
        "pools": [pool_view(name, figures[name], health) for name in sorted(figures) if name in health["pools"]],
        "connections": records.connections(),
        "errors": records.errors(),
        "seconds": records.seconds(),
    }


def pool_view(name: str, figures: HTTPPoolStats, health: ManagerHealth) -> PoolView:
    """One pool's figures and health in one row."""
    report = health["pools"][name]
    circuit = report.get("circuit")
    return {
        "name": name,
        "state": report["state"],
        "failures": report["consecutive_failures"],
        "circuit": None if circuit is None else circuit["state"],
        "idle": figures["idle"],
        "active": figures["leased"],
        "opening": figures["opening"],
        "waiting": figures["waiting"],
        "maxsize": figures["maxsize"],
        "requests": figures["requests"],
        "errors": figures["errors"],
        "timeouts": figures["timeouts"],
        "refused": figures["refused"],
        "rate_waiting": figures.get("rate_waiting"),
        "rate_waited": figures.get("rate_waited"),
        "rate_wait_s": figures.get("rate_wait_s"),
    }
