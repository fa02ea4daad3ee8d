"""Where the time of a transfer goes: a Trace that keeps it, and bars that show it. It tells ``-v``, too.

``transfer`` hands a :class:`Timings` to each request and reads it at the end; ``write_out`` prints single figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..base.trace import Trace
from ..http1.request_head import SKIP_HEADER


class Phase(NamedTuple):
    """A stretch of a transfer's time."""

    name: str
    seconds: float


class Timings(Trace):
    """What one transfer's events say of its time; ``say`` (None: nobody listens) is called with lines for -v."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._say = say
        self.start = self._mark = time.monotonic()
        self._lookup_mark = self._looked_up_s = 0.0  # of the dial under way
        self.queue_s = self.dns_s = self.connect_s = self.tls_s = self.first_byte_s = self.body_s = 0.0
        #: seconds from the start to the end of a phase, as curl's -w counts them
        self.marks: dict[str, float] = {}
        self.fields: Mapping[str, str] = {}
        self.host = ""
        self.redirect_s = 0.0

    def begin_request(self, fields: Mapping[str, str], host: str) -> None:
        """A request begins, the first one or one that follows a redirect."""
        self.fields, self.host = fields, host
        self.redirect_s = time.monotonic() - self.start if self.marks else 0.0

    def end(self) -> None:
        """The transfer is over."""
        self.marks["total"] = time.monotonic() - self.start
        if "starttransfer" in self.marks:
            self.body_s = self.marks["total"] - self.marks["starttransfer"]

    def phases(self) -> list[Phase]:
        """All phases in their order; those of several requests are added."""
        names = ("queue", "DNS", "connect", "TLS", "first byte", "body")
        seconds = (self.queue_s, self.dns_s, self.connect_s, self.tls_s, self.first_byte_s, self.body_s)
        return [Phase(name, taken) for name, taken in zip(names, seconds, strict=True)]

    # -- events --

    def connection_waited(self, endpoint: object, waited_s: float) -> None:
        self.queue_s += waited_s

    def connection_reused(self, endpoint: object, connection: object) -> None:
        self._tell(f"* an open connection to {self.host} is used again")

    def dial_started(self, host: str, port: int | None) -> None:
        self._mark, self._looked_up_s = time.monotonic(), 0.0
        self._tell(f"* connecting to {host}:{port}")

    def dns_started(self, host: str, port: int | None) -> None:
        self._lookup_mark = time.monotonic()

    def dns_done(self, host: str, port: int | None, addresses: list[str], error: BaseException | None) -> None:
        self._looked_up_s = time.monotonic() - self._lookup_mark
        self.dns_s += self._looked_up_s

    def dial_done(self, host: str, port: int | None, error: BaseException | None) -> None:
        now = time.monotonic()
        self.connect_s += now - self._mark - self._looked_up_s
        self.marks["connect"] = now - self.start
        self.marks["namelookup"] = self._mark + self._looked_up_s - self.start
        self._tell(f"* no connection: {error}" if error else f"* connected to {host}:{port}")

    def tunnel_started(self, host: str, port: int | None) -> None:
        self._tell(f"* asking the proxy for {host}:{port}")

    def tls_started(self, host: str) -> None:
        self._mark = time.monotonic()

    def tls_done(self, host: str, error: BaseException | None) -> None:
        self.tls_s += time.monotonic() - self._mark
        self.marks["appconnect"] = time.monotonic() - self.start
        self._tell(f"* TLS failed: {error}" if error else f"* TLS with {host}")

    def head_sent(self, method: str, target: str) -> None:
        self._mark = time.monotonic()
        self.marks["pretransfer"] = self._mark - self.start
        if self._say is not None:
            self._tell(f"> {method} {target} HTTP/1.1")
            if "host" not in {name.lower() for name in self.fields}:
                self._tell(f"> Host: {self.host}")
            for name, value in self.fields.items():
                if value != SKIP_HEADER:
                    self._tell(f"> {name}: {_without_secret(name, value)}")
            self._tell(">")

    def first_byte(self, method: str, target: str) -> None:
        self.first_byte_s += time.monotonic() - self._mark
        self.marks["starttransfer"] = time.monotonic() - self.start

    def interim_read(self, status: int, fields: list[tuple[str, str]]) -> None:
        self._tell(f"< HTTP/1.1 {status}")

    def retried(self, method: str, target: str, reason: object, wait_s: float) -> None:
        self._tell(f"* again in {wait_s:.3g} s: {reason}")

    def resent(self, method: str, target: str, error: BaseException) -> None:
        self._tell("* the open connection was dead: again on another one")

    def connection_returned(self, endpoint: object, connection: object) -> None:
        self._tell(f"* the connection to {self.host} stays open")

    def connection_closed(self, endpoint: object, connection: object, reason: str) -> None:
        self._tell(f"* the connection to {self.host} is closed: {reason}")

    def _tell(self, line: str) -> None:
        if self._say is not None:
            self._say(line)


def _without_secret(name: str, value: str) -> str:
    """The value as it may stand on a screen: what authenticates stays hidden."""
    if name.lower() not in ("authorization", "proxy-authorization", "cookie"):
        return value
    kind, blank, _ = value.partition(" ")
    return f"{kind} ***" if blank and name.lower() != "cookie" else "***"


def bars(phases: list[Phase], width: int, block: str) -> list[str]:
    """A line for each phase: name, milliseconds, and a bar of ``block`` that begins where the one before ended."""
    total = sum(phase.seconds for phase in phases)
    room = max(10, width - 26)
    lines, begun = [], 0.0
    for phase in phases:
        first = round(begun / total * room) if total else 0
        begun += phase.seconds
        last = round(begun / total * room) if total else 0
        length = max(last - first, 1 if phase.seconds else 0)
        bar = " " * min(first, room - length) + block * length
        lines.append(f"{phase.name:<10} {phase.seconds * 1000:10.1f} ms  {bar}".rstrip())
    return [*lines, f"{'total':<10} {total * 1000:10.1f} ms"]
