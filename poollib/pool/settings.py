"""The numbers a pool is run by, as one value.

Pools make it from their keywords, check it here once, hand it on to the pools they make, and pickle as it.
What the numbers mean for a connection is decided in ``state`` and ``endpoint_pool``.
Names and meanings follow urllib3 (``maxsize``, ``block``), HikariCP and generic-connection-pool (the others).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..base.exact_values import seconds, whole

#: At most this many idle connections are closed for their age in one acquire or release, so that no caller pays for
#: many; a close of a socket costs about 10 us.
DISPOSE_BATCH_SIZE = 4


class Settings(NamedTuple):
    """How one pool behaves.

    ==================== ==============================================================================
    maxsize              the most connections to an endpoint; None: no limit
    block                True: ``acquire`` waits when all are leased.  False: never for ``maxsize``: beyond it
                         connections are opened, and closed on return if ``maxsize`` others are idle
    idle_timeout         seconds after which an idle connection is closed, down to ``min_idle``; None: never
    max_lifetime         seconds after which any connection is closed (less up to 5 %), a leased one on its return;
                         None: never
    min_idle             connections opened ahead of demand and kept; above 0 it starts the housekeeper
    background_collector True: the process's housekeeper thread closes what is too old.  False: acquire and release do
    dispose_batch_size   the most connections closed for their age in one acquire or release
    acquire_timeout      seconds ``acquire`` waits if not told otherwise; None: for ever
    leak_timeout         seconds after which a lease is reported, once, with the stack of who took it; None: never
    max_waiting          how many may wait for a connection: who comes when so many wait is refused at once; None: all
    ==================== ==============================================================================
    """

    maxsize: int | None = 1
    block: bool = False
    idle_timeout: float | None = None
    max_lifetime: float | None = None
    min_idle: int = 0
    background_collector: bool = False
    dispose_batch_size: int = DISPOSE_BATCH_SIZE
    acquire_timeout: float | None = None
    leak_timeout: float | None = None
    max_waiting: int | None = None

    def checked(self) -> Settings:
        """These settings, in int and float.  ValueError names what makes no sense in them."""
        settled = self._replace(
            maxsize=check_limit("maxsize", self.maxsize),
            min_idle=whole("min_idle", self.min_idle),
            dispose_batch_size=whole("dispose_batch_size", self.dispose_batch_size),
            idle_timeout=_seconds_or_none("idle_timeout", self.idle_timeout),
            max_lifetime=_seconds_or_none("max_lifetime", self.max_lifetime),
            acquire_timeout=_seconds_or_none("acquire_timeout", self.acquire_timeout),
            leak_timeout=_seconds_or_none("leak_timeout", self.leak_timeout),
            max_waiting=None if self.max_waiting is None else whole("max_waiting", self.max_waiting),
        )
        if settled.min_idle < 0 or (settled.maxsize is not None and settled.min_idle > settled.maxsize):
            raise ValueError(f"min_idle must be between 0 and maxsize ({settled.maxsize}), not {settled.min_idle!r}")
        if settled.max_waiting is not None and settled.max_waiting < 0:
            raise ValueError(f"max_waiting must be None or at least 0, not {settled.max_waiting!r}")
        if settled.dispose_batch_size < 1:
            raise ValueError(f"dispose_batch_size must be at least 1, not {settled.dispose_batch_size!r}")
        return settled

    def keywords(self) -> dict[str, Any]:
        """As the keywords of a pool."""
        return self._asdict()

    def with_maxsize(self, maxsize: int | None) -> Settings:
        """The same settings with another limit."""
        return self._replace(maxsize=maxsize)

    @property
    def needs_housekeeper(self) -> bool:
        """Whether a background thread is asked for."""
        return self.background_collector or self.min_idle > 0


def interned(settings: Settings) -> Settings:
    """The same settings; one value for all pools that are made in a row with equal ones (it takes 128 bytes)."""
    global _latest
    latest = _latest
    if settings == latest:
        return latest
    _latest = settings
    return settings


_latest = Settings()


def _seconds_or_none(name: str, value: float | None) -> float | None:
    return None if value is None else seconds(name, value)


def check_limit(name: str, limit: int | None) -> int | None:
    """``limit`` as an int; ValueError unless it is None or at least 1, TypeError unless it is a whole number."""
    if limit is None:
        return None
    number = whole(name, limit)
    if number < 1:
        raise ValueError(f"{name} must be None or at least 1, not {limit!r}")
    return number
