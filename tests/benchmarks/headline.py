"""Pooled against a new client for each request: TLS, 20 ms of added round trip, many threads at once.

    python -m tests.benchmarks.headline [--threads 100 500] [--seconds 3] [--json FILE]

Prints requests a second, latency, peak memory and CPU of the client process; ``docs/figures/plots.py`` draws the file.
Each row runs in a fresh process against nginx on loopback, through a relay that holds every byte for half a round trip
each way and the first bytes of a connection for one round trip more (connecting to loopback takes no time). It needs
Linux and nginx.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time

import poollib
from tests.support.certs import certs
from tests.support.nginx import Nginx, find_nginx, free_ports

RTT_S = 0.020
BODY = b"GET 1 "


# -- the relay, a process of its own ---------------------------------------------------------------------------


async def relay(port: int, upstream: int) -> None:
    """Pass bytes on between ``port`` and ``upstream``, late."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first_s: float) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.time() + first_s
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65536):
                ready = max(ready, loop.time()) if first_s else loop.time()
                loop.call_at(ready + RTT_S / 2, writer.write, data)
            loop.call_at(max(ready, loop.time()) + RTT_S / 2, writer.close)

    serving: set[asyncio.Task[None] | None] = set()  # the loop itself holds tasks only weakly

    async def serve(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        serving.add(task := asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(pump(near_reader, far_writer, RTT_S), pump(far_reader, near_writer, 0.0))
        serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=2048)
    async with server:
        await server.serve_forever()


# -- one row, a process of its own -----------------------------------------------------------------------------


def row(url: str, ca_file: str, threads: int, seconds: float, pooled: bool) -> dict[str, float]:
    """What ``threads`` threads reach in ``seconds``; every body is checked."""
    shared = poollib.PoolManager(maxsize=threads, block=True, ca_certs=ca_file) if pooled else None
    waits: list[list[float]] = [[] for _ in range(threads)]
    errors: list[str] = []
    gate = threading.Barrier(threads + 1)

    def ask() -> None:
        manager = shared or poollib.PoolManager(ca_certs=ca_file)
        if manager.request("GET", url).data != BODY:
            raise AssertionError("a wrong body")
        if not pooled:
            manager.clear()

    def work(mine: list[float]) -> None:
        if pooled:
            ask()
        gate.wait()
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            try:
                ask()
            except Exception as error:
                errors.append(repr(error))
            mine.append(time.perf_counter() - start)

    workers = [threading.Thread(target=work, args=(mine,)) for mine in waits]
    for worker in workers:
        worker.start()
    gate.wait()
    cpu, wall = time.process_time(), time.perf_counter()
    for worker in workers:
        worker.join()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    every = sorted(wait for mine in waits for wait in mine)
    return {
        "requests": len(every) / wall,
        "p50_ms": every[len(every) // 2] * 1e3,
        "p99_ms": every[len(every) * 99 // 100] * 1e3,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "cpu_us": cpu / len(every) * 1e6,
        "errors": len(errors),
    }


# -- all rows --------------------------------------------------------------------------------------------------


def measured(threads: int, seconds: float) -> list[dict[str, float | str]]:
    """Two rows for this many threads, pooled and new, against servers of their own."""
    pair = certs().pair()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        nginx = Nginx(folder, cert_file=pair.cert_file, key_file=pair.key_file, client_ca_file=certs().ca_file)
        stack.enter_context(nginx)
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "tests.benchmarks.headline"]
        helper = stack.enter_context(subprocess.Popen([*command, "--relay", str(port), str(nginx.tls)]))
        stack.callback(helper.terminate)
        wait_for(port)
        url = f"https://127.0.0.1:{port}/echo?n=1"
        rows = []
        for name in ("a new client for each", "one pool for all"):
            more = ["--row", name, url, certs().ca_file, "--threads", str(threads), "--seconds", str(seconds)]
            done = subprocess.run(
                [*command, *more], capture_output=True, text=True, timeout=seconds * 10 + 60, check=True
            )
            row = {"threads": threads, "client": name, **json.loads(done.stdout)}
            print("  ".join(f"{value:,.0f} {key}" if key != "client" else value for key, value in row.items()))
            rows.append(row)
        return rows


def wait_for(port: int) -> None:
    """Return when something listens on the port."""
    import socket

    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nothing listens on {port}")


def main() -> None:
    """Print the rows; keep them in a file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--relay", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--row", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.relay:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(relay(*args.relay))
    elif args.row:
        name, url, ca_file = args.row
        print(json.dumps(row(url, ca_file, args.threads[0], args.seconds, name == "one pool for all")))
    elif find_nginx() is None:
        print("nginx is not installed: nothing was measured")
    else:
        rows = [row for threads in args.threads for row in measured(threads, args.seconds)]
        if args.json is not None:
            args.json.write_text(json.dumps({"python": platform.python_version(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
