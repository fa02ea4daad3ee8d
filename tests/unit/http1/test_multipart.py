"""Forms: what urllib3's names return, what cannot be smuggled in, and streams that never load a file."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poollib.exceptions import UnrewindableBodyError
from poollib.http1 import multipart
from poollib.http1.multipart import (
    BLOCK_BYTES,
    MultipartStream,
    RequestField,
    choose_boundary,
    encode_multipart_formdata,
    file_position,
    format_header_param,
    format_header_param_html5,
    format_header_param_rfc2231,
    format_multipart_header_param,
    guess_content_type,
    iter_field_objects,
    remaining_bytes,
)

B = "BB"


def part(head: str, body: bytes = b"") -> bytes:
    return f"--BB\r\n{head}\r\n\r\n".encode() + body + b"\r\n"


NAME_A = 'Content-Disposition: form-data; name="a"'
END = b"--BB--\r\n"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, END),
        ({"a": "b"}, part(NAME_A, b"b") + END),
        ([("a", "b"), ("a", b"\xff\0")], part(NAME_A, b"b") + part(NAME_A, b"\xff\0") + END),
        ([("a", 1), ("a", bytearray(b"x"))], part(NAME_A, b"1") + part(NAME_A, b"x") + END),
        ([(b"a", "ü")], part(NAME_A, "ü".encode()) + END),
        ([("ä", "")], part('Content-Disposition: form-data; name="ä"') + END),
        ({"a": ("f.txt", "x")}, part(f'{NAME_A}; filename="f.txt"\r\nContent-Type: text/plain', b"x") + END),
        ({"a": (b"f.txt", "x")}, part(f'{NAME_A}; filename="f.txt"\r\nContent-Type: text/plain', b"x") + END),
        ({"a": ("f", b"x", "t/x")}, part(f'{NAME_A}; filename="f"\r\nContent-Type: t/x', b"x") + END),
        ({"a": (None, "x", "t/x")}, part(f"{NAME_A}\r\nContent-Type: t/x", b"x") + END),
        ([RequestField("a", "b", headers={"X": "1"})], part("X: 1", b"b") + END),
    ],
)
def test_a_form_becomes_these_bytes(fields: Any, expected: bytes) -> None:
    """RFC 7578; the same as urllib3 2.8 gives, where it gives anything."""
    assert encode_multipart_formdata(fields, B) == (expected, "multipart/form-data; boundary=BB")
    stream = MultipartStream(fields, B)
    assert stream.content_length == len(expected)
    assert b"".join(stream) == expected


def test_files_in_a_form_are_read_whole_if_bytes_are_wanted() -> None:
    """urllib3 refuses them here."""
    body, _ = encode_multipart_formdata({"a": io.BytesIO(b"xyz")}, B)
    assert body == part(f"{NAME_A}\r\nContent-Type: application/octet-stream", b"xyz") + END


@pytest.mark.parametrize("data", [1.5, None, object(), {"a": 1}])
def test_data_of_another_kind_is_refused(data: object) -> None:
    """With the field's name."""
    with pytest.raises(TypeError, match=r"the field 'a' holds a \w+"):
        encode_multipart_formdata({"a": data})


@pytest.mark.parametrize(
    "text", ['x"; filename="evil', "x\r\nX-Evil: 1", "x\r\n\r\nevil\r\n--BB--", "x\ny", "x\ry", '"']
)
def test_names_and_file_names_cannot_break_out(text: str) -> None:
    """CVE-2026-34514: CR, LF and the quote are encoded as the HTML standard says."""
    encoded = text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    body, _ = encode_multipart_formdata([(text, (text, b"", "t/x"))], B)
    head = f'Content-Disposition: form-data; name="{encoded}"; filename="{encoded}"\r\nContent-Type: t/x'
    assert body == part(head) + END


@pytest.mark.parametrize("name", ["X\r\nX-Evil", "X:Y", "X Y", "X\0", "é"])
def test_names_of_a_parts_headers_are_tokens(name: str) -> None:
    with pytest.raises(ValueError, match="no name for a header"):
        RequestField("a", "b", headers={name: "c"}).render_headers()


@pytest.mark.parametrize("text", ["t/x\r\nX-Evil: 1", "t/x\r", "t/x\n", "t/x\0", "\r\n\r\nevil"])
@pytest.mark.parametrize("place", ["Content-Type", "Content-Location", "X-Own", "formatter"])
def test_headers_of_a_part_that_break_lines_are_refused(text: str, place: str) -> None:
    """CVE-2026-50269: not encoded, as there is no rule for it."""
    field = RequestField("a", "b", headers={"X-Own": text} if place == "X-Own" else None)
    if place == "formatter":
        field.header_formatter = lambda name, value: text
    field.make_multipart(
        content_type=text if place == "Content-Type" else None,
        content_location=text if place == "Content-Location" else None,
    )
    with pytest.raises(ValueError, match="CR, LF or NUL in the part's header"):
        encode_multipart_formdata([field], B)


def test_nul_in_a_name_is_refused() -> None:
    """The HTML standard encodes it no more than urllib3 does; nobody means it."""
    for field in (("a\0b", "x"), ("a", ("f\0", "x"))):
        with pytest.raises(ValueError, match="NUL"):
            encode_multipart_formdata([field])


@pytest.mark.parametrize("name", ["X Evil", "X:", "X\r\nY", "ü"])
def test_a_part_s_header_name_is_a_token(name: str) -> None:
    """RFC 9110 section 5.6.2."""
    with pytest.raises(ValueError, match="is no name for a header"):
        RequestField("a", "b", headers={name: "1"}).render_headers()


@pytest.mark.parametrize("boundary", ["", "a\r\nb", "a b ", " a", "ä", "x" * 71, "a\0"])
def test_a_boundary_that_breaks_the_form_is_refused(boundary: str) -> None:
    """RFC 2046 section 5.1.1."""
    with pytest.raises(ValueError, match="a boundary is 1 to 70"):
        encode_multipart_formdata({"a": "b"}, boundary)


@pytest.mark.parametrize("boundary", ["x", "x" * 70, "!! a boundary !!"])
def test_other_boundaries_are_taken_as_given(boundary: str) -> None:
    body, content_type = encode_multipart_formdata({}, boundary)
    assert body == f"--{boundary}--\r\n".encode()
    assert content_type == f"multipart/form-data; boundary={boundary}"


def test_a_chosen_boundary_is_new_each_time() -> None:
    assert len({choose_boundary() for _ in range(100)}) == 100


def parts_of(body: bytes) -> list[tuple[str, bytes]]:
    """Read a form with the standard library's mail parser: names and contents."""
    from email.parser import BytesParser
    from email.policy import HTTP

    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: multipart/form-data; boundary=BB\r\n\r\n" + body)
    return [
        (str(item.get_param("name", header="content-disposition")), item.get_payload(decode=True))
        for item in message.iter_parts()
    ]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.text("abc ;=%'_-", min_size=1, max_size=8), st.binary(max_size=40)), min_size=1, max_size=5)
)
def test_another_parser_reads_what_was_written(fields: list[tuple[str, bytes]]) -> None:
    """Every field comes back, in order."""
    fields = [("x" + name + "x", b"<" + data.replace(b"--BB", b"").replace(b"\r", b"") + b">") for name, data in fields]
    body, _ = encode_multipart_formdata(fields, B)
    assert parts_of(body) == fields


class Reads(io.BytesIO):
    """A file that notes how much it was asked for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.sizes: list[int | None] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.sizes.append(size)
        return super().read(size)


class Pipe:
    """A file that can neither seek nor tell its size."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(b"0123456789" * 20_000)
    return path


class TestStream:
    """MultipartStream: a body whose files are read in blocks, whose length is known beforehand."""

    def test_a_file_is_read_in_blocks_and_never_more(self) -> None:
        file = Reads(b"x" * (3 * BLOCK_BYTES + 5))
        stream = MultipartStream({"a": ("f", file, "t/x")}, B)
        assert stream.content_length == len(file.getvalue()) + len(
            part(f'{NAME_A}; filename="f"\r\nContent-Type: t/x')
        ) + len(END)
        assert file.sizes == []
        blocks = list(stream)
        assert len(b"".join(blocks)) == stream.content_length
        assert max(map(len, blocks)) == BLOCK_BYTES
        assert file.sizes == [BLOCK_BYTES, BLOCK_BYTES, BLOCK_BYTES, 5]

    def test_a_real_file_brings_name_type_and_size(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(199_995)
            stream = MultipartStream({"a": file}, B)
            head = f'{NAME_A}; filename="photo.png"\r\nContent-Type: image/png'
            expected = part(head, b"56789") + END
            assert stream.has_files
            assert stream.content_length == len(expected)
            assert b"".join(stream) == expected
            assert b"".join(stream) == expected

    def test_the_same_file_twice_is_sent_twice(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(199_998)
            stream = MultipartStream([("a", (None, file, "t/x"))] * 2, B)
            assert b"".join(stream) == part(f"{NAME_A}\r\nContent-Type: t/x", b"89") * 2 + END

    def test_large_data_in_memory_is_not_copied(self) -> None:
        data = b"x" * (BLOCK_BYTES + 1)
        stream = MultipartStream({"a": data, "b": io.BytesIO(b"")}, B)
        assert any(block is data for block in stream)

    def test_an_unknown_size_makes_the_length_unknown(self) -> None:
        stream = MultipartStream({"a": Pipe(b"abc"), "b": "c"}, B)
        assert stream.content_length is None
        assert not stream.is_rewindable
        assert b"abc\r\n--BB" in b"".join(stream)

    def test_what_cannot_seek_is_sent_once(self) -> None:
        stream = MultipartStream({"a": Pipe(b"abc")}, B)
        b"".join(stream)
        with pytest.raises(UnrewindableBodyError, match="has no position"):
            iter(stream)

    def test_text_is_sent_as_utf_8_and_of_unknown_size(self) -> None:
        stream = MultipartStream({"a": io.StringIO("aü€")}, B)
        assert stream.content_length is None
        assert "\r\n\r\naü€\r\n".encode() in b"".join(stream)

    def test_a_file_that_shrinks_is_an_error_not_a_short_part(self, path: Path) -> None:
        with path.open("rb") as file:
            stream = MultipartStream({"a": file}, B)
            os.truncate(path, 1000)
            with pytest.raises(ValueError, match="the field 'a' ended 199000 bytes before its size of 200000"):
                b"".join(stream)

    def test_a_file_that_grows_is_sent_as_long_as_it_was(self, path: Path) -> None:
        with path.open("rb") as file:
            stream = MultipartStream({"a": file}, B)
            with path.open("ab") as more:
                more.write(b"more")
            assert len(b"".join(stream)) == stream.content_length

    def test_a_file_closed_meanwhile_cannot_be_sent_again(self, path: Path) -> None:
        with path.open("rb") as file:
            stream = MultipartStream({"a": file}, B)
        with pytest.raises(UnrewindableBodyError, match="the field 'a' cannot go back"):
            b"".join(stream)


class TestFileSizes:
    """remaining_bytes and file_position: only what is certain."""

    def test_regular_files(self, path: Path) -> None:
        with path.open("rb") as buffered, path.open("rb", buffering=0) as bare, path.open("r+b") as both:
            for file in (buffered, bare, both):
                file.seek(7)
                assert (remaining_bytes(file), file_position(file)) == (199_993, 7)
            both.seek(0, 2)
            both.write(b"xyz")
            both.seek(200_001)
            assert remaining_bytes(both) == 2

    def test_files_of_tempfile(self) -> None:
        with (
            tempfile.TemporaryFile() as one,
            tempfile.NamedTemporaryFile() as two,
            tempfile.SpooledTemporaryFile() as three,
        ):
            for file in (one, two, three):
                file.write(b"hello")
                file.seek(1)
                assert remaining_bytes(file) == 4

    def test_bytes_io(self) -> None:
        file = io.BytesIO(b"hello")
        assert remaining_bytes(file) == 5
        file.seek(9)
        assert remaining_bytes(file) == 0

    def test_an_empty_file_has_none(self, tmp_path: Path) -> None:
        path = tmp_path / "empty"
        path.touch()
        with path.open("rb") as file:
            assert remaining_bytes(file) == 0

    @pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux has such files")
    def test_a_file_that_only_claims_to_be_empty(self) -> None:
        with open("/proc/self/status", "rb") as file:
            assert remaining_bytes(file) is None

    def test_what_reads_other_bytes_than_its_descriptor(self, path: Path) -> None:
        with gzip.open(path, "wb") as file:
            file.write(b"x" * 1000)
        with gzip.open(path, "rb") as packed, path.open("r", encoding="latin-1") as text:
            assert remaining_bytes(packed) is None
            assert remaining_bytes(text) is None

    def test_pipes(self) -> None:
        end, other = os.pipe()
        with open(end, "rb") as reader, open(other, "wb"):
            assert remaining_bytes(reader) is None
            assert file_position(reader) is None

    def test_closed_files(self, path: Path) -> None:
        with path.open("rb") as file:
            pass
        assert remaining_bytes(file) is None
        assert file_position(file) is None


class TestUrllib3Names:
    """urllib3.fields and urllib3.filepost."""

    @pytest.fixture(autouse=True)
    def loud(self) -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield

    def test_parameters(self) -> None:
        assert format_multipart_header_param("a", 'ü"\r\n\\%') == 'a="ü%22%0D%0A\\%"'
        assert format_multipart_header_param("a", "ü".encode()) == 'a="ü"'

    def test_old_names_warn(self) -> None:
        for old in (format_header_param, format_header_param_html5):
            with pytest.warns(FutureWarning, match="format_multipart_header_param"):
                assert old("a", 'b"') == 'a="b%22"'
        with pytest.warns(FutureWarning, match="RFC 7578"):
            assert format_header_param_rfc2231("a", b"b") == 'a="b"'
        with pytest.warns(FutureWarning, match="RFC 7578"):
            assert format_header_param_rfc2231("a", "ü\r\n") == "a*=utf-8''%C3%BC%0D%0A"

    def test_a_formatter_of_one_s_own_warns_and_is_used(self) -> None:
        with pytest.warns(FutureWarning, match="header_formatter"):
            field = RequestField("a", "b", header_formatter=lambda name, value: f"{name}~{value!s}")
        field.make_multipart("file", "t/x", "/place")
        head = "Content-Disposition: file; name~a\r\nContent-Type: t/x\r\nContent-Location: /place\r\n\r\n"
        assert field.render_headers() == head

    def test_from_tuples(self) -> None:
        field = RequestField.from_tuples("a", ("f.html", "<p>"))
        assert (field._name, field._filename, field.data) == ("a", "f.html", "<p>")
        assert field.headers == {
            "Content-Disposition": 'form-data; name="a"; filename="f.html"',
            "Content-Type": "text/html",
            "Content-Location": None,
        }
        with pytest.raises(ValueError, match="unpack"):
            RequestField.from_tuples("a", ("f", "b", "c", "d"))

    def test_headers_come_in_this_order(self) -> None:
        field = RequestField("a", "b", headers={"Z": "1", "Content-Location": "l", "Content-Type": "t", "E": ""})
        assert field.render_headers() == "Content-Type: t\r\nContent-Location: l\r\nZ: 1\r\n\r\n"
        assert RequestField("a", "b").render_headers() == "\r\n"

    def test_iter_field_objects(self) -> None:
        own = RequestField("z", "y")
        assert [field._name for field in iter_field_objects({"a": "b", "c": "d"})] == ["a", "c"]
        assert list(iter_field_objects([own])) == [own]

    def test_guess_content_type(self) -> None:
        assert guess_content_type("a.jpg") == "image/jpeg"
        assert guess_content_type("a.jpg", "x/y") == "image/jpeg"
        assert (
            guess_content_type("a") == guess_content_type(None) == guess_content_type("") == "application/octet-stream"
        )
        assert guess_content_type("a", "x/y") == "x/y"

    def test_render_parts(self) -> None:
        field = RequestField("a", "b")
        assert field._render_part("c", "d") == 'c="d"'
        assert field._render_parts({"c": "d", "e": None}) == field._render_parts([("c", "d")]) == 'c="d"'
        assert multipart._name_of_file(Pipe(b"")) is None


@pytest.mark.parametrize(
    ("name", "told"), [("/a/b.txt", "b.txt"), ("<stdin>", None), ("a<", "a<"), (3, None), (None, None)]
)
def test_a_file_is_named_by_the_end_of_its_path_unless_it_has_none(name: object, told: str | None) -> None:
    assert multipart._name_of_file(types.SimpleNamespace(name=name)) == told
    assert multipart._name_of_file(object()) is None
