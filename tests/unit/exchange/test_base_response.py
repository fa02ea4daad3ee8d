"""What a response offers beside its body's bytes: text, JSON, and its status as an error."""

from __future__ import annotations

import json
import pickle

import pytest

from poollib import HTTPResponse
from poollib.exceptions import HTTPError, HTTPStatusError


def made(body: bytes = b"", status: int = 200, reason: str | None = None, **headers: str) -> HTTPResponse:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPResponse(body, fields, status, reason=reason, request_url="http://me:secret@h.example/x")


def test_text_follows_the_charset_that_the_server_names() -> None:
    assert made("größer".encode()).text == "größer"
    assert made("größer".encode("koi8-r", "replace"), content_type="text/plain; charset=koi8-r").text == "gr??er"
    response = made(b"a")
    assert (response.text, response.text, response.data) == ("a", "a", b"a")


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (304, True), (399, True), (400, False), (404, False), (599, False)]
)
def test_a_status_from_400_on_is_not_ok(status: int, ok: bool) -> None:
    assert made(status=status).ok is ok


def test_raise_for_status_gives_a_good_response_back() -> None:
    response = made(b"a", 302)
    assert response.raise_for_status() is response


def test_raise_for_status_says_what_came_from_where_and_keeps_the_response() -> None:
    response = made(b"why", 404, "Not Found")
    with pytest.raises(HTTPStatusError) as caught:
        response.raise_for_status()
    assert str(caught.value) == "404 Not Found for http://***@h.example/x"
    assert (caught.value.status, caught.value.response) == (404, response)
    assert response.data == b"why"
    assert isinstance(caught.value, HTTPError)
    assert pickle.loads(pickle.dumps(caught.value)).status == 404
    with pytest.raises(HTTPStatusError, match=r"^500 for "):
        made(status=500).raise_for_status()


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (made(b"<html>", content_type="text/html"), "(status 200, a body of 'text/html')"),
        (made(b"", 204), "(status 204, an empty body without a Content-Type)"),
        (made(b"no", 503, content_type="text/plain"), "(status 503, a body of 'text/plain')"),
    ],
)
def test_what_is_no_json_says_what_it_is(response: HTTPResponse, said: str) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        response.json()
    assert said in str(caught.value)
    assert caught.value.pos == 0


def test_json_in_another_charset_than_utf_8_says_what_it_is() -> None:
    with pytest.raises(UnicodeDecodeError, match=r"status 200, a body of 'application/json'"):
        made(b'"\xff"', content_type="application/json").json()
