"""The README's quick start does what it says: its blocks run in turn, and print what their comments promise."""

import json
import pathlib
import re
import ssl
import threading
from collections.abc import Iterator

import pytest
import trustme

from tests.support import pages
from tests.support.httpd import Httpd, Request, Response, Route

README = pathlib.Path(__file__).resolve().parents[2] / "README.rst"


class Sometimes:
    """A route that refuses twice and then answers."""

    def __init__(self) -> None:
        self.visits = 0

    def __call__(self, request: Request) -> Response:
        self.visits += 1
        return Response(b"at last") if self.visits > 2 else Response(b"later", status=503)


def add_item(request: Request) -> Response:
    assert request.header("User-Agent") == "quick-start"
    return Response(json.dumps({"id": 1, **json.loads(request.body)}).encode())


def hello(request: Request) -> Response:
    return Response(f"hello {request.query['name']}".encode(), headers={"Content-Type": "text/plain"})


@pytest.fixture
def plain() -> Iterator[Httpd]:
    """The server that the README calls localhost:8080."""
    over = threading.Event()

    def slow(request: Request) -> Response:
        over.wait(5)
        return Response(b"late", close=True)

    routes: dict[str, Route] = {
        "/hello": hello,
        "/items": add_item,
        "/big": lambda request: Response(b"0123456789" * 100_000),
        "/upload": lambda request: Response(b"got %d bytes" % len(request.body)),
        "/slow": slow,
        "/sometimes": Sometimes(),
    }
    with Httpd(routes) as server:
        yield server
        over.set()


@pytest.fixture
def mutual(tmp_path: pathlib.Path) -> Iterator[Httpd]:
    """The server that the README calls localhost:8443; the files that it names are in the test's folder."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("localhost").configure_cert(context)
    client = authority.issue_cert("client@example.org")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    client.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    with Httpd({"/whoami": lambda request: Response(b"client@example.org")}, tls=context) as server:
        yield server


def test_the_quick_start_prints_what_it_promises(
    plain: Httpd, mutual: Httpd, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block is run with the local servers' ports in place of the README's."""
    monkeypatch.chdir(tmp_path)

    def localised(code: str) -> str:
        local = re.sub(r"localhost:8080|(?<=\"localhost\", )8080", lambda match: match[0][:-4] + str(plain.port), code)
        return local.replace("localhost:8443", f"localhost:{mutual.port}")

    assert len(pages.code_blocks(README)) >= 6
    pages.run(README, localised)


def test_every_print_of_the_quick_start_promises_something() -> None:
    for line, code in pages.code_blocks(README):
        assert code.count("print(") == len(pages.promised(code)), f"README.rst, line {line}"


def test_the_two_commands_stand_in_the_readme_as_continuous_integration_runs_them() -> None:
    text = README.read_text()
    assert "\n    python3 -m poollib demo\n" in text
    assert "\n    python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest\n" in text
