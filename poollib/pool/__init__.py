"""A pool of anything: leases connections of any kind, to one endpoint or to many.

``ConnectionPool`` leases connections to many endpoints under one limit, ``EndpointPool`` to one; both take a factory
that knows how to make, check and close a connection, and some factories are ready in ``factories``.
Nothing in this package knows HTTP; it could lease integers.
``state`` holds what a pool has and decides under its lock, ``acquire_slow_path`` and ``connection_lifecycle`` act
with no lock held, and ``housekeeper`` is the thread that closes what is idle for too long.
"""

from .endpoint_pool import EndpointPool
from .factory import Factory
from .multi_endpoint_pool import ConnectionPool
from .settings import Settings
from .shared_limit import SharedLimit
from .state import State
from .stats import PoolStats

__all__ = ["ConnectionPool", "EndpointPool", "Factory", "PoolStats", "Settings", "SharedLimit", "State"]
