"""What goes out: headers for common settings, bodies as chunks, sending again."""

from __future__ import annotations

import array
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poollib.exceptions import UnrewindableBodyError, is_from_body
from poollib.http1.decoders import available_codings
from poollib.http1.multipart import MultipartStream
from poollib.http1.request_body import (
    _FAILEDTELL,
    ACCEPT_ENCODING,
    body_length,
    body_to_chunks,
    is_replayable,
    make_headers,
    rewind_body,
    set_file_position,
    to_bytes,
    to_str,
)


class Reader:
    """A file that can only be read; what it returns is given."""

    def __init__(self, *blocks: Any) -> None:
        self._blocks = list(blocks)

    def read(self, size: int = -1) -> Any:
        return self._blocks.pop(0) if self._blocks else b""


class Anew:
    """An iterable that starts anew each time."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"


class Shared:
    """An iterable that hands out the same iterator each time."""

    def __init__(self) -> None:
        self._pieces = iter([b"a"])

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


class TestMakeHeaders:
    """urllib3.util.make_headers, which lets nothing break a line."""

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, {}),
            ({"keep_alive": True}, {"connection": "keep-alive"}),
            ({"accept_encoding": "x"}, {"accept-encoding": "x"}),
            ({"accept_encoding": ["a", "b"]}, {"accept-encoding": "a,b"}),
            ({"accept_encoding": False}, {}),
            ({"user_agent": "x/1"}, {"user-agent": "x/1"}),
            ({"basic_auth": "a:b"}, {"authorization": "Basic YTpi"}),
            ({"basic_auth": "ä:ü"}, {"authorization": "Basic 5Dr8"}),
            ({"basic_auth": "ä:ü", "basic_auth_encoding": "utf-8"}, {"authorization": "Basic w6Q6w7w="}),
            ({"proxy_basic_auth": "a:b"}, {"proxy-authorization": "Basic YTpi"}),
            ({"proxy_basic_auth": "ä", "proxy_basic_auth_encoding": "utf-8"}, {"proxy-authorization": "Basic w6Q="}),
            ({"disable_cache": True}, {"cache-control": "no-cache"}),
        ],
    )
    def test_each_wish_is_a_header(self, settings: dict[str, Any], expected: dict[str, str]) -> None:
        assert make_headers(**settings) == expected

    def test_all_codings_that_can_be_undone_are_offered(self) -> None:
        offered = make_headers(accept_encoding=True)["accept-encoding"].split(",")
        assert offered == [name for name in available_codings() if name != "x-gzip"]
        assert ",".join(offered) == ACCEPT_ENCODING

    def test_what_latin_1_cannot_hold_is_refused(self) -> None:
        with pytest.raises(UnicodeEncodeError):
            make_headers(basic_auth="€")

    @pytest.mark.parametrize("bad", ["a\r\nX: y", "a\n", "a\r", "a\0"])
    def test_a_value_that_breaks_the_line_is_refused(self, bad: str) -> None:
        for words in ({"user_agent": bad}, {"accept_encoding": bad}, {"accept_encoding": ["gzip", bad]}):
            with pytest.raises(ValueError, match="CR, LF or NUL in"):
                make_headers(**words)  # type: ignore[arg-type]


class TestBodies:
    """body_to_chunks and body_length: what a body sends, and how much."""

    @pytest.mark.parametrize(
        ("body", "chunks", "length"),
        [
            ("aü€", ["aü€".encode()], 6),
            (b"abc", [b"abc"], 3),
            (b"", [b""], 0),
            (bytearray(b"abc"), [bytearray(b"abc")], 3),
            (memoryview(b"abc"), [b"abc"], 3),
            (array.array("H", [1, 2, 3]), [array.array("H", [1, 2, 3])], 6),
        ],
    )
    def test_bytes_and_text_are_one_chunk_of_known_length(self, body: Any, chunks: list[Any], length: int) -> None:
        result = body_to_chunks(body, "POST", 4)
        assert result.chunks is not None
        assert list(result.chunks) == chunks
        assert result.content_length == length
        assert body_length(body) == length

    @pytest.mark.parametrize(
        ("body", "chunks", "length"),
        [
            (io.BytesIO(b"abcdefghij"), [b"abcd", b"efgh", b"ij"], 10),
            (io.BytesIO(b""), [], 0),
            (io.StringIO("aüb€c"), ["aüb€".encode(), b"c"], None),
            (Reader(b"a", "ü", b"b"), [b"a", "ü".encode(), b"b"], None),
            (Reader(b"a", None, b"b"), [b"a"], None),
            ([b"a", "ü", b"", "", bytearray(b"c")], [b"a", "ü".encode(), b"c"], None),
            (iter([b"a", b"b"]), [b"a", b"b"], None),
            (Anew(), [b"a"], None),
            ({"a": 1}, [b"a"], None),
        ],
    )
    def test_files_and_iterables_are_sent_piece_by_piece(
        self, body: Any, chunks: list[bytes], length: int | None
    ) -> None:
        """Text as UTF-8, empty pieces left out: they would end a chunked body (RFC 9112 section 7.1)."""
        assert body_length(body) == length
        result = body_to_chunks(body, "POST", 4)
        assert result.content_length is None
        assert result.chunks is not None
        assert list(result.chunks) == chunks

    @pytest.mark.parametrize("body", [5, object(), 1.5])
    def test_other_kinds_are_refused(self, body: object) -> None:
        with pytest.raises(
            TypeError, match=r"'body' must be a bytes-like object, file-like object, or iterable\. Instead was "
        ):
            body_to_chunks(body, "POST", 4)
        assert body_length(body) is None

    def test_pieces_of_other_kinds_are_refused(self) -> None:
        chunks = body_to_chunks([b"a", 5], "POST", 4).chunks
        assert chunks is not None
        with pytest.raises(TypeError, match="a body's pieces are bytes or str, not 5"):
            list(chunks)

    @pytest.mark.parametrize("error", [OSError(5, "m"), ValueError("m"), KeyboardInterrupt()], ids=repr)
    @pytest.mark.parametrize("kind", ["file", "iterator"])
    def test_what_a_body_raises_is_marked_as_its_own(self, kind: str, error: BaseException) -> None:
        """An interrupt is nobody's."""

        def failing(*_: object) -> bytes:
            raise error

        body: Any = map(failing, [1])
        if kind == "file":
            body = type("File", (), {"read": failing})()
        chunks = body_to_chunks(body, "POST", 4).chunks
        assert chunks is not None
        with pytest.raises(type(error)) as caught:
            list(chunks)
        assert caught.value is error
        assert is_from_body(error) == isinstance(error, Exception)

    def test_what_is_raised_while_a_piece_is_sent_is_not_marked(self) -> None:
        chunks = body_to_chunks(iter([b"a", b"b"]), "POST", 4).chunks
        assert chunks is not None
        error = OSError(32, "Broken pipe")
        with pytest.raises(OSError, match="Broken pipe"):
            for _ in chunks:
                raise error
        assert not is_from_body(error)

    @pytest.mark.parametrize(
        ("methods", "length"),
        [
            (["GET", "get", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"], None),
            (["POST", "PUT", "PATCH", "post", "FOO"], 0),
        ],
    )
    def test_no_body_has_length_zero_where_one_is_expected(self, methods: list[str], length: int | None) -> None:
        """RFC 9110 section 8.6."""
        for method in methods:
            assert body_to_chunks(None, method, 4) == (None, length)
        assert body_length(None) is None

    def test_a_real_file_s_length_counts_from_its_position(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        with path.open("rb") as file:
            file.seek(4)
            assert body_length(file) == 6

    def test_a_form_knows_its_length(self) -> None:
        form = MultipartStream({"a": io.BytesIO(b"b")}, "BB")
        assert body_length(form) == len(b"".join(form))
        chunks = body_to_chunks(form, "POST", 4).chunks
        assert chunks is not None
        assert b"".join(chunks) == b"".join(form)

    @settings(max_examples=50)
    @given(pieces=st.lists(st.binary(max_size=9) | st.text(max_size=9), max_size=9), blocksize=st.integers(1, 20))
    def test_no_byte_is_lost_or_added(self, pieces: list[bytes | str], blocksize: int) -> None:
        whole = b"".join(to_bytes(piece) for piece in pieces)
        for body in (pieces, io.BytesIO(whole), whole, iter(pieces)):
            chunks = body_to_chunks(body, "PUT", blocksize).chunks
            assert chunks is not None
            assert b"".join(chunks) == whole


class TestSendingAgain:
    """A body that can't be sent again whole says so: it is never re-sent half or empty."""

    @pytest.mark.parametrize(
        "body",
        [
            None,
            b"a",
            "a",
            bytearray(b"a"),
            memoryview(b"a"),
            array.array("H", [1]),
            [b"a"],
            (b"a",),
            {"a": 1},
            Anew(),
            io.BytesIO(b"a"),
            io.StringIO("a"),
            MultipartStream({"a": io.BytesIO(b"a")}),
        ],
    )
    def test_these_can_be_sent_again(self, body: Any) -> None:
        assert is_replayable(body)

    @pytest.mark.parametrize(
        "body",
        [iter([b"a"]), (piece for piece in [b"a"]), Shared(), Reader(b"a"), MultipartStream({"a": Reader(b"a")}), 5],
    )
    def test_these_cannot(self, body: Any) -> None:
        assert not is_replayable(body)

    def test_a_pipe_cannot(self) -> None:
        end, other = os.pipe()
        with open(end, "rb") as reader, open(other, "wb"):
            assert not is_replayable(reader)
            assert rewind_fails(reader, set_file_position(reader, None))

    def test_a_file_goes_back_to_where_it_was(self) -> None:
        body = io.BytesIO(b"0123456789")
        body.seek(3)
        position = set_file_position(body, None)
        assert position == 3
        body.read()
        rewind_body(body, position)
        assert body.read() == b"3456789"
        assert set_file_position(body, 5) == 5
        assert body.read() == b"56789"

    def test_bytes_have_no_position(self) -> None:
        assert set_file_position(b"abc", None) is None
        assert rewind_fails(b"abc", 2)
        with pytest.raises(
            UnrewindableBodyError, match="cannot be sent again: body does not implement seek, it is a bytes"
        ):
            set_file_position(b"abc", 2)

    def test_a_position_that_cannot_be_told_is_refused_when_it_is_needed(self) -> None:
        class NoTell(io.BytesIO):
            def tell(self) -> int:
                raise OSError("no")

        position = set_file_position(NoTell(), None)
        assert position is _FAILEDTELL
        with pytest.raises(UnrewindableBodyError, match="Unable to record file position for rewinding the body"):
            rewind_body(NoTell(), position)

    def test_a_failing_seek_names_its_reason(self) -> None:
        body = io.BytesIO(b"abc")
        body.close()
        with pytest.raises(
            UnrewindableBodyError, match="An error occurred when rewinding request body: I/O operation on closed file"
        ):
            rewind_body(body, 0)

    def test_a_position_is_a_number(self) -> None:
        with pytest.raises(ValueError, match="a body's position is an int, not 'a'"):
            rewind_body(io.BytesIO(), "a")  # type: ignore[arg-type]


def rewind_fails(body: Any, position: Any) -> bool:
    try:
        rewind_body(body, position)
    except UnrewindableBodyError:
        return True
    return False


def test_text_and_bytes() -> None:
    """urllib3.util.util."""
    assert to_bytes("ü") == to_bytes("ü".encode()) == "ü".encode()
    assert to_bytes("ü", "latin-1") == b"\xfc"
    assert to_bytes("ü", "ascii", "ignore") == b""
    assert to_str(b"\xc3\xbc") == to_str("ü") == "ü"
    assert to_str(b"\xfc", "latin-1") == "ü"
    assert to_str(b"\xff", errors="replace") == "\ufffd"
    for function in (to_bytes, to_str):
        with pytest.raises(TypeError, match="not expecting type int"):
            function(5)  # type: ignore[arg-type]


def test_names_that_do_not_exist_are_missing() -> None:
    """Though the module finds one name only when it is asked for."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sys.modules["poollib.http1.request_body"].nothing  # noqa: B018


def test_a_body_whose_class_takes_back_tell_and_seek_has_none() -> None:
    """``seek = None`` is how a class says that it lacks what its base has."""

    class Pipe(io.StringIO):
        tell = seek = None  # type: ignore[assignment]

    assert set_file_position(Pipe(), None) is None
    with pytest.raises(UnrewindableBodyError, match="body does not implement seek, it is a Pipe"):
        rewind_body(Pipe(), 2)
