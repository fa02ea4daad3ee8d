"""Figures: how a pool is doing, in numbers.

A pool's users ask here what it has counted (:meth:`PoolStatistics.stats`), whether its endpoint answers, and to have
its idle connections looked at or dropped. The counting is done where things happen: by ``connection_factory``, by the
lending core, by ``circuit``; what requests have met is noted in ``health``. ``docs/pooling.rst`` says what each figure
means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..pool.connection_pool import EndpointPool
from .connection_factory import ConnectionFactory
from .health import CheckedPool, HealthCheck

if TYPE_CHECKING:
    from ..policy.circuit_breaker import Circuit


class PoolStatistics:
    """What a pool tells of itself; the pool sets what is declared here."""

    _endpoint_pool: EndpointPool[Any, Any]
    _factory: ConnectionFactory
    _circuit: Circuit | None = None
    _health: HealthCheck | None = None  # made when it is first needed, by one dict.setdefault

    @property
    def num_connections(self) -> int:
        """How many connections were made."""
        return self._factory.opened

    @property
    def num_requests(self) -> int:
        """How many requests were sent, repeated ones included."""
        return self._counts()["requests"]

    def stats(self) -> dict[str, Any]:
        """All figures of this pool; ``docs/pooling.rst`` says what each means."""
        figures = self._endpoint_pool.stats()._asdict()
        figures["dropped"] = dict(figures["dropped"])
        if self._circuit is not None:
            figures["circuit_opened"], figures["circuit_refused"] = self._circuit.opened, self._circuit.refused
        return {**figures, **self._counts(), "errors": self._factory.errors}

    def health(self) -> dict[str, Any]:
        """What is known of the endpoint (see ``health``), with the figures a reader of it wants; JSON-ready."""
        lending = self._endpoint_pool
        check = self._health_check()
        if check.is_unknown and self.num_requests:
            check.note_success()
        report = check.report()
        if self._circuit is not None:
            report["circuit"] = self._circuit.report()
        report.update(pool=lending.state.value, idle=lending.idle, leased=lending.leased, waiting=lending.waiting)
        return report

    def probe_idle(self) -> int:
        """How many idle connections turned out dead; they are closed."""
        return self._endpoint_pool.drop_unusable("dead when probed")

    def refresh(self, reason: str = "refreshed") -> int:
        """Close all idle connections, so that new ones are opened; lent ones are not touched. How many there were."""
        return self._endpoint_pool.drop_idle(reason)

    def _counts(self) -> dict[str, int]:
        return self._factory.totals(self._endpoint_pool.connections())

    def _health_check(self) -> HealthCheck:
        """The notes on the endpoint's health; made when there is something to note."""
        return self._health or self.__dict__.setdefault("_health", HealthCheck(cast(CheckedPool, self)))
