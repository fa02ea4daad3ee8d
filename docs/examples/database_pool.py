"""Lend database connections: reuse, expiry and recovery, with sqlite3.

The generic pool asks three things of a factory: connect, usable, close.  ``on_release`` is a good place to roll back
what a borrower left open.  Run it with ``python docs/examples/database_pool.py``.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from poollib.pool import ConnectionPool


class Sqlite:
    """Opens database files; the endpoint is the path."""

    def connect(self, endpoint: str, timeout: float | None) -> sqlite3.Connection:
        seconds = 5.0 if timeout is None else timeout
        return sqlite3.connect(endpoint, timeout=seconds, check_same_thread=False)

    def usable(self, connection: sqlite3.Connection) -> bool:
        connection.execute("select 1")  # an error means no
        return True

    def close(self, connection: sqlite3.Connection) -> None:
        connection.close()

    def on_release(self, connection: sqlite3.Connection) -> None:
        connection.rollback()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "shop.db")
        with ConnectionPool(Sqlite(), maxsize=2, block=True, idle_timeout=60, acquire_timeout=5) as pool:
            with pool.connection(path) as db:
                db.execute("create table orders (item text)")
                db.execute("insert into orders values ('tea')")
                db.commit()
            with pool.connection(path) as db:
                db.execute("insert into orders values ('never committed')")
            with pool.connection(path) as db:
                print("orders:", db.execute("select item from orders").fetchall())
                db.close()  # as if the server had gone
            with pool.connection(path) as db:
                print("after the loss:", db.execute("select count(*) from orders").fetchone())
            figures = pool.stats()
            print("opened", figures.opened, "reused", figures.reused, "dropped", dict(figures.dropped))


if __name__ == "__main__":
    main()
