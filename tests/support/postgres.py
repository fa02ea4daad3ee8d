"""A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket, no port.

The server's programs are found, not brought; where they are missing, ``find_postgres`` is None and a test says so in
its skip reason. PostgreSQL refuses to run as root; then the user ``postgres`` that Debian's package makes runs it.
"""

from __future__ import annotations

import glob
import os
import pathlib
import shutil
import subprocess

WHY_SKIPPED = "PostgreSQL's server programs or psycopg are not installed"


def find_postgres() -> pathlib.Path | None:
    """The folder of initdb and pg_ctl; None where they are not installed, or nobody may run them."""
    places = [shutil.which("initdb"), *sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)]
    found = next((place for place in places if place), None)
    if found is None or (os.geteuid() == 0 and shutil.which("runuser") is None):
        return None
    return pathlib.Path(os.path.realpath(found)).parent


class Postgres:
    """A context manager; ``folder`` is an empty directory that the caller removes."""

    def __init__(self, folder: pathlib.Path) -> None:
        programs = find_postgres()
        assert programs is not None, WHY_SKIPPED
        self._programs = programs
        self.folder = folder
        self.conninfo = f"host={folder} user=postgres dbname=postgres"

    def __enter__(self) -> Postgres:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "--no-sync")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-o", options, "-l", f"{self.folder}/log", "-w", "start")

    def stop(self) -> None:
        """Stop it at once; clients see their connections break."""
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=self.folder)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
