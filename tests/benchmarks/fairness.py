"""How a crowded pool treats its threads: requests of the busiest against the least busy one, and the longest wait.

    python -m tests.benchmarks.fairness [--seconds 2]

Threads send small GETs through one pool of fewer connections, to a server on loopback that answers at once. The server
is a process of its own, so that it takes no turns away from the threads.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
import time

import poollib

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


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


def crowd(port: int, threads: int, maxsize: int, seconds: float) -> tuple[list[int], float]:
    """How many requests each thread sent, and the longest that one of them took (seconds)."""
    counts = [0] * threads
    longest = [0.0] * threads
    with poollib.HTTPConnectionPool("127.0.0.1", port, maxsize=maxsize, block=True) as pool:
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
    return counts, max(longest)


def main() -> None:
    """Print a line for each crowd."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    command = [sys.executable, "-m", "tests.benchmarks.fairness", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            for threads, maxsize in ((12, 1), (32, 4)):
                counts, longest_s = crowd(port, threads, maxsize, args.seconds)
                ratio = max(counts) / max(1, min(counts))
                print(
                    f"{threads} threads, {maxsize} connections: {sum(counts) / args.seconds:,.0f} requests/s,"
                    f" busiest/least busy {ratio:.2f}, longest wait {longest_s * 1e3:.1f} ms"
                )
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
