"""poollib against h11 and llhttp: it accepts nothing that both refuse, and bodies end where theirs end.

RELIABILITY promises 2 and 3. What is left of differences has a row in `EXPLAINED`, with the sentence of the RFC that
poollib follows there; docs/security.rst shows the same rows. A case is its number: `mutate.case(n)` gives its bytes.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterable

import pytest

pytest.importorskip("h11")
pytest.importorskip("httptools")

from tests.differential.mutate import SEEDS, case
from tests.differential.verdicts import CUT, REFUSED, WHOLE, Verdict, h11_says, llhttp_says, poollib_says

_TE = rb"(?im)^transfer-encoding:"

#: Why poollib alone may take an answer as whole: what the bytes look like, and what allows it.
EXPLAINED = [
    (rb"\r?\n0+[ \t]*(;[^\n]*)?\r\n\Z", "RFC 9112 section 8: incomplete only without the zero-sized chunk"),
    (_TE + rb"[^\n]*,\s*$", "RFC 9110 section 5.6.1.2: recipients ignore empty list elements"),
    (_TE + rb"\s*,", "RFC 9110 section 5.6.1.2: recipients ignore empty list elements"),
    (_TE + rb"\s*$", "RFC 9110 section 5.6.1.2: recipients ignore empty list elements"),
    (rb"(?ims)^(?=.*^transfer-encoding:[^\n]*chunked).*^content-length:", "RFC 9112 section 6.3 rule 3: chunked wins"),
    (rb"(?m)^HTTP/1\.\d (204|304|1\d\d)\b", "RFC 9112 section 6.3 rule 1: no body, whatever the fields say"),
    (_TE + rb"\s*identity\s*$", "RFC 9112 section 6.3 rule 4: what is not chunked ends with the connection"),
    (rb"\r\n[0-9a-fA-F]+[ \t]+;", "RFC 9112 section 7.1.1: chunk-ext may begin with bad white space"),
    (rb"(?s)\r\n0+(;[^\n]*)?\r\n.*(Content-Length|Transfer-Encoding)", "RFC 9110 section 6.5.1: trailers never merge"),
]

#: How long the slow run takes.
SECONDS = float(os.environ.get("POOLLIB_DIFFERENTIAL_S", "60"))


def _objection(data: bytes) -> str | None:
    """What is wrong with poollib's verdict; None if nothing is."""
    ours, theirs = poollib_says(data), [h11_says(data), llhttp_says(data)]
    if ours.what != WHOLE:
        return None
    whole = [verdict for verdict in theirs if verdict.what == WHOLE]
    for other in whole:
        if (other.status, other.body) != (ours.status, ours.body):
            return f"poollib reads {ours}, others {theirs}"
    if not whole and not any(re.search(pattern, data) for pattern, _ in EXPLAINED):
        return f"poollib alone accepts: {ours}, others {theirs}"
    return None


def _check(numbers: Iterable[int]) -> int:
    count = 0
    for number in numbers:
        data = case(number)
        objection = _objection(data)
        assert objection is None, f"case({number}), {data!r}: {objection}"
        count += 1
    return count


def test_three_thousand_spoiled_answers_are_read_alike() -> None:
    assert _check(range(3000)) == 3000


@pytest.mark.slow
def test_spoiled_answers_are_read_alike_for_a_minute() -> None:
    """POOLLIB_DIFFERENTIAL_S sets the seconds; ``-s`` shows how many they were."""
    end = time.monotonic() + SECONDS
    count = _check(itertools.takewhile(lambda _: time.monotonic() < end, itertools.count(3000)))
    print(f"{count:,} cases")
    assert count > 1000


def test_sound_answers_are_read_by_all_three() -> None:
    """Else agreeing would mean nothing: most seeds are whole for every parser."""
    alike = [seed for seed in SEEDS if poollib_says(seed)[:3] == h11_says(seed)[:3] == llhttp_says(seed)[:3]]
    assert len([seed for seed in alike if poollib_says(seed).what == WHOLE]) >= 16


@pytest.mark.parametrize(("data", "why"), [(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", REFUSED), (b"HTTP/1.1 200 O", CUT)])
def test_the_verdicts_can_say_no(data: bytes, why: str) -> None:
    assert {verdict(data).what for verdict in (poollib_says, h11_says, llhttp_says)} == {why}


def test_what_is_explained_is_accepted_by_poollib_alone() -> None:
    """The rows are needed: without one, its case would be an objection."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    assert poollib_says(data) == Verdict(WHOLE, 200, b"hello")
    assert WHOLE not in (h11_says(data).what, llhttp_says(data).what)
    assert _objection(data) is None
