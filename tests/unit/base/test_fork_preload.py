"""preload: a child of a fork finds loaded whatever another thread of its parent was just importing."""

from __future__ import annotations

import ast
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from poollib.base import fork_preload

HERE = pathlib.Path(__file__).resolve().parents[3]
#: Modules that run as programs, or are there for tests of urllib3: no request comes by.
PROGRAMS = {"compat/private_names", "compat/run_as_urllib3", "base/fork_preload", "bulk/command"}


def imported_inside_functions() -> set[str]:
    """What modules import when a function is called, by its absolute name."""
    found: set[str] = set()
    for file in (HERE / "poollib").rglob("*.py"):
        module = str(file.relative_to(HERE / "poollib"))[:-3]
        if module in PROGRAMS or module.startswith(("cli/", "demo/")):
            continue
        package = ["poollib", *module.split("/")[:-1]]
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    found |= names_of(node, package)
    return found


def names_of(node: ast.AST, package: list[str]) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if not isinstance(node, ast.ImportFrom):
        return set()
    base = ".".join([*package[: len(package) - node.level + 1], *(node.module or "").split(".")]).strip(".")
    if not node.level:
        return {node.module or ""}
    is_folder = (HERE / base.replace(".", "/")).is_dir()
    return {f"{base}.{alias.name}" for alias in node.names} if is_folder else {base}


def test_all_that_is_imported_late_is_in_the_lists() -> None:
    late = imported_inside_functions() - {"poollib.base.fork_preload"}
    assert len(late) > 20
    listed = {*(f"poollib.{room}" for room in fork_preload.OWN_MODULES), *fork_preload.MODULES, *fork_preload.PACKAGES}
    assert late <= listed


#: A thread begins its first https request and stands still in the import of tls, until the process has begun to fork.
PROGRAM = """
import importlib.abc, os, signal, sys, threading
import poollib

entered, go_on = threading.Event(), threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "poollib.net.tls" and threading.current_thread() is not threading.main_thread():
            entered.set()
            go_on.wait(5)

sys.meta_path.insert(0, Slow())

def ask():
    try:
        poollib.HTTPSConnectionPool("127.0.0.1", int(sys.argv[1]), retries=False, timeout=0.1).request("GET", "/")
    except poollib.exceptions.HTTPError as error:
        return type(error).__name__

thread = threading.Thread(target=ask)
thread.start()
assert entered.wait(5)
threading.Timer(0.05, go_on.set).start()
pid = os.fork()
if not pid:
    signal.alarm(5)
    print(ask(), flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0, "the child was still waiting"
thread.join()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_during_another_threads_first_https_request_leaves_a_child_that_can_ask() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the child gets as far as the handshake
        port = str(silent.getsockname()[1])
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=HERE)
    assert (done.returncode, done.stdout) == (0, "ConnectTimeoutError\n"), done.stderr
