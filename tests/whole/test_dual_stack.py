"""Names with several addresses, some of them dead: RFC 8305 over real sockets.

A dead address swallows what is sent to it, so connecting there never ends. With a network namespace of its own (root
on Linux) the test makes such an address; everywhere on Linux a listener whose queue is full does the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from poollib import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from poollib.exceptions import ConnectTimeoutError
from tests.support.certs import certs
from tests.support.httpd import Httpd
from tests.support.silence import silent_address

#: What part 4 must show: with a dead first address, connecting takes less.
LIMIT_S = 0.4

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops what a full queue can't take")


@contextlib.contextmanager
def dead_address() -> Iterator[tuple[str, int]]:
    """A loopback address and port where connecting never ends: the queue is full and nobody accepts."""
    with silent_address("127.0.0.3") as address:
        time.sleep(0.01)
        yield address


def at(address: tuple[str, int]) -> tuple[int, int, int, str, tuple[str, int]]:
    """As ``getaddrinfo`` would say it."""
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", address)


@only_linux
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_dead_first_address_costs_a_quarter_of_a_second(secure: bool) -> None:
    with dead_address() as dead, Httpd(tls=certs().server() if secure else None) as server:

        def resolve(host: str, port: int) -> list[object]:
            return [at(dead), at(("127.0.0.1", server.port))]

        kw = {"resolver": resolve, "timeout": 5.0}

        def spent_s() -> float:
            pool = (
                HTTPSConnectionPool("localhost", server.port, ca_certs=certs().ca_file, **kw)
                if secure
                else HTTPConnectionPool("localhost", server.port, **kw)
            )
            with pool:
                start = time.monotonic()
                assert pool.request("GET", "/").status == 200
                return time.monotonic() - start

        # A busy machine may add to it, but not each time.
        assert any(0.24 < spent_s() < LIMIT_S for _ in range(5))


@only_linux
def test_dead_addresses_alone_end_at_the_connect_timeout() -> None:
    with dead_address() as dead:
        timeout = Timeout(connect=0.3)

        def spent_s() -> float:
            with HTTPConnectionPool("x", 1, resolver=lambda host, port: [at(dead), at(dead)], timeout=timeout) as pool:
                start = time.monotonic()
                with pytest.raises(ConnectTimeoutError):
                    pool.request("GET", "/", retries=False)
                return time.monotonic() - start

        assert any(0.29 < spent_s() < LIMIT_S for _ in range(5))


IN_NAMESPACE = """
set -e
ip link set lo up
ip link add dead0 type veth peer name dead1
ip link set dead0 up
ip link set dead1 up
ip address add 2001:db8::1/64 dev dead0 nodad || ip address add 2001:db8::1/64 dev dead0
ip address add 192.0.2.1/24 dev dead0
mount --bind "$1" /etc/hosts
exec "$2" -c "$3"
"""
# The server listens at 127.0.0.1 alone; of dual.test's addresses the IPv6 one, which getaddrinfo puts first, and
# 192.0.2.9 lead to a network without anybody on it.
CLIENT = """
import socket, threading, time
from poollib import HTTPConnectionPool

listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]

def serve():
    while True:
        sock, _ = listener.accept()
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
        sock.close()

threading.Thread(target=serve, daemon=True).start()
for name in ("six.test", "four.test"):
    first = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0][4][0]
    spent = []
    while len(spent) < 5 and min(spent, default=9.0) > 0.4:  # a busy machine may add to it, but not each time
        begin = time.monotonic()
        answer = HTTPConnectionPool(name, port, timeout=5.0).request("GET", "/", retries=False)
        spent.append(time.monotonic() - begin)
    print(name, first, answer.data.decode(), round(min(spent), 3))
"""
HOSTS = "127.0.0.1 localhost\n2001:db8::9 six.test\n127.0.0.1 six.test\n192.0.2.9 four.test\n127.0.0.1 four.test\n"


def can_make_namespaces() -> bool:
    """Whether this process may have a network and mounts of its own."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        return False
    command = ["unshare", "-n", "-m", "ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_dead_address_in_a_network_of_its_own(tmp_path: os.PathLike[str]) -> None:
    if not can_make_namespaces():
        pytest.skip("no network namespaces here: the test above simulates a dead address")
    hosts = os.path.join(tmp_path, "hosts")
    with open(hosts, "w", encoding="ascii") as file:
        file.write(HOSTS)
    command = ["unshare", "-n", "-m", "sh", "-c", IN_NAMESPACE, "sh", hosts, sys.executable, CLIENT]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    rows = [line.split() for line in ran.stdout.splitlines()]
    assert [row[0] for row in rows] == ["six.test", "four.test"]
    for name, first, answer, took_s in rows:
        assert answer == "ok"
        assert float(took_s) < LIMIT_S, f"{name}: {took_s} s, {first} first"
