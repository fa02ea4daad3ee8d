"""A program that asks a service for orders: as a class around a Client, and as functions of a manager or a pool."""

from __future__ import annotations

import poollib
from poollib.exceptions import HTTPError

SERVICE = "https://orders.example/v1"
#: An order is asked for again when the service is busy or the connection breaks; it is placed again only if it surely
#: did not arrive.
RETRIES = poollib.Retry(3, status_forcelist=[503], backoff_factor=0.5)


class Unreachable(Exception):
    """The service could not be asked, or its answer did not come whole."""


class Orders:
    """Orders of a service. ``client``: for tests; None for one of its own."""

    def __init__(self, client: poollib.Client | None = None) -> None:
        self.client = client or poollib.Client(SERVICE, timeout=5.0, retries=RETRIES)

    def state(self, number: int) -> str:
        """What became of an order. KeyError: there is none of this number."""
        try:
            response = self.client.get(f"orders/{number}")
        except HTTPError as error:
            raise Unreachable(f"order {number}") from error
        if response.status == 404:
            raise KeyError(number)
        state: str = response.raise_for_status().json()["state"]
        return state

    def place(self, article: str, count: int) -> int:
        """The number of a new order."""
        try:
            response = self.client.post("orders", json={"article": article, "count": count})
        except HTTPError as error:
            raise Unreachable(f"{count} of {article}") from error
        number: int = response.raise_for_status().json()["number"]
        return number


def invoice(manager: poollib.PoolManager, number: int) -> bytes:
    """An order's invoice, wherever the service sends its readers for it."""
    return manager.request("GET", f"{SERVICE}/orders/{number}/invoice", retries=RETRIES, timeout=5.0).data


def is_alive(pool: poollib.HTTPConnectionPool) -> bool:
    """Whether the service answers."""
    try:
        return pool.request("HEAD", "/health", retries=False, timeout=1.0).status == 200
    except HTTPError:
        return False
