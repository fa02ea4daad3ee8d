"""The cookbook's recipes do what they say: each runs by itself, against servers of every kind that they name.

A recipe with somebody else's package is skipped where that is not installed. Recipes that patch or fork the process
run in one of their own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import poollib
from poollib.demo.practice_server import PracticeServer
from tests.support import pages
from tests.support.certs import certs
from tests.support.proxies import Listener

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/cookbook.rst"
THEIRS = ("botocore", "celery", "django", "fastapi", "gevent")
OF_ITS_OWN = ("os.fork", "celery", "django", "fastapi", "gevent")


def recipes() -> dict[str, list[str]]:
    """Title and blocks of each; the page's own blocks, before the first, are not among them."""
    parts = re.split(r"^(.+)\n~{3,}\n", PAGE.read_text(), flags=re.M)[1:]
    return {title: pages.code_blocks_of(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


RECIPES = recipes()


class _Socks5(socketserver.StreamRequestHandler):
    """CONNECT to a name, without login (RFC 1928)."""

    def handle(self) -> None:
        self.rfile.read(self.rfile.read(2)[1])
        self.wfile.write(b"\x05\x00")
        self.rfile.read(4)
        name = self.rfile.read(self.rfile.read(1)[0]).decode()
        port = int.from_bytes(self.rfile.read(2), "big")
        with socket.create_connection((name, port), 10) as onward:
            self.wfile.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            _pass_on_both_ways(self.connection, onward)


def _pass_on_both_ways(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_pass_on, args=(other, one))
    back.start()
    _pass_on(one, other)
    back.join(10)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def served(server: socketserver.TCPServer) -> Iterator[str]:
    """The port, as text, while it serves."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield str(server.server_address[1])
        finally:
            server.shutdown()
            thread.join(10)


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """Everything that recipes ask for, by the port that they name."""
    with contextlib.ExitStack() as stack:
        plain = PracticeServer(0)
        tls, mutual = PracticeServer(0), PracticeServer(0)
        tls.socket = certs().server("localhost").wrap_socket(tls.socket, server_side=True)
        mutual.socket = certs().server("localhost", wants_client=True).wrap_socket(mutual.socket, server_side=True)
        ports = {"8080": stack.enter_context(served(plain)), "8443": stack.enter_context(served(mutual))}
        ports["8444"] = stack.enter_context(served(tls))
        ports["1080"] = stack.enter_context(served(_ThreadingServer(("127.0.0.1", 0), _Socks5)))
        ports["3128"] = str(stack.enter_context(Listener()).port)

        class ToPlain(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", int(ports["8080"])), 10) as onward:
                    _pass_on_both_ways(self.request, onward)

        stack.enter_context(served(_ThreadingUnixServer(str(folder / "server.sock"), ToPlain)))
        yield ports


class _ThreadingServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


class _ThreadingUnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def _prelude() -> str:
    return pages.code_blocks(PAGE)[0][1]


def _missing(code: str) -> str | None:
    """The first package of somebody else that the recipe imports and that is not here."""
    for name in THEIRS:
        if re.search(rf"^(from|import) {name}\b", code, re.M) and importlib.util.find_spec(name) is None:
            return name
    return None


@pytest.mark.parametrize("title", RECIPES)
@pytest.mark.may_leave("the servers' threads end when their connections do")
def test_a_recipe_prints_what_it_promises(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "\n".join([_prelude(), *RECIPES[title]])
    if (missing := _missing(code)) is not None:
        pytest.skip(f"{missing} is not installed")
    monkeypatch.chdir(tmp_path)
    shutil.copy(certs().ca_file, "authority.pem")
    for name, pair in (("me", certs().client()), ("next", certs().pair("next@poollib.example"))):
        shutil.copy(pair.cert_file, f"{name}.pem")
        shutil.copy(pair.key_file, f"{name}.key")
    with servers(tmp_path) as ports:
        here = re.sub(r"(?<=localhost:)\d{4}|(?<=\"localhost\", )\d{4}", lambda match: ports[match[0]], code)
        printed = in_a_process(here) if any(name in code for name in OF_ITS_OWN) else in_this_process(here)
    assert printed.splitlines() == pages.promised(code)


def in_this_process(code: str) -> str:
    """What the code prints; clients that it leaves open are closed."""
    names: dict[str, object] = {"__name__": "recipe"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(PAGE), "exec"), names)
    for value in names.values():
        if isinstance(value, poollib.Client):
            value.close()
        elif isinstance(value, poollib.PoolManager):
            value.close_all()
    return printed.getvalue()


def in_a_process(code: str) -> str:
    """The same of a process that the code may patch and fork."""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_recipes_and_each_promises_something() -> None:
    assert len(RECIPES) >= 30
    assert "Thirty-four" in PAGE.read_text()
    assert len(RECIPES) == 34
    assert [title for title, blocks in RECIPES.items() if not pages.promised("\n".join(blocks))] == []
