"""Changes that a seeded run met and no test can notice, each with the reason why it changes nothing that matters."""

from __future__ import annotations

from typing import Final, NamedTuple

from .changes import Change


class Entry(NamedTuple):
    """One change: its file, the function, the line as it stands, the change as ``sample`` shows it, and the reason."""

    file: str
    within: str
    text: str
    shown: str
    reason: str


ENTRIES: Final = [
    Entry(
        "poollib/http1/body_reader.py",
        "",
        "LARGE_RECEIVE_BYTES = 131072 - 1024  # largest recv that malloc serves without mapping memory anew",
        "1024 -> 1025",
        "a size chosen by measurement: one byte more is as quick",
    ),
    Entry(
        "poollib/http1/body_reader.py",
        "ChunkedBody.read1",
        "piece = incoming.take(limit if limit < left else left)",
        "limit < left -> limit <= left",
        "of two equal numbers either is the smaller",
    ),
    Entry(
        "poollib/http1/body_reader.py",
        "ChunkedBody._whole_chunk",
        'incoming.data, incoming.at = b"", 0',
        "0 -> 1",
        "where there is no data nobody looks at ``at``; the next receive sets it to 0",
    ),
    Entry(
        "poollib/http1/content_encoding.py",
        "BytesQueueBuffer.get",
        "if n < 0:",
        "n < 0 -> n <= 0",
        "for 0 the method has returned already",
    ),
    Entry(
        "poollib/http1/decoders.py",
        "ContentDecoder.decompress",
        "def decompress(self, data: bytes, max_length: int = -1) -> bytes:",
        "1 -> 2",
        "a shape that every decoder fills in; nobody calls this one",
    ),
    Entry(
        "poollib/http1/multipart.py",
        "_regular_file_bytes",
        'return 0 if hasattr(file, "peek") and not file.peek(1) else None',
        "1 -> 2",
        "peek gives what the buffer holds, whatever number it is asked for",
    ),
    Entry(
        "poollib/http1/response_head.py",
        "",
        '_P = "+" if sys.version_info >= (3, 11) else ""',
        "11 -> 12",
        "which quantifier is quicker: both match the same text",
    ),
    Entry(
        "poollib/policy/proxy_rules.py",
        "HostList.matches",
        "if not self.entries:",
        "if not self.entries -> if False",
        "a short cut: with no entries nothing matches further down",
    ),
    Entry(
        "poollib/policy/retry.py",
        "Retry.parse_retry_after",
        "moment = _unix_time(text) if len(text) <= 64 else None",
        "len(text) <= 64 -> len(text) < 64",
        "a bound on the work; no date has 64 characters",
    ),
    Entry(
        "poollib/exchange/transport.py",
        "Transport.cap_read_timeout",
        "if sock is not None and (timeout_s is None or timeout_s > limit_s):",
        "timeout_s > limit_s -> timeout_s >= limit_s",
        "where both are equal the socket is given the timeout that it has",
    ),
    Entry(
        "poollib/pool/acquire_slow_path.py",
        "AcquireSlowPath._replace_unusable",
        "self._slot_freed_locked()",
        "self._slot_freed_locked() -> pass",
        "nobody waits while a connection of the pool is idle, and one was: the freed slot is in nobody's way",
    ),
    Entry(
        "poollib/pool/acquire_slow_path.py",
        "AcquireSlowPath._open_ahead",
        "if now < self._warm_after:",
        "now < self._warm_after -> now <= self._warm_after",
        "at that very moment the housekeeper is asked once more, at once",
    ),
    Entry(
        "poollib/pool/acquire_slow_path.py",
        "AcquireSlowPath._run_acquire_hooks",
        "if self._sweep_at > entry.idle_since and self._lacks_idle_locked():",
        "self._sweep_at > entry.idle_since and self... -> self._sweep_at > entry.idle_since or self....",
        "the housekeeper is woken once more than it need be, and finds nothing to do",
    ),
    Entry(
        "poollib/pool/endpoint_pool.py",
        "EndpointPool.drain",
        "self._generation += 1",
        "1 -> 2",
        "a generation's number is compared for being another, not for its size",
    ),
    Entry(
        "poollib/pool/endpoint_pool.py",
        "EndpointPool._check_idle",
        "waiter: Waiter[Connection] = Waiter(self, 0.0)",
        "0.0 -> 1.0",
        "this waiter never waits, and nobody reads since when it does",
    ),
    Entry(
        "poollib/pool/housekeeper.py",
        "Housekeeper._is_over",
        "return False",
        "return False -> return None",
        "only its truth is asked for",
    ),
    Entry(
        "poollib/pool/housekeeper.py",
        "Housekeeper._is_over",
        "self._schedule.clear()",
        "self._schedule.clear() -> pass",
        "rows that are left are void: nobody is due by them",
    ),
    Entry(
        "poollib/pool/state.py",
        "PoolState._serve_one_shared_locked",
        "unservable.add(pool)",
        "unservable.add(pool) -> pass",
        "a short cut: the pool's next waiter is refused like the one before",
    ),
    Entry(
        "poollib/pool/state.py",
        "PoolState.check",
        'assert self._is_shrinking or not self.block or total <= self._maxsize, f"{total} of {self._maxsize}"',
        "not self.block -> self.block",
        "a check for tests, which finds nothing where the pool is sound",
    ),
    Entry(
        "poollib/client/request_target.py",
        "RequestTargets.is_same_host",
        "if host is not None:",
        "host is not None -> host is None",
        "parse_url has normalised the host of every scheme that a pool has",
    ),
    Entry(
        "poollib/http1/response_head.py",
        "Head.__init__",
        'if connection == b"keep-alive":',
        "if connection == b'keep-alive' -> if False",
        "a short cut: the list of options that is read else has keep-alive in it",
    ),
    Entry(
        "poollib/http1/body_reader.py",
        "LengthBody.read",
        "if not n:",
        "if not n -> if False",
        "the loop further down receives the end once more, and raises the same error",
    ),
    Entry(
        "poollib/http1/decoders.py",
        "",
        "WHOLE_GZIP_BYTES = range(32769, (4 << 20) + 1)",
        "4 -> 5",
        "from which size on memory is given in steps: a bound that was chosen, not measured",
    ),
]

_KEYS: Final = {entry[:4] for entry in ENTRIES}


def is_unnoticeable(change: Change) -> bool:
    return change.key in _KEYS
