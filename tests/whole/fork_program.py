"""A program that shares warm HTTPS connections with its children; ``test_forks`` runs it.

    python -m tests.whole.fork_program WAY URL CA_FILE

WAY: ``prefork`` (os.fork, as gunicorn does it), ``fork`` or ``spawn`` (multiprocessing). Prints the number of wrong
answers, and whether the parent's own connection survived, as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from typing import Any

import poollib

CHILDREN = 4
REQUESTS = 200


def ask(manager: poollib.PoolManager, url: str, who: str) -> int:
    """How many of this process's answers were not its own."""
    wrong = 0
    for turn in range(REQUESTS):
        mark = f"{who}-{os.getpid()}-{turn}"
        response = manager.request("GET", url, headers={"X-Mark": mark})
        wrong += json.loads(response.data)["headers"].get("x-mark") != mark
    return wrong


def child(manager: poollib.PoolManager, url: str, number: int) -> None:
    """A child's work; its exit status is the number of wrong answers, at most 100."""
    os._exit(min(100, ask(manager, url, f"child{number}")))


def forked(manager: poollib.PoolManager, url: str) -> int:
    """Wrong answers of all children of a preforking server."""
    pids = []
    for number in range(CHILDREN):
        pid = os.fork()
        if not pid:
            child(manager, url, number)
        pids.append(pid)
    wrong = ask(manager, url, "parent")
    return wrong + sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in pids)


def multiprocessed(way: str, manager: poollib.PoolManager, url: str) -> int:
    """Wrong answers of all children that multiprocessing starts."""
    context: Any = multiprocessing.get_context(way)
    processes = [context.Process(target=child, args=(manager, url, number)) for number in range(CHILDREN)]
    for process in processes:
        process.start()
    wrong = ask(manager, url, "parent")
    for process in processes:
        process.join()
    return wrong + sum(process.exitcode != 0 for process in processes)


def main(way: str, url: str, ca_file: str) -> None:
    """Warm up, share, ask, print."""
    manager = poollib.PoolManager(maxsize=2, ca_certs=ca_file)
    ask(manager, url, "warm")
    pool = manager.connection_from_url(url)
    before = pool.num_connections
    wrong = forked(manager, url) if way == "prefork" else multiprocessed(way, manager, url)
    wrong += ask(manager, url, "after")
    print(json.dumps({"wrong": wrong, "parent_reconnected": pool.num_connections - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
