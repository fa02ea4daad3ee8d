"""How much processor time a small GET by requests takes on poollib and on urllib3, in turns.

    python tests/benchmarks/with_requests.py [ROUNDS]

Needs requests and urllib3 (tests/compat/requirements.txt). The server is a process of its own on the same core, so that
waking it costs both the same; figures are the least over the rounds. docs/moving.rst quotes the ratio.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REQUESTS = 2000

SERVER = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
answer = (b"HTTP/1.1 200 OK\\r\\nServer: s\\r\\nDate: Sat, 21 Nov 2026 10:00:00 GMT\\r\\nContent-Type: text/plain\\r\\n"
          b"Content-Length: 13\\r\\nConnection: keep-alive\\r\\n\\r\\nHello, world!")
def serve(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while sock.recv(65536):
        sock.sendall(answer)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

CLIENT = """
import sys, time
if sys.argv[1] == "poollib":
    import poollib
    poollib.install_as_urllib3()
import requests
session, url, count = requests.Session(), sys.argv[2], int(sys.argv[3])
for _ in range(200):
    session.get(url)
begin = time.process_time()
for _ in range(count):
    session.get(url)
print((time.process_time() - begin) / count)
"""


def measured(library: str, url: str) -> float:
    """Seconds of processor time per request; few environment variables, since requests looks at each every time."""
    words = [sys.executable, "-c", CLIENT, library, url, str(REQUESTS)]
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT)}
    return float(subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = f"http://localhost:{server.stdout.readline().strip()}/"
            least = {"urllib3": 1.0, "poollib": 1.0}
            for _ in range(rounds):
                for library in least:
                    least[library] = min(least[library], measured(library, url))
        finally:
            server.terminate()
    for library, seconds in least.items():
        print(f"{library:8} {seconds * 1e6:6.1f} us")
    print(f"ratio    {least['poollib'] / least['urllib3']:6.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
