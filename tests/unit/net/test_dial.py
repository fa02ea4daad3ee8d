"""Names to addresses to a connected socket, on loopback; and what counts as quiet."""

from __future__ import annotations

import errno
import importlib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from poollib.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from poollib.net import dial, dns, happy_eyeballs
from tests.support.silence import silent_address

Info = tuple[int, int, int, str, Any]


def info(port: int, host: str = "127.0.0.1") -> Info:
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))


def answering(*infos: Info) -> Callable[[str, int], list[Info]]:
    return lambda host, port: list(infos)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def port(listener: socket.socket) -> int:
    number: int = listener.getsockname()[1]
    return number


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and that refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that never answers: its queue of one is full, and Linux drops what comes then."""
    if sys.platform != "linux":
        pytest.skip("a full accept queue is silent on Linux only")
    with silent_address() as (_, port):
        yield port


# Connecting


@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_the_socket_is_connected_and_has_the_timeout_that_was_named(port: int, timeout_s: float | None) -> None:
    with dial.connect("127.0.0.1", port, timeout_s=timeout_s) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)
        assert sock.gettimeout() == timeout_s


def test_a_default_timeout_of_the_process_does_not_reach_the_socket(port: int) -> None:
    """None means blocking, whatever socket.setdefaulttimeout says."""
    socket.setdefaulttimeout(7)
    try:
        with dial.connect("127.0.0.1", port, timeout_s=None) as sock:
            assert sock.gettimeout() is None
    finally:
        socket.setdefaulttimeout(None)


def test_options_are_set_and_the_source_address_is_bound(port: int) -> None:
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    with dial.connect("127.0.0.1", port, timeout_s=5, source_address=("127.0.0.1", 0), socket_options=options) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert sock.getsockname()[0] == "127.0.0.1"


def test_the_keepalive_preset_sets_what_the_platform_has(port: int) -> None:
    with dial.connect("127.0.0.1", port, timeout_s=5, socket_options=dial.TCP_KEEPALIVE) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        assert [sock.getsockopt(*option[:2]) for option in dial.TCP_KEEPALIVE[1:]] == [
            option[2] for option in dial.TCP_KEEPALIVE[1:]
        ]


@pytest.mark.skipif(not dns.HAS_IPV6, reason="no IPv6 here")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_may_stand_in_brackets(host: str) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        with dial.connect(host, server.getsockname()[1], timeout_s=5) as sock:
            assert sock.getpeername()[0] == "::1"


def test_the_zone_of_an_address_reaches_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 4007 section 11: the zone is this machine's business, and getaddrinfo's."""
    asked: list[str] = []

    def lookup(host: str, *rest: object) -> list[Info]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(NameResolutionError):
        dial.connect("[fe80::1%eth0]", 80, timeout_s=1)
    assert asked == ["fe80::1%eth0"]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_unix_path_is_connected_to_and_tcp_options_are_left_out(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        with dial.connect("localhost", 0, timeout_s=5, uds=path, socket_options=options) as sock:
            assert sock.getpeername() == path
            assert sock.gettimeout() == 5


def test_a_unix_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "missing")
    with pytest.raises(NewConnectionError, match=f"Failed to establish a new connection: .*{path}"):
        dial.connect("localhost", 0, timeout_s=5, uds=path)


# Errors


def test_a_refused_connection_names_host_port_and_owner(refusing_port: int) -> None:
    with pytest.raises(NewConnectionError) as caught:
        dial.connect("127.0.0.1", refusing_port, timeout_s=5, owner="the connection")
    assert str(caught.value).startswith("the connection: Failed to establish a new connection: [Errno ")
    assert f"127.0.0.1:{refusing_port}" in str(caught.value)
    assert caught.value.conn == "the connection"
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_a_silent_host_times_out_with_the_numbers(dead_port: int) -> None:
    with pytest.raises(ConnectTimeoutError, match=rf"127\.0\.0\.1:{dead_port} timed out. \(connect timeout=0.02\)"):
        dial.connect("127.0.0.1", dead_port, timeout_s=0.02)


def test_two_silent_addresses_take_no_more_than_the_timeout(dead_port: int) -> None:
    """The timeout is one for all addresses, not one each. A busy machine may add to it, but not each time."""

    def spent_s() -> float:
        started = time.monotonic()
        with pytest.raises(ConnectTimeoutError):
            dial.connect("x", 1, timeout_s=0.04, resolver=answering(info(dead_port), info(dead_port)))
        return time.monotonic() - started

    assert any(spent_s() < 0.075 for _ in range(5))


def test_a_slow_lookup_counts_against_the_timeout(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(dial, "monotonic", lambda: now[0])
    monkeypatch.setattr(happy_eyeballs, "monotonic", lambda: now[0])

    def slow(host: str, port: int) -> list[Info]:
        now[0] += 3
        return [info(port)]

    with pytest.raises(ConnectTimeoutError):
        dial.connect("x", port, timeout_s=2, resolver=slow)


def test_a_name_without_an_address_is_a_name_resolution_error() -> None:
    def unknown(host: str, port: int) -> list[Info]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(NameResolutionError, match=r"Failed to resolve 'nowhere\.invalid'.*not known"):
        dial.connect("nowhere.invalid", 80, timeout_s=5, resolver=unknown)
    with pytest.raises(NameResolutionError, match="gave no address"):
        dial.connect("nowhere.invalid", 80, timeout_s=5, resolver=answering())


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", ".example", "a\0b"])
def test_what_is_no_host_name_is_a_parse_error(host: str) -> None:
    """urllib3 has LocationParseError there, which is a ValueError too."""
    with pytest.raises(LocationParseError, match="label empty or too long"):
        dial.connect(host, 80, timeout_s=5)
    with pytest.raises((LocationParseError, OSError, ValueError)):
        dial.create_connection((host, 80), 5)


@pytest.mark.parametrize("host", ["example%2F.com", "127.0.0.1%40evil.example", "127.0.0.1%25lo", "a%20b"])
def test_a_host_with_percent_encoded_characters_is_not_looked_up(host: str) -> None:
    """``parse_url`` keeps them; a resolver that decodes would reach another host (CVE-2022-27780)."""
    asked: list[str] = []

    def resolver(name: str, port: int) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"]

    with pytest.raises(LocationParseError, match="percent-encoded"):
        dial.connect(host, 80, timeout_s=5, resolver=resolver)
    assert asked == []


class Torn(BaseException):
    """Stands for a KeyboardInterrupt at the worst moment."""


@pytest.mark.parametrize("error", [OSError(errno.EPERM, "not allowed"), Torn()])
@pytest.mark.parametrize("method", ["setsockopt", "bind", "connect", "settimeout"])
@pytest.mark.parametrize("addresses", [1, 2])
def test_no_socket_is_left_open_whatever_fails(
    method: str, error: BaseException, addresses: int, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []

    class Failing(socket.socket):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    def fail(self: socket.socket, *args: object) -> None:
        raise error

    monkeypatch.setattr(Failing, method, fail, raising=False)
    monkeypatch.setattr(socket, "socket", Failing)
    with pytest.raises((NewConnectionError, Torn)):
        dial.connect(
            "x",
            port,
            timeout_s=5,
            source_address=("127.0.0.1", 0),
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            resolver=answering(*[info(port)] * addresses),
        )
    assert made
    assert all(sock.fileno() == -1 for sock in made)


# Racing


@pytest.mark.slow
def test_a_dead_first_address_costs_less_than_400_ms(port: int, dead_port: int) -> None:
    """RFC 8305 section 5: the second one starts after 250 ms."""
    started = time.monotonic()
    with dial.connect("x", 1, timeout_s=5, resolver=answering(info(dead_port), info(port))) as sock:
        assert sock.getpeername()[1] == port
        assert sock.gettimeout() == 5
        sock.sendall(b"usable")
    assert time.monotonic() - started < 0.4


def test_the_next_address_starts_beside_a_silent_one(
    port: int, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without the wait: the delay is set to 10 ms."""
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY_S", 0.01)
    with dial.connect("x", 1, timeout_s=None, resolver=answering(info(dead_port), info(port))) as sock:
        assert sock.getpeername()[1] == port
        assert sock.gettimeout() is None


def test_after_a_failure_the_next_address_starts_at_once(
    port: int, refusing_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY_S", 60)
    addresses = answering(info(refusing_port), info(refusing_port), info(port))
    with dial.connect("x", 1, timeout_s=5, resolver=addresses) as sock:
        assert sock.getpeername()[1] == port


def test_when_all_addresses_fail_the_last_error_is_told(refusing_port: int) -> None:
    with pytest.raises(NewConnectionError, match=r"refused|Refused"):
        dial.connect("x", 1, timeout_s=5, resolver=answering(info(refusing_port), info(refusing_port)))


def test_an_address_of_a_family_that_does_not_work_is_passed_over(port: int) -> None:
    """A network without IPv6 answers at once: that attempt costs nothing."""
    strange = (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("2001:db8::1", port, 0, 0))
    with dial.connect(
        "x", 1, timeout_s=5, source_address=("127.0.0.1", 0), resolver=answering(strange, info(port))
    ) as sock:
        assert sock.family == socket.AF_INET


def test_a_socket_that_can_only_connect_tries_one_address_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As httpretty's, whose resolver gives the name itself, twice."""
    tried: list[Any] = []

    class Mock:
        def __init__(self, *words: Any) -> None:
            self.timeout: float | None = None

        def gettimeout(self) -> float | None:
            return self.timeout

        def settimeout(self, timeout_s: float | None) -> None:
            self.timeout = timeout_s

        def connect(self, address: Any) -> None:
            tried.append(address)
            if len(tried) == 1:
                raise ConnectionRefusedError(111, "refused")

        def close(self) -> None:
            tried.append("closed")

    monkeypatch.setattr(socket, "socket", Mock)
    made = dial.connect("x", 80, timeout_s=5, resolver=answering(info(1), info(2)))
    assert isinstance(made, Mock)
    assert tried == [info(1)[4], "closed", info(2)[4]]


class Guarded(RuntimeError):
    """What pytest-socket raises: no OSError, so that no code under test takes it for a failure of the network."""


@pytest.mark.parametrize("addresses", [1, 2])
def test_who_guards_connect_guards_every_connection(
    addresses: int, port: int, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two addresses were connected to by ``connect_ex``, past the guard."""

    def guarded(sock: socket.socket, address: Any) -> None:
        raise Guarded(address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    with pytest.raises(Guarded):
        dial.connect("x", 1, timeout_s=5, resolver=answering(*[info(port)] * addresses))
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.fixture
def frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As freezegun has it: time stands still, and only the system's waits tell that it passes."""
    calls = iter(range(200))

    def clock() -> float:
        assert next(calls, None) is not None, "a loop that only the clock ends"
        return 100.0

    for module in (dial, happy_eyeballs):
        monkeypatch.setattr(module, "monotonic", clock)
    monkeypatch.setattr(happy_eyeballs, "ATTEMPT_DELAY_S", 0.01)


@pytest.mark.usefixtures("frozen_clock")
@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_where_the_clock_stands_still_the_next_address_is_tried(
    port: int, dead_port: int, timeout_s: float | None
) -> None:
    with dial.connect("x", 1, timeout_s=timeout_s, resolver=answering(info(dead_port), info(port))) as sock:
        assert sock.getpeername()[1] == port


@pytest.mark.usefixtures("frozen_clock")
def test_where_the_clock_stands_still_silent_addresses_time_out(dead_port: int) -> None:
    with pytest.raises(ConnectTimeoutError):
        dial.connect("x", 1, timeout_s=0.03, resolver=answering(info(dead_port), info(dead_port)))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_an_attempt_that_is_through_or_lost_at_once_needs_no_waiting(tmp_path: Path) -> None:
    """Unix sockets answer at once: the first path is missing, the second one listens, the third is not tried."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        unix = [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", name) for name in (str(tmp_path / "no"), path, path)]
        with dial.connect("x", 1, timeout_s=5, resolver=lambda host, port: unix) as sock:
            assert sock.getpeername() == path
        server.accept()[0].close()
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_addresses_alternate_between_families() -> None:
    """RFC 8305 section 4, from the family that getaddrinfo put first."""
    six = [(socket.AF_INET6, 1, 0, "", (str(n),)) for n in range(3)]
    four = [(socket.AF_INET, 1, 0, "", (str(n),)) for n in range(2)]
    assert happy_eyeballs.interleaved([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]
    assert happy_eyeballs.interleaved([*four, *six])[:2] == [four[0], six[0]]


# Resolving


def test_a_resolver_may_answer_with_numeric_addresses(port: int) -> None:
    with dial.connect("anything.example", port, timeout_s=5, resolver=lambda host, port: ["127.0.0.1"]) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)


def test_an_answer_that_leads_nowhere_is_not_kept(refusing_port: int, dead_port: int) -> None:
    cases = ((refusing_port, NewConnectionError, 5), (dead_port, ConnectTimeoutError, 0.01))
    for port, error, timeout_s in cases:
        asked: list[str] = []

        def ask(host: str, port: int, asked: list[str] = asked) -> list[Info]:
            asked.append(host)
            return [info(port)]

        names = dns.CachingResolver(ask, lifetime_s=1000)
        for _ in range(2):
            with pytest.raises(error):
                dial.connect("a", port, timeout_s=timeout_s, resolver=names)
        assert len(asked) == 2


# urllib3 names


def test_create_connection_lets_errors_through_as_they_are(port: int, refusing_port: int) -> None:
    with dial.create_connection(("127.0.0.1", port), 5, socket_options=dial.TCP_KEEPALIVE) as sock:
        assert sock.gettimeout() == 5
    with pytest.raises(ConnectionRefusedError):
        dial.create_connection(("127.0.0.1", refusing_port), 5)


def test_create_connection_without_timeout_takes_the_default_of_the_process(port: int) -> None:
    socket.setdefaulttimeout(9)
    try:
        with dial.create_connection(("127.0.0.1", port)) as sock:
            assert sock.gettimeout() == 9
        with dial.create_connection(("127.0.0.1", port), None) as sock:
            assert sock.gettimeout() is None
    finally:
        socket.setdefaulttimeout(None)


def test_options_are_set_by_a_function_that_programs_replace(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """``urllib3.util.connection._set_socket_options``, for one address and for a race."""
    seen: list[Any] = []
    util = importlib.import_module("poollib.util.connection")
    monkeypatch.setattr(util, "_set_socket_options", lambda sock, options: seen.append(options))
    option = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    dial.connect("127.0.0.1", port, timeout_s=5, socket_options=[option]).close()
    both = lambda host, port: ["127.0.0.1", "127.0.0.1"]  # noqa: E731
    dial.connect("two.example", port, timeout_s=5, socket_options=[option], resolver=both).close()
    dial.create_connection(("127.0.0.1", port), 5).close()
    assert seen == [[option], [option], None]
