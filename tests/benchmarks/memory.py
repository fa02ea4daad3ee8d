"""What large bodies cost in memory: the peak of a fresh process above its resting memory, one row per job.

    python tests/benchmarks/memory.py [--mib 1024] [JOB ...]

A job moves ``--mib`` MiB (multipart half of that) between a child process and a server in the parent, on loopback.
The child rests after a small job of the same kind; then the kernel's mark for the peak (VmHWM) is set back by
``/proc/self/clear_refs``.  Needs Linux.  Exits with 1 if a job needs more than LIMIT_MIB.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator

MIB = 1 << 20
LIMIT_MIB = 8
ROOT = pathlib.Path(__file__).resolve().parents[2]
JOBS: dict[str, Callable[[str, int], int]] = {}


def job(function: Callable[[str, int], int]) -> Callable[[str, int], int]:
    JOBS[function.__name__] = function
    return function


# In the child: each job gives the number of bytes that went through it


@job
def download_stream(url: str, size: int) -> int:
    import poollib

    response = poollib.request("GET", f"{url}/body/{size}", preload_content=False, timeout=60)
    return sum(len(piece) for piece in response.stream(65536))


@job
def download_readinto(url: str, size: int) -> int:
    import poollib

    response = poollib.request("GET", f"{url}/body/{size}", preload_content=False, timeout=60)
    buffer, total = bytearray(65536), 0
    while n := response.readinto(buffer):
        total += n
    return total


@job
def download_chunked(url: str, size: int) -> int:
    import poollib

    response = poollib.request("GET", f"{url}/chunked/{size}", preload_content=False, timeout=60)
    return sum(len(piece) for piece in response.stream(65536))


@job
def download_to_file(url: str, size: int) -> int:
    import poollib

    with open(os.devnull, "wb") as file:
        return poollib.download(f"{url}/body/{size}", file).size_bytes


@job
def announced_alone(url: str, size: int) -> int:
    """A server that announces all of it and sends ten bytes: nothing is made room for on its word."""
    import poollib

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n0123456789".encode())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            poollib.request("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=60, retries=False)
        except poollib.exceptions.ProtocolError:
            return size
        finally:
            thread.join()
    return 0


@job
def gzip_bomb(url: str, size: int) -> int:
    """1000 : 1, read by ``stream(64 KiB)``."""
    import poollib

    response = poollib.request("GET", f"{url}/bomb/{size}", preload_content=False, timeout=60)
    return sum(len(piece) for piece in response.stream(65536))


@job
def upload_file(url: str, size: int) -> int:
    import poollib

    with sparse_file(size) as file:
        return int(poollib.request("PUT", url, body=file, timeout=60).data)


@job
def upload_read(url: str, size: int) -> int:
    """A file that sendfile can't take: its class has a ``read`` of its own."""
    import io

    import poollib

    class Mine(io.FileIO):
        pass

    with sparse_file(size) as file, Mine(file.name) as mine:
        return int(poollib.request("PUT", url, body=mine, timeout=60).data)


@job
def upload_chunked(url: str, size: int) -> int:
    import poollib

    piece = bytes(16384)
    pieces = (piece for _ in range(size // len(piece)))
    return int(poollib.request("PUT", url, body=pieces, timeout=60).data)


@job
def upload_multipart(url: str, size: int) -> int:
    """Half the size: one file in a form."""
    import poollib

    with sparse_file(size // 2) as file:
        response = poollib.request("POST", url, fields={"name": "value", "file": ("name.bin", file)}, timeout=60)
    return int(response.data)


def whole(url: str, size: int) -> int:
    """The counter-proof, run only by name: a body that is kept needs its size."""
    import poollib

    return len(poollib.request("GET", f"{url}/body/{size}", timeout=60).data)


def sparse_file(size: int) -> tempfile._TemporaryFileWrapper[bytes]:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - the jobs close it
    file.truncate(size)
    return file


def measure(name: str, url: str, size: int) -> None:
    """Run one job in this process, and print bytes, resting memory and peak (KiB)."""
    run_job = JOBS.get(name, whole)
    run_job(url, 4 * MIB)
    gc.collect()
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    rest = status_kib("VmRSS")
    moved = run_job(url, size)
    print(json.dumps({"bytes": moved, "rest_kib": rest, "peak_kib": status_kib("VmHWM")}))


def status_kib(field: str) -> int:
    match = re.search(rf"{field}:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1])


# In the parent: a server that sends and takes what it is told


class Server:
    """Serves one request per connection, each in a thread."""

    def __enter__(self) -> Server:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as file:
            method, target = file.readline().decode().split()[:2]
            fields = dict(line.decode().lower().strip().split(": ", 1) for line in iter(file.readline, b"\r\n"))
            if method == "GET":
                _, kind, size = target.split("/")
                self._send(sock, kind, int(size))
            else:
                length = int(fields["content-length"]) if "content-length" in fields else None
                body = b"%d" % sum(taken(file, length))
                sock.sendall(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                )

    def _send(self, sock: socket.socket, kind: str, size: int) -> None:
        block = bytes(MIB)
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
        if kind == "bomb":
            press = zlib.compressobj(9, wbits=31)
            sock.sendall(head + b"Content-Encoding: gzip\r\n\r\n")
            for _ in range(size // MIB):
                sock.sendall(press.compress(block))
            sock.sendall(press.flush())
            return
        framing = b"Transfer-Encoding: chunked" if kind == "chunked" else b"Content-Length: %d" % size
        sock.sendall(head + framing + b"\r\n\r\n")
        if kind == "chunked":
            block = (b"2000\r\n" + bytes(8192) + b"\r\n") * 128
        for _ in range(size // MIB):
            sock.sendall(block)
        if kind == "chunked":
            sock.sendall(b"0\r\n\r\n")


def taken(file: object, length: int | None) -> Iterator[int]:
    """The sizes of a request body's pieces."""
    assert hasattr(file, "read") and hasattr(file, "readline")  # noqa: PT018
    if length is not None:
        while length and (n := len(file.read(min(length, MIB)))):
            length -= n
            yield n
        return
    while size := int(file.readline(), 16):
        yield len(file.read(size + 2)) - 2
    file.readline()


def run(name: str, url: str, size: int) -> dict[str, int]:
    """The figures of one job, measured in a fresh process."""
    command = [sys.executable, __file__, "--measure", name, url, str(size)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)
    figures: dict[str, int] = json.loads(done.stdout)
    return figures


def rows(names: list[str], size: int) -> Iterator[tuple[str, float, float, float]]:
    """Job, MiB moved, MiB at rest, MiB of the peak above it."""
    with Server() as server:
        for name in names:
            figures = run(name, server.url, size)
            peak = (figures["peak_kib"] - figures["rest_kib"]) / 1024
            yield name, figures["bytes"] / MIB, figures["rest_kib"] / 1024, peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=", ".join(JOBS))
    parser.add_argument("--mib", type=int, default=1024)
    arguments = parser.parse_args()
    worst = 0.0
    print(f"{'job':20} {'MiB moved':>10} {'at rest':>8} {'peak above':>11}")
    for name, moved, rest, peak in rows(arguments.jobs or list(JOBS), arguments.mib * MIB):
        print(f"{name:20} {moved:10.0f} {rest:8.1f} {peak:11.1f}", flush=True)
        worst = max(worst, peak)
    return int(worst > LIMIT_MIB)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(main())
