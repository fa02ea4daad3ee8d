"""What is to be sent, from words: URL, method, header fields and body, without a server."""

from __future__ import annotations

import contextlib
import os
import pathlib

import pytest

from poollib.cli.arguments import UsageError, parse
from poollib.cli.request_parts import form_field, request_parts, usable_url
from poollib.exceptions import LocationParseError, URLSchemeUnknown
from poollib.http1.request_head import SKIP_HEADER


@pytest.mark.parametrize(
    ("word", "url"),
    [
        ("localhost", "http://localhost/"),
        ("localhost:8080/a", "http://localhost:8080/a"),
        ("HTTP://LocalHost/A", "http://localhost/A"),
        ("127.0.0.1?a=b", "http://127.0.0.1/?a=b"),
        ("[::1]:80/", "http://[::1]:80/"),
        ("http://a/é?ü=ö", "http://a/%C3%A9?%C3%BC=%C3%B6"),
        ("http://a/" + os.fsdecode(b"\xff"), "http://a/%FF"),
        ("http://a/b c", "http://a/b%20c"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://u:p@a/b#c", "http://a/b"),
        ("a?x=http://b/", "http://a/?x=http://b/"),
    ],
)
def test_a_word_becomes_a_url(word: str, url: str) -> None:
    assert request_parts(parse([]), word).url == url


@pytest.mark.parametrize("word", ["http://", "", "http:///a", "http://[::1", "http://a:b/", "http://a b/"])
def test_what_is_no_url_is_refused(word: str) -> None:
    with pytest.raises(LocationParseError):
        usable_url(word)


@pytest.mark.parametrize("word", ["ftp://a/", "file:///etc/passwd", "htp://a"])
def test_other_schemes_are_refused(word: str) -> None:
    with pytest.raises(URLSchemeUnknown):
        usable_url(word)


@pytest.mark.parametrize(
    ("words", "method"),
    [
        ("", "GET"), ("-d a", "POST"), ("-F a=b", "POST"), ("-I", "HEAD"), ("-X PURGE -d a", "PURGE"),
        ("-X get", "get"),
        ("-G -d a", "GET"), ("-I -G -d a", "HEAD"), ("delete", "DELETE"), ("put -d a", "PUT"), ("post", "POST"),
        ("get -X OPTIONS", "OPTIONS"),
    ],
)  # fmt: skip
def test_the_method_follows_from_what_is_given(words: str, method: str) -> None:
    assert request_parts(parse(words.split()), "http://a/").method == method


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["-d", "a=1", "--data-raw", "@b"], b"a=1&@b"),
        (["-d", ""], b""),
        (["--data-urlencode", "a b&c"], b"a+b%26c"),
        (["--data-urlencode", "n=a b=c"], b"n=a+b%3Dc"),
        (["--data-urlencode", "=a=b"], b"a%3Db"),
        (["--data-urlencode", "n@FILE"], b"n=one%0D%0Atwo%0A"),
        (["--data-urlencode", "@FILE"], b"one%0D%0Atwo%0A"),
        (["-d", "@FILE"], b"onetwo"),
        (["--data-binary", "@FILE", "-d", "a"], b"one\r\ntwo\n&a"),
        (["--json", "[1", "--json", ",2]"], b"[1,2]"),
    ],
)
def test_data_is_joined_and_files_are_read(words: list[str], body: bytes, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_bytes(b"one\r\ntwo\n")
    parts = request_parts(parse([word.replace("FILE", str(tmp_path / "file")) for word in words]), "http://a/")
    with parts.open_body() as sent:
        assert sent == body
    kind = "application/json" if words[0] == "--json" else "application/x-www-form-urlencoded"
    assert parts.headers["Content-Type"] == kind


def test_data_goes_into_the_query_with_G() -> None:
    parts = request_parts(parse(["-G", "-d", "c=é", "--data-urlencode", "d= "]), "http://a/b?x=y#z")
    assert parts.url == "http://a/b?x=y&c=%C3%A9&d=+"
    assert "Content-Type" not in parts.headers


def test_headers_replace_ours_add_up_and_take_away() -> None:
    words = ["-H", "Accept: text/plain", "-H", "X-A: 1", "-H", "X-A:2", "-H", "User-Agent:", "-H", "X-E;", "-H", "X-N:"]
    headers = request_parts(parse(words), "http://a/").headers
    assert headers.getlist("x-a") == ["1", "2"]
    assert headers["accept"] == "text/plain"
    assert headers["user-agent"] == SKIP_HEADER
    assert headers["x-e"] == ""
    assert "x-n" not in headers


def test_a_login_in_the_url_wins_and_is_decoded() -> None:
    headers = request_parts(parse(["-u", "a:b"]), "http://us%65r:p%40ss@a/").headers
    assert headers["Authorization"] == "Basic dXNlcjpwQHNz"
    assert request_parts(parse(["-u", "a:b", "--oauth2-bearer", "T"]), "a").headers["Authorization"] == "Bearer T"


def test_cookies_come_from_words_and_from_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "jar").write_text("# a comment\n\na\tTRUE\t/\tFALSE\t0\tn\tv\n#HttpOnly_a\tTRUE\t/\tFALSE\t0\th\tw\n")
    assert request_parts(parse(["-b", "a=1", "-b", str(tmp_path / "jar")]), "a").headers["Cookie"] == "a=1; n=v; h=w"


@pytest.mark.parametrize(
    ("word", "is_text", "head", "data"),
    [
        ("n=v", False, 'form-data; name="n"', b"v"),
        ("n=@v;type=a/b", True, 'form-data; name="n"', b"@v;type=a/b"),
        ("n=v;type=a/b", False, 'form-data; name="n"', b"v"),
        ("n=v=w;filename=f.txt", False, 'form-data; name="n"; filename="f.txt"', b"v=w"),
        ("n=<FILE", False, 'form-data; name="n"', b"content"),
    ],
)
def test_a_field_of_a_form(word: str, is_text: bool, head: str, data: bytes, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with contextlib.ExitStack() as files:
        field = form_field(word.replace("FILE", str(tmp_path / "file")), is_text, files)
        assert field.headers["Content-Disposition"] == head
        assert field.data == data
        assert (field.headers["Content-Type"] == "a/b") == (not is_text and "type" in word)


@pytest.mark.parametrize("word", ["n", "=v", ""])
def test_what_is_no_field_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="NAME=CONTENT"), contextlib.ExitStack() as files:
        form_field(word, False, files)
