"""What is made for eyes, without a terminal: JSON laid out, bars, the line of -w."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poollib.base.headers import HTTPHeaderDict
from poollib.cli.terminal import is_json, pretty_json
from poollib.cli.timings import Phase, bars
from poollib.cli.write_out import written_out

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.booleans())
@example("\x7f", False)
def test_json_laid_out_means_the_same(value: object, is_ascii: bool) -> None:
    body = json.dumps(value, ensure_ascii=is_ascii)
    laid_out = pretty_json(body.encode("utf-8", "surrogatepass"), coloured=False)
    if laid_out is not None:  # a lone surrogate is no UTF-8
        assert json.loads(laid_out) == value
        assert (
            laid_out.decode().strip() == json.dumps(json.loads(laid_out), indent=2, ensure_ascii=is_ascii)
            or max(body + laid_out.decode()) >= "\x7f"  # DEL is laid out as an escape
        )


@pytest.mark.parametrize(
    ("body", "laid_out"),
    [
        (b'{"a":1.50,"a":1e5}', b'{\n  "a": 1.50,\n  "a": 1e5\n}\n'),
        (b' [ ] ', b"[]\n"),
        (b'"\\u00e9\\/"', b'"\\u00e9\\/"\n'),
        (b'["\xc2\x9b"]', b'[\n  "\\u009b"\n]\n'),
        (b"{", None),
        (b"\xff", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
)  # fmt: skip
def test_tokens_stay_as_they_came(body: bytes, laid_out: bytes | None) -> None:
    assert pretty_json(body, coloured=False) == laid_out


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"])
def test_what_says_that_it_is_json(kind: str) -> None:
    assert is_json(HTTPHeaderDict({"Content-Type": kind}))
    assert not is_json(HTTPHeaderDict({"Content-Type": "text/html"}))
    assert not is_json(HTTPHeaderDict())


@pytest.mark.parametrize("width", [40, 60, 80])
def test_bars_follow_each_other_and_fill_the_width(width: int) -> None:
    phases = [Phase("queue", 0.0), Phase("connect", 0.25), Phase("first byte", 0.5), Phase("body", 0.25)]
    *lines, total = bars(phases, width, "#")
    assert max(map(len, lines)) == width
    assert "#" not in lines[0]
    ends = [len(line) for line in lines[1:]]
    assert [line.index("#") for line in lines[2:]] == ends[:-1]
    assert total.split() == ["total", "1000.0", "ms"]


def test_nothing_took_time() -> None:
    assert bars([Phase("queue", 0.0)], 80, "#") == ["queue             0.0 ms", "total             0.0 ms"]


def test_a_format_is_filled_in(capsys: pytest.CaptureFixture[str]) -> None:
    figures: dict[str, str | int | float] = {"http_code": 7, "time_total": 0.5, "url": "u"}
    headers = HTTPHeaderDict({"X-A": "1"})
    line = written_out(
        r"%{http_code} %{time_total} %{url} %header{x-a}%header{none}\t%%\\n%{stderr}e%{stdout}!\n", figures, headers
    )
    assert line == ("007 0.500000 u 1\t%\\n!\n", "e")
    assert written_out("%{nothing}%{", figures, headers).out == "%{"
    assert "it knows http_code, time_total, url" in capsys.readouterr().err
