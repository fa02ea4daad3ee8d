"""The lending core lends database connections: reuse, expiry and recovery, as with any other kind.

Source: DESIGN, "Lending" (generic over endpoint and connection). The example of the docs runs here, too.
"""

from __future__ import annotations

import os
import pathlib
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from poollib.pool import ConnectionPool
from tests.support.postgres import WHY_SKIPPED, Postgres, find_postgres

try:
    import psycopg
except ImportError:
    psycopg = None  # type: ignore[assignment]


class Sqlite:
    """The factory of SQLite connections; the endpoint is the database's file."""

    def connect(self, endpoint: str, timeout: float | None) -> sqlite3.Connection:
        return sqlite3.connect(endpoint, timeout=timeout or 5.0, check_same_thread=False)

    def usable(self, connection: sqlite3.Connection) -> bool:
        try:
            connection.execute("SELECT 1").fetchone()
        except sqlite3.Error:
            return False
        return True

    def close(self, connection: sqlite3.Connection) -> None:
        connection.close()


class Psycopg:
    """The factory of PostgreSQL connections; the endpoint is a conninfo string."""

    def connect(self, endpoint: str, timeout: float | None) -> Any:
        return psycopg.connect(endpoint, autocommit=True, connect_timeout=int(timeout or 5))

    def usable(self, connection: Any) -> bool:
        try:
            connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def close(self, connection: Any) -> None:
        connection.close()


class Clock:
    """Seconds that pass when they are told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_sqlite_connections_are_reused(tmp_path: pathlib.Path) -> None:
    """Eight threads, two connections."""
    path = str(tmp_path / "db")
    with ConnectionPool(Sqlite(), maxsize=2, block=True) as pool:
        with pool.connection(path) as connection:
            connection.execute("CREATE TABLE visits (thread INTEGER)")

        def visit(number: int) -> None:
            for _ in range(25):
                with pool.connection(path) as connection:
                    connection.execute("INSERT INTO visits VALUES (?)", (number,))
                    connection.commit()

        threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pool.connection(path) as connection:
            assert connection.execute("SELECT count(*), count(DISTINCT thread) FROM visits").fetchone() == (200, 8)
        assert pool.stats().opened <= 2
        pool.check()


def test_sqlite_connections_grow_old(tmp_path: pathlib.Path) -> None:
    """max_lifetime and idle_timeout close them; an error inside the block discards."""
    clock = Clock()
    path = str(tmp_path / "db")
    with ConnectionPool(Sqlite(), idle_timeout=10, max_lifetime=60, clock=clock) as pool:
        for pause in (0, 5, 11):
            clock.now += pause
            with pool.connection(path):
                pass
        assert (pool.stats().opened, pool.stats().expired) == (2, 1)
        with pytest.raises(sqlite3.OperationalError), pool.connection(path) as connection:
            connection.execute("SELECT nonsense")
        assert pool.stats().dropped["OperationalError"] == 1


def test_a_dead_sqlite_connection_is_replaced(tmp_path: pathlib.Path) -> None:
    """Somebody closed it behind the pool's back."""
    path = str(tmp_path / "db")
    with ConnectionPool(Sqlite()) as pool:
        with pool.connection(path) as connection:
            pass
        connection.close()
        with pool.connection(path) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert pool.stats().opened == 2


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server, in a folder that its user may reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, stat.S_IRWXU | stat.S_IROTH | stat.S_IXOTH)
        with Postgres(pathlib.Path(folder)) as server:
            yield server


@pytest.mark.skipif(psycopg is None or find_postgres() is None, reason=WHY_SKIPPED)
def test_postgres_connections_are_reused_and_survive_a_restart(postgres: Postgres) -> None:
    """The server counts the connections; after a restart the first request finds a new one."""
    with ConnectionPool(Psycopg(), maxsize=3, block=True, acquire_timeout=5) as pool:
        pids = set()

        def work() -> None:
            for _ in range(20):
                with pool.connection(postgres.conninfo) as connection:
                    pids.add(connection.execute("SELECT pg_backend_pid()").fetchone()[0])

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 <= len(pids) <= 3
        assert pool.stats().opened == len(pids)

        postgres.stop()
        with pytest.raises(psycopg.OperationalError), pool.connection(postgres.conninfo):
            pass
        assert pool.stats().leased == 0
        postgres.start()
        with pool.connection(postgres.conninfo) as connection:
            assert connection.execute("SELECT 6 * 7").fetchone() == (42,)
        pool.check()
