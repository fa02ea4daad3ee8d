"""How a crowded pool treats its threads: what each of them gets, and the longest that it waits; beside urllib3's.

    python -m tests.benchmarks.fairness [--seconds 2] [--json FILE]

Threads send small GETs through one pool of fewer connections, to a server on loopback that answers at once. The server
is a process of its own, so that it takes no turns away from the threads. urllib3 takes part where it is installed. The
file is for ``docs/figures/plots.py``, which draws it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import poollib

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CROWDS = ((12, 1), (32, 4))  # threads, connections


def serve() -> None:
    """Answer every request with the same bytes; print the port first."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)

    def answer(sock: socket.socket) -> None:
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while sock.recv(65536):
                sock.sendall(ANSWER)

    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def pool_of(library: str, port: int, maxsize: int) -> Any:
    """A pool of that library with so many connections, for which further threads wait."""
    if library == "poollib":
        return poollib.HTTPConnectionPool("127.0.0.1", port, maxsize=maxsize, block=True)
    import urllib3

    return urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=maxsize, block=True)


def crowd(library: str, port: int, threads: int, maxsize: int, seconds: float) -> tuple[list[int], list[float]]:
    """How many requests each thread sent, and the longest that one of them took (seconds), thread by thread."""
    counts = [0] * threads
    longest = [0.0] * threads
    with pool_of(library, port, maxsize) as pool:
        gate = threading.Barrier(threads)

        def work(index: int) -> None:
            gate.wait()
            now = time.perf_counter()
            end = now + seconds
            while now < end:
                assert pool.urlopen("GET", "/").data == b"ok"
                start, now = now, time.perf_counter()
                counts[index] += 1
                longest[index] = max(longest[index], now - start)

        workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return counts, longest


def measured(port: int, seconds: float) -> list[dict[str, Any]]:
    """Each crowd through each library, in turn; a line for each is printed."""
    libraries = [name for name in ("urllib3", "poollib") if importlib.util.find_spec(name) is not None]
    rows = []
    for threads, maxsize in CROWDS:
        for library in libraries:
            counts, longest = crowd(library, port, threads, maxsize, seconds)
            ratio = max(counts) / max(1, min(counts))
            print(
                f"{library:8} {threads} threads, {maxsize} connections: {sum(counts) / seconds:,.0f} requests/s,"
                f" busiest/least busy {ratio:.2f}, longest wait {max(longest) * 1e3:.1f} ms"
            )
            waits_ms = [round(wait * 1e3, 1) for wait in longest]
            row = {"library": library, "threads": threads, "connections": maxsize}
            rows.append({**row, "requests": counts, "longest_wait_ms": waits_ms})
    return rows


def main() -> None:
    """Print a line for each crowd; keep all figures in a file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures of each thread")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    command = [sys.executable, "-m", "tests.benchmarks.fairness", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            rows = measured(int(server.stdout.readline()), args.seconds)
        finally:
            server.terminate()
    if args.json is not None:
        args.json.write_text(json.dumps({"python": platform.python_version(), "crowds": rows}, indent=1))


if __name__ == "__main__":
    main()
