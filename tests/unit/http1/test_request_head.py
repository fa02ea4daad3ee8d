"""What is written: checked bytes or ValueError; heads that are read are in test_response_head and tests/bytes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from poollib.http1.request_head import (
    SKIP_HEADER,
    check_method,
    check_target,
    check_value,
    prepare_fields,
    request_head,
    request_line,
    trailer_block,
)


def test_a_head_is_its_line_its_fields_and_an_empty_line() -> None:
    fields: list[tuple[str | bytes, Any]] = [
        ("A", "b"),
        (b"C-D", b"\xe9"),
        ("E", 5),
        ("F", " \tg h\t "),
        ("I", "é"),
        ("J", ""),
    ]
    wanted = b"GET /p?q HTTP/1.1\r\nA: b\r\nC-D: \xe9\r\nE: 5\r\nF: g h\r\nI: \xe9\r\nJ: \r\n\r\n"
    assert request_head("GET", "/p?q", fields) == wanted


@pytest.mark.parametrize("method", ["", "GET ", "G\r\nT", "GÉT", "a/b", "GET\0", 5, b"GET", None])
def test_a_method_is_a_token(method: Any) -> None:
    with pytest.raises(ValueError, match="method"):
        request_line(method, "/")
    with pytest.raises(ValueError, match="method"):
        check_method(method)


@pytest.mark.parametrize("target", ["", "/a b", "/a\r\nHost: x", "/\0", "/é", "/\x7f", "/a\tb"])
def test_a_target_is_visible_ascii(target: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        request_line("GET", target)
    with pytest.raises(ValueError, match="URL"):
        check_target(target)


@pytest.mark.parametrize("name", ["", " ", "A ", "A:", "A\r\nB", "A\0", "Ä", "(A)", b"A B", 5, None])
def test_a_field_name_is_a_token(name: Any) -> None:
    with pytest.raises(ValueError, match="header name"):
        prepare_fields([(name, "x")])


@pytest.mark.parametrize("value", ["a\r\nB: c", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\x01", b"a\r\n b", "€"])
def test_a_field_value_holds_no_control_characters_and_what_latin_1_has(value: Any) -> None:
    with pytest.raises(ValueError, match="header value"):
        prepare_fields([("A", value)])


def test_text_beyond_latin_1_comes_with_advice() -> None:
    with pytest.raises(ValueError, match="pass bytes"):
        prepare_fields([("A", "€")])


@pytest.mark.parametrize("value", [None, 1.5, ["a"], object()])
def test_a_value_of_another_kind_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="'A' must be str, bytes or int"):
        prepare_fields([("A", value)])


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding"])
def test_fields_that_decide_framing_or_the_server_stand_once(name: str) -> None:
    with pytest.raises(ValueError, match="more than once"):
        prepare_fields([(name, "5"), (name.swapcase(), "5")])


def test_length_and_coding_do_not_go_together() -> None:
    with pytest.raises(ValueError, match=r"RFC 9112 section 6\.2"):
        prepare_fields([("Content-Length", "5"), ("Transfer-Encoding", "chunked")])


def test_what_framing_must_know_is_read_off_once() -> None:
    fields = prepare_fields([("Content-Length", "5"), ("Connection", "a, Close"), ("Expect", "100-Continue")])
    assert (fields.content_length, fields.transfer_encoding, fields.close, fields.expects_continue) == (
        5,
        None,
        True,
        True,
    )
    fields = prepare_fields([("transfer-encoding", "Chunked"), ("Connection", "closed")])
    assert (fields.content_length, fields.transfer_encoding, fields.close) == (None, "chunked", False)


def test_a_field_can_be_left_out_if_it_is_one_of_our_own() -> None:
    fields = prepare_fields([("Accept-Encoding", SKIP_HEADER), ("A", "b")])
    assert (fields.block, "accept-encoding" in fields.names) == (b"A: b\r\n", True)
    with pytest.raises(
        ValueError,
        match=r"urllib3\.util\.SKIP_HEADER only supports 'Accept-Encoding', 'Host', 'User-Agent', not 'content-length'",
    ):
        prepare_fields([("Content-Length", SKIP_HEADER)])


def test_the_memory_of_blocks_does_not_grow_for_ever() -> None:
    from poollib.http1 import request_head

    for number in range(1000):
        prepare_fields([("A", str(number))])
        assert len(request_head._memo) <= request_head._MEMO_SIZE


def test_the_memory_of_blocks_is_bounded_in_bytes_too() -> None:
    """256 blocks of 500 kB were kept for ever; blanks around a value count, as they are part of what is kept."""
    from poollib.http1 import request_head

    request_head._memo.clear()
    for value in ("x" * 3000, " " * 3000 + "x"):
        assert prepare_fields([("A", value)]).block.endswith(b"x\r\n")
        assert prepare_fields([("B" * 3000, "x")]).block.endswith(b": x\r\n")
    assert request_head._memo == {}


@pytest.mark.parametrize(
    "name", ["Authorization", "PROXY-AUTHORIZATION", "Cookie", "X-Api-Key", "PRIVATE-TOKEN", "X-Amz-Signature"]
)
def test_no_credentials_stay_in_the_memory_of_blocks(name: str) -> None:
    """They would outlive the request, the pool and the manager, in every dump of the process's memory."""
    from poollib.http1 import request_head

    request_head._memo.clear()
    for _ in range(2):
        fields = prepare_fields([("Accept", "*/*"), (name, "s3cret")])
        assert fields.block == f"Accept: */*\r\n{name}: s3cret\r\n".encode()
        assert fields.is_private
    assert request_head._memo == {}


def test_a_value_and_a_number_that_look_alike_are_told_apart() -> None:
    assert prepare_fields([("A", "1")]).block == prepare_fields([("A", 1)]).block
    assert prepare_fields([("A", True)]).block == b"A: True\r\n"


def test_trailers_are_checked_like_fields_and_are_none_that_come_too_late() -> None:
    assert trailer_block([("X-Sum", "1"), ("Y", 2)]) == b"X-Sum: 1\r\nY: 2\r\n\r\n"
    assert trailer_block([]) == b"\r\n"
    for name in ("Content-Length", "transfer-encoding", "Host", "Trailer", "Authorization"):
        with pytest.raises(ValueError, match="trailer"):
            trailer_block([(name, "x")])


@pytest.mark.parametrize(
    ("value", "told"),
    [("ok\0", r"it holds '\x00'"), ("a\x7fb", r"it holds '\x7f'"), ("a\tb\xe9\u20ac", "an encoding of your choice")],
)
def test_the_first_bad_character_of_a_value_is_named(value: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        check_value("X", value)


def test_a_good_target_is_given_back() -> None:
    assert check_target("/a?b") == "/a?b"
