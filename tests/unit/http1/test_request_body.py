"""What goes out: headers for common settings, bodies as chunks, sending again, fields and JSON through
RequestMethods."""

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

from poollib.base.headers import HTTPHeaderDict
from poollib.exceptions import UnrewindableBodyError
from poollib.http1.decoders import available_codings
from poollib.http1.multipart import MultipartStream
from poollib.http1.request_body import (
    _FAILEDTELL,
    ACCEPT_ENCODING,
    RequestMethods,
    body_length,
    body_to_chunks,
    encode_fields,
    encode_json,
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

    @settings(max_examples=50, deadline=None)
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


class Recorder(RequestMethods):
    """A pool that only notes what `urlopen` was called with."""

    def urlopen(self, method: str, url: str, *args: Any, **kw: Any) -> Any:
        assert not args
        return method, url, {name: dict(value) if name == "headers" else value for name, value in kw.items()}


OWN = {"X": "1"}
FORM = b'--BB\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--BB--\r\n'


class TestRequestMethods:
    """urllib3's RequestMethods: what `request` hands to `urlopen`."""

    @pytest.mark.parametrize(
        ("method", "given", "url", "sent"),
        [
            ("get", {}, "/", {"headers": OWN}),
            (
                "GET",
                {"timeout": 3, "preload_content": False},
                "/",
                {"headers": OWN, "timeout": 3, "preload_content": False},
            ),
            ("GET", {"headers": {}}, "/", {"headers": {}}),
            ("GET", {"headers": {"A": "b"}}, "/", {"headers": {"A": "b"}}),
            ("GET", {"fields": {"a": "1 2"}}, "/?a=1+2", {"headers": OWN}),
            ("HEAD", {"fields": [("a", 1), ("a", "ü")]}, "/?a=1&a=%C3%BC", {"headers": OWN}),
            ("DELETE", {"fields": {"a": 1}, "body": b"x"}, "/?a=1", {"headers": OWN, "body": b"x"}),
            ("OPTIONS", {"fields": {}}, "/", {"headers": OWN}),
            ("POST", {}, "/", {"headers": OWN}),
            ("POST", {"body": "x"}, "/", {"headers": OWN, "body": "x"}),
            ("POST", {"fields": {}}, "/", {"headers": OWN}),
            (
                "POST",
                {"fields": {"a": "b"}, "multipart_boundary": "BB"},
                "/",
                {"headers": {**OWN, "Content-Type": "multipart/form-data; boundary=BB"}, "body": FORM},
            ),
            (
                "put",
                {"fields": {"a": "ü b"}, "encode_multipart": False},
                "/",
                {"headers": {**OWN, "Content-Type": "application/x-www-form-urlencoded"}, "body": "a=%C3%BC+b"},
            ),
            (
                "POST",
                {"fields": {"a": "b"}, "multipart_boundary": "BB", "headers": {"content-type": "x/y"}},
                "/",
                {"headers": {"content-type": "x/y"}, "body": FORM},
            ),
            (
                "POST",
                {"json": {"a": "ü", "b": [1, None]}},
                "/",
                {"headers": {**OWN, "Content-Type": "application/json"}, "body": '{"a":"ü","b":[1,null]}'.encode()},
            ),
            (
                "GET",
                {"json": [], "headers": {"CONTENT-TYPE": "x"}},
                "/",
                {"headers": {"CONTENT-TYPE": "x"}, "body": b"[]"},
            ),
            ("POST", {"json": False}, "/", {"headers": {**OWN, "Content-Type": "application/json"}, "body": b"false"}),
            ("POST", {"json": None}, "/", {"headers": OWN}),
            ("GET", {"multipart_boundary": "BB", "encode_multipart": True}, "/", {"headers": OWN}),
        ],
    )
    def test_request_calls_urlopen_with(
        self, method: str, given: dict[str, Any], url: str, sent: dict[str, Any]
    ) -> None:
        own = dict(OWN)
        assert Recorder(own).request(method, "/", **given) == (method.upper(), url, sent)
        assert own == OWN

    @pytest.mark.parametrize(
        "given",
        [{"json": 1, "body": b"x"}, {"json": 1, "fields": {"a": "b"}}, {"fields": {"a": "b"}, "body": b"x"}],
    )
    def test_a_request_has_one_body(self, given: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match=r"request got values for both '(body|fields)' and '(json|body)'"):
            Recorder().request("POST", "/", **given)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("/", "/?a=1"),
            ("/?b=2", "/?b=2&a=1"),
            ("/?", "/?a=1"),
            ("/?b&", "/?b&a=1"),
            ("http://h/p#frag?x", "http://h/p?a=1#frag?x"),
        ],
    )
    def test_fields_join_the_query_a_url_has(self, url: str, expected: str) -> None:
        """urllib3 appends a second question mark, behind the fragment."""
        assert Recorder().request("GET", url, fields={"a": 1})[1] == expected

    def test_headers_of_several_lines_stay_apart(self) -> None:
        class Keeper(RequestMethods):
            def urlopen(self, method: str, url: str, *args: Any, **kw: Any) -> Any:
                return kw["headers"]

        headers = HTTPHeaderDict([("Cookie", "a"), ("Cookie", "b")])
        sent = Keeper().request("POST", "/", json=1, headers=headers)
        assert sent.getlist("cookie") == ["a", "b"]
        assert "content-type" not in headers

    def test_a_form_with_a_file_is_streamed(self) -> None:
        _, _, sent = Recorder().request("POST", "/", fields={"a": io.BytesIO(b"x")}, multipart_boundary="BB")
        assert isinstance(sent["body"], MultipartStream)
        assert sent["headers"]["Content-Type"] == "multipart/form-data; boundary=BB"
        assert b"\r\n\r\nx\r\n--BB--" in b"".join(sent["body"])

    def test_the_halves_stand_alone(self) -> None:
        pool = Recorder(OWN)
        assert pool.request_encode_url("GET", "/", {"a": 1}, timeout=1) == (
            "GET",
            "/?a=1",
            {"headers": OWN, "timeout": 1},
        )
        _, _, sent = pool.request_encode_body("POST", "/", {"a": "b"}, {"A": "b"}, False, None, timeout=1)
        content_type = "application/x-www-form-urlencoded"
        assert sent == {"headers": {"A": "b", "Content-Type": content_type}, "body": "a=b", "timeout": 1}

    def test_a_subclass_s_own_half_is_used_even_with_nothing_to_encode(self) -> None:
        class Own(Recorder):
            def request_encode_url(self, method: str, url: str, *args: Any, **kw: Any) -> Any:
                return "own", super().request_encode_url(method, url, *args, **kw)

        class Child(Own):
            pass

        assert Child().request("GET", "/", body=b"x") == ("own", ("GET", "/", {"headers": {}, "body": b"x"}))
        assert Child().request("POST", "/") == ("POST", "/", {"headers": {}})

    def test_the_base_class_sends_nothing(self) -> None:
        assert RequestMethods().headers == {}
        with pytest.raises(NotImplementedError, match="RequestMethods has no urlopen"):
            RequestMethods().request("GET", "/")


class TestEncodeFields:
    """The same encoding for `urlopen(fields=)`."""

    def test_without_fields_everything_comes_back_as_it_is(self) -> None:
        body, headers = object(), object()
        for fields in (None, {}, []):
            url, same_body, same_headers = encode_fields("POST", "/", fields, body, headers)  # type: ignore[arg-type]
            assert (url, same_body, same_headers) == ("/", body, headers)

    def test_fields_go_where_request_puts_them(self) -> None:
        assert encode_fields("get", "/", {"a": 1}, b"x", None) == ("/?a=1", b"x", None)
        encoded = encode_fields("POST", "/", {"a": "b"}, None, {"A": "b"}, True, "BB")
        assert (encoded.url, encoded.body) == ("/", FORM)
        assert encoded.headers == HTTPHeaderDict({"A": "b", "Content-Type": "multipart/form-data; boundary=BB"})
        assert encode_fields("PATCH", "/", {"a": "b"}, encode_multipart=False).body == "a=b"
        with pytest.raises(TypeError, match=r"request got values for both '(body|fields)' and '(json|body)'"):
            encode_fields("POST", "/", {"a": "b"}, b"x")

    def test_json_is_compact_utf_8(self) -> None:
        assert encode_json({"a": ["ü", 1]}) == (
            '{"a":["ü",1]}'.encode(),
            HTTPHeaderDict({"Content-Type": "application/json"}),
        )
        with pytest.raises(TypeError):
            encode_json(object())


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
