"""Content codings as bytes: each case whole, byte by byte, under small limits, from a reused buffer, cut anywhere."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poollib.exceptions import DecodeError
from poollib.http1.content_encoding import decoder_for
from poollib.http1.decoders import ContentDecoder, available_codings

CUT = "cut short"
DAMAGED = "damaged"


class Case(NamedTuple):
    """What a body of one coding becomes: its plain bytes, or the error that names what is wrong."""

    name: str
    coding: str
    coded: bytes
    plain: bytes
    error: str = ""


def raw_deflate(plain: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(plain) + stream.flush()


LONG = bytes(range(256)) * 9
MEMBER = gzip.compress(b"hello", mtime=0)
OTHER = gzip.compress(LONG, mtime=0)
EMPTY_MEMBER = gzip.compress(b"", mtime=0)
WRONG_SUM = MEMBER[:-8] + b"\0\0\0\0" + MEMBER[-4:]
WRONG_SIZE = MEMBER[:-4] + b"\6\0\0\0"
NAMED = b"\x1f\x8b\x08\x1e" + bytes(4) + b"\0\3" + b"\2\0ab" + b"name\0" + b"note\0"
NAMED += zlib.crc32(NAMED).to_bytes(4, "little")[:2] + MEMBER[10:]
WRAPPED = zlib.compress(b"hello")
BARE = raw_deflate(b"hello")
STORED = b"\x01\x05\x00\xfa\xffhello"
BR = bytes.fromhex("0b028068656c6c6f03")
ZSTD = bytes.fromhex("28b52ffd240529000068656c6c6fa36d9f88")
ZSTD_STREAM = bytes.fromhex("28b52ffd045829000068656c6c6fa36d9f88")
ZSTD_RUN = bytes.fromhex("28b52ffd206423030061")
ZSTD_SKIPPED = bytes.fromhex("502a4d1803000000616263")
ZSTD_WIDE = bytes.fromhex("28b52ffd00a0010000")
"""A window of 1 GiB: RFC 9659 lets a client refuse more than 8 MiB."""

GZIP = [
    Case("one member", "gzip", MEMBER, b"hello"),
    Case("its other name", "x-gzip", MEMBER, b"hello"),
    Case("nothing at all", "gzip", b"", b""),
    Case("a member of nothing", "gzip", EMPTY_MEMBER, b""),
    Case("every optional field of the header", "gzip", NAMED, b"hello"),
    Case("two members", "gzip", MEMBER + OTHER, b"hello" + LONG),
    Case("many members, some empty", "gzip", (EMPTY_MEMBER + MEMBER) * 40, b"hello" * 40),
    Case("zeros behind", "gzip", MEMBER + bytes(600), b"hello"),
    Case("garbage behind", "gzip", MEMBER + b"garbage", b"hello"),
    Case("garbage behind two members", "gzip", MEMBER + MEMBER + b"\x1f\x8c\x08", b"hellohello"),
    Case("a member behind garbage", "gzip", MEMBER + b"x" + MEMBER, b"hello"),
    Case("cut in the header", "gzip", MEMBER[:4], b"", CUT),
    Case("cut in the data", "gzip", MEMBER[:-10], b"", CUT),
    Case("cut before the checksum", "gzip", MEMBER[:-8], b"", CUT),
    Case("cut by one byte", "gzip", MEMBER[:-1], b"", CUT),
    Case("second member cut after its first byte", "gzip", MEMBER + b"\x1f", b"", CUT),
    Case("second member cut after its magic", "gzip", MEMBER + MEMBER[:3], b"", CUT),
    Case("second member cut in its data", "gzip", MEMBER + OTHER[:-9], b"", CUT),
    Case("no gzip", "gzip", b"hello", b"", DAMAGED),
    Case("another method", "gzip", b"\x1f\x8b\x07" + MEMBER[3:], b"", DAMAGED),
    Case("wrong checksum", "gzip", WRONG_SUM, b"", DAMAGED),
    Case("wrong size", "gzip", WRONG_SIZE, b"", DAMAGED),
    Case("second member with a wrong checksum", "gzip", MEMBER + WRONG_SUM, b"", DAMAGED),
]
DEFLATE = [
    Case("a zlib stream", "deflate", WRAPPED, b"hello"),
    Case("a long zlib stream", "deflate", zlib.compress(LONG), LONG),
    Case("a zlib stream with the smallest window", "deflate", b"\x08\x1d" + WRAPPED[2:], b"hello"),
    Case("a bare stream", "deflate", BARE, b"hello"),
    Case("a long bare stream", "deflate", raw_deflate(LONG), LONG),
    Case("a bare stream of a stored block", "deflate", STORED, b"hello"),
    Case("a bare stream of nothing", "deflate", b"\x03\x00", b""),
    Case("nothing at all", "deflate", b"", b""),
    Case("bytes behind a zlib stream", "deflate", WRAPPED + WRAPPED, b"hello"),
    Case("bytes behind a bare stream", "deflate", BARE + b"\xff" * 300, b"hello"),
    Case("cut after one byte", "deflate", WRAPPED[:1], b"", CUT),
    Case("cut after two bytes", "deflate", WRAPPED[:2], b"", CUT),
    Case("zlib stream cut in its checksum", "deflate", WRAPPED[:-2], b"", CUT),
    Case("bare stream cut", "deflate", BARE[:-1], b"", CUT),
    Case("wrong checksum", "deflate", WRAPPED[:-1] + b"\0", b"", DAMAGED),
    Case("a dictionary is wanted", "deflate", b"\x78\xbb" + WRAPPED[2:], b"", DAMAGED),
    Case("neither form", "deflate", b"\xff\xff\xff\xff", b"", DAMAGED),
]
BROTLI = [
    Case("a stream", "br", BR, b"hello"),
    Case("a stream of nothing", "br", b"\x3b", b""),
    Case("nothing at all", "br", b"", b""),
    Case("cut", "br", BR[:-2], b"", CUT),
    Case("bytes behind", "br", BR + b"zz", b"", DAMAGED),
    Case("no brotli", "br", b"\xff\xff\xff", b"", DAMAGED),
]
ZSTANDARD = [
    Case("a frame", "zstd", ZSTD, b"hello"),
    Case("a frame without its size", "zstd", ZSTD_STREAM, b"hello"),
    Case("a run", "zstd", ZSTD_RUN, b"a" * 100),
    Case("two frames", "zstd", ZSTD + ZSTD_RUN, b"hello" + b"a" * 100),
    Case("skippable frames all around", "zstd", ZSTD_SKIPPED + ZSTD + ZSTD_SKIPPED + ZSTD, b"hellohello"),
    Case("a skippable frame alone", "zstd", ZSTD_SKIPPED, b""),
    Case("nothing at all", "zstd", b"", b""),
    Case("cut in the header", "zstd", ZSTD[:5], b"", CUT),
    Case("cut in a block", "zstd", ZSTD[:12], b"", CUT),
    Case("cut in the checksum", "zstd", ZSTD[:-1], b"", CUT),
    Case("second frame cut", "zstd", ZSTD + ZSTD[:6], b"", CUT),
    Case("skippable frame cut", "zstd", ZSTD + ZSTD_SKIPPED[:-1], b"", CUT),
    Case("wrong checksum", "zstd", ZSTD[:-1] + b"\0", b"", DAMAGED),
    Case("bytes behind", "zstd", ZSTD + b"garbage!", b"", DAMAGED),
    Case("no zstd", "zstd", b"garbage!", b"", DAMAGED),
    Case("too wide a window", "zstd", ZSTD_WIDE, b"", DAMAGED),
]
CHAINS = [
    Case("last applied is undone first", "deflate, gzip", gzip.compress(WRAPPED), b"hello"),
    Case("five codings", "gzip,deflate,gzip,deflate,gzip", b"", b""),
    Case("five codings with data", "gzip, x-gzip,\tGZIP ,gzip,gzip", b"", b"hello"),
    Case("identity and empty elements", "identity, gzip,, ,", MEMBER, b"hello"),
    Case("members in members", "gzip, gzip", gzip.compress(MEMBER + OTHER) + EMPTY_MEMBER, b"hello" + LONG),
    Case("bytes behind the inner stream", "gzip, deflate", zlib.compress(MEMBER + b"garbage"), b"hello"),
    Case("outer stream cut", "gzip, gzip", gzip.compress(MEMBER)[:-1], b"", CUT),
    Case("inner stream cut", "gzip, gzip", gzip.compress(MEMBER[:-1]), b"", CUT),
    Case("inner stream damaged", "gzip, gzip", gzip.compress(b"hello"), b"", DAMAGED),
    Case("outer stream damaged", "gzip, gzip", MEMBER, b"", DAMAGED),
]


def nested(codings: int) -> bytes:
    coded = b"hello"
    for _ in range(codings):
        coded = gzip.compress(coded, mtime=0)
    return coded


CHAINS[2] = CHAINS[2]._replace(coded=nested(5))
CASES = GZIP + DEFLATE + BROTLI + ZSTANDARD + CHAINS

Feed = Callable[[ContentDecoder, bytes], Iterator[bytes]]


def in_pieces(size: int, max_length: int) -> Feed:
    """Feed `size` bytes at a time, and ask for `max_length` until there is no more, as a response does."""

    def feed(decoder: ContentDecoder, coded: bytes) -> Iterator[bytes]:
        for start in range(0, len(coded), size):
            yield from drained(decoder, decoder.decompress(coded[start : start + size], max_length), max_length)

    return feed


def all_in_line_first(decoder: ContentDecoder, coded: bytes) -> Iterator[bytes]:
    """Put every byte in line before asking for the first."""
    for start in range(len(coded)):
        assert decoder.decompress(coded[start : start + 1], 0) == b""
    yield from drained(decoder, decoder.decompress(b"", 4), 4)


def from_one_buffer(decoder: ContentDecoder, coded: bytes) -> Iterator[bytes]:
    """Feed from a buffer that is written over after each call, as `recv_into` does."""
    buffer = bytearray(8)
    for start in range(0, len(coded), len(buffer)):
        piece = coded[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        step = decoder.decompress(memoryview(buffer)[: len(piece)], 2)
        buffer[:] = b"\xaa" * len(buffer)
        yield from drained(decoder, step, 2)


def drained(decoder: ContentDecoder, step: bytes, max_length: int) -> Iterator[bytes]:
    idle = 0
    while True:
        assert max_length < 0 or len(step) <= max_length
        yield step
        idle = 0 if step else idle + 1
        assert idle < 4, "the decoder turns without doing anything"
        if not decoder.has_unconsumed_tail:
            return
        step = decoder.decompress(b"", max_length)


FEEDS: dict[str, Feed] = {
    "whole": in_pieces(1 << 30, -1),
    "whole, 1 out": in_pieces(1 << 30, 1),
    "whole, 1000 out": in_pieces(1 << 30, 1000),
    "byte by byte": in_pieces(1, -1),
    "byte by byte, 1 out": in_pieces(1, 1),
    "3 in, 2 out": in_pieces(3, 2),
    "all in line first": all_in_line_first,
    "from one buffer": from_one_buffer,
}


def decoded(coding: str, coded: bytes, feed: Feed) -> tuple[bytes, str]:
    """Return the plain bytes and "", or b"" and what is wrong."""
    decoder = decoder_for(coding)
    assert decoder is not None
    try:
        plain = b"".join(feed(decoder, coded))
        assert decoder.flush() == b""
    except DecodeError as error:
        return b"", CUT if CUT in str(error) else DAMAGED
    return plain, ""


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.coding}: {case.name}")
def test_every_way_of_feeding_gives_the_same(case: Case, feed: Feed) -> None:
    """RFC 1950, 1951, 1952, 7932, 8878, and RFC 9110 section 8.4 for chains."""
    if case.coding in {"br", "zstd"} and case.coding not in available_codings():
        pytest.skip(f"no package decodes {case.coding}")
    assert decoded(case.coding, case.coded, feed) == (case.plain, case.error)


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.error], ids=lambda case: f"{case.coding}: {case.name}"
)
def test_a_sound_stream_cut_anywhere_is_never_taken_as_whole(case: Case) -> None:
    """RELIABILITY promise 2: what is incomplete is never returned as complete."""
    if case.coding in {"br", "zstd"} and case.coding not in available_codings():
        pytest.skip(f"no package decodes {case.coding}")
    for end in range(min(len(case.coded), 80)):
        plain, error = decoded(case.coding, case.coded[:end], FEEDS["whole"])
        assert error == CUT or case.plain.startswith(plain)
        assert error or plain == case.plain or is_a_boundary(case, end)


def is_a_boundary(case: Case, end: int) -> bool:
    """True if the cut left whole members or frames behind, or nothing."""
    whole = {0}
    parts = {"gzip": (EMPTY_MEMBER, MEMBER, OTHER), "zstd": (ZSTD, ZSTD_STREAM, ZSTD_RUN, ZSTD_SKIPPED)}
    for _ in range(12):
        whole |= {
            at + len(part) for at in whole for part in parts.get(case.coding, ()) if case.coded.startswith(part, at)
        }
    return end in whole or (case.coding.count(",") > 0 and end == 0)


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda plain: gzip.compress(plain, mtime=0),
    "deflate": zlib.compress,
}


@settings(max_examples=60)
@given(
    plain=st.binary(max_size=3000),
    codings=st.lists(st.sampled_from(sorted(CODERS)), min_size=1, max_size=5),
    bare=st.booleans(),
    piece=st.integers(1, 4000),
    max_length=st.sampled_from([-1, 1, 2, 100, 70_000]),
)
def test_what_was_coded_comes_back(plain: bytes, codings: list[str], bare: bool, piece: int, max_length: int) -> None:
    """Any chain, any pieces, any limit."""
    coded = raw_deflate(plain) if bare and codings[0] == "deflate" else CODERS[codings[0]](plain)
    for coding in codings[1:]:
        coded = CODERS[coding](coded)
    assert decoded(", ".join(codings), coded, in_pieces(piece, max_length)) == (plain, "")


@settings(max_examples=120)
@given(
    coding=st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, deflate", "deflate, gzip, gzip"]),
    start=st.sampled_from(
        [b"", MEMBER, MEMBER[:10], WRAPPED, BARE[:3], BR, ZSTD, ZSTD[:6], b"\x1f\x8b\x08", nested(2)]
    ),
    rest=st.binary(max_size=200),
    piece=st.integers(1, 64),
    max_length=st.sampled_from([-1, 1, 50]),
)
def test_no_bytes_raise_anything_but_decode_error(
    coding: str, start: bytes, rest: bytes, piece: int, max_length: int
) -> None:
    """And none make a decoder turn for ever: `drained` counts idle turns (CVE-2026-97688)."""
    if coding in {"br", "zstd"} and coding not in available_codings():
        return
    whole = decoded(coding, start + rest, FEEDS["whole"])
    assert decoded(coding, start + rest, in_pieces(piece, max_length)) == whole
