"""The generic pool lends real database connections: reuse, expiry, recovery."""

from __future__ import annotations

import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poollib.exceptions import EmptyPoolError
from poollib.pool import ConnectionPool
from tests.support.pool import HandClock

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


class Postgres:
    """psycopg connections; the endpoint is a conninfo string."""

    def connect(self, endpoint: str, timeout: float | None) -> Any:
        import psycopg

        return psycopg.connect(endpoint, connect_timeout=max(2, int(timeout or 10)))

    def usable(self, connection: Any) -> bool:
        connection.execute("select 1")
        connection.rollback()
        return True

    def close(self, connection: Any) -> None:
        connection.close()

    def on_release(self, connection: Any) -> None:
        connection.rollback()


@pytest.fixture
def postgres() -> Iterator[str]:
    """The conninfo of a PostgreSQL server of this test's own, on a Unix socket."""
    pytest.importorskip("psycopg")
    folders = [None, *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
    initdb = next(filter(None, (shutil.which("initdb", path=path) for path in folders)), None)
    if initdb is None or sys.platform == "win32":
        pytest.skip("no PostgreSQL server is installed")
    control = str(Path(initdb).with_name("pg_ctl"))
    with tempfile.TemporaryDirectory(prefix="lending-") as folder:
        who: dict[str, Any] = {"cwd": folder}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            who["user"] = "postgres"
            shutil.chown(folder, "postgres")
        made = subprocess.run(
            [initdb, "-D", f"{folder}/data", "-A", "trust", "-U", "tester"], capture_output=True, check=False, **who
        )
        if made.returncode:
            pytest.skip("initdb refuses to run here")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}'"
        log = ["-o", options, "-l", f"{folder}/log"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "check": True, **who}
        subprocess.run([control, "-D", f"{folder}/data", "-w", *log, "start"], **quiet)
        yield f"host={folder} user=tester dbname=postgres"
        subprocess.run([control, "-D", f"{folder}/data", "-m", "immediate", "stop"], **quiet)


@pytest.mark.slow
def test_postgresql_connections_are_reused_and_replaced(postgres: str) -> None:
    with ConnectionPool(Postgres(), maxsize=2, block=True, acquire_timeout=5) as pool:
        with pool.connection(postgres) as first:
            pid = first.execute("select pg_backend_pid()").fetchone()
        with pool.connection(postgres) as second:
            assert second.execute("select pg_backend_pid()").fetchone() == pid
            with pool.connection(postgres) as other:
                other.execute("select pg_terminate_backend(%s)", pid)
        with pool.connection(postgres) as third:
            assert third.execute("select pg_backend_pid()").fetchone() != pid
