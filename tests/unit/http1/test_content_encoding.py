"""Decoders beyond their byte table (tests/bytes/test_decoding_bytes.py): limits, costs, choosing, urllib3's names."""

from __future__ import annotations

import ast
import gzip
import pickle
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from poollib.exceptions import DecodeError
from poollib.http1 import content_encoding, decoders
from poollib.http1.content_encoding import (
    CONTENT_DECODERS,
    LINK_BYTES,
    MAX_BYTES_WITHOUT_OUTPUT,
    BytesQueueBuffer,
    MultiDecoder,
    _get_decoder,
    decoder_for,
)
from poollib.http1.decoders import (
    BrotliDecoder,
    ContentDecoder,
    DeflateDecoder,
    GzipDecoder,
    GzipDecoderState,
    ZstdDecoder,
    available_codings,
    gunzipped,
)

needs_brotli = pytest.mark.skipif("br" not in available_codings(), reason="no package decodes br")
needs_zstd = pytest.mark.skipif("zstd" not in available_codings(), reason="no package decodes zstd")


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no optional package be importable."""
    monkeypatch.setattr(decoders, "_imported", lambda name: None)
    decoders._brotli.cache_clear()
    decoders._zstd.cache_clear()
    yield
    decoders._brotli.cache_clear()
    decoders._zstd.cache_clear()


class StreamSpy:
    """A zlib stream that adds up what it had to copy back to its caller."""

    copied = 0

    def __init__(self, wbits: int) -> None:
        self._stream = ZLIB_STREAM(wbits)

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        plain = self._stream.decompress(data, max_length)
        StreamSpy.copied += len(self._stream.unused_data) + len(self._stream.unconsumed_tail)
        return plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


ZLIB_STREAM = zlib.decompressobj


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> type[StreamSpy]:
    """Count what zlib copies."""
    monkeypatch.setattr(zlib, "decompressobj", StreamSpy)
    monkeypatch.setattr(StreamSpy, "copied", 0)
    return StreamSpy


def bomb(coding: str, size: int) -> bytes:
    """Return `size` zeros, coded."""
    if coding == "br":
        package = decoders._brotli()
        return bytes(package.compress(bytes(size)))
    if coding == "zstd":
        frame = bytearray.fromhex("28b52ffd0058")
        runs = size // 131_072
        for run in range(runs):
            frame += ((131_072 << 3) | 2 | (run == runs - 1)).to_bytes(3, "little") + b"\0"
        return bytes(frame)
    coded = bytes(size)
    for name in coding.split(","):
        coded = {"gzip": gzip.compress, "deflate": zlib.compress}[name](coded)
    return coded


BOMBS = [
    "gzip",
    "deflate",
    "gzip,gzip",
    "deflate,gzip,gzip",
    pytest.param("br", marks=needs_brotli),
    pytest.param("zstd", marks=needs_zstd),
]


@pytest.mark.parametrize("coding", BOMBS)
@pytest.mark.parametrize("limit", [1000, 65_536])
def test_no_call_yields_more_than_it_was_asked_for(coding: str, limit: int) -> None:
    """CVE-2025-66471, CVE-2026-44432: the first call and all later ones."""
    size = 1024 * 1024
    decoder = decoder_for(coding)
    assert decoder is not None
    total = len(decoder.decompress(bomb(coding, size), limit))
    assert total <= limit
    while decoder.has_unconsumed_tail:
        piece = decoder.decompress(b"", limit)
        assert len(piece) <= limit
        total += len(piece)
    decoder.flush()
    assert total == size


@pytest.mark.parametrize("coding", BOMBS)
def test_flush_inflates_nothing(coding: str) -> None:
    """With input left over, flush says nothing yet, and yields nothing."""
    decoder = decoder_for(coding)
    assert decoder is not None
    assert len(decoder.decompress(bomb(coding, 1024 * 1024), 10)) == 10
    assert decoder.has_unconsumed_tail
    assert decoder.flush() == b""
    assert decoder.has_unconsumed_tail


def test_no_link_of_a_chain_is_inflated_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the inner streams are, a link hands on `LINK_BYTES` and waits until they are used up."""
    given: list[int] = []
    step = GzipDecoder._step

    def counted(self: GzipDecoder, module: int) -> bytes:
        plain = step(self, module)
        given.append(len(plain))
        return plain

    monkeypatch.setattr(GzipDecoder, "_step", counted)
    decoder = MultiDecoder("gzip, gzip, gzip")
    coded = gzip.compress(gzip.compress(gzip.compress(bytes(8_000_000), 1), 0), 0)
    assert decoder.decompress(coded, 100) == bytes(100)
    assert max(given) <= LINK_BYTES
    assert sum(given) <= 3 * LINK_BYTES
    given.clear()
    assert len(decoder.decompress(b"", 100)) == 100
    assert sum(given) == 100
    given.clear()
    decoder = MultiDecoder("gzip, gzip")
    assert decoder.decompress(gzip.compress(gzip.compress(bytes(8_000_000), 0), 1), 100) == bytes(100)
    assert max(given) <= LINK_BYTES, "the first link's output is large, not only the last one's"


@pytest.mark.slow
def test_a_chain_that_yields_nothing_ends_in_an_error() -> None:
    """Millions of empty members inside a member: time is bounded by the bytes received."""
    coded = gzip.compress(gzip.compress(b"") * (MAX_BYTES_WITHOUT_OUTPUT // 20 + 4000), 1)
    decoder = MultiDecoder("gzip, gzip")
    with pytest.raises(DecodeError, match="bytes between two content codings yielded none"):
        decoder.decompress(coded, 1)


@pytest.mark.parametrize("max_length", [-1, 1, 100, 65_536])
@pytest.mark.usefixtures("spy")
def test_many_members_cost_no_more_than_their_bytes(spy: type[StreamSpy], max_length: int) -> None:
    """What zlib copies behind each member's end stays in proportion, however many follow in one piece."""
    coded = gzip.compress(b"x", mtime=0) * 2000
    decoder = GzipDecoder()
    plain = decoder.decompress(coded, max_length)
    while decoder.has_unconsumed_tail:
        plain += decoder.decompress(b"", max_length)
    assert plain == b"x" * 2000
    assert spy.copied < 2000 * 400 + len(coded)


def test_a_large_input_read_in_small_steps_is_not_copied_again_and_again(spy: type[StreamSpy]) -> None:
    """With n asked for, at most about n bytes of input are offered, and so at most n are copied."""
    plain = zlib.compress(bytes(3_000_000), 0)
    decoder = DeflateDecoder()
    got = len(decoder.decompress(zlib.compress(plain, 0), 2000))
    while decoder.has_unconsumed_tail:
        got += len(decoder.decompress(b"", 2000))
    assert got == len(plain)
    assert spy.copied < 2 * len(plain)


def test_nothing_is_copied_of_input_that_waits(spy: type[StreamSpy]) -> None:
    """Feeding on while output is pending only lengthens the line."""
    decoder = GzipDecoder()
    coded = gzip.compress(b"a" * 50_000, 0)
    for at in range(0, len(coded), 100):
        decoder.decompress(coded[at : at + 100], 0)
    assert spy.copied == 0
    assert decoder.decompress(b"") == b"a" * 50_000


TEXT = b"".join(b"%d," % (n * n) for n in range(9000))
MEMBER = gzip.compress(TEXT, mtime=0)


def with_size(size: int) -> bytes:
    return MEMBER[:-4] + size.to_bytes(4, "little")


def test_a_plain_member_is_inflated_at_once() -> None:
    assert gunzipped(MEMBER, None) == TEXT
    assert gunzipped(MEMBER, len(MEMBER) * 1032) == TEXT


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(MEMBER + MEMBER, id="equal members"),
        pytest.param(gzip.compress(TEXT[::-1]) + MEMBER, id="members of one size"),
        pytest.param(MEMBER + bytes(8), id="zeros behind"),
        pytest.param(MEMBER + b"garbage", id="garbage behind"),
        pytest.param(MEMBER + MEMBER[-8:], id="the trailer twice"),
        pytest.param(MEMBER[:-1], id="cut in the trailer"),
        pytest.param(MEMBER[:-9] + MEMBER[-8:], id="cut in the data"),
        pytest.param(with_size(len(TEXT) - 1), id="a size too small"),
        pytest.param(with_size(40000), id="a size much too small"),
        pytest.param(with_size(len(TEXT) + 1), id="a size too large"),
        pytest.param(with_size(4 << 20), id="the largest size that is believed"),
        pytest.param(with_size((4 << 20) + 1), id="a size that is not believed"),
        pytest.param(with_size(0xFFFFFFFF), id="the largest size"),
        pytest.param(with_size(0), id="no size"),
        pytest.param(MEMBER[:-8] + bytes(4) + MEMBER[-4:], id="another checksum"),
        pytest.param(MEMBER[:3] + b"\x08" + MEMBER[4:10] + b"name\0" + MEMBER[10:], id="a name"),
        pytest.param(MEMBER[:2] + b"\x07" + MEMBER[3:], id="another method"),
        pytest.param(MEMBER[:10] + b"\x07" + MEMBER[11:], id="a block of no kind"),
        pytest.param(gzip.compress(TEXT[:32768]), id="small"),
        pytest.param(gzip.compress(b""), id="empty"),
    ],
)
def test_what_is_not_one_plain_member_is_left_to_the_decoder(data: bytes) -> None:
    """Above all several members: stopping behind the first would lose the rest (RFC 1952 section 2.2)."""
    assert gunzipped(data, None) is None


def test_nothing_is_inflated_at_once_that_could_pass_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trailer may lie: only what no input of this length can exceed is inflated without a bound."""
    monkeypatch.setattr(zlib, "decompressobj", None)
    assert gunzipped(MEMBER, len(MEMBER) * 1032 - 1) is None


def test_a_damaged_stream_names_the_codec_s_error() -> None:
    """DecodeError(message, original), and it survives pickling."""
    with pytest.raises(DecodeError) as caught:
        GzipDecoder().decompress(b"no gzip at all")
    message, original = caught.value.args
    assert message.startswith("the gzip data is damaged")
    assert isinstance(original, zlib.error)
    assert caught.value.__cause__ is original
    assert pickle.loads(pickle.dumps(caught.value)).args[0] == message


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("gzip", GzipDecoder),
        ("x-gzip", GzipDecoder),
        (" GZip ", GzipDecoder),
        ("gzip,", GzipDecoder),
        ("identity, deflate", DeflateDecoder),
        ("gzip, gzip", MultiDecoder),
        ("gzip,deflate,gzip,deflate,gzip", MultiDecoder),
        ("identity,gzip,identity,gzip,identity,gzip,identity", MultiDecoder),
        ("", None),
        (" , ,", None),
        ("identity", None),
        ("IDENTITY, identity", None),
        ("aes128gcm", None),
        ("foo, bar", None),
        ("foo,foo,foo,foo,foo,foo", None),
    ],
)
def test_the_value_of_content_encoding_names_the_decoder(value: str, kind: type[ContentDecoder] | None) -> None:
    """RFC 9110 section 8.4: a list, without regard to case; identity is no coding."""
    decoder = decoder_for(value)
    assert decoder is None if kind is None else type(decoder) is kind


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (",".join(["gzip"] * 6), "Too many content encodings in the chain: 6 > 5"),
        ("gzip," * 50_000, "Too many content encodings in the chain: 50000 > 5"),
        ("foo, gzip", "'foo' is unknown here"),
        ("gzip, foo", "'foo' is unknown here"),
    ],
)
def test_a_chain_that_cannot_be_undone_is_refused_at_once(value: str, message: str) -> None:
    """CVE-2025-66418; a half-undone chain would hand coded bytes out as plain ones."""
    with pytest.raises(DecodeError, match=message):
        decoder_for(value)


@pytest.mark.usefixtures("no_packages")
def test_without_packages_br_and_zstd_are_left_alone() -> None:
    """They are not offered, their bodies come as they are, and their classes say what is missing."""
    assert available_codings() == ["gzip", "x-gzip", "deflate"]
    assert list(CONTENT_DECODERS) == ["gzip", "x-gzip", "deflate"]
    assert "br" not in CONTENT_DECODERS
    assert decoder_for("br") is None
    assert decoder_for("zstd") is None
    with pytest.raises(DecodeError, match="'zstd' is unknown"):
        decoder_for("zstd, gzip")
    with pytest.raises(ImportError, match=r"brotli or brotlicffi, 1\.2 or newer"):
        BrotliDecoder()
    with pytest.raises(ImportError, match=r"Python 3\.14 or the package backports\.zstd"):
        ZstdDecoder()


def test_a_brotli_that_knows_no_limit_is_not_used(monkeypatch: pytest.MonkeyPatch, no_packages: None) -> None:
    """Packages before 1.2 inflate without bound: better not offer the coding."""

    class Old:
        class Decompressor:
            def process(self, data: bytes) -> bytes:
                return data

    monkeypatch.setattr(decoders, "_imported", lambda name: Old if name == "brotli" else None)
    assert "br" not in available_codings()
    assert decoder_for("br") is None


@needs_brotli
def test_br_is_offered_with_its_package() -> None:
    """And found without a look at import time."""
    assert "br" in CONTENT_DECODERS
    assert type(decoder_for("br")) is BrotliDecoder


def test_content_decoders_reads_like_a_list() -> None:
    """urllib3's is one, and is iterated, searched, indexed, compared and shown."""
    names = list(CONTENT_DECODERS)
    assert names[:3] == ["gzip", "x-gzip", "deflate"]
    assert names == CONTENT_DECODERS
    assert CONTENT_DECODERS[0] == "gzip"
    assert len(CONTENT_DECODERS) == len(names)
    assert repr(CONTENT_DECODERS) == repr(names)


@pytest.mark.parametrize("module", ["decoders", "content_encoding", "multipart", "request_body", "sse"])
def test_importing_a_module_imports_nothing_heavy(module: str) -> None:
    """Packages and slow standard modules are imported where they are needed."""
    heavy = {
        "brotli",
        "brotlicffi",
        "backports",
        "urllib",
        "json",
        "email",
        "mimetypes",
        "importlib",
        "io",
        "dataclasses",
    }
    path = Path(decoders.__file__).with_name(f"{module}.py")
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).split(".")[0])
    assert not names & heavy


class TestUrllib3Names:
    """Names and signatures of urllib3.response that other packages use."""

    def test_get_decoder(self) -> None:
        assert type(_get_decoder("gzip")) is GzipDecoder
        assert type(_get_decoder("deflate")) is DeflateDecoder
        assert type(_get_decoder("gzip, deflate")) is MultiDecoder
        with pytest.raises(DecodeError, match="'foo' is unknown"):
            _get_decoder("foo")

    def test_multi_decoder_takes_modes_and_says_how_many(self) -> None:
        """As google-auth uses it."""
        decoder = MultiDecoder("deflate, gzip")
        assert MultiDecoder.max_decode_links == 5
        assert decoder.decompress(gzip.compress(zlib.compress(b"hello"))) + decoder.flush() == b"hello"
        assert MultiDecoder("identity").decompress(b"hello") == b"hello"

    def test_content_decoder_is_only_a_shape(self) -> None:
        shape = ContentDecoder()
        with pytest.raises(NotImplementedError):
            shape.decompress(b"")
        with pytest.raises(NotImplementedError):
            shape.flush()
        with pytest.raises(NotImplementedError):
            assert shape.has_unconsumed_tail

    def test_gzip_decoder_tells_its_state(self) -> None:
        decoder = GzipDecoder()
        assert decoder._state == GzipDecoderState.FIRST_MEMBER
        decoder.decompress(gzip.compress(b"a"))
        assert decoder._state == GzipDecoderState.OTHER_MEMBERS
        decoder.decompress(b"garbage")
        assert decoder._state == GzipDecoderState.SWALLOW_DATA

    def test_bytes_queue_buffer(self) -> None:
        buffer = BytesQueueBuffer()
        assert buffer.get(0) == b""
        assert buffer.get_all() == b""
        with pytest.raises(RuntimeError):
            buffer.get(1)
        for piece in (b"abc", b"", bytearray(b"def"), b"ghi"):
            buffer.put(piece)
        assert len(buffer) == 9
        assert [buffer.get(2), buffer.get(1), buffer.get(4), len(buffer)] == [b"ab", b"c", b"defg", 2]
        with pytest.raises(ValueError, match="-1"):
            buffer.get(-1)
        assert buffer.get(100) == b"hi"
        assert len(buffer) == 0
        buffer.put(b"abc")
        buffer.put(b"def")
        assert buffer.get(1) == b"a"
        assert buffer.get_all() == b"bcdef"
        assert len(buffer) == len(buffer.buffer) == 0


# Packages that are not installed here


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, no_packages: None) -> Callable[[str, Any], None]:
    """Let one package be importable, and what is given stand for it."""

    def give(name: str, package: Any) -> None:
        monkeypatch.setattr(decoders, "_imported", lambda asked: package if asked == name else None)

    return give


def test_the_package_zstandard_alone_decodes_nothing(only: Callable[[str, Any], None]) -> None:
    """It knows no output limit, as brotli before 1.2: the coding is not offered, and its bodies come as they are."""
    only("zstandard", types.SimpleNamespace(ZstdDecompressor=object, ZstdError=ValueError))
    assert "zstd" not in available_codings()
    assert decoder_for("zstd") is None


@pytest.mark.parametrize("name", ["compression.zstd", "backports.zstd"])
def test_a_frame_is_opened_with_the_largest_window_that_is_offered(only: Callable[[str, Any], None], name: str) -> None:
    """RFC 9659 section 3: 8 MiB, whatever the package would take."""
    opened: list[dict[str, int]] = []

    class Frame:
        eof, needs_input, unused_data = True, True, b""

        def __init__(self, options: dict[str, int]) -> None:
            opened.append(options)

        def decompress(self, data: bytes, max_length: int = -1) -> bytes:
            return data

    parameter = types.SimpleNamespace(window_log_max="window_log_max")
    only(name, types.SimpleNamespace(ZstdDecompressor=Frame, ZstdError=ValueError, DecompressionParameter=parameter))
    decoder = decoder_for("zstd")
    assert type(decoder) is ZstdDecoder
    assert decoder.decompress(b"frame") == b"frame"
    assert opened == [{"window_log_max": 23}]


def test_a_brotli_that_is_full_is_given_nothing_more(only: Callable[[str, Any], None]) -> None:
    """Until what it holds was taken: its input is not eaten beyond its word."""
    fed: list[bytes] = []

    class Decompressor:
        held = b"held back"

        def can_accept_more_data(self) -> bool:
            return not self.held

        def is_finished(self) -> bool:
            return not self.held and b"".join(fed) == b"coded"

        def process(self, data: bytes, output_buffer_limit: int) -> bytes:
            fed.append(data)
            plain, self.held = self.held[:output_buffer_limit], self.held[output_buffer_limit:]
            return plain

    only("brotli", types.SimpleNamespace(Decompressor=Decompressor, error=ValueError))
    decoder = decoder_for("br")
    assert decoder is not None
    assert decoder.decompress(b"coded", 4) == b"held"
    assert b"".join(fed) == b""
    plain = b""
    while decoder.has_unconsumed_tail:
        plain += decoder.decompress(b"", 4)
    assert (plain, b"".join(fed)) == (b" back", b"coded")
    assert decoder.flush() == b""


def test_a_short_chain_that_yields_nothing_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the long one, which takes seconds: with a smaller bound."""
    monkeypatch.setattr(content_encoding, "MAX_BYTES_WITHOUT_OUTPUT", 5000)
    coded = gzip.compress(gzip.compress(b"") * 400)
    with pytest.raises(DecodeError, match="bytes between two content codings yielded none"):
        MultiDecoder("gzip, gzip").decompress(coded, 1)
    few = gzip.compress(gzip.compress(b"") * 100 + gzip.compress(b"x"))
    assert MultiDecoder("gzip, gzip").decompress(few, 1) == b"x"


def test_nothing_put_into_the_queue_of_input_hides_nothing_behind_it() -> None:
    queue = decoders._InputQueue()
    for data in (b"", b"a", b"", b"b"):
        queue.put(data)
    queue.put_back(b"")
    taken = []
    while queue:
        taken.append(bytes(queue.peek(9)))
        queue.skip(len(taken[-1]))
    assert taken == [b"a", b"b"]
