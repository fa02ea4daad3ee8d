"""What leaves is what was checked: subclasses of str, bytes and int that lie about themselves smuggle nothing.

Each way in is asked with a liar that holds "held" (or a number, or a path); the server must get that, once. Enums with
str give their value, as with urllib3.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterator
from socket import create_connection, socketpair
from typing import Any, cast

import pytest

from poollib import HTTPConnectionPool, HTTPHeaderDict, PoolManager, ProxyManager, make_headers
from poollib.base.endpoint import ProxyHop
from poollib.base.url import Url, encode_target, join, normalize_host, parse_url
from poollib.client.request_encoding import encode_fields
from poollib.connection import HTTPConnection, Options
from poollib.exceptions import NewConnectionError
from poollib.http1.multipart import RequestField, format_header_param_rfc2231
from poollib.http1.request_body import body_to_chunks, to_bytes, to_str
from poollib.net.http_tunnel import authority, http_connect
from poollib.net.socks_tunnel import socks4, socks5, socks_connect
from poollib.policy.proxy_rules import parse_proxy
from tests.support.httpd import Httpd, Request
from tests.support.liars import EVIL, AgreeingText, LyingBytes, LyingInt, LyingText
from tests.support.script import ScriptServer, expect, expect_request, respond, send


class Text(str, enum.Enum):
    NAME = "X-Held"
    VALUE = "held"
    METHOD = "REPORT"
    PATH = "/held"


class Raw(bytes, enum.Enum):
    VALUE = b"held"


def by_pool(server: Httpd, *args: Any, **kw: Any) -> None:
    with HTTPConnectionPool(server.host, server.port) as pool:
        pool.request(*args, **kw)


def by_manager(server: Httpd, method: str, url: str, **kw: Any) -> None:
    with PoolManager() as manager:
        manager.request(method, parse_url(f"{server.url}").url + "/held" if url == "/held" else url, **kw)


def by_urlopen(server: Httpd, method: str, url: str, body: Any = None, headers: Any = None, **kw: Any) -> None:
    with HTTPConnectionPool(server.host, server.port) as pool:
        pool.urlopen(method, url, body, headers, **kw)


def by_connection(server: Httpd, method: str, url: str, body: Any = None, headers: Any = None, **kw: Any) -> None:
    connection = HTTPConnection(server.host, server.port)
    connection.request(method, url, body, headers)
    connection.getresponse()
    connection.close()


class PatchedClass(HTTPConnection):
    """One that an agent has replaced a method of: its requests go through http.client's methods."""

    def send(self, data: Any) -> None:
        super().send(data)


def by_http_client(server: Httpd, method: str, url: str, body: Any = None, headers: Any = None, **kw: Any) -> None:
    connection = PatchedClass(server.host, server.port)
    connection.request(method, url, body, headers)
    connection.getresponse()
    connection.close()


def by_hand(server: Httpd, method: str, url: str, body: Any = None, headers: Any = None, **kw: Any) -> None:
    connection = HTTPConnection(server.host, server.port)
    connection.putrequest(method, url)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.getresponse()
    connection.close()


EVERY_WAY = [by_pool, by_manager, by_urlopen, by_connection, by_http_client, by_hand]
WITH_BODY = EVERY_WAY[:-1]
every_way = pytest.mark.parametrize("ask", EVERY_WAY)
with_body = pytest.mark.parametrize("ask", WITH_BODY)


def asked(ask: Callable[..., None], *args: Any, **kw: Any) -> Request:
    """The one request that the server got."""
    with Httpd() as server:
        ask(server, *args, **kw)
        assert len(server.requests) == 1
        request: Request = server.requests[0]
        assert "Evil" not in dict(request.headers)
        return request


@every_way
@pytest.mark.parametrize("value", [LyingText("held"), LyingBytes(b"held"), Text.VALUE, Raw.VALUE])
def test_a_value_is_what_it_holds(ask: Callable[..., None], value: Any) -> None:
    """``Text.VALUE`` went out as "Text.VALUE", the liars as another request."""
    assert asked(ask, "GET", "/held", headers={"X-Held": value}).header("X-Held") == "held"


@every_way
@pytest.mark.parametrize("name", [LyingText("X-Held"), LyingBytes(b"X-Held"), Text.NAME])
def test_a_name_is_what_it_holds(ask: Callable[..., None], name: Any) -> None:
    assert asked(ask, "GET", "/held", headers={name: "held"}).header("X-Held") == "held"


@every_way
@pytest.mark.parametrize("number", [LyingInt(7)])
def test_a_number_as_value_is_what_it_holds(ask: Callable[..., None], number: Any) -> None:
    assert asked(ask, "GET", "/held", headers={"X-Held": number}).header("X-Held") == "7"


@every_way
@pytest.mark.parametrize("method", [LyingText("REPORT"), Text.METHOD])
def test_a_method_is_what_it_holds(ask: Callable[..., None], method: Any) -> None:
    assert asked(ask, method, "/held").method == "REPORT"


@every_way
def test_an_answer_to_a_head_is_known_by_what_the_method_holds(ask: Callable[..., None]) -> None:
    """One that is equal to nothing was an answer whose body was waited for."""
    with Httpd() as server:
        ask(server, LyingText("HEAD"), "/held", timeout=2)


@pytest.mark.parametrize("ask", [way for way in EVERY_WAY if way is not by_manager])
@pytest.mark.parametrize("path", [LyingText("/held"), Text.PATH])
def test_a_path_is_what_it_holds(ask: Callable[..., None], path: Any) -> None:
    assert asked(ask, "GET", path).target == "/held"


def test_a_url_is_what_it_holds() -> None:
    with Httpd() as server, PoolManager() as manager:
        manager.request("GET", LyingText(f"{server.url}/held"))
        manager.request(
            "GET", LyingText(f"{server.url}/held#x"), fields={"a": Text.VALUE, LyingText("b"): LyingText("1")}
        )
        assert [request.target for request in server.requests] == ["/held", "/held?a=held&b=1"]


BODIES = [LyingText("held"), LyingBytes(b"held"), Text.VALUE, Raw.VALUE, [LyingBytes(b"he"), LyingText("ld")]]


@with_body
@pytest.mark.parametrize("body", BODIES)
def test_a_body_has_the_length_that_is_announced(ask: Callable[..., None], body: Any) -> None:
    """A ``__len__`` of its own made a Content-Length behind which a second request began."""
    assert asked(ask, "POST", "/held", body=body).body == b"held"


class File:
    """An open file that gives liars, one by one."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = list(pieces)

    def read(self, size: int = -1) -> Any:
        return self._pieces.pop(0) if self._pieces else b""


@with_body
def test_what_a_file_gives_is_what_it_holds(ask: Callable[..., None]) -> None:
    assert asked(ask, "POST", "/held", body=File(LyingBytes(b"he"), LyingText("ld"))).body == b"held"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python classes have no buffers before 3.12")
@with_body
def test_a_buffer_is_asked_for_once(ask: Callable[..., None]) -> None:
    """It may answer each time with another one: first for the length, then for what is sent."""

    class Growing:
        asked = 0

        def __buffer__(self, flags: int) -> memoryview:
            self.asked += 1
            return memoryview(b"x" * self.asked)

    for body in (Growing(), [Growing()]):
        assert asked(ask, "POST", "/held", body=body).body == b"x"


def test_json_is_what_it_holds() -> None:
    request = asked(by_pool, "POST", "/held", json={LyingText("a"): Text.VALUE, "b": LyingInt(7)})
    assert request.body == b'{"a":"held","b":7}'


def test_a_form_is_what_it_holds() -> None:
    fields = {LyingText("a"): LyingBytes(b"1"), "b": LyingInt(2), Text.VALUE: Text.VALUE}
    request = asked(by_pool, "POST", "/held", fields=fields, multipart_boundary=LyingText("xx"))
    parts = [part.split(b"\r\n") for part in request.body.split(b"--xx\r\n")[1:]]
    assert [(part[0].partition(b"; ")[2], part[2]) for part in parts] == [
        (b'name="a"', b"1"),
        (b'name="b"', b"2"),
        (b'name="held"', b"held"),
    ]
    assert request.header("Content-Type") == "multipart/form-data; boundary=xx"


def test_a_parts_head_is_what_it_holds() -> None:

    class Type:
        def __str__(self) -> str:
            return LyingText("text/plain")

    field = RequestField(
        LyingBytes(b"a"), "1", filename=LyingText("f"), headers={LyingText("X-Held"): LyingText("held")}
    )
    field.make_multipart(content_type=cast(Any, Type()))
    assert field.render_headers() == (
        'Content-Disposition: form-data; name="a"; filename="f"\r\nContent-Type: text/plain\r\nX-Held: held\r\n\r\n'
    )


def test_a_files_data_in_a_form_is_what_it_holds() -> None:
    fields = {"f": ("name", File(LyingBytes(b"he"), LyingText("ld")))}
    assert b"\r\n\r\nheld\r\n--" in asked(by_pool, "POST", "/held", fields=fields).body


def test_an_urlencoded_form_is_what_it_holds() -> None:
    fields = [(LyingText("a"), LyingBytes(b"1")), ("b", Text.VALUE)]
    assert asked(by_pool, "POST", "/held", fields=fields, encode_multipart=False).body == b"a=1&b=held"


def test_trailers_are_named_as_they_are_sent() -> None:
    trailers = {LyingText("X-Held"): LyingText("held")}
    steps = [expect_request(), respond(b"")]
    with ScriptServer(steps) as server, HTTPConnectionPool(server.host, server.port) as pool:
        pool.request("POST", "/", body=[b"1"], trailers=trailers)
    assert b"\r\nTrailer: X-Held\r\n" in server.received[0]
    assert server.received[0].endswith(b"\r\n0\r\nX-Held: held\r\n\r\n")


class TwoFaced(dict[str, str]):
    """A mapping whose keys are not those of its items."""

    def __iter__(self) -> Iterator[str]:
        return iter([EVIL])


@pytest.mark.parametrize("kind", [HTTPConnection, PatchedClass])
def test_names_of_trailers_are_checked_as_they_are_announced(kind: type[HTTPConnection]) -> None:
    connection = kind("127.0.0.1", 9)
    connection.request_options = Options(trailers=TwoFaced({"X-Held": "held"}))
    ours, theirs = socketpair()
    with ours as connection.sock, theirs, pytest.raises(ValueError, match="header name"):
        connection.request("POST", "/", body=[b"1"])


def test_framing_and_credentials_are_found_under_a_lying_name() -> None:
    """Its ``lower()`` hid a second Content-Length, and Authorization from a redirect to another origin."""
    headers = HTTPHeaderDict({LyingText("Authorization"): LyingText("held")})
    assert "authorization" in headers
    assert headers == {"Authorization": "held"}
    with HTTPConnectionPool("127.0.0.1", 9) as pool, pytest.raises(ValueError, match="more than once"):
        pool.request("GET", "/", headers={LyingText("Content-Length"): "0", "Content-Length": "0"})


def test_fields_are_kept_as_what_they_hold() -> None:
    name, value = LyingText("X-Held"), LyingText("held")
    assigned = HTTPHeaderDict()
    assigned[name] = value
    added = HTTPHeaderDict()
    added.add(name, "first")
    added.add(name, value, combine=True)
    given = HTTPHeaderDict({name: value})
    given._container["x-held"][1] = value  # a subclass may put in what it likes
    for headers in (assigned, added, given.copy()):
        assert [(type(key), type(held)) for key, held in headers.iteritems()] == [(str, str)]
    assert added["x-held"] == "first, held"


def test_headers_made_for_common_wishes_are_what_they_hold() -> None:
    made = make_headers(user_agent=Text.VALUE, accept_encoding=LyingText("held"), basic_auth=LyingText("u:p"))
    assert {type(value) for value in made.values()} == {str}
    assert list(made.values()) == ["held", "held", "Basic dTpw"]


def test_a_host_and_a_port_are_what_they_hold() -> None:
    with Httpd() as server:
        with HTTPConnectionPool(LyingText(server.host), LyingInt(server.port)) as pool:
            pool.request("GET", "/")
        connection = HTTPConnection(LyingText(server.host), LyingInt(server.port))
        connection.request("GET", "/")
        connection.getresponse()
        connection.close()
        for request in server.requests:
            assert request.header("Host") == f"{server.host}:{server.port}"
        with HTTPConnectionPool(AgreeingText(server.host), server.port) as pool:
            assert type(pool.host) is str
            assert not pool.is_same_host(LyingText(f"http://other.example:{server.port}/"))
    text = LyingText("p")
    assert [type(part) for part in Url(text, text, text, LyingInt(7), text, text, text)] == [
        str,
        str,
        str,
        int,
        *[str] * 3,
    ]


def test_a_connections_own_host_is_what_it_holds() -> None:
    with Httpd() as server:
        connection = HTTPConnection("other.example", server.port)
        connection.host = LyingText(server.host)
        connection.request("GET", LyingText("http://h.example/held"))
        connection.getresponse()
        connection.close()
        assert server.requests[0].header("Host") == "h.example"
    connection.set_tunnel(LyingText("h.example"), LyingInt(7))
    assert connection._host_field() == "h.example:7"


def test_pools_are_found_by_what_host_and_scheme_hold() -> None:
    """Two hosts that said the same of themselves shared a pool, and so connections."""
    with PoolManager() as manager:
        one, other = (manager.connection_from_host(LyingText(host), 80, LyingText("http")) for host in ("a", "b"))
        assert (one.host, other.host) == ("a", "b")
        context = {"scheme": LyingText("http"), "host": LyingText("c"), "port": 80}
        assert manager.key_fn_by_scheme["http"](context).key_host == "c"


def test_parts_of_urls_are_what_they_hold() -> None:
    assert encode_target(LyingText("/a b")) == "/a%20b"
    assert normalize_host(LyingText("H.example"), "http") == "h.example"
    assert join(LyingText("http://h.example/a/b"), LyingText("c")) == "http://h.example/a/c"
    assert type(encode_target(LyingText("/a"))) is str


def test_what_urllib3_offers_below_takes_what_values_hold() -> None:
    assert encode_fields(LyingText("GET"), "/", {"a": "1"}).url == "/?a=1"
    assert [type(value) for value in (to_str(LyingText("a")), to_bytes(LyingBytes(b"a")))] == [str, bytes]
    assert body_to_chunks(None, LyingText("GET"), 1).content_length is None
    assert parse_proxy(LyingText("h.example:7")).url == "http://h.example:7"
    with pytest.warns(FutureWarning):
        assert format_header_param_rfc2231("a", LyingBytes(b"1")) == 'a="1"'


def test_what_a_tunnel_is_asked_for_is_what_it_holds() -> None:
    assert authority(LyingText("h.example"), LyingInt(7)) == "h.example:7"
    steps = [expect_request(), send(b"HTTP/1.1 200 OK\r\n\r\n")]
    with ScriptServer(steps) as proxy, create_connection((proxy.host, proxy.port)) as sock:
        http_connect(sock, LyingText("h.example"), 7, {LyingText("X-Held"): Text.VALUE, LyingBytes(b"Host"): "held"})
    assert proxy.received[0] == b"CONNECT h.example:7 HTTP/1.1\r\nX-Held: held\r\nHost: held\r\n\r\n"


def test_a_proxys_login_is_what_it_holds() -> None:
    with ScriptServer([expect_request(), respond(b"")]) as proxy:
        url = f"http://u:p@127.0.0.1:{proxy.port}"
        with ProxyManager(LyingText(url), proxy_headers={LyingText("X-Held"): Text.VALUE}) as manager:
            manager.request("GET", "http://h.example/")
    assert b"\r\nX-Held: held\r\nProxy-Authorization: Basic dTpw\r\n" in proxy.received[0]


def test_what_a_socks_proxy_is_asked_for_is_what_it_holds() -> None:
    host, port = LyingText("h.example"), LyingInt(7)
    with ScriptServer([expect(b"\4\1\0\7\0\0\0\1me\0h.example\0"), send(b"\0\x5a" + bytes(6))]) as proxy:
        with create_connection((proxy.host, proxy.port)) as sock:
            socks4(sock, host, port, user_id=LyingText("me"))
    login = [expect(b"\5\2\0\2"), send(b"\5\2"), expect(b"\1\2me\2pw"), send(b"\1\0")]
    steps = [*login, expect(b"\5\1\0\3\x09h.example\0\7"), send(b"\5\0\0\1" + bytes(6))]
    with ScriptServer(steps) as proxy, create_connection((proxy.host, proxy.port)) as sock:
        socks5(sock, host, port, login=(LyingText("me"), LyingText("pw")))
    asked_for = []

    def resolve(name: str, port: int) -> list[Any]:
        asked_for.append(type(name))
        return []

    with ScriptServer([expect(b"\5\1\0"), send(b"\5\0")]) as proxy:
        with create_connection((proxy.host, proxy.port)) as sock, pytest.raises(NewConnectionError):
            socks_connect(sock, ProxyHop("socks5", "p", 1), host, 7, resolve=resolve)
    assert asked_for == [str]
