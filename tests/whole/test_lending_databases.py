"""The generic pool lends real database connections: reuse, expiry, recovery."""

from __future__ import annotations

import os
import runpy
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poollib.exceptions import EmptyPoolError
from poollib.pool import ConnectionPool
from tests.support.pool import HandClock
from tests.support.postgres import WHY_SKIPPED, Postgres, find_postgres

try:
    import psycopg
except ImportError:
    psycopg = None  # type: ignore[assignment]

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "database_pool.py"


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "shop.db")


@pytest.fixture
def sqlite() -> Any:
    return runpy.run_path(str(EXAMPLE))["Sqlite"]()


def test_the_example_prints_what_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "orders: [('tea',)]",
        "after the loss: (1,)",
        "opened 2 reused 2 dropped {'on_release failed': 1}",
    ]


class TestSqlite:
    def test_a_connection_is_reused_and_rolled_back(self, sqlite: Any, database: str) -> None:
        with ConnectionPool(sqlite, maxsize=1, block=True) as pool:
            with pool.connection(database) as first:
                first.execute("create table t (x)")
                first.execute("insert into t values (1)")
                first.commit()
                first.execute("insert into t values (2)")
            with pool.connection(database) as second:
                assert second is first
                assert second.execute("select x from t").fetchall() == [(1,)]

    def test_an_idle_connection_expires(self, sqlite: Any, database: str) -> None:
        clock = HandClock()
        with ConnectionPool(sqlite, idle_timeout=60, clock=clock) as pool:
            with pool.connection(database) as first:
                pass
            clock.advance(60)
            with pool.connection(database) as second:
                assert second is not first
            assert pool.stats().expired == 1
            with pytest.raises(sqlite3.ProgrammingError, match="closed"):
                first.execute("select 1")

    def test_a_lost_connection_is_replaced(self, sqlite: Any, database: str) -> None:
        with ConnectionPool(sqlite) as pool:
            connection = pool.acquire(database)
            pool.release(connection)
            connection.close()
            with pool.connection(database) as fresh:
                assert fresh.execute("select 1").fetchone() == (1,)
            assert dict(pool.stats().dropped) == {"dead": 1}

    def test_an_error_in_the_block_discards(self, sqlite: Any, database: str) -> None:
        with ConnectionPool(sqlite) as pool:
            with pytest.raises(sqlite3.OperationalError), pool.connection(database) as connection:
                connection.execute("select nonsense from nowhere")
            assert dict(pool.stats().dropped) == {"OperationalError": 1}

    def test_databases_share_one_limit(self, sqlite: Any, tmp_path: Path) -> None:
        with ConnectionPool(sqlite, total_maxsize=2) as pool:
            for name in "abc":
                with pool.connection(str(tmp_path / name)) as connection:
                    connection.execute("select 1")
            assert pool.stats().idle == 2
            held = [pool.acquire(str(tmp_path / name)) for name in "ab"]
            with pytest.raises(EmptyPoolError):
                pool.acquire(str(tmp_path / "c"), 0)
            for connection in held:
                pool.release(connection)


class PsycopgFactory:
    """psycopg connections; the endpoint is a conninfo string."""

    def connect(self, endpoint: str, timeout: float | None) -> Any:
        return psycopg.connect(endpoint, autocommit=True, connect_timeout=max(2, int(timeout or 10)))

    def usable(self, connection: Any) -> bool:
        connection.execute("select 1")  # an error means no
        return True

    def close(self, connection: Any) -> None:
        connection.close()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server, in a folder that its user may reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, stat.S_IRWXU | stat.S_IROTH | stat.S_IXOTH)
        with Postgres(Path(folder)) as server:
            yield server


@pytest.mark.skipif(psycopg is None or find_postgres() is None, reason=WHY_SKIPPED)
def test_postgres_connections_are_reused_and_survive_a_restart(postgres: Postgres) -> None:
    """The server counts the connections; after a restart the first request finds a new one."""
    with ConnectionPool(PsycopgFactory(), maxsize=3, block=True, acquire_timeout=5) as pool:
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
