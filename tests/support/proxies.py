"""Proxies on loopback: tinyproxy, stunnel before it, microsocks and dante from Debian, and one of our own that listens.

Each is a context manager with a `port`; programs run in the foreground with a configuration of their own in `folder`,
an empty directory, and only they are ended. Where a program is not installed, `find` returns None and a test skips with
`why_skipped`. What the tests ask of the proxies is theirs; `Listener` tells what a proxy gets to see.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.support.nginx import free_ports

# How long a program may take to listen, or to end.
WAIT_S = 5.0
START_TRIES = 3
USER, PASSWORD = "user", "pass word"


def find(name: str) -> str | None:
    """The program's path; None where it is not installed."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def why_skipped(name: str) -> str:
    return f"{name} is not installed"


class Program:
    """A server program in the foreground; subclasses say how it is started."""

    name = ""

    def __init__(self, folder: pathlib.Path, *, login: bool = False) -> None:
        self.folder = folder
        self.login = login
        self.port = 0

    def command(self) -> Sequence[str]:
        """How to start it so that it listens at `port`."""
        raise NotImplementedError

    def __enter__(self) -> Program:
        for _ in range(START_TRIES):
            (self.port,) = free_ports(1)
            program, *arguments = self.command()
            output = (self.folder / f"{self.name}.out").open("ab")
            with output:
                self._process = subprocess.Popen(
                    [find(program) or program, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
            if self._is_ready():
                return self
            self._stop()
        raise RuntimeError(f"{self.name} did not start: " + (self.folder / f"{self.name}.out").read_text())

    def __exit__(self, *_: object) -> None:
        self._stop()

    def write(self, name: str, text: str) -> str:
        """A configuration file's path."""
        path = self.folder / name
        path.write_text(text)
        return os.fspath(path)

    def _is_ready(self) -> bool:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return True
            except OSError:
                time.sleep(0.005)
        return False

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Tinyproxy(Program):
    """Forwards and tunnels; with `login`, for `USER` alone. The password may not hold a blank there."""

    name = "tinyproxy"
    PASSWORD = "password"

    def command(self) -> Sequence[str]:
        login = f"BasicAuth {USER} {self.PASSWORD}\n" if self.login else ""
        text = f"Port {self.port}\nListen 127.0.0.1\nTimeout 10\nLogLevel Info\nMaxClients 50\n{login}"
        return ["tinyproxy", "-d", "-c", self.write("tinyproxy.conf", text)]


class Stunnel(Program):
    """TLS at `port`, plain at `behind`: an HTTPS proxy if a proxy listens there."""

    name = "stunnel"

    def __init__(self, folder: pathlib.Path, behind: int, cert_file: str, key_file: str) -> None:
        super().__init__(folder)
        self._settings = f"cert = {cert_file}\nkey = {key_file}\nconnect = 127.0.0.1:{behind}\n"

    def command(self) -> Sequence[str]:
        text = f"foreground = yes\npid =\n[proxy]\naccept = 127.0.0.1:{self.port}\n{self._settings}"
        return ["stunnel", self.write("stunnel.conf", text)]


class Microsocks(Program):
    """SOCKS 5, also with names; with `login`, for `USER` and `PASSWORD` alone."""

    name = "microsocks"

    def command(self) -> Sequence[str]:
        login = ["-u", USER, "-P", PASSWORD] if self.login else []
        return ["microsocks", "-i", "127.0.0.1", "-p", str(self.port), *login]


class Dante(Program):
    """SOCKS 4 and 5; it can only bind and drop rights as root."""

    name = "danted"

    def command(self) -> Sequence[str]:
        text = (
            f"logoutput: stderr\ninternal: 127.0.0.1 port = {self.port}\nexternal: lo\nexternal.rotation: same-same\n"
            "clientmethod: none\nsocksmethod: none\nuser.privileged: root\nuser.unprivileged: nobody\n"
            "client pass { from: 127.0.0.0/8 to: 0/0 }\nsocks pass { from: 127.0.0.0/8 to: 0/0 }\n"
        )
        return ["danted", "-N", "1", "-f", self.write("danted.conf", text)]


@dataclass
class Listener:
    """A CONNECT proxy of our own that keeps every head it was sent; `answer` is what it says to CONNECT.

    `tls`: it is an HTTPS proxy. Everything behind the answer is passed on to where the CONNECT wanted to go, whatever
    `answer` says.
    """

    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    tls: ssl.SSLContext | None = None
    heads: list[bytes] = field(default_factory=list)
    accepted: int = 0

    def __enter__(self) -> Listener:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="proxy")]
        self._stopping = threading.Event()
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        for thread in self._threads:
            thread.join(WAIT_S)
        self._server.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._server.accept()
            if self._stopping.is_set():
                sock.close()
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(sock,), name="proxy")
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(sock.close)
            sock.settimeout(WAIT_S)
            if self.tls is not None:
                sock = stack.enter_context(self.tls.wrap_socket(sock, server_side=True))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = sock.recv(1)
                if not byte:
                    return
                head += byte
            self.heads.append(head)
            host, _, port = head.split(b" ")[1].decode().rpartition(":")
            sock.sendall(self.answer)
            if b" 200 " not in self.answer[:16]:
                return
            onward = stack.enter_context(socket.create_connection((host.strip("[]"), int(port)), WAIT_S))
            self._pass_on(sock, onward)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        """Both ways until either side ends."""
        while not self._stopping.is_set():
            pending = isinstance(one, ssl.SSLSocket) and one.pending()
            ready = [one] if pending else select.select([one, other], [], [], 0.05)[0]
            for sock in ready:
                data = sock.recv(65536)
                if not data:
                    return
                (other if sock is one else one).sendall(data)


@contextlib.contextmanager
def tls_proxy(folder: pathlib.Path, cert_file: str, key_file: str, *, login: bool = False) -> Iterator[int]:
    """The port of an HTTPS proxy: stunnel before tinyproxy."""
    with Tinyproxy(folder, login=login) as plain, Stunnel(folder, plain.port, cert_file, key_file) as outer:
        yield outer.port
