"""What a URL costs in bulk: processor time and memory of ``poollib.bulk`` beside threads with urllib3 or requests.

    python -m tests.benchmarks.bulk [--urls N] [--rounds N] [--dry N]

Needs nginx and Linux, and urllib3 and requests for the peers; one that is missing is left out. 50 hosts (127.0.0.2 to
127.0.0.51), 32 threads, small bodies; each run is a process of its own, and figures are the least over the rounds.
``--dry N``: resident memory for a generator of N URLs of which nothing is sent, at each tenth.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.nginx import find_nginx, free_ports

HOSTS = 50
KINDS = (
    *("urllib3", "requests", "poollib threads", "bulk", "bulk to files", "bulk pipeline 8", "bulk pipeline 32"),
    *("bulk processes", "bulk processes pipeline 32"),
)

CONFIG = """
worker_processes 1; daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log warn;
events {{ worker_connections 2048; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 3600;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
  scgi_temp_path {dir}/s; default_type text/plain;
  server {{ {listen} location / {{ return 200 'forty-two bytes of text for each of the URLs'; }} }}
}}
"""

#: Prints the microseconds of processor time per URL, that of two worker processes and their start included.
CLIENT = """
import multiprocessing, resource, sys, tempfile, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
kind, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
urls = [f"http://127.0.0.{2 + n % 50}:{port}/{n}" for n in range(count)]

def by_threads(get):
    with ThreadPoolExecutor(32) as threads:
        return sum(threads.map(get, urls))

def urllib3(library="urllib3"):
    manager = __import__(library).PoolManager(num_pools=50, maxsize=32)
    return by_threads(lambda url: manager.request("GET", url).status == 200)

def requests():
    import requests
    local = threading.local()
    def get(url):
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=50))
        return local.session.get(url).status_code == 200
    return by_threads(get)

def bulk():
    from poollib.bulk import fetch
    depth = int(kind.split()[-1]) if "pipeline" in kind else 1
    spawn = multiprocessing.get_context("spawn")
    executor = (lambda: ProcessPoolExecutor(2, mp_context=spawn)) if "processes" in kind else None
    with tempfile.TemporaryDirectory() as folder:
        results = fetch(urls, executor=executor, pipeline=depth, to=folder if "files" in kind else None)
        return sum(result.is_ok for result in results)

runs = {"urllib3": urllib3, "requests": requests, "poollib threads": lambda: urllib3("poollib")}
def spent_s():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)

start = spent_s()
assert runs.get(kind, bulk)() == count
print((spent_s() - start) / count * 1e6)
"""

#: Prints resident kB at each tenth, and the microseconds of processor time per URL.
DRY = """
import sys, time
from poollib.bulk import Result, fetch
from poollib.bulk.worker import Worker
count = int(sys.argv[1])
Worker.fetch_one = lambda self, request: Result(request, 200)
def resident_kb():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
start, done, sizes = time.process_time(), 0, []
for _ in fetch(f"http://h{n % 1000}.test/{n}" for n in range(count)):
    done += 1
    if done % (count // 10) == 0:
        sizes.append(resident_kb())
print(*sizes, "kB;", round((time.process_time() - start) / count * 1e6, 1), "us a URL")
"""


@contextmanager
def nginx() -> Iterator[int]:
    """A server on 50 addresses of loopback; gives its port."""
    binary = find_nginx()
    if binary is None:
        raise SystemExit("nginx is needed")
    with tempfile.TemporaryDirectory() as folder:
        (port,) = free_ports(1)
        listen = " ".join(f"listen 127.0.0.{2 + n}:{port};" for n in range(HOSTS))
        config = pathlib.Path(folder, "nginx.conf")
        config.write_text(CONFIG.format(dir=folder, listen=listen))
        server = subprocess.Popen([binary, "-p", folder, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield port
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="What a URL costs in bulk.")
    parser.add_argument("--urls", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", type=int, default=0)
    given = parser.parse_args()
    if given.dry:
        subprocess.run([sys.executable, "-c", DRY, str(given.dry)], check=True)
        return
    least: dict[str, float] = {}
    with nginx() as port:
        for _ in range(given.rounds):
            for kind in KINDS:
                command = [sys.executable, "-c", CLIENT, kind, str(port), str(given.urls)]
                with suppress(subprocess.CalledProcessError):
                    printed = subprocess.run(command, check=True, capture_output=True).stdout
                    least[kind] = min(float(printed), least.get(kind, float("inf")))
    for kind, cost in least.items():
        print(f"{kind:26} {cost:7.1f} us a URL   {cost / least['bulk']:5.2f}")


if __name__ == "__main__":
    main()
