"""The words of the command line by curl's rules, and the help that lists the options."""

from __future__ import annotations

import re

import pytest

from poollib.cli import arguments
from poollib.cli.arguments import OPTIONS, UsageError, help_text, parse, shown


@pytest.mark.parametrize(
    "words",
    [
        ["-s", "-o", "f", "-XPUT", "URL"],
        ["-so", "f", "-X", "PUT", "URL"],
        ["-sof", "-XPUT", "URL"],
        ["--silent", "--output", "f", "--request", "PUT", "URL"],
        ["URL", "--silent", "--output=f", "--request=PUT"],
        ["--sil", "--output", "f", "--reque", "PUT", "--url", "URL"],
    ],
)
def test_an_option_may_be_written_in_each_of_curls_ways(words: list[str]) -> None:
    found = parse(words)
    assert (found.has("silent"), found.last("output"), found.last("request"), found.urls) == (True, "f", "PUT", ["URL"])
    assert not found.has("verbose")


def test_a_value_may_look_like_an_option() -> None:
    found = parse(["-d", "-x", "-w", "--silent", "-H", "-a: b", "-C", "-", "--", "-URL", "--URL"])
    assert [found.last(name) for name in ("data", "write-out", "header", "continue-at")] == [
        "-x",
        "--silent",
        "-a: b",
        "-",
    ]
    assert found.urls == ["-URL", "--URL"]


def test_the_last_use_counts_and_no_takes_a_flag_back() -> None:
    found = parse(["-o", "a", "-o", "b", "-L", "--no-location", "-s", "--no-silent", "-s"])
    assert (found.last("output"), found.has("location"), found.has("silent")) == ("b", False, True)
    assert list(found.all("output", "silent"))[:2] == [("output", "a"), ("output", "b")]


def test_the_first_word_may_be_a_method() -> None:
    assert (parse(["get", "get"]).verb, parse(["get", "get"]).urls) == ("get", ["get"])
    assert (parse(["-s", "get"]).verb, parse(["-s", "get"]).urls) == (None, ["get"])


def test_numbers_are_read_as_such() -> None:
    found = parse(["-m", "2.5", "--connect-timeout", "0", "--retry", "3", "--max-redirs", "-1"])
    assert (found.seconds("max-time"), found.seconds("connect-timeout"), found.seconds("retry-delay")) == (
        2.5,
        None,
        None,
    )
    assert (found.count("retry"), found.count("max-redirs", least=-1), found.count("parallel-max")) == (3, -1, None)


@pytest.mark.parametrize("word", ["1e400", "nan", "-1", "", "1s", "1_0", "\u0661"])
def test_what_is_no_number_is_refused(word: str) -> None:
    found = parse(["-m", word, "--retry", word])
    with pytest.raises(UsageError, match="-m/--max-time wants a number of seconds"):
        found.seconds("max-time")
    with pytest.raises(UsageError, match="--retry wants a whole number"):
        found.count("retry")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-Y"], "there is no option -Y: --help lists all options"),
        (["-sK"], "there is no option -K: no files of options are read"),
        (["--outputt"], "did you mean --output?"),
        (["--data-b=x", "--data-u"], "--data-urlencode wants a value after it"),
        (["--location=1"], "--location takes no value"),
        (["--no-output"], "there is no option --no-output"),
    ],
)
def test_words_that_mean_nothing_say_what_might(words: list[str], text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(text)):
        parse(words)


def test_no_letter_and_no_name_is_given_twice() -> None:
    options = [option for group in OPTIONS.values() for option in group]
    letters = [option.short for option in options if option.short]
    assert len(set(letters)) == len(letters)
    assert len({option.long for option in options}) == len(options)
    assert not arguments._REFUSED.keys() & {option.long for option in options}
    assert not arguments._REFUSED_LETTERS.keys() & set(letters)
    assert (shown("output"), shown("json")) == ("-o/--output", "--json")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_help_lists_every_option_within_the_width(width: int) -> None:
    text = help_text(width)
    assert max(map(len, text.splitlines())) <= min(width, 100)
    for group, options in OPTIONS.items():
        assert f"\n{group.upper()}\n" in text
        for option in options:
            assert f"--{option.long}" in text
