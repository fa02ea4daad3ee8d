"""Where a Location leads that is not what RFC 3986 wants: UTF-8 and other bytes, odd blanks, several lines.

curl and browsers ask for the bytes that the server sent; so does this. Source: RFC 9110 sections 5.5 and 10.2.2.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poollib import HTTPConnectionPool, PoolManager, Retry
from poollib.exceptions import LocationParseError
from poollib.response import HTTPResponse
from tests.support.script import ScriptServer, expect_request, respond, send

OWNERS = ["pool", "manager"]


@contextlib.contextmanager
def asking(server: ScriptServer, owner: str) -> Iterator[Callable[..., HTTPResponse]]:
    with PoolManager(maxsize=1, block=True, resolve={"xn--bcher-kva.example": ["127.0.0.1"]}) as manager:
        pool = manager.connection_from_url(server.url)
        client, base = (pool, "") if owner == "pool" else (manager, server.url)
        yield lambda path, **named: client.request("GET", base + path, **named)
        assert pool._endpoint_pool.leased == 0


def found(*locations: bytes) -> Any:
    lines = b"".join(b"Location: %b\r\n" % location for location in locations)
    return send(b"HTTP/1.1 302 Found\r\n" + lines + b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize(
    ("location", "asked", "shown"),
    [
        ("/café".encode(), b"/caf%C3%A9", "/café"),
        ("/à".encode(), b"/%C3%A0", "/à"),  # its last byte is U+00A0 as Latin-1: "has blanks around it"
        ("/Å".encode(), b"/%C3%85", "/Å"),  # U+0085
        ("/\u3000".encode(), b"/%E3%80%80", "/\u3000"),
        ("/a\u00a0".encode(), b"/a%C2%A0", "/a\u00a0"),
        ("?q=日本&x=%C3%A9".encode(), b"/old?q=%E6%97%A5%E6%9C%AC&x=%C3%A9", "?q=日本&x=%C3%A9"),
        (b"/caf\xe9", b"/caf%E9", "/caf%E9"),
        (b"/\xe9?\xc3\xa9=\xff", b"/%E9?%C3%A9=%FF", "/%E9?é=%FF"),
        (b"/\xa0\xa0", b"/%A0%A0", "/%A0%A0"),
        (b"/\x85", b"/%85", "/%85"),
        (b"/\xed\xa0\x80", b"/%ED%A0%80", "/%ED%A0%80"),  # a surrogate is no UTF-8
        (b"/100%25/\xc3\xa9#\xc3\xa9", b"/100%25/%C3%A9", "/100%25/é#é"),
    ],
)
def test_a_location_leads_to_the_bytes_that_the_server_sent(
    location: bytes, asked: bytes, shown: str, owner: str
) -> None:
    """``/café`` was asked for as ``/caf%C3%83%C2%A9``."""
    script = [expect_request(), found(location), expect_request(), respond(b"ok")]
    with ScriptServer(script) as server, asking(server, owner) as ask:
        old = "/old" if asked.startswith(b"/old") else "/"
        response = ask(old)
        assert response.data == b"ok"
        assert response.retries is not None
        assert response.retries.history[-1].redirect_location == shown
    assert [line.split()[1] for line in server.received[0].splitlines() if line.startswith(b"GET")][1:] == [asked]


def test_a_host_in_utf_8_is_the_one_it_spells() -> None:
    """And by IDNA 2008, as one that a caller names."""
    with ScriptServer([expect_request(), respond(b"ok")]) as there:
        location = f"http://bücher.example:{there.port}/ü".encode()
        with ScriptServer([expect_request(), found(location)]) as server, asking(server, "manager") as ask:
            assert ask("/").data == b"ok"
    assert there.received[0].startswith(
        f"GET /%C3%BC HTTP/1.1\r\nHost: xn--bcher-kva.example:{there.port}\r\n".encode()
    )


@pytest.mark.parametrize("host", [b"b\xfccher.example", b"[::\x9a]", b"[::1%\xe9]", b"u\xfc@b\xfc.example"])
@pytest.mark.parametrize("owner", OWNERS)
def test_bytes_that_spell_no_host_are_refused(owner: str, host: bytes) -> None:
    """Found by fuzzing: as ``[::%9A]`` it was the address ``::`` in the zone 9A."""
    with ScriptServer([expect_request(), found(b"http://%b/" % host)]) as server, asking(server, owner) as ask:
        with pytest.raises(LocationParseError):
            ask("/")


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("location", [b"/new", b"/a,b", "/ä, /ä".encode()])
def test_the_same_location_twice_is_one(location: bytes, owner: str) -> None:
    """They were joined by a comma."""
    script = [expect_request(), found(location, location, location), expect_request(), respond(b"ok")]
    with ScriptServer(script) as server, asking(server, owner) as ask:
        response = ask("/")
        assert response.data == b"ok"
        assert response.retries is not None
        assert response.retries.history[-1].redirect_location == location.decode()


@pytest.mark.parametrize("owner", OWNERS)
def test_locations_that_differ_lead_nowhere(owner: str) -> None:
    """As in Chromium and Firefox: one of them may be somebody else's. What is not followed is the caller's to see."""
    both = found(b"/a", b"http://b.example/")
    policy = Retry(redirect_policy=lambda url, location: True)
    with ScriptServer([expect_request(), both] * 3) as server, asking(server, owner) as ask:
        for retries in (None, policy):
            with pytest.raises(LocationParseError, match="several Locations"):
                ask("/", retries=retries)
        assert ask("/", redirect=False).get_redirect_location() == "/a, http://b.example/"
    assert server.opened == 1


def test_what_a_program_puts_into_a_response_is_text_or_as_a_head_gives_it() -> None:
    """Mocks write ``/café``, recorders keep what they read as Latin-1."""
    for location, meant in [
        ("/café", "/café"),
        ("/caf\u00c3\u00a9", "/café"),
        ("/日本", "/日本"),
        ("/a", "/a"),
        ("/a, /b", "/a, /b"),
    ]:
        assert HTTPResponse(status=302, headers={"Location": location}).get_redirect_location() == meant
    script = [expect_request(), found(b"/a")]
    with ScriptServer(script) as server, HTTPConnectionPool(server.host, server.port) as pool:
        response = pool.request("GET", "/", redirect=False)
        response.headers["Location"] = "/日本"
        assert response.get_redirect_location() == "/日本"
        response.headers = {"location": "/a, /a"}  # type: ignore[assignment]
        assert response.get_redirect_location() == "/a, /a"
        del response.headers["location"]  # type: ignore[arg-type]
        assert response.get_redirect_location() is None
