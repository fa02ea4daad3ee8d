"""A keyword of another library, or a misspelled one, gets an error that says what to write."""

from __future__ import annotations

from typing import Any

import pytest

from poollib import Client, HTTPConnectionPool, PoolManager

REQUEST_KEYWORDS = {
    "verify": "use ca_certs='authorities.pem' or cert_reqs='CERT_NONE' of the pool or manager",
    "auth": r"use headers=make_headers\(basic_auth='user:password'\)",
    "params": r"use fields= for a query, or Client\(base_url\).get\(path, params=...\)",
    "proxy": r"use ProxyManager\(url\), or PoolManager\(proxies=...\)",
    "allow_redirects": "use redirect=",
    "data": "use body= for bytes or text, fields= for a form",
    "stream": "use preload_content=False",
    "timout": r"did you mean timeout\?",
    "preload_contents": r"did you mean preload_content\?",
    "max_respons_size": r"did you mean max_response_size\?",
    "jsn": r"did you mean json\?",
    "xyz": "$",
}


@pytest.mark.parametrize("name", REQUEST_KEYWORDS)
def test_a_request_names_the_right_keyword(name: str) -> None:
    given: dict[str, Any] = {name: 1}
    said = rf"unexpected keyword argument '{name}'.*{REQUEST_KEYWORDS[name]}"
    with HTTPConnectionPool("127.0.0.1", 1) as pool, pytest.raises(TypeError, match=said):
        pool.request("GET", "/", **given)
    with PoolManager() as manager, pytest.raises(TypeError, match=said):
        manager.request("GET", "http://127.0.0.1:1/", **given)
    if name != "params":  # a client's own
        with Client("http://127.0.0.1:1") as client, pytest.raises(TypeError, match=said):
            client.get("/", **given)


POOL_KEYWORDS = {
    "verify": "use ca_certs=",
    "max_retries": "use retries=",
    "pool_maxsize": "use maxsize=",
    "keepalive_expiry": "use idle_timeout= of the pool or manager",
    "max_size": r"did you mean maxsize\?",
    "idle_timout": r"did you mean idle_timeout\?",
    "ca_cert": r"did you mean ca_certs\?",
}


@pytest.mark.parametrize("name", POOL_KEYWORDS)
def test_a_manager_names_the_right_keyword_of_its_pools(name: str) -> None:
    given: dict[str, Any] = {name: 1}
    with PoolManager(**given) as manager, pytest.raises(TypeError, match=rf"'{name}': {POOL_KEYWORDS[name]}"):
        manager.request("GET", "https://127.0.0.1:1/")
