"""Answers that the tests of this group have in common."""

from __future__ import annotations

import json
from typing import Any

from tests.support.httpd import Response, Route


def as_json(value: Any, status: int = 200, **headers: str) -> Response:
    return Response(json.dumps(value).encode(), status=status, headers={"Content-Type": "application/json", **headers})


def in_turn(*answers: Response) -> Route:
    """A route that gives the answers one after the other, the last one again and again."""
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]
