"""The practice server answers what the pages ask for; the pages' own blocks are run in tests/whole/test_pages.py."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from poollib import Client, EventSource
from poollib.demo.practice_server import PracticeServer, main
from tests.support.interrupts import COMMAND_LINE
from tests.support.practice import practice_server


@pytest.fixture
def client() -> Iterator[Client]:
    with practice_server() as server, Client(server.url, timeout=10.0) as client:
        yield client


pytestmark = pytest.mark.may_leave("the server's threads end when their connections do")


def test_items_are_numbered_and_kept(client: Client) -> None:
    assert client.post("items", json={"name": "a"}).json() == {"id": 1, "name": "a"}
    assert client.post("items", json={"name": "b"}).json() == {"id": 2, "name": "b"}
    assert [item["id"] for item in client.get("items").json()] == [1, 2]
    assert client.post("items", body=b"{").status == 400


def test_bodies_of_both_kinds_are_counted(client: Client) -> None:
    assert client.put("upload", body=b"abc").text == "got 3 bytes"
    assert client.put("upload", body=iter([b"ab", b"cde"])).text == "got 5 bytes"
    assert len(client.get("big").data) == 1_000_000


def test_what_is_not_there_names_what_is(client: Client) -> None:
    response = client.get("nothing")
    assert (response.status, "/hello" in response.text) == (404, True)
    assert client.head("hello").status == 200
    assert [client.get("status", params={"code": code}).status for code in (204, 418, 99, "x")] == [204, 418, 400, 400]


def test_events_come_one_by_one(client: Client) -> None:
    with EventSource(client.url_for("events"), manager=client.manager) as source:
        assert [event.data for event, _ in zip(source, range(3), strict=False)] == ["tick 0", "tick 1", "tick 2"]


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    assert f"port {port} can't be had" in capsys.readouterr().err
    assert main(["--port", "70000"]) == 1


def test_the_command_serves_until_it_is_interrupted() -> None:
    command = [sys.executable, "-c", COMMAND_LINE, "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            with Client(line.partition(" ")[0], timeout=10.0) as client:
                assert client.get("hello").text == "hello world"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(("error", "said"), [(BrokenPipeError(), False), (ZeroDivisionError(), True)])
def test_a_client_that_went_away_is_not_told_of(
    error: Exception, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with PracticeServer(0) as server:
        try:
            raise error
        except (OSError, ArithmeticError):
            server.handle_error(None, ("127.0.0.1", 1))
    assert ("Traceback" in capsys.readouterr().err) is said
