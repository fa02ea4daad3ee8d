"""A program that puts its own decoder into a response is asked: by the names that urllib3 has for that."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Any

import pytest

import poollib.response
from poollib import HTTPConnectionPool, HTTPResponse
from poollib.response import GzipDecoder, _get_decoder
from tests.support.script import ScriptServer, expect_request, respond

TEXT = b"checked while it is packed " * 5000
PACKED = gzip.compress(TEXT, 1)
CODED = {"Content-Encoding": "gzip"}


def of_file(data: bytes = PACKED, headers: dict[str, str] | None = None) -> HTTPResponse:
    return HTTPResponse(io.BytesIO(data), headers=CODED if headers is None else headers, preload_content=False)


class SummingDecoder(GzipDecoder):
    """As google-cloud-storage's: adds up what came over the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = 0

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        self.sum = zlib.crc32(data, self.sum)
        return super().decompress(data, max_length)


READS: dict[str, Callable[[HTTPResponse], bytes]] = {
    "read": lambda response: response.read(),
    "pieces": lambda response: b"".join(iter(lambda: response.read(1000), b"")),
    "read1": lambda response: b"".join(iter(response.read1, b"")),
    "stream": lambda response: b"".join(response.stream(4096)),
    "data": lambda response: response.data,
}


@pytest.mark.parametrize("how", READS)
def test_a_decoder_that_a_program_has_set_gets_the_packed_bytes(how: str) -> None:
    """It was ignored: verified downloads failed as corrupt."""
    with ScriptServer([expect_request(), respond(PACKED, headers=["Content-Encoding: gzip"])]) as server:
        with HTTPConnectionPool(server.host, server.port) as pool:
            response = pool.request("GET", "/", preload_content=False)
            response._decoder = decoder = SummingDecoder()  # type: ignore[attr-defined]
            assert READS[how](response) == TEXT
            assert decoder.sum == zlib.crc32(PACKED)
            assert pool._endpoint_pool.leased == 0


def test_a_class_may_choose_the_decoder() -> None:
    class Own(HTTPResponse):
        def _init_decoder(self) -> None:
            if self._decoder is None:
                self._decoder = SummingDecoder()

    response = Own(io.BytesIO(PACKED), headers={"X": "no coding named"}, preload_content=False)
    assert response.read() == TEXT
    assert response._decoder.sum == zlib.crc32(PACKED)


def test_a_class_may_put_its_decoder_around_the_usual_one() -> None:
    class Around:
        def __init__(self, inner: Any) -> None:
            self.inner, self.seen = inner, 0

        has_unconsumed_tail = property(lambda self: self.inner.has_unconsumed_tail)

        def decompress(self, data: bytes, max_length: int = -1) -> bytes:
            self.seen += len(data)
            return self.inner.decompress(data, max_length)  # type: ignore[no-any-return]

        def flush(self) -> bytes:
            return self.inner.flush()  # type: ignore[no-any-return]

    class Own(HTTPResponse):
        def _init_decoder(self) -> None:
            super()._init_decoder()
            if not isinstance(self._decoder, Around):
                self._decoder = Around(self._decoder)

    response = Own(io.BytesIO(PACKED), headers=CODED, preload_content=False)
    assert b"".join(response.stream(5000)) == TEXT
    assert response._decoder.seen == len(PACKED)


def test_a_patched_get_decoder_makes_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get_decoder(mode: str) -> Any:
        asked.append(mode)
        return _get_decoder(mode)

    monkeypatch.setattr(poollib.response, "_get_decoder", get_decoder)
    assert of_file().read() == TEXT
    assert asked == ["gzip"]


def test_a_decoder_that_failed_to_be_made_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [RuntimeError("the first"), GzipDecoder()]

    def get_decoder(mode: str) -> Any:
        if isinstance(made[0], Exception):
            raise made.pop(0)
        return made[0]

    monkeypatch.setattr(poollib.response, "_get_decoder", get_decoder)
    response = of_file()
    with pytest.raises(RuntimeError, match="the first"):
        response._init_decoder()
    response._init_decoder()
    assert response._decoder is made[0]


def test_bytes_put_before_the_rest_are_read_before_it() -> None:
    """urllib3's buffer of what was decoded and not asked for."""
    response = of_file(zlib.compress(b"foobarbaz"), {"Content-Encoding": "deflate"})
    assert response.read(3) == b"foo"
    assert len(response._decoded_buffer) == 0
    middle = response._decode(response._raw_read(), decode_content=True, flush_decoder=False, max_length=3)
    assert middle == b"bar"
    response._decoded_buffer.put(middle)
    assert response.read() == b"barbaz"


def test_what_the_decoder_was_fed_before_is_read() -> None:
    response = of_file(b"")
    response._init_decoder()
    assert response._decoder.decompress(PACKED, max_length=0) == b""
    assert response.read() == TEXT


def test_without_a_coding_the_names_do_nothing() -> None:
    response = of_file(TEXT, {})
    response._init_decoder()
    assert response._decoder is None
    assert len(response._decoded_buffer) == 0
    assert response._decode(b"x", True, True) == b"x"
    assert (response._flush_decoder(), response._raw_read(7), response._raw_read(2, read1=True)) == (
        b"",
        TEXT[:7],
        b" w",
    )
    assert HTTPResponse()._raw_read() == b""
    response = HTTPResponse(b"kept")
    response._decoder = GzipDecoder()
    assert response._decoder is None


def test_all_at_once_by_urllib3s_names() -> None:
    response = of_file()
    response._init_decoder()
    assert response._decode(response._raw_read(), True, True) == TEXT
    assert response._decode(b"as it is", False, False) == b"as it is"


def test_a_drained_response_has_no_decoder_and_nothing_left() -> None:
    response = of_file()
    assert response.read(10) == TEXT[:10]
    response.drain_conn()
    assert response._decoder is None
    assert response.read() == b""
    assert list(response.stream()) == []


def test_a_method_is_refused_by_its_own_name() -> None:
    for name in ("read", "read1"):
        response = of_file()
        read = getattr(response, name)
        read(1)
        with pytest.raises(RuntimeError, match=rf"Calling {name}\(decode_content=False\) is not .* after {name}\("):
            read(1, decode_content=False)
