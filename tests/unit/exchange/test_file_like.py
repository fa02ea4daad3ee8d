"""A FileLike is used as any binary file that is an io.IOBase."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from poollib.exchange.file_like import FileLike, bare_lines, split_lines
from poollib.response import HTTPResponse


class Text(FileLike):
    """A file of these bytes; how often it was closed is counted."""

    def __init__(self, data: bytes) -> None:
        self.source = io.BytesIO(data)
        self.closings = 0

    def read(self, amt=None):
        return self.source.read(amt)

    def readable(self):
        return True

    def close(self):
        self.closings += 1
        super().close()


class Raw(io.IOBase):
    """The same on io.IOBase itself, to compare with."""

    def __init__(self, data: bytes) -> None:
        self.source = io.BytesIO(data)

    def read(self, amt=None):
        return self.source.read(amt)

    def readable(self):
        return True


LINES = b"one\ntwo\r\n\nfour"


def test_it_counts_as_an_iobase():
    assert isinstance(Text(b""), io.IOBase)
    assert issubclass(HTTPResponse, io.IOBase)


@pytest.mark.parametrize("size", [None, -1, 0, 1, 2, 3, 4, 5, 100])
def test_readline_gives_what_iobase_gives(size):
    mine, theirs = Text(LINES), Raw(LINES)
    assert [mine.readline(size) for _ in range(9)] == [theirs.readline(size) for _ in range(9)]


@pytest.mark.parametrize("hint", [None, -1, 0, 1, 4, 5, 9, 100])
def test_readlines_gives_what_iobase_gives(hint):
    assert Text(LINES).readlines(hint) == Raw(LINES).readlines(hint)


def test_iterating_gives_the_lines():
    assert list(Text(LINES)) == list(Raw(LINES)) == [b"one\n", b"two\r\n", b"\n", b"four"]


def _outcome(file, name, *arguments):
    try:
        return getattr(file, name)(*arguments)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("readable", ()),
        ("writable", ()),
        ("seekable", ()),
        ("isatty", ()),
        ("flush", ()),
        ("fileno", ()),
        ("tell", ()),
        ("seek", (0,)),
        ("truncate", ()),
        ("_checkClosed", ()),
    ],
)
@pytest.mark.parametrize("is_closed", [False, True])
def test_every_other_method_does_what_iobase_does(name, arguments, is_closed):
    mine, theirs = Text(LINES), Raw(LINES)
    if is_closed:
        mine.close()
        theirs.close()
    assert mine.closed is theirs.closed is is_closed
    assert _outcome(mine, name, *arguments) == _outcome(theirs, name, *arguments)


def test_it_can_not_be_written():
    with pytest.raises(io.UnsupportedOperation):
        Text(b"").writelines([b"x"])


def test_a_with_block_closes_and_refuses_what_is_closed():
    with Text(b"x") as file:
        assert file.read() == b"x"
    assert file.closed
    with pytest.raises(ValueError, match="closed file"), file:
        pass
    with pytest.raises(ValueError, match="closed file"):
        iter(file)


def test_what_is_dropped_is_closed_once():
    file, closings = Text(b""), []
    file.close = lambda: closings.append(1)
    del file
    assert closings == [1]


def test_what_was_closed_is_not_closed_again_at_its_end():
    class Counting(Text):
        ended = 0

        def close(self):
            Counting.ended += 1
            super().close()

    file = Counting(b"")
    file.close()
    del file
    assert Counting.ended == 1


def test_an_error_at_the_end_goes_nowhere(capsys, recwarn):
    class Failing(Text):
        def close(self):
            raise OSError("gone")

    file = Failing(b"")
    del file
    assert capsys.readouterr().err == ""
    assert not recwarn


def test_io_wraps_a_response_that_does_not_close_itself():
    response = HTTPResponse(io.BytesIO("grün\nblau\n".encode()), preload_content=False, auto_close=False)
    assert list(io.TextIOWrapper(response, "utf-8")) == ["grün\n", "blau\n"]
    response = HTTPResponse(io.BytesIO(LINES), preload_content=False, auto_close=False)
    assert io.BufferedReader(response).read() == LINES


def test_a_dropped_response_closes_its_file():
    file = io.BytesIO(b"unread")
    response = HTTPResponse(file, preload_content=False)
    assert not file.closed
    del response
    assert file.closed


# Lines of a body: the same however it is cut into pieces.

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
