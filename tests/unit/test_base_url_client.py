"""Client: which URL, parameters and header fields a request to a base URL has, and the clients that a manager keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from poollib import Client, HTTPHeaderDict, PoolManager, ProxyManager, Timeout
from poollib.exceptions import (
    ClosedPoolError,
    EmptyPoolError,
    HTTPStatusError,
    LocationValueError,
    ReadTimeoutError,
    URLSchemeUnknown,
)
from poollib.poolmanager import STREAMING_TIMEOUT
from tests.support.httpd import Httpd, Response


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd() as running:
        yield running


# Which URL


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://h.example", "items", "https://h.example/items"),
        ("https://h.example", "/items", "https://h.example/items"),
        ("https://h.example/", "items", "https://h.example/items"),
        ("https://h.example/v1", "items", "https://h.example/v1/items"),
        ("https://h.example/v1", "/items/", "https://h.example/v1/items/"),
        ("https://h.example/v1/", "items?a=b#c", "https://h.example/v1/items?a=b#c"),
        ("https://h.example/v1", "", "https://h.example/v1"),
        ("https://h.example/v1/", "/", "https://h.example/v1"),
        ("https://h.example/v1", "?a=b", "https://h.example/v1?a=b"),
        ("https://h.example/v1", "//other.example/x", "https://h.example/v1/other.example/x"),
        ("https://h.example", "@other.example/x", "https://h.example/@other.example/x"),
        ("https://h.example/v1", "a:b", "https://h.example/v1/a:b"),
        ("https://h.example/v1", "http://other.example/x", "http://other.example/x"),
        ("https://h.example/v1", "HTTP://other.example/x", "HTTP://other.example/x"),
        ("HTTPS://H.Example:443/v1", "x", "https://h.example:443/v1/x"),
        ("http+unix://%2Frun%2Fx.sock/v1", "x", "http+unix://%2Frun%2Fx.sock/v1/x"),
        (None, "http://other.example/x", "http://other.example/x"),
    ],
)
def test_paths_are_appended_and_whole_urls_go_as_they_are(base: str | None, path: str, url: str) -> None:
    with Client(base) as client:
        assert client.url_for(path) == url


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("h.example/v1", "names scheme and host"),
        ("/v1", "names scheme and host"),
        ("", "names scheme and host"),
        ("https://h.example/?a=b", "has no query"),
        ("https://h.example/#a", "has no fragment"),
    ],
)
def test_what_is_no_base_url_is_named(base: str, said: str) -> None:
    with pytest.raises(LocationValueError, match=said):
        Client(base)


def test_a_path_without_a_base_url_is_named() -> None:
    with Client() as client, pytest.raises(LocationValueError, match=r"'/items' is no whole URL.*no base URL"):
        client.get("/items")


@pytest.mark.parametrize(
    ("path", "params", "url"),
    [
        ("x", {"a": "b c", "d": 1, "e": 1.5}, "http://h.example/x?key=k&a=b+c&d=1&e=1.5"),
        ("x?a=1", {"b": "ü"}, "http://h.example/x?a=1&key=k&b=%C3%BC"),
        ("x?", {}, "http://h.example/x?key=k"),
        ("x#frag", {"b": b"\xff"}, "http://h.example/x?key=k&b=%FF#frag"),
        ("x", {"a": [1, "two", None, True]}, "http://h.example/x?key=k&a=1&a=two&a=true"),
        ("x", {"key": None, "a": False}, "http://h.example/x?a=false"),
        ("x", {"key": "mine"}, "http://h.example/x?key=mine"),
        ("x", {"key": []}, "http://h.example/x"),
        ("x", None, "http://h.example/x?key=k"),
    ],
)
def test_parameters_stand_in_the_query(path: str, params: Any, url: str) -> None:
    with Client("http://h.example", params={"key": "k"}) as client:
        assert client.url_for(path, params) == url


@pytest.mark.parametrize("value", [{"a": 1}, object(), [object()]])
def test_a_parameter_of_another_kind_is_named(value: Any) -> None:
    with Client("http://h.example") as client, pytest.raises(TypeError, match=r"params\['q'\] is text, a number"):
        client.url_for("x", {"q": value})


# Which fields


def sent(client: Client, url: str, **keywords: Any) -> Mapping[str, str]:
    """The header fields that reach the client's manager."""
    caught: list[Mapping[str, str]] = []

    def request(method: str, url: str, headers: Mapping[str, str], **kw: Any) -> Any:
        caught.append(HTTPHeaderDict(headers))

    client.manager.request = request  # type: ignore[method-assign, assignment]
    client.get(url, **keywords)
    return caught[0]


def test_fields_of_a_request_win_and_none_leaves_one_out() -> None:
    with Client("http://h.example", headers={"A": "1", "B": "2", "Accept": "x"}) as client:
        assert sent(client, "x") == {"A": "1", "B": "2", "Accept": "x"}
        assert sent(client, "x", headers={"b": "3", "C": "4"}) == {"A": "1", "B": "3", "Accept": "x", "C": "4"}
        assert sent(client, "x", headers={"a": None, "accept": None}) == {"B": "2"}
        assert sent(client, "x") == {"A": "1", "B": "2", "Accept": "x"}


@pytest.mark.parametrize(
    "url", ["http://h.example.evil.example/x", "https://h.example/x", "http://h.example:81/x", "http://evil.example/"]
)
def test_credentials_stay_at_the_base_urls_origin(url: str) -> None:
    headers = {"Authorization": "a", "Cookie": "b", "Proxy-Authorization": "c", "X-Mine": "d"}
    with Client("http://h.example/v1", headers=headers) as client:
        assert sent(client, url) == {"X-Mine": "d"}
        assert sent(client, url, headers={"Authorization": "theirs"}) == {"X-Mine": "d", "Authorization": "theirs"}
        for own in ("x", "http://h.example/x", "http://H.example:80/other"):
            assert sent(client, own) == headers


def test_user_and_password_of_the_base_url_become_an_authorization() -> None:
    with Client("http://me:p%40ss@h.example/v1") as client:
        assert client.base_url == "http://h.example/v1"
        assert client.headers["authorization"] == "Basic bWU6cEBzcw=="
        assert "p%40ss" not in repr(client)
    with Client("http://me:pass@h.example", headers={"Authorization": "Bearer t"}) as client:
        assert client.headers["authorization"] == "Bearer t"


def test_what_goes_with_every_request_cannot_be_changed_under_other_threads() -> None:
    with Client("http://h.example", headers={"A": "1"}, params={"b": "2"}) as client:
        with pytest.raises(TypeError):
            client.headers["A"] = "2"  # type: ignore[index]
        with pytest.raises(TypeError):
            client.params["b"] = "3"  # type: ignore[index]


# Requests


def test_every_method_is_sent_under_its_name(server: Httpd) -> None:
    with Client(server.url + "/v1") as client:
        for method in ("get", "head", "options", "post", "put", "patch", "delete"):
            response = getattr(client, method)("x", params={"a": 1})
            assert response.status == 200
            if method != "head":
                seen = response.json()
                assert (seen["method"], seen["target"]) == (method.upper(), "/v1/x?a=1")
        assert client.post("x", json={"a": 1}).json()["body"] == '{"a":1}'
        assert client.stats()["total"]["opened"] == 1
        assert client.health()["status"] == "ok"


def test_an_answer_can_be_checked_and_read_in_one_line(server: Httpd) -> None:
    server.routes["/gone"] = lambda _: Response(b"no", 404)
    with Client(server.url) as client:
        with pytest.raises(HTTPStatusError, match="404"):
            client.get("gone").raise_for_status()
        assert client.get("x").raise_for_status().json()["target"] == "/x"


def test_a_stream_gives_its_connection_back(server: Httpd) -> None:
    with Client(server.url, maxsize=1, block=True) as client:
        for _ in range(3):
            with client.stream("GET", "x") as response:
                assert response.read(1) == b"{"
            assert response.closed
        with pytest.raises(KeyError), client.stream("GET", "x") as response:
            raise KeyError
        assert client.stats()["total"]["leased"] == 0
        assert client.stats()["total"]["opened"] == 1


def test_a_closed_client_refuses_requests(server: Httpd) -> None:
    client = Client(server.url)
    client.get("x")
    assert client.close() == {}
    with pytest.raises(ClosedPoolError, match="the client is closed"):
        client.get("x")


def test_keywords_of_the_manager_and_of_the_request_pass_through(server: Httpd) -> None:
    with Client(server.url, timeout=7.0, maxsize=3, block=True, retries=0, num_pools=4) as client:
        client.get("x")
        pool = client.manager.connection_from_url(server.url)
        assert (pool.timeout.read_timeout, pool.stats()["maxsize"], pool.retries) == (7.0, 3, 0)
        assert client.manager.pools._maxsize == 4
        assert client.get("x", preload_content=False).read(1) == b"{"
    with (
        pytest.raises(TypeError, match="unexpected keyword argument 'verify': use ca_certs="),
        Client(server.url, verify=False) as client,
    ):
        client.get("x")


# The clients of a manager


def test_a_manager_makes_one_client_for_each_base_url_in_any_thread() -> None:
    with PoolManager() as manager, ThreadPoolExecutor(8) as threads:
        barrier = threading.Barrier(8)

        def make(number: int) -> Client:
            barrier.wait(10)
            return manager.client("https://H.example:443/v1/" if number % 2 else "https://h.example/v1")

        assert len(set(threads.map(make, range(8)))) == 1
        assert manager.client("https://h.example/v2") is not manager.client("https://h.example/v1")
        assert manager.client() is manager.client()
        assert manager.client(streaming=True) is not manager.client()


def test_a_lookup_makes_no_client() -> None:
    with PoolManager() as manager:
        assert manager.existing_client("http://h.example") is None
        client = manager.client("http://h.example")
        assert manager.existing_client("http://h.example/") is client
        assert manager.existing_client("http://h.example", streaming=True) is None
        assert manager.existing_client() is None


def test_a_client_has_the_managers_settings_but_for_its_own(server: Httpd) -> None:
    with PoolManager(timeout=5.0, maxsize=2, headers={"A": "1", "B": "2"}, total_maxsize=4) as manager:
        client = manager.client(server.url, timeout=3.0, headers={"b": "3"})
        assert dict(client.headers) == {"A": "1", "b": "3"}
        seen = client.get("x").json()["headers"]
        assert (seen["a"], seen["b"]) == ("1", "3")
        pool = client.manager.connection_from_url(server.url)
        assert (pool.timeout.read_timeout, pool.stats()["maxsize"]) == (3.0, 2)
        assert manager.stats()["total"]["opened"] == client.stats()["total"]["opened"] == 1


def test_clients_of_a_manager_share_its_total_limit(server: Httpd) -> None:
    with PoolManager(total_maxsize=1, block=True) as manager:
        held = manager.client(server.url + "/a").get("x", preload_content=False)
        with pytest.raises(EmptyPoolError):
            manager.client(server.url + "/b").get("x", pool_timeout=0.02, retries=False)
        held.release_conn()
        assert manager.client(server.url + "/b").get("x", pool_timeout=5).status == 200


def test_a_clients_of_a_proxy_manager_go_through_its_proxy(server: Httpd) -> None:
    with ProxyManager(server.url) as manager:
        assert manager.client("http://target.invalid/v1").get("x").json()["target"] == "http://target.invalid/v1/x"


def test_the_streaming_kind_waits_long_between_bytes_unless_told_otherwise(server: Httpd) -> None:
    def timeout_of(client: Client) -> Timeout:
        return client.manager.connection_from_url(server.url).timeout

    with PoolManager(timeout=1.0) as manager, Client(server.url, streaming=True, timeout=4.0) as own:
        assert timeout_of(manager.client(server.url, streaming=True)) is STREAMING_TIMEOUT
        assert timeout_of(manager.client(server.url)).read_timeout == 1.0
        assert timeout_of(own).read_timeout == 4.0


def test_closing_one_leaves_the_others_open(server: Httpd) -> None:
    with PoolManager() as manager:
        one, other = manager.client(server.url + "/a"), manager.client(server.url + "/b")
        assert manager.close_client(server.url + "/a") is True
        assert manager.close_client(server.url + "/a") is False
        with pytest.raises(ClosedPoolError):
            one.get("x")
        assert other.get("x").status == 200
        assert manager.client(server.url + "/a") is not one


def test_a_client_that_closed_itself_is_made_anew(server: Httpd) -> None:
    with PoolManager() as manager:
        with manager.client(server.url) as client:
            client.get("x")
        assert manager.existing_client(server.url) is None
        assert manager.client(server.url).get("x").status == 200


def test_all_are_closed_past_an_error(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = PoolManager()
    clients = [manager.client(server.url + path) for path in ("/a", "/b", "/c")]
    for client in clients:
        client.get("x")
    broken = clients[1].manager.connection_from_url(server.url)
    monkeypatch.setattr(broken, "close", lambda: 1 / 0)
    failed = manager.close_all()
    assert [type(error) for error in failed.values()] == [ZeroDivisionError]
    for client in clients:
        with pytest.raises(ClosedPoolError):
            client.get("x")
    assert manager.stats()["pools"] == {}
    monkeypatch.undo()
    broken.close()


def test_clear_closes_the_clients_idle_connections_and_leaves_them_usable(server: Httpd) -> None:
    with PoolManager() as manager:
        client = manager.client(server.url)
        assert client.get("x").json()["connection"] == 0
        manager.clear()
        assert manager.client(server.url) is client
        assert client.get("x").json()["connection"] == 1


def test_a_request_that_gets_no_answer_ends_by_the_clients_timeout(server: Httpd) -> None:
    asked = threading.Event()
    server.routes["/silent"] = lambda _: Response(b"", 200 if asked.wait(10) else 500)
    with Client(server.url, timeout=0.05, retries=False) as client, pytest.raises(ReadTimeoutError):
        client.get("silent")
    asked.set()


def test_a_programs_clients_from_the_first_to_the_last(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Get or create in threads, look up, the streaming kind, figures, close one, close all past an error, again."""
    manager = PoolManager(total_maxsize=8, timeout=5.0)
    orders, users = f"{server.url}/orders", f"{server.url}/users"
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda n: manager.client(orders if n % 2 else users, headers={"X": "1"}), range(16)))
    assert len(made) == 2
    client = manager.existing_client(orders + "/")
    assert client in made
    assert client is not None
    assert client.get("7", params={"full": True}).json()["target"] == "/orders/7?full=true"
    events = manager.client(orders, streaming=True)
    assert events is not client
    with events.stream("GET", "events") as response:
        assert b"/orders/events" in response.read()
    assert manager.client(users).get("me").ok
    assert manager.stats()["total"]["requests"] == 3
    assert manager.close_client(orders) is True
    assert (manager.existing_client(orders), manager.existing_client(orders, streaming=True)) == (None, events)
    with monkeypatch.context() as patch:
        pool = manager.client(users).manager.connection_from_url(server.url)
        patch.setattr(pool, "close", lambda: 1 / 0)
        assert [type(error) for error in manager.close_all().values()] == [ZeroDivisionError]
    pool.close()
    with pytest.raises(ClosedPoolError):
        events.get("events")
    assert manager.existing_client(users) is None
    assert manager.client(users).get("me").ok
    assert manager.close_all() == {}


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"typo": 1}, "a client got an unexpected keyword argument 'typo'"),
        ({"numpools": 1}, "did you mean num_pools"),
        ({"time_out": 1}, "did you mean timeout"),
        ({"verify": False}, "use ca_certs="),
        ({"json": {}}, "unexpected keyword argument 'json': give it to each request"),
        ({"host": "h.example"}, "unexpected keyword argument 'host'"),
        ({"timeout": "5"}, "Timeout value connect was 5"),
        ({"retries": "5"}, "total must be an int"),
        ({"maxsize": 1.5}, "maxsize must be a whole number"),
        ({"min_idle": 2}, "min_idle must be between 0 and maxsize"),
        ({"maxsize": 0, "block": True}, "maxsize must be None or at least 1"),
        ({"headers": {"X Y": "1"}}, "Invalid header name 'X Y'"),
        ({"headers": {"X": "1\n2"}}, "Invalid header value of 'X'"),
        ({"cert_reqs": "CERT_SOME"}, "cert_reqs"),
    ],
)
def test_a_keyword_that_cannot_be_meant_is_refused_when_it_is_given(keywords: dict[str, Any], said: str) -> None:
    with PoolManager() as manager:
        for make in (Client, manager.client):
            with pytest.raises((TypeError, ValueError), match=said):
                make("http://h.example", **keywords)
        assert manager.existing_client("http://h.example") is None


def test_a_scheme_that_no_pool_speaks_is_refused_when_it_is_given() -> None:
    with pytest.raises(URLSchemeUnknown, match="htp"):
        Client("htp://h.example")
    Client("http+unix://%2Frun%2Fsocket/v1").close()


def test_a_manager_with_key_functions_of_its_own_makes_clients_with_keywords_of_its_own() -> None:
    with PoolManager() as manager:
        manager.key_fn_by_scheme["http"] = lambda context: (context["host"], context["tenant"])
        client = manager.client("http://h.example", tenant="a")  # type: ignore[call-arg]
        assert client.manager.connection_pool_kw == {"tenant": "a"}


def test_a_rate_and_a_resolver_of_a_client_are_one_for_its_pools() -> None:
    """So a host's turns outlive a pool, and count for both schemes."""
    with PoolManager(resolve={"a.example": "127.0.0.1"}) as manager:
        client = manager.client("http://h.example", rate=5, resolve={"b.example": "127.0.0.2"})
        first, second = (client.manager.connection_from_url(f"{scheme}://h.example") for scheme in ("http", "https"))
        assert first._rate is not None
        assert first._rate is second._rate
        assert first._dial_options["resolver"] is second._dial_options["resolver"]
        resolver = first._dial_options["resolver"]
        assert [resolver(name, 80)[0] for name in ("a.example", "b.example")] == ["127.0.0.1", "127.0.0.2"]


@pytest.mark.parametrize(
    ("url", "keywords", "said"),
    [
        (5, {}, "url must be a str, not 5"),
        (None, {}, "url must be a str, not None"),
        (b"items", {}, "url must be a str"),
        ("items", {"headers": [("X", "1")]}, "headers must be a mapping of names to values, not a list"),
        ("items", {"params": [("a", "1")]}, "params must be a mapping of names to values, not a list"),
        ("items", {"params": "a=1"}, "params must be a mapping of names to values, not a str"),
    ],
)
def test_an_argument_of_another_kind_is_named(url: Any, keywords: Any, said: str) -> None:
    with Client("http://h.example") as client, pytest.raises(TypeError, match=said):
        client.get(url, **keywords)


@pytest.mark.parametrize(
    ("headers", "error", "said"),
    [
        ({1: "x"}, ValueError, "Invalid header name 1: not a token"),
        ({1: None}, ValueError, "Invalid header name 1: not a token"),
        ([("a", "b")], TypeError, "headers must be a mapping of names to values, not a list"),
    ],
)
def test_fields_of_no_name_are_named_by_the_client_and_the_request(headers: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        Client("http://h.example", headers=headers)
    with Client("http://h.example") as client, pytest.raises(error, match=said):
        client.get("/", headers=headers)


def test_several_values_of_one_name_stay_and_win_together() -> None:
    two = HTTPHeaderDict([("X-A", "1"), ("X-A", "2")])
    sent = []

    def note(request: Any, send: Any) -> Any:
        sent.append(list(request.headers.items()))
        raise InterruptedError

    with Client("http://h.example", headers=two, hooks=[note]) as client:
        for headers in (None, {"x-a": "3"}, HTTPHeaderDict([("x-a", "3"), ("x-a", "4")])):
            with pytest.raises(InterruptedError):
                client.get("/", headers=headers)
    assert sent == [[("X-A", "1"), ("X-A", "2")], [("x-a", "3")], [("x-a", "3"), ("x-a", "4")]]


def test_parameters_of_a_client_are_a_mapping() -> None:
    with pytest.raises(TypeError, match="params must be a mapping of names to values, not a list"):
        Client("http://h.example", params=[("a", "1")])  # type: ignore[arg-type]
