"""How a body is decoded, by the names that urllib3 has for it: for programs that put their own decoder in.

``google-cloud-storage`` sets ``_decoder`` to one that adds up what came over the wire, others override
``_init_decoder`` or put bytes into ``_decoded_buffer``; what they do counts.  The decoding itself is
``response_body_sources``'s and ``content_encoding``'s; nothing here is called for a body that is read as usual.
"""

from __future__ import annotations

from typing import Any

from ..http1.body_reader import Body
from ..http1.content_encoding import BytesQueueBuffer
from ..http1.response_body_sources import DecodedBody


class DecodingHooks:
    """urllib3's private names of decoding, for ``HTTPResponse``."""

    body_source: Body | None
    _plain: Body | None
    _decoded: DecodedBody | None
    max_decoded_size: int | None

    def _content_encoding(self) -> str:
        raise NotImplementedError

    def _start_decoding(self, source: Body, encoding: str) -> Body | DecodedBody:
        raise NotImplementedError

    @property
    def _decoder(self) -> Any:
        """What undoes Content-Encoding, once the body is read; a decoder of the program's own may be set before."""
        return None if self._decoded is None else self._decoded.decoder

    @_decoder.setter
    def _decoder(self, decoder: Any) -> None:
        source, self._plain = self.body_source, None
        if source is None or decoder is None:
            self._decoded = None
        else:
            self._decoded = DecodedBody(source, decoder, self._content_encoding(), self.max_decoded_size)

    def _init_decoder(self) -> None:
        """Choose the decoder, unless there is one; called before each body is read where a class overrides it."""
        encoding = self._content_encoding()
        if self._decoded is None and self.body_source is not None and encoding:
            self._start_decoding(self.body_source, encoding)

    @property
    def _decoded_buffer(self) -> BytesQueueBuffer:
        """Bytes decoded but not read; what is put there is read before the rest."""
        self._init_decoder()
        decoded = self._decoded
        if decoded is None:
            return BytesQueueBuffer()
        if decoded.ahead is None:
            decoded.ahead = BytesQueueBuffer()
        return decoded.ahead

    def _decode(
        self, data: bytes, decode_content: bool | None, flush_decoder: bool, max_length: int | None = None
    ) -> bytes:
        """``data`` decoded, up to ``max_length`` bytes; with ``flush_decoder`` all, to the end."""
        decoder = self._decoder
        if not decode_content or decoder is None:
            return data
        limit = -1 if max_length is None or flush_decoder else max_length
        decoded: bytes = decoder.decompress(data, max_length=limit)
        return decoded + self._flush_decoder() if flush_decoder else decoded

    def _flush_decoder(self) -> bytes:
        decoder = self._decoder
        return b"" if decoder is None else decoder.decompress(b"") + decoder.flush()

    def _raw_read(self, amt: int | None = None, *, read1: bool = False) -> bytes:
        """Bytes of the body before decoding."""
        source = self.body_source
        if source is None:
            return b""
        if amt is None:
            return source.read_all()
        return source.read1(amt) if read1 else source.read(amt)
