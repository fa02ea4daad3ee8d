"""Tools that programs test themselves with: what stands in the place of the network, of time, and of threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

import poollib
from tests.support.certs import Certs
from tests.support.httpd import Httpd, Response
from tests.support.silence import silent_address

freezegun = pytest.importorskip("freezegun")
pytest_socket = pytest.importorskip("pytest_socket")
wsgi_intercept = pytest.importorskip("wsgi_intercept")


# wsgi-intercept


@pytest.fixture
def application() -> Iterator[str]:
    """The URL of a WSGI application that echoes what it gets."""
    from wsgi_intercept import urllib3_intercept

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-Method", environ["REQUEST_METHOD"])])
        return [b"echo: ", environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))]

    wsgi_intercept.add_wsgi_intercept("app.test", 80, lambda: app)
    urllib3_intercept.install()
    yield "http://app.test/"
    urllib3_intercept.uninstall()
    wsgi_intercept.remove_wsgi_intercept()


@pytest.mark.parametrize("body", [b"", b"abc", b"x" * 200_000])
def test_wsgi_intercept_answers(application: str, body: bytes) -> None:
    """Its socket has sendall, makefile and settimeout, and no more."""
    with urllib3.PoolManager(retries=False, timeout=3) as manager:
        response = manager.request("POST", application, body=body)
        assert (response.status, response.data, response.headers["X-Method"]) == (200, b"echo: " + body, "POST")


# pytest-socket


@pytest.mark.parametrize("addresses", [1, 2])
def test_pytest_socket_keeps_every_connection_from_other_hosts(server: Httpd, addresses: int) -> None:
    pytest_socket.socket_allow_hosts(["10.0.0.1"])
    try:
        resolver = {"resolve": {"two.test": ["127.0.0.1"] * addresses}}
        with poollib.PoolManager(retries=False, **resolver) as manager:
            with pytest.raises(pytest_socket.SocketConnectBlockedError):
                manager.request("GET", f"http://two.test:{server.port}/")
    finally:
        pytest_socket._remove_restrictions()
    assert server.opened == 0


def test_pytest_socket_may_stand_before_the_import() -> None:
    program = "import pytest_socket, poollib; pytest_socket.disable_socket(); print(poollib.PoolManager)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == "<class 'poollib.poolmanager.PoolManager'>\n", done.stderr


# freezegun


FROZEN = """
import socket, sys, freezegun, poollib
answering, silent = map(int, sys.argv[1:])
ports = {"answers.test": [silent, answering], "silent.test": [silent, silent]}
def info(port):
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
with freezegun.freeze_time("2026-01-01"):
    resolver = lambda host, port: [info(port) for port in ports[host]]
    with poollib.PoolManager(retries=False, timeout=0.5, resolver=resolver) as manager:
        print(manager.request("GET", "http://answers.test/").data)
        try:
            manager.request("GET", "http://silent.test/")
        except poollib.exceptions.ConnectTimeoutError:
            print("timed out")
    with poollib.PoolManager(retries=False, timeout=3) as manager:
        url = f"http://127.0.0.1:{answering}/"
        print(manager.request("POST", url, body=b"x", expect_continue=0.05).data)
"""


def test_requests_end_where_time_stands_still(server: Httpd) -> None:
    """In a process of its own: freezegun looks into every module there is, and some can't be looked into then."""
    server.routes["/"] = lambda request: Response(b"ok")
    with silent_address() as (_, silent):
        command = [sys.executable, "-W", "ignore", "-c", FROZEN, str(server.port), str(silent)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n") == ["b'ok'", "timed out", "b'ok'", ""], done.stderr


# gevent and eventlet, patched after the import; the server is another process


UPLOAD = """
import sys, poollib
poollib.PoolManager, poollib.HTTPSConnectionPool
which, url, ca_file = sys.argv[1:]
if which == "gevent":
    from gevent import monkey
    monkey.patch_all()
else:
    import eventlet
    eventlet.monkey_patch()
import faulthandler
faulthandler.dump_traceback_later(20, exit=True)
with poollib.PoolManager(ca_certs=ca_file, timeout=5, retries=False) as manager:
    for body in (b"small", b"x" * 5_000_000, iter([b"y" * 1_000_000] * 3)):
        print(manager.request("PUT", url, body=body).data.decode())
    try:
        manager.request("GET", url + "silent", timeout=0.2)
    except poollib.exceptions.ReadTimeoutError:
        print("timed out")
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("which", ["gevent", "eventlet"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_uploads_go_out_where_sockets_are_patched_after_the_import(which: str, scheme: str, authority: Certs) -> None:
    """gevent's TLS socket gives 0 where a send would block: an upload asked it again for ever."""
    pytest.importorskip(which)

    def silent(request: Any) -> Response:
        import time

        time.sleep(0.5)
        return Response(b"late")

    routes = {"/": lambda request: Response(b"%d" % len(request.body)), "/silent": silent}
    with Httpd(routes, tls=authority.server() if scheme == "https" else None) as server:
        command = [sys.executable, "-W", "ignore", "-c", UPLOAD, which, f"{server.url}/", authority.ca_file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n") == ["5", "5000000", "3000000", "timed out", ""], done.stderr
