"""Generic lending: pools of any kind of connection.

``ConnectionPool`` lends connections to many endpoints under one limit, ``EndpointPool`` to one; both take a factory
that knows how to make, check and close a connection, and some factories are ready here.
Nothing in this package knows HTTP; it could lend integers.
The rooms: ``core`` lends to many endpoints and ``lending`` to one; ``ledger`` and ``budget`` keep the books,
``handling`` opens and closes, ``collector`` looks after what lies idle, ``forks`` keeps children apart from parents.
"""

from poollib.pool.budget import Budget
from poollib.pool.core import ConnectionPool
from poollib.pool.handling import Factory
from poollib.pool.ledger import State
from poollib.pool.lending import EndpointPool
from poollib.pool.settings import Settings
from poollib.pool.stats import PoolStats

__all__ = ["Budget", "ConnectionPool", "EndpointPool", "Factory", "PoolStats", "Settings", "State"]
