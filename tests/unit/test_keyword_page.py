"""The reference's table names every keyword, with the type, default and place that the code gives it."""

from __future__ import annotations

import re

import poollib
from tests.support import keyword_page

_UNITS = {
    "seconds",
    "bytes",
    "connections",
    "pools",
    "attempts",
    "failures",
    "bytes, lines",
    "requests",
    "requests a second",
    "",
}


def test_every_keyword_stands_there_once() -> None:
    written = [row[0] for row in keyword_page.rows()]
    assert sorted(written) == sorted(keyword_page.keywords()), (
        "a new keyword needs a row in docs/reference/keywords.rst"
    )


def test_types_and_places_are_the_signatures() -> None:
    assert {row[0]: (row[2], row[5]) for row in keyword_page.rows()} == keyword_page.keywords()


def test_defaults_are_the_signatures() -> None:
    written = {row[0]: row[3] for row in keyword_page.rows()}
    known = keyword_page.defaults()
    assert {name: written[name] for name in known if name in written} == {n: known[n] for n in known if n in written}


def test_numbers_have_a_unit_and_every_row_a_guide() -> None:
    no_number = {"cert_reqs", "ssl_version", "ssl_minimum_version", "ssl_maximum_version"}
    for keyword, meaning, shown, _, unit, _, guide in keyword_page.rows():
        is_number = re.search(r"(^|\| )(int|float)( \||$)", shown) is not None and keyword not in no_number
        assert (unit != "") >= is_number, keyword
        assert unit in _UNITS, keyword
        assert meaning, keyword
        target = re.fullmatch(r":doc:`/(\w+)`", guide)
        assert target is not None, keyword
        assert (keyword_page.PAGE.parents[1] / f"{target[1]}.rst").exists(), keyword


def test_every_public_name_has_its_place_in_the_reference() -> None:
    text = "\n".join(page.read_text() for page in keyword_page.PAGE.parent.glob("*.rst"))
    documented = set(re.findall(r"^\.\. auto(?:class|function|data):: (\w+)", text, re.M))
    missing = set(poollib.__all__) - {"exceptions"} - documented
    assert missing == set(), "a new public name needs an autoclass or autofunction in docs/reference"
    assert set(poollib.util.__all__) - set(poollib.__all__) <= documented | {"util"}
