"""The fuzz targets in little time: the corpus, mutated with a fixed seed; and round trips by hypothesis."""

from __future__ import annotations

import io
import pathlib
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poollib.http1.body_reader import ChunkedBody
from poollib.http1.grammar import DEFAULT_LIMITS
from poollib.http1.multipart import MultipartStream
from poollib.http1.request_head import prepare_fields, request_head
from poollib.http1.response_head import complete_head
from tests.bytes.feeds import Feed, Pieces, chunks_of, read_response
from tests.fuzz.targets import TARGETS

CORPUS = pathlib.Path(__file__).parent / "corpus"
SECONDS = 0.04
LONG_SECONDS = 20.0
PIECES = [
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b":",
    b" ",
    b"\t",
    b";",
    b"0",
    b"ffffffff",
    b"-1",
    b"+",
    b"_",
    b"\xff",
    b"HTTP/1.1 200\r\n\r\n",
]
PIECES += [
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1 100 C\r\n\r\n",
    b"\r\n \r\n",
]


def seeds(target: str) -> list[bytes]:
    return [file.read_bytes() for file in sorted((CORPUS / target).glob("*"))]


def mutated(rng: random.Random, inputs: list[bytes]) -> bytes:
    data = bytearray(rng.choice(inputs))
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        choice = rng.randrange(5)
        if choice == 0:
            data[at:at] = rng.choice(PIECES)
        elif choice == 1:
            del data[at : at + rng.randint(1, 4)]
        elif choice == 2 and at < len(data):
            data[at] = rng.randrange(256)
        elif choice == 3:
            data[at : at + 3] = rng.choice(PIECES)
        else:
            data += rng.choice(inputs)[at:]
    return bytes(data[:4096])


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_finds_nothing(target: str) -> None:
    assert seeds(target)
    for data in seeds(target):
        TARGETS[target](data)


def fuzz(target: str, seed: int, seconds: float) -> int:
    rng, inputs = random.Random(seed), seeds(target)
    end, runs = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        TARGETS[target](mutated(rng, inputs))
        runs += 1
    return runs


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_fuzz_run_finds_nothing(target: str) -> None:
    assert fuzz(target, 1, SECONDS) > 0


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_longer_fuzz_run_finds_nothing(target: str) -> None:
    assert fuzz(target, time.time_ns(), LONG_SECONDS) > 1000


# Round trips

tokens = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=12)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30)
pairs = st.lists(st.tuples(tokens.map(lambda name: "X" + name), values), max_size=8)
cutting = st.integers(1, 40)


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@settings(max_examples=60)
@given(pairs, st.integers(200, 599), cutting)
def test_fields_come_back_as_they_were_written(fields: list[tuple[str, str]], status: int, size: int) -> None:
    fields = [(name, value.strip(" ")) for name, value in fields]
    block = prepare_fields(fields).block
    data = b"HTTP/1.1 %d Reason\r\n%b\r\n" % (status, block)
    _, head, end = complete_head(Pieces(pieces_of(data, size)).recv, b"", DEFAULT_LIMITS)
    assert (head.status, head.pairs(), end) == (status, fields, len(data))


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8), cutting, st.sampled_from([1, 3, 100]))
def test_chunks_come_back_as_they_were_written(parts: list[bytes], size: int, amount: int) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    source = Pieces(pieces_of(data, size))
    body = ChunkedBody(Feed(source.recv, source.recv_into), True, None, DEFAULT_LIMITS)
    assert b"".join(iter(lambda: body.read(amount), b"")) == b"".join(parts)
    source = Pieces(pieces_of(data, size))
    body = ChunkedBody(Feed(source.recv, source.recv_into), True, None, DEFAULT_LIMITS)
    assert list(chunks_of(body, None)) == parts


@settings(max_examples=60)
@given(st.binary(max_size=300), cutting)
def test_a_counted_body_comes_back_whole(content: bytes, size: int) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    assert read_response(pieces_of(data, size)).content == content


@settings(max_examples=60)
@given(tokens, st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1), pairs)
def test_a_request_is_one_request(method: str, target: str, fields: list[tuple[str, str]]) -> None:
    lines = request_head(method, target, fields).split(b"\r\n")
    assert lines[0] == f"{method} {target} HTTP/1.1".encode()
    assert len(lines) == len(fields) + 3


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=10), st.binary(max_size=50)),
        max_size=5,
    ),
    st.booleans(),
)
def test_a_form_has_the_length_it_says(fields: list[tuple[str, bytes]], as_files: bool) -> None:
    given_fields = [(name, ("name", io.BytesIO(data)) if as_files else data) for name, data in fields]
    form = MultipartStream(given_fields)
    assert form.content_length == len(b"".join(form)) == len(b"".join(form))
