"""poolmanager: which pool a URL leads to, by whatever way, and what programs put in a manager's parts' place."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

import poollib
from poollib import HTTPConnectionPool, HTTPHeaderDict, PoolManager, ProxyManager, Retry, Timeout, Trace
from poollib.contrib.socks import SOCKSProxyManager
from poollib.exceptions import BlockedHostError, ClosedPoolError, LocationValueError
from poollib.poolmanager import proxy_from_url
from tests.support.httpd import Httpd, Response


@pytest.fixture
def server() -> Iterator[Httpd]:
    with Httpd() as running:
        yield running


# Which pool


def test_the_block_size_of_a_manager_is_its_pools() -> None:
    """It reaches the connections, and tells pools apart."""
    with PoolManager(blocksize=4096) as manager:
        pool = manager.connection_from_host("localhost", 81)
        assert pool.conn_kw["blocksize"] == 4096
        assert manager.connection_from_host("localhost", 81, pool_kwargs={"blocksize": 4096}) is pool
        assert manager.connection_from_host("localhost", 81, pool_kwargs={"blocksize": 8192}) is not pool
        assert pool._new_conn().blocksize == 4096


def test_what_cannot_be_hashed_tells_pools_apart_by_what_it_holds() -> None:
    """A list that is gone leaves its id to the next one: a guard of other hosts then gave the pool of the first."""
    with PoolManager() as manager:

        def pool_of(**options: Any) -> HTTPConnectionPool:
            return manager.connection_from_host("h.example", 80, pool_kwargs=options)

        assert pool_of(allowed_hosts=["h.example"]) is pool_of(allowed_hosts=["h.example"])
        for _ in range(3):
            with pytest.raises(BlockedHostError):
                pool_of(allowed_hosts=["other.example"])
        assert pool_of(allowed_hosts={"h.example"}) is pool_of(allowed_hosts={"h.example"})
        one = pool_of(resolve={"h.example": ["192.0.2.1"]})
        assert one is pool_of(resolve={"h.example": ["192.0.2.1"]})
        assert one is not pool_of(resolve={"h.example": ["192.0.2.2"]})


def test_a_keyword_that_is_none_of_a_pools_is_named() -> None:
    """Not by the key's field alone: ``verify=`` of requests, and others that are a request's, get here."""
    with pytest.raises(TypeError, match="a pool got an unexpected keyword argument 'pool_timeout', 'verify'"):
        PoolManager(verify=False, pool_timeout=1, maxsize=2).connection_from_url("http://h.example/")


def test_a_keyword_of_requests_is_said_to_be_one() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'progress': give it to each request"):
        PoolManager(progress=print).connection_from_url("http://h.example/")  # type: ignore[call-arg]


#: what can't be meant, and what the error says
WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"hooks": 3}, "hooks must be a list of callables"),
    ({"hooks": [3]}, "hooks must be callables"),
    ({"attempt_hooks": print}, "attempt_hooks must be a list of callables"),
    ({"trace": 3}, "trace must be a Trace"),
    ({"limits": 3}, "limits must be Limits"),
    ({"max_response_size": -1}, "max_response_size must be None or a number of bytes"),
    ({"expect_continue": "1"}, "expect_continue must be a bool or seconds"),
    ({"circuit_breaker": 0}, "a circuit breaker opens after 1 failure or more"),
    ({"circuit_breaker": poollib.CircuitBreaker(failure=503)}, "failure must be a callable"),
    ({"rate": 0}, "rate must be more than 0"),
    ({"idle_timeout": -1}, "idle_timeout must be None or at least 0 seconds"),
    ({"acquire_timeout": "x"}, "acquire_timeout must be None or at least 0 seconds"),
    ({"max_waiting": 1.5}, "max_waiting must be a whole number"),
    ({"health_check_interval": 0}, "health_check_interval must be above 0 seconds"),
    ({"allowed_hosts": 3}, "allowed_hosts is a collection"),
    ({"blocked_networks": ["nowhere"]}, "nowhere"),
    ({"resolver": 3}, "resolver must be a callable"),
    ({"dns_cache": -1}, "dns_cache must be None or at least 0 seconds"),
    ({"uds": 3}, "PathLike"),
]


@pytest.mark.parametrize(("keywords", "said"), WRONG_VALUES)
def test_a_value_that_cannot_be_meant_is_refused_when_it_is_given(keywords: dict[str, Any], said: str) -> None:
    """By whoever is given it, not by the first request, which may come much later."""
    with PoolManager() as manager:
        for owner in (
            PoolManager,
            partial(ProxyManager, "http://proxy.example"),
            PoolManager.from_env,
            poollib.Client,
            partial(manager.client, "http://h.example"),
            partial(manager.pool_for, "http://h.example"),
            partial(HTTPConnectionPool, "h.example"),
        ):
            with pytest.raises((TypeError, ValueError), match=said):
                owner(**keywords)
        assert manager.existing_client("http://h.example") is None


def test_keywords_that_urllib3_takes_unseen_are_a_managers_still() -> None:
    """A key function that is put in later may read them."""
    with PoolManager(tenant="a", maxsize="many") as manager:  # type: ignore[call-arg]
        assert manager.connection_pool_kw == {"tenant": "a", "maxsize": "many"}


def test_an_object_that_cannot_be_hashed_tells_pools_apart_by_itself() -> None:
    class Ear(Trace):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    ears = Ear(), Ear()
    with PoolManager() as manager:
        one, two, again = (manager.connection_from_host("h", 1, pool_kwargs={"trace": ear}) for ear in (*ears, ears[0]))
        assert one is again
        assert one is not two


@pytest.mark.parametrize(("asked", "kept"), [({}, 5.0), ({"timeout": None}, None), ({"timeout": 7}, 7)])
def test_a_timeout_of_a_request_wins_over_a_managers_with_a_deadline(
    server: Httpd, asked: dict[str, Any], kept: float | None
) -> None:
    """None is a wish, too: no limit."""
    with PoolManager(timeout=Timeout(read=5.0, deadline=9.0)) as manager:
        manager.request("GET", server.url, **asked)
        (conn,) = manager.connection_from_url(server.url)._endpoint_pool.connections()
        assert conn.read_timeout == kept


def test_an_origin_whose_pool_was_evicted_gets_a_new_one(server: Httpd) -> None:
    """However often the origin was asked before."""
    with PoolManager(num_pools=1) as manager:
        assert manager.request("GET", server.url + "/").json()["connection"] == 0
        first = manager.connection_from_url(server.url)
        manager.connection_from_url("http://other.invalid/")
        assert manager.request("GET", server.url + "/").json()["connection"] == 1
        assert manager.connection_from_url(server.url) is not first


def test_a_pool_asked_for_again_with_the_same_settings_is_the_same_and_with_others_another() -> None:
    """As requests asks before every request; whatever is asked for is what the manager's own key says."""
    asked: list[tuple[str, int | None, str, dict[str, Any]]] = [
        ("a.example", None, "http", {"maxsize": 2}),
        ("A.example", 80, "http", {"maxsize": 2}),
        ("a.example", None, "http", {"maxsize": 3}),
        ("a.example", None, "http", {"maxsize": 2, "block": True}),
        ("a.example", None, "http", {"timeout": 2}),
        ("a.example", None, "https", {"cert_reqs": "CERT_NONE"}),
        ("a.example", None, "https", {"cert_reqs": "CERT_REQUIRED"}),
        ("a.example", None, "https", {"key_password": "a"}),
        ("a.example", None, "https", {"key_password": "b"}),
        ("a.example", None, "http", {"headers": {"X-A": "1"}}),
        ("a.example", None, "http", {"headers": {"X-A": "2"}}),
    ]
    with PoolManager(num_pools=20) as manager:
        first = [manager.connection_from_host(*question) for question in asked]
        assert len(set(map(id, first))) == len(asked) - 1
        assert first[0] is first[1]
        for _ in range(2):
            assert [manager.connection_from_host(*question) for question in asked] == first
        assert "key_password" not in str(manager._routes[1])
        manager.connection_pool_kw["maxsize"] = 7
        assert manager.connection_from_host("a.example", None, "http", {"timeout": 2}).stats()["maxsize"] == 7
        manager.clear()
        assert manager.connection_from_host(*asked[0]) is not first[0]


def test_a_key_of_the_programs_own_is_asked_each_time() -> None:
    with PoolManager() as manager:
        manager.connection_from_host("a.example", None, "http", {"maxsize": 2})
        keys: list[Any] = []
        manager.key_fn_by_scheme["http"] = lambda context: [keys.append(context), len(keys)][1]
        pools = [manager.connection_from_host("a.example", None, "http", {"maxsize": 2}) for _ in range(2)]
        assert len(keys) == 2
        assert pools[0] is not pools[1]


def test_a_pool_of_somebody_elses_is_used_and_not_remembered(server: Httpd) -> None:
    """A program that puts its own ``connection_from_host`` into a manager decides each time."""
    with HTTPConnectionPool(server.host, server.port) as own, PoolManager() as manager:
        asked: list[Any] = []

        def connection_from_host(host: str, **more: Any) -> HTTPConnectionPool:
            asked.append(host)
            return own

        manager.connection_from_host = connection_from_host  # type: ignore[method-assign, assignment]
        for _ in range(2):
            assert manager.request("GET", "http://anywhere.invalid/").json()["connection"] == 0
        assert asked == ["anywhere.invalid"] * 2


def test_a_url_without_a_scheme_is_http_and_deprecated(server: Httpd) -> None:
    """As in urllib3."""
    with PoolManager() as manager:
        with pytest.warns(FutureWarning, match="URLs without a scheme"):
            response = manager.request("GET", f"//{server.host}:{server.port}/x")
        assert response.json()["target"] == "/x"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert manager.request("GET", server.url + "/y").json()["connection"] == 0


def test_urlopen_without_headers_sends_the_managers(server: Httpd) -> None:
    """As request does; headers that are given take their place whole."""
    with PoolManager(headers={"X-Mine": "1"}) as manager:
        assert manager.urlopen("GET", server.url + "/").json()["headers"]["x-mine"] == "1"
        assert "x-mine" not in manager.urlopen("GET", server.url + "/", headers={"X-Other": "2"}).json()["headers"]


def test_a_base_url_names_a_host() -> None:
    with PoolManager() as manager, pytest.raises(LocationValueError, match="'/only/a/path' does not"):
        manager.pool_for("/only/a/path")


def test_pools_of_the_same_host_have_names_that_tell_them_apart(server: Httpd) -> None:
    with PoolManager() as manager:
        for more in ({}, {"streaming": True}, {"maxsize": 3}):
            manager.pool_for(f"{server.url}/{len(more)}{next(iter(more), '')}", **more).request("GET", "/")
        names = list(manager.health()["pools"])
        assert names[0] == server.url
        assert len(names) == len(set(names)) == 3
        assert all(name.startswith(server.url) for name in names)
        assert manager.health()["status"] == "ok"


def test_proxies_of_the_environment_give_way_to_those_that_are_given() -> None:
    """None there means no proxy."""
    environ = {"HTTP_PROXY": "http://proxy.invalid:3128"}
    with PoolManager.from_env(environ, proxies=None) as manager:
        assert manager.connection_from_url("http://a.invalid/").proxy is None
    with PoolManager.from_env(environ) as manager:
        proxy = manager.connection_from_url("http://a.invalid/").proxy
        assert proxy is not None
        assert proxy.host == "proxy.invalid"


# Proxies


def test_a_proxy_may_be_named_by_its_pool(server: Httpd) -> None:
    """As urllib3 takes it; and by the short name."""
    with HTTPConnectionPool(server.host, server.port) as pool, ProxyManager(pool) as manager:  # type: ignore[arg-type]
        assert manager.request("GET", "http://target.invalid/x").json()["target"] == "http://target.invalid/x"
    with proxy_from_url(server.url, headers={"X-Mine": "1"}) as manager:
        assert type(manager) is ProxyManager
        seen = manager.request("GET", "http://target.invalid/x").json()
        assert (seen["headers"]["x-mine"], seen["headers"]["host"]) == ("1", "target.invalid")
    assert poollib.proxy_from_url is proxy_from_url


def test_a_socks_manager_wants_a_socks_proxy() -> None:
    """And tells no password."""
    with pytest.raises(ValueError, match=r"http://\*\*\*@proxy:1080") as caught:
        SOCKSProxyManager("http://me:secret@proxy:1080")
    assert "secret" not in str(caught.value)


# Pools of somebody's own


class Stub:
    """A response of no class of ours, without retries."""

    reason, version, retries = "Stub", 11, None

    def __init__(self, status: int, location: str | None) -> None:
        self.status, self.location = status, location
        self.headers = HTTPHeaderDict({"Location": location} if location else {})
        self.drained = 0

    def get_redirect_location(self) -> Any:
        return self.location or False

    def drain_conn(self) -> None:
        self.drained += 1


def test_redirects_of_stubs_are_followed_and_counted() -> None:
    """A recorder's pool answers without Retry: the manager's own count ends the chain."""
    asked: list[str] = []
    given: list[Stub] = []

    class Recorded(HTTPConnectionPool):
        def urlopen(self, method: str, url: str, *words: Any, **named: Any) -> Any:
            asked.append(f"{method} {self.host}{url}")
            to = {"/a": "http://two.invalid/b", "/b": "http://one.invalid/c", "/loop": "/loop"}.get(url)
            given.append(Stub(302 if to else 200, to))
            return given[-1]

    with PoolManager() as manager:
        manager.pool_classes_by_scheme = {"http": Recorded}
        assert manager.request("GET", "http://one.invalid/a").status == 200
        assert asked == ["GET one.invalid/a", "GET two.invalid/b", "GET one.invalid/c"]
        assert [stub.drained for stub in given] == [1, 1, 0]
        with pytest.raises(poollib.exceptions.MaxRetryError, match="too many redirects"):
            manager.request("GET", "http://one.invalid/loop", retries=Retry(redirect=2))
        assert len(asked) == 6


def test_a_manager_goes_on_after_an_answer_that_named_no_retries(server: Httpd) -> None:
    server.routes["/a"] = lambda request: Response(status=302, headers={"Location": "/b"})

    class Forgetful(HTTPConnectionPool):
        def urlopen(self, *words: Any, **named: Any) -> Any:
            response = super().urlopen(*words, **named)
            response.retries = None
            return response

    with PoolManager() as manager:
        manager.pool_classes_by_scheme = {"http": Forgetful}
        assert manager.request("GET", server.url + "/a").json()["target"] == "/b"


def test_settings_that_change_while_a_pool_is_found_are_not_remembered_for_the_old_one() -> None:
    """What a thread found with the keywords of before is no answer under those of now (requests CVE-2024-35195)."""
    with PoolManager(maxsize=1) as manager:
        before, keywords = manager._route("http://a.example/")[0], dict(manager.connection_pool_kw)
        manager.connection_pool_kw["maxsize"] = 2
        after = manager._route("http://a.example/")[0]
        manager._remember("http://a.example", before, keywords)  # by a thread that was late
        assert manager._route("http://a.example/")[0] is after is not before


def test_a_key_is_the_same_however_host_and_scheme_are_written() -> None:
    """Programs build keys by urllib3's private name."""
    from poollib.poolmanager import PoolKey, _default_key_normalizer

    keys = {
        _default_key_normalizer(PoolKey, {"scheme": scheme, "host": host, "port": 80})
        for scheme, host in (("http", "example.com"), ("HTTP", "EXAMPLE.com"))
    }
    assert len(keys) == 1


def test_what_a_program_does_to_one_managers_key_functions_concerns_no_other() -> None:
    ours, other = PoolManager(), PoolManager()
    ours.key_fn_by_scheme["http"] = lambda context: context["host"]
    assert other.key_fn_by_scheme["http"] is not ours.key_fn_by_scheme["http"]
    assert list(PoolManager().key_fn_by_scheme.values()) == list(other.key_fn_by_scheme.values())


def test_port_0_is_no_missing_port() -> None:
    """Nothing can be reached there; whoever asks for it is not sent to another service."""
    with PoolManager() as manager:
        assert manager.connection_from_host("a.example", port=0, scheme="https").port == 0
        assert manager.connection_from_url("http://a.example:0/").port == 0
    proxy = ProxyManager("http://proxy.example:0").proxy
    assert proxy is not None
    assert proxy.port == 0


def test_a_pool_of_another_kind_forwards_no_fragment() -> None:
    asked: list[str] = []

    class Other:
        def __init__(self, host: str, port: int | None = None, **named: Any) -> None:
            pass

        def urlopen(self, method: str, url: str, **named: Any) -> Any:
            asked.append(url)
            return poollib.HTTPResponse(status=200)

    with ProxyManager("http://proxy.example:1") as manager:
        manager.pool_classes_by_scheme = {"http": Other}  # type: ignore[dict-item]
        manager.request("GET", "http://a.example/path?x=1#part")
    assert asked == ["http://a.example/path?x=1"]


# clear()


class ClearsBefore(Retry):
    """Another thread ends the session while this one waits before its repetition."""

    manager: poollib.PoolManager

    def sleep(self, response: Any = None) -> None:
        self.manager.clear()


def test_clear_lets_a_request_that_waits_for_its_repetition_end(server: Httpd) -> None:
    """As ``requests.Session.close()`` in another thread: ClosedPoolError came out of the repetition."""
    answers = iter([Response(status=503), Response(b"at last")])
    server.routes["/busy"] = lambda request: next(answers)
    with poollib.PoolManager() as manager:
        ClearsBefore.manager = manager
        response = manager.request("GET", f"{server.url}/busy", retries=ClearsBefore(2, status_forcelist=[503]))
        assert response.data == b"at last"


def test_clear_lets_who_waits_for_a_connection_have_one(server: Httpd) -> None:
    server.routes["/"] = lambda request: Response(b"hello")
    with poollib.PoolManager(block=True) as manager, ThreadPoolExecutor(1) as threads:
        held = manager.request("GET", server.url, preload_content=False)
        pool = manager.connection_from_url(server.url)
        waiting = threads.submit(manager.request, "GET", server.url)
        while not pool._endpoint_pool.waiting:
            time.sleep(0.001)
        manager.clear()
        assert (held.data, waiting.result(5).data) == (b"hello", b"hello")
        assert server.opened == 2, "a connection from before clear() served again"
        assert manager.connection_from_url(server.url) is not pool


def test_after_clear_nothing_idle_is_left_open(server: Httpd) -> None:
    server.routes["/"] = lambda request: Response(b"hello")
    with poollib.PoolManager() as manager:
        manager.request("GET", server.url)
        pool = manager.connection_from_url(server.url)
        (conn,) = pool._endpoint_pool.idle_connections()
        manager.clear()
        assert conn.sock is None
        assert not manager.pools


def test_close_all_ends_what_waits(server: Httpd) -> None:
    server.routes["/"] = lambda request: Response(b"hello")
    with poollib.PoolManager(block=True) as manager, ThreadPoolExecutor(1) as threads:
        held = manager.request("GET", server.url, preload_content=False)
        pool = manager.connection_from_url(server.url)
        waiting = threads.submit(manager.request, "GET", server.url)
        while not pool._endpoint_pool.waiting:
            time.sleep(0.001)
        assert manager.close_all() == {}
        with pytest.raises(ClosedPoolError):
            waiting.result(5)
        assert held.data == b"hello"


def test_what_is_wished_of_all_proxies_stands_beside_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was a TypeError about PoolKey at the first request; ``from_env`` takes it, too, with and without a proxy."""
    import ssl

    from poollib.policy.proxy_rules import Proxy

    for name in ("HTTP_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "https://p:1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings: dict[str, Any] = {"proxy_ssl_context": context, "proxy_assert_hostname": "q", "proxy_headers": {"X": "1"}}
    for manager in (PoolManager(proxies="env", **settings), PoolManager.from_env(**settings)):
        pool = manager.connection_from_url("https://a.example/")
        assert (pool.proxy_config.ssl_context, pool.proxy_config.assert_hostname) == (context, "q")
        assert pool.proxy_headers == {"X": "1"}
        assert manager.connection_from_url("http://a.example/").proxy is None
    own = PoolManager(proxies={"https": Proxy("https://p:1", assert_hostname=False)}, **settings)
    config = own.connection_from_url("https://a.example/").proxy_config
    assert (config.ssl_context, config.assert_hostname) == (context, False), "what a Proxy says itself wins"
    PoolManager.from_env({}, **settings).connection_from_url("https://a.example/")
    with pytest.raises(TypeError, match="proxy_ssl_context: for a ProxyManager, or beside proxies="):
        PoolManager(proxy_ssl_context=context)


def test_a_keyword_changed_in_place_leads_to_another_pool() -> None:
    """An origin is remembered with the keywords it was found by: as they were, not as they have become."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    manager = PoolManager(socket_options=options)
    url = "http://a.example/b"
    first = manager._route(url)[0]
    assert manager._route(url)[0] is first
    options.clear()
    assert manager._route(url)[0] is not first


@pytest.mark.parametrize("step", ["clear", "remember"])
def test_an_interrupt_in_a_keys_hash_is_not_taken_for_a_missing_key(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Pools are looked through without a look-up of their keys: an OrderedDict makes a KeyError of the interrupt."""
    manager = PoolManager(timeout=Timeout(3))
    pool = manager.connection_from_url("http://a.example/")

    def interrupted(_: Timeout) -> int:
        raise InterruptedError

    monkeypatch.setattr(Timeout, "__hash__", interrupted)
    if step == "clear":
        manager.clear()
        assert len(manager.pools) == 0
    else:
        manager._remember("http://a.example", pool, {})
        assert "http://a.example" in manager._routes[1]


def test_what_a_forwarding_proxy_passes_on_may_be_asked_for() -> None:
    """By urllib3's private name; subclasses call it."""
    with ProxyManager("http://proxy.example:1234") as manager:
        assert manager._set_proxy_headers("http://a.example:8080/x") == {"Accept": "*/*", "Host": "a.example:8080"}
        assert manager._set_proxy_headers("/x", {"Accept": "text/html"}) == {"Accept": "text/html"}


def test_a_set_of_pins_is_as_good_as_a_list_for_a_manager() -> None:
    """A pool takes it; the key of a manager's pools could not be made of it."""
    pins = {"a" * 64, "b" * 64}
    with PoolManager(assert_fingerprint=pins) as manager:  # type: ignore[arg-type]
        pool = manager.connection_from_url("https://localhost")
        assert manager.connection_from_host("localhost", 443, "https", {"assert_fingerprint": sorted(pins)}) is pool
        assert manager.connection_from_host("localhost", 443, "https", {"assert_fingerprint": {"a" * 64}}) is not pool


def test_an_own_key_function_may_read_keywords_that_no_pool_takes() -> None:
    """They tell pools apart; the first connection refuses them by name, as in urllib3."""
    with PoolManager() as manager:
        manager.key_fn_by_scheme["http"] = lambda context: (context["host"], context["tenant"])
        pools = [manager.connection_from_url("http://127.0.0.1/", {"tenant": tenant}) for tenant in ("a", "b", "a")]
        assert pools[0] is pools[2] is not pools[1]
        with pytest.raises(TypeError, match="tenant"):
            pools[0].request("GET", "/", retries=False)
