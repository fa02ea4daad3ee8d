"""Lines of a body: the same however it is cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from poollib.http1.body_lines import bare_lines, split_lines

BODIES = (b"", b"a", b"a\n", b"\n\n", b"a\nb", b"a\r\nb\r\n", b"a\rb\n", b"\r\n", b"a\x0bb\x85c\n\x1cd", b"a\r")


def pieces_of(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("body", BODIES)
def test_lines_keep_their_ends_and_end_at_lf_alone(body: bytes, size: int) -> None:
    assert list(split_lines(pieces_of(body, size))) == [line + b"\n" for line in body.split(b"\n")[:-1]] + (
        [body.split(b"\n")[-1]] if not body.endswith(b"\n") and body else []
    )


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("body", BODIES)
def test_bare_lines_have_no_line_ends(body: bytes, size: int) -> None:
    """LF or CRLF ends a line; a lone CR is part of it, but for the last one of a body."""
    pieces = pieces_of(body, size)
    whole = body.split(b"\n")
    if not whole[-1]:
        del whole[-1]
    assert list(bare_lines(lambda: next(pieces, b""))) == [line.removesuffix(b"\r") for line in whole]


def test_a_bare_line_is_given_out_before_more_is_read() -> None:
    read = iter([b"first\nsec"])
    lines = bare_lines(lambda: next(read))
    assert next(lines) == b"first"
