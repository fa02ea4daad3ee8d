"""The character tables, one character at a time, against the words of the RFCs."""

from __future__ import annotations

import re
import string

import pytest

from poollib.http1.grammar import FIELD_VALUE, TOKEN, is_field_value, is_target, is_token

TCHAR = set("!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters)  # RFC 9110 section 5.6.2
VCHAR = {chr(code) for code in range(0x21, 0x7F)}  # RFC 5234 appendix B.1
OBS_TEXT = {chr(code) for code in range(0x80, 0x100)}  # RFC 9110 section 5.5
EVERY_CHARACTER = [chr(code) for code in range(0x110)]


@pytest.mark.parametrize("character", EVERY_CHARACTER)
def test_each_character_is_where_the_rfcs_have_it(character: str) -> None:
    assert bool(is_token(character)) is bool(re.fullmatch(TOKEN, character)) is (character in TCHAR)
    assert bool(is_target(character)) is (character in VCHAR)
    assert bool(is_field_value(character)) is (character in VCHAR | OBS_TEXT)
    assert bool(re.fullmatch(FIELD_VALUE, character)) is (character in VCHAR | OBS_TEXT | set(" \t"))


@pytest.mark.parametrize(
    ("value", "may_be_sent"),
    [("", True), ("a\t b", True), (" a", False), ("a\t", False), ("a\n", False)],
)
def test_a_field_value_has_blanks_only_inside(value: str, may_be_sent: bool) -> None:
    assert bool(is_field_value(value)) is may_be_sent


def test_a_token_and_a_target_are_not_empty() -> None:
    assert not is_token("")
    assert not is_target("")
