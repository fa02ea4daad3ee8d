"""Generic lending: pools of any kind of connection.

``ConnectionPool`` lends connections to many endpoints under one limit, ``EndpointPool`` to one; both take a factory
that knows how to make, check and close a connection, and some factories are ready here.
Nothing in this package knows HTTP; it could lend integers.
The modules: ``core`` lends to many endpoints and ``endpoint_pool`` to one; ``state`` and ``shared_limit`` keep the books,
``lifecycle`` opens and closes, ``collector`` looks after what lies idle, ``forks`` keeps children apart from parents.
"""

from .connection_pool import ConnectionPool
from .endpoint_pool import EndpointPool
from .lifecycle import Factory
from .settings import Settings
from .shared_limit import SharedLimit
from .state import State
from .stats import PoolStats

__all__ = ["Budget", "ConnectionPool", "EndpointPool", "Factory", "PoolStats", "Settings", "State"]
